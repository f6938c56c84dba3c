"""What callbacks are told: names, their order, values. Expected: what Keras 3.15.1 tells the same callbacks."""

import copy
import pickle

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras._old_logs import with_old_names
from minicnn.training.device_totals import LogsWhenRead

L = keras.layers
X = np.cos(np.arange(48, dtype=np.float32)).reshape(8, 6)
Y = np.arange(8) % 3
WITH_NUMBER = ["on_epoch_begin", "on_epoch_end"] + [
    f"on_{what}_batch_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")
]
OTHERS = [f"on_{what}_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")]


class Recorder(keras.callbacks.Callback):
    """The names in the logs of each method, as often as they differ."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def note(self, method, logs):
        if list(logs) not in (found := self.seen.setdefault(method, [])):
            found.append(list(logs))


def _with_number(method):
    return lambda self, number, logs=None: self.note(method, logs)


def _without(method):
    return lambda self, logs=None: self.note(method, logs)


class Hooks(Recorder):
    for method in WITH_NUMBER:
        locals()[method] = _with_number(method)
    for method in OTHERS:
        locals()[method] = _without(method)


def as_functions():
    recorder = Recorder()
    functions = {m: lambda number, logs, m=m: recorder.note(m, logs) for m in WITH_NUMBER}
    functions |= {m: lambda logs, m=m: recorder.note(m, logs) for m in OTHERS}
    functions.pop("on_test_begin")
    callback = keras.callbacks.LambdaCallback(**functions)
    return callback, recorder


def both_kinds():
    hooks = Hooks()
    return [(hooks, hooks), as_functions()]


def classifier():
    model = keras.Sequential([L.Input((6,)), L.Dense(3, activation="softmax")])
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="atop")]
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    return model


@pytest.mark.parametrize("kind", [0, 1])
def test_the_names_of_logs_are_in_the_order_of_the_alphabet(kind):
    callback, recorder = both_kinds()[kind]
    classifier().fit(X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[callback])
    recorder.seen.pop("on_test_begin", None)
    of_batch = [["accuracy", "atop", "loss"]]
    of_epoch = [["accuracy", "atop", "loss", "val_accuracy", "val_atop", "val_loss"]]
    begins = ("on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_test_batch_begin")
    empty = {method: [[]] for method in begins}
    ends = {method: of_batch for method in ("on_train_batch_end", "on_test_batch_end", "on_test_end")}
    assert recorder.seen == {**empty, **ends, "on_epoch_end": of_epoch, "on_train_end": of_epoch}


def test_those_of_two_outputs_are_too():
    i = L.Input((6,))
    model = keras.Model(i, [L.Dense(3, activation="softmax", name="zz")(i), L.Dense(2, name="aa")(i)])
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], metrics=[["accuracy"], ["mae"]])
    hooks = Hooks()
    model.fit(X, [Y, X[:, :2]], verbose=0, callbacks=[hooks])
    assert hooks.seen["on_train_batch_end"] == [["aa_loss", "aa_mae", "loss", "zz_accuracy", "zz_loss"]]
    hooks = Hooks()
    model.evaluate(X, [Y, X[:, :2]], verbose=0, callbacks=[hooks])
    assert hooks.seen["on_test_batch_end"] == [["aa_loss", "aa_mae", "loss", "zz_accuracy", "zz_loss"]]


def test_a_single_batch_tells_its_logs_in_that_order():
    model = classifier()
    assert list(model.train_on_batch(X, Y, return_dict=True)) == ["accuracy", "atop", "loss"]
    assert list(model.test_on_batch(X, Y, return_dict=True)) == ["accuracy", "atop", "loss"]


def test_the_end_of_a_training_has_what_was_measured_alone():
    class Adds(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["bb"] = 1.5

    hooks, plateau = Hooks(), keras.callbacks.ReduceLROnPlateau(monitor="loss")
    history = classifier().fit(X, Y, epochs=2, verbose=0, callbacks=[Adds(), plateau, hooks])
    of_epoch = ["accuracy", "atop", "loss"]
    assert hooks.seen["on_epoch_end"] == [[*of_epoch, "bb", "learning_rate"]]
    assert list(history.history) == [*of_epoch, "bb", "learning_rate"]
    assert hooks.seen["on_train_end"] == [of_epoch]


def outputs_of(model, x):
    told = []

    class Keeps(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            told.append(logs)

    further = keras.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: told.append(logs))
    predicted = model.predict(x, batch_size=4, verbose=0, callbacks=[Keeps(), further])
    assert len(told) == 4
    return predicted, told


def test_a_batch_of_predictions_has_the_form_of_the_models_output():
    predicted, told = outputs_of(classifier(), X)
    for logs, rows in zip(told, (predicted[:4], predicted[:4], predicted[4:], predicted[4:]), strict=True):
        assert list(logs) == ["outputs"]
        np.testing.assert_array_equal(logs["outputs"], rows)
    i = L.Input((6,))
    _, told = outputs_of(keras.Model(i, [L.Dense(3)(i), L.Dense(2)(i)]), X)
    assert all([array.shape for array in logs["outputs"]] == [(4, 3), (4, 2)] for logs in told)
    _, told = outputs_of(keras.Model(i, {"zz": L.Dense(3)(i), "aa": L.Dense(2)(i)}), X)
    assert all({n: array.shape for n, array in logs.items()} == {"aa": (4, 2), "zz": (4, 3)} for logs in told)
    assert all(list(logs) == ["aa", "zz"] for logs in told)


def test_functions_find_the_number_of_the_batch_and_the_older_name_in_their_logs():
    told = []
    model = keras.Sequential([L.Input((6,)), L.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def note(batch, logs):
        told.append((logs["batch"], logs["size"], logs["acc"] == logs["accuracy"]))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    with pytest.warns(FutureWarning, match="history\\['acc'\\]: it is called 'accuracy'"):
        model.fit(X, Y, batch_size=5, verbose=0, callbacks=[callback])
    assert told == [(0, 5, True), (1, 3, True)]


def test_logs_of_a_gpu_are_fetched_when_they_are_read_and_are_in_that_order():
    fetched = []

    def fetch():
        fetched.append(True)
        return {"loss": 2.0, "accuracy": 0.5}

    logs = LogsWhenRead(fetch)
    with_old_names(lambda batch, logs: None, "on_train_batch_end")(0, logs)
    assert fetched == []
    found = []

    def reads(batch, logs):
        found.extend([list(logs), logs["acc"], logs.get("acc"), logs.get("nothing", 7)])
        logs["more"] = 3.0

    with pytest.warns(FutureWarning, match="history\\['acc'\\]: it is called 'accuracy'"):
        with_old_names(reads, "on_train_batch_end")(0, logs)
    assert found == [["accuracy", "loss"], 0.5, 0.5, 7]
    assert dict(logs) == {"accuracy": 0.5, "loss": 2.0, "more": 3.0}
    assert fetched == [True]


def test_validation_data_that_is_refused_is_what_is_told():
    batches = iter([(X[:, :4], Y)])
    with pytest.raises(ValueError, match=r"^validation_data: model"):
        classifier().fit(X, Y, verbose=0, validation_data=batches, validation_steps=1)


def test_nested_outputs_of_a_batch_come_to_every_callback_in_their_form():
    i = L.Input((6,))
    _, told = outputs_of(keras.Model(i, [[L.Dense(1)(i), L.Dense(2)(i)], L.Dense(3)(i)]), X)
    for logs in told:
        (one, two), three = logs["outputs"]
        assert [part.shape for part in (one, two, three)] == [(4, 1), (4, 2), (4, 3)]


@pytest.mark.parametrize("count", [1, 7])
def test_a_function_is_given_once_and_six_without_a_name(count):
    named = {"on_epoch_begin": print} if count == 1 else {}
    with pytest.raises(TypeError, match=rf"each once.*Received: {count} without a name"):
        keras.callbacks.LambdaCallback(*[print] * count, **named)


def test_whether_a_name_is_in_logs_is_what_asking_for_it_says():
    def PSNR(y_true, y_pred):
        return keras.ops.mean(y_true - y_pred)

    found = []
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: found.append([n in logs for n in names]))
    names = ["psnr", "PSNR", "loss", "val_psnr"]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[PSNR])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0, callbacks=[told])
    assert found == [[True, True, True, False]]  # psnr, loss: as Keras 3.15 says


def test_the_order_of_a_models_own_metric_is_behind_those_of_compile():
    """Outputs 2 for targets 1/2; Keras 3.15.1 gives the loss, those of `compile` in their order, and the own one."""

    class Counting(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, kernel_initializer="ones")
            self.average = keras.metrics.Mean(name="average")

        def call(self, x):
            y = self.dense(x)
            self.average.update_state(y)
            return y

    model = Counting()
    model.compile("sgd", "mse", metrics=["mse", "mae"])
    x, y = np.ones((4, 2), "float32"), np.full((4, 1), 0.5, "float32")
    with pytest.warns(UserWarning, match="metric 'average' counts numbers.*it runs on arrays"):
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), [2.25, 2.25, 1.5, 2])
    np.testing.assert_allclose(model.test_on_batch(x, y), [2.25, 2.25, 1.5, 2])
    assert [metric.name for metric in model.metrics] == ["loss", "compile_metrics", "average"]


def _with_aucs(*metrics):
    model = keras.Sequential([keras.Input((6,)), L.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=[*metrics, keras.metrics.Precision()])
    return model


def test_a_metric_is_found_under_the_number_that_keras_would_have_counted():
    """Keras 3.15.1 calls those of a second model "auc_1" and "precision_1"."""
    model, y = _with_aucs(keras.metrics.AUC()), Y > 0
    stop = keras.callbacks.EarlyStopping(monitor="val_auc_7", patience=1)
    with pytest.warns(FutureWarning, match="val_auc_7.*'val_auc'"):
        history = model.fit(X, y, verbose=0, epochs=2, validation_data=(X, y), callbacks=[stop]).history
    assert stop.best == max(history["val_auc"])
    with pytest.warns(FutureWarning, match="val_precision_1"):
        assert history["val_precision_1"] is history["val_precision"]
    with pytest.raises(KeyError, match="loss_1"):
        history["loss_1"]


def test_a_number_that_could_mean_two_metrics_is_refused():
    history = _with_aucs(keras.metrics.AUC(), keras.metrics.AUC(curve="PR")).fit(X, Y > 0, verbose=0).history
    assert "auc_1" in history and "auc_3" not in history
    with pytest.raises(KeyError, match="auc_3"):
        history["auc_3"]


@pytest.mark.parametrize("validated", [False, True])
def test_metrics_that_compile_was_given_show_what_is_counted(validated):
    """As in Keras 3.15.1, whose callbacks read them after each batch, and which leaves what validation has counted."""

    class Columns(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="columns")
            self.sums, self.batches = self.add_weight(shape=(3,)), self.add_weight(shape=())

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.sums.assign_add(keras.ops.sum(y_pred, axis=0))
            self.batches.assign_add(1.0)

        def result(self):
            return keras.ops.sum(self.sums) / self.batches

    class Reading(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.read = []

        def on_train_batch_end(self, batch, logs=None):
            self.read.append((float(error.result()), float(columns.batches)))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20, 3)).astype(np.float32)  # (20, 3)
    error, columns, reading = keras.metrics.MeanSquaredError(), Columns(), Reading()
    model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    model.compile("sgd", "mae", metrics=[error, columns])
    options = {"validation_data": (x[:5], y[:5])} if validated else {}
    model.fit(x, y, 8, 2, verbose=0, shuffle=False, callbacks=[reading], **options)
    made = np.maximum(x, 0)
    squares = [((made - y)[:end] ** 2).mean() for end in (8, 16, 20)] * 2
    np.testing.assert_allclose(reading.read, list(zip(squares, [1, 2, 3] * 2, strict=True)), rtol=1e-5)
    last = 5 if validated else 20
    assert float(error.result()) == pytest.approx(((made - y)[:last] ** 2).mean(), rel=1e-5)
    np.testing.assert_allclose(columns.sums.numpy(), made[:last].sum(axis=0), rtol=1e-5)
    loss = np.abs(made - y)[:last].mean()
    expected = {"loss": loss, "mean_squared_error": squares[-1], "columns": made.sum() / 3}
    if validated:
        expected |= {"mean_squared_error": ((made - y)[:5] ** 2).mean(), "columns": made[:5].sum()}
    assert model.get_metrics_result() == pytest.approx(expected, rel=1e-5)
    assert float(model.metrics[0].result()) == pytest.approx(loss, rel=1e-5)
    model.reset_metrics()
    assert float(error.result()) == float(columns.batches) == model.get_metrics_result()["loss"] == 0
    of_all = [np.abs(made - y).mean(), squares[-1], made.sum()]
    assert copy.deepcopy(model).evaluate(x, y, verbose=0) == pytest.approx(of_all, rel=1e-5)


def test_compile_forgets_what_was_counted_with_other_metrics():
    x = np.ones((4, 2), np.float32)
    model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])
    model.compile("sgd", "mse", metrics=["mae"])
    model.evaluate(x, x + 1, verbose=0)
    assert model.get_metrics_result() == {"loss": 1, "mae": 1}
    model.compile("sgd", "mse", metrics=["mse"])
    assert model.get_metrics_result() == {"loss": 0}


@pytest.mark.parametrize("copied", [lambda model: model, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_what_is_told_by_hand_adds_to_what_was_counted(copied):
    """As in Keras 3.15.1, whose `fit` and `evaluate` count with the very parts of `model.metrics`."""
    x, y = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)  # (20, 3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    model.compile("sgd", "mse", metrics=["mae"])
    model.evaluate(x, y, 5, verbose=0)
    model.metrics[0].update_state(1.0)
    model = copied(model)
    made = np.maximum(x, 0)
    loss, error = ((made - y) ** 2).mean(), np.abs(made - y).mean()
    for _ in range(2):  # behind what was told by hand, too
        model.evaluate(x, y, 5, verbose=0)
        assert model.get_metrics_result() == pytest.approx({"loss": loss, "mae": error}, rel=1e-5)
        model.metrics[0].update_state(10.0)
        assert model.get_metrics_result() == pytest.approx({"loss": (20 * loss + 10) / 21, "mae": error}, rel=1e-5)
        further = np.abs(made[:5] - 3 * y[:5]).mean()
        found = model.compute_metrics(x[:5], 3 * y[:5], made[:5])
        assert found["mae"] == pytest.approx((20 * error + 5 * further) / 25, rel=1e-5)
    model.evaluate(x, y, 5, verbose=0)
    for metric in model.metrics:
        metric.reset_state()
    assert model.get_metrics_result() == {"loss": 0, "mae": 0}


class Rate(keras.metrics.Metric):
    """Reads what belongs to others; counts its batches."""

    def __init__(self, optimizer, told):
        super().__init__(name="rate")
        self.optimizer, self.told, self.batches = optimizer, told, self.add_weight(shape=())

    def __setattr__(self, name, value):
        if name.startswith("__"):
            raise AttributeError(name)
        super().__setattr__(name, value)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.batches.assign_add(1.0)

    def result(self):
        return self.optimizer.learning_rate + self.told["more"]


def test_a_metric_reads_what_others_change():
    """As in Keras 3.15.1."""

    class Changing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            optimizer.learning_rate, told["more"] = 0.5 / 2**epoch, 10 * epoch

    x, told, optimizer = np.ones((4, 2), np.float32), {"more": 0}, keras.optimizers.SGD(0.125)
    rate = Rate(optimizer, told)
    batches = rate.batches
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", metrics=[rate])
    for _ in range(2):
        history = model.fit(x, x, 2, 3, verbose=0, callbacks=[Changing()]).history["rate"]
        assert history == pytest.approx([0.5, 10.25, 20.125])
    assert rate.optimizer is optimizer and rate.told is told
    assert rate.batches is batches and float(batches) == 2


def test_passes_inside_others_count_for_themselves():
    class Asking(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert model.evaluate(x[:2], y[:2], verbose=0)[1] == pytest.approx(of_two, rel=1e-5)
            shown.append(float(error.result()))

    x, y = np.random.default_rng(0).normal(size=(2, 12, 3)).astype(np.float32)  # (12, 3)
    error, shown = keras.metrics.MeanAbsoluteError(), []
    model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    model.compile("sgd", "mse", metrics=[error])
    errors = np.abs(np.maximum(x, 0) - y)
    of_two = errors[:2].mean()
    history = model.fit(x, y, 4, 2, verbose=0, callbacks=[Asking()]).history
    assert history["mean_absolute_error"] == pytest.approx([errors.mean()] * 2, rel=1e-5)
    assert shown == pytest.approx([of_two] * 6, rel=1e-5)


def test_warmup_leaves_what_was_counted():
    x = np.ones((4, 2), np.float32)
    error = keras.metrics.MeanAbsoluteError()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, bias_initializer="ones")])
    model.compile("sgd", "mse", metrics=[error])
    before = model.evaluate(x, x, verbose=0, return_dict=True)
    mc.warmup(model, 4)
    assert model.get_metrics_result() == before
    assert float(error.result()) == before["mean_absolute_error"]


def test_results_hold_the_losses_of_several_outputs():
    """As in Keras 3.15.1."""
    x = np.ones((4, 2), np.float32)
    start = keras.Input((2,))
    ends = {"a": keras.layers.ReLU(name="a")(start), "b": keras.layers.Rescaling(2.0, name="b")(start)}
    model = keras.Model(start, ends)
    model.compile("sgd", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    model.evaluate(x, {"a": x + 2, "b": x}, verbose=0)
    assert model.get_metrics_result() == {"loss": 5, "a_loss": 4, "b_loss": 1, "a_mae": 2}
