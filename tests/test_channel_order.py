"""Channels that are not the last axis: `data_format="channels_first"`, and `BatchNormalization` over any axis."""

import json

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn import layers
from minicnn.errors import ShapeError

FIRST = "channels_first"


def convolution(x, kernel, bias):
    """A valid convolution of x (N, C, H, W) with a kernel (K, L, C, F), by naive loops in float64: (N, F, OH, OW)."""
    (n, _, height, width), (rows, columns, _, filters) = x.shape, kernel.shape
    y = np.zeros((n, filters, height - rows + 1, width - columns + 1))
    for i, j in np.ndindex(y.shape[2:]):
        for f in range(filters):
            window = x[:, :, i : i + rows, j : j + columns]  # (N, C, K, L)
            y[:, f, i, j] = (window * kernel[..., f].transpose(2, 0, 1)).sum((1, 2, 3)) + bias[f]
    return y


def test_convolution_and_its_activation(rng):
    x = rng.normal(size=(2, 3, 5, 6)).astype(np.float32)
    layer = layers.Conv2D(4, (2, 3), data_format=FIRST, bias_initializer="random_normal", activation="softmax")
    y = layer(x)
    assert layer.kernel.shape == (2, 3, 3, 4)  # as in Keras, whatever the order of the data
    sums = convolution(x.astype(np.float64), layer.kernel.numpy(), layer.bias.numpy())
    powers = np.exp(sums)  # Keras's softmax is over the last axis, which is the width here
    assert_close(y, powers / powers.sum(-1, keepdims=True), 1e-5)


X = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5) * 7 % 11  # (N, C, H, W)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.MaxPooling2D((2, 1), data_format=FIRST), X.reshape(2, 3, 2, 2, 5).max(3)),
        (layers.AveragePooling2D((1, 5), data_format=FIRST), X.mean(-1, keepdims=True)),
        (layers.GlobalAveragePooling2D(FIRST), X.mean((2, 3))),
        (layers.GlobalMaxPooling2D(FIRST, keepdims=True), X.max((2, 3), keepdims=True)),
        (layers.GlobalMaxPooling1D(FIRST), X[:, 0].max(-1)),
        (layers.MaxPooling1D(2, data_format=FIRST), X[:, 0, :, :4].reshape(2, 4, 2, 2).max(-1)),
        (layers.Flatten(FIRST), X.transpose(0, 2, 3, 1).reshape(2, -1)),  # Keras moves the channels to the end
        (layers.UpSampling2D((2, 3), data_format=FIRST), X.repeat(2, axis=2).repeat(3, axis=3)),
        (layers.ZeroPadding2D((1, 2), data_format=FIRST), np.pad(X, ((0, 0), (0, 0), (1, 1), (2, 2)))),
        (layers.Cropping2D((1, 2), data_format=FIRST), X[:, :, 1:-1, 2:-2]),
        (layers.Resizing(4, 5, data_format=FIRST), X),
        (layers.SpatialDropout2D(0.5, data_format=FIRST), X),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_every_kind_of_layer(layer, expected):
    x = X[:, 0] if type(layer).__name__.endswith("1D") else X
    y = layer(x)
    assert_close(y, expected, 1e-6)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *expected.shape[1:])
    assert type(layer).from_config(layer.get_config()).data_format == FIRST


def test_spatial_dropout_drops_whole_channels():
    y = layers.SpatialDropout2D(0.5, data_format=FIRST)(np.ones((8, 6, 3, 4), np.float32), training=True)
    assert {tuple(np.unique(channel)) for channel in y.reshape(48, 12)} == {(0.0,), (2.0,)}


@pytest.mark.parametrize("axis", [1, 2, -2, 3])
def test_batch_normalization_over_any_axis(axis, rng):
    x = rng.normal(2, 3, size=(4, 3, 5, 2)).astype(np.float32)
    layer = layers.BatchNormalization(axis, momentum=0.5)
    y = layer(x, training=True)
    others = tuple(a for a in range(4) if a != axis % 4)
    mean, variance = (f(x.astype(np.float64), axis=others, keepdims=True) for f in (np.mean, np.var))
    assert_close(y, (x - mean) / np.sqrt(variance + 1e-3), 1e-5)
    assert layer.gamma.shape == (x.shape[axis],)
    assert_close(layer.moving_mean.numpy(), mean.ravel() / 2, 1e-5)
    assert layer.get_config()["axis"] == axis


@pytest.mark.parametrize("axis", [0, 4, -4])
def test_an_axis_that_cannot_be(axis):
    with pytest.raises(ShapeError, match=r"\(BatchNormalization\): an axis is counted with the batch axis"):
        layers.BatchNormalization(axis)(X[0])


def test_freezing_behind_compile():
    layer = layers.BatchNormalization(1, center=False, scale=False)
    model = mc.Sequential([layers.Input((2, 3)), layer, layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.full((4, 2, 3), 5, np.float32), np.zeros((4, 1))
    model.fit(x, y, verbose=0)
    before = layer.moving_mean.numpy()
    layer.trainable = False
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)
    assert before.all()


def test_a_layer_of_ones_own_has_its_own_data_format():
    class Mine(layers.Layer):
        data_format = FIRST

        def build(self, input_shapes):
            return input_shapes[0][:-1]

        def forward(self, xs, ws):
            ws.y[...] = xs[0][..., 0]

    class OfOurs(layers.MaxPooling2D):
        def build(self, input_shapes):
            return super().build(input_shapes)

    assert_close(Mine()(X), X[..., 0], 0)
    assert_close(OfOurs((2, 1), data_format=FIRST)(X), X.reshape(2, 3, 2, 2, 5).max(3), 0)


def network():
    order = {"data_format": FIRST}
    return mc.Sequential(
        [
            layers.Input((2, 6, 5)),
            layers.Conv2D(3, 3, padding="same", activation="relu", **order),
            layers.BatchNormalization(axis=1),
            layers.DepthwiseConv2D(2, **order),
            layers.SeparableConv2D(3, 2, activation="tanh", **order),
            layers.Conv2DTranspose(2, 2, **order),
            layers.MaxPooling2D(2, **order),
            layers.Flatten(**order),
            layers.Dense(2),
        ]
    )


def test_gradients():
    assert mc.gradcheck(network(), backend="numpy")


def test_files(tmp_path, rng):
    model = network()
    x = rng.normal(size=(3, 2, 6, 5)).astype(np.float32)
    for name in ("m.keras", "m.safetensors"):
        model.save(tmp_path / name)
        again = mc.load_model(tmp_path / name)
        np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
        assert json.dumps(again.get_config()) == json.dumps(model.get_config())


def test_onnx(tmp_path, rng):
    files = pytest.importorskip("onnx_files")
    files.check_export(network(), tmp_path / "m.onnx", rng)
