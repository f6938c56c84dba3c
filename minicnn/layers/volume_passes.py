"""The passes of a convolution over volumes, by those of images whose channels are slices side by side."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from minicnn.geometry import Window
from minicnn.layers.depth import SideBySide, scratch


class VolumePasses:
    """Forward and backward.

    Parameters
    ----------
    ops : namespace
        The backend's.
    depth, window : Window
        Over the depth, of an image of one column, and over slices.
    groups : int, default 1
    """

    def __init__(self, ops: SimpleNamespace, depth: Window, window: Window, groups: int = 1) -> None:
        self._ops, self._window, self._groups = ops, window, groups
        self._slices = SideBySide(ops, depth, groups)

    def forward(
        self, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray, relu: bool = False
    ) -> None:
        """As the op `conv2d`, for x (N, D, H, W, C), kernel (KD, KH, KW, C / groups, F) and y (N, OD, OH, OW, F)."""
        slices, parts = self._slices, self._slices.parts(len(x), x.shape[1:])
        kernel, room, y = slices.flat(kernel), slices.room(x, parts), _as_slices(y)
        for part in parts:
            images, own = slices.images(x, part, room), y[part.start : part.stop]
            self._ops.conv2d(images, kernel, bias, own, self._window, self._groups, relu)

    def backward(
        self,
        x: np.ndarray,
        kernel: np.ndarray,
        y: np.ndarray | None,
        dy: np.ndarray,
        dx: np.ndarray | None,
        dkernel: np.ndarray | None,
        dbias: np.ndarray | None,
        relu: bool = False,
    ) -> None:
        """As the op `conv2d_backward`, for such arrays. Where no `dkernel` is wanted, `x` is not read."""
        slices, parts = self._slices, self._slices.parts(len(x), x.shape[1:])
        kernel, total = slices.flat(kernel), _Total(self._ops, slices, dkernel, dbias)
        y, dy, rooms = y if y is None else _as_slices(y), _as_slices(dy), [slices.room(x, parts) for _ in range(2)]
        if dx is not None:
            dx.fill(0)
        for part in parts:
            own = slice(part.start, part.stop)
            made = None if dx is None else slices.unwritten(dx, part, rooms[1])
            images = made if dkernel is None and dx is not None else slices.images(x, part, rooms[0])
            outputs = y if y is None else y[own], dy[own]
            self._ops.conv2d_backward(images, kernel, *outputs, made, *total.room, self._window, self._groups, relu)
            total.add()
            if dx is not None:
                slices.add_back(made, part, dx)
        total.write()


def _as_slices(array):
    """(N, D, H, W, C) as (N · D, H, W, C), without a copy."""
    return array.reshape(-1, *array.shape[2:])


class _Total:
    """The gradients of a kernel (KD, KH, KW, C, F) and a bias, of parts of a batch; None of what nobody wants.

    Attributes
    ----------
    room : list of array or None
        For those of a part: the kernel's as that of images, and the bias's.
    """

    def __init__(self, ops, slices, dkernel, dbias):
        self._ops, self._slices, self._kernel, self._bias = ops, slices, dkernel, dbias
        wanted = None if dkernel is None else slices.flat(dkernel), dbias
        self.room: list[np.ndarray | None] = [None if a is None else scratch(a.shape, a) for a in wanted]
        self._sums = [None if a is None else np.zeros_like(a) for a in wanted]

    def add(self) -> None:
        """Count what `room` holds."""
        for total, room in zip(self._sums, self.room, strict=True):
            if total is not None:
                self._ops.make_whole(room)
                total += room

    def write(self) -> None:
        """Assign the gradients."""
        kernel, bias = self._sums
        if kernel is not None:
            self._slices.unflat(kernel, self._kernel)
        if bias is not None:
            self._bias[...] = bias
