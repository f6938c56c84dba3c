"""Learning rates that a callback sets."""

import inspect
from collections.abc import Callable

import numpy as np

from minicnn.callbacks.base import Callback
from minicnn.console import say
from minicnn.hints import Logs
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.own_parts import check_takes


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of every epoch; the logs hold it as "learning_rate".

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)``, or ``schedule(epoch)``, returns the new learning rate, a float; epochs count
        from 0.
    verbose : {0, 1}, default 0
        1 prints each learning rate.

    Raises
    ------
    TypeError
        If `schedule` is no function, or not of these arguments; when training starts, if the optimizer has a schedule
        of its own.
    """

    def __init__(self, schedule: Callable[[int, float], float] | Callable[[int], float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler takes a function, schedule(epoch, lr). Received: {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two_arguments(schedule)
        check_takes(schedule, "a schedule", "epoch", *(["learning_rate"] if self._takes_rate else []))

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_settable(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(epoch, optimizer.learning_rate) if self._takes_rate else self.schedule(epoch)
        if isinstance(rate, np.ndarray) and rate.size == 1 and rate.dtype.kind == "f":
            rate = float(rate.item())
        if not isinstance(rate, float | np.floating):
            raise ValueError(f"schedule returns the learning rate as a float. Received: {rate!r} for epoch {epoch}")
        optimizer.learning_rate = float(rate)
        if self.verbose:
            say(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {optimizer.learning_rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def check_settable(callback: Callback) -> None:
    """Raise `TypeError` if the optimizer's learning rate is a schedule, which a callback would put out of force."""
    rate = callback.model.optimizer.learning_rate
    if isinstance(rate, LearningRateSchedule):
        raise TypeError(
            f"{type(callback).__name__} sets the learning rate, so that the optimizer needs a number instead of a "
            f"schedule: give one of the two. Received: learning_rate={rate!r}"
        )


def _takes_two_arguments(function) -> bool:
    try:
        inspect.signature(function).bind(0, 0.1)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not say
        return True
    return True
