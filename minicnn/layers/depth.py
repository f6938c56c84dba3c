"""Volumes by the convolutions of images: slices that lie in one window along the depth become channels of one image.

y[n,o] = Σ over taps p of conv2d(x[n, o·s + p·d - pad], kernel[p]) is one 2-D convolution of an image whose channels are
those of all taps' slices, side by side. So the kernels of `Conv2D` do the work, with what is fused into them, and a
copy of the slices is the price: of a part of the batch at a time, so that it costs memory for few slices only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from minicnn.backends.memory import SLACK
from minicnn.geometry import Window
from minicnn.hints import Shape

PART = 1 << 23  # numbers that are copied at a time, or one image


class Run(NamedTuple):
    """Slices that follow each other, and what they read by one tap.

    Attributes
    ----------
    tap, sample : int
    first, count : int
        The numbers of those that are made, in their sample.
    source : int
        The number, in the sample, of the first one that is read; the next is a stride further.
    at : int
        Where the first one stands in the part of the batch.
    """

    tap: int
    sample: int
    first: int
    count: int
    source: int
    at: int


class SideBySide:
    """How slices of volumes (N, D, H, W, C) become channels of images (N · OD, H, W, KD · C), and back.

    Parameters
    ----------
    ops : namespace
        The backend's.
    window : Window
        Over the depth, of an image of one column.
    groups : int, default 1
        Channels and filters are cut into so many groups: those of a group's taps lie side by side.
    """

    def __init__(self, ops: SimpleNamespace, window: Window, groups: int = 1) -> None:
        self._ops, self._window, self._groups = ops, window, groups
        self._is_plain = window.kernel_height == window.stride_y == 1 and not window.is_padded

    def parts(self, count: int, shape: Shape) -> list[range]:
        """All slices that are made of `count` volumes of this shape (D, H, W, C), in ranges of their numbers."""
        all_slices = count * self._window.out_height
        step = all_slices if self._is_plain else max(PART // (math.prod(shape[1:]) * self._window.kernel_height), 1)
        return [range(n, min(n + step, all_slices)) for n in range(0, all_slices, max(step, 1))]

    def room(self, x: np.ndarray, parts: list[range]) -> np.ndarray | None:
        """Memory for the images of a part; None where there is nothing to be copied."""
        if self._is_plain:
            return None
        return scratch((len(parts[0]) if parts else 0, *x.shape[2:4], x.shape[4] * self._window.kernel_height), x)

    def images(self, x: np.ndarray, part: range, room: np.ndarray | None) -> np.ndarray:
        """The images of a part of the slices: those of `x` itself, or what `room` holds then."""
        if room is None:
            return x.reshape(-1, *x.shape[2:])[part.start : part.stop]
        made, width = room[: len(part)], x.shape[4] // self._groups
        for run in self._runs(part):
            target = self._of_groups(made[run.at : run.at + run.count])
            if run.source < 0:  # in the padding
                target[:, :, run.tap * width : (run.tap + 1) * width] = 0
                continue
            for place, source in self._slices(x, run):
                self._ops.put_part(source, target[place], 2, run.tap * width)
        return made

    def unwritten(self, dx: np.ndarray, part: range, room: np.ndarray | None) -> np.ndarray:
        """Where the images of a part are to be written, of which `add_back` makes `dx`."""
        return dx.reshape(-1, *dx.shape[2:])[part.start : part.stop] if room is None else room[: len(part)]

    def add_back(self, images: np.ndarray, part: range, dx: np.ndarray) -> None:
        """Dx += the images of a part, each channel in the place of the slice that it is of; `dx` begins with zeros."""
        if self._is_plain:
            return  # they are written there
        width = dx.shape[4] // self._groups
        most = len(part) if self._window.stride_y == 1 else 1
        own = scratch((most * math.prod(dx.shape[2:4]), self._groups, width), dx)
        for run in self._runs(part):
            source = self._of_groups(images[run.at : run.at + run.count])
            for place, target in self._slices(dx, run) if run.source >= 0 else ():
                mine = own[: len(target)]
                self._ops.take_part(source[place], mine, 2, run.tap * width)
                self._ops.pointwise(target, (target, mine), "add")

    def flat(self, kernel: np.ndarray) -> np.ndarray:
        """A kernel (KD, KH, KW, C, F) as one of images, (KH, KW, KD · C, F)."""
        made = scratch((*kernel.shape[1:3], kernel.shape[0] * kernel.shape[3], kernel.shape[4]), kernel)
        made.reshape(*kernel.shape[1:3], kernel.shape[0], *kernel.shape[3:])[...] = kernel.transpose(1, 2, 0, 3, 4)
        return made

    def unflat(self, gradient: np.ndarray, into: np.ndarray) -> None:
        """The gradient of what `flat` gives as that of the kernel."""
        depth, rows, columns, channels, filters = into.shape
        into[...] = gradient.reshape(rows, columns, depth, channels, filters).transpose(2, 0, 1, 3, 4)

    def _runs(self, part) -> Iterator[Run]:
        """What slices of a part read: `source` is negative where they read padding."""
        window = self._window
        deep, stride = window.out_height, window.stride_y
        for sample in range(part.start // deep, -(-part.stop // deep)):
            start, stop = max(part.start - sample * deep, 0), min(part.stop - sample * deep, deep)
            at = sample * deep + start - part.start
            for tap in range(window.kernel_height):
                offset = tap * window.dilation_y - window.pad_top
                first = min(max(-(offset // stride), start), stop)  # the first one that reads no padding before it
                last = max(min((window.in_height - 1 - offset) // stride + 1, stop), first)
                for a, b, inside in ((start, first, False), (first, last, True), (last, stop, False)):
                    if a < b:
                        source = a * stride + offset if inside else -1
                        yield Run(tap, sample, a, b - a, source, at + a - start)

    def _of_groups(self, images):
        """(n, H, W, KD · C) as (n · H · W, groups, KD · C / groups)."""
        return images.reshape(math.prod(images.shape[:3]), self._groups, -1)

    def _slices(self, x, run):
        """(rows of the run's images, the volume's that they read (n · H · W, groups, C / groups)), few times."""
        stride, pixels = self._window.stride_y, math.prod(x.shape[2:4])
        step = run.count if stride == 1 else 1
        for n in range(0, run.count, step):
            start = run.source + n * stride
            rows = x[run.sample, start : start + step].reshape(step * pixels, self._groups, -1)
            yield slice(n * pixels, (n + step) * pixels), rows


def scratch(shape: Shape, like: np.ndarray) -> np.ndarray:
    """A new array of the kind and dtype of `like`, followed by as many readable bytes as kernels may touch."""
    size = math.prod(shape)
    array = np.empty_like(like, shape=(size + SLACK // like.itemsize,))
    array[size:] = 0
    return array[:size].reshape(shape)
