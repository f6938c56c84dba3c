"""``keras.initializers``."""

from __future__ import annotations

from inspect import signature
from typing import Any

from minicnn import initializers as _core
from minicnn.keras._names import lookup, public_names
from minicnn.keras._of_tensors import SeedGenerator
from minicnn.keras._starred import starred
from minicnn.keras._translation import translated
from minicnn.keras.saving._objects import initializer_named, reading

_NAMES = {
    "serialize": "minicnn.keras.saving._objects.serialized",
}


def get(identifier: Any) -> Any:
    """An initializer from a name, a class, an instance or a config; None for None."""
    return None if identifier is None else _core.get(initializer_named(identifier))


deserialize = reading(get)


def _by_the_models_seed(args, kwargs):
    """The arguments, with None for a `SeedGenerator`: every call gives other values, which go by the model's seed."""
    return args, {n: None if isinstance(v, SeedGenerator) else v for n, v in kwargs.items()}


_found = lookup(__name__, ["minicnn.initializers"], names=_NAMES)
_translated: dict[type, Any] = {}


def __getattr__(name: str) -> Any:
    part = _found(name)
    if not isinstance(part, type) or "seed" not in signature(part).parameters:
        return part
    return _translated.setdefault(part, translated(part, _by_the_models_seed, __name__))


__all__ = sorted(public_names(_core))
__all__ += starred(__name__)
