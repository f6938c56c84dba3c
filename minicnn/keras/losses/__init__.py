"""``keras.losses``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from minicnn import losses as _core
from minicnn.keras._eager import eager_names, eager_part, loss_call
from minicnn.keras._loss_dtypes import LossName, dtype_of, with_dtype
from minicnn.keras._names import lookup, public_names
from minicnn.keras._of_tensors import FORMULAS, of_anything
from minicnn.keras._on_built_in_losses import whole
from minicnn.keras._starred import starred
from minicnn.keras._translation import Translated
from minicnn.keras._whole_configs import complete, of_loss
from minicnn.keras.saving._objects import deserialize_keras_object, is_function, registered
from minicnn.layers.names import snake_case
from minicnn.registry import custom_object, custom_object_scope


class Loss(_core.Loss, metaclass=Translated):
    """Base of losses of one's own: minicnn's `Loss`, or Keras's, which has `call`, or `__call__` for the whole batch.

    ``call(y_true, y_pred)`` returns the loss of each sample, ``__call__(y_true, y_pred, sample_weight=None)`` one
    number; either is differentiated.
    """

    core_class = _core.Loss
    __init__ = with_dtype(_core.Loss.__init__)
    dtype = property(dtype_of)
    name: Any = LossName()
    __call__ = loss_call(_core.Loss.__call__)
    get_config = complete(of_loss)(_core.Loss.get_config)

    def __init_subclass__(cls, **options: Any) -> None:
        if "__call__" in vars(cls) and "call" not in vars(cls):
            cls.call = whole
        super().__init_subclass__(**options)


class Reduction:
    """Keras 2's names of what a loss makes of the losses of samples."""

    AUTO = SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    NONE, SUM = "none", "sum"


_NAMES = {
    "serialize": "minicnn.keras.saving._objects.serialized",
}
_FUNCTIONS = (
    *("binary_crossentropy", "categorical_crossentropy", "categorical_hinge", "cosine_similarity", "hinge"),
    *("kl_divergence", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error"),
    *("mean_squared_logarithmic_error", "poisson", "sparse_categorical_crossentropy", "squared_hinge"),
)
_SHORT = ("BCE", "KLD", "MAE", "MAPE", "MSE", "MSLE")
_OLD = {"cosine_proximity": "cosine_similarity", "kullback_leibler_divergence": "kl_divergence", "logcosh": "log_cosh"}


def get(identifier: Any) -> Any:
    """As Keras: a name in lower case, or a short one, means the function, others an object of a class; None is None."""
    found = registered(identifier)
    if found is None or (isinstance(identifier, str) and isinstance(found, FunctionType)):
        return found
    loss, identifier = _core.get(found), found
    if isinstance(identifier, str) and (identifier.islower() or identifier in _SHORT):
        return getattr(sys.modules[__name__], snake_case(type(loss).__name__))
    return loss


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize` was given.

    Parameters
    ----------
    name : str or dict
        "package>name" of what was registered, too.
    custom_objects : dict, optional
        Classes and functions of one's own by their names.
    """
    with custom_object_scope(custom_objects):
        if is_function(name):
            return deserialize_keras_object(name)
        own = custom_object(name) if isinstance(name, str) else None
        return get(name) if own is None or isinstance(own, type) else own


__getattr__ = eager_names(lookup(__name__, ["minicnn.losses"], names=_NAMES, old=_OLD), __name__)
globals().update({name: of_anything(name, eager_part(getattr(_core, name), __name__), __name__) for name in FORMULAS})
__all__ = sorted({*public_names(_core), *_FUNCTIONS, "Reduction", "K"})
__all__ += starred(__name__)
