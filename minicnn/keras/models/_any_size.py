"""A Sequential takes data of other sizes than its Input's, or than the first batch's, if its layers can, as Keras's.

So does a model with a `call` of its own. Sizes at which that looks are never left open: it may go by them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from minicnn.errors import ShapeError
from minicnn.keras._changed import forget_places
from minicnn.keras._composed import of_same_weights, weights_in
from minicnn.keras._open_looks import noting_looks
from minicnn.keras._tried_sizes import looks_at_sizes
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import all_fit, fits
from minicnn.models.forms import input_like
from minicnn.models.subclassing import layers_in
from minicnn.nested import leaves, mapped
from minicnn.training.streams import peek

_OF_TRACE = ("graph", "_structures", "_seen", "_engine", "_made")  # what a model or layer has of its graph


class AnySize:
    """Mixin of Keras's Sequential."""

    _stack: list[Any]
    _engine: Any
    graph: Any
    _goes_by_first_call: bool = False  # the shape of its input

    def _build_from_data(self, x: Any) -> Any:
        if self.graph is not None:
            if isinstance(getattr(x, "shape", None), tuple):  # of a data set, a pass would tell
                self._open_for(tuple(x.shape)[1:])
            return x
        if self._stack and hasattr(x, "__next__"):  # its batches may have other sizes than the first
            x, shape = peek(x)
            for last in ((None,), shape[-1:]):
                with suppress(ShapeError):
                    self._start(Input((*[None] * (len(shape) - 1), *last)))  # type: ignore[attr-defined]
                    return x
        return super()._build_from_data(x)  # type: ignore[misc]

    def build_for(self, input_shapes: Any) -> Any:
        """Called on tensors, as the head of a detector on maps of several sizes; see `minicnn.Sequential.build_for`.

        The shape of an Input is kept to, as in Keras; that of the first call is left open where another one differs.
        """
        if self.graph is None:
            self._goes_by_first_call = True
        elif self._goes_by_first_call and len(input_shapes) == 1:
            self._open_for(tuple(input_shapes[0]))
        return super().build_for(input_shapes)  # type: ignore[misc]

    def _open_for(self, shape):
        """Leave those sizes open in which samples of this shape differ, if the layers can do with any."""
        engine = self._engine
        known = self.graph.inputs[0].shape[1:]
        if len(shape) != len(known) or fits(shape, known):
            return
        opened = tuple(size if size == new else None for size, new in zip(known, shape, strict=True))
        nodes = self.nodes  # type: ignore[attr-defined]
        for sizes in (opened, shape) if all(fits(node.inputs[0].shape[1:], shape) for node in nodes) else (opened,):
            if self._could_start(
                sizes, is_told=sizes is shape
            ):  # else the data is refused, in the words of a model of known sizes
                self._engine = None if engine is None else engine.renewed(keeps_state=True)
                self.forget_traced()  # type: ignore[attr-defined]
                return

    def _could_start(self, sizes, is_told):
        """Whether the layers give a graph for inputs of these sizes, which is the model's then.

        Sizes that are open because it is not told otherwise are none that a layer's `call` looks at.
        """
        graph = self.graph
        before = _states_of(self._stack)
        forget_places(graph)
        self.graph = None
        try:
            with noting_looks() as looks:
                self._start(input_like(graph.inputs[0], sizes, graph.inputs[0].node.layer.name))
            if is_told or not looks:
                return True
        except ShapeError:
            pass
        self.graph = graph
        _put_back(before)
        return False


class AnySizeOfCall:
    """Mixin of Keras's models, for those whose graph comes from a `call`: it is run again for data of other sizes."""

    _engine: Any
    graph: Any

    def _build_from_data(self, x: Any) -> Any:
        parts = leaves(x) if self._is_of_call() else []
        if parts and all(isinstance(getattr(part, "shape", None), tuple) for part in parts):
            self._trace_for_others([tuple(part.shape)[1:] for part in parts])
        return super()._build_from_data(x)  # type: ignore[misc]

    def build_for(self, input_shapes: Any) -> Any:
        """Called on tensors; see `minicnn.Model.build_for`."""
        if self._is_of_call():
            self._trace_for_others([tuple(shape) for shape in input_shapes])
        return super().build_for(input_shapes)  # type: ignore[misc]

    def _is_of_call(self):
        return self.graph is not None and getattr(self, "goes_by_attributes", False)

    def _trace(self, inputs: Any) -> None:
        trace, shapes = super()._trace, [t.shape[1:] for t in leaves(inputs)]  # type: ignore[misc]
        parts = dict.fromkeys(layers_in(list(vars(self).values())))
        if looks_at_sizes(lambda: trace(inputs), lambda sizes: self._graph_for(trace, inputs, sizes), shapes, parts):
            self.graph.remade = self._remade

    def _graph_for(self, trace, inputs, shapes):
        """The graph between inputs as those given, for samples of these shapes."""
        rest = iter(shapes)
        trace(mapped(lambda t: input_like(t, next(rest), t.node.layer.name), inputs))
        return self.graph

    def _remade(self, shapes):
        """The graph that `call` makes for samples of these shapes: of a twin, as other threads may read the model's."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin._trace(self._inputs_of(shapes))
        return of_same_weights(twin.graph, self.graph, self, shapes)

    def _inputs_of(self, shapes):
        """Inputs as those of the graph, for samples of these shapes."""
        rest = iter(shapes)
        return mapped(lambda t: input_like(t, next(rest), t.node.layer.name), self.input_structure)  # type: ignore[attr-defined]

    def _trace_for_others(self, shapes):
        """Run `call` for samples of these shapes if they do not fit; if it is for none of them, all stays.

        For any size; if it looks at sizes, for these, or, where others are in the graph of a model, for each anew.
        """
        known = [t.shape[1:] for t in self.graph.inputs]
        if all_fit(shapes, known) or list(map(len, shapes)) != list(map(len, known)):
            return
        opened = [_in_both(*pair) for pair in zip(known, shapes, strict=True)]
        for sizes, may_look in ((opened, False), (shapes, True), (opened, True)):
            if self._could_trace(sizes, may_look):
                return

    def _could_trace(self, sizes, may_look):
        """Whether `call` gives a graph of the same weights for inputs of these sizes, which is the model's then."""
        graph = self.graph
        before, own = _states_of(graph.layers), _of_trace(self)
        forget_places(graph)
        try:
            self._trace(self._inputs_of(sizes))
            is_same = weights_in(self.graph) == weights_in(graph)  # and of no layer that `call` has made now
            is_same = is_same and (may_look or self.graph.remade is None) and self._suits_its_places(sizes)
        except Exception:  # of a user's `call`, which is not for these: the data is refused, as of a known size
            is_same = False
        if not is_same:
            vars(self).update(own)
            _put_back(before)
            return False
        self._engine = None if self._engine is None else self._engine.renewed(keeps_state=True)
        self.forget_traced()  # type: ignore[attr-defined]
        return True

    def _suits_its_places(self, sizes):
        """Whether a graph for these sizes is that of all the models' graphs which have this model as a layer."""
        calls = [[t.shape[1:] for t in node.inputs] for node in self.nodes]  # type: ignore[attr-defined]
        return all(all_fit(shapes, sizes) for shapes in calls)


def _of_trace(layer):
    return {name: vars(layer)[name] for name in _OF_TRACE if name in vars(layer)}


def _states_of(layers):
    """Layer → (where it is called, what it has of its graph), also of the layers inside."""
    found = {}
    rest = list(layers)
    while rest:
        if (layer := rest.pop()) not in found:
            found[layer] = list(layer.nodes), _of_trace(layer)
            rest += [] if layer.graph is None else layer.graph.layers
    return found


def _put_back(states):
    for layer, (nodes, traced) in states.items():
        layer.nodes[:] = nodes
        vars(layer).update(traced)


def _in_both(known, shape):
    """A shape with None for the sizes that differ."""
    return tuple(a if a == b else None for a, b in zip(known, shape, strict=True))
