"""``keras.saving``."""

from minicnn.keras._names import lookup
from minicnn.keras.models import load_model, save_model

__getattr__ = lookup(__name__, names={"custom_object_scope": "minicnn.registry"})
__all__ = ["custom_object_scope", "load_model", "save_model"]
