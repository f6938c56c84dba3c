"""Parts of samples by index: what ``x[:, 1:, 0]`` of a symbolic tensor is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.checks import is_integer
from minicnn.dtype_policies import as_operands
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.base import Examples, Layer
from minicnn.layers.cropping import ENDLESS
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["GetItem"]


class GetItem(Layer):
    """A part of every sample, by NumPy's basic indexing.

    Parameters
    ----------
    key : list
        For each axis behind the batch an integer, which takes the axis away, or ``[start, stop, step]``, of which any
        may be None; None is a new axis of size 1. Axes at the end may be left out.
    """

    uses_input = False

    def __init__(self, key: Sequence[Any], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.key: list[Any] = [list(part) if isinstance(part, list | tuple) else part for part in key]
        if not all(map(_is_valid, self.key)):
            raise ValueError(
                "`key` has integers, None, and [start, stop, step] with integers or None, and no step of 0. "
                f"Received: key={key}"
            )

    @property
    def index(self) -> tuple[Any, ...]:
        """The key as NumPy takes it, for a batch."""
        return (slice(None), *(slice(*part) if isinstance(part, list) else part for part in self.key))

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        try:
            found = np.broadcast_to(np.float32(0), (1, *shape))[self.index].shape[1:]
        except IndexError as error:
            raise ShapeError(f"{error}. Received: key={self.key} for samples of shape {shape}") from None
        if 0 in found:
            raise ShapeError(f"key={self.key} leaves nothing of a sample. Received: samples of shape {shape}")
        return found

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.y[...] = xs[0][self.index]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0].fill(0)
        ws.dxs[0][self.index] = dy

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        y, kept = graph.channels_last(xs[0]), [part for part in self.key if part is not None]
        bounds, axes = np.array([_bounds(part) for part in kept], np.int64).reshape(-1, 3), np.arange(1, len(kept) + 1)
        if kept:
            starts, ends, steps = bounds.T
            y = graph.add("Slice", [y, *map(graph.constant, (starts, ends, axes, steps))])
        gone = np.array([axis for axis, part in zip(axes, kept, strict=True) if not isinstance(part, list)], np.int64)
        y = graph.add("Squeeze", [y, graph.constant(gone)]) if len(gone) else y
        behind = [part for part in self.key if part is None or isinstance(part, list)]  # the axes of y
        new = np.array([axis for axis, part in enumerate(behind, 1) if part is None], np.int64)
        return graph.add("Unsqueeze", [y, graph.constant(new)]) if len(new) else y

    @classmethod
    def examples(cls) -> Examples:
        yield cls([[1, None, None], 0]), [(4, 3, 2)]
        yield cls([None]), [(3,)]
        yield cls([[None, None, -2], [None, 2, None], None, -1]), [(4, 3, 2)]


def _is_valid(part):
    if isinstance(part, list):
        whole = all(number is None or is_integer(number) for number in part)
        return len(part) == 3 and whole and part[2] != 0
    return part is None or is_integer(part)


def _bounds(part):
    """(start, end, step) of ONNX's Slice, of which the ends may be far outside."""
    if not isinstance(part, list):
        return part, ENDLESS if part == -1 else part + 1, 1
    start, stop, step = part[0], part[1], 1 if part[2] is None else part[2]
    first, last = (0, ENDLESS) if step > 0 else (ENDLESS, -ENDLESS)
    return first if start is None else start, last if stop is None else stop, step


def _is_all(part: Any) -> bool:
    """Whether it is `:`, also as `0:` and `::1`."""
    return isinstance(part, slice) and not part.start and part.stop is None and part.step in (None, 1)


def part_of(tensor: Tensor, key: Any) -> Tensor:
    """``tensor[key]``; the first entry of the key leaves the samples as they are.

    Raises
    ------
    TypeError
        If the key is not made of integers, slices, None and `...`, or chooses among samples.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    is_rest = [part is Ellipsis for part in parts]  # count and index would ask arrays whether they are equal
    if is_rest.count(True) == 1:
        at = is_rest.index(True)
        missing = tensor.ndim - sum(part is not None for part in parts) + 1
        parts[at : at + 1] = [slice(None)] * missing
    first, *rest = parts
    plain = [[p.start, p.stop, p.step] if isinstance(p, slice) else p for p in rest]
    if not _is_all(first) or not all(map(_is_valid, plain)):
        raise TypeError(
            "a part of a symbolic tensor keeps the samples, and has integers, slices, None and ... behind them: "
            f"x[:, 1:, 0]. Received: [{key}] of {tensor!r}"
        )
    return GetItem(plain)(tensor)


Tensor.__getitem__ = as_operands(part_of)  # type: ignore[attr-defined]
