"""What a step on a GPU leaves to a later one: how long arrays are in use for that, and which gradients wait for others.

Beside the core: on a processor nothing waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from minicnn.layers.conv import Conv2D, FusedConv2D

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.plan.arena import Slot
    from minicnn.plan.wiring import Wires

MOST_TOGETHER = 32  # gradients
MOST_BYTES = 2**28  # of what they are computed from, which cannot be used for anything else meanwhile


def waiting_gradients(places: list[Wires], backend: Backend) -> list[list[int]] | None:
    """The places of convolutions whose gradients by the kernel are computed together, in the order in which they run.

    Each group is complete when the last of its places has run. None where nothing at all is left to later steps.
    """
    if not backend.on_device:
        return None
    if not backend.kernel_gradients_wait():
        return []
    users = Counter(weight for wires in places if wires.dy is not None for weight in wires.place.step.weights)
    groups: list[list[int]] = [[]]
    kept = 0
    for i in reversed(range(len(places))):
        if _can_wait(places[i], users):
            size = sum(slot.interval.size for slot in _kept(places[i]))
            if kept + size > MOST_BYTES or len(groups[-1]) == MOST_TOGETHER:
                groups.append([])
                kept = 0
            groups[-1].append(i)
            kept += size
    return [group for group in groups if len(group) > 1]


def _can_wait(wires, users):
    """Whether it is a convolution alone, of one group, whose kernel is trained, and is no other step's."""
    step = wires.place.step
    is_alone = isinstance(step, Conv2D) or (isinstance(step, FusedConv2D) and step.is_bare)
    if wires.dy is None or not is_alone or (step if isinstance(step, Conv2D) else step.layer).groups > 1:
        return False
    return all(users[weight] == 1 for weight in step.weights) and any(w.trainable for w in step.weights)


def _kept(wires):
    """What a gradient that waits is computed from."""
    return [*wires.xs, wires.dy]


def uses_of_what_waits(places: list[Wires], groups: list[list[int]] | None) -> Iterator[tuple[int, list[Slot]]]:
    """(time, slots that are in use then), see `minicnn.plan.wiring`; `groups`: as `waiting_gradients` gives them."""
    if groups is None:
        return
    n = len(places)
    for i, wires in enumerate(places):
        yield 2 * n - i + 1, [own for _, own in wires.additions]
    for group in groups:
        for i in group:
            yield 2 * n - group[-1], _kept(places[i])
