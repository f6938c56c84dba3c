"""``keras.initializers``."""

from __future__ import annotations

from typing import Any

from minicnn import initializers as _core
from minicnn.keras._names import lookup, public_names

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "deserialize": "minicnn.initializers.get",
}


def get(identifier: Any) -> Any:
    """An initializer from a name, a class, an instance or a config; None for None."""
    return None if identifier is None else _core.get(identifier)


__getattr__ = lookup(__name__, ["minicnn.initializers"], names=_NAMES)
__all__ = sorted(public_names(_core))
