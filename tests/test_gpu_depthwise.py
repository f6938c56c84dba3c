"""Depthwise convolutions on the GPU, or on the stand-in: against the formula in float64, outputs poisoned."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from oracles import assert_close

from minicnn import backends
from minicnn.geometry import make_window

pytestmark = pytest.mark.gpu

CLOSE = {np.float32: 2e-6, np.float64: 1e-13}  # of the largest value: other orders of the sums


def expected(x, kernel, bias, dy, window, times, relu):
    """(y, dx, dkernel, dbias), tap by tap."""
    y, dx, dkernel = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    meetings = [
        (tap, position, pixel)
        for tap in np.ndindex(kernel.shape[:2])
        for position in np.ndindex(dy.shape[1:3])
        if (pixel := pixel_of(window, tap, position)) is not None
    ]
    for (p, q), (i, j), (a, b) in meetings:
        y[:, i, j] += np.repeat(x[:, a, b], times, axis=-1) * kernel[p, q, 0]
    y += 0 if bias is None else bias
    passed = np.where(y > 0, dy, 0) if relu else dy
    for (p, q), (i, j), (a, b) in meetings:
        dkernel[p, q, 0] += (np.repeat(x[:, a, b], times, axis=-1) * passed[:, i, j]).sum(axis=0)
        dx[:, a, b] += (passed[:, i, j] * kernel[p, q, 0]).reshape(len(x), -1, times).sum(axis=-1)
    return np.maximum(y, 0) if relu else y, dx, dkernel, passed.sum(axis=(0, 1, 2))


def pixel_of(window, tap, position):
    """The pixel that a tap meets at a position of the window; None outside of the image."""
    i = position[0] * window.stride_y + tap[0] * window.dilation_y - window.pad_top
    j = position[1] * window.stride_x + tap[1] * window.dilation_x - window.pad_left
    return (i, j) if 0 <= i < window.in_height and 0 <= j < window.in_width else None


def check(rng, images, size, channels, times, kernel_size, strides, dilation, padding, relu, bias, dtype):
    """All directions on the backend, by kernels of their own."""
    from minicnn.backends.cupy import depthwise

    window = make_window(size, kernel_size, strides, padding, dilation)
    filters, out = channels * times, (window.out_height, window.out_width)
    x, kernel = rng.normal(size=(images, *size, channels)), rng.normal(size=(*kernel_size, 1, filters))
    dy, bias = rng.normal(size=(images, *out, filters)), rng.normal(size=filters) if bias else None
    x, kernel, dy, bias = (None if a is None else a.astype(dtype) for a in (x, kernel, dy, bias))
    wanted = expected(
        *(None if a is None else a.astype(np.float64) for a in (x, kernel, bias, dy)), window, times, relu
    )
    if relu:  # where rounding decides whether ReLU passes, nothing is to be compared
        before = expected(
            *(None if a is None else a.astype(np.float64) for a in (x, kernel, bias, dy)), window, times, 0
        )
        assume((np.abs(before[0]) > 1e-5).all())
    backend = backends.get("cupy")
    assert depthwise.serves(kernel, window, channels)
    on_device = [None if a is None else backend.asarray(a) for a in (x, kernel, bias, dy)]
    found = [backend.asarray(np.full(a.shape, np.nan, dtype)) for a in (dy, x, kernel, np.zeros(filters))]
    backend.ops.conv2d(*on_device[:3], found[0], window, channels, relu)
    y = found[0] if relu else None
    found[3] = None if bias is None else found[3]
    for _ in range(2):  # bit by bit the same
        backend.ops.conv2d_backward(on_device[0], on_device[1], y, on_device[3], *found[1:], window, channels, relu)
        results = [None if a is None else backend.to_host(a) for a in found]
        for name, a, b in zip(("y", "dx", "dkernel", "dbias"), results, wanted, strict=True):
            if a is not None:
                assert_close(a, b, CLOSE[dtype], name)
    return results


@st.composite
def geometries(draw):
    """(images, size, channels, times, kernel size, strides, dilation, padding) of a window that fits."""
    number = st.integers
    kernel_size, dilation = [draw(st.tuples(number(1, high), number(1, high))) for high in (5, 3)]
    strides = draw(st.tuples(number(1, 3), number(1, 3)))
    padding = draw(st.sampled_from(["same", "valid"]))
    least = [(k - 1) * d + 1 if padding == "valid" else 1 for k, d in zip(kernel_size, dilation, strict=True)]
    size = tuple(draw(number(low, low + 7)) for low in least)
    return draw(number(1, 3)), size, draw(number(2, 9)), draw(number(1, 3)), kernel_size, strides, dilation, padding


@settings(max_examples=10)  # most of the time is the compiler's, which each size calls
@given(geometries(), st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**32 - 1))
@example((2, (9, 13), 8, 1, (3, 3), (1, 1), (1, 1), "same"), True, True, np.float32, 0)
@example((2, (9, 14), 12, 1, (3, 3), (2, 2), (1, 1), "same"), False, True, np.float32, 1)
@example((1, (11, 11), 132, 1, (5, 5), (1, 1), (2, 2), "same"), True, False, np.float32, 2)
@example((1, (3, 40), 3, 2, (2, 17), (1, 5), (1, 1), "same"), False, True, np.float32, 3)
@example((2, (5, 70), 264, 1, (1, 2), (1, 6), (1, 1), "valid"), False, False, np.float32, 4)
@example((3, (1, 1), 5, 1, (4, 4), (2, 2), (1, 1), "same"), False, True, np.float64, 5)
def test_all_directions(geometry, relu, bias, dtype, seed):
    """Any channels, multipliers, strides, dilation, sizes of images and kernels."""
    check(np.random.default_rng(seed), *geometry, relu, bias, dtype)


@pytest.mark.parametrize("kernel_width", [33, 3])
def test_what_these_kernels_leave_to_products(kernel_width, rng):
    """Kernels of many taps, and those whose taps lie far apart."""
    from minicnn.backends.cupy import depthwise

    dilation = (1, 1) if kernel_width == 33 else (1, 129)
    window = make_window((2, 300), (1, kernel_width), (1, 1), "same", dilation)
    x, kernel = (rng.normal(size=s).astype(np.float32) for s in ((1, 2, 300, 3), (1, kernel_width, 1, 3)))
    assert not depthwise.serves(kernel, window, 3)
    backend, dy = backends.get("cupy"), np.zeros((1, 2, 300, 3))
    y = backend.asarray(np.full(dy.shape, np.nan, np.float32))
    backend.ops.conv2d(backend.asarray(x), backend.asarray(kernel), None, y, window, 3, False)
    wanted, *_ = expected(x.astype(np.float64), kernel.astype(np.float64), None, dy, window, 1, False)
    assert_close(backend.to_host(y), wanted, 2e-6)
