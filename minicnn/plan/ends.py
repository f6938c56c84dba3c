"""The final softmax or sigmoid of a program: losses and metrics may go on from what stands before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from minicnn.last_function import Last, of_step
from minicnn.layers.contract import is_own
from minicnn.plan.program import Place, Program

Names = Sequence[Collection[str] | None] | None


def look_behind(program: Program, names: Names, training: bool) -> tuple[tuple[int | None, ...], list[Last | None]]:
    """For each output: the value that is read, and its final activation where that is what stands before it, else None.

    Parameters
    ----------
    program : Program
    names, training :
        As of `heads`.
    """
    found = heads(program, names, training)
    pairs = zip(found, program.outputs, strict=True)
    return found, [None if head in (None, output) else _last(program, output, training) for head, output in pairs]


def heads(program: Program, names: Names, training: bool) -> tuple[int | None, ...]:
    """For each output, the value that is read: the output, or what its final activation reads.

    Parameters
    ----------
    program : Program
    names : sequence of collections of str, or None
        For each output: of final activations that a loss or a metric wants to see behind, along whichever axis they
        are, as in Keras on TensorFlow; None: nothing reads it.
    training : bool
        As of `end`.
    """
    found = []
    for output, wanted in zip(program.outputs, names or [()] * len(program.outputs), strict=True):
        place = end(program, output, training) if wanted else None
        is_one = place is not None and type(place.step).__name__.lower() in wanted
        is_behind = is_one and not isinstance(getattr(place.step, "axis", -1), tuple)
        found.append(None if wanted is None else place.inputs[0] if is_behind else output)
    return tuple(found)


def end(program: Program, value: int, training: bool) -> Place | None:
    """The place that computes the numbers of a value, which others may hand on; None for a step of a user's.

    Parameters
    ----------
    program : Program
    value : int
    training : bool
        Whether steps act as in training where nothing else is said at their place.
    """
    place = program.writer(value)
    while place is not None and _hands_on(place, training):
        place = program.writer(place.inputs[0])
    return None if place is None or is_own(place.step) else place


def _hands_on(place, training):
    """Whether a layer gives what it is given: in Keras the same array, which remembers what gave it."""
    step, is_active = place.step, training if place.training is None else place.training
    if step.only_in_training and not is_active:
        return True
    if is_own(step):  # whose names and numbers may mean something else
        return False
    does_nothing = step.only_in_training and 0 in (getattr(step, "rate", None), getattr(step, "stddev", None))
    return does_nothing or type(step).__name__ == "Identity"


def _last(program, output, training):
    """The function that gives an output; the last axis is -1, since losses may get rows alone."""
    last = of_step(end(program, output, training).step)
    return replace(last, axis=-1) if last.axis == len(program.shapes[output]) else last
