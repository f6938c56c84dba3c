"""Losses whose targets are on a tape, too: what a teacher gave, another network's output, a mean of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, value_of
from minicnn.keras._taped import Taped
from minicnn.losses import recorded_formulas as recorded_formulas
from minicnn.losses.crossentropy import ALMOST_ONE, EPSILON
from minicnn.losses.of_calls import one_over
from minicnn.losses.of_records import from_logits
from minicnn.losses.reductions import for_each_weight, spread
from minicnn.nested import leaves, mapped
from minicnn.settings import floatx

_SYMMETRIC = ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "CosineSimilarity")
_SYMMETRIC += ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "cosine_similarity", "mse", "mae")


def with_targets_on_tape(
    loss: Callable[..., Any], y_true: Any = None, y_pred: Any = None, *args: Any, **options: Any
) -> Any:
    """A loss, of which gradients go back to its targets too, if they are on a tape.

    Parameters
    ----------
    loss : callable
        A bound method of a loss, or of a function of one.
    y_true, y_pred :
        As for the loss; either may be `Taped`.
    *args, **options
        The loss's further ones.
    """
    own = _of_a_user(loss)
    if own is not None and (_is_several(y_true) or _is_several(y_pred)) and options.keys() <= {"sample_weight"}:
        return _reduced(own.call(_each(y_true), _each(y_pred)), own.reduction, options.get("sample_weight"))
    if "sparse" not in _owner(loss).lower():
        y_true, y_pred = _for_all(y_true, y_pred), _for_all(y_pred, y_true)
    if not isinstance(y_true, Taped):
        return loss(y_true, y_pred, *args, **options)
    if own is not None and options.keys() <= {"sample_weight"}:
        return _reduced(own.call(y_true, y_pred), own.reduction, options.get("sample_weight"))
    owner = _owner(loss)
    if owner in _BY_TARGETS:
        return _written_out(loss, _BY_TARGETS[owner], y_true, y_pred, **options)
    numbers = value_of(y_true)
    made = loss(numbers, y_pred, *args, **options)
    if owner not in _SYMMETRIC:
        return Recorded(value_of(made), [*_same(made), (y_true, lambda g: _refuse(owner))])
    other = loss(np.asarray(value_of(y_pred), numbers.dtype), y_true, *args, **options)
    return Recorded(value_of(made), [*_same(made), *_same(other)])


def _for_all(value, other):
    """A single number as one for each of the other's; anything else as it is."""
    is_number = isinstance(value, int | float | np.number) or (type(value) is not Taped and _is_single(value))
    if not is_number or np.ndim(value_of(other)) == 0:
        return value
    return np.full(np.shape(value_of(other)), value, np.float32)


def _is_single(value):
    return isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiub"


def _is_several(value):
    """Whether these are arrays in a list or dict, as the layers' outputs that two networks are compared by."""
    return isinstance(value, list | tuple | dict) and any(
        isinstance(part, np.ndarray | Recorded) and part.ndim for part in leaves(value)
    )


def _each(value):
    """Arrays in lists and dicts as floats, which may be asked for what results of models have."""

    def as_floats(x):
        return x.astype(floatx()).view(EagerArray) if isinstance(x, np.ndarray) else x

    return mapped(as_floats, value) if _is_several(value) else value


def _kl_divergence(t, p, from_logits, smoothing):
    t, p = np.clip(t, EPSILON, 1), np.clip(p, EPSILON, 1)
    return np.sum(t * np.log(t / p), axis=-1)


def _categorical(t, p, from_logits, smoothing):
    t = t * (1 - smoothing) + smoothing / p.shape[-1]
    if from_logits:
        p = p - value_of(p).max(axis=-1, keepdims=True)
        return np.sum(t * (np.log(np.sum(np.exp(p), axis=-1, keepdims=True)) - p), axis=-1)
    return -np.sum(t * np.log(np.clip(p / np.sum(p, axis=-1, keepdims=True), EPSILON, ALMOST_ONE)), axis=-1)


def _binary(t, p, from_logits, smoothing):
    t = t * (1 - smoothing) + smoothing / 2
    if from_logits:
        return np.mean(np.logaddexp(p, p.dtype.type(0)) - p * t, axis=-1)
    p = np.clip(p, EPSILON, ALMOST_ONE)
    return -np.mean(t * np.log(p) + (1 - t) * np.log1p(-p), axis=-1)


def _poisson(t, p, from_logits, smoothing):
    return np.mean(p - t * np.log(p + EPSILON), axis=-1)


# of targets and outputs (…, C) to the losses (…); the crossentropies' functions are differentiated by both as they are
_BY_TARGETS = {
    "KLDivergence": _kl_divergence,
    "kl_divergence": _kl_divergence,
    "Poisson": _poisson,
    "poisson": _poisson,
}
_BY_TARGETS |= {"CategoricalCrossentropy": _categorical, "BinaryCrossentropy": _binary}


def _written_out(loss, formula, y_true, y_pred, sample_weight=None):
    """The loss by a formula of recorded arrays, whose gradients go back to both."""
    owner = getattr(loss, "__self__", None) or loss.args[0]
    if hasattr(owner, "takes_logits_of"):  # a function goes by what it is given
        owner, y_pred = from_logits(owner, y_true, y_pred)
    if getattr(owner, "axis", -1) not in (-1, np.ndim(value_of(y_pred)) - 1):
        _refuse(_owner(loss))
    p = y_pred if isinstance(y_pred, Recorded) else np.asarray(y_pred)
    t = y_true.astype(p.dtype)
    t = t if t.shape == p.shape else np.reshape(t, p.shape)  # (N,) beside (N, 1)
    values = formula(t, p, getattr(owner, "from_logits", False), getattr(owner, "label_smoothing", 0.0))
    return _reduced(values, getattr(owner, "reduction", None), sample_weight)


def _of_a_user(loss):
    """The loss whose `call` a user has written, which is recorded as it runs; None for the library's."""
    owner = getattr(loss, "__self__", None) or loss.args[0]
    call = getattr(type(owner), "call", None)
    return None if call is None or call.__module__.partition(".")[0] == "minicnn" else owner


def _reduced(values, reduction, weights):
    """One number of the losses of samples, each times its weight, unless they are asked for."""
    if weights is not None:
        values = for_each_weight(values, value_of(weights))
        weights = spread(value_of(weights), values.shape, len(values) if values.ndim else 1).astype(values.dtype)
        values = values * weights
    if reduction in (None, "none"):
        return values
    if reduction == "mean_with_sample_weight" and weights is not None:
        return np.sum(values) * one_over(np.sum(weights))
    return np.sum(values) if reduction == "sum" else np.mean(values)


def _owner(loss):
    """The name of the loss's class, or of the function."""
    owner = getattr(loss, "__self__", None) or loss.args[0]
    return getattr(owner, "__name__", type(owner).__name__)


def _same(made):
    return [(made, lambda g: g)] if isinstance(made, Recorded) else []


def _refuse(name) -> NoReturn:
    raise NotImplementedError(
        f"{name} has no gradient by its targets here: tf.stop_gradient(y_true) where none is meant, or write the loss "
        "with functions of tf or keras.ops. Received: a gradient by what y_true was computed of"
    )
