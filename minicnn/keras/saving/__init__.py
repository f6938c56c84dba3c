"""``keras.saving``."""

from minicnn.keras._names import Lookup, lookup

_HELPERS = ("get_custom_objects", "get_registered_name", "get_registered_object", "register_keras_serializable")
_OBJECTS = ("deserialize_keras_object", "serialize_keras_object")
_WEIGHTS = ("load_weights", "save_weights")

__getattr__: Lookup = lookup(
    __name__,
    names={"custom_object_scope": "minicnn.registry", "CustomObjectScope": "minicnn.registry.custom_object_scope"}
    | dict.fromkeys(_HELPERS, "minicnn.keras.utils._helpers")
    | dict.fromkeys(_OBJECTS, "minicnn.keras.saving._objects")
    | dict.fromkeys(("load_model", "save_model"), "minicnn.keras.models")
    | dict.fromkeys(_WEIGHTS, "minicnn.keras.saving._objects"),
)
__all__ = [*_HELPERS, *_OBJECTS, *_WEIGHTS, "custom_object_scope", "load_model", "save_model"]
