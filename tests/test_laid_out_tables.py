"""Named tuples that kernels read where they lie, and functions that count no references."""

import gc
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")

from kernel_checks import aligned
from numba.core.runtime import _nrt_python, rtsys

from minicnn.backends.numba.convolution import tile_forward, tile_gradients
from minicnn.backends.numba.machine.compiled import without_collector
from minicnn.backends.numba.machine.launch import serial_kernel
from minicnn.backends.numba.machine.tables import laid_out, table_at
from minicnn.backends.numba.tiles import dense
from minicnn.geometry import make_window


class Inner(NamedTuple):
    low: np.ndarray
    flag: bool
    high: np.ndarray


class Outer(NamedTuple):
    first: int
    inner: Inner
    last: int
    further: np.ndarray


@serial_kernel
def _read(out, words, at):
    outer = table_at(words, at, Outer)
    inner = outer.inner
    out[0], out[1], out[2] = outer.first, outer.last, 1 if inner.flag else 0
    out[3], out[4], out[5] = len(inner.low), len(inner.high), len(outer.further)
    place = 6
    for table in (inner.low, inner.high, outer.further):
        for number in table:
            out[place] = number
            place += 1


@pytest.mark.parametrize("flag", [True, False])
def test_every_field_is_read_wherever_the_words_lie(flag):
    tables = Outer(-5, Inner(np.arange(3), flag, np.zeros(0, np.int64)), 1 << 40, np.array([[7, 8], [9, -1]]))
    words, out = laid_out(tables), np.zeros(13, np.int64)
    _read(out, np.concatenate([np.full(11, -3), words, words]), 11)
    assert out.tolist() == [-5, 1 << 40, int(flag), 3, 0, 4, 0, 1, 2, 7, 8, 9, -1]


@pytest.fixture
def held():
    """How many allocations of kernels are there."""
    was_on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()

    def count():
        counts = rtsys.get_allocation_stats()
        return counts.alloc - counts.free

    yield count
    if not was_on:
        _nrt_python.memsys_disable_stats()


def test_kernels_on_tiles_leave_no_memory_behind(rng, held):
    def numbers(*shape):
        return aligned(rng.standard_normal(shape, np.float32))

    def run(channels, pool):
        window = make_window((9, 9), (3, 3), (1, 1), "same")
        cells = make_window((9, 9), (3, 3), (3, 3), "valid") if pool else None
        side = 3 if pool else 9
        x, kernel, y, bias = (
            numbers(3, 9, 9, channels),
            numbers(3, 3, channels, 8),
            numbers(3, side, side, 8),
            numbers(8),
        )
        winner = aligned(np.zeros(y.shape, np.uint8)) if pool else None
        assert tile_forward.conv2d(x, kernel, bias, (y, winner), window, cells, True, 1)
        gradient, out = (y, None if pool else y, winner), (numbers(*x.shape), numbers(*kernel.shape), numbers(8))
        assert tile_gradients.conv2d_backward(x, kernel, gradient, out, window, cells, 1)
        x, kernel, y = numbers(40, 33), numbers(33, 35), numbers(40, 35)
        assert dense.dense(x, kernel, numbers(35), y, True, 1)
        assert dense.dense_backward(x, kernel, y, y, (numbers(40, 33), numbers(33, 35), numbers(35)), 1)

    cases = [(channels, pool) for channels in (3, 17) for pool in (False, True)]
    for case in cases:  # once, for what stays: tables
        run(*case)
    before = held()
    for case in cases:
        run(*case)
    assert held() == before


@pytest.mark.parametrize("interrupted", ["at once", "later", "never"])
def test_the_collector_that_waits_is_switched_on_again(interrupted, monkeypatch):
    """Ctrl+C may come between any two of Python's instructions."""
    disable = gc.disable

    def disable_and_stop():
        disable()
        if interrupted == "at once":
            raise KeyboardInterrupt

    monkeypatch.setattr(gc, "disable", disable_and_stop)
    assert gc.isenabled()
    try:
        with without_collector():
            assert not gc.isenabled()
            if interrupted == "later":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert interrupted != "never"
    is_on = gc.isenabled()
    gc.enable()
    assert is_on


def test_a_collector_that_the_user_has_switched_off_stays_so():
    gc.disable()
    try:
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
