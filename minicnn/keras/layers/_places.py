"""Where a layer was called: ``layer.inbound_nodes``, as Keras 1 and 2 have them, and ``layer.get_output_at(n)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.graph import Node


class LayerBefore(list):
    """The only layer whose output a call took, in a list, as in Keras 2; it has what that layer has, as in tf.keras."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not self:
            raise AttributeError(name)
        return getattr(self[0], name)


class Place:
    """A call of a layer, as Keras's nodes describe it.

    Parameters
    ----------
    node : Node

    Attributes
    ----------
    outbound_layer, operation : Layer
        The one that was called.
    inbound_layers : list of Layer
        Those before it.
    parent_nodes : list of Place
    input_tensors, output_tensors : list of Tensor
    input_shapes, output_shapes : list of tuple
    node_indices, tensor_indices : list of int
        Which call of each layer before it, and which of that call's outputs.
    """

    def __init__(self, node: Node) -> None:
        self.outbound_layer: Any = node.layer
        self.operation: Any = node.layer
        self.input_tensors: list[Any] = list(node.inputs)
        self.output_tensors: list[Any] = list(node.outputs)
        before = [t.node.layer for t in node.inputs]
        self.inbound_layers: list[Any] = LayerBefore(before) if len(before) == 1 else before
        self.input_shapes: list[Any] = [t.shape for t in node.inputs]
        self.output_shapes: list[Any] = [t.shape for t in node.outputs]
        self.node_indices: list[int] = [t.node.layer.nodes.index(t.node) for t in node.inputs]
        self.tensor_indices: list[int] = [t.node.outputs.index(t) for t in node.inputs]

    @property
    def parent_nodes(self) -> list[Place]:
        """The calls before this one."""
        return [Place(tensor.node) for tensor in self.input_tensors]


def _tensor_at(which: str) -> Callable[[Any, int], Any]:
    """The tensor, or the tensors, of one of several calls of a layer."""

    def tensor_at(layer: Any, node_index: int) -> Any:
        tensors = getattr(layer.nodes[node_index], which)
        return tensors[0] if len(tensors) == 1 else list(tensors)

    return tensor_at


def _shape_at(which: str) -> Callable[[Any, int], Any]:
    """The shape, or the shapes, of what one of several calls took or gave."""

    def shape_at(layer: Any, node_index: int) -> Any:
        tensors = getattr(layer, f"get_{which}_at")(node_index)
        return [t.shape for t in tensors] if isinstance(tensors, list) else tensors.shape

    return shape_at


SHAPES_AT: dict[str, Any] = {f"get_{which}_shape_at": _shape_at(which) for which in ("input", "output")}


def _calls_behind(layer):
    raise AttributeError(
        "a layer does not know which others take its output: those before a layer are in its inbound_nodes, for node "
        f"in layer.inbound_nodes: node.inbound_layers. Received: outbound_nodes of layer '{layer.name}'"
    )


_inbound = property(lambda layer: [Place(node) for node in layer.nodes], lambda layer, value: None)
NODES: dict[str, Any] = {"inbound_nodes": _inbound, "_inbound_nodes": _inbound}
NODES |= dict.fromkeys(("outbound_nodes", "_outbound_nodes"), property(_calls_behind, lambda layer, value: None))
"""What layers have; to set them, as functions that pop layers did, changes nothing."""


def _rename(layer, name):
    if not isinstance(name, str) or not name:
        raise ValueError(f"a name is a string, not empty. Received: _name={name!r} of layer '{layer.name}'")
    layer.name = name.replace("/", "_")


_NAME = property(lambda layer: layer.name, _rename)  # by which tf.keras, where `name` could not be set, renamed
AT: dict[str, Any] = {"get_input_at": _tensor_at("inputs"), "get_output_at": _tensor_at("outputs")}
AT |= {**SHAPES_AT, **NODES, "_name": _NAME}
