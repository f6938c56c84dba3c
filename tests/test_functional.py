"""`minicnn.functional`: one-off calls on plain arrays, against naive loops."""

import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import BACKENDS, assert_close, every_backend

import minicnn as mc
from minicnn import functional as F
from minicnn.errors import ShapeError

sizes, small = st.integers(1, 8), st.integers(1, 3)
paddings = st.sampled_from(["valid", "same"])
seeds = st.integers(0, 2**32 - 1)


@given(
    size=st.tuples(sizes, sizes),
    kernel=st.tuples(small, small),
    strides=st.one_of(small, st.tuples(small, small)),
    dilation=small,
    padding=paddings,
    groups=st.sampled_from([1, 2]),
    backend=st.sampled_from(BACKENDS),
    seed=seeds,
)
def test_conv2d(size, kernel, strides, dilation, padding, groups, backend, seed):
    spans = [(k - 1) * dilation + 1 for k in kernel]
    assume(padding == "same" or all(n >= s for n, s in zip(size, spans, strict=True)))
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=(2, *size, 2 * groups)), rng.normal(size=(*kernel, 2, 3 * groups))
    bias = rng.normal(size=3 * groups)
    y = F.conv2d(x, k, bias, strides, padding, dilation, groups, backend)
    assert y.dtype == np.float64
    assert_close(y, oracles.conv2d(x, k, bias, strides, padding, dilation, groups), 1e-12)
    assert_close(F.conv2d(x[0], k, bias, strides, padding, dilation, groups, backend), y[0], 1e-12)


@given(
    size=st.tuples(sizes, sizes),
    pool=st.one_of(small, st.tuples(small, small)),
    strides=st.one_of(st.none(), small),
    padding=paddings,
    backend=st.sampled_from(BACKENDS),
    seed=seeds,
)
def test_pooling(size, pool, strides, padding, backend, seed):
    assume(padding == "same" or all(n >= k for n, k in zip(size, oracles.pair(pool), strict=True)))
    x = np.random.default_rng(seed).normal(size=(2, *size, 3))
    rows, columns = oracles.windows(x.shape, pool, strides or pool, padding)
    dy = np.zeros((2, len(rows), len(columns), 3))
    for kind, function in (("max", F.max_pool2d), ("average", F.avg_pool2d)):
        y = function(x, pool, strides, padding, backend)
        assert_close(y, oracles.pool2d(x, dy, kind, pool, strides or pool, padding)[0], 1e-13)


@given(
    size=st.tuples(sizes, sizes),
    kernel=st.tuples(small, small),
    strides=small,
    dilation=st.integers(1, 2),
    padding=paddings,
    seed=seeds,
)
def test_im2col_and_col2im(size, kernel, strides, dilation, padding, seed):
    """im2col · kernel is the convolution, and col2im is its adjoint: ⟨im2col(x), c⟩ = ⟨x, col2im(c)⟩."""
    assume(all(n >= (k - 1) * dilation + 1 for n, k in zip(size, kernel, strict=True)))
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=(2, *size, 3)), rng.normal(size=(*kernel, 3, 4))
    columns = F.im2col(x, kernel, strides, padding, dilation)
    y = oracles.conv2d(x, k, None, strides, padding, dilation)
    assert columns.shape == (y[..., 0].size, kernel[0] * kernel[1] * 3)
    assert_close((columns @ k.reshape(-1, 4)).reshape(y.shape), y, 1e-12)
    c = rng.normal(size=columns.shape)
    back = F.col2im(c, x.shape, kernel, strides, padding, dilation)
    assert back.shape == x.shape
    assert (columns * c).sum() == pytest.approx((x * back).sum(), rel=1e-10, abs=1e-10)


def test_col2im_counts_the_windows_of_a_pixel():
    ones = np.ones((1, 4, 4, 1))
    counts = F.col2im(F.im2col(ones, 2), ones.shape, 2)[0, :, :, 0]
    np.testing.assert_array_equal(counts, np.outer([1, 2, 2, 1], [1, 2, 2, 1]))


@every_backend
def test_edge_detector_on_one_image(backend):
    """The textbook call: a 2-D image and a 2-D kernel give a 2-D result."""
    image = np.tile([0, 0, 1, 1], (4, 1))
    y = F.conv2d(image, [[-1, 1]], backend=backend)
    np.testing.assert_array_equal(y, np.tile([0, 1, 0], (4, 1)))
    assert y.dtype == np.float32
    assert F.conv2d(image, [[1]], bias=2).max() == 3
    assert F.conv2d(image, np.ones((2, 2, 1, 5))).shape == (3, 3, 5)
    assert F.max_pool2d(image).shape == (2, 2)
    assert F.avg_pool2d(np.ones((4, 4, 3))).shape == (2, 2, 3)


def test_activations(rng):
    x = rng.normal(0, 3, (2, 3, 4))
    assert_close(F.relu(x), np.maximum(x, 0), 0)
    assert_close(F.sigmoid(x), 1 / (1 + np.exp(-x)), 1e-14)
    assert_close(F.tanh(x), np.tanh(x), 0)
    assert_close(F.softmax(x), oracles.softmax(x), 1e-14)
    assert_close(F.leaky_relu(x), np.where(x > 0, x, 0.2 * x), 1e-15)
    assert F.linear(x) is x
    assert F.relu([-1, 2]).tolist() == [0, 2]
    assert F.relu(-1.0) == 0
    assert F.softmax(x.astype(np.float32)).dtype == np.float32


def test_activations_do_not_overflow():
    x = np.array([-1e4, -100.0, 0.0, 100.0, 1e4])
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_allclose(F.sigmoid(x), [0, 0, 0.5, 1, 1], atol=1e-15)
        np.testing.assert_allclose(F.softmax(x), [0, 0, 0, 0, 1])
        np.testing.assert_allclose(F.tanh(x), [-1, -1, 0, 1, 1])


@every_backend
def test_arrays_of_any_kind_are_taken_and_left_alone(backend, rng):
    x, k = rng.integers(0, 9, (2, 6, 6, 2)), rng.integers(-2, 3, (3, 3, 2, 2))
    expected = oracles.conv2d(x, k)
    for form in (np.asfortranarray, lambda a: a.astype(np.uint8), lambda a: a[::-1][::-1], lambda a: a.tolist()):
        assert_close(F.conv2d(form(x), np.asfortranarray(k.astype(float)), backend=backend), expected, 1e-6)
    image = np.asarray(x, np.float64)
    image.flags.writeable = False
    copy = image.copy()
    for function in (F.max_pool2d, F.avg_pool2d, F.relu, F.softmax):
        function(image)
    np.testing.assert_array_equal(image, copy)
    assert mc.functional.max_pool2d(x > 4, backend=backend).max() == 1


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.conv2d(np.zeros(5), [[1]]), ShapeError, r"\(H, W\).*Received: shape \(5,\)"),
        (
            lambda: F.conv2d(np.zeros((4, 4, 3)), np.zeros((2, 2))),
            ShapeError,
            r"3 channel.*kernel \(KH, KW, 3, filters\)",
        ),
        (lambda: F.conv2d(np.zeros((4, 4, 3)), np.zeros((2, 2, 4, 1))), ShapeError, r"\(2, 2, 4, 1\)"),
        (lambda: F.conv2d(np.zeros((4, 4)), np.zeros((5, 5))), ValueError, "larger than its input"),
        (lambda: F.conv2d(np.zeros((4, 4)), np.zeros((2, 2)), padding="full"), ValueError, "'valid', 'same'"),
        (lambda: F.conv2d(np.zeros((4, 4)), np.zeros((2, 2)), strides=0), ValueError, "strides"),
        (lambda: F.conv2d(np.zeros((4, 4)), np.zeros((2, 2)), backend="cuda"), ValueError, "Unknown backend"),
        (lambda: F.conv2d(np.zeros((4, 4, 3)), np.zeros((2, 2, 1, 4)), groups=2), ShapeError, "groups=2"),
        (
            lambda: F.conv2d(np.zeros((4, 4)), np.zeros((2, 2, 1, 3)), bias=np.zeros(2)),
            ShapeError,
            r"needs a bias \(3,\)",
        ),
        (lambda: F.conv2d(np.zeros((4, 4), complex), [[1]]), TypeError, "complex"),
        (lambda: F.relu(["a"]), TypeError, "real numbers"),
        (lambda: F.max_pool2d(np.zeros((4, 4)), 5), ValueError, "larger than its input"),
        (lambda: F.max_pool2d(np.zeros((4, 4)), "2"), ValueError, "pool_size|kernel_size"),
        (lambda: F.col2im(np.zeros((4, 4)), (1, 4, 4, 1), 2), ShapeError, r"\(4, 4\)"),
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_window_of_many_taps():
    """Max pooling keeps a byte for the winner; one-off calls need none."""
    x = np.random.default_rng(0).normal(size=(1, 20, 20, 1))
    for backend in BACKENDS:
        np.testing.assert_array_equal(F.max_pool2d(x, 20, backend=backend), x.max(axis=(1, 2), keepdims=True))
