"""Callbacks decide what Keras's do on noted sequences of losses, with all their options, and are called as there.

`golden/make_keras_parts.py` noted down what Keras's do; the cases stand in `callback_cases.py`. A callback or an option
of Keras's without a case makes a test fail.
"""

import pytest
from callback_cases import BACKUPS, CASES, WHAT, averaged, calls, each, gone_on, results
from part_cases import expected, never_set, signatures

from minicnn import keras

EXPECTED = expected("callbacks")
EACH = {case: arguments for case, *arguments in each()}


@pytest.mark.filterwarnings("ignore")  # Keras says the same, or nothing
@pytest.mark.parametrize("case", EACH)
def test_decisions_are_those_of_keras(case):
    """Learning rates, the end, the last weight and files, epoch by epoch."""
    assert results(keras, *EACH[case]) == EXPECTED[case]


@pytest.mark.parametrize("what", WHAT)
def test_methods_are_called_as_in_keras(what):
    """In that order, with these numbers, and with logs of these names."""
    assert calls(keras, what) == EXPECTED[what]


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_averages_of_weights(swap_on_epoch):
    assert averaged(keras, swap_on_epoch) == pytest.approx(EXPECTED[f"SwapEMAWeights {swap_on_epoch}"], abs=2e-6)


@pytest.mark.parametrize("options", BACKUPS, ids=str)
def test_an_interrupted_training_goes_on(options):
    """With `save_freq` Keras repeats the epoch in which it saved last; here epochs are saved at their end too."""
    epochs, is_left = EXPECTED[f"BackupAndRestore {options}"]
    if "save_freq" in options:
        assert epochs == [2, 3, 4]
        epochs = [3, 4]
    assert gone_on(keras, options) == [epochs, is_left]


# ------------------------------------------------------------------------------------------------ nothing is forgotten

ELSEWHERE = {
    **dict.fromkeys(("Callback", "CallbackList", "History", "LambdaCallback"), "test_callbacks.py"),
    **dict.fromkeys(("ProgbarLogger", "RemoteMonitor", "TensorBoard"), "show, and decide nothing: test_keras_logs.py"),
    "OrbaxCheckpoint": "absent: docs/keras.md",
}


def test_every_callback_that_keras_has_is_compared():
    assert {*signatures("callbacks")} - {*ELSEWHERE} == {*CASES, "BackupAndRestore", "SwapEMAWeights"}


@pytest.mark.parametrize("name", [*CASES, "BackupAndRestore"])
def test_every_option_is_compared(name):
    """`raise_error` ends a training with an error: test_callbacks.py."""
    unset = never_set("callbacks", name, CASES.get(name, BACKUPS))
    assert unset <= {"verbose", "raise_error"}
