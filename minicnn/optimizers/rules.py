"""The optimizers. Formulas and defaults are those of Keras; g is the gradient, w the weight, lr the learning rate.

Every constructor takes `weight_decay`, `clipnorm`, `clipvalue` and `global_clipnorm` too: see `Optimizer`.
"""

import math

from minicnn.checks import check_number
from minicnn.optimizers.optimizer import Optimizer, register


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

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, **options):
        super().__init__(learning_rate, **options)
        self.momentum = check_number("momentum", momentum, below=1)
        self.nesterov = bool(nesterov)

    @property
    def slots(self):
        """Plain gradient descent has no state."""
        return ("velocity",) if self.momentum else ()

    def apply(self, kernels, theta, grad, slots, learning_rate):
        velocity = slots[0] if slots else None
        kernels.sgd_update(theta, grad, velocity, learning_rate, self.momentum, self.nesterov)


@register
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), in the form that ends section 2 of the paper: ε beside the uncorrected √v.

    m ← β1 · m + (1 − β1) · g; v ← β2 · v + (1 − β2) · g²; w ← w − lr · √(1 − β2ᵗ) / (1 − β1ᵗ) · m / (√v + ε) in step t.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
    epsilon : float above 0, default 1e-7
    **options
        See `Optimizer`.
    """

    slots = ("m", "v")
    keras_only = Optimizer.keras_only | {"amsgrad": (False,)}

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.beta_1 = check_number("beta_1", beta_1, below=1)
        self.beta_2 = check_number("beta_2", beta_2, below=1)
        self.epsilon = check_number("epsilon", epsilon, above=0)

    def apply(self, kernels, theta, grad, slots, learning_rate):
        t = self.iterations + 1
        alpha = learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        kernels.adam_update(theta, grad, *slots, alpha, self.beta_1, self.beta_2, self.epsilon)


@register
class AdamW(Adam):
    """Adam with weight decay, which is not part of the gradient (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    weight_decay : float, default 0.004
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
    epsilon : float above 0, default 1e-7
    **options
        See `Optimizer`.

    Raises
    ------
    ValueError
        If `weight_decay` is None: that would be `Adam`.
    """

    def __init__(self, learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **options):
        check_number("weight_decay", weight_decay)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, **options)


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
        See `Optimizer`.
    """

    slots = ("accumulator",)

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = check_number("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = check_number("epsilon", epsilon, above=0)

    def create_state(self, size, dtype, zeros):
        state = super().create_state(size, dtype, zeros)
        state["accumulator"] += self.initial_accumulator_value
        return state

    def apply(self, kernels, theta, grad, slots, learning_rate):
        kernels.adagrad_update(theta, grad, *slots, learning_rate, self.epsilon)


@register
class Adadelta(Optimizer):
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

    slots = ("accumulated_grad", "accumulated_delta")

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.rho = check_number("rho", rho, below=1)
        self.epsilon = check_number("epsilon", epsilon, above=0)

    def apply(self, kernels, theta, grad, slots, learning_rate):
        kernels.adadelta_update(theta, grad, *slots, learning_rate, self.rho, self.epsilon)


@register
class RMSprop(Optimizer):
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

    slots = ("mean_square",)
    keras_only = Optimizer.keras_only | {"momentum": (0,), "centered": (False,)}

    def __init__(self, learning_rate=0.001, rho=0.9, *, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.rho = check_number("rho", rho, below=1)
        self.epsilon = check_number("epsilon", epsilon, above=0)

    def apply(self, kernels, theta, grad, slots, learning_rate):
        kernels.rmsprop_update(theta, grad, *slots, learning_rate, self.rho, self.epsilon)
