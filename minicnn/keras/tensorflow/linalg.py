"""``tf.linalg``: norms and products."""

from typing import Any

from minicnn.keras._names import lookup
from minicnn.keras.tensorflow import _functions
from minicnn.keras.tensorflow._arrays import eye, norm
from minicnn.keras.tensorflow._gradients import global_norm
from minicnn.keras.tensorflow.nn import l2_normalize

__all__ = ["eye", "global_norm", "l2_normalize", "matmul", "norm"]

matmul: Any = _functions.matmul
__getattr__ = lookup(__name__)
