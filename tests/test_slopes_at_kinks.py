"""Gradients where a function has a kink, or several numbers hold a maximum: those of TensorFlow 2.21 with Keras 3.15.

The numbers that stand here were given by `tf.GradientTape` of these; where several are right, a network that is trained
on whole numbers, or behind an activation with a flat end, goes the same way as there.
"""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import tensorflow as tf

A, L, ops = keras.activations, keras.layers, keras.ops


def slopes(function, *xs):
    """The gradients of the sum of a function's values, by each of its arguments."""
    given = [tf.constant(np.asarray(x, "float32")) for x in xs]
    with tf.GradientTape() as tape:
        for x in given:
            tape.watch(x)
        y = function(*given)
    assert y.dtype == np.float32
    return [np.asarray(g) for g in tape.gradient(y, given)]


OF_NUMBERS = {  # name → (its arguments, where, the slopes)
    "relu6": ({}, [0, 6, 3, 7], [0, 0, 1, 0]),
    "hard_tanh": ({}, [-1, 1, 0, 2], [1, 1, 1, 0]),
    "hard_sigmoid": ({}, [-3, 3, 0], [0, 0, 1 / 6]),
    "hard_silu": ({}, [-3, 3, 0], [0, 1, 0.5]),
    "leaky_relu": ({}, [0, -1, 1], [0.2, 0.2, 1]),
    "elu": ({}, [0], [1]),
    "hard_shrink": ({}, [-0.5, 0.5, 0, 1], [0, 0, 0, 1]),
    "soft_shrink": ({}, [-0.5, 0.5, 0, 1], [0, 0, 0, 1]),
    "sparse_plus": ({}, [-1, 1], [0, 1]),
    "sparse_sigmoid": ({}, [-1, 1, 0], [0, 0, 0.5]),
    "softplus": ({}, [np.inf, -np.inf, 0], [1, 0, 0.5]),
    "softsign": ({}, [np.inf, -np.inf, 0], [0, 0, 1]),
    "log_sigmoid": ({}, [np.inf, -np.inf, 0], [0, 1, 0.5]),
    "gelu": ({"approximate": True}, [0], [0.5]),
    "threshold": ({"threshold": 0.5, "default_value": 2.0}, [0.5, 1], [0, 1]),
}
RELUS = {  # arguments of ReLU → where, and the slopes
    "a limit": ({"max_value": 2.0}, [0, 1, 2, 3], [0, 1, 1, 0]),
    "a limit of 6": ({"max_value": 6.0}, [0, 1, 6, 7], [0, 1, 0, 0]),
    "a threshold": ({"threshold": 0.5}, [0, 0.5, 1], [0, 0, 1]),
    "a slope": ({"negative_slope": 0.25}, [-1, 0, 1], [0.25, 0.25, 1]),
    "a limit and a slope": ({"max_value": 2.0, "negative_slope": 0.1}, [-1, 0, 1, 2, 3], [0.1, 0, 1, 1, 0]),
    "a threshold and a slope": ({"threshold": 1.0, "negative_slope": 0.1}, [0, 1, 2], [0.1, 0, 1]),
    "all": ({"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5}, [0, 0.5, 1, 2, 3], [0.1, 0, 1, 1, 0]),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_activations_on_tapes(name):
    options, where, expected = OF_NUMBERS[name]
    for room in [A] + [ops] * hasattr(ops, name):
        np.testing.assert_allclose(
            slopes(lambda x, room=room: getattr(room, name)(x, **options), where)[0], expected, rtol=1e-6
        )


@pytest.mark.parametrize(
    "name", sorted(OF_NUMBERS.keys() - {"threshold", "gelu", "softsign", "softplus", "log_sigmoid"})
)
def test_activations_as_layers(name, backend):
    _, where, expected = OF_NUMBERS[name]
    np.testing.assert_allclose(slopes(L.Activation(name), [where])[0], [expected], rtol=1e-6)


@pytest.mark.parametrize("name", RELUS)
def test_relu_with_options(name, backend):
    options, where, expected = RELUS[name]
    for relu in (L.ReLU(**options), lambda x: A.relu(x, **options)):
        np.testing.assert_allclose(slopes(relu, [where])[0], [expected], rtol=1e-6)


def test_nan_is_handed_on_by_relu():
    x = np.array([np.nan, -1, 8], "float32")
    for function in (A.relu, A.relu6, tf.nn.relu, tf.nn.relu6, lambda x: A.relu(x, max_value=2.0)):
        with tf.GradientTape() as tape:
            given = tf.constant(x)
            tape.watch(given)
            y = function(given)
        assert np.isnan(y.numpy()[0]) and y.numpy()[1] == 0 and np.isnan(function(x)[0])


@pytest.mark.parametrize(
    "function, of_first, of_second",
    [
        (tf.maximum, [1, 0, 1, 0, 1], [0, 1, 0, 1, 0]),
        (tf.minimum, [1, 1, 0, 0, 1], [0, 0, 1, 1, 0]),
        (ops.maximum, [1, 0, 1, 0, 1], [0, 1, 0, 1, 0]),
    ],
)
def test_the_greater_of_two(function, of_first, of_second):
    a, b = [1, 1, 2, np.nan, np.inf], [1, 2, 1, 1, np.inf]
    np.testing.assert_array_equal(slopes(function, a, b), [of_first, of_second])


@pytest.mark.parametrize("room", ["ops", "tf", "K"])
def test_clip_has_a_gradient_at_both_ends(room):
    clip = {"ops": ops.clip, "tf": tf.clip_by_value, "K": keras.backend.clip}[room]
    np.testing.assert_array_equal(slopes(lambda x: clip(x, -1, 1), [-2, -1, 0, 1, 2])[0], [0, 1, 1, 1, 0])


def test_numbers_that_hold_a_maximum_share_its_gradient():
    x = np.zeros((2, 2, 2, 3), "float32")
    x[0, 0, 0], x[0, 1, 1], x[1, 0, 1] = [1, 2, 3], [1, 0, 3], [4, 0, -1]
    expected = np.full_like(x, 0.0)
    expected[0, 0, 0], expected[0, 1, 1] = [0.5, 1, 0.5], [0.5, 0, 0.5]
    expected[1, 0, 1, 0] = 1
    expected[1, :, :, 1] = 0.25
    expected[1, :, :, 2] = [[1 / 3, 0], [1 / 3, 1 / 3]]
    for function in (lambda x: ops.max(x, axis=(1, 2)), lambda x: tf.reduce_max(x, axis=[1, 2])):
        np.testing.assert_allclose(slopes(function, x)[0], expected, rtol=1e-6)


ROWS = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], "float32")
SIGNS = np.array([[1, -1, 1, -1]], "float32")
LOSSES = {  # name → (targets, predictions, gradients)
    "hinge": (SIGNS, [[1, -1, 2, 0.5]], [[-0.25, 0.25, 0, 0.25]]),
    "squared_hinge": (SIGNS, [[1, -1, 2, 0.5]], [[0, 0, 0, 0.75]]),
    "categorical_hinge": (
        ROWS,
        [[0.5, 0.25, 0.5], [2, 1, 1], [0, 0, 0]],
        [[0.5, -1, 0.5], [-1, 0.5, 0.5], [1 / 3, 1 / 3, -1]],
    ),
    "huber": (0 * SIGNS, [[1, -1, 0, 2]], [[0.25, -0.25, 0, 0.25]]),
    "mean_absolute_error": (0 * SIGNS, [[1, -1, 0, 2]], [[0.25, -0.25, 0, 0.25]]),
    "cosine_similarity": (
        np.array([[1, 2], [1, 0]], "float32"),
        [[0, 0], [3e-8, 4e-8]],
        [[-4472136, -8944272], [-1e7, 0]],
    ),
}
CLASSES = {"hinge": "Hinge", "squared_hinge": "SquaredHinge", "categorical_hinge": "CategoricalHinge"}
CLASSES |= {"huber": "Huber", "mean_absolute_error": "MeanAbsoluteError", "cosine_similarity": "CosineSimilarity"}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    target, prediction, expected = LOSSES[name]
    of_samples = getattr(keras.losses, name)
    loss = getattr(keras.losses, CLASSES[name])(reduction="sum")
    for function in (of_samples, loss):
        np.testing.assert_allclose(
            slopes(lambda p, function=function: function(target, p), prediction)[0], expected, rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_train(name, backend):
    target, prediction, expected = LOSSES[name]
    inputs = mc.Input((len(expected[0]),))
    model = mc.Model(inputs, mc.layers.Dense(len(expected[0]), kernel_initializer="zeros")(inputs))
    for row, each, slope in zip(target, np.array(prediction, "float32"), expected, strict=True):
        model.set_weights([model.get_weights()[0], each])
        model.compile(mc.optimizers.SGD(1.0), name)
        model.train_on_batch(np.zeros((1, len(row)), "float32"), row[None])
        np.testing.assert_allclose(each - model.get_weights()[1], slope, rtol=1e-6, atol=1e-6)


def test_rows_that_are_nearly_0_are_normalized():
    x = [[0, 0], [3e-8, 4e-8]]
    np.testing.assert_allclose(ops.normalize(np.array(x, "float32")), [[0, 0], [0.3, 0.4]], rtol=1e-6)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, ops.normalize(inputs))
    np.testing.assert_allclose(model.predict(np.array(x, "float32"), verbose=0), [[0, 0], [0.3, 0.4]], rtol=1e-6)
    loss = keras.losses.CosineSimilarity(reduction=None)([[1, 2], [1, 0]], np.array(x, "float32"))
    np.testing.assert_allclose(loss, [0, -0.3], rtol=1e-6)
    expected = [[1e7, 2e7], [1e7, 2e7]]
    np.testing.assert_allclose(slopes(lambda x: ops.normalize(x) * np.array([1, 2.0], "float32"), x)[0], expected)


def test_products_of_0():
    np.testing.assert_allclose(slopes(lambda x: tf.math.multiply_no_nan(3.0, x), [0, 2])[0], [3, 3])
    np.testing.assert_allclose(slopes(lambda x: tf.math.multiply_no_nan(x, [0.0, 2]), [np.inf, 2])[0], [0, 2])
    np.testing.assert_allclose(slopes(lambda x: tf.math.xlogy(0.0, x), [np.inf, 2])[0], [0, 0])
    np.testing.assert_allclose(slopes(lambda x: tf.math.xlogy(x, [np.inf, 2]), [0, 2])[0], [0, np.log(2)], rtol=1e-6)
