"""What a model computed, computed again by recorded functions: so that gradients of its gradients can be asked for.

A plan goes back once, and what it does there is recorded nowhere. Here each step of the graph is a function of recorded
arrays, whose way back is made of such functions as well (`minicnn.keras._recorded_steps`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.keras._recorded_steps import At, formula_of
from minicnn.keras._taped import Taped
from minicnn.parameters import Weight
from minicnn.plan.ends import heads
from minicnn.plan.program import lower
from minicnn.plan.runs import Done, looked_behind
from minicnn.settings import floatx
from minicnn.threads import compute_threads


def computed_again(done: Done, inputs: Sequence[Any], on_tape: Mapping[Weight, Taped]) -> tuple[list[Any], Any]:
    """What gradients of a run begin at, outputs or `logits`, and what its layers add to the loss (None if none does).

    Parameters
    ----------
    done : Done
    inputs : sequence
        What the run was called on; gradients go back to what is `Taped`.
    on_tape : mapping
        Weight → what stands for it, of those that gradients go back to.

    Raises
    ------
    NotImplementedError
        For a layer whose gradient has no gradient here.
    """
    program, added = lower(done.graph), []
    dtype = next((w.value.dtype for w in done.weights), np.dtype(floatx()))
    values = {
        place: _as_plan_has_it(x, array, dtype)
        for place, x, array in zip(program.inputs, inputs, done.arrays, strict=True)
    }
    with compute_threads(done.backend):
        for place in program.places:
            training = True if place.training is None else place.training
            if place.step.only_in_training and not training:
                values[place.output] = values[place.inputs[0]]
                continue
            weights = {w: on_tape.get(w, done.weights[w]) for w in place.step.weights}
            at = At(place, tuple(program.shapes[place.output]), training, weights, done, added)
            made = formula_of(place)(place.step, [values[i] for i in place.inputs], at)
            values[place.output] = made if isinstance(made, Taped) else Taped(made)
    return [values[i] for i in heads(program, looked_behind(done.graph), True)], sum(
        added[1:], added[0]
    ) if added else None


def _as_plan_has_it(x, array, dtype):
    """An input in the shape and dtype in which steps read it."""
    if not isinstance(x, Taped):
        return Taped(np.asarray(array, dtype))
    return np.reshape(x.astype(dtype), np.shape(array))
