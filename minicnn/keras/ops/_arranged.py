"""Functions of ``keras.ops`` that arrange numbers anew, or call a function of one's own for parts of an array."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, value_of
from minicnn.errors import ShapeError
from minicnn.keras import _data_format, _operations, _windows
from minicnn.keras._operations import is_symbolic
from minicnn.keras.ops._further import of_tensors_too
from minicnn.nested import leaves, mapped, packed
from minicnn.settings import floatx


@of_tensors_too
def _in_blocks(x: Any, block_size: int, data_format: str | None, arranged: Callable[..., Any]) -> Any:
    is_first = _data_format.or_current(data_format) == "channels_first"
    return _windows.with_channels_last(arranged, x, is_first, block_size)


def depth_to_space(x: Any, block_size: int, data_format: str | None = "channels_last") -> Any:
    """Channels as squares of pixels: (N, H, W, C) → (N, H · block, W · block, C / block²)."""
    return _in_blocks(x, block_size, data_format, _windows.channels_to_blocks)


def space_to_depth(x: Any, block_size: int, data_format: str | None = "channels_last") -> Any:
    """Squares of pixels as channels: (N, H, W, C) → (N, H / block, W / block, C · block²)."""
    return _in_blocks(x, block_size, data_format, _windows.blocks_to_channels)


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """Axes in another order, taken apart and joined, as einops writes it: "b (h p) w c -> b h w (p c)", p=2.

    Raises
    ------
    ShapeError
        Where the pattern is of other axes, or a size is no product of what it is taken apart into.
    """
    return _rearranged(tensor, pattern, dict(axes_lengths))


@of_tensors_too
def _rearranged(x: Any, pattern: str, lengths: dict[str, int]) -> Any:
    before, _, after = (part.strip() for part in pattern.partition("->"))
    given, asked = _groups(before), _groups(after)
    shape = np.shape(value_of(x))
    names = [name for group in given for name in group]
    if sorted(names) != sorted(name for group in asked for name in group) or len(given) != len(shape):
        raise ShapeError(
            f"a pattern has each axis of the array on its left, and the same names on its right. Received: {pattern!r} "
            f"for shape {shape}"
        )
    sizes = {name: size for group, n in zip(given, shape, strict=True) for name, size in _sizes(group, n, lengths)}
    cut = np.reshape(x, tuple(sizes[name] for name in names))
    turned = np.transpose(cut, tuple(names.index(name) for group in asked for name in group))
    return np.reshape(turned, tuple(math.prod(sizes[name] for name in group) for group in asked))


def _groups(side: str) -> list[list[str]]:
    return [part.strip("()").split() for part in re.findall(r"\(.*?\)|\w+", side)]


def _sizes(group, total, lengths):
    """Each name of an axis that is taken apart, with its length; one of them may be left open."""
    known = math.prod(lengths[name] for name in group if name in lengths)
    is_open = [name for name in group if name not in lengths]
    if len(is_open) > 1 or total % known or (not is_open and known != total):
        raise ShapeError(
            f"an axis of {total} is taken apart into lengths whose product it is, all but one of which are given. "
            f"Received: {' '.join(group)} with {lengths}"
        )
    return [(name, lengths.get(name, total // known)) for name in group]


def get_item(x: Any, key: Any) -> Any:
    """``x[key]``."""
    return x[key]


def cdist(x: Any, y: Any) -> Any:
    """Euclidean distances of the rows of two arrays, (…, N, D) and (…, M, D) → (…, N, M)."""
    apart = np.expand_dims(x, -2) - np.expand_dims(y, -3)
    squares = np.sum(apart * apart, axis=-1)
    return np.where(value_of(squares) > 0, np.sqrt(np.where(value_of(squares) > 0, squares, 1.0)), 0.0)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """What a function makes of each part along the first axis, together; arrays may be nested, and so its results."""
    made = [f(part) for part in _parts(xs)]
    columns = zip(*(leaves(each) for each in made), strict=True)
    return packed(made[0], [np.stack(column) for column in columns])


def _parts(xs):
    count = np.shape(value_of(leaves(xs)[0]))[0]
    return [mapped(lambda leaf, at=at: leaf[at], xs) for at in range(count)]


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """What the function at this place gives; the first for places before it, the last for those behind."""
    return branches[min(max(int(value_of(index)), 0), len(branches) - 1)](*operands)


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Callable[..., Any]:
    """The function, called for each number, or for each part that `signature` says, as NumPy's ``vectorize``.

    It goes by values: on a tape, `vectorized_map` does.
    """
    return np.vectorize(pyfunc, excluded=excluded, signature=signature)


def is_tensor(x: Any) -> bool:
    """Whether x is a model's tensor, or came from a function or a data set of Keras's."""
    return is_symbolic(x) or isinstance(x, Recorded | _operations.EagerArray)


def dtype(x: Any) -> str:
    """The name of the dtype; of a model's tensor the one that models compute in."""
    return str(getattr(x, "dtype", None) or floatx()) if is_symbolic(x) else str(np.asarray(value_of(x)).dtype)


_OF_TENSORS = (depth_to_space, space_to_depth, rearrange, get_item)
ARRANGED: dict[str, Callable[..., Any]] = {
    each.__name__: _operations.entering(each) for each in (*_OF_TENSORS, dtype, is_tensor, switch)
}
ARRANGED |= {"cdist": of_tensors_too(cdist), "map": _operations.entering(map), "vectorize": vectorize}
"""Name of ``keras.ops`` → function."""
