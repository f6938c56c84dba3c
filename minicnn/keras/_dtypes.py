"""Dtypes of arrays in losses and layers, with what TensorFlow's have beside NumPy's: ``x.dtype.base_dtype``."""

from __future__ import annotations

from typing import Any

import numpy as np


class TensorDtype:
    """NumPy's dtype, for which NumPy takes it, with TensorFlow's attributes.

    Parameters
    ----------
    dtype : numpy.dtype

    Examples
    --------
    >>> import numpy as np
    >>> TensorDtype(np.dtype("float32")).base_dtype
    float32
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    base_dtype: property = property(lambda self: self)  # of a reference, in TensorFlow 1, the dtype of its value
    as_numpy_dtype: property = property(lambda self: self.dtype.type)
    size: property = property(lambda self: self.dtype.itemsize)
    max: property = property(lambda self: (np.finfo if self.is_floating else np.iinfo)(self.dtype).max)
    min: property = property(lambda self: (np.finfo if self.is_floating else np.iinfo)(self.dtype).min)
    is_floating: property = property(lambda self: self.dtype.kind == "f")
    is_integer: property = property(lambda self: self.dtype.kind in "iu")
    is_bool: property = property(lambda self: self.dtype.kind == "b")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dtype":  # copies ask for such before there is a dtype
            raise AttributeError(name)
        return getattr(self.dtype, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.dtype == (other.dtype if isinstance(other, TensorDtype) else other))

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return str(self.dtype)
