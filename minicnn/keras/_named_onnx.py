"""Functions of ``keras.ops`` that files hold by their names, as nodes of ONNX where operators do them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

_OF_NUMBERS = {"arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh", "arctan": "Atan"}
_OF_NUMBERS |= {"arctanh": "Atanh", "cosh": "Cosh", "sinh": "Sinh", "stop_gradient": "Identity"}
_OF_PAIRS = {"equal": "Equal", "greater_equal": "GreaterOrEqual", "less_equal": "LessOrEqual"}
_INPUT, _SECOND = {"input": 0}, {"input": 1}
_FLOAT, _INTEGER, _BOOL = 1, 7, 9


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
        Where no operators do it.
    """
    inputs = [graph.channels_last(x) for x in xs]
    if name in _OF_NUMBERS and (list(args), options) == ([_INPUT], {}):
        return graph.add(_OF_NUMBERS[name], inputs)
    same = [x.shape for x in xs] == [xs[0].shape] * 2
    if name in _OF_PAIRS and same and (list(args), options) == ([_INPUT, _SECOND], {}):
        return graph.add("Cast", [graph.add(_OF_PAIRS[name], inputs)], to=_FLOAT)
    if name == "einsum" and list(args[1:]) == [{"input": at} for at in range(len(xs))] and not options:
        return graph.add("Einsum", inputs, equation=args[0].replace(" ", ""))
    try:
        return _of_operators(_Nodes(graph, inputs), name, args, options)
    except NotImplementedError:
        raise ValueError(
            f"keras.ops.{name} with these arguments cannot be written as ONNX: no operators do it. Leave it to the "
            "program that runs the file, or write a layer with a method to_onnx, as docs/adding_a_layer.md says. "
            f"Received: args={list(args)}, {dict(options)}"
        ) from None


def _of_operators(nodes, name, args, options):
    if name not in _MADE:
        raise NotImplementedError
    given = {option: nodes.read(part) for option, part in options.items()}
    try:
        bound = signature(_MADE[name]).bind(nodes, *map(nodes.read, args), **given)
    except TypeError:
        raise NotImplementedError from None
    return _MADE[name](*bound.args, **bound.kwargs)


class _Nodes:
    """A graph, and what an argument of a function is in it."""

    def __init__(self, graph: GraphWriter, inputs: Sequence[Value]) -> None:
        self.graph, self.inputs = graph, inputs

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> Value:
        """A node; numbers among its inputs are constants of float32."""
        values = [self.graph.constant(np.float32(x)) if isinstance(x, int | float) else x for x in inputs]
        return self.graph.add(operator, values, **attributes)

    def read(self, part: Any) -> Any:
        """An argument: a value of the graph where it is an input."""
        return self.inputs[part["input"]] if isinstance(part, Mapping) and "input" in part else part

    def integers(self, *numbers: int) -> Value:
        """A list of them."""
        return self.graph.constant(np.array(numbers, np.int64))

    def along(self, x: Any, axis: Any) -> tuple[int, int]:
        """(axis, size) of an axis of each sample, counted from 0."""
        if not isinstance(axis, int) or isinstance(x, int | float | Mapping):
            raise NotImplementedError
        axis %= len(x.shape) + 1
        if axis == 0 or x.shape[axis - 1] is None:
            raise NotImplementedError  # samples are mixed, or as many numbers as the sizes say
        return axis, x.shape[axis - 1]

    def pair(self, x1: Any, x2: Any) -> None:
        """Raise NotImplementedError unless these are numbers, or tensors with as many axes."""
        ranks = {len(x.shape) for x in (x1, x2) if not isinstance(x, int | float | Mapping | list)}
        if len(ranks) != 1 or any(isinstance(x, Mapping | list) for x in (x1, x2)):
            raise NotImplementedError


def _sorted(nodes: _Nodes, x: Any, axis: Any = -1) -> Value:
    return _ordered(nodes, x, axis, 0)


def _order(nodes: _Nodes, x: Any, axis: Any = -1) -> Value:
    return nodes.add("Cast", _ordered(nodes, x, axis, 1), to=_FLOAT)


def _ordered(nodes, x, axis, output):
    axis, size = nodes.along(x, axis)
    return nodes.add("TopK", x, nodes.integers(size), axis=axis, largest=0, output=(output, 2))


def _greatest(output: int) -> Callable[..., Value]:
    """The greatest numbers of the last axis, or where they are, the greatest first."""

    def made(nodes: _Nodes, x: Any, k: int, sorted: bool = True) -> Value:
        axis, size = nodes.along(x, -1)
        if not isinstance(k, int) or not 0 < k <= size:
            raise NotImplementedError
        y = nodes.add("TopK", x, nodes.integers(k), axis=axis, output=(output, 2))
        return nodes.add("Cast", y, to=_FLOAT) if output else y

    return made


def _median(nodes: _Nodes, x: Any, axis: Any = None, keepdims: bool = False) -> Value:
    """The number in the middle, or the mean of two."""
    axis, size = nodes.along(x, axis)
    ordered, middle = _sorted(nodes, x, axis), sorted({(size - 1) // 2, size // 2})
    y = nodes.add("Gather", ordered, nodes.integers(*middle), axis=axis)
    return nodes.add("ReduceMean", y, axes=[axis], keepdims=int(keepdims))


def _product(nodes: _Nodes, x: Any, axis: Any = None, keepdims: bool = False, dtype: None = None) -> Value:
    axes = (
        axis["tuple"] if isinstance(axis, Mapping) and "tuple" in axis else axis if isinstance(axis, list) else [axis]
    )
    axes = [nodes.along(x, each)[0] for each in axes]
    return nodes.add("ReduceProd", x, axes=axes, keepdims=int(keepdims))


def _sums_up(nodes: _Nodes, x: Any, axis: Any = None) -> Value:
    if not isinstance(axis, int):
        raise NotImplementedError
    return nodes.add("CumSum", x, nodes.graph.constant(np.int64(axis)))


def _one_hot(nodes: _Nodes, x: Any, num_classes: int, axis: Any = -1, dtype: Any = None, sparse: bool = False) -> Value:
    """1 where a class is its own number; classes below 0 have none."""
    rank = len(x.shape) + 2
    axis = axis % rank if isinstance(axis, int) else 0
    if axis == 0 or sparse:
        raise NotImplementedError
    apart = nodes.add("Unsqueeze", nodes.add("Cast", x, to=_INTEGER), nodes.integers(axis))
    classes = np.arange(num_classes).reshape([-1 if n == axis else 1 for n in range(rank)])
    return nodes.add("Cast", nodes.add("Equal", apart, nodes.graph.constant(classes)), to=_FLOAT)


def _cut_off_remainder(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    nodes.pair(x1, x2)
    return nodes.add("Mod", x1, x2, fmod=1)


def _remainder(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    """With the divisor's sign: where the one that has x1's is another one, the divisor is added."""
    rest = _cut_off_remainder(nodes, x1, x2)
    is_below = nodes.add("Xor", nodes.add("Less", rest, 0.0), nodes.add("Less", x2, 0.0))
    is_other = nodes.add("And", is_below, nodes.add("Not", nodes.add("Equal", rest, 0.0)))
    return nodes.add("Where", is_other, nodes.add("Add", rest, x2), rest)


def _is_below(nodes: _Nodes, x: Any) -> Value:
    """Whether a number has the sign -, which -0 has, too: its inverse is negative then."""
    return nodes.add("Or", nodes.add("Less", x, 0.0), nodes.add("Less", nodes.add("Div", 1.0, x), 0.0))


def _angle(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    """Of (x2, x1): that of the quotient, half a turn further where x2 is negative."""
    nodes.pair(x1, x2)
    both = nodes.add("And", nodes.add("Equal", x1, 0.0), nodes.add("Equal", x2, 0.0))
    quotient = nodes.add("Where", both, 0.0, nodes.add("Div", x1, x2))
    turn = nodes.add("Where", _is_below(nodes, x1), -math.pi, math.pi)
    turn = nodes.add("Where", _is_below(nodes, x2), turn, 0.0)
    return nodes.add("Add", nodes.add("Atan", quotient), turn)


def _quotient_or_nothing(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    nodes.pair(x1, x2)
    return nodes.add("Where", nodes.add("Equal", x2, 0.0), 0.0, nodes.add("Div", x1, x2))


def _extreme_number(operator: str) -> Callable[..., Value]:
    """The larger or smaller one, or the one that is a number."""

    def made(nodes: _Nodes, x1: Any, x2: Any) -> Value:
        nodes.pair(x1, x2)
        if isinstance(x1, int | float) or isinstance(x2, int | float):
            raise NotImplementedError
        first = nodes.add("Where", nodes.add("IsNaN", x2), x1, nodes.add(operator, x1, x2))
        return nodes.add("Where", nodes.add("IsNaN", x1), x2, first)

    return made


def _numbers_alone(nodes: _Nodes, x: Any) -> Value:
    """0 for what is no number, the largest one for what is infinite."""
    largest = float(np.finfo(np.float32).max)
    return nodes.add("Clip", nodes.add("Where", nodes.add("IsNaN", x), 0.0, x), -largest, largest)


def _differences(nodes: _Nodes, a: Any, n: int = 1, axis: Any = -1) -> Value:
    axis, size = nodes.along(a, axis)
    if n != 1 or size < 2:
        raise NotImplementedError
    bounds = [(1, size), (0, size - 1)]
    later, earlier = (nodes.add("Slice", a, *map(nodes.integers, (start, end, axis))) for start, end in bounds)
    return nodes.add("Sub", later, earlier)


def _spread(nodes: _Nodes, x: Any, axis: Any = None, keepdims: bool = False) -> Value:
    """The greatest number less the least one."""
    options = {"axes": [nodes.along(x, axis)[0]], "keepdims": int(keepdims)}
    return nodes.add("Sub", nodes.add("ReduceMax", x, **options), nodes.add("ReduceMin", x, **options))


def _either(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    nodes.pair(x1, x2)
    truths = [nodes.add("Cast", x, to=_BOOL) if not isinstance(x, int | float) else None for x in (x1, x2)]
    if None in truths:
        raise NotImplementedError
    return nodes.add("Cast", nodes.add("Xor", *truths), to=_FLOAT)


def _is_infinite(**sides: int) -> Callable[..., Value]:
    return lambda nodes, x: nodes.add("Cast", nodes.add("IsInf", x, **sides), to=_FLOAT)


def _is_finite(nodes: _Nodes, x: Any) -> Value:
    """What is 0 once it is multiplied by 0."""
    return nodes.add("Cast", nodes.add("Equal", nodes.add("Mul", x, 0.0), 0.0), to=_FLOAT)


def _logarithm(base: float) -> Callable[..., Value]:
    return lambda nodes, x: nodes.add("Mul", nodes.add("Log", x), 1 / math.log(base))


def _cut_off(nodes: _Nodes, x: Any) -> Value:
    return nodes.add("Mul", nodes.add("Sign", x), nodes.add("Floor", nodes.add("Abs", x)))


def _hypotenuse(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    """√(x1² + x2²), of quotients by the larger one, whose squares stay finite."""
    nodes.pair(x1, x2)
    a, b = nodes.add("Abs", x1), nodes.add("Abs", x2)
    large, small = nodes.add("Max", a, b), nodes.add("Min", a, b)
    ratio = nodes.add("Div", small, nodes.add("Where", nodes.add("Equal", large, 0.0), 1.0, large))
    return nodes.add("Mul", large, nodes.add("Sqrt", nodes.add("Add", nodes.add("Mul", ratio, ratio), 1.0)))


def _dot(nodes: _Nodes, x1: Any, x2: Any) -> Value:
    if not isinstance(x2, Mapping) or np.ndim(x2.get("array", 0)) not in (1, 2):
        raise NotImplementedError
    return _tensordot(nodes, x1, x2, 1)


def _tensordot(nodes: _Nodes, x1: Any, x2: Any, axes: Any = 2) -> Value:
    """Of samples and an array: one product of matrices."""
    if not isinstance(axes, int) or not isinstance(x2, Mapping) or "array" not in x2 or isinstance(x1, Mapping):
        raise NotImplementedError
    kernel = np.array(x2["array"], np.float32)
    kept = len(x1.shape) - axes
    if kept < 0 or axes < 1 or None in x1.shape or kernel.ndim < axes or x1.shape[kept:] != kernel.shape[:axes]:
        raise NotImplementedError
    rows = math.prod(kernel.shape[:axes])
    flat = nodes.add("Reshape", x1, nodes.integers(-1, rows))
    y = nodes.add("MatMul", flat, nodes.graph.constant(kernel.reshape(rows, -1)))
    return nodes.add("Reshape", y, nodes.integers(-1, *x1.shape[:kept], *kernel.shape[axes:]))


def _pad(nodes: _Nodes, x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Value:
    widths = np.broadcast_to(np.asarray(pad_width, np.int64), (len(x.shape) + 1, 2))
    number = 0.0 if constant_values is None else constant_values
    if widths[0].any() or mode not in ("constant", "reflect") or not isinstance(number, int | float):
        raise NotImplementedError  # the samples', or mirrored with the edge, which ONNX does not do
    inputs = [x, nodes.integers(*widths.T.ravel().tolist()), *([float(number)] if mode == "constant" else [])]
    return nodes.add("Pad", *inputs, mode=mode)


_MADE: dict[str, Callable[..., Value]] = {
    "arctan2": _angle,
    "argsort": _order,
    "cbrt": lambda nodes, x: nodes.add("Mul", nodes.add("Sign", x), nodes.add("Pow", nodes.add("Abs", x), 1 / 3)),
    "cumsum": _sums_up,
    "deg2rad": lambda nodes, x: nodes.add("Mul", x, math.pi / 180),
    "diff": _differences,
    "divide_no_nan": _quotient_or_nothing,
    "dot": _dot,
    "exp2": lambda nodes, x: nodes.add("Pow", 2.0, x),
    "fmax": _extreme_number("Max"),
    "fmin": _extreme_number("Min"),
    "fmod": _cut_off_remainder,
    "hypot": _hypotenuse,
    "isfinite": _is_finite,
    "isinf": _is_infinite(),
    "isneginf": _is_infinite(detect_positive=0),
    "isposinf": _is_infinite(detect_negative=0),
    "log10": _logarithm(10),
    "log2": _logarithm(2),
    "logical_xor": _either,
    "median": _median,
    "mod": _remainder,
    "nan_to_num": _numbers_alone,
    "one_hot": _one_hot,
    "pad": _pad,
    "prod": _product,
    "ptp": _spread,
    "rad2deg": lambda nodes, x: nodes.add("Mul", x, 180 / math.pi),
    "signbit": lambda nodes, x: nodes.add("Cast", _is_below(nodes, x), to=_FLOAT),
    "sort": _sorted,
    "tensordot": _tensordot,
    "top_k_indices": _greatest(1),
    "top_k_values": _greatest(0),
    "trunc": _cut_off,
}
"""Function → what makes nodes of its arguments."""
