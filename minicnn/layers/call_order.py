"""A graph of a `call`, whose layers run in the order in which it calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from minicnn.graph import Graph, Node, Tensor
from minicnn.user_warnings import warn_user


class InCallOrder(Graph):
    """A graph whose nodes run in another order than by their distance from the outputs, by which its layers are listed.

    Averages that a layer moves at several places are moved in the order in which these run.

    Parameters
    ----------
    inputs, outputs : sequence of Tensor
    order : iterable of Node
        An order in which they can run.
    """

    def __init__(self, inputs: Iterable[Tensor], outputs: Iterable[Tensor], order: Iterable[Node]) -> None:
        super().__init__(inputs, outputs)
        self._listed = super().layers
        mine = set(self.nodes)
        self.nodes: list[Node] = [node for node in order if node in mine]

    @property
    def layers(self) -> list[Any]:
        """Every layer once, as in any graph."""
        return list(self._listed)


def in_call_order(graph: Graph) -> Graph:
    """The graph, which runs in the order of its calls where that shows: one layer moves averages at several places."""
    starts = {tensor.node for tensor in graph.inputs}
    early, late = ([node for node in graph.nodes if (node in starts) is first] for first in (True, False))
    moved = Counter(weight for node in late for weight in node.layer.weights if not weight.has_gradient)
    if all(places == 1 for places in moved.values()):
        return graph
    return InCallOrder(graph.inputs, graph.outputs, early + sorted(late, key=lambda node: node.number))


def like(kind: type[Graph], inputs: Iterable[Tensor], outputs: Iterable[Tensor], order: Iterable[Node]) -> Graph:
    """A graph of a kind, that of the one of which it is a copy; `order` is that of the other one's nodes."""
    return kind(inputs, outputs, order) if issubclass(kind, InCallOrder) else kind(inputs, outputs)


def warn_of_unread(graph: Graph, layers: Iterable[Any], since: int, owner: Any) -> None:
    """Warn of layers that would move averages at a place whose output nothing reads: a graph leaves it out.

    Parameters
    ----------
    graph : Graph
        That of a `call`.
    layers : iterable of Layer
        Those that it may have called.
    since : int
        The number of a call before its own ones.
    owner : Layer
        Whose `call` it is.
    """
    there = set(graph.nodes)
    for layer in layers:
        moves = layer.trainable and any(_moves(weight) for weight in layer.weights)
        own = (node for node in layer.nodes if node.number > since and node.training is not False)
        if moves and not there.issuperset(own):
            warn_user(
                f"call of '{owner.name}' calls layer '{layer.name}', and nothing that it returns is computed of what "
                "that gives: such a call is left out, and moves no averages in training, as it does in Keras. Use its "
                f"result, as in x = self.{layer.name}(x), or leave the call out"
            )


def _moves(weight):
    """Whether calls in training change a weight without a gradient; not where its layer, inside a model, is frozen."""
    return not weight.has_gradient and weight.layer.trainable and not hasattr(weight.layer, "adapt")
