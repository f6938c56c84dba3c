"""Losses as metrics: the mean over an epoch of what a loss says about each decision. Every one takes `name` first."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.hints import Config, Shape
from minicnn.losses import base as losses
from minicnn.losses import binary, crossentropy, hinges, probabilities, regression
from minicnn.losses.of_records import from_logits
from minicnn.losses.reductions import spread
from minicnn.losses.targets import element_shapes, label_shapes
from minicnn.metrics.base import Metric, register

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


class MetricOfLoss(Metric):
    """Base: a subclass has `loss`, the class.

    Parameters
    ----------
    name : str, optional
    dtype : str, optional
    **arguments
        Of the loss.
    """

    direction: str | None = "min"
    loss: type[losses.Loss]

    def __init__(self, name: str | None = None, dtype: str | None = None, **arguments: object):
        super().__init__(name, dtype)
        self.computed_by: losses.Loss = self.loss(**arguments)

    def get_config(self) -> Config:
        """The constructor's arguments."""
        return super().get_config() | self.computed_by.get_config()

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return element_shapes(output_shape)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        loss, target, prediction = self.computed_by.of_last_axis(target.reshape(prediction.shape), prediction)
        loss, prediction = from_logits(loss, target, prediction)
        return loss.values(prediction, target)


@register("bce")
class BinaryCrossentropy(MetricOfLoss):
    """See `minicnn.losses.BinaryCrossentropy`."""

    name: str = "binary_crossentropy"
    loss: type[losses.Loss] = binary.BinaryCrossentropy


@register
class CategoricalCrossentropy(MetricOfLoss):
    """See `minicnn.losses.CategoricalCrossentropy`."""

    name: str = "categorical_crossentropy"
    loss: type[losses.Loss] = crossentropy.CategoricalCrossentropy
    sibling: str | None = "SparseCategoricalCrossentropy"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return (output_shape,)


@register
class SparseCategoricalCrossentropy(MetricOfLoss):
    """See `minicnn.losses.SparseCategoricalCrossentropy`; the classes lie along the last axis, as in Keras."""

    name: str = "sparse_categorical_crossentropy"
    loss: type[losses.Loss] = crossentropy.SparseCategoricalCrossentropy
    sibling: str | None = "CategoricalCrossentropy"

    def __init__(self, name: str | None = None, dtype: str | None = None, **arguments: object):
        if arguments.get("axis", -1) != -1:
            raise ValueError(f"the metric {type(self).__name__} takes axis=-1 alone. Received: {arguments['axis']}")
        super().__init__(name, dtype, **arguments)

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return label_shapes(output_shape)

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        loss, prediction = from_logits(self.computed_by, target, prediction)
        return loss.values(prediction, self._labels(target, prediction))

    def _labels(self, target, prediction):
        return target.reshape(prediction.shape[:-1]).astype(np.int64, copy=False)

    def weighted(
        self, measure: Callable[..., tuple[Any, Any]], y_true: Any, y_pred: Any, weight: ArrayLike | None
    ) -> tuple[Any, Any]:
        """As in `OfArrays`; the weights of classes that do not count are 0, as in Keras."""
        ignored = None if weight is None else self.computed_by.ignored(self._labels(y_true, y_pred))
        if ignored is not None:
            weight = spread(weight, ignored.shape, len(ignored)) * ~ignored
        return super().weighted(measure, y_true, y_pred, weight)


@register("kld")
class KLDivergence(MetricOfLoss):
    """See `minicnn.losses.KLDivergence`."""

    name: str = "kl_divergence"
    loss: type[losses.Loss] = probabilities.KLDivergence


@register
class Poisson(MetricOfLoss):
    """See `minicnn.losses.Poisson`."""

    name: str = "poisson"
    loss: type[losses.Loss] = regression.Poisson


@register("mape")
class MeanAbsolutePercentageError(MetricOfLoss):
    """See `minicnn.losses.MeanAbsolutePercentageError`."""

    name: str = "mean_absolute_percentage_error"
    loss: type[losses.Loss] = regression.MeanAbsolutePercentageError


@register("msle")
class MeanSquaredLogarithmicError(MetricOfLoss):
    """See `minicnn.losses.MeanSquaredLogarithmicError`."""

    name: str = "mean_squared_logarithmic_error"
    loss: type[losses.Loss] = regression.MeanSquaredLogarithmicError


@register
class LogCoshError(MetricOfLoss):
    """See `minicnn.losses.LogCosh`."""

    name: str = "logcosh"
    loss: type[losses.Loss] = regression.LogCosh


@register
class CosineSimilarity(MetricOfLoss):
    """Σ t · p / (|t| · |p|): 1 for the same direction, where the loss of that name is −1.

    Parameters
    ----------
    name, dtype : str, optional
    axis : int, default -1
    """

    name: str = "cosine_similarity"
    direction: str | None = "max"
    loss: type[losses.Loss] = regression.CosineSimilarity

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return -super().values(target, prediction)


@register
class Hinge(MetricOfLoss):
    """See `minicnn.losses.Hinge`."""

    name: str = "hinge"
    loss: type[losses.Loss] = hinges.Hinge


@register
class SquaredHinge(MetricOfLoss):
    """See `minicnn.losses.SquaredHinge`."""

    name: str = "squared_hinge"
    loss: type[losses.Loss] = hinges.SquaredHinge


@register
class CategoricalHinge(MetricOfLoss):
    """See `minicnn.losses.CategoricalHinge`."""

    name: str = "categorical_hinge"
    loss: type[losses.Loss] = hinges.CategoricalHinge
