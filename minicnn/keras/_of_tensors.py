"""Functions that are computed with arrays, of a model's tensors: layers that hold them; and random numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from minicnn.checks import real_array
from minicnn.differentiation import Recorded, met
from minicnn.dtype_policies import of_python
from minicnn.graph import Tensor
from minicnn.keras import _crossentropies
from minicnn.keras._called import is_trial
from minicnn.keras._deferred import LATER, Deferred, applied, tensors_in, with_parts
from minicnn.keras._eager import eager
from minicnn.keras._last_function import looking_behind
from minicnn.keras._own_parts import Layer
from minicnn.layers.function_numbers import generator, is_inside, note_count
from minicnn.layers.names import unique_name
from minicnn.random import generator as seeded
from minicnn.random import next_seed
from minicnn.settings import floatx


class Computed(Layer):
    """A function of arrays as a layer; it is differentiated, and files do not hold it.

    Parameters
    ----------
    function : callable
        Takes the inputs one by one.
    """

    holds_code = True
    draws_anew = True
    is_operation = True

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs: Any) -> Any:
        """What the function gives."""
        return self.function(*inputs) if isinstance(inputs, list) else self.function(inputs)

    def get_config(self) -> NoReturn:
        self.refuse_files()

    def refuse_files(self) -> NoReturn:
        """Raise the error for a file that should hold the function."""
        raise TypeError(
            f"layer '{self.name}' (Computed) holds code, which no file holds: save the weights alone, or write the "
            f"function as a layer of your own. Received: function={self.function!r}"
        )


class Noise(Deferred):
    """Random numbers for every sample of a batch whose size is not known yet, and what is computed of such.

    They are a tensor as soon as they meet one, whose samples are counted, and are drawn once for each batch, wherever
    they are used.

    Parameters
    ----------
    make : callable
        Takes a model's tensor, and gives that of the numbers.
    """

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __repr__(self) -> str:
        return "<random numbers for each sample of a batch>"

    @classmethod
    def of_shape(cls, shape: tuple[int | None, ...], draw: Callable[[tuple[int, ...]], np.ndarray]) -> Noise:
        """Those that `draw` gives for a shape, of which the tensor that is met has the open sizes."""

        def numbers(x):
            return draw(tuple(x.shape[axis] if size is None else size for axis, size in enumerate(shape)))

        return cls(lambda tensor: Computed(numbers)(tensor))

    def beside(self, tensor: Tensor) -> Any:
        """The numbers as a tensor, for as many samples as the first one that they met has."""
        if self._made is None:
            self._made = self._make(tensor)
        return self._made

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        def made(tensor):
            return with_parts(
                function, args, kwargs, lambda part: part.beside(tensor) if isinstance(part, Noise) else part
            )

        met_tensors = tensors_in(args, kwargs)
        return made(met_tensors[0]) if met_tensors else Noise(made)

    def refuse_layer(self) -> NoReturn:
        """Raise the error for a layer that is called on it alone."""
        raise TypeError(
            "a layer takes tensors of a model, and of these random numbers it is not known for which samples: "
            "keras.random.normal(keras.ops.shape(x)) of a tensor x knows it, as do numbers that were multiplied with "
            "a tensor. Received: random numbers of a shape with None"
        )


def _compared(function):
    return lambda own, other: own.apply(function, (own, other), {})


for _name in ("gt", "ge", "lt", "le"):
    setattr(Noise, f"__{_name}__", _compared(getattr(operator, _name)))


class SeedGenerator:
    """Keras 3's source of seeds, another one each time that it is asked: outside of layers numbers go by them.

    In a layer that a model runs they go by the model's seed, as a step that is computed again has the same then.

    Parameters
    ----------
    seed : int, optional
        Default: goes by `set_random_seed`.
    name : str, optional

    Attributes
    ----------
    state : array (2,) of int
        The seed, and how often it was asked.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"the seed of a SeedGenerator is an integer, or None. Received: seed={seed!r}")
        self.name: str = name or unique_name("SeedGenerator")
        self._initial_seed = seed
        self.state: np.ndarray = np.array([next_seed() % 10**9 if seed is None else seed, 0], np.int64)

    def next(self, ordered: bool = True) -> np.ndarray:
        """The state, which is another one afterwards; with ``ordered=False`` not only its count."""
        given = self.state
        self.state = given + np.array([0, 1]) if ordered else (given + 1) * 5387 % 933199
        return given

    def source(self) -> np.random.Generator:
        """Where the next numbers come from."""
        seed, count = map(int, self.state if is_trial.get() else self.next())
        return generator() if is_inside() else seeded(abs(seed), "seed generator", int(seed < 0), abs(count))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """One of these arguments."""
        return cls(**config)


def drawn(shape: Sequence[int | None], dtype: Any, seed: Any, draw: Callable[..., np.ndarray]) -> Any:
    """Numbers of a shape, as a recorded array; `Noise` where the batch's size is not known.

    Parameters
    ----------
    shape : sequence of int or None
    dtype : optional
        Default: `floatx`.
    seed : int or SeedGenerator, optional
        Default: goes by the model's seed.
    draw : callable
        Takes a `numpy.random.Generator` and a shape.
    """
    whose = getattr(shape, "tensor", None)
    if isinstance(shape, np.ndarray) and np.asarray(shape).dtype == object:  # tf.stack of sizes, one of which is open
        shape = [size if size is None else int(size) for size in map(np.ndarray.item, map(np.asarray, shape))]
    shape = tuple(np.shape(shape) if isinstance(shape, Recorded | np.ndarray) and np.ndim(shape) > 1 else shape)

    def numbers(sizes):
        if isinstance(seed, SeedGenerator):
            source = seed.source()
        else:
            source = generator() if seed is None else seeded(int(seed), "function")
        return np.asarray(draw(source, sizes), of_python(dtype) or floatx())

    if None in shape:
        noise = Noise.of_shape(shape, numbers)
        return noise if whose is None else noise.beside(whose)
    sizes = tuple(int(n) for n in shape)
    note_count(sizes)
    found = Recorded(numbers(sizes))
    found.has_gradient = False
    return found


def _mean_of(formula):
    return lambda target, output, *args, **options: np.mean(formula(target, output, *args, **options), axis=-1)


def _smoothed(target, output, label_smoothing, classes):
    target = target if hasattr(target, "astype") else np.asarray(target)
    return (
        target.astype(output.dtype) * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else target
    )


def _binary(target, output, from_logits=False, label_smoothing=0.0, axis=-1):
    target = _smoothed(target, output, label_smoothing, 2)
    return np.mean(_binary_elements(target, output, from_logits), axis=axis)


def _categorical(target, output, from_logits=False, label_smoothing=0.0, axis=-1):
    target = _smoothed(target, output, label_smoothing, output.shape[axis])
    return _categorical_rows(target, output, from_logits, axis)


_binary_elements = looking_behind(_crossentropies.binary_crossentropy, "binary")
_categorical_rows = looking_behind(_crossentropies.categorical_crossentropy, "categorical")

FORMULAS: dict[str, Callable[..., Any]] = {
    "binary_crossentropy": _binary,  # keras.losses's, whose further arguments are others than those of keras.ops
    "categorical_crossentropy": _categorical,
    "mean_squared_error": _mean_of(lambda a, b: np.square(a - b)),
    "mean_absolute_error": _mean_of(lambda a, b: np.abs(a - b)),
}
FORMULAS |= {"mse": FORMULAS["mean_squared_error"], "mae": FORMULAS["mean_absolute_error"]}
FORMULAS |= {"MSE": FORMULAS["mse"], "MAE": FORMULAS["mae"]}
"""Keras's functions of losses, as they are differentiated."""


def _floats(y_pred):
    """Predictions as an array of floats: as they are if they are one, which may remember what gave it."""
    y_pred = y_pred if isinstance(y_pred, np.ndarray) else real_array(y_pred, "y_pred")
    return y_pred if y_pred.dtype.kind == "f" else y_pred.astype(floatx())


def of_anything(name: str, on_arrays: Any, module: str) -> Callable[..., Any]:
    """A loss function, of arrays, of recorded arrays, or of a model's tensors.

    Parameters
    ----------
    name : str
        Of `FORMULAS`.
    on_arrays : callable
        The function of arrays, whose other attributes the result has.
    module : str
        Where it is found by its name.
    """
    return _LossFunction(name, on_arrays, module)


class _LossFunction:
    """A loss function that also takes what has no values yet."""

    def __init__(self, name, on_arrays, module):
        self.__name__, self.__doc__, self.__module__ = name, on_arrays.__doc__, module
        self._on_arrays = on_arrays

    def __reduce__(self) -> str:
        """Copies and pickles are the function itself."""
        return self.__name__

    def __getattr__(self, name):
        if name == "_on_arrays":
            raise AttributeError(name)
        return getattr(self._on_arrays, name)

    def __call__(self, y_true: Any, y_pred: Any, *args: Any, **options: Any) -> Any:
        formula, y_true, y_pred = FORMULAS[self.__name__], met(y_true), met(y_pred)
        if isinstance(y_true, Recorded) or isinstance(y_pred, Recorded):
            return formula(y_true, y_pred, *args, **options)
        if isinstance(y_true, Tensor) and isinstance(y_pred, Tensor):
            return Computed(lambda a, b: formula(a, b, *args, **options))([y_true, y_pred])
        if isinstance(y_true, Tensor) or isinstance(y_pred, Tensor):  # and the other an array, of so many samples
            given = [x if isinstance(x, Tensor) else np.asarray(x) for x in (y_true, y_pred)]
            return LATER[0](lambda values: formula(*map(values.of, given), *args, **options), tensors_in(given, {}))
        if (later := applied(self, (y_true, y_pred, *args), options)) is not None:
            return later
        if "crossentropy" in self.__name__ and (args[2] if args[2:] else options.get("axis", -1)) != -1:
            return eager(formula(np.asarray(y_true), _floats(y_pred), *args, **options))
        return self._on_arrays(y_true, y_pred, *args, **options)
