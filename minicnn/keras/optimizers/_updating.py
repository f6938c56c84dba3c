"""``keras.optimizers.Optimizer``, the base of optimizers of one's own, also of those with ``get_updates``."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn import optimizers as core
from minicnn.keras import _applied, _loss_scale
from minicnn.keras._own_metrics import Variable
from minicnn.keras._translation import Translated
from minicnn.keras._updates import gathering, run
from minicnn.keras._whole_configs import complete, of_optimizer
from minicnn.keras.optimizers import _symbolic
from minicnn.keras.optimizers._on_gradients import OnGradients
from minicnn.keras.optimizers._stepping import Stepping
from minicnn.keras.optimizers._variables import Iterations, LearningRate, batches_done
from minicnn.layers.names import unique_name
from minicnn.on_host import assign, on_host
from minicnn.optimizers.by_weight import ByWeight
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.registry import custom_object_scope, is_config
from minicnn.user_warnings import warn_user

_OF_KERAS_3 = (  # its own steps of an update
    *("_clip_gradients", "_backend_update_step", "_backend_apply_gradients", "_get_current_learning_rate"),
)
_OF_OTHERS = ("get_updates", "get_gradients", "_resource_apply_dense", "update_step", "finalize_variable_values")


class Optimizer(OnGradients, Stepping, core.Optimizer, metaclass=Translated):
    """Base of optimizers of one's own: minicnn's, with ``apply``, Keras 3's, with ``update_step``, and Keras 2's.

    ``get_updates(loss, params)`` is called in every iteration, where `get_gradients` gives the gradients; variables
    that it makes, ``K.zeros(…)``, are made once, and what it returns is assigned after all that it reads. They are kept
    by the object, and are not in files: a training that is continued begins them anew.

    Parameters
    ----------
    *args, **options
        Those of `minicnn.optimizers.Optimizer`; of a class with ``get_updates`` `clipnorm` (here of all gradients
        together), `clipvalue` and `name`.
    """

    core_class = core.Optimizer
    compute_gradients, minimize, finalize_variable_values = (
        _applied.METHODS[name] for name in ("compute_gradients", "minimize", "finalize_variable_values")
    )
    scale_loss, get_scaled_loss, get_unscaled_gradients = _loss_scale.METHODS.values()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        if made._has_updates:  # whose constructor may call no other, and sets what it likes
            core.Optimizer.__init__(made, 0.01)
            vars(made)["_made"] = []
        return made

    def __init__(self, *args: Any, **options: Any) -> None:
        if self.is_older:
            self._begin(*args, **options)
        elif not self._has_updates:
            super().__init__(*args, **options)
            self.name = unique_name(type(self).__name__) if self.name is None else self.name
        elif args or (unknown := options.keys() - {"clipnorm", "clipvalue", "name"}):
            raise TypeError(
                f"the base of an optimizer with get_updates takes clipnorm, clipvalue and name. Received: "
                f"{args or sorted(unknown)}"
            )
        else:
            vars(self).update(options)

    @property
    def _has_updates(self) -> bool:
        return hasattr(type(self), "get_updates")

    @property
    def _has_rule(self) -> bool:
        return self._has_updates or self.has_steps

    @property
    def learning_rate(self) -> Any:
        """What the constructor has set; of a class with ``get_updates`` a variable stays one."""
        if self.is_older:
            rate = LearningRate(self.current_learning_rate)
            rate.optimizer = self
            return rate
        return vars(self)["_rate"] if "_rate" in vars(self) else core.Optimizer.learning_rate.fget(self)  # type: ignore[attr-defined]

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if not self._has_updates:
            core.Optimizer.learning_rate.fset(self, value)  # type: ignore[attr-defined]
        elif isinstance(vars(self).get("_rate"), Variable) and not isinstance(value, Variable):
            vars(self)["_rate"].assign(value)
        else:
            vars(self)["_rate"] = value

    lr = learning_rate

    @property
    def current_learning_rate(self) -> float:
        """The learning rate as a number."""
        return float(self.learning_rate) if self._has_updates else super().current_learning_rate

    @property
    def iterations(self) -> Any:
        """How many there were: a number that can be assigned to."""
        return Iterations.of(self, vars(self).get("_done", 0), sys._getframe(1))

    @iterations.setter
    def iterations(self, value: Any) -> None:
        vars(self)["_done"] = batches_done(self, value, sys._getframe(1))

    @property
    def updates(self) -> Any:
        """What ``get_updates`` has listed; of other classes, how often the weights moved."""
        return vars(self)["_listed"] if "_listed" in vars(self) else super().updates

    @updates.setter
    def updates(self, value: Any) -> None:
        vars(self)["_listed"] = value

    def get_gradients(self, loss: Any, params: Sequence[Weight]) -> list[np.ndarray]:
        """The gradients of the parameters in this iteration, clipped as the optimizer was told: for ``get_updates``."""
        found: dict[Weight, np.ndarray] = vars(self).get("_gradients") or {}
        if not all(p in found for p in params):
            raise TypeError(
                "get_gradients gives the gradients of the model's weights while get_updates runs; others are those of "
                f"a tf.GradientTape. Received: {[getattr(p, 'path', p) for p in params][:3]} and "
                f"{len(found)} gradients"
            )
        gradients = [found[p] for p in params]
        if (limit := vars(self).get("clipnorm")) is not None:
            norm = np.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients))
            gradients = [g * (limit / norm) for g in gradients] if norm > limit > 0 else gradients
        if (limit := vars(self).get("clipvalue")) is not None:
            gradients = [np.clip(g, -limit, limit) for g in gradients]
        return gradients

    def update(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        state: dict[str, np.ndarray],
        segments: Sequence[slice],
        ops: SimpleNamespace,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not self._has_updates:
            super().update(theta, grad, state, segments, ops, *args, **kwargs)
            return
        self._segments = segments
        weights: list[Weight] = ByWeight._weights(self)  # type: ignore[arg-type]
        parts = [(w, grad[segment]) for w, segment in zip(weights, segments, strict=True)]
        vars(self)["_gradients"] = {w: on_host(g).reshape(w.shape).copy() for w, g in parts}
        of = [(w.path, w.shape) for w in weights]
        if of != vars(self).get("_of"):  # other weights, or fewer, as some are frozen
            vars(self).update(_made=[], _of=of)
        before = self.iterations
        with gathering(vars(self)["_made"]):
            listed = self.get_updates(None, weights)
        run(listed)
        for weight, segment in zip(weights, segments, strict=True):
            assign(theta[segment], weight.numpy().reshape(-1))  # which of a variable is another array
        vars(self)["_gradients"] = None
        if self.iterations == before:  # masks of dropout go by the number
            self.iterations = before + 1

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; of a class with ``get_updates`` those of this base."""
        if self.is_older:
            return self._config()
        if not self._has_updates:
            return _base_config(self)
        return {n: vars(self)[n] for n in ("clipnorm", "clipvalue") if vars(self).get(n) is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """An optimizer from what `get_config` gave, in the words of today or in those of a file of Keras 2."""
        if cls.is_older:
            return cls(**config)
        if not hasattr(cls, "get_updates"):
            return super().from_config(config)
        config = {name: value for name, value in config.items() if value is not None}
        if "lr" in signature(cls.__init__).parameters and "learning_rate" in config:
            rate = config.pop("learning_rate")
            if is_config(rate):
                rate, config["decay"] = (rate["config"][n] for n in ("initial_learning_rate", "decay_rate"))
            config["lr"] = rate
        return cls(**config)


@complete(of_optimizer)
def _base_config(optimizer):
    return super(Optimizer, optimizer).get_config()


def check_rule(optimizer: core.Optimizer) -> core.Optimizer:
    """The optimizer, if its class has no rule of its own that would not be asked; without what it knew of a model.

    Parameters
    ----------
    optimizer : Optimizer

    Raises
    ------
    TypeError
        For a subclass of Adam and the like with a method of Keras 2's or 3's.
    """
    if inner := [name for name in _OF_KERAS_3 if hasattr(type(optimizer), name)]:
        raise TypeError(
            f"{inner[0]} of {type(optimizer).__name__} would not be asked, as it is one of Keras's own steps: change "
            "the gradients in apply(self, grads, trainable_variables=None), which calls super().apply, or in "
            f"update_step(self, gradient, variable, learning_rate), where the rate is. Received: a class with {inner}"
        )
    known = Optimizer, _symbolic, _applied
    names = [
        name
        for name in _OF_OTHERS
        if getattr(type(optimizer), name, None) not in (None, *(getattr(c, name, None) for c in known))
    ]
    if names == ["update_step"] and getattr(optimizer, "has_steps", False):  # on the rule of a built-in one
        names = []
    if names == ["get_gradients"] and Optimizer not in type(optimizer).__mro__:
        _say_that_gradients_are_not_asked(type(optimizer).__name__)
        names = []
    if names and not (Optimizer in type(optimizer).__mro__ and optimizer._has_rule):  # type: ignore[attr-defined]
        raise TypeError(
            f"a subclass of minicnn's {type(optimizer).__name__} with {names[0]} would train by the library's rule: "
            "write a subclass of keras.optimizers.Optimizer with update_step(gradient, variable, learning_rate), with "
            "get_updates(loss, params), or with apply(ops, theta, grad, slots, learning_rate) (docs/own_parts.md). "
            f"Received: {type(optimizer).__name__}"
        )
    vars(optimizer).pop("_of", None)
    return optimizer


def _say_that_gradients_are_not_asked(name):
    """Of a ``get_gradients`` on a built-in rule: only `get_updates` of Keras 1 and 2 asked it."""
    warn_user(
        f"get_gradients of {name} is not asked, and {name} trains by the gradients as they are, as in Keras since "
        "TensorFlow 2: change them in apply(self, grads, trainable_variables=None), which calls super().apply"
    )


def begun_anew(optimizer: core.Optimizer, weights: Iterable[Weight]) -> core.Optimizer:
    """A copy of an optimizer without its state, with all else that it has, also what its `get_config` leaves out.

    Parameters
    ----------
    optimizer : Optimizer
    weights : iterable of Weight
        Those of models, which the copy knows as the optimizer does (`exclude_from_weight_decay`), and has no copies of.
    """
    made = copy.deepcopy(optimizer, {id(weight): weight for weight in weights})
    made.iterations = 0
    inside = made.optimizer if isinstance(made, core.Lookahead) else made
    if isinstance(inside, Stepping):
        inside.built = False
        vars(inside).update(_handed={}, _added=[], _of=None)
    return check_rule(made)


def own_rule(optimizer: core.Optimizer | None) -> AbstractContextManager[None]:
    """Inside, an optimizer of one's own is found by its name, which may be one of the library's, as AdamW.

    Parameters
    ----------
    optimizer : Optimizer or None
    """
    is_own = isinstance(optimizer, core.Optimizer) and not is_of_package(type(optimizer))
    return custom_object_scope({type(optimizer).__name__: type(optimizer)} if is_own else None)


Optimizer.__init__.__signature__ = signature(core.Optimizer.__init__)  # type: ignore[attr-defined]  # for get_config
