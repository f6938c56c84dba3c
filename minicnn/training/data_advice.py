"""What messages about data say beside the bare facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from minicnn.hints import Shape
from minicnn.layers.open_sizes import fits, has_open


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Inside, errors about data say which argument of the user's they are about."""
    try:
        yield
    except (ValueError, TypeError) as error:
        error.args = (f"{argument}: {error}", *error.args[1:])
        raise


def shape_advice(shape: Shape, expected: Shape) -> str:
    """How to bring an input of `shape` to (N, *expected), where that can be told without scrambling pixels.

    Returns
    -------
    str
        Begins with "; ", or is empty.
    """
    sample = tuple(shape[1:])
    if fits(shape, expected):
        return _sample_advice(expected)
    if fits((*shape, 1), expected):
        return "; a single sample needs axes for the batch and the channel: x[None, ..., None]"
    if len(shape) == 4 and len(expected) == 3:
        if fits((sample[1], sample[2], sample[0]), expected):
            return "; the channels seem to come first: use numpy.moveaxis(x, 1, -1), which is x.transpose(0, 2, 3, 1)"
        if fits((sample[2], sample[0], sample[1]), expected):
            return (
                "; the model seems to want the channels first, and images are channels-last here: "
                f"make it for Input({sample}) and keep the data"
            )
        if fits(shape[:3], expected):
            return "; the samples seem to come last: use numpy.moveaxis(x, -1, 0)"
    if advice := _channel_advice(shape, expected):
        return advice
    if has_open([expected]):
        return ""
    if len(sample) == 1 and len(expected) == 3 and expected[2] > 1 and sample[0] == math.prod(expected):
        h, w, c = expected
        return (
            f"; flat images: x.reshape({(-1, h, w, c)}) if each pixel's channels stand together, and "
            f"x.reshape({(-1, c, h, w)}).transpose(0, 2, 3, 1) if they stand channel after channel, as in CIFAR's files"
        )
    if _merges(sample, expected) or _merges(expected, sample):
        return f"; use x.reshape({(-1, *expected)})"
    if len(expected) == 3 and sample[2:] == expected[2:] and len(sample) == 3:
        return f"; pictures of another size: mc.utils.resize_images(x, {expected[:2]}), or a model for Input({sample})"
    return _number_advice(shape, expected)


def _number_advice(shape, expected):
    """What to do with no sample, and with more than one batch."""
    if shape == (0,):
        return "; there is no sample in it"
    if fits(shape[2:], expected):
        return (
            "; these are batches of batches: .batch(…) stands in a Dataset once, and of a list of arrays each is for "
            "an input of its own"
        )
    return ""


def _sample_advice(expected):
    """What to do with data of the very shape that is expected of a sample; pictures and rows are single ones."""
    counted = "" if len(expected) in (1, 3) else "; an Input takes the shape of one sample, x.shape[1:]"
    return (
        "; a single sample needs a batch axis: x[None], and a Dataset of single samples is put together: .batch(32), "
        "or PyTorch's by DataLoader(…, 32)"
        f"{counted}"
    )


def _channel_advice(shape, expected):
    """How to bring images of the right size to another number of channels; empty where they are none."""
    is_one = len(expected) == 3 == len(shape) and shape[0] == expected[2] and fits(shape[1:], expected[:2])
    if is_one and expected[2] > 1:
        return "; a single picture whose channels come first: x.transpose(1, 2, 0)[None]"
    if len(expected) != 3 or len(shape) not in (3, 4) or not fits(shape[1:3], expected[:2]):
        return ""
    channels = shape[3] if len(shape) == 4 else None
    if channels in (None, 1) and expected[2] == 3:
        grey = "x[..., None]" if channels is None else "x"
        return f"; grey pictures, and the model wants three channels: numpy.repeat({grey}, 3, axis=-1)"
    if channels == 3 and expected[2] == 1:
        return "; pictures in colour, and the model wants grey ones: mc.utils.to_grayscale(x)"
    if channels == 4 and expected[2] == 3:
        return "; x[..., :3] leaves transparency out"
    return ""


def _merges(fine: Sequence[int], coarse: Sequence[int]) -> bool:
    """Whether neighbouring axes of `fine` can be put together to get `coarse`: then a reshape moves nothing apart."""
    axes = [n for n in fine if n != 1]
    for size in (n for n in coarse if n != 1):
        product = 1
        while product < size and axes:
            product *= axes.pop(0)
        if product != size:
            return False
    return not axes
