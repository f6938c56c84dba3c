"""What every source gives: batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minicnn.backends.base import Backend


@dataclass
class Batch:
    """Some samples.

    Attributes
    ----------
    inputs, targets : list of array
        The samples themselves if `indices` is None, else whole data sets of which the samples are `indices`.
    weight : array (N,) or None
        As for `inputs`.
    indices : array of int64 or None
    count : int
    first : int
        The number of the first sample in the batch that this is a part of; random numbers go by it.
    """

    inputs: list[np.ndarray]
    targets: list[np.ndarray]
    weight: np.ndarray | None
    indices: np.ndarray | None
    count: int
    first: int = 0

    def load(self, backend: Backend, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Copy the inputs, cast, into a plan's arrays; returns the samples' targets and weights."""
        for source, array in zip(self.inputs, arrays, strict=True):
            if self.indices is None:
                backend.load(array, source)
            else:
                backend.ops.gather(source, self.indices, array)

        return [self.pick(target) for target in self.targets], self.pick(self.weight)

    def pick(self, array: np.ndarray | None) -> np.ndarray | None:
        """The batch's samples of an array."""
        return array if array is None or self.indices is None else array[self.indices]
