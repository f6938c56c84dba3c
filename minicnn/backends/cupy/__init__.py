"""The kernels for NVIDIA GPUs, CUDA C in ``.cu`` files: same names, same parameters as `minicnn.backends.reference`.

Arrays are CuPy's, C-contiguous and on the current device. Sums are added in an order that depends on shapes alone, and
no kernel uses atomics: results are bit-identical run after run.
"""
