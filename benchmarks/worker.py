"""One library trains one case, in a process of its own, a few steps each time it is told to.

    python worker.py LIBRARY CASE --data FILE --threads N

Protocol: a line of JSON each way. First the worker writes ``{"ready": {…}}``, or ``{"missing": "why"}`` and ends. Then
it reads commands from stdin, ``{"do": METHOD, …arguments}``, calls that method of its trainer and writes what it
returns. It ends with its stdin. Between commands it is blocked on the pipe. `harness.Worker` is the other end.

A new library is a subclass of `Trainer` in `LIBRARIES`, a new case an entry of `CASES`, a new measurement a method.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib.metadata
import io
import json
import os
import re
import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEARNING_RATE = 1e-3
EPSILON = 1e-7  # Keras's for Adam; PyTorch's own default is 1e-8
TEST_BATCH = 500  # images at a time where the test set is evaluated
FEWEST_STEPS, MOST_STEPS = 3, 200  # in a turn

# --------------------------------------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Conv:
    """A convolution, and ReLU; padding is "valid" or "same". A bare one has no ReLU and no bias."""

    filters: int
    size: int
    padding: str = "valid"
    strides: int = 1
    dilation: int = 1
    groups: int = 1  # 1, or as many as channels and filters
    bare: bool = False


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution without bias, 4 x 4 taps, that doubles height and width."""

    filters: int


@dataclass(frozen=True)
class Norm:
    """Batch normalization."""


@dataclass(frozen=True)
class Relu:
    """ReLU, or with a slope below 0 LeakyReLU."""

    slope: float = 0.0


@dataclass(frozen=True)
class Dropout:
    """Dropout."""

    rate: float


@dataclass(frozen=True)
class Residual:
    """The sum of what two branches make of the input; no layer in a branch: the input itself."""

    body: tuple
    shortcut: tuple = ()


@dataclass(frozen=True)
class Skip:
    """The input, and behind it, as further channels, what a branch makes of it."""

    body: tuple


@dataclass(frozen=True)
class Up:
    """Twice the height and the width, every pixel repeated."""


@dataclass(frozen=True)
class GlobalPool:
    """The mean over all pixels."""


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
    """A network, a batch size and the data; ten classes, sparse categorical cross-entropy, Adam."""

    title: str
    network: tuple
    batch_size: int
    images: str = "mnist"
    trained: bool = True  # False: a case of inference only


LENET5 = (Conv(6, 5), Pool(), Conv(16, 5), Pool(), Flatten(), Dense(120), Dense(84), Dense(10))
D0 = (Conv(32, 3), Pool(), Conv(64, 3), Pool(), Flatten(), Dense(128), Dense(10))

D1 = (Conv(32, 3), Pool(), Conv(64, 3), Pool(), Conv(64, 3), Flatten(), Dense(54), Dense(10))
NET_1 = (Conv(32, 3, "same"), Conv(64, 3, "same"), Pool(), Flatten(), Dense(128), Dense(10))
NET_2 = (Conv(32, 3, "same"), Conv(64, 3, "same", strides=2), Flatten(), Dense(128), Dense(10))
MLP = (Flatten(), Dense(200), Dense(150), Dense(10))


def normed(filters, size, strides=1, groups=1):
    """A convolution, batch normalization and ReLU."""
    return Conv(filters, size, "same", strides, groups=groups, bare=True), Norm(), Relu()


def resnet_block(filters, halves):
    """He, Zhang, Ren, Sun (2015), for CIFAR; where it halves the image the shortcut is a convolution of one pixel."""
    strides = 2 if halves else 1
    body = (*normed(filters, 3, strides), Conv(filters, 3, "same", bare=True), Norm())
    shortcut = (Conv(filters, 1, "same", strides, bare=True), Norm()) if strides > 1 else ()
    return Residual(body, shortcut), Relu()


def separable(channels, filters, strides=1):
    """A depthwise and a 1 x 1 convolution (Howard and others: "MobileNets", 2017)."""
    return *normed(channels, 3, strides, groups=channels), *normed(filters, 1)


def vgg_block(filters):
    """Two convolutions with batch normalization, pooling, dropout."""
    return *normed(filters, 3), *normed(filters, 3), Pool(), Dropout(0.25)


def double(filters):
    """What a U-Net does on every level (Ronneberger, Fischer, Brox, 2015)."""
    return *normed(filters, 3), *normed(filters, 3)


def strided(filters):
    """A level of a DCGAN's discriminator (Radford, Metz, Chintala, 2015)."""
    return Conv(filters, 4, "same", 2, bare=True), Norm(), Relu(0.2)


HEAD = (GlobalPool(), Dense(10))  # so that all cases have the same data and loss
RESNET20 = (
    *normed(16, 3),
    *(
        layer
        for filters in (16, 32, 64)
        for block in range(3)
        for layer in resnet_block(filters, filters > 16 and block == 0)
    ),
    *HEAD,
)
VGG = (*vgg_block(32), *vgg_block(64), *vgg_block(128), Flatten(), Dense(128), Dropout(0.5), Dense(10))
SEPARABLE = (
    *normed(32, 3),
    *separable(32, 64),
    *separable(64, 128, 2),
    *separable(128, 128),
    *separable(128, 256, 2),
    *separable(256, 256),
    *HEAD,
)
DILATED = (Conv(32, 3, "same"), Conv(32, 3, "same", dilation=2), Conv(32, 3, "same", dilation=4), *HEAD)
UNET = (
    *double(16),
    Skip((Pool(), *double(32), Skip((Pool(), *double(64), Up(), *normed(32, 3))), *double(32), Up(), *normed(16, 3))),
    *double(16),
    *HEAD,
)
DCGAN = (
    *(layer for filters in (32, 64, 128) for layer in strided(filters)),
    *(layer for filters in (64, 32, 16) for layer in (Transposed(filters), Norm(), Relu())),
    *HEAD,
)
AUTOENCODER = (  # Chollet: "Building autoencoders in Keras", 2016
    *(layer for filters in (16, 8) for layer in (Conv(filters, 3, "same"), Pool())),
    *(layer for filters in (8, 16) for layer in (Conv(filters, 3, "same"), Up())),
    Conv(1, 3, "same"),
    *HEAD,
)
PHOTOS = (
    *(layer for filters in (16, 32, 64, 64) for layer in (Conv(filters, 3, "same"), Pool())),
    Flatten(),
    Dense(64),
    Dense(10),
)

CASES = {  # of versus_torch.py
    "lenet5_b128": Case("LeNet-5, batch 128", LENET5, 128),
    "d0_b32": Case("D0, batch 32", D0, 32),
    "d0_b100": Case("D0, batch 100", D0, 100),
    "d0_b128": Case("D0, batch 128", D0, 128),
}
PEER_CASES = {  # of cpu_vs_peers.py
    "lenet5_b128": CASES["lenet5_b128"],
    "d0_b32": CASES["d0_b32"],
    "d0_b100": CASES["d0_b100"],
    "d1_b32": Case("D1, batch 32", D1, 32),
    "net1_mnist_b128": Case("net_1 MNIST, batch 128", NET_1, 128),
    "net2_mnist_b128": Case("net_2 MNIST, batch 128", NET_2, 128),
    "net1_cifar10_b128": Case("net_1 CIFAR-10, batch 128", NET_1, 128, "cifar10"),
    "mlp_b128": Case("MLP, batch 128", MLP, 128),
    "resnet20_b64": Case("ResNet-20, batch 64", RESNET20, 64, "cifar10"),
    "vgg_b64": Case("VGG-like, batch 64", VGG, 64, "cifar10"),
    "separable_b64": Case("Depthwise separable, batch 64", SEPARABLE, 64, "cifar10"),
    "dilated_b32": Case("Dilated, batch 32", DILATED, 32, "cifar10"),
    "unet_b32": Case("U-Net-like, batch 32", UNET, 32, "cifar10"),
    "dcgan_b64": Case("DCGAN-like, batch 64", DCGAN, 64, "cifar10"),
    "autoencoder_b128": Case("Autoencoder, batch 128", AUTOENCODER, 128),
    "photos_b8": Case("Photos 128 × 128, batch 8", PHOTOS, 8, "photos"),
    "lenet5_b1": Case("LeNet-5, one image", LENET5, 1, trained=False),
    "net1_mnist_b1": Case("net_1 MNIST, one image", NET_1, 1, trained=False),
    "resnet20_b1": Case("ResNet-20, one image", RESNET20, 1, "cifar10", trained=False),
}
ALL_CASES = CASES | PEER_CASES

# ------------------------------------------------------------------------------------------------------ trainers


class Trainer:
    """What all libraries do alike; a subclass imports its library in `__init__` and does the rest.

    Parameters
    ----------
    case : Case
    x : array (N, H, W, C), float32
    y : array (N,), uint8
    threads : int
    """

    packages = ()  # what has to be installed

    def __init__(self, case, x, y, threads):
        self.case, self.x, self.y, self.threads = case, x, y, threads
        self.position = 0
        self.pace = {}  # what a turn does → seconds a step, the last time
        self.rng = np.random.default_rng(0)

    def describe(self):
        """What the worker says when it is ready."""
        raise NotImplementedError

    def build(self):
        """Make the network; returns ``{"params": count}``."""
        raise NotImplementedError

    def _place(self, x):
        """Images as the library wants them."""
        return x

    def _steps(self, start, stop, shuffled):
        """Train on images `start` to `stop`, batch by batch; returns (seconds of each step, last loss)."""
        raise NotImplementedError

    def _outputs(self, x, size):
        """Probabilities for images that `_place` returned, `size` at a time: a NumPy array (N, 10)."""
        raise NotImplementedError

    def train(self, steps, shuffled=False):
        """Training steps on the images that come next: forward, loss, backward, Adam, loss read back in each.

        With `shuffled`, each step also gathers its batch from an order drawn at random.
        """
        start, stop = self._next_images(steps)
        seconds, loss = self._steps(start, stop, shuffled)
        return {"seconds": seconds, "loss": loss}

    def predict(self, steps):
        """Inference on the images that come next, batch by batch; "seconds" has one entry, the average of a batch."""
        start, stop = self._next_images(steps)
        begin = time.perf_counter()
        self._outputs(self.x[start:stop], self.case.batch_size)
        return {"seconds": [(time.perf_counter() - begin) / steps]}

    def turn(self, what, seconds, **arguments):
        """`train` or `predict` for about so many seconds; the first time, the fewest steps."""
        most = min(MOST_STEPS, len(self.x) // self.case.batch_size)
        steps = int(seconds / self.pace[what]) if what in self.pace else 0
        result = getattr(self, what)(min(max(steps, FEWEST_STEPS), most), **arguments)
        self.pace[what] = statistics.median(result["seconds"])
        return result

    def _next_images(self, steps):
        """Where the images of the next steps start and stop; at the end of the data, from the start again."""
        count = steps * self.case.batch_size
        if count > len(self.x):
            raise ValueError(f"{steps} steps need {count} images. Received: {len(self.x)}")
        if self.position + count > len(self.x):
            self.position = 0
        start, self.position = self.position, self.position + count
        return start, self.position

    def memory(self, steps):
        """Peak memory of building and of `steps` steps, above what imports and data occupy, in bytes."""
        return_freed_memory()
        was_reset = reset_peak()
        before = memory_use("VmRSS")
        self.build()
        self.train(steps)
        return {"rise": memory_use("VmHWM") - before, "before": before, "was_reset": was_reset}

    def installed(self):
        """Bytes on disk of the library and of everything that it requires."""
        return {"bytes": installed_size(self.packages)}

    # ------------------------------------------------------------------------------------------ time to accuracy

    def take_test_set(self, x, y):
        """Keep images for `reach`."""
        self.x_test, self.y_test = self._place(x), y

    def reach(self, accuracy, evaluations, most_epochs, seed):
        """Build and train until the test set is classified that well, or for `most_epochs`.

        Parameters
        ----------
        accuracy : float
        evaluations : int
            How often an epoch is interrupted to evaluate the test set, its end included.
        most_epochs : int
        seed : int

        Returns
        -------
        dict
            "accuracies": of each evaluation; "epochs": passed when the last of them was made.
        """
        self._set_seed(seed)
        self.build()
        steps = -(-len(self.x) // self.case.batch_size)
        at = {round(steps * (number + 1) / evaluations) for number in range(evaluations)}  # numbers of steps
        accuracies = []

        def evaluate():
            correct = self._outputs(self.x_test, TEST_BATCH).argmax(axis=1) == self.y_test
            accuracies.append(float(correct.mean()))
            return accuracies[-1] >= accuracy

        self._train_until(evaluate, sorted(at), most_epochs)
        return {"accuracies": accuracies, "epochs": len(accuracies) / evaluations}

    def _set_seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def _train_until(self, reached, at, most_epochs):
        """Train whole epochs in random orders, calling `reached` after the steps numbered `at`, until it says yes."""
        size = self.case.batch_size
        for _ in range(most_epochs):
            order = self.rng.permutation(len(self.x))
            for first, last in zip([0, *at], at, strict=False):
                self._loop(self._batches(order[first * size : last * size]))
                if reached():
                    return

    def _batches(self, order):
        """The parts of `order` that are batches."""
        size = self.case.batch_size
        return [order[first : first + size] for first in range(0, len(order), size)]

    def _loop(self, batches):
        """Train on batches, given by slices or by indices; returns (seconds of each step, last loss)."""
        raise NotImplementedError


def stacked(layers, specs, x):
    """The layers of minicnn or Keras, one behind the other, from the tensor x on."""
    for spec in specs:
        match spec:
            case Residual():
                x = layers.Add()([stacked(layers, spec.body, x), stacked(layers, spec.shortcut, x)])
            case Skip():
                x = layers.Concatenate()([x, stacked(layers, spec.body, x)])
            case _:
                x = layer_of(layers, spec)(x)
    return x


def layer_of(layers, spec):
    """A layer of minicnn or Keras: both have the same names."""
    match spec:
        case Conv(groups=1):
            options = {"use_bias": False} if spec.bare else {"activation": "relu"}
            return layers.Conv2D(
                spec.filters, spec.size, spec.strides, spec.padding, dilation_rate=spec.dilation, **options
            )
        case Conv():
            return layers.DepthwiseConv2D(spec.size, spec.strides, spec.padding, use_bias=False)
        case Transposed():
            return layers.Conv2DTranspose(spec.filters, 4, 2, "same", use_bias=False)
        case Norm():
            return layers.BatchNormalization()
        case Relu():
            return layers.LeakyReLU(negative_slope=spec.slope) if spec.slope else layers.ReLU()
        case Dropout():
            return layers.Dropout(spec.rate)
        case Pool():
            return layers.MaxPooling2D(spec.size)
        case Up():
            return layers.UpSampling2D(2)
        case GlobalPool():
            return layers.GlobalAveragePooling2D()
        case Flatten():
            return layers.Flatten()
        case Dense():
            return layers.Dense(spec.units, activation="relu")


class Minicnn(Trainer):
    """This library: `fit`, a callback reads the clock."""

    packages = ("numpy", "numba", "threadpoolctl", "tqdm", "pooch")

    def __init__(self, case, x, y, threads):
        super().__init__(case, x, y, threads)
        import minicnn as mc
        from minicnn import layers, models, optimizers  # noqa: F401  (imported here to be part of the imports)

        mc.backends.current()  # imports numba
        mc.set_num_threads(threads)
        self.mc = mc

    def describe(self):
        return {"library": "minicnn", "version": self.mc.__version__, "backend": self.mc.backends.current().name}

    def installed(self):
        own = sum(path.stat().st_size for path in Path(self.mc.__file__).parent.rglob("*") if path.is_file())
        return {"bytes": own + installed_size(self.packages)}

    def build(self):
        mc, (*hidden, last) = self.mc, self.case.network
        image = mc.Input(shape=self.x.shape[1:])
        output = mc.layers.Dense(last.units, activation="softmax")(stacked(self.mc.layers, hidden, image))
        self.model = mc.Model(image, output)
        adam = mc.optimizers.Adam(learning_rate=LEARNING_RATE, epsilon=EPSILON)
        self.model.compile(optimizer=adam, loss="sparse_categorical_crossentropy")
        self.clock = self._make_clock()
        return {"params": self.model.count_params()}

    def _make_clock(self):
        class Clock(self.mc.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.times = [time.perf_counter()]

            def on_train_batch_end(self, batch, logs=None):
                self.times.append(time.perf_counter())

        return Clock()

    def _steps(self, start, stop, shuffled):
        x, y = self.x[start:stop], self.y[start:stop]
        history = self.model.fit(
            x, y, batch_size=self.case.batch_size, shuffle=shuffled, verbose=0, callbacks=[self.clock]
        )
        return np.diff(self.clock.times).tolist(), history.history["loss"][-1]

    def _outputs(self, x, size):
        if size == 1:  # what counts is how long somebody waits for the answer to one image
            return np.concatenate([self.model.predict_on_batch(x[n : n + 1]) for n in range(len(x))])
        return self.model.predict(x, batch_size=size, verbose=0)

    def _set_seed(self, seed):
        self.mc.utils.set_random_seed(seed)

    def _train_until(self, reached, at, most_epochs):
        class Until(self.mc.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch + 1 in at and reached():
                    self.model.stop_training = True

        self.model.fit(
            self.x, self.y, batch_size=self.case.batch_size, epochs=most_epochs, verbose=0, callbacks=[Until()]
        )


class MinicnnBfloat16(Minicnn):
    """minicnn by the policy "mixed_bfloat16"."""

    def build(self):
        from minicnn import keras

        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        return super().build()


class MinicnnHigh(Minicnn):
    """minicnn with products of float32 in two pieces."""

    precision = "high"

    def build(self):
        self.mc.set_float32_precision(self.precision)
        return super().build()


class MinicnnMedium(MinicnnHigh):
    """In one piece."""

    precision = "medium"


class Torch(Trainer):
    """PyTorch on the CPU, eager, fused Adam where there is one, the same initial distributions as minicnn's."""

    memory_format = "contiguous_format"
    packages = ("torch", "numpy")

    def __init__(self, case, x, y, threads):
        super().__init__(case, x, y, threads)
        import torch
        import torch._dynamo  # making an optimizer imports it (73 MB): count it as an import, not as a training step

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch = torch
        self.layout = getattr(torch, self.memory_format)
        self.x = self._place(x)
        self.y = torch.from_numpy(y.astype(np.int64))

    def _place(self, x):
        return self.torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.layout)  # (N, C, H, W)

    def describe(self):
        return {"library": "torch", "version": self.torch.__version__, "layout": self.memory_format}

    def build(self):
        torch, nn = self.torch, self.torch.nn
        self.model = self._stacked(self.case.network)[:-1]  # no ReLU at the end; cross_entropy takes logits
        self.model(self.x[:2])  # the lazy layers learn their input sizes
        for module in self.model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)  # glorot_uniform
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.model.to(memory_format=self.layout)
        self.optimizer = self._adam(self.model.parameters())
        self.loss = torch.nn.functional.cross_entropy
        self.forward = self._prepare_forward()
        averages = (buffer for buffer in self.model.buffers() if buffer.ndim)  # of batch normalization, as Keras counts
        params = sum(p.numel() for p in (*self.model.parameters(), *averages))
        return {"params": params, "fused": self.optimizer.defaults["fused"]}

    def _prepare_forward(self):
        """What takes a batch to its logits."""
        return self.model

    def _stacked(self, specs):
        return self.torch.nn.Sequential(*(module for spec in specs for module in self._modules(spec)))

    def _modules(self, spec):
        nn = self.torch.nn
        match spec:
            case Conv():
                padding = spec.dilation * (spec.size - 1) // 2 if spec.padding == "same" else 0
                sizes = {"stride": spec.strides, "padding": padding, "dilation": spec.dilation, "groups": spec.groups}
                conv = nn.LazyConv2d(spec.filters, spec.size, bias=not spec.bare, **sizes)
                return (conv,) if spec.bare else (conv, nn.ReLU())
            case Transposed():
                return (nn.LazyConvTranspose2d(spec.filters, 4, stride=2, padding=1, bias=False),)
            case Norm():
                return (nn.LazyBatchNorm2d(eps=1e-3, momentum=0.01),)  # Keras's defaults
            case Relu():
                return (nn.LeakyReLU(spec.slope) if spec.slope else nn.ReLU(),)
            case Dropout():
                return (nn.Dropout(spec.rate),)
            case Residual():
                return (self._branches(lambda x, y: x + y, spec.body, spec.shortcut),)
            case Skip():
                return (self._branches(lambda x, y: self.torch.cat([y, x], dim=1), spec.body, ()),)
            case Pool():
                return (nn.MaxPool2d(spec.size),)
            case Up():
                return (nn.Upsample(scale_factor=2),)
            case GlobalPool():
                return nn.AdaptiveAvgPool2d(1), nn.Flatten()
            case Flatten():
                return (nn.Flatten(),)
            case Dense():
                return nn.LazyLinear(spec.units), nn.ReLU()

    def _branches(self, joined, first, second):
        """A module that joins what two branches make of its input."""

        class Branches(self.torch.nn.Module):
            def __init__(self, *branches):
                super().__init__()
                self.first, self.second = branches

            def forward(self, x):
                return joined(self.first(x), self.second(x))

        return Branches(self._stacked(first), self._stacked(second))

    def _adam(self, parameters):
        parameters = list(parameters)
        adam = self.torch.optim.Adam
        try:
            return adam(parameters, lr=LEARNING_RATE, eps=EPSILON, fused=True)
        except RuntimeError:  # older versions have it on GPUs only
            return adam(parameters, lr=LEARNING_RATE, eps=EPSILON)

    def _steps(self, start, stop, shuffled):
        if shuffled:
            return self._loop(self._batches(start + self.rng.permutation(stop - start)))
        size = self.case.batch_size
        return self._loop([slice(first, first + size) for first in range(start, stop, size)])

    def _batches(self, order):
        return super()._batches(self.torch.from_numpy(order))

    def _loop(self, batches):
        seconds, value = [], None
        begin = time.perf_counter()
        for batch in batches:
            self.optimizer.zero_grad()
            loss = self.loss(self.forward(self.x[batch]), self.y[batch])
            loss.backward()
            self.optimizer.step()
            value = loss.item()
            end = time.perf_counter()
            seconds.append(end - begin)
            begin = end
        return seconds, value

    def _outputs(self, x, size):
        outputs = np.empty((len(x), self.case.network[-1].units), np.float32)
        self.model.eval()
        with self.torch.inference_mode():
            for first in range(0, len(x), size):
                part = slice(first, first + size)
                outputs[part] = self.forward(x[part]).softmax(dim=1).numpy()
        self.model.train()
        return outputs

    def _set_seed(self, seed):
        super()._set_seed(seed)
        self.torch.manual_seed(seed)


class TorchChannelsLast(Torch):
    """PyTorch with its other layout: arrays lie in memory as (N, H, W, C)."""

    memory_format = "channels_last"


class TorchCompile(Torch):
    """`torch.compile`, which needs a C++ compiler and half a minute for a network."""

    def _prepare_forward(self):
        return self.torch.compile(self.model)


class TorchScript(Torch):
    """Frozen TorchScript, for inference only."""

    def _prepare_forward(self):
        jit, size = self.torch.jit, self.case.batch_size
        self.model.eval()
        with self.torch.inference_mode():
            return jit.optimize_for_inference(jit.freeze(jit.trace(self.model, self.x[:size])))


class TorchAutocast(Torch):
    """PyTorch with autocast to bfloat16 around the forward pass."""

    def _prepare_forward(self):
        def forward(x):
            with self.torch.autocast("cpu", self.torch.bfloat16):
                logits = self.model(x)
            return logits.float()

        return forward


class TorchAutocastChannelsLast(TorchAutocast):
    """The same with channels last."""

    memory_format = "channels_last"


class Engine(Torch):
    """Base: PyTorch's network, exported as ONNX, in an engine for inference only; float32, the softmax within."""

    def _prepare_forward(self):
        """A function from images (N, C, H, W) to probabilities, both NumPy arrays."""
        file, torch = io.BytesIO(), self.torch
        network = torch.nn.Sequential(self.model, torch.nn.Softmax(1)).eval()
        size = self.case.batch_size
        with warnings.catch_warnings():  # the newer exporter needs one more package and makes the same graph
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(network, (self.x[:size],), file, dynamo=False, input_names=["x"], output_names=["y"])
        return self._compiled(file.getvalue())

    def _compiled(self, network):
        raise NotImplementedError

    def train(self, steps, shuffled=False):
        raise NotImplementedError(f"{type(self).__name__} does not train")

    def _outputs(self, x, size):
        images = x.numpy()
        return np.concatenate([self.forward(images[first : first + size]) for first in range(0, len(images), size)])


class OnnxRuntime(Engine):
    """ONNX Runtime."""

    def __init__(self, case, x, y, threads):
        import onnx  # noqa: F401  (PyTorch's exporter needs it)
        import onnxruntime

        super().__init__(case, x, y, threads)
        self.engine = onnxruntime

    def describe(self):
        return {"library": "onnxruntime", "version": self.engine.__version__}

    def _compiled(self, network):
        options = self.engine.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.engine.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"x": images})[0]


class OpenVino(Engine):
    """OpenVINO, whose default would be bfloat16 where the processor has it."""

    precision = "f32"

    def __init__(self, case, x, y, threads):
        import onnx  # noqa: F401  (PyTorch's exporter needs it)
        import openvino

        super().__init__(case, x, y, threads)
        self.engine = openvino

    def describe(self):
        return {"library": "openvino", "version": self.engine.__version__.split("-")[0]}

    def _compiled(self, network):
        core = self.engine.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        compiled = core.compile_model(core.read_model(network), "CPU", settings)
        return lambda images: compiled([images])[0].copy()  # the engine writes the next result into the same memory


class OpenVinoBfloat16(OpenVino):
    """OpenVINO in bfloat16."""

    precision = "bf16"


class Keras(Trainer):
    """Keras 3 on TensorFlow: its own `train_step` as one `tf.function`, called with indices of tensors.

    That is what `fit` runs, without `fit`'s Python and without a `tf.data` pipeline.
    """

    jit_compile = "auto"  # what `compile` does by default: XLA on GPUs only
    packages = ("keras", "tensorflow", "tensorflow-cpu")

    def __init__(self, case, x, y, threads):
        super().__init__(case, x, y, threads)
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        if threads != os.cpu_count():
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        import keras

        self.tf, self.keras = tf, keras
        self.x, self.y = self._place(x), tf.constant(y.astype(np.int64))

    def _place(self, x):
        return self.tf.constant(x)

    def describe(self):
        versions = {"version": self.keras.__version__, "tensorflow": self.tf.__version__}
        return {"library": "keras", **versions, "layout": "channels_last"}

    def build(self):
        keras = self.keras
        *hidden, last = self.case.network
        image = keras.Input(self.x.shape[1:])
        logits = keras.layers.Dense(last.units)(stacked(keras.layers, hidden, image))  # the loss takes logits
        self.model = keras.Model(image, logits)
        adam = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer=adam, loss=loss, jit_compile=self.jit_compile)
        self._make_functions()
        return {"params": self.model.count_params(), "xla": self.model.jit_compile}

    def _make_functions(self):
        """`step(indices)` trains and returns the loss; `infer(images)` returns probabilities."""
        tf, model, xla = self.tf, self.model, self.model.jit_compile
        train_step = tf.function(model.train_step, jit_compile=xla, reduce_retracing=True)

        def step(indices):
            return train_step((tf.gather(self.x, indices), tf.gather(self.y, indices)))["loss"]

        def infer(images):
            return tf.nn.softmax(model(images, training=False))

        self.step = tf.function(step, reduce_retracing=True)
        self.infer = tf.function(infer, jit_compile=xla, reduce_retracing=True)

    def _steps(self, start, stop, shuffled):
        order = start + (self.rng.permutation(stop - start) if shuffled else np.arange(stop - start))
        return self._loop(self._batches(order))

    def _loop(self, batches):
        seconds, value = [], None
        self.model.reset_metrics()  # Keras's loss is the average since here
        begin = time.perf_counter()
        for batch in batches:
            value = float(self.step(self.tf.constant(batch)))
            end = time.perf_counter()
            seconds.append(end - begin)
            begin = end
        return seconds, value

    def _outputs(self, x, size):
        outputs = np.empty((len(x), self.case.network[-1].units), np.float32)
        for first in range(0, len(x), size):
            part = slice(first, first + size)
            outputs[part] = self.infer(x[part]).numpy()
        return outputs

    def _set_seed(self, seed):
        super()._set_seed(seed)
        self.keras.utils.set_random_seed(seed)


class KerasXla(Keras):
    """Keras with ``compile(jit_compile=True)``."""

    jit_compile = True


class Sgemm(Trainer):
    """NumPy's product of two 1024 × 1024 matrices in float32: what the machine can do, a "step" is one product."""

    size = 1024

    def __init__(self, case, x, y, threads):
        super().__init__(case, x, y, threads)
        import threadpoolctl

        self.limit = threadpoolctl.threadpool_limits(threads)

    def describe(self):
        return {"library": "numpy", "version": np.__version__, "flops": 2 * self.size**3}

    def build(self):
        self.a, self.b = self.rng.random((2, self.size, self.size), np.float32)
        self.c = np.empty_like(self.a)
        return {}

    def train(self, steps, shuffled=False):
        times = [time.perf_counter()]
        for _ in range(steps):
            np.matmul(self.a, self.b, out=self.c)
            times.append(time.perf_counter())
        return {"seconds": np.diff(times).tolist()}

    predict = train


LIBRARIES = {
    "minicnn": Minicnn,
    "minicnn_bf16": MinicnnBfloat16,
    "minicnn_high": MinicnnHigh,
    "minicnn_medium": MinicnnMedium,
    "torch": Torch,
    "torch_channels_last": TorchChannelsLast,
    "torch_autocast": TorchAutocast,
    "torch_autocast_channels_last": TorchAutocastChannelsLast,
    "torch_compile": TorchCompile,
    "torchscript": TorchScript,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "openvino_bf16": OpenVinoBfloat16,
    "keras": Keras,
    "keras_xla": KerasXla,
    "sgemm": Sgemm,
}

# ---------------------------------------------------------------------------------------------------- installation


def installed_size(packages):
    """Bytes of the files of these packages, as far as they are installed, and of what they require."""
    waiting, seen, total = list(packages), set(), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system, or optional
            continue
        paths = [Path(package.locate_file(file)) for file in package.files or ()]
        total += sum(path.stat().st_size for path in paths if path.is_file())
        required = [text for text in package.requires or () if "extra ==" not in text]
        waiting += [re.match(r"[\w.-]+", text)[0] for text in required]
    return total


# -------------------------------------------------------------------------------------------------------- memory


def memory_use(field):
    """VmRSS (resident now) or VmHWM (the most that ever was) of this process in bytes; Linux only."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def return_freed_memory():
    """Give back to the system what imports have used and freed: it would hide what is allocated next (glibc only)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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
    parser.add_argument("case", choices=ALL_CASES)
    parser.add_argument("--data", required=True, help="an .npz file with x and y, see harness.write_data")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    reply = take_stdout()
    with np.load(options.data) as file:
        data = {name: scaled(file[name]) if name.startswith("x") else file[name] for name in file.files}
    try:
        trainer = LIBRARIES[options.library](ALL_CASES[options.case], data["x"], data["y"], options.threads)
    except ImportError as error:
        reply({"missing": str(error)})
        return
    if "x_test" in data:
        trainer.take_test_set(data["x_test"], data["y_test"])
    reply({"ready": trainer.describe()})
    for line in sys.stdin:
        command = json.loads(line)
        reply(getattr(trainer, command.pop("do"))(**command))


def scaled(images):
    """Pixels from 0 to 1 in float32, from those or from bytes."""
    return images if images.dtype == np.float32 else images.astype(np.float32) / np.float32(255)


def take_stdout():
    """A function that writes a line of JSON to stdout; what libraries print goes to stderr from now on."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(message):
        print(json.dumps(message), file=pipe, flush=True)

    return reply


if __name__ == "__main__":
    main()
