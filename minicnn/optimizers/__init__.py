"""Rules that turn gradients into new weights, and learning rates that change while a model trains."""

from minicnn.optimizers import schedules
from minicnn.optimizers.optimizer import Optimizer, _registry, get, register
from minicnn.optimizers.rules import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop

__getattr__ = _registry.module_getattr(__name__, "schedules")

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "get",
    "register",
    "schedules",
]
