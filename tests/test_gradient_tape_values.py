"""Gradients of tapes whose values could go astray in silence, against those that TensorFlow has, worked out by hand."""

import warnings

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

layers = keras.layers


def test_plain_numbers_beside_values_on_a_tape():
    """They are numbers, not places in the other parts."""
    v = tf.Variable([5.0, 7.0])
    with tf.GradientTape(persistent=True) as tape:
        joined, stacked = tf.concat([v, [1, 1]], 0), tf.stack([0.5, v[0]])
        nested = tf.concat([[[2, 3]], tf.reshape(v, (1, 2))], 0)
        quotient = v / [1.0, 2.0]
    assert joined.numpy().tolist() == [5, 7, 1, 1] and joined.dtype == "float32"
    assert stacked.numpy().tolist() == [0.5, 5] and nested.numpy().tolist() == [[2, 3], [5, 7]]
    assert tape.gradient(joined, v).tolist() == [1, 1] and tape.gradient(stacked, v).tolist() == [1, 0]
    assert tape.gradient(nested, v).tolist() == [1, 1] and tape.gradient(quotient, v).tolist() == [1, 0.5]


def test_gradients_at_the_ends_of_functions_warn_of_nothing():
    v = tf.Variable([0.0, 0.0])
    with tf.GradientTape(persistent=True) as tape:
        y, z = tf.reduce_sum(v**0.0), tf.norm(v)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tape.gradient(y, v)
        assert np.isnan(tape.gradient(z, v)).all()  # as of TensorFlow


METHODS = {
    "T": lambda x: x.T,
    "transpose": lambda x: x.transpose(),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "copy": lambda x: x.copy(),
    "astype": lambda x: x.astype("float64"),
    "repeat": lambda x: x.repeat(2, axis=0) / np.sqrt(2),
    "take": lambda x: x.take([0, 1, 2, 3]),
    "dot": lambda x: x.dot(np.eye(2, dtype="float32")),
    "clip": lambda x: x.clip(0, 10),
    "rows": lambda x: tf.stack(list(x)),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_a_watched_array(name):
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(METHODS[name](x) ** 2)
    np.testing.assert_allclose(tape.gradient(y, x), [[2, 4], [6, 8]], rtol=1e-6)


def test_what_leaves_a_watched_array_is_refused():
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(TypeError, match=r"np.prod cannot be differentiated"):
            x.prod()
        with pytest.raises(TypeError, match="left the tape"):
            x.view() * 2.0
        assert (x.astype("int32") * 2).tolist() == [[2, 4], [6, 8]]


def test_values_are_not_those_of_the_users_arrays():
    array = np.array([1.0, 2.0], np.float32)
    x = tf.constant(array)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        y.numpy()[:] = 0
        z = y * y
    array[:] = 100
    assert x.numpy().tolist() == [1, 2] and tape.gradient(z, x).tolist() == [4, 32]


def test_targets_that_are_sources():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * 2.0
    assert tape.gradient(x, x).tolist() == [1, 1] == tape.gradient(y, y).tolist()
    v = tf.Variable([1.0, 2.0])
    assert tape.gradient(v, v).tolist() == [1, 1]
    with pytest.raises(TypeError, match=r"plain number has no history.*target=6.0"):
        tape.gradient(float(tf.reduce_sum(y)), x)


def test_each_tape_watches_for_itself():
    x = tf.constant(3.0)
    with tf.GradientTape() as first:
        first.watch(x)
        y = x * x
    with tf.GradientTape() as second:
        z = x * x
    assert first.gradient(y, x) == 6.0 and second.gradient(z, x) is None
    with tf.GradientTape() as tape:
        tape.watch(x)
        tape.reset()
        y = x * x
    assert tape.gradient(y, x) is None
    y = tf.constant(2.0) * x
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = y * x
    assert tape.gradient(z, [x, y])[0] == 6.0 and tape.watched_variables() == ()


def test_whole_numbers_have_no_gradient():
    v, x = tf.Variable(2), tf.constant([1, 2])
    with tf.GradientTape(persistent=True) as tape:
        with pytest.warns(UserWarning, match="watches floating-point numbers.*Received: int32"):
            tape.watch(x)
        y, z = v * v, tf.reduce_sum(tf.cast(x, tf.float32) ** 2)
    assert tape.gradient(y, v) is None and tape.gradient(z, x) is None
