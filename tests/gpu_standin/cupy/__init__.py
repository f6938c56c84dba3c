"""A stand-in for the part of CuPy that minicnn uses, for machines without a GPU; `cuda_on_host.h` runs the kernels.

A test compares names and parameters with the real package where that is installed.
"""

import numpy as _np

from cupy import cuda
from cupy._core import (  # noqa: F401
    FUNCTIONS,
    UFUNCS,
    arange,
    array,
    asarray,
    asnumpy,
    compute,
    device,
    empty,
    full,
    ndarray,
    ones,
    zeros,
)
from cupy._raw import RawKernel, RawModule

__version__ = "stand-in"
globals().update(FUNCTIONS)


def _ufunc(name):
    def call(*args, out=None, **kwargs):
        return compute(getattr(_np, name), *args, out=out, **kwargs)

    call.__name__ = name
    return call


globals().update({name: _ufunc(name) for name in UFUNCS})


def is_available():
    return cuda.runtime.getDeviceCount() > 0


def get_default_memory_pool():
    return cuda.default_pool


def get_default_pinned_memory_pool():
    return cuda.default_pool


__all__ = ["RawKernel", "RawModule", "cuda", "ndarray", *FUNCTIONS, *UFUNCS]
