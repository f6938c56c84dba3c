"""Data as a chain of steps that runs while a model trains: the part of ``tf.data`` that image networks use."""

from minicnn.data import experimental
from minicnn.data.dataset import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset

__all__ = ["AUTOTUNE", "INFINITE_CARDINALITY", "UNKNOWN_CARDINALITY", "Dataset", "experimental"]
