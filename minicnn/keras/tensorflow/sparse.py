"""``tf.sparse``: as much as it takes to read what a `VarLenFeature` gives; arrays here are dense."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.errors import ShapeError
from minicnn.keras._names import Lookup, lookup
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.keras.tensorflow._varied import Varied

__all__ = ["SparseTensor", "from_dense", "to_dense"]


class SparseTensor:
    """Numbers at places of an array that holds zeros elsewhere, for `to_dense`.

    Parameters
    ----------
    indices : array (n, axes)
    values : array (n,)
    dense_shape : sequence of int

    Raises
    ------
    ShapeError
        If there is no place for each number.
    """

    def __init__(self, indices: Any, values: Any, dense_shape: Any) -> None:
        self.indices: Any = of_tensorflow(np.asarray(as_tensor(indices)).astype(np.int64))
        self.values: Any = as_tensor(values)
        self.dense_shape: Any = of_tensorflow(np.asarray(dense_shape, np.int64))
        expected = (len(self.values), len(self.dense_shape))
        if self.values.ndim != 1 or self.indices.shape != expected:
            raise ShapeError(f"expected indices {expected}. Received: shape {self.indices.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dense array."""
        return tuple(self.dense_shape.tolist())

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers."""
        return self.values.dtype


def from_dense(tensor: Any, name: str | None = None) -> SparseTensor:
    """The numbers of an array that are not 0, or text that is not empty."""
    array = np.asarray(as_tensor(tensor))
    places = np.argwhere(array if array.dtype.kind not in "OSU" else np.vectorize(len, otypes=[int])(array))
    return SparseTensor(places, array[tuple(places.T)], array.shape)


def to_dense(sp_input: Any, default_value: Any = None, validate_indices: bool = True, name: str | None = None) -> Any:
    """The array, with `default_value` where no number was given, 0 or empty text unless told.

    Parameters
    ----------
    sp_input : SparseTensor, or what a `VarLenFeature` gives, or an array, which is dense already
    default_value : optional
    validate_indices : bool, default True
        Whether places that lie outside, or stand there twice, are refused.

    Raises
    ------
    ValueError
        For such places, or a `default_value` for an array of which nobody knows what was given.
    """
    if isinstance(sp_input, SparseTensor):
        return _placed(sp_input, default_value, validate_indices)
    array = np.array(sp_input)
    if default_value is None or default_value in (0, "", b"") or array.ndim == 1:
        return array.view(EagerArray)
    if not isinstance(sp_input, Varied):
        raise ValueError(
            "which numbers were given is known of what parse_example returns: call to_dense with a default_value in "
            f"the function that calls it. Received: an array of shape {array.shape}"
        )
    array[~sp_input.is_given()] = default_value
    return array.view(EagerArray)


def _placed(tensor, default_value, validates):
    """The dense array of a `SparseTensor`."""
    places, shape = np.asarray(tensor.indices), tensor.shape
    if validates and (
        (places < 0).any() or (places >= np.array(shape)).any() or len(np.unique(places, axis=0)) < len(places)
    ):
        raise ValueError(f"places lie in {shape}, each once. Received: indices={places.tolist()}")
    empty = "" if tensor.dtype.kind in "OSU" else 0
    made = np.full(shape, empty if default_value is None else default_value, tensor.dtype)
    made[tuple(places.T)] = tensor.values
    return made.view(EagerArray)


__getattr__: Lookup = lookup(__name__)
