"""``tf.quantization``: numbers as they are behind a quantization, for training that is aware of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.differentiation import Recorded, value_of
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._operations import entering
from minicnn.keras.ops._further import of_tensors_too
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow

__all__ = ["fake_quant_with_min_max_args", "fake_quant_with_min_max_vars"]


def _levels(low: float, high: float, bits: int, is_narrow: bool) -> tuple[float, float, float]:
    """(the least number, the largest, the distance of levels), moved a little so that 0 is one of them.

    In float32, as TensorFlow: where ends lie at equal distances, 0 is half a level off, and rounding says which way.
    """
    first, last = np.float32(is_narrow), np.float32(2**bits - 1)
    step = (np.float32(high) - np.float32(low)) / (last - first)
    zero = min(max(first - np.float32(low) / step, first), last)
    zero = np.float32(math.floor(float(zero) + 0.5))
    return (first - zero) * step, (last - zero) * step, step


@of_tensors_too
def _quantized(x: Any, low: Any, high: Any, bits: int, is_narrow: bool) -> Any:
    """x at the nearest levels; the gradient goes through between the ends, and to an end from beyond it."""
    values, ends = np.asarray(value_of(x)), (float(value_of(low)), float(value_of(high)))
    if ends == (0, 0):
        return x * 0
    if not ends[0] <= 0 <= ends[1] or ends[0] == ends[1]:
        raise ValueError(f"expected min <= 0 <= max, and max > min. Received: min={ends[0]}, max={ends[1]}")
    least, largest, step = _levels(*ends, bits, is_narrow)
    below, above = values < least, values > largest
    shifted, per_step, half = np.clip(values.astype("float32"), least, largest) - least, 1 / step, np.float32(0.5)
    made = np.floor(shifted * per_step - np.floor(half - least * per_step) + half) * step  # as TensorFlow rounds
    masks = (x, ~(below | above)), (low, below), (high, above)
    parents = [
        (each, (lambda g, mask=mask: g * mask) if each is x else (lambda g, mask=mask: np.sum(g * mask)))
        for each, mask in masks
        if isinstance(each, Recorded)
    ]
    made = made.astype(values.dtype)
    return Recorded(made, parents) if parents else made


@entering
def fake_quant_with_min_max_vars(
    inputs: Any, min: Any, max: Any, num_bits: int = 8, narrow_range: bool = False, name: str | None = None
) -> Any:
    """x at the nearest of 2 ** num_bits levels from min to max, which may be trained.

    Parameters
    ----------
    inputs : array or tensor
    min, max : float or variable
        0 lies between them; they are moved a little, so that it is a level.
    num_bits : int, default 8
    narrow_range : bool, default False
        Whether there is one level less.

    Raises
    ------
    ValueError
        If 0 does not lie between `min` and `max`.
    """
    bits = check_positive_int("num_bits", num_bits)
    ends = (end if isinstance(end, Recorded) else np.asarray(end, "float32") for end in (min, max))
    return of_tensorflow(_quantized(as_tensor(inputs), *ends, bits, bool(narrow_range)))


def fake_quant_with_min_max_args(
    inputs: Any,
    min: float = -6.0,
    max: float = 6.0,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Any:
    """`fake_quant_with_min_max_vars` from -6 to 6, as behind ReLU6."""
    return fake_quant_with_min_max_vars(inputs, min, max, num_bits, narrow_range)


__getattr__: Lookup = lookup(__name__)
