"""A user's `call` that asks what the phase is: run in both, and one graph of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import CellType, FunctionType
from typing import Any

import numpy as np

from minicnn.errors import ContractError
from minicnn.graph import Node
from minicnn.layers.base import Layer
from minicnn.parameters import Weight

_DEPTH = 8  # of values in values that are compared


def in_both_phases(
    run: Callable[[bool], Any],
    nodes_of: Callable[[Any], Sequence[Node]],
    name: str,
    own: Callable[[], Iterable[Layer]],
) -> Any:
    """What one run of a `call` gives in training, which does otherwise what one outside of training does.

    Parameters
    ----------
    run : callable
        Of what `call` gets as `training`.
    nodes_of : callable
        The calls of layers in what it gives.
    name : str
        Of the model or layer, for the error.
    own : callable
        Gives its layers, others are made on the way.

    Raises
    ------
    ContractError
        If the runs differ in more than layers that are the identity outside of training.
    """
    nodes = nodes_of(run(False))
    seen, told, constants = _signature(nodes, own()), _told(nodes, own()), _constants(nodes, own())
    _forget(nodes)
    made = run(True)
    later = nodes_of(made)
    differs = _constants(later, own()) != constants and _repeats(run, nodes_of, own, constants)
    if differs or seen != _signature(later, own()) or not _follow_the_phase(told, _told(later, own())):
        raise ContractError(
            f"call of {name} may put in layers such as Dropout if training, which are the identity otherwise, but "
            "nothing else: pass training= on to the layers. Received: a call that computes something else in training"
        )
    return made


def _forget(nodes):
    """As if these calls of layers had not been."""
    for node in nodes:
        if node.inputs and node in node.layer.nodes:
            node.layer.nodes.remove(node)


def _repeats(run, nodes_of, own, constants):
    """Whether another run outside of training has the same constants, so that none is drawn or counted on."""
    nodes = nodes_of(run(False))
    _forget(nodes)
    return _constants(nodes, own()) == constants


def _signature(nodes, own):
    """What calls compute outside training, to be compared: their layers; those that were made on the way by class."""
    known = set(own)
    layers = [node.layer for node in nodes if node.inputs and not _is_identity(node.layer)]
    return [layer if layer in known else type(layer) for layer in layers]


def _constants(nodes, own):
    """What layers that were made on the way compute with besides tensors, such as 2.0 of ``x * 2.0``."""
    known = set(own)
    layers = [node.layer for node in nodes if node.inputs and not _is_identity(node.layer)]
    return [_config_of(layer) for layer in layers if layer not in known]


def _config_of(layer):
    """A layer's config without its name, to be compared; None where there is none."""
    try:
        config = layer.get_config()
    except Exception:  # of a function, which has none; of a user's layer, anything
        return None
    return _comparable({name: value for name, value in config.items() if name != "name"})


def _comparable(value, depth=0):
    """Numbers, texts, arrays and weights of nested values and of functions; of anything else, made anew, its class."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Weight):
        return id(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > _DEPTH:  # a function may hold itself
        return type(value)
    if isinstance(value, dict):
        return {name: _comparable(entry, depth + 1) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(entry, depth + 1) for entry in value]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        return value.__code__, _comparable([cells, value.__defaults__, value.__kwdefaults__], depth + 1)
    return type(value)


def _told(nodes, own):
    """The places of each layer, or of those of a class that were made on the way, in their order."""
    places, known = {}, set(own)
    for node in nodes:
        if node.inputs:
            places.setdefault(node.layer if node.layer in known else type(node.layer), []).append(node)
    return places


def _follow_the_phase(before, later):
    """Let places be told what holds in both runs; False where none that acts as the model is run would be.

    ``bool(training)`` and ``if training: self.drop(x, training=True)`` say by a bool what the phase is: outside of
    training they say False, or there is no such call. What says True in both is in training mode whatever the phase.
    """
    for key, places in later.items():
        first = [_says(node, False) for node in before.get(key, [])]
        if len(first) != len(places):
            if any(first):
                continue  # which of them is new is not known: they say what they were told
            first = [False] * len(places)
        for was, node in zip(first, places, strict=True):
            if was and not _says(node, True):
                return False
            if _says(node, True) and node.training is not None:
                node.training = True if was else None
    return True


def _says(node, phase):
    """Whether a layer acts as in training at a place, in that phase."""
    return phase if node.training is None else bool(node.training)


def _is_identity(layer):
    """Whether a layer does nothing outside training."""
    if layer.graph is not None:
        return all(_is_identity(inner) for inner in layer.graph.layers if inner.input_count != 0)
    return layer.only_in_training
