"""``keras.applications``: networks, for which no weights are downloaded, and the preprocessing of pixels."""

import sys
from types import ModuleType

from minicnn.keras._names import Lookup, lookup
from minicnn.keras.applications._decoding import decode_predictions
from minicnn.keras.applications._networks import NETWORKS
from minicnn.keras.applications._preprocessing import PREPROCESSING

_FUNCTIONS = ("decode_predictions", "preprocess_input")
_NETWORKS_OF = {
    **{name.lower(): (name,) for name in ("VGG16", "VGG19", "ResNet50", "Xception", "MobileNet")},
    "resnet": tuple(name for name in NETWORKS if name.startswith("ResNet") and not name.endswith("V2")),
    "resnet_v2": tuple(name for name in NETWORKS if name.startswith("ResNet") and name.endswith("V2")),
    "densenet": tuple(name for name in NETWORKS if name.startswith("DenseNet")),
    "efficientnet": tuple(name for name in NETWORKS if name.startswith("EfficientNetB")),
    "efficientnet_v2": tuple(name for name in NETWORKS if name.startswith("EfficientNetV2")),
    "mobilenet_v2": ("MobileNetV2",),
    "inception_v3": ("InceptionV3",),
    "inception_resnet_v2": ("InceptionResNetV2",),
    "nasnet": tuple(name for name in NETWORKS if name.startswith("NASNet")),
    "convnext": tuple(name for name in NETWORKS if name.startswith("ConvNeXt")),
}
# What files of Keras 2.0 were read with: custom_objects={"relu6": mobilenet.relu6, "DepthwiseConv2D": …}.
_OLDER_NAMES = {
    "mobilenet": {"relu6": "minicnn.keras.activations", "DepthwiseConv2D": "minicnn.keras.layers"},
    "imagenet_utils": {
        "_obtain_input_shape": "minicnn.keras.applications._older",
        "obtain_input_shape": "minicnn.keras.applications._older._obtain_input_shape",
        "correct_pad": "minicnn.keras.applications._older",
    },
}


def _module(name):
    """``keras.applications.vgg16`` and its like: a network or some, and ``preprocess_input``."""
    module = ModuleType(f"{__name__}.{name}", f"``keras.applications.{name}``.")
    found = {network: NETWORKS[network] for network in _NETWORKS_OF.get(name, ())}
    vars(module).update(found, preprocess_input=PREPROCESSING[name])
    vars(module).update(decode_predictions=decode_predictions, __all__=[*found, *_FUNCTIONS])
    vars(module)["__getattr__"] = lookup(module.__name__, names=_OLDER_NAMES.get(name, {}))
    sys.modules[module.__name__] = module
    return module


globals().update(NETWORKS)
globals().update({name: _module(name) for name in PREPROCESSING})
__getattr__: Lookup = lookup(__name__)
__all__ = [*NETWORKS, *PREPROCESSING]
