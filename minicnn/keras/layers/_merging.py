"""``Merge`` and ``merge`` of Keras 1, which join models, layers and tensors in one of several modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import Any

from minicnn import layers as core
from minicnn.checks import check_choice
from minicnn.graph import Tensor
from minicnn.keras._warning import warn_once
from minicnn.keras.utils import get_source_inputs
from minicnn.layers.names import unique_name
from minicnn.models import Model, Sequential
from minicnn.own_parts import is_of_package

_MODES = {"sum": "Add", "mul": "Multiply", "concat": "Concatenate", "ave": "Average", "max": "Maximum", "dot": "Dot"}
_MODES |= {"cos": "Dot"}


class Merge:
    """A layer of Keras 1 that joins several models, and then begins a Sequential with the inputs of all of them.

    Of models or layers it gives a model: their inputs, each once, and what their outputs are joined to. Without them,
    it gives the layer of today, to be called on tensors.

    Parameters
    ----------
    layers : list, optional
        Two or more models, or layers with an input shape or that were called; one may stand there twice.
    mode : {"sum", "mul", "concat", "ave", "max", "dot", "cos"} or callable
        A function gets the list of tensors, as that of a `Lambda`.
    concat_axis : int, default -1
        For "concat", counted with the batch axis.
    dot_axes : int or pair of int, default -1
        For "dot" and "cos", of both inputs or each.
    output_shape, arguments : optional
        As a `Lambda` takes them, for a function.
    name : str, optional
    output_mask : None
        No layer heeds masks.
    **options
        node_indices and tensor_indices, as far as they mean the first output of each layer.

    Raises
    ------
    TypeError, ValueError
        For what is not two or more such models; for another mode or other arguments.
    """

    def __new__(
        cls,
        layers: Sequence[Any] | None = None,
        mode: Any = "sum",
        concat_axis: int = -1,
        dot_axes: Any = -1,
        output_shape: Any = None,
        output_mask: None = None,
        arguments: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        _check_options({"output_mask": output_mask} | options)
        axes = {"concat_axis": concat_axis, "dot_axes": dot_axes}
        of_function = {"output_shape": output_shape, "arguments": arguments}
        if layers is None:
            return _layer_of(mode, axes, of_function, name)
        if not isinstance(layers, list | tuple) or len(layers) < 2:
            raise TypeError(f"Merge joins two or more models: Merge([left, right]). Received: {layers!r}")
        inputs, outputs = [], []
        for branch in layers:
            starts, output = _ends(branch)
            inputs.extend(starts)
            outputs.append(output)
        joined = _layer_of(mode, axes, of_function, None)(outputs)
        model = import_module("minicnn.keras.models").Model
        return model(list(dict.fromkeys(inputs)), joined, name=name or unique_name("Merge"))


def merge(inputs: Any, mode: Any = "sum", concat_axis: int = -1, dot_axes: Any = -1, *args: Any, **kwargs: Any) -> Any:
    """Keras 1's function: `Merge`, called at once on tensors; of layers or models, their joined output.

    Parameters
    ----------
    inputs : list of tensors, or of layers and models
    mode, concat_axis, dot_axes :
        As of `Merge`.
    *args, **kwargs
        Its other arguments.

    Raises
    ------
    ValueError
        For another mode.
    """
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(part, core.Layer) for part in inputs):
        return Merge([*inputs], mode, concat_axis, dot_axes, *args, **kwargs).output
    return Merge(None, mode, concat_axis, dot_axes, *args, **kwargs)(inputs)


def _check_options(options):
    """Refuse what would choose other outputs than a model's only one, or make a mask, and misspelt names."""
    for name, value in options.items():
        if name not in ("output_mask", "node_indices", "tensor_indices"):
            raise TypeError(
                "Merge takes layers, mode, concat_axis, dot_axes, output_shape, arguments and name. "
                f"Received: {name}={value!r}"
            )
        if name == "output_mask" and value is not None:
            raise ValueError(f"no layer heeds masks, so that Merge takes output_mask=None alone. Received: {value!r}")
        if any(value or ()):
            raise ValueError(
                f"Merge joins the first output of each layer: call it on the tensors that are meant, "
                f"Merge(mode=…)([a, b]). Received: {name}={value!r}"
            )


def _layer_of(mode, axes, of_function, name):
    """The layer of today that merges so."""
    layers = import_module("minicnn.keras.layers")
    if callable(mode):
        kind, options = "Lambda", {"function": mode, **{n: v for n, v in of_function.items() if v is not None}}
    else:
        kind, options = _MODES[check_choice("mode", mode, (*_MODES,))], {}
    if mode == "concat":
        options = {"axis": axes["concat_axis"]}
    if mode in ("dot", "cos"):
        options = {"axes": _sizes(axes["dot_axes"]), "normalize": mode == "cos"}
    warn_once(f"Merge and merge(mode={mode!r}) are of Keras 1: today it is {kind}()([a, b])")
    return getattr(layers, kind)(**options, name=name)


def _sizes(axes):
    """The axes of a dot product, which Keras 0 wrote ([1], [1]).

    Raises
    ------
    ValueError
        For several axes of an input.
    """
    if isinstance(axes, list | tuple) and any(isinstance(axis, list | tuple) for axis in axes):
        if any(len(axis) != 1 for axis in axes):
            raise ValueError(f"dot_axes is one axis of each input, as (1, 1). Received: {axes!r}")
        return tuple(axis[0] for axis in axes)
    return axes


def _ends(branch):
    """The inputs of a branch, and its output.

    Raises
    ------
    TypeError, ValueError
        For what is no model or layer, or has no inputs yet.
    """
    if isinstance(branch, Tensor):
        raise TypeError(f"Merge([…]) joins models: of tensors, write Merge(mode=…)([a, b]). Received: {branch!r}")
    if not isinstance(branch, core.Layer):
        raise TypeError(f"Merge joins models and layers. Received: {branch!r}")
    if isinstance(branch, core.InputLayer) and not branch.nodes:
        branch.call_symbolically([])
    if not isinstance(branch, Model) and branch.nodes:  # a layer that was called stands for what it gave
        output = branch.nodes[0].outputs[0]
        return get_source_inputs(output), output
    if not isinstance(branch, Model) and branch.declared_input_shape is not None:
        branch = Sequential([branch])
    if not isinstance(branch, Model) or not branch.built:
        raise ValueError(
            f"Merge joins models whose inputs are known: give the first layer of '{branch.name}' an input_shape=. "
            "Received: one without"
        )
    if len(branch.outputs) > 1:
        raise ValueError(
            f"Merge joins models of one output: call it on tensors, Merge(mode=…)([a, b]). Received: '{branch.name}' "
            f"with {len(branch.outputs)}"
        )
    starts = _starts(branch)
    return starts, branch.call_symbolically(starts).outputs[0]


def _starts(model):
    """The inputs of a model; of a stack on top of another model, that one's, which others may stand on as well."""
    first = model.layers[0] if isinstance(model, Sequential) and model.layers else None
    return _starts(first) if isinstance(first, Model) else list(model.inputs)


def of_one(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a layer that joins inputs: of a list of one, that one, as in Keras."""

    @wraps(call)
    def called(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        is_one = isinstance(inputs, list | tuple) and len(inputs) == 1 and self.input_count is None
        if is_one and is_of_package(type(self)):  # a user's class may do something with it
            if "_of_one" not in vars(self):
                vars(self)["_of_one"] = import_module("minicnn.keras.layers").Identity(name=self.name)
            return vars(self)["_of_one"](inputs[0])
        return call(self, inputs, *args, **kwargs)

    return called
