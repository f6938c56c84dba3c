"""``keras.datasets``."""

from minicnn.keras._names import lookup

_OF_WORDS_AND_HOUSES = "boston_housing", "california_housing", "imdb", "reuters"
_MODULES = ("cifar10", "cifar100", "fashion_mnist", "mnist", *_OF_WORDS_AND_HOUSES)

__getattr__ = lookup(__name__, ["minicnn.datasets"], modules=_MODULES)
__all__ = sorted(_MODULES)
