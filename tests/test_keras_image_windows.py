"""``keras.ops.image`` and ``tf.nn``: patches, filters, windows, and images read at other points, by loops; Keras's
numbers: the oracle tests.

Gradients: differences of finite steps.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

image = ops.image


@given(size=st.integers(1, 3), stride=st.integers(1, 3), rate=st.integers(1, 2), channels=st.integers(1, 3))
def test_patches_are_windows(size, stride, rate, channels):
    x = np.arange(7 * 8 * channels, dtype=np.float32).reshape(7, 8, channels)
    made = image.extract_patches(x, size, stride, rate)
    reach = (size - 1) * rate + 1
    for i, row in enumerate(range(0, 7 - reach + 1, stride)):
        for j, column in enumerate(range(0, 8 - reach + 1, stride)):
            window = x[row : row + reach : rate, column : column + reach : rate]
            np.testing.assert_array_equal(made[i, j], window.ravel())
    first = image.extract_patches(np.moveaxis(x, -1, 0)[None], size, stride, rate, data_format="channels_first")
    np.testing.assert_array_equal(np.moveaxis(first[0], 0, -1), made)


def test_strides_are_the_size_unless_they_are_given():
    assert image.extract_patches(np.ones((2, 9, 8, 3)), (3, 2)).shape == (2, 3, 4, 18)
    assert image.extract_patches(np.ones((2, 9, 8, 3)), 2, padding="same").shape == (2, 5, 4, 12)


def interpolated(x, row, column, filled):
    """A pixel between others, those outside being `filled`."""
    total = 0.0
    for i in (np.floor(row), np.floor(row) + 1):
        for j in (np.floor(column), np.floor(column) + 1):
            is_inside = 0 <= i < x.shape[0] and 0 <= j < x.shape[1]
            pixel = x[int(i), int(j)] if is_inside else filled
            total += (1 - abs(row - i)) * (1 - abs(column - j)) * pixel
    return total


@given(seed=st.integers(0, 1000))
def test_an_affine_transform_reads_between_pixels(seed):
    rng = np.random.default_rng(seed)
    x = rng.random((5, 6))
    a = np.array([1, 0, 0, 0, 1, 0, 0, 0]) + rng.normal(size=8) * [0.3, 0.3, 2, 0.3, 0.3, 2, 0.02, 0.02]
    made = image.affine_transform(x[..., None], a, fill_value=0.5)
    a = a.astype(np.float32).astype(float)
    for i in range(5):
        for j in range(6):
            k = a[6] * j + a[7] * i + 1
            column, row = (a[0] * j + a[1] * i + a[2]) / k, (a[3] * j + a[4] * i + a[5]) / k
            assert made[i, j, 0] == pytest.approx(interpolated(x, row, column, 0.5), abs=1e-4)


def test_four_points_go_where_they_shall():
    x = np.random.default_rng(0).random((2, 9, 8, 3)).astype(np.float32)
    start = np.array([[1, 1], [6, 1], [1, 7], [6, 7]])
    end = np.array([[[2, 1], [5, 2], [1, 6], [7, 7]], [[1, 1], [6, 1], [1, 7], [6, 7]]])
    made = image.perspective_transform(x, np.stack([start, start]), end)
    for (j, i), (column, row) in zip(start, end[0], strict=True):
        np.testing.assert_allclose(made[0, row, column], x[0, i, j], atol=1e-4)
    np.testing.assert_allclose(made[1], x[1], atol=1e-4)


def test_a_blur_is_a_weighted_mean():
    spot = np.zeros((7, 7, 1), np.float32)
    spot[3, 3] = 1
    made = image.gaussian_blur(spot, (3, 3), (0.5, 2.0))[2:5, 2:5, 0]
    across, down = (np.exp(-0.5 * (np.array([-1, 0, 1]) / sigma) ** 2) for sigma in (0.5, 2.0))
    np.testing.assert_allclose(made, np.outer(down / down.sum(), across / across.sum()), rtol=1e-5)


FUNCTIONS = {
    "extract_patches": lambda x: image.extract_patches(x, 2, 1),
    "gaussian_blur": lambda x: image.gaussian_blur(x, (4, 4)),
    "sobel_edges": lambda x: image.sobel_edges(x),
    "affine_transform": lambda x: image.affine_transform(x, [1, 0.1, 0.3, 0, 1, 0.5, 0, 0.01]),
    "perspective_transform": lambda x: image.perspective_transform(
        x, [[0, 0], [4, 0], [0, 4], [4, 4]], [[1, 0], [4, 1], [0, 4], [3, 4]], fill_value=0.2
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_and_tensors(name):
    function = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    x, direction = rng.random((2, 1, 5, 5, 2))
    with tf.GradientTape() as tape:
        v = tf.Variable(x, dtype="float64")
        total = tf.reduce_sum(tf.sin(function(v)))
    slope = np.sum(tape.gradient(total, v) * direction)
    step = 1e-6
    ends = [np.sin(np.asarray(function(x + sign * step * direction))).sum() for sign in (1, -1)]
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)
    if name != "sobel_edges":
        tensor = keras.Input((5, 5, 2))
        model = keras.Model(tensor, layers.Flatten()(function(tensor)))
        made = np.asarray(function(x.astype(np.float32)))
        np.testing.assert_allclose(model.predict(x, verbose=0), made.reshape(1, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: image.extract_patches(x, (2, 2, 2)), "size is a positive whole number, or two, of images"),
        (lambda x: image.extract_patches(x, 0), "size is a positive"),
        (lambda x: image.extract_patches(x[0, 0], 2), r"images are \(H, W, C\) or \(N, H, W, C\)"),
        (lambda x: image.gaussian_blur(x, (3, 5)), "twice the same number"),
        (lambda x: image.affine_transform(x, np.ones(6)), r"transform is \(8,\)"),
        (lambda x: image.affine_transform(x, np.ones(8), fill_mode="wrap"), "fill_mode"),
        (lambda x: image.affine_transform(x, np.ones((3, 8))), "one transform is for all images, or one for each of 2"),
        (lambda x: image.affine_transform(x[0], np.ones((2, 8))), "one for each of 1. Received: 2"),
        (
            lambda x: image.perspective_transform(x, *(np.array([[[0, 0], [0, 5], [5, 0], [5, 5]]] * 3),) * 2),
            "one for each of 2",
        ),
        (lambda x: image.perspective_transform(x, np.ones((3, 2)), np.ones((3, 2))), r"points are \(4, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 6, 6, 1)))


def test_bytes_are_blurred_as_numbers():
    x = np.full((1, 6, 6, 1), 200, np.uint8)
    np.testing.assert_allclose(image.gaussian_blur(x, (3, 3), (1.0, 1.0))[0, 2:4, 2:4], 200, rtol=1e-5)
    with pytest.raises(ValueError, match="sigma"):
        image.gaussian_blur(x, (3, 3), (0.0, 1.0))


@given(seed=st.integers(0, 1000), stride=st.integers(1, 3), rate=st.integers(1, 2), is_same=st.booleans())
def test_dilation_is_the_largest_sum_and_erosion_the_least_difference(seed, stride, rate, is_same):
    rng = np.random.default_rng(seed)
    x, filters = rng.normal(size=(2, 6, 7, 2)).astype("float32"), rng.normal(size=(2, 3, 2)).astype("float32")
    padding, reach = "SAME" if is_same else "VALID", np.array([rate + 1, 2 * rate + 1])
    count = -(-np.array([6, 7]) // stride) if is_same else (np.array([6, 7]) - reach) // stride + 1
    before = np.maximum((count - 1) * stride + reach - [6, 7], 0) // 2 if is_same else (0, 0)
    largest, least = np.empty((2, 2, *count, 2))
    for n, i, j, c in np.ndindex(2, *count, 2):
        sums, differences = [], []
        for a, b in np.ndindex(2, 3):
            row, column = i * stride - before[0] + a * rate, j * stride - before[1] + b * rate
            if 0 <= row < 6 and 0 <= column < 7:
                sums.append(x[n, row, column, c] + filters[a, b, c])
                differences.append(x[n, row, column, c] - filters[1 - a, 2 - b, c])
        largest[n, i, j, c], least[n, i, j, c] = max(sums), min(differences)
    options = [1, stride, stride, 1], padding, "NHWC", [1, rate, rate, 1]
    np.testing.assert_allclose(tf.nn.dilation2d(x, filters, *options), largest, rtol=1e-6)
    np.testing.assert_allclose(tf.nn.erosion2d(x, filters, *options), least, rtol=1e-6)


def test_the_gradient_of_a_dilation_goes_to_the_first_of_equal_numbers():
    x, filters = tf.ones((1, 1, 3, 1)), tf.zeros((1, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch([x, filters])
        made = tf.nn.dilation2d(x, filters, [1, 1, 1, 1], "VALID", "NHWC", [1, 1, 1, 1])
    of_x, of_filters = tape.gradient(made, [x, filters])
    assert of_x.ravel().tolist() == [1, 1, 0]
    assert of_filters.ravel().tolist() == [2, 0]


@given(seed=st.integers(0, 1000), rate=st.integers(1, 3))
def test_poolings_of_windows_with_holes(seed, rate):
    x = np.random.default_rng(seed).normal(size=(2, 8, 7, 3)).astype("float32")
    windows = np.stack(
        [x[:, a * rate : 8 - (1 - a) * rate, b * 2 : 3 + b * 2] for a, b in np.ndindex(2, 3)]
    )  # (places of a window, N, OH, OW, C)
    assert windows.shape[3] == 3
    options = {"padding": "VALID", "dilations": [rate, 2]}
    np.testing.assert_array_equal(tf.nn.pool(x, [2, 3], "MAX", **options), windows.max(0))
    np.testing.assert_allclose(tf.nn.pool(x, [2, 3], "AVG", **options), windows.mean(0), rtol=1e-5, atol=1e-6)
    turned = tf.nn.pool(np.moveaxis(x, -1, 1), [2, 3], "MAX", data_format="NCHW", **options)
    np.testing.assert_array_equal(np.moveaxis(turned, 1, -1), windows.max(0))
    rows = tf.nn.pool(x[:, 0], [3], "MAX", padding="VALID", dilations=[2])
    np.testing.assert_array_equal(rows, np.max([x[:, 0, at : at + 3] for at in (0, 2, 4)], axis=0))


def test_a_model_pools_windows_with_holes():
    x = np.random.default_rng(0).normal(size=(2, 8, 7, 3)).astype("float32")
    inputs = keras.Input((8, 7, 3))
    model = keras.Model(inputs, tf.nn.pool(inputs, [2, 2], "MAX", dilations=[2, 2]))
    np.testing.assert_array_equal(model.predict(x, verbose=0), tf.nn.pool(x, [2, 2], "MAX", dilations=[2, 2]))


@pytest.mark.parametrize("options", [{"strides": 2}, {"padding": "SAME"}])
def test_windows_with_holes_have_no_strides_and_no_padding(options):
    with pytest.raises(ValueError, match="strides of 1 and padding='VALID'"):
        tf.nn.pool(np.ones((1, 4, 4, 1)), [2, 2], "MAX", **{"padding": "VALID", "dilations": [2, 2]} | options)


@given(seed=st.integers(0, 1000), stride=st.integers(1, 3), length=st.integers(1, 3))
def test_a_transposed_convolution_spreads_kernels_over_rows(seed, stride, length):
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(2, 4, 3)), rng.normal(size=(length, 5, 3))
    expected = np.zeros((2, 3 * stride + length, 5))
    for at, tap in np.ndindex(4, length):
        expected[:, at * stride + tap] += x[:, at] @ kernel[tap].T
    for function in (tf.nn.conv1d_transpose, tf.nn.conv_transpose):
        np.testing.assert_allclose(function(x, kernel, expected.shape, stride, "VALID"), expected, atol=1e-12)
    turned = tf.nn.conv_transpose(x.swapaxes(1, 2), kernel, (2, 5, expected.shape[1]), stride, "VALID", "NCW")
    np.testing.assert_allclose(turned, expected.swapaxes(1, 2), atol=1e-12)


def test_padding_of_transposed_convolutions_and_maxima_by_number():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 4, 5, 3)), rng.normal(size=(3, 3, 6, 3))
    whole = tf.nn.conv2d_transpose(x, kernel, (2, 9, 11, 6), 2, "VALID")
    part = tf.nn.conv2d_transpose(x, kernel, (2, 7, 8, 6), 2, [[0, 0], [1, 1], [2, 1], [0, 0]])
    np.testing.assert_allclose(part, whole[:, 1:8, 2:10], atol=1e-12)
    made = tf.nn.max_pool2d(-np.abs(x), 2, 2, [[0, 0], [1, 1], [0, 1], [0, 0]])  # where a zero would be the largest
    assert made.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(made[:, 0, 0], -np.abs(x)[:, 0, :2].min(1))


def test_convolutions_of_rows_and_of_images_have_one_name():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 6, 7, 3)), rng.normal(size=(2, 3, 3, 4))
    made = tf.nn.convolution(x, kernel, strides=[2, 1], dilations=None)
    expected = np.zeros((2, 3, 5, 4))
    for a, b in np.ndindex(2, 3):
        expected += x[:, a : a + 5 : 2, b : b + 5] @ kernel[a, b]
    np.testing.assert_allclose(made, expected, atol=1e-12)
    rows = sum(x[:, 0, b : b + 5] @ kernel[0, b] for b in range(3))
    np.testing.assert_allclose(tf.nn.convolution(x[:, 0], kernel[0]), rows, atol=1e-12)
    with pytest.raises(ValueError, match=r"rows .*, images .* or volumes"):
        tf.nn.convolution(x[0, 0], kernel)
