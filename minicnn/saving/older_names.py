"""Files from before users' classes were told from the library's: there a name is one class, the given one if any."""

from typing import Any

from minicnn.library_names import is_taken
from minicnn.own_parts import is_of_package
from minicnn.registry import custom_object

MARKED = "minicnn_names"
"""What newer files have besides."""

NO_LAYERS_OF_KERAS_3 = {
    *("AddLoss", "AddMetric", "ArgMax", "Arithmetic", "Clip", "ConstantTensor", "EarlierPlaces", "Elementary"),
    *("FunctionActivation", "GetItem", "LogSoftmax", "MatrixProduct", "NamedFunction", "PaddedAveragePooling2D"),
    *("PaddedMaxPooling2D", "PlacedResizing", "Pointwise", "Power", "Reduce", "Select", "Sigmoid", "Tanh"),
    *("AtrousConvolution2D", "Convolution1D", "Convolution2D", "Deconvolution2D", "Highway", "MaxoutDense", "Merge"),
    *("RandomHeight", "RandomWidth", "SeparableConvolution2D", "ThresholdedReLU"),
}
"""Layers of the package, and of Keras 1 and 2, that Keras 3 has not: there, a layer that is called so is a user's."""


def users_of_keras_3(described: Any) -> Any:
    """A description in an .h5 file of Keras 3, which has bare names alone, that says which layers are users'.

    Parameters
    ----------
    described : object
        As JSON holds it. Keras's operations, some of which have these names, have no `trainable`.
    """
    if isinstance(described, list):
        return [users_of_keras_3(part) for part in described]
    if not isinstance(described, dict):
        return described
    read, name = {key: users_of_keras_3(part) for key, part in described.items()}, described.get("class_name")
    config = described.get("config")
    is_layer = isinstance(config, dict) and "trainable" in config
    return read | {"class_name": f">{name}"} if is_layer and name in NO_LAYERS_OF_KERAS_3 else read


def told_apart(described: Any) -> Any:
    """An older file's description as newer ones have it: it says which classes are users', and which the package's.

    A given class stands for all of its name, as it did when the file was written; a registered one does not, since the
    file may well be older than that class.

    Parameters
    ----------
    described : object
        As JSON holds it.
    """
    if isinstance(described, list):
        return [told_apart(part) for part in described]
    if not isinstance(described, dict):
        return described
    read, name = {key: told_apart(part) for key, part in described.items()}, described.get("class_name")
    if not isinstance(name, str) or not is_taken(name):
        return read
    given = custom_object(name)
    if isinstance(given, type) and not is_of_package(given):
        return read | {"class_name": f">{name}"}
    is_of_package_alone = described.get("registered_name") == name  # Keras has it not, so it was written as a user's
    return read | {"module": "minicnn"} if is_of_package_alone else read
