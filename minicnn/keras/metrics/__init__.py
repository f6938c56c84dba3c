"""``keras.metrics``."""

from __future__ import annotations

from typing import Any

from minicnn import metrics as _core
from minicnn.keras import _own_metrics
from minicnn.keras._eager import eager_names, eager_part
from minicnn.keras._names import lookup, public_names
from minicnn.keras._of_tensors import FORMULAS, of_anything
from minicnn.keras.utils._helpers import get_custom_objects
from minicnn.registry import custom_object

Metric = _own_metrics.Metric

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "deserialize": "minicnn.metrics.get",
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
    """A metric from a name, a class, an instance or a config; None for None."""
    return None if identifier is None else _core.get(identifier)


def _with_function(args, kwargs):
    """The arguments of a MeanMetricWrapper, whose function a config knows by its name."""
    name = args[0] if args else kwargs.get("fn")
    if isinstance(name, str):
        args, kwargs = args[1:], kwargs | {"fn": custom_object(name) or get_custom_objects().get(name, name)}
    return args, kwargs


MeanMetricWrapper = eager_part(_core.MeanMetricWrapper, __name__)
MeanMetricWrapper.translate = _with_function
__getattr__ = eager_names(lookup(__name__, ["minicnn.metrics"], names=_NAMES, old=_OLD), __name__)
globals().update({name: of_anything(name, eager_part(getattr(_core, name), __name__), __name__) for name in FORMULAS})
__all__ = sorted({*public_names(_core), *_FUNCTIONS})
