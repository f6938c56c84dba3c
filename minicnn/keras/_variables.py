"""Weights as variables that one computes with, and variables that belong to no layer: ``tf.Variable``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minicnn import initializers
from minicnn.data.elements import EagerArray, as_array
from minicnn.differentiation import Recorded, met, value_of
from minicnn.dtype_policies import of_python
from minicnn.keras._dtypes import narrowed
from minicnn.keras._kept_kinds import keep_kind
from minicnn.keras._operators import after_an_array, is_after_an_array
from minicnn.keras._own_weights import WholeNumbers
from minicnn.keras._taped import is_recording, is_weight_in_graph, weight_on_tape
from minicnn.layers.names import unique_name
from minicnn.parameters import Weight
from minicnn.settings import floatx
from minicnn.user_warnings import brief


class _Value(EagerArray):
    """The array of a variable: what `variable.value` is in Keras, and `variable.value()` in TensorFlow."""

    def __call__(self) -> EagerArray:
        return np.array(self).view(EagerArray)


class _Part(EagerArray):
    """What stands at some places of a variable, which can be assigned to: ``v[1:3].assign(…)``."""

    places: tuple[Variable, Any] | None = None  # where it was taken from; of what is computed of it, None

    def assign(self, value: Any, *args: Any, **options: Any) -> Variable:
        """The variable, with other numbers at these places."""
        if self.places is None:
            raise TypeError("numbers are assigned to variables, and to parts of them. Received: a result of some")
        variable, key = self.places
        made = variable.numpy().copy()
        made[key] = value_of(met(value))
        return variable.assign(made)

    def assign_add(self, delta: Any, *args: Any, **options: Any) -> Variable:
        """The variable, with more at these places."""
        return self.assign(np.asarray(self) + value_of(met(delta)))

    def assign_sub(self, delta: Any, *args: Any, **options: Any) -> Variable:
        """The variable, with less at these places."""
        return self.assign(np.asarray(self) - value_of(met(delta)))


class IndexedSlices(NamedTuple):
    """Rows of a variable, and which they are: ``tf.IndexedSlices``."""

    values: Any
    indices: Any
    dense_shape: Any = None


class Variable(Weight):
    """Numbers that can be assigned to, and that a tape watches: a weight that belongs to no layer.

    Parameters
    ----------
    initial_value : array-like, str or callable
        The first numbers; with `shape`, an initializer.
    trainable : bool, default True
    name : str, optional
    dtype : optional
        Default: that of an array; float32 or int32 of numbers.
    shape : sequence of int, optional
    **options
        TensorFlow's and Keras's further arguments, which change nothing.
    """

    name: str
    layer: Any
    whole_dtype: np.dtype[Any]
    has_gradient: bool
    value: np.ndarray
    keeps_kinds: bool = True  # whether 2.5 is no integer, as in TensorFlow; Keras's variable cuts it off

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
        shape: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        given = options.get("initializer", initial_value)
        if (isinstance(given, str) or callable(given)) and shape is not None:
            given = np.asarray(initializers.get(given)(tuple(shape), floatx()))
        elif callable(given) and not isinstance(given, np.ndarray):
            given = given()
        if given is None:
            raise ValueError("a Variable needs its first numbers, tf.Variable(0.0). Received: initial_value=None")
        if self.keeps_kinds:
            keep_kind(given, dtype)
        array = _first(given, dtype, shape)
        name = unique_name("Variable") if name is None else name
        super().__init__(SimpleNamespace(name=name, trainable=True), name, array.view(_Value), bool(trainable), None)

    @property
    def path(self) -> str:
        """Its name; that of a layer's attribute with the layer's before it."""
        return self.name if isinstance(self.layer, SimpleNamespace) else super().path

    def belongs_to(self, layer: Any, attribute: str) -> bool:
        """Make it a weight of a layer whose attribute it becomes, if it has a dtype for one and belongs to none.

        Whole numbers and bools stay such, as `WholeNumbers`; floats that are not trained get the dtype of models.

        Parameters
        ----------
        layer : Layer
        attribute : str
            Its name there, if the layer has a weight of the variable's own name already.

        Returns
        -------
        bool
            Whether it is one now.
        """
        weights = vars(layer).get("_weights")
        if weights is None or not isinstance(self.layer, SimpleNamespace) or not self._is_kept_among_floats():
            return False
        if any(weight is self for weight in weights.values()):
            return True
        names = [self.name, attribute, *(f"{attribute}_{number}" for number in range(1, len(weights) + 1))]
        self.name = next(name for name in names if name not in weights)
        self.layer, weights[self.name] = layer, self
        return True

    def _is_kept_among_floats(self):
        """Whether its array has the dtype of a model's weights, as that of numbers which are not trained gets."""
        dtype = self.value.dtype
        if dtype.kind in "biu" and type(self) in _OF_WHOLE_NUMBERS:
            self.__class__, self.whole_dtype, self.has_gradient = _OF_WHOLE_NUMBERS[type(self)], dtype, False
        elif dtype.kind != "f" or (self.trainable and dtype != floatx()):
            return False
        self.value = self.value.astype(floatx(), copy=False)
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has numbers of its own."""
        rest = {name: value for name, value in vars(self).items() if name != "value"}
        return _with_values, (Weight.numpy(self), type(self)), rest | {"store": None}

    def numpy(self) -> Any:
        """A copy of the values; of texts, as bytes."""
        return self.value.copy().numpy() if self.value.dtype.kind in "SUO" else super().numpy()

    def assign(self, value: Any, *args: Any, **options: Any) -> Variable:
        """Copy a value of the same shape into it."""
        value = value_of(met(value))
        if self.value.dtype.kind in "SUO" and np.shape(value) == self.shape:  # texts may be longer than those before
            self.value = np.array(as_array(value)).view(_Value)
        else:
            super().assign(value)
        return self

    def assign_add(self, delta: Any, *args: Any, **options: Any) -> Variable:
        """Add to it."""
        return self.assign(self.numpy() + value_of(met(delta)))

    def assign_sub(self, delta: Any, *args: Any, **options: Any) -> Variable:
        """Subtract from it."""
        return self.assign(self.numpy() - value_of(met(delta)))

    def __getitem__(self, key: Any) -> Any:
        """The numbers at some places, which can be assigned to."""
        key = met(key)
        made = _eager(self)[key]
        if isinstance(made, np.ndarray):
            made = made.view(_Part)
            made.places = self, key
        return made

    def _scattered(self, change: Callable[..., None], indices: Any, updates: Any) -> Variable:
        """The variable, with numbers changed at places, each of which is given by the last axis of `indices`."""
        made = self.numpy().copy()
        places = np.asarray(value_of(met(indices)))
        if (places < 0).any():
            raise IndexError(f"places lie from 0 on, in a variable of shape {self.shape}. Received: {places.tolist()}")
        change(made, tuple(np.moveaxis(places, -1, 0)), np.asarray(value_of(met(updates)), made.dtype))
        return self.assign(made)

    def scatter_nd_update(self, indices: Any, updates: Any, name: str | None = None) -> Variable:
        """Other numbers at places (…, axes): ``tf.tensor_scatter_nd_update`` of the variable itself."""
        return self._scattered(operator.setitem, indices, updates)

    def scatter_nd_add(self, indices: Any, updates: Any, name: str | None = None) -> Variable:
        """More at places (…, axes); one that stands there twice grows twice."""
        return self._scattered(np.add.at, indices, updates)

    def scatter_nd_sub(self, indices: Any, updates: Any, name: str | None = None) -> Variable:
        """Less at places (…, axes)."""
        return self._scattered(np.subtract.at, indices, updates)

    def scatter_update(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Variable:
        """Other rows: those of `tf.IndexedSlices`, its `values` (n, …) at its `indices` (n,)."""
        return self._scattered_rows(operator.setitem, sparse_delta)

    def scatter_add(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Variable:
        """More in rows; one that stands there twice grows twice."""
        return self._scattered_rows(np.add.at, sparse_delta)

    def scatter_sub(self, sparse_delta: Any, use_locking: bool = False, name: str | None = None) -> Variable:
        """Less in rows."""
        return self._scattered_rows(np.subtract.at, sparse_delta)

    def _scattered_rows(self, change: Callable[..., None], delta: Any) -> Variable:
        if not isinstance(delta, IndexedSlices):
            raise TypeError(f"expected tf.IndexedSlices(values, indices). Received: {brief(delta)}")
        return self._scattered(change, np.asarray(value_of(met(delta.indices)))[..., None], delta.values)

    def read_value(self) -> Any:
        """Its numbers now."""
        return weight_on_tape(self)

    def __eq__(self, other: object) -> Any:
        """Of another variable, whether it is the same; of numbers, which ones are."""
        return self is other if isinstance(other, Weight) else self.numpy() == value_of(other)

    __hash__ = Weight.__hash__

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    __index__ = __int__

    def __format__(self, spec: str) -> str:
        return format(self.numpy()[()], spec)

    def __repr__(self) -> str:
        return f"<Variable {self.name} {self.shape} {self.dtype}: {self.numpy()}>"


class KerasVariable(Variable):
    """``keras.Variable``: as `Variable`, with Keras's order of arguments, and the dtype of models for numbers.

    Parameters
    ----------
    initializer : array-like, str or callable
    shape : sequence of int, optional
    dtype : optional
        Default: float32 of any floats.
    trainable : bool, default True
    name : str, optional
    **options
        Keras's further arguments, which change nothing.
    """

    keeps_kinds = False

    def __init__(
        self,
        initializer: Any = None,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **options: Any,
    ) -> None:
        first = options.pop("initial_value", initializer)
        if isinstance(first, str) and shape is None:
            raise ValueError(f"an initializer needs the shape, Variable({first!r}, shape=(2, 3)). Received: shape=None")
        if dtype is None and getattr(first, "dtype", None) == np.float64:
            dtype = floatx()
        super().__init__(first, trainable, name, dtype, shape, **options)


class _Whole(Variable, WholeNumbers):
    """One of whole numbers or bools that belongs to a layer."""


class _KerasWhole(KerasVariable, WholeNumbers):
    """The same, of Keras's."""


_OF_WHOLE_NUMBERS = {Variable: _Whole, KerasVariable: _KerasWhole}


def _with_values(values, kind):
    made = kind.__new__(kind)
    made.value = np.array(values).view(_Value)
    return made


def _first(given, dtype, shape):
    """The first numbers of a variable, in an array of its own."""
    value = np.array(as_array(value_of(met(given))))
    if dtype is None and not hasattr(given, "dtype"):
        value = narrowed(value)
    value = value.astype(of_python(dtype) or value.dtype)
    return value if shape is None else np.array(np.broadcast_to(value, tuple(shape)))


# ------------------------------------------------------------------------------------- what weights can do besides


def _ufunc(weight, ufunc, method, *inputs, **kwargs):
    """NumPy's functions of numbers, and operators: of the values now, on the tapes that record."""
    if is_after_an_array(ufunc, method, inputs, kwargs) and isinstance(inputs[1], Weight):
        return after_an_array(ufunc, inputs[0], _eager(inputs[1]))
    made = getattr(ufunc, method)(*met(inputs), **kwargs)
    return (
        made if is_recording() or not isinstance(made, np.ndarray | np.generic) else np.asarray(made).view(EagerArray)
    )


def _function(weight, function, types, args, kwargs):
    """NumPy's other functions."""
    return function(*met(args), **{name: met(value) for name, value in kwargs.items()})


def _operator(function: Callable[..., Any], is_reflected: bool) -> Callable[..., Any]:
    if is_reflected:
        return lambda weight, other: function(met(other), _eager(weight))
    return lambda weight, other: function(_eager(weight), met(other))


def _eager(weight):
    value = weight_on_tape(weight)
    return value.view(EagerArray) if type(value) is np.ndarray else value


def _equal(weight, other):
    """Which of its numbers are those; a weight is the same as itself alone."""
    is_of_numbers = isinstance(other, int | float | np.ndarray | np.generic | Recorded)
    return np.asarray(weight.numpy() == value_of(met(other))).view(EagerArray) if is_of_numbers else NotImplemented


def _unequal(weight, other):
    same = weight.__eq__(other)
    return same if same is NotImplemented else np.logical_not(same)


def _freeze(weight, value):
    """A weight's ``trainable`` is its layer's, once it is made."""
    if bool(value) != weight.trainable:
        raise NotImplementedError(
            "weights of a layer are trained together, or none of them: set that of the layer, or give the optimizer "
            f"the others alone in a loop of yours. Received: trainable={value!r} for '{weight.path}'"
        )


_ADDED: dict[str, Any] = {
    "trainable": vars(Weight)["trainable"].setter(_freeze),
    "__eq__": _equal,
    "__ne__": _unequal,
    "__int__": lambda weight: int(weight.numpy()),
    "meets_tensors": property(is_weight_in_graph),
    "on_tape": weight_on_tape,
    "__array_ufunc__": _ufunc,
    "__array_function__": _function,
    "__getitem__": lambda weight, key: _eager(weight)[key],
    "__neg__": lambda weight: -_eager(weight),
    "__abs__": lambda weight: abs(_eager(weight)),
    "__float__": lambda weight: float(weight.numpy()),
    "__len__": lambda weight: len(weight.value),
    "__bool__": lambda weight: True,  # whatever its length
    "ndim": property(lambda weight: len(weight.shape)),
}
for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "mod", "floordiv"):
    _ADDED[f"__{_name}__"] = _operator(getattr(operator, _name), False)
    _ADDED[f"__r{_name}__"] = _operator(getattr(operator, _name), True)
for _name in ("lt", "le", "gt", "ge"):
    _ADDED[f"__{_name}__"] = _operator(getattr(operator, _name), False)
for _name, _value in _ADDED.items():
    setattr(Weight, _name, _value)
