"""Attributes and methods of users' layers and models whose names the library has for something else: ``self.lower``.

Keras's scripts know the names of Keras's classes and stay away from those. They cannot know minicnn's. So a name that a
class gives to something of its own has two meanings from then on: that of the class, and that of the library, for the
library's own code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from types import FrameType, FunctionType
from typing import Any

from minicnn.own_parts import is_of_package

_KERAS = """
    _inbound_nodes _outbound_nodes _trainable activation activity_regularizer add add_loss add_metric
    add_variable add_weight bias build built call compile compiled compiled_loss compiled_metrics compute_dtype
    compute_loss compute_mask compute_metrics compute_output_shape count_params dtype dtype_policy evaluate
    export fit from_config get_config get_layer get_metrics_result get_weights history input input_shape inputs
    layers load_weights loss losses make_predict_function metrics metrics_names name non_trainable_variables
    non_trainable_weights optimizer output output_shape outputs pop predict predict_on_batch predict_step
    reset_metrics run_eagerly save save_weights set_weights stop_training summary supports_masking test_on_batch
    test_step to_json train_function train_on_batch train_step trainable trainable_variables trainable_weights
    variable_dtype variables weights
"""
_METHODS_OF_KERAS = """
    _make_predict_function _make_test_function _make_train_function _merge_function add_update compile_from_config
    convolution_op evaluate_generator
    fit_generator get_compile_config get_input_at get_input_shape_at get_output_at get_output_shape_at input_names
    load_own_variables make_test_function make_train_function named_weights predict_classes
    predict_generator predict_proba quantize save_own_variables stateless_call to_yaml
"""
_CONTRACT = "backward bind buffers examples forward fused lower penalty to_onnx"
"""What minicnn's documents let a layer write; where it writes Keras's `call`, they are methods of its own."""
_OF_OBJECTS = """
    _built _engine _policy _seed _told _weights advised declared_input_shape epochs_trained nodes saved_as scale_seen
    structure
"""

OF_KERAS = frozenset(_KERAS.split())
_METHODS = (FunctionType, property, staticmethod, classmethod, cached_property)
_MISSING = object()
_OWN = " of its own"  # behind a name in an object's `__dict__`, where no attribute can have it


def own_name(key: str) -> str:
    """The name by which a class knows what stands in an object's `__dict__`.

    Parameters
    ----------
    key : str
        There.
    """
    return key.removesuffix(_OWN)


def divide(thing: Any, name: str, frame: FrameType) -> None:
    """Let an attribute that is about to be set have two meanings, if a method of a user's class gives it another one.

    Parameters
    ----------
    thing : Layer or Model
    name : str
    frame : frame
        Of whoever sets it.
    """
    cls = type(thing)
    may_be = (hasattr(cls, name) or name in _OF_OBJECTS.split()) and not isinstance(vars(cls).get(name), _Divided)
    # a frame that was asked for its values keeps them until it ends: it is asked last, and for few names
    if may_be and not is_of_library(frame) and is_taken(cls, name) and _first_argument(frame) is thing:
        _divide(cls, name)


@contextmanager
def dividing_methods(cls: type) -> Iterator[None]:
    """Let methods, properties and data of a user's class have two meanings, where the library has such names.

    Parameters
    ----------
    cls : type
        That is being made; inside, it is without them, so that nothing takes them for the library's.
    """
    has_call = any("call" in vars(base) for base in cls.__mro__ if not is_of_package(base))
    of_keras = [*_METHODS_OF_KERAS.split(), *([] if has_call else _CONTRACT.split())]
    has_data = has_call or hasattr(cls, "compile")  # else it says by them how `forward` is run
    kinds = _METHODS if not has_data else (object,)
    found = {n: v for n, v in _written(cls).items() if n not in of_keras and isinstance(v, kinds) and is_taken(cls, n)}
    for name in found.keys() & vars(cls).keys():
        type.__delattr__(cls, name)
    yield
    for name, value in found.items():
        _divide(cls, name, value)


def _written(cls):
    """What a class has of its own, and of mixins that stand before the library's classes."""
    last = next(i for i, base in enumerate(cls.__mro__) if is_of_package(base))
    bases = [base for base in cls.__mro__[:last] if base is cls or not any(map(is_of_package, base.__mro__))]
    return {name: value for base in reversed(bases) for name, value in vars(base).items()}


def _divide(cls, name, own=_MISSING):
    bases = [base for base in cls.__mro__ if is_of_package(base) or isinstance(vars(base).get(name), _Divided)]
    of_library = next((vars(base)[name] for base in [cls, *bases] if name in vars(base)), _MISSING)
    if isinstance(of_library, _Divided):
        own = of_library.of_class if own is _MISSING else own
        of_library = of_library.of_library
    if not isinstance(vars(cls).get(name), _Divided):
        type.__setattr__(cls, name, _Divided(name, of_library, own))


def divide_again(thing: Any, state: Mapping[str, Any]) -> None:
    """Let names have two meanings, as they had in the process that `state`, of an object of the class, was pickled in.

    Parameters
    ----------
    thing : Layer or Model
    state : dict
        What becomes its attributes.
    """
    for name in state:
        if name.endswith(_OWN) and is_taken(type(thing), name.removesuffix(_OWN)):
            _divide(type(thing), name.removesuffix(_OWN))


def is_taken(cls: type, name: str) -> bool:
    """Whether the library has a meaning of its own for the name, which Keras has not.

    Parameters
    ----------
    cls : type
        A user's class.
    name : str
    """
    bases = [base for base in cls.__mro__ if is_of_package(base)]
    known = name in _OF_OBJECTS.split() or any(name in vars(base) for base in bases)
    if any(name in vars(base).get("names_of_keras", ()) for base in bases):
        return False
    is_kerass = name in OF_KERAS and (name != "layers" or hasattr(cls, "compile"))  # which its models have, no layer
    return known and not is_kerass and not name.startswith("__") and not is_of_package(cls)


def is_of_library(frame: FrameType) -> bool:
    """Whether the code that a frame runs is the library's."""
    module = str(frame.f_globals.get("__name__"))  # the registry asks for what a constructor was given, for files
    return module.partition(".")[0] == "minicnn" and module != "minicnn.registry"


def _first_argument(frame):
    names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
    return frame.f_locals.get(names[0]) if names else None


class _Divided:
    """A name with two meanings; the library's is that of its class, or what it keeps in the object.

    Which one is meant says the module of the code that asks: there is nothing else to tell them apart by.
    """

    def __init__(self, name: str, of_library: Any, of_class: Any = _MISSING) -> None:
        self.name = name
        self.of_library = of_library
        self.of_class = of_class
        self.own = f"{name}{_OWN}"

    def __get__(self, thing: Any, cls: type | None = None) -> Any:
        found, kept = self.of_library, {} if thing is None else vars(thing)
        if self.own in kept and not is_of_library(sys._getframe(1)):
            return kept[self.own]
        if self.of_class is not _MISSING and not is_of_library(sys._getframe(1)):
            return self._of_class_for(thing, cls)
        if hasattr(found, "__set__"):
            return found.__get__(thing, cls)
        if self.name in kept:
            return kept[self.name]
        if found is _MISSING:
            raise AttributeError(f"'{type(thing).__name__}' object has no attribute '{self.name}'")
        return found.__get__(thing, cls) if hasattr(found, "__get__") else found

    def _of_class_for(self, thing, cls):
        if isinstance(self.of_class, cached_property) and thing is not None:
            vars(thing)[self.own] = self.of_class.func(thing)
            return vars(thing)[self.own]
        return self.of_class.__get__(thing, cls) if hasattr(self.of_class, "__get__") else self.of_class

    def __set__(self, thing: Any, value: Any) -> None:
        frame = sys._getframe(1)
        while is_setter(frame):
            frame = frame.f_back  # type: ignore[assignment]  # a setter is called by somebody
        is_own = self.own in vars(thing) or self.of_class is not _MISSING
        if not is_of_library(frame) and isinstance(self.of_class, property):
            self.of_class.__set__(thing, value)
        elif not is_of_library(frame) and (is_own or _first_argument(frame) is thing):
            vars(thing)[self.own] = value
            with suppress(TypeError, ValueError):  # names of classes, a seed: where it fits, it is the library's too
                self._set_property(thing, value)
        elif hasattr(self.of_library, "__set__"):
            self.of_library.__set__(thing, value)
        else:
            vars(thing)[self.name] = value

    def __delete__(self, thing: Any) -> None:
        kept = vars(thing)
        name = self.own if self.own in kept and not is_of_library(sys._getframe(1)) else self.name
        if name not in kept:
            raise AttributeError(f"'{type(thing).__name__}' object has no attribute '{self.name}'")
        del kept[name]

    def _set_property(self, thing, value):
        if isinstance(self.of_library, property) and self.of_library.fset is not None:
            self.of_library.fset(thing, value)


def is_setter(frame: FrameType) -> bool:
    """Whether a frame runs the library's code for an attribute that is set."""
    return frame.f_code.co_name == "__setattr__" and is_of_library(frame)


class OwnNames:
    """Mixin of Keras's models."""

    def __init_subclass__(cls, **options: Any) -> None:
        with dividing_methods(cls):
            super().__init_subclass__(**options)

    def __setattr__(self, name: str, value: Any) -> None:
        divide(self, name, sys._getframe(1))
        super().__setattr__(name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        divide_again(self, state)
        super().__setstate__(state)  # type: ignore[misc]
