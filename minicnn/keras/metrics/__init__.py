"""``keras.metrics``."""

from minicnn import metrics as _core
from minicnn.keras._names import lookup

__getattr__ = lookup(__name__, ["minicnn.metrics"], names={"deserialize": "minicnn.metrics.get"})
__all__ = sorted(_core.__all__)
