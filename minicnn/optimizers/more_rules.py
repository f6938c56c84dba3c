"""Further rules, written as those in `minicnn.optimizers.rules` are."""

from collections.abc import Mapping

from minicnn.checks import check_number
from minicnn.optimizers.optimizer import Optimizer, register
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
        **options: object,
    ) -> None:
        check_number("weight_decay", weight_decay)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, **options)


@register
class RMSprop(DecayingSquares):
    """RMSprop (Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012), without momentum:

    G ← ρ · G + (1 − ρ) · g²; w ← w − lr · g / √(G + ε).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    rho : float in [0, 1), default 0.9
    epsilon : float above 0, default 1e-7
        By name only: Keras has `momentum` before it.
    **options
        See `Optimizer`.
    """

    kernel: str | None = "rmsprop_update"
    slots: tuple[str, ...] = ("mean_square",)
    keras_slots: tuple[str, ...] = ("rms",)
    keras_only: Mapping[str, object] = Optimizer.keras_only | {"momentum": (0,), "centered": (False,)}

    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: float = 0.9, *, epsilon: float = 1e-7, **options: object
    ) -> None:
        super().__init__(learning_rate, rho, epsilon, **options)
