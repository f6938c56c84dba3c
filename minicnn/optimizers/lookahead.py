"""Slow weights that follow what another optimizer does, every few iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import check_number, check_positive_int
from minicnn.hints import Config
from minicnn.optimizers import schedules
from minicnn.optimizers.optimizer import Optimizer, get, register
from minicnn.optimizers.schedules import LearningRate, LearningRateSchedule
from minicnn.registry import is_config, to_plain

if TYPE_CHECKING:
    pass

__all__ = ["Lookahead"]

SLOW = "slow"  # name of the slow weights in the state


@register
class Lookahead(Optimizer):
    """k steps forward, 1 step back (Zhang et al.: "Lookahead optimizer", 2019), around another optimizer:

    after every `sync_period` iterations s ← s + α · (w − s); w ← s, where s starts from the first weights.

    Parameters
    ----------
    optimizer : Optimizer or str
        It moves the weights in between.
    sync_period : int, default 6
        k, in iterations.
    slow_step_size : float from 0 to 1 or LearningRateSchedule, default 0.5
        α; a schedule is one of the iterations done. 1 leaves the weights as they are.
    learning_rate : float or LearningRateSchedule, optional
        Of the optimizer inside; default: the one that it has.

    Raises
    ------
    ValueError
        If `optimizer` averages weights itself (`use_ema`): averages of weights that are moved back mean little.
    """

    iterations: int

    def __init__(
        self,
        optimizer: str | Optimizer | type[Optimizer] | Mapping[str, object],
        sync_period: int = 6,
        slow_step_size: float | LearningRateSchedule | Config = 0.5,
        learning_rate: LearningRate | Config | None = None,
    ) -> None:
        self.optimizer: Optimizer = get(optimizer)
        if self.optimizer.use_ema:
            raise ValueError(f"Lookahead is an average of weights: leave out `use_ema`. Received: {self.optimizer!r}")
        super().__init__(self.optimizer.learning_rate if learning_rate is None else learning_rate)  # type: ignore[arg-type]
        self.sync_period: int = check_positive_int("sync_period", sync_period)
        size = schedules.get(slow_step_size) if is_config(slow_step_size) else slow_step_size
        self.slow_step_size: float | LearningRateSchedule = (
            size if isinstance(size, LearningRateSchedule) else check_number("slow_step_size", size)
        )
        if isinstance(self.slow_step_size, float) and self.slow_step_size > 1:
            raise ValueError(f"`slow_step_size` lies from 0 to 1. Received: slow_step_size={slow_step_size}")

    @property
    def learning_rate(self) -> LearningRate:
        """That of the optimizer inside."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate | Config) -> None:
        self.optimizer.learning_rate = value

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the next iteration."""
        self.optimizer.iterations = self.iterations
        return self.optimizer.current_learning_rate

    @property
    def slots(self) -> tuple[str, ...]:
        """The state vectors of the optimizer inside, and the slow weights."""
        return (*self.optimizer.all_slots, SLOW)

    def first_value(self, slot: str) -> float:
        return 0.0 if slot == SLOW else self.optimizer.initial(slot)

    def update(
        self,
        theta: np.ndarray,
        grad: np.ndarray,
        state: dict[str, np.ndarray],
        segments: Sequence[slice],
        ops: SimpleNamespace,
        learning_rate: float | np.ndarray | None = None,
        rate: object = None,
    ) -> None:
        """See `Optimizer.update`."""
        if not self.iterations:
            state[SLOW][...] = theta  # of frozen weights too, which may be trained later
        self.optimizer.iterations = self.iterations
        self.optimizer.update(theta, grad, state, segments, ops)
        self.iterations += 1
        if self.iterations % self.sync_period == 0:
            self._synchronize(theta, state[SLOW], segments)

    def _synchronize(self, theta, slow, segments):
        """s ← s + α · (w − s); w ← s."""
        size = self.slow_step_size
        size = size if isinstance(size, float) else float(size(self.iterations))
        for segment in segments:
            slow[segment] += size * (theta[segment] - slow[segment])
            theta[segment] = slow[segment]

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """See `Optimizer.exclude_from_weight_decay`: it is the optimizer inside that decays."""
        self.optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self) -> Config:
        names = ("optimizer", "sync_period", "slow_step_size", "learning_rate")
        return {name: to_plain(getattr(self, name)) for name in names}
