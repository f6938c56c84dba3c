"""What a callback is, how several are called, and the ones that `fit` itself knows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.callbacks.hooks import check_callback, explain_item, explain_no_list
from minicnn.console import say, speaks
from minicnn.hints import Logs
from minicnn.keywords import SuggestsKeywords

if TYPE_CHECKING:
    from minicnn.models import Model

# These get no number before their logs, or no logs at all.
_ONE_ARGUMENT = (
    "on_run_begin",
    "on_train_begin",
    "on_train_end",
    "on_test_begin",
    "on_test_end",
    "on_predict_begin",
    "on_predict_end",
)
# What these do, unless they are overridden, is to call the other one.
_OTHER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class Callback(SuggestsKeywords):
    """Base class; override what is needed.

    `logs` maps names to floats: "loss", metrics, and after an epoch the "val_…" ones. `fit` calls the methods of
    training, and those of a test for its validation; `evaluate` those of a test; `predict` those of a prediction.

    Attributes
    ----------
    model : Model
        Set before anything is called.
    params : dict
        "verbose" ("auto" is 1), "epochs", "steps" (batches an epoch), "samples", "batch_size"; None where unknown.
    turn : int
        Callbacks of a later turn are called after all of an earlier one; in one turn, in the order of the list.
    reports : bool
        Whether it does nothing but show and write: of several workers (docs/distributed.md), the first one calls it.
    """

    model: Model = None  # type: ignore[assignment]  # None only until it is set
    params: dict[str, Any] = None  # type: ignore[assignment]
    turn: int = 0
    reports: bool = False

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_run_begin(self, progress: Any) -> None:
        """After `on_train_begin` of all callbacks; `progress` knows, and may change, where to begin.

        Parameters
        ----------
        progress : minicnn.training.progress.Progress
        """

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, also when training was interrupted; `logs` are those of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch; `batch` counts from 0 in each epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch; `logs` holds the epoch's averages so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Keras's older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Keras's older name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation, or the validation in an epoch."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After it; `logs` holds its averages, without "val_" in front."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before one of its batches."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After one of its batches; `logs` holds the averages so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before one of its batches."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After one of its batches; ``logs["outputs"]`` is a list of arrays, one for each output of the model."""

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback, so that a training that was killed goes on as if it had not been.

        Returns
        -------
        dict
            None, bool, int, float, str, NumPy arrays, and lists and dicts (with string keys) of them. Empty: nothing.
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` returned in the training that was killed; called after `on_train_begin`."""


class CallbackList:
    """Calls several callbacks as one, and only those that override a method.

    Parameters
    ----------
    callbacks : iterable of Callback
    model : Model
        What the callbacks get as `model`.
    params : dict
        What they get as `params`.
    """

    def __init__(self, callbacks: Iterable[Callback], model: Model, params: dict[str, Any]) -> None:
        for callback in callbacks:
            check_callback(callback, Callback)
            callback.set_model(model)
            callback.set_params(params)
        self.callbacks: list[Callback] = sorted(callbacks, key=lambda c: c.turn)
        self.params = params
        self._overriders = {}  # method → the callbacks that have one of their own

    def __call__(self, method: str, *args: Any) -> None:
        """Call the method of that name of every callback that has one of its own; `logs` may be left out of `args`."""
        if len(args) < (1 if method in _ONE_ARGUMENT else 2):
            args = (*args, {})
        for callback in self._with(method):
            getattr(callback, method)(*args)

    def wants(self, method: str) -> bool:
        """Whether any callback overrides the method; if not, its logs need not be computed."""
        return bool(self._with(method))

    def _with(self, method):
        if method not in self._overriders:
            names = (method, _OTHER_NAMES.get(method, method))
            self._overriders[method] = [c for c in self.callbacks if any(_has_own(c, name) for name in names)]
        return self._overriders[method]


def _has_own(callback, method) -> bool:
    return getattr(getattr(callback, method), "__func__", None) is not getattr(Callback, method)


def listed(callbacks: Callback | Sequence[Callback] | None) -> list[Callback]:
    """What was given as ``callbacks=``, one or several or None, as a list.

    Parameters
    ----------
    callbacks : Callback, list of Callback, or None
    """
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if not isinstance(callbacks, list | tuple | None):
        raise TypeError(explain_no_list(callbacks))
    return [c for c in callbacks or [] if speaks() or not getattr(c, "reports", False)]


class History(Callback):
    """What `fit` returns.

    Attributes
    ----------
    epoch : list of int
    history : dict of list
        "loss", "accuracy", "val_loss", "val_accuracy", …: one value an epoch.
    epochs : dict of list
        The epoch of each of these values: not every epoch is validated where ``validation_freq`` is not 1.
    """

    epoch: list[int]
    history: dict[str, list[float]]
    epochs: dict[str, list[int]]
    __getitem__ = explain_item

    def __init__(self) -> None:
        self.epoch, self.history, self.epochs = [], {}, {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch, self.history, self.epochs = [], {}, {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self.epochs.setdefault(name, []).append(epoch)

    def get_state(self) -> dict[str, Any]:
        lists = {name: {n: [*values] for n, values in getattr(self, name).items()} for name in ("history", "epochs")}
        return {"epoch": [*self.epoch], **lists}

    def set_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history, self.epochs = (state[name] for name in ("epoch", "history", "epochs"))


class TerminateOnNaN(Callback):
    """Stop training, without an error, when the loss is NaN or infinite. The bad batch does not change the weights.

    Without this callback a non-finite loss raises `minicnn.errors.NonFiniteError`.

    Parameters
    ----------
    raise_error : bool, default False
        Whether to raise that error all the same.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = None if self.raise_error else (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            say(f"Batch {batch}: invalid loss, terminating training", sys.stderr)
            self.model.stop_training = True
