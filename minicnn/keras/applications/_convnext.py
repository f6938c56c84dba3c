"""ConvNeXt: a residual network with the parts of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras._operation_marks import marked
from minicnn.keras.applications._preprocessing import DEVIATIONS_RGB, MEANS_RGB
from minicnn.layers import LayerScale
from minicnn.models import Sequential

_EPSILON = 1e-6  # of all layer normalizations, and the first factor of every block


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
    both = [inputs, layers.Activation("linear", name=f"{name}_identity")(x)]
    return marked(layers.Add()(both), both)


def convnext_top(x: Tensor, classes: int, activation: Any, name: str = "") -> Tensor:
    """The classes, by a dense layer of the normalized means over all places."""
    x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = _normalization(f"{name}_head_layernorm")(x)
    return layers.Dense(classes, activation=activation, name=f"{name}_head_dense")(x)


def without_top(x: Tensor) -> Tensor:
    """What stands behind the pooling where there is no top."""
    return _normalization()(x)
