"""One library trains one case, in a process of its own, a few steps each time it is told to.

    python worker.py LIBRARY CASE --data FILE --threads N

Protocol: a line of JSON each way. First the worker writes ``{"ready": {…}}``, or ``{"missing": "why"}`` and ends. Then
it reads commands from stdin, ``{"do": METHOD, …arguments}``, calls that method of its trainer and writes what it
returns. It ends with its stdin. Between commands it is blocked on the pipe. `harness.Worker` is the other end.

A new library is a subclass of `Trainer` in `LIBRARIES`, a new case an entry of `CASES`, a new measurement a method.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass

import numpy as np

LEARNING_RATE = 1e-3
EPSILON = 1e-7  # Keras's for Adam; PyTorch's own default is 1e-8

# --------------------------------------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Conv:
    """A convolution without padding, and ReLU."""

    filters: int
    size: int


@dataclass(frozen=True)
class Pool:
    """Max pooling over squares that do not overlap."""

    size: int = 2


@dataclass(frozen=True)
class Flatten:
    """Images to vectors."""


@dataclass(frozen=True)
class Dense:
    """A dense layer, with ReLU unless it is the last."""

    units: int


@dataclass(frozen=True)
class Case:
    """A network and a batch size; ten classes, sparse categorical cross-entropy, Adam."""

    title: str
    network: tuple
    batch_size: int


LENET5 = (Conv(6, 5), Pool(), Conv(16, 5), Pool(), Flatten(), Dense(120), Dense(84), Dense(10))
D0 = (Conv(32, 3), Pool(), Conv(64, 3), Pool(), Flatten(), Dense(128), Dense(10))

CASES = {
    "lenet5_b128": Case("LeNet-5, batch 128", LENET5, 128),
    "d0_b32": Case("D0, batch 32", D0, 32),
    "d0_b100": Case("D0, batch 100", D0, 100),
    "d0_b128": Case("D0, batch 128", D0, 128),
}

# ------------------------------------------------------------------------------------------------------ trainers


class Trainer:
    """What all libraries do alike. A subclass imports its library in `__init__` and gives `build` and `_steps`.

    Parameters
    ----------
    case : Case
    x : array (N, H, W, C), float32
    y : array (N,), uint8
    threads : int
    """

    def __init__(self, case, x, y, threads):
        self.case, self.x, self.y, self.threads = case, x, y, threads
        self.position = 0

    def describe(self):
        """What the worker says when it is ready."""
        raise NotImplementedError

    def build(self):
        """Make the network; returns ``{"params": count}``."""
        raise NotImplementedError

    def _steps(self, start, stop):
        """Train on images `start` to `stop`, batch by batch; returns (seconds of each step, last loss)."""
        raise NotImplementedError

    def train(self, steps):
        """Training steps on the images that come next: forward, loss, backward, Adam, loss read back in each."""
        count = steps * self.case.batch_size
        if count > len(self.x):
            raise ValueError(f"{steps} steps need {count} images. Received: {len(self.x)}")
        if self.position + count > len(self.x):
            self.position = 0
        start, self.position = self.position, self.position + count
        seconds, loss = self._steps(start, self.position)
        return {"seconds": seconds, "loss": loss}

    def memory(self, steps):
        """Peak memory of building and of `steps` steps, above what imports and data occupy, in bytes."""
        was_reset = reset_peak()
        before = memory_use("VmRSS")
        self.build()
        self.train(steps)
        return {"rise": memory_use("VmHWM") - before, "before": before, "was_reset": was_reset}


class Minicnn(Trainer):
    """This library: `fit` without shuffling, a callback reads the clock."""

    def __init__(self, case, x, y, threads):
        super().__init__(case, x, y, threads)
        import minicnn as mc
        from minicnn import layers, models, optimizers  # noqa: F401  (imported here to be part of the imports)

        mc.backends.current()  # imports numba
        mc.set_num_threads(threads)
        self.mc = mc

    def describe(self):
        return {"library": "minicnn", "version": self.mc.__version__, "backend": self.mc.backends.current().name}

    def build(self):
        mc, last = self.mc, self.case.network[-1]
        stack = [self._layer(spec, "softmax" if spec is last else "relu") for spec in self.case.network]
        self.model = mc.Sequential([mc.Input(shape=self.x.shape[1:]), *stack])
        adam = mc.optimizers.Adam(learning_rate=LEARNING_RATE, epsilon=EPSILON)
        self.model.compile(optimizer=adam, loss="sparse_categorical_crossentropy")
        self.clock = self._make_clock()
        return {"params": self.model.count_params()}

    def _layer(self, spec, activation):
        layers = self.mc.layers
        match spec:
            case Conv():
                return layers.Conv2D(spec.filters, spec.size, activation=activation)
            case Pool():
                return layers.MaxPooling2D(spec.size)
            case Flatten():
                return layers.Flatten()
            case Dense():
                return layers.Dense(spec.units, activation=activation)

    def _make_clock(self):
        class Clock(self.mc.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.times = [time.perf_counter()]

            def on_train_batch_end(self, batch, logs=None):
                self.times.append(time.perf_counter())

        return Clock()

    def _steps(self, start, stop):
        x, y = self.x[start:stop], self.y[start:stop]
        history = self.model.fit(
            x, y, batch_size=self.case.batch_size, shuffle=False, verbose=0, callbacks=[self.clock]
        )
        return np.diff(self.clock.times).tolist(), history.history["loss"][-1]


class Torch(Trainer):
    """PyTorch on the CPU, eager, fused Adam where there is one, the same initial distributions as minicnn's."""

    memory_format = "contiguous_format"

    def __init__(self, case, x, y, threads):
        super().__init__(case, x, y, threads)
        import torch
        import torch._dynamo  # making an optimizer imports it (73 MB): count it as an import, not as a training step

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch = torch
        self.layout = getattr(torch, self.memory_format)
        self.x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.layout)  # (N, C, H, W)
        self.y = torch.from_numpy(y.astype(np.int64))

    def describe(self):
        return {"library": "torch", "version": self.torch.__version__, "layout": self.memory_format}

    def build(self):
        torch, nn = self.torch, self.torch.nn
        modules = [module for spec in self.case.network for module in self._modules(spec)]
        self.model = nn.Sequential(*modules[:-1])  # no ReLU at the end; cross_entropy takes logits
        self.model(self.x[:1])  # the lazy layers learn their input sizes
        for module in self.model:
            if hasattr(module, "weight"):
                nn.init.xavier_uniform_(module.weight)  # glorot_uniform
                nn.init.zeros_(module.bias)
        self.model.to(memory_format=self.layout)
        self.optimizer = self._adam(self.model.parameters())
        self.loss = torch.nn.functional.cross_entropy
        return {"params": sum(p.numel() for p in self.model.parameters()), "fused": self.optimizer.defaults["fused"]}

    def _modules(self, spec):
        nn = self.torch.nn
        match spec:
            case Conv():
                return nn.LazyConv2d(spec.filters, spec.size), nn.ReLU()
            case Pool():
                return (nn.MaxPool2d(spec.size),)
            case Flatten():
                return (nn.Flatten(),)
            case Dense():
                return nn.LazyLinear(spec.units), nn.ReLU()

    def _adam(self, parameters):
        parameters = list(parameters)
        adam = self.torch.optim.Adam
        try:
            return adam(parameters, lr=LEARNING_RATE, eps=EPSILON, fused=True)
        except RuntimeError:  # older versions have it on GPUs only
            return adam(parameters, lr=LEARNING_RATE, eps=EPSILON)

    def _steps(self, start, stop):
        size, seconds, value = self.case.batch_size, [], None
        begin = time.perf_counter()
        for first in range(start, stop, size):
            self.optimizer.zero_grad()
            loss = self.loss(self.model(self.x[first : first + size]), self.y[first : first + size])
            loss.backward()
            self.optimizer.step()
            value = loss.item()
            end = time.perf_counter()
            seconds.append(end - begin)
            begin = end
        return seconds, value


class TorchChannelsLast(Torch):
    """PyTorch with its other layout: arrays lie in memory as (N, H, W, C)."""

    memory_format = "channels_last"


LIBRARIES = {"minicnn": Minicnn, "torch": Torch, "torch_channels_last": TorchChannelsLast}

# -------------------------------------------------------------------------------------------------------- memory


def memory_use(field):
    """VmRSS (resident now) or VmHWM (the most that ever was) of this process in bytes; Linux only."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def reset_peak():
    """Let VmHWM start again from what is resident now; returns whether the system allowed it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------ protocol


def main():
    """Make the trainer, then obey."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--data", required=True, help="an .npz file with x and y, see harness.write_data")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    reply = take_stdout()
    with np.load(options.data) as data:
        x, y = data["x"], data["y"]
    try:
        trainer = LIBRARIES[options.library](CASES[options.case], x, y, options.threads)
    except ImportError as error:
        reply({"missing": str(error)})
        return
    reply({"ready": trainer.describe()})
    for line in sys.stdin:
        command = json.loads(line)
        reply(getattr(trainer, command.pop("do"))(**command))


def take_stdout():
    """A function that writes a line of JSON to stdout; what libraries print goes to stderr from now on."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(message):
        print(json.dumps(message), file=pipe, flush=True)

    return reply


if __name__ == "__main__":
    main()
