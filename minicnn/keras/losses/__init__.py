"""``keras.losses``."""

from minicnn import losses as _core
from minicnn.keras._eager import eager_names
from minicnn.keras._names import lookup, public_names

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.losses",
    "deserialize": "minicnn.losses.get",
}
__getattr__ = eager_names(lookup(__name__, ["minicnn.losses"], names=_NAMES), __name__)
__all__ = sorted(public_names(_core))
