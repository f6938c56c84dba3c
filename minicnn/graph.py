"""Symbolic tensors, and the graph of layer calls between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, ClassVar, NoReturn


class Tensor:
    """What a layer call returns while a model is described: a shape and where it comes from, no numbers.

    Attributes
    ----------
    shape : tuple
        With the batch axis, which is None: (None, 28, 28, 1).
    node : Node
        The call that produces it.
    """

    def __init__(self, shape: tuple[int, ...], node: Node) -> None:
        self.shape: tuple[int | None, ...] = (None, *shape)
        self.node: Node = node

    @property
    def name(self) -> str:
        return self.node.layer.name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"the output of layer '{self.name}' is symbolic: it has a shape, {self.shape}, but no values; "
            "build a Model from it and call predict"
        )

    def __repr__(self) -> str:
        return f"<Tensor {self.shape} from layer '{self.name}'>"


class Node:
    """One call of a layer: its place in the graph.

    Attributes
    ----------
    layer : Layer
    inputs, outputs : tuple of Tensor
        A layer has one output; a model that is called as a layer can have several.
    training : bool or None
        Whether the layer acts as in training here whatever the model does; None: as the model does.
    number : int
        The calls are counted: what was called earlier has a smaller one.
    """

    numbers: ClassVar[Iterator[int]] = count()

    def __init__(
        self,
        layer: Any,
        inputs: Iterable[Tensor],
        output_shapes: Iterable[tuple[int, ...]],
        training: bool | None = None,
    ) -> None:
        self.layer: Any = layer
        self.number: int = next(self.numbers)
        self.training: bool | None = training
        self.inputs: tuple[Tensor, ...] = tuple(inputs)
        self.outputs: tuple[Tensor, ...] = tuple(Tensor(shape, self) for shape in output_shapes)


class Graph:
    """All calls between some inputs and some outputs.

    Parameters
    ----------
    inputs, outputs : sequence of Tensor

    Attributes
    ----------
    nodes : list of Node
        In an order in which they can run; the nodes of the inputs come first.
    remade : callable or None
        Shapes of samples → the graph for these, where a function that goes by sizes has made this one of open ones.
    stand_in : int or None
        The number that it was made with in the place of open sizes, if the function computes with them.
    sized : dict
        Shapes of samples → the same for these; see `minicnn.layers.open_sizes`.

    Raises
    ------
    ValueError
        If an output depends on an input that is not in `inputs`.
    """

    remade: Any = None
    stand_in: int | None = None

    def __init__(self, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> None:
        self.inputs: tuple[Tensor, ...] = tuple(inputs)
        self.outputs: tuple[Tensor, ...] = tuple(outputs)
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError(f"every input is given once. Received: {[t.name for t in self.inputs]}")
        self.sized: dict[tuple[Any, ...], Graph] = {}
        self._starts = {tensor.node for tensor in self.inputs}
        self.nodes: list[Node] = self._sort()

    @property
    def layers(self) -> list[Any]:
        """Every layer once, in the order of its first call; not one whose output is where the graph begins."""
        return list(dict.fromkeys(n.layer for n in self.nodes if not (n.inputs and n in self._starts)))

    def _sort(self):
        """The nodes by decreasing distance from the outputs, as Keras orders layers and so their weights.

        Within one distance: in the order in which a depth-first search from the outputs first meets their layers. An
        operation may be made of several steps, "…_operation": those before its last one are only a little further away.
        """
        found, rank = self._search()
        distance, layer_distance = {}, {}
        for node in reversed(found):  # every node after those that read it
            own = max(distance.get(node, 0), layer_distance.get(node.layer, 0))
            distance[node] = layer_distance[node.layer] = own
            for tensor in node.inputs if node not in self._starts else ():
                part = getattr(tensor.node.layer, "is_operation", False) and "_operation" in tensor.node.layer.name
                distance[tensor.node] = max(distance.get(tensor.node, 0), own + 2**-20 if part else int(own) + 1)
        for tensor in self.inputs:  # an input that nothing reads
            distance.setdefault(tensor.node, 0)
            rank.setdefault(tensor.node.layer, len(rank))
        return sorted(distance, key=lambda node: (-distance[node], rank[node.layer]))

    def _search(self):
        """(nodes in an order in which they can run, layer → how many layers were met before it).

        Depth-first with its own stack: networks may be deeper than Python's.
        """
        given, order, rank = set(self.inputs), {}, {}
        stack = [(tensor, False) for tensor in reversed(self.outputs)]
        while stack:
            tensor, inputs_done = stack.pop()
            if tensor.node in order:
                continue
            rank.setdefault(tensor.node.layer, len(rank))
            if inputs_done or tensor in given:
                order[tensor.node] = None
                continue
            if not tensor.node.inputs:
                raise ValueError(
                    f"the outputs depend on the input '{tensor.name}', which is not among the model's inputs "
                    f"{[t.name for t in self.inputs]}; add it to inputs="
                )
            stack += [(tensor, True), *((parent, False) for parent in reversed(tensor.node.inputs))]
        return list(order), rank
