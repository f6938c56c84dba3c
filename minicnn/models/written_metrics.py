"""Metrics and files: what a file holds of those that a model was compiled with; functions it cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from minicnn import metrics
from minicnn.named_functions import function_beside, function_named
from minicnn.registry import to_plain
from minicnn.saving.keras.compiled import is_known
from minicnn.saving.keras.compiled_functions import METRIC, function_entry
from minicnn.user_warnings import warn_user


def plain_metrics(wanted: Iterable[Any]) -> Iterator[Any]:
    """Metrics as a file holds them: functions by their names, but for those that have none of their own."""
    for entry in wanted:
        metric = entry if isinstance(entry, str) else metrics.get(entry)
        if not isinstance(metric, metrics.MeanMetricWrapper):
            yield metric if isinstance(metric, str) else to_plain(metric)
        elif _is_by_name(metric):
            yield function_entry(METRIC, metric.name) if is_known(metric.name) else metric.name
        else:
            warn_user(
                f"metric '{metric.name}' is a function, which no file can hold: it is left out. After load_model, "
                "compile the model with it again"
            )


def _is_by_name(metric):
    """Whether a function's name says all: it is the metric's, and there are no arguments."""
    name = getattr(metric.fn, "__name__", "")
    return metric.name == name and name.isidentifier() and not metric.arguments


def _is_of_function(entry):
    """Whether a file means a function; others, such as wrappers without any, are refused as metrics are."""
    config = entry.get("config") if isinstance(entry, dict) and entry.get("class_name") == METRIC else None
    return isinstance(config, dict) and isinstance(config.get("fn"), str)


def metrics_from(wanted: Iterable[Any]) -> Iterator[Any]:
    """What `plain_metrics` wrote; functions that ``custom_objects=`` does not have are left out."""
    for entry in wanted:
        is_function = _is_of_function(entry)
        name = entry["config"]["fn"] if is_function else entry if isinstance(entry, str) else ""
        own = (function_named if is_function else function_beside)(name)
        shown = entry["config"].get("name", name) if is_function else name
        if own is not None:
            yield own if shown == name else metrics.MeanMetricWrapper(own, shown)
        elif is_function or (name and not is_known(name)):
            warn_user(
                f"metric '{name}' is a function, which no file can hold: it is left out. "
                f"load_model(…, custom_objects={{'{name}': {name}}}) has it"
            )
        else:
            yield entry if isinstance(entry, str) else metrics.get(entry)
