"""A dense layer over any axes, which an equation names: `EinsumDense`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import check_positive_int, is_integer
from minicnn.hints import ActivationLike, InitializerLike, RegularizerLike
from minicnn.initializers import Initializer, VarianceScaling
from minicnn.layers.base import Examples
from minicnn.layers.einsum_letters import Letters, as_matrices, check_equation, letters_of, ordered, shapes_of
from minicnn.layers.kernel import WithKernel
from minicnn.parameters import Weight
from minicnn.registry import ANY
from minicnn.step import Arrays, Shape, Shapes, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["EinsumDense"]


class _OfAxes(Initializer):
    """What an initializer draws for a matrix of all inputs and all units: its fans, as in Keras, are of these axes."""

    def __init__(self, of: VarianceScaling, inputs: Sequence[int], units: Sequence[int]) -> None:
        self.of: VarianceScaling = of
        self.inputs: tuple[int, ...] = tuple(inputs)
        self.units: tuple[int, ...] = tuple(units)
        self.seed: int | None = of.seed

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        order = *self.inputs, *self.units
        drawn = self.of.draw((prod(shape[n] for n in self.inputs), prod(shape[n] for n in self.units)), rng)
        return drawn.reshape([shape[n] for n in order]).transpose(np.argsort(order))


class EinsumDense(WithKernel):
    """y = Σ x · kernel + bias over the axes that an equation names: in vision transformers, dense layers of heads.

    Parameters
    ----------
    equation : str
        'abc,cd->abd' has the letters of the axes of the input, of the kernel and of the output; what is not in the
        output is summed over. '...x,xy->...y' and 'ab...,bc->ac...' take inputs of any number of axes. The first axis
        is that of the samples, which stay apart.
    output_shape : int or sequence of int or None
        Sizes of the output's axes, without that of the samples and those that '...' stands for; None where the input
        says it.
    activation : str or layer, optional
    bias_axes : str, optional
        Letters of the output along which there is a bias; default: none has one.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer :
        As for `Dense`.
    **kwargs
        As of all layers, ``kernel_constraint`` and ``bias_constraint``. Of Keras's ``lora_rank``,
        ``gptq_unpacked_column_size`` and ``quantization_config`` there is None.

    Notes
    -----
    The bias has the axes of the output from the first of `bias_axes` on, with the size 1 along the others.
    """

    keras_only: Mapping[str, object] = MappingProxyType(
        dict.fromkeys(("lora_rank", "gptq_unpacked_column_size", "quantization_config"), (None,)) | {"lora_alpha": ANY}
    )
    kernel: Weight

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: ActivationLike = None,
        bias_axes: str | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        **kwargs: Any,
    ) -> None:
        options = {name: kwargs.pop(name) for name in self.keras_only if name in kwargs}
        first_values, penalties = (kernel_initializer, bias_initializer), (kernel_regularizer, bias_regularizer)
        super().__init__(activation, bias_axes is not None, *first_values, *penalties, **kwargs)
        self.check_options(options)
        self.equation: str = check_equation(equation)
        self.bias_axes: str | None = bias_axes
        self.units: tuple[int | None, ...] = _sizes(output_shape)
        of_output = self.equation.partition("->")[2]
        of_output = of_output.replace("...", "") if of_output.startswith("...") else of_output[1:]
        if bias_axes is not None and (not bias_axes or not set(bias_axes) <= set(of_output)):
            raise ValueError(
                "bias_axes has letters of the output, but not that of the samples; any other is not part of the output "
                "spec. "
                f"Received: bias_axes={bias_axes!r} for {self.equation!r}"
            )

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        letters = letters_of(self.equation, len(shape) + 1)
        kernel, output = shapes_of(self.equation, letters, shape, self.units)
        first, rules = self.kernel_initializer, (self.kernel_regularizer, self.kernel_constraint)
        if isinstance(first, VarianceScaling):
            axes = [[n for n, name in enumerate(letters.kernel) if (name in letters.y) == own] for own in (False, True)]
            first = _OfAxes(first, *axes)
        self.add_weight("kernel", kernel, first, True, *rules)
        if self.bias_axes is not None:
            start = min(map(letters.y.index, self.bias_axes))
            pairs = list(zip(letters.y, (1, *output), strict=True))[start:]
            rules = self.bias_regularizer, self.bias_constraint
            sizes = tuple(size if name in self.bias_axes else 1 for name, size in pairs)
            self.add_weight("bias", sizes, self.bias_initializer, True, *rules)
        return output

    # ------------------------------------------------------------------------------------------------------ formula

    @property
    def only_ops(self) -> bool:
        """Whether it is a dense layer of the backend alone, for an input of any number of axes."""
        return self._is_plain(self._letters(len(self.equation.partition(",")[0].replace("...", "00"))))

    def _letters(self, rank) -> Letters:
        return letters_of(self.equation, rank)

    def _is_plain(self, letters):
        """Whether the backend's dense layer takes the arrays as they are."""
        whole = self.bias is None or self.bias.shape == self.kernel.shape[len(letters.summed) :]
        return letters.is_plain and whole

    def _matrices(self, x, arrays, letters):
        """(x, kernel, bias) as rows, a matrix and a row, of a plain form; None for what there is not."""
        kernel, bias = arrays.get("kernel"), arrays.get("bias")
        inputs = prod(self.kernel.shape[: len(letters.summed)])
        return (
            None if x is None else x.reshape(-1, inputs),
            None if kernel is None else kernel.reshape(inputs, -1),
            None if bias is None else bias.reshape(-1),
        )

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        letters, y = self._letters(xs[0].ndim), ws.y
        if self._is_plain(letters):
            units = prod(self.kernel.shape[len(letters.summed) :])
            ws.ops.dense(*self._matrices(xs[0], ws.params, letters), y.reshape(-1, units))
            return
        order = letters.shared + letters.rows + letters.units
        sizes = letters.sizes(xs[0].shape, self.kernel.shape)
        product = np.matmul(*self._factors(xs[0], ws.params["kernel"], letters))  # (shared, rows, units)
        ordered(y, letters.y, order)[...] = product.reshape([sizes[name] for name in order])
        if self.bias is not None:
            y += ws.params["bias"]

    def _factors(self, x, kernel, letters):
        """x (shared, rows, summed) and the kernel (shared, summed, units)."""
        if letters.alone:
            x = x.sum(axis=tuple(map(letters.x.index, letters.alone)))
        kept = tuple(name for name in letters.x if name not in letters.alone)
        return (
            as_matrices(x, kept, letters.shared, letters.rows, letters.summed),
            as_matrices(kernel, letters.kernel, letters.shared, letters.summed, letters.units),
        )

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        (x,), (dx,), letters = ws.xs, ws.dxs, self._letters(ws.xs[0].ndim)
        if self._is_plain(letters):
            units = prod(self.kernel.shape[len(letters.summed) :])
            factors, gradients = (self._matrices(*pair, letters) for pair in ((x, ws.params), (dx, ws.grads)))
            ws.ops.dense_backward(*factors[:2], None, dy.reshape(-1, units), *gradients)
            return
        if (dbias := ws.grads.get("bias")) is not None:
            lead = dy.ndim - dbias.ndim
            ones = tuple(n for n in range(dy.ndim) if n < lead or dbias.shape[n - lead] == 1)
            dbias[...] = dy.sum(axis=ones).reshape(dbias.shape)
        rows, kernel = self._factors(x, ws.params["kernel"], letters)
        own = as_matrices(dy, letters.y, letters.shared, letters.rows, letters.units)  # (shared, rows, units)
        sizes = letters.sizes(x.shape, self.kernel.shape)
        if (dkernel := ws.grads["kernel"]) is not None:
            order = letters.shared + letters.summed + letters.units
            product = np.matmul(rows.transpose(0, 2, 1), own)
            ordered(dkernel, letters.kernel, order)[...] = product.reshape([sizes[name] for name in order])
        if dx is not None:
            order = letters.shared + letters.rows + letters.summed
            product = np.matmul(own, kernel.transpose(0, 2, 1)).reshape([sizes[name] for name in order])
            product = product.reshape(*product.shape, *[1] * len(letters.alone))
            ordered(dx, letters.x, order + letters.alone)[...] = product

    def flops(self, input_shapes: Shapes, output_shape: Shape) -> int:
        """Operations for one sample."""
        letters = self._letters(len(input_shapes[0]) + 1)
        sizes = letters.sizes((1, *input_shapes[0]), self.kernel.shape)
        return (2 * prod(sizes[name] for name in letters.summed) + self.use_bias) * prod(output_shape)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        x, kernel, letters = graph.channels_last(xs[0]), graph.weight(self.kernel), self._letters(len(xs[0].shape) + 1)
        if letters.is_plain and len(self.kernel.shape) == 2 and len(letters.summed) == 1:
            y = graph.add("MatMul", [x, kernel])
        else:
            y = graph.add("Einsum", [x, kernel], equation=self.equation)
        return y if self.bias is None else graph.add("Add", [y, graph.weight(self.bias)])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"output_shape": self.units}

    @classmethod
    def examples(cls) -> Examples:
        yield cls("abc,cd->abd", (None, 5), activation="relu", bias_axes="d"), [(4, 3)]
        yield cls("abc,cde->abde", (None, 2, 3), bias_axes="d", kernel_regularizer="l2"), [(4, 3)]
        yield cls("bc...,cd->bd...", 4, bias_axes="d"), [(3, 2, 2)]
        yield cls("...bc,bc->...b", 3), [(2, 3, 4)]
        yield cls("abcd,ce->ae", 3), [(2, 4, 3)]


def _sizes(output_shape) -> tuple[int | None, ...]:
    several = [output_shape] if is_integer(output_shape) else output_shape
    if not isinstance(several, list | tuple):
        raise ValueError(
            "output_shape is an int, or a sequence of int and None, of the output's axes without that of the samples. "
            f"Received: output_shape={output_shape!r}"
        )
    return tuple(None if size is None else check_positive_int("output_shape", size) for size in several)
