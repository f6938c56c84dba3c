"""What a test registers is gone when it ends: a class of its own would be known to all tests that follow."""

from __future__ import annotations

import sys
from contextlib import contextmanager

from minicnn import constraints, initializers, own_parts, regularizers
from minicnn.layers import activations, base
from minicnn.losses.base import registry as losses
from minicnn.metrics.base import registry as metrics
from minicnn.optimizers import optimizer, schedules
from minicnn.registry import fold_name
from minicnn.saving.keras import names

REGISTRIES = (
    *(constraints.registry, initializers.registry, regularizers.registry, losses, metrics),
    *(base._registry, activations._registry, optimizer._registry, schedules._registry),
)


@contextmanager
def as_before(stays=None):
    """A context, after which registries know what they did before; and what of the package was imported in it.

    It yields a list, in which there is then what they know no more: (table, its entries) each; see `knowing`.

    Parameters
    ----------
    stays : callable, optional
        What says of a class or function whether it stays known. Default: what the package's modules define.
    """
    stays = stays or _is_of_a_module
    before = [(table, dict(table)) for table in tables()]
    counts = [len(registry._names) for registry in REGISTRIES]
    forgotten = []
    yield forgotten
    known = {id(table) for table, _ in before}
    for table, entries in [*before, *((table, {}) for table in tables() if id(table) not in known)]:
        if table == entries:  # as after nearly every test
            continue
        added = {name: thing for name, thing in table.items() if entries.get(name) is not thing}
        stay = {name: thing for name, thing in added.items() if stays(thing)}
        table.clear()
        table.update(entries | stay)
        forgotten.append((table, {name: thing for name, thing in added.items() if name not in stay}))
    for registry, count in zip(REGISTRIES, counts, strict=True):
        added = registry._names[count:]
        registry._names[count:] = [name for name in added if fold_name(name) in registry._classes]


@contextmanager
def knowing(forgotten):
    """A context in which registries know again what `as_before` has had them forget."""
    with as_before():
        for table, entries in forgotten:
            table.update(entries)
        yield


def tables():
    """Names → classes and functions, and what Keras calls these."""
    helpers = sys.modules.get("minicnn.keras.utils._helpers")  # not imported for tests that do without
    own = [] if helpers is None else [helpers._OBJECTS._own]
    return [*(registry._classes for registry in REGISTRIES), own_parts.REGISTERED, names.REGISTERED, *own]


def _is_of_a_module(thing):
    """Whether one of the package's modules defines it, which a test imported; what a test makes of it, none does."""
    return own_parts.is_of_package(thing) and vars(sys.modules[thing.__module__]).get(thing.__name__) is thing
