"""Operations that no recipe takes: called by their function's name, as `minicnn.keras` does it."""

from __future__ import annotations

from typing import Any

from minicnn.hints import Config
from minicnn.saving.keras.names import is_known
from minicnn.saving.keras.operation_table import BY_CLASS, Function
from minicnn.saving.keras.operations import array_in
from minicnn.saving.keras.recipe import Made, Operation, axes_in, for_samples, is_finite, is_tensor, rank_of

LAYER = "NamedFunction"
"""The layer that calls a function of ``keras.ops``; its class is known where `minicnn.keras` is."""

_AXES = ("axis", "axis1", "axis2", "axes")


def by_name(operation: Operation) -> Made:
    """An operation in which samples stay apart, as a layer that calls the function; None for any other."""
    if not has_name(operation) or not is_known(LAYER):
        return None
    function = BY_CLASS[operation.kind]
    if function.name == "top_k":
        return [_called(operation, function, f"top_k_{part}") for part in ("values", "indices")]
    return _called(operation, function, function.name)


def has_name(operation: Operation) -> bool:
    """Whether an operation is a function that may be called by its name."""
    function = BY_CLASS.get(operation.kind)
    known = {*(() if function is None else function.order)}
    if function is None or not operation.options.keys() <= known or function.apart not in _APART:
        return False
    return _APART[function.apart](operation)


def _are_tensors_and_numbers(operation) -> bool:
    """Whether the arguments are tensors with as many axes each, and numbers or arrays for all samples."""
    tensors = [value for value in operation.args if is_tensor(value)]
    if not tensors or len({rank_of(x) for x in tensors}) > 1:
        return False
    others = [value for value in operation.args if not is_tensor(value)]
    return all(is_finite(value) or for_samples(value, rank_of(tensors[0])) is not None for value in others)


def _along_axes(operation) -> bool:
    """Whether all axes are said, and none is that of samples."""
    if not _are_tensors_and_numbers(operation) or not is_tensor(operation.args[0]):
        return False
    given = BY_CLASS[operation.kind].options | operation.options
    axes = [given[name] for name in _AXES if name in given and (name != "axis" or "axis1" not in given)]
    return bool(axes) and all(axes_in(axis, rank_of(operation.args[0])) is not None for axis in axes)


def _of_matrices(operation) -> bool:
    is_plain = _are_tensors_and_numbers(operation)
    return is_plain and all(is_tensor(value) and rank_of(value) > 2 for value in operation.args)


def _by_letters(operation) -> bool:
    """Whether the first letter of all tensors is that of samples, and the result's, and no other one is."""
    inputs, arrow, output = str(operation.options.get("subscripts")).replace(" ", "").partition("->")
    parts = inputs.split(",")
    is_whole = bool(arrow) and bool(output) and "." not in inputs and len(parts) == len(operation.args)
    if not is_whole or not any(map(is_tensor, operation.args)):
        return False
    letter = output[0]
    for part, value in zip(parts, operation.args, strict=True):
        if is_tensor(value) and (not part.startswith(letter) or part.count(letter) > 1):
            return False
        if not is_tensor(value) and (letter in part or array_in(value) is None):
            return False
    return output.count(letter) == 1


def _along_last(operation) -> bool:
    return _are_tensors_and_numbers(operation) and len(operation.args) == 1 and rank_of(operation.args[0]) > 1


_APART = {
    "along": _along_axes,
    "each": _are_tensors_and_numbers,
    "last": _along_last,
    "letters": _by_letters,
    "matrices": _of_matrices,
}
"""How samples stay apart → whether they do, with these arguments."""


def _called(operation: Operation, function: Function, name: str) -> Config:
    tensors = [value for value in operation.args if is_tensor(value)]
    values = [_written(value, tensors) for value in operation.args]
    named = {name: _written(value, tensors) for name, value in operation.options.items()}
    if function.takes[-1].startswith("*"):
        args, options = [*(named[option] for option in function.options), *values], {}
    else:
        given = dict(zip(function.takes, values, strict=False)) | named
        placed = [argument for argument in function.order[: len(values)] if argument in function.takes]
        args = [given.pop(argument) for argument in placed if argument in given]
        options = {n: v for n, v in given.items() if n not in function.options or v != function.options[n]}
    return operation.add(LAYER, tensors if len(tensors) > 1 else tensors[0], operation=name, args=args, options=options)


def _written(value: Any, tensors: list[Config]) -> Any:
    """An argument as the layer has it."""
    if is_tensor(value):
        return {"input": next(at for at, tensor in enumerate(tensors) if tensor is value)}
    array = array_in(value)
    return value if array is None else {"array": array.tolist(), "dtype": "float32"}
