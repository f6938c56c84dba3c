"""What the networks of ``keras.applications`` want done to pixels from 0 to 255; other people's files need it too."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn.checks import check_choice
from minicnn.data.elements import EagerArray
from minicnn.keras import _data_format
from minicnn.keras._operations import is_symbolic
from minicnn.settings import floatx

# Means and deviations of ImageNet's channels: of BGR pixels from 0 to 255, and of RGB ones from 0 to 1.
_MEANS_BGR = (103.939, 116.779, 123.68)
MEANS_RGB, DEVIATIONS_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Pixels as a network wants them; x stays as it is, where Keras changes arrays of floats in place.

    Parameters
    ----------
    x : array (…, H, W, 3)
        From 0 to 255.
    data_format : {"channels_last", "channels_first"}, optional
    mode : {"caffe", "tf", "torch"}, default "caffe"
        "caffe": BGR, each channel minus its mean over ImageNet. "tf": from −1 to 1. "torch": from 0 to 1, then minus
        the mean and divided by the deviation of each channel.

    Returns
    -------
    array or tensor
        Floats keep their dtype.

    Raises
    ------
    ValueError
        For another mode or data format.
    """
    check_choice("mode", mode, ("caffe", "tf", "torch"))
    first = (data_format or _data_format.current()) == "channels_first"
    check_choice("data_format", data_format or _data_format.current(), ("channels_last", "channels_first"))
    if is_symbolic(x):
        return _of_pixels(x, mode, first)
    pixels = np.asarray(x)
    pixels = pixels.astype(floatx()) if pixels.dtype.kind != "f" else pixels
    return _of_pixels(pixels, mode, first).astype(pixels.dtype).view(EagerArray)


def _of_pixels(pixels, mode, first):
    """The formula in operators, which arrays have, and so have tensors of a model, where files hold them."""
    means, deviations, means_bgr = (
        np.array(numbers, pixels.dtype).reshape((3, 1, 1) if first else 3)
        for numbers in (MEANS_RGB, DEVIATIONS_RGB, _MEANS_BGR)
    )
    if mode == "tf":
        return pixels / 127.5 - 1.0
    if mode == "torch":
        return (pixels / 255.0 - means) / deviations
    return (pixels[..., ::-1, :, :] if first else pixels[..., ::-1]) - means_bgr


def _same(x: Any, data_format: str | None = None) -> Any:
    """x: the network has its preprocessing inside."""
    return x


_MODES = {
    "caffe": ("vgg16", "vgg19", "resnet", "resnet50"),
    "torch": ("densenet",),
    "tf": ("inception_v3", "inception_resnet_v2", "xception", "mobilenet", "mobilenet_v2", "nasnet", "resnet_v2"),
}
PREPROCESSING = {module: partial(preprocess_input, mode=mode) for mode, modules in _MODES.items() for module in modules}
PREPROCESSING |= {"imagenet_utils": preprocess_input}
PREPROCESSING |= dict.fromkeys(("efficientnet", "efficientnet_v2", "mobilenet_v3", "convnext"), _same)
"""Module of ``keras.applications`` → its ``preprocess_input``."""
