"""Initializers that few use, and what else may stand for one: functions and arrays."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_number, check_seed, is_integer, plain
from minicnn.dtype_policies import of_python
from minicnn.foreign import items_of
from minicnn.hints import Config, Shape
from minicnn.initializers import Constant, Initializer, register, registry
from minicnn.named_functions import FunctionName, entry_of, function_named
from minicnn.own_parts import check_takes, is_of_package
from minicnn.settings import floatx


def checked(shape: Any, dtype: Any, initializer: Any) -> tuple[Shape, np.dtype[Any]]:
    """The arguments of an initializer's call.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : str or numpy dtype, or None
        Python's ``float`` is float32, as in Keras; None: `minicnn.utils.floatx`.
    initializer : Initializer

    Raises
    ------
    ValueError, TypeError
        If they are none, or the dtype is one of whole numbers, and the initializer draws fractions.
    """
    sizes = plain(shape)
    sizes = (sizes,) if is_integer(sizes) else items_of(sizes)
    if sizes is None or not all(is_integer(n) and n >= 0 for n in sizes):
        raise ValueError(
            "an initializer is called with the shape of a weight, a tuple of integers from 0 on, such as (3, 3, 1, 8). "
            f"Received: shape={shape!r}"
        )
    try:
        kind = np.dtype(floatx() if dtype is None else of_python(dtype))
    except TypeError:
        raise TypeError(
            f"an initializer's dtype is that of the array, such as 'float32'. Received: dtype={dtype!r}"
        ) from None
    cls = type(initializer)
    if kind.kind in "biu" and is_of_package(cls) and "seed" in vars(initializer) and cls.__name__ != "RandomUniform":
        raise TypeError(
            f"{cls.__name__} draws fractions, which {kind} would cut off: RandomUniform(0, 10) draws whole numbers, "
            f"and zeros, ones and Constant are of any dtype. Received: dtype={dtype!r}"
        )
    return tuple(int(n) for n in sizes), kind


def filled(shape: Shape, value: Any) -> np.ndarray:
    """An array of one value, or of those of an array.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    try:
        return np.full(shape, value)
    except ValueError:
        raise ValueError(
            f"the values of Constant are one number, or an array of the weight's shape {shape}. "
            f"Received: {np.shape(value)}"
        ) from None


@register("OrthogonalInitializer")
class Orthogonal(Initializer):
    """A random matrix whose rows or columns are orthogonal and of length `gain` (Saxe et al., 2014).

    Of a convolution's kernel all axes but the last one count as rows.

    Parameters
    ----------
    gain : float, default 1
    seed : int, optional
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain: float = check_number("gain", gain, minimum=-math.inf)
        self.seed: int | None = check_seed("seed", seed)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(
                f"Orthogonal is for weights of two axes or more. Received: a shape of {len(shape)}: {shape}"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # otherwise not all matrices are equally likely
        return self.gain * (q.T if rows < columns else q).reshape(shape)


@register("IdentityInitializer")
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.

    Parameters
    ----------
    gain : float, default 1
    """

    def __init__(self, gain: float = 1.0):
        self.gain: float = check_number("gain", gain, minimum=-math.inf)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"Identity is for weights of two axes. Received: the shape {shape}")
        return self.gain * np.eye(*shape)


@register
class Dirac(Initializer):
    """A convolution that passes its input on: filter f reads channel f at the kernel's middle (PyTorch's `dirac_`).

    (Zagoruyko, Komodakis: "DiracNets", 2017.) With more filters than channels, `rest` fills the others.

    Parameters
    ----------
    gain : float, default 1
    rest : str or Initializer, optional
        First values of the filters that have no channel; default: 0.

    Raises
    ------
    ValueError
        When it draws, if the shape is not (taps, C, F) or (kh, kw, C, F).
    """

    def __init__(self, gain: float = 1.0, rest: str | Initializer | Config | None = None):
        self.gain: float = check_number("gain", gain, minimum=-math.inf)
        self.rest: Initializer | None = None if rest is None else get(rest)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        if len(shape) not in (3, 4):
            raise ValueError(f"Dirac is for kernels of convolutions, (kh, kw, C, F). Received: the shape {shape}")
        values = np.zeros(shape) if self.rest is None else np.array(self.rest.draw(shape, rng))
        passed = min(shape[-2:])
        values[..., :passed] = 0
        middle = tuple(size // 2 for size in shape[:-2])
        if 0 not in shape:
            values[middle][np.arange(passed), np.arange(passed)] = self.gain
        return values


@register
class FunctionInitializer(Initializer):
    """A function of (shape) or (shape, dtype=…) that returns the values; a file holds its name only.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., object]):
        self.function: Callable[..., object] = function

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        try:
            values = self.function(shape, dtype="float32")
        except TypeError:  # it knows no dtype
            check_takes(self.function, "a function as an initializer", "shape")
            values = self.function(shape)
        values = np.asarray(values)
        if values.shape != tuple(shape):
            raise ValueError(
                f"an initializer returns an array of the weight's shape {tuple(shape)}. Received: {values.shape}"
            )
        return values

    def get_config(self) -> Config:
        """The function's name: a file says which one it was, and cannot make it again."""
        return {"function": FunctionName(self.function)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An initializer that says, if it is ever called, that a file does not hold the function itself."""
        name = config["function"]
        if (known := function_named(name)) is not None:
            return cls(known)

        def missing(shape):
            raise ValueError(
                f"the function that first values came from is not in the file, which holds weights: give the layer an "
                f"initializer to draw them anew. Received: the name {name!r}"
            )

        missing.__name__ = str(name)
        return cls(missing)


def get(
    identifier: str | Initializer | type[Initializer] | Config | Callable[..., object] | ArrayLike,
) -> Initializer:
    """An initializer from a name, an instance, a class, a config, a function of the shape, or an array of values.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, for anything else.
    """
    if isinstance(identifier, np.ndarray):
        return Constant(identifier)
    if callable(identifier) and not isinstance(identifier, type | Initializer):
        return FunctionInitializer(identifier)
    return registry.get(entry_of(identifier, "FunctionInitializer"))
