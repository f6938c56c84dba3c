"""``keras.losses``."""

from __future__ import annotations

from typing import Any

from minicnn import losses as _core
from minicnn.keras._names import lookup, public_names
from minicnn.keras._translation import Translated


class Loss(_core.Loss, metaclass=Translated):
    """Base of losses of one's own: minicnn's `Loss`, or Keras's, which has `call`, or `__call__` for the whole batch.

    ``call(y_true, y_pred)`` returns the loss of each sample, ``__call__(y_true, y_pred, sample_weight=None)`` one
    number; either is differentiated.
    """

    core_class = _core.Loss

    def __init_subclass__(cls, **options: Any) -> None:
        if "__call__" in vars(cls) and "call" not in vars(cls):
            cls.call = _whole
        super().__init_subclass__(**options)


def _whole(self, y_true, y_pred):
    return self(y_true, y_pred)


_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.losses",
    "deserialize": "minicnn.losses.get",
}
__getattr__ = lookup(__name__, ["minicnn.losses"], names=_NAMES)
__all__ = sorted(public_names(_core))
