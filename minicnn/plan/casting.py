"""Mixed precision: which values of a plan are kept as bfloat16, and what stands around the steps that touch them.

A step whose layer computes in bfloat16 sees float32 arrays in scratch memory: its inputs widened, its kernels rounded;
what it has assigned is rounded where it is kept. So every step works, users' own too, and none has to know of it. Where
a backend has kernels that take bfloat16 itself, a step gets the kept arrays, and no scratch memory is touched:

* an op says so by an attribute, ``op.takes_bfloat16 = function of the op's arguments → bool``;
* it is asked once, when arrays are bound, with the very arguments of the call: arrays of `BFLOAT16` among values and
  their gradients, float32 where a model's inputs, outputs or losses are concerned, weights and their gradients float32;
* it rounds float32 factors of its products to bfloat16 itself, adds up in float32, and rounds what it writes into
  arrays of `BFLOAT16`; what it has written into float32 arrays is rounded afterwards, here.

Beside the core: in models of one dtype nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.bfloat16 import BFLOAT16
from minicnn.layers.policy import is_factor
from minicnn.own_parts import is_of_package
from minicnn.plan.arena import Slot, pack
from minicnn.plan.program import Program
from minicnn.step import Step, Workspace

if TYPE_CHECKING:
    from minicnn.backends.base import Backend
    from minicnn.parameters import BorrowedWeights, ParameterStore
    from minicnn.plan.plan import Plan
    from minicnn.plan.wiring import Wires

MIXED = "bfloat16"
FLOAT32 = np.dtype(np.float32)

Store: TypeAlias = "ParameterStore | BorrowedWeights"
Cast = tuple[Callable[..., None], np.ndarray, np.ndarray]  # (op, from, to)


@dataclass
class Casts:
    """What is done before and after a step's passes; and the arrays as they are kept."""

    kept: Workspace
    before_forward: list[Cast] = field(default_factory=list)
    after_forward: list[Cast] = field(default_factory=list)
    before_backward: list[Cast] = field(default_factory=list)
    after_backward: list[Cast] = field(default_factory=list)


def stored_dtypes(program: Program, heads: tuple[int | None, ...], store: Store) -> dict[int, np.dtype]:
    """The values of a program that are kept as bfloat16, as their gradients are: value → `BFLOAT16`.

    Those that a layer of that compute dtype writes, unless it is an output or read by a loss: users and losses get
    float32. A GPU keeps all in float32, and rounds factors of products alone; where formulas are checked in float64,
    nothing is rounded.
    """
    if not _can_be_mixed(store) or all(place.dtype != MIXED for place in program.places):
        return {}
    wide = {*program.inputs, *program.outputs, *heads}
    wide |= {place.output for place in program.places if place.dtype != MIXED and not place.step.is_view}
    views = [place for place in program.places if place.step.is_view]
    wide |= {place.inputs[0] for place in reversed(views) if place.output in wide}
    for place in reversed(views):  # a view has the dtype of what it shows
        wide |= set(place.inputs) if place.output in wide else set()
    for place in views:
        wide |= {place.output} if place.inputs[0] in wide else set()
    written = [place.output for place in program.places]
    return dict.fromkeys([value for value in written if value not in wide], BFLOAT16)


def cast_around(plan: Plan, wires: Wires, ws: Workspace) -> Workspace:
    """The workspace for the step at a place: `ws`, or one with float32 arrays and casts around its passes.

    Parameters
    ----------
    plan : Plan
    wires : Wires
    ws : Workspace
        With the plan's own arrays, not bound to the step yet.
    """
    place, backend = wires.place, plan.backend
    if backend.on_device and plan.store.dtype == FLOAT32:  # which rounds factors alone, in its products
        ws.ops = backend.rounding_ops.get(place.dtype, ws.ops)
    is_mixed = place.dtype == MIXED and _can_be_mixed(plan.store)
    if not is_mixed and all(array is None or array.dtype != BFLOAT16 for array in _values(ws)):
        return ws
    if is_mixed and is_served(backend, place.step, ws):
        ws.casts = _rounding(ws, backend.ops)
        return ws
    slots = _scratch_slots(wires, plan.batch_size)
    _packed(slots)
    if plan.scratch is None:  # of the largest step: one runs at a time
        most = max(_packed(_scratch_slots(wires, plan.batch_size)) for wires in plan.wiring.places)
        plan.scratch = backend.empty((most,), np.uint8)
    arrays = [None if slot is None else slot.of(plan.scratch, len(ws.y)) for slot in slots]
    return _in_scratch(wires, ws, arrays, is_mixed)


def _can_be_mixed(store):
    return store.dtype == FLOAT32 and not store.backend.on_device


def _values(ws):
    """The arrays of values and gradients: xs, y, dy, dxs."""
    return [*ws.xs, ws.y, ws.dy, *ws.dxs]


def is_served(backend: Backend, step: Step, ws: Workspace) -> bool:
    """Whether a step does nothing but call ops that take what is kept as bfloat16."""
    parts = [part for part in (step, *vars(step).values()) if isinstance(part, Step)]
    if not step.only_ops or not all(is_of_package(type(part)) for part in parts):
        return False
    values, answers = [array for array in _values(ws) if array is not None], []

    def asking(op):
        def ask(*arguments: Any, **options: Any) -> None:
            arrays = [a for a in _flat([*arguments, *options.values()]) if isinstance(a, np.ndarray)]
            if any(np.may_share_memory(array, value) for array in arrays for value in values):
                serves = getattr(op, "takes_bfloat16", None)
                answers.append(serves is not None and serves(*arguments, **options))

        return ask

    trial = replace(ws, ops=SimpleNamespace(**{name: asking(op) for name, op in vars(backend.ops).items()}))
    step.bind(trial)
    step.forward(trial.xs, trial)
    if ws.dy is not None:
        step.backward(trial.dy, trial)
    return all(answers)


def _flat(arguments):
    """The arguments, those in tuples too."""
    return [part for argument in arguments for part in (argument if isinstance(argument, tuple) else [argument])]


def _rounding(ws, ops):
    """Casts where kernels take bfloat16: what is kept as float32 is rounded in its place."""

    def in_place(*arrays):
        return [(ops.through_bfloat16, a, a) for a in arrays if a is not None and a.dtype == FLOAT32]

    return Casts(ws, [], in_place(ws.y), in_place(ws.dy), in_place(*ws.dxs))


# --------------------------------------------------------------------------------------------------- scratch memory


def _kernels(place):
    """The weights that are rounded."""
    return [w for w in place.step.weights if is_factor(w.name)] if place.dtype == MIXED else []


def _scratch_slots(wires, batch_size):
    """A float32 slot for each array of `_values` that the step cannot have as it is kept, and for its kernels."""
    is_mixed = wires.place.dtype == MIXED
    kept = [*((slot, is_mixed) for slot in wires.xs), *((slot, False) for slot in (wires.y, wires.dy, *wires.dxs))]
    slots = [
        Slot.new(slot.shape, FLOAT32, batch_size) if slot is not None and (slot.dtype == BFLOAT16 or always) else None
        for slot, always in kept
    ]
    slots += [Slot.new(w.shape, FLOAT32, 1, per_sample=False) for w in _kernels(wires.place)]
    for slot in slots:
        if slot is not None:
            slot.interval.use(0)
    return slots


def _packed(slots):
    """The bytes that slots need together, each at an offset of its own."""
    return pack([slot.interval for slot in slots if slot is not None])


def _in_scratch(wires, ws, arrays, is_mixed):
    """The workspace whose arrays are those in scratch memory, with the casts from and to the ones that are kept."""
    count, ops, step = len(ws.xs), ws.ops, wires.place.step
    pairs = list(zip(_values(ws), arrays, strict=False))
    xs, (y, dy), dxs = pairs[:count], pairs[count : count + 2], pairs[count + 2 :]
    kernels = dict(zip([w.name for w in _kernels(wires.place)], arrays[len(pairs) :], strict=True))

    def loads(*pairs):
        """Casts of what a step reads."""
        casts = []
        for kept, own in pairs:
            if kept is not None and kept.dtype == BFLOAT16:
                casts.append((ops.from_bfloat16, kept, own))
            elif kept is not None and is_mixed:
                casts.append((ops.through_bfloat16, kept, kept if own is None else own))
        return casts

    def stores(*pairs):
        """Casts of what a step has assigned."""
        return [
            (ops.through_bfloat16, kept, kept) if own is None else (ops.to_bfloat16, own, kept)
            for kept, own in pairs
            if kept is not None and (is_mixed or own is not None)
        ]

    def array(pair):
        return pair[0] if pair[1] is None else pair[1]

    weights = [(ops.through_bfloat16, ws.params[name], own) for name, own in kernels.items()]
    inner = replace(
        ws,
        xs=tuple(map(array, xs)),
        y=array(y),
        dy=array(dy),
        dxs=tuple(map(array, dxs)),
        params={**ws.params, **kernels},
    )
    read = [*(xs if step.uses_input else ()), *([y] if step.uses_output else ()), dy]
    inner.casts = Casts(ws, weights + loads(*xs), stores(y), weights + loads(*read), stores(*dxs))
    return inner


# ---------------------------------------------------------------------------------------------------------- running


def around(before: list[Cast], work: Callable[[], None], after: list[Cast]) -> Callable[[], None]:
    """What does `work` between casts; `work` itself, where there are none."""
    if not before and not after:
        return work

    def run() -> None:
        for op, source, target in before:
            op(source, target)
        work()
        for op, source, target in after:
            op(source, target)

    return run


def add(ops: SimpleNamespace, total: np.ndarray, own: np.ndarray) -> None:
    """Total += own, both float32 or both bfloat16."""
    if total.dtype == BFLOAT16:
        ops.add_bfloat16(total, own)
    else:
        ops.pointwise(total, (total, own), "add")


def casts_of(ws: Workspace) -> Casts:
    """What is cast around the step of a workspace; nothing, as a rule."""
    return vars(ws).get("casts") or Casts(ws)
