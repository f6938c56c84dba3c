"""Classes of minicnn that also take what older Kerases called their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from minicnn.keras._warning import warn_once
from minicnn.own_parts import is_of_package

Translate = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


class Translated(type):
    """Metaclass of such subclasses: an object of the class that they stand for counts as one of theirs."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "translate" in vars(cls) and is_of_package(cls):
            args, kwargs = vars(cls)["translate"](args, kwargs)
        return super().__call__(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, vars(cls).get("core_class", ())) or super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, vars(cls).get("core_class", ())) or super().__subclasscheck__(subclass)

    @property
    def __signature__(cls) -> inspect.Signature:
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def translated(
    core: type,
    translate: Translate,
    module: str,
    kind: type[Translated] = Translated,
    base: type | None = None,
    **attributes: Any,
) -> Any:
    """A subclass of `core` with its name, which translates its arguments first.

    Parameters
    ----------
    core : type
    translate : callable
        (args, kwargs) → (args, kwargs).
    module : str
        Where the class is found.
    kind : type, default Translated
        Its metaclass.
    base : type, optional
        What stands between the two, a subclass of `core`.
    **attributes
        What it has besides.
    """
    own = {"__module__": module, "__doc__": core.__doc__, "core_class": core, "translate": translate}
    return kind(core.__name__, (base or core,), own | attributes)


def renamed(owner: str, kwargs: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The arguments with today's names for old ones; each is warned about once.

    Parameters
    ----------
    owner : str
        Whose arguments they are, for the warning.
    kwargs : dict
    names : mapping
        Old name → today's.
    """
    result = {}
    for name, value in kwargs.items():
        if name in names:
            warn_once(f"{owner}({name}=…) is an argument of an older Keras: today it is {names[name]}=")
        result[names.get(name, name)] = value
    return result


def named_today(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a layer whose name may have slashes, as Keras 1 and 2 allowed; files are read likewise.

    Parameters
    ----------
    kwargs : dict
    """
    name = kwargs.get("name")
    if not isinstance(name, str) or "/" not in name:
        return kwargs
    warn_once("a '/' in the name of a layer is of Keras 1 and 2, and a '_' today, as in 'fire2_squeeze1x1'")
    return kwargs | {"name": name.replace("/", "_")}


def without(owner: str, kwargs: dict[str, Any], dropped: Mapping[str, str]) -> dict[str, Any]:
    """The arguments without those that change nothing.

    Parameters
    ----------
    owner : str
        Whose arguments they are.
    kwargs : dict
    dropped : mapping
        Name → a sentence on it, said once as a warning; "": nothing is said.
    """
    for name in kwargs.keys() & dropped.keys():
        if dropped[name]:
            warn_once(f"{owner}({name}=…): {dropped[name]}")
    return {name: value for name, value in kwargs.items() if name not in dropped}
