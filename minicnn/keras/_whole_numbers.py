"""Whole numbers among a model's tensors, which hold them as floats: inputs of such dtypes, and what is cast to them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras._new_arrays import standardize_dtype
from minicnn.layers.rare_options import WHOLE
from minicnn.layers.slicing import GetItem

_KEEPING = (layers.Reshape, layers.Permute, layers.Flatten, layers.RepeatVector, layers.Concatenate, GetItem)
_KEEPING += (layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum)
_KEEPING += (layers.Rescaling,)
"""Layers that give whole numbers where they are given such."""
_COUNTING = (layers.Add, layers.Subtract, layers.Rescaling)  # of bools, too: what they give is not 0 or 1 alone


def note_dtype(tensor: Tensor, dtype: Any) -> Tensor:
    """The tensor, which keeps that its numbers are of a dtype of whole numbers or of bools; of others nothing.

    Raises
    ------
    ValueError
        If it is no dtype.
    """
    name = _name_of(dtype)
    if name in WHOLE:
        vars(tensor)["whole_dtype"] = name
        if isinstance(tensor.node.layer, layers.InputLayer):  # which files and clones hold
            vars(tensor.node.layer)["input_dtype"] = name
    return tensor


def without_whole(kwargs: Mapping[str, Any], tensor: Tensor | None = None) -> dict[str, Any]:
    """The arguments of an InputLayer, whose ``dtype`` of whole numbers or bools is its `input_dtype`.

    Parameters
    ----------
    kwargs : mapping
    tensor : Tensor, optional
        Its `input_tensor`, whose dtype it has.
    """
    name = _whole_name(kwargs.get("dtype")) or (None if tensor is None else whole_dtype(tensor))
    return {**kwargs, "dtype": None, "input_dtype": name} if name else dict(kwargs)


def _whole_name(dtype):
    """The name of a dtype of whole numbers or bools, which may be a type, np.uint8 or int; None of anything else."""
    try:
        name = _name_of(dtype)
    except ValueError:  # a dtype policy's
        return None
    return name if name in WHOLE else None


def _name_of(dtype):
    """The name of a dtype, as Keras has it."""
    try:
        return standardize_dtype(getattr(dtype, "name", dtype))
    except TypeError:
        raise ValueError(f"a dtype is a name such as 'float32' or 'int32'. Received: dtype={dtype!r}") from None


def whole_dtype(tensor: Tensor) -> str | None:
    """The dtype of whole numbers or bools that a tensor was given, or those that it is made of; None of others."""
    if (of_input := getattr(tensor.node.layer, "input_dtype", None)) is not None:
        return of_input
    if "whole_dtype" not in vars(tensor):  # found once: a tensor that is added to itself is asked twice, and so on
        vars(tensor)["whole_dtype"] = _found(tensor.node) if isinstance(tensor.node.layer, _KEEPING) else None
    return vars(tensor)["whole_dtype"]


def _found(node):
    layer = node.layer
    if isinstance(layer, layers.Rescaling) and any(np.mod(each, 1).any() for each in (layer.scale, layer.offset)):
        return None
    kinds = {whole_dtype(each) for each in node.inputs}
    kind = kinds.pop() if len(kinds) == 1 else None
    return "int32" if kind == "bool" and isinstance(layer, _COUNTING) else kind


def as_whole(tensor: Tensor, dtype: Any) -> Tensor:
    """The numbers without what is behind the point, for "bool" 1 where they are not 0; for other dtypes as they are.

    Raises
    ------
    ValueError
        If it is no dtype.
    """
    name, known = _name_of(dtype), whole_dtype(tensor)
    if name not in WHOLE or known == "bool" or (known and name != "bool"):
        return tensor
    if name == "bool":
        return note_dtype(1.0 - layers.Elementary("nonnegative")(-abs(tensor)), name)
    return note_dtype(layers.Elementary("floor")(abs(tensor)) * layers.Elementary("sign")(tensor), name)


def _operator(name, is_reflected):
    """An operator of a tensor that is a function of ``keras.ops``."""

    def operator(tensor: Tensor, other: Any) -> Any:
        operands = (other, tensor) if is_reflected else (tensor, other)
        made = getattr(import_module("minicnn.keras.ops"), name)(*operands)
        kinds = {whole_dtype(x) if isinstance(x, Tensor) else type(x).__name__ for x in operands} - {"int"}
        return note_dtype(made, kinds.pop()) if len(kinds) == 1 else made

    return operator


for _symbol, _name in (("floordiv", "floor_divide"), ("mod", "mod")):
    setattr(Tensor, f"__{_symbol}__", _operator(_name, False))
    setattr(Tensor, f"__r{_symbol}__", _operator(_name, True))


def _power(of_number):
    """``tensor ** exponent``: the layer for a number, or the function of ``keras.ops``."""
    of_operands = _operator("power", False)

    def power(tensor: Tensor, exponent: Any) -> Any:
        made = NotImplemented if isinstance(exponent, Tensor) else of_number(tensor, exponent)
        return of_operands(tensor, exponent) if made is NotImplemented else made

    return power


Tensor.__pow__ = _power(Tensor.__pow__)  # type: ignore[attr-defined]
Tensor.__rpow__ = _operator("power", True)  # type: ignore[attr-defined]


Tensor.dtype = property(  # type: ignore[attr-defined]
    lambda tensor: (
        vars(tensor).get("whole_dtype")
        or getattr(tensor.node.layer, "input_dtype", None)
        or tensor.node.layer.compute_dtype
    ),
    doc="What an input was said to be, or a cast; of others, in which it is computed, by name.",
)


layers.InputLayer.dtype = property(  # type: ignore[assignment]
    lambda layer: layer.input_dtype or layer.variable_dtype,
    doc="What the input was said to be.",
)


def largest_first(numbers: np.ndarray, axis: int = -1) -> np.ndarray:
    """The places of numbers along an axis, the largest first; of equal ones the first."""
    turned = ~numbers if numbers.dtype.kind in "biu" else -numbers  # of which -0 and the least number have no negative
    return np.argsort(turned, axis, kind="stable")


def rectified(name: str, x: Any, options: Any) -> Any:
    """What "relu" and "relu6" make of an array of whole numbers, which stay exact; None for anything else."""
    if name not in ("relu", "relu6") or options or getattr(getattr(x, "dtype", None), "kind", "") not in ("i", "u"):
        return None
    return np.clip(np.asarray(x), 0, 6 if name == "relu6" else None)


def whole_sizes(sizes: Any) -> Any:
    """Sizes in a list or tuple, of which those that are whole numbers in an array of floats become Python's.

    So ``tf.math.ceil(height / 8)`` may be among them, as TensorFlow takes it, which would cut a fraction off; and so
    does what ``tf.stack`` made of sizes, in which None is how many samples there are.
    """
    if isinstance(sizes, np.ndarray) and sizes.ndim == 1 and sizes.dtype.kind == "O":
        sizes = sizes.tolist()
    return type(sizes)(map(_whole_size, sizes)) if type(sizes) in (list, tuple) else sizes


def _whole_size(size):
    is_number = isinstance(size, np.ndarray | np.floating) and size.ndim == 0 and size.dtype.kind == "f"
    return int(size) if is_number and float(size).is_integer() else size
