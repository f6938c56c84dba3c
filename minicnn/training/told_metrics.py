"""Metrics that `compile` was given as objects: they show what a copy of each counts, as in Keras."""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

from minicnn.metrics import Metric

_told: WeakKeyDictionary[Metric, Metric] = WeakKeyDictionary()
"""The copy of a metric → what `compile` was given."""


def copied(metric: Metric, entry: object) -> Metric:
    """A copy, which a pass over data has for itself, since one may begin inside another.

    Parameters
    ----------
    metric : Metric
    entry : object
        What `compile` was given for it: the metric itself, or a name, a class, a function.
    """
    made = copy.deepcopy(metric)
    if metric is entry:
        _told[made] = metric
    return made


def begin(metric: Metric) -> None:
    """Have a copy forget all batches; from now on the metric of `compile` has what this copy has."""
    metric.reset_state()
    if metric in _told:
        _told[metric].__dict__ = metric.__dict__
