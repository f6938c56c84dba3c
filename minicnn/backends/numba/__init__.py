"""The fast kernels for processors, compiled by Numba: same names, same parameters as `minicnn.backends.reference`.

Arrays are C-contiguous; those of a kernel start on 64-byte boundaries and are followed by 64 readable bytes, which
`minicnn.backends.memory` provides. What a kernel does not serve it hands to the reference.
"""

from minicnn.backends.numba.convolution import conv2d, conv2d_backward, conv2d_pool, conv2d_pool_backward
from minicnn.backends.numba.dense import dense, dense_backward
from minicnn.backends.numba.elementwise import dropout, gather, softmax_cross_entropy, uniform
from minicnn.backends.numba.optimizers import adadelta_update, adagrad_update, adam_update, rmsprop_update, sgd_update
from minicnn.backends.numba.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from minicnn.backends.numba.warping import warp, warp_backward

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_pool",
    "conv2d_pool_backward",
    "dense",
    "dense_backward",
    "dropout",
    "gather",
    "max_pool2d",
    "max_pool2d_backward",
    "rmsprop_update",
    "sgd_update",
    "softmax_cross_entropy",
    "uniform",
    "warp",
    "warp_backward",
]
