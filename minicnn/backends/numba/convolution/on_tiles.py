"""What a convolution asks first: the same on tiles, where this process has them and they are better.

The functions return whether the work is done. Where it is not, nothing was written, or anything: numbers that are not
finite spread further in pieces than in float32, and through the zeros that tiles are filled up with. The kernels for
float32 then do it again.
"""

from minicnn.backends.memory import Array, Maybe
from minicnn.backends.numba.convolution import choice, tile_forward, tile_gradients
from minicnn.backends.numba.tiles.serving import by_vectors, plain, precision_of
from minicnn.geometry import Window


def takes(kernel: Array, window: Window, pool: Window | None, is_gradient: bool = False) -> bool:
    """Whether a convolution of arrays kept as bfloat16 is for tiles, rather than for copies of them in float32."""
    if is_gradient and pool is not None and not choice.can_pool_by_rows(pool):
        return False
    return not by_vectors() or choice.gains_by_vectors(window, pool, *kernel.shape[2:], is_gradient)


def _pieces(x, y, kernel, window, pool, is_gradient=False):
    precision, arguments = precision_of(x, y), (window, pool, *kernel.shape[2:], is_gradient)
    if by_vectors() and precision == "medium" and not choice.medium_gains_by_vectors(*arguments):
        return 0
    return choice.pieces_on_tiles(precision, *arguments)


def conv2d(
    x: Array, kernel: Array, bias: Maybe, out: tuple[Array, Maybe], window: Window, pool: Window | None, relu: bool
) -> bool:
    """See `minicnn.backends.numba.convolution.tile_forward.conv2d`."""
    pieces = _pieces(x, out[0], kernel, window, pool)
    if pieces == 0 or len(x) == 0:
        return False
    (own_x,) = plain(x)
    return tile_forward.conv2d(own_x, kernel, bias, plain(*out), window, pool, relu, pieces)


def conv2d_backward(
    x: Array,
    kernel: Array,
    gradient: tuple[Array, Maybe, Maybe],
    out: tuple[Maybe, Maybe, Maybe],
    window: Window,
    pool: Window | None,
) -> bool:
    """See `minicnn.backends.numba.convolution.tile_gradients.conv2d_backward`."""
    pieces = _pieces(x, gradient[0], kernel, window, pool, is_gradient=True)
    if pieces == 0 or len(x) == 0:
        return False
    (own_x,) = plain(x)
    return tile_gradients.conv2d_backward(own_x, kernel, plain(*gradient), plain(*out), window, pool, pieces)
