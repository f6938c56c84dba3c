"""Layers beyond the documents' networks: values from formulas, naive loops, and literals of Keras 3.15.1.

Gradients, backends, files and ONNX are checked for all layers in test_layer_contracts, test_saving and test_onnx.
"""

import math

import numpy as np
import oracles
import pytest
from onnx_files import check_export, check_round_trip
from oracles import assert_close, randomize

import minicnn as mc
from minicnn import keras, layers
from minicnn.backends.reference.activation import FORMULAS, erf
from minicnn.errors import FileFormatError, ShapeError

# ------------------------------------------------------------------------------------------------------- activations

X = np.array([-4.0, -1.5, -1.0, -0.25, 0.0, 0.25, 0.75, 2.0, 5.0])

# At X, from keras.activations of Keras 3.15.1 (TensorFlow, float32)
VALUES = {
    "elu": [-0.981684, -0.77687, -0.632121, -0.221199, 0.0, 0.25, 0.75, 2.0, 5.0],
    "gelu": [-0.000127, -0.100211, -0.158655, -0.100323, 0.0, 0.149677, 0.580029, 1.9545, 4.999999],
    "hard_shrink": [-4.0, -1.5, -1.0, 0.0, 0.0, 0.0, 0.75, 2.0, 5.0],
    "hard_sigmoid": [0.0, 0.25, 0.333333, 0.458333, 0.5, 0.541667, 0.625, 0.833333, 1.0],
    "hard_silu": [-0.0, -0.375, -0.333333, -0.114583, 0.0, 0.135417, 0.46875, 1.666667, 5.0],
    "log_sigmoid": [-4.01815, -1.701413, -1.313262, -0.825939, -0.693147, -0.575939, -0.386871, -0.126928, -0.006715],
    "mish": [-0.072592, -0.2981, -0.303401, -0.129927, 0.0, 0.169572, 0.610018, 1.943959, 4.999552],
    "selu": [-1.725899, -1.365814, -1.111331, -0.38889, 0.0, 0.262675, 0.788026, 2.101402, 5.253505],
    "silu": [-0.071945, -0.273638, -0.268941, -0.109456, 0.0, 0.140544, 0.509384, 1.761594, 4.966536],
    "soft_shrink": [-3.5, -1.0, -0.5, 0.0, 0.0, 0.0, 0.25, 1.5, 4.5],
    "softplus": [0.01815, 0.201413, 0.313262, 0.575939, 0.693147, 0.825939, 1.136871, 2.126928, 5.006715],
    "softsign": [-0.8, -0.6, -0.5, -0.2, 0.0, 0.2, 0.428571, 0.666667, 0.833333],
    "sparse_plus": [0.0, 0.0, 0.0, 0.140625, 0.25, 0.390625, 0.765625, 2.0, 5.0],
    "sparse_sigmoid": [0.0, 0.0, 0.0, 0.375, 0.5, 0.625, 0.875, 1.0, 1.0],
    "squareplus": [0.236068, 0.5, 0.618034, 0.882782, 1.0, 1.132782, 1.443, 2.414214, 5.192582],
    "tanh_shrink": [-3.000671, -0.594852, -0.238406, -0.005081, 0.0, 0.005081, 0.114851, 1.035972, 4.000091],
}


@pytest.mark.parametrize("name", VALUES)
def test_activations_have_kerass_values(name):
    layer = layers.Activation(name)
    np.testing.assert_allclose(layer(X[None])[0], VALUES[name], atol=2e-6)
    assert layer(X[None].astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", FORMULAS)
def test_slopes_are_the_derivatives(name):
    """By central differences in float64, away from kinks."""
    x = np.linspace(-5.03, 4.97, 41)
    value, slope = FORMULAS[name]
    numeric = (value(x + 1e-5) - value(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope(x), numeric, atol=1e-8)


@pytest.mark.parametrize("name", FORMULAS)
def test_activations_stay_finite_far_out(name):
    x = np.array([-1e30, -1e4, 1e4, 1e30] if name != "exponential" else [-1e30, -1e4], np.float32)
    with np.errstate(over="ignore"):
        value, slope = FORMULAS[name].value(x), FORMULAS[name].slope(x)
    assert np.isfinite(slope).all()
    assert np.isfinite(value[np.abs(x) < 1e15]).all()


def test_erf_against_the_mathematics_library():
    x = np.linspace(-8, 8, 4001)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], atol=1e-15)


def test_prelu_learns_a_slope_for_each_channel(rng):
    layer = layers.PReLU("ones", shared_axes=[1, 2])
    x = rng.normal(size=(2, 3, 4, 2)).astype(np.float32)
    assert_close(layer(x), x, 1e-7)
    assert layer.alpha.shape == (1, 1, 2)
    layer.set_weights([np.array([[[0.5, -2.0]]])])
    assert_close(layer(x), np.where(x > 0, x, x * [0.5, -2.0]), 1e-6)


# ------------------------------------------------------------------------------------------------------- convolutions


def conv_transpose_loops(x, kernel, stride, size):
    """y += kernel · x at every place; pixels outside of `size` and before the padding are dropped."""
    (height, width), (before_y, before_x) = size
    n, h, w, _ = x.shape
    y = np.zeros((n, height, width, kernel.shape[2]))
    for i, j, p, q in np.ndindex(h, w, *kernel.shape[:2]):
        row, column = i * stride + p - before_y, j * stride + q - before_x
        if 0 <= row < height and 0 <= column < width:
            y[:, row, column] += x[:, i, j] @ kernel[p, q].T
    return y


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [  # ((height, width), (rows, columns before)) for images of 3 × 4, from Keras's formula
        (3, 2, "same", ((6, 8), (0, 0))),
        (4, 2, "same", ((6, 8), (1, 1))),
        (3, 1, "same", ((3, 4), (1, 1))),
        (3, 2, "valid", ((7, 9), (0, 0))),
        (2, 3, "valid", ((9, 12), (0, 0))),
        (2, 3, "same", ((9, 12), (0, 0))),
    ],
)
@pytest.mark.parametrize("backend", oracles.BACKENDS)
def test_transposed_convolution_against_loops(kernel, stride, padding, size, backend, rng):
    mc.set_backend(backend)
    layer = layers.Conv2DTranspose(5, kernel, stride, padding)
    x = rng.normal(size=(2, 3, 4, 2))
    assert layer.compute_output_shape(x.shape) == (2, *size[0], 5)
    layer.build((None, 3, 4, 2))
    layer.bias.assign(rng.normal(size=5))
    expected = conv_transpose_loops(x, layer.kernel.numpy(), stride, size) + layer.bias.numpy()
    assert_close(layer(x), expected, 1e-5)


@pytest.mark.parametrize(
    ("layer", "padding"),
    [
        (layers.MaxPooling2D((16, 17), (3, 1)), ((0, 0), (0, 0))),
        (layers.MaxPooling2D(64, 2, "same"), ((31, 31), (31, 32))),
        (layers.MaxPooling2D((3, 600), 1, "same"), ((1, 1), (299, 300))),
        (layers.PaddedMaxPooling2D((17, 16), 4, ((5, 0), (3, 7))), ((5, 0), (3, 7))),
    ],
)
@pytest.mark.parametrize("backend", oracles.BACKENDS)
def test_windows_of_more_than_255_pixels_against_loops(layer, padding, backend, rng):
    """The maxima, and the gradient of the first of equal ones."""
    x = rng.integers(0, 4, (2, 20, 19, 3)).astype(np.float32)
    mc.set_backend(backend)
    model = mc.Sequential([layers.Input(x.shape[1:]), type(layer).from_config(layer.get_config())])
    weights = rng.normal(size=(2, *model.output_shape[1:])).astype(np.float32)
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-np.inf)
    maxima, gradient = np.empty_like(weights), np.zeros_like(padded)
    (height, width), (down, right) = layer.pool_size, layer.strides
    for n, i, j, c in np.ndindex(weights.shape):
        window = padded[n, i * down : i * down + height, j * right : j * right + width, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        maxima[n, i, j, c] = window[row, column]
        gradient[n, i * down + row, j * right + column, c] += weights[n, i, j, c]
    np.testing.assert_array_equal(model.predict(x), maxima)
    (top, _), (left, _) = padding
    assert_close(model.input_gradients(x, weights), gradient[:, top : top + 20, left : left + 19], 1e-5)


def test_depthwise_and_separable_convolution_against_loops(rng):
    x = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    depthwise = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False)
    y = depthwise(x)
    kernel = depthwise.kernel.numpy()  # (3, 3, C, M)
    for c, m in np.ndindex(3, 2):
        one = oracles.conv2d(x[..., c : c + 1], kernel[:, :, c : c + 1, m : m + 1], padding="same")
        assert_close(y[..., 2 * c + m], one[..., 0], 1e-5)
    separable = layers.SeparableConv2D(4, 3, padding="same", depth_multiplier=2)
    z = separable(x)
    separable.set_weights([kernel, *separable.get_weights()[1:]])
    z = separable(x)
    assert_close(z, y @ separable.pointwise_kernel.numpy()[0, 0], 1e-5)
    assert [w.name for w in separable.weights] == ["depthwise_kernel", "pointwise_kernel", "bias"]


@pytest.mark.parametrize(("padding", "before"), [("valid", 0), ("causal", 4), ("same", 2)])
def test_convolution_of_rows_against_loops(padding, before, rng):
    layer = layers.Conv1D(3, 3, padding=padding, dilation_rate=2)
    x = rng.normal(size=(2, 7, 2)).astype(np.float32)
    y = layer(x)
    kernel = layer.kernel.numpy()  # (K, C, F)
    expected = np.zeros(y.shape)
    for i, p in np.ndindex(y.shape[1], 3):
        at = i + 2 * p - before
        if 0 <= at < 7:
            expected[:, i] += x[:, at] @ kernel[p]
    assert_close(y, expected, 1e-5)
    assert y.shape[1] == (3 if padding == "valid" else 7)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.MaxPooling1D(2), [[2, 1], [4, 3]]),
        (layers.AveragePooling1D(2), [[1, 0], [3, 2]]),
        (layers.GlobalMaxPooling1D(), [5, 4]),
        (layers.GlobalAveragePooling1D(keepdims=True), [[2.6, 1.6]]),
        (layers.Cropping1D((1, 2)), [[2, 1], [2, 1]]),
        (layers.ZeroPadding1D((0, 1)), [[0, -1], [2, 1], [2, 1], [4, 3], [5, 4], [0, 0]]),
        (layers.UpSampling1D(2), np.repeat([[0, -1], [2, 1], [2, 1], [4, 3], [5, 4]], 2, axis=0)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_layers_of_rows(layer, expected):
    x = np.array([[[0, -1], [2, 1], [2, 1], [4, 3], [5, 4]]], np.float32)
    np.testing.assert_allclose(layer(x)[0], expected, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------ images resized


def test_nearest_upsampling_repeats(rng):
    x = rng.normal(size=(2, 3, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(layers.UpSampling2D((2, 3))(x), x.repeat(2, axis=1).repeat(3, axis=2))


def test_resizing_has_kerass_values():
    """keras.layers.Resizing of Keras 3.15.1 (TensorFlow)."""
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1) ** 2
    y = layers.Resizing(3, 2)(x)[0, ..., 0]
    np.testing.assert_allclose(y, [[0.25, 3.25], [5.5, 13.0], [10.75, 22.75]], atol=1e-5)
    np.testing.assert_allclose(layers.Resizing(1, 2, "nearest")(x)[0, ..., 0], [[9, 25]])
    image = layers.Resizing(3, 2)(x[0])
    np.testing.assert_array_equal(image[..., 0], y)


LANCZOS = [{"interpolation": f"lanczos{radius}", "antialias": flag} for radius in (3, 5) for flag in (False, True)]


@pytest.mark.parametrize(
    "options", [{}, {"antialias": True}, {"interpolation": "bicubic", "antialias": True}, *LANCZOS]
)
def test_resizing_keeps_what_is_constant(options, rng):
    for height, width in rng.integers(1, 9, (5, 2)).tolist():
        y = layers.Resizing(height, width, **options)(np.full((1, 5, 4, 2), 0.75, np.float32))
        np.testing.assert_allclose(y, 0.75, rtol=1e-6)


def test_resizing_that_keeps_the_aspect_ratio():
    x = np.ones((1, 2, 4, 1), np.float32)
    padded = layers.Resizing(4, 4, "nearest", pad_to_aspect_ratio=True, fill_value=7)(x)[0, ..., 0]
    np.testing.assert_array_equal(padded[:, 0], [7, 1, 1, 7])
    x[0, :, [0, 3]] = 9
    np.testing.assert_array_equal(layers.Resizing(4, 4, crop_to_aspect_ratio=True)(x), 1)
    with pytest.raises(ValueError, match="not both"):
        layers.Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)


def test_crops(rng):
    x = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(layers.CenterCrop(3, 4)(x), x[:, 1:4, 1:5])
    np.testing.assert_array_equal(layers.Cropping2D(((1, 2), (0, 3)))(x), x[:, 1:4, :4])
    with pytest.raises(ShapeError, match="leaves nothing"):
        layers.Cropping2D(3)(x)
    crop = layers.RandomCrop(3, 4, seed=2)(x)
    places = [(i, j) for i, j in np.ndindex(4, 4) if np.array_equal(crop, x[:, i : i + 3, j : j + 4])]
    assert len(places) == 1
    assert layers.RandomCrop(3, 4)(x, training=False).shape == (2, 3, 4, 3)


@pytest.mark.parametrize("shape", [(8, 2), (2, 8)], ids=["narrow", "flat"])
def test_the_middle_of_an_image_that_is_too_small_along_one_axis(shape, rng, tmp_path):
    """As in Keras: of the middle with the new aspect ratio, here 2 × 2 pixels, 4 × 4 are made by interpolation."""
    x = rng.normal(size=(3, *shape, 2)).astype(np.float32)
    middle = x[:, 3:5] if shape == (8, 2) else x[:, :, 3:5]  # (3, 2, 2, 2)
    between = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])  # new pixels' centres among the old ones'
    expected = np.einsum("ri,cj,nijk->nrck", between, between, middle)
    np.testing.assert_allclose(layers.CenterCrop(4, 4)(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layers.RandomCrop(4, 4)(x, training=False), expected, rtol=1e-5, atol=1e-6)
    mc.export_onnx(mc.Sequential([mc.Input((*shape, 2)), layers.CenterCrop(4, 4)]), tmp_path / "m.onnx")
    session = pytest.importorskip("onnxruntime").InferenceSession(tmp_path / "m.onnx")
    (made,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------------------------------------- several inputs


def test_merging_by_numpy(rng):
    a, b, c = rng.normal(size=(3, 2, 4, 3, 2)).astype(np.float32)
    gate = rng.normal(size=(2, 1, 1, 2)).astype(np.float32)
    assert_close(layers.Multiply()([a, b, c]), a * b * c, 1e-6)
    assert_close(layers.Multiply()([a, gate]), a * gate, 1e-6)
    assert_close(layers.Multiply()([a, gate[:, 0, 0]]), a * gate, 1e-6)
    assert_close(layers.Subtract()([a, b]), a - b, 1e-6)
    assert_close(layers.Average()([a, b, c]), (a + b + c) / 3, 1e-6)
    assert_close(layers.Maximum()([a, b, c]), np.maximum(np.maximum(a, b), c), 0)
    assert_close(layers.Minimum()([a, b, c]), np.minimum(np.minimum(a, b), c), 0)
    assert_close(layers.Add()([a, gate]), a + gate, 1e-6)
    with pytest.raises(ShapeError, match="one shape, or of size 1"):
        layers.Multiply()([a, b[:, :2]])


def test_dot_by_einsum(rng):
    a, b = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 4, 5))
    assert_close(layers.Dot(2)([a, b]), np.einsum("npk,nqk->npq", a, b), 1e-6)
    assert_close(layers.Dot((1, 2))([a.transpose(0, 2, 1), b]), np.einsum("npk,nqk->npq", a, b), 1e-6)
    u, v = a[:, 0], b[:, 0]
    terms = u * v / np.linalg.norm(u, axis=-1, keepdims=True) / np.linalg.norm(v, axis=-1, keepdims=True)
    found = np.asarray(layers.Dot(1, normalize=True)([u, v]))
    assert found.shape == (2, 1)
    # A cosine near 0 is what is left of terms that cancel: of these, rounding is a part.
    assert (np.abs(found[:, 0] - terms.sum(-1)) <= 1e-6 * np.abs(terms).sum(-1)).all()
    with pytest.raises(ShapeError, match="one length"):
        layers.Dot(1)([a, b])


def test_rearranging(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(layers.Permute((3, 1, 2))(x), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(layers.RepeatVector(3)(x[:, 0, 0]), x[:, 0, 0][:, None].repeat(3, axis=1))
    np.testing.assert_array_equal(layers.Identity()(x), x)
    with pytest.raises(ValueError, match="in some order"):
        layers.Permute((0, 1))


# ----------------------------------------------------------------------------------------------------- normalizations


def test_normalizations_by_formula(rng):
    x = rng.normal(2, 3, size=(2, 4, 5, 6))
    gamma, beta = rng.normal(size=(2, 6))

    def standardized(x, axes, epsilon):
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)

    layer = layers.LayerNormalization()
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    assert_close(layer(x), standardized(x, -1, 1e-3) * gamma + beta, 1e-5)
    layer = layers.GroupNormalization(3, epsilon=0.1)
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    parts = standardized(x.reshape(2, 4, 5, 3, 2), (1, 2, 4), 0.1).reshape(x.shape)
    assert_close(layer(x), parts * gamma + beta, 1e-5)
    layer = layers.RMSNormalization()
    layer.build(x.shape)
    layer.set_weights([gamma])
    assert_close(layer(x), x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6) * gamma, 1e-5)
    assert_close(layers.UnitNormalization()(x), x / np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    with pytest.raises(ShapeError, match="multiple of groups=4"):
        layers.GroupNormalization(4)(x)


def test_normalization_finds_the_moments_of_data(rng):
    x = rng.normal(5, 3, size=(60, 4, 3))
    whole, parts = layers.Normalization(), layers.Normalization()
    whole.adapt(x)
    parts.adapt((x[start : start + 7], None) for start in range(0, 60, 7))
    for layer in (whole, parts):
        np.testing.assert_allclose(layer.get_weights()[0], x.mean((0, 1)), rtol=1e-6)
        np.testing.assert_allclose(layer.get_weights()[1], x.var((0, 1)), rtol=1e-6)
        assert layer.get_weights()[2] == 240

    class Batches:
        def __len__(self):
            return 6

        def __getitem__(self, index):  # knows no end
            return x[10 * (index % 6) : 10 * (index % 6) + 10]

    endless = layers.Normalization()
    endless.adapt(Batches())
    assert endless.get_weights()[2] == 240
    assert_close(whole(x), (x - x.mean((0, 1))) / x.std((0, 1)), 1e-5)
    inverse = layers.Normalization(mean=x.mean((0, 1)), variance=x.var((0, 1)), invert=True)
    assert_close(inverse(whole(x)), x, 1e-5)
    far = rng.normal(1e4, 0.02, size=(2000, 3)).astype(np.float32)  # in steps of 0.001, as means in float32 are
    distant = layers.Normalization()
    distant.adapt(far)
    np.testing.assert_allclose(distant.get_weights()[1], far.astype(np.float64).var(0), rtol=1e-6)
    one = layers.Normalization(axis=None)
    one.adapt(x)
    assert float(one.get_weights()[0]) == pytest.approx(x.mean())


# --------------------------------------------------------------------------------------------------------------- noise


def test_noise_has_the_moments_that_it_should(rng):
    x = np.full((400, 100), 2.0, np.float32)
    added = layers.GaussianNoise(0.5, seed=1)(x, training=True) - x
    factor = layers.GaussianDropout(0.2, seed=2)(x, training=True) / x
    assert (added.mean(), added.std()) == (pytest.approx(0, abs=0.01), pytest.approx(0.5, rel=0.01))
    assert (factor.mean(), factor.std()) == (pytest.approx(1, abs=0.01), pytest.approx(0.5, rel=0.01))
    normal = rng.normal(size=(400, 100)).astype(np.float32)
    y = layers.AlphaDropout(0.3, seed=3)(normal, training=True)
    assert (y.mean(), y.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, rel=0.02))
    assert np.unique(y, return_counts=True)[1].max() / y.size == pytest.approx(0.3, abs=0.01)  # those dropped
    for layer in (layers.GaussianNoise(1), layers.GaussianDropout(0.5), layers.AlphaDropout(0.5)):
        np.testing.assert_array_equal(layer(x), x)


def test_brightness_and_contrast(rng):
    x = rng.uniform(100, 150, (50, 4, 5, 3)).astype(np.float32)
    added = layers.RandomBrightness(0.1, seed=1)(x) - x
    assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-3  # one number an image
    assert 0.5 * 25.5 < np.abs(added).max() <= 25.5
    y = layers.RandomContrast((0.5, 0.2), seed=1)(x)
    mean = x.mean((1, 2), keepdims=True)
    away = x - mean
    factor = ((y - mean) * away).sum((1, 2, 3)) / (away**2).sum((1, 2, 3))  # (N,)
    np.testing.assert_allclose(y, mean + factor[:, None, None, None] * away, rtol=1e-5)
    assert 0.799 < factor.min() < 0.95  # Keras 3.15 sorts the pair: from 1 - 0.2 to 1 + 0.5
    assert 1.35 < factor.max() < 1.501
    assert layers.RandomBrightness((1, 1))(x).max() == 255
    image = layers.RandomContrast(0.3, seed=4)(x[0])
    assert image.shape == x[0].shape


# -------------------------------------------------------------------------------------------------------------- Lambda


def test_lambda_on_arrays_and_of_layers(rng, tmp_path):
    x, y = rng.uniform(0, 255, (8, 4)).astype(np.float32), rng.normal(size=(8, 2))
    model = mc.Sequential(
        [layers.Input((4,)), layers.Lambda(lambda x, by: x / by, arguments={"by": 255}), layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    assert_close(model.predict(x), x / 255 @ model.layers[-1].kernel.numpy() + model.layers[-1].bias.numpy(), 1e-5)
    for suffix in (".keras", ".h5", ".safetensors"):
        with pytest.warns(UserWarning, match="has a lambda, of which the file holds nothing"):
            model.save(tmp_path / f"model{suffix}")
        loaded = mc.load_model(tmp_path / f"model{suffix}", {model.layers[0].name: lambda x, by: x / by})
        assert np.array_equal(loaded.predict(x), model.predict(x))
        with pytest.raises(FileFormatError, match=f"custom_objects={{'{model.layers[0].name}': function}}"):
            mc.load_model(tmp_path / f"model{suffix}")
    start, dense = layers.Input((4,)), layers.Dense(3)
    traced = mc.Model(start, layers.Lambda(lambda t: layers.Activation("gelu")(dense(t)))(start))
    assert mc.gradcheck(traced).error <= 1e-6
    differentiated = mc.Sequential([layers.Input((4,)), layers.Dense(2), layers.Lambda(np.tanh)])
    assert mc.gradcheck(differentiated).error <= 1e-6
    behind = mc.Sequential([layers.Input((4,)), layers.Dense(2), layers.Lambda(lambda x: np.sort(x, axis=1))])
    behind.compile("sgd", "mse")
    assert behind.predict(x).shape == (8, 2)
    with pytest.raises(TypeError, match="cannot be differentiated"):
        behind.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "weights.safetensors")  # as the message says
    model.load_weights(tmp_path / "weights.safetensors")
    assert layers.Lambda(lambda x: x[:, ::2]).compute_output_shape((None, 5)) == (None, 3)


def shifted(t):
    return keras.ops.sort(t) + 1


def test_a_lambda_of_a_function_that_knows_other_tensors(rng, tmp_path):
    """It stands for the layers in it; one that knows none, and needs code, stays whole, so that files can name it."""
    x, z = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    start, other = layers.Input((4,)), layers.Input((4,))
    y, sorted_one = layers.Dense(4)(start), keras.ops.sort(start)
    cases = [
        (layers.Lambda(lambda t: t + start)(y), lambda y: y + x),
        (layers.Lambda(lambda t: keras.backend.concatenate([t, other]))(y), lambda y: np.concatenate([y, z], axis=1)),
        (layers.Lambda(lambda t: t * other)(y), lambda y: y * z),
        (layers.Lambda(lambda t: t + sorted_one)(start), lambda y: x + np.sort(x)),
        (layers.Lambda(lambda ts: ts[0] * ts[1])([y, y]), lambda y: y * y),
        (layers.Lambda(lambda ts: ts[0] * keras.ops.sort(ts[1]))([start, start]), lambda y: x * np.sort(x)),
        (layers.Lambda(lambda t: other)(y), lambda y: z),
    ]
    for output, expected in cases:
        model = mc.Model([start, other], [y, output])
        first, second = model.predict([x, z])
        assert_close(second, expected(first), 1e-6)
    whole = mc.Sequential([layers.Input((None, 4)), layers.Lambda(shifted)])
    assert type(whole.layers[-1]) is layers.Lambda
    whole.save(tmp_path / "model.keras")
    again = mc.load_model(tmp_path / "model.keras", {"shifted": shifted})
    assert_close(again.predict(x[None]), np.sort(x[None]) + 1, 1e-6)


def distance(pair):
    """Between the rows of two arrays, (N, 1)."""
    return np.sqrt(np.maximum(np.sum(np.square(pair[0] - pair[1]), axis=1, keepdims=True), 1e-7))


def test_lambda_behind_weights_is_differentiated(rng):
    start = layers.Input((4,))
    two = layers.Lambda(distance, output_shape=lambda shapes: (shapes[0][0], 1))
    siamese = mc.Model(start, two([layers.Dense(3)(start), layers.Dense(3)(start)]))
    assert siamese.output_shape == (None, 1)
    assert mc.gradcheck(siamese).error <= 1e-6
    slices = mc.Sequential(
        [layers.Input((6, 5, 2)), layers.Conv2D(4, 3), layers.Lambda(lambda x: x[:, 1:3] * x[:, :2])]
    )
    assert mc.gradcheck(slices).error <= 1e-6
    constant = mc.Sequential([layers.Input((4,)), layers.Dense(2), layers.Lambda(np.ones_like)])
    constant.compile("sgd", "mse")
    before = constant.get_weights()
    constant.fit(rng.normal(size=(8, 4)), rng.normal(size=(8, 2)), verbose=0)
    assert_close(constant.get_weights()[0], before[0], 0)


def test_lambda_that_cannot_be_differentiated(rng):
    x = rng.normal(size=(8, 4))
    model = mc.Sequential([layers.Input((4,)), layers.Dense(2), layers.Lambda(lambda v: np.sort(v, axis=1)[:, ::-1])])
    norm = mc.Sequential(
        [layers.Input((4,)), layers.Dense(2), layers.Lambda(lambda v: np.linalg.norm(v, axis=1)[:, None])]
    )
    for network in (model, norm):
        network.compile("sgd", "mse")
        assert len(network.predict(x, verbose=0)) == 8
    with pytest.raises(TypeError, match=r"layer 'lambda\w*' .*needs? its gradient: np.norm cannot be differentiated"):
        norm.fit(x, np.ones((8, 1)), verbose=0)


# ---------------------------------------------------------------------------------------------------------------- ONNX


def decoder():
    """DCGAN-like."""
    return mc.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(12),
            layers.Reshape((2, 2, 3)),
            layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
            layers.PReLU(shared_axes=(1, 2)),
            layers.Conv2DTranspose(2, 3, strides=2),
            layers.Activation("silu"),
            layers.UpSampling2D(2),
            layers.Conv2D(1, 3, activation="tanh"),
        ]
    )


def gated():
    """A U-Net-like end, squeeze and excitation, and normalizations."""
    x = layers.Input((8, 8, 3))
    a = layers.GroupNormalization(2)(layers.SeparableConv2D(4, 3, padding="same", activation="relu")(x))
    b = layers.Activation("hard_swish")(layers.DepthwiseConv2D(3, strides=2, padding="same")(a))
    b = layers.UpSampling2D(2, interpolation="bilinear")(b)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(b))
    y = layers.Multiply()([layers.Subtract()([b, a]), gate])
    y = layers.Activation("gelu")(layers.LayerNormalization()(y))
    return mc.Model(x, layers.Average()([layers.Cropping2D(1)(y), layers.Conv2D(4, 3, activation="elu")(x)]))


@pytest.mark.parametrize("make", [decoder, gated])
def test_further_layers_to_onnx_and_back(make, rng, tmp_path):
    model = make()
    randomize(model.layers, rng)
    check_export(model, tmp_path / "model.onnx", rng)
    check_round_trip(model, tmp_path / "model.onnx", rng)


@pytest.mark.parametrize("size", [(396, 1), (1, 260), (257, 258)])
def test_large_windows_over_the_whole_image(size, rng):
    """As networks of texts have them: one maximum of each column, row or channel."""
    x = rng.normal(size=(2, *(max(n, 3) for n in size), 4)).astype(np.float32)
    model = mc.Sequential([layers.Input(x.shape[1:]), layers.MaxPooling2D(size)])
    axes = tuple(axis for axis, n in enumerate(size, 1) if n > 1)
    expected = x.max(axis=axes, keepdims=True)
    if 1 in size:
        assert model.predict(x).shape == expected.shape
    np.testing.assert_array_equal(model.predict(x), expected)
