"""InceptionResNetV2: InceptionV3's branches beside shortcuts."""

from __future__ import annotations

from typing import Any

from minicnn import layers
from minicnn.graph import Tensor
from minicnn.keras._operation_marks import marked
from minicnn.keras.applications._inception import Branch, convolution, through

_BLOCKS: dict[str, tuple[Branch, ...]] = {
    "block35": (((32, 1, 1),), ((32, 1, 1), (32, 3, 3)), ((32, 1, 1), (48, 3, 3), (64, 3, 3))),
    "block17": (((192, 1, 1),), ((128, 1, 1), (160, 1, 7), (192, 7, 1))),
    "block8": (((192, 1, 1),), ((192, 1, 1), (224, 1, 3), (256, 3, 1))),
}


def inception_resnet_v2(x: Tensor) -> Tensor:
    """Szegedy, Ioffe, Vanhoucke, Alemi, 2017, arXiv 1602.07261."""
    x = convolution(convolution(x, 32, 3, 2, "valid"), 32, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolution(x, 64, 3))
    x = convolution(convolution(x, 80, 1, padding="valid"), 192, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(x)
    branches: tuple[Branch, ...] = (((96, 1, 1),), ((48, 1, 1), (64, 5, 5)), ((64, 1, 1), (96, 3, 3), (96, 3, 3)))
    made = [through(x, branch) for branch in branches]
    pooled = convolution(layers.AveragePooling2D(3, strides=1, padding="same")(x), 64, 1)
    x = layers.Concatenate(name="mixed_5b")([*made, pooled])
    x = _blocks(x, "block35", 10, 0.17)
    x = _halved(x, (((384, 3, 3),), ((256, 1, 1), (256, 3, 3), (384, 3, 3))), "mixed_6a")
    x = _blocks(x, "block17", 20, 0.1)
    ends = (((256, 1, 1), (384, 3, 3)), ((256, 1, 1), (288, 3, 3)), ((256, 1, 1), (288, 3, 3), (320, 3, 3)))
    x = _halved(x, ends, "mixed_7a")
    x = _block(_blocks(x, "block8", 9, 0.2), "block8", 10, 1.0, None)
    x = layers.Conv2D(1536, 1, padding="same", use_bias=False, name="conv_7b")(x)
    x = layers.BatchNormalization(scale=False, name="conv_7b_bn")(x)
    return layers.Activation("relu", name="conv_7b_ac")(x)


def _halved(x, branches, name):
    """Branches whose last convolution halves, and a pooling."""
    made = []
    for *first, (filters, *kernel) in branches:
        made.append(convolution(through(x, first), filters, tuple(kernel), 2, "valid"))
    return layers.Concatenate(name=name)([*made, layers.MaxPooling2D(3, strides=2)(x)])


def _blocks(x, kind, count, scale):
    for number in range(1, count + 1):
        x = _block(x, kind, number, scale)
    return x


def _block(x: Tensor, kind: str, number: int, scale: float, activation: Any = "relu") -> Tensor:
    """x and what the branches make of it, times a factor."""
    name = f"{kind}_{number}"
    mixed = layers.Concatenate(name=f"{name}_mixed")([through(x, branch) for branch in _BLOCKS[kind]])
    made = layers.Conv2D(x.shape[-1], 1, padding="same", name=f"{name}_conv")(mixed)
    x = layers.Add()([x, marked(layers.Rescaling(scale)(made), [made])])
    return x if activation is None else layers.Activation(activation, name=f"{name}_ac")(x)
