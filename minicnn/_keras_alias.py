"""``minicnn.keras`` is minicnn itself, so that ``from tensorflow.keras.layers import …`` needs one word changed."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_ALIAS = "minicnn.keras"


def package() -> ModuleType:
    """The package that the alias stands for."""
    return sys.modules["minicnn"]


class _AliasFinder(MetaPathFinder, Loader):
    """Resolves ``minicnn.keras`` and everything below to the module of the same name without ``keras``."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == _ALIAS or fullname.startswith(_ALIAS + "."):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        real = import_module("minicnn" + spec.name.removeprefix(_ALIAS))
        self._identity = (real.__spec__, real.__loader__, real.__package__)
        return real

    def exec_module(self, module):
        """The module was executed under its real name; give back what the import system overwrote."""
        module.__spec__, module.__loader__, module.__package__ = self._identity


sys.meta_path.insert(0, _AliasFinder())
