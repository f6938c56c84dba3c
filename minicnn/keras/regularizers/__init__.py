"""``keras.regularizers``."""

import numpy as np

from minicnn import regularizers as _core
from minicnn.differentiation import Recorded, gradients, value_of
from minicnn.keras._names import lookup, public_names
from minicnn.keras._translation import Translated
from minicnn.on_host import assign, on_host


class Regularizer(_core.Regularizer, metaclass=Translated):
    """Base of penalties of one's own: Keras's, which have ``__call__(self, w)``, or minicnn's.

    ``__call__`` returns one number, and is differentiated; it runs on the processor.
    """

    core_class = _core.Regularizer

    def penalty(self, w: np.ndarray) -> float | np.ndarray:
        """R(w)."""
        if type(self).__call__ is Regularizer.__call__:
            return super().penalty(w)
        return float(np.asarray(value_of(self(on_host(w)))).item())

    def add_gradient(self, w: np.ndarray, grad: np.ndarray) -> None:
        """Add dR/dw to `grad`, in place."""
        if type(self).__call__ is Regularizer.__call__:
            super().add_gradient(w, grad)
            return
        source = Recorded(on_host(w), [])
        result = self(source)
        if isinstance(result, Recorded):
            (slope,) = gradients(result, np.ones_like(result.value), [source])
            assign(grad, on_host(grad) + slope)


_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.regularizers",
    "deserialize": "minicnn.regularizers.get",
}
__getattr__ = lookup(__name__, ["minicnn.regularizers"], names=_NAMES, old={"activity_l1": "l1", "activity_l2": "l2"})
__all__ = sorted({*public_names(_core), "l1", "l2", "l1_l2"})
