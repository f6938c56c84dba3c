"""The text of the ``.cu`` files as the compiler gets it, and the options that go with it."""

from importlib import resources

import numpy as np

from minicnn.backends.cupy import structures

# Files that are longer than one, or that have a part in common.
PARTS = {
    "products": ("slices",),
    "tensor_gradient": ("tensor_cores", "correlation"),
    "tensor_convolution": ("tensor_cores", "tensor_places", "tensor_moments"),
    "tensor_narrow": ("tensor_cores", "tensor_places", "tensor_moments"),
    "prepared_weights": ("tensor_cores", "halves"),
    "hopper_convolution": ("tensor_cores", "tensor_places", "tensor_moments", "wgmma", "halves"),
    "hopper_gradient": ("tensor_cores", "correlation", "wgmma", "halves"),
}
# Of files that CuPy's modules are not compiled for.
ARCHITECTURES = dict.fromkeys(("hopper_convolution", "hopper_gradient"), "sm_90a")
REALS = {"float32": "float", "float64": "double"}  # element types, in NumPy and in C


def source(file: str) -> str:
    """The text of a kernel file, with what all files start with.

    Parameters
    ----------
    file : str
        Its name, without ``.cu``.
    """
    folder = resources.files("minicnn.backends.cupy")
    texts = ((folder / f"{name}.cu").read_text(encoding="utf-8") for name in ("common", *PARTS.get(file, ()), file))
    return "\n".join((*map(structures.text_of, structures.ALL), *texts))


def options(dtype: np.dtype, block: str | None = None) -> tuple[str, ...]:
    """How a kernel file is compiled for an element type.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    block : str, optional
        Only the kernels of this size, such as "64x32": ``BLOCK_64x32`` is defined, and ``SIZE_0``, ``SIZE_1``, ….

    Raises
    ------
    TypeError
        For another dtype.
    """
    name = np.dtype(dtype).name
    if name not in REALS:
        raise TypeError(f"the kernels compute in float32 or float64. Received: {dtype}")
    sizes = [f"-DSIZE_{i}={size}" for i, size in enumerate(block.split("x"))] if block else []
    reals = f"-DREAL={REALS[name]}", f"-DIS_{REALS[name].upper()}"
    return ("-std=c++17", *reals, *([f"-DBLOCK_{block}"] if block else []), *sizes)
