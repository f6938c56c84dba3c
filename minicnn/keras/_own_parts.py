"""Layers as users write them for Keras: with `build` and `call`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.differentiation import met, value_of
from minicnn.graph import Node, Tensor
from minicnn.keras._arguments_in_configs import with_arguments
from minicnn.keras._autocast import Autocast
from minicnn.keras._call_forms import Form, form_of, is_usual, shapes_in, usual_form, with_parts
from minicnn.keras._called import Called, attributes_with_weights, steps_of, take_measured
from minicnn.keras._changed import changed, compose_again, note
from minicnn.keras._composed import Made, called_inside, leave_sizes_open
from minicnn.keras._eager import eager
from minicnn.keras._function_activations import with_functions
from minicnn.keras._given import Remembering
from minicnn.keras._in_order import Asked, is_asked, noted, weights_listed
from minicnn.keras._initial_weights import WithInitialWeights, taking_initial_weights
from minicnn.keras._layer_at_once import problem_of, run
from minicnn.keras._operation_marks import traced, unnamed
from minicnn.keras._own_names import divide, divide_again, dividing_methods
from minicnn.keras._own_weights import are_numbers_beside_tensors, declared, names_apart
from minicnn.keras._parts_in_files import InFiles
from minicnn.keras._scopes import inside, note_scope
from minicnn.keras._set_in_call import hold_numbers
from minicnn.keras._shapes import TensorShape
from minicnn.keras._state import add_update, held
from minicnn.keras._taped import inside_a_layer
from minicnn.keras._taped_calls import (
    belongs_to_a_function,
    forget_added,
    graph_adds_losses,
    layer_outputs,
    losses_of_layer,
    on_tapes,
    outputs_off_tapes,
    through_a_tape,
)
from minicnn.keras._translation import named_today
from minicnn.keras._variables import Variable
from minicnn.keras._window_starts import MovesSamples, is_of_windows
from minicnn.keras._written_configs import with_all_arguments, without_arguments
from minicnn.last_function import remembering
from minicnn.layers import function_numbers
from minicnn.layers.added_loss import Measured, ToMeasure, with_losses
from minicnn.layers.open_sizes import all_fit
from minicnn.nested import leaves, mapped
from minicnn.parameters import Weight
from minicnn.settings import floatx
from minicnn.step import Shape, Shapes, Step


class Layer(Asked, Autocast, InFiles, Remembering, layers.Layer, metaclass=WithInitialWeights):
    """Base of layers of one's own: minicnn's `Layer`, which has `forward` and `backward`, or Keras's, which has `call`.

    `call` is made of layers in attributes, or computes with own weights, operators, NumPy's functions and `keras.ops`.
    """

    core_class = layers.Layer
    input_count: int | None = None
    adds_loss: bool = False  # whether `call` does, on arrays
    _added_losses: list[Any] | None = None  # while `call` runs
    _noted: Sequence[float] = ()  # what the last call on arrays, by itself and off tapes, added to the loss
    measured: Mapping[str, Measured] = MappingProxyType({})  # what `call` has measured on arrays, by name
    output_form: Any = None  # shapes of samples in tuples, lists and dicts, where `call` gives several
    _form: Form | None = None  # of the first call, which all places of the layer have

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        is_cast, _ = kwargs.pop("autocast", True), kwargs.pop("dynamic", None)
        vars(self)["_names_in_build"] = set()  # of weights that a constructor declares: until it is done
        super().__init__(*args, **with_functions(named_today(kwargs)))
        self.autocast = is_cast
        for name, value in list(vars(self).items()):  # which were there before
            self._adopt(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        divide(self, name, sys._getframe(1))
        self._adopt(name, value := noted(self, value, sys._getframe(1)))
        is_said = name == "trainable" and name in vars(self)  # by a user, and not by the constructor
        super().__setattr__(name, value)
        for part in self.parts() if is_said else ():
            part.trainable = value

    def __setstate__(self, state: dict[str, Any]) -> None:
        divide_again(self, state)
        vars(self).update(state)

    def _adopt(self, name, value):
        """Have variables in an attribute as weights."""
        for part in leaves(value) if name != "_weights" and isinstance(value, Variable | list | tuple | dict) else ():
            if isinstance(part, Variable):
                part.belongs_to(self, name)

    def build(self, input_shape: Any) -> Any:
        """Nothing is to be made for a layer without weights."""
        return input_shape

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes of its inputs; to be written, or `forward` and `backward` instead."""
        raise NotImplementedError(
            f"{type(self).__name__} has no call: write call(self, inputs). Received: a class without it"
        )

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        if not self.has_call and type(self).forward is Step.forward:
            self.call()
        return super().compute_output_shape(*args, **kwargs)

    @property
    def has_call(self) -> bool:
        """Whether the class has a `call` of its own."""
        return type(self).call is not Layer.call

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Call on tensors or arrays, in the form that `call` has: several inputs, lists and dicts of them, options.

        Raises
        ------
        ValueError
            If an option is positional, or the layer has another form in its model already.
        """
        if not self.has_call:
            return eager(super().__call__(*args, training=training, **kwargs))
        if is_usual(args, kwargs):
            (inputs,), is_list = args, isinstance(args[0], list | tuple)
            count = len(inputs) if is_list else 1
            form = usual_form(self.call, count, is_list)
        else:
            form, inputs = form_of(self.call, args, kwargs)
            count = len(inputs)
        before = self._form_for(count)
        if not form.is_like(before):
            if self.nodes:
                raise ValueError(
                    f"layer '{self.name}' has the same form of inputs and the same options wherever it is called: "
                    f"use a layer of its own here. Received: {form.arguments}, and before {before.arguments}"
                )
            self._form, self.graph = form, None
        if self.has_call and are_numbers_beside_tensors(inputs):
            return called_inside(self, inputs, training).outputs[0]
        made = super().__call__(inputs, training=training)
        if self.graph is not None:
            hold_numbers(self, (inputs, training))
            made = self._made.given(self, made, inputs if isinstance(inputs, list | tuple) else [inputs])
        return eager(self._cut(made))

    @unnamed()
    def _cut(self, made):
        """What `call` gave, in its form, of an array or tensor that has all numbers of a sample in a row."""
        if self.output_form is None:
            return made
        shapes, parts, start = shapes_in(self.output_form), [], 0
        for shape in shapes:
            end = start + math.prod(shape)
            part = made[:, start:end] if shape else made[:, start]
            is_tensor = isinstance(part, Tensor)
            if len(shape) > 1:
                part = layers.Reshape(shape)(part) if is_tensor else np.reshape(part, (-1, *shape))
            parts.append(part)
            start = end
        return with_parts(self.output_form, iter(parts))

    @property
    def output(self) -> Any:
        """The tensor, or those in the form of what `call` gives, of the only call."""
        made = layers.Layer.output.fget(self)  # type: ignore[attr-defined]
        return made if self.output_form is None else self._cut(made)

    def check_single_input(self) -> None:
        """Raise ValueError if `call` needs more than one input, or an option, which a stack of layers does not give."""
        kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        parameters = signature(self.call).parameters.values()
        needed = [p.name for p in parameters if p.kind in kinds and p.default is Parameter.empty]
        if self.has_call and len(needed) > 1:
            raise ValueError(
                f"a layer of a Sequential has one input, and other arguments of its call have defaults. "
                f"Received: {type(self).__name__}.call({', '.join(needed)})"
            )

    @property
    def takes_inputs_apart(self) -> bool:
        """Whether its calls are ``layer(a, b)``, which files for Keras say."""
        return self.has_call and bool(self.nodes) and self._form_for(len(self.nodes[0].inputs)).takes_apart

    @property
    def takes_list_of_one(self) -> bool:
        """Whether its calls are ``layer([x])``, of which `call` gets a list."""
        return self._form is not None and self._form.is_list_of_one

    def take_list_of_one(self) -> None:
        """Said by who makes a graph of a config: that they are."""
        self._form = usual_form(self.call, 1, True)

    def _form_for(self, count):
        """The form of calls with so many inputs."""
        return usual_form(self.call, count) if self._form is None else self._form

    def apply(self, inputs: Sequence[Any], by: Any = None, **options: Any) -> Any:
        """`call`, or a method `by` with its arguments, of these inputs in order."""
        return self._form_for(len(inputs)).applied(by or self.call, inputs, **options)

    def add_weight(self, *args: Any, **kwargs: Any) -> Weight:
        """Declare a weight with Keras's arguments, in the order of Keras 2 (name first) or 3 (shape first)."""
        return declared(self, super().add_weight, args, kwargs)

    add_variable = add_weight

    def add_loss(self, losses: Any, **options: Any) -> None:
        """In `call`: make what was computed a part of the model's loss; of an array, its sum.

        Raises
        ------
        RuntimeError
            Outside of `call`.
        """
        self._add(losses, "add_loss")

    def _add(self, parts, method):
        if self._added_losses is None:
            raise RuntimeError(
                f"{method} of layer '{self.name}' belongs into its call, which computes it; penalties on weights are "
                f"the regularizer= of add_weight. Received: {parts!r}"
            )
        self._added_losses.extend(parts if isinstance(parts, list | tuple) else [parts])

    add_update: Callable[..., None] = add_update
    updates: tuple[Any, ...] = ()  # what a call adds has run then: nothing is left for others to add

    def add_metric(self, value: Any, *args: Any, **options: Any) -> None:
        """In `call`: have what was computed averaged in the logs, as Keras 2 did; see `minicnn.Model.add_metric`.

        Of an array each number counts, and a single number once for each batch; what a metric of the layer's gave when
        it was called stands for that metric.

        Raises
        ------
        RuntimeError
            Outside of `call`.
        """
        self._add(ToMeasure.of(value, *args, **options), "add_metric")

    @contextmanager
    def collecting(self) -> Iterator[list[Any]]:
        """Inside, `add_loss` fills the list."""
        before, self._added_losses = self._added_losses, []
        try:
            yield self._added_losses
        finally:
            self._added_losses = before

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """A place for the layer; for one whose `call` uses a model's tensors beside its inputs, its operations."""
        note_scope(self)
        try:
            return super().call_symbolically(tensors, training)
        except MovesSamples:
            if not all(map(is_of_windows, tensors)):
                raise
            return called_inside(self, tensors, training)  # which knows of the windows around
        except TypeError:
            if not self.has_call or self.parts() or self._weights:
                raise
            with self.collecting() as losses, traced():
                result = self.apply(tensors)
            if not isinstance(result, Tensor):
                raise
            self._built = True
            return with_losses(result, losses).node

    def parts(self) -> list[layers.Layer]:
        """The layers in attributes, and in lists and dicts of them."""
        others = ("_made", "_given", "nodes", *(() if self.has_call else ("activation",)))  # which is a step itself
        values = [v for name, v in vars(self).items() if name not in others]
        return list(dict.fromkeys(v for value in values for v in leaves(value) if isinstance(v, layers.Layer)))

    @taking_initial_weights
    def build_for(self, input_shapes: Shapes) -> list[Shape]:
        if not self.has_call:
            return super().build_for(input_shapes)
        self._build_once(input_shapes)
        if self.parts():  # maybe made there
            return self._composed(input_shapes)
        self._built = True
        return [Called(self).shape_behind(input_shapes)]

    @taking_initial_weights
    def _build_once(self, input_shapes):
        """Call `build` with the inputs' shapes, as they stand in the form of the call."""
        for name, value in list(vars(self).items()):  # lists that have grown
            self._adopt(name, value)
        if not self._built:
            shapes = [TensorShape((None, *shape)) for shape in input_shapes]
            with names_apart(self):
                self.build(*self._form_for(len(shapes)).shapes_for(self.build, shapes))

    def _composed(self, input_shapes):
        """The output shapes of a layer of layers, whose graph is made once, and once more for any sizes."""
        if self.graph is None:
            self._trace_for(input_shapes)
        elif not all_fit(input_shapes, [t.shape[1:] for t in self.graph.inputs]):
            leave_sizes_open(self, input_shapes)
        return self._made.build_for(input_shapes)

    def _trace_for(self, input_shapes):
        """Make the graph."""
        self._built = True  # by now, also where there is no graph
        self._made = Made(self)
        with inside(self):
            self._made.trace_for(input_shapes)
        self.graph = self._made.graph
        note(self)

    def trace_again(self) -> None:
        """Make the graph of a layer of layers anew."""
        compose_again(self)

    def _need_weights(self):
        if not self._weights:  # which a `build` that is called by hand has made, without more ado
            super()._need_weights()

    @property
    def built(self) -> bool:
        """Whether `build` is done; Keras's users write ``self.built = True`` at its end."""
        return self._built

    @built.setter
    def built(self, value: bool) -> None:
        self._built = bool(value)

    @property
    def weights(self) -> list[Weight]:
        """All weights, trainable ones first; of a layer of layers, those that there are, its own ones first."""
        parts = [] if self.graph is not None else [w for part in self.parts() for w in part.weights]
        found = self._made.weights if self.graph is not None else list(dict.fromkeys([*super().weights, *parts]))
        return weights_listed(self, found) if is_asked(sys._getframe(1)) else found

    @property
    def layers(self) -> list[layers.Layer]:
        """Those that the layer is made of."""
        return [] if self.graph is None else self._made.layers

    def named_weights(self) -> dict[str, Weight]:
        """ "layer/weight" → Weight, of a layer of layers."""
        return self._made.named_weights()

    def lower(self) -> list[Step]:
        return steps_of(self) if self.has_call else super().lower()

    def call_on_arrays(self, arrays: Sequence[Any], training: bool) -> Any:
        """What `call` gives for arrays, of any shape; layers that it is made of act as in training if it does."""
        if problem := problem_of(self, arrays):
            return run(self, arrays, training, problem)
        if belongs_to_a_function(self, arrays):
            return through_a_tape(self, arrays, training)
        if on_tapes(self, arrays):
            return layer_outputs(self, arrays, training)
        forget_added(self)
        with inside_a_layer():
            return self._call_on_plain(value_of(met(list(arrays))), training)

    def _call_on_plain(self, arrays, training):
        if not self.has_call:
            return super().call_on_arrays(arrays, training)
        arrays = [a.astype(floatx()) if a.dtype.kind == "f" else a for a in map(np.asarray, arrays)]
        self._build_once(shapes := tuple(a.shape[1:] for a in arrays))
        if self.parts():
            if self.graph is not None and changed(self) is not None:
                self.trace_again()
            self.build_for(shapes)
            if graph_adds_losses(self):
                return outputs_off_tapes(self, arrays, training)
            return self._made.call_on_arrays(arrays, training)
        self._built = True
        mine = attributes_with_weights(self)
        options = {"training": training} if "training" in signature(self.call).parameters else {}
        try:
            vars(self).update({name: held(value) for name, value in mine.items()})
            with self.collecting() as added, function_numbers.in_phase(training):
                made = self.noting_penalty(mapped(remembering, self.apply([eager(a) for a in arrays], **options)))
            self._noted = [float(np.sum(value_of(met(loss)))) for loss in take_measured(self, added, 0)]
            return made
        finally:
            vars(self).update(mine)

    def __init_subclass__(cls, **options: Any) -> None:
        with dividing_methods(cls):
            super().__init_subclass__(**options)
        if "get_config" in vars(cls):
            cls.get_config = with_all_arguments(vars(cls)["get_config"])

    @property
    def losses(self) -> list[Any]:
        """The penalties of weights, and what the last call added: on the tape, where one records."""
        return losses_of_layer(self, [*super().losses, *self._noted])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: as attributes of their names, or as they were given.

        Raises
        ------
        TypeError
            If the layer is called in a form that no file holds.
        """
        if self.nodes and self._form is not None and not self._form.is_lasting:
            raise TypeError(
                f"layer '{self.name}' ({type(self).__name__}) is called with a dict or with options, which no file "
                "holds: make them arguments of its constructor, or save the weights alone. "
                f"Received: {self._form.arguments}"
            )
        return without_arguments(self, with_arguments(self, super().get_config()))
