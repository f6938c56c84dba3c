"""Steps that run at once on arrays, without a plan."""

from collections.abc import Iterable

import numpy as np

from minicnn import backends, random
from minicnn.backends.base import Backend
from minicnn.layers.contract import watched_step
from minicnn.step import Step, Workspace
from minicnn.threads import compute_threads


def run_steps(steps: Iterable[Step], arrays: list[np.ndarray], dtype: object, training: bool, count: int) -> np.ndarray:
    """Run steps one after the other on the current backend.

    Parameters
    ----------
    steps : iterable of Step
    arrays : list of array
        Inputs of the first step, with the batch axis.
    dtype : str or numpy dtype
        In which they are computed.
    training : bool
    count : int
        Of calls in training before this one: a layer with a seed of its own draws others in each.

    Returns
    -------
    array
        The last step's output, on the host.
    """
    backend = backends.current()
    xs = tuple(backend.asarray(a, dtype) for a in arrays)
    with compute_threads(backend):
        for step in steps:
            ws = _workspace(step, xs, backend, training, count)
            watched_step(step).forward(ws.xs, ws)
            if training:
                _keep_state(step, ws, backend)
            xs = (ws.y,)
    return backend.to_host(xs[0])


def _workspace(step, xs, backend: Backend, training, iteration):
    """A workspace for one call of one step."""
    x, count, shapes = xs[0], len(xs[0]), tuple(x.shape[1:] for x in xs)
    shape = (count, *step.build(shapes))
    buffers = step.buffers(shapes, shape[1:], training)
    ws = Workspace(
        backend.ops,
        xs,
        x.reshape(shape) if step.is_view else backend.empty(shape, x.dtype),
        training=training,
        params={w.name: _on_backend(w, backend) for w in step.weights},
        buffers={
            name: backend.empty((count, *b.shape) if b.per_sample else b.shape, b.dtype or x.dtype)
            for name, b in buffers.items()
        },
        seed=random.next_seed("call"),
        iteration=iteration,
    )
    step.bind(ws)
    return ws


def _on_backend(weight, backend):
    """A weight's array; a copy where it lives in another memory than the backend's."""
    is_there = isinstance(weight.value, backend.xp.ndarray)
    return weight.value if is_there else backend.asarray(weight.numpy())


def _keep_state(step, ws, backend):
    """Write back what a layer changes, as moving averages, whose weights live in another memory."""
    for weight in step.weights:
        if ws.training and not isinstance(weight.value, backend.xp.ndarray):
            weight.assign(backend.to_host(ws.params[weight.name]).reshape(weight.shape))
