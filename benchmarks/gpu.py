"""Everything that a GPU can show about the cupy backend, in one command of less than 8 minutes.

    python benchmarks/gpu.py [--out DIR] [--minutes 7.5]
    python benchmarks/gpu.py --write DIR/gpu.json

The first form measures and writes DIR/gpu.json after every part, then DIR/gpu.md and DIR/gpu.png; the second one puts
the tables and the chart of a measurement into docs/. Besides the checkout it needs numpy, numba and cupy; PyTorch to
compare with and matplotlib for the chart are used where they are installed. What fails is reported, and the others go
on; after an error that the device does not recover from, ``--parts`` measures what is missing in a new process.

Kernels are timed with CUDA events around graphs of many launches, training steps by the clock around many steps with
one synchronization at the end. PyTorch: `cudnn.benchmark = True`, TF32 off on both sides, the faster memory layout.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import gpu_networks
import gpu_tensor_cores
from harness import replace_section, table

import minicnn as mc
from minicnn import backends
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages
from minicnn.geometry import make_window

DOCUMENT, CHART = ROOT / "docs" / "gpu.md", ROOT / "docs" / "gpu.png"
SHAPES = {  # name → images, height and width, channels, filters, kernel size, padding
    "LeNet-5, first": (128, 28, 1, 6, 5, "valid"),
    "LeNet-5, second": (128, 12, 6, 16, 5, "valid"),
    "D0, first": (32, 28, 1, 32, 3, "valid"),
    "D0, second": (32, 13, 32, 64, 3, "valid"),
    "net_1, second": (128, 28, 32, 64, 3, "same"),
    "64 → 64, 56×56": (64, 56, 64, 64, 3, "same"),  # wanted: 70 % of cuDNN's rate
    "128 → 128, 28×28": (64, 28, 128, 128, 3, "same"),
    "256 → 256, 14×14": (64, 14, 256, 256, 3, "same"),
    "256 → 256, 56×56": (64, 56, 256, 256, 3, "same"),
    "ResNet-20, 16 → 16": (128, 32, 16, 16, 3, "same"),
    "ResNet-20, 32 → 32": (128, 16, 32, 32, 3, "same"),
    "ResNet-20, 64 → 64": (128, 8, 64, 64, 3, "same"),
}
SMOKE_SHAPES = {"a": (2, 8, 1, 6, 3, "same"), "b": (2, 7, 16, 20, 3, "valid")}
PARTS = ("forward", "input gradient", "kernel gradient")
MOST_CPU_PRODUCTS = 1.5e10  # larger convolutions are not timed on the processor


def main():
    """Measure, or write what was measured into docs/."""
    options = parse()
    if options.write:
        write_documents(json.loads(options.write.read_text()))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    end, file = time.monotonic() + 60 * options.minutes, options.out / "gpu.json"
    result = json.loads(file.read_text()) if file.is_file() and len(options.parts) < len(MEASUREMENTS) else {}
    if result.setdefault("smoke", options.smoke) != options.smoke:
        sys.exit(f"error: {file} is of a measurement with other sizes (--smoke); give another --out")
    for name in options.parts:
        start = time.monotonic()
        gpu_networks.failures.clear()
        result.pop(name, None)
        with gpu_networks.go_on_after(name):
            result[name] = MEASUREMENTS[name](options.smoke, end)
        result["failures"] = result.get("failures", {}) | {name: list(gpu_networks.failures)}
        print(f"-- {name}: {time.monotonic() - start:.0f} s", flush=True)
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    text = report(result)
    print(text)
    (options.out / "gpu.md").write_text(text)
    draw(result, options.out / "gpu.png")
    sys.exit(1 if any(result["failures"].values()) else 0)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), metavar="DIR")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=MEASUREMENTS,
        default=list(MEASUREMENTS),
        metavar="PART",
        help=f"of {', '.join(MEASUREMENTS)}: measure these, keep the others of an earlier run (all)",
    )
    parser.add_argument("--minutes", type=float, default=7.5, help="parts that can be left out are, after that")
    parser.add_argument("--write", type=Path, metavar="JSON", help="put a measurement into docs/ instead")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: whether everything runs")
    return parser.parse_args()


def machine(smoke, end):
    """What computes."""
    import cupy

    versions = {"python": platform.python_version(), "numpy": np.__version__, "cupy": cupy.__version__}
    torch = gpu_networks.torch_or_none()
    if torch is not None:
        cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
        versions |= {"torch": torch.__version__, "cudnn": cudnn}
    print(backends.get("cupy").describe(), versions, flush=True)
    return {"device": backends.get("cupy").describe(), "processor": processor(), "versions": versions}


def processor():
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# ----------------------------------------------------------------------------------------------------------- timing


def seconds_of(launch, smoke=False):
    """Seconds that the device needs for what `launch` launches: the median of several runs of many launches.

    The launches are captured as a graph, so that small kernels do not wait for Python; what cannot be is large.
    """
    import cupy

    from minicnn.backends.cupy.graph import CapturedGraph

    def run(call):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        call()
        stop.record()
        stop.synchronize()
        return cupy.cuda.get_elapsed_time(start, stop) / 1000

    for _ in range(1 if smoke else 3):
        launch()
    once = run(launch)
    count = 2 if smoke else max(3, min(100, math.ceil(0.01 / max(once, 1e-7))))

    def many():
        for _ in range(count):
            launch()

    try:
        call = CapturedGraph(many).launch
    except NotImplementedError:  # cuBLAS
        call = many
    call()
    return statistics.median(run(call) for _ in range(1 if smoke else 5)) / count


def processor_seconds(call):
    """Seconds that a call takes on the processor: the best of three."""
    call()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measured_limits(smoke, end):
    """What the device can do at best: bytes copied a second, and multiply-adds of cuBLAS in float32."""
    import cupy

    backend = backends.get("cupy")
    size = 2**12 if smoke else 2**28
    with backend.device:
        a, b = cupy.zeros(size, np.float32), cupy.empty(size, np.float32)
        copied = seconds_of(lambda: b.__setitem__(slice(None), a), smoke)
        limits = {"bytes": 2 * a.nbytes / copied, "flops": None}
        del a, b
        n = 32 if smoke else 8192
        a, b = (cupy.asarray(np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)) for _ in range(2))
        try:
            limits["flops"] = 2 * n**3 / seconds_of(lambda: a @ b, smoke)
        except ImportError as error:  # cuBLAS is a package of its own
            print(f"no matrix product of cuBLAS: {error}")
    return limits


# ------------------------------------------------------------------------------------------------------ convolutions


class Convolution:
    """One convolution's arrays on a backend of minicnn.

    Parameters
    ----------
    backend : str
    shape : tuple
        A value of `SHAPES`.
    """

    def __init__(self, backend, shape):
        self.backend = backends.get(backend)
        n, size, channels, filters, kernel, padding = shape
        self.window = make_window((size, size), (kernel, kernel), (1, 1), padding)
        rng = np.random.default_rng(1)
        x, k, dy = (
            rng.normal(size=s).astype(np.float32)
            for s in (
                (n, size, size, channels),
                (kernel, kernel, channels, filters),
                (n, self.window.out_height, self.window.out_width, filters),
            )
        )
        self.host = x, k, dy
        self.x, self.kernel, self.dy = (self.backend.asarray(a) for a in (x, k, dy))
        self.y, self.dx, self.dkernel = (self.backend.empty(a.shape, a.dtype) for a in (dy, x, k))
        self.products = dy.size * channels * kernel**2

    def run(self, part):
        """Compute one of `PARTS`."""
        if part == "forward":
            self.backend.ops.conv2d(self.x, self.kernel, None, self.y, self.window)
            return self.y
        dx, dkernel = (self.dx, None) if part == "input gradient" else (None, self.dkernel)
        self.backend.ops.conv2d_backward(self.x, self.kernel, None, self.dy, dx, dkernel, None, self.window)
        return dkernel if dx is None else dx


def convolutions(smoke, end):
    """For every shape and part: seconds on the GPU, on the processor and in cuDNN, and how far the results differ."""
    rows = []
    for name, shape in (SMOKE_SHAPES if smoke else SHAPES).items():
        with gpu_networks.go_on_after(f"convolution {name}"):
            rows.append(convolution(name, shape, smoke, end))
    return rows


def convolution(name, shape, smoke, end):
    """One row of `convolutions`."""
    ours = Convolution("cupy", shape)
    row = {"name": name, "products": ours.products, "parts": {}}
    with ours.backend.device:
        results = {}
        for part in PARTS:
            entry = row["parts"][part] = {"gpu": seconds_of(partial(ours.run, part), smoke)}
            results[part] = ours.backend.to_host(ours.run(part))
            entry["identical"] = bool(np.array_equal(results[part], ours.backend.to_host(ours.run(part))))
        with gpu_networks.go_on_after(f"convolution {name}, PyTorch"):
            peer = gpu_networks.TorchConvolution(ours.host, shape) if gpu_networks.torch_or_none() else None
            for part in PARTS if peer else ():
                row["parts"][part] |= peer.compare(part, results[part], smoke)
    if ours.products <= MOST_CPU_PRODUCTS and time.monotonic() < end:
        with gpu_networks.go_on_after(f"convolution {name}, processor"):
            cpu = Convolution("numba", shape)
            for part in PARTS:
                row["parts"][part]["cpu"] = processor_seconds(partial(cpu.run, part))
    print(name, {part: f"{entry['gpu'] * 1e6:.0f} µs" for part, entry in row["parts"].items()}, flush=True)
    return row


# ------------------------------------------------------------------------------------------------ memory-bound kernels


def bandwidths(smoke, end):
    """Bytes a second of kernels that only move memory: (name, bytes read and written a second)."""
    backend = backends.get("cupy")
    kernels, zeros = backend.ops, backend.zeros
    n, size, channels = (2, 4, 8) if smoke else (256, 56, 64)
    window = make_window((size, size), (2, 2), (2, 2), "valid")
    x, y = zeros((n, size, size, channels), np.float32), zeros((n, size // 2, size // 2, channels), np.float32)
    out, winner = zeros(x.shape, np.float32), zeros(y.shape, np.uint8)
    vectors = [zeros((64 if smoke else 2**26,), np.float32) for _ in range(4)]
    c = [zeros((channels,), np.float32) for _ in range(8)]
    affine, moments, averages = Affine(*c[:2], True), Moments(*c[2:4]), MovingAverages(*c[4:6], 0.99)
    others = [zeros(x.shape, np.float32) for _ in range(2)]
    cases = {
        "max pooling": (lambda: kernels.max_pool2d(x, y, winner, window), x.nbytes + y.nbytes + winner.nbytes),
        "max pooling, gradient": (
            lambda: kernels.max_pool2d_backward(y, winner, out, window),
            x.nbytes + y.nbytes + winner.nbytes,
        ),
        "batch normalization": (
            lambda: kernels.batch_norm(x, out, Affine(*c[:2], False), moments, averages, 1e-3, True),
            3 * x.nbytes,
        ),
        "batch normalization, addition, ReLU": (
            lambda: kernels.batch_norm(x, out, affine, moments, averages, 1e-3, True, others[0]),
            4 * x.nbytes,
        ),
        "batch normalization, gradient": (
            lambda: kernels.batch_norm_backward(x, None, out, affine, moments, others[0], None, *c[6:], True),
            5 * x.nbytes,
        ),
        "batch normalization, addition, ReLU, gradient": (
            lambda: kernels.batch_norm_backward(x, out, out, affine, moments, *others, *c[6:], True),
            7 * x.nbytes,
        ),
        "addition": (lambda: kernels.pointwise(others[0], (x, out), "add"), 3 * x.nbytes),
        "ReLU": (lambda: kernels.pointwise(out, (x,), "relu"), 2 * x.nbytes),
        "dropout": (lambda: kernels.dropout(x, out, 0.5, 1, 2, 3), 2 * x.nbytes),
        "Adam": (lambda: kernels.adam_update(*vectors, 1e-3, 0.9, 0.999, 1e-7), 7 * vectors[0].nbytes),
    }
    with backend.device:
        return {name: moved / seconds_of(launch, smoke) for name, (launch, moved) in cases.items()}


# ---------------------------------------------------------------------------------------------------------- reporting


def report(result) -> str:
    """The tables, as Markdown."""
    makers = {
        "machine": lambda m: (
            f"Device: {m['device']}. Processor: {m['processor']}. "
            + ", ".join(f"{name} {version}" for name, version in m["versions"].items())
            + "."
        ),
        "limits": lambda m: (
            f"Measured limits: copying moves {m['bytes'] / 1e12:.2f} TB/s (read and written); "
            + (f"cuBLAS multiplies at {m['flops'] / 1e12:.1f} TFLOP/s in float32." if m["flops"] else "no cuBLAS.")
        ),
        "convolutions": lambda rows: convolution_table(rows, result.get("limits", {}).get("flops")),
        "kernels": lambda rates: table(
            ["kernel", "GB/s", "of the copy's rate"],
            [
                [name, f"{rate / 1e9:.0f}", _ratio(rate, result.get("limits", {}).get("bytes"))]
                for name, rate in rates.items()
            ],
        ),
        "tensor cores": gpu_tensor_cores.text,
        "networks": gpu_networks.steps_table,
        "accuracy": gpu_networks.accuracy_text,
    }
    blocks = [make(result[name]) for name, make in makers.items() if result.get(name)]
    failed = [what for part in result["failures"].values() for what in part]
    return "\n\n".join([*blocks, *(f"**Failed**: {what}" for what in failed)]) + "\n"


def _ratio(value, limit):
    return f"{value / limit:.0%}" if limit else "–"


def convolution_table(rows, flops):
    """Times of every convolution, rates against the limit, and ratios to cuDNN and to the processor."""
    lines = []
    for row in rows:
        for part, entry in row["parts"].items():
            rate = 2 * row["products"] / entry["gpu"]
            lines.append(
                [
                    f"{row['name']}: {part}",
                    f"{entry['gpu'] * 1e6:.1f}",
                    f"{rate / 1e12:.2f}",
                    _ratio(rate, flops),
                    f"{entry['cudnn'] * 1e6:.1f}" if "cudnn" in entry else "–",
                    f"{entry['cudnn'] / entry['gpu']:.0%}" if "cudnn" in entry else "–",
                    f"{entry['cpu'] * 1e6:.0f}" if "cpu" in entry else "–",
                    f"{entry['cpu'] / entry['gpu']:.1f}" if "cpu" in entry else "–",
                    f"{entry['difference']:.0e}" if "difference" in entry else "–",
                    "yes" if entry["identical"] else "NO",
                ]
            )
    header = "convolution|GPU, µs|TFLOP/s|of cuBLAS|cuDNN, µs|of cuDNN's rate|CPU, µs|GPU/CPU|difference|identical"
    return table(header.split("|"), lines)


def crossover(rows):
    """The number of multiplications from which the GPU is faster than the processor, forward; None if it always is."""
    forward = [(row["products"], row["parts"]["forward"]) for row in rows]
    return max((products for products, entry in forward if entry.get("cpu", np.inf) < entry["gpu"]), default=None)


def draw(result, path):
    """The log-log chart of the convolutions, where matplotlib is installed."""
    rows = result.get("convolutions")
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no chart: matplotlib is not installed")
        return
    if not rows:
        return
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.2), sharey=True, layout="constrained")
    styles = {"gpu": ("minicnn, GPU", "o-"), "cudnn": ("PyTorch, cuDNN", "s--"), "cpu": ("minicnn, CPU", "^-")}
    for axis, part in zip(axes, PARTS, strict=True):
        for key, (label, style) in styles.items():
            points = sorted((r["products"], r["parts"][part][key] * 1e6) for r in rows if key in r["parts"][part])
            if points:
                axis.loglog(*zip(*points, strict=True), style, label=label)
        axis.set(title=part, xlabel="multiplications")
        axis.grid(alpha=0.3)
    last = crossover(rows)
    if last is not None:
        axes[0].axvline(last, color="grey", linestyle=":", label="from here on the GPU is faster")
    axes[0].set_ylabel("microseconds")
    axes[0].legend()
    figure.savefig(path, dpi=110)


def tensor_cores(smoke, end):
    """Every tile of every convolution, beside other kernels and cuDNN."""
    shapes = SMOKE_SHAPES if smoke else SHAPES
    return gpu_tensor_cores.measure(Convolution, PARTS, shapes, seconds_of, smoke, end)


def write_documents(result):
    """Put a measurement into docs/gpu.md, and its chart beside it."""
    replace_section(DOCUMENT, "gpu", report(result) + f"\n![convolutions]({CHART.name})\n")
    draw(result, CHART)


MEASUREMENTS = {
    "machine": machine,
    "limits": measured_limits,
    "convolutions": convolutions,
    "kernels": bandwidths,
    "tensor cores": tensor_cores,
    "networks": gpu_networks.training_steps,
    "accuracy": gpu_networks.time_to_accuracy,
}


if __name__ == "__main__":
    mc.utils.set_random_seed(0)
    main()
