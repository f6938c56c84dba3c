"""A graph of ONNX nodes that grows node by node, and where the channels are in it.

Images are (N, H, W, C) here and (N, C, H, W) in ONNX. A value may be in either order; a step asks for the one that it
needs, and a transposition is put in where a value is in the other. Elementwise steps take values as they come, so that
a stack of convolutions has one transposition at its start and one at its end.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.errors import NonFiniteError
from minicnn.geometry import Window
from minicnn.hints import Shape
from minicnn.layers.open_sizes import with_number
from minicnn.parameters import Weight

if TYPE_CHECKING:
    from onnx import GraphProto


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        Of one sample as the model has it: (H, W, C) in either order. None is a size that is open.
    channels_first : bool
        Whether the file's tensor is (N, C, …) rather than (N, …, C).
    """

    name: str
    shape: Shape = ()
    channels_first: bool = False


OTHER_SIZE = 2520  # in the place of an open one, where it makes no difference

_Node = namedtuple("_Node", "operator inputs name attributes output")  # that is called like the node


class GraphWriter:
    """What `Step.to_onnx` appends to.

    Parameters
    ----------
    onnx : module
        The package `onnx`.

    Attributes
    ----------
    prefix : str
        Name of the layer whose nodes are being appended.
    """

    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self.prefix: str = ""
        self._nodes, self._initializers = [], []
        self._names, self._known, self._final = set(), {}, {}

    def unique_name(self, name: str) -> str:
        """`name`, numbered if it is taken, which it is from now on."""
        number, chosen = 0, name
        while chosen in self._names:
            number += 1
            chosen = f"{name}_{number}"
        self._names.add(chosen)
        return chosen

    # ------------------------------------------------------------------------------------------- for Step.to_onnx

    def add(
        self,
        operator: str,
        inputs: Sequence[Value],
        channels_first: bool | None = None,
        output: tuple[int, int] = (0, 1),
        **attributes: object,
    ) -> Value:
        """Append a node.

        Parameters
        ----------
        operator : str
            ONNX's name: "Relu".
        inputs : sequence of Value
        channels_first : bool, optional
            The order of the output's axes. Default: that of the first input.
        output : (int, int), default (0, 1)
            Which of the node's outputs is wanted, and how many it has.
        **attributes
            The node's attributes: numbers, strings or lists of numbers.

        Returns
        -------
        Value
            Its shape is the first input's; that of a step's last value is not looked at.
        """
        if operator.endswith("Pool") and "auto_pad" in attributes:
            self._check_pool(attributes["kernel_shape"], attributes["strides"])
        name = self.unique_name(f"{self.prefix}/{operator}")
        self._nodes.append(_Node(operator, [x.name for x in inputs], name, attributes, output))
        first = inputs[0]
        return Value(name, first.shape, first.channels_first if channels_first is None else channels_first)

    def weight(self, weight: Weight, axes: tuple[int, ...] | None = None, shape: Shape | None = None) -> Value:
        """A layer's `Weight`, first in another `shape`, then its axes in the order `axes`; written once."""
        if (weight, axes, shape) not in self._known:
            with np.errstate(over="ignore"):  # of float64 in float32
                array = weight.numpy().astype(np.float32, copy=False)
            if not np.isfinite(array).all():
                raise NonFiniteError(
                    f"weight '{weight.path}' holds NaN or infinite values: a file of them is of no use"
                )
            array = array if shape is None else array.reshape(shape)
            array = array if axes is None else array.transpose(axes)
            self._known[weight, axes, shape] = self._initializer(weight.path, array)
        return self._known[weight, axes, shape]

    def constant(self, array: ArrayLike) -> Value:
        """An array of numbers that is not a weight; TypeError if an open size is among them."""
        array = np.asarray(array)
        if array.dtype == object:
            raise TypeError(f"a constant holds numbers. Received: {array}")
        return self._initializer(f"{self.prefix}/constant", array)

    def channels_first(self, x: Value) -> Value:
        """The same numbers as (N, C, …)."""
        return self._ordered(x, True)

    def channels_last(self, x: Value) -> Value:
        """The same numbers as (N, …, C)."""
        return self._ordered(x, False)

    def same_layout(self, xs: Sequence[Value]) -> list[Value]:
        """All of `xs` in the order in which the first one is."""
        return [self._ordered(x, xs[0].channels_first) for x in xs]

    def axis(self, x: Value, axis: int) -> int:
        """The file's number of an axis that the model counts, the batch axis included, as `axis`."""
        rank = len(x.shape) + 1
        axis %= rank
        if not x.channels_first or axis == 0:
            return axis
        return 1 if axis == rank - 1 else axis + 1

    def window(self, window_of: Callable[[Shape], Window], shape: Shape) -> dict[str, Any]:
        """A `geometry.Window`, a function of the input's shape, as attributes of a node.

        Padding is in numbers, but for open sizes of which it depends: then it is what ONNX, too, calls "same".

        Raises
        ------
        ValueError
            If ONNX has no name for it.
        """
        (some,) = with_number([shape], OTHER_SIZE)
        window = window_of(some)
        attributes = {"kernel_shape": [window.kernel_height, window.kernel_width]}
        attributes["strides"] = [window.stride_y, window.stride_x]
        dilations = [window.dilation_y, window.dilation_x]
        attributes |= {"dilations": dilations} if dilations != [1, 1] else {}
        numbers = range(OTHER_SIZE, OTHER_SIZE + max(attributes["strides"]))
        pads = {_pads(window_of(*with_number([shape], number))) for number in numbers}
        if len(pads) == 1:
            return attributes | {"pads": list(*pads)}
        if "dilations" in attributes:
            raise ValueError(
                "padding='same' with strides and gaps depends on the size, and runtimes do not compute it: export a "
                f"model whose Input has all its sizes. Received: an input of shape {(None, *shape)}"
            )
        return attributes | {"auto_pad": "SAME_UPPER"}

    def _check_pool(self, pool_size, strides):
        if any(stride > span for stride, span in zip(strides, pool_size, strict=True)):
            raise ValueError(
                f"layer '{self.prefix}': padding='same' with strides wider than the window depends on the size, and "
                "runtimes stop at some: export a model whose Input has all its sizes. "
                f"Received: pool_size={tuple(pool_size)}, strides={tuple(strides)}"
            )

    def _ordered(self, x, channels_first):
        rank = len(x.shape) + 1
        if x.channels_first == channels_first or rank < 3:
            return x
        if (x.name, channels_first) not in self._known:
            last = rank - 1
            perm = [0, last, *range(1, last)] if channels_first else [0, *range(2, rank), 1]
            self._known[x.name, channels_first] = self.add("Transpose", [x], channels_first, perm=perm)
        return self._known[x.name, channels_first]

    def _initializer(self, name, array):
        name = self.unique_name(name)
        self._initializers.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return Value(name)

    # ---------------------------------------------------------------------------------------------- for the model

    def name_output(self, value: Value, name: str) -> str:
        """Make a value an output of the graph, called `name` there, or nearly so if that is taken."""
        if value.name in self._final or not any(value.name == node.name for node in self._nodes):
            value = self.add("Identity", [value])  # an input, or an output already
        self._final[value.name] = self.unique_name(name)
        return self._final[value.name]

    def proto(self, name: str, inputs: list[tuple[str, Shape]], outputs: list[tuple[str, Shape]]) -> GraphProto:
        """The onnx.GraphProto.

        Parameters
        ----------
        name : str
        inputs, outputs : list of (str, tuple)
            Names, and shapes of one sample.
        """
        helper, final = self._onnx.helper, self._final
        nodes = [
            helper.make_node(
                n.operator,
                [final.get(i, i) for i in n.inputs],
                [final.get(n.name, n.name) if at == n.output[0] else f"{n.name}/{at}" for at in range(n.output[1])],
                n.name,
                **n.attributes,
            )
            for n in self._nodes
        ]
        inputs, outputs = (
            [helper.make_tensor_value_info(n, self._onnx.TensorProto.FLOAT, _dimensions(n, shape)) for n, shape in ends]
            for ends in (inputs, outputs)
        )
        return helper.make_graph(nodes, name, inputs, outputs, self._initializers)


def _pads(window):
    return window.pad_top, window.pad_left, window.pad_bottom, window.pad_right


def _dimensions(name, shape):
    """The axes of an input or output: numbers, and names for what is open."""
    return ["N", *(f"{name}_{axis}" if size is None else size for axis, size in enumerate(shape, 1))]
