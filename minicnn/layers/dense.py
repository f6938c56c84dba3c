"""The fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.errors import ShapeError
from minicnn.hints import ActivationLike, InitializerLike, LayerOptions, RegularizerLike
from minicnn.layers.base import Examples
from minicnn.layers.kernel import Fused, KernelLayer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Dense"]


class Dense(KernelLayer):
    """y = x · kernel + bias, over the last axis.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
    activation : str or layer, optional
        Applied to the output.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or Initializer
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer : str or Regularizer, optional

    Notes
    -----
    Input (N, …, I), output (N, …, units), kernel (I, units), bias (units,).
    """

    def __init__(
        self,
        units: int,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        first_values, penalties = (kernel_initializer, bias_initializer), (kernel_regularizer, bias_regularizer)
        super().__init__(activation, use_bias, *first_values, *penalties, **kwargs)
        self.units: int = check_positive_int("units", units)

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        if not shape:
            raise ShapeError("Dense needs at least one axis beside the batch. Received: (None,)")
        self.add_kernel((shape[-1], self.units))
        return *shape[:-1], self.units

    def fused(self) -> FusedDense:
        return FusedDense(self)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, kernel = graph.channels_last(xs[0]), graph.weight(self.kernel)
        bias = [graph.weight(self.bias)] if self.use_bias else []
        if len(x.shape) == 1:
            return graph.add("Gemm", [x, kernel, *bias])
        y = graph.add("MatMul", [x, kernel])
        return graph.add("Add", [y, *bias]) if bias else y

    @classmethod
    def examples(cls) -> Examples:
        yield cls(5), [(7,)]
        yield cls(33, activation="relu", kernel_regularizer="l1"), [(17,)]
        yield cls(4, use_bias=False, activation="softmax"), [(3, 5)]


@dataclass(eq=False)
class FusedDense(Fused):
    """A `Dense`, and BatchNormalization (outside training) and ReLU."""

    layer: Dense

    @property
    def uses_output(self) -> bool:
        return self.has_relu

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.dense(rows(xs[0]), *self.kernel_and_bias(ws), rows(ws.y), self.has_relu)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        y, dx = rows(ws.y) if self.has_relu else None, None if ws.dxs[0] is None else rows(ws.dxs[0])
        dkernel, dbias = ws.grads["kernel"], ws.grads.get("bias")
        ws.ops.dense_backward(rows(ws.xs[0]), ws.params["kernel"], y, rows(dy), dx, dkernel, dbias, self.has_relu)


def rows(array: np.ndarray) -> np.ndarray:
    """The array as (rows, last axis), without a copy."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])
