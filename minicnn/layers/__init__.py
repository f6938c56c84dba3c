"""The layers: one file a family. A new file in this folder needs no entry here."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from minicnn.errors import unknown_name
from minicnn.layers.base import Layer, get, register

if TYPE_CHECKING:  # for editors and type checkers, which do not run what follows
    from minicnn.layers.activations import *  # noqa: F403
    from minicnn.layers.constant_tensor import *  # noqa: F403
    from minicnn.layers.conv import *  # noqa: F403
    from minicnn.layers.dense import *  # noqa: F403
    from minicnn.layers.flatten import *  # noqa: F403
    from minicnn.layers.further import *  # noqa: F403
    from minicnn.layers.input import *  # noqa: F403
    from minicnn.layers.matrix_product import *  # noqa: F403
    from minicnn.layers.padded_pooling import *  # noqa: F403
    from minicnn.layers.pooling import *  # noqa: F403
    from minicnn.layers.selecting import *  # noqa: F403

_modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]  # noqa: F405
_public = {name: getattr(module, name) for module in _modules for name in getattr(module, "__all__", ())}
globals().update(_public)

CLASSES: dict[str, type[Layer]] = {
    value.__name__: value
    for value in _public.values()
    if isinstance(value, type) and issubclass(value, Layer) and not value.holds_code
}
"""Class name → class, of every layer: what a file may name, and what the contract tests run."""

for _class in CLASSES.values():
    register(_class)

__all__ = ["CLASSES", "Layer", "get", "register", *sorted(_public)]

if not TYPE_CHECKING:  # they shall not take a misspelt name for one of ours

    def __getattr__(name):
        """Say which layer may have been meant."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(str(unknown_name("layer", name, CLASSES)))
