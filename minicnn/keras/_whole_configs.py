"""What `get_config` of losses, metrics, optimizers and schedules says to scripts: all that Keras's says, defaults too.

What minicnn writes down for itself has no more than what tells one object from another: files, and texts of errors.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from minicnn.hints import Config
from minicnn.keras.saving._objects import serialize_keras_object
from minicnn.metrics.auc import AUC
from minicnn.metrics.iou import IoU
from minicnn.metrics.means import MeanMetricWrapper
from minicnn.metrics.thresholds import Counts
from minicnn.optimizers.extras import DEFAULTS
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.own_parts import is_of_package, is_written_down
from minicnn.registry import constructor_parameters, is_config
from minicnn.settings import floatx

# Whose config has an axis in Keras; of others it is there where it is not the last one.
_LOSSES_WITH_AXIS = ("BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy")
_LOSSES_WITH_AXIS += ("CategoricalFocalCrossentropy",)
_METRICS_WITH_AXIS = ("CategoricalCrossentropy", "SparseCategoricalCrossentropy")
_NAMES_OF_SCHEDULES = {"PiecewiseConstantDecay": "PiecewiseConstant", "CosineDecayRestarts": "SGDRDecay"}
_DEFAULT = [0.5]  # thresholds


def complete(by: Callable[[Any, Config], Config]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of `get_config`: scripts get what the function makes of it.

    Parameters
    ----------
    by : callable
        (object, config) → config.
    """

    def decorate(method):
        @wraps(method)
        def get_config(self):
            config = method(self)
            return config if is_written_down() else by(self, config)

        return get_config

    return decorate


def of_loss(loss: Any, config: Config) -> Config:
    """A loss's arguments, with its name and reduction; those that a user's constructor does not take stay out."""
    common = {"name": loss.name, "reduction": loss.reduction}
    if _core_name(loss) in _LOSSES_WITH_AXIS:
        common["axis"] = loss.axis
    return _taken(loss, common) | config


def of_metric(metric: Any, config: Config) -> Config:
    """A metric's arguments, with its dtype; default thresholds, which are a list here, as None; as `of_loss`."""
    dtype = metric.dtype or ("int64" if isinstance(metric, IoU) else floatx())  # in which Keras counts pixels
    whole = {**config, **_taken(metric, {"name": metric.name, "dtype": dtype})}
    if _core_name(metric) in _METRICS_WITH_AXIS:
        whole["axis"] = metric.computed_by.axis
    if isinstance(metric, Counts) and whole.get("thresholds", 0) in (None, _DEFAULT):
        whole["thresholds"] = None
    if isinstance(metric, AUC) and whole["thresholds"] is None:
        del whole["thresholds"]
    if isinstance(metric, MeanMetricWrapper) and "fn" in whole:
        with suppress(TypeError, ValueError):  # of a lambda, which has a name, but none to be found by
            whole["fn"] = serialize_keras_object(metric.fn)
    return whole


def of_optimizer(optimizer: Any, config: Config) -> Config:
    """An optimizer's arguments, with all that Keras's optimizers have; a schedule as Keras writes it."""
    common = {n: getattr(optimizer, n) for n in DEFAULTS if n != "learning_rate_multipliers"}
    whole = _taken(optimizer, common) | config
    if is_config(whole.get("learning_rate")) and isinstance(rate := _schedule(optimizer), LearningRateSchedule):
        whole["learning_rate"] = written = serialize_keras_object(rate)
        if is_of_package(type(rate)):  # that of a loaded model is the core's
            written["config"] = of_schedule(rate, written["config"])
    return whole


def _schedule(optimizer):
    return vars(optimizer).get("_learning_rate")


def of_schedule(schedule: Any, config: Config) -> Config:
    """A schedule's arguments, with its name; as `of_loss`."""
    default = _NAMES_OF_SCHEDULES.get(type(schedule).__name__, type(schedule).__name__)
    return config | _taken(schedule, {"name": vars(schedule).get("name") or default})


def keeping_name(constructor: Callable[..., None]) -> Callable[..., None]:
    """The constructor of a schedule, whose name is for configs alone.

    Parameters
    ----------
    constructor : callable
    """

    @wraps(constructor)
    def __init__(self, *args, name=None, **kwargs):
        constructor(self, *args, **kwargs)
        self.name = name

    return __init__


def _core_name(part):
    """The name of the library's class that an object is of; of a user's, None."""
    return type(part).__name__ if is_of_package(type(part)) else None


def _taken(part, arguments):
    """Those that the constructor takes: a user's class may hand on none."""
    parameters = constructor_parameters(type(part))
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {n: value for n, value in arguments.items() if takes_all or any(p.name == n for p in parameters)}
