"""A layer without a model, as Keras's users ask it: `build` by hand, and the shape that it would give.

Beside the core: models and plans need none of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn.checks import is_integer
from minicnn.errors import ShapeError
from minicnn.foreign import items_of, shown
from minicnn.graph import Tensor
from minicnn.layers.channel_order import build_in_order, lower_in_order
from minicnn.mistaken_names import thing_advice
from minicnn.parameters import weights_from_file

BatchShape = Sequence[int | None]  # with the batch axis in front, which is None or any number


class Standalone:
    """Mixin of `Layer`: what takes shapes with the batch axis, as Keras writes them."""

    output_penalty: float | None = None  # of the last call on arrays, where there is an `activity_regularizer`
    is_flat = False  # whether a sample is one number, which has no order
    axis_is_of_channels = False  # whether the argument `axis` says where the channels are
    shape_for_any: BatchShape | None = None  # a batch's, where the weights are the same for all

    def __init_subclass__(cls, **options: Any) -> None:
        """Let `build` take Keras's ``(None, 8)`` too, beside the shapes of samples that a graph gives it."""
        super().__init_subclass__(**options)
        own = dict(vars(cls))  # set by `setattr`: type checkers would take an assignment for methods of this class
        is_ours = "build" in own and "call" not in own  # Keras's have `call`, and get batches' shapes anyway
        if is_ours and "input_shapes" in signature(own["build"]).parameters:  # not a model's
            own |= {"build": _by_hand(build_in_order(own["build"]))}
        if "lower" in own:
            own |= {"lower": lower_in_order(own["lower"])}
        for name in {"build", "lower"} & own.keys():
            setattr(cls, name, own[name])

    def compute_output_shape(self, input_shape: BatchShape | Sequence[BatchShape]) -> tuple[int | None, ...]:
        """The output's shape for inputs of this shape, both with the batch axis; the layer itself is not built.

        Parameters
        ----------
        input_shape : tuple, or list of them for several inputs
            (None, 28, 28, 1). Any size may be None that the layer, or the model's input, leaves open; those of the
            output that depend on it are None too.
        """
        batch = input_shape[0][0] if isinstance(input_shape[0], list | tuple) else input_shape[0]
        layer = self if self.graph is not None else type(self).from_config(self.get_config())
        with weights_from_file(math.inf):  # the copy's are zeros, that no file has to have
            return (batch, *layer.build_for(sample_shapes(input_shape))[0])

    @property
    def losses(self) -> list[float]:
        """The penalties now: a number for each regularized weight that is trainable, and that on the last outputs.

        Outputs count after a call of the layer on arrays: their penalty by the number of samples, as in training.
        """
        weights = [w for w in self.trainable_weights if w.regularizer is not None]
        of_weights = [float(w.regularizer(w.numpy())) for w in weights]
        return of_weights if self.output_penalty is None else [*of_weights, self.output_penalty]

    def noting_penalty(self, outputs: np.ndarray) -> np.ndarray:
        """`outputs`; the penalty on them is kept for `losses`."""
        regularizer = getattr(self, "activity_regularizer", None)
        if regularizer is not None:
            with np.errstate(under="ignore"):
                self.output_penalty = float(regularizer.penalty(outputs)) / max(len(outputs), 1)
        return outputs


def sample_shapes(input_shape: BatchShape | Sequence[BatchShape]) -> tuple[tuple[int | None, ...], ...]:
    """The samples' shapes from one shape with the batch axis, or a list of them.

    Raises
    ------
    ShapeError
        If a size is neither a positive integer nor None.
    """
    sizes = () if input_shape is None else items_of(input_shape)
    if not sizes:
        raise ShapeError(_no_batch_shape(input_shape))
    several = [items_of(shape) for shape in sizes]
    shapes = tuple(shape[1:] for shape in ([sizes] if None in several else several))
    if not all(n is None or (is_integer(n) and n > 0) for shape in shapes for n in shape):
        raise ShapeError(_no_batch_shape(input_shape))
    return shapes


def _no_batch_shape(received):
    expected = "the shape of a batch is a tuple such as (None, 28, 28, 1), of positive integers and None"
    return f"{expected}. Received: {shown(received)}"


def _by_hand(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` of a layer that also takes shapes with a batch axis, and then builds the layer."""

    @wraps(build)
    def wrapped(self: Any, input_shapes: Any = None, *, input_shape: Any = None) -> Any:
        input_shapes = input_shapes if input_shape is None else input_shape  # Keras's name
        if input_shapes is None:
            if self.built:
                return None
            input_shapes = self.shape_for_any
        if input_shapes is not None and not _has_batch_axis(input_shapes):
            return build(self, input_shapes)
        (shape,) = self.build_for(sample_shapes(input_shapes))
        return shape

    return wrapped


def _has_batch_axis(shapes):
    """Whether this is Keras's form: a flat tuple, or tuples that begin with None."""
    sizes = items_of(shapes)
    if not sizes:
        return False
    several = [items_of(shape) for shape in sizes]
    return None in several or all(shape and shape[0] is None for shape in several)


def no_layer(thing: Any) -> str:
    """What is wrong with what a stack of layers was given in the place of one."""
    advice = thing_advice("layer", thing)
    if isinstance(thing, list | tuple) and not advice:
        advice = "; the layers of a list are given one by one: [*block, …]"
    elif isinstance(thing, Tensor):
        advice = "; a layer is given uncalled: Flatten(), not Flatten()(x)"
    elif callable(thing) and not advice:
        advice = "; a function becomes one by Lambda(function), the name of an activation by Activation('relu')"
    elif isinstance(thing, str):
        advice = "; the name of an activation becomes one by Activation('relu')"
    return f"Sequential takes layers, e.g. Dense(10){advice}. Received: {shown(thing)}"


def described_before(layer: Any, stack: Sequence[Any]) -> Any:
    """A layer that was read, or the one of its name in the stack, whose places a file describes one by one.

    Raises
    ------
    ValueError
        If it is another layer that has the name.
    """
    first = next((other for other in stack if other.name == layer.name), layer)
    is_other = type(first) is not type(layer) or hasattr(layer, "structure")  # models in models have a number there
    if first is not layer and (is_other or first.get_config() != layer.get_config()):
        raise ValueError(f"the layers of a model need different names. Received: a second layer '{layer.name}'")
    return first
