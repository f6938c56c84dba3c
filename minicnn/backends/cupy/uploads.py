"""Copies of data from the host, through pinned memory: the device reads it by itself while the host goes on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import cupy
import numpy as np

from minicnn.locks import Lock
from minicnn.threads import get_num_threads

HALF_BYTES = 2**22  # of the memory that arrays pass through, which is filled half by half
MOST_THREADS = 4  # that fill pinned memory: one alone copies less than a link of PCIe 5 carries
LEAST_BYTES = 2**19  # that one of them copies


class PinnedCopies:
    """Arrays of any layout and dtype to the device, in the order of what is launched on the current stream.

    They pass through a piece of pinned memory, which has two halves: the host fills one while the device reads the
    other. So nothing waits for the device but who fills a half that it still reads, and a user's array may change as
    soon as `copy` returns.
    """

    def __init__(self) -> None:
        self._halves = []
        self._copied = [{}, {}]  # of each half, stream → when the device has read what it copies on that stream
        self._turn, self._used = 0, 0
        self._lock, self._is_copying = Lock(), False

    def copy(self, array: np.ndarray, out: cupy.ndarray) -> None:
        """out = array.

        Parameters
        ----------
        array : (N, …)
        out : device array (N, …), written
            C-contiguous; of a dtype that `array` is cast to.
        """
        with self._lock:
            if self._is_copying:  # a handler of signals computes, in the midst of a copy
                out.set(np.ascontiguousarray(array, out.dtype))
                return
            self._is_copying = True
            try:
                self._copy(array, out)
            finally:
                self._is_copying = False

    def _copy(self, array, out):
        if out.size == 0:
            return
        rows = HALF_BYTES // (out.nbytes // len(out))
        if rows == 0:  # one alone is too large
            for row, target in zip(array, out, strict=True):
                self._copy(row, target)
            return
        stream = cupy.cuda.get_current_stream()
        for first in range(0, len(out), rows):
            target = out[first : first + rows]
            piece = self._place(target)
            _fill(piece, array[first : first + rows], None)
            target.set(piece, stream=stream)
            self._copied[self._turn][stream.ptr] = stream.record()

    def _place(self, like):
        """Pinned memory that the device does not read any more, as a NumPy array like `like`."""
        if not self._halves:
            self._halves = [cupy.cuda.alloc_pinned_memory(HALF_BYTES) for _ in range(2)]
        if self._used + like.nbytes > HALF_BYTES:
            self._turn, self._used = 1 - self._turn, 0
            for copied in self._copied[self._turn].values():
                copied.synchronize()
            self._copied[self._turn] = {}
        start, self._used = self._used, -(-(self._used + like.nbytes) // 256) * 256
        return np.frombuffer(self._halves[self._turn], like.dtype, like.size, start).reshape(like.shape)


def _fill(piece, source, indices):
    """piece = source[indices], or the source itself, cast; by several threads if it is much."""
    count = max(1, min(MOST_THREADS, get_num_threads(), piece.nbytes // LEAST_BYTES))
    if indices is None:
        _in_parts(len(piece), count, lambda rows: np.copyto(piece[rows], source[rows], casting="unsafe"))
    elif source.flags.c_contiguous and source.dtype == piece.dtype:  # no array in between
        take = {"axis": 0, "mode": "clip"}  # "raise", the default, has one
        _in_parts(len(piece), count, lambda rows: np.take(source, indices[rows], out=piece[rows], **take))
    else:
        _in_parts(len(piece), count, lambda rows: np.copyto(piece[rows], source[indices[rows]], casting="unsafe"))


def _in_parts(rows: int, count: int, fill: Callable[[slice], object]) -> None:
    """Call `fill` for parts of so many rows, each in a thread of its own; errors come back."""
    if count == 1:
        fill(slice(None))
        return
    size = -(-rows // count)
    parts = [_threads().submit(fill, slice(start, start + size)) for start in range(0, rows, size)]
    wait(parts)
    for part in parts:
        part.result()


@cache
def _threads():
    return ThreadPoolExecutor(MOST_THREADS, "minicnn-uploads")


class Uploads:
    """Copies from the host that run beside the kernels: two sets of pinned buffers, one stream."""

    def __init__(self) -> None:
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._buffers, self._copied = {}, {}
        self._free = cupy.cuda.get_current_stream().record()  # when the device has done with the other set's arrays

    def start(self, turn: int, data: Any, source: Any, indices: np.ndarray) -> None:
        """Start copying the samples `indices` of a source into `data`.

        Parameters
        ----------
        turn : {0, 1}
            Which set of buffers; the sets take turns.
        """
        if turn in self._copied:
            self._copied[turn].synchronize()  # the buffers may be filled again
        pairs = []
        for i, (host, array) in enumerate(zip(source.arrays, data.arrays, strict=True)):
            buffer = self._buffer((turn, i), array)[: len(indices)]
            _fill(buffer, host, indices)
            pairs.append((array[: len(indices)], buffer))
        self._stream.wait_event(self._free)
        for array, buffer in pairs:
            array.set(buffer, stream=self._stream)
        self._copied[turn] = self._stream.record()
        data.version += 1

    def finish(self, turn: int) -> None:
        """Kernels that are launched from now on read what was copied."""
        current = cupy.cuda.get_current_stream()
        self._free = current.record()  # all kernels that read the other set are launched
        current.wait_event(self._copied[turn])

    def wait(self) -> None:
        """Wait for the copies that are on their way; what they write may be freed then."""
        self._stream.synchronize()

    def _buffer(self, key, like):
        """The host array for a key, in memory that the device reads by itself."""
        if key not in self._buffers:
            memory = cupy.cuda.alloc_pinned_memory(max(like.nbytes, 1))
            self._buffers[key] = np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)
        return self._buffers[key]
