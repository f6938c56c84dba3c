"""Subclasses of layers with a `call` of their own, in which ``super().call(inputs)`` is the layer itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.graph import Node, Tensor
from minicnn.keras._autocast import Autocast
from minicnn.keras._configs import of_layer, read
from minicnn.keras._function_activations import activation
from minicnn.keras._initial_weights import taking_initial_weights
from minicnn.keras._last_function import is_last_function
from minicnn.keras._scopes import note_scope
from minicnn.keras._shown_activation import Shown
from minicnn.keras._taped import inside_a_layer, is_recording
from minicnn.keras._taped_calls import (
    belongs_to_a_function,
    forget_added,
    layer_outputs,
    losses_of_layer,
    on_tapes,
    through_a_tape,
)
from minicnn.last_function import note, of_step
from minicnn.layers.one_off import run_steps
from minicnn.layers.replacing import MAKERS
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.registry import constructor_parameters, to_plain
from minicnn.step import Step


def library_class_of(layer: layers.Layer) -> Any:
    """The class of `keras.layers` that a layer's class begins with."""
    return next(cls for cls in type(layer).__mro__ if {"core_class", "translate"} <= vars(cls).keys())


def core_of(layer: layers.Layer) -> Any:
    """The class of minicnn's that it stands for."""
    return library_class_of(layer).core_class


def translating(constructor: Callable[..., None]) -> Callable[..., None]:
    """A library's constructor that takes of a user's subclass what the class itself takes.

    Parameters
    ----------
    constructor : callable
        Of minicnn's class.
    """

    @wraps(constructor)
    def __init__(self: layers.Layer, *args: Any, **kwargs: Any) -> None:
        if not is_of_package(type(self)):  # else the metaclass has translated
            args, kwargs = vars(library_class_of(self))["translate"](args, kwargs)
        constructor(self, *args, **kwargs)

    return __init__


def call(self: layers.Layer, inputs: Any = None, training: bool | None = None) -> Any:
    """What the layer computes; a subclass may make more of it, of what can be done to a model's tensors."""
    if self.input_count == 0:  # a model's input computes nothing
        return None
    vars(self)["_is_itself"] = True
    try:
        return layers.Layer.__call__(self, inputs, training=training)
    finally:
        del vars(self)["_is_itself"]


def _has_own(layer):
    return not is_of_package(type(layer).call) and "_is_itself" not in vars(layer)


def _called(layer, inputs, training):
    options = {"training": training} if "training" in signature(layer.call).parameters else {}
    return layer.call(inputs[0] if len(inputs) == 1 else list(inputs), **options)


def set_attribute(self: layers.Layer, name: str, value: Any) -> None:
    """As of any layer; another activation may be a function; no value on a tape takes the place of a weight.

    Raises
    ------
    AttributeError
        For such a value.
    """
    if isinstance(value, Recorded) and isinstance(vars(self).get(name), Weight):
        raise AttributeError(
            f"a layer computes with its weight, whatever becomes of the attribute: layer.{name}.assign(…) changes it; "
            "where weights are computed on a tape (MAML), write the layers as functions, tf.matmul(x, kernel) + bias, "
            f"tf.nn.conv2d(x, kernel, …). Received: a value on a tape as '{name}' of layer '{self.name}'"
        )
    if name == "built" and getattr(type(self), name).fset is None:  # the library's own layers know it themselves
        return
    if name == "activation":
        value = activation(value)
        is_name = isinstance(value, str) and not is_of_package(type(self))  # whose class may have a `call`
        value = MAKERS[name](value) if is_name else value
    core_of(self).__setattr__(self, name, value)


def call_symbolically(self: layers.Layer, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
    """The place in the graph of the layer, or of the last one of its own `call`."""
    note_scope(self)
    if not _has_own(self):
        return core_of(self).call_symbolically(self, tensors, training)
    result = _called(self, tensors, training)
    self._built = True
    return result.node


def call_on_arrays(self: layers.Layer, arrays: Sequence[Any], training: bool) -> Any:
    """What the layer, or its own `call`, gives for arrays."""
    if not _has_own(self):
        if belongs_to_a_function(self, arrays):
            return through_a_tape(self, arrays, training)
        if on_tapes(self, arrays):
            return layer_outputs(self, arrays, training)
        forget_added(self)
        with inside_a_layer():
            return core_of(self).call_on_arrays(self, value_of(met(list(arrays))), training)
    if is_recording():
        return _called(self, arrays, training)
    return np.asanyarray(_called(self, [np.asarray(a) for a in arrays], training))


@staticmethod  # type: ignore[misc]  # of the classes that have it
def run_by_steps(steps: Sequence[Step], arrays: list[np.ndarray], *how: Any) -> np.ndarray:
    """What steps make of arrays; what a softmax or sigmoid gave remembers that, as cross-entropies look behind it."""
    if not (steps and is_last_function(last := steps[-1])):
        return run_steps(steps, arrays, *how)
    z = run_steps(steps[:-1], arrays, *how)
    y = run_steps([last], [z], *how)
    return note(y.view(EagerArray), of_step(last), np.array(z, y.dtype))


def losses(self: layers.Layer) -> list[Any]:
    """The penalties of weights, and what the last call added: on the tape, where one records."""
    return losses_of_layer(self, core_of(self).losses.fget(self))


def get_config(self: layers.Layer) -> dict[str, Any]:
    """Keras's values; of a subclass that writes on, or takes any arguments, with all of the library's arguments."""
    return of_layer(self, core_of(self), _arguments_of(self))


@classmethod  # type: ignore[misc]  # of the classes that have it
def from_config(cls: Any, config: Any) -> Any:
    """A new layer from what `get_config` returned, here or in Keras; see `minicnn.layers.Layer.from_config`."""
    return layers.Layer.from_config.__func__(cls, read(cls, config) if isinstance(config, Mapping) else config)


def _arguments_of(self):
    config = core_of(self).get_config(self)
    if is_of_package(type(self)):
        return config
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in constructor_parameters(type(self)))
    names = [p.name for p in constructor_parameters(core_of(self)) if p.kind is not p.VAR_KEYWORD]
    if is_of_package(type(self).get_config) and not takes_any:  # what its constructor sets by itself it does not take
        names = [name for name in names if name in vars(self).get("_handed_on", ())]
    config = {name: to_plain(getattr(self, name)) for name in names if hasattr(self, name)} | config
    is_open = config.get("data_format", "") is None  # where the channels are is left to who reads it, else
    return config | ({"data_format": "channels_last"} if is_open else {})


@taking_initial_weights
def build_for(self: layers.Layer, input_shapes: Any) -> Any:
    """As of any layer, with the weights that the constructor was given."""
    return core_of(self).build_for(self, input_shapes)


METHODS: dict[str, Any] = {
    "__setattr__": set_attribute,
    "activation": Shown("linear"),
    "autocast": Autocast.autocast,
    "build_for": build_for,
    "call": call,
    "calls_layers": True,
    "call_symbolically": call_symbolically,
    "call_on_arrays": call_on_arrays,
    "from_config": from_config,
    "get_config": get_config,
    "losses": property(losses),
    "run_steps": run_by_steps,
}
