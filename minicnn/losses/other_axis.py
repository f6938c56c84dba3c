"""Losses whose classes, or directions, lie along another axis than the last, as those of images with channels first."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.differentiation import Recorded, value_of
from minicnn.hints import Config, Shape
from minicnn.last_function import Last, behind, note
from minicnn.losses.base import Loss
from minicnn.losses.of_calls import has_call
from minicnn.registry import ANY


def _turned(x: Any, axis: int) -> Any:
    """The axis as the last one; arrays are in C order."""
    made = np.moveaxis(np.asarray(x) if isinstance(x, list | tuple) else x, axis, -1)
    return made if isinstance(made, Recorded) else made.copy()


def _turned_shape(shape: Shape, axis: int) -> tuple[int, ...]:
    """The shape of a sample whose axis, counted with that of the samples, has become the last."""
    sizes = list(shape)
    at = axis % (len(sizes) + 1) - 1
    return (*sizes[:at], *sizes[at + 1 :], sizes[at])


def _last_of(last: Last, axis: int, ndim: int) -> Last:
    """The softmax or sigmoid of turned arrays."""
    if last.axis is None:
        return last
    order = [at for at in range(ndim) if at != axis % ndim] + [axis % ndim]
    at = order.index(last.axis % ndim)
    return replace(last, axis=-1 if at == ndim - 1 else at)


def _of_last(loss: Any) -> Any:
    """The same loss along the last axis."""
    same = copy(loss)
    same.axis = -1
    return same


def _turned_target(loss: Any, target: Any, shape: Any) -> Any:
    """Targets of the predictions' shape with the axis last; class numbers have none."""
    return _turned(target, loss.axis) if np.shape(value_of(target)) == tuple(shape) else target


def _marked(method: Any) -> Any:
    """A method that turns arrays, which subclasses then need not wrap."""
    method.is_turning = True
    return method


def _checking(method: Callable[..., Any]) -> Callable[..., Any]:
    """`Loss.check_target`; what it returns has the axis last."""

    @wraps(method)
    def check_target(self: Any, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        if not self._is_turned:
            return method(self, target, output_shape)
        if self.axis in (0, -1 - len(output_shape)):
            raise ValueError(
                f"{type(self).__name__} of a model computes along an axis of each sample, as samples stay apart. "
                f"Received: axis={self.axis}, that of the samples"
            )
        turned = _turned_target(self, target, (len(np.asarray(target)), *output_shape))
        return _of_last(self).check_target(turned, _turned_shape(output_shape, self.axis))

    return _marked(check_target)


def _placing(method: Callable[..., Any]) -> Callable[..., Any]:
    """`Loss.placeholder_target`, of the same form."""

    @wraps(method)
    def placeholder_target(self: Any, count: int, output_shape: Shape) -> np.ndarray:
        if not self._is_turned:
            return method(self, count, output_shape)
        return _of_last(self).placeholder_target(count, _turned_shape(output_shape, self.axis))

    return _marked(placeholder_target)


def _valuing(method: Callable[..., Any]) -> Callable[..., Any]:
    """`Loss.values`, of predictions whose axis is not yet the last."""

    @wraps(method)
    def values(self: Any, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        if not self._is_turned:
            return method(self, prediction, target)
        return _of_last(self).values(_turned(prediction, self.axis), target)

    return _marked(values)


_TURNING = {"check_target": _checking, "placeholder_target": _placing, "values": _valuing}


class AlongAxis(Loss):
    """Base of losses that have an `axis`, the last one by default.

    The subclass computes along the last axis alone: where that is not the one, arrays are turned on the way to it.

    Attributes
    ----------
    axis : int
        Of predictions with their batch axis, 0.
    """

    axis: int = -1
    keras_only: Mapping[str, object] = Loss.keras_only | {"axis": ANY}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, turning in _TURNING.items():
            if not hasattr(method := getattr(cls, name), "is_turning"):
                setattr(cls, name, turning(method))

    def check_options(self, options: Mapping[str, object]) -> None:
        """As `Configurable.check_options`; the axis is kept."""
        super().check_options(options)
        axis = options.get("axis", -1)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise ValueError(f"`axis` is a whole number. Received: axis={axis!r}")
        if axis != -1:
            self.axis = axis

    def get_config(self) -> Config:
        return super().get_config() | ({} if self.axis == -1 else {"axis": self.axis})

    @property
    def _is_turned(self) -> bool:
        return self.axis != -1 and not has_call(self)  # a user's `call` gets arrays as they are

    @property
    def goes_by_rows(self) -> bool:
        return super().goes_by_rows and not self._is_turned

    def places(self, output_shape: Shape) -> Shape:
        """As `Reduced.places`."""
        return (_turned_shape(output_shape, self.axis) if self._is_turned else output_shape)[:-1]

    def of_last_axis(self, y_true: Any, y_pred: Any) -> tuple[Loss, Any, Any]:
        """As `Reduced.of_last_axis`."""
        if not self._is_turned:
            return self, y_true, y_pred
        last, logits = behind(y_pred)
        turned = _turned(y_pred, self.axis)
        if last is not None and hasattr(turned, "__dict__"):
            note(turned, _last_of(last, self.axis, turned.ndim), _turned(logits, self.axis))
        return _of_last(self), _turned_target(self, y_true, np.shape(value_of(y_pred))), turned

    @_checking
    def check_target(self, target: ArrayLike, output_shape: Shape) -> np.ndarray:
        """As `Loss.check_target`; what it returns has the axis last."""
        return super().check_target(target, output_shape)

    @_placing
    def placeholder_target(self, count: int, output_shape: Shape) -> np.ndarray:
        return super().placeholder_target(count, output_shape)

    @_valuing
    def values(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return super().values(prediction, target)

    def compute(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None,
        gradient: np.ndarray | None,
        ops: SimpleNamespace,
        from_logits: object = None,
    ) -> float:
        """As `Loss.compute`."""
        if not self._is_turned:
            return super().compute(prediction, target, weight, gradient, ops, from_logits)
        if isinstance(from_logits, Last):
            from_logits = _last_of(from_logits, self.axis, prediction.ndim)
        turned = _turned(prediction, self.axis)  # (N, …, C)
        slopes = None if gradient is None else np.empty_like(turned)
        rows, target, into = turned, target, slopes
        if weight is not None and weight.ndim > 1:  # of places, each of which is a sample then
            rows = turned.reshape(-1, turned.shape[-1])
            target = target.reshape(len(rows), *target.shape[turned.ndim - 1 :])
            weight, into = weight.reshape(-1), None if slopes is None else slopes.reshape(rows.shape)
        value = super().compute(rows, target, weight, into, ops, from_logits)
        if gradient is not None:
            gradient[...] = np.moveaxis(slopes, -1, self.axis)
        return value
