"""Keras's layers and minicnn's: one table, both ways.

The classes and arguments have the same names unless a table here says otherwise. What Keras has and minicnn has not is
an error that names the object and the argument, unless it is set to the value that changes nothing (`NEUTRAL`).
"""

from typing import Any

from minicnn import initializers, layers
from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.layers.rare_options import WHOLE
from minicnn.own_parts import is_of_package
from minicnn.registry import ANY, constructor_parameters
from minicnn.saving.keras.functions import activation_named, function_from_keras, function_to_keras
from minicnn.saving.keras.names import (
    bare_name,
    class_name_of,
    config_of,
    is_own,
    keras_object,
    object_from_keras,
    own_object,
    part_object,
)
from minicnn.user_warnings import brief, warn_user

NEUTRAL: dict[str, Any] = {
    "activity_regularizer": (None,),
    "adjustment": (None,),
    "autocast": ANY,
    "beta_constraint": (None,),
    "beta_regularizer": (None,),
    "bias_constraint": (None,),
    "data_format": ("channels_last", None),
    "fused": ANY,
    "groups": (1,),
    "gamma_constraint": (None,),
    "gamma_regularizer": (None,),
    "implementation": ANY,
    "input_length": ANY,  # Keras 2's, of an Embedding
    "input_spec": ANY,
    "kernel_constraint": (None,),
    "kernel_initializer": ANY,  # of separable convolutions, whose kernels have initializers of their own
    "kernel_regularizer": (None,),
    "key_shape": ANY,  # Keras 2's, of MultiHeadAttention, as three more
    "lora_alpha": ANY,
    "lora_rank": (None,),
    "mask": (None,),
    "mask_zero": (False,),
    "noise_shape": (None,),
    "optional": (False,),
    "quantization_config": (None,),
    "query_shape": ANY,
    "ragged": (False,),
    "renorm": (False,),
    "renorm_clipping": (None, {}),
    "renorm_momentum": ANY,
    "rms_scaling": (False,),
    "rng_type": ANY,
    "softmax_robust_masking": ANY,
    "sparse": (False,),
    "value_shape": ANY,
    "value_range": ANY,  # Keras 3.3's, of augmentation that keeps the range
    "virtual_batch_size": (None,),
}
"""Arguments of Keras's layers that minicnn's do not have → the values with which they change nothing."""

RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
"""Class → Keras 2's name of an argument → today's."""

UNKNOWN_TO_KERAS = {
    "Pipeline": ("trainable", "dtype"),
    "SpatialDropout1D": ("trainable",),
    "SpatialDropout2D": ("trainable",),
    "SpatialDropout3D": ("trainable",),
}
"""Class → arguments of all layers that this one of Keras 3 does not take."""

MODULES = {"LayerScale": "keras.src.applications.convnext"}
"""Class → where Keras has it, if not in ``keras.layers``."""

DEFAULTS = (("synchronized", False), ("sliding_window", None), ("flash_attention", None), ("use_gate", False))
"""Arguments that older Kerases do not know, with the values they may be left out for."""

OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
"""Functions of TensorFlow; `tf_operations` makes layers of those that it knows."""

CODE = ("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers that hold a program, or the place of one: never read."""

MIXED = ("mixed_bfloat16", "mixed_float16")
POLICIES = ("float32", "float64", *MIXED)
"""Keras's dtype policies that are here, too."""

POLICY_CLASSES = ("DTypePolicy", "FloatDTypePolicy", "Policy")

NAMED_ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "LogSoftmax": "log_softmax",
    "Sparsemax": "sparsemax",
    "Pointwise": None,
}
"""Layers here, but only functions in Keras; of the last, an argument has the name."""

OF_FUNCTIONS = ("function_type", "module", "output_shape_type", "output_shape_module", "mask")
"""What Keras 2 writes of the functions of a Lambda, and an argument of it that is None."""

SHARED_OPTIONS = ("name", "trainable", "input_shape")


# ----------------------------------------------------------------------------------------------------------- reading


def layer_from_keras(class_name: str, config: Config) -> Config:
    """A layer's entry ``{"class_name", "config"}`` from Keras's class name and arguments (models: see `config`).

    Raises
    ------
    FileFormatError
        Naming layer and argument, if minicnn cannot do what it says; naming the layer, if it holds code.
    """
    label = f"layer {brief(config.get('name'))} ({class_name})"
    if class_name in OPERATIONS:
        raise FileFormatError(
            f"{label}: there is no layer here that does what TensorFlow's function {brief(config.get('function'))} "
            "does with these arguments; write it as a layer of your own"
        )
    if class_name in CODE:
        raise FileFormatError(
            f"{label} holds code, which is never run from a file; write it as a layer of your own and give "
            "custom_objects"
        )
    is_users = class_name not in layers.CLASSES and is_own(class_name)
    renamed = {} if is_users else RENAMED.get(class_name, {})
    arguments = {renamed.get(name, name): value for name, value in config.items() if name != "dtype"}
    if class_name == "InputLayer":
        return {"class_name": class_name, "config": _input_arguments(arguments, config.get("dtype"), label)}
    for name in ("batch_input_shape", "batch_shape"):  # of the first layer of a Keras 2 Sequential
        if name in arguments:
            shape = _sample_shape(arguments.pop(name), label)
            is_any = class_name == "Normalization" and None in shape  # as Keras 2 writes it inside a model
            arguments |= {} if is_any else {"input_shape": shape}
    if class_name == "Lambda":
        arguments = _lambda_arguments(arguments, label)
    cls = layers.CLASSES.get(class_name) if class_name != "Lambda" else layers.Lambda
    if cls is None or is_users:  # one of the user's, or unknown: the registry knows
        return {"class_name": class_name, "config": {n: _part_from_keras(v, label) for n, v in arguments.items()}}
    known = {p.name for p in constructor_parameters(cls)} | {*SHARED_OPTIONS, *cls.rare_options}
    read = {}
    for name, value in arguments.items():
        if name in known:
            read[name] = _argument_from_keras(name, value, label)
        elif not changes_nothing(name, value):
            raise FileFormatError(f"{label}: {_unsupported(name, value)}")
    return {"class_name": class_name, "config": read}


def _part_from_keras(value, label):
    """What a user's `get_config` has put into a config: layers and initializers of Keras's, anywhere in it, as here."""
    if isinstance(value, list):
        return [_part_from_keras(part, label) for part in value]
    if not isinstance(value, dict):
        return value
    name, config, module = (value.get(key) for key in ("class_name", "config", "module"))
    if isinstance(name, str) and isinstance(config, dict):
        if module == "keras.initializers":
            read = _initializer_from_keras(value, label)
            return value | read if isinstance(read, dict) else read
        if module == "keras.layers":
            return value | layer_from_keras(name, config)
    kind = value["dtype"].get("class_name") if isinstance(value.get("dtype"), dict) else None  # a policy, of a layer
    return {k: _part_from_keras(part, label) for k, part in value.items() if k != "dtype" or kind not in POLICY_CLASSES}


def _lambda_arguments(arguments, label) -> dict:
    """Arguments of a Lambda layer, whose function is named; one that is written out is left where it is: unread."""
    if arguments.get("mask") is not None:
        raise FileFormatError(f"{label}: {_unsupported('mask', arguments['mask'])}")
    function, shape = arguments.get("function"), arguments.get("output_shape")
    if isinstance(function, str) and arguments.get("function_type") != "lambda":  # Keras 2
        function = {"class_name": "function", "config": function}
    is_shape = isinstance(shape, list | tuple) and all(n is None or is_integer(n) for n in shape)
    read = {  # callables in a config that was in no file
        "function": function if isinstance(function, dict) or callable(function) else None,
        "output_shape": shape if is_shape or callable(shape) else None,
    }
    return {name: value for name, value in arguments.items() if name not in OF_FUNCTIONS} | read


def changes_nothing(name: str, value: object) -> bool:
    """Whether an argument of Keras's layers that those here do not have says what they do anyway."""
    return _is_neutral(NEUTRAL.get(name, ()), value)


def _is_neutral(neutral, value) -> bool:
    return neutral is ANY or any(
        (value == allowed and type(value) is not bool) or value is allowed for allowed in neutral
    )


def _unsupported(name, value) -> str:
    if name not in NEUTRAL:
        return f"minicnn's layer has no argument '{name}'. Received: {name}={brief(value)}"
    return f"only {name}={brief(NEUTRAL[name][0])} is supported. Received: {name}={brief(value)}"


def _argument_from_keras(name, value, label):
    """A layer's argument, of which nested objects are translated."""
    if name == "activation":
        return activation_from_keras(value, label)
    if name.endswith(("_initializer", "_regularizer", "_constraint")):
        return function_from_keras(name, value) or _part_of_weights(name, value, label)
    if name == "layer" and isinstance(value, dict):
        return layer_from_keras(class_name_of(value), config_of(value))
    if name == "layers" and isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return [layer_from_keras(class_name_of(entry), config_of(entry)) for entry in value]
    if name == "seed":
        return value if is_integer(value) and value >= 0 else None
    if name == "axis" and isinstance(value, list) and len(value) == 1:  # Keras 2's BatchNormalization
        return value[0]
    return value


def _part_of_weights(name, value, label):
    """An initializer, a regularizer or a constraint."""
    if name.endswith("_initializer"):
        return _initializer_from_keras(value, label)
    return None if value is None else object_from_keras(value)


def _input_arguments(arguments, dtype, label) -> dict:
    shape = arguments.get("batch_input_shape", arguments.get("batch_shape"))  # the first: set by a script, in a config
    shape = arguments.get("shape") if shape is None else _sample_shape(shape, label)
    whole = {"input_dtype": dtype} if isinstance(dtype, str) and dtype in WHOLE else {}
    return {"shape": shape, "name": arguments.get("name"), **whole}


def _sample_shape(shape, label) -> list:
    """A shape without its batch axis."""
    if not isinstance(shape, list | tuple) or not all(n is None or (is_integer(n) and n > 0) for n in shape[1:]):
        raise FileFormatError(
            f"{label} needs an input shape of positive integers, or null for an open size. Received: {brief(shape)}"
        )
    return list(shape[1:])


def activation_from_keras(value: object, label: str) -> str | Config | None:
    """A name that `layers.activations` knows, or a layer's entry."""
    if isinstance(value, dict):
        class_name = class_name_of(value)
        if class_name == "function":  # {"class_name": "function", "config": "relu"}
            value = value.get("config")
        else:
            return layer_from_keras(class_name, config_of(value))
    if not isinstance(value, str | None):
        raise FileFormatError(f"{label}: an activation is a name or a layer. Received: activation={brief(value)}")
    return activation_named(value, label)


def _initializer_from_keras(value, label):
    """An initializer, or the default one: a model that is read gets its weights from the file."""
    entry = object_from_keras(value)
    name = entry if isinstance(entry, str) else entry["class_name"]
    try:
        cls = initializers.registry.lookup(name)
    except ValueError:
        warn_user(f"{label}: initializer {brief(name)} is not known here; the default takes its place")
        return "glorot_uniform"
    if isinstance(entry, str):
        return entry
    known = {p.name for p in constructor_parameters(cls)}
    config = {k: v for k, v in entry["config"].items() if k in known or not is_of_package(cls)}
    if not is_integer(config.get("seed")):
        config.pop("seed", None)
    try:
        initializers.get({"class_name": name, "config": config})
    except (ValueError, TypeError) as error:
        warn_user(f"{label}: initializer {brief(name)} is replaced by the default: {error}")
        return "glorot_uniform"
    return {"class_name": name, "config": config}


def policy_from_keras(config: Config, label: str) -> str | None:
    """The name of a layer's, or a model's, dtype policy; None where it does not say."""
    policy = _policy_name(config.get("dtype"))
    if policy is None:
        return None
    if not isinstance(policy, str) or policy not in POLICIES:
        raise FileFormatError(f"{label}: the dtype is one of {', '.join(POLICIES)}. Received: dtype={brief(policy)}")
    return policy


def _policy_name(policy):
    """What a policy is called; of a map, what all of its policies are, if it is one name. Else what was given."""
    if not isinstance(policy, dict):
        return policy
    config, name = config_of(policy), class_name_of(policy)
    if name in POLICY_CLASSES:
        return config.get("name")
    if name != "DTypePolicyMap" or not isinstance(config.get("policy_map"), dict):
        return policy
    parts = [config.get("default_policy"), *config["policy_map"].values()]
    found = [config_of(part).get("name") if isinstance(part, dict) else part for part in parts]
    return found[0] if isinstance(found[0], str) and all(part == found[0] for part in found) else policy


def policy_to_keras(name):
    """A policy as Keras 3 writes it; of one dtype, the name, which all Kerases read."""
    return keras_object("keras", "DTypePolicy", {"name": name}) if name in MIXED else name


# ----------------------------------------------------------------------------------------------------------- writing


def keras_class_name(class_name: str) -> str:
    """Keras's class for one of minicnn's."""
    return "Activation" if class_name in NAMED_ACTIVATIONS else bare_name(class_name)


def layer_to_keras(class_name: str, config: Config, dtype: str) -> Config:
    """A layer in Keras 3's form; `dtype` is its weights'."""
    if class_name == "InputLayer":
        return keras_object(
            "keras.layers",
            class_name,
            {
                "batch_shape": [None, *config["shape"]],
                "dtype": config.get("input_dtype") or dtype,
                "sparse": False,
                "name": config["name"],
            },
        )
    if class_name not in layers.CLASSES and class_name != "Lambda":
        return own_object(class_name, {name: _part_to_keras(value, dtype) for name, value in config.items()})
    if class_name in NAMED_ACTIVATIONS:
        config = config | {"activation": {"class_name": class_name, "config": config}}
        config = {name: value for name, value in config.items() if name in (*SHARED_OPTIONS, "activation")}
    arguments = {
        name: _argument_to_keras(name, value, dtype)
        for name, value in config.items()
        if name not in ("input_shape", "dtype", *UNKNOWN_TO_KERAS.get(class_name, ())) and (name, value) not in DEFAULTS
    }
    if "dtype" not in UNKNOWN_TO_KERAS.get(class_name, ()):
        arguments["dtype"] = policy_to_keras(config.get("dtype", dtype))
    return keras_object(MODULES.get(class_name, "keras.layers"), keras_class_name(class_name), arguments)


def _part_to_keras(value, dtype):
    """What `_part_from_keras` reads."""
    if isinstance(value, list):
        return [_part_to_keras(part, dtype) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("module") == "keras.layers" and value.get("class_name") in layers.CLASSES:
        return value | layer_to_keras(value["class_name"], value["config"], dtype)
    return {key: _part_to_keras(part, dtype) for key, part in value.items()}


def _argument_to_keras(name, value, dtype):
    if name == "arguments":  # of a function: any dict
        return value
    if name == "activation":
        return _activation_to_keras(value, dtype)
    if name == "data_format":
        return value or "channels_last"
    if name == "layer":
        return layer_to_keras(value["class_name"], value["config"], dtype)
    if name == "layers":
        return [layer_to_keras(entry["class_name"], entry["config"], dtype) for entry in value]
    if name == "function" and isinstance(value, dict):
        return keras_object("builtins", "function", value["config"]) | {"registered_name": "function"}
    if isinstance(value, dict) and "class_name" in value:
        if (function := function_to_keras(value)) is not None:
            return function
        modules = {"_regularizer": "keras.regularizers", "_constraint": "keras.constraints"}
        module = modules.get(f"_{name.rpartition('_')[2]}", "keras.initializers")
        return part_object(module, value)
    return value


def _activation_to_keras(value, dtype):
    """A function's name where Keras has a function that does the same, else a layer."""
    if value is None or isinstance(value, str):
        return value or "linear"
    if (function := function_to_keras(value)) is not None:
        return function
    name = _function_name(value["class_name"], value["config"])
    return layer_to_keras(value["class_name"], value["config"], dtype) if name is None else name


def _function_name(class_name, config) -> str | None:
    """Keras's function that does what an activation layer does; None where there is none."""
    if class_name in NAMED_ACTIVATIONS:
        return NAMED_ACTIVATIONS[class_name] or config["function"]
    for name, (known, arguments) in FUNCTIONS.items():
        if known == class_name and all(config.get(k) == v for k, v in arguments.items()):
            return name
    return None


FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "elu": ("ELU", {"alpha": 1.0}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.2}),
    "relu": ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    "relu6": ("ReLU", {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}),
    "softmax": ("Softmax", {"axis": -1}),
}
"""Keras's functions → the class here, and the arguments with which it does the same."""
