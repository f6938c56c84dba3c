"""``keras.losses``."""

from minicnn import losses as _core
from minicnn.keras._names import lookup, public_names
from minicnn.keras._of_tensors import FORMULAS, of_anything

_NAMES = {
    "serialize": "minicnn.registry.to_plain",
    "get": "minicnn.losses",
    "deserialize": "minicnn.losses.get",
}
__getattr__ = lookup(__name__, ["minicnn.losses"], names=_NAMES)
globals().update({name: of_anything(name, getattr(_core, name)) for name in FORMULAS})
__all__ = sorted(public_names(_core))
