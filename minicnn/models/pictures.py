"""What a model that recognises pictures says about them, and one line to ask it: it travels in every file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.errors import FileFormatError
from minicnn.nested import leaves
from minicnn.plan.program import lower

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from minicnn.images.preprocessing import Preprocessing

MAX_CLASSES = 100_000  # names in a file that may come from a stranger
MAX_NAME = 1000  # characters of one


class ImagePrediction(NamedTuple):
    """What a model takes a picture for.

    Attributes
    ----------
    class_name : str
        The most probable class.
    probability : float
        Of that class.
    probabilities : dict
        Class name → probability, the most probable first.
    """

    class_name: str
    probability: float
    probabilities: dict[str, float]


class OfPictures:
    """What models have besides for pictures; a mixin.

    Attributes
    ----------
    class_names : list of str or None
        A name for each number of the output; two for a single sigmoid, that of 0 first.
    preprocessing : images.Preprocessing or None
        How a picture becomes what the model takes.
    """

    _class_names: list[str] | None = None
    _preprocessing: Preprocessing | None = None

    @property
    def class_names(self) -> list[str] | None:
        return self._class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if names is not None:
            names = _checked_names(names)
            count = _count_classes(self) if self.built else None
            if count not in (None, len(names)):
                raise ValueError(f"class_names needs {count} names, one for each class. Received: {len(names)}")
        self._class_names: list[str] | None = names

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, value: Preprocessing | Mapping[str, Any] | None) -> None:
        from minicnn.images.preprocessing import Preprocessing

        if value is not None and not isinstance(value, Preprocessing):
            value = Preprocessing.from_config(value)
        self._preprocessing: Preprocessing | None = value

    def predict_image(self, image: str | os.PathLike[str] | bytes | ArrayLike) -> ImagePrediction:
        """What one picture is taken for.

        Parameters
        ----------
        image : str, path-like, file object, bytes of a file, or array (H, W) or (H, W, C) of pixels from 0 to 255
            A picture of any size and kind; the model's `preprocessing` says what becomes of it.

        Returns
        -------
        ImagePrediction
            Fields class_name, probability, probabilities. Of an output without softmax or sigmoid, the softmax is
            taken. Without `class_names` classes are called "0", "1", …

        Raises
        ------
        ValueError
            If the model has no `preprocessing`, or its output is not one number a class.
        ShapeError
            If the model takes no pictures, or others than `preprocessing` gives.
        DataError, FileNotFoundError
            If the file is no picture, or is not there.
        ImportError
            If Pillow is not installed.
        """
        pixels = image_pixels(self, image)
        probabilities = class_probabilities(self, leaves(self.predict(pixels[None]))[0])[0]
        order = np.argsort(-probabilities, kind="stable")
        names = names_of_classes(self)
        ranked = {names[i]: float(probabilities[i]) for i in order}
        return ImagePrediction(names[order[0]], ranked[names[order[0]]], ranked)


def image_pixels(model: Any, image: str | os.PathLike[str] | bytes | ArrayLike) -> np.ndarray:
    """A picture as a model takes it, (H, W, C) or (H, W); errors as for `OfPictures.predict_image`."""
    if model.preprocessing is None:
        raise ValueError(
            f"model '{model.name}' does not say how a picture becomes its input: set model.preprocessing = "
            "mc.images.Preprocessing(rescale=1 / 255), or rescale=1 if a layer of it scales. Received: None"
        )
    shape = model.inputs[0].shape[1:]
    pixels = model.preprocessing.for_shape(shape)(image)  # (H, W, C)
    return pixels[..., 0] if len(shape) == 2 else pixels


def class_probabilities(model: Any, outputs: np.ndarray) -> np.ndarray:
    """A probability for each class, (N, classes), from a model's outputs (N, classes), or (N, 1) of a single sigmoid.

    Raises
    ------
    ValueError
        If the model has several outputs, or none of these shapes.
    """
    count = _count_classes(model)
    if count is None:
        raise ValueError(
            f"classes are told from one output (None, classes). Received: model '{model.name}' with "
            f"{[t.shape for t in model.outputs]}"
        )
    scores = outputs.astype(np.float64)
    program = lower(model.graph)
    final = program.final_step(program.outputs[0])
    if outputs.shape[1] == 1:
        ones = scores if final == "sigmoid" else 1 / (1 + np.exp(-scores))
        return np.concatenate([1 - ones, ones], axis=1)
    if final in ("softmax", "sigmoid"):
        return scores
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def names_of_classes(model: Any) -> list[str]:
    """The names of a model's classes; their numbers where it has none."""
    return model.class_names or [str(number) for number in range(_count_classes(model) or 0)]


def _count_classes(model) -> int | None:
    """How many classes an output tells apart; None where it tells none."""
    shapes = [tensor.shape[1:] for tensor in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 1:
        return None
    return max(2, shapes[0][0])


def _checked_names(names):
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"class_names is a sequence of strings. Received: class_names={names!r}")
    names = [str(name) for name in names]
    if len(set(names)) != len(names):
        raise ValueError(f"class_names are all different. Received: class_names={str(names)[:200]}")
    return names


# --------------------------------------------------------------------------------------------------------- in files


def describe_pictures(model: Any) -> dict[str, Any]:
    """What a file holds of it: "class_names" and "preprocessing", where the model has them."""
    found = {}
    if model.class_names is not None:
        found["class_names"] = list(model.class_names)
    if model.preprocessing is not None:
        found["preprocessing"] = model.preprocessing.get_config()
    return found


def put_pictures(model: Any, described: Any) -> None:
    """Give a model what `describe_pictures` wrote; it may come from a stranger.

    Raises
    ------
    FileFormatError
        If it is anything else, or does not fit the model.
    """
    if not isinstance(described, dict):
        raise FileFormatError(f"a model's pictures are described by a dict. Received: {str(described)[:100]}")
    names = described.get("class_names")
    is_list = isinstance(names, list) and len(names) <= MAX_CLASSES
    if names is not None and not (is_list and all(isinstance(n, str) and len(n) <= MAX_NAME for n in names)):
        raise FileFormatError(f"the names of classes are a list of text. Received: {str(names)[:100]}")
    try:
        model.class_names = names
        model.preprocessing = described.get("preprocessing")
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"the description of a model's pictures does not fit it: {error}") from None
