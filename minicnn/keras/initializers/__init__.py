"""``keras.initializers``."""

from minicnn import initializers as _core
from minicnn.keras._names import lookup, public_names

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.initializers",
    "deserialize": "minicnn.initializers.get",
}
__getattr__ = lookup(__name__, ["minicnn.initializers"], names=_NAMES)
__all__ = sorted(public_names(_core))
