"""Callbacks that watch whether a value gets better."""

import difflib
import itertools
from typing import Any, Literal, TypeAlias

import numpy as np

from minicnn import metrics
from minicnn.callbacks.base import Callback
from minicnn.callbacks.schedule import check_settable
from minicnn.checks import check_choice, check_number, check_positive_int
from minicnn.console import say
from minicnn.hints import Logs
from minicnn.nested import leaves
from minicnn.user_warnings import warn_user

Mode: TypeAlias = Literal["auto", "min", "max"]


class MonitorCallback(Callback):
    """Base class: knows which values are better than which.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name in the logs: "loss", a metric's, or one of these with "val_" in front.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of losses and of minicnn's metrics.
    min_delta : float, default 0
        A smaller change is no improvement; its sign does not matter.

    Attributes
    ----------
    best : float or None
        The best value so far.

    Raises
    ------
    ValueError
        For another mode; when training starts, if "auto" does not know the direction.
    """

    action: str = "the callback acts"  # for the warning about a value that is not there
    _state: tuple[str, ...] = ()  # names of the attributes that a checkpoint keeps

    best: float | None

    def __init__(self, monitor: str = "val_loss", mode: Mode = "auto", min_delta: float = 0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor is the name of a loss or metric, e.g. 'val_loss'. Received: {monitor!r}")
        self.monitor = monitor
        self.mode: Mode = check_choice("mode", mode, ("auto", "min", "max"))
        self.min_delta: float = abs(check_number("min_delta", min_delta, minimum=-float("inf")))
        self.best = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self._said, self._validates = False, True
        self._more_is_better = self._direction() == "max"

    def on_run_begin(self, progress: Any) -> None:
        self._validates = progress.validation is not None

    def _direction(self) -> str:
        """ "min" or "max"."""
        if self.mode != "auto":
            return self.mode
        if self.monitor.removeprefix("val_") == "loss":  # of any model, compiled or not
            return "min"
        known = _directions(self.model)
        direction = known.get(self.monitor.removeprefix("val_"))
        if direction is None:
            raise ValueError(
                f"{type(self).__name__} does not know whether less or more of '{self.monitor}' is better"
                f"{_nearest(self.monitor, [*known, *(f'val_{name}' for name in known)])}: pass "
                f"mode='min' or mode='max', or monitor one of {', '.join(n for n, way in known.items() if way)}, with "
                "'val_' in front for validation data. "
                f"Received: monitor={self.monitor!r}, mode='auto'"
            )
        return direction

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`; anything is better than None."""
        if reference is None:
            return True
        return value - self.min_delta > reference if self._more_is_better else value + self.min_delta < reference

    def current(self, logs: Logs | None) -> float | None:
        """The monitored value as a float; None, with a warning once in a training, if it is not there."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None and not self._said and not self._comes_later(logs):
            self._said = True
            warn_user(
                f"{self.action} conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}{self._why(logs)}"
            )
        return None if value is None else self._number(value)

    def _number(self, value) -> float:
        """The value, which may be an array of one number."""
        if np.size(value) != 1:
            raise ValueError(
                f"{type(self).__name__} compares numbers, and '{self.monitor}' has one for each class: compile with a "
                f"metric that is their mean, such as F1Score(average='macro'). Received: {value!r}"
            )
        return float(np.ravel(value)[0])

    def _comes_later(self, logs) -> bool:
        """Whether a value is missing because this epoch is not validated."""
        return self._validates and self.monitor.startswith("val_") and self.monitor.removeprefix("val_") in logs

    def _why(self, logs) -> str:
        """The rest of the warning."""
        if self.monitor.startswith("val_") and not self._validates:
            instead = self.monitor.removeprefix("val_")
            other = f", or monitor='{instead}'" if instead in logs else ""
            return f"; fit has no validation data: give it validation_data= or validation_split={other}"
        return _nearest(self.monitor, logs)

    def get_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._state}

    def set_state(self, state: dict[str, Any]) -> None:
        for name in self._state:
            setattr(self, name, state[name])


def _nearest(name, known) -> str:
    """The end of a message: the known name that is nearest to one that is not."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close and close[0] != name else ""


def _directions(model) -> dict:
    """Name of each loss and metric that the model reports in training → "min", "max" or None where it is not known."""
    if model.has_own_steps and model.graph is None:  # whose step names what it reports
        told = leaves([model.compiled.metrics, model.compiled.weighted_metrics]) if model.compiled else []
        by_name = {name: "max" for name in ("accuracy", "acc") if name in told}  # whatever accuracy that is
        found = [metrics.get(entry) for entry in told if entry not in by_name]
        found += [part for part in vars(model).values() if isinstance(part, metrics.Metric)]
        return {"loss": "min"} | by_name | {metric.name: metric.direction for metric in found}
    names, several = model.log_names(), len(model.outputs) > 1
    known = {"loss": "min"} | ({f"{name}_loss": "min" for name, _ in names} if several else {})
    compiled = model.compiled
    for (_, output), *lists in zip(names, compiled.metrics, compiled.weighted_metrics, strict=True):
        for entry in itertools.chain(*lists):
            if isinstance(entry, str) and entry.lower() in ("accuracy", "acc"):
                name, direction = entry, "max"
            else:
                metric = metrics.get(entry)
                name, direction = metric.name, metric.direction
            prefix = f"{output}_" if several else ""
            known[f"{prefix}weighted_{name}" if prefix + name in known else prefix + name] = direction
    return known


class EarlyStopping(MonitorCallback):
    """Stop training when a value has stopped getting better.

    Parameters
    ----------
    monitor : str, default "val_loss"
    min_delta : float, default 0
        A smaller change is no improvement.
    patience : int, default 0
        Stop after so many epochs without improvement.
    verbose : {0, 1}, default 0
        1 says what is done.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of losses and of minicnn's metrics.
    baseline : float, optional
        An epoch only ends the waiting if it is better than this too.
    restore_best_weights : bool, default False
        Put back the weights of the best epoch when training ends, also if it was not stopped, or was interrupted.
    start_from_epoch : int, default 0
        Epochs before this one are not looked at.

    Attributes
    ----------
    stopped_epoch : int
        The epoch, counted from 0, after which training was stopped; 0 if it was not.
    best, best_epoch, best_weights :
        Of the best epoch so far; the weights only with `restore_best_weights`.
    """

    baseline: float | None
    best: float | None
    wait: int
    stopped_epoch: int
    best_epoch: int
    best_weights: list[np.ndarray] | None
    action = "Early stopping"
    _state = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: Mode = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience: int = check_positive_int("patience", patience, minimum=0)
        self.verbose = verbose
        self.baseline: float | None = (
            None if baseline is None else check_number("baseline", baseline, minimum=-float("inf"))
        )
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch: int = check_positive_int("start_from_epoch", start_from_epoch, minimum=0)
        self.wait, self.stopped_epoch, self.best_epoch, self.best_weights = 0, 0, 0, None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()
        self.wait, self.stopped_epoch, self.best_epoch, self.best_weights = 0, 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.is_improvement(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Make the learning rate smaller when a value has stopped getting better; the logs hold it as "learning_rate".

    Parameters
    ----------
    monitor : str, default "val_loss"
    factor : float in [0, 1), default 0.1
        The new learning rate is the old one times this.
    patience : int, default 10
        Reduce after so many epochs without improvement.
    verbose : {0, 1}, default 0
        1 prints each new learning rate.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of losses and of minicnn's metrics.
    min_delta : float, default 1e-4
        A smaller change is no improvement.
    cooldown : int, default 0
        Wait so many epochs after a reduction before counting again.
    min_lr : float, default 0
        The learning rate becomes no smaller.

    Raises
    ------
    ValueError
        If an argument is outside its range.
    TypeError
        When training starts, if the optimizer has a schedule of its own.
    """

    best: float | None
    wait: int
    cooldown_counter: int
    action = "Learning rate reduction is"
    _state = ("wait", "cooldown_counter", "best")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor: float = check_number("factor", factor, below=1)
        self.patience: int = check_positive_int("patience", patience, minimum=0)
        self.verbose = verbose
        self.cooldown: int = check_positive_int("cooldown", cooldown, minimum=0)
        self.min_lr: float = check_number("min_lr", min_lr)
        self.wait, self.cooldown_counter = 0, 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._check_rate()
        super().on_train_begin()
        self.wait, self.cooldown_counter = 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self._rate()
        current = self.current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
        if self.is_improvement(current, self.best):
            self.best, self.wait = current, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _check_rate(self) -> None:
        """Refuse an optimizer whose rate cannot be set."""
        check_settable(self)

    def _rate(self) -> float:
        return float(self.model.optimizer.learning_rate)

    def _reduce(self, epoch) -> None:
        """Set the new learning rate, unless it is as small as it may become."""
        optimizer = self.model.optimizer
        if optimizer.learning_rate <= self.min_lr:
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            say(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {optimizer.learning_rate}.")
