"""What functions of ``keras.ops`` give: arrays with ``.numpy()``, also where NumPy gives a number of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray


def eager(made: Any) -> Any:
    """Arrays and NumPy's numbers, in lists and tuples too, as `EagerArray`; anything else as it is."""
    if type(made) is np.ndarray:
        return made.view(EagerArray)
    if isinstance(made, np.generic):
        return np.asarray(made).view(EagerArray)
    if isinstance(made, list | tuple):
        parts = map(eager, made)
        return type(made)(*parts) if hasattr(made, "_fields") else type(made)(parts)
    return made


def of_eager_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with `eager` of its results; what is recorded, and a model's tensors, it gives as they are."""
    return wraps(function)(lambda *args, **kwargs: eager(function(*args, **kwargs)))
