"""Results that have ``.numpy()``, as TensorFlow's have: ``model(x).numpy()``, ``metric.result().numpy()``."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial, wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn.data.elements import EagerArray
from minicnn.differentiation import met, value_of
from minicnn.graph import Tensor
from minicnn.keras import _operators as _operators
from minicnn.keras._deferred import Deferred
from minicnn.keras._last_function import forgotten
from minicnn.keras._loss_dtypes import LossName, as_computed, dtype_of, hides, in_dtype_of, in_its_dtype, with_dtype
from minicnn.keras._metric_variables import keras_variables
from minicnn.keras._on_built_in_losses import OnBuiltIn, PerSample, called
from minicnn.keras._taped import Taped, nothing_recorded
from minicnn.keras._taped_losses import with_targets_on_tape
from minicnn.keras._translation import translated
from minicnn.keras._whole_configs import complete, of_loss, of_metric
from minicnn.last_function import remembering
from minicnn.layers.added_loss import BatchScalar
from minicnn.losses import Loss
from minicnn.losses.crossentropy import CategoricalCrossentropy
from minicnn.losses.elementwise import RowLoss
from minicnn.losses.functions import ArrayFunction
from minicnn.losses.of_calls import has_call
from minicnn.losses.reductions import for_each_weight, spread
from minicnn.metrics import Metric
from minicnn.nested import mapped
from minicnn.settings import floatx


class EagerNumber(float):
    """A number with ``.numpy()``, and what else a tensor of one number has."""

    shape: tuple[()] = ()
    ndim: int = 0
    dtype: np.dtype | str = np.dtype(np.float32)  # "bfloat16" and "float16": of a loss in one
    metric: Any = None  # whose result it is

    def numpy(self) -> np.floating[Any]:
        """The number as NumPy has it."""
        return np.float64(self) if self.dtype == "float64" else np.float32(self)


def _evaluated(array: EagerArray, feed_dict: Any = None, session: Any = None) -> np.ndarray:
    """The numbers, as a tensor of TensorFlow 1 gives them to ``tensor.eval(session=session)``."""
    return array.numpy()


EagerArray.eval = _evaluated  # type: ignore[attr-defined]


def eager(result: Any) -> Any:
    """Arrays and numbers with ``.numpy()``, in lists and dictionaries too; anything else as it is."""
    return mapped(_eager, result)


def _eager(leaf):
    if type(leaf) is np.ndarray:
        return leaf.view(EagerArray)
    return EagerNumber(leaf) if isinstance(leaf, float | np.floating) else leaf


def eagerly(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with such results."""

    @wraps(method)
    def call(self, *args, **kwargs):
        for x in args:
            if isinstance(x, Deferred):
                x.refuse_layer()
        return eager(method(self, *args, **kwargs))

    return call


def loss_call(method: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a loss, with such results; the losses of single samples have the dtype of models."""

    @wraps(method)
    def call(self, *args, **kwargs):
        given = map(met, _as_called(self, args, kwargs))
        *pair, weight = (as_computed(self, forgotten(x) if hides(self, x) else x) for x in given)
        pair = pair if has_call(self) else _of_equal_rank(*pair)
        if _is_one_row(self, weight, *pair):
            result = _of_one_row(method, self, weight, *pair)
        elif isinstance(weight, Taped):
            result = _with_weights_on_tape(method, self, weight, *pair)
        else:
            options = {} if weight is None else {"sample_weight": weight}
            result = with_targets_on_tape(partial(method, self), *pair, **options)
        result = eager(in_its_dtype(self, result))
        if isinstance(result, EagerNumber) and dtype_of(self) != floatx():
            result.dtype = dtype_of(self)
        return result

    return call


_LOSS_CALL = signature(lambda y_true, y_pred, sample_weight=None: None)


def _as_called(loss, args, kwargs):
    """Targets, outputs and weights, which is what a loss is called with."""
    try:
        bound = _LOSS_CALL.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"a loss is called as {type(loss).__name__}(…)(y_true, y_pred, sample_weight=None). Received: {error}"
        ) from None
    bound.apply_defaults()
    return bound.args


_OF_ROWS = (RowLoss, CategoricalCrossentropy)  # which have a last axis, and are no means of single numbers


def _is_one_row(loss, weight, y_true, y_pred):
    """Whether these are vectors, whose mean a loss of the library is to Keras, and that is another number."""
    is_plain = loss.reduction == "sum_over_batch_size" and weight is None and not isinstance(loss, _OF_ROWS)
    return not (is_plain or has_call(loss)) and _rank(y_true) == _rank(y_pred) == 1


def _of_equal_rank(y_true, y_pred):
    """Outputs (N,) beside targets (N, 1) as (N, 1), a row for each sample, as in Keras."""
    if _rank(y_pred) == 1 and np.shape(value_of(y_true)) == (len(y_pred), 1):
        y_pred = np.reshape(y_pred if isinstance(y_pred, Taped) else np.asarray(y_pred), (-1, 1))
    return [y_true, y_pred]


def _rank(x):
    return np.ndim(x) if isinstance(x, list | tuple) else getattr(x, "ndim", None)


def _of_one_row(method, loss, weight, *pair):
    """The loss of vectors (N,), a row as any other: a single number, which each weight is multiplied with."""
    single = copy(loss)
    single.reduction = None
    if isinstance(loss, _OF_ROWS):
        pair = [np.reshape(x if isinstance(x, Taped) else np.asarray(x), (1, -1)) for x in pair]  # (1, N)
    value = np.mean(with_targets_on_tape(partial(method, single), *pair))
    if weight is None:
        return value
    if not np.size(value_of(weight)):
        raise ValueError(
            "sample_weight of y_true and y_pred of shape (N,) is a number or an array of at least one. "
            f"Received: shape {np.shape(value_of(weight))}"
        )
    weighted = value * (weight if isinstance(weight, Taped) else np.asarray(weight))
    if loss.reduction is None or not weighted.ndim:  # a single number is not reduced
        return weighted
    total = np.sum(weighted)
    if loss.reduction == "sum":
        return total
    if loss.reduction == "sum_over_batch_size":
        return total / weighted.size
    weights = np.sum(weight)
    return total / weights if value_of(weights) else total * 0


def _with_weights_on_tape(method, loss, weight, *pair):
    """The call of a loss, of which gradients go back to the samples' weights too."""
    if getattr(loss, "ignore_class", None) is not None:
        raise NotImplementedError(
            f"{type(loss).__name__} has no gradient by sample_weight beside ignore_class: "
            "tf.stop_gradient(sample_weight) where none is meant. Received: weights on a tape"
        )
    single = copy(loss)
    single.reduction = None
    values = with_targets_on_tape(partial(method, single), *pair)  # (N, …)
    values = for_each_weight(values, value_of(weight))
    spread(value_of(weight), values.shape, len(values) if values.ndim else 1)
    axes = weight.shape[: values.ndim]
    weight = np.reshape(weight, (*axes, *[1] * (values.ndim - len(axes)))) if axes else weight
    weighted = (values * weight).astype(floatx())
    if loss.reduction in (None, "sum"):
        return weighted if loss.reduction is None else np.sum(weighted)
    if loss.reduction != "mean_with_sample_weight":
        return np.sum(weighted) / values.size
    total = np.sum(weight)
    return np.sum(weighted) / total if value_of(total) else np.sum(weighted) * 0  # without any weight, as in Keras


class _EagerFunction(ArrayFunction):
    @wraps(ArrayFunction.__call__)
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = met(args), {name: met(value) for name, value in kwargs.items()}
        result = with_targets_on_tape(super().__call__, *args, **kwargs)
        return eager(in_dtype_of(result, kwargs["y_pred"] if "y_pred" in kwargs else args[1]))


def eager_names(find: Callable[[str], Any], module: str) -> Callable[[str], Any]:
    """A ``__getattr__`` that gives losses and metrics which are called on arrays such results.

    Parameters
    ----------
    find : callable
        The module's ``__getattr__``.
    module : str
        Its name.
    """
    made = {}

    def __getattr__(name):
        if name not in made:
            made[name] = eager_part(find(name), module)
        return made[name]

    return __getattr__


def eager_part(part: Any, module: str) -> Any:
    """A loss, a metric or a function of one with such results; anything else as it is."""
    if isinstance(part, ArrayFunction):
        part = copy(part)
        part.__class__ = _EagerFunction
        return part
    if not isinstance(part, type) or not issubclass(part, Loss | Metric):
        return part
    if issubclass(part, Loss):
        own = {"__call__": called(loss_call(part.__call__)), "call": PerSample(), "dtype": property(dtype_of)}
        own |= {
            "__init__": with_dtype(part.__init__),
            "name": LossName(),
            "get_config": complete(of_loss)(part.get_config),
        }
        return translated(part, _as_given, module, OnBuiltIn, **own)
    own = {"result": _of_metric(eagerly(part.result)), "update_state": _unrecorded(part.update_state)}
    own |= {"get_config": complete(of_metric)(part.get_config)}
    return translated(part, _as_given, module, **(own | keras_variables(part)))


def _of_metric(result):
    """The method, whose number knows the metric that it is of, for `add_metric`."""

    @wraps(result)
    def of_metric(self):
        value = result(self)
        if isinstance(value, EagerNumber):
            value.metric = self
        return value

    return of_metric


def _unrecorded(update_state):
    """The method, which takes what is on a tape as numbers, and no tensors of a model."""

    @wraps(update_state)
    def update(self, *args, **kwargs):
        for x in (*args, *kwargs.values()):
            if isinstance(x, Tensor | BatchScalar):
                raise TypeError(
                    f"metric '{self.name}' counts numbers, and a call that is made of layers runs once, with tensors "
                    f"that have none: self.add_metric(value, name='{self.name}') averages a tensor in the logs; what "
                    f"compares outputs with targets stands in compile(metrics=…) or a train_step. Received: {x!r}"
                )
        with nothing_recorded():
            given = {name: value_of(met(value)) for name, value in kwargs.items()}
            if "y_pred" in given:
                given["y_pred"] = remembering(met(kwargs["y_pred"]))
            values = [remembering(x) if i == 1 else value_of(x) for i, x in enumerate(met(args))]
            if len(values) > 1 and np.ndim(values[0]) == 0 != np.ndim(values[1]):  # one target for all
                values[0] = np.broadcast_to(values[0], np.shape(values[1]))
            return update_state(self, *values, **given)

    return update


def _as_given(args, kwargs):
    return args, kwargs
