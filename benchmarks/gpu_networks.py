"""Training steps and accuracy for gpu.py: the documents' networks in minicnn and in PyTorch."""

import time
import traceback
from contextlib import contextmanager
from functools import cache

import numpy as np
from harness import table
from worker import D0, D1, LENET5, NET_1, Conv, Dense, Flatten, Pool

import minicnn as mc
from minicnn import layers

NETWORKS = {  # name → (network, batch size)
    "LeNet-5, batch 128": (LENET5, 128),
    "D0, batch 32": (D0, 32),
    "D1, batch 32": (D1, 32),
    "net_1, batch 128": (NET_1, 128),
}
SMOKE_NETWORKS = {"LeNet-5, batch 4": (LENET5, 4)}
LAYOUTS = "contiguous_format", "channels_last"  # of PyTorch; the faster one counts
SECONDS_FOR_COMPILE = 75  # torch.compile of one network; left out where less is left
WANTED_ACCURACY = 0.99
LEARNING_RATE = 1e-3


failures = []  # what could not be measured, and why


@contextmanager
def go_on_after(what):
    """An error inside is printed and kept in `failures`; the program goes on."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        failures.append(f"{what}: {type(error).__name__}: {error}")


@cache
def torch_or_none():
    """PyTorch, set up for a fair comparison; None where it is not installed."""
    try:
        import torch
    except Exception:  # not installed, or a library of CUDA that it needs is not
        return None
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch


def device():
    """PyTorch's device: the GPU, or the processor in a smoke test without one."""
    return "cuda" if torch_or_none().cuda.is_available() else "cpu"


def synchronize():
    """Wait for all that PyTorch has launched."""
    if device() == "cuda":
        torch_or_none().cuda.synchronize()


class TorchConvolution:
    """The convolution of `gpu.Convolution` in PyTorch, in both memory layouts."""

    def __init__(self, host, shape):
        torch = torch_or_none()
        x, kernel, dy = host
        *_, size, padding = shape
        self.padding = [(size - 1) // 2 if padding == "same" else 0] * 2
        arrays = [np.moveaxis(x, -1, 1), kernel.transpose(3, 2, 0, 1), np.moveaxis(dy, -1, 1)]
        plain = [torch.from_numpy(np.ascontiguousarray(a)).to(device()) for a in arrays]
        self.layouts = [plain, [a.to(memory_format=torch.channels_last) for a in plain]]

    def run(self, part, layout):
        """Compute one part; returns a tensor."""
        torch = torch_or_none()
        x, kernel, dy = self.layouts[layout]
        if part == "forward":
            return torch.nn.functional.conv2d(x, kernel, padding=self.padding)
        wanted = [part == "input gradient", part == "kernel gradient", False]
        stride, dilation, no_output_padding = [1, 1], [1, 1], [0, 0]
        gradients = torch.ops.aten.convolution_backward(
            dy, x, kernel, None, stride, self.padding, dilation, False, no_output_padding, 1, wanted
        )
        return gradients[0] if wanted[0] else gradients[1]

    def compare(self, part, ours, smoke):
        """{"cudnn": seconds of the faster layout, "difference": the largest, relative to the largest value}."""
        with torch_or_none().no_grad():
            theirs = self.run(part, 0).cpu().numpy()
        ours = ours.transpose(3, 2, 0, 1) if part == "kernel gradient" else np.moveaxis(ours, -1, 1)
        return {
            "cudnn": self.seconds(part, smoke),
            "difference": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        }

    def seconds(self, part, smoke):
        """Seconds of the faster layout."""
        with torch_or_none().no_grad():
            return min(self._seconds(lambda i=i: self.run(part, i), smoke) for i in range(2))

    @staticmethod
    def _seconds(call, smoke):
        """Seconds on the device, by events around a graph of many calls, as for ours."""
        torch = torch_or_none()
        if device() != "cuda":
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(stream)

        def run(launch):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            launch()
            stop.record()
            stop.synchronize()
            return start.elapsed_time(stop) / 1000

        count = max(3, min(100, round(0.01 / max(run(call), 1e-7))))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(count):
                call()
        graph.replay()
        return float(np.median([run(graph.replay) for _ in range(5)])) / count


# ----------------------------------------------------------------------------------------------------- training steps


def data(count, classes=10):
    """Random images and class numbers: the time of a step does not depend on them."""
    rng = np.random.default_rng(3)
    return rng.uniform(size=(count, 28, 28, 1)).astype(np.float32), rng.integers(0, classes, count)


def our_model(network, backend="cupy"):
    """A compiled model of minicnn."""
    stack = [mc.Input((28, 28, 1))]
    for i, step in enumerate(network):
        activation = "softmax" if i == len(network) - 1 else "relu"
        if isinstance(step, Conv):
            stack.append(layers.Conv2D(step.filters, step.size, step.strides, step.padding, activation=activation))
        elif isinstance(step, Pool):
            stack.append(layers.MaxPooling2D(step.size))
        elif isinstance(step, Flatten):
            stack.append(layers.Flatten())
        else:
            stack.append(layers.Dense(step.units, activation=activation))
    model = mc.Sequential(stack)
    optimizer = mc.optimizers.Adam(LEARNING_RATE)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
    return model


def our_seconds(network, batch_size, steps):
    """Seconds a step of ``fit``, data on the device, loss and accuracy included; the best of three epochs."""
    x, y = data(batch_size * steps)
    model, times, reasons = our_model(network), [], set()

    class Clock(mc.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):  # the logs have come back: the device has ended
            times.append(time.perf_counter() - self.start)
            reasons.update(graph.reason for graph in model._engine.graphs.values() if graph.reason)

    model.fit(x, y, batch_size=batch_size, epochs=4, verbose=0, callbacks=[Clock()])
    if reasons:
        print(f"not captured: {reasons}")
    return min(times[1:]) / steps


def torch_model(network):
    """The same network in PyTorch."""
    torch = torch_or_none()
    stack, channels, size = [], 1, 28
    for i, step in enumerate(network):
        if isinstance(step, Conv):
            pad = (step.size - 1) // 2 if step.padding == "same" else 0
            stack += [torch.nn.Conv2d(channels, step.filters, step.size, step.strides, pad), torch.nn.ReLU()]
            channels, size = step.filters, (size + 2 * pad - step.size) // step.strides + 1
        elif isinstance(step, Pool):
            stack.append(torch.nn.MaxPool2d(step.size))
            size //= step.size
        elif isinstance(step, Flatten):
            stack.append(torch.nn.Flatten())
            channels *= size * size
        elif isinstance(step, Dense):
            stack.append(torch.nn.Linear(channels, step.units))
            channels = step.units
            if i < len(network) - 1:
                stack.append(torch.nn.ReLU())
    return torch.nn.Sequential(*stack).to(device())


class TorchTraining:
    """A training step in PyTorch, on data that lies on the device: eager, compiled, or as a CUDA graph."""

    def __init__(self, network, batch_size, steps, mode, layout="contiguous_format"):
        torch = torch_or_none()
        self.torch, self.batch_size, self.mode = torch, batch_size, mode
        memory_format = getattr(torch, layout)
        self.model = torch_model(network).to(memory_format=memory_format)
        self.forward = torch.compile(self.model) if mode == "compile" else self.model
        self.loss = torch.nn.CrossEntropyLoss()
        graph = mode == "graph"
        options = {"lr": LEARNING_RATE, "eps": 1e-7, "capturable": graph, "fused": device() == "cuda"}
        self.optimizer = torch.optim.Adam(self.model.parameters(), **options)
        x, y = data(batch_size * steps)
        self.x = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).to(device(), memory_format=memory_format)
        self.y = torch.from_numpy(y).to(device())
        self.order = torch.randperm(len(y), device=device())
        self.hits = torch.zeros((), dtype=torch.int64, device=device())
        self.total = torch.zeros((), device=device())
        self.part = self.order[:batch_size].clone()
        if graph:
            self._capture()

    def _step(self, part):
        """Gather the samples `part`; forward, loss, gradients, optimizer, and what a progress bar shows."""
        x, y = self.x[part], self.y[part]
        self.optimizer.zero_grad(set_to_none=True)
        output = self.forward(x)
        loss = self.loss(output, y)
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()
        self.hits += (output.detach().argmax(dim=1) == y).sum()

    def _capture(self):
        """As PyTorch's documentation says: some steps on a stream of their own, then the capture."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step(self.part)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._step(self.part)

    def epoch(self):
        """One pass over the data in a random order; waits for its end."""
        for part in self.order.split(self.batch_size):
            if self.mode == "graph":
                self.part.copy_(part)
                self.graph.replay()
            else:
                self._step(part)
        return float(self.total)

    def seconds(self, steps):
        """Seconds a step; the best of three epochs."""
        times = []
        for _ in range(4):
            synchronize()
            start = time.perf_counter()
            self.epoch()
            synchronize()
            times.append(time.perf_counter() - start)
        return min(times[1:]) / steps


def torch_modes():
    """How PyTorch can train here."""
    if torch_or_none() is None:
        return ()
    return ("eager", "graph") if device() == "cuda" else ("eager",)


def training_steps(smoke, end):
    """For every network: seconds a step of each library and mode."""
    steps, rows = (3 if smoke else 300), []
    for name, (network, batch_size) in (SMOKE_NETWORKS if smoke else NETWORKS).items():
        row = {"name": name}
        with go_on_after(name):
            row["ours"] = our_seconds(network, batch_size, steps)
            rows.append(row)
        for mode in torch_modes():
            with go_on_after(f"{name}, PyTorch {mode}"):
                row[mode] = min(TorchTraining(network, batch_size, steps, mode, f).seconds(steps) for f in LAYOUTS)
        print(name, {k: f"{v * 1e6:.0f} µs" for k, v in row.items() if k != "name"}, flush=True)
    if torch_or_none() is not None and not smoke:
        add_compiled(rows, steps, end)
    return rows


def add_compiled(rows, steps, end):
    """Add torch.compile's times, as long as there is time to compile."""
    for row in rows:
        network, batch_size = NETWORKS[row["name"]]
        if time.monotonic() + SECONDS_FOR_COMPILE > end - 60:  # the last part needs a minute
            print("no time left for torch.compile")
            return
        try:
            row["compile"] = TorchTraining(network, batch_size, steps, "compile").seconds(steps)
        except Exception as error:  # it needs a C compiler, Triton, …
            print(f"torch.compile: {type(error).__name__}: {str(error)[:300]}")
            return
        print(row["name"], f"compiled: {row['compile'] * 1e6:.0f} µs", flush=True)


def steps_table(rows):
    """Times and ratios."""
    names = {"eager": "PyTorch eager", "compile": "torch.compile, contiguous", "graph": "PyTorch, CUDA graph"}
    lines = []
    for row in rows:
        cells = [row["name"], f"{row['ours'] * 1e6:.0f}"]
        for mode in names:
            cells.append(f"{row[mode] * 1e6:.0f} ({row[mode] / row['ours']:.1f}×)" if mode in row else "–")
        lines.append(cells)
    return table(["training step, µs (slower by)", "minicnn", *names.values()], lines)


# ----------------------------------------------------------------------------------------------------------- accuracy


def digits(smoke):
    """(name, training images, labels, test images, labels): MNIST, or the package's digits moved about."""
    try:
        (x, y), (xt, yt) = mc.datasets.mnist.load_data()
        return "MNIST", x, y, xt, yt
    except Exception as error:  # not there, and no network or nothing to download with
        print(f"no MNIST ({type(error).__name__}): the package's digits, moved about")
    (x, y), (xt, yt) = mc.datasets.digits.load_data(upscale=True)
    rng = np.random.default_rng(0)
    count = 64 if smoke else 60_000
    parts = [moved(images, labels, n, rng) for images, labels, n in ((x, y, count), (xt, yt, max(count // 6, 32)))]
    return "digits, moved about", *parts[0], *parts[1]


def moved(images, labels, count, rng):
    """`count` random images, each moved by up to two pixels."""
    chosen = rng.integers(0, len(images), count)
    images, labels = np.asarray(images)[chosen], np.asarray(labels)[chosen]
    steps = rng.integers(-2, 3, (count, 2))
    for step in {tuple(s) for s in steps.tolist()}:
        mine = (steps == step).all(axis=1)
        images[mine] = np.roll(images[mine], step, axis=(1, 2))
    return images, labels


def time_to_accuracy(smoke, end):
    """LeNet-5, batch 128: seconds of training until the test accuracy is 99 %, at most 20 epochs."""
    name, *arrays = digits(smoke)
    x, y, xt, yt = (a[:256] for a in arrays) if smoke else arrays
    x, xt = (np.asarray(a, np.float32).reshape(-1, 28, 28, 1) / np.max(a) for a in (x, xt))
    model = our_model(LENET5)
    seconds, accuracies = [], []
    for _ in range(1 if smoke else 20):
        start = time.perf_counter()
        model.fit(x, y, batch_size=128, verbose=0)
        seconds.append(time.perf_counter() - start)
        accuracies.append(model.evaluate(xt, yt, batch_size=1000, verbose=0)[1])
        if accuracies[-1] >= WANTED_ACCURACY or time.monotonic() > end:
            break
    return {"data": name, "seconds": seconds, "accuracies": accuracies, "images": len(x)}


def accuracy_text(result):
    """One sentence."""
    best = max(result["accuracies"])
    reached = "reached" if best >= WANTED_ACCURACY else "did not reach"
    return (
        f"LeNet-5 on {result['data']} ({result['images']:,} images, batch 128) {reached} {WANTED_ACCURACY:.0%} on the "
        f"test set in {len(result['seconds'])} epochs and {sum(result['seconds']):.1f} s of training (the first epoch, "
        f"with compiling, took {result['seconds'][0]:.1f} s, the last one {result['seconds'][-1]:.2f} s); best "
        f"accuracy: {best:.4f}."
    )
