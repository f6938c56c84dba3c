"""A model as a diagram of boxes and arrows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from minicnn.checks import check_choice, check_number
from minicnn.hints import FilePath
from minicnn.layers import InputLayer
from minicnn.models import Model, Sequential
from minicnn.own_parts import module_of
from minicnn.visualization.figures import NO_BREAK, as_text, new_figure, text_width
from minicnn.visualization.layer_details import geometry_lines, work_lines
from minicnn.visualization.layout import Layout, layered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.15  # inches around the drawing
PADDING = 0.1  # inches between a box's border and its text
NESTED_PADDING = 0.25  # inches between the border of a nested model and its layers
TITLE: dict[str, Any] = {"size": 10, "weight": "bold"}
DETAIL: dict[str, Any] = {"size": 8.5}
LINE_SPACING = 1.35
LINE_LETTERS = 60
MOST_PIXELS = 8e7  # a diagram that would have more gets a lower resolution, and no side has 2**16, Agg's limit
ARROW = "#404040"
COLOURS = {  # by the module that a layer comes from, in light shades of Okabe and Ito's colours
    "core": "#E8E8E8",
    "conv": "#C9E0F0",
    "conv_transpose": "#C9E0F0",
    "depthwise": "#C9E0F0",
    "pooling": "#F8D9C4",
    "global_pooling": "#F8D9C4",
    "dense": "#C8E9DC",
    "merge": "#FAF3B8",
    "activations": "#F3DCE9",
    "augmentation": "#FAE3B4",
    "model": "#FFFFFF",
    "sequential": "#FFFFFF",
}
OTHER_COLOUR = "#F4F4F4"


@dataclass
class Box:
    """What is drawn for one call of a layer.

    Attributes
    ----------
    title : str
    details : list of str
        Further lines.
    colour : str
    inner : Drawing or None
        The layers of a nested model.
    """

    title: str
    details: list[str]
    colour: str
    inner: Drawing | None = None
    size: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        lines = [(self.title, TITLE), *((line, DETAIL) for line in self.details)]
        self.text_height: float = sum(font["size"] * LINE_SPACING for _, font in lines) / 72
        width, height = max(text_width(*line) for line in lines), self.text_height
        if self.inner is not None:
            width = max(width, self.inner.size[0] + 2 * NESTED_PADDING)
            height += self.inner.size[1] + 2 * NESTED_PADDING
        self.size = width + 2 * PADDING, height + 2 * PADDING


@dataclass
class Drawing:
    """Boxes and where they stand.

    Attributes
    ----------
    boxes : list of Box
    layout : Layout
        In the drawing's own direction: the first coordinate across, the second down (or reverse, see `direction`).
    direction : {"TB", "BT", "LR", "RL"}
    """

    boxes: list[Box]
    layout: Layout
    direction: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        width, height = self.layout.size
        return (width, height) if self.direction in ("TB", "BT") else (height, width)

    def place(self, point: tuple[float, float]) -> tuple[float, float]:
        """A point of the layout, in inches right and down from the drawing's corner."""
        across, along = point
        if self.direction in ("BT", "RL"):
            along = self.layout.size[1] - along
        return (across, along) if self.direction in ("TB", "BT") else (along, across)


def plot_model(
    model: Model,
    to_file: FilePath | None = None,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: Literal["TB", "BT", "LR", "RL"] = "TB",
    expand_nested: bool = False,
    dpi: float = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    show_details: bool = False,
) -> Figure:
    """A model as a diagram: a box for every call of a layer, coloured by the layer's kind, and arrows between them.

    Parameters
    ----------
    model : Model
    to_file : str or Path, optional
        Where to save the picture; its suffix is the format: .png, .pdf, .svg, …
    show_shapes : bool, default False
        Whether input and output shapes are written; the batch axis is None.
    show_dtype : bool, default False
    show_layer_names : bool, default False
        Whether layers' names are written before their classes.
    rankdir : {"TB", "BT", "LR", "RL"}, default "TB"
        The direction of the arrows: from top to bottom, …, from right to left.
    expand_nested : bool, default False
        Whether the layers of models used as layers are drawn, in a box of their own.
    dpi : int, default 200
        Pixels an inch; fewer where the picture would become too large.
    show_layer_activations : bool, default False
    show_trainable : bool, default False
    splines :
        Accepted for Keras's sake: arrows run as the drawing needs them.
    show_details : bool, default False
        Whether all is written that one wants to know of a network, as Netron does: names, shapes, activations, sizes of
        kernels and windows, numbers of parameters and of floating-point operations for one sample, and a box for the
        input, which Keras does not draw of a Sequential.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If it is no model.
    NotBuiltError
        If the model is not built.
    ValueError
        For an unknown direction or file format.
    FileNotFoundError, IsADirectoryError
        If the folder of `to_file` does not exist, or there is no file name.
    ImportError
        If matplotlib is not installed.
    """
    if not isinstance(model, Model):
        raise TypeError(f"plot_model draws a model. Received: {model!r}")
    check_choice("rankdir", rankdir, ("TB", "BT", "LR", "RL"))
    dpi = check_number("dpi", dpi, above=0)
    parts = {
        "names": show_layer_names,
        "shapes": show_shapes,
        "dtype": show_dtype,
        "activations": show_layer_activations,
        "trainable": show_trainable,
        "nested": expand_nested,
        "details": show_details,
    }
    chosen = {part for part, wanted in parts.items() if wanted}
    drawing = _drawing(model, rankdir, chosen | ({"names", "shapes", "activations"} if show_details else set()))
    figure = _figure(drawing, dpi)
    if to_file is not None:
        _save(figure, Path(to_file))
    return figure


def _figure(drawing, dpi) -> Figure:
    """The drawing in a figure of its size."""
    width, height = (side + 2 * MARGIN for side in drawing.size)
    dpi = min(dpi, (2**16 - 1) / max(width, height), (MOST_PIXELS / (width * height)) ** 0.5)
    figure = new_figure(width, height, layout=None, dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-MARGIN, width - MARGIN), ylim=(height - MARGIN, -MARGIN))
    axes.set_axis_off()
    _draw(axes, drawing, (0.0, 0.0))
    return figure


def _save(figure, path) -> None:
    """Write the figure; what matplotlib would stumble over is said first."""
    known = figure.canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in known:
        raise ValueError(
            f"a figure is saved as {', '.join('.' + n for n in sorted(known))}. Received: to_file={str(path)!r}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"to_file names the picture, e.g. 'model.png'. Received: {str(path)!r}, a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {str(path.parent)!r} does not exist: make it first. Received: {str(path)!r}"
        )
    figure.savefig(path)


# ------------------------------------------------------------------------------------------------- what is to be drawn


def _drawing(model, direction, parts) -> Drawing:
    """The boxes of a model, laid out."""
    entries = {tensor.node for tensor in model.inputs}
    nodes = model.graph.nodes
    hides_input = isinstance(model, Sequential) and "details" not in parts
    if hides_input and len(nodes) > 1:  # as in Keras
        nodes = [node for node in nodes if node not in entries]
    number = {node: position for position, node in enumerate(nodes)}
    edges = [
        (number[tensor.node], number[node])
        for node in nodes
        if node not in entries
        for tensor in node.inputs
        if tensor.node in number
    ]
    calls, boxes = {}, []
    for node in nodes:
        calls[node.layer] = calls.get(node.layer, 0) + 1
        boxes.append(_box(node, node in entries, calls[node.layer], direction, parts))
    is_upright = direction in ("TB", "BT")
    sizes = [box.size if is_upright else box.size[::-1] for box in boxes]
    return Drawing(boxes, layered(sizes, edges), direction)


def _box(node, is_entry, call, direction, parts) -> Box:
    """The box for one call of a layer."""
    layer = node.layer
    kind = type(layer).__name__ if isinstance(layer, InputLayer) or not is_entry else "InputLayer"
    title = f"{layer.name} ({kind})" if "names" in parts else kind
    title += f", call {call}" if call > 1 else ""
    inner = (
        _drawing(layer, direction, parts) if "nested" in parts and isinstance(layer, Model) and not is_entry else None
    )
    family = "core" if is_entry else module_of(type(layer)).rpartition(".")[2]
    colour = COLOURS.get(family, OTHER_COLOUR)
    return Box(as_text(title), list(map(as_text, _details(node, is_entry, parts))), colour, inner)


def _details(node, is_entry, parts) -> list:
    """The lines below the title."""
    layer, lines = node.layer, []
    if "details" in parts and not is_entry:
        lines += geometry_lines(layer)
    if "activations" in parts and getattr(layer, "activation", None) is not None:
        lines.append(f"activation: {_activation_name(layer.activation)}")
    if "shapes" in parts:
        if node.inputs and not is_entry and "details" not in parts:  # there, it is the output of the box before
            lines += _shape_lines("input", node.inputs)
        lines += _shape_lines("output", node.outputs)
    if "dtype" in parts:
        lines.append(f"dtype: {layer.compute_dtype}")
    if "trainable" in parts and layer.weights:
        lines.append(f"trainable: {layer.trainable}")
    if "details" in parts and not is_entry:
        lines += work_lines(node)
    return lines


def _shape_lines(word, tensors) -> list:
    """Shapes in lines that end between two of them."""
    shapes = ", ".join(str(tensor.shape).replace(" ", NO_BREAK) for tensor in tensors)
    return textwrap.wrap(f"{word}:{NO_BREAK}{shapes}", LINE_LETTERS)


def _activation_name(activation) -> str:
    return activation if isinstance(activation, str) else type(activation).__name__.lower()


# ------------------------------------------------------------------------------------------------------------- drawing


def _draw(axes, drawing, corner) -> None:
    """Put a drawing's boxes and arrows into the axes, whose unit is an inch; nested ones too."""
    for box, centre in zip(drawing.boxes, drawing.layout.centres, strict=True):
        x, y = drawing.place(centre)
        _draw_box(axes, box, (corner[0] + x - box.size[0] / 2, corner[1] + y - box.size[1] / 2))
    for points in drawing.layout.paths.values():
        _draw_arrow(axes, drawing, points, corner)


def _draw_box(axes, box, corner) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = corner, box.size
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, width, height, style, facecolor=box.colour, edgecolor=ARROW, linewidth=0.8))
    line = y + PADDING
    for text, font in [(box.title, TITLE), *((detail, DETAIL) for detail in box.details)]:
        step = font["size"] * LINE_SPACING / 72
        axes.text(x + width / 2, line + step / 2, text, ha="center", va="center", **font)
        line += step
    if box.inner is not None:
        left = x + (width - box.inner.size[0]) / 2
        _draw(axes, box.inner, (left, line + NESTED_PADDING))


def _draw_arrow(axes, drawing, points, corner) -> None:
    """An arrow along the layout's points, swinging from one straight piece to the next."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Outline

    vertices, codes = [points[0], points[1]], [Outline.MOVETO, Outline.LINETO]
    for (x0, y0), (x1, y1), after in zip(points[1:-1:2], points[2::2], points[3::2], strict=True):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1), after]
        codes += [Outline.CURVE4] * 3 + [Outline.LINETO]
    placed = [tuple(c + p for c, p in zip(corner, drawing.place(point), strict=True)) for point in vertices]
    style = "-|>,head_length=4,head_width=2"
    axes.add_patch(
        FancyArrowPatch(path=Outline(placed, codes), arrowstyle=style, color=ARROW, linewidth=1, shrinkA=0, shrinkB=0)
    )
