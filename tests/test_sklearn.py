"""The estimators: what scikit-learn's own checks say, and what its tools do with them."""

import pickle
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers, random
from minicnn.sklearn.shapes import shape_of_rows, warn_of_channels

sklearn = pytest.importorskip("sklearn", reason="the estimators need scikit-learn")

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import check_estimator

from minicnn.sklearn import CNNClassifier, CNNRegressor

# With the default of 10 epochs. With 20 it passes: see below.
IN_BATCHES = "a sample of weight 2 is in one batch, and one that is there twice in two: other updates of the weights"
BATCHES = {"check_sample_weight_equivalence_on_dense_data": IN_BATCHES}
FEW_UPDATES = BATCHES | {
    "check_class_weight_classifiers": "trains on 50 samples, which are 20 updates in 10 epochs: too few for weights of "
    "1000 to 0.0001 to take over"
}
NEEDS_A_SETTING = {"check_array_api_input"}  # the environment variable SCIPY_ARRAY_API; checks no input of ours without


def shapes(count, seed=0):
    """(images (N, 10, 12), classes): bars that stand, or lie."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    rows, columns = np.mgrid[:10, :12]
    pictures = np.where(y[:, None, None] == 1, (rows // 2) % 2, (columns // 2) % 2)  # (N, 10, 12)
    return pictures + rng.normal(0, 0.2, pictures.shape), np.array(["lying", "standing"])[1 - y]


def own_network(image_shape, units, filters=4, compiled=False):
    """A network as a user writes one."""
    model = mc.Sequential(
        [
            mc.Input(image_shape),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(units, activation=None if units == 1 else "softmax"),
        ]
    )
    if compiled:
        model.compile(mc.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# ------------------------------------------------------------------------------------------ scikit-learn's own checks


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [(CNNClassifier(), FEW_UPDATES), (CNNClassifier(epochs=20), BATCHES), (CNNRegressor(), BATCHES)],
    ids=["classifier", "classifier, 20 epochs", "regressor"],
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, expected):
    results = check_estimator(estimator, expected_failed_checks=expected, on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    skipped = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "skipped"}
    assert {name for name, reason in skipped.items() if "pandas is not installed" not in reason} <= NEEDS_A_SETTING
    assert sum(r["status"] == "passed" for r in results) > 40


# --------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("count", "given", "expected"),
    [
        (64, None, (8, 8, 1)),
        (63, None, (1, 63, 1)),
        (1, None, (1, 1, 1)),
        (63, (7, 9), (7, 9, 1)),
        (48, [4, 4, 3], (4, 4, 3)),
    ],
)
def test_rows_become_images(count, given, expected):
    assert shape_of_rows(count, given) == expected


@pytest.mark.parametrize("given", [(7, 8), (0, 64), 64, (8, 8, 1, 1), (8.0, 8), "8x8"])
def test_an_image_shape_that_does_not_fit_is_refused(given):
    with pytest.raises(ValueError, match="image_shape"):
        CNNClassifier(image_shape=given).fit(np.zeros((4, 64)), [0, 1, 0, 1])


def test_images_and_their_rows_are_the_same():
    x, y = shapes(60)
    by_images = CNNClassifier(epochs=2, random_state=0).fit(x, y)
    by_rows = CNNClassifier(epochs=2, random_state=0, image_shape=(10, 12)).fit(x.reshape(60, -1), y)
    with_channels = CNNClassifier(epochs=2, random_state=0).fit(x[..., None], y)
    expected = by_images.predict_proba(x)
    assert by_images.image_shape_ == (10, 12, 1)
    np.testing.assert_array_equal(by_rows.predict_proba(x.reshape(60, -1)), expected)
    np.testing.assert_array_equal(with_channels.predict_proba(x.reshape(60, -1)), expected)
    with pytest.raises(ValueError, match="was fitted on images"):
        by_images.predict(x.transpose(0, 2, 1))
    with pytest.raises(ValueError, match="features"):
        by_images.predict(x[:, :9])


@pytest.mark.parametrize("form", [lambda x: x, lambda x: x[..., None], lambda x: x.reshape(len(x), 120)])
def test_no_images_at_all(form):
    x, y = shapes(20)
    fitted = CNNClassifier(epochs=1, random_state=0).fit(form(x), y)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\).*a minimum of 1 is required"):
        fitted.predict(form(x)[:0])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        CNNClassifier(epochs=1).fit(form(x)[:0], y[:0])


def as_objects(images):
    """An array of objects, each an image: a column of a table."""
    column = np.empty(len(images), object)
    column[:] = list(images)
    return column


@pytest.mark.parametrize("form", [list, tuple, as_objects])
def test_lists_of_images_are_images(form):
    x, y = shapes(20)
    expected = CNNClassifier(epochs=1, random_state=0).fit(x, y).predict_proba(x)
    np.testing.assert_array_equal(
        CNNClassifier(epochs=1, random_state=0).fit(form(x), y).predict_proba(form(x)), expected
    )


@pytest.mark.parametrize(
    ("images", "received"),
    [
        ([np.zeros((3, 3)), np.zeros((2, 3))], r"entry 0 of shape \(3, 3\) and entry 1 of shape \(2, 3\)"),
        ([np.zeros((3, 3, 1)), np.zeros((3, 3, 3))], r"entry 0 of shape \(3, 3, 1\) and entry 1 of shape \(3, 3, 3\)"),
        ([[[1, 2], [3]], [[1, 2], [3, 4]]], "<class 'list'>"),
    ],
)
@pytest.mark.parametrize("estimator", [CNNClassifier(), CNNRegressor()])
def test_images_of_different_sizes_are_named(images, received, estimator):
    with pytest.raises(
        ValueError, match=f"X must be an array or nested lists of equal lengths: .*Received: {received}"
    ):
        estimator.fit(images, [0, 1])


def test_one_class_is_named_as_it_was_given():
    with pytest.raises(ValueError, match=r"at least 2 classes. Received: 1 class, \['cat'\]"):
        CNNClassifier().fit(np.zeros((4, 8, 8)), ["cat"] * 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float32, np.int64, bool])
@pytest.mark.parametrize("shape", [(8, 8), (8, 30, 3), (33, 17, 1)])
def test_simple_takes_images_of_any_size_and_dtype(rng, shape, dtype):
    x = rng.integers(0, 256, (12, *shape)).astype(dtype)
    x.setflags(write=False)
    estimator = CNNClassifier(epochs=1).fit(x, np.arange(12) % 3)
    assert estimator.predict_proba(x).shape == (12, 3)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_probabilities_sum_to_one_as_metrics_want_them(activation):
    """scikit-learn's log_loss warns from 1.5e-8 on, its roc_auc_score refuses what does not sum to 1."""
    x, y = shapes(60)
    y = np.where(np.arange(60) % 5 == 0, "neither", y)

    def network(image_shape, units):
        return mc.Sequential([mc.Input(image_shape), layers.Flatten(), layers.Dense(units, activation=activation)])

    estimator = CNNClassifier(network, epochs=2, random_state=0).fit(x, y)
    probabilities = estimator.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    outputs = estimator.model_.predict(x[..., None].astype(np.float32)).astype(np.float64)
    outputs = np.exp(outputs) if activation is None else outputs
    np.testing.assert_allclose(probabilities, outputs / outputs.sum(axis=1, keepdims=True), rtol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_loss(y, probabilities)
        roc_auc_score(y, probabilities, multi_class="ovr")


def test_sigmoids_that_are_all_zero_leave_every_class_as_likely():
    def network(image_shape, units):
        bias = mc.initializers.Constant(-1000)
        return mc.Sequential(
            [mc.Input(image_shape), layers.Flatten(), layers.Dense(units, "sigmoid", bias_initializer=bias)]
        )

    x, y = shapes(20)
    estimator = CNNClassifier(network, epochs=1, random_state=0, optimizer=mc.optimizers.SGD(1e-9)).fit(x, y)
    np.testing.assert_array_equal(estimator.predict_proba(x), np.full((20, 2), 0.5))


def test_the_data_stay_as_they_are():
    x, y = shapes(30)
    before = x.copy(), y.copy()
    CNNClassifier(epochs=1, early_stopping=True).fit(x, y).predict(x)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


# --------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("model", ["simple", "lenet5", own_network, partial(own_network, compiled=True)])
def test_it_learns(model):
    x, y = shapes(200)
    wide = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    estimator = CNNClassifier(model, random_state=0).fit(wide[:150], y[:150])
    assert estimator.classes_.tolist() == ["lying", "standing"]
    assert estimator.score(wide[150:], y[150:]) > 0.95
    assert estimator.predict_proba(wide).sum(axis=1) == pytest.approx(1)
    assert len(estimator.history_["loss"]) == estimator.n_iter_ == 10
    assert estimator.model_.class_names == ["lying", "standing"]


def test_a_learning_rate_counts_for_compiled_models_too():
    x, y = shapes(20)
    for rate, expected in ((None, 0.01), (0.5, 0.5)):
        estimator = CNNClassifier(partial(own_network, compiled=True), epochs=1, learning_rate=rate).fit(x, y)
        assert estimator.model_.optimizer.learning_rate == pytest.approx(expected)


def test_a_function_that_returns_a_trained_model_again_is_refused():
    x, y = shapes(20)
    made = own_network((10, 12, 1), 2)
    estimator = CNNClassifier(lambda shape, units: made, epochs=1).fit(x, y)
    with pytest.raises(ValueError, match="a new model in each call"):
        clone(estimator).fit(x, y)


def test_verbose_is_that_of_fit(capsys):
    x, y = shapes(20)
    for verbose in ("auto", 2):
        CNNClassifier(epochs=1, verbose=verbose).fit(x, y)
        assert "Epoch 1/1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="verbose"):
        CNNClassifier(epochs=1, verbose="loud").fit(x, y)


def test_numbers_of_any_scale_are_learned():
    x, y = shapes(150)
    assert CNNClassifier(random_state=0).fit(1e4 + 1e3 * x, y).score(1e4 + 1e3 * x, y) > 0.95


@pytest.mark.parametrize("targets", [None, 1, 2])
def test_the_regressor_learns_numbers_of_any_scale(targets):
    x, _ = shapes(300)
    brightness = x[:, 2:6, 3:9].mean(axis=(1, 2))  # (N,)
    y = 5000 + 300 * brightness if targets is None else np.stack([brightness, 7 - 1e6 * brightness][:targets], axis=1)
    estimator = CNNRegressor(epochs=30, random_state=0).fit(x[:250], y[:250])
    found = estimator.predict(x[250:])
    assert found.shape == y[250:].shape
    assert r2_score(y[250:], found) > 0.5
    assert estimator.score(x[250:], y[250:]) == pytest.approx(r2_score(y[250:], found))


def test_a_random_state_decides_everything_and_the_global_one_stays():
    x, y = shapes(60)
    before = dict(random._state)
    first, second, other = (CNNClassifier(own_network, epochs=2, random_state=s).fit(x, y) for s in (3, 3, 4))
    assert random._state == before
    np.testing.assert_array_equal(first.predict_proba(x), second.predict_proba(x))
    assert not np.array_equal(first.predict_proba(x), other.predict_proba(x))


def test_class_weights_go_by_labels():
    x, _ = shapes(90)
    noise = np.random.default_rng(0).normal(size=x.shape)
    y = np.array(["a", "b", "c"])[np.arange(90) % 3]
    estimator = CNNClassifier(epochs=10, class_weight={"a": 0.01, "b": 30.0}, random_state=0).fit(noise, y)
    assert np.mean(estimator.predict(noise) == "b") > 0.9
    rare = np.array(["x"] * 80 + ["y"] * 10)
    fitted = CNNClassifier(class_weight="balanced", epochs=1).fit(x, rare)
    expected = compute_class_weight("balanced", classes=np.array(["x", "y"]), y=rare)
    assert list(fitted._weights(rare).values()) == pytest.approx(expected)


def test_early_stopping_holds_back_some_of_every_class(monkeypatch):
    x, y = shapes(100)
    y = np.where(np.arange(100) < 4, "rare", y)
    seen = {}
    fit = mc.Model.fit

    def remember(self, x, y, **options):
        seen.update(options, y=y)
        return fit(self, x, y, **options)

    monkeypatch.setattr(mc.Model, "fit", remember)
    estimator = CNNClassifier(epochs=40, early_stopping=True, n_iter_no_change=2, validation_fraction=0.2)
    estimator.set_params(random_state=0, learning_rate=0.02).fit(x, y)
    held = seen["validation_data"][1]
    assert sorted(set(held)) == sorted(set(seen["y"])) == [0, 1, 2]
    assert len(held) + len(seen["y"]) == 100
    losses = estimator.history_["val_loss"]
    assert len(losses) < 40
    best = estimator.model_.evaluate(*seen["validation_data"], verbose=0)
    assert best == pytest.approx(min(losses), rel=1e-4)


def test_partial_fit_goes_on():
    x, y = shapes(120)
    estimator = CNNClassifier(random_state=0)
    for _ in range(12):
        for start in (0, 60):
            estimator.partial_fit(x[start : start + 60], y[start : start + 60], classes=["lying", "standing"])
    assert estimator.n_iter_ == 24
    assert estimator.score(x, y) > 0.95
    for mistake, text in (
        ({"classes": ["lying", "sitting"]}, "not what it was"),
        ({"y": np.full(120, "other")}, "not among"),
    ):
        with pytest.raises(ValueError, match=text):
            estimator.partial_fit(x, **({"y": y} | mistake))
    with pytest.raises(ValueError, match="needs classes="):
        CNNClassifier().partial_fit(x, y)
    regressor = CNNRegressor(random_state=0)
    for _ in range(40):
        regressor.partial_fit(x, x.mean(axis=(1, 2)))
    assert regressor.n_iter_ == 40
    with pytest.raises(ValueError, match=r"targets \(N,\), as in the first call"):
        regressor.partial_fit(x, np.zeros((120, 2)))
    assert regressor.history_["loss"][-1] < regressor.history_["loss"][0] / 2


# ------------------------------------------------------------------------------------------------ scikit-learn's tools


def test_pickle_and_clone():
    x, y = shapes(60)
    estimator = CNNClassifier(epochs=2, class_weight={"lying": 2.0}, random_state=1).fit(x, y)
    copied = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copied.predict_proba(x), estimator.predict_proba(x))
    copied.partial_fit(x, y)
    fresh = clone(estimator)
    assert fresh.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(x)
    assert is_classifier(estimator)
    assert is_regressor(CNNRegressor())


def test_a_pipeline_and_a_grid():
    x, y = shapes(90)
    rows = x.reshape(90, -1)
    pipeline = make_pipeline(StandardScaler(), CNNClassifier(image_shape=(10, 12), epochs=4, random_state=0))
    grid = {"cnnclassifier__model": ["simple", partial(own_network, filters=2)], "cnnclassifier__batch_size": [8, 32]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(rows, y)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_score_ > 0.8
    assert search.score(rows, y) > 0.8


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_processes_and_threads_give_what_one_gives(backend):
    from joblib import parallel_config

    x, y = shapes(60)
    estimator = CNNClassifier(epochs=2, random_state=0)
    alone = cross_val_score(estimator, x, y, cv=3)
    with parallel_config(backend):
        np.testing.assert_array_equal(cross_val_score(estimator, x, y, cv=3, n_jobs=2), alone)


# -------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": "simpel"}, "'simple'"),
        ({"model": "lenet5"}, "12×12"),
        ({"model": lambda shape, units: None}, "returns a built one"),
        ({"model": lambda shape, units: own_network(shape, units + 1)}, r"output is \(None, 2\)"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"validation_fraction": 1}, "validation_fraction"),
        ({"optimizer": "adamm"}, "'Adam'"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"class_weight": "fair"}, "class_weight"),
    ],
)
def test_wrong_parameters_are_refused_by_fit(options, text):
    x, y = shapes(20)
    estimator = CNNClassifier().set_params(**options)
    with pytest.raises((ValueError, TypeError), match=text):
        estimator.fit(x, y)


def test_without_scikit_learn_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport minicnn as mc\n"
        "try: mc.sklearn.CNNClassifier\nexcept ImportError as error: print(error)\n"
        "try: mc.sklearn.CNNClasifier\nexcept AttributeError as error: print(error)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'minicnn[sklearn]'" in printed
    assert "it has CNNClassifier, CNNRegressor" in printed


# -------------------------------------------------------------------------------------------------- weights of samples


@pytest.mark.parametrize("early_stopping", [False, True])
def test_samples_that_weigh_nothing_are_not_learned(early_stopping):
    """Half of the labels are wrong, and count for nothing: the network learns the others."""
    x, y = shapes(200)
    wrong = np.arange(200) % 2 == 1
    given = np.where(wrong, np.where(y == "lying", "standing", "lying"), y)
    estimator = CNNClassifier(epochs=12, early_stopping=early_stopping, learning_rate=0.01, random_state=0)
    weights = (~wrong).astype(int)
    assert estimator.fit(x, given, sample_weight=weights).score(x, y) > 0.95
    assert estimator.score(x, given, sample_weight=weights) > 0.95 > estimator.score(x, given) + 0.3
    targets = x.mean(axis=(1, 2)) + wrong * 50.0
    regressor = CNNRegressor(epochs=2, random_state=0).fit(x, targets, sample_weight=weights)
    assert regressor.history_["loss"][0] != CNNRegressor(epochs=2, random_state=0).fit(x, targets).history_["loss"][0]


def test_weights_multiply_those_of_classes_and_reach_every_way_of_training():
    x, y = shapes(60)
    options = {"epochs": 1, "random_state": 0, "batch_size": 60}
    by_class = CNNClassifier(class_weight={"lying": 3.0, "standing": 1.0}, **options).fit(x, y)
    by_sample = CNNClassifier(**options).fit(x, y, sample_weight=np.where(y == "lying", 3.0, 1.0))
    both = CNNClassifier(class_weight={"lying": 1.5, "standing": 0.5}, **options)
    both.fit(x, y, sample_weight=[2.0] * 60)
    for other in (by_sample, both):
        np.testing.assert_allclose(other.predict_proba(x), by_class.predict_proba(x), rtol=1e-5)
    part = CNNClassifier(**options).partial_fit(x, y, classes=["lying", "standing"], sample_weight=[1e-9] * 60)
    assert part.history_["loss"][0] < 1e-7
    assert CNNRegressor(**options).partial_fit(x, x[:, 0, 0], sample_weight=1e-9).history_["loss"][0] < 1e-7
    scores = cross_val_score(CNNClassifier(**options), x, y, cv=2, params={"sample_weight": np.ones(60)})
    np.testing.assert_array_equal(scores, cross_val_score(CNNClassifier(**options), x, y, cv=2))


@pytest.mark.parametrize("estimator", [CNNClassifier(epochs=1), CNNRegressor(epochs=1)])
@pytest.mark.parametrize(
    "weights, text",
    [
        (np.ones(5), r"each of 6 samples.*\(5,\)"),
        (np.ones((6, 1)), r"\(6, 1\)"),
        ([np.nan] * 6, "NaN"),
        (0.0, "zero for every sample"),
    ],
)
def test_weights_that_do_not_fit(estimator, weights, text):
    x, y = shapes(6)
    with pytest.raises(ValueError, match=text):
        estimator.fit(x, (y == "lying").astype(int), sample_weight=weights)


def test_logarithms_of_probabilities():
    x, y = shapes(40)
    estimator = CNNClassifier(epochs=2, random_state=0).fit(x, y)
    logarithms = estimator.predict_log_proba(x)
    np.testing.assert_allclose(np.exp(logarithms), estimator.predict_proba(x), rtol=1e-6)
    estimator.predict_proba = lambda X: np.array([[1.0, 0.0]])
    np.testing.assert_array_equal(estimator.predict_log_proba(x), [[0.0, -np.inf]])


@pytest.mark.parametrize(
    "model, text",
    [
        (lambda: 1, r"the function model is called with \(image_shape, units\)"),
        (mc.Sequential([mc.Input((4, 4, 1))]), "model is a name, or a function of .*Received: <Sequential"),
    ],
)
def test_what_is_no_function_that_makes_models(model, text):
    with pytest.raises(TypeError, match=text):
        CNNClassifier(model, epochs=1).fit(np.ones((4, 16)), [0, 1, 0, 1])


@pytest.mark.parametrize("estimator", [CNNClassifier(epochs=1), CNNRegressor(epochs=1)])
@pytest.mark.parametrize("where", ["X", "y", "sample_weight"])
def test_masked_values_are_refused_and_not_taken_as_they_were(estimator, where, rng):
    data = {"X": rng.random((12, 16)), "y": np.arange(12) % 2, "sample_weight": np.ones(12)}
    plain = {name: np.ma.masked_array(value) for name, value in data.items()}
    estimator.fit(**plain)  # nothing is masked
    mask = np.arange(data[where].size).reshape(data[where].shape) == 3
    data[where] = np.ma.masked_array(data[where], mask=mask)
    for call in (estimator.fit, estimator.partial_fit):
        with pytest.raises(mc.errors.DataError, match=rf"{where} holds masked values.*1 masked of"):
            call(**data)
    if where == "X":
        with pytest.raises(mc.errors.DataError, match="X holds masked values"):
            estimator.predict(data["X"])


@pytest.mark.parametrize("where", ["X", "y", "sample_weight"])
def test_arrays_in_a_file_that_was_closed_are_refused(where, rng, tmp_path):
    h5py = pytest.importorskip("h5py")
    data = {"X": rng.random((12, 16)), "y": np.arange(12) % 2, "sample_weight": np.ones(12)}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data[where] = file.create_dataset("x", data=data[where])
    with pytest.raises(mc.errors.DataError, match="in an HDF5 file that was closed"):
        CNNRegressor(epochs=1).fit(**data)


@pytest.mark.parametrize("given", ["yes", "False", 1, None])
def test_early_stopping_is_true_or_false(given, rng):
    with pytest.raises(TypeError, match="early_stopping is True or False"):
        CNNClassifier(early_stopping=given).fit(rng.random((12, 16)), np.arange(12) % 2)


@pytest.mark.parametrize("given, kinds", [([0, None], "NoneType, int"), ([1, "a"], "int, str")])
def test_classes_of_kinds_without_an_order(given, kinds, rng):
    """Their comparison was what failed."""
    x, y = rng.random((12, 16)), np.array(given * 6, dtype=object)
    match = f"classes are all numbers or all strings: .*e.g. y.astype\\(str\\). Received: {kinds}$"
    for call in (
        lambda: CNNClassifier(epochs=1).fit(x, y),
        lambda: CNNClassifier().partial_fit(x, y, classes=[0, 1]),
        lambda: CNNClassifier().partial_fit(x, np.arange(12) % 2, classes=y),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_targets_that_are_numbers_as_text(rng):
    """As arrays of objects, which scikit-learn reads itself."""
    x, y = rng.random((12, 16)), rng.random(12).round(2)
    found = [
        CNNRegressor(epochs=2, random_state=0).fit(x, form).predict(x)
        for form in (y, y.astype(str), y.astype(str).astype(object), [str(n) for n in y], y.astype("S"))
    ]
    for predicted in found[1:]:
        np.testing.assert_array_equal(predicted, found[0])
    for call in (CNNRegressor().fit, CNNRegressor().partial_fit):
        with pytest.raises(ValueError, match=r"targets are numbers, and classes are for CNNClassifier\. .*'cat'"):
            call(x, ["cat"] * 12)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_that_come_first(channels, rng):
    """Rows were taken for channels, in silence."""
    x, y = rng.random((12, channels, 8, 8)), np.arange(12) % 2
    for call in (CNNClassifier(epochs=1).fit, lambda x, y: CNNClassifier().partial_fit(x, y, classes=[0, 1])):
        with pytest.warns(UserWarning, match=rf"moveaxis\(X, 1, -1\) .*Received: X of shape \(N, {channels}, 8, 8\)"):
            call(x, y)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (3, 3, 3), (1, 8, 12), (1, 64, 1), (3, 8, 1), (2, 8, 8), None])
def test_channels_that_come_last(shape, recwarn):
    warn_of_channels(shape)
    assert not recwarn.list


@pytest.mark.parametrize("estimator", [CNNClassifier(epochs=2, random_state=0), CNNRegressor(epochs=2, random_state=0)])
def test_views_train_as_copies_do(estimator, rng):
    x, y, weights = rng.random((24, 16)), np.arange(24) % 3, rng.random(24)
    expected = clone(estimator).fit(x, y, weights).predict(x)
    twice = {"X": np.repeat(x, 2, axis=0), "y": np.repeat(y, 2), "sample_weight": np.repeat(weights, 2)}
    backwards = {"X": x[::-1].copy(), "y": y[::-1].copy(), "sample_weight": weights[::-1].copy()}
    read_only = {"X": np.asfortranarray(x), "y": y.astype(">i2"), "sample_weight": weights.astype(">f8")}
    for array in read_only.values():
        array.flags.writeable = False
    views = ({k: v[::2] for k, v in twice.items()}, {k: v[::-1] for k, v in backwards.items()}, read_only)
    for data in views:
        np.testing.assert_array_equal(clone(estimator).fit(**data).predict(x), expected)
