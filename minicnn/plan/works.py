"""How the steps of a plan run: as their layers say, or by what a backend remembers of that.

Beside the core: without it, plans compute the same in a little more time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from minicnn.own_parts import is_of_package
from minicnn.step import Step

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.plan.plan import BoundPlan

Work = Callable[[], None]


def works_of(bound: BoundPlan, backend: Backend) -> tuple[list[Work], list[Work]]:
    """What runs the steps forward; and what runs them backward, with their additions.

    Parameters
    ----------
    bound : BoundPlan
    backend : Backend
        Neighbours that it can remember are handed to it together: it may do them in one call.
    """
    forward, backward = _forward_and_backward(bound, backend)
    return _together(forward, backend), _together(backward, backend)


def expect(bound: BoundPlan, backend: Backend) -> None:
    """Let a backend prepare for what `works_of` will hand to it."""
    forward, backward = _forward_and_backward(bound, backend)
    backend.expect([work for step, work in forward + backward if _does_only_ops(step)])


def _forward_and_backward(bound, backend):
    """Pairs of a step and its work, in the order in which they run."""
    add = backend.ops.pointwise
    forward = [(step.place.step, partial(step.place.step.forward, step.ws.xs, step.ws)) for step in bound.forward_steps]
    return forward, [(step.place.step, partial(_backward, step, add)) for step in bound.backward_steps]


def _backward(step, add):
    place, ws, additions = step
    place.step.backward(ws.dy, ws)
    for total, own in additions:
        add(total, (total, own), "add")


def _together(works, backend) -> list[Work]:
    """Works of steps, as a backend remembers those of neighbours that do nothing but call ops."""
    found = []
    for are_ops, group in groupby(works, lambda pair: _does_only_ops(pair[0])):
        own = [work for _, work in group]
        found += backend.repeated(own) if are_ops else own
    return found


def _does_only_ops(step) -> bool:
    """Whether the step does nothing but call ops, the same ones each time.

    Users' own steps are not asked, nor those that are made of users' layers, whose attributes may be anything.
    """
    parts = [part for part in (step, *vars(step).values()) if isinstance(part, Step)]
    return step.only_ops and all(is_of_package(type(part)) for part in parts)
