"""The tile instructions in ordinary code, bit for bit: how they are tested on machines that lack them.

The registers are memory. Its first 64 bytes are the configuration as ``ldtilecfg`` reads it (Intel's manual, volume 1,
chapter 18); then comes whether it was loaded, then eight registers of 16 rows of 64 bytes. What a processor refuses
with an exception (no configuration, shapes that do not fit) makes the sums NaN here, so that tests fail.

Nothing here may be compiled with the other kernels' freedoms: a sum in another order is another sum.
"""

import numpy as np
from numba import carray, njit, types
from numba.core.ccallback import CFunc

from minicnn.backends.numba.machine.disk_cache import cache_of
from minicnn.backends.numba.machine.self_contained import Part, SelfContained

SIDE, ROW_BYTES = 16, 64  # rows of a register
_OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_IS_CONFIGURED, _FIRST, _REGISTER = 64, 128, SIDE * ROW_BYTES
_ROW_BYTES_AT, ROWS_AT = 16, 48  # in the configuration: 16-bit numbers, and bytes
REGISTERS_SIZE = _FIRST + 8 * _REGISTER
_SMALLEST = np.float32(2.0**-126)  # of the normal numbers


def _exact(function):
    """Decorator: a part of these functions, with the rounding that it says."""
    return njit(pipeline_class=Part, **_OPTIONS)(function)


@_exact
def _flushed(number):
    """A denormal number counts as zero."""
    return number * np.float32(0) if abs(number) < _SMALLEST else number


@_exact
def _multiply_add(total, x, y):
    """total + x · y, rounded once: float64 holds the product, and all of the sum that float32's rounding looks at."""
    return _flushed(np.float32(np.float64(total) + np.float64(x) * np.float64(y)))


@_exact
def _register(state, number):
    return state[_FIRST + number * _REGISTER : _FIRST + (number + 1) * _REGISTER]


@_exact
def _floats(state, number):
    """A register as 16 rows of 16 float32."""
    return _register(state, number).view(np.float32)


@_exact
def _widened(state, number):
    """A register as 16 rows of 32 bfloat16, widened to float32, without denormal numbers."""
    halves = _register(state, number).view(np.uint16)
    words = np.zeros(len(halves), np.uint32)
    for i in range(len(halves)):
        words[i] = np.uint32(halves[i]) << np.uint32(16)
    numbers = words.view(np.float32)
    for i in range(len(numbers)):
        numbers[i] = _flushed(numbers[i])
    return numbers


@_exact
def _shape(state, number):
    """(rows, bytes of a row) of a register; of none without a configuration."""
    if state[_IS_CONFIGURED] == 0:
        return 0, 0
    return np.int64(state[ROWS_AT + number]), np.int64(state[_ROW_BYTES_AT + 2 * number])


def _configure(registers):
    """``ldtilecfg``: shapes are those in memory, and all registers zero."""
    state = carray(registers, REGISTERS_SIZE)
    state[_IS_CONFIGURED] = 1 if state[0] == 1 else 0  # the only palette
    state[_FIRST:] = 0


def _release(registers):
    """``tilerelease``."""
    state = carray(registers, REGISTERS_SIZE)
    state[_IS_CONFIGURED] = 0


def _load(registers, number, source, stride):
    """``tileloadd``: rows that are `stride` bytes apart; rows that the shape lacks become zero."""
    state, (rows, size) = carray(registers, REGISTERS_SIZE), _shape(carray(registers, REGISTERS_SIZE), number)
    target = _register(state, number)
    target[:] = 0
    for row in range(rows):
        for i in range(size):
            target[row * ROW_BYTES + i] = source[row * stride + i]


def _store(registers, number, target, stride):
    """``tilestored``; NaN where the processor would complain."""
    state = carray(registers, REGISTERS_SIZE)
    rows, size = _shape(state, number)
    source = _register(state, number)
    if rows == 0:
        for i in range(ROW_BYTES):
            target[i] = 255
    for row in range(rows):
        for i in range(size):
            target[row * stride + i] = source[row * ROW_BYTES + i]


def _dot(registers, number, left, right):
    """``tdpbf16ps``: the sums, 16 x 16 float32, += left, 16 x 32, · right, whose rows hold pairs of neighbouring k.

    Even and odd k are added up apart, each multiply-add rounded once, then the odd sum to the even one, then both to
    what was there. Denormal numbers count as zero everywhere.
    """
    state = carray(registers, REGISTERS_SIZE)
    (rows, size), (left_rows, left_size), (right_rows, right_size) = (
        _shape(state, number),
        _shape(state, left),
        _shape(state, right),
    )
    sums, x, y = _floats(state, number), _widened(state, left), _widened(state, right)
    if rows != left_rows or size != right_size or left_size != 4 * right_rows or rows == 0:
        sums[:] = np.nan
    even, odd = np.zeros(SIDE, np.float32), np.zeros(SIDE, np.float32)
    for row in range(rows):
        even[:], odd[:] = 0, 0
        own = sums[row * SIDE : (row + 1) * SIDE]
        for k in range(right_rows):
            x_even, x_odd = x[row * 2 * SIDE + 2 * k], x[row * 2 * SIDE + 2 * k + 1]
            pairs = y[k * 2 * SIDE : (k + 1) * 2 * SIDE]
            for column in range(SIDE):
                even[column] = _multiply_add(even[column], x_even, pairs[2 * column])
                odd[column] = _multiply_add(odd[column], x_odd, pairs[2 * column + 1])
        for column in range(SIDE):
            own[column] = _flushed(_flushed(own[column]) + _flushed(even[column] + odd[column]))


_BYTES, _WORD = types.CPointer(types.uint8), types.int64
PRIMITIVES = {
    "configure": (_configure, _BYTES),
    "release": (_release, _BYTES),
    "load": (_load, _BYTES, _WORD, _BYTES, _WORD),
    "store": (_store, _BYTES, _WORD, _BYTES, _WORD),
    "dot": (_dot, _BYTES, _WORD, _WORD, _WORD),
}


def compiled() -> dict[str, CFunc]:
    """Every primitive by its name."""
    return {name: _compile(*what) for name, what in PRIMITIVES.items()}


def _compile(function, *argument_types):
    code = CFunc(function, (argument_types, types.void), locals={}, options=_OPTIONS, pipeline_class=SelfContained)
    code._cache = cache_of(function) or code._cache
    code.compile()
    return code
