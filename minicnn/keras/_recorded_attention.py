"""The steps of attention as functions of recorded arrays, for gradients of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from minicnn.keras._formulas import OF_RECORDED
from minicnn.layers.attention_masks import KeptPlaces, MaskedScores
from minicnn.layers.attention_parts import LOW, AttentionWeights, Projection, WeightedSum
from minicnn.layers.attention_places import Places
from minicnn.layers.dot_attention import Causal, Scores
from minicnn.layers.einsum_dense import EinsumDense
from minicnn.layers.einsum_letters import as_matrices, letters_of, ordered


def _projected(step: Any, xs: Sequence[Any], at: Any) -> Any:
    inputs = prod(step.kernel.shape[: step.bound])
    rows = np.reshape(xs[0], (-1, inputs))  # (rows, inputs)
    y = rows @ np.reshape(at.weight("kernel"), (inputs, prod(step.units)))
    y = y + np.reshape(at.weight("bias"), (-1,)) if step.use_bias else y
    return np.reshape(y, (len(xs[0]), *at.shape))


def _stacked(places: Places, x: Any) -> Any:
    """(N, …, H, K) as (N, others…, H, T, K)."""
    moved = np.transpose(x, places.order)
    return np.reshape(moved, (*moved.shape[: len(places.others) + 2], -1, moved.shape[-1]))


def _flat(places: Places, weights: Any) -> Any:
    """(N, others…, H, places…, places…) as (N, others…, H, T, S)."""
    lead, shape = len(places.others) + 2, weights.shape
    return np.reshape(weights, (*shape[:lead], prod(shape[lead : lead + len(places.axes)]), -1))


def _weights(step: Any, xs: Sequence[Any], at: Any) -> Any:
    queries, keys = (_stacked(step.places, x) for x in xs[:2])
    y = (queries @ np.swapaxes(keys, -1, -2)) * step.scale  # (N, others…, H, T, S)
    allowed = step.allowed(y.shape, [np.asarray(getattr(x, "value", x)) for x in xs[2:]])
    if allowed is not None:
        allowed = np.broadcast_to(allowed, y.shape)
        y = np.where(allowed, y, np.asarray(LOW, y.dtype))
    y = OF_RECORDED["softmax"](y, -1)
    if allowed is not None and step.clears:
        y = np.where(allowed, y, np.zeros((), y.dtype))
    return np.reshape(y, (len(xs[0]), *at.shape))


def _weighted(step: Any, xs: Sequence[Any], at: Any) -> Any:
    places = step.places
    y = _flat(places, xs[0]) @ _stacked(places, xs[1])  # (N, others…, H, T, V)
    sizes = [at.shape[axis - 1] for axis in places.axes]
    apart = np.reshape(y, (*y.shape[: len(places.others) + 2], *sizes, y.shape[-1]))
    return np.transpose(apart, tuple(np.argsort(places.order).tolist()))


def _scores(step: Any, xs: Sequence[Any], at: Any) -> Any:
    queries, keys = xs
    scale = at.weight("scale") if step.use_scale else 1.0
    if step.mode == "dot":
        return (queries @ np.swapaxes(keys, -1, -2)) * scale
    inner, outer = (1.0, scale) if step.mode == "additive" else (scale, at.weight("concat_score_weight"))
    sums = np.expand_dims(queries, -2) + np.expand_dims(keys, -3)  # (N, …, T, S, D)
    return np.sum(outer * np.tanh(inner * sums), axis=-1)


def _causal(step: Any, xs: Sequence[Any], at: Any) -> Any:
    return xs[0] - step.below(xs[0].shape).astype(xs[0].dtype)


def _masked(step: Any, xs: Sequence[Any], at: Any) -> Any:
    return xs[0] - step.below(xs[0].shape, _mask(step, xs)).astype(xs[0].dtype)


def _kept(step: Any, xs: Sequence[Any], at: Any) -> Any:
    kept = np.broadcast_to(step.kept(xs[0].shape, _mask(step, xs)), xs[0].shape)
    return np.where(kept, xs[0], np.zeros((), xs[0].dtype))


def _mask(step: Any, xs: Sequence[Any]) -> Any:
    """The numbers of a mask, through which no gradients go."""
    return np.asarray(step.mask if len(xs) == 1 else getattr(xs[1], "value", xs[1]))


def _einsum(step: Any, xs: Sequence[Any], at: Any) -> Any:
    letters, kernel, x = letters_of(step.equation, xs[0].ndim), at.weight("kernel"), xs[0]
    sizes = letters.sizes(x.shape, step.kernel.shape)
    x = np.sum(x, axis=tuple(map(letters.x.index, letters.alone))) if letters.alone else x
    kept = tuple(name for name in letters.x if name not in letters.alone)
    rows = as_matrices(x, kept, letters.shared, letters.rows, letters.summed)
    y = rows @ as_matrices(kernel, letters.kernel, letters.shared, letters.summed, letters.units)
    order = letters.shared + letters.rows + letters.units
    y = ordered(np.reshape(y, [sizes[name] for name in order]), order, letters.y)
    return y + at.weight("bias") if step.use_bias else y


FORMULAS: dict[type, Any] = {
    AttentionWeights: _weights,
    Causal: _causal,
    EinsumDense: _einsum,
    KeptPlaces: _kept,
    MaskedScores: _masked,
    Projection: _projected,
    Scores: _scores,
    WeightedSum: _weighted,
}
