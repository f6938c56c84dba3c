"""Losses against loops in plain Python, gradients against central differences, and every message about targets."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import errors, losses, metrics
from minicnn.backends.reference import ops as reference
from minicnn.registry import modules_of, public_names

EPS = 1e-7

# ------------------------------------------------------------- the formulas, for one row of plain Python floats


def clip(p):
    return min(max(p, EPS), 1 - EPS)


def log_softmax(z):
    top = max(z)
    return [v - top - math.log(sum(math.exp(u - top) for u in z)) for v in z]


def sparse(o, row, t, from_logits):
    if from_logits:
        return -log_softmax(row)[t]
    q = [clip(p) for p in row]
    return -math.log(q[t] / sum(q))


def categorical(o, row, t, from_logits):
    t = [v * (1 - o.label_smoothing) + o.label_smoothing / len(t) for v in t]
    if from_logits:
        return -sum(a * b for a, b in zip(t, log_softmax(row), strict=True))
    return -sum(a * math.log(clip(p / sum(row))) for a, p in zip(t, row, strict=True))


def binary(o, row, t, from_logits):
    t = [v * (1 - o.label_smoothing) + o.label_smoothing / 2 for v in t]
    if from_logits:
        terms = [max(z, 0) - z * a + math.log1p(math.exp(-abs(z))) for z, a in zip(row, t, strict=True)]
    else:
        terms = [-a * math.log(clip(p)) - (1 - a) * math.log(1 - clip(p)) for p, a in zip(row, t, strict=True)]
    return sum(terms) / len(terms)


def squared(o, row, t, from_logits):
    return sum((p - a) ** 2 for p, a in zip(row, t, strict=True)) / len(row)


def absolute(o, row, t, from_logits):
    return sum(abs(p - a) for p, a in zip(row, t, strict=True)) / len(row)


ROWS = {
    losses.SparseCategoricalCrossentropy: sparse,
    losses.CategoricalCrossentropy: categorical,
    losses.BinaryCrossentropy: binary,
    losses.MeanSquaredError: squared,
    losses.MeanAbsoluteError: absolute,
}
CASES = {
    "sparse": losses.SparseCategoricalCrossentropy(),
    "sparse logits": losses.SparseCategoricalCrossentropy(from_logits=True),
    "categorical": losses.CategoricalCrossentropy(),
    "categorical logits": losses.CategoricalCrossentropy(from_logits=True),
    "categorical smoothed": losses.CategoricalCrossentropy(label_smoothing=0.2),
    "categorical logits smoothed": losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
    "binary": losses.BinaryCrossentropy(),
    "binary logits": losses.BinaryCrossentropy(from_logits=True),
    "binary smoothed": losses.BinaryCrossentropy(label_smoothing=0.3),
    "binary logits smoothed": losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.3),
    "squared": losses.MeanSquaredError(),
    "absolute": losses.MeanAbsoluteError(),
}


def expected_loss(loss, prediction, target, weight, from_logits):
    """Mean over the samples of weight · mean over the sample's rows."""
    classes = prediction.shape[-1]
    rows_per_sample = prediction[0].size // classes
    targets = target.reshape(-1) if target.ndim < prediction.ndim else target.reshape(-1, classes)
    total = 0.0
    for i, (row, t) in enumerate(zip(prediction.reshape(-1, classes).tolist(), targets.tolist(), strict=True)):
        w = 1.0 if weight is None else weight[i // rows_per_sample]
        total += w * ROWS[type(loss)](loss, row, t, from_logits) / rows_per_sample
    return total / len(prediction)


def batch(case, shape, seed, weighted):
    """prediction, target, weight for a case, in float64 and away from the kinks."""
    rng = np.random.default_rng(seed)
    loss, classes = CASES[case], shape[-1]
    logits = getattr(loss, "from_logits", True)
    prediction = rng.normal(0, 3, shape) if logits else rng.uniform(0.05, 0.95, shape)
    if case.startswith("sparse"):
        target = rng.integers(0, classes, shape[:-1])
    elif case.startswith("categorical"):
        target = rng.uniform(0, 1, shape)  # not normalised: allowed, and the gradient must know it
    elif case.startswith("binary"):
        target = rng.uniform(0, 1, shape)
    else:
        target = prediction + rng.choice([-1, 1], shape) * rng.uniform(0.1, 2, shape)
    return prediction, target, rng.uniform(0, 2, shape[0]) if weighted else None


def compute(loss, prediction, target, weight=None, with_gradient=True, **options):
    """value, gradient; target checked as a model does."""
    target = loss.check_target(target, prediction.shape[1:])
    gradient = np.full_like(prediction, np.nan) if with_gradient else None
    return loss.compute(prediction, target, weight, gradient, reference, **options), gradient


def numeric_gradient(value, prediction, step=1e-6):
    """Central differences of value(prediction)."""
    gradient = np.empty_like(prediction)
    for index in np.ndindex(prediction.shape):
        moved = [prediction.copy(), prediction.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        gradient[index] = (value(moved[0]) - value(moved[1])) / (2 * step)
    return gradient


# --------------------------------------------------------------------------------------------- values, gradients


@pytest.mark.parametrize("case", CASES)
@given(
    n=st.integers(1, 4),
    extra=st.sampled_from([(), (2,), (2, 3)]),
    classes=st.integers(2, 4),
    weighted=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_value_equals_the_formula(case, n, extra, classes, weighted, seed):
    loss = CASES[case]
    prediction, target, weight = batch(case, (n, *extra, classes), seed, weighted)
    expected = expected_loss(loss, prediction, target, weight, getattr(loss, "from_logits", None))
    value, gradient = compute(loss, prediction, target, weight)
    alone, _ = compute(loss, prediction, target, weight, with_gradient=False)
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert alone == value
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3), (2, 2, 2, 3), (4, 2)])
@pytest.mark.parametrize("case", CASES)
def test_gradient_equals_central_differences(case, shape, weighted):
    print("seed 11")
    loss = CASES[case]
    prediction, target, weight = batch(case, shape, 11, weighted)
    _, gradient = compute(loss, prediction, target, weight)
    numeric = numeric_gradient(lambda p: compute(loss, p, target, weight, with_gradient=False)[0], prediction)
    assert np.abs(gradient - numeric).max() < 1e-8


@pytest.mark.parametrize("case", CASES)
def test_float32_and_untouched_arguments(case):
    loss = CASES[case]
    prediction, target, weight = batch(case, (5, 3), 2, True)
    wide, wide_gradient = compute(loss, prediction, target, weight)
    prediction = prediction.astype("float32")
    copies = prediction.copy(), target.copy(), weight.copy()
    value, gradient = compute(loss, prediction, target, weight)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(wide, rel=1e-5)
    assert np.allclose(gradient, wide_gradient, rtol=1e-4, atol=1e-6)
    for array, copy in zip((prediction, target, weight), copies, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("squared", "absolute")])
def test_from_logits_of_the_call_overrides_the_option(case):
    loss = CASES[case]
    prediction, target, weight = batch(case, (4, 3), 5, True)
    prediction = prediction.clip(0.1, 0.9)
    for from_logits in (False, True):
        expected = expected_loss(loss, prediction, target, weight, from_logits)
        value, gradient = compute(loss, prediction, target, weight, from_logits=from_logits)
        numeric = numeric_gradient(
            lambda p, f=from_logits: compute(loss, p, target, weight, with_gradient=False, from_logits=f)[0], prediction
        )
        assert value == pytest.approx(expected, rel=1e-12)
        assert np.abs(gradient - numeric).max() < 1e-8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [c for c in CASES if "logits" in c])
def test_extreme_logits_stay_finite(case, dtype):
    loss = CASES[case]
    prediction = np.array([[1000, -1000], [-1000, 1000], [1000, 1000]], dtype)
    target = [0, 0, 1] if "sparse" in case else np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with np.errstate(all="raise", under="ignore"):
        value, gradient = compute(loss, prediction, np.asarray(target))
    assert math.isfinite(value)
    assert value > 100
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ["sparse", "categorical", "binary"])
def test_probabilities_of_zero_and_one_stay_finite(case, dtype):
    prediction = np.array([[1, 0], [0, 1]], dtype)
    target = np.array([1, 0]) if case == "sparse" else np.array([[0, 1], [1, 0]])
    value, gradient = compute(CASES[case], prediction, target)
    assert value == pytest.approx(-math.log(EPS), rel=2e-2)
    assert np.isfinite(gradient).all()
    assert (gradient == 0).all()  # clipped everywhere: as in Keras, nothing flows


def test_all_losses_of_one_half_by_hand():
    half = np.full((2, 1), 0.5)
    assert compute(losses.BinaryCrossentropy(), half, np.array([0, 1]))[0] == pytest.approx(math.log(2))
    assert compute(losses.MeanSquaredError(), half, np.array([0, 1]))[0] == pytest.approx(0.25)
    thirds = np.full((2, 3), 1 / 3)
    assert compute(losses.SparseCategoricalCrossentropy(), thirds, np.array([0, 2]))[0] == pytest.approx(math.log(3))


@pytest.mark.parametrize("case", CASES)
def test_a_loss_is_called_on_arrays(case):
    prediction, target, weight = batch(case, (5, 3), 4, True)
    loss = CASES[case]
    expected = expected_loss(
        loss, prediction, target, None, None if case in ("squared", "absolute") else loss.from_logits
    )
    value = loss(target.tolist(), prediction.tolist())
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-12)
    weighted, _ = compute(loss, prediction, target, weight)
    assert loss(target, prediction, weight.tolist()) == pytest.approx(weighted, rel=1e-12)
    assert loss(target, prediction, sample_weight=3) == pytest.approx(3 * expected, rel=1e-12)


def test_a_loss_of_vectors_and_of_float32():
    assert losses.MeanSquaredError()([1, 2], [1, 4]) == 2.0
    assert losses.BinaryCrossentropy()([0, 1], [[0.5], [0.5]]) == pytest.approx(math.log(2))
    narrow = np.array([[0.25, 0.75]], "float32")
    assert losses.SparseCategoricalCrossentropy()([1], narrow) == pytest.approx(-math.log(0.75), rel=1e-12)


@pytest.mark.parametrize(
    ("case", "arguments", "error", "message"),
    [
        ("squared", ([1, 2], [1, 2, 3]), ValueError, r"same number of samples, at least one. Received: 2 and 3"),
        ("squared", ([], []), ValueError, r"same number of samples, at least one. Received: 0 and 0"),
        ("squared", ([1], ["a"]), TypeError, r"y_pred must be real numbers\..*Received: an array of dtype <U1"),
        ("squared", ([1], 1.0), ValueError, r"y_pred need a first axis.*single number 1.0"),
        (
            "squared",
            ([1, 2], [1, 2], [1, 2, 3]),
            ValueError,
            r"each of 2 samples, or .*Received: an array of shape \(3,\)",
        ),
        ("squared", ([1, 2], [1, 2], ["a", "b"]), ValueError, r"each of 2 samples, or .*Received: .*dtype <U1"),
        ("sparse", ([0, 1], [0.5, 0.5]), ValueError, r"one column per class. Received: the shape \(N,\)"),
        ("categorical", ([0, 1], [0.5, 0.5]), ValueError, r"one column per class. Received: the shape \(N,\)"),
    ],
)
def test_calls_that_do_not_fit(case, arguments, error, message):
    with pytest.raises(error, match=message):
        CASES[case](*arguments)


def test_weights_are_not_normalised():
    prediction, target, _ = batch("sparse logits", (4, 3), 1, False)
    loss = CASES["sparse logits"]
    one, _ = compute(loss, prediction, target)
    doubled, _ = compute(loss, prediction, target, np.full(4, 2.0))
    assert doubled == pytest.approx(2 * one, rel=1e-14)


def test_a_gradient_that_cannot_be_reshaped_is_refused():
    prediction, target, _ = batch("sparse logits", (2, 3, 3, 4), 1, False)
    gradient = np.empty((2, 3, 4, 3)).swapaxes(2, 3)
    with pytest.raises(ValueError, match=r"`gradient` must be C-contiguous"):
        CASES["sparse logits"].compute(prediction, target, None, gradient, reference)


# ------------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_class_numbers_of_any_type_and_as_a_column(dtype):
    labels = np.array([2, 0, 1], dtype)
    for given_labels in (labels, labels[:, None], labels.tolist()):
        checked = losses.SparseCategoricalCrossentropy().check_target(given_labels, (3,))
        assert checked.dtype == np.int64
        assert checked.tolist() == [2, 0, 1]


def test_class_numbers_of_images():
    labels = np.arange(12).reshape(3, 2, 2) % 5
    loss = losses.SparseCategoricalCrossentropy()
    assert loss.check_target(labels, (2, 2, 5)).shape == (3, 2, 2)
    assert loss.check_target(labels[..., None], (2, 2, 5)).shape == (3, 2, 2)


def test_targets_that_fit_are_not_copied():
    for loss, target in [
        (losses.SparseCategoricalCrossentropy(), np.array([1, 0])),
        (losses.CategoricalCrossentropy(), np.eye(3, dtype="uint8")),
        (losses.MeanSquaredError(), np.zeros((4, 3), "uint8")),
    ]:
        assert np.shares_memory(loss.check_target(target, (3,)), target)


def test_a_vector_is_accepted_for_one_output():
    for loss in (losses.BinaryCrossentropy(), losses.MeanSquaredError(), losses.MeanAbsoluteError()):
        assert loss.check_target([0, 1, 1], (1,)).shape == (3, 1)


SPARSE, ONE_HOT, BINARY, MSE = (CASES[c] for c in ("sparse", "categorical", "binary", "squared"))


@pytest.mark.parametrize(
    ("loss", "target", "output_shape", "message"),
    [
        (
            SPARSE,
            np.eye(3),
            (3,),
            r"categorical_crossentropy', or convert.*argmax.*Received: a target of shape \(3, 3\)",
        ),
        (
            SPARSE,
            np.zeros((2, 4, 4, 3)),
            (4, 4, 3),
            r"one column per class.*Received: a target of shape \(2, 4, 4, 3\)",
        ),
        (SPARSE, np.zeros((5, 2)), (3,), r"shape \(N,\) for an output of shape \(N, 3\).*shape \(5, 2\)"),
        (
            SPARSE,
            np.zeros((5, 2)),
            (2, 2, 3),
            r"shape \(N, 2, 2\) for an output of shape \(N, 2, 2, 3\).*shape \(5, 2\)",
        ),
        (SPARSE, [0, 3, 1], (3,), r"from 0 to 2, since the output has 3 column\(s\);.* Received: 3 at position 1"),
        (SPARSE, [0, 1, -1], (3,), r"Received: -1 at position 2"),
        (SPARSE, [0, 1], (1,), r"for two classes and one output use binary_crossentropy. Received: 1 at position 1"),
        (SPARSE, [[[0, 1], [2, 7]]], (2, 2, 3), r"Received: 7 at position \(0, 1, 1\)"),
        (SPARSE, [0, 0.5], (3,), r"class numbers must be whole. Received: 0.5 at position 1"),
        (SPARSE, [0, np.nan], (3,), r"class numbers must be whole. Received: nan at position 1"),
        (SPARSE, 1, (3,), r"need a first axis.*Received: the single number 1"),
        (ONE_HOT, [0, 1], (3,), r"sparse_categorical_crossentropy', or convert.*to_categorical\(y, 3\).*shape \(2,\)"),
        (ONE_HOT, [[0], [1]], (3,), r"look like class numbers.*Received: a target of shape \(2, 1\)"),
        (ONE_HOT, np.eye(4), (3,), r"output's shape \(N, 3\); for 4 columns the last layer needs 4 units. Rec"),
        (ONE_HOT, np.zeros((6, 5, 2)), (5, 3), r"shape \(N, 5, 3\); for 2 columns the last layer needs 2 units. Rec"),
        (ONE_HOT, np.eye(4)[np.zeros((6, 5), int)], (5, 9), r"; utils.to_categorical\(y, 9\) makes 9 columns, also"),
        (ONE_HOT, np.zeros((6, 4, 2)), (5, 3), r"output's shape \(N, 5, 3\). Received: a target of shape \(6, 4, 2\)"),
        (ONE_HOT, np.eye(8), (10,), r"; utils.to_categorical\(y, 10\) makes 10 columns, also of labels without the la"),
        (ONE_HOT, [[0, np.inf]], (2,), r"targets must be finite. Received: inf at position \(0, 1\)"),
        (BINARY, [-1, 1], (1,), r"targets from 0 to 1.*\(y \+ 1\) / 2. Received: -1 at position \(0, 0\)"),
        (BINARY, [0.3, 2], (1,), r"targets from 0 to 1.*Received: 2(\.0)? at position \(1, 0\)"),
        (BINARY, [[0, 1]], (1,), r"expected a target of shape \(N, 1\).* Received: a target of shape \(1, 2\)"),
        (MSE, np.zeros((4, 3)), (2,), r"MeanSquaredError .* shape \(N, 2\).* Received: a target of shape \(4, 3\)"),
        (MSE, [np.nan], (1,), r"targets must be finite. Received: nan at position \(0, 0\)"),
        (MSE, np.zeros(4), (2,), r"shape \(N, 2\).* Received: a target of shape \(4,\)"),
        (
            SPARSE,
            [0, 1],
            (28, 3),
            r"is a Flatten missing before the last Dense\?\). Received: a target of shape \(2,\)",
        ),
        (SPARSE, [[0], [1]], (4, 4, 3), r"is a Flatten missing .*Received: a target of shape \(2, 1\)"),
        (SPARSE, np.zeros((2, 5)), (28, 3), r"an output of shape \(N, 28, 3\). Received: a target of shape \(2, 5\)"),
        (ONE_HOT, np.eye(3), (4, 4, 3), r"is a Flatten missing .*Received: a target of shape \(3, 3\)"),
        (BINARY, [0, 1], (4, 4, 1), r"is a Flatten missing .*Received: a target of shape \(2,\)"),
    ],
)
def test_targets_that_do_not_fit(loss, target, output_shape, message):
    with pytest.raises(ValueError, match=message):
        loss.check_target(target, output_shape)


@pytest.mark.parametrize("loss", [SPARSE, ONE_HOT, BINARY, MSE])
@pytest.mark.parametrize("target", [["cat", "dog"], [1j, 2], [None, "cat"]])
def test_targets_that_are_no_numbers(loss, target):
    with pytest.raises(TypeError, match=r"targets must be real numbers\..*Received: an array of dtype"):
        loss.check_target(target, (2,))


# ------------------------------------------------------------------------------------------------ names and errors


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy),
        ("categorical_crossentropy", losses.CategoricalCrossentropy),
        ("BinaryCrossentropy", losses.BinaryCrossentropy),
        ("mse", losses.MeanSquaredError),
        ("mean_squared_error", losses.MeanSquaredError),
        ("MAE", losses.MeanAbsoluteError),
        (losses.BinaryCrossentropy, losses.BinaryCrossentropy),
        (losses.categorical_crossentropy, losses.CategoricalCrossentropy),
        (losses.sparse_categorical_crossentropy, losses.SparseCategoricalCrossentropy),
        (losses.binary_crossentropy, losses.BinaryCrossentropy),
        (losses.mean_squared_error, losses.MeanSquaredError),
        (losses.mse, losses.MeanSquaredError),
        (losses.mae, losses.MeanAbsoluteError),
    ],
)
def test_names(name, expected):
    assert type(losses.get(name)) is expected


def test_keras_arguments_that_change_nothing():
    losses.MeanSquaredError(reduction="sum_over_batch_size", name="mine", dtype=None)
    losses.SparseCategoricalCrossentropy(True, ignore_class=None, axis=-1, reduction="auto")
    config = {"name": None, "reduction": "sum_over_batch_size", "from_logits": True, "label_smoothing": 0.1, "axis": -1}
    assert repr(losses.CategoricalCrossentropy.from_config(config)) == repr(
        losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    )


@pytest.mark.parametrize("case", CASES)
def test_config_round_trip(case):
    again = losses.get({"class_name": type(CASES[case]).__name__, "config": CASES[case].get_config()})
    assert repr(again) == repr(CASES[case])


def test_who_takes_logits():
    for case, loss in CASES.items():
        of_own_layers = "sigmoidoperation" if isinstance(loss, losses.BinaryCrossentropy) else "softmaxoperation"
        taken = ("softmax", "sigmoid", of_own_layers)
        assert loss.takes_logits_of == (() if case in ("squared", "absolute") else taken)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: losses.get("crossentropy"),
            ValueError,
            r"Did you mean 'BinaryCrossentropy'.*Received: 'crossentropy'",
        ),
        (
            lambda: losses.get(3),
            TypeError,
            r"a loss is given as.*Received: 3",
        ),
        (
            lambda: losses.BinaryCrossentropy(label_smoothing=1),
            ValueError,
            r"`label_smoothing` must .*label_smoothing=1",
        ),
        (
            lambda: losses.CategoricalCrossentropy(label_smoothing=-1),
            ValueError,
            r"`label_smoothing` must .*smoothing=-1",
        ),
        (
            lambda: losses.MeanSquaredError(reduction="Sum"),
            ValueError,
            r"`reduction` is one of 'sum_over_batch_size'.*Received: reduction='Sum'",
        ),
        (
            lambda: losses.CategoricalCrossentropy(label_smooth=0.1),
            TypeError,
            r"argument of CategoricalCrossentropy. Did you mean 'label_smoothing'\?.*Received: 'label_smooth'",
        ),
        (
            lambda: losses.BinaryCrossentropy(np.zeros(2), np.zeros(2)),
            TypeError,
            r"the loss of arrays is BinaryCrossentropy\(\)\(y_true, y_pred\). Received: an object of type ndarray",
        ),
        (
            lambda: losses.categorical_crosentropy,
            AttributeError,
            r"Unknown name in minicnn.losses. Did you mean 'CategoricalCrossentropy'.*'categorical_crosentropy'",
        ),
        (lambda: losses.__wrapped__, AttributeError, r"module 'minicnn.losses' has no attribute '__wrapped__'"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_loss_in_a_file_of_its_own_is_found(tmp_path, monkeypatch):
    lines = ["from minicnn.losses.base import *", "__all__ = ['Toy']", "@register", "class Toy(Loss):", "    pass"]
    (tmp_path / "toy.py").write_text("\n".join(lines))
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    monkeypatch.setattr(losses.registry, "_classes", dict(losses.registry._classes))
    monkeypatch.setattr(losses.registry, "_names", list(losses.registry._names))
    try:
        names = public_names("minicnn.losses")
        assert set(names) == {*losses.__all__, "Toy"} - {"Loss", "get", "register"}
        assert type(losses.get("toy")) is names["Toy"]
    finally:
        sys.modules.pop("minicnn.losses.toy", None)


def test_type_checkers_see_every_file():
    for package in (losses, metrics):
        folder = Path(package.__file__).parent
        text = "".join((folder / name).read_text(encoding="utf-8") for name in ("__init__.py", "further.py"))
        listed = set(re.findall(rf"from {package.__name__}\.(\w+) import \*", text))
        assert listed == {m.__name__.rpartition(".")[2] for m in modules_of(package.__name__) if hasattr(m, "__all__")}


def test_targets_of_unequal_lengths_are_refused():
    with pytest.raises(errors.DataError, match="targets must be an array or nested lists of equal lengths"):
        losses.MeanSquaredError()([[1], [1, 2]], np.zeros((2, 1)))
