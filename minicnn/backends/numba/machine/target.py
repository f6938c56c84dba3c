"""The one table of vector lengths and register tiles, by the features of the processor that Numba compiles for."""

from dataclasses import dataclass

from numba.core.registry import cpu_target


@dataclass(frozen=True)
class Target:
    """What the kernels need to know about the processor.

    Attributes
    ----------
    vector_bytes : int
        Size of one vector register.
    has_fma : bool
        Whether multiply-add is one instruction. Without it ``llvm.fma`` would become a library call.
    has_mxcsr : bool
        Whether it is an x86 processor, with their register of how to round.
    heights : tuple of int
        Rows of the register tiles of a matrix product, tallest first. The last one divides the others: row tables are
        padded to its multiples. Measured; a tile is `height` x `WIDTH` accumulators, and must leave registers for
        `WIDTH` vectors of the right operand and one number of the left.
    """

    vector_bytes: int
    has_fma: bool
    has_mxcsr: bool
    heights: tuple[int, ...]


WIDTH = 2  # vectors in a row of a register tile
TILE_OUTPUTS, TILE_KERNEL = 4, 3  # along each axis of a tile of Winograd's convolution
TILE_INPUTS = TILE_OUTPUTS + TILE_KERNEL - 1
TILE_NUMBERS = TILE_INPUTS * TILE_INPUTS  # of a transformed tile

_32_REGISTERS, _16_REGISTERS = (8, 4), (6, 4, 2)

# Sums over live winners keep so many runs by so many vectors of each in registers: shapes for 5, 3 and single runs.
_RUN_SHAPES = ((5, 2), (5, 1), (3, 6), (3, 4), (3, 2), (3, 1), (1, 6), (1, 4), (1, 2), (1, 1))


def describe_target(triple: str, features: set[str]) -> Target:
    """The row of the table for an LLVM target triple and a set of features like "+avx2"."""
    if triple.startswith(("aarch64", "arm64")):
        return Target(16, True, False, _32_REGISTERS)
    if "+avx512f" in features and "+avx512bw" in features and "+avx512vl" in features:
        return Target(64, True, True, _32_REGISTERS)
    has_fma, has_mxcsr = "+fma" in features, triple.startswith(("x86_64", "i686"))
    return Target(32 if "+avx2" in features else 16, has_fma, has_mxcsr, _16_REGISTERS)


def _numba_target() -> Target:
    # Numba's target, not the host: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may ask for another processor.
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return describe_target(triple, set(features.split(",")))


TARGET = _numba_target()
RUN_SHAPES = tuple(s for s in _RUN_SHAPES if s[0] * s[1] <= (18 if TARGET.heights == _32_REGISTERS else 12))
ROWS = TARGET.heights[-1]  # row tables are padded to multiples of this


def lanes(itemsize: int) -> int:
    """Numbers of `itemsize` bytes in one vector."""
    return TARGET.vector_bytes // itemsize


def vectors(count: int, itemsize: int) -> int:
    """Vectors that hold `count` numbers of `itemsize` bytes."""
    return -(-count // lanes(itemsize))
