"""``keras.optimizers``: minicnn's optimizers, with the arguments of Keras 1, 2 and 3."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from minicnn import optimizers as core
from minicnn.keras import _applied, _optimizer_variables
from minicnn.keras._names import lookup
from minicnn.keras._translation import renamed, translated
from minicnn.keras._warning import warn_once
from minicnn.keras.optimizers._updating import Optimizer as Optimizer
from minicnn.keras.optimizers._updating import check_rule
from minicnn.keras.optimizers._variables import Iterations, LearningRate
from minicnn.layers.names import unique_name
from minicnn.optimizers.schedules import InverseTimeDecay, LearningRateSchedule
from minicnn.registry import custom_object_scope

_CLASSES = {
    name: getattr(core, name)
    for name in core.__all__
    if isinstance(getattr(core, name), type) and issubclass(getattr(core, name), core.Optimizer)
}


def _iterations(optimizer):
    done = Iterations(vars(optimizer)["iterations"])
    done.optimizer = optimizer
    return done


def _set_iterations(optimizer, value):
    vars(optimizer)["iterations"] = int(value)


class FunctionSchedule(LearningRateSchedule):
    """A function without arguments that gives the rate whenever it is asked; no file holds it.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[[], float]) -> None:
        self.function: Callable[[], float] = function

    def __call__(self, step: int) -> float:
        return float(self.function())

    def get_config(self) -> NoReturn:
        raise TypeError(
            "an optimizer whose learning rate is a function cannot be written down: give it a number or a schedule, or "
            f"save(…, include_optimizer=False). Received: learning_rate={self.function!r}"
        )


def _learning_rate(optimizer):
    rate = LearningRate(optimizer.current_learning_rate)
    rate.optimizer = optimizer
    return rate


def _rate_or_schedule(optimizer):
    """A number that can be assigned to, as today's Keras has it, or a schedule."""
    rate = core.Optimizer.learning_rate.fget(optimizer)
    return _learning_rate(optimizer) if isinstance(rate, float) else rate


def _set_learning_rate(optimizer, value):
    optimizer.learning_rate = value


def _set_rate_or_schedule(optimizer, value):
    """The setter of `learning_rate`, which takes functions too."""
    is_function = callable(value) and not isinstance(value, LearningRateSchedule | type | LearningRate)
    core.Optimizer.learning_rate.fset(optimizer, FunctionSchedule(value) if is_function else value)


def _translate(name, args, kwargs):
    """Arguments of the optimizer `name` as today's Keras takes them."""
    kwargs = renamed(name, kwargs, {"lr": "learning_rate"})
    for old in ("epsilon", "rho", "schedule_decay"):
        if kwargs.get(old, 0) is None:  # Keras 2: the default
            del kwargs[old]
    if kwargs.get("name") is None:
        kwargs["name"] = unique_name(name)
    if kwargs.get("schedule_decay") == 0.004:  # Keras 2's argument of Nadam: today it is always that
        del kwargs["schedule_decay"]
    decay = kwargs.pop("decay", 0.0) or 0.0
    if decay:
        warn_once(
            f"{name}(decay=…) is an argument of Keras 2: today it is "
            "learning_rate=schedules.InverseTimeDecay(rate, 1, decay)"
        )
        kwargs, args = _with_decay(name, decay, args, kwargs), args[1:]
    return args, kwargs


def _with_decay(name, decay, args, kwargs):
    """rate / (1 + decay · iterations), as Keras 2 computed it."""
    default = _CLASSES[name]().learning_rate
    rate = args[0] if args else kwargs.get("learning_rate", default)
    return {**kwargs, "learning_rate": InverseTimeDecay(float(rate), 1, float(decay))}


def _decay(optimizer):
    """Keras 2's ``decay``: 0 unless the rate is 1 / (1 + decay · iterations)."""
    rate = core.Optimizer.learning_rate.fget(optimizer)
    return rate.decay_rate if isinstance(rate, InverseTimeDecay) else 0.0


for _name, _class in _CLASSES.items():
    if _name != "Optimizer":
        _lr = property(_learning_rate, _set_learning_rate)
        _rate = property(_rate_or_schedule, _set_rate_or_schedule)
        _own = {"lr": _lr, "learning_rate": _rate, "decay": property(_decay)}
        _own["iterations"] = property(_iterations, _set_iterations)
        _own |= {**_optimizer_variables.METHODS, **_applied.METHODS, "apply": _applied.with_apply(_class)}
        globals()[_name] = translated(_class, partial(_translate, _name), __name__, **_own)


def get(identifier: Any) -> Any:
    """An optimizer from a name, a class, an instance or a config; None for None."""
    return None if identifier is None else check_rule(translate(core.get(identifier)))


def deserialize(config: Any, custom_objects: Any = None) -> core.Optimizer:
    """The same as `get`, inside `custom_object_scope`."""
    with custom_object_scope(custom_objects):
        return get(config)


def translate(optimizer: core.Optimizer) -> core.Optimizer:
    """The same optimizer, as one of the classes of this module."""
    own = globals().get(type(optimizer).__name__)
    if own is not None and type(optimizer) is own.core_class:
        optimizer.__class__ = own
        optimizer.name = optimizer.name or unique_name(own.__name__)
    return optimizer


_LOWER_CASE = {name.lower(): name for name in ("Adagrad", "Adadelta", "Adamax", "Nadam")}  # as Keras 1 and 2 had them
__getattr__ = lookup(
    __name__, ["minicnn.optimizers"], names={"serialize": "minicnn.registry.to_plain"}, old=_LOWER_CASE
)
__all__ = sorted(_CLASSES)
