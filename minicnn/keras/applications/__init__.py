"""``keras.applications``: networks without pretrained weights, and the preprocessing of pixels."""

import sys
from types import ModuleType

from minicnn.keras._names import lookup
from minicnn.keras.applications._networks import NETWORKS
from minicnn.keras.applications._preprocessing import PREPROCESSING

_MODULES_OF = {"vgg16": "VGG16", "vgg19": "VGG19", "resnet50": "ResNet50", "resnet": "ResNet", "densenet": "DenseNet"}


def _module(name):
    """``keras.applications.vgg16`` and its like: a network or some, and ``preprocess_input``."""
    module = ModuleType(f"{__name__}.{name}", f"``keras.applications.{name}``.")
    start = _MODULES_OF.get(name)
    found = {n: network for n, network in NETWORKS.items() if start and n.startswith(start)}
    vars(module).update(found, preprocess_input=PREPROCESSING[name], __all__=[*found, "preprocess_input"])
    vars(module)["__getattr__"] = lookup(module.__name__)
    sys.modules[module.__name__] = module
    return module


globals().update(NETWORKS)
globals().update({name: _module(name) for name in PREPROCESSING})
__getattr__ = lookup(__name__)
__all__ = [*NETWORKS, *PREPROCESSING]
