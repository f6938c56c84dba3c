"""Writing a model as a page."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.errors import ShapeError
from minicnn.hints import FilePath
from minicnn.layers import Rescaling
from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.page.description import describe
from minicnn.page.weights import Numbers
from minicnn.plan.program import lower
from minicnn.saving.files import checked_path, replacing

SCRIPTS = (  # in the order in which they are joined
    "strings",
    "elements",
    "functions",
    "operations",
    "explanations",
    "network",
    "colours",
    "picture",
    "drawing",
    "maps",
    "inspection",
    "why",
    "damage",
    "decision",
    "main",
)
"""The page's own code, one concern a file."""
MAX_EXAMPLES = 24
PIXELS = 255.0  # of a model that scales them itself


def export_html(
    model: Model,
    path: FilePath,
    class_names: Sequence[str] | None = None,
    examples: ArrayLike | None = None,
    value_range: tuple[float, float] | None = None,
    title: str | None = None,
) -> None:
    """Write a model as one web page that needs no network: draw, and see what every layer makes of it.

    Parameters
    ----------
    model : Model
        Built; it need not be compiled. One input: images (H, W), (H, W, 1) or (H, W, 3) of at most 64×64 pixels, or the
        numbers of a square one in a row. It is shown as it is used: no dropout, no augmentation.
    path : str or path
        Ends in ".html" or ".htm". Replaced if it exists, once the new file is whole.
    class_names : sequence of str, optional
        One for each number that the (first) output has. Default: `Model.class_names`, or 0, 1, 2, …
    examples : array (N, …), optional
        At most 24 images to begin with, as the model takes them, in any real dtype. Default: none; the page begins with
        a 2 that it draws itself.
    value_range : (float, float), optional
        The numbers that the model knows black and white by. Default: those of `Model.preprocessing`, where it is set;
        (0, 255) if the first layer is a `Rescaling` with factors below 1/10; else (0, 1).
    title : str, optional
        Default: the model's name.

    Raises
    ------
    TypeError
        If `model` is no model, or `class_names` no sequence of str.
    NotBuiltError
        If its input shape is not known.
    ShapeError
        If `examples` are no images of the model.
    ValueError
        If `path` ends otherwise, a layer cannot run in a page, the input is no such image, or the number of names is
        not that of the classes. Nothing is written then.
    NonFiniteError
        If a weight is NaN or infinite.

    Notes
    -----
    The page computes in float64 from weights in float32. Names are data in it, never markup, and its
    Content-Security-Policy allows no script but its own. See docs/page.md.
    """
    check_model(model, "export_html")
    path = checked_path(path)
    if path.suffix.lower() not in (".html", ".htm"):  # a model that was saved under this name would be lost
        raise ValueError(f"the name of a page ends in .html. Received: {str(path)!r}")
    numbers = Numbers()
    network = describe(model, numbers)
    network["title"] = str(model.name if title is None else title)
    network["range"] = _checked_range(model, value_range)
    network["classNames"] = _checked_names(model, class_names)
    if model.preprocessing is not None:
        network["preprocessing"] = model.preprocessing.get_config()
    network["examples"] = [] if examples is None else _pixels(network, model, examples)
    text = page(network, numbers.base64())
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def page(network: dict[str, Any], weights: str) -> str:
    """The page of a description and its weights."""
    script = "\n".join(["(() => {", '"use strict";', *map(_script, SCRIPTS), "})();"])
    style = _read("style.css")
    parts = {
        "title": html.escape(network["title"]),
        "policy": f"default-src 'none'; img-src data: blob:; script-src {_hash(script)}; style-src {_hash(style)}",
        "style": style,
        "script": script,
        "network": as_data(network),
        "weights": weights,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def as_data(value: Any) -> str:
    """JSON that can stand inside a script element: no character in it is one of markup."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _script(name):
    return f"// {name}\n{_read(f'{name}.js')}"


def _read(name):
    return files("minicnn.page").joinpath("browser", name).read_text(encoding="utf-8")


def _hash(text):
    """Of an element's text, as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# -------------------------------------------------------------------------------------------------------- arguments


def _checked_range(model, value_range):
    """[number of black, of white]."""
    if value_range is None and model.preprocessing is not None:
        return [0.0, PIXELS * model.preprocessing.rescale]
    if value_range is None:
        steps = [place.step for place in lower(model.graph).places]
        first = next((step for step in steps if not (step.is_view or step.only_in_training)), None)
        scales = isinstance(first, Rescaling) and np.abs(first.scale).max() < 0.1
        return [0.0, PIXELS if scales else 1.0]
    limits = np.asarray(value_range)
    if (
        limits.shape != (2,)
        or limits.dtype.kind not in "fiu"
        or not np.isfinite(limits).all()
        or limits[0] == limits[1]
    ):
        raise ValueError(
            "value_range is two different numbers, those of black and of white: (0, 1), (0, 255) or (-1, 1). "
            f"Received: value_range={value_range!r}"
        )
    return limits.astype(float).tolist()


def _checked_names(model, class_names):
    """A name for each number of the first output."""
    shape = model.outputs[0].shape[1:]
    if class_names is None and len(shape) == 1 and len(model.class_names or ()) == shape[0]:
        return list(model.class_names)
    if class_names is None:
        return [str(n) for n in range(shape[0])] if len(shape) == 1 else []
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise TypeError(f"class_names is a sequence of strings. Received: class_names={class_names!r}")
    names = [str(name) for name in class_names]
    if len(shape) != 1 or len(names) != shape[0]:
        raise ValueError(
            f"class_names needs a name for each number of the output '{model.output_names[0]}' of shape "
            f"{(None, *shape)}. Received: {len(names)} names"
        )
    return names


def _pixels(network, model, examples):
    """Each image as a base64 text of its bytes, rows of (R, G, B) or of grey."""
    array, shape = np.asarray(examples), model.inputs[0].shape[1:]
    array = array[..., None] if array.shape[1:] == shape[:-1] and shape[-1:] == (1,) else array
    if array.shape[1:] != shape or array.dtype.kind not in "fiub" or not 0 < len(array) <= MAX_EXAMPLES:
        raise ShapeError(
            f"examples are 1 to {MAX_EXAMPLES} images as the model takes them, (N, {', '.join(map(str, shape))}). "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    black, white = network["range"]
    bytes_ = np.rint((array.astype(np.float64) - black) * (PIXELS / (white - black)))
    if not np.isfinite(bytes_).all() or bytes_.min() < 0 or bytes_.max() > PIXELS:
        raise ValueError(
            f"examples hold numbers between those of black and white, value_range=({black:g}, {white:g}). Received: "
            f"{array.min()} to {array.max()}"
        )
    return [base64.b64encode(image.astype(np.uint8).tobytes()).decode("ascii") for image in bytes_]
