"""The metrics outside the core: Keras 3.15.1's numbers, and counts made by loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import losses, metrics
from minicnn.models.written_metrics import metrics_from

T = np.array([[0, 1, 1], [1, 0, 0]])
HOT = np.array([[0, 1, 0], [1, 0, 0]])
P = np.array([[0.2, 0.7, 0.4], [0.6, 0.3, 0.1]])
YT, YP = np.array([0, 1, 1, 0, 1, 0]), np.array([0.1, 0.9, 0.4, 0.45, 0.6, 0.7])
W = np.array([1, 2, 0.5, 1, 1, 3])
# Metric, Keras's value for YT and YP, and with weights W (TensorFlow backend, float32).
KERAS = [
    (metrics.Precision(), 2 / 3, 0.5),
    (metrics.Recall(0.5), 2 / 3, 0.85714287),
    (metrics.AUC(), 0.66666663, 0.71428573),
    (metrics.AUC(curve="PR"), 0.71608257, None),
    (metrics.AUC(7, "pr", "majoring"), None, 0.78571427),
    (metrics.TruePositives(), 2, 3),
    (metrics.FalseNegatives(), 1, 0.5),
    (metrics.SensitivityAtSpecificity(0.6), 2 / 3, 0.5714286),
    (metrics.SpecificityAtSensitivity(0.6), 2 / 3, 0.4),
    (metrics.PrecisionAtRecall(0.6), 2 / 3, 0.5),
    (metrics.RecallAtPrecision(0.6), 1, 0.5714286),
    (metrics.BinaryIoU(), 0.5, (2 / 5.5 + 3 / 6.5) / 2),  # by hand: Keras's counts are whole numbers
    (metrics.RootMeanSquaredError(), 0.45322916, 0.49019805),
    (metrics.R2Score(), 0.17833334, 0.00792861),
]


@pytest.mark.parametrize(("metric", "value", "weighted"), KERAS, ids=[repr(k[0])[:40] for k in KERAS])
def test_the_numbers_of_keras(metric, value, weighted):
    for weight, expected in ((None, value), (W, weighted), (W[:, None], weighted)):
        if expected is not None:
            for part in (slice(0, 2), slice(2, 6)):  # in two batches
                metric.update_state(YT[part], YP[part], None if weight is None else weight[part])
            assert metric.result() == pytest.approx(expected, rel=1e-5)
            metric.reset_state()
    again = type(metric).from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    assert again(YT, YP) == pytest.approx(metric(YT, YP), abs=0)


def test_scores_of_classes():
    """Keras 3.15.1's numbers for the same arrays."""
    assert metrics.MeanIoU(3)([0, 1, 2, 2, 1, 0], [0, 2, 2, 1, 1, 0], [1, 2, 1, 3, 1, 1]) == pytest.approx(0.44444442)
    assert metrics.OneHotMeanIoU(3)(HOT, P) == pytest.approx(0.9999999)
    assert metrics.F1Score("weighted")(HOT, P) == pytest.approx(0.9999998)
    assert metrics.CosineSimilarity()(T, P) == pytest.approx(0.910517, abs=1e-6)
    np.testing.assert_allclose(
        metrics.F1Score()([[1, 0], [0, 1], [1, 0]], [[1, 0], [1, 0], [1, 0]]), [0.8, 0], atol=1e-6
    )


GT, GP = np.array([0, 1, 1, 0, 1, 0, 0, 1]), np.array([0.1, 0.9, 0.35, 0.4, 0.55, 0.6, 0.2, 0.3])


@pytest.mark.parametrize(
    ("arguments", "value", "weighted"),
    [
        ({}, 0.25, 0.50234377),
        ({"summation_method": "minoring"}, 0.11111112, 0.43252584),
        ({"summation_method": "majoring"}, 0.3888889, 0.57216167),
        ({"num_thresholds": 4}, 0.49999994, 0.64545453),
        ({"thresholds": [0.25, 0.5]}, 0.5, 0.675),
    ],
    ids=repr,
)
def test_the_area_under_the_curve_of_gains(arguments, value, weighted):
    """Keras 3.15.1's numbers, the second after another batch with weights."""
    metric = metrics.AUC(curve="prgain", **arguments)
    assert metric(GT, GP) == pytest.approx(value, rel=1e-6)
    metric.update_state(GT[:3], GP[:3], [1, 2, 0.5])
    assert metric.result() == pytest.approx(weighted, rel=1e-6)


def test_the_crossentropy_of_pixels_is_the_mean_of_all():
    """Class numbers (N, H, W) beside outputs (N, H, W, C), where no two sizes are equal."""
    p = np.arange(1.0, 121).reshape(2, 4, 5, 3)
    p /= p.sum(axis=-1, keepdims=True)
    labels = np.arange(40).reshape(2, 4, 5) % 3
    expected = -np.mean([np.log(row[label]) for row, label in zip(p.reshape(-1, 3), labels.ravel(), strict=True)])
    assert metrics.SparseCategoricalCrossentropy()(labels, p) == pytest.approx(expected)
    assert metrics.SparseCategoricalCrossentropy()(labels[..., None], p) == pytest.approx(expected)


def test_an_area_at_given_thresholds_is_made_again_of_its_config():
    metric = metrics.AUC(thresholds=[0.5, 0.25])
    again = metrics.AUC.from_config(metric.get_config())
    assert again.thresholds[1:-1] == metric.get_config()["thresholds"] == [0.25, 0.5]
    assert again(GT, GP) == metric(GT, GP) != metrics.AUC()(GT, GP)


@pytest.mark.parametrize("options", [{"multi_label": True}, {"label_weights": [1, 2]}], ids=repr)
def test_labels_of_their_own_are_columns(options):
    with pytest.raises(ValueError, match=r"takes outputs \(N, labels\) .* Received: an array of shape \(8,\)"):
        metrics.AUC(**options)(GT, GP)


@pytest.mark.parametrize(
    ("low", "high", "warns"), [(0.0, 1.0, False), (-1e-9, 1.0, False), (-0.5, 1, True), (0, 2, True)]
)
def test_an_area_counts_outputs_outside_0_and_1_as_these(recwarn, low, high, warns):
    moved = low + (high - low) * GP
    expected = metrics.AUC()(GT, np.minimum(np.maximum(moved, 0), 1))
    recwarn.clear()
    assert metrics.AUC()(GT, moved) == expected
    assert [str(w.message)[:39] for w in recwarn] == ["metric 'auc' takes probabilities from 0"] * warns


def test_too_many_variables_leave_the_explained_part_as_it_is(recwarn):
    """Keras 3.15.1's numbers; it falls back where nothing, or less, is left to divide by."""
    expected = {(6, 1): 0.5807051, (6, 2): 0.4409401, (3, 1): 0.91155517, (3, 2): 0.9557776, (3, 3): 0.9557776}
    for (samples, variables), value in expected.items():
        numbers = np.arange(float(samples))
        recwarn.clear()
        assert metrics.R2Score(num_regressors=variables)(numbers, numbers**1.2) == pytest.approx(value, rel=1e-6)
        assert len(recwarn) == (variables >= samples - 1)


def test_counts_of_classes_are_there_to_be_read():
    metric = metrics.MeanIoU(3)
    metric.update_state([0, 1, 2, 2], [0, 2, 2, 1])
    np.testing.assert_array_equal(metric.total_cm, [[1, 0, 0], [0, 0, 1], [0, 1, 1]])


@given(
    count=st.integers(1, 20),
    limits=st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]), min_size=1, max_size=4, unique=True),
    seed=st.integers(0, 2**31),
    layout=st.sampled_from(["as is", "reversed", "column", "uint8"]),
)
def test_counts_by_loops(count, limits, seed, layout):
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 0.1, 0.2, 0.5, 0.7, 0.8, 1.0], count)  # some lie on the thresholds
    target, weight = rng.integers(0, 2, count), rng.integers(0, 4, count).astype(float)
    given_ = [scores, target, weight]
    if layout == "reversed":
        given_ = [np.ascontiguousarray(a[::-1])[::-1] for a in given_]
    if layout == "column":
        given_ = [np.stack([a, a + 9], 1)[:, :1] for a in given_]
    if layout == "uint8":
        given_[1] = target.astype("uint8")
    found = {
        cls: cls(limits)(given_[1], given_[0], given_[2])
        for cls in (metrics.TruePositives, metrics.FalsePositives, metrics.TrueNegatives, metrics.FalseNegatives)
    }
    for i, limit in enumerate(limits):
        counts = dict.fromkeys(found, 0.0)
        for s, t, w in zip(scores, target, weight, strict=True):
            rows = (metrics.TrueNegatives, metrics.FalsePositives), (metrics.FalseNegatives, metrics.TruePositives)
            counts[rows[t][int(s > limit)]] += w
        for cls, expected in counts.items():
            assert np.atleast_1d(found[cls])[i] == pytest.approx(expected), cls


@pytest.mark.parametrize("ignored", [None, 0])
def test_counts_of_classes_leave_out_numbers_that_are_none(ignored, rng):
    """Intersection over union by a loop over pixels; a 3 as the prediction is no class 0 of the next row."""
    target, predicted = rng.integers(-1, 5, (2, 60))
    counts = np.zeros((3, 3))
    for t, p in zip(target, predicted, strict=True):
        if 0 <= t < 3 and 0 <= p < 3 and t != ignored:
            counts[t, p] += 1
    metric = metrics.MeanIoU(3, ignore_class=ignored)
    unions = [counts[i].sum() + counts[:, i].sum() - counts[i, i] for i in range(3)]
    shares = [counts[i, i] / union for i, union in enumerate(unions) if union]  # a class that is nowhere has none
    assert metric(target, predicted) == pytest.approx(np.mean(shares), rel=1e-6)
    np.testing.assert_array_equal(metric.total_cm, counts)


def test_scores_of_nothing_are_0():
    """As Keras's, before the first batch, and where no target is of a class."""
    nothing = np.zeros((2, 3))
    for average in ("micro", "macro", "weighted", None):
        score = metrics.F1Score(average, threshold=0.5)
        for _ in range(2):
            np.testing.assert_array_equal(score(nothing, nothing), np.zeros(3) if average is None else 0.0)


def test_scores_that_forget_know_how_many_classes_there_are():
    """Keras 3.15.1 after ``reset_state()``: R2Score nan, or one for each output; F1Score(None) three zeros."""
    made = [metrics.R2Score(way) for way in ("uniform_average", "variance_weighted_average", None)]
    made += [metrics.F1Score(), metrics.F1Score("macro")]
    for metric, shape in zip(made, [(), (), (3,), (3,), ()], strict=True):
        metric.update_state(np.eye(3), np.eye(3)[[0, 2, 1]])
        metric.reset_state()
        nothing = np.asarray(metric.result())
        assert nothing.shape == shape
        np.testing.assert_array_equal(nothing, np.nan if isinstance(metric, metrics.R2Score) else 0.0)
        metric.update_state(np.eye(2)[[0, 1, 1]], np.eye(2)[[0, 1, 1]])  # as many as the next batch has
        np.testing.assert_allclose(metric.result(), np.ones(shape and (2,)), rtol=1e-6)


def test_top_k_and_class_id():
    target = np.array([[0, 1, 1], [1, 0, 0]])
    prediction = np.array([[0.9, 0.8, 0.1], [0.3, 0.4, 0.2]])
    assert metrics.Precision(top_k=2)(target, prediction) == 0.5  # (0, 1) and (1, 0): one hit each
    assert metrics.Recall(top_k=2)(target, prediction) == pytest.approx(2 / 3)
    assert metrics.Recall(class_id=0, thresholds=0.2)(target, prediction) == 1
    assert metrics.Precision(class_id=0, thresholds=0.2)(target, prediction) == 0.5
    assert metrics.Precision(top_k=2).get_config()["thresholds"] is None


def test_the_largest_of_each_row_of_many(rng):
    """Of outputs (N, T, C), those along the last axis: T and C differ, and T rows of a sample are rows like others."""
    prediction, target = rng.random((4, 5, 3)), rng.integers(0, 2, (4, 5, 3))
    chosen = np.argsort(np.argsort(prediction, axis=-1), axis=-1) >= 1  # the two largest of three
    hits = (chosen & (target == 1)).sum()
    assert metrics.Precision(top_k=2)(target, prediction) == pytest.approx(hits / chosen.sum())
    assert metrics.Recall(top_k=2)(target, prediction) == pytest.approx(hits / target.sum())
    of_class = metrics.Recall(class_id=1, top_k=2)(target, prediction)
    assert of_class == pytest.approx((chosen & (target == 1))[..., 1].sum() / target[..., 1].sum())


def test_what_is_the_threshold_is_of_class_1():
    """Keras 3.15.1, BinaryIoU: ``y_pred >= threshold``."""
    assert metrics.BinaryIoU([1], threshold=0.5)([1, 1, 0, 0], [0.5, 0.75, 0.5, 0.25]) == pytest.approx(2 / 3)
    for wrong in ([0, 2], [-1, 1]):
        with pytest.raises(ValueError, match="target_class_ids"):
            metrics.IoU(2, wrong)


def test_labels_that_are_no_class_are_not_among_the_largest():
    """Those that a loss ignores, as 255 and -1, count as wrong; each row's largest two scores are of 2 and 0."""
    scores = np.array([[[0.4, 0.1, 0.5]] * 3] * 2)  # (2, 3, 3)
    found = metrics.SparseTopKCategoricalAccuracy(2).of_arrays(np.array([[0, 255, -1], [3, 1, 2]]), scores)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1]])


def test_areas_of_several_labels():
    """Every label's own curve, averaged; the same as each on its own."""
    rng = np.random.default_rng(2)
    target, prediction = rng.integers(0, 2, (20, 2)), rng.uniform(size=(20, 2))
    single = [metrics.AUC()(target[:, i], prediction[:, i]) for i in range(2)]
    assert metrics.AUC(multi_label=True)(target, prediction) == pytest.approx(np.mean(single))
    weighted = metrics.AUC(multi_label=True, label_weights=[1, 3])(target, prediction)
    assert weighted == pytest.approx((single[0] + 3 * single[1]) / 4)
    logits = np.log(prediction / (1 - prediction))
    assert metrics.AUC(multi_label=True, from_logits=True)(target, logits) == pytest.approx(np.mean(single))


OF_LOSSES = {
    metrics.BinaryCrossentropy: losses.BinaryCrossentropy,
    metrics.CategoricalHinge: losses.CategoricalHinge,
    metrics.Hinge: losses.Hinge,
    metrics.KLDivergence: losses.KLDivergence,
    metrics.LogCoshError: losses.LogCosh,
    metrics.MeanAbsolutePercentageError: losses.MeanAbsolutePercentageError,
    metrics.MeanSquaredLogarithmicError: losses.MeanSquaredLogarithmicError,
    metrics.Poisson: losses.Poisson,
    metrics.SquaredHinge: losses.SquaredHinge,
}


@pytest.mark.parametrize("cls", OF_LOSSES)
def test_losses_as_metrics(cls):
    """A metric is no loss, and says what the loss says."""
    metric = cls(name="mine")
    assert not isinstance(metric, losses.Loss)
    assert metric(T, P) == pytest.approx(OF_LOSSES[cls]()(T, P))
    metric.reset_state()
    assert metric(T, P, [2, 3]) == pytest.approx(OF_LOSSES[cls](reduction="mean_with_sample_weight")(T, P, [2, 3]))
    assert cls.from_config(metric.get_config()).name == "mine"


def test_a_loss_as_a_metric_keeps_its_options():
    """Of logits, smoothed, by the formula; what a file's config makes of it is the same."""
    target, z = np.array([[1.0, 0], [0, 1]]), np.array([[2.0, -1], [3, 0.5]])
    smooth = target * 0.8 + 0.1
    metric = metrics.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    for made in (metric, type(metric).from_config(metric.get_config())):
        assert made(target, z) == pytest.approx((np.logaddexp(0, z) - z * smooth).mean(), rel=1e-6)


def test_a_single_threshold_is_one_half():
    """As in Keras, where ``num_thresholds=1`` is given; of the default there are 200 at equal distances."""
    assert metrics.SensitivityAtSpecificity(0.5, num_thresholds=1).thresholds == [0.5]
    for make in (metrics.SensitivityAtSpecificity, metrics.SpecificityAtSensitivity):
        np.testing.assert_allclose(make(0.5).thresholds, np.arange(200) / 199, rtol=1e-12)


def test_weights_of_classes_that_do_not_count():
    """Keras 3.15.1's own test of ignore_class with weights: 1.33774646."""
    p = np.array([[0.8, 0.1, 0.1], [0.05, 0.95, 0], [0.1, 0.8, 0.1]])
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=0)
    assert metric([0, 1, 2], p, [0.5, 1.5, 2.0]) == pytest.approx(1.33774646, abs=1e-6)


def test_means_and_sums():
    assert metrics.Mean()([1, 3, 5, 7], [1, 1, 0, 0]) == 2  # Keras's docstring
    assert metrics.Sum()([[1, 3], [5, 7]], [[1, 1], [1, 0]]) == 9
    mean = metrics.Mean()
    mean.update_state(5.0)
    mean.update_state([1.0, 3.0])
    assert mean.result() == 3
    assert metrics.Accuracy()([[1], [2], [3], [4]], [[0], [2], [3], [4]]) == 0.75


def distance(y_true, y_pred):
    return np.abs(y_true - y_pred).max(axis=-1)


def test_a_function_is_a_metric(tmp_path):
    """It is evaluated batch by batch; a file leaves it out and says so."""
    x, y = np.random.default_rng(1).normal(size=(2, 7, 3)).astype("float32")
    model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[distance, metrics.R2Score(), "mae"], backend="numpy")
    values = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert values["distance"] == pytest.approx(distance(y, model.predict(x)).mean(), rel=1e-6)
    target = y - y.mean(axis=0)
    r2 = 1 - ((y - model.predict(x)) ** 2).sum(axis=0) / (target**2).sum(axis=0)
    assert values["r2_score"] == pytest.approx(r2.mean(), rel=1e-5)
    for suffix in ("safetensors", "keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
        with pytest.warns(UserWarning, match=r"metric 'distance' .* custom_objects={'distance': distance}"):
            again = mc.models.load_model(tmp_path / f"m.{suffix}")
        assert list(again.evaluate(x, y, verbose=0, return_dict=True)) == ["loss", "r2_score", "mae"]
        again = mc.models.load_model(tmp_path / f"m.{suffix}", custom_objects={"distance": distance})
        assert again.evaluate(x, y, batch_size=3, verbose=0, return_dict=True) == pytest.approx(values, rel=1e-6)


@pytest.mark.parametrize("config", [None, [], {}, {"fn": 3}, {"fn": ["distance"]}])
def test_a_function_that_a_damaged_file_does_not_name_is_refused_as_metrics_are(config):
    with pytest.raises((TypeError, ValueError), match=r"MeanMetricWrapper\(\) needs fn|`fn` is a function of"):
        list(metrics_from([{"class_name": "MeanMetricWrapper", "config": config}]))


def recall(y_true, y_pred):
    return np.zeros(len(y_pred))


@pytest.mark.parametrize("metric", [recall, lambda t, p: 0.0, metrics.MeanMetricWrapper(distance, name="far")])
def test_a_function_whose_name_says_not_what_it_is_is_left_out_of_files(metric, tmp_path):
    """The library's Recall is another metric, which must not stand in the place of a `recall` that nobody gives."""
    model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[metric, "mae"], backend="numpy")
    with pytest.warns(UserWarning, match="is a function, which no file can hold: it is left out"):
        model.save(tmp_path / "m.keras")  # which says it of those that have no name of their own
        again = mc.models.load_model(tmp_path / "m.keras")
    assert list(again.evaluate(np.ones((2, 3)), np.ones((2, 3)), verbose=0, return_dict=True)) == ["loss", "mae"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.Precision([0.5, 1.5]), r"lie from 0 to 1. Received: \[1.5\]"),
        (lambda: metrics.F1Score()([0, 1], P), r"columns by utils.to_categorical. Received: \(2,\) and \(2, 3\)"),
        (
            lambda: metrics.FBetaScore(threshold=1.5),
            r"`threshold` lies above 0 and not above 1. Received: threshold=1.5",
        ),
        (lambda: metrics.AUC(1), r"`num_thresholds` is a whole number from 2 on. Received: 1"),
        (lambda: metrics.AUC(curve="RO"), r"`curve` must be one of 'ROC', 'PR', 'PRGAIN'. Received"),
        (lambda: metrics.IoU(2, [2]), r"`target_class_ids` lie in 0 … 1. Received: \[2\]"),
        (lambda: metrics.MeanIoU(3)([0, 1], P), r"a class for each of the targets. Received"),
        (lambda: metrics.Precision(class_id=0)(YT, YP), r"`class_id` is for outputs \(N, C\). Received"),
        (lambda: metrics.Recall()(T, P[:, :2]), r"targets of the output's shape \(2, 2\). Received: \(2, 3\)"),
        (lambda: metrics.R2Score()(T, P[:1]), r"of one shape \(N, outputs\). Received"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.gpu
def test_on_a_device_as_on_the_host():
    """Means of the library add up there; others, and functions, get host arrays."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(10, 3)).astype("float32"), rng.integers(0, 2, (10, 3)).astype("float32")
    logs = []
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(3)
        model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3, activation="sigmoid")])
        wanted = ["bce", "hinge", "cosine_similarity", "rmse", metrics.AUC(), metrics.Precision(), distance]
        model.compile(mc.optimizers.Adam(0.1), "bce", metrics=wanted, backend=backend)
        logs.append(model.fit(x, y, batch_size=4, epochs=2, verbose=0).history)
    assert logs[0].keys() == logs[1].keys()
    for name, values in logs[0].items():
        np.testing.assert_allclose(values, logs[1][name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("where", ["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_targets_of_a_hinge_are_signs_for_the_loss_alone(loss, where):
    """Metrics have 0 and 1, as they were given; and what a batch holds says whether its 0s are −1."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.integers(0, 2, (8, 3)).astype("float32")
    y[5, 1] = -1  # so that the second batch has signs, and its 0s stay
    model = mc.Sequential([mc.layers.Input((3,)), mc.layers.Dense(3, activation="sigmoid")])
    model.compile(mc.optimizers.SGD(0.0), loss, metrics=["mae", "hinge", metrics.Recall(0.6)], backend=where)
    p = model.predict(x, verbose=0)
    rooms = np.maximum(1 - np.concatenate([2 * y[:4] - 1, y[4:]]) * p, 0)
    expected = {"loss": (rooms if loss == "hinge" else rooms**2).mean(), "mae": np.abs(y - p).mean()}
    expected |= {"hinge": rooms.mean(), "recall": (p > 0.6)[y != 0].mean()}
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    for found in (model.evaluate(x, y, batch_size=4, return_dict=True), {k: v[0] for k, v in history.items()}):
        assert found == pytest.approx(expected, rel=1e-5)


def test_values_of_classes_are_arrays_in_the_history(tmp_path):
    """What Keras keeps for F1Score(), whose default is no average: here, by the formula, of the model's own outputs."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 4)).astype("float32"), np.eye(3)[rng.integers(3, size=12)]
    model = mc.models.Sequential([mc.layers.Input((4,)), mc.layers.Dense(3, activation="softmax")])
    thresholds = [0.2, 0.4]
    model.compile("sgd", "categorical_crossentropy", metrics=[metrics.F1Score(), metrics.Precision(thresholds)])
    log = mc.callbacks.CSVLogger(tmp_path / "log.csv")
    history = model.fit(x, y, epochs=1, validation_data=(x, y), callbacks=[log], verbose=2).history
    p = model.predict(x)
    chosen = np.eye(3)[p.argmax(1)]
    f1 = 2 * (chosen * y).sum(0) / np.maximum(chosen.sum(0) + y.sum(0), 1e-9)
    precision = [y[p > t].mean() for t in thresholds]
    assert np.allclose(history["val_f1_score"], [f1], atol=1e-6)
    assert np.allclose(history["val_precision"], [precision], atol=1e-6)
    _, *values = model.evaluate(x, y)
    assert np.allclose(values[0], f1, atol=1e-6) and np.allclose(values[1], precision, atol=1e-6)
    assert f'"{history["val_precision"][0].tolist()}"' in (tmp_path / "log.csv").read_text()
    model.save(tmp_path / "model.keras")
    assert np.allclose(mc.load_model(tmp_path / "model.keras").history.history["val_f1_score"], [f1], atol=1e-6)
    with pytest.raises(ValueError, match="compares numbers, and 'f1_score' has one for each class"):
        model.fit(x, y, callbacks=[mc.callbacks.EarlyStopping("f1_score")], verbose=0)


def test_outputs_at_a_threshold_are_not_above_it():
    """The numbers are those of Keras 3.15, which compares in float32."""
    target = np.array([[0], [1], [1], [0], [1], [0], [0], [1]], np.float32)
    output = np.array([[0], [0.5], [0.5], [0.5], [1], [1], [0.2], [0.8]], np.float32)
    for name, expected in {
        "Precision": [2 / 3, 2 / 3, 0.5],
        "Recall": [1, 0.5, 0.25],
        "TruePositives": [4, 2, 1],
        "FalsePositives": [2, 1, 1],
        "TrueNegatives": [2, 3, 3],
        "FalseNegatives": [0, 2, 3],
    }.items():
        metric = getattr(metrics, name)(thresholds=[0.2, 0.5, 0.8])
        metric.update_state(target, output)
        assert metric.result().dtype == np.float32
        np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
    rows = np.array([[0.3, 0.7], [0.7, 0.3], [0.3, 0.7]], np.float32)
    score = metrics.F1Score(threshold=0.3)
    score.update_state(np.eye(2)[[1, 0, 0]], rows)
    assert score.result().dtype == np.float32
    np.testing.assert_allclose(score.result(), [2 / 3, 2 / 3], rtol=1e-6)


def test_nan_is_above_no_threshold():
    """As in Keras 3.15, whose numbers these are."""
    target = np.array([[0], [1], [1], [0], [1], [0], [0], [1]], np.float32)
    output = np.array([[0], [np.nan], [0.5], [0.5], [1], [1], [0.2], [0.8]], np.float32)
    for metric, expected in (
        (metrics.Precision(), 2 / 3),
        (metrics.Recall(), 0.5),
        (metrics.TruePositives(thresholds=1.0), 0),
        (metrics.FalseNegatives(thresholds=0.0), 1),
        (metrics.AUC(), 0.5625),
        (metrics.AUC(curve="PR"), 0.43056032),
        (metrics.SensitivityAtSpecificity(0.5), 0.75),
    ):
        metric.update_state(target, output)
        assert metric.result() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_row_that_is_not_finite_is_not_among_the_largest(label):
    rows = np.array([[np.nan, 0.2, 0.3], [0.5, 0.2, np.nan], [np.inf, 0, 0], [0.1, 0.2, -np.inf]], np.float32)
    metric = metrics.SparseTopKCategoricalAccuracy(k=2)
    metric.update_state(np.full(4, label), rows)
    assert metric.result() == 0
    metric.update_state(np.full(1, label), np.full((1, 3), 0.5, np.float32))  # equal numbers all are
    assert metric.result() == 0.2
