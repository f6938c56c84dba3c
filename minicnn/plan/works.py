"""How the steps of a plan run: as their layers say, or by what a backend remembers of that.

Beside the core: without it, plans compute the same in a little more time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby, pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

from minicnn.layers.normalization import BatchNormalization, FusedNormalization
from minicnn.own_parts import is_of_package
from minicnn.plan.casting import add, around, casts_of
from minicnn.step import Step

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.plan.plan import BoundPlan, BoundStep

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
    forward = list(map(forward_work, bound.forward_steps))
    if backend.on_device:
        forward, backward = _with_moments(bound, forward, backend), _summing_works(bound, backend)
    else:
        backward = backward_works(bound, backend)
    pairs = (bound.forward_steps, forward), (bound.backward_steps, backward)
    return tuple([(step.place.step, work) for step, work in zip(*pair, strict=True)] for pair in pairs)


def _with_moments(bound, works, backend):
    """The forward works; but who writes what a normalization reads may leave it the moments of the batch."""
    works, steps = list(works), bound.forward_steps
    writers = {step.place.output: i for i, step in enumerate(steps) if _does_only_ops(step.place.step)}
    for i, step in enumerate(steps):
        writer = writers.get(step.place.inputs[0]) if _is_normalization(step) else None
        if writer is not None and step.place.step.fused().goes_by_batch(step.ws):
            works[writer], works[i] = backend.with_moments(step.ws.xs[0], works[writer], works[i])
    return works


def _summing_works(bound, backend):
    """As `backward_works`; but an addition to the gradient that the next step reads is left to that step, if it can.

    And who computes that gradient may leave the sums to it that a normalization begins with; and gradients of kernels
    may wait for each other.
    """
    works, left, summing = [], None, []
    for step, then in pairwise([*bound.backward_steps, None]):
        own = None
        if then is not None and step.additions and _is_normalization(then):
            ws = then.ws
            own = backend.left_addition(step.additions, ws.dy, [*ws.dxs, *ws.grads.values()])
        rest = step._replace(additions=[pair for pair in step.additions if pair[1] is not own])
        work = _backward(rest, backend.ops)
        if step.ws.grads and not is_of_library(step.place.step):  # which may read what the library has computed for it
            work = partial(backend.added_at_once, work)
        works.append(work if left is None else partial(backend.with_addition, step.ws.dy, left, work))
        if then is not None and (gradients := _gradients_between(step, then, own)):
            summing.append((len(works) - 1, (*gradients, _arguments(then))))
        left = own
    for group in _waiting(bound):
        for i, work in zip(group, backend.together([works[i] for i in group]), strict=True):
            works[i] = work
    for i, arguments in summing:
        works[i : i + 2] = backend.with_gradient_sums(*arguments, *works[i : i + 2])
    return works


def _waiting(bound):
    """Numbers of the backward steps whose gradients by kernels may wait, in groups; see `minicnn.plan.waiting`."""
    wiring = bound.plan.wiring
    numbers = {step.place.output: i for i, step in enumerate(bound.backward_steps) if _does_only_ops(step.place.step)}
    groups = [[wiring.places[i].place.output for i in group] for group in wiring.waiting]
    found = [[numbers[output] for output in group if output in numbers] for group in groups]
    return [group for group in found if len(group) > 1]


def _gradients_between(step, then, own):
    """(what a step computes, what is to be added to it) of a gradient that the next one, a normalization, alone reads.

    `own`: what the step leaves to be added. None: there is no such gradient, or the step has several inputs, which may
    be one value.
    """
    if not (_is_normalization(then) and _does_only_ops(step.place.step) and len(step.place.inputs) == 1):
        return None
    if own is not None:
        return own, then.ws.dy
    is_whole = not step.additions and then.place.output in step.place.inputs
    return (then.ws.dy, None) if is_whole else None


def _arguments(step):
    """What the backward pass of a normalization calls its op with."""
    found = []
    ops = SimpleNamespace(batch_norm_backward=lambda *arguments: found.append(arguments))
    step.place.step.backward(step.ws.dy, replace(step.ws, ops=ops))
    return found[0]


def _is_normalization(step):
    return isinstance(step.place.step, BatchNormalization | FusedNormalization) and _does_only_ops(step.place.step)


def backward_works(bound: BoundPlan, backend: Backend) -> list[Work]:
    """The backward pass of each step by itself, for who does something in between."""
    return [_backward(step, backend.ops) for step in bound.backward_steps]


def forward_work(step: BoundStep) -> Work:
    """The forward pass of a step, with what is cast before and after it."""
    place, ws, _ = step
    casts = casts_of(ws)
    return around(casts.before_forward, partial(place.step.forward, ws.xs, ws), casts.after_forward)


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


def _together(works, backend) -> list[Work]:
    """Works of steps, as a backend remembers those of neighbours that do nothing but call ops."""
    found = []
    for are_ops, group in groupby(works, lambda pair: _does_only_ops(pair[0])):
        own = [work for _, work in group]
        found += backend.repeated(own) if are_ops else own
    return found


def _does_only_ops(step):
    """Whether the step does nothing but call ops, the same ones each time.

    Users' own steps are not asked, nor those that are made of users' layers, whose attributes may be anything.
    """
    return step.only_ops and is_of_library(step)


def is_of_library(step: Step) -> bool:
    """Whether a step, and what it is made of, was written in the package, and no user has replaced what it does."""
    parts = [part for part in (step, *vars(step).values()) if isinstance(part, Step)]
    return all(is_of_package(part) for p in parts for part in (type(p), p.forward, p.backward))
