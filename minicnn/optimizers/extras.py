"""What every optimizer can do besides: accumulated gradients, averaged weights, weights that do not decay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import check_number, check_positive_int
from minicnn.parameters import ParameterStore

if TYPE_CHECKING:
    from minicnn.parameters import Weight
    from minicnn.training.engine import Engine

AVERAGE, ACCUMULATOR = "average", "gradient_accumulator"  # names of their state vectors, as in Keras
DEFAULTS = {
    "name": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class Extras:
    """Base of `minicnn.optimizers.Optimizer`.

    Attributes
    ----------
    separate_slots : tuple of str
        State vectors that Keras's files have after the others, each for all weights.
    name : str or None
    use_ema : bool
        Whether an average of the weights is kept, a ← ema_momentum · a + (1 − ema_momentum) · w after every iteration
        (Polyak and Juditsky, 1992), which the weights become when `fit` ends.
    ema_momentum : float from 0 to 1
    ema_overwrite_frequency : int or None
        So often, in iterations, the weights become their average during training too.
    loss_scale_factor : float or None
        As in Keras; numbers of 16 bits, for which one scales the loss, do not occur, so it changes nothing.
    gradient_accumulation_steps : int or None
        The weights move once in so many iterations, by the mean of their gradients. Schedules of the learning rate go
        by iterations, the averages of `use_ema` by moves, as in Keras.
    """

    separate_slots: tuple[str, ...] = ("velocity_hat",)
    iterations: int
    first_value: Callable[[str], float]
    slots: tuple[str, ...] | property

    def take_extras(self, options: dict[str, Any]) -> dict[str, Any]:
        """Set the attributes from a constructor's ``**options``; what is none of them is returned."""
        values = {name: options.get(name, default) for name, default in DEFAULTS.items()}
        self.name: str | None = values["name"]
        self.use_ema: bool = bool(values["use_ema"])
        self.ema_momentum: float = check_number("ema_momentum", values["ema_momentum"])
        if self.ema_momentum > 1:
            raise ValueError(f"`ema_momentum` lies from 0 to 1. Received: ema_momentum={self.ema_momentum}")
        every, scale, steps = list(values.values())[3:]
        self.ema_overwrite_frequency: int | None = (
            check_positive_int("ema_overwrite_frequency", every) if every and self.use_ema else None
        )
        self.loss_scale_factor: float | None = (
            None if scale is None else check_number("loss_scale_factor", scale, above=0)
        )
        self.gradient_accumulation_steps: int | None = (
            check_positive_int("gradient_accumulation_steps", steps) if steps else None
        )
        if self.gradient_accumulation_steps == 1:
            raise ValueError("`gradient_accumulation_steps` is a whole number from 2 on, or None. Received: 1")
        self._excluded_names: re.Pattern[str] | None = None
        self._excluded_weights: list[Any] = []
        return {name: value for name, value in options.items() if name not in DEFAULTS}

    def extras_config(self) -> dict[str, Any]:
        """The attributes that differ from the defaults."""
        return {name: getattr(self, name) for name, default in DEFAULTS.items() if getattr(self, name) != default}

    @property
    def has_extras(self) -> bool:
        """Whether an iteration is more than the rule: then a GPU computes it outside its graphs."""
        return self.use_ema or self.gradient_accumulation_steps is not None

    @property
    def extra_slots(self) -> tuple[str, ...]:
        """Names of the state vectors that the rule knows nothing of."""
        return (AVERAGE,) * self.use_ema + (ACCUMULATOR,) * (self.gradient_accumulation_steps is not None)

    def initial(self, slot: str) -> float:
        """What a state vector starts from: `first_value`, if it is the rule's."""
        return 0.0 if slot in self.extra_slots else self.first_value(slot)

    @property
    def all_slots(self) -> tuple[str, ...]:
        """Names of all state vectors."""
        return self.extra_slots + tuple(self.slots)

    @property
    def keras_groups(self) -> tuple[tuple[str, ...], ...]:
        """The state vectors as Keras's files have them: group after group, in each all weights, one by one."""
        together = tuple(name for name in self.slots if name not in self.separate_slots)
        before = [(name,) for name in self.extra_slots]
        after = [(name,) for name in self.slots if name in self.separate_slots]
        return (*before, together, *after)

    def keras_scalars(self, iterations: int) -> dict[str, float]:
        """Further numbers at the end of the state in Keras's files."""
        return {}

    @property
    def updates(self) -> int:
        """How often the weights moved: `iterations`, unless gradients accumulate."""
        return self.iterations // (self.gradient_accumulation_steps or 1)

    # ------------------------------------------------------------------------------------------------ an iteration

    def accumulate(self, grad: np.ndarray, state: dict[str, np.ndarray]) -> bool:
        """Add a gradient to the sum; when it is time, `grad` becomes the mean, and the sum starts from zero.

        Returns
        -------
        bool
            Whether it is time.
        """
        steps, total = self.gradient_accumulation_steps, state[ACCUMULATOR]
        total += grad
        if (self.iterations + 1) % steps:
            return False
        np.multiply(total, 1 / steps, out=grad)
        total.fill(0)
        return True

    def average(self, theta: np.ndarray, state: dict[str, np.ndarray], stretches: Sequence[slice]) -> None:
        """Let the averages follow the weights, and overwrite these if it is time."""
        momentum = self.ema_momentum if self.updates else 0.0
        if not self.updates:
            state[AVERAGE][...] = theta  # of frozen weights too, which may be trained later
        every = self.ema_overwrite_frequency
        for stretch in stretches:
            average = state[AVERAGE][stretch]
            average *= momentum
            average += (1 - momentum) * theta[stretch]
            if every is not None and (self.updates + 1) % every == 0:
                theta[stretch] = average

    def finish(self, engine: Engine) -> None:
        """When a training ends, the weights become their averages."""
        state, store = engine.optimizer_state, engine.store
        if self.use_ema and state is not None and isinstance(store, ParameterStore):
            self.take_averages(store.theta, state, store.trainable_segments())

    def take_averages(self, theta: np.ndarray, state: dict[str, np.ndarray], segments: Sequence[slice]) -> None:
        """theta = the averages, if there are any yet."""
        if self.iterations:
            for segment in segments:
                theta[segment] = state[AVERAGE][segment]

    def constrain(self, store: ParameterStore) -> None:
        """After an update: bring weights to what their constraints allow."""
        for w in store.gradients:
            if w.constraint is not None and w.trainable:
                store.values[w][...] = w.constraint(store.values[w])

    # ------------------------------------------------------------------------------------- weights that do not decay

    def exclude_from_weight_decay(
        self, var_list: Iterable[Weight] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Let `weight_decay` spare some weights, biases for example. Call it before the model trains.

        Parameters
        ----------
        var_list : list of Weight, optional
            From ``model.weights``.
        var_names : list of str, optional
            Patterns; a weight whose path, such as "conv2d/bias", has one in it is spared: ``var_names=["bias"]``.

        Raises
        ------
        ValueError
            If training has begun.
        """
        if self.iterations:
            raise ValueError(
                "exclude_from_weight_decay is called before training. "
                f"Received: an optimizer after {self.iterations} iterations"
            )
        self._segments = None  # what was computed from them, as by `mc.warmup`, no longer holds
        self._excluded_weights = list(var_list or [])
        names = list(var_names or [])
        self._excluded_names = re.compile("|".join(names)) if names else None

    @property
    def spares_weights(self) -> bool:
        """Whether some weights do not decay."""
        return bool(self._excluded_weights) or self._excluded_names is not None

    def decaying(self, segments: Sequence[slice]) -> Sequence[slice]:
        """Those parts of theta that decay: all, but for what `exclude_from_weight_decay` names."""
        if not self.spares_weights:
            return segments
        weights = getattr(segments, "weights", None)
        assert weights is not None, "the segments do not say whose they are"
        return [s for s, w in zip(segments, weights, strict=True) if not self._is_excluded(w)]

    def _is_excluded(self, weight):
        by_name = self._excluded_names is not None and self._excluded_names.search(weight.path) is not None
        return by_name or any(weight is w for w in self._excluded_weights)
