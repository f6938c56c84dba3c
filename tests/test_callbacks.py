"""The callbacks that stop, slow down and write: by hand-made losses, and in real trainings."""

import csv
import json
import warnings

import numpy as np
import pytest
from oracles import every_backend

import minicnn as mc
from minicnn import callbacks
from minicnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from minicnn.optimizers import schedules


@pytest.fixture
def model():
    """One weight, w, whose optimizer does nothing unless asked."""
    model = mc.Sequential([mc.Input((1,)), mc.layers.Dense(1, use_bias=False)])
    model.compile(mc.optimizers.SGD(0.0), "mse", metrics=["mae"], backend="numpy")
    return model


class Script(Callback):
    """Gives the epochs made-up values, and each epoch's number to the weight."""

    def __init__(self, **values):
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([np.full((1, 1), float(epoch))])
        for name, values in self.values.items():
            if values[epoch] is None:
                logs.pop(name, None)
            else:
                logs[name] = values[epoch]


def run(model, *watchers, epochs=None, **values):
    """Train with scripted values; the epochs that were run."""
    x = np.ones((2, 1))
    epochs = epochs or len(next(iter(values.values())))
    return model.fit(x, x, epochs=epochs, verbose=0, callbacks=[Script(**values), *watchers]).epoch


# ------------------------------------------------------------------------------------------------------ early stopping


@pytest.mark.parametrize(
    ("options", "losses", "epochs"),
    [
        ({}, [3, 2, 2, 1, 0], 3),  # equal is no improvement
        ({}, [3, 4, 1], 2),
        ({"patience": 2}, [3, 4, 4, 1, 0], 3),
        ({"patience": 2}, [3, 4, 2, 4, 4, 0], 5),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.2, 1.8, 1.6], 2),
        ({"patience": 1, "min_delta": -0.5}, [3, 2.6, 2.2, 1.8, 1.6], 2),  # the sign does not matter
        ({"patience": 1, "min_delta": 0.5, "mode": "max"}, [1, 1.6, 2.2, 2.6, 3.0], 4),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.4, 1.8, 1.2, 0.6], 5),
        ({"mode": "max"}, [3, 2, 5], 2),
        ({"start_from_epoch": 2}, [1, 5, 4, 3, 3, 0], 5),
        ({"patience": 2, "baseline": 1.0}, [3, 2.5, 2, 1.5, 0.5], 5),  # improving, but not below the baseline
        ({"patience": 2, "baseline": 1.0}, [3, 2.5, 2.7, 1.5, 0.5], 3),
        ({"patience": 3}, [3, float("nan"), float("nan"), 2, 4, 4, 4, 0], 7),
    ],
)
def test_when_training_stops(model, options, losses, epochs):
    stopping = EarlyStopping("loss", **options)
    assert len(run(model, stopping, loss=losses)) == epochs
    assert stopping.stopped_epoch == (epochs - 1 if epochs < len(losses) else 0)


def test_the_best_weights_come_back(model, capsys):
    stopping = EarlyStopping("loss", patience=2, restore_best_weights=True, verbose=1)
    run(model, stopping, loss=[3, 1, 2, 2, 0])
    assert model.get_weights()[0].item() == 1
    assert (stopping.best, stopping.best_epoch) == (1, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Epoch 4: early stopping", "Restoring model weights from the end of the best epoch: 2."]
    run(model, stopping, loss=[3, 1, 0.5, 2])  # a callback can be used again; this time training just ends
    assert model.get_weights()[0].item() == 2
    run(model, EarlyStopping("loss", patience=2), loss=[3, 1, 2, 2, 0])
    assert model.get_weights()[0].item() == 3


def test_the_best_of_the_epochs_looked_at(model):
    run(model, EarlyStopping("loss", patience=9, restore_best_weights=True, start_from_epoch=2), loss=[0, 0, 3, 2, 4])
    assert model.get_weights()[0].item() == 3
    run(model, EarlyStopping("loss", patience=9, restore_best_weights=True, baseline=0), loss=[3, 2, 4])
    assert model.get_weights()[0].item() == 1


def test_the_best_weights_come_back_after_an_interruption(model):
    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    watchers = [EarlyStopping("loss", restore_best_weights=True, patience=9), LambdaCallback(on_epoch_end=interrupt)]
    with pytest.raises(KeyboardInterrupt):
        run(model, *watchers, loss=[3, 1, 2, 0])
    assert model.get_weights()[0].item() == 1


def test_a_real_training_stops(rng):
    """Least squares with the learning rate 0.5: the loss of noise free data falls, then is as small as it gets."""
    model = mc.Sequential([mc.Input((3,)), mc.layers.Dense(1)])
    model.compile(mc.optimizers.SGD(0.1), "mse", backend="numpy")
    x = rng.normal(size=(64, 3))
    y = x @ np.array([[1.0], [2.0], [3.0]])
    stopping = EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(x, y, epochs=500, validation_split=0.25, verbose=0, callbacks=[stopping]).history
    assert len(history["loss"]) < 500
    assert model.evaluate(x[48:], y[48:], verbose=0) == pytest.approx(min(history["val_loss"]), rel=1e-4, abs=1e-12)


# --------------------------------------------------------------------------------------------------------- directions


@pytest.mark.parametrize(
    ("monitor", "metrics", "more_is_better"),
    [
        ("loss", [], False),
        ("val_loss", [], False),
        ("accuracy", ["accuracy"], True),
        ("val_acc", ["acc"], True),
        ("mae", ["mae"], False),
        ("val_mean_squared_error", [mc.metrics.MeanSquaredError()], False),
        ("top", [mc.metrics.SparseTopKCategoricalAccuracy(2, name="top")], True),
        ("binary_accuracy", ["binary_accuracy"], True),
    ],
)
def test_the_direction_is_known(monitor, metrics, more_is_better):
    model = mc.Sequential([mc.Input((1,)), mc.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=metrics)
    watcher = EarlyStopping(monitor)
    watcher.set_model(model)
    watcher.on_train_begin()
    assert watcher.is_improvement(2.0, 1.0) == more_is_better
    assert watcher.is_improvement(1.0, 2.0) != more_is_better


def test_the_direction_is_known_of_several_outputs():
    image = mc.Input((4,))
    model = mc.Model(image, [mc.layers.Dense(2, name="a")(image), mc.layers.Dense(2, name="b")(image)])
    model.compile("sgd", "mse", metrics=[["accuracy"], []])
    for monitor, more_is_better in (("val_a_accuracy", True), ("b_loss", False)):
        watcher = EarlyStopping(monitor)
        watcher.set_model(model)
        watcher.on_train_begin()
        assert watcher.is_improvement(2.0, 1.0) == more_is_better


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
def test_an_unknown_direction_is_an_error_before_training(model, kind):
    before = model.get_weights()[0].copy()
    with pytest.raises(ValueError, match=r"mode='max'.*loss, mae.*Received: monitor='val_acc'"):
        run(model, kind("val_acc"), loss=[1])
    assert model.get_weights()[0] == before


class Home(mc.metrics.Metric):
    """A user's own metric, which does not say what is better."""

    def __init__(self, name="home", **options):
        super().__init__(name, **options)

    def measure(self, target, prediction):
        return 1.0, 1


def test_metrics_of_the_users_own_may_say_what_is_better(model):
    model.compile("sgd", "mse", metrics=[Home()], backend="numpy")
    with pytest.raises(ValueError, match="'home'"):
        run(model, EarlyStopping("home"), loss=[1])
    assert len(run(model, EarlyStopping("home", mode="max"), home=[1, 2, 1, 3])) == 3
    metric = Home()
    metric.direction = "max"
    model.compile("sgd", "mse", metrics=[metric], backend="numpy")
    assert len(run(model, EarlyStopping("home"), home=[1, 2, 1, 3])) == 3


@pytest.mark.parametrize(
    ("watcher", "words"),
    [
        (EarlyStopping(patience=1), "Early stopping"),
        (ReduceLROnPlateau(patience=1), "Learning rate reduction is"),
    ],
)
def test_a_value_that_is_missing_is_a_warning_that_names_the_others(model, watcher, words):
    message = rf"^{words} conditioned on metric `val_loss` which is not available\. Available metrics are: loss,mae"
    with pytest.warns(UserWarning, match=message):
        assert len(run(model, watcher, epochs=3, loss=[1, 2, 3])) == 3


def test_epochs_without_the_value_do_not_count(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(run(model, EarlyStopping(patience=2), val_loss=[1, None, None, 2, None, 2, 0])) == 6


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(mode="less"), ValueError, "`mode` must be one of 'auto', 'min', 'max'"),
        (lambda: EarlyStopping(3), TypeError, "monitor is the name"),
        (lambda: EarlyStopping(patience=-1), ValueError, "`patience` must be an integer of at least 0"),
        (lambda: EarlyStopping(min_delta="x"), ValueError, "`min_delta` must be a finite number"),
        (lambda: EarlyStopping(baseline="x"), ValueError, "`baseline` must be a finite number"),
        (lambda: EarlyStopping(start_from_epoch=1.5), ValueError, "`start_from_epoch`"),
        (
            lambda: ReduceLROnPlateau(factor=1.0),
            ValueError,
            "`factor` must be a finite number at least 0 and less than 1",
        ),
        (lambda: ReduceLROnPlateau(min_lr=-1), ValueError, "`min_lr`"),
        (lambda: ReduceLROnPlateau(cooldown=None), ValueError, "`cooldown`"),
        (lambda: LearningRateScheduler(0.1), TypeError, r"takes a function, schedule\(epoch, lr\). Received: 0.1"),
        (lambda: CSVLogger("log.csv", separator=", "), ValueError, "separator is one character"),
        (lambda: LambdaCallback(on_epoch_end=3), TypeError, "on_epoch_end is a function. Received: 3"),
        (
            lambda: LambdaCallback(on_epoch_end=lambda epoch: 0),
            TypeError,
            r"is called with \(epoch, logs\). Received: ",
        ),
        (lambda: LambdaCallback(on_epoch_ends=print), ValueError, r"on_test_end.* Received: \['on_epoch_ends'\]"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_loss_that_is_no_number_stops_or_raises(model):
    x, y = np.full((2, 1), np.nan), np.ones((2, 1))
    assert model.fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.TerminateOnNaN()]).epoch == [0]
    with pytest.raises(mc.errors.NonFiniteError):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


# ------------------------------------------------------------------------------------------------- the order of calls

HOOKS = [f"on_{what}_{when}" for what in ("train", "epoch", "train_batch", "test", "test_batch", "predict",
         "predict_batch") for when in ("begin", "end")]  # fmt: skip


class Recorder(Callback):
    """Notes every call: the method without "on_", its number if it has one, and the names in its logs."""

    def __init__(self):
        self.calls = []


def _note(method):
    def hook(self, *arguments):
        *number, logs = arguments
        self.calls.append(" ".join([method.removeprefix("on_"), *map(str, number), *sorted(logs)]))

    return hook


for _method in HOOKS:
    setattr(Recorder, _method, _note(_method))

# What Keras's guide "Writing your own callbacks" prints for two batches of training and one of validation.
FIT = [
    "train_begin",
    "epoch_begin 0",
    "train_batch_begin 0",
    "train_batch_end 0 loss mae",
    "train_batch_begin 1",
    "train_batch_end 1 loss mae",
    "test_begin",
    "test_batch_begin 0",
    "test_batch_end 0 loss mae",
    "test_end loss mae",
    "epoch_end 0 loss mae val_loss val_mae",
    "train_end loss mae val_loss val_mae",
]
EVALUATE = [
    "test_begin",
    "test_batch_begin 0",
    "test_batch_end 0 loss mae",
    "test_batch_begin 1",
    "test_batch_end 1 loss mae",
    "test_end loss mae",
]
PREDICT = [
    "predict_begin",
    "predict_batch_begin 0",
    "predict_batch_end 0 outputs",
    "predict_batch_begin 1",
    "predict_batch_end 1 outputs",
    "predict_end",
]


def test_methods_are_called_in_the_order_of_keras(model):
    x, recorder = np.ones((4, 1)), Recorder()
    model.fit(x, x, 2, verbose=0, callbacks=recorder, validation_data=(x[:2], x[:2]))
    assert recorder.calls == FIT
    recorder.calls.clear()
    model.evaluate(x, x, 2, verbose=0, callbacks=[recorder])
    assert recorder.calls == EVALUATE
    assert recorder.params == {"verbose": 0, "epochs": 1, "steps": 2, "samples": 4, "batch_size": 2}
    recorder.calls.clear()
    model.predict(x, 2, callbacks=(recorder,))
    assert recorder.calls == PREDICT
    assert recorder.params["verbose"] == 1  # "auto" is 1, as in Keras
    recorder.calls.clear()
    model.predict(iter([x, x]), callbacks=recorder)
    assert recorder.calls == PREDICT
    assert recorder.model is model


@every_backend
def test_batches_of_a_test_and_of_a_prediction_are_given(model, rng, backend):
    model.compile("sgd", "mse", metrics=["mae"], backend=backend)
    x, y = rng.normal(size=(5, 1)), rng.normal(size=(5, 1))
    losses, outputs = [], []
    watch = LambdaCallback(
        on_test_batch_end=lambda batch, logs: losses.append(logs["loss"]),
        on_predict_batch_end=lambda batch, logs: outputs.append(logs["outputs"][0]),
    )
    model.evaluate(x, y, 2, verbose=0, callbacks=watch)
    predicted = model.predict(x, 2, callbacks=watch)
    assert [len(output) for output in outputs] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(outputs), predicted)
    errors = (predicted.astype(float) - y) ** 2
    np.testing.assert_allclose(losses, [errors[:2].mean(), errors[:4].mean(), errors.mean()], rtol=1e-5)


def test_the_older_names_of_the_batch_methods_are_called(model):
    """`on_batch_end` stands behind `on_train_batch_end`, which calls it unless it is overridden."""
    calls, x = [], np.ones((4, 1))

    class Older(Callback):
        def on_batch_begin(self, batch, logs=None):
            calls.append(f"begin {batch}")

        def on_batch_end(self, batch, logs=None):
            calls.append(f"end {batch} {'loss' in logs}")

    class Both(Older):
        def on_train_batch_end(self, batch, logs=None):
            calls.append(f"new {batch}")

    model.fit(x, x, 2, verbose=0, callbacks=Older())
    assert calls == ["begin 0", "end 0 True", "begin 1", "end 1 True"]
    calls.clear()
    model.fit(x, x, 4, verbose=0, callbacks=[Both()])
    assert calls == ["begin 0", "new 0"]


def test_lines_do_not_tear_a_bar(model, tmp_path, monkeypatch, capsys):
    """On a terminal all that callbacks print goes through tqdm, which moves its bars out of the way."""
    from tqdm import tqdm

    written, write = [], tqdm.write
    monkeypatch.setattr(tqdm, "write", lambda text, file: written.append(text) or write(text, file=file))
    watchers = [
        callbacks.ModelCheckpoint(tmp_path / "m.safetensors", "loss", verbose=1, save_best_only=True),
        LearningRateScheduler(lambda epoch: 0.5, verbose=1),
        callbacks.TerminateOnNaN(),
    ]
    model.fit(np.ones((2, 1)), np.ones((2, 1)), epochs=2, verbose=0, callbacks=watchers)
    model.fit(np.full((2, 1), np.nan), np.ones((2, 1)), verbose=0, callbacks=watchers)
    printed = capsys.readouterr()
    assert len(written) >= 6
    assert sorted((printed.out + printed.err).splitlines()) == sorted(written)


def test_methods_that_nobody_overrides_cost_nothing(model):
    several = callbacks.CallbackList([EarlyStopping("loss"), LambdaCallback(on_batch_end=print)], model, {})
    wanted = {method for method in HOOKS if several.wants(method)}
    assert wanted == {"on_train_begin", "on_train_end", "on_epoch_end", "on_train_batch_end"}


@pytest.mark.parametrize(
    "wrong, advice",
    [
        ("x", "; they have no names: write callbacks.EarlyStopping"),
        (3, ""),
        ([3], ""),
        ({"a": Callback()}, ""),
        ([Callback], r"; a class is called first: Callback\(…\)"),
        (Callback, r"; a class is called first: Callback\(…\)"),
        ([print], "; a function is given to one: callbacks.LambdaCallback"),
    ],
)
def test_what_is_no_callback(model, wrong, advice):
    x = np.ones((2, 1))
    for call in (model.fit, model.evaluate, lambda x, y, **options: model.predict(x, callbacks=options["callbacks"])):
        with pytest.raises(TypeError, match=rf"callbacks\.Callback{advice}.*\. Received: "):
            call(x, x, verbose=0, callbacks=wrong)


# ------------------------------------------------------------------------------------------------------ learning rates


def rates(model, watcher, **values):
    """The learning rates that the history notes, and the one at the end."""
    x = np.ones((2, 1))
    epochs = len(next(iter(values.values())))
    history = model.fit(x, x, epochs=epochs, verbose=0, callbacks=[Script(**values), watcher]).history
    return [*history["learning_rate"], model.optimizer.learning_rate]


@pytest.mark.parametrize(
    ("options", "losses", "expected"),
    [
        ({"patience": 1}, [3, 3, 3], [1, 1, 0.1, 0.01]),
        ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "min_lr": 0.05}, [3, 3, 3, 3], [1, 1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.4], [1, 1, 0.1, 0.1]),
        ({"patience": 1}, [3, 3 - 1e-5, 2], [1, 1, 0.1, 0.1]),  # 1e-4 is the least change by default
        ({"patience": 1, "mode": "max"}, [3, 4, 3], [1, 1, 1, 0.1]),
        ({"patience": 1, "factor": 0}, [3, 3, 3], [1, 1, 0, 0]),
    ],
)
def test_the_learning_rate_is_reduced(model, options, losses, expected):
    model.optimizer.learning_rate = 1.0
    watcher = ReduceLROnPlateau("loss", **options)
    for _ in range(2):  # a callback can be used again
        model.optimizer.learning_rate = 1.0
        assert rates(model, watcher, loss=losses) == pytest.approx(expected)


def test_a_value_that_is_there_is_not_warned_of(model, recwarn):
    run(model, EarlyStopping("loss", patience=5), ReduceLROnPlateau("loss"), loss=[3, 2, 1])
    assert not [str(w.message) for w in recwarn if "conditioned on" in str(w.message)]


def test_a_learning_rate_below_the_least_one_is_left_as_it_is(model, capsys):
    model.optimizer.learning_rate = 0.01
    watcher = ReduceLROnPlateau("loss", patience=0, min_lr=0.05, verbose=1)
    assert rates(model, watcher, loss=[3, 3, 3]) == [0.01] * 4
    assert not capsys.readouterr().out


def test_the_least_learning_rate_is_not_set_again(model, capsys):
    """As in Keras: a rate that is min_lr is neither said again nor waited for by a cooldown."""
    model.optimizer.learning_rate = 1.0
    watcher = ReduceLROnPlateau("loss", patience=0, min_lr=0.1, verbose=1, cooldown=1)
    assert rates(model, watcher, loss=[3, 3, 3, 3, 3]) == [1, 1, 0.1, 0.1, 0.1, 0.1]
    assert capsys.readouterr().out.count("reducing learning rate") == 1
    assert watcher.cooldown_counter == 0


def test_a_reduction_says_so(model, capsys):
    model.optimizer.learning_rate = 1.0
    run(model, ReduceLROnPlateau("loss", patience=1, verbose=1), loss=[3, 3, 2])
    assert capsys.readouterr().out == "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.1.\n"


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch, rate: rate / 2,
        lambda epoch: 0.5 ** (epoch + 1),
        lambda e, r: np.float32(r / 2),
        lambda e, r: np.array([r / 2], np.float32),
    ],
)
def test_the_learning_rate_follows_a_function(model, schedule):
    model.optimizer.learning_rate = 1.0
    assert rates(model, LearningRateScheduler(schedule), loss=[1, 1, 1]) == [0.5, 0.25, 0.125, 0.125]


def test_the_learning_rate_counts_in_the_epoch_that_it_is_set_for(rng):
    """Two steps of gradient descent, by hand."""
    model = mc.Sequential([mc.Input((1,)), mc.layers.Dense(1, use_bias=False)])
    model.compile(mc.optimizers.SGD(9.0), "mse", backend="numpy")
    w = model.get_weights()[0].item()
    model.fit([[2.0]], [[1.0]], epochs=2, verbose=0, callbacks=[LearningRateScheduler(lambda e: [0.1, 0.01][e])])
    for rate in (0.1, 0.01):
        w -= rate * 2 * (2 * w - 1) * 2
    assert model.get_weights()[0].item() == pytest.approx(w, rel=1e-5)


def test_the_scheduler_says_what_it_sets(model, capsys):
    run(model, LearningRateScheduler(lambda epoch: 0.25, verbose=1), loss=[1, 1])
    line = "LearningRateScheduler setting learning rate to 0.25."
    assert capsys.readouterr().out.splitlines() == [f"Epoch 1: {line}", f"Epoch 2: {line}"]


@pytest.mark.parametrize("rate", [None, 1, "0.1", [0.1]])
def test_a_schedule_returns_floats(model, rate):
    with pytest.raises(ValueError, match=r"learning rate as a float. Received: .* for epoch 0"):
        run(model, LearningRateScheduler(lambda epoch: rate), loss=[1])


def test_errors_in_a_schedule_are_seen(model):
    with pytest.raises(TypeError, match="unsupported operand"):
        run(model, LearningRateScheduler(lambda epoch, rate: rate + "x"), loss=[1])


@pytest.mark.parametrize("watcher", [LearningRateScheduler(lambda e: 0.1), ReduceLROnPlateau()])
def test_a_schedule_of_the_optimizer_is_not_overwritten(model, watcher):
    model.compile(mc.optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.5)), "mse", backend="numpy")
    with pytest.raises(TypeError, match=r"needs a number instead of a schedule.*Received: learning_rate=Exponential"):
        run(model, watcher, loss=[1])


def test_small_learning_rates_are_shown(model, capsys):
    x = np.ones((2, 1))
    model.fit(x, x, verbose=2, callbacks=[LearningRateScheduler(lambda e: 2.5e-5)])
    assert "learning_rate: 2.5000e-05" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------- CSV files


def read(path, separator=","):
    with path.open(newline="") as file:
        return list(csv.reader(file, delimiter=separator))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_epochs_become_rows(model, tmp_path, separator):
    path = tmp_path / "new" / "log.csv"
    run(model, CSVLogger(path, separator), loss=[1.5, 2.5], val_loss=[3.5, None])
    rows = read(path, separator)
    assert rows[0] == ["epoch", "loss", "mae", "val_loss"]
    assert [(row[0], row[1], row[3]) for row in rows[1:]] == [("0", "1.5", "3.5"), ("1", "2.5", "NA")]


def test_columns_for_validation_values_that_come_later(model, tmp_path):
    path = tmp_path / "log.csv"
    run(model, CSVLogger(str(path)), loss=[1, 2], val_loss=[None, 3], val_mae=[None, 4], new=[None, 5])
    assert read(path)[0] == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert read(path)[1][3:] == ["NA", "NA"]
    assert read(path)[2][3:] == ["3", "4"]


def test_a_file_is_written_anew_or_gone_on_with(model, tmp_path):
    path = tmp_path / "log.csv"
    for append, rows in ((False, 2), (True, 4), (True, 6), (False, 2)):
        run(model, CSVLogger(path, append=append), loss=[1, 2])
        assert [row[0] for row in read(path)] == ["epoch"] + ["0", "1"] * (rows // 2)
    (tmp_path / "empty.csv").touch()
    run(model, CSVLogger(tmp_path / "empty.csv", append=True), loss=[1])
    assert read(tmp_path / "empty.csv")[0] == ["epoch", "loss", "mae", "val_loss", "val_mae"]


@pytest.mark.parametrize("text", ["epoch,loss,mae\n0,1.0,2.0", "epoch,loss,mae\n0,1.0,2.0\n", "epoch,loss,mae"])
def test_a_file_may_end_without_a_line_break(model, tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text)
    run(model, CSVLogger(path, append=True), loss=[3])
    rows = read(path)
    assert [row[0] for row in rows] == [line.split(",")[0] for line in text.splitlines()] + ["0"]
    assert all(len(row) == 3 for row in rows)


def test_rows_before_a_later_first_epoch_are_kept(model, tmp_path):
    """Also without append=, unlike in Keras: README, "Where it differs"."""
    path, x = tmp_path / "log.csv", np.ones((2, 1))
    run(model, CSVLogger(path), loss=[3, 2, 1])
    model.fit(x, x, initial_epoch=2, epochs=4, verbose=0, callbacks=CSVLogger(path, append=False))
    assert [row[0] for row in read(path)] == ["epoch", "0", "1", "2", "3"]


def test_a_file_of_another_training_is_not_gone_on_with(model, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n0,1.0\n")
    with pytest.raises(ValueError, match=r"log\.csv has the columns \['loss'\].*append=False. Received: .*'mae'"):
        run(model, CSVLogger(path, append=True), loss=[1])
    assert path.read_text() == "epoch,loss\n0,1.0\n"


def test_a_file_that_cannot_be_written_is_said_before_an_epoch_is_trained(model, tmp_path):
    (tmp_path / "taken").mkdir()
    seen, x = [], np.ones((2, 1))
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    with pytest.raises(OSError, match="taken"):
        model.fit(x, x, verbose=0, callbacks=[watch, CSVLogger(tmp_path / "taken")])
    assert not seen


def test_rows_are_complete_while_training_runs_and_after_an_error(model, tmp_path):
    path, seen = tmp_path / "log.csv", []

    def look(epoch, logs):
        seen.append(len(read(path)))
        if epoch == 1:
            raise RuntimeError("stop here")

    logger = CSVLogger(path)
    with pytest.raises(RuntimeError, match="stop here"):
        run(model, logger, LambdaCallback(on_epoch_end=look), loss=[1, 2, 3])
    assert seen == [2, 3]
    assert logger._file is None  # closed
    assert len(read(path)) == 3


# --------------------------------------------------------------------------------------------- functions as callbacks


def test_functions_get_what_methods_get(model):
    seen = []
    names = [name for name in vars(Callback) if name.startswith("on_") and name != "on_run_begin"]  # which has no logs
    names = [name for name in names if not name.startswith("on_batch")]  # hidden by on_train_batch_…
    note = {name: lambda *arguments, name=name: seen.append((name, *arguments)) for name in names}
    x = np.ones((2, 1))
    model.fit(x, x, batch_size=1, validation_data=(x, x), verbose=0, callbacks=[LambdaCallback(**note)])
    model.predict(x, callbacks=LambdaCallback(**note))
    alone = {f"on_{what}_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")}
    assert {name for name, *_ in seen} == set(names)
    for name, *arguments in seen:
        assert len(arguments) == (1 if name in alone else 2), name
        assert isinstance(arguments[-1], dict), name
    batches = [number for name, number, *_ in seen if name == "on_train_batch_end"]
    assert batches == [0, 1]


def test_functions_by_position_as_in_keras(model):
    seen = []
    run(
        model,
        LambdaCallback(lambda epoch, logs: seen.append("begin"), lambda epoch, logs: seen.append("end")),
        loss=[1],
    )
    assert seen == ["begin", "end"]


# -------------------------------------------------------------------------------------------------- going on later


def watched(**options):
    return [
        EarlyStopping("loss", patience=4, restore_best_weights=True, **options),
        ReduceLROnPlateau("loss", patience=1, cooldown=2, factor=0.5, **options),
    ]


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_a_training_that_goes_on_is_like_one_that_was_not_interrupted(model, stop):
    """`get_state` after some epochs, through JSON, then `set_state` of new callbacks in a new fit."""
    losses = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
    model.optimizer.learning_rate = 1.0
    whole = watched()
    epochs = run(model, *whole, loss=losses)
    expected = [c.get_state() for c in whole], model.optimizer.learning_rate, model.get_weights()

    model.optimizer.learning_rate = 1.0
    first = watched()
    saved = []

    def save(epoch, logs):
        if epoch == stop - 1:
            states = [c.get_state() for c in first]
            weights = [w.tolist() for w in states[0].pop("best_weights")]
            saved.append(json.loads(json.dumps(states)))
            saved[0][0]["best_weights"] = [np.array(w) for w in weights]

    run(model, *first, LambdaCallback(on_epoch_end=save), epochs=stop, loss=losses)
    second = watched()

    def restore(logs):
        for callback, state in zip(second, saved[0], strict=True):
            callback.set_state(state)

    x = np.ones((2, 1))
    order = [Script(loss=losses), *second, LambdaCallback(on_train_begin=restore)]
    history = model.fit(x, x, initial_epoch=stop, epochs=len(losses), verbose=0, callbacks=order)
    assert history.epoch == list(range(stop, len(epochs)))
    found = [c.get_state() for c in second], model.optimizer.learning_rate, model.get_weights()
    for ours, theirs in zip(found[0], expected[0], strict=True):
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=name)
    assert found[1:] == expected[1:]


def test_the_history_goes_on(rng):
    history, later = callbacks.History(), callbacks.History()
    history.on_train_begin()
    history.on_epoch_end(0, {"loss": 1.0})
    state = json.loads(json.dumps(history.get_state()))
    later.on_train_begin()
    later.set_state(state)
    later.on_epoch_end(1, {"loss": 0.5, "val_loss": 2.0})
    assert (later.epoch, later.history) == ([0, 1], {"loss": [1.0, 0.5], "val_loss": [2.0]})
    assert later.epochs == {"loss": [0, 1], "val_loss": [1]}
    assert history.history == {"loss": [1.0]}


def test_a_plain_callback_has_no_state():
    assert Callback().get_state() == {}
    assert Callback().set_state({}) is None


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_averaged_weights_are_evaluated(swap_on_epoch, rng):
    """As Keras 3.15.1: validation sees the averages, whatever happens between the epochs; the training is the same."""
    from minicnn.keras.callbacks import SwapEMAWeights

    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))

    def model(**ema):
        made = mc.Sequential([mc.Input((3,)), mc.layers.Dense(1)])
        made.set_weights([np.full((3, 1), 0.5), np.zeros(1)])
        made.compile(mc.optimizers.SGD(0.1, **ema), "mse")
        return made

    plain, averages, losses = model(), None, []
    for _ in range(4):
        plain.train_on_batch(x, y)
        now = [w.astype(np.float64) for w in plain.get_weights()]
        averages = now if averages is None else [0.8 * a + 0.2 * w for a, w in zip(averages, now, strict=True)]
        losses.append(np.square(x @ averages[0] + averages[1] - y).mean())
    trained = model(use_ema=True, ema_momentum=0.8)
    options = {"validation_data": (x, y), "epochs": 4, "batch_size": 8, "shuffle": False, "verbose": 0}
    history = trained.fit(x, y, callbacks=[SwapEMAWeights(swap_on_epoch)], **options).history
    np.testing.assert_allclose(history["val_loss"], losses, rtol=1e-5)


@pytest.mark.parametrize("callback", [mc.callbacks.EarlyStopping, mc.callbacks.ReduceLROnPlateau])
def test_a_metric_of_ones_own_needs_a_direction_and_nothing_else_is_proposed(callback, rng):
    def spread(y_true, y_pred):
        return np.abs(y_true - y_pred).mean()

    model = mc.Sequential([mc.Input((3,)), mc.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[spread])
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
    with pytest.raises(ValueError, match=r"less or more of 'spread' is better: pass mode='min'.* one of loss, with"):
        model.fit(x, y, callbacks=[callback("spread")], verbose=0)
