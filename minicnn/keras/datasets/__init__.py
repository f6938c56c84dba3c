"""``keras.datasets``."""

from minicnn.keras._names import lookup

_MODULES = ("cifar10", "cifar100", "fashion_mnist", "mnist")

__getattr__ = lookup(__name__, ["minicnn.datasets"], modules=_MODULES)
__all__ = sorted(_MODULES)
