"""MobileNet, MobileNetV2 and EfficientNet: networks of depthwise convolutions, for small devices."""

from __future__ import annotations

import math
from typing import Any

from minicnn import initializers, layers
from minicnn.graph import Tensor


def rounded(filters: float) -> int:
    """The nearest multiple of 8 that is not below nine tenths of the number, and at least 8."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * filters else nearest + 8


def halving_pad(x: Tensor, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """What a depthwise convolution of strides 2 pads before it: one less above and left of sides that are even."""
    half = kernel // 2
    first = [half - (1 - side % 2 if side is not None else 1) for side in x.shape[1:3]]
    return (first[0], half), (first[1], half)


# ------------------------------------------------------------------------------------------------------- MobileNet


def mobilenet(x: Tensor, alpha: float = 1.0, depth_multiplier: int = 1) -> Tensor:
    """Depthwise convolutions, each followed by one of 1×1: Howard et al., 2017, arXiv 1704.04861."""
    x = layers.Conv2D(int(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")(x)
    x = _relu6(layers.BatchNormalization(name="conv1_bn")(x), "conv1_relu")
    filters = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
    for block, wide in enumerate(filters, 1):
        strides = 2 if block in (2, 4, 6, 12) else 1
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{block}")(x) if strides == 2 else x
        padding, name = "valid" if strides == 2 else "same", f"conv_dw_{block}"
        depthwise = layers.DepthwiseConv2D(3, strides, padding, depth_multiplier, use_bias=False, name=name)
        x = _relu6(layers.BatchNormalization(name=f"{name}_bn")(depthwise(x)), f"{name}_relu")
        name = f"conv_pw_{block}"
        x = layers.Conv2D(int(wide * alpha), 1, padding="same", use_bias=False, name=name)(x)
        x = _relu6(layers.BatchNormalization(name=f"{name}_bn")(x), f"{name}_relu")
    return x


def mobilenet_top(x: Tensor, classes: int, activation: Any, dropout: float = 1e-3) -> Tensor:
    """The classes, by a convolution 1×1 of the mean over all places."""
    x = layers.Dropout(dropout, name="dropout")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(classes, 1, padding="same", name="conv_preds")(x)
    return layers.Activation(activation or "linear", name="predictions")(
        layers.Reshape((classes,), name="reshape_2")(x)
    )


def _relu6(x, name):
    return layers.ReLU(6.0, name=name)(x)


# ----------------------------------------------------------------------------------------------------- MobileNetV2

# (filters, blocks, strides of the first one)
_STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


def mobilenet_v2(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Inverted residuals, narrow outside and wide inside: Sandler et al., 2018, arXiv 1801.04381."""
    x = layers.Conv2D(rounded(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="Conv1")(x)
    x = _relu6(_normalized(x, "bn_Conv1"), "Conv1_relu")
    number = 0
    for filters, blocks, first_strides in _STAGES:
        for strides in (first_strides, *[1] * (blocks - 1)):
            x = _inverted_residual(x, rounded(int(filters * alpha)), strides, number)
            number += 1
    x = layers.Conv2D(rounded(1280 * max(alpha, 1.0)), 1, use_bias=False, name="Conv_1")(x)
    return _relu6(_normalized(x, "Conv_1_bn"), "out_relu")


def _inverted_residual(inputs, filters, strides, number):
    x, channels = inputs, inputs.shape[-1]
    name = f"block_{number}" if number else "expanded_conv"
    if number:
        x = layers.Conv2D(6 * channels, 1, padding="same", use_bias=False, name=f"{name}_expand")(x)
        x = _relu6(_normalized(x, f"{name}_expand_BN"), f"{name}_expand_relu")
    x = layers.ZeroPadding2D(halving_pad(x, 3), name=f"{name}_pad")(x) if strides == 2 else x
    padding = "valid" if strides == 2 else "same"
    x = layers.DepthwiseConv2D(3, strides, padding, use_bias=False, name=f"{name}_depthwise")(x)
    x = _relu6(_normalized(x, f"{name}_depthwise_BN"), f"{name}_depthwise_relu")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
    x = _normalized(x, f"{name}_project_BN")
    return layers.Add(name=f"{name}_add")([inputs, x]) if channels == filters and strides == 1 else x


def _normalized(x, name):
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=name)(x)


# ---------------------------------------------------------------------------------------------------- EfficientNet

# (kernel, blocks, filters, how many times wider inside, strides of the first one)
_BLOCKS = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
_DROPPED = 0.2  # the share of samples whose last block is left out in training; that of the others grows up to it
_DEVIATIONS = (0.229, 0.224, 0.225)  # of ImageNet's channels


def to_outputs() -> initializers.Initializer:
    """He's initial values, by the number of outputs."""
    return initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def efficientnet(x: Tensor, width: float = 1.0, depth: float = 1.0, of_imagenet: bool = False) -> Tensor:
    """MobileNetV2's blocks with squeeze and excitation, all made larger together: Tan, Le, 2019, arXiv 1905.11946.

    Parameters
    ----------
    x : Tensor (N, H, W, 3)
        Pixels from 0 to 255.
    width, depth : float, default 1
        Factors of the filters and of the blocks.
    of_imagenet : bool, default False
        Whether weights of ImageNet come, for which pixels are divided by √deviation once more, as in Keras.
    """
    x = layers.Normalization(axis=-1)(layers.Rescaling(1 / 255)(x))
    x = layers.Rescaling([1 / math.sqrt(each) for each in _DEVIATIONS])(x) if of_imagenet else x
    x = layers.ZeroPadding2D(halving_pad(x, 3), name="stem_conv_pad")(x)
    x = swish_convolution(x, rounded(32 * width), "stem", kernel=3, strides=2, padding="valid")
    repeats = [math.ceil(depth * blocks) for _, blocks, _, _, _ in _BLOCKS]
    done, total = 0, sum(repeats)
    for stage, ((kernel, _, filters, wider, first), blocks) in enumerate(zip(_BLOCKS, repeats, strict=True), 1):
        for block in range(blocks):
            name, strides = f"block{stage}{chr(ord('a') + block)}", first if block == 0 else 1
            made = _excited(x, rounded(filters * width), (kernel, strides), wider, name)
            x = joined(x, made, _DROPPED * done / total, name) if strides == 1 and made.shape == x.shape else made
            done += 1
    return swish_convolution(x, rounded(1280 * width), "top")


def efficientnet_top(x: Tensor, classes: int, activation: Any, dropout: float = 0.2) -> Tensor:
    """The classes, by a dense layer of the mean over all places."""
    x = layers.Dropout(dropout, name="top_dropout")(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    start = initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
    return layers.Dense(classes, activation=activation, kernel_initializer=start, name="predictions")(x)


def swish_convolution(
    x: Tensor,
    filters: int,
    name: str,
    kernel: int = 1,
    strides: int = 1,
    padding: str = "same",
    momentum: float = 0.99,
) -> Tensor:
    """Convolution, batch normalization, swish."""
    x = normalized_convolution(x, filters, name, kernel, strides, padding, momentum)
    return layers.Activation("swish", name=f"{name}_activation")(x)


def normalized_convolution(
    x: Tensor,
    filters: int,
    name: str,
    kernel: int = 1,
    strides: int = 1,
    padding: str = "same",
    momentum: float = 0.99,
) -> Tensor:
    """Convolution, batch normalization."""
    options = {"use_bias": False, "kernel_initializer": to_outputs(), "name": f"{name}_conv"}
    x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, **options)(x)
    return layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)


def _excited(inputs, filters, window, wider, name):
    """A block without the sum; `window` is (kernel, strides) of its depthwise convolution."""
    kernel, strides = window
    wide = inputs.shape[-1] * wider
    x = swish_convolution(inputs, wide, f"{name}_expand") if wider != 1 else inputs
    x = layers.ZeroPadding2D(halving_pad(x, kernel), name=f"{name}_dwconv_pad")(x) if strides == 2 else x
    options = {"use_bias": False, "depthwise_initializer": to_outputs(), "name": f"{name}_dwconv"}
    x = layers.DepthwiseConv2D(kernel, strides, "valid" if strides == 2 else "same", **options)(x)
    x = layers.Activation("swish", name=f"{name}_activation")(layers.BatchNormalization(name=f"{name}_bn")(x))
    return normalized_convolution(excited(x, inputs.shape[-1] // 4, name), filters, f"{name}_project")


def excited(x: Tensor, narrow: int, name: str) -> Tensor:
    """Squeeze and excitation: each channel times a number from 0 to 1, of the means of all over `narrow` others."""
    wide = x.shape[-1]
    factors = layers.GlobalAveragePooling2D(name=f"{name}_se_squeeze")(x)
    factors = layers.Reshape((1, 1, wide), name=f"{name}_se_reshape")(factors)
    for size, activation, part in ((narrow, "swish", "se_reduce"), (wide, "sigmoid", "se_expand")):
        options = {"activation": activation, "kernel_initializer": to_outputs(), "name": f"{name}_{part}"}
        factors = layers.Conv2D(max(1, size), 1, padding="same", **options)(factors)
    return layers.Multiply(name=f"{name}_se_excite")([x, factors])


def joined(inputs: Tensor, made: Tensor, dropped: float, name: str) -> Tensor:
    """Their sum; in training without `made` in a part of the samples."""
    if dropped > 0:
        made = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(made)
    return layers.Add(name=f"{name}_add")([made, inputs])
