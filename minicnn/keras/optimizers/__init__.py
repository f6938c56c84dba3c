"""``keras.optimizers``: minicnn's optimizers, with the arguments of Keras 1, 2 and 3."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, NoReturn

import numpy as np

from minicnn import optimizers as core
from minicnn.data.elements import EagerArray
from minicnn.keras import _applied, _loss_scale, _optimizer_variables
from minicnn.keras._loss_scale import LossScaleOptimizer as LossScaleOptimizer
from minicnn.keras._names import lookup
from minicnn.keras._starred import starred
from minicnn.keras._translation import Translated, renamed, translated
from minicnn.keras._warning import warn_once
from minicnn.keras._whole_configs import complete, of_optimizer
from minicnn.keras.optimizers._on_rule import with_rule
from minicnn.keras.optimizers._symbolic import get_gradients, get_updates
from minicnn.keras.optimizers._updating import Optimizer as Optimizer
from minicnn.keras.optimizers._updating import check_rule
from minicnn.keras.optimizers._variables import (
    Hyperparameter,
    Iterations,
    LearningRate,
    batches_done,
    hyperparameter,
    in_force,
    schedule_of,
)
from minicnn.keras.saving._objects import deserialize_keras_object, reading
from minicnn.layers.names import unique_name
from minicnn.optimizers.schedules import InverseTimeDecay, LearningRateSchedule
from minicnn.own_parts import is_of_package
from minicnn.registry import is_config, to_plain

_CLASSES = {
    name: getattr(core, name)
    for name in core.__all__
    if isinstance(getattr(core, name), type) and issubclass(getattr(core, name), core.Optimizer)
}


def _iterations(optimizer):
    return Iterations.of(optimizer, vars(optimizer)["iterations"], sys._getframe(1))


def _set_iterations(optimizer, value):
    vars(optimizer)["iterations"] = batches_done(optimizer, value, sys._getframe(1))


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


def _ruling(optimizer):
    """The optimizer that has the rate: of a Lookahead the one inside."""
    return _ruling(optimizer.optimizer) if isinstance(optimizer, core.Lookahead) else optimizer


def _given_rate(optimizer):
    """The number or the schedule that is in force."""
    return vars(_ruling(optimizer)).get("_learning_rate")


def _learning_rate(optimizer):
    """The rate as a variable; of one that ``decay=`` makes fall the first one, which decay leaves alone, as Keras 2."""
    rate = _given_rate(optimizer)
    number = LearningRate(rate.initial_learning_rate if _is_falling(rate) else optimizer.current_learning_rate)
    number.optimizer = optimizer
    return number


def _rate_or_schedule(optimizer):
    """A number that can be assigned to, as today's Keras has it, or a schedule, which is the number in force, too."""
    rate = _given_rate(optimizer)
    is_number = isinstance(rate, float) or _is_falling(rate)
    return _learning_rate(optimizer) if is_number else in_force(rate, optimizer)


def _set_learning_rate(optimizer, value):
    optimizer.learning_rate = value


def _set_rate_or_schedule(optimizer, value):
    """The setter of `learning_rate`, which takes functions too; a number leaves ``decay=`` in force, as in Keras 2."""
    before, value = _given_rate(optimizer), schedule_of(value)
    if is_config(value):
        is_keras = "registered_name" in value
        value = _settable(deserialize_keras_object(value) if is_keras else core.schedules.get(value))
    elif callable(value):
        is_function = not isinstance(value, LearningRateSchedule | type | LearningRate)
        value = FunctionSchedule(value) if is_function else value
    elif _is_falling(before):
        value = _falling(value, before.decay_rate)
    core.Optimizer.learning_rate.fset(_ruling(optimizer), value)


def _is_falling(rate):
    """Whether ``decay=`` made it, and not a schedule that was given."""
    return getattr(rate, "is_of_keras_2", False)


def _falling(rate, decay):
    """rate / (1 + decay · iterations), as Keras 2 computed it."""
    schedule = InverseTimeDecay(rate, 1, decay)
    schedule.is_of_keras_2 = True
    return schedule


def _settable(rate):
    """The same rate; one like that of ``decay=`` is that: files and configs do not say who made it."""
    is_like = isinstance(rate, InverseTimeDecay) and rate.decay_steps == 1 and not rate.staircase
    return _falling(rate.initial_learning_rate, rate.decay_rate) if is_like else rate


def _translate(name, args, kwargs):
    """Arguments of the optimizer `name` as today's Keras takes them."""
    if name == "Nadam" and kwargs.keys() & {"lr", "decay", "schedule_decay"}:  # today's has none of them
        kwargs = {"schedule_decay": 0.004, **kwargs}
        if kwargs["schedule_decay"] is None:
            kwargs["schedule_decay"] = 0.004
    kwargs = renamed(name, kwargs, {"lr": "learning_rate"})
    for old in ("epsilon", "rho"):
        if kwargs.get(old, 0) is None:  # Keras 2: the default
            del kwargs[old]
    if kwargs.get("name") is None and name != "Lookahead":  # which goes by the optimizer inside
        kwargs["name"] = unique_name(name)
    decay = kwargs.pop("decay", 0.0) or 0.0
    if decay and name == "Nadam":
        warn_once("Nadam(decay=…) changed nothing in Keras 2, and does not here: schedule_decay= is the momentum's")
    elif decay:
        warn_once(
            f"{name}(decay=…) is an argument of Keras 2: today it is "
            "learning_rate=schedules.InverseTimeDecay(rate, 1, decay)"
        )
        kwargs, args = _with_decay(name, decay, args, kwargs), args[1:]
    return args, kwargs


def _with_decay(name, decay, args, kwargs):
    """The arguments with the rate that falls."""
    default = _CLASSES[name]().learning_rate
    rate = args[0] if args else kwargs.get("learning_rate", default)
    if isinstance(rate, LearningRateSchedule) or is_config(rate):
        raise TypeError(
            f"{name}(decay=…) goes with a learning rate that is a number; a schedule falls by itself. Received: "
            f"learning_rate={rate!r}, decay={decay!r}"
        )
    return {**kwargs, "learning_rate": _falling(float(rate), float(decay))}


def _decay(optimizer):
    """Keras 2's ``decay``; a class with a rule of its own may call something else so."""
    if "_own_decay" in vars(optimizer):
        return vars(optimizer)["_own_decay"]
    rate = _given_rate(optimizer)
    return rate.decay_rate if _is_falling(rate) else 0.0


def _set_decay(optimizer, value):
    if getattr(optimizer, "on_rule", False):
        vars(optimizer)["_own_decay"] = value
        return
    rate = _rate_or_schedule(optimizer)
    if not isinstance(rate, float):
        raise TypeError(f"decay goes with a learning rate that is a number. Received: learning_rate={rate!r}")
    core.Optimizer.learning_rate.fset(_ruling(optimizer), _falling(float(rate), value))


def _with_config(core_class):
    """`get_config` of the class, which tells of ``decay=`` as of the schedule that it is."""

    def get_config(self):
        config, rate = core_class.get_config(self), _given_rate(self)
        config = {name: float(n) if isinstance(n, Hyperparameter) else n for name, n in config.items()}
        return config | ({"learning_rate": to_plain(rate)} if _is_falling(rate) and "learning_rate" in config else {})

    get_config.__doc__ = core_class.get_config.__doc__
    return complete(of_optimizer)(get_config)


class _Named(Translated):
    """Metaclass of the optimizers: those of a user's subclass get a name by it, as in Keras."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        return super().__new__(mcs, name, with_rule(bases, namespace), namespace, **options)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        optimizer = super().__call__(*args, **kwargs)
        if optimizer.name is None and not is_of_package(cls):
            optimizer.name = unique_name(cls.__name__)
        return optimizer


def _decayed_lr(self: Any, var_dtype: Any = "float32") -> EagerArray:
    """The rate in force, of a schedule or with `decay`, with ``.numpy()``: scripts of Keras 2 show it as a metric."""
    return np.asarray(self.current_learning_rate, np.dtype(var_dtype)).view(EagerArray)


def translated_class(core_class: type, translate: Callable[..., Any], module: str) -> type:
    """The class of an optimizer as Keras has it.

    Parameters
    ----------
    core_class : type
        minicnn's.
    translate : callable
        From arguments as a script gives them to minicnn's.
    module : str
        Where it is.
    """
    own = {
        "lr": property(_learning_rate, _set_learning_rate),
        "learning_rate": property(_rate_or_schedule, _set_rate_or_schedule),
        "decay": property(_decay, _set_decay),
        "get_config": _with_config(core_class),
        "iterations": property(_iterations, _set_iterations),
        "_decayed_lr": _decayed_lr,
    }
    numbers = signature(core_class.__init__).parameters.keys() & {"momentum", "rho", "beta_1", "beta_2"}
    own |= {name: hyperparameter(name) for name in numbers}
    own |= {"get_updates": get_updates, "get_gradients": get_gradients}
    own |= {**_optimizer_variables.METHODS, **_applied.METHODS, "apply": _applied.with_apply(core_class)}
    own |= _loss_scale.METHODS
    return translated(core_class, translate, module, _Named, **own)


for _name, _class in _CLASSES.items():
    if _name != "Optimizer":
        globals()[_name] = translated_class(_class, partial(_translate, _name), __name__)


def get(identifier: Any) -> Any:
    """An optimizer from a name, a class, an instance or a config; None for None."""
    is_given = isinstance(identifier, core.Optimizer)
    return None if identifier is None else check_rule(translate(core.get(identifier), is_given))


deserialize = reading(get)


def translate(optimizer: core.Optimizer, is_given: bool = False) -> core.Optimizer:
    """The same optimizer, as one of the classes of this module.

    Parameters
    ----------
    optimizer : Optimizer
    is_given : bool, default False
        Whether a user made it, and not a file or a config.
    """
    own = globals().get(type(optimizer).__name__)
    if own is not None and type(optimizer) is own.core_class:
        optimizer.__class__ = own
        optimizer.name = optimizer.name or unique_name(own.__name__)
        if not is_given:
            core.Optimizer.learning_rate.fset(_ruling(optimizer), _settable(_given_rate(optimizer)))
    return optimizer


_LOWER_CASE = {name.lower(): name for name in ("Adagrad", "Adadelta", "Adamax", "Nadam")}  # as Keras 1 and 2 had them
__getattr__ = lookup(
    __name__,
    ["minicnn.optimizers"],
    ["legacy", "schedules"],
    names={"serialize": "minicnn.keras.saving._objects.serialized"},
    old=_LOWER_CASE,
)
__all__ = sorted({*_CLASSES, "K", "LossScaleOptimizer"})
__all__ += starred(__name__)
