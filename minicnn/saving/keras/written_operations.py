"""Layers that Keras has as operations alone, ``x ** 2``, ``x[:, 1:]``, ``ops.sort(x)``: written as these.

What minicnn reads again is in the entry of the last one, as `LAYER`: the layer as it was, with its calls. Where the
operations beside it are others than it writes of that layer, because somebody changed the file, they are what counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from minicnn import layers
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.saving.keras.layers import layer_from_keras
from minicnn.saving.keras.names import class_name_of, is_known
from minicnn.saving.keras.operation_table import BY_CLASS, BY_NAME, NEEDED, NOT_FLOATS, Function

LAYER, PART_OF = "minicnn_layer", "minicnn_part_of"
"""In the entry of an operation: what minicnn reads in its place; the name of the one with which that is read."""

WHOLE = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
"""An axis as it is, in the key of Keras's GetItem."""


class Writing:
    """The operations of one call of a layer.

    Parameters
    ----------
    name : callable
        Gives the name of a further operation.
    config : dict
        The layer's.
    tensors : list of dict
        On which it is called, in Keras's form.

    Attributes
    ----------
    made : list of dict
        The entries of operations so far, each with one call.
    """

    def __init__(self, name: Callable[[], str], config: Config, tensors: Sequence[Config]) -> None:
        self.name: Callable[[], str] = name
        self.config: Config = config
        self.tensors: list[Config] = list(tensors)
        self.made: list[Config] = []

    def add(
        self,
        class_name: str,
        args: Sequence[Any],
        config: Config | None = None,
        kwargs: Config | None = None,
        **of_result: Any,
    ) -> Config:
        """The tensor that an operation gives, like the first one among `args` but for its ``shape=`` and ``dtype=``."""
        name, like = self.name(), next(value["config"] for value in _tensors_in(args))
        entry = {"module": f"keras.src.ops.{BY_CLASS[class_name].module}", "class_name": class_name}
        entry |= {"config": {"name": name} | (config or {}), "registered_name": class_name, "name": name}
        self.made.append(entry | {"inbound_nodes": [{"args": list(args), "kwargs": kwargs or {}}]})
        return {"class_name": "__keras_tensor__", "config": like | of_result | {"keras_history": [name, 0, 0]}}

    def cast(self, x: Config, dtype: str | None = None) -> Config:
        """x in a dtype; default: that of the layer's inputs."""
        dtype = self.tensors[0]["config"]["dtype"] if dtype is None else dtype
        return self.add("Cast", [x], {"dtype": dtype}, dtype=dtype)

    def compared(self, class_name: str, x: Config, *others: Any) -> Config:
        """A comparison, as bools."""
        return self.add(class_name, [x, *others], dtype="bool")

    def aligned(self) -> list[Config]:
        """The layer's inputs with as many axes each; what some lack is put behind the axis of samples, of size 1."""
        rank = max(len(x["config"]["shape"]) for x in self.tensors)
        return [self._widened(x, rank - len(x["config"]["shape"])) for x in self.tensors]

    def _widened(self, x, count):
        samples, *sizes = x["config"]["shape"]
        shape = [samples, *[1] * count, *sizes]
        return self.add("GetItem", [x, [WHOLE, *[None] * count]], shape=shape) if count else x


# ------------------------------------------------------------------------------------------------ what layers become


def _arithmetic(writing: Writing) -> Config:
    return writing.add(writing.config["operation"].capitalize(), writing.aligned())


_POWERS = {0.5: "Sqrt", 2: "Square", -1: "Reciprocal"}
_COMPARISONS = {"nonnegative": "GreaterEqual", "positive": "Greater", "zero": "Equal"}


def _power(writing: Writing) -> Config:
    (x,), exponent = writing.tensors, writing.config["exponent"]
    return writing.add(_POWERS[exponent], [x]) if exponent in _POWERS else writing.add("Power", [x, exponent])


def _elementary(writing: Writing) -> Config:
    (x,), function = writing.tensors, writing.config["function"]
    if function == "power":
        return _power(writing)
    if function in _COMPARISONS:
        return writing.cast(writing.compared(_COMPARISONS[function], x, 0.0))
    if function == "nan":
        return writing.cast(writing.compared("Isnan", x))
    if function == "float16":
        return writing.cast(writing.cast(x, "float16"))
    if function == "hard_sigmoid_2":
        line = writing.add("Add", [writing.add("Multiply", [x, 0.2]), 0.5])
        return writing.add("Clip", [line], {"x_min": 0.0, "x_max": 1.0})
    if function == "round":
        return writing.add("Round", [x], {"decimals": 0})
    return writing.add({"abs": "Absolute"}.get(function, function.capitalize()), [x])


def _clip(writing: Writing) -> Config:
    (x,), low, high = writing.tensors, writing.config.get("minimum"), writing.config.get("maximum")
    if low is not None and high is not None:
        return writing.add("Clip", [x], {"x_min": low, "x_max": high})
    return writing.add("Minimum", [x, high]) if low is None else writing.add("Maximum", [x, low])


def _arg_max(writing: Writing) -> Config:
    (x,) = writing.tensors
    shape = [*x["config"]["shape"][:-1], 1]
    return writing.cast(writing.add("Argmax", [x], {"axis": -1, "keepdims": True}, shape=shape, dtype="int32"))


def _reduction(writing: Writing) -> Config:
    (x,), config = writing.tensors, writing.config
    axis = list(range(1, len(x["config"]["shape"]))) if config.get("axis") is None else config["axis"]
    return writing.add(config["operation"].capitalize(), [x], {"axis": axis, "keepdims": config["keepdims"]})


def _select(writing: Writing) -> Config:
    mask, *tensors = writing.aligned()
    numbers = [writing.config.get(name) for name in ("chosen", "otherwise")]
    values = [tensors.pop(0) if n is None else float(n) for n in numbers]
    return writing.add("Where", [writing.compared("Greater", mask, 0.0), *values], dtype=mask["config"]["dtype"])


def _largest_of_padded(writing: Writing) -> Config:
    (x,) = writing.tensors
    return _pooled("MaxPool", writing, _padded(writing, x, -math.inf))


def _mean_of_padded(writing: Writing) -> Config:
    """The mean of the pixels of the image alone: that with zeros around it, by the part of the window that is image."""
    (x,) = writing.tensors
    inside = _padded(writing, writing.add("OnesLike", [x]), 0.0)
    return writing.add(
        "Divide", [_pooled("AveragePool", writing, _padded(writing, x, 0.0)), _pooled("AveragePool", writing, inside)]
    )


def _padded(writing: Writing, x: Config, value: float) -> Config:
    sides = writing.config["padding"]
    widths = [[0, 0], [0, 0], *sides] if _is_channels_first(writing) else [[0, 0], *sides, [0, 0]]
    shape = [
        None if size is None else size + sum(width) for size, width in zip(x["config"]["shape"], widths, strict=True)
    ]
    config = {"pad_width": widths, "mode": "constant"}
    return writing.add("Pad", [x], config, {"constant_values": value}, shape=shape)


def _pooled(class_name: str, writing: Writing, x: Config) -> Config:
    given, first = writing.config, 2 if _is_channels_first(writing) else 1
    strides, shape = given.get("strides") or given["pool_size"], list(x["config"]["shape"])
    for axis, (span, stride) in enumerate(zip(given["pool_size"], strides, strict=True), first):
        shape[axis] = None if shape[axis] is None else (shape[axis] - span) // stride + 1
    config = {"pool_size": list(given["pool_size"]), "strides": list(strides), "padding": "valid"}
    config["data_format"] = given.get("data_format") or "channels_last"
    return writing.add(class_name, [x], config, shape=shape)


def _is_channels_first(writing: Writing) -> bool:
    return writing.config.get("data_format") == "channels_first"


def _part(writing: Writing) -> Config:
    names = ("start", "stop", "step")
    key = [
        {"class_name": "__slice__", "config": dict(zip(names, part, strict=True))} if isinstance(part, list) else part
        for part in writing.config["key"]
    ]
    return writing.add("GetItem", [*writing.tensors, [WHOLE, *key]])


def _pointwise(writing: Writing) -> Config | None:
    return writing.add("Erf", writing.tensors) if writing.config["function"] == "erf" else None


def _earlier(writing: Writing) -> Config:
    return writing.add("Tril", [writing.add("OnesLike", writing.tensors)], {"k": 0})


def _named(writing: Writing) -> Config | None:
    """A function by its name in ``keras.ops``; None where Keras's operation does not take its arguments."""
    name = writing.config["operation"]
    is_top = name in ("top_k_values", "top_k_indices")
    function = BY_CLASS["TopK"] if is_top else BY_NAME.get(name)
    given = None if function is None else _arguments(function, writing)
    if function is None or given is None:
        return None
    args, kwargs, config = given
    if not any(True for _ in _tensors_in(args)):
        return None
    y = writing.add(function.class_name, args, config, kwargs)
    if name == "top_k_indices":
        y["config"] |= {"keras_history": [*y["config"]["keras_history"][:2], 1], "dtype": "int32"}
    return writing.cast(y) if name == "top_k_indices" or function.class_name in NOT_FLOATS else y


def _arguments(function: Function, writing: Writing) -> tuple[list[Any], Config, Config] | None:
    """(args, kwargs, config) of the operation; None for arguments that it does not have."""
    args, order = list(writing.config["args"]), list(function.order)
    if order[-1].startswith("*"):
        fixed = len(order) - 1
        given, several = dict(zip(order, args[:fixed], strict=False)), args[fixed:]
    elif len(args) <= len(order):
        given, several = dict(zip(order, args, strict=False)), []
    else:
        return None
    given = dict.fromkeys(function.empty) | given | writing.config["options"]
    config = {name: given.get(name, default) for name, default in function.options.items()}
    if not given.keys() <= set(order) or NEEDED in config.values():
        return None
    taken = [name for name in function.takes if name in given]
    placed = [name for name, usual in zip(taken, function.takes, strict=False) if name == usual]
    values = [_value(part, writing.tensors) for part in ([given[name] for name in placed] + several)]
    kwargs = {name: _value(given[name], writing.tensors) for name in taken if name not in placed}
    return values, kwargs, {name: _plain(value) for name, value in config.items()}


def _value(part: Any, tensors: Sequence[Config]) -> Any:
    """An argument of a call in Keras's form."""
    if isinstance(part, list):
        return [_value(each, tensors) for each in part]
    if not isinstance(part, dict):
        return part
    if "input" in part:
        return tensors[part["input"]]
    if "tuple" in part:
        return [_value(each, tensors) for each in part["tuple"]]
    return {"class_name": "__numpy__", "config": {"value": part["array"], "dtype": part["dtype"]}}


def _plain(part: Any) -> Any:
    """An argument of an operation's config in Keras's form."""
    if isinstance(part, list):
        return [_plain(each) for each in part]
    if not isinstance(part, dict):
        return part
    return [_plain(each) for each in part["tuple"]] if "tuple" in part else part.get("array")


WRITERS: dict[str, Callable[[Writing], Config | None]] = {
    "ArgMax": _arg_max,
    "Arithmetic": _arithmetic,
    "Clip": _clip,
    "EarlierPlaces": _earlier,
    "Elementary": _elementary,
    "GetItem": _part,
    "MatrixProduct": lambda writing: writing.add("Matmul", writing.tensors),
    "NamedFunction": _named,
    "PaddedAveragePooling2D": _mean_of_padded,
    "PaddedMaxPooling2D": _largest_of_padded,
    "Pointwise": _pointwise,
    "Power": _power,
    "Reduce": _reduction,
    "Reduction": _reduction,
    "Select": _select,
}
"""Class of a layer → what adds its operations; None if they cannot be."""


# ------------------------------------------------------------------------------------------------------- in a model


def with_operations(described: Sequence[Config], written: Sequence[Config]) -> list[Config]:
    """The layers of a functional model for Keras, in which operations stand in the place of what is no layer there.

    Parameters
    ----------
    described : list of dict
        In minicnn's form.
    written : list of dict
        The same in Keras's, with their calls.
    """
    taken = {entry["name"] for entry in written}
    found: list[Config] = []
    for own, entry in zip(described, written, strict=True):
        found += _operations(own, entry, taken) or [entry]
    return found


def _operations(own, entry, taken) -> list[Config]:
    """The operations of a layer's calls; none where Keras has it as a layer, or not at all."""
    if own["class_name"] not in WRITERS or not entry["inbound_nodes"]:
        return []
    parts: list[Config] = []
    calls: list[Config] = []
    names = _names(entry["name"], taken)
    for node in entry["inbound_nodes"]:
        writing = Writing(lambda: next(names), own["config"], list(_tensors_in(node["args"])))
        if WRITERS[own["class_name"]](writing) is None:
            return []
        *before, last = writing.made
        parts += [part | {PART_OF: entry["name"]} for part in before]
        calls += last["inbound_nodes"]
    last["config"] |= {"name": entry["name"]}
    return [*parts, last | {"name": entry["name"], "inbound_nodes": calls, LAYER: entry}]


def _names(name: str, taken: set[str]) -> Iterator[str]:
    """Names of what a layer is made of, which no other layer of the model has; nor one that a recipe makes of these."""
    number = 0
    while True:
        number += 1
        if (found := f"{name}_step_{number}") not in taken:
            taken.add(found)
            yield found


def without_written(entries: list[Config]) -> list[Config]:
    """The layers of a model in a file, with what minicnn wrote in the place of the operations that it made of it.

    Only where they are still those that it makes of it: others are read as what they are, which Keras computes.
    """
    parts: dict[str, list[Config]] = {}
    for entry in entries:
        parts.setdefault(str(entry.get(PART_OF)), []).append(entry)
    taken = {str(entry.get("name")) for entry in entries if PART_OF not in entry}
    own = {}
    for entry in entries:
        name = str(entry.get("name"))
        if _is_own(entry.get(LAYER)) and _are_of(entry[LAYER], [*parts.get(name, []), entry], taken):
            own[name] = entry[LAYER]
    return [own.get(str(entry.get("name")), entry) for entry in entries if str(entry.get(PART_OF)) not in own]


def _is_own(entry: object) -> bool:
    """Whether it is the entry of a layer that there is: that of a function by its name needs `minicnn.keras`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        return False
    with suppress(FileFormatError):
        name = class_name_of(entry)
        return name in layers.CLASSES or is_known(name)
    return False


def _are_of(layer, found, taken) -> bool:
    """Whether these entries, the layer's name among them, are the operations that are written of the layer."""
    try:
        made = _operations(layer_from_keras(class_name_of(layer), layer["config"]), layer, taken)
        parts = [{key: entry.get(key) for key in like} for entry, like in zip(found, made, strict=True)]
        return json.dumps(parts, sort_keys=True) == json.dumps(made, sort_keys=True)  # in which NaN is NaN
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError):  # as of no layer here
        return False


def _tensors_in(value: Any) -> Iterator[Config]:
    """The tensors of the model among the arguments of a call."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _tensors_in(part)
    elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value
