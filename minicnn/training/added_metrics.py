"""What models measure themselves, as `add_metric` tells them: shown in logs beside the metrics of `compile`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from minicnn.graph import Graph
from minicnn.layers.added_loss import Measured
from minicnn.metrics import Metric
from minicnn.plan.program import lower
from minicnn.step import Changes

# Of each graph, what measures, as long as no attribute of any layer was set.
_parts: WeakKeyDictionary[Graph, tuple[int, list[Any]]] = WeakKeyDictionary()


def measured_in(graph: Graph) -> dict[str, list[Measured]]:
    """Name in the logs → what the layers of a graph, and of models inside it, measure by this name."""
    known = _parts.get(graph)
    if known is None or known[0] != Changes.count:
        parts = (getattr(place.step, "layer", place.step) for place in lower(graph).places)
        known = _parts[graph] = (Changes.count, [part for part in parts if hasattr(part, "measured")])
    return by_name(known[1])


def numbers_of_places(graph: Graph) -> frozenset[int]:
    """Under which numbers the places of a graph leave what they have measured: a layer may be in other models too."""
    places = lower(graph).places
    return frozenset(p.stream for p in places if hasattr(getattr(p.step, "layer", p.step), "measured"))


def by_name(parts: Iterable[Any]) -> dict[str, list[Measured]]:
    """The same of layers."""
    found: dict[str, list[Measured]] = {}
    for part in dict.fromkeys(parts):
        for name, measured in getattr(part, "measured", {}).items():
            found.setdefault(name, []).append(measured)
    return found


class Added(Metric):
    """The mean of what places of a model have measured: targets and outputs are left alone.

    Parameters
    ----------
    name : str
    places : sequence of Measured
        Where it is found when a batch has been computed.
    numbers : set of int, optional
        Of the places that count. Default: all.
    """

    on_device = False

    def __init__(self, name: str, places: Sequence[Measured], numbers: Collection[int] | None = None) -> None:
        self.numbers: Collection[int] | None = numbers
        self.places: list[Measured] = []
        super().__init__(name)
        self.places += places  # not before: what the first batch has left may be there already

    def __repr__(self) -> str:
        return f"Added({self.name!r})"

    def reset_state(self) -> None:
        """Forget all batches, and what another model has left; so does a metric that keeps the value itself."""
        super().reset_state()
        for place in self.places:
            place.found.clear()
            if place.metric is not None:
                place.metric.reset_state()

    def update_state(self, *arrays: Any) -> None:
        """Count what the last batch has left."""
        for place in self.places:
            for number, (total, count) in place.found.items():
                if self.numbers is None or number in self.numbers:
                    self._sum, self._count = self._sum + total, self._count + count
            place.found.clear()

    def result(self) -> float:
        """The mean so far, or what the metric says that keeps the value itself."""
        kept = [place.metric for place in self.places if place.metric is not None]
        return float(kept[0].result()) if kept else super().result()
