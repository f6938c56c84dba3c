"""Gradients that travel while others are still computed: those of the last layers, which the last shard has first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minicnn.distribution import sums
from minicnn.distribution.shards import Node, halves, nodes_within, own_part, total
from minicnn.distribution.wire import Pending, Wire

if TYPE_CHECKING:
    from minicnn.parameters import ParameterStore
    from minicnn.plan.plan import BoundPlan

PIECES = 4  # of a vector, at most


def own_node(wire: Wire, count: int) -> Node | None:
    """The node that this worker's shards make up, where every worker has just one; None otherwise."""
    nodes = [nodes_within((0, count), own_part(count, rank, wire.size)) for rank in range(wire.size)]
    return nodes[wire.rank][0] if all(len(found) == 1 for found in nodes) else None


def pieces(bound: BoundPlan, store: ParameterStore, extra: int) -> list[tuple[int, slice]]:
    """(number of a backward step, the part of the vector that is done after it), from the vector's end to its begin.

    Parameters
    ----------
    bound : BoundPlan
    store : ParameterStore
    extra : int
        Numbers behind the gradients that are done before.
    """
    end = store.grad.size + extra
    least, found = max(sums.LARGE // store.grad.itemsize, end // PIECES), []
    ends = [
        max((store.slice_of(w).stop for w in step.place.step.weights if w.trainable), default=0)
        for step in bound.backward_steps
    ]
    for number in range(len(ends)):
        start = max(ends[number + 1 :], default=0)  # what lies behind it, no later step writes
        if end - start >= least:
            found.append((number, slice(start, end)))
            end = start
    return [*found, (len(ends) - 1, slice(0, end))] if end else found


class Travelling:
    """The sum over all workers of vectors that come piece by piece.

    Parameters
    ----------
    wire : Wire
    count : int
        Of all shards.
    out : array
        The vector that becomes the sum.
    """

    def __init__(self, wire: Wire, count: int, out: np.ndarray) -> None:
        self._wire, self._root, self._out = wire, (0, count), out
        self._nodes = [nodes_within(self._root, own_part(count, rank, wire.size))[0] for rank in range(wire.size)]
        self._pending: list[tuple[slice, list[slice], Pending]] = []

    def send(self, part: slice, own: np.ndarray) -> None:
        """Send this worker's sum of a part of the vector."""
        parts = sums.columns(own.size, self._wire.size)
        pending = self._wire.exchange_columns(own.reshape(1, -1), [1] * self._wire.size, parts)
        self._pending.append((part, parts, pending))

    def push(self) -> None:
        """Let MPI go on with what is under way."""
        for _, _, pending in self._pending:
            pending.push()

    def result(self) -> np.ndarray:
        """The sum over all workers; waits for it."""
        gathered = []
        for part, parts, pending in self._pending:
            known = dict(zip(self._nodes, pending.result(), strict=True))
            gathered.append(self._wire.gather_parts(total(self._root, known, sums.add), self._out[part], parts))
        for pending in gathered:  # all under way at once
            pending.result()
        return self._out


def before_last(node: Node, compute: Callable[..., np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The sums at the nodes that the last shard is added to, from the top down; and the last shard's number."""
    found = []
    while node[1] - node[0] > 1:
        first, node = halves(node)
        found.append(sums.along_tree(first, compute))
    return found, node[0]
