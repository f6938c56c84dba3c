"""Optimizers with an ``apply(grads, trainable_variables)`` or ``apply_gradients`` of their own: `fit` asks it, too."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import Parameter, signature
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.keras import _applied
from minicnn.keras._eager import eager
from minicnn.keras._taped import nothing_recorded
from minicnn.on_host import assign, on_host
from minicnn.own_parts import is_of_package
from minicnn.parameters import Segments, Weight

_OF_RULE = 4  # arguments that docs/own_parts.md's `apply` has at least, of which Keras's has two
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def takes_lists(apply: Any) -> bool:
    """Whether an `apply` is Keras's, of a list of gradients and one of variables, and no rule for vectors."""
    return sum(p.kind in _POSITIONAL for p in signature(apply).parameters.values()) < _OF_RULE


def changes_gradients(names: Iterable[str], find: Any) -> bool:
    """Whether methods of a user's are such.

    Parameters
    ----------
    names : iterable of str
    find : callable
        Name → method.
    """
    return "apply_gradients" in names or ("apply" in names and takes_lists(find("apply")))


def written_in(cls: type) -> dict[str, Any]:
    """Of `apply` and `apply_gradients` those that users have written, in a class or in those that it stands on."""
    own = [vars(c) for c in reversed(cls.__mro__) if not is_of_package(c)]
    names = ("apply", "apply_gradients")
    return {name: c[name] for c in own for name in names if name in c and not is_of_package(c[name])}


class OnGradients:
    """What such a class has besides: it gets the gradients of an iteration, and the rule those that it hands on."""

    by_gradients: bool = False
    iterations: Any

    def __init_subclass__(cls, **options: Any) -> None:
        found = written_in(cls)
        cls.by_gradients = changes_gradients(found, found.get)
        super().__init_subclass__(**options)
        if "apply" in vars(cls) and "apply" in found and takes_lists(found["apply"]):
            cls.apply = found["apply"]  # without a check of the arguments that a rule has

    @property
    def is_data(self) -> bool:
        """Whether nobody has to be asked in an iteration."""
        return not self.by_gradients and super().is_data  # type: ignore[misc]

    def update(self, theta: np.ndarray, grad: np.ndarray, state: Any, segments: Any, *args: Any, **kwargs: Any) -> None:
        """One iteration, by the gradients that the class's own method hands on; where it hands on none, nothing moves.

        Parameters
        ----------
        theta, grad, state, segments, *args, **kwargs
            As of `minicnn.optimizers.Optimizer.update`.
        """
        if not self.by_gradients or "_is_handed" in vars(self):
            super().update(theta, grad, state, segments, *args, **kwargs)  # type: ignore[misc]
            return
        places = dict(zip(segments.weights, segments, strict=True))
        vars(self)["_waiting"] = theta, grad, state, segments, places, args, kwargs
        pairs = [(eager(on_host(grad[s]).reshape(w.shape).copy()), w) for w, s in places.items()]
        try:
            with nothing_recorded():
                self.apply_gradients(pairs)
        finally:
            del vars(self)["_waiting"]

    def apply_gradients(self, grads_and_vars: Iterable[Any], *args: Any, **options: Any) -> Any:
        """Update variables by gradients, as `apply` does."""
        if not self.by_gradients:
            return _applied.apply_gradients(self, grads_and_vars, *args, **options)  # type: ignore[arg-type]
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [w for _, w in pairs])
        return self.iterations

    def apply(self, grads: Any, *args: Any, **options: Any) -> Any:
        """The rule: for lists of gradients and variables, or for a stretch of vectors."""
        if not isinstance(grads, list | tuple):
            return super().apply(grads, *args, **options)  # type: ignore[misc]
        vars(self)["_is_handed"] = True
        try:
            if "_waiting" not in vars(self):
                return _applied.apply(self, grads, *args, **options)  # type: ignore[arg-type]
            self._move_by(list(grads), *args, **options)
        finally:
            del vars(self)["_is_handed"]
        return self.iterations

    def _move_by(self, grads, trainable_variables=None):
        """The iteration of `fit` that waits, by these gradients."""
        theta, grad, state, segments, places, args, options = vars(self)["_waiting"]
        weights: list[Weight] = list(segments.weights if trainable_variables is None else trainable_variables)
        pairs = zip(weights, grads, strict=True)
        given = {w: np.asarray(value_of(met(g)), grad.dtype) for w, g in pairs if g is not None}
        _applied.check_gradients(given, weights)
        if unknown := [getattr(w, "path", w) for w in given if w not in places]:
            raise ValueError(
                f"{type(self).__name__} moves the weights that the model trains, {[w.path for w in places][:3]} …: "
                f"hand on gradients of these. Received: one of {unknown[0]!r}"
            )
        for weight, gradient in given.items():
            assign(grad[places[weight]], gradient.reshape(-1))
        moved = segments if len(given) == len(places) else Segments({w: s for w, s in places.items() if w in given})
        self.update(theta, grad, state, moved, *args, **options)

    def _move(self, *args):
        """Clip, decay, and apply the rule, which is not what `apply` of the class is."""
        if not self.by_gradients:  # it may be the rule
            return super()._move(*args)  # type: ignore[misc]
        vars(self)["apply"] = super().apply  # type: ignore[misc]
        try:
            return super()._move(*args)  # type: ignore[misc]
        finally:
            del vars(self)["apply"]
