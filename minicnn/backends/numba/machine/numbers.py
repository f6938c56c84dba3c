"""Formulas of the reference as vector code: what they do to arrays, done to one vector of numbers.

A formula that consists of NumPy's functions runs on `Numbers` as on an array (NEP 13 and 18) and emits instructions as
it goes. So a function of single numbers is written once, in `minicnn.backends.reference`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from minicnn.backends.numba.machine.vectors import Emitter

_ONE_BIT = ir.IntType(1)
# A sum of terms in another order is another sum: what follows relies on that, so no more than multiply-add is allowed.
_FLAGS = ("contract",)


class Numbers(np.lib.mixins.NDArrayOperatorsMixin):
    """A vector of numbers, or of bits: what comparisons give.

    Parameters
    ----------
    emit : Emitter
    value : LLVM vector
    """

    def __init__(self, emit: Emitter, value: ir.Value):
        self.emit, self.value = emit, value

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Numbers:
        if method != "__call__" or ufunc not in _UFUNCS or options.keys() - {"out"}:  # x += y has an `out`, x itself
            return NotImplemented
        return self.new(_UFUNCS[ufunc](self.emit, *(self._lifted(x, ufunc in _OF_BITS) for x in inputs)))

    def __array_function__(self, function: Callable, kinds: Any, arguments: Any, options: Any) -> Numbers:
        return NotImplemented if function not in _FUNCTIONS else _FUNCTIONS[function](*arguments, **options)

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return np.dtype(f"f{self.emit.size}")

    def new(self, value: ir.Value) -> Numbers:
        """Other numbers of the same code."""
        return Numbers(self.emit, value)

    def _lifted(self, x, may_be_bits):
        """A vector for an operand: 1 and 0 for bits, unless they may stay."""
        if not isinstance(x, Numbers):
            return self.emit.full(float(x))
        if x.value.type.element != _ONE_BIT or may_be_bits:
            return x.value
        return self.emit.builder.select(x.value, self.emit.full(1.0), self.emit.full(0.0))


def _where(condition, x, y):
    x, y = (condition._lifted(v, False) for v in (x, y))
    return condition.new(condition.emit.builder.select(condition.value, x, y))


def _clip(x, lowest, highest):
    return np.minimum(np.maximum(x, lowest), highest)


def _zeros_like(x):
    return x.new(x.emit.full(0.0))


_FUNCTIONS = {np.where: _where, np.clip: _clip, np.zeros_like: _zeros_like}


# ------------------------------------------------------------------------------------------- single instructions


def _binary(instruction):
    return lambda emit, x, y: getattr(emit.builder, instruction)(x, y, flags=_FLAGS)


def _compared(operator):
    return lambda emit, x, y: emit.builder.fcmp_ordered(operator, x, y)


def _intrinsic(name):
    def call(emit, x):
        kind = ir.FunctionType(emit.vector, [emit.vector])
        return emit.builder.call(
            cgutils.get_or_insert_function(emit.builder.module, kind, f"llvm.{name}.{emit.suffix}"), [x]
        )

    return call


def _extremum(operator):
    """The one of two numbers that compares so, and NaN if either is."""

    def choose(emit, x, y):
        builder = emit.builder
        is_x = builder.or_(builder.fcmp_ordered(operator, x, y), builder.fcmp_unordered("uno", x, x))
        return builder.select(is_x, x, y)

    return choose


def _inverted(emit, bits):
    return emit.builder.xor(bits, ir.Constant(bits.type, [1] * emit.lanes))


# ------------------------------------------------------------------------------------- functions made of instructions


def _on_numbers(function):
    """A function of `Numbers` as one of vectors."""

    @functools.wraps(function)
    def call(emit, x):
        return function(Numbers(emit, x)).value

    return call


def _bits(numbers, offset):
    """The bits of the numbers as integers, plus an offset."""
    emit = numbers.emit
    kind = ir.VectorType(ir.IntType(8 * emit.size), emit.lanes)
    return emit.builder.add(emit.builder.bitcast(numbers.value, kind), ir.Constant(kind, [offset] * emit.lanes))


def _from_bits(numbers, bits):
    return numbers.new(numbers.emit.builder.bitcast(bits, numbers.emit.vector))


def _layout(numbers):
    """(bits of the mantissa, the number whose last bit is worth 1) of the dtype."""
    return (23, 1.5 * 2.0**23) if numbers.emit.size == 4 else (52, 1.5 * 2.0**52)


def _integer_bits(numbers, whole):
    return int(np.array(whole, f"f{numbers.emit.size}").view(f"i{numbers.emit.size}"))


def _polynomial(x, coefficients):
    """Σ coefficients[k] · x**k, by Horner's rule."""
    total = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


# (ln 2 in two parts, of which the first has few bits; terms of Taylor's series; where half of the result is normal)
_EXP = {
    4: (0.693359375, -2.12194440e-4, 7, -86.98, 88.73),
    8: (6.93147180369123816490e-01, 1.90821492927058770002e-10, 13, -708.04, 709.79),
}


def _powers(x):
    """(p, s) so that exp(x) = 2·(s·p + s), where s is half a power of two; from the bounds of `_EXP` on, as there.

    x = n · ln 2 + r, p = exp(r) - 1 (W. J. Cody, W. Waite: "Software manual for the elementary functions", 1980).
    """
    high, low, terms, lowest, highest = _EXP[x.emit.size]
    mantissa, magic = _layout(x)
    x = _clip(x, lowest, highest)
    shifted = x * (1 / math.log(2)) + magic  # the last bits are n
    n = shifted - magic
    r = (x - n * high) - n * low
    p = r * _polynomial(r, [1 / math.factorial(k + 1) for k in range(terms)])
    bias = (1 << (8 * x.emit.size - 2 - mantissa)) - 2  # of the exponent, for half the power
    exponent = _bits(shifted, bias - _integer_bits(x, magic))
    places = ir.Constant(exponent.type, [mantissa] * x.emit.lanes)
    return p, _from_bits(x, x.emit.builder.shl(exponent, places))


@_on_numbers
def _exp(x):
    p, s = _powers(x)
    return _where(x < _EXP[x.emit.size][3], 0.0, 2 * (s * p + s))


@_on_numbers
def _expm1(x):
    p, s = _powers(x)
    return 2 * (s * p + (s - 0.5))


@_on_numbers
def _tanh(x):
    """-e / (e + 2) for e = exp(-2|x|) - 1, with the sign of x."""
    e = np.expm1(-2 * np.abs(x))
    y = e / (e + 2)
    return _where(x > 0, -y, y)


@_on_numbers
def _log(x):
    """x = 2**n · m with √½ ≤ m < √2; log m = 2 · artanh((m - 1) / (m + 1)) by its series."""
    size = x.emit.size
    mantissa, magic = _layout(x)
    root = _integer_bits(x, math.sqrt(0.5))
    bits, builder = _bits(x, -root), x.emit.builder
    places, mask = (ir.Constant(bits.type, [n] * x.emit.lanes) for n in (mantissa, (1 << mantissa) - 1))
    n = builder.add(builder.ashr(bits, places), ir.Constant(bits.type, [_integer_bits(x, magic)] * x.emit.lanes))
    n = _from_bits(x, n) - magic
    m = builder.add(builder.and_(bits, mask), ir.Constant(bits.type, [root] * x.emit.lanes))
    m = _from_bits(x, m)
    s = (m - 1) / (m + 1)
    series = _polynomial(s * s, [2 / (2 * k + 1) for k in range(5 if size == 4 else 11)])
    high, low, *_ = _EXP[size]
    y = _where(x < np.inf, n * high + (s * series + n * low), x)
    return _where(x > 0, y, _where(np.equal(x, 0), -np.inf, np.nan))


@_on_numbers
def _log1p(x):
    """log(w) for w = 1 + x as it is rounded, and what the rounding took."""
    w = 1 + x
    lost = _where(w > 0, (x - (w - 1)) / w, 0.0)
    return _where(w < np.inf, np.log(w) + lost, w)


@_on_numbers
def _cos(x):
    """By Taylor's series of the sine, for x that are not many periods from 0."""
    _, magic = _layout(x)
    n = (x * (0.5 / math.pi) + magic) - magic  # the nearest period
    r = (x - n * 6.28125) - n * (2 * math.pi - 6.28125)  # 6.28125 has few bits
    s = 0.5 * math.pi - np.abs(r)
    terms = 7 if x.emit.size == 4 else 12
    return s * _polynomial(s * s, [(-1) ** k / math.factorial(2 * k + 1) for k in range(terms)])


_UFUNCS = {
    np.add: _binary("fadd"),
    np.subtract: _binary("fsub"),
    np.multiply: _binary("fmul"),
    np.divide: _binary("fdiv"),
    np.negative: lambda emit, x: emit.builder.fneg(x),
    np.square: lambda emit, x: emit.builder.fmul(x, x, flags=_FLAGS),
    np.absolute: _intrinsic("fabs"),
    np.sqrt: _intrinsic("sqrt"),
    np.maximum: _extremum(">"),
    np.minimum: _extremum("<"),
    np.greater: _compared(">"),
    np.greater_equal: _compared(">="),
    np.less: _compared("<"),
    np.less_equal: _compared("<="),
    np.equal: _compared("=="),
    np.not_equal: lambda emit, x, y: emit.builder.fcmp_unordered("!=", x, y),
    np.invert: _inverted,
    np.exp: _exp,
    np.expm1: _expm1,
    np.log: _log,
    np.log1p: _log1p,
    np.tanh: _tanh,
    np.cos: _cos,
}
_OF_BITS = {np.invert}
