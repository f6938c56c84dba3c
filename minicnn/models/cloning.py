"""Models with the structure of another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minicnn.graph import Tensor
from minicnn.layers import Input, Layer
from minicnn.models import config as configs
from minicnn.models.files import model_from_config
from minicnn.models.forms import layers_within
from minicnn.models.network import Network
from minicnn.own_parts import is_of_package

if TYPE_CHECKING:
    from minicnn.models.model import Model


def clone_model(
    model: Model,
    input_tensors: Tensor | Sequence[Tensor] | None = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    recursive: bool = False,
) -> Model:
    """A model of the same structure and names, with new weights, not compiled.

    Parameters
    ----------
    model : Model
    input_tensors : Tensor or list of Tensor, optional
        Where the new model begins, instead of at inputs of its own.
    clone_function : callable, optional
        ``clone_function(layer)`` returns the layer that takes a layer's place; it is asked for every one but the
        inputs, and for a model that is used as a layer as a whole. Default: an equal layer.
    recursive : bool, default False
        Whether it is asked for the layers of such models too, instead of for the models.

    Raises
    ------
    TypeError
        If `clone_function` returns something else than a layer.
    ValueError
        If there are more or fewer `input_tensors` than inputs.
    """
    if input_tensors is None and clone_function is None:
        return model_from_config(configs.model_config(model), _classes(model))
    return _rebuilt(model, input_tensors, clone_function or _equal_layer, recursive)


def is_written(layer: Layer) -> bool:
    """Whether it is a model whose class has a `call`: its copies are plain models, which need no code."""
    return isinstance(layer, Network) and hasattr(layer, "call")


def _classes(model):
    """Class name → class: a user's classes need not be registered to be cloned."""
    layers = [layer for layer in [model, *layers_within(model)] if not is_written(layer)]
    return {configs.class_name_of(layer): type(layer) for layer in layers if not is_of_package(type(layer))}


def _equal_layer(layer):
    if isinstance(layer, Network):
        return clone_model(layer)
    return type(layer).from_config(layer.get_config())


def _rebuilt(model, input_tensors, clone_function, recursive):
    """A model from clones of the layers, called as the layers are."""
    clones = {}

    def clone(layer):
        if layer not in clones:
            inner = recursive and isinstance(layer, Network)
            clones[layer] = _rebuilt(layer, None, clone_function, recursive) if inner else clone_function(layer)
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
            outputs = clone(node.layer).call_symbolically([made[t] for t in node.inputs], node.training).outputs
            made |= zip(node.outputs, outputs, strict=True)
    return kind(starts, [made[t] for t in model.outputs], name=model.name)


def _starts(model, tensors):
    """The tensors at which a clone begins: those given, or new inputs; none for a stack that is not built."""
    is_stack = model.saved_as == "Sequential"
    if tensors is None:
        return [] if is_stack and not model.built else [Input(t.shape[1:], name=t.name) for t in model.inputs]
    tensors = list(tensors) if isinstance(tensors, list | tuple) else [tensors]
    count = 1 if is_stack else len(model.inputs)
    if len(tensors) != count or not all(isinstance(t, Tensor) for t in tensors):
        raise ValueError(f"input_tensors needs one tensor for each of {count} inputs. Received: {tensors!r}")
    return [Input(t.shape[1:]) if is_stack and t.node.inputs else t for t in tensors]  # a stack begins at an Input
