"""Shapes of samples, as layers are told them and check them."""

from __future__ import annotations

from collections.abc import Iterable

from minicnn.checks import check_choice, is_integer
from minicnn.errors import ShapeError
from minicnn.foreign import items_of, shown
from minicnn.hints import DataFormat, OpenShape
from minicnn.layers.open_sizes import rank_advice
from minicnn.step import Shape, Step


def check_data_format(data_format: DataFormat) -> DataFormat:
    """`data_format`, if it is one; ValueError otherwise."""
    return check_choice("data_format", data_format, (None, "channels_last", "channels_first"))


def check_rank(layer: Step, shape: Shape, rank: int, meaning: str) -> None:
    """Raise `ShapeError` unless a sample's `shape` has `rank` axes, called `meaning`."""
    if len(shape) != rank:
        raise ShapeError(
            f"layer '{layer.name}' ({type(layer).__name__}) expected samples of {rank} axes, {meaning}. "
            f"Received: {(None, *shape)}{rank_advice(shape, rank)}"
        )


def declared_shape(
    input_shape: OpenShape | None, input_dim: int | None, batch_input_shape: OpenShape | None
) -> OpenShape | None:
    """The sample shape from Keras's three ways to give it."""
    if batch_input_shape is not None:
        input_shape = (items_of(batch_input_shape) or sample_shape(batch_input_shape))[1:]
    input_shape = input_shape if input_dim is None else (input_dim,)
    return None if input_shape is None else sample_shape(input_shape)


def sample_shape(shape: int | Iterable[int | None]) -> OpenShape:
    """Check a shape without the batch axis: positive integers, and None for a size that is known when data comes.

    Raises
    ------
    ShapeError
        Naming the shape received.
    """
    shape = (shape,) if (sizes := items_of(shape)) is None else sizes
    if not all(n is None or (is_integer(n) and n > 0) for n in shape):
        raise ShapeError(
            "a shape is a tuple of positive integers without the batch axis, e.g. (28, 28, 1), or None for a size that "
            f"is known when data comes. Received: {shown(shape)}"
        )
    return tuple(n if n is None else int(n) for n in shape)
