"""A `build` of a user's model: it is run once, before `call` is, with the shape of the first inputs, as in Keras."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from types import FunctionType
from typing import Any

from minicnn.keras._deferred import Deferred
from minicnn.keras._shapes import TensorShape
from minicnn.nested import mapped
from minicnn.own_parts import is_of_package
from minicnn.user_warnings import warn_user


class Building:
    """Mixin of Keras's models."""

    _began: bool = False  # whether a `build` of the user's was called, by whomever
    _is_before_call: bool = False  # whether it runs now because `call` will

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = _with_whole_inputs(args, kwargs)
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if isinstance(own := vars(cls).get("build"), FunctionType) and not is_of_package(cls):
            cls.build = _beginning(own)  # type: ignore[method-assign]

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape, with the batch axis; a list of shapes for several inputs."""
        if not self._is_before_call:  # whose inputs say more than shapes
            super().build(input_shape)  # type: ignore[misc]

    def _trace(self, inputs: Any) -> None:
        if not self._began and not is_of_package(type(self).build) and _takes_one(self.build):
            vars(self)["_is_before_call"] = True
            try:
                self.build(mapped(lambda x: TensorShape(x.shape), inputs))
            finally:
                del vars(self)["_is_before_call"]
        super()._trace(inputs)  # type: ignore[misc]


def _takes_one(build):
    """Whether it can be called with a shape: one that cannot is a method of another meaning."""
    try:
        signature(build).bind(())
    except TypeError:
        return False
    return True


def _beginning(build: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(build)
    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        vars(self)["_began"] = True
        try:
            return build(self, *args, **kwargs)
        except BaseException:  # the next call begins again
            vars(self).pop("_began", None)
            raise

    return begin


def _with_whole_inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a model, with the input itself for ``base.input[0]``: Keras 3 keeps ``inputs=[x]`` a list."""
    if args:
        return (mapped(_whole, args[0]), *args[1:]), kwargs
    return args, kwargs | ({"inputs": mapped(_whole, kwargs["inputs"])} if "inputs" in kwargs else {})


def _whole(part):
    return vars(part).get("whole", part) if isinstance(part, Deferred) else part


def warn_of_unused_call(model: Any) -> None:
    """Warn where a class writes a `call`, and its model is made of tensors or is a stack: such a one is its layers."""
    if not getattr(model, "goes_by_attributes", False) and not is_of_package(getattr(type(model), "call", warn_user)):
        warn_user(
            f"the call of {type(model).__name__} is not used, as Keras would: a model of inputs and outputs, and a "
            "Sequential, are their layers here; write a keras.Model that has them in an attribute, "
            "self.stack = keras.Sequential([…]), and a call that calls it"
        )
    cls = type(model)
    if not is_of_package(cls.__call__):
        methods = "predict of {} does" if model.has_own_steps else "fit, evaluate and predict of {} do"
        warn_user(
            f"{methods.format(cls.__name__)} not go by its __call__, as Keras's do: write what it does "
            "in the call of a keras.Model that has this one in an attribute"
        )
    for part in () if model.has_own_steps else ("get_metrics_result", "reset_metrics"):
        if not is_of_package(getattr(cls, part)):
            warn_user(
                f"fit and evaluate of {cls.__name__} do not ask its {part}, as Keras's do, as it has no train_step or "
                "test_step of its own: write compute_metrics, or a callback"
            )
