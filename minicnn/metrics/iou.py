"""Intersection over union of predicted and true areas: metrics of segmentation, from a confusion matrix."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_number, check_positive_int
from minicnn.foreign import to_numpy
from minicnn.losses.crossentropy import EPSILON
from minicnn.losses.reductions import spread
from minicnn.metrics.base import Metric, register

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


@register
class IoU(Metric):
    """The mean, over some classes, of TP / (TP + FP + FN) (Jaccard, 1901); a class that never occurs does not count.

    Parameters
    ----------
    num_classes : int
    target_class_ids : list of int
    name, dtype : str, optional
    ignore_class : int, optional
        Pixels with this target are left out.
    sparse_y_true, sparse_y_pred : bool, default True
        Whether targets and outputs are class numbers; otherwise the largest along `axis` counts.
    axis : int, default -1
    """

    direction: str | None = "max"
    sparse_y_true: bool = True

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        self.num_classes: int = check_positive_int("num_classes", num_classes)
        self.target_class_ids: list[int] = [int(i) for i in target_class_ids]
        if any(not 0 <= i < num_classes for i in self.target_class_ids):
            raise ValueError(f"`target_class_ids` lie in 0 … {num_classes - 1}. Received: {target_class_ids!r}")
        self.ignore_class: int | None = ignore_class
        self.sparse_y_true: bool = bool(sparse_y_true)
        self.sparse_y_pred: bool = bool(sparse_y_pred)
        self.axis: int = axis
        super().__init__(name, dtype)

    def reset_state(self) -> None:
        self._matrix = np.zeros((self.num_classes, self.num_classes))

    @property
    def total_cm(self) -> np.ndarray:
        """The confusion matrix so far: entry [t, p] counts pixels of class t that were taken for p."""
        return self._matrix

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """As `Metric.update_state`; class numbers outside 0 … num_classes − 1 are left out."""
        target, predicted = to_numpy(y_true, "y_true"), to_numpy(y_pred, "y_pred")
        target = target if self.sparse_y_true else target.argmax(axis=self.axis)
        predicted = predicted if self.sparse_y_pred else predicted.argmax(axis=self.axis)
        if target.size != predicted.size:
            raise ValueError(
                f"metric '{self.name}' takes a class for each of the targets. Received: targets {np.shape(y_true)}, "
                f"outputs {np.shape(y_pred)}; sparse_y_true={self.sparse_y_true}, sparse_y_pred={self.sparse_y_pred}"
            )
        weight = spread(1 if sample_weight is None else sample_weight, target.shape, len(target))
        weight = np.broadcast_to(weight, target.shape).reshape(-1)
        target, predicted = target.reshape(-1).astype(np.int64), predicted.reshape(-1).astype(np.int64)
        counts = (target >= 0) & (target < self.num_classes) & (predicted >= 0) & (predicted < self.num_classes)
        if self.ignore_class is not None:
            counts &= target != self.ignore_class
        cells = target[counts] * self.num_classes + predicted[counts]
        found = np.bincount(cells, weight[counts], minlength=self.num_classes**2)
        self._matrix = self._matrix + found.reshape(self.num_classes, self.num_classes)

    def result(self) -> float:
        """The mean so far; 0 before the first batch."""
        hits, union = np.diag(self._matrix), self._matrix.sum(axis=0) + self._matrix.sum(axis=1) - np.diag(self._matrix)
        chosen = [i for i in self.target_class_ids if union[i] > 1e-9]
        return float(np.sum(hits[chosen] / (union[chosen] + EPSILON)) / (len(chosen) + EPSILON))


@register
class BinaryIoU(IoU):
    """`IoU` of the classes 0 and 1, for outputs that are probabilities of class 1.

    Parameters
    ----------
    target_class_ids : list of int, default [0, 1]
    threshold : float, default 0.5
        Outputs from it on are class 1.
    name, dtype : str, optional
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold: float = check_number("threshold", threshold)

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """As `IoU.update_state`."""
        super().update_state(y_true, to_numpy(y_pred, "y_pred") >= self.threshold, sample_weight)


@register
class MeanIoU(IoU):
    """`IoU` of all classes.

    Parameters
    ----------
    num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis :
        As for `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        classes = range(check_positive_int("num_classes", num_classes))
        super().__init__(num_classes, classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


@register
class OneHotIoU(IoU):
    """`IoU` for targets, and outputs, with one column for each class.

    Parameters
    ----------
    num_classes, target_class_ids, name, dtype, ignore_class, axis :
        As for `IoU`.
    sparse_y_pred : bool, default False
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


@register
class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for targets, and outputs, with one column for each class.

    Parameters
    ----------
    num_classes, name, dtype, ignore_class, axis :
        As for `IoU`.
    sparse_y_pred : bool, default False
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
