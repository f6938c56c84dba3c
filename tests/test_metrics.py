"""Metrics against counts by hand, over several batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import losses, metrics


def run(metric, targets, predictions, cut):
    """The metric's result over two batches."""
    metric.update(targets[:cut], predictions[:cut])
    metric.update(targets[cut:], predictions[cut:])
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
    metric.update(np.array([1]), np.array([[0.0, 1.0]]))
    assert metric.result() == 1.0
    assert isinstance(metric.result(), float)
    metric.reset()
    assert metric.result() == 0.0


def test_a_broken_score_is_no_hit():
    metric = metrics.SparseTopKCategoricalAccuracy(2)
    metric.update(np.array([0]), np.array([[np.nan, 1.0, 2.0]]))
    assert metric.result() == 0.0


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
    again = metrics.get({"class_name": "BinaryAccuracy", "config": mine.get_config()})
    assert repr(again) == repr(mine) == "BinaryAccuracy(name='mine', threshold=0.3)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.get("acuracy"), ValueError, r"Did you mean .*'[A-Za-z]*Accuracy'.*Received: 'acuracy'"),
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
            lambda: metrics.get(lambda t, p: 0),
            TypeError,
            r"a metric is given as.*write a subclass of Metric.*Received: <fun",
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
