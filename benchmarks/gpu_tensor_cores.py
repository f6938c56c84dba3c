"""Convolutions on tensor cores: what was chosen and why, every tile's time, beside the other kernels and cuDNN in TF32.

A part of `gpu.py`, whose `Convolution` and `seconds_of` it is given.
"""

import os
from contextlib import contextmanager
from functools import partial

import gpu_cudnn
from gpu_failures import check_time, go_on_after
from harness import table

import minicnn as mc


@contextmanager
def no_tensor_cores():
    """Inside, products.cu computes."""
    from minicnn.backends.cupy.tensor_cores import VARIABLE

    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


@contextmanager
def precision(name):
    """Inside, float32 is multiplied with this precision."""
    before = mc.get_float32_precision()
    mc.set_float32_precision(name)
    try:
        yield
    finally:
        mc.set_float32_precision(before)


def ways(ours, part):
    """(what was chosen or None, every way to compute a part, a function that computes it that way)."""
    from minicnn.backends.cupy import (
        tensor_choice,
        tensor_cores,
        tensor_gradient,
        tensor_gradient_choice,
        tensor_strides,
    )

    device, window, kernel = tensor_cores.device(), ours.window, ours.kernel
    images, channels, filters = len(ours.x), *kernel.shape[2:]
    if part == "forward":
        sizes = images, window, channels, filters, None, False, device
        return (
            tensor_choice.choose_convolution(*sizes),
            tensor_choice.candidates(*sizes),
            lambda way: tensor_cores.convolve(way, ours.x, kernel, None, ours.y, None),
        )
    if part == "input gradient":
        sizes = images, window, filters, channels, device
        return (
            tensor_strides.choose_input_gradient(*sizes),
            tensor_strides.candidates(*sizes),
            lambda way: tensor_cores.input_gradient(way, kernel, ours.dy, ours.dx),
        )
    sizes = images, window, channels, filters, False, device
    wanted = tensor_gradient.wanted(ours.x, ours.dy, ours.dkernel, None, window)
    return (
        tensor_gradient_choice.choose_gradient(*sizes),
        tensor_gradient_choice.gradient_candidates(*sizes),
        lambda way: tensor_gradient.compute_alone(way, wanted),
    )


def measure(convolution, parts, shapes, seconds_of, smoke, end):
    """For every shape and part that tensor cores can compute: seconds, by tile, and of other ways.

    Parameters
    ----------
    convolution, seconds_of
        `gpu.Convolution` and `gpu.seconds_of`.
    parts, shapes : sequence of str, dict
    smoke, end : bool, float
        As every part gets them.
    """
    rows = []
    for name, shape in shapes.items():
        with go_on_after(f"tensor cores, {name}"):
            check_time(end)
            ours = convolution("cupy", shape)
            with ours.backend.device:
                for part in parts:
                    rows += of_part(name, ours, shape, part, partial(seconds_of, smoke=smoke), smoke)
    return rows


def of_part(name, ours, shape, part, seconds, smoke):
    """A row of `measure`, or none where tensor cores cannot serve."""
    chosen, found, run = ways(ours, part)
    found = [way for way in found if way.shared <= most_shared()]
    if not found:
        return []
    row = {"name": f"{name}: {part}", "products": ours.products, "tiles": {}}
    row["chosen"] = None if chosen is None else chosen.size
    row["estimate"] = None if chosen is None else chosen.microseconds * 1e-6
    for way in found:
        row["tiles"][way.size] = seconds(partial(run, way))
    for key, name in (("high", "high"), ("tf32", "medium")):
        with precision(name):
            row[key] = seconds(partial(run, chosen or found[0]))
    with no_tensor_cores():
        row["plain"] = seconds(partial(ours.run, part))
    torch = gpu_cudnn.torch_or_none()
    if torch is not None:
        peer = gpu_cudnn.TorchConvolution(ours.host, shape)
        row["cudnn"] = peer.seconds(part, smoke)
        torch.backends.cudnn.allow_tf32 = True
        try:
            row["cudnn tf32"] = peer.seconds(part, smoke)
        finally:
            torch.backends.cudnn.allow_tf32 = False
    print(row["name"], {size: f"{time * 1e6:.0f} µs" for size, time in row["tiles"].items()}, flush=True)
    return [row]


def most_shared():
    """Bytes of shared memory that a block can have."""
    from minicnn.backends.cupy.launch import most_shared_memory

    return most_shared_memory()


def text(rows):
    """The table, as Markdown."""

    def micro(seconds):
        return "–" if seconds is None else f"{seconds * 1e6:.1f}"

    def line(row):
        times, chosen = row["tiles"], row["chosen"]
        best = min(times, key=times.get)
        own = times.get(chosen)
        rate = "–" if own is None else f"{2e-12 * row['products'] / own:.1f}"
        names = [chosen or "products.cu", micro(own), rate, micro(row["estimate"]), best, micro(times[best])]
        return [row["name"], *names, *(micro(row.get(key)) for key in ("plain", "cudnn", "high", "tf32", "cudnn tf32"))]

    header = (
        'tensor cores, µs|chosen|takes|TFLOP/s|estimated|best tile|takes|products.cu|cuDNN|"high"|TF32|cuDNN in TF32'
    )
    return table(header.split("|"), [line(row) for row in rows])
