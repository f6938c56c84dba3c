"""Sums of matrix products stay in registers, on whatever processor: LLVM schedules for each one in another way."""

import pytest

pytest.importorskip("numba")

from assembly import AVX512, assembly, innermost_loops, stack_vectors

from minicnn.backends.numba.machine.target import describe_target

PRODUCT = """
from numba import types
from minicnn.backends.numba.machine import matrix
from minicnn.backends.numba.machine.compiled import c_function
print(c_function(matrix._multiply, *matrix._multiply_types(types.float32))._library.get_asm_str())
"""


DEPTHWISE = """
import numpy as np
from minicnn.backends.numba.convolution import depthwise
from minicnn.backends.numba.convolution.gradients import masked
from minicnn.backends.numba.machine import launch
from minicnn.backends.numba.machine.batch import wanted
from minicnn.geometry import make_window
launch.call = lambda entry, *arguments, **options: True  # it is compiled and never run
x, kernel = np.zeros((2, 8, 8, 64), np.float32), np.zeros((3, 3, 1, 64), np.float32)
window = make_window((8, 8), (3, 3), (1, 1), "same")
depthwise.conv2d_backward(x, kernel, masked(x, None), wanted(None, kernel, None, x.dtype), window)
entry, = depthwise._conv2d_backward._dispatcher.overloads.values()
print(entry.library.get_asm_str())
"""
NORMALIZATION = """
import numpy as np
from minicnn.backends.numba import normalization
from minicnn.backends.numba.machine import launch
from minicnn.backends.reference.normalization import Affine, Moments
launch.call = lambda entry, *arguments, **options: True
x, numbers = np.zeros((2, 8, 8, 16), np.float32), np.zeros(16, np.float32)
affine, moments = Affine(numbers, numbers, True), Moments(numbers, numbers)
normalization.batch_norm_backward(x, None, x, affine, moments, x.copy(), None, numbers, numbers, True)
entry, = normalization._batch_norm_backward._dispatcher.overloads.values()
print(entry.library.get_asm_str())
"""
AVX2, SSE = {"+avx2", "+fma", "+bmi2"}, {"+sse2", "+sse4.2"}
FEATURES = {"haswell": AVX2, "znver3": AVX2, "nehalem": SSE}


@pytest.mark.parametrize("cpu", ["znver4", "znver5", "sapphirerapids", "skylake-avx512", *FEATURES])
def test_sums_of_the_product_are_never_on_the_stack(tmp_path, cpu):
    features = FEATURES.get(cpu, AVX512)
    target = describe_target("x86_64-unknown-linux-gnu", features, cpu)
    loops = innermost_loops(assembly(PRODUCT, cpu, features, tmp_path), "vfmadd" if target.has_fma else "mulps")
    blocks = 2 * len(target.heights) + len(target.odd_heights) + len(target.row_widths) + (target.wide_block[0] > 0)
    assert len(loops) >= blocks
    assert not stack_vectors(loops)


@pytest.mark.parametrize("cpu", ["znver4", "znver3", "haswell"])
def test_sums_and_addresses_of_depthwise_kernels_are_never_on_the_stack(tmp_path, cpu):
    loops = innermost_loops(assembly(DEPTHWISE, cpu, FEATURES.get(cpu, AVX512), tmp_path), "vfmadd")
    loops = [loop for loop in loops if sum("vfmadd" in line for line in loop) >= 9]  # a pixel of nine taps
    assert loops
    assert not any("(%rsp)" in line for loop in loops for line in loop)


def test_parts_of_vectors_are_stored_without_masks_where_these_are_slow(tmp_path):
    """AMD's Zen 3 stores by a mask in many steps of microcode."""
    assert "vmaskmov" not in assembly(PRODUCT, "znver3", AVX2, tmp_path)
    assert "vmaskmov" in assembly(PRODUCT, "haswell", AVX2, tmp_path)


@pytest.mark.parametrize("cpu", ["znver3", "haswell"])
def test_gradients_of_normalizations_pass_a_relu_by_one_comparison(tmp_path, cpu):
    """Masks of several widths would be packed and spread, in each turn, to be joined."""
    loops = innermost_loops(assembly(NORMALIZATION, cpu, AVX2, tmp_path), "vcmpnleps")
    loops = [loop for loop in loops if not any("vmaskmov" in line for line in loop)]  # of parts of vectors
    assert loops
    assert not [line for loop in loops for line in loop if "vpackss" in line or "vpmovsx" in line]
