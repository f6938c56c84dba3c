"""Weights of samples and pixels in losses and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
    if weight.ndim > 1:
        output, target, weight, _ = by_row(output, target, weight, None)
    for value in np.unique(weight):
        which = weight == value
        total, count = metric.measure(target[which], output[which])
        metric._sum = metric._sum + value * total
        metric._count = metric._count + value * count


def is_own_mean(metric: Metric | Weighted) -> bool:
    """Whether a metric is one of the library's, unweighted: a device adds up what its `measure` returns."""
    return not isinstance(metric, Weighted) and type(metric).__module__.startswith("minicnn.")
