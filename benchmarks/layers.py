"""Every layer by itself: its time forward and backward, and what the machine allows at best.

What is timed: README.md beside this file.
"""

import argparse
import math
import time
from pathlib import Path
from types import SimpleNamespace

import harness
import numpy as np
from threadpoolctl import threadpool_limits

import minicnn as mc
from minicnn import backends, layers
from minicnn.graph import Graph
from minicnn.layers import Input
from minicnn.parameters import ParameterStore
from minicnn.plan.plan import Plan
from minicnn.threads import compute_threads

BATCH = 32
MAP = (32, 32, 64)  # 8 MB of float32 numbers in a batch
LEAST, MOST = 5, 40  # repetitions
COPIED, MULTIPLIED = 16 << 20, 1024  # numbers; rows of a square matrix
WANTED = 0.3  # of the bound; below it, a reason is given

EXP, DIVISIONS = "arithmetic: an exponential function", "arithmetic: divisions"
SHORT = "rows of few numbers"
CASES = {  # name → (layer, shapes of its inputs, why it may stay below the wanted share)
    "Conv2D 3×3": (lambda: layers.Conv2D(64, 3, padding="same"), [MAP], ""),
    "Conv2D 1×1": (lambda: layers.Conv2D(64, 1), [MAP], ""),
    "Conv2D 3×3, strides 2": (lambda: layers.Conv2D(64, 3, strides=2, padding="same"), [MAP], ""),
    "Conv2D 3×3, 4 groups": (lambda: layers.Conv2D(64, 3, padding="same", groups=4), [MAP], ""),
    "Conv2DTranspose 4×4, strides 2": (lambda: layers.Conv2DTranspose(32, 4, 2, "same"), [(16, 16, 64)], ""),
    "DepthwiseConv2D 3×3": (lambda: layers.DepthwiseConv2D(3, padding="same"), [MAP], ""),
    "SeparableConv2D 3×3": (lambda: layers.SeparableConv2D(64, 3, padding="same"), [MAP], ""),
    "Dense 512": (lambda: layers.Dense(512), [(1024,)], ""),
    "MaxPooling2D": (lambda: layers.MaxPooling2D(), [MAP], ""),
    "AveragePooling2D": (lambda: layers.AveragePooling2D(), [MAP], ""),
    "GlobalAveragePooling2D": (lambda: layers.GlobalAveragePooling2D(), [MAP], ""),
    "GlobalMaxPooling2D": (lambda: layers.GlobalMaxPooling2D(), [MAP], ""),
    "BatchNormalization": (lambda: layers.BatchNormalization(), [MAP], ""),
    "LayerNormalization": (lambda: layers.LayerNormalization(), [MAP], SHORT),
    "GroupNormalization": (lambda: layers.GroupNormalization(8), [MAP], ""),
    "RMSNormalization": (lambda: layers.RMSNormalization(), [MAP], SHORT),
    "UnitNormalization": (lambda: layers.UnitNormalization(), [MAP], "NumPy, as it is rare"),
    "ReLU": (lambda: layers.ReLU(), [MAP], ""),
    "ReLU, bounded": (lambda: layers.ReLU(6), [MAP], ""),
    "LeakyReLU": (lambda: layers.LeakyReLU(), [MAP], ""),
    "PReLU": (lambda: layers.PReLU(shared_axes=(1, 2)), [MAP], ""),
    "ELU": (lambda: layers.ELU(), [MAP], EXP),
    "sigmoid": (lambda: layers.Activation("sigmoid"), [MAP], EXP),
    "tanh": (lambda: layers.Activation("tanh"), [MAP], EXP),
    "softplus": (lambda: layers.Activation("softplus"), [MAP], f"{EXP} and a logarithm"),
    "selu": (lambda: layers.Activation("selu"), [MAP], EXP),
    "gelu": (lambda: layers.Activation("gelu"), [MAP], DIVISIONS),
    "silu": (lambda: layers.Activation("silu"), [MAP], EXP),
    "mish": (lambda: layers.Activation("mish"), [MAP], f"{EXP} and a logarithm"),
    "hard_silu": (lambda: layers.Activation("hard_silu"), [MAP], ""),
    "hard_sigmoid": (lambda: layers.Activation("hard_sigmoid"), [MAP], ""),
    "Softmax, 64 classes": (lambda: layers.Softmax(), [MAP], EXP),
    "Softmax, 10 classes": (lambda: layers.Softmax(), [(32, 32, 10)], f"{EXP}; {SHORT}"),
    "Add": (lambda: layers.Add(), [MAP, MAP], ""),
    "Multiply": (lambda: layers.Multiply(), [MAP, MAP], ""),
    "Multiply by a number a channel": (lambda: layers.Multiply(), [MAP, (1, 1, 64)], ""),
    "Subtract": (lambda: layers.Subtract(), [MAP, MAP], ""),
    "Average": (lambda: layers.Average(), [MAP, MAP], ""),
    "Maximum": (lambda: layers.Maximum(), [MAP, MAP], ""),
    "Concatenate": (lambda: layers.Concatenate(), [MAP, MAP], ""),
    "Dropout": (lambda: layers.Dropout(0.3), [MAP], "arithmetic: random numbers"),
    "SpatialDropout2D": (lambda: layers.SpatialDropout2D(0.3), [MAP], ""),
    "GaussianNoise": (lambda: layers.GaussianNoise(0.1), [MAP], "arithmetic: random numbers"),
    "GaussianDropout": (lambda: layers.GaussianDropout(0.1), [MAP], "arithmetic: random numbers"),
    "AlphaDropout": (lambda: layers.AlphaDropout(0.1), [MAP], "arithmetic: random numbers"),
    "UpSampling2D": (lambda: layers.UpSampling2D(), [(16, 16, 64)], ""),
    "UpSampling2D, bilinear": (lambda: layers.UpSampling2D(interpolation="bilinear"), [(16, 16, 64)], ""),
    "Resizing": (lambda: layers.Resizing(24, 24), [MAP], ""),
    "ZeroPadding2D": (lambda: layers.ZeroPadding2D(), [MAP], ""),
    "Cropping2D": (lambda: layers.Cropping2D(2), [MAP], ""),
    "Permute": (lambda: layers.Permute((3, 1, 2)), [MAP], "a transposed copy in NumPy"),
    "Rescaling": (lambda: layers.Rescaling(1 / 255), [MAP], ""),
    "Rescaling, a number a channel": (lambda: layers.Rescaling([1.0, 2.0, 3.0]), [(128, 128, 3)], SHORT),
}


def main():
    """Measure, then print a table and write it."""
    options = parse()
    with compute_threads(backends.get("numba")):
        load, rates = harness.Load({}), measure_rates(options)
        chosen = {name: CASES[name] for name in CASES if not options.only or any(o in name for o in options.only)}
        rows = [measure(name, *case, rates, options) for name, case in chosen.items()]
        foreign = load.foreign_cores() or 0.0
    text, found = report(rows, rates, foreign), {"rates": vars(rates), "rows": rows}
    harness.publish_idle(options, found, text, foreign, "layers")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="*", metavar="NAME", help="layers whose names hold one of these (default: all)")
    add("--small", action="store_true", help="images of 8 × 8 × 8 numbers: what a call costs")
    add("--seconds", type=float, default=0.5, metavar="S", help="how long a layer is repeated, about (default: 0.5)")
    add("--anyway", action="store_true", help="do not mind other programs, but say so in the table")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--docs", type=Path, metavar="FILE", help="put the table into this Markdown file, e.g. docs/performance.md")
    return parser.parse_args()


def measure_rates(options):
    """The machine's two bounds on the threads at hand: bytes a second that are copied, FLOP a second of sgemm."""
    ops, backend = backends.get("numba").ops, backends.get("numba")
    source, target = backend.zeros((COPIED,), "f4"), backend.zeros((COPIED,), "f4")
    copying = fastest(lambda: ops.pointwise(target, (source,), "copy"), options)
    a, b, c = (backend.zeros((MULTIPLIED, MULTIPLIED), "f4") for _ in range(3))
    a.fill(1)
    b.fill(1)
    with threadpool_limits(mc.get_num_threads(), user_api="blas"):
        multiplying = fastest(lambda: np.matmul(a, b, out=c), options)
    return SimpleNamespace(bytes=2 * source.nbytes / copying, flops=2 * MULTIPLIED**3 / multiplying)


def fastest(call, options):
    """Seconds of the fastest of several calls, after one that compiles."""
    call()
    best, start, count = math.inf, time.perf_counter(), 0
    while count < LEAST or (time.perf_counter() - start < options.seconds and count < MOST):
        before = time.perf_counter()
        call()
        best, count = min(best, time.perf_counter() - before), count + 1
    return best


def measure(name, make, shapes, reason, rates, options):
    """One row: seconds forward and backward, the bound, why it is below."""
    if options.small:
        shapes = [tuple(min(n, 8) for n in shape) for shape in shapes]
    inputs = [Input(shape) for shape in shapes]
    graph = Graph(inputs, make().call_symbolically(inputs).outputs)
    weights = list(dict.fromkeys(w for layer in graph.layers for w in layer.weights))
    store = ParameterStore(weights, backends.get("numba"), np.dtype("float32"), adopt=False)
    bound = Plan(graph, store, BATCH, training=True, input_gradients=True).bind(BATCH)
    rng = np.random.default_rng(0)
    for array in (*bound.inputs, *bound.head_gradients):
        array[...] = rng.standard_normal(array.shape)
    seconds = [fastest(bound.forward, options), fastest(bound.backward, options)]
    moved, flops = traffic(bound), arithmetic(graph, weights)
    bounds = [max(m / rates.bytes, f / rates.flops) for m, f in zip(moved, flops, strict=True)]
    kind = "sgemm" if sum(flops) / rates.flops > sum(moved) / rates.bytes else "copy"
    return {"name": name, "seconds": seconds, "bounds": bounds, "by": kind, "reason": reason}


def traffic(bound):
    """Bytes that have to be read and written once, forward and backward."""
    forward = sum(x.nbytes for x in bound.inputs) + sum(y.nbytes for y in bound.outputs)
    backward = sum(g.nbytes for g in (*bound.head_gradients, *bound.input_gradients) if g is not None)
    for place, ws, _ in bound.backward_steps:
        kept = [*(ws.xs if place.step.uses_input else ()), *([ws.y] if place.step.uses_output else ())]
        backward += sum(a.nbytes for a in kept if a.ndim > 1)
    return forward, backward


def arithmetic(graph, weights):
    """FLOP of products with kernels, forward and backward: each number of a kernel meets each output pixel once."""
    kernels = [w for w in weights if "kernel" in w.name and w.has_gradient]
    pixels = max(math.prod(t.shape[1:-1]) for t in (*graph.inputs, *graph.outputs))
    if any(isinstance(layer, layers.Conv2DTranspose) for layer in graph.layers):
        pixels = math.prod(graph.inputs[0].shape[1:-1])
    elif graph.outputs[0].shape[1:-1] != graph.inputs[0].shape[1:-1]:
        pixels = math.prod(graph.outputs[0].shape[1:-1])
    once = sum(2 * BATCH * pixels * math.prod(w.shape) for w in kernels)
    return once, 2 * once


def report(rows, rates, foreign):
    """Markdown: one line for each layer, those far from their bound with the reason."""
    cells = [
        [
            row["name"],
            *(f"{1000 * s:.3f}" for s in row["seconds"]),
            f"{1000 * sum(row['bounds']):.3f}",
            row["by"],
            f"{100 * share(row):.0f} %",
            row["reason"] if share(row) < WANTED else "",
        ]
        for row in rows
    ]
    header = ["layer, batch 32", "forward, ms", "backward, ms", "bound, ms", "by", "reached", "why not more"]
    machine = harness.machine()
    below = [row["name"] for row in rows if share(row) < WANTED and not row["reason"]]
    return "\n\n".join(
        [
            f"{machine['processor']}, {mc.get_num_threads()} threads of {machine['cores']} cores, float32. Bound: "
            f"every array read or written once at the rate of a copy ({rates.bytes / 1e9:.1f} GB/s), or the products "
            f"at that of NumPy's sgemm ({rates.flops / 1e9:.0f} GFLOP/s), whichever takes longer.",
            harness.table(header, cells),
            f"Below {100 * WANTED:.0f} % without a reason: {', '.join(below) or 'none'}. Other programs kept "
            f"{foreign:.2f} cores busy meanwhile.",
        ]
    )


def share(row):
    """Of the bound that is reached."""
    return sum(row["bounds"]) / sum(row["seconds"])


if __name__ == "__main__":
    main()
