"""im2col, col2im and cuBLAS, for products so large that nothing else counts.

CuPy's cuBLAS cannot be captured in a graph, and im2col costs memory; below `LEAST_PRODUCTS` the kernels of
products.cu serve.
"""

from functools import cache

import cupy
import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch_over
from minicnn.backends.cupy.structures import window_structure
from minicnn.backends.cupy.tensor_cores import uses_tf32
from minicnn.geometry import Window

LEAST_PRODUCTS = 2**34  # multiplications
MOST_COLUMN_BYTES = 2**28  # of im2col at a time
TF32_MATH = 3  # CUBLAS_TF32_TENSOR_OP_MATH, which CuPy does not name


def serves(products: int) -> bool:
    """Whether so many multiplications are done here."""
    return products >= LEAST_PRODUCTS and _library() is not None


@cache
def _library():
    """CuPy's module for cuBLAS; None where the library is missing, which is a package of its own."""
    try:
        from cupy.cuda import cublas
    except ImportError:
        return None
    return cublas


def conv2d(x: Array, kernel: Array, bias: Maybe, y: Array, window: Window, groups: int, relu: bool) -> None:
    """As `minicnn.backends.reference.convolution.conv2d`."""
    filters = kernel.shape[3]
    for chunk in _chunks(x, kernel, window, groups):
        columns = _columns(x[chunk], window, groups)  # (G, M, T·C)
        _, m, k = columns.shape
        each = filters // groups
        # row-major y = columns · kernel is column-major yᵀ = kernelᵀ · columnsᵀ
        _multiply(
            "N", "N", each, m, k, (kernel, filters, each), (columns, k, m * k), 0, (y[chunk], filters, each), groups
        )
    channels = np.int32(filters)
    if bias is not None or relu:
        arguments = y, bias, np.int64(y.size), channels, np.int32(relu)
        launch_over(y.size, "blas", "add_bias", y.dtype, *arguments)


def conv2d_backward(x: Array, kernel: Array, dy: Array, dx: Maybe, dkernel: Maybe, window: Window, groups: int) -> None:
    """As `minicnn.backends.reference.convolution.conv2d_backward`, without ReLU and bias."""
    filters = kernel.shape[3]
    each = filters // groups
    for i, chunk in enumerate(_chunks(x, kernel, window, groups)):
        dy_chunk = dy[chunk], filters, each
        m, k = dy[chunk].size // filters, kernel[..., 0].size
        if dkernel is not None:
            columns = _columns(x[chunk], window, groups)
            target = dkernel, filters, each
            _multiply("N", "T", each, k, m, dy_chunk, (columns, k, m * k), int(i > 0), target, groups)
        if dx is not None:
            pointwise = _is_pointwise(window, groups)
            dcolumns = dx[chunk] if pointwise else cupy.empty((groups, m, k), dy.dtype)
            _multiply("T", "N", k, m, each, (kernel, filters, each), dy_chunk, 0, (dcolumns, k, m * k), groups)
            if not pointwise:
                _window_kernel("col2im", dcolumns, dx[chunk], dx[chunk], window, groups)


def _chunks(x, kernel, window, groups):
    """Slices of the batch whose columns fit into memory."""
    bytes_each = window.out_height * window.out_width * kernel[..., 0].size * groups * x.itemsize
    size = len(x) if _is_pointwise(window, groups) else max(1, MOST_COLUMN_BYTES // bytes_each)
    return [slice(start, min(start + size, len(x))) for start in range(0, len(x), size)]


def _is_pointwise(window, groups) -> bool:
    """Whether the columns are the image itself."""
    plain = (window.taps, window.stride_y, window.stride_x, groups) == (1, 1, 1, 1)
    return plain and not window.is_padded


def _columns(x, window, groups):
    """im2col: (G, N · OH · OW, T · C of one group)."""
    rows = len(x) * window.out_height * window.out_width
    if _is_pointwise(window, groups):
        return x.reshape(1, rows, -1)
    columns = cupy.empty((groups, rows, window.taps * x.shape[3] // groups), x.dtype)
    _window_kernel("im2col", x, columns, x, window, groups)
    return columns


def _window_kernel(name, source, target, images, window, groups):
    numbers = np.int32(len(images)), np.int32(images.shape[3]), np.int32(groups), window_structure(window)
    launch_over(target.size, "blas", name, source.dtype, source, target, *numbers)


def _multiply(op_a, op_b, m, n, k, a, b, beta, c, count):
    """c = op(a) · op(b) + beta · c, column-major, `count` times; a, b, c: (array, leading dimension, stride)."""
    cublas, handle = _library(), cupy.cuda.device.get_cublas_handle()
    single = a[0].dtype == np.float32
    gemm = cublas.sgemmStridedBatched if single else cublas.dgemmStridedBatched
    operations = {"N": cublas.CUBLAS_OP_N, "T": cublas.CUBLAS_OP_T}
    before = cublas.getMathMode(handle)
    is_tf32 = single and uses_tf32()
    cublas.setMathMode(handle, TF32_MATH if is_tf32 else cublas.CUBLAS_DEFAULT_MATH)
    try:
        pointers = [(array.data.ptr, ld, stride) for array, ld, stride in (a, b)]
        target = c[0].data.ptr, c[1], c[2]
        operations = operations[op_a], operations[op_b]
        factors = np.array([1, beta], a[0].dtype)  # cuBLAS takes their addresses, and reads them before it returns
        alpha_at, beta_at = factors.ctypes.data, factors[1:].ctypes.data
        gemm(handle, *operations, m, n, k, alpha_at, *pointers[0], *pointers[1], beta_at, *target, count)
    finally:
        cublas.setMathMode(handle, before)
