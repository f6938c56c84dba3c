"""Reshape, which may count axes of a sample together with the samples, or put the samples behind other axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.hints import Shape
from minicnn.onnx.arguments import BATCH, samples_in
from minicnn.onnx.values import Value

if TYPE_CHECKING:
    from minicnn.onnx.reader import FileNode


def shape_in_file(x: Value) -> list[int]:
    """The sizes of the file's axes, with `BATCH` for the number of samples, and multiples of it."""
    shape = [x.shape[x.sample_axis(axis)] if axis != x.batch_axis else 0 for axis in range(x.rank)]
    counted = x.shape[x.batch_axis : x.batch_axis + x.led + x.folded]
    shape[x.batch_axis] = BATCH * math.prod(counted)
    return shape


def sizes_of_array(node: FileNode, array: np.ndarray, target: Sequence[int], keeps_zeros: bool) -> list[int]:
    """The shape that a Reshape gives an array of the file, which is that of one sample where it counts samples."""
    sizes = [
        array.shape[axis] if n == 0 and not keeps_zeros and axis < array.ndim else n for axis, n in enumerate(target)
    ]
    sizes = [samples_in(n) or n for n in sizes]
    if min(sizes, default=0) < -1:
        raise node.error(f"sizes are numbers from 0 on, or one of them is -1 for what is left. Received: {target}")
    return sizes


def reshaped(x: Value, target: Sequence[int], batch_size: int | None, keeps_zeros: bool) -> Value | None:
    """What a Reshape makes of a value; None if no axis of it could count the samples.

    The numbers stay in their order: of (before, N, behind) numbers, the axis that counts samples counts p * N * f, and
    those in front of it hold before / p, those behind it behind / f.

    Parameters
    ----------
    x : Value
    target : sequence of int
        As in the file: 0 and -1 are not sizes.
    batch_size : int or None
        The file's number of samples, if it says one: for one sample, several axes might count it, and the last resort
        is to count more than the samples.
    keeps_zeros : bool
        Whether 0 is a size.
    """
    own = shape_in_file(x)
    if not keeps_zeros:
        target = [own[axis] if n == 0 and axis < len(own) else n for axis, n in enumerate(target)]
    if target.count(-1) > 1:
        return None
    place = x.batch_axis + x.led
    before, behind = math.prod(x.shape[:place]), math.prod(x.shape[place:])
    found = [
        (p * f > 1, len(target) > 2 and p > 1, axis, sizes, p, f)
        for axis, sizes, count in _places(target, batch_size, before * behind)
        for p, f in [_on_both_sides(before, behind, sizes[:axis], sizes[axis + 1 :])]
        if p * f == count
    ]
    if not found:
        return None
    _, _, axis, sizes, p, f = min(found)
    led, folded = _ending(x.shape[:place], p), _ending(x.shape[place:][::-1], f)[::-1]
    positions = x.positions.reshape((*sizes[:axis], *led, *folded, *sizes[axis + 1 :]))
    return Value(x.tensor, positions, x.is_nonnegative, x.is_whole, axis, len(led), len(folded))


def _places(target: Sequence[int], batch_size: int | None, size: int) -> Iterator[tuple[int, list[int], int]]:
    """(axis, sizes, count): which axis may count samples, the sizes of all others, and how many it counts for each."""
    named = [axis for axis, n in enumerate(target) if samples_in(n)]
    for axis, n in enumerate(target):
        others = [*target[:axis], 1, *target[axis + 1 :]]
        known = math.prod(m for m in others if m != -1)
        if (named and named != [axis]) or known < 1 or min(others) < -1 or size % known:
            continue
        if n == -1:
            yield axis, others, size // known
        elif count := samples_in(n) or (n // batch_size if batch_size and n > 0 and n % batch_size == 0 else 0):
            if -1 in others and size % (known * count) == 0:
                others[others.index(-1)] = size // (known * count)
            if math.prod(others) * count == size:
                yield axis, others, count


def _on_both_sides(before: int, behind: int, front: Sequence[int], back: Sequence[int]) -> tuple[int, int]:
    """(p, f): how many numbers are counted with the samples, in front of them and behind; (0, 0) if none would do."""
    p, rest = divmod(before, math.prod(front))
    f, more = divmod(behind, math.prod(back))
    return (0, 0) if rest or more else (p, f)


def _ending(shape: Shape, size: int) -> Shape:
    """The last axes, of `size` numbers together: as they are, if that is a number of them, else one."""
    axes: list[int] = []
    while math.prod(axes) < size and len(axes) < len(shape):
        axes.insert(0, shape[-1 - len(axes)])
    return tuple(axes) if math.prod(axes) == size else (size,)
