"""Optimizers of one's own as Keras 3 has them: ``build``, ``add_variable_from_reference`` and ``update_step``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minicnn import initializers
from minicnn.differentiation import value_of
from minicnn.keras import _optimizer_variables
from minicnn.keras._in_order import asking
from minicnn.keras._of_keras_3 import OF_OPTIMIZERS
from minicnn.keras._variables import Variable
from minicnn.keras.optimizers._older import Older, begin_state, mark_older, own_names
from minicnn.keras.optimizers._on_gradients import takes_lists
from minicnn.on_host import assign, on_host
from minicnn.optimizers.by_weight import ByWeight
from minicnn.parameters import Weight


class Stepping(Older):
    """What a class with ``update_step(gradient, variable, learning_rate)`` has: it is called for each weight.

    The gradient is clipped, and the weight has decayed, before. Variables of `add_variable_from_reference` are kept by
    the object, and are not in files: a training that is continued begins them anew.
    """

    has_steps: bool = False
    """Whether ``update_step`` is the rule."""
    on_rule: bool = False
    """Whether that is one on a built-in rule."""
    built: bool = False
    _segments: Any

    def __init_subclass__(cls, **options: Any) -> None:
        mark_older(cls, cls.on_rule)
        named = own_names(cls)
        has_rule = "apply" in named and not takes_lists(cls.apply)  # type: ignore[attr-defined]
        if "update_step" in named and not has_rule:
            if "apply" not in named:
                cls.apply = Stepping._not_by_stretch  # type: ignore[attr-defined]
            cls.has_steps = True
        elif has_rule:
            cls.has_steps = False
        super().__init_subclass__(**options)

    def _not_by_stretch(self, first: Any, *args: Any) -> Any:
        if isinstance(first, list | tuple):
            return super().apply(first, *args)  # type: ignore[misc]
        raise TypeError(
            f"{type(self).__name__} moves each variable by update_step: call apply_gradients(zip(gradients, "
            f"variables)). Received: a call of apply with {len(args) + 1} arguments"
        )

    def build(self, variables: Iterable[Weight]) -> None:
        """Note what will be updated; a subclass makes its variables after ``super().build(variables)``."""
        vars(self)["_index"] = {variable: i for i, variable in enumerate(variables)}
        vars(self)["_added"] = []
        self.built, self._built = True, False
        if self.is_older:
            begin_state(self, vars(self)["_index"])

    @property
    @asking
    def variables(self) -> list[np.ndarray]:
        """Copies of the number of iterations, the learning rate, and the optimizer's own variables."""
        added = [np.array(variable) for variable in vars(self).get("_added", ())]
        return [*_optimizer_variables.variables(self), *added]  # type: ignore[arg-type]

    stateless_apply = OF_OPTIMIZERS["stateless_apply"]

    @asking
    def get_weights(self) -> list[np.ndarray]:
        """As `variables`."""
        return self.variables

    @asking
    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take over what `variables` or `get_weights` of another optimizer of the class gave.

        Raises
        ------
        ValueError
            If they are of another number or shape: before the first iteration of its model an optimizer has no state.
        """
        added, given = vars(self).get("_added", []), [np.asarray(weight) for weight in weights]
        own = given[max(len(given) - len(added), 0) :]
        if [x.shape for x in given] != [x.shape for x in self.variables]:
            raise ValueError(
                f"the state of {type(self).__name__} is taken over by another one that has trained a batch of a model "
                f"with weights of the same shapes: {[x.shape for x in self.variables]}. "
                f"Received: {[x.shape for x in given]}"
            )
        _optimizer_variables.set_weights(self, given[: len(given) - len(own)])  # type: ignore[arg-type]
        for variable, x in zip(added, own, strict=True):
            variable.assign(x)

    def _get_variable_index(self, variable: Weight) -> int:
        return vars(self)["_index"][variable]

    def add_variable(
        self, shape: Any, initializer: Any = "zeros", dtype: Any = None, name: str | None = None, **options: Any
    ) -> Variable:
        """A variable of the optimizer's own, float32 if no `dtype` is given."""
        value = np.asarray(initializers.get(initializer)(tuple(shape)), dtype or np.float32)
        variable = Variable(value, trainable=False, name=name)
        vars(self).setdefault("_added", []).append(variable)
        return variable

    def add_variable_from_reference(self, reference_variable: Any = None, *args: Any, **options: Any) -> Variable:
        """A variable of the shape of another one.

        Parameters
        ----------
        reference_variable : variable
            Keras 2 calls it `model_variable`.
        *args, **options
            `name` and `initializer`; in Keras 2 `variable_name`, `shape` and `initial_value`.
        """
        variable = options.pop("model_variable", reference_variable)
        if self.is_older:
            return self._of_reference(variable, *args, **options)
        return self._of_shape(variable.shape, *args, **options)

    def _of_shape(self, shape, name=None, initializer="zeros", **options):
        return self.add_variable(shape, initializer, name=name)

    def assign(self, variable: Any, value: Any) -> None:
        """Set a variable."""
        variable.assign(value_of(value))

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a variable."""
        variable.assign(np.asarray(variable) + np.asarray(value_of(value)))

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a variable."""
        variable.assign(np.asarray(variable) - np.asarray(value_of(value)))

    @classmethod
    def decays_itself(cls) -> bool:
        """Whether a class has a method of its own that says which weights decay, or how."""
        methods = ("_apply_weight_decay", "_use_weight_decay")
        return any(getattr(cls, name) is not getattr(Stepping, name) for name in methods)

    def _use_weight_decay(self, variable: Weight) -> bool:
        """Whether a weight decays, if `exclude_from_weight_decay` does not spare it."""
        return not self._is_excluded(variable)  # type: ignore[attr-defined]

    def _apply_weight_decay(self, variables: Iterable[Weight]) -> None:
        """What weights lose before each step: w -= learning rate · weight_decay · w; classes may have their own."""
        optimizer: Any = self
        rate = vars(self).get("_rate_of_decay", optimizer.current_learning_rate)
        for variable in variables if optimizer.weight_decay else ():
            if self._use_weight_decay(variable):
                factor = rate * optimizer.factor(optimizer.multiplier(variable)) * optimizer.weight_decay
                variable.assign(variable.numpy() - np.float32(factor) * variable.numpy())

    def _lose(self, weights, theta, learning_rate):
        """Let the weights decay, by the class's own method if there is one; before Keras 2.11 a rule has all."""
        optimizer: Any = self
        if not self.decays_itself():
            if optimizer.weight_decay and not hasattr(self, "_resource_apply_dense"):
                optimizer._decay(theta, learning_rate * optimizer.weight_decay)
            return
        places = list(zip(weights, self._segments, strict=True))
        for weight, segment in places:
            weight.assign(on_host(theta[segment]).reshape(weight.shape))
        vars(self)["_rate_of_decay"] = learning_rate
        try:
            self._apply_weight_decay(weights)
        finally:
            del vars(self)["_rate_of_decay"]
        for weight, segment in places:
            assign(theta[segment], weight.numpy().reshape(-1))

    def _move(self, theta, grad, state, ops, learning_rate, rate):
        if not self.has_steps:
            super()._move(theta, grad, state, ops, learning_rate, rate)  # type: ignore[misc]
            return
        optimizer: Any = self
        optimizer._clip(grad)
        weights: list[Weight] = ByWeight._weights(optimizer)
        if optimizer.is_older:
            weights = [optimizer._as_handed(weight) for weight in weights]
        if not self.built or any(w not in vars(self)["_index"] for w in weights):  # of another model
            self.built = False
            self.build(weights)
        self._lose(weights, theta, learning_rate)
        done, optimizer.iterations = optimizer.iterations, optimizer.updates  # fewer where gradients accumulate
        vars(self)["_is_stepping"] = True
        try:
            vars(self)["_apply_state"] = optimizer._prepare(weights) if optimizer.is_older else None
            for segment, weight in zip(self._segments, weights, strict=True):
                weight.assign(on_host(theta[segment]).reshape(weight.shape))  # which has decayed
                factor = optimizer.factor(optimizer.multiplier(weight))
                gradient = on_host(grad[segment]).reshape(weight.shape).copy()
                optimizer.update_step(gradient, weight, np.float32(learning_rate * factor))
                assign(theta[segment], weight.numpy().reshape(-1))
        finally:
            vars(self).pop("_is_stepping")
            optimizer.iterations = int(done)
