"""A model's structure in Keras's form and in minicnn's.

minicnn's form is Keras 3's (see `minicnn.models.config`) but for the layers' names and arguments, which `layers`
translates. Keras 2 writes a call as a list of ``[layer, call, output, arguments]``.
"""

from functools import partial
from typing import Any

from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.hints import Config
from minicnn.saving.keras.layers import dtype_from_keras, layer_from_keras, layer_to_keras
from minicnn.saving.keras.names import brief, class_name_of, config_of, keras_object

MODELS = ("Functional", "Sequential")
MAX_DEPTH = 20  # of models in models


# ------------------------------------------------------------------------------------------------------- reading


def model_from_keras(entry: Any) -> Config:
    """A model's ``{"class_name", "config"}`` from Keras 2's or 3's.

    Raises
    ------
    FileFormatError
        If it is not a model's, or has what minicnn has not.
    """
    if not isinstance(entry, dict) or class_name_of(entry) not in MODELS:
        name = entry.get("class_name") if isinstance(entry, dict) else entry
        raise FileFormatError(
            f"expected a Sequential or functional model; models as subclasses with code of their own cannot be read. "
            f"Received: {brief(name)}"
        )
    dtypes = set()
    model = _model(entry, dtypes, 0)
    if len(dtypes) > 1:
        raise FileFormatError(f"a model has one dtype. Received: {sorted(dtypes)}")
    _set_dtype(model, dtypes.pop() if dtypes else "float32")
    return model


def output_names(config: Config) -> list[str]:
    """The layers that give a model's outputs, from its config in minicnn's form."""
    layers = config["config"]["layers"]
    if config["class_name"] == "Sequential":
        return [layers[-1]["name"]] if layers else [""]
    ends, names = config["config"]["output_layers"], []
    if isinstance(ends, dict) and all(_is_one(end) for end in ends.values()):
        return sorted(ends)
    _each_history(lambda history: names.append(history[0]), _in_order(ends))
    return names


def _in_order(histories):
    """The same with dicts in the order of their keys, which is that of the outputs."""
    if isinstance(histories, dict):
        return {key: _in_order(histories[key]) for key in sorted(histories)}
    return histories if _is_one(histories) else [_in_order(part) for part in histories]


def _set_dtype(model, dtype):
    model["config"]["dtype"] = dtype
    for entry in model["config"]["layers"]:
        if entry["class_name"] in MODELS:
            _set_dtype(entry, dtype)


def _model(entry, dtypes, depth):
    """A model, or a model as a layer."""
    if depth > MAX_DEPTH:
        raise FileFormatError(f"models are nested more than {MAX_DEPTH} deep")
    class_name, config = class_name_of(entry), entry.get("config")
    if class_name == "Sequential" and isinstance(config, list):  # before Keras 2.2.3
        config = {"layers": config}
    config = config_of(entry | {"config": config})
    found = config.get("layers")
    if not isinstance(found, list) or not all(isinstance(layer, dict) for layer in found):
        raise FileFormatError(f"a model has a list of layers. Received: {brief(found)}")
    read = {"name": config.get("name"), "trainable": config.get("trainable", True)}
    read["layers"] = [_layer(layer, dtypes, depth + 1) for layer in found]
    if class_name == "Functional":
        _read_graph(read, config, found)
    elif not isinstance(read["name"], str | None):
        raise FileFormatError(f"a model's name is a text. Received: {brief(read['name'])}")
    return {"class_name": class_name, "config": read}


def _layer(entry, dtypes, depth):
    """A layer's entry, without its calls."""
    class_name = class_name_of(entry)
    if class_name in MODELS:
        read = _model(entry, dtypes, depth)
    else:
        config = config_of(entry)
        read = layer_from_keras(class_name, config)
        if class_name != "InputLayer":
            dtypes |= {dtype_from_keras(config, f"layer {brief(config.get('name'))}")} - {None}
    read["name"] = entry.get("name", read["config"].get("name"))
    if "shared_object_id" in entry:
        read["shared_object_id"] = entry["shared_object_id"]
    return read


def _read_graph(read, config, found):
    """The calls and ends of a functional model."""
    calls = [layer.get("inbound_nodes", []) for layer in found]
    if not all(isinstance(nodes, list) for nodes in calls):
        raise FileFormatError("a layer's calls are a list")
    is_keras_2 = any(isinstance(node, list) for nodes in calls for node in nodes)
    # In Keras, a nested model's own graph counts as its first call: always in Keras 2, if it was built with an input;
    # in Keras 3 among the outputs only, and not for a Sequential.
    nested = {entry["name"]: entry for entry in read["layers"] if entry["class_name"] in MODELS}
    shifted_2 = {name for name, entry in nested.items() if _starts_with_input(entry)} if is_keras_2 else set()
    shifted_3 = {name for name, entry in nested.items() if entry["class_name"] == "Functional"}
    for entry, nodes in zip(read["layers"], calls, strict=True):
        entry["inbound_nodes"] = [_call_2(node, shifted_2) if is_keras_2 else _call_3(node) for node in nodes if node]
    for end in ("input_layers", "output_layers"):
        histories = config.get(end)
        if not isinstance(histories, list | dict) or not histories:
            raise FileFormatError(f"a functional model has '{end}'. Received: {brief(histories)}")
        shifted = set() if end == "input_layers" else shifted_2 if is_keras_2 else shifted_3
        read[end] = _each_history(partial(_history, shifted=shifted), [histories] if _is_one(histories) else histories)


def _is_one(histories) -> bool:
    """Whether this is the history of one tensor, not a list or dict of them."""
    if isinstance(histories, dict):
        return False
    return not isinstance(histories, list) or (bool(histories) and isinstance(histories[0], str))


def _each_history(function, histories, depth=0):
    """Histories in the form of a model's inputs or outputs, with `function` applied to each."""
    if depth > MAX_DEPTH:
        raise FileFormatError(f"inputs or outputs are nested more than {MAX_DEPTH} deep")
    if _is_one(histories):
        return function(histories)
    if isinstance(histories, dict):
        return {key: _each_history(function, part, depth + 1) for key, part in histories.items()}
    return [_each_history(function, part, depth + 1) for part in histories]


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


def _call_3(node) -> dict:
    """A call from Keras 3's form. `training` is left out: `fit`, `predict` and `evaluate` of Keras 3 override it."""
    args, kwargs = (node.get("args"), node.get("kwargs", {})) if isinstance(node, dict) else (None, None)
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise FileFormatError(f"a call has 'args' and 'kwargs'. Received: {brief(node)}")
    tensors = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    if len(args) == 1 and isinstance(args[0], dict) and "class_name" not in args[0]:  # a model whose inputs are a dict
        tensors = [args[0][key] for key in sorted(args[0])]
    histories = []
    for tensor in tensors:
        if not isinstance(tensor, dict) or class_name_of(tensor) != "__keras_tensor__":
            raise FileFormatError(f"a layer is called on tensors of the model. Received: {brief(tensor)}")
        histories.append(_history(config_of(tensor).get("keras_history"), set()))
    if isinstance(kwargs.get("mask"), dict) and set(kwargs["mask"].values()) == {None}:
        kwargs = kwargs | {"mask": None}
    ignored = ("training", "mask")
    return _call(histories, {k: v for k, v in kwargs.items() if not (k in ignored and not isinstance(v, dict | list))})


def _call(histories, kwargs) -> dict:
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": history}} for history in histories]
    return {"args": [tensors[0] if len(tensors) == 1 else tensors], "kwargs": kwargs}


# ------------------------------------------------------------------------------------------------------- writing


def model_to_keras(entry: Config) -> Config:
    """A model in Keras 3's form."""
    return _written(entry, entry["config"].get("dtype", "float32"))


def _written(entry, dtype):
    class_name, config = entry["class_name"], entry["config"]
    if class_name not in MODELS:
        return layer_to_keras(class_name, config, dtype)
    written = {"name": config["name"], "trainable": config.get("trainable", True)}
    if class_name == "Sequential":
        written["layers"] = [_written(layer, dtype) for layer in config["layers"]]
        return keras_object("keras", class_name, written | {"dtype": dtype})
    written["layers"] = []
    for layer in config["layers"]:
        calls = [_call_to_keras(node, dtype) for node in layer["inbound_nodes"]]
        written["layers"].append(_written(layer, dtype) | {"name": layer["name"], "inbound_nodes": calls})
        if "shared_object_id" in layer:
            written["layers"][-1]["shared_object_id"] = layer["shared_object_id"]
    nested = {layer["name"] for layer in config["layers"] if layer["class_name"] == "Functional"}
    written["input_layers"] = _one_or_list(config["input_layers"])
    written["output_layers"] = _one_or_list(
        _each_history(lambda h: [h[0], h[1] + 1 if h[0] in nested else h[1], h[2]], config["output_layers"])
    )
    return keras_object("keras.src.models.functional", class_name, written) | {"registered_name": "Functional"}


def _one_or_list(histories):
    return histories[0] if isinstance(histories, list) and len(histories) == 1 and _is_one(histories[0]) else histories


def _call_to_keras(node, dtype) -> dict:
    """A call, with the dtype in every tensor."""

    def written(value):
        if isinstance(value, list):
            return [written(tensor) for tensor in value]
        return {"class_name": "__keras_tensor__", "config": value["config"] | {"dtype": dtype}}

    return {"args": [written(value) for value in node["args"]], "kwargs": node["kwargs"]}


def without_modules(entry: Config) -> Config:
    """The form of .h5 files: layers and models without the module that their class is in."""
    plain = {k: v for k, v in entry.items() if k not in ("module", "registered_name")}
    if entry["class_name"] in MODELS:
        layers = [without_modules(layer) for layer in entry["config"]["layers"]]
        plain["config"] = entry["config"] | {"layers": layers}
    return plain
