"""What Keras calls the numbers that a metric of the library keeps, for subclasses of it: `self.total.assign_add(…)`.

The library's metrics keep what is fast to add up, from which these variables follow, and the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from types import MappingProxyType
from typing import Any

import numpy as np

from minicnn import metrics
from minicnn.foreign import to_numpy
from minicnn.keras._own_metrics import Variable, new_variable
from minicnn.metrics.f_scores import FBetaScore
from minicnn.metrics.iou import IoU
from minicnn.metrics.thresholds import Counts
from minicnn.own_parts import is_of_package

Kept = Mapping[str, tuple[str, str | None]]
"""Keras's variables: name → the attribute that keeps it, and the variable that is in there besides, if one is."""

_COUNTS: Kept = {
    "true_positives": ("_positives", None),
    "true_negatives": ("_all_negatives", "false_positives"),
    "false_positives": ("_negatives", None),
    "false_negatives": ("_all_positives", "true_positives"),
}
_OF_F_SCORES: Kept = {
    "true_positives": ("_hits", None),
    "false_positives": ("_predicted", "true_positives"),
    "false_negatives": ("_actual", "true_positives"),
}
_OF_R2: Kept = {
    "num_samples": ("_samples", None),
    "squared_sum": ("_squares", None),
    "sum": ("_sum", None),
    "total_mse": ("_residual", None),
    "count": ("_weight", None),
}
_OF_MEANS: Kept = {"total": ("_sum", None), "count": ("_count", None)}
_ALL: tuple[tuple[type, Kept], ...] = (
    (Counts, _COUNTS),
    (FBetaScore, _OF_F_SCORES),
    (IoU, MappingProxyType({"total_cm": ("_matrix", None)})),
    (metrics.R2Score, _OF_R2),
    (metrics.Sum, MappingProxyType({"total": ("_sum", None)})),
    (metrics.Metric, _OF_MEANS),
)  # the first class that fits counts


class OfLibrary(Variable):
    """A number or an array that a metric of the library keeps.

    Parameters
    ----------
    metric : Metric
    kept : mapping
        All variables of its class.
    name : str
    """

    def __init__(self, metric: Any, kept: Kept, name: str) -> None:
        self._metric, self._kept, self._which = metric, kept, name
        self.name: str = {"total_cm": "total_confusion_matrix", "total_mse": "residual"}.get(name, name)
        self._followers: list[Callable[[np.ndarray], object]] = []

    @property
    def value(self) -> np.ndarray:  # type: ignore[override]
        """The numbers so far, in float64."""
        attribute, beside = self._kept[self._which]
        if isinstance(found := getattr(_core_of(type(self._metric)), self._which, None), property):
            return np.array(found.fget(self._metric), np.float64)  # in the shape that it has before any batch
        number = np.array(to_numpy(getattr(self._metric, attribute), attribute), np.float64)
        return number if beside is None else number - OfLibrary(self._metric, self._kept, beside).value

    @value.setter
    def value(self, value: np.ndarray) -> None:
        numbers = {name: OfLibrary(self._metric, self._kept, name).value for name in self._kept} | {self._which: value}
        for name, (attribute, beside) in self._kept.items():  # the others stay as they are
            setattr(self._metric, attribute, numbers[name] + (0.0 if beside is None else numbers[beside]))


class _Named:
    """A variable as an attribute, which an attribute that a subclass sets stands before."""

    def __init__(self, kept: Kept, name: str) -> None:
        self.kept, self.name = kept, name

    def __get__(self, metric: Any, cls: type) -> Any:
        return self if metric is None else OfLibrary(metric, self.kept, self.name)


def _core_of(cls):
    """The class of `minicnn.metrics` that a class computes by."""
    return next(base for base in cls.__mro__ if base.__module__.startswith("minicnn.metrics"))


def _kept_by(core):
    return next(kept for base, kept in _ALL if issubclass(core, base))


def keras_variables(core: type) -> dict[str, Any]:
    """What a class of `minicnn.metrics` has besides as one of Keras's, by name.

    Parameters
    ----------
    core : type
    """
    kept = _kept_by(core)
    own: dict[str, Any] = {name: _Named(kept, name) for name in kept}
    if hasattr(core, "_which"):
        own = {"accumulator": _Named(kept, core._which)}
    own |= {"__init__": _set_up(core.__init__), "__init_subclass__": classmethod(_subclassed)}
    own |= {"variables": property(_variables), "add_weight": _add_weight, "add_variable": _add_weight}
    if kept is _OF_F_SCORES or kept is _OF_R2:
        own["reset_state"] = _with_added(core.reset_state)
    return own


def _variables(metric):
    """The numbers that `result` is computed from, and those that `add_weight` has made."""
    kept = _kept_by(_core_of(type(metric)))
    names = getattr(metric, "needed", kept)
    return [*(OfLibrary(metric, kept, name) for name in names), *vars(metric).get("_added", ())]


def _add_weight(metric, *args, **kwargs):
    """A variable besides, which `reset_state` leaves alone as in Keras, but for F scores and R2."""
    variable = new_variable(args, kwargs)
    vars(metric).setdefault("_added", []).append(variable)
    return variable


def _with_added(reset_state):
    """The method, for what `add_weight` has made too."""

    @wraps(reset_state)
    def reset(self):
        reset_state(self)
        for variable in vars(self).get("_added", ()):
            variable.assign(0)

    return reset


def _set_up(init):
    """The constructor, in which the library's `reset_state` is called, and not a subclass's, which comes too early."""

    @wraps(init)
    def __init__(self, *args, **kwargs):
        vars(self)["reset_state"] = partial(_core_of(type(self)).reset_state, self)
        try:
            init(self, *args, **kwargs)
        finally:
            del vars(self)["reset_state"]

    return __init__


def _subclassed(cls, **options):
    """`__init_subclass__`: a subclass's `reset_states` is its `reset_state`, as in Keras 2."""
    metrics.Metric.__init_subclass__.__func__(cls, **options)  # type: ignore[attr-defined]
    if not is_of_package(cls) and "reset_states" in vars(cls) and "reset_state" not in vars(cls):
        cls.reset_state = vars(cls)["reset_states"]
