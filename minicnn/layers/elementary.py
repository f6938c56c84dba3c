"""Functions of single numbers that networks from elsewhere need and Keras has no layers for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from minicnn.checks import check_choice, check_number
from minicnn.hints import LayerOptions
from minicnn.layers.activations import Elementwise, register
from minicnn.layers.base import Examples, Layer
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["ArgMax", "Clip", "Elementary"]


def _as_float16(x):
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return x.astype(np.float16).astype(x.dtype)


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "abs": (np.abs, np.sign, "Abs"),
    "arccos": (np.arccos, lambda x: -1 / np.sqrt(1 - x * x), "Acos"),
    "arccosh": (np.arccosh, lambda x: 1 / np.sqrt(x * x - 1), "Acosh"),
    "arcsin": (np.arcsin, lambda x: 1 / np.sqrt(1 - x * x), "Asin"),
    "arcsinh": (np.arcsinh, lambda x: 1 / np.sqrt(x * x + 1), "Asinh"),
    "arctan": (np.arctan, lambda x: 1 / (1 + x * x), "Atan"),
    "arctanh": (np.arctanh, lambda x: 1 / (1 - x * x), "Atanh"),
    "ceil": (np.ceil, np.zeros_like, "Ceil"),
    "cos": (np.cos, lambda x: -np.sin(x), "Cos"),
    "cosh": (np.cosh, np.sinh, "Cosh"),
    "float16": (_as_float16, np.ones_like, ""),
    "expm1": (np.expm1, np.exp, ""),
    "floor": (np.floor, np.zeros_like, "Floor"),
    "hard_sigmoid_2": (lambda x: np.clip(0.2 * x + 0.5, 0, 1), lambda x: 0.2 * (np.abs(x) < 2.5), "HardSigmoid"),
    "log": (np.log, lambda x: 1 / x, "Log"),
    "log1p": (np.log1p, lambda x: 1 / (1 + x), ""),
    "nan": (lambda x: (x != x).astype(x.dtype), np.zeros_like, ""),
    "nonnegative": (lambda x: (x >= 0).astype(x.dtype), np.zeros_like, ""),
    "positive": (lambda x: (x > 0).astype(x.dtype), np.zeros_like, ""),
    "round": (np.rint, np.zeros_like, "Round"),
    "sign": (np.sign, np.zeros_like, "Sign"),
    "sin": (np.sin, np.cos, "Sin"),
    "sinh": (np.sinh, np.cosh, "Sinh"),
    "tan": (np.tan, lambda x: 1 / np.cos(x) ** 2, "Tan"),
    "zero": (lambda x: (x == 0).astype(x.dtype), np.zeros_like, ""),
}
"""Name → the function, its derivative, ONNX's operator where one does it."""

COMPARISONS = {"nan": "IsNaN", "nonnegative": "GreaterOrEqual", "positive": "Greater", "zero": "Equal"}
"""Those that say what a number is → ONNX's operator, whose second input is 0."""


@register
class Elementary(Elementwise):
    """A function of each number, by its name; outside of where it is defined, the result is NaN or infinite.

    Parameters
    ----------
    function : {"abs", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "ceil", "cos", "cosh", "expm1",
        "float16", "floor", "hard_sigmoid_2", "log", "log1p", "nan", "nonnegative", "positive", "power", "round",
        "sign", "sin", "sinh", "tan", "zero"}
        "nan", "positive", "nonnegative" and "zero" are 1 where x is, and 0 elsewhere: what comparisons become. "round"
        takes the even one of two nearest numbers, and "float16" the nearest one of that type, through which gradients
        go; "expm1" is exp(x) - 1 and "log1p" is log(1 + x), exact of small numbers, too; "hard_sigmoid_2" is Keras 2's
        hard_sigmoid.
    exponent : float, default 1
        Of "power", x^exponent: 0.5 for the square root, -1 for 1 / x.
    """

    def __init__(self, function: str, exponent: float = 1.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.function: str = check_choice("function", function, (*FUNCTIONS, "power"))
        self.exponent: float = check_number("exponent", exponent, minimum=-np.inf)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if self.function != "power":
            ws.y[...] = FUNCTIONS[self.function][0](xs[0])
        elif self.exponent == 0.5:
            np.sqrt(xs[0], out=ws.y)
        else:
            ws.y[...] = xs[0] ** self.exponent

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        is_root = self.function == "power" and self.exponent == 0.5
        is_nothing = dy == 0 if is_root else None
        np.multiply(dy, self._slope(ws.xs[0]), out=ws.dxs[0])
        if is_nothing is not None:  # as of `Power`
            ws.dxs[0][is_nothing] = 0

    def _slope(self, x):
        if self.function != "power":
            return FUNCTIONS[self.function][1](x)
        return self.exponent * x ** (self.exponent - 1) if self.exponent else np.zeros_like(x)  # not 0 · 0⁻¹

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        if self.function in COMPARISONS:
            zeros = [] if self.function == "nan" else [graph.constant(np.float32(0))]
            return graph.add("Cast", [graph.add(COMPARISONS[self.function], [*xs, *zeros])], to=1)
        if self.function == "float16":
            return graph.add("Cast", [graph.add("Cast", xs, to=10)], to=1)
        if self.function in ("expm1", "log1p"):
            one = graph.constant(np.float32(1))
            if self.function == "log1p":
                return graph.add("Log", [graph.add("Add", [*xs, one])])
            return graph.add("Sub", [graph.add("Exp", xs), one])
        if self.function != "power":
            return graph.add(FUNCTIONS[self.function][2], xs)
        return graph.add("Pow", [xs[0], graph.constant(np.float32(self.exponent))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls("positive"), [(4, 3)]
        yield cls("nonnegative"), [(4, 3, 2)]
        yield cls("zero"), [(4, 3)]
        yield cls("nan"), [(4, 3)]
        yield cls("power", 2.0), [(4, 3)]
        yield cls("power", 3), [(4,)]
        yield cls("abs"), [(5,)]
        yield cls("sin"), [(4, 3, 2)]
        yield cls("cos"), [(3,)]
        yield cls("tan"), [(4,)]
        yield cls("expm1"), [(4, 2)]
        yield cls("arctan"), [(4, 2)]
        yield cls("arcsinh"), [(4,)]
        yield cls("cosh"), [(4,)]
        yield cls("sinh"), [(3, 2)]


class Clip(Elementwise):
    """x, but not less than one number and not more than another.

    Parameters
    ----------
    minimum, maximum : float, optional
        None: no bound.
    """

    def __init__(
        self, minimum: float | None = None, maximum: float | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        low, high = (
            None if bound is None else check_number(name, bound, minimum=-np.inf)
            for name, bound in (("minimum", minimum), ("maximum", maximum))
        )
        if low is not None and high is not None and low > high:
            raise ValueError(f"`minimum` is not above `maximum`. Received: minimum={minimum}, maximum={maximum}")
        self.minimum: float | None = low
        self.maximum: float | None = high

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        ws.ops.pointwise(ws.y, xs, "clip", self._bounds())

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.ops.pointwise(ws.dxs[0], (ws.xs[0], dy), "clip_gradient", self._bounds())

    def _bounds(self) -> tuple[float, float]:
        return -np.inf if self.minimum is None else self.minimum, np.inf if self.maximum is None else self.maximum

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        low, high = self._bounds()
        return graph.add("Clip", [xs[0], graph.constant(np.float32(low)), graph.constant(np.float32(high))])

    @classmethod
    def examples(cls) -> Examples:
        yield cls(-0.5, 0.75), [(4, 3)]
        yield cls(maximum=0.3), [(5,)]


class ArgMax(Layer):
    """Where the greatest number along the last axis is, counted from 0; of equal ones the first. It has no gradient.

    Notes
    -----
    Input (N, …, C), output (N, …, 1), in the model's floating-point numbers. NaN is never the greatest, as in Keras.
    """

    uses_input = False

    def build(self, input_shapes: Shapes) -> Shape:
        return (*input_shapes[0][:-1], 1)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        x = xs[0]  # (N, …, C)
        ws.y[..., 0] = np.where(np.isnan(x), -np.inf, x).argmax(axis=-1)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0].fill(0)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        place = graph.add("ArgMax", [graph.channels_last(xs[0])], axis=-1, keepdims=1)
        return graph.add("Cast", [place], to=1)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(4, 3)]
