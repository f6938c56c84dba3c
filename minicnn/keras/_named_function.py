"""Functions of ``keras.ops`` of a model's tensors, as layers that files hold by the function's name and arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from inspect import unwrap
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.hints import Config
from minicnn.keras._as_layers import as_layers
from minicnn.keras._deferred import tensors_in
from minicnn.keras._named_onnx import as_nodes
from minicnn.layers.base import register

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

_SEVERAL = {"array_split", "dsplit", "eig", "eigh", "histogram", "hsplit", "lstsq", "meshgrid", "nonzero", "qr"}
_SEVERAL |= {"slogdet", "svd", "unique", "unravel_index", "vsplit"}
"""Functions that give several arrays, or as many numbers as the values say."""
_PARTS = ("top_k_indices", "top_k_values")  # of what `top_k` gives
_TABLES = ("_further.FURTHER", "_rare.RARE", "_arranged.ARRANGED")


def function_named(name: str) -> Callable[..., Any] | None:
    """The function of arrays that ``keras.ops`` has under a name; None where no layer is made of it."""
    if name in _SEVERAL:
        return None
    operations = import_module("minicnn.keras._operations")
    if name in (*operations.NUMPY, *operations.ACTIVATIONS):
        return operations.either(name)
    if name == "pad":
        return operations.pad
    if name in _PARTS:
        return lambda *args, **options: getattr(import_module("minicnn.keras.ops").top_k(*args, **options), name[6:])
    tables = (getattr(import_module(f"minicnn.keras.ops.{m}"), t) for m, t in (each.split(".") for each in _TABLES))
    return next((table[name] for table in tables if name in table), None)


def is_of_ops(name: str, function: Callable[..., Any]) -> bool:
    """Whether ``keras.ops`` has the function under this name, and no other one."""
    found = function_named(name)
    return found is not None and unwrap(found) is unwrap(function)


@register
class NamedFunction(layers.Lambda):
    """What ``keras.ops.sort(x, axis=-1)`` of a model's tensor is, where no other layer does it.

    Parameters
    ----------
    operation : str
        The function's name in ``keras.ops``.
    args : list
        Its arguments by place: numbers, text, None, ``{"input": 0}`` for the layer's first input, ``{"array": …,
        "dtype": …}``, ``{"tuple": […]}``, and lists of these.
    options : dict
        Its arguments by name.
    **kwargs
        name, …, of any layer.
    """

    holds_code = False

    def __init__(self, operation: str, args: Sequence[Any], options: Mapping[str, Any], **kwargs: Any) -> None:
        if (of_arrays := function_named(operation)) is None:
            raise ValueError(f"operation is a function of keras.ops that gives one array. Received: {operation!r}")
        args, options = deepcopy(list(args)), deepcopy(dict(options))
        places = set(_inputs_in([*args, *options.values()]))
        if not places:  # a stranger's file could make anything of numbers alone
            raise ValueError(
                f"args and options name the layer's inputs, {{'input': 0}}. Received: {args!r}, {options!r}"
            )

        def function(inputs: Any) -> Any:
            given = inputs if isinstance(inputs, list) else [inputs]
            if any(isinstance(x, Tensor) for x in given):
                raise TypeError("this function needs numbers")  # a Lambda layer asks for them then
            if not places <= {*range(len(given))}:
                raise ValueError(f"they name inputs from 0 to {len(given) - 1}. Received: {args=}, {options=}")
            return of_arrays(
                *(_read(part, given) for part in args), **{name: _read(part, given) for name, part in options.items()}
            )

        super().__init__(function, **kwargs)
        self.operation, self.args, self.options = operation, args, options

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return as_nodes(self.operation, self.args, self.options, xs, graph)

    def get_config(self) -> Config:
        """The constructor's arguments."""
        config = {name: value for name, value in super().get_config().items() if name not in ("function", "arguments")}
        return {**config, "operation": self.operation, **deepcopy({"args": self.args, "options": self.options})}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """A layer from what `get_config` returned."""
        return cls(**config)


def named(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The function of a model's tensors, as layers that files hold; None where they do not hold its arguments.

    Parameters
    ----------
    name, args, kwargs
        As of `as_layers`.
    """
    if (made := as_layers(name, args, kwargs)) is not None:
        return made
    tensors = tensors_in(args, kwargs)
    try:
        written = [_written(part, tensors) for part in args]
        options = {option: _written(part, tensors) for option, part in kwargs.items()}
    except TypeError:
        return None
    if not tensors or function_named(name) is None:
        return None
    return NamedFunction(name, written, options)(tensors if len(tensors) > 1 else tensors[0])


def _written(part: Any, tensors: Sequence[Tensor]) -> Any:
    """An argument as JSON has it."""
    if isinstance(part, Tensor):
        return {"input": next(at for at, tensor in enumerate(tensors) if tensor is part)}
    if type(part) is tuple:
        return {"tuple": [_written(each, tensors) for each in part]}
    if type(part) is list:
        return [_written(each, tensors) for each in part]
    if isinstance(part, np.ndarray | np.generic) and np.asarray(part).dtype.kind in "biuf":
        return {"array": np.asarray(part).tolist(), "dtype": np.asarray(part).dtype.name}
    if part is None or type(part) in (bool, int, float, str):
        return part
    raise TypeError(f"no file holds this argument. Received: {part!r}")


def _inputs_in(part: Any) -> Iterator[Any]:
    """Which inputs of the layer an argument, or what is in a list or tuple of them, names."""
    if isinstance(part, list):
        for each in part:
            yield from _inputs_in(each)
    elif isinstance(part, Mapping) and "input" in part:
        yield part["input"]
    elif isinstance(part, Mapping):
        yield from _inputs_in(part.get("tuple"))


def _read(part: Any, inputs: Sequence[Any]) -> Any:
    """The argument that `_written` wrote."""
    if isinstance(part, list):
        return [_read(each, inputs) for each in part]
    if not isinstance(part, Mapping):
        return part
    if "input" in part:
        return inputs[part["input"]]
    if "tuple" in part:
        return tuple(_read(each, inputs) for each in part["tuple"])
    return np.array(part["array"], part["dtype"])
