"""Training steps of PyTorch and of JAX on the GPU, for gpu_worker.py."""

import time

import numpy as np
import worker
from gpu_worker import EPOCHS, data, network_of

COMPILED = "reduce-overhead", "max-autotune"  # modes of torch.compile


class Torch:
    """PyTorch: eager, as a CUDA graph, or compiled; on the processor, eager, in a test without a GPU."""

    def __init__(self, setting):
        import torch

        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = setting == "tf32"
        self.torch, self.device = torch, "cuda" if torch.cuda.is_available() else "cpu"
        self.is_autocast = setting == "bfloat16"
        torch.zeros(1, device=self.device)

    def describe(self):
        """The library."""
        return {"library": "torch", "version": self.torch.__version__, "device": self.device}

    def steps(self, name, steps, mode, layout):
        """Seconds a step, data on the device, loss and accuracy included; the best epoch but the first."""
        if mode == "graph" and self.device == "cpu":
            raise NotImplementedError("CUDA graphs need a GPU")
        training = Training(self, network_of(name), steps, mode, layout)
        return {"seconds": min(training.epoch() for _ in range(EPOCHS - 1 if mode == "eager" else EPOCHS)) / steps}

    def first(self, name, steps):
        """As `gpu_worker.Minicnn.first`, eager."""
        network, seconds = network_of(name), []
        begin = time.perf_counter()
        training = Training(self, network, 1, "eager", "contiguous_format")
        building = time.perf_counter() - begin
        seconds = [training.epoch() for _ in range(steps)]
        return {"building": building, "steps": seconds}

    def record(self, name, seeds):
        """As `gpu_worker.Minicnn.record`."""
        import records_torch
        from gpu_accuracy import recorded

        self.torch.backends.cudnn.allow_tf32 = False
        self.torch.set_default_device(self.device)
        return recorded(records_torch.run, name, seeds)


class Training:
    """A network in PyTorch, its data and its optimizer.

    Parameters
    ----------
    peer : Torch
    network : gpu_worker.Network
    steps : int
        Of an epoch.
    mode : str
        "eager", "graph", or one of `COMPILED`.
    layout : str
        A memory format.
    """

    def __init__(self, peer, network, steps, mode, layout):
        torch = self.torch = peer.torch
        self.peer, self.batch_size, self.mode = peer, network.batch_size, mode
        builder = worker.Torch.__new__(worker.Torch)  # without its data
        builder.torch = torch
        model = builder._stacked(network.layers)[:-1]  # no ReLU at the end; the loss takes logits
        model(torch.zeros(2, network.shape[2], *network.shape[:2]))  # the lazy layers learn their input sizes
        layout = getattr(torch, layout)
        self.model = model.to(peer.device).to(memory_format=layout)
        self.forward = torch.compile(self.model, mode=mode) if mode in COMPILED else self.model
        self.loss = torch.nn.CrossEntropyLoss()
        options = {"lr": worker.LEARNING_RATE, "eps": worker.EPSILON}
        options |= {"capturable": mode == "graph", "fused": peer.device == "cuda"}
        self.optimizer = torch.optim.Adam(self.model.parameters(), **options)
        x, y = data(network, steps)
        self.x = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).to(peer.device).to(memory_format=layout)
        self.y = torch.from_numpy(y).to(peer.device)
        self.order = torch.randperm(len(y), device=peer.device)
        self.hits = torch.zeros((), dtype=torch.int64, device=peer.device)
        self.total = torch.zeros((), device=peer.device)
        self.part = self.order[: self.batch_size].clone()
        if mode == "graph":
            self._capture()

    def _step(self, part):
        """Gather the samples `part`; forward, loss, gradients, optimizer, and what a progress bar shows."""
        torch = self.torch
        x, y = self.x[part], self.y[part]
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.peer.device, torch.bfloat16, enabled=self.peer.is_autocast):
            output = self.forward(x)
            loss = self.loss(output, y)
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()
        self.hits += (output.detach().argmax(dim=1) == y).sum()

    def _capture(self):
        """As PyTorch's documentation says: some steps on a stream of their own, then the capture."""
        cuda = self.torch.cuda
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream):
            for _ in range(3):
                self._step(self.part)
        cuda.current_stream().wait_stream(stream)
        self.graph = cuda.CUDAGraph()
        with cuda.graph(self.graph):
            self._step(self.part)

    def epoch(self):
        """Seconds of one pass over the data in a random order, and of waiting for its end."""
        begin = time.perf_counter()
        for part in self.order.split(self.batch_size):
            if self.mode == "graph":
                self.part.copy_(part)
                self.graph.replay()
            else:
                self._step(part)
        float(self.total)
        return time.perf_counter() - begin


class Jax:
    """JAX: a step is one function, compiled by XLA; networks of convolutions, max pooling and dense layers."""

    def __init__(self, setting):
        import jax

        self.jax = jax
        self.precision = "tensorfloat32" if setting == "tf32" else "highest"
        self.dtype = jax.numpy.bfloat16 if setting == "bfloat16" else jax.numpy.float32

    def describe(self):
        """The library."""
        return {"library": "jax", "version": self.jax.__version__, "device": self.jax.default_backend()}

    def steps(self, name, steps):
        """Seconds a step, data on the device, loss and accuracy included; the best epoch but the first."""
        jax, network = self.jax, network_of(name)
        x, y = (jax.device_put(a) for a in data(network, steps))
        weights = [jax.device_put(w) for w in self._weights(network)]
        state = [weights, *([jax.numpy.zeros_like(w) for w in weights] for _ in range(2)), 0.0, 0.0, 0]
        with jax.default_matmul_precision(self.precision):
            step = jax.jit(lambda state, x, y, part: self._step(network, state, x[part], y[part]), donate_argnums=0)
            rng, times = np.random.default_rng(0), []
            for _ in range(EPOCHS):
                begin = time.perf_counter()
                for part in jax.numpy.split(jax.device_put(rng.permutation(len(y))), steps):
                    state = step(state, x, y, part)
                jax.block_until_ready(state)
                times.append(time.perf_counter() - begin)
        return {"seconds": min(times[1:]) / steps}

    @staticmethod
    def _weights(network):
        """Kernel and bias of every layer, as NumPy arrays."""
        (height, width, channels), rng, weights = network.shape, np.random.default_rng(0), []
        for spec in network.layers:
            match spec:
                case worker.Conv():
                    shape = (spec.size, spec.size, channels, spec.filters)
                    cut = spec.size - 1 if spec.padding == "valid" else 0
                    height, width = ((side - cut - 1) // spec.strides + 1 for side in (height, width))
                    channels = spec.filters
                case worker.Pool():
                    height, width = height // spec.size, width // spec.size
                    continue
                case worker.Flatten():
                    channels *= height * width
                    continue
                case worker.Dense():
                    shape, channels = (channels, spec.units), spec.units
                case _:
                    raise NotImplementedError(f"{type(spec).__name__} in JAX")
            deviation = (2 / (np.prod(shape[:-1]) + shape[-1])) ** 0.5
            weights += [rng.normal(0, deviation, shape).astype(np.float32), np.zeros(shape[-1], np.float32)]
        return weights

    def _logits(self, network, weights, x):
        """The network's outputs before the softmax: (N, 10)."""
        lax, weights, x = self.jax.lax, [w.astype(self.dtype) for w in weights], x.astype(self.dtype)
        for spec in network.layers:
            match spec:
                case worker.Conv():
                    (kernel, bias, *weights), strides = weights, (spec.strides, spec.strides)
                    orders = ("NHWC", "HWIO", "NHWC")
                    x = lax.conv_general_dilated(x, kernel, strides, spec.padding.upper(), dimension_numbers=orders)
                    x = self.jax.nn.relu(x + bias)
                case worker.Pool():
                    window = (1, spec.size, spec.size, 1)
                    x = lax.reduce_window(x, -self.jax.numpy.inf, lax.max, window, window, "VALID")
                case worker.Flatten():
                    x = x.reshape(len(x), -1)
                case worker.Dense():
                    kernel, bias, *weights = weights
                    x = x @ kernel + bias
                    x = self.jax.nn.relu(x) if weights else x
        return x.astype(self.jax.numpy.float32)

    def _step(self, network, state, x, y):
        """The state after a step of Adam: weights, both moments, sums of loss and hits, number of steps."""
        jax, (weights, first, second, total, hits, count) = self.jax, state

        def loss_of(weights):
            logits = self._logits(network, weights, x)
            chosen = jax.numpy.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
            return -chosen.mean(), (logits.argmax(1) == y).sum()

        (loss, right), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights)
        count = count + 1
        rate = worker.LEARNING_RATE * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        moved = zip(weights, first, second, strict=True)
        weights = [w - rate * m / (v**0.5 + worker.EPSILON) for w, m, v in moved]
        return [weights, first, second, total + loss, hits + right, count]


PEERS = {"torch": Torch, "jax": Jax}
