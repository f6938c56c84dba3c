"""Metrics that `compile` was given as objects: what counts, counts in their attributes, as in Keras."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from minicnn.metrics import Metric

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork
    from minicnn.training.progress import Progress

_counting: WeakValueDictionary[int, Metric] = WeakValueDictionary()
"""id of what `compile` was given → the twin that has its attributes."""


def have_counted(model: CompilableNetwork) -> bool:
    """Whether a model's metrics have counted anything since `compile`, or since they were told to forget it."""
    state = vars(model)
    last = state.get("_last_totals")
    if last is not None and last.samples:
        state["_has_counted"] = True
    return bool(state.get("_has_counted") if last is None else last.samples)  # None: by hand since


def begin(metric: Metric, told: Metric | None, forgets: bool) -> None:
    """Have a metric forget all batches.

    Parameters
    ----------
    metric : Metric
    told : Metric or None
        What `compile` was given, where `metric` is a twin of it: they share their attributes from now on. A twin that
        did so before, of a pass over data that this one begins inside of, goes on with a copy of them.
    forgets : bool
        Whether `told` forgets what it has, too. Before the first pass after a `compile` it does not, as in Keras: its
        variables may begin with other values than those to which `reset_state` sets them.
    """
    if told is not None and vars(metric) is not vars(told):
        before = _counting.get(id(told))
        if before is not None and vars(before) is vars(told):
            _share(before, copy.deepcopy(told))
        _share(metric, told)
        _counting[id(told)] = metric
    if told is None or forgets:
        metric.reset_state()


def forget(progress: Progress) -> None:
    """Have metrics forget the last pass over data where an epoch begins, before `on_epoch_begin`, as in Keras.

    Parameters
    ----------
    progress : Progress
        In the middle of an epoch, where another `fit` was, they go on.
    """
    last = vars(progress.model).get("_last_totals") if progress.totals is None else progress.totals
    if last is not None and progress.batch == 0:
        last.reset()


def _share(metric, other):
    """Have two metrics the attributes of one, whatever a user's `__setattr__` does."""
    object.__setattr__(metric, "__dict__", vars(other))
