"""Layers of one's own whose `call` is made of other layers: the graph that it makes, and the form of what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn import layers, models
from minicnn.data.elements import EagerArray
from minicnn.errors import ShapeError
from minicnn.graph import Graph, Node, Tensor
from minicnn.keras._called import attributes_with_weights
from minicnn.keras._changed import forget_places
from minicnn.keras._folded import check_no_windows
from minicnn.keras._open_looks import noting_looks
from minicnn.keras._operations import in_a_lambda
from minicnn.keras._over_samples import OverSamples, kept_for_tensors
from minicnn.keras._own_weights import standing_in, weights_in_graph
from minicnn.keras._scopes import inside
from minicnn.keras._tried_sizes import looks_at_sizes
from minicnn.keras._window_starts import nodes_since
from minicnn.last_function import note
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import all_fit, has_open
from minicnn.models.phases import in_both_phases
from minicnn.nested import leaves, mapped, packed
from minicnn.plan.runs import looked_behind
from minicnn.step import Shapes


class EndsRemembered:
    """Mixin of models whose outputs, of a call on arrays, remember what a final activation was given."""

    def logits_of(self, graph: Any, with_loss: bool) -> Any:
        """For each output, the final activations that its loss looks behind, or its array remembers the input of."""
        return super().logits_of(graph, True) if with_loss else looked_behind(graph)  # type: ignore[misc]

    def read_outputs(self, bound: Any) -> list[np.ndarray]:
        """The outputs of a call on arrays."""
        to_host = bound.plan.backend.to_host
        parts = zip(super().read_outputs(bound), bound.heads, bound.plan.ends, strict=True)  # type: ignore[misc]
        return [y if last is None else note(y.view(EagerArray), last, to_host(z)) for y, z, last in parts]


class Made(EndsRemembered, models.Model):
    """The graph of a layer whose `call` is made of other layers.

    Attributes
    ----------
    form : nested lists, tuples and dicts
        What `call` gave, with the class `Tensor` for each tensor: the graph has these alone.
    """

    form: Any = Tensor

    def __init__(self, layer: Any) -> None:
        call = wraps(layer.call)(partial(self._call_of, layer))
        self.call = call if layer.activity_regularizer is None else _penalized(layer, call)
        super().__init__(name=layer.name)
        self._remade = partial(_remade, layer)
        self.parts = layer.parts()  # now: to begin is to be trainable, with all parts, some of which may be frozen
        self._forms: dict[Shapes, Any] = {}  # of inputs of other sizes

    def _call_of(self, layer, inputs, **options):
        """The layer's `call`, whose losses are the model's."""
        given = inputs if isinstance(inputs, list) else [inputs]
        with own_weights(layer), layer.collecting() as losses, kept_for_tensors(given[0], in_a_lambda):
            outputs = layer.apply(given, **options)
        for part in (*leaves(outputs), *losses):
            if isinstance(part, OverSamples):
                part.refuse("one that call returns, or gives to add_loss")
        tensors = [part for part in leaves(outputs) if isinstance(part, Tensor)]
        check_no_windows(tensors, losses)
        if losses:
            self.add_loss(losses)
        if not tensors:
            return outputs  # which is refused
        self.form = mapped(lambda part: Tensor if isinstance(part, Tensor) else part, outputs)
        return tensors[0] if len(tensors) == 1 else tensors

    def trace_for(self, input_shapes: Shapes) -> None:
        """Run `call` with tensors of these shapes, for the graph.

        If it computes with sizes that are open, it is run with numbers in their place, and anew for the sizes of data.
        """
        trace = self._graph_for
        try:
            has_looked = looks_at_sizes(lambda: trace(input_shapes), trace, input_shapes, self.parts)
        except (TypeError, ValueError) as problem:
            _explain(self.name, problem)
            raise
        if has_looked and self.graph is not None:
            self.graph.remade = self._remade

    def _graph_for(self, input_shapes):
        self._trace(_inputs_of(input_shapes))
        return self.graph

    def given(self, layer: Any, outputs: Any, inputs: Sequence[Any]) -> Any:
        """The graph's outputs in the form of what `call` gives for these inputs, with its numbers and None."""
        if self.form is Tensor:
            return outputs
        rest, form = iter(leaves(outputs)), self._form_for(layer, inputs)
        return packed(form, [next(rest) if part is Tensor else part for part in leaves(form)])

    def _form_for(self, layer, inputs):
        """The form, whose numbers may be sizes of the inputs, and None where these were open."""
        shapes = tuple(tuple(np.shape(x) if not isinstance(x, Tensor) else x.shape)[1:] for x in inputs)
        traced = tuple(t.shape[1:] for t in self.inputs)
        if shapes == traced or not has_open(traced) or all(part is Tensor for part in leaves(self.form)):
            return self.form
        if shapes not in self._forms:
            other = Made(layer)
            other.trace_for(shapes)
            forget_places(other.graph)
            self._forms[shapes] = other.form
        return self._forms[shapes]


def _inputs_of(input_shapes):
    inputs = [Input(shape) for shape in input_shapes]
    return inputs if len(inputs) > 1 else inputs[0]


def _explain(name, problem):
    """Raise TypeError with what helps against computing with None; nothing else."""
    if "NoneType" not in str(problem) or "'NoneType' object is not" in str(problem):  # callable, iterable, …
        return
    raise TypeError(
        f"call of layer '{name}' uses other layers, and computes with a size that is None while their graph is made, "
        "as the number of samples: reshape with -1 in its place if samples stay apart; else call it in a keras.Model "
        f"with a call of its own, which runs on arrays then. Received: {problem}"
    ) from problem


def _remade(layer, input_shapes):
    """The graph that the `call` of a layer of layers makes for inputs of these shapes, where it goes by sizes."""
    other = Made(layer)
    with inside(layer):
        other.trace_for(input_shapes)
    return of_same_weights(other.graph, layer.graph, layer, input_shapes)


def of_same_weights(graph: Graph, known: Graph, layer: Any, input_shapes: Shapes) -> Graph:
    """A graph that was made for other sizes of the inputs, whose layers forget its places.

    Raises
    ------
    ShapeError
        If it has not the weights of the one that is known: models train the same ones at each size.
    """
    forget_places(graph)
    graph.remade = None  # the one that is known is asked for every size, and lives no longer than the layer
    if weights_in(graph) != weights_in(known):
        raise ShapeError(
            f"call of '{layer.name}' ({type(layer).__name__}) uses other weights for this size than for open ones, and "
            "a model has the same at each size: give its Input the sizes, or use all its layers at each of them. "
            f"Received: an input of shape {', '.join(str((None, *shape)) for shape in input_shapes)}"
        )
    return graph


def weights_in(graph: Graph) -> set[int]:
    """The identities of the weights of a graph's layers."""
    return {id(weight) for layer in graph.layers for weight in layer.weights}


def leave_sizes_open(layer: Any, input_shapes: Sequence[Sequence[int | None]], or_known: bool = True) -> None:
    """Make the graph of a layer of layers anew, where it is called on other sizes, for any in the places that differ.

    If its `call` is not for these, or it stands in a graph for other ones, nothing changes.

    Parameters
    ----------
    layer : Layer
    input_shapes : sequence of tuple
    or_known : bool, default True
        Whether it may be made for these sizes alone, or anew for each, if its `call` looks at them.
    """
    known = [t.shape[1:] for t in layer.graph.inputs]
    if list(map(len, known)) != list(map(len, input_shapes)):
        return
    pairs = [list(zip(*shapes, strict=True)) for shapes in zip(known, input_shapes, strict=True)]
    opened = tuple(tuple(a if a == b else None for a, b in shape) for shape in pairs)
    if not _could_trace(layer, opened, may_look=False) and or_known:
        is_known = not has_open(input_shapes) and _could_trace(layer, input_shapes, may_look=False)
        is_known or _could_trace(layer, opened, may_look=True)


def _could_trace(layer, shapes, may_look):
    """Whether `call` gives a graph for these shapes, the layer's then; if it may not look at open sizes, none such."""
    before, made = layer.graph, layer._made
    places = {part: list(part.nodes) for part in before.layers}
    forget_places(before)
    try:
        layer.graph = None
        with noting_looks() as looks:
            layer._trace_for(shapes)
        if (may_look or not looks) and all(all_fit([t.shape[1:] for t in node.inputs], shapes) for node in layer.nodes):
            return True
    except (TypeError, ValueError, NotImplementedError):
        pass
    layer.graph, layer._made = before, made
    for part, nodes in places.items():
        part.nodes[:] = nodes
    return False


def called_inside(layer: Any, inputs: Sequence[Any], training: bool | None) -> Node:
    """The place of what the `call` of a layer gives, whose layers and weights become those of the graph around.

    Parameters
    ----------
    layer : Layer
    inputs : sequence of Tensor, array or what is computed of weights
    training : bool, optional

    Raises
    ------
    TypeError
        If it gives several tensors, or adds to the loss.
    ContractError
        If it computes something else in training, and is not told whether it acts as there.
    """
    layer._build_once(tuple(tuple(x.shape)[1:] for x in inputs))
    run = partial(_nodes_inside, layer, inputs)
    if "training" not in signature(layer.call).parameters:
        last, nodes = run()
    elif training is not None:
        last, nodes = run(training=training)
    else:
        name = f"layer '{layer.name}' ({type(layer).__name__})"
        last, nodes = in_both_phases(
            lambda phase: run(training=phase), lambda made: (made[1], made[0].outputs), name, layer.parts
        )
    for node in nodes:
        if node.training is None or training is None:
            told = node.training if training is None else training
            node.training = told if isinstance(told, bool) else None
    return last


def _nodes_inside(layer, inputs, **options):
    """The place of what one run of a layer's `call` gives, and all places in it."""
    since = next(Node.numbers)
    with own_weights(layer), layer.collecting() as losses:
        result = layer.apply(inputs, **options)
    if losses or not isinstance(result, Tensor):
        raise TypeError(
            f"call of layer '{layer.name}' ({type(layer).__name__}) gives one tensor, and adds nothing to the loss, "
            "where it takes windows of images out of the samples, or is given an array or a weight beside a tensor. "
            f"Received: {'a loss' if losses else type(result).__name__}"
        )
    return result.node, nodes_since(result, since)


@contextmanager
def own_weights(layer: layers.Layer) -> Iterator[None]:
    """Inside, weights, the layer's own and others, can be computed with in a `call` that makes a graph."""
    mine = attributes_with_weights(layer)
    vars(layer).update({name: standing_in(value) for name, value in mine.items()})
    try:
        with weights_in_graph():
            yield
    finally:
        vars(layer).update(mine)


def _penalized(layer, given):
    """A layer's `call`, and behind it the penalty on what it gives."""

    @wraps(given)
    def call(*args: Any, **kwargs: Any) -> Any:
        return layers.Activation("linear", activity_regularizer=layer.activity_regularizer)(given(*args, **kwargs))

    return call
