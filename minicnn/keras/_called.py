"""The step that runs the `call` of a layer of one's own on arrays, and goes back through it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.checks import is_integer
from minicnn.differentiation import Recorded, gradients, met, value_of
from minicnn.errors import ShapeError
from minicnn.held import holding
from minicnn.keras._in_order import GrowingList
from minicnn.keras._initial_weights import calling
from minicnn.keras._last_function import Last, before, last_of, step_of
from minicnn.keras._state import recorded
from minicnn.keras._taped import weights_as
from minicnn.layers.added_loss import Measured, ToMeasure
from minicnn.layers.function_numbers import noting_counts, numbers_of
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import count_apart, shape_behind
from minicnn.metrics import Metric
from minicnn.nested import leaves, packed
from minicnn.on_host import assign, on_host
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.settings import floatx
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace

is_trial: ContextVar[bool] = ContextVar("is_trial", default=False)
"""Whether a `call` runs on zeros now, for the shape of what it gives: assertions of a script are of other numbers."""


def attributes_with_weights(layer: Any) -> dict[str, Any]:
    """Attributes that are weights of the layer's own, or lists and dicts of them, by name."""
    own = {name: value for name, value in vars(layer).items() if name != "_weights"}
    return {name: value for name, value in own.items() if any(isinstance(part, Weight) for part in leaves(value))}


class Called(Step):
    """What runs a layer's `call` on arrays, and goes back through it."""

    draws_anew = True

    def __init__(self, layer: Any, last: Last | None = None) -> None:
        self.layer: Any = layer
        self.last: Last | None = last  # the function at the end of `call` that is left to another step

    @property
    def has_penalty(self) -> bool:
        """Whether `call` adds a part of the loss, which shows when it is built."""
        return self.layer.adds_loss

    @property
    def weights(self) -> list[Weight]:
        return self.layer.weights

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer.name

    def build(self, input_shapes: Shapes) -> Shape:
        if hasattr(self.layer, "compute_output_spec"):
            with suppress(NotImplementedError):
                spec = self.layer.apply([Input(shape) for shape in input_shapes], by=self.layer.compute_output_spec)
                return tuple(spec.shape[1:])
        with noting_counts() as counts:
            try:
                return self._tried(input_shapes, count_apart(input_shapes))
            except (ValueError, IndexError):
                if len(counts) != 1 and (declared := self._declared(input_shapes)) is not None:
                    return declared
                if len(counts) != 1:  # else it draws numbers for so many samples, a batch of its author's
                    raise
        return self._tried(input_shapes, counts.pop())

    def _declared(self, input_shapes):
        """What the class's own `compute_output_shape` says, for a `call` that zeros are no data for; None if nothing.

        Parts of pictures that boxes in the data tell of (Girshick, "Fast R-CNN", 2015) have no size where all are 0.
        """
        own = getattr(type(self.layer), "compute_output_shape", None)
        if own is None or is_of_package(own):
            return None
        shapes = [(None, *shape) for shape in input_shapes]
        made = own(self.layer, shapes[0] if len(shapes) == 1 else shapes)
        if not isinstance(made, tuple | list) or not all(size is None or is_integer(size) for size in made):
            return None  # several outputs, which are told apart by a call alone
        vars(self.layer)["_last_function"] = input_shapes, None
        self.layer.output_form = None
        return tuple(made[1:])

    def _tried(self, input_shapes, count):
        """The shape of a sample of the result, for so many of zeros."""
        weights = {w.name: w.numpy() for w in self.weights}
        xs = [np.zeros((count, *shape), floatx()) for shape in input_shapes]
        with _trial_of(self.layer):
            result, *_, losses = self._run(xs, weights, False)
            vars(self.layer)["_last_function"] = input_shapes, self._last_of_both_phases(result, xs, weights)
        shape, self.layer.adds_loss = result.shape, bool(losses)
        if len(shape) == 0 or shape[0] != count:
            raise ShapeError(
                f"call of layer '{self.layer.name}' ({type(self.layer).__name__}) gives as many samples as it gets: "
                f"{count}. Received: shape {shape}"
            )
        return shape[1:]

    def _last_of_both_phases(self, result, xs, weights):
        """The function that gives the result, if it does so in training, too; else None."""
        if (last := last_of(result)) is None:
            return None
        in_training, place = None, Workspace(SimpleNamespace(), (), np.empty(0), training=True)
        with suppress(Exception), numbers_of(place):  # zeros may be no data to train with; the seeds are left alone
            in_training, *_ = self._run(xs, weights, True)
        return last if last == last_of(in_training) else None

    def shape_behind(self, input_shapes: Shapes) -> Shape:
        """The shape that `build` gives; None for sizes that depend on open ones.

        Raises
        ------
        ShapeError
            If several arrays have such sizes, as they stand in one row, which is cut at fixed places.
        """
        shape = shape_behind(self.build, input_shapes)
        if self.layer.output_form is not None and None in shape:
            raise ShapeError(
                f"call of layer '{self.name}' ({type(self.layer).__name__}) gives several arrays, whose sizes depend "
                "on one that is None: give the model's Input that size, or make a layer of its own for each of the "
                f"arrays. Received: inputs of shapes {[(None, *each) for each in input_shapes]}"
            )
        return shape

    def _run(self, xs, weights, training, place=None):
        """(result, recorded inputs, recorded weights by name, what `add_loss` was given)."""
        inputs = [_as_recorded(x) for x in xs]
        given = {w: weights[w.name] for w in self.weights}
        own = {w.name: x if isinstance(x, Recorded) else recorded(x, w) for w, x in given.items()}
        by_weight = {w: own[w.name] for w in self.weights}
        mine = attributes_with_weights(self.layer)
        options = {"training": training} if "training" in signature(self.layer.call).parameters else {}
        try:
            vars(self.layer).update({name: _recorded(value, by_weight) for name, value in mine.items()})
            with holding(calling, self.name), self.layer.collecting() as losses, weights_as(None):
                result = self.layer.apply(inputs, **options)
                losses = take_measured(self.layer, losses, place)
        finally:
            vars(self.layer).update(mine)
        result = self._as_one(result)
        if losses and result.ndim == 0:  # the loss that it adds: the same number for each sample
            result = np.ones((len(xs[0]), 1), result.dtype) * result  # (N, 1)
        return result, inputs, own, [np.sum(_as_recorded(loss)) for loss in losses]

    def _as_one(self, result):
        """The result as one array; of several, all numbers of a sample in a row, which the layer cuts again."""
        self.layer.output_form = None
        if not isinstance(result, tuple | list | dict):
            return _as_recorded(result)
        parts = [None if part is None else _as_recorded(part) for part in leaves(result)]
        if any(part is not None and part.ndim == 0 for part in parts):
            raise TypeError(
                f"call of layer '{self.layer.name}' ({type(self.layer).__name__}) gives arrays of samples, and None "
                "beside them, as it is made of no other layers: leave numbers in attributes. "
                f"Received: {[type(part).__name__ for part in leaves(result)]}"
            )
        self.layer.output_form = packed(result, [None if part is None else part.shape[1:] for part in parts])
        return np.concatenate([np.reshape(part, (len(part), -1)) for part in parts if part is not None], axis=1)

    def _check_owned(self):
        """Raise `TypeError` for an attribute that is a weight of another layer: it would not be trained from here."""
        own = set(self.weights)
        for part in leaves(list(attributes_with_weights(self.layer).values())):
            if isinstance(part, Weight) and part.trainable and part not in own:
                raise TypeError(
                    f"layer '{self.layer.name}' ({type(self.layer).__name__}) would compute with '{part.path}', a "
                    "weight of another layer, as with a constant, so that its part of the gradient is lost: one layer "
                    "has a weight, and is called wherever it is needed. Received: an attribute that is another "
                    "layer's weight"
                )

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if ws.training:
            self._check_owned()
        with numbers_of(ws):
            result, *others = self._run(xs, ws.params, ws.training, ws.stream)
        ws.record = self._without_last(result), *others
        assign(ws.y, ws.record[0].value)

    def of_recorded(self, xs: Sequence[Any], weights: Mapping[str, Any], training: bool) -> tuple[Any, list[Any]]:
        """What `call` gives of recorded arrays, on the tapes that they are on, and what it adds to the loss.

        Parameters
        ----------
        xs : sequence of array (N, …)
        weights : mapping
            Name → array.
        training : bool
        """
        result, _, _, losses = self._run(xs, weights, training)
        return self._without_last(result), losses

    def _without_last(self, result):
        """The result, or what stands before the function that another step computes."""
        if self.last is None:
            return result
        if last_of(result) != self.last:
            raise TypeError(
                f"call of layer '{self.layer.name}' ({type(self.layer).__name__}) ends in the same function whenever "
                f"it runs, as cross-entropies go on from before a {self.last.name}: return that of all numbers, or "
                f"none. Received: a result of another function than when the model was built"
            )
        return before(result)

    def penalty(self, ws: Workspace) -> float:
        return sum(float(loss.value) for loss in ws.record[3])

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        result, inputs, recorded, losses = ws.record
        names, of = list(recorded), [*inputs, *recorded.values()]
        parts = gradients(result, on_host(dy), of)
        for loss in losses:
            parts = [a + b for a, b in zip(parts, gradients(loss, np.ones_like(loss.value), of), strict=True)]
        for dx, part in zip(ws.dxs, parts, strict=False):
            if dx is not None:
                assign(dx, part)
        for name, part in zip(names, parts[len(inputs) :], strict=True):
            if ws.grads.get(name) is not None:
                assign(ws.grads[name], part)


def steps_of(layer: Any) -> list[Step]:
    """What runs a layer's `call`: the softmax or sigmoid at its end is a step of its own, which losses look behind."""
    shapes, last = vars(layer).get("_last_function", (None, None))
    if last is not None:
        Called(layer).build(shapes)  # attributes may be others now
        _, last = vars(layer)["_last_function"]
    if last is None or layer.compute_dtype != floatx():  # a cast hides it in Keras
        return [Called(layer)]
    return [Called(layer, last), step_of(last)]


def take_measured(layer: Any, added: Sequence[Any], place: int | None) -> list[Any]:
    """As `take_added`; metrics in a layer's attributes are kept for the logs, too."""
    losses = take_added(layer, added, place)
    shown = [measured.metric for measured in layer.measured.values()]
    for metric in metrics_of(layer):
        if not any(metric is other for other in shown):
            layer.measured = {**layer.measured, metric.name: (measured := Measured())}
            measured.metric = metric
    return losses


def take_added(layer: Any, added: Sequence[Any], place: int | None) -> list[Any]:
    """What `call` has added to the loss; what it has measured is kept for the logs.

    Parameters
    ----------
    layer : Layer
    added : list
        What `add_loss` and `add_metric` were given.
    place : int or None
        The number of the layer's place; None: it was tried out, and nothing counts.
    """
    for part in added:
        if isinstance(part, ToMeasure):
            if part.name not in layer.measured:
                layer.measured = {**layer.measured, part.name: Measured()}
            measured = layer.measured[part.name]
            measured.metric = part.metric
            if place is not None and part.metric is None:
                measured.put(place, np.asarray(value_of(met(part.value))))
    return [part for part in added if not isinstance(part, ToMeasure)]


_SEVERAL = (list, tuple, dict)


def metrics_of(layer):
    """The metrics in a layer's attributes, and in lists and dicts of them; what else these hold is not walked."""
    return metrics_in(vars(layer).values())


def metrics_in(values):
    """Those among values, and in lists and dicts of them."""
    found = []
    for value in values:
        if isinstance(value, Metric):
            found.append(value)
        elif isinstance(value, _SEVERAL):
            found += [
                part for part in (value.values() if isinstance(value, dict) else value) if isinstance(part, Metric)
            ]
    return found


@contextmanager
def _trial_of(layer) -> Iterator[None]:
    """Inside, `call` runs on zeros: of 0 / 0 nothing is said, and what metrics are told is forgotten afterwards."""
    states = [(metric, metric.get_state()) for metric in metrics_of(layer)]
    copies = copy.deepcopy([state for _, state in states])
    try:
        with holding(is_trial, True), np.errstate(all="ignore"):
            yield
    finally:
        for (metric, _), state in zip(states, copies, strict=True):
            metric.set_state(state)


def _as_recorded(value):
    return value if isinstance(value, Recorded) else Recorded(on_host(value))


def _recorded(value, recorded):
    """An attribute of a layer with recorded arrays in place of weights."""
    if isinstance(value, Weight):
        return recorded.get(value, value)
    if type(value) in (list, tuple, GrowingList):
        return type(value)(_recorded(part, recorded) for part in value)
    if type(value) is dict:
        return {key: _recorded(part, recorded) for key, part in value.items()}
    return value
