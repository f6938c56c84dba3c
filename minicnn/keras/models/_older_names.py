"""Names of layers as Keras 1 and 2 gave them: counted from 1, and in Keras 1 without underscores in a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from minicnn.keras._in_order import asking
from minicnn.keras._of_keras_3 import OF_MODELS
from minicnn.keras._warning import is_older, warn_once
from minicnn.keras.layers._places import NODES, SHAPES_AT
from minicnn.keras.models._copies import copied
from minicnn.user_warnings import warn_user

_OF_KERAS_1 = {"convolution": "conv", "separableconvolution": "separableconv", "deconvolution2d": "conv2dtranspose"}


def _parts(name):
    """What kind of layer a name is of, without underscores, and the number behind; 0 for none."""
    kind, number = re.fullmatch(r"(.*?)(?:_(\d+))?", name).groups()
    kind = kind.replace("_", "")
    old = next((old for old in _OF_KERAS_1 if kind.startswith(old)), "")
    return _OF_KERAS_1.get(old, "") + kind[len(old) :], int(number or 0)


def _tensors_at(name: str) -> Callable[[Any, int], Any]:
    """``get_input_at(n)`` and ``get_output_at(n)`` of a model: 0 is the model itself, the rest are calls of it."""

    def tensors_at(model: Any, node_index: int) -> Any:
        if not 0 <= node_index <= len(model.nodes):
            raise ValueError(
                f"model '{model.name}' was called {len(model.nodes)} times, so that its places are 0 to "
                f"{len(model.nodes)}, of which 0 is the model itself. Received: {node_index}"
            )
        tensors = getattr(model.nodes[node_index - 1] if node_index else model, name)
        return tensors[0] if len(tensors) == 1 else list(tensors)

    return tensors_at


# What compile made of a model in Keras 1 and 2, as tensors of TensorFlow 1's graph, and what there is instead.
_OF_GRAPHS = {
    **dict.fromkeys(("metrics_tensors", "metrics_updates"), "model.add_metric(value, name=…), or a callback"),
    **dict.fromkeys(
        ("total_loss", "targets", "sample_weights", "_feed_inputs", "_feed_targets", "_feed_sample_weights"),
        "K.gradients of a loss against K.placeholder, or a tf.GradientTape",
    ),
    **dict.fromkeys(
        ("updates", "state_updates", "get_updates_for"),
        "nothing, as averages of batch normalization move by themselves, or layer.add_update in a call,",
    ),
    **dict.fromkeys(("_nodes_by_depth", "_layers_by_depth", "container_nodes"), "model.layers"),
    **dict.fromkeys(
        (
            "train_function",
            "test_function",
            "_function_kwargs",
            "_collected_trainable_weights",
            "_standardize_user_data",
        ),
        "train_on_batch, or K.function(…, updates=optimizer.get_updates(loss, weights))",
    ),
}


class _OfGraphs:
    """An attribute that is not there, unless somebody sets it."""

    def __init__(self, name: str, instead: str) -> None:
        self._name, self._instead = name, instead

    def __get__(self, model: Any, owner: Any = None) -> Any:
        raise AttributeError(
            f"model.{self._name} belongs to the graphs of Keras 1 and 2, which are not there: {self._instead} stands "
            "for it (docs/keras.md)"
        )


def lend_data(owners: Iterable[Any], data: list[Any]) -> None:
    """Let a model and callbacks have ``validation_data``, as in Keras before 2.4, where that is no name of their own.

    Parameters
    ----------
    owners : iterable of Model or Callback
    data : list
        What `fit` was given.
    """
    for attributes in map(vars, owners):
        if attributes.get("validation_data") is attributes.get("_lent"):
            attributes["validation_data"] = attributes["_lent"] = data


class OlderNames:
    """Mixin of Keras's models."""

    def _make_predict_function(self) -> None:
        """What scripts of Keras 2 call before threads of a server predict: nothing is to be made."""

    _make_train_function = _make_test_function = make_predict_function = _make_predict_function

    def make_train_function(self, force: bool = False) -> Any:
        """What tf.keras calls before a training; nothing is to be made."""

    make_test_function = make_train_function

    save_own_variables, load_own_variables = OF_MODELS["save_own_variables"], OF_MODELS["load_own_variables"]
    get_compile_config, compile_from_config = OF_MODELS["get_compile_config"], OF_MODELS["compile_from_config"]
    has_own_compile_config = OF_MODELS["has_own_compile_config"]
    compile_config_for_files = OF_MODELS["compile_config_for_files"]
    stateless_call = OF_MODELS["stateless_call"]

    def __copy__(self) -> Any:
        """What `copy.copy` gives: in Keras a model of its own, with weights and an optimizer of its own."""
        return copied(self)

    get_input_at, get_output_at = map(_tensors_at, ("inputs", "outputs"))
    get_input_shape_at, get_output_shape_at = SHAPES_AT.values()
    inbound_nodes, _inbound_nodes, outbound_nodes, _outbound_nodes = NODES.values()

    @property
    def input_names(self) -> list[str]:
        """Names of the layers that the model begins with, as Keras 2 has them."""
        return [tensor.node.layer.name for tensor in self.inputs]  # type: ignore[attr-defined]

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list[Any]:
        """The model, its layers, and those of the models and layers in it, as Keras lists them."""
        found: list[Any] = [self] if include_self else []
        for layer in self.layers:  # type: ignore[attr-defined]
            found.append(layer)
            if recursive and hasattr(layer, "_flatten_layers"):
                found += layer._flatten_layers(include_self=False)
        return found

    @asking
    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of that name, or at that position; of a name that none has, what it was in Keras 1 and 2."""
        name = name.replace("/", "_") if isinstance(name, str) else name
        kind, number = _parts(name) if isinstance(name, str) else ("", 0)
        alike = [layer for layer in self.layers if type(layer).__name__.lower() == kind]  # type: ignore[attr-defined]
        before = next((layer for layer in alike if _parts(layer.name) == (kind, number - 1)), None)
        try:
            found = super().get_layer(name, index)  # type: ignore[misc]
            if before is not None and is_older():
                warn_once(
                    f"get_layer({name!r}): what is called so today was number {number + 1} in Keras 1 and 2, which "
                    f"counted from 1; what they called {name!r} is '{before.name}'"
                )
            return found
        except ValueError:
            if before is None:
                raise
            warn_user(
                f"no layer is called {name!r}, so that '{before.name}' is taken, as Keras 1 and 2 called it: they "
                "counted from 1, and today the first has no number. Give layers names of your own"
            )
            return before


for _name, _instead in _OF_GRAPHS.items():
    setattr(OlderNames, _name, _OfGraphs(_name, _instead))
