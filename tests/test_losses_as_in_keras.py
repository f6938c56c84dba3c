"""Every loss that Keras has gives what its own does, with its gradient, by all options, reductions, forms of weights.

`golden/make_keras_parts.py` noted Keras's numbers down; the cases stand in `loss_cases.py`. A loss or an option of
Keras's without a case makes a test fail.
"""

import numpy as np
import pytest
from loss_cases import CASES, FUNCTIONS, KINDS, REDUCTIONS, SAME_REDUCTIONS, each, results, weights_for
from oracles import every_backend
from part_cases import expected, never_set, same, same_notes, signatures

from minicnn import keras, losses
from minicnn.backends import get as get_backend
from minicnn.keras import tensorflow as tf

EXPECTED = expected("losses")
EACH = {case: arguments for case, *arguments in each()}
WITHOUT_ROWS = "CosineSimilarity", "Dice", "Tversky"  # by some axes, they are no mean of the rows' losses


@pytest.mark.parametrize("case", EACH)
def test_calls_functions_and_tapes_give_what_keras_does(case):
    found = results(keras, tf, *EACH[case])
    assert found.keys() == EXPECTED[case].keys()
    same_notes(found.pop("function"), EXPECTED[case]["function"], "function")
    for key, (value, gradient) in found.items():
        known = EXPECTED[case][key]
        same_notes(value, known[0], f"loss: {key}")
        if gradient is None:  # said clearly
            assert EACH[case][0] in WITHOUT_ROWS
            assert not key.endswith("no weights") or key.startswith("None")
        else:
            same_notes(gradient, known[1], f"gradient: {key}")


@every_backend
@pytest.mark.parametrize("case", EACH)
def test_what_trains_a_model_is_what_keras_computes(case, backend):
    """`compute`, which `fit` calls; without reduction it shows the mean and trains by the sum."""
    (name, options, kind, shape), known = EACH[case], EXPECTED[case]
    backend = get_backend(backend)
    target, prediction = KINDS[kind](shape)
    for reduction in REDUCTIONS:
        loss = getattr(losses, name)(reduction=reduction, **options)
        checked = loss.check_target(target, shape[1:])
        for weights in ("no weights", "of samples"):
            if f"{reduction}, {weights}" not in known:  # Keras has one number for the batch, and no weights
                continue
            weight = None if weights == "no weights" else weights_for(shape[:1])["of samples"]
            value, gradient = computed(backend, loss, prediction, checked, weight)
            same(value, shown(reduction, known, weights), f"{reduction}, {weights}")
            same(gradient, known[f"{reduction}, {weights}"][1], f"gradient: {reduction}, {weights}")


def shown(reduction, known, weights):
    """Keras's loss; without reduction the mean over all decisions, also those that are ignored, whose loss is 0."""
    value = known[f"{reduction}, {weights}"][0]
    return known[f"sum, {weights}"][0] / np.prod(value[0]) if isinstance(value, list) else value


def computed(backend, loss, *given):
    """(loss, gradient) of a batch, on a backend."""
    prediction, target, weight = (None if array is None else backend.asarray(array) for array in given)
    gradient = backend.empty(prediction.shape, np.float64)
    value = loss.compute(prediction, target, weight, gradient, backend.ops)
    return float(backend.to_host(value) if hasattr(value, "shape") else value), backend.to_host(gradient)


@pytest.mark.parametrize("name", CASES)
def test_other_names_of_reductions(name):
    """'mean' and 'none' are names of two that are compared."""
    for other, reduction in SAME_REDUCTIONS.items():
        assert getattr(losses, name)(reduction=other).reduction == reduction


# ------------------------------------------------------------------------------------------------ nothing is forgotten

NO_LOSSES = "Loss", "deserialize", "get", "serialize"
ABSENT = "CTC", "Circle", "circle", "ctc"  # docs/keras.md says why
BEYOND = {"SparseCategoricalCrossentropy": {"axis"}}
"""Options that Keras refuses on TensorFlow; test_losses.py compares them with losses along the last axis."""


def test_every_loss_that_keras_has_is_compared():
    assert {*signatures("losses")} - {*NO_LOSSES, *ABSENT} == {*CASES, *FUNCTIONS}


@pytest.mark.parametrize("name", CASES)
def test_every_option_is_compared(name):
    """Of classes and functions."""
    options = [options for options, _ in CASES[name]]
    others = BEYOND.get(name, set())
    assert never_set("losses", name, options) - others - {"reduction", "name", "dtype"} == set()
    function = next(function for function, cls in FUNCTIONS.items() if cls == name)
    assert never_set("losses", function, options) - others == set()


def _cosine(t, p):
    return -(t @ p) / np.sqrt(t @ t) / np.sqrt(p @ p)


OF_ROWS = {  # losses of one row of targets and outputs, in NumPy
    "CosineSimilarity": _cosine,
    "KLDivergence": lambda t, p: (t * np.log(t / p)).sum(),
    "CategoricalHinge": lambda t, p: max(((1 - t) * p).max() - (t * p).sum() + 1, 0),
    "CategoricalCrossentropy": lambda t, p: -(t * np.log(p / p.sum())).sum(),
}


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None])
@pytest.mark.parametrize("weight", [None, 2.0, np.arange(6.0)])
@pytest.mark.parametrize("name", OF_ROWS)
def test_vectors_are_one_row_on_a_tape_as_well(name, weight, reduction):
    """Keras 3.15.1: a loss of y_true and y_pred (N,) is that of one row, which each weight is multiplied with."""
    rng = np.random.default_rng(3)
    t, p = rng.random((2, 6)) * 0.9 + 0.1
    loss, x = getattr(keras.losses, name)(reduction=reduction), tf.Variable(p.astype(np.float32))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss(t.astype(np.float32), x, sample_weight=weight))
    factor = 1.0 if weight is None else np.mean(weight) if reduction == "sum_over_batch_size" else np.sum(weight)
    assert float(value) == pytest.approx(OF_ROWS[name](t, p) * factor, rel=1e-5)
    assert float(np.sum(loss(t, p, sample_weight=weight))) == pytest.approx(OF_ROWS[name](t, p) * factor, rel=1e-5)
    slopes = [(OF_ROWS[name](t, p + e) - OF_ROWS[name](t, p - e)) / 2e-6 * factor for e in np.eye(6) * 1e-6]
    np.testing.assert_allclose(tape.gradient(value, x), slopes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["CosineSimilarity", "KLDivergence", "CategoricalHinge"])
def test_a_loss_of_rows_refuses_a_model_without_them(name):
    image = keras.Input((6,))
    model = keras.Model(image, keras.layers.Reshape(())(keras.layers.Dense(1, activation="sigmoid")(image)))
    model.compile("sgd", getattr(keras.losses, name)())
    with pytest.raises(ValueError, match=rf"{name} is of rows.*keep it, x\[:, :1\]"):
        model.fit(np.ones((8, 6)), np.ones(8), verbose=0)
