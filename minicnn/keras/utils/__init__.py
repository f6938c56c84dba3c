"""``keras.utils``."""

from minicnn import utils as _core
from minicnn.keras._names import lookup

_NAMES = {
    "PyDataset": "minicnn.utils.Sequence",
    "model_to_dot": "minicnn.visualization.plot_model",
    "custom_object_scope": "minicnn.registry",
    "CustomObjectScope": "minicnn.registry.custom_object_scope",
}

__getattr__ = lookup(__name__, ["minicnn.utils"], names=_NAMES, old={"plot": "plot_model"})
__all__ = sorted({*_core.__all__, *_NAMES})
