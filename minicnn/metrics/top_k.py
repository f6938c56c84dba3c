"""How often the target is among the k classes that a model gives most to."""

import numpy as np

from minicnn.checks import check_positive_int
from minicnn.hints import Shape
from minicnn.losses.targets import label_shapes
from minicnn.metrics.base import Metric, register

__all__ = ["SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"]


@register
class SparseTopKCategoricalAccuracy(Metric):
    """How often the target's class is among the k largest outputs; outputs that tie with the k-th count.

    Parameters
    ----------
    k : int, default 5
    name : str
    """

    name: str = "sparse_top_k_categorical_accuracy"
    direction: str | None = "max"
    sibling: str | None = "TopKCategoricalAccuracy"

    def __init__(self, k: int = 5, name: str | None = None, **options: object):
        super().__init__(name, **options)
        self.k: int = check_positive_int("k", k)

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return label_shapes(output_shape)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        labels = target.reshape(prediction.shape[:-1]).astype(np.int64, copy=False)
        score = np.take_along_axis(prediction, labels[..., None], axis=-1)  # (N, …, 1)
        larger = (prediction > score).sum(axis=-1)  # (N, …)
        return (larger < self.k) & np.isfinite(score[..., 0])


@register
class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """`SparseTopKCategoricalAccuracy` for targets with one column per class."""

    name: str = "top_k_categorical_accuracy"
    sibling: str | None = "SparseTopKCategoricalAccuracy"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return (output_shape,)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return super().values(target.argmax(axis=-1), prediction)
