"""Every metric that Keras has gives what its own does, with all options and forms of weights, batch after batch.

`golden/make_keras_parts.py` noted Keras's numbers down; the cases stand in `metric_cases.py`. A metric or an option of
Keras's without a case makes a test fail.
"""

import numpy as np
import pytest
from loss_cases import CASES as LOSS_CASES
from loss_cases import FUNCTIONS, KINDS
from metric_cases import CASES, FUNCTIONS_OF_METRICS, each, function_result, functions, results
from part_cases import expected, never_set, same_notes, signatures

from minicnn import keras
from minicnn.keras import losses, metrics

EXPECTED = expected("metrics")
EACH = {case: arguments for case, *arguments in each()}
OF_FUNCTIONS = {case: arguments for case, *arguments in functions()}


@pytest.mark.parametrize("case", EACH)
def test_results_are_those_of_keras(case):
    """After each batch and after a reset; where Keras stops, with weights that it should take, there is a number."""
    name, _, _, weights = EACH[case]
    for step, (found, known) in enumerate(zip(results(keras, *EACH[case]), EXPECTED[case], strict=True)):
        if known is None or (name in ("F1Score", "FBetaScore") and weights == "(N, 1)"):  # broadcast along the samples
            continue
        assert found is not None, step
        same_notes(found, known, f"batch {step}")


@pytest.mark.parametrize("case", OF_FUNCTIONS)
def test_functions_are_those_of_keras(case):
    same_notes(function_result(keras, *OF_FUNCTIONS[case]), EXPECTED[case], case)


@pytest.mark.parametrize("name", CASES)
def test_results_are_numbers_of_python_or_arrays(name):
    """Before the first batch, too."""
    result = getattr(keras.metrics, name)(**CASES[name][0][0]).result()
    assert isinstance(result, float | np.ndarray)


# ------------------------------------------------------------------------------------------------ nothing is forgotten

NO_METRICS = {
    "Metric": "the base",
    "MeanMetricWrapper": "around a function: test_keras_metric_targets.py",
    **dict.fromkeys(("deserialize", "get", "serialize"), "no metric"),
}
REFUSED = ("SparseCategoricalCrossentropy",)
"""Its axis is the last one, as in Keras."""


def test_every_metric_that_keras_has_is_compared():
    """Functions of losses are compared in test_losses_as_in_keras.py."""
    of_losses = {name for name in signatures("metrics") if name in FUNCTIONS}
    assert {*signatures("metrics")} - {*NO_METRICS} - of_losses == {*CASES, *FUNCTIONS_OF_METRICS}
    for name in of_losses:
        (_, kind), *_ = LOSS_CASES[FUNCTIONS[name]]
        given = KINDS[kind]((4, 3))
        assert np.array_equal(getattr(metrics, name)(*given), getattr(losses, name)(*given))


@pytest.mark.parametrize("name", [*CASES, *FUNCTIONS_OF_METRICS])
def test_every_option_is_compared_or_refused(name):
    options = [options for options, _ in CASES[name]] if name in CASES else FUNCTIONS_OF_METRICS[name]
    unset = never_set("metrics", name, options) - {"name", "dtype"}
    assert unset == ({"axis"} if name in REFUSED else set())
    if unset:
        with pytest.raises(ValueError, match="axis"):
            getattr(metrics, name)(axis=1)
