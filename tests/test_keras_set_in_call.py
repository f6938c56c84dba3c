"""Attributes that a `call` sets hold the numbers of the last call on arrays, as in Keras."""

import copy

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf


class Scaled(layers.Layer):
    """Twice what a dense layer gives, which it keeps."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x):
        self.seen = self.dense(x)
        self._pair = {"once": self.seen, "parts": [self.seen * 3, x]}
        return self.seen * 2

    def weights_of(self):
        return (np.asarray(w) for w in self.dense.get_weights())


class Network(keras.Model):
    """Two of these, one of them twice, and what is between them as an attribute that `call` reads."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Scaled(), Scaled()

    def call(self, x):
        self.between = self.first(x)
        return self.second(self.second(self.between))


def affine(x, layer):
    w, b = layer.weights_of()
    return np.asarray(x, np.float64) @ w + b  # (N, 3)


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)


def check_network(model, x):
    seen = affine(x, model.first)
    between = 2 * seen
    last = affine(2 * affine(between, model.second), model.second)  # of the second of two calls
    for value, right in [(model.first.seen, seen), (model.between, between), (model.second.seen, last)]:
        np.testing.assert_allclose(value.numpy(), right, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.first._pair["parts"][0], 3 * seen, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.first._pair["parts"][1], x)


def test_models_and_layers_inside(x):
    model = Network()
    model(x)
    check_network(model, x)
    model(x[:2] + 1)
    check_network(model, x[:2] + 1)


def test_after_training_a_call_sets_them_anew(x):
    model = Network()
    model.compile("adam", "mse")
    model.fit(x, np.ones((4, 3)), epochs=2, verbose=0)
    assert not isinstance(model.between, np.ndarray)  # as in Keras, where they are tensors of the traced function
    model(x)
    check_network(model, x)
    before = model.predict(x, verbose=0)
    model.fit(x, np.ones((4, 3)), epochs=2, verbose=0)
    assert np.any(model.predict(x, verbose=0) != before)


def test_graph_is_made_once(x):
    model, runs = Network(), []
    call = type(model).call
    type(model).call = lambda self, x: (runs.append(1), call(self, x))[1]
    try:
        for _ in range(4):
            model(x)
    finally:
        type(model).call = call
    assert len(runs) == 1


def test_layers_by_themselves_and_in_other_models(x):
    alone, within, stacked = Scaled(), Scaled(), Scaled()
    image = keras.Input((3,))
    functional = keras.Model(image, layers.ReLU()(within(image)))
    sequential = keras.Sequential([keras.Input((3,)), stacked])
    outer = keras.Sequential([keras.Input((3,)), functional])
    for model, layer in [(alone, alone), (functional, within), (sequential, stacked), (outer, within)]:
        model(x)
        np.testing.assert_allclose(layer.seen, affine(x, layer), rtol=1e-5, atol=1e-5)
        model(x * 2)
        np.testing.assert_allclose(layer.seen, affine(x * 2, layer), rtol=1e-5, atol=1e-5)


def test_tensors_of_a_constructor_stay(x):
    class Functional(keras.Model):
        def __init__(self):
            self.start = keras.Input((3,))
            self.hidden = layers.Dense(2)(self.start)
            super().__init__(self.start, layers.ReLU()(self.hidden))

    model = Functional()
    model(x)
    assert keras.Model(model.start, model.hidden).predict(x, verbose=0).shape == (4, 2)


def test_a_call_in_training_leaves_no_numbers_of_another_one(x):
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.drop = layers.Dropout(0.5)

        def call(self, x, training=None):
            self.kept = self.drop(x, training=training)
            return self.kept * 2

    layer = Noisy()
    layer(x)
    np.testing.assert_array_equal(layer.kept, x)
    layer(x, training=True)
    assert not isinstance(layer.kept, np.ndarray)
    layer(x)
    np.testing.assert_array_equal(layer.kept, x)


def test_attention_that_is_drawn(x):
    class Attended(layers.Layer):
        def __init__(self):
            super().__init__()
            self.attend = layers.MultiHeadAttention(2, 4)

        def call(self, x):
            made, self.last_scores = self.attend(x, x, return_attention_scores=True)
            return made

    layer, images = Attended(), np.stack([x, x + 1])
    layer(images)
    right = layer.attend(images, images, return_attention_scores=True)[1]
    np.testing.assert_allclose(layer.last_scores, right, rtol=1e-5)
    np.testing.assert_allclose(ops.sum(layer.last_scores, axis=-1), np.ones((2, 2, 4)), rtol=1e-5)


def test_copies_and_files(x, tmp_path):
    model = Network()
    model(x)
    twin = copy.deepcopy(model)
    twin(x + 1)
    check_network(twin, x + 1)
    check_network(model, x)
    model.save_weights(tmp_path / "w.weights.h5")
    other = Network()
    other(x)
    other.load_weights(tmp_path / "w.weights.h5")
    other(x)
    check_network(other, x)
    np.testing.assert_array_equal(other.between, model.between)


def test_changed_attributes_are_still_followed(x):
    class Factor(keras.Model):
        def __init__(self):
            super().__init__()
            self.factor, self.dense = 2.0, layers.Dense(3)

        def call(self, x):
            self.made = self.dense(x) * self.factor
            return self.made

    model = Factor()
    first = np.asarray(model(x))
    model.factor = 3.0
    np.testing.assert_allclose(model(x), first * 1.5, rtol=1e-5)
    np.testing.assert_allclose(model.made, first * 1.5, rtol=1e-5)


def test_losses_of_a_layer_are_tensors(x):
    class Added(layers.Layer):
        def call(self, x):
            self.add_loss(0.5 * ops.mean(x))
            return x

    added, dense = Added(), layers.Dense(2, kernel_regularizer="l2")
    model = keras.Sequential([keras.Input((3,)), Added(), dense])
    added(x), model(x)
    for losses in (added.losses, dense.losses, model.losses):
        assert all(loss.shape == () and loss.numpy().dtype == np.float32 for loss in losses)
    np.testing.assert_allclose(added.losses, [0.5 * x.mean(dtype=np.float64)], rtol=1e-6)
    assert len(model.losses) == 2


def test_tapes_go_through_a_layer_that_is_given_weights():
    class Linear(layers.Layer):
        def call(self, inputs, w=None, b=None):
            return ops.matmul(inputs, w) + b

    rng = np.random.default_rng(5)
    x, kernel = rng.normal(size=(2, 5)).astype(np.float32), tf.Variable(rng.normal(size=(5, 3)).astype(np.float32))
    layer, bias = Linear(), tf.Variable(np.zeros(3, np.float32))
    with tf.GradientTape() as tape:
        loss = ops.sum(ops.square(layer(x, w=kernel * 2.0, b=bias + 1.0)))
    dkernel, dbias = tape.gradient(loss, [kernel, bias])
    y = 2 * x.astype(np.float64) @ kernel.numpy() + 1
    np.testing.assert_allclose(dkernel, 4 * x.T @ y, rtol=1e-4)
    np.testing.assert_allclose(dbias, 2 * y.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer(x, w=kernel.numpy(), b=np.zeros(3, np.float32)), (y - 1) / 2, rtol=1e-4)


def test_functions_get_tensors_and_leave_arrays_alone(x):
    before, found = x.copy(), []

    @tf.function(input_signature=(tf.TensorSpec(shape=[None, 3], dtype=tf.float32),))
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = ops.sum(x * x)
        return tape.gradient(loss, x)

    @tf.function
    def step(batch, known=None):
        batch["x"] += 1.0
        found.append(batch["x"])
        known.append(1)
        return batch["x"].numpy().sum()

    known = []
    np.testing.assert_allclose(gradient(x), 2 * x, rtol=1e-6)
    np.testing.assert_allclose(step({"x": x}, known=known), x.sum() + x.size, rtol=1e-5)
    np.testing.assert_array_equal(x, before)
    assert known == [1]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_floormod_of_tensors_of_a_model(dtype):
    inputs = keras.Input((2,), dtype=dtype)
    model = keras.Model(inputs, tf.math.floormod(inputs, 3))
    given = np.array([[5, -7], [4, 2]], dtype)
    np.testing.assert_array_equal(model.predict(given, verbose=0), given - 3 * np.floor(given / 3))
    np.testing.assert_array_equal(tf.math.floormod(given, 3), given - 3 * np.floor(given / 3))
