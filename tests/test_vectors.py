"""Parts of vectors are stored as they are, whatever instructions a processor has for it, and nothing beside them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from numba import types
from numba.extending import intrinsic

from minicnn.backends.numba.machine import vectors
from minicnn.backends.numba.machine.half import emitter_of, numbers_in_vector

ARRAYS = [np.float32, np.float64, np.uint16]  # of uint16: bfloat16
MASKS = [1, 4, 16]  # sizes of numbers that have masks: as AVX-512, AVX2, and others
POISON = 125


def storing(emit):
    """size of masks → a function of (source, target, at, stride, count), the body of which `emit` gives."""

    def function(least_masked_bytes):
        @intrinsic
        def store(typingctx, source, target, at, stride, count):
            def body(context, builder, signature, args):
                emitter, before = emitter_of(context, builder, types.Array(numbers(source), 1, "C")), vectors.TARGET
                source_, target_, at, stride, count = emitter.plain(signature.args, args)
                pointers = [emitter.moved(target_, at), emitter.moved(target_, at, stride)]
                vectors.TARGET = replace(before, least_masked_bytes=least_masked_bytes)
                try:
                    emit(emitter, source_, pointers, count)
                finally:
                    vectors.TARGET = before
                return context.get_dummy_value()

            return types.void(source, target, at, stride, count), body

        @numba.njit
        def call(source, target, at, stride, count):
            store(source, target, at, stride, count)

        return call

    return {size: function(size) for size in MASKS}


def numbers(array):
    """Of an array of bytes, as many as there are float32 in a vector."""
    return types.float32 if array.dtype == types.uint8 else array.dtype


def of_numbers(emitter, source, pointers, count):
    emitter.store_all_counted([emitter.load(source, i) for i in range(2)], pointers, count)


def of_bytes(emitter, source, pointers, count):
    emitter.store_counted(emitter.load_bytes(source), pointers[0], count)
    emitter.store_counted(emitter.load_bytes(emitter.moved(source, emitter.index(emitter.lanes))), pointers[1], count)


NUMBERS, BYTES = storing(of_numbers), storing(of_bytes)


@numba.njit
def lanes_in(array):
    return numbers_in_vector(array)


def check(store, dtype, lanes):
    """Two vectors, of every count and at every place in a vector."""
    source = np.arange(1, 2 * lanes + 1).astype(dtype)  # of bfloat16: bits of numbers
    for count in range(1, 3 * lanes):
        for at in range(lanes):
            target = np.full(at + 5 * lanes, POISON, dtype)
            expected, stride = target.copy(), 2 * lanes + 1
            for i in range(2):
                kept = source[i * lanes : (i + 1) * lanes][:count]
                expected[at + i * stride :][: len(kept)] = kept
            store(source, target, at, stride, count)
            np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("least_masked_bytes", MASKS)
@pytest.mark.parametrize("dtype", ARRAYS)
def test_the_first_numbers_of_vectors_are_stored_and_no_more(least_masked_bytes, dtype):
    check(NUMBERS[least_masked_bytes], dtype, lanes_in(np.zeros(1, dtype)))


@pytest.mark.parametrize("least_masked_bytes", MASKS)
def test_the_first_bytes_of_vectors_are_stored_and_no_more(least_masked_bytes):
    check(BYTES[least_masked_bytes], np.uint8, lanes_in(np.zeros(1, np.float32)))
