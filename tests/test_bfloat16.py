"""Rounding to bfloat16 against the definition, in exact fractions, and the precision of float32 products."""

import math
from bisect import bisect_right
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn.bfloat16 import BFLOAT16, bits, round_to_bfloat16, rounded, widen


def value_of(word):
    """The number that 16 bits stand for, by the format's definition; None for NaN."""
    sign, exponent, fraction = word >> 15, (word >> 7) & 0xFF, word & 0x7F
    if exponent == 0xFF:
        return None if fraction else (-1) ** sign * math.inf
    significand = Fraction(fraction, 128) + (exponent > 0)
    return (-1) ** sign * significand * Fraction(2) ** (max(exponent, 1) - 127)


MAGNITUDES = [value_of(word) for word in range(0x7F80)]  # the finite ones, ascending
OVERFLOWS = MAGNITUDES[-1] + Fraction(2) ** 119  # half a step beyond the largest


def nearest(number):
    """Bits of the nearest bfloat16 of a float, of two equally near ones those that end in 0."""
    size = Fraction(abs(number))
    low = bisect_right(MAGNITUDES, size) - 1
    near = [word for word in (low, low + 1) if word < 0x7F80]
    word = 0x7F80 if size >= OVERFLOWS else min(near, key=lambda w: (abs(MAGNITUDES[w] - size), w & 1))
    return word | (0x8000 if math.copysign(1, number) < 0 else 0)


def test_every_bfloat16_is_widened_exactly_and_rounds_to_itself():
    words = np.arange(2**16, dtype=np.uint16)
    wide = widen(words)
    expected = np.array([math.nan if value_of(w) is None else float(value_of(w)) for w in words.tolist()])
    np.testing.assert_array_equal(wide, expected)  # float64 holds them all exactly
    is_nan = np.isnan(wide)
    back = round_to_bfloat16(wide)
    np.testing.assert_array_equal(back[~is_nan], words[~is_nan])
    np.testing.assert_array_equal(back[is_nan], words[is_nan] | 0x40)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_rounding_is_to_the_nearest_and_to_even(number):
    assert int(round_to_bfloat16(np.float32(number))) == nearest(number)


@pytest.mark.parametrize("word", [0x3F80, 0x3F81, 0x0001, 0x0000, 0x007F, 0x7F7E, 0x7F7F])
def test_ties_go_to_even_and_their_neighbours_do_not(word):
    middle = np.uint32(word << 16 | 0x8000)
    numbers = np.array([middle - 1, middle, middle + 1], np.uint32).view(np.float32)
    assert round_to_bfloat16(numbers).tolist() == [word, word + (word & 1), word + 1]
    assert round_to_bfloat16(-numbers).tolist() == [w | 0x8000 for w in (word, word + (word & 1), word + 1)]


def test_infinity_and_nan():
    special = np.array([np.inf, -np.inf, 3.3961776e38, -3.4028235e38], np.float32)
    assert round_to_bfloat16(special).tolist() == [0x7F80, 0xFF80, 0x7F80, 0xFF80]
    nans = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0x7FC12345], np.uint32).view(np.float32)
    assert round_to_bfloat16(nans).tolist() == [0x7FC0, 0xFFC0, 0x7FFF, 0x7FC1]


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.float32(1.5), np.arange(24.0).reshape(2, 3, 4).T[::2, ::-1]])
def test_shapes_and_layouts(array):
    array = np.asarray(array, np.float32)
    assert round_to_bfloat16(array).shape == widen(round_to_bfloat16(array)).shape == array.shape
    np.testing.assert_array_equal(rounded(array), array)


def test_the_dtype_says_what_it_is_and_shares_memory():
    array = np.zeros(3, BFLOAT16)
    bits(array)[...] = round_to_bfloat16(np.array([1, -2, 0.5], np.float32))
    np.testing.assert_array_equal(widen(array), [1, -2, 0.5])
    assert BFLOAT16.itemsize == 2 and np.uint16 != BFLOAT16
    with pytest.raises(TypeError):
        array + array  # never arithmetic on bits by mistake


def test_the_precision_of_float32_is_a_setting():
    assert mc.get_float32_precision() == "highest"
    try:
        for precision in ("high", "medium", "highest"):
            mc.set_float32_precision(precision)
            assert mc.get_float32_precision() == precision
        with pytest.raises(
            ValueError, match=r"`precision` must be one of 'highest', 'high', 'medium'. Received: .*tf32"
        ):
            mc.set_float32_precision("tf32")
        assert mc.get_float32_precision() == "highest"
    finally:
        mc.set_float32_precision("highest")
