"""Random numbers that are a pure function of (seed, purpose, iteration, element).

Nothing is stored and nothing can be lost: a dropout mask is the same on every backend and with any number of threads,
and the backward pass draws it again instead of keeping it.

Masks come from Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
as 1, 2, 3", SC 2011). Draws that only the host makes (initial weights, the order of the samples) use NumPy's own
Philox.
"""

import secrets
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import is_integer

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

_state = {"seed": secrets.randbits(63)}  # and how many seeds of each kind came before


def set_seed(seed: int) -> None:
    """Fix the seed that new models and layers draw theirs from; see `minicnn.utils.set_random_seed`.

    Parameters
    ----------
    seed : int
        From 0 to 2**63 - 1.
    """
    if not is_integer(seed) or not 0 <= seed < 2**63:
        raise ValueError(f"a seed is an integer from 0 to 2**63 - 1. Received: {seed!r}")
    _state.update(dict.fromkeys(_state, 0), seed=int(seed))


def next_seed(kind: str = "seed") -> int:
    """A seed of its own for the next layer or model: a function of the global seed and of how many came before.

    Parameters
    ----------
    kind : str
        "call" for calls on arrays, of which workers of one training may make unlike many.
    """
    _state[kind] = count = _state.get(kind, 0) + 1
    return int(generator(_state["seed"], kind, count).integers(2**63))


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A NumPy generator that depends on its arguments only, e.g. ``generator(seed, "shuffle", epoch)``.

    Parameters
    ----------
    seed : int
    purpose : str
        What the numbers are for: others for each.
    *counters : int
        Such as the epoch.
    """
    sequence = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])
    return np.random.Generator(np.random.Philox(sequence))


def philox4x32(counter: Sequence[ArrayLike], key: Sequence[int]) -> list[np.ndarray]:
    """Ten rounds of Philox4x32.

    Parameters
    ----------
    counter : sequence of four uint64 arrays (or scalars) below 2**32
    key : sequence of two ints below 2**32

    Returns
    -------
    list of four uint64 arrays below 2**32
    """
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = (np.uint64(k) for k in key)
    for _ in range(10):
        product_0, product_1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> _HALF) ^ c1 ^ k0,
            product_1 & _LOW,
            (product_0 >> _HALF) ^ c3 ^ k1,
            product_0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return [c0, c1, c2, c3]


def uniform(seed: int, stream: int, iteration: int, count: int, first: int = 0) -> np.ndarray:
    """`count` float32 numbers in [0, 1), multiples of 2**-24, from element `first` on.

    Element i is word i % 4 of the block with counter (i // 4, stream, iteration's low half, iteration's high half)
    under the key (seed's low half, seed's high half).

    Parameters
    ----------
    seed : int
        64 bits.
    stream : int
        32 bits: which consumer draws.
    iteration : int
        64 bits: when it draws.
    count : int
        How many numbers.
    first : int, default 0
        A multiple of 4.
    """
    blocks = np.arange(first // 4, -(-(first + count) // 4), dtype=np.uint64)
    words = philox4x32((blocks, stream, iteration & 0xFFFFFFFF, iteration >> 32), (seed & 0xFFFFFFFF, seed >> 32))
    words = np.stack(np.broadcast_arrays(*words), axis=1).reshape(-1)[:count]  # (count,)
    return ((words >> np.uint64(8)) * 2.0**-24).astype(np.float32)
