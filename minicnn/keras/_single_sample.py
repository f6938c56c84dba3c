"""Models that are called with one sample in one input beside several in another: it stands for as many, as in Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from minicnn.errors import DataError
from minicnn.graph import Graph
from minicnn.layers import Concatenate, Dot
from minicnn.nested import leaves
from minicnn.own_parts import is_of_package


def repeating(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call_on_arrays` of a model, in which the one sample is repeated; outputs of it alone have one sample."""

    @wraps(call)
    def called(self, arrays, training=False):
        counts = {len(x) for x in arrays}
        if len(counts) != 2 or 1 not in counts:
            return call(self, arrays, training)
        single = [len(x) == 1 for x in arrays]
        repeated = [np.repeat(x, max(counts), axis=0) if one else x for x, one in zip(arrays, single, strict=True)]
        found = call(self, repeated, training)
        if self.graph is None:
            return found
        outputs, alone = leaves(found), outputs_of_one(self.graph, single)
        return self.outputs_in_form([y[:1] if one else y for y, one in zip(outputs, alone, strict=True)])

    return called


def outputs_of_one(graph: Graph, single: Sequence[bool]) -> list[bool]:
    """Which outputs have one sample, where these inputs have one and the others several.

    Parameters
    ----------
    graph : Graph
    single : sequence of bool
        For each input.

    Raises
    ------
    DataError
        If a layer puts such tensors side by side, or multiplies them sample by sample.
    """
    known = dict(zip(graph.inputs, single, strict=True))
    for node in graph.nodes:
        ones = [known[tensor] for tensor in node.inputs] if node.outputs[0] not in known else []
        if len({*ones}) == 2 and isinstance(node.layer, Concatenate | Dot) and is_of_package(type(node.layer)):
            raise DataError(
                f"layer '{node.layer.name}' ({type(node.layer).__name__}) takes as many samples of each of its inputs: "
                "np.repeat(x, len(others), axis=0) repeats a single one. Received: one sample beside several"
            )
        inner = getattr(node.layer, "graph", None)
        of_one = outputs_of_one(inner, ones) if ones and isinstance(inner, Graph) else [all(ones)] * len(node.outputs)
        known |= {y: one for y, one in zip(node.outputs, of_one, strict=True) if y not in known}
    return [known[tensor] for tensor in graph.outputs]
