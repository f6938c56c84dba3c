"""Where the boxes of a diagram stand and how the arrows between them run.

Layered drawing (Sugiyama, Tagawa, Toda: "Methods for visual understanding of hierarchical system structures", 1981):
every box gets a rank below those it reads; arrows across several ranks pass through empty places in between; each rank
is ordered so that few arrows cross; places are then pulled towards their neighbours, without overlapping.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
"""Inches across and down."""

ORDER_SWEEPS = 12
PLACE_SWEEPS = 40
BOX_GAP, RANK_GAP = 0.35, 0.45  # inches between boxes of one rank, between ranks
HEAD_ROOM = 0.13  # inches of the gap between ranks in which arrows are straight, for their heads
PASSAGE = 0.12  # inches that an arrow takes between boxes
PORT_GAP = 0.22  # inches between the ends of arrows at one box, at most
STRAIGHT = 0.05  # inches: lines that lean less than this count as straight
PULL = {0: 8.0, 1: 1.0, 2: 4.0}  # of an arrow's piece, by how many of its ends are empty places: chains stay straight


@dataclass(frozen=True)
class Layout:
    """A drawing, in inches from its upper left corner.

    Attributes
    ----------
    centres : list of (float, float)
        Of the boxes: across, down.
    paths : dict
        Edge → its points from box to box. Between points 0 and 1, 2 and 3, … the arrow is straight, between the others
        it may swing.
    size : (float, float)
    """

    centres: list[Point]
    paths: dict[tuple[int, int], list[Point]]
    size: Point


def layered(sizes: Sequence[Point], edges: Iterable[tuple[int, int]]) -> Layout:
    """Lay out boxes from top to bottom.

    Parameters
    ----------
    sizes : list of (float, float)
        Width and height of each box.
    edges : iterable of (int, int)
        (from, to), by position in `sizes`; ``from < to``.
    """
    edges = list(dict.fromkeys(edges))
    ranks = _ranks(len(sizes), edges)
    places = dict(enumerate(sizes))  # boxes, and empty places with numbers from len(sizes) on
    chains = _insert_passages(edges, ranks, places)
    pieces = [piece for chain in chains.values() for piece in pairwise(chain)]
    neighbours = _neighbours(pieces, len(sizes))
    rows = _ordered(_rows(ranks), neighbours, pieces)
    across = _across(rows, neighbours, places)
    tops, heights = _down(rows, places)
    middles = {place: tops[rank] + heights[rank] / 2 for rank, row in enumerate(rows) for place in row}
    left = min(across[p] - places[p][0] / 2 for p in places)
    across = {place: x - left for place, x in across.items()}
    return Layout(
        [(across[box], middles[box]) for box in range(len(sizes))],
        _paths(chains, across, middles, places, ranks, tops, heights),
        (max(across[p] + places[p][0] / 2 for p in places), tops[-1] + heights[-1]),
    )


def _ranks(count, edges) -> dict:
    """Box → rank: one more than the highest of those it reads; a box that reads none stands just above its readers."""
    ranks, readers, reads = dict.fromkeys(range(count), 0), defaultdict(list), defaultdict(list)
    for start, end in edges:
        readers[start].append(end)
        reads[end].append(start)
    for box in range(count):
        ranks[box] = max((ranks[start] + 1 for start in reads[box]), default=0)
    for box in range(count):
        if not reads[box] and readers[box]:
            ranks[box] = min(ranks[end] for end in readers[box]) - 1
    return ranks


def _insert_passages(edges, ranks, places) -> dict:
    """Edge → the places it passes, ends included; empty places are added to `ranks` and `places`."""
    chains = {}
    for start, end in edges:
        chain = [start]
        for rank in range(ranks[start] + 1, ranks[end]):
            place = len(places)
            places[place], ranks[place] = (PASSAGE, 0.0), rank
            chain.append(place)
        chains[start, end] = [*chain, end]
    return chains


def _rows(ranks) -> list:
    """The places of each rank, in the order in which they came."""
    rows = [[] for _ in range(max(ranks.values()) + 1)]
    for place, rank in ranks.items():
        rows[rank].append(place)
    return rows


def _neighbours(pieces, boxes):
    """(place → [(place above, pull)], place → [(place below, pull)])."""
    above, below = defaultdict(list), defaultdict(list)
    for start, end in pieces:
        pull = PULL[(start >= boxes) + (end >= boxes)]
        above[end].append((start, pull))
        below[start].append((end, pull))
    return above, below


# ----------------------------------------------------------------------------------------------------------- ordering


def _ordered(rows, neighbours, pieces):
    """The rows in an order with few crossings: down and up, each row is sorted by the mean place of its neighbours."""
    best, fewest = [list(row) for row in rows], _crossings(rows, pieces)
    for sweep in range(ORDER_SWEEPS):
        if not fewest:
            break
        nearby, where = neighbours[sweep % 2], _positions(rows)
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = {place: _mean([where[p] for p, _ in nearby[place]], where[place]) for place in row}
            row.sort(key=wanted.get)
            where |= {place: position for position, place in enumerate(row)}
        crossings = _crossings(rows, pieces)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _positions(rows) -> dict:
    return {place: position for row in rows for position, place in enumerate(row)}


def _mean(values, otherwise):
    return sum(values) / len(values) if values else otherwise


def _crossings(rows, pieces) -> int:
    """How many pairs of pieces cross."""
    where, by_rank = _positions(rows), defaultdict(list)
    rank = {place: number for number, row in enumerate(rows) for place in row}
    for start, end in pieces:
        by_rank[rank[start]].append((where[start], where[end]))
    total = 0
    for ends in by_rank.values():
        seen = []
        for _, end in sorted(ends):  # from left to right: those seen that end further right are crossed
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


# ---------------------------------------------------------------------------------------------------------- positions


def _across(rows, neighbours, places) -> dict:
    """Place → the middle of its width: down and up, each row is moved towards its neighbours' middles."""
    x = {}
    for row in rows:
        offsets = list(accumulate(_distances(row, places), initial=0.0))
        x |= {place: offset - offsets[-1] / 2 for place, offset in zip(row, offsets, strict=True)}
    above, below = neighbours
    both = {place: above[place] + below[place] for place in places}
    for sweep in range(PLACE_SWEEPS):
        nearby = neighbours[sweep % 2] if sweep < PLACE_SWEEPS // 4 else both
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted, weights = zip(*(_wish(x, place, nearby[place]) for place in row), strict=True)
            x |= dict(zip(row, _apart(wanted, weights, _distances(row, places)), strict=True))
    return x


def _distances(row, places) -> list:
    """The least distances between the middles of neighbours."""
    widths = [places[place][0] for place in row]
    return [(a + b) / 2 + BOX_GAP for a, b in pairwise(widths)]


def _wish(x, place, nearby):
    """(where a place would like to be, how much): nearer neighbours pull harder, so that most lines become straight.

    The weights turn least squares into least distances, in which one large bend is no worse than many small ones.
    """
    pulls = [(x[other], pull / (STRAIGHT + abs(x[other] - x[place]))) for other, pull in nearby]
    total = sum(pull for _, pull in pulls)
    return (sum(position * pull for position, pull in pulls) / total, total) if pulls else (x[place], 0.1)


def _apart(wanted, weights, distances) -> list:
    """The positions nearest to the wanted ones (least squares) that keep the distances: pool adjacent violators."""
    offsets = list(accumulate(distances, initial=0.0))
    blocks = []  # [mean of wanted - offset, weight, how many]
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        blocks.append([value - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, total, count = blocks.pop()
            other = blocks[-1]
            other[0] = (other[0] * other[1] + mean * total) / (other[1] + total)
            other[1], other[2] = other[1] + total, other[2] + count
    levels = [mean for mean, _, count in blocks for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def _down(rows, places):
    """(the upper edge of each rank, its height)."""
    heights, tops, top = [max(places[place][1] for place in row) for row in rows], [], 0.0
    for height in heights:
        tops.append(top)
        top += height + RANK_GAP
    return tops, heights


# -------------------------------------------------------------------------------------------------------------- paths


def _paths(chains, across, middles, places, ranks, tops, heights) -> dict:
    """Edge → points; see `Layout`."""
    starts = _ports(chains, across, places, end=0)
    ends = _ports(chains, across, places, end=-1)
    paths = {}
    for edge, chain in chains.items():
        (first, *passages, last) = chain
        points = [(starts[edge], middles[first] + places[first][1] / 2)]
        points.append((starts[edge], tops[ranks[first]] + heights[ranks[first]]))
        for place in passages:
            top = tops[ranks[place]]
            points += [(across[place], top - HEAD_ROOM), (across[place], top + heights[ranks[place]])]
        points.append((ends[edge], tops[ranks[last]] - HEAD_ROOM))
        points.append((ends[edge], middles[last] - places[last][1] / 2))
        paths[edge] = points
    return paths


def _ports(chains, across, places, end) -> dict:
    """Edge → where it leaves (`end` 0) or reaches (`end` -1) its box: side by side, in the order of the next places."""
    at_box = defaultdict(list)
    for edge, chain in chains.items():
        at_box[chain[end]].append((across[chain[1 if end == 0 else -2]], edge))
    ports = {}
    for box, found in at_box.items():
        gap = min(PORT_GAP, places[box][0] / (len(found) + 1))
        for number, (_, edge) in enumerate(sorted(found)):
            ports[edge] = across[box] + gap * (number - (len(found) - 1) / 2)
    return ports
