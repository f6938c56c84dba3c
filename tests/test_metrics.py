"""Metrics against counts by hand, over several batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import losses, metrics


def run(metric, targets, predictions, cut):
    """The metric's result over two batches."""
    metric.update_state(targets[:cut], predictions[:cut])
    metric.update_state(targets[cut:], predictions[cut:])
    return metric.result()


def top_k(scores, label, k):
    """Whether fewer than k classes score higher than `label`."""
    return sum(s > scores[label] for s in scores) < k


@given(
    n=st.integers(2, 9),
    extra=st.sampled_from([(), (3,), (2, 3)]),
    classes=st.integers(2, 7),
    k=st.integers(1, 8),
    seed=st.integers(0, 2**31),
)
def test_class_metrics_equal_counts(n, extra, classes, k, seed):
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, 4, (n, *extra, classes)).astype("float32")  # with ties
    labels = rng.integers(0, classes, (n, *extra))
    one_hot = np.eye(classes)[labels]
    rows = list(zip(prediction.reshape(-1, classes).tolist(), labels.ravel().tolist(), strict=True))
    hits = np.mean([row.index(max(row)) == label for row, label in rows])  # the first of several maxima
    top = np.mean([top_k(row, label, k) for row, label in rows])
    assert run(metrics.SparseCategoricalAccuracy(), labels, prediction, 1) == pytest.approx(hits, abs=1e-12)
    assert run(metrics.SparseCategoricalAccuracy(), labels[..., None], prediction, 1) == pytest.approx(hits, abs=1e-12)
    assert run(metrics.CategoricalAccuracy(), one_hot, prediction, 1) == pytest.approx(hits, abs=1e-12)
    assert run(metrics.SparseTopKCategoricalAccuracy(k), labels, prediction, 1) == pytest.approx(top, abs=1e-12)
    assert run(metrics.TopKCategoricalAccuracy(k), one_hot, prediction, 1) == pytest.approx(top, abs=1e-12)


@given(
    n=st.integers(2, 20), width=st.integers(1, 3), threshold=st.sampled_from([0.5, 0.25]), seed=st.integers(0, 2**31)
)
def test_binary_accuracy(n, width, threshold, seed):
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, 5, (n, width)).astype("float32") / 4  # some lie on the threshold
    target = rng.integers(0, 2, (n, width))
    pairs = zip(prediction.ravel(), target.ravel(), strict=True)
    expected = np.mean([(1 if p > threshold else 0) == t for p, t in pairs])
    assert run(metrics.BinaryAccuracy(threshold=threshold), target, prediction, 1) == pytest.approx(expected, abs=1e-12)
    if width == 1:
        metric = metrics.BinaryAccuracy(threshold=threshold)
        assert run(metric, target[:, 0], prediction, 1) == pytest.approx(expected, abs=1e-12)


@given(n=st.integers(2, 9), seed=st.integers(0, 2**31))
def test_regression_metrics(n, seed):
    rng = np.random.default_rng(seed)
    prediction, target = rng.standard_normal((n, 3)).astype("float32"), rng.standard_normal((n, 3))
    differences = [float(p) - float(t) for p, t in zip(prediction.ravel(), target.ravel(), strict=True)]
    squared = sum(d * d for d in differences) / len(differences)
    absolute = sum(map(abs, differences)) / len(differences)
    assert run(metrics.MeanSquaredError(), target, prediction, 1) == pytest.approx(squared, rel=1e-12)
    assert run(metrics.MeanAbsoluteError(), target, prediction, 1) == pytest.approx(absolute, rel=1e-12)


def test_reset_and_no_batches():
    metric = metrics.SparseCategoricalAccuracy()
    assert metric.result() == 0.0
    metric.update_state([1], [[0.0, 1.0]])
    assert metric.result() == 1.0
    assert isinstance(metric.result(), float)
    metric.reset_state()
    assert metric.result() == 0.0


def test_a_broken_score_is_no_hit():
    metric = metrics.SparseTopKCategoricalAccuracy(2)
    metric.update_state(np.array([0]), np.array([[np.nan, 1.0, 2.0]]))
    assert metric.result() == 0.0


LABELS = [metrics.SparseCategoricalAccuracy(), metrics.SparseTopKCategoricalAccuracy()]
COLUMNS = [metrics.CategoricalAccuracy(), metrics.TopKCategoricalAccuracy()]
ELEMENTS = [metrics.BinaryAccuracy(), metrics.MeanSquaredError(), metrics.MeanAbsoluteError()]


@pytest.mark.parametrize(
    ("fitting", "output_shape", "target_shape"),
    [
        (LABELS, (3,), (8,)),
        (LABELS, (3,), (8, 1)),
        (COLUMNS + ELEMENTS, (3,), (8, 3)),
        (LABELS, (4, 4, 3), (8, 4, 4)),
        (LABELS, (4, 4, 3), (8, 4, 4, 1)),
        (COLUMNS + ELEMENTS, (4, 4, 3), (8, 4, 4, 3)),
        (LABELS + ELEMENTS, (1,), (8,)),
        (LABELS + COLUMNS + ELEMENTS, (1,), (8, 1)),
        (LABELS + ELEMENTS, (4, 4, 1), (8, 4, 4)),
        ([], (3,), (8, 2)),
        ([], (4, 4, 3), (8,)),
    ],
)
def test_check_of_shapes(fitting, output_shape, target_shape):
    for metric in LABELS + COLUMNS + ELEMENTS:
        if metric in fitting:
            metric.check(output_shape, target_shape)
            metric = type(metric)()
            metric.update_state(np.zeros(target_shape, int), np.ones((8, *output_shape)))
            assert 0 <= metric.result() <= 1
        else:
            with pytest.raises(ValueError, match=r"expected a target of shape \(N.*Received: a target of shape \(8,"):
                metric.check(list(output_shape), list(target_shape))


def test_a_metric_of_ones_own_takes_any_shape():
    class Largest(metrics.Metric):
        def measure(self, target, prediction):
            return prediction.max(), 1

    metric = Largest("largest")
    metric.check((2, 3), (8, 5, 5))
    metric.update_state(np.zeros((2, 9)), np.array([[1.0, 7.0], [2.0, 3.0]]))
    assert metric.result() == 7.0


@pytest.mark.parametrize(
    ("output_shape", "target_shape", "expected"),
    [
        ((1,), (50,), metrics.BinaryAccuracy),
        ((1,), (50, 1), metrics.BinaryAccuracy),
        ((10,), (50,), metrics.SparseCategoricalAccuracy),
        ((10,), (50, 1), metrics.SparseCategoricalAccuracy),
        ((10,), (50, 10), metrics.CategoricalAccuracy),
        ((4, 4, 3), (50, 4, 4), metrics.SparseCategoricalAccuracy),
        ((4, 4, 3), (50, 4, 4, 3), metrics.CategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy"])
def test_accuracy_is_chosen_by_shapes(name, output_shape, target_shape, expected):
    metric = metrics.get(name, output_shape=output_shape, target_shape=target_shape)
    assert type(metric) is expected
    assert metric.name == name


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", metrics.SparseCategoricalAccuracy),
        ("categorical_crossentropy", metrics.CategoricalAccuracy),
        ("binary_crossentropy", metrics.CategoricalAccuracy),
    ],
)
def test_accuracy_is_chosen_by_the_loss_if_targets_are_unknown(loss, expected):
    assert type(metrics.get("accuracy", losses.get(loss), (10,))) is expected


def test_names_instances_and_configs():
    mine = metrics.BinaryAccuracy("mine", 0.3)
    assert metrics.get(mine) is mine
    assert metrics.get("mse").name == "mse"
    assert metrics.get("mean_squared_error").name == "mean_squared_error"
    assert metrics.get(metrics.MeanAbsoluteError).name == "mean_absolute_error"
    assert type(metrics.get(metrics.categorical_accuracy)) is metrics.CategoricalAccuracy
    assert metrics.get(metrics.mse).name == "mean_squared_error"
    assert metrics.BinaryAccuracy(dtype=None).name == "binary_accuracy"
    again = metrics.get({"class_name": "BinaryAccuracy", "config": mine.get_config()})
    assert repr(again) == repr(mine) == "BinaryAccuracy(name='mine', threshold=0.3)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.get("acuracy"), ValueError, r"Did you mean 'accuracy' or.*Received: 'acuracy'"),
        (lambda: metrics.binary_acuracy, AttributeError, r"in minicnn.metrics. Did you mean 'BinaryAccuracy'"),
        (lambda: metrics.BinaryAccuracy(treshold=1), TypeError, r"of BinaryAccuracy. Did you mean 'threshold'"),
        (lambda: metrics.BinaryAccuracy(dtype="bfloat16"), ValueError, r"`dtype` must be one of.*Received: dtype='bfl"),
        (lambda: metrics.CategoricalAccuracy(np.eye(2)), TypeError, r"name of a CategoricalAccuracy is a string"),
        (
            lambda: metrics.CategoricalAccuracy("mine").check((10,), (8,)),
            ValueError,
            r"'mine' \(CategoricalAccuracy\) .* shape \(N, 10\) for an output of shape \(N, 10\); "
            r"SparseCategoricalAccuracy takes the other form of targets. Received: a target of shape \(8,\)",
        ),
        (
            lambda: metrics.CategoricalAccuracy().update_state([[0, 1]], [[0, 1], [1, 0]]),
            ValueError,
            r"needs one target for each output. Received: 1 and 2",
        ),
        (
            lambda: metrics.get("accuracy"),
            ValueError,
            r"chosen by the model's output shape.*Received: output_shape=None",
        ),
        (
            lambda: metrics.get("acc", losses.get("mse"), (3,)),
            ValueError,
            r"name one instead.*loss=MeanSquaredError\(\)",
        ),
        (
            lambda: metrics.get(lambda t, p: "a")([1], [1]),
            TypeError,
            r"metric '<lambda>' returns a number or an array of them. Received: one of dtype <U1",
        ),
        (lambda: metrics.get(None), TypeError, r"a metric is given as.*Received: None"),
        (
            lambda: metrics.TopKCategoricalAccuracy(0),
            ValueError,
            r"`k` must be an integer of at least 1. Received: k=0",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------- each sample counts once, as in Keras

OF_SIZES = {  # metric, target's form: after images of 2 and of 5 pixels, without weights and with them, in Keras 3.15.1
    ("MeanSquaredError", "rows"): (0.2184, 0.1986),
    ("MeanAbsoluteError", "rows"): (0.3839, 0.3659),
    ("RootMeanSquaredError", "rows"): (0.4673, 0.4457),
    ("BinaryAccuracy", "rows"): (0.6792, 0.6899),
    ("CategoricalAccuracy", "rows"): (0.1667, 0.2381),
    ("SparseCategoricalAccuracy", "numbers"): (0.1667, 0.2381),
    ("SparseCategoricalCrossentropy", "numbers"): (1.6612, 1.4292),
    ("BinaryCrossentropy", "rows"): (0.6585, 0.5858),
    ("CosineSimilarity", "rows"): (0.4127, 0.4744),
    ("CategoricalHinge", "rows"): (1.1888, 1.1333),
}


@pytest.mark.parametrize(("name", "form"), OF_SIZES)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_large_image_counts_as_much_as_a_small_one(name, form, is_weighted):
    rng, metric = np.random.default_rng(2), getattr(metrics, name)()
    for pixels in (2, 5):
        outputs = rng.random((3, pixels, 4)).astype("float32")  # (N, pixels, C)
        outputs /= outputs.sum(-1, keepdims=True)
        numbers = rng.integers(0, 4, (3, pixels))  # (N, pixels)
        targets = np.eye(4, dtype="float32")[numbers] if form == "rows" else numbers
        metric.update_state(targets, outputs, sample_weight=np.array([1.0, 0.2, 3.0]) if is_weighted else None)
    assert metric.result() == pytest.approx(OF_SIZES[name, form][is_weighted], abs=6e-5)


def test_so_it_does_in_evaluate():
    rng, inputs = np.random.default_rng(3), mc.Input((None, None, 1))
    layer = mc.layers.Conv2D(1, 1, kernel_initializer="ones", activation="sigmoid")
    model = mc.Model(inputs, layer(inputs))

    def error(y_true, y_pred):
        return abs(y_true - y_pred)

    model.compile("sgd", "mse", metrics=["mae", "binary_accuracy", error])
    shapes = [(2, size, size, 1) for size in (2, 6, 3)]
    batches = [((rng.random(s) - 0.5).astype("float32"), (rng.random(s) > 0.3).astype("float32")) for s in shapes]
    found = model.evaluate((batch for batch in batches), verbose=0)
    errors = [np.abs(y - 1 / (1 + np.exp(-x.astype("float64")))).mean(axis=(1, 2, 3)) for x, y in batches]
    hits = [((x > 0) == (y > 0.5)).mean(axis=(1, 2, 3)) for x, y in batches]
    expected = [np.concatenate(errors).mean(), np.concatenate(hits).mean(), np.concatenate(errors).mean()]
    np.testing.assert_allclose(found[1:], expected, rtol=1e-6)


def test_without_weights_each_value_of_a_mean_counts():
    """Those in a row of their own with the mean of the row."""
    mean, rows = metrics.Mean(), metrics.Mean()
    for values in ([1.0, 2.0, 3.0], [5.0], 5.0):
        mean.update_state(values)
    rows.update_state([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]])
    rows.update_state([[9.0, 11.0]])
    assert (mean.result(), rows.result()) == (16 / 5, (3 + 4 + 10) / 3)


def test_a_single_weight_is_that_of_the_mean():
    """Numbers of Keras 3.15.1."""
    mean, total, error = metrics.Mean(), metrics.Sum(), metrics.MeanAbsoluteError()
    for each in (mean, total):
        each.update_state([1.0, 2.0, 3.0], sample_weight=2.0)
        each.update_state([5.0], sample_weight=1.0)
    error.update_state([[1.0], [2.0]], [[2.0], [4.0]], sample_weight=3.0)
    error.update_state([[1.0]], [[5.0]])
    assert (mean.result(), total.result(), error.result()) == (3.0, 17.0, 2.125)
    mixed = metrics.Mean()
    mixed.update_state([[1.0, 2.0], [3.0, 4.0]], sample_weight=0.5)
    mixed.update_state([[9.0, 9.0]], sample_weight=[1.0])
    assert mixed.result() == pytest.approx(10.25 / 1.5)
