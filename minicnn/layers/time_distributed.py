"""A layer, or a model, that is called on each of several frames: `TimeDistributed`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.errors import DataError, ShapeError
from minicnn.graph import Graph, Node, Tensor
from minicnn.hints import LayerOptions
from minicnn.layers import given
from minicnn.layers.activations import Activation
from minicnn.layers.activity import with_penalty
from minicnn.layers.base import Examples, Layer, get
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense
from minicnn.layers.flatten import Flatten
from minicnn.layers.input import InputLayer
from minicnn.layers.merge import Concatenate
from minicnn.layers.normalization import BatchNormalization
from minicnn.layers.open_sizes import goes_by_sizes, has_open, of_sizes
from minicnn.layers.pipeline import Pipeline
from minicnn.layers.random_mixing import Mixing
from minicnn.layers.slicing import GetItem
from minicnn.own_parts import is_of_package
from minicnn.parameters import Weight
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.onnx.writer import GraphWriter, Value

__all__ = ["TimeDistributed"]


class TimeDistributed(Layer):
    """A layer that is called on each frame of a sample, with the same weights: of videos, and other series of arrays.

    y[n, t] = layer(x[n, t]). Frames are computed together, as so many samples. Where a layer in it goes by the whole
    batch in training, as `BatchNormalization` does that is trainable, and where it is a user's, it is called for one
    frame after the other, as in Keras: each frame's batch has a mean and a variance of its own, and each of them moves
    the averages.

    Parameters
    ----------
    layer : Layer
        With one input and one output; a model, too; or its configuration.

    Raises
    ------
    TypeError
        If `layer` is no layer.
    ShapeError
        When it is built, if samples have no axis of frames and another one behind it, or if their number is open where
        a layer goes by the whole batch.

    Notes
    -----
    Input (N, T, …), output (N, T, …), each frame as `layer` gives it. The number of frames T may be open, None.
    Weights: those of `layer`. Keras's argument `mask` is not there.
    """

    def __init__(self, layer: Layer | Mapping[str, Any], **kwargs: Unpack[LayerOptions]) -> None:
        if not isinstance(layer, Layer | Mapping):
            raise TypeError(f"TimeDistributed wraps a layer, which each frame goes through. Received: layer={layer!r}")
        self.layer: Layer = get(layer)
        self._graphs: dict[int | None, Graph] = {}  # by how many frames are computed one after the other
        self._shape: Shape | None = None
        super().__init__(**kwargs)
        self._look_inside()

    def _look_inside(self):
        vars(self)["holds_code"] = any(layer.holds_code for layer in _layers_in(self.layer))

    def refuse_files(self) -> None:
        """Raise the error of the first layer in it that no file may name."""
        for layer in _layers_in(self.layer):
            if layer.holds_code:
                layer.refuse_files()  # type: ignore[attr-defined]

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change the weights; setting it sets that of `layer`."""
        return vars(self)["_is_trainable"]

    @trainable.setter
    def trainable(self, value: bool) -> None:
        own = None if "_is_trainable" in vars(self) else self.layer.trainable  # before the constructor has set it
        if own is None or not value:
            self.layer.trainable = value
        vars(self).update(_is_trainable=value, _layer_is_trainable=None if value else own)

    @property
    def weights(self) -> list[Weight]:
        """Those of `layer`."""
        return self.layer.weights

    def named_weights(self) -> dict[str, Weight]:
        """Name → weight; of a model "layer/weight"."""
        has_own = self.layer.graph is not None
        return self.layer.named_weights() if has_own else {w.name: w for w in self.weights}  # type: ignore[attr-defined]

    # ------------------------------------------------------------------------------------------------------- building

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = input_shapes
        if len(shape) < 2:
            raise ShapeError(
                "TimeDistributed takes samples of several frames, (T, …), which have an axis at least. "
                f"Received: an input of shape {(None, *shape)}"
            )
        made = self.layer.build_for((tuple(shape[1:]),))
        if len(made) != 1:
            raise ShapeError(f"TimeDistributed wraps a layer with one output. Received: one with {len(made)}")
        return shape[0], *made[0]

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """See `Layer.call_symbolically`; a model that casts what it is called on has all frames cast."""
        tensors = self.layer.cast_first(tensors) if hasattr(self.layer, "cast_first") else tensors
        return super().call_symbolically(tensors, training)

    def build_for(self, input_shapes: Shapes) -> list[Shape]:
        """As of every layer; frames that are computed one after the other are as many wherever it is called."""
        (shape,) = input_shapes if len(input_shapes) == 1 else (None,)
        if shape and hasattr(self.layer, "structure") and not self.layer.built:
            self.layer.build((None, *shape[1:]))
        if "_first_called_in" in vars(self) and not self.layer.built:  # of `Weight.path`
            vars(self.layer).setdefault("_first_called_in", f"{vars(self)['_first_called_in']}{self.name}/")
        if shape and has_open([shape[1:]]):  # of numbers in their place it would be the graph of these
            self.layer.build_for((tuple(shape[1:]),))
        shapes = super().build_for(input_shapes)
        self._shape = tuple(input_shapes[0])
        self._look_inside()
        if self._goes_by_batch():
            frames = {self._shape[0], *(node.inputs[0].shape[1] for node in self.nodes)}
            if frames == {None} or len(frames) > 1:
                raise ShapeError(
                    f"layer '{self.name}' (TimeDistributed) has a layer in it that goes by the whole batch, so that "
                    "frames are computed one after the other: give the model's Input their number, which is one "
                    f"wherever the layer is called, or freeze that layer. Received: inputs of {frames} frames"
                )
        return shapes

    def _goes_by_batch(self):
        inside = _layers_in(self.layer)
        return any(_sees_samples(layer) or (_has_penalty(layer) and layer is not self.layer) for layer in inside)

    @property
    def graph(self) -> Graph | None:  # type: ignore[override]
        """What plans run: `layer` for all frames at once, or for one after the other; None before it is built."""
        if self._shape is None:
            return None
        frames = self._shape[0] if self._goes_by_batch() else None
        if frames not in self._graphs:
            self._graphs[frames] = self._graph_for(self._shape, frames)
        return self._graphs[frames]

    def _graph_for(self, shape, frames):
        """The graph for samples of this shape."""
        start = _start(shape)
        graph = self._all_at_once(start) if frames is None else self._one_by_one(start, frames)
        if frames is None and self.layer.graph is not None and goes_by_sizes(self.layer.graph):
            graph.remade = self._remade
        return self._with_penalty(graph)

    def _remade(self, shapes):
        """The graph for samples of these shapes, of a layer that goes by sizes."""
        return self._graph_for(shapes[0], None)

    def _all_at_once(self, start):
        """All frames as so many samples; the wrapped layer's own `activity_regularizer` is left out, as in Keras."""
        if self.layer.graph is None:
            return Graph([start], [_called(OfFrames(self.layer, self.layer.lower), [start])])
        return Graph([start], of_all_frames(self.layer, [start]))

    def _one_by_one(self, start, frames):
        """Each frame as a call of the layer, in their order, in which averages move."""
        made = []
        for t in range(frames):
            made.append(_called(GetItem([t], name="frame"), [start]))
            made.append(_called(self.layer, made[-1:]))
            made.append(_called(GetItem([None], name="as_frame"), made[-1:]))  # (1, …)
        made += [_called(Concatenate(axis=1, name="frames"), made[2::3])] if frames > 1 else []
        graph, order = Graph([start], made[-1:]), {tensor.node: i for i, tensor in enumerate(made)}
        graph.nodes.sort(key=lambda node: order.get(node, -1))
        return graph

    def _with_penalty(self, graph):
        """A graph, and behind it the penalty on what this layer itself gives, if it has one."""
        if self.activity_regularizer is not None:
            last = Activation("linear", activity_regularizer=self.activity_regularizer, name="penalty")
            graph.nodes.append(_called(last, graph.outputs).node)
            graph.outputs = graph.nodes[-1].outputs
        return graph

    @property
    def layers(self) -> list[Layer]:
        """The one that it wraps."""
        return [self.layer]

    def lower(self) -> list[Step]:
        """The steps of its graph; which reads which, that says."""
        return [] if self.graph is None else [step for layer in self.graph.layers for step in with_penalty(layer)]

    def forget_build(self) -> None:
        super().forget_build()
        self.layer.forget_build()
        self._graphs, self._shape = {}, None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As of every layer."""
        batch, frames, *rest = input_shape
        return batch, frames, *self.layer.compute_output_shape((batch, *rest))[1:]

    def call_on_arrays(self, arrays: Sequence[ArrayLike], training: bool) -> np.ndarray:
        """Run the layer at once, on all frames or on one after the other."""
        (x,) = (given.array_of(self, a) for a in arrays)
        self.build_for((x.shape[1:],))
        if len(x) == 0:
            raise DataError(f"layer '{self.name}' takes one sample at least. Received: none")
        if self._goes_by_batch():
            frames = [self.layer.call_on_arrays([x[:, t]], training) for t in range(x.shape[1])]
            return self.noting_penalty(np.stack(frames, axis=1))
        y = np.asarray(self.layer.call_on_arrays([x.reshape(-1, *x.shape[2:])], training))  # (N · T, …)
        return self.noting_penalty(y.reshape(*x.shape[:2], *y.shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; a model in it as one of the library's classes, by its layers."""
        config = super().get_config()
        own = vars(self)["_layer_is_trainable"]
        if own is not None and not hasattr(self.layer, "structure"):
            config["layer"]["config"]["trainable"] = own
        if hasattr(self.layer, "structure"):
            plain: Any = next(cls for cls in type(self.layer).__mro__ if not hasattr(cls, "call"))
            config["layer"] = {"class_name": self.layer.saved_as, "config": plain.get_config(self.layer)}  # type: ignore[attr-defined]
        return config

    @classmethod
    def examples(cls) -> Examples:
        yield cls(Dense(3, activation="relu")), [(4, 5)]
        yield cls(Conv2D(3, 2, activation="tanh")), [(3, 5, 4, 2)]
        yield cls(Flatten()), [(3, 4, 2)]


class OfFrames(Layer):
    """What a layer that keeps samples apart is for all frames at once.

    Parameters
    ----------
    layer : Layer
    lower : callable, optional
        Gives its steps. Default: those that it has in a plan.
    """

    input_count: int | None = None

    def __init__(self, layer: Layer, lower: Callable[[], list[Step]] | None = None) -> None:
        self.layer: Layer = layer
        self._lower = lower or partial(with_penalty, layer)
        super().__init__(name=layer.name.replace("/", "_"), dtype=layer.dtype_policy)

    @property
    def trainable(self) -> bool:
        return self.layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        pass

    @property
    def only_in_training(self) -> bool:  # type: ignore[override]
        return self.layer.only_in_training

    @property
    def weights(self) -> list[Weight]:
        return self.layer.weights

    def build(self, input_shapes: Shapes) -> Shape:
        (shape,) = self.layer.build_for(tuple(tuple(s[1:]) for s in input_shapes))
        return input_shapes[0][0], *shape

    def lower(self) -> list[Step]:
        return [PerFrame(step) for step in self._lower()]


class PerFrame(Step):
    """A step that takes the frames of all samples (N, T, …) as so many samples (N · T, …).

    Parameters
    ----------
    step : Step
    """

    def __init__(self, step: Step) -> None:
        self.step: Step = step
        self.uses_input: bool = step.uses_input
        self.uses_output: bool = step.uses_output
        self.is_view: bool = step.is_view
        self.only_in_training: bool = step.only_in_training
        self.draws_anew: bool = step.draws_anew
        self.only_ops: bool = step.only_ops

    @property
    def weights(self) -> list[Weight]:
        return self.step.weights

    def build(self, input_shapes: Shapes) -> Shape:
        return input_shapes[0][0], *self.step.build(tuple(tuple(shape[1:]) for shape in input_shapes))

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        found = self.step.buffers(tuple(shape[1:] for shape in input_shapes), output_shape[1:], training)
        frames = output_shape[0]
        return {n: replace(b, shape=(frames, *b.shape)) if b.per_sample else b for n, b in found.items()}

    def bind(self, ws: Workspace) -> None:
        declared = self.buffers(ws.input_shapes, ws.output_shape, True)  # those of gradients outside training, too
        kept = {n: _joined(b) if declared[n].per_sample else b for n, b in ws.buffers.items()}
        dy = None if ws.dy is None else _joined(ws.dy)
        dxs = tuple(None if dx is None else _joined(dx) for dx in ws.dxs)
        xs = tuple(map(_joined, ws.xs))  # (N · T, …)
        ws.of_frames = replace(ws, xs=xs, y=_joined(ws.y), buffers=kept, dy=dy, dxs=dxs)
        self.step.bind(ws.of_frames)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        inner = ws.of_frames
        inner.iteration, inner.first = ws.iteration, ws.first * ws.y.shape[1]
        self.step.forward(inner.xs, inner)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        self.step.backward(ws.of_frames.dy, ws.of_frames)

    def to_onnx(self, xs: tuple[Value, ...], graph: GraphWriter) -> Value:
        frames, shapes = xs[0].shape[0], tuple(x.shape[1:] for x in xs)
        inner = [replace(_reshaped(x, [-1, *s], graph), shape=s) for x, s in zip(xs, shapes, strict=True)]
        y = type(self.step).to_onnx(self.step, tuple(inner), graph)  # its own nodes, not those of `written_as_one`
        y = replace(y, shape=self.step.build(shapes))
        return _reshaped(y, [-1, frames, *y.shape], graph)


def _reshaped(x, sizes, graph):
    """A tensor with other sizes; TypeError from `constant` if one is open."""
    x = graph.channels_last(x)
    return graph.add("Reshape", [x, graph.constant(np.array([None if n is None else int(n) for n in sizes]))])


def _joined(array):
    """(N, T, …) as (N · T, …), without a copy."""
    return array.reshape(-1, *array.shape[2:])


def _layers_in(layer):
    """A layer, or all layers of the graph that it is, models inside opened."""
    if layer.graph is not None:
        inner = [part for part in layer.graph.layers if part.input_count != 0]
    elif hasattr(layer, "structure"):
        inner = getattr(layer, "_stack", ())  # of a model that is not built yet
    else:
        inner = layer.layers if isinstance(layer, Pipeline) else None
    yield from [layer] if inner is None else (leaf for part in inner for leaf in _layers_in(part))


def _sees_samples(layer):
    """Whether a layer's result for a frame may go by the other samples, or it has to be asked for each frame."""
    if isinstance(layer, BatchNormalization):
        return layer.trainable
    return not (
        is_of_package(type(layer))
        and is_of_package(type(layer).forward)
        and not isinstance(layer, Mixing)
        and type(layer).__name__ not in _ALONE
    )


def _has_penalty(layer):
    """Whether what a layer gives is a part of the loss."""
    return getattr(layer, "activity_regularizer", None) is not None


_ALONE = ("AddLoss", "AddMetric", "Computed", "Lambda", "SpectralNormalization")


def _start(shape):
    return Node(InputLayer(shape, name="frames"), (), [shape]).outputs[0]


def _called(layer: Layer, tensors: Sequence[Tensor]) -> Tensor:
    """A call that the layer itself does not know of, so that it has the places that a user gave it."""
    return Node(layer, tensors, layer.build_for(tuple(t.shape[1:] for t in tensors))).outputs[0]


def of_all_frames(
    layer: Layer, tensors: Sequence[Tensor], training: bool | None = None, wrap: Callable[[Layer], Layer] = OfFrames
) -> Sequence[Tensor]:
    """The outputs of a call of a layer for all frames at once.

    Parameters
    ----------
    layer : Layer
        Or what has a `graph`.
    tensors : sequence of Tensor (N, T, …)
    training : bool, optional
        What the call around it said.
    wrap : callable, default OfFrames
        Makes what stands for one of the layers in it.
    """
    if layer.graph is None:
        mine = wrap(layer)
        return Node(mine, tensors, mine.build_for(tuple(t.shape[1:] for t in tensors)), training).outputs
    graph = of_sizes(layer.graph, [t.shape[2:] for t in tensors])
    known = dict(zip(graph.inputs, tensors, strict=True))
    for node in graph.nodes:
        if node.outputs[0] not in known:
            mode = training if node.training is None else node.training
            made = of_all_frames(node.layer, [known[t] for t in node.inputs], mode, wrap)
            known.update(zip(node.outputs, made, strict=True))
    return [known[tensor] for tensor in graph.outputs]
