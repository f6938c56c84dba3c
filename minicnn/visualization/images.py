"""Grids of images, and one image with what a model makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.checks import check_positive_int, is_real
from minicnn.metrics import class_numbers
from minicnn.visualization.figures import (
    BLUE,
    GREEN,
    NO_BREAK,
    VERMILION,
    Names,
    as_one_image,
    as_pixels,
    as_text,
    check_colour_map,
    checked_names,
    class_label,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGE_INCHES = 1.5
TITLE_SIZE = 8.5  # points
TITLE_LETTERS = 21  # as many fit above an image
TITLE_INCHES = 0.18  # for each line of an image's title
NAME_LETTERS = 26  # of a class beside its bar
BAR_INCHES = 0.28
SCALE_INCHES = 0.8  # for a colour bar
PAGE = 100  # images that are drawn at once
OTHERS = "#B0B0B0"
TOLERANCE = 1e-5  # probabilities may be so much below 0 or above 1, by rounding
SUM_TOLERANCE = 1e-3  # and so far from 1 together; sigmoids, which stand for themselves, are further


def show_images(
    images: ArrayLike | Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    class_names: Names | None = None,
    predictions: ArrayLike | None = None,
    titles: Names | None = None,
    columns: int = 5,
    page: int = 1,
    cmap: str | None = None,
) -> Figure:
    """A grid of images, each with its class or a title above it; a large gallery page by page.

    Parameters
    ----------
    images : array (N, H, W), (N, H, W, 1) or (N, H, W, 3), or list of such images
        Grey or red-green-blue. Bytes from 0 to 255 and floats from 0 to 1 are drawn as they are, other values scaled
        from the lowest (black) to the highest (white) of all images.
    labels : array (N,) or (N, 1) of class numbers, or one-hot rows (N, C), optional
        The true classes.
    class_names : sequence of str, optional
        Written instead of the class numbers.
    predictions : array like `labels`, or of probabilities (N, C), optional
        What a model says: written as "pred = …", with the probability where rows of them are given (of other numbers,
        such as logits, the class alone), and "act = …" for the label; in vermilion where it is wrong.
    titles : sequence of str, optional
        One for each image, instead of the classes.
    columns : int, default 5
    page : int, default 1
        Of more than 100 images, which hundred is drawn; the title says how many pages there are.
    cmap : str, optional
        One of matplotlib's colour maps, such as "PuOr_r", for grids of numbers (N, H, W) that are compared: all have
        the same colours, from the lowest to the highest value of all, around 0 where there are negative ones, and a
        colour bar says which.

    Returns
    -------
    matplotlib.figure.Figure
        Rows of `columns` images.

    Raises
    ------
    ValueError
        If shapes or lengths do not fit, or a class has no name.
    TypeError
        If `class_names` or `titles` is no sequence.
    ImportError
        If matplotlib is not installed.
    """
    pixels, scale = _coloured(images, cmap)
    columns = min(check_positive_int("columns", columns), len(pixels))
    texts, wrong = _titles(len(pixels), labels, class_names, predictions, titles)
    part, page_title = _page(page, len(pixels))
    pixels, texts, wrong = pixels[part], texts[part], wrong[part]
    rows = -(-len(pixels) // columns)
    lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    margin = 2 * TITLE_INCHES if page_title else 0
    width = columns * IMAGE_INCHES + (SCALE_INCHES if cmap else 0)
    figure = new_figure(width, rows * (IMAGE_INCHES + TITLE_INCHES * lines) + margin)
    places = np.ravel(figure.subplots(rows, columns))
    for axes, image, text, is_wrong in zip(places, pixels, texts, wrong, strict=False):
        picture = axes.imshow(image, **scale)
        axes.set_title(text, fontsize=TITLE_SIZE, color=VERMILION if is_wrong else "black")
    for axes in places:
        axes.set_axis_off()
    if cmap is not None:
        figure.colorbar(picture, ax=list(places), shrink=0.8, aspect=25).outline.set_visible(False)
    if page_title:
        figure.suptitle(page_title, fontsize="medium")
    return figure


def _coloured(images, cmap):
    """(images as floats, how `imshow` draws them)."""
    if cmap is None:
        return as_pixels(images, "show_images"), {"cmap": "gray", "vmin": 0, "vmax": 1}
    check_colour_map(cmap)
    as_pixels(images, "show_images")  # what is no image is refused
    numbers = np.asarray(images, np.float32)
    numbers = numbers[..., 0] if numbers.ndim == 4 and numbers.shape[-1] == 1 else numbers
    if numbers.ndim != 3:
        raise ValueError(
            f"cmap gives colours to numbers (N, H, W); leave it out for colour images. Received: shape {numbers.shape}"
        )
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0:
        low, high = -max(-low, high), max(-low, high)
    return numbers, {"cmap": cmap, "vmin": low, "vmax": high if high > low else low + 1}


def _page(number, count):
    """(which images of `count` are on a page, its title: "" where all are)."""
    pages = max(-(-count // PAGE), 1)
    if check_positive_int("page", number) > pages:
        raise ValueError(
            f"{count:,} images are {pages} page(s) of up to {PAGE}, page=1 … {pages}. Received: page={number}"
        )
    start = PAGE * (number - 1)
    part = slice(start, min(start + PAGE, count))
    title = f"{start + 1:,}–{part.stop:,} of {count:,} images, page {number} of {pages}"
    return part, title if pages > 1 else ""


def _titles(count, labels, class_names, predictions, titles):
    """(the text above each image, whether its prediction is wrong)."""
    titles, class_names = checked_names(titles, "titles"), checked_names(class_names, "class_names")
    if titles is not None:
        if labels is not None or predictions is not None:
            raise ValueError("show_images takes titles, or labels and predictions. Received: both")
        _check_count(count, titles, "a title", "titles")
        return [_wrapped(title) for title in titles], [False] * count
    actual = None if labels is None else class_numbers(labels, "labels")
    predicted = None if predictions is None else class_numbers(predictions, "predictions")
    for numbers, one, many in ((actual, "a label", "labels"), (predicted, "a prediction", "predictions")):
        if numbers is not None:
            _check_count(count, numbers, one, many)
    if predicted is None:
        names = [] if actual is None else [class_label(n, class_names) for n in actual]
        return [_wrapped(name) for name in names] or [""] * count, [False] * count
    parts = [[f"pred = {name}"] for name in _predicted_names(predictions, predicted, class_names)]
    if actual is not None:
        for part, number in zip(parts, actual, strict=True):
            part.append(f"act = {class_label(number, class_names)}")
    texts = [", ".join(part) if len(", ".join(part)) <= TITLE_LETTERS else "\n".join(part) for part in parts]
    wrong = [False] * count if actual is None else list(predicted != actual)
    return [_wrapped(text) for text in texts], wrong


def _predicted_names(predictions, numbers, class_names):
    """Each predicted class, with its probability, or what its sigmoid gives, where rows of these were given."""
    names = [class_label(n, class_names, "predictions") for n in numbers]
    rows = np.asarray(predictions)
    if rows.ndim == 1 or rows.shape[1] == 1 or not _lie_between(rows):
        return names
    add_up = _add_up(rows)
    return [f"{name} ({_value(row[n], add_up, 0)})" for name, row, n in zip(names, rows, numbers, strict=True)]


def _check_count(count, values, one, many):
    if len(values) != count:
        raise ValueError(f"show_images needs {one} for each of {count} images. Received: {len(values)} {many}")


def _wrapped(text, letters=TITLE_LETTERS) -> str:
    """Lines of at most so many letters, for matplotlib."""
    return as_text("\n".join("\n".join(textwrap.wrap(line, letters)) for line in text.split("\n")))


def _lie_between(values) -> bool:
    """Whether all are what a softmax or a sigmoid gives."""
    return bool(((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)).all())


def _add_up(rows) -> bool:
    """Whether the numbers of each row (…, C) are probabilities of classes that exclude each other."""
    return bool((np.abs(np.sum(rows, axis=-1) - 1) <= SUM_TOLERANCE).all())


def _value(value, is_probability, decimals) -> str:
    """A probability in percent; what a sigmoid gives as it is."""
    return _percent(value, decimals) if is_probability else f"{float(value):.2f}"


def _percent(fraction, decimals=2) -> str:
    return f"{100 * float(fraction):.{decimals}f}{NO_BREAK}%"


# ------------------------------------------------------------------------------------------------------- prediction


def show_prediction(
    image: ArrayLike,
    probabilities: ArrayLike,
    class_names: Names | None = None,
    label: int | None = None,
    top: int = 10,
) -> Figure:
    """An image beside a bar for each class; the title says which is predicted, and how surely.

    Numbers that add up to 1 are probabilities, in percent. Others, of sigmoids that each stand for themselves, are
    written as they are.

    Parameters
    ----------
    image : array (H, W), (H, W, 1) or (H, W, 3), or a batch of one such image
    probabilities : array (C,) or (1, C)
        What ``model.predict`` gives for the image, each from 0 to 1; they need not add up to 1.
    class_names : sequence of str, optional
        One for each class.
    label : int, optional
        The true class.
    top : int, default 10
        Of more classes than this, the most probable ones are shown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not fit, a probability is not between 0 and 1 (but for rounding), or a class has no name.
    TypeError
        If `class_names` is no sequence.
    ImportError
        If matplotlib is not installed.
    """
    pixels = as_one_image(image, "show_prediction")
    class_names = checked_names(class_names, "class_names")
    probabilities = _checked_probabilities(probabilities, class_names)
    classes = len(probabilities)
    predicted = int(probabilities.argmax())
    if label is not None:
        label = _checked_label(label, classes, class_names)
    shown = _shown_classes(probabilities, label, check_positive_int("top", top))
    figure = new_figure(7.2, max(3.2, 0.9 + BAR_INCHES * len(shown)))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    left.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    left.set_axis_off()
    _draw_bars(right, probabilities, shown, predicted, label, class_names)
    value = _value(probabilities[predicted], _add_up(probabilities), 2)
    title = f"predicted: {class_label(predicted, class_names)} ({value})"
    if label is not None:
        title += f"\ntrue class: {class_label(label, class_names)}"
    wrong = label is not None and label != predicted
    figure.suptitle(_wrapped(title, 70), fontsize="large", color=VERMILION if wrong else "black")
    return figure


def _checked_probabilities(probabilities, class_names):
    """Probabilities as a vector (C,), from 0 to 1."""
    vector = np.asarray(probabilities)
    vector = vector[0] if vector.ndim == 2 and len(vector) == 1 else vector
    if vector.ndim != 1 or not is_real(vector) or len(vector) < 2:
        raise ValueError(
            "show_prediction takes the probability of each of two or more classes for one image, (C,) or (1, C), e.g. "
            "model.predict(x_test[:1]); for one sigmoid output p, write [1 - p, p]. "
            f"Received: shape {np.shape(probabilities)}, dtype {vector.dtype}"
        )
    if np.isnan(vector).any():
        raise ValueError(
            "a probability is NaN: the model's weights, or the image, hold NaN or infinite values. "
            f"Received: NaN for {np.isnan(vector).sum()} of {len(vector)} classes"
        )
    if not _lie_between(vector):
        raise ValueError(
            "probabilities lie between 0 and 1; where a model has no softmax, apply minicnn.functional.softmax. "
            f"Received: values from {vector.min()} to {vector.max()}"
        )
    if class_names is not None and len(class_names) != len(vector):
        raise ValueError(f"class_names needs a name for each of {len(vector)} classes. Received: {len(class_names)}")
    return vector.clip(0, 1)


def _checked_label(label, classes, class_names):
    """The true class as an int below the number of classes."""
    number = np.asarray(label)
    number = number.reshape(()).item() if number.size == 1 else label
    class_label(number, class_names, "label")
    if not 0 <= number < classes:
        raise ValueError(f"label is one of the {classes} classes, 0 … {classes - 1}. Received: label={label!r}")
    return int(number)


def _shown_classes(probabilities, label, top):
    """The classes that get a bar: all in their order, or of too many the most probable ones and the true one."""
    if len(probabilities) <= top:
        return list(range(len(probabilities)))
    best = [int(n) for n in np.argsort(-probabilities, kind="stable")[:top]]
    return best if label is None or label in best else [*best, label]


def _draw_bars(axes, probabilities, shown, predicted, label, class_names):
    """One bar a class, the first on top; the predicted and the true one stand out."""
    names = [class_label(n, class_names) + (" (true)" if n == label else "") for n in shown]
    colours = dict.fromkeys(shown, OTHERS)
    if label is not None:
        colours[label] = GREEN
    colours[predicted] = BLUE if label in (None, predicted) else VERMILION
    bars = axes.barh(range(len(shown)), probabilities[shown], color=[colours[n] for n in shown])
    add_up = _add_up(probabilities)
    axes.bar_label(bars, [_value(probabilities[n], add_up, 1) for n in shown], padding=3, fontsize=TITLE_SIZE)
    axes.set_yticks(range(len(shown)), [_wrapped(name, NAME_LETTERS) for name in names], fontsize=TITLE_SIZE)
    for text, number in zip(axes.get_yticklabels(), shown, strict=True):
        text.set_weight("bold" if number in (predicted, label) else "normal")
    axes.invert_yaxis()
    meaning = "probability" if add_up else "output of each sigmoid (they do not add up to 1)"
    axes.set(xlim=(0, 1.2), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel=meaning)
    axes.spines[["top", "right"]].set_visible(False)
