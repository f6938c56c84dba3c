"""Gradients of tapes whose values could go astray in silence, against those that TensorFlow has, worked out by hand."""

import gc
import operator
import warnings
import weakref

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


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ipow", "imod", "imatmul"])
def test_values_that_are_changed_in_place_are_further_ones(name):
    x = tf.constant([[1.25, 2.0], [3.0, 4.5]])
    y = tf.constant([[2.0, 3.0], [1.5, 2.0]])
    gradients = {  # of the sum of all, by x
        **dict.fromkeys(["iadd", "isub", "imod"], np.ones((2, 2))),
        "imul": y,
        "itruediv": 1 / y,
        "ipow": y * x ** (y - 1),
        "imatmul": [[5, 3.5], [5, 3.5]],
    }
    changed = {
        **{"iadd": x + y, "isub": x - y, "imul": x * y, "itruediv": x / y, "ipow": x**y, "imod": x % y},
        "imatmul": [[5.5, 7.75], [12.75, 18]],
    }
    with tf.GradientTape() as tape:
        tape.watch(x)
        before = x * 1.0
        after = getattr(operator, name)(before, y)
        loss = tf.reduce_sum(after)
    np.testing.assert_allclose(after.numpy(), changed[name], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, x), gradients[name], rtol=1e-6)
    np.testing.assert_array_equal(before.numpy(), [[1.25, 2.0], [3.0, 4.5]])


DECISIONS = {
    "greater": (lambda t: t > 1.5, [False, True]),
    "both": (lambda t: (t > 1.5) & (t < 1.75), [False, False]),
    "not": (lambda t: ~(t > 1.5), [True, False]),
    "whole": (lambda t: t // 0.5, [2, 4]),
    "whole in place": (lambda t: operator.ifloordiv(t, 0.5), [2, 4]),
    "one": (lambda t: tf.reduce_sum(t) > 3, True),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_decisions_on_a_tape_are_tensors(name):
    decide, expected = DECISIONS[name]
    x = tf.constant([1.25, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        decision = decide(x * 1.0).numpy()
    np.testing.assert_array_equal(decision, expected)


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


def test_numbers_that_were_drawn_before_the_tape_are_constants():
    """And what was computed of such alone, as the pictures in between of a gradient penalty."""
    drawn = tf.random.normal((2, 3))
    between = tf.constant([[1.0, 2.0, 3.0]]) + drawn * 2.0
    layer = layers.Dense(1)
    with tf.GradientTape() as outer:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(between)
            cubes = tf.reduce_sum(between**3)
            score = layer(between)
        slopes = tape.gradient(cubes, between)
        norm = tf.reduce_sum(tape.gradient(score, between) ** 2)
    x = between.numpy()
    np.testing.assert_allclose(slopes, 3 * x**2, rtol=1e-5)
    np.testing.assert_allclose(outer.gradient(norm, layer.kernel), 4 * layer.kernel.numpy(), rtol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        product = drawn * between
    np.testing.assert_array_equal(tape.gradient(product, drawn), x)


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


# ------------------------------------------------------------------------------------------------- layers and variables


def _scaling(kind):
    """A layer that multiplies with a number of its own, which it keeps in one way or another."""

    class Scaling(layers.Layer):
        def __init__(self):
            super().__init__()
            if kind == "private":
                self._own = tf.Variable(2.0)
            elif kind == "list":
                self.own = [tf.Variable(2.0, name="w"), tf.Variable(7.0, name="w"), tf.Variable(8.0, name="w")]
            elif kind == "grown":
                self.own = []
                self.own.append(tf.Variable(2.0))
            elif kind == "dict":
                self.own = {"scale": tf.Variable(2.0)}

        def build(self, input_shape):
            if kind == "private weight":
                self._own = self.add_weight(name="other", shape=(), initializer=keras.initializers.Constant(2.0))

        def call(self, inputs):
            own = self._own if kind.startswith("private") else self.own
            return inputs * (own if kind.startswith("private") else own["scale"] if kind == "dict" else own[0])

    return Scaling()


@pytest.mark.parametrize("kind", ["private", "private weight", "list", "grown", "dict"])
def test_variables_of_layers_wherever_they_keep_them(kind):
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    layer = _scaling(kind)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x))
    found = tape.gradient(y, layer.trainable_variables)
    assert [float(g) for g in found] == ([10, 0, 0] if kind == "list" else [10])
    assert len({w.name for w in layer.weights}) == len(found)
    model = keras.Sequential([keras.Input((2,)), _scaling(kind)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, x)
    assert float(model.weights[0]) == pytest.approx(2 - 0.1 * 2 * 7.5)  # d/ds of the mean of (s - 1)² x²


@pytest.mark.parametrize("name", ["own", "_own"])
def test_variables_of_models_wherever_they_keep_them(name):
    class Shifted(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)
            setattr(self, name, tf.Variable([2.0]))

        def call(self, inputs):
            return self.dense(inputs) + getattr(self, name)

    model = Shifted()
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(model(np.ones((3, 2), np.float32)))
    found = tape.gradient(y, model.trainable_variables)
    assert sorted(g.ravel()[0] for g in found) == [3, 3, 3] and len(found) == 3


def test_what_layers_read_beside_their_inputs_is_refused():
    x = np.ones((2, 2), np.float32)
    scale = tf.Variable(2.0)
    alone = layers.Lambda(lambda x: x * scale)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1), layers.Lambda(lambda x: x * scale)])
    for called in (alone, model):
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(called(x))
        with pytest.raises(TypeError, match="neither its input nor its weight"):
            tape.gradient(y, scale)
    with tf.GradientTape() as tape:  # as a number it may be there
        y = tf.reduce_sum(model(x))
    assert tape.gradient(y, model.weights)[1] == 4
    watched = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        y = tf.reduce_sum(layers.Lambda(lambda x: x * watched)(x))
    with pytest.raises(TypeError, match="neither its input nor its weight"):
        tape.gradient(y, watched)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        computed = tf.exp(scale)
        with pytest.raises(TypeError, match="reads a value that was computed on a tape"):
            layers.Lambda(lambda x: x * computed)(watched)


def test_penalties_of_a_layer_by_itself():
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    options = {"kernel_regularizer": keras.regularizers.L2(0.01), "activity_regularizer": keras.regularizers.L2(0.01)}
    dense = layers.Dense(1, kernel_initializer="ones", **options)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(dense(x))
        loss = y + sum(dense.losses)
    assert float(loss - y) == pytest.approx(0.01 * 2 + 0.01 * (3**2 + 7**2) / 2, abs=1e-5)
    by_outputs = x.sum(0) + 0.02 * np.array([3, 7]) @ x / 2
    np.testing.assert_allclose(tape.gradient(loss, dense.kernel)[:, 0], by_outputs + 0.02, rtol=1e-6)
    np.testing.assert_allclose(dense.losses, [0.02, 0.29], rtol=1e-6)
    dense(x[:1])
    np.testing.assert_allclose(dense.losses, [0.02, 0.09], rtol=1e-6)


def test_watched_averages_are_refused():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.BatchNormalization(), layers.Dense(1)])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(model.weights)
        y = tf.reduce_sum(model(np.ones((3, 2), np.float32)))
    assert all(g is not None for g in tape.gradient(y, model.trainable_weights))
    with pytest.raises(NotImplementedError, match="no gradients by moving averages"):
        tape.gradient(y, model.layers[1].moving_mean)


def test_what_a_tape_kept_goes_with_it():
    """Without waiting for the garbage collector."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with tf.GradientTape() as tape:
        y = model(np.ones((3, 2), np.float32))
        loss = tf.reduce_sum(y)
    tape.gradient(loss, model.weights)
    gone = weakref.ref(y)
    gc.disable()
    try:
        del tape, y, loss
        assert gone() is None
    finally:
        gc.enable()


# ----------------------------------------------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("options", [{}, {"use_ema": True}])
def test_training_goes_on_where_apply_gradients_was(options):
    x, y = np.random.default_rng(0).normal(size=(2, 8, 3)).astype(np.float32)
    models = [keras.Sequential([keras.Input((3,)), layers.Dense(3)]) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    whole, halves = (keras.optimizers.Adam(0.1, **options) for _ in range(2))
    models[0].compile(whole, "mse")
    models[0].train_on_batch(x, y)
    models[0].train_on_batch(x, y)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(models[1](x) - y))
    halves.apply_gradients(zip(tape.gradient(loss, models[1].weights), models[1].weights, strict=True))
    models[1].compile(halves, "mse")
    models[1].train_on_batch(x, y)
    assert halves.iterations == whole.iterations == 2
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(whole.variables, halves.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_an_optimizer_of_other_variables_begins_anew_with_a_warning():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.apply_gradients([(np.ones(()), tf.Variable(1.0))])
    model.compile(optimizer, "mse")
    with pytest.warns(UserWarning, match="begins anew"):
        model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))


def test_updates_leave_the_number_of_iterations_and_the_precision_alone():
    single, double = tf.Variable(1.0), tf.Variable(np.float64(1.0))
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.iterations = 5
    step = np.float64(1e-12)
    optimizer.apply_gradients([(np.float32(0.5), single), (step, double)])
    assert optimizer.iterations == 6
    assert double.dtype == "float64" and double.numpy() == 1 - step and single.numpy() == 0.5
    with pytest.raises(ValueError, match=r"each variable once.*more than once"):
        optimizer.apply_gradients([(step, double), (step, double)])


def test_constraints_of_weights_that_do_not_move():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_constraint="non_neg")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    kernel, bias = model.weights
    kernel.assign([[-1.0], [1.0]])
    model.optimizer.apply_gradients([(np.ones(1), bias)])
    assert kernel.numpy().tolist() == [[-1], [1]]
    model.optimizer.apply_gradients([(np.zeros((2, 1)), kernel)])
    assert kernel.numpy().tolist() == [[0], [1]]


def test_weights_of_other_layers_are_refused_in_training():
    """They would be constants there, or be taken for the layer's own of the same name."""
    dense = layers.Dense(3, use_bias=False)

    class Borrowing(layers.Layer):
        def build(self, input_shape):
            self.borrowed = dense.weights[0]
            self.kernel = self.add_weight(name="kernel", shape=(2, 3), initializer="zeros")

        def call(self, inputs):
            return inputs @ np.transpose(self.borrowed)

    model = keras.Sequential([keras.Input((2,)), dense, Borrowing()])
    x = np.array([[1.0, 2.0]], np.float32)
    kernel = dense.kernel.numpy()
    np.testing.assert_allclose(model.predict(x), x @ kernel @ kernel.T, rtol=1e-5)
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"a weight of another layer, as with a constant"):
        model.train_on_batch(x, x)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(model(x))
    with pytest.raises(TypeError, match="neither its input nor its weight"):
        tape.gradient(y, dense.kernel)


def test_parts_of_variables_are_assigned_to():
    v = tf.Variable(np.arange(6.0).reshape(2, 3))
    v[0, 1:].assign([8.0, 9.0])
    v[:, 0].assign_add([1.0, 2.0])
    v[1].assign_sub(v[1] * 0.5)
    np.testing.assert_array_equal(v.numpy(), [[1, 8, 9], [2.5, 2, 2.5]])
    v.scatter_nd_update([[0, 1], [1, 2]], [0.0, 1.0])
    v.scatter_nd_add([[0], [0]], np.ones((2, 3)))
    v.scatter_nd_sub([[1]], [[0.5, 0, 0]])
    np.testing.assert_array_equal(v.numpy(), [[3, 2, 11], [2, 2, 1]])
    with pytest.raises(TypeError, match="a result of some"):
        (v[0] + 1).assign([1.0, 2.0, 3.0])
    with pytest.raises(IndexError, match="from 0 on"):
        v.scatter_nd_update([[-1]], np.ones((1, 3)))
