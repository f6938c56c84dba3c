"""``tf.gather`` and ``gather_nd`` with ``batch_dims``, at places that a model computes for each sample."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf
from minicnn.keras.layers import Dense, Flatten, Lambda, Layer

X = np.sin(np.arange(4 * 6 * 5 * 3) * 0.7).reshape(4, 6, 5, 3).astype("float32")


def _places(numbers):
    return tf.cast(tf.clip_by_value(tf.floor((numbers + 1) * 2), 0.0, 4.0), tf.int32)


class Moved(Layer):
    """Pixels read elsewhere, as deformable convolutions do, with weights by which the offsets are trained."""

    def __init__(self, **options):
        super().__init__(**options)
        self.offsets = Dense(2)

    def call(self, x):
        offsets = self.offsets(x)
        weights = tf.reduce_sum(offsets - tf.floor(offsets), -1, keepdims=True)
        return tf.gather_nd(x, _places(offsets), batch_dims=1) * weights


class Best(Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.score = Dense(1)

    def call(self, x):
        rows = tf.reshape(x, (-1, 30, 3))
        order = tf.argsort(tf.reshape(self.score(x), (-1, 30)), axis=-1, direction="DESCENDING")
        return tf.gather(rows, order[:, :4], axis=1, batch_dims=1)


def _with_weights(layer):
    i = keras.Input((6, 5, 3))
    model = keras.Model(i, Dense(3)(Flatten()(layer(i))))
    for weight in model.trainable_weights:
        weight.assign(np.sin(np.arange(np.prod(weight.shape)) * 0.7).reshape(weight.shape) * 0.4)
    return model


def _moved(x, kernel, bias):
    offsets = x @ kernel + bias
    rows, columns = np.clip(np.floor((offsets + 1) * 2), 0, 4).astype(int).transpose(3, 0, 1, 2)
    read = x[np.arange(len(x))[:, None, None], rows, columns]
    return read * (offsets - np.floor(offsets)).sum(-1, keepdims=True)


def _best(x, kernel, bias):
    rows = x.reshape(len(x), 30, 3)
    order = np.argsort(-(rows @ kernel)[..., 0], axis=-1)[:, :4]
    return np.stack([row[places] for row, places in zip(rows, order, strict=True)])


@pytest.mark.parametrize(("kind", "of_numpy"), [(Moved, _moved), (Best, _best)])
def test_places_that_a_layer_computes(kind, of_numpy):
    model = _with_weights(kind())
    weights = [w.astype("float64") for w in model.get_weights()]
    expected = of_numpy(X.astype("float64"), *weights[:2]).reshape(4, -1) @ weights[2] + weights[3]
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict(X[:1], verbose=0), expected[:1], rtol=1e-4, atol=1e-5)


def test_such_layers_are_trained():
    """The losses of Keras 3.15.1 on TensorFlow, of this very script."""
    model = _with_weights(Moved())
    model.compile("sgd", "mse")
    y = np.sin(np.arange(12) * 0.7).reshape(4, 3)
    history = model.fit(X, y, batch_size=2, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(history, LOSSES, rtol=1e-4)


LOSSES = [19.063486, 11.268728]


def test_places_among_the_inputs_of_a_model():
    """Keras's Input(dtype="int32") holds floats here, also where a Lambda runs on arrays."""
    rows, places = keras.Input((30, 3)), keras.Input((4,), dtype="int32")
    read = Lambda(lambda t: tf.gather(t[0], t[1], batch_dims=1), output_shape=(4, 3))([rows, places])
    at = np.arange(16).reshape(4, 4)
    made = keras.Model([rows, places], read).predict([X.reshape(4, 30, 3), at], verbose=0)
    np.testing.assert_array_equal(made, [x[p] for x, p in zip(X.reshape(4, 30, 3), at, strict=True)])


def test_places_that_are_not_whole_are_refused():
    for gather in (tf.gather, tf.gather_nd):
        with pytest.raises(TypeError, match="whole numbers"):
            gather(X, np.array([[0.5]]))
