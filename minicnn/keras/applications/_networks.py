"""Networks of ``keras.applications``: layers and names are those of Keras's, so that its files of weights load.

``weights="imagenet"`` takes the file that Keras has downloaded, or downloads it to the same place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from minicnn import layers
from minicnn.errors import DataError
from minicnn.graph import Tensor
from minicnn.keras import _data_format
from minicnn.keras.applications._convnext import convnext, convnext_top, without_top
from minicnn.keras.applications._efficient_v2 import efficientnet_v2
from minicnn.keras.applications._inception import inception_v3, xception
from minicnn.keras.applications._inception_resnet import inception_resnet_v2
from minicnn.keras.applications._mobile import efficientnet, efficientnet_top, mobilenet, mobilenet_top, mobilenet_v2
from minicnn.keras.applications._mobile_v3 import BLOCKS, POINTS, mobilenet_v3, mobilenet_v3_top, rounded
from minicnn.keras.applications._nasnet import nasnet
from minicnn.keras.applications._published import imagenet_file
from minicnn.keras.applications._residual import densenet, resnet, resnet_v2, vgg, vgg_top
from minicnn.keras.models import Model

_POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


class Network(NamedTuple):
    """One of the networks.

    Attributes
    ----------
    body : callable
        Images → what stands below the top.
    top : callable
        That, the number of classes and an activation → classes.
    file : str
        What Keras calls its weights of ImageNet, with {} for a mark of files without the top.
    size, smallest : int
        Sides of images in pixels: unless told, and at least.
    mark : str
        Of files without the top.
    any_size : bool
        Whether the weights of ImageNet serve other sizes with the top, too.
    ending : callable, optional
        What stands at the end of a network without the top.
    """

    body: Callable[[Tensor], Tensor]
    top: Callable[[Tensor, int, Any], Tensor]
    file: str
    size: int = 224
    smallest: int = 32
    mark: str = "_notop"
    ending: Callable[[Tensor], Tensor] | None = None
    any_size: bool = False


def _pooled_top(x: Tensor, classes: int, activation: Any) -> Tensor:
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.Dense(classes, activation=activation, name="predictions")(x)


def _unnamed_pooled_top(x: Tensor, classes: int, activation: Any) -> Tensor:
    return layers.Dense(classes, activation=activation, name="predictions")(layers.GlobalAveragePooling2D()(x))


def _dense_top(x: Tensor, classes: int, activation: Any) -> Tensor:
    return layers.Dense(classes, activation=activation, name="predictions")(vgg_top(x))


_KERNELS = "_weights_tf_dim_ordering_tf_kernels{}.h5"


def _of_sizes(body, names, top=_pooled_top):
    return {name: Network(partial(body, sizes=sizes), top, name.lower() + _KERNELS) for name, sizes in names.items()}


_RESNETS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}
_DENSENETS = {"121": (6, 12, 24, 16), "169": (6, 12, 32, 32), "201": (6, 12, 48, 32)}
# EfficientNet's (width, depth, side in pixels, dropout).
_EFFICIENT = {
    **{0: (1.0, 1.0, 224, 0.2), 1: (1.0, 1.1, 240, 0.2), 2: (1.1, 1.2, 260, 0.3), 3: (1.2, 1.4, 300, 0.3)},
    **{4: (1.4, 1.8, 380, 0.4), 5: (1.6, 2.2, 456, 0.4), 6: (1.8, 2.6, 528, 0.5), 7: (2.0, 3.1, 600, 0.5)},
}


def _efficient(number, of_imagenet=False):
    width, depth, size, dropout = _EFFICIENT[number]
    body = partial(efficientnet, width=width, depth=depth, of_imagenet=of_imagenet)
    return Network(body, partial(efficientnet_top, dropout=dropout), f"efficientnetb{number}{{}}.h5", size)


_BY_NAME: dict[str, Network] = {
    **_of_sizes(vgg, {"VGG16": (2, 2, 3, 3, 3), "VGG19": (2, 2, 4, 4, 4)}, _dense_top),
    **_of_sizes(resnet, {f"ResNet{number}": sizes for number, sizes in _RESNETS.items()}),
    **_of_sizes(resnet_v2, {f"ResNet{number}V2": sizes for number, sizes in _RESNETS.items()}),
    **_of_sizes(densenet, {f"DenseNet{number}": sizes for number, sizes in _DENSENETS.items()}),
    "Xception": Network(xception, _pooled_top, f"xception{_KERNELS}", 299, 71),
    "InceptionResNetV2": Network(
        inception_resnet_v2, _pooled_top, f"inception_resnet_v2_weights{_KERNELS[8:]}", 299, 75
    ),
    "InceptionV3": Network(inception_v3, _pooled_top, f"inception_v3{_KERNELS}", 299, 75),
    **{f"EfficientNetB{number}": _efficient(number) for number in _EFFICIENT},
}


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
    """One of `_BY_NAME` as a model, with the arguments of Keras's function."""
    network, number = _BY_NAME[which], which.removeprefix("EfficientNetB")
    if weights == "imagenet" and number.isdigit():
        network = _efficient(int(number), of_imagenet=True)
    own = {"InceptionV3": "inception_v3", "InceptionResNetV2": "inception_resnet_v2"}.get(which, which.lower())
    image = _image(network, input_tensor, input_shape, include_top)
    return _made(network, which, image, include_top, weights, pooling, classes, classifier_activation, name or own)


def _made(network, which, image, include_top, weights, pooling, classes, activation, name):
    path = _checked_weights(network, weights, include_top, image, classes, activation)
    x = network.body(image)
    if include_top:
        x = network.top(x, classes, activation)
    elif pooling is not None:
        x = _POOLINGS[pooling](name=f"{pooling}_pool")(x)
    if not include_top and network.ending is not None:
        x = network.ending(x)
    model = Model(_source(image), x, name=name)
    if path is not None:
        model.load_weights(path)
    return model


def _checked_weights(network, weights, include_top, image, classes, activation):
    """The path of a file; None for random weights.

    Raises
    ------
    DataError
        For "imagenet", where Keras has not put its file, and it cannot be downloaded.
    ValueError
        For what is no file, or a network whose weights are not those of ImageNet.
    """
    if weights == "imagenet":
        _demand_imagenet(network, include_top, image, classes, activation)
        try:
            return imagenet_file(network.file.format("" if include_top else network.mark))
        except DataError as error:
            own = "weights=None makes the network with random weights, weights='path/to/file.h5' takes a file of Keras"
            raise DataError(f"{error}; {own}") from None
    if weights is not None and not os.path.exists(weights):
        raise ValueError(f"weights is None or the path of a file that is there. Received: weights={weights!r}")
    return weights


def _demand_imagenet(network, include_top, image, classes, activation):
    """Before a file is downloaded that would not fit."""
    usual = (network.size, network.size, 3)
    if image.shape[-1] != 3 or (include_top and not network.any_size and image.shape[1:] != usual):
        wanted = f"{usual} with the top" if include_top else "pictures of 3 channels"
        raise ValueError(f"weights='imagenet' are for {wanted}; weights=None for others. Received: {image.shape[1:]}")
    if include_top and (classes != 1000 or activation not in ("softmax", None)):
        raise ValueError(
            "weights='imagenet' are for 1000 classes and a softmax, or activation None: include_top=False leaves room "
            f"for layers of your own. Received: classes={classes}, classifier_activation={activation!r}"
        )


def _image(network, tensor, shape, include_top):
    """The tensor that the network begins with."""
    return tensor if tensor is not None else layers.Input(_image_shape(network, shape, include_top))


def _image_shape(network, given, include_top):
    """(H, W, C) of the input, the network's own unless told; any size where there are no dense layers."""
    if _data_format.current() == "channels_first":
        raise ValueError("networks of keras.applications take images with channels last; set_image_data_format says so")
    side, least = network.size, network.smallest
    shape = tuple(given) if given is not None else ((side, side, 3) if include_top else (None, None, 3))
    if len(shape) != 3 or any(n is not None and n < least for n in shape[:2]):
        raise ValueError(f"input_shape is (height, width, channels) with sides of {least} or more. Received: {shape}")
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
        None, or the path of a file. The default means Keras's file, which is downloaded if it is not there yet.
    input_tensor : tensor, optional
        What takes the place of an input.
    input_shape : (int, int, int), optional
        Default: (224, 224, 3), or as large as the network was published for; any size without the top.
    pooling : {{"avg", "max"}}, optional
        Over all places, without the top.
    classes : int, default 1000
    classifier_activation : default "softmax"
    name : str, optional

    Raises
    ------
    DataError
        For ``weights="imagenet"`` where Keras has not put its file, and it cannot be downloaded.
    ValueError
        For a file that is not there, or a side that is too short.
    """
    return function


def MobileNet(
    input_shape: Sequence[int | None] | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 0.001,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Tensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """MobileNet; `alpha` is a factor of the filters, the others are as for the other networks."""
    body = partial(mobilenet, alpha=alpha, depth_multiplier=depth_multiplier)
    width = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}.get(alpha, f"{alpha}")
    network = Network(body, partial(mobilenet_top, dropout=dropout), "", mark="_no_top")
    image = _image(network, input_tensor, input_shape, include_top)
    side = _published_side(image, (128, 160, 192, 224))
    network = network._replace(file=f"mobilenet_{width}_{side}_tf{{}}.h5", size=side)
    own = name or f"mobilenet_{alpha:0.2f}_{side if weights == 'imagenet' else image.shape[1]}"
    return _made(network, "MobileNet", image, include_top, weights, pooling, classes, classifier_activation, own)


def MobileNetV2(
    input_shape: Sequence[int | None] | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Tensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """MobileNetV2; `alpha` is a factor of the filters, the others are as for the other networks."""
    network = Network(partial(mobilenet_v2, alpha=alpha), _unnamed_pooled_top, "", mark="_no_top")
    image = _image(network, input_tensor, input_shape, include_top)
    side = _published_side(image, (96, 128, 160, 192, 224))
    network = network._replace(file=f"mobilenet_v2{_KERNELS[:-5]}_{float(alpha)}_{side}{{}}.h5", size=side)
    own = name or f"mobilenetv2_{alpha:0.2f}_{side if weights == 'imagenet' else image.shape[1]}"
    return _made(network, "MobileNetV2", image, include_top, weights, pooling, classes, classifier_activation, own)


def _published_side(image, sides):
    """The side of the images that published weights were trained on: this one, or 224."""
    height, width = image.shape[1:3]
    return height if height == width and height in sides else 224


def _mobilenet_v3(which):
    def function(
        input_shape: Sequence[int | None] | None = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Tensor | None = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str | None = None,
    ) -> Model:
        """MobileNetV3; `alpha`, `minimalistic`, `include_preprocessing`: `mobilenet_v3`; else as other networks."""
        shape = {"alpha": alpha, "minimalistic": minimalistic, "include_preprocessing": include_preprocessing}
        points = rounded(POINTS[which] * alpha) if alpha > 1 else POINTS[which]
        top = partial(mobilenet_v3_top, points=points, dropout=dropout_rate, minimalistic=minimalistic)
        kind = which.removeprefix("MobileNetV3").lower() + "_minimalistic" * minimalistic
        file = f"weights_mobilenet_v3_{kind}_224_{float(alpha)}_float{{}}.h5"
        network = Network(partial(mobilenet_v3, which=which, **shape), top, file, mark="_no_top_v2", any_size=True)
        image = _image(network, input_tensor, input_shape or (None, None, 3), include_top)
        own = name or which
        return _made(network, which, image, include_top, weights, pooling, classes, classifier_activation, own)

    function.__name__ = function.__qualname__ = which
    return function


# EfficientNetV2's (size, width, depth, side in pixels).
_EFFICIENT_V2 = {
    **{"B0": ("b", 1.0, 1.0, 224), "B1": ("b", 1.0, 1.1, 240), "B2": ("b", 1.1, 1.2, 260), "B3": ("b", 1.2, 1.4, 300)},
    **{"S": ("s", 1.0, 1.0, 384), "M": ("m", 1.0, 1.0, 480), "L": ("l", 1.0, 1.0, 480)},
}


def _efficientnet_v2(number):
    def function(
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Tensor | None = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str | None = None,
    ) -> Model:
        """EfficientNetV2; `include_preprocessing`: whether pixels go from 0 to 255; else as other networks."""
        kind, width, depth, side = _EFFICIENT_V2[number]
        body = partial(
            efficientnet_v2, size=kind, width=width, depth=depth, include_preprocessing=include_preprocessing
        )
        own = f"efficientnetv2-{number.lower()}"
        network = Network(body, efficientnet_top, f"{own}{{}}.h5", side)
        image = _image(network, input_tensor, input_shape, include_top)
        which = f"EfficientNetV2{number}"
        return _made(network, which, image, include_top, weights, pooling, classes, classifier_activation, name or own)

    function.__name__ = function.__qualname__ = f"EfficientNetV2{number}"
    return function


# NASNet's (filters at the end, cells of one size, filters of the first convolution, whether cells skip, side).
_NASNETS = {"NASNetMobile": (1056, 4, 32, False, 224), "NASNetLarge": (4032, 6, 96, True, 331)}


def _nasnet(which):
    def function(
        input_shape: Sequence[int | None] | None = None,
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Tensor | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str | None = None,
    ) -> Model:
        """NASNet-A; the arguments are as for the other networks."""
        filters, blocks, stem, skips, side = _NASNETS[which]
        body = partial(nasnet, filters=filters, blocks=blocks, stem=stem, skips=skips)
        own = "nasnet_" + which.removeprefix("NASNet").lower()
        network = Network(body, _unnamed_pooled_top, f"{own}{{}}.h5", side, mark="_no_top")
        image = _image(network, input_tensor, input_shape or (side, side, 3), include_top)
        made = name or own
        return _made(network, which, image, include_top, weights, pooling, classes, classifier_activation, made)

    function.__name__ = function.__qualname__ = which
    return function


# ConvNeXt's (blocks, filters) of each stage.
_CONVNEXTS = {
    **{"Tiny": ((3, 3, 9, 3), (96, 192, 384, 768)), "Small": ((3, 3, 27, 3), (96, 192, 384, 768))},
    **{"Base": ((3, 3, 27, 3), (128, 256, 512, 1024)), "Large": ((3, 3, 27, 3), (192, 384, 768, 1536))},
    "XLarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}


def _convnext(size):
    def function(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: Any = "imagenet",
        input_tensor: Tensor | None = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str | None = None,
    ) -> Model:
        """ConvNeXt; `include_preprocessing`: whether pixels go from 0 to 255; else as other networks."""
        depths, widths = _CONVNEXTS[size]
        own = name or f"convnext_{size.lower()}"
        options = {"depths": depths, "widths": widths, "name": own, "include_preprocessing": include_preprocessing}
        network = Network(partial(convnext, **options), partial(convnext_top, name=own), f"{own}{{}}.h5")
        network = network._replace(ending=without_top)
        image = _image(network, input_tensor, input_shape, include_top)
        which = f"ConvNeXt{size}"
        return _made(network, which, image, include_top, weights, pooling, classes, classifier_activation, own)

    function.__name__ = function.__qualname__ = f"ConvNeXt{size}"
    return function


NETWORKS = {
    **{which: _named(which) for which in _BY_NAME},
    **{"MobileNet": MobileNet, "MobileNetV2": MobileNetV2},
    **{which: _mobilenet_v3(which) for which in BLOCKS},
    **{f"EfficientNetV2{number}": _efficientnet_v2(number) for number in _EFFICIENT_V2},
    **{which: _nasnet(which) for which in _NASNETS},
    **{f"ConvNeXt{size}": _convnext(size) for size in _CONVNEXTS},
}
