"""Keras 0's ``show_accuracy`` and ``accuracy``: a call that measures the accuracy, of which `compile` was not told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from minicnn.keras._warning import warn_once
from minicnn.losses import NoLoss
from minicnn.user_warnings import warn_user


class ShowingAccuracy:
    """Methods that take these arguments; a positional one is known by being True or False."""

    def fit(self, *args: Any, show_accuracy: bool = False, **kwargs: Any) -> Any:
        with _measured(self, "show_accuracy", show_accuracy):
            return super().fit(*args, **kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, show_accuracy: bool = False, **kwargs: Any) -> Any:
        with _measured(self, "show_accuracy", show_accuracy):
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]

    def train_on_batch(self, *args: Any, accuracy: bool = False, **kwargs: Any) -> Any:
        args, accuracy, kwargs = _positional(args, accuracy, kwargs, ("class_weight", "sample_weight"))
        with _measured(self, "accuracy", accuracy):
            return super().train_on_batch(*args, **kwargs)  # type: ignore[misc]

    def test_on_batch(self, *args: Any, accuracy: bool = False, **kwargs: Any) -> Any:
        args, accuracy, kwargs = _positional(args, accuracy, kwargs, ("sample_weight",))
        with _measured(self, "accuracy", accuracy):
            return super().test_on_batch(*args, **kwargs)  # type: ignore[misc]


def _positional(args, accuracy, kwargs, names):
    """(x, y), accuracy, and the arguments behind it by their names, where it stood third, as in Keras 0."""
    if len(args) < 3 or not isinstance(args[2], bool):
        return args, accuracy, kwargs
    return args[:2], args[2], {**dict(zip(names, args[3:], strict=False)), **kwargs}


@contextmanager
def _measured(model: Any, argument: str, is_wanted: bool) -> Iterator[None]:
    """Inside, the accuracy of every output with a loss is one of the metrics, if it is wanted and none is."""
    before = model.compiled if is_wanted else None
    if before is None or any("acc" in name for name in model.metrics_names):
        yield
        return
    pairs = zip(before.losses, before.metrics, strict=True)
    metrics = [m if isinstance(loss, NoLoss) else [*m, "accuracy"] for loss, m in pairs]
    if model.has_own_steps or metrics == before.metrics:
        warn_user(
            f"{argument}=True is an argument of Keras 0, and to a model with steps or a loss of its own it adds "
            "nothing: let those measure the accuracy"
        )
        yield
        return
    warn_once(f"{argument}=True is an argument of Keras 0: today it is compile(…, metrics=['accuracy'])")
    model.compiled = told = replace(before, metrics=metrics)
    try:
        yield
    finally:
        if model.compiled is told:  # a callback may have compiled it
            model.compiled = before
