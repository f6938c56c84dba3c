"""What users' metrics get as targets, and what is said where they fail; numbers and shapes of Keras 3.15.1."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops
from minicnn.keras import tensorflow as tf

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5)).astype("float32")
PICTURES = RANDOM.normal(size=(6, 4, 4, 2)).astype("float32")
CLASSES = np.array([[2], [0], [1], [1], [0], [2]])
MASKS = RANDOM.integers(0, 3, (6, 4, 4, 1))


class Sums(keras.metrics.Metric):
    """The sum of the class numbers, which takes them as columns."""

    def __init__(self):
        super().__init__(name="sums")
        self.total = self.add_weight(name="total", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(ops.sum(ops.cast(y_true, "float32")[..., 0]))

    def result(self):
        return self.total


def network(shape, make):
    start = keras.Input(shape)
    return keras.Model(start, make(start))


def dense():
    return network((5,), layers.Dense(3, activation="softmax", kernel_initializer="ones"))


@pytest.mark.parametrize("way", ["fit", "evaluate", "train_on_batch", "dataset", "weighted"])
@pytest.mark.parametrize("make", ["dense", "conv"])
def test_class_numbers_in_a_column_stay_a_column(way, make):
    model = dense() if make == "dense" else network((4, 4, 2), layers.Conv2D(3, 1, activation="softmax"))
    x, y = (X, CLASSES) if make == "dense" else (PICTURES, MASKS)
    seen = set()

    def shapes(y_true, y_pred):
        seen.add((y_true.shape[1:], y_pred.shape[1:]))
        return ops.mean(y_pred, axis=-1)

    own = {"weighted_metrics" if way == "weighted" else "metrics": [shapes, Sums()]}
    model.compile("sgd", "sparse_categorical_crossentropy", **own)
    if way == "train_on_batch":
        found = model.train_on_batch(x, y)
    elif way == "evaluate":
        found = model.evaluate(x, y, batch_size=4, verbose=0)
    else:
        data = (tf.data.Dataset.from_tensor_slices((x, y)).batch(4),) if way == "dataset" else (x, y)
        history = model.fit(*data, verbose=0, validation_data=(x, y)).history
        found = [None, None, history["sums"][0]]
        assert history["val_sums"] == [y.sum()]
    assert seen == {(y.shape[1:], (*y.shape[1:-1], 3))}
    assert found[2] == y.sum()


def test_class_numbers_without_a_column_have_none():
    seen = []
    model = dense()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[lambda t, p: seen.append(t.shape) or 0.0])
    model.evaluate(X, CLASSES[:, 0], verbose=0)
    assert set(seen) == {(6,)}


def test_a_comparison_that_is_broadcast_is_keras_too():
    def agrees(y_true, y_pred):
        return ops.cast(ops.equal(ops.cast(y_true, "int64"), ops.cast(ops.argmax(y_pred, axis=-1), "int64")), "float32")

    model = dense()
    model.set_weights([np.eye(5, 3, dtype="float32"), np.zeros(3, "float32")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", agrees])
    best = X[:, :3].argmax(axis=1)  # (6,)
    _, accuracy, agreement = model.evaluate(X, CLASSES, verbose=0)
    np.testing.assert_allclose(agreement, np.mean(best[None, :] == CLASSES), rtol=1e-6)  # of (6, 6)
    np.testing.assert_allclose(accuracy, np.mean(CLASSES[:, 0] == best), rtol=1e-6)


def test_what_fails_in_a_metric_begins_with_its_name():
    def crooked(y_true, y_pred):
        return y_true[:, 5] - y_pred[:, 0]

    class Torn(Sums):
        def result(self):
            raise ValueError("no result")

    model = dense()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", crooked])
    with pytest.raises(IndexError, match=r"^metric 'crooked', of targets \(6, 1\) and outputs \(6, 3\): index 5 is"):
        model.fit(X, CLASSES, verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Torn()])
    with pytest.raises(ValueError, match=r"^metric 'sums': no result$"):
        model.evaluate(X, CLASSES, verbose=0)

    class Stepwise(keras.Model):
        def test_step(self, data):
            return self.compute_metrics(data[0], data[1], self(data[0]))

    start = keras.Input((5,))
    model = Stepwise(start, layers.Dense(3, activation="softmax")(start))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[crooked])
    with pytest.raises(IndexError, match=r"^metric 'crooked', of targets \(6, 1\)"):
        model.evaluate(X, CLASSES, verbose=0)


@pytest.mark.parametrize("how", ["arrays", "generators", "datasets", "on_batch"])
@pytest.mark.parametrize("in_training", [True, False])
def test_each_data_has_the_form_that_it_was_given(how, in_training):
    seen, model = [], dense()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[lambda t, p: seen.append(t.shape[1:]) or 0.0])
    columns, rows = (CLASSES, CLASSES[:, 0]) if in_training else (CLASSES[:, 0], CLASSES)
    if how == "arrays":
        model.fit(X, columns, batch_size=3, epochs=2, validation_data=(X, rows), validation_batch_size=6, verbose=0)
    elif how == "generators":
        data, other = (iter([(X, y)] * 6) for y in (columns, rows))
        model.fit(data, steps_per_epoch=2, epochs=2, validation_data=other, validation_steps=1, verbose=0)
    elif how == "datasets":
        data, other = (tf.data.Dataset.from_tensor_slices((X, y)) for y in (columns, rows))
        model.fit(data.batch(3).prefetch(2), epochs=2, validation_data=other.batch(6), verbose=0)
    else:
        for y in (columns, columns, rows) * 2:
            model.train_on_batch(X, y)
    form, other = ((1,), ()) if in_training else ((), (1,))
    assert seen == [form, form, other] * 2


def test_a_part_held_back_has_the_form_of_the_whole():
    seen, model = [], dense()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[lambda t, p: seen.append(t.shape) or 0.0])
    model.fit(X, CLASSES, validation_split=0.5, verbose=0)
    assert seen == [(3, 1), (3, 1)]


@pytest.mark.parametrize("name", ["SparseCategoricalAccuracy", "CategoricalAccuracy"])
def test_nan_is_not_the_largest_output(name):
    """As of the correlations that NNCLR measures, in which features of a dead unit are NaN; TensorFlow gives 0.75."""
    outputs = np.array([[np.nan, 2, 1], [0, np.nan, 1], [np.nan] * 3, [3, np.nan, 4]], "float32")
    targets = np.array([1, 0, 0, 2])
    accuracy = getattr(keras.metrics, name)()
    accuracy.update_state(targets if name.startswith("Sparse") else np.eye(3)[targets], outputs)
    assert float(accuracy.result()) == 0.75


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist])
def test_nan_is_not_the_largest_output_of_the_functions_either(form):
    """TensorFlow's numbers of each row."""
    outputs = form(np.array([[np.nan, 0.2, 0.8], [0.1, 0.7, 0.2], [np.nan] * 3, [0.2, np.nan, 0.1]], "float32"))
    numbers = np.array([0, 1, 0, 2])
    for metric in (keras.metrics.categorical_accuracy, keras.metrics.sparse_categorical_accuracy):
        targets = np.eye(3)[numbers] if metric is keras.metrics.categorical_accuracy else numbers
        np.testing.assert_array_equal(np.asarray(metric(targets, outputs)), [0, 1, 1, 0])
