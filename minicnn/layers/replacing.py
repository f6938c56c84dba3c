"""What takes an attribute's place on a layer that exists: another activation, arrays for weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.layers import contract
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.step import Step

if TYPE_CHECKING:
    from minicnn.layers.base import Layer

_NUMBERS = (np.ndarray, np.generic, list, tuple, int, float, str, type(None))  # and what is no weight either
MAKERS: dict[str, Callable[[Any], Any]] = {}  # attribute → what makes a layer of what users assign to it


def replaced_by(layer: Layer, attribute: str, value: object) -> tuple[object, Any]:
    """What an attribute is before `value` takes its place (the layer itself where there is none), and what does.

    Raises
    ------
    TypeError
        For an array in the place of a weight, which would be computed with as before, but in a `call` of a user's,
        for which it has to have the weight's shape; for no activation as one.
    AttributeError
        For an activation of a layer of the package that takes none.
    """
    before = vars(layer).get(attribute, layer)
    reads_it = not is_of_package(getattr(type(layer), "call", Step))
    fits = reads_it and isinstance(before, Weight) and np.shape(value) == before.shape  # type: ignore[arg-type]
    if isinstance(before, Weight) and isinstance(value, _NUMBERS) and not fits:
        raise TypeError(
            f"'{attribute}' is a weight of layer '{layer.name}', whose numbers are set by "
            f"layer.{attribute}.assign(array) or layer.set_weights([…]). Received: {type(value).__name__}"
        )
    if attribute in MAKERS and value is not None:
        value = _made(layer, attribute, before, value)
    return before, value


def _made(layer, attribute, before, value):
    """The layer that a name, a function or a config assigned as an activation means, checked if the layer is built."""
    cls, is_built = type(layer), bool(vars(layer).get("_built"))
    is_ours = is_of_package(cls)
    if not is_ours and (hasattr(cls, "call") or hasattr(cls, "structure")):  # a model
        return value  # of which the class does with its attributes what it likes
    if is_ours and before is layer and (is_built or not isinstance(value, Step)):
        kind = type(layer).__name__
        raise AttributeError(
            f"{kind} has no {attribute}: put layers.Activation(…) behind layer '{layer.name}'. Received: "
            f"{attribute}={value!r}"
        )
    made = MAKERS[attribute](value)
    if made is not None and contract.is_own(made):
        for node in layer.nodes if is_built else ():
            for output in node.outputs:
                contract.check_activation(layer, made, output.shape[1:])
    return made


def decides_plans(layer: Layer, attribute: str) -> bool:
    """Whether plans may be others once an attribute of a layer, or of a model, was replaced.

    `trainable` is a part of the key under which an engine keeps its plans. Users' layers may note things on themselves
    in every pass; their activations are steps of the plans all the same, of layers that plans may have.
    """
    is_step = is_of_package(type(layer)) or (attribute in MAKERS and bool(vars(layer).get("_built")))
    return attribute != "trainable" and layer.graph is None and is_step
