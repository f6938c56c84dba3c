"""Choices and loops of ``keras.ops``: of numbers they are Python's own, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras._as_tensor import as_tensor
from minicnn.nested import leaves, mapped, packed


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """What the first function gives if `pred` is true, else what the second does."""
    return true_fn() if bool(value_of(pred)) else false_fn()


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[int, Any], Any], init_val: Any) -> Any:
    """The value after ``body_fun(number, value)`` has changed it, for each number from `lower` to below `upper`."""
    for number in range(int(lower), int(upper)):
        init_val = body_fun(number, init_val)
    return _as_tensors(init_val)


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: Any = None
) -> Any:
    """The variables after `body` has changed them, again and again, as long as `cond` of them is true.

    Parameters
    ----------
    cond, body : callable
        Of the variables; `body` gives as many.
    loop_vars : tuple or list, or one variable
    maximum_iterations : int, optional
    """
    are_several, made = isinstance(loop_vars, list | tuple), 0
    values = tuple(loop_vars) if are_several else (loop_vars,)
    while bool(value_of(cond(*values))) and (maximum_iterations is None or made < maximum_iterations):
        new = body(*values)
        values, made = tuple(new) if are_several and isinstance(new, list | tuple) else (new,), made + 1
    values = _as_tensors(values)
    return values if are_several else values[0]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> tuple[Any, Any]:
    """What is carried to the end, and what `f` made on the way, along a new first axis.

    Parameters
    ----------
    f : callable
        ``f(carried, part)`` gives what is carried on, and what is kept.
    init : array, or nested arrays
        What is carried at first.
    xs : array, or nested arrays of one length, optional
        Their parts along the first axis are what `f` gets, one after the other; None without them.
    length : int, optional
        How many there are, where there is no `xs`.
    reverse : bool, default False
        Whether to begin with the last part; what is kept stands where its part does.
    unroll : optional
        Not used.

    Raises
    ------
    ValueError
        Without `xs` and `length`, or for a `length` that is not that of `xs`.
    """
    if xs is None and length is None:
        raise ValueError("scan needs xs=, whose parts it takes, or how many steps there are. Received: length=None")
    xs = None if xs is None else mapped(as_tensor, xs)
    count = int(length) if xs is None else len(leaves(xs)[0])  # type: ignore[arg-type]
    if length not in (None, count):
        raise ValueError(f"length= is that of xs along its first axis, {count}. Received: length={length}")
    carried, kept = mapped(as_tensor, init), [None] * count
    nothing = mapped(lambda x: np.zeros((count, *x.shape), x.dtype), carried)
    for at in reversed(range(count)) if reverse else range(count):
        part = None if xs is None else mapped(lambda x, at=at: x[at], xs)
        carried, kept[at] = f(carried, part)
    is_kept = any(part is not None for part in kept)
    return _as_tensors(carried), _along_a_new_axis(kept) if is_kept else nothing  # zeros, as Keras has it


def associative_scan(f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """For each part along the axis what `f` makes of it and all before, f(f(first, second), third) and so on.

    Parameters
    ----------
    f : callable
        ``f(before, part)``, for which it makes no difference which pair is taken first.
    elems : array, or nested arrays of one length
    reverse : bool, default False
        Whether those after a part count in place of those before.
    axis : int, default 0
    """
    moved = mapped(lambda x: np.moveaxis(as_tensor(x), axis, 0), elems)
    count = len(leaves(moved)[0])
    order = range(count)[::-1] if reverse else range(count)
    made: list[Any] = [None] * count
    for number, at in enumerate(order):
        part = mapped(lambda x, at=at: x[at], moved)
        made[at] = part if number == 0 else f(made[order[number - 1]], part)
    return mapped(lambda x: np.moveaxis(x, 0, axis), _along_a_new_axis(made))


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """What a function makes of each part along the first axis, together; of nested arrays all have such parts."""
    is_of_numbers = any(not np.shape(value_of(leaf)) for leaf in leaves(elements))
    arrays = as_tensor(elements) if is_of_numbers else mapped(as_tensor, elements)
    count = len(leaves(arrays)[0])
    return _along_a_new_axis([function(mapped(lambda x, at=at: x[at], arrays)) for at in range(count)])


def _as_tensors(values: Any) -> Any:
    """Plain numbers as arrays; anything else as it is."""
    return mapped(lambda x: as_tensor(x) if isinstance(x, bool | int | float | np.generic) else x, values)


def _along_a_new_axis(parts: Sequence[Any]) -> Any:
    """Nested arrays, each of those of all parts."""
    rows = zip(*map(leaves, parts), strict=True)
    return packed(parts[0], [np.stack([as_tensor(x) for x in row]) for row in rows])


LOOPS: tuple[Callable[..., Any], ...] = (*(associative_scan, cond, fori_loop, scan, vectorized_map, while_loop),)
"""What `FURTHER` has of this."""
