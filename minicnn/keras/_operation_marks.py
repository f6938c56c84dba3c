"""Which layers of a graph were made by an operator or a function: Keras 3 has operations there, which are no layers.

``x * 2``, ``x[:, 1:]``, ``keras.ops.mean(x, axis=1)`` are layers here as others are, to run and to be saved, but
``model.layers`` of a script for Keras has none of them, so that numbers of layers mean what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from minicnn.graph import Node, Tensor
from minicnn.keras._deferred import parts_of
from minicnn.layers import InputLayer, Layer

_OPERATORS = ("add", "sub", "mul", "truediv", "pow", "radd", "rsub", "rmul", "rtruediv", "neg", "abs")
_OPERATORS += ("gt", "ge", "lt", "le", "getitem")


def listed(layers: Iterable[Layer]) -> list[Layer]:
    """Those that Keras 3 lists."""
    return [layer for layer in layers if not getattr(layer, "is_operation", False)]


def marked(made: Any, given: Iterable[Any]) -> Any:
    """What an operation gave; its steps are no layers of `model.layers`.

    Parameters
    ----------
    made : Tensor, or nested lists of them, or anything else
    given : iterable
        Its arguments.
    """
    begin = {t.node for t in _tensors(given)}
    pending: list[Node] = [t.node for t in _tensors([made])]
    found = set(begin)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += [t.node for t in node.inputs]
    steps = found - begin
    if not any(isinstance(node.layer, InputLayer) for node in steps):  # else functions gave tensors of their own
        for node in steps:
            vars(node.layer)["is_operation"] = True
    return made


def stands_for_layer(layer: Layer) -> None:
    """The step of an operation is the one that a script's own layer is in `model.layers`."""
    vars(layer).pop("is_operation", None)


def stands_alone(layer: Layer, places: Sequence[Node]) -> None:
    """What the `call` of a layer adds to it is listed nowhere; the last part of it is, where the layer has no place.

    Parameters
    ----------
    layer : Layer
    places : list of Node
        That its call made, the last one first.
    """
    for node in places:
        if node.layer is not layer and set(node.layer.nodes) <= set(places):
            vars(node.layer)["is_operation"] = True
    if places and all(node.layer is not layer for node in places):
        stands_for_layer(places[0].layer)


def _tensors(values):
    return [part for part in parts_of(tuple(values)) if isinstance(part, Tensor)]


def _marking(operator: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operator)
    def operate(*operands: Any) -> Any:
        return marked(operator(*operands), operands)

    return operate


for _name in _OPERATORS:
    setattr(Tensor, f"__{_name}__", _marking(getattr(Tensor, f"__{_name}__")))
