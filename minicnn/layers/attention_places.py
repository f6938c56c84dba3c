"""Between which places there is attention: axes of queries, keys, values, weights and masks."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.open_sizes import StandIn
from minicnn.step import Shape

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value


@dataclass(frozen=True)
class Places:
    """Which axes of queries, keys and values attention goes over.

    Attributes
    ----------
    rank : int
        How many axes a sample has before that of the heads.
    axes : tuple of int
        Those of them, counted from 1, along which places attend to each other; along the others it is each by itself.
    """

    rank: int
    axes: tuple[int, ...]

    @property
    def others(self) -> tuple[int, ...]:
        """The other axes."""
        return tuple(axis for axis in range(1, self.rank + 1) if axis not in self.axes)

    @property
    def is_together(self) -> bool:
        """Whether the axes are one behind the other, so that all places lie along one axis in memory."""
        return self.axes == tuple(range(self.axes[0], self.axes[0] + len(self.axes)))

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of (N, …, H, K) as (N, others…, H, places…, K)."""
        return 0, *self.others, self.rank + 1, *self.axes, self.rank + 2

    def stacked(self, x: np.ndarray) -> np.ndarray:
        """(N, …, H, K) as (N, others…, H, T, K), the same memory if the axes are together."""
        if self.is_together:
            first, count = self.axes[0], len(self.axes)
            one = Places(self.rank - count + 1, (first,))
            merged = *x.shape[:first], prod(x.shape[first : first + count]), *x.shape[first + count :]
            return (x if count == 1 else x.reshape(merged)).transpose(one.order)
        moved = x.transpose(self.order)
        return moved.reshape(*moved.shape[: len(self.others) + 2], -1, moved.shape[-1])

    def flat(self, weights: np.ndarray) -> np.ndarray:
        """(N, others…, H, places…, places…) as (N, others…, H, T, S)."""
        lead, shape = len(self.others) + 2, weights.shape
        return weights.reshape(*shape[:lead], prod(shape[lead : lead + len(self.axes)]), -1)

    def multiply(self, ops: SimpleNamespace, a: np.ndarray, b: np.ndarray, y: np.ndarray, factor: float = 1.0) -> None:
        """y, (N, …, H, K), = factor · a · b, matrix by matrix, (N, others…, H, T, K)."""
        stacked = self.stacked(y)
        ops.matrix_products(a, b, stacked, factor)
        if not self.is_together:
            moved = y.transpose(self.order)
            moved[...] = stacked.reshape(moved.shape)

    def shape_of_weights(self, queries: Shape, keys: Shape) -> Shape:
        """(others…, H, places…, places…) of samples (…, H, K) of queries and of keys."""
        lead = [queries[axis - 1] for axis in self.others]
        return *lead, queries[-2], *(s[axis - 1] for s in (queries, keys) for axis in self.axes)

    def check_mask(self, mask: Shape, shape: Shape, fixed: bool = False) -> None:
        """That a mask can stand for weights (others…, H, T…, S…) of samples: kernels trust its sizes.

        Parameters
        ----------
        mask : tuple of int or None
            Its shape, (T…, S…), or with axes before it, that of the samples first; None where a size is not known.
        shape : tuple of int or None
        fixed : bool
            Whether it is the same for all samples.

        Raises
        ------
        ShapeError
            If not.
        """
        count, half = 2 * len(self.axes), len(self.axes)
        of_samples, *before = mask[:-count] or (1,)
        pairs = [(mask[-count:-half], shape[-count:-half]), (mask[-half:], shape[-half:])]  # of queries, of keys
        pairs += [((m,), (n,)) for m, n in zip(before, shape, strict=False)]  # of other places, of heads
        least = count if fixed else count + 1
        if not least <= len(mask) <= len(shape) + 1 or not all(_alike(*pair) for pair in pairs):
            raise ShapeError(
                f"attention_mask says of each place of the queries to which of the keys it attends, {shape[-count:]}, "
                f"maybe behind axes of the samples and of {shape[:-count]}, any of them 1 for all. Received: {mask}"
            )
        if fixed and of_samples != 1:
            raise ShapeError(
                "attention_mask is a tensor where it differs from sample to sample, as an Input gives it, and an array "
                f"beside tensors is the same for all: {(1, *mask[1:])} or {mask[-count:]}. Received: {mask}"
            )

    def to_onnx(self, x: Value, graph: GraphWriter) -> Value:
        """`stacked` as operators."""
        last = x.shape[-1]
        y = graph.add("Transpose", [graph.channels_last(x)], False, perm=list(self.order))
        if len(self.axes) == 1:
            return y
        shape = np.array([0] * (len(self.others) + 2) + [-1, last])
        return graph.add("Reshape", [y, graph.constant(shape)], False)


def _alike(axes, sizes):
    """Whether sizes of a mask are those of weights, or 1 for all of them, as far as they are known."""
    return set(axes) == {1} or all(_same(*pair) for pair in zip(axes, sizes, strict=False))


def fits_places(mask: Shape, places: Shape) -> bool:
    """Whether a mask of samples (N, places), given without the axis of samples, is of these places, where known."""
    return len(mask) == len(places) and all(_same(*pair) for pair in zip(mask, places, strict=True))


def _same(m, n):
    return m == n or None in (m, n) or isinstance(n, StandIn)
