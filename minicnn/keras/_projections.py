"""``weight.assign(weight * mask)`` in a `call` that is made of layers, as masked convolutions (PixelCNN) have it.

Keras does that in every call. Here the call is run once, for its graph, so that the weight keeps to it from then on:
after each update, and after each assignment from outside.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def projected(array):
        return np.asarray(value.of_arrays({name: array for name in value.names_of(weight)}), weight.dtype)

    once = projected(weight.numpy()) if value.is_of(weight) else None
    if once is None or once.shape != weight.shape or not np.array_equal(once, projected(once), equal_nan=True):
        raise TypeError(
            f"a call that is made of layers is run once, for their graph, so that what it assigns to the weight "
            f"'{weight.path}' has to hold for good: a mask of it, weight.assign(weight * mask), or another projection "
            f"of it alone; another rule is a constraint= of the layer. Received: a value of shape {value.shape}"
        )
    given = vars(weight).setdefault("own_constraint", weight.constraint)

    def constrain(array: Any) -> Any:
        made = projected(on_host(array if given is None else given(array)))
        if isinstance(array, np.ndarray):
            return made
        held = array.copy()
        assign(held, made)
        return held

    vars(weight)["projected"] = projected
    weight.constraint = constrain
    put(weight, once)


def kept_to(weight: Weight, array: np.ndarray) -> np.ndarray:
    """The array, or what the weight keeps of it."""
    projected = vars(weight).get("projected")
    return array if projected is None or np.shape(array) != weight.shape else projected(array)
