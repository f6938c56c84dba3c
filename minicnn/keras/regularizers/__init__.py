"""``keras.regularizers``."""

from minicnn import regularizers as _core
from minicnn.keras._names import lookup, public_names

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.regularizers",
    "deserialize": "minicnn.regularizers.get",
}
__getattr__ = lookup(__name__, ["minicnn.regularizers"], names=_NAMES, old={"activity_l1": "l1", "activity_l2": "l2"})
__all__ = sorted({*public_names(_core), "l1", "l2", "l1_l2"})
