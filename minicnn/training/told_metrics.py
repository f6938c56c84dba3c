"""Metrics that `compile` was given as objects: what counts, counts in their attributes, as in Keras."""

from __future__ import annotations

import copy
from weakref import WeakValueDictionary

from minicnn.metrics import Metric

_counting: WeakValueDictionary[int, Metric] = WeakValueDictionary()
"""id of what `compile` was given → the twin that has its attributes."""


def begin(metric: Metric, told: Metric | None) -> None:
    """Have a metric forget all batches.

    Parameters
    ----------
    metric : Metric
    told : Metric or None
        What `compile` was given, where `metric` is a twin of it: they share their attributes from now on. A twin that
        did so before, of a pass over data that this one begins inside of, goes on with a copy of them.
    """
    if told is not None and vars(metric) is not vars(told):
        before = _counting.get(id(told))
        if before is not None and vars(before) is vars(told):
            _share(before, copy.deepcopy(told))
        _share(metric, told)
        _counting[id(told)] = metric
    metric.reset_state()


def _share(metric, other):
    """Have two metrics the attributes of one, whatever a user's `__setattr__` does."""
    object.__setattr__(metric, "__dict__", vars(other))
