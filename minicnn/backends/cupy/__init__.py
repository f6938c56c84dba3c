"""The kernels for NVIDIA GPUs, CUDA C in ``.cu`` files: same names, same parameters as `minicnn.backends.reference`.

Arrays are CuPy's, C-contiguous and on the current device. Sums are added in an order that depends on shapes alone, and
no kernel uses atomics: results are bit-identical run after run.
"""

from minicnn.backends.cupy.augmentation import uniform, warp, warp_backward
from minicnn.backends.cupy.convolution import conv2d, conv2d_backward, conv2d_pool, conv2d_pool_backward
from minicnn.backends.cupy.dense import dense, dense_backward
from minicnn.backends.cupy.elementwise import dropout, gather, softmax_cross_entropy
from minicnn.backends.cupy.normalization import batch_norm, batch_norm_backward
from minicnn.backends.cupy.optimizers import adadelta_update, adagrad_update, adam_update, rmsprop_update, sgd_update
from minicnn.backends.cupy.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
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
