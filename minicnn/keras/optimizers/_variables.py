"""The learning rate and the number of iterations as variables: numbers that can be assigned to."""

from __future__ import annotations

from functools import cache
from types import FrameType
from typing import Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minicnn import optimizers as core
from minicnn.checks import check_number
from minicnn.keras._own_names import is_of_library
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.step import Changes


class LearningRate(float):
    """An optimizer's learning rate as older code reads and writes it: ``K.set_value(model.optimizer.lr, 1e-4)``."""

    optimizer: core.Optimizer

    def assign(self, value: float) -> None:
        """Change the optimizer's learning rate."""
        self.optimizer.learning_rate = value

    def numpy(self) -> np.float32:
        """The number, as Keras has it."""
        return np.float32(self)

    read_value = get_value = numpy
    set_value = assign

    @property
    def value(self) -> _Value:
        """The number: an attribute in today's Keras, a method in Keras 2."""
        return _Value(self)


class Hyperparameter(float):
    """Another number of an optimizer, as Keras 2 has it: ``K.set_value(model.optimizer.momentum, 0.85)``."""

    optimizer: core.Optimizer
    name: str

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """As a plain number, which leaves arrays in float32."""
        return getattr(ufunc, method)(*(float(x) if isinstance(x, Hyperparameter) else x for x in inputs), **kwargs)

    def assign(self, value: float) -> None:
        """Change the optimizer's number."""
        setattr(self.optimizer, self.name, value)

    def numpy(self) -> np.float32:
        """The number, as Keras has it."""
        return np.float32(self)

    read_value = get_value = numpy
    set_value = assign


def hyperparameter(name: str) -> property:
    """The property of an optimizer's number that is a variable in Keras 2.

    Parameters
    ----------
    name : str
        "momentum" and its like.
    """

    def read(optimizer):
        number = Hyperparameter(vars(optimizer)[name])
        number.optimizer, number.name = optimizer, name
        return number

    def write(optimizer, value):
        number = float(value) if hasattr(value, "__float__") else value  # a variable, too
        value = check_number(name, number, below=1 + (name == "beta_1" and isinstance(optimizer, core.Lion)))
        before = vars(optimizer).get(name, value)
        is_needed = optimizer.iterations or not isinstance(optimizer, core.SGD)
        if name == "momentum" and is_needed and bool(value) != bool(before):
            raise ValueError(
                "an optimizer keeps what its momentum needs from the beginning or not at all: give a small number such "
                f"as 1e-6 in the place of 0, before the training. Received: {value!r}, before {before!r}"
            )
        if value != before:
            Changes.count, Changes.replaced = Changes.count + 1, Changes.replaced + 1  # a GPU's graphs have it in them
        vars(optimizer)[name] = value

    return property(read, write)


class _Value(np.float32):
    """A number that is the result of a call, too."""

    def __call__(self) -> np.float32:
        return np.float32(self)


class Iterations(int):
    """How many iterations an optimizer has done, as a variable is read and written.

    For a script where gradients accumulate: how often the weights moved, as in Keras.
    """

    optimizer: core.Optimizer
    batches: int = 1  # of each iteration that is counted

    @classmethod
    def of(cls, optimizer: core.Optimizer, done: int, frame: FrameType) -> Self:
        """Of so many batches, for the code that a frame runs."""
        batches = 1 if vars(optimizer).get("_is_stepping") else _batches_counted(optimizer, frame)
        made = cls(done // batches)
        made.optimizer, made.batches = optimizer, batches
        return made

    def assign(self, value: int) -> None:
        """Change the optimizer's number."""
        self.optimizer.iterations = int(value) * self.batches

    def assign_add(self, delta: int) -> None:
        """Add to the optimizer's number, which may be another one by now."""
        self.assign(int(self.optimizer.iterations) // self.batches + int(delta))

    def assign_sub(self, delta: int) -> None:
        """Subtract from the optimizer's number."""
        self.assign_add(-int(delta))

    def numpy(self) -> np.int64:
        """The number, as TensorFlow has it."""
        return np.int64(self)

    read_value = value = numpy


class _InForce(NDArrayOperatorsMixin):
    """What a schedule is besides, as an optimizer's: the rate of the next iteration, as today's Keras has it."""

    __slots__ = ()
    optimizer: core.Optimizer
    schedule: LearningRateSchedule

    def __float__(self) -> float:
        return float(self.optimizer.current_learning_rate)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(float(self), dtype or np.float32)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*(float(x) if isinstance(x, _InForce) else x for x in inputs), **kwargs)

    def __format__(self, how: str) -> str:
        return format(float(self), how)

    def __round__(self, digits: int | None = None) -> float:
        return round(float(self), digits)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are the schedule's alone, without the optimizer."""
        return schedule_of, (self.schedule,)

    def numpy(self) -> np.float32:
        """The rate, as Keras has it."""
        return np.float32(float(self))

    read_value = get_value = numpy


@cache
def _in_force(kind):
    own = {"__doc__": kind.__doc__, "__module__": kind.__module__, "__slots__": ("optimizer", "schedule")}
    return type(kind.__name__, (_InForce, kind), own)


def in_force(schedule: LearningRateSchedule, optimizer: core.Optimizer) -> LearningRateSchedule:
    """The schedule, which is a number as well: the rate of the optimizer's next iteration.

    Parameters
    ----------
    schedule : LearningRateSchedule
    optimizer : Optimizer
        Whose it is.
    """
    schedule = schedule_of(schedule)  # one that was read off another optimizer
    made = object.__new__(_in_force(type(schedule)))
    made.__dict__ = vars(schedule)  # so that what is changed in one is changed in the other
    made.optimizer, made.schedule = optimizer, schedule
    return made


def schedule_of(rate: Any) -> Any:
    """The schedule itself, of one that `in_force` gave; anything else as it is."""
    return rate.schedule if isinstance(rate, _InForce) else rate


def batches_done(optimizer: core.Optimizer, iterations: Any, frame: FrameType) -> int:
    """How many batches are so many iterations, for the code that a frame runs, which sets them."""
    return int(np.asarray(iterations)) * _batches_counted(optimizer, frame)


def _batches_counted(optimizer, frame):
    return 1 if is_of_library(frame) else vars(optimizer).get("gradient_accumulation_steps") or 1
