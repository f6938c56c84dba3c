"""Averages of an epoch that add up on a GPU."""

from __future__ import annotations

import weakref
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.training.device_shortcuts import RowResults, index_of_hits
from minicnn.training.kept_state import check_kept
from minicnn.training.measured_ends import seen_by
from minicnn.training.totals import Losses, Totals
from minicnn.training.weighting import is_own_mean, update, value_in_logs

if TYPE_CHECKING:
    from minicnn.training.device_engine import DeviceEngine


class LogsWhenRead(UserDict[str, float]):
    """Logs that are fetched from the device when they are first read."""

    def __init__(self, fetch: Callable[[], dict[str, float]]) -> None:
        self._fetch, self._data = fetch, None

    @property
    def data(self) -> dict[str, float]:
        """What was fetched."""
        if self._data is None:
            self._data = self._fetch()
        return self._data

    # What a UserDict does by calling the constructor with a dict, or by setting `data`.
    def copy(self) -> dict[str, float]:
        """A dict."""
        return dict(self.data)

    __copy__ = copy

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return self.copy() | dict(other)

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | self.data

    def __ior__(self, other: Mapping[str, Any]) -> LogsWhenRead:
        self.data.update(other)
        return self


class DeviceTotals(Totals):
    """Averages that add up on the device: ``report`` holds the first bad iteration (-1: none), then
    sums.

    Means of the library are computed there. Other metrics, and those of users, get host arrays, batch by batch.

    Attributes
    ----------
    report : device array
    kinds : tuple of str
        Which metrics there are.
    """

    def __init__(self, engine: DeviceEngine, targets: Sequence[np.ndarray]) -> None:
        self._engine, self.report = engine, None
        super().__init__(engine.model, targets)
        self.kinds: tuple[str, ...] = tuple(f"{index} {metric!r}" for _, index, metric in self.metrics)
        self._own = [is_own_mean(metric) for _, _, metric in self.metrics]
        self._first_metric = 2 + len(self._names)
        self.report: np.ndarray = engine.take_report(self._first_metric + len(self.metrics))
        weakref.finalize(self, engine.reports.append, self.report)  # no word of the engine, whose model has the totals
        self.reset()

    def reset(self) -> None:
        super().reset()
        self._counts = [0] * (len(self.metrics))
        if self.report is not None:
            self.report.fill(0)
            self.report[:1].fill(-1)
            own = zip(self._own, self.metrics, strict=True)
            self._before = [(m._sum, m._count) if is_own else (0, 0) for is_own, (_, _, m) in own]

    def record(self, count: int, losses: Losses, outputs: Sequence[np.ndarray]) -> list[int]:
        """Launch what adds a batch to the sums; returns what `count` needs to know."""
        counts, hits = [0] * len(self.metrics), None
        if isinstance(losses.total, RowResults):  # of the only output
            hits = index_of_hits([(i, metric) for i, (_, _, metric) in enumerate(self.metrics)])
            at = 0 if hits is None else self._first_metric + hits
            self._engine.state.record_rows(*losses.total, at, self.report, self._engine.updates_at_once)
        else:
            self._engine.state.record_loss(losses.total, self.report, count)
            for i, (index, _) in enumerate(self._names, 2):
                self.report[i : i + 1] += losses.parts[index] * count
        for i, (_, index, metric) in enumerate(self.metrics):
            if i == hits:
                counts[i] = count
            elif self._own[i]:
                with seen_by(metric, outputs[index], losses.measured[index]) as output:
                    total, counts[i] = metric.measure(losses.targets[index], output)
                at = self._first_metric + i
                self.report[at : at + 1] += total
        return counts

    def count(
        self,
        count: int,
        counts: Sequence[int],
        losses: Losses,
        outputs: Sequence[np.ndarray],
    ) -> None:
        """What is known on the host about a batch that was recorded."""
        self.samples += count
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
        to_host = self._engine.backend.to_host
        for own, (_, index, metric) in zip(self._own, self.metrics, strict=True):
            if not own:
                weight = None if losses.weights[index] is None else to_host(losses.weights[index])
                seen = losses.measured[index]
                seen = None if seen is None else (seen[0], to_host(seen[1]))
                update(metric, to_host(losses.targets[index]), to_host(outputs[index]), weight, seen)

    def add(self, count: int, losses: Losses, outputs: Sequence[np.ndarray]) -> None:
        self.count(count, self.record(count, losses, outputs), losses, outputs)

    def logs_when_read(self) -> Mapping[str, float]:
        return LogsWhenRead(self.logs)

    def get_state(self) -> dict[str, Any]:
        on_device = {"report": self._engine.backend.to_host(self.report), "counts": list(self._counts)}
        return super().get_state() | on_device

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        own = {"counts": (*self._counts,), "report": self._engine.backend.to_host(self.report)}
        check_kept(own, state, "the sums of the epoch")
        self._counts = list(state["counts"])
        self._engine.backend.load(self.report, state["report"])

    def logs(self) -> dict[str, float]:
        values = self._engine.backend.to_host(self.report)
        self._engine.look_at(self, None if values[0] < 0 else int(values[0]))
        logs = {"loss": float(values[1] / max(self.samples, 1))}
        parts = values[2 : self._first_metric] / max(self.samples, 1)
        logs |= {name: float(part) for (_, name), part in zip(self._names, parts, strict=True)}
        sums = zip(self.metrics, self._own, values[self._first_metric :], self._counts, self._before, strict=True)
        for (label, _, metric), own, total, count, (sum_before, count_before) in sums:
            if own:  # whose object, where `compile` was given one, shows it from now on
                metric._sum, metric._count = float(total) + sum_before, count + count_before
            logs[label] = value_in_logs(metric)
        return logs
