"""The reference in NumPy: every op, complete, slow, and written to be read beside the formulas in ``docs/formulas.md``.

An *op* is a computation that every backend offers under one name, as ``backend.ops.conv2d``; a *kernel* is the compiled
code behind it (Numba, CUDA), and also what a convolution or dense layer multiplies with. The ops of this package are
all there are. A new one is a function that its file lists in ``__all__``. A backend makes it faster with a function of
the same name and parameters in any file of its package, as a rule in one of the same name; until it does, the reference
computes. Neither needs an entry elsewhere.

The contract of every op, here and in the faster backends (tests compare parameters and results):

* arrays are NHWC, convolution kernels HWIO, dense kernels (inputs, outputs), all of one dtype, float32 or float64;
  annotations name NumPy's type, which stands for that of the backend's arrays;
* results are written into the arrays given for them (``y``, ``dx``, ``dkernel``, ``dbias``): assigned, never added to;
  an output that is None is not computed; inputs are never modified;
* ``relu=True`` means that ReLU is applied to ``y``, and in a backward op that it was: ``dy`` counts only where ``y``
  is above 0, or NaN, so that an error is not lost on the way back;
* what is not finite stays where the formula puts it: 0 · ∞ is NaN, but where ReLU or pooling pass nothing, 0 is.

New arrays are made with NumPy's ``*_like`` functions, which follow the type of their argument: the same code serves
CuPy arrays.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace

_modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]

ops: SimpleNamespace = SimpleNamespace(
    **{name: getattr(module, name) for module in _modules for name in getattr(module, "__all__", ())}
)
"""All ops, by name."""
