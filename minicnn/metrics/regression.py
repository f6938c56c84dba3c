"""Distances between predictions and targets."""

import numpy as np

from minicnn.hints import Shape
from minicnn.losses.targets import element_shapes
from minicnn.metrics.base import Metric, register

__all__ = ["MeanAbsoluteError", "MeanSquaredError"]


class _Distance(Metric):
    """Base of metrics that compare element by element; a subclass has `_of`, the distance of each difference."""

    direction: str | None = "min"

    def target_shapes(self, output_shape: Shape) -> tuple[Shape, ...]:
        return element_shapes(output_shape)

    def measure(self, target: np.ndarray, prediction: np.ndarray) -> tuple[float | np.ndarray, int]:
        difference = prediction - target.reshape(prediction.shape)
        return self._of(difference).sum(dtype=np.float64), difference.size


@register("mse")
class MeanSquaredError(_Distance):
    """Mean of (prediction − target)²."""

    name: str = "mean_squared_error"
    _of = staticmethod(np.square)


@register("mae")
class MeanAbsoluteError(_Distance):
    """Mean of |prediction − target|."""

    name: str = "mean_absolute_error"
    _of = staticmethod(np.abs)
