"""An operation of ``keras.ops`` in a file, and the layers that are made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from minicnn.checks import is_integer
from minicnn.hints import Config
from minicnn.saving.keras.operations import array_in, with_number

Made: TypeAlias = "Config | list[Config] | None"
"""The tensor that a recipe gives, or one for each output; None where no layers do the same."""

WHOLE = [None, None, None]
"""In the key of `GetItem`: an axis as it is."""


class Operation:
    """An operation of a file; recipes read its arguments, and add layers.

    Parameters
    ----------
    entry : dict
        Of a list of layers of Keras 3, with one call.

    Attributes
    ----------
    kind : str
        The operation's class.
    args : list
        Of the call: tensors, numbers, arrays, lists of these.
    options : dict
        What the config and the call name.
    made : list of dict
        The entries of layers so far.
    """

    def __init__(self, entry: Config) -> None:
        call = entry["inbound_nodes"][0]
        given = {name: value for name, value in (call.get("kwargs") or {}).items() if value is not None}
        self.kind: str = entry["class_name"]
        self.name: str = entry["name"]
        self.args: list[Any] = [_plain(value) for value in call["args"]]
        self.options: Config = {name: v for name, v in entry["config"].items() if name != "name"} | given
        self.made: list[Config] = []

    def add(self, class_name: str, tensors: Config | Sequence[Config], /, **arguments: Any) -> Config:
        """The tensor that a layer of this class gives; its shape is not known."""
        inputs = [tensors] if isinstance(tensors, dict) else list(tensors)
        name = f"{self.name}_operation_{len(self.made)}"
        args = inputs if isinstance(tensors, dict) else [inputs]
        entry = {"module": "keras.layers", "class_name": class_name, "config": {"name": name} | arguments}
        self.made.append(entry | {"name": name, "is_operation": True, "inbound_nodes": [{"args": args, "kwargs": {}}]})
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    def apply(self, function: str, x: Config) -> Config:
        """A function of each number, by its name as `Elementary` has it."""
        return self.add("Elementary", x, function=function)

    def power(self, x: Config, exponent: float) -> Config:
        """x^exponent"""
        return self.add("Elementary", x, function="power", exponent=exponent)

    def scaled(self, x: Config, scale: Any = 1.0, offset: Any = 0.0) -> Config:
        """scale · x + offset, of numbers or arrays for all samples."""
        return self.add("Rescaling", x, scale=_listed(scale), offset=_listed(offset))

    def constant(self, like: Config, values: Any) -> Config:
        """Numbers for every sample, of `like`'s shape and that of the values; `like` may be infinite or NaN."""
        return self.scaled(self.apply("positive", like), 0.0, values)

    def key(self, rank: int, parts: dict[int, Any]) -> list[Any]:
        """The key of `GetItem` with these parts by axes that count the batch's."""
        return [parts.get(axis, WHOLE) for axis in range(1, rank)]

    def part(self, x: Config, rank: int, axis: int, index: Any) -> Config:
        """A part along one axis: an integer, which takes it away, or [start, stop, step]."""
        return self.add("GetItem", x, key=self.key(rank, {axis: index}))

    def expanded(self, x: Config, axis: int) -> Config:
        """x with an axis of size 1 more."""
        return self.add("GetItem", x, key=[*[WHOLE] * (axis - 1), None])

    def squeezed(self, x: Config, rank: int, axes: Sequence[int]) -> Config:
        """x without axes of size 1."""
        return self.add("GetItem", x, key=self.key(rank, dict.fromkeys(axes, 0))) if axes else x

    def permuted(self, x: Config, order: Sequence[int]) -> Config:
        """x with its axes in another order, of which the batch's is the first."""
        return x if list(order) == sorted(order) else self.add("Permute", x, dims=list(order[1:]))

    def divided(self, a: Config, b: Config) -> Config:
        """a / b"""
        return self.add("Arithmetic", [a, b], operation="divide")

    def operand(self, index: int, like: Config) -> Config | None:
        """An argument as a tensor, of numbers too; None if it is none, or for samples one by one."""
        value = self.args[index]
        if is_tensor(value):
            return value if rank_of(value) == rank_of(like) else None
        if is_finite(value):
            return self.constant(like, float(value))
        array = for_samples(value, rank_of(like))
        return None if array is None else self.constant(like, array)

    def with_number(self, name: str, x: Config, number: Any, comes_first: bool = False) -> Config | None:
        """An operation of two, with a number or an array for all samples."""
        made = with_number(name, number, comes_first)
        return None if made is None else self.add(made[0], x, **{key: _listed(v) for key, v in made[1].items()})


RECIPES: dict[str, Callable[[Operation], Made]] = {}
"""Keras's operation → what adds its layers."""


def recipe(*names: str) -> Callable[[Callable[[Operation], Made]], Callable[[Operation], Made]]:
    """Note a function as the recipe for these operations."""

    def noted(function: Callable[[Operation], Made]) -> Callable[[Operation], Made]:
        RECIPES.update(dict.fromkeys(names, function))
        return function

    return noted


def is_tensor(value: object) -> bool:
    """Whether an argument is a tensor of the model, of known rank."""
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__" and rank_of(value) > 0


def shape_of(tensor: Config) -> list[Any]:
    """With the batch axis; empty if the file does not say it."""
    config = tensor.get("config")
    shape = config.get("shape") if isinstance(config, dict) else None
    return shape if isinstance(shape, list) and all(n is None or is_integer(n) for n in shape) else []


def rank_of(tensor: Config) -> int:
    """How many axes a tensor has, with the batch's; 0 if that is not known."""
    return len(shape_of(tensor))


def dtype_of(tensor: Config) -> str:
    """The dtype that Keras has it in."""
    return str((tensor.get("config") or {}).get("dtype"))


def is_floating(tensor: Config) -> bool:
    """Whether Keras has a tensor in floating-point numbers."""
    return dtype_of(tensor).startswith(("float", "bfloat"))


def axes_in(given: Any, rank: int) -> list[int] | None:
    """Axes from integers that count the batch's, which cannot be among them, as None, all of them, says."""
    axes = given if isinstance(given, list) else [given]
    if not axes or not all(is_integer(axis) and -rank <= axis < rank for axis in axes):
        return None
    found = sorted({axis % rank for axis in axes})
    return None if 0 in found or len(found) < len(axes) else found


def is_finite(value: object) -> bool:
    """Whether an argument is a number that arithmetic can do something with."""
    return isinstance(value, Real) and abs(value) <= sys.float_info.max  # JSON has integers of any length


def for_samples(value: object, rank: int) -> np.ndarray | None:
    """An array among the arguments without the axis of samples, beside a tensor of this rank."""
    array = array_in(value)
    if array is None or not np.isfinite(array).all():
        return None
    array = array[0] if array.ndim == rank and len(array) == 1 else array
    return array if array.ndim < rank else None


def _plain(value):
    """Lists of numbers, and arrays without axes, as what they are."""
    if isinstance(value, list) and value and not any(isinstance(part, dict | str) or part is None for part in value):
        return {"class_name": "__numpy__", "config": {"value": value}}
    array = array_in(value)
    return array.item() if array is not None and array.ndim == 0 else value


def _listed(value):
    return value.tolist() if isinstance(value, np.ndarray) else value
