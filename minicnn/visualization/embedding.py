"""How a layer sees many samples at once: its outputs, projected onto a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.layers import Layer
from minicnn.metrics import class_numbers
from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.plan.inside import values
from minicnn.training.formed import FormedIntake
from minicnn.visualization.asked import layer_tensor, opened
from minicnn.visualization.curves import RUN_COLOURS, RUN_MARKERS
from minicnn.visualization.figures import Names, as_text, checked_names, class_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SAMPLES = 3
MOST_CLASSES = len(RUN_COLOURS) * len(RUN_MARKERS)


def principal_components(rows: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The two directions in which rows differ most (Pearson, 1901; Hotelling, 1933).

    Parameters
    ----------
    rows : array (N, D)

    Returns
    -------
    places : array (N, 2) float64
        The rows' coordinates along them; of each direction, the largest coordinate is positive.
    shares : array (2,)
        Of the variance.
    """
    centred = np.asarray(rows, np.float64) - np.mean(rows, axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)  # (N, K), (K,)
    places = np.zeros((len(centred), 2))
    kept = min(2, len(sizes))
    places[:, :kept] = left[:, :kept] * sizes[:kept]
    signs = np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])
    shares, total = np.zeros(2), (sizes**2).sum()
    shares[:kept] = sizes[:kept] ** 2 / total if total > 0 else 0
    return places * np.where(signs == 0, 1, signs), shares


def plot_embedding(
    model: Model,
    x: Any,
    y: ArrayLike | None = None,
    layer: str | Layer | None = None,
    class_names: Names | None = None,
) -> Figure:
    """Samples as points in the plane of the two principal components of a layer's output.

    Samples that the layer takes for similar lie close together; where classes are apart, the rest of the network has an
    easy task.

    Parameters
    ----------
    model : Model
    x : array (N, …), or list or dict of arrays
        As for `predict`.
    y : array (N,) of class numbers, or one-hot rows, optional
        Gives each class a colour and a marker.
    layer : str or Layer, optional
        "base/dense" inside a model. Default: the last layer before the output layer and its activation.
    class_names : sequence of str, optional

    Returns
    -------
    matplotlib.figure.Figure
        The axes say how much of the variance they show.

    Raises
    ------
    ShapeError, ValueError, TypeError
        If samples, layer or labels do not fit.
    ImportError
        If matplotlib is not installed.
    """
    check_model(model, "plot_embedding")
    class_names = checked_names(class_names, "class_names")
    arrays = FormedIntake.of(model).inputs_only(x).inputs
    count = len(arrays[0])
    if count < LEAST_SAMPLES:
        raise ValueError(f"plot_embedding needs {LEAST_SAMPLES} samples or more. Received: {count}")
    classes = None if y is None else _checked_classes(y, count)
    inside = opened(model, arrays)
    path, tensor = layer_tensor(model, inside, _penultimate(inside) if layer is None else layer, "plot_embedding")
    (outputs,) = values(inside.between([], [tensor]), model.engine.store, arrays)
    rows = outputs.reshape(count, -1)  # (N, D)
    if not np.isfinite(rows).all():
        raise ValueError(
            f"layer '{path}' gives NaN or infinite values for these samples. Received: x with such samples"
        )
    places, shares = principal_components(rows)
    return _draw(places, shares, path, rows.shape[1], classes, class_names)


def _checked_classes(y, count):
    """Class numbers (N,)."""
    classes = class_numbers(y, "y")
    if len(classes) != count:
        raise ValueError(f"plot_embedding needs a label for each of {count} samples. Received: {len(classes)} in y")
    if len(np.unique(classes)) > MOST_CLASSES:
        raise ValueError(
            f"plot_embedding tells {MOST_CLASSES} classes apart at most: leave y out, or give samples of fewer. "
            f"Received: {len(np.unique(classes))} classes"
        )
    return classes


def _penultimate(inside):
    """The layer whose output the last layer with weights reads; where that is an input, the last layer."""
    own = [path for path, layer in inside.layers.items() if layer.graph is None]
    weighted = [path for path in own if inside.layers[path].weights]
    readers = inside.tensors[weighted[-1]].node.inputs if weighted else ()
    before = [path for path in own if inside.tensors[path] in readers]
    return before[-1] if before else own[-1]


def _draw(places, shares, path, numbers, classes, class_names):
    """The points, and a legend for the classes."""
    known = [] if classes is None else list(np.unique(classes))
    figure = new_figure(5.2 + (1.4 if known else 0), 4.6)
    axes = figure.subplots()
    if not known:
        axes.scatter(*places.T, s=9, alpha=0.7, color=RUN_COLOURS[0], linewidths=0)
    for number, one in enumerate(known):
        again, colour = divmod(number, len(RUN_COLOURS))
        style = {"color": RUN_COLOURS[colour], "marker": RUN_MARKERS[(colour + 3 * again) % len(RUN_MARKERS)]}
        label = as_text(class_label(one, class_names, "y"))
        axes.scatter(*places[classes == one].T, s=14, alpha=0.7, linewidths=0, label=label, **style)
    for axis, share, name in zip((axes.xaxis, axes.yaxis), shares, ("first", "second"), strict=True):
        axis.set_label_text(f"{name} principal component ({100 * share:.0f} % of the variance)")
    axes.set_title(as_text(f"{len(places):,} samples, as layer {path} sees them ({numbers:,} numbers each)"), size=9.5)
    axes.grid(alpha=0.3)
    if known:
        figure.legend(loc="outside right upper", fontsize=8.5, title="class")
    return figure
