"""The layers: one file a family. A new file in this folder needs no entry here."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from minicnn.errors import unknown_name
from minicnn.layers.base import Layer, get, register

_modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
_public = {name: getattr(module, name) for module in _modules for name in getattr(module, "__all__", ())}
globals().update(_public)

CLASSES: dict[str, type[Layer]] = {
    value.__name__: value for value in _public.values() if isinstance(value, type) and issubclass(value, Layer)
}
"""Class name → class, of every layer: what a file may name, and what the contract tests run."""

for _class in CLASSES.values():
    register(_class)

__all__ = ["CLASSES", "Layer", "get", "register", *sorted(_public)]


def __getattr__(name: str) -> Any:
    """Say which layer may have been meant."""
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(str(unknown_name("layer", name, CLASSES)))
