"""Batch normalization's kernels: against the reference, against float64, with any number of threads."""

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

pytest.importorskip("numba")

from kernel_checks import DTYPES, Output, aligned, compare, few, normal, run_both, seeds

from minicnn import backends
from minicnn.backends.reference import ops as reference
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages

fast = backends.get("numba").ops

shapes = st.tuples(
    st.sampled_from([(1,), (7,), (2, 3, 5), (9, 31, 30)]), st.sampled_from([1, 3, 10, 16, 33, 1030])
).filter(lambda shape: np.prod(shape[0]) * shape[1] < 1e6)


def state(rng, channels, dtype):
    """(moments, moving averages) with numbers in them."""
    numbers = [aligned(rng.random(channels).astype(dtype)) for _ in range(4)]
    return Moments(*numbers[:2]), MovingAverages(*numbers[2:], 0.9)


@DTYPES
@few
@given(shapes, st.booleans(), st.booleans(), st.booleans(), st.booleans(), seeds)
def test_batch_norm(dtype, shape, training, has_added, relu, scales, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    shape = (*shape[0], shape[1])
    x, dy, added = (normal(rng, *shape, dtype=dtype) for _ in range(3))
    gamma, beta = (normal(rng, shape[-1], dtype=dtype) if scales else None for _ in range(2))
    states, results = [state(np.random.default_rng(seed), shape[-1], dtype) for _ in range(2)], []
    for module, (moments, moving) in zip((fast, reference), states, strict=True):
        y = Output(shape, dtype)
        affine = Affine(gamma, beta, relu)
        module.batch_norm(x, y.array, affine, moments, moving, 0.1, training, added if has_added else None)
        y.check()
        results.append([y.array, *moments, *moving[:2]])
    for mine, theirs in zip(*results, strict=True):
        compare(mine, theirs, dtype, terms=np.abs(x).max())  # a mean may be near 0
    moments, y = Moments(*results[0][1:3]), aligned(results[0][0]) if relu and has_added else None
    inputs = {"x": x, "y": y, "dy": dy, "affine": affine, "training": training}
    outputs = {"dx": shape, "dadded": shape if has_added else None, "dgamma": shape[-1:], "dbeta": shape[-1:]}
    # With one sample the two terms of dx, dy · γ / σ and its mean, are equal but for the part along x.
    terms = np.abs(dy).max() * (1 if gamma is None else np.abs(gamma).max())
    run_both("batch_norm_backward", inputs | {"moments": moments}, outputs, dtype, terms)


@DTYPES
@few
@given(st.sampled_from([(1,), (7,), (3, 2, 5)]), st.sampled_from([1, 3, 16, 33]), st.booleans(), st.booleans(), seeds)
def test_folding(dtype, shape, filters, has_bias, has_gamma, seed):
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    vectors = [normal(rng, filters, dtype=dtype) for _ in range(4)]
    inputs = {
        "kernel": normal(rng, *shape, filters, dtype=dtype),
        "bias": vectors[0] if has_bias else None,
        "gamma": vectors[1] if has_gamma else None,
        "beta": vectors[2],
        "mean": vectors[3],
        "variance": aligned(rng.random(filters).astype(dtype)),
        "epsilon": 0.1,
    }
    run_both("fold_normalization", inputs, {"folded_kernel": (*shape, filters), "folded_bias": (filters,)}, dtype)


@DTYPES
@few
@given(shapes, st.booleans(), seeds)
def test_x_tells_where_relu_was_at_work(dtype, shape, has_gamma, seed):
    """The same bits as from y, also where it is 0, -0 or NaN."""
    note(f"seed {seed}")
    rng = np.random.default_rng(seed)
    shape = (*shape[0], shape[1])
    x, dy, y = normal(rng, *shape, dtype=dtype), normal(rng, *shape, dtype=dtype), aligned(np.empty(shape, dtype))
    x[0] = x[-1]  # a sample that is the mean, if there are two
    x[..., -1] = np.inf
    gamma = normal(rng, shape[-1], dtype=dtype) if has_gamma else None
    (moments, moving), affine = state(rng, shape[-1], dtype), Affine(gamma, None, True)
    fast.batch_norm(x, y, affine, moments, moving, 0.1, True)
    results = []
    for told in (None, y):
        outputs = [aligned(np.empty(size, dtype)) for size in (shape, shape, shape[-1:], shape[-1:])]
        fast.batch_norm_backward(x, told, dy, affine, moments, *outputs, True)
        results.append(outputs)
    for with_x, with_y in zip(*results, strict=True):
        np.testing.assert_array_equal(with_x, with_y)


@DTYPES
@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_moments_are_those_of_float64(dtype, mean):
    """Around a large mean, sums of squares in single precision would have no correct digit; the first pixel is far."""
    rng = np.random.default_rng(8)
    x = aligned((rng.standard_normal((4, 31, 33, 5)) + mean).astype(dtype))
    x[0, 0, 0] = 0
    moments, moving = state(rng, 5, dtype)
    before, y = moving.variance.copy(), aligned(np.empty_like(x))
    fast.batch_norm(x, y, Affine(), moments, moving, 1e-3, True)
    variance = x.astype(np.float64).var(axis=(0, 1, 2))
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(moments.mean, x.astype(np.float64).mean(axis=(0, 1, 2)), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(moments.inverse_std, 1 / np.sqrt(variance + 1e-3), rtol=tolerance)
    np.testing.assert_allclose(moving.variance, 0.9 * before + 0.1 * variance, rtol=tolerance)


def test_the_number_of_threads_changes_no_bit():
    rng = np.random.default_rng(9)
    x, added, dy = (normal(rng, 16, 23, 21, 10) for _ in range(3))

    def everything():
        moments, moving = state(np.random.default_rng(1), 10, np.float32)
        y, dx, dadded = (aligned(np.empty_like(x)) for _ in range(3))
        dgamma, dbeta = aligned(np.empty(10, np.float32)), aligned(np.empty(10, np.float32))
        fast.batch_norm(x, y, Affine(relu=True), moments, moving, 1e-3, True, added)
        fast.batch_norm_backward(x, y, dy, Affine(relu=True), moments, dx, dadded, dgamma, dbeta, True)
        return [y, dx, dadded, dgamma, dbeta, *moments, *moving[:2]]

    results = []
    for count in (1, 2):
        with backends.get("numba").use_threads(count):
            results.append(everything())
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_nan_stays_in_its_channel():
    x = normal(np.random.default_rng(10), 2, 4, 4, 3)
    x[1, 2, 3, 1] = np.nan
    moments, moving = state(np.random.default_rng(0), 3, np.float32)
    y = aligned(np.zeros_like(x))
    fast.batch_norm(x, y, Affine(relu=True), moments, moving, 1e-3, True)
    assert np.isnan(y[..., 1]).all()
    assert np.isfinite(y[..., ::2]).all()
