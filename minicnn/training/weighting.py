"""Weights of samples and pixels in losses and metrics."""

from __future__ import annotations

import numpy as np

from minicnn.metrics import Metric


def by_row(
    prediction: np.ndarray, target: np.ndarray, weight: np.ndarray, gradient: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Each row of the last axis as a sample of its own: a loss is the mean of theirs, so that it stays the same.

    Parameters
    ----------
    prediction : array (N, …, C)
    target : array (N, …) or (N, …, C)
    weight : array (N, …)
    gradient : array like `prediction`, or None

    Returns
    -------
    tuple
        The same with a single axis in place of (N, …); `gradient` in the same memory.
    """
    rows, axes = weight.size, weight.ndim
    return (
        prediction.reshape(rows, *prediction.shape[axes:]),
        target.reshape(rows, *target.shape[axes:]),
        weight.reshape(rows),
        None if gradient is None else gradient.reshape(rows, *gradient.shape[axes:]),
    )


class Weighted:
    """A metric in which samples count by their weights.

    Parameters
    ----------
    metric : Metric
        A mean, of which `measure` gives sum and number.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def __getattr__(self, name):
        if name == "_metric":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._metric, name)

    def __repr__(self) -> str:
        return f"Weighted({self._metric!r})"


def update(metric: Metric | Weighted, target: np.ndarray, output: np.ndarray, weight: np.ndarray | None) -> None:
    """Take a batch into account; `weight`, (N,) or (N, …) like rows of the output, counts where it should.

    Parameters
    ----------
    metric : Metric or Weighted
    target, output, weight : array
    """
    metric, weight = (metric._metric, weight) if isinstance(metric, Weighted) else (metric, None)
    if weight is None:
        metric.update_state(target, output)
        return
    metric.update_state(target, output, weight)


def is_own_mean(metric: Metric | Weighted) -> bool:
    """Whether a metric is an unweighted mean of the library's, whose sum can add up on a device."""
    cls = type(metric)
    if isinstance(metric, Weighted) or not cls.__module__.startswith("minicnn."):
        return False
    return cls.update_state is Metric.update_state and cls.result is Metric.result and metric.on_device
