"""Layers, and names in layers, that later Kerases dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import numpy as np

from minicnn import constraints, initializers, regularizers
from minicnn import layers as core
from minicnn.errors import ShapeError
from minicnn.keras import _weight_names as _weight_names  # which gives weights theirs
from minicnn.keras import activations
from minicnn.keras._in_order import asking
from minicnn.keras._own_metrics import Variable as BackendVariable
from minicnn.keras._own_parts import Layer
from minicnn.keras._variables import Variable
from minicnn.keras._warning import warn_once
from minicnn.parameters import Weight
from minicnn.registry import to_plain
from minicnn.settings import floatx
from minicnn.user_warnings import warn_user


@core.register
class MaxoutDense(Layer):
    """The largest of several dense layers, unit by unit: a piecewise linear function of the inputs.

    Input (N, C), output (N, units). Goodfellow et al.: "Maxout Networks", 2013.

    Parameters
    ----------
    units : int
        Keras 1 called it `output_dim`.
    nb_feature : int, default 4
        How many layers.
    kernel_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint : optional
        As of `Dense`; `init`, `W_regularizer`, … are understood. The kernel is (nb_feature, C, units).
    use_bias : bool, default True
        Keras 1 called it `bias`.
    """

    def __init__(
        self,
        units: int,
        nb_feature: int = 4,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        warn_once("keras.layers.MaxoutDense is a layer of Keras 1, which today's Keras has not")
        super().__init__(**kwargs)
        self.units, self.nb_feature, self.use_bias = int(units), int(nb_feature), bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer, self.bias_regularizer = map(regularizers.get, (kernel_regularizer, bias_regularizer))
        self.kernel_constraint, self.bias_constraint = map(constraints.get, (kernel_constraint, bias_constraint))

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        kernel = {"regularizer": self.kernel_regularizer, "constraint": self.kernel_constraint}
        bias = {"regularizer": self.bias_regularizer, "constraint": self.bias_constraint}
        shape = (self.nb_feature, input_shape[-1], self.units)
        self.kernel = self.add_weight("kernel", shape, initializer=self.kernel_initializer, **kernel)
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.nb_feature, self.units), initializer="zeros", **bias)

    def call(self, inputs: Any) -> Any:
        """The largest, (N, units)."""
        rows = np.reshape(np.transpose(self.kernel, (1, 0, 2)), (inputs.shape[-1], -1))  # (C, nb_feature · units)
        every = np.reshape(inputs @ rows, (-1, self.nb_feature, self.units))
        return np.max(every + self.bias if self.use_bias else every, axis=1)


@core.register
class Highway(Layer):
    """A dense layer of which a gate lets through as much as it leaves of the input: y = t · f(x W + b) + (1 - t) · x.

    The gate is t = sigmoid(x W_carry + b_carry). Input and output (N, C). Srivastava, Greff, Schmidhuber: "Highway
    Networks", 2015.

    Parameters
    ----------
    kernel_initializer : str or Initializer
        Of both kernels, (C, C); Keras 1 called it `init`.
    activation : str or callable, optional
        The f of the formula; default: none.
    kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint : optional
        Of W and b alone, as in Keras 1, where they were `W_regularizer`, ….
    use_bias : bool, default True
        Keras 1 called it `bias`.
    transform_bias : float, default -2
        Where b_carry begins, so that little but the input comes through at first. (Keras 1.2 took no notice of it, and
        began with 1.)
    """

    def __init__(
        self,
        kernel_initializer: Any = "glorot_uniform",
        activation: Any = None,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_bias: bool = True,
        transform_bias: float = -2.0,
        **kwargs: Any,
    ) -> None:
        warn_once("keras.layers.Highway is a layer of Keras 1, which today's Keras has not")
        super().__init__(**kwargs)
        f = activations.get(activation)
        self._function, self._config = getattr(f, "function", f), {"activation": to_plain(activation)}
        self.use_bias, self.transform_bias = bool(use_bias), float(transform_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer, self.bias_regularizer = map(regularizers.get, (kernel_regularizer, bias_regularizer))
        self.kernel_constraint, self.bias_constraint = map(constraints.get, (kernel_constraint, bias_constraint))

    def build(self, input_shape: Any) -> None:
        """Make the weights, both kernels before both biases."""
        if len(input_shape) != 2:
            raise ShapeError(f"Highway takes inputs (N, C): put Flatten() before it. Received: {tuple(input_shape)}")
        size, begins = input_shape[-1], self.kernel_initializer
        kernel = {"regularizer": self.kernel_regularizer, "constraint": self.kernel_constraint}
        bias = {"regularizer": self.bias_regularizer, "constraint": self.bias_constraint}
        self.kernel = self.add_weight("kernel", (size, size), initializer=begins, **kernel)
        self.W_carry = self.add_weight("W_carry", (size, size), initializer=begins)
        if self.use_bias:
            self.bias = self.add_weight("bias", (size,), initializer="zeros", **bias)
            constant = initializers.Constant(self.transform_bias)
            self.b_carry = self.add_weight("b_carry", (size,), initializer=constant)

    def call(self, inputs: Any) -> Any:
        """The mixture, (N, C)."""
        gate, made = inputs @ self.W_carry, inputs @ self.kernel
        if self.use_bias:
            gate, made = gate + self.b_carry, made + self.bias
        t = activations.sigmoid(gate)  # (N, C)
        return t * self._function(made) + (1 - t) * inputs

    def get_config(self) -> dict[str, Any]:
        """The arguments; the attribute `activation` of a layer is a step behind it, and this one stands inside."""
        return super().get_config() | self._config


class _Merge(Layer):
    """Base of layers that make one array of several, by a `_merge_function` that is to be written."""

    def _merge_function(self, inputs: Any) -> Any:
        """What the layer makes of its inputs, a list of two or more."""
        raise NotImplementedError(
            f"{type(self).__name__} has no _merge_function(self, inputs). Received: a class without it"
        )

    def call(self, inputs: Any) -> Any:
        """What `_merge_function` gives.

        Raises
        ------
        ValueError
            For fewer than two inputs.
        """
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            raise ValueError(
                f"layer '{self.name}' merges a list of two or more inputs. Received: {type(inputs).__name__}"
            )
        return self._merge_function(list(inputs))


class OldWeight:
    """What a layer's weight was called in Keras 1, as an attribute; a layer may have one of that name of its own."""

    def __init__(self, today: str) -> None:
        self._today = today

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        warn_once(f"a layer's {self._name} is its {self._today} since Keras 2")
        return getattr(layer, self._today)


def of_an_embedding(input_length: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Arguments of an Embedding, of which Keras 2 was told how many numbers a sample has.

    Raises
    ------
    NotImplementedError
        For ``mask_zero=True``.
    """
    if kwargs.get("mask_zero"):
        raise NotImplementedError(
            "Embedding hands no mask on: leave mask_zero=True out, as convolutions and maxima behind it take no notice "
            "of masks in Keras either; a mean is told, GlobalAveragePooling1D()(x, mask=numbers > 0). Received: "
            "mask_zero=True"
        )
    if input_length is not None:
        warn_once("Embedding(input_length=…) was Keras 2's: today it is input_shape=(…,), or an Input before the layer")
        length = tuple(input_length) if isinstance(input_length, list | tuple) else (input_length,)
        kwargs = {"input_shape": length} | kwargs
    return kwargs


def output_shape_last(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a transposed convolution, of which Keras 1 was told the shape behind it: (32, 3, 3, (None, …))."""
    if "output_shape" in kwargs or (len(args) > 3 and isinstance(args[3], list | tuple)):
        warn_once("Deconvolution2D(output_shape=…) was Keras 1's: today it is computed, and output_padding= adds to it")
        more = dict(zip(("output_shape", "init", "activation", "weights"), args[3:], strict=False))
        return args[:3], kwargs | more
    return args, kwargs


def to_output_shape(core_class: Any) -> dict[str, Callable[..., Any]]:
    """Constructor and `build_for` of a transposed convolution with an `output_shape`, whose sizes padding makes."""
    constructor = core_class.__init__

    @wraps(constructor)
    def __init__(self: Any, *args: Any, output_shape: Any = None, **kwargs: Any) -> None:
        constructor(self, *args, **kwargs)
        if output_shape is not None:
            vars(self)["_wanted"] = tuple(output_shape)

    def build_for(self: Any, input_shapes: Any) -> Any:
        wanted = vars(self).pop("_wanted", None)
        if wanted is not None and self.output_padding is None:
            is_first = self.data_format == "channels_first"
            given = input_shapes[0][1:] if is_first else input_shapes[0][:-1]
            self.output_padding = _padding_to(self, given, _sizes_in(wanted, is_first))
        return core_class.build_for(self, input_shapes)

    return {"__init__": __init__, "build_for": build_for}


def _sizes_in(shape, is_first):
    """(H, W) in the shape of a batch or of a sample, with channels, or as they are."""
    if len(shape) not in (2, 3, 4):
        raise ValueError(f"output_shape has the sizes (height, width) of what is made. Received: {shape}")
    if len(shape) == 4:
        return shape[2:] if is_first else shape[1:-1]
    return shape[-2:]


def _padding_to(layer, given, sizes):
    """The `output_padding` with which a layer makes these sizes of the given ones; None if it makes them without."""
    makes = layer.window((*given, 1))
    if None in (*sizes, *given) or tuple(sizes) == (makes.in_height, makes.in_width):
        return None
    least = [
        (n - 1) * stride + (kernel if layer.padding == "valid" else kernel % 2)
        for n, stride, kernel in zip(given, layer.strides, layer.kernel_size, strict=True)
    ]
    more = tuple(int(size) - low for size, low in zip(sizes, least, strict=True))
    if all(0 <= n < stride for n, stride in zip(more, layer.strides, strict=True)):
        return more
    warn_user(
        f"layer '{layer.name}' (Conv2DTranspose) makes {(makes.in_height, makes.in_width)} of {tuple(given)}, whatever "
        f"output_shape says. Received: output_shape with {tuple(sizes)}"
    )
    return None


class Beginning:
    """How weights began, as TensorFlow 1 kept it: ``run`` gives them numbers as at the start.

    Parameters
    ----------
    weights : sequence of Weight
    """

    def __init__(self, weights: Iterable[Weight]) -> None:
        self._weights = list(weights)
        for weight in self._weights:
            if not hasattr(getattr(weight, "layer", None), f"{weight.name}_initializer"):
                name = getattr(weight, "path", weight.name)
                raise AttributeError(f"the layer of '{name}' keeps no initializer of it: assign numbers to it")

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """New numbers of the layers' initializers."""
        for weight in self._weights:
            initializer = getattr(weight.layer, f"{weight.name}_initializer")
            weight.assign(initializers.get(initializer)(weight.shape, floatx()))


Weight.initializer = property(lambda weight: Beginning([weight]))  # type: ignore[attr-defined]
OLD_WEIGHTS = {"W": OldWeight("kernel"), "b": OldWeight("bias")}
for _name, _weight in OLD_WEIGHTS.items():
    _weight.__set_name__(Layer, _name)


def _adopted(layer, weight):
    """What ``K.variable`` made, as a weight of the layer whose attribute it is."""
    names = [name for name, value in vars(layer).items() if value is weight and isinstance(value, BackendVariable)]
    for name in names[:1]:
        made = Variable(weight.numpy().astype(floatx()), name=name)
        setattr(layer, name, made)
        return made
    return weight


def _weights_setter(is_trainable: bool) -> Callable[[Any, Any], None]:
    """The setter of ``trainable_weights``, or of ``non_trainable_weights``: so Keras 1 said what a layer trains."""
    name = "trainable_weights" if is_trainable else "non_trainable_weights"

    def assign(layer: Any, weights: Any) -> None:
        warn_once(f"layer.{name} = […] is of Keras 1: today it is add_weight(trainable=…), and layer.trainable")
        listed = [_adopted(layer, weight) for weight in weights]
        own = layer.weights
        if not all(isinstance(weight, Weight) and any(weight is mine for mine in own) for weight in listed):
            raise ValueError(
                f"layer.{name} takes weights of layer '{layer.name}' itself: those that its add_weight made, and "
                f"float32 variables in its attributes. Received: {listed}"
            )
        chosen = {id(weight) for weight in listed}
        trained = [weight for weight in own if (id(weight) in chosen) is is_trainable]
        if not trained or trained == [weight for weight in own if weight.has_gradient]:
            layer.trainable = bool(trained)
        elif layer.built and layer.nodes:
            raise ValueError(
                f"which weights of layer '{layer.name}' train is said in its build; once it is part of a model, "
                f"layer.trainable = False stops all. Received: layer.{name} with {len(listed)} of {len(own)} weights"
            )
        else:
            for weight in own:
                weight.has_gradient = any(weight is each for each in trained)

    return assign


WEIGHTS = {
    "trainable_weights": property(asking(core.Layer.trainable_weights.fget), _weights_setter(True)),
    "non_trainable_weights": property(asking(core.Layer.non_trainable_weights.fget), _weights_setter(False)),
}
"""Properties of layers that can be set."""
