"""Training curves, of one training or of several to be compared."""

import numpy as np

from minicnn.visualization.figures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, as_text, new_figure

TRAIN_STYLE = {"color": BLUE, "linestyle": "-", "marker": "o"}
VALIDATION_STYLE = {"color": VERMILION, "linestyle": "--", "marker": "s"}
RUN_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "black")
RUN_MARKERS = "osD^vP*"  # with the colours: runs differ in grey too
PANEL_INCHES = 4.5, 3.6  # width, height
MOST_MARKERS = 30  # more epochs than this are drawn as a line alone


def plot_history(history):
    """Curves of the loss and of every metric by epoch, training and validation in one panel each.

    Parameters
    ----------
    history : History, dict of list, or dict of these by name
        What `fit` returned, or its ``.history``; several by name, such as ``{"Adam": …, "Adagrad": …}``, are drawn
        into the same panels. Validation that took place after some epochs only is drawn at these epochs; of a plain
        dict, which does not know them, at equal distances.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If it holds no epoch.
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
    return figure


def _runs(history):
    """Name of the run → its curves; the only run of a single history is called ""."""
    if isinstance(history, dict) and any(hasattr(v, "history") or isinstance(v, dict) for v in history.values()):
        return {str(name): _curves(run) for name, run in history.items()}
    return {"": _curves(history)}


def _curves(history):
    """Name → (epochs, values), epochs counted from 1, of what has any."""
    values = getattr(history, "history", history)
    if not isinstance(values, dict) or not all(map(_is_curve, values.values())):
        raise TypeError(
            "plot_history takes what fit returned, its .history, or a dict of these by name. "
            f"Received: {type(history).__name__}"
        )
    count = max((len(v) for name, v in values.items() if not name.startswith("val_")), default=0)
    if not count:
        raise ValueError(f"the history is empty: train with fit for one epoch or more first. Received: {values!r}")
    known = getattr(history, "epochs", {})  # where each value was measured
    return {name: (_epochs_of(len(v), known.get(name, ()), count), v) for name, v in values.items() if len(v)}


def _is_curve(values) -> bool:
    values = np.asarray(values)
    return values.ndim == 1 and values.dtype.kind in "biuf"


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
    axes.legend(fontsize="small" if len(runs) > 1 else None)


def _run_styles(number):
    """(style of a run's training, of its validation): one colour, the validation dashed and with hollow markers."""
    style = {"color": RUN_COLOURS[number % len(RUN_COLOURS)], "marker": RUN_MARKERS[number % len(RUN_MARKERS)]}
    return style | {"linestyle": "-"}, style | {"linestyle": "--", "markerfacecolor": "white"}


def _draw_curve(axes, epochs, values, label, style):
    if len(epochs) > MOST_MARKERS:
        style = {**style, "marker": ""}
    axes.plot(epochs, values, label=as_text(label), markersize=4, **style)
