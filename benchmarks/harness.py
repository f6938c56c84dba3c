"""Fair timing on a noisy machine: one worker process for each library, released one short round at a time.

Two libraries are not timed one after the other, because the machine changes meanwhile, nor at once, because they would
share the cores. Round by round each worker in turn trains a few steps while all others are blocked on their pipes, and
what counts is the ratio within a round. A pause before each turn lets the thread pool of the one before fall asleep,
which spins for a while when it has nothing to do. A round in which other programs took the cores away is repeated:
thread pools whose threads wait for each other become ten times slower then, and some suffer more than others.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORKER = Path(__file__).with_name("worker.py")
PAUSE = 0.3  # seconds; Intel's OpenMP spins for 0.2
FOREIGN_CORES = 0.15  # more than this taken by other programs, where all cores are needed, disturbs a round
MOST_WAITS = 30  # pauses, before a round, for other programs to end
MOST_ATTEMPTS = 4  # so many times the wanted rounds are tried to get undisturbed ones

# Workers get the defaults that users have: how pools wait, how many threads they start, and whether Python keeps the
# bytecode of what it imports (as it has that of installed packages) are not taken over from here.
NOT_INHERITED = (
    "PYTHONDONTWRITEBYTECODE",
    "OMP_WAIT_POLICY",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "GOMP_CPU_AFFINITY",
    "GOMP_SPINCOUNT",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def inherited():
    """The environment that workers start with."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


class WorkerError(RuntimeError):
    """A worker process ended before its reply; what it said is on stderr."""


class Missing(ImportError):
    """A worker's library is not installed."""


class Worker:
    """A process of ``worker.py``.

    Parameters
    ----------
    python : str or path-like
        The interpreter that has the library.
    library, case : str
        Keys of ``worker.LIBRARIES`` and ``worker.CASES``.
    data : path-like
        Written by `write_data`.
    threads : int
    checkout : path-like, optional
        Folder whose minicnn is imported; default: the one that is installed.

    Attributes
    ----------
    about : dict
        What the worker said of itself: library, version, …

    Raises
    ------
    Missing
        If the library cannot be imported there.
    """

    def __init__(self, python, library, case, data, threads, checkout=None):
        self.name = f"{library} {case}"
        command = [python, WORKER, library, case, "--data", data, "--threads", str(threads)]
        environment = inherited()
        if checkout is not None:
            environment["PYTHONPATH"] = str(checkout)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        hello = self._reply()
        if "missing" in hello:
            self.close()
            raise Missing(hello["missing"])
        self.about = hello["ready"]

    def ask(self, do, **arguments):
        """Call a method of the worker's trainer and wait for what it returns."""
        with suppress(BrokenPipeError):  # it is dead: reading its reply says so
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        return self._reply()

    def _reply(self):
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"the worker '{self.name}' ended with status {self.process.wait()}: see above")
        return json.loads(line)

    def close(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


@contextmanager
def start_workers(pythons, case, data, threads):
    """Inside, one worker for each library that is installed.

    Parameters
    ----------
    pythons : dict
        Library → interpreter.
    case : str
    data : path-like
    threads : int

    Yields
    ------
    (workers, missing) : (dict, dict)
        Library → Worker, and library → why there is none.
    """
    workers, missing = {}, {}
    with ExitStack() as stack:
        for library, python in pythons.items():
            try:
                workers[library] = stack.enter_context(Worker(python, library, case, data, threads))
            except Missing as error:
                missing[library] = str(error)
        yield workers, missing


@dataclass
class Measurement:
    """What `interleave` returns.

    Attributes
    ----------
    milliseconds : dict
        Name → list with the median milliseconds a step of each round.
    foreign_cores : list of float or None
        Cores that other programs kept busy in each round; None where the system does not say.
    disturbed : int
        Rounds that were thrown away because of that; if there were too few quiet ones, the quietest are kept.
    """

    milliseconds: dict
    foreign_cores: list
    disturbed: int


def interleave(workers, rounds, threads, do, **arguments):
    """Measure all workers in turns.

    Parameters
    ----------
    workers : dict
        Name → Worker.
    rounds : int
        One more comes before them and does not count: it compiles, allocates and warms up.
    threads : int
        How many the workers compute with.
    do : str
        Method of the trainers that returns "seconds", a list with one entry a step.
    **arguments
        Its arguments.

    Returns
    -------
    Measurement
    """
    names = list(workers)
    allowed = (os.cpu_count() or 1) - threads + FOREIGN_CORES
    _round(workers, names, do, arguments)
    done, quiet = [], 0
    while quiet < rounds and len(done) < MOST_ATTEMPTS * rounds:
        _wait_until_quiet(workers, allowed)
        done.append(_round(workers, _rotated(names, len(done)), do, arguments))
        quiet += (done[-1][1] or 0) <= allowed
    if quiet >= rounds:
        kept = [entry for entry in done if (entry[1] or 0) <= allowed]
    else:
        kept = sorted(done, key=lambda entry: entry[1])[:rounds]
    times = {name: [entry[0][name] for entry in kept] for name in names}
    return Measurement(times, [entry[1] for entry in kept], len(done) - len(kept))


def _wait_until_quiet(workers, allowed):
    """Give other programs that keep more than `allowed` cores busy a while to end."""
    for _ in range(MOST_WAITS):
        load = Load(workers)
        time.sleep(PAUSE)
        if (load.foreign_cores() or 0) <= allowed:
            break


def _round(workers, names, do, arguments):
    """One turn of each; returns (name → median milliseconds, cores busy with other programs)."""
    load, times = Load(workers), {}
    for name in names:
        time.sleep(PAUSE)
        times[name] = 1000 * statistics.median(workers[name].ask(do, **arguments)["seconds"])
    return times, load.foreign_cores()


class Load:
    """What other programs than these workers and this one do from now on."""

    def __init__(self, workers):
        self.processes = [os.getpid(), *(worker.process.pid for worker in workers.values())]
        self.start, self.before = time.perf_counter(), _foreign_seconds(self.processes)

    def foreign_cores(self):
        """Cores that they kept busy on average; None where the system does not say."""
        if self.before is None:
            return None
        return (_foreign_seconds(self.processes) - self.before) / (time.perf_counter() - self.start)


def _foreign_seconds(processes):
    """Core seconds spent on other processes than these since the start, or taken by a host; None if unknown."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        own = sum(_own_ticks(process) for process in processes)
    except OSError:
        return None
    return (user + nice + system + irq + softirq + steal - own) / os.sysconf("SC_CLK_TCK")


def _own_ticks(process):
    """Clock ticks that a process has computed for, in user mode and in the kernel."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()  # a name may hold spaces
    return int(fields[11]) + int(fields[12])


def _rotated(names, number):
    """Each round starts with another name, so that nobody always follows the same neighbour."""
    first = number % len(names)
    return names[first:] + names[:first]


def compare(times, ours="minicnn"):
    """How many times longer the best peer takes.

    Parameters
    ----------
    times : dict
        ``Measurement.milliseconds``.
    ours : str

    Returns
    -------
    dict
        "ours": median milliseconds; and, if there is a peer, "peer": the fastest by its median, "theirs": that median,
        "ratio", "ratio_min" and "ratio_max": median and extremes over the rounds of theirs ÷ ours.
    """
    medians = {name: statistics.median(values) for name, values in times.items()}
    result = {"ours": medians.pop(ours)}
    if medians:
        peer = min(medians, key=medians.get)
        ratios = [theirs / own for theirs, own in zip(times[peer], times[ours], strict=True)]
        result |= {
            "peer": peer,
            "theirs": medians[peer],
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return result


def write_data(path, images, labels):
    """Write what workers read.

    Parameters
    ----------
    path : path-like
        Ending in ``.npz``.
    images : array (N, H, W) or (N, H, W, C), uint8
    labels : array (N,), uint8
    """
    images = images if images.ndim == 4 else images[..., None]
    np.savez(path, x=images.astype(np.float32) / np.float32(255), y=labels)


def machine():
    """The computer and its Python, for the record."""
    return {
        "processor": _processor(),
        "vector_bits": _vector_bits(),
        "cores": available_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def available_cores():
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _vector_bits():
    """Of the vectors that minicnn's kernels are compiled for."""
    from minicnn.backends.numba.machine.target import TARGET

    return 8 * TARGET.vector_bytes


def table(header, rows):
    """A Markdown table: the first column flush left, the others right.

    Parameters
    ----------
    header : list of str
    rows : list of list of str
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells):
        first = cells[0].ljust(widths[0])
        return "| " + " | ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def publish(options, measure, report, section):
    """Measure, or read what was measured; print its report and write what the command line asks for.

    Parameters
    ----------
    options : argparse.Namespace
        With the paths `read`, `out` and `docs`, or None.
    measure : callable
        options → what goes to JSON.
    report : callable
        That → Markdown.
    section : callable
        What was measured → the section's name, see `replace_section`.
    """
    result = json.loads(options.read.read_text()) if options.read else measure(options)
    text = report(result)
    print(f"\n{text}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.docs:
        replace_section(options.docs, section(result), text)


def publish_idle(options, result, text, foreign, section):
    """Print a report and write what the command line asks for; into a page only what no other program disturbed.

    Parameters
    ----------
    options : argparse.Namespace
        With the paths `out` and `docs`, or None, and `anyway`.
    result : dict
        What goes to JSON, beside the machine and `foreign`.
    text : str
        Markdown.
    foreign : float
        Cores that other programs kept busy.
    section : str
        See `replace_section`.
    """
    print(text)
    if options.out:
        found = {"machine": machine(), "foreign_cores": foreign} | result
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    if foreign > FOREIGN_CORES and not options.anyway:
        sys.exit(f"other programs kept {foreign:.2f} cores busy: these figures mean nothing, and nothing was written")
    if options.docs:
        replace_section(options.docs, section, text)


def replace_section(path, name, text):
    """Put `text` between the lines ``<!-- NAME: begin … -->`` and ``<!-- NAME: end -->`` of a Markdown file.

    Raises
    ------
    ValueError
        If the file does not have both.
    """
    old = path.read_text()
    begin, end = old.find(f"<!-- {name}: begin"), old.find(f"<!-- {name}: end -->")
    if not 0 <= begin < end:
        raise ValueError(f"{path} needs a line '<!-- {name}: begin -->' and, after it, '<!-- {name}: end -->'")
    start = old.index("\n", begin) + 1
    path.write_text(f"{old[:start]}\n{text.strip()}\n\n{old[end:]}")


@contextmanager
def environment(name, value):
    """Inside, a variable of the environment has that value: programs started there see it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
