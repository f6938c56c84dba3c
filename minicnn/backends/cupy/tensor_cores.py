"""Convolutions and their gradients on tensor cores, at float32's accuracy unless less is asked for."""

import os
import threading
from collections.abc import Callable
from functools import cache, wraps

import cupy
import numpy as np

from minicnn.backends.cupy import hopper_convolution, left_sums
from minicnn.backends.cupy.launch import Array, Maybe, launch, most_shared_memory
from minicnn.backends.cupy.left_moments import are_wanted, moments_to_leave
from minicnn.backends.cupy.pooling import is_2x2
from minicnn.backends.cupy.structures import Normalized
from minicnn.backends.cupy.tensor_choice import (
    BFLOAT16,
    FAST,
    HALVES,
    HOPPER_FILE,
    LEAST_CAPABILITY,
    NARROW_FILE,
    Choice,
    Device,
    choose_convolution,
    with_taps_turned,
)
from minicnn.backends.cupy.tensor_strides import choose_input_gradient
from minicnn.geometry import Window
from minicnn.precision import get_float32_precision

VARIABLE = "MINICNN_TENSOR_CORES"  # 0: not used
NOTHING = Normalized()
FORWARD, TURNED, IN_PARTS, WITH_MOMENTS, WITH_SUMS = range(5)  # directions, as in the kernels
OF_FACTORS = {"bfloat16": BFLOAT16, "float16": 1}  # by what factors are rounded to: TF32 has as many bits as float16
TF32_VARIABLE = "MINICNN_TF32"  # 1: as `mc.set_float32_precision("medium")`


def uses_tf32() -> bool:
    """Whether factors may be rounded to 11 bits."""
    return get_float32_precision() == "medium" or os.environ.get(TF32_VARIABLE, "0") not in ("", "0")


class _Policy(threading.local):
    """Of the op that runs, in a thread: another one may prepare data meanwhile."""

    products: int | None = None


_policy = _Policy()


def in_products(op: Callable[..., None], count: int) -> Callable[..., None]:
    """The op, which computes so many `products` for one on tensor cores; what else it does is as without."""

    @wraps(op)
    def mixed(*arguments: object, **options: object) -> None:
        _policy.products = count
        try:
            op(*arguments, **options)
        finally:
            _policy.products = None

    return mixed


def device() -> Device:
    """The current device, as choices see it: one without tensor cores where these gain nothing, or are not wanted."""
    if os.environ.get(VARIABLE, "1") in ("", "0"):
        return Device(0, 0)
    found = _device(cupy.cuda.Device().id)
    return found if products() != 3 or found.capability in FAST else Device(0, 0)


@cache
def _device(index):
    return Device(int(cupy.cuda.Device(index).compute_capability), most_shared_memory())


def can_read(window: Window, groups: int, *arrays: Maybe) -> bool:
    """Whether the arrays are float32, and 16 bytes can be moved at a time."""
    return groups == 1 and all(a.dtype == np.float32 and a.data.ptr % 16 == 0 for a in arrays if a is not None)


def choice(
    x: Array, kernel: Array, y: Array, window: Window, groups: int, pool: Window | None, relu: bool
) -> Choice | None:
    """How `convolve` is to compute a convolution with these arguments; None if it is not to."""
    if not can_read(window, groups, x, kernel, y) or not (pool is None or is_2x2(pool)):
        return None
    return _choose(choose_convolution, FORWARD, len(x), window, *kernel.shape[2:], pool, relu)


def choice_of_input_gradient(kernel: Array, dy: Array, dx: Maybe, window: Window, groups: int) -> Choice | None:
    """As `choice`, of `input_gradient`."""
    if dx is None or not can_read(window, groups, kernel, dy, dx):
        return None
    return _choose(choose_input_gradient, TURNED, len(dx), window, kernel.shape[3], kernel.shape[2])


def _choose(choose, direction, *numbers):
    """The best choice whose kernel can be had: without that for Hopper, as on an A100."""
    chosen = choose(*numbers, device())
    if chosen and not _serves(chosen, direction):
        return choose(*numbers, device()._replace(capability=LEAST_CAPABILITY))
    return chosen


def _serves(chosen, direction):
    """Whether the kernel for this direction can be had."""
    return chosen.file != HOPPER_FILE or hopper_convolution.serves(chosen, _products_in(chosen), direction)


def convolve(chosen: Choice, x: Array, kernel: Array, bias: Maybe, y: Array, winner: Maybe) -> None:
    """y = the convolution, + bias, pooling and ReLU as the choice says; see `left_moments` for what else it leaves."""
    moments = None
    if not chosen.geometry.pool and are_wanted(y, chosen.parts) and _serves(chosen, WITH_MOMENTS):
        moments = moments_to_leave(y, chosen.parts)
    _launch_convolution(chosen, WITH_MOMENTS if moments else FORWARD, x, kernel, bias, y, winner, moments)


def input_gradient(chosen: Choice, kernel: Array, dy: Array, dx: Array) -> None:
    """dx = the gradient by the input of a convolution; see `left_sums` for what else it leaves."""
    is_strided, turned = chosen.geometry.divide_y * chosen.geometry.divide_x > 1, with_taps_turned(chosen)
    if not is_strided and left_sums.are_wanted(dx, chosen.parts) and _serves(chosen, WITH_SUMS):
        sums, normalized = left_sums.sums_to_leave(dx, chosen.parts)
        parts = sums.of_dy, sums.of_x, None
        _launch_convolution(turned, WITH_SUMS, dy, kernel, None, dx, None, parts, normalized)
        return
    _launch_convolution(turned, IN_PARTS if is_strided else TURNED, dy, kernel, None, dx, None)


def products() -> int:
    """How many products of TF32 stand for one of float32; or `BFLOAT16`."""
    if _policy.products is not None:
        return _policy.products
    return 1 if uses_tf32() else 3


def _products_in(chosen):
    """As `products`; kernels for 16 channels, which load more than they multiply, round to TF32 instead.

    Those for Hopper multiply halves where "high" is enough: their range is that of a pixel's channels, and a filter's.
    """
    number = products()
    if number == 3 and chosen.file == HOPPER_FILE and get_float32_precision() == "high":
        return HALVES
    return 1 if number == BFLOAT16 and chosen.file == NARROW_FILE else number


def _launch_convolution(chosen, direction, source, kernel, bias, out, winner, parts=None, normalized=NOTHING):
    left = *(parts or (None,) * 3), normalized
    if chosen.file == HOPPER_FILE:
        hopper_convolution.convolve(chosen, _products_in(chosen), direction, source, kernel, bias, out, winner, left)
        return
    file, is_narrow = f"{chosen.file}/{chosen.size}x{_products_in(chosen)}x{direction}", chosen.file == NARROW_FILE
    arguments = source, kernel, bias, out, *(() if is_narrow else (winner,)), chosen.geometry, *left
    launch(file, "convolve", out.dtype, (chosen.blocks,), chosen.threads, *arguments, shared=chosen.shared)
