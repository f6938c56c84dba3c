"""Whether numbers are finite: asked by kernels that leave out products with zeros, or make sums of other numbers.

0 · ∞ is no number, so such a kernel's result is the formula's only while what it works with is finite. What comes out
otherwise is computed again, image by image, by the reference.
"""

from collections.abc import Iterator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.backends.numba.machine.vectors import Emitter


def images_not_finite(outputs: np.ndarray, count: int) -> Iterator[slice]:
    """Slices of those of `count` images whose outputs are not all finite."""
    bad = ~np.isfinite(outputs.reshape(count, -1)).all(axis=1)
    return (slice(image, image + 1) for image in np.flatnonzero(bad))


@intrinsic
def all_finite(typingctx, array, start, count):
    """Whether no number of array[start : start + count] is NaN or infinite."""
    return types.boolean(array, types.int64, types.int64), _emit_part_finite


def _emit_part_finite(context, builder, signature, args):
    emit = Emitter(context, builder, signature.args[0])
    array, start, count = emit.plain(signature.args, args)
    (answer,) = emit.registers([cgutils.true_bit])
    with emit.each_vector(count) as (i, _):
        is_finite = emit_all_finite(emit, [emit.load(emit.moved(array, start, i))], builder.sub(count, i))
        builder.store(builder.and_(builder.load(answer), is_finite), answer)
    return builder.load(answer)


def emit_all_finite(emit: Emitter, vectors: list[ir.Value], count: ir.Value) -> ir.Value:
    """Emit whether the lanes below `count` of some vectors are finite, as one bit.

    Also False where they are so large that their sum is not.
    """
    builder, total = emit.builder, vectors[0]
    for vector in vectors[1:]:
        total = builder.fadd(total, vector)
    unordered = builder.fcmp_unordered("uno", builder.fsub(total, total), emit.full(0.0))
    bad = builder.and_(emit.below(count), unordered)  # the others hold anything
    bits = ir.IntType(emit.lanes)
    return builder.icmp_unsigned("==", builder.bitcast(bad, bits), ir.Constant(bits, 0))
