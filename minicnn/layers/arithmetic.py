"""Operators between symbolic tensors, and with numbers: ``x + y``, ``1 - x``, ``x / 255``. They are layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import numpy as np

from minicnn.checks import check_number
from minicnn.differentiation import Recorded
from minicnn.dtype_policies import as_operands
from minicnn.errors import ShapeError
from minicnn.graph import Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.activations import Elementwise
from minicnn.layers.base import Examples
from minicnn.layers.elementary import Elementary
from minicnn.layers.merge import Add, Merge, aligned, give
from minicnn.layers.merging import Multiply, Subtract
from minicnn.layers.rescaling import Rescaling, number_or_numbers
from minicnn.mistaken_names import explain_missing
from minicnn.parameters import Weight
from minicnn.step import Arrays, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["Arithmetic", "Power"]

_LAYERS = {"add": Add, "subtract": Subtract, "multiply": Multiply}  # with these, plans merge a sum
_ONNX = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div"}


class Arithmetic(Merge):
    """The sum, difference, product or quotient of two inputs: what operators between symbolic tensors are.

    Parameters
    ----------
    operation : {"add", "subtract", "multiply", "divide"}
        An axis of size 1 counts for all of the other input's.
    """

    uses_input = True
    input_count: int | None = 2

    def __init__(self, operation: str, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if operation not in _ONNX:
            raise ValueError(f"`operation` is one of {', '.join(_ONNX)}. Received: operation={operation!r}")
        self.operation: str = operation

    @property
    def needs(self) -> str:
        return f"{self.operation} needs two inputs"

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):  # x / 0 is an infinity or NaN, as everywhere
            ws.ops.pointwise(ws.y, aligned(xs, ws.y.ndim), self.operation)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        a, b = aligned(ws.xs, dy.ndim)
        gradients = {
            "add": (((dy,), "copy"), ((dy,), "copy")),
            "subtract": (((dy,), "copy"), ((dy,), "scale", (-1.0,))),
            "multiply": (((dy, b), "multiply"), ((dy, a), "multiply")),
            "divide": (((dy, b), "divide"), ((dy, a, b), "divisor_gradient")),
        }[self.operation]
        for index, gradient in enumerate(gradients):
            with np.errstate(divide="ignore", invalid="ignore"):
                give(ws, index, *gradient)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add(_ONNX[self.operation], self.onnx_inputs(xs, graph))

    @classmethod
    def examples(cls) -> Examples:
        yield cls("subtract"), [(4, 3, 2), (4, 3, 2)]
        yield cls("multiply"), [(4, 3, 2), (1, 1, 2)]
        yield cls("divide"), [(4, 3), (4, 3)]


class Power(Elementwise):
    """x to the power of a number: ``x ** 2``; ``1 / x`` is ``x ** -1``.

    Parameters
    ----------
    exponent : float
    """

    def __init__(self, exponent: float, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.exponent: float = check_number("exponent", exponent, minimum=-np.inf)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        np.power(xs[0], np.asarray(self.exponent, ws.y.dtype, like=ws.y), out=ws.y)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        exponent = np.asarray(self.exponent, dy.dtype, like=dy)
        is_nothing = dy == 0 if self.exponent == 0.5 else None
        with np.errstate(divide="ignore", invalid="ignore"):
            np.multiply(dy, exponent * np.power(ws.xs[0], exponent - 1), out=ws.dxs[0])
        if is_nothing is not None:  # behind √0 nothing stays nothing, as of TensorFlow's sqrt: not 0 · infinity
            ws.dxs[0][is_nothing] = 0

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        return graph.add("Pow", [xs[0], graph.constant(np.float32(self.exponent))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(2), [(4, 3)]
        yield cls(3), [(4, 3, 2)]


# ------------------------------------------------------------------------------------------------ the operators


def _operator(operation, affine):
    """An operator of a tensor; `affine` says (scale, offset) for a number."""

    def operator(tensor: Tensor, other: Any) -> Any:
        if isinstance(other, Tensor):
            return _LAYERS.get(operation, lambda: Arithmetic(operation))()([tensor, other])
        if _number(other, tensor.ndim) is None:
            return NotImplemented
        return _rescaled(tensor, other, affine)

    return operator


def _reflected(affine):
    """An operator with the tensor on the right; `affine` as above, None for a quotient."""

    def operator(tensor: Tensor, other: Any) -> Any:
        if _number(other, tensor.ndim) is None:
            return NotImplemented
        if affine is None:
            return _rescaled(Power(-1)(tensor), other, lambda v: (v,))
        return _rescaled(tensor, other, affine)

    return operator


def _rescaled(tensor, other, affine):
    """`tensor` with numbers, or with a variable, whose values the layer takes over when they are assigned."""

    def both(value):
        given = (*affine(_number(value, tensor.ndim)), 0.0)[:2]
        return tuple(map(number_or_numbers, ("scale", "offset"), given))

    layer = Rescaling(*both(other))

    def take_over(value):
        layer.scale, layer.offset = both(value)

    if hasattr(other, "follow"):
        other.follow(take_over)
    return layer(tensor)


def _reciprocal(value):
    """1 / value.

    Raises
    ------
    ZeroDivisionError
        For 0, or an array with zeros.
    """
    if not np.all(value):
        raise ZeroDivisionError(
            "a model's tensor is divided by a number that is 0, so that nothing but infinities and NaN is left: "
            f"keras.ops.divide_no_nan(x, y) gives 0 there. Received: {value}"
        )
    return 1 / value


def _number(value, rank):
    """A number, or an array of them for each sample of a tensor of `rank` axes; None for anything else."""
    if isinstance(value, str) or value is None or getattr(value, "__array_ufunc__", 0) is None:  # see NEP 13
        return None
    if hasattr(value, "meets_tensors") and (value.meets_tensors or not isinstance(value, Weight)):
        return None  # it has operators of its own for them
    if isinstance(value, Recorded):
        raise TypeError(
            "a model's tensor has no values here, beside the numbers of a function: a loss of (y_true, y_pred) sees no "
            "other tensor of the model, and model.add_loss takes what is computed of them; random numbers for tensors "
            f"are drawn in a Lambda layer. Received: an array of shape {value.shape}"
        )
    if isinstance(value, Weight):
        raise TypeError(
            f"the weight '{value.name}' would be a constant here, and not be trained: a layer that has it computes "
            "with it, in forward and backward (docs/adding_a_layer.md), or in the call of a Layer of minicnn.keras. "
            f"Received: a weight of shape {value.shape} beside a model's tensor"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return None
    if array.size == 1:
        return array.item()
    if array.ndim > 1 and array.size == array.shape[-1]:
        array = array.reshape(-1)
    if array.ndim == rank and len(array) == 1:
        array = array[0]
    if array.ndim >= rank:
        raise ShapeError(
            "a symbolic tensor is added to, multiplied with, or compared with a tensor, a number, or an array for all "
            f"samples, with no axis of samples or one of size 1. Received: an array of shape {array.shape} beside a "
            f"tensor of {rank} axes, the first of which is the samples'"
        )
    return array.astype(np.float64)


def _sided(function, tensor: Tensor, other: Any, sign: float = 1.0) -> Any:
    """1 where sign · (tensor − other) is positive, or not negative; else 0."""
    difference = tensor.__sub__(other)
    if difference is NotImplemented:
        return NotImplemented
    if function == "nonnegative" and isinstance(other, Tensor):  # equal infinities too, whose difference is NaN
        against = Elementary("positive")(-difference if sign > 0 else difference)
        return Elementary("zero")(against + Elementary("nan")(tensor) + Elementary("nan")(other))
    return Elementary(function)(difference if sign > 0 else -difference)


def _power(tensor: Tensor, exponent: Any) -> Any:
    number = _number(exponent, tensor.ndim)
    if number is None or isinstance(number, np.ndarray):
        return NotImplemented
    layer = Power(number)
    if hasattr(exponent, "follow"):
        exponent.follow(lambda value: setattr(layer, "exponent", float(value)))
    return layer(tensor)


def _refuse(what: str, instead: str) -> Any:
    def refused(tensor: Tensor, *args: Any) -> NoReturn:
        raise TypeError(
            f"a symbolic tensor has a shape but no values, so that there is no {what}: {instead}. Received: {tensor!r}"
        )

    return refused


def _of_numpy(tensor, ufunc, method, *inputs, **options):
    """What NumPy asks instead of computing ``array * tensor`` by itself; its functions of tensors are refused."""
    reflected = getattr(Tensor, _REFLECTED.get(ufunc.__name__, ""), None)
    if method == "__call__" and len(inputs) == 2 and not isinstance(inputs[0], Tensor) and reflected and not options:
        result = reflected(inputs[1], inputs[0])
        if result is not NotImplemented:
            return result
    raise TypeError(
        f"np.{ufunc.__name__} computes with values, and a symbolic tensor has none: use keras.ops, which has NumPy's "
        f"names, operators, or a layer. Received: {tensor!r}"
    )


_REFLECTED = {
    **{"add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__"},
    **{"greater": "__lt__", "greater_equal": "__le__", "less": "__gt__", "less_equal": "__ge__"},
    "power": "__rpow__",
}
_OWN_LAYER = "what depends on values is a layer of your own, see docs/adding_a_layer.md"
_OPERATORS = {
    "__add__": _operator("add", lambda v: (1.0, v)),
    "__sub__": _operator("subtract", lambda v: (1.0, -v)),
    "__mul__": _operator("multiply", lambda v: (v,)),
    "__truediv__": _operator("divide", lambda v: (_reciprocal(v),)),
    "__radd__": _reflected(lambda v: (1.0, v)),
    "__rsub__": _reflected(lambda v: (-1.0, v)),
    "__rmul__": _reflected(lambda v: (v,)),
    "__rtruediv__": _reflected(None),
    "__pow__": _power,
    "__neg__": lambda tensor: Rescaling(-1.0)(tensor),
    "__pos__": lambda tensor: tensor,
    "__abs__": lambda tensor: Elementary("abs")(tensor),
    "__bool__": _refuse("truth in it", _OWN_LAYER),
    "__iter__": _refuse("loop over it", "layers take whole batches"),
    "__len__": _refuse("length", "tensor.shape has the sizes that are known"),
    "__float__": _refuse("number in it", _OWN_LAYER),
    "__gt__": lambda tensor, other: _sided("positive", tensor, other),
    "__ge__": lambda tensor, other: _sided("nonnegative", tensor, other),
    "__lt__": lambda tensor, other: _sided("positive", tensor, other, -1.0),
    "__le__": lambda tensor, other: _sided("nonnegative", tensor, other, -1.0),
}
for _name, _function in _OPERATORS.items():
    setattr(Tensor, _name, as_operands(_function))
Tensor.dtype = property(lambda tensor: tensor.node.layer.compute_dtype, doc="In which it is computed, by name.")
Tensor.__array_ufunc__ = _of_numpy
Tensor.__getattr__ = explain_missing
