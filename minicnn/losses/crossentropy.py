"""Cross-entropy over classes, from logits or from probabilities."""

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_number
from minicnn.hints import Shape
from minicnn.losses import reductions
from minicnn.losses.base import register
from minicnn.losses.label_advice import columns_advice
from minicnn.losses.other_axis import AlongAxis
from minicnn.losses.targets import (
    check_finite,
    check_labels,
    class_shape,
    flatten_hint,
    label_shapes,
    real_targets,
    with_batch,
)

__all__ = ["CategoricalCrossentropy", "SparseCategoricalCrossentropy"]

EPSILON = 1e-7  # probabilities are kept this far from 0 and 1 before their logarithm is taken, as in Keras
ALMOST_ONE = float(np.float32(1 - EPSILON))  # as Keras, whose arrays are float32, in float64 too


class Crossentropy(AlongAxis):
    """Base of losses that compare probabilities, given as such or as logits.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits. A model that ends in a sigmoid or softmax is computed from its logits anyway.
    **options
        See `Loss` and `minicnn.losses.other_axis.AlongAxis`, as ``axis=1``.
    """

    takes_logits_of: tuple[str, ...] = ("softmax", "sigmoid", "softmaxoperation")  # the last in layers of one's own

    def __init__(self, from_logits: bool = False, **options: object):
        super().__init__(**options)
        if not isinstance(from_logits, bool | np.bool_):  # an array: the class was called as if it were a function
            name = type(self).__name__
            raise TypeError(
                f"`from_logits` of {name} is True or False; the loss of arrays is {name}()(y_true, y_pred). "
                f"Received: an object of type {type(from_logits).__name__}"
            )
        self.from_logits: bool = bool(from_logits)


class Smoothed(Crossentropy):
    """Base of cross-entropies whose targets are probabilities, which may be smoothed.

    Label smoothing is of Szegedy et al.: "Rethinking the Inception architecture for computer vision", 2016.

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits. A model that ends in a sigmoid or softmax is computed from its logits anyway.
    label_smoothing : float in [0, 1), default 0
        Move the targets by this part of the way to 1 / classes.
    **options
        See `Loss`.
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, **options: object):
        super().__init__(from_logits, **options)
        self.label_smoothing: float = check_number("label_smoothing", label_smoothing, below=1)

    def smoothed(self, target: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
        """`target` in the dtype of `prediction`, moved towards 1 / classes."""
        target = target.astype(prediction.dtype, copy=False)
        part = self.label_smoothing
        return target * (1 - part) + part / classes if part else target


class ClassLoss(Crossentropy):
    """Base of losses on (…, C) outputs with one row for each decision; a subclass writes `_from_probabilities`."""

    def _compute(self, prediction, target, weight, gradient, ops, from_logits):
        row_weight = _row_weights(prediction, self.decisions(prediction.shape), weight)
        reductions.without_ignored(row_weight, ignored := self.ignored(target))
        loss = self._rows(prediction, target, row_weight, gradient, ops, from_logits)
        np.multiply(loss, row_weight, out=loss)
        return reductions.of_the_others(loss, ignored, gradient).sum(dtype=np.float64)

    def values(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return reductions.of_rows(self, self._rows, prediction, target)

    def _rows(self, prediction, target, weight, gradient, ops, from_logits):
        """Each row's loss, (rows,), unweighted; assigns the derivative of weight · loss to `gradient`."""
        rows = prediction.reshape(-1, prediction.shape[-1])  # (rows, C)
        loss = np.empty_like(weight)
        target = target.reshape(len(rows), *target.shape[prediction.ndim - 1 :])  # (rows,) or (rows, C)
        target, gradient = self._prepared(target, rows), _as_rows(gradient)
        if from_logits:
            ops.softmax_cross_entropy(rows, target, weight, loss, gradient)
        else:
            self._from_probabilities(rows, target, weight, loss, gradient, ops)
        return loss

    def _prepared(self, target, rows):
        """`target`, (rows,) or (rows, C), as the formulas take it."""
        return target

    def _from_probabilities(self, rows, target, weight, loss, gradient, ops):
        """Assign each row's loss to `loss`, unweighted, and the derivative of weight · loss to `gradient`, if given.

        Parameters
        ----------
        rows : (rows, C)
        target : (rows,) or (rows, C)
        weight, loss : (rows,)
        gradient : (rows, C) or None
        ops
            As in `compute`.
        """
        raise NotImplementedError


@register
class SparseCategoricalCrossentropy(ClassLoss):
    """−log p[t] for a class number t.

    Parameters
    ----------
    from_logits : bool, default False
    ignore_class : int, optional
        Decisions with this target count for nothing, and the mean is that of the others.
    **options
        See `minicnn.losses.crossentropy.Crossentropy`.
    """

    accuracy: str | None = "sparse_categorical_accuracy"

    def __init__(self, from_logits: bool = False, ignore_class: int | None = None, **options: object):
        super().__init__(from_logits, **options)
        self.ignore_class: int | None = None if ignore_class is None else int(ignore_class)

    def ignored(self, target: np.ndarray) -> np.ndarray | None:
        return None if self.ignore_class is None else target == self.ignore_class

    def _prepared(self, target, rows):
        return target if self.ignore_class is None else np.where(target == self.ignore_class, 0, target)

    def placeholder_target(self, count: int, output_shape: Shape) -> np.ndarray:
        return np.zeros((count, *output_shape[:-1]), np.int64)

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        """As `Loss.check_target`: class numbers of shape (N,) or (N, 1), for images (N, H, W); returned as int64."""
        target, output_shape = real_targets(target), class_shape(output_shape)
        if target.shape[1:] == output_shape and output_shape[-1] > 1:
            raise ValueError(
                "sparse_categorical_crossentropy takes class numbers, and these targets have one column per class: use "
                "loss='categorical_crossentropy', or convert them with y.argmax(axis=-1). "
                f"Received: a target of shape {target.shape}"
            )
        if target.shape[1:] not in label_shapes(output_shape):
            raise ValueError(
                "sparse_categorical_crossentropy takes one class number for each row of the output; expected a target "
                f"of shape {with_batch(output_shape[:-1])} for an output of shape {with_batch(output_shape)}"
                f"{flatten_hint(target, output_shape, len(output_shape))}. Received: a target of shape {target.shape}"
            )
        check_labels(target if self.ignore_class is None else target[target != self.ignore_class], output_shape[-1])
        return target.reshape(len(target), *output_shape[:-1]).astype(np.int64, copy=False)

    def _from_probabilities(self, rows, target, weight, loss, gradient, ops):
        """As Keras: softmax of the logarithm, which divides the clipped probabilities by their sum."""
        clipped = rows.clip(EPSILON, ALMOST_ONE)
        ops.softmax_cross_entropy(np.log(clipped), target, weight, loss, gradient)
        if gradient is not None:
            gradient /= clipped  # d log(p) / dp
            gradient *= clipped == rows


@register
class CategoricalCrossentropy(Smoothed, ClassLoss):
    """−Σ t · log p over the classes, for targets with one column per class (one-hot or probabilities).

    Parameters as for `minicnn.losses.crossentropy.Smoothed`.
    """

    accuracy: str | None = "categorical_accuracy"

    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        """As `Loss.check_target`: real numbers of the output's shape (N, C) or (N, H, W, C)."""
        target, output_shape = real_targets(target), class_shape(output_shape)
        if target.shape[1:] != output_shape and target.shape[1:] in label_shapes(output_shape):
            raise ValueError(
                "categorical_crossentropy takes targets with one column per class, and these look like class numbers: "
                "use loss='sparse_categorical_crossentropy', or convert them with "
                f"utils.to_categorical(y, {output_shape[-1]}). Received: a target of shape {target.shape}"
            )
        if target.shape[1:] != output_shape:
            raise ValueError(
                f"categorical_crossentropy expected a target of the output's shape {with_batch(output_shape)}"
                f"{flatten_hint(target, output_shape, 1 + len(output_shape))}{columns_advice(target, output_shape)}. "
                f"Received: a target of shape {target.shape}"
            )
        check_finite(target)
        return target

    def _prepared(self, target, rows):
        return self.smoothed(target, rows, rows.shape[-1])

    def _from_probabilities(self, rows, target, weight, loss, gradient, ops):
        """With p = row / Σ row, clipped: d loss / d row = (slope − Σ slope · p) / Σ row."""
        total = rows.sum(axis=1, keepdims=True)  # (rows, 1)
        p = rows / total
        clipped = p.clip(EPSILON, ALMOST_ONE)
        loss[...] = -(target * np.log(clipped)).sum(axis=1)
        if gradient is None:
            return
        slope = -target / clipped * (clipped == p)  # d loss / dp
        np.subtract(slope, (slope * p).sum(axis=1, keepdims=True), out=gradient)
        gradient *= weight[:, None] / total


def _row_weights(prediction, rows, weight):
    """What each of the (rows,) decisions counts: sample weight / rows."""
    if weight is None:
        return np.full_like(prediction, 1 / rows, shape=rows)
    per_sample = np.multiply(weight, 1 / rows).astype(prediction.dtype, copy=False)
    return per_sample if rows == len(per_sample) else np.repeat(per_sample, rows // len(per_sample))


def _as_rows(gradient):
    """`gradient` as (rows, C), the same memory."""
    if gradient is None or gradient.ndim == 2:
        return gradient
    if not gradient.flags.c_contiguous:  # reshape would make a copy, and the gradient would be lost
        raise ValueError("`gradient` must be C-contiguous. Received: an array with other strides")
    return gradient.reshape(-1, gradient.shape[-1])
