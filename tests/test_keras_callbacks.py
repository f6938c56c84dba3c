"""Keras's own callbacks, where it is installed, on the same made-up losses: same decisions, rates and files."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_keras import keras

import minicnn as mc
from minicnn import callbacks

pytestmark = pytest.mark.peers

# Few values, so that equal ones and differences of exactly `min_delta` are frequent; None: not reported in that epoch.
LOSSES = st.lists(st.one_of(st.none(), st.integers(0, 8).map(lambda n: n / 4)), min_size=1, max_size=14)
MODES = st.sampled_from(["min", "max"])
SMALL = st.integers(0, 3)


class Model:
    """All that the callbacks ask of a model."""

    def __init__(self):
        self.optimizer = SimpleNamespace(learning_rate=1.0)
        self.weights, self.stop_training = None, False

    def get_weights(self):
        return [self.weights]

    def set_weights(self, weights):
        (self.weights,) = weights


def train(callback, losses, rounds=1):
    """Everything that can be seen of a training with the callback, which is used for `rounds` trainings."""
    seen = []
    for _ in range(rounds):
        model = Model()
        callback.set_model(model)
        callback.on_train_begin({})
        for epoch, loss in enumerate(losses):
            callback.on_epoch_begin(epoch, {})
            model.weights = epoch
            logs = {"other": 0.5} if loss is None else {"loss": loss}
            callback.on_epoch_end(epoch, logs)
            seen.append((epoch, logs, model.optimizer.learning_rate))
            if model.stop_training:
                break
        callback.on_train_end({})
        seen.append(model.weights)
    return seen


@pytest.mark.filterwarnings("ignore:Early stopping conditioned")
@settings(max_examples=200)
@given(
    losses=LOSSES,
    options=st.fixed_dictionaries(
        {
            "mode": MODES,
            "patience": SMALL,
            "min_delta": st.sampled_from([0, 0.25, -0.25, 0.3]),
            "baseline": st.sampled_from([None, 0.5, 1.0]),
            "restore_best_weights": st.booleans(),
            "start_from_epoch": SMALL,
        }
    ),
)
def test_early_stopping(losses, options):
    theirs = keras.callbacks.EarlyStopping("loss", **options)
    ours = callbacks.EarlyStopping("loss", **options)
    assert train(ours, losses, rounds=2) == train(theirs, losses, rounds=2)
    for name in ("wait", "stopped_epoch", "best_epoch", "best"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.filterwarnings("ignore:Learning rate reduction is conditioned")
@settings(max_examples=200)
@given(
    losses=LOSSES,
    options=st.fixed_dictionaries(
        {
            "mode": MODES,
            "patience": SMALL,
            "factor": st.sampled_from([0.5, 0.1, 0.0]),
            "min_delta": st.sampled_from([1e-4, 0, 0.25]),
            "cooldown": SMALL,
            "min_lr": st.sampled_from([0.0, 0.25, 0.125]),
        }
    ),
)
def test_reduction_on_a_plateau(losses, options):
    theirs = keras.callbacks.ReduceLROnPlateau("loss", **options)
    ours = callbacks.ReduceLROnPlateau("loss", **options)
    assert train(ours, losses, rounds=2) == train(theirs, losses, rounds=2)
    for name in ("wait", "cooldown_counter", "best"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("schedule", [lambda epoch, rate: rate * 0.5, lambda epoch: 1.0 / (epoch + 1)])
def test_learning_rate_schedules(schedule):
    losses = [1.0, 2.0, 3.0]
    theirs = train(keras.callbacks.LearningRateScheduler(schedule), losses)
    assert train(callbacks.LearningRateScheduler(schedule), losses) == theirs


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("with_validation", [False, True])
def test_log_files_are_the_same_bytes(tmp_path, separator, append, with_validation):
    texts = []
    for module, name in ((keras.callbacks, "theirs.csv"), (callbacks, "ours.csv")):
        for _ in range(2):
            logger = module.CSVLogger(str(tmp_path / name), separator=separator, append=append)
            logger.on_train_begin({})
            for epoch in range(3):
                logs = {"loss": 1 / (epoch + 3), "accuracy": 0.5}
                logs |= {"val_loss": 2.5, "val_accuracy": 1e-7} if with_validation and epoch != 1 else {}
                logger.on_epoch_begin(epoch, {})
                logger.on_epoch_end(epoch, logs)
            logger.on_train_end({})
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


HOOKS = [
    f"on_{what}_{when}"
    for what in ("train", "epoch", "batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("begin", "end")
]


def calls_of(library):
    """Every call of a callback in a training, an evaluation and a prediction: method, number, names in the logs."""
    calls, x = [], np.ones((5, 1))

    def noting(method):
        def hook(self, *arguments, logs=None):
            *number, logs = arguments if logs is None else (*arguments, logs)
            calls.append((method, *number, *sorted(logs or ())))

        return hook

    recorder = type("Recorder", (library.callbacks.Callback,), {method: noting(method) for method in HOOKS})
    model = library.Sequential([library.Input((1,)), library.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(x, x, batch_size=2, epochs=2, validation_split=0.4, verbose=0, callbacks=recorder())
    model.evaluate(x, x, batch_size=2, verbose=0, callbacks=[recorder()])
    model.predict(x, batch_size=2, verbose=0, callbacks=[recorder()])
    return calls


def test_methods_are_called_in_the_same_order():
    assert calls_of(mc) == calls_of(keras)
