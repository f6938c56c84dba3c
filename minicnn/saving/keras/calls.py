"""Calls of layers whose inputs have names, as attention has them: ``layer(query, value, attention_mask=mask)``.

minicnn's form is that of all layers, the inputs in a list, and beside the calls, which are all alike, what the inputs
are and which options the layer is called with: ``"call": {"roles": ["query", "value", "attention_mask"],
"use_causal_mask": True}``.
"""

from typing import Any

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.user_warnings import brief

CALL, APART = "call", "apart"
"""Of a layer's entry: roles, where they are not the usual ones, and options; whether inputs are arguments, f(a, b)."""

_OF_HEADS = ("MultiHeadAttention", "GroupQueryAttention")
_ROLES = {
    **dict.fromkeys(_OF_HEADS, ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask")),
    "Attention": ("query", "value", "key", "query_mask", "value_mask"),
    "AdditiveAttention": ("query", "value", "key", "query_mask", "value_mask"),
}
_OF_LIST = ("query_mask", "value_mask")
"""What ``mask=[…]`` of the two without heads holds."""

_BEHIND_LIST = ("mask", "training", "return_attention_scores", "use_causal_mask")
"""The arguments of a call of the two behind their list of inputs."""

_OPTIONS = ("return_attention_scores", "use_causal_mask")


def has_roles(class_name: str) -> bool:
    """Whether the inputs of such a layer have names."""
    return class_name in _ROLES


def without_names(entry: Config, node: Any) -> Any:
    """A call of Keras 3's with the inputs in a list; what they are is put into the layer's entry.

    Raises
    ------
    FileFormatError
        If the layer is called in two ways, or in one that there is not here.
    """
    if not has_roles(entry["class_name"]) or not isinstance(node, dict):
        return node
    args, kwargs = node.get("args"), node.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return node
    if entry["class_name"] != "MultiHeadAttention" and args and isinstance(args[0], list):
        kwargs = dict(zip(_BEHIND_LIST, args[1:], strict=False)) | kwargs
        args = args[:1]
    args = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    named = dict(zip(_ROLES[entry["class_name"]], args, strict=False)) | kwargs
    if entry["class_name"] not in _OF_HEADS:
        named |= dict(zip(_OF_LIST, named.pop("mask", None) or (), strict=False))
    inputs, others = _taken(entry, named, _is_tensor)
    return node | {"args": [inputs], "kwargs": others}


def without_names_2(entry: Config, node: Any) -> Any:
    """The same of Keras 2's: ``[[layer, call, output, {"value": [layer, call, output]}]]``."""
    if entry["class_name"] != "MultiHeadAttention" or not isinstance(node, list) or not node:
        return node
    first = node if isinstance(node[0], str) else node[0]
    if not isinstance(first, list) or len(first) < 4 or not isinstance(first[3], dict):
        return node
    inputs, others = _taken(entry, {"query": first[:3], **first[3]}, _is_history)
    return [[*inputs[0], others], *([*tensor, {}] for tensor in inputs[1:])]


def _taken(entry, named, is_input):
    """(the inputs, other arguments) of a call; roles and options go into the entry."""
    if entry["class_name"] == "MultiHeadAttention":
        named = {**named, "query_mask": None}  # which changes nothing there
    roles = [role for role in _ROLES[entry["class_name"]] if is_input(named.get(role))]
    call: Config = {} if roles in (["query", "value"], ["query", "value", "key"]) else {"roles": roles}
    call |= {name: True for name in _OPTIONS if named.get(name)}
    for role in _ROLES[entry["class_name"]][3:]:
        mask = named.get(role)
        if mask is not None and not is_input(mask):
            call[role] = _numbers(entry, role, mask)
    if entry.setdefault(CALL, call) != call:
        raise FileFormatError(
            f"layer {brief(entry['name'])} ({entry['class_name']}) has the same inputs and options wherever it is "
            f"called here. Received: {brief(call)}, and before {brief(entry[CALL])}"
        )
    known = {*_ROLES[entry["class_name"]], *_OPTIONS}
    return [named[role] for role in roles], {name: value for name, value in named.items() if name not in known}


def _is_tensor(value):
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _is_history(value):
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def _numbers(entry, role, value):
    """A mask that stands in the file."""
    numbers = value.get("config", {}).get("value") if isinstance(value, dict) else value
    try:
        return (np.asarray(numbers, float) != 0).astype(int).tolist()
    except (TypeError, ValueError):
        raise FileFormatError(
            f"the {role} of layer {brief(entry['name'])} is a tensor of the model or an array of numbers. "
            f"Received: {brief(value)}"
        ) from None


def with_names(entry: Config, call: Config) -> Config:
    """A call with the inputs in a list in Keras 3's form."""
    described = entry.get(CALL, {})
    (inputs,) = call["args"]
    if entry.get(APART) is True and isinstance(inputs, list):
        return call | {"args": inputs}
    if not has_roles(entry["class_name"]) or not isinstance(inputs, list):
        return call
    roles = described.get("roles", ["query", "value", "key"][: len(inputs)])
    options = {name: described[name] for name in _OPTIONS if name in described}
    named = dict(zip(roles, inputs, strict=True))
    for role in _ROLES[entry["class_name"]][3:]:
        if role in described:
            config = {"value": described[role], "dtype": "int32"}
            named[role] = {"class_name": "__numpy__", "config": config}
    if entry["class_name"] not in _OF_HEADS:
        masks = [named.pop(role, None) for role in _OF_LIST]
        options |= {"mask": masks} if any(mask is not None for mask in masks) else {}
        return call | {"args": [list(named.values())], "kwargs": call["kwargs"] | options}
    positional = [named.pop(role) for role in ("query", "value", "key") if role in named]
    return call | {"args": positional, "kwargs": call["kwargs"] | named | options}
