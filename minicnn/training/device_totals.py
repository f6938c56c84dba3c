"""Averages of an epoch that add up on a GPU."""

import weakref
from collections import UserDict

from minicnn.training.totals import Totals


class LogsWhenRead(UserDict):
    """Logs that are fetched from the device when they are first read."""

    def __init__(self, fetch):
        self._fetch, self._data = fetch, None

    @property
    def data(self):
        if self._data is None:
            self._data = self._fetch()
        return self._data


class DeviceTotals(Totals):
    """Averages that add up on the device: ``report`` holds the first bad step (-1: none), then sums.

    Metrics of the library are computed there. Those of users get host arrays, batch by batch.
    """

    def __init__(self, engine, targets):
        self._engine, self.report = engine, None
        super().__init__(engine.model, targets)
        self.kinds = tuple(f"{number} {metric!r}" for _, number, metric in self._metrics)  # of the metrics
        self._own = [type(m).__module__.startswith("minicnn.") for _, _, m in self._metrics]
        self._first_metric = 2 + (len(self._parts) if self._several else 0)
        self.report = engine.take_report(self._first_metric + len(self._metrics))
        weakref.finalize(self, engine.give_back_report, self.report)
        self.reset()

    def reset(self):
        super().reset()
        self._counts = [0] * (len(self._metrics))
        if self.report is not None:
            self.report.fill(0)
            self.report[:1].fill(-1)

    def record(self, count, loss, parts, targets, outputs):
        """Launch what adds a batch to the sums; returns what `count` needs to know."""
        self._engine.state.record_loss(loss, self.report, count)
        if self._several:
            for i, part in enumerate(parts, 2):
                self.report[i : i + 1] += part * count
        counts = [0] * len(self._metrics)
        for i, (_, number, metric) in enumerate(self._metrics):
            if self._own[i]:
                total, counts[i] = metric.measure(targets[number], outputs[number])
                place = self._first_metric + i
                self.report[place : place + 1] += total
        return counts

    def count(self, count, counts, targets, outputs):
        """What is known on the host about a batch that was recorded."""
        self._samples += count
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
        to_host = self._engine.backend.to_host
        for own, (_, number, metric) in zip(self._own, self._metrics, strict=True):
            if not own:
                metric.update_state(to_host(targets[number]), to_host(outputs[number]))

    def add(self, count, loss, parts, targets, outputs):
        self.count(count, self.record(count, loss, parts, targets, outputs), targets, outputs)

    def logs_when_read(self):
        return LogsWhenRead(self.logs)

    def get_state(self):
        on_device = {"report": self._engine.backend.to_host(self.report), "counts": list(self._counts)}
        return super().get_state() | on_device

    def set_state(self, state):
        super().set_state(state)
        self._counts = list(state["counts"])
        self._engine.backend.load(self.report, state["report"])

    def logs(self):
        values = self._engine.backend.to_host(self.report)
        self._engine.look_at(self, None if values[0] < 0 else int(values[0]))
        logs = {"loss": float(values[1] / self._samples)}
        if self._several:
            parts = values[2 : self._first_metric] / self._samples
            logs |= {f"{name}_loss": float(part) for name, part in zip(self._names, parts, strict=True)}
        sums = zip(self._metrics, self._own, values[self._first_metric :], self._counts, strict=True)
        return logs | {
            label: float(total / max(count, 1)) if own else float(metric.result())
            for (label, _, metric), own, total, count in sums
        }
