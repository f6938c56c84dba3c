"""Gradients of convolutions' kernels on tensor cores: one by itself, or several that wait for each other in one launch.

The gradient of a kernel is needed when the backward pass is through. That of a small convolution keeps the GPU busy
only in many parts, which somebody has to write and to add. Several of them do so in fewer, and are one launch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import cupy
import numpy as np

from minicnn.backends.cupy import tensor_cores
from minicnn.backends.cupy.gradient_parts import Parts, give
from minicnn.backends.cupy.launch import Array, Maybe, launch
from minicnn.backends.cupy.structures import MOST_CORRELATIONS, Address, Correlation, Correlations, OneOfSeveral
from minicnn.backends.cupy.tensor_choice import LEAST_CAPABILITY, Device
from minicnn.backends.cupy.tensor_gradient_choice import (
    HOPPER_GRADIENT_FILE,
    GradientChoice,
    best_gradient,
    choose_gradient,
)
from minicnn.backends.cupy.wgmma import can_be_had
from minicnn.geometry import Window
from minicnn.held import holding

NAME = "correlate"
ALONE, TOGETHER = 0, 1  # as the last size of tensor_gradient.cu and hopper_gradient.cu
NO_CORRELATION = OneOfSeveral(*(Address(0),) * 4, Correlation(*(0,) * len(Correlation._fields)), 0, 0, 0)


class Wanted(NamedTuple):
    """The gradients of a kernel (KH, KW, C, F) and a bias (F,) that somebody wants, and from what they are computed."""

    x: Array  # (N, H, W, C)
    dy: Array  # (N, OH, OW, F)
    dkernel: Array
    dbias: Maybe
    window: Window
    products: int  # that stand for one of float32, see `tensor_cores`
    device: Device  # as this precision sees it

    def choice(self, together: int = 1) -> GradientChoice | None:
        """How it is computed beside so many that are alike, itself included; None if other kernels are better."""
        chosen = choose_gradient(*self._numbers(), self.device, together)
        if chosen is None or chosen.file != HOPPER_GRADIENT_FILE or can_be_had(self._text(chosen, together), NAME):
            return chosen
        return choose_gradient(*self._numbers(), self._without_hopper(), together)

    def way(self, together: int) -> GradientChoice:
        """As `choice`, of what waits already: other kernels had their turn before those for Hopper were refused."""
        return self.choice(together) or best_gradient(*self._numbers(), self._without_hopper(), together)

    def _numbers(self):
        return len(self.x), self.window, *self.dkernel.shape[2:], self.dbias is not None

    def _without_hopper(self):
        return self.device._replace(capability=LEAST_CAPABILITY)

    def _text(self, chosen, together):
        return text_of(chosen, self.products, ALONE if together == 1 else TOGETHER)


def wanted(x: Array, dy: Array, dkernel: Array, dbias: Maybe, window: Window) -> Wanted:
    """What is to be computed in the precision of the op that runs."""
    return Wanted(x, dy, dkernel, dbias, window, tensor_cores.products(), tensor_cores.device())


def serves(x: Array, dy: Array, dkernel: Maybe, dbias: Maybe, window: Window, groups: int) -> bool:
    """Whether `compute` is to compute these gradients."""
    can = dkernel is not None and tensor_cores.can_read(window, groups, x, dy, dkernel)
    return can and wanted(x, dy, dkernel, dbias, window).choice() is not None


def compute(x: Array, dy: Array, dkernel: Array, dbias: Maybe, window: Window) -> None:
    """The gradients by kernel and bias, maybe later: see `together`, and `minicnn.backends.cupy.gradient_parts`."""
    own, waiting = wanted(x, dy, dkernel, dbias, window), _waiting.get()
    if waiting is None:
        compute_alone(own.choice(), own)
    else:
        waiting.append(own)


def compute_alone(chosen: GradientChoice, own: Wanted) -> None:
    """Gradients by themselves, now, as the choice says."""
    parts, bias_parts = _parts(chosen, own)
    arguments = own.x, own.dy, parts, bias_parts, chosen.geometry
    _launch(chosen, own.products, ALONE, (chosen.blocks, chosen.parts), *arguments)
    _give(chosen, own, parts, bias_parts)


def _launch(chosen, products, number, grid, *arguments):
    file, real = text_of(chosen, products, number), np.dtype(np.float32)
    launch(file, NAME, real, grid, chosen.threads, *arguments, shared=chosen.shared)


def text_of(chosen: GradientChoice, products: int, number: int) -> str:
    """The file and the size that a choice is compiled from, for one kernel alone or for several together."""
    return f"{chosen.file}/{chosen.size}x{products}x{number}"


def _parts(chosen, own):
    """Arrays for the parts of the gradient by the kernel, and of that by the bias."""
    arrays = own.dkernel, own.dbias
    return [None if a is None else cupy.empty((chosen.parts, a.size), a.dtype) for a in arrays]


def _give(chosen, own, parts, bias_parts):
    give(own.dkernel, Parts(parts, chosen.parts, own.dkernel.size))
    if own.dbias is not None:
        give(own.dbias, Parts(bias_parts, chosen.parts, own.dbias.size))


# --------------------------------------------------------------------------------------------------- several together

_waiting: ContextVar[list[Wanted] | None] = ContextVar("gradients that wait", default=None)


def kernel_gradients_wait() -> bool:
    """Whether any convolution's gradient by its kernel can wait for others here."""
    return tensor_cores.device().capability > 0


def together(works: Sequence[Callable[[], None]]) -> list[Callable[[], None]]:
    """Works that do the same, run in this order, where gradients of kernels may wait until the last one has run.

    Until then nobody reads them, and nobody changes what they are computed from.
    """
    waiting: list[Wanted] = []
    first, *rest = (partial(_run_waiting, work, waiting) for work in works)
    return [partial(_run_first, first, waiting), *rest[:-1], partial(_run_last, rest[-1], waiting)]


def _run_waiting(work, waiting):
    with holding(_waiting, waiting):
        work()


def _run_first(work, waiting):
    waiting.clear()  # of a pass that was broken off
    work()


def _run_last(work, waiting):
    work()
    compute_together(waiting)
    waiting.clear()


def compute_together(gradients: Sequence[Wanted]) -> None:
    """Gradients in as few launches as there are sizes of tiles among them."""
    for same in _by_size(gradients, 1):
        for several in _by_size(same, len(same)):
            for first in range(0, len(several), MOST_CORRELATIONS):
                _compute(several[first : first + MOST_CORRELATIONS], len(same))


def _by_size(gradients, count):
    """Groups of those that the same text of a kernel computes, where each is beside so many."""
    groups: dict[tuple[str, str, int], list[Wanted]] = {}
    for own in gradients:
        chosen = own.way(count)
        groups.setdefault((chosen.file, chosen.size, own.products), []).append(own)
    return list(groups.values())


def _compute(several, count):
    """Those that one text of a kernel computes, in one launch."""
    choices = [own.way(count) for own in several]
    if len(several) == 1:
        compute_alone(choices[0], several[0])
        return
    parts = [_parts(*pair) for pair in zip(choices, several, strict=True)]
    *firsts, blocks = accumulate((chosen.blocks * chosen.parts for chosen in choices), initial=0)
    members = [
        OneOfSeveral(*map(_address, (own.x, own.dy, *arrays)), chosen.geometry, first, chosen.blocks, 0)
        for chosen, own, arrays, first in zip(choices, several, parts, firsts, strict=True)
    ]
    filled = (*members, *[NO_CORRELATION] * (MOST_CORRELATIONS - len(members)))
    _launch(choices[0], several[0].products, TOGETHER, (blocks,), Correlations(len(members), 0, filled))
    for chosen, own, arrays in zip(choices, several, parts, strict=True):
        _give(chosen, own, *arrays)


def _address(array):
    return Address(0 if array is None else array.data.ptr)
