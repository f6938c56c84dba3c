"""Attributes that a user's model or layer has had changed since its `call` was run: it is run again where Keras would.

Keras runs `call` anew in each call of a model on arrays. What `fit`, `evaluate` and `predict` run is traced, each by
itself, when it is used first after `compile`, and keeps what attributes were then, unless ``run_eagerly`` is set. Here
`call` is run once, for its graph: so what it reads is compared with what it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from inspect import signature
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from minicnn.keras._lambda_numbers import warn_of_changed_numbers
from minicnn.keras._outer_names import outer_values
from minicnn.keras._own_names import OF_KERAS, is_taken, own_name
from minicnn.keras._recompiled import Observer
from minicnn.keras._set_in_call import hold_numbers, is_number_of_call, set_before_copying
from minicnn.models import Model as ModelOfCore
from minicnn.own_parts import is_of_package
from minicnn.step import Changes
from minicnn.user_warnings import warn_user

_ANY_NAME = {"getattr", "vars", "__dict__"}  # with which code may read any attribute
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_OF_LIBRARY = OF_KERAS | {"validation_data"}  # which a model has while `fit` runs
_DEPTH = 5  # of lists in lists and objects in objects, which may go round in circles
_OF_GRAPH = ("graph", "_structures", "_made", "_seen")  # what a model or layer has of its graph
_State = list[tuple[Any, dict[str, Any]]]  # each model and layer with a `call`, and these


_OF_FIT = tuple(signature(ModelOfCore.fit).parameters)[1:]
_names: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()  # that the `call` of a class may read
_functions: WeakKeyDictionary[type, list[ref[FunctionType]]] = WeakKeyDictionary()
"""The methods of which `call` is made; weak, as `super()` in one, and models in names around it, hold the class."""


class _Seen:
    """What the `call` of a model or layer reads, as it was when the graph was made; copies of models begin anew."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values = values

    def __reduce__(self) -> Any:
        return _Seen, ()


class _Traced:
    """Name of a function of Keras's, "train", "test", "predict" → the graphs that it was traced with."""

    def __init__(self) -> None:
        self.states: dict[str, _State] = {}
        self.runs: bool = False  # one of them, now
        self.observer: Observer | None = None  # of the `fit` that runs

    def __reduce__(self) -> Any:
        return _Traced, ()


def note(thing: Any) -> None:
    """Keep what the `call` of a model or layer has read, whose graph was made just now.

    Parameters
    ----------
    thing : Model or Layer
        Of a user's class.
    """
    vars(thing)["_seen"] = _Seen({n: _kept(value, _names_read(type(thing))) for n, value in _read_by_call(thing)})


def changed(thing: Any) -> str | None:
    """The name of an attribute that `call` reads, and that is another one by now; None if there is none.

    Parameters
    ----------
    thing : Model or Layer
        That has a graph.
    """
    seen = vars(thing)["_seen"].values
    if seen is None:
        note(thing)
        return set_before_copying(thing)
    return _other(thing, seen)


def _other(thing, seen):
    """The name of an attribute that is not what was seen of it."""
    now, names = dict(_read_by_call(thing)), _names_read(type(thing))
    now |= {name: seen[name] for name in now if name in seen and is_number_of_call(thing, name)}
    return next(
        (n for n in [*now, *seen] if n not in now or n not in seen or not _is_same(seen[n], now[n], names)), None
    )


def _read_by_call(thing):
    """Name and value of the attributes that `call` and what it calls may read."""
    cls = type(thing)
    names = _names_read(cls)
    everything = not names.isdisjoint(_ANY_NAME)
    of_class = {n: v for c in reversed(cls.__mro__) if not is_of_package(c) for n, v in vars(c).items()}
    of_class = {n: v for n, v in of_class.items() if isinstance(v, (*_PLAIN, list, tuple, dict, np.ndarray))}
    for key, value in {**of_class, **vars(thing)}.items():
        name = own_name(key)
        is_meant = name in names or (everything and not name.startswith("_"))
        is_the_librarys = name in _OF_LIBRARY or (key == name and is_taken(cls, name))
        if is_meant and not is_the_librarys:
            yield key, value
    methods = (method() for method in _functions[cls])
    for name, value in outer_values(method for method in methods if method is not None):
        yield f"the outer name {name}", value


def _names_read(cls):
    if cls not in _names:
        _functions[cls] = []
        _names[cls] = _names_in(cls, ["call"], set())
    return _names[cls]


def _names_in(cls, methods, found):
    """All names in the code of a class's methods, which are kept, and of the methods that these name."""
    for method in methods:
        function = getattr(cls, method, None)
        function = getattr(function, "fget", None) or getattr(function, "__wrapped__", function)
        if isinstance(function, FunctionType) and not str(function.__module__).startswith("minicnn"):
            _functions[cls].append(ref(function))
            names = set(_names_of(function.__code__)) - found
            found |= names
            _names_in(cls, names, found)
    return found


def _names_of(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names_of(part)


def _kept(value, names, depth=0):
    """A value as it is now, where it could be changed in place."""
    if isinstance(value, np.ndarray):
        return np.array(value)
    if depth == _DEPTH:
        return value
    if isinstance(value, list | tuple):
        return [_kept(part, names, depth + 1) for part in value]
    if isinstance(value, set):
        return set(value)
    parts = _parts(value, names)
    return value if parts is None else {key: _kept(part, names, depth + 1) for key, part in parts.items()}


def _is_same(kept, value, names):
    if kept is value:
        return True
    if isinstance(value, np.ndarray):
        has_nan = value.dtype.kind in "fc"
        return (
            isinstance(kept, np.ndarray)
            and kept.dtype == value.dtype
            and np.array_equal(kept, value, equal_nan=has_nan)
        )
    if isinstance(value, list | tuple):
        return (
            isinstance(kept, list)
            and len(kept) == len(value)
            and all(_is_same(k, v, names) for k, v in zip(kept, value, strict=True))
        )
    if isinstance(kept, dict):
        parts = _parts(value, names)
        return (
            parts is not None and kept.keys() == parts.keys() and all(_is_same(kept[k], parts[k], names) for k in kept)
        )
    return isinstance(value, (*_PLAIN, set)) and type(kept) is type(value) and kept == value


def _parts(value, names):
    """What is in a dict, or in an object or class of a user's that `call` may read it from; None for anything else."""
    if isinstance(value, dict):
        return value
    cls = value if isinstance(value, type) else type(value)
    if isinstance(value, FunctionType | ModuleType | np.generic) or any(map(is_of_package, cls.__mro__)):
        return None
    found = {name: part for base in reversed(cls.__mro__[:-1]) for name, part in vars(base).items() if name in names}
    found = {name: part for name, part in found.items() if isinstance(part, _PLAIN)}
    if dataclasses.is_dataclass(value) and value is not cls:  # which may have slots
        found |= {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if hasattr(value, f.name)}
    elif value is not cls:
        found |= getattr(value, "__dict__", {})
    everything = not names.isdisjoint(_ANY_NAME)
    found = {name: part for name, part in found.items() if everything or name in names}
    return found or None


def _written_in(thing: Any) -> Iterator[Any]:
    """The users' models and layers whose graphs are in that of a model, inner ones first."""
    for layer in thing.graph.layers if thing.graph is not None else ():
        if layer.graph is not None:
            yield from _written_in(layer)
    if "_seen" in vars(thing):
        yield thing


def _all_written(model):
    known = vars(model).get("_written")
    if known is None or known.count != Changes.count or known.graph is not model.graph:
        known = vars(model)["_written"] = _Written(model)
    return known.things


class _Written:
    """Those of a model, until an attribute of a layer changes."""

    def __init__(self, model: Any = None) -> None:
        self.things = [] if model is None else list(dict.fromkeys(_written_in(model)))
        self.count, self.graph = Changes.count, None if model is None else model.graph

    def __reduce__(self) -> Any:
        return _Written, ()


def renew(model: Any) -> None:
    """Run `call` again of what is in a model, and has other attributes than when it was run.

    Parameters
    ----------
    model : Model
    """
    for thing in _all_written(model):
        if changed(thing) is not None:
            thing.trace_again()
            Changes.count, Changes.replaced = Changes.count + 1, Changes.replaced + 1


def compose_again(layer: Any) -> None:
    """Make the graph of a layer of layers anew, which keep their weights.

    Parameters
    ----------
    layer : Layer

    Raises
    ------
    ValueError
        If it gives another shape by now, which the layers behind it are not for.
    """
    before = layer.graph
    forget_places(before)
    layer.graph = None
    layer._composed([t.shape[1:] for t in before.inputs])
    if [t.shape for t in layer.graph.outputs] != [t.shape for t in before.outputs]:
        raise ValueError(
            f"what layer '{layer.name}' gives has the shape {before.outputs[0].shape}, whatever its attributes are "
            f"changed to: make another layer. Received: attributes with which it is {layer.graph.outputs[0].shape}"
        )


def forget_places(graph):
    """Take the calls in a graph from the layers' lists of places, as another graph stands for it."""
    for node in graph.nodes:
        if node.inputs and node in node.layer.nodes:
            node.layer.nodes.remove(node)


def _state_of(model) -> _State:
    return [(thing, {n: vars(thing)[n] for n in _OF_GRAPH if n in vars(thing)}) for thing in _all_written(model)]


def _put(state):
    """Have models and layers compute by the graphs that they had."""
    if any(thing.graph is not kept["graph"] for thing, kept in state):
        for thing, kept in state:
            vars(thing).update(kept)
        Changes.count, Changes.replaced = Changes.count + 1, Changes.replaced + 1


class _Eagerly(Observer):
    """Has each batch see what attributes are then: ``run_eagerly``."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        renew(self.model)

    on_test_batch_begin = on_train_batch_begin


class Following:
    """Mixin of Keras's models.

    Attributes
    ----------
    run_eagerly : bool
        Whether `fit` and its like see each change of an attribute at once.
    """

    run_eagerly: bool = False

    def compile(self, *args: Any, **kwargs: Any) -> None:
        vars(self)["run_eagerly"] = bool(kwargs.get("run_eagerly"))
        super().compile(*args, **kwargs)  # type: ignore[misc]
        if (traced := vars(self).pop("_traced", None)) is not None and traced.observer is not None:
            vars(self)["_traced"] = now = _Traced()
            now.observer, now.runs = traced.observer, True
            traced.observer.take_over(self)

    def _trace(self, inputs: Any) -> None:
        super()._trace(inputs)  # type: ignore[misc]
        note(self)

    def trace_again(self) -> None:
        """Make the graph anew, between the same inputs; layers keep their weights."""
        forget_places(self.graph)  # type: ignore[has-type]
        self._trace(self.input_structure)  # type: ignore[attr-defined]

    def forget_traced(self) -> None:
        """Have `fit` and its like go by the graph that there is, as Keras, which traces anew for other sizes."""
        if (traced := vars(self).get("_traced")) is not None:
            traced.states.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        warn_of_changed_numbers(self)
        if self._has_no_call_within():
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        before = _state_of(self) if (traced := vars(self).get("_traced")) is not None and traced.runs else []
        renew(self)
        made = super().__call__(*args, **kwargs)  # type: ignore[misc]
        hold_numbers(self, args, kwargs)
        _put(before if not self._is_eager() else [])
        return made

    def _has_no_call_within(self):
        """Whether the library's own layers are all there is, whose attributes do not change what is computed."""
        return self.graph is not None and not _all_written(self)  # type: ignore[attr-defined]

    def _is_eager(self):
        return self.run_eagerly or self.has_own_steps or self.runs_at_once  # type: ignore[attr-defined]

    def _run_traced(self, functions, method, args, kwargs):
        """What a method gives by the graphs that a function of Keras's was traced with: now, if it was not yet."""
        warn_of_changed_numbers(self)
        if self._has_no_call_within():
            return method(*args, **kwargs)
        traced = vars(self).setdefault("_traced", _Traced())
        if self._is_eager() or functions[0] not in traced.states:
            renew(self)
        else:
            self._say_what_was_traced(traced.states[functions[0]])
        outer, traced.runs = traced.runs, True
        try:
            return method(*args, **kwargs)
        finally:
            now = vars(self).get("_traced")  # another one, if a callback has compiled the model
            traced.runs = outer
            if now is not None:
                now.runs = outer
            for function in functions if now is traced else ():
                traced.states.setdefault(function, _state_of(self))

    def _say_what_was_traced(self, state):
        """Warn of an attribute that was changed since; what `call` made then is used."""
        for thing, kept in state:
            seen = kept["_seen"].values
            if seen is not None and (name := _other(thing, seen)) is not None:
                warn_user(
                    f"{name} of '{thing.name}' ({type(thing).__name__}) was changed after this method had run, and "
                    "stays what it was there, as in Keras, whose functions are traced: call compile again, or give it "
                    "run_eagerly=True"
                )
        _put(state)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train; see `minicnn.Model.fit`."""
        by_place = dict(zip(_OF_FIT, args, strict=False))
        if not by_place.keys() & kwargs.keys():
            args, kwargs = (), by_place | kwargs
        validates = kwargs.get("validation_data") is not None or kwargs.get("validation_split")
        functions = ("train", "test") if validates else ("train",)
        given = kwargs.get("callbacks")
        if not (given or self.run_eagerly) or self.has_own_steps:  # type: ignore[attr-defined]
            return self._run_traced(functions, super().fit, args, kwargs)  # type: ignore[misc]
        observer = _Eagerly() if self.run_eagerly else Observer()
        kwargs["callbacks"] = [*_listed(given), observer]
        vars(self).setdefault("_traced", _Traced()).observer = observer
        try:
            return self._run_traced(functions, super().fit, args, kwargs)  # type: ignore[misc]
        finally:
            vars(self)["_traced"].observer = None

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One iteration; see `minicnn.Model.train_on_batch`."""
        return self._run_traced(("train",), super().train_on_batch, args, kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics; see `minicnn.Model.evaluate`."""
        return self._run_traced(("test",), super().evaluate, args, kwargs)  # type: ignore[misc]

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics of one batch; see `minicnn.Model.test_on_batch`."""
        return self._run_traced(("test",), super().test_on_batch, args, kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs; see `minicnn.Model.predict`."""
        return self._run_traced(("predict",), super().predict, args, kwargs)  # type: ignore[misc]

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for one batch; see `minicnn.Model.predict_on_batch`."""
        return self._run_traced(("predict",), super().predict_on_batch, args, kwargs)  # type: ignore[misc]


def _listed(callbacks: Any) -> Iterable[Any]:
    return callbacks if isinstance(callbacks, list | tuple) else [] if callbacks is None else [callbacks]
