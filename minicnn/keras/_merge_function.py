"""Subclasses of merging layers that write `_merge_function`, by which Keras's compute, as sums with weights."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from minicnn.keras._hooks import are_of, give_call, with_base
from minicnn.layers import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract

NAME = "_merge_function"
_ALIGNED = (Add, Average, Maximum, Minimum, Multiply, Subtract)
_MERGING = (*_ALIGNED, Concatenate, Dot)


class ByMergeFunction:
    """Base of such a subclass, so that its `_merge_function` may go on to that of the library's layer."""

    def _merge_function(self, inputs: Any) -> Any:
        """What the library's layer makes of its inputs."""
        return super().call(inputs)  # type: ignore[misc]


def by_merge_function(bases: tuple[type, ...], names: Collection[str], namespace: dict[str, Any]) -> tuple[type, ...]:
    """The bases of a class, with `ByMergeFunction` among them, if it computes by a `_merge_function`.

    Parameters
    ----------
    bases : tuple of type
    names : collection of str
        What the class, and mixins before the library's layer, write.
    namespace : dict
        Of the class, which gets a `call` if there is none of a user's.
    """
    if NAME not in names or not any(are_of(bases, _MERGING)):
        return bases

    def call(self: Any, inputs: Any) -> Any:
        return self._merge_function(_aligned(inputs) if isinstance(self, _ALIGNED) else inputs)

    give_call(bases, names, namespace, call)
    return with_base(bases, ByMergeFunction, _MERGING)


def _aligned(inputs):
    """The inputs, those of fewer axes with axes of size 1 behind the samples', as Keras hands them over."""
    ops, rank = import_module("minicnn.keras.ops"), max(len(x.shape) for x in inputs)
    made = []
    for x in inputs:
        for _ in range(rank - len(x.shape)):
            x = ops.expand_dims(x, 1)
        made.append(x)
    return made
