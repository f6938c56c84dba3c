"""Everything that a GPU can show about the cupy backend, in one command of less than 8 minutes.

    python benchmarks/gpu.py [--out DIR] [--minutes 7.5] [--parts PART …] [--resume]
    python benchmarks/gpu.py --write DIR/gpu.json

The first form measures and writes DIR/gpu.json after every part, then DIR/gpu.md, DIR/gpu.png and DIR/profile.log; the
second one puts the tables and the chart of a measurement into docs/. Besides the checkout it needs numpy, numba and
cupy; PyTorch and JAX to compare with and matplotlib for the chart are used where they are installed, MNIST and CIFAR-10
where MINICNN_DATA says. What fails is reported, and the others go on; ``--resume`` measures what is missing.

Kernels are timed with CUDA events around graphs of many launches, training steps by the clock around many steps with
one synchronization at the end, each library in a process of its own. PyTorch: `cudnn.benchmark = True`, TF32 on both
sides or on none, the faster memory layout.
"""

import argparse
import json
import platform
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import gpu_convolutions
import gpu_cudnn
import gpu_networks
import gpu_tables
import gpu_tensor_cores
from gpu_convolutions import seconds_of
from gpu_failures import failures, go_on_after
from harness import replace_section, table

import minicnn as mc
from minicnn import backends
from minicnn.backends.reference.normalization import Affine, Moments, MovingAverages
from minicnn.geometry import make_window

DOCUMENT, CHART = ROOT / "docs" / "gpu.md", ROOT / "docs" / "gpu.png"


def main():
    """Measure, or write what was measured into docs/."""
    options = parse()
    if options.write:
        write_documents(json.loads(options.write.read_text()))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.steps:
        gpu_networks.STEPS.update(dict.fromkeys(gpu_networks.STEPS, options.steps))
    end, file = time.monotonic() + 60 * options.minutes, options.out / "gpu.json"
    keeps = options.resume or options.parts != DEFAULT
    result = json.loads(file.read_text()) if file.is_file() and keeps else {}
    if result.setdefault("smoke", options.smoke) != options.smoke:
        sys.exit(f"error: {file} is of a measurement with other sizes (--smoke); give another --out")
    for name in options.parts:
        if options.resume and name in result and not result["failures"].get(name):
            continue
        start = time.monotonic()
        failures.clear()
        result.pop(name, None)
        with go_on_after(name):
            result[name] = MEASUREMENTS[name](options.smoke, end)
        result["failures"] = result.get("failures", {}) | {name: list(failures)}
        print(f"-- {name}: {time.monotonic() - start:.0f} s", flush=True)
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    text = report(result)
    print(text)
    (options.out / "gpu.md").write_text(text)
    gpu_tables.write_log(result, options.out)
    gpu_convolutions.draw(result, options.out / "gpu.png")
    sys.exit(1 if any(result["failures"].values()) else 0)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), metavar="DIR")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=MEASUREMENTS,
        default=DEFAULT,
        metavar="PART",
        help=f"of {', '.join(MEASUREMENTS)}: measure these, keep the others of an earlier run (all but {LONG})",
    )
    parser.add_argument("--resume", action="store_true", help="measure those parts that have failed or are missing")
    parser.add_argument("--minutes", type=float, default=7.5, help="parts that can be left out are, after that")
    parser.add_argument("--steps", type=int, metavar="N", help="of an epoch of a network (200; of large ones 60)")
    parser.add_argument("--write", type=Path, metavar="JSON", help="put a measurement into docs/ instead")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: whether everything runs")
    return parser.parse_args()


def machine(smoke, end):
    """What computes."""
    import cupy

    versions = {"python": platform.python_version(), "numpy": np.__version__, "cupy": cupy.__version__}
    torch = gpu_cudnn.torch_or_none()
    if torch is not None:
        cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
        versions |= {"torch": torch.__version__, "cudnn": cudnn}
    print(backends.get("cupy").describe(), versions, flush=True)
    about = {"device": backends.get("cupy").describe(), "processor": processor(), "threads": mc.get_num_threads()}
    return about | {"versions": versions}


def processor():
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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
            f"Device: {m['device']}. Processor: {m['processor']}, {m.get('threads', '?')} thread(s). "
            + ", ".join(f"{name} {version}" for name, version in m["versions"].items())
            + "."
        ),
        "limits": lambda m: (
            f"Measured limits: copying moves {m['bytes'] / 1e12:.2f} TB/s (read and written); "
            + (f"cuBLAS multiplies at {m['flops'] / 1e12:.1f} TFLOP/s in float32." if m["flops"] else "no cuBLAS.")
        ),
        "convolutions": lambda rows: gpu_convolutions.text(rows, result.get("limits", {}).get("flops")),
        "kernels": lambda rates: kernel_table(rates, result.get("limits", {}).get("bytes")),
        "tensor cores": gpu_tensor_cores.text,
    } | gpu_tables.makers(result)
    blocks = [make(result[name]) for name, make in makers.items() if result.get(name)]
    failed = [what for part in result["failures"].values() for what in part]
    return "\n\n".join([*blocks, *(f"**Failed**: {what}" for what in failed)]) + "\n"


def kernel_table(rates, limit):
    """Rates of the kernels that only move memory, against the copy's."""
    lines = []
    for name, rate in rates.items():
        parts = [f"{rate / limit:.0%}", f"≥ 85%: {'yes' if rate >= 0.85 * limit else 'NO'}"] if limit else ["–", "–"]
        lines.append([name, f"{rate / 1e9:.0f}", *parts])
    return table(["kernel", "GB/s", "of the copy's rate", "must be"], lines)


def tensor_cores(smoke, end):
    """Every tile of every convolution, beside other kernels and cuDNN."""
    shapes, parts = gpu_convolutions.shapes(smoke), gpu_convolutions.PARTS
    return gpu_tensor_cores.measure(gpu_convolutions.Convolution, parts, shapes, seconds_of, smoke, end)


def write_documents(result):
    """Put a measurement into docs/gpu.md, and its chart beside it."""
    replace_section(DOCUMENT, "gpu", report(result) + f"\n![convolutions]({CHART.name})\n")
    gpu_convolutions.draw(result, CHART)


MEASUREMENTS = {  # what matters most first: the last ones may find no time left
    "machine": machine,
    "limits": measured_limits,
    "kernels": bandwidths,
    "networks": partial(gpu_networks.training_steps, "float32"),
    "bfloat16": partial(gpu_networks.training_steps, "bfloat16"),
    "profile": gpu_networks.profiles,
    "mnist": partial(gpu_networks.records, "mnist99", 5, ["minicnn"]),
    "first step": gpu_networks.first_steps,
    "chunks": gpu_networks.places,
    "tf32": partial(gpu_networks.training_steps, "tf32"),
    "convolutions": gpu_convolutions.measure,
    "tensor cores": tensor_cores,
    "accuracy": gpu_networks.accuracy,
    "jax": gpu_networks.jax,
    "cifar": partial(gpu_networks.records, "cifar94", 2, ["minicnn", "torch"]),
    "compile": gpu_networks.compiled,
}
LONG = ["cifar", "compile"]
DEFAULT = [name for name in MEASUREMENTS if name not in LONG]


if __name__ == "__main__":
    mc.utils.set_random_seed(0)
    main()
