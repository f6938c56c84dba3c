"""What AMX or avx512_bf16 give: bfloat16 and float32 in pieces, beside float32, PyTorch's autocast and OpenVINO.

For a processor that has them; elsewhere it says so and ends. The recipe is in README.md beside this file.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import harness
from cpu_vs_peers import add_interpreters, check_files, prepare_data
from worker import PEER_CASES

OURS = ("minicnn", "minicnn_high", "minicnn_medium", "minicnn_bf16")
PEERS = {"train": ("torch_autocast", "torch_autocast_channels_last"), "predict": ("openvino_bf16",)}
CASES = ("net1_mnist_b128", "net1_cifar10_b128", "net2_mnist_b128", "d0_b100", "resnet20_b64", "vgg_b64", "lenet5_b128")
PARTS = {"train": "Training step", "predict": "Inference"}
PRODUCTS = {"tiles": "on AMX's tiles", "vectors": "by vectors (avx512_bf16)"}
COLUMNS = (  # title, whose time is divided by whose
    ("float32 ÷ bfloat16", "minicnn", "minicnn_bf16"),
    ('"highest" ÷ "high"', "minicnn", "minicnn_high"),
    ('"highest" ÷ "medium"', "minicnn", "minicnn_medium"),
)


def main():
    """Measure, or read what was measured; print the tables and write the files."""
    harness.publish(parse(), measure, report, lambda result: result["tiles"])


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add, cores = parser.add_argument, harness.available_cores()
    add("--cases", nargs="+", choices=PEER_CASES, default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    add("--rounds", type=int, default=5, metavar="N", help="turns of each library in each case (default: 5)")
    add("--seconds", type=float, default=0.25, metavar="S", help="length of a turn (default: 0.25)")
    add("--threads", type=int, default=cores, metavar="N", help=f"threads of each library (default: {cores})")
    add("--anyway", action="store_true", help="measure on a processor without either, too")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--read", type=Path, metavar="FILE", help="measure nothing, take the numbers of an earlier --out")
    add("--docs", type=Path, metavar="FILE", help="put the tables into this Markdown file, e.g. docs/bfloat16.md")
    add_interpreters(parser)
    options = parser.parse_args()
    check_files(parser, options, ("out", "docs"))
    return options


def tiles_path():
    """How tile products are computed here."""
    from minicnn.backends.numba.tiles.path import path

    return path()


def measure(options):
    """Case → what is timed → library → milliseconds of each round."""
    if tiles_path() not in ("tiles", "vectors") and not options.anyway:
        sys.exit("error: this processor has neither AMX, or may not use it, nor avx512_bf16; --anyway measures without")
    result = {"machine": harness.machine(), "tiles": tiles_path(), "missing": {}, "cases": {}}
    with tempfile.TemporaryDirectory() as folder:
        data, _ = prepare_data(Path(folder), options)
        for case in options.cases:
            print(f"{PEER_CASES[case].title} …", file=sys.stderr, flush=True)
            result["cases"][case] = measure_case(case, data[PEER_CASES[case].images], options, result["missing"])
    return result


def measure_case(case, data, options, missing):
    """Training steps and inference of one case, in turns."""
    libraries = (*OURS, *PEERS["train"], *PEERS["predict"])
    pythons = {name: sys.executable if name in OURS else options.python_torch for name in libraries}
    with harness.start_workers(pythons, case, data, options.threads) as (workers, absent):
        missing |= absent
        for worker in workers.values():
            worker.ask("build")
        times = {}
        for do in PARTS:
            own = {name: worker for name, worker in workers.items() if name in (*OURS, *PEERS[do])}
            turns = harness.interleave(own, options.rounds, options.threads, "turn", what=do, seconds=options.seconds)
            times[do] = turns.milliseconds
    return times


def report(result):
    """The tables as Markdown."""
    machine = result["machine"]
    products = PRODUCTS.get(result["tiles"], "in float32")
    lines = [f"{machine['processor']}, {machine['cores']} cores; products of bfloat16 {products}.", ""]
    for do, title in PARTS.items():
        header = [f"{title}, ms", *OURS, *PEERS[do], "best peer ÷ bfloat16", *(column[0] for column in COLUMNS)]
        rows = [row(PEER_CASES[case].title, times[do], PEERS[do]) for case, times in result["cases"].items()]
        lines += [harness.table(header, rows), ""]
    lines += [f"Without {name}: {why}" for name, why in result["missing"].items()]
    return "\n".join(lines).strip()


def row(title, times, peers):
    """One case: medians of all, then ratios of medians."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min((medians[name] for name in peers if name in medians), default=None)
    cells = [f"{medians[name]:.2f}" if name in medians else "" for name in (*OURS, *peers)]
    ratios = [None if best is None else best / medians["minicnn_bf16"]]
    ratios += [medians[above] / medians[below] for _, above, below in COLUMNS]
    return [title, *cells, *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)]


if __name__ == "__main__":
    main()
