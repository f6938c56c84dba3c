"""How a batch is cut, and in which order what its parts give is added: functions of the batch alone.

A batch of B samples becomes at most V *shards*: consecutive samples, each shard beginning at a multiple of 4, because
random numbers come in fours (`minicnn.random`). Sums go along one binary tree over the shards' numbers: node (i, j)
stands for the shards from i up to, but without, j, and is the sum of its two halves. Which worker computes a shard, and
who adds, therefore changes no bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TypeVar

UNIT = 4  # samples
Node = tuple[int, int]
T = TypeVar("T")


def cut(count: int, shards: int) -> list[slice]:
    """The samples of each shard of a batch; fewer than `shards` where there are too few samples.

    Parameters
    ----------
    count : int
        Samples in the batch, at least 1.
    shards : int
    """
    units = -(-count // UNIT)
    shards = min(units, shards)
    starts = [UNIT * (units * shard // shards) for shard in range(shards)] + [count]
    return [slice(*pair) for pair in itertools.pairwise(starts)]


def own_part(count: int, rank: int, size: int) -> range:
    """Which of `count` shards a worker of `size` computes."""
    return range(count * rank // size, count * (rank + 1) // size)


def halves(node: Node) -> tuple[Node, Node]:
    """The two nodes whose sum a node is."""
    middle = (node[0] + node[1]) // 2
    return (node[0], middle), (middle, node[1])


def nodes_within(node: Node, part: range) -> list[Node]:
    """The largest nodes at and below `node` that a part of the shards is made of, in order."""
    if part.start <= node[0] and node[1] <= part.stop:
        return [node]
    if node[1] <= part.start or part.stop <= node[0] or node[1] - node[0] == 1:
        return []
    return [found for half in halves(node) for found in nodes_within(half, part)]


def total(node: Node, known: Mapping[Node, T], add: Callable[[T, T], T]) -> T:
    """The sum at a node from those at nodes below it.

    Parameters
    ----------
    node : tuple of int
    known : mapping
        Node → its sum.
    add : callable
        Gives the sum of two; it may be in the first one's memory.
    """
    if node in known:
        return known[node]
    first, second = halves(node)
    return add(total(first, known, add), total(second, known, add))
