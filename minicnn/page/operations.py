"""Steps of a plan as operations of the page: a table, step class → what ``browser/operations.js`` needs to know.

The page has few operations, and most layers are one of them: batch normalization, rescaling and `Normalization` are
(x - centre) · scale + shift, every pooling is a window, a depthwise convolution is one with groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.geometry import Window
from minicnn.layers.activity import ActivityPenalty
from minicnn.layers.adaptive_pooling import Maxima
from minicnn.layers.channel_order import MoveAxis
from minicnn.layers.contract import is_own
from minicnn.layers.conv_parts import PartConv2D
from minicnn.layers.feature_normalization import EPSILON
from minicnn.layers.flatten import View
from minicnn.layers.merge import Merge
from minicnn.layers.rare_forms import check_axes
from minicnn.layers.resizing import Resampled
from minicnn.layers.spectral_normalization import Normalizing
from minicnn.page.weights import Numbers
from minicnn.step import Shapes, Step

Operation = dict[str, Any]
Form = Callable[[Any, Shapes, Numbers], Operation]

_forms: dict[type, Form] = {}


def operation_of(step: Step, shapes: Shapes, numbers: Numbers) -> Operation | None:
    """A step for inputs of some shapes, as the page runs it; None if the page cannot.

    Parameters
    ----------
    step : Step
        As it acts outside training.
    shapes : tuple of tuple of int
        Of its inputs, without the batch axis.
    numbers : Numbers
        Gets the step's weights.
    """
    if step.only_in_training and not is_own(step):
        return {"op": "view"}
    form = None if is_own(step) else next((_forms[cls] for cls in type(step).__mro__ if cls in _forms), None)
    return None if form is None else form(step, shapes, numbers)


def _of(*classes: type) -> Callable[[Form], Form]:
    """Function decorator: enter it for step classes, and for those made from them."""

    def enter(form: Form) -> Form:
        _forms.update(dict.fromkeys(classes, form))
        return form

    return enter


# ---------------------------------------------------------------------------------------------------------- windows


@_of(layers.Conv2D)
def _conv2d(step, shapes, numbers):
    kernel = _kernel(numbers, step.kernel, step.kernel.shape, step.bias)
    return {"op": "conv", "window": _window(step.window(shapes[0])), "groups": step.groups, **kernel}


@_of(PartConv2D)
def _part(step, shapes, numbers):
    part = step.layer
    kernel = _kernel(numbers, part.weight, part.shape, part.bias)
    return {"op": "conv", "window": _window(part.window(shapes[0])), "groups": part.groups, **kernel}


@_of(layers.Conv2DTranspose)
def _transposed(step, shapes, numbers):
    shape = (*(1,) * (2 - step.rank), *step.kernel.shape)
    kernel = _kernel(numbers, step.kernel, shape, step.bias)
    return {"op": "transposed", "window": _window(step.window(shapes[0])), **kernel}


@_of(layers.Dense)
def _dense(step, shapes, numbers):
    return {"op": "dense", **_kernel(numbers, step.kernel, step.kernel.shape, step.bias)}


def _kernel(numbers, kernel, shape, bias):
    return {"kernel": numbers.add(kernel), "kernelShape": list(shape), "bias": numbers.add(bias)}


@_of(layers.MaxPooling2D, Maxima)
def _max_pooling(step, shapes, numbers):
    return {"op": "maximum", "window": _window(step.window(shapes[0]))}


@_of(layers.AveragePooling2D)
def _average_pooling(step, shapes, numbers):
    return {"op": "mean", "window": _window(step.window(shapes[0]))}


@_of(layers.GlobalMaxPooling2D)
def _global_max(step, shapes, numbers):
    return {"op": "maximum", "window": _whole(shapes[0])}


@_of(layers.GlobalAveragePooling2D)
def _global_average(step, shapes, numbers):
    return {"op": "mean", "window": _whole(shapes[0])}


def _whole(shape):
    height, width, _ = shape
    return _window(Window(height, width, height, width))


def _window(window: Window) -> list[int]:
    """In the order in which ``browser/operations.js`` reads it."""
    sizes = [window.in_height, window.in_width, window.out_height, window.out_width]
    kernel = [window.kernel_height, window.kernel_width, window.stride_y, window.stride_x]
    return [*sizes, *kernel, window.dilation_y, window.dilation_x, window.pad_top, window.pad_left]


@_of(Normalizing)
def _wrapped(step, shapes, numbers):
    return operation_of(step.step, shapes, numbers)


# ------------------------------------------------------------------------------------------- numbers that only move


@_of(View, ActivityPenalty, layers.AddLoss, layers.AddMetric)
def _view(step, shapes, numbers):
    return {"op": "view"}


@_of(layers.Permute)
def _permute(step, shapes, numbers):
    return {"op": "permute", "order": [axis - 1 for axis in step.dims]}


@_of(MoveAxis)
def _move_axis(step, shapes, numbers):
    axes = np.empty((1, *range(2, 2 + len(shapes[0]))))  # a size for each axis, by which it is known again
    return {"op": "permute", "order": [n - 2 for n in np.moveaxis(axes, step.source, step.target).shape[1:]]}


@_of(layers.RepeatVector)
def _repeat(step, shapes, numbers):
    return {"op": "repeat", "times": step.n}


@_of(layers.ZeroPadding2D)
def _zero_padding(step, shapes, numbers):
    (top, _), (left, _) = step.padding
    return {"op": "place", "top": top, "left": left}


@_of(layers.Cropping2D)
def _cropping(step, shapes, numbers):
    (top, _), (left, _) = step.cropping
    return {"op": "place", "top": -top, "left": -left}


@_of(layers.GetItem)
def _part(step, shapes, numbers):
    places = np.arange(np.prod(shapes[0])).reshape(1, *shapes[0])[step.index][0]  # of x, where each number of y is
    corner = int(places.flat[0])
    steps = [int(np.take(places, min(1, n - 1), axis).flat[0]) - corner for axis, n in enumerate(places.shape)]
    return {"op": "part", "corner": corner, "steps": steps}


@_of(layers.Concatenate)
def _concatenate(step, shapes, numbers):
    return {"op": "concatenate", "axis": step.axis % (len(shapes[0]) + 1) - 1}


@_of(Resampled)
def _resampled(step, shapes, numbers):
    rows, columns = step.taps_of(shapes)
    outside = 1 - rows.totals()[:, None] * columns.totals()  # (OH, OW)
    filling = step.fill_value * outside if step.fill_value else None
    return {"op": "resample", "rows": _taps(rows), "columns": _taps(columns), "filling": numbers.add(filling)}


def _taps(taps):
    """[indices, weights], each (taps, new size)."""
    weight = np.ones(taps.index.shape) if taps.weight is None else taps.weight
    return [taps.index.tolist(), weight.tolist()]


# --------------------------------------------------------------------------------------------- (x - centre) · scale


@_of(layers.BatchNormalization)
def _batch_normalization(step, shapes, numbers):
    scale = 1 / np.sqrt(step.moving_variance.numpy().astype(np.float64) + step.epsilon)
    scale = scale * step.gamma.numpy() if step.scale else scale
    shift = step.beta.numpy() if step.center else None
    return _affine(numbers, shapes[0], step.moving_mean.numpy(), scale, shift)


@_of(layers.Rescaling)
def _rescaling(step, shapes, numbers):
    return _affine(numbers, shapes[0], None, np.asarray(step.scale), np.asarray(step.offset))


@_of(layers.LayerScale)
def _layer_scale(step, shapes, numbers):
    return _affine(numbers, shapes[0], None, step.gamma.numpy(), None)


@_of(layers.Normalization)
def _normalization(step, shapes, numbers):
    moments = step.input_mean, step.input_variance
    if step.input_mean is None:
        moments = (weight.numpy().astype(np.float64) for weight in (step.mean, step.variance))
    mean, variance = (step.spread(moment, shapes[0]) for moment in moments)
    deviation = np.maximum(np.sqrt(variance), EPSILON)
    if step.invert:
        return _affine(numbers, shapes[0], None, deviation, mean)
    return _affine(numbers, shapes[0], mean, 1 / deviation, None)


def _affine(numbers, shape, centre, scale, shift):
    """The three arrays, in a shape that they can be spread from over the samples; None is none."""
    given = [array for array in (centre, scale, shift) if array is not None]
    sizes = np.broadcast_shapes((1,) * len(shape), *(array.shape for array in given))
    arrays = (None if array is None else np.broadcast_to(array, sizes) for array in (centre, scale, shift))
    names = zip(("centre", "scale", "shift"), arrays, strict=True)
    return {"op": "affine", "sizes": list(sizes), **{name: numbers.add(array) for name, array in names}}


@_of(layers.LayerNormalization, layers.GroupNormalization, layers.RMSNormalization)
def _standardized(step, shapes, numbers):
    shape, weighted = shapes[0], step.weighted_axes(shapes[0])
    parts, axes = step.cut(shape)
    known = {weight.name: weight for weight in step.weights}
    return {
        "op": "standardize",
        "parts": list(parts),
        "axes": [axis - 1 for axis in axes],
        "centred": step.is_centred,
        "epsilon": step.epsilon,
        "sizes": [n if axis in weighted else 1 for axis, n in enumerate(shape)],
        "scale": numbers.add(known.get(step.scale_name)),
        "shift": numbers.add(known.get("beta")),
    }


@_of(layers.UnitNormalization)
def _unit(step, shapes, numbers):
    return {"op": "unit", "axes": list(check_axes(step, step.axis, shapes[0]))}


@_of(layers.AutoContrast)
def _stretch(step, shapes, numbers):
    low, high = step.value_range
    return {"op": "stretch", "axes": [0, 1], "low": low, "high": high}


# ------------------------------------------------------------------------------------------------ single numbers


@_of(layers.ReLU)
def _relu(step, shapes, numbers):
    options = {"slope": step.negative_slope, "threshold": step.threshold, "most": step.max_value}
    return {"op": "function", "name": "relu", **options}


@_of(layers.LeakyReLU)
def _leaky_relu(step, shapes, numbers):
    return {"op": "function", "name": "relu", "slope": step.negative_slope, "threshold": 0.0, "most": None}


@_of(layers.ELU)
def _elu(step, shapes, numbers):
    return {"op": "function", "name": "elu", "alpha": step.alpha}


@_of(layers.Sigmoid, layers.Tanh)
def _named(step, shapes, numbers):
    return {"op": "function", "name": type(step).__name__.lower()}


@_of(layers.Pointwise)
def _pointwise(step, shapes, numbers):
    return {"op": "function", "name": step.function}


@_of(layers.Elementary)
def _elementary(step, shapes, numbers):
    return {"op": "function", "name": step.function, "exponent": step.exponent}


@_of(layers.Power)
def _power(step, shapes, numbers):
    return {"op": "function", "name": "power", "exponent": step.exponent}


@_of(layers.Clip)
def _clip(step, shapes, numbers):
    return {"op": "function", "name": "clip", "least": step.minimum, "most": step.maximum}


@_of(layers.PReLU)
def _prelu(step, shapes, numbers):
    return {"op": "prelu", "alpha": numbers.add(step.alpha), "sizes": list(step.alpha.shape)}


@_of(layers.Softmax)
def _softmax(step, shapes, numbers):
    return {"op": "softmax", "axes": list(check_axes(step, step.axis, shapes[0])), "log": False}


@_of(layers.LogSoftmax)
def _log_softmax(step, shapes, numbers):
    return {"op": "softmax", "axes": [len(shapes[0]) - 1], "log": True}


@_of(layers.ArgMax)
def _argmax(step, shapes, numbers):
    return {"op": "argmax"}


# --------------------------------------------------------------------------------------------------- several inputs


@_of(Merge)
def _merge(step, shapes, numbers):
    return {"op": "combine", "how": type(step).__name__.lower()}


@_of(layers.Select)
def _select(step, shapes, numbers):
    return {"op": "select", "numbers": [step.chosen, step.otherwise]}


@_of(layers.Arithmetic)
def _arithmetic(step, shapes, numbers):
    return {"op": "combine", "how": step.operation}


@_of(layers.Dot)
def _dot(step, shapes, numbers):
    pair = (step.axes,) * 2 if isinstance(step.axes, int) else step.axes
    axes = [check_axes(step, axis, shape)[0] for axis, shape in zip(pair, shapes, strict=True)]
    return {"op": "dot", "axes": axes, "normalize": step.normalize}


@_of(layers.MatrixProduct)
def _product(step, shapes, numbers):
    return {"op": "product"}


@_of(layers.ConstantTensor)
def _constant(step, shapes, numbers):
    return {"op": "constant", "filling": numbers.add(step.value)}
