"""What TensorFlow makes of numbers and lists, which functions of ``keras.ops`` are given as well."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray, as_array, text_of
from minicnn.differentiation import Recorded, met
from minicnn.dtype_policies import of_python
from minicnn.keras._deferred import Deferred
from minicnn.keras._dtypes import narrowed
from minicnn.keras._last_function import same
from minicnn.keras._operations import is_symbolic, stacked

WITHOUT_VALUES = (Recorded, Deferred)
"""What stays as it is, since its numbers are computed with later, or their gradients."""


def as_tensor(value: Any, dtype: Any = None) -> Any:
    """What TensorFlow makes of a number or list: float32 and int32, unless told; arrays keep their dtype."""
    value, dtype = stacked(met(value)), of_python(dtype)
    if isinstance(value, Recorded) and dtype is not None:
        return value.astype(dtype) if value.has_gradient else as_tensor(value.value, dtype)
    if is_symbolic(value) or isinstance(value, WITHOUT_VALUES):
        return value
    if type(value) is np.ndarray:
        made = np.array(value, dtype)  # tensors never change
    else:
        made = as_array(value) if dtype is None or np.dtype(dtype).kind in "SU" else np.asarray(value, dtype)
        made = made.astype(str) if not made.size and dtype is not None and np.dtype(dtype).kind in "SU" else made
    if dtype is None and not hasattr(value, "dtype"):
        made = narrowed(made, [part.dtype for part in _parts(value) if hasattr(part, "dtype")])
    return same(text_of(made).view(EagerArray), value)  # frames have text as objects


def _parts(value):
    return value if isinstance(value, list | tuple) else ()


def of_tensorflow(result: Any) -> Any:
    """Arrays and numbers with ``.numpy()``; anything else, as a model's tensor, as it is."""
    if isinstance(result, np.ndarray | np.generic | float | int) and type(result) is not EagerArray:
        return np.asarray(result).view(EagerArray)
    return result
