"""A graph of layers as plain data, in Keras 3's form, and back.

A layer is ``{"class_name", "config", "name"}``; in a graph it has ``"inbound_nodes"`` too: its calls in order, each
``{"args": [tensor or list of tensors], "kwargs": {}}``. A tensor is ``{"class_name": "__keras_tensor__", "config":
{"shape", "dtype", "keras_history": [layer name, number of the layer's call, number of the output]}}``.
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from minicnn import layers
from minicnn.checks import is_integer
from minicnn.errors import unknown_name
from minicnn.graph import Graph, Node
from minicnn.held import holding
from minicnn.layers import InputLayer
from minicnn.layers.lambda_layer import with_names
from minicnn.layers.open_sizes import warn_of_sizes, with_number
from minicnn.models.alone import as_alone, as_argument, placing
from minicnn.models.forms import layers_within
from minicnn.models.named_errors import checked_calls, for_own, put_name, shared_number, unknown_layer
from minicnn.nested import mapped
from minicnn.own_parts import config_of, qualified_name
from minicnn.registry import constructor_parameters, to_plain
from minicnn.saving.keras.config import model_from_keras
from minicnn.saving.keras.names import class_of, is_known
from minicnn.settings import floatx
from minicnn.user_warnings import brief

if TYPE_CHECKING:
    from minicnn.models.network import Network

STRUCTURE_ARGUMENTS = {"Functional": ("inputs", "outputs"), "Sequential": ("layers",)}
"""With which a model's class takes its layers."""
GRAPH = ("layers", "input_layers", "output_layers")
STRUCTURE = ("name", "trainable", "dtype", *GRAPH)
"""What a model's config has; a subclass's further entries are its own."""

MAX_LAYERS = 10_000  # of one model in a config, which may come from a stranger
MAX_DEPTH = 20  # of nested inputs and outputs
MAX_CALLS = 100_000  # of layers, where a model that is called twice counts twice

_shared = ContextVar("layers of the config at hand that may occur in several of its models", default=None)
_is_whole = ContextVar("whether a model can be made of the config at hand", default=True)


def sharing() -> AbstractContextManager[None]:
    """Inside, a layer that occurs in several models of one config stays one layer; Keras's "shared_object_id"."""
    shared = _shared.get()
    return holding(_shared, {} if shared is None else shared)


def is_described() -> bool:
    """Whether a model is being written down, or made of what was written."""
    return _shared.get() is not None


# ------------------------------------------------------------------------------------------------------- writing


def layer_config(layer: layers.Layer) -> dict[str, Any]:
    """A layer, or a model as a layer, as ``{"class_name", "config", "name"}``."""
    known = _shared.get()
    if layer in known:
        first = known[layer]
        first.setdefault("shared_object_id", 1 + sum("shared_object_id" in entry for entry in known.values()))
        return {key: value for key, value in first.items() if key != "inbound_nodes"}
    # What is below "layers" stays the same object: a layer in it may turn out to be shared.
    own = {"name": layer.name} if layer.holds_code and not _is_whole.get() else _config_to_save(layer)
    config = {name: value if name in GRAPH else to_plain(value) for name, value in own.items()}
    known[layer] = {"class_name": class_name_of(layer), "config": config, "name": layer.name}
    if hasattr(layer, "structure") and "layers" not in config:
        known[layer]["structure"] = layer.structure()
    return known[layer]


def _config_to_save(layer):
    """The config; of a model that is written as a `call`, that of its graph, as a plain model takes no arguments."""
    if not hasattr(layer, "structure") or not hasattr(layer, "call"):
        return config_of(layer)
    if layer.graph.remade is not None:
        kept = "a file or copy of it, unless its class makes that,"
        warn_of_sizes(f"call of model '{layer.name}'", kept, layer.graph.stand_in)
    return next(cls for cls in type(layer).__mro__ if not hasattr(cls, "call")).get_config(layer)


def class_name_of(layer: layers.Layer) -> str:
    """The class that a config names: a model's is Keras's, or a subclass's own if the config can make one of it."""
    kind = type(layer)
    base = next((cls for cls in kind.__mro__ if "saved_as" in vars(cls)), kind)
    if base is kind or (hasattr(base, "structure") and hasattr(base, "call")):  # saved as its graph
        return getattr(layer, "saved_as", qualified_name(kind))
    has_own = kind.get_config is not base.get_config or takes(kind, *STRUCTURE_ARGUMENTS[base.saved_as])
    return qualified_name(kind) if has_own else layer.saved_as


def takes(cls: type, *names: str) -> bool:
    """Whether a constructor takes these arguments, be it as ``*args, **kwargs``."""
    parameters = constructor_parameters(cls)
    kinds = {p.kind for p in parameters}
    collects = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
    return collects or set(names) <= {p.name for p in parameters}


def model_config(model: Network, whole: bool = True) -> dict[str, Any]:
    """A model as ``{"class_name", "config"}``.

    Parameters
    ----------
    model : Network
    whole : bool, default True
        Whether a model can be made of it; for its weights alone, a layer that holds code is no more than a name.
    """
    with holding(_is_whole, whole), sharing():
        return {key: value for key, value in layer_config(model).items() if key != "name"}


def written_config(model: Network) -> dict[str, Any]:
    """`model_config` for a file.

    Raises
    ------
    TypeError
        If a layer holds code, which no file holds.
    """
    for layer in layers_within(model):
        if layer.holds_code:
            layer.refuse_files()
    return with_names(model_config(model))


def dtype_of(model: Network) -> str:
    """The dtype of a model's weights, or the model's policy where that is a mixed one."""
    weights = model.weights
    if model.dtype_policy.is_mixed:
        return model.dtype_policy.name
    return str(weights[0].value.dtype) if weights else floatx()


def graph_config(graph: Graph, structures: Sequence[Any]) -> dict[str, Any]:
    """A graph as ``{"layers", "input_layers", "output_layers"}``.

    Parameters
    ----------
    graph : Graph
    structures : (nested Tensor, nested Tensor)
        The forms of inputs and outputs.
    """
    starts, calls = _places(graph)
    histories = {tensor: [name, 0, 0] for tensor, name in starts.items()}
    for name, nodes in calls.items():
        for index, node in enumerate(nodes):
            histories |= {tensor: [name, index, i] for i, tensor in enumerate(node.outputs)}
    entries = [_input_config(tensor, name, graph.stand_in) for tensor, name in starts.items()]
    for nodes in calls.values():
        entries.append(layer_config(nodes[0].layer))
        entries[-1] |= {"inbound_nodes": [_call_config(node, histories) for node in nodes], **as_alone(nodes[0].layer)}
    inputs, outputs = (mapped(histories.get, s if isinstance(s, list | tuple | dict) else [s]) for s in structures)
    return {"layers": entries, "input_layers": inputs, "output_layers": outputs}


def _input_config(tensor, name, number):
    """An input, with its dtype if that is one of whole numbers or bools, and a number in the place of open sizes."""
    dtype = getattr(tensor.node.layer, "input_dtype", None)
    config = {"shape": list(with_number([tensor.shape[1:]], number)[0]), "name": name, "trainable": True}
    config |= {} if dtype is None else {"input_dtype": dtype}
    return {"class_name": "InputLayer", "config": config, "name": name, "inbound_nodes": []}


def _places(graph):
    """(start of the graph → name of its InputLayer, name of a layer → its calls)."""
    begin, calls = {tensor.node for tensor in graph.inputs}, defaultdict(list)
    for node in graph.nodes:
        if node not in begin:
            calls[node.layer.name].append(node)
    starts, taken = {}, set(calls)
    for tensor in graph.inputs:  # may be any layer's output, of a layer that may occur further on
        name = tensor.name
        while name in taken:
            name += "_input"
        starts[tensor] = name
        taken.add(name)
    return starts, calls


def _call_config(node, histories):
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": list(t.shape), "dtype": floatx(), "keras_history": histories[t]},
        }
        for t in node.inputs
    ]
    kwargs = {} if node.training is None else {"training": node.training}
    return {"args": [as_argument(node.layer, tensors)], "kwargs": kwargs}


# ------------------------------------------------------------------------------------------------------- reading


def layer_from_config(entry: dict[str, Any]) -> layers.Layer:
    """The layer, or model, that `layer_config` described.

    Raises
    ------
    ValueError, TypeError
        If the class is unknown or its arguments are wrong.
    """
    known, identity = _shared.get(), shared_number(entry)
    if identity is not None and identity in known:
        return known[identity]
    try:
        layer = class_of(entry["class_name"]).from_config(entry.get("config") or {})
    except (TypeError, ValueError) as error:
        class_name, plain = entry["class_name"], _plain_model(entry)
        if is_known(class_name):
            put_name(error, entry)
            raise
        if plain is None:
            raise unknown_layer(entry) from None
        warnings.warn(
            f"the class {class_name} is not known: a plain model takes its place; give {for_own(class_name)}",
            stacklevel=2,
        )
        layer = layers.get(plain)
    if "structure" in entry:  # the config holds a subclass's own arguments, which may leave the name out
        layer.name = entry["structure"]["name"]
    if identity is not None:
        known[identity] = layer
    return layer


def _plain_model(entry) -> dict | None:
    """The entry of a subclass's model as that of the class it is derived from; None if it has arguments of its own."""
    config = entry.get("config")
    if not isinstance(config, dict) or not {"layers", "dtype"} <= set(config) <= set(STRUCTURE):
        return None
    return {"class_name": "Functional" if "input_layers" in config else "Sequential", "config": config}


def from_keras(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """A model's config as minicnn has it, if it is one of Keras's: of `get_config` there, or written by hand."""
    if not isinstance(config, Mapping):
        raise TypeError(f"{cls.__name__}.from_config takes a dict, as get_config gives it. Received: {config!r}")
    entries = config.get("layers")
    if not isinstance(entries, list) or not any(isinstance(entry, dict) and _is_keras(entry) for entry in entries):
        return config
    own = {name: value for name, value in config.items() if name not in (*STRUCTURE, "build_input_shape")}
    return own | model_from_keras({"class_name": cls.saved_as, "config": config})["config"]


def _is_keras(entry) -> bool:
    """Whether a layer's entry is in a form that Keras alone has."""
    calls, arguments = entry.get("inbound_nodes"), entry.get("config")
    as_lists = isinstance(calls, list) and any(isinstance(call, list) for call in calls)
    arguments = arguments if isinstance(arguments, dict) else {}
    return "module" in entry or as_lists or "batch_shape" in arguments or "batch_input_shape" in arguments


def own_arguments(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """What a config has for a model's constructor beside the structure: a subclass's arguments, and the name."""
    own = {name: value for name, value in config.items() if name not in STRUCTURE}
    return own | ({"name": config.get("name")} if takes(cls, "name") else {})


def made(cls: type, config: dict[str, Any]) -> Network:
    """The model of a config: of its layers, or made by a subclass that makes them itself, from its own arguments.

    Raises
    ------
    TypeError
        If the constructor does not take what is in the config.
    """
    if "layers" in config and takes(cls, *STRUCTURE_ARGUMENTS[cls.saved_as]):
        model = cls._made_from(config)
    else:
        try:
            model = cls(**own_arguments(cls, config))
        except TypeError as error:
            raise TypeError(
                f"get_config of {cls.__name__} must hold its constructor's arguments beside a model's own: {error}. "
                f"Received: {brief(own_arguments(cls, config))}"
            ) from error
    model.name = config.get("name") or model.name
    return model


def layers_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a config's layers.

    Raises
    ------
    ValueError
        If they are not a list, or too many.
    """
    entries = config.get("layers")
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS:
        raise ValueError(f"a model's config has a list 'layers' of at most {MAX_LAYERS}. Received: {brief(entries)}")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
            raise ValueError(f"a layer's config is a dict with a 'class_name'. Received: {brief(entry)}")
    return entries


def check_calls(model: Network) -> None:
    """Raise `ValueError` if running a model means more than `MAX_CALLS` calls of layers.

    Models that call a model twice, which calls a model twice, …, are described in a few lines.
    """
    counts = {}

    def count(graph):
        if graph not in counts:
            counts[graph] = sum(1 if n.layer.graph is None else count(n.layer.graph) for n in graph.nodes)
        return counts[graph]

    if model.graph is not None and count(model.graph) > MAX_CALLS:
        raise ValueError(f"a model may have {MAX_CALLS} calls of layers. Received: {count(model.graph)}")


def graph_from_config(config: dict[str, Any]) -> tuple[Any, Any, list[Node]]:
    """(inputs, outputs, nodes) of the graph that `graph_config` described; the ends in the form that they have there.

    Raises
    ------
    ValueError, TypeError
        If it is not a graph.
    """
    made = {}  # (layer name, number of the call) -> node
    pending, found = {}, {}
    for entry in layers_of(config):
        layer, calls = layer_from_config(entry), checked_calls(entry)
        name = entry.get("name", layer.name)
        if name in found:
            raise ValueError(f"the layers of a model need different names. Received: {name!r} more than once")
        calls = [_Call([], None)] if isinstance(layer, InputLayer) else map(_Call.read, calls)
        found[name], pending[name] = placing(layer, entry), deque(calls)
    waiting, ready, counts = defaultdict(list), list(pending), defaultdict(int)
    while ready:
        name = ready.pop()
        while pending[name]:
            call = pending[name][0]
            missing = [key for *key, _ in call.histories if tuple(key) not in made]
            if missing:
                waiting[tuple(missing[0])].append(name)
                break
            pending[name].popleft()
            tensors = [_tensor(made, history) for history in call.histories]
            key = name, counts[name]
            made[key] = found[name](tensors, call.training)
            counts[name] += 1
            ready.extend(waiting.pop(key, ()))
    if stuck := [name for name, calls in pending.items() if calls]:
        raise ValueError(f"a layer is called on outputs that do not exist. Received: calls of {brief(stuck)}")
    inputs, outputs = (_end_of_graph(made, config[end]) for end in ("input_layers", "output_layers"))
    return inputs, outputs, [*made.values()]


class _Call:
    """A call of a layer in a config: the tensors' histories, and `training`."""

    def __init__(self, histories, training):
        self.histories, self.training = histories, training

    @classmethod
    def read(cls, config):
        """From an entry of "inbound_nodes"."""
        args, kwargs = config.get("args"), config.get("kwargs", {})
        unknown = [name for name in kwargs if name not in ("training", "mask") or (name == "mask" and kwargs[name])]
        if unknown:
            raise unknown_name("argument of a call", unknown[0], ["training"])
        training = kwargs.get("training")
        if training not in (None, True, False):
            raise ValueError(f"training= of a call is True, False or None. Received: {brief(training)}")
        if len(args) == 1 and isinstance(args[0], list):
            args = args[0]
        if not args:
            raise ValueError("a layer is called on at least one tensor. Received: none")
        return cls([_check_history(tensor["config"]["keras_history"]) for tensor in args], training)


def _end_of_graph(made, histories, depth=0):
    """The tensors of histories in any form."""
    if depth > MAX_DEPTH:
        raise ValueError(f"inputs and outputs may be nested {MAX_DEPTH} deep. Received: {brief(histories)}")
    if isinstance(histories, dict):
        return {name: _end_of_graph(made, part, depth + 1) for name, part in histories.items()}
    if isinstance(histories, list | tuple) and not (histories and isinstance(histories[0], str)):
        return type(histories)(_end_of_graph(made, part, depth + 1) for part in histories)
    return _tensor(made, _check_history(histories))


def _check_history(history):
    name, *indices = history
    if not isinstance(name, str) or not all(is_integer(i) and i >= 0 for i in indices) or len(indices) != 2:
        raise ValueError(
            f"a tensor is given as [layer name, number of the call, number of the output]. Received: {brief(history)}"
        )
    return history


def _tensor(made, history):
    name, call, output = history
    node = made.get((name, call))
    if node is None or output >= len(node.outputs):
        raise ValueError(f"there is no such tensor in the model. Received: {brief(history)}")
    return node.outputs[output]
