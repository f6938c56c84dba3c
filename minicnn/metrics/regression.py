"""Distances between predictions and targets."""

import numpy as np

from minicnn.losses.targets import element_shapes
from minicnn.metrics.base import Metric, register

__all__ = ["MeanAbsoluteError", "MeanSquaredError"]


class _Distance(Metric):
    """Base of metrics that compare element by element; a subclass writes `of`, the distance of each difference."""

    direction = "min"

    def target_shapes(self, output_shape):
        return element_shapes(output_shape)

    def measure(self, target, prediction):
        difference = prediction - target.reshape(prediction.shape)
        return self.of(difference).sum(dtype=np.float64), difference.size


@register("mse")
class MeanSquaredError(_Distance):
    """Mean of (prediction − target)²."""

    of = staticmethod(np.square)

    def __init__(self, name: str = "mean_squared_error", **options: object):
        super().__init__(name, **options)


@register("mae")
class MeanAbsoluteError(_Distance):
    """Mean of |prediction − target|."""

    of = staticmethod(np.abs)

    def __init__(self, name: str = "mean_absolute_error", **options: object):
        super().__init__(name, **options)
