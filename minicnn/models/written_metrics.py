"""Metrics and files: what a file holds of those that a model was compiled with; functions it cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from minicnn import metrics
from minicnn.named_functions import function_beside, function_named
from minicnn.own_parts import is_of_package
from minicnn.registry import to_plain
from minicnn.saving.keras.compiled import is_known
from minicnn.saving.keras.compiled_functions import METRIC, function_entry, library_function, wrapper_entry
from minicnn.user_warnings import warn_user


def plain_metrics(wanted: Iterable[Any]) -> Iterator[Any]:
    """Metrics as a file holds them: functions by their names, but for those that have none of their own."""
    for entry in wanted:
        metric = entry if isinstance(entry, str) else metrics.get(entry)
        if not isinstance(metric, metrics.MeanMetricWrapper):
            yield metric if isinstance(metric, str) else to_plain(metric)
        elif _is_by_name(metric):
            yield function_entry(METRIC, metric.name) if is_known(metric.name) else metric.name
        elif entry := wrapper_entry(metric):
            yield entry
        else:
            warn_user(
                f"metric '{metric.name}' is a function, which no file can hold: it is left out. After load_model, "
                "compile the model with it again"
            )


def _is_by_name(metric):
    """Whether a name says all: it is the metric's and the user's function's, and there are no arguments."""
    name = getattr(metric.fn, "__name__", "")
    is_own = not is_of_package(metric.fn)
    return is_own and metric.name == name and name.isidentifier() and not metric.arguments


def _function_in(entry):
    """What a file means by a function, its name or Keras's object; None of others, such as wrappers without any."""
    config = entry.get("config") if isinstance(entry, dict) and entry.get("class_name") == METRIC else None
    fn = config.get("fn") if isinstance(config, dict) else None
    is_object = isinstance(fn, dict) and isinstance(fn.get("config"), str)
    return fn if is_object or isinstance(fn, str) else None


def metrics_from(wanted: Iterable[Any]) -> Iterator[Any]:
    """What `plain_metrics` wrote; functions that ``custom_objects=`` does not have are left out."""
    for entry in wanted:
        fn = _function_in(entry)
        is_librarys = isinstance(fn, dict)
        name = fn["config"] if is_librarys else fn or (entry if isinstance(entry, str) else "")
        own = (library_function if is_librarys else function_beside if fn is None else function_named)(name)
        config = {"name": name} if fn is None else {k: v for k, v in entry["config"].items() if k != "fn"}
        if own is not None:
            is_plain = not is_librarys and config in ({}, {"name": name})
            yield own if is_plain else metrics.MeanMetricWrapper(own, **config)
        elif fn is not None or (name and not is_known(name)):
            warn_user(
                f"metric '{name}' is a function, which no file can hold: it is left out. "
                f"load_model(…, custom_objects={{'{name}': {name}}}) has it"
            )
        else:
            yield entry if isinstance(entry, str) else metrics.get(entry)
