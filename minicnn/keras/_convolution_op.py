"""Subclasses of convolutions that write `convolution_op`, by which Keras's convolutions compute: for other kernels."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from minicnn.keras._hooks import are_of, give_call, with_base
from minicnn.layers import Conv1D, Conv2D

NAME = "convolution_op"
_CONVOLUTIONS = (Conv1D, Conv2D)


class ByConvolutionOp:
    """Base of such a subclass, and of each that writes `call` or `build`, as subclasses of that may write it, too."""

    def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
        """The convolution of inputs (N, …) with a kernel, without bias and activation."""
        ops, padding = import_module("minicnn.keras.ops"), self.padding
        if padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1), 0
            at, padding = (2 if self.data_format == "channels_first" else 1), "valid"
            inputs = ops.pad(inputs, [before if axis == at else (0, 0) for axis in range(3)])
        options = {"strides": self.strides, "dilation_rate": self.dilation_rate, "data_format": self.data_format}
        return ops.conv(inputs, kernel, padding=padding, **options)

    def call(self: Any, inputs: Any = None, training: Any = None) -> Any:
        """What Keras's convolutions compute: by `convolution_op`, if that is written, with bias and activation."""
        if type(self).convolution_op is ByConvolutionOp.convolution_op:
            return super().call(inputs, training)  # type: ignore[misc]
        y = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            is_first = self.data_format == "channels_first"
            bias = self.bias.reshape((-1, *[1] * (y.ndim - 2))) if is_first else self.bias
            y = y + bias
        return self.activation(y)


def by_convolution_op(bases: tuple[type, ...], names: Collection[str], namespace: dict[str, Any]) -> tuple[type, ...]:
    """The bases of a class, with `ByConvolutionOp` among them, if it or a subclass may compute by `convolution_op`.

    Parameters
    ----------
    bases : tuple of type
    names : collection of str
        What the class, and mixins before the library's layer, write.
    namespace : dict
        Of the class, which gets a `call` if it writes `convolution_op` and there is none.
    """
    is_there = any(ByConvolutionOp in base.__mro__ for base in bases)
    if not is_there and not (any(are_of(bases, _CONVOLUTIONS)) and {NAME, "call", "build"} & set(names)):
        return bases
    if NAME in names:

        def call(self: Any, inputs: Any) -> Any:
            return ByConvolutionOp.call(self, inputs)

        give_call(bases, names, namespace, call)
    return with_base(bases, ByConvolutionOp, _CONVOLUTIONS)
