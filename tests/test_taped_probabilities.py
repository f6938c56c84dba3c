"""Cross-entropies of what a model that ends in a softmax or sigmoid gives, on tapes, too: from before it, as in Keras.

When Keras 3.15 on TensorFlow 2.21 does so was tried there; the numbers are of formulas in float64.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

W = np.array([[40.0, -40, 0], [0, 30, -30]], "float32")
X = np.array([[1, 0], [1, 0], [0, 1], [0.1, 0.2]], "float32")
Y = np.array([1, 0, 2, 0])
T = np.eye(3, dtype="float32")[Y]
CLIPPED = 8.0908  # of probabilities, which begin at 1e-7


def model_of(*after, activation=None):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, activation=activation, use_bias=False), *after])
    model.set_weights([W])
    return model


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def categorical():
    """(loss, its gradient by the kernel)."""
    z = X.astype(np.float64) @ W
    top = z.max(-1, keepdims=True)
    losses = np.log(np.exp(z - top).sum(-1)) + top[:, 0] - (z * T).sum(-1)
    return losses.mean(), X.T.astype(np.float64) @ (softmax(z) - T) / 4


def binary():
    z = X.astype(np.float64) @ W
    return (np.logaddexp(0, z) - z * T).mean(), X.T.astype(np.float64) @ (1 / (1 + np.exp(-z)) - T) / 12


def with_function(function):
    model = model_of()
    return (lambda x: function(model(x))), model


def alone(model):
    return model, model


MODELS = {
    "dense": lambda kind: alone(model_of(activation=kind)),
    "Activation": lambda kind: alone(model_of(layers.Activation(kind))),
    "layer": lambda kind: alone(model_of(layers.Softmax() if kind == "softmax" else layers.Activation(ops.sigmoid))),
    "nested": lambda kind: alone(keras.Sequential([keras.Input((2,)), model_of(activation=kind)])),
    "ops": lambda kind: with_function(getattr(ops, kind)),
    "activations": lambda kind: with_function(getattr(keras.activations, kind)),
    "layer by itself": lambda kind: with_function(layers.Activation(kind)),
}
CATEGORICAL = {
    "sparse": lambda p: keras.losses.SparseCategoricalCrossentropy()(Y, p),
    "class": lambda p: keras.losses.CategoricalCrossentropy()(T, p),
    "said to be logits": lambda p: keras.losses.CategoricalCrossentropy(from_logits=True)(T, p),
    "function": lambda p: tf.reduce_mean(keras.losses.categorical_crossentropy(T, p)),
    "sparse function": lambda p: tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(Y, p)),
    "ops": lambda p: tf.reduce_mean(ops.sparse_categorical_crossentropy(Y, p)),
    "cast": lambda p: keras.losses.CategoricalCrossentropy()(T, tf.cast(p, tf.float32)),
    "converted": lambda p: keras.losses.CategoricalCrossentropy()(T, tf.convert_to_tensor(p)),
}
BINARY = {
    "class": lambda p: keras.losses.BinaryCrossentropy()(T, p),
    "function": lambda p: tf.reduce_mean(keras.losses.binary_crossentropy(T, p)),
    "ops": lambda p: tf.reduce_mean(ops.binary_crossentropy(T, p)),
    "targets on the tape": lambda p: keras.losses.BinaryCrossentropy()(T + 0 * p, tf.cast(p, "float32")),
}
OF_PROBABILITIES = {
    "slice": lambda p: p[:],
    "reshape": lambda p: tf.reshape(p, (-1, 3)),
    "identity": tf.identity,
    "times one": lambda p: p * 1.0,
    "squeeze": tf.squeeze,
    "numpy": lambda p: p.numpy(),
    "stop_gradient": tf.stop_gradient,
    "ops.stop_gradient": ops.stop_gradient,
}


def check(model, loss, expected):
    call, owner = model
    with tf.GradientTape() as tape:
        value = loss(call(X))
    (gradient,) = tape.gradient(value, owner.trainable_weights)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss(call(X)), expected[0], rtol=1e-5)  # and without a tape


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("loss", CATEGORICAL)
@pytest.mark.parametrize("model", MODELS)
def test_classes(model, loss, kind):
    check(MODELS[model](kind), CATEGORICAL[loss], categorical())


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("model", MODELS)
def test_decisions(model, loss, kind):
    check(MODELS[model](kind), BINARY[loss], binary())


@pytest.mark.parametrize("function", OF_PROBABILITIES)
def test_what_is_computed_of_them_counts_as_it_is(function):
    model = model_of(activation="softmax")
    with tf.GradientTape():
        loss = keras.losses.SparseCategoricalCrossentropy()(Y, OF_PROBABILITIES[function](model(X)))
    eager = keras.losses.SparseCategoricalCrossentropy()(Y, OF_PROBABILITIES[function](model(X)))
    np.testing.assert_allclose([loss, eager], CLIPPED, rtol=1e-4)


def test_softmax_of_tensorflow_and_ignored_classes_and_raw_crossentropies():
    model, p = model_of(), softmax(X.astype(np.float64) @ W)
    with tf.GradientTape():
        eager = keras.losses.SparseCategoricalCrossentropy()(Y, tf.nn.softmax(model(X)))
        ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=7)(Y, ops.softmax(model(X)))
        raw = tf.nn.softmax_cross_entropy_with_logits(T, ops.softmax(model(X)))
    np.testing.assert_allclose([eager, ignoring], CLIPPED, rtol=1e-4)
    np.testing.assert_allclose(raw.numpy(), np.log(np.exp(p).sum(-1)) - (p * T).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_other_gradients_by_the_same_output(kind, scale=0.02):
    """Of a loss and of the probabilities themselves, together."""
    model = model_of(activation=kind)
    model.set_weights([scale * W])
    z = X.astype(np.float64) @ (scale * W)
    with tf.GradientTape() as tape:
        p = model(X)
        value = keras.losses.CategoricalCrossentropy()(T, p) + tf.reduce_sum(tf.square(p))
    q = softmax(z) if kind == "softmax" else 1 / (1 + np.exp(-z))
    own = q * (2 * q - (2 * q * q).sum(-1, keepdims=True)) if kind == "softmax" else 2 * q * q * (1 - q)
    (gradient,) = tape.gradient(value, model.trainable_weights)
    np.testing.assert_allclose(gradient, X.T @ ((softmax(z) - T) / 4 + own), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(p.numpy(), model.predict(X, verbose=0))


def test_focal_loss_behind_a_softmax():
    model = model_of(activation="softmax")
    with tf.GradientTape():
        loss = keras.losses.BinaryFocalCrossentropy()(T, model(X))
    np.testing.assert_allclose(loss, 11.669, rtol=1e-4)  # Keras's
