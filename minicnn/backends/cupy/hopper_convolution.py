"""Convolutions of stride 1 by the tensor cores' instructions of Hopper alone (sm_90a)."""

from functools import cache

import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, kernel, launch
from minicnn.backends.cupy.prepared_weights import Form, prepared
from minicnn.backends.cupy.structures import Normalized
from minicnn.backends.cupy.tensor_choice import Choice, hopper_shared_bytes
from minicnn.user_warnings import warn_user

TURNED = 1, 4  # directions, as in hopper_convolution.cu
_refusals: list[Exception] = []  # why these kernels are not used any more: the first one


def serves(chosen: Choice, products: int, direction: int) -> bool:
    """Whether the kernel can be compiled and loaded; where it cannot, a warning says so once, and no other is tried."""
    if _refusals:
        return False
    try:
        return _loads(_file(chosen, products, direction))
    except Exception as error:  # whatever it is, other kernels compute the same
        _refusals.append(error)
        warn_user(
            "convolutions are computed by slower kernels: those for this GPU could not be compiled for sm_90a; a newer "
            f"CUDA may help. Received: {type(error).__name__}: {error}",
            RuntimeWarning,
        )
        return False


@cache
def _loads(file):
    """True; CuPy loads a kernel when it is first asked for a property of it."""
    return kernel(file, "convolve", np.dtype(np.float32)).max_dynamic_shared_size_bytes >= 0


def _file(chosen, products, direction):
    return f"hopper_convolution/{chosen.size}x{products}x{direction}"


def convolve(
    chosen: Choice,
    products: int,
    direction: int,
    source: Array,
    kernel: Array,
    bias: Maybe,
    out: Array,
    winner: Maybe,
    left: tuple[Maybe, Maybe, Maybe, Normalized],
) -> None:
    """out = the convolution as the choice says.

    Parameters
    ----------
    chosen : Choice
    products : int
        How many of TF32 stand for one of float32, 1 or 3; 0: one of bfloat16.
    direction : int
        As in `minicnn.backends.cupy.tensor_cores`; of its input's gradient, the weights are prepared turned.
    source, kernel, bias, out, winner
    left
        What is left of the result, and what is needed for that: the kernel's last arguments.
    """
    file, g, turned = _file(chosen, products, direction), chosen.geometry, int(direction in TURNED)
    taps = g.kernel_height * g.kernel_width
    form = Form(g.channels, g.filters, taps, g.slices, chosen.columns, products, turned)
    shared = hopper_shared_bytes(chosen.columns, g.patch, products)
    arguments = source, kernel, prepared(kernel, form), bias, out, winner, g, *left
    launch(file, "convolve", out.dtype, (chosen.blocks,), chosen.threads, *arguments, shared=shared)
