"""The losses outside the core: Keras 3.15.1's numbers, formulas written again in plain Python, numeric gradients."""

import functools
import math

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras, losses, metrics
from minicnn.backends.reference import ops as reference
from minicnn.keras import tensorflow as tf
from minicnn.last_function import Last

T = np.array([[0, 1, 1], [1, 0, 0]])
HOT = np.array([[0, 1, 0], [1, 0, 0]])
P = np.array([[0.2, 0.7, 0.4], [0.6, 0.3, 0.1]])
# Loss, targets, Keras's value, and its value with sample_weight [[2.], [.5]] (TensorFlow backend, float32).
KERAS = [
    (losses.Huber(0.3), T, 0.05416667, 0.07708333),
    (losses.LogCosh(), T, 0.06027167, 0.08872187),
    (losses.MeanAbsolutePercentageError(), T + 0.5, 61.1111107, 77.2222214),
    (losses.MeanSquaredLogarithmicError(), T, 0.05243042, 0.07293285),
    (losses.Poisson(), T, 0.68063176, 0.98355716),
    (losses.CosineSimilarity(), T, -0.91051698, -1.15754521),
    (losses.Hinge(), T, 0.81666666, 0.93333334),
    (losses.SquaredHinge(), T, 0.82500005, 0.88500005),
    (losses.CategoricalHinge(), HOT, 0.70000005, 0.87500006),
    (losses.KLDivergence(), T, 0.89189351, 1.40066993),
    (losses.BinaryFocalCrossentropy(True, gamma=1.5, label_smoothing=0.1), T, 0.04230101, 0.05988050),
    (losses.CategoricalFocalCrossentropy(0.4, 1.5), HOT, 0.06466635, 0.09056377),
    (losses.CategoricalGeneralizedCrossEntropy(0.7), np.array([1, 0]), 0.37255418, None),
    (losses.Dice(), T, 0.35849059, None),
    (losses.Tversky(0.3, 0.8), T, 0.33852142, None),
]
NAMES = [type(case[0]).__name__ for case in KERAS]


@pytest.mark.parametrize(("loss", "target", "value", "weighted"), KERAS, ids=NAMES)
def test_the_numbers_of_keras(loss, target, value, weighted):
    assert loss(target, P) == pytest.approx(value, rel=3e-6)
    if weighted is not None:
        assert loss(target, P, [[2.0], [0.5]]) == pytest.approx(weighted, rel=3e-6)
        assert loss(target, P, [2.0, 0.5]) == pytest.approx(weighted, rel=3e-6)


def cross_entropy(t, p):
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


ROWS = {
    losses.Huber: lambda o, t, p: np.mean(
        [d * d / 2 if abs(d) <= o.delta else o.delta * abs(d) - o.delta**2 / 2 for d in p - t]
    ),
    losses.LogCosh: lambda o, t, p: np.mean([math.log(math.cosh(d)) for d in p - t]),
    losses.MeanAbsolutePercentageError: lambda o, t, p: np.mean(
        [100 * abs((a - b) / a) for a, b in zip(t, p, strict=True)]
    ),
    losses.MeanSquaredLogarithmicError: lambda o, t, p: np.mean(
        [(math.log(b + 1) - math.log(max(a, 1e-7) + 1)) ** 2 for a, b in zip(t, p, strict=True)]
    ),
    losses.Poisson: lambda o, t, p: np.mean([b - a * math.log(b + 1e-7) for a, b in zip(t, p, strict=True)]),
    losses.CosineSimilarity: lambda o, t, p: -np.dot(t, p) / math.hypot(*t) / math.hypot(*p),
    losses.Hinge: lambda o, t, p: np.mean([max(1 - (2 * a - 1) * b, 0) for a, b in zip(t, p, strict=True)]),
    losses.SquaredHinge: lambda o, t, p: np.mean([max(1 - (2 * a - 1) * b, 0) ** 2 for a, b in zip(t, p, strict=True)]),
    losses.CategoricalHinge: lambda o, t, p: max(1 + max((1 - t) * p) - sum(t * p), 0),
    losses.KLDivergence: lambda o, t, p: sum(
        max(a, 1e-7) * math.log(max(a, 1e-7) / b) for a, b in zip(t, p, strict=True)
    ),
    losses.BinaryFocalCrossentropy: lambda o, t, p: np.mean(
        [
            (a * o.alpha + (1 - a) * (1 - o.alpha)) * (1 - a * b - (1 - a) * (1 - b)) ** o.gamma * cross_entropy(a, b)
            for a, b in zip(t * (1 - o.label_smoothing) + o.label_smoothing / 2, p, strict=True)
        ]
    ),
    losses.CategoricalFocalCrossentropy: lambda o, t, p: sum(
        -o.alpha * (1 - b) ** o.gamma * a * math.log(b) for a, b in zip(t, p / p.sum(), strict=True)
    ),
    losses.CategoricalGeneralizedCrossEntropy: lambda o, t, p: (1 - p[t] ** o.q) / o.q,
}


@pytest.mark.parametrize(("loss", "target"), [case[:2] for case in KERAS[:-2]], ids=NAMES[:-2])
def test_rows_and_reductions_by_the_formula(loss, target):
    """float64: each row's loss, its mean, its sum; weights multiply the rows."""
    rows = [ROWS[type(loss)](loss, t, p) for t, p in zip(target, P, strict=True)]
    config = loss.get_config()
    make = lambda reduction: type(loss).from_config({**config, "reduction": reduction})  # noqa: E731
    np.testing.assert_allclose(make(None)(target, P), rows, rtol=1e-12)
    np.testing.assert_allclose(make("none")(target, P, [2, 3]), np.multiply(rows, [2, 3]), rtol=1e-12)
    assert make("sum")(target, P) == pytest.approx(sum(rows), rel=1e-12)
    assert make("mean")(target, P) == pytest.approx(sum(rows) / 2, rel=1e-12)
    assert make("mean_with_sample_weight")(target, P, [1, 3]) == pytest.approx((rows[0] + 3 * rows[1]) / 4, rel=1e-12)
    assert repr(type(loss).from_config(config)) == repr(loss)


class _OwnBatch(losses.Loss):
    def call(self, y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)


@pytest.mark.parametrize("cls", [losses.Dice, losses.Tversky, _OwnBatch])
@pytest.mark.parametrize("weight", [[3.0, 0.5], [[3.0], [0.5]], [0.0, 0.0]], ids=["each", "column", "none"])
def test_a_whole_batchs_one_loss_counts_for_each_weight(cls, weight):
    """As in Keras, which multiplies and then reduces."""
    each = cls(reduction=None)(T, P)
    assert np.ndim(each) == 0
    expected = {"sum_over_batch_size": each * np.mean(weight), "sum": each * np.sum(weight)}
    expected |= {"mean_with_sample_weight": each * (np.sum(weight) > 0), None: each * np.array(weight)}
    for reduction, value in expected.items():
        found = cls(reduction=reduction)(T, P, weight)
        np.testing.assert_allclose(found, value, rtol=1e-12)
        assert np.shape(found) == np.shape(value)
        assert cls(reduction=reduction)(T, P, 2) == 2 * each  # nothing to reduce


@pytest.mark.parametrize(
    ("targets", "value"),
    [([0.0, 0, 0], 1.5), ([1.0, 1, 1], 0.5), ([0.0, 1, 0], 3.5 / 3), ([-1.0, 1, 1], 2.5 / 3), ([-1.0, 0, 1], 1)],
    ids=str,
)
def test_hinges_take_0_for_minus_1_only_where_there_is_nothing_else(targets, value):
    """max(1 − t / 2, 0); as in Keras, 0 beside −1 stays 0."""
    assert losses.Hinge()([targets], [[0.5, 0.5, 0.5]]) == pytest.approx(value)
    assert metrics.Hinge()([targets], [[0.5, 0.5, 0.5]]) == pytest.approx(value)


def batch(loss, seed=3):
    """Predictions (2, 2, 3) away from kinks, targets, and weights."""
    print("seed", seed)
    rng = np.random.default_rng(seed)
    prediction = rng.uniform(0.15, 0.85, (2, 2, 3))
    if loss.from_logits:
        prediction = rng.normal(size=(2, 2, 3))
    target = rng.integers(0, 2, (2, 2, 3)) + (0.5 if "Percentage" in type(loss).__name__ else 0)
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        target = rng.integers(0, 3, (2, 2))
    return prediction, loss.check_target(target, (2, 3)), np.array([0.5, 2.0])


OPTIONS = [
    losses.BinaryFocalCrossentropy(from_logits=True),
    losses.CategoricalFocalCrossentropy([0.2, 0.3, 0.5], from_logits=True, label_smoothing=0.1),
    losses.Dice(axis=(1, 2)),
    losses.Tversky(axis=(1,), reduction="sum"),
    losses.Huber(reduction="mean_with_sample_weight"),
    losses.SparseCategoricalCrossentropy(ignore_class=1),
    losses.SparseCategoricalCrossentropy(True, ignore_class=1, reduction="sum"),
    losses.CategoricalCrossentropy(reduction="sum"),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [case[0] for case in KERAS] + OPTIONS, ids=repr)
def test_gradients_are_differences(loss, weighted):
    prediction, target, weight = batch(loss)
    weight = weight if weighted else None
    gradient = np.full_like(prediction, np.nan)
    value = loss.compute(prediction, target, weight, gradient, reference)
    assert value == pytest.approx(loss.compute(prediction, target, weight, None, reference), rel=1e-14)
    step, expected = 1e-6, np.empty_like(prediction)
    for index in np.ndindex(prediction.shape):
        ends = []
        for sign in (1, -1):
            moved = prediction.copy()
            moved[index] += sign * step
            ends.append(loss.compute(moved, target, weight, None, reference))
        expected[index] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


def test_focal_loss_behind_a_softmax():
    """Keras on TensorFlow: q of the softmax, the cross-entropy of the sigmoid of the values before it."""
    loss = losses.BinaryFocalCrossentropy(True, alpha=0.3, gamma=1.5, label_smoothing=0.1)
    rng = np.random.default_rng(2)
    z, target = rng.normal(size=(4, 3)), rng.integers(0, 2, (4, 3)).astype(float)

    def naive(z):
        t = target * 0.9 + 0.05
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        q, s = t * p + (1 - t) * (1 - p), 1 / (1 + np.exp(-z))
        balance = t * 0.3 + (1 - t) * 0.7
        return (balance * (1 - q) ** 1.5 * -(t * np.log(s) + (1 - t) * np.log(1 - s))).mean()

    gradient = np.empty_like(z)
    value = loss.compute(z, target, None, gradient, reference, from_logits=Last("softmax"))
    assert value == pytest.approx(naive(z), rel=1e-12)
    for index in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[index] = 1e-6
        assert gradient[index] == pytest.approx((naive(z + step) - naive(z - step)) / 2e-6, rel=1e-5, abs=1e-9)
    model = mc.Sequential([mc.Input((3,)), mc.layers.Activation("softmax")])
    model.compile("sgd", loss)
    assert model.evaluate(z.astype("f4"), target, verbose=0) == pytest.approx(naive(z), rel=1e-5)
    assert losses.BinaryFocalCrossentropy(from_logits=True).takes_logits_of == ()


class _OwnSquares(losses.Loss):
    def call(self, y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2, axis=-1)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (losses.MeanSquaredError, [[1.0, 0, 0]] * 2),
        (losses.CategoricalCrossentropy, [[1.0, 0, 0]] * 2),
        (losses.SparseCategoricalCrossentropy, [2, 1]),
        (lambda reduction: losses.SparseCategoricalCrossentropy(reduction=reduction, ignore_class=2), [2, 1]),
        (_OwnSquares, [[1.0, 0, 0]] * 2),
    ],
    ids=["mse", "classes", "sparse", "ignoring", "own"],
)
def test_without_any_weight_the_weighted_mean_is_0_and_nothing_is_trained(loss, target):
    """0 / 0 is 0, as in Keras: a batch of padding does not stop a training."""
    loss = loss(reduction="mean_with_sample_weight")
    model = mc.Sequential([mc.Input((2,)), mc.layers.Dense(3, "softmax")])
    model.compile("sgd", loss)
    before = model.get_weights()
    x, target = np.ones((2, 2), np.float32), np.array(target)
    assert model.train_on_batch(x, target, sample_weight=np.zeros(2)) == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert loss(target, np.full((2, 3), 1 / 3), np.zeros(2)) == 0
    assert model.train_on_batch(x, target, sample_weight=np.ones(2)) > 0


@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0])], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "loss",
    [
        *(losses.Huber(0.3), losses.CategoricalCrossentropy(), losses.Dice(), losses.Dice(axis=(1, 2))),
        *(losses.SparseCategoricalCrossentropy(ignore_class=1), losses.BinaryCrossentropy()),
    ],
    ids=repr,
)
def test_without_a_reduction_the_sum_is_trained_and_the_mean_shown(loss, weight):
    """As in Keras, which differentiates what a model's loss is, an array; "sum" is of the decisions that count."""
    prediction, target, _ = batch(loss)
    made, found = {}, {}
    for reduction in ("sum", None):
        loss.reduction, gradient = reduction, np.empty_like(prediction)
        found[reduction] = loss.compute(prediction, target, weight, gradient, reference)
        made[reduction] = gradient
    np.testing.assert_array_equal(made[None], made["sum"])
    per_batch = isinstance(loss, losses.Dice) and loss.axis is None
    each = loss.values(prediction, target)
    weights = np.ones(2) if weight is None else weight
    if per_batch:  # its one loss counts for each weight
        assert found["sum"] == pytest.approx(float(each) * (1 if weight is None else weights.sum()))
        assert found[None] == pytest.approx(float(each) * weights.mean())
        return
    weighted = each.reshape(2, -1) * weights[:, None]
    assert found["sum"] == pytest.approx(weighted.sum())
    assert found[None] == pytest.approx(weighted.mean())


def test_without_a_reduction_a_users_loss_trains_alike():
    class Squares(losses.Loss):
        def call(self, y_true, y_pred):
            return ((y_true - y_pred) ** 2).mean(axis=-1)

    x, y = np.random.default_rng(1).normal(size=(2, 6, 3)).astype("float32")
    weights = []
    for loss in (Squares(reduction=None), losses.MeanSquaredError(reduction=None), losses.MeanSquaredError("sum")):
        model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3, kernel_initializer="ones")])
        model.compile(mc.optimizers.SGD(0.1), loss, backend="numpy")
        shown = model.train_on_batch(x, y)
        assert shown == pytest.approx(model_loss(x, y) * (6 if loss.reduction == "sum" else 1), rel=1e-5)
        weights.append(model.get_weights()[0])
    np.testing.assert_allclose(weights[0], weights[2], rtol=1e-5)
    np.testing.assert_allclose(weights[1], weights[2], rtol=1e-5)


def model_loss(x, y):
    return float(((x @ np.ones((3, 3)) - y) ** 2).mean())


def test_a_model_trains_by_what_the_loss_of_its_predictions_says():
    """`fit`'s loss is the direct one's, for every reduction."""
    x, y = np.random.default_rng(1).normal(size=(2, 6, 3)).astype("float32")
    for reduction in ("sum_over_batch_size", "sum"):
        model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3)])
        loss = losses.Huber(0.5, reduction=reduction)
        model.compile(mc.optimizers.SGD(0.0), loss, backend="numpy")
        assert model.evaluate(x, y, verbose=0) == pytest.approx(loss(y, model.predict(x)), rel=1e-6)


def test_classes_that_do_not_count():
    """Keras 3.15.1: SparseCategoricalCrossentropy(ignore_class=-1)([-1, 1, 0], p) is the mean of the other two."""
    p = np.array([[0.3, 0.7], [0.4, 0.6], [0.9, 0.1]])
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert loss([-1, 1, 0], p) == pytest.approx(-(math.log(0.6) + math.log(0.9)) / 2)
    assert loss([-1, -1, -1], p) == 0
    with pytest.raises(ValueError, match=r"from 0 to 1.*Received: -2"):
        loss([-2, 1, 0], p)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_nan_in_a_row_that_does_not_count(backend):
    """Keras 3.15.1 has the mean of the others, and 0 for such a row without a reduction."""
    z, y = np.array([[0.1, 0.2, 0.4], [math.nan, 0.1, 0.5], [0.3, 0.1, 0.2]], np.float32), np.array([0, 255, 1])
    rows = [math.log(sum(math.exp(v) for v in row)) - row[k] for row, k in ((z[0].tolist(), 0), (z[2].tolist(), 1))]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    assert loss(y, z) == pytest.approx(sum(rows) / 2, rel=1e-6)
    single = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255, reduction=None)
    np.testing.assert_allclose(single(y, z), [rows[0], 0, rows[1]], rtol=1e-6)
    model = mc.Sequential([mc.Input((3,)), mc.layers.ReLU()])
    model.compile("sgd", loss, backend=backend)
    assert model.evaluate(z, y, verbose=0) == pytest.approx(sum(rows) / 2, rel=1e-5)
    model = mc.Sequential([mc.Input((3,)), mc.layers.Dense(3)])
    model.compile("sgd", loss, backend=backend)
    before = model.get_weights()
    with pytest.raises(mc.errors.NonFiniteError, match="input data holds NaN"):  # in Keras its weights are NaN then
        model.fit(z, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_probability_of_one_for_the_wrong_class():
    """Keras 3.15.1: BinaryCrossentropy()([0.], [1.]) is 15.942385: its arrays are float32, and so is 1 - 1e-7."""
    assert losses.BinaryCrossentropy()([0.0], [1.0]) == pytest.approx(15.942385, abs=1e-5)
    assert losses.BinaryCrossentropy()([1.0], [0.0]) == pytest.approx(16.118096, abs=1e-5)  # −log(1e-7)


def test_names_in_lower_case_are_functions_of_arrays():
    per_sample = losses.mean_squared_error(T, P)
    np.testing.assert_allclose(per_sample, ((T - P) ** 2).mean(axis=1))
    assert losses.mse([1.0, 2.0], [2.0, 4.0]) == 2.5
    assert losses.huber(T, P, delta=0.3).shape == (2,)
    assert type(losses.get(losses.mean_squared_error)) is losses.MeanSquaredError
    np.testing.assert_allclose(mc.metrics.binary_accuracy(T, P), [[1, 1, 0], [1, 1, 1]])
    assert losses.mean_squared_error is losses.mean_squared_error  # as in Keras: a key of dicts, and compared


def test_a_loss_that_says_how_to_compute_and_nothing_of_its_gradient():
    """Keras's habit, a subclass with `call`, is a loss of arrays, and is differentiated where it trains."""

    class Mine(losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred).max(axis=-1)

    assert Mine()(T, P) == pytest.approx((0.6 + 0.4) / 2)
    assert Mine(reduction="sum")(T, P, [1, 2]) == pytest.approx(0.6 + 0.8)
    model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3)])
    model.compile("sgd", Mine(), backend="numpy")
    assert np.isfinite(model.fit(P, T, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 1, 1)], ids=str)
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
def test_a_users_loss_of_sequences_meets_its_targets_one_by_one_and_its_weights(shape, reduction, rng):
    """Targets with a last axis of 1 more or less than (4, 5, 1) are these, as in Keras; by the formulas, in float64."""
    x, target, weight = rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 5)), np.array([0.5, 2.0, 0.0, 1.5])
    model = mc.Sequential([mc.Input((5, 2)), mc.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(mc.optimizers.SGD(0.1), _OwnSquares(reduction=reduction))
    shown = model.train_on_batch(x, target.reshape(shape), sample_weight=weight)
    divisor = {"sum": 1, "sum_over_batch_size": 20, "mean_with_sample_weight": weight.sum()}[reduction]
    error = x.sum(axis=2) - target  # (4, 5)
    assert shown == pytest.approx((weight[:, None] * error**2).sum() / divisor, rel=1e-5)
    gradient = 2 * np.einsum("n,nt,ntk->k", weight, error, x) / divisor
    np.testing.assert_allclose(model.get_weights()[0][:, 0], 1 - 0.1 * gradient, rtol=1e-4, atol=1e-5)


def test_dice_of_keras_documentation():
    """Keras 3.15.1's docstring of dice: [0.5, 0.75757575] with axis=(1, 2, 3), and 0.6164384 over all."""
    t = np.array([[[[1.0], [1.0]], [[0.0], [0.0]]], [[[1.0], [1.0]], [[0.0], [0.0]]]])
    p = np.array([[[[0.0], [1.0]], [[0.0], [1.0]]], [[[0.4], [0.0]], [[0.0], [0.9]]]])
    np.testing.assert_allclose(losses.Dice((1, 2, 3), reduction=None)(t, p), [0.5, 0.75757575], atol=1e-6)
    assert losses.Dice()(t, p) == pytest.approx(0.6164384, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.CosineSimilarity(axis=True), r"`axis` is a whole number. Received"),
        (lambda: losses.CategoricalFocalCrossentropy([1, 2])(HOT, P), r"each of 3 classes. Received: \[1.0, 2.0\]"),
        (lambda: losses.MeanSquaredError()(T, P, np.ones((2, 2))), r"for each value of shape \(2,\). Received"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(1.0), r"`q` must"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.gpu
def test_on_the_device_as_on_the_host():
    from minicnn.backends import get

    backend = get("cupy")
    for loss in [case[0] for case in KERAS] + OPTIONS:
        prediction, target, weight = batch(loss)
        gradient = np.empty_like(prediction)
        value = loss.compute(prediction, target, weight, gradient, reference)
        arrays = [backend.asarray(a) for a in (prediction, target, weight, np.empty_like(prediction))]
        on_device = loss.compute(arrays[0], arrays[1], arrays[2], arrays[3], backend.ops)
        assert float(backend.to_host(on_device)) == pytest.approx(value, rel=1e-9), loss
        np.testing.assert_allclose(backend.to_host(arrays[3]), gradient, rtol=1e-9, atol=1e-12, err_msg=repr(loss))


# --------------------------------------------------------------------------------- along another axis than the last

ALONG = {
    "categorical": losses.CategoricalCrossentropy,
    "focal": losses.CategoricalFocalCrossentropy,
    "sparse": losses.SparseCategoricalCrossentropy,
    "sparse, one ignored": functools.partial(losses.SparseCategoricalCrossentropy, ignore_class=1),
    "cosine": losses.CosineSimilarity,
    "binary": losses.BinaryCrossentropy,
}


def of_channels(name, shape, seed):
    """Targets and predictions (N, …, C) of a loss."""
    rng = np.random.default_rng(seed)
    p, t = (rng.dirichlet(np.ones(shape[-1]), shape[:-1]) for _ in range(2))
    return (rng.integers(0, shape[-1], shape[:-1]) if "sparse" in name else t), p


def first(x, name=""):
    """The channels behind the samples; class numbers have none."""
    return x if "sparse" in name else np.moveaxis(x, -1, 1)


@pytest.mark.parametrize("weights", ["none", "of samples", "of places"])
@pytest.mark.parametrize("shape", [(4, 3, 3), (2, 4, 3, 3), (2, 3, 2, 4)])  # a square hides a wrong axis
@pytest.mark.parametrize("name", ALONG)
def test_losses_along_the_first_axis_are_those_of_turned_arrays(name, shape, weights):
    """Of arrays, and what trains a model."""
    target, p = of_channels(name, shape, 1)
    rng = np.random.default_rng(2)
    weight = {"none": None, "of samples": rng.random(shape[0]), "of places": rng.random(shape[:-1])}[weights]
    last, along = ALONG[name](), ALONG[name](axis=1)
    spread = weight if weights != "of samples" else weight.reshape(-1, *[1] * (len(shape) - 2))
    assert along(first(target, name), first(p), spread) == pytest.approx(last(target, p, spread), rel=1e-12)
    checked = along.check_target(first(target, name), first(p).shape[1:])
    gradient, known = np.empty_like(first(p), order="C"), np.empty_like(p)
    value = along.compute(np.ascontiguousarray(first(p)), checked, weight, gradient, reference)
    given = p, last.check_target(target, shape[1:]), weight, known
    if weights == "of places":  # as an engine hands them over to a loss along the last axis
        given = tuple(x.reshape(weight.size, *x.shape[weight.ndim :]) for x in given)
    assert value == pytest.approx(last.compute(*given, reference), rel=1e-12)
    np.testing.assert_allclose(gradient, first(known), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ALONG)
def test_a_model_with_channels_first_trains_as_one_with_channels_last(name):
    target, _ = of_channels(name, (6, 3, 3, 3), 1)
    x = np.random.default_rng(3).random((6, 3, 3, 3)).astype("float32")

    def trained(axis, x, target):
        inputs = mc.Input((3, 3, 3))
        order = "channels_first" if axis == 1 else "channels_last"
        conv = mc.layers.Conv2D(3, 2, padding="same", data_format=order, kernel_initializer="he_normal")(inputs)
        model = mc.Model(inputs, mc.layers.Softmax(axis=axis)(conv))
        conv.node.layer.set_weights([np.linspace(-1, 1, 36).reshape(2, 2, 3, 3), np.zeros(3)])
        model.compile(mc.optimizers.SGD(0.5), loss=ALONG[name](axis=axis))
        model.fit(x, target, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights(), model.evaluate(x, target, verbose=0)

    (weights, loss), (known, of_last) = trained(1, first(x), first(target, name)), trained(-1, x, target)
    assert loss == pytest.approx(of_last, rel=1e-5)
    for made, expected in zip(weights, known, strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-6)


def test_the_axis_is_in_configs_and_never_that_of_samples():
    loss = losses.CategoricalCrossentropy(axis=1, label_smoothing=0.1)
    assert losses.get({"class_name": "CategoricalCrossentropy", "config": loss.get_config()}).axis == 1
    assert "axis" not in losses.CategoricalCrossentropy().get_config()
    with pytest.raises(ValueError, match="samples stay apart"):
        losses.CosineSimilarity(axis=0).check_target(np.ones((2, 3)), (3,))
    with pytest.raises(ValueError, match="whole number"):
        losses.SparseCategoricalCrossentropy(axis=1.5)


@pytest.mark.parametrize("name", ALONG)
def test_gradients_on_tapes_along_the_first_axis(name):
    """Of squares, where a wrong axis has the right shape; behind a softmax, of logits that no probability can say."""
    target, _ = of_channels(name, (2, 3, 3), 4)
    z = np.random.default_rng(5).normal(size=(2, 3, 3)) * 3

    def gradient(axis, z, target):
        z = tf.constant(z)
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = getattr(keras.losses, type(ALONG[name]()).__name__)(
                **{"ignore_class": 1} if "ignored" in name else {}, axis=axis
            )(target, tf.nn.softmax(z, axis=axis))
        return float(value), tape.gradient(value, z)

    (value, made), (expected, known) = gradient(1, first(z), first(target, name)), gradient(-1, z, target)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(made, first(known), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("axis", "places"), [(1, (3, 2, 4)), (-3, (3, 2, 4)), (2, (3, 4, 4)), (-1, (3, 4, 2)), (3, (3, 4, 2))]
)
def test_weights_of_places_beside_another_axis(axis, places):
    """One for each place that has a loss: the mean of −log p by them; weights of other places are refused."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 2, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis, keepdims=True)
    target = (p == p.max(axis, keepdims=True)).astype("float32")
    weight = rng.random(places)
    expected = np.mean(weight * -np.log((p * target).sum(axis)))
    entry = mc.Input((4, 2, 4))
    model = mc.Model(entry, mc.layers.Softmax(axis=axis)(entry))
    model.compile("sgd", mc.losses.CategoricalCrossentropy(axis=axis))
    for size in (2, 3):
        found = model.evaluate(logits, target, sample_weight=weight, batch_size=size, verbose=0)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="sample_weight of the output"):
        model.evaluate(
            logits, target, sample_weight=np.ones((3, 4, 4) if places != (3, 4, 4) else (3, 4, 2)), verbose=0
        )
