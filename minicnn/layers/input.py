"""The model's inputs."""

from typing import Any

from minicnn.graph import Tensor
from minicnn.hints import OpenShape
from minicnn.keywords import suggests_keywords
from minicnn.layers.base import Layer
from minicnn.layers.shapes import sample_shape
from minicnn.step import Shape, Shapes, Step

__all__ = ["Input", "InputLayer"]


class InputLayer(Layer):
    """The place where data enters a model. Users call `Input`.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of one sample.
    """

    input_count: int | None = 0
    rare_options: tuple[str, ...] = ("input_dtype",)  # of whole numbers, which `keras.Input` was told of

    def __init__(self, shape: OpenShape | None = None, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        shape = self.declared_input_shape if shape is None else shape
        if shape is None:
            raise ValueError("InputLayer needs the shape of one sample, e.g. shape=(28, 28, 1). Received: shape=None")
        self.shape: OpenShape = sample_shape(shape)

    def build(self, input_shapes: Shapes) -> Shape:
        return self.shape

    def lower(self) -> list[Step]:
        return []


@suggests_keywords
def Input(
    shape: OpenShape | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
    batch_shape: OpenShape | None = None,
) -> Tensor:
    """A symbolic tensor: where data enters a functional model.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of one sample, without the batch axis: (28, 28, 1). A size that is None is known when data comes:
        (None, None, 3) takes images of any size, the same one within a batch.
    batch_size, dtype :
        Accepted for Keras's sake and not needed: batches of any size and real arrays of any dtype are taken.
    name : str, optional
    batch_shape : tuple, optional
        `shape` with the batch axis in front.

    Returns
    -------
    Tensor
    """
    if batch_shape is not None:
        shape = tuple(batch_shape)[1:]
    if shape is None or isinstance(dtype, int):  # Input(28, 28, 1)
        example = "a tuple, e.g. Input(shape=(28, 28, 1))"
        raise ValueError(f"Input needs the shape of one sample, {example}. Received: shape={shape}")
    return InputLayer(shape, name=name).call_symbolically([]).outputs[0]
