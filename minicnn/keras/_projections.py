"""``weight.assign(weight * mask)`` in a `call` that is made of layers, as masked convolutions (PixelCNN) have it.

Keras does that in every call. Here the call is run once, for its graph, so that the weight keeps to it from then on:
after each update, and after each assignment from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.keras._own_weights import OfWeights
from minicnn.on_host import assign, on_host
from minicnn.parameters import Weight


def hold_to(weight: Weight, value: OfWeights, put: Callable[[Weight, Any], None]) -> None:
    """Assign what is computed of a weight to it, now and whenever it changes.

    Parameters
    ----------
    weight : Weight
    value : OfWeights
        Computed of that weight alone, by a projection: of what it gives, it gives the same again.
    put : callable
        Assigns an array to a weight.

    Raises
    ------
    TypeError
        For anything else.
    """
    projected = _projection(weight, value)
    once = None if projected is None else projected(weight.numpy())
    if projected is None or once.shape != weight.shape or not np.array_equal(once, projected(once), equal_nan=True):
        raise TypeError(
            f"a call that is made of layers is run once, for their graph, so that what it assigns to the weight "
            f"'{weight.path}' has to hold for good: a mask of it, weight.assign(weight * mask), or another projection "
            f"of it alone; another rule is a constraint= of the layer. Received: a value of shape {value.shape}"
        )
    vars(weight)["projected"] = projected
    weight.constraint = _Held(projected, vars(weight).setdefault("own_constraint", weight.constraint))
    put(weight, once)


def kept_to(weight: Weight, array: np.ndarray) -> np.ndarray:
    """The array, or what the weight keeps of it."""
    projected = vars(weight).get("projected")
    return array if projected is None or np.shape(array) != weight.shape else projected(array)


def _projection(weight, value):
    """The projection as a function of an array in place of the weight; None if it is computed of others, too."""
    if not value.is_of(weight):
        return None
    projected = _Projection(value, value.names_of(weight), weight.dtype)
    mask, numbers = projected(np.ones(weight.shape)), 1.5 + np.arange(weight.size).reshape(weight.shape)
    is_mask = mask.shape == weight.shape and all(
        np.array_equal(projected(x), np.asarray(x * mask, weight.dtype)) for x in (numbers, -numbers)
    )
    return _Mask(mask) if is_mask else projected


@dataclass
class _Mask:
    """array · numbers, which a pickle can hold."""

    numbers: np.ndarray

    def __call__(self, array):
        return np.asarray(array * self.numbers, self.numbers.dtype)


@dataclass
class _Projection:
    """Any other one: a part of the code of a `call`."""

    value: OfWeights
    names: list[str]
    dtype: np.dtype

    def __call__(self, array):
        return np.asarray(self.value.of_arrays({name: array for name in self.names}), self.dtype)

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError(
            "a pickle holds of what a call assigns to a weight a mask of it, weight.assign(weight * mask), and no "
            "other projection, which is code: model.save, or copy.deepcopy. "
            f"Received: one of a weight '{', '.join(self.names)}'"
        )


@dataclass
class _Held:
    """The constraint of a weight: its own, if it has one, and the projection behind it."""

    projected: Callable[[np.ndarray], np.ndarray]
    given: Callable[[Any], Any] | None

    def __call__(self, array):
        made = self.projected(on_host(array if self.given is None else self.given(array)))
        if isinstance(array, np.ndarray):
            return made
        held = array.copy()
        assign(held, made)
        return held
