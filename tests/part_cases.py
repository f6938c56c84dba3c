"""What cases of losses, metrics, optimizers and other parts share: numbers, and sums of arrays. No tests here.

`golden/make_keras_parts.py` notes down what Keras computes with the cases of `loss_cases.py`, `metric_cases.py`,
`optimizer_cases.py`, `small_part_cases.py` and `callback_cases.py`; `test_…_as_in_keras.py` compare.
"""

import json
from pathlib import Path

import numpy as np
from layer_cases import noted

GOLDEN = Path(__file__).with_name("golden")
TOLERANCE = 1e-6  # of the sizes' sum, in float64


def wave(shape, place=0, low=-1.0, high=1.0):
    """Numbers between two limits that are all different."""
    turns = np.sin(1.7 * np.arange(1, int(np.prod(shape)) + 1) ** 1.1 + 2 * place)
    return low + (high - low) * (turns.reshape(shape) + 1) / 2


def expected(kind):
    """Name of a case → what Keras gave, of `golden/keras_<kind>.json`."""
    return json.loads((GOLDEN / f"keras_{kind}.json").read_text(encoding="utf-8"))


def array_of(value):
    """A number, an array or a tensor of either library as an array of float64."""
    return np.asarray(getattr(value, "numpy", lambda: value)(), np.float64)


def note(value):
    """A number as it is, of an array its shape and sums."""
    array = array_of(value)
    return float(array) if array.ndim == 0 else noted(array)


def same(actual, noted_down, what, tolerance=TOLERANCE):
    """A number or an array is the one that was noted."""
    same_notes(note(actual), noted_down, what, tolerance)


def same_notes(found, noted_down, what, tolerance=TOLERANCE):
    """What `note` made of it is."""
    if isinstance(noted_down, list):
        assert isinstance(found, list) and found[0] == noted_down[0], (what, found, noted_down)
        size, found, noted_down = max(noted_down[2], 1), found[1:], noted_down[1:]
    else:
        assert isinstance(found, float), (what, found, noted_down)
        size = max(abs(noted_down), 1)
    assert np.allclose(found, noted_down, rtol=0, atol=tolerance * size, equal_nan=True), (what, found, noted_down)


SIGNATURES = GOLDEN / "keras_signatures.json"


def signatures(module):
    """Class or function of Keras's module → {parameter: repr of its default, or None}."""
    return json.loads(SIGNATURES.read_text(encoding="utf-8"))[module]


def never_set(module, name, options):
    """Parameters of Keras's with a default of which no options of a case have another value."""
    given = {(key, repr(value)) for one in options for key, value in one.items()}
    known = signatures(module)[name]
    return {
        key
        for key, default in known.items()
        if default is not None and not any(k == key and value != default for k, value in given)
    }
