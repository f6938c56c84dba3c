"""The rules that leave steps out, and that merge neighbouring steps into one that a single op computes.

`simplify` leaves out what does nothing outside training, and makes one resampling of neighbouring augmentation layers.
It serves every backend, because an image that is interpolated once is not the one that is interpolated by every layer.

`fuse` is for speed and changes no result: `RULES` is the table. ``docs/fusion.md`` explains why gradients stay exact.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from minicnn.layers.activations import ReLU
from minicnn.layers.augmentation import Warp
from minicnn.layers.channel_order import MoveAxis
from minicnn.layers.contract import is_own
from minicnn.layers.conv import FusedConv2D
from minicnn.layers.kernel import Fused
from minicnn.layers.merge import Add, FusedAdd
from minicnn.layers.normalization import BatchNormalization, FusedNormalization
from minicnn.layers.padded_conv import padded_conv
from minicnn.layers.pooling import MaxPooling2D
from minicnn.plan.frozen import is_frozen
from minicnn.plan.order import passing
from minicnn.plan.program import Program
from minicnn.step import Step


class Rule(NamedTuple):
    """Two steps that merge, if nothing else reads the first one's output.

    Attributes
    ----------
    first, then : type
        Of the steps. A layer counts as what its `fused` returns, with nothing merged into it.
    part : str
        The attribute of `first` that becomes the second step.
    when : function of both, and of how many numbers the first one makes of a sample
        Whether they merge.
    in_training : bool
        Whether they merge in training too, where weights behind them are learned.
    """

    first: type[Step]
    then: type[Step]
    part: str
    when: Callable[[Any, Any, int], bool]
    in_training: bool


RULES = (
    Rule(Fused, ReLU, "relu", lambda first, then, _: then.is_plain and first.relu is None, True),
    Rule(FusedConv2D, MaxPooling2D, "pool", lambda first, *_: first.pool is None and first.layer.groups == 1, True),
    Rule(Fused, BatchNormalization, "norm", lambda a, _, size: a.is_bare and a.layer.kernel.size <= size, False),
    Rule(FusedAdd, ReLU, "relu", lambda first, then, _: then.is_plain and first.relu is None, False),
    Rule(FusedNormalization, Add, "added", lambda first, *_: first.added is None and first.relu is None, True),
    Rule(FusedNormalization, ReLU, "relu", lambda first, then, _: then.is_plain and first.relu is None, True),
)
"""So ReLU and pooling follow a convolution in either order, and a normalization comes before both.

Behind a normalization come the addition of one other value, then ReLU; outside training, where it is a part of a
convolution, ReLU joins the addition.
"""


def fuse(program: Program, kept: set[int], training: bool, learned: set[int]) -> None:
    """Merge steps of `program` by `RULES`, in place.

    Parameters
    ----------
    program : Program
    kept : set of int
        Values that must stay: outputs, and what a loss reads.
    training : bool
        Whether steps act as in training where nothing else is said at their place.
    learned : set of int
        Values whose gradient is computed: steps of a frozen base, which make none, merge as outside training.
    """
    passes = passing(program)

    def merged(place, then):
        first, n = place.step.fused(), math.prod(shape := program.shapes[place.output])
        may_all = is_frozen(then, learned) if training else not then.training
        for rule in RULES:
            may = isinstance(first, rule.first) and isinstance(then.step, rule.then) and rule.when(first, then.step, n)
            if may and (rule.in_training or may_all) and not passes(place, then):
                return replace(first, **{rule.part: then.step})
        return padded_conv(first, then.step, shape)

    _merge(program, kept, merged)


def simplify(program: Program, kept: set[int], training: bool) -> None:
    """Leave out steps that do nothing, and merge neighbouring warps, in place; arguments as for `fuse`."""
    _leave_out_inactive(program, kept, training)
    _merge(program, kept, _one_warp)


def _leave_out_inactive(program, kept, training):
    """Whoever reads such a step's output reads its input instead."""
    stands_for, places = {}, []
    for place in program.places:
        place.inputs = tuple(stands_for.get(value, value) for value in place.inputs)
        keeps_order = isinstance(place.step, MoveAxis) and place.step.keeps_order(program.shapes[place.inputs[0]])
        rests = place.step.only_in_training and not (training if place.training is None else place.training)
        if (rests or keeps_order) and place.output not in kept:  # keeps: an axis that is moved to where it is
            (stands_for[place.output],) = place.inputs
        else:
            places.append(place)
    program.places = places


def _one_warp(place, then):
    """Several warps that follow each other become one; each layer keeps its stream of random numbers."""
    if not (isinstance(place.step, Warp) and isinstance(then.step, Warp)) or place.training != then.training:
        return None
    return place.step.then(then.step, tuple(s for p in (place, then) for s in (p.step.streams or (p.stream,))))


def _merge(program, kept, merged):
    """Merge steps of `program`, in place: where one step alone reads another's output, and there is ``merged(…)``.

    Parameters
    ----------
    program : Program
    kept : set of int
        Values that must stay.
    merged : function of two Places
        The step that does both; None where there is none.
    """
    readers, ready, places = program.readers(), {}, []
    for place in program.places:
        place = ready.pop(place, place)
        if place.output not in kept and len(readers[place.output]) == 1:
            then = ready.get(reader := readers[place.output][0], reader)
            others = tuple(value for value in then.inputs if value != place.output)
            shapes = {program.shapes[value] for value in (*then.inputs, then.output)}  # nothing is broadcast
            are_ours = place.dtype == then.dtype and not (is_own(place.step) or is_own(then.step))
            may_merge = are_ours and (not others or (len(then.inputs) == 2 and len(shapes) == 1))
            step = merged(place, then) if may_merge and then.inputs.count(place.output) == 1 else None
            if step is not None:  # where the second one stands: all that it reads is there
                ready[reader] = replace(place, step=step, inputs=(*place.inputs, *others), output=then.output)
                continue
        places.append(place)
    program.places = places
