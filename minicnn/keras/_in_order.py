"""The order in which Keras lists what users' models and layers are made of: that in which attributes were set.

The library's own code goes by the graph that `call` makes, as its files do, which hold such a model as a functional
one; so does whatever lists the weights for it. Who asks says which order is meant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import wraps
from itertools import count
from types import FrameType
from typing import Any, SupportsIndex

from minicnn.held import holding
from minicnn.keras._own_names import is_of_library, is_setter
from minicnn.keras._shown_activation import Shown
from minicnn.layers.base import Layer
from minicnn.layers.composed import Composed
from minicnn.models.subclassing import layers_in
from minicnn.nested import leaves
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight

_asked: ContextVar[bool] = ContextVar("asked", default=False)  # whether a user's question is being answered
_listing: ContextVar[tuple[Any, ...]] = ContextVar("listing", default=())  # those whose class is asked for its weights
_next = count()
OF_LIBRARY = ("_flags_at_compile", "_made", "_since", "nodes")  # attributes that no user has set


class GrowingList(list):
    """A list in an attribute of a user's model or layer: it knows when each layer came into it."""

    since: dict[Any, int]

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        super().__init__(parts)
        self._note(self)

    def _note(self, parts):
        since = vars(self).setdefault("since", {})  # a copy is filled before it has its attributes
        for layer in layers_in(list(parts)):
            since.setdefault(layer, next(_next))

    def append(self, part: Any) -> None:
        """Put at the end."""
        super().append(part)
        self._note([part])

    def extend(self, parts: Iterable[Any]) -> None:
        """Put all at the end."""
        self[len(self) :] = list(parts)

    def insert(self, index: SupportsIndex, part: Any) -> None:
        """Put at a place."""
        super().insert(index, part)
        self._note([part])

    def __iadd__(self, parts: Iterable[Any]) -> GrowingList:  # type: ignore[override, misc]
        self.extend(parts)
        return self

    def __setitem__(self, index: Any, part: Any) -> None:
        parts = list(part) if isinstance(index, slice) else [part]
        super().__setitem__(index, parts if isinstance(index, slice) else part)
        self._note(parts)


def noted(thing: Any, value: Any, frame: FrameType) -> Any:
    """What becomes an attribute, whose layers are numbered; of a list that has them, or will, one that goes on so.

    Parameters
    ----------
    thing : Model or Layer
    value : object
    frame : frame
        Of whoever sets the attribute.
    """
    while is_setter(frame):
        frame = frame.f_back  # type: ignore[assignment]  # a setter is called by somebody
    if is_of_library(frame) or not isinstance(value, Layer | list | tuple | dict):
        return value
    value = _growing(value) if _may_grow(value) else value
    if layers := list(layers_in([value])):
        since = vars(thing).setdefault("_since", {})
        grown = [part for part in vars(thing).values() if isinstance(part, dict) and part is not since]
        for layer in [*layers_in(grown), *layers]:
            since.setdefault(layer, next(_next))
    return value


def _may_grow(value):
    """Whether it is a list of layers, or one of such lists, or will be."""
    return type(value) is list and all(isinstance(part, Layer | GrowingList) or _may_grow(part) for part in value)


def _growing(value):
    return GrowingList(_growing(part) if type(part) is list else part for part in value)


def is_asked(frame: FrameType) -> bool:
    """Whether a user asks, whose code or question this frame is a part of."""
    return _asked.get() or not is_of_library(frame)


def answering(by_user: bool) -> AbstractContextManager[None]:
    """Inside, properties answer as if a user had asked, or as if the library had."""
    return holding(_asked, by_user)


def asking(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a method, or a property's function: what it asks for is in the order that its caller means."""

    @wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        with answering(is_asked(sys._getframe(1))):
            return function(*args, **kwargs)

    return method


def layers_set_in(thing: Any) -> list[Layer]:
    """The layers in a user's model or layer, as Keras lists them: by when their attributes were set first."""
    kept = {name: value for name, value in vars(thing).items() if name not in OF_LIBRARY}
    since = dict(vars(thing).get("_since", {}))
    for part in _lists_in(list(kept.values())):
        since |= {layer: min(number, since.get(layer, number)) for layer, number in part.since.items()}
    found = list(dict.fromkeys(layers_in(list(kept.values()))))
    return sorted(found, key=lambda layer: since.get(layer, sys.maxsize))


def _lists_in(values):
    for value in values:
        if isinstance(value, GrowingList):
            yield value
        if isinstance(value, dict | list | tuple):
            yield from _lists_in(value.values() if isinstance(value, dict) else value)


def weights_listed(thing: Any, known: list[Weight]) -> list[Weight]:
    """The weights as Keras lists them: a layer's own ones, then those of the layers in it, in their order.

    Parameters
    ----------
    thing : Model or Layer
    known : list of Weight
        Those that the library knows; whatever no attribute leads to comes last.
    """
    with answering(by_user=False):
        found = list(dict.fromkeys(_weights_in(thing)))
    return list(dict.fromkeys([*found, *known]))


def _weights_in(thing):
    if is_written(thing):
        yield from _said_by(thing)
        yield from own_weights_of(thing)
        within = layers_set_in(thing)
    else:
        within = [] if thing.graph is None or isinstance(thing, Composed) else thing.graph.layers
        yield from () if within else thing.weights
    for layer in within:
        yield from _weights_in(layer)


def _said_by(thing):
    """The weights that a user's class lists itself, as Keras 2 took them; none while it does, by its super()."""
    said = getattr(getattr(type(thing), "trainable_weights", None), "fget", None)
    if said is None or is_of_package(said) or thing in _listing.get():
        return []
    with holding(_listing, (*_listing.get(), thing)):
        return [w for w in [*thing.trainable_weights, *thing.non_trainable_weights] if isinstance(w, Weight)]


def own_weights_of(thing: Any) -> list[Weight]:
    """The weights of a user's model or layer that are not those of layers in it, trainable ones first."""
    parts = [value for name, value in vars(thing).items() if name not in OF_LIBRARY]
    own = [*thing._weights.values(), *(w for w in leaves(parts) if isinstance(w, Weight))]
    return sorted(dict.fromkeys(own), key=lambda w: not w.has_gradient)


def is_written(thing: Any) -> bool:
    """Whether it is a user's, with layers in attributes, and no functional model or stack."""
    return bool(getattr(thing, "goes_by_attributes", False))


class Asked:
    """Mixin of users' layers: their weights in the order of whoever asks."""

    goes_by_attributes: bool = True
    activation: Any = Shown()

    get_weights: Callable[..., Any] = asking(Layer.get_weights)
    set_weights: Callable[..., Any] = asking(Layer.set_weights)
    count_params: Callable[..., Any] = asking(Layer.count_params)


class InOrder(Asked):
    """Mixin of Keras's models, of which those that are made without inputs and outputs go by attributes."""

    goes_by_attributes = False
    _listing: list[int] | None = None  # of a copy that is a plain model: its weights' places as its origin lists them

    trainable_weights = property(asking(Layer.trainable_weights.fget))  # type: ignore[attr-defined]
    non_trainable_weights = property(asking(Layer.non_trainable_weights.fget))  # type: ignore[attr-defined]

    @asking
    def count_params(self) -> int:
        """Number of weights' elements, of a model that has all of them."""
        self.need_build()  # type: ignore[attr-defined]
        return Layer.count_params(self)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, noted(self, value, sys._getframe(1)))

    def _start_written(self, name: str | None) -> None:
        vars(self)["goes_by_attributes"] = True
        super()._start_written(name)  # type: ignore[misc]

    @property
    def weights(self) -> list[Weight]:
        """All weights: layer by layer, each one's trainable ones first; of a class with `call`, by its attributes."""
        by_user = is_asked(sys._getframe(1))
        with answering(by_user=False):  # `_listing` is of the library's order
            known = super().weights  # type: ignore[misc]
        if not by_user:
            return known
        if self._listing is None or len(self._listing) != len(known):  # layers may have been added, or built, since
            return weights_listed(self, known)
        return [known[place] for place in self._listing]

    def list_like(self, model: Any) -> None:
        """Have the weights of a copy in the order in which the model that it is a copy of lists its own."""
        places = {weight: place for place, weight in enumerate(model.weights)}
        with answering(by_user=True):
            listing = [places.get(weight) for weight in model.weights]
        if sorted(listing, key=lambda place: -1 if place is None else place) == [*range(len(self.weights))]:
            self._listing = listing
