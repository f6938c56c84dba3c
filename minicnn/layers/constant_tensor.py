"""Numbers that come from no input: `ConstantTensor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.parameters import Weight
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["ConstantTensor"]


class ConstantTensor(Layer):
    """A weight as a tensor, the same for every sample: an encoding of positions, a mean picture.

    Parameters
    ----------
    shape : sequence of int
        Of the weight, without the batch axis.

    Attributes
    ----------
    value : Weight
        Zeros, until `set_weights`. Training changes it, unless the layer's `trainable` is False.

    Notes
    -----
    It is called on any tensor (N, …), which says how many samples there are. The output is a copy for each of them.
    """

    uses_input = False
    value: Weight

    def __init__(self, shape: Sequence[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.shape: tuple[int, ...] = tuple(check_positive_int("shape", n) for n in shape)

    def build(self, input_shapes: Shapes) -> Shape:
        self.value = self.add_weight("value", self.shape, "zeros")
        return self.shape

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = ws.params["value"]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if ws.grads["value"] is not None:
            np.sum(dy, axis=0, out=ws.grads["value"])
        if ws.dxs[0] is not None:
            ws.dxs[0].fill(0)

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """None: the numbers are there."""
        return 0

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        count = graph.add("Shape", [xs[0]], False, start=0, end=1)  # (N,)
        shape = graph.add("Concat", [count, graph.constant(np.array(self.shape, np.int64))], axis=0)
        return graph.add("Expand", [graph.weight(self.value), shape], False)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((2, 3, 4)), [(5,)]
        yield cls((3,)), [(4, 3, 2)]
