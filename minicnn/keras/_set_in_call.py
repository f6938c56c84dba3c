"""Attributes that a `call` sets to tensors: after a call on arrays they hold its numbers, as in Keras.

Scripts draw them: ``self.last_attention = scores`` in the `call` of a layer, and after ``model(images)`` a picture of
``model.blocks[-1].last_attention``. A graph is made by one run of `call`, which leaves symbolic tensors there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from minicnn.differentiation import met, value_of
from minicnn.graph import Graph, Tensor
from minicnn.keras._eager import eager
from minicnn.layers.open_sizes import all_fit
from minicnn.models import Model
from minicnn.nested import leaves, mapped

_OF_GRAPH = ("graph", "_structures", "_made")  # attributes that are the library's


@dataclass
class _Set:
    """What the `call` of a model or layer has set, for the graph that it made; a copy has another one."""

    graph: Graph | None
    tensors: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)  # of the last call, as they stand in the attributes
    model: Any = None  # from the graph's inputs to all that is wanted of it

    def __reduce__(self) -> Any:
        return _Set, (None, {}, dict.fromkeys(self.values))


def hold_numbers(thing: Any, args: Sequence[Any], options: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Put the numbers of a call on arrays into attributes that `call` set to tensors, of what is inside, too.

    In training they are tensors again: the call was another one, with its own random numbers and averages. So they are
    for other sizes than the graph is for.

    Parameters
    ----------
    thing : Model or Layer
        With the graph that the call went through.
    args, options : sequence, mapping
        Of the call: ``inputs`` and ``training``.
    """
    inputs, training = (*args, *(options[name] for name in ("inputs", "training") if name in options), None)[:2]
    is_more = len(args) + len(options) > 2 or not isinstance(training, bool | None)
    if is_more or not _with_tensors(thing) or any(isinstance(x, Tensor) for x in leaves(inputs)):
        return
    if training:
        _put_tensors(thing)
    else:
        _hold(thing, [np.asarray(value_of(met(x))) for x in leaves(inputs)])


def is_number_of_call(thing: Any, name: str) -> bool:
    """Whether an attribute holds what `hold_numbers` has put there."""
    known = vars(thing).get("_set_in_call")
    return known is not None and name in known.values and vars(thing).get(name) is known.values[name]


def set_before_copying(thing: Any) -> str | None:
    """An attribute of a copy with numbers of the original's call, whose `call` must run to say what it is."""
    known = vars(thing).get("_set_in_call")
    return None if known is None or known.graph is not None else next(iter(known.values), None)


def _tensors_of(thing):
    """Name and value of each attribute that is made of tensors of the graph, of a model or layer with a `call`."""
    known: set[Any] = set(thing.graph.inputs)
    for name, value in vars(thing).items() if "_seen" in vars(thing) else ():
        if name not in _OF_GRAPH and _are_tensors(value) and all(_is_within(part, known) for part in leaves(value)):
            yield name, value


def _are_tensors(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and _are_tensors(list(value.values()))
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and value and all(map(_are_tensors, value)))


def _is_within(tensor, known):
    """Whether a tensor is made of known ones alone, as it is then itself."""
    if tensor not in known:
        if not tensor.node.inputs or not all(_is_within(t, known) for t in tensor.node.inputs):
            return False
        known.add(tensor)
    return True


def _set_of(thing):
    known = vars(thing).get("_set_in_call")
    if known is None or known.graph is not thing.graph:
        known = _Set(thing.graph, dict(_tensors_of(thing)))
        vars(thing)["_set_in_call"] = known
    return known


def _with_tensors(thing):
    """The models and layers in one whose `call` has set attributes to tensors."""
    if thing.graph is None:
        return []
    inner = [found for node in thing.graph.nodes for found in _with_tensors(node.layer)]
    return [*([thing] if _set_of(thing).tensors else []), *inner]


def _put_tensors(thing):
    for inner in _with_tensors(thing):
        vars(inner).update(_set_of(inner).tensors)


def _hold(thing, arrays):
    if not all_fit([x.shape[1:] for x in arrays], [t.shape[1:] for t in thing.graph.inputs]):  # it went another way
        _put_tensors(thing)
        return
    known = _set_of(thing)
    places = [node for node in thing.graph.nodes if _with_tensors(node.layer)]
    wanted = [list(node.inputs) for node in places] + [known.tensors]
    if known.model is None:
        known.model = Model(list(thing.graph.inputs), leaves(wanted), name=thing.name)
    numbers = iter(eager(leaves(known.model(arrays if len(arrays) > 1 else arrays[0]))))
    *of_places, own = mapped(lambda _: next(numbers), wanted)
    for node, inputs in zip(places, of_places, strict=True):
        _hold(node.layer, inputs)
    known.values = dict(own)
    vars(thing).update(own)
