"""What TensorFlow's graphs need for choices and loops: here they are Python's own, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from minicnn.data.elements import map_leaves
from minicnn.differentiation import Recorded, value_of
from minicnn.dtype_policies import of_python
from minicnn.errors import ShapeError
from minicnn.keras._names import Room
from minicnn.keras._operations import entering
from minicnn.keras.tensorflow._functions import as_tensor, cast, of_tensorflow, saturate_cast
from minicnn.layers.names import snake_case
from minicnn.nested import leaves, mapped, packed, paths

__all__ = ["Module", "TensorArray", "case", "cond", "errors", "group", "identity_n", "nest", "scan"]
__all__ += ["DType", "as_dtype"]
__all__ += ["dtypes", "scatter_nd", "searchsorted", "switch_case", "tensor_scatter_nd_add", "tensor_scatter_nd_update"]
__all__ += ["histogram_fixed_width", "while_loop"]


def cond(
    pred: Any,
    true_fn: Callable[[], Any],
    false_fn: Callable[[], Any] | None = None,
    name: str | None = None,
    strict: bool = False,
) -> Any:
    """What the first function gives if `pred` is true, else what the second does; `strict` is TensorFlow 1's."""
    if bool(value_of(pred)):
        return true_fn()
    return None if false_fn is None else false_fn()


def case(
    pred_fn_pairs: Any,
    default: Callable[[], Any] | None = None,
    exclusive: bool = False,
    strict: bool = False,
    name: str | None = None,
) -> Any:
    """What the function beside the first true value gives."""
    for pred, function in pred_fn_pairs:
        if bool(value_of(pred)):
            return function()
    if default is None:
        raise ValueError("none of the values is true, and there is no default. Received: default=None")
    return default()


def switch_case(branch_index: Any, branch_fns: Any, default: Callable[[], Any] | None = None, name: Any = None) -> Any:
    """What the function of this number gives; `default`, or the last one, for a number that has none."""
    is_numbered = isinstance(branch_fns, dict) or any(isinstance(each, list | tuple) for each in branch_fns)
    functions = dict(branch_fns if is_numbered else enumerate(branch_fns))
    last = functions[max(functions)] if default is None else default
    return functions.get(int(value_of(branch_index)), last)()


def _as_tensors(values: Any) -> Any:
    """Plain numbers as arrays; anything else as it is."""
    return mapped(lambda x: as_tensor(x) if isinstance(x, bool | int | float | np.generic) else x, values)


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    maximum_iterations: Any = None,
    name: str | None = None,
) -> Any:
    """The variables after `body` has changed them, again and again, as long as `cond` of them is true.

    Parameters
    ----------
    cond, body : callable
        Of the variables.
    loop_vars : list or tuple
    shape_invariants, parallel_iterations, back_prop, swap_memory : optional
        Not used.
    maximum_iterations : int, optional
    """
    made, loop_vars = 0, _as_tensors(loop_vars)
    while bool(value_of(cond(*loop_vars))) and (maximum_iterations is None or made < int(maximum_iterations)):
        new = body(*loop_vars)
        loop_vars = _as_tensors(type(loop_vars)(new) if isinstance(new, list | tuple) else type(loop_vars)([new]))
        made += 1
    return loop_vars


def scan(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """What a function makes of what it made before and each part along the first axis, one after the other.

    Parameters
    ----------
    fn : callable
        ``fn(before, part)``.
    elems : array, or nested arrays of one length
    initializer : optional
        What comes before the first part. Default: the first part.
    parallel_iterations, back_prop, swap_memory, infer_shape : optional
        Not used.
    reverse : bool, default False
        Whether to begin with the last part; the results stand where their parts do.
    """
    arrays = elems if isinstance(elems, dict | tuple) else as_tensor(elems)
    rows = range(len(leaves(arrays)[0]))
    parts = [mapped(lambda x, at=at: as_tensor(x)[at], arrays) for at in (reversed(rows) if reverse else rows)]
    state, parts = (parts[0], parts[1:]) if initializer is None else (initializer, parts)
    made = [state] if initializer is None else []
    for part in parts:
        state = fn(state, part)
        made.append(state)
    made = made[::-1] if reverse else made
    return map_leaves(lambda *each: of_tensorflow(np.stack([as_tensor(one) for one in each])), *made)


class TensorArray:
    """A list of arrays that `write` and `read` know by their numbers.

    Parameters
    ----------
    dtype : optional
        Of what `stack` gives.
    size : int, default 0
        May grow.
    """

    def __init__(
        self,
        dtype: Any = None,
        size: Any = 0,
        dynamic_size: Any = None,
        clear_after_read: Any = None,
        infer_shape: bool = True,
        element_shape: Any = None,
        name: str | None = None,
    ) -> None:
        self.dtype = dtype
        self._parts: list[Any] = [None] * int(size)

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """Itself, with the value at a place."""
        if int(index) < 0:
            raise IndexError(f"places are counted from 0. Received: index={int(index)}")
        self._parts += [None] * (int(index) + 1 - len(self._parts))
        self._parts[int(index)] = value
        return self

    def read(self, index: Any, name: str | None = None) -> Any:
        """The value at a place."""
        if not 0 <= int(index) < len(self._parts) or self._parts[int(index)] is None:
            raise IndexError(f"expected a place that was written to. Received: index={int(index)}")
        return self._parts[int(index)]

    def size(self, name: str | None = None) -> Any:
        """How many places there are."""
        return as_tensor(len(self._parts))

    def stack(self, name: str | None = None) -> Any:
        """All values along a new first axis."""
        return of_tensorflow(np.stack(self._filled()))

    def concat(self, name: str | None = None) -> Any:
        """All values one after the other along their first axis."""
        return of_tensorflow(np.concatenate(self._filled()))

    def _filled(self) -> list[Any]:
        """The values as arrays, and zeros where nothing was written."""
        written = [as_tensor(part, self.dtype) for part in self._parts if part is not None]
        if self._parts and not written:
            raise ValueError("expected values, of which the shape is known. Received: a TensorArray without any")
        values = iter(written)
        return [np.zeros_like(value_of(written[0])) if part is None else next(values) for part in self._parts]

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """Itself, with the parts of an array along its first axis."""
        self._parts = list(value)
        return self


class Module:
    """What holds variables and models: its attributes' weights are its own."""

    def __init__(self, name: str | None = None) -> None:
        self.name: str = name or snake_case(type(self).__name__)

    @property
    def name_scope(self) -> Any:
        """A context that changes nothing."""
        return nullcontext()

    @property
    def submodules(self) -> tuple[Any, ...]:
        """The modules, models and layers of the attributes, and those that these have, each once."""
        found: list[Any] = []
        for value in leaves(list(vars(self).values())):
            if isinstance(value, Module) or hasattr(value, "get_weights"):
                inner = [value, *getattr(value, "submodules", getattr(value, "layers", ()))]
                found += [each for each in inner if all(each is not other for other in found)]
        return tuple(found)

    @property
    def variables(self) -> tuple[Any, ...]:
        """Weights and variables of the attributes, each once."""
        found: list[Any] = []
        for value in leaves(list(vars(self).values())):
            own = getattr(value, "variables", None)
            own = [value] if own is None and hasattr(value, "assign") else own or []
            found += [v for v in own if all(v is not other for other in found)]
        return tuple(found)

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        """Those of them that are trained."""
        return tuple(v for v in self.variables if v.trainable)


def group(*inputs: Any, **options: Any) -> None:
    """Nothing: what is called has been done."""


def identity_n(input: Sequence[Any], name: str | None = None) -> list[Any]:
    """The same arrays."""
    return list(map(as_tensor, input))


def _map_structure(func: Callable[..., Any], *structure: Any, **options: Any) -> Any:
    """The structure of lists, tuples and dicts, with what `func` makes of the leaves at each place of all of them.

    Raises
    ------
    ValueError
        If their structures differ.
    """
    for other in structure[1:]:
        if paths(other) != paths(structure[0]):
            raise ValueError(
                "map_structure takes structures of one form: lists of the same lengths, dicts with the same keys. "
                f"Received: {structure[0]!r} and {other!r}"
            )
    return packed(structure[0], [func(*each) for each in zip(*map(leaves, structure), strict=True)])


nest = Room(
    "tf.nest",
    flatten=leaves,
    is_nested=lambda structure: isinstance(structure, list | tuple | dict),
    map_structure=_map_structure,
    pack_sequence_as=packed,
)


def _raised(name: str, base: type[Exception]) -> type[Exception]:
    return type(name, (base,), {"__doc__": "As of TensorFlow; minicnn's own errors are Python's."})


errors = Room(
    "tf.errors",
    InvalidArgumentError=ValueError,
    NotFoundError=FileNotFoundError,
    OutOfRangeError=StopIteration,
    ResourceExhaustedError=MemoryError,
    OpError=RuntimeError,
    UnimplementedError=NotImplementedError,
    FailedPreconditionError=_raised("FailedPreconditionError", RuntimeError),
    InternalError=_raised("InternalError", RuntimeError),
)
DType = np.dtype
_NAMED = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64")
_NAMED += ("uint8", "uint16", "uint32", "uint64")
_OTHERWISE = {"double": "float64", "half": "float16", "string": str}


def as_dtype(type_value: Any) -> np.dtype:
    """The dtype of a name, "string" too, or of NumPy's or Python's class of it."""
    return np.dtype(of_python(_OTHERWISE.get(type_value, type_value) if isinstance(type_value, str) else type_value))


dtypes = Room(
    "tf.dtypes",
    **{"as_dtype": as_dtype, "DType": DType, "cast": cast, "saturate_cast": saturate_cast},
    **{name: np.dtype(kind) for name, kind in _OTHERWISE.items()},
    **{name: np.dtype(name) for name in _NAMED},
)


# --------------------------------------------------------------------------------------------------------- arrays


def _places(indices: Any, shape: tuple[int, ...], updates: Any) -> tuple[np.ndarray, ...]:
    """Places in an array of this shape, along each of its first axes.

    Raises
    ------
    IndexError
        If one is not there.
    ShapeError
        If the updates are not one for each of them.
    """
    places = np.asarray(value_of(indices))
    expected = places.shape[:-1] + shape[places.shape[-1] :]
    if updates.shape != expected:
        raise ShapeError(f"these places take updates of shape {expected}. Received: shape {updates.shape}")
    if ((places < 0) | (places >= shape[: places.shape[-1]])).any():
        raise IndexError(f"places lie from 0 on, in an array of shape {shape}. Received: indices={places.tolist()}")
    return tuple(np.moveaxis(places, -1, 0))


def _updates_for(updates: Any, dtype: Any) -> Any:
    """Updates of the dtype of what they change."""
    made = as_tensor(updates)
    if (hasattr(updates, "dtype") and made.dtype != dtype) or made.dtype.kind == "f" != dtype.kind:
        raise TypeError(f"updates have the dtype of what they change, {dtype}. Received: {made.dtype}")
    return as_tensor(updates, dtype)


@entering
def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Any:
    """Zeros of a shape, and what is added at places, each given by its last axis."""
    updates = as_tensor(updates)
    zeros = np.zeros(tuple(int(n) for n in np.asarray(shape)), updates.dtype)
    return tensor_scatter_nd_add(zeros, indices, updates)


@entering
def tensor_scatter_nd_add(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
    """The array, with what is added at places."""
    tensor = as_tensor(tensor)
    base, updates = np.asarray(value_of(tensor)), _updates_for(updates, tensor.dtype)
    places, made = _places(indices, base.shape, updates), base.copy()
    np.add.at(made, places, value_of(updates))
    parents = [(tensor, lambda g: g), (updates, lambda g: g[places])]
    kept = [(x, back) for x, back in parents if isinstance(x, Recorded)]
    return Recorded(made, kept) if kept else of_tensorflow(made)


@entering
def tensor_scatter_nd_update(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
    """The array, with other numbers at places."""
    tensor = as_tensor(tensor)
    base, updates = np.asarray(value_of(tensor)), _updates_for(updates, tensor.dtype)
    places = _places(indices, base.shape, updates)
    made, others = base.copy(), np.ones_like(base)
    made[places], others[places] = value_of(updates), 0
    parents = [(tensor, lambda g: g * others), (updates, lambda g: g[places])]
    kept = [(x, back) for x, back in parents if isinstance(x, Recorded)]
    return Recorded(made, kept) if kept else of_tensorflow(made)


@entering
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = "int32") -> Any:
    """Where each value would stand in a row of numbers that grow; of several rows (…, N), values (…, M) in each."""
    rows, values = (np.asarray(value_of(each)) for each in (sorted_sequence, values))
    if rows.shape[:-1] != values.shape[:-1] and rows.ndim > 1:
        raise ShapeError(f"each row has values of its own. Received: shapes {rows.shape} and {values.shape}")
    each = [rows] if rows.ndim == 1 else rows.reshape(-1, rows.shape[-1])
    parts = values[None] if rows.ndim == 1 else values.reshape(len(each), -1)
    made = [np.searchsorted(row, part, side) for row, part in zip(each, parts, strict=True)]
    return of_tensorflow(np.reshape(made, values.shape).astype(out_type or "int32"))


@entering
def histogram_fixed_width(values: Any, value_range: Any, nbins: int = 100, dtype: Any = "int32") -> Any:
    """How many numbers fall into each of equal parts of a range; those outside into the first and the last."""
    low, high = (float(n) for n in value_range)
    at = np.floor((np.asarray(value_of(values), np.float64) - low) / (high - low) * int(nbins))
    counts = np.bincount(np.clip(at, 0, int(nbins) - 1).astype(int).ravel(), minlength=int(nbins))
    return of_tensorflow(counts.astype(dtype))
