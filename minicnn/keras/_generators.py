"""How older Kerases told `fit_generator` and its like how much there is."""

from __future__ import annotations

import math
from typing import Any

from minicnn.keras._warning import warn_once

LOADING: dict[str, str] = dict.fromkeys(
    ("workers", "use_multiprocessing", "max_queue_size", "max_q_size", "nb_worker", "pickle_safe"), ""
)
"""Arguments on how data is loaded, which change nothing."""


def steps_of(old: str, generator: Any, steps: int | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with `steps`; `old` is the argument of Keras 1, which counted samples."""
    kwargs = {name: value for name, value in kwargs.items() if name not in LOADING}
    samples = kwargs.pop(old, None)
    return {**kwargs, "steps": _batches_of(generator, samples) if steps is None and samples is not None else steps}


def steps_for_samples(generator: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keras 1 counted samples where today's Keras counts batches."""
    kwargs = dict(kwargs)
    samples = kwargs.pop("samples_per_epoch", None)
    if samples is not None:
        warn_once("fit_generator(samples_per_epoch=…) counted samples: today steps_per_epoch counts batches")
        kwargs["steps_per_epoch"] = _batches_of(generator, samples)
    if kwargs.get("nb_val_samples") is not None:
        kwargs["validation_steps"] = _batches_of(kwargs.get("validation_data"), kwargs.pop("nb_val_samples"))
    return kwargs


def _batches_of(generator, samples):
    return -(-int(samples) // int(getattr(generator, "batch_size", 32)))


def whole_steps(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the next whole number for steps such as ``len(x) / 128``, as Keras 2 counted them."""
    for name in _STEPS & kwargs.keys():
        if isinstance(kwargs[name], float) and 0 < kwargs[name] < math.inf and not kwargs[name].is_integer():
            whole = math.ceil(kwargs[name])
            warn_once(
                f"{name}={kwargs[name]} is how an older Keras could be told: today it is {whole}, math.ceil of it"
            )
            kwargs = {**kwargs, name: whole}
    return kwargs


_STEPS = {"steps", "steps_per_epoch", "validation_steps"}
