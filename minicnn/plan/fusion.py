"""The rules that leave steps out, and that merge neighbouring steps into one that a single kernel computes.

`simplify` leaves out what does nothing outside training, and makes one resampling of neighbouring augmentation layers.
It serves every backend, because an image that is interpolated once is not the one that is interpolated by every layer.

`fuse` is for speed and changes no result. Two steps merge when the first one's output has no other reader:

=============================================  ====================================================
Conv2D, ReLU                                   `FusedConv2D`: kernel ``conv2d(relu=True)``
Conv2D, ReLU, MaxPooling2D (in either order)   `FusedConv2D`: kernel ``conv2d_pool``; only pooled values and one byte
                                               for each are ever written
Conv2D, MaxPooling2D                           the same, without ReLU
Dense, ReLU                                    `FusedDense`: kernel ``dense(relu=True)``
Conv2D or Dense, BatchNormalization            `Folded`, in inference only: y = scale · (x·k + b) + shift is a
                                               convolution with kernel scale·k; merges further as above
=============================================  ====================================================

``docs/fusion.md`` explains why the gradients stay exact.
"""

import numpy as np

from minicnn.layers.activations import ReLU
from minicnn.layers.augmentation import Warp
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense, rows
from minicnn.layers.normalization import BatchNormalization
from minicnn.layers.pooling import MaxPooling2D
from minicnn.plan.program import Place
from minicnn.step import Buffer, Step


class _Fused(Step):
    """A step that stands for a layer with weights, and for what was merged into it.

    Attributes
    ----------
    layer : Conv2D or Dense
    norm : BatchNormalization or None
    relu : bool
    """

    def __init__(self, layer, norm=None, relu=False):
        self.layer, self.norm, self.relu = layer, norm, relu

    @property
    def weights(self):
        return self.layer.weights + (self.norm.weights if self.norm else [])

    def build(self, input_shapes):
        return self.layer.build(input_shapes)

    def buffers(self, input_shapes, output_shape, training):
        if self.norm is None:
            return {}
        return {
            "kernel": Buffer(self.layer.kernel.shape, per_sample=False),
            "bias": Buffer((self._channels,), per_sample=False),
        }

    @property
    def _channels(self):
        return self.layer.kernel.shape[-1]

    def kernel_and_bias(self, ws):
        """The layer's weights, with the normalization folded into them."""
        kernel, bias = ws.params["kernel"], ws.params.get("bias")
        if self.norm is None:
            return kernel, bias
        folded_kernel, folded_bias = ws.buffers["kernel"], ws.buffers["bias"]
        scale = 1 / np.sqrt(ws.params["moving_variance"] + self.norm.epsilon)  # (F,)
        if self.norm.scale:
            scale *= ws.params["gamma"]
        np.multiply(kernel, scale, out=folded_kernel)
        folded_bias[...] = ((0 if bias is None else bias) - ws.params["moving_mean"]) * scale
        if self.norm.center:
            folded_bias += ws.params["beta"]
        return folded_kernel, folded_bias


class FusedDense(_Fused):
    """Dense, BatchNormalization (inference), ReLU."""

    @property
    def uses_output(self):
        return self.relu

    def forward(self, xs, ws):
        ws.ops.dense(rows(xs[0]), *self.kernel_and_bias(ws), rows(ws.y), self.relu)

    def backward(self, dy, ws):
        dx = None if ws.dxs[0] is None else rows(ws.dxs[0])
        kernel, grads = ws.params["kernel"], ws.grads
        ws.ops.dense_backward(
            rows(ws.xs[0]), kernel, rows(ws.y), rows(dy), dx, grads["kernel"], grads.get("bias"), self.relu
        )


class FusedConv2D(_Fused):
    """Conv2D, BatchNormalization (inference), ReLU, and MaxPooling2D after or before the ReLU."""

    def __init__(self, layer, norm=None, relu=False, pool=None):
        super().__init__(layer, norm, relu)
        self.pool = pool

    @property
    def uses_output(self):
        return self.relu and self.pool is None

    def build(self, input_shapes):
        shape = self.layer.build(input_shapes)
        return shape if self.pool is None else self.pool.build((shape,))

    def buffers(self, input_shapes, output_shape, training):
        buffers = super().buffers(input_shapes, output_shape, training)
        if training and self.pool is not None:
            buffers["winner"] = Buffer(output_shape, "uint8")
        return buffers

    def bind(self, ws):
        ws.window = self.layer.window(ws.input_shapes[0])
        if self.pool is not None:
            ws.pool = self.pool.window((ws.window.out_height, ws.window.out_width))

    def forward(self, xs, ws):
        kernel, bias = self.kernel_and_bias(ws)
        if self.pool is None:
            ws.ops.conv2d(xs[0], kernel, bias, ws.y, ws.window, self.layer.groups, self.relu)
        else:
            ws.ops.conv2d_pool(xs[0], kernel, bias, ws.y, ws.buffers.get("winner"), ws.window, ws.pool, self.relu)

    def backward(self, dy, ws):
        x, kernel, dx = ws.xs[0], ws.params["kernel"], ws.dxs[0]
        dkernel, dbias = ws.grads["kernel"], ws.grads.get("bias")
        if self.pool is None:
            ws.ops.conv2d_backward(x, kernel, ws.y, dy, dx, dkernel, dbias, ws.window, self.layer.groups, self.relu)
        else:
            ws.ops.conv2d_pool_backward(x, kernel, ws.buffers["winner"], dy, dx, dkernel, dbias, ws.window, ws.pool)


def simplify(program, kept, training) -> None:
    """Leave out steps that do nothing, and merge neighbouring warps, in place.

    Parameters
    ----------
    program : Program
    kept : set of int
        Values that must stay: outputs, and what a loss reads.
    training : bool
        Whether steps act as in training where nothing else is said at their place.
    """
    _leave_out_inactive(program, kept, training)
    _merge_warps(program, kept)


def _leave_out_inactive(program, kept, training):
    """Whoever reads such a step's output reads its input instead."""
    stands_for, places = {}, []
    for place in program.places:
        place.inputs = tuple(stands_for.get(value, value) for value in place.inputs)
        is_active = training if place.training is None else place.training
        if place.step.only_in_training and not is_active and place.output not in kept:
            (stands_for[place.output],) = place.inputs
        else:
            places.append(place)
    program.places = places


def _merge_warps(program, kept):
    """Several warps that follow each other become one; each layer keeps its stream of random numbers."""
    readers = program.readers()
    places = []
    for place in program.places:
        before = places[-1] if places else None
        merged = None
        if isinstance(place.step, Warp) and before is not None and isinstance(before.step, Warp):
            follows = place.inputs == (before.output,) and len(readers[before.output]) == 1
            if follows and before.output not in kept and before.training == place.training:
                merged = before.step.then(place.step, (*_streams(before), *_streams(place)))
        if merged is None:
            places.append(place)
        else:
            places[-1] = Place(merged, before.inputs, place.output, before.layer_name, before.stream, before.training)
    program.places = places


def _streams(place):
    return (place.stream,) if place.step.streams is None else place.step.streams


def fuse(program, kept, training) -> None:
    """Merge steps of `program` in place.

    Parameters
    ----------
    program : Program
    kept : set of int
        Values that must stay: outputs, and what a loss reads.
    training : bool
        Whether gradients will be computed.
    """
    readers = program.readers()
    merged = set()  # id of places that live on inside another
    for index, place in enumerate(program.places):
        if id(place) in merged or not isinstance(place.step, Conv2D | Dense):
            continue
        fused, last = place.step, place
        while last.output not in kept and len(readers[last.output]) == 1:
            reader = readers[last.output][0]
            wider = _absorb(fused, reader.step, training or reader.training)
            if wider is None:
                break
            fused, last = wider, reader
            merged.add(id(reader))
        if last is not place:
            program.places[index] = Place(
                fused, place.inputs, last.output, place.layer_name, place.stream, place.training
            )
    program.places = [place for place in program.places if id(place) not in merged]


def _absorb(first, then, training):
    """One step that does `first`, then `then`; None where there is none."""
    if isinstance(first, Conv2D):
        first = FusedConv2D(first)
    elif isinstance(first, Dense):
        first = FusedDense(first)
    pool = getattr(first, "pool", None)
    if isinstance(then, ReLU) and then.is_plain and not first.relu:
        return _with(first, relu=True)
    if isinstance(then, BatchNormalization) and not training and not first.relu and pool is None and first.norm is None:
        return _with(first, norm=then)
    is_pool = isinstance(then, MaxPooling2D) and isinstance(first, FusedConv2D) and pool is None
    if is_pool and first.layer.groups == 1:
        return _with(first, pool=then)
    return None


def _with(fused, **changes):
    """A copy of a fused step with some parts replaced."""
    parts = {"norm": fused.norm, "relu": fused.relu}
    if isinstance(fused, FusedConv2D):
        parts["pool"] = fused.pool
    return type(fused)(fused.layer, **(parts | changes))
