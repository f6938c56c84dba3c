"""A graph of a `call`, whose layers run in the order in which it calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from minicnn.graph import Graph, Node, Tensor


class InCallOrder(Graph):
    """A graph whose nodes run in another order than by their distance from the outputs, by which its layers are listed.

    Averages that a layer moves at several places are moved in the order in which these run. Nodes from which nothing
    leads to the outputs run as well, and their layers are listed last.

    Parameters
    ----------
    inputs, outputs : sequence of Tensor
    order : iterable of Node
        An order in which they can run.
    """

    def __init__(self, inputs: Iterable[Tensor], outputs: Iterable[Tensor], order: Iterable[Node]) -> None:
        super().__init__(inputs, outputs)
        self._listed = super().layers
        self.nodes: list[Node] = list(order)
        self._listed = list(dict.fromkeys([*self._listed, *super().layers]))

    @property
    def layers(self) -> list[Any]:
        """Every layer once, as in any graph."""
        return list(self._listed)


def in_call_order(graph: Graph, beside: Sequence[Node] = ()) -> Graph:
    """The graph, which runs in the order of its calls where that shows: one layer moves averages at several places.

    Parameters
    ----------
    graph : Graph
    beside : sequence of Node
        What runs as well.
    """
    starts = {tensor.node for tensor in graph.inputs}
    nodes = [*graph.nodes, *beside]
    early, late = ([node for node in nodes if (node in starts) is first] for first in (True, False))
    moved = Counter(weight for node in late for weight in node.layer.weights if not weight.has_gradient)
    if not beside and all(places == 1 for places in moved.values()):
        return graph
    return InCallOrder(graph.inputs, graph.outputs, early + sorted(late, key=lambda node: node.number))


def like(kind: type[Graph], inputs: Iterable[Tensor], outputs: Iterable[Tensor], order: Iterable[Node]) -> Graph:
    """A graph of a kind, that of the one of which it is a copy; `order` is that of the other one's nodes."""
    return kind(inputs, outputs, order) if issubclass(kind, InCallOrder) else kind(inputs, outputs)
