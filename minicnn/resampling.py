"""Which pixels of a row a resized row is made of, and with which weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

METHODS: tuple[str, ...] = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
ALIKE = 1e-5  # by which the weights of equal taps differ at most


class Taps(NamedTuple):
    """Pixel i of the new row is Σ over k of weight[k, i] · row[index[k, i]].

    Attributes
    ----------
    index : (taps, new size) int64
    weight : (taps, new size) float64, or None where all are 1
    """

    index: np.ndarray
    weight: np.ndarray | None

    def shifted(self, by: int) -> Taps:
        """The same of pixels that begin later in the row."""
        return Taps(self.index + by, self.weight)

    def totals(self) -> np.ndarray:
        """Σ over k of weight[k, i]: (new size,)."""
        return np.full(self.index.shape[1], 1.0 * len(self.index)) if self.weight is None else self.weight.sum(axis=0)

    def matrix(self, size: int) -> np.ndarray:
        """(size, new size): how much of each of `size` pixels goes into each new one."""
        weight = np.ones(self.index.shape) if self.weight is None else self.weight
        matrix = np.zeros((size, self.index.shape[1]))
        np.add.at(matrix, (self.index, np.arange(self.index.shape[1])), weight)
        return matrix

    def is_like(self, other: Taps) -> bool:
        """Whether both make the same row, but for rounding."""
        new = self.index.shape[1]
        places = np.concatenate([taps._places() for taps in (self, other)])
        _, differences = _summed(places, np.concatenate([self._weights(), -other._weights()]))
        return bool((np.abs(differences) < ALIKE).all()) and other.index.shape[1] == new

    def transposed(self, size: int) -> Taps:
        """The adjoint, which gives a row of `size` pixels: every pixel gathers from those that it went into."""
        places, summed = _summed(self._places(), self._weights())
        old, new = np.divmod(places[summed != 0], self.index.shape[1])
        counts = np.bincount(old, minlength=size)
        number = np.arange(len(old)) - (np.cumsum(counts) - counts)[old]  # of a tap, among those of its pixel
        index, weight = (np.zeros((max(int(counts.max()), 1), size), kind) for kind in (np.int64, np.float64))
        index[number, old], weight[number, old] = new, summed[summed != 0]
        return without_ones(np.where(weight == 0, index[:1], index), weight)  # what does not count is not read

    def _places(self) -> np.ndarray:
        """Of each tap, where it would be in a matrix, which may be too large to be made."""
        return (self.index * self.index.shape[1] + np.arange(self.index.shape[1])).ravel()

    def _weights(self) -> np.ndarray:
        return np.ones(self.index.size) if self.weight is None else self.weight.ravel()


def _summed(places, weights):
    """(each place once, in order; the sum of its weights)."""
    each, which = np.unique(places, return_inverse=True)
    return each, np.bincount(which, weights)


def without_ones(index: np.ndarray, weight: np.ndarray) -> Taps:
    """`Taps`, whose weights are left out where all are 1."""
    return Taps(np.ascontiguousarray(index), None if (weight == 1).all() else np.ascontiguousarray(weight))


def taps_between(size: int, new_size: int, method: str, antialias: bool = False) -> Taps:
    """The taps that make `new_size` pixels of `size`.

    Pixel i lies at (i + 1/2) · size / new_size - 1/2 of the old row; what would lie outside it does not count, and the
    weights of the others are divided by their sum.

    Parameters
    ----------
    size, new_size : int
    method : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"}
        The nearest pixel, of two the later one; a triangle; the cubic of R. Keys, "Cubic convolution interpolation for
        digital image processing" (1981), with a = -1/2; a sine that is windowed by another one, of radius 3 or 5 (C. E.
        Duchon: "Lanczos filtering in one and two dimensions", 1979).
    antialias : bool
        Whether a row that becomes shorter is made of all its pixels: the kernels are that much wider.
    """
    centre = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    if method == "nearest":
        return Taps(np.minimum((2 * np.arange(new_size) + 1) * size // (2 * new_size), size - 1)[None], None)
    kernel, support = _KERNELS[method]
    wide = max(size / new_size, 1.0) if antialias else 1.0
    first = np.floor(centre - support * wide).astype(np.int64) + 1
    index = first + np.arange(math.ceil(2 * support * wide) + 1)[:, None]  # (taps, new size)
    weight = kernel(np.abs(index - centre) / wide)
    weight[(index < 0) | (index >= size)] = 0
    weight /= weight.sum(axis=0)
    used = (weight != 0).any(axis=1)
    return without_ones(np.clip(index, 0, size - 1)[used], weight[used])


def _triangle(distance):
    return np.maximum(1 - distance, 0)


def cubic(distance: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys's cubic (1981) of how far pixels are away, in pixels; `a` is its slope where the distance is 1."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _lanczos(distance, radius):
    """sinc(d) · sinc(d / radius), which is exactly 0 at all pixels but one's own."""
    weight = np.sinc(distance) * np.sinc(distance / radius)
    return np.where((distance < radius) & (np.abs(weight) > 1e-15), weight, 0)


_KERNELS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (cubic, 2),
    "lanczos3": (partial(_lanczos, radius=3), 3),
    "lanczos5": (partial(_lanczos, radius=5), 5),
}
