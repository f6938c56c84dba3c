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
    with pytest.raises(ShapeError, match="output_shape has five numbers"):
        tf.nn.conv3d_transpose(X, np.swapaxes(KERNEL, 3, 4), [2, 8, 5, 3], 2)
    with pytest.raises(ValueError, match="larger than its input"):
        tf.nn.max_pool3d(X, 6, 1, "VALID")
    with pytest.raises(ValueError, match="over places alone"):
        tf.nn.max_pool3d(X, [1, 1, 1, 1, 2], [1, 1, 1, 1, 2], "VALID")
