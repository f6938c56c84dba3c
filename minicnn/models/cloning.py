"""Models with the structure of another one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from minicnn.graph import Tensor
from minicnn.layers import Lambda, Layer
from minicnn.models import config as configs
from minicnn.models import unread
from minicnn.models.alone import as_alone, placing
from minicnn.models.arguments import check_model
from minicnn.models.files import model_from_config
from minicnn.models.forms import Tensors, input_like, layers_within
from minicnn.models.network import Network
from minicnn.nested import form, is_plain, leaves, packed, same_form
from minicnn.own_parts import function_of, is_of_package, qualified_name
from minicnn.registry import Configurable

if TYPE_CHECKING:
    from minicnn.models.model import Model


def clone_model(
    model: Model,
    input_tensors: Tensors | None = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    recursive: bool = False,
    call_function: Callable[..., Any] | None = None,
) -> Model:
    """A model of the same structure and names, with new weights, not compiled.

    Parameters
    ----------
    model : Model
    input_tensors : Tensor, or list or dict of Tensor, optional
        Where the new model begins, instead of at inputs of its own; in the form of the model's.
    clone_function : callable, optional
        ``clone_function(layer)`` returns the layer that takes a layer's place; it is asked for every one but the
        inputs, and for a model that is used as a layer as a whole. Default: an equal layer.
    recursive : bool, default False
        Whether it is asked for the layers of such models too, instead of for the models.
    call_function : callable, optional
        ``call_function(layer, inputs)`` returns what stands in the place of ``layer(inputs)``: more layers around it,
        for example. It gets ``training=`` where the layer was called with it. Not for a stack of layers.

    Raises
    ------
    TypeError
        If `model` is none, or `clone_function` returns something else than a layer.
    ValueError
        If `input_tensors` have another form than the model's inputs; for a `call_function` with a `Sequential`.
    """
    check_model(model, "clone_model")
    for name, function, arguments in (
        ("clone_function", clone_function, ("layer",)),
        ("call_function", call_function, ("layer", "inputs")),
    ):
        if function is not None:
            function_of(name, function, *arguments)
    if call_function is not None and model.saved_as == "Sequential":
        raise ValueError("call_function is for models of inputs and outputs. Received: one for a Sequential")
    if input_tensors is None and clone_function is None and call_function is None:
        own = _own(model)
        if len({configs.class_name_of(layer) for layer in own}) == len({type(layer) for layer in own}):
            return model_from_config(configs.model_config(model), _classes(model, own))
    return _rebuilt(model, input_tensors, clone_function or _equal_layer, recursive, call_function or _called)


def is_written(layer: Layer) -> bool:
    """Whether it is a model whose class has a `call`: its copies are plain models, which need no code."""
    return isinstance(layer, Network) and hasattr(layer, "call")


def _own(model):
    """A model's layers that are of users' classes, two of which may have one name."""
    layers = [layer for layer in [model, *layers_within(model)] if not is_written(layer)]
    return [layer for layer in layers if not is_of_package(type(layer))]


def _classes(model, own):
    """Class name → class: a user's classes, of initializers and regularizers too, need not be registered for clones."""
    parts = [part for layer in layers_within(model) for part in vars(layer).values() if isinstance(part, Configurable)]
    found = {qualified_name(type(part)): type(part) for part in parts if not is_of_package(type(part))}
    return found | {"Lambda": Lambda} | {configs.class_name_of(layer): type(layer) for layer in own}


def _equal_layer(layer):
    if isinstance(layer, Network):
        return clone_model(layer)
    kind = {"Lambda": Lambda}.get(
        type(layer).__name__, type(layer)
    )  # Keras's refuses configs, which come from anywhere
    return kind.from_config(layer.get_config())


def _called(layer, inputs, entry=MappingProxyType({}), **training):
    """A layer's call with the outputs in order, whatever form a model gives them."""
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return placing(layer, entry)(inputs, training.get("training")).outputs


def _rebuilt(model, input_tensors, clone_function, recursive, call_function=_called):
    """A model from clones of the layers, called as the layers are."""
    clones = {}

    def clone(layer):
        if layer not in clones:
            inner = recursive and isinstance(layer, Network)
            calls = call_function if inner and layer.saved_as != "Sequential" else _called
            clones[layer] = _rebuilt(layer, None, clone_function, recursive, calls) if inner else clone_function(layer)
            if not isinstance(clones[layer], Layer):
                raise TypeError(f"clone_function returns a layer. Received: {clones[layer]!r} for '{layer.name}'")
        return clones[layer]

    starts = _starts(model, input_tensors)
    kind = next(cls for cls in type(model).__mro__ if "saved_as" in vars(cls) and not hasattr(cls, "call"))
    if kind.saved_as == "Sequential":
        return kind([*starts, *map(clone, model.layers)], name=model.name)
    made = dict(zip(model.inputs, starts, strict=True))
    for node in model.graph.nodes:
        if node.outputs[0] not in made:
            xs = [made[t] for t in node.inputs]
            training = {} if node.training is None else {"training": node.training}
            call = partial(_called, entry=as_alone(node.layer)) if call_function is _called else call_function
            outputs = call(clone(node.layer), xs if len(xs) > 1 else xs[0], **training)
            made |= zip(node.outputs, leaves(outputs), strict=True)
    outputs = packed(model.output_structure, [made[t] for t in model.outputs])
    clone_of = kind(packed(model.input_structure, starts), outputs, name=model.name)
    return unread.running(clone_of, [tensor.node for tensor in made.values()])


def _starts(model, tensors):
    """The tensors at which a clone begins: those given, or new inputs; none for a stack that is not built."""
    is_stack = model.saved_as == "Sequential"
    if tensors is None:
        return [] if is_stack and not model.built else [input_like(t, name=t.name) for t in model.inputs]
    structure = [None] if is_stack else model.input_structure
    if not (is_plain(structure) and is_plain(tensors)) and not same_form(structure, tensors):
        raise ValueError(f"input_tensors needs the form of the model's: {form(structure)}. Received: {tensors!r}")
    tensors, count = leaves(tensors), len(leaves(structure))
    if len(tensors) != count or not all(isinstance(t, Tensor) for t in tensors):
        raise ValueError(f"input_tensors needs one tensor for each of {count} inputs. Received: {tensors!r}")
    return [input_like(t) if is_stack and t.node.inputs else t for t in tensors]  # a stack begins at an Input
