"""``==`` and ``!=`` of weights, variables and tensors of a model in a user's code: number by number."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

L = keras.layers
X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


@pytest.mark.filterwarnings("ignore:call of model")
def test_weights_are_compared_with_numbers_and_are_themselves():
    class Counting(keras.Model):
        def __init__(self):
            super().__init__()
            self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", trainable=False, dtype="int32")
            self.pair = self.add_weight(name="pair", shape=(2,), initializer="ones")

        def call(self, x):
            return x * 2 if self.steps == 0 else x * 3

    model = Counting()
    assert bool(model.steps == 0) and not bool(model.steps != 0) and int(model.steps) == 0
    np.testing.assert_array_equal(model(X), X * 2)
    model.steps.assign_add(4)
    assert bool(model.steps != 0) and bool(np.int64(4) == model.steps) and int(model.steps) == 4
    np.testing.assert_array_equal(model(X), X * 3)
    np.testing.assert_array_equal(model.pair == np.array([1, 2]), [True, False])
    np.testing.assert_array_equal(model.pair != 1, [False, False])
    assert (model.pair == model.pair) is True and (model.pair == model.steps) is False
    assert model.pair in {model.pair: 1} and model.pair != None  # noqa: E711
    np.testing.assert_array_equal(tf.Variable([1.0, 2.0]) != 1.0, [False, True])


def test_tensors_are_compared_number_by_number_in_a_users_code():
    class Marked(keras.Model):
        def __init__(self):
            super().__init__()
            self.relu = L.ReLU()

        def call(self, x):
            h = self.relu(x)
            is_largest = tf.cast(h == tf.reduce_max(h, axis=-1, keepdims=True), tf.float32)
            return h + 5 * tf.cast(h == 0, tf.float32) + 7 * tf.cast(h != 0, tf.float32) + 9 * is_largest

    h = np.maximum(X, 0)
    expected = h + 5 * (h == 0) + 7 * (h != 0) + 9 * (h == h.max(-1, keepdims=True))
    np.testing.assert_allclose(Marked()(X), expected, rtol=1e-5)
    x = keras.Input((4,))
    np.testing.assert_array_equal(keras.Model(x, (x == X[0, 1]) + (x != X[0, 2]))(X[:1]), [[1, 2, 0, 1]])
    assert [x].index(x) == 0 and x not in [keras.Input((4,))]
