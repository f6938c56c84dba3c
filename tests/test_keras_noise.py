"""Random numbers for as many samples as a model's tensor has: of the shape that was asked for, drawn once a batch."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf

X = np.arange(1.0, 25.0, dtype="float32").reshape(6, 4)


def _of(function):
    x = keras.Input((4,))
    return keras.Model(x, function(x)).predict(X, verbose=0)


@pytest.mark.parametrize("draw", [K.random_uniform, K.random_normal, tf.random.uniform, keras.random.normal])
def test_one_number_for_each_sample_is_broadcast(draw) -> None:
    factors = _of(lambda x: x * draw((K.shape(x)[0], 1))) / X
    np.testing.assert_allclose(factors, np.repeat(factors[:, :1], 4, axis=1), rtol=1e-5)
    assert len(np.unique(factors[:, 0])) == 6


def test_numbers_that_are_used_twice_are_the_same() -> None:
    def mixed(x):
        share = K.random_uniform((K.shape(x)[0], 1))
        return [x * share, (1 - share) * x, x + 0 * share]

    first, second, third = _of(mixed)
    np.testing.assert_allclose(first + second, X, rtol=1e-5)
    np.testing.assert_array_equal(third, X)
    assert (first < X).all() and len(np.unique(first[:, 0] / X[:, 0])) == 6


def test_two_draws_are_two() -> None:
    made = _of(lambda x: [x * K.random_uniform((K.shape(x)[0], 1)), x * K.random_uniform((K.shape(x)[0], 1))])
    assert not np.isclose(*made).any()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, u: x * tf.floor(u + 0.5),
        lambda x, u: x * K.cast(u > 0.5, "float32"),
        lambda x, u: x * K.cast(K.less(u, 0.5), "float32"),
        lambda x, u: K.switch(u < 0.5, x, x * 0),
        lambda x, u: tf.where(u < 0.5, x, tf.zeros_like(x)),
    ],
)
def test_whole_samples_are_dropped(function) -> None:
    kept = {
        tuple(sample)
        for _ in range(8)
        for sample in _of(lambda x: function(x, K.random_uniform((K.shape(x)[0], 1)))) / X
    }
    assert kept == {(0, 0, 0, 0), (1, 1, 1, 1)}


def test_functions_and_layers_of_them() -> None:
    def gumbel(x):
        return K.softmax((x - K.log(-K.log(K.random_uniform(K.shape(x)) + 1e-20) + 1e-20)) / 0.5)

    drawn = _of(gumbel)
    np.testing.assert_allclose(drawn.sum(-1), 1, rtol=1e-5)
    assert not np.allclose(drawn, _of(lambda x: K.softmax(x / 0.5)))
    joined = _of(lambda x: layers.Concatenate()([x, K.random_normal((K.shape(x)[0], 2))]))
    np.testing.assert_array_equal(joined[:, :4], X)
    assert len(np.unique(joined[:, 4:])) == 12
    ones = _of(lambda x: layers.Dense(3, kernel_initializer="ones")(K.random_normal(K.shape(x))))
    np.testing.assert_array_equal(ones, np.repeat(ones[:, :1], 3, axis=1))
    stacked = _of(lambda x: x * tf.random.uniform(tf.stack([tf.shape(x)[0], 1]))) / X
    np.testing.assert_allclose(stacked, np.repeat(stacked[:, :1], 4, axis=1), rtol=1e-5)


def test_a_layer_of_them_alone_says_what_is_missing() -> None:
    x = keras.Input((4,))
    with pytest.raises(TypeError, match=r"not known for which samples.*keras.random.normal\(keras.ops.shape\(x\)\)"):
        layers.Dense(3)(K.random_normal((K.shape(x)[0], 5)))


class Parted(layers.Layer):
    """Each sample's places in two parts at random, as masked autoencoders choose the patches that they see."""

    def call(self, x):
        places = tf.argsort(tf.random.uniform((tf.shape(x)[0], 4)), axis=-1)
        hidden, seen = places[:, :1], places[:, 1:]
        return tf.gather(x, hidden, axis=1, batch_dims=1), tf.gather(x, seen, axis=1, batch_dims=1)


def test_places_in_a_random_order() -> None:
    hidden, seen = Parted()(X)
    assert hidden.shape == (6, 1) and seen.shape == (6, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate([hidden, seen], axis=1), axis=1), X)
    assert len({tuple(row % 4) for row in np.asarray(seen)}) > 1


@pytest.mark.parametrize("direction, turn", [("ASCENDING", 1), ("DESCENDING", -1)])
def test_numbers_in_order(direction, turn) -> None:
    turned = _of(lambda x: tf.sort(x * tf.random.uniform((K.shape(x)[0], 4)), direction=direction))
    np.testing.assert_array_equal(turned, turn * np.sort(turn * turned))
    drawn = _of(lambda x: 0 * x + tf.sort(tf.random.uniform((K.shape(x)[0], 4)), direction=direction))
    np.testing.assert_array_equal(drawn, turn * np.sort(turn * drawn))
    assert len(np.unique(drawn)) > 4
    places = _of(lambda x: tf.cast(tf.argsort(x, direction=direction), "float32"))
    np.testing.assert_array_equal(places, [[0, 1, 2, 3][::turn]] * 6)


def test_a_function_that_needs_the_numbers_says_so() -> None:
    """They became an array of one object, and the places of its order were [0]."""
    x = keras.Input((4,))
    with pytest.raises(TypeError, match="needs the numbers of an array"):
        np.asarray(tf.random.uniform((K.shape(x)[0], 4)))
