"""Rules that see each weight as an array of its own: norms, rows and columns, matrices. In NumPy, on every backend."""

import math
import re
from collections.abc import Sequence

import numpy as np

from minicnn.checks import check_number, check_positive_int
from minicnn.optimizers.further_rules import TwoMoments
from minicnn.optimizers.optimizer import Optimizer, register
from minicnn.optimizers.schedules import LearningRate, LearningRateSchedule

__all__ = ["Adafactor", "Lamb", "Muon"]


class ByWeight(Optimizer):
    """Base of rules on single weights; a subclass writes `formula`, whose arrays have the weight's shape."""

    def _move(self, theta, grad, state, ops, learning_rate, rate):
        self._clip(grad)
        self._decay_weights(theta, learning_rate)
        vectors = [state[name] for name in self.slots]
        rate = self.rate(learning_rate, self.updates)
        for segment, weight in zip(self._segments, self._weights(), strict=True):
            w, g, *slots = (vector[segment].reshape(weight.shape) for vector in (theta, grad, *vectors))
            self.weight_formula(weight.path, w, g, slots, rate * self.factor(self.multiplier(weight)))

    def _decay_weights(self, theta, learning_rate):
        if self.weight_decay:
            self._decay(theta, learning_rate * self.weight_decay)

    def _weights(self):
        """The weights that `update` got the segments of."""
        weights = getattr(self._segments, "weights", None)
        if weights is None:
            raise TypeError(
                f"{type(self).__name__} sees each weight on its own: pass `update` the segments of a model's store "
                f"(ParameterStore.trainable_segments). Received: {type(self._segments).__name__}"
            )
        return weights

    def weight_formula(
        self, path: str, w: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float
    ) -> None:
        """The rule for one weight: move `w` and `slots`, arrays of its shape, in place."""
        raise NotImplementedError


@register
class Lamb(TwoMoments, ByWeight):
    """Adam, with a step of the weight's own length (You et al.: "Large batch optimization …", 2020):

    s = m / (1 − β1ᵗ) / (√(v / (1 − β2ᵗ)) + ε); w ← w − lr · |w| / |s| · s, or lr · s where a length is 0.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, **options :
        As for `Adam`.
    """

    def weight_formula(
        self, path: str, w: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float
    ) -> None:
        m, v = slots
        t = self.updates + 1
        self.follow(grad, m, v)
        step = m / (1 - self.beta_1**t) / (np.sqrt(v / (1 - self.beta_2**t)) + self.epsilon)
        length, step_length = np.sqrt((w * w).sum()), np.sqrt((step * step).sum())
        known = (length > 0) & (step_length > 0)
        w -= rate * np.where(known, length / np.where(known, step_length, 1), 1).astype(w.dtype) * step


@register
class Adafactor(ByWeight):
    """Adam whose mean square is kept as means of rows and columns (Shazeer and Stern: "Adafactor", 2018).

    ρ = min(lr, 1/√t), α = max(ε2, rms(w)) · ρ, β = 1 − t^`beta_2_decay`; r and c follow the means of g² + ε1 over the
    last axis and the one before it with β; v = r · c / mean(r), of vectors it follows g² + ε1 itself;
    u = g / √v; w ← w − α · u / max(1, rms(u) / `clip_threshold`).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_2_decay : float below 0, default -0.8
    epsilon_1 : float, default 1e-30
    epsilon_2 : float, default 0.001
    clip_threshold : float above 0, default 1
    relative_step : bool, default True
        Whether a rate that is a number is limited by 1/√t.
    **options
        See `Optimizer`.
    """

    slots: tuple[str, ...] = ("row", "column", "velocity")  # means are repeated along the axis that they are of

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay: float = check_number("beta_2_decay", beta_2_decay, minimum=-math.inf)
        self.epsilon_1: float = check_number("epsilon_1", epsilon_1)
        self.epsilon_2: float = check_number("epsilon_2", epsilon_2)
        self.clip_threshold: float = check_number("clip_threshold", clip_threshold, above=0)
        self.relative_step: bool = bool(relative_step)

    def rate(self, learning_rate: float, iteration: int) -> float:
        is_number = not isinstance(self.learning_rate, LearningRateSchedule)
        limit = 1 / math.sqrt(iteration + 1)
        lr = min(learning_rate, limit) if is_number and self.relative_step else learning_rate
        return min(lr, limit)

    def keras_part(self, slot: str, array: np.ndarray, path: str) -> np.ndarray | None:
        """The means once; of vectors, which have none, the whole number that Keras keeps in their place."""
        if slot not in ("row", "column"):
            return array
        if array.ndim < 2:
            return np.zeros((), np.int32)
        return array[..., 0] if slot == "row" else array[..., 0, :]

    def from_keras_part(self, slot: str, part: np.ndarray) -> np.ndarray:
        return np.expand_dims(part, -1 if slot == "row" else -2) if slot in ("row", "column") else part

    def weight_formula(
        self, path: str, w: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float
    ) -> None:
        row, column, v = slots
        keep = 1 - (self.updates + 1) ** self.beta_2_decay
        squares = grad * grad + self.epsilon_1
        if w.ndim >= 2:
            row *= keep
            row += (1 - keep) * squares.mean(axis=-1, keepdims=True)
            column *= keep
            column += (1 - keep) * squares.mean(axis=-2, keepdims=True)
            np.divide(row, row[..., :1].mean(axis=-2, keepdims=True), out=v)
            v *= column
        else:
            v *= keep
            v += (1 - keep) * squares
        step = grad / np.sqrt(np.maximum(v, np.finfo(v.dtype).tiny))  # r · c of what is always 0 would be 0
        step /= np.maximum(1, _rms(step) / self.clip_threshold)
        w -= np.maximum(self.epsilon_2, _rms(w)) * rate * step


def _rms(x):
    return np.sqrt(np.square(x).mean())


@register
class Muon(ByWeight):
    """Matrices move by their momentum made orthogonal (Jordan et al.: "Muon", 2024), other weights by Adam with decay.

    m ← momentum · m + g; x = g + momentum · m, or m without Nesterov's variant; x ← x / |x|, then `ns_steps` times
    x ← a · x + (b · x · xᵀ + c · (x · xᵀ)²) · x; w ← w − lr · x · √(longer side) · `rms_rate`.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    adam_beta_1, adam_beta_2 : float in [0, 1), default 0.9 and 0.999
    adam_weight_decay : float, default 0.004
    epsilon : float above 0, default 1e-7
    weight_decay : float, default 0.004
    exclude_layers : list of str, optional
        Patterns; matrices whose path has one in it are left to Adam.
    exclude_embeddings : bool, default True
        Whether matrices of layers called "embedding" are.
    muon_a, muon_b, muon_c : float, defaults 3.4445, -4.775 and 2.0315
    adam_lr_ratio : float, default 1
        Factor of Adam's rate.
    momentum : float in [0, 1), default 0.95
    ns_steps : int, default 5
    nesterov : bool, default True
    rms_rate : float, optional, default 0.2
        None: no factor for the shape.
    flatten_kernels : bool, default False
        Whether kernels of convolutions are matrices too: (kh · kw · C, F), as in Jordan's records for CIFAR-10. In
        Keras they are left to Adam.
    **options
        See `Optimizer`.
    """

    slots: tuple[str, ...] = ("momentum", "velocity")

    muon_a: float
    muon_b: float
    muon_c: float
    nesterov: bool
    flatten_kernels: bool

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        flatten_kernels: bool = False,
        **options: object,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.adam_beta_1: float = check_number("adam_beta_1", adam_beta_1, below=1)
        self.adam_beta_2: float = check_number("adam_beta_2", adam_beta_2, below=1)
        self.adam_weight_decay: float = check_number("adam_weight_decay", adam_weight_decay or 0)
        self.epsilon: float = check_number("epsilon", epsilon, above=0)
        self.exclude_layers: list[str] = list(exclude_layers or [])
        self.exclude_embeddings: bool = bool(exclude_embeddings)
        self.muon_a, self.muon_b, self.muon_c = float(muon_a), float(muon_b), float(muon_c)
        self.adam_lr_ratio: float = check_number("adam_lr_ratio", adam_lr_ratio)
        self.momentum: float = check_number("momentum", momentum, below=1)
        self.ns_steps: int = check_positive_int("ns_steps", ns_steps)
        self.rms_rate: float | None = None if rms_rate is None else check_number("rms_rate", rms_rate)
        self.nesterov, self.flatten_kernels = bool(nesterov), bool(flatten_kernels)

    def keras_part(self, slot: str, array: np.ndarray, path: str) -> np.ndarray | None:
        """No mean square of matrices."""
        return array if slot != "velocity" or self.uses_adam(path, array.shape) else None

    def uses_adam(self, path: str, shape: tuple[int, ...]) -> bool:
        """Whether a weight is left to Adam."""
        patterns = [*self.exclude_layers, *["(?i)embedding"] * self.exclude_embeddings]
        is_matrix = len(shape) == 2 or (len(shape) > 2 and self.flatten_kernels)
        return not is_matrix or any(re.search(pattern, path) for pattern in patterns)

    def _decay_weights(self, theta, learning_rate):
        for segment, weight in zip(self._segments, self._weights(), strict=True):
            decay = self.adam_weight_decay if self.uses_adam(weight.path, weight.shape) else self.weight_decay
            if decay and not self._is_excluded(weight):
                theta[segment] -= learning_rate * self.factor(self.multiplier(weight)) * decay * theta[segment]

    def weight_formula(
        self, path: str, w: np.ndarray, grad: np.ndarray, slots: Sequence[np.ndarray], rate: float
    ) -> None:
        m, v = slots
        if self.uses_adam(path, w.shape):
            self._adam(w, grad, m, v, rate * self.adam_lr_ratio)
            return
        m *= self.momentum
        m += grad
        step = self.orthogonal((grad + self.momentum * m if self.nesterov else m).reshape(-1, w.shape[-1]))
        factor = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(step.shape))
        w -= rate * factor * step.reshape(w.shape)

    def _adam(self, w, grad, m, v, rate):
        t = self.updates + 1
        m += (1 - self.adam_beta_1) * (grad - m)
        v += (1 - self.adam_beta_2) * (grad * grad - v)
        rate *= math.sqrt(1 - self.adam_beta_2**t) / (1 - self.adam_beta_1**t)
        w -= rate * m / (np.sqrt(v) + self.epsilon)

    def orthogonal(self, x: np.ndarray) -> np.ndarray:
        """Nearly the orthogonal matrix next to `x`, (rows, columns), by Newton and Schulz's iteration."""
        is_tall = x.shape[0] > x.shape[1]
        x = x.transpose(1, 0) if is_tall else x
        x = x / (np.sqrt((x * x).sum()) + 1e-7)
        for _ in range(self.ns_steps):
            square = np.matmul(x, x.transpose(1, 0))
            x = self.muon_a * x + np.matmul(self.muon_b * square + self.muon_c * np.matmul(square, square), x)
        return x.transpose(1, 0) if is_tall else x
