"""Steps of the library inside of functions that are recorded: their gradients are those of their formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import backends
from minicnn.differentiation import Recorded, met, value_of
from minicnn.keras._eager import eager
from minicnn.keras._last_function import is_last_function, note_step
from minicnn.keras._state import RecordedState
from minicnn.layers import function_numbers
from minicnn.parameters import Weight
from minicnn.settings import floatx
from minicnn.step import Step, Workspace
from minicnn.threads import compute_threads


def through_steps(steps: Sequence[Step], inputs: Sequence[Any], own: Mapping[str, Any], training: Any = None) -> Any:
    """What steps make of arrays, one after the other.

    Parameters
    ----------
    steps : sequence of Step
    inputs : sequence of array (N, …)
        Of the first step; they may be recorded, as may be what is in `own`.
    own : mapping
        Name of a weight → its array.
    training : bool, optional
        Default: as the layer that runs.

    Returns
    -------
    array (N, …)
        Recorded if anything was.
    """
    *first, last = steps
    if first and is_last_function(last):
        return through_steps([last], [through_steps(first, inputs, own, training)], {}, training)
    inputs = [met(x) for x in inputs]
    run = _Run(steps, inputs, own, function_numbers.training() if training is None else bool(training))
    for value in filter(_is_state, own.values()):
        value.value = value.kept.copy()  # the steps may have changed it
    parents = [(x, run.by_input(i)) for i, x in enumerate(inputs) if _has_gradient(x)]
    parents += [(w, run.by_weight(name)) for name, w in own.items() if _has_gradient(w) and not _is_state(w)]
    is_recorded = any(isinstance(x, Recorded) for x in [*inputs, *own.values()])
    return note_step(Recorded(run.output, parents), last, inputs[0]) if is_recorded else eager(run.output)


def _has_gradient(x):
    return isinstance(x, Recorded) and x.has_gradient


def _is_state(x):
    return isinstance(x, RecordedState)


class _Run:
    """One pass through steps, which gradients go back through.

    Parameters
    ----------
    steps, inputs, own, training :
        As of `through_steps`.
    """

    def __init__(self, steps: Sequence[Step], inputs: Sequence[Any], own: Mapping[str, Any], training: bool) -> None:
        self._backend = _backend()
        self._places: list[tuple[Step, Workspace]] = []
        self._grads: list[Mapping[str, np.ndarray | None]] = []  # of each place, by names of the layer's weights
        self._seed = int(function_numbers.generator().integers(2**31))
        self._by = self._found = None
        given = [np.asarray(value_of(x)) for x in inputs]
        arrays = {name: _array_of(value) for name, value in own.items()}
        state = {w.name for step in steps for w in step.weights if not w.has_gradient} & own.keys()
        self._dtype = _dtype_of(given, [arrays[name] for name in state])
        xs = tuple(self._backend.asarray(x, self._dtype) for x in given)
        arrays |= {name: self._backend.asarray(arrays[name], self._dtype) for name in own.keys() - state}
        with compute_threads(self._backend):
            others = {n: a for n, a in arrays.items() if not any(w.name == n for step in steps for w in step.weights)}
            for step in steps:
                xs, others = (self._forward(step, xs, arrays, others, training),), {}  # the first is the layer
        self.output = np.array(xs[0])

    def _forward(self, step, xs, arrays, others, training):
        shapes = tuple(x.shape[1:] for x in xs)
        output_shape = tuple(getattr(step, "build_itself", step.build)(shapes))
        empty, count, dtype = self._backend.empty, len(xs[0]), xs[0].dtype
        shape = (count, *output_shape)
        buffers = step.buffers(shapes, output_shape, training)
        ws = Workspace(
            self._backend.ops,
            xs,
            xs[0].reshape(shape) if step.is_view else empty(shape, dtype),
            training=training,
            params={w.name: arrays.get(w.name, w.value) for w in step.weights} | others,
            buffers={
                name: empty((count, *b.shape) if b.per_sample else b.shape, b.dtype or dtype)
                for name, b in buffers.items()
            },
            grads={w.name: self._for_weight(w, arrays.get(w.name)) for w in step.weights}
            | {name: self._backend.zeros(array.shape, self._dtype) for name, array in others.items()},
            seed=self._seed,
            stream=len(self._places),
        )
        self._grads.append(ws.grads)
        step.bind(ws)
        step.forward(ws.xs, ws)
        self._places.append((step, ws))
        return ws.y

    def by_input(self, number: int) -> Any:
        """The function for the gradient by an input."""
        return lambda g: self._gradients(g)[0][number]

    def by_weight(self, name: str) -> Any:
        """The same by a weight."""
        return lambda g: self._gradients(g)[1][name]

    def _gradients(self, g):
        """Of one backward pass for all inputs and weights, which ask for theirs one after the other."""
        if isinstance(g, Recorded):
            names = {type(step).__name__ for step, _ in self._places}
            raise NotImplementedError(
                f"{', '.join(sorted(names))} inside of a function has no gradients of gradients (second order): call "
                "the layer itself where the tape records. Received: a gradient that is recorded"
            )
        if g is not self._by:
            self._by, self._found = g, self._backward(g)
        return self._found

    def _backward(self, g):
        weights: dict[str, np.ndarray] = {}
        dys: Any = (self._backend.asarray(np.asarray(g), self._places[-1][1].y.dtype),)
        with compute_threads(self._backend):
            for (step, ws), grads in zip(reversed(self._places), reversed(self._grads), strict=True):
                if step.is_view:
                    dys = (dys[0].reshape(ws.xs[0].shape),)
                    continue
                ws.dy, ws.dxs = dys[0], tuple(self._backend.empty(x.shape, x.dtype) for x in ws.xs)
                step.backward(ws.dy, ws)
                for name, grad in grads.items():  # zeros of those that another step of the layer computes with
                    if grad is not None:
                        weights[name] = weights[name] + grad if name in weights else np.array(grad)
                dys = ws.dxs
        return [np.array(dx) for dx in dys], weights

    def _for_weight(self, weight, array):
        """In the shape of what stands for it, which may be computed of another layer's weight of its name."""
        shape = weight.shape if array is None else array.shape
        return self._backend.zeros(shape, self._dtype) if weight.has_gradient else None


def _backend() -> Any:
    """The current backend, or on a GPU the one for processors, where functions that are recorded run."""
    current = backends.current()
    return current if current.xp is np else backends.get("numpy")


def _array_of(value) -> Any:
    """A weight's array; of state, the one that it is kept in."""
    if _is_state(value):
        return value.kept
    return np.asarray(value.value if isinstance(value, Weight) else value_of(met(value)))


def _dtype_of(inputs, state):
    """What kernels compute with: the dtype of the state, which is changed in place, else that of the first input."""
    first = inputs[0].dtype
    return state[0].dtype if state else first if first.kind == "f" else np.dtype(floatx())
