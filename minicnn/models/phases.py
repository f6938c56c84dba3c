"""A user's `call` that asks what the phase is: run in both, and one graph of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import CellType, FunctionType
from typing import Any

import numpy as np

from minicnn.errors import ContractError
from minicnn.graph import Node, Tensor
from minicnn.layers.base import Layer
from minicnn.layers.input import InputLayer
from minicnn.parameters import Weight

_DEPTH = 8  # of values in values that are compared


def in_both_phases(
    run: Callable[[bool], Any],
    made_in: Callable[[Any], tuple[Sequence[Node], Sequence[Tensor]]],
    name: str,
    own: Callable[[], Iterable[Layer]],
) -> Any:
    """What one run of a `call` gives in training, which does otherwise what one outside of training does.

    Parameters
    ----------
    run : callable
        Of what `call` gets as `training`.
    made_in : callable
        The calls of layers in what it gives, and the tensors that these end in.
    name : str
        Of the model or layer, for the error.
    own : callable
        Gives its layers, others are made on the way.

    Raises
    ------
    ContractError
        If the runs differ in more than layers that are the identity outside of training.
    """

    def run_outside():
        nodes, ends = made_in(run(False))
        found = _Run(nodes, ends, own())
        _forget(nodes)
        return found

    first = run_outside()
    made = run(True)
    later = _Run(*made_in(made), own())
    if not (first.same_wiring(later) and _same_constants(first, later, run_outside) and _told(first, later)):
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


class _Run:
    """What one run of a `call` has made, to be compared with another one's.

    Parameters
    ----------
    nodes : sequence of Node
        The calls of layers.
    ends : sequence of Tensor
        What it gives.
    own : iterable of Layer
        Layers that both runs have. Others are made on the way, and stand for their class.

    Attributes
    ----------
    calls : list of (Layer or type, tuple, form)
        What is called, of what, and with which options, but for what is the identity outside of training; in an order
        that goes by the wiring alone. Of what: the number of a call and of its output, or a tensor that the `call` was
        given.
    made : list of Layer or None
        Of each of these calls, the layer if it was made on the way.
    ends : list
        What it gives, said in the same way.
    places : dict
        The same as an entry of `calls` → its calls in their order, also those that are the identity.
    """

    def __init__(self, nodes: Sequence[Node], ends: Sequence[Tensor], own: Iterable[Layer]) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self.made: list[Layer | None] = []
        self.places: dict[Any, list[Node]] = {}
        known, values = set(own), dict[Tensor, Any]()
        for node in _by_wiring(set(nodes), ends):
            sources = tuple(values.get(tensor, tensor) for tensor in _read_by(node))
            call = node.layer if node.layer in known else type(node.layer), sources
            self.places.setdefault(call, []).append(node)
            if sources and len(sources) == len(node.outputs) and _is_identity(node.layer):
                values.update(zip(node.outputs, sources, strict=True))
            else:
                values.update({tensor: (len(self.calls), place) for place, tensor in enumerate(node.outputs)})
                self.calls.append((*call, _form_of(node.layer)))
                self.made.append(None if node.layer in known else node.layer)
        self.ends: list[Any] = [values.get(tensor, tensor) for tensor in ends]

    def same_wiring(self, other: _Run) -> bool:
        """Whether the same layers are called, and of the same."""
        return (self.calls, self.ends) == (other.calls, other.ends)

    def constants(self) -> list[Any]:
        """What layers that were made on the way compute with besides tensors, such as 2.0 of ``x * 2.0``."""
        return [layer and _config_of(layer) for layer in self.made]


def _by_wiring(inside, ends):
    """The calls that lead to some tensors, each behind those that it reads, in an order that goes by these alone."""
    order, stack = dict[Node, None](), [(tensor.node, False) for tensor in reversed(ends)]
    while stack:
        node, has_read = stack.pop()
        if has_read:
            order[node] = None
        elif node in inside and node not in order and not _is_given(node):
            stack += [(node, True), *((tensor.node, False) for tensor in reversed(_read_by(node)))]
    return order


def _is_given(node):
    """Whether it is an input of the `call`."""
    return isinstance(node.layer, InputLayer) and not _read_by(node)


def _read_by(node):
    """The tensors that a call reads; of windows that stand for samples, what these are cut out of."""
    windows = None if node.inputs else vars(node.layer).get("windows")
    return node.inputs if windows is None else (windows,)


def _same_constants(first, later, run_outside):
    """Whether what layers made on the way compute with is the same, but for what every run draws or counts on."""
    before, after = first.constants(), later.constants()
    if before == after:
        return True
    again = run_outside()
    return first.same_wiring(again) and not _differs(before, again.constants(), after)


def _differs(value, again, later):
    """Whether two runs outside of training have one value somewhere, and that in training has another one."""
    parts = [list(each.values()) if isinstance(each, dict) else each for each in (value, again, later)]
    if all(isinstance(each, list | tuple) for each in parts) and len(set(map(len, parts))) == 1:
        return any(_differs(*each) for each in zip(*parts, strict=True))
    return value == again != later


def _config_of(layer):
    """A layer's config without its name, and the weights of others that it computes with, to be compared."""
    try:
        config = layer.get_config()
    except Exception:  # of a function, which has none; of a user's layer, anything
        config = {}
    own = _comparable(vars(layer).get("own"))
    return [own, _comparable({name: value for name, value in config.items() if name != "name"})]


def _form_of(layer):
    """The options of a layer's latest call, such as ``use_causal_mask``, to be compared."""
    form = vars(layer).get("form")
    return None if form is None else _comparable(vars(form))


def _comparable(value, depth=0):
    """Numbers, texts, arrays and weights of nested values and of functions; of anything else, made anew, its class."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Weight):
        return id(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if depth > _DEPTH:  # a function may hold itself
        return type(value)
    if isinstance(value, dict):
        return {name: _comparable(entry, depth + 1) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(entry, depth + 1) for entry in value]
    if isinstance(value, slice):
        return _comparable([value.start, value.stop, value.step], depth + 1)
    if isinstance(value, partial):
        return _comparable([value.func, value.args, value.keywords], depth + 1)
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        return [value.__code__, *_comparable([cells, value.__defaults__, value.__kwdefaults__], depth + 1)]
    return type(value)


def _told(first, later):
    """Let places be told what holds in both runs; False where none that acts as the model is run would be.

    ``bool(training)`` and ``if training: self.drop(x, training=True)`` say by a bool what the phase is: outside of
    training they say False, or there is no such call. What says True in both is in training mode whatever the phase,
    also where it says so outside of training alone.
    """
    calls = first.places | later.places
    return all(_follow_the_phase(first.places.get(call, []), later.places.get(call, [])) for call in calls)


def _follow_the_phase(before, places):
    """The same of calls of one layer, or of one class, of one tensor."""
    acted = [node for node in before if _says(node, False)]
    if len(acted) > sum(_says(node, True) for node in places):
        return False
    if len(before) != len(places):
        if acted:
            return True  # which of them is new is not known: they say what they were told
        before = [None] * len(places)
    for was, node in zip(before, places, strict=True):
        if was in acted and not (_says(node, True) and _same_numbers(was.layer, node.layer)):
            return False
        if _says(node, True):
            node.training = True if was in acted else None
    return True


def _same_numbers(layer, other):
    """Whether layers of one class do the same."""
    return layer is other or _config_of(layer) == _config_of(other)


def _says(node, phase):
    """Whether a layer acts as in training at a place, in that phase."""
    return phase if node.training is None else bool(node.training)


def _is_identity(layer):
    """Whether a layer does nothing outside training."""
    if layer.graph is not None:
        return all(_is_identity(inner) for inner in layer.graph.layers if inner.input_count != 0)
    return layer.only_in_training
