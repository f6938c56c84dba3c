"""Networks of ``keras.applications``, without pretrained weights: layers and names are those of Keras's.

So a file of weights that Keras wrote for one of them loads, ``VGG16(weights="vgg16.h5")``; none is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras import _data_format
from minicnn.keras._names import NotInMinicnn
from minicnn.keras.models import Model

_SMALLEST = 32  # pixels of a side: five halvings leave one
_EPSILON = 1.001e-5

Body = Callable[[Tensor], Tensor]


def _with_batch_norm(x, name, relu=None):
    """Batch normalization of this name; then a ReLU of its own."""
    x = layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
    return layers.Activation("relu", name=relu)(x) if relu else x


def _beginning(x, use_bias, pooling):
    """Convolution 7×7 and pooling of strides 2: (N, H, W, 3) → (N, H / 4, W / 4, 64)."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(64, 7, strides=2, use_bias=use_bias, name="conv1_conv")(x)
    x = _with_batch_norm(x, "conv1_bn", "conv1_relu")
    return layers.MaxPooling2D(3, strides=2, name=pooling)(layers.ZeroPadding2D(1, name="pool1_pad")(x))


def _vgg(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Blocks of convolutions 3×3, each halved: Simonyan, Zisserman, 2015, arXiv 1409.1556."""
    for block, (size, filters) in enumerate(zip(sizes, (64, 128, 256, 512, 512), strict=True), 1):
        for i in range(1, size + 1):
            x = layers.Conv2D(filters, 3, activation="relu", padding="same", name=f"block{block}_conv{i}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x


def _vgg_top(x: Tensor) -> Tensor:
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(4096, activation="relu", name="fc2")(layers.Dense(4096, activation="relu", name="fc1")(x))


def _resnet(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Stacks of bottlenecks: He, Zhang, Ren, Sun, 2016, arXiv 1512.03385; the strides are the first convolution's."""
    x = _beginning(x, use_bias=True, pooling="pool1_pool")
    for stack, (size, filters) in enumerate(zip(sizes, (64, 128, 256, 512), strict=True), 2):
        for block in range(1, size + 1):
            strides = 2 if block == 1 and stack > 2 else 1
            x = _bottleneck(x, filters, strides, block == 1, f"conv{stack}_block{block}")
    return x


def _bottleneck(x, filters, strides, widens, name):
    shortcut = x
    if widens:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(x)
        shortcut = _with_batch_norm(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=strides, name=f"{name}_1_conv")(x)
    x = _with_batch_norm(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = _with_batch_norm(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, _with_batch_norm(x, f"{name}_3_bn")])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _densenet(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Blocks whose layers see all before them: Huang, Liu, van der Maaten, Weinberger, 2017, arXiv 1608.06993."""
    x = _beginning(x, use_bias=False, pooling="pool1")
    for block, size in enumerate(sizes, 2):
        for i in range(1, size + 1):
            x = _grown(x, f"conv{block}_block{i}")
        if block <= len(sizes):
            name = f"pool{block}"
            made = _with_batch_norm(x, f"{name}_bn", f"{name}_relu")
            made = layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")(made)
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(made)
    return _with_batch_norm(x, "bn", "relu")


def _grown(x, name):
    """x and 32 channels more."""
    made = _with_batch_norm(x, f"{name}_0_bn", f"{name}_0_relu")
    made = layers.Conv2D(128, 1, use_bias=False, name=f"{name}_1_conv")(made)
    made = _with_batch_norm(made, f"{name}_1_bn", f"{name}_1_relu")
    made = layers.Conv2D(32, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(made)
    return layers.Concatenate(name=f"{name}_concat")([x, made])


def _pooled(x: Tensor) -> Tensor:
    return layers.GlobalAveragePooling2D(name="avg_pool")(x)


_BODIES: dict[str, tuple[Body, Body]] = {  # without the top, and the top before its last layer
    "VGG16": (partial(_vgg, sizes=(2, 2, 3, 3, 3)), _vgg_top),
    "VGG19": (partial(_vgg, sizes=(2, 2, 4, 4, 4)), _vgg_top),
    "ResNet50": (partial(_resnet, sizes=(3, 4, 6, 3)), _pooled),
    "ResNet101": (partial(_resnet, sizes=(3, 4, 23, 3)), _pooled),
    "ResNet152": (partial(_resnet, sizes=(3, 8, 36, 3)), _pooled),
    "DenseNet121": (partial(_densenet, sizes=(6, 12, 24, 16)), _pooled),
    "DenseNet169": (partial(_densenet, sizes=(6, 12, 32, 32)), _pooled),
    "DenseNet201": (partial(_densenet, sizes=(6, 12, 48, 32)), _pooled),
}
_POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def _network(
    which: str,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Tensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """One of `_BODIES` as a model, with the arguments of Keras's function."""
    path = _checked_weights(which, weights)
    image = input_tensor if input_tensor is not None else layers.Input(_image_shape(input_shape, include_top))
    body, top = _BODIES[which]
    x = body(image)
    if include_top:
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(top(x))
    elif pooling is not None:
        x = _POOLINGS[pooling](name=f"{pooling}_pool")(x)
    model = Model(_source(image), x, name=name or which.lower())
    if path is not None:
        model.load_weights(path)
    return model


def _checked_weights(which, weights):
    """The path of a file; None for random weights.

    Raises
    ------
    NotInMinicnn
        For "imagenet".
    ValueError
        For what is no file.
    """
    if weights == "imagenet":
        raise NotInMinicnn(
            f"minicnn has no pretrained {which}, and downloads none: weights=None gives random weights, "
            "weights='path/to/file.h5' those that Keras wrote, and load_model a whole model",
            name=which,
        )
    if weights is not None and not os.path.exists(weights):
        raise ValueError(f"weights is None or the path of a file that is there. Received: weights={weights!r}")
    return weights


def _image_shape(given, include_top):
    """(H, W, C) of the input, 224 × 224 × 3 unless told; any size where there are no dense layers."""
    if _data_format.current() == "channels_first":
        raise ValueError("networks of keras.applications take images with channels last; set_image_data_format says so")
    shape = tuple(given) if given is not None else ((224, 224, 3) if include_top else (None, None, 3))
    if len(shape) != 3 or any(n is not None and n < _SMALLEST for n in shape[:2]):
        raise ValueError(
            f"input_shape is (height, width, channels) with sides of {_SMALLEST} or more. Received: {shape}"
        )
    return shape


def _source(tensor):
    """The input that a tensor was made of."""
    while tensor.node.inputs:
        tensor = tensor.node.inputs[0]
    return tensor


def _named(which):
    def function(*args: Any, **kwargs: Any) -> Model:
        return _network(which, *args, **kwargs)

    function.__name__ = function.__qualname__ = which
    function.__doc__ = f"""{which}, a `Model`, with random weights or those of a file that Keras wrote.

    Parameters
    ----------
    include_top : bool, default True
        Whether the classifying layers are there.
    weights : default "imagenet"
        None, or the path of a file. The default, as it is in Keras, is refused: nothing is downloaded.
    input_tensor : tensor, optional
        What takes the place of an input.
    input_shape : (int, int, int), optional
        Default: (224, 224, 3); any size without the top.
    pooling : {{"avg", "max"}}, optional
        Over all places, without the top.
    classes : int, default 1000
    classifier_activation : default "softmax"
    name : str, optional

    Raises
    ------
    NotInMinicnn
        For ``weights="imagenet"``.
    ValueError
        For a file that is not there, or a side below 32 pixels.
    """
    return function


NETWORKS = {which: _named(which) for which in _BODIES}
