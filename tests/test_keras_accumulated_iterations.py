"""`optimizer.iterations` where gradients accumulate: what a script sees, with numbers of Keras 3.15.1."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(22, 4)).astype("float32"), RANDOM.normal(size=(22, 1)).astype("float32")


class Seen(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.numbers, self.rates = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.numbers.append(int(self.model.optimizer.iterations))
        self.rates.append(round(float(self.model.optimizer.learning_rate), 6))


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1.0 + float(step))


class Own(keras.optimizers.Optimizer):
    def __init__(self, **options):
        super().__init__(learning_rate=0.1, **options)
        self.seen = []

    def update_step(self, gradient, variable, learning_rate):
        self.seen.append(int(self.iterations))
        variable.assign_sub(learning_rate * gradient)


def trained(optimizer, epochs=2):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizer, "mse")
    seen = Seen()
    model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, shuffle=False, callbacks=[seen])
    return model, seen


@pytest.mark.parametrize(
    "steps, expected, weights",
    [
        (3, [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4], [0.96507, 0.96865, 0.96248, 0.96614]),
        (None, [*range(1, 13)], None),
    ],
)
def test_iterations_are_updates(steps, expected, weights):
    model, seen = trained(keras.optimizers.Adam(0.01, gradient_accumulation_steps=steps))
    assert seen.numbers == expected
    assert K.get_value(model.optimizer.iterations) == model.optimizer.iterations.numpy() == expected[-1]
    if weights is not None:
        np.testing.assert_allclose(model.get_weights()[0][:, 0], weights, atol=1e-5)


def test_schedules_are_asked_with_batches():
    _, seen = trained(keras.optimizers.Adam(Falling(), gradient_accumulation_steps=3), epochs=1)
    assert seen.rates == [0.05, 0.033333, 0.025, 0.02, 0.016667, 0.014286]


def test_files_go_on_counting(tmp_path):
    model, _ = trained(keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=2))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.optimizer.iterations == 6
    again.fit(X, Y, batch_size=4, verbose=0, shuffle=False)
    assert again.optimizer.iterations == 9
    np.testing.assert_allclose(again.get_weights()[0][:, 0], [0.57137, 0.72199, 0.0654, 0.37248], atol=1e-5)


def test_what_is_assigned_is_read():
    model, _ = trained(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2))
    model.optimizer.iterations.assign(4)
    assert model.optimizer.iterations == 4
    model.optimizer.iterations = 5
    assert model.optimizer.iterations == 5
    assert int(model.optimizer.variables[0]) == 10  # batches, as in Keras


def test_an_update_step_of_ones_own_counts_updates():
    optimizer = Own(gradient_accumulation_steps=2)
    _, seen = trained(optimizer)
    assert seen.numbers == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert optimizer.seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]  # of the kernel and of the bias


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD(0.1), Own()])
def test_a_script_adds_to_iterations_that_it_keeps(optimizer):
    kept = optimizer.iterations
    kept.assign_add(2)
    kept.assign_add(3)
    kept.assign_sub(1)
    assert int(optimizer.iterations) == 4
