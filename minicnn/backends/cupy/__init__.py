"""The ops on NVIDIA GPUs: every ``.cu`` file holds kernels in CUDA C, which the ``.py`` file of the same name launches.

Names and parameters are those of `minicnn.backends.reference`. Arrays are CuPy's, C-contiguous and on the current
device. Sums are added in an order that depends on shapes alone, and no kernel uses atomics: results are bit-identical
run after run.
"""
