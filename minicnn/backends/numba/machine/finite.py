"""Whether numbers are finite: asked by kernels that leave out products with zeros, or make sums of other numbers.

0 · ∞ is no number, so such a kernel's result is the formula's only while what it works with is finite. What comes out
otherwise is computed again, image by image, by the reference.
"""

from collections.abc import Iterator

import numpy as np
from llvmlite import ir

from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.vectors import I64, Emitter


def images_not_finite(outputs: np.ndarray, count: int) -> Iterator[slice]:
    """Slices of those of `count` images whose outputs are not all finite."""
    bad = ~np.isfinite(outputs.reshape(count, -1)).all(axis=1)
    return (slice(image, image + 1) for image in np.flatnonzero(bad))


@inline
def all_finite(array: np.ndarray, start: int, count: int) -> bool:
    """Whether no number of array[start : start + count] is NaN or infinite."""
    zero, part = array.dtype.type(0), array[start : start + count]
    total = zero
    for i in range(count):
        total += part[i] * zero  # NaN for NaN and infinity
    return total == zero


def emit_all_finite(emit: Emitter, vectors: list[ir.Value], count: ir.Value) -> ir.Value:
    """Emit whether the lanes below `count` of some vectors are finite, as one bit.

    Also False where they are so large that their sum is not.
    """
    builder, total = emit.builder, vectors[0]
    for vector in vectors[1:]:
        total = builder.fadd(total, vector)
    lane_indices = ir.Constant(ir.VectorType(I64, emit.lanes), list(range(emit.lanes)))
    counts = builder.icmp_signed("<", lane_indices, emit.splat(count))  # the others hold anything
    bad = builder.and_(counts, builder.fcmp_unordered("uno", builder.fsub(total, total), emit.full(0.0)))
    bits = ir.IntType(emit.lanes)
    return builder.icmp_unsigned("==", builder.bitcast(bad, bits), ir.Constant(bits, 0))
