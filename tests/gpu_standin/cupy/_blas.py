"""The calls of cuBLAS that minicnn makes, column-major as there."""

import ctypes

import numpy as np

from cupy import _core

CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
CUBLAS_DEFAULT_MATH = 0

_mode = {"math": CUBLAS_DEFAULT_MATH}


def getMathMode(handle):
    return _mode["math"]


def setMathMode(handle, mode):
    _mode["math"] = mode


def _matrix(pointer, ld, rows, columns, transposed, dtype):
    """A view of a column-major matrix, after the operation: (rows, columns)."""
    rows, columns = (columns, rows) if transposed else (rows, columns)
    if ld < rows:
        raise _core.StandInError("CUBLAS_STATUS_INVALID_VALUE: a leading dimension is too small")
    size = (columns - 1) * ld + rows
    flat = np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(pointer), dtype)
    matrix = np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, ld * dtype.itemsize))
    return matrix.T if transposed else matrix


def _number_at(address, dtype):
    """A factor, of which cuBLAS takes the address (`size_t` in CuPy)."""
    if not isinstance(address, int) or address < 4096:
        raise TypeError("an integer is required")  # what CuPy says to a float
    return np.frombuffer((ctypes.c_char * dtype.itemsize).from_address(address), dtype)[0]


def _gemm(dtype):
    dtype = np.dtype(dtype)

    def call(
        handle, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc, strideC, batchCount
    ):
        if _core.device.recording is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        alpha, beta = (_number_at(address, dtype) for address in (alpha, beta))
        for i in range(batchCount):
            a = _matrix(A + i * strideA * dtype.itemsize, lda, m, k, transa, dtype)
            b = _matrix(B + i * strideB * dtype.itemsize, ldb, k, n, transb, dtype)
            c = _matrix(C + i * strideC * dtype.itemsize, ldc, m, n, False, dtype)
            c[...] = alpha * (a @ b) + (beta * c if beta else 0)

    return call


sgemmStridedBatched, dgemmStridedBatched = _gemm("f4"), _gemm("f8")
