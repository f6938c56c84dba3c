"""Weights of layers that a `call` uses: assigned to there, as masked convolutions do, and beside tensors."""

import copy
import pickle

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

X = np.random.default_rng(0).normal(size=(6, 5, 5, 1)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, 5, 5, 2)).astype("float32")
MASK = np.zeros((3, 3, 1, 2), "float32")
MASK[0] = MASK[1, 0] = 1


class Masked(keras.layers.Layer):
    """What keras.io's PixelCNN does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(2, 3, padding="same")

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.mask = np.array(MASK, "float64")

    def call(self, inputs):
        self.conv.kernel.assign(self.conv.kernel * self.mask)
        return self.conv(inputs)


def masked_model(learning_rate=0.1):
    model = keras.Sequential([keras.Input((5, 5, 1)), Masked()])
    model.compile(keras.optimizers.SGD(learning_rate), "mse")
    return model


def by_hand(kernel, bias):
    """(N, 5, 5, 2), pixel by pixel."""
    padded = np.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0))).astype("float64")
    out = np.zeros((len(X), 5, 5, 2))
    for i in range(5):
        for j in range(5):
            out[:, i, j] = np.einsum("nklc,klcf->nf", padded[:, i : i + 3, j : j + 3], kernel * MASK) + bias
    return out


def test_an_assigned_mask_holds_after_updates_and_assignments(tmp_path):
    model = masked_model()
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel * (1 - MASK), 0)
    assert np.abs(kernel).max() > 0
    np.testing.assert_allclose(model.predict(X), by_hand(kernel, bias), atol=1e-5)
    error = by_hand(kernel, bias) - Y
    model.fit(X, Y, epochs=1, batch_size=6, verbose=0)
    trained, trained_bias = model.get_weights()
    np.testing.assert_allclose(trained_bias, bias - 0.1 * 2 * error.mean((0, 1, 2)) / 2, atol=1e-5)
    np.testing.assert_array_equal(trained * (1 - MASK), 0)
    assert np.abs(trained - kernel).max() > 1e-4
    model.set_weights([np.ones_like(kernel), bias])
    np.testing.assert_array_equal(model.get_weights()[0], MASK)
    np.testing.assert_allclose(model.predict(X), by_hand(np.ones_like(kernel), bias), atol=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Masked": Masked})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    loaded.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(loaded.get_weights()[0] * (1 - MASK), 0)


def test_a_mask_comes_after_the_layers_own_constraint():
    layer = Masked()
    layer.conv = keras.layers.Conv2D(2, 3, padding="same", kernel_constraint="non_neg")
    model = keras.Sequential([keras.Input((5, 5, 1)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    kernel = model.get_weights()[0]
    assert kernel.min() == 0
    np.testing.assert_array_equal(kernel * (1 - MASK), 0)


def test_a_pickle_holds_a_mask():
    model = masked_model()
    again = pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    again.set_weights([np.ones((3, 3, 1, 2)), np.zeros(2)])
    np.testing.assert_array_equal(again.get_weights()[0], MASK)


class Clipped(Masked):
    def call(self, inputs):
        self.conv.kernel.assign(keras.ops.clip(self.conv.kernel, -0.1, 0.1))
        return self.conv(inputs)


def test_another_projection_is_copied_and_not_pickled():
    model = keras.Sequential([keras.Input((5, 5, 1)), Clipped()])
    model.compile("sgd", "mse")
    again = copy.deepcopy(model)
    again.set_weights([np.full((3, 3, 1, 2), 9.0), np.zeros(2)])
    assert again.get_weights()[0].max() == np.float32(0.1)
    assert np.abs(model.get_weights()[0]).max() == np.float32(0.1)
    with pytest.raises(TypeError, match="no other projection"):
        pickle.dumps(model)


@pytest.mark.parametrize("rule", [lambda conv: conv.kernel * 0.5, lambda conv: conv.kernel + conv.bias])
def test_what_is_no_projection_is_refused(rule):
    class Other(Masked):
        def call(self, inputs):
            self.conv.kernel.assign(rule(self.conv))
            return self.conv(inputs)

    with pytest.raises(TypeError, match=r"has to hold for good: a mask of it"):
        keras.Sequential([keras.Input((5, 5, 1)), Other()])


class WithBias(keras.layers.Layer):
    """Computes with the weights of a layer that it does not call."""

    def __init__(self, is_reflected, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(2, 3, padding="same", bias_initializer="ones")
        self.is_reflected = is_reflected

    def build(self, input_shape):
        self.conv.build(input_shape)

    def call(self, inputs):
        made = keras.ops.conv(inputs, self.conv.kernel * MASK, padding="same")
        return self.conv.bias + made if self.is_reflected else made + self.conv.bias


@pytest.mark.parametrize("is_reflected", [False, True])
def test_a_weight_of_an_inner_layer_beside_a_tensor_is_trained(is_reflected):
    model = keras.Sequential([keras.Input((5, 5, 1)), WithBias(is_reflected)])
    kernel, bias = model.get_weights()
    made = by_hand(kernel, bias)
    np.testing.assert_allclose(model.predict(X), made, atol=1e-5)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, batch_size=6, verbose=0)
    expected = bias - 0.1 * 2 * (made - Y).mean((0, 1, 2)) / 2
    np.testing.assert_allclose(model.get_weights()[1], expected, atol=1e-5)


def test_the_shape_of_a_weight_in_build_is_one_of_numbers():
    found = []

    class Masked(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(2, 3, padding="same")

        def build(self, input_shape):
            self.conv.build(input_shape)
            kernel = self.conv.kernel
            found.extend([keras.ops.shape(kernel), keras.backend.int_shape(kernel), tuple(tf.shape(kernel))])
            self.mask = np.zeros(keras.ops.shape(kernel), np.float32)

        def call(self, inputs):
            self.conv.kernel.assign(self.conv.kernel * self.mask)
            return self.conv(inputs)

    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, Masked()(inputs))
    assert found and all(tuple(map(int, each)) == (3, 3, 1, 2) for each in found)
    np.testing.assert_array_equal(model.predict(np.ones((1, 4, 4, 1)), verbose=0), np.zeros((1, 4, 4, 2)))
