"""What Keras 1 and 2 wrote, in today's names: applied to a model's description before `config` reads it."""

from collections.abc import Iterable
from typing import Any

from minicnn import layers
from minicnn.errors import FileFormatError
from minicnn.saving.keras.names import class_name_of, is_own, is_users
from minicnn.user_warnings import brief, warn_user

MAX_DEPTH = 100

CLASSES = {
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
}
"""Keras 1's classes → today's."""

ARGUMENTS = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "beta_init": "beta_initializer",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "filter_length": "kernel_size",
    "gamma_init": "gamma_initializer",
    "init": "kernel_initializer",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
"""Keras 1's arguments → today's."""

OF_EMBEDDING = {
    "W_constraint": "embeddings_constraint",
    "W_regularizer": "embeddings_regularizer",
    "init": "embeddings_initializer",
}
"""The same of an Embedding, whose output_dim and input_dim have kept their names."""

DROPPED = (
    "input_dim",
    "input_dtype",
    "input_length",
    "mode",
    "W_learning_rate_multiplier",
    "b_learning_rate_multiplier",
)
SIZES = ("nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3")
"""Of a kernel, one by one: of images, then of volumes."""

VALUES = {"tf": "channels_last", "th": "channels_first", "default": None}
INITIALIZERS = {"normal": "random_normal", "one": "ones", "uniform": "random_uniform", "zero": "zeros"}
MERGES = {"ave": "Average", "concat": "Concatenate", "max": "Maximum", "mul": "Multiply", "sum": "Add"}
MERGES |= {"cos": "Dot", "dot": "Dot"}

ONLY_IN_TRAINING = (*("RandomElasticTransform", "RandomHeight", "RandomWidth"),)
"""Augmentation that is not here; it passes images through unless the model trains."""

HARD_SIGMOID = {"class_name": "Elementary", "config": {"function": "hard_sigmoid_2"}}


def modernized(entry: Any, version: Any = None) -> Any:
    """A model's description in today's names.

    Parameters
    ----------
    entry : dict
        With "class_name" and "config", from any Keras.
    version : str, optional
        Of the Keras that wrote it; before 3, hard_sigmoid is another function.
    """
    read = _modern(entry, str(version or "3")[:2] in ("1.", "2."), 0)
    return _renamed(read, without_slashes(_layer_names(read)))


def without_slashes(names: Iterable[str]) -> dict[str, str]:
    """Layers' names with slashes → as they may be today, "Conv_BatchNorm" for "Conv/BatchNorm"; none is there twice."""
    taken, found = set(names := [*names]), {}
    for name in dict.fromkeys(name for name in names if "/" in name):
        found[name] = name.replace("/", "_")
        while found[name] in taken:
            found[name] += "_"
        taken.add(found[name])
    return found


def _layer_names(entry):
    """The names of all layers below, of those of models in the model as well."""
    config = entry.get("config") if isinstance(entry, dict) else None
    found = config.get("layers") if isinstance(config, dict) else config  # early Keras wrote a Sequential's as a list
    for layer in found if isinstance(found, list) else ():
        if isinstance(layer, dict):
            own = layer["config"] if isinstance(layer.get("config"), dict) else {}
            yield from (name for name in (layer.get("name"), own.get("name")) if isinstance(name, str))
            yield from _layer_names(layer)


def _renamed(value, names):
    """The description with other names of layers: where they are defined, and where calls, inputs and outputs refer."""
    if not names:
        return value
    if isinstance(value, list):
        return [_renamed(part, names) for part in value]
    if isinstance(value, dict):
        return {key: _renamed(part, names) for key, part in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


def _modern(value, is_old, depth):
    if depth > MAX_DEPTH:
        raise FileFormatError(f"a model's description is nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_modern(part, is_old, depth + 1) for part in value]
    if not isinstance(value, dict):
        return value
    read = {key: _modern(part, is_old, depth + 1) for key, part in value.items()}
    if isinstance(read.get("class_name"), str) and isinstance(read.get("config"), dict):
        return _layer(read, is_old)
    return read


def _layer(entry, is_old):
    named, class_name, config = class_name_of(entry), entry["class_name"], dict(entry["config"])
    if not (">" in named or is_own(named) or is_users(entry)):  # a user's may have any name, and any arguments
        class_name, config = _of_library(class_name.rpartition(">")[2], config)
    if is_old and config.get("activation") == "hard_sigmoid":
        config["activation"] = HARD_SIGMOID
    if class_name == "VarianceScaling" and config.get("distribution") == "normal":
        config["distribution"] = "truncated_normal"
    return entry | {"class_name": class_name, "config": config}


def _of_library(class_name, config):
    """Today's class and arguments of a layer of Keras's."""
    if class_name == "Merge":
        class_name, config = _merging(config)
    elif _is_keras_1(class_name, config):
        config = _arguments(class_name, config)
        class_name = CLASSES.get(class_name, class_name)
    if class_name in ONLY_IN_TRAINING:
        warn_user(f"layer {brief(config.get('name'))} ({class_name}) is left out: it acts in training alone")
        kept = {key: config[key] for key in ("batch_input_shape", "dtype") if key in config}
        return "Activation", {"name": config.get("name"), "activation": "linear"} | kept
    if class_name == "ThresholdedReLU":
        threshold = config.pop("theta", 1.0)
        return "ReLU", config | {"threshold": threshold}
    return class_name, config


def _merging(config):
    """Today's class and arguments of a Merge.

    Raises
    ------
    FileFormatError
        For one that holds the models that it joins, as the first layer of a Sequential.
    """
    if config.get("layers"):
        raise FileFormatError(
            f"layer {brief(config.get('name'))} (Merge) holds the models that it joins, as Keras 1 wrote a Sequential "
            "that begins with them, which is not read: make the model as its script does, with "
            "minicnn.keras.layers.Merge, and set its weights"
        )
    mode = config.get("mode")
    class_name = MERGES.get(mode, "Merge") if isinstance(mode, str) else "Merge"
    of_class = {
        "Concatenate": {"axis": config.get("concat_axis", -1)},
        "Dot": {"axes": config.get("dot_axes", -1), "normalize": mode == "cos"},
    }
    own = {"name": config.get("name"), "trainable": config.get("trainable", True)}
    return class_name, own | of_class.get(class_name, {})


def _is_keras_1(class_name, config) -> bool:
    marks = {"border_mode", "dim_ordering", "init", "nb_filter", "output_dim", "p", "pool_length", "sigma", "beta_init"}
    is_newer = class_name in ("Lambda", "RandomGaussianBlur")  # they have such a name, too
    if class_name == "Embedding":
        return "init" in config
    is_here = class_name in layers.CLASSES  # what is not may be a user's
    return class_name in CLASSES or (not is_newer and is_here and bool(marks & config.keys()))


def _arguments(class_name, config) -> dict:
    if config.get("mode") not in (None, 0):
        raise FileFormatError(f"layer {brief(config.get('name'))} ({class_name}): only mode=0 is supported")
    read, is_table = {}, class_name == "Embedding"
    for name, value in config.items():
        if name in SIZES or (name in DROPPED and not (is_table and name == "input_dim")):
            continue
        if is_table and name == "dropout" and not value:
            continue
        if name in ("dim_ordering", "border_mode") and isinstance(value, str):
            value = VALUES.get(value, value)
        elif name.endswith(("init", "_init")) and isinstance(value, str):
            value = INITIALIZERS.get(value, value)
        elif name.endswith(("_regularizer", "_constraint")):
            value = _rule(value)
        read[(OF_EMBEDDING if is_table else ARGUMENTS).get(name, name)] = value
    if sizes := [config.get(name) for names in (SIZES[:2], SIZES[2:]) if names[0] in config for name in names]:
        read["kernel_size"] = sizes
    if class_name.startswith("Deconvolution"):
        read.pop("output_shape", None)  # Keras 1 asked for what the padding says
    return read


def _rule(value):
    """A regularizer or constraint, which had its name among its arguments."""
    if not isinstance(value, dict) or "name" not in value:
        return value
    rest = {key: part for key, part in value.items() if key != "name"}
    renamed = {"WeightRegularizer": "L1L2", "L1L2Regularizer": "L1L2"}
    if "m" in rest:
        rest["max_value"] = rest.pop("m")
    return {"class_name": renamed.get(value["name"], value["name"]), "config": rest}
