"""Losses of a model that are numbers of a whole batch: what is computed of means and sums over all samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.keras._deferred import MeanOrSum
from minicnn.keras._of_tensors import Computed
from minicnn.keras.backend._functions import Later, on_tape
from minicnn.layers.added_loss import BatchScalar

_REDUCTIONS = {"mean": np.mean, "sum": np.sum}


def as_scalars(losses: Any) -> Any:
    """What `add_loss` is given, as the core takes it: numbers that have no value yet are each sample's.

    Raises
    ------
    NotInMinicnn
        When it is trained, for one that is computed of gradients.
    """
    if isinstance(losses, list | tuple):
        return [as_scalars(each) for each in losses]
    return _of_samples(losses) if isinstance(losses, Later) else losses


def _of_samples(loss):
    """The mean, over samples, of a tensor (N,) that holds one number again and again."""
    needs = [part for part in loss.needs if isinstance(part, Tensor | BatchScalar)]
    if len(needs) < len(loss.needs):
        raise TypeError(f"add_loss takes no gradients of K.gradients: a tape has them. Received: {loss!r}")
    tensors = list(dict.fromkeys(part if isinstance(part, Tensor) else part.tensor for part in needs))

    def of_arrays(*arrays):
        known = dict(zip(tensors, arrays, strict=True))
        values = {
            part: known[part] if isinstance(part, Tensor) else _REDUCTIONS[part.reduction](known[part.tensor])
            for part in needs
        }
        number = on_tape(loss, values)
        if np.ndim(number):
            raise TypeError(f"a loss of a whole batch is one number. Received: an array of shape {np.shape(number)}")
        return number + np.zeros(len(arrays[0]), arrays[0].dtype)  # (N,)

    return MeanOrSum(Computed(of_arrays)(tensors if len(tensors) > 1 else tensors[0]), "mean")
