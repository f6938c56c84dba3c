"""Sums of matrix products stay in registers, on whatever processor: LLVM schedules for each one in another way."""

import pytest

pytest.importorskip("numba")

from assembly import AVX512, assembly, innermost_loops, stack_vectors

PRODUCT = """
from numba import types
from minicnn.backends.numba.machine import matrix
from minicnn.backends.numba.machine.compiled import c_function
print(c_function(matrix._multiply, *matrix._multiply_types(types.float32))._library.get_asm_str())
"""


@pytest.mark.parametrize("cpu", ["znver4", "znver5", "sapphirerapids", "skylake-avx512", "haswell", "znver3"])
def test_sums_of_the_product_are_never_on_the_stack(tmp_path, cpu):
    features = {"+avx2", "+fma", "+bmi2"} if cpu in ("haswell", "znver3") else AVX512
    loops = innermost_loops(assembly(PRODUCT, cpu, features, tmp_path), "vfmadd")
    assert len(loops) >= 6  # heights times widths of blocks
    assert not stack_vectors(loops)


def test_parts_of_vectors_are_stored_without_masks_where_these_are_slow(tmp_path):
    """A masked store is forty instructions of AMD's Zen 3, as many as a block's multiply-adds."""
    text = assembly(PRODUCT, "znver3", {"+avx2", "+fma", "+bmi2"}, tmp_path)
    assert "vfmadd" in text and "vmaskmov" not in text
