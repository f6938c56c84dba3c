"""``keras.optimizers.schedules``."""

from minicnn.keras._names import lookup, public_names
from minicnn.optimizers import schedules as _core

__getattr__ = lookup(__name__, ["minicnn.optimizers.schedules"])
__all__ = sorted(public_names(_core))
