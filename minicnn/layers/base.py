"""What a layer is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from minicnn import initializers, regularizers
from minicnn.dtype_policies import DTypePolicy
from minicnn.errors import NotBuiltError, ShapeError, unknown_name
from minicnn.graph import Graph, Node, Tensor
from minicnn.hints import InitializerLike, OpenShape, RegularizerLike
from minicnn.layers import contract, given, replacing
from minicnn.layers.names import unique_name
from minicnn.layers.policy import WithPolicy
from minicnn.layers.rare_options import check_trainable, get_constraint, take_rare_options, written
from minicnn.layers.shapes import declared_shape
from minicnn.layers.standalone import Standalone
from minicnn.parameters import Weight, first_value
from minicnn.registry import Configurable, Registry, constructor_parameters
from minicnn.settings import floatx
from minicnn.step import Changes, Shape, Shapes, Step
from minicnn.turns import weights_at_rest


class Layer(Standalone, WithPolicy, Step, Configurable):
    """Base of all layers.

    A subclass stores its constructor's arguments under their own names, declares weights in `build`, and writes
    `forward` and `backward`. ``docs/adding_a_layer.md`` walks through one.

    Parameters
    ----------
    name : str, optional
        Default: the class name in snake case, numbered: conv2d, conv2d_1, …
    trainable : bool, default True
        Whether optimizers may change the weights.
    input_shape : tuple of int or None, optional
        Shape of one sample, for the first layer of a `Sequential`; ``input_dim=n`` means ``(n,)``.
    dtype : str or DTypePolicy, optional
        "float32", "float64", "mixed_bfloat16" or "mixed_float16", see `minicnn.dtype_policies`; default: the global
        policy. Its weights' dtype must be the current one, see `minicnn.utils.set_floatx`.
    input_dim : int, optional
        The one size of samples that are vectors.
    batch_input_shape : tuple of int or None, optional
        `input_shape` with the batch axis before it.
    """

    activation: Layer | None = None
    graph: Graph | None = None  # a model's inner graph; plans inline it
    input_count: int | None = 1  # None: any number
    holds_code: bool = False  # whether no file may name it
    acts_on_arrays: bool = False  # whether a call on arrays that does not say `training=` acts as in training
    rare_options: tuple[str, ...] = ("activity_regularizer",)  # see `layers.rare_options`

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: OpenShape | None = None,
        input_dim: int | None = None,
        batch_input_shape: OpenShape | None = None,
        dtype: str | DTypePolicy | None = None,
        **unknown: Any,
    ) -> None:
        vars(self).update(take_rare_options(self.rare_options, unknown))
        if unknown:
            raise TypeError(
                str(unknown_name(f"argument of {type(self).__name__}", next(iter(unknown)), _arguments(type(self))))
            )
        if name is not None and not (isinstance(name, str) and name and "/" not in name):
            raise ValueError(f"a name is a string, not empty and without '/'. Received: name={name!r}")
        self.name: str = unique_name(type(self).__name__) if name is None else str(name)
        self.trainable: bool = check_trainable(trainable)
        self.declared_input_shape: OpenShape | None = declared_shape(input_shape, input_dim, batch_input_shape)
        self.dtype_policy = dtype
        self.nodes: list[Node] = []
        self._weights: dict[str, Weight] = {}
        self._built, self._trained_calls = False, 0

    def __setattr__(self, name: str, value: object) -> None:
        before, value = replacing.replaced_by(self, name, value)
        super().__setattr__(name, value)
        if name[0] != "_" and before is not value:  # counted afterwards: what a thread remembers in between is void too
            Changes.count += 1
            Changes.replaced += before is not self and replacing.decides_plans(self, name)

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._built

    # ------------------------------------------------------------------------------------- to be written by a layer

    def build(self, input_shapes: Shapes) -> Shape:
        """Declare the weights for these input shapes (without the batch axis) and return the output's shape.

        Called again for every further call of the layer: `add_weight` returns what exists already.
        """
        raise NotImplementedError

    def lower(self) -> list[Step]:
        """The steps that this layer runs, one after the other."""
        return [self] if self.activation is None else [self, *self.activation.lower()]

    # ---------------------------------------------------------------------------------------------------- weights

    def add_weight(
        self,
        name: str | None = None,
        shape: Shape | None = None,
        initializer: InitializerLike = "glorot_uniform",
        has_gradient: bool = True,
        regularizer: RegularizerLike = None,
        constraint: Any = None,
        **options: Any,
    ) -> Weight:
        """Declare a weight, or get the one that a previous call declared.

        Parameters
        ----------
        name : str
            Key in ``ws.params`` and ``ws.grads``, and an attribute of the layer.
        shape : tuple of int
        initializer : str or Initializer, default "glorot_uniform"
        has_gradient : bool, default True
            False for state that `forward` keeps itself, such as moving averages.
        regularizer, constraint : optional
            A penalty on the weight; a function w → w, or its name, that is applied after every update.
        **options
            Keras's further arguments, with their defaults.

        Raises
        ------
        ShapeError
            If it exists with another shape.
        ContractError
            If the arguments are not as above.
        """
        shape = contract.check_weight(self, name, shape, options)
        if name in self._weights:
            weight = self._weights[name]
            if weight.shape != shape:
                raise ShapeError(
                    f"layer '{self.name}' was built with a {name} of shape {weight.shape}; this input needs {shape}; "
                    f"use a layer of its own for it. Received: {shape}"
                )
            return weight
        value = first_value(shape, initializers.get(initializer))
        self._weights[name] = weight = Weight(self, name, value, has_gradient, regularizers.get(regularizer))
        weight.constraint = get_constraint(constraint)
        setattr(self, name, weight)
        Changes.count += 1  # whatever it is called
        return weight

    @property
    def weights(self) -> list[Weight]:
        """All weights, trainable ones first."""
        return sorted(self._weights.values(), key=lambda w: not w.has_gradient)

    @property
    def trainable_weights(self) -> list[Weight]:
        return [w for w in self.weights if w.trainable]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        return [w for w in self.weights if not w.trainable]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights as NumPy arrays, in Keras's order and layouts; none before the layer is built."""
        with weights_at_rest:
            return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Copy arrays into the weights; all shapes are checked before the first is changed.

        Raises
        ------
        ValueError, TypeError
            If it is no list of arrays, or if their number or a shape is wrong.
        """
        self._need_weights()
        mine, arrays = self.weights, given.weight_arrays(self, weights)
        for weight, array in zip(mine, arrays, strict=True):
            weight.check(array)
        with weights_at_rest:
            for weight, array in zip(mine, arrays, strict=True):
                weight.assign(array)

    def count_params(self) -> int:
        """Number of weights' elements."""
        self._need_weights()
        return sum(w.size for w in self.weights)

    def forget_build(self) -> None:
        """Undo `build`: no weights, no places."""
        for name in self._weights:
            delattr(self, name)
        self._weights, self.nodes, self._built = {}, [], False

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"nodes": []}  # a copy has none, but for those of a graph that is copied with it

    def _need_weights(self):
        if not self.built:
            raise NotBuiltError(
                f"'{self.name}' has no weights yet, because its input shape is not known: give the model an Input or "
                "input_shape=, or call build or fit first"
            )

    # ------------------------------------------------------------------------------------------------------ calls

    @overload
    def __call__(self, inputs: Tensor | Sequence[Tensor], training: bool | None = None) -> Tensor: ...
    @overload
    def __call__(self, inputs: ArrayLike | Sequence[ArrayLike], training: bool | None = None) -> np.ndarray: ...
    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Call on symbolic tensors: a place in a graph. Call on arrays: the values, computed at once.

        Parameters
        ----------
        inputs : Tensor, array, or a list of them
        training : bool, optional
            Whether dropout, batch normalization and augmentation act as in training at this place. Default: on
            tensors, as the model is run; on arrays, no, but for augmentation layers and models of nothing else.

        Returns
        -------
        Tensor or array (a list of them from a model with several outputs)
        """
        several = isinstance(inputs, list | tuple)
        tensors, training = list(inputs) if several else [inputs], given.flag(self, training)
        if any(isinstance(t, Tensor) for t in tensors):
            node = self.call_symbolically(tensors, training)
            return node.outputs[0] if len(node.outputs) == 1 else list(node.outputs)
        return self.call_on_arrays(tensors, self.acts_on_arrays if training is None else bool(training))

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """Add a place to the graph that `tensors` belong to; `training` as for calls."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"layer '{self.name}' was given tensors and arrays together. Received: {type(tensor)}")
        shapes = tuple(t.shape[1:] for t in tensors)
        self.nodes.append(Node(self, tensors, self.build_for(shapes), training))
        return self.nodes[-1]

    def call_on_arrays(self, arrays: Sequence[ArrayLike], training: bool) -> np.ndarray:
        """Run the layer's steps at once on the current backend; returns an array of it."""
        arrays = [given.array_of(self, a) for a in arrays]
        self.build_for(tuple(a.shape[1:] for a in arrays))
        dtype = self.weights[0].value.dtype if self.weights else floatx()
        count, self._trained_calls = self._trained_calls, self._trained_calls + training
        return self.noting_penalty(self.run_alone(arrays, dtype, training, count))

    def build_for(self, input_shapes: Shapes) -> list[Shape]:
        """`build`, with the number of inputs checked and the layer named in errors. Returns the output shapes."""
        if self.input_count is not None and len(input_shapes) != self.input_count:
            raise ShapeError(f"layer '{self.name}' takes {self.input_count} input(s). Received: {len(input_shapes)}")
        try:
            output_shape = contract.built(self, input_shapes)
        except ValueError as error:
            if f"'{self.name}'" in str(error):
                raise
            raise ShapeError(f"layer '{self.name}' ({type(self).__name__}): {error}") from None
        self._built = True
        return [output_shape]

    @property
    def input(self) -> Tensor | list[Tensor]:
        """The layer's input tensor (a list for several), if it was called exactly once."""
        inputs = self._only_node("input").inputs
        return inputs[0] if len(inputs) == 1 else list(inputs)

    @property
    def output(self) -> Tensor | list[Tensor]:
        """The layer's output tensor, if it was called exactly once."""
        outputs = self._only_node("output").outputs
        return outputs[0] if len(outputs) == 1 else list(outputs)

    def _only_node(self, what) -> Node:
        if len(self.nodes) != 1:
            raise AttributeError(f"layer '{self.name}' was called {len(self.nodes)} times: it has no single {what}")
        return self.nodes[0]

    # ----------------------------------------------------------------------------------------------------- config

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with which `from_config` makes an equal layer."""
        config = super().get_config() | {"name": self.name, "trainable": self.trainable} | self.policy_config()
        config.pop("input_shape", None)  # a subclass may have a property of this name, which is not the argument
        if self.declared_input_shape is not None:
            config["input_shape"] = list(self.declared_input_shape)
        return config | {name: written(value) for name in self.rare_options if (value := getattr(self, name))}


Examples = Iterator[tuple[Layer, list[Shape]]]  # what `examples` of a layer yields: layers, and their input shapes

_registry = Registry("layer", Layer)


def register(*aliases: Any) -> Any:
    """Class decorator: let files name the class, and ``@register("name", …)`` by further names too."""
    return _registry.register(*aliases)


def get(identifier: Any) -> Layer:
    """A layer from its name, an instance, a class or a config; errors as of `Registry.get`.

    Parameters
    ----------
    identifier : str, Layer, class, dict
        A name, an object, its class, or a configuration.
    """
    return _registry.get(identifier)


def _arguments(cls):
    """Names of all arguments that a layer's constructor takes."""
    own = [p.name for p in constructor_parameters(cls) if p.kind is not p.VAR_KEYWORD]
    return [*own, *cls.rare_options, "name", "trainable", "input_shape", "input_dim", "batch_input_shape", "dtype"]
