"""``K.function``, ``K.gradients`` and ``K.variable`` as scripts for graphs use them: numbers of tf_keras 2.21."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

X = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32)


@pytest.mark.parametrize("stop", [K.stop_gradient, tf.stop_gradient, ops.stop_gradient])
def test_what_stops_a_gradient_stops_that_of_a_models_tensor(stop):
    x = K.placeholder((None, 2))
    made = K.function([x], [*K.gradients(K.sum(x * stop(x)), x), *K.gradients(K.sum(stop(x) * K.square(x)), x)])([X])
    np.testing.assert_allclose(made[0], X)  # and not 2 x
    np.testing.assert_allclose(made[1], 2 * X**2)  # and not 3 x²
    inputs = keras.Input((2,))
    model = keras.Model(inputs, inputs * stop(inputs))
    with tf.GradientTape() as tape:
        watched = tf.constant(X)
        tape.watch(watched)
        total = tf.reduce_sum(model(watched))
    np.testing.assert_allclose(tape.gradient(total, watched), X)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        total = tf.reduce_sum(watched * stop(watched))
    np.testing.assert_allclose(tape.gradient(total, watched), X)


def test_several_gradients_stop():
    x, y = K.placeholder((None, 2)), K.placeholder((None, 2))
    a, b = K.stop_gradient([x, y])
    (made,) = K.function([x, y], K.gradients(K.sum(x * a * b), x))([X, 2 * X])
    np.testing.assert_allclose(made, 2 * X * X)


@pytest.mark.parametrize(
    ("value", "options", "dtype"),
    [
        (1, {}, "float32"),
        (np.arange(3), {}, "float32"),
        (np.array([0.1, 2.0]), {}, "float32"),
        (3, {"dtype": "int32"}, "int32"),
        (True, {"dtype": "bool"}, "bool"),
        ([1.5], {"dtype": "float64"}, "float64"),
    ],
)
def test_the_dtype_of_a_variable(value, options, dtype):
    variable = K.variable(value, **options)
    assert K.dtype(variable) == dtype
    assert K.get_value(variable).dtype == dtype
    K.set_value(variable, np.asarray(value))
    assert K.get_value(variable).dtype == dtype
    assert K.batch_get_value([variable])[0].dtype == dtype
    np.testing.assert_array_equal(K.get_value(variable), np.asarray(value, dtype))
    if dtype == "float32":
        assert K.eval(variable * 2 + 1).dtype == dtype
        assert K.get_value(K.update_add(variable, 1.0)).dtype == dtype


def test_gradients_of_tensorflow_1():
    x = K.placeholder((None, 2))
    loss = K.sum(K.square(x))
    made = K.function([x], [tf.gradients(loss, x)[0], *tf.gradients(x[:, 0], [x])])([X])
    np.testing.assert_allclose(made[0], 2 * X)
    np.testing.assert_allclose(made[1], [[1, 0], [1, 0]])
    for wrong in (lambda: tf.gradients(X, X), lambda: tf.gradients(loss, x, [1.0])):
        with pytest.raises(NotImplementedError, match=r"tf\.GradientTape\(\) as tape"):
            wrong()


def test_choices_and_repeats_of_a_models_tensor():
    x = K.placeholder((None, 2))
    chosen, repeated = K.switch(x > 0.7, x, K.zeros_like(x)), K.repeat_elements(x, 2, 1)
    made = K.function([x], [chosen, repeated])([X])
    np.testing.assert_allclose(made[0], [[1, 2], [0, 0]])
    np.testing.assert_allclose(made[1], [[1, 1, 2, 2], [-3, -3, 0.5, 0.5]])
    np.testing.assert_allclose(K.switch(X > 0.7, X, np.zeros_like(X)), [[1, 2], [0, 0]])
    np.testing.assert_allclose(K.repeat_elements(X, 2, 0), np.repeat(X, 2, 0))


def test_a_condition_of_fewer_axes_holds_for_the_further_ones():
    numbers = np.arange(1.0, 28, dtype="float32").reshape(3, 3, 3)
    is_kept = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]], bool)
    expected = [[numbers[i, j] * (1 if is_kept[i, j] else -1) for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(K.switch(is_kept, numbers, -numbers), expected)
    x, kept = K.placeholder((None, 3, 3)), K.placeholder((None, 3))
    made = K.function([x, kept], [K.switch(kept > 0.5, x, -x)])([numbers, is_kept.astype("float32")])
    np.testing.assert_array_equal(made[0], expected)


def test_one_condition_calls_one_function():
    called = []

    def one(name):
        called.append(name)
        return np.float32(len(called))

    assert K.switch(np.array(False), lambda: one("then"), lambda: one("else")) == 1
    assert called == ["else"]
    assert K.switch(True, 3.0, lambda: one("else")) == 3
    assert called == ["else"]
