"""``tf.TensorSpec``: what `minicnn.data.TensorSpec` says of arrays, with TensorFlow's attributes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data import further
from minicnn.dtype_policies import of_python
from minicnn.keras._shapes import TensorShape
from minicnn.keras.tensorflow._functions import as_tensor

__all__ = ["TensorSpec"]


class TensorSpec(further.TensorSpec):
    """Shape and dtype of arrays.

    Parameters
    ----------
    shape : sequence of (int or None), or None
        None: any.
    dtype : dtype, default "float32"
    name : str, optional
    """

    __slots__ = ()

    def __new__(cls, shape: Any, dtype: Any = "float32", name: str | None = None) -> TensorSpec:
        """The spec of a shape, whose `as_list` is there, and of a dtype of NumPy's."""
        return super().__new__(cls, TensorShape(shape), np.dtype(of_python(dtype)), name)

    @classmethod
    def from_tensor(cls, tensor: Any, name: str | None = None) -> TensorSpec:
        """That of an array."""
        tensor = as_tensor(tensor)
        return cls(tensor.shape, tensor.dtype, name)

    @classmethod
    def from_spec(cls, spec: Any, name: str | None = None) -> TensorSpec:
        """The same, of another name."""
        return cls(spec.shape, spec.dtype, name or spec.name)

    def is_compatible_with(self, spec_or_tensor: Any) -> bool:
        """Whether an array, or what another spec describes, may be one of these."""
        other = spec_or_tensor if isinstance(spec_or_tensor, further.TensorSpec) else self.from_tensor(spec_or_tensor)
        return bool(self.shape.is_compatible_with(other.shape) and self.dtype == np.dtype(of_python(other.dtype)))

    def __repr__(self) -> str:
        shape = "<unknown>" if self.shape.rank is None else tuple(self.shape)
        return f"TensorSpec(shape={shape}, dtype=tf.{self.dtype.name}, name={self.name!r})"
