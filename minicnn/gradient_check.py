"""Are the gradients right? Compared with finite differences, in float64, along a random direction."""

import copy
import math
from dataclasses import dataclass
from functools import wraps
from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike

from minicnn import backends, losses, random
from minicnn.graph import Graph
from minicnn.layers.base import Layer
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import has_open, sized
from minicnn.layers.shapes import sample_shape
from minicnn.losses import Loss
from minicnn.models.arguments import check_layer
from minicnn.parameters import ParameterStore
from minicnn.plan.non_finite import first_non_finite
from minicnn.plan.plan import Plan
from minicnn.step import Shape
from minicnn.threads import compute_threads
from minicnn.training.arrays import match_inputs

STEP = 1e-6  # of the finite difference; its error is about STEP⁴ + 1e-16 / STEP
PULL = 4.0  # gradient·(random direction) is |gradient| · N(0, 1): so far from 0 is the derivative moved
NOISE = 4 * np.finfo(float).eps / STEP  # rounding error of the finite difference, relative to the terms of f
CONSISTENT = 1e-8  # relative difference between steps h and h / 2 above which a ReLU or a maximum switched in between
ATTEMPTS = 8  # fresh data and direction after a kink


class GradientError(AssertionError):
    """A gradient differs from the finite difference."""


@dataclass(frozen=True)
class GradientCheck:
    """What `gradcheck` found.

    Attributes
    ----------
    error : float
        |analytic - numeric| / max(|analytic|, |numeric|).
    analytic, numeric : float
        The directional derivative from the gradients, and from the finite difference.
    kernels : frozenset of str
        The kernels that ran, as "backend module.kernel": which code was checked.
    """

    error: float
    analytic: float
    numeric: float
    kernels: frozenset[str]


def gradcheck(
    model: Layer,
    x: ArrayLike | list[ArrayLike] | None = None,
    y: ArrayLike | None = None,
    *,
    input_shape: Shape | list[Shape] | None = None,
    loss: str | Loss | None = None,
    backend: str | None = None,
    batch_size: int = 3,
    fuses: bool | None = None,
    tolerance: float = 1e-7,
    seed: int = 0,
) -> GradientCheck:
    """Check the gradients of a model or a layer, by all its trainable weights and its inputs at once.

    The derivative along one direction d is compared: gradient·d against (f(+h·d) - f(-h·d)) / 2h, computed in float64,
    and extrapolated from h and h/2 (Richardson 1911), so that a strong curvature does not matter.
    d is random, so that an error in any element shows with probability one, plus a little of the gradient itself, so
    that the derivative does not vanish by cancellation. f is the loss, or without one a random linear function of the
    outputs. Where a ReLU or a maximum switches between the two points, the finite difference means nothing: such data
    is noticed (steps h and h/2 disagree about the slope, or about its change) and drawn again.

    Parameters
    ----------
    model : Model or Layer
        Not changed; a layer is built for `input_shape` if it is not yet.
    x : array (N, …) or list of arrays, optional
        Data; default: `batch_size` random samples without ties.
    y : array, optional
        Targets for `loss`.
    input_shape : tuple of int or list of tuples
        Shape of one sample, for a layer, or a model whose input has sizes None.
    loss : str or Loss, optional
    backend : {"numba", "numpy", "cupy"}, optional
    batch_size : int, default 3
    fuses : bool, optional
        Whether to merge steps; default: as the backend does.
    tolerance : float, default 1e-7
    seed : int, default 0

    Returns
    -------
    GradientCheck

    Raises
    ------
    GradientError
        If the relative error is above `tolerance`.
    """
    graph = _graph_of(check_layer(model, "gradcheck"), input_shape, x)
    if loss is not None and (y is None or len(graph.outputs) > 1):
        raise ValueError(
            "gradcheck with a loss needs y= and a model with one output; leave loss= out for several. "
            f"Received: y {'missing' if y is None else 'given'}, {len(graph.outputs)} output(s)"
        )
    kernels = set()
    recorder = _recording(backends.get(backend), kernels)
    with compute_threads(recorder):
        for attempt in range(ATTEMPTS):
            rng = random.generator(seed, "gradcheck", attempt)
            problem = _Problem(graph, recorder, _data(x, graph, batch_size, rng), loss, y, fuses, rng)
            analytic, numeric, noise, is_smooth = problem.compare(rng)
            if is_smooth:
                break
    size = max(abs(analytic), abs(numeric))
    error = abs(analytic - numeric) / size if size > noise else 0.0  # a derivative of 0 is found as rounding noise
    if not error <= tolerance:
        raise GradientError(_explain(analytic, numeric, error, is_smooth, problem.bound))
    return GradientCheck(error, analytic, numeric, frozenset(kernels))


def _explain(analytic, numeric, error, is_smooth, bound):
    """The message for gradients that differ."""
    message = f"gradient {analytic!r}, finite difference {numeric!r}: relative error {error:.1e}"
    layer = None if math.isfinite(numeric) else first_non_finite(bound)
    if layer is not None:
        message += f"; the first layer whose output is not finite is '{layer}': give it data that it takes, x="
    elif not is_smooth:
        message += f"; no data without a kink was found in {ATTEMPTS} attempts: x or a weight may be tied"
    return message


def _graph_of(model, input_shape, x) -> Graph:
    """A model's graph, or that of one call of a layer; all sizes in it are known."""
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    if model.graph is not None and x is not None:
        return sized(model.graph, [a.shape[1:] for a in match_inputs(x, model.graph.inputs, "gradcheck")])
    if model.graph is not None and not has_open([t.shape[1:] for t in model.graph.inputs]):
        return model.graph
    if input_shape is None or has_open(map(sample_shape, shapes)):
        raise ValueError(
            "gradcheck of a layer, or of a model whose input has sizes None, needs input_shape=, the shape of one "
            f"sample. Received: input_shape={input_shape}"
        )
    if model.graph is not None:
        return sized(model.graph, shapes)
    inputs = [Input(sample_shape(shape)) for shape in shapes]
    node = model.call_symbolically(inputs)
    model.nodes.remove(node)  # the check is not a place of the layer
    return Graph(inputs, node.outputs)


def _recording(backend, names):
    """A copy of a backend whose kernels add their module and name to `names` when they run."""

    def recorded(kernel):
        @wraps(kernel)
        def call(*args, **kwargs):
            names.add(f"{kernel.__module__.removeprefix('minicnn.backends.')}.{kernel.__name__}")
            return kernel(*args, **kwargs)

        return call

    backend = copy.copy(backend)
    backend.ops = SimpleNamespace(**{name: recorded(kernel) for name, kernel in vars(backend.ops).items()})
    return backend


def _data(x, graph, batch_size, rng):
    """The inputs: what the user gave, or random numbers in [-1, 1], distinct across all the inputs (`Maximum`).

    They lie beside a grid, on which sums and differences of two would be tied (a maximum behind `Add`, or a softmax).
    """
    if x is not None:
        return [a.astype(np.float64) for a in match_inputs(x, graph.inputs, "gradcheck")]
    shapes = [(batch_size, *t.shape[1:]) for t in graph.inputs]
    offsets = [(0.37 + 0.17 * k) % 1 for k in range(len(shapes))]  # none is exactly 0
    return [
        (rng.permutation(np.prod(s)).reshape(s) + offset + rng.uniform(0, 0.1, s)) * 2 / np.prod(s) - 1
        for s, offset in zip(shapes, offsets, strict=True)
    ]


class _Problem:
    """f(t): the loss at data + t · direction and weights + t · direction."""

    def __init__(self, graph, backend, data, loss, y, fuses, rng):
        weights = list(dict.fromkeys(w for layer in graph.layers for w in layer.weights))
        self.store = ParameterStore(weights, backend, np.float64, adopt=False)
        self.store.grad.fill(np.nan)  # what nobody writes shows
        self.loss = None if loss is None else losses.get(loss)
        logits_of = None if loss is None else [self.loss.takes_logits_of] * len(graph.outputs)
        plan = Plan(graph, self.store, len(data[0]), True, logits_of, seed=1, fuses=fuses, input_gradients=True)
        plan.memory.fill(255)  # all bits set: NaN
        self.bound, self.backend, self.data = plan.bind(len(data[0])), backend, data
        self.factors = [rng.standard_normal(head.shape) for head in self.bound.heads]
        self.target = None
        if loss is not None:
            target = self.loss.check_target(y, graph.outputs[0].shape[1:])
            self.target = backend.asarray(target, target.dtype)
        self.theta, self.sigma = backend.to_host(self.store.theta), backend.to_host(self.store.sigma)

    def value(self, t, theta_direction, data_directions) -> float:
        """f(t); the moving averages are put back each time."""
        load = self.backend.load
        load(self.store.theta, self.theta + t * theta_direction)
        load(self.store.sigma, self.sigma)
        for array, x, direction in zip(self.bound.inputs, self.data, data_directions, strict=True):
            load(array, x + t * direction)
        self.bound.forward()
        if self.loss is None:
            total = sum(float((h * f).sum()) for h, f in zip(self._heads(), self.factors, strict=True))
        else:
            total = float(self._loss(None))
        return total + float(self.bound.penalty())

    def _heads(self):
        """The values that losses read, on the host."""
        return [self.backend.to_host(head) for head in self.bound.heads]

    def _loss(self, gradient):
        head, kind = self.bound.heads[0], self.bound.plan.ends[0]
        return self.loss.compute(head, self.target, None, gradient, self.backend.ops, from_logits=kind)

    def gradients(self):
        """The gradients at t = 0: (by theta, zero where nothing is trainable; by each input)."""
        self.value(0.0, np.zeros_like(self.theta), [np.zeros_like(x) for x in self.data])
        for gradient, factor in zip(self.bound.head_gradients, self.factors, strict=True):
            self.backend.load(gradient, factor)
        if self.loss is not None:
            self._loss(self.bound.head_gradients[0])
        self.bound.backward()
        by_theta, grad = np.zeros_like(self.theta), self.backend.to_host(self.store.grad)
        for segment in self.store.trainable_segments():
            by_theta[segment] = grad[segment]
        return by_theta, [self.backend.to_host(gradient) for gradient in self.bound.input_gradients]

    def directions(self, gradients, rng):
        """A direction for theta and for each input: standard normal numbers, plus the gradient with length `PULL`."""
        by_theta, by_inputs = gradients
        randoms = [np.zeros_like(by_theta), *(rng.standard_normal(g.shape) for g in by_inputs)]
        for segment in self.store.trainable_segments():
            randoms[0][segment] = rng.standard_normal(segment.stop - segment.start)
        slope = np.sqrt(sum((g * g).sum() for g in (by_theta, *by_inputs)))
        factor = PULL / slope if slope > 0 else 0.0
        theta_direction, *data_directions = (
            r + factor * g for r, g in zip(randoms, (by_theta, *by_inputs), strict=True)
        )
        return theta_direction, data_directions

    def compare(self, rng):
        """(analytic, numeric, rounding noise of numeric, whether f is smooth between the two points)."""
        gradients = by_theta, by_inputs = self.gradients()
        theta_direction, data_directions = self.directions(gradients, rng)
        analytic = float(by_theta @ theta_direction)
        analytic += sum(float((g * d).sum()) for g, d in zip(by_inputs, data_directions, strict=True))
        values = {t: self.value(t * STEP, theta_direction, data_directions) for t in (-1, -0.5, 0, 0.5, 1)}
        turn, half_turn = (
            values[t] - 2 * values[0] + values[-t] for t in (1, 0.5)
        )  # h² f''; of a kink: h times its jump
        numeric, nearer = (values[1] - values[-1]) / (2 * STEP), (values[0.5] - values[-0.5]) / STEP
        noise = NOISE * (1 + sum(float(np.abs(h * f).sum()) for h, f in zip(self._heads(), self.factors, strict=True)))
        is_smooth = abs(numeric - nearer) <= CONSISTENT * abs(numeric) + 2 * noise
        is_smooth &= abs(4 * half_turn - turn) / STEP <= CONSISTENT * abs(numeric) + 10 * noise
        extrapolated = nearer + (nearer - numeric) / 3  # Richardson (1911): without the error in h²
        return analytic, extrapolated, 3 * noise, is_smooth
