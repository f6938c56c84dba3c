"""Penalties on the size of weights, added to the loss. Classes have names in lower case too: ``l2(1e-4)``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_choice, check_number, real_array
from minicnn.differentiation import Recorded, met
from minicnn.hints import Config
from minicnn.named_functions import entry_of
from minicnn.registry import Configurable, Register, Registry


class Regularizer(Configurable):
    """Base class: a penalty R(w) and its derivative."""

    def __call__(self, w: ArrayLike) -> Any:
        """R(w) of an array-like of any shape, a float; of a recorded one, recorded."""
        w = met(w)
        if isinstance(w, Recorded):
            return self._recorded(w)
        w = real_array(w, "a weight")
        return float(self.penalty(w if w.dtype.kind == "f" else w.astype(np.float64)))

    def _recorded(self, w):
        def back(g):
            if isinstance(g, Recorded):
                return g * self.recorded_slope(w)
            gradient = np.zeros_like(w.value)
            self.add_gradient(w.value, gradient)
            return g * gradient

        return Recorded(np.asarray(self.penalty(w.value), w.dtype), [(w, back)])

    def penalty(self, w: np.ndarray) -> float | np.ndarray:
        """R(w), as a float (a 0-d array on a GPU).

        Parameters
        ----------
        w : array of any shape, float32 or float64
        """
        raise NotImplementedError

    def add_gradient(self, w: np.ndarray, grad: np.ndarray) -> None:
        """Add dR/dw to `grad`, an array like `w`, in place."""
        raise NotImplementedError

    def recorded_slope(self, w: Recorded) -> Any:
        """dR/dw, computed of a recorded array, so that it has a gradient itself."""
        raise NotImplementedError(f"the penalty {type(self).__name__} has no gradient of its gradient (second order)")


registry: Registry[Regularizer] = Registry("regularizer", Regularizer)
register: Register = registry.register
__getattr__: Callable[[str], type[Regularizer]] = registry.module_getattr(__name__)


@register("l1_l2")
class L1L2(Regularizer):
    """R(w) = l1 · Σ|w| + l2 · Σw².

    The formula of Keras, without the 1/2 that textbooks put before l2: the gradient is l1 · sign(w) + 2 · l2 · w.
    L2 is ridge regression (Hoerl and Kennard, 1970), L1 the lasso (Tibshirani, 1996), both the elastic net (Zou and
    Hastie, 2005).

    Parameters
    ----------
    l1, l2 : float, default 0
        Factors, at least 0.

    Raises
    ------
    ValueError
        If a factor is negative or not a number.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1: float = check_number("l1", l1)
        self.l2: float = check_number("l2", l2)

    def penalty(self, w: np.ndarray) -> float | np.ndarray:
        total = 0.0
        if self.l1:
            total = total + self.l1 * np.abs(w).sum(dtype=np.float64)
        if self.l2:
            total = total + self.l2 * np.square(w).sum(dtype=np.float64)
        return total

    def add_gradient(self, w: np.ndarray, grad: np.ndarray) -> None:
        if self.l1:
            grad += self.l1 * np.sign(w)
        if self.l2:
            grad += (2 * self.l2) * w

    def recorded_slope(self, w: Recorded) -> Any:
        return self.l1 * np.sign(w) + (2 * self.l2) * w


@register
class L1(L1L2):
    """R(w) = l1 · Σ|w|, which drives weights to exactly zero; see `L1L2`."""

    def __init__(self, l1: float = 0.01):
        super().__init__(l1=l1)


@register
class L2(L1L2):
    """R(w) = l2 · Σw², which keeps weights small; see `L1L2`."""

    def __init__(self, l2: float = 0.01):
        super().__init__(l2=l2)


@register
class OrthogonalRegularizer(Regularizer):
    """R(w) = factor · Σ |u_i · u_j| / pairs over pairs i < j of rows (or columns) of a matrix, made u_i of length 1.

    Parameters
    ----------
    factor : float, default 0.01
    mode : {'rows', 'columns'}, default 'rows'
        Which of them are to become orthogonal.

    Raises
    ------
    ValueError
        If an argument is not one of these, or later if the weight is no matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        self.factor: float = check_number("factor", factor)
        self.mode: str = check_choice("mode", mode, ("rows", "columns"))

    def _parts(self, w):
        """(rows of length 1, their former lengths (n, 1), products of pairs (n, n) with zeros on the diagonal)."""
        if w.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer takes matrices, such as dense kernels. Received: a weight of shape {w.shape}"
            )
        rows = w if self.mode == "rows" else w.transpose(1, 0)
        length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        length = np.where(length == 0, np.ones_like(length), length)
        u = rows / length
        products = np.matmul(u, u.transpose(1, 0))
        for i in range(len(u)):
            products[i : i + 1, i : i + 1] = 0
        return u, length, products

    def _scale(self, count):
        return self.factor / max(count * (count - 1), 1)  # each pair stands twice among the products

    def penalty(self, w: np.ndarray) -> float | np.ndarray:
        products = self._parts(w)[2]
        return self._scale(len(products)) * np.abs(products).sum(dtype=np.float64)

    def add_gradient(self, w: np.ndarray, grad: np.ndarray) -> None:
        u, length, products = self._parts(w)
        slope = 2 * self._scale(len(u)) * np.matmul(np.sign(products), u)  # by u
        slope = (slope - (slope * u).sum(axis=1, keepdims=True) * u) / length
        grad += slope if self.mode == "rows" else slope.transpose(1, 0)


def get(identifier: str | Regularizer | type[Regularizer] | Config | None) -> Regularizer | None:
    """A regularizer from 'l1', 'l2', 'l1_l2', an instance, a class or a config; None stays None.

    Parameters
    ----------
    identifier : str, Regularizer, class, dict or None
        A name, an object, its class, or a configuration.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    return None if identifier is None else registry.get(entry_of(identifier, "FunctionRegularizer"))
