"""minicnn against PyTorch on the CPU: milliseconds a training step and peak memory, both libraries in one run.

How it measures, and how to install PyTorch for it: README.md beside this file.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import harness
import numpy as np
from worker import CASES

import minicnn as mc

OURS = "minicnn"
PEERS = ("torch", "torch_channels_last")
TITLES = {"torch": "PyTorch", "torch_channels_last": "PyTorch, channels last"}
MEMORY_CASE = "d0_b128"
MEMORY_STEPS = 3
MEMORY_REPEATS = 3
LEAST_IMAGES = 12_800


def main():
    """Measure, print the tables and write the JSON."""
    options = parse()
    pythons = {OURS: sys.executable, **dict.fromkeys(PEERS, options.python_torch)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        data_name = prepare_data(path, options)
        cases = {}
        for name in options.cases:
            cases[name] = measure_case(name, pythons, path, options)
            print("  ".join(case_row("", cases[name])), file=sys.stderr)
        memory = measure_memory(pythons, path, options) if MEMORY_CASE in options.cases else {}
    missing = {library: why for case in cases.values() for library, why in case["missing"].items()}
    print_tables(cases, memory, missing, data_name, options)
    if options.out:
        write(options, cases, memory, data_name)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    cores = harness.available_cores()
    add("--rounds", type=int, default=15, metavar="N", help="turns of each library in each case (default: 15)")
    add("--steps", type=int, default=20, metavar="N", help="training steps in a turn (default: 20)")
    add("--threads", type=int, default=cores, metavar="N", help=f"threads of each library (default: {cores})")
    add("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    add("--python-torch", default=sys.executable, metavar="PATH", help="an interpreter with torch (default: this one)")
    add("--data-dir", metavar="DIR", help="only look here for MNIST")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    options = parser.parse_args()
    for name in ("rounds", "steps", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"argument --{name}: must be 1 or more. Received: {getattr(options, name)}")
    if options.threads > cores:
        parser.error(f"argument --threads: there are {cores} cores. Received: {options.threads}")
    if not shutil.which(options.python_torch):
        parser.error(f"argument --python-torch: no such program. Received: {options.python_torch}")
    if options.out and not options.out.parent.is_dir():
        parser.error(f"argument --out: no such folder: {options.out.parent}")
    return options


def prepare_data(path, options):
    """Write images for the workers; returns what they are, in words."""
    count = max(LEAST_IMAGES, options.steps * max(CASES[name].batch_size for name in options.cases))
    try:
        (images, labels), _ = mc.datasets.mnist.load_data(options.data_dir)
        name = "MNIST"
    except mc.datasets.DataNotFoundError as error:
        print(f"Random images instead of MNIST. Reason: {error}", file=sys.stderr)
        rng = np.random.default_rng(0)
        images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count, np.uint8)
        name = "random images"
    repeats = -(-count // len(images))
    harness.write_data(path, np.tile(images, (repeats, 1, 1))[:count], np.tile(labels, repeats)[:count])
    return name


def measure_case(name, pythons, data, options):
    """The times of all libraries in one case, in turns."""
    print(f"{CASES[name].title} …", file=sys.stderr, flush=True)
    with harness.start_workers(pythons, name, data, options.threads) as (workers, missing):
        if OURS in missing:
            sys.exit(f"error: minicnn cannot be imported: {missing[OURS]}")
        built = {library: worker.ask("build") for library, worker in workers.items()}
        if len({entry["params"] for entry in built.values()}) != 1:
            raise AssertionError(f"the libraries built different networks: {built}")
        measured = harness.interleave(workers, options.rounds, options.threads, "train", steps=options.steps)
        about = {library: worker.about | built[library] for library, worker in workers.items()}
    return {"about": about, "missing": missing, **asdict(measured), **harness.compare(measured.milliseconds, OURS)}


def measure_memory(pythons, data, options):
    """Library → rises of memory in bytes, each in a process of its own; the timed runs have filled the kernel cache."""
    print("Memory …", file=sys.stderr, flush=True)
    rises = {}
    for _ in range(MEMORY_REPEATS):
        for library, python in pythons.items():
            try:
                with harness.Worker(python, library, MEMORY_CASE, data, options.threads) as worker:
                    rises.setdefault(library, []).append(worker.ask("memory", steps=MEMORY_STEPS))
            except harness.Missing:
                pass  # the timed runs have noted it
    return rises


def print_tables(cases, memory, missing, data_name, options):
    """The results, for people."""
    about = next(iter(cases.values()))["about"]
    versions = ", ".join(sorted({f"{a['library']} {a['version']}" for a in about.values()}))
    print(
        f"\nTraining step, {data_name}, {options.threads} threads, {options.rounds} rounds of {options.steps} steps; "
        f"minicnn on {about[OURS]['backend']}. {versions}\n"
    )
    header = ["case", "minicnn ms", "PyTorch ms", "best layout", "PyTorch ÷ minicnn", "min – max"]
    print(harness.table(header, [case_row(CASES[name].title, case) for name, case in cases.items()]))
    print_disturbance(cases)
    if memory:
        print(f"\nPeak memory of a training step, {CASES[MEMORY_CASE].title}, above imports and data\n")
        print(harness.table(["library", "MB"], memory_rows(memory)))
        if not all(entry["was_reset"] for entries in memory.values() for entry in entries):
            print("VmHWM could not be reset: a peak while importing may hide in these numbers.")
    for library, why in missing.items():
        print(f"\nLeft out: {TITLES[library]} is not installed in {options.python_torch} ({why})")


def print_disturbance(cases):
    """Say how quiet the machine was."""
    foreign = [cores for case in cases.values() for cores in case["foreign_cores"] if cores is not None]
    if foreign:
        mean, worst = statistics.mean(foreign), max(foreign)
        disturbed = sum(case["disturbed"] for case in cases.values())
        print(f"\nOther programs kept {mean:.2f} cores busy in these rounds (worst: {worst:.2f}).")
        print(f"Disturbed rounds, which were repeated: {disturbed}.")


def case_row(title, case):
    """A row of the table of times."""
    if "peer" not in case:
        return [title, f"{case['ours']:.2f}", "–", "–", "–", "–"]
    layout = case["about"][case["peer"]]["layout"].removesuffix("_format").replace("_", " ")
    extremes = f"{case['ratio_min']:.2f} – {case['ratio_max']:.2f}"
    return [title, f"{case['ours']:.2f}", f"{case['theirs']:.2f}", layout, f"{case['ratio']:.2f}", extremes]


def memory_rows(memory):
    """The rows of the table of memory."""
    return [[TITLES.get(library, library), f"{median_rise(entries) / 1e6:.1f}"] for library, entries in memory.items()]


def median_rise(entries):
    """The median of the repeats, in bytes."""
    return statistics.median(entry["rise"] for entry in entries)


def write(options, cases, memory, data_name):
    """The results, for programs."""
    result = {
        "machine": harness.machine(),
        "settings": {"rounds": options.rounds, "steps": options.steps, "threads": options.threads, "data": data_name},
        "cases": cases,
        "memory": {
            library: {"case": MEMORY_CASE, "median_rise": median_rise(entries), "runs": entries}
            for library, entries in memory.items()
        },
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nAll numbers: {options.out}")


if __name__ == "__main__":
    try:
        main()
    except harness.WorkerError as error:
        sys.exit(f"error: {error}")
