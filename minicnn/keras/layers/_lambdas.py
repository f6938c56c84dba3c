"""What Keras's `Lambda` has beside minicnn's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.graph import Node, Tensor
from minicnn.keras._calls import METHODS
from minicnn.keras._deferred import Deferred
from minicnn.keras._lambda_numbers import keep_numbers
from minicnn.keras._operation_marks import marked, stands_for_layer, unnamed
from minicnn.keras._own_weights import weights_in_graph
from minicnn.keras._taped import weights_as
from minicnn.layers import Activation, Lambda
from minicnn.layers.added_loss import BatchScalar
from minicnn.layers.base import Layer
from minicnn.layers.names import snake_case
from minicnn.own_parts import is_of_package


def _from_config(cls, config, custom_objects=None, safe_mode=None):
    """A Lambda layer of a config, which holds the function; of a lambda, as in Keras, only with ``safe_mode=False``."""
    if safe_mode is not False and getattr(config.get("function"), "__name__", "<lambda>") == "<lambda>":
        raise ValueError(
            f"a Lambda layer of a lambda runs code that has no name, so that it is made of a config with "
            f"safe_mode=False alone. Received: safe_mode={safe_mode!r}, for {config}"
        )
    return cls(**config)


def _call_symbolically(layer: Lambda, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
    """As of all layers; what the function was called on, and gave, is kept, as other layers may stand for this one."""
    with weights_in_graph():
        node = METHODS["call_symbolically"](layer, tensors, training)
    if same := [t for t in tensors if t.node is node]:  # of a function x → x, which has a place in Keras as well
        with unnamed():
            node = marked(Activation("linear")(same[0]), same).node
    if node.layer is not layer:
        keep_numbers(node.layer, layer.name, layer.function)
    if "_called_with" not in vars(layer):  # another call is of other layers, of which two may not have one name
        _hand_name_on(layer, node, tensors)
        vars(layer)["_called_with"] = {"input": list(tensors), "output": list(node.outputs)}
    return node


def _hand_name_on(layer, node, tensors):
    """Give the last of the operations that the function is made of the layer's name, by which models find it."""
    last = node.layer
    if last is layer or last.nodes != [node]:
        return
    stands_for_layer(last)
    is_operation = is_of_package(type(last)) and not last.weights and last.graph is None
    if is_operation and re.fullmatch(
        rf"{snake_case(type(last).__name__)}(_operation)?(_\d+)?", last.name
    ):  # and not by the script
        last.name = layer.name


def _call_on_arrays(layer: Lambda, arrays: Sequence[Any], training: bool) -> Any:
    """As of all layers; what a function computes with arrays has no graph to be a part of."""
    with weights_as(None):
        return METHODS["call_on_arrays"](layer, arrays, training)


def _one_for_all(layer: Lambda, inputs: Sequence[Any]) -> Any:
    """What the function gives; one number for the batch stands for each sample where ``output_shape=(1,)`` says so.

    So detectors of Keras 1 and 2 compute their loss in a layer, which the model's loss hands on.
    """
    result = Lambda._call(layer, inputs)
    is_number = layer.output_shape == (1,) and not isinstance(result, Deferred | BatchScalar) and np.ndim(result) == 0
    if not is_number or result is None or isinstance(inputs[0], Tensor):
        return result
    return np.ones((len(inputs[0]), 1), np.float32) * result  # (N, 1)


def _end(which):
    """The tensor, or the tensors, at one end of the layer."""

    def tensors(layer: Lambda) -> Any:
        if layer.nodes or "_called_with" not in vars(layer):
            return getattr(Layer, which).fget(layer)
        found = vars(layer)["_called_with"][which]
        return found[0] if len(found) == 1 else found

    return property(tensors)


LAMBDA: dict[str, Any] = {
    "_call": _one_for_all,
    "from_config": classmethod(_from_config),
    "call_symbolically": _call_symbolically,
    "call_on_arrays": _call_on_arrays,
    "input": _end("input"),
    "output": _end("output"),
}
