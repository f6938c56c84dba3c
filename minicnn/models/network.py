"""A graph of layers as a layer: what a model is before it is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from minicnn.dtype_policies import floatx_of
from minicnn.errors import NotBuiltError, ShapeError, unknown_name
from minicnn.graph import Graph, Tensor
from minicnn.layers.base import Layer
from minicnn.layers.open_sizes import all_fit, sized
from minicnn.models import config as configs
from minicnn.models import unread
from minicnn.models.forms import Tensors
from minicnn.models.summary import Summarized
from minicnn.parameters import Weight, check_one_dtype
from minicnn.registry import custom_object_scope
from minicnn.settings import floatx

_T = TypeVar("_T")


class Network(Summarized):
    """A graph of layers from its inputs and outputs; base of the models.

    Parameters
    ----------
    inputs, outputs : Tensor, or list, tuple or dict of them, also nested
        What `Input` and calls of layers returned.
    name : str

    Attributes
    ----------
    graph : Graph or None
        None where the shapes are not known yet.
    inputs, outputs : tuple of Tensor
    layers : list of Layer
    saved_as : str
        Name of the class in configs, Keras's.

    Raises
    ------
    ValueError
        If an output does not depend on the inputs alone.
    """

    input_count: int | None = None
    saved_as: str = "Functional"

    def __init__(self, inputs: Tensors, outputs: Tensors, name: str | None = None) -> None:
        super().__init__(name=name)
        self.graph: Graph | None = self._graph_of(inputs, outputs)
        self._check_layers()

    @property
    def built(self) -> bool:
        """Whether the shapes are known, so that weights exist."""
        return self.graph is not None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self._built_graph().inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self._built_graph().outputs

    @property
    def input_shape(self) -> tuple[int | None, ...] | list[tuple[int | None, ...]]:
        """Shape of the input with the batch axis, which is None; a list for several inputs."""
        return one_or_list([t.shape for t in self.inputs])

    @property
    def output_shape(self) -> tuple[int | None, ...] | list[tuple[int | None, ...]]:
        """Shape of the output with the batch axis, which is None; a list for several outputs."""
        return one_or_list([t.shape for t in self.outputs])

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order in which they were called first."""
        return self._built_graph().layers

    @property
    def acts_on_arrays(self) -> bool:
        """Whether the model is nothing but augmentation: called on arrays, it augments them, as in Keras."""
        layers = [layer for layer in (self.layers if self.built else self._own_layers()) if layer.input_count != 0]
        return bool(layers) and all(layer.acts_on_arrays for layer in layers)

    def _built_graph(self) -> Graph:
        if self.graph is None:
            raise NotBuiltError(
                f"model '{self.name}' is not built, because its input shape is not known: start with Input(shape=…), "
                "give its first layer input_shape=…, or call build or fit first"
            )
        return self.graph

    def _check_layers(self):
        """Layer names must differ, since files and `get_layer` go by them; weights must be of one dtype."""
        repeated = sorted(n for n, count in Counter(each.name for each in self._own_layers()).items() if count > 1)
        if repeated:
            raise ValueError(f"the layers of a model need different names. Received: {repeated} more than once")
        check_one_dtype(self.weights)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that position in `layers`.

        Raises
        ------
        ValueError
            If there is none.
        """
        if (name is None) == (index is None):
            raise ValueError(f"get_layer takes a name or an index. Received: name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"model '{self.name}' has {len(self.layers)} layers. Received: index={index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown_name(f"layer of model '{self.name}'", name, [layer.name for layer in self.layers])

    @property
    def weights(self) -> list[Weight]:
        """All weights, in Keras's order: layer by layer, each one's trainable ones first."""
        layers = self.graph.layers if self.graph is not None else []
        return list(dict.fromkeys(w for layer in layers for w in layer.weights))

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change the weights; setting it sets that of all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._own_layers():
            layer.trainable = self._trainable

    def _own_layers(self):
        """The layers there are, also before the model is built."""
        return [] if self.graph is None else self.graph.layers

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Does nothing: a functional model is built from the start."""

    def build_for(self, input_shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Called on tensors: check the shapes; returns the output shapes."""
        expected = tuple(t.shape[1:] for t in self.inputs)
        if not all_fit(input_shapes, expected):
            raise ShapeError(f"model '{self.name}' takes inputs of shapes {expected}. Received: {tuple(input_shapes)}")
        return [t.shape[1:] for t in sized(self._built_graph(), input_shapes).outputs]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}', {'built' if self.built else 'not built'}>"

    # ----------------------------------------------------------------------------------------------------- config

    def get_config(self) -> dict[str, Any]:
        """The model's structure, in Keras 3's form; `from_config` makes a model with new weights from it."""
        with configs.sharing():
            return self.structure()

    def structure(self) -> dict[str, Any]:
        """The config of a model of the library's own classes."""
        forms = self.input_structure, self.output_structure
        return self._own_config() | configs.graph_config(self._built_graph(), forms)

    def _own_config(self) -> dict:
        return {"name": self.name, "trainable": self.trainable, "dtype": configs.dtype_of(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """A new model from what `get_config` returned.

        Parameters
        ----------
        config : dict
        custom_objects : dict, optional
            Name → class, for layers of one's own, or function, for Lambda layers.

        Raises
        ------
        ValueError, TypeError
            If the config does not describe a model.
        """
        with custom_object_scope(custom_objects), configs.sharing():
            config = configs.from_keras(cls, config)
            with floatx_of(config.get("dtype", floatx())):
                model = configs.made(cls, config)
        model._trainable = bool(config.get("trainable", True))  # its layers have their own flags, and policies
        model.keep_policy(config.get("dtype"))
        return model

    @classmethod
    def _made_from(cls, config):
        """Hook: the model of a config."""
        return unread.from_graph_config(cls, config)

    def named_weights(self) -> dict[str, Weight]:
        """ "layer/weight" → Weight; layers of a model used as a layer as "model/layer/weight"."""
        named = {}
        for layer in self.layers:
            if layer.graph is not None:
                named |= {f"{layer.name}/{path}": w for path, w in layer.named_weights().items()}
            else:
                named |= {f"{layer.name}/{w.name}": w for w in layer.weights}  # which may be another layer's
        return named


def one_or_list(values: list[_T]) -> _T | list[_T]:
    """The only entry, or the list."""
    return values[0] if len(values) == 1 else values
