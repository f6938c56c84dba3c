"""The order in which a model of several outputs gives its numbers as a list: that of Keras 3."""

from __future__ import annotations

from typing import Any


class ListingValues:
    """Mixin of Keras's models: behind the losses, metrics of several outputs stand in the order of their names."""

    @property
    def metrics_names(self) -> list[str]:
        """'loss', and the names of the metrics, in the order of what `evaluate` returns."""
        names = super().metrics_names  # type: ignore[misc]
        return [names[place] for place in self._places(names)]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Loss and metrics; see `minicnn.Model.evaluate`, by which `test_on_batch` goes."""
        return self._listed(super().evaluate(*args, **kwargs))  # type: ignore[misc]

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One iteration; see `minicnn.Model.train_on_batch`."""
        return self._listed(super().train_on_batch(*args, **kwargs))  # type: ignore[misc]

    def _listed(self, values):
        if not isinstance(values, list) or len(values) < 3 or self.has_own_steps:  # type: ignore[attr-defined]
            return values
        names = super().metrics_names  # type: ignore[misc]
        return [values[place] for place in self._places(names)] if len(names) == len(values) else values

    def _places(self, names: list[str]) -> list[int]:
        """Where the names stand that come first, second, …"""
        own = self.output_structure if self.graph is not None else None  # type: ignore[attr-defined]
        if self.graph is None or len(self.graph.outputs) < 2:  # type: ignore[attr-defined]
            return [*range(len(names))]
        first = list(self.loss if isinstance(self.loss, dict) else own) if isinstance(own, dict) else []  # type: ignore[attr-defined]
        losses = [f"{path}_loss" for path, _ in self.log_names()]  # type: ignore[attr-defined]
        by_output = {f"{name}_loss": place for place, name in enumerate(first)}

        def key(place):
            name = names[place]
            kind = 0 if name == "loss" else 1 if name in losses and place <= len(losses) else 2
            return (kind, by_output.get(name, place) if kind == 1 else 0, name if kind == 2 else "")

        return sorted(range(len(names)), key=key)
