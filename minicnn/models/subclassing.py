"""Models as subclasses with a `call`, as in Keras: it is run once with symbolic tensors, which gives the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from inspect import signature
from typing import Any

import numpy as np

from minicnn.errors import ContractError
from minicnn.graph import Graph, Node, Tensor
from minicnn.last_function import FUNCTIONS, OF_OPERATIONS
from minicnn.layers.added_loss import ToMeasure, with_losses
from minicnn.layers.base import Layer
from minicnn.layers.call_order import in_call_order
from minicnn.layers.input import Input
from minicnn.layers.names import unique_name
from minicnn.losses.of_calls import has_call
from minicnn.models.again import on_host
from minicnn.models.config import STRUCTURE, own_arguments
from minicnn.models.input_gradients import Differentiable
from minicnn.models.phases import in_both_phases
from minicnn.models.pictures import OfPictures
from minicnn.models.unread import nodes_beside, running
from minicnn.nested import leaves, mapped
from minicnn.plan.runs import looked_behind
from minicnn.training import compiled
from minicnn.training.streams import first_batch, sample_shape_of

STEPS = ("train_step", "test_step", "predict_step", "make_train_function", "make_test_function", "compute_loss")
"""Methods with which Keras's models take over what an iteration is."""


class Written(OfPictures, Differentiable):
    """A model that may be a subclass with ``call(self, inputs, training=None)``, which composes layers.

    The layers are made in the constructor. The graph comes from one run of `call`, when the model is first built,
    called or given data; files hold it as a functional model.

    Raises
    ------
    ContractError
        If `call` does something else in training than to leave out or put in layers such as dropout.
    """

    refused_steps: tuple[str, ...] = STEPS
    _added_losses: list[Any] | None = None  # while `call` runs

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        written = [name for name in cls.refused_steps if name in vars(cls)]
        if written:
            raise NotImplementedError(
                f"{written[0]} of a model cannot be written here, since the iterations are the library's: a subclass "
                "of minicnn.keras.Model may have train_step, test_step and the like, with tf.GradientTape. Often a "
                "loss of one's own is enough, a function in compile or self.add_loss(…) in call. "
                f"Received: class {cls.__name__} with {', '.join(written)}"
            )
        if "call" in vars(cls):
            cls.saved_as = "Functional"

    def _start_written(self, name):
        """Begin without a graph, for a subclass with `call`."""
        if not self.has_own_steps and not hasattr(self, "call"):
            raise TypeError(
                "Model needs inputs= and outputs=, tensors from Input and layer calls; use Sequential for a stack, or "
                "write a subclass with a method call(self, inputs)"
                f"{' in the place of forward' if 'forward' in vars(type(self)) else ''}. Received: neither"
            )
        Layer.__init__(self, name=name or unique_name(type(self).__name__))
        self._start_untrained()

    def logits_of(self, graph: Graph, with_loss: bool) -> Sequence[Collection[str] | None] | None:
        """For each output, the final activations that its loss, or a call on arrays, looks behind; see `Plan`."""
        if not with_loss:
            return None
        pairs = zip(self.compiled.losses, looked_behind(graph), strict=True)
        of_calls = {True: FUNCTIONS, False: OF_OPERATIONS}  # by whether it may look behind a step of the library's
        return [of_calls[bool(names)] if has_call(loss) else loss.takes_logits_of for loss, names in pairs]

    def read_outputs(self, bound: Any) -> list[np.ndarray]:
        """Hook: what a call on arrays gives, of the `BoundPlan` that it was computed by."""
        return on_host(bound)

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Call on tensors or arrays; the first call builds the model."""
        if self.graph is None and hasattr(self, "call"):
            self._trace(mapped(lambda x: Input(np.shape(x)[1:] if not isinstance(x, Tensor) else x.shape[1:]), inputs))
        return super().__call__(inputs, training)

    def build(self, input_shape: Sequence[Any] | None = None) -> None:
        """Make the weights for inputs of this shape, with the batch axis; a list of shapes for several inputs."""
        if self.graph is None and hasattr(self, "call") and input_shape is not None:
            several = isinstance(input_shape[0], list | tuple)
            self._trace([Input(tuple(s)[1:]) for s in input_shape] if several else Input(tuple(input_shape)[1:]))

    def build_for(self, input_shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        if self.graph is None and hasattr(self, "call"):
            inputs = [Input(shape) for shape in input_shapes]
            self._trace(inputs if len(inputs) > 1 else inputs[0])
        return super().build_for(input_shapes)

    def _build_from_data(self, x: Any) -> Any:
        """Hook for models that learn their input shape from the data; returns the data."""
        if self.graph is not None or not hasattr(self, "call"):
            return x
        x, first = first_batch(x)
        if isinstance(first, dict | list | tuple) and first and all(hasattr(part, "shape") for part in leaves(first)):
            self._trace(mapped(lambda part: Input(part.shape[1:] or (1,)), first))
        else:
            self._trace(Input(sample_shape_of(first) or (1,)))
        return x

    def _trace(self, inputs):
        """Run `call` and keep the graph between its inputs and what it returned."""
        names = signature(self.call).parameters
        takes_training = "training" in names or any(p.kind is p.VAR_KEYWORD for p in names.values())
        if takes_training:
            since, graph = in_both_phases(
                lambda training: (next(Node.numbers), self._outcome(inputs, training=training)),
                lambda made: (made[1].nodes, made[1].outputs),
                f"model '{self.name}' ({type(self).__name__})",
                self._own_layers,
            )
        else:
            since = next(Node.numbers)
            graph = self._outcome(inputs)
        if beside := nodes_beside(graph, dict.fromkeys(layers_in(list(vars(self).values()))), since):
            for node in beside if takes_training else ():
                node.training = None if node.training else node.training  # it was run as in training
            graph = in_call_order(graph, beside)
        self.graph: Graph | None = graph
        self._check_layers()
        told, self._told = self._told, None
        if told is not None:  # now that the outputs are known: what `compile` was told, for each of them
            self.compiled: compiled.Compiled | None = compiled.check_compile_arguments(self, *told)

    def _outcome(self, inputs, **options) -> Graph:
        """The graph that one run of `call` makes."""
        self._added_losses: list[Any] | None = []
        try:
            outputs = self.call(inputs, **options)
        except Exception:
            self._added_losses = None
            raise
        if not all(isinstance(output, Tensor) for output in leaves(outputs)):
            raise ContractError(
                f"call of model '{self.name}' ({type(self).__name__}) returns what layers made of its inputs, in lists "
                f"and dicts at most. Received: {type(outputs).__name__}"
            )
        return self._with_losses(inputs, outputs, self._taken_losses())

    def _graph_of(self, inputs: Any, outputs: Any) -> Graph:
        """The graph between tensors; that of a `call` runs in its order."""
        graph = super()._graph_of(inputs, outputs)
        return in_call_order(graph) if hasattr(self, "call") else graph

    def _taken_losses(self) -> list[Any]:
        """What `add_loss` was given since `call` began."""
        taken, self._added_losses = self._added_losses, None
        return taken or []

    def add_loss(self, losses: Any, **options: Any) -> None:
        """Make what the model computes a part of its loss: in `call`, or of a model that is built.

        Parameters
        ----------
        losses : Tensor, what `keras.ops.mean` or `sum` gave for one, or a list of them
            Of a tensor all numbers are added up, as in Keras.
        **options
            Keras's further arguments, such as ``inputs``, change nothing.

        Raises
        ------
        NotBuiltError
            Before the model is built, other than in `call`.
        TypeError
            If it is not computed of the model's tensors.
        """
        losses = list(losses) if isinstance(losses, list | tuple) else [losses]
        if self._added_losses is not None:
            self._added_losses.extend(losses)
            return
        before = self.graph
        self.graph: Graph | None = self._with_losses(self.input_structure, self.output_structure, losses)
        running(self, [] if before is None else before.nodes)
        self._check_layers()
        if self._engine is not None:
            self._engine = self._engine.renewed(keeps_state=True)

    def _with_losses(self, inputs, outputs, losses) -> Graph:
        """The graph between tensors, in which the first output has the losses with it."""
        first = leaves(outputs)[0]
        return self._graph_of(inputs, mapped(lambda t: with_losses(t, losses) if t is first else t, outputs))

    def add_metric(self, value: Any, *args: Any, **options: Any) -> None:
        """Have what the model computes averaged in the logs, as Keras 2 did: in `call`, or of a model that is built.

        Parameters
        ----------
        value : Tensor, or what `keras.ops.mean` or `sum` gave for one
            Of a tensor each number counts; a mean or a sum counts once for each batch.
        *args, **options
            ``name="kl"``, the name in the logs; ``aggregation="mean"`` is what there is.

        Raises
        ------
        NotBuiltError
            Before the model is built, other than in `call`.
        TypeError, ValueError
            If it is not computed of the model's tensors, or has no name.
        """
        self.add_loss(ToMeasure.of(value, *args, **options))

    def _own_layers(self) -> list[Layer]:
        """The layers there are, also before the model is built: those in attributes, lists and dicts."""
        graph = vars(self).get("graph")
        return list(dict.fromkeys(layers_in(list(vars(self).values())))) if graph is None else graph.layers

    @classmethod
    def _made_from(cls, config: Any) -> Any:
        """Hook: the model of a config.

        Of a subclass with `call` it is a plain one, since the config has the graph; where `get_config` has given
        arguments of its own, it is made from these, and not built, as in Keras.
        """
        plain = next(base for base in cls.__mro__ if not hasattr(base, "call"))
        if plain is cls:
            return super()._made_from(config)
        has_own = not set(config) <= set(STRUCTURE)
        return cls(**own_arguments(cls, config)) if has_own else plain._made_from(config)


def layers_in(values: Iterable[Any]) -> Iterator[Layer]:
    """Layers in nested lists and dicts."""
    for value in values:
        if isinstance(value, Layer):
            yield value
        elif isinstance(value, list | tuple):
            yield from layers_in(value)
        elif isinstance(value, dict):
            yield from layers_in(value.values())
