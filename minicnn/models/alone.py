"""Layers of a class that writes a `call` around the library's: what it adds has places of its own in a graph.

``super().call(x) * 2`` is the layer and a `Rescaling` behind it. Who makes a graph again of such places calls the layer
alone; in a config of Keras's, which has one place for all of it, the call is meant. So configs say which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from minicnn.graph import Node
from minicnn.layers import Layer
from minicnn.layers.composed import Composed
from minicnn.saving.keras.calls import APART, CALL

ALONE, OPERATION, LISTED = "alone", "is_operation", "listed"
"""Of a layer's entry in a config; an operator made the layer, ``x * 2``; its call is ``layer([x])``."""


def as_alone(layer: Layer) -> dict[str, Any]:
    """What the entry of a layer of a graph has for that: nothing, if its class has no such `call`, or one place for it.

    And whether an operator made the layer, whether its call takes each input as an argument, or the one input in a
    list, and how a layer is called whose inputs have names.

    Parameters
    ----------
    layer : Layer
    """
    marks = {ALONE: getattr(layer, "is_alone", False), OPERATION: getattr(layer, "is_operation", False)}
    marks[APART] = getattr(layer, "takes_inputs_apart", False)
    marks[LISTED] = getattr(layer, "takes_list_of_one", False)
    call = layer.call_options() if isinstance(layer, Composed) else {}
    return {name: True for name, holds in marks.items() if holds} | ({CALL: call} if call else {})


def placing(layer: Layer, entry: Mapping[str, Any]) -> Callable[..., Node]:
    """The function of (tensors, training) that gives the layer a place.

    Parameters
    ----------
    layer : Layer
    entry : dict
        The config's, or what `as_alone` gives.
    """
    if entry.get(OPERATION) is True:
        vars(layer)["is_operation"] = True
    take_list = getattr(layer, "take_list_of_one", None)
    if take_list is not None and (entry.get(LISTED) is True or _is_listed(entry.get("inbound_nodes"))):
        take_list()
    if isinstance(layer, Composed) and isinstance(entry.get(CALL), Mapping):
        return partial(_called_like, layer, entry[CALL])
    alone = getattr(layer, "call_alone", None) if entry.get(ALONE) is True else None
    return layer.call_symbolically if alone is None else alone


def as_argument(layer: Layer, tensors: list[Any]) -> Any:
    """What a layer is called with: several tensors in a list, one alone, but for layers that are called ``layer([x])``.

    Parameters
    ----------
    layer : Layer
    tensors : list
    """
    return tensors[0] if len(tensors) == 1 and not getattr(layer, "takes_list_of_one", False) else tensors


def _is_listed(calls):
    """Whether calls, as Keras writes them, are ``layer([x])``."""
    first = calls[0].get("args") if isinstance(calls, list) and calls and isinstance(calls[0], dict) else None
    return isinstance(first, list) and len(first) == 1 and isinstance(first[0], list) and len(first[0]) == 1


def _called_like(layer, options, tensors, training=None):
    """A place for a layer that is called with such options."""
    layer.take_call_options(options, len(tensors))
    return layer.call_symbolically(tensors, training)
