"""Recipes of what is computed number by number: quotients, comparisons, choices, activations, casts."""

from __future__ import annotations

import math

import numpy as np

from minicnn.hints import Config
from minicnn.saving.keras.axis_recipes import LARGEST, truth
from minicnn.saving.keras.recipe import (
    Made,
    Operation,
    axes_in,
    dtype_of,
    for_samples,
    is_finite,
    is_floating,
    is_tensor,
    rank_of,
    recipe,
    shape_of,
)


@recipe("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Power")
def _of_two(operation: Operation) -> Made:
    """Of two tensors, or of a tensor and numbers."""
    a, b = _pair(operation)
    if is_tensor(a) and is_tensor(b):
        return _of_tensors(operation, a, b)
    x, other = (b, a) if is_tensor(b) else (a, b)
    if not is_tensor(x):
        return None
    if operation.kind == "Power":
        return _exponential(operation, x, other) if x is b else None
    if operation.kind in ("Divide", "TrueDivide") and x is b:
        numbers = _numbers(other, rank_of(x))
        return None if numbers is None else operation.with_number("Multiply", operation.power(x, -1.0), numbers)
    if operation.kind in ("Maximum", "Minimum"):
        constant = operation.operand(0 if x is b else 1, x)
        return None if constant is None else operation.add(operation.kind, [x, constant])
    numbers = _numbers(other, rank_of(x))
    return None if numbers is None else operation.with_number(operation.kind, x, numbers, x is b)


def _of_tensors(operation, a, b) -> Made:
    if rank_of(a) != rank_of(b) or operation.kind == "Power":
        return None
    if operation.kind in ("Divide", "TrueDivide"):
        return operation.divided(a, b)
    if dtype_of(a) == dtype_of(b) == "bool":  # where one or one is one
        return {"Add": operation.add("Maximum", [a, b])}.get(operation.kind) or operation.add(operation.kind, [a, b])
    return operation.add(operation.kind, [a, b])


def _exponential(operation, x, base) -> Made:
    if not is_finite(base) or base <= 0:
        return None
    return operation.add("Activation", operation.scaled(x, math.log(base)), activation="exponential")


@recipe("FloorDivide", "Mod")
def _whole_quotient(operation: Operation) -> Made:
    """⌊a / b⌋, and what is left: of fractions by powers of two, by which nothing is rounded."""
    a, b = _pair(operation)
    if not is_tensor(a) or not is_finite(b) or b == 0:
        return None
    is_exact = math.frexp(b)[0] in (0.5, -0.5) or ("int" in dtype_of(a) and float(b).is_integer())
    if operation.kind == "Mod" and not is_exact:
        return None
    quotient = operation.apply("floor", operation.divided(a, operation.constant(a, float(b))))
    if operation.kind == "FloorDivide":
        return quotient
    return operation.add("Subtract", [a, operation.scaled(quotient, float(b))])


_COMPARISONS = {
    **{"Greater": ("positive", 1), "GreaterEqual": ("nonnegative", 1), "Less": ("positive", -1)},
    **{"LessEqual": ("nonnegative", -1), "Equal": ("zero", 1), "NotEqual": ("zero", 1)},
}
"""Comparison → a function of a - b, or of b - a."""


@recipe(*_COMPARISONS, "LogicalXor")
def _compared(operation: Operation) -> Made:
    a, b = _pair(operation)
    if operation.kind == "LogicalXor":
        if not is_tensor(a) or not is_tensor(b) or rank_of(a) != rank_of(b):
            return None
        difference = operation.add("Subtract", [truth(operation, a), truth(operation, b)])
        return operation.apply("abs", difference)
    function, sign = _COMPARISONS[operation.kind]
    if is_tensor(a) and is_tensor(b) and function != "positive":
        return _compared_with_infinite(operation, a, b) if rank_of(a) == rank_of(b) else None
    difference = _difference(operation, a, b)
    if difference is None:
        return None
    y = operation.apply(function, difference if sign > 0 else operation.scaled(difference, -1.0))
    return operation.scaled(y, -1.0, 1.0) if operation.kind == "NotEqual" else y


def _compared_with_infinite(operation, a, b) -> Config:
    """As of two tensors: the difference of two infinite numbers is none."""
    pairs = {"GreaterEqual": [(a, b)], "LessEqual": [(b, a)]}.get(operation.kind, [(a, b), (b, a)])
    are_none = [operation.apply("nan", x) for x in (a, b)]
    found = []
    for high, low in pairs:
        is_less = operation.apply("positive", operation.add("Subtract", [low, high]))
        found.append(operation.apply("zero", operation.add("Add", [is_less, *are_none])))
    y = operation.add("Multiply", found) if len(found) > 1 else found[0]
    return operation.scaled(y, -1.0, 1.0) if operation.kind == "NotEqual" else y


def _difference(operation, a, b) -> Config | None:
    """a - b; None where no layer does it."""
    if is_tensor(a) and is_tensor(b):
        return operation.add("Subtract", [a, b]) if rank_of(a) == rank_of(b) else None
    x, other = (a, b) if is_tensor(a) else (b, a)
    numbers = _numbers(other, rank_of(x)) if is_tensor(x) else None
    return None if numbers is None else operation.with_number("Subtract", x, numbers, x is b)


@recipe("LogicalAnd", "LogicalOr")
def _both(operation: Operation) -> Made:
    a, b = _pair(operation)
    if not is_tensor(a) or not is_tensor(b) or rank_of(a) != rank_of(b):
        return None
    inputs = [truth(operation, a), truth(operation, b)]
    return operation.add("Multiply" if operation.kind == "LogicalAnd" else "Maximum", inputs)


@recipe("LogicalNot")
def _not(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else operation.apply("zero", x)


@recipe("Isnan")
def _is_nan(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else operation.apply("nan", x)


@recipe("Where")
def _chosen(operation: Operation) -> Made:
    if len(operation.args) != 3 or not is_tensor(operation.args[0]):
        return None
    condition, *values = operation.args
    tensors, numbers = [truth(operation, condition)], []
    for index, value in enumerate(values, 1):
        tensor = None if is_finite(value) else operation.operand(index, condition)
        if tensor is None and not is_finite(value):
            return None
        numbers.append(float(value) if tensor is None else None)
        tensors += [] if tensor is None else [tensor]
    inputs = tensors if len(tensors) > 1 else [*tensors, operation.constant(condition, numbers.pop())]
    return operation.add("Select", inputs, **dict(zip(("chosen", "otherwise"), numbers, strict=False)))


@recipe("Cast")
def _cast(operation: Operation) -> Made:
    """To numbers that stay floating-point here; without a fraction where Keras leaves that out."""
    x, dtype = _one(operation), operation.options.get("dtype")
    if x is None:
        return None
    if dtype == "bool":
        return truth(operation, x)
    if dtype == "float32" or (dtype in ("int32", "int64") and not is_floating(x)):
        return operation.add("Identity", x)
    return _without_fraction(operation, x) if dtype in ("int32", "int64") else None


@recipe("Trunc")
def _trunc(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else _without_fraction(operation, x)


def _without_fraction(operation, x):
    whole = operation.apply("floor", operation.apply("abs", x))
    return operation.add("Multiply", [operation.apply("sign", x), whole])


@recipe("Round")
def _rounded(operation: Operation) -> Made:
    x = _one(operation)
    return operation.apply("round", x) if x is not None and operation.options.get("decimals", 0) == 0 else None


@recipe("ZerosLike", "OnesLike", "FullLike")
def _filled(operation: Operation) -> Made:
    given = operation.args[1] if operation.kind == "FullLike" and len(operation.args) == 2 else None
    x = operation.args[0] if given is not None else _one(operation)
    value = {"ZerosLike": 0.0, "OnesLike": 1.0}.get(operation.kind, given)
    return operation.constant(x, float(value)) if x is not None and is_tensor(x) and is_finite(value) else None


@recipe("NanToNum")
def _without_nan(operation: Operation) -> Made:
    x, options = _one(operation), operation.options
    number = options.get("nan", 0.0)
    if x is None or not is_finite(number) or options.get("posinf") is not None or options.get("neginf") is not None:
        return None
    y = operation.add("Select", [operation.apply("nan", x), x], chosen=float(number))
    return operation.add("Clip", y, minimum=-LARGEST, maximum=LARGEST)


_NAMED = {
    **{"HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu", "HardTanh": "hard_tanh", "LogSigmoid": "log_sigmoid"},
    **{"Mish": "mish", "SparsePlus": "sparse_plus", "SparseSigmoid": "sparse_sigmoid", "TanhShrink": "tanh_shrink"},
    **{"Erf": "erf", "HardShrink": "hard_shrink", "SoftShrink": "soft_shrink", "Squareplus": "squareplus"},
}
_USUAL = {"HardShrink": {"threshold": 0.5}, "SoftShrink": {"threshold": 0.5}, "Squareplus": {"b": 4}}
"""The arguments with which these are the functions that there are here."""


@recipe(*_NAMED)
def _named(operation: Operation) -> Made:
    x, usual = _one(operation), _USUAL.get(operation.kind, {})
    given = {name: operation.options.get(name, value) for name, value in usual.items()}
    return operation.add("Pointwise", x, function=_NAMED[operation.kind]) if x is not None and given == usual else None


@recipe("Gelu")
def _gelu(operation: Operation) -> Made:
    x = _one(operation)
    if x is None or not operation.options.get("approximate", True):
        return None if x is None else operation.add("Pointwise", x, function="gelu")
    slope = 2 * math.sqrt(2 / math.pi)  # 0.5 · (1 + tanh(u)) is sigmoid(2 · u)
    inner = operation.scaled(operation.power(x, 2.0), 0.044715 * slope, slope)
    gate = operation.add("Activation", operation.add("Multiply", [x, inner]), activation="sigmoid")
    return operation.add("Multiply", [x, gate])


@recipe("Glu")
def _gated(operation: Operation) -> Made:
    x = _one(operation)
    axes = None if x is None else axes_in(operation.options.get("axis", -1), rank_of(x))
    size = None if axes is None or x is None or len(axes) != 1 else shape_of(x)[axes[0]]
    if size is None or size % 2:
        return None
    halves = [operation.part(x, rank_of(x), axes[0], [n, n + size // 2, None]) for n in (0, size // 2)]
    return operation.add("Multiply", [halves[0], operation.add("Activation", halves[1], activation="sigmoid")])


@recipe("Rsqrt")
def _reciprocal_root(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else operation.power(x, -0.5)


@recipe("Expm1", "Log1p", "Tan")
def _elementary(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else operation.apply(operation.kind.lower(), x)


_LOGARITHMS = {"Log2": 2.0, "Log10": 10.0}


@recipe(*_LOGARITHMS)
def _logarithm(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else operation.scaled(operation.apply("log", x), 1 / math.log(_LOGARITHMS[operation.kind]))


@recipe("Exp2")
def _power_of_two(operation: Operation) -> Made:
    x = _one(operation)
    return None if x is None else _exponential(operation, x, 2.0)


@recipe("OneHot")
def _one_hot(operation: Operation) -> Made:
    """1 where the number of a class is the input."""
    x, count = _one(operation), operation.options.get("num_classes")
    is_last = operation.options.get("axis", -1) == -1 and not operation.options.get("sparse")
    if x is None or not is_last or not isinstance(count, int) or count < 1 or rank_of(x) < 1:
        return None
    column = operation.add("GetItem", x, key=[*[[None, None, None]] * (rank_of(x) - 1), None])
    return operation.apply("zero", operation.scaled(column, 1.0, -np.arange(float(count))))


def _pair(operation):
    return operation.args if len(operation.args) == 2 else (None, None)


def _one(operation) -> Config | None:
    """The one argument, if it is a tensor."""
    is_alone = len(operation.args) == 1 and is_tensor(operation.args[0])
    return operation.args[0] if is_alone else None


def _numbers(value, rank):
    """A number or an array for all samples."""
    return float(value) if is_finite(value) else for_samples(value, rank)
