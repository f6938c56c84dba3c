"""``keras.optimizers.legacy``: the optimizers of Keras before 2.11, three of which computed otherwise than today's.

RMSprop without momentum and Adagrad added ε to the root, and Nadam's momentum rose with 0.96 to the power of 0.004 · t.
"""

from __future__ import annotations

from functools import partial

from minicnn import optimizers as core
from minicnn.keras import optimizers as today
from minicnn.keras._names import Lookup, lookup
from minicnn.keras._warning import warn_once

_RULES = {
    "Adagrad": {"epsilon_in_root": False},
    "Nadam": {"schedule_decay": 0.004},
    "RMSprop": {"epsilon_in_root": False},
}


def _translate(name, args, kwargs):
    return today._translate(name, args, {**_RULES[name], **kwargs})


for _name in _RULES:
    globals()[_name] = today.translated_class(getattr(core, _name), partial(_translate, _name), __name__)
warn_once(f"{__name__.removeprefix('minicnn.')} is a module of an older Keras: today its names are in keras.optimizers")

__getattr__: Lookup = lookup(__name__, ["minicnn.keras.optimizers"])
__all__ = sorted([*_RULES, "Adadelta", "Adam", "Adamax", "Ftrl", "Optimizer", "SGD"])
