"""``tf.nn``: activations, which layers take as ``activation=`` too, and the cross-entropies of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn.keras import ops
from minicnn.keras.tensorflow._functions import of_tensorflow, renamed
from minicnn.layers.activations import stands_for

if TYPE_CHECKING:  # for checkers, which do not see what is made at run time

    def __getattr__(name: str) -> Any: ...


_ACTIVATIONS = ("relu", "relu6", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "softplus", "softsign")
_WITH_AXIS = ("softmax", "log_softmax")

globals().update({name: renamed(name, name, "features", "") for name in _ACTIVATIONS})
globals().update({name: renamed(name, name, "logits", "axis") for name in _WITH_AXIS})
leaky_relu = renamed("leaky_relu", "leaky_relu", "features", "alpha=negative_slope")
stands_for(*(globals()[name] for name in (*_ACTIVATIONS, *_WITH_AXIS, "leaky_relu")))
swish = globals()["silu"]


def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None) -> Any:
    """x / √max(Σ x², epsilon), the sum along an axis."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return of_tensorflow(x / ops.sqrt(ops.maximum(squares, epsilon)))


def l2_loss(t: Any, name: str | None = None) -> Any:
    """Σ t² / 2."""
    return of_tensorflow(ops.sum(ops.square(t)) / 2)


def sigmoid_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Any:
    """The binary cross-entropy of each number, before the sigmoid."""
    return of_tensorflow(ops.binary_crossentropy(labels, logits, from_logits=True))


def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1, name: str | None = None) -> Any:
    """The cross-entropy of each sample, before the softmax."""
    return of_tensorflow(ops.categorical_crossentropy(labels, logits, from_logits=True, axis=axis))


def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any, name: str | None = None) -> Any:
    """The cross-entropy of each sample with a class number, before the softmax."""
    return of_tensorflow(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


__all__ = [
    *_ACTIVATIONS,
    *_WITH_AXIS,
    "leaky_relu",
    "swish",
    "l2_loss",
    "l2_normalize",
    "sigmoid_cross_entropy_with_logits",
]
__all__ += ["softmax_cross_entropy_with_logits", "sparse_softmax_cross_entropy_with_logits"]
