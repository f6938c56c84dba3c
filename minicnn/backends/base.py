"""What a backend is: arrays of one device, and ops on them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType, SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn.backends import memory
from minicnn.backends.reference import ops as reference

Shape = int | tuple[int, ...]


class Backend:
    """Arrays of one memory, the computer's unless a subclass says otherwise, and ops on them.

    Parameters
    ----------
    name : str
    package : package, optional
        Its modules hold faster versions of the reference's ops, with the same names and parameters. What it lacks, the
        reference provides.
    fuses : bool, default False
        Whether plans merge steps for this backend. The reference runs the layers one by one, as one reads them.

    Attributes
    ----------
    xp : module
        The array module: numpy or cupy.
    on_device : bool
        Whether arrays live in another memory than the computer's.
    remembers : bool
        Whether it makes works `again`, from inputs that lie elsewhere: nothing else lies where theirs do.
    ops : namespace
        All ops, see `minicnn.backends.reference`.
    reference : namespace
        The ops that `package` may lack.
    """

    xp: ModuleType = np
    on_device: bool = False
    remembers: bool = False
    reference: SimpleNamespace = reference

    def __init__(self, name: str, package: ModuleType | None = None, fuses: bool = False) -> None:
        self.name: str = name
        self.fuses: bool = fuses
        mine = {} if package is None else kernels_of(package)
        self.ops: SimpleNamespace = SimpleNamespace(**vars(self.reference) | mine)

    def empty(self, shape: Shape, dtype: DTypeLike) -> np.ndarray:
        """A new array, contents undefined, aligned as the kernels like it."""
        return memory.empty(shape, dtype)

    def zeros(self, shape: Shape, dtype: DTypeLike) -> np.ndarray:
        """A new array of zeros, aligned as the kernels like it."""
        return memory.zeros(shape, dtype)

    @np.errstate(under="ignore")
    def asarray(self, array: np.ndarray, dtype: DTypeLike | None = None) -> np.ndarray:
        """A copy of the host array `array` on the device, aligned as the kernels need it; cast, if `dtype` is given."""
        copy = self.empty(np.shape(array), dtype or array.dtype)
        copy[...] = array
        return copy

    def to_host(self, array: np.ndarray) -> np.ndarray:
        """A copy of the device array `array` as a NumPy array."""
        return np.array(array)

    def load(self, array: np.ndarray, source: ArrayLike) -> None:
        """Copy the host array `source` into the device array `array`, cast to its dtype."""
        array[...] = source

    def repeated(self, works: Sequence[Callable[[], None]]) -> Sequence[Callable[[], None]]:
        """What does `works`, which do the same with the same arrays each time, by ops alone; perhaps in less time."""
        return works

    def expect(self, works: Iterable[Callable[[], None]]) -> None:
        """Prepare for works, which `repeated` will be given."""

    def instructions(self) -> str:
        """What results may depend on to the bit, beside the versions: the processor's instructions that kernels use."""
        return ""

    def describe(self) -> str:
        """What computes, in words."""
        return "the processor, compiled kernels" if self.fuses else "the processor, NumPy"

    @contextmanager
    def use_threads(self, count: int) -> Iterator[None]:
        """Inside, kernels use `count` threads. The reference has none of its own."""
        yield

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"


def kernels_of(package: ModuleType) -> dict[str, Callable[..., None]]:
    """Op → function, of those ops that modules of a package define: a new one needs no entry anywhere.

    Parameters
    ----------
    package : package
        Its modules are imported. Functions count that the reference has too, where they are written.
    """
    found = {}
    for info in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{info.name}")
        mine = {name: f for name, f in vars(module).items() if getattr(f, "__module__", None) == module.__name__}
        found |= {name: f for name, f in mine.items() if name in vars(reference)}
    return found
