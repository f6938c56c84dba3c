"""What ``from_generator`` reads, and what it is told of its elements: dtypes, and shapes that are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.checks import plain
from minicnn.data.elements import Element, as_array, map_leaves, numbers_of
from minicnn.dtype_policies import of_python
from minicnn.errors import DataError
from minicnn.own_parts import check_takes


def generated(generator: Any, args: Any) -> Callable[[], Iterator[Element]]:
    """A function that begins a pass over what ``generator(*args)`` gives, as it gives it.

    Raises
    ------
    TypeError
        If it is no function of these arguments; when a pass begins, if it gives no iterable.
    """
    if not callable(generator):
        name = type(generator).__name__
        raise TypeError(
            "from_generator takes a function that makes a generator, as each pass needs a new one. "
            f"Received: {name}; wrap it: lambda: {name}(…)"
        )
    given = () if args is None else plain(args)
    if not isinstance(given, tuple | list):
        raise TypeError(f"args is a tuple of the function's arguments. Received: args={args!r}")
    given = [numbers_of(each) for each in given]  # of which text is bytes, as tf.data hands it over
    check_takes(generator, "the function of from_generator", *(f"args[{i}]" for i in range(len(given))))

    def elements():
        made = generator(*given)
        try:
            steps = iter(made)  # which takes an object that only has `__getitem__`, too
        except TypeError:
            raise TypeError(
                "the function of from_generator gives the elements one after the other: write yield, or return a "
                f"list. Received: {made!r}"
            ) from None
        return steps

    return elements


def as_told(
    elements: Callable[[], Iterator[Any]], signature: Any, types: Any, shapes: Any
) -> Callable[[], Iterator[Element]]:
    """A function that begins a pass over the elements as the arguments of `from_generator` describe them.

    Parameters
    ----------
    elements : callable
    signature : TensorSpec, or tuple or dictionary of them, optional
    types, shapes : optional
        The same apart.

    Raises
    ------
    DataError
        When somebody iterates, if an element has another structure or shape.
    """
    told = _described(types, shapes) if signature is None else _specs(signature)
    if told is None:
        return lambda: (map_leaves(_own, element) for element in elements())
    return lambda: (_fitted(element, told) for element in elements())


def _own(leaf):
    """A copy: generators fill one array again and again."""
    if isinstance(leaf, list):
        return [_own(part) for part in leaf]
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _specs(signature):
    """The signature with a list [dtype, shape] for each leaf."""
    if isinstance(signature, dict):
        return {name: _specs(part) for name, part in signature.items()}
    if hasattr(signature, "dtype"):
        return [signature.dtype, signature.shape]
    if isinstance(signature, tuple | list):
        return tuple(map(_specs, signature))
    raise TypeError(f"output_signature is made of TensorSpec(shape, dtype). Received: {signature!r}")


def _described(types, shapes):
    """The same of types and shapes; None if there are none."""
    if types is None:
        return None
    if isinstance(types, dict):
        return {name: _described(part, None if shapes is None else shapes[name]) for name, part in types.items()}
    if isinstance(types, tuple | list):
        each = shapes if isinstance(shapes, tuple | list) else [None] * len(types)
        return tuple(_described(*pair) for pair in zip(types, each, strict=True))
    return [types, shapes]


def _fitted(element, told):
    if isinstance(told, list):
        return _leaf(element, *told)
    is_dict = isinstance(told, dict)
    has_form = isinstance(element, dict) and element.keys() == told.keys() if is_dict else _is_row(element, len(told))
    if not has_form:
        form = sorted(told) if is_dict else f"a tuple of {len(told)}"
        raise DataError(
            f"the generator gives what it was told: {form}. Received: an element of type "
            f"{type(element).__name__}{f' of {len(element)}' if hasattr(element, '__len__') else ''}"
        )
    if is_dict:
        return {name: _fitted(element[name], part) for name, part in told.items()}
    return tuple(_fitted(part, each) for part, each in zip(element, told, strict=True))


def _is_row(element, count):
    is_row = isinstance(element, tuple | list) or (isinstance(element, np.ndarray) and element.ndim > 0)
    return is_row and len(element) == count


def _leaf(value, dtype, shape):
    try:
        array = as_array(_own(value))
    except ValueError:
        raise DataError(
            f"the generator gives one array, as it was told. Received: an element of type {type(value).__name__}"
        ) from None
    wanted = np.dtype(of_python(dtype))
    if (wanted.kind in "OSU") != (array.dtype.kind in "OSU"):
        raise DataError(f"the generator gives numbers of {wanted}, as it was told. Received: dtype {array.dtype}")
    is_open = getattr(shape, "rank", shape) is None  # a shape of TensorFlow's of any number of axes has no sizes
    sizes = None if is_open else tuple(getattr(shape, "as_list", lambda: shape)())
    if sizes is not None and not _fits(array.shape, sizes):
        raise DataError(f"the generator gives arrays of shape {sizes}, as it was told. Received: shape {array.shape}")
    return array if wanted.kind in "OSU" else array.astype(wanted, copy=False)


def _fits(shape, sizes):
    return len(shape) == len(sizes) and all(size in (None, n) for n, size in zip(shape, sizes, strict=True))
