"""What a tensor of an ONNX file is in the model that is made from it."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from minicnn.graph import Tensor
from minicnn.hints import Shape

Layout: TypeAlias = Callable[[Shape], np.ndarray]
"""Positions of a tensor from its shape in the model: `same_order` or `channels_first`."""


MOST_PERMUTED = 4  # axes whose orders are tried, one after the other


@dataclass
class Value:
    """A tensor of the file: the numbers of one of the model's tensors, perhaps in another order.

    A file moves numbers about (Transpose, Reshape, Flatten, Squeeze) where the model, whose images have their channels
    last, needs not. So these operators become no layers: they rearrange `positions`, and whoever reads the value, say
    a Dense layer, takes the order into account, say in its kernel.

    Attributes
    ----------
    tensor : Tensor
        In the model.
    positions : array of int32
        Shaped like one sample in the file: where each of its numbers lies in the model's sample, flattened.
    is_nonnegative : bool
        Whether all its numbers are known to be 0 or more.
    is_whole : bool
        Whether all its numbers are known to be integers.
    batch_axis : int
        Which of the file's axes counts the samples: the first one, but for a while.
    led, folded : int
        How many of the sample's axes before the samples, and behind them, the file counts together with them, in that
        axis; 0, but for a while.
    """

    tensor: Tensor
    positions: np.ndarray
    is_nonnegative: bool = False
    is_whole: bool = False
    batch_axis: int = 0
    led: int = 0
    folded: int = 0

    def sample_axis(self, axis: int) -> int:
        """The number of one of the file's axes, not the batch's, in `positions`."""
        return axis if axis < self.batch_axis else axis - 1 + self.led + self.folded

    @property
    def rank(self) -> int:
        """How many axes the file's tensor has."""
        return len(self.shape) + 1 - self.led - self.folded

    @property
    def is_plain(self) -> bool:
        """Whether the file's first axis counts the samples, and nothing else."""
        return not (self.batch_axis or self.led or self.folded)

    def lies_like(self, other: Self) -> bool:
        """Whether another value has the samples in the same place, and as many axes on both sides."""
        places = [(v.batch_axis, v.led, v.folded, len(v.shape)) for v in (self, other)]
        return places[0] == places[1]

    @property
    def shape(self) -> Shape:
        """Of one sample in the file."""
        return self.positions.shape


def placed_like(value: Value, other: Value) -> Value:
    """A value with the samples where another one has them."""
    return replace(value, batch_axis=other.batch_axis, led=other.led, folded=other.folded)


_LAYOUTS: WeakValueDictionary[tuple[bool, Shape], np.ndarray] = WeakValueDictionary()
"""(whether channels come first, shape in the model) → the positions, as long as somebody has them: most tensors of a
network share a few, and that two are the same array is seen at once."""


def same_order(shape: Shape) -> np.ndarray:
    """Positions of a tensor that has the same axes in the file: read-only, one array for all who have it."""
    found = _LAYOUTS.get((False, tuple(shape)))
    if found is None:
        found = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
        found.flags.writeable = False
        _LAYOUTS[False, tuple(shape)] = found
    return found


def channels_first(shape: Shape) -> np.ndarray:
    """Positions of a tensor (…, C) whose channels come first in the file, (C, …): shared as those of `same_order`."""
    found = _LAYOUTS.get((True, tuple(shape)))
    if found is None:
        found = _LAYOUTS[True, tuple(shape)] = np.moveaxis(same_order(shape), -1, 0)
    return found


def layout_of(positions: np.ndarray) -> Layout | None:
    """`same_order` or `channels_first` if that has given the array; None of any other."""
    shape = positions.shape
    if _LAYOUTS.get((False, shape)) is positions:
        return same_order
    return channels_first if shape and _LAYOUTS.get((True, (*shape[1:], shape[0]))) is positions else None


def are_same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of positions are equal; of the two layouts, that is known without going through them."""
    if a is b or a.shape != b.shape:
        return a is b
    if layout_of(a) and layout_of(b):  # one of each
        return a.shape[0] in (1, a.size)
    return np.array_equal(a, b)


def is_last_axis(value: Value, axis: int) -> bool:
    """Whether the sample's `axis` in the file is the last axis of the model's tensor."""
    channels = value.tensor.shape[-1]
    rows = np.moveaxis(value.positions, axis, -1)  # (…, axis)
    if rows.shape[-1] != channels:
        return False
    starts = rows[..., :1]
    return bool((starts % channels == 0).all() and (rows - starts == np.arange(channels)).all())


def likely_channel_axis(value: Value) -> int:
    """Which of the file's axes is the channels of a sample with three axes, as the model has it: 1 if none is."""
    images = (*value.shape[1:], value.shape[0])
    if value.tensor.shape[1:] == images and are_same(value.positions, channels_first(images)):
        return 1
    if are_same(value.positions, same_order(value.shape)):
        return 3
    return next((axis + 1 for axis in range(3) if is_last_axis(value, axis)), 1)


def with_last_axis(value: Value, axis: int, size: int) -> np.ndarray:
    """Positions after a layer that gave the tensor's last axis, which is `axis` in the file, another size."""
    rows = np.moveaxis(value.positions, axis, -1)[..., :1] // value.tensor.shape[-1]
    return np.moveaxis(rows * size + np.arange(size, dtype=np.int32), -1, axis)


def key_between(shape: Shape, new: Shape) -> tuple[Any, ...] | None:
    """The key of a `GetItem` between shapes that differ in axes of size 1, for which others need not be known.

    None of other shapes, and where a Reshape does, which knows all sizes but one.
    """
    wide, wanted = ([n for n in sizes if n > 1] for sizes in (shape, new))
    if wide != wanted or len(wide) < 2:
        return None
    key, left = [], list(shape)
    for n in new:
        if n == 1:
            key.append(None)
            continue
        while left.pop(0) == 1:
            key.append(0)
        key.append((None, None, None))
    return (*key, *[0] * len(left))


def channel_order(order: np.ndarray) -> np.ndarray | None:
    """Which channel becomes which, where an order (H, W, C) of the numbers of images is that of channels alone."""
    if order.ndim != 3:
        return None
    rows = order.reshape(-1, order.shape[-1])  # (H · W, C)
    is_alike = np.array_equal(rows, rows[0] + order.shape[-1] * np.arange(len(rows))[:, None])
    return rows[0] if is_alike and np.array_equal(np.sort(rows[0]), np.arange(len(rows[0]))) else None


def permutation(order: np.ndarray, shape: Shape) -> Shape | None:
    """The order of the axes in which a sample of `shape` has to be to give an array of positions in it.

    Returns
    -------
    tuple or None
        Counted from 1, as `Permute` takes them; None if there is none, or if there are many axes.
    """
    if order.ndim != len(shape) or not 1 < len(shape) <= MOST_PERMUTED:
        return None
    own = same_order(shape)
    for axes in itertools.permutations(range(len(shape))):
        if tuple(shape[axis] for axis in axes) == order.shape and np.array_equal(own.transpose(axes), order):
            return tuple(axis + 1 for axis in axes)
    return None


def transposition(order: np.ndarray) -> tuple[Shape, Shape] | None:
    """(sizes, axes) of the array whose numbers, with its axes in the order `axes`, lie as `order` says.

    Parameters
    ----------
    order : (numbers,) int
        For each number where it is to be taken from.

    Returns
    -------
    tuple or None
        Axes are counted from 1, as `Permute` takes them. None if no array does that.
    """
    sizes, strides, block = [], [], 1
    while block < order.size:
        heads = order[::block].astype(np.int64)
        steps = np.diff(heads)
        breaks = np.flatnonzero(steps != steps[0])
        count = int(breaks[0]) + 1 if len(breaks) else len(heads)
        sizes, strides, block = [count, *sizes], [int(steps[0]), *strides], block * count
        if order.size % block:
            return None
    axes = sorted(range(len(sizes)), key=lambda axis: -strides[axis])  # as they lie in memory
    shape = tuple(sizes[axis] for axis in axes)
    if math.prod(shape) != order.size:
        return None
    place = [axes.index(axis) for axis in range(len(axes))]
    if not np.array_equal(same_order(shape).transpose(place).ravel(), order):
        return None
    return shape, tuple(n + 1 for n in place)
