"""InceptionV3 and Xception."""

from __future__ import annotations

from minicnn import layers
from minicnn.graph import Tensor

# A branch: its convolutions in order, (filters, kernel height, kernel width).
Branch = tuple[tuple[int, int, int], ...]


def xception(x: Tensor) -> Tensor:
    """Separable convolutions with shortcuts: Chollet, 2017, arXiv 1610.02357."""
    for number, (filters, strides) in enumerate(((32, 2), (64, 1)), 1):
        name = f"block1_conv{number}"
        x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=name)(x)
        x = layers.Activation("relu", name=f"{name}_act")(layers.BatchNormalization(name=f"{name}_bn")(x))
    for block, sizes in ((2, (128, 128)), (3, (256, 256)), (4, (728, 728))):
        x = _halved(x, block, sizes)
    for block in range(5, 13):
        x = layers.Add()([_separable(x, block, (728, 728, 728)), x])
    x = _halved(x, 13, (728, 1024))
    for number, filters in enumerate((1536, 2048), 1):
        x = _separable_convolution(x, filters, f"block14_sepconv{number}")
        x = layers.Activation("relu", name=f"block14_sepconv{number}_act")(x)
    return x


def _halved(x, block, sizes):
    """Two separable convolutions and a pooling of strides 2, beside a shortcut."""
    shortcut = layers.Conv2D(sizes[-1], 1, strides=2, padding="same", use_bias=False)(x)
    shortcut = layers.BatchNormalization()(shortcut)
    x = _separable(x, block, sizes)
    return layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same", name=f"block{block}_pool")(x), shortcut])


def _separable(x, block, sizes):
    """ReLU and separable convolution for each size; the first block of all begins without the ReLU."""
    for number, filters in enumerate(sizes, 1):
        name = f"block{block}_sepconv{number}"
        x = x if (block, number) == (2, 1) else layers.Activation("relu", name=f"{name}_act")(x)
        x = _separable_convolution(x, filters, name)
    return x


def _separable_convolution(x, filters, name):
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def inception_v3(x: Tensor) -> Tensor:
    """Branches with windows of several sizes: Szegedy et al., 2016, arXiv 1512.00567."""
    x = convolution(convolution(x, 32, (3, 3), 2, "valid"), 32, (3, 3), padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolution(x, 64, (3, 3)))
    x = convolution(convolution(x, 80, (1, 1), padding="valid"), 192, (3, 3), padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(x)
    for number, pooled in enumerate((32, 64, 64)):
        branches: list[Branch] = [((64, 1, 1),), ((48, 1, 1), (64, 5, 5)), ((64, 1, 1), (96, 3, 3), (96, 3, 3))]
        x = _mixed(x, branches, pooled, number)
    x = _reduced(x, [((384, 3, 3),), ((64, 1, 1), (96, 3, 3), (96, 3, 3))], 3)
    for number, narrow in enumerate((128, 160, 160, 192), 4):
        x = _mixed(x, _sevens(narrow), 192, number)
    x = _reduced(x, [((192, 1, 1), (320, 3, 3)), ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3))], 8)
    return _forked(_forked(x, 0), 1)


def _sevens(narrow) -> list[Branch]:
    """Branches whose windows of 7×7 are rows and columns."""
    once = ((narrow, 1, 1), (narrow, 1, 7), (192, 7, 1))
    return [((192, 1, 1),), once, ((narrow, 1, 1), (narrow, 7, 1), (narrow, 1, 7), (narrow, 7, 1), (192, 1, 7))]


def convolution(
    x: Tensor, filters: int, kernel: int | tuple[int, int], strides: int = 1, padding: str = "same"
) -> Tensor:
    """Convolution, batch normalization without factors, ReLU; Keras numbers them."""
    x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=False)(x)
    return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))


def through(x: Tensor, branch: Branch) -> Tensor:
    """The convolutions of a branch in order."""
    for filters, height, width in branch:
        x = convolution(x, filters, (height, width))
    return x


def _pooled(x, filters):
    return convolution(layers.AveragePooling2D(3, strides=1, padding="same")(x), filters, (1, 1))


def _mixed(x, branches, pooled, number):
    """The branches side by side, and a mean of neighbours."""
    made = [through(x, branch) for branch in branches]
    return layers.Concatenate(name=f"mixed{number}")([*made, _pooled(x, pooled)])


def _reduced(x, branches, number):
    """Branches whose last convolution halves, and a pooling."""
    made = []
    for *first, (filters, *kernel) in branches:
        made.append(convolution(through(x, first), filters, tuple(kernel), 2, "valid"))
    return layers.Concatenate(name=f"mixed{number}")([*made, layers.MaxPooling2D(3, strides=2)(x)])


def _forked(x, number):
    """Branches that end in a row and a column."""
    made = [convolution(x, 320, (1, 1))]
    for branch, name in ((((384, 1, 1),), f"mixed9_{number}"), (((448, 1, 1), (384, 3, 3)), None)):
        end = through(x, branch)
        fork = [convolution(end, 384, kernel) for kernel in ((1, 3), (3, 1))]
        made.append(layers.Concatenate(name=name)(fork))
    return layers.Concatenate(name=f"mixed{9 + number}")([*made, _pooled(x, 192)])
