"""What the tests of the Numba kernels share: arrays, poisoned outputs, comparing with the reference, geometries."""

import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from minicnn import backends
from minicnn.backends import memory
from minicnn.backends.reference import ops as reference
from minicnn.geometry import make_window

fast = backends.get("numba").ops

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
CANARY = 0xA5
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

channel_counts = st.sampled_from([1, 3, 5, 6, 16, 32])
filter_counts = st.sampled_from([1, 6, 10, 16, 32, 33, 64])
seeds = st.integers(0, 2**32 - 1)


# ------------------------------------------------------------------------------------------------------ helpers


def aligned(values):
    """A copy of the values as the library's buffers are: aligned, with room behind."""
    values = np.asarray(values)
    array = memory.empty(values.shape, values.dtype)
    array[...] = values
    return array


def normal(rng, *shape, dtype=np.float32):
    return aligned(rng.standard_normal(shape).astype(dtype))


class Output:
    """An output full of NaN with canary bytes behind it: a kernel must write all of it and nothing else."""

    def __init__(self, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._bytes = memory.empty(size + 128, np.uint8)
        self._bytes.fill(CANARY)
        self.array = self._bytes[:size].view(dtype).reshape(shape)
        self.array.fill(np.nan if np.dtype(dtype).kind == "f" else 77)
        self._behind = self._bytes[size:]

    def check(self):
        assert (self._behind == CANARY).all(), "written beyond the end"


def outputs(dtype, **shapes):
    """Poisoned outputs by name; None for a shape of None, bytes for `winner`."""
    return {name: shape and Output(shape, np.uint8 if name == "winner" else dtype) for name, shape in shapes.items()}


def run_both(name, inputs, shapes, dtype, terms=0.0, **options):
    """Call the kernel and the reference and compare every output; returns the kernel's outputs.

    `terms` is the size of the numbers that an output is a sum of, where they may cancel.
    """
    arrays = {key: value for key, value in inputs.items() if isinstance(value, np.ndarray)}
    before = {key: value.copy() for key, value in arrays.items()}
    mine, theirs = outputs(dtype, **shapes), outputs(dtype, **shapes)
    results = []
    for module, written in ((fast, mine), (reference, theirs)):
        arguments = inputs | {key: output and output.array for key, output in written.items()}
        names = inspect.signature(getattr(reference, name)).parameters
        getattr(module, name)(**{key: value for key, value in arguments.items() if key in names}, **options)
        for key, value in before.items():
            assert np.array_equal(arrays[key], value), f"{key} was modified"
        results.append({key: output and output.array for key, output in written.items()})
    for key in shapes:
        if mine[key] is not None:
            mine[key].check()
            compare(results[0][key], results[1][key], dtype, key, max(terms, largest_term(key, **arrays)))
    return results[0]


def largest_term(name, dy=None, x=None, kernel=None, bias=None, **_):
    """The size of what a convolution's output or gradient is a sum of, which may be near 0, as its terms cancel."""
    factors = {"y": [x, kernel], "dbias": [dy], "dkernel": [dy, x], "dx": [dy, kernel]}.get(name, [None])
    if any(f is None for f in factors):
        return 0
    product = np.prod([np.abs(f).max(initial=0) for f in factors])
    return product if name != "y" or bias is None else max(product, np.abs(bias).max(initial=0))


def compare(ours, theirs, dtype, name="", terms=0.0):
    if ours.dtype == np.uint8:
        assert np.array_equal(ours, theirs), name
        return
    assert np.isfinite(ours).all(), name
    error, scale = np.abs(ours - theirs).max(initial=0), max(np.abs(theirs).max(initial=0), terms)
    assert error <= TOLERANCE[dtype] * max(scale, 1e-30), (name, error, scale)


@st.composite
def windows(draw, smallest=1, padding=None, kernels=(1, 2, 3, 5), dilations=(1, 1, 2, 3), in_size=None):
    """A window over an image of odd or even size, not square."""

    def pair(values):
        return draw(st.sampled_from(values)), draw(st.sampled_from(values))

    kernel, dilation = pair(kernels), pair(dilations)
    padding = draw(st.sampled_from(["valid", "same"])) if padding is None else padding
    if in_size is None:
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        in_size = tuple(span + smallest - 1 + draw(st.integers(0, 9)) for span in spans)
    return make_window(in_size, kernel, pair((1, 1, 2, 3)), padding, dilation)


@st.composite
def pooled_windows(draw):
    """A convolution window with at least 3x3 outputs and a pooling window over them: plain, overlapping or padded."""
    window = draw(windows(smallest=9))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    strides = draw(st.sampled_from([kernel, (1, 2), (2, 2), (3, 1)]))
    padding = draw(st.sampled_from(["valid", "valid", "same"]))
    return window, make_window((window.out_height, window.out_width), kernel, strides, padding)


def out_shape(n, window, channels):
    return n, window.out_height, window.out_width, channels


def in_shape(n, window, channels):
    return n, window.in_height, window.in_width, channels
