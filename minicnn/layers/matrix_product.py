"""Products of matrices that are both computed, as in attention: `MatrixProduct`."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["MatrixProduct"]


class MatrixProduct(Layer):
    """The product of two inputs, sample by sample: y[n,…,p,q] = Σ over k of a[n,…,p,k] · b[n,…,k,q].

    Raises
    ------
    ShapeError
        If an input's samples are no matrices, or the two do not fit.

    Notes
    -----
    Inputs (N, …, P, K) and (N, …, K, Q), with as many axes each; output (N, …, P, Q). Where one of the axes before the
    last two is 1, it stands for all of the other's.
    """

    input_count: int | None = 2

    def build(self, input_shapes: Shapes) -> Shape:
        a, b = input_shapes
        fits = len(a) == len(b) >= 2 and a[-1] == b[-2]
        if not fits or any(m != n and 1 not in (m, n) for m, n in zip(a[:-2], b[:-2], strict=True)):
            raise ShapeError(
                "a product of matrices takes (N, …, P, K) and (N, …, K, Q), with as many axes each. "
                f"Received: {[(None, *shape) for shape in input_shapes]}"
            )
        return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.matmul(xs[0], xs[1], out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        a, b = ws.xs
        for dx, left, right in ((ws.dxs[0], dy, _turned(b)), (ws.dxs[1], _turned(a), dy)):
            if dx is not None:
                gradient = np.matmul(left, right)
                repeated = tuple(i for i in range(dx.ndim) if dx.shape[i] != gradient.shape[i])
                dx[...] = gradient.sum(axis=repeated, keepdims=True) if repeated else gradient

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """Operations for one sample: K products and sums for each number."""
        return 2 * input_shapes[0][-1] * prod(output_shape)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("MatMul", [graph.channels_last(x) for x in xs])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3), (3, 5)]
        yield cls(), [(2, 4, 3), (1, 3, 2)]


def _turned(x):
    return x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
