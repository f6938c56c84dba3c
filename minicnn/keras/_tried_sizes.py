"""Models and layers whose `call` computes with sizes that are open: it is run with numbers in their place.

The graph has open sizes at its ends alone. What runs is made anew for the sizes of data, by ``graph.remade``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minicnn.graph import Graph
from minicnn.keras._changed import forget_places
from minicnn.keras._open_looks import note_look, noting_looks
from minicnn.layers.open_sizes import TRIED, has_open, shape_behind
from minicnn.step import Shapes

_AND_SMALL = (*TRIED, (12, 24))  # which tables of positions have


def looks_at_sizes(
    run: Callable[[], Any], trace: Callable[[Shapes], Graph], input_shapes: Shapes, parts: Iterable[Any]
) -> bool:
    """Run a `call` for its graph; whether that looks at open sizes, or is made of numbers in their place.

    Parameters
    ----------
    run : callable
        Makes the graph, for inputs with open sizes.
    trace, input_shapes :
        As of `graph_by_numbers`, which comes next if `run` raises TypeError or ValueError.
    parts : iterable of Layer
        Which forget the calls of a run that failed.
    """
    places = {part: list(part.nodes) for part in parts}
    try:
        with noting_looks() as looks:
            run()
    except (TypeError, ValueError):
        for part, nodes in places.items():
            part.nodes[:] = nodes
        if graph_by_numbers(trace, input_shapes) is None:
            raise
        note_look(None)  # for a layer or model around this one
        return True
    return bool(looks)


def graph_by_numbers(trace: Callable[[Shapes], Graph], input_shapes: Shapes) -> Graph | None:
    """The graph of a `call` that needs numbers for sizes that are None; None if it makes none of these either.

    Parameters
    ----------
    trace : callable
        Shapes of samples → the graph that `call` makes for them, of the same layers.
    input_shapes : sequence of tuple
        With None for sizes that are open.
    """
    made: list[Graph] = []

    def sizes_behind(shapes: Shapes) -> list[int]:
        """The sizes of a sample of each output, one after the other."""
        for graph in made:
            forget_places(graph)
        made[:] = [trace(shapes)]
        return [size for tensor in made[0].outputs for size in tensor.shape[1:]]

    try:
        sizes = iter(shape_behind(sizes_behind, input_shapes, _AND_SMALL) if has_open(input_shapes) else ())
    except (TypeError, ValueError):
        return None
    for graph in made:
        for tensor in graph.outputs:
            tensor.shape = (None, *(next(sizes) for _ in tensor.shape[1:]))
        for tensor, shape in zip(graph.inputs, input_shapes, strict=True):
            tried = [number for number, size in zip(tensor.shape[1:], shape, strict=True) if size is None]
            graph.stand_in, tensor.shape = max(tried, default=graph.stand_in), (None, *shape)
    return next(iter(made), None)
