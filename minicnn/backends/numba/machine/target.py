"""The one table of vector lengths and register blocks, by the features of the processor that Numba compiles for."""

from dataclasses import dataclass

from numba.core.registry import cpu_target

_NONE = 16  # bytes: no number has as many


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
    registers : int
        How many vectors it holds.
    least_masked_bytes : int
        Size of the smallest numbers whose vectors are stored in part, by a mask, in few steps; 16, as none has, where
        there is no such instruction.
    near_third_cache : bool
        Whether what the second cache has no room for is still near: AMD's Zen has a third cache for a few cores.
    """

    vector_bytes: int
    has_fma: bool
    has_mxcsr: bool
    registers: int
    least_masked_bytes: int = _NONE
    near_third_cache: bool = False

    @property
    def heights(self) -> tuple[int, ...]:
        """Rows of the register blocks of a matrix product, tallest first.

        The last one divides the others: row tables are padded to its multiples. Measured; a block is `height` x
        `WIDTH` accumulators, and must leave registers for `WIDTH` vectors of the right operand and one number of the
        left.
        """
        return (8, 4) if self.registers == 32 else (6, 4, 2)

    @property
    def odd_heights(self) -> tuple[int, ...]:
        """The same for blocks of `ODD_WIDTH` vectors; four rows fill 16 registers, if none is for products alone."""
        if self.registers == 32:
            return (8, 4)
        return (4, 2) if self.has_fma else (2,)

    @property
    def wide_block(self) -> tuple[int, int]:
        """Rows and vectors of the block for many columns, zeros where there is none.

        A load of the left operand serves all vectors of a row: this one has the fewest loads for its multiply-adds. 29
        of 32 registers are full.
        """
        return (6, 4) if self.registers == 32 else (0, 0)

    @property
    def row_widths(self) -> tuple[int, ...]:
        """Vectors of the register blocks of a product's single row, widest first."""
        return 8, 4, 2, 1


WIDTH = 2  # vectors in a row of a register block
# Vectors in a row of the block for an odd number of them: blocks of `WIDTH` would leave a single one, which needs a
# load for each of its multiply-adds.
ODD_WIDTH = 3
VECTORS_PER_NANOSECOND = 2  # multiplied and added by one core, about


def describe_target(triple: str, features: set[str], processor: str = "") -> Target:
    """The row of the table for an LLVM target triple, a set of features like "+avx2", and LLVM's name, "znver4"."""
    if triple.startswith(("aarch64", "arm64")):
        return Target(16, has_fma=True, has_mxcsr=False, registers=32)
    is_zen = processor.startswith("znver")
    if "+avx512f" in features and "+avx512bw" in features and "+avx512vl" in features:
        return Target(64, has_fma=True, has_mxcsr=True, registers=32, least_masked_bytes=1, near_third_cache=is_zen)
    has_fma, has_mxcsr = "+fma" in features, triple.startswith(("x86_64", "i686"))
    if "+avx2" not in features:
        return Target(16, has_fma, has_mxcsr, registers=16)
    # AVX2 has masks for numbers of four bytes and more. Zen, up to the third, does it in many steps of microcode.
    least = _NONE if is_zen else 4
    return Target(32, has_fma, has_mxcsr, registers=16, least_masked_bytes=least, near_third_cache=is_zen)


def _numba_target() -> Target:
    # Numba's target, not the host: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may ask for another processor.
    triple, processor, features = cpu_target.target_context.codegen().magic_tuple()
    return describe_target(triple, set(features.split(",")), processor)


TARGET = _numba_target()
ROWS = TARGET.heights[-1]  # row tables are padded to multiples of this


def lanes(itemsize: int) -> int:
    """Numbers of `itemsize` bytes in one vector."""
    return TARGET.vector_bytes // itemsize


def vectors(count: int, itemsize: int) -> int:
    """Vectors that hold `count` numbers of `itemsize` bytes."""
    return -(-count // lanes(itemsize))


def product_nanoseconds(multiply_adds: int, itemsize: int) -> int:
    """About how long one core needs for a matrix product."""
    return multiply_adds // (VECTORS_PER_NANOSECOND * lanes(itemsize))
