"""Layers that are a graph of other layers, of which plans see the steps: what attention has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.errors import DataError, ShapeError
from minicnn.graph import Graph, Node, Tensor
from minicnn.hints import LayerOptions
from minicnn.layers import given
from minicnn.layers.activity import with_penalty
from minicnn.layers.base import Layer
from minicnn.layers.input import InputLayer
from minicnn.parameters import Weight
from minicnn.step import Shape, Shapes, Step


@dataclass(frozen=True)
class Form:
    """How a layer is called.

    Attributes
    ----------
    roles : tuple of str
        What each input is: the names of the arguments of the call.
    options : tuple of (str, object)
        Its other arguments that are not their defaults, in plain Python types, lists as tuples.
    """

    roles: tuple[str, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str) -> Any:
        """The value of an option; None where it was not given."""
        return dict(self.options).get(name)


class Composed(Layer):
    """Base: a subclass says in `connect` of which layers it is made, and in `shapes_behind` which shapes they give.

    Attributes
    ----------
    form : Form or None
        Of its calls on tensors, which is one wherever the layer is called; None before the first.
    parts : dict
        Role → layer: those that have been made, in the order of their weights.
    usual_roles : dict
        How many inputs there are → what they are, where a call does not say it.
    """

    input_count: int | None = None
    usual_roles: Mapping[int, tuple[str, ...]] = {}
    graph: Graph | None = None

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        self.parts: dict[str, Layer] = {}
        super().__init__(**kwargs)
        self.form: Form | None = None
        self._graphs: dict[tuple[Form, tuple[int, ...]], Graph] = {}  # by form and how many axes inputs have

    def connect(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """The outputs, of tensors by their roles: made by calls of parts."""
        raise NotImplementedError

    def shapes_behind(self, shapes: Mapping[str, Shape]) -> list[Shape]:
        """The shapes of the outputs, of those of inputs by their roles; sizes may be None.

        Raises
        ------
        ShapeError
            If they do not fit.
        """
        raise NotImplementedError

    def part(self, role: str, make: Callable[..., Layer]) -> Layer:
        """The part of this role, which `make`, given a name and so on, makes the first time."""
        if role not in self.parts:
            made = self.parts[role] = make(dtype=self.dtype_policy, trainable=self.trainable)
            made.name = f"{self.name}/{role}" if role else self.name
            if "_first_called_in" in vars(self):  # of `Weight.path`
                vars(made)["_first_called_in"] = vars(self)["_first_called_in"]
        return self.parts[role]

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change the weights; setting it sets that of all parts."""
        return vars(self)["_is_trainable"]

    @trainable.setter
    def trainable(self, value: bool) -> None:
        vars(self)["_is_trainable"] = value
        for part in self.parts.values():
            part.trainable = value

    @property
    def weights(self) -> list[Weight]:
        """All weights, part by part, in Keras's order."""
        return [weight for part in self.parts.values() for weight in part.weights]

    def named_weights(self) -> dict[str, Weight]:
        """ "role/weight" → Weight."""
        named = [(role, weight) for role, part in self.parts.items() for weight in part.weights]
        return {f"{role}/{weight.name}" if role else weight.name: weight for role, weight in named}

    @property
    def layers(self) -> list[Layer]:
        """Those that it is made of."""
        return [] if self.graph is None else [layer for layer in self.graph.layers if layer.input_count != 0]

    # ------------------------------------------------------------------------------------------------------- calls

    def call_in_form(self, inputs: Sequence[Any], form: Form | None, training: bool | None) -> Any:
        """Call the layer on tensors or arrays.

        Parameters
        ----------
        inputs : sequence of Tensor or array
        form : Form or None
            None: as it was called before, or as its number of inputs is usually called.
        training : bool or None

        Raises
        ------
        ValueError
            If it is called in another form in a graph already.
        """
        training = given.flag(self, training)
        form = form or self._form_for(len(inputs))
        if any(isinstance(x, Tensor) for x in inputs):
            if self.nodes and form != self.form:
                raise ValueError(
                    f"layer '{self.name}' ({type(self).__name__}) has the same inputs and options wherever a graph "
                    f"calls it: use a layer of its own here. Received: {form}, and before {self.form}"
                )
            self._check_axes(inputs)
            self.take_form(form)
            outputs = self.call_symbolically(inputs, training).outputs
            return outputs[0] if len(outputs) == 1 else outputs
        before, graph = self.form, self.graph
        self.take_form(form)
        try:
            made = self.call_on_arrays(inputs, bool(training))
        finally:
            if before is not None:
                self._take(before, graph)
        return tuple(made) if isinstance(made, list) else made

    def _check_axes(self, inputs):
        """That a graph that calls the layer already has inputs of as many axes: plans see one graph of it."""
        tensors = self.nodes[0].inputs if self.nodes else ()
        found, before = [np.ndim(x) for x in inputs if tensors], [x.ndim for x in tensors]
        if found != before:
            raise ShapeError(
                f"layer '{self.name}' ({type(self).__name__}) has inputs of as many axes wherever a graph calls it, "
                f"{before} here: use a layer of its own for others. Received: inputs of {found} axes"
            )

    def _form_for(self, count):
        """How it is called on so many inputs where nothing more is said."""
        if self.form is not None and len(self.form.roles) == count:
            return self.form
        if count not in self.usual_roles:
            raise ShapeError(
                f"layer '{self.name}' ({type(self).__name__}) takes {' or '.join(map(str, self.usual_roles))} inputs: "
                f"{self.usual_roles[max(self.usual_roles)]}. Received: {count}"
            )
        return Form(self.usual_roles[count])

    def take_form(self, form: Form) -> None:
        """Be called like that from now on."""
        if form != self.form:
            self._take(form, None)

    def _take(self, form, graph):
        """Be of this graph, or of one that `build_for` finds."""
        if form != self.form or graph is not self.graph:
            vars(self).update({"form": form, "graph": graph})  # no plan is void: those of models have one graph of it
            vars(self).pop("_runs", None)  # what tapes keep of another one

    def call_options(self) -> dict[str, Any]:
        """What files hold of a call beside its inputs: their roles, where these are not the usual ones, and options."""
        if self.form is None:
            return {}
        usual = self.usual_roles.get(len(self.form.roles)) == self.form.roles
        return ({} if usual else {"roles": list(self.form.roles)}) | {n: _plain(v) for n, v in self.form.options}

    def take_call_options(self, options: Mapping[str, Any], count: int) -> None:
        """Be called as `call_options` of a layer with `count` inputs said.

        Raises
        ------
        ValueError
            If they are no options of this layer.
        """
        own = dict(options)
        roles = tuple(own.pop("roles", self.usual_roles.get(count, ())))
        self.take_form(self.form_of(roles, own))

    def form_of(self, roles: tuple[str, ...], options: Mapping[str, Any]) -> Form:
        """The form of these roles and options, checked."""
        raise NotImplementedError

    def build(self, input_shapes: Shapes) -> Shape:
        return self.build_for(input_shapes)[0]

    def build_for(self, input_shapes: Shapes) -> list[Shape]:
        """Make the parts and their graph, if they are not there yet; returns the output shapes."""
        self.take_form(self._form_for(len(input_shapes)))
        shapes = dict(zip(self.form.roles, map(tuple, input_shapes), strict=True))
        try:
            outputs = self.shapes_behind(shapes)
            key = self.form, tuple(map(len, shapes.values()))
            if key in self._graphs:
                self._take(self.form, self._graphs[key])
                self._check_sizes(shapes)
            else:
                inputs = {role: _start(role, shape) for role, shape in shapes.items()}
                self._graphs[key] = Graph(inputs.values(), self.connect(inputs))
                self._take(self.form, self._graphs[key])
                for layer in set(self.layers) - set(self.parts.values()):
                    layer.name = f"{self.name}/{layer.name}"  # as errors say it
        except ValueError as error:
            if f"'{self.name}'" in str(error):
                raise
            raise ShapeError(f"layer '{self.name}' ({type(self).__name__}): {error}") from None
        self._built = True
        return outputs

    def _check_sizes(self, shapes):
        """That the weights there are fit other shapes."""
        for tensor, shape in zip(self.graph.inputs, shapes.values(), strict=True):
            for node in self.graph.nodes:
                if tensor in node.inputs and node.layer.weights:
                    node.layer.build_for((shape,) * len(node.inputs))

    def call_on_arrays(self, arrays: Sequence[ArrayLike], training: bool) -> Any:
        """What the parts give for arrays, one after the other; a list of several outputs."""
        values = [given.array_of(self, a) for a in arrays]
        if len(counts := {len(a) for a in values}) > 1 or 0 in counts:
            received = [len(a) for a in values]
            raise DataError(
                f"layer '{self.name}' takes as many samples of each input, at least one. Received: {received}"
            )
        self.build_for(tuple(a.shape[1:] for a in values))
        known = dict(zip(self.graph.inputs, values, strict=True))
        for node in self.graph.nodes:
            if node.outputs[0] not in known:
                xs = [known[tensor] for tensor in node.inputs]
                known[node.outputs[0]] = Layer.call_on_arrays(node.layer, xs, training)
        made = [np.asarray(known[tensor]) for tensor in self.graph.outputs]
        return made[0] if len(made) == 1 else made

    def compute_output_shape(self, *shapes: Any, **named: Any) -> Any:
        """The output's shape for the inputs' shapes, with the batch axis: one after the other, or in a list."""
        order = [f"{role}_shape" for role in max(self.usual_roles.values(), key=len)]
        in_order = [named.pop(name) for name in order if name in named]
        several = [shape for shape in (*shapes, *in_order, *named.values()) if shape is not None]
        several = list(several[0]) if len(several) == 1 else several
        roles = self.usual_roles.get(len(several)) or self._form_for(len(several)).roles
        self.take_form(self.form or Form(roles))
        shapes = self.shapes_behind({r: tuple(s)[1:] for r, s in zip(roles, several, strict=True)})
        return (several[0][0], *shapes[0])

    def lower(self) -> list[Step]:
        """The steps of all parts; which reads which, the graph says."""
        return [step for layer in self.layers for step in with_penalty(layer)]

    def forget_build(self) -> None:
        super().forget_build()
        self.parts, self.graph, self.form, self._graphs = {}, None, None, {}


def _plain(value):
    """Nested tuples as lists."""
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _start(role, shape):
    """A tensor that begins a graph."""
    return Node(InputLayer(shape, name=role), (), [shape]).outputs[0]
