"""A layer beside another one, of the same weights."""

from __future__ import annotations

from typing import TypeVar

from minicnn.step import Step

Kind = TypeVar("Kind", bound=Step)


def twin_of(layer: Kind) -> Kind:
    """A layer of the same class that shares the attributes, and so the weights, and stands in no graph.

    ``copy.copy`` is the users': of Keras's layers it makes one with weights of its own.
    """
    twin = object.__new__(type(layer))
    vars(twin).update(vars(layer) | {"nodes": []})
    return twin
