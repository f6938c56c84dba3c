"""A model's structure in Keras's form and in minicnn's.

minicnn's form is Keras 3's (see `minicnn.models.config`) but for the layers' names and arguments, which `layers`
translates. Keras 2 writes a call as a list of ``[layer, call, output, arguments]``.
"""

from functools import partial
from typing import Any

from minicnn import layers, library_names
from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.nested import leaves
from minicnn.registry import is_config
from minicnn.saving.keras.calls import with_names, without_names, without_names_2
from minicnn.saving.keras.layers import MIXED, layer_from_keras, layer_to_keras, policy_from_keras, policy_to_keras
from minicnn.saving.keras.names import INSIDE, class_name_of, config_of, is_known, keras_object, own_object
from minicnn.saving.keras.operation_steps import layers_of_operations
from minicnn.saving.keras.operations import is_operation, taken_apart
from minicnn.saving.keras.structure import (
    MAX_DEPTH,
    MODELS,
    each_history,
    earlier_calls,
    histories_of,
    is_functional,
    is_model,
    is_one,
    layers_of,
    structure_of,
    without_earlier_calls,
)
from minicnn.saving.keras.tf_operations import inputs_of, without_tf_operations
from minicnn.saving.keras.whole_inputs import said_whole, with_casts
from minicnn.saving.keras.written_operations import WRITERS, with_operations, without_written
from minicnn.user_warnings import brief, warn_user

SHARED = ("name", "trainable", "dtype", "layers", "input_layers", "output_layers", "build_input_shape")
"""What a model's config has; a subclass's further arguments are its own."""

OF_MINICNN = ("structure", "shared_object_id", "alone", "is_operation")
"""What stays as it is: of a subclass that makes its layers itself, of `models.config`, and of `models.alone`."""

_TRAINING = "minicnn_training"
"""In a call that minicnn wrote: its `training`, which holds here whatever the model does, but not in Keras 3."""

# ------------------------------------------------------------------------------------------------------- reading


def model_from_keras(entry: Any) -> Config:
    """A model's ``{"class_name", "config"}`` from Keras 2's or 3's.

    Raises
    ------
    FileFormatError
        If it is not a model's, or has what minicnn has not.
    """
    if not isinstance(entry, dict) or not (class_name_of(entry) in MODELS or is_known(class_name_of(entry))):
        name = entry.get("class_name") if isinstance(entry, dict) else entry
        raise FileFormatError(
            "expected a Sequential or functional model; a subclass is given with custom_objects, and one with a call "
            f"method of its own cannot be read. Received: {brief(name)}"
        )
    dtypes = set()
    model = _layer(entry, dtypes, 0)
    del model["name"]
    if "structure" in model or not is_model(model):
        return model
    if len(dtypes) > 1:  # the one that keeps all numbers as they are
        warn_user(
            "a model has one dtype here: it is computed in float64, and some of its layers more precisely than there"
        )
    _set_dtype(model, max(dtypes, default="float32"))
    return model


def output_names(config: Config, compiled: Config | None) -> list[str]:
    """The layers that give a model's outputs, from its config in minicnn's form.

    Of a user's model without a structure, what it was compiled with says how many there are.
    """
    if not is_model(config):
        losses = compiled.get("loss") if isinstance(compiled, dict) else None
        if isinstance(losses, dict) and not is_config(losses):
            return sorted(losses)
        return [""] * len(losses) if isinstance(losses, list) and losses else [""]
    if not is_functional(config):
        return [entry["name"] for entry in layers_of(config)[-1:]] or [""]
    ends = structure_of(config)["output_layers"]
    if isinstance(ends, dict) and all(is_one(end) for end in ends.values()):
        return sorted(ends)
    return [history[0] for history in histories_of(ends)]


def _set_dtype(model, dtype):
    structure_of(model).setdefault("dtype", dtype)
    for entry in layers_of(model):
        if is_model(entry):
            _set_dtype(entry, dtype)


def _is_keras_model(entry) -> bool:
    """Whether an entry in Keras's form is a model's; that of a subclass is under its own name."""
    class_name, config = class_name_of(entry), entry.get("config")
    if class_name in MODELS or class_name in layers.CLASSES or not isinstance(config, dict):
        return class_name in MODELS
    inner = config.get("layers")
    has_input = isinstance(inner, list) and inner and isinstance(inner[0], dict) and "InputLayer" in inner[0].values()
    return bool("input_layers" in config or "build_input_shape" in config or has_input)


def _model(entry, dtypes, depth):
    """A model, or a model as a layer."""
    if depth > MAX_DEPTH:
        raise FileFormatError(f"models are nested more than {MAX_DEPTH} deep")
    class_name, config = class_name_of(entry), entry.get("config")
    own = {} if class_name in MODELS else {name: value for name, value in config.items() if name not in SHARED}
    if class_name == "Sequential" and isinstance(config, list):  # before Keras 2.2.3
        config = {"layers": config}
    config = config_of(entry | {"config": config})
    found = config.get("layers")
    if not isinstance(found, list) or not all(isinstance(layer, dict) for layer in found):
        raise FileFormatError(f"a model has a list of layers. Received: {brief(found)}")
    found = without_written(with_casts(found))
    inputs = inputs_of(found)
    found = [without_tf_operations(layer, inputs) for layer in found]
    found, ends = layers_of_operations(found, config.get("output_layers"))
    config = config | ({"output_layers": ends} if "output_layers" in config else {})
    found = [part for layer in found for part in taken_apart(layer)]
    read = own | {"name": config.get("name"), "trainable": config.get("trainable", True)}
    policy = policy_from_keras(config, f"model {brief(read['name'])}")
    if policy in MIXED:
        read["dtype"] = policy
    read["layers"] = [_layer(layer, dtypes, depth + 1) for layer in found]
    if class_name == "Functional" or "input_layers" in config:
        _read_graph(read, config, found)
    elif not isinstance(read["name"], str | None):
        raise FileFormatError(f"a model's name is a text. Received: {brief(read['name'])}")
    return {"class_name": class_name, "config": read}


def _layer(entry, dtypes, depth):
    """A layer's entry, without its calls."""
    class_name = class_name_of(entry)
    if _is_keras_model(entry):
        read = _model(entry, dtypes, depth)
    else:
        config = config_of(entry)
        inner = config.get("layer") if class_name == "TimeDistributed" else None
        is_within = isinstance(inner, dict)
        read = layer_from_keras(class_name, {n: v for n, v in config.items() if not (is_within and n == "layer")})
        if is_within:  # which may be a model
            if depth > MAX_DEPTH:
                raise FileFormatError(f"layers are nested more than {MAX_DEPTH} deep")
            read["config"]["layer"] = _layer(inner, dtypes, depth + 1)
        if class_name != "InputLayer":
            policy = policy_from_keras(config, f"layer {brief(config.get('name'))}")
            read["config"] |= {"dtype": policy} if policy in MIXED else {}
            dtypes |= {"float32" if policy in MIXED else policy} - {None}
    read["name"] = entry.get("name", read["config"].get("name"))
    return read | {name: entry[name] for name in OF_MINICNN if name in entry}


def _read_graph(read, config, found):
    """The calls and ends of a functional model."""
    calls = [layer.get("inbound_nodes", []) for layer in found]
    if not all(isinstance(nodes, list) for nodes in calls):
        raise FileFormatError(f"a layer's calls are a list. Received: {brief(calls)}")
    is_keras_2 = any(isinstance(node, list) for nodes in calls for node in nodes)
    # In Keras, a nested model's own graph counts as its first call: always in Keras 2, if it was built with an input;
    # in Keras 3 among the outputs only, and not for a Sequential.
    nested = {entry["name"]: entry for entry in read["layers"] if is_model(entry)}
    shifted_2 = {name for name, entry in nested.items() if _starts_with_input(entry)} if is_keras_2 else set()
    shifted_3 = {name for name, entry in nested.items() if is_functional(entry)}
    for entry, nodes in zip(read["layers"], calls, strict=True):
        nodes = [(without_names_2 if is_keras_2 else without_names)(entry, node) for node in nodes]
        called = partial(_call_2, shifted=shifted_2) if is_keras_2 else partial(_call_3, entry=entry)
        entry["inbound_nodes"] = [called(node) for node in nodes if node]
    for end in ("input_layers", "output_layers"):
        histories = config.get(end)
        if not isinstance(histories, list | tuple | dict) or not histories:
            raise FileFormatError(f"a functional model has '{end}'. Received: {brief(histories)}")
        shifted = set() if end == "input_layers" else shifted_2 if is_keras_2 else shifted_3
        ends = [histories] if is_one(histories) else histories
        read[end] = each_history(partial(_history, shifted=shifted), ends)
    if not is_keras_2:
        without_earlier_calls(read)


def _starts_with_input(entry) -> bool:
    layers = entry["config"]["layers"]
    return bool(layers) and layers[0]["class_name"] == "InputLayer"


def _history(history, shifted) -> list:
    """[layer, number of its call, number of its output]."""
    if not isinstance(history, list) or len(history) < 3 or not isinstance(history[0], str):
        raise FileFormatError(f"a tensor is given as [layer, call, output]. Received: {brief(history)}")
    name, call, output = history[:3]
    if not is_integer(call) or not is_integer(output):
        raise FileFormatError(f"a tensor is given as [layer, call, output]. Received: {brief(history)}")
    return [name, call - 1 if name in shifted else call, output]


def _call_2(node, shifted) -> dict:
    """A call from Keras 2's form; the arguments stand beside the first tensor."""
    if not isinstance(node, list):
        raise FileFormatError(f"a call is a list of tensors. Received: {brief(node)}")
    node = [node] if node and isinstance(node[0], str) else node
    histories = [_history(tensor, shifted) for tensor in node]
    kwargs = node[0][3] if len(node[0]) > 3 else {}
    if not isinstance(kwargs, dict):
        raise FileFormatError(f"a call's arguments are a dict. Received: {brief(kwargs)}")
    return _call(histories, {name: value for name, value in kwargs.items() if name != "mask" and value is not None})


def _call_3(node, entry) -> dict:
    """A call from Keras 3's form. Its `training` is left out, as its `fit`, `predict` and `evaluate` override it."""
    args, kwargs = (node.get("args"), node.get("kwargs", {})) if isinstance(node, dict) else (None, None)
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        raise FileFormatError(f"a call has 'args' and 'kwargs'. Received: {brief(node)}")
    args = list(args)  # a tuple in a config that was in no file
    tensors = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    if len(args) == 1 and isinstance(args[0], dict) and "class_name" not in args[0]:  # a model whose inputs are a dict
        tensors = [args[0][key] for key in sorted(args[0])]
    histories = []
    for tensor in tensors:
        if not isinstance(tensor, dict) or class_name_of(tensor) != "__keras_tensor__":
            raise FileFormatError(
                f"layer {brief(entry['name'])} ({entry['class_name']}) is called on something that is no tensor of the "
                f"model, for which there is no layer here. Received: {brief(tensor)}"
            )
        histories.append(_history(config_of(tensor).get("keras_history"), set()))
    if all(mask is None for mask in leaves(kwargs.get("mask"))):  # of a model: a list or dict, as its inputs are
        kwargs = kwargs | {"mask": None}
    ignored = ("training", "mask")
    kwargs = {k: v for k, v in kwargs.items() if not (k in ignored and not isinstance(v, dict | list))}
    kwargs |= {"training": node[_TRAINING]} if node.get(_TRAINING) is not None else {}
    return _call(histories, kwargs, is_list=tensors is not args and isinstance(args[0], list))


def _call(histories, kwargs, is_list=False) -> dict:
    """A call in minicnn's form, in which one tensor stands alone unless a list of it does in Keras's."""
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": history}} for history in histories]
    return {"args": [tensors[0] if len(tensors) == 1 and not is_list else tensors], "kwargs": kwargs}


# ------------------------------------------------------------------------------------------------------- writing


def model_to_keras(entry: Config, keeps_sharing: bool = True) -> Config:
    """A model in Keras 3's form.

    Parameters
    ----------
    entry : dict
    keeps_sharing : bool, default True
        False: for .h5 files and JSON, in which a layer that occurs in several models is several layers for Keras.
    """
    earlier = earlier_calls(entry) if keeps_sharing else {}
    dtype = entry["config"].get("dtype", "float32")
    return _written(entry, "float32" if dtype in MIXED else dtype, earlier)


def _written(entry, dtype, earlier):
    class_name, config = entry["class_name"], entry["config"]
    if class_name == "TimeDistributed":
        written = layer_to_keras(class_name, {n: v for n, v in config.items() if n != "layer"}, dtype)
        written["config"]["layer"] = _written(config["layer"], dtype, earlier)
    elif not is_model(entry):
        written = layer_to_keras(class_name, config, dtype)
    elif "structure" in entry:  # the config holds a subclass's own arguments
        written = own_object(class_name, config)
    else:
        written = _model_to_keras(entry, dtype, earlier)
    return written | {name: entry[name] for name in OF_MINICNN if name in entry}


def _model_to_keras(entry, dtype, earlier):
    class_name, config = entry["class_name"], entry["config"]
    written = {name: value for name, value in config.items() if name not in SHARED}
    written |= {"name": config["name"], "trainable": config.get("trainable", True)}
    written["layers"] = [_written(layer, dtype, earlier) for layer in config["layers"]]
    kind = own_object(class_name, written)
    if not is_functional(entry):
        written["dtype"] = policy_to_keras(config.get("dtype", dtype))
        return keras_object("keras", class_name, written) if class_name in MODELS else kind
    before = {name: n for name, n in earlier.get(id(entry), {}).items() if name not in _operations_in(config["layers"])}
    for layer, described in zip(written["layers"], config["layers"], strict=True):
        calls = [with_names(described, _call_to_keras(node, dtype, before)) for node in described["inbound_nodes"]]
        layer |= {"name": described["name"], "inbound_nodes": said_whole(layer, calls)}
    written["layers"] = with_operations(config["layers"], written["layers"])
    nested = {layer["name"] for layer in config["layers"] if is_model(layer) and is_functional(layer)}
    written["input_layers"] = _one_or_list(config["input_layers"])
    ends = each_history(lambda history: _counted(history, before), config["output_layers"])
    written["output_layers"] = _one_or_list(
        each_history(lambda h: [h[0], h[1] + 1 if h[0] in nested else h[1], h[2]], ends)
    )
    return kind | ({"module": "keras.src.models.functional"} if class_name in MODELS else {})


def _operations_in(entries) -> set:
    """The names of layers that are operations in Keras, where they are no layers of other models, too."""
    return {entry["name"] for entry in entries if entry["class_name"] in WRITERS}


def _counted(history, before) -> list:
    """A tensor's history with the number of the call among all calls of the layer."""
    name, call, output = history
    return [name, call + before.get(name, 0), output]


def _one_or_list(histories):
    return histories[0] if isinstance(histories, list) and len(histories) == 1 and is_one(histories[0]) else histories


def _call_to_keras(node, dtype, before) -> dict:
    """A call, with the dtype in every tensor."""

    def written(value):
        if isinstance(value, list):
            return [written(tensor) for tensor in value]
        config = value["config"] | {"dtype": dtype, "keras_history": _counted(value["config"]["keras_history"], before)}
        return {"class_name": "__keras_tensor__", "config": config}

    own = {_TRAINING: node["kwargs"]["training"]} if "training" in node["kwargs"] else {}
    return {"args": [written(value) for value in node["args"]], "kwargs": node["kwargs"], **own}


def without_modules(entry: Config, users: frozenset[str] | None = None) -> Config:
    """The form of .h5 files: layers and models without the module that their class is in, but with its package.

    Parameters
    ----------
    entry : dict
    users : set of str, optional
        Names of users' classes in the whole model, for a part of it.
    """
    users = frozenset(_users_in(entry)) if users is None else users
    if is_operation(entry, entry["config"]):  # of which Keras looks for the class in its module
        return entry
    plain = {k: v for k, v in entry.items() if k not in ("module", "registered_name")}
    plain["class_name"] = entry.get("registered_name") or INSIDE.get(entry["class_name"], entry["class_name"])
    if library_names.is_taken(entry["class_name"]) and entry["class_name"] in users - {*MODELS}:
        plain["registered_name"] = entry.get("registered_name")  # which Keras does not read there
    if _is_keras_model(entry):
        plain["config"] = entry["config"] | {
            "layers": [without_modules(layer, users) for layer in entry["config"]["layers"]]
        }
    return plain


def _users_in(entry):
    """The names of users' classes in a model."""
    if entry.get("registered_name") and entry["module"] is None:
        yield entry["class_name"]
    if _is_keras_model(entry):
        for layer in entry["config"]["layers"]:
            yield from _users_in(layer)
