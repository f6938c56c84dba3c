"""What the config of a layer that a user has written holds of its constructor's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.checks import plain
from minicnn.keras._given import given
from minicnn.keras._settable import Settable
from minicnn.nested import leaves
from minicnn.parameters import Weight
from minicnn.registry import to_plain

# What an attribute of these names says is no argument of the constructor, which may have one of them (`weights`).
_OF_ANY_LAYER = ("input", "losses", "metrics", "output", "output_shape", "weights")
_IN_JSON = (bool, int, float, str, type(None))


def with_arguments(layer: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with each argument: as the attribute of its name; else, and where that is a weight, as it was given.

    Parameters
    ----------
    layer : Layer
    config : mapping
        What the attributes of the arguments' names say.
    """
    was_given = given(layer)
    kept = {
        name: _number(value)
        for name, value in config.items()
        if name not in _OF_ANY_LAYER and not (isinstance(value, Weight) and name in was_given)
    }
    missing = {name: to_plain(value) for name, value in was_given.items() if name not in kept}
    return kept | {n: v for n, v in missing.items() if all(isinstance(part, _IN_JSON) for part in leaves(v))}


def _number(value):
    """What a variable holds now, which of ``K.variable`` no file has among the weights; else the value."""
    return plain(value.numpy()) if isinstance(value, Settable | Weight) else value
