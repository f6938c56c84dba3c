"""Models within models whose inputs are of whole numbers: Keras casts what they are given, here an operation does."""

from __future__ import annotations

from typing import Any

from minicnn.hints import Config
from minicnn.layers.rare_options import WHOLE
from minicnn.saving.keras.structure import histories_of, is_one
from minicnn.user_warnings import brief, warn_user


def with_casts(entries: list[Config]) -> list[Config]:
    """The entries of a model's layers, with an operation that casts before each call of such a model within it.

    In minicnn's own files, layers do that already, and calls say so (`said_whole`). A Sequential has no calls:
    `minicnn.keras` casts in it. For calls that say not what they are of, those of Keras 2, a warning says that nothing
    casts, unless they are of inputs of these dtypes.

    Parameters
    ----------
    entries : list of dict
        As Keras writes them.
    """
    made: list[Config] = []
    names = {entry["name"] for entry in entries if _is_named(entry)}
    inputs = {entry["name"]: _dtype(entry) for entry in entries if _is_input(entry) and _is_named(entry)}
    for entry in entries:
        dtypes, calls = _dtypes_of(entry), entry.get("inbound_nodes")
        if not any(dtype in WHOLE for dtype in dtypes):
            made.append(entry)
            continue
        given = [_tensors(call) for call in calls] if isinstance(calls, list) and calls else [None]
        if all(tensors is not None and len(tensors) == len(dtypes) for tensors in given):
            casts = _Casts(entry["name"], dtypes, names)
            entry = entry | {"inbound_nodes": [casts.call(call) for call in calls]}
            made += casts.made
        elif calls and not _are_of(calls, dtypes, inputs):
            said = next(dtype for dtype in dtypes if dtype in WHOLE)
            warn_user(
                f"model {brief(entry.get('name'))} within another one takes numbers of {said}: Keras casts what it "
                "is given; as this file does not say what that is, give the outer model whole numbers"
            )
        made.append(entry)
    return made


def said_whole(entry: Config, calls: list[Config]) -> list[Config]:
    """The calls of a model in Keras's form, which say that it is given numbers of its inputs' dtypes.

    Parameters
    ----------
    entry : dict
        The model's.
    calls : list of dict
    """
    dtypes = _dtypes_of(entry)
    for tensors in map(_tensors, calls) if any(dtype in WHOLE for dtype in dtypes) else ():
        for tensor, dtype in zip(tensors or (), dtypes, strict=False):
            tensor["config"] |= {"dtype": dtype} if dtype in WHOLE else {}
    return calls


class _Casts:
    """The operations that cast before the calls of one model, in `made`."""

    def __init__(self, name, dtypes, names):
        self.name, self.dtypes, self.names = name, dtypes, names
        self.made: list[Config] = []

    def call(self, node):
        """A call on what was cast."""
        tensors = [self._cast(x, dtype) for x, dtype in zip(_tensors(node), self.dtypes, strict=True)]
        return node | {"args": [tensors] if isinstance(node["args"][0], list) else tensors}

    def _cast(self, tensor, dtype):
        if dtype not in WHOLE or tensor["config"].get("dtype") == dtype:
            return tensor
        name = f"{self.name}_cast"
        while name in self.names:
            name += "_again"
        self.names.add(name)
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in tensor["config"].items()}
        entry = {"module": "keras.src.ops.core", "class_name": "Cast", "config": {"name": name, "dtype": dtype}}
        node = {"args": [tensor | {"config": plain}], "kwargs": {}}
        self.made.append(entry | {"registered_name": "Cast", "name": name, "inbound_nodes": [node]})
        config = plain | {"dtype": dtype, "keras_history": [name, 0, 0]}
        return {"class_name": "__keras_tensor__", "config": config}


def _tensors(node) -> list[Config] | None:
    """What a call of Keras 3's is of, in order; None for any other."""
    args = node.get("args") if isinstance(node, dict) else None
    found = args[0] if isinstance(args, list | tuple) and len(args) == 1 and isinstance(args[0], list) else args
    return list(found) if isinstance(found, list | tuple) and found and all(map(_is_tensor, found)) else None


def _are_of(calls, dtypes, inputs) -> bool:
    """Whether calls as in Keras 2, of [[name, place, number, …], …], are of inputs that hold what they are cast to."""

    def is_of(tensor, dtype):
        name = tensor[0] if isinstance(tensor, list) and tensor and isinstance(tensor[0], str) else None
        return dtype not in WHOLE or inputs.get(name) == dtype

    return isinstance(calls, list) and all(
        isinstance(call, list) and len(call) == len(dtypes) and all(map(is_of, call, dtypes)) for call in calls
    )


def _is_tensor(value) -> bool:
    config = value.get("config") if isinstance(value, dict) else None
    history = config.get("keras_history") if isinstance(config, dict) else None
    return isinstance(history, list | tuple) and bool(history) and isinstance(history[0], str)


def _dtypes_of(entry) -> list[Any]:
    """What the inputs of a model within a model are said to be, in order; of anything else nothing."""
    config = entry.get("config")
    inner = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
        return []
    found = {each.get("name", place): _dtype(each) for place, each in enumerate(inner) if _is_input(each)}
    ends = config.get("input_layers")
    if not isinstance(ends, list) or not ends:
        return list(found.values())
    return [found.get(history[0]) for history in histories_of([ends] if is_one(ends) else ends)]


def _is_named(entry) -> bool:
    return isinstance(entry.get("name"), str)


def _is_input(entry) -> bool:
    return entry.get("class_name") == "InputLayer"


def _dtype(entry) -> str | None:
    """The dtype of an InputLayer; None of anything else."""
    config = entry.get("config")
    dtype = config.get("dtype") if _is_input(entry) and isinstance(config, dict) else None
    return dtype if isinstance(dtype, str) else None
