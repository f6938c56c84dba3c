"""The matrix product whose operands lie where tables say, against sums in float64; and what tables' runs are."""

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import example, given
from hypothesis import strategies as st

from minicnn import backends
from minicnn.backends.numba.machine.launch import parallel_kernel
from minicnn.backends.numba.machine.matrix import MULTIPLY, Left, Out, Right, Span, multiply
from minicnn.backends.numba.machine.offsets import row_table, run_of

POISON = 1e30


@parallel_kernel(uses=[MULTIPLY])
def _product(pool, x, y, z, first, starts, tables, span, accumulate, floor):
    multiply(
        Left(x, starts[0], tables[0], tables[1]),
        Right(y, starts[1], tables[2]),
        Out(z, starts[2], tables[3]),
        Span(span[0], span[1], span[2], span[3], span[4], span[5]),
        first=first,
        accumulate=accumulate,
        floor=floor[0],
    )


def _array(numbers):
    array = backends.get("numba").empty(numbers.shape, numbers.dtype)
    array[...] = numbers
    return array


def _tables_with_runs(rng, inner, run):
    """Two tables of offsets, at distances that are others in each run."""
    starts = np.arange(inner) // run * run
    left, right = (np.zeros(inner, np.int64) for _ in "ab")
    for begin in np.unique(starts):
        here = starts == begin
        left[here] = rng.integers(0, 50) + np.arange(here.sum()) * rng.integers(0, 4)
        right[here] = rng.integers(0, 200) + np.arange(here.sum()) * rng.integers(0, 90)
    return left, right


@given(
    st.integers(1, 15),
    st.integers(1, 40),
    st.integers(1, 130),
    st.integers(1, 45),
    st.integers(0, 20),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**32 - 1),
)
@example(12, 40, 32, 17, 20, False, True, "float32", 0)  # a range that begins and ends within runs
def test_the_product(rows, inner, columns, run, skipped, accumulate, relu, dtype, seed):
    rng, first_k = np.random.default_rng(seed), min(skipped, inner)
    left_k, right_k = _tables_with_runs(rng, inner, run)
    left_rows, out_rows = np.sort(rng.integers(0, 99, rows)), np.arange(rows) * (columns + 3)
    x = _array(rng.normal(size=5 + left_rows.max() + left_k.max() + 1).astype(dtype))
    y = _array(rng.normal(size=7 + right_k.max() + columns + 256).astype(dtype))
    z = _array(rng.normal(size=2 + out_rows.max() + columns + 256).astype(dtype))
    bias = _array(rng.normal(size=columns + 256).astype(dtype))
    left = x[5 + left_rows[:, None] + left_k[first_k:]].astype(np.float64)
    right = y[7 + right_k[first_k:, None] + np.arange(columns)].astype(np.float64)
    places = 2 + out_rows[:, None] + np.arange(columns)
    expected = left @ right + (z[places] if accumulate else bias[:columns]).astype(np.float64)
    kept = np.ones(len(z), bool)
    kept[places.reshape(-1)] = False
    z[kept] = POISON
    tables = row_table(left_rows), left_k, right_k, row_table(out_rows)
    floor = np.array([0 if relu else -np.inf], dtype)
    results = []
    for length in (run, 1):  # as it is, and as if nothing was known
        out = _array(z)
        span = np.array([first_k, inner, 0, rows, columns, length])
        _product(x, y, out, bias, np.array([5, 7, 2]), tables, span, accumulate, floor)
        assert (out[kept] == np.array(POISON, dtype)).all()  # nothing else is written
        results.append(out[places])
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(
        results[0], np.maximum(expected, floor[0]), rtol=tolerance, atol=100 * tolerance * (1 + np.sqrt(inner))
    )
    assert np.array_equal(results[0], results[1])  # to the bit


def _is_run(table, run):
    """Whether all steps from a multiple of `run` to the next one are equal."""
    return all(len(set(np.diff(table[i : i + run]))) <= 1 for i in range(0, len(table), run))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=14))
@example([1, 1, 8, 1, 1, 8, 1, 1])
@example([1, 1, 1, 8, 1, 1, 1, 1, 1])
@example([1, 8, 1, 8, 1])
def test_runs(steps):
    """No step of a run differs; and where one number of offsets follows another one, no longer ones are left out."""
    table = np.concatenate([[0], np.cumsum(steps)])
    run = run_of(table)
    assert _is_run(table, run)
    assert run == len(table) or not _is_run(table, len(table))


@given(st.integers(1, 5), st.integers(2, 6), st.integers(2, 7), st.integers(1, 9))
def test_runs_of_windows(rows, columns, channels, gap):
    table = np.add.outer(np.arange(rows) * 1000, np.arange(columns) * (channels + gap))
    table = np.add.outer(table, np.arange(channels)).reshape(-1)
    assert run_of(table) == channels
    assert run_of(table, np.arange(len(table)) * 7) == channels
    assert run_of(np.arange(len(table)) * 7) == len(table)


def test_runs_of_few():
    assert run_of(np.array([3])) == 1 and run_of(np.array([3, 9])) == 2
    assert run_of(np.array([0, 1, 2, 10, 11, 12]), np.array([0, 1, 2, 3, 4, 9])) == 1
