"""Looking up a name in a module of `minicnn.keras`: what there is, what there was, and what there never will be."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, TypeAlias

from minicnn.errors import unknown_name
from minicnn.keras._missing import NotInMinicnn, reason, stand_in
from minicnn.keras._paths import old_path
from minicnn.keras._warning import warn_once

# What files of Keras 1 and 2 had imported for themselves, and gave to whoever wrote ``from keras.callbacks import *``.
BROUGHT = {"K": "minicnn.keras.backend", "np": "numpy", "os": "os"}

Lookup: TypeAlias = Callable[[str], Any]
"""A module's ``__getattr__``."""


class Room(SimpleNamespace):
    """Names below ``tf`` that are no module of their own, and the sentence for those that are not there.

    Parameters
    ----------
    name : str
        As scripts write it, "tf.errors".
    **names
    """

    def __init__(self, name: str, **names: Any) -> None:
        super().__init__(**names)
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = [each for each in vars(self) if not each.startswith("_")]
        raise NoAttribute(str(unknown_name(f"name in {self._name}", name, known)), name=name)


class NoAttribute(AttributeError):
    """`NotInMinicnn` where a module is asked for an attribute, so that `hasattr` and `getattr` with a default work."""


def _is_imported() -> bool:
    """Whether the line that looks a name up is ``from … import …``, which hides the sentence of an AttributeError."""
    frame = sys._getframe()
    while frame.f_globals.get("__name__", "").startswith("minicnn.keras._") or frame.f_code.co_name == "__getattr__":
        frame = frame.f_back  # to whoever asks the module
    if frame.f_globals.get("__name__") == "importlib._bootstrap":  # which looks before it tries a module of the name
        return True
    return frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]


def lookup(
    module: str,
    sources: Iterable[str] = (),
    modules: Iterable[str] = (),
    names: Mapping[str, str] = MappingProxyType({}),
    old: Mapping[str, str] = MappingProxyType({}),
) -> Lookup:
    """A ``__getattr__`` for a module of `minicnn.keras`.

    Parameters
    ----------
    module : str
        Its name.
    sources : iterable of str
        Modules of minicnn whose public names it has too.
    modules : iterable of str
        Its submodules.
    names : mapping, optional
        Name → module that holds it; "module.other" where it is called otherwise there.
    old : mapping, optional
        A name that Keras has dropped → the name of today, in the same module.

    Returns
    -------
    callable
        Raises `NotInMinicnn`, or `NoAttribute` outside ``from … import …``, with the reason or the nearest name. To
        ``from … import …`` it gives a `Missing` for a name of Keras's, as scripts import more than they use.
    """
    sources, modules = tuple(sources), frozenset(modules)
    short = module.removeprefix("minicnn.")

    def __getattr__(name):
        if name.startswith("_") and name not in names and reason(name) is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        if name in modules or old_path(f"{short}.{name}"):
            return import_module(f"{module}.{name}")
        if name in old:
            warn_once(f"{short}.{name} is a name of an older Keras: today it is {short}.{old[name]}")
            return getattr(sys.modules[module], old[name])
        if name in names:
            return _from(names[name], name)
        if name in BROUGHT and name in getattr(sys.modules[module], "__all__", ()):
            return import_module(BROUGHT[name])
        for source in map(import_module, sources):
            if (found := _found(source, name)) is not None:
                return found
        why = reason(name)
        if why and _is_imported():
            return stand_in(name, why)
        own = getattr(sys.modules[module], "__all__", ())
        known = [*modules, *names, *old, *own, *(n for s in sources for n in public_names(import_module(s)))]
        error = NotInMinicnn if _is_imported() else NoAttribute
        written = short.replace("keras.tensorflow", "tf")  # as scripts have it
        raise error(why or str(unknown_name(f"name in {written}", name, known)), name=name)

    return __getattr__


def _from(place, name):
    try:
        return getattr(import_module(place), name)
    except ModuleNotFoundError:
        package, _, other = place.rpartition(".")
        return getattr(import_module(package), other)


def _found(module, name):
    """A public name of a module, or one that it finds itself; None if it has none."""
    if name in public_names(module):
        return getattr(module, name)
    try:
        return vars(module)["__getattr__"](name) if "__getattr__" in vars(module) else None
    except (AttributeError, NotInMinicnn):
        return None


def public_names(module: ModuleType) -> list[str]:
    """What a module lists, or the classes and functions that are written in it."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = vars(module).items()
    return [n for n, v in own if not n.startswith("_") and getattr(v, "__module__", None) == module.__name__]
