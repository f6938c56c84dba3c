"""Exceptions with a name of their own, and helpers that word the common messages.

Every message says what was expected, how to get there, and ends with what was received. Wrong arguments raise plain
``ValueError`` or ``TypeError``; the classes below exist where a caller may want to catch one case alone.
"""

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real


class ShapeError(ValueError):
    """An array or a layer's input has a shape that does not fit."""


class NonFiniteError(ArithmeticError):
    """The loss or a parameter became NaN or infinite."""


class NotBuiltError(RuntimeError):
    """A model or layer has no parameters yet, because its input shape is not known."""


class NotCompiledError(RuntimeError):
    """A model is asked to train or evaluate before `compile` named a loss."""


class DataError(ValueError):
    """A data set is missing, damaged or not what it claims to be."""


class FileFormatError(ValueError):
    """A model file, or a model's configuration, is damaged, not what its name says, or asks for something refused."""


class BackendError(RuntimeError):
    """A backend cannot be used on this machine."""


class DeviceMemoryError(MemoryError):
    """A GPU has too little free memory."""


def fold_name(name: str) -> str:
    """`name` without case and underscores: 'glorot_uniform' and 'GlorotUniform' are the same name."""
    return name.replace("_", "").lower()


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist; the caller raises it.

    Parameters
    ----------
    kind : str
        What the name should have named, e.g. 'optimizer'.
    name : str
        What the user wrote.
    known : iterable of str
        All valid names.
    """
    by_folded = {fold_name(k): k for k in known}
    close = difflib.get_close_matches(fold_name(str(name)), by_folded, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(by_folded[c]) for c in close)}?" if close else ""
    return ValueError(f"Unknown {kind}.{hint} Known names: {', '.join(sorted(by_folded.values()))}. Received: {name!r}")


def is_integer(value) -> bool:
    """Whether `value` is a Python or NumPy integer; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_positive_int(argument_name: str, value, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`.

    Raises
    ------
    ValueError
        If it is not an integer or too small.
    """
    if not is_integer(value) or value < minimum:
        raise ValueError(
            f"`{argument_name}` must be an integer of at least {minimum}. Received: {argument_name}={value!r}"
        )
    return int(value)


def check_pair(argument_name: str, value, minimum: int = 1) -> tuple[int, int]:
    """`value`, an integer or a pair of integers of at least `minimum`, as a pair (height, width).

    Raises
    ------
    ValueError
        If it is neither.
    """
    pair = (value, value) if is_integer(value) else value
    is_pair = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
    if not is_pair or not all(is_integer(v) and v >= minimum for v in pair):
        raise ValueError(
            f"`{argument_name}` must be an integer of at least {minimum}, for both height and width, or a pair of them "
            f"(height, width); write for example {argument_name}=2 or {argument_name}=(2, 2). "
            f"Received: {argument_name}={value!r}"
        )
    return int(pair[0]), int(pair[1])


def check_choice(argument_name: str, value, choices: Iterable):
    """`value`, if it is one of `choices`.

    Raises
    ------
    ValueError
        If it is not.
    """
    choices = tuple(choices)
    if value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise ValueError(f"`{argument_name}` must be one of {allowed}. Received: {argument_name}={value!r}")
    return value


def check_number(
    argument_name: str, value, *, minimum: float = 0.0, above: float | None = None, below: float = math.inf
):
    """`value` as a finite float with ``minimum <= value < below``, or ``above < value < below`` where `above` is given.

    Raises
    ------
    ValueError
        If it is not a real number (True and False are not) or outside.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value >= below or (value < minimum if above is None else value <= above):
        raise ValueError(
            f"`{argument_name}` must be a finite number{_range_text(minimum, above, below)}. "
            f"Received: {argument_name}={value!r}"
        )
    return float(value)


def check_range(argument_name: str, value, *, above: float | None = None, allows_negative: bool = True):
    """`value`, a number or a pair of limits from -1 to 1, as (lower, upper); a number f means (-abs(f), abs(f)).

    Parameters
    ----------
    above : float, optional
        A limit must be above this.
    allows_negative : bool
        Whether a single number may be negative.

    Raises
    ------
    ValueError
        If it is neither.
    """
    is_number = isinstance(value, Real)
    limits = (value,) if is_number else value
    is_plain = isinstance(limits, Sequence) and not isinstance(limits, str) and len(limits) == (1 if is_number else 2)
    lowest = 0 if is_number and not allows_negative else -1
    if not is_plain or not all(
        isinstance(v, Real) and not isinstance(v, bool) and lowest <= v <= 1 and (above is None or v > above)
        for v in limits
    ):
        lower = f"above {above:g}" if above is not None else "from -1"
        number = "from 0 to 1" if not allows_negative else f"{lower} to 1"
        raise ValueError(
            f"`{argument_name}` must be a number {number}, for both directions, or a pair of numbers {lower} to 1, for "
            f"example {argument_name}=0.1 or {argument_name}=(-0.1, 0.2). Received: {argument_name}={value!r}"
        )
    if is_number:
        return -abs(float(value)), abs(float(value))
    return float(min(value)), float(max(value))


def _range_text(minimum, above, below) -> str:
    """The limits of `check_number` in words."""
    lower = f"at least {minimum:g}" if above is None else f"greater than {above:g}"
    limits = [lower] if lower != "at least -inf" else []
    limits += [f"less than {below:g}"] if below != math.inf else []
    return "".join([" ", " and ".join(limits)] if limits else [])
