"""``keras.layers``: minicnn's layers, with the arguments of Keras 1, 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial, wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn import layers as core
from minicnn.differentiation import Recorded
from minicnn.graph import Tensor
from minicnn.keras import _calls, _own_parts
from minicnn.keras._configs import of_input
from minicnn.keras._data_format import or_current, scale_of_channels
from minicnn.keras._eager import eagerly
from minicnn.keras._function_activations import activation, with_functions
from minicnn.keras._in_order import asking
from minicnn.keras._names import lookup
from minicnn.keras._of_keras_3 import OF_LAYERS
from minicnn.keras._on_built_in import OfLayers
from minicnn.keras._on_constants import with_weights
from minicnn.keras._starred import starred
from minicnn.keras._translation import named_today, renamed, translated
from minicnn.keras._warning import warn_once
from minicnn.keras._whole_numbers import note_dtype, without_whole
from minicnn.keras.layers._joined import joining_samples
from minicnn.keras.layers._lambdas import LAMBDA
from minicnn.keras.layers._masks import making_none, masks_of, taking_masks
from minicnn.keras.layers._merging import Merge as Merge
from minicnn.keras.layers._merging import merge, of_one
from minicnn.keras.layers._moments import moments_of
from minicnn.keras.layers._of_keras_1 import (
    OLD_WEIGHTS,
    WEIGHTS,
    Highway,
    MaxoutDense,
    of_an_embedding,
    output_shape_last,
    to_output_shape,
)
from minicnn.keras.layers._of_keras_1 import _Merge as _Merge
from minicnn.keras.layers._of_older_arguments import (
    OF_KERAS_2,
    by_the_whole_batch,
    kernel_of_volumes,
    kernels_apart,
    told_its_rank,
    whole,
    with_mode,
)
from minicnn.keras.layers._of_weights import Using as Using
from minicnn.keras.layers._places import AT
from minicnn.layers import Input as input_of_core  # the module `core` of Keras 2 takes the name `core`, once imported
from minicnn.layers import InputLayer as InputLayerOfCore
from minicnn.settings import floatx
from minicnn.user_warnings import warn_user

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
_OF_TABLES = {"init": "initializer", "W_regularizer": "regularizer", "W_constraint": "constraint"}
_CONVOLUTION = {"nb_filter": "filters", "atrous_rate": "dilation_rate", "filter_size": "kernel_size"}
_OF_CLASS = {
    "Dense": {"output_dim": "units"},
    "Embedding": {old: f"embeddings_{new}" for old, new in _OF_TABLES.items()},
    "MaxoutDense": {"output_dim": "units"},
    "Conv1D": {"nb_filter": "filters", "filter_length": "kernel_size", "subsample_length": "strides"},
    "Conv2D": _CONVOLUTION,
    "Conv2DTranspose": _CONVOLUTION,
    "Conv3D": _CONVOLUTION,
    "SeparableConv2D": _CONVOLUTION,
    "DepthwiseConv2D": _CONVOLUTION,
    "MaxPooling1D": {"pool_length": "pool_size", "stride": "strides"},
    "AveragePooling1D": {"pool_length": "pool_size", "stride": "strides"},
    "Dropout": {"p": "rate"},
    **{f"SpatialDropout{rank}D": {"p": "rate"} for rank in (1, 2, 3)},
    "AlphaDropout": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "LeakyReLU": {"alpha": "negative_slope"},
    "PReLU": {"init": "alpha_initializer"},
    "BatchNormalization": {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer"},
    "UpSampling1D": {"length": "size"},
}
_OLD_NAMES = {
    **{f"Convolution{rank}D{kind}": f"Conv{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose")},
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "AtrousConvolution2D": "Conv2D",
    **{f"{kind}MaxPool{rank}D": f"{kind}MaxPooling{rank}D" for rank in (1, 2, 3) for kind in ("", "Global")},
    **{f"{kind}AvgPool{rank}D": f"{kind}AveragePooling{rank}D" for rank in (1, 2, 3) for kind in ("", "Global")},
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "TimeDistributedDense": "Dense",  # of the numbers at each place, as today of arrays of any rank
}
_WITH_DATA_FORMAT = {n for n, c in core.CLASSES.items() if "data_format" in signature(c.__init__).parameters}
_COUNTING = {n for n in core.CLASSES if n == "Dense" or n.startswith(("Conv", "SeparableConv"))}
_STILL_THERE = {  # second names that today's Keras has too
    *("SeparableConvolution1D", "SeparableConvolution2D"),
    *(old for old in _OLD_NAMES if old.startswith("Convolution") or "MaxPool" in old or "AvgPool" in old),
}
_WITH_WEIGHTS = {
    *("AdditiveAttention", "Attention", "EinsumDense", "GroupQueryAttention", "MultiHeadAttention"),
    *("BatchNormalization", "ConstantTensor", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Dense"),
    *("Conv3D", "Conv3DTranspose"),
    *("DepthwiseConv1D", "DepthwiseConv2D", "GroupNormalization", "LayerNormalization", "Normalization", "PReLU"),
    *("Embedding", "LayerScale", "RMSNormalization", "SeparableConv1D", "SeparableConv2D", "SpectralNormalization"),
    "TimeDistributed",
}
_WRAPPERS = ("SpectralNormalization", "TimeDistributed")
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
    if name == "Conv3D":
        args, kwargs = kernel_of_volumes(args, kwargs)
    if name.startswith(("SeparableConv", "DepthwiseConv")):
        kwargs = kernels_apart(name, kwargs)
    kwargs = named_today(renamed(name, kwargs, _EVERYWHERE | _OF_CLASS.get(name, {})))
    if args and name in _COUNTING:
        args = (whole(args[0]), *args[1:])
    kwargs |= {n: whole(kwargs[n]) for n in ("units", "filters") if n in kwargs}
    if name == "InputLayer":
        kwargs = _input_shape(args, kwargs)
    if name == "Embedding":
        kwargs = of_an_embedding(**kwargs)
    if name.startswith("Conv"):
        _check_strides(name, args, kwargs)
    if name == "Activation" and args:
        args = (activation(args[0]), *args[1:])
    if name in _WRAPPERS and isinstance(kwargs.get("layer"), Mapping):  # of a config: a layer of Keras's
        kwargs["layer"] = __getattr__("deserialize")(kwargs["layer"])
    if name == "Rescaling":
        args, kwargs = scale_of_channels(args, kwargs)
    kwargs = with_functions(kwargs)
    if name in _WITH_DATA_FORMAT and not _is_given("data_format", name, args):
        given, today = kwargs.get("data_format"), or_current(kwargs.get("data_format"))
        kwargs["data_format"] = today if today in ("channels_first", given) else None  # minicnn's default
        if given in (None, "default") and today == "channels_last":
            _advise_on_channels(name, kwargs.get("input_shape"))
    if name == "BatchNormalization":
        kwargs = by_the_whole_batch(kwargs)
    return args, kwargs


def _check_strides(name, args, kwargs):
    """Raise ValueError for a convolution that Keras has not, so that its files could not be read there."""
    with suppress(TypeError):  # the constructor says what is wrong with them
        given = signature(core.CLASSES[name].__init__).bind(None, *args, **kwargs).arguments
        if all(np.max(given.get(n, 1)) > 1 for n in ("strides", "dilation_rate")):
            raise ValueError(
                f"{name} takes strides or a dilation_rate above 1, not both, as in Keras; minicnn.layers.{name} takes "
                f"both. Received: strides={given['strides']} and dilation_rate={given['dilation_rate']}"
            )


def _advise_on_channels(name, shape):
    """Warn where images seem to have their channels in front, which Keras 1 took unless told, with Theano."""
    if isinstance(shape, tuple | list) and len(shape) == 3 and shape[0] in (1, 3) and (shape[2] or 0) > 4:
        warn_user(
            f"{name}(input_shape={tuple(shape)}) has {shape[0]} row(s) of {shape[1]} pixels with {shape[2]} channels: "
            'if the channels come first, write keras.backend.set_image_data_format("channels_first") before the layers'
        )


def _input_shape(args, kwargs):
    """Arguments of an InputLayer without those of the batch, which may have any size; `batch_shape` gives the shape."""
    if kwargs.get("input_shape") is not None and "shape" not in kwargs:
        warn_user("InputLayer(input_shape=…) is an argument of Keras 2: today it is shape=")
    if kwargs.get("input_tensor") is not None:
        kwargs = _like_tensor(**kwargs)
    if kwargs.get("batch_shape") is not None:
        if args or kwargs.get("shape") is not None or kwargs.get("batch_size") is not None:
            raise ValueError(f"InputLayer takes shape= and batch_size=, or batch_shape= alone. Received: {kwargs}")
        batch, *shape = kwargs["batch_shape"]
        kwargs = {**kwargs, "shape": tuple(shape), "batch_size": batch}
    nothing = {"batch_shape", *(n for n in ("sparse", "ragged", "optional") if not kwargs.get(n))}
    return {name: value for name, value in kwargs.items() if name not in nothing}


def _like_tensor(input_tensor, **kwargs):
    """Arguments of an InputLayer for a tensor, which is the layer's output; others must agree with it.

    Raises
    ------
    ValueError
        If one does not, or it is no tensor.
    """
    if not isinstance(input_tensor, Tensor):
        raise ValueError(f"input_tensor is what Input returned. Received: {input_tensor!r}")
    shape, dtype = input_tensor.shape, getattr(input_tensor, "dtype", floatx())
    batch, own = kwargs.pop("batch_shape", None), kwargs.pop("shape", None)
    size = _batch_size_of(input_tensor)
    fits = {
        "shape": own is None or tuple(own) == shape[1:],
        "batch_shape": batch is None or tuple(batch)[1:] == shape[1:],
        "batch_size": kwargs.get("batch_size") in (None, size) or size is None,
        "dtype": kwargs.get("dtype") in (None, dtype),
        "sparse": not kwargs.get("sparse"),
        "ragged": not kwargs.get("ragged"),
    }
    wrong = [name for name, is_right in fits.items() if not is_right]
    if wrong:
        raise ValueError(f"InputLayer(input_tensor=…) has the tensor's {wrong[0]}. Received: another {wrong[0]}")
    return {"batch_size": size} | kwargs | {"shape": shape[1:], "input_tensor": input_tensor}


def _batch_size_of(tensor):
    """The size of batches that an Input was given; None if it was given none."""
    return getattr(tensor.node.layer, "batch_size", None)


def _is_given(argument, name, args):
    """Whether an argument of the layer `name` is among the positional ones."""
    return list(signature(core.CLASSES[name].__init__).parameters).index(argument) <= len(args)


def _kernel_size(name, args, kwargs):
    """Keras 1 took rows and columns of the kernel: Convolution2D(32, 3, 3, border_mode="same")."""
    if "nb_row" in kwargs or "nb_col" in kwargs:
        kwargs = {**kwargs, "kernel_size": (kwargs["nb_row"], kwargs["nb_col"])}
        del kwargs["nb_row"], kwargs["nb_col"]
    if name == "Conv2DTranspose":
        args, kwargs = output_shape_last(args, kwargs)
    if "kernel_size" in kwargs:
        return args, kwargs
    if len(args) == 3 and all(isinstance(a, int) for a in args):
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
    return property(asking(lambda layer: getattr(layer, which)))


def _built_of(core_class, name):
    """Whether the weights exist; a layer that has none is built from the start, unless a subclass builds some."""

    def built(layer: core.Layer) -> bool:
        return layer._built or (name not in _WITH_WEIGHTS and type(layer).build is core_class.build)

    return property(built)


def _output_of_input(layer):
    """The tensor of an InputLayer, which is there as soon as the layer is; maybe one that it was given."""
    if "_tensor" in vars(layer):
        return vars(layer)["_tensor"]
    return (layer.nodes or [layer.call_symbolically([])])[0].outputs[0]


@wraps(InputLayerOfCore.__init__)
def _make_input(layer, *args, batch_size=None, input_tensor=None, **kwargs):
    """The constructor of an InputLayer; it keeps the size of batches that it was given, and no more."""
    InputLayerOfCore.__init__(layer, *args, **without_whole(kwargs, input_tensor))
    vars(layer).update({"batch_size": batch_size} if batch_size is not None else {})
    vars(layer).update({"_tensor": input_tensor} if input_tensor is not None else {})


_INPUT = {
    "__init__": _make_input,
    "batch_size": None,
    "sparse": False,
    "ragged": False,
    "batch_shape": property(lambda layer: (layer.batch_size, *layer.shape)),
    "input": property(_output_of_input),
    "output": property(_output_of_input),
    "get_config": of_input,
}
Tensor._keras_shape = Recorded._keras_shape = property(lambda tensor: tensor.shape)  # type: ignore[attr-defined]
_SHAPES: dict[str, Any] = {"input_shape": _shape_of("input"), "output_shape": _shape_of("output")}
_CALLS = _calls.METHODS
VARIABLES: dict[str, Any] = OF_LAYERS | {
    "variables": _variables_of("weights"),
    "trainable_variables": _variables_of("trainable_weights"),
    "non_trainable_variables": _variables_of("non_trainable_weights"),
}


for _shared, _property in AT.items():
    setattr(core.Layer, _shared, _property)  # operations on tensors are layers of a model, too
for _shared, _property in {"input": property(_output_of_input), "get_config": of_input, **_SHAPES}.items():
    setattr(InputLayerOfCore, _shared, _property)  # which a model's layers begin with
for _variables, _property in {**VARIABLES, **WEIGHTS, **masks_of("Layer")}.items():
    setattr(_own_parts.Layer, _variables, _property)
_own_parts.Layer.__call__ = making_none(_own_parts.Layer.__call__)  # type: ignore[method-assign]
for _name, _class in {**core.CLASSES, "Lambda": core.Lambda}.items():
    _more = {} if _name == "Lambda" else _SHAPES  # whose output_shape is an argument
    _more = {**_more, "built": _built_of(_class, _name), **masks_of(_name), **moments_of(_name)}
    _call = joining_samples(_class.__call__) if _name == "Concatenate" else _class.__call__
    _call = of_one(_call) if _name in _FUNCTIONS.values() else _call
    _more["__call__"] = _call_of = with_weights(eagerly(taking_masks(_name, _call)))
    for _old, _today in OLD_WEIGHTS.items() if _name.startswith(("Dense", "Conv")) else ():
        setattr(_class, _old, _today)  # of a model that was loaded, too
    if _name == "InputLayer":
        _more |= _INPUT
    if _name == "Conv2DTranspose":
        _more |= to_output_shape(_class)
    if _name == "Lambda":
        _more |= LAMBDA
    if _name == "BatchNormalization":
        _more |= with_mode(_class, _call_of)
    _more["__init__"] = _calls.translating(_more.get("__init__", _class.__init__))
    _more |= {"rank": next(n for n in (1, 2, 3) if f"{n}D" in _name)} if "Conv" in _name else {}
    _base = told_its_rank(_class) if _name in ("Conv1D", "Conv2D", "Conv3D") else None
    globals()[_name] = translated(
        _class, partial(_translate, _name), __name__, OfLayers, _base, **VARIABLES, **_CALLS | WEIGHTS | _more
    )
Layer = _own_parts.Layer
Layer.__call__ = with_weights(Layer.__call__)  # type: ignore[method-assign]
for _own in (MaxoutDense, Highway):
    _own.translate = partial(_translate, _own.__name__)
    for _old, _today in OLD_WEIGHTS.items():
        setattr(_own, _old, _today)


@wraps(input_of_core)
def Input(*args: Any, **kwargs: Any) -> Tensor:
    """A symbolic tensor, as `minicnn.Input` makes it, whose layer keeps the size of batches that it was given."""
    kwargs = named_today(kwargs)
    tensor = input_of_core(*args, **kwargs)
    given = signature(input_of_core).bind(*args, **kwargs).arguments
    size = given.get("batch_size") or (given.get("batch_shape") or [None])[0]
    vars(tensor.node.layer).update({} if size is None else {"batch_size": size})
    return note_dtype(tensor, given.get("dtype"))


def _called_at_once(class_name):
    def function(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return globals()[class_name](*args, **kwargs)(inputs)

    function.__name__ = next(name for name, cls in _FUNCTIONS.items() if cls == class_name)
    function.__doc__ = f"``{class_name}(**kwargs)(inputs)``."
    return function


_merge_function = merge  # keras.layers.merge is a module, once it was imported as one


for _function, _name in _FUNCTIONS.items():
    if _name in core.CLASSES:
        globals()[_function] = _called_at_once(_name)
for _old in _STILL_THERE:
    if _OLD_NAMES[_old] in core.CLASSES:
        globals()[_old] = globals()[_OLD_NAMES[_old]]


_NAMES = {
    "InputSpec": "minicnn.keras.layers._input_spec",
    "get_source_inputs": "minicnn.keras.utils",
    "interfaces": "minicnn.keras._interfaces",
    **dict.fromkeys(OF_KERAS_2, "minicnn.keras.layers._of_keras_2"),
    "serialize": "minicnn.keras.saving._objects.serialize_keras_object",
    "deserialize": "minicnn.keras.layers._of_config.deserialize",
    "Wrapper": "minicnn.keras.layers._wrapper",
    **dict.fromkeys(("_Conv", "_Pooling1D", "_Pooling2D", "_Pooling3D"), "minicnn.keras.layers._of_rank"),
    **{f"_GlobalPooling{rank}D": "minicnn.keras.layers._of_rank" for rank in (1, 2, 3)},
}
__getattr__ = lookup(
    __name__, ["minicnn.layers"], names=_NAMES, old={k: v for k, v in _OLD_NAMES.items() if k not in _STILL_THERE}
)
_OTHERS = {
    *("Highway", "Input", "K", "Lambda", "Layer", "MaxoutDense", "Merge", "merge", "np"),
    *(name for name in _STILL_THERE if name in globals()),
}
__all__ = sorted({*core.CLASSES, *_OTHERS, *(f for f, c in _FUNCTIONS.items() if c in core.CLASSES)})
__all__ += starred(__name__)
