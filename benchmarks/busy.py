"""Training on a machine that is shared: beside another program, two trainings at once, a quota of 1.5 processors.

What is timed: README.md beside this file.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import harness
import numpy as np
from worker import CASES

CASE = "lenet5_b128"
TURN = 0.25  # seconds that a worker trains before it asks what to do next
QUOTA, PERIOD = 150_000, 100_000  # microseconds of processor time in each period: 1.5 processors
GROUPS = {  # folder of control groups → file and contents that limit a group
    Path("/sys/fs/cgroup/cpu"): ("cpu.cfs_quota_us", f"{QUOTA}"),  # version 1; the period is 100 ms unless changed
    Path("/sys/fs/cgroup"): ("cpu.max", f"{QUOTA} {PERIOD}"),  # version 2
}
ALONE, BESIDE, TWO, LIMITED = "alone", "beside one busy process", "two at once, both", "quota of 1.5 processors"


def main():
    """Measure, then print a table, and write JSON and the page."""
    options = parse()
    pythons = {"minicnn": sys.executable} | ({"torch": options.torch} if options.torch else {})
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data.npz"
        rng = np.random.default_rng(0)
        harness.write_data(data, rng.integers(0, 256, (6400, 28, 28), np.uint8), rng.integers(0, 10, 6400, np.uint8))
        group, refused = stack.enter_context(limited_group())
        workers = {library: start(stack, python, library, data, options) for library, python in pythons.items()}
        if group is not None:
            for name in pythons:
                (group / "cgroup.procs").write_text(str(workers[name][2].process.pid))
        situations = [ALONE, BESIDE, TWO] + [LIMITED] * (group is not None)
        rounds = [one_round(workers, situations, number, options) for number in range(options.rounds)]
    foreign = max(each["foreign_cores"] for each in rounds)
    result = {"seconds": options.seconds, "rounds": rounds}
    harness.publish_idle(options, result, report(rounds, situations, refused, options), foreign, "busy")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="turns of each library in each situation (default: 5)")
    add("--seconds", type=float, default=5.0, metavar="S", help="length of a turn (default: 5)")
    add("--threads", type=int, default=harness.available_cores(), metavar="N", help="default: all cores")
    add("--torch", metavar="PYTHON", help="an interpreter with PyTorch: it is measured too")
    add("--anyway", action="store_true", help="do not mind other programs, but say so below the table")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--docs", type=Path, metavar="FILE", help="put the table into this Markdown file, e.g. docs/performance.md")
    options = parser.parse_args()
    if options.out and not options.out.parent.is_dir():
        parser.error(f"argument --out: no such folder: {options.out.parent}")
    return options


def start(stack, python, library, data, options):
    """Three workers, warmed up: one that trains alone, one that trains beside it, one for the quota."""
    workers = [stack.enter_context(harness.Worker(python, library, CASE, data, options.threads)) for _ in range(3)]
    for worker in workers:
        worker.ask("build")
        train(worker, 2 * TURN)
    return workers


@contextmanager
def limited_group():
    """Inside, a control group with the quota, or None and why there is none."""
    group, refused = None, "no control groups"
    for folder, (file, text) in GROUPS.items():
        if not folder.is_dir() or group is not None:
            continue
        made = folder / f"minicnn-busy-{time.time_ns()}"
        try:
            made.mkdir()
            (made / file).write_text(text)
            group = made
        except OSError as error:
            refused = str(error)
            if made.is_dir():
                made.rmdir()
    try:
        yield group, refused
    finally:
        if group is not None:
            group.rmdir()


def one_round(workers, situations, number, options):
    """Library → situation → images a second, in turns; and how many cores other programs kept busy meanwhile."""
    rates = {library: {} for library in workers}
    own = {f"{library} {i}": worker for library, three in workers.items() for i, worker in enumerate(three)}
    load = 0.0
    for situation in situations[number % len(situations) :] + situations[: number % len(situations)]:
        for library, three in workers.items():
            time.sleep(harness.PAUSE)
            before = harness.Load(own)
            rates[library][situation] = measure(three, situation, options.seconds)
            if situation == ALONE:
                load = max(load, before.foreign_cores() or 0.0)
    return {"rates": rates, "foreign_cores": load}


def measure(three, situation, seconds):
    """Images a second in one situation."""
    if situation == TWO:
        return sum(train_at_once(three[:2], seconds))
    if situation == LIMITED:
        return train(three[2], seconds)
    if situation == ALONE:
        return train(three[0], seconds)
    with busy_process():
        return train(three[0], seconds)


def train(worker, seconds):
    """Train so long; returns images a second, the mean over all steps: a step that takes long counts."""
    steps, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        steps += worker.ask("turn", what="train", seconds=TURN)["seconds"]
    return CASES[CASE].batch_size * len(steps) / sum(steps)


def train_at_once(workers, seconds):
    """`train` with all workers at the same time."""
    rates = {}

    def one(worker):
        rates[worker] = train(worker, seconds)

    threads = [threading.Thread(target=one, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(rates.values())


@contextmanager
def busy_process():
    """Inside, one process with one thread computes."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def report(rounds, situations, refused, options):
    """The table, and what is to be known about it."""
    libraries = list(rounds[0]["rates"])
    header = ["LeNet-5, batch 128, images a second"]
    header += [text for library in libraries for text in (library, "of alone")] + ["ratio"] * (len(libraries) > 1)
    rows = [row(rounds, situation, libraries) for situation in situations]
    foreign = max(each["foreign_cores"] for each in rounds)
    lines = [
        harness.table(header, rows),
        "",
        f"{harness.machine()['processor']}, {options.threads} threads; {len(rounds)} rounds of {options.seconds:g} s.",
        "Medians, of ratios within rounds.",
        f"While a library trained alone, other programs kept up to {foreign:.2f} cores busy"
        + (": these figures are not to be trusted." if foreign > harness.FOREIGN_CORES else "."),
    ]
    if LIMITED not in situations:
        lines.append(f"No quota: this system does not permit one ({refused}).")
    return "\n".join(lines)


def row(rounds, situation, libraries):
    """One situation: for each library images a second and their share of what it does alone; ours ÷ the other's."""
    rates = {library: [each["rates"][library] for each in rounds] for library in libraries}
    cells = [situation]
    for each in rates.values():
        cells.append(f"{statistics.median(rate[situation] for rate in each):,.0f}")
        cells.append(f"{statistics.median(rate[situation] / rate[ALONE] for rate in each):.2f}")
    if len(libraries) > 1:
        ours, theirs = rates.values()
        ratios = [own[situation] / other[situation] for own, other in zip(ours, theirs, strict=True)]
        cells.append(f"{statistics.median(ratios):.1f}")
    return cells


if __name__ == "__main__":
    main()
