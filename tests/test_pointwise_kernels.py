"""Kernels made of formulas, softmax, normalization of samples, resizing, parts: against the reference and float64."""

import math

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

pytest.importorskip("numba")

from kernel_checks import DTYPES, Output, aligned, few, normal, run_both, seeds

from minicnn import backends
from minicnn.backends.numba.machine.elementwise import elementwise, rows_of
from minicnn.backends.reference import ops as reference
from minicnn.backends.reference.pointwise import FUNCTIONS
from minicnn.resampling import Taps, taps_between

fast = backends.get("numba").ops

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0, -6.0, 100.0, -100.0]
SEVERAL = ["add", "added_relu", "multiply", "maximum", "minimum", "average"]
SINGLE = [name for name in FUNCTIONS if f"{name}_gradient" in FUNCTIONS]
NUMBERS = {"capped_relu": (6.0,), "leaky_relu": (0.2,), "clip": (-0.5, 0.75)}
shapes = st.sampled_from([(1, 1), (3, 7), (2, 50, 14, 3), (3, 14, 15, 16), (2, 70, 33), (70001, 1)])


def broadcast(draw, shape):
    """A shape that counts for all of another one: some axes are 1, some of the first ones are missing."""
    ones = tuple(draw(st.sampled_from([1, n])) for n in shape)
    return ones[draw(st.integers(0, len(shape) - 1)) :]


# ------------------------------------------------------------------------------------------- functions of one number

ACCURATE = {  # what is in units of the last place, of numbers of an ordinary size
    "exp": (np.exp, np.linspace(-80, 80, 4001)),
    "expm1": (np.expm1, np.concatenate([np.linspace(-80, 80, 4001), np.geomspace(1e-20, 1, 99)])),
    "log": (np.log, np.geomspace(1e-30, 1e30, 4001)),
    "log1p": (np.log1p, np.concatenate([np.linspace(-0.99, 50, 4001), np.geomspace(1e-20, 1, 99)])),
    "tanh": (np.tanh, np.concatenate([np.linspace(-30, 30, 4001), np.geomspace(1e-20, 1, 99)])),
}


@DTYPES
@pytest.mark.parametrize("name", ACCURATE)
def test_elementary_functions_are_right_to_the_last_digits(dtype, name):
    """Against long double; 3 units in the last place."""
    function, x = ACCURATE[name]
    x, y = aligned(x.astype(dtype)), Output(x.shape, dtype)
    elementwise(function, f"test_{name}")(y.array, (x,), (), rows_of(x.shape, x.shape))
    y.check()
    expected = function(x.astype(np.longdouble))
    error = np.abs(y.array - expected) / np.spacing(np.abs(expected).astype(dtype))
    assert error.max() <= 3, x[error.argmax()]


@DTYPES
@pytest.mark.parametrize("name", SINGLE)
def test_activations(dtype, name):
    """The function and its gradient, on ordinary numbers."""
    rng, numbers = np.random.default_rng(0), NUMBERS.get(name, ())
    x = aligned((3 * rng.standard_normal(5003)).astype(dtype))
    inputs = {"inputs": (x,), "name": name, "numbers": numbers}
    run_both("pointwise", inputs, {"y": x.shape}, dtype, terms=1)
    inputs |= {"inputs": (x, normal(rng, 5003, dtype=dtype)), "name": f"{name}_gradient"}
    run_both("pointwise", inputs, {"y": x.shape}, dtype, terms=1)


@DTYPES
@pytest.mark.parametrize("name", SINGLE)
def test_what_is_not_finite_is_what_the_formula_says(dtype, name):
    x, numbers = aligned(np.array(SPECIAL, dtype)), NUMBERS.get(name, ())
    dy = aligned(np.full(len(x), 2, dtype))
    for inputs, function in (((x,), name), ((x, dy), f"{name}_gradient")):
        mine, theirs = np.zeros_like(x), np.zeros_like(x)
        with np.errstate(all="ignore"):
            fast.pointwise(mine, inputs, function, numbers)
            reference.pointwise(theirs, inputs, function, numbers)
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


# -------------------------------------------------------------------------------------------------- several arrays


@DTYPES
@few
@given(st.data(), shapes, st.sampled_from(SEVERAL), st.integers(2, 3), seeds)
def test_several_arrays(dtype, data, shape, name, count, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    others = [normal(rng, *broadcast(data.draw, shape), dtype=dtype) for _ in range(count - 1)]
    inputs = (normal(rng, *shape, dtype=dtype), *others)
    run_both("pointwise", {"inputs": inputs, "name": name}, {"y": shape}, dtype)


@DTYPES
@few
@given(st.data(), shapes, seeds)
def test_sums(dtype, data, shape, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    inputs = normal(rng, *shape, dtype=dtype), normal(rng, *broadcast(data.draw, shape), dtype=dtype)
    wanted, terms = broadcast(data.draw, shape), np.prod(shape) ** 0.5
    run_both("pointwise_sum", {"inputs": inputs, "name": "multiply", "factor": 0.5}, {"y": wanted}, dtype, terms)


def test_long_sums_are_those_of_float64():
    """Of numbers whose sum in single precision has three correct digits."""
    x, total = aligned(np.full((1 << 20, 1), 0.1, np.float32)), np.zeros(1, np.float32)
    fast.pointwise_sum(total, (x,), "copy")
    np.testing.assert_allclose(total, np.float64(np.float32(0.1)) * (1 << 20), rtol=1e-7)


@pytest.mark.parametrize("name", ["gelu", "sum"])
def test_any_number_of_threads(name):
    x, results = normal(np.random.default_rng(3), 40, 30, 20, 8), []
    for threads in (1, 2):
        with backends.get("numba").use_threads(threads):
            y = aligned(np.zeros(x.shape if name == "gelu" else (8,), np.float32))
            fast.pointwise(y, (x,), "gelu") if name == "gelu" else fast.pointwise_sum(y, (x,), "copy")
        results.append(y.tobytes())
    assert results[0] == results[1]


def test_an_output_may_be_an_input():
    x, other = normal(np.random.default_rng(0), 30001), normal(np.random.default_rng(1), 30001)
    expected = x + other
    fast.pointwise(x, (x, other), "add")
    np.testing.assert_array_equal(x, expected)


# --------------------------------------------------------------------------------------------------------- softmax


@DTYPES
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 10), -1), ((4, 3, 2, 33), -1), ((4, 3, 7), (1, 2)), ((3, 4, 2), 1), ((1, 1), -1)]
)
def test_softmax(dtype, shape, axis, log):
    rng = np.random.default_rng(0)
    x = aligned((5 * rng.standard_normal(shape) + 200).astype(dtype))  # exp(200) is infinite in float32
    y = run_both("softmax", {"x": x}, {"y": shape}, dtype, axis=axis, log=log, terms=200)["y"]
    total = (np.exp(y.astype(np.float64)) if log else y.astype(np.float64)).sum(axis=axis)
    np.testing.assert_allclose(total, 1, rtol=1e-4 if log else 1e-6)
    inputs = {"y": aligned(y), "dy": normal(rng, *shape, dtype=dtype)}
    run_both("softmax_backward", inputs, {"dx": shape}, dtype, axis=axis, log=log, terms=3)


@DTYPES
def test_large_numbers_keep_their_digits_in_a_logarithm(dtype):
    """The logarithm of the sum is subtracted from differences, not from the large numbers themselves."""
    x = aligned((1e4 + np.arange(4.0) + np.zeros((3, 1))).astype(dtype))
    y = np.zeros_like(x)
    fast.softmax(x, y, log=True)
    expected = np.arange(4) - 3 - np.log(np.exp(np.arange(4.0) - 3).sum())
    np.testing.assert_allclose(y, np.broadcast_to(expected, x.shape), rtol=1e-6)


@DTYPES
def test_softmax_of_what_is_not_finite(dtype):
    rows = [[np.nan, 0, 1], [0, np.nan, 1], [-np.inf, 0, 1], [np.inf, 0, 1], [-np.inf] * 3]
    x = aligned(np.array(rows, dtype))
    mine, theirs = np.zeros_like(x), np.zeros_like(x)
    fast.softmax(x, mine)
    with np.errstate(all="ignore"):
        reference.softmax(x, theirs)
    np.testing.assert_allclose(mine, theirs, rtol=1e-5)


# ---------------------------------------------------------------------------------------------- samples, images, parts


@DTYPES
@few
@given(
    st.sampled_from([(3, 1, 5, 1), (2, 12, 6, 2), (4, 9, 32, 32), (40, 1, 96, 1), (1, 1, 1, 1), (5, 49, 48, 8)]),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_standardize(dtype, sizes, centred, has_weights, seed):
    note(f"seed {seed}")
    rng, (samples, pixels, channels, groups) = np.random.default_rng(seed), sizes
    x, dy = (normal(rng, samples, pixels, channels, dtype=dtype) for _ in range(2))
    gamma, beta = (normal(rng, channels, dtype=dtype) if has_weights else None for _ in range(2))
    moments = {"mean": (samples, groups), "inverse_std": (samples, groups)}
    options, inputs = {"centred": centred, "terms": 3}, {"x": x, "gamma": gamma, "beta": beta}
    found = run_both("standardize", inputs, {"y": x.shape, **moments}, dtype, epsilon=1e-2, **options)
    inputs = {"x": x, "dy": dy, "gamma": gamma} | {name: aligned(found[name]) for name in moments}
    outputs = {"dx": x.shape, "dgamma": (channels,) if has_weights else None, "dbeta": (channels,)}
    terms = 10 * np.abs(found["inverse_std"]).max() * max(1, pixels * samples) ** 0.5
    run_both("standardize_backward", inputs, outputs, dtype, terms, centred=centred)


@DTYPES
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("size", [(7, 9), (3, 2), (10, 12)])
def test_resample(dtype, method, channels, size):
    rng = np.random.default_rng(0)
    x, big = (normal(rng, 3, *s, channels, dtype=dtype) for s in ((5, 6), size))
    taps = [taps_between(old, new, method) for old, new in zip((5, 6), size, strict=True)]
    back = [t.transposed(old) for t, old in zip(taps, (5, 6), strict=True)]
    for source, target, (rows, columns) in ((x, big.shape, taps), (big, x.shape, back)):
        options = {"rows": typed(rows, dtype), "columns": typed(columns, dtype), "terms": 3}
        run_both("resample", {"x": source}, {"y": target}, dtype, **options)


def typed(taps, dtype):
    return Taps(taps.index, None if taps.weight is None else taps.weight.astype(dtype))


@DTYPES
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_parts(dtype, axis):
    rng, size = np.random.default_rng(0), [3, 14, 15, 16]
    part = normal(rng, *size, dtype=dtype)
    size[axis] += 4
    whole = normal(rng, *size, dtype=dtype)
    run_both("take_part", {"x": whole}, {"y": part.shape}, dtype, axis=axis, start=3)
    mine, theirs = aligned(whole), aligned(whole)
    fast.put_part(part, mine, axis, 2)
    reference.put_part(part, theirs, axis, 2)
    np.testing.assert_array_equal(mine, theirs)


@DTYPES
@pytest.mark.parametrize("shape", [(3, 49, 20), (1, 1, 1), (2, 300, 3)])
def test_global_max(dtype, shape):
    """Of whole numbers: the largest one is there several times, and the first counts; once of NaN too."""
    rng = np.random.default_rng(0)
    x, count = aligned(rng.integers(-3, 4, shape).astype(dtype)), (shape[0], shape[2])
    y = run_both("global_max", {"x": x}, {"y": count}, dtype)["y"]
    dy = normal(rng, *count, dtype=dtype)
    run_both("global_max_backward", {"x": x, "y": aligned(y), "dy": dy}, {"dx": shape}, dtype)
    x[0, shape[1] // 2, 0] = np.nan
    mine, theirs = np.zeros(count, dtype), np.zeros(count, dtype)
    fast.global_max(x, mine)
    reference.global_max(x, theirs)
    np.testing.assert_array_equal(mine, theirs)
    found = [aligned(np.zeros(shape, dtype)) for _ in range(2)]
    for module, dx in zip((fast, reference), found, strict=True):
        module.global_max_backward(x, aligned(mine), dy, dx)
    np.testing.assert_array_equal(*found)


@DTYPES
def test_normal_numbers(dtype):
    """Against the formula in float64, and a normal distribution's moments."""
    pairs = aligned(np.random.default_rng(0).random((3, 30001, 2), dtype=np.float32))
    numbers = Output((3, 30001), dtype)
    fast.normal(pairs, numbers.array)
    numbers.check()
    u, v = pairs[..., 0].astype(np.float64), pairs[..., 1].astype(np.float64)
    expected = np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * math.pi * v)
    assert np.abs(numbers.array - expected).max() < 2e-6  # 2πv is rounded to single precision
    assert abs(numbers.array.mean()) < 0.02
    assert abs(numbers.array.std() - 1) < 0.01


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum"])
@pytest.mark.parametrize("size", [5, 5000])
def test_one_operand_is_what_a_fold_of_it_is(name, size, rng):
    x, y = rng.standard_normal(size, np.float32), np.full(size, 9, np.float32)
    backends.get("numba").ops.pointwise(y, (x,), name)
    np.testing.assert_array_equal(y, x)
