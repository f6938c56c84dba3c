"""Sizes that are None: a height, width or length that is known when data comes, as in fully convolutional networks.

Layers compute shapes from numbers alone. So where a size is open, `build` is asked with two numbers in its place, and
what differs between the outputs is open too. Plans know nothing of this: one is made for the sizes of a batch, of the
`sized` graph, with the same weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from minicnn.errors import ShapeError
from minicnn.graph import Graph, Node
from minicnn.hints import Shape
from minicnn.layers.call_order import like
from minicnn.user_warnings import warn_user

TRIED = (60, 120), (2520, 5040)
"""Numbers in the place of an open size: pairs, tried in turn. All small numbers divide them."""

MAX_GRAPHS = 64
"""A graph is kept for so many sizes, those that were met last."""


class StandIn(int):
    """A number in the place of an open size, which messages show as None."""

    def __repr__(self) -> str:
        return "None"


def has_open(shapes: Sequence[Shape]) -> bool:
    """Whether any size in shapes of samples is None."""
    return any(size is None for shape in shapes for size in shape)


def fits(shape: Shape, expected: Shape) -> bool:
    """Whether a shape is as expected, where None stands for any size."""
    return len(shape) == len(expected) and all(e in (None, n) for n, e in zip(shape, expected, strict=True))


def all_fit(shapes: Sequence[Shape], expected: Sequence[Shape]) -> bool:
    """Whether every shape `fits`, and their number is right."""
    return len(shapes) == len(expected) and all(map(fits, shapes, expected))


def shape_behind(
    build: Callable[[tuple[Shape, ...]], Shape], input_shapes: Sequence[Shape], tried: Sequence[tuple[int, int]] = TRIED
) -> Shape:
    """The output's shape from `build`, a function of shapes with known sizes; None where it depends on an open one.

    Raises
    ------
    ShapeError
        If there is no output, or no weights, for any size; and what `build` raises at every size.
    """
    if not has_open(input_shapes):
        return build(tuple(input_shapes))
    for pair in tried:  # a window does not fit, or a shape into another: the next may
        shapes, errors = [], []
        for number in pair:
            try:
                shapes.append(tuple(build(with_number(input_shapes, StandIn(number)))))
            except ValueError as error:
                errors.append(error)
        if not errors:
            return tuple(a if a == b else None for a, b in zip(*shapes, strict=True))
    if len(errors) == 2 and str(errors[0]) == str(errors[1]):  # it says nothing of the number
        raise errors[0]
    raise ShapeError(
        "its weights or its output depend on a size that is None, which is known only when data comes: give the "
        "model's Input that size, or put layers before it that make it known, such as GlobalAveragePooling2D or "
        f"Resizing. Received: an input of shape {', '.join(str((None, *shape)) for shape in input_shapes)}"
    ) from errors[0]


def count_apart(input_shapes: Sequence[Shape]) -> int:
    """A number of samples for a trial, even, since some batches have halves, that no axis of a sample has."""
    return next(count for count in itertools.count(2, 2) if not any(count in shape for shape in input_shapes))


def with_number(input_shapes: Sequence[Shape], number: int | None) -> tuple[Shape, ...]:
    """The shapes with a number in the place of every open size."""
    return tuple(tuple(number if size is None else size for size in shape) for shape in input_shapes)


def sized(graph: Graph, input_shapes: Sequence[Shape]) -> Graph:
    """The graph for inputs of these shapes: itself, or the same calls of layers with the open sizes known.

    Raises
    ------
    ShapeError
        Naming a layer that these sizes do not suit.
    """
    input_shapes = tuple(map(tuple, input_shapes))
    if input_shapes == tuple(t.shape[1:] for t in graph.inputs):
        return graph
    known = graph.sized
    found = known.pop(input_shapes, None) or (graph.remade or partial(_with_sizes, graph))(input_shapes)
    while len(known) >= MAX_GRAPHS:
        known.pop(next(iter(known)), None)
    known[input_shapes] = found  # the last in the dict is the last used
    return found


def of_sizes(graph: Graph | None, input_shapes: Sequence[Shape]) -> Graph | None:
    """The graph inside a layer for inputs of these shapes: itself, unless something in it goes by sizes."""
    return sized(graph, input_shapes) if graph is not None and goes_by_sizes(graph) else graph


def goes_by_sizes(graph: Graph) -> bool:
    """Whether a graph was made of a function that goes by sizes which are open in it, or has such a layer."""
    inner = (layer.graph for layer in graph.layers)
    return graph.remade is not None or any(each is not None and goes_by_sizes(each) for each in inner)


def closed(graph: Graph) -> Graph:
    """The graph, with a number in the place of its open sizes if a function inside computes with them."""
    number = stand_in(graph)
    shapes = [t.shape[1:] for t in graph.inputs]
    return graph if number is None or not has_open(shapes) else sized(graph, with_number(shapes, StandIn(number)))


def stand_in(graph: Graph) -> int | None:
    """The number that functions inside a graph have tried, which compute with open sizes; None if there are none."""
    inner = (stand_in(layer.graph) for layer in graph.layers if layer.graph is not None)
    return max((number for number in (graph.stand_in, *inner) if number is not None), default=None)


def warn_of_sizes(what: str, kept: str, number: int | None = None) -> None:
    """Warn that what is kept of a function that goes by sizes is one graph; with a number, one for it alone."""
    begun, has = (
        f"{what} looks at sizes that are open, and is run again for each; {kept} has",
        "what it does where they",
    )
    if number is not None:
        warn_user(f"{begun} what it does for the number {number} alone: give the model's Input its sizes")
    else:
        warn_user(f"{begun} {has} are not known: if that differs, give the model's Input its sizes")


def _with_sizes(graph, input_shapes):
    """A copy of the graph that begins with these shapes."""
    tensors = {}
    for tensor, shape in zip(graph.inputs, input_shapes, strict=True):
        tensors[tensor] = Node(tensor.node.layer, tensor.node.inputs, [shape]).outputs[0]
    starts = {tensor.node for tensor in graph.inputs}
    for node in graph.nodes:
        if node not in starts:
            inputs = [tensors[tensor] for tensor in node.inputs]
            shapes = node.layer.build_for(tuple(tensor.shape[1:] for tensor in inputs))
            tensors.update(zip(node.outputs, Node(node.layer, inputs, shapes, node.training).outputs, strict=True))
    ends = (tensors[t] for t in graph.inputs), (tensors[t] for t in graph.outputs)
    return like(type(graph), *ends, dict.fromkeys(tensor.node for tensor in tensors.values()))


def rank_advice(shape: Shape, rank: int) -> str:
    """How a sample's shape is mended that has an axis too many or too few for a layer; "" where that is not known.

    Parameters
    ----------
    shape : tuple of int
    rank : int
        How many axes the layer wants.
    """
    sizes = tuple(None if isinstance(n, StandIn) else n for n in shape)
    if len(sizes) == rank + 1 and sizes[0] is None:
        return f". The first axis, that of the samples, is left out of a shape: Input({sizes[1:]})"
    if len(sizes) == rank + 1 and sizes[-1] == 1 and sizes[-2] in (1, 3, 4):
        return f". The last axis is one too many: Input({sizes[:-1]})"
    if len(sizes) == rank + 1:
        return f". A shape is that of one sample, without how many there are: Input({sizes[1:]})"
    if len(sizes) == rank - 1 and rank > 2:
        return f". Of pictures of one channel it is Input({(*sizes, 1)}), and the data are x[..., None]"
    return ""
