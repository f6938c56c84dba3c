"""The matrix product of rows at equal distances against sums in float64."""

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import given
from hypothesis import strategies as st

from minicnn import backends
from minicnn.backends.numba.machine import target
from minicnn.backends.numba.machine.even import MULTIPLY_EVEN, Even, are_even, multiply_even
from minicnn.backends.numba.machine.launch import parallel_kernel

POISON = 1e30
ZEN = ("x86_64-unknown-linux-gnu", {"+avx2", "+fma"}, "znver3")


@parallel_kernel(uses=[MULTIPLY_EVEN])
def _product(pool, x, y, z, starts, left, right, out, rows, inner, vectors, accumulate):
    multiply_even(
        Even(x, starts[0], left[0], left[1]),
        Even(y, starts[1], right[0], right[1]),
        Even(z, starts[2], out[0], out[1]),
        rows,
        inner,
        vectors,
        accumulate,
    )


def _array(numbers):
    array = backends.get("numba").empty(numbers.shape, numbers.dtype)
    array[...] = numbers
    return array


@given(
    st.integers(1, 7),
    st.integers(0, 19),
    st.sampled_from([1, 2, 4, 6]),
    st.tuples(*[st.integers(0, 5)] * 6),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**32 - 1),
)
def test_the_product(blocks, inner, vectors, gaps, is_transposed, accumulate, dtype, seed):
    rows, rng = blocks * target.ROWS, np.random.default_rng(seed)
    columns = vectors * target.lanes(np.dtype(dtype).itemsize)
    left = (1, rows + gaps[3]) if is_transposed else (max(inner, 1) + gaps[3], 1)  # the rows of a kernel's gradient
    right, out = (columns + gaps[4], 1), (columns + gaps[5], 1)
    x = _array(rng.normal(size=gaps[0] + rows * left[0] + max(inner, 1) * left[1]).astype(dtype))
    y = _array(rng.normal(size=gaps[1] + max(inner, 1) * right[0]).astype(dtype))
    z = _array(rng.normal(size=gaps[2] + rows * out[0]).astype(dtype))

    def seen(array, start, strides, shape):
        index = start + np.arange(shape[0])[:, None] * strides[0] + np.arange(shape[1]) * strides[1]
        return array[index].astype(np.float64)

    before = seen(z, gaps[2], out, (rows, columns)) if accumulate else 0.0
    expected = before + seen(x, gaps[0], left, (rows, inner)) @ seen(y, gaps[1], right, (inner, columns))
    kept = np.ones(len(z), bool)
    kept[(gaps[2] + np.arange(rows)[:, None] * out[0] + np.arange(columns)).reshape(-1)] = False
    z[kept] = POISON
    arguments = np.array(gaps[:3]), np.array(left), np.array(right), np.array(out)
    _product(x, y, z, *arguments, rows, inner, vectors, accumulate)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(seen(z, gaps[2], out, (rows, columns)), expected, rtol=tolerance, atol=10 * tolerance)
    assert (z[kept] == np.array(POISON, dtype)).all()  # nothing else is written


def test_a_nan_stays_in_its_row():
    lanes = target.lanes(4)
    x, y, z = _array(np.ones(8 * 4, "f4")), _array(np.ones(4 * lanes, "f4")), _array(np.zeros(8 * lanes, "f4"))
    x[5 * 4 + 1] = np.nan
    strides = [np.array(pair) for pair in ((0, 0, 0), (4, 1), (lanes, 1), (lanes, 1))]
    _product(x, y, z, *strides, 8, 4, 1, False)
    assert np.isnan(z.reshape(8, lanes)).all(axis=1).tolist() == [row == 5 for row in range(8)]
    assert (np.delete(z.reshape(8, lanes), 5, axis=0) == 4).all()


def test_which_products():
    most = target.TARGET.wide_block[1] or 9
    assert [n for n in range(1, 9) if are_even.py_func(n)] == [n for n in (1, 2, 4, 6, 8) if n < most]


def test_processors_with_a_third_cache_for_a_few_cores():
    assert target.describe_target(*ZEN).near_third_cache
    assert not target.describe_target(*ZEN[:2], "sapphirerapids").near_third_cache
    assert not target.describe_target(*ZEN[:2]).near_third_cache
