"""Convolutions and poolings of volumes as functions: ``keras.ops``, ``tf.nn`` and ``keras.backend``."""

import numpy as np
import pytest
from test_volumes import convolved, numbers, windows_of

from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import backend as K
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

X = numbers((2, 4, 5, 3, 4)).astype(np.float32)
KERNEL = numbers((2, 3, 2, 4, 3), 1).astype(np.float32)
ONE = (1, 1, 1)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "gaps"), [(ONE, ONE), ((2, 1, 2), ONE), (ONE, (2, 1, 2))])
def test_a_convolution_is_its_formula(padding, strides, gaps):
    expected = convolved(X.astype(float), KERNEL.astype(float), np.zeros(3), strides, padding, gaps, 1)
    made = [
        ops.conv(X, KERNEL, strides, padding, dilation_rate=gaps),
        tf.nn.conv3d(X, KERNEL, [1, *strides, 1], padding.upper(), dilations=[1, *gaps, 1]),
        tf.nn.convolution(X, KERNEL, strides, padding.upper(), dilations=gaps),
        K.conv3d(X, KERNEL, strides, padding, dilation_rate=gaps),
    ]
    first = np.moveaxis(X, -1, 1)
    moved = tf.nn.conv3d(first, KERNEL, [1, 1, *strides], padding.upper(), "NCDHW", [1, 1, *gaps])
    for y in [*made, np.moveaxis(np.asarray(moved), 1, -1)]:
        np.testing.assert_allclose(y, expected, atol=1e-4)


def test_groups_are_told_by_the_kernel():
    kernel = numbers((2, 1, 2, 2, 6), 2).astype(np.float32)
    expected = convolved(X.astype(float), kernel.astype(float), np.zeros(6), ONE, "same", ONE, 2)
    np.testing.assert_allclose(ops.conv(X, kernel, 1, "same"), expected, atol=1e-4)


@pytest.mark.parametrize(("strides", "padding"), [((2, 2, 2), "same"), ((1, 2, 3), "valid"), ((2, 1, 1), "same")])
def test_a_transposed_convolution_is_the_adjoint(strides, padding):
    """⟨conv(v), x⟩ is ⟨v, its adjoint of x⟩ for every v."""
    kernel = np.swapaxes(KERNEL, 3, 4).copy()  # (KD, KH, KW, F, C)
    y = np.asarray(ops.conv_transpose(X, kernel, strides, padding))
    v = numbers(y.shape, 3)
    there = convolved(v, kernel.astype(float), np.zeros(4), strides, padding, ONE, 1)
    np.testing.assert_allclose((there * X).sum(), (v * y).sum(), rtol=1e-5)
    for other in (
        tf.nn.conv3d_transpose(X, kernel, y.shape, strides, padding.upper()),
        tf.nn.conv_transpose(X, kernel, y.shape, strides, padding.upper()),
        K.conv3d_transpose(X, kernel, y.shape, strides, padding),
    ):
        np.testing.assert_array_equal(other, y)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [((2, 2, 2), (2, 2, 2)), ((3, 2, 1), (1, 2, 2))])
def test_poolings_are_their_formulas(size, strides, padding):
    of_tf = {"ksize": [1, *size, 1], "strides": [1, *strides, 1], "padding": padding.upper()}
    maxima = [ops.max_pool(X, size, strides, padding), tf.nn.max_pool3d(X, **of_tf)]
    maxima += [K.pool3d(X, size, strides, padding), tf.nn.pool(X, size, "MAX", strides, padding.upper())]
    means = [ops.average_pool(X, size, strides, padding), tf.nn.avg_pool3d(X, **of_tf)]
    means += [K.pool3d(X, size, strides, padding, pool_mode="avg")]
    for place, taps in windows_of(X.shape[1:4], size, strides, padding):
        voxels = np.stack([X[:, *at] for at in taps.values()])
        for y in maxima:
            np.testing.assert_array_equal(np.asarray(y)[:, *place], voxels.max(axis=0))
        for y in means:
            np.testing.assert_allclose(np.asarray(y)[:, *place], voxels.mean(axis=0), atol=1e-6)


FUNCTIONS = [
    lambda x, k: tf.nn.conv3d(x, k, [1, 2, 1, 2, 1], "SAME"),
    lambda x, k: tf.nn.conv3d_transpose(x, np.swapaxes(k, 3, 4), [2, 8, 5, 6, 3], [2, 1, 2]),
    lambda x, k: tf.nn.max_pool3d(x, 2, 2, "SAME"),
    lambda x, k: tf.nn.avg_pool3d(x, (3, 2, 2), 2, "SAME"),
    lambda x, k: K.resize_volumes(K.spatial_3d_padding(x), 2, 1, 2),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_on_a_tape(function):
    """Against central differences along a random direction."""
    x, kernel = tf.Variable(X), tf.Variable(KERNEL)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.sin(function(x, kernel)))
    gradients = tape.gradient(total, [x, kernel])
    ways, step = [numbers(X.shape, 4), numbers(KERNEL.shape, 5)], 1e-6

    def value(sign):
        moved = [a.astype(float) + sign * step * way for a, way in zip((X, KERNEL), ways, strict=True)]
        return np.sin(np.asarray(function(*map(tf.constant, moved)))).sum()

    along = sum((np.asarray(g) * way).sum() for g, way in zip(gradients, ways, strict=True) if g is not None)
    np.testing.assert_allclose(along, (value(1) - value(-1)) / (2 * step), rtol=1e-3, atol=1e-3)


def test_of_a_models_tensors():
    x = keras.Input(X.shape[1:])
    model = keras.Model(x, ops.average_pool(ops.max_pool(ops.conv(x, KERNEL, 1, "same"), 2), (1, 2, 1), 1))
    expected = ops.average_pool(ops.max_pool(ops.conv(X, KERNEL, 1, "same"), 2), (1, 2, 1), 1)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-5)


def test_what_does_not_fit_is_said():
    with pytest.raises(ShapeError, match=r"volumes with 4 channel\(s\) need a kernel \(KD, KH, KW, 4, filters\)"):
        ops.conv(X, KERNEL[:, :, :, :3])
    with pytest.raises(ShapeError, match="output_shape has 5 numbers"):
        tf.nn.conv3d_transpose(X, np.swapaxes(KERNEL, 3, 4), [2, 8, 5, 3], 2)
    with pytest.raises(ValueError, match="larger than its input"):
        tf.nn.max_pool3d(X, 6, 1, "VALID")
    with pytest.raises(ValueError, match="over places alone"):
        tf.nn.max_pool3d(X, [1, 1, 1, 1, 2], [1, 1, 1, 1, 2], "VALID")


# ------------------------------------------------------------------------------------------- numbers for axes of places

INPUTS = {1: (1, 9, 2), 2: (1, 9, 8, 2), 3: (1, 9, 8, 7, 2)}
OF_WINDOWS = {
    "strides": lambda x, kernel, n: ops.conv(x, kernel, n),
    "dilation_rate": lambda x, kernel, n: ops.conv(x, kernel, dilation_rate=n),
    "pool_size": lambda x, kernel, n: ops.max_pool(x, n, 1),
}


@pytest.mark.parametrize("rank", INPUTS)
@pytest.mark.parametrize("name", OF_WINDOWS)
def test_numbers_are_one_or_as_many_as_axes_and_may_have_ones_around(name, rank):
    """As Keras 3.15 takes them; the sizes are those of the formula for "valid" windows."""
    x, kernel, numbers_ = numbers(INPUTS[rank]).astype(np.float32), np.ones((2,) * rank + (2, 3), np.float32), (3, 1, 2)
    function, each = OF_WINDOWS[name], numbers_[:rank]

    def length(n, by):
        return {"strides": (n - 2) // by + 1, "dilation_rate": n - by, "pool_size": n - by + 1}[name]

    expected = tuple(map(length, x.shape[1:-1], each))
    assert np.shape(function(x, kernel, each))[1:-1] == expected
    assert np.shape(function(x, kernel, (1, *each, 1)))[1:-1] == expected
    assert np.shape(function(x, kernel, 2))[1:-1] == tuple(length(n, 2) for n in x.shape[1:-1])
    assert np.shape(function(x, kernel, (2,)))[1:-1] == tuple(length(n, 2) for n in x.shape[1:-1])


@pytest.mark.parametrize("rank", INPUTS)
@pytest.mark.parametrize("name", OF_WINDOWS)
def test_other_numbers_are_refused(name, rank):
    x, kernel = np.ones(INPUTS[rank], np.float32), np.ones((2,) * rank + (2, 3), np.float32)
    for wrong in (0, -1, (), (1,) * (rank + 1), (2,) * (rank + 2), (1,) * (rank + 3), (0, 2, 1)[:rank]):
        with pytest.raises(ValueError, match=rf"{name} should be 1.* positive.*{rank} axes.*Received: {name}="):
            OF_WINDOWS[name](x, kernel, wrong)


def test_ones_around_go_by_the_format():
    x, kernel = np.ones((1, 2, 9, 8), np.float32), np.ones((2, 2, 2, 3), np.float32)
    y = ops.conv(x, kernel, (1, 1, 3, 1), data_format="channels_first")
    assert np.shape(y) == (1, 3, 3, 7)


@pytest.mark.parametrize("pool", [ops.max_pool, ops.average_pool])
def test_no_volumes_give_none(pool):
    assert np.shape(pool(np.zeros((0, 4, 6, 5, 2), np.float32), 2)) == (0, 2, 3, 2, 2)


@pytest.mark.parametrize(("pool", "of"), [(ops.adaptive_max_pool, np.max), (ops.adaptive_average_pool, np.mean)])
def test_adaptive_windows_of_volumes(pool, of):
    x, size = numbers((2, 4, 5, 3, 2)).astype(np.float32), (2, 2, 3)
    ends = [[(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in zip(x.shape[1:4], size, strict=True)]
    y = np.asarray(pool(x, size))
    assert y.shape == (2, *size, 2)
    for place in np.ndindex(size):
        part = x[(slice(None), *(slice(*axis[i]) for axis, i in zip(ends, place, strict=True)))]
        np.testing.assert_allclose(y[(slice(None), *place)], of(part, axis=(1, 2, 3)), atol=1e-6)


@pytest.mark.parametrize(("size", "expected"), [(5, [0, 3]), (6, [0, 3]), (7, [0, 3, 6])])
def test_windows_smaller_than_their_stride_begin_as_those_of_images(size, expected):
    """What ``tf.nn.conv2d`` and ``tf.nn.max_pool2d`` read; of 6 voxels ``tf.nn.conv3d`` reads 1 and 4."""
    x = np.broadcast_to(np.arange(size, dtype=np.float32)[:, None], (1, size, size, size, 1))
    for y in (ops.conv(x, np.ones((1,) * 5, np.float32), 3, "same"), ops.max_pool(x, 1, 3, "same")):
        np.testing.assert_array_equal(np.asarray(y)[0, 0, 0, :, 0], expected)
