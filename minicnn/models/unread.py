"""Calls of layers in a `call` of which nothing that it returns is made, and which do something all the same.

Averages move, penalties and added losses count, as in Keras: so these calls run, too. Others are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicnn.graph import Graph, Node
from minicnn.layers.base import Layer
from minicnn.layers.call_order import in_call_order
from minicnn.models.config import graph_from_config, own_arguments
from minicnn.plan.program import lower

if TYPE_CHECKING:
    from minicnn.models.network import Network


def nodes_beside(graph: Graph, layers: Iterable[Layer], since: int) -> list[Node]:
    """Calls beside a graph that are to run, and those that they are made of, in an order in which they can.

    Parameters
    ----------
    graph : Graph
        That of a `call`.
    layers : iterable of Layer
        Those that it may have called.
    since : int
        The number of a call before its own ones.
    """
    own = [node for layer in layers for node in layer.nodes if node.number > since]
    return _beside(graph, own, _does_something)


def running(model: Network, nodes: Iterable[Node]) -> Network:
    """A model that was made of a config or another model, in which nodes beside its graph run as they did there."""
    if beside := _beside(model.graph, nodes):
        model.graph = in_call_order(model.graph, beside)
    return model


def from_graph_config(cls: type[Network], config: dict[str, Any]) -> Network:
    """The model of what `graph_config` has given."""
    inputs, outputs, nodes = graph_from_config(config)
    return running(cls(inputs, outputs, **own_arguments(cls, config)), nodes)


def _beside(graph, nodes, is_wanted=lambda node: True):
    """Those that are not there, with what they are made of, in an order in which they can run."""
    there, found = set(graph.nodes), set[Node]()
    for node in nodes:
        if node not in there and node not in found and (behind := _behind(node, there)) and is_wanted(node):
            found.update(behind)
    return sorted(found, key=lambda node: node.number)


def _behind(node, there):
    """A call and those that it is made of, up to those that are there; none if it begins at another input."""
    found, waiting = dict.fromkeys([node]), [node]
    while waiting:
        inputs = {tensor.node for tensor in waiting.pop().inputs} - there - found.keys()
        if any(not each.inputs for each in inputs):
            return {}
        found.update(dict.fromkeys(inputs))
        waiting += inputs
    return found


def _does_something(node):
    """Whether a call moves averages in training, has a penalty, or is measured."""
    weights = node.layer.weights
    if any(weight.regularizer for weight in weights):
        return True
    if node.training is not False and any(not w.has_gradient and not hasattr(w.layer, "adapt") for w in weights):
        return True
    steps = [place.step for place in lower(Graph(dict.fromkeys(node.inputs), node.outputs)).places]
    return any(step.has_penalty or hasattr(getattr(step, "layer", step), "measured") for step in steps)
