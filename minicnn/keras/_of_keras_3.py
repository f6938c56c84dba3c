"""What layers and models of Keras 3 have beside weights: metrics, calls without state, and what files hold of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np

from minicnn.differentiation import Recorded, met
from minicnn.keras._called import metrics_in
from minicnn.keras._eager import eager
from minicnn.keras._in_order import answering
from minicnn.keras.saving._objects import serialize_keras_object
from minicnn.layers.base import Layer
from minicnn.metrics import Metric
from minicnn.models import written_compiled
from minicnn.models.subclassing import layers_in
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.saving.keras.compiled import compile_from_keras, compile_to_keras

_OF_COMPILING = ("get_compile_config", "compile_from_config")
_COMPILED = {"optimizer", "loss", "loss_weights", "metrics", "weighted_metrics"}
_COMPILED |= {"run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"}
_HOLDING = (Layer, Metric, list)


def metrics_within(layer: Any) -> list[Any]:
    """The metrics in the attributes of a layer or model, and of the layers that it has or is made of, each once."""
    found, waiting, seen = {}, [layer], set()
    for part in waiting:  # which grows
        if id(part) not in seen:
            seen.add(id(part))
            values = [*vars(part).values()] if not is_of_package(type(part)) else _holding(vars(part))
            found |= {id(metric): metric for metric in metrics_in(values)}
            waiting += [*getattr(part, "_own_layers", tuple)(), *layers_in(values)]
    return list(found.values())


def _holding(attributes):
    """Of attributes of a layer of the package, those that may hold others: loops of one's own ask in each batch."""
    return [x for name, x in attributes.items() if isinstance(x, _HOLDING) and name != "nodes"]


def _save_own_variables(layer: Any, store: Any) -> None:
    """Put the weights into a dict of arrays, or a group of a file, as "0", "1", …"""
    for number, weight in enumerate(layer.weights):
        store[str(number)] = weight.numpy()


def _load_own_variables(layer: Any, store: Any) -> None:
    """Take the weights from what `save_own_variables` has filled.

    Raises
    ------
    ValueError
        If there are fewer or more, or one has another shape.
    """
    layer.set_weights([np.asarray(store[str(number)]) for number in range(len(store))])


def _stateless_call(
    layer: Any,
    trainable_variables: Sequence[Any],
    non_trainable_variables: Sequence[Any],
    *args: Any,
    return_losses: bool = False,
    **kwargs: Any,
) -> Any:
    """What a call gives with these values for the weights, which stay as they are.

    Parameters
    ----------
    trainable_variables, non_trainable_variables : sequence of array or weight
        In the order of the attributes of these names.
    *args, **kwargs
        Of the call.
    return_losses : bool, default False
        Whether what the call adds to the loss is a third result.

    Returns
    -------
    outputs, non_trainable_variables : as of a call, list of array

    Raises
    ------
    ValueError
        If the layer is not built, or the values are not like its weights.
    TypeError
        For values on a tape, by which there would be no gradient.
    """
    with answering(by_user=True):
        groups = [list(layer.trainable_weights), list(layer.non_trainable_weights)] if layer.built else [[], []]
    given = [list(trainable_variables), list(non_trainable_variables)]
    if not layer.built or [*map(len, groups)] != [*map(len, given)]:
        raise ValueError(
            f"stateless_call of '{layer.name}' takes a value for each of its {len(groups[0])} trainable and "
            f"{len(groups[1])} other variables, once it is built. Received: {len(given[0])} and {len(given[1])}"
        )
    weights = [*groups[0], *groups[1]]
    values = [x.numpy() if isinstance(x, Weight) else met(x) for x in [*given[0], *given[1]]]
    if any(isinstance(x, Recorded) for x in values):
        raise TypeError(
            "stateless_call takes numbers for the weights, by which a tape has no gradients: call the layer, and ask "
            f"for gradients by its trainable_variables. Received: values on a tape for '{layer.name}'"
        )
    for weight, value in zip(weights, values, strict=True):
        weight.check(np.asarray(value))
    before = [weight.numpy() for weight in weights]
    try:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(np.asarray(value))
        outputs = layer(*args, **kwargs)
        after = [eager(weight.numpy()) for weight in groups[1]]
        return (outputs, after, list(layer.losses)) if return_losses else (outputs, after)
    finally:
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value)


def _get_compile_config(model: Any) -> dict[str, Any]:
    """What `compile` was told, as files of Keras 3 have it; nothing before."""
    return {} if model.compiled is None else compile_to_keras(written_compiled.compile_config(model.compiled))


def _compile_from_config(model: Any, config: dict[str, Any]) -> None:
    """Compile as another model was, of which `get_compile_config` has told.

    Raises
    ------
    ValueError
        If it names no loss, or what `compile` does not take.
    """
    found = compile_from_keras(config, model.output_names) if isinstance(config, dict) else None
    if found is None or (unknown := config.keys() - _COMPILED):
        received = config if found is None else sorted(unknown)
        raise ValueError(
            "compile_from_config takes what get_compile_config of a compiled model gave; a class that adds to that "
            f"has a compile_from_config of its own. Received: {received!r}"
        )
    written_compiled.compile_as(model, found)


def _has_own_compile_config(model: Any) -> bool:
    """Whether a user has written `get_compile_config` or `compile_from_config`, which files then go by."""
    return not all(is_of_package(getattr(type(model), name)) for name in _OF_COMPILING)


def _compile_config_for_files(model: Any) -> Any:
    """What `get_compile_config` gives, the objects in it as Keras writes them."""
    return serialize_keras_object(model.get_compile_config())


def _stateless(name, instead):
    """A method that is refused."""

    def refused(part: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"{name} is for JAX, whose functions have no state, and is not there: {instead}. "
            f"Received: a call of it on {type(part).__name__}"
        )

    refused.__name__ = name
    refused.__doc__ = f"Not there: {instead}."
    return refused


def _first_node(layer, what):
    """The first place where a layer was called, whose `input` and `output` are those there."""
    return layer.nodes[0] if layer.nodes else Layer._only_node(layer, what)


def _copied(layer):
    """What ``copy.copy`` gives: a layer with weights of its own, as in Keras; a `__deepcopy__` may be what calls it."""
    made = object.__new__(type(layer))
    vars(made).update(deepcopy(layer.__getstate__(), {id(layer): made}))
    return made


OF_LAYERS: dict[str, Any] = {
    "__copy__": _copied,
    "_only_node": _first_node,  # in the library itself, one that was called twice has no `output`
    "metrics": property(metrics_within),
    "save_own_variables": _save_own_variables,
    "load_own_variables": _load_own_variables,
    "stateless_call": _stateless_call,
}
"""Attributes of layers."""

OF_MODELS: dict[str, Any] = {
    **{name: method for name, method in OF_LAYERS.items() if name != "metrics"},
    "get_compile_config": _get_compile_config,
    "compile_from_config": _compile_from_config,
    "has_own_compile_config": property(_has_own_compile_config),
    "compile_config_for_files": _compile_config_for_files,
}
"""Attributes of models."""

OF_METRICS: dict[str, Any] = {
    "stateless_update_state": _stateless("stateless_update_state", "metric.update_state(y_true, y_pred)"),
    "stateless_result": _stateless("stateless_result", "metric.result()"),
    "stateless_reset_state": _stateless("stateless_reset_state", "metric.reset_state()"),
}
"""Attributes of metrics."""

OF_OPTIMIZERS: dict[str, Any] = {
    "stateless_apply": _stateless("stateless_apply", "optimizer.apply_gradients(zip(gradients, variables))"),
}
"""Attributes of optimizers; Keras on TensorFlow refuses them, too."""
