"""What users' models and layers are made of, as `minicnn.saving.keras.attributes` asks for it: by their attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minicnn.hints import Config
from minicnn.keras._in_order import OF_LIBRARY, answering, is_written, layers_set_in, own_weights_of
from minicnn.keras._own_names import own_name
from minicnn.layers.base import Layer
from minicnn.layers.time_distributed import TimeDistributed
from minicnn.models.config import class_name_of
from minicnn.models.subclassing import layers_in
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight

MAX_DEPTH = 20  # of lists and dicts in an attribute


def parts_for_files(model: Any, names: Mapping[Weight, str]) -> dict[str, Config] | None:
    """The nodes "by_class" and "by_graph" of a model; None where files do not go by attributes.

    Parameters
    ----------
    model : Model
    names : dict
        Weight → its name in files.
    """
    with answering(by_user=False):
        parts = {key: _Described(names, key == "by_class") for key in ("by_class", "by_graph")}
        nodes = {key: described.node(model) for key, described in parts.items()}
    # Of layers that no attribute leads to, neither Keras's files nor those of this layout hold anything.
    if not parts["by_class"].has_own or any(described.found != set(names) for described in parts.values()):
        return None
    for key, described in parts.items():
        nodes[key]["has_other_order"] = described.has_other_order
    return nodes


def attributes_for_files(model: Any, names: Mapping[Weight, str]) -> dict[str, Config]:
    """The same of a model without a graph, which has nothing but its attributes."""
    described = _Described(names, by_class=True)
    with answering(by_user=False):
        node = described.node(model)
    node["has_other_order"] = described.has_other_order
    return {"by_class": node, "by_graph": node}


class InFiles:
    """Mixin of users' models and layers: Keras's files go by their attributes, in whatever model they are."""

    parts_for_files: Callable[..., dict[str, Config] | None] = staticmethod(parts_for_files)


class _Described:
    """The nodes of a model, each layer's once.

    Parameters
    ----------
    names : dict
        Weight → its name in files.
    by_class : bool
        Whether models of users' classes go by attributes, too.
    """

    def __init__(self, names: Mapping[Weight, str], by_class: bool) -> None:
        self._names, self._by_class, self._known = names, by_class, {}
        self.has_own = self.has_other_order = False
        self.found: set[Weight] = set()

    def node(self, thing: Any) -> Config:
        """The node of a model or layer."""
        if thing in self._known:
            return self._known[thing]
        is_model, is_own = hasattr(thing, "structure"), not is_of_package(type(thing))
        by_attributes = is_own and (is_written(thing) and self._by_class if is_model else True)
        class_name = type(thing).__name__ if is_own and (by_attributes or not is_model) else class_name_of(thing)
        node = {"class_name": class_name, "name": thing.name, "form": "layer", "layers": [], "attributes": []}
        self._known[thing] = node
        if by_attributes:
            self._describe(thing, node, is_model)
        elif is_model:
            node |= {"form": "graph", "weights": []}
            node["layers"] = [self.node(layer) for layer in (thing.graph.layers if thing.graph is not None else ())]
        elif isinstance(thing, TimeDistributed):
            inner = self.node(thing.layer)
            node |= {"form": "made", "weights": [], "layers": [inner], "attributes": [["layer", inner]]}
        else:
            node["weights"] = self._own(thing.weights)
        return node

    def _describe(self, thing, node, is_model):
        """Fill the node of an object of a user's class."""
        attributes, within = list(_attributes(thing)), layers_set_in(thing)
        self.has_own = True
        self.has_other_order |= any(isinstance(part, dict) for _, value in attributes for part in _containers(value))
        if not is_model and not within:
            node["weights"] = self._own(thing.weights)
            return
        node |= {"form": "model" if is_model else "made", "weights": self._own(own_weights_of(thing))}
        self.has_other_order |= is_model and bool(node["weights"])
        node["layers"] = [self.node(layer) for layer in within]
        node["layers_of_tf_keras"] = [self.node(layer) for layer in _with_dicts_by_key(within, attributes)]
        node["attributes"] = [[name, self._value(value)] for name, value in attributes]

    def _value(self, value, depth=0):
        if isinstance(value, Layer):
            return self.node(value)
        values = value.values() if isinstance(value, dict) else value
        kinds = Layer | list | tuple | dict
        return [self._value(part, depth + 1) for part in values if isinstance(part, kinds)] if depth < MAX_DEPTH else []

    def _own(self, weights):
        known = [weight for weight in weights if weight in self._names]
        self.found |= set(known)
        return [(self._names[weight], weight.has_gradient and weight.trainable) for weight in known]


def _with_dicts_by_key(within, attributes):
    """The layers as tf.keras lists them: those of a dict by their keys, and not as they were put into it."""
    listed = list(within)
    for part in (part for _, value in attributes for part in _containers(value)):
        if isinstance(part, dict):
            own = [layer for layer in layers_in(_by_key(part)) if layer in listed]
            places = sorted(listed.index(layer) for layer in set(own))
            for place, layer in zip(places, dict.fromkeys(own), strict=True):
                listed[place] = layer
    return listed


def _by_key(value, depth=0):
    """The values of a dict in the order of its keys, and so on in what it holds."""
    if not isinstance(value, list | tuple | dict) or depth > MAX_DEPTH:
        return value
    keys = sorted(value, key=str) if isinstance(value, dict) else range(len(value))
    return [_by_key(value[key], depth + 1) for key in keys]


def _containers(value, depth=0):
    """A list, tuple or dict, and those in it."""
    if isinstance(value, list | tuple | dict) and depth < MAX_DEPTH:
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _containers(part, depth + 1)


def _attributes(thing):
    """(name, value) of what holds layers: attributes, and what the class's properties give, as Keras asks them too."""
    of_class = {name for cls in type(thing).__mro__ if not is_of_package(cls) for name in vars(cls)}
    for name in of_class | vars(thing).keys():
        if name in (*OF_LIBRARY, "_layers") or name.startswith("__"):
            continue
        try:
            value = vars(thing)[name] if name in vars(thing) else getattr(thing, name)
        except Exception:  # of a property: Keras leaves it out
            continue
        if isinstance(value, Layer | list | tuple | dict) and next(layers_in([value]), None) is not None:
            yield own_name(name), value
