"""Means and sums of numbers, and of what a function of the user's returns."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import is_real
from minicnn.data.elements import lent
from minicnn.foreign import to_numpy
from minicnn.hints import Config
from minicnn.last_function import carried
from minicnn.layers.names import snake_case
from minicnn.losses.of_calls import like
from minicnn.losses.reductions import spread, weighted_sum
from minicnn.metrics.base import Metric, register, registry
from minicnn.own_parts import check_takes

__all__ = ["Accuracy", "Mean", "MeanMetricWrapper", "Sum"]


@register
class Mean(Metric):
    """The (weighted) mean of all values it was given.

    Parameters
    ----------
    name, dtype : str, optional
    """

    name: str = "mean"

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Take values into account.

        Parameters
        ----------
        values : array-like of any shape
        sample_weight : array-like that broadcasts with it, optional
            A single number is the weight of the values' mean, which counts once, as in Keras.
        """
        values = to_numpy(values, "values")
        total, count = weighted_sum(values, np.ones(values.shape) if sample_weight is None else sample_weight)
        self._sum, self._count = self._sum + total, self._count + count

    def __call__(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """`update_state`, and what `result` is then."""
        self.update_state(values, sample_weight)
        return self.result()


@register
class Sum(Mean):
    """The (weighted) sum of all values it was given.

    Parameters
    ----------
    name, dtype : str, optional
    """

    name: str = "sum"

    def reset_state(self) -> None:
        self._sum = 0.0

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """As `Mean.update_state`."""
        values = to_numpy(values, "values")
        weight = spread(1 if sample_weight is None else sample_weight, values.shape, len(values) if values.ndim else 1)
        self._sum += float((values * weight).sum())

    def result(self) -> float:
        return self._sum


@register
class MeanMetricWrapper(Metric):
    """The mean of what a function says about each batch; a function in ``metrics=[…]`` becomes one.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred)`` gets copies of arrays, on the host, and returns an array whose values count, or a number,
        which counts once for each batch, however long.
    name, dtype : str, optional
        Default: the function's name.
    **arguments
        For `fn`.

    Raises
    ------
    TypeError
        If `fn` cannot be called, or not with these arguments, or returns something else than numbers.
    """

    on_device = False

    def __init__(
        self, fn: Callable[..., object], name: str | None = None, dtype: str | None = None, **arguments: object
    ):
        if not callable(fn):
            raise TypeError(f"`fn` is a function of (y_true, y_pred). Received: fn={fn!r}")
        check_takes(fn, "a function as a metric", "y_true", "y_pred", **arguments)
        super().__init__(_name_of(fn) if name is None else name, dtype)
        self.fn: Callable[..., object] = fn
        self.arguments: dict[str, object] = arguments

    def get_config(self) -> Config:
        """The constructor's arguments, with the name of the function: files hold no code."""
        return super().get_config() | {"fn": getattr(self.fn, "__name__", repr(self.fn))} | self.arguments

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        values = self._said(target, prediction)
        return np.broadcast_to(values, len(prediction)) if values.ndim == 0 else values  # one number with weights

    def measure(self, target: np.ndarray, prediction: np.ndarray) -> tuple[float | np.ndarray, int]:
        """The batch's (sum, number of summands); of a function that gives one number, it is one, as in Keras."""
        values = self._said(target, prediction)
        return self.by_samples(values.sum(dtype=np.float64), values)

    def _said(self, target, prediction):
        """What the function returns; targets (N,) of outputs (N, 1), as whole numbers are, would be broadcast."""
        y_pred = carried(lent(prediction), prediction)
        is_narrow = target.dtype.kind in "iu" and target.dtype.itemsize < 4  # where -1, or 200 · 2, has no place
        kind = np.int32 if is_narrow else target.dtype
        values = np.asarray(self.fn(like(target, prediction, kind), y_pred, **self.arguments))
        if not is_real(values):
            raise TypeError(
                f"metric '{self.name}' returns a number or an array of them. Received: one of dtype {values.dtype}"
            )
        return values


@register
class Accuracy(Metric):
    """How often outputs equal targets exactly: for outputs that are class numbers themselves.

    Parameters
    ----------
    name, dtype : str, optional
    """

    name: str = "accuracy"
    direction: str | None = "max"

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        if target.size != prediction.size:
            raise ValueError(
                f"metric '{self.name}' (Accuracy) compares targets with outputs that are class numbers themselves; "
                f"of scores, one column for each class, metrics=['accuracy'] or SparseCategoricalAccuracy() is meant. "
                f"Received: targets {target.shape}, outputs {prediction.shape}"
            )
        return target.reshape(prediction.shape) == prediction


def wrapped(identifier: object) -> Metric:
    """A metric from an instance, a class, a config, or a function, which becomes a `MeanMetricWrapper`.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    is_function = callable(identifier) and not isinstance(identifier, type | Metric)
    stands_for = getattr(identifier, "stands_for", None)  # a loss, in `losses.huber`, is a function like others
    if is_function and not (isinstance(stands_for, type) and issubclass(stands_for, Metric)):
        return MeanMetricWrapper(identifier)
    return registry.get(identifier)


def _name_of(fn):
    """What a function, or an object that can be called, is shown as: as in Keras."""
    names = [getattr(fn, "__name__", None), getattr(fn, "name", None), snake_case(type(fn).__name__)]
    return next(name for name in names if isinstance(name, str))
