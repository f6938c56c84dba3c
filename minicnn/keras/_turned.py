"""A model's tensor with its axes in an order in which that of the samples is not the first: ``(3, N, heads, T, size)``.

Attention is often written so: one dense layer makes queries, keys and values, which stand along the first axis of what
is transposed, and are taken from there one by one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras._deferred import Deferred


class Turned(Deferred):
    """What `transpose` gave: parts of it along the first axes are tensors again, and so is what turns it back.

    Parameters
    ----------
    tensor : Tensor
        With the batch axis in front, and the others in their order here.
    batch : int
        Where the batch axis is here, at least 1.
    """

    __array_priority__ = 1000

    def __init__(self, tensor: Tensor, batch: int) -> None:
        self._tensor, self._batch = tensor, batch
        sizes = list(tensor.shape[1:])
        self.shape: tuple[int | None, ...] = (*sizes[:batch], None, *sizes[batch:])
        self.ndim: int = len(self.shape)
        self.dtype: Any = tensor.dtype  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return self.shape[0] or 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        index, *others = key if isinstance(key, tuple) else (key,)
        if isinstance(index, slice) and not others:
            return Turned(self._tensor[:, index], self._batch)  # type: ignore[index]
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            return self.apply(operator.getitem, (self, key), {})
        part = self._tensor[:, index]  # type: ignore[index]
        made = part if self._batch == 1 else Turned(part, self._batch - 1)
        return made[tuple(others)] if others else made

    def transposed(self, axes: Sequence[int] | None) -> Any:
        """With the axes in another order."""
        order = [axis % self.ndim for axis in (axes or range(self.ndim)[::-1])]
        before = [self._batch, *(i for i in range(self.ndim) if i != self._batch)]  # axes here, as the tensor has them
        places = [before.index(axis) for axis in order]
        return turned(self._tensor, places)

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """An operator with numbers, or `transpose`; what else is asked of it is refused."""
        if getattr(function, "__name__", "") == "transpose":
            return self.transposed(args[1] if len(args) > 1 else kwargs.get("axes"))
        others = [x for x in args if x is not self]
        if function in _OPERATORS and all(isinstance(x, int | float) for x in others):
            return Turned(function(*(self._tensor if x is self else x for x in args)), self._batch)
        raise NotImplementedError(
            f"of a tensor whose axes are {self.shape}, with that of the samples inside, parts are taken, x[0], and it "
            "is transposed back: do so before other operations, or leave the batch axis in front. "
            f"Received: {getattr(function, '__name__', function)}"
        )


_OPERATORS = (operator.add, operator.sub, operator.mul, operator.truediv, operator.neg)


def turned(tensor: Tensor, axes: Sequence[int]) -> Any:
    """The tensor with its axes in another order, or a `Turned` where that of the samples is not the first.

    Parameters
    ----------
    tensor : Tensor
    axes : sequence of int
        All of them, 0 for that of the samples.
    """
    order = [axis for axis in axes if axis != 0]
    moved = tensor if order == sorted(order) else layers.Permute(tuple(order))(tensor)
    batch = list(axes).index(0)
    return moved if batch == 0 else Turned(moved, batch)
