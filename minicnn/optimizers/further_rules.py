"""Rules in NumPy, which run on every backend. In the formulas g is the gradient, w the weight, lr the learning rate, t
counts the updates from 1. All formulas and defaults are those of Keras.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from minicnn.checks import check_number
from minicnn.optimizers.optimizer import Optimizer, register
from minicnn.optimizers.schedules import LearningRate

__all__ = ["Adamax", "Ftrl", "Lion", "Nadam", "ScheduleFreeAdamW"]


class TwoMoments(Optimizer):
    """What the rules after Adam have in common.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
    epsilon : float above 0, default 1e-7
    **options
        See `Optimizer`.
    """

    slots: tuple[str, ...] = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1: float = check_number("beta_1", beta_1, below=1)
        self.beta_2: float = check_number("beta_2", beta_2, below=1)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)

    def follow(self, grad: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
        """m ← β1 · m + (1 − β1) · g; v ← β2 · v + (1 − β2) · g²."""
        m += (1 - self.beta_1) * (grad - m)
        v += (1 - self.beta_2) * (grad * grad - v)


@register
class Nadam(TwoMoments):
    """Adam with Nesterov momentum (Dozat: "Incorporating Nesterov momentum into Adam", 2016):

    u_t = β1 · (1 − 0.96ᵗ / 2); U_t = u_1 · … · u_t; with m and v as in Adam
    w ← w − lr · (u_{t+1} · m / (1 − U_{t+1}) + (1 − u_t) · g / (1 − U_t)) / (√(v / (1 − β2ᵗ)) + ε).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, **options :
        As for `Adam`; and `schedule_decay`, default 1: 0.96 to the power of that times t. The paper's own is 0.004.
    """

    keras_slots: tuple[str, ...] = ("m", "v")
    rare: Mapping[str, object] = MappingProxyType({"schedule_decay": 1.0})
    _product = (0, 1.0)  # (t, U_t): not multiplied anew in every iteration

    def _share(self, t):
        """u_t."""
        return self.beta_1 * (1 - 0.5 * 0.96 ** (self.schedule_decay * t))

    def _product_until(self, t):
        """U_t."""
        done, product = self._product if self._product[0] <= t else (0, 1.0)
        for i in range(done + 1, t + 1):
            product *= self._share(i)
        self._product = t, product
        return product

    def keras_scalars(self, iterations: int) -> dict[str, float]:
        return {"u_product": self._product_until(iterations // (self.gradient_accumulation_steps or 1))}

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        m, v = slots
        t = self.updates + 1
        product, share, next_share = self._product_until(t), self._share(t), self._share(t + 1)
        self.follow(grad, m, v)
        ahead = next_share / (1 - product * next_share) * m + (1 - share) / (1 - product) * grad
        theta -= rate * ahead / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)


@register
class Adamax(TwoMoments):
    """Adam with the largest gradient in place of the mean square (Kingma and Ba, 2015, section 7.1):

    m ← β1 · m + (1 − β1) · g; u ← max(β2 · u, |g|); w ← w − lr / (1 − β1ᵗ) · m / (u + ε).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, **options :
        As for `Adam`.
    """

    slots: tuple[str, ...] = ("momentum", "norm")
    keras_slots: tuple[str, ...] = ("m", "v")

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        m, largest = slots
        m += (1 - self.beta_1) * (grad - m)
        np.maximum(self.beta_2 * largest, np.abs(grad), out=largest)
        theta -= rate / (1 - self.beta_1 ** (self.updates + 1)) * m / (largest + self.epsilon)


@register
class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al.: "Ad click prediction: a view from the trenches", 2013).

    With n the sum of squared gradients, z the linear part and p = −`learning_rate_power`:
    n' = n + g²; z ← z + g − (n'ᵖ − nᵖ) / lr · w; w ← (clip(z, −l1, l1) − z) / (n'ᵖ / lr + 2 · l2 + beta / lr).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    learning_rate_power : float up to 0, default -0.5
    initial_accumulator_value : float, default 0.1
    l1_regularization_strength, l2_regularization_strength : float, default 0
    l2_shrinkage_regularization_strength : float, default 0
        2 · it · w is added to the gradient.
    beta : float, default 0
    **options
        See `Optimizer`.
    """

    slots: tuple[str, ...] = ("accumulator", "linear")
    keras_slots: tuple[str, ...] = ("accumulator", "linear")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.learning_rate_power: float = -check_number("-learning_rate_power", -learning_rate_power)
        self.initial_accumulator_value: float = check_number("initial_accumulator_value", initial_accumulator_value)
        self.l1_regularization_strength: float = check_number("l1_regularization_strength", l1_regularization_strength)
        self.l2_regularization_strength: float = check_number("l2_regularization_strength", l2_regularization_strength)
        self.l2_shrinkage_regularization_strength: float = check_number(
            "l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength
        )
        self.beta: float = check_number("beta", beta)

    def first_value(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        squares, linear = slots
        power, l1 = -self.learning_rate_power, self.l1_regularization_strength
        if rate == 0:  # nothing moves, and nothing is divided by zero
            return
        before = squares**power
        squares += grad * grad
        after = squares**power
        linear += grad + 2 * self.l2_shrinkage_regularization_strength * theta - (after - before) / rate * theta
        below = after / rate + 2 * self.l2_regularization_strength + self.beta / rate
        below = np.maximum(below, np.finfo(theta.dtype).tiny)  # 0 between weights, and where all squares were 0
        np.divide(np.clip(linear, -l1, l1) - linear, below, out=theta)


@register
class Lion(Optimizer):
    """w ← w − lr · sign(β1 · m + (1 − β1) · g); m ← β2 · m + (1 − β2) · g (Chen et al.: "Symbolic discovery …", 2023).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1 : float above 0, up to 1, default 0.9
    beta_2 : float in [0, 1), default 0.99
    **options
        See `Optimizer`.
    """

    slots: tuple[str, ...] = ("momentum",)

    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **options: object
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1: float = check_number("beta_1", beta_1, above=0)
        if self.beta_1 > 1:
            raise ValueError(f"`beta_1` lies above 0 and not above 1. Received: beta_1={beta_1!r}")
        self.beta_2: float = check_number("beta_2", beta_2, below=1)

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        (m,) = slots
        theta -= rate * np.sign(self.beta_1 * m + (1 - self.beta_1) * grad)
        m *= self.beta_2
        m += (1 - self.beta_2) * grad


@register
class ScheduleFreeAdamW(TwoMoments):
    """Averaging in place of a schedule (Defazio et al.: "The road less scheduled", 2024).

    v as in Adam; z ← z − lr · g / (√(v / (1 − β2ᵗ)) + ε); x ← (1 − 1/t) · x + z / t; w ← (1 − β1) · z + β1 · x.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.0025
    beta_1 : float above 0 and below 1, default 0.9
    beta_2 : float in [0, 1), default 0.999
    epsilon : float above 0, default 1e-8
    warmup_steps : int, default 0
        In so many updates the rate rises in a straight line.
    **options
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: float = 0,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        check_number("beta_1", beta_1, above=0)  # one divides by it
        self.warmup_steps: float = check_number("warmup_steps", warmup_steps)

    def rate(self, learning_rate: float, iteration: int) -> float:
        return learning_rate * min((iteration + 1) / self.warmup_steps, 1) if self.warmup_steps else learning_rate

    def formula(self, theta: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float) -> None:
        z, v = slots
        t, beta = self.updates + 1, self.beta_1
        z[...] = np.where((z == 0) & (v == 0), theta, z)  # where there was no gradient yet: at first, and once frozen
        v += (1 - self.beta_2) * (grad * grad - v)
        x = (theta - (1 - beta) * z) / beta
        z -= rate * grad / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
        x += (z - x) / t
        np.add((1 - beta) * z, beta * x, out=theta)
