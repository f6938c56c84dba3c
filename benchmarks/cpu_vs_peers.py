"""minicnn against PyTorch and Keras on the CPU: training, inference, memory, first step, imports, size; all in one run.

What is timed and how to install the peers: README.md beside this file.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import harness
import numpy as np
from worker import PEER_CASES, Conv, Dense, Flatten, GlobalPool, Pool, Residual, Skip, Transposed, Up

OURS = "minicnn"
TORCH, COMPILE, SCRIPT = ("torch", "torch_channels_last"), "torch_compile", "torchscript"
ENGINES = ("onnxruntime", "openvino")
TRAINERS = (*TORCH, "keras", "keras_xla")
PEERS = {"train": TRAINERS, "predict": (*TRAINERS, *ENGINES)}  # the best of these counts
EXTRAS = {"train": (COMPILE,), "predict": (COMPILE, SCRIPT)}  # measured, but not as the best peer
WORTH_XLA = ("mlp_b128",)  # elsewhere Keras is slower with XLA, up to three times
SGEMM = "sgemm"
TITLES = {
    "minicnn": "minicnn",
    "torch": "PyTorch",
    "torch_channels_last": "PyTorch, channels last",
    "keras": "Keras",
    "keras_xla": "Keras, XLA",
    "torch_compile": "torch.compile",
    "torchscript": "TorchScript",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
NAMES = {"train": "Training step", "predict": "Inference"}
WANTED = {  # best peer ÷ minicnn: training, inference
    **dict.fromkeys(("lenet5_b128", "d0_b32", "d0_b100"), (3.5, 1.5)),
    "d1_b32": (3.5, 1.0),
    **dict.fromkeys(("net1_mnist_b128", "net1_cifar10_b128"), (2.2, 1.5)),
    "net2_mnist_b128": (1.3, 1.0),
    "mlp_b128": (1.5, 1.0),
    **dict.fromkeys(("resnet20_b64", "dilated_b32"), (2.5, 1.0)),
    **dict.fromkeys(("unet_b32", "dcgan_b64", "autoencoder_b128"), (1.0, 1.0)),
    "vgg_b64": (2.5, 1.5),
    "separable_b64": (1.5, 1.0),
    "photos_b8": (3.5, 1.0),
    **dict.fromkeys(("lenet5_b1", "net1_mnist_b1", "resnet20_b1"), (None, 1.0)),
}
IMAGES = {"mnist": 12_800, "cifar10": 2_560, "photos": 320}
SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "photos": (128, 128, 3)}
MEMORY_STEPS = 3
STARTUP_CASES = ("lenet5_b128", "d0_b32", "net1_mnist_b128", "resnet20_b64")
STARTUP_LIBRARIES = (OURS, "torch", "keras")
STARTUP_IMAGES = 256
REPEATS = 3  # of what is measured in fresh processes
IMPORTS = {
    "minicnn": "import minicnn",
    "minicnn, with all that training needs": "import minicnn as mc; mc.Sequential; mc.layers; mc.backends.current()",
    "torch": "import torch",
    "keras": "import keras",
}
PARTS = ("speed", "memory", "startup")
COLOURS = {  # Okabe and Ito: colour-blind people can tell them apart
    "torch": "#0072B2",
    "torch_channels_last": "#56B4E9",
    "keras": "#E69F00",
    "keras_xla": "#F0E442",
    "torch_compile": "#009E73",
    "torchscript": "#CC79A7",
    "onnxruntime": "#999999",
    "openvino": "#D55E00",
}


def main():
    """Measure, or read what was measured; then write tables, JSON and chart."""
    options = parse()
    result = json.loads(options.read.read_text()) if options.read else measure(options)
    text = report(result)
    print(f"\n{text}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.chart and result["cases"]:
        draw(result, options.chart)
    if options.docs:
        harness.replace_section(options.docs, section_of(result["machine"]), with_chart(text, options))


# ----------------------------------------------------------------------------------------------------- command line


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    cores, cases = harness.available_cores(), ", ".join(PEER_CASES)
    add("--cases", nargs="+", choices=PEER_CASES, default=list(PEER_CASES), metavar="CASE", help=f"of {cases}")
    add("--rounds", type=int, default=5, metavar="N", help="turns of each library in each case (default: 5)")
    add("--seconds", type=float, default=0.25, metavar="S", help="length of a turn (default: 0.25)")
    add("--threads", type=int, default=cores, metavar="N", help=f"threads of each library (default: {cores})")
    add(
        "--skip", nargs="+", choices=(*PARTS, COMPILE, SCRIPT), default=[], metavar="PART", help="leave out: " + skips()
    )
    add("--hasty", action="store_true", help="neither wait for other programs to end nor repeat disturbed rounds")
    add("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    add("--read", type=Path, metavar="FILE", help="measure nothing, take the numbers of an earlier --out")
    add("--chart", type=Path, metavar="FILE", help="draw bars (needs matplotlib), e.g. a .png")
    add("--docs", type=Path, metavar="FILE", help="put the tables into this Markdown file, e.g. docs/performance.md")
    add_interpreters(parser)
    options = parser.parse_args()
    if options.threads < 1 or options.threads > cores:
        parser.error(f"argument --threads: 1 to {cores}. Received: {options.threads}")
    if options.rounds < 1:
        parser.error(f"argument --rounds: must be 1 or more. Received: {options.rounds}")
    check_files(parser, options, ("out", "chart", "docs"))
    return options


def skips():
    """What `--skip` takes, in words."""
    return ", ".join((*PARTS, COMPILE, SCRIPT))


def add_interpreters(parser):
    """The options that say where libraries and data are."""
    add = parser.add_argument
    add("--python-torch", default=sys.executable, metavar="PATH", help="an interpreter with torch (default: this one)")
    add("--python-keras", default=sys.executable, metavar="PATH", help="one with keras and tensorflow (default: this)")
    add("--data-dir", metavar="DIR", help="only look here for MNIST and CIFAR-10")


def check_files(parser, options, outputs):
    """End with a message where an interpreter or the folder of an output does not exist."""
    for name in ("python_torch", "python_keras"):
        if not shutil.which(getattr(options, name)):
            parser.error(f"argument --{name.replace('_', '-')}: no such program. Received: {getattr(options, name)}")
    for name in outputs:
        path = getattr(options, name)
        if path and not path.parent.is_dir():
            parser.error(f"argument --{name}: no such folder: {path.parent}")


def interpreter(library, options):
    """The Python that has a library."""
    if library.startswith("torch") or library in ENGINES:
        return options.python_torch
    return options.python_keras if library.startswith("keras") else sys.executable


# ---------------------------------------------------------------------------------------------------------- measuring


def measure(options):
    """All numbers."""
    begin = time.perf_counter()
    if options.hasty:
        harness.MOST_WAITS, harness.MOST_ATTEMPTS = 0, 1
    result = {"machine": harness.machine(), "cases": {}, "memory": {}, "startup": {}}
    with tempfile.TemporaryDirectory() as folder:
        data, result["images"] = prepare_data(Path(folder), options)
        for name in options.cases if "speed" not in options.skip else []:
            result["cases"][name] = measure_case(name, data[PEER_CASES[name].images], options)
        if "memory" not in options.skip:
            result["memory"] = measure_memory(data, options)
        if "startup" not in options.skip:
            result["startup"] = measure_startup(Path(folder), options)
    chosen = ("rounds", "seconds", "threads", "hasty")
    result["settings"] = {name: getattr(options, name) for name in chosen} | {"skipped": options.skip}
    result["minutes"] = (time.perf_counter() - begin) / 60
    return result


def prepare_data(folder, options):
    """Write images for the workers; returns (name → file, name → what they are in words)."""
    paths, words = {}, {}
    for name in sorted({PEER_CASES[case].images for case in options.cases}):
        paths[name] = folder / f"{name}.npz"
        images, labels, words[name] = load_images(name, options.data_dir)
        harness.write_data(paths[name], images, labels)
    return paths, words


def load_images(name, data_dir):
    """(images, labels, in words what they are): as many as a run needs."""
    import minicnn as mc

    if name == "photos":
        images, labels, kind = load_images("cifar10", data_dir)
        return np.kron(images[: IMAGES[name]], np.ones((1, 4, 4, 1), np.uint8)), labels[: IMAGES[name]], kind
    count = IMAGES[name]
    try:
        (images, labels), _ = getattr(mc.datasets, name).load_data(data_dir)
        return images[:count], labels[:count].reshape(-1), "real"
    except mc.datasets.DataNotFoundError as error:
        print(f"Random images instead of {name}. Reason: {error}", file=sys.stderr)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (count, *SHAPES[name]), np.uint8)
        return images, rng.integers(0, 10, count, np.uint8), "random"


def measure_case(name, data, options):
    """Training and inference of all libraries in one case, in turns."""
    with ExitStack() as stack:
        workers, about, missing = start_workers(name, data, options)
        for worker in workers.values():
            stack.enter_context(worker)
        if OURS not in workers:
            sys.exit(f"error: minicnn does not run: {missing[OURS]}")
        if len({entry["params"] for entry in about.values() if "params" in entry}) != 1:
            raise AssertionError(f"the libraries built different networks: {about}")
        result = {"about": about, "missing": missing}
        for do in parts_of(name):
            print(f"{PEER_CASES[name].title}: {NAMES[do].lower()} …", file=sys.stderr, flush=True)
            result[do] = measure_turns(do, workers, name, options)
    return result


def parts_of(name):
    """What is timed in a case."""
    return NAMES if PEER_CASES[name].trained else ("predict",)


def taking_part(do):
    """The libraries that are timed."""
    return (OURS, SGEMM, *PEERS[do], *EXTRAS[do])


def start_workers(name, data, options):
    """All at once, since nothing is timed yet: (workers, what they are, why others are missing) by library."""
    libraries = dict.fromkeys(library for do in parts_of(name) for library in taking_part(do))
    libraries = [library for library in libraries if library not in options.skip]
    if name not in WORTH_XLA:
        libraries.remove("keras_xla")
    print(f"{PEER_CASES[name].title}: compiling …", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(len(libraries)) as pool:
        started = pool.map(lambda library: start_worker(library, name, data, options), libraries)
    workers, about, missing = {}, {}, {}
    for library, (worker, facts) in zip(libraries, started, strict=True):
        if worker:
            workers[library], about[library] = worker, facts
        else:
            missing[library] = facts
    return workers, about, missing


def start_worker(library, name, data, options):
    """(a worker that has compiled what it needs, what it is), or (None, why there is none)."""
    try:
        worker = harness.Worker(interpreter(library, options), library, name, data, options.threads)
    except harness.Missing as error:
        return None, str(error)
    try:
        facts = worker.about | worker.ask("build")
        for do in parts_of(name):
            if library in taking_part(do):
                worker.ask("turn", what=do, seconds=0, **settings_of(do))
        return worker, facts
    except harness.WorkerError as error:
        worker.close()
        return None, str(error)


def settings_of(do):
    """Arguments of `train` and `predict`: batches are drawn at random in training."""
    return {"shuffled": True} if do == "train" else {}


def measure_turns(do, workers, name, options):
    """One interleaved run, compared."""
    timed = {library: worker for library, worker in workers.items() if library in taking_part(do)}
    measured = harness.interleave(
        timed, options.rounds, options.threads, "turn", what=do, seconds=options.seconds, **settings_of(do)
    )
    compared = {library: ms for library, ms in measured.milliseconds.items() if library in (OURS, *PEERS[do])}
    case = PEER_CASES[name]
    flops = count_flops(case.network, SHAPES[case.images], do == "train") * case.batch_size
    medians = {library: statistics.median(ms) for library, ms in measured.milliseconds.items()}
    return {**asdict(measured), **harness.compare(compared, OURS), "medians": medians, "flops": flops}


def count_flops(network, shape, training):
    """Multiplications and additions in the convolutions and dense layers for an image.

    Each takes as many for its kernel's gradient and, but for the first, for its input's. That is the textbook's count:
    minicnn does not multiply with the zeros that come back from a pooling layer.
    """
    counts, _ = flops_of(network, shape)
    if not training:
        return sum(counts)
    counts = [count for count in counts if count]
    return 3 * sum(counts) - counts[0]


def flops_of(network, shape):
    """(operations of every layer's forward pass, output shape)."""
    counts = []
    for spec in network:
        more, shape = layer_flops(spec, shape)
        counts += more
    return counts, shape


def layer_flops(spec, shape):
    """`flops_of` one layer, or of the layers inside it."""
    match spec:
        case Conv():
            lost = spec.dilation * (spec.size - 1) if spec.padding == "valid" else 0
            height, width = (-(-(n - lost) // spec.strides) for n in shape[:2])
            count = 2 * height * width * spec.size**2 * (shape[2] // spec.groups) * spec.filters
            return [count], (height, width, spec.filters)
        case Transposed():
            return [2 * shape[0] * shape[1] * 16 * shape[2] * spec.filters], (2 * shape[0], 2 * shape[1], spec.filters)
        case Residual():
            counts, output = flops_of(spec.body, shape)
            return counts + flops_of(spec.shortcut, shape)[0], output
        case Skip():
            counts, output = flops_of(spec.body, shape)
            return counts, (*output[:2], shape[2] + output[2])
        case Pool():
            return [], (shape[0] // spec.size, shape[1] // spec.size, shape[2])
        case Up():
            return [], (2 * shape[0], 2 * shape[1], shape[2])
        case GlobalPool():
            return [], (shape[2],)
        case Flatten():
            return [], (int(np.prod(shape)),)
        case Dense():
            return [2 * shape[0] * spec.units], (spec.units,)
        case _:
            return [], shape


def measure_memory(data, options):
    """Case → library → rise of memory in bytes, each in a process of its own."""
    print("Memory …", file=sys.stderr, flush=True)
    libraries = (OURS, *TORCH, "keras")
    cases = [name for name in options.cases if PEER_CASES[name].trained]
    pairs = [(name, library) for name in cases for library in libraries]
    with ThreadPoolExecutor(2) as pool:
        rises = list(pool.map(lambda pair: memory_rise(*pair, data, options), pairs))
    result = {name: {} for name in cases}
    for (name, library), rise in zip(pairs, rises, strict=True):
        if rise is not None:
            result[name][library] = rise
    return result


def memory_rise(name, library, data, options):
    """What the worker's `memory` returns; None if the library is missing."""
    path = data[PEER_CASES[name].images]
    try:
        for _ in range(2 if library == OURS else 1):  # the first one fills the kernel cache
            with harness.Worker(interpreter(library, options), library, name, path, options.threads) as worker:
                rise = worker.ask("memory", steps=MEMORY_STEPS)
    except harness.Missing:
        return None
    return rise


def measure_startup(folder, options):
    """Seconds to the first step and for the imports, bytes on disk."""
    print("First steps …", file=sys.stderr, flush=True)
    cases = [name for name in STARTUP_CASES if name in options.cases]
    paths = {name: few_images(folder, PEER_CASES[name].images) for name in (*cases, STARTUP_CASES[0])}
    first = {name: {"minicnn, cold cache": first_steps(OURS, name, paths[name], options, cold=True)} for name in cases}
    for name in cases:
        first[name] |= {library: first_steps(library, name, paths[name], options) for library in STARTUP_LIBRARIES}
    sizes = {library: installed_bytes(library, paths[STARTUP_CASES[0]], options) for library in STARTUP_LIBRARIES}
    imports = {what: import_seconds(what, options) for what in IMPORTS}
    return {"first_step": first, "imports": imports, "bytes": sizes}


def few_images(folder, dataset):
    """A file of random images of that data set's size."""
    path, rng = folder / f"few_{dataset}.npz", np.random.default_rng(0)
    images = rng.integers(0, 256, (STARTUP_IMAGES, *SHAPES[dataset]), np.uint8)
    harness.write_data(path, images, rng.integers(0, 10, STARTUP_IMAGES, np.uint8))
    return path


def first_steps(library, name, data, options, cold=False):
    """Seconds from the start of a process to the end of its first training step; empty if the library is missing."""
    times = []
    for _ in range(1 if cold else REPEATS):
        with ExitStack() as stack:
            if cold:
                empty = stack.enter_context(tempfile.TemporaryDirectory())
                stack.enter_context(harness.environment("MINICNN_CACHE", empty))
            begin = time.perf_counter()
            try:
                worker = harness.Worker(interpreter(library, options), library, name, data, options.threads)
            except harness.Missing:
                return []
            with worker:
                worker.ask("build")
                worker.ask("train", steps=1, shuffled=True)
                times.append(time.perf_counter() - begin)
    return times


def installed_bytes(library, data, options):
    """The size of the library with what it requires; None if it is missing."""
    try:
        with harness.Worker(interpreter(library, options), library, STARTUP_CASES[0], data, options.threads) as worker:
            return worker.ask("installed")["bytes"]
    except harness.Missing:
        return None


def import_seconds(what, options):
    """Seconds of importing, by the clock of a fresh process; empty if it cannot be imported."""
    program = f"import time; t = time.perf_counter(); {IMPORTS[what]}; print(time.perf_counter() - t)"
    times = []
    for _ in range(REPEATS):
        done = subprocess.run([interpreter(what, options), "-c", program], capture_output=True, text=True)
        if done.returncode:
            return []
        times.append(float(done.stdout.splitlines()[-1]))
    return times


# ------------------------------------------------------------------------------------------------------------- report


def report(result):
    """The results as Markdown."""
    settings, machine = result["settings"], result["machine"]
    parts = [
        f"{machine['processor']}{vectors_of(machine)}, {settings['threads']} threads of {machine['cores']} cores, "
        f"Python {machine['python']}, {versions(result)}."
    ]
    if result["cases"]:
        parts += [speed_report(do, result) for do in NAMES] + [arithmetic_report(result), quietness(result)]
    if result["memory"]:
        parts.append(memory_report(result["memory"]))
    if result["startup"]:
        parts.append(startup_report(result["startup"]))
    if result["settings"]["skipped"]:
        parts.append(f"Left out, as asked: {', '.join(result['settings']['skipped'])}.")
    parts += [f"Left out: {TITLES[library]} ({why})." for library, why in missing_libraries(result).items()]
    random = [name for name, kind in result["images"].items() if kind == "random"]
    if random:
        parts.append(f"Random images were used instead of: {', '.join(random)}.")
    return "\n\n".join(parts)


def vectors_of(machine):
    """In words; earlier files do not say."""
    return f", vectors of {machine['vector_bits']} bits" if "vector_bits" in machine else ""


def versions(result):
    """The libraries that took part."""
    found = set()
    for case in result["cases"].values():
        for about in case["about"].values():
            found.add(f"{about['library']} {about['version']}")
            if "tensorflow" in about:
                found.add(f"tensorflow {about['tensorflow']}")
    return ", ".join(sorted(found)) or "no case was timed"


def missing_libraries(result):
    """Library → why it was left out, in any case."""
    return {library: why for case in result["cases"].values() for library, why in case["missing"].items()}


def speed_report(do, result):
    """A table of milliseconds and ratios."""
    settings, extras = result["settings"], EXTRAS[do]
    engines = ENGINES if do == "predict" else ()
    header = ["case", "minicnn", "PyTorch", "channels last", "Keras", *(TITLES[name] for name in (*engines, *extras))]
    header += ["best peer ÷ minicnn", "min – max", "wanted"]
    rows = [speed_row(do, name, case[do]) for name, case in result["cases"].items() if do in case]
    note = (
        f"Milliseconds a batch, median of {settings['rounds']} rounds of {settings['seconds']:g} s; the ratio is the "
        f"median of the rounds' ratios. Not counted as a peer: {', '.join(TITLES[name] for name in extras)}. "
        "x: Keras with XLA."
    )
    return f"### {NAMES[do]}\n\n{harness.table(header, rows)}\n\n{note}"


def speed_row(do, name, turns):
    """A case's row."""
    medians = turns["medians"]
    keras = min((library for library in ("keras", "keras_xla") if library in medians), key=medians.get, default="keras")
    columns = [OURS, *TORCH, keras, *(ENGINES if do == "predict" else ()), *EXTRAS[do]]
    cells = [f"{medians[library]:.2f}" if library in medians else "–" for library in columns]
    cells[3] += " x" if keras == "keras_xla" else ""
    wanted = f"{WANTED[name][do == 'predict']:.1f}"
    if "peer" not in turns:
        return [PEER_CASES[name].title, *cells, "–", "–", wanted]
    extremes = f"{turns['ratio_min']:.2f} – {turns['ratio_max']:.2f}"
    return [PEER_CASES[name].title, *cells, f"{turns['ratio']:.2f}", extremes, wanted]


def arithmetic_report(result):
    """A table of GFLOP/s."""
    header = ["case", "GFLOP a step", "training", "of sgemm", "best peer", "GFLOP a batch", "inference", "of sgemm"]
    header.append("best peer")
    rows = [arithmetic_row(PEER_CASES[name].title, case) for name, case in result["cases"].items()]
    rates = [rate for case in result["cases"].values() for do in NAMES if do in case for rate in sgemm_rates(case, do)]
    note = (
        "GFLOP/s by the textbook's count (convolutions and dense layers, backward twice forward, no input gradient for "
        "the first), so skipping zeros counts as speed. sgemm: NumPy's product of 1024 × 1024 matrices in the same "
        f"rounds, median {statistics.median(rates):.0f} GFLOP/s ({min(rates):.0f} – {max(rates):.0f})."
    )
    return f"### Arithmetic\n\n{harness.table(header, rows)}\n\n{note}"


def arithmetic_row(title, case):
    """A case's row."""
    cells = [title]
    for do in NAMES:
        if do not in case:
            cells += ["–"] * 4
            continue
        turns = case[do]
        rates = [turns["flops"] / ms / 1e6 for ms in turns["milliseconds"][OURS]]
        of_sgemm = statistics.median(a / b for a, b in zip(rates, sgemm_rates(case, do), strict=True))
        peer = f"{turns['flops'] / turns['theirs'] / 1e6:.0f}" if "peer" in turns else "–"
        cells += [f"{turns['flops'] / 1e9:.3f}", f"{statistics.median(rates):.0f}", f"{100 * of_sgemm:.0f} %", peer]
    return cells


def sgemm_rates(case, do):
    """GFLOP/s of the matrix product in each round."""
    return [case["about"][SGEMM]["flops"] / ms / 1e6 for ms in case[do]["milliseconds"][SGEMM]]


def quietness(result):
    """How much other programs disturbed."""
    turns = [case[do] for case in result["cases"].values() for do in NAMES if do in case]
    foreign = [cores for turn in turns for cores in turn["foreign_cores"] if cores is not None]
    disturbed = sum(turn["disturbed"] for turn in turns)
    if not foreign:
        return "How busy other programs kept the machine is not known."
    return (
        f"Other programs kept {statistics.mean(foreign):.2f} cores busy in these rounds (worst: {max(foreign):.2f}); "
        f"{disturbed} disturbed rounds were repeated."
    )


def memory_report(memory):
    """A table of megabytes."""
    libraries = [OURS, *TORCH, "keras"]
    header = ["case", *(TITLES[library] for library in libraries), "minicnn ÷ PyTorch"]
    rows = [memory_row(PEER_CASES[name].title, rises, libraries) for name, rises in memory.items()]
    note = (
        "Megabytes: rise of the peak resident memory by building the network and three training steps, over what "
        "imports and data occupy; in brackets the peak itself, imports and data included. minicnn with a warm kernel "
        "cache; Numba's compiler is loaded with the backend and counts among the imports, as PyTorch's libraries "
        "do. The last column compares the rises, with the smaller of PyTorch's."
    )
    if not all(rise["was_reset"] for rises in memory.values() for rise in rises.values()):
        note += " The peak could not be reset after the imports: one of theirs may hide in these numbers."
    return f"### Peak memory of a training step\n\n{harness.table(header, rows)}\n\n{note}"


def memory_row(title, rises, libraries):
    """A case's row."""
    cells = [megabytes(rises[library]) if library in rises else "–" for library in libraries]
    theirs = [rises[library]["rise"] for library in TORCH if library in rises]
    return [title, *cells, f"{rises[OURS]['rise'] / min(theirs):.2f}" if theirs else "–"]


def megabytes(memory):
    """What a worker's `memory` returned: the rise and, in brackets, the peak."""
    return f"{memory['rise'] / 1e6:.0f} ({(memory['before'] + memory['rise']) / 1e6:.0f})"


def startup_report(startup):
    """Tables of the first step, the imports and the sizes."""
    columns = ["minicnn, cold cache", *STARTUP_LIBRARIES]
    titles = ["minicnn, cold cache", "minicnn", "PyTorch", "Keras"]
    rows = [
        [PEER_CASES[name].title, *(seconds(times[column]) for column in columns)]
        for name, times in startup["first_step"].items()
    ]
    sizes = [
        [TITLES[library], "–" if size is None else f"{size / 1e6:.0f}"] for library, size in startup["bytes"].items()
    ]
    return "\n\n".join(
        [
            "### First step, imports, size",
            "Seconds from the start of a process to the end of its first training step. The cold cache is empty: "
            "all kernels are compiled.",
            harness.table(["case", *titles], rows) if rows else "None of the timed cases.",
            harness.table(
                ["import", "seconds"], [[what, seconds(times)] for what, times in startup["imports"].items()]
            ),
            harness.table(["installed, with what it requires", "MB"], sizes),
        ]
    )


def seconds(times):
    """The median, in words."""
    return f"{statistics.median(times):.2f}" if times else "–"


# -------------------------------------------------------------------------------------------------------------- chart


def section_of(machine):
    """Processors with shorter vectors than AVX-512's have tables of their own; an earlier file is of AVX-512."""
    return "cpu_vs_peers" if machine.get("vector_bits", 512) == 512 else "cpu_vs_peers_short_vectors"


def with_chart(text, options):
    """The report for the docs, with the chart where that lies beside or below them."""
    if options.chart and options.chart.resolve().is_relative_to(options.docs.resolve().parent):
        path = options.chart.resolve().relative_to(options.docs.resolve().parent).as_posix()
        return f"![Milliseconds of PyTorch and Keras, divided by minicnn's]({path})\n\n{text}"
    return text


def draw(result, path):
    """Bars: how many times longer each peer takes than minicnn."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 1.6 + 0.75 * len(result["cases"])), sharey=True)
    for axis, do in zip(axes, NAMES, strict=True):
        draw_panel(axis, do, result["cases"])
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0.6 / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=120)


def draw_panel(axis, do, cases):
    """One panel: training or inference."""
    timed = {row: case[do]["medians"] for row, case in enumerate(cases.values()) if do in case}
    libraries = [name for name in (*PEERS[do], *EXTRAS[do]) if any(name in medians for medians in timed.values())]
    height = 0.84 / max(len(libraries), 1)
    for row, medians in timed.items():
        present = [library for library in libraries if library in medians]
        for place, library in enumerate(present):
            ratio = medians[library] / medians[OURS]
            where = row + (place - (len(present) - 1) / 2) * height
            draw_bar(axis, where, ratio, height, library, is_extra=library in EXTRAS[do])
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks(range(len(cases)), [PEER_CASES[name].title for name in cases])
    axis.set_ylim(len(cases) - 0.5, -0.5)
    axis.set_title(NAMES[do], loc="left")
    axis.set_xlabel("time ÷ minicnn's (more than 1: minicnn is faster)")
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)


def draw_bar(axis, where, ratio, height, library, is_extra):
    """A bar with its number; what compiles is hatched."""
    known = axis.get_legend_handles_labels()[1]
    label = TITLES[library] if TITLES[library] not in known else None
    hatch = "////" if is_extra else None
    axis.barh(where, ratio, height * 0.92, color=COLOURS[library], hatch=hatch, edgecolor="white", label=label)
    axis.text(ratio, where, f" {ratio:.1f}", va="center", fontsize=7)


if __name__ == "__main__":
    try:
        main()
    except (harness.WorkerError, ValueError) as error:
        sys.exit(f"error: {error}")
