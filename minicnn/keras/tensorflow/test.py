"""``tf.test``: whether there is a GPU."""

from minicnn.keras._names import Lookup, lookup
from minicnn.keras.tensorflow.config import list_physical_devices

__all__ = ["gpu_device_name", "is_built_with_cuda", "is_gpu_available"]


def is_gpu_available(*args: object, **kwargs: object) -> bool:
    """Whether the backend "cupy" can be used."""
    return bool(list_physical_devices("GPU"))


is_built_with_cuda = is_gpu_available


def gpu_device_name() -> str:
    """ "/device:GPU:0", or "" where there is none."""
    return "/device:GPU:0" if is_gpu_available() else ""


__getattr__: Lookup = lookup(__name__)
