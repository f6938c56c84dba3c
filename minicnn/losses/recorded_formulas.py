"""Losses as functions of recorded arrays: where the gradient of a loss is differentiated itself."""

from __future__ import annotations

import numpy as np

from minicnn.losses.binary import BinaryCrossentropy
from minicnn.losses.crossentropy import ALMOST_ONE, EPSILON, CategoricalCrossentropy, SparseCategoricalCrossentropy
from minicnn.losses.elementwise import MeanAbsoluteError, MeanSquaredError
from minicnn.losses.of_records import FORMULAS, refusal


def _binary(loss, target, p):
    target = loss.smoothed(target, p.value, 2)
    if loss.from_logits:
        return np.mean(np.logaddexp(p, p.dtype.type(0)) - p * target, axis=-1)
    p = np.clip(p, EPSILON, ALMOST_ONE)
    return -np.mean(target * np.log(p) + (1 - target) * np.log1p(-p), axis=-1)


def _of_logits(target, z):
    shifted = z - z.value.max(axis=-1, keepdims=True)
    return np.sum(target * (np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)) - shifted), axis=-1)


def _categorical(loss, target, p):
    target = loss.smoothed(target, p.value, p.shape[-1])
    if loss.from_logits:
        return _of_logits(target, p)
    return -np.sum(target * np.log(np.clip(p / np.sum(p, axis=-1, keepdims=True), EPSILON, ALMOST_ONE)), axis=-1)


def _sparse(loss, target, p):
    if loss.ignore_class is not None:
        raise refusal(loss)
    rows = (np.reshape(target, (len(p), 1)) == np.arange(p.shape[-1])).astype(p.dtype)
    return _of_logits(rows, p if loss.from_logits else np.log(np.clip(p, EPSILON, ALMOST_ONE)))


FORMULAS.update(
    {
        BinaryCrossentropy: _binary,
        CategoricalCrossentropy: _categorical,
        MeanAbsoluteError: lambda loss, target, p: np.mean(np.abs(p - target), axis=-1),
        MeanSquaredError: lambda loss, target, p: np.mean(np.square(p - target), axis=-1),
        SparseCategoricalCrossentropy: _sparse,
    }
)
