"""Functions of ``keras.ops`` that files hold by their names, as nodes of ONNX where one operator does them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

_OF_NUMBERS = {"arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh", "arctan": "Atan"}
_OF_NUMBERS |= {"arctanh": "Atanh", "cosh": "Cosh", "sinh": "Sinh", "stop_gradient": "Identity"}
_OF_PAIRS = {"equal": "Equal", "greater_equal": "GreaterOrEqual", "less_equal": "LessOrEqual"}
_INPUT, _SECOND = {"input": 0}, {"input": 1}


def as_nodes(
    name: str, args: Sequence[Any], options: Mapping[str, Any], xs: tuple[Value, ...], graph: GraphWriter
) -> Value:
    """What the function gives, in a graph of ONNX.

    Parameters
    ----------
    name : str
    args, options
        As of `NamedFunction`.
    xs : tuple of Value
        Its inputs.
    graph : GraphWriter

    Raises
    ------
    ValueError
        Where no operator does it.
    """
    inputs = [graph.channels_last(x) for x in xs]
    if name in _OF_NUMBERS and (list(args), options) == ([_INPUT], {}):
        return graph.add(_OF_NUMBERS[name], inputs)
    same = [x.shape for x in xs] == [xs[0].shape] * 2
    if name in _OF_PAIRS and same and (list(args), options) == ([_INPUT, _SECOND], {}):
        return graph.add("Cast", [graph.add(_OF_PAIRS[name], inputs)], to=1)
    if name == "einsum" and list(args[1:]) == [{"input": at} for at in range(len(xs))] and not options:
        return graph.add("Einsum", inputs, equation=args[0].replace(" ", ""))
    axis = options.get("axis", args[1] if len(args) > 1 else None)
    if name == "cumsum" and isinstance(axis, int) and len(args) + len(options) == 2:
        return graph.add("CumSum", [*inputs, graph.constant(np.int64(axis))])
    raise ValueError(
        f"keras.ops.{name} with these arguments cannot be written as ONNX: no operator does it. Leave it to what runs "
        "the file, or write a layer with a method to_onnx, as docs/adding_a_layer.md says. "
        f"Received: args={list(args)}, {dict(options)}"
    )
