"""Subclasses of the library's metrics that use Keras's variables, and when metrics of one's own are reset: numbers that
Keras 3.15.1 gave on TensorFlow."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import keras
from minicnn.keras import ops

RNG = np.random.default_rng(0)
OUTPUTS = RNG.random((12, 3)).astype("float32")  # (N, 3)
TARGETS = (RNG.random((12, 3)) > 0.5).astype("float32")  # (N, 3)
WEIGHTS = {"none": None, "(N,)": np.arange(12) / 5, "(N, 1)": np.arange(12)[:, None] / 5, "(N, 3)": RNG.random((12, 3))}
X = np.linspace(0, 1, 40, dtype="float32").reshape(10, 4)  # (10, 4)
Y = (np.arange(10) % 2).astype("float32").reshape(10, 1)  # (10, 1)
OF_ABSOLUTE = {"fn": lambda y_true, y_pred: ops.abs(y_true - y_pred)}
OF_A_NUMBER = {"fn": lambda y_true, y_pred: ops.mean(ops.abs(y_true - y_pred))}


def share(cls, **options):
    """A subclass whose result tells the sum from the count."""

    class Share(cls):
        def result(self):
            return self.total / (self.count + 1.0)

    return Share(**options)


SUMS = {  # class, options: with which weights → what `result`, `total` and `count` are
    ("Mean", ()): {"none": (0.4821, 6.2667, 12), "(N,)": (0.4968, 7.0547, 13.2), "(N, 3)": (0.4614, 4.1087, 7.9044)},
    ("MeanSquaredError", ()): {"none": (0.3478, 4.5212, 12), "(N, 1)": (0.3247, 4.6108, 13.2)},
    ("RootMeanSquaredError", ()): {"none": (0.3478, 4.5212, 12), "(N, 3)": (0.3627, 3.2299, 7.9044)},
    ("BinaryAccuracy", ()): {
        "none": (0.3846, 5, 12),
        "(N,)": (0.4038, 5.7333, 13.2),
        "(N, 3)": (0.333, 2.9654, 7.9044),
    },
    ("CategoricalCrossentropy", ()): {"none": (2.083, 27.0786, 12), "(N,)": (1.7382, 24.6826, 13.2)},
    ("KLDivergence", ()): {"none": (1.5637, 20.328, 12), "(N, 1)": (1.1651, 16.5439, 13.2)},
    ("MeanMetricWrapper", (*OF_ABSOLUTE.items(),)): {
        "none": (0.4936, 6.4167, 12),
        "(N, 1)": (0.4842, 6.8759, 13.2),
        "(N, 3)": (0.5084, 4.5272, 7.9044),
    },
    ("MeanMetricWrapper", (*OF_A_NUMBER.items(),)): {"none": (0.3632, 1.0896, 2)},
}


@pytest.mark.parametrize(
    ("case", "form"), [(case, form) for case in SUMS for form in SUMS[case]], ids=lambda x: str(x)[:40]
)
def test_total_and_count_are_those_of_keras(case, form):
    metric = share(getattr(keras.metrics, case[0]), **dict(case[1]))
    for part in (slice(0, 5), slice(5, 12)):
        arrays = (OUTPUTS[part],) if case[0] == "Mean" else (TARGETS[part], OUTPUTS[part])
        weight = WEIGHTS[form]
        metric.update_state(*arrays, **({} if weight is None else {"sample_weight": weight[part]}))
    found = [float(metric.result()), float(metric.total), float(metric.count.numpy())]
    np.testing.assert_allclose(found, SUMS[case][form], atol=6e-5)
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0.0, 0.0]


class Summed(keras.metrics.Mean):
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(ops.sum(y_pred))
        self.count.assign_add(ops.cast(ops.shape(y_pred)[0], "float32"))


class Absolute(keras.metrics.Mean):
    """Also resets its variables by hand, which the library's constructor would be too early for."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(ops.abs(y_true - y_pred))

    def reset_state(self):
        for variable in self.variables:
            variable.assign(ops.zeros_like(variable))


class OfKeras2(keras.metrics.Mean):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(ops.abs(y_true - y_pred))

    def reset_states(self):
        self.total.assign(0.0)
        self.count.assign(0.0)
        self.is_reset = True


class Twice(keras.metrics.Sum):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_pred)

    def result(self):
        return self.total * 2


class OneMore(keras.metrics.RootMeanSquaredError):
    def result(self):
        return ops.sqrt(self.total / self.count) + 1


class Area(keras.metrics.AUC):
    def reset_state(self):
        for variable in self.variables:
            variable.assign(ops.zeros_like(variable))


class Pixels(keras.metrics.MeanIoU):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, ops.cast(y_pred > 0.5, "int32"))

    def result(self):
        return ops.sum(self.total_cm)


TRAINED = {  # what a history has, of the training and of the validation, and what `evaluate` gives
    Summed: ([0.82927, 0.82894], [0.71133, 0.71085], 0.82865),
    Absolute: ([0.47518, 0.47516], [0.53687, 0.53679], 0.47515),
    OfKeras2: ([0.47518, 0.47516], [0.53687, 0.53679], 0.47515),
    Twice: ([16.58541, 16.5787], [7.11328, 7.10849], 16.57297),
    OneMore: ([1.59521, 1.59504], [1.58694, 1.5867], 1.59491),
    Area: ([0.6, 0.6], [0.5, 0.5], 0.6),
    Pixels: ([10.0, 10.0], [5.0, 5.0], 10.0),
}


def compiled(*metrics, **options):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid", kernel_initializer="ones")]
    )
    model.compile("sgd", "mse", metrics=[*metrics], **options)
    return model


@pytest.mark.parametrize("cls", TRAINED)
def test_subclasses_train_as_in_keras(cls):
    metric = cls(name="m", **({"num_classes": 2} if cls is Pixels else {}))
    model = compiled(metric)
    options = {"batch_size": 4, "verbose": 0, "shuffle": False}
    history = model.fit(X, Y, epochs=2, validation_data=(X[:5], Y[:5]), **options).history
    found = [*history["m"], *history["val_m"], model.evaluate(X, Y, batch_size=4, verbose=0)[1]]
    training, validation, evaluated = TRAINED[cls]
    np.testing.assert_allclose(found, [*training, *validation, evaluated], atol=6e-6)
    assert cls is not OfKeras2 or metric.is_reset


COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.metrics.AUC(num_thresholds=5),
        lambda: keras.metrics.AUC(num_thresholds=5, multi_label=True, num_labels=3),
        lambda: keras.metrics.SpecificityAtSensitivity(0.5, num_thresholds=5),
        lambda: keras.metrics.Recall([0.3, 0.6]),
        lambda: keras.metrics.F1Score(threshold=0.5),
        lambda: keras.metrics.R2Score(),
    ],
)
def test_one_variable_is_set_and_the_others_stay(make):
    metric = make()
    metric.update_state(TARGETS, OUTPUTS)
    before = [v.numpy() for v in metric.variables]
    assert [v.name for v in metric.variables if v.name in COUNTS] == [n for n in COUNTS if n in _names(metric)]
    for i, variable in enumerate(metric.variables):
        variable.assign(before[i] * 0 + 3 + i)
        expected = [b * 0 + 3 + j if j <= i else b for j, b in enumerate(before)]
        for found, wanted in zip(metric.variables, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    metric.update_state(TARGETS, OUTPUTS)  # and what comes then is added
    for i, (found, b) in enumerate(zip(metric.variables, before, strict=True)):
        np.testing.assert_allclose(found, b + 3 + i, rtol=1e-6, atol=1e-6)


def _names(metric):
    return {v.name for v in metric.variables}


def test_a_number_of_thresholds_decides_by_the_variables():
    """1 positive, 1 negative taken for one: the formula of Keras's documentation, 1 / 2, and recall 1 / 4."""
    precision, recall = keras.metrics.Precision(), keras.metrics.Recall()
    precision.true_positives.assign([1.0])
    precision.false_positives.assign([1.0])
    recall.true_positives.assign([1.0])
    recall.false_negatives.assign([3.0])
    assert (precision.result(), recall.result()) == (0.5, 0.25)
    found = keras.metrics.FalseNegatives()
    found.accumulator.assign([5.0])
    assert found.result() == 5.0


def test_variables_besides_stay_in_means_and_go_in_f_scores():
    for cls, kept in ((keras.metrics.Mean, 2.0), (keras.metrics.F1Score, 1.0)):

        class Counting(cls):
            def __init__(self):
                super().__init__(name="counting")
                self.calls = self.add_weight(name="calls", shape=(), initializer="zeros")

            def update_state(self, *arrays, sample_weight=None):
                super().update_state(*arrays)
                self.calls.assign_add(1.0)

        metric = Counting()
        assert metric.variables[-1].name == "calls"
        arrays = (OUTPUTS,) if cls is keras.metrics.Mean else (TARGETS, OUTPUTS)
        metric.update_state(*arrays)
        metric.reset_state()
        metric.update_state(*arrays)
        assert float(metric.calls) == kept


# ------------------------------------------------------------------------------ before the first pass nothing is reset


class Sevens(keras.metrics.Metric):
    """Begins with 7, is reset to 100, and adds 1 for each batch."""

    def __init__(self):
        super().__init__(name="m")
        self.sum = self.add_weight(name="sum", shape=(), initializer="zeros")
        self.sum.assign(7.0)
        self.resets = 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.sum.assign_add(1.0)

    def result(self):
        return self.sum + 0

    def reset_state(self):
        self.resets += 1
        self.sum.assign(100.0)


def trained(model, epochs=2, **options):
    return model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, **options).history["m"]


def test_a_metric_keeps_its_first_values_for_the_first_pass():
    metric = Sevens()
    model = compiled(metric)
    assert trained(model) == [10.0, 103.0]
    assert metric.resets == 1
    model.reset_metrics()
    assert (metric.resets, float(metric.sum)) == (2, 100.0)
    model.compile("sgd", "mse", metrics=[metric])
    assert trained(model) == [103.0, 103.0]
    assert metric.resets == 3


def test_evaluate_may_be_the_first_pass():
    metric = Sevens()
    model = compiled(metric)
    assert model.evaluate(X, Y, batch_size=4, verbose=0)[1] == 10.0
    assert trained(model) == [103.0, 103.0]
    assert metric.resets == 2


def test_predict_and_warmup_are_none():
    metric = Sevens()
    model = compiled(metric)
    model.predict(X, verbose=0)
    minicnn.warmup(model, 4)
    assert trained(model) == [10.0, 103.0]


def test_validation_comes_after_the_first_batches():
    metric = Sevens()
    history = compiled(metric).fit(X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y)).history
    assert (history["m"], history["val_m"], metric.resets) == ([10.0, 103.0], [103.0, 103.0], 3)


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches_are_passes(method):
    metric = Sevens()
    call = getattr(compiled(metric), method)
    assert [float(call(X, Y)[1]) for _ in range(3)] == [8.0, 101.0, 101.0]
    assert metric.resets == 2


class Begins(keras.callbacks.Callback):
    """Notes what a metric says where epochs begin."""

    def __init__(self, metric):
        super().__init__()
        self.metric, self.seen = metric, []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(float(self.metric.result()))


def test_metrics_have_forgotten_the_last_epoch_when_the_next_one_begins():
    metric = Sevens()
    model, begins = compiled(metric), Begins(metric)
    for _ in range(2):
        trained(model, validation_data=(X, Y), callbacks=[begins])
    model.evaluate(X, Y, verbose=0)
    trained(model, epochs=1, callbacks=[begins])
    assert begins.seen == [7.0, 100.0, 100.0, 100.0, 100.0]
    assert metric.resets == 9


def test_so_they_have_where_a_model_has_a_step_of_its_own():
    metric = Sevens()

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

        def train_step(self, data):
            metric.update_state(data[1], self(data[0]))
            return {"m": metric.result()}

        metrics = property(lambda self: [metric])

    model, begins = Own(), Begins(metric)
    model.compile("sgd", "mse")
    assert [trained(model, callbacks=[begins]) for _ in range(2)] == [[103.0, 103.0]] * 2
    assert (begins.seen, metric.resets) == ([100.0] * 4, 4)


def test_what_an_evaluation_before_an_epoch_counted_is_no_part_of_it():
    """Of any epoch, with steps of the model's own and without them."""

    class Own(keras.Sequential):
        metric = Sevens()

        def train_step(self, data):
            self.metric.update_state(data[1], data[1])
            return {"m": self.metric.result()}

        test_step = train_step
        metrics = property(lambda self: [self.metric])

    for kind in (keras.Sequential, Own):
        model = kind([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=[Sevens()])
        evaluates = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: model.evaluate(X, Y, verbose=0)  # noqa: B023
        )
        model.evaluate(X, Y, verbose=0)
        assert trained(model, epochs=3, callbacks=[evaluates]) == [103.0] * 3, kind


def test_a_copy_of_a_trained_model_has_counted():
    model = compiled(Sevens())
    trained(model, epochs=1)
    assert trained(copy.deepcopy(model)) == [103.0, 103.0]


def test_metrics_of_weights_and_those_of_the_library_keep_theirs_too():
    assert trained(compiled(weighted_metrics=[Sevens()]), sample_weight=np.ones(10)) == [10.0, 103.0]
    accuracy = keras.metrics.BinaryAccuracy(name="m")
    accuracy.update_state(Y, 1 - Y)  # 10 misses, before 5 hits and 5 misses
    assert trained(compiled(accuracy)) == [0.25, 0.5]


def test_what_is_told_by_hand_in_between_is_forgotten():
    metric = Sevens()
    model = compiled(metric)
    trained(model, epochs=1)
    model.metrics[0].update_state(1.0)
    metric.update_state(Y, Y)
    assert trained(model) == [103.0, 103.0]


def test_one_object_in_two_places_counts_for_each_which_is_said():
    """Keras 3.15.1 adds both up in the one, and shows (2.0975 + 0.5414) / 2 under both names."""
    rng, metric, inputs = np.random.default_rng(0), keras.metrics.MeanAbsoluteError(name="q"), keras.Input((4,))
    x, y = rng.normal(size=(8, 4)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    heads = [keras.layers.Dense(1, kernel_initializer=kind, name=kind)(inputs) for kind in ("ones", "zeros")]
    model = keras.Model(inputs, heads)
    with pytest.warns(UserWarning, match=r"^metric 'q' is one object in several places"):
        model.compile("sgd", "mse", metrics=[[metric], [metric]])
    history = model.fit(x, [y, y], verbose=0).history
    expected = [np.abs(x.sum(axis=1, keepdims=True) - y).mean(), np.abs(y).mean()]
    np.testing.assert_allclose([history["ones_q"][0], history["zeros_q"][0]], expected, rtol=1e-6)


NAMED = {  # in Keras 3.15.1: `type("MyShare", (cls,), {})(**options).name`, and that of the class itself
    ("MeanIoU", ("num_classes",)): ("my_share", "mean_io_u"),
    ("IoU", ("num_classes", "target_class_ids")): ("my_share", "io_u"),
    ("OneHotIoU", ("num_classes", "target_class_ids")): ("my_share", "one_hot_io_u"),
    ("OneHotMeanIoU", ("num_classes",)): ("my_share", "one_hot_mean_io_u"),
    ("BinaryIoU", ()): ("my_share", "binary_io_u"),
    ("AUC", ()): ("my_share", "auc"),
    ("Precision", ()): ("my_share", "precision"),
    ("Recall", ()): ("my_share", "recall"),
    ("FalseNegatives", ()): ("my_share", "false_negatives"),
    ("SensitivityAtSpecificity", ("specificity",)): ("my_share", "sensitivity_at_specificity"),
    ("RecallAtPrecision", ("precision",)): ("my_share", "recall_at_precision"),
    ("MeanSquaredError", ()): ("mean_squared_error", "mean_squared_error"),
    ("BinaryAccuracy", ()): ("binary_accuracy", "binary_accuracy"),
    ("F1Score", ()): ("f1_score", "f1_score"),
}
_OPTIONS = {"num_classes": 2, "target_class_ids": [1], "specificity": 0.5, "precision": 0.5}


@pytest.mark.parametrize(("of", "names"), NAMED.items(), ids=lambda part: part[0])
def test_a_subclass_without_a_name_is_called_as_its_class_where_it_is_in_keras(of, names):
    cls = getattr(keras.metrics, of[0])
    options = {name: _OPTIONS[name] for name in of[1]}
    assert (type("MyShare", (cls,), {})(**options).name, cls(**options).name) == names


def test_histories_and_monitors_have_the_name_of_a_subclass():
    class UpdatedMeanIoU(keras.metrics.MeanIoU):  # as notebooks of segmentation write it
        def __init__(self, num_classes=None, name=None, dtype=None):
            super().__init__(num_classes=num_classes, name=name, dtype=dtype)

        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(y_true, ops.argmax(y_pred, axis=-1), sample_weight)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[UpdatedMeanIoU(num_classes=2)])
    stop = keras.callbacks.EarlyStopping("val_updated_mean_io_u", mode="max", patience=1, min_delta=10)
    history = model.fit(X, Y, epochs=4, validation_data=(X, Y), callbacks=[stop], verbose=0).history
    assert len(history["updated_mean_io_u"]) == len(history["val_updated_mean_io_u"]) == 2
