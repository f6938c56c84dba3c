"""The rules of the documents' networks. Formulas and defaults are those of Keras.

In the formulas g is the gradient, w the weight, lr the learning rate. Every constructor takes `weight_decay`,
`clipnorm`, `clipvalue` and `global_clipnorm` too: see `Optimizer`.
"""

import math
from collections.abc import Sequence

import numpy as np

from minicnn.checks import check_number
from minicnn.optimizers import formulas
from minicnn.optimizers.optimizer import Optimizer, register
from minicnn.optimizers.schedules import LearningRate

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam"]


@register
class SGD(Optimizer):
    """Stochastic gradient descent, w ← w − lr · g, or with momentum (Polyak, 1964; Sutskever et al., 2013):

    m ← momentum · m − lr · g; w ← w + m, and with Nesterov's variant w ← w + momentum · m − lr · g.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.01
    momentum : float in [0, 1), default 0
    nesterov : bool, default False
        Has an effect with momentum only.
    **options
        See `Optimizer`.
    """

    kernel: str | None = "sgd_update"
    keras_slots: tuple[str, ...] = ("momentum",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum: float = check_number("momentum", momentum, below=1)
        self.nesterov: bool = bool(nesterov)

    @property
    def slots(self) -> tuple[str, ...]:
        """Plain gradient descent has no state."""
        return ("velocity",) if self.momentum else ()

    def numbers(self) -> tuple[float, ...]:
        """How much of the velocity stays, and whether it is looked ahead."""
        return self.momentum, self.nesterov


@register
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), in the form that ends section 2 of the paper: ε beside the uncorrected √v.

    m ← β1 · m + (1 − β1) · g; v ← β2 · v + (1 − β2) · g²; w ← w − lr · √(1 − β2ᵗ) / (1 − β1ᵗ) · m / (√v + ε)

    in iteration t, counted from 1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
    epsilon : float above 0, default 1e-7
    amsgrad : bool, default False
        Divide by the root of the largest v so far (Reddi et al.: "On the convergence of Adam and beyond", 2018).
    **options
        See `Optimizer`.
    """

    kernel: str | None = "adam_update"
    slots: tuple[str, ...] = ("m", "v")
    keras_slots: tuple[str, ...] = ("m", "v")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1: float = check_number("beta_1", beta_1, below=1)
        self.beta_2: float = check_number("beta_2", beta_2, below=1)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)
        self.amsgrad: bool = bool(amsgrad)
        if amsgrad:
            self.kernel, self.slots = None, (*self.slots, "velocity_hat")

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        formulas.amsgrad(theta, grad, slots, rate, *self.numbers())

    def rate(self, learning_rate: float, iteration: int) -> float:
        """The learning rate with the corrections of both averages, which start from 0."""
        t = iteration + 1
        return learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def numbers(self) -> tuple[float, ...]:
        """How much of the averages stays, and ε."""
        return self.beta_1, self.beta_2, self.epsilon


@register
class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011): G ← G + g²; w ← w − lr · g / √(G + ε).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    initial_accumulator_value : float, default 0.1
        What G starts from.
    epsilon : float above 0, default 1e-7
    **options
        See `Optimizer`; and `epsilon_in_root`, default True: False divides by √G + ε.
    """

    kernel: str | None = "adagrad_update"
    slots: tuple[str, ...] = ("accumulator",)
    keras_slots: tuple[str, ...] = ("accumulator",)
    rare: formulas.Numbers = formulas.EPSILON_IN_ROOT
    formula: formulas.Formula = formulas.adagrad

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value: float = check_number("initial_accumulator_value", initial_accumulator_value)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)

    def first_value(self, slot: str) -> float:
        """G does not start from 0."""
        return self.initial_accumulator_value

    def numbers(self) -> tuple[float, ...]:
        """ε."""
        return (self.epsilon,)


class DecayingSquares(Optimizer):
    """What the rules with an average of squares that forgets with ρ have in common.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    rho : float in [0, 1)
    epsilon : float above 0
    **options
        See `Optimizer`.
    """

    def __init__(self, learning_rate: LearningRate, rho: float, epsilon: float, **options: object) -> None:
        super().__init__(learning_rate, **options)
        self.rho: float = check_number("rho", rho, below=1)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)

    def numbers(self) -> tuple[float, ...]:
        """How much of the averages stays, and ε."""
        return self.rho, self.epsilon


@register
class Adadelta(DecayingSquares):
    """Adadelta (Zeiler, 2012), with a learning rate as in Keras:

    G ← ρ · G + (1 − ρ) · g²; Δ = √(D + ε) / √(G + ε) · g; D ← ρ · D + (1 − ρ) · Δ²; w ← w − lr · Δ.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        The paper's own is 1.
    rho : float in [0, 1), default 0.95
    epsilon : float above 0, default 1e-7
    **options
        See `Optimizer`.
    """

    kernel: str | None = "adadelta_update"
    slots: tuple[str, ...] = ("accumulated_grad", "accumulated_delta")
    keras_slots: tuple[str, ...] = ("accum_grad", "accum_var")

    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **options: object
    ) -> None:
        super().__init__(learning_rate, rho, epsilon, **options)
