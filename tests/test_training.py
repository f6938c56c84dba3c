"""What `fit` does: epochs, batches, averages, weights, validation, callbacks, regularizers, interruption."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from oracles import assert_close, every_backend, softmax
from threadpoolctl import threadpool_info, threadpool_limits

import minicnn as mc
from minicnn import blas as minicnn_blas
from minicnn import callbacks, losses, metrics, optimizers, regularizers
from minicnn.callbacks import Callback, LambdaCallback
from minicnn.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, Reshape, Sigmoid
from minicnn.optimizers import schedules


def linear(rng, backend=None, optimizer=None, loss="mse", outputs=2, **options):
    """A dense layer on 4 inputs, compiled; SGD by default."""
    model = mc.Sequential([Input((4,)), Dense(outputs, bias_initializer="glorot_uniform", **options)])
    model.compile(optimizer or optimizers.SGD(0.1), loss, backend=backend)
    return model


def data(rng, count=10, outputs=2):
    return rng.normal(size=(count, 4)), rng.normal(size=(count, outputs))


def mse_step(w, b, x, y, rate, weight=None):
    """(loss, new w, new b) of one step of gradient descent in float64."""
    weight = np.ones(len(x)) if weight is None else weight
    error = x @ w + b - y
    d = 2 * error * weight[:, None] / error.size
    return (np.square(error).mean(axis=1) * weight).mean(), w - rate * x.T @ d, b - rate * d.sum(axis=0)


# ------------------------------------------------------------------------------------------------ epochs and averages


@every_backend
def test_epoch_by_hand(backend, rng):
    """Two epochs of 10 samples in batches of 4, 4, 2: weights, and the loss as the mean while they change."""
    model, (x, y) = linear(rng, backend), data(rng)
    w, b = (a.astype(np.float64) for a in model.get_weights())
    expected = []
    for _ in range(2):
        total = 0
        for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
            loss, w, b = mse_step(w, b, x[part], y[part], 0.1)
            total += loss * len(x[part])
        expected.append(total / 10)
    history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    assert history.history["loss"] == pytest.approx(expected, rel=1e-5)
    assert_close(model.get_weights()[0], w, 1e-5)
    assert_close(model.get_weights()[1], b, 1e-5)
    assert model.optimizer.iterations == 6


@every_backend
def test_an_iteration_in_its_order(backend, rng, monkeypatch):
    """The same on every backend: a GPU's engine changes what a part does, not the order."""
    model, (x, y) = linear(rng, backend), data(rng)
    parts, calls = ("compute", "losses", "record", "gradients", "update"), []
    engine = type(model.training_engine())
    for name in parts:
        own = getattr(engine, name)
        monkeypatch.setattr(engine, name, lambda *a, own=own, name=name, **k: (calls.append(name), own(*a, **k))[1])
    model.train_on_batch(x, y)
    assert [name for i, name in enumerate(calls) if calls[:i].count(name) == 0] == list(parts)
    calls.clear()
    model.gradients(x, y)
    assert calls == ["compute", "losses", "gradients"]
    calls.clear()
    model.evaluate(x, y, verbose=0)
    assert calls == ["compute", "losses"]


def test_default_batch_size_is_32_and_default_optimizer_rmsprop(rng):
    model, (x, y) = linear(rng), data(rng, 65)
    model.compile(loss="mse")
    assert isinstance(model.optimizer, optimizers.RMSprop)
    model.fit(x, y, verbose=0)
    assert model.optimizer.iterations == 3


def test_metrics_over_an_epoch_with_a_short_batch(rng):
    model = linear(
        rng, optimizer=optimizers.SGD(0.0), loss="sparse_categorical_crossentropy", activation="softmax", outputs=3
    )
    model.compile(
        optimizers.SGD(0.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy", metrics.SparseCategoricalAccuracy()],
    )
    x, y = rng.normal(size=(11, 4)), rng.integers(0, 3, 11)
    p = model.predict(x)
    accuracy, loss = (p.argmax(axis=1) == y).mean(), -np.log(p[range(11), y]).mean()
    history = model.fit(x, y, batch_size=4, verbose=0, epochs=2, validation_data=(x[:7], y[:7])).history
    assert history["accuracy"] == pytest.approx([accuracy] * 2)
    assert history["sparse_categorical_accuracy"] == pytest.approx([accuracy] * 2)
    assert history["loss"] == pytest.approx([loss] * 2, rel=1e-5)
    assert history["val_accuracy"] == pytest.approx([(p.argmax(axis=1) == y)[:7].mean()] * 2)
    assert model.evaluate(x, y, batch_size=4, verbose=0) == pytest.approx([loss, accuracy, accuracy], rel=1e-5)


def test_accuracy_is_chosen_by_shapes(rng):
    y = rng.integers(0, 3, 8)
    for loss, targets, kind in (
        ("sparse_categorical_crossentropy", y, "sparse"),
        ("sparse_categorical_crossentropy", y[:, None], "sparse"),
        ("categorical_crossentropy", np.eye(3)[y], "one-hot"),
        ("mse", np.eye(3)[y], "one-hot"),
        ("binary_crossentropy", np.eye(3)[y], "one-hot"),
    ):
        model = linear(rng, activation="softmax", outputs=3)
        model.compile("sgd", loss, metrics=["accuracy"])
        x = rng.normal(size=(8, 4))
        expected = (model.predict(x).argmax(axis=1) == y).mean()
        assert model.evaluate(x, targets, verbose=0)[1] == pytest.approx(expected), kind
    model = linear(rng, activation="sigmoid", outputs=1)
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    expected = ((model.predict(x)[:, 0] > 0.5) == (y > 0)).mean()
    assert model.evaluate(x, (y > 0).astype(int), verbose=0)[1] == pytest.approx(expected)


def test_shuffling(rng):
    """Every sample once an epoch, in an order that changes with the epoch and the seed, and is not the data's."""

    def orders(seed, **options):
        mc.utils.set_random_seed(seed)
        seen = []

        class Watch(mc.layers.Layer):
            """Records what passes."""

            def build(self, input_shapes):
                return input_shapes[0]

            def forward(self, xs, ws):
                ws.y[...] = xs[0]
                seen.extend(xs[0][:, 0].astype(int).tolist())

            def backward(self, dy, ws):
                ws.dxs[0][...] = dy

        model = mc.Sequential([Input((1,)), Watch(), Dense(1)])
        model.compile(optimizers.SGD(0.0), "mse")
        model.fit(np.arange(20), np.arange(20), batch_size=6, epochs=3, verbose=0, **options)
        return [seen[i : i + 20] for i in range(0, 60, 20)]

    first = orders(1)
    assert all(sorted(order) == list(range(20)) for order in first)
    assert len({tuple(order) for order in [*first, list(range(20))]}) == 4
    assert orders(1) == first
    assert orders(2) != first
    assert orders(1, shuffle=False) == [list(range(20))] * 3


def test_x_and_y_stay_together_when_shuffled(rng):
    model = linear(rng, outputs=1)
    x = rng.normal(size=(64, 4))
    y = x @ [[1.0], [2.0], [-1.0], [0.5]] + 3
    model.compile(optimizers.SGD(0.1), "mse")
    history = model.fit(x, y, epochs=60, batch_size=8, sample_weight=np.ones(64), verbose=0).history
    assert history["loss"][-1] < 1e-4
    assert_close(model.get_weights()[0][:, 0], [1, 2, -1, 0.5], 0.01)


def test_training_continues_where_it_stopped(rng):
    """fit twice for 2 epochs is fit for 4: weights, optimizer, order, masks."""

    def build():
        mc.utils.set_random_seed(7)
        model = mc.Sequential([Input((4,)), Dense(8, activation="relu"), BatchNormalization(), Dropout(0.5), Dense(2)])
        model.compile("adam", "mse")
        return model

    x, y = data(rng, 30)
    once, twice = build(), build()
    whole = once.fit(x, y, epochs=4, batch_size=8, verbose=0)
    parts = [twice.fit(x, y, epochs=2, batch_size=8, verbose=0)]
    parts.append(twice.fit(x, y, initial_epoch=2, epochs=4, batch_size=8, verbose=0))
    assert [p.epoch for p in parts] == [[0, 1], [2, 3]]
    assert whole.history["loss"] == parts[0].history["loss"] + parts[1].history["loss"]
    for a, b in zip(once.get_weights(), twice.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert twice.history is parts[1]


def test_nothing_happens_when_all_epochs_are_done(rng):
    model, (x, y) = linear(rng), data(rng)
    history = model.fit(x, y, initial_epoch=3, epochs=3, verbose=0)
    assert history.history == {}
    assert model.optimizer.iterations == 0


# ---------------------------------------------------------------------------------------------------------- weighting


@every_backend
def test_sample_weight_by_hand(backend, rng):
    """The weighted sum is divided by the number of samples, not by the sum of the weights."""
    model, (x, y) = linear(rng, backend), data(rng)
    weight = rng.uniform(0, 3, 10)
    w, b = (a.astype(np.float64) for a in model.get_weights())
    total = 0
    for part in (slice(0, 6), slice(6, 10)):
        loss, w, b = mse_step(w, b, x[part], y[part], 0.1, weight[part])
        total += loss * len(x[part])
    expected = mse_step(*model.get_weights(), x, y, 0, weight)[0]
    assert model.evaluate(x, y, sample_weight=weight, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(x, y, batch_size=6, shuffle=False, sample_weight=weight[:, None], verbose=0)
    assert history.history["loss"] == pytest.approx([total / 10], rel=1e-5)
    assert_close(model.get_weights()[0], w, 1e-5)


@every_backend
@pytest.mark.parametrize("one_hot", [False, True])
def test_class_weight_by_hand(backend, one_hot, rng):
    model = linear(rng, activation="softmax", outputs=3)
    model.compile(
        optimizers.SGD(0.5),
        "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy",
        backend=backend,
    )
    x, y, factor = rng.normal(size=(9, 4)), rng.integers(0, 3, 9), np.array([1, 5, 0.25])
    own = rng.uniform(size=9)
    w, b = model.get_weights()
    p = softmax(x @ w + b)
    weight = factor[y] * own
    loss = (-np.log(p[range(9), y]) * weight).sum() / 9
    dz = (p - np.eye(3)[y]) * weight[:, None] / 9
    targets = np.eye(3)[y] if one_hot else y
    history = model.fit(x, targets, class_weight={1: 5.0, 2: 0.25}, sample_weight=own, verbose=0, shuffle=False)
    assert history.history["loss"] == pytest.approx([loss], rel=1e-5)  # class 0 has no entry: 1, as in Keras
    assert_close(model.get_weights()[0], w - 0.5 * x.T @ dz, 1e-5)
    same = linear(rng, activation="softmax", outputs=3)
    same.compile(optimizers.SGD(0.5), model.loss, backend=backend)
    same.set_weights([w, b])
    same.train_on_batch(x, targets, sample_weight=own, class_weight=dict(enumerate(factor)))
    assert_close(same.get_weights()[0], model.get_weights()[0], 1e-6)


def test_class_weight_is_for_training_only(rng):
    model = linear(rng, activation="softmax", outputs=3)
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    x, y = rng.normal(size=(12, 4)), rng.integers(0, 3, 12)
    options = {"class_weight": {0: 7.0, 1: 7.0, 2: 7.0}, "verbose": 0}
    plain = model.evaluate(x[6:], y[6:], verbose=0)
    for validation in ({"validation_split": 0.5}, {"validation_data": (x[6:], y[6:])}):
        history = model.fit(x, y, **options, **validation).history
        assert history["val_loss"] == pytest.approx([plain], rel=1e-5)
    assert history["loss"][0] == pytest.approx(7 * model.evaluate(x, y, verbose=0), rel=1e-5)


def test_zero_weight_removes_a_sample(rng):
    model, (x, y) = linear(rng), data(rng)
    weight = np.ones(10)
    weight[3] = 0
    before = model.gradients(x, y, sample_weight=weight)
    y[3] = 1e6
    after = model.gradients(x, y, sample_weight=weight)
    for name in before:
        assert_close(after[name], before[name], 1e-6)


# --------------------------------------------------------------------------------------------------------- validation


@every_backend
@pytest.mark.parametrize(("fraction", "split"), [(0.2, 8), (0.25, 7), (0.5, 5), (0.85, 1), (0.01, 9)])
def test_validation_split_takes_the_end_before_shuffling(backend, fraction, split, rng):
    model, (x, y) = linear(rng, backend, optimizers.SGD(0.0)), data(rng)
    weight = rng.uniform(size=10)
    expected = [mse_step(*model.get_weights(), x[p], y[p], 0, weight[p])[0] for p in (slice(split), slice(split, None))]
    history = model.fit(
        x, y, validation_split=fraction, sample_weight=weight, verbose=0, batch_size=3, epochs=2
    ).history
    assert history["loss"] == pytest.approx([expected[0]] * 2, rel=1e-5)
    assert history["val_loss"] == pytest.approx([expected[1]] * 2, rel=1e-5)


def test_validation_sees_the_weights_after_the_epoch_and_no_dropout(rng):
    model = mc.Sequential([Input((4,)), Dropout(0.5), BatchNormalization(), Dense(2)])
    model.compile(optimizers.SGD(0.1), "mse")
    (x, y), held = data(rng), data(rng, 7)
    seen = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.evaluate(*held, verbose=0)))
    history = model.fit(x, y, validation_data=held, epochs=3, verbose=0, callbacks=[watch]).history
    assert history["val_loss"] == seen


def test_forms_of_validation_data(rng):
    model, (x, y) = linear(rng, optimizer=optimizers.SGD(0.0)), data(rng)
    weight = rng.uniform(size=10)
    values = {}
    for name, form in {"tuple": (x, y), "list": [x, y], "weighted": (x, y, weight)}.items():
        values[name] = model.fit(x, y, validation_data=form, validation_batch_size=3, verbose=0).history["val_loss"][0]
    assert values["tuple"] == values["list"] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)
    assert values["weighted"] == pytest.approx(model.evaluate(x, y, sample_weight=weight, verbose=0), rel=1e-6)
    both = model.fit(x, y, validation_data=(x, y), validation_split=0.5, verbose=0)  # validation_data wins, as in Keras
    assert both.params["samples"] == 10


def test_validation_freq(rng):
    model, (x, y) = linear(rng), data(rng)
    options = {"validation_data": (x, y), "verbose": 0, "epochs": 5, "validation_freq": 2}
    epochs = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch) if "val_loss" in logs else None)
    model.fit(x, y, callbacks=[watch], **options)
    model.fit(x, y, callbacks=[watch], initial_epoch=1, **options)
    assert epochs == [1, 3, 1, 3]


@pytest.mark.parametrize(
    ("first", "freq", "expected"), [(0, [1, 4], [0, 3]), (2, (1, 4), [3]), (0, {5}, [4]), (0, range(2, 9, 3), [1, 4])]
)
def test_validation_after_the_epochs_in_a_list(first, freq, expected, rng):
    """As Keras 3.15.1: the first epoch is 1, whatever `initial_epoch` is."""
    model, (x, y) = linear(rng), data(rng)
    epochs = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch) if "val_loss" in logs else None)
    options = {"validation_data": (x, y), "epochs": 5, "initial_epoch": first, "verbose": 0, "callbacks": [watch]}
    model.fit(x, y, validation_freq=freq, **options)
    assert epochs == expected
    with pytest.raises(ValueError, match="a list of the epochs"):
        model.fit(x, y, validation_freq=1.5, **options)


def test_evaluate_and_predict_inside_fit_change_nothing(rng):
    def train(*watch):
        mc.utils.set_random_seed(1)
        model = mc.Sequential([Input((4,)), Dense(5, activation="relu"), BatchNormalization(), Dropout(0.3), Dense(3)])
        model.add(Activation("softmax"))
        model.compile(
            "adam", "sparse_categorical_crossentropy", metrics=["accuracy", metrics.SparseCategoricalAccuracy()]
        )

        class Look(Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.evaluate(x[:3], y[:3], verbose=0, batch_size=2)
                self.model.predict(x[:7], batch_size=5)
                self.model.gradients(x[:2], y[:2])
                self.model.get_weights()
                self.model.summary(print_fn=str)

        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[Look()] if watch else None)
        return history.history, model.get_weights()

    x, y = rng.normal(size=(14, 4)), rng.integers(0, 3, 14)
    (plain, a), (watched, b) = train(), train(True)
    assert plain == watched
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p, q)


# ---------------------------------------------------------------------------------------------------------- callbacks


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train begin")

    def on_train_end(self, logs=None):
        self.calls.append("train end")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} begin")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} end {sorted(logs)}")

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"batch {batch} begin")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"batch {batch} end {sorted(logs)}")


def test_order_of_the_callbacks(rng):
    model, (x, y) = linear(rng), data(rng, 4)
    recorder = Recorder()
    model.fit(x, y, batch_size=2, epochs=2, validation_split=0.25, verbose=0, callbacks=[recorder])
    epoch = ["batch 0 begin", "batch 0 end ['loss']", "batch 1 begin", "batch 1 end ['loss']"]
    assert recorder.calls == (
        ["train begin"]
        + [line for e in (0, 1) for line in (f"epoch {e} begin", *epoch, f"epoch {e} end ['loss', 'val_loss']")]
        + ["train end"]
    )
    assert recorder.model is model
    assert recorder.params == {"epochs": 2, "steps": 2, "samples": 3, "batch_size": 2, "verbose": 0}


def test_stop_training_ends_after_the_batch(rng):
    model, (x, y) = linear(rng), data(rng, 8)

    def stop_at(batch, logs):
        model.stop_training = batch == 1 and model.optimizer.iterations > 4

    history = model.fit(x, y, batch_size=2, epochs=9, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=stop_at)])
    assert history.epoch == [0, 1]
    assert model.optimizer.iterations == 6
    model.fit(x, y, batch_size=2, verbose=0)  # the next fit starts afresh
    assert model.optimizer.iterations == 10


def test_callbacks_may_change_the_learning_rate(rng):
    model, (x, y) = linear(rng), data(rng)
    zero = LambdaCallback(
        on_epoch_begin=lambda epoch, logs=None: setattr(model.optimizer, "learning_rate", 0.1 * (epoch < 1))
    )
    seen = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0]))
    model.fit(x, y, epochs=3, verbose=0, callbacks=[zero, watch])
    np.testing.assert_array_equal(seen[0], seen[1])


def test_callbacks_may_freeze_layers(rng):
    model = mc.Sequential([Input((4,)), Dense(3), Dense(2)])
    model.compile("adam", "mse")
    x, y = data(rng)
    seen = []

    def freeze(epoch, logs=None):
        seen.append(model.get_weights())
        model.layers[0].trainable = epoch != 1

    model.fit(x, y, epochs=3, verbose=0, callbacks=[LambdaCallback(on_epoch_begin=freeze)])
    seen.append(model.get_weights())
    changed = [[not np.array_equal(a, b) for a, b in zip(p, q, strict=True)] for p, q in itertools.pairwise(seen)]
    assert changed == [[True] * 4, [False, False, True, True], [True] * 4]


def test_something_that_is_no_callback(rng):
    model, (x, y) = linear(rng), data(rng)
    with pytest.raises(TypeError, match=r"callbacks.Callback; a function is given to one.* Received: .*lambda"):
        model.fit(x, y, verbose=0, callbacks=[lambda: None])
    with pytest.raises(ValueError, match=r"Received: \['on_epoch_ends'\]"):
        LambdaCallback(on_epoch_ends=print)


# ------------------------------------------------------------------------------------------------------------- output


def test_quiet_and_one_line_an_epoch(rng, capsys):
    model, (x, y) = linear(rng), data(rng)
    model.compile("sgd", "mse", metrics=["mae"])
    for verbose in (0, False):
        model.fit(x, y, verbose=verbose, validation_split=0.2)
        model.evaluate(x, y, verbose=verbose)
        model.predict(x, verbose=verbose)
    assert capsys.readouterr() == ("", "")
    for verbose in (1, 2, "auto", True):  # not a terminal: one line an epoch
        model.fit(x, y, epochs=3, verbose=verbose, validation_split=0.2)
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert len(lines) == 3, out
        for n, line in enumerate(lines):
            assert line.startswith(f"Epoch {n + 1}/3")
            for word in ("images/s", "loss: ", "mae: ", "val_loss: ", "val_mae: "):
                assert word in line
        assert err == ""
    model.evaluate(x, y)
    assert capsys.readouterr().out.startswith("loss: ")
    model.predict(x)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="Received: verbose=3"):
        model.fit(x, y, verbose=3)


def test_bar_on_a_terminal(rng, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(callbacks.bars, "SECONDS_BETWEEN_DRAWS", 0)
    model, (x, y) = linear(rng), data(rng)
    model.fit(x, y, epochs=2, batch_size=3, verbose=1)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "Epoch 1/2" in err
    assert "0/10" in err
    assert "images/s" in err
    model.fit(iter([(x, y)]), verbose=1)
    model.fit(
        x,
        y,
        verbose=1,
        callbacks=[LambdaCallback(on_train_batch_end=lambda b, logs: setattr(model, "stop_training", True))],
    )


# ------------------------------------------------------------------------------------------- losses on an activation


@every_backend
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("final", ["sigmoid", "softmax"])
def test_cross_entropy_of_the_values_before_the_activation(final, from_logits, backend, rng):
    """Dense(10, "sigmoid") with sparse cross-entropy trains softmax cross-entropy on z, and predicts sigmoid(z)."""
    model = mc.Sequential([Input((4,)), Dense(3, activation=final)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.compile(optimizers.SGD(0.5), loss, metrics=["accuracy"], backend=backend)
        x, y = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
        w, b = model.get_weights()
        z = x @ w + b
        outputs = softmax(z) if final == "softmax" else 1 / (1 + np.exp(-z))
        assert_close(model.predict(x), outputs, 1e-5)
        dz = (softmax(z) - np.eye(3)[y]) / 7
        value, accuracy = model.evaluate(x, y, verbose=0)
        model.fit(x, y, verbose=0, shuffle=False)
        model.fit(x, y, verbose=0)
    assert value == pytest.approx(-np.log(softmax(z)[range(7), y]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((outputs.argmax(axis=1) == y).mean())
    messages = [str(w.message) for w in caught]
    assert all(w.filename == __file__ for w in caught)
    assert len(messages) == from_logits
    assert all("from_logits=True" in m and final in m for m in messages)
    model.set_weights([w, b])
    assert_close(model.gradients(x, y)[model.layers[0].kernel.path], x.T @ dz, 1e-5)


def test_warns_once_also_when_built_by_data(rng):
    model = mc.Sequential([Dense(3, activation="softmax")])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
    with pytest.warns(UserWarning, match="from_logits") as caught:
        model.fit(x, y, verbose=0)
        model.fit(x, y, verbose=0)
        model.evaluate(x, y, verbose=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_saturated_outputs_still_learn(rng):
    """Computed from the values before the softmax, a hopeless prediction keeps its gradient."""
    model = linear(rng, activation="softmax", outputs=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.set_weights([np.zeros((4, 3)), [200, 0, 0]])
    x = np.ones((2, 4))
    assert model.evaluate(x, [1, 1], verbose=0) == pytest.approx(200)
    np.testing.assert_allclose(model.gradients(x, [1, 1])[model.layers[0].bias.path], [1, -1, 0], atol=1e-6)


def test_saturated_binary_outputs_still_learn(rng):
    """The same for a sigmoid with binary cross-entropy."""
    model = linear(rng, activation="sigmoid", outputs=1)
    model.compile("sgd", "binary_crossentropy")
    model.set_weights([np.zeros((4, 1)), [60]])
    x = np.ones((2, 4))
    assert model.evaluate(x, [0, 0], verbose=0) == pytest.approx(60)
    np.testing.assert_allclose(model.gradients(x, [0, 0])[model.layers[0].bias.path], [1], atol=1e-6)


def test_only_a_last_activation_counts(rng):
    """A Reshape after the sigmoid ends it: then the loss is computed from the outputs."""
    x, y = rng.normal(size=(6, 4)), rng.integers(0, 3, 6)
    model = mc.Sequential([Input((4,)), Dense(3, activation="sigmoid"), Reshape((3,))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile("sgd", "sparse_categorical_crossentropy")
    p = model.predict(x).astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(-np.log(p[range(6), y]).mean(), rel=1e-5)
    nested = mc.Sequential([Input((4,)), mc.Sequential([Dense(3), Sigmoid()])])
    nested.compile("sgd", "sparse_categorical_crossentropy")
    w, b = nested.get_weights()
    expected = -np.log(softmax(x @ w + b)[range(6), y]).mean()
    assert nested.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_labels_of_cifar_shape(rng):
    model = linear(rng, activation="softmax", outputs=3)
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.normal(size=(6, 4)), rng.integers(0, 3, 6)
    for labels in (y[:, None], y.astype(np.uint8), y.astype(float), y.astype(np.int32)[:, None], list(y)):
        assert model.fit(x, labels, verbose=0).history == model.fit(x, y, verbose=0).history


# ------------------------------------------------------------------------------------------------------- regularizers


@every_backend
def test_regularizers_add_to_loss_and_gradient(backend, rng):
    model = mc.Sequential(
        [
            Input((5, 5, 1)),
            Conv2D(2, 3, kernel_regularizer=regularizers.L1(0.1)),
            Flatten(),
            Dense(2, kernel_regularizer=regularizers.L2(0.3), bias_regularizer=regularizers.L1L2(0.2, 0.1)),
        ]
    )
    plain = mc.Sequential([Input((5, 5, 1)), Conv2D(2, 3), Flatten(), Dense(2)])
    for m in (model, plain):
        m.compile(optimizers.SGD(0.1), "mse", metrics=["mse"], backend=backend)
    weights = [rng.normal(size=w.shape) for w in model.weights]
    model.set_weights(weights)
    plain.set_weights(weights)
    x, y = rng.normal(size=(6, 5, 5, 1)), rng.normal(size=(6, 2))
    kernel, _, matrix, bias = weights
    penalty = (
        0.1 * np.abs(kernel).sum()
        + 0.3 * np.square(matrix).sum()
        + 0.2 * np.abs(bias).sum()
        + 0.1 * np.square(bias).sum()
    )
    base = plain.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0) == pytest.approx([base[0] + penalty, base[1]], rel=1e-5)
    assert model.train_on_batch(x, y)[0] == pytest.approx(base[0] + penalty, rel=1e-5)
    model.set_weights(weights)
    expected = dict(zip([w.path for w in model.weights], plain.gradients(x, y).values(), strict=True))
    expected[model.weights[0].path] = expected[model.weights[0].path] + 0.1 * np.sign(kernel)
    expected[model.weights[2].path] = expected[model.weights[2].path] + 0.6 * matrix
    expected[model.weights[3].path] = expected[model.weights[3].path] + 0.2 * np.sign(bias) + 0.2 * bias
    for path, gradient in model.gradients(x, y).items():
        assert_close(gradient, expected[path], 1e-5, path)
    model.layers[0].trainable = False  # as in Keras 3, a frozen weight pays nothing
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(base[0] + penalty - 0.1 * np.abs(kernel).sum(), rel=1e-5)


def test_a_shared_layer_pays_once(rng):
    layer = Dense(4, kernel_regularizer=regularizers.L2(1.0))
    x = Input((4,))
    model = mc.Model(x, layer(layer(x)))
    model.compile("sgd", "mse")
    given = rng.normal(size=(3, 4))
    penalty = np.square(layer.get_weights()[0]).sum()
    assert model.evaluate(given, model.predict(given), verbose=0) == pytest.approx(penalty, rel=1e-4)


# ---------------------------------------------------------------------------------- learning rates, optimizers, clips


def test_schedules_go_by_steps(rng):
    model, (x, y) = linear(rng), data(rng)
    model.compile(optimizers.SGD(schedules.PiecewiseConstantDecay([2, 4], [0.1, 0.01, 0.0])), "mse")
    w, b = (a.astype(np.float64) for a in model.get_weights())
    for step in range(7):  # a boundary itself belongs to the left part
        _, w, b = mse_step(w, b, x, y, 0.1 if step <= 2 else 0.01 if step <= 4 else 0)
    model.fit(x, y, epochs=7, shuffle=False, verbose=0)
    assert_close(model.get_weights()[0], w, 1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad", "adadelta", "rmsprop"])
@every_backend
def test_every_optimizer_trains(optimizer, backend, rng):
    model = mc.Sequential([Input((4,)), Dense(8, activation="relu"), Dense(1)])
    model.compile(optimizer, "mse", backend=backend)
    model.optimizer.learning_rate = 0.5 if optimizer == "adadelta" else 0.02
    x = rng.normal(size=(64, 4))
    history = model.fit(x, np.abs(x[:, :1]), epochs=25, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]  # adadelta starts slowly


@every_backend
def test_clipping_and_decay_reach_the_weights(backend, rng):
    x, y = data(rng)
    for options in ({"clipnorm": 0.01}, {"clipvalue": 0.002}, {"global_clipnorm": 0.01}, {"weight_decay": 0.1}):
        model = linear(rng, backend, optimizers.SGD(0.5, **options))
        w, b = model.get_weights()
        g = list(model.gradients(x, y).values())
        model.train_on_batch(x, y)
        if "clipvalue" in options:
            g = [a.clip(-0.002, 0.002) for a in g]
        elif "clipnorm" in options:
            g = [a * min(1, 0.01 / np.linalg.norm(a)) for a in g]
        elif "global_clipnorm" in options:
            norm = np.sqrt(sum(np.square(a).sum() for a in g))
            g = [a * min(1, 0.01 / norm) for a in g]
        else:
            w, b = w * 0.95, b * 0.95
        for actual, before, gradient in zip(model.get_weights(), (w, b), g, strict=True):
            assert_close(actual, before - 0.5 * gradient, 1e-5, str(options))


def test_compile_again_starts_a_new_optimizer_and_keeps_weights(rng):
    model, (x, y) = linear(rng, optimizer="adam"), data(rng)
    model.fit(x, y, verbose=0, epochs=3)
    weights = model.get_weights()
    model.compile("adam", "mse", metrics=["mae"])
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 0
    fresh = linear(rng, optimizer="adam")
    fresh.set_weights(weights)
    for m in (model, fresh):
        m.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------ batch normalization


@every_backend
def test_moving_averages_by_hand(backend, rng):
    model = mc.Sequential([Input((3, 3, 2)), BatchNormalization(momentum=0.9), Flatten()])
    model.compile(optimizers.SGD(0.0), "mse", backend=backend)
    x = rng.normal(3, 2, size=(12, 3, 3, 2))
    mean, variance = np.zeros(2), np.ones(2)
    for part in (slice(0, 8), slice(8, 12)):
        mean = 0.9 * mean + 0.1 * x[part].mean(axis=(0, 1, 2))
        variance = 0.9 * variance + 0.1 * x[part].var(axis=(0, 1, 2))
    model.fit(x, np.zeros((12, 18)), batch_size=8, shuffle=False, verbose=0)
    assert_close(model.get_weights()[2], mean, 1e-5)
    assert_close(model.get_weights()[3], variance, 1e-5)
    assert_close(model.predict(x), ((x - mean) / np.sqrt(variance + 1e-3)).reshape(12, 18), 1e-5)


# ------------------------------------------------------------------------------------------------------ interruptions


@pytest.fixture
def ctrl_c():
    """Python's own handler, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("where", ["on_train_batch_end", "on_epoch_end", "on_train_batch_begin", "on_epoch_begin"])
@pytest.mark.parametrize("how", ["raise", "signal"])
def test_ctrl_c_leaves_a_usable_model(where, how, rng, ctrl_c):
    model, (x, y) = linear(rng), data(rng)
    recorder = Recorder()
    start = model.get_weights()

    def interrupt(*args):
        if model.optimizer.iterations >= 4:
            if how == "raise":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=5, epochs=50, verbose=0, callbacks=[LambdaCallback(**{where: interrupt}), recorder])
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(model.history.history["loss"]) == len(model.history.epoch) >= 1
    assert recorder.calls[-1] == "train end"
    assert np.isfinite(model.predict(x)).all()
    assert not np.array_equal(start[0], model.get_weights()[0])
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


def test_ctrl_c_at_the_very_end_is_not_lost(rng, ctrl_c):
    model, (x, y) = linear(rng), data(rng)
    press = LambdaCallback(on_epoch_end=lambda epoch, logs: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, callbacks=[press])
    assert len(model.history.history["loss"]) == 1


def test_a_signal_does_not_cut_a_step(rng, ctrl_c):
    """The batch in which Ctrl-C is pressed is finished: all weights have the same number of updates."""
    model, (x, y) = linear(rng), data(rng)
    twin = linear(rng)
    twin.set_weights(model.get_weights())
    press = LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: os.kill(os.getpid(), signal.SIGINT) if batch == 1 else 0
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[press])
    for part in (slice(0, 2), slice(2, 4)):
        twin.train_on_batch(x[part], y[part])
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_ctrl_c_in_a_script():
    """A real process: the signal from outside, while it trains."""
    code = """
import signal, numpy as np, minicnn as mc
from minicnn.layers import Dense, Input
signal.signal(signal.SIGINT, signal.default_int_handler)
model = mc.Sequential([Input((4,)), Dense(2)])
model.compile("sgd", "mse", backend="numpy")
x = np.ones((64, 4))
tell = mc.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: print("epoch", flush=True) if e == 1 else None)
try:
    model.fit(x, np.ones((64, 2)), batch_size=1, epochs=1_000_000, verbose=0, callbacks=[tell])
except KeyboardInterrupt:
    print("interrupted", len(model.history.history["loss"]) >= 2, np.isfinite(model.predict(x)).all(), flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "epoch\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "interrupted True True\n"
    assert process.returncode == 0


def test_fit_in_another_thread(rng):
    """Signals belong to the main thread: there is nothing to catch, and nothing fails."""
    model, (x, y) = linear(rng), data(rng)
    thread = threading.Thread(target=lambda: model.fit(x, y, verbose=0))
    thread.start()
    thread.join()
    assert model.optimizer.iterations == 1


def test_errors_in_callbacks_end_fit_cleanly(rng):
    model, (x, y) = linear(rng), data(rng)
    recorder = Recorder()

    def fail(*args):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[LambdaCallback(on_epoch_end=fail), recorder])
    assert recorder.calls[-1] == "train end"
    model.fit(x, y, verbose=0)


# ------------------------------------------------------------------------------------------------------------ threads


@pytest.fixture
def _two_threads_of_blas(monkeypatch):
    """Also of what other tests have loaded since the package looked, as SciPy's."""
    monkeypatch.setattr("minicnn.blas._libraries", minicnn_blas._libraries.__wrapped__)
    with threadpool_limits(2, "blas"):
        yield


def test_threads_of_the_user_are_put_back(rng, _two_threads_of_blas):
    import numba

    from minicnn.backends.numba.machine import pool

    def blas():
        return sorted(
            (info["filepath"], info["num_threads"]) for info in threadpool_info() if info["user_api"] == "blas"
        )

    before = pool.pool().threads, numba.get_num_threads(), blas()
    assert all(count == 2 for _, count in blas())
    model, (x, y) = linear(rng, "numba"), data(rng)
    inside = []
    model.fit(
        x, y, verbose=0, callbacks=[LambdaCallback(on_epoch_end=lambda e, logs: inside.extend(n for _, n in blas()))]
    )
    assert set(inside) <= {1}
    model.predict(x)
    with pytest.raises(mc.errors.NonFiniteError):
        model.fit(np.full((3, 4), np.nan), np.zeros((3, 2)), verbose=0)
    assert (pool.pool().threads, numba.get_num_threads(), blas()) == before
    mc.set_num_threads(1)
    assert mc.get_num_threads() == 1
    model.fit(x, y, verbose=0)
    assert (pool.pool().threads, numba.get_num_threads(), blas()) == before
    with pytest.raises(ValueError, match="count=0"):
        mc.set_num_threads(0)
