"""The learning rate and the number of iterations as variables: numbers that can be assigned to."""

from __future__ import annotations

import numpy as np

from minicnn import optimizers as core


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


class _Value(np.float32):
    """A number that is the result of a call, too."""

    def __call__(self) -> np.float32:
        return np.float32(self)


class Iterations(int):
    """How many iterations an optimizer has done, as a variable is read and written."""

    optimizer: core.Optimizer

    def assign(self, value: int) -> None:
        """Change the optimizer's number."""
        self.optimizer.iterations = int(value)

    def numpy(self) -> np.int64:
        """The number, as TensorFlow has it."""
        return np.int64(self)

    read_value = value = numpy
