"""A layer with data for it, and a way to run a piece of a graph in a plan of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace

import numpy as np

from minicnn import backends
from minicnn.errors import ContractError
from minicnn.graph import Graph
from minicnn.layers.base import Layer
from minicnn.layers.input import Input
from minicnn.parameters import ParameterStore
from minicnn.plan.plan import Plan
from minicnn.step import Shape
from minicnn.threads import compute_threads

SPREAD = 0.4  # random weights lie so far around their first values: around 1, they stay positive
TINY = 1e-30  # in the place of 0, by which nothing is divided


def tie_free(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random numbers in (-1, 1) that are all different, by much more than float32's resolution, and none of them 0."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) + 0.37) * 2 / size - 1


def graph_of(layer: Layer, shapes: Iterable[Shape]) -> Graph:
    """The graph of one call of a layer."""
    inputs = [Input(shape) for shape in shapes]
    return Graph(inputs, layer.call_symbolically(inputs).outputs)


class Case:
    """A layer in a graph of its own, with random weights: also those that start as zeros or ones hide mistakes.

    Parameters
    ----------
    layer : Layer
    shapes : list of tuple of int
        Of its inputs, without the batch axis.
    seed : int
    independent : bool, optional
        Whether samples do not see each other in training; default: if nothing speaks against it.
    """

    def __init__(self, layer: Layer, shapes: list[Shape], seed: int = 0, independent: bool | None = None) -> None:
        self.layer: Layer = layer
        self.shapes: list[Shape] = shapes
        self.seed: int = seed
        self.rng: np.random.Generator = np.random.default_rng(seed)
        self.graph: Graph = graph_of(layer, shapes)
        for weight in layer.weights:
            weight.assign(weight.numpy() + self.rng.uniform(-SPREAD, SPREAD, weight.shape))
        self.has_state: bool = not all(weight.has_gradient for weight in layer.weights)
        draws = any(step.only_in_training for step in layer.lower())
        self.independent: bool = not (self.has_state or draws) if independent is None else independent
        self.who: str = f"layer '{layer.name}' ({type(layer).__name__})"

    @property
    def one_or_list(self) -> Shape | list[Shape]:
        """The shapes as `gradcheck` takes them."""
        return self.shapes if len(self.shapes) > 1 else self.shapes[0]

    def data(self, count: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """(inputs, gradients of the outputs), float64."""
        xs = [tie_free(self.rng, count, *t.shape[1:]) for t in self.graph.inputs]
        return xs, [self.rng.normal(size=(count, *t.shape[1:])) for t in self.graph.outputs]

    def demand(self, condition: bool, promise: str, received: str) -> None:
        """Raise `ContractError` unless the condition holds."""
        if not condition:
            raise ContractError(f"{self.who}: {promise}. Received: {received}")

    def equal(self, actual: np.ndarray | None, expected: np.ndarray | None, promise: str) -> None:
        """Demand the same numbers to the last bit; NaN is NaN."""
        if actual is not None or expected is not None:
            same = np.array_equal(np.asarray(actual), np.asarray(expected), equal_nan=True)
            self.demand(same, promise, "other numbers")

    def close(
        self, actual: np.ndarray, expected: np.ndarray, tolerance: float, promise: str, least: float = TINY
    ) -> None:
        """Demand max|a − b| ≤ tolerance · max|b|, or · `least` where that is more."""
        actual, expected = np.asarray(actual), np.asarray(expected)
        self.demand(actual.shape == expected.shape, promise, f"shapes {actual.shape} and {expected.shape}")
        differs = ~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
        error = np.abs(actual[differs] - expected[differs]).max(initial=0)
        scale = max(np.abs(expected[np.isfinite(expected)]).max(initial=0), least)
        self.demand(error <= tolerance * scale, promise, f"a relative difference of {error / scale:.1e}")


def run(
    graph: Graph,
    xs: Sequence[np.ndarray],
    dys: Sequence[np.ndarray] | None = None,
    backend: str = "numpy",
    training: bool = True,
    fuses: bool | None = None,
    dtype: str = "float32",
    batch: int | None = None,
    wanted: bool = True,
    memory: Callable[[Plan], object] | None = None,
) -> SimpleNamespace:
    """Run a graph forward (and backward, given the gradients `dys` of its outputs) in a plan of its own.

    Parameters
    ----------
    graph : Graph
    xs, dys : lists of array
        Inputs; gradients of the outputs, none for a forward pass alone.
    backend, training, fuses, dtype :
        As for a plan and its store.
    batch : int, optional
        The plan's batch size; default: as many samples as there are.
    wanted : bool
        Whether the gradients of the inputs are computed.
    memory : callable, optional
        Called with the plan before it runs.

    Returns
    -------
    namespace
        outputs, dxs : lists of arrays; grads, state : path → array; plan.
    """
    weights = list(dict.fromkeys(w for layer in graph.layers for w in layer.weights))
    store = ParameterStore(weights, backends.get(backend), dtype, adopt=False)
    plan = Plan(graph, store, batch or len(xs[0]), training, None, 7, fuses, wanted)
    bound = plan.bind(len(xs[0]))
    _poison(store)
    if memory is not None:
        memory(plan)
    result = SimpleNamespace(plan=plan, bound=bound, store=store, backend=store.backend, dxs=[], grads={})
    with compute_threads(store.backend):
        _forward(result, xs)
        if dys is not None:
            _backward(result, dys)
    result.state = {w.path: store.backend.to_host(store.values[w]) for w in weights if not w.has_gradient}
    return result


def sizes_of_parts(
    graph: Graph, xs: Sequence[np.ndarray], dys: Sequence[np.ndarray] | None, gradients: dict[str, np.ndarray]
) -> dict[str, float]:
    """Path → Σ |part of a sample|, of gradients that are one number, whose parts may nearly cancel out.

    Parameters
    ----------
    graph, xs, dys :
        As for `run`.
    gradients : dict
        Path → array.
    """
    sizes = {path: TINY for path, gradient in gradients.items() if gradient.size == 1}
    for sample in range(len(xs[0])) if sizes else ():
        own = [np.zeros_like(dy) for dy in dys or ()]
        for part, dy in zip(own, dys or (), strict=True):
            part[sample] = dy[sample]
        found = run(graph, xs, own, "numpy").grads
        sizes = {path: size + abs(found[path].item()) for path, size in sizes.items()}
    return sizes


def _forward(result, xs):
    """Adds the outputs, and the inputs as they are afterwards: only training keeps these."""
    bound, backend = result.bound, result.backend
    for array, x in zip(bound.inputs, xs, strict=True):
        backend.load(array, x)
    bound.forward(3)
    result.outputs = [backend.to_host(o) for o in bound.outputs]
    result.inputs_after = [backend.to_host(a) for a in bound.inputs] if result.plan.training else None


def _backward(result, dys):
    """Adds the gradients."""
    bound, backend = result.bound, result.backend
    for gradient, dy in zip(bound.head_gradients, dys, strict=True):
        if gradient is not None:
            backend.load(gradient, dy)
    bound.backward()
    result.dxs = [None if g is None else backend.to_host(g) for g in bound.input_gradients]
    result.grads = {w.path: backend.to_host(g) for w, g in result.store.gradients.items() if w.trainable}


def _poison(store):
    """Gradients are assigned, never added to: NaN before, but for frozen weights, which nothing writes."""
    store.grad.fill(np.nan)
    for weight, gradient in store.gradients.items():
        if not weight.trainable:
            gradient.fill(0)
