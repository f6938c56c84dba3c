"""Sums over shards along the tree of `minicnn.distribution.shards`, on one worker and over all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from minicnn.distribution.shards import Node, halves, nodes_within, own_part, total
from minicnn.distribution.wire import Wire

LARGE = 1 << 17  # bytes of a vector from which on each worker adds a part of it for all


def over_shards(count: int, own: range, compute: Callable[..., np.ndarray]) -> dict[Node, np.ndarray]:
    """Node → sum, of the largest nodes that a worker's shards make up.

    Parameters
    ----------
    count : int
        Of all shards.
    own : range
        This worker's.
    compute : callable
        Gives the vector of a shard, as an array of its own, or added to the one that is its second argument; is called
        in the shards' order.
    """
    return {node: along_tree(node, compute) for node in nodes_within((0, count), own)}


def along_tree(node: Node, compute: Callable[..., np.ndarray]) -> np.ndarray:
    """The sum at a node; no more vectors are alive at once than the tree is deep. `compute`: as for `over_shards`."""
    if node[1] - node[0] == 1:
        return compute(node[0])
    first, second = halves(node)
    found = along_tree(first, compute)
    return compute(second[0], found) if second[1] - second[0] == 1 else add(found, along_tree(second, compute))


def over_workers(
    wire: Wire, own: Mapping[Node, np.ndarray], count: int, width: int, dtype: np.dtype
) -> Callable[[], np.ndarray]:
    """Begin the sum over all `count` shards; returns a function that waits for it, and gives the same to every worker.

    Small vectors go to all, and everybody adds. Of large ones each worker gets a part from all, adds it, and hands it
    to all: 2 (N - 1) / N vectors sent by each of N workers instead of N - 1, in two rounds instead of one.

    Parameters
    ----------
    wire : Wire
    own : mapping
        Node → sum, of this worker's shards.
    count : int
    width, dtype :
        Of the vectors; a worker may have none.
    """
    if wire.size == 1:
        return lambda: own[0, count]
    nodes = [nodes_within((0, count), own_part(count, rank, wire.size)) for rank in range(wire.size)]
    counts, everybody = [len(n) for n in nodes], [node for part in nodes for node in part]
    rows = _rows([own[node] for node in nodes[wire.rank]], width, dtype)
    is_large, parts = width * rows.itemsize >= LARGE, columns(width, wire.size)
    pending = wire.exchange_columns(rows, counts, parts) if is_large else wire.gather_rows(rows, counts)

    def result():
        found = total((0, count), dict(zip(everybody, pending.result(), strict=True)), add)
        return wire.gather_parts(found, np.empty(width, dtype), parts).result() if is_large else found

    return result


def of_leaves(
    wire: Wire,
    nodes: Sequence[Sequence[Node]],
    own: Mapping[int, np.ndarray],
    unite: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """What short vectors, one a shard, are together; the same on every worker.

    Parameters
    ----------
    wire : Wire
        Of those who have shards.
    nodes : sequence of lists of tuples
        The nodes of the tree that the shards of each of them make up.
    own : mapping
        Shard → vector (W,), of this worker's.
    unite : callable
        Gives what two of them are together.
    """
    leaves = {(shard, shard + 1): vector for shard, vector in own.items()}
    everybody = [node for part in nodes for node in part]
    with np.errstate(all="ignore"):  # as in `add`
        rows = np.stack([total(node, leaves, unite) for node in nodes[wire.rank]])
        found = wire.gather_rows(rows, [len(n) for n in nodes]).result()
        return total((0, everybody[-1][1]), dict(zip(everybody, found, strict=True)), unite)


def columns(width: int, size: int) -> list[slice]:
    """The part of a vector that each of `size` workers adds."""
    return [slice(width * rank // size, width * (rank + 1) // size) for rank in range(size)]


def _rows(vectors, width, dtype):
    """The vectors as rows of an array; the same memory where there is one."""
    if len(vectors) == 1:
        return vectors[0].reshape(1, width)
    return np.stack(vectors) if vectors else np.empty((0, width), dtype)


def of_all(values: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of small values, one a shard, all of which are here."""
    known = {(i, i + 1): value for i, value in enumerate(values)}
    return total((0, len(values)), known, lambda first, second: add(first.copy(), second))


def add(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """first + second, in the memory of `first`.

    Without a warning where that is not finite, as in kernels: `NonFiniteError` says it of the loss.
    """
    with np.errstate(all="ignore"):
        first += second
    return first
