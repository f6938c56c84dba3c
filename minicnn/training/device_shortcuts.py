"""What an iteration on a GPU leaves to fewer kernels: which batches, last layers and updates they serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.layers.activations import Softmax
from minicnn.layers.conv import Conv2D, FusedConv2D
from minicnn.layers.dense import Dense, FusedDense
from minicnn.layers.lambda_layer import Lambda
from minicnn.losses.crossentropy import SparseCategoricalCrossentropy
from minicnn.losses.reductions import MEAN
from minicnn.metrics.accuracy import SparseCategoricalAccuracy
from minicnn.own_parts import is_one_of
from minicnn.plan.plan import BoundPlan
from minicnn.plan.works import is_of_library
from minicnn.step import Workspace
from minicnn.training.totals import Losses
from minicnn.training.weighting import is_own_mean

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.metrics import Metric
    from minicnn.optimizers import Optimizer
    from minicnn.training.compiled import Compiled


def loads_late(bound: BoundPlan) -> bool:
    """Whether the first step that runs may gather the batch: a convolution of the only input."""
    wiring, steps = bound.plan.wiring, bound.forward_steps
    if len(bound.inputs) != 1 or not steps or not is_one_of(steps[0].place.step, Conv2D, FusedConv2D):
        return False
    wires = next(w for w in wiring.places if w.place is steps[0].place)
    return wires.xs[0] is wiring.inputs[0] and not _is_cast(steps[0])


def _is_cast(step):
    """Whether anything is cast around a step: then others than its op read what it reads and writes."""
    return vars(step.ws).get("casts") is not None


def only_the_rule_reads_gradients(optimizer: Optimizer, bound: BoundPlan) -> bool:
    """Whether nobody but the optimizer's op reads gradients, and every weight has one step that assigns its own.

    Regularizers are not looked at.
    """
    clips = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
    is_plain = optimizer.is_data and all(clip is None for clip in clips)
    is_shared = any(wires.grads for wires in bound.plan.wiring.places)
    return is_plain and not is_shared and not any(map(_is_cast, bound.backward_steps))


def steady_kernels(bound: BoundPlan) -> list[np.ndarray]:
    """The kernels of convolutions, as far as it is known that nobody but the optimizer writes them."""
    steps = bound.forward_steps
    if not all(is_of_library(step.place.step) and not _runs_a_function(step.place.step) for step in steps):
        return []
    read = [is_one_of(step.place.step, Conv2D, FusedConv2D) and not _is_cast(step) for step in steps]
    others = [step.ws for step, only_reads in zip(steps, read, strict=True) if not only_reads]
    theirs = {id(array) for ws in others for array in ws.params.values()}  # SpectralNormalization divides its layer's
    kernels = [step.ws.params["kernel"] for step, only_reads in zip(steps, read, strict=True) if only_reads]
    return [kernel for kernel in kernels if id(kernel) not in theirs]


def _runs_a_function(step):
    """Whether a step, or what it is made of, calls a function in each pass, which may write any weight."""
    return any(isinstance(part, Lambda) or getattr(part, "holds_code", False) for part in (step, *vars(step).values()))


class RowResults(NamedTuple):
    """In place of a loss: each row's, times its weight, and whether it was right; the loss is their sum / rows.

    Attributes
    ----------
    loss : (N,)
    hit : (N,) uint8
    """

    loss: np.ndarray
    hit: np.ndarray


def index_of_hits(own: list[tuple[int, Metric]]) -> int | None:
    """Which of the metrics (position, metric) counts what `RowResults.hit` says; None if there is none."""
    found = (i for i, metric in own if is_one_of(metric, SparseCategoricalAccuracy) and is_own_mean(metric))
    return next(found, None)


class LastLayer(NamedTuple):
    """A dense layer and softmax, whose loss is the cross-entropy of class numbers: one kernel.

    Attributes
    ----------
    backend : Backend
    bound : BoundPlan
    dense : Workspace
        Of the dense layer.
    """

    backend: Any
    bound: BoundPlan
    dense: Workspace

    def losses(self, targets: list[np.ndarray], weight: np.ndarray | None) -> Losses:
        """Compute both layers, the loss and its gradient."""
        ws, empty = self.dense, self.backend.empty
        results = RowResults(empty((len(ws.y),), ws.y.dtype), empty((len(ws.y),), np.uint8))
        outputs = ws.y, self.bound.outputs[0], *results, self.bound.head_gradients[0]
        arrays = ws.xs[0], ws.params["kernel"], ws.params.get("bias"), targets[0], weight
        self.backend.dense_classes(*arrays, *outputs)
        return Losses(results, [results], targets, [weight], self.bound.measured)


LEFT_TO_LAST_LAYER = 2  # steps


def last_layer(bound: BoundPlan, compiled: Compiled, backend: Backend) -> LastLayer | None:
    """The last two steps of a plan as one, if the backend has a kernel for it."""
    serves: Callable[..., bool] | None = getattr(backend, "serves_classes", None)
    if serves is None or not _is_mean_of_class_numbers(bound, compiled) or len(bound.forward_steps) < 2:
        return None
    dense, softmax = bound.forward_steps[-2:]
    is_softmax = is_one_of(softmax.place.step, Softmax) and softmax.place.step.axis in (-1, softmax.ws.y.ndim - 1)
    step = dense.place.step
    is_dense = is_one_of(step, Dense) or (isinstance(step, FusedDense) and step.is_bare)
    follow = dense.place.output == softmax.place.inputs[0] and dense.ws.y.ndim == 2 == dense.ws.xs[0].ndim
    is_cast = _is_cast(dense) or _is_cast(softmax)
    if is_cast or not (is_softmax and is_dense and follow and serves(dense.ws.xs[0], dense.ws.params["kernel"])):
        return None
    return LastLayer(backend, bound, dense.ws)


def _is_mean_of_class_numbers(bound, compiled):
    """Whether the only loss is the mean cross-entropy of class numbers, taken from before the softmax, unscaled."""
    if len(compiled.losses) != 1 or bound.plan.ends[0] is None or bound.head_gradients[0] is None:
        return False
    (loss,), (factor,) = compiled.losses, compiled.loss_weights
    is_plain = is_one_of(loss, SparseCategoricalCrossentropy) and loss.ignore_class is None and loss.reduction == MEAN
    has_penalty = any(step.place.step.has_penalty for step in bound.forward_steps)
    return is_plain and factor == 1 and not has_penalty
