"""Checks of arguments and arrays: each returns the value as it should be, or says what was expected."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from minicnn.foreign import explain_not_real, shown, to_numpy

_T = TypeVar("_T")
_NOT_REAL = (
    "must hold real numbers (any integer, float or bool dtype). Received: dtype {dtype}; "
    "convert it, e.g. with numpy.asarray(x, dtype='float32')"
)


def plain(value: Any) -> Any:
    """`value`, where it is a NumPy scalar or array, in Python's types."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def is_integer(value: object) -> bool:
    """Whether `value` is a Python or NumPy integer; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_positive_int(argument_name: str, value: object, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`.

    Raises
    ------
    ValueError
        If it is not an integer or too small.
    """
    value = plain(value)
    if not is_integer(value) or value < minimum:
        raise ValueError(
            f"`{argument_name}` must be an integer of at least {minimum}. Received: {argument_name}={shown(value)}"
        )
    return int(value)


def check_pair(argument_name: str, value: object, minimum: int = 1) -> tuple[int, int]:
    """`value`, an integer or a pair of integers of at least `minimum`, as a pair (height, width).

    Raises
    ------
    ValueError
        If it is neither.
    """
    value = plain(value)
    pair = (value, value) if is_integer(value) else value
    is_pair = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
    if not is_pair or not all(is_integer(v) and v >= minimum for v in pair):
        is_name = isinstance(value, str) and value.isidentifier()
        advice = f"; an activation is given by name, activation={value!r}" if is_name else ""
        raise ValueError(
            f"`{argument_name}` must be an integer of at least {minimum}, for both height and width, or a pair of them "
            f"(height, width); write for example {argument_name}=2 or {argument_name}=(2, 2){advice}. "
            f"Received: {argument_name}={shown(value)}"
        )
    return int(pair[0]), int(pair[1])


def check_seed(argument_name: str, value: object) -> int | None:
    """`value`, the seed that a constructor was given, as an int from 0 to 2**63 - 1; None stays None.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is None:
        return None
    if not is_integer(value) or not 0 <= value < 2**63:
        raise ValueError(
            f"`{argument_name}` must be None or an integer from 0 to 2**63 - 1. Received: {argument_name}={value!r}"
        )
    return int(value)


def check_choice(argument_name: str, value: _T, choices: Iterable[_T]) -> _T:
    """`value`, if it is one of `choices`.

    Raises
    ------
    ValueError
        If it is not.
    """
    choices = tuple(choices)
    if value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise ValueError(f"`{argument_name}` must be one of {allowed}. Received: {argument_name}={shown(value)}")
    return value


def check_number(
    argument_name: str, value: object, *, minimum: float = 0.0, above: float | None = None, below: float = math.inf
) -> float:
    """`value` as a finite float with ``minimum <= value < below``, or ``above < value < below`` where `above` is given.

    Raises
    ------
    ValueError
        If it is not a real number (True and False are not) or outside.
    """
    value = plain(value)
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value >= below or (value < minimum if above is None else value <= above):
        raise ValueError(
            f"`{argument_name}` must be a finite number{_range_text(minimum, above, below)}. "
            f"Received: {argument_name}={shown(value)}"
        )
    return float(value)


def check_range(
    argument_name: str, value: object, *, above: float | None = None, allows_negative: bool = True, most: float = 1
) -> tuple[float, float]:
    """`value`, a number f from -1 to 1, which means (-abs(f), abs(f)), or a pair of limits, as (lower, upper).

    Parameters
    ----------
    above : float, optional
        A limit must be above this.
    allows_negative : bool
        Whether a single number may be negative.
    most : float
        How far from 0 the limits of a pair may be. Where Keras does not bound them: math.inf.

    Raises
    ------
    ValueError
        If it is neither.
    """
    value = plain(value)
    is_number = isinstance(value, Real)
    limits = (value,) if is_number else tuple(map(plain, value)) if isinstance(value, list | tuple) else value
    is_plain = isinstance(limits, Sequence) and not isinstance(limits, str) and len(limits) == (1 if is_number else 2)
    highest = 1 if is_number else min(most, np.finfo(float).max)
    lowest = 0 if is_number and not allows_negative else -highest
    if not is_plain or not all(
        isinstance(v, Real) and not isinstance(v, bool) and lowest <= v <= highest and (above is None or v > above)
        for v in limits
    ):
        span = f"above {above:g} and up to 1" if above is not None else "from -1 to 1"
        pair = f"numbers {span}" if most <= 1 else "finite numbers"
        raise ValueError(
            f"`{argument_name}` must be a number {span if allows_negative else 'from 0 to 1'}, for both directions, "
            f"or a pair of {pair}, for example 0.1 or (-0.1, 0.2). Received: {argument_name}={shown(value)}"
        )
    return (-abs(float(value)), abs(float(value))) if is_number else (float(min(value)), float(max(value)))


def for_outputs(argument: str, value: object, count: int | None, names: Sequence[str] | None) -> list[Any]:
    """A list with one entry for each output from one value for all, a list, or a dict by output name.

    Parameters
    ----------
    argument : str
    value : object
    count : int or None
        How many outputs there are; None where that is not known yet.
    names : list of str or None
        Of the outputs; where they are not known yet, a dict gives its entries in its order.

    Raises
    ------
    ValueError
        If there are more or fewer entries than outputs, or others.
    """
    if isinstance(value, dict) and "class_name" not in value:
        if names is None:
            return list(value.values())
        if set(value) != set(names):
            raise ValueError(
                f"{argument} as a dict needs one entry for each output, {names}. Received: {sorted(value)}"
            )
        return [value[name] for name in names]
    if isinstance(value, list | tuple):
        if count is not None and len(value) != count:
            raise ValueError(f"{argument} needs one entry for each of {count} outputs. Received: {len(value)}")
        return list(value)
    return [value] * (count or 1)


def _range_text(minimum, above, below) -> str:
    """The limits of `check_number` in words."""
    lower = f"at least {minimum:g}" if above is None else f"greater than {above:g}"
    limits = [lower] if lower != "at least -inf" else []
    limits += [f"less than {below:g}"] if below != math.inf else []
    return "".join([" ", " and ".join(limits)] if limits else [])


# ------------------------------------------------------------------------------------------------------------ arrays


def is_real(array: np.ndarray) -> bool:
    """Whether an array, of any device, holds real numbers: bool, integers or floating-point numbers."""
    return array.dtype.kind in "biuf"


def real_array(value: ArrayLike, what: str, otherwise: str = _NOT_REAL) -> np.ndarray:
    """`value` (an array of any library, a frame, nested lists) as an array of real numbers; not copied if it is one.

    Parameters
    ----------
    value : array-like
    what : str
        The name that messages use.
    otherwise : str
        What the message says of `what` if it holds none, with a gap for ``{dtype}``.

    Raises
    ------
    TypeError
        For objects, strings, complex numbers.
    DataError
        For lists of unequal lengths, and where values are masked or missing.
    """
    array = value if type(value) is np.ndarray and is_real(value) else to_numpy(value, what)
    if not is_real(array):
        raise TypeError(explain_not_real(array, what, otherwise, value))
    return array
