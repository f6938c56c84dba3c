"""``keras.dtype_policies``: in which dtype layers compute."""

from __future__ import annotations

from typing import Any

from minicnn.dtype_policies import DTypePolicy, get
from minicnn.keras._names import Lookup, lookup

FloatDTypePolicy = DTypePolicy


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """A policy as Keras's files hold it: see `deserialize`."""
    config = dtype_policy.get_config()
    return {"module": "keras", "class_name": "DTypePolicy", "config": config, "registered_name": None}


def deserialize(config: Any, custom_objects: Any = None) -> DTypePolicy:
    """The policy that `serialize` wrote down."""
    return get(config)


__getattr__: Lookup = lookup(__name__)
__all__ = ["DTypePolicy", "FloatDTypePolicy", "deserialize", "get", "serialize"]
