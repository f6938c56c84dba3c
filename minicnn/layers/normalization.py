"""Batch normalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn import initializers
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages
from minicnn.checks import check_number
from minicnn.hints import ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from minicnn.initializers import Initializer
from minicnn.layers.activations import ReLU
from minicnn.layers.base import Examples, Layer
from minicnn.layers.merge import Add
from minicnn.parameters import Weight
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["BatchNormalization"]

SCALE_AND_SHIFT = ("gamma_regularizer", "beta_regularizer", "gamma_constraint", "beta_constraint")


class ScaleAndShiftOptions(LayerOptions, total=False):
    """The options of layers with a gamma and a beta."""

    gamma_regularizer: RegularizerLike
    beta_regularizer: RegularizerLike
    gamma_constraint: ConstraintLike
    beta_constraint: ConstraintLike


class BatchNormalization(Layer):
    """y = gamma · (x - mean) / √(variance + epsilon) + beta, per channel.

    In training, mean and (biased) variance are the batch's; the moving averages follow them and serve otherwise.
    (Ioffe, Szegedy: "Batch normalization", 2015.)

    Parameters
    ----------
    axis : int, default -1
        Of the channels, counted with the batch axis.
    momentum : float, default 0.99
        moving ← momentum · moving + (1 - momentum) · batch.
    epsilon : float, default 1e-3
    center, scale : bool, default True
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : str or Initializer
        Defaults "zeros", "ones", "zeros" and "ones".
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or function, optional
    synchronized : bool, default False
        Where several workers train (`minicnn.distribution`): whether mean and variance are those of the whole batch,
        and not of each of its shards. Elsewhere it changes nothing.

    Notes
    -----
    With ``trainable = False`` the layer uses the moving averages in training too, as in Keras.
    """

    only_ops = True

    rare_options: tuple[str, ...] = (*Layer.rare_options, *SCALE_AND_SHIFT)
    axis_is_of_channels = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        *,
        synchronized: bool = False,
        **kwargs: Unpack[ScaleAndShiftOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.axis: int = axis
        self.momentum: float = check_number("momentum", momentum, below=1)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)
        self.center: bool = center
        self.scale: bool = scale
        self.beta_initializer: Initializer = initializers.get(beta_initializer)
        self.gamma_initializer: Initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer: Initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer: Initializer = initializers.get(moving_variance_initializer)
        self.synchronized: bool = synchronized

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        channels = shape[-1:]
        if self.scale:
            self.add_weight(
                "gamma", channels, self.gamma_initializer, True, self.gamma_regularizer, self.gamma_constraint
            )
        if self.center:
            self.add_weight("beta", channels, self.beta_initializer, True, self.beta_regularizer, self.beta_constraint)
        self.add_weight("moving_mean", channels, self.moving_mean_initializer, has_gradient=False)
        self.add_weight("moving_variance", channels, self.moving_variance_initializer, has_gradient=False)
        return shape

    def fused(self) -> FusedNormalization:
        return FusedNormalization(self)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return self.fused().buffers(input_shapes, output_shape, training)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        self.fused().forward(xs, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        self.fused().backward(dy, ws)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        channels = xs[0].shape[-1:]
        gamma = graph.weight(self.gamma) if self.scale else graph.constant(np.ones(channels, np.float32))
        beta = graph.weight(self.beta) if self.center else graph.constant(np.zeros(channels, np.float32))
        moving = [graph.weight(self.moving_mean), graph.weight(self.moving_variance)]
        inputs = [graph.channels_first(xs[0]), gamma, beta, *moving]
        return graph.add("BatchNormalization", inputs, epsilon=self.epsilon, momentum=self.momentum)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3, 5)]
        yield cls(center=False, scale=False, momentum=0.9, synchronized=True), [(7,)]


@dataclass(eq=False)
class FusedNormalization(Step):
    """A `BatchNormalization`, and the addition and the ReLU behind it.

    Attributes
    ----------
    layer : BatchNormalization
    added : Add or None
        Of one further input.
    relu : ReLU or None
    """

    only_ops = True
    layer: BatchNormalization
    added: Add | None = None
    relu: ReLU | None = None

    @property
    def uses_output(self) -> bool:
        return self.relu is not None and self.added is not None

    @property
    def weights(self) -> list[Weight]:
        return self.layer.weights

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        channels = output_shape[-1:]
        return {"mean": Buffer(channels, per_sample=False), "inverse_std": Buffer(channels, per_sample=False)}

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        layer, params = self.layer, ws.params
        moving = MovingAverages(params["moving_mean"], params["moving_variance"], layer.momentum)
        arrays, added = (xs[0], ws.y, self.affine(params), moments(ws), moving), xs[1] if self.added else None
        ws.ops.batch_norm(*arrays, layer.epsilon, self.goes_by_batch(ws), added)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        inputs = ws.xs[0], ws.y if self.uses_output else None, dy, self.affine(ws.params), moments(ws)
        dx, dadded = ws.dxs if self.added else (*ws.dxs, None)
        gradients = dx, dadded, ws.grads.get("gamma"), ws.grads.get("beta")
        ws.ops.batch_norm_backward(*inputs, *gradients, self.goes_by_batch(ws))

    def goes_by_batch(self, ws: Workspace) -> bool:
        """Whether mean and variance are the batch's, not the moving averages."""
        return ws.training and self.layer.moving_mean.layer.trainable

    def affine(self, params: Mapping[str, np.ndarray]) -> Affine:
        """What is done with normalized numbers."""
        return Affine(params.get("gamma"), params.get("beta"), self.relu is not None)


def moments(ws: Workspace) -> Moments:
    """What the forward pass normalizes with, for the backward pass too."""
    return Moments(ws.buffers["mean"], ws.buffers["inverse_std"])
