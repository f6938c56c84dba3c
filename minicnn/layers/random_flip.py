"""Random mirror images."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from minicnn.checks import check_choice
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import RandomImages, about_centre
from minicnn.layers.base import Examples

__all__ = ["RandomFlip"]


class RandomFlip(RandomImages):
    """In training, mirrors half of the images.

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}, default "horizontal_and_vertical"
        Horizontal exchanges left and right, vertical top and bottom. With both, an image is flipped both ways, which
        is half a turn, or not at all, as in Keras 3.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}
    """

    is_exact = True

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__("constant", "nearest", seed, 0.0, data_format, **kwargs)  # pixels go to pixels
        self.mode: str = check_choice("mode", mode, ("horizontal_and_vertical", "horizontal", "vertical"))

    def matrix(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        flipped = np.where(numbers[0] < 0.5, -1.0, 1.0)
        x = flipped if "horizontal" in self.mode else 1
        y = flipped if "vertical" in self.mode else 1
        return about_centre(x, 0, 0, y, height, width, numbers)

    @classmethod
    def examples(cls) -> Examples:
        yield cls(), [(5, 4, 3)]
        yield cls("horizontal", seed=3), [(4, 5, 1)]
        yield cls("vertical"), [(5, 1, 2)]
