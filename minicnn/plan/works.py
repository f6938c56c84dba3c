"""How the steps of a plan run: as their layers say, or by what a backend remembers of that.

Beside the core: without it, plans compute the same in a little more time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from minicnn.own_parts import is_of_package
from minicnn.plan.casting import add, around, casts_of
from minicnn.step import Step, Workspace

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.plan.plan import BoundPlan

Work = Callable[[], None]


def works_of(bound: BoundPlan, backend: Backend) -> tuple[list[tuple[Workspace, Work]], list[Work]]:
    """What runs each step forward, with its workspace; and what runs it backward, with its additions."""
    forward = [(ws, _work(place.step, backend, _forward(place.step, ws))) for place, ws, _ in bound.forward_steps]
    return forward, [_work(step.place.step, backend, _backward(step, backend.ops)) for step in bound.backward_steps]


def _forward(step, ws):
    """The forward pass of a step, with what is cast before and after it."""
    casts = casts_of(ws)
    return around(casts.before_forward, partial(step.forward, ws.xs, ws), casts.after_forward)


def _backward(step, ops):
    """The same backward, with the additions behind it."""
    place, ws, additions = step
    casts = casts_of(ws)
    work = around(casts.before_backward, partial(place.step.backward, ws.dy, ws), casts.after_backward)
    return partial(_with_additions, work, ops, additions) if additions else work


def _with_additions(work, ops, additions):
    work()
    for total, own in additions:
        add(ops, total, own)


def _work(step, backend, work) -> Work:
    """The work, as a backend remembers it, if the step does nothing but call ops.

    Users' own steps are not asked, nor those that are made of users' layers, whose attributes may be anything.
    """
    parts = [part for part in (step, *vars(step).values()) if isinstance(part, Step)]
    is_ours = all(is_of_package(type(part)) for part in parts)
    return backend.repeated(work) if step.only_ops and is_ours else work
