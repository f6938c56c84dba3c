"""What every optimizer can do besides: accumulated gradients, averaged weights, weights that do not decay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.checks import check_number, check_positive_int
from minicnn.optimizers import schedules
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.parameters import ParameterStore, Segments
from minicnn.registry import is_config, to_plain

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
    "learning_rate_multipliers": None,
}
Multiplier: TypeAlias = float | LearningRateSchedule
Merge: TypeAlias = Callable[[Sequence[slice]], list[slice]]


class Extras:
    """Base of `minicnn.optimizers.Optimizer`.

    Attributes
    ----------
    separate_slots : tuple of str
        State vectors that Keras's files have after the others, each for all weights.
    rare : mapping
        Further options of a class → their defaults; configs have them where they differ.
    epsilon_in_root : bool, default True
        Of RMSprop and Adagrad: False divides by √G + ε in place of √(G + ε), without momentum.
    schedule_decay : float, default 1
        Of Nadam: how fast its momentum rises.
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
    learning_rate_multipliers : dict or None
        Pattern → factor of the learning rate, and of the decay with it, for the weights whose path, such as
        "conv2d/bias", has the pattern in it; the first that fits counts. A factor is a number, where 0 leaves the
        weights as they are, or a schedule of the iterations: ``{"bias": 64, "whiten/kernel": 0}``. (Parameter groups,
        as in PyTorch; larger rates for biases: Krizhevsky, 2014, "One weird trick …".)
    """

    separate_slots: tuple[str, ...] = ("velocity_hat",)
    rare: Mapping[str, Any] = MappingProxyType({})
    epsilon_in_root: bool
    schedule_decay: float
    iterations: int
    kernel: str | None
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
        every, scale, steps, multipliers = list(values.values())[3:]
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
        self.learning_rate_multipliers: dict[str, Multiplier] | None = _checked_multipliers(multipliers)
        self._excluded_names: re.Pattern[str] | None = None
        self._excluded_weights: list[Any] = []
        self._take_rare(options)
        return {name: value for name, value in options.items() if name not in DEFAULTS and name not in self.rare}

    def _take_rare(self, options):
        for name, default in self.rare.items():
            value = options.get(name, default)
            setattr(self, name, bool(value) if isinstance(default, bool) else check_number(name, value))
        if not getattr(self, "epsilon_in_root", True):
            self.kernel = None  # a formula

    def extras_config(self) -> dict[str, Any]:
        """The attributes that differ from the defaults."""
        defaults = {**DEFAULTS, **self.rare}
        return {n: to_plain(getattr(self, n)) for n, default in defaults.items() if getattr(self, n) != default}

    @property
    def has_extras(self) -> bool:
        """Whether an iteration is more than the rule: then a GPU computes it outside its graphs."""
        options = self.gradient_accumulation_steps, self.learning_rate_multipliers
        return self.use_ema or any(option is not None for option in options)

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

    def keras_part(self, slot: str, array: np.ndarray, path: str) -> np.ndarray | None:
        """What Keras's files hold of a weight's state vector, an array of the weight's shape.

        None: nothing; an integer: a variable that Keras has there and does not use.
        """
        return array

    def from_keras_part(self, slot: str, part: np.ndarray) -> np.ndarray:
        """An array that broadcasts to the state vector, from what `keras_part` makes of it."""
        return part

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

    # ------------------------------------------------------------------------ a learning rate for each group of weights

    def multiplier(self, weight: Weight) -> Multiplier:
        """Of the learning rate, for one weight: a number, or a schedule of the iterations."""
        items = (self.learning_rate_multipliers or {}).items()
        return next((value for pattern, value in items if re.search(pattern, weight.path)), 1.0)

    def factor(self, multiplier: Multiplier) -> float:
        """The value in this iteration of a number or a schedule: a multiplier, or a learning rate."""
        return multiplier if isinstance(multiplier, float) else float(multiplier(self.iterations))

    def rated(self, segments: Sequence[slice], merge: Merge) -> list[tuple[slice, Multiplier]]:
        """(stretch, multiplier) for all weights; neighbours of one multiplier are merged."""
        if self.learning_rate_multipliers is None:
            return [(stretch, 1.0) for stretch in merge(segments)]
        groups = groupby(_with_weights(segments), key=lambda item: self.multiplier(item[0]))
        return [(stretch, m) for m, group in groups for stretch in merge([s for _, s in group])]

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
        return Segments({w: s for w, s in _with_weights(segments) if not self._is_excluded(w)})

    def _is_excluded(self, weight):
        by_name = self._excluded_names is not None and self._excluded_names.search(weight.path) is not None
        return by_name or any(weight is w for w in self._excluded_weights)


def _with_weights(segments):
    """(weight, its part of theta) of each of a store's segments."""
    weights = getattr(segments, "weights", None)
    if weights is None:
        raise TypeError(
            "rules for some weights by name need a store's segments (ParameterStore.trainable_segments), which say "
            f"whose they are. Received: {type(segments).__name__}"
        )
    return zip(weights, segments, strict=True)


def _checked_multipliers(multipliers):
    """Pattern → number or schedule, from what a user or a file gave."""
    if multipliers is None:
        return None
    if not isinstance(multipliers, Mapping) or not all(isinstance(pattern, str) for pattern in multipliers):
        raise TypeError(
            "`learning_rate_multipliers` maps patterns of weights' paths to factors: {'bias': 64}. "
            f"Received: learning_rate_multipliers={multipliers!r}"
        )
    return {pattern: _checked_multiplier(pattern, value) for pattern, value in multipliers.items()}


def _checked_multiplier(pattern, value):
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"`learning_rate_multipliers` has patterns as of Python's `re`: {error}. Received: {pattern!r}"
        ) from None
    value = schedules.get(value) if is_config(value) else value
    return value if isinstance(value, LearningRateSchedule) else check_number(f"multiplier of {pattern!r}", value)
