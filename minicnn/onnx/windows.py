"""Padding of convolution and pooling windows: from ONNX's ways to give it to Keras's."""

from collections.abc import Sequence
from typing import TypeAlias

from minicnn.geometry import effective_size, make_window
from minicnn.onnx.reader import FileNode

Sides: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right))"""

NO_SIDES: Sides = ((0, 0), (0, 0))


def padded_sides(
    node: FileNode,
    in_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: int = 0,
) -> tuple[Sides, tuple[int, int]]:
    """How many rows and columns a node adds around an image.

    Parameters
    ----------
    node : FileNode
        With the attributes `auto_pad` and `pads`.
    in_size, kernel_size, strides, dilations : sequence of two int
        (height, width) each.
    ceil_mode : {0, 1}
        1: a window may begin inside and end outside of the image.

    Returns
    -------
    sides : tuple
        ((top, bottom), (left, right)), as `pads` or `auto_pad` say.
    extra : (int, int)
        What `ceil_mode` adds at the bottom and at the right.
    """
    automatic = node.get("auto_pad", "NOTSET", str) or "NOTSET"
    pads = node.get("pads", None, list)
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.error(f"unknown padding. Received: auto_pad={automatic!r}")
    pads = [0, 0, 0, 0] if pads is None or automatic != "NOTSET" else pads
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads  # of rows
    if len(pads) != 4 or any(n < 0 for n in pads):
        raise node.error(f"pads are four numbers, none negative. Received: pads={pads}")
    sides, extra = [], []
    for axis in range(2):
        size, stride = in_size[axis], strides[axis]
        span = effective_size(kernel_size[axis], dilations[axis])
        before, after = pads[axis], pads[axis + 2]
        if automatic.startswith("SAME"):
            total = max((-(-size // stride) - 1) * stride + span - size, 0)
            small, large = total // 2, total - total // 2
            before, after = (small, large) if automatic == "SAME_UPPER" else (large, small)
            ceil_mode = 0
        sides.append((before, after))
        extra.append(ceil_extra(size, before, after, span, stride) if ceil_mode else 0)
    return tuple(sides), tuple(extra)


def padding_of_any_size(node: FileNode, strides: Sequence[int]) -> str | None:
    """How a node pads images whose size is open: "same" as Keras, "valid" after padding with zeros; None: as any does.

    Raises
    ------
    FileFormatError
        If it depends on the size in a way that no layer has.
    """
    if max(strides) == 1:
        return None
    automatic = node.get("auto_pad", "NOTSET", str) or "NOTSET"
    if automatic == "SAME_LOWER":
        raise _depends_on_the_size(node, f"auto_pad={automatic!r}")
    return "same" if automatic == "SAME_UPPER" else "valid"


def extra_of_any_size(
    node: FileNode, sides: Sides, pool_size: Sequence[int], strides: Sequence[int]
) -> tuple[int, int]:
    """What `ceil_mode` may add at most at the bottom and at the right, which is right for every size.

    One window more than fits is one that begins up to a stride before where it would fit. It begins inside of the
    image, as it has to, whatever the size, if all that is added behind the image is narrower than the window.

    Raises
    ------
    FileFormatError
        If it is not.
    """
    extra = [stride - 1 for stride in strides]
    if any(side[1] + n >= span for side, n, span in zip(sides, extra, pool_size, strict=True)):
        raise _depends_on_the_size(node, "ceil_mode=1")
    return tuple(extra)


def _depends_on_the_size(node, received):
    return node.error(
        "how much it pads depends on the size of the input, which the file leaves open: write the file for inputs "
        f"whose sizes are known. Received: {received}"
    )


def keras_padding(
    sides: Sides,
    in_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    chosen: str | None = None,
) -> tuple[str, Sides]:
    """(padding argument, sides that are left to add before), given what `padded_sides` returned.

    `chosen` is the argument, where it does not go by the size.
    """
    if sides == NO_SIDES and chosen is None:
        return "valid", NO_SIDES
    if chosen is not None:
        return chosen, NO_SIDES if chosen == "same" else sides
    same = make_window(in_size, kernel_size, strides, "same", dilations)
    if sides == ((same.pad_top, same.pad_bottom), (same.pad_left, same.pad_right)):
        return "same", NO_SIDES
    return "valid", sides


def with_extra(sides: Sides, extra: Sequence[int]) -> Sides:
    """`sides` with more at the bottom and at the right."""
    return tuple((before, after + more) for (before, after), more in zip(sides, extra, strict=True))


def ceil_extra(size, before, after, span, stride) -> int:
    """Pixels that `ceil_mode` needs behind the image; a window begins in the image or before it."""
    positions = -(-(size + before + after - span) // stride) + 1
    if (positions - 1) * stride >= size + before:
        positions -= 1
    return max((positions - 1) * stride + span - (size + before + after), 0)
