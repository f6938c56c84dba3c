"""``mean`` and ``variance`` of Keras's Normalization: arrays that meet a batch; the weights are `adapt_mean`, …"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.keras._eager import eager
from minicnn.parameters import Weight


def moments_of(class_name: str) -> dict[str, Any]:
    """What the class of a layer has of it.

    Parameters
    ----------
    class_name : str

    Returns
    -------
    dict
        Name → property.
    """
    if class_name != "Normalization":
        return {}
    return {name: _Moment(name) for name in ("mean", "variance")} | {
        f"adapt_{name}": property(lambda layer, name=name: layer._weights[name]) for name in ("mean", "variance")
    }


class _Moment:
    """A moment (1, …, C); None before the layer is built. No property: a weight may have its name."""

    def __init__(self, name: str) -> None:
        self.name: str = name

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        moment = None if layer is None else vars(layer).get(self.name)
        if not isinstance(moment, Weight):  # given to the constructor, and spread by `build`
            return eager(moment)
        return eager(np.reshape(moment.numpy(), layer.spread_shape))

    def __set__(self, layer: Any, value: Any) -> None:
        vars(layer)[self.name] = value
