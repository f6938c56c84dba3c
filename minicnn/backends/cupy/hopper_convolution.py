"""Convolutions of stride 1 by the tensor cores' instructions of Hopper alone (sm_90a)."""

from minicnn.backends.cupy.launch import Array, Maybe, launch
from minicnn.backends.cupy.prepared_weights import Form, prepared
from minicnn.backends.cupy.structures import Normalized
from minicnn.backends.cupy.tensor_choice import Choice, hopper_shared_bytes
from minicnn.backends.cupy.wgmma import can_be_had

TURNED = 1, 4  # directions, as in hopper_convolution.cu


def serves(chosen: Choice, products: int, direction: int) -> bool:
    """Whether the kernel can be had."""
    return can_be_had(_file(chosen, products, direction), "convolve")


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
        How many of TF32 stand for one of float32, 1 or 3; `BFLOAT16`: one of bfloat16; `HALVES`: three of halves.
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
