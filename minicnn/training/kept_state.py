"""Whether what a checkpoint says of a metric's or a callback's state can be its state."""

import math
from numbers import Number
from typing import Any

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.own_parts import is_of_package
from minicnn.user_warnings import warn_user

_NUMBERS = "biuf"  # kinds of NumPy's dtypes


def fitting(part: Any, kept: Any, place: str) -> Any:
    """`kept`, checked: what a checkpoint has as the state of a metric or callback; a user's own may keep anything.

    Parameters
    ----------
    part : Metric or Callback
        Its `get_state` tells which kinds of values are expected.
    kept : object
        What the file has.
    place : str
        Name of the part, for the message.

    Raises
    ------
    FileFormatError
        As `check_kept` does.
    """
    if is_of_package(type(part)):
        check_kept(part.get_state(), kept, place)
    return kept


def states_of_metrics(totals: dict[str, Any]) -> list[Any]:
    """Those that the totals of a checkpoint have; says where they are of an older minicnn, whose means counted values.

    Parameters
    ----------
    totals : dict
        What `Totals.get_state` returned, maybe long ago.

    Raises
    ------
    FileFormatError
        If there are none.
    """
    kept = totals.get("metrics")
    if isinstance(kept, dict) and isinstance(kept.get("of_samples"), list):
        return kept["of_samples"]
    if not isinstance(kept, list):
        raise FileFormatError(f"the metrics of a checkpoint: expected a list. Received: {str(kept)[:100]}")
    counts = [each["_count"] for each in kept if isinstance(each, dict) and "_count" in each]
    if any(_is_of_values(count, totals) for count in (*counts, *totals.get("counts", ()))):
        warn_user(
            "the checkpoint is of the middle of an epoch, and of an older minicnn, whose metrics counted each value, "
            "not each sample: in what they say about this epoch, its first part may count for too much"
        )
    return kept


def _is_of_values(count, totals):
    """Whether an older metric's count is one of several values a sample; weights hide how many there are."""
    if is_integer(count):
        return count > totals.get("samples", 0)
    return any(math.prod(shape[1:]) > 1 for shape in totals["target_shapes"])


def check_kept(now: dict[str, Any], kept: Any, place: str) -> None:
    """Check that a part of a checkpoint has the kinds of values that stand in the same place of a new training.

    A damaged file that says otherwise would be found out in the middle of an epoch, by whatever adds to the value.

    Parameters
    ----------
    now : dict
        The state before it is replaced. A list stands for one of any length, a tuple for as many numbers, and what is
        neither a number nor an array nor a collection for anything.
    kept : object
        What the file has.
    place : str
        Name of the part, for the message.

    Raises
    ------
    FileFormatError
        If a name is missing, or something else stands where a number, an array, a list or a dict does.
    """
    if not isinstance(kept, dict) or not now.keys() <= kept.keys():
        raise FileFormatError(f"{place} of a checkpoint: expected {sorted(now)}. Received: {str(kept)[:100]}")
    for name, value in now.items():
        is_unset = name == "best" and kept[name] is None  # no epoch was looked at, whatever callbacks begin with now
        expected = None if is_unset else _unlike(value, kept[name])
        if expected is not None:
            received = str(kept[name])[:100]
            raise FileFormatError(f"{place}, '{name}' of a checkpoint: expected {expected}. Received: {received}")


def _unlike(now, kept) -> str | None:
    """What was expected, if it is something else."""
    if isinstance(now, np.ndarray) and now.ndim:
        fits = isinstance(kept, np.ndarray) and kept.shape == now.shape and kept.dtype.kind in _NUMBERS
        return None if fits else f"an array of numbers {now.shape}"
    if isinstance(now, Number | np.ndarray):  # sums begin with 0 and become arrays where there are several classes
        return None if _is_number(kept) else "a number"
    if isinstance(now, tuple):
        fits = isinstance(kept, list | tuple) and len(kept) == len(now) and all(map(_is_number, kept))
        return None if fits else f"{len(now)} numbers"
    if isinstance(now, list):
        return None if isinstance(kept, list) else "a list"
    return "a dict" if isinstance(now, dict) and not isinstance(kept, dict) else None


def _is_number(value):
    return isinstance(value, Number) or (isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS)
