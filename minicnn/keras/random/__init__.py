"""``keras.random``."""

from minicnn.keras._of_tensors import SeedGenerator, normal, uniform
from minicnn.utils import set_random_seed

__all__ = ["SeedGenerator", "normal", "set_random_seed", "uniform"]
