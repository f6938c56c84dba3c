"""``keras.layers``: minicnn's layers, with the arguments of Keras 1, 2 and 3."""

from __future__ import annotations

from functools import partial
from typing import Any

from minicnn import layers as core
from minicnn.keras import _own_parts
from minicnn.keras._eager import eagerly
from minicnn.keras._names import lookup
from minicnn.keras._translation import renamed, translated
from minicnn.keras._warning import warn_once

# Keras 1's name of an argument → today's, for all layers and for single ones.
_EVERYWHERE = {
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
    "border_mode": "padding",
    "subsample": "strides",
    "dim_ordering": "data_format",
}
_CONVOLUTION = {"nb_filter": "filters", "atrous_rate": "dilation_rate", "filter_size": "kernel_size"}
_OF_CLASS = {
    "Dense": {"output_dim": "units"},
    "Conv1D": {"nb_filter": "filters", "filter_length": "kernel_size", "subsample_length": "strides"},
    "Conv2D": _CONVOLUTION,
    "Conv2DTranspose": _CONVOLUTION,
    "SeparableConv2D": _CONVOLUTION,
    "DepthwiseConv2D": _CONVOLUTION,
    "MaxPooling1D": {"pool_length": "pool_size", "stride": "strides"},
    "AveragePooling1D": {"pool_length": "pool_size", "stride": "strides"},
    "Dropout": {"p": "rate"},
    "SpatialDropout1D": {"p": "rate"},
    "SpatialDropout2D": {"p": "rate"},
    "AlphaDropout": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "LeakyReLU": {"alpha": "negative_slope"},
    "PReLU": {"init": "alpha_initializer"},
    "BatchNormalization": {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer"},
    "UpSampling1D": {"length": "size"},
}
_DATA_FORMATS = {"tf": None, "th": "channels_first", "default": None}
_OLD_NAMES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2DTranspose": "Conv2DTranspose",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "AtrousConvolution2D": "Conv2D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool1D": "MaxPooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool1D": "AveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
}
_STILL_THERE = {  # second names that today's Keras has too
    *(
        "Convolution1D",
        "Convolution2D",
        "Convolution2DTranspose",
        "SeparableConvolution2D",
        "Convolution1DTranspose",
        "SeparableConvolution1D",
        "MaxPool2D",
        "MaxPool1D",
    ),
    *("AvgPool2D", "AvgPool1D", "GlobalAvgPool2D", "GlobalMaxPool2D", "GlobalAvgPool1D", "GlobalMaxPool1D"),
}
_FUNCTIONS = {  # layers that are called at once: add([a, b])
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "average": "Average",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "concatenate": "Concatenate",
    "dot": "Dot",
}


def _translate(name, args, kwargs):
    """Arguments of the layer `name` as today's Keras takes them."""
    if name.startswith(("Conv2D", "SeparableConv2D")):
        args, kwargs = _kernel_size(name, args, kwargs)
    kwargs = renamed(name, kwargs, _EVERYWHERE | _OF_CLASS.get(name, {}))
    if kwargs.get("data_format") in _DATA_FORMATS:
        kwargs["data_format"] = _DATA_FORMATS[kwargs["data_format"]]
    if name == "BatchNormalization" and kwargs.pop("mode", 0) != 0:
        raise ValueError("BatchNormalization(mode=…) was dropped by Keras 2; mode=0 is what there is")
    if name == "LeakyReLU":
        kwargs.setdefault("negative_slope", args[0] if args else 0.3)
        args = ()
    return args, kwargs


def _kernel_size(name, args, kwargs):
    """Keras 1 took rows and columns of the kernel: Convolution2D(32, 3, 3, border_mode="same")."""
    if "nb_row" in kwargs or "nb_col" in kwargs:
        kwargs = {**kwargs, "kernel_size": (kwargs["nb_row"], kwargs["nb_col"])}
        del kwargs["nb_row"], kwargs["nb_col"]
    elif len(args) == 3 and all(isinstance(a, int) for a in args):
        if kwargs.keys() & _EVERYWHERE.keys() or "strides" in kwargs:
            return args[:1], {**kwargs, "kernel_size": args[1:]}
        if args[1] == args[2] > 2:
            warn_once(
                f"{name}{args}: read as Keras 1 meant it, kernel_size={args[1:]}; today the third argument would be "
                f"strides={args[2]}: write {name}({args[0]}, {args[1:]}) or strides={args[2]}"
            )
            return args[:1], {**kwargs, "kernel_size": args[1:]}
    return args, kwargs


def _shape_of(which):
    """The shape of a layer's input or output, with the batch axis: what it was in Keras 1 and 2."""

    def shape(layer: core.Layer) -> Any:
        tensors = getattr(layer, which)
        return [t.shape for t in tensors] if isinstance(tensors, list) else tensors.shape

    return property(shape)


def _variables_of(which):
    """What today's Keras calls variables, too."""
    return property(lambda layer: getattr(layer, which))


_SHAPES: dict[str, Any] = {"input_shape": _shape_of("input"), "output_shape": _shape_of("output")}
VARIABLES: dict[str, Any] = {
    "variables": _variables_of("weights"),
    "trainable_variables": _variables_of("trainable_weights"),
    "non_trainable_variables": _variables_of("non_trainable_weights"),
}
for _variables, _property in VARIABLES.items():
    setattr(_own_parts.Layer, _variables, _property)
for _name, _class in core.CLASSES.items():
    _more = {} if _name == "Lambda" else dict(_SHAPES)  # whose output_shape is an argument
    _more["__call__"] = eagerly(_class.__call__)
    globals()[_name] = translated(_class, partial(_translate, _name), __name__, **VARIABLES, **_more)
Layer = _own_parts.Layer
Input = core.Input


def _called_at_once(class_name):
    def function(inputs: Any, **kwargs: Any) -> Any:
        return globals()[class_name](**kwargs)(inputs)

    function.__name__ = next(name for name, cls in _FUNCTIONS.items() if cls == class_name)
    function.__doc__ = f"``{class_name}(**kwargs)(inputs)``."
    return function


for _function, _name in _FUNCTIONS.items():
    if _name in core.CLASSES:
        globals()[_function] = _called_at_once(_name)
for _old in _STILL_THERE:
    if _OLD_NAMES[_old] in core.CLASSES:
        globals()[_old] = globals()[_OLD_NAMES[_old]]


def ThresholdedReLU(theta: float = 1.0, **kwargs: Any) -> core.Layer:
    """Keras 2's layer: numbers above theta, else 0; today it is ``ReLU(threshold=theta)``."""
    warn_once("keras.layers.ThresholdedReLU is a name of an older Keras: today it is ReLU(threshold=theta)")
    return globals()["ReLU"](threshold=float(theta), **kwargs)


_NAMES = {"serialize": "minicnn.registry.to_plain", "deserialize": "minicnn.layers.get"}
__getattr__ = lookup(
    __name__, ["minicnn.layers"], names=_NAMES, old={k: v for k, v in _OLD_NAMES.items() if k not in _STILL_THERE}
)
__all__ = sorted({*core.CLASSES, "Layer", "Input", *(f for f, c in _FUNCTIONS.items() if c in core.CLASSES)})
