"""Which device there is, and why there is none."""

import contextlib
from collections.abc import Iterator

import cupy

from minicnn.errors import BackendError, DeviceMemoryError

Errors: tuple[type[BaseException], ...] = (cupy.cuda.runtime.CUDARuntimeError, RuntimeError, ImportError)


def check(index: int) -> None:
    """Raise `BackendError` unless the device of that number can be used."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        if count == 0:
            raise BackendError(_explain("cudaErrorNoDevice"))
        if not 0 <= index < count:
            raise BackendError(
                f"backend 'cupy:{index}': there are {count} device(s), numbered from 0; see nvidia-smi. "
                f"Received: device {index}"
            )
        with cupy.cuda.Device(index):
            (cupy.zeros(1, "float32") + 1).get()  # which compiles a kernel
    except Errors as error:
        if isinstance(error, BackendError):
            raise
        raise BackendError(_explain(str(error))) from error


def _explain(message) -> str:
    """What is missing, and what to do, from an error of the CUDA runtime."""
    if "InsufficientDriver" in message:
        cause = (
            "the NVIDIA driver is missing or older than this CuPy's CUDA; install a driver, or the CuPy package for "
            f"the CUDA that the driver knows (cupy-cuda12x, cupy-cuda13x){_versions()}"
        )
    elif "NoDevice" in message:
        cause = (
            "there is no NVIDIA GPU that this process may use; see nvidia-smi and the environment variable "
            "CUDA_VISIBLE_DEVICES"
        )
    elif "NoBinaryForGpu" in message or "NoKernelImage" in message:
        cause = "this CuPy was not made for this GPU; install the newest CuPy package"
    elif "libcuda" in message or "libnvrtc" in message or "cudart" in message or "CUDA headers" in message:
        cause = "a part of CUDA is missing; install CuPy with its libraries: pip install 'cupy-cuda13x[ctk]'"
    else:
        cause = "the GPU cannot be used"
    return f"backend 'cupy': {cause}. Received: {message}"


def _versions() -> str:
    """The CUDA versions of CuPy and of the driver, where they can be asked for."""
    try:
        runtime, driver = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    except Errors:
        return ""
    return f" (CuPy: CUDA {_version(runtime)}; driver: {_version(driver) if driver else 'none'})"


def _version(number) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def describe() -> str:
    """The current device's name and memory."""
    device = cupy.cuda.Device()
    name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    free, total = device.mem_info
    return f"{name}, {total / 2**30:.1f} GiB ({free / 2**30:.1f} GiB free)"


def free_bytes() -> int:
    """Memory that new arrays can have: what the device has free, and what CuPy's pool keeps."""
    free, _ = cupy.cuda.Device().mem_info
    return free + cupy.get_default_memory_pool().free_bytes()


@contextlib.contextmanager
def explained_memory(wanted: int) -> Iterator[None]:
    """Inside, running out of memory raises `DeviceMemoryError`, which says how much was wanted and how much is free."""
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"the GPU has no memory for {wanted / 2**20:,.0f} MiB more; {free_bytes() / 2**20:,.0f} MiB are free. Use "
            f"a smaller batch_size, or free what other programs and arrays hold. Received: {error}"
        ) from error
