"""``decay=`` of Keras 1 and 2: the rate of a batch is lr / (1 + decay · iterations), and lr stays a variable."""

import copy
import pickle

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras, saving
from minicnn.keras import backend as K

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def data(rng):
    return rng.random((8, 3)), rng.random((8, 1))


def network(optimizer):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(3,), use_bias=False)])
    model.compile(optimizer, "mse")
    return model


def watch(model, seen):
    return keras.callbacks.LambdaCallback(
        on_batch_begin=lambda batch, logs: seen.append(float(model.optimizer.current_learning_rate))
    )


def test_the_scheduler_sets_the_first_rate(data):
    x, y = data
    seen, asked = [], []
    model = network(keras.optimizers.SGD(lr=0.5, decay=0.25))
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, lr: asked.append(lr) or 0.8 * lr)
    w = model.get_weights()[0].astype(float)
    fit = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[rates, watch(model, seen)])
    assert asked == pytest.approx([0.5, 0.4])
    assert seen == pytest.approx([0.4, 0.4 / 1.25, 0.32 / 1.5, 0.32 / 1.75])
    assert fit.history["lr"] == pytest.approx([0.4, 0.32])
    for rate, rows in zip(seen, [slice(0, 4), slice(4, 8)] * 2, strict=True):
        w -= rate * x[rows].T @ (x[rows] @ w - y[rows]) * 2 / 4
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-4, atol=1e-5)


def test_a_plateau_makes_the_first_rate_smaller(data):
    model, seen = network(keras.optimizers.Adam(lr=0.2, decay=0.5)), []
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=1e9)
    fit = model.fit(*data, epochs=3, verbose=0, callbacks=[plateau, watch(model, seen)])
    assert seen == pytest.approx([0.2, 0.2 / 1.5, 0.1 / 2])
    assert fit.history["lr"] == pytest.approx([0.2, 0.2, 0.1])
    assert K.get_value(model.optimizer.lr) == pytest.approx(0.05)


def test_values_are_set_and_decay_goes_on():
    sgd = keras.optimizers.SGD(lr=0.5, decay=0.25, momentum=0.9)
    sgd.iterations = 4
    for rate in (sgd.lr, sgd.learning_rate):
        assert K.get_value(rate) == 0.5
    assert K.get_value(sgd.decay) == 0.25
    for n, set_rate in enumerate(
        (
            lambda: K.set_value(sgd.lr, 0.1),
            lambda: K.set_value(sgd.learning_rate, np.float32(0.2)),
            lambda: sgd.learning_rate.assign(0.3),
            lambda: setattr(sgd, "lr", 0.4),
        )
    ):
        set_rate()
        assert sgd.current_learning_rate == pytest.approx(0.1 * (n + 1) / 2)
        assert sgd.decay == 0.25
    sgd.decay = 0.5
    assert sgd.current_learning_rate == pytest.approx(0.4 / 3)
    with pytest.raises(ValueError, match="-1"):
        sgd.lr = -1.0
    sgd.learning_rate = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    assert sgd.decay == 0 and sgd.current_learning_rate == pytest.approx(0.1 / 16)
    with pytest.raises(TypeError, match="ExponentialDecay"):
        sgd.decay = 0.1


def test_decay_goes_with_numbers():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    for given in (schedule, keras.optimizers.SGD(schedule).get_config()["learning_rate"]):
        with pytest.raises(TypeError, match=r"SGD\(decay=…\) goes with .* number.*ExponentialDecay.*decay=0.25"):
            keras.optimizers.SGD(given, decay=0.25)


def test_a_schedule_that_was_given_is_one():
    given = keras.optimizers.SGD(keras.optimizers.schedules.InverseTimeDecay(0.5, 1, 0.25))
    of_core = keras.optimizers.get(mc.optimizers.SGD(mc.optimizers.schedules.InverseTimeDecay(0.5, 1, 0.25)))
    for optimizer in (given, of_core):
        assert optimizer.learning_rate(1) == pytest.approx(0.4) and optimizer.decay == 0


COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    ".keras": lambda model, folder: _through_a_file(model, folder / "m.keras"),
    ".h5": lambda model, folder: _through_a_file(model, folder / "m.h5"),
    ".safetensors": lambda model, folder: _through_a_file(model, folder / "m.safetensors"),
}


def _through_a_file(model, path):
    pytest.importorskip("h5py")
    model.save(path)
    return keras.models.load_model(path)


@pytest.mark.parametrize("way", COPIES)
def test_copies_and_files_keep_it(way, data, tmp_path):
    model = network(keras.optimizers.SGD(lr=0.5, decay=0.25))
    model.fit(*data, batch_size=4, verbose=0)
    K.set_value(model.optimizer.lr, 0.3)
    other = COPIES[way](model, tmp_path)
    assert other.optimizer.decay == 0.25 and other.optimizer.current_learning_rate == pytest.approx(0.3 / 1.5)
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
    seen = []
    other.fit(*data, batch_size=4, verbose=0, shuffle=False, callbacks=[rates, watch(other, seen)])
    assert seen == pytest.approx([0.1 / 1.5, 0.1 / 1.75])
    assert model.optimizer.lr == pytest.approx(0.3)


def test_configs_keep_it():
    sgd = keras.optimizers.SGD(lr=0.5, decay=0.25)
    K.set_value(sgd.lr, 0.3)
    made = (
        keras.optimizers.SGD.from_config(sgd.get_config()),
        keras.optimizers.get(keras.optimizers.serialize(sgd)),
        keras.optimizers.deserialize(keras.optimizers.serialize(keras.optimizers.Lookahead(sgd))),
        keras.optimizers.Lookahead(sgd),
    )
    for optimizer in made:
        optimizer.iterations = 4
        assert optimizer.current_learning_rate == pytest.approx(0.15) and optimizer.decay == 0.25
        optimizer.lr = 0.1
        assert optimizer.current_learning_rate == pytest.approx(0.05) and optimizer.lr == 0.1


def test_a_lookahead_sets_the_rate_of_the_one_inside():
    outer = keras.optimizers.Lookahead("sgd", learning_rate=0.5)
    assert outer.current_learning_rate == 0.5
    K.set_value(outer.lr, 0.25)
    assert outer.current_learning_rate == outer.optimizer.learning_rate == 0.25


def test_a_training_that_is_restored_goes_on_at_its_rate(data, tmp_path):
    first = network(keras.optimizers.SGD(lr=0.5, decay=0.25))
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=1e9)
    first.fit(*data, epochs=3, verbose=0, callbacks=[plateau])
    first.save(tmp_path / "m.safetensors")
    again = network(keras.optimizers.SGD(lr=0.5, decay=0.25))
    with saving.open_file(tmp_path / "m.safetensors") as file:
        again.restore(file)
    assert again.optimizer.lr == first.optimizer.lr < 0.5
    assert again.optimizer.current_learning_rate == pytest.approx(first.optimizer.current_learning_rate)


def test_the_state_is_taken_over(data):
    one, two = (network(keras.optimizers.Adam(lr=0.5, decay=0.25)) for _ in range(2))
    for model in (one, two):
        model.train_on_batch(*data)
    K.set_value(one.optimizer.lr, 0.125)
    two.optimizer.set_weights(one.optimizer.get_weights())
    assert two.optimizer.lr == 0.125 and two.optimizer.decay == 0.25


def test_a_range_test_says_which_rates_it_took(data):
    found = mc.visualization.find_learning_rate(
        network(keras.optimizers.SGD(lr=0.5, decay=0.25)), *data, lowest=1e-4, highest=1e-3, steps=12
    )
    expected = np.geomspace(1e-4, 1e-3, 12) / (1 + 0.25 * np.arange(12))
    np.testing.assert_allclose(found.rates, expected[: len(found.rates)])


def test_a_plateau_and_a_schedule(data):
    """As Keras 3: the rates are in the logs, and the error comes with a plateau, unless the rate is at its lowest."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = network(keras.optimizers.SGD(schedule))
    callback = keras.callbacks.ReduceLROnPlateau
    with pytest.warns(UserWarning, match="schedule, which ReduceLROnPlateau cannot change"):
        fit = model.fit(*data, epochs=2, verbose=0, callbacks=[callback(monitor="loss", patience=10)])
    assert fit.history["learning_rate"] == pytest.approx([0.05, 0.025])
    lowest = callback(monitor="loss", patience=1, min_delta=1e9, min_lr=0.1)
    with pytest.warns(UserWarning, match="schedule"):
        assert len(model.fit(*data, epochs=3, verbose=0, callbacks=[lowest]).history["loss"]) == 3
    with (
        pytest.warns(UserWarning, match="schedule"),
        pytest.raises(TypeError, match=r"ReduceLROnPlateau.*Received: learning_rate=Exponential"),
    ):
        model.fit(*data, epochs=3, verbose=0, callbacks=[callback(monitor="loss", patience=1, min_delta=1e9)])
    assert model.optimizer.iterations == 2 + 3 + 2
    with pytest.raises(TypeError, match="LearningRateScheduler"):
        model.fit(*data, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)])
