"""``keras.losses``."""

from minicnn import losses as _core
from minicnn.keras._names import lookup, public_names

__getattr__ = lookup(__name__, ["minicnn.losses"], names={"deserialize": "minicnn.losses.get"})
__all__ = sorted(public_names(_core))
