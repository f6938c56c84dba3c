"""Whether this process may use tile registers: never a guess, for without permission the first instruction ends it.

LLVM's test says what the processor has: cpuid's leaf 7, and whether the operating system has switched the registers on
(bits 17 and 18 of xcr0). Then Linux is asked, since the registers are 8 KB more of every thread's state
(https://docs.kernel.org/arch/x86/xstate.html). All threads of the process then have them, and children by fork; a
process that another program was loaded into asks again. AMD, older Intel, macOS and Windows end before the question,
and so does ``NUMBA_CPU_NAME=haswell``, which asks for the code of another processor than this one.
"""

import ctypes
import os
import sys
from functools import cache

from numba.core import config
from numba.core.registry import cpu_target

VARIABLE = "MINICNN_TILES"
TILES, EMULATED, NONE = "tiles", "emulated", "none"
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18  # the system call, what it is asked, of which state
_FEATURES = {"+amx-tile", "+amx-bf16"}


@cache
def path() -> str:
    """How tile products are computed in this process: one of `TILES`, `EMULATED` and `NONE`.

    ``MINICNN_TILES=0`` switches the tiles off; ``MINICNN_TILES=emulated`` has them computed by ordinary code, bit for
    bit and slowly, for tests on any machine.

    Raises
    ------
    ValueError
        If the variable has another value than "0", "1", "emulated" and nothing.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "0", "1", EMULATED):
        raise ValueError(
            f"the environment variable {VARIABLE} must be 0 (off), 1 (on where the processor has them) or "
            f"{EMULATED!r} (for tests). Received: {asked!r}"
        )
    if asked in ("0", EMULATED):
        return NONE if asked == "0" else EMULATED
    is_own = config.CPU_NAME is None or config.CPU_FEATURES is not None  # else Numba names this processor's features
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    is_permitted = is_own and has_instructions(triple, set(features.split(","))) and _ask_linux() == 0
    return TILES if is_permitted else NONE


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
    return is_known and features >= _FEATURES


def _ask_linux():
    """0 if it permits the registers; anything else means no: kernels before 5.16, signal stacks that are too small."""
    return ctypes.CDLL(None, use_errno=True).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)
