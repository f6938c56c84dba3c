"""``minicnn benchmark``: images a second."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from minicnn import backends, networks
from minicnn.command_line.model_files import open_model
from minicnn.command_line.problems import Problem
from minicnn.console import say
from minicnn.layers import Input
from minicnn.models import Model, Sequential
from minicnn.threads import get_num_threads

LENET_SHAPE = (28, 28, 1)
OPEN_SIZE = 64  # pixels, where a model takes any


def benchmark(options: argparse.Namespace) -> int:
    """Measure training and recognition on random images, after a first batch that compiles."""
    model = _lenet5() if options.model is None else open_model(options.model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise Problem(
            f"a model with one input and one output can be measured; '{options.model}' has {len(model.inputs)} and "
            f"{len(model.outputs)}"
        )
    images = np.random.default_rng(0).random((options.batch_size, *_sizes(model)), np.float32)
    shape = "×".join(map(str, images.shape[1:]))
    say(f"model '{model.name}', {model.count_params():,} parameters, batches of {options.batch_size} images {shape}")
    say(f"backend {backends.current().name}, {get_num_threads()} threads")
    model.compile("adam", "mean_squared_error")  # its cost is the layers', whatever the targets
    targets = np.zeros_like(model.predict_on_batch(images))
    for name, run in (
        ("training", lambda: model.train_on_batch(images, targets)),
        ("recognition", lambda: model.predict_on_batch(images)),
    ):
        first, rate = _rate(run, options.seconds, len(images))
        say(f"{name:<12} {rate:>10,.0f} images a second (first batch, with compiling: {first:.2f} s)")
    return 0


def _lenet5() -> Model:
    return Sequential([Input(LENET_SHAPE), *networks.lenet5(LENET_SHAPE, 10)], name="lenet5")


def _sizes(model):
    return tuple(OPEN_SIZE if n is None else n for n in model.inputs[0].shape[1:])


def _rate(run: Callable[[], object], seconds: float, images: int) -> tuple[float, float]:
    """(seconds of the first run, images a second of the median run after it)."""
    start = time.perf_counter()
    run()
    first, times = time.perf_counter() - start, []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return first, images / float(np.median(times))
