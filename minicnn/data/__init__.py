"""Data as a chain of steps that runs while a model trains: the part of ``tf.data`` that image networks use."""

from minicnn.data import experimental
from minicnn.data.dataset import AUTOTUNE, INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset
from minicnn.data.epochs import by_epoch
from minicnn.data.further import TensorSpec
from minicnn.data.mixing import CutMix, MixUp, alternating_flip

__all__ = [
    "AUTOTUNE",
    "INFINITE_CARDINALITY",
    "UNKNOWN_CARDINALITY",
    "CutMix",
    "Dataset",
    "MixUp",
    "TensorSpec",
    "alternating_flip",
    "by_epoch",
    "experimental",
]
