"""``tf.metrics``: `minicnn.keras.metrics`, and the functions of TensorFlow 1 that count on from batch to batch.

``tf.metrics.auc(labels, predictions)`` gives ``(value, update)`` there. In a function that `compile` is given as a
metric, each of its calls has a count of its own, which goes on through epochs and validations, as it did then; value
and update are the same number, that with the batch of the call, but for `mean_iou`, whose update is the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import update_wrapper
from inspect import unwrap
from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.held import holding
from minicnn.keras import metrics as _today
from minicnn.keras._called import is_trial
from minicnn.keras._warning import warn_once
from minicnn.keras.tensorflow._functions import as_tensor

__all__ = ["counting"]


class _Counts:
    """The counts of one metric of a model, in the order in which its function asks for them."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []
        self.position = 0

    def next(self, make: Callable[[], Any]) -> Any:
        """The count of the call that is next."""
        if self.position == len(self.metrics):
            self.metrics.append(make())
        self.position += 1
        return self.metrics[self.position - 1]


_counts: ContextVar[_Counts | None] = ContextVar("_counts", default=None)


class _Counting:
    """A function that is a metric, with its counts, of which a copy of a model has its own."""

    def __init__(self, metric: Callable[[Any, Any], Any]) -> None:
        update_wrapper(self, metric)
        self._counts = _Counts()

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        self._counts.position = 0
        with holding(_counts, self._counts):
            return self.__wrapped__(y_true, y_pred)  # type: ignore[attr-defined]


def counting(metric: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The function of a metric, whose calls of TensorFlow 1's metrics count on; another function as it is."""
    names = set(unwrap(metric).__code__.co_names)
    return _Counting(metric) if "metrics" in names and names & _FUNCTIONS.keys() else metric


def _counted(name, make, values):
    """The numbers (value, update) of a function of TensorFlow 1 after these values."""
    counts = _counts.get()
    if counts is None:
        warn_once(
            f"tf.metrics.{name} counts on from batch to batch in a function that compile is given as a metric, which "
            "calls it itself; elsewhere it goes by the numbers of this call alone: keras.metrics has classes that count"
        )
    metric = make() if counts is None or is_trial.get() else counts.next(make)
    metric.update_state(*values)
    result = as_tensor(np.float32(metric.result()))
    return (result, as_tensor(np.float32(metric.variables[0]))) if name == "mean_iou" else (result, result)


def _flat(values, dtype):
    return np.asarray(value_of(values)).astype(dtype).reshape(-1)


def _of_pairs(name, make, label, prediction):
    """A function of labels and predictions, which are cast as TensorFlow casts them."""

    def function(labels: Any, predictions: Any, weights: Any = None, *args: Any, **options: Any) -> Any:
        for unused in ("metrics_collections", "updates_collections", "name"):
            options.pop(unused, None)
        weights = None if weights is None else _flat(np.broadcast_to(value_of(weights), np.shape(labels)), "float32")
        values = (_flat(labels, label), _flat(predictions, prediction), weights)
        return _counted(name, lambda: make(*args, **options), values)

    function.__name__ = name
    function.__doc__ = f"(value, update) of {make.__name__} as TensorFlow 1 counts it."
    return function


def _auc(num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "trapezoidal") -> Any:
    if curve == "PR" and summation_method == "trapezoidal":
        raise ValueError(
            "the area under a curve of precision and recall is interpolated here, and not made of trapezoids: "
            "tf.metrics.auc(…, curve='PR', summation_method='careful_interpolation'), or keras.metrics.AUC(curve='PR')"
        )
    return _today.AUC(num_thresholds, curve)


def _of_yes(make):
    """Of a class that counts predictions above a threshold: what is not 0 is a yes in TensorFlow 1."""

    def made() -> Any:
        return make(thresholds=0.5)

    made.__name__ = make.__name__
    return made


def mean_iou(labels: Any, predictions: Any, num_classes: int, weights: Any = None, **options: Any) -> Any:
    """(value, update) of the mean intersection over union of class numbers, as TensorFlow 1 counts it."""
    weights = None if weights is None else _flat(np.broadcast_to(value_of(weights), np.shape(labels)), "float32")
    values = (_flat(labels, "int64"), _flat(predictions, "int64"), weights)
    return _counted("mean_iou", lambda: _today.MeanIoU(num_classes, dtype="float32"), values)


def mean(values: Any, weights: Any = None, **options: Any) -> Any:
    """(value, update) of the mean, as TensorFlow 1 counts it."""
    weights = None if weights is None else _flat(np.broadcast_to(value_of(weights), np.shape(values)), "float32")
    return _counted("mean", _today.Mean, (_flat(values, "float32"), weights))


_YES = ("Precision", "Recall", "TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives")
_OF_YES = {
    "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"): _of_yes(getattr(_today, name))
    for name in _YES
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "auc": _of_pairs("auc", _auc, bool, "float32"),
    "accuracy": _of_pairs("accuracy", _today.Accuracy, "float32", "float32"),
    **{name: _of_pairs(name, make, bool, bool) for name, make in _OF_YES.items()},
    "mean_iou": mean_iou,
    "mean": mean,
}
globals().update(_FUNCTIONS)


def __getattr__(name: str) -> Any:
    return getattr(_today, name)


def __dir__() -> list[str]:
    return sorted({*dir(_today), *_FUNCTIONS})
