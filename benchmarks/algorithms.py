"""Is the right algorithm chosen? Every one that can serve a convolution of the documents' networks, side by side.

`minicnn/backends/numba/convolution/choice.py` estimates which algorithm is fastest; here each is forced in turn, round
by round.
"""

import argparse
import json
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import harness
import numpy as np

import minicnn as mc
from minicnn import backends
from minicnn.backends import memory
from minicnn.backends.numba.convolution import choice
from minicnn.backends.numba.machine.target import lanes
from minicnn.geometry import make_window

ITEMSIZE = 4  # of float32
ops = backends.get("numba").ops
LEAST_SECONDS = 0.002  # of a turn
DECISIONS = (
    "winograd_is_best",
    "pooled_winograd_is_best",
    "winograd_gradient_is_best",
    "pairs_are_best",
    "columns_are_best",
    "input_columns_are_best",
    "spread_is_best",
    "winograd_kernel_gradient_is_best",
    "few_filters_are_best",
    "few_filters_gradient_is_best",
    "panels_are_best",
)
"""Functions of `choice`."""
WINOGRAD, POOLED, GRADIENT, PAIRS, COLUMNS, INPUT_COLUMNS, SPREAD, KERNEL_GRADIENT, FEW, *_ = DECISIONS
FEW_GRADIENT, PANELS = DECISIONS[-2:]


@dataclass(frozen=True)
class Convolution:
    """A layer: input (height, width, channels), filters of size x size taps, with pooling by 2 x 2 or without."""

    shape: tuple
    filters: int
    size: int
    pooled: bool = True
    stride: int = 1
    padding: str = "valid"

    @property
    def window(self):
        """Of the convolution."""
        return make_window(self.shape[:2], (self.size,) * 2, (self.stride,) * 2, self.padding)

    @property
    def pool(self):
        """The window of the pooling behind it."""
        outputs = self.window.out_height, self.window.out_width
        return make_window(outputs, (2, 2), (2, 2), "valid")

    @property
    def has_long_rows(self):
        """Whether rows of the kernel lie in pages of their own, and it is large."""
        return choice.panels_are_best(self.shape[-1], self.filters, self.size**2, ITEMSIZE)

    def candidates(self, job):
        """Name → the decisions that lead to this algorithm, for those that can serve."""
        window = self.window
        winograd = choice.winograd_serves(window)
        pairs = 2 * self.filters <= lanes(ITEMSIZE) and self.stride == 1
        if not self.pooled:
            few_outputs = choice.columns_are_best(window)
            served = {
                "direct": ((), True),
                "Winograd": (
                    (KERNEL_GRADIENT if job == "dkernel" else WINOGRAD,),
                    choice.winograd_kernel_gradient_serves(window) if job == "dkernel" else winograd,
                ),
                "panels": ((PANELS,), job == "y" and self.has_long_rows),
                "columns": ((COLUMNS if few_outputs or job == "dkernel" else INPUT_COLUMNS,), job != "y"),
                "few filters": (
                    (FEW_GRADIENT if job == "dkernel" else FEW,),
                    job != "dx" and self.stride == 1 and 2 * self.filters <= lanes(ITEMSIZE),
                ),
            }
        elif job == "y":
            served = {"direct": ((), True), "Winograd": ((POOLED,), winograd), "pairs": ((PAIRS,), pairs)}
        elif job == "dx":
            served = {"sparse": ((), True), "Winograd": ((GRADIENT,), winograd and self.filters % lanes(ITEMSIZE) == 0)}
        else:
            served = {"sparse": ((), True), "spread": ((SPREAD,), choice.can_pool_by_rows(self.pool))}
        return {name: frozenset(decisions) for name, (decisions, serves) in served.items() if serves}


LAYERS = {
    "LeNet-5, first": Convolution((28, 28, 1), 6, 5),
    "LeNet-5, second": Convolution((12, 12, 6), 16, 5),
    "D0, D1, first": Convolution((28, 28, 1), 32, 3),
    "D0, D1, second": Convolution((13, 13, 32), 64, 3),
    "D1, third": Convolution((5, 5, 64), 64, 3, pooled=False),
    "net_1, net_2 MNIST, first": Convolution((28, 28, 1), 32, 3, pooled=False, padding="same"),
    "net_1 MNIST, second": Convolution((28, 28, 32), 64, 3, padding="same"),
    "net_2 MNIST, second": Convolution((28, 28, 32), 64, 3, pooled=False, stride=2, padding="same"),
    "net_1 CIFAR-10, first": Convolution((32, 32, 3), 32, 3, pooled=False, padding="same"),
    "net_1 CIFAR-10, second": Convolution((32, 32, 32), 64, 3, padding="same"),
    "LeNet-5 CIFAR-10, first": Convolution((32, 32, 3), 6, 5),
    "LeNet-5 CIFAR-10, second": Convolution((14, 14, 6), 16, 5),
    "classic LeNet-5, first": Convolution((28, 28, 1), 6, 5, pooled=False, padding="same"),
    "classic LeNet-5, second": Convolution((14, 14, 6), 16, 5, pooled=False),
    "autoencoder, last": Convolution((28, 28, 16), 1, 3, pooled=False, padding="same"),
    "better LeNet-5, first": Convolution((32, 32, 1), 16, 5, padding="same"),
    "better LeNet-5, second": Convolution((16, 16, 16), 32, 5, padding="same"),
    "better LeNet-5, third": Convolution((8, 8, 32), 64, 5, padding="same"),
    "ResNet-50, last": Convolution((5, 5, 512), 512, 3, pooled=False, padding="same"),
}
JOBS = ("y", "dx", "dkernel")


def main():
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=15, metavar="N", help="turns of each algorithm (default: 15)")
    add("--batch-size", type=int, default=128, metavar="N", help="images (default: 128)")
    add("--layers", nargs="+", choices=LAYERS, default=list(LAYERS), metavar="LAYER", help="some layers only")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    options = parser.parse_args()
    if min(options.rounds, options.batch_size) < 1:
        parser.error("arguments --rounds, --batch-size: 1 or more")
    with backends.get("numba").use_threads(mc.get_num_threads()):
        results = [result for title in options.layers for result in results_of(title, options)]
    print(report(results, options.batch_size))
    if options.out:
        about = {"machine": harness.machine(), "threads": mc.get_num_threads(), "batch_size": options.batch_size}
        options.out.write_text(json.dumps(about | {"results": results}, indent=1) + "\n")


def results_of(title, options):
    """What is measured of a layer: a dictionary for each of its jobs."""
    for job, run in calls(LAYERS[title], options.batch_size).items():
        if job == "dx" and "first" in title:  # nobody asks for the gradient of pictures
            continue
        candidates = LAYERS[title].candidates(job)
        times = measure(run, candidates, options.rounds)
        yield {"layer": title, "job": job, "chosen": chosen(run, candidates), "microseconds": times}


def calls(layer, images):
    """Job → a function that does it."""
    rng = np.random.default_rng(0)
    window, pool, channels = layer.window, layer.pool, layer.shape[2]
    last = pool if layer.pooled else window
    x = normal(rng, images, *layer.shape)
    kernel, bias = normal(rng, layer.size, layer.size, channels, layer.filters), normal(rng, layer.filters)
    y, dy = (normal(rng, images, last.out_height, last.out_width, layer.filters) for _ in range(2))
    dx, dkernel, dbias = (memory.empty(a.shape, a.dtype) for a in (x, kernel, bias))
    if not layer.pooled:
        ops.conv2d(x, kernel, bias, y, window, relu=True)
        return {
            "y": lambda: ops.conv2d(x, kernel, bias, y, window, relu=True),
            "dx": lambda: ops.conv2d_backward(x, kernel, y, dy, dx, None, None, window, relu=True),
            "dkernel": lambda: ops.conv2d_backward(x, kernel, y, dy, None, dkernel, dbias, window, relu=True),
        }
    winner = memory.empty(y.shape, np.uint8)
    ops.conv2d_pool(x, kernel, bias, y, winner, window, pool, relu=True)
    return {
        "y": lambda: ops.conv2d_pool(x, kernel, bias, y, winner, window, pool, relu=True),
        "dx": lambda: ops.conv2d_pool_backward(x, kernel, winner, dy, dx, None, None, window, pool),
        "dkernel": lambda: ops.conv2d_pool_backward(x, kernel, winner, dy, None, dkernel, dbias, window, pool),
    }


def normal(rng, *shape):
    """Random numbers, aligned as the library's are."""
    array = memory.empty(shape, np.float32)
    array[...] = rng.standard_normal(shape)
    return array


@contextmanager
def deciding(make):
    """Inside, `choice` decides by `make(name, its own function)`."""
    own = {name: getattr(choice, name) for name in DECISIONS}
    try:
        for name, function in own.items():
            setattr(choice, name, make(name, function))
        yield
    finally:
        for name, function in own.items():
            setattr(choice, name, function)


def chosen(run, candidates):
    """The candidate that the library itself takes."""
    taken = set()

    def recorded(name, function):
        def decide(*arguments):
            if function(*arguments):
                taken.add(name)
            return name in taken

        return decide

    with deciding(recorded):
        run()
    name = next((name for name, decisions in candidates.items() if decisions == taken), None)
    if name is None:
        raise RuntimeError(f"no candidate follows from {sorted(taken)}; there are {candidates}")
    return name


def measure(run, candidates, rounds):
    """Candidate → microseconds of a call in each round; a first round compiles and says how many calls fill a turn."""
    times, counts = {name: [] for name in candidates}, {}
    for number in range(rounds + 1):
        for name, decisions in candidates.items():
            with deciding(lambda decision, _, decisions=decisions: lambda *arguments: decision in decisions):
                if not number:
                    run()
                    counts[name] = max(1, round(LEAST_SECONDS / seconds(run, 1)))
                elapsed = seconds(run, counts[name])
            if number:
                times[name].append(1e6 * elapsed)
    return times


def seconds(run, count):
    """Of one of so many calls."""
    begin = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - begin) / count


def report(results, images):
    """A Markdown table: the median of each candidate; the chosen one first."""
    rows = []
    for result in results:
        medians = {name: statistics.median(times) for name, times in result["microseconds"].items()}
        best, mine = min(medians, key=medians.get), result["chosen"]
        others = ", ".join(f"{name} {us:,.0f}" for name, us in medians.items() if name != mine)
        ratios = [a / b for a, b in zip(result["microseconds"][mine], result["microseconds"][best], strict=True)]
        rows.append(
            [
                result["layer"],
                result["job"],
                f"{mine} {medians[mine]:,.0f}",
                others or "–",
                f"{statistics.median(ratios):.2f}",
            ]
        )
    table = harness.table(["layer", "result", "chosen: µs", "others: µs", "chosen ÷ fastest"], rows)
    return f"{table}\n\n{images} images, float32, {mc.get_num_threads()} threads, {harness.machine()['processor']}."


if __name__ == "__main__":
    main()
