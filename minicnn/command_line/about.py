"""``minicnn info FILE`` and ``minicnn devices``."""

from __future__ import annotations

import argparse
import platform

from minicnn import __version__, backends
from minicnn.command_line.model_files import open_model
from minicnn.console import say
from minicnn.processors import cpu_quota, most_threads
from minicnn.threads import get_num_threads


def info(options: argparse.Namespace) -> int:
    """Print what a model file holds."""
    model = open_model(options.file)
    size = options.file.stat().st_size
    say(f"{options.file}: model '{model.name}', {model.count_params():,} parameters, {size:,} bytes")
    say(f"input {model.input_shape}, output {model.output_shape}")
    if model.class_names is not None:
        say(f"classes ({len(model.class_names)}): {', '.join(model.class_names)}")
    if model.preprocessing is not None:
        parts = model.preprocessing.get_config().items()
        say("preprocessing: " + ", ".join(f"{name} {value}" for name, value in parts))
    if model.history is not None and model.history.epoch:
        last = {name: values[-1] for name, values in model.history.history.items() if values}
        figures = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if isinstance(value, int | float))
        say(f"trained for {len(model.history.epoch)} epochs; the last one: {figures}")
    model.summary()
    return 0


def devices(options: argparse.Namespace) -> int:
    """Print processors, threads, and the backends that can be used; * marks the one that is."""
    say(f"minicnn {__version__}, Python {platform.python_version()}, {platform.system()} on {platform.machine()}")
    quota = cpu_quota()
    limit = "" if quota is None else f", of whose time {quota:g} may be used"
    say(f"{most_threads()} processors{limit}; {get_num_threads()} threads compute")
    backends.info()
    return 0
