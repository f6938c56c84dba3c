"""The library's losses inside losses that users write: their gradients against central differences in float64."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras, losses
from minicnn.differentiation import Recorded, gradients
from minicnn.keras import ops

ELEMENTS = (
    *("binary_crossentropy", "binary_focal_crossentropy", "hinge", "huber", "log_cosh", "mean_absolute_error"),
    *("mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson"),
    "squared_hinge",
)
CLASSES = (
    *("categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "cosine_similarity"),
    *("kl_divergence",),
)
OBJECTS = {
    "mean": losses.CategoricalCrossentropy(label_smoothing=0.1),
    "sum": losses.CategoricalCrossentropy(reduction="sum"),
    "none": losses.CategoricalCrossentropy(reduction=None),
    "logits": losses.CategoricalCrossentropy(from_logits=True),
    "of a batch": losses.Dice(),
    "of a batch, summed": losses.Tversky(reduction="sum"),
}


def check(function, prediction, seed):
    """Compare Σ seed · ∂function along a random direction with a central difference."""
    rng = np.random.default_rng(seed)
    recorded = Recorded(prediction)
    result = function(recorded)
    np.testing.assert_allclose(result.value, function(prediction), rtol=1e-9, err_msg=f"seed {seed}")
    weights, direction = rng.normal(size=result.shape), rng.normal(size=prediction.shape)
    (gradient,) = gradients(result, weights, [recorded])
    ahead, behind = (np.sum(weights * function(prediction + step * direction)) for step in (1e-6, -1e-6))
    np.testing.assert_allclose(np.sum(gradient * direction), (ahead - behind) / 2e-6, rtol=1e-5, err_msg=f"seed {seed}")


@pytest.fixture
def numbers():
    """Targets 0 or 1 (5, 4, 3), and predictions between."""
    rng = np.random.default_rng(1)
    return (rng.random((5, 4, 3)) > 0.5) * 1.0, rng.uniform(0.1, 0.9, (5, 4, 3))


@pytest.fixture
def classes():
    """Class numbers (5, 4), one-hot rows (5, 4, 6), probabilities (5, 4, 6)."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 6, (5, 4))
    return labels, np.eye(6)[labels], rng.dirichlet(np.ones(6), (5, 4))


@pytest.mark.parametrize("name", ELEMENTS)
def test_losses_of_elements(name, numbers):
    target, prediction = numbers
    check(lambda p: getattr(losses, name)(target, p), prediction, 3)
    check(lambda p: getattr(losses, name)(target.ravel(), p), prediction.ravel(), 4)


@pytest.mark.parametrize("name", CLASSES)
def test_losses_of_classes(name, classes):
    _, target, prediction = classes
    check(lambda p: getattr(losses, name)(target, p), prediction, 5)


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_reduction(kind, classes):
    _, target, prediction = classes
    check(lambda p: OBJECTS[kind](target, p), prediction, 6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum", None])
def test_weights(reduction, classes):
    labels, _, prediction = classes
    loss, weight = losses.SparseCategoricalCrossentropy(reduction=reduction), np.arange(5) + 0.5
    check(lambda p: loss(labels, p, sample_weight=weight), prediction, 7)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", None])
def test_ignored_classes_count_for_nothing(reduction, classes):
    labels, _, prediction = classes
    loss = losses.SparseCategoricalCrossentropy(ignore_class=2, reduction=reduction)
    assert 0 < np.count_nonzero(labels == 2) < labels.size
    check(lambda p: loss(labels, p), prediction, 8)


def test_a_loss_of_ones_own_inside_another(numbers):
    class Cubed(losses.Loss):
        def call(self, y_true, y_pred):
            return np.mean(np.abs(y_true - y_pred) ** 3, axis=-1)

    target, prediction = numbers
    check(lambda p: Cubed()(target, p), prediction, 9)


def test_a_loss_of_a_batch_counts_for_each_weight_there(classes):
    _, target, prediction = classes
    for reduction in ("sum_over_batch_size", "sum", None):
        loss = losses.Dice(reduction=reduction)
        check(lambda p: loss(target, p, sample_weight=np.arange(5.0)), prediction, 11)  # noqa: B023 - at once


def test_losses_of_areas_have_no_weights_there(classes):
    _, target, prediction = classes
    with pytest.raises(TypeError, match="'dice' is one number for a batch"):
        losses.Dice(axis=(1, 2), name="dice")(target, Recorded(prediction), sample_weight=np.ones(5))


def test_functions_are_not_hidden_by_files():
    hidden = [name for name in (*ELEMENTS, *CLASSES) if not callable(getattr(losses, name))]
    assert not hidden


X = np.arange(24, dtype="float32").reshape(8, 3) / 10
OF_OTHER_SHAPES = {
    "of outputs": lambda y, p: ops.mean(ops.square(y - p), axis=0),
    "of outputs, with an axis": lambda y, p: ops.mean(ops.square(y - p), axis=0, keepdims=True),
    "four of the same": lambda y, p: ops.mean(ops.square(y - p)) * ops.ones((4,)),
    "of numbers": lambda y, p: ops.square(y - p),
    "one": lambda y, p: ops.mean(ops.square(y - p)),
}


@pytest.mark.parametrize("name", OF_OTHER_SHAPES)
def test_losses_of_any_shape_count_with_their_mean(name):
    """The numbers are Keras 3.15's, which asks for no shape where there are no weights."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.01), OF_OTHER_SHAPES[name])
    data = X, np.ones((8, 2), "float32")
    history = model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], [10.066, 7.891], atol=6e-4)
    np.testing.assert_allclose(model.evaluate(*data, batch_size=3, verbose=0), 6.304, atol=6e-4)
    if name.startswith("of outputs"):
        with pytest.raises(ValueError, match="samples have weights where loss"):
            model.fit(*data, batch_size=4, sample_weight=np.ones(8), verbose=0)


def test_what_numpy_gives_in_a_loss_is_a_copy():
    """As in Keras 3.15.1 with run_eagerly: writing to it changes neither the loss nor its gradient."""
    y, kept = np.ones((2, 3)), []

    def loss(y_true, y_pred):
        numbers = y_pred.numpy()
        numbers[...] = 7.0
        kept.append(numbers)
        return ops.mean(ops.square(y_pred - y_true))

    x = np.arange(6, dtype="float32").reshape(2, 3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(1.0), keras.layers.Dense(3, "linear", False)])
    model.set_weights([np.eye(3)])
    model.compile(keras.optimizers.SGD(1.0), loss)
    expected = np.mean((x.astype("float64") - 1) ** 2)
    np.testing.assert_allclose(model.fit(x, y, verbose=0).history["loss"], [expected], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], np.eye(3) - x.T @ (x - 1) / 3, rtol=1e-5, atol=1e-6)
    assert kept and (kept[-1] == 7.0).all()


def test_what_numpy_gives_of_a_metrics_variable_is_a_copy():
    class Counts(keras.metrics.Metric):
        def __init__(self, **options):
            super().__init__(**options)
            self.counts = self.add_weight(shape=(2,), initializer="zeros", name="counts")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.counts.assign_add([1.0, 2.0])

        def result(self):
            seen = self.counts.numpy()
            seen += 5.0
            return self.counts[1]

    metric = Counts()
    for expected in (2.0, 4.0):
        metric.update_state(0, 0)
        assert float(metric.result()) == expected == float(metric.result())


@pytest.mark.parametrize("reduction", ["sum", None, "sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("weight", [[0.5, 2.0, 1.0, 0.0], [0.0] * 4, None])
def test_one_number_for_the_batch_is_multiplied_with_each_weight(reduction, weight):
    """Keras 3.15.1 reduces the products; with None the sum is differentiated, and the mean shown."""

    class One(mc.losses.Loss):
        def call(self, y_true, y_pred):
            return np.mean(np.square(y_pred - y_true))

    image = mc.Input((3,))
    model = mc.Model(image, mc.layers.Dense(2, use_bias=False, kernel_initializer="ones")(image))
    model.compile(mc.optimizers.SGD(0.1), One(reduction=reduction), backend="numpy")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    error = x @ np.ones((3, 2)) - y
    weights = np.ones(4) if weight is None else np.asarray(weight)
    shown = {"sum": weights.sum(), "mean_with_sample_weight": float(weights.any())}.get(reduction, weights.mean())
    trained = weights.sum() if reduction is None else shown
    shown, trained = (1.0, 1.0) if weight is None else (shown, trained)
    told = model.train_on_batch(x, y, sample_weight=None if weight is None else weights)
    assert np.ravel(told)[0] == pytest.approx(shown * np.mean(error**2), rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], 1 - 0.1 * trained * x.T @ error / 4, rtol=1e-5, atol=1e-6)
