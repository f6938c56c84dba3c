"""What layers say of masks: which of them would hand one on, which one, and which take one when they are called.

No layer makes masks, as there are none for sequences; layers that users write may ask others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from importlib import import_module
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.layers.composed import Composed
from minicnn.own_parts import is_of_package

_MERGING = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
_SUPPORTING = {  # as in Keras 3.15
    *_MERGING,
    *("Concatenate", "Dot"),
    *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
    *("BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "UnitNormalization"),
    *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *(
        "AdditiveAttention",
        "Attention",
        "Dense",
        "GlobalAveragePooling1D",
        "GroupQueryAttention",
        "MultiHeadAttention",
        "Identity",
        "Lambda",
        "Rescaling",
    ),
    *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
}


def compute_mask(layer: Any, inputs: Any, previous_mask: Any = None) -> Any:
    """The mask of a layer's output: that of its input.

    Parameters
    ----------
    layer : Layer
    inputs : Tensor, array, or a list of them
    previous_mask : optional
        The mask, or masks, of the inputs.
    """
    return previous_mask


def _of_merging(layer: Any, inputs: Any, mask: Any = None) -> Any:
    """What one of the masks has, if every input has one; None otherwise."""
    if not _check(inputs, mask) or any(m is None for m in mask):
        return None
    return reduce(np.logical_or, map(np.asarray, mask))


def _of_concatenate(layer: Any, inputs: Any, mask: Any = None) -> Any:
    """Along the layer's axis; an input without a mask counts in full."""
    if not _check(inputs, mask) or all(m is None for m in mask):
        return None
    full = [_of_size(x, m) for x, m in zip(inputs, mask, strict=True)]
    return np.any(np.concatenate(full, axis=layer.axis), axis=-1)


def _of_dot(layer: Any, inputs: Any, mask: Any = None) -> None:
    """None: a product has no mask."""


def _of_attention(layer: Any, inputs: Any, mask: Any = None) -> Any:
    """That of the queries, the first of the masks."""
    return None if mask is None or mask[0] is None else np.asarray(mask[0])


def _check(inputs, mask):
    """Whether there are masks; ValueError where they do not fit the inputs."""
    if mask is None:
        return False
    for name, value in {"mask": mask, "inputs": inputs}.items():
        if not isinstance(value, tuple | list):
            raise ValueError(f"`{name}` should be a list, of one entry for each input. Received: {type(value)}")
    if len(mask) != len(inputs):
        raise ValueError(
            f"`inputs` and `mask` should have the same length. Received: {len(inputs)} inputs, {len(mask)} masks"
        )
    return True


def _of_size(x, mask):
    """The mask of an input with as many axes as the input."""
    if mask is None:
        return np.ones(np.shape(x), bool)
    mask = np.asarray(mask, bool)
    return np.broadcast_to(mask[..., None], np.shape(x)) if mask.ndim < np.ndim(x) else mask


_COMPUTED: dict[str, Any] = {
    **dict.fromkeys(_MERGING, _of_merging),
    **dict.fromkeys(("Attention", "AdditiveAttention"), _of_attention),
    "Concatenate": _of_concatenate,
    "Dot": _of_dot,
}


def masks_of(name: str) -> dict[str, Any]:
    """The attributes `supports_masking` and `compute_mask` of the layer `name`.

    Parameters
    ----------
    name : str
        A class.
    """
    return {"supports_masking": name in _SUPPORTING, "compute_mask": _COMPUTED.get(name, compute_mask)}


def _softmax(layer: Any, call: Callable[..., Any], x: Any, mask: Any) -> Any:
    """The softmax over what the mask lets through, by more than 0.5; what it does not is 0, also where that is all."""
    ops, of_x, of_mask = import_module("minicnn.keras.ops"), tuple(x.shape), tuple(mask.shape)
    pairs = zip(of_mask[::-1], of_x[::-1], strict=False)
    if len(of_mask) > len(of_x) or any(None not in pair and pair[0] not in (1, pair[1]) for pair in pairs):
        raise ValueError(
            f"layer '{layer.name}' (Softmax): each axis of `mask` is 1 or that of `inputs`, counted from the end. "
            f"Received: inputs of shape {of_x}, mask of shape {of_mask}"
        )
    kept = ops.cast(mask > 0.5, "float32")
    return call(layer, ops.where(kept > 0.5, x, float(np.finfo(np.float32).min / 2))) * kept


def _mean_over_steps(layer: Any, call: Callable[..., Any], x: Any, mask: Any) -> Any:
    """The mean over the steps that count, (N, C), of x (N, T, C) and mask (N, T)."""
    ops, is_last = import_module("minicnn.keras.ops"), layer.data_format != "channels_first"
    axis, mask = (1, ops.expand_dims(mask, 2)) if is_last else (2, ops.expand_dims(mask, 1))
    total, count = (ops.sum(each, axis=axis, keepdims=bool(layer.keepdims)) for each in (x * mask, mask))
    return total / count


def refuse_new_mask(layer: Any, inputs: Any) -> None:
    """Raise NotImplementedError if a user's `compute_mask` makes a mask, which the layers behind would not see.

    Parameters
    ----------
    layer : Layer
    inputs : Tensor, array, or a structure of them
    """
    if is_of_package(layer.compute_mask):
        return
    none_of_several = [[None] * len(inputs)] if isinstance(inputs, list | tuple) else []  # as Keras 2.3 had it
    if not any(_makes_none(layer, inputs, before) for before in (None, *none_of_several)):
        raise NotImplementedError(
            f"layers hand no masks on: compute the mask in the model, mask = keras.ops.not_equal(x, 0), and give it to "
            f"GlobalAveragePooling1D()(y, mask=mask), and fit the weights of steps, sample_weight=. Received: layer "
            f"'{layer.name}' ({type(layer).__name__}), whose compute_mask makes one"
        )


def _makes_none(layer, inputs, before):
    """Whether a `compute_mask` gives None of the masks before, for each of several outputs where it has several."""
    try:
        made = layer.compute_mask(inputs, before)
    except Exception:  # it computes something, maybe what tensors of a model do not take
        return False
    return all(mask is None for mask in made) if isinstance(made, list | tuple) else made is None


def check_in_stack(layer: Any, tensor: Tensor) -> None:
    """Raise an error if a layer cannot stand in a `Sequential`: it has several inputs, or makes a mask.

    Parameters
    ----------
    layer : Layer
    tensor : Tensor
        Its input.
    """
    if hasattr(layer, "check_single_input"):
        layer.check_single_input()
    if hasattr(layer, "compute_mask"):
        refuse_new_mask(layer, tensor)


_MASKED = {"Softmax": _softmax, "GlobalAveragePooling1D": _mean_over_steps}


def taking_masks(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The call of the layer `name` with Keras's argument ``mask``.

    Parameters
    ----------
    name : str
        A class.
    call : callable
        Its ``__call__``.
    """

    if issubclass(getattr(layers, name, layers.Layer), Composed):  # whose inputs have names, a mask among them
        return call

    @wraps(call)
    def masked(self, inputs, *args, mask=None, **kwargs):
        refuse_new_mask(self, inputs)
        if mask is None and name in _MASKED and args and not isinstance(args[0], int | np.bool_):
            mask, *args = args  # where Keras has it
        if mask is None:
            return call(self, inputs, *args, **kwargs)
        if name not in _MASKED:
            raise NotImplementedError(
                f"of layers, {' and '.join(_MASKED)} take a mask. Received: mask={mask!r} for layer '{self.name}' "
                f"({name}): multiply its inputs by the mask, or write mask=None"
            )
        if not isinstance(mask, Tensor):
            mask = np.asarray(mask, np.float32)
            inputs = (
                inputs if isinstance(inputs, Tensor) else import_module("minicnn.keras.ops").cast(inputs, "float32")
            )
        return _MASKED[name](self, call, inputs, mask)

    return masked


def making_none(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call of layers that users write, which is refused if their `compute_mask` makes a mask.

    Parameters
    ----------
    call : callable
        Their ``__call__``.
    """

    @wraps(call)
    def checked(self, *args, **kwargs):
        refuse_new_mask(self, args[0] if args else kwargs)
        return call(self, *args, **kwargs)

    return checked
