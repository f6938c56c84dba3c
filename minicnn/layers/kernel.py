"""What layers with a kernel and a bias share: options, weights, and what plans merge into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import numpy as np

from minicnn import initializers, regularizers
from minicnn.hints import ActivationLike, InitializerLike, LayerOptions, RegularizerLike
from minicnn.initializers import Initializer
from minicnn.layers import activations
from minicnn.layers.base import Layer
from minicnn.layers.normalization import BatchNormalization
from minicnn.parameters import Weight
from minicnn.regularizers import Regularizer
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace


class WithKernel(Layer):
    """Base of the layers: their options and weights.

    Parameters
    ----------
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer :
        As for `Conv2D`.
    """

    rare_options: tuple[str, ...] = (*Layer.rare_options, "kernel_constraint", "bias_constraint")
    bias: Weight | None = None

    def __init__(
        self,
        activation: ActivationLike,
        use_bias: bool,
        kernel_initializer: InitializerLike,
        bias_initializer: InitializerLike,
        kernel_regularizer: RegularizerLike,
        bias_regularizer: RegularizerLike,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.activation: Layer | None = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer: Initializer = initializers.get(kernel_initializer)
        self.bias_initializer: Initializer = initializers.get(bias_initializer)
        self.kernel_regularizer: Regularizer | None = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Regularizer | None = regularizers.get(bias_regularizer)

    def add_kernel(self, shape: Shape, outputs: int | None = None) -> None:
        """Declare the kernel, (…, outputs) unless `outputs` says how many there are, and the bias."""
        rules = self.kernel_regularizer, self.kernel_constraint
        self.add_weight("kernel", shape, self.kernel_initializer, True, *rules)
        if self.use_bias:
            rules = self.bias_regularizer, self.bias_constraint
            self.add_weight("bias", (outputs or shape[-1],), self.bias_initializer, True, *rules)


class KernelLayer(WithKernel):
    """Base of those that plans merge with what follows: a subclass writes `build`, and `fused` with the formula."""

    only_ops = True

    def fused(self) -> Fused:
        """The step that stands for this layer, with nothing merged into it yet."""
        raise NotImplementedError

    def bind(self, ws: Workspace) -> None:
        self.fused().bind(ws)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        self.fused().forward(xs, ws)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        self.fused().backward(dy, ws)


@dataclass(eq=False)
class Fused(Step):
    """A step that stands for a layer with a kernel, and for what was merged into it.

    Attributes
    ----------
    layer : KernelLayer
    norm : BatchNormalization or None
        Outside training alone: y = scale · (x·k + b) + shift is the layer with the kernel scale · k.
    relu : ReLU or None
    """

    only_ops = True
    layer: KernelLayer
    norm: BatchNormalization | None = None
    relu: activations.ReLU | None = None

    @property
    def has_relu(self) -> bool:
        """Whether the op takes max(y, 0)."""
        return self.relu is not None

    @property
    def is_bare(self) -> bool:
        """Whether nothing is merged into the layer."""
        return self.norm is None and self.relu is None

    @property
    def weights(self) -> list[Weight]:
        return self.layer.weights + (self.norm.weights if self.norm else [])

    def build(self, input_shapes: Shapes) -> Shape:
        return self.layer.build(input_shapes)

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        if self.norm is None:
            return {}
        shape = self.layer.kernel.shape
        return {"kernel": Buffer(shape, per_sample=False), "bias": Buffer(shape[-1:], per_sample=False)}

    def kernel_and_bias(self, ws: Workspace) -> tuple[np.ndarray, np.ndarray | None]:
        """The layer's weights, with the normalization folded into them: in each call, so that they are never stale."""
        kernel, bias = ws.params["kernel"], ws.params.get("bias")
        if self.norm is None:
            return kernel, bias
        folded = ws.buffers["kernel"], ws.buffers["bias"]  # (…, F), (F,)
        names = "gamma", "beta", "moving_mean", "moving_variance"
        ws.ops.fold_normalization(kernel, bias, *map(ws.params.get, names), self.norm.epsilon, *folded)
        return folded
