"""First values of weights.

An initializer is called with a shape and returns a NumPy array; values are drawn in float64 and rounded once, so that a
float32 and a float64 model start from the same numbers. Classes have names in lower case too, as in Keras:
``he_normal(seed=1)``.
"""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn import random
from minicnn.checks import check_choice, check_number, check_seed
from minicnn.hints import Shape
from minicnn.registry import Configurable, Register, Registry

# Standard deviation of the standard normal distribution cut off at -2 and 2.
TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978


class Initializer(Configurable):
    """Base class; a subclass writes `draw`."""

    seed: int | None = None

    @np.errstate(under="ignore")
    def __call__(self, shape: Shape, dtype: DTypeLike = None, rng: np.random.Generator | None = None) -> np.ndarray:
        """First values of a weight.

        Parameters
        ----------
        shape : tuple of int
        dtype : str or numpy dtype, optional
            Default: `minicnn.utils.floatx`. Python's ``float`` is float32.
        rng : numpy.random.Generator, optional
            Where random numbers come from, unless the initializer has a seed of its own: then every call with one shape
            gives the same values. Default: a new generator from the global seed (`minicnn.utils.set_random_seed`).

        Returns
        -------
        numpy array of that shape and dtype
        """
        shape, dtype = _further.checked(shape, dtype, self)
        if self.seed is not None or rng is None:
            rng = random.generator(random.next_seed() if self.seed is None else self.seed, "initializer")
        return np.asarray(self.draw(shape, rng), dtype)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """A float64 array of `shape`, random numbers taken from the generator `rng`."""
        raise NotImplementedError


registry: Registry[Initializer] = Registry("initializer", Initializer)
register: Register = registry.register
__getattr__: Callable[[str], type[Initializer]] = registry.module_getattr(__name__)


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs reach one output of a weight, and how many outputs one input reaches.

    Parameters
    ----------
    shape : tuple of int
        (inputs, outputs) of a dense kernel, (kh, kw, C / groups, F) of a convolution's, (n,) of a vector.

    Returns
    -------
    (fan_in, fan_out)
        A convolution's fans include its kh · kw taps.
    """
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def truncated_numbers(rng: np.random.Generator, mean: float, stddev: float, shape: Shape) -> np.ndarray:
    """Normal numbers; those further than two standard deviations from the mean are drawn again.

    Parameters
    ----------
    rng : numpy.random.Generator
    mean, stddev : float
        Of the normal distribution before it is cut.
    shape : tuple of int
    """
    z = rng.standard_normal(shape)
    outside = np.abs(z) > 2
    while outside.any():
        z[outside] = rng.standard_normal(np.count_nonzero(outside))
        outside = np.abs(z) > 2
    return mean + stddev * z


# ----------------------------------------------------------------------------------------------- fixed values


@register
class Constant(Initializer):
    """All values equal, or those of an array.

    Parameters
    ----------
    value : float or array that broadcasts to the weight's shape, default 0
    """

    def __init__(self, value: ArrayLike = 0.0):
        number = None if np.ndim(value) else check_number("value", value, minimum=-math.inf)
        self.value: Any = np.asarray(value, float).tolist() if number is None else number

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return _further.filled(shape, self.value)


@register("zero")
class Zeros(Initializer):
    """All values 0."""

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape)


@register("one")
class Ones(Initializer):
    """All values 1."""

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape)


# -------------------------------------------------------------------------------------- random, of fixed scale


@register("uniform")
class RandomUniform(Initializer):
    """Uniform on [minval, maxval).

    Parameters
    ----------
    minval, maxval : float, default -0.05 and 0.05
    seed : int, optional
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval: float = check_number("minval", minval, minimum=-math.inf)
        self.maxval: float = check_number("maxval", maxval, minimum=self.minval)
        self.seed: int | None = check_seed("seed", seed)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.minval, self.maxval, shape)


@register("normal")
class RandomNormal(Initializer):
    """Normal with a given mean and standard deviation.

    Parameters
    ----------
    mean : float, default 0
    stddev : float, default 0.05
    seed : int, optional
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean: float = check_number("mean", mean, minimum=-math.inf)
        self.stddev: float = check_number("stddev", stddev)
        self.seed: int | None = check_seed("seed", seed)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.mean, self.stddev, shape)


@register
class TruncatedNormal(RandomNormal):
    """Like `RandomNormal`, but what lies further than two `stddev` from the mean is drawn again.

    `stddev` is that of the normal distribution before truncation, as in Keras; what remains has 0.88 times as much.
    """

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return truncated_numbers(rng, self.mean, self.stddev, shape)


# ------------------------------------------------------------------------------- random, scaled by the weight's fans


@register
class VarianceScaling(Initializer):
    """Random values whose variance is scale / fan, so that signals keep their size from layer to layer.

    Parameters
    ----------
    scale : float, default 1
    mode : {'fan_in', 'fan_out', 'fan_avg'}, default 'fan_in'
        Which fan; 'fan_avg' is their mean.
    distribution : {'truncated_normal', 'untruncated_normal', 'uniform'}, default 'truncated_normal'
        'truncated_normal' is cut off at two standard deviations, and widened so that its variance is right after that.
        'uniform' has the limits ±√(3 · scale / fan).
    seed : int, optional

    Raises
    ------
    ValueError
        If an argument is not one of these.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ):
        self.scale: float = check_number("scale", scale, above=0)
        self.mode: str = check_choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        distributions = ("truncated_normal", "untruncated_normal", "uniform")
        self.distribution: str = check_choice("distribution", distribution, distributions)
        self.seed: int | None = check_seed("seed", seed)

    def variance(self, shape: Shape) -> float:
        """The variance that values of this shape get."""
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        return self.scale / max(fan, 1)

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        stddev = math.sqrt(self.variance(shape))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0, stddev, shape)
        return truncated_numbers(rng, 0, stddev / TRUNCATED_STANDARD_DEVIATION, shape)


class _Published(VarianceScaling):
    """Base of the settings that papers recommend: a subclass names them, in the order of `VarianceScaling`.

    Parameters
    ----------
    seed : int, optional
    """

    _setting: tuple[float, str, str]

    def __init__(self, seed: int | None = None):
        super().__init__(*self._setting, seed)


@register
class GlorotUniform(_Published):
    """Uniform with limits ±√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010). The default of kernels."""

    _setting = 1.0, "fan_avg", "uniform"


@register
class GlorotNormal(_Published):
    """Truncated normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""

    _setting = 1.0, "fan_avg", "truncated_normal"


@register
class HeUniform(_Published):
    """Uniform with limits ±√(6 / fan_in), made for ReLU (He et al., 2015)."""

    _setting = 2.0, "fan_in", "uniform"


@register
class HeNormal(_Published):
    """Truncated normal with variance 2 / fan_in, made for ReLU (He et al., 2015)."""

    _setting = 2.0, "fan_in", "truncated_normal"


@register
class LecunUniform(_Published):
    """Uniform with limits ±√(3 / fan_in) (LeCun et al.: "Efficient BackProp", 1998)."""

    _setting = 1.0, "fan_in", "uniform"


@register
class LecunNormal(_Published):
    """Truncated normal with variance 1 / fan_in (LeCun et al.: "Efficient BackProp", 1998)."""

    _setting = 1.0, "fan_in", "truncated_normal"


_further: Any = import_module("minicnn.further_initializers")  # it needs the classes above
get: Callable[[Any], Initializer] = _further.get
