"""Convolutions one by one, for gpu.py: on the GPU, on the processor, and in cuDNN; their table and their chart."""

import math
import statistics
import time
from functools import partial

import gpu_cudnn
import numpy as np
from gpu_failures import check_time, go_on_after
from harness import table

import minicnn as mc
from minicnn import backends
from minicnn.geometry import make_window

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


# ------------------------------------------------------------------------------------------------------ convolutions


def shapes(smoke):
    """The convolutions that are measured."""
    return SMOKE_SHAPES if smoke else SHAPES


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


def measure(smoke, end):
    """For every shape and part: seconds on the GPU, on the processor and in cuDNN, and how far the results differ."""
    rows = []
    for name, shape in shapes(smoke).items():
        with go_on_after(f"convolution {name}"):
            check_time(end)
            rows.append(convolution(name, shape, smoke, end))
    return rows


def convolution(name, shape, smoke, end):
    """One row of `measure`."""
    ours = Convolution("cupy", shape)
    row = {"name": name, "products": ours.products, "parts": {}}
    with ours.backend.device:
        results = {}
        for part in PARTS:
            entry = row["parts"][part] = {"gpu": seconds_of(partial(ours.run, part), smoke)}
            results[part] = ours.backend.to_host(ours.run(part))
            entry["identical"] = bool(np.array_equal(results[part], ours.backend.to_host(ours.run(part))))
        with go_on_after(f"convolution {name}, PyTorch"):
            peer = gpu_cudnn.TorchConvolution(ours.host, shape) if gpu_cudnn.torch_or_none() else None
            for part in PARTS if peer else ():
                row["parts"][part] |= peer.compare(part, results[part], smoke)
    if ours.products <= MOST_CPU_PRODUCTS and time.monotonic() < end:
        with go_on_after(f"convolution {name}, processor"):
            cpu = Convolution("numba", shape)
            with cpu.backend.use_threads(mc.get_num_threads()):
                for part in PARTS:
                    row["parts"][part]["cpu"] = processor_seconds(partial(cpu.run, part))
    print(name, {part: f"{entry['gpu'] * 1e6:.0f} µs" for part, entry in row["parts"].items()}, flush=True)
    return row


def must(part, entry):
    """What is demanded beside cuDNN in float32, and whether it is so."""
    if "cudnn" not in entry:
        return "–"
    wanted = 1.0 if part == "kernel gradient" else 0.95
    return f"≥ {wanted:.0%}: {'yes' if entry['cudnn'] >= wanted * entry['gpu'] else 'NO'}"


def text(rows, flops):
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
                    f"{rate / flops:.0%}" if flops else "–",
                    f"{entry['cudnn'] * 1e6:.1f}" if "cudnn" in entry else "–",
                    f"{entry['cudnn'] / entry['gpu']:.0%}" if "cudnn" in entry else "–",
                    must(part, entry),
                    f"{entry['cpu'] * 1e6:.0f}" if "cpu" in entry else "–",
                    f"{entry['cpu'] / entry['gpu']:.1f}" if "cpu" in entry else "–",
                    f"{entry['difference']:.0e}" if "difference" in entry else "–",
                    "yes" if entry["identical"] else "NO",
                ]
            )
    header = (
        "convolution|GPU, µs|TFLOP/s|of cuBLAS|cuDNN, µs|of cuDNN's rate|must be|CPU, µs|GPU/CPU|difference|identical"
    )
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
