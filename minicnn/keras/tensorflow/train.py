"""``tf.train``: checkpoints; and the optimizers of TensorFlow 1, by today's names in `keras.optimizers`."""

from __future__ import annotations

from typing import Any

from minicnn.keras import optimizers
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._warning import warn_once
from minicnn.keras.tensorflow import _checkpoints, _examples
from minicnn.keras.tensorflow._checkpoints import Checkpoint as Checkpoint
from minicnn.keras.tensorflow._checkpoints import CheckpointManager as CheckpointManager
from minicnn.keras.tensorflow._checkpoints import latest_checkpoint as latest_checkpoint
from minicnn.keras.tensorflow._examples import *  # noqa: F403

__all__ = ["AdagradOptimizer", "AdamOptimizer", "GradientDescentOptimizer", "MomentumOptimizer", "RMSPropOptimizer"]
__all__ += _checkpoints.__all__
__all__ += _examples.__all__


def _said(old, today):
    warn_once(f"tf.train.{old} is of TensorFlow 1: today it is keras.optimizers.{today}")


def AdamOptimizer(
    learning_rate: Any = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, **options: Any
) -> optimizers.Adam:
    """`keras.optimizers.Adam`."""
    _said("AdamOptimizer", "Adam(learning_rate, beta_1, beta_2)")
    return optimizers.Adam(learning_rate, beta_1=beta1, beta_2=beta2, epsilon=epsilon)


def GradientDescentOptimizer(learning_rate: Any, **options: Any) -> optimizers.SGD:
    """`keras.optimizers.SGD`."""
    _said("GradientDescentOptimizer", "SGD(learning_rate)")
    return optimizers.SGD(learning_rate)


def MomentumOptimizer(
    learning_rate: Any, momentum: float, use_locking: bool = False, name: str = "Momentum", use_nesterov: bool = False
) -> optimizers.SGD:
    """`keras.optimizers.SGD` with momentum."""
    _said("MomentumOptimizer", "SGD(learning_rate, momentum)")
    return optimizers.SGD(learning_rate, momentum=momentum, nesterov=use_nesterov)


def RMSPropOptimizer(
    learning_rate: Any, decay: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-10, **options: Any
) -> optimizers.RMSprop:
    """`keras.optimizers.RMSprop`; what TensorFlow 1 called decay is rho."""
    _said("RMSPropOptimizer", "RMSprop(learning_rate, rho, momentum)")
    return optimizers.RMSprop(learning_rate, rho=decay, momentum=momentum, epsilon=epsilon)


def AdagradOptimizer(learning_rate: Any, initial_accumulator_value: float = 0.1, **options: Any) -> optimizers.Adagrad:
    """`keras.optimizers.Adagrad`."""
    _said("AdagradOptimizer", "Adagrad(learning_rate)")
    return optimizers.Adagrad(learning_rate, initial_accumulator_value=initial_accumulator_value)


__getattr__: Lookup = lookup(__name__)
