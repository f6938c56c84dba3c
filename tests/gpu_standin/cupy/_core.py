"""Arrays of a device that is not there: NumPy arrays behind the rules of CuPy's.

What real CuPy refuses is refused: host arrays among device arrays, implicit conversion, waiting for a result or copying
from the host while a stream is captured. New memory holds NaN, so that nothing relies on zeros. While a stream is
captured nothing runs: operations are recorded, and a graph that is launched repeats them.
"""

import ctypes
import math
import weakref

import numpy as np

ALIGNMENT = 512
_libc = ctypes.CDLL(None)
_libc.posix_memalign.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]


class OutOfMemoryError(MemoryError):
    """The device has no more memory."""


class StandInError(RuntimeError):
    """What the CUDA runtime refuses."""


class State:
    """What the device does and what it has done.

    Attributes
    ----------
    recording : list or None
        The operations of the graph that is being captured.
    kept : list
        Memory that was taken meanwhile: the graph's own.
    to_host, to_device : int
        Number of copies between host and device.
    launches, graphs, nodes : int
        Number of kernel launches, of graph launches, and of operations in the graphs that were launched.
    limit : int
        Bytes of memory.
    shared_memory : int
        Bytes that a block can have.
    """

    def __init__(self):
        self.recording = None
        self.kept = []
        self.used, self.limit = 0, 1 << 34
        self.shared_memory = 232448
        self.reset()

    def reset(self):
        """Count from zero."""
        self.to_host = self.to_device = self.launches = self.graphs = self.nodes = 0


device = State()


def execute(operation):
    """Run an operation of the device, or record it."""
    if device.recording is None:
        operation()
    else:
        device.recording.append(operation)


def forbid_while_capturing(what):
    if device.recording is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} are not allowed")


# ------------------------------------------------------------------------------------------------------------ memory


def allocate(shape, dtype):
    """Memory of the device, filled with what is no number."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc":
        raise TypeError(f"Unsupported dtype {dtype}")
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    size = math.prod(shape) * dtype.itemsize
    if device.used + size > device.limit:
        raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {device.used:,} bytes).")
    pointer = ctypes.c_void_p()
    if _libc.posix_memalign(ctypes.byref(pointer), ALIGNMENT, max(size, 1)):
        raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes.")
    device.used += size
    memory = (ctypes.c_char * size).from_address(pointer.value)
    weakref.finalize(memory, _free, pointer.value, size)
    if device.recording is not None:
        device.kept.append(memory)
    array = np.frombuffer(memory, np.uint8) if size else np.empty(0, np.uint8)
    array.fill(0xFF)
    return array.view(dtype).reshape(shape)


def _free(pointer, size):
    _libc.free(pointer)
    device.used -= size


# ------------------------------------------------------------------------------------------------------------ arrays


def unwrap(value):
    """What NumPy computes with; host arrays are refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(unwrap(v) for v in value)
    return value


def compute(function, *args, out=None, **kwargs):
    """A new device array with function(*args), or `out` with it."""
    if "where" in kwargs:
        kwargs["where"] = unwrap(kwargs["where"])
    args = unwrap(args)
    if out is not None:
        if not isinstance(out, ndarray):
            raise TypeError(f"Output arguments type must be cupy.ndarray. Received: {type(out)}")
        target = out._host
        execute(lambda: function(*args, out=target, **kwargs))
        return out
    with np.errstate(all="ignore"):
        result = np.asarray(function(*args, **kwargs))
    array = ndarray(allocate(result.shape, result.dtype))
    if device.recording is None:
        array._host[...] = result
    else:
        target = array._host
        execute(lambda: np.copyto(target, function(*args, **kwargs)))
    return array


class Flags:
    """c_contiguous and f_contiguous."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous


class MemoryPointer:
    """Where an array starts."""

    def __init__(self, ptr):
        self.ptr = ptr


class ndarray:
    """An array on the device."""

    __array_priority__ = 100

    def __init__(self, host):
        self._host = host

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host.flags))
    data = property(lambda self: MemoryPointer(self._host.ctypes.data))
    T = property(lambda self: ndarray(self._host.T))

    def __len__(self):
        return len(self._host)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    # ------------------------------------------------------------------------------------------- to and from the host

    def get(self):
        forbid_while_capturing("synchronous API calls")
        device.to_host += 1
        return self._host.copy()

    def set(self, array, stream=None):
        if not isinstance(array, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if array.dtype != self.dtype:
            raise TypeError(f"{array.dtype} array cannot be set to {self.dtype} array")
        if array.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {array.shape}")
        forbid_while_capturing("H2D transfers")
        device.to_device += 1
        self._host[...] = array

    def item(self):
        return self.get().item()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __index__(self):
        return self.item().__index__()

    def tolist(self):
        return self.get().tolist()

    def __repr__(self):
        return f"<device array {self.shape} {self.dtype}>"

    # ------------------------------------------------------------------------------------------------- views, copies

    def reshape(self, *shape):
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        if self._host.flags.c_contiguous:
            return ndarray(self._host.reshape(shape))
        return compute(lambda a: a.reshape(shape).copy(), self)

    def ravel(self):
        return self.reshape(-1)

    def transpose(self, *axes):
        return ndarray(self._host.transpose(*axes))

    def view(self, dtype):
        return ndarray(self._host.view(dtype))

    def astype(self, dtype, copy=True):
        if not copy and self.dtype == dtype:
            return self
        return compute(lambda a: a.astype(dtype), self)

    def copy(self):
        return compute(np.copy, self) if self.size else empty_like(self)  # nothing is launched for nothing

    def fill(self, value):
        if isinstance(value, ndarray | np.ndarray) and np.ndim(unwrap(value)):
            raise ValueError("fill takes a scalar")
        value, target = unwrap(value), self._host
        execute(lambda: target.fill(value))

    def __getitem__(self, index):
        if _has_array(index):
            return compute(lambda a, i: a[i], self, index)
        index = index if isinstance(index, tuple) else (index,)
        return ndarray(self._host[index if Ellipsis in index else (*index, Ellipsis)])  # never a scalar: a view

    def __setitem__(self, index, value):
        index, value, target = unwrap(index), unwrap(value), self._host
        execute(lambda: target.__setitem__(index, value))

    # --------------------------------------------------------------------------------------------------- NumPy's calls

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or ufunc.__name__ not in UFUNCS:
            return NotImplemented
        return compute(ufunc, *inputs, out=None if out is None else out[0], **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        mine = FUNCTIONS.get(function.__name__)
        return NotImplemented if mine is None else mine(*args, **kwargs)


def _has_array(index):
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, ndarray | np.ndarray | list) for part in parts)


def _operator(name):
    def call(self, other):
        function = getattr(np, name)
        return compute(function, self, other)

    return call


def _reflected(name):
    def call(self, other):
        return compute(getattr(np, name), other, self)

    return call


def _in_place(name):
    def call(self, other):
        return compute(getattr(np, name), self, other, out=self)

    return call


def _reduction(name):
    def call(self, axis=None, dtype=None, out=None, keepdims=False):
        kwargs = {"axis": axis, "keepdims": keepdims} | ({} if dtype is None else {"dtype": dtype})
        return compute(getattr(np, name), self, out=out, **kwargs)

    return call


for _symbol, _name in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "rshift": "right_shift",
}.items():
    setattr(ndarray, f"__{_symbol}__", _operator(_name))
    setattr(ndarray, f"__r{_symbol}__", _reflected(_name))
    setattr(ndarray, f"__i{_symbol}__", _in_place(_name))
for _symbol, _name in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}.items():
    setattr(ndarray, f"__{_symbol}__", _operator(_name))
ndarray.__hash__ = None
ndarray.__neg__ = lambda self: compute(np.negative, self)
ndarray.__invert__ = lambda self: compute(np.invert, self)
ndarray.__abs__ = lambda self: compute(np.abs, self)
for _name in ("sum", "mean", "max", "min", "prod"):
    setattr(ndarray, _name, _reduction(_name))
ndarray.all = lambda self, axis=None, out=None, keepdims=False: compute(np.all, self, axis=axis, keepdims=keepdims)
ndarray.any = lambda self, axis=None, out=None, keepdims=False: compute(np.any, self, axis=axis, keepdims=keepdims)
ndarray.argmax = lambda self, axis=None, out=None, dtype=None, keepdims=False: compute(np.argmax, self, axis=axis)
ndarray.argmin = lambda self, axis=None, out=None, dtype=None, keepdims=False: compute(np.argmin, self, axis=axis)
ndarray.clip = lambda self, min=None, max=None, out=None: compute(np.clip, self, min, max, out=out)
ndarray.repeat = lambda self, repeats, axis=None: compute(np.repeat, self, repeats, axis=axis)

# --------------------------------------------------------------------------------------------------------- functions

_UFUNCS = (
    "add subtract multiply true_divide divide floor_divide remainder power negative absolute sign sqrt square exp "
    "arccos arccosh arcsin arcsinh arctan arctanh cosh sinh "
    "expm1 log log1p tanh sin cos maximum minimum greater greater_equal less less_equal equal not_equal isfinite isnan "
    "logical_and logical_or logical_not bitwise_and bitwise_or bitwise_xor invert right_shift left_shift matmul floor "
    "reciprocal fmax fmin rint ceil tan"
)
_WITH_OUT = "sum mean amax amin max min prod argmax argmin all any clip concatenate stack cumsum dot"
_WITHOUT_OUT = "count_nonzero moveaxis pad repeat sort take_along_axis where tensordot"
UFUNCS = set(_UFUNCS.split())
FUNCTIONS = {}


def function(call):
    """Decorator: a function of the module `cupy`, which NumPy's function of that name calls too."""
    FUNCTIONS[call.__name__] = call
    return call


def _delegate(name, takes_out=True):
    def with_out(*args, out=None, **kwargs):
        return compute(getattr(np, name), *args, out=out, **kwargs)

    def without_out(*args, **kwargs):
        return compute(getattr(np, name), *args, **kwargs)

    call = with_out if takes_out else without_out
    call.__name__ = name
    return function(call)


for _name in _WITH_OUT.split():
    _delegate(_name)
for _name in _WITHOUT_OUT.split():
    _delegate(_name, takes_out=False)


@function
def copyto(dst, src, casting="same_kind", where=None):
    if not isinstance(dst, ndarray):
        raise TypeError("dst must be a device array")
    src, target, mask = unwrap(src), dst._host, True if where is None else unwrap(where)
    execute(lambda: np.copyto(target, src, casting=casting, where=mask))


@function
def put_along_axis(arr, indices, values, axis):
    target, indices, values = arr._host, unwrap(indices), unwrap(values)
    execute(lambda: np.put_along_axis(target, indices, values, axis))


@function
def broadcast_to(array, shape):
    return ndarray(np.broadcast_to(array._host, shape))


@function
def reshape(a, newshape, order="C"):
    return a.reshape(newshape)


@function
def shape(a):
    return a.shape


@function
def ndim(a):
    return a.ndim


@function
def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return ndarray(allocate(prototype.shape if shape is None else shape, dtype or prototype.dtype))


@function
def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    array = empty_like(a, dtype, shape=shape)
    array.fill(fill_value)
    return array


@function
def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 0, dtype, shape=shape)


@function
def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 1, dtype, shape=shape)


def empty(shape, dtype=float):
    return ndarray(allocate(shape, dtype))


def full(shape, fill_value, dtype=None):
    array = empty(shape, dtype or float)
    array.fill(fill_value)
    return array


def zeros(shape, dtype=float):
    return full(shape, 0, dtype)


def ones(shape, dtype=float):
    return full(shape, 1, dtype)


def array(obj, dtype=None, copy=True):
    """A copy on the device of a host or device array."""
    if isinstance(obj, ndarray):
        return obj.astype(dtype or obj.dtype)
    host = np.array(obj, dtype)
    if host.dtype.newbyteorder("=") != host.dtype:
        raise ValueError("the device knows one byte order")
    result = empty(host.shape, host.dtype)
    result.set(host)
    return result


@function
def asarray(a, dtype=None):
    if isinstance(a, ndarray) and dtype in (None, a.dtype):
        return a
    return array(a, dtype)


@function
def arange(start, stop=None, step=1, dtype=None):
    host = np.arange(start, stop, step, dtype)
    result = empty(host.shape, host.dtype)
    execute(lambda: np.copyto(result._host, host))
    return result


def asnumpy(a):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)
