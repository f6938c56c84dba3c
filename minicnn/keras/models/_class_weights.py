"""Weights of classes for each of several outputs, which Keras 1 and 2 took: they are weights of samples today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np

from minicnn.keras._warning import warn_once
from minicnn.training.class_weights import with_class_weight


class WeighingOutputs:
    """Methods that take a `class_weight` for each output: a list of dicts, or a dict of them by the outputs' names."""

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        each = kwargs.get("class_weight")
        if not _is_by_output(each):
            return super().fit(x, y, *args, **kwargs)  # type: ignore[misc]
        kwargs = {**kwargs, "class_weight": None}
        if y is not None:
            kwargs["sample_weight"] = _of_samples(self, y, kwargs.get("sample_weight"), each)
        elif hasattr(x, "__next__"):
            x = _weighted(self, x, each)
        else:
            raise ValueError(
                "class_weight for each of several outputs is taken beside arrays and generators: a data set or a "
                f"Sequence gives (x, y, sample_weight) instead. Received: x of type {type(x).__name__}"
            )
        return super().fit(x, y, *args, **kwargs)  # type: ignore[misc]

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if _is_by_output(class_weight):
            sample_weight, class_weight = _of_samples(self, y, sample_weight, class_weight), None
        return super().train_on_batch(x, y, sample_weight, class_weight, *args, **kwargs)  # type: ignore[misc]


def _is_by_output(each):
    """Whether it is a list, or a dict by names, and not one from classes to weights."""
    if isinstance(each, Mapping):
        return any(isinstance(name, str) and not isinstance(part, Real) for name, part in each.items())
    return isinstance(each, list | tuple) and all(part is None or isinstance(part, Mapping) for part in each)


def _weighted(model, batches, each) -> Iterator[Any]:
    """The batches of a generator with the weights of samples that those of classes come to."""
    for x, y, *weights in batches:
        yield x, y, _of_samples(model, y, weights[0] if weights else None, each)


def _of_samples(model, targets, weights, each):
    """The weights of samples, one array (N,) or None for each output; for one output that array alone."""
    warn_once("class_weight for each of several outputs is of Keras 1 and 2: today they are weights of samples")
    names = list(model.output_names)
    listed = [_by_name("class_weight", each, names), _by_name("y", targets, names)]
    made = [
        with_class_weight(w, factors, [np.asarray(y)], tensor.shape)
        for factors, y, w, tensor in zip(*listed, _by_name("sample_weight", weights, names), model.outputs, strict=True)
    ]
    filled = [np.ones(len(y)) if w is None else w for w, y in zip(made, listed[1], strict=True)]
    return filled if len(filled) > 1 else filled[0]


def _by_name(argument, values, names):
    """A list with one value for each output, None for one that a dict or None leaves out."""
    if values is None:
        return [None] * len(names)
    if isinstance(values, Mapping):
        unknown = [name for name in values if name not in names]
        if unknown:
            raise ValueError(f"{argument} is by the names of outputs, {names}. Received: {unknown}")
        return [values.get(name) for name in names]
    values = values if (isinstance(values, list | tuple) and len(names) > 1) or argument == "class_weight" else [values]
    if len(values) != len(names):
        raise ValueError(f"{argument} of {len(names)} outputs is a list of as many. Received: {len(values)}")
    return list(values)
