"""Parts of vectors are stored as they are, whatever instructions a processor has for it, and nothing beside them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types
from numba.extending import intrinsic

from minicnn.backends.numba.machine import vectors
from minicnn.backends.numba.machine.half import emitter_of, numbers_in_vector

ARRAYS = [np.float32, np.float64, np.uint16]  # of uint16: bfloat16


def storing(masked_bytes):
    """A function that stores the first `count` of a vector's numbers at target[at :]."""

    @intrinsic
    def store(typingctx, source, target, at, count):
        def emit(context, builder, signature, args):
            emitter = emitter_of(context, builder, signature.args[0])
            source, target, at, count = emitter.plain(signature.args, args)
            before = vectors.TARGET
            vectors.TARGET = replace(before, masked_bytes=masked_bytes)
            try:
                emitter.store_counted(emitter.load(source), emitter.moved(target, at), count)
            finally:
                vectors.TARGET = before
            return context.get_dummy_value()

        return types.void(source, target, at, count), emit

    @numba.njit
    def call(source, target, at, count):
        store(source, target, at, count)

    return call


STORES = {masked_bytes: storing(masked_bytes) for masked_bytes in (1, 4, 16)}


@numba.njit
def lanes_in(array):
    return numbers_in_vector(array)


@pytest.mark.parametrize("masked_bytes", STORES)
@pytest.mark.parametrize("dtype", ARRAYS)
def test_the_first_numbers_of_a_vector_are_stored_and_no_more(masked_bytes, dtype):
    lanes = lanes_in(np.zeros(1, dtype))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 3 * lanes), st.integers(0, 5), st.integers(0, 2**32 - 1))
    def check(count, at, seed):
        source = np.random.default_rng(seed).integers(1, 120, lanes).astype(dtype)  # of bfloat16: bits of numbers
        target = np.full(at + 4 * lanes, 125, dtype)
        expected = target.copy()
        expected[at : at + min(count, lanes)] = source[:count]
        STORES[masked_bytes](source, target, at, count)
        np.testing.assert_array_equal(target, expected)

    check()
