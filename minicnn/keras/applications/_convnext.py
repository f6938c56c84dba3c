"""ConvNeXt: a residual network with the parts of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import initializers, layers
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.keras.applications._preprocessing import DEVIATIONS_RGB, MEANS_RGB
from minicnn.layers.base import register
from minicnn.models import Sequential
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

_EPSILON = 1e-6  # of all layer normalizations, and the first factor of every block


@register
class LayerScale(layers.Layer):
    """x · γ, a factor for each channel that begins near 0: Touvron et al., 2021, arXiv 2103.17239.

    Parameters
    ----------
    init_values : float
        γ at first.
    projection_dim : int
        Number of channels.
    """

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_values, self.projection_dim = float(init_values), int(projection_dim)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        if shape[-1] != self.projection_dim:
            raise ShapeError(f"expected {self.projection_dim} channels. Received: {shape[-1]}")
        self.add_weight("gamma", shape[-1:], initializers.Constant(self.init_values))
        return shape

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.multiply(xs[0], ws.params["gamma"], out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.grads["gamma"] is not None:
            by_sample = dy * ws.xs[0]  # (N, …, C)
            ws.grads["gamma"][...] = by_sample.reshape(-1, by_sample.shape[-1]).sum(axis=0)  # (C,)
        if ws.dxs[0] is not None:
            np.multiply(dy, ws.params["gamma"], out=ws.dxs[0])

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Mul", [graph.channels_last(xs[0]), graph.constant(self.gamma.numpy())])


def convnext(
    x: Tensor, depths: Sequence[int], widths: Sequence[int], name: str, include_preprocessing: bool = True
) -> Tensor:
    """Liu et al.: "A ConvNet for the 2020s", 2022, arXiv 2201.03545.

    Parameters
    ----------
    x : Tensor (N, H, W, C)
        Pixels from 0 to 255; without preprocessing, or other than three channels, as the network wants them.
    depths, widths : sequence of int
        Blocks and filters of each stage.
    name : str
        What layers' names begin with.
    include_preprocessing : bool, default True
    """
    if include_preprocessing and x.shape[-1] == 3:
        means, variances = [255 * m for m in MEANS_RGB], [(255 * d) ** 2 for d in DEVIATIONS_RGB]
        x = layers.Normalization(mean=means, variance=variances, name=f"{name}_prestem_normalization")(x)
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        x = _narrowing(width, stage - 1, name)(x)
        for block in range(depth):
            x = _block(x, width, f"{name}_stage_{stage}_block_{block}")
    return x


def _narrowing(width, number, name):
    """What makes images smaller before a stage."""
    if number < 0:
        convolution = layers.Conv2D(width, 4, strides=4, name=f"{name}_stem_conv")
        return Sequential([convolution, _normalization(f"{name}_stem_layernorm")], name=f"{name}_stem")
    convolution = layers.Conv2D(width, 2, strides=2, name=f"{name}_downsampling_conv_{number}")
    normalization = _normalization(f"{name}_downsampling_layernorm_{number}")
    return Sequential([normalization, convolution], name=f"{name}_downsampling_block_{number}")


def _normalization(name=None):
    return layers.LayerNormalization(epsilon=_EPSILON, name=name)


def _block(inputs, width, name):
    x = layers.Conv2D(width, 7, padding="same", groups=width, name=f"{name}_depthwise_conv")(inputs)
    x = layers.Dense(4 * width, name=f"{name}_pointwise_conv_1")(_normalization(f"{name}_layernorm")(x))
    x = layers.Dense(width, name=f"{name}_pointwise_conv_2")(layers.Activation("gelu", name=f"{name}_gelu")(x))
    x = LayerScale(_EPSILON, width, name=f"{name}_layer_scale")(x)
    return layers.Add()([inputs, layers.Activation("linear", name=f"{name}_identity")(x)])


def convnext_top(x: Tensor, classes: int, activation: Any, name: str = "") -> Tensor:
    """The classes, by a dense layer of the normalized means over all places."""
    x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = _normalization(f"{name}_head_layernorm")(x)
    return layers.Dense(classes, activation=activation, name=f"{name}_head_dense")(x)


def without_top(x: Tensor) -> Tensor:
    """What stands behind the pooling where there is no top."""
    return _normalization()(x)
