"""Further rules, written as those in `minicnn.optimizers.rules` are."""

from collections.abc import Sequence

import numpy as np

from minicnn.checks import check_number
from minicnn.optimizers import formulas
from minicnn.optimizers.optimizer import register
from minicnn.optimizers.rules import Adam, DecayingSquares
from minicnn.optimizers.schedules import LearningRate

__all__ = ["AdamW", "RMSprop"]


@register
class AdamW(Adam):
    """Adam with weight decay, which is not part of the gradient (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, **options :
        As for `Adam`.
    weight_decay : float, default 0.004
    amsgrad : bool, default False
        See `Adam`.

    Raises
    ------
    ValueError
        If `weight_decay` is None: that would be `Adam`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: object,
    ) -> None:
        check_number("weight_decay", weight_decay)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)


@register
class RMSprop(DecayingSquares):
    """RMSprop (Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012):

    G ← ρ · G + (1 − ρ) · g²; s = lr · g / √(G + ε); w ← w − s, or with momentum m ← momentum · m + s; w ← w − m.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    rho : float in [0, 1), default 0.9
    momentum : float in [0, 1), default 0
    epsilon : float above 0, default 1e-7
    centered : bool, default False
        Divide by the root of the gradient's variance, G minus the square of its mean (Graves: "Generating sequences
        with recurrent neural networks", 2013).
    **options
        See `Optimizer`; and `epsilon_in_root`, default True: False divides by √G + ε, without momentum.
    """

    kernel: str | None = "rmsprop_update"
    slots: tuple[str, ...] = ("mean_square",)
    keras_slots: tuple[str, ...] = ("rms",)
    separate_slots: tuple[str, ...] = ("momentum", "average_gradient")
    rare: formulas.Numbers = formulas.EPSILON_IN_ROOT

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, rho, epsilon, **options)
        self.momentum: float = check_number("momentum", momentum, below=1)
        self.centered: bool = bool(centered)
        if self.momentum or centered:
            self.kernel = None
            self.slots = (*self.slots, *("momentum",) * (self.momentum > 0), *("average_gradient",) * self.centered)

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        formulas.rmsprop(theta, grad, slots, rate, *self.numbers(), self.momentum, self.centered, self.epsilon_in_root)
