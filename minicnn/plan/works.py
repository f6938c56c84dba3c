"""How the steps of a plan run: as their layers say, or by what a backend remembers of that.

Beside the core: without it, plans compute the same in a little more time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from minicnn.own_parts import is_of_package
from minicnn.step import Step, Workspace

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.plan.plan import BoundPlan

Work = Callable[[], None]


def works_of(bound: BoundPlan, backend: Backend) -> tuple[list[tuple[Workspace, Work]], list[Work]]:
    """What runs each step forward, with its workspace; and what runs it backward, with its additions."""
    forward = [
        (ws, _work(place.step, backend, partial(place.step.forward, ws.xs, ws))) for place, ws, _ in bound.forward_steps
    ]
    add = backend.ops.pointwise
    return forward, [_work(step.place.step, backend, partial(_backward, step, add)) for step in bound.backward_steps]


def _backward(step, add):
    place, ws, additions = step
    place.step.backward(ws.dy, ws)
    for total, own in additions:
        add(total, (total, own), "add")


def _work(step, backend, work) -> Work:
    """The work, as a backend remembers it, if the step does nothing but call ops.

    Users' own steps are not asked, nor those that are made of users' layers, whose attributes may be anything.
    """
    parts = [part for part in (step, *vars(step).values()) if isinstance(part, Step)]
    is_ours = all(is_of_package(type(part)) for part in parts)
    return backend.repeated(work) if step.only_ops and is_ours else work
