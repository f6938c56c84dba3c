"""Changes of images that are chosen at random among eleven, one after the other or mixed: `RandAugment`, `AugMix`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from minicnn.checks import check_number, check_positive_int, check_seed
from minicnn.data.mixing import share_range
from minicnn.hints import DataFormat, LayerOptions
from minicnn.layers.augmentation import (
    ImageLayer,
    Interpolation,
    RandomRotation,
    RandomShear,
    RandomTranslation,
)
from minicnn.layers.base import Examples, Layer
from minicnn.layers.random_colors import RandomColorDegeneration
from minicnn.layers.random_filters import Equalization
from minicnn.layers.random_mixing import GAMMA, beta, log_gamma
from minicnn.layers.random_pixels import RandomBrightness, RandomContrast
from minicnn.layers.random_tones import AutoContrast, RandomPosterization, RandomSharpness, Solarization
from minicnn.layers.shapes import check_data_format
from minicnn.on_host import on_host
from minicnn.step import Arrays, Buffer, Shape, Shapes, Step, Workspace

__all__ = ["AugMix", "RandAugment"]

_APART = 2**16  # between the streams of what runs one after the other at one place, which no model has so many of


class _Policy(ImageLayer):
    """Base: changes that the batch draws, whose strengths each of its images draws by itself."""

    only_in_training = True
    acts_on_arrays = True

    def __init__(
        self,
        value_range: Sequence[float],
        factor: float | Sequence[float],
        interpolation: Interpolation,
        seed: int | None,
        data_format: DataFormat,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor: float | tuple[float, float] = tuple(factor) if isinstance(factor, list) else factor
        self.seed: int | None = check_seed("seed", seed)
        self.data_format: DataFormat = check_data_format(data_format)
        changes = _changes(share_range("factor", self.factor), value_range, interpolation, self.name)
        self.interpolation: Interpolation = changes[0].interpolation
        self.value_range: tuple[float, float] = changes[-1].value_range
        self._changes: list[Layer] = changes

    def draws(self) -> int:
        """How many numbers a batch draws."""
        raise NotImplementedError

    def build(self, input_shapes: Shapes) -> Shape:
        shape = super().build(input_shapes)
        for change in self._changes:
            change.build_for(input_shapes)
        return shape

    def buffers(self, input_shapes: Shapes, output_shape: Shape, training: bool) -> dict[str, Buffer]:
        return {"choice": Buffer((-(-self.draws() // 4) * 4,), "float32", per_sample=False)}

    def bind(self, ws: Workspace) -> None:
        ws.key = (ws.seed if self.seed is None else self.seed, ws.stream)

    def _drawn(self, ws):
        """The batch's numbers in [0, 1), float64 on the host: those that shards of a batch draw are the same."""
        ws.ops.uniform(ws.buffers["choice"][None], *ws.key, ws.iteration, 0)
        return np.asarray(on_host(ws.buffers["choice"]), np.float64)

    def _ran(self, ws, numbers, x, first):
        """What changes, chosen by numbers in [0, 1), make of x one after the other: [(step, workspace)].

        The last of them that is chosen beyond the changes there are is none.
        """
        ran = []
        for place, number in enumerate(numbers, first):
            if number >= len(self._changes):
                continue
            step = _step_of(self._changes[int(number)])
            seed, stream = ws.key
            buffers = {
                name: np.empty_like(x, shape=(len(x), *buffer.shape), dtype=buffer.dtype or x.dtype)
                for name, buffer in step.buffers((x.shape[1:],), x.shape[1:], True).items()
            }
            keys = {"seed": seed, "stream": stream + _APART * (1 + place)}
            inner = replace(ws, xs=(x,), y=np.empty_like(x), buffers=buffers, **keys)
            step.bind(inner)
            step.forward(inner.xs, inner)
            ran.append((step, inner))
            x = inner.y
        return ran

    @staticmethod
    def _back(ran, dy):
        """The gradient by what the changes began with."""
        for step, inner in reversed(ran):
            inner.dy, inner.dxs = dy, (np.empty_like(dy),)
            step.backward(dy, inner)
            dy = inner.dxs[0]
        return dy


def _changes(factor, value_range, interpolation, name) -> list[Any]:
    """The eleven layers, in the order of Keras's `RandAugment`; colours come last."""
    warps, pixels = {"interpolation": interpolation}, {"value_range": value_range}
    classes: list[tuple[type[Layer], tuple[Any, ...], dict[str, Any]]] = [
        (RandomShear, (factor, factor), warps),
        (RandomTranslation, (factor, factor), warps),
        (RandomRotation, (factor,), warps),
        (RandomPosterization, (max(1, int(8 * factor[1])),), pixels),
        (Solarization, (factor, factor), pixels),
        (AutoContrast, (), pixels),
        (Equalization, (), pixels),
        (RandomColorDegeneration, (factor,), pixels),
        (RandomContrast, (factor,), pixels),
        (RandomSharpness, (factor,), pixels),
        (RandomBrightness, (factor,), pixels),
    ]
    return [cls(*args, name=f"{name}_{cls.__name__}", **options) for cls, args, options in classes]


def _step_of(layer) -> Step:
    """What runs a layer whose channels come last."""
    (step,) = layer.lower()
    return step


class RandAugment(_Policy):
    """In training, changes the images of a batch in ways that are drawn for it (Cubuk et al.: "RandAugment", 2019).

    Each way is one of eleven: shear, translation, rotation, posterization, solarization, automatic contrast,
    equalization, degeneration of colours, contrast, sharpness and brightness, layers of these names.

    Parameters
    ----------
    value_range : (float, float), default (0, 255)
        The range of pixels.
    num_ops : int, default 2
        How many ways follow each other; one may be drawn more than once. 0 changes nothing.
    factor : float or (float, float), default 0.5
        Limits, from 0 to 1, of how strong they are, which each image draws by itself; a number f means (0, f).
    interpolation : {"bilinear", "nearest"}, default "bilinear"
        Of those that move pixels.
    seed : int, optional
        Default: drawn from the model's seed.
    data_format : {None, "channels_last", "channels_first"}

    Notes
    -----
    On a GPU the iterations run kernel by kernel, as what is drawn decides which kernels there are.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_ops: int = 2,
        factor: float | Sequence[float] = 0.5,
        interpolation: Interpolation = "bilinear",
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_ops: int = check_positive_int("num_ops", num_ops, minimum=0)

    def draws(self) -> int:
        return max(1, self.num_ops)

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if not ws.training:
            ws.y[...] = xs[0]
            return
        ws.ran = self._ran(ws, self._drawn(ws)[: self.num_ops] * len(self._changes), xs[0], 0)
        ws.y[...] = ws.ran[-1][1].y if ws.ran else xs[0]

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        ws.dxs[0][...] = self._back(ws.ran, dy) if ws.training else dy

    @classmethod
    def examples(cls) -> Examples:
        yield cls((-3, 3), seed=1), [(5, 4, 3)]


class AugMix(_Policy):
    """In training, mixes each image with what chains of changes make of it (Hendrycks et al.: "AugMix", 2019).

    Parameters
    ----------
    value_range : (float, float), default (0, 255)
        The range of pixels, to which they are clipped.
    num_chains : int, default 3
        How many chains there are, which are mixed by weights of a Dirichlet distribution.
    chain_depth : int, default 3
        How many changes follow each other in a chain; each may be none.
    factor : float or (float, float), default 0.3
        Limits, from 0 to 1, of how strong they are, which each image draws by itself; a number f means (0, f).
    alpha : float above 0, default 1
        Of the Dirichlet distribution, and of the beta distribution that gives the image's own share.
    all_ops : bool, default True
        Whether colours, contrast, sharpness and brightness are among the changes of `RandAugment` that are drawn.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
        Of the changes that move pixels.
    seed, data_format :
        As for `RandAugment`.

    Notes
    -----
    w · x + (1 - w) · Σ wᵢ · chainᵢ(x). Changes and weights are drawn for a batch. On a GPU, see `RandAugment`.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: float | Sequence[float] = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Interpolation = "bilinear",
        seed: int | None = None,
        data_format: DataFormat = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_chains: int = check_positive_int("num_chains", num_chains)
        self.chain_depth: int = check_positive_int("chain_depth", chain_depth)
        self.alpha: float = check_number("alpha", alpha, above=0)
        self.all_ops: bool = bool(all_ops)
        self._changes = self._changes if self.all_ops else self._changes[:-4]

    def draws(self) -> int:
        return (2 + self.num_chains) * GAMMA + self.num_chains * self.chain_depth

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        if not ws.training:
            ws.y[...] = xs[0]
            return
        numbers, split = self._drawn(ws), (2 + self.num_chains) * GAMMA
        own = float(beta(numbers[None, : 2 * GAMMA], self.alpha)[0])
        logarithms = log_gamma(numbers[2 * GAMMA : split].reshape(self.num_chains, GAMMA), self.alpha)
        shares = np.exp(logarithms - logarithms.max())
        chosen = numbers[split : self.draws()].reshape(self.num_chains, -1) * (len(self._changes) + 1)
        ws.mixed, mixed = [], own * xs[0]
        for place, (share, chain) in enumerate(zip((1 - own) * shares / shares.sum(), chosen, strict=True)):
            ran = self._ran(ws, chain, xs[0], place * self.chain_depth)
            mixed += float(share) * (ran[-1][1].y if ran else xs[0])
            ws.mixed.append((float(share), ran))
        low, high = self.value_range
        ws.own, ws.inside = own, (mixed >= low) & (mixed <= high)
        ws.y[...] = np.clip(mixed, low, high)

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        if not ws.training:
            ws.dxs[0][...] = dy
            return
        dy = dy * ws.inside
        ws.dxs[0][...] = ws.own * dy
        for share, ran in ws.mixed:
            ws.dxs[0][...] += share * self._back(ran, dy)

    @classmethod
    def examples(cls) -> Examples:
        yield cls((-3, 3), seed=1), [(5, 4, 3)]
        yield cls((-3, 3), 2, 1, (0.2, 0.9), 0.5, False, seed=2), [(4, 5, 1)]
