"""``keras.losses``."""

from minicnn import losses as _core
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__, ["minicnn.losses"], names={"deserialize": "minicnn.losses.get"})
__all__ = sorted(_core.__all__)
