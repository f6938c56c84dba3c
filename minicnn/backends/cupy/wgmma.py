"""Kernels by the tensor cores' instructions of Hopper alone (sm_90a): whether they can be had."""

from functools import cache

import numpy as np

from minicnn.backends.cupy.launch import kernel
from minicnn.user_warnings import warn_user

_refusals: list[Exception] = []  # why these kernels are not used any more: the first one


def can_be_had(file: str, name: str) -> bool:
    """Whether a kernel can be compiled and loaded; where one cannot, a warning says so once, and no other is tried.

    Parameters
    ----------
    file, name : str
        As `launch` takes them.
    """
    if _refusals:
        return False
    try:
        return _loads(file, name)
    except Exception as error:  # whatever it is, other kernels compute the same
        _refusals.append(error)
        warn_user(
            "convolutions are computed by slower kernels: those for this GPU could not be compiled for sm_90a; a newer "
            f"CUDA may help. Received: {type(error).__name__}: {error}",
            RuntimeWarning,
        )
        return False


@cache
def _loads(file, name):
    """True; CuPy loads a kernel when it is first asked for a property of it."""
    return kernel(file, name, np.dtype(np.float32)).max_dynamic_shared_size_bytes >= 0
