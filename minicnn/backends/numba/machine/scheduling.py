"""What the pool's threads ask of the system, which shares out the processors. Only of Linux; others are not asked.

A thread that is woken is sent to another processor than the one that wakes it: left alone, the system may put both on
one, where the second waits until the next balancing, some milliseconds later, while other processors are idle.

A thread that has worked for a millisecond lets other programs have its processor, between two tasks. The system would
take it away soon, in the middle of a task, and whoever waits for that task would wait for the other program too.

A table holds the addresses of the system's functions, or zeros. Each thread has an area of memory for what it is told.
"""

import ctypes
import sys

from minicnn.backends.numba.machine.atomics import call_system, load, store, swap
from minicnn.backends.numba.machine.compiled import inline

_CALLS = "gettid", "sched_getcpu", "sched_getaffinity", "sched_setaffinity", "clock_gettime", "sched_yield"
TABLE_SIZE = 8 * len(_CALLS)
WHICH_THREAD, PROCESSOR, GET_MASK, SET_MASK, CLOCK, YIELD = range(0, TABLE_SIZE, 8)  # where in a table

_LINE = 128  # bytes: processors fetch two lines of 64 at a time; and how long a mask of processors is
NUMBER, _SENT, _SINCE, _TIME = (8 * word for word in range(4))  # where in an area; `_TIME` is two words
_MASK, _ELSEWHERE, AREA_SIZE = (line * _LINE for line in (1, 2, 3))

_MONOTONIC = 1  # the clock that never goes back, of `clock_gettime`
_TURN = 1_000_000  # nanoseconds; Linux takes a processor away after 1.4 ms at the earliest


def addresses() -> list[int]:
    """A table's contents: zeros where one of the functions is missing."""
    library = ctypes.pythonapi
    found = [getattr(library, name, None) for name in _CALLS] if sys.platform == "linux" else [None]
    return [0] * len(_CALLS) if None in found else [ctypes.cast(f, ctypes.c_void_p).value or 0 for f in found]


@inline
def introduce(table, area):
    """Note which thread this one is, before it works."""
    if load(table + WHICH_THREAD) != 0:
        store(area + NUMBER, call_system(load(table + WHICH_THREAD), 0, 0, 0))
        begin_turn(table, area)


@inline
def send_elsewhere(table, area):
    """Let a thread that sleeps wake on any of its processors but this one, if it has others."""
    number = load(area + NUMBER)
    if number == 0 or call_system(load(table + GET_MASK), number, _LINE, area + _MASK) != 0:
        return
    here, is_any = call_system(load(table + PROCESSOR), 0, 0, 0), False
    for word in range(_LINE // 8):
        others = load(area + _MASK + 8 * word)
        if here // 64 == word:
            others &= ~(1 << (here % 64))
        store(area + _ELSEWHERE + 8 * word, others)
        is_any = is_any or others != 0
    if here >= 0 and is_any:
        store(area + _SENT, 1)
        call_system(load(table + SET_MASK), number, _LINE, area + _ELSEWHERE)


@inline
def settle(table, area):
    """Let this thread, which has been woken, run on all its processors again."""
    if swap(area + _SENT, 0) != 0:
        call_system(load(table + SET_MASK), 0, _LINE, area + _MASK)


@inline
def begin_turn(table, area):
    """Note when this thread got its processor."""
    if load(table + CLOCK) != 0:
        store(area + _SINCE, _now(table, area))


@inline
def turn_is_over(table, area):
    """Whether this thread has had its processor for so long that others should get it."""
    return load(table + CLOCK) != 0 and _now(table, area) - load(area + _SINCE) > _TURN


@inline
def give_way(table, area):
    """Let other programs have this thread's processor, and come back."""
    call_system(load(table + YIELD), 0, 0, 0)
    begin_turn(table, area)


@inline
def _now(table, area):
    call_system(load(table + CLOCK), _MONOTONIC, area + _TIME, 0)
    return 1_000_000_000 * load(area + _TIME) + load(area + _TIME + 8)  # seconds and nanoseconds
