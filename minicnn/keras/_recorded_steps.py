"""Steps of plans as functions of recorded arrays, whose gradients can be differentiated as often as one likes.

Those that are linear in their input, or in input and kernel, run as they are, by the kernels of training: they are each
other's derivatives (`minicnn.keras._multilinear`). The others are formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minicnn import backends, layers
from minicnn.differentiation import Recorded, flat, value_of
from minicnn.keras import _last_function
from minicnn.keras._called import Called
from minicnn.keras._formulas import OF_RECORDED, by_slope
from minicnn.keras._function_activations import Sparsemax
from minicnn.keras._multilinear import RESULT, multilinear
from minicnn.keras._recorded_attention import FORMULAS as OF_ATTENTION
from minicnn.keras._windows import maximum_in
from minicnn.layers.activity import ActivityPenalty
from minicnn.layers.added_loss import AddLoss, AddMetric
from minicnn.layers.arithmetic import Arithmetic, Power
from minicnn.layers.channel_order import MoveAxis
from minicnn.layers.conv_parts import PartConv2D
from minicnn.layers.elementary import FUNCTIONS, Clip, Elementary
from minicnn.layers.flatten import View
from minicnn.layers.function_numbers import numbers_of
from minicnn.layers.further_activations import Tanh
from minicnn.layers.pointwise import Pointwise
from minicnn.layers.reducing import Reduce
from minicnn.layers.resizing import Resampled
from minicnn.layers.sample_normalization import Standardized
from minicnn.layers.slicing import GetItem
from minicnn.layers.spectral_normalization import Normalizing
from minicnn.layers.time_distributed import PerFrame
from minicnn.layers.volumes import AlongDepth
from minicnn.parameters import Weight
from minicnn.plan.program import Place
from minicnn.plan.runs import Done
from minicnn.step import Step, Workspace


class At(NamedTuple):
    """Where a step stands in what is computed again.

    Attributes
    ----------
    place : Place
    shape : tuple of int
        Of a sample of the output.
    training : bool
        Whether it acts as in training.
    weights : dict
        The step's weights → arrays, which may be recorded.
    done : Done
        What had been run.
    added : list
        Gets what the step adds to the loss.
    """

    place: Place
    shape: tuple[int, ...]
    training: bool
    weights: Mapping[Weight, Any]
    done: Done
    added: list[Any]

    def weight(self, name: str) -> Any:
        """The array of the weight of this name; None if there is none."""
        return next((array for weight, array in self.weights.items() if weight.name == name), None)

    @property
    def numbers(self) -> SimpleNamespace:
        """What its random numbers go by, as a workspace has it."""
        key = {"seed": self.done.seed, "stream": self.place.stream, "iteration": self.done.iteration, "first": 0}
        return SimpleNamespace(training=self.training, **key)


Formula = Callable[[Any, Sequence[Any], At], Any]


def formula_of(place: Place) -> Formula:
    """The function of (step, inputs, where it stands) for a step.

    Raises
    ------
    NotImplementedError
        If there is none.
    """
    for cls in type(place.step).__mro__ if place.dtype != "bfloat16" else ():
        if cls in _FORMULAS:
            return _FORMULAS[cls]
        if {"forward", "backward", "fused"} & vars(cls).keys():
            break
    raise NotImplementedError(
        f"gradients of gradients (second order) do not go through layer '{place.layer_name}' "
        f"({type(place.step).__name__}, in {place.dtype}), nor do those by its weights while it is frozen: take the "
        "gradient outside of the other tape's `with`, or tf.stop_gradient(gradient), if it is meant as a number; and "
        "by model.trainable_weights. Received: a target that is computed of what tape.gradient gave, or a source with "
        "trainable=False"
    )


# ------------------------------------------------------------------------------------------------- steps as they are


class _Passes:
    """The step's own passes, as `multilinear` asks for them: forward, and back to the input or the kernel.

    Parameters
    ----------
    step : Step
    x : array (N, …)
        Its input.
    at : At
    kernel : Weight, optional
        In which it is linear as well; other weights that are trained count as 0.
    """

    def __init__(self, step: Step, x: Any, at: At, kernel: Weight | None = None) -> None:
        self._step, self._at, self._kernel = step, at, kernel
        self._backend = at.done.backend if at.done.backend.xp is np else backends.get("numpy")
        self._dtype, self._shapes = x.dtype, {"x": x.shape, RESULT: (len(x), *at.shape)}
        self._buffers = step.buffers((x.shape[1:],), at.shape, at.training)
        if kernel is not None:
            self._shapes["kernel"] = kernel.shape

    def __call__(self, role: str, of: Mapping[str, np.ndarray]) -> np.ndarray:
        made, step = self._backend.zeros(self._shapes[role], self._dtype), self._step
        ws = self._workspace(of, made if role == RESULT else self._array({}, RESULT))
        if role == "kernel":
            ws.grads = {**ws.grads, self._kernel.name: made}
        step.bind(ws)
        if role == RESULT or self._kernel is None:  # convolutions keep nothing of it
            step.forward(ws.xs, ws)
        if role != RESULT:
            ws.dy, ws.dxs = self._array(of, RESULT), (made if role == "x" else None,)
            step.backward(ws.dy, ws)
        return np.asarray(made)

    def _array(self, of, name):
        """The array of this name; zeros where that is asked for, or does not count."""
        if name in of:
            return self._backend.asarray(of[name], self._dtype)
        return self._backend.zeros(self._shapes[name], self._dtype)

    def _workspace(self, of, y):
        at, backend, count = self._at, self._backend, len(y)
        params = {w.name: np.zeros(w.shape) if w.has_gradient else value_of(x) for w, x in at.weights.items()}
        params = {name: backend.asarray(x, self._dtype) for name, x in params.items()}
        if self._kernel is not None:
            params[self._kernel.name] = self._array(of, "kernel")
        buffers = {
            name: backend.empty((count, *b.shape) if b.per_sample else b.shape, b.dtype or self._dtype)
            for name, b in self._buffers.items()
        }
        arrays = {"params": params, "buffers": buffers, "grads": dict.fromkeys(params)}
        return Workspace(backend.ops, (self._array(of, "x"),), y, **arrays, **vars(at.numbers))


def _linear(step, xs, at):
    return multilinear(_Passes(step, xs[0], at), RESULT, {"x": xs[0]})


def _affine(step, xs, at):
    run = _Passes(step, xs[0], at)
    offset = run(RESULT, {})

    def without_offset(role, of):
        return run(role, of) - offset if role == RESULT else run(role, of)

    return multilinear(without_offset, RESULT, {"x": xs[0]}) + offset


def _resized(step, xs, at):
    """Where a second input says the size, and nothing else of it counts: as with the size it says."""
    if len(xs) == 1:
        return _affine(step, xs, at)
    sized = type(step).from_config(step.get_config() | dict(zip(("height", "width"), at.shape, strict=False)))
    return _affine(sized, xs[:1], at)


def _with_kernel(step, xs, at):
    kernel, *bias = step.weights
    y = multilinear(_Passes(step, xs[0], at, kernel), RESULT, {"x": xs[0], "kernel": at.weights[kernel]})
    return y + at.weights[bias[0]] if bias else y


# ---------------------------------------------------------------------------------------------------------- formulas


def _of(function):
    """A formula of the input alone."""
    return lambda step, xs, at: function(step, xs[0])


def _same_rank(xs):
    rank = max(x.ndim for x in xs)
    return [np.reshape(x, (len(x), *[1] * (rank - x.ndim), *x.shape[1:])) for x in xs]


def _merged(function):
    """Number by number, of one input after the other."""

    def formula(step, xs, at):
        first, *others = _same_rank(xs)
        for other in others:
            first = function(first, other)
        return first

    return formula


def _selected(step, xs, at):
    mask, *tensors = _same_rank(xs)
    chosen, otherwise = (tensors.pop(0) if n is None else np.asarray(n, mask.dtype) for n in step.numbers)
    return np.where(np.asarray(value_of(mask)) > 0, chosen, otherwise)


def _dense(step, xs, at):
    y = xs[0] @ at.weight("kernel")
    return y + at.weight("bias") if step.use_bias else y


def _first_maximum(step, x):
    count, _, _, channels = x.shape
    pixels = np.reshape(x, (count, -1, channels))  # (N, H·W, C)
    best = pixels[np.arange(count)[:, None], pixels.value.argmax(axis=1), np.arange(channels)]  # (N, C)
    return np.reshape(best, (count, *step.build((x.shape[1:],))))


def _scaled_and_shifted(y, gamma, beta):
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def _batch_normalization(step, xs, at):
    (x,) = xs
    if at.training and step.moving_mean.layer.trainable:
        axes = tuple(range(x.ndim - 1))
        centred = x - np.mean(x, axis=axes)
        deviation = np.sqrt(np.mean(np.square(centred), axis=axes) + step.epsilon)
    else:
        centred = x - at.weight("moving_mean")
        deviation = np.sqrt(at.weight("moving_variance") + step.epsilon)
    return _scaled_and_shifted(centred / deviation, at.weight("gamma"), at.weight("beta"))


def _standardized(step, xs, at):
    (x,), (cut, axes), weighted = xs, step.cut(at.shape), step.weighted_axes(at.shape)
    y = np.reshape(x, (len(x), *cut))
    y = y - np.mean(y, axis=axes, keepdims=True) if step.is_centred else y
    y = np.reshape(y / np.sqrt(np.mean(np.square(y), axis=axes, keepdims=True) + step.epsilon), x.shape)
    sizes = tuple(n if axis in weighted else 1 for axis, n in enumerate(at.shape))
    own = [None if w is None else np.reshape(w, sizes) for w in map(at.weight, (step.scale_name, "beta"))]
    return _scaled_and_shifted(y, *own)


def _unit(step, x):
    given = step.axis if isinstance(step.axis, list | tuple) else [step.axis]
    squares = np.sum(np.square(x), axis=tuple(axis % x.ndim for axis in given), keepdims=True)
    return x / np.sqrt(np.maximum(squares, np.asarray(1e-24, x.dtype)))


def _prelu(step, xs, at):
    return np.where(xs[0].value > 0, xs[0], xs[0] * at.weight("alpha"))


def _activity(step, xs, at):
    at.added.append(step.regularizer(xs[0]) / len(xs[0]))
    return xs[0]


def _added_loss(step, xs, at):
    at.added.append(getattr(np, step.reduction)(xs[1]))
    return xs[0]


def _called(step, xs, at):
    with numbers_of(at.numbers):
        made, losses = step.of_recorded(xs, {w.name: array for w, array in at.weights.items()}, at.training)
    at.added.extend(losses)
    return made


def _lambda(step, xs, at):
    with numbers_of(at.numbers):
        return step._call(xs)


def _elementary(step, x):
    y = np.power(x, step.exponent) if step.function == "power" else FUNCTIONS[step.function][0](x)
    return y if isinstance(y, Recorded) else flat(y, x)


def _dot(step, xs, at):
    axes = [axis % x.ndim for axis, x in zip(np.broadcast_to(step.axes, 2).tolist(), xs, strict=True)]
    moved = [np.moveaxis(x, axis, -1) for x, axis in zip(xs, axes, strict=True)]
    a, b = (np.reshape(x, (len(x), -1, x.shape[-1])) for x in moved)  # (N, P, K), (N, Q, K)
    if step.normalize:
        least = np.asarray(1e-14, a.dtype)
        lengths = [np.sqrt(np.maximum(np.sum(np.square(x), axis=-1, keepdims=True), least)) for x in (a, b)]
        a, b = a / lengths[0], b / lengths[1]
    return np.reshape(a @ np.swapaxes(b, -1, -2), (len(a), *at.shape))


def _pointwise(step, x):
    return (by_slope("erf") if step.function == "erf" else OF_RECORDED[step.function])(x)


def _pooled(step, x):
    return maximum_in(x, step.window(x.shape[1:]))


_LINEAR = (
    *(layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.Cropping2D, layers.ZeroPadding2D, layers.Permute),
    *(layers.Cropping3D, layers.ZeroPadding3D),
    *(layers.RepeatVector, layers.Dropout, layers.GaussianDropout, MoveAxis, Reduce, GetItem),
)
_OF_VOLUMES = layers.Conv3D, layers.Conv3DTranspose
_AFFINE = (layers.Rescaling, layers.Normalization, layers.GaussianNoise, layers.AlphaDropout, Resampled)


def _of_frames(step, xs, at):
    """What the step of a frame gives, of those of all samples as so many samples."""
    place = replace(at.place, step=step.step)
    own = at._replace(place=place, shape=at.shape[1:])  # of a frame
    y = formula_of(place)(step.step, [np.reshape(x, (-1, *x.shape[2:])) for x in xs], own)  # (N · T, …)
    return np.reshape(y, (len(xs[0]), *at.shape))


def _along_depth(step, xs, at):
    """What a step gives of volumes (N, D, H, W, C) as images (N, D, H · W, C)."""
    (x,), place, (depth, height, width, channels) = xs, replace(at.place, step=step.step), at.shape
    own = at._replace(place=place, shape=(depth, height * width, channels))
    y = formula_of(place)(step.step, [np.reshape(x, (*x.shape[:2], height * width, channels))], own)
    return np.reshape(y, (len(x), *at.shape))


def _wrapped(step, xs, at):
    """Of a layer with a divided kernel: what its step does, as the kernel has been divided when it ran."""
    place = replace(at.place, step=step.step)
    return formula_of(place)(step.step, xs, at._replace(place=place))


_FORMULAS: dict[type, Formula] = {
    **OF_ATTENTION,
    **dict.fromkeys(_LINEAR, _linear),
    **dict.fromkeys(_AFFINE, _affine),
    **dict.fromkeys((layers.Conv2D, layers.Conv2DTranspose, PartConv2D, *_OF_VOLUMES), _with_kernel),
    ActivityPenalty: _activity,
    AddLoss: _added_loss,
    AddMetric: lambda step, xs, at: xs[0],
    Arithmetic: lambda step, xs, at: _merged(getattr(np, step.operation))(step, xs, at),
    Called: _called,
    Clip: _of(lambda step, x: np.clip(x, step.minimum, step.maximum)),
    Elementary: _of(_elementary),
    Normalizing: _wrapped,
    AlongDepth: _along_depth,
    PerFrame: _of_frames,
    layers.PlacedResizing: _resized,
    Pointwise: _of(_pointwise),
    Power: _of(lambda step, x: np.power(x, step.exponent)),
    Sparsemax: _of(lambda step, x: OF_RECORDED["sparsemax"](x)),
    Standardized: _standardized,
    Tanh: _of(lambda step, x: np.tanh(x)),
    View: lambda step, xs, at: np.reshape(xs[0], (len(xs[0]), *at.shape)),
    layers.Add: _merged(np.add),
    layers.Average: lambda step, xs, at: _merged(np.add)(step, xs, at) / len(xs),
    layers.BatchNormalization: _batch_normalization,
    layers.Concatenate: lambda step, xs, at: np.concatenate(xs, axis=step.axis),
    layers.Dense: _dense,
    layers.ConstantTensor: lambda step, xs, at: np.zeros((len(xs[0]), *step.shape), xs[0].dtype) + at.weight("value"),
    layers.Dot: _dot,
    **dict.fromkeys((_last_function.Softmax, _last_function.Sigmoid), _of(lambda step, x: step.of(x))),
    layers.ELU: _of(lambda step, x: OF_RECORDED["elu"](x, step.alpha)),
    layers.Embedding: lambda step, xs, at: at.weight("embeddings")[np.asarray(value_of(xs[0])).astype(np.int64)],
    layers.GlobalMaxPooling2D: _of(_first_maximum),
    layers.Lambda: _lambda,
    layers.LayerScale: lambda step, xs, at: xs[0] * at.weight("gamma"),
    layers.LeakyReLU: _of(lambda step, x: OF_RECORDED["leaky_relu"](x, step.negative_slope)),
    layers.LogSoftmax: _of(lambda step, x: OF_RECORDED["log_softmax"](x)),
    layers.MaxPooling2D: _of(_pooled),
    layers.MatrixProduct: lambda step, xs, at: xs[0] @ xs[1],
    layers.Maximum: _merged(np.maximum),
    layers.Minimum: _merged(np.minimum),
    layers.Multiply: _merged(np.multiply),
    layers.PReLU: _prelu,
    layers.EarlierPlaces: lambda step, xs, at: np.broadcast_to(step.mask(xs[0].shape), xs[0].shape),
    layers.Select: _selected,
    layers.ReLU: _of(lambda step, x: OF_RECORDED["relu"](x, step.negative_slope, step.max_value, step.threshold)),
    layers.Sigmoid: _of(lambda step, x: OF_RECORDED["sigmoid"](x)),
    layers.Softmax: _of(lambda step, x: OF_RECORDED["softmax"](x, step.axis)),
    layers.Subtract: _merged(np.subtract),
    layers.UnitNormalization: _of(_unit),
}
