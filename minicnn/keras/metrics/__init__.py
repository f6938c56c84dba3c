"""``keras.metrics``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from types import FunctionType
from typing import Any

import numpy as np

from minicnn import metrics as _core
from minicnn.differentiation import value_of
from minicnn.keras import _own_metrics
from minicnn.keras._eager import eager_names, eager_part
from minicnn.keras._names import lookup, public_names
from minicnn.keras._of_keras_3 import OF_METRICS
from minicnn.keras._of_tensors import FORMULAS, of_anything
from minicnn.keras._starred import starred
from minicnn.keras.saving._objects import deserialize_keras_object, is_function, registered
from minicnn.keras.utils._helpers import get_custom_objects
from minicnn.layers.names import snake_case
from minicnn.named_functions import function_named
from minicnn.registry import custom_object, custom_object_scope
from minicnn.user_warnings import warn_user

Metric = _own_metrics.Metric

_NAMES = {
    "serialize": "minicnn.keras.saving._objects.serialized",
    **dict.fromkeys(
        ("binary_focal_crossentropy", "categorical_focal_crossentropy", "huber", "log_cosh"), "minicnn.losses"
    ),
}
_FUNCTIONS = (
    *(
        "binary_accuracy",
        "binary_crossentropy",
        "categorical_accuracy",
        "categorical_crossentropy",
        "mean_squared_error",
    ),
    *("mean_absolute_error", "sparse_categorical_accuracy", "sparse_categorical_crossentropy"),
    *("top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"),
)
_OLD = {"cosine_proximity": "cosine_similarity", "kullback_leibler_divergence": "kl_divergence", "logcosh": "log_cosh"}


def get(identifier: Any) -> Any:
    """A metric from a name, a class, an instance or a config; None for None.

    "accuracy" alone, without a model's output to choose by, is the class `Accuracy`, as in Keras 3.
    """
    if isinstance(identifier, str) and identifier in ("accuracy", "Accuracy"):
        return Accuracy()
    return None if identifier is None else _core.get(registered(identifier))


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize` was given.

    Parameters
    ----------
    config : str or dict
        "package>name" of what was registered, too.
    custom_objects : dict, optional
        Classes and functions of one's own by their names.
    """
    with custom_object_scope(custom_objects):
        if is_function(config):
            return deserialize_keras_object(config)
        found = registered(config)
        found = custom_object(found) or found if isinstance(found, str) else found
        return found if isinstance(found, FunctionType) else get(found)


def _with_function(args, kwargs):
    """The arguments of a MeanMetricWrapper, whose function a config knows by its name."""
    name = args[0] if args else kwargs.get("fn")
    if is_function(name):
        return args[1:], kwargs | {"fn": deserialize_keras_object(name)}
    if isinstance(name, str):
        args, kwargs = (
            args[1:],
            kwargs | {"fn": custom_object(name) or get_custom_objects().get(name) or function_named(name) or name},
        )
    return args, kwargs


def _named_by_class(constructor):
    """The constructor of MeanMetricWrapper, whose name in Keras is that of the class, and not the function's."""

    @wraps(constructor)
    def __init__(self, fn, name=None, dtype=None, **arguments):
        constructor(self, fn, snake_case(type(self).__name__) if name is None else name, dtype, **arguments)

    return __init__


def _with_floats(args, kwargs):
    """The arguments of an F score, whose numbers Keras takes as floats alone."""
    for name in ("beta", "threshold"):
        if isinstance(kwargs.get(name), int):
            raise ValueError(f"`{name}` is a float, as in Keras: {float(kwargs[name])}. Received: {kwargs[name]!r}")
    return args, kwargs


def _of_columns(self, y_true, y_pred, sample_weight=None):
    """Take a batch into account; targets and outputs are (N, outputs), as in Keras."""
    if np.ndim(y_pred) != 2:
        raise ValueError(
            "R2Score takes targets and outputs (N, outputs), as in Keras; minicnn.metrics.R2Score takes (N,) too. "
            f"Received: {np.shape(y_true)} and {np.shape(y_pred)}"
        )
    _core.R2Score.update_state(self, y_true, y_pred, sample_weight)


def _with_weights(update_state):
    """`update_state` of an intersection over union, with a warning where Keras gives another result."""

    def update(self, y_true, y_pred, sample_weight=None):
        if self.dtype in (None, "int64") and sample_weight is not None and np.any(np.asarray(sample_weight) % 1):
            warn_user(
                f"the weights of metric '{self.name}' are float and count as they are, while Keras rounds them to int "
                "by casting, unless it is told dtype='float32': with that argument both agree"
            )
        update_state(self, y_true, y_pred, sample_weight)

    return wraps(update_state)(update)


def _with_nan_last(y_pred):
    """Outputs in which NaN is the largest of no sample that has numbers."""
    outputs = value_of(y_pred)
    outputs = np.asarray(outputs) if isinstance(outputs, list | tuple) else outputs
    if isinstance(outputs, np.ndarray) and outputs.dtype.kind == "f" and (is_nan := np.isnan(outputs)).any():
        return np.where(is_nan, outputs.dtype.type(-np.inf), outputs)
    return y_pred


def _largest_number(update_state):
    """`update_state` of an accuracy of classes, with such outputs."""

    def update(self, y_true, y_pred, sample_weight=None):
        update_state(self, y_true, _with_nan_last(y_pred), sample_weight)

    return wraps(update_state)(update)


def _of_largest_number(function):
    """The function of such an accuracy."""
    made = eager_part(function, __name__)
    compute = made._compute
    made._compute = lambda metric, y_true, y_pred: compute(metric, y_true, _with_nan_last(y_pred))
    return made


for _name in ("CategoricalAccuracy", "SparseCategoricalAccuracy"):
    globals()[_name] = eager_part(getattr(_core, _name), __name__)
    globals()[_name].update_state = _largest_number(getattr(_core, _name).update_state)
categorical_accuracy = _of_largest_number(_core.categorical_accuracy)
sparse_categorical_accuracy = _of_largest_number(_core.sparse_categorical_accuracy)
for _name in ("BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"):
    globals()[_name] = eager_part(getattr(_core, _name), __name__)
    globals()[_name].update_state = _with_weights(getattr(_core, _name).update_state)
FBetaScore, F1Score, R2Score = (eager_part(getattr(_core, n), __name__) for n in ("FBetaScore", "F1Score", "R2Score"))
FBetaScore.translate = F1Score.translate = _with_floats
R2Score.update_state = _of_columns
Accuracy, MeanMetricWrapper = (eager_part(getattr(_core, n), __name__) for n in ("Accuracy", "MeanMetricWrapper"))
MeanMetricWrapper.translate = _with_function
MeanMetricWrapper.__init__ = _named_by_class(_core.MeanMetricWrapper.__init__)
__getattr__ = eager_names(lookup(__name__, ["minicnn.metrics"], names=_NAMES, old=_OLD), __name__)
globals().update({name: of_anything(name, eager_part(getattr(_core, name), __name__), __name__) for name in FORMULAS})
__all__ = sorted({*public_names(_core), *_FUNCTIONS, "K"})
for _name, _method in OF_METRICS.items():
    setattr(_core.Metric, _name, _method)
_core.Metric.reset_states = lambda metric: metric.reset_state()  # type: ignore[attr-defined]  # its name in Keras 2
__all__ += starred(__name__)
