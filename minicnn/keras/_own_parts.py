"""Layers and metrics as users write them for Keras: `build` and `call`, `update_state` with variables of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from inspect import signature
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minicnn import constraints, initializers, layers, metrics, models
from minicnn.differentiation import Recorded, gradients
from minicnn.errors import ShapeError
from minicnn.graph import Node, Tensor
from minicnn.keras._eager import eagerly
from minicnn.keras._own_weights import standing_in
from minicnn.keras._shapes import TensorShape
from minicnn.keras._translation import Translated
from minicnn.layers.added_loss import with_losses
from minicnn.layers.function_numbers import numbers_of
from minicnn.layers.input import Input
from minicnn.layers.open_sizes import shape_behind
from minicnn.nested import leaves
from minicnn.parameters import Weight
from minicnn.settings import floatx
from minicnn.step import Arrays, Shape, Shapes, Step, Workspace


class _Made(models.Model):
    """The graph of a layer whose `call` is made of other layers."""

    def __init__(self, layer):
        self.parts = layer.parts()
        call = wraps(layer.call)(partial(self._call_of, layer))
        self.call = call if layer.activity_regularizer is None else _penalized(layer, call)
        super().__init__(name=layer.name)

    def _call_of(self, layer, inputs, **options):
        """The layer's `call`, whose losses are the model's."""
        with own_weights(layer), layer.collecting() as losses:
            outputs = layer.call(inputs, **options)
        if losses:
            self.add_loss(losses)
        return outputs


def _attributes_with_weights(layer):
    """Attributes that are weights of the layer's own, or lists and dicts of them, by name."""
    own = {name: value for name, value in vars(layer).items() if not name.startswith("_")}
    return {name: value for name, value in own.items() if any(isinstance(part, Weight) for part in leaves(value))}


@contextmanager
def own_weights(layer: layers.Layer) -> Iterator[None]:
    """Inside, weights of the layer's own can be computed with in a `call` that makes a graph, which trains them."""
    mine = _attributes_with_weights(layer)
    vars(layer).update({name: standing_in(value, _Using) for name, value in mine.items()})
    try:
        yield
    finally:
        vars(layer).update(mine)


def _penalized(layer, given):
    """A layer's `call`, and behind it the penalty on what it gives."""

    @wraps(given)
    def call(*args: Any, **kwargs: Any) -> Any:
        return layers.Activation("linear", activity_regularizer=layer.activity_regularizer)(given(*args, **kwargs))

    return call


class Layer(layers.Layer, metaclass=Translated):
    """Base of layers of one's own: minicnn's `Layer`, which has `forward` and `backward`, or Keras's, which has `call`.

    `call` may be made of other layers, which are attributes; or it computes with weights of its own, operators, NumPy's
    functions and those of `keras.ops`, which are differentiated.
    """

    core_class = layers.Layer
    input_count: int | None = None
    __call__ = eagerly(layers.Layer.__call__)
    adds_loss: bool = False  # whether `call` does, on arrays
    _added_losses: list[Any] | None = None  # while `call` runs

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in ("dynamic", "autocast"):
            kwargs.pop(name, None)
        super().__init__(*args, **kwargs)

    def build(self, input_shape: Any) -> Any:
        """Nothing is to be made for a layer without weights."""
        return input_shape

    def add_weight(self, *args: Any, **kwargs: Any) -> Weight:
        """Declare a weight with Keras's arguments, in the order of Keras 2 (name first) or 3 (shape first)."""
        order = ("shape", "initializer") if args and not isinstance(args[0], str | None) else ("name", "shape")
        given = {**dict(zip(order, args, strict=False)), **kwargs}
        if given.pop("trainable", True) is False:
            given["has_gradient"] = False
        if "constraint" in given:
            given["constraint"] = constraints.get(given["constraint"])
        for name in ("aggregation", "synchronization", "use_resource", "autocast", "dtype"):
            given.pop(name, None)
        name = given.pop("name", None) or f"weight_{len(self._weights)}"
        initializer = given.pop("initializer", None) or "glorot_uniform"
        kept = {name: vars(self)[name]} if name in vars(self) else {}  # an attribute that happens to be called so
        weight = super().add_weight(name, given.pop("shape", ()), initializer, **given)
        vars(self).update(kept)
        return weight

    def add_loss(self, losses: Any, **options: Any) -> None:
        """In `call`: make what was computed a part of the model's loss; of an array, its mean.

        Raises
        ------
        RuntimeError
            Outside of `call`.
        """
        if self._added_losses is None:
            raise RuntimeError(
                f"add_loss of layer '{self.name}' belongs into its call, which computes the loss; penalties on weights "
                f"are the regularizer= of add_weight. Received: {losses!r}"
            )
        self._added_losses.extend(losses if isinstance(losses, list | tuple) else [losses])

    def add_metric(self, value: Any, *args: Any, **options: Any) -> None:
        """Keras 2's method, which is not there; the error says what is."""
        models.Model.add_metric(self, value)

    @contextmanager
    def collecting(self) -> Iterator[list[Any]]:
        """Inside, `add_loss` fills the list."""
        before, self._added_losses = self._added_losses, []
        try:
            yield self._added_losses
        finally:
            self._added_losses = before

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """A place for the layer; for one whose `call` uses a model's tensors beside its inputs, its operations."""
        try:
            return super().call_symbolically(tensors, training)
        except TypeError:
            if not hasattr(self, "call") or self.parts() or self._weights:
                raise
            with self.collecting() as losses:
                result = self.call(list(tensors) if len(tensors) > 1 else tensors[0])
            if not isinstance(result, Tensor):
                raise
            self._built = True
            return with_losses(result, losses).node

    def parts(self) -> list[layers.Layer]:
        """The layers in attributes, and in lists and dicts of them."""
        values = [v for name, v in vars(self).items() if name not in ("activation", "_made", "nodes")]
        return list(dict.fromkeys(v for value in values for v in leaves(value) if isinstance(v, layers.Layer)))

    def build_for(self, input_shapes: Shapes) -> list[Shape]:
        if not hasattr(self, "call"):
            return super().build_for(input_shapes)
        shapes = [TensorShape((None, *shape)) for shape in input_shapes]
        if not self._built:
            self.build(shapes if len(shapes) > 1 else shapes[0])
        if self.parts():  # maybe made there
            return self._composed(input_shapes)
        self._built = True
        return [shape_behind(_Called(self).build, input_shapes)]

    def _composed(self, input_shapes):
        """The output shapes of a layer of layers, whose graph is made once."""
        if self.graph is None:
            self._made = _Made(self)
            inputs = [Input(shape) for shape in input_shapes]
            self._made._trace(inputs if len(inputs) > 1 else inputs[0])
            self.graph = self._made.graph
            self._built = True
        return self._made.build_for(input_shapes)

    @property
    def built(self) -> bool:
        """Whether `build` is done; Keras's users write ``self.built = True`` at its end."""
        return self._built

    @built.setter
    def built(self, value: bool) -> None:
        self._built = bool(value)

    @property
    def weights(self) -> list[Weight]:
        """All weights, trainable ones first; of a layer of layers, those that there are."""
        if self.graph is None:
            return list(dict.fromkeys([*super().weights, *(w for part in self.parts() for w in part.weights)]))
        return self._made.weights

    @property
    def layers(self) -> list[layers.Layer]:
        """Those that the layer is made of."""
        return [] if self.graph is None else self._made.layers

    def named_weights(self) -> dict[str, Weight]:
        """ "layer/weight" → Weight, of a layer of layers."""
        return self._made.named_weights()

    def lower(self) -> list[Step]:
        return [_Called(self)] if hasattr(self, "call") else super().lower()

    def call_on_arrays(self, arrays: Sequence[Any], training: bool) -> Any:
        if hasattr(self, "call"):
            self.build_for(tuple(np.shape(a)[1:] for a in arrays))
        if self.graph is not None:
            return self._made.call_on_arrays(arrays, training)
        return super().call_on_arrays(arrays, training)


class _Called(Step):
    """What runs a layer's `call` on arrays, and goes back through it."""

    draws_anew = True

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

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
        weights = {w.name: w.numpy() for w in self.weights}
        xs = [np.zeros((2, *shape), floatx()) for shape in input_shapes]
        result, *_, losses = self._run(xs, weights, False)
        shape, self.layer.adds_loss = result.shape, bool(losses)
        if len(shape) == 0 or shape[0] != 2:
            raise ShapeError(
                f"call of layer '{self.layer.name}' ({type(self.layer).__name__}) gives as many samples as it gets: 2. "
                f"Received: shape {shape}"
            )
        return shape[1:]

    def _run(self, xs, weights, training):
        """(result, recorded inputs, recorded weights by name, what `add_loss` was given)."""
        if not all(isinstance(x, np.ndarray) for x in xs):
            raise TypeError(f"layer '{self.layer.name}' is a function on arrays: compile(backend='numba') runs it")
        inputs = [Recorded(x) for x in xs]
        recorded = {name: Recorded(value) for name, value in weights.items()}
        mine = _attributes_with_weights(self.layer)
        options = {"training": training} if "training" in signature(self.layer.call).parameters else {}
        try:
            vars(self.layer).update({name: _recorded(value, recorded) for name, value in mine.items()})
            with self.layer.collecting() as losses:
                result = self.layer.call(inputs if len(inputs) > 1 else inputs[0], **options)
        finally:
            vars(self.layer).update(mine)
        return _as_recorded(result), inputs, recorded, [np.mean(_as_recorded(loss)) for loss in losses]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        with numbers_of(ws):
            ws.record = self._run(xs, ws.params, ws.training)
        ws.y[...] = ws.record[0].value

    def penalty(self, ws: Workspace) -> float:
        return sum(float(loss.value) for loss in ws.record[3])

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        result, inputs, recorded, losses = ws.record
        names, of = list(recorded), [*inputs, *recorded.values()]
        parts = gradients(result, dy, of)
        for loss in losses:
            parts = [a + b for a, b in zip(parts, gradients(loss, np.ones_like(loss.value), of), strict=True)]
        for dx, part in zip(ws.dxs, parts, strict=False):
            if dx is not None:
                dx[...] = part
        for name, part in zip(names, parts[len(inputs) :], strict=True):
            if ws.grads.get(name) is not None:
                ws.grads[name][...] = part


class _Using(Layer):
    """A function of weights of another layer's, and of tensors.

    Parameters
    ----------
    weights : dict of Weight
        By name.
    function : callable
        Of a dict of arrays in place of the weights, and a list of the tensors' arrays.
    """

    def __init__(self, weights: Any, function: Any) -> None:
        super().__init__()
        self._weights, self.own, self.function = weights, dict(weights), function

    def call(self, inputs: Any) -> Any:
        """The function's value."""
        return self.function(self.own, inputs if isinstance(inputs, list) else [inputs])


def _as_recorded(value):
    return value if isinstance(value, Recorded) else Recorded(value)


def _recorded(value, recorded):
    """An attribute of a layer with recorded arrays in place of weights."""
    if isinstance(value, Weight):
        return recorded.get(value.name, value)
    if type(value) in (list, tuple):
        return type(value)(_recorded(part, recorded) for part in value)
    if type(value) is dict:
        return {key: _recorded(part, recorded) for key, part in value.items()}
    return value


class Variable(NDArrayOperatorsMixin):
    """A number or an array that a metric keeps.

    Parameters
    ----------
    value : array-like
    """

    def __init__(self, value: Any) -> None:
        self.value: np.ndarray = np.array(value, np.float64)

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)

    def assign(self, value: Any) -> None:
        """Set it."""
        self.value = np.broadcast_to(np.asarray(value, np.float64), self.value.shape).copy()

    def assign_add(self, value: Any) -> None:
        """Add to it."""
        self.assign(self.value + value)

    def assign_sub(self, value: Any) -> None:
        """Subtract from it."""
        self.assign(self.value - value)

    def numpy(self) -> np.ndarray:
        """The array."""
        return self.value

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return np.asarray(self.value, *args, **kwargs)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*(x.value if isinstance(x, Variable) else x for x in inputs), **kwargs)

    def __float__(self) -> float:
        return float(self.value)


class Metric(metrics.Metric, metaclass=Translated):
    """Base of metrics of one's own: minicnn's `Metric`, or Keras's with `add_weight`, `update_state` and `result`."""

    core_class = metrics.Metric
    on_device = False
    variables: list[Variable] = []  # noqa: RUF012 (in the place of a property; every metric gets a list of its own)

    def __init__(self, name: str | None = None, dtype: str | None = None, **options: Any) -> None:
        self.variables = []
        self._is_new = True  # a `reset_state` that is written for variables comes too early now
        super().__init__(name, dtype, **options)
        self._is_new = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "reset_states" in vars(cls) and "reset_state" not in vars(cls):  # its name in Keras 2
            cls.reset_state = vars(cls)["reset_states"]
        if "reset_state" in vars(cls):
            own = vars(cls)["reset_state"]
            cls.reset_state = lambda self: None if self._is_new else own(self)

    def add_weight(self, *args: Any, **kwargs: Any) -> Variable:
        """A variable that `reset_state` sets back to 0; arguments in the order of Keras 2 (name first) or 3."""
        order = ("name", "shape", "initializer") if not args or isinstance(args[0], str) else ("shape", "initializer")
        given = {**dict(zip(order, args, strict=False)), **kwargs}
        shape, initializer = tuple(given.get("shape", ())), given.get("initializer") or "zeros"
        variable = Variable(np.ones(shape) if initializer == "ones" else np.zeros(shape))
        if initializer not in ("zeros", "ones"):
            variable.assign(initializers.get(initializer)(shape))
        self.variables.append(variable)
        return variable

    add_variable = add_weight

    def reset_state(self) -> None:
        """Forget all batches."""
        super().reset_state()
        for variable in self.variables:
            variable.assign(0)
