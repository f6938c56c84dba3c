"""What custom training loops take from TensorFlow: tapes, variables, and what one does with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from minicnn.differentiation import met
from minicnn.graph import Tensor
from minicnn.keras import _taped, backend, ops
from minicnn.keras._custom_gradient import custom_gradient
from minicnn.keras._deferred import Deferred
from minicnn.keras._tape import GradientTape
from minicnn.keras._variables import IndexedSlices, Variable
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.layers.added_loss import BatchScalar
from minicnn.nested import mapped

__all__ = ["GradientTape", "IndexedSlices", "UnconnectedGradients", "Variable", "clip_by_global_norm", "clip_by_norm"]
__all__ += ["custom_gradient", "global_norm", "gradients", "stop_gradient"]


class UnconnectedGradients(Enum):
    """What stands for a gradient by what a target does not depend on."""

    NONE = "none"
    ZERO = "zero"


def global_norm(t_list: Sequence[Any], name: str | None = None) -> Any:
    """√(Σ x²) over all numbers of all tensors; None among them counts for nothing."""
    squares = [ops.sum(ops.square(met(t))) for t in t_list if t is not None]
    return of_tensorflow(np.sqrt(sum(squares)))


def clip_by_global_norm(
    t_list: Sequence[Any], clip_norm: float, use_norm: Any = None, name: str | None = None
) -> tuple[list[Any], Any]:
    """(the tensors scaled together, so that their `global_norm` is at most `clip_norm`; what it was before)."""
    norm = global_norm(t_list) if use_norm is None else met(use_norm)
    scale = clip_norm / ops.maximum(norm, clip_norm)
    return [None if t is None else of_tensorflow(t * ops.cast(scale, t.dtype)) for t in map(met, t_list)], norm


def clip_by_norm(t: Any, clip_norm: float, axes: Any = None, name: str | None = None) -> Any:
    """The tensor scaled so that its norm, along `axes` or of all numbers, is at most `clip_norm`."""
    t = as_tensor(t)
    axes = tuple(axes) if isinstance(axes, list | tuple) else axes
    squares = ops.sum(ops.square(t), axis=axes, keepdims=axes is not None)
    is_zero = ops.equal(squares, 0)  # where the root has no gradient
    norm = ops.where(is_zero, squares, ops.sqrt(ops.where(is_zero, ops.ones_like(squares), squares)))
    return of_tensorflow(t * clip_norm / ops.maximum(norm, np.asarray(clip_norm, t.dtype)))


def stop_gradient(input: Any, name: str | None = None) -> Any:
    """The same numbers, of which no gradient goes back; a model's tensor becomes one that stops it."""
    return mapped(
        lambda x: ops.stop_gradient(x) if isinstance(x, Tensor | Deferred) else _taped.stop_gradient(x), input
    )


def gradients(ys: Any, xs: Any, *args: Any, **kwargs: Any) -> Any:
    """``keras.backend.gradients``, for ``K.function`` to compute.

    Raises
    ------
    NotImplementedError
        For what is no tensor of a model, and gradients that are handed in.
    """
    if args or kwargs.keys() - {"name"} or not isinstance(ys, Tensor | Deferred | BatchScalar):
        raise NotImplementedError(
            "tf.gradients is of TensorFlow's graphs, and takes a tensor of a model and others of it: of arrays it is "
            "`with tf.GradientTape() as tape`, and then tape.gradient(ys, xs). Received: a call of tf.gradients"
        )
    return backend.gradients(ys, xs)
