"""The threads that kernels run on: every task runs once, whatever the others do."""

import ctypes
import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("numba")

from minicnn.backends.numba.machine import launch, pool, scheduling
from minicnn.backends.numba.machine.compiled import inline
from minicnn.backends.numba.machine.memory import scratch
from minicnn.backends.numba.machine.parallel import in_parallel
from minicnn.backends.numba.machine.pool import Pool


@inline
def _count(i, counts):
    counts[i] += 1


@inline
def _count_slowly(i, counts, work):
    total = 0.0
    for j in range(work):
        total += np.sqrt(float(j))
    counts[i] += 1 if total >= 0 else 0


@inline
def _inner(i, outer, counts):
    counts[outer * 10 + i] += 1


@inline
def _outer(i, pool, counts):
    in_parallel(pool, 10, _inner, (i, counts))


@inline
def _count_with_memory(i, counts, size):
    counts[i] += 1
    scratch(size if i == 3 else 1, counts)[0] = 1


def _counting(pool, counts):
    in_parallel(pool, len(counts), _count, (counts,))


def _counting_slowly(pool, counts, work):
    in_parallel(pool, len(counts), _count_slowly, (counts, work))


def _nested(pool, counts):
    in_parallel(pool, len(counts) // 10, _outer, (pool, counts))


def _counting_with_memory(pool, counts, size):
    in_parallel(pool, len(counts), _count_with_memory, (counts, size))


counting, counting_slowly, nested, counting_with_memory = (
    launch.parallel_kernel(f) for f in (_counting, _counting_slowly, _nested, _counting_with_memory)
)


@pytest.fixture
def many():
    """A pool of more threads than most machines have processors: they are interrupted everywhere."""
    made = Pool(8)
    made.use(8)
    yield made
    made.stop()


def entry(kernel, *arguments):
    """The compiled function of a kernel, which takes any pool."""
    return kernel.entry(arguments)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 1000])
def test_every_task_runs_once(many, count):
    counts = np.zeros(count)
    run = entry(counting, counts)
    for _ in range(300):
        run(many.address, counts)
    assert (counts == 300).all()


def test_more_tasks_than_a_range_can_count(many):
    counts = np.zeros((1 << 20) + 5)
    entry(counting, counts)(many.address, counts)
    assert (counts == 1).all()


@pytest.mark.parametrize("work", [0, 1000])
def test_the_number_of_threads_may_change_at_any_time(many, work):
    counts = np.zeros(40)
    run = entry(counting_slowly, counts, work)
    for i in range(200):
        many.use(1 + i % 8)
        run(many.address, counts, work)
    assert (counts == 200).all()


def test_threads_that_have_gone_to_sleep_wake_up(many):
    counts = np.zeros(64)
    run = entry(counting_slowly, counts, 1000)
    many._write(pool._SPINS, 1)  # they fall asleep at once
    for _ in range(200):
        run(many.address, counts, 1000)
    assert (counts == 200).all()


def yield_until(condition):
    for _ in range(1_000_000):
        if condition():
            return
        os.sched_yield()


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say where threads may run")
@pytest.mark.parametrize("processors", [1, 2])
def test_a_thread_is_woken_on_another_processor_than_the_one_that_wakes_it(processors):
    mine = os.sched_getaffinity(0)
    here, *others = sorted(mine)
    if len(others) < processors - 1:
        pytest.skip("one processor")
    its = {here, *others[: processors - 1]}
    asked = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_void_p)
    def set_affinity(thread, size, mask):
        words = int.from_bytes(ctypes.string_at(mask, size), sys.byteorder)
        asked.append((thread, {i for i in range(words.bit_length()) if words >> i & 1}))
        return 0

    made, counts = Pool(2), np.zeros(2)
    thread = pool._FIRST_THREAD + pool._THREAD_SIZE
    run = entry(counting, counts)
    made.use(2)
    made._write(pool._SYSTEM + scheduling.SET_MASK, ctypes.cast(set_affinity, ctypes.c_void_p).value)
    try:
        os.sched_setaffinity(0, {here})
        yield_until(lambda: not made._read(thread + pool._AWAKE))
        number = made._read(thread + pool._AREA + scheduling.NUMBER)
        os.sched_setaffinity(number, its)
        run(made.address, counts)
        yield_until(lambda: not made._read(thread + pool._AWAKE) and len(asked) >= 2 * (processors > 1))
    finally:
        os.sched_setaffinity(0, mine)
        made.stop()
    assert asked == ([] if processors == 1 else [(number, its - {here}), (0, its)])  # it goes back by itself
    np.testing.assert_array_equal(counts, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the system is not asked")
def test_nobody_waits_for_a_thread_that_has_given_its_processor_away():
    ended, times, waits = threading.Event(), itertools.count(), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_long, ctypes.POINTER(ctypes.c_int64 * 2), ctypes.c_long)
    def clock(which, time, nothing):  # of which a turn has two looks: one task
        time.contents[:] = divmod(600_000 * next(times), 1_000_000_000)
        return 0

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_long)
    def give_way(*nothing):
        if len(waits) < 20:
            waits.append(ended.wait(20))  # the processor comes back when the kernel is long done
        return 0

    made, counts = Pool(2), np.zeros(64)
    run = entry(counting_slowly, counts, 10_000)
    for where, call in (scheduling.CLOCK, clock), (scheduling.YIELD, give_way):
        made._write(pool._SYSTEM + where, ctypes.cast(call, ctypes.c_void_p).value)
    made.use(2)
    runs = 0
    try:
        while len(waits) < 20 and all(waits):
            ended.clear()
            run(made.address, counts, 10_000)
            runs += 1
            ended.set()
    finally:
        made._write(pool._SYSTEM + scheduling.CLOCK, 0)  # from here on the thread asks for nothing
        made.stop()
    assert all(waits)
    np.testing.assert_array_equal(counts, runs)


def test_a_kernel_inside_a_task_runs_on_that_thread(many):
    counts = np.zeros(400)
    run = entry(nested, counts)
    for _ in range(50):
        run(many.address, counts)
    assert (counts == 50).all()


def test_two_python_threads_share_a_pool(many):
    run, made = entry(counting_slowly, np.zeros(1), 0), []

    def call():
        counts = np.zeros(50)
        for _ in range(100):
            run(many.address, counts, 100)
        made.append(counts)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((counts == 100).all() for counts in made)
    assert len(made) == 3


def test_a_task_without_memory_makes_the_kernel_raise(many):
    counts = np.zeros(50)
    run = entry(counting_with_memory, counts, 1)
    for address in (many.address, 0):
        with pytest.raises(MemoryError):
            run(address, counts, 1 << 55)  # no processor has addresses for 2^58 bytes
        run(address, counts, 1)
    assert (counts == 4).all()  # all others have run, and the pool is as before


def test_a_system_that_starts_no_more_threads_gets_the_work_of_those_there_are(monkeypatch):
    made = Pool(8)
    made.use(2)
    invalid = ctypes.c_ulong(-1).value  # PYTHREAD_INVALID_THREAD_ID
    monkeypatch.setattr(ctypes.pythonapi, "PyThread_start_new_thread", lambda function, argument: invalid)
    made.use(4)
    counts = np.zeros(50)
    entry(counting, counts)(made.address, counts)
    assert made.threads == 2
    assert (counts == 1).all()
    made.stop()


def test_numbers_of_jobs_begin_again():
    made = Pool(8)
    made._write(pool._JOB, pool._JOBS - 100)
    made.use(8)
    counts = np.zeros(100)
    run = entry(counting_slowly, counts, 100)
    for _ in range(300):
        run(made.address, counts, 100)
    assert (counts == 300).all()
    assert made._read(pool._JOB) < 300
    made.stop()


def test_anything_at_any_time(many, rng):
    failed = []
    kernels = [entry(nested, np.zeros(10)), entry(counting_slowly, np.zeros(1), 0)]

    def call(seed):
        rng = np.random.default_rng(seed)
        for _ in range(150):
            counts, work = np.zeros(10 * rng.integers(0, 30)), int(rng.integers(0, 300))
            if rng.random() < 0.3:
                kernels[0](many.address, counts)
            else:
                kernels[1](many.address, counts, work)
            if (counts != 1).any():
                failed.append(counts)

    callers = [threading.Thread(target=call, args=[seed]) for seed in rng.integers(0, 1 << 32, 3)]
    for caller in callers:
        caller.start()
    while any(caller.is_alive() for caller in callers):
        many.use(int(rng.integers(1, 9)))
        many._write(pool._SPINS, int(rng.choice([1, 10, 1000])))
    assert not failed


def test_stopping_ends_all_threads(many):
    many.stop()
    assert many._read(pool._ALIVE) == 0
    counts = np.zeros(9)
    entry(counting, counts)(many.address, counts)
    assert (counts == 1).all()


FORK_WHILE_ANOTHER_THREAD_COMPUTES = """
import os, signal, threading
import minicnn as mc
from minicnn.threads import compute_threads

backend = mc.backends.get("numba")
inside, done = threading.Event(), threading.Event()

def compute():
    with compute_threads(backend):
        inside.set()
        done.wait()

def child_computes():
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with compute_threads(backend):
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

thread = threading.Thread(target=compute)
thread.start()
inside.wait()
assert child_computes() == 7
done.set()
thread.join()
with compute_threads(backend):  # as a callback of `fit` would
    assert child_computes() == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have():
    command = [sys.executable, "-c", FORK_WHILE_ANOTHER_THREAD_COMPUTES]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


SCRIPT = """
import multiprocessing, os, sys
import numpy as np
import minicnn as mc

def predict(_):
    return model.predict(x, verbose=0).tobytes()

x = np.random.default_rng(0).random((64, 12, 12, 1), np.float32)
model = mc.Sequential([mc.Input((12, 12, 1)), mc.layers.Conv2D(8, 3, activation="relu"), mc.layers.Flatten(),
                       mc.layers.Dense(4, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", backend="numba")
mc.set_num_threads(2)
model.fit(x, np.arange(64) % 4, epochs=2, verbose=0)
expected = predict(0)
with multiprocessing.get_context("fork").Pool(2) as processes:
    assert processes.map(predict, range(4)) == [expected] * 4
child = os.fork()
if child == 0:
    model.fit(x, np.arange(64) % 4, epochs=1, verbose=0)
    os._exit(7 if predict(0) != expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert predict(0) == expected
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_children_predict_and_train():
    run = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
