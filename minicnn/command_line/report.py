"""The report of a training: one page, with its figures in it."""

from __future__ import annotations

import argparse
import base64
import html
import io
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import __version__, visualization
from minicnn.command_line.measures import measures_of
from minicnn.command_line.model_files import probabilities_of
from minicnn.saving.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.command_line.photos import Photos
    from minicnn.command_line.training import Parts
    from minicnn.models import Model

MOST_MISTAKES = 20
MOST_EXPLAINED = 6  # photos whose decision is drawn
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(path: Path, model: Model, photos: Photos, parts: Parts, options: argparse.Namespace) -> None:
    """Write the page: what was trained, curves, who is taken for whom, the worst mistakes, and what decided.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    model : Model
        Trained.
    photos : Photos
    parts : Parts
        Which photos were held back: the page measures with these alone.
    options : argparse.Namespace
        Of ``minicnn train``.
    """
    images, labels = photos.pixels[parts.held], photos.labels[parts.held]
    probabilities = probabilities_of(model, images)
    names = photos.class_names
    measures = measures_of(labels, probabilities.argmax(axis=1), names)
    sections = [
        _head(model, photos, parts, options, measures),
        _section("Curves", _figure(visualization.plot_history(model.history), "loss and accuracy by epoch", "chart")),
        _section("What is taken for what", _confusion(labels, probabilities, names), _by_class(measures["classes"])),
        _section("The worst mistakes", _mistakes(images, labels, probabilities, photos, parts)),
        _section("What decided", _explained(model, images, labels, probabilities, names)),
        _section("Files that were left out", _skipped(photos.skipped)),
        _section("What next", _next(options.out)),
    ]
    text = _page(f"{options.folder.resolve().name}: report", sections)
    with replacing(path) as temporary:
        # Names of files are bytes, and need not be UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _page(title, sections) -> str:
    style = files("minicnn.command_line").joinpath("report.css").read_text(encoding="utf-8")
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(sections) + "\n</body>\n</html>\n"


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def _head(model, photos, parts, options, measures):
    """What was trained, and how good it is."""
    epochs = model.history.epoch
    best = epochs[int(np.argmin(model.history.history["val_loss"]))] + 1
    size = "×".join(str(n) for n in model.input_shape[1:])
    rows = [
        ("photos", f"{len(photos.labels)}: {len(parts.train)} to train with, {len(parts.held)} held back"),
        ("classes", ", ".join(f"{n} ({c})" for n, c in zip(photos.class_names, photos.counts(), strict=True))),
        ("network", f"{options.network}, {model.count_params():,} parameters, pictures of {size}"),
        ("training", f"{len(epochs)} of at most {options.epochs} epochs, seed {options.seed}"),
        ("weights", f"those of epoch {best}, the best on the photos that were held back"),
        ("written by", f"minicnn {__version__}"),
    ]
    return (
        f"<h1>{html.escape(options.folder.resolve().name)}</h1>\n"
        f'<p class="result">{measures["accuracy"]:.1%} of {measures["photos"]} photos that were held back are '
        "recognised.</p>\n" + _table(None, rows)
    )


def _table(heads: Sequence[str] | None, rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers are right-aligned."""

    def cell(kind, value):
        is_number = isinstance(value, int | float)
        text = f"{value:.1%}" if isinstance(value, float) else str(value)
        return f"<{kind}{' class=number' if is_number else ''}>{html.escape(text)}</{kind}>"

    lines = [] if heads is None else ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    lines += ["<tr>" + "".join(cell("td", value) for value in row) + "</tr>" for row in rows]
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _figure(figure: Figure, text: str, kind: str = "photos") -> str:
    """A figure as an element of the page."""
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="{kind}" alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def _confusion(labels, probabilities, names):
    figure = visualization.plot_confusion_matrix(labels, probabilities, names)
    return _figure(figure, "confusion matrix of the photos that were held back", "chart")


def _by_class(classes):
    rows = [(name, m["precision"], m["recall"], m["f1-score"], m["support"]) for name, m in classes.items()]
    return _table(("class", "precision", "recall", "F1", "photos"), rows)


def _mistakes(images, labels, probabilities, photos, parts):
    """The photos whose true class was thought least probable."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    if not len(wrong):
        return "<p>None of the photos that were held back is taken for something else.</p>"
    figure = visualization.show_mistakes(images, labels, probabilities, photos.class_names, MOST_MISTAKES)
    worst = wrong[np.argsort(probabilities[wrong, labels[wrong]], kind="stable")][:MOST_MISTAKES]
    paths = [photos.paths[parts.held[i]] for i in worst]
    listing = "".join(f"<li>{html.escape(path)}</li>" for path in paths)
    return (
        _figure(figure, "photos that are taken for something else")
        + f"<details><summary>their files</summary><ol>{listing}</ol></details>"
    )


def _explained(model, images, labels, probabilities, names):
    """Grad-CAM of the photos that the model was surest of, of right ones and of mistakes as many."""
    sure, is_right = np.argsort(-probabilities.max(axis=1), kind="stable"), probabilities.argmax(axis=1) == labels
    some = [sure[is_right[sure] == wanted][: MOST_EXPLAINED // 2] for wanted in (True, False)]
    figure = visualization.show_grad_cam(model, images[np.concatenate(some)], class_names=names)
    return (
        "<p>What speaks for the class that the network decided on, as its last convolution sees it (Grad-CAM): first "
        f"of {len(some[0])} photos that it is right about, then of {len(some[1])} that it is wrong about.</p>\n"
        + _figure(figure, "photos, heat maps of what speaks for the class, both over each other")
    )


def _skipped(skipped):
    if not skipped:
        return "<p>None: every file could be read.</p>"
    lines = "".join(f"<li>{html.escape(path)}: {html.escape(reason)}</li>" for path, reason in skipped.items())
    return f"<ul>{lines}</ul>"


def _next(out):
    name = html.escape(str(out))
    return (
        f"<pre>python -m minicnn predict {name} PHOTO.jpg\npython -m minicnn evaluate {name} FOLDER\n"
        f"python -m minicnn export {name} --html --onnx --keras</pre>\n<p>In Python: "
        f"<code>mc.load_model({html.escape(repr(str(out)))}).predict_image(&quot;photo.jpg&quot;)</code></p>"
    )
