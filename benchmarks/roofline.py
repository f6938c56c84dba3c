"""A training step of the networks of ``cpu_vs_peers.py``, kernel by kernel, and what the machine allows at best.

What is timed: README.md beside this file.
"""

import argparse
import math
import time
from collections import Counter
from pathlib import Path

import harness
import layers
import numpy as np
from worker import PEER_CASES, Minicnn

import minicnn as mc
from minicnn import backends
from minicnn.parameters import ParameterStore
from minicnn.plan.plan import Plan
from minicnn.plan.works import backward_works, forward_work
from minicnn.threads import compute_threads

IMAGES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "photos": (128, 128, 3)}
CASES = {name: case for name, case in PEER_CASES.items() if case.trained}
KINDS = ("3×3 convolution", "other convolution", "dense", "normalization", "pooling", "others")
WINOGRAD = 36 / 144  # of the multiplications: a tile of 4 × 4 outputs
FEWEST, MOST = 4, 30  # repetitions


def main():
    """Measure, then print tables and write them."""
    options = parse()
    with compute_threads(backends.get("numba")):
        load, rates = harness.Load({}), layers.measure_rates(options)
        results = {CASES[name].title: measure(CASES[name], rates, options) for name in options.cases}
        foreign = load.foreign_cores() or 0.0
    text, found = report(results, rates, foreign), {"rates": vars(rates), "networks": results}
    harness.publish_idle(options, found, text, foreign, "roofline")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help="default: all that are trained")
    add("--seconds", type=float, default=1.0, metavar="S", help="how long a network is repeated, about (default: 1)")
    add("--anyway", action="store_true", help="do not mind other programs, but say so in the tables")
    add("--out", type=Path, metavar="FILE", help="write every step's numbers there as JSON")
    add("--docs", type=Path, metavar="FILE", help="put the tables into this Markdown file, e.g. docs/performance.md")
    return parser.parse_args()


def measure(case, rates, options):
    """Seconds of a whole training step; and of each of its parts, with their bounds."""
    rng = np.random.default_rng(0)
    x = rng.random((case.batch_size, *IMAGES[case.images]), np.float32)
    y = rng.integers(0, 10, case.batch_size).astype(np.uint8)
    trainer = Minicnn(case, x, y, mc.get_num_threads())
    trainer.build()
    model = trainer.model
    whole = layers.fastest(lambda: model.train_on_batch(x, y), options)
    return {"seconds": whole, "parts": measure_parts(bound_plan(model, x, rng), rates, options)}


def bound_plan(model, x, rng):
    """The model's plan for training with these images, all its arrays filled."""
    backend = backends.get("numba")
    store = ParameterStore(model.weights, backend, np.dtype("float32"), adopt=False)
    logits_of = [loss.takes_logits_of for loss in model.compiled.losses]
    bound = Plan(model.graph, store, len(x), training=True, logits_of=logits_of).bind(len(x))
    bound.inputs[0][...] = x
    for gradient in bound.head_gradients:
        gradient[...] = rng.standard_normal(gradient.shape) / 100
    return bound


def measure_parts(bound, rates, options):
    """Each step forward and backward, in the order of a training: its kind, the fastest seconds, its two bounds."""
    bound.forward()
    backend = bound.plan.backend
    forward = [(step, forward_traffic(step), [forward_work(step)]) for step in bound.forward_steps]
    works = zip(bound.backward_steps, backward_works(bound, backend), strict=True)
    backward = [(step, backward_traffic(step), [work]) for step, work in works]
    runs = [(step, moved, backend.repeated(own)) for step, moved, own in forward + backward]
    best, start, count = [math.inf] * len(runs), time.perf_counter(), 0
    while count < FEWEST or (time.perf_counter() - start < options.seconds and count < MOST):
        for i, (_, _, works) in enumerate(runs):  # all others in between: caches hold what they hold in a training
            before = time.perf_counter()
            for work in works:
                work()
            best[i], count = min(best[i], time.perf_counter() - before), count + (i == 0)
    numbers = [(step, products(step, i >= len(forward))) for i, (step, _, _) in enumerate(runs)]
    return [
        {
            "name": getattr(step.place.step, "name", type(step.place.step).__name__),
            "kind": kind_of(step),
            "pass": "forward" if i < len(forward) else "backward",
            "seconds": best[i],
            "bounds": [max(runs[i][1] / rates.bytes, flops * s / rates.flops) for s in (1, saved(step))],
        }
        for i, (step, flops) in enumerate(numbers)
    ]


def forward_traffic(step):
    """Bytes that have to be read and written once."""
    return sum(a.nbytes for a in (*step.ws.xs, step.ws.y))


def backward_traffic(step):
    """The same of the gradients, with what they are computed from, and of the additions behind them."""
    place, ws, additions = step
    kept = [*(ws.xs if place.step.uses_input else ()), *([ws.y] if place.step.uses_output else ())]
    arrays = [ws.dy, *(dx for dx in ws.dxs if dx is not None), *(a for a in kept if a.ndim > 2)]
    return sum(a.nbytes for a in arrays) + sum(2 * total.nbytes + own.nbytes for total, own in additions)


def products(step, backward):
    """FLOP of products with a kernel, by the textbook's count."""
    ws = step.ws
    kernel = next((a for name, a in ws.params.items() if "kernel" in name), None)
    if kernel is None:
        return 0
    window = getattr(ws, "window", None)
    pixels = 1 if window is None else window.out_height * window.out_width
    times = (ws.dxs[0] is not None) + 1 if backward else 1
    return 2 * len(ws.y) * pixels * kernel.size * times


def kind_of(step):
    """Which of `KINDS` it is."""
    name, window = type(step.place.step).__name__, getattr(step.ws, "window", None)
    if "Conv" in name:
        return KINDS[0] if is_winograd_s(window) and "Depthwise" not in name else KINDS[1]
    found = [
        kind for word, kind in (("Dense", "dense"), ("Norm", "normalization"), ("Pool", "pooling")) if word in name
    ]
    return found[0] if found else KINDS[-1]


def is_winograd_s(window):
    """Whether it is a convolution of 3 x 3 taps without strides."""
    return window is not None and window.kernel_height == window.kernel_width == 3 and window.stride_y == 1


def saved(step):
    """What of the textbook's products Winograd's algorithm needs, where it applies."""
    return WINOGRAD if kind_of(step) == KINDS[0] else 1


def report(results, rates, foreign):
    """Markdown: one line for each network, and the kinds of its kernels."""
    machine = harness.machine()
    header = ["network", "step, ms", "kernels", "bound", "reached", "bound, Winograd", "reached"]
    rows = [[title, f"{1000 * r['seconds']:.2f}", *of_bounds(r["parts"])] for title, r in results.items()]
    kinds = [[title, *shares(r["parts"])] for title, r in results.items()]
    return "\n\n".join(
        [
            f"{machine['processor']}, {mc.get_num_threads()} threads of {machine['cores']} cores, float32. A copy: "
            f"{rates.bytes / 1e9:.1f} GB/s; NumPy's sgemm: {rates.flops / 1e9:.0f} GFLOP/s.",
            harness.table(header, rows),
            "Milliseconds of a training step, of its kernels one by one (without loss and optimizer), and of their "
            "bounds: every array a step reads or writes once at the rate of a copy, or its products at that of sgemm, "
            "whichever takes longer. Products are counted as in the textbook, then with a quarter of them where "
            "Winograd's algorithm for tiles of 4 × 4 outputs serves.",
            harness.table(["of the kernels' time", *KINDS], kinds),
            "In brackets: how much of the bound, by Winograd's count, is reached. Other programs kept "
            f"{foreign:.2f} cores busy meanwhile.",
        ]
    )


def of_bounds(parts):
    """Cells: milliseconds of the kernels; each bound, and how much of it is reached."""
    total = sum(part["seconds"] for part in parts)
    bounds = [sum(part["bounds"][i] for part in parts) for i in (0, 1)]
    return [f"{1000 * total:.2f}", *(cell for b in bounds for cell in (f"{1000 * b:.2f}", f"{100 * b / total:.0f} %"))]


def shares(parts):
    """Cells: of each kind its share of the time, and how much of its bound is reached."""
    seconds, bounds = Counter(), Counter()
    for part in parts:
        seconds[part["kind"]] += part["seconds"]
        bounds[part["kind"]] += part["bounds"][1]
    total = sum(seconds.values())
    return [
        f"{100 * seconds[k] / total:.0f} % ({100 * bounds[k] / seconds[k]:.0f} %)" if seconds[k] else "–" for k in KINDS
    ]


if __name__ == "__main__":
    main()
