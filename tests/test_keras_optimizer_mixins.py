"""``update_step`` of mixins and subclasses of built-in optimizers, with its rate or without. Expected: Keras 3.15.1."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

L = keras.layers


class Centred:
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient - ops.mean(gradient), variable, learning_rate)


class CentredWithoutRate:
    def update_step(self, gradient, variable):
        super().update_step(gradient - tf.reduce_mean(gradient), variable)


class Decaying:
    def __init__(self, decay, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.decay = decay  # which is no falling rate, as Keras 2 had one of this name

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, self.decay * variable)
        super().update_step(gradient, variable, learning_rate)


class DecayingWithoutRate(Decaying):
    def update_step(self, gradient, variable):
        variable.assign_sub(self.decay * variable)
        super(Decaying, self).update_step(gradient, variable)


class WithState:
    def build(self, variables):
        super().build(variables)
        self.slow = [self.add_variable_from_reference(v, name="slow") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        slow = self.slow[self._get_variable_index(variable)]
        self.assign_add(slow, gradient * 0.1)
        super().update_step(gradient + slow, variable, learning_rate)


class Plain:
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, gradient * learning_rate)


class CentredAdam(Centred, keras.optimizers.Adam):
    pass


class OlderCentredAdam(CentredWithoutRate, keras.optimizers.Adam):
    pass


class DecayingSGD(Decaying, keras.optimizers.SGD):
    pass


class OlderDecayingSGD(DecayingWithoutRate, keras.optimizers.SGD):
    pass


class StateRMSprop(WithState, keras.optimizers.RMSprop):
    pass


class PlainOptimizer(Plain, keras.optimizers.Optimizer):
    pass


class Twice(OlderCentredAdam):
    def update_step(self, gradient, variable):
        super().update_step(gradient + 1.0, variable)  # which the mixin takes away again


CENTRED = [1.2256, 1.1901, 1.1575], 14.3775, [1.2301, 1.2146, 1.1992, 1.184, 1.169]
DECAYING = [1.2269, 1.1983, 1.176], 9.6027, [1.2301, 1.2194, 1.2095, 1.2004, 1.1921]
CASES = {
    "centred": (lambda: CentredAdam(0.01), *CENTRED),
    "without rate": (lambda: OlderCentredAdam(0.01), *CENTRED),
    "a subclass of one without rate": (lambda: Twice(0.01), *CENTRED),
    "decaying": (lambda: DecayingSGD(0.05, learning_rate=0.01), *DECAYING),
    "decaying without rate": (lambda: OlderDecayingSGD(0.05, learning_rate=0.01), *DECAYING),
    "with state": (
        *(lambda: StateRMSprop(0.01), [1.2156, 1.1399, 1.0739], 14.4240),
        [1.2301, 1.1826, 1.1464, 1.1114, 1.0743],
    ),
    "the whole rule": (
        *(lambda: PlainOptimizer(0.01), [1.2338, 1.2272, 1.2207], 13.9123),
        [1.2301, 1.228, 1.2258, 1.2236, 1.2215],
    ),
}
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 6)).astype("float32"), RNG.integers(0, 3, 12)


def network():
    model = keras.Sequential(
        [L.Input((6,)), L.Dense(4, activation="tanh"), L.BatchNormalization(), L.Dense(3, activation="softmax")]
    )
    rng = np.random.default_rng(5)
    model.set_weights([abs(rng.normal(size=w.shape)).astype("float32") * 0.3 for w in model.get_weights()])
    return model


@pytest.mark.parametrize("case", CASES)
def test_mixins_train_as_in_keras(case):
    make, losses, total, in_loop = CASES[case]
    model = network()
    model.compile(make(), "sparse_categorical_crossentropy")
    history = model.fit(X, Y, batch_size=4, epochs=3, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], losses, atol=1e-4)
    assert sum(np.abs(w).sum() for w in model.get_weights()) == pytest.approx(total, abs=5e-4)

    model, optimizer, found = network(), make(), []
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = loss_of(Y, model(X, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        found.append(float(loss))
    np.testing.assert_allclose(found, in_loop, atol=1e-4)
