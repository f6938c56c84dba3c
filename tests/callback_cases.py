"""Callbacks with all their options, for what Keras's decide on noted sequences of losses. No tests here."""

import contextlib
import os
import tempfile

import numpy as np

NAN = float("nan")
LOSSES = {
    "falling": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5],
    "rising": [0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    "waves": [1.0, 0.8, 0.9, 0.79995, 0.85, 0.7, 0.71, 0.72, 0.73, 0.74],
    "flat": [0.5] * 8,
    "late": [3.0, 2.0, 2.1, 1.0, 1.1, 1.2, 1.3],
}
"""Name → `val_loss` of the epochs; `accuracy` is 1 minus half of it."""

CASES = {
    "EarlyStopping": [
        {},
        {"patience": 2},
        {"min_delta": 0.05, "patience": 1},
        {"monitor": "accuracy", "patience": 1, "mode": "max"},
        {"monitor": "accuracy", "mode": "max", "min_delta": 0.04},
        {"mode": "max", "patience": 1},
        {"baseline": 0.75, "patience": 2},
        {"patience": 2, "restore_best_weights": True},
        {"patience": 3, "restore_best_weights": True, "start_from_epoch": 2},
        {"baseline": 0.1, "patience": 2, "restore_best_weights": True},
    ],
    "ReduceLROnPlateau": [
        {"patience": 1},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "min_lr": 0.05},
        {"patience": 1, "min_delta": 0.06},
        {"patience": 0, "factor": 0.7},
        {"monitor": "accuracy", "patience": 1, "mode": "max"},
        {"mode": "max", "patience": 1},
    ],
    "ModelCheckpoint": [
        {"filepath": "{epoch:02d}-{val_loss:.2f}.weights.h5", "save_weights_only": True},
        {"filepath": "best.keras", "save_best_only": True},
        {"filepath": "{epoch}.keras", "save_best_only": True, "monitor": "accuracy", "mode": "max"},
        {"filepath": "{epoch}.keras", "save_best_only": True, "mode": "max"},
        {"filepath": "{epoch}.keras", "save_best_only": True, "initial_value_threshold": 0.75},
        {"filepath": "{epoch}-{batch}.keras", "save_freq": 3},
    ],
    "LearningRateScheduler": [{"schedule": "halved"}, {"schedule": "of the epoch"}],
    "CSVLogger": [
        {"filename": "log.csv"},
        {"filename": "log.csv", "separator": ";"},
        {"filename": "x", "append": True},
    ],
    "TerminateOnNaN": [{}],
}
"""Class → options; each with every sequence."""

SCHEDULES = {"halved": lambda epoch, rate: rate / 2, "of the epoch": lambda epoch: 0.1 / (1 + epoch)}
BATCHES = 2


def each():
    """(name of the case, class, options, losses)"""
    for name, cases in CASES.items():
        for options in cases:
            for sequence in LOSSES:
                yield f"{name} {options} {sequence}", name, options, sequence


def model_of(keras, **options):
    """One weight, 0."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.2, **options), "mse", metrics=["mae"])
    return model


def results(keras, name, options, sequence):
    """After each epoch: what the callback has changed; at the end the weight, and files with their sizes of text."""
    options = {key: SCHEDULES.get(value, value) if key == "schedule" else value for key, value in options.items()}
    model, found = model_of(keras), []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _driven(model, getattr(keras.callbacks, name)(**options), LOSSES[sequence], found)
        found.append({file: _text(file) for file in sorted(os.listdir(folder))})
    return found


def _driven(model, callback, losses, found):
    """Call the methods as `fit` does; the weight is the number of the epoch."""
    callback.set_model(model)
    callback.set_params({"epochs": len(losses), "steps": BATCHES, "verbose": 0})
    model.stop_training = False
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.set_weights([np.full((1, 1), epoch + 1.0)])
        callback.on_epoch_begin(epoch)
        for batch in range(BATCHES):
            callback.on_train_batch_begin(batch)
            callback.on_train_batch_end(batch, {"loss": loss, "mae": loss})
        callback.on_epoch_end(epoch, {"accuracy": 1 - loss / 2, "loss": loss, "val_loss": loss})
        rate = model.optimizer.learning_rate
        found.append([round(float(getattr(rate, "numpy", lambda rate=rate: rate)()), 6), bool(model.stop_training)])
        if model.stop_training:
            break
    callback.on_train_end()
    found.append(float(np.ravel(model.get_weights()[0])[0]))


def _text(file):
    """What is in a table; of a model's file that it is there."""
    if file.endswith((".keras", ".h5")):
        return "a file"
    with open(file, encoding="utf-8", newline="") as stream:
        return stream.read().splitlines()


def calls(keras, what):
    """The methods that `fit`, `evaluate` and `predict` call, in their order, with the keys of logs."""
    seen = []

    class Recorder(keras.callbacks.Callback):
        pass

    def recorded(name):
        def method(self, *arguments, logs=None):
            logs = arguments[-1] if arguments and isinstance(arguments[-1], dict) else logs
            number = [int(a) for a in arguments if not isinstance(a, dict) and a is not None]
            seen.append([name, *number, sorted(logs or ())])

        return method

    for name in METHODS:
        setattr(Recorder, name, recorded(name))
    x, y = np.linspace(0, 1, 5).reshape(5, 1), np.linspace(1, 2, 5).reshape(5, 1)
    model = model_of(keras)
    callback = Recorder()
    if what == "fit":
        model.fit(x, y, batch_size=2, epochs=2, validation_data=(x[:3], y[:3]), callbacks=[callback], verbose=0)
    elif what == "fit with a part for validation":
        model.fit(
            x, y, batch_size=2, epochs=4, validation_split=0.4, validation_freq=2, callbacks=[callback], verbose=0
        )
    elif what == "fit from an epoch on":
        model.fit(x, y, batch_size=5, epochs=3, initial_epoch=1, callbacks=[callback], verbose=0)
    elif what == "evaluate":
        model.evaluate(x, y, batch_size=2, callbacks=[callback], verbose=0)
    else:
        model.predict(x, batch_size=2, callbacks=[callback], verbose=0)
    return seen


METHODS = [f"on_{what}_{end}" for what in ("train", "test", "predict", "epoch") for end in ("begin", "end")]
METHODS += [f"on_{what}_batch_{end}" for what in ("train", "test", "predict") for end in ("begin", "end")]
WHAT = "fit", "fit with a part for validation", "fit from an epoch on", "evaluate", "predict"


def averaged(keras, swap_on_epoch):
    """The weight after a training with SwapEMAWeights."""
    model = model_of(keras, use_ema=True, ema_momentum=0.5)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
    x = np.linspace(0, 1, 4).reshape(4, 1)
    model.fit(x, 3 * x, batch_size=4, epochs=3, callbacks=[swap], verbose=0, shuffle=False)
    return round(float(np.ravel(model.get_weights()[0])[0]), 6)


def gone_on(keras, options):
    """The epochs that a training begins with after one that was interrupted, and whether the folder is left."""
    epochs = []
    x = np.ones((4, 1))
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, "backup")
        model = model_of(keras)
        stop = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: _stop_at(epoch))
        with contextlib.suppress(InterruptedError):
            model.fit(x, x, batch_size=2, epochs=5, verbose=0, callbacks=[_backup(keras, place, options), stop])
        model = model_of(keras)
        watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(int(epoch)))
        model.fit(x, x, batch_size=2, epochs=5, verbose=0, callbacks=[_backup(keras, place, options), watch])
        return [epochs, bool(os.path.exists(place) and os.listdir(place))]


def _backup(keras, place, options):
    return keras.callbacks.BackupAndRestore(place, **options)


def _stop_at(epoch):
    if epoch == 3:
        raise InterruptedError


BACKUPS = [{}, {"save_freq": 2}, {"delete_checkpoint": False}, {"double_checkpoint": True}]
