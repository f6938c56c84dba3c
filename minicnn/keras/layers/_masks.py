"""What layers say of masks: which of them would hand one on, and which one.

No layer makes masks, as there are none for sequences; layers that users write may ask others.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

_MERGING = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
_SUPPORTING = {  # as in Keras 3.15
    *_MERGING,
    *("Concatenate", "Dot"),
    *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
    *("BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "UnitNormalization"),
    *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *("Dense", "GlobalAveragePooling1D", "Identity", "Lambda", "Rescaling"),
    *("SpatialDropout1D", "SpatialDropout2D"),
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


_COMPUTED: dict[str, Any] = {**dict.fromkeys(_MERGING, _of_merging), "Concatenate": _of_concatenate, "Dot": _of_dot}


def masks_of(name: str) -> dict[str, Any]:
    """The attributes `supports_masking` and `compute_mask` of the layer `name`.

    Parameters
    ----------
    name : str
        A class.
    """
    return {"supports_masking": name in _SUPPORTING, "compute_mask": _COMPUTED.get(name, compute_mask)}
