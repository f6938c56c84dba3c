"""MobileNetV3: MobileNetV2's blocks with squeeze and excitation, and hard swish."""

from __future__ import annotations

from typing import Any

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras.applications._mobile import halving_pad, rounded
from minicnn.layers.names import unique_name

# (factor of the filters inside, filters, kernel, strides, whether it is squeezed and excited, whether swish is hard);
# 5 and True in kernel and the last two columns are what a minimalistic network has not.
_SMALL = (
    (1, 16, 3, 2, True, False),
    *((72 / 16, 24, 3, 2, False, False), (88 / 24, 24, 3, 1, False, False)),
    *((4, 40, 5, 2, True, True), (6, 40, 5, 1, True, True), (6, 40, 5, 1, True, True)),
    *((3, 48, 5, 1, True, True), (3, 48, 5, 1, True, True)),
    *((6, 96, 5, 2, True, True), (6, 96, 5, 1, True, True), (6, 96, 5, 1, True, True)),
)
_LARGE = (
    (1, 16, 3, 1, False, False),
    *((4, 24, 3, 2, False, False), (3, 24, 3, 1, False, False)),
    *((3, 40, 5, 2, True, False), (3, 40, 5, 1, True, False), (3, 40, 5, 1, True, False)),
    *((6, 80, 3, 2, False, True), (2.5, 80, 3, 1, False, True), (2.3, 80, 3, 1, False, True)),
    *((2.3, 80, 3, 1, False, True), (6, 112, 3, 1, True, True), (6, 112, 3, 1, True, True)),
    *((6, 160, 5, 2, True, True), (6, 160, 5, 1, True, True), (6, 160, 5, 1, True, True)),
)
BLOCKS = {"MobileNetV3Small": _SMALL, "MobileNetV3Large": _LARGE}
POINTS = {"MobileNetV3Small": 1024, "MobileNetV3Large": 1280}
"""Network → filters of its last convolution before the classes."""


def mobilenet_v3(
    x: Tensor, which: str, alpha: float = 1.0, minimalistic: bool = False, include_preprocessing: bool = True
) -> Tensor:
    """Howard et al., 2019, arXiv 1905.02244.

    Parameters
    ----------
    x : Tensor (N, H, W, 3)
        Pixels from 0 to 255; from -1 to 1 without preprocessing.
    which : str
        A name of `BLOCKS`.
    alpha : float, default 1
        A factor of the filters.
    minimalistic : bool, default False
        Whether kernels are 3×3, there is neither squeezing nor hard swish.
    include_preprocessing : bool, default True
    """
    x = layers.Rescaling(1 / 127.5, -1.0)(x) if include_preprocessing else x
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
    x = activated(_normalized(x, "conv_bn"), not minimalistic)
    for number, (wider, filters, kernel, strides, squeezed, hard) in enumerate(BLOCKS[which]):
        window = (3 if minimalistic else kernel, strides)
        options = (squeezed and not minimalistic, hard and not minimalistic)
        x = _block(x, rounded(filters * alpha), window, wider, options, number)
    x = layers.Conv2D(rounded(x.shape[-1] * 6), 1, padding="same", use_bias=False, name="conv_1")(x)
    return activated(_normalized(x, "conv_1_bn"), not minimalistic)


def mobilenet_v3_top(
    x: Tensor, classes: int, activation: Any, points: int = 1024, dropout: float = 0.2, minimalistic: bool = False
) -> Tensor:
    """The classes, by two convolutions 1×1 of the mean over all places."""
    x = layers.Conv2D(points, 1, padding="same", name="conv_2")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = activated(x, not minimalistic)
    x = layers.Dropout(dropout)(x) if dropout > 0 else x
    x = layers.Flatten()(layers.Conv2D(classes, 1, padding="same", name="logits")(x))
    return layers.Activation(activation or "linear", name="predictions")(x)


def activated(x: Tensor, hard: bool) -> Tensor:
    """Hard swish or ReLU."""
    return layers.Activation("hard_swish")(x) if hard else layers.ReLU()(x)


def _normalized(x, name):
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=name)(x)


def _block(inputs, filters, window, wider, options, number):
    """An inverted residual; `window` is (kernel, strides), `options` (squeezed, hard)."""
    (kernel, strides), (squeezed, hard) = window, options
    x, name = inputs, f"expanded_conv_{number}_" if number else "expanded_conv_"
    wide = rounded(inputs.shape[-1] * wider)
    if number:
        x = layers.Conv2D(wide, 1, padding="same", use_bias=False, name=f"{name}expand")(x)
        x = activated(_normalized(x, f"{name}expand_bn"), hard)
    x = layers.ZeroPadding2D(halving_pad(x, kernel), name=f"{name}depthwise_pad")(x) if strides == 2 else x
    padding = "valid" if strides == 2 else "same"
    x = layers.DepthwiseConv2D(kernel, strides, padding, use_bias=False, name=f"{name}depthwise")(x)
    x = activated(_normalized(x, f"{name}depthwise_bn"), hard)
    x = _excited(x, wide, name) if squeezed else x
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}project")(x)
    x = _normalized(x, f"{name}project_bn")
    return layers.Add(name=f"{name}add")([inputs, x]) if strides == 1 and inputs.shape[-1] == filters else x


def _excited(inputs, wide, name):
    """Squeeze and excitation, with a hard sigmoid."""
    name = f"{name}squeeze_excite_"
    x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}avg_pool")(inputs)
    x = layers.ReLU(name=f"{name}relu")(layers.Conv2D(rounded(wide / 4), 1, padding="same", name=f"{name}conv")(x))
    x = layers.Conv2D(wide, 1, padding="same", name=f"{name}conv_1")(x)
    # Keras has relu6(x + 3) / 6 there, whose layer is a ReLU: by its name those behind it have theirs, activation_17.
    x = layers.Activation("hard_sigmoid", name=unique_name("ReLU"))(x)
    return layers.Multiply(name=f"{name}mul")([inputs, x])
