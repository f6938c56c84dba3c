"""Subclasses of built-in optimizers with an ``update_step`` of their own, which calls that of the class above it.

Those with an ``_apply_weight_decay`` or a ``_use_weight_decay`` alone are such, too: the built-in rule moves each
weight, and none has decayed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras import _applied
from minicnn.keras._taped import nothing_recorded
from minicnn.keras.optimizers._on_gradients import OnGradients, changes_gradients, written_in
from minicnn.keras.optimizers._stepping import Stepping
from minicnn.on_host import assign, on_host
from minicnn.optimizers import Optimizer
from minicnn.optimizers.by_weight import ByWeight
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight


class OnRule(Stepping):
    """What such a class has besides: its rule's state stays where the built-in one has it, also in files."""

    on_rule = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.has_steps = cls.has_steps or cls.decays_itself()
        if cls.has_steps and not is_of_package(cls) and "apply" not in written_in(cls):
            cls.apply = _applied.with_apply(cls)  # type: ignore[attr-defined]

    def _move(self, theta, grad, state, ops, learning_rate, rate):
        places = dict(zip(ByWeight._weights(self), self._segments, strict=True))  # type: ignore[arg-type]
        vars(self)["_moving"] = theta, grad, state, ops, places, vars(self)["iterations"]
        try:
            super()._move(theta, grad, state, ops, learning_rate, rate)
        finally:
            del vars(self)["_moving"]

    def update_step(self, gradient: Any, variable: Weight, learning_rate: Any = None) -> None:
        """The built-in rule, for one variable; a class whose ``update_step`` has no rate, as in Keras 2, gives none."""
        learning_rate = vars(self).get("_rate_of_step") if learning_rate is None else learning_rate
        if "_moving" not in vars(self):
            _applied.build(self, vars(self).get("_index", ()))  # type: ignore[arg-type]
            _applied.update_step(self, gradient, variable, learning_rate)  # type: ignore[arg-type]
            return
        optimizer: Any = self
        theta, grad, state, ops, places, batches = vars(self)["_moving"]
        place = places[variable]
        assign(theta[place], variable.numpy().reshape(-1))
        with nothing_recorded():
            assign(grad[place], np.asarray(value_of(gradient), grad.dtype).reshape(-1))
        slots = [state[name][place] for name in optimizer.slots]
        counted, vars(self)["iterations"] = vars(self)["iterations"], batches
        try:
            if isinstance(optimizer, ByWeight):
                w, g, *parts = (x.reshape(variable.shape) for x in (theta[place], grad[place], *slots))
                rate = optimizer.rate(float(learning_rate), optimizer.updates)
                optimizer.weight_formula(variable.path, w, g, parts, rate)
            else:
                Optimizer.apply(optimizer, ops, theta[place], grad[place], slots, float(learning_rate))
        finally:
            vars(self)["iterations"] = counted
        variable.assign(on_host(theta[place]).reshape(variable.shape))


def with_rule(bases: tuple[type, ...], namespace: dict[str, Any]) -> tuple[type, ...]:
    """The bases of a new class of optimizers, with what is there for methods of its own before the built-in one.

    That is `OnRule` for an ``update_step``, an ``_apply_weight_decay`` or a ``_use_weight_decay``, and `OnGradients`
    for an ``apply_gradients`` or an ``apply`` of lists.

    Parameters
    ----------
    bases : tuple of type
        Mixins before the built-in class may have it, too.
    namespace : dict
        Of the new class.
    """
    is_own = not str(namespace.get("__module__", "")).startswith("minicnn.")
    at = next((i for i, base in enumerate(bases) if issubclass(base, Optimizer)), 0)
    steps = ("update_step", "_apply_weight_decay", "_use_weight_decay")
    has_rule = any(step in namespace or any(hasattr(mixin, step) for mixin in bases[:at]) for step in steps)
    above = [cls for mixin in reversed(bases[:at]) for cls in reversed(mixin.__mro__)]
    own = {name: value for cls in above for name, value in vars(cls).items()} | namespace
    added = [OnGradients] if changes_gradients(own, own.get) else []
    added += [OnRule] if has_rule else []
    added = [kind for kind in added if is_own and not any(issubclass(b, kind) for b in bases)]
    if any(issubclass(b, Stepping) for b in bases):
        added = [kind for kind in added if kind is OnGradients]
    return (*bases[:at], *added, *bases[at:])
