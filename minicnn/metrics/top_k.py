"""How often the target is among the k classes that a model gives most to."""

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.hints import Shape
from minicnn.losses.targets import check_labels, label_shapes
from minicnn.metrics.base import Metric, register

__all__ = ["SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"]


@register
class SparseTopKCategoricalAccuracy(Metric):
    """How often the target's class is among the k largest outputs; outputs that tie with the k-th count.

    Parameters
    ----------
    k : int, default 5
    name, dtype : str, optional
    from_sorted_ids : bool, default False
        Whether outputs are class numbers, the likeliest first, in place of scores.
    """

    name: str = "sparse_top_k_categorical_accuracy"
    direction: str | None = "max"
    sibling: str | None = "TopKCategoricalAccuracy"

    def __init__(self, k: int = 5, name: str | None = None, dtype: str | None = None, from_sorted_ids: bool = False):
        super().__init__(name, dtype)
        self.k: int = check_positive_int("k", k)
        self.from_sorted_ids: bool = bool(from_sorted_ids)

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return label_shapes(output_shape)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        if self.from_sorted_ids:
            return (prediction[..., : self.k] == target.reshape(*prediction.shape[:-1], 1)).any(axis=-1)
        labels, classes = target.reshape(prediction.shape[:-1]).astype(np.int64, copy=False), prediction.shape[-1]
        is_here = isinstance(target, np.ndarray)  # a GPU would be waited for
        if is_here and target.dtype.kind == "f" and (target != np.floor(target)).any():
            check_labels(target, classes)
        inside = labels.clip(0, classes - 1)  # (N, …); what a loss ignores is wrong here
        score = np.take_along_axis(prediction, inside[..., None], axis=-1)  # (N, …, 1)
        larger = (prediction > score).sum(axis=-1)  # (N, …)
        return (larger < self.k) & np.isfinite(prediction).all(axis=-1) & (inside == labels)


@register
class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """`SparseTopKCategoricalAccuracy` for targets with one column per class."""

    name: str = "top_k_categorical_accuracy"
    sibling: str | None = "SparseTopKCategoricalAccuracy"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return (output_shape,)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return super().values(target.argmax(axis=-1), prediction)
