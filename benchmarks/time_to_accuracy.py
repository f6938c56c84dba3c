"""Seconds from the start of a process to 99 % of MNIST's test set: minicnn, PyTorch, Keras; imports and JIT included.

The recipe and how to install the peers: README.md beside this file.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import harness
import numpy as np
from cpu_vs_peers import add_interpreters, check_files, interpreter

ACCURACY = 0.99
CASES = {"d0_b128": "D0, batch 128", "lenet5_b128": "LeNet-5, batch 128"}
EVALUATIONS = {"d0_b128": 2, "lenet5_b128": 1}  # an epoch: D0 needs few of them
TORCH_LAYOUT = {"d0_b128": "torch_channels_last", "lenet5_b128": "torch"}  # the faster one
RUNNERS = {  # name → title
    "minicnn_cold": "minicnn, cold cache",
    "minicnn": "minicnn",
    "torch": "PyTorch",
    "keras": "Keras",
}


def main():
    """Train, print the tables and write the JSON."""
    harness.publish(parse(), measure, report, lambda _: "time_to_accuracy")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    cores = harness.available_cores()
    add("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    add("--skip", nargs="+", choices=RUNNERS, default=[], metavar="LIBRARY", help=f"leave out: {', '.join(RUNNERS)}")
    add("--seeds", type=int, default=3, metavar="N", help="runs of each library in each case (default: 3)")
    add("--accuracy", type=float, default=ACCURACY, metavar="A", help=f"of the test set (default: {ACCURACY})")
    add("--most-epochs", type=int, default=20, metavar="N", help="give up after so many (default: 20)")
    add("--threads", type=int, default=cores, metavar="N", help=f"threads of each library (default: {cores})")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--read", type=Path, metavar="FILE", help="train nothing, take the numbers of an earlier --out")
    add("--docs", type=Path, metavar="FILE", help="put the table into this Markdown file, e.g. docs/performance.md")
    add_interpreters(parser)
    options = parser.parse_args()
    for name in ("seeds", "most_epochs", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"argument --{name.replace('_', '-')}: 1 or more. Received: {getattr(options, name)}")
    check_files(parser, options, ("out", "docs"))
    return options


def measure(options):
    """All runs; seed by seed, so that a machine that changes its speed does so for everybody."""
    begin = time.perf_counter()
    runs = {case: {name: [] for name in RUNNERS if name not in options.skip} for case in options.cases}
    missing = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        write_mnist(data, options.data_dir)
        for seed in range(options.seeds):
            for case in options.cases:
                for name in runs[case]:
                    run_one(name, case, seed, data, options, runs[case][name], missing)
    return {
        "machine": harness.machine(),
        "settings": {"accuracy": options.accuracy, "most_epochs": options.most_epochs, "threads": options.threads},
        "runs": runs,
        "missing": missing,
        "minutes": (time.perf_counter() - begin) / 60,
    }


def write_mnist(path, data_dir):
    """All of MNIST as bytes, compressed, as Keras keeps it: every library reads this file."""
    import minicnn as mc

    (x, y), (x_test, y_test) = mc.datasets.mnist.load_data(data_dir)
    np.savez_compressed(path, x=x[..., None], y=y, x_test=x_test[..., None], y_test=y_test)


def run_one(name, case, seed, data, options, runs, missing):
    """Append a run to `runs`, or the reason why there is none to `missing`."""
    if name in missing:
        return
    print(f"{CASES[case]}, {RUNNERS[name]}, seed {seed}: ", end="", file=sys.stderr, flush=True)
    try:
        runs.append(reach(name, case, seed, data, options))
    except harness.Missing as error:
        missing[name] = str(error)
        print("not installed", file=sys.stderr)
        return
    best = max(runs[-1]["accuracies"])
    print(f"{runs[-1]['seconds']:.1f} s, {runs[-1]['epochs']:g} epochs, {best:.4f}", file=sys.stderr, flush=True)


def reach(name, case, seed, data, options):
    """One process, from its start until its test set is classified well enough."""
    library = TORCH_LAYOUT[case] if name == "torch" else name.removesuffix("_cold")
    with ExitStack() as stack:
        if name == "minicnn_cold":
            empty = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(harness.environment("MINICNN_CACHE", empty))
        begin = time.perf_counter()
        worker = harness.Worker(interpreter(library, options), library, case, data, options.threads)
        stack.enter_context(worker)
        ready = time.perf_counter() - begin
        done = worker.ask(
            "reach",
            accuracy=options.accuracy,
            evaluations=EVALUATIONS[case],
            most_epochs=options.most_epochs,
            seed=seed,
        )
        seconds = time.perf_counter() - begin
    reached = done["accuracies"][-1] >= options.accuracy
    return {"seed": seed, "seconds": seconds, "ready": ready, "reached": reached, **done, "about": worker.about}


# ------------------------------------------------------------------------------------------------------------- report


def report(result):
    """The results as Markdown."""
    settings, machine = result["settings"], result["machine"]
    header = ["case", "library", "seconds", "min – max", "epochs", "s an epoch", "until ready", "÷ minicnn"]
    rows = [
        row(CASES[case], name, runs, by_name.get("minicnn"))
        for case, by_name in result["runs"].items()
        for name, runs in by_name.items()
        if runs
    ]
    counts = {len(runs) for by_name in result["runs"].values() for runs in by_name.values() if runs}
    parts = [
        f"{machine['processor']}, {settings['threads']} threads of {machine['cores']} cores. Seconds from the start of "
        f"a process until {100 * settings['accuracy']:.1f} % of the test set is right; medians of "
        f"{' or '.join(map(str, sorted(counts)))} seeds.",
        harness.table(header, rows),
        '"until ready": imports and data, a part of the seconds; "s an epoch" is the rest, with compiling and '
        'evaluations, for each epoch; "÷ minicnn" compares the seconds with a warm cache.',
    ]
    parts += [f"Left out: {RUNNERS[name]} ({why})." for name, why in result["missing"].items()]
    return "\n\n".join(parts)


def row(title, name, runs, ours):
    """A library's row in a case; runs that gave up count with the time they took, and are named."""
    seconds = [run["seconds"] for run in runs]
    median = statistics.median(seconds)
    epochs = f"{statistics.median(run['epochs'] for run in runs):g}"
    failed = sum(not run["reached"] for run in runs)
    pace = statistics.median((run["seconds"] - run["ready"]) / run["epochs"] for run in runs)
    ready = statistics.median(run["ready"] for run in runs)
    ratio = f"{median / statistics.median(run['seconds'] for run in ours):.2f}" if ours else "–"
    return [
        title,
        RUNNERS[name],
        f"{median:.1f}",
        f"{min(seconds):.1f} – {max(seconds):.1f}",
        f"{epochs} ({failed} not reached)" if failed else epochs,
        f"{pace:.2f}",
        f"{ready:.2f}",
        ratio,
    ]


if __name__ == "__main__":
    try:
        main()
    except (harness.WorkerError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
