"""One library trains networks on the GPU, in a process of its own: what gpu_networks.py starts.

    python gpu_worker.py LIBRARY SETTING

LIBRARY is minicnn or a key of `gpu_peers.PEERS`, SETTING one of `SETTINGS`. The protocol is that of worker.py; methods
get names of `NETWORKS`.
"""

import json
import sys
import time
from typing import NamedTuple

import numpy as np
import worker

SETTINGS = "float32", "tf32", "bfloat16"
EPOCHS = 4  # the first one does not count
PROFILED_STEPS = 30
GRAY, COLORS = (28, 28, 1), (32, 32, 3)


class Network(NamedTuple):
    """A network of worker.py, and what it is trained with."""

    layers: tuple
    batch_size: int
    shape: tuple = GRAY


NETWORKS = {
    "LeNet-5, batch 128": Network(worker.LENET5, 128),
    "D0, batch 32": Network(worker.D0, 32),
    "D1, batch 32": Network(worker.D1, 32),
    "net_1, batch 128": Network(worker.NET_1, 128),
    "ResNet-20, batch 128": Network(worker.RESNET20, 128, COLORS),
    "VGG-like, batch 128": Network(worker.VGG, 128, COLORS),
    "Depthwise separable, batch 128": Network(worker.SEPARABLE, 128, COLORS),
}
SMOKE_NETWORKS = {
    "LeNet-5, batch 4": Network(worker.LENET5, 4),
    "BatchNormalization, batch 2": Network((*worker.normed(8, 3), *worker.HEAD), 2, (8, 8, 3)),
}


def network_of(name):
    """The network with this name."""
    return (NETWORKS | SMOKE_NETWORKS)[name]


def data(network, steps):
    """Random images and class numbers for so many steps: the time of a step does not depend on them."""
    rng, count = np.random.default_rng(3), network.batch_size * steps
    return rng.uniform(size=(count, *network.shape)).astype(np.float32), rng.integers(0, 10, count)


class Minicnn:
    """This library, on the GPU."""

    def __init__(self, setting):
        begin = time.perf_counter()
        import minicnn as mc

        mc.set_backend("cupy")
        mc.backends.current().zeros((1,), np.float32)  # starts CUDA
        self.mc, self.import_seconds = mc, time.perf_counter() - begin
        if setting == "bfloat16":
            from minicnn import keras

            keras.mixed_precision.set_global_policy("mixed_bfloat16")
        elif setting == "tf32":
            mc.set_float32_precision("medium")

    def describe(self):
        """The library."""
        return {"library": "minicnn", "version": self.mc.__version__}

    def _model(self, network):
        mc, (*hidden, last) = self.mc, network.layers
        image = mc.Input(shape=network.shape)
        output = mc.layers.Dense(last.units, activation="softmax")(worker.stacked(mc.layers, hidden, image))
        model = mc.Model(image, output)
        adam = mc.optimizers.Adam(worker.LEARNING_RATE)
        model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def _clock(self, model):
        """A callback: seconds of every epoch, and why iterations were not captured."""

        class Clock(self.mc.callbacks.Callback):
            def __init__(self):
                super().__init__()
                self.seconds, self.reasons = [], set()

            def on_epoch_begin(self, epoch, logs=None):
                self.start = time.perf_counter()

            def on_epoch_end(self, epoch, logs=None):  # the logs have come back: the device has ended
                self.seconds.append(time.perf_counter() - self.start)
                self.reasons.update(graph.reason for graph in model._engine.graphs.values() if graph.reason)

        return Clock()

    def _train(self, network, x, y):
        """(the model, a clock that has seen all epochs)."""
        model = self._model(network)
        clock = self._clock(model)
        model.fit(x, y, batch_size=network.batch_size, epochs=EPOCHS, verbose=0, callbacks=[clock])
        return model, clock

    def steps(self, name, steps):
        """Seconds a step of ``fit``, data on the device, loss and accuracy included; the best epoch but the first."""
        network = network_of(name)
        _, clock = self._train(network, *data(network, steps))
        return {"seconds": min(clock.seconds[1:]) / steps, "not captured": sorted(clock.reasons)}

    def profile(self, name, steps):
        """Launches a step, and microseconds of every kernel, as the device's own counters say (CUPTI, by PyTorch)."""
        from torch import cuda
        from torch.profiler import ProfilerActivity, profile

        if not cuda.is_available():
            raise ImportError("PyTorch with CUDA, whose profiler counts")
        network, steps = network_of(name), min(steps, PROFILED_STEPS)
        x, y = data(network, steps)
        model, _ = self._train(network, x, y)
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            model.fit(x, y, batch_size=network.batch_size, verbose=0)
        rows = [(row.key, row.count / steps, row.device_time_total / steps) for row in found.key_averages()]
        rows = sorted((row for row in rows if row[2] > 0), key=lambda row: -row[2])
        kernels = [row for row in rows if not row[0].startswith("Mem")]
        sums = {"launches": sum(row[1] for row in kernels), "microseconds": sum(row[2] for row in kernels)}
        return sums | {"kernels": kernels, "copies": [row for row in rows if row not in kernels]}

    def first(self, name, steps):
        """Seconds until the first steps have ended, for `steps` of them; the first compiles what no cache holds."""
        network = network_of(name)
        x, y = data(network, 1)
        begin = time.perf_counter()
        model, seconds = self._model(network), []
        building = time.perf_counter() - begin
        for _ in range(steps):
            begin = time.perf_counter()
            model.fit(x, y, batch_size=network.batch_size, verbose=0)
            seconds.append(time.perf_counter() - begin)
        return {"import": self.import_seconds, "building": building, "steps": seconds}

    def places(self, name, steps):
        """Steps a second with the data on the device and in chunks, from floats and from bytes; and of uploading."""
        from minicnn.training import device_engine

        network, found, kept = network_of(name), {}, device_engine.MOST_OF_MEMORY
        x, y = data(network, steps)
        for kind, images in (("float32", x), ("uint8", (255 * x).astype(np.uint8))):
            for place, most in (("resident", kept), ("chunks", 0.0)):
                device_engine.MOST_OF_MEMORY = most
                _, clock = self._train(network, images, y)
                found[f"{kind}, {place}"] = steps / min(clock.seconds[1:])
        device_engine.MOST_OF_MEMORY = kept
        return {"rates": found, "bytes": x.nbytes, "upload": self._uploads(x)}

    def _uploads(self, x):
        """Bytes a second of the first copy to the device: through pinned memory, and by CUDA from where they lie."""
        import cupy

        backend, found = self.mc.backends.current(), {}
        with backend.device:
            out = cupy.empty(x.shape, x.dtype)
            for way, copy in (("pinned", lambda: backend.upload(x, out)), ("pageable", lambda: out.set(x))):
                times = []
                for _ in range(5):
                    cupy.cuda.get_current_stream().synchronize()
                    begin = time.perf_counter()
                    copy()
                    cupy.cuda.get_current_stream().synchronize()
                    times.append(time.perf_counter() - begin)
                found[way] = x.nbytes / min(times)
        return found

    def record(self, name, seeds):
        """See `gpu_accuracy.recorded`; the first seed may compile."""
        import gpu_accuracy
        import records_minicnn

        return gpu_accuracy.recorded(records_minicnn.run, name, seeds)

    def reach(self, smoke):
        """See `gpu_accuracy.reach`; LeNet-5."""
        import gpu_accuracy

        return gpu_accuracy.reach(self.mc, self._model(Network(worker.LENET5, 128)), smoke)


def main(library, setting):
    """Make the trainer, then obey."""
    reply = worker.take_stdout()
    try:
        if library == "minicnn":
            trainer = Minicnn(setting)
        else:
            from gpu_peers import PEERS

            trainer = PEERS[library](setting)
    except ImportError as error:
        reply({"missing": str(error)})
        return
    reply({"ready": trainer.describe()})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply(getattr(trainer, command.pop("do"))(**command))
        except ImportError as error:
            reply({"missing": str(error)})
        except Exception as error:  # of one network; the next one may do
            reply({"error": f"{type(error).__name__}: {str(error)[:500]}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
