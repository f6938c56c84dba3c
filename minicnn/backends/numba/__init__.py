"""The fast kernels for processors, compiled by Numba: same names, same parameters as `minicnn.backends.reference`.

Arrays are C-contiguous; those of a kernel start on 64-byte boundaries and are followed by 64 readable bytes, which
`minicnn.backends.memory` provides. What a kernel does not serve it hands to the reference.
"""
