"""A graph made ready to run: steps in order, every buffer allocated, gradients wired up.

A plan is made once for a batch size and run many times: ``forward()`` runs the steps, ``backward()`` runs them in
reverse. Nothing is allocated in between, nothing is recorded, nothing has to be zeroed: steps assign their gradients,
and the plan knows where a value or a weight is used several times and adds there.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from minicnn.backends.base import Backend
from minicnn.graph import Graph
from minicnn.last_function import Last
from minicnn.layers.contract import watched
from minicnn.parameters import BorrowedWeights, ParameterStore
from minicnn.plan.arena import Slot, pack
from minicnn.plan.casting import cast_around
from minicnn.plan.ends import look_behind
from minicnn.plan.fusion import fuse, simplify
from minicnn.plan.program import Place, lower
from minicnn.plan.wiring import Wires, Wiring
from minicnn.plan.works import Work, backward_works, expect, works_of
from minicnn.step import Changes, Workspace


class Plan:
    """Runs a graph for batches of up to `batch_size` samples.

    Parameters
    ----------
    graph : Graph
    store : ParameterStore or BorrowedWeights
        Holds the weights; its backend computes.
    batch_size : int
    training : bool
        True: layers act as in training, and gradients can be computed.
    logits_of : sequence of collections of str, optional
        For each output: names of final activations that its loss wants to see behind, such as {"softmax", "sigmoid"}.
    seed : int
        Key of the random numbers of dropout and the like.
    fuses : bool, optional
        Whether steps are merged; default: as the backend does.
    input_gradients : bool
        Whether `backward` computes the inputs' gradients too.
    measured_behind : sequence of collections of str, optional
        For each output: names of final activations that its metrics want to see behind.

    Attributes
    ----------
    places : list of Place
        The steps that run.
    acts_as_in_training : bool
        Whether any step does what it does in training, or draws random numbers as if.
    ends, measured_ends : list of Last or None
        For each loss, and an output's metrics: the final activation, if they read the values before it; None: the
        loss's options decide.
    wiring : Wiring
        What each of them touches.
    memory : array
        All buffers together.
    """

    ends: list[Last | None]
    measured_ends: list[Last | None]

    def __init__(
        self,
        graph: Graph,
        store: ParameterStore | BorrowedWeights,
        batch_size: int,
        training: bool,
        logits_of: Sequence[Collection[str] | None] | None = None,
        seed: int = 0,
        fuses: bool | None = None,
        input_gradients: bool = False,
        measured_behind: Sequence[Collection[str]] | None = None,
    ) -> None:
        self.store: ParameterStore | BorrowedWeights = store
        self.backend: Backend = store.backend
        self.batch_size: int = batch_size
        self.training: bool = training
        self.seed: int = seed
        program = lower(graph)
        heads, self.ends = look_behind(program, logits_of, training)
        measured, self.measured_ends = look_behind(program, measured_behind, training)
        kept = {*program.outputs, *heads, *measured}
        simplify(program, kept, training)
        if self.backend.fuses if fuses is None else fuses:
            fuse(program, kept, training, program.values_with_gradient(heads, input_gradients))
        self.places: list[Place] = program.places
        self.acts_as_in_training: bool = training or any(p.training or p.step.draws_anew for p in self.places)
        self.wiring: Wiring = Wiring(program, heads, measured, store, batch_size, training, input_gradients)
        self.memory: np.ndarray = self.backend.empty((pack(self.wiring.lifetimes()),), np.uint8)
        self.scratch: np.ndarray | None = None  # for casts, see `plan.casting`
        self._bound = {}
        self.penalized: list[np.ndarray] = self._unreached(store) if training else []

    def _unreached(self, store):
        """Of gradients that no step assigns, which are zeros now, those to which penalties are added each time."""
        used = self.wiring.used_weights()
        idle = {weight: gradient for weight, gradient in store.gradients.items() if weight not in used}
        for gradient in idle.values():
            gradient.fill(0)
        return [gradient for weight, gradient in idle.items() if weight.regularizer is not None]

    @property
    def nbytes(self) -> int:
        """Memory of all buffers together."""
        return self.memory.nbytes

    def bind(self, count: int) -> "BoundPlan":
        """The plan's arrays for a batch of `count` samples, as a `BoundPlan`; made once for each count."""
        if count not in self._bound:
            if not 0 < count <= self.batch_size:
                raise ValueError(f"this plan takes 1 to {self.batch_size} samples. Received: {count}")
            self._bound[count] = BoundPlan(self, count)
        return self._bound[count]


class BoundStep(NamedTuple):
    """A step and its arrays; `additions` are pairs (total, what is added to it after the backward step)."""

    place: Place
    ws: Workspace
    additions: list[tuple[np.ndarray, np.ndarray]]


class BoundPlan:
    """A plan's arrays for one number of samples.

    Attributes
    ----------
    inputs, outputs : list of array
        Where a batch is put, and where the results are.
    heads, head_gradients : list of array
        What the losses read, and what they assign (None where no trainable weight is behind).
    input_gradients : list of array or None
    measured : list of (Last, array) or None
        For each output: the final activation, and what it reads, where a metric wants to see that.
    forward_steps, backward_steps : list of BoundStep
        What `forward` and `backward` run, in this order.
    works : list of callable
        What `forward` calls in turn; made anew when an attribute of a layer has changed.
    """

    def __init__(self, plan: Plan, count: int) -> None:
        self.plan: Plan = plan
        self.count: int = count
        wiring = plan.wiring
        self.inputs: list[np.ndarray] = self._arrays(wiring.inputs)
        self.outputs: list[np.ndarray] = self._arrays(wiring.outputs)
        self.heads: list[np.ndarray] = self._arrays(wiring.heads)
        self.head_gradients: list[np.ndarray | None] = self._arrays(wiring.head_gradients)
        self.input_gradients: list[np.ndarray | None] = self._arrays(wiring.input_gradients)
        seen = zip(plan.measured_ends, self._arrays(wiring.measured), strict=True)
        self.measured: list[tuple[Last, np.ndarray] | None] = [None if end is None else (end, z) for end, z in seen]
        self._zero_gradients = self._arrays(wiring.zero_gradients) + plan.penalized
        self._head_additions = [self._arrays(pair) for pair in wiring.head_additions]
        steps = [self._bind(wires) for wires in wiring.places]
        self.forward_steps: list[BoundStep] = [step for step in steps if not step.place.step.is_view]
        self.backward_steps: list[BoundStep] = [step for step in reversed(steps) if step.ws.dy is not None]
        self.works: list[Work] = []
        self.changes: int | None = None  # of layers' attributes, see `Changes`, when the works were made
        expect(self, plan.backend)

    def forward(self, iteration: int = 0, first: int = 0, left: int = 0) -> None:
        """Compute the outputs from the inputs.

        Parameters
        ----------
        iteration : int, default 0
            The number of the weights' current update: random numbers depend on it, those of `backward` too. On a GPU
            it may be a number that lies there.
        first : int, default 0
            The number of the first sample, where these are a part of a batch: a multiple of 4.
        left : int, default 0
            So many steps at the end are not run: somebody else does what they do.
        """
        if self.changes != Changes.count:
            self.changes, (self.works, self._backward) = Changes.count, works_of(self, self.plan.backend)
        for step in self.forward_steps:
            step.ws.iteration, step.ws.first = iteration, first
        for work in self.works[: len(self.works) - left]:
            work()

    def backward(self, after: Callable[[int], None] | None = None) -> None:
        """Compute all gradients from the gradients of the heads, after `forward`.

        Parameters
        ----------
        after : callable, optional
            Is called after each of the `backward_steps`, with its number.
        """
        self.begin_backward()
        works = self._backward if after is None else backward_works(self, self.plan.backend)
        for number, work in enumerate(works):
            work()
            if after is not None:
                after(number)

    def begin_backward(self) -> None:
        """What comes before the first of the `backward_steps`."""
        add = self.plan.backend.ops.pointwise
        for gradient in self._zero_gradients:
            gradient.fill(0)
        for total, own in self._head_additions:
            add(total, (total, own), "add")

    def penalty(self) -> float | np.ndarray:
        """What the steps add to the loss, after `forward`."""
        return sum(place.step.penalty(ws) for place, ws, _ in self.forward_steps if place.step.has_penalty)

    def _arrays(self, slots: Iterable[Slot | None]) -> list:
        return [None if slot is None else slot.of(self.plan.memory, self.count) for slot in slots]

    def _bind(self, wires: Wires) -> BoundStep:
        """The workspace of one place, and what is added to after its backward step."""
        plan, place = self.plan, wires.place
        weights = place.step.weights
        grads = {w: plan.store.gradients[w] if w.trainable else None for w in weights if wires.dy is not None}
        own = dict(zip(wires.grads, self._arrays(wires.grads.values()), strict=True))
        ws = Workspace(
            plan.backend.ops,
            tuple(self._arrays(wires.xs)),
            *self._arrays([wires.y]),
            training=plan.training if place.training is None else place.training,
            params={w.name: plan.store.values[w] for w in weights},
            buffers=dict(zip(wires.buffers, self._arrays(wires.buffers.values()), strict=True)),
            dy=self._arrays([wires.dy])[0],
            dxs=tuple(self._arrays(wires.dxs)),
            grads={w.name: own.get(w, gradient) for w, gradient in grads.items()},
            seed=plan.seed,
            stream=place.stream,
        )
        ws = cast_around(plan, wires, ws)
        place.step.bind(ws)
        additions = [tuple(self._arrays(pair)) for pair in wires.additions]
        return BoundStep(watched(place), ws, additions + [(grads[w], array) for w, array in own.items()])
