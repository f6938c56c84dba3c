"""``tf.compat.v1``: the names of TensorFlow 1 that Keras scripts ask for, and all of ``tf``."""

from typing import Any

from minicnn.keras import tensorflow
from minicnn.keras.tensorflow.compat import ConfigProto, GPUOptions, InteractiveSession, Session
from minicnn.utils import set_random_seed

__all__ = ["ConfigProto", "GPUOptions", "InteractiveSession", "Session", "set_random_seed"]


class _Image:
    """``tf.compat.v1.image``: pictures, which `resize` makes of another size as TensorFlow 1 did."""

    def __getattr__(self, name: str) -> Any:
        return getattr(tensorflow.image, "resize_images" if name == "resize" else name)


image: Any = _Image()


def __getattr__(name: str) -> Any:
    return getattr(tensorflow, name)
