"""EfficientNetV2: EfficientNet whose first blocks have one convolution in the place of two."""

from __future__ import annotations

import math

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras.applications._mobile import (
    excited,
    joined,
    normalized_convolution,
    swish_convolution,
    to_outputs,
)

# (whether its convolutions are fused, blocks, filters, how many times wider inside, strides of the first one)
_OF_B = (
    *((True, 1, 16, 1, 1), (True, 2, 32, 4, 2), (True, 2, 48, 4, 2)),
    *((False, 3, 96, 4, 2), (False, 5, 112, 6, 1), (False, 8, 192, 6, 2)),
)
_OF_S = (
    *((True, 2, 24, 1, 1), (True, 4, 48, 4, 2), (True, 4, 64, 4, 2)),
    *((False, 6, 128, 4, 2), (False, 9, 160, 6, 1), (False, 15, 256, 6, 2)),
)
_OF_M = (
    *((True, 3, 24, 1, 1), (True, 5, 48, 4, 2), (True, 5, 80, 4, 2), (False, 7, 160, 4, 2)),
    *((False, 14, 176, 6, 1), (False, 18, 304, 6, 2), (False, 5, 512, 6, 1)),
)
_OF_L = (
    *((True, 4, 32, 1, 1), (True, 7, 64, 4, 2), (True, 7, 96, 4, 2), (False, 10, 192, 4, 2)),
    *((False, 19, 224, 6, 1), (False, 25, 384, 6, 2), (False, 7, 640, 6, 1)),
)
_STAGES = {"b": (_OF_B, 32), "s": (_OF_S, 24), "m": (_OF_M, 24), "l": (_OF_L, 32)}  # and the filters of the stem
_MOMENTUM = 0.9  # of all batch normalizations
_DROPPED = 0.2  # the share of samples whose last block is left out in training; that of the others grows up to it
_MEANS, _DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels


def efficientnet_v2(
    x: Tensor, size: str = "b", width: float = 1.0, depth: float = 1.0, include_preprocessing: bool = True
) -> Tensor:
    """Tan, Le: "EfficientNetV2: smaller models and faster training", 2021, arXiv 2104.00298.

    Parameters
    ----------
    x : Tensor (N, H, W, 3)
        Pixels from 0 to 255; without preprocessing as the network wants them.
    size : {"b", "s", "m", "l"}
    width, depth : float, default 1
        Factors of the filters and of the blocks.
    include_preprocessing : bool, default True
    """
    stages, stem = _STAGES[size]
    x = _preprocessed(x, size) if include_preprocessing else x
    x = swish_convolution(x, _rounded(stem * width), "stem", kernel=3, strides=2, momentum=_MOMENTUM)
    done, total = 0, sum(blocks for _, blocks, _, _, _ in stages)
    for stage, (is_fused, blocks, filters, wider, first) in enumerate(stages, 1):
        for block in range(math.ceil(depth * blocks)):
            name, strides = f"block{stage}{chr(ord('a') + block)}", first if block == 0 else 1
            kind = _fused if is_fused else _separate
            made = kind(x, _rounded(filters * width), strides, wider, name)
            x = joined(x, made, _DROPPED * done / total, name) if strides == 1 and made.shape == x.shape else made
            done += 1
    return swish_convolution(x, _rounded(1280 * width), "top", momentum=_MOMENTUM)


def _preprocessed(x, size):
    if size == "b" and x.shape[-1] == 3:
        variance = [each**2 for each in _DEVIATIONS]
        return layers.Normalization(axis=-1, mean=list(_MEANS), variance=variance)(layers.Rescaling(1 / 255)(x))
    return layers.Rescaling(1 / 128, -1.0)(x)


def _rounded(filters):
    """The nearest multiple of 8, and at least 8."""
    return max(8, int(filters + 4) // 8 * 8)


def _fused(inputs, filters, strides, wider, name):
    if wider == 1:
        return swish_convolution(inputs, filters, f"{name}_project", 3, strides, momentum=_MOMENTUM)
    x = swish_convolution(inputs, inputs.shape[-1] * wider, f"{name}_expand", 3, strides, momentum=_MOMENTUM)
    return normalized_convolution(x, filters, f"{name}_project", momentum=_MOMENTUM)


def _separate(inputs, filters, strides, wider, name):
    x = swish_convolution(inputs, inputs.shape[-1] * wider, f"{name}_expand", momentum=_MOMENTUM)
    options = {"use_bias": False, "depthwise_initializer": to_outputs(), "name": f"{name}_dwconv2"}
    x = layers.DepthwiseConv2D(3, strides, "same", **options)(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")(x)
    x = layers.Activation("swish", name=f"{name}_activation")(x)
    return normalized_convolution(
        excited(x, inputs.shape[-1] // 4, name), filters, f"{name}_project", momentum=_MOMENTUM
    )
