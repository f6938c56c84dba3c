"""Functions as losses and metrics: files hold their names, which may also be names of the library."""

import json
from typing import Any

from minicnn import library_names, losses, metrics, own_parts
from minicnn.hints import Config
from minicnn.losses.functions import ArrayFunction
from minicnn.named_functions import function_beside, function_named
from minicnn.registry import custom_object
from minicnn.saving.keras.names import REGISTERED, class_name_of, keras_object

LOSS, METRIC = "FunctionLoss", "MeanMetricWrapper"  # minicnn's classes of them
_CLASSES_ALONE = ("Accuracy", "RootMeanSquaredError")  # metrics of samples' values that are no functions of Keras's
_WRAPPERS = ("LossFunctionWrapper", METRIC)  # Keras's


def function_from_keras(kind: str, value: Any) -> Config | None:
    """minicnn's entry of a user's function; None if `value` is something else.

    Parameters
    ----------
    kind : {"FunctionLoss", "MeanMetricWrapper"}
        What it is.
    value : str or dict
        Keras 3 has ``{"module": "builtins", "class_name": "function", "config": name}``, Keras 2 an object whose ``fn``
        it is; of .h5 files a name may be all.
    """
    shown = {}
    if isinstance(value, dict) and class_name_of(value).rpartition(">")[2] in _WRAPPERS:
        config = value.get("config")
        value = config.get("fn") if isinstance(config, dict) else None
        shown = _said_beside(kind, config) if isinstance(value, str | dict) else {}
    is_function = isinstance(value, dict) and class_name_of(value) == "function"
    name = value.get("config") if is_function else value
    if not isinstance(name, str):
        return None
    is_registered = is_function and ">" in f"{name} {value.get('registered_name')}"
    is_users = is_registered or (is_function and value.get("module") == "builtins" and not _is_of_keras(kind, name))
    name = _as_given(name)
    is_wrapped = kind == METRIC and is_function and bool(shown)
    if is_wrapped and not is_registered and library_function(name) is not None:
        is_users = False
    if is_users or function_beside(name) is not None:
        return function_entry(kind, name, **shown)
    return {"class_name": METRIC, "config": {"fn": _as_function(name)} | shown} if is_wrapped else None


def _said_beside(kind, config):
    """What a wrapper's config has beside its function that counts here: its name, and a metric's arguments."""
    if kind == METRIC:
        return {key: value for key, value in config.items() if key not in ("fn", "dtype")}
    return {"name": config["name"]} if "name" in config else {}


def _as_function(name):
    return keras_object("builtins", "function", name) | {"registered_name": "function"}


def wrapper_entry(metric: metrics.MeanMetricWrapper) -> Config | None:
    """minicnn's entry of a function under another name than its own, or with arguments; None where files cannot say it.

    The library's functions are in Keras's form there, so that none of the user's is meant.

    Parameters
    ----------
    metric : MeanMetricWrapper
    """
    name = getattr(metric.fn, "__name__", "")
    config = {"name": metric.name, **metric.arguments}
    try:
        json.dumps(config)
    except (TypeError, ValueError):
        return None
    if own_parts.is_of_package(metric.fn) and library_function(name) is not None:
        return {"class_name": METRIC, "config": {"fn": _as_function(name)} | config}
    return {"class_name": METRIC, "config": {"fn": name} | config} if name.isidentifier() else None


def library_function(name: str) -> ArrayFunction | None:
    """The loss or metric of that name as a function of arrays; None if there is none.

    Parameters
    ----------
    name : str
    """
    found = (getattr(module, name, None) for module in (losses, metrics))
    return next((each for each in found if isinstance(each, ArrayFunction)), None)


def _as_given(name):
    """The name alone of "package>name", if ``custom_objects`` has only that, and of nothing that is registered."""
    bare = name.rpartition(">")[2]
    given = custom_object(bare)
    is_given = given is not None and all(given is not each for each in own_parts.REGISTERED.values())
    return bare if is_given and function_named(name) is None else name


def _is_of_keras(kind, name):
    """Whether Keras has a function of that name, which stands for that of a user who has not given it."""
    registry, base = (losses.base.registry, None) if kind == LOSS else (metrics.registry, metrics.Metric)
    try:
        found = registry.lookup(name)
    except ValueError:
        return False
    if base is None:
        return True
    return found.values is not base.values and found.__name__ not in _CLASSES_ALONE  # as Precision, IoU and their like


def function_entry(kind: str, fn: str, **config: Any) -> Config:
    """minicnn's entry of a user's function; `config` may have the `name` that it is shown under."""
    return {"class_name": kind, "config": {"fn": fn} | config}


def function_to_keras(entry: Any) -> Config | None:
    """Keras 3's form of minicnn's entry of a user's function; None of others, and where that form cannot say all.

    Parameters
    ----------
    entry : str or dict
        As files of minicnn have a loss or a metric.
    """
    if not isinstance(entry, dict) or entry["class_name"] not in (LOSS, METRIC):
        return None
    name, others = entry["config"]["fn"], entry["config"].keys() - {"fn", "name"}
    if isinstance(name, dict):  # the library's
        return keras_object("keras.metrics", METRIC, entry["config"])
    if entry["class_name"] == METRIC and (others or entry["config"].get("name", name) != name):
        function = function_to_keras(function_entry(METRIC, name))
        return keras_object("keras.metrics", METRIC, entry["config"] | {"fn": function})
    if entry["config"].get("name", name) != name or entry["config"].get("reduction", _MEAN) != _MEAN:
        return None
    registered = REGISTERED.get(name, name)
    if registered != name and library_names.is_taken(name):  # alone, Keras takes it for its own
        return _as_function(registered)
    return keras_object("builtins", "function", name) | {"registered_name": registered}


_MEAN = "sum_over_batch_size"
