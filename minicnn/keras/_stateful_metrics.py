"""Metrics that keep something, as Keras 2.1 and 2.2 had them: layers with ``stateful = True``."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.keras._own_metrics import Metric
from minicnn.layers import Layer
from minicnn.layers.function_numbers import in_phase


class Stateful(Metric):
    """What such a layer gave for the last batch, which knows those before; all its updates are run, in tests, too.

    Parameters
    ----------
    layer : Layer
        Called with targets and outputs; `reset_states` makes it forget them.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.name)
        self.layer, self.last = layer, 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: None = None) -> None:
        """Call the layer."""
        with in_phase(is_trained=True):
            self.last = float(np.asarray(self.layer(y_true, y_pred)))

    def result(self) -> float:
        """The number of the last batch."""
        return self.last

    def reset_state(self) -> None:
        """Forget all batches."""
        if not self._is_new:
            self.layer.reset_states()
        self.last = 0.0


def with_state(metric: Any) -> Any:
    """A metric for a layer that is one; anything else as it is."""
    is_one = isinstance(metric, Layer) and getattr(metric, "stateful", False) and hasattr(metric, "reset_states")
    return Stateful(metric) if is_one else metric
