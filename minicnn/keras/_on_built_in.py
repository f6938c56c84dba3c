"""Subclasses of layers of the library that have a `call` or a `build` of their own, as in ``class Noisy(Conv2D)``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from minicnn.differentiation import Recorded, met, value_of
from minicnn.graph import Node, Tensor
from minicnn.keras import _calls
from minicnn.keras._called import steps_of
from minicnn.keras._calls import core_of
from minicnn.keras._convolution_op import by_convolution_op
from minicnn.keras._deferred import Deferred
from minicnn.keras._initial_weights import WithInitialWeights, taking_initial_weights
from minicnn.keras._merge_function import by_merge_function
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._not_asked import warn_of_parts
from minicnn.keras._operation_marks import stands_alone
from minicnn.keras._own_parts import Layer
from minicnn.keras._own_weights import OfWeights, give_way, weights_in_graph
from minicnn.keras._phase import phase_unsaid, unsaid
from minicnn.keras._shown_activation import Shown
from minicnn.keras._stepwise import through_steps
from minicnn.layers import contract
from minicnn.layers.attention import MultiHeadAttention
from minicnn.layers.base import Layer as LayerOfCore
from minicnn.layers.grouped_attention import GroupQueryAttention
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import all_fit, shape_behind
from minicnn.layers.replacing import MAKERS
from minicnn.layers.time_distributed import TimeDistributed
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.step import Shape, Shapes, Step


class OfLayers(WithInitialWeights):
    """Metaclass of the library's layers: a subclass that writes `call` or `build` is one of `OnBuiltIn`, too."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "__main__")  # of type(name, bases, {…}), which says nothing
        if namespace.setdefault("__module__", caller).startswith("minicnn."):
            return super().__new__(mcs, name, bases, namespace)
        first = next(i for i, base in enumerate(bases) if isinstance(base, OfLayers))
        made: list[type] = []
        if (written := _written_base(bases, namespace)) is not None:
            return type(written[0])(name, written, namespace)
        written_parts = namespace.keys() | _names_in(bases[:first])
        warn_of_parts(name, bases, written_parts, namespace)
        bases = by_convolution_op(bases, written_parts, namespace)
        bases = by_merge_function(bases, written_parts, namespace)
        first = next(i for i, base in enumerate(bases) if isinstance(base, OfLayers))
        own = {"call", "build"} & (namespace.keys() | _names_in(bases[:first]))
        if "call" in own and any(issubclass(base, TimeDistributed) for base in bases):
            raise TypeError(
                "TimeDistributed computes all frames together, so that a subclass writes no call of its own: write a "
                "layer that has a TimeDistributed(layer) in an attribute, and whose call calls that. Received: class "
                f"{name} with a call"
            )
        if own and not any(OnBuiltIn in base.__mro__ for base in bases):
            if all(base.__init__ is object.__init__ for base in bases[:first]):
                namespace.setdefault("__init__", _constructor_of(bases[first], made))
            bases = (*bases[:first], OnBuiltIn, *bases[first:])
        cls = super().__new__(mcs, name, bases, namespace)
        made.append(cls)
        if "build" in own:  # now: the class was given what the library's own take, which is not for users'
            type.__setattr__(cls, "build", _either_way(namespace.get("build", cls.build)))
        return cls


def _written_base(bases, namespace):
    """The bases of a class that writes a part of `MultiHeadAttention`, with that as users write layers; else None."""
    kinds = {vars(base).get("core_class") for base in bases}
    if not kinds & {MultiHeadAttention, GroupQueryAttention}:
        return None
    attention = import_module("minicnn.keras.layers._attention")
    if MultiHeadAttention not in kinds:
        attention.refuse_parts(namespace)
        return None
    if not set(attention.METHODS) & namespace.keys():
        return None
    is_core = [vars(base).get("core_class") is MultiHeadAttention for base in bases]
    return tuple(attention.WrittenAttention if mine else b for b, mine in zip(bases, is_core, strict=True))


def _names_in(mixins):
    """What users have written in classes, and in those that these begin with."""
    return {name for mixin in mixins for cls in mixin.__mro__ if not is_of_package(cls) for name in vars(cls)}


def _constructor_of(base, made):
    """The constructor of what follows the class that will be in `made`, with the signature of that of `base`."""

    @wraps(base.__init__)
    def __init__(self, *args, **kwargs):
        super(made[0], self).__init__(*args, **kwargs)

    return __init__


def _either_way(build):
    """A user's `build`, behind which plans, which give shapes without the batch axis, get those of the formula."""

    @wraps(build)
    def wrapped(self, *args, **kwargs):
        if len(args) == 1 and not self._is_asked and _is_of_samples(args[0]):
            return self.build_itself(args[0])
        return build(self, *args, **kwargs)

    return wrapped


class OnBuiltIn(Layer):
    """What such a subclass is: its `call` becomes a graph if it can, else it runs on arrays and is differentiated.

    It can if it is made of layers, ``super().call(inputs)`` and operations among tensors. If it asks for weights, for
    the phase (`K.in_train_phase`, ``if training:``), it runs on arrays, as other layers that users
    write; `super().call` and `self.activation` are functions then, through which gradients go by the layer's formula.
    """

    activation = Shown("linear")
    _is_graph: bool | None = None  # whether `call` is made a graph; None: that is not known yet
    _leaves_itself_out: bool = False  # whether that has no super().call in it: it is the layer's own, as of `Made`
    _hides: bool = False  # its weights, while a graph is made
    _by_core: bool = False  # while the library's `build` runs
    _is_asked: bool = False  # while the user's `build` does, for shapes with the batch axis
    _called_otherwise: Mapping[str, str] = MappingProxyType({})  # attribute → its weight's name, which is another

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, MAKERS[name](value) if name == "activation" and isinstance(value, str) else value)

    @property
    def has_call(self) -> bool:
        """Whether `call` runs on arrays."""
        return not is_of_package(type(self).call) and not self._is_graph

    def call(self, inputs: Any = None, training: Any = None) -> Any:
        """What the layer itself computes, its activation included."""
        training = None if training is unsaid else training
        if self._is_graph:
            with _weights_shown(self):
                return _calls.call(self, inputs, training)
        given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if any(isinstance(x, Tensor) for x in given):
            raise NotImplementedError(
                f"super().call of layer '{self.name}' ({type(self).__name__}) computes with arrays: where call uses "
                f"other layers, use a {core_of(self).__name__} as one of them. Received: a tensor"
            )
        if self._called_otherwise:
            self.build_itself(tuple(np.shape(value_of(met(x)))[1:] for x in given))
            self._called_otherwise = {}
        own = {name: vars(self).get(name, weight) for name, weight in self._weights.items()}
        return self._by_formula(given, own, training)

    def _by_formula(self, inputs, own, training=None):
        """What the library's layer computes with arrays `own`, by name, in the place of its weights."""
        before = {name: vars(self)[name] for name in {"activation", *own} & vars(self).keys()}
        activation = before.get("activation")
        vars(self).update(self._weights | {"activation": getattr(activation, "step", activation)})
        try:
            return through_steps(core_of(self).lower(self), inputs, own, training)
        finally:
            vars(self).update(before)

    def build(self, input_shape: Any) -> Any:
        """Make the layer's weights for a shape with the batch axis."""
        if not self._is_asked and _is_of_samples(input_shape):
            return self.build_itself(input_shape)
        several = isinstance(input_shape, list) or _is_of_samples(input_shape)
        return self.build_itself(tuple(tuple(s)[1:] for s in (input_shape if several else [input_shape])))

    def build_itself(self, input_shapes: Shapes) -> Shape:
        """The library's `build`, whatever the subclass makes of it, by which the formula's weights are there."""
        before, self._by_core = self._by_core, True
        try:
            return shape_behind(lambda shapes: core_of(self).build(self, shapes), input_shapes)
        finally:
            self._by_core = before

    def add_weight(self, *args: Any, **kwargs: Any) -> Weight:
        """As of any layer; the library's own have another order of arguments."""
        if self._by_core:
            name = args[0] if args else kwargs["name"]
            of_formula, declared_now = (
                vars(self).setdefault("_of_formula", set()),
                vars(self).get("_names_in_build", set()),
            )
            if name in self._weights and name in declared_now - of_formula:
                give_way(self, name)
            for names in (of_formula, declared_now):
                names.add(name)
            if isinstance(vars(self).get(name), OfWeights):
                return vars(self)[name]
            self._take_over(name)
            return LayerOfCore.add_weight(self, *args, **kwargs)
        return super().add_weight(*args, **kwargs)

    def _take_over(self, name):
        """Have a weight in the attribute `name`, which the user's `build` calls otherwise, as the formula's."""
        other = self._called_otherwise.get(name)
        if other in self._weights and name not in self._weights:
            self._weights[other].name = name
            self._weights = {name if key == other else key: weight for key, weight in self._weights.items()}

    def _build_once(self, input_shapes):
        before, self._is_asked = self._is_asked, True
        try:
            super()._build_once(input_shapes)
        finally:
            self._is_asked = before
        own = {name: w.name for name, w in vars(self).items() if any(w is mine for mine in self._weights.values())}
        self._called_otherwise = {name: other for name, other in own.items() if name != other}

    @taking_initial_weights
    def build_for(self, input_shapes: Shapes) -> list[Shape]:
        if self._leaves_itself_out:
            self._build_once(input_shapes)
            return self._composed(input_shapes)
        if self.has_call or is_of_package(type(self).build):
            return super().build_for(input_shapes)
        with weights_in_graph():
            self._build_once(input_shapes)
        if any(isinstance(value, OfWeights) for value in vars(self).values()):
            self.build_itself(input_shapes)
            vars(self)["call"] = self._with_weights_of_others
            return self._composed(input_shapes)
        self._built = True

        def build(shapes):
            return contract.check_output_shape(self, self.build_itself(shapes))

        made = [shape_behind(build, input_shapes)]
        vars(self)["unread"] = self._weights.keys() - vars(self).get("_of_formula", set())
        return made

    def _with_weights_of_others(self, inputs):
        """The layer's formula, with what `build` computed of other layers' weights in the place of its own."""
        names = [name for name, value in vars(self).items() if isinstance(value, OfWeights)]

        def formula(x, *values):
            return self._by_formula([x], dict(zip(names, values, strict=True)))

        first = vars(self)[names[0]]
        return first.apply(formula, (inputs, *(vars(self)[name] for name in names)), {})

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """A place for the layer, or the graph that its `call` makes."""
        if "_is_itself" not in vars(self):
            if self.has_call and self._is_graph is None:
                return self._first_place(tensors, training)
            if self._is_graph or self._is_for_others(tensors):
                return self._graph(tensors, training)
        return core_of(self).call_symbolically(self, tensors, training)

    def _is_for_others(self, tensors):
        """Whether a call that leaves the library's out has a graph by now, of which these cannot be the inputs."""
        if not self._leaves_itself_out or self.graph is None:
            return False
        return not all_fit([t.shape[1:] for t in tensors], [t.shape[1:] for t in self.graph.inputs])

    @property
    def is_alone(self) -> bool:
        """Whether what its `call` adds has places of its own in a graph; see `minicnn.models.alone`."""
        return self._is_graph is True

    def call_alone(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """A place for the layer, where what its `call` adds is in the graph already."""
        vars(self)["_is_graph"] = True
        return core_of(self).call_symbolically(self, tensors, training)

    @property
    def output(self) -> Any:
        """The tensor that its call gave, with what that adds to the library's layer."""
        made = vars(self).get("_called_with")
        if made and len(self.nodes) > 1:  # of which it is not known what the first one added
            LayerOfCore._only_node(self, "output")
        return made["output"][0] if made and self.nodes else LayerOfCore.output.fget(self)  # type: ignore[attr-defined]

    def _first_place(self, tensors, training):
        """The same, where it shows whether `call` makes a graph."""
        nodes, is_usual = list(self.nodes), self._form is None or self._form.is_lasting
        vars(self)["_is_graph"] = is_usual and is_of_package(type(self).build)
        try:
            if self._is_graph:
                made = self._graph(tensors, training)
                if len(self.nodes) > len(nodes):
                    return made
                _forget(_nodes_between(tensors, made))
                vars(self).update(_is_graph=False, _leaves_itself_out=True)
        except (TypeError, AttributeError, NotImplementedError, NotInMinicnn):
            vars(self).update(_is_graph=False, nodes=nodes)
        return self.call_symbolically(tensors, training)

    def _graph(self, tensors, training):
        with _weights_hidden(self), weights_in_graph(), phase_unsaid():
            made = _calls.call_symbolically(self, tensors, unsaid if training is None else training)
        nodes = _nodes_between(tensors, made)
        for node in nodes:
            node.training = None if node.training is unsaid else node.training
        vars(self)["_adds_places"] = len(nodes) > 1 and any(node.layer is self for node in nodes)
        stands_alone(self, nodes)
        vars(self)["_called_with"] = {"output": list(made.outputs)}
        return made

    def _try(self, arrays):
        """See whether `call` makes a graph, of which nothing is kept."""
        tensors = [Input(np.shape(x)[1:]) for x in arrays]
        _forget(_nodes_between(tensors, self._first_place(tensors, None)))

    def call_on_arrays(self, arrays: Sequence[Any], training: bool) -> Any:
        if self._is_graph is None and self.has_call and self.parts():
            self._try(arrays)
        return (_calls.call_on_arrays if self._is_graph else Layer.call_on_arrays)(self, arrays, training)

    def apply(self, inputs: Sequence[Any], by: Any = None, **options: Any) -> Any:
        """`call`, with the activation as a function; what it keeps of numbers that are recorded is gone afterwards."""
        before, activation = dict(vars(self)), self.activation
        if activation is None or isinstance(activation, LayerOfCore):
            vars(self)["activation"] = _Activation(activation)
        try:
            return super().apply(inputs, by, **options)
        finally:
            for name in [n for n, value in vars(self).items() if isinstance(met(value), Recorded)]:
                vars(self).pop(name)
                vars(self).update({name: before[name]} if name in before else {})
            vars(self).pop("activation", None)  # of some classes it is theirs: none
            vars(self).update({"activation": activation} if "activation" in before else {})

    def parts(self) -> list[LayerOfCore]:
        """The layers in attributes but for the activation, which is a function in `call`."""
        return [part for part in super().parts() if part is not self.activation]


def _lower(layer):
    """The step that runs `call`, or those of the library's layer."""
    return steps_of(layer) if layer.has_call else core_of(layer).lower(layer)


OnBuiltIn.lower = _lower  # type: ignore[method-assign]  # one in the class would have its channels moved to the end


def _forget(nodes):
    """Take calls back."""
    for node in nodes:
        node.layer.nodes.remove(node)


def _is_of_samples(shape):
    return isinstance(shape, tuple) and all(isinstance(s, tuple) for s in shape)


def _nodes_between(tensors, made):
    """The calls that lead from tensors to a last one."""
    found: dict[Node, None] = {}
    pending = [made]
    while pending:
        node = pending.pop()
        if node not in found and not any(t.node is node for t in tensors):
            found[node] = None
            pending += [t.node for t in node.inputs]
    return list(found)


class _Hidden(Deferred):
    """A weight while a graph is made, in which it would be a constant."""

    def apply(self, function: Any, args: Any, kwargs: Any) -> NoReturn:
        """Refused."""
        raise TypeError("a graph has no weights but those of its layers")


@contextmanager
def _weights_hidden(layer) -> Iterator[None]:
    """Inside, the layer's weights cannot be computed with."""
    mine = {name: w for name, w in layer._weights.items() if vars(layer).get(name) is w}
    vars(layer).update(dict.fromkeys(mine, _Hidden()))
    before, layer._hides = layer._hides, True
    try:
        yield
    finally:
        layer._hides = before
        vars(layer).update({n: w for n, w in layer._weights.items() if isinstance(vars(layer).get(n), _Hidden)})


@contextmanager
def _weights_shown(layer) -> Iterator[None]:
    """Inside, they are there; behind it all of them, which may just be made, are hidden, if they were to be before."""
    vars(layer).update({n: w for n, w in layer._weights.items() if isinstance(vars(layer).get(n), _Hidden)})
    try:
        yield
    finally:
        mine = {name for name, w in layer._weights.items() if layer._hides and vars(layer).get(name) is w}
        vars(layer).update(dict.fromkeys(mine, _Hidden()))


class _Activation:
    """A layer's activation as a function of arrays, which are maybe recorded; none is the identity."""

    def __init__(self, step: Step | None) -> None:
        self.step = step

    def __call__(self, x: Any) -> Any:
        """Of an array (N, …), or of a model's tensor."""
        if isinstance(x, Tensor) and self.step is not None:
            return self.step(x)
        return x if self.step is None else through_steps([self.step], [x], {})
