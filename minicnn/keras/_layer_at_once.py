"""Layers of layers whose `call` needs the number of samples, so that symbolic tensors give no graph: run on arrays.

So are the models around them, by `minicnn.keras.models._at_once`; tapes go back through the layers inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.differentiation import met
from minicnn.errors import ShapeError
from minicnn.keras._called import take_measured
from minicnn.keras._composed import leave_sizes_open
from minicnn.keras._eager import eager
from minicnn.keras._missing import NotInMinicnn
from minicnn.keras._taped import is_recording
from minicnn.layers import function_numbers
from minicnn.layers.open_sizes import all_fit
from minicnn.settings import floatx

_UNTRACED = (NotInMinicnn, NotImplementedError, TypeError, ValueError)


def problem_of(layer: Any, arrays: Sequence[Any]) -> Exception | None:
    """Why the `call` of a layer gives no graph for arrays (N, …), also recorded ones; None if it does or needs none."""
    if not layer.has_call:
        return None
    shapes = [np.shape(x)[1:] for x in arrays]
    if layer.graph is not None:
        return _other_sizes(layer, shapes)
    if "_why_no_graph" not in vars(layer):
        if not layer.parts():
            layer._build_once(tuple(shapes))
            layer.built = True
        if not layer.parts():  # made there
            return _counts_that_differ(layer, arrays)
        try:
            layer.build_for(tuple(shapes))
        except _UNTRACED as problem:
            vars(layer)["_why_no_graph"] = problem
    return vars(layer).get("_why_no_graph")


def _counts_that_differ(layer, arrays):
    """A ShapeError for arrays that are not all of as many samples, where a tape records: weights, made by a network."""
    counts = [np.shape(x)[:1] for x in arrays]
    if counts.count(counts[0]) == len(counts) or not is_recording():
        return None
    return ShapeError(
        f"layer '{layer.name}' is called on arrays that are not all of as many samples, and its call takes none such. "
        f"Received: shapes {[np.shape(x) for x in arrays]}"
    )


def _other_sizes(layer, shapes):
    """A ShapeError for sizes that the layer's graph is not for, and which could not be left open."""
    if not all_fit(shapes, [t.shape[1:] for t in layer.graph.inputs]):
        leave_sizes_open(layer, shapes, or_known=False)
    known = [t.shape[1:] for t in layer.graph.inputs]
    if all_fit(shapes, known):
        return None
    return ShapeError(f"layer '{layer.name}' takes inputs of shapes {tuple(known)}. Received: {tuple(shapes)}")


def run(layer: Any, arrays: Sequence[Any], training: bool, problem: Exception) -> Any:
    """What `call` gives of arrays, recorded ones, too; if it fails there, too, `problem` is raised from that.

    Parameters
    ----------
    layer : Layer
    arrays : sequence of array (N, …)
    training : bool
        Whether the layers inside act as in training, unless they are told.
    problem : Exception
    """
    options = {"training": training} if "training" in signature(layer.call).parameters else {}
    parts = layer.parts() if training else []
    before = [vars(part).get("acts_on_arrays") for part in parts]
    for part in parts:
        vars(part)["acts_on_arrays"] = True
    try:
        with layer.collecting() as added, function_numbers.in_phase(training):
            made = eager(layer.apply([_given(x) for x in arrays], **options))
    except _UNTRACED as error:
        raise problem from error
    finally:
        for part, value in zip(parts, before, strict=True):
            vars(part).pop("acts_on_arrays") if value is None else vars(part).update(acts_on_arrays=value)
    losses = [np.sum(met(loss)) for loss in take_measured(layer, added, 0)]
    vars(layer)["_runs"] = SimpleNamespace(graph=None, added=losses)  # where the losses of a call are looked for
    return made


def _given(x):
    """An array, floats with the precision of models; what is on tapes as it is."""
    return eager(x.astype(floatx()) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x)
