"""The threads that kernels run on.

A kernel's parallel loop is a job: a function, and tasks 0 … count - 1. It is cut into one range of tasks for each
thread, so that a thread reads what it has written in the kernel before; who has finished its range takes tasks from the
other ends of the others'. The thread that asked works too, and waits only for tasks that another has begun: on a busy
machine, where the others do not get to run, it does everything itself. Nobody ever waits at a barrier. On which
processors threads run, and how long at a time, is a matter of `scheduling`.

Threads without work look for it for about as long as Python needs between two kernels, then they sleep. All of it is
compiled and runs without Python's global lock; threads and locks are the interpreter's own (PyThread), so this works
wherever Python does. A forked child begins with a pool of its own.

Every other job runs through its ranges backwards: the numbers that a thread has used last are still in its own cache,
and the pass after begins with them.

The design is work stealing (Blumofe and Leiserson, Scheduling Multithreaded Computations by Work Stealing, 1999) with
bounded spinning before blocking (Karlin et al., Empirical Studies of Competitive Spinning, 1991).
"""

import atexit
import ctypes
import os
import time
from functools import cache
from typing import NamedTuple

import llvmlite.binding
import numpy as np
from numba import types
from numba.core.ccallback import CFunc

from minicnn.backends.numba.machine import scheduling
from minicnn.backends.numba.machine.atomics import (
    add,
    call_on_lock,
    call_task,
    compare_swap,
    load,
    pause,
    store,
    swap,
)
from minicnn.backends.numba.machine.compiled import c_function, inline

RUN_SYMBOL = "minicnn_run_tasks"  # void(pool, task, data, count): what `in_parallel` calls

# The pool's memory: words of 8 bytes, those that different threads write on lines of their own.
_LINE = 128  # bytes: processors fetch two lines of 64 at a time
_JOB, _OWNER, _UNFINISHED, _STOP, _ALIVE = (line * _LINE for line in range(5))
_TASK, _DATA, _BASE, _THREADS = (5 * _LINE + 8 * word for word in range(4))  # what a job is
_ALLOWED, _SPINS, _ACQUIRE, _RELEASE, _WAITER = (6 * _LINE + 8 * word for word in range(5))  # what seldom changes
_SYSTEM = 6 * _LINE + 5 * 8  # then the table of `scheduling`
_FIRST_THREAD = 7 * _LINE  # then lines for each thread: its range of tasks; whether it is awake; what it is
_RANGE, _AWAKE, _SELF, _AREA = (line * _LINE for line in range(4))  # and its area of `scheduling`
_THREAD_SIZE = _AREA + scheduling.AREA_SIZE
_LOCK, _INDEX, _POOL = (8 * word for word in range(3))  # words of a thread's `_SELF`

# A range of tasks in one word: the job's number (32 bits), the first task, the end (16 bits each). The number tells a
# late thread that the range is not its job's any more; it comes again after hours of nothing but jobs.
_TASK_BITS = 16
_MOST_TASKS = (1 << _TASK_BITS) - 1
_JOBS = (1 << 32) - 1

_SPIN_SECONDS = 100e-6  # how long a thread looks for work before it sleeps
_SLEEPER = 1 << 40  # in `_UNFINISHED`: the thread that asked sleeps until all tasks are finished


@inline
def _thread(pool, index):
    return pool + _FIRST_THREAD + index * _THREAD_SIZE


@inline
def _range_of(job, first, end):
    return (job << (2 * _TASK_BITS)) | (first << _TASK_BITS) | end


@inline
def _take(address, job, from_end):
    """A task of a thread's range, or -1: none is left, or it belongs to another job."""
    while True:
        word = load(address)
        first, end = (word >> _TASK_BITS) & _MOST_TASKS, word & _MOST_TASKS
        if (word >> (2 * _TASK_BITS)) & _JOBS != job or first == end:
            return -1
        if compare_swap(address, word, word - 1 if from_end else word + (1 << _TASK_BITS)):
            return end - 1 if from_end else first


@inline
def _work(pool, me, job):
    """Run tasks of a job until none is left; returns how many it were since the last report.

    What belongs to the job is read before a task is taken: having got one proves that the job was not over.
    """
    finished, task, data, base, threads = 0, *_job_of(pool)
    backwards = job % 2 == 1
    for distance in range(threads):
        victim = (me + distance) % threads
        while True:
            if me > 0 and scheduling.turn_is_over(pool + _SYSTEM, _thread(pool, me) + _AREA):
                _report(pool, finished)  # before others get the processor: somebody may wait for no more than this
                finished = 0
                scheduling.give_way(pool + _SYSTEM, _thread(pool, me) + _AREA)
            index = _take(_thread(pool, victim) + _RANGE, job, (distance > 0) != backwards)
            if index < 0:
                break
            call_task(task, data, base + index)
            finished += 1
    return finished


@inline
def _report(pool, finished):
    """Count tasks that a thread of the pool has finished, and wake who waits for the last of them."""
    if finished > 0 and add(pool + _UNFINISHED, -finished) - finished == _SLEEPER:
        call_on_lock(load(pool + _RELEASE), load(pool + _WAITER), 0)


@inline
def _job_of(pool):
    return load(pool + _TASK), load(pool + _DATA), load(pool + _BASE), load(pool + _THREADS)


@inline
def _publish(pool, task, data, base, count, threads):
    """Make tasks base … base + count - 1 the pool's next job; returns its number."""
    job = (load(pool + _JOB) + 1) & _JOBS
    store(pool + _TASK, task)
    store(pool + _DATA, data)
    store(pool + _BASE, base)
    store(pool + _THREADS, threads)
    store(pool + _UNFINISHED, count)
    for i in range(threads):
        store(_thread(pool, i) + _RANGE, _range_of(job, i * count // threads, (i + 1) * count // threads))
    store(pool + _JOB, job)
    for i in range(1, threads):
        _wake(pool, i)
    return job


@inline
def _wake(pool, index):
    awake = _thread(pool, index) + _AWAKE
    if load(awake) == 0 and swap(awake, 1) == 0:
        scheduling.send_elsewhere(pool + _SYSTEM, _thread(pool, index) + _AREA)
        call_on_lock(load(pool + _RELEASE), load(_thread(pool, index) + _SELF + _LOCK), 0)


@inline
def _wait_for_others(pool, finished):
    """Return when all tasks of the job are finished, of which this thread has finished so many."""
    left = add(pool + _UNFINISHED, -finished) - finished
    spins, most = 0, load(pool + _SPINS)
    while left > 0 and spins < most:
        pause()
        spins += 1
        left = load(pool + _UNFINISHED)
    if left > 0 and add(pool + _UNFINISHED, _SLEEPER) > 0:
        call_on_lock(load(pool + _ACQUIRE), load(pool + _WAITER), 1)


@inline
def _run_job(pool, task, data, base, count, threads):
    job = _publish(pool, task, data, base, count, threads)
    _wait_for_others(pool, _work(pool, 0, job))


def _run_tasks(pool, task, data, count):
    """Call task(data, i) for all i < count, on the pool's threads.

    On this one alone if `pool` is 0, or busy: with another Python thread's kernel, or the one that this is a task of.
    """
    threads = min(load(pool + _ALLOWED), count) if pool != 0 else 1
    if threads <= 1 or not compare_swap(pool + _OWNER, 0, 1):
        for i in range(count):
            call_task(task, data, i)
        return
    for base in range(0, count, _MOST_TASKS):
        _run_job(pool, task, data, base, min(count - base, _MOST_TASKS), threads)
    store(pool + _OWNER, 0)


@inline
def _sleep(pool, me, job):
    """Sleep until there is another job than the one that was seen last."""
    store(me + _AWAKE, 0)
    if (load(pool + _JOB) != job or load(pool + _STOP) != 0) and swap(me + _AWAKE, 1) == 0:
        return
    call_on_lock(load(pool + _ACQUIRE), load(me + _SELF + _LOCK), 1)
    scheduling.settle(pool + _SYSTEM, me + _AREA)
    scheduling.begin_turn(pool + _SYSTEM, me + _AREA)


def _worker(this):
    """What a thread of the pool does, all its life; `this` is the address of its `_SELF`."""
    pool, index, me = load(this + _POOL), load(this + _INDEX), this - _SELF
    job, spins = 0, 0
    scheduling.introduce(pool + _SYSTEM, me + _AREA)
    while load(pool + _STOP) == 0:
        spins += 1
        if spins >= load(pool + _SPINS):
            _sleep(pool, me, job)
            spins = 0
        if load(pool + _JOB) == job:
            pause()
            continue
        job = load(pool + _JOB)
        finished = _work(pool, index, job) if index < load(pool + _THREADS) else 0
        if finished > 0:
            spins = 0
            _report(pool, finished)
    add(pool + _ALIVE, -1)


def _pause_often(count):
    for _ in range(count):
        pause()


# ---------------------------------------------------------------------------------------------- the Python side


class Pool:
    """Threads that wait for the loops of kernels.

    Its memory is never freed: its threads may look at it until the process ends.

    Parameters
    ----------
    most : int
        More threads than this will never be used.

    Attributes
    ----------
    address : int
        What kernels are given.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = 1  # what was asked for last
        self._started = 1  # the thread that asks is one of them
        memory = np.zeros(_FIRST_THREAD + self._most * _THREAD_SIZE + _LINE, np.uint8)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
        self.address: int = memory.ctypes.data + -memory.ctypes.data % _LINE
        self._words = (ctypes.c_int64 * (memory.size // 8 - _LINE // 8)).from_address(self.address)
        self._write(_ACQUIRE, _address_in_python("PyThread_acquire_lock"))
        self._write(_RELEASE, _address_in_python("PyThread_release_lock"))
        self._write(_WAITER, _closed_lock())
        for index, address in enumerate(scheduling.addresses()):
            self._write(_SYSTEM + 8 * index, address)
        self._write(_JOB, 1)
        self._write(_SPINS, _spins_in(_SPIN_SECONDS))
        self._write(_ALLOWED, 1)

    @property
    def threads(self) -> int:
        """On how many threads kernels run."""
        return self._read(_ALLOWED)

    def use(self, count: int) -> None:
        """Let kernels run on so many threads, which are started when they are wanted for the first time."""
        if count == self._allowed:
            return
        self._allowed = count
        count = max(1, min(count, self._most))
        while self._started < count and self._start(self._started):
            self._started += 1
        self._write(_ALLOWED, min(count, self._started))

    def stop(self) -> None:
        """End all threads. Machine code may not be unloaded while they run it."""
        self._write(_ALLOWED, 1)
        self._write(_STOP, 1)
        release = ctypes.pythonapi.PyThread_release_lock
        for index in range(1, self._started):
            thread = _FIRST_THREAD + index * _THREAD_SIZE
            release(ctypes.c_void_p(self._read(thread + _SELF + _LOCK)))
        deadline = time.monotonic() + 1
        while self._read(_ALIVE) > 0 and time.monotonic() < deadline:
            time.sleep(0.0001)

    def _start(self, index):
        """Start a thread; returns whether the system, which may limit them, lets us."""
        thread = _FIRST_THREAD + index * _THREAD_SIZE
        self._write(thread + _AWAKE, 1)
        for word, value in ((_LOCK, _closed_lock()), (_INDEX, index), (_POOL, self.address)):
            self._write(thread + _SELF + word, value)
        start = ctypes.pythonapi.PyThread_start_new_thread
        start.restype, start.argtypes = ctypes.c_ulong, [ctypes.c_void_p, ctypes.c_void_p]
        self._write(_ALIVE, self._read(_ALIVE) + 1)
        if start(_code().worker.address, self.address + thread + _SELF) != ctypes.c_ulong(-1).value:
            return True
        self._write(_ALIVE, self._read(_ALIVE) - 1)
        return False

    def _read(self, at):
        return self._words[at // 8]

    def _write(self, at, value):
        self._words[at // 8] = value


_pools = []  # this process's one; empty until a kernel wants it
_wanted = {"threads": 1}


def pool() -> Pool:
    """This process's pool."""
    if not _pools:
        _pools.append(Pool(os.cpu_count() or 1))
        _pools[0].use(_wanted["threads"])
    return _pools[0]


def use_threads(count: int) -> int:
    """Let kernels run on so many threads from now on, see `Pool.use`; returns how many it were."""
    before, _wanted["threads"] = _wanted["threads"], count
    for each in _pools:
        each.use(count)
    return before


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # threads are not inherited


@atexit.register
def _stop():
    for each in _pools:
        each.stop()


class _Code(NamedTuple):
    run_tasks: CFunc
    worker: CFunc
    pause_often: CFunc


@cache
def _code():
    word = types.int64
    return _Code(
        c_function(_run_tasks, word, word, word, word), c_function(_worker, word), c_function(_pause_often, word)
    )


def provide() -> None:
    """Have what kernels call in memory, and its name known to the linker."""
    llvmlite.binding.add_symbol(RUN_SYMBOL, _code().run_tasks.address)


def _spins_in(seconds):
    count, fastest = 1000, seconds
    for _ in range(10):  # other programs may interrupt some of them
        start = time.perf_counter()
        _code().pause_often.ctypes(count)
        fastest = min(fastest, time.perf_counter() - start)
    return max(count, int(count * seconds / max(fastest, 1e-9)))


def _address_in_python(name):
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value


def _closed_lock():
    """The address of a lock that nobody can acquire before it is released."""
    allocate, acquire = ctypes.pythonapi.PyThread_allocate_lock, ctypes.pythonapi.PyThread_acquire_lock
    allocate.restype = ctypes.c_void_p
    lock = allocate()
    acquire(ctypes.c_void_p(lock), 1)
    return lock
