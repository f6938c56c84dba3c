"""Shards that are computed side by side, since layers want sums over all of them: synchronized batch normalization.

The shards of a worker take turns from one such layer to the next. There each says what its sums are, all workers add
them along the tree of `minicnn.distribution.shards`, and every shard goes on with the sums of the whole batch. So all
shards of a worker are in memory at once.

Mean and variance of two parts are put together as in Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm
for computing sample variances", 1979. The gradient is that of Ioffe, Szegedy: "Batch normalization", 2015.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages
from minicnn.distribution import sums
from minicnn.distribution.shards import Node, nodes_within, own_part
from minicnn.layers.normalization import BatchNormalization, FusedNormalization, moments
from minicnn.plan.casting import add, casts_of
from minicnn.plan.plan import BoundPlan, BoundStep
from minicnn.plan.works import Work, backward_works, forward_work

if TYPE_CHECKING:
    from minicnn.distribution.engine import ShardedEngine
    from minicnn.models.model import Model
    from minicnn.parameters import ParameterStore
    from minicnn.training.batches import Batch


def wants_sums(model: Model) -> bool:
    """Whether a layer of a model goes by sums over all shards when it trains.

    Raises
    ------
    ValueError
        If such a layer computes in bfloat16.
    """
    normalizing = [w.layer for w in model.weights if isinstance(w.layer, BatchNormalization)]
    layers = [layer for layer in normalizing if layer.synchronized and layer.trainable]
    for layer in layers:
        if layer.compute_dtype == "bfloat16":
            raise ValueError(
                "BatchNormalization(synchronized=True) computes in float32 or float64: give the layer dtype='float32'. "
                f"Received: layer '{layer.name}' with the policy mixed_bfloat16"
            )
    return bool(layers)


@dataclass
class Lane:
    """A shard on its way through the network.

    Attributes
    ----------
    batch : Batch
    bound : BoundPlan
        Arrays of its own.
    sigma : array (S,)
        The moving averages, as this shard leaves them.
    gradients : array (P,)
        As far as they are computed.
    share : float
        What the shard counts in its batch.
    targets : list of array
    weight : array or None
    """

    batch: Batch
    bound: BoundPlan
    sigma: np.ndarray
    gradients: np.ndarray
    share: float
    targets: list[np.ndarray] = field(default_factory=list)
    weight: np.ndarray | None = None

    @contextmanager
    def at(self, store: ParameterStore, steps: Sequence[BoundStep] = ()) -> Iterator[None]:
        """Inside, a store holds the shard's moving averages, and its gradients of what `steps` have the weights of."""
        weights = {w for step in steps for w in step.place.step.weights if w.trainable and w.has_gradient}
        slices = [store.slice_of(w) for w in weights]
        store.sigma[...] = self.sigma
        for part in slices:
            store.grad[part] = self.gradients[part]
        yield
        self.sigma[...] = store.sigma
        for part in slices:
            self.gradients[part] = store.grad[part]


class Lockstep:
    """Runs the shards of a worker side by side.

    Parameters
    ----------
    engine : ShardedEngine
    parts : mapping
        Number of a shard → its samples; those of this worker.
    counts : sequence of int
        Samples of each of all shards.

    Attributes
    ----------
    lanes : dict
        Number of a shard → `Lane`.
    """

    def __init__(self, engine: ShardedEngine, parts: Mapping[int, Batch], counts: Sequence[int]) -> None:
        self._engine, self._store, self._count = engine, engine.store, len(counts)
        owned = [own_part(len(counts), rank, engine.wire.size) for rank in range(engine.wire.size)]
        self._wire = engine.wire.among([bool(own) for own in owned])
        self._nodes = [nodes_within((0, len(counts)), own) for own in owned if own]
        self.lanes: dict[int, Lane] = {}
        for copy, (shard, part) in enumerate(parts.items()):
            bound, share = engine.bound(part, training=True, copy=copy), counts[shard] / sum(counts)
            self.lanes[shard] = Lane(part, bound, engine.store.sigma.copy(), engine.store.grad.copy(), share)

    # --------------------------------------------------------------------------------------------------- both passes

    def forward(self, iteration: int) -> None:
        """Compute the outputs of all shards."""
        bounds = [lane.bound for lane in self.lanes.values()]
        for lane in self.lanes.values():
            lane.targets, lane.weight = lane.batch.load(self._engine.backend, lane.bound.inputs)
            for step in lane.bound.forward_steps:
                step.ws.iteration, step.ws.first = iteration, lane.batch.first
        works = [list(map(forward_work, bound.forward_steps)) for bound in bounds]
        self._run([bound.forward_steps for bound in bounds], works, self._normalize, has_gradients=False)

    def backward(self) -> None:
        """Compute the gradients of all shards."""
        bounds = [lane.bound for lane in self.lanes.values()]
        for bound in bounds:
            bound.begin_backward()
        works = [backward_works(bound, self._engine.backend) for bound in bounds]
        self._run([bound.backward_steps for bound in bounds], works, self._differentiate, has_gradients=True)

    def _run(
        self,
        steps: list[list[BoundStep]],
        works: list[list[Work]],
        together: Callable[[list[BoundStep]], None],
        has_gradients: bool,
    ) -> None:
        """Run the works of all shards, shard by shard; synchronized steps `together`."""
        numbers = range(len(steps[0]) if steps else 0)
        for kind, group in itertools.groupby(numbers, lambda i: i if _is_synchronized(steps[0][i]) else -1):
            if kind >= 0:
                together([own[kind] for own in steps])
                continue
            group = list(group)
            for lane, own, calls in zip(self.lanes.values(), steps, works, strict=True):
                with lane.at(self._store, [own[i] for i in group] if has_gradients else ()):
                    for i in group:
                        calls[i]()

    def sums(self, scales: Sequence[float], base: np.ndarray) -> dict[Node, np.ndarray]:
        """The sums of the gradients and of the changes of the moving averages, as `sums.over_shards` gives them.

        Parameters
        ----------
        scales : sequence of float
            What each shard counts.
        base : array (S,)
            The moving averages before.
        """
        backend = self._engine.backend

        def vector(shard, onto=None):
            lane = self.lanes[shard]
            flat = backend.xp.concatenate([lane.gradients, lane.sigma - base])  # (P + S,)
            if scales[shard] != 1:
                flat *= flat.dtype.type(scales[shard])
            flat = backend.to_host(flat) if backend.on_device else flat
            return flat if onto is None else sums.add(onto, flat)

        return sums.over_shards(self._count, range(min(self.lanes), max(self.lanes) + 1), vector) if self.lanes else {}

    def first_with_bad_input(self) -> int | None:
        """The first of all shards whose input is not finite: behind a synchronized layer, all have its NaN."""
        isfinite = self._engine.backend.xp.isfinite
        bad = [s for s, lane in self.lanes.items() if not all(bool(isfinite(x).all()) for x in lane.bound.inputs)]
        return min(itertools.chain.from_iterable(self._engine.wire.gather(bad)), default=None)

    # ------------------------------------------------------------------------------------------------- normalization

    def _normalize(self, steps: list[BoundStep]) -> None:
        """Normalize all shards with the mean and the variance of the batch."""
        count, mean, squares = np.split(self._added([self._moments(step) for step in steps], _united), 3)
        mean, variance = (self._engine.backend.asarray(a, self._store.dtype) for a in (mean, squares / count))
        for lane, step in zip(self.lanes.values(), steps, strict=True):
            normalization, ws = step.place.step.fused(), step.ws
            arrays = ws.xs[0], ws.y, normalization.affine(ws.params), moments(ws), MovingAverages(mean, variance, 0.0)
            ws.ops.batch_norm(*arrays, normalization.layer.epsilon, False, ws.xs[1] if normalization.added else None)
            _cast(casts_of(ws).after_forward)
            with lane.at(self._store):
                for name, value in (("moving_mean", mean), ("moving_variance", variance)):
                    ws.params[name][...] += (1 - normalization.layer.momentum) * (value - ws.params[name])

    def _moments(self, step):
        """(count, mean, sum of squares around the mean) of a shard's channels, (3 C,) float64; y is not yet final."""
        ws, layer, backend = step.ws, step.place.step.fused().layer, self._engine.backend
        _cast(casts_of(ws).before_forward)
        found = MovingAverages(*(backend.zeros(ws.buffers["mean"].shape, self._store.dtype) for _ in range(2)), 0.0)
        ws.ops.batch_norm(ws.xs[0], ws.y, Affine(), moments(ws), found, layer.epsilon, True)
        mean, variance = (backend.to_host(a).astype(np.float64) for a in found[:2])
        count = np.full(len(mean), ws.y.size // len(mean))
        return np.concatenate([count, mean, variance * count])

    def _differentiate(self, steps: list[BoundStep]) -> None:
        """dx = γ / σ · (dy - (Σ dy + x̂ · Σ dy · x̂) / M), where sums and M are the batch's."""
        found = [self._with_given_moments(step) for step in steps]
        shares = [lane.share for lane in self.lanes.values()]
        rows = [share * np.concatenate(own) for share, (_, *own) in zip(shares, found, strict=True)]
        dbeta, dgamma = np.split(self._added(rows, np.add), 2)
        for lane, step, (dx, own_dbeta, own_dgamma) in zip(self.lanes.values(), steps, found, strict=True):
            if dx is not None:
                self._through_moments(step, dx, dbeta, dgamma)
            _cast(casts_of(step.ws).after_backward)
            with lane.at(self._store, [step]):
                for name, value in (("beta", own_dbeta), ("gamma", own_dgamma)):
                    if step.ws.grads.get(name) is not None:
                        step.ws.grads[name][...] = self._engine.backend.asarray(value, self._store.dtype)
                for total, own in step.additions:
                    add(step.ws.ops, total, own)

    def _with_given_moments(self, step):
        """(dx as if mean and variance were given, Σ dy (C,) float64, Σ dy · x̂) of a shard."""
        normalization, ws, backend = step.place.step.fused(), step.ws, self._engine.backend
        _cast(casts_of(ws).before_backward)
        dx = None if ws.dxs[0] is None else backend.empty(ws.dxs[0].shape, ws.dxs[0].dtype)
        dgamma, dbeta = (backend.empty(ws.buffers["mean"].shape, self._store.dtype) for _ in range(2))
        inputs = ws.xs[0], ws.y if normalization.uses_output else None, ws.dy, normalization.affine(ws.params)
        dadded = ws.dxs[1] if normalization.added else None
        ws.ops.batch_norm_backward(*inputs, moments(ws), dx, dadded, dgamma, dbeta, False)
        return dx, *(backend.to_host(a).astype(np.float64) for a in (dbeta, dgamma))

    def _through_moments(self, step, dx, dbeta, dgamma):
        """Write the gradient of x: `dx`, and what comes through mean and variance, which is linear in x."""
        normalization, ws, backend = step.place.step.fused(), step.ws, self._engine.backend
        mean, inverse_std = (backend.to_host(a).astype(np.float64) for a in moments(ws))
        factor = -inverse_std / (ws.y.size // len(mean))  # M of the shard: its gradients are of its own mean loss
        gamma = normalization.affine(ws.params).gamma
        if gamma is not None:
            factor *= backend.to_host(gamma)
        vectors = mean, np.ones_like(mean), factor * dgamma * inverse_std, factor * dbeta
        mean, one, scale, shift = (backend.asarray(a, self._store.dtype) for a in vectors)
        scratch = Moments(backend.empty(mean.shape, mean.dtype), backend.empty(mean.shape, mean.dtype))
        given = MovingAverages(mean, one, 0.0)  # so what is added is scale · (x - mean) + shift
        ws.ops.batch_norm(ws.xs[0], ws.dxs[0], Affine(scale, shift), scratch, given, 0.0, False, dx)

    def _added(self, rows: list[np.ndarray], unite: Callable[[Any, Any], Any]) -> np.ndarray:
        """What the rows of all shards are together, along the tree."""
        return sums.of_leaves(self._wire, self._nodes, dict(zip(self.lanes, rows, strict=True)), unite)


def _is_synchronized(step):
    """Whether a step goes by sums over all shards."""
    made = step.place.step.fused() if isinstance(step.place.step, BatchNormalization) else step.place.step
    return isinstance(made, FusedNormalization) and made.layer.synchronized and made.goes_by_batch(step.ws)


def _united(first, second):
    """(count, mean, sum of squares around the mean) of two parts together, (3 C,)."""
    (n, mean, squares), (m, other, more) = np.split(first, 3), np.split(second, 3)
    away = other - mean
    return np.concatenate([n + m, mean + away * (m / (n + m)), squares + more + away**2 * (n * m / (n + m))])


def _cast(casts):
    """Do what is written around steps."""
    for op, source, target in casts:
        op(source, target)
