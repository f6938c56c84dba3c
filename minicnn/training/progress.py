"""Where a training is: all that a checkpoint needs to know beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.callbacks import CallbackList
from minicnn.checks import is_integer
from minicnn.errors import FileFormatError
from minicnn.training.kept_state import fitting
from minicnn.training.passes import go_on, standing
from minicnn.training.sources import Source
from minicnn.training.totals import Totals

if TYPE_CHECKING:
    from minicnn.models.model import Model


class Progress:
    """The state of one `fit`.

    Parameters
    ----------
    model : Model
    source, validation : ArraySource or StreamSource
        `validation` may be None.
    callbacks : CallbackList
    epoch : int
        The first epoch.

    Attributes
    ----------
    epoch, batch : int
        The epoch to go on with, and how many of its batches are done.
    totals : Totals or None
        Of the epoch; None before the first batch.
    epochs_trained : int
        The model's, before this epoch's samples were shuffled.
    completed : bool
        Whether the last epoch has ended, so that nothing is left to go on with.
    """

    def __init__(
        self, model: Model, source: Source, validation: Source | None, callbacks: CallbackList, epoch: int
    ) -> None:
        self.model: Model = model
        self.source: Source = source
        self.validation: Source | None = validation
        self.callbacks: CallbackList = callbacks
        self.epoch: int = epoch
        self.batch: int = 0
        self.totals: Totals | None = None
        self.epochs_trained: int = model.epochs_trained
        self.completed: bool = False

    def start_totals(self, targets: Sequence[np.ndarray]) -> None:
        """Make the totals, once: their metrics depend on the targets' shapes. Where an epoch begins, so do they."""
        if self.totals is None:
            self.totals = self.model.engine.totals(targets).of(self.source)
        if self.batch == 0:
            self.totals.reset()

    def get_state(self) -> dict[str, Any]:
        """What `set_state` takes, made of plain values and arrays."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "epochs_trained": self.epochs_trained if self.batch else self.model.epochs_trained,
            "stop_training": bool(self.model.stop_training),
            "data": self._data(),
            "taken": [self.source.taken, 0 if self.validation is None else self.validation.taken],
            "passes": standing(self.source, self.validation, self.batch),
            "totals": self.totals.get_state() if self.batch else None,
            "callbacks": [[type(c).__name__, c.get_state()] for c in self.callbacks.callbacks],
        }

    def _data(self):
        """What must be the same where a training goes on in the middle of an epoch."""
        return {name: self.callbacks.params[name] for name in ("samples", "steps", "batch_size")}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where another `fit` was when it called `get_state`; the model has been restored before.

        Raises
        ------
        FileFormatError
            If the state is not one.
        ValueError
            If that was in the middle of an epoch, and the data or the batch size is another one now.
        """
        for name in ("epoch", "batch", "epochs_trained"):
            if not is_integer(state.get(name)) or state[name] < 0:
                raise FileFormatError(f"'{name}' of a checkpoint is a number. Received: {str(state.get(name))[:100]}")
        if state["batch"] and state["data"] != self._data():
            raise ValueError(
                f"the training to go on with was in the middle of an epoch of {state['data']}: fit needs the same data "
                f"and batch size. Received: {self._data()}"
            )
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.model.epochs_trained, self.model.stop_training = state["epochs_trained"], state["stop_training"]
        go_on(self.source, self.validation, state)
        if state["totals"] is not None:
            shapes = [SimpleNamespace(shape=tuple(shape)) for shape in state["totals"]["target_shapes"]]
            self.totals = self.model.engine.totals(shapes)
            self.totals.set_state(state["totals"])
        self._set_callbacks(state["callbacks"])

    def _set_callbacks(self, saved):
        """Give each callback the state of its counterpart: the same class, the same place among those of the class."""
        waiting = list(saved)
        for callback in self.callbacks.callbacks:
            index = next((i for i, (name, _) in enumerate(waiting) if name == type(callback).__name__), None)
            if index is not None and (state := waiting.pop(index)[1]):
                callback.set_state(fitting(callback, state, type(callback).__name__))
