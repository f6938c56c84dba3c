"""An optimizer of one's own may say how weights decay, `_apply_weight_decay`, and which: before each step, as in Keras.

The oracle is the rule in float64, with the gradients of a linear model's mean squared error.
"""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

X = np.sin(np.arange(24)).reshape(8, 3)
Y = np.cos(np.arange(16)).reshape(8, 2)
FIRST = [np.sin(np.arange(6)).reshape(3, 2), np.array([0.5, -0.25])]


def _fit(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights(FIRST)
    model.compile(optimizer, "mse")
    model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return model.get_weights()


def _tape(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights(FIRST)
    for _ in range(3):
        for at in (0, 4):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(X[at : at + 4]) - Y[at : at + 4]))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return model.get_weights()


def _expected(decay, step):
    """Weights after three passes: decay([w, b], t) → what is left, step(w, gradient, state, t) → w."""
    weights, states = [w.copy() for w in FIRST], [{}, {}]
    for t in range(6):
        x, y = (a[4 * (t % 2) :][:4] for a in (X, Y))
        error = 2 * (x @ weights[0] + weights[1] - y) / 8
        gradients = [x.T @ error, error.sum(0)]
        weights = decay(weights, t)
        weights = [step(w, g, s, t) for w, g, s in zip(weights, gradients, states, strict=True)]
    return weights


def _momentum(rate):
    def step(w, g, state, t):
        state["v"] = 0.9 * state.get("v", 0) - rate * g
        return w + state["v"]

    return step


def _adam(rate):
    def step(w, g, state, t):
        state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
        state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
        alpha = rate * np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        return w - alpha * state["m"] / (np.sqrt(state["v"]) + 1e-7)

    return step


def _but_biases(weights, t):
    return [weights[0] * 0.9, weights[1]]


class Adam(keras.optimizers.Adam):
    def _apply_weight_decay(self, variables):
        for variable in variables:
            if "bias" not in variable.path:
                variable.assign(variable * 0.9)


class Nothing(keras.optimizers.SGD):
    def _apply_weight_decay(self, variables):
        pass


class Matrices(keras.optimizers.SGD):
    def _apply_weight_decay(self, variables):
        super()._apply_weight_decay([v for v in variables if len(v.shape) > 1])


class Squared(keras.optimizers.SGD):
    def _apply_weight_decay(self, variables):
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = ops.cast(self.learning_rate, variable.dtype)
                variable.assign_sub(variable * self.weight_decay * rate * rate)


class Used(keras.optimizers.SGD):
    def _use_weight_decay(self, variable):
        return "kernel" in variable.path and super()._use_weight_decay(variable)


class UsedByAdam(keras.optimizers.AdamW):
    def _use_weight_decay(self, variable):
        return "kernel" in variable.path


class UsedByOwn(keras.optimizers.Optimizer):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * gradient)

    def _use_weight_decay(self, variable):
        return "kernel" in variable.path


class Mixin:
    def _apply_weight_decay(self, variables):
        for variable in variables:
            variable.assign(variable * 0.9)


class Mixed(Mixin, keras.optimizers.Adam):
    pass


class Halved(Mixin, keras.optimizers.Adam):
    def apply(self, grads, trainable_variables=None):
        return super().apply([g * 0.5 for g in grads], trainable_variables)


class Own(keras.optimizers.Optimizer):
    """Whose step has the decay, as public ones have it."""

    def build(self, variables):
        super().build(variables)
        self.v = [self.add_variable_from_reference(variable, "v") for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.v[self._get_variable_index(variable)]
        self.assign_sub(variable, variable * self.weight_decay)
        self.assign(velocity, velocity * 0.9 - learning_rate * gradient)
        self.assign_add(variable, velocity)

    def _apply_weight_decay(self, variables):
        pass


def _squared():
    made = Squared(keras.optimizers.schedules.ExponentialDecay(0.2, 2, 0.5), momentum=0.0, weight_decay=3.0)
    made.exclude_from_weight_decay(var_names=["bias"])
    return made


def _rate(t):
    return 0.2 * 0.5 ** (t / 2)


CASES = {
    "on Adam": (lambda: Adam(0.05, weight_decay=0.5), _but_biases, _adam(0.05)),
    "without decay in the constructor": (lambda: Adam(0.05), _but_biases, _adam(0.05)),
    "none": (lambda: Nothing(0.1, momentum=0.9, weight_decay=0.5), lambda w, t: w, _momentum(0.1)),
    "super": (lambda: Matrices(0.2, momentum=0.9, weight_decay=0.5), _but_biases, _momentum(0.2)),
    "by the rate": (
        _squared,
        lambda w, t: [w[0] * (1 - 3 * _rate(t) ** 2), w[1]],
        lambda w, g, state, t: w - _rate(t) * g,
    ),
    "of a mixin": (lambda: Mixed(0.05), lambda w, t: [p * 0.9 for p in w], _adam(0.05)),
    "beside apply": (
        lambda: Halved(0.05),
        lambda w, t: [p * 0.9 for p in w],
        lambda w, g, state, t: _adam(0.05)(w, g / 2, state, t),
    ),
    "which weights": (lambda: Used(0.2, momentum=0.9, weight_decay=0.5), _but_biases, _momentum(0.2)),
    "which weights, AdamW": (lambda: UsedByAdam(0.05, weight_decay=2.0), _but_biases, _adam(0.05)),
    "which weights, an own rule": (
        lambda: UsedByOwn(0.1, weight_decay=1.0),
        _but_biases,
        lambda w, g, state, t: w - 0.1 * g,
    ),
    "of an own rule": (lambda: Own(0.1, weight_decay=0.1), lambda w, t: [p * 0.9 for p in w], _momentum(0.1)),
}


@pytest.mark.parametrize("trained", [_fit, _tape])
@pytest.mark.parametrize("case", CASES)
def test_weights_decay_as_the_class_says(case, trained):
    make, decay, step = CASES[case]
    for made, expected in zip(trained(make()), _expected(decay, step), strict=True):
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-6)


def test_such_a_training_goes_on_from_a_file(tmp_path):
    """The built-in rule's moments are in the file."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(Adam(0.05), "mse")
    model.set_weights(FIRST)
    for _ in range(2):
        model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    model.save(tmp_path / "m.keras")
    read = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Adam": Adam})
    read.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    for made, expected in zip(read.get_weights(), _expected(_but_biases, _adam(0.05)), strict=True):
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-6)
