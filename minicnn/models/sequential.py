"""The model as a stack of layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from minicnn.errors import ShapeError
from minicnn.graph import Graph, Node, Tensor
from minicnn.layers.base import Layer
from minicnn.layers.input import Input, InputLayer
from minicnn.layers.names import unique_name
from minicnn.layers.standalone import described_before, no_layer, sample_shapes
from minicnn.models import config as configs
from minicnn.models.model import Model
from minicnn.parameters import check_one_dtype
from minicnn.training.streams import peek


class Sequential(Model):
    """A stack of layers, each reading the one before.

    Parameters
    ----------
    layers : list of Layer, optional
        May start with ``Input(shape=…)``. One that stands in several places has the same weights in all of them.
    name : str, optional

    Notes
    -----
    Without an `Input`, an ``input_shape=`` of the first layer or a call of `build`, the model is built when it first
    sees data.
    """

    input_count: int | None = 1
    saved_as: str = "Sequential"

    def __init__(self, layers: Sequence[Layer | Tensor] | None = None, name: str | None = None) -> None:
        if not isinstance(layers, Iterable | None) or isinstance(layers, Tensor | str | dict):
            raise TypeError(f"Sequential takes a list of layers: Sequential([…]). Received: {layers!r}")
        self._stack: list[Layer] = []
        Layer.__init__(self, name=name or unique_name("Sequential"))  # without a graph, which `_start` makes
        self._start_untrained()
        for layer in layers or []:
            self.add(layer)

    def add(self, layer: Layer | Tensor) -> None:
        """Put a layer on top.

        Raises
        ------
        TypeError
            If it is not a layer.
        ShapeError, ValueError
            If it does not fit on what is below, or its name is taken.
        """
        if isinstance(layer, Tensor) and isinstance(layer.node.layer, InputLayer):
            self._start(layer)
            return
        if not isinstance(layer, Layer):
            raise TypeError(no_layer(layer))
        if isinstance(layer, InputLayer):
            self._start(layer.call_symbolically([]).outputs[0])
            return
        if any(other.name == layer.name for other in self._stack if other is not layer):
            raise ValueError(f"the layers of a model need different names. Received: a second layer '{layer.name}'")
        if self.graph is None and not self._stack and _known_shape(layer) is not None:
            self._start(Input(_known_shape(layer)))
        if self.graph is not None:
            self._put_on_top(layer)
        self._stack.append(layer)

    def pop(self) -> Layer:
        """Take the top layer off and return it."""
        if not self._stack:
            raise ValueError("the model has no layers to take off. Received: pop() on an empty Sequential")
        layer = self._stack.pop()
        if self.graph is not None:
            node = self.graph.outputs[0].node
            layer.nodes.remove(node)
            self._set_graph(self.graph.inputs, node.inputs[0])
        return layer

    def _start(self, tensor):
        """Begin the graph with this input, and put on it what is there."""
        if self.graph is not None:
            raise ValueError(f"model '{self.name}' has an input already. Received: another one of shape {tensor.shape}")
        unbuilt, top = [layer for layer in self._stack if not layer.built], tensor
        try:
            for layer in self._stack:
                top = self._called(layer, top)
            self._set_graph([tensor], top)
        except Exception:  # a shape that does not fit leaves nothing half-built
            self.graph = None
            for layer in unbuilt:
                layer.forget_build()
            raise

    def _put_on_top(self, layer):
        self._set_graph(self.graph.inputs, self._called(layer, self.graph.outputs[0]))

    @staticmethod
    def _called(layer, tensor):
        """The output of a layer called on a tensor."""
        node = layer.call_symbolically([tensor])
        if len(node.outputs) != 1:
            raise ValueError(
                f"a layer of a Sequential has one output. Received: '{layer.name}' with {len(node.outputs)}"
            )
        return node.outputs[0]

    def _set_graph(self, inputs, last):
        self.graph = Graph(inputs, [last])
        check_one_dtype(self.weights)
        self._engine = None if self._engine is None else self._engine.renewed(keeps_state=False)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights for inputs of this shape, given with the batch axis: (None, 28, 28, 1)."""
        if self.graph is None:
            if input_shape is None:
                self._built_graph()
            self._start(Input(sample_shapes(input_shape)[0]))

    def build_for(self, input_shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        if self.graph is None:
            if len(input_shapes) != 1:
                raise ShapeError(f"model '{self.name}' takes one input. Received: {len(input_shapes)}")
            self._start(Input(input_shapes[0]))
        return super().build_for(input_shapes)

    def _build_from_data(self, x):
        if self.graph is None:
            if not self._stack:
                raise ValueError(f"a Sequential needs layers: {self.name}.add(layer). Received: no layers")
            x, shape = peek(x)
            self._start(Input(shape or (1,)))
        return x

    @property
    def layers(self) -> list[Layer]:
        return list(self._stack)

    def foreseen_output_names(self) -> list[str] | None:
        return [layer.name for layer in self._stack[-1:]] or None

    def structure(self) -> dict[str, Any]:
        start = [] if self.graph is None else [configs.layer_config(self.graph.inputs[0].node.layer)]
        return self._own_config() | {"layers": start + [configs.layer_config(layer) for layer in self._stack]}

    @classmethod
    def _made_from(cls, config) -> Self:
        model = cls(**configs.own_arguments(cls, config))
        for entry in configs.layers_of(config):
            model._stack.append(described_before(configs.layer_from_config(entry), model._stack))
        start = model._stack.pop(0) if model._stack and isinstance(model._stack[0], InputLayer) else None
        model._check_layers()
        if start is not None:
            model._start(start.call_symbolically([]).outputs[0])
        elif model._stack and _known_shape(model._stack[0]) is not None:
            model._start(Input(_known_shape(model._stack[0])))
        return model

    def _own_layers(self):
        return list(dict.fromkeys(self._stack))

    def forget_build(self) -> None:
        for layer in self._stack:
            layer.forget_build()
        self.nodes: list[Node] = []
        self.graph = None


def _known_shape(layer):
    """The input shape that a layer brings along: declared, or that of a model that is built."""
    if layer.declared_input_shape is not None:
        return layer.declared_input_shape
    return layer.inputs[0].shape[1:] if isinstance(layer, Model) and layer.built else None
