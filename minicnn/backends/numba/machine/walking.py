"""Recorded calls, made again: kernels one after the other below Python, by one call for all of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minicnn.backends.numba.machine import pool
from minicnn.backends.numba.machine.atomics import call_packed
from minicnn.backends.numba.machine.launch import serial_kernel
from minicnn.backends.numba.machine.packed import Packed, packed_call
from minicnn.backends.numba.machine.recording import Call, Recorded
from minicnn.precision import get_float32_precision

# Ctrl-C is noticed where Python gets back, and so much later nobody notices; what Python costs is nothing beside it.
_MOST_NANOSECONDS = 20e6


@serial_kernel
def _walk(calls):
    """Make packed calls, rows (entry, address of the words), until one does not return 0; returns how many did."""
    for i in range(len(calls)):
        if call_packed(calls[i, 0], calls[i, 1]) != 0:
            return i
    return len(calls)


class _Kernels:
    """Kernels that follow each other: machine code walks down their list.

    Parameters
    ----------
    calls : list of Call
        They keep what the words point to.
    packed : list of Packed
        The same, packed.
    """

    def __init__(self, calls: list[Call], packed: list[Packed]) -> None:
        self._calls = calls
        self._words = [np.array(call.words or [0], np.int64) for call in packed]
        self._addresses = [
            words[i : i + 1] for call, words in zip(packed, self._words, strict=True) for i in call.addresses
        ]
        entries = [(call.entry, words.ctypes.data) for call, words in zip(packed, self._words, strict=True)]
        self._rows = np.array(entries, np.int64)  # (calls, 2)
        self._walk = _walk.entry([self._rows])

    def __call__(self) -> int:
        """Make the calls, until one has another result than when it was recorded; returns how many had the same."""
        return self._walk(self._rows)

    def words_in(self, start: int, size: int) -> list[np.ndarray]:
        """Views (1,) of the words that are addresses of arrays among some bytes."""
        return [word for word in self._addresses if start <= word[0] < start + size]


class _OfPython:
    """A recorded call of what is no kernel; called as `_Kernels` are."""

    def __init__(self, recorded: Call) -> None:
        self._recorded = recorded

    def __call__(self) -> int:
        function, arguments, result, _ = self._recorded
        return int(function(*arguments) is result)


class _Piece(NamedTuple):
    run: Callable[[], int]
    owners: list[int]  # for each call: the number of the work that it belongs to


class Repeated:
    """Works on the same arrays, one after the other, done by the calls of their first time.

    Where a call's result is another than then, numbers are not finite and need another way: the work that it belongs to
    is done anew.

    Parameters
    ----------
    works : sequence of callable
        Each assigns results, from arrays that are the same every time, by ops alone.

    Attributes
    ----------
    is_shared : bool
        Whether several threads may do a part, as far as it is known.
    """

    def __init__(self, works: Sequence[Callable[[], None]]) -> None:
        self.is_shared: bool = True
        self._works = works
        self._pool = self._precision = None
        self._is_moved = self._are_kernels = False

    def __call__(self) -> None:
        self.move_back()  # Ctrl-C may have come before somebody else did
        if not self._is_as_then():  # the first time; in a forked child, too
            self._recorded, self._pieces, self._places = [Recorded(work) for work in self._works], None, {}
            self._are_kernels = False
            self._pool, self._precision = pool.pool(), get_float32_precision()  # last: Ctrl-C may come between
        if self._pieces is None:
            self._record()
            return
        for run, owners in self._pieces:
            if (done := run()) < len(owners):
                self._go_on(owners[done])
                return

    def again(self) -> bool:
        """Make the recorded calls, which need no BLAS; returns False if some are not known, or have other results."""
        if not self._is_as_then() or self._pieces is None or not self._is_whole:
            return False
        return all(run() == len(owners) for run, owners in self._pieces)

    def can_move(self) -> bool:
        """Whether all that is done is kernels', which may be told to read elsewhere."""
        return self._are_kernels

    def move(self, array: np.ndarray, distance: int) -> None:
        """Have kernels read an array, in which nothing else lies, so many bytes further on, until `move_back`."""
        start = array.__array_interface__["data"][0]
        if start not in self._places:
            found = [word for run, _ in self._pieces for word in run.words_in(start, array.nbytes)]
            self._places[start] = [(word, int(word[0])) for word in found]
        self._is_moved = True  # first: Ctrl-C may come between
        for word, address in self._places[start]:
            word[0] = address + distance

    def move_back(self) -> None:
        """Have kernels read all arrays where they are."""
        if self._is_moved:
            for places in self._places.values():
                for word, address in places:
                    word[0] = address
            self._is_moved = False  # last

    def _is_as_then(self):
        return self._pool is pool.pool() and self._precision == get_float32_precision()

    def _record(self):
        for recorded in self._recorded:
            recorded.record()
        if all(recorded.is_settled for recorded in self._recorded):
            calls = [call for recorded in self._recorded for call in recorded.calls or ()]
            self._is_whole = all(recorded.calls is not None for recorded in self._recorded)
            firsts = [call.arguments[0] for call in calls if call.arguments]  # of a kernel: the pool, if it is for it
            self.is_shared = any(isinstance(first, int) and first == self._pool.address for first in firsts)
            self._pieces = _pieces(self._recorded)
            self._are_kernels = all(isinstance(run, _Kernels) for run, _ in self._pieces)

    def _go_on(self, first):
        """Do the works from number `first` on, as if they had never been done before."""
        for work in self._works[first:]:
            work()


def _pieces(works):
    """The fewest calls that do recorded works."""
    calls = []  # (call, its packed form or None, the number of its work)
    for number, work in enumerate(works):
        own = work.calls if work.calls is not None else [Call(work.work, (), None, 0)]
        calls += [(call, packed_call(call.function, call.arguments), number) for call in own]
    pieces, together, time = [], [], 0

    def close():
        if together:
            kernels, packed, owners = zip(*together, strict=True)
            pieces.append(_Piece(_Kernels(kernels, packed), owners))
            together.clear()

    for call, packed, owner in calls:
        time = time + call.nanoseconds if together else call.nanoseconds
        if packed is None or time > _MOST_NANOSECONDS:
            close()
            time = call.nanoseconds
        if packed is None:
            pieces.append(_Piece(_OfPython(call), [owner]))
        else:
            together.append((call, packed, owner))
    close()
    return pieces
