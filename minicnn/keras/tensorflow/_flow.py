"""What TensorFlow's graphs need for choices and loops: here they are Python's own, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.data.elements import map_leaves
from minicnn.differentiation import Recorded, value_of
from minicnn.keras._operations import entering
from minicnn.keras.tensorflow._functions import as_tensor, of_tensorflow
from minicnn.nested import leaves, packed

__all__ = ["Module", "TensorArray", "case", "cond", "errors", "group", "identity_n", "nest", "scan"]
__all__ += ["dtypes", "scatter_nd", "searchsorted", "switch_case", "tensor_scatter_nd_add", "tensor_scatter_nd_update"]
__all__ += ["histogram_fixed_width", "while_loop"]


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any] | None = None, name: Any = None) -> Any:
    """What the first function gives if `pred` is true, else what the second does."""
    if bool(value_of(pred)):
        return true_fn()
    return None if false_fn is None else false_fn()


def case(pred_fn_pairs: Any, default: Callable[[], Any] | None = None, **options: Any) -> Any:
    """What the function beside the first true value gives."""
    for pred, function in pred_fn_pairs:
        if bool(value_of(pred)):
            return function()
    if default is None:
        raise ValueError("none of the values is true, and there is no default. Received: default=None")
    return default()


def switch_case(branch_index: Any, branch_fns: Any, default: Callable[[], Any] | None = None, name: Any = None) -> Any:
    """What the function of this number gives; `default`, or the last one, for a number that has none."""
    functions = dict(branch_fns if isinstance(branch_fns, dict) else enumerate(branch_fns))
    last = functions[max(functions)] if default is None else default
    return functions.get(int(value_of(branch_index)), last)()


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: Any = None, **options: Any
) -> Any:
    """The variables after `body` has changed them, again and again, as long as `cond` of them is true."""
    made = 0
    while bool(value_of(cond(*loop_vars))) and (maximum_iterations is None or made < int(maximum_iterations)):
        new = body(*loop_vars)
        loop_vars = type(loop_vars)(new) if isinstance(new, list | tuple) else type(loop_vars)([new])
        made += 1
    return loop_vars


def scan(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, **options: Any) -> Any:
    """What a function makes of what it made before and each part along the first axis, one after the other."""
    parts = list(elems)
    state, parts = (parts[0], parts[1:]) if initializer is None else (initializer, parts)
    made = [state] if initializer is None else []
    for part in parts:
        state = fn(state, part)
        made.append(state)
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

    def __init__(self, dtype: Any = None, size: Any = 0, dynamic_size: Any = None, **options: Any) -> None:
        self.dtype = dtype
        self._parts: list[Any] = [None] * int(size)

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """Itself, with the value at a place."""
        self._parts += [None] * (int(index) + 1 - len(self._parts))
        self._parts[int(index)] = value
        return self

    def read(self, index: Any, name: str | None = None) -> Any:
        """The value at a place."""
        return self._parts[int(index)]

    def size(self, name: str | None = None) -> Any:
        """How many places there are."""
        return as_tensor(len(self._parts))

    def stack(self, name: str | None = None) -> Any:
        """All values along a new first axis."""
        return of_tensorflow(np.stack([as_tensor(part, self.dtype) for part in self._parts]))

    def concat(self, name: str | None = None) -> Any:
        """All values one after the other along their first axis."""
        return of_tensorflow(np.concatenate([as_tensor(part, self.dtype) for part in self._parts]))

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """Itself, with the parts of an array along its first axis."""
        self._parts = list(value)
        return self


class Module:
    """What holds variables and models: its attributes' weights are its own."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__.lower()

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


nest = SimpleNamespace(
    flatten=leaves,
    is_nested=lambda structure: isinstance(structure, list | tuple | dict),
    map_structure=map_leaves,
    pack_sequence_as=packed,
)


def _raised(name: str, base: type[Exception]) -> type[Exception]:
    return type(name, (base,), {"__doc__": "As of TensorFlow; minicnn's own errors are Python's."})


errors = SimpleNamespace(
    InvalidArgumentError=ValueError,
    NotFoundError=FileNotFoundError,
    OutOfRangeError=StopIteration,
    ResourceExhaustedError=MemoryError,
    OpError=RuntimeError,
    UnimplementedError=NotImplementedError,
    FailedPreconditionError=_raised("FailedPreconditionError", RuntimeError),
    InternalError=_raised("InternalError", RuntimeError),
)
dtypes = SimpleNamespace(as_dtype=np.dtype, DType=np.dtype)


# --------------------------------------------------------------------------------------------------------- arrays


def _places(indices: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.moveaxis(np.asarray(value_of(indices)), -1, 0))


@entering
def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Any:
    """Zeros of a shape, and what is added at places, each given by its last axis."""
    zeros = np.zeros(tuple(int(n) for n in np.asarray(shape)), np.asarray(value_of(updates)).dtype)
    return tensor_scatter_nd_add(zeros, indices, updates)


@entering
def tensor_scatter_nd_add(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
    """The array, with what is added at places."""
    places, base = _places(indices), np.asarray(value_of(tensor))
    made = base.copy()
    np.add.at(made, places, value_of(updates))
    parents = [(tensor, lambda g: g), (updates, lambda g: g[places])]
    kept = [(x, back) for x, back in parents if isinstance(x, Recorded)]
    return Recorded(made, kept) if kept else of_tensorflow(made)


@entering
def tensor_scatter_nd_update(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
    """The array, with other numbers at places."""
    places, base = _places(indices), np.asarray(value_of(tensor))
    made, others = base.copy(), np.ones_like(base)
    made[places], others[places] = value_of(updates), 0
    parents = [(tensor, lambda g: g * others), (updates, lambda g: g[places])]
    kept = [(x, back) for x, back in parents if isinstance(x, Recorded)]
    return Recorded(made, kept) if kept else of_tensorflow(made)


@entering
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = "int32") -> Any:
    """Where each value would stand in a row of numbers that grow."""
    return of_tensorflow(np.searchsorted(np.asarray(sorted_sequence), np.asarray(values), side).astype(out_type))


@entering
def histogram_fixed_width(values: Any, value_range: Any, nbins: int = 100, dtype: Any = "int32") -> Any:
    """How many numbers fall into each of equal parts of a range; those outside into the first and the last."""
    low, high = (float(n) for n in value_range)
    at = np.floor((np.asarray(value_of(values), np.float64) - low) / (high - low) * int(nbins))
    counts = np.bincount(np.clip(at, 0, int(nbins) - 1).astype(int).ravel(), minlength=int(nbins))
    return of_tensorflow(counts.astype(dtype))
