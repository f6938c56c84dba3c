"""``keras.datasets``."""

from minicnn.keras._names import lookup

_MODULES = (
    *("boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"),
)

__getattr__ = lookup(__name__, ["minicnn.datasets"], modules=_MODULES)
__all__ = sorted(_MODULES)
