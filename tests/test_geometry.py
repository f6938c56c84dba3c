"""Output sizes and padding, against counting and against the rules of TensorFlow."""

import math

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.geometry import Window, effective_size, make_window

sizes, small = st.integers(1, 40), st.integers(1, 6)


@given(size=sizes, kernel=small, stride=small, dilation=st.integers(1, 3), other=st.integers(6, 20))
def test_against_counting(size, kernel, stride, dilation, other):
    """Height and width are independent, and swap when all arguments swap."""
    for padding in ("valid", "same"):
        if effective_size(kernel, dilation) > size:
            continue
        window = make_window((size, other), (kernel, 2), (stride, 1), padding, (dilation, 1))
        rows = [
            [i if 0 <= i < size else None for i in range(p * stride - window.pad_top, size + 20, dilation)][:kernel]
            for p in range(window.out_height)
        ]
        assert rows == oracles.positions(size, kernel, stride, dilation, padding)
        swapped = make_window((other, size), (2, kernel), (1, stride), padding, (1, dilation))
        assert (swapped.out_height, swapped.out_width) == (window.out_width, window.out_height)
        assert (swapped.pad_left, swapped.pad_right) == (window.pad_top, window.pad_bottom)
        if padding == "valid":
            assert window.out_height == (size - effective_size(kernel, dilation)) // stride + 1
            assert not window.is_padded
        else:
            assert window.out_height == math.ceil(size / stride)
            assert window.pad_bottom - window.pad_top in (0, 1)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "out", "pads"),
    [
        (6, 3, 2, "same", 3, (0, 1)),  # measured with TensorFlow
        (5, 2, 2, "valid", 2, (0, 0)),
        (5, 2, 2, "same", 3, (0, 1)),
        (7, 3, 2, "same", 4, (1, 1)),
        (28, 5, 1, "same", 28, (2, 2)),
        (28, 4, 1, "same", 28, (1, 2)),
        (4, 1, 3, "same", 2, (0, 0)),
        (3, 5, 1, "same", 3, (2, 2)),
        (1, 1, 5, "valid", 1, (0, 0)),
    ],
)
def test_known_cases(size, kernel, stride, padding, out, pads):
    window = make_window((size, size), (kernel, kernel), (stride, stride), padding)
    assert (window.out_height, window.out_width) == (out, out)
    assert (window.pad_top, window.pad_bottom) == (window.pad_left, window.pad_right) == pads


@pytest.mark.parametrize(
    ("size", "kernel", "dilation"), [((5, 9), (6, 3), 1), ((9, 5), (3, 6), 1), ((4, 4), (3, 1), 2), ((1, 1), (2, 2), 1)]
)
def test_a_window_larger_than_its_input(size, kernel, dilation):
    with pytest.raises(ValueError, match=r"larger than its input.*\(height, width\)") as caught:
        make_window(size, kernel, (1, 1), "valid", (dilation, dilation))
    assert str(size) in str(caught.value)
    assert str(kernel) in str(caught.value)


def test_every_position_lies_inside_the_padded_image():
    for kernel, stride, dilation, padding in (
        (3, 2, 1, "same"),
        (3, 3, 2, "same"),
        (2, 1, 2, "valid"),
        (5, 4, 1, "valid"),
    ):
        for size in range(effective_size(kernel, dilation), 20):
            w = make_window((size, size), (kernel, kernel), (stride, stride), padding, (dilation, dilation))
            last = (w.out_height - 1) * stride + effective_size(kernel, dilation)
            assert last <= size + w.pad_top + w.pad_bottom


def test_overlaps_and_taps():
    def window(kernel, stride, dilation=(1, 1)):
        return make_window((9, 9), kernel, stride, "valid", dilation)

    assert not window((2, 2), (2, 2)).overlaps
    assert window((3, 2), (2, 2)).overlaps
    assert window((2, 3), (2, 2)).overlaps
    assert not window((2, 2), (3, 2)).overlaps
    assert window((2, 2), (2, 2), (2, 1)).overlaps
    assert window((2, 3), (1, 1)).taps == 6
    assert Window(5, 5, 2, 2) == Window(5, 5, 2, 2)
    assert hash(Window(5, 5, 2, 2)) == hash(Window(5, 5, 2, 2))
