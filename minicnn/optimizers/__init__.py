"""Rules that turn gradients into new weights, and learning rates that change while a model trains.

A new file in this folder needs no entry here: the classes in its ``__all__`` are found. Its name is not to be that of a
class in lower case, which is the class, as in Keras: ``optimizers.adam``.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from minicnn.optimizers import schedules
from minicnn.optimizers.optimizer import Optimizer, _registry, get, register

if TYPE_CHECKING:  # for editors and type checkers, which do not see what the next lines find
    from minicnn.optimizers.by_weight import Adafactor, Lamb, Muon  # noqa: F401
    from minicnn.optimizers.further_rules import Adamax, Ftrl, Lion, Nadam, ScheduleFreeAdamW  # noqa: F401
    from minicnn.optimizers.lookahead import Lookahead  # noqa: F401
    from minicnn.optimizers.more_rules import AdamW, RMSprop
    from minicnn.optimizers.rules import SGD, Adadelta, Adagrad, Adam

_modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
_found = {name: getattr(module, name) for module in _modules for name in getattr(module, "__all__", ())}
globals().update(_found)

__getattr__: Callable[[str], type[Optimizer]] = _registry.module_getattr(__name__, "schedules")

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "register", "schedules"]
__all__ += sorted(_found.keys() - {*__all__})
