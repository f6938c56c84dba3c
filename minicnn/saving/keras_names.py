"""Keras's names and minicnn's: one table, both ways.

Keras writes an object as ``{"module", "class_name", "config", "registered_name"}`` (Keras 3 and 2.12 on), as
``{"class_name", "config"}`` (before, and in .h5 files), or as a name. minicnn writes ``{"class_name", "config"}``. The
classes and arguments have the same names unless a table here says otherwise. What Keras has and minicnn has not is an
error that names the object and the argument, unless it is set to the value that changes nothing (`NEUTRAL`).

Names are only ever looked up here and in minicnn's registries: nothing is imported or evaluated.
"""

import warnings
from itertools import chain

from minicnn import layers, metrics
from minicnn.checks import for_outputs, is_integer
from minicnn.errors import FileFormatError, fold_name
from minicnn.registry import constructor_parameters, to_plain

ANY = object()

NEUTRAL = {
    "activity_regularizer": (None,),
    "adjustment": (None,),
    "autocast": ANY,
    "beta_constraint": (None,),
    "beta_regularizer": (None,),
    "bias_constraint": (None,),
    "fused": ANY,
    "gamma_constraint": (None,),
    "gamma_regularizer": (None,),
    "implementation": ANY,
    "input_spec": ANY,
    "kernel_constraint": (None,),
    "lora_alpha": ANY,
    "lora_rank": (None,),
    "optional": (False,),
    "quantization_config": (None,),
    "ragged": (False,),
    "renorm": (False,),
    "renorm_clipping": (None, {}),
    "renorm_momentum": ANY,
    "sparse": (False,),
    "synchronized": (False,),
    "threshold": (0, None),
    "virtual_batch_size": (None,),
}
"""Arguments of Keras's layers that minicnn's do not have → the values with which they change nothing."""

RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
"""Class → Keras 2's name of an argument → today's."""

CLASS_NAMES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Model": "Functional",
}
"""What a class was once called → what it is called today."""

CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers that hold a program, or the place of one: never read."""

POLICIES = {"float32": "float32", "float64": "float64", "mixed_float16": "float32", "mixed_bfloat16": "float32"}
"""Keras's dtype policies → the dtype of the weights."""

POLICY_CLASSES = ("DTypePolicy", "FloatDTypePolicy", "Policy")

NAMED_ACTIVATIONS = ("sigmoid", "tanh")
"""Layers here, but only functions in Keras."""

SHARED_OPTIONS = ("name", "trainable", "input_shape")
OPTIMIZER_NEUTRAL = ("is_legacy_optimizer", "jit_compile", "name")


# ------------------------------------------------------------------------------------------------- shared by both ways


def class_name_of(entry) -> str:
    """The class of a Keras object, without the package that a registered one has before it."""
    name = entry.get("class_name")
    if not isinstance(name, str):
        raise FileFormatError(f"an object in a Keras file has a class name. Received: {brief(name)}")
    name = name.rpartition(">")[2]
    return CLASS_NAMES.get(name, name)


def config_of(entry) -> dict:
    """An object's arguments."""
    config = entry.get("config", {})
    if not isinstance(config, dict):
        raise FileFormatError(
            f"the arguments of a {brief(entry.get('class_name'))} are a dict. Received: {brief(config)}"
        )
    return config


def brief(value) -> str:
    """`value` for a message; a file's content may be long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


def keras_object(module, class_name, config) -> dict:
    """An object in Keras 3's form."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


# ---------------------------------------------------------------------------------------------------- layers: reading


def layer_from_keras(class_name, config) -> dict:
    """A layer's entry ``{"class_name", "config"}`` from Keras's class name and arguments (models: see keras_config).

    Raises
    ------
    FileFormatError
        Naming layer and argument, if minicnn cannot do what it says; naming the layer, if it holds code.
    """
    label = f"layer {brief(config.get('name'))} ({class_name})"
    if class_name in CODE:
        raise FileFormatError(
            f"{label} holds code, which is never run from a file; write it as a layer of your own and give "
            "custom_objects"
        )
    renamed = RENAMED.get(class_name, {})
    arguments = {renamed.get(name, name): value for name, value in config.items() if name != "dtype"}
    if class_name == "InputLayer":
        return {"class_name": class_name, "config": _input_arguments(arguments, label)}
    for name in ("batch_input_shape", "batch_shape"):  # of the first layer of a Keras 2 Sequential
        if name in arguments:
            arguments["input_shape"] = _sample_shape(arguments.pop(name), label)
    cls = layers.CLASSES.get(class_name)
    if cls is None:  # one of the user's, or unknown: the registry knows
        return {"class_name": class_name, "config": arguments}
    known = {p.name for p in constructor_parameters(cls)} | set(SHARED_OPTIONS)
    read = {}
    for name, value in arguments.items():
        if name in known:
            read[name] = _argument_from_keras(name, value, label)
        elif not _is_neutral(NEUTRAL.get(name, ()), value):
            raise FileFormatError(f"{label}: {_unsupported(name, value)}")
    return {"class_name": class_name, "config": read}


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
    if name.endswith("_initializer"):
        return _initializer_from_keras(value, label)
    if name.endswith("_regularizer"):
        return None if value is None else object_from_keras(value)
    if name == "seed":
        return value if is_integer(value) and value >= 0 else None
    if name == "axis" and isinstance(value, list) and len(value) == 1:  # Keras 2's BatchNormalization
        return value[0]
    return value


def _input_arguments(arguments, label) -> dict:
    shape = arguments.get("batch_shape", arguments.get("batch_input_shape"))
    shape = arguments.get("shape") if shape is None else _sample_shape(shape, label)
    return {"shape": shape, "name": arguments.get("name")}


def _sample_shape(shape, label) -> list:
    """A shape without its batch axis, all of whose sizes must be known."""
    if not isinstance(shape, list) or not all(is_integer(n) and n > 0 for n in shape[1:]):
        raise FileFormatError(f"{label} needs an input whose sizes are all known. Received: {brief(shape)}")
    return shape[1:]


def activation_from_keras(value, label):
    """A name that `layers.activations` knows, or a layer's entry."""
    if isinstance(value, dict):
        class_name = class_name_of(value)
        if class_name == "function":  # {"class_name": "function", "config": "relu"}
            value = value.get("config")
        else:
            return layer_from_keras(class_name, config_of(value))
    if not isinstance(value, str | None):
        raise FileFormatError(f"{label}: an activation is a name or a layer. Received: activation={brief(value)}")
    try:
        layers.activations.get(value)
    except ValueError as error:
        raise FileFormatError(f"{label}: {error}") from None
    return value


def _initializer_from_keras(value, label):
    """An initializer, or the default one: a model that is read gets its weights from the file."""
    entry = object_from_keras(value)
    name = entry if isinstance(entry, str) else entry["class_name"]
    try:
        layers.base.initializers.get(name if name != "Constant" else "zeros")
    except (ValueError, TypeError):
        warnings.warn(
            f"{label}: initializer {brief(name)} is not known here; the default takes its place", stacklevel=2
        )
        return "glorot_uniform"
    if isinstance(entry, str):
        return entry
    known = {p.name for p in constructor_parameters(type(layers.base.initializers.get(name)))}
    config = {k: v for k, v in entry["config"].items() if k in known}
    if not is_integer(config.get("seed")):
        config.pop("seed", None)
    return {"class_name": name, "config": config}


def object_from_keras(value):
    """A name, or ``{"class_name", "config"}``, from any of Keras's forms of an initializer, a loss, a metric, …"""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise FileFormatError(f"an object in a Keras file is a name or a dict. Received: {brief(value)}")
    class_name = class_name_of(value)
    if class_name == "function" and isinstance(value.get("config"), str):
        return value["config"]
    config = {k: v for k, v in config_of(value).items() if k not in ("fn", "dtype")}
    if class_name.endswith("MeanMetricWrapper") or class_name == "LossFunctionWrapper":  # its function says which
        class_name = config_of(value).get("fn")
        if not isinstance(class_name, str):
            raise FileFormatError(f"a wrapped function has a name. Received: {brief(value)}")
    return {"class_name": class_name, "config": config}


def dtype_from_keras(config, label):
    """The dtype that a layer's weights have, or None where it does not say."""
    policy = config.get("dtype")
    if isinstance(policy, dict) and class_name_of(policy) in POLICY_CLASSES:
        policy = config_of(policy).get("name")
    if policy is None:
        return None
    if not isinstance(policy, str) or policy not in POLICIES:
        raise FileFormatError(f"{label}: the dtype is one of {', '.join(POLICIES)}. Received: dtype={brief(policy)}")
    if policy.startswith("mixed"):
        warnings.warn(f"the model is computed in float32 here, more precisely than with {policy!r}", stacklevel=2)
    return POLICIES[policy]


# ---------------------------------------------------------------------------------------------------- layers: writing


def keras_class_name(class_name) -> str:
    """Keras's class for one of minicnn's."""
    return "Activation" if fold_name(class_name) in NAMED_ACTIVATIONS else class_name


def layer_to_keras(class_name, config, dtype) -> dict:
    """A layer in Keras 3's form."""
    if class_name == "InputLayer":
        return keras_object(
            "keras.layers",
            class_name,
            {"batch_shape": [None, *config["shape"]], "dtype": dtype, "sparse": False, "name": config["name"]},
        )
    if class_name not in layers.CLASSES:
        return keras_object(None, class_name, config) | {"registered_name": class_name}
    if keras_class_name(class_name) == "Activation" and class_name != "Activation":
        config = config | {"activation": fold_name(class_name)}
    arguments = {
        name: _argument_to_keras(name, value, dtype)
        for name, value in config.items()
        if name not in ("input_shape", "dtype")
    }
    return keras_object("keras.layers", keras_class_name(class_name), arguments | {"dtype": dtype})


def _argument_to_keras(name, value, dtype):
    if name == "activation":
        return _activation_to_keras(value, dtype)
    if name == "data_format":
        return value or "channels_last"
    if isinstance(value, dict) and "class_name" in value:
        module = "keras.regularizers" if name.endswith("_regularizer") else "keras.initializers"
        return keras_object(module, value["class_name"], value["config"])
    return value


def _activation_to_keras(value, dtype):
    """A function's name where Keras has a function that does the same, else a layer."""
    if value is None or isinstance(value, str):
        return value or "linear"
    name, config = fold_name(value["class_name"]), value["config"]
    if name == "leakyrelu" and config["negative_slope"] == 0.2:
        return "leaky_relu"
    if name in (*NAMED_ACTIVATIONS, "softmax") or (
        name == "relu" and config["max_value"] is None and config["negative_slope"] == 0
    ):
        return name
    return layer_to_keras(value["class_name"], config, dtype)


# --------------------------------------------------------------------------------------------------- compile: reading


def compile_from_keras(config, outputs) -> dict | None:
    """`Snapshot.compile` from Keras's compile_config, or its older training_config; None if it was not compiled.

    Parameters
    ----------
    config : dict or None
    outputs : list of str
        Names of the output layers, by which dicts of losses and metrics go.
    """
    if not isinstance(config, dict) or not config.get("loss"):
        return None
    if config.get("weighted_metrics"):
        warnings.warn("weighted metrics are not supported and left out", stacklevel=2)
    losses = for_outputs("loss", config["loss"], len(outputs), outputs)
    weights = for_outputs("loss_weights", config.get("loss_weights"), len(outputs), outputs)
    return {
        "optimizer": optimizer_from_keras(config.get("optimizer", config.get("optimizer_config"))),
        "loss": [_as_entry(object_from_keras(loss)) for loss in losses],
        "loss_weights": [1.0 if w is None else w for w in weights],
        "metrics": _metrics_from_keras(config.get("metrics"), outputs),
    }


def _as_entry(value) -> dict:
    """A name as ``{"class_name", "config"}``."""
    return {"class_name": value, "config": {}} if isinstance(value, str) else value


def _metrics_from_keras(value, outputs) -> list:
    """A list of metrics for each output."""
    if not value:
        return [[] for _ in outputs]
    if isinstance(value, dict):
        lists = [value.get(name, []) for name in outputs]
    elif isinstance(value, list) and value and all(isinstance(entry, list | None) for entry in value):
        lists = value if len(value) == len(outputs) else [list(chain.from_iterable(e or [] for e in value))]
        lists = lists if len(lists) == len(outputs) else lists * len(outputs)
    else:
        lists = [value] * len(outputs)
    return [[object_from_keras(m) for m in (entry if isinstance(entry, list) else [entry]) if m] for entry in lists]


def optimizer_from_keras(value) -> dict:
    """An optimizer's entry; Keras 2's `lr` and `decay` are translated."""
    entry = _as_entry(object_from_keras(value))
    config = {k: v for k, v in entry["config"].items() if k not in OPTIMIZER_NEUTRAL}
    if "lr" in config:
        config["learning_rate"] = config.pop("lr")
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        rate = object_from_keras(rate)
        rate["config"] = {k: v for k, v in rate["config"].items() if k != "name"}
    decay = config.pop("decay", 0)
    if decay and not isinstance(rate, dict):
        rate = {
            "class_name": "InverseTimeDecay",
            "config": {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay},
        }
    if config.get("weight_decay") in (0, False):  # early versions of Keras 2.11 wrote 0 for none
        config["weight_decay"] = None
    return {"class_name": entry["class_name"], "config": config | ({} if rate is None else {"learning_rate": rate})}


# --------------------------------------------------------------------------------------------------- compile: writing


def compile_to_keras(compiled) -> dict:
    """Keras 3's compile_config."""
    losses = [_part_to_keras("keras.losses", loss) for loss in compiled["loss"]]
    measured = [[_metric_to_keras(m) for m in wanted] for wanted in compiled["metrics"]]
    weights = compiled["loss_weights"]
    one = len(losses) == 1
    return {
        "optimizer": optimizer_to_keras(compiled["optimizer"]),
        "loss": losses[0] if one else losses,
        "loss_weights": None if all(w == 1 for w in weights) else weights,
        "metrics": (measured[0] if one else measured) if any(measured) else None,
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def _part_to_keras(module, entry) -> dict:
    return keras_object(module, entry["class_name"], entry["config"])


def _metric_to_keras(value):
    """An object, but for "accuracy", which depends on the data; Keras 3 cannot read other names in .h5 files."""
    if isinstance(value, str) and value.lower() in ("accuracy", "acc"):
        return value
    return _part_to_keras("keras.metrics", value if isinstance(value, dict) else to_plain(metrics.get(value)))


def optimizer_to_keras(entry) -> dict:
    """An optimizer in Keras 3's form."""
    config = dict(entry["config"])
    rate = config.get("learning_rate")
    if isinstance(rate, dict):
        config["learning_rate"] = keras_object("keras.optimizers.schedules", rate["class_name"], rate["config"])
    return keras_object("keras.optimizers", entry["class_name"], config)
