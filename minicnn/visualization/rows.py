"""Rows of small pictures, each with a label to its left: filters, feature maps."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from minicnn.visualization.figures import PAD, as_text, new_figure, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE_INCHES = 0.62
GAP = 0.1  # between tiles, in tiles
LAYER_GAP = 0.35  # between the rows of two layers, in tiles
LABEL_SIZE = 8  # points
TEXT_SIZE = 6.5  # points, in a tile
LABEL_MARGIN = 0.25  # inches beside the labels
BAR_INCHES = 1.25  # for a colour bar and what is written beside it
BAR_WIDTH, BAR_LENGTH = 0.13, 2.4  # inches, the length at most
LEAST_INCHES = 1.5  # so that a colour bar has room
NAME_LETTERS, NAME_LINES = 24, 2  # a layer's name is wrapped, and shortened in its middle
SIGNED = "PuOr_r"  # purple and orange around white: told apart with any colour vision
UNSIGNED = "viridis"  # grows evenly from dark to light with any colour vision, and in grey
DARK = 0.45  # on colours of less than this luminance, text is white


@dataclass(frozen=True)
class Row:
    """A row of small pictures.

    Attributes
    ----------
    label : str
        Written to the left.
    tiles : sequence of array (H, W) or (H, W, 3)
    limits : tuple of float
        The values at the two ends of the colours; of no meaning for tiles in red, green and blue.
    colours : str
        A colour map's name.
    begins : bool
        Whether the row is the first one of its layer.
    is_strip : bool
        Whether its only tile takes the whole row.
    texts : list of str
        Written into the tiles, if there are any.
    """

    label: str
    tiles: list[np.ndarray]
    limits: tuple[float, float]
    colours: str
    begins: bool = True
    is_strip: bool = False
    texts: list[str] = field(default_factory=list)


def short_name(name: str) -> str:
    """A name in lines that stand beside a tile without touching those of the next row."""
    most = NAME_LETTERS * NAME_LINES
    if len(name) > most:
        name = f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"
    lines = textwrap.wrap(name, NAME_LETTERS)
    if len(lines) > NAME_LINES:  # words do not fill their lines
        lines = [name[start : start + NAME_LETTERS] for start in range(0, len(name), NAME_LETTERS)]
    return "\n".join(lines)


def how_many(number: int, limit: int, what: str) -> str:
    """How many there are, and whether all are shown."""
    plural = what if number == 1 else f"{what}s"
    return f"{number} {plural}" if number <= limit else f"{limit} of {number} {plural}"


def draw_rows(rows: Sequence[Row], legend: tuple[str, str, list[str]] | None = None) -> Figure:
    """One picture of all rows; all tiles are of one size, however many pixels they have.

    Parameters
    ----------
    rows : sequence of Row
    legend : (str, str, list of str), optional
        A colour bar's colour map, what its colours mean, and what is written at equal distances along it.
    """
    columns = max(len(row.tiles) for row in rows)
    tops, top = [], 0.0
    for number, row in enumerate(rows):
        top += LAYER_GAP if number and row.begins else 0
        tops.append(top)
        top += 1
    labels = [as_text(row.label) for row in rows]
    widest = max(text_width(line, {"size": LABEL_SIZE}) for label in labels for line in label.split("\n"))
    left, tiles = widest + LABEL_MARGIN, TILE_INCHES * (columns + GAP)
    width, height = left + tiles + PAD + (BAR_INCHES if legend else 0), TILE_INCHES * (top + GAP) + 2 * PAD
    height = max(height, LEAST_INCHES if legend else 0)
    figure = new_figure(width, height, layout=None)
    tall = TILE_INCHES * (top + GAP)
    axes = figure.add_axes((left / width, 1 - (PAD + tall) / height, tiles / width, tall / height))
    for row, y in zip(rows, tops, strict=True):
        for x, tile in enumerate(row.tiles):
            text = row.texts[x] if row.texts else ""
            _draw_tile(axes, tile, (x, y), columns if row.is_strip else 1, row, text)
    axes.set(xlim=(-GAP, columns), ylim=(top, -GAP), xticks=[])
    axes.set_yticks([y + (1 - GAP) / 2 for y in tops], labels, fontsize=LABEL_SIZE)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if legend is not None:
        bar = min(height - 4 * PAD, BAR_LENGTH)
        place = ((left + tiles + 2 * PAD) / width, 1 - (2 * PAD + bar) / height, BAR_WIDTH / width, bar / height)
        _draw_legend(figure, figure.add_axes(place), *legend)
    return figure


def _draw_tile(axes, tile, corner, tiles, row, text):
    """A picture in the square below and right of a corner, its sides in proportion; a strip fills `tiles` of them."""
    height, width = (1 - GAP) * np.array(tile.shape[:2]) / max(tile.shape[:2])
    if row.is_strip:
        height, width = 0.45, tiles - GAP
    x, y = corner[0] + (tiles - GAP - width) / 2, corner[1] + (1 - GAP - height) / 2
    extent = (x, x + width, y + height, y)
    low, high = row.limits
    picture = axes.imshow(
        tile, cmap=row.colours, vmin=low, vmax=high, extent=extent, interpolation="nearest", aspect="auto"
    )
    axes.plot([x, x + width, x + width, x, x], [y, y, y + height, y + height, y], color="#808080", linewidth=0.4)
    if text:
        red, green, blue, _ = picture.to_rgba(tile)[0, 0]
        colour = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < DARK else "black"
        style = {"ha": "center", "va": "center", "fontsize": TEXT_SIZE, "color": colour}
        axes.text(x + width / 2, y + height / 2, as_text(text), **style)


def _draw_legend(figure, axes, colours, meaning, ticks):
    """A colour bar beside the rows."""
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=colours), cax=axes)
    bar.set_ticks(list(np.linspace(0, 1, len(ticks))), labels=ticks)
    bar.ax.tick_params(labelsize=LABEL_SIZE, length=2)
    bar.set_label("\n".join(textwrap.wrap(meaning, 22)), size=LABEL_SIZE)
    bar.outline.set_visible(False)
