"""The forms in which a model has its inputs and outputs: one, a list, a dict, or nested ones, as in Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from minicnn.foreign import check_open, shown
from minicnn.graph import Graph, Tensor
from minicnn.hints import OpenShape
from minicnn.layers.added_loss import source_of
from minicnn.layers.base import Layer
from minicnn.layers.input import InputLayer
from minicnn.nested import form, is_plain, leaves, mapped, matched, packed, path_names, same_form
from minicnn.user_warnings import warn_user

Tensors: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]


class InForm(Layer):
    """A layer with an inner graph, whose inputs and outputs are called in the form that it was given.

    Attributes
    ----------
    input_structure, output_structure : Tensor, or nested lists, tuples and dicts of them
    """

    _structures: tuple[Tensors, Tensors] | None = None  # None: one input, one output
    _warned_of_form = False
    _is_in_order = False  # while a call goes on, whose inputs are in order already

    def _graph_of(self, inputs: Tensors, outputs: Tensors) -> Graph:
        """The graph between tensors in any form, which is kept."""
        self._structures = mapped(lambda tensor: tensor, inputs), mapped(lambda tensor: tensor, outputs)
        return Graph(_tensors("inputs", inputs), _tensors("outputs", outputs))

    @property
    def input_structure(self) -> Tensors:
        return self._built_graph().inputs[0] if self._structures is None else self._structures[0]

    @property
    def output_structure(self) -> Tensors:
        return self._built_graph().outputs[0] if self._structures is None else self._structures[1]

    @property
    def input(self) -> Any:
        """The input tensor; several, and those in a dict, in the form that the model was given."""
        return in_form(self.input_structure, self._built_graph().inputs)

    @property
    def output(self) -> Any:
        """The output tensor; several, and those in a dict, in the form that the model was given."""
        return in_form(self.output_structure, self._built_graph().outputs)

    def outputs_in_form(self, values: Sequence[Any]) -> Any:
        """What belongs to the outputs, in order, in the form that the model was given."""
        return in_form(self.output_structure, values)

    def log_names(self) -> list[tuple[str, str]]:
        """For each output, its name in the names of losses and of metrics in the logs, as Keras has them."""
        paths = path_names(self.output_structure, self.output_names)
        return [(path, own if "/" in path else path) for path, own in zip(paths, self.output_names, strict=True)]

    def inputs_in_order(self, inputs: Any) -> Any:
        """What belongs to the inputs, in any form, as a list; unchanged where it has none.

        Raises
        ------
        ValueError
            If the form is another one than the model's, or an input is missing.
        """
        check_open(inputs)
        inputs = dict(inputs) if isinstance(inputs, Mapping) else inputs  # such as what numpy.load gives
        if self._structures is None or (is_plain(self.input_structure) and not isinstance(inputs, dict)):
            return inputs
        structure, given, names = self.input_structure, inputs, [t.name for t in self._built_graph().inputs]
        if is_plain(structure):
            structure = dict(zip(names, leaves(structure), strict=True))
            inputs = {key: value for key, value in inputs.items() if key in structure}
            missing = sorted(structure.keys() - inputs.keys())
            order = [inputs.get(name) for name in names]
        else:
            self._refuse_unordered(structure, inputs)
            if isinstance(inputs, dict) and isinstance(structure, dict):  # a table may have further columns
                inputs = {key: value for key, value in inputs.items() if key in structure} or inputs
            order = matched(structure, inputs, f"the input of model '{self.name}'")
            missing = [name for name, value in zip(names, order, strict=True) if value is None]
        self._warn_of_form(structure, given)
        if missing:
            raise ValueError(f"model '{self.name}' needs inputs named {missing}. Received: {sorted(map(str, inputs))}")
        return order

    def _refuse_unordered(self, structure, given):
        """Raise `ValueError` for a list in the place of a dict whose keys are not sorted: which is which is a guess."""
        is_list = isinstance(structure, dict) and isinstance(given, list | tuple) and not self._is_in_order
        if is_list and list(structure) != sorted(structure):
            raise ValueError(
                f"model '{self.name}' takes its inputs in a dict, {form(structure)}: of a list it would not be known "
                f"which is which. Received: {form(given)}"
            )

    def _warn_of_form(self, structure, given):
        """Warn, once for a model, of inputs that are taken though they have another form, as Keras does."""
        if not self._warned_of_form and not same_form(structure, given):
            self._warned_of_form = True
            warn_user(
                f"The structure of `inputs` doesn't match the expected structure of model '{self.name}': a dict's "
                "further entries are not used, and a list goes by the order of the dict's sorted keys. "
                f"Expected: {form(structure)}. Received: {form(given)}"
            )

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Call on tensors or arrays in the form of the model's inputs; returns its outputs in theirs."""
        inputs = self.inputs_in_order(inputs)
        before, self._warned_of_form = self._warned_of_form, True  # what is in order now is a list
        self._is_in_order = True
        try:
            outputs = super().__call__(inputs, training)
        finally:
            self._warned_of_form, self._is_in_order = before, False
        if not any(isinstance(output, Tensor) for output in (outputs if isinstance(outputs, list) else [outputs])):
            return outputs  # arrays, in form already
        return self.outputs_in_form(outputs if isinstance(outputs, list) else [outputs])

    def foreseen_output_names(self) -> list[str] | None:
        """Hook: the outputs' names before the model is built; None where only its graph will tell them."""
        return None

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that give the outputs; a repeated one is numbered, past the names of the others."""
        names: list[str] = []
        for name in (source_of(t).name for t in self._built_graph().outputs):
            numbered = (f"{name}_{i}" for i in range(1, len(names) + 2))
            names.append(name if name not in names else next(n for n in numbered if n not in names))
        return names

    def _built_graph(self) -> Graph:
        """Hook: the graph, or the error that there is none yet."""
        raise NotImplementedError


def input_like(tensor: Tensor, shape: OpenShape | None = None, name: str | None = None) -> Tensor:
    """A new input of a model in the place of a tensor: of its shape, and of its dtype where it is an input.

    Parameters
    ----------
    tensor : Tensor
    shape : tuple of int or None, optional
        Another shape of one sample.
    name : str, optional
        Default: one that is new.
    """
    dtype = getattr(tensor.node.layer, "input_dtype", None)
    layer = InputLayer(tensor.shape[1:] if shape is None else shape, name=name, input_dtype=dtype)
    return layer.call_symbolically([]).outputs[0]


def layers_within(network: Any) -> Iterator[Layer]:
    """The layers of a network and of the networks in it."""
    for layer in dict.fromkeys(network.layers if network.built else network._own_layers()):
        yield layer
        if isinstance(layer, InForm):
            yield from layers_within(layer)


def in_form(structure: Tensors, values: Sequence[Any]) -> Any:
    """Values in the form of a structure of tensors; as in Keras, a single one is not in a list."""
    is_single = isinstance(structure, Tensor) or (len(values) == 1 and is_plain(structure))
    return values[0] if is_single else packed(structure, values)


def _tensors(argument, structure):
    """The tensors in a structure."""
    tensors = leaves(structure)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{argument} holds tensors from Input and layer calls. Received: {shown(tensor)}")
    if not tensors:
        raise ValueError(f"{argument} needs at least one tensor. Received: none")
    return tensors
