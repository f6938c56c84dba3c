"""The reference kernels in NumPy: complete, slow, and written to be read beside the formulas in ``docs/formulas.md``.

The contract of every kernel, here and in the faster backends (a test compares the signatures):

* arrays are NHWC, convolution kernels HWIO, dense kernels (inputs, outputs), all of one dtype, float32 or float64;
* results are written into the arrays given for them (``y``, ``dx``, ``dkernel``, ``dbias``): assigned, never added to;
  an output that is None is not computed; inputs are never modified;
* ``relu=True`` means that ReLU is applied to ``y``, and in a backward kernel that it was: ``dy`` counts only where ``y
  > 0``.

New arrays are made with NumPy's ``*_like`` functions, which follow the type of their argument: the same code serves
CuPy arrays.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace

_modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]

ops = SimpleNamespace(**{name: getattr(module, name) for module in _modules for name in getattr(module, "__all__", ())})
"""All kernels there are, by name; a new file in this folder needs no entry here."""
