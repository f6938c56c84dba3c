"""``keras.saving``."""

from minicnn.keras._names import lookup
from minicnn.keras.models import load_model, save_model

_HELPERS = ("get_custom_objects", "get_registered_name", "get_registered_object", "register_keras_serializable")

__getattr__ = lookup(
    __name__,
    names={"custom_object_scope": "minicnn.registry"} | dict.fromkeys(_HELPERS, "minicnn.keras.utils._helpers"),
)
__all__ = [*_HELPERS, "custom_object_scope", "load_model", "save_model"]
