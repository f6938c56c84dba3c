"""Every optimizer that Keras has moves weights as its own does, with all options; schedules give the same rates.

`golden/make_keras_parts.py` noted Keras's numbers down; the cases stand in `optimizer_cases.py`. An optimizer or an
option of Keras's without a case makes a test fail.
"""

import types

import numpy as np
import pytest
from optimizer_cases import (
    COMMON,
    OWN,
    SCHEDULES,
    SHAPES,
    STEPS,
    each,
    each_schedule,
    first_weights,
    gradients,
    made,
    rates,
    results,
)
from oracles import every_backend
from part_cases import expected, never_set, same, same_notes, signatures

import minicnn as mc
from minicnn import keras
from minicnn.backends import get as get_backend
from minicnn.parameters import Segments

EXPECTED = expected("optimizers")
EACH = {case: arguments for case, *arguments in each()}
ROUNDED = 3e-5  # Keras's constants are float32 on TensorFlow: of a β of 0.999, 1 - β is 1.3e-5 off
OF_SCHEDULES = {case: arguments for case, *arguments in each_schedule()}


@pytest.mark.parametrize("by_apply", [False, True])
@pytest.mark.parametrize("case", EACH)
def test_apply_gradients_moves_variables_as_in_keras(case, by_apply):
    weights, updates, finished = results(keras, *EACH[case], by_apply)
    known_weights, known_updates, known_finished = EXPECTED[case]
    assert updates == known_updates
    for found, known in zip([*weights, *finished], [*known_weights, *known_finished], strict=True):
        same_notes(found, known, case, ROUNDED)


@every_backend
@pytest.mark.parametrize("case", [case for case in EACH if "loss_scale_factor" not in case])
def test_fit_moves_weights_as_keras_does(case, backend):
    """`update`, which `fit` calls, on flat vectors of each backend; it is `apply_gradients` that scales gradients."""
    name, options = EACH[case]
    optimizer, backend = made(mc, name, options), get_backend(backend)
    segments, size = segments_of(SHAPES)
    theta, grad = backend.zeros((size,), np.float64), backend.zeros((size,), np.float64)
    state = None
    for step in range(STEPS + 1):
        arrays = first_weights() if step == 0 else gradients(step - 1)
        for segment, array in zip(segments, arrays, strict=True):
            (theta if step == 0 else grad)[segment] = backend.asarray(array.ravel())
        state = state or optimizer.create_state(size, np.float64, backend.zeros)
        if step:
            optimizer.update(theta, grad, state, segments, backend.ops)
    for segment, shape, known in zip(segments, SHAPES, EXPECTED[case][0], strict=True):
        same(backend.to_host(theta)[segment].reshape(shape), known, case, ROUNDED)


def segments_of(shapes):
    """Where weights of these shapes lie in a vector, as a model's store says it, and how long that is."""
    segments, start = Segments({}), 0
    segments.weights = [types.SimpleNamespace(shape=s, path=p) for s, p in zip(shapes, ("kernel", "bias"), strict=True)]
    for shape in shapes:
        list.append(segments, slice(start, start + int(np.prod(shape))))
        start += -(-int(np.prod(shape)) // 16) * 16
    return segments, start


@pytest.mark.parametrize("case", OF_SCHEDULES)
def test_schedules_give_the_rates_of_keras(case):
    for step, (found, known) in enumerate(zip(rates(keras, *OF_SCHEDULES[case]), EXPECTED[case], strict=True)):
        same_notes(found, known, f"step {step}")


# ------------------------------------------------------------------------------------------------ nothing is forgotten

ELSEWHERE = {
    "Optimizer": "the base",
    "LossScaleOptimizer": "scales nothing where numbers are float32: test_mixed_precision.py",
    "ScheduleFreeAdamW": "Keras 3.15 on TensorFlow takes the moved z (docs/keras.md): test_further_optimizers.py",
    **dict.fromkeys(("MultiOptimizer", "OptimizerMap"), "absent: docs/keras.md"),
    **dict.fromkeys(("deserialize", "get", "serialize"), "no optimizer"),
    **dict.fromkeys(("LearningRateSchedule",), "the base"),
}


def test_every_optimizer_and_schedule_that_keras_has_is_compared():
    assert {*signatures("optimizers")} - {*ELSEWHERE} == {*OWN}
    assert {*signatures("schedules")} - {*ELSEWHERE} == {*SCHEDULES}


@pytest.mark.parametrize("name", OWN)
def test_every_option_is_compared(name):
    assert never_set("optimizers", name, COMMON + OWN[name]) <= {"name"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_option_of_a_schedule_is_compared(name):
    assert never_set("schedules", name, SCHEDULES[name]) <= {"name"}
