"""``keras.experimental`` of Keras 2: schedules, which are in ``keras.optimizers.schedules`` today."""

from minicnn.keras._names import Lookup, lookup

_NAMES = dict.fromkeys(("CosineDecay", "CosineDecayRestarts"), "minicnn.keras.optimizers.schedules")
__getattr__: Lookup = lookup(__name__, names=_NAMES)
__all__ = sorted(_NAMES)
