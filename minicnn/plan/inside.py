"""The values inside a network, and the gradients by any of them, for some samples; the network stays as it is.

Models that are used as layers are opened: every call of a layer has a path, "base/conv2d". All layers act as in use: no
dropout, no augmentation, moving averages instead of a batch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minicnn.backends.base import Backend
from minicnn.graph import Graph, Node, Tensor
from minicnn.layers.base import Layer
from minicnn.layers.open_sizes import of_sizes
from minicnn.parameters import BorrowedWeights, ParameterStore
from minicnn.plan.plan import BoundPlan, Plan
from minicnn.settings import floatx
from minicnn.threads import compute_threads

FINAL_ACTIVATIONS = frozenset({"softmax", "sigmoid"})
"""What the scores of classes are found behind."""

Weigh = Callable[[list[np.ndarray], slice], list[np.ndarray | None]]
"""(values of the outputs, which samples they are) → the gradient of the wanted number by each output; None for 0."""


@dataclass(eq=False)
class Inside:
    """A graph without models in it.

    Attributes
    ----------
    graph : Graph
        Of known sizes; every call acts as in use.
    tensors : dict
        Path → what this call of a layer, or of a model inside, gives. A second call is "path (call 2)".
    layers : dict
        Path → the layer.
    """

    graph: Graph
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)

    def between(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Graph:
        """The part from some values, and the network's inputs, to others."""
        return Graph([*inputs, *self.graph.inputs], outputs)


def look_inside(graph: Graph, input_shapes: Sequence[tuple[int, ...]]) -> Inside:
    """Open a graph for inputs of these shapes (without the batch axis).

    Raises
    ------
    ShapeError
        Naming a layer that these sizes do not suit.
    """
    inputs = [
        Node(tensor.node.layer, (), [tuple(shape)]).outputs[0]
        for tensor, shape in zip(graph.inputs, input_shapes, strict=True)
    ]
    inside = Inside(graph)
    outputs = _open(graph, inputs, inside, "")
    inside.graph = Graph(inputs, outputs)
    return inside


def _open(graph, inputs, inside, prefix) -> list[Tensor]:
    """Repeat a graph's calls on other tensors; returns its outputs."""
    tensors, starts = dict(zip(graph.inputs, inputs, strict=True)), {tensor.node for tensor in graph.inputs}
    for node in graph.nodes:
        if node in starts:
            continue
        given = [tensors[tensor] for tensor in node.inputs]
        path = _new_path(f"{prefix}{node.layer.name}", inside.layers)
        inside.layers[path] = node.layer
        inner = of_sizes(node.layer.graph, [tensor.shape[1:] for tensor in given])
        if inner is None:
            shapes = node.layer.build_for(tuple(tensor.shape[1:] for tensor in given))
            outputs = Node(node.layer, given, shapes, node.training or False).outputs
        else:
            outputs = _open(inner, given, inside, f"{path}/")
        inside.tensors[path] = outputs[0]
        tensors.update(zip(node.outputs, outputs, strict=True))
    return [tensors[tensor] for tensor in graph.outputs]


def _new_path(path, taken) -> str:
    """The path, numbered from the second call on."""
    number = 1
    while (name := f"{path} (call {number})" if number > 1 else path) in taken:
        number += 1
    return name


def values(
    graph: Graph, store: ParameterStore | BorrowedWeights, arrays: Sequence[np.ndarray], batch_size: int = 32
) -> list[np.ndarray]:
    """What a graph gives for some samples.

    Parameters
    ----------
    graph : Graph
        Of known sizes.
    store : ParameterStore or BorrowedWeights
        Of an engine.
    arrays : sequence of array (N, …)
        One for each input.
    batch_size : int, default 32

    Returns
    -------
    list of array (N, …), on the host
    """
    plan = Plan(graph, store, min(batch_size, len(arrays[0])), training=False)
    with compute_threads(store.backend):
        parts = [_outputs(bound, store.backend) for _, bound in _batches(plan, arrays)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _batches(plan, arrays):
    """(which samples, a plan's arrays in which they are) of batch after batch, computed forward."""
    for start in range(0, len(arrays[0]), plan.batch_size):
        batch = [array[start : start + plan.batch_size] for array in arrays]
        bound = plan.bind(len(batch[0]))
        load(bound, batch)
        bound.forward()
        yield slice(start, start + len(batch[0])), bound


def load(bound: BoundPlan, arrays: Sequence[np.ndarray]) -> None:
    """Put samples into a plan's input arrays, cast."""
    for place, array in zip(bound.inputs, arrays, strict=True):
        bound.plan.backend.load(place, array)


def _outputs(bound, backend):
    return [backend.to_host(output) for output in bound.outputs]


def gradient_plan(graph: Graph, backend: Backend, batch_size: int, logits_of: Sequence = ()) -> Plan:
    """A plan with copies of the weights, whose backward pass computes the gradients by the graph's inputs.

    Parameters
    ----------
    graph : Graph
        Of known sizes.
    backend : Backend
    batch_size : int
    logits_of : sequence, optional
        See `Plan`.
    """
    weights = list(dict.fromkeys(w for layer in graph.layers for w in layer.weights))
    store = ParameterStore(weights, backend, weights[0].value.dtype if weights else floatx(), adopt=False)
    return Plan(graph, store, batch_size, True, logits_of or None, input_gradients=True)


def pull_back(
    graph: Graph,
    backend: Backend,
    arrays: Sequence[np.ndarray],
    weigh: Weigh,
    before_activation: bool = False,
    batch_size: int = 32,
) -> list[np.ndarray]:
    """The gradients of a number, a function of a graph's outputs, by the graph's inputs.

    Parameters
    ----------
    graph : Graph
        Of known sizes.
    backend : Backend
    arrays : sequence of array (N, …)
        One for each input.
    weigh : callable
        See `Weigh`.
    before_activation : bool, default False
        Whether the outputs are those before a final softmax or sigmoid.
    batch_size : int, default 32

    Returns
    -------
    list of array (N, …), on the host
        One for each input; 0 where the number does not depend on it.
    """
    behind = FINAL_ACTIVATIONS if before_activation else ()
    plan = gradient_plan(graph, backend, min(batch_size, len(arrays[0])), [behind] * len(graph.outputs))
    found = []
    with compute_threads(backend):
        for samples, bound in _batches(plan, arrays):
            gradients = weigh([backend.to_host(head) for head in bound.heads], samples)
            found.append(_backward(bound, gradients))
            if any(step.place.step.has_penalty for step in bound.forward_steps):
                bound.forward()
                alone = _backward(bound, [None] * len(gradients))  # what penalties add, whatever the outputs are for
                found[-1] = [both - own for both, own in zip(found[-1], alone, strict=True)]
    return [np.concatenate(part) for part in zip(*found, strict=True)]


def _backward(bound, gradients) -> list[np.ndarray]:
    """The gradients by the inputs, from those by the heads."""
    for place, gradient in zip(bound.head_gradients, gradients, strict=True):
        if place is not None:
            bound.plan.backend.load(place, 0 if gradient is None else gradient)
    bound.backward()
    return by_inputs(bound)


def by_inputs(bound: BoundPlan) -> list[np.ndarray]:
    """The gradients by a plan's inputs, on the host, after its backward pass."""
    pairs = zip(bound.input_gradients, bound.inputs, strict=True)
    to_host = bound.plan.backend.to_host
    return [to_host(x) * 0 if gradient is None else to_host(gradient) for gradient, x in pairs]
