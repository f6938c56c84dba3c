"""What a backend is: arrays of one device, and kernels for them."""

from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType, SimpleNamespace

import numpy as np

from minicnn.backends import memory
from minicnn.backends.reference import ops as reference


class Backend:
    """Arrays of one memory, the computer's unless a subclass says otherwise, and kernels that work on them.

    Parameters
    ----------
    name : str
    package : package, optional
        Its modules hold faster versions of the reference's kernels, with the same names and signatures. What it lacks,
        the reference provides.
    fuses : bool
        Whether plans merge steps for this backend. The reference runs the layers one by one, as one reads them.

    Attributes
    ----------
    xp : module
        The array module: numpy or cupy.
    ops : namespace
        All kernels, see `minicnn.backends.reference`.
    """

    xp = np
    on_device = False  # whether arrays live in another memory than the computer's

    def __init__(self, name: str, package: ModuleType | None = None, fuses: bool = False):
        self.name, self.fuses = name, fuses
        self.ops = SimpleNamespace(**vars(reference) | ({} if package is None else kernels_of(package)))

    def empty(self, shape, dtype):
        """A new array, contents undefined, aligned as the kernels like it."""
        return memory.empty(shape, dtype)

    def zeros(self, shape, dtype):
        """A new array of zeros, aligned as the kernels like it."""
        return memory.zeros(shape, dtype)

    def asarray(self, array, dtype=None):
        """A copy of the host array `array` on the device, aligned as the kernels need it."""
        copy = self.empty(np.shape(array), dtype or array.dtype)
        copy[...] = array
        return copy

    def to_host(self, array):
        """A copy of the device array `array` as a NumPy array."""
        return np.array(array)

    def load(self, array, source):
        """Copy the host array `source` into the device array `array`, cast to its dtype."""
        array[...] = source

    def describe(self) -> str:
        """What computes, in words."""
        return "the processor, compiled kernels" if self.fuses else "the processor, NumPy"

    @contextmanager
    def use_threads(self, count):
        """Inside, kernels use `count` threads. The reference has none of its own."""
        yield

    def __repr__(self):
        return f"<Backend {self.name}>"


def kernels_of(package: ModuleType) -> dict:
    """Name → function of the kernels that the modules of a package define: a new one needs no entry anywhere."""
    found = {}
    for info in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{info.name}")
        mine = {name: f for name, f in vars(module).items() if getattr(f, "__module__", None) == module.__name__}
        found |= {name: f for name, f in mine.items() if name in vars(reference)}
    return found
