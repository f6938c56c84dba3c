"""Batches that are joined: what a model's tensors, which have the same samples, cannot be, and arrays can."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from minicnn.graph import Tensor
from minicnn.settings import floatx


def joining_samples(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a Concatenate, which puts the samples of arrays behind each other if that is its axis.

    So a model's `call` may join two views of its images, and runs on arrays then.
    """

    @wraps(call)
    def joined(self, inputs, *args, **kwargs):
        several = list(inputs) if isinstance(inputs, list | tuple) else []
        if not several or any(isinstance(x, Tensor) for x in several) or self.axis not in (0, -np.ndim(several[0])):
            return call(self, inputs, *args, **kwargs)
        return np.concatenate([x.astype(floatx()) if _is_double(x) else x for x in several], axis=0)

    return joined


def _is_double(x):
    return isinstance(x, np.ndarray) and x.dtype == np.float64
