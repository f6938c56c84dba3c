"""``keras.legacy.interfaces``, by whose decorators classes of Keras 2 took the arguments of Keras 1."""

from collections.abc import Callable
from typing import Any


class _Interfaces:
    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        if not (name.startswith("legacy_") and name.endswith("_support")):
            raise AttributeError(name)
        return lambda function: function  # minicnn.keras knows both spellings of its own classes


interfaces = _Interfaces()
