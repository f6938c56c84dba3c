"""What has no value yet, in functions of NumPy and with operators: it says what becomes of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._open_looks import note_look
from minicnn.layers.added_loss import BatchScalar


class Deferred:
    """Base of such values: operators, and NumPy's functions of them, are handed to `apply`.

    Attributes
    ----------
    meets_tensors : bool
        Whether a layer may be made of it and of a model's tensors.
    """

    meets_tensors: bool = False

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.apply(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return self.apply(function, args, kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Raise TypeError, as NumPy would make an array of the object itself, and compute with that."""
        raise TypeError(
            "this function needs the numbers of an array, and there are none before a model runs: operators, NumPy's "
            f"functions and those of keras.ops say what becomes of them. Received: {self!r}"
        )

    __iter__ = None  # by __getitem__ it would have no end

    def __getitem__(self, key: Any) -> Any:
        return self.apply(operator.getitem, (self, key), {})

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What ``function(*args, **kwargs)`` is, of which one argument, or one in a list, is this value.

        Parameters
        ----------
        function : callable
            Of arrays.
        args : sequence
        kwargs : dict
        """
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise TypeError(
            "what is computed when there are numbers decides no if: tf.where and keras.ops.maximum choose among such "
            f"numbers. Received: {self!r}"
        )

    def refuse_layer(self) -> None:
        """Raise the error for a layer that is called on it."""
        raise TypeError(
            "a layer takes tensors of a model; a gradient, a part that chooses among samples (x[0]), and what is "
            "computed over the samples (mean(x, axis=0)) are for add_loss and K.function alone: a part that keeps "
            "them is x[:, 0], and a layer that sees them all is Lambda(lambda t: t - keras.ops.mean(t, axis=0)). "
            f"Received: {type(self).__name__}"
        )


# ``LATER[0](compute, needs)`` is what a function of `keras.backend.function` is to compute: its `Later`.
LATER: list[Callable[..., Any]] = []


def tensors_in(args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors of a model among arguments, and in lists of them, each once."""
    return list(dict.fromkeys(part for part in parts_of((*args, *kwargs.values())) if isinstance(part, Tensor)))


def with_parts(function: Callable[..., Any], args: Any, kwargs: Any, put: Callable[[Any], Any]) -> Any:
    """``function(*args, **kwargs)`` with ``put(part)`` in the place of each argument and of each in lists of them."""

    def within(part):
        if hasattr(part, "_fields"):
            return type(part)(*map(within, part))
        return type(part)(map(within, part)) if isinstance(part, list | tuple) else put(part)

    return function(*map(within, args), **{name: within(part) for name, part in kwargs.items()})


def parts_of(values: Sequence[Any]) -> Iterator[Any]:
    """What is in lists, and in lists of them."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from parts_of(value)
        else:
            yield value


def applied(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The function of these arguments, if a `Deferred` is among them, or, outside of a `call`, a mean or sum over all
    samples; None otherwise.

    Parameters
    ----------
    function : callable
        Of arrays.
    args : sequence
    kwargs : dict
    """
    parts = list(parts_of((*args, *kwargs.values())))
    found = next((part for part in parts if isinstance(part, Deferred)), None)
    if found is None and any(isinstance(part, MeanOrSum) for part in parts) and not _is_traced():
        return later(function, args, kwargs)
    return None if found is None else found.apply(function, args, kwargs)


def _is_traced():
    return import_module("minicnn.keras._operation_marks").is_traced()  # which is made of this module


def _binary(function, reflected):
    def operate(own, other):
        if own.meets_tensors and isinstance(other, BatchScalar):  # which knows what it may be multiplied with
            return NotImplemented
        return own.apply(function, (other, own) if reflected else (own, other), {})

    return operate


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(Deferred, f"__{_name}__", _binary(getattr(operator, _name), False))
    setattr(Deferred, f"__r{_name}__", _binary(getattr(operator, _name), True))
Deferred.__neg__ = lambda own: own.apply(operator.neg, (own,), {})  # type: ignore[attr-defined]


class MeanOrSum(BatchScalar):
    """A mean or sum over all samples; what operators make of it, and is no part of a loss, is for K.function."""


def later(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The function of these arguments once they have values."""
    import_module("minicnn.keras.backend")  # which is made of this module, and says there what is `LATER`
    return LATER[0](lambda values: None, ()).apply(function, args, kwargs)


class SizesOf(tuple):
    """The shape of a model's tensor, with None for the batch, which knows of what it is.

    Parameters
    ----------
    sizes : iterable of int or None
    tensor : Tensor, optional
        None: of what it is got lost.
    """

    def __new__(cls, sizes: Iterable[int | None], tensor: Tensor | None = None) -> SizesOf:
        made = super().__new__(cls, sizes)
        note_look(made[1:])
        made.tensor = tensor
        return made

    tensor: Tensor | None

    def __reduce__(self) -> tuple[type, tuple[list[int | None]]]:
        return tuple, (list(self),)


def sizes_of_batch(sizes: Any, dtype: Any) -> Any:
    """The numbers of a shape with None, once there are samples.

    Raises
    ------
    TypeError
        For sizes of which it is not known whose they are.
    """
    if not isinstance(sizes, SizesOf) or sizes.tensor is None:
        raise TypeError(
            "the number of samples is known when there are some: K.cast(K.shape(x), dtype) of all sizes of a model's "
            f"tensor is for K.function and K.gradients, and a mean for a loss. Received: {sizes}"
        )
    return later(lambda x: np.asarray(np.shape(x), dtype), (sizes.tensor,), {})


def _of_scalar(name, reflected):
    """An operator that stays a part of a loss where it can be one."""
    function, of_core = getattr(operator, name), getattr(BatchScalar, f"__{'r' * reflected}{name}__")

    def operate(own, *other):
        try:
            made = of_core(own, *other)
        except TypeError:
            return later(function, (*other, own) if reflected else (own, *other), {})
        return MeanOrSum(made.tensor, made.reduction)

    return operate


def _compared(function):
    return lambda own, other: NotImplemented if _is_traced() else later(function, (own, other), {})


for _name in ("add", "sub", "mul", "truediv"):
    setattr(MeanOrSum, f"__{_name}__", _of_scalar(_name, False))
    setattr(MeanOrSum, f"__r{_name}__", _of_scalar(_name, True))
MeanOrSum.__neg__ = _of_scalar("neg", False)  # type: ignore[method-assign]
MeanOrSum.__pow__ = _of_scalar("pow", False)  # type: ignore[assignment]
for _class in (MeanOrSum, Deferred):
    for _name in ("gt", "ge", "lt", "le"):
        setattr(_class, f"__{_name}__", _compared(getattr(operator, _name)))
