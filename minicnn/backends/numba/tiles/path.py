"""How this process multiplies bfloat16: never a guess, for without permission the first tile instruction ends it.

LLVM's test says what the processor has: cpuid's leaf 7, and whether the operating system has switched the registers on
(bits 17 and 18 of xcr0). Then Linux is asked, since the registers are 8 KB more of every thread's state
(https://docs.kernel.org/arch/x86/xstate.html). All threads of the process then have them, and children by fork; a
process that another program was loaded into asks again. AMD, older Intel, macOS and Windows end before the question,
and so does ``NUMBA_CPU_NAME=haswell``, which asks for the code of another processor than this one.

Vectors that multiply pairs of bfloat16 (avx512_bf16; AMD's from Zen 4 on, Intel's Cooper Lake) need no permission but
that of AVX-512, which LLVM's test includes.
"""

import ctypes
import os
import sys
from functools import cache

from numba.core import config
from numba.core.registry import cpu_target

VARIABLE = "MINICNN_TILES"
TILES, VECTORS, EMULATED, NONE = "tiles", "vectors", "emulated", "none"
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18  # the system call, what it is asked, of which state
_TILE_FEATURES, _VECTOR_FEATURES = {"+amx-tile", "+amx-bf16"}, {"+avx512bf16", "+avx512bw", "+avx512vl"}


@cache
def path() -> str:
    """How products of bfloat16 are computed in this process: one of `TILES`, `VECTORS`, `EMULATED` and `NONE`.

    ``MINICNN_TILES=0`` switches all of it off; ``MINICNN_TILES=vectors`` the tile registers alone;
    ``MINICNN_TILES=emulated`` has tiles computed by ordinary code, bit for bit and slowly, for tests on any machine.

    Raises
    ------
    ValueError
        If the variable has another value than "0", "1", "vectors", "emulated" and nothing.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "0", "1", VECTORS, EMULATED):
        raise ValueError(
            f"the environment variable {VARIABLE} must be 0 (off), 1 (on where the processor has them), {VECTORS!r} "
            f"(avx512_bf16 where the processor has it, no AMX) or {EMULATED!r} (for tests). Received: {asked!r}"
        )
    if asked in ("0", EMULATED):
        return NONE if asked == "0" else EMULATED
    if config.CPU_NAME is not None and config.CPU_FEATURES is None:  # else Numba names this processor's features
        return NONE
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    names = set(features.split(","))
    if asked != VECTORS and has_instructions(triple, names) and _ask_linux() == 0:
        return TILES
    return VECTORS if triple.startswith("x86_64") and names >= _VECTOR_FEATURES else NONE


def has_instructions(triple: str, features: set[str]) -> bool:
    """Whether Numba compiles for a processor with tiles, under an operating system that this module knows to ask.

    Parameters
    ----------
    triple : str
        LLVM's target triple.
    features : set of str
        Like "+amx-tile".
    """
    is_known = triple.startswith("x86_64") and sys.platform == "linux" and sys.maxsize > 1 << 32
    return is_known and features >= _TILE_FEATURES


def _ask_linux():
    """0 if it permits the registers; anything else means no: kernels before 5.16, signal stacks that are too small."""
    return ctypes.CDLL(None, use_errno=True).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)
