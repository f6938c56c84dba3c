"""Output sizes and padding of convolution and pooling windows.

Every layer, kernel and backend takes its sizes from here, so that convolution and pooling can never disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

FILL_MODES = ("constant", "nearest", "reflect", "wrap")  # what lies beyond the edges of an image that is warped

# A winner of max pooling is one byte: the tap that holds the maximum, or that ReLU blocked the cell and no pixel
# receives a gradient.
RELU_OFF = 255
MAX_TAPS = RELU_OFF  # of a pooling window whose winners are kept: taps 0 … 254


@dataclass(frozen=True)
class Window:
    """A window that slides over images of one size: all that convolution and pooling need to know about space.

    Attributes
    ----------
    in_height, in_width : int
        Size of the input, in pixels.
    kernel_height, kernel_width : int
        Size of the window, in taps.
    stride_y, stride_x : int
        Pixels between neighbouring windows.
    dilation_y, dilation_x : int
        Pixels between neighbouring taps of one window.
    pad_top, pad_bottom, pad_left, pad_right : int
        Rows and columns added around the input.
    """

    in_height: int
    in_width: int
    kernel_height: int
    kernel_width: int
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    pad_top: int = 0
    pad_bottom: int = 0
    pad_left: int = 0
    pad_right: int = 0

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self)))

    def __hash__(self) -> int:
        return self._hash  # every call of a kernel looks tables up by its window

    @cached_property
    def out_height(self) -> int:
        """Number of window positions from top to bottom."""
        span = effective_size(self.kernel_height, self.dilation_y)
        return (self.in_height + self.pad_top + self.pad_bottom - span) // self.stride_y + 1

    @cached_property
    def out_width(self) -> int:
        """Number of window positions from left to right."""
        span = effective_size(self.kernel_width, self.dilation_x)
        return (self.in_width + self.pad_left + self.pad_right - span) // self.stride_x + 1

    @property
    def taps(self) -> int:
        """Number of taps of one window."""
        return self.kernel_height * self.kernel_width

    @property
    def is_padded(self) -> bool:
        """Whether any row or column is added."""
        return bool(self.pad_top or self.pad_bottom or self.pad_left or self.pad_right)

    @property
    def turned_around(self) -> "Window":
        """The window of the input gradient, for strides of 1: over the outputs' gradients, with the kernel reversed."""
        rows = effective_size(self.kernel_height, self.dilation_y) - 1
        columns = effective_size(self.kernel_width, self.dilation_x) - 1
        return replace(
            self,
            in_height=self.out_height,
            in_width=self.out_width,
            pad_top=rows - self.pad_top,
            pad_bottom=rows - self.pad_bottom,
            pad_left=columns - self.pad_left,
            pad_right=columns - self.pad_right,
        )

    @property
    def overlaps(self) -> bool:
        """Whether a pixel can lie in more than one window."""
        return self.stride_y < effective_size(self.kernel_height, self.dilation_y) or self.stride_x < effective_size(
            self.kernel_width, self.dilation_x
        )


def make_window(
    in_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int] = (1, 1),
) -> Window:
    """The window for an input size and Keras's arguments.

    Parameters
    ----------
    in_size, kernel_size, strides, dilation : tuple of two int
        (height, width) each.
    padding : {"valid", "same"}
        "valid" adds nothing. "same" adds so many pixels that the output has ceil(size / stride) positions; an odd
        pixel goes to the bottom and the right.

    Raises
    ------
    ValueError
        If the window is larger than the input it slides over.
    """
    pads = [
        _same_padding(size, kernel, stride, gap) if padding == "same" else (0, 0)
        for size, kernel, stride, gap in zip(in_size, kernel_size, strides, dilation, strict=True)
    ]
    for size, kernel, gap, pad in zip(in_size, kernel_size, dilation, pads, strict=True):
        if effective_size(kernel, gap) > size + sum(pad):
            raise ValueError(
                f"the window of {tuple(kernel_size)} with dilation {tuple(dilation)} is larger than its input of "
                f"{tuple(in_size)} (height, width); use a smaller window, padding='same', or a larger input"
            )
    return Window(*in_size, *kernel_size, *strides, *dilation, *pads[0], *pads[1])


def effective_size(kernel: int, dilation: int) -> int:
    """Pixels from the first to the last tap, both counted.

    Parameters
    ----------
    kernel : int
        Taps.
    dilation : int
        Pixels between neighbouring taps.
    """
    return (kernel - 1) * dilation + 1


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after, as TensorFlow adds them: total = max((ceil(n/s) - 1)·s + k - n, 0), the odd one last."""
    positions = -(-size // stride)
    total = max((positions - 1) * stride + effective_size(kernel, dilation) - size, 0)
    return total // 2, total - total // 2
