"""Optimizers of one's own as Keras 2 had them, with ``_resource_apply_dense``, or ``update_step(gradient, variable)``.

The former is of Keras before 2.11 (``optimizers.legacy.Optimizer``), the latter of Keras 2.11 to 2.15.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from itertools import takewhile
from typing import Any

import numpy as np

from minicnn import initializers
from minicnn import optimizers as core
from minicnn.keras._variables import Variable
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.parameters import Weight
from minicnn.registry import is_config, to_plain

_BASE_OPTIONS = ("clipnorm", "clipvalue", "global_clipnorm")
_NEW_OPTIONS = ("weight_decay", *_BASE_OPTIONS, "use_ema", "ema_momentum", "ema_overwrite_frequency")


class _Dtype(str):
    """The name of a dtype, which NumPy takes for it, with TensorFlow's attributes."""

    @property
    def base_dtype(self) -> np.dtype:
        return np.dtype(str(self))

    @property
    def as_numpy_dtype(self) -> type:
        return np.dtype(str(self)).type


class OlderVariable(Variable):
    """A weight, or a vector of state, as the methods of Keras 2 are handed it."""

    device = "cpu"

    @property
    def dtype(self) -> Any:
        return _Dtype(self.numpy().dtype.name)

    @property
    def op(self) -> OlderVariable:
        """What `assign` returns, too, which was an operation of a graph once."""
        return self


class Older:
    """What such classes have besides; hyperparameters are attributes, as in Keras 2."""

    is_older: bool = False
    """Whether the rule is one of Keras 2's."""
    _use_locking = False
    _HAS_AGGREGATE_GRAD = True
    _resource_apply_dense: Any

    def _begin(self, name: str | None = None, **options: Any) -> None:
        """The constructor of the base in Keras 2, which has no learning rate."""
        vars(self).update(_hyper={}, _slots={}, _handed={}, _initial_decay=options.pop("decay", 0.0) or 0.0)
        for unused in ("lr", "gradient_aggregator", "gradient_transformers", "is_legacy_optimizer", "jit_compile"):
            options.pop(unused, None)
        core.Optimizer.__init__(self, 0.01, name=name, **options)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------- hyperparameters

    def __getattr__(self, name: str) -> Any:
        hyper = vars(self).get("_hyper", {})
        if name.startswith("_") or name not in hyper:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._get_hyper(name)

    def _set_hyper(self, name: str, value: Any) -> None:
        if name == "learning_rate":
            self._learning_rate = self._build_learning_rate(value)
        else:
            vars(self).pop(name, None)  # what today's base has of this name, as weight_decay: None
        vars(self)["_hyper"][name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "learning_rate" and name in vars(self).get("_hyper", ()):
            self._set_hyper(name, value)
        else:
            super().__setattr__(name, value)

    def _get_hyper(self, name: str, dtype: Any = None) -> Any:
        value = vars(self)["_hyper"][name]
        value = self._learning_rate if name == "learning_rate" else value
        if isinstance(value, LearningRateSchedule):
            return value
        value = value() if callable(value) else value
        return value if dtype is None else np.asarray(value, dtype)[()]

    def _build_learning_rate(self, value: Any) -> Any:
        """A number or a schedule."""
        value = core.schedules.get(value) if is_config(value) else value
        return value if isinstance(value, LearningRateSchedule) else float(value() if callable(value) else value)

    def _decayed_lr(self, dtype: Any = np.float32) -> Any:
        """The rate of this iteration."""
        rate = self.current_learning_rate / (1 + self._initial_decay * int(self.iterations))  # type: ignore[attr-defined]
        return np.asarray(rate, dtype)[()]

    def _serialize_hyperparameter(self, value: Any) -> Any:
        """Of a name, or of a value itself, as a config has it."""
        value = self._get_hyper(value) if isinstance(value, str) else value
        return to_plain(value) if isinstance(value, LearningRateSchedule) else float(value)

    # ----------------------------------------------------------------------------------------------------- state

    def _as_handed(self, weight: Weight) -> Weight:
        """A weight as the methods get it: the same variable each time."""
        handed = vars(self)["_handed"]
        if weight not in handed:
            handed[weight] = OlderVariable(weight.numpy(), name=weight.path)
        return handed[weight]

    def _var_key(self, variable: Weight) -> Weight:
        return variable

    @property
    def _index_dict(self) -> dict[Weight, int]:
        return vars(self)["_index"]

    def add_slot(self, var: Any, slot_name: str, initializer: Any = "zeros", shape: Any = None) -> Any:
        """A vector of state for a variable, made once."""
        slots, var = vars(self)["_slots"], vars(self)["_handed"].get(var, var)
        if (var, slot_name) not in slots:
            shape = tuple(var.shape if shape is None else shape)
            slots[var, slot_name] = self._state(initializers.get(initializer)(shape))
        return slots[var, slot_name]

    def get_slot(self, var: Any, slot_name: str) -> Any:
        """The vector that `add_slot` has made."""
        return vars(self)["_slots"][vars(self)["_handed"].get(var, var), slot_name]

    def get_slot_names(self) -> list[str]:
        """Their names."""
        return list(dict.fromkeys(name for _, name in vars(self)["_slots"]))

    def add_weight(self, name: str, shape: Any, dtype: Any = None, initializer: Any = "zeros", **options: Any) -> Any:
        """A further variable of the optimizer's."""
        return self._state(initializers.get(initializer)(tuple(shape)))

    def _of_reference(
        self, model_variable: Any, variable_name: str = "", shape: Any = None, initial_value: Any = None
    ) -> Any:
        shape = tuple(model_variable.shape if shape is None else shape)
        return self._state(np.zeros(shape) if initial_value is None else initial_value)

    def _state(self, value: Any) -> OlderVariable:
        made = OlderVariable(np.array(value, np.float32), trainable=False)
        vars(self).setdefault("_added", []).append(made)
        return made

    # -------------------------------------------------------------------------------------------------- the rule

    def _create_slots(self, var_list: Any) -> None:
        """For a subclass: make the state."""

    def _prepare(self, var_list: Any) -> dict[Any, Any]:
        """What `_prepare_local` says, once in an iteration; a subclass may do more."""
        keys = dict.fromkeys((var.device, var.dtype.base_dtype) for var in var_list)
        state: dict[Any, Any] = {key: {} for key in keys}
        for key in keys:
            self._prepare_local(*key, state)
        return state

    def _prepare_local(self, var_device: Any, var_dtype: Any, apply_state: dict[Any, Any]) -> None:
        """What all variables share in an iteration; a subclass adds to it."""
        if "learning_rate" in vars(self)["_hyper"]:
            apply_state[var_device, var_dtype]["lr_t"] = self._decayed_lr(var_dtype)

    def _fallback_apply_state(self, var_device: Any, var_dtype: Any) -> dict[str, Any]:
        state: dict[Any, Any] = {(var_device, var_dtype): {}}
        self._prepare_local(var_device, var_dtype, state)
        return state[var_device, var_dtype]

    def _apply_dense(self, gradient: np.ndarray, variable: Any, learning_rate: Any) -> None:
        if "apply_state" in signature(self._resource_apply_dense).parameters:
            self._resource_apply_dense(gradient, variable, apply_state=vars(self)["_apply_state"])
        else:
            self._resource_apply_dense(gradient, variable)

    def _config(self) -> dict[str, Any]:
        """`get_config` of the base, which has no learning rate."""
        if not hasattr(self, "_resource_apply_dense"):
            return {name: getattr(self, name) for name in ("name", *_NEW_OPTIONS)}
        found = {name: getattr(self, name) for name in ("name", *_BASE_OPTIONS)}
        return {name: value for name, value in found.items() if value is not None}


def own_names(cls: Any) -> dict[str, Any]:
    """What a class of optimizers has besides those that it stands on: of its own, and of mixins before these."""
    mixins = takewhile(lambda c: not issubclass(c, core.Optimizer | Older), cls.__mro__[1:])
    return dict(ChainMap(*map(dict, map(vars, (cls, *mixins)))))


def mark_older(cls: Any, on_rule: bool) -> None:
    """Give a class that has a rule of Keras 2's the `update_step` of today.

    Parameters
    ----------
    cls : type
    on_rule : bool
        Whether it stands on a built-in optimizer, whose constructor and state are today's.
    """
    named = own_names(cls)
    own: Any = named.get("update_step")
    if "_resource_apply_dense" in named:
        cls.is_older, cls.update_step = True, Older._apply_dense
    elif own is not None:
        kinds = [p.kind for p in signature(own).parameters.values()]
        is_short = len(kinds) == 3 and all(kind == Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
        cls.is_older = is_short and not on_rule
        if is_short:
            cls.update_step = _without_rate(own)
    if cls.is_older:
        cls.__getattr__ = Older.__getattr__  # in the class itself, which gets one otherwise


def _without_rate(own: Callable[..., Any]) -> Callable[..., Any]:
    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any = None) -> None:
        if learning_rate is not None:  # else one such rule calls another
            vars(self)["_rate_of_step"] = learning_rate
        own(self, gradient, variable)

    return update_step


def begin_state(optimizer: Any, variables: Iterable[Any]) -> None:
    """Have a class with ``_create_slots`` make its state for these variables."""
    vars(optimizer)["_slots"] = {}
    optimizer._create_slots(list(variables))
