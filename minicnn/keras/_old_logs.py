"""Logs in which 'acc' finds 'accuracy', as the metric was called before Keras 2.3, and the reverse; so of others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import wraps
from inspect import signature
from types import MappingProxyType
from typing import Any

from minicnn.keras._warning import warn_once
from minicnn.layers.names import snake_case
from minicnn.training.device_totals import LogsWhenRead

# Before Keras 2.3, metrics=["accuracy"] was in the logs as "acc", and metrics=["mae"] as "mean_absolute_error".
_NAMES = {
    "acc": "accuracy",
    "lr": "learning_rate",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
}
_PAIRS = [*_NAMES.items(), *((long, short) for short, long in _NAMES.items())]


def other_name(name: str, known: Collection[str]) -> str | None:
    """The name in `known` that another age of Keras has for `name`, with "val_" and an output's name in front as there.

    Parameters
    ----------
    name : str
    known : collection of str
        Names in logs: of a function, as Keras 2 took it; Keras 3 calls one that is called ``PSNR`` psnr.
    """
    for own, other in _PAIRS:
        if name == own or name.endswith(f"_{own}"):
            found = f"{name.removesuffix(own)}{other}"
            if found in known:
                return found
    start = "val_" if name.startswith("val_") else ""
    as_function = (k for k in known if k.startswith(start) and start + snake_case(k.removeprefix(start)) == name)
    return next(as_function, None) or _without_number(name, known)


def _without_number(name: str, known: Collection[str]) -> str | None:
    """The one metric of that kind, "auc", for "auc_2": Keras counts metrics through a session, over all models."""
    kind, _, number = name.rpartition("_")
    if not number.isdecimal() or kind not in known or kind.endswith("loss"):
        return None
    others = (k for k in known if k.rpartition("_")[0] == kind and k.rpartition("_")[2].isdecimal())
    return kind if next(others, None) is None else None  # of two such metrics either could be meant


class OldLogs(dict[str, Any]):
    """A dict, whose values are found under both names of a metric.

    Attributes
    ----------
    batch : dict
        The "batch" and "size" that Keras 1 and 2 had in logs of batches: they are found, and not listed.
    """

    batch: Mapping[str, Any] = MappingProxyType({})

    def __missing__(self, name: str) -> Any:
        if name in self.batch:
            return self.batch[name]
        other = other_name(name, self)
        if other is None:
            advice = "; fit(validation_data=…) or validation_split= gives those of validation" * name.startswith("val_")
            advice += "; compile(metrics=['accuracy']) measures it" * (name in ("acc", "accuracy"))
            raise KeyError(f"the logs hold {', '.join(map(repr, self)) or 'nothing'}{advice}. Received: {name!r}")
        warn_once(f"history[{name!r}]: it is called {other!r} there, as the metric was in compile()")
        return self[other]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and other_name(name, list(self)) is not None)

    def get(self, name: str, default: Any = None) -> Any:
        """The value; `default` where there is none under either name."""
        try:
            return self[name]
        except KeyError:
            return default


def _batch_of(callback: Any = None, number: Any = None, *_: Any) -> dict[str, Any]:
    """The number of a batch, and its size unless a generator makes it, as Keras 1 and 2 told them to a callback."""
    params = getattr(callback, "params", None) or {}
    samples, size = params.get("samples"), params.get("batch_size")
    if not isinstance(number, int):
        return {}
    sizes = {} if samples is None or size is None else {"size": max(min(size, samples - number * size), 0)}
    return {"batch": number} | sizes


class _OldLogsWhenRead(LogsWhenRead):
    """Logs of a GPU, whose values are found under both names of a metric once they are read."""

    def __missing__(self, name: str) -> Any:
        return self.data[name]

    def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        """The value; `default` where there is none under either name."""
        return self.data.get(name, default)


def _as_there(logs, hook, callback):
    """What Keras 3 gives that method: of batches and tests in the order of names, outputs in the model's form."""
    if hook != "on_test_end" and not hook.endswith("batch_end"):
        return logs
    outputs, model = logs.get("outputs"), getattr(callback, "model", None)
    is_flat = isinstance(outputs, list) and not any(isinstance(part, list | tuple | dict) for part in outputs)
    if is_flat and getattr(model, "graph", None) is not None:  # else a callback before has them in that form
        found = model.outputs_in_form(outputs)
        logs = {**logs, "outputs": found} if not isinstance(found, dict) else found  # whose names it has there
    return dict(sorted(logs.items()))


def with_old_names(function: Callable[..., Any], hook: str, callback: Any = None) -> Callable[..., Any]:
    """A method of a callback, or a function that is one, whose logs know both names; what it writes there stays.

    Parameters
    ----------
    function : callable
        Its last argument, or that of the name "logs", is the logs.
    hook : str
        The name of the method.
    callback : Callback, optional
        Whose function it is; a method gets it as its first argument.
    """

    @wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        logs = kwargs.get("logs", args[-1] if args else None)
        if type(logs) not in (dict, LogsWhenRead):
            return function(*args, **kwargs)
        given = args if callback is None else (callback, *args)
        read: list[OldLogs] = []

        def fetch() -> OldLogs:
            both = OldLogs(_as_there(logs, hook, given[0]))
            both.batch = _batch_of(*given[:2]) if "batch" in hook else {}
            read.append(both)
            return both

        both = fetch() if type(logs) is dict else _OldLogsWhenRead(fetch)  # of a GPU: fetched when they are read
        try:
            if "logs" in kwargs:
                return function(*args, **kwargs | {"logs": both})
            return function(*args[:-1], both, **kwargs)
        finally:
            for seen in read:
                logs.clear()
                logs.update(seen)

    with suppress(TypeError, ValueError):  # of some functions that are written in C nothing is known
        told.__signature__ = signature(function)  # type: ignore[attr-defined]  # what it is called with is checked
    return told
