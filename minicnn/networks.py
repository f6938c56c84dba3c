"""Small networks by name, for images of many sizes: what the estimators and the command line train."""

from __future__ import annotations

from collections.abc import Callable

from minicnn import layers
from minicnn.errors import ShapeError, unknown_name
from minicnn.layers import Layer

ImageShape = tuple[int, int, int]
Network = Callable[[ImageShape, int, str | None], list[Layer]]

SMALLEST = 8  # pixels of a side that is still halved
MOST_BLOCKS = 4
LENET_SMALLEST = 12  # pixels: what two 5×5 kernels and two poolings leave a number of


def simple(image_shape: ImageShape, units: int, activation: str | None = "softmax") -> list[Layer]:
    """The layers of a network for images of any size.

    Convolutions 3×3 with ReLU, of 16, 32, 64 and 64 filters at most, each followed by a max pooling that halves the
    sides of 8 pixels or more; a dense layer of 64 units; the output. Images with no side of 8 pixels get the dense
    layers alone.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width, channels.
    units : int
        Of the output.
    activation : str, optional
        Of the output.
    """
    height, width, _ = image_shape
    made: list[Layer] = []
    for block in range(MOST_BLOCKS):
        if max(height, width) < SMALLEST:
            break
        kernel, pool = (min(3, height), min(3, width)), (1 + (height >= SMALLEST), 1 + (width >= SMALLEST))
        made.append(layers.Conv2D(16 * 2 ** min(block, 2), kernel, padding="same", activation="relu"))
        made.append(layers.MaxPooling2D(pool))
        height, width = height // pool[0], width // pool[1]
    return [
        *made,
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(units, activation=activation),
    ]


def lenet5(image_shape: ImageShape, units: int, activation: str | None = "softmax") -> list[Layer]:
    """The layers of LeNet-5 with ReLU and max pooling; parameters as for `simple`.

    LeCun, Bottou, Bengio, Haffner: "Gradient-Based Learning Applied to Document Recognition", 1998. The first
    convolution is padded, so that images of 28×28 pixels give the numbers of the paper's 32×32.

    Raises
    ------
    ShapeError
        If a side has less than 12 pixels.
    """
    if min(image_shape[:2]) < LENET_SMALLEST:
        raise ShapeError(
            f"LeNet-5 takes images of {LENET_SMALLEST}×{LENET_SMALLEST} pixels or more; 'simple' takes any. Received: "
            f"{image_shape[0]}×{image_shape[1]}"
        )
    return [
        layers.Conv2D(6, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"),
        layers.Dense(units, activation=activation),
    ]


NETWORKS: dict[str, Network] = {"simple": simple, "lenet5": lenet5}


def get(name: str) -> Network:
    """The network of that name.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    return NETWORKS[name]
