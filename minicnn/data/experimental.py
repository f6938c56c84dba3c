"""What scripts of TensorFlow 2.0 to 2.3 take from ``tf.data.experimental``."""

from minicnn.data.dataset import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset
from minicnn.data.elements import EagerCount

__all__ = ["AUTOTUNE", "INFINITE_CARDINALITY", "UNKNOWN_CARDINALITY", "cardinality"]


def cardinality(dataset: Dataset) -> EagerCount:
    """``dataset.cardinality()``.

    Parameters
    ----------
    dataset : Dataset
    """
    return dataset.cardinality()
