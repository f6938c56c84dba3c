"""`Lambda`: a function as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.differentiation import Recorded, gradients, value_of
from minicnn.errors import ShapeError
from minicnn.graph import Node, Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.activations import Activation
from minicnn.layers.base import Layer
from minicnn.layers.function_numbers import noting_counts, numbers_of
from minicnn.layers.open_sizes import shape_behind
from minicnn.on_host import assign, on_host
from minicnn.own_parts import check_takes
from minicnn.step import Arrays, Shape, Shapes, Workspace

__all__ = ["Lambda"]


class Lambda(Layer):
    """A function as a layer; it has no weights, and files do not hold it.

    A function that is made of layers (of what can be done to symbolic tensors) stands for these layers, and has their
    gradients. One that needs numbers is called with arrays, on a processor: with a GPU they go there and back, and such
    iterations are not captured. Behind a layer with weights it is differentiated as it runs, so it is written with
    operators and the functions of NumPy or of `keras.ops` (`minicnn.differentiation`); before it, where no gradient is
    asked for, it may be anything, say to prepare images.

    Parameters
    ----------
    function : function
        From the inputs, one or a list of several, with the batch axis, to the output.
    output_shape : tuple of int or function, optional
        Of a sample; or a function from the input's shape with the batch axis, a list of them for several inputs, to the
        output's. Default, and if a size is None: what `function` gives for zeros.
    mask : None
        Accepted for Keras's sake.
    arguments : dict, optional
        Further arguments of the function, by name.
    """

    holds_code = True
    draws_anew = True
    input_count: int | None = None

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Sequence[int | None] | Callable[[Any], Sequence[int | None]] | None = None,
        mask: None = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"a Lambda layer needs a function. Received: function={function!r}")
        if not isinstance(arguments, Mapping | None):
            raise TypeError(
                f"arguments is a dict of the function's further arguments, by name. Received: arguments={arguments!r}"
            )
        check_takes(function, "the function of a Lambda layer", "inputs", **dict(arguments or {}))
        self.function: Callable[..., Any] = function
        if output_shape is not None and not callable(output_shape):
            output_shape = tuple(output_shape)
        self.output_shape: tuple[int | None, ...] | Callable[[Any], Sequence[int | None]] | None = output_shape
        self.mask: None = mask
        self.arguments: dict[str, Any] = dict(arguments or {})

    def _call(self, inputs):
        """The function's result for a sequence of inputs."""
        return self.function(inputs[0] if len(inputs) == 1 else list(inputs), **self.arguments)

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """The last layer of those that the function is made of; else a place for the function itself."""
        try:
            result = self._call(tensors)
        except (AttributeError, ImportError, TypeError, ValueError):  # it needs numbers
            result = None
        if isinstance(result, Tensor) and len(result.node.outputs) == 1:
            self._built = True
            penalty = self.activity_regularizer
            return (Activation("linear", activity_regularizer=penalty)(result) if penalty else result).node
        return super().call_symbolically(tensors, training)

    def call_on_arrays(self, arrays: Sequence[ArrayLike], training: bool) -> np.ndarray:
        """What the function gives for arrays."""
        return np.asarray(value_of(self._call([np.asarray(a) for a in arrays])))

    def build(self, input_shapes: Shapes) -> Shape:
        if (given := self._given_shape(input_shapes)) is not None and None not in given:
            return given
        with noting_counts() as counts:
            try:
                return self._shape_for(2, input_shapes)
            except ValueError as error:
                if "truth value" in str(error):
                    raise ValueError(
                        f"the function of a Lambda layer gets all numbers at once, where `if` and `and` choose none: "
                        f"write numpy.where(condition, a, b), or keras.ops.where. Received: {self.function!r}"
                    ) from None
                if len(counts) != 1:  # else it draws numbers for so many samples, a batch of its author's
                    raise
        return self._shape_for(counts.pop(), input_shapes)

    def _shape_for(self, count, input_shapes):
        """The shape of a sample of the result, for so many of zeros."""
        result = self.call_on_arrays([np.zeros((count, *shape), np.float32) for shape in input_shapes], False)
        if result.ndim == 0 or len(result) != count:
            is_nothing = result.ndim == 0 and result.item() is None
            raise ShapeError(
                f"the function of a Lambda layer gives as many samples as it gets: {count}. "
                f"Received: {'None; write return' if is_nothing else f'shape {result.shape}'}"
            )
        return result.shape[1:]

    def _given_shape(self, input_shapes) -> tuple[int | None, ...] | None:
        """A sample's shape as the user gave it, or a function of the user's gives it."""
        if not callable(self.output_shape):
            return self.output_shape
        shapes = [(None, *shape) for shape in input_shapes]
        return tuple(self.output_shape(shapes[0] if len(shapes) == 1 else shapes))[1:]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        with numbers_of(ws):
            if any(dx is not None for dx in ws.dxs):
                ws.record = self._recorded(xs)
                assign(ws.y, value_of(ws.record[0]))
            else:
                self._run(xs, ws.y)

    def _run(self, xs, y):
        """y = the result, on a device if the function can be called with its arrays, else on the processor."""
        try:
            y[...] = value_of(self._call(xs))
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            if isinstance(y, np.ndarray):
                raise
            assign(y, value_of(self._call([on_host(x) for x in xs])))

    def _recorded(self, xs):
        """(result, inputs), of which `backward` takes gradients."""
        inputs = [Recorded(on_host(x)) for x in xs]
        try:
            return self._call(inputs), inputs
        except TypeError as error:
            raise TypeError(
                f"the function of layer '{self.name}' (Lambda) stands behind a layer with weights, which need its "
                f"gradient: {error}. Received: function={self.function!r}"
            ) from error

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        result, inputs = ws.record
        parts = gradients(result if isinstance(result, Recorded) else Recorded(result), on_host(dy), inputs)
        for dx, part in zip(ws.dxs, parts, strict=True):
            if dx is not None:
                assign(dx, part)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        several = isinstance(input_shape[0], list | tuple)
        shapes = tuple(tuple(shape)[1:] for shape in (input_shape if several else [input_shape]))
        return (input_shape[0][0] if several else input_shape[0], *shape_behind(self.build, shapes))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the function itself: for copies in memory; see `refuse_files`."""
        own = {"function": self.function, "output_shape": self.output_shape, "arguments": self.arguments}
        return {name: value for name, value in own.items() if value} | {"name": self.name, "trainable": self.trainable}

    def refuse_files(self) -> NoReturn:
        """Raise the error for a file that should hold the function."""
        raise TypeError(
            f"layer '{self.name}' ({type(self).__name__}) holds code, which no file holds: save the weights alone, or "
            f"write the function as a layer of your own. Received: function={self.function!r}"
        )

    def __repr__(self) -> str:
        return f"Lambda(function={self.function!r}, name={self.name!r})"
