"""Where in an image a convolution found what speaks for a class: Grad-CAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.layers import Conv2D, Conv2DTranspose, DepthwiseConv2D, Layer, SeparableConv2D
from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.models.input_gradients import weights_of
from minicnn.plan.inside import pull_back, values
from minicnn.visualization.asked import images_of, layer_tensor, opened
from minicnn.visualization.figures import Names
from minicnn.visualization.heat import MOST_IMAGES, Explained, draw_heat
from minicnn.visualization.saliency import scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONVOLUTIONS = Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D


def grad_cam(
    model: Model,
    images: ArrayLike,
    layer: str | Layer | None = None,
    target: ArrayLike | None = None,
    output: str | int | None = None,
) -> np.ndarray:
    """Grad-CAM's heat maps: ReLU(Σ_k α_k A_k), where A_k are a layer's maps and α_k the mean of ∂ score / ∂ A_k.

    Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", 2017. The score is the value before a final softmax or sigmoid.

    Parameters
    ----------
    model : Model
        Of one input, an image.
    images : array (H, W, C), (H, W), or up to 16 of them, (N, H, W, C)
    layer : str or Layer, optional
        Any with an output (H, W, C); "base/conv2d" inside a model. Default: the last convolution.
    target : int or array (N,) of int, optional
        The class; default: the one that the model predicts.
    output : str or int, optional
        Which output of several.

    Returns
    -------
    array (N, h, w) of the model's dtype
        As large as the layer's maps, from 0 on, not scaled.

    Raises
    ------
    ShapeError, ValueError, TypeError
        If images, layer, class or output do not fit the model.
    """
    images = images_of(check_model(model, "grad_cam"), images, "grad_cam", MOST_IMAGES)
    inside = opened(model, [images])
    _, tensor = _convolution(model, inside, layer)
    backend = model.engine.backend
    (maps,) = values(inside.between([], [tensor]), model.engine.store, [images])  # (N, h, w, K)
    weigh, rest = weights_of(model, target, output, len(images)), inside.between([tensor], inside.graph.outputs)
    gradients, _ = pull_back(rest, backend, [maps, images], weigh, before_activation=True)
    importance = gradients.mean(axis=(1, 2))  # (N, K)
    return np.maximum(np.einsum("nhwk,nk->nhw", maps, importance), 0)


def show_grad_cam(
    model: Model,
    images: ArrayLike,
    layer: str | Layer | None = None,
    target: ArrayLike | None = None,
    class_names: Names | None = None,
    output: str | int | None = None,
) -> Figure:
    """Images with the places that speak for a class, as a convolution sees them; see `grad_cam`.

    Parameters
    ----------
    model, images, layer, target, output :
        As for `grad_cam`.
    class_names : sequence of str, optional

    Returns
    -------
    matplotlib.figure.Figure
        A row for each image: itself with the class and what the model gives for it, the map, the map over the image.
        Each map goes from 0 to its own largest value.

    Raises
    ------
    ShapeError, ValueError, TypeError
        If images, layer, class or output do not fit the model.
    ImportError
        If matplotlib is not installed.
    """
    explained = Explained(model, images, target, output, class_names, "show_grad_cam")
    maps = scaled(grad_cam(model, explained.images, layer, explained.classes, output))  # (N, h, w)
    path, _ = _convolution(model, opened(model, [explained.images]), layer)
    return draw_heat(explained, maps, f"Grad-CAM, {path}", "evidence / the image's largest", (0, 1), smooth=True)


def _convolution(model, inside, layer):
    """(path, output) of the layer that was asked for, or of the last convolution."""
    if layer is None:
        last = [path for path, own in inside.layers.items() if isinstance(own, CONVOLUTIONS)]
        if not last:
            raise ValueError(
                f"Grad-CAM goes by a convolution, and model '{model.name}' has none: name another layer with maps "
                f"(H, W, C) as layer=, or use show_saliency. Received: layers {list(inside.layers)}"
            )
        layer = last[-1]
    path, tensor = layer_tensor(model, inside, layer, "Grad-CAM")
    if tensor.ndim != 4:
        maps = [name for name, own in inside.tensors.items() if own.ndim == 4]
        raise ValueError(
            f"Grad-CAM needs a layer with maps (None, H, W, C), one of {maps}. Received: layer '{path}' with "
            f"the output {tensor.shape}"
        )
    return path, tensor
