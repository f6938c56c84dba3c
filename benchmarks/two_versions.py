"""Two versions of minicnn in one run: is the second slower anywhere? Training, inference, first step, import.

What is timed: README.md beside this file.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import cpu_vs_peers
import harness
from worker import PEER_CASES

NAMES = ("before", "after")
START = "import minicnn as mc; mc.Sequential; mc.layers; mc.backends.current()"


def main():
    """Measure, then write tables and JSON."""
    options = parse()
    result = {"machine": harness.machine(), "speed": {}}
    with tempfile.TemporaryDirectory() as folder:
        data, result["images"] = cpu_vs_peers.prepare_data(Path(folder), options)
        for name in options.cases:
            result["speed"][name] = measure_case(name, data[PEER_CASES[name].images], options)
    if options.starts:
        result["starts"] = measure_starts(options)
    print(report(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    for name in NAMES:
        add(name, type=Path, help=f"a checkout: the version {name} the change")
    add("--cases", nargs="+", choices=PEER_CASES, default=list(PEER_CASES), metavar="CASE", help="default: all")
    add("--rounds", type=int, default=15, metavar="N", help="turns of each version in each case (default: 15)")
    add("--seconds", type=float, default=0.25, metavar="S", help="length of a turn (default: 0.25)")
    add("--threads", type=int, default=harness.available_cores(), metavar="N", help="default: all cores")
    add("--starts", type=int, default=5, metavar="N", help="compilations and imports of each version (default: 5)")
    add("--data-dir", metavar="DIR", help="only look here for MNIST and CIFAR-10")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    options = parser.parse_args()
    for name in NAMES:
        if not (getattr(options, name) / "minicnn").is_dir():
            parser.error(f"{name}: expected a folder with minicnn in it. Received: {getattr(options, name)}")
    if options.out and not options.out.parent.is_dir():
        parser.error(f"argument --out: no such folder: {options.out.parent}")
    return options


def measure_case(name, data, options):
    """Training and inference of both versions in one case, in turns."""
    with ExitStack() as stack:
        workers = {
            version: stack.enter_context(
                harness.Worker(sys.executable, "minicnn", name, data, options.threads, getattr(options, version))
            )
            for version in NAMES
        }
        for worker in workers.values():
            worker.ask("build")
        result = {}
        for do in cpu_vs_peers.parts_of(name):
            print(f"{PEER_CASES[name].title}: {do} …", file=sys.stderr, flush=True)
            settings = cpu_vs_peers.settings_of(do)
            measured = harness.interleave(
                workers, options.rounds, options.threads, "turn", what=do, seconds=options.seconds, **settings
            )
            result[do] = {**vars(measured), **harness.compare(measured.milliseconds, "after")}
        return result


def measure_starts(options):
    """Version → seconds of the processor for a cold compilation of LeNet-5's kernels, and for the imports, in turns."""
    starts = {what: {version: [] for version in NAMES} for what in ("cold", "warm", "all imports", "import minicnn")}
    warm = {version: tempfile.mkdtemp() for version in NAMES}
    with ExitStack() as stack:
        for _ in range(options.starts):
            for version in NAMES:
                path = getattr(options, version)
                cold = stack.enter_context(tempfile.TemporaryDirectory())
                starts["cold"][version].append(processor_seconds(_first_step(), path, cold))
                if not starts["warm"][version]:
                    processor_seconds(_first_step(), path, warm[version])  # fills the cache
                starts["warm"][version].append(processor_seconds(_first_step(), path, warm[version]))
                starts["all imports"][version].append(processor_seconds(START, path, warm[version]))
                starts["import minicnn"][version].append(processor_seconds("import minicnn", path, warm[version]))
    return starts


def _first_step():
    """A program that trains two networks for a step: every kind of kernel but augmentation's is compiled."""
    return (
        "import numpy as np, minicnn as mc; L = mc.layers\n"
        "def train(shape, *stack):\n"
        "    m = mc.Sequential([L.Input(shape), *stack, L.Flatten(), L.Dense(10, activation='softmax')])\n"
        "    m.compile('adam', 'sparse_categorical_crossentropy')\n"
        "    m.fit(np.zeros((8, *shape), np.float32), np.zeros(8, int), verbose=0); m.predict(np.zeros((8, *shape)))\n"
        "train((28, 28, 1), L.Conv2D(6, 5, activation='relu'), L.MaxPooling2D(2), L.Conv2D(16, 5, activation='relu'),\n"
        "      L.MaxPooling2D(2), L.Dropout(0.5))\n"
        "train((32, 32, 3), L.Conv2D(32, 3, padding='same', activation='relu'), L.Conv2D(64, 3, padding='same'),\n"
        "      L.MaxPooling2D(3), L.AveragePooling2D(2))\n"
    )


def processor_seconds(program, checkout, cache):
    """User seconds that a fresh process needs: what a busy machine disturbs least."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "MINICNN_CACHE": str(cache)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def report(result):
    """Tables."""
    rows = []
    for name, case in result["speed"].items():
        for do, entry in case.items():
            rows.append(
                [
                    PEER_CASES[name].title,
                    do,
                    f"{statistics.median(entry['milliseconds']['before']):.3f}",
                    f"{entry['ours']:.3f}",
                    f"{entry['ratio']:.3f} ({entry['ratio_min']:.2f}–{entry['ratio_max']:.2f})",
                    f"{max((cores or 0) for cores in entry['foreign_cores']):.2f}",
                ]
            )
    text = harness.table(["case", "what", "before, ms", "after, ms", "before ÷ after", "cores of others"], rows)
    if "starts" in result:
        rows = []
        for what, times in result["starts"].items():
            before, after = (statistics.median(times[version]) for version in NAMES)
            rows.append([what, f"{before:.2f}", f"{after:.2f}", f"{before / after:.3f}"])
        text += "\n\n" + harness.table(["processor seconds", "before", "after", "before ÷ after"], rows)
    return text


if __name__ == "__main__":
    main()
