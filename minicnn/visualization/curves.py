"""Training curves, of one training or of several to be compared."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.checks import is_real
from minicnn.visualization.figures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, as_text, new_figure, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.callbacks import History

Curves: TypeAlias = "History | Mapping[str, Sequence[Any]]"
"""What `fit` returned, or its ``.history``."""

TRAIN_STYLE = {"color": BLUE, "linestyle": "-", "marker": "o"}
VALIDATION_STYLE = {"color": VERMILION, "linestyle": "--", "marker": "s"}
RUN_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "black")
RUN_MARKERS = "osD^vP*"  # with the colours: runs differ in grey too
MOST_PARTS = 20  # numbers of one metric
MOST_RUNS = 2 * len(RUN_COLOURS)  # every colour with two markers
MOST_RUNS_IN_PANELS = 3  # of more runs, there is one legend beside the panels
PANEL_INCHES = 4.5, 3.6  # width, height
MOST_MARKERS, FEW_MARKERS = 30, 15  # of more epochs than the first number, so many get a marker
LEGEND_SIZE = 8.5  # points
LEGEND_LINE, LEGEND_SIDES = 0.19, 0.9  # inches: the height of a line; what stands beside the text
LEGEND_LETTERS = 36


def plot_history(history: Curves | Mapping[str, Curves]) -> Figure:
    """Curves of the loss and of every metric by epoch, training and validation in one panel each.

    Parameters
    ----------
    history : History, dict of list, or dict of these by name
        What `fit` returned, or its ``.history``; several by name, such as ``{"Adam": …, "Adagrad": …}``, at most 14,
        are drawn into the same panels. Validation that took place after some epochs only is drawn at these epochs; of
        a plain dict, which does not know them, at equal distances.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each name that does not begin with "val_"; of a metric with a value for each class, such as
        `F1Score`, one for each of up to 20.

    Raises
    ------
    ValueError
        If it, or one of several, holds no epoch; if there are too many to tell them apart.
    TypeError
        If it is something else.
    ImportError
        If matplotlib is not installed.
    """
    runs = _runs(history)
    panels = list(dict.fromkeys(name for run in runs.values() for name in run if not name.startswith("val_")))
    width, height = PANEL_INCHES
    figure = new_figure(width * len(panels), height)
    for axes, panel in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_panel(axes, panel, runs)
    if len(runs) > MOST_RUNS_IN_PANELS:
        _add_legend(figure, runs)
    return figure


def _runs(history):
    """Name of the run → its curves; the only run of a single history is called ""."""
    if isinstance(history, dict) and any(hasattr(v, "history") or isinstance(v, dict) for v in history.values()):
        if len(history) > MOST_RUNS:
            raise ValueError(f"plot_history tells {MOST_RUNS} runs apart at most. Received: {len(history)} runs")
        return {str(name): _curves(run, f"run {str(name)!r}") for name, run in history.items()}
    return {"": _curves(history)}


def _curves(history, run=None):
    """Name → (epochs, values), epochs counted from 1, of what has any; messages name the run, if there are several."""
    values = getattr(history, "history", history)
    wrong = [name for name, v in values.items() if not _is_curve(v)] if isinstance(values, dict) else ()
    if wrong or not isinstance(values, dict):
        received = (
            f"{wrong[0]!r}: {values[wrong[0]]!r}, no list of numbers, or of arrays of up to {MOST_PARTS}"
            if wrong
            else type(history).__name__
        )
        raise TypeError(
            "plot_history takes what fit returned, its .history, or a dict of these by name. "
            f"Received: {received if run is None else f'{run}, {received}'}"
        )
    known = {}  # where each value was measured
    for name, epochs in getattr(history, "epochs", {}).items():
        known |= dict.fromkeys(_split(name, values.get(name, ())), epochs)
    values = {part: curve for name, v in values.items() for part, curve in _split(name, v).items()}
    count = max((len(v) for name, v in values.items() if not name.startswith("val_")), default=0)
    if not count:
        raise ValueError(
            f"the history{f' of {run}' if run else ''} is empty: train with fit for one epoch or more first. "
            f"Received: {values!r}"
        )
    return {name: (_epochs_of(len(v), known.get(name, ()), count), v) for name, v in values.items() if len(v)}


def _is_curve(values) -> bool:
    try:
        values = np.asarray(values)
    except ValueError:  # lists of different lengths
        return False
    return is_real(values) and (values.ndim == 1 or (values.ndim == 2 and 0 < values.shape[1] <= MOST_PARTS))


def _split(name, values):
    """Name → values; of a metric with several numbers, "name 0", "name 1", …"""
    if np.ndim(values) < 2:
        return {name: values}
    return {f"{name} {number}": part for number, part in enumerate(np.transpose(values))}  # each (epochs,)


def _epochs_of(count, known, epochs):
    """The epochs of `count` values: those that are known, otherwise at equal distances of all 1 … `epochs`."""
    if len(known) == count:
        return np.asarray(known) + 1
    return np.arange(1, count + 1) * max(epochs // count, 1)


def _draw_panel(axes, panel, runs):
    """The curves of one name, and of its validation, for all runs."""
    from matplotlib.ticker import MaxNLocator

    for number, (run, curves) in enumerate(runs.items()):
        train, validation = _run_styles(number) if run else (TRAIN_STYLE, VALIDATION_STYLE)
        if panel in curves:
            _draw_curve(axes, *curves[panel], run or "training", train)
        if f"val_{panel}" in curves:
            _draw_curve(axes, *curves[f"val_{panel}"], f"{run}, validation" if run else "validation", validation)
    ends = [(epochs[0], epochs[-1]) for curves in runs.values() for epochs, _ in curves.values()]
    first, last = min(first for first, _ in ends), max(last for _, last in ends)
    axes.set(xlabel="epoch", ylabel=panel.replace("_", " "), xlim=(first - 0.5, last + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if len(runs) <= MOST_RUNS_IN_PANELS:
        axes.legend(fontsize=LEGEND_SIZE if len(runs) > 1 else None)


def _add_legend(figure, runs) -> None:
    """One legend beside the panels: an entry for each run, and what solid and dashed lines are."""
    from matplotlib.lines import Line2D

    entries = [(_label(run), _run_styles(number)[0]) for number, run in enumerate(runs)]
    if any(name.startswith("val_") for curves in runs.values() for name in curves):
        style = {"color": "gray", "marker": "o"}
        entries.append(("training", style | {"linestyle": "-"}))
        entries.append(("validation", style | {"linestyle": "--", "markerfacecolor": "white"}))
    lines = [line for label, _ in entries for line in label.split("\n")]
    width, height = figure.get_size_inches()
    width += LEGEND_SIDES + max(text_width(line, {"size": LEGEND_SIZE}) for line in lines)
    figure.set_size_inches(width, max(height, LEGEND_LINE * (len(lines) + 2)))
    handles = [Line2D([], [], label=label, markersize=4, **style) for label, style in entries]
    figure.legend(handles=handles, loc="outside right upper", fontsize=LEGEND_SIZE)


def _label(text) -> str:
    return as_text("\n".join(textwrap.wrap(text, LEGEND_LETTERS)))


def _run_styles(number):
    """(style of a run's training, of its validation): one colour, the validation dashed and with hollow markers."""
    again, colour = divmod(number, len(RUN_COLOURS))  # with a colour used before, another marker
    style = {"color": RUN_COLOURS[colour], "marker": RUN_MARKERS[(colour + 3 * again) % len(RUN_MARKERS)]}
    return style | {"linestyle": "-"}, style | {"linestyle": "--", "markerfacecolor": "white"}


def _draw_curve(axes, epochs, values, label, style):
    every = -(-len(epochs) // FEW_MARKERS) if len(epochs) > MOST_MARKERS else 1
    axes.plot(epochs, values, label=_label(label), markersize=4, markevery=every, **style)
