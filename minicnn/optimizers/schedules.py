"""Learning rates as functions of the number of iterations done (Keras's word for it here: steps).

Give one to an optimizer in place of a number: ``SGD(learning_rate=schedules.CosineDecay(0.1, 10_000))``. A schedule of
your own subclasses `LearningRateSchedule` and writes ``__call__(step)``. All formulas are those of Keras. Every
constructor takes Keras's `name` too, which is not used.
"""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from minicnn.checks import check_number
from minicnn.registry import ANY, Configurable, Register, Registry


class LearningRateSchedule(Configurable):
    """Base class.

    Parameters
    ----------
    **options
        Keras's `name`, which is not used.
    """

    keras_only: Mapping[str, object] = MappingProxyType({"name": ANY})

    def __init__(self, **options: object) -> None:
        self.check_options(options)

    def __call__(self, step: int) -> float:
        """The learning rate of the next iteration, after `step` iterations were done."""
        raise NotImplementedError


LearningRate: TypeAlias = float | LearningRateSchedule

_registry = Registry("learning rate schedule", LearningRateSchedule)
register: Register = _registry.register
__getattr__: Callable[[str], type[LearningRateSchedule]] = _registry.module_getattr(__name__)


def get(
    identifier: "LearningRateSchedule | type[LearningRateSchedule] | str | Mapping[str, object]",
) -> LearningRateSchedule:
    """A schedule from an instance or a config.

    Parameters
    ----------
    identifier : str, LearningRateSchedule, class, dict
        A name, an object, its class, or a configuration.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    return _registry.get(identifier)


class DecayByPeriods(LearningRateSchedule):
    """What schedules that go by step / decay_steps have in common; for the arguments see `ExponentialDecay`.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Iterations in a period.
    decay_rate : float
        What a period does to the rate; the subclass says how.
    staircase : bool, default False
        Whether the rate changes at the ends of periods only.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.initial_learning_rate: float = check_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps: float = check_number("decay_steps", decay_steps, above=0)
        self.decay_rate: float = check_number("decay_rate", decay_rate)
        self.staircase: bool = staircase

    def periods(self, step: int) -> float:
        """How many decay periods `step` steps are; whole ones only for a staircase."""
        return math.floor(step / self.decay_steps) if self.staircase else step / self.decay_steps


@register
class ExponentialDecay(DecayByPeriods):
    """initial_learning_rate · decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Steps in which the rate falls by the factor `decay_rate`.
    decay_rate : float
    staircase : bool, default False
        Round step / decay_steps down, so that the rate falls in jumps.
    """

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** self.periods(step)


@register
class InverseTimeDecay(DecayByPeriods):
    """initial_learning_rate / (1 + decay_rate · step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
    decay_rate : float
    staircase : bool, default False
        Round step / decay_steps down, so that the rate falls in jumps.
    """

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * self.periods(step))


@register
class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and including step boundaries[0], then values[1] up to boundaries[1], …, at last values[-1].

    Parameters
    ----------
    boundaries : list of numbers
        Increasing.
    values : list of float
        One more than there are boundaries.

    Raises
    ------
    ValueError
        If the lengths do not fit or the boundaries do not increase.
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], **options: object) -> None:
        super().__init__(**options)
        self.boundaries: list[float] = [check_number("boundaries", b) for b in boundaries]
        self.values: list[float] = [check_number("values", v) for v in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "`values` needs one element more than `boundaries`: one rate up to each boundary, one after the last. "
                f"Received: boundaries={boundaries!r}, values={values!r}"
            )
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"`boundaries` must increase. Received: boundaries={boundaries!r}")

    def __call__(self, step: int) -> float:
        return self.values[bisect.bisect_left(self.boundaries, step)]


@register
class PolynomialDecay(LearningRateSchedule):
    """(initial_learning_rate − end_learning_rate) · (1 − step / decay_steps)^power + end_learning_rate.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        When `end_learning_rate` is reached, to be kept from there on.
    end_learning_rate : float, default 1e-4
    power : float, default 1
    cycle : bool, default False
        Instead of keeping the end rate, start again with decay_steps stretched to its next multiple.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 1e-4,
        power: float = 1.0,
        cycle: bool = False,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.initial_learning_rate: float = check_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps: float = check_number("decay_steps", decay_steps, above=0)
        self.end_learning_rate: float = check_number("end_learning_rate", end_learning_rate)
        self.power: float = check_number("power", power)
        self.cycle: bool = cycle

    def __call__(self, step: int) -> float:
        decay_steps = self.decay_steps
        if self.cycle:
            decay_steps *= max(1, math.ceil(step / decay_steps))
        remaining = 1 - min(step, decay_steps) / decay_steps
        return (self.initial_learning_rate - self.end_learning_rate) * remaining**self.power + self.end_learning_rate


@register
class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the initial rate down to `alpha` times it (Loshchilov and Hutter: "SGDR", 2017).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Length of the fall, counted from the end of the warm-up.
    alpha : float, default 0
        The last rate, as a fraction of the highest.
    warmup_target : float, optional
        If given, the rate first rises in a straight line from `initial_learning_rate` to this one (Goyal et al.:
        "Accurate, large minibatch SGD", 2017), and falls from there.
    warmup_steps : float, default 0
        Length of that rise.
    """

    # By name only from here: Keras has `name` between alpha and warmup_target.
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        *,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.initial_learning_rate: float = check_number("initial_learning_rate", initial_learning_rate)
        self.decay_steps: float = check_number("decay_steps", decay_steps, above=0)
        self.alpha: float = check_number("alpha", alpha)
        self.warmup_target: float | None = (
            None if warmup_target is None else check_number("warmup_target", warmup_target)
        )
        self.warmup_steps: float = check_number("warmup_steps", warmup_steps)

    def __call__(self, step: int) -> float:
        if self.warmup_target is None:
            return self._decayed(self.initial_learning_rate, step)
        if step < self.warmup_steps:
            rise = self.warmup_target - self.initial_learning_rate
            return self.initial_learning_rate + rise * step / self.warmup_steps
        return self._decayed(self.warmup_target, step - self.warmup_steps)

    def _decayed(self, highest, step):
        """The rate `step` steps after the fall from `highest` began."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return highest * ((1 - self.alpha) * cosine + self.alpha)


@register
class CosineDecayRestarts(LearningRateSchedule):
    """`CosineDecay` again and again, each time longer and lower (Loshchilov and Hutter: "SGDR", 2017).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : float
        Length of the first fall.
    t_mul : float, default 2
        How many times as long each fall is as the one before. Below 1 they end after first_decay_steps / (1 − t_mul)
        steps.
    m_mul : float, default 1
        How many times as high it begins.
    alpha : float, default 0
        The last rate, as a fraction of the highest.

    Raises
    ------
    ValueError
        When it is called with a step after their end.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.initial_learning_rate: float = check_number("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps: float = check_number("first_decay_steps", first_decay_steps, above=0)
        self.t_mul: float = check_number("t_mul", t_mul, above=0)
        self.m_mul: float = check_number("m_mul", m_mul)
        self.alpha: float = check_number("alpha", alpha)

    def __call__(self, step: int) -> float:
        periods = step / self.first_decay_steps
        if periods * (1 - self.t_mul) >= 1:
            raise ValueError(
                f"CosineDecayRestarts with t_mul={self.t_mul} has falls that get shorter and are over after "
                f"{self.first_decay_steps / (1 - self.t_mul):.6g} steps: train no longer, or with a t_mul from 1 on. "
                f"Received: step={step}"
            )
        if self.t_mul == 1:
            restarts = math.floor(periods)
            part = periods - restarts
        else:  # restart n comes after (1 − t_mulⁿ) / (1 − t_mul) first periods
            restarts = math.floor(math.log(1 - periods * (1 - self.t_mul)) / math.log(self.t_mul))
            part = (periods - (1 - self.t_mul**restarts) / (1 - self.t_mul)) / self.t_mul**restarts
        cosine = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * part))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


@register
class OneCycle(LearningRateSchedule):
    """Up to `max_learning_rate` and down far below the first rate (Smith and Topin: "Super-convergence", 2018).

    Both ways are half a cosine wave, as in PyTorch's OneCycleLR. Keras has no schedule of this name.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int above 1
    pct_start : float above 0 and below 1, default 0.3
        The part of the steps in which the rate rises.
    div_factor : float, default 25
        The first rate is max_learning_rate / div_factor.
    final_div_factor : float, default 1e4
        The last rate is the first one / final_div_factor; it is kept from there on.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: float,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.max_learning_rate: float = check_number("max_learning_rate", max_learning_rate)
        self.total_steps: float = check_number("total_steps", total_steps, above=1)
        self.pct_start: float = check_number("pct_start", pct_start, above=0, below=1)
        self.div_factor: float = check_number("div_factor", div_factor, above=0)
        self.final_div_factor: float = check_number("final_div_factor", final_div_factor, above=0)

    def __call__(self, step: int) -> float:
        first = self.max_learning_rate / self.div_factor
        turn = self.pct_start * self.total_steps - 1
        if step < turn:
            return _half_wave(first, self.max_learning_rate, step / turn)
        part = min((step - turn) / (self.total_steps - 1 - turn), 1)
        return _half_wave(self.max_learning_rate, first / self.final_div_factor, part)


def _half_wave(start, end, part):
    """From `start` (part 0) to `end` (part 1) along half a cosine wave."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
