"""``keras.constraints``."""

from minicnn import constraints as _core
from minicnn.keras._names import lookup, public_names
from minicnn.keras._starred import starred
from minicnn.keras.saving._objects import reading

_NAMES = {
    "serialize": "minicnn.keras.saving._objects.serialized",
    "get": "minicnn.constraints",
}
deserialize = reading(_core.get)
__getattr__ = lookup(__name__, ["minicnn.constraints"], names=_NAMES)
__all__ = sorted(public_names(_core))
__all__ += starred(__name__)
