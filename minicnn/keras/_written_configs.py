"""A `get_config` that a user's layer writes: what `super().get_config()` gives it, and what it may leave out.

Keras's base knows of no argument of the class: so ``dict(units=self.units, **super().get_config())`` names each once.
Here the base finds the arguments by itself; it keeps them to itself while such a method runs, and those that the method
did not write are added.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

_OF_ANY_LAYER = {"name", "trainable", "dtype", "input_shape"}


def with_all_arguments(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The method, with the arguments that it left out.

    Parameters
    ----------
    method : callable
        A `get_config`.
    """

    @wraps(method)
    def get_config(self):
        if "_kept_back" in vars(self):
            return method(self)
        vars(self)["_kept_back"] = kept = {}
        try:
            config = method(self)
        finally:
            del vars(self)["_kept_back"]
        return kept | config if isinstance(config, dict) else config

    return get_config


def without_arguments(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The base's config for such a method, if one runs; all of it otherwise.

    Parameters
    ----------
    layer : Layer
    config : dict
        With the arguments of the layer's constructor.
    """
    if "_kept_back" not in vars(layer):
        return config
    of_base = _OF_ANY_LAYER.union(layer.rare_options)
    vars(layer)["_kept_back"].update({name: value for name, value in config.items() if name not in of_base})
    return {name: value for name, value in config.items() if name in of_base}
