"""Objects that know their constructor's arguments, and names for their classes.

Optimizers, losses, metrics, initializers, regularizers and layers are all `Configurable`; each kind has a `Registry`
that turns what a user may write (a name, a class, an instance, a saved config) into an instance.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from minicnn import own_parts
from minicnn.checks import plain, shown
from minicnn.errors import fold_name, unknown_name
from minicnn.held import holding
from minicnn.hints import Config
from minicnn.keywords import SuggestsKeywords
from minicnn.mistaken_names import thing_advice

Kind = TypeVar("Kind", bound="Configurable")
_Class = TypeVar("_Class")

ANY: object = object()
"""In `Configurable.keras_only`: whatever the value is, it changes nothing."""


def modules_of(package: str) -> list[ModuleType]:
    """The modules in a package's folder, imported, in alphabetical order: so a new file is found without an entry."""
    folder = import_module(package).__path__
    return [import_module(f"{package}.{info.name}") for info in iter_modules(folder)]


def public_names(package: str) -> dict[str, Any]:
    """What the modules in a package's folder list in their ``__all__``, by name."""
    return {name: getattr(module, name) for module in modules_of(package) for name in getattr(module, "__all__", ())}


class Configurable(SuggestsKeywords):
    """Mixin: the constructor's arguments are same-named attributes, so that the object can be written down and rebuilt.

    This is scikit-learn's convention (Buitinck et al.: "API design for machine learning software", 2013).

    Attributes
    ----------
    keras_only : dict
        Arguments of Keras's class that have no counterpart here → the values (a tuple, or `ANY`) with which Keras does
        what this class does anyway. A constructor with ``**options`` passes these to `check_options`.
    """

    keras_only: Mapping[str, object] = MappingProxyType({})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own_parts.watch(cls)

    def check_options(self, options: Mapping[str, object]) -> None:
        """Check what a constructor's ``**options`` collected; nothing of it is kept.

        Raises
        ------
        ValueError
            For an argument in `keras_only` with a value that is not supported.
        TypeError
            For any other argument; the message names the nearest one.
        """
        cls = type(self)
        for name, value in options.items():
            if name not in self.keras_only:
                known = [*_argument_names(cls), *self.keras_only]
                raise TypeError(str(unknown_name(f"argument of {cls.__name__}", name, known)))
            supported = self.keras_only[name]
            if supported is not ANY and value not in supported:
                known = " or ".join(map(repr, supported))
                raise ValueError(f"{cls.__name__} supports {name}={known} only. Received: {name}={value!r}")

    def get_config(self) -> Config:
        """The constructor's arguments by name, made of plain Python values.

        Returns
        -------
        dict
            A nested `Configurable` appears as ``{"class_name": …, "config": …}``. An argument without a same-named
            attribute, and what ``**options`` collects, is for the subclass to add.
        """
        names = (p.name for p in constructor_parameters(type(self)) if p.kind is not p.VAR_KEYWORD)
        return {name: to_plain(getattr(self, name)) for name in names if hasattr(self, name)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new object from what `get_config` returned; `config` is not changed.

        Raises
        ------
        ValueError
            If the constructor has no argument of a given name.
        """
        parameters = constructor_parameters(cls)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):  # otherwise the constructor itself checks its options
            known = [p.name for p in parameters]
            for name in config:
                if name not in known:
                    raise own_parts.unknown_argument(cls, name, known)
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={_short(value)}" for name, value in own_parts.shortest_config(self).items())
        return f"{type(self).__name__}({arguments})"


@cache
def constructor_parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    """The parameters of a class's constructor, without `self` (`inspect.Parameter` each)."""
    if cls.__init__ is object.__init__:  # its signature, (*args, **kwargs), is not true
        return ()
    return tuple(inspect.signature(cls).parameters.values())


def _argument_names(cls) -> list[str]:
    """Names of the arguments that a class and those it passes its ``**options`` on to take."""
    parameters = [p for base in cls.__mro__ if issubclass(base, Configurable) for p in constructor_parameters(base)]
    return list(dict.fromkeys(p.name for p in parameters if p.kind is not p.VAR_KEYWORD))


def to_plain(value: Any) -> Any:
    """`value` in plain Python types, which JSON can write."""
    if isinstance(value, Configurable):
        return {"class_name": own_parts.qualified_name(type(value)), "config": own_parts.config_of(value)}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value] if isinstance(value, list) else tuple(to_plain(v) for v in value)
    if isinstance(value, dict):
        return {plain(k): to_plain(v) for k, v in value.items()}
    return plain(value)


def is_config(value: object) -> bool:
    """Whether `value` looks like a nested object in a config: a dict with a 'class_name', a text."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str)


def _short(value):
    """A nested config as ``ClassName(argument=…)``, anything else as its repr."""
    if not is_config(value):
        return repr(value)
    arguments = ", ".join(f"{k}={_short(v)}" for k, v in value["config"].items())
    return f"{value['class_name']}({arguments})"


_custom = ContextVar("custom objects", default=MappingProxyType({}))


@contextmanager
def custom_object_scope(objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Inside, names in configs are looked up in `objects` first.

    Parameters
    ----------
    objects : dict or None
        Name → class or function: layers, losses, metrics, optimizers, schedules, initializers or regularizers of one's
        own. Other values, as in {"tf": tf}, belong to no config.

    Raises
    ------
    TypeError
        If it is not such a dict.
    """
    objects = {} if objects is None else objects
    if not isinstance(objects, dict):  # whose values may be anything, as {"tf": tf} for the function of a Lambda
        raise TypeError(f"custom_objects is a dict from names to classes and functions. Received: {objects!r}")
    with holding(_custom, {**_custom.get(), **objects}):  # those around the `with`, as in Keras 2
        yield


def custom_object(name: str) -> Any:
    """What `custom_object_scope` knows under a name, or None."""
    return _custom.get().get(name)


class Register(Protocol):
    """The class decorator of a registry, see `Registry.register`."""

    @overload
    def __call__(self, cls: type[_Class], /) -> type[_Class]: ...
    @overload
    def __call__(self, *aliases: str) -> Callable[[type[_Class]], type[_Class]]: ...


class Registry(Generic[Kind]):
    """Names of the classes of one kind; lower and upper case and underscores do not matter.

    Parameters
    ----------
    kind : str
        What the classes are, for error messages: 'optimizer'.
    base : type
        Their common base class.
    """

    def __init__(self, kind: str, base: type[Kind]):
        self.kind: str = kind
        self.base: type[Kind] = base
        self._classes: dict[str, type[Kind]] = {}  # folded name → class
        self._names: list[str] = []  # names as they are shown

    @overload
    def register(self, cls: type[_Class], /) -> type[_Class]: ...
    @overload
    def register(self, *aliases: str) -> Callable[[type[_Class]], type[_Class]]: ...
    def register(self, *aliases):
        """Class decorator: make a class known under its own name and under `aliases`.

        Use it bare (``@register``) or with further names (``@register("mse")``).
        """
        if len(aliases) == 1 and isinstance(aliases[0], type):
            return self.register()(aliases[0])

        def decorate(cls):
            for name in own_parts.names_of(cls, aliases, self._classes):
                self._classes[fold_name(name)] = cls
                self._names.append(name)
            return cls

        return decorate

    def names(self) -> list[str]:
        """All known names, aliases included."""
        return sorted(set(self._names))

    def classes(self) -> set[type[Kind]]:
        """All known classes."""
        return set(self._classes.values())

    def lookup(self, name: str, also_known: Iterable[str] = ()) -> type[Kind]:
        """The class called `name`; one of `custom_object_scope` comes first.

        Parameters
        ----------
        name : str
        also_known : iterable of str
            Names that the caller knows besides, for the message.

        Raises
        ------
        ValueError
            If there is none; the message lists near and known names.
        """
        if (custom := own_parts.class_of(name, self.base, _custom.get())) is not None:
            return custom
        try:
            return self._classes[fold_name(name)]
        except KeyError:
            raise unknown_name(self.kind, name, [*self.names(), *also_known]) from None

    def module_getattr(self, module: str, *also_known: str) -> Callable[[str], type[Kind]]:
        """A ``__getattr__`` for the module that holds the classes.

        All their names are attributes of the module, as Keras's functions are: ``losses.mse``, ``regularizers.l2``.

        Parameters
        ----------
        module : str
        *also_known : str
            What the module has besides the classes, for the message about an unknown name.
        """

        def __getattr__(name):
            if name.startswith("_"):
                raise AttributeError(f"module {module!r} has no attribute {name!r}")
            try:
                return self._classes[fold_name(name)]
            except KeyError:
                known = [*self.names(), self.base.__name__, "get", *also_known]
                raise AttributeError(str(unknown_name(f"name in {module}", name, known))) from None

        return __getattr__

    def get(self, identifier: str | Kind | type[Kind] | Config) -> Kind:
        """An instance from a name, an instance, a class or ``{"class_name": …, "config": …}``.

        Raises
        ------
        ValueError
            If a name is unknown.
        TypeError
            If `identifier` is none of these.
        """
        identifier = getattr(identifier, "stands_for", identifier)  # a function that a class has too
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, str):
            return self.lookup(identifier)()
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        if is_config(identifier):
            return own_parts.of_library(identifier["class_name"], self).from_config(identifier.get("config") or {})
        raise TypeError(self._explain(identifier))

    def _explain(self, identifier) -> str:
        """Why `identifier` cannot be one of this kind."""
        article = "an" if self.kind[0] in "aeiou" else "a"
        expected = (
            f"{article} {self.kind} is given as a name such as '{min(self.names(), key=len)}', as an instance or class "
            f"of {self.base.__name__}, or as a dict with 'class_name' and 'config'"
        )
        expected += (advice := thing_advice(self.kind, identifier))
        if callable(identifier) and not advice:
            expected += f"; a function is not enough: write a subclass of {self.base.__name__}, see docs/own_parts.md"
        return f"{expected}. Received: {shown(identifier)}"
