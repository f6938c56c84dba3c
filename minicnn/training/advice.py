"""Warnings about what is allowed and hardly meant: each once for a compiled model, from its layers or a few samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.layers.kernel import KernelLayer
from minicnn.losses.crossentropy import Crossentropy
from minicnn.own_parts import module_of
from minicnn.plan.program import lower
from minicnn.training.sources import ArraySource, Source
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork
    from minicnn.plan.program import Program

SAMPLES = 32  # of the data that are looked at
MOST_LABELS = 10_000_000
# What hands on its input's range, and what gives values that are no probabilities whatever it reads.
_HAND_ON = {"Flatten", "Reshape", "Permute", "Dropout", "SpatialDropout2D", "Add", "Average", "Concatenate"} | {
    f"{kind}{what}Pooling2D" for kind in ("", "Global") for what in ("Average", "Max")
}
_UNBOUNDED = {"ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "GELU", "SiLU", "Swish", "Tanh", "BatchNormalization"}
_SCALES = {"Rescaling", "Normalization", "BatchNormalization", "LayerNormalization", "GroupNormalization"}


def _once(model, text) -> None:
    if text not in model.advised:
        model.advised.add(text)
        warn_user(text)


# ------------------------------------------------------------------------------------------------------- the outputs


def about_outputs(model: CompilableNetwork) -> None:
    """Warn where an output's last activation and its loss hardly belong together.

    Parameters
    ----------
    model : CompilableNetwork
        Built and compiled.
    """
    program = lower(model.graph)
    for loss, output, value in zip(model.compiled.losses, model.outputs, program.outputs, strict=True):
        activation = program.final_step(value)
        if activation == "softmax" and program.shapes[value][-1:] == (1,):
            warn_user(
                "a softmax over one value is always 1, so that nothing is learnt: for two classes use one unit with "
                "activation='sigmoid' and loss='binary_crossentropy', or two units"
            )
        if not isinstance(loss, Crossentropy):
            continue
        if loss.from_logits and activation in ("sigmoid", "softmax") and activation not in loss.takes_logits_of:
            warn_user(
                f"the loss has from_logits=True, but the output '{output.name}' ends in a {activation}. As in Keras, "
                f"{type(loss).__name__} then takes its sigmoid or softmax twice: leave from_logits=True or the "
                f"activation out"
            )
        if loss.from_logits and activation in loss.takes_logits_of:
            warn_user(
                f"the loss has from_logits=True, but the output '{output.name}' ends in a {activation}. As in Keras, "
                f"the loss is computed from the values before it; predict and metrics see the values after it."
            )
        if not loss.from_logits and _is_unbounded(program, value):
            name = type(loss).__name__
            wanted = "sigmoid" if name.startswith("Binary") else "softmax"
            warn_user(
                f"{name} expects probabilities, and the last layer has no {wanted}: give it activation='{wanted}', or "
                f"the loss from_logits=True, as in loss=losses.{name}(from_logits=True)"
            )


def _is_unbounded(program: Program, value: int) -> bool:
    """Whether no path to a value comes from an activation that gives probabilities, or a layer that is not known."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        writer = program.writer(value)
        if writer is None or not module_of(type(writer.step)).startswith("minicnn.layers."):
            return False
        name = type(writer.step).__name__
        if name == "ReLU" and writer.step.max_value is not None:
            return False
        if value in seen or name in _UNBOUNDED or isinstance(writer.step, KernelLayer):
            continue
        if name not in _HAND_ON:
            return False
        seen.add(value)
        waiting.extend(writer.inputs)
    return True


# ---------------------------------------------------------------------------------------------------------- the data


def before_fit(model: CompilableNetwork, source: Source, validation: Source | None, is_split: bool) -> None:
    """Warn about unscaled pictures, validation data of another scale, and a split of sorted labels.

    Parameters
    ----------
    model : CompilableNetwork
        Built and compiled.
    source, validation : Source
        What `fit` trains on; what it validates on.
    is_split : bool
        Whether `validation` is the end of the training data.
    """
    model.scale_seen = []
    if model.has_own_steps:  # which may mean anything by their data
        return
    _with_inputs(source, lambda inputs: _about_scale(model, inputs, validation))
    if is_split and isinstance(validation, ArraySource):
        for loss, first, last in zip(model.compiled.losses, source.targets, validation.targets, strict=False):
            if isinstance(loss, Crossentropy) and _are_sorted(loss, first, last):
                _once(
                    model,
                    "validation_split takes the end of the data, and its labels are in order: the classes there are "
                    "other ones than those at the beginning; shuffle x and y with one permutation first",
                )


def _with_inputs(source, look):
    """Call ``look(inputs)``: now with arrays, or with a generator's first batch when it comes."""
    if isinstance(source, ArraySource):
        look(source.inputs)
    else:
        source.when_first = lambda batch: look(batch.inputs)


def _about_scale(model, inputs, validation):
    """Remember the scale of what `fit` sees; warn if it is hardly meant, or not that of the validation data."""
    model.scale_seen = [scale_of(array) for array in inputs]
    if "pixels" in model.scale_seen and type(model.compiled.optimizer).__name__ == "SGD" and not _scales(model):
        _once(
            model,
            "the pictures hold values up to 255, with which SGD seldom trains: scale them, x / 255.0, or begin the "
            "model with layers.Rescaling(1 / 255)",
        )
    before_use(model, validation)


def before_use(model: CompilableNetwork, source: Source | None) -> None:
    """Warn about data of another scale than `fit` saw: pixels up to 255 in place of numbers up to 1, or the reverse."""
    if source is not None and model.scale_seen:
        _with_inputs(source, lambda inputs: _compare_scale(model, inputs))


def _compare_scale(model, inputs):
    texts = {
        ("unit", "pixels"): "fit saw values up to 1, and these go up to 255: scale them in the same way, x / 255.0",
        ("pixels", "unit"): "fit saw values up to 255, and these go up to 1: scale them in the same way",
    }
    for seen, array in zip(model.scale_seen, inputs, strict=True):
        if seen is not None and (text := texts.get((seen, scale_of(array)))):
            _once(model, text)


def scale_of(array: np.ndarray) -> str | None:
    """ "pixels" for whole numbers up to 255, "unit" for numbers from -1 to 1, None for others; of the first samples."""
    if not isinstance(array, np.ndarray):  # data in a file are read batch by batch
        return None
    sample = array[:SAMPLES]  # (n, …)
    if sample.size < 64 * len(sample) or sample.dtype.kind not in "uif":  # hardly pictures
        return None
    lowest, highest = sample.min(), sample.max()
    is_whole = sample.dtype.kind != "f" or bool((sample == np.floor(sample)).all())
    if is_whole:
        return "pixels" if lowest >= 0 and 100 < highest <= 255 else None
    return "unit" if lowest >= -1 and highest <= 1 else None


def _scales(model) -> bool:
    """Whether a layer brings its input to another scale, or might, since it is not the library's."""
    layers = [place.step for place in lower(model.graph).places]
    return any(type(s).__name__ in _SCALES or not module_of(type(s)).startswith("minicnn.layers.") for s in layers)


def _are_sorted(loss, first, last) -> bool:
    """Whether class numbers are in order, or most of the last ones do not occur among the first."""
    first, last = (_classes(loss, target) for target in (first, last))
    if first is None or len(first) + len(last) > MOST_LABELS:
        return False
    labels = np.concatenate([first, last])
    if len(labels) < 20 or len(np.unique(labels)) < 2:
        return False
    steps = np.diff(labels)
    return bool((steps >= 0).all() or (steps <= 0).all() or np.isin(last, first, invert=True).mean() > 0.5)


def _classes(loss, target) -> np.ndarray | None:
    """The class of each sample, if it has one and is in memory."""
    if not isinstance(target, np.ndarray):
        return None
    if target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1):
        return target.reshape(-1)
    is_one_hot = type(loss).__name__ == "CategoricalCrossentropy" and target.ndim == 2
    return target.argmax(axis=-1) if is_one_hot else None
