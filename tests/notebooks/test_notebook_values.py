"""Calls on arrays as TensorFlow's eager tensors are used, and losses made of Keras's."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def masks():
    """Images (12, 8, 8, 1) and masks of them, 0 or 1."""
    x = np.random.default_rng(0).random((12, 8, 8, 1), np.float32)
    return x, (x > 0.5).astype("float32")


def segmenter(loss, metrics=()):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss=loss, metrics=list(metrics))
    return model


def dice(y_true, y_pred):
    a, b = K.flatten(y_true), K.flatten(y_pred)
    return (2 * K.sum(a * b) + 1) / (K.sum(a) + K.sum(b) + 1)


def test_what_a_model_says_of_arrays_has_numpy(grey):
    x, _ = grey
    model = keras.Sequential([layers.Flatten(input_shape=(28, 28, 1)), layers.Dense(10)])
    logits = model(x[:4]).numpy()
    assert type(logits) is np.ndarray and logits.shape == (4, 10)
    probabilities = keras.Sequential([model, layers.Softmax()])(x[:4]).numpy()
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    scaled = layers.Rescaling(1 / 127.5, offset=-1)(x[:2])
    np.testing.assert_allclose(scaled.numpy(), x[:2] / 127.5 - 1, atol=1e-6)
    heads = keras.Model(model.inputs, [model.output, model.layers[0].output])
    assert [part.numpy().shape for part in heads(x[:2], training=False)] == [(2, 10), (2, 784)]


def test_the_halves_of_an_autoencoder(grey):
    x, _ = grey

    class Autoencoder(keras.Model):
        def __init__(self, latent, shape):
            super().__init__()
            self.encoder = keras.Sequential([layers.Flatten(), layers.Dense(latent, activation="relu")])
            self.decoder = keras.Sequential([layers.Dense(28 * 28, activation="sigmoid"), layers.Reshape(shape)])

        def call(self, x):
            return self.decoder(self.encoder(x))

    model = Autoencoder(6, (28, 28, 1))
    model.compile(optimizer="adam", loss=keras.losses.MeanSquaredError())
    model.fit(x, x, epochs=1, shuffle=True, validation_data=(x, x), verbose=0)
    codes = model.encoder(x).numpy()
    assert codes.shape == (64, 6)
    np.testing.assert_allclose(model.decoder(codes).numpy(), model.predict(x, verbose=0), atol=1e-5)


def test_losses_and_metrics_of_arrays_have_numpy(masks):
    x, y = masks
    loss = keras.losses.BinaryCrossentropy()(y, x).numpy()
    p = np.clip(x.astype("float64"), 1e-7, 1 - 1e-7)
    each = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert loss == pytest.approx(each.mean(), rel=1e-5)
    rows = keras.losses.binary_crossentropy(y, x).numpy()
    np.testing.assert_allclose(rows, each.mean(-1), rtol=1e-4)
    iou = keras.metrics.MeanIoU(num_classes=2)
    iou.update_state(y, x > 0.5)
    assert iou.result().numpy() == pytest.approx(1)
    assert isinstance(iou, mc.metrics.MeanIoU) and isinstance(mc.metrics.MeanIoU(2), keras.metrics.MeanIoU)


class BCEDice(keras.losses.Loss):
    """A class of parts."""

    def __init__(self, share=0.5, name="bce_dice", **kwargs):
        super().__init__(name=name, **kwargs)
        self.share = share
        self.bce = keras.losses.BinaryCrossentropy(from_logits=False)

    def call(self, y_true, y_pred):
        return self.share * self.bce(y_true, y_pred) + (1 - self.share) * (1 - dice(y_true, y_pred))


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: keras.losses.binary_crossentropy(a, b) + 1 - dice(a, b),
        lambda a, b: keras.losses.BinaryCrossentropy()(a, b) + 1 - dice(a, b),
        lambda a, b: K.mean(keras.losses.mse(a, b)) - K.log(dice(a, b)),
        lambda a, b: keras.losses.binary_crossentropy(K.flatten(a), K.flatten(b)),
        lambda a, b: 0.5 * keras.losses.BinaryFocalCrossentropy()(a, b) + keras.losses.Dice()(a, b),
        BCEDice(),
    ],
)
def test_losses_made_of_keras_losses(loss, masks):
    x, y = masks
    model = segmenter(loss, [dice, keras.metrics.BinaryIoU(), keras.metrics.MeanIoU(num_classes=2)])
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert {"dice", "binary_io_u", "mean_io_u"} <= set(history)


def test_a_loss_made_of_one_trains_as_that_one(masks):
    x, y = masks
    trained = []
    for loss in ("binary_crossentropy", lambda a, b: keras.losses.binary_crossentropy(a, b)):
        keras.utils.set_random_seed(4)
        trained.append(segmenter(loss).fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"])
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-4)


def test_activations_and_counts_have_numpy(small):
    x, _ = small
    rows = keras.activations.softmax(x[:, 0, :, 0]).numpy()
    np.testing.assert_allclose(rows.sum(-1), 1, rtol=1e-5)
    batches = mc.data.Dataset.from_tensor_slices(x).batch(4)
    count = mc.data.experimental.cardinality(batches)
    assert count.numpy() == 8 and len(batches.take(count // 4)) == 2
    assert mc.data.experimental.AUTOTUNE == mc.data.AUTOTUNE


def test_channels_as_attention_pools_them(small):
    x, _ = small
    inputs = keras.Input((8, 8, 1))
    features = layers.Conv2D(4, 3, padding="same")(inputs)
    mean = keras.ops.mean(features, axis=-1, keepdims=True)
    most = layers.Lambda(lambda t: K.max(t, axis=3, keepdims=True))(features)
    pooled = layers.Concatenate(axis=-1)([mean, most])
    model = keras.Model(inputs, [features, pooled])
    values, both = model.predict(x, verbose=0)
    assert model.output_shape[1] == (None, 8, 8, 2)
    np.testing.assert_allclose(both, np.stack([values.mean(-1), values.max(-1)], -1), rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="computed over the samples"):
        layers.Dense(2)(keras.ops.mean(features, axis=0))


def test_slices_loops_and_choices_of_keras_3():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(keras.ops.slice(x, (0, 1, 0), (1, 2, 2)), x[:1, 1:3, :2])
    np.testing.assert_array_equal(keras.ops.scatter_update(np.zeros(3), [[1]], [2.0]), [0, 2, 0])
    np.testing.assert_array_equal(keras.ops.vectorized_map(lambda row: row * 2, x), x * 2)
    mean, variance = keras.ops.moments(x, [0, 1])
    np.testing.assert_allclose(mean, x.mean((0, 1)))
    np.testing.assert_allclose(variance, x.var((0, 1)))
    assert keras.ops.fori_loop(0, 4, lambda number, total: total + number, 0) == 6
    assert keras.ops.while_loop(lambda i: i < 3, lambda i: i + 1, (0,)) == (3,)
    assert keras.ops.cond(False, lambda: 1, lambda: 2) == 2
    assert keras.ops.searchsorted([1.0, 3.0], [0.0, 3.0, 9.0], side="right").tolist() == [0, 2, 2]


def test_shapes_of_arrays_of_numbers_have_tensorflows_methods():
    x = tf.zeros((2, 3, 4))
    assert x.shape == (2, 3, 4) and x.shape.as_list() == [2, 3, 4] and x.shape.rank == 3
    assert x.shape[1:].as_list() == [3, 4] and str(x[0].shape) == "(3, 4)" and tf.constant(1.0).shape.as_list() == []
    assert (tf.reduce_sum(x) / x.shape[0]).dtype == np.float32 and type(x.shape[0]) is int
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert model(x[0]).shape.as_list() == [3, 2]
    for batch in tf.data.Dataset.from_tensor_slices(np.zeros((5, 4))).batch(2).take(1):
        assert batch.shape.as_list() == [2, 4]
    with tf.GradientTape() as tape:
        tape.watch(x)
        mean = tf.reduce_sum(x * 2.0) / (x * 2.0).shape[0]
    assert mean.dtype == np.float32 and tape.gradient(mean, x).dtype == np.float32


def test_what_is_done_to_the_array_of_numpy_leaves_the_tensor(grey):
    """As deep dreams have it: deprocess_image(img.numpy()) writes into what it is given, and img goes on."""
    x, _ = grey
    x = x[:2].copy()
    before = x.copy()
    image = tf.identity(x)
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(2.0)])
    (element,) = tf.data.Dataset.from_tensor_slices(x).batch(2)
    for tensor, factor in ((image, 1), (tf.constant(x), 1), (element, 1), (model(x), 2)):
        pixels = tensor.numpy().reshape(-1)
        pixels += 1.0
        np.testing.assert_array_equal(np.asarray(tensor), factor * before)
    np.testing.assert_array_equal(x, before)
