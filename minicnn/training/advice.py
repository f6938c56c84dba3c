"""Warnings about what is allowed and hardly meant: each once for a compiled model, from its layers or a few samples."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

import numpy as np

from minicnn import metrics
from minicnn.layers.contract import is_own
from minicnn.layers.kernel import KernelLayer
from minicnn.losses.crossentropy import ClassLoss, Crossentropy
from minicnn.losses.of_calls import has_call
from minicnn.own_parts import is_of_package, module_of
from minicnn.plan.program import lower
from minicnn.training.sources import ArraySource, Source
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.models.compilable import CompilableNetwork
    from minicnn.plan.program import Program
    from minicnn.training.engine import Engine

SAMPLES = 32  # of the data that are looked at
MOST_LABELS = 10_000_000
# What hands on its input's range, and what gives values that are no probabilities whatever it reads.
_POOLED = {f"{kind}{what}Pooling{rank}D" for kind in ("", "Global") for what in ("Average", "Max") for rank in (2, 3)}
_HAND_ON = {"Flatten", "Reshape", "Permute", "Dropout", "SpatialDropout2D", "SpatialDropout3D", "Add", "Average"}
_HAND_ON |= _POOLED | {"Concatenate"}
_UNBOUNDED = {"ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "GELU", "SiLU", "Swish", "Tanh", "BatchNormalization"}
_DROPOUTS = {"Dropout", "AlphaDropout", "GaussianDropout", *(f"SpatialDropout{rank}D" for rank in (1, 2, 3))}
_PROBABILITIES = ("sigmoid", "softmax")
_OF_CLASSES = {
    *("CategoricalAccuracy", "SparseCategoricalAccuracy"),
    *("TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy"),
}
_RANGES = {  # loss → what it expects, an activation that gives it, others that do
    "KLDivergence": ("probabilities", "softmax", ()),
    "Dice": ("probabilities", "sigmoid", ()),
    "Tversky": ("probabilities", "sigmoid", ()),
    "Poisson": ("rates above 0", "softplus", ("ReLU",)),
}
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
    program, compiled = lower(model.graph), model.compiled
    for loss, output, value in zip(compiled.losses, model.outputs, program.outputs, strict=True):
        last = _of_last_layers(program, value)
        of_loss = _of_loss(loss, program, value), _of_vectors(loss, output, program.shapes[value])
        for text in (last, *of_loss, _of_logits(loss, output, program, value)):
            if text is not None:
                warn_user(text)
    for of_output, value in zip(compiled.metrics, program.outputs, strict=False):
        for metric in of_output:
            if (text := _of_metric(metric, program, value)) is not None:
                warn_user(text)
    objects = [m for of_output in (*compiled.metrics, *compiled.weighted_metrics) for m in of_output]
    several = [m for m in objects if isinstance(m, metrics.Metric) and sum(m is other for other in objects) > 1]
    if several:
        warn_user(
            f"metric '{several[0].name}' is one object in several places, each of which counts by itself, and the "
            "object the last one: give each place an object of its own. Keras adds all of them up in the one"
        )


def _of_last_layers(program, value) -> str | None:
    """What is odd about the last activation whatever the loss is."""
    activation, writer = program.final_step(value), program.writer(value)
    if activation == "softmax" and program.shapes[value][-1:] == (1,):
        return (
            "a softmax over one value is always 1, so that nothing is learnt: for two classes use one unit with "
            "activation='sigmoid' and loss='binary_crossentropy', or two units"
        )
    if writer is not None and _is_dropout(writer):
        return (
            f"{type(writer.step).__name__} is the last layer, '{writer.layer_name}': in training it changes "
            "the outputs themselves at random; put it before the last layer with weights"
        )
    before = program.writer(writer.inputs[0]) if writer is not None and activation in _PROBABILITIES else None
    while before is not None and type(before.step).__name__ in _DROPOUTS | {"Flatten", "Reshape"}:
        before = program.writer(before.inputs[0])
    first = "" if before is None else program.final_step(before.output)
    if first not in _PROBABILITIES:
        return None
    return (
        f"the output goes through two activations, {first} and then {activation} ('{before.layer_name}', "
        f"'{writer.layer_name}'): the second one brings its probabilities close together; leave one out"
    )


def _is_dropout(place) -> bool:
    """Whether a place drops anything in training."""
    step = place.step
    return type(step).__name__ in _DROPOUTS and not is_own(step) and step.rate > 0 and place.training is not False


def _of_loss(loss, program, value) -> str | None:
    """What is odd about a loss and the range of the output."""
    name, activation = type(loss).__name__, program.final_step(value)
    if isinstance(loss, ClassLoss) and is_of_package(type(loss)):
        if program.shapes[value][-1:] == (1,):
            if activation == "softmax":  # which is said
                return None
            return (
                f"{name} is of classes, one value each, and the output has one value, so that nothing is learnt: for "
                "two classes loss='binary_crossentropy', with activation='sigmoid'"
            )
        # Of class numbers one is right, and the loss divides by the sum; columns may hold several 1.
        if activation == "sigmoid" and name == "CategoricalCrossentropy" and not loss.from_logits:
            return (
                f"{name} expects probabilities of classes of which one is right, and those of a sigmoid do not sum to "
                "1: give the last layer activation='softmax', or, where several classes may be right at once, the "
                "loss 'binary_crossentropy'"
            )
    if not isinstance(loss, Crossentropy) and name in _RANGES and _is_unbounded(program, value, _RANGES[name][2]):
        what, wanted, _ = _RANGES[name]
        return f"{name} expects {what}, and the last layer gives any numbers: give it activation='{wanted}'"
    if isinstance(loss, Crossentropy) and not loss.from_logits and _is_unbounded(program, value):
        wanted = "sigmoid" if name.startswith("Binary") else "softmax"
        return (
            f"{name} expects probabilities, and the last layer has no {wanted}: give it activation='{wanted}', or "
            f"the loss from_logits=True, as in loss=losses.{name}(from_logits=True)"
        )
    return None


def _of_vectors(loss, output, shape) -> str | None:
    """What Keras makes of outputs (N,) otherwise."""
    if shape or loss is None or has_call(loss) or loss.reduction not in ("sum", None):
        return None
    return (
        f"the output '{output.name}' has the shape (N,), and the loss reduction={loss.reduction!r}: here that goes "
        "over N samples, in Keras over their mean alone; keep the axis, x[:, :1] for x[:, 0], where both agree"
    )


def _of_logits(loss, output, program, value) -> str | None:
    """What from_logits=True means behind an activation."""
    activation = program.final_step(value)
    if not isinstance(loss, Crossentropy) or not loss.from_logits or activation not in _PROBABILITIES:
        return None
    if activation in loss.takes_logits_of:
        return (
            f"the loss has from_logits=True, but the output '{output.name}' ends in a {activation}. As in Keras, "
            f"the loss is computed from the values before it; predict and metrics see the values after it."
        )
    return (
        f"the loss has from_logits=True, but the output '{output.name}' ends in a {activation}. As in Keras, "
        f"{type(loss).__name__} then takes its sigmoid or softmax twice: leave from_logits=True or the "
        f"activation out"
    )


def _of_metric(metric, program, value) -> str | None:
    """What a metric says of every model with such an output."""
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):  # which goes by the output
        return None
    metric = metrics.get(metric)
    name, count = type(metric).__name__, (*program.shapes[value], 1)[len(program.shapes[value]) - 1]
    if not is_of_package(type(metric)):
        return None
    if count == 1 and name in _OF_CLASSES and not getattr(metric, "from_sorted_ids", False):
        return (
            f"{name} asks which of several outputs is the largest, and the model has one, which always is: use "
            "BinaryAccuracy(), or 'accuracy', which chooses by the output"
        )
    if name.endswith("TopKCategoricalAccuracy") and metric.k >= count and not metric.from_sorted_ids:
        return (
            f"{name} with k={metric.k} is always 1 where there are {count} classes: give it a smaller k, "
            f"{name}(k={max(1, min(2, count - 1))})"
        )
    if name == "Accuracy" and (program.final_step(value) in _PROBABILITIES or _is_unbounded(program, value)):
        return (
            "Accuracy() counts outputs that equal their targets exactly, and these are scores, which seldom do: use "
            "'accuracy', which chooses by the output, or BinaryAccuracy()"
        )
    return None


def _is_unbounded(program: Program, value: int, fitting: Container[str] = ()) -> bool:
    """Whether no path to a value comes from an activation that gives probabilities, or a layer that is not known.

    Activations in `fitting` give what is wanted, too.
    """
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        writer = program.writer(value)
        if writer is None or not module_of(type(writer.step)).startswith("minicnn.layers."):
            return False
        name = type(writer.step).__name__
        if name in fitting or (name == "ReLU" and writer.step.max_value is not None):
            return False
        if value in seen or name in _UNBOUNDED or isinstance(writer.step, KernelLayer):
            continue
        if name not in _HAND_ON:
            return False
        seen.add(value)
        waiting.extend(writer.inputs)
    return True


# ------------------------------------------------------------------------------------------------------- the weights


def training_engine(model: CompilableNetwork) -> Engine:
    """What trains a model, and a warning where that changes nothing: all weights are frozen, or there are none.

    Parameters
    ----------
    model : CompilableNetwork
        Built and compiled.
    """
    engine = model.training_engine()
    if not engine.segments and not model.has_own_steps:  # which may train what they like
        mend = "set layer.trainable = True, and call compile again, before it is trained"
        if not any(w.has_gradient for w in model.weights):
            mend = "give it a layer that has some, such as Dense"
        _once(model, f"the model does not have any trainable weights, so that training changes nothing: {mend}")
    return engine


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
