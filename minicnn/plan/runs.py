"""Runs of a graph that can be gone back through later: each keeps its values, and the weights as they were.

What an iteration of `fit` does needs none of it. Here somebody else says what the outputs are for: several runs wait at
the same time for their gradients, those of a discriminator on real and on made pictures, while weights may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.graph import Graph, Tensor
from minicnn.layers.open_sizes import sized
from minicnn.layers.spectral_normalization import Normalizing
from minicnn.parameters import ParameterStore, Weight
from minicnn.plan.casting import MIXED
from minicnn.plan.ends import end, heads
from minicnn.plan.inside import by_inputs, load, look_inside
from minicnn.plan.plan import BoundPlan, Plan
from minicnn.plan.program import lower
from minicnn.settings import floatx
from minicnn.step import Changes, Step
from minicnn.threads import compute_threads
from minicnn.turns import weights_at_rest

if TYPE_CHECKING:
    from minicnn.backends.base import Backend

MAX_PLANS = 8  # without a run, that are kept for the next one
LOOKED_BEHIND = ("softmax", "sigmoid")  # at the end of a graph: gradients of runs begin before these
FIRST_RUN = 2**41  # the random numbers of runs lie away from those of iterations and of calls


class Gradients(NamedTuple):
    """What a run's backward pass gives.

    Attributes
    ----------
    weights : dict
        Trainable weight → array like it.
    inputs : list of array
        Like the inputs.
    """

    weights: dict[Weight, np.ndarray]
    inputs: list[np.ndarray]


class Done(NamedTuple):
    """What was run, for who computes the same in another way.

    Attributes
    ----------
    graph : Graph
    backend : Backend
    arrays : list of array (N, …)
        The inputs.
    weights : dict
        Weight → array on the host, as it was before the run.
    seed, iteration : int
        Of the random numbers.
    """

    graph: Graph
    backend: Backend
    arrays: list[np.ndarray]
    weights: dict[Weight, np.ndarray]
    seed: int
    iteration: int


class Cut(NamedTuple):
    """A graph of known sizes, its stages, see `in_stages`, and the ends of each, see `ends_of`."""

    whole: Graph
    stages: list[Graph]
    ends: list[list[Step | None]]


class Runs:
    """Makes runs of one graph, and keeps the plans of those that are over.

    Parameters
    ----------
    graph : Graph
    seed : int
        Of dropout and the like; every run has other numbers.

    Attributes
    ----------
    added : list
        For who has the runs: what layers added to the loss of the last one.
    """

    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph: Graph = graph
        self.seed: int = seed
        self.added: list[Any] = []
        self._stages: dict[Any, Cut] = {}
        self._free: dict[Any, Plan] = {}  # key and number → plan
        self._replaced = Changes.replaced
        self._count = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """What has runs makes others where it is a copy."""
        return type(None), ()

    def cut(self, shapes: Sequence[tuple[int, ...]], training: bool) -> Cut:
        """The graph for inputs of these shapes, cut by `in_stages`.

        Parameters
        ----------
        shapes : sequence of tuple
            Without the batch axis.
        training : bool
            Whether layers act as in training, where their calls do not say.
        """
        if self._replaced != Changes.replaced:  # another activation is another step
            self._replaced = Changes.replaced
            self._stages.clear()
            self._free.clear()
        key = tuple(shapes), training
        if key not in self._stages:
            graph = sized(self.graph, key[0]) if training else look_inside(self.graph, key[0]).graph
            stages = in_stages(graph)
            self._stages[key] = Cut(graph, stages, [ends_of(stage) for stage in stages])
        return self._stages[key]

    def begin(self, stage: Graph, arrays: Sequence[np.ndarray], backend: Backend, input_gradients: bool) -> Run:
        """Run a stage forward, and write back what its layers keep, such as moving averages.

        Parameters
        ----------
        stage : Graph
            Of `cut`.
        arrays : sequence of array (N, …)
        backend : Backend
        input_gradients : bool
            Whether those by the inputs may be asked for.
        """
        trainable = tuple(w.layer.trainable for layer in stage.layers for w in layer.weights)
        key = stage, backend.name, trainable, Changes.replaced, input_gradients
        plan = self._taken(key, len(arrays[0])) or _new_plan(stage, arrays, backend, self.seed, input_gradients)
        self._count += 1
        return Run(self, key, plan, arrays, FIRST_RUN + self._count)

    def _taken(self, key, count) -> Plan | None:
        """A plan that is free, and large enough."""
        free = list(self._free.items())  # a run that is collected, or ends in another thread, gives its plan back
        found = next((k for k, plan in free if k[0] == key and plan.batch_size >= count), None)
        return None if found is None else self._free.pop(found, None)

    def give_back(self, key: Any, plan: Plan) -> None:
        """A run is over: its plan may serve another one."""
        for old in list(self._free)[: max(0, len(self._free) + 1 - MAX_PLANS)]:
            self._free.pop(old, None)
        self._free[key, id(plan)] = plan


def _new_plan(stage, arrays, backend, seed, input_gradients):
    """A plan with copies of the weights."""
    weights = list(dict.fromkeys(w for layer in stage.layers for w in layer.weights))
    store = ParameterStore(weights, backend, weights[0].value.dtype if weights else floatx(), adopt=False)
    return Plan(stage, store, len(arrays[0]), True, looked_behind(stage), seed, input_gradients=input_gradients)


class Run:
    """A run of a graph.

    Parameters
    ----------
    runs : Runs
    key : object
        Under which `runs` keeps the plan.
    plan : Plan
        For this run alone, until `end`.
    arrays : sequence of array (N, …)
    iteration : int
        Of the random numbers.

    Attributes
    ----------
    outputs : list of array (N, …), on the host
    logits : list of array (N, …), on the host, or None
        What a softmax or sigmoid gave an output of, see `ends_of`; None for others.
    penalty : float or None
        What layers add to the loss, such as `activity_regularizer`; None if none does.
    weights : list of Weight
        The trainable ones.
    frozen : list of Weight
        The others.
    """

    def __init__(self, runs: Runs, key: Any, plan: Plan, arrays: Sequence[np.ndarray], iteration: int) -> None:
        self._runs, self._key, self._iteration, self._arrays = runs, key, iteration, list(arrays)
        self._plan: Plan | None = plan
        self._bound: BoundPlan = plan.bind(len(arrays[0]))
        store = plan.store
        with weights_at_rest:
            for weight, view in store.values.items():
                is_there = isinstance(weight.value, store.backend.xp.ndarray)
                view[...] = weight.value if is_there else store.backend.asarray(weight.numpy())
        self._sigma = store.sigma.copy()
        self._forward()
        divided = {p.step.layer.kernel for p in plan.places if isinstance(p.step, Normalizing)}
        state = [w for w in store.weights if not w.has_gradient or w in divided]
        has_moved = (store.sigma != self._sigma).any()
        for weight in state if has_moved else divided:
            weight.assign(store.backend.to_host(store.values[weight]))
        self.outputs: list[np.ndarray] = [store.backend.to_host(output) for output in self._bound.outputs]
        heads = zip(self._bound.heads, self._bound.plan.ends, strict=True)
        self.logits: list[np.ndarray | None] = [
            store.backend.to_host(z) if is_before else None for z, is_before in heads
        ]
        has_penalty = any(step.place.step.has_penalty for step in self._bound.forward_steps)
        self.penalty: float | None = float(self._bound.penalty()) if has_penalty else None
        self.weights: list[Weight] = [w for w in store.weights if w.trainable]
        self.frozen: list[Weight] = [w for w in store.weights if not w.trainable]

    def _forward(self):
        """Compute all values, again if a backward pass has overwritten them."""
        with compute_threads(self._plan.backend):
            load(self._bound, self._arrays)
            self._bound.forward(self._iteration)
        self._is_fresh = True

    def gradients(self, by_outputs: Sequence[np.ndarray | None], by_penalty: float = 0.0) -> Gradients:
        """The gradients of a number by weights and inputs.

        Parameters
        ----------
        by_outputs : sequence of array or None
            Its gradient by each output, or by its `logits`; None for 0.
        by_penalty : float, default 0
            Its gradient by `penalty`.

        Raises
        ------
        RuntimeError
            After `end`.
        """
        if self._plan is None:
            raise RuntimeError("the run is over, and its values are gone. Received: a call of gradients")
        found = self._backward(by_outputs)
        if self.penalty is None or by_penalty == 1:
            return found
        alone = self._backward([None] * len(by_outputs))  # what plans add for penalties, whatever the outputs are for
        weights = {w: g + (by_penalty - 1) * alone.weights[w] for w, g in found.weights.items()}
        inputs = [g + (by_penalty - 1) * own for g, own in zip(found.inputs, alone.inputs, strict=True)]
        return Gradients(weights, inputs)

    def _backward(self, by_outputs) -> Gradients:
        bound, store = self._bound, self._plan.store
        if not self._is_fresh:
            store.sigma[...] = self._sigma
            self._forward()
        self._is_fresh = False
        for place, gradient in zip(bound.head_gradients, by_outputs, strict=True):
            if place is not None:
                store.backend.load(place, 0 if gradient is None else gradient)
        with compute_threads(store.backend):
            bound.backward()
        weights = {w: store.backend.to_host(store.gradients[w]) for w in self.weights}
        return Gradients(weights, by_inputs(bound) if self._key[-1] else [])

    def done(self) -> Done:
        """What was run."""
        store = self._plan.store
        now, store.sigma[...] = store.sigma.copy(), self._sigma
        weights = {w: np.array(store.backend.to_host(value)) for w, value in store.values.items()}
        store.sigma[...] = now
        return Done(self._key[0], store.backend, self._arrays, weights, self._plan.seed, self._iteration)

    def end(self) -> None:
        """Let go of the values; another run may have their memory."""
        if self._plan is not None:
            self._runs.give_back(self._key, self._plan)
            self._plan = self._bound = None
            self._arrays, self.outputs = [], []

    def __del__(self) -> None:
        if getattr(self, "_plan", None) is not None:
            self.end()


def ends_of(graph: Graph, training: bool = True) -> list[Step | None]:
    """For each output of a graph, the softmax or sigmoid that gives it, if it computes in the dtype of models.

    Parameters
    ----------
    graph : Graph
    training : bool, default True
        Whether layers act as in training, where their calls do not say: a Dropout at rest hands on what it is given.
    """
    program = lower(graph)
    pairs = zip(program.outputs, heads(program, [LOOKED_BEHIND] * len(program.outputs), training), strict=True)
    ends = [None if head == output else end(program, output, training) for output, head in pairs]
    return [place.step if place is not None and place.dtype != MIXED else None for place in ends]


def looked_behind(graph: Graph) -> list[tuple[str, ...]]:
    """The `logits_of` for a plan, in training or not: the functions of `ends_of`."""
    return [() if end is None else LOOKED_BEHIND for end in ends_of(graph, training=False)]


def in_stages(graph: Graph) -> list[Graph]:
    """A graph cut behind every output of which another one is computed, so that gradients by it can be asked for.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    list of Graph
        To be run in this order: each begins with the graph's inputs and what those before gave, and no call of a layer
        is in two of them. The graph itself, where no output is computed of another one.
    """
    level = _levels(graph)
    last = max(level.values(), default=0)
    return [graph] if last == 0 else [_stage(graph, level, number) for number in range(last + 1)]


def _levels(graph) -> dict[Any, int]:
    """Node → how many outputs of the graph lie one behind the other before it."""
    starts, ends = {t.node for t in graph.inputs}, set(graph.outputs)
    level = {node: 0 for node in graph.nodes if node in starts}
    for node in graph.nodes:
        if node not in starts:
            before = (level[t.node] + (t in ends and t.node not in starts) for t in node.inputs)
            level[node] = max(before, default=0)
    return level


def _stage(graph, level, number) -> Graph:
    """The calls of one level, between what they read from below and what is read above."""
    starts = {t.node for t in graph.inputs}
    own = [node for node in graph.nodes if level[node] == number and node not in starts]
    read = _unique(t for node in own for t in node.inputs if level[t.node] < number or t.node in starts)
    above = {t.node for node in graph.nodes if level[node] > number for t in node.inputs}
    ends = {t.node for t in graph.outputs}
    made = [t for node in own if node in above or node in ends for t in node.outputs]
    return Graph(_unique(other for t in read for other in t.node.outputs), made)


def _unique(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list(dict.fromkeys(tensors))
