"""Metrics that go on from what stands before the model's final softmax or sigmoid, as Keras's do on TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import metrics
from minicnn.data.elements import lent
from minicnn.last_function import FUNCTIONS, Last, note
from minicnn.metrics import Metric
from minicnn.own_parts import is_of_package

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork


def is_own_function(metric: Any) -> bool:
    """Whether a user has written what the metric, which may be weighted, does with targets."""
    metric = getattr(metric, "_metric", metric)
    return isinstance(metric, metrics.MeanMetricWrapper) or not is_of_package(type(metric).update_state)


def functions_measured(model: CompilableNetwork) -> Sequence[Collection[str]]:
    """For each output: the final activations that its metrics look behind; see `minicnn.plan.plan.Plan`."""
    told = zip(model.compiled.metrics, model.compiled.weighted_metrics, strict=True)
    return [set(chain.from_iterable(_looked_behind_by(entry) for entry in chain(*entries))) for entries in told]


def _looked_behind_by(entry):
    """The names for what `compile` was told; 'accuracy', which goes by shapes, looks behind nothing."""
    is_accuracy = isinstance(entry, str) and entry.lower() in ("accuracy", "acc")
    return () if is_accuracy else _looked_behind(metrics.get(entry))


def _looked_behind(metric: Metric) -> Collection[str]:
    if is_own_function(metric):
        return FUNCTIONS  # which of them, the cross-entropies know that it may call
    loss = getattr(metric, "computed_by", None)
    is_plain = loss is not None and getattr(loss, "ignore_class", None) is None
    return loss.takes_logits_of if is_plain else ()


def seen_by(
    metric: Metric, output: np.ndarray, measured: tuple[Last, np.ndarray] | None
) -> AbstractContextManager[np.ndarray]:
    """Inside, what a metric is to be given for an output.

    Parameters
    ----------
    metric : Metric
    output : array
    measured : (Last, array) or None
        The final activation, and what that was given.
    """
    if measured is None or measured[0].name not in _looked_behind(metric):
        return nullcontext(output)
    last, z = measured
    if is_own_function(metric):
        return nullcontext(note(lent(output), last, np.array(z)))  # which are the next batch's soon
    return _of_logits(metric, last, z)


@contextmanager
def _of_logits(metric, last, z) -> Iterator[np.ndarray]:
    """Inside, a metric of a loss takes the values before the function."""
    loss = metric.computed_by
    metric.computed_by = copy(loss)
    vars(metric.computed_by)["from_logits"] = last  # a loss may ask which function it was
    try:
        yield z
    finally:
        metric.computed_by = loss
