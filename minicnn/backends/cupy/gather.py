"""Gathering the samples of a batch, by a kernel of its own or by the first convolution, on its way."""

import threading
from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch_over


def gather(source: np.ndarray | Array, indices: np.ndarray | Array, out: Array) -> None:
    """See `minicnn.backends.reference.gather.gather`."""
    if isinstance(source, cupy.ndarray):
        gather_rows(source, indices, None, out)
    else:  # a user's array, in the computer's memory
        out.set(np.ascontiguousarray(source[indices], out.dtype))


def gather_rows(source: Array, order: Maybe, start: Maybe, out: Array) -> None:
    """out[i] = source[order[start + i]], cast to the dtype of `out`.

    Parameters
    ----------
    source : device array (N, …)
        C-contiguous; of any integer or bool type, float32 or float64.
    order : device array of int64, or None
        None: the rows in their own order.
    start : device array of one int64, or None
        None: 0.
    out : device array (n, …), written
        float32, float64, or int64 where `source` is.
    """
    if source.dtype == out.dtype == np.int64:
        name, dtype = "gather_labels", np.dtype(np.float32)
    else:
        name, dtype = f"gather_{source.dtype.kind}{source.dtype.itemsize}", out.dtype
    rows = len(out)
    width = out.size // rows
    numbers = np.int64(rows), np.int64(width)
    launch_over(out.size, "gather", name, dtype, source, order, start, out, *numbers)


class Gather(NamedTuple):
    """What `gather_rows` is to do; see there."""

    source: Array
    order: Maybe
    start: Maybe
    out: Array


class Gathers(threading.local):
    """Gathers that the first convolution may do on its way: `put_off` says what; before others read, `do`.

    Each thread has its own: one may prepare data on the device while another one trains.
    """

    def __init__(self) -> None:
        self._waiting: list[Gather] = []

    def put_off(self, gather: Gather) -> None:
        """Remember it."""
        self._waiting.append(gather)

    def do(self) -> None:
        """Launch what nobody has taken."""
        while self._waiting:
            gather_rows(*self._waiting.pop(0))

    def taken_for(self, x: Array) -> tuple[Array, Maybe, Maybe, Maybe, Maybe, Maybe]:
        """The first arguments of the convolution's kernel: (source, order, start, gathered, labels, where they go).

        Others than images of float32 and their class numbers are gathered now; without any, `x` is the source.
        """
        images = [g for g in self._waiting if g.out.data.ptr == x.data.ptr and g.source.dtype == g.out.dtype]
        if not images or images[0].start is None:
            self.do()
            return x, None, None, None, None, None
        image = images[0]
        labels = [g for g in self._waiting if _are_labels(g, image)][:1]
        taken = {id(g) for g in (image, *labels)}
        self._waiting = [g for g in self._waiting if id(g) not in taken]
        self.do()
        pair = (labels[0].source, labels[0].out) if labels else (None, None)
        return image.source, image.order, image.start, image.out, *pair


def _are_labels(gather, image):
    """Whether one class number goes with each image."""
    same = gather.order is image.order and gather.start is image.start
    is_one = gather.out.size == len(gather.out) == len(image.out)
    return same and is_one and gather.source.dtype == gather.out.dtype == np.int64


gathers: Gathers = Gathers()
