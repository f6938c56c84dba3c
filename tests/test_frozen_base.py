"""A frozen base, as in transfer learning, runs in training as in predictions; what is learned is the same."""

import numpy as np
import pytest

import minicnn as mc
from minicnn.layers.conv import FusedConv2D
from minicnn.layers.normalization import FusedNormalization

L = mc.layers


def residual_base(**options):
    image = mc.Input((16, 16, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = L.ReLU()(L.BatchNormalization(**options)(x))
    y = L.BatchNormalization(**options)(L.Conv2D(8, 3, padding="same")(x))
    return mc.Model(image, L.ReLU()(L.Add()([x, y])), name="base")


def network(base):
    image = mc.Input((16, 16, 3))
    x = L.GlobalAveragePooling2D()(base(image))
    return mc.Model(image, L.Dense(3, activation="softmax", name="head")(x))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 16, 16, 3)).astype("float32"), rng.integers(0, 3, 12)


def prepared(backend="numba", **options):
    base = residual_base(**options)
    rng = np.random.default_rng(1)
    base.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in base.get_weights()])
    base.trainable = False
    model = network(base)
    model.get_layer("head").set_weights([rng.standard_normal(w.shape) for w in model.get_layer("head").get_weights()])
    model.compile(mc.optimizers.SGD(0.1), "sparse_categorical_crossentropy", backend=backend)
    return base, model


def plan_of(model, data):
    """The steps of a training plan."""
    model.train_on_batch(*data)
    (plan,) = [p for p in model._engine._plans.values() if p.training]
    return [place.step for place in plan.places]


def test_it_has_the_steps_of_a_prediction(data):
    _, model = prepared()
    steps = plan_of(model, data)
    assert not any(isinstance(step, FusedNormalization) for step in steps)
    convolutions = [step for step in steps if isinstance(step, FusedConv2D)]
    assert [c.norm is not None for c in convolutions] == [True, True] and convolutions[0].relu is not None
    assert len(steps) == 6  # two convolutions, the sum, the mean over places, the dense layer, softmax


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "scale": False}])
def test_it_learns_as_on_the_reference(data, options):
    """Without fusion; and the base stays as it is."""
    found = {}
    for backend in ("numba", "numpy"):
        base, model = prepared(backend, **options)
        before = base.get_weights()
        losses = [model.train_on_batch(*data) for _ in range(4)]
        found[backend] = np.ravel(losses).tolist(), model.get_layer("head").get_weights()
        for old, new in zip(before, base.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    np.testing.assert_allclose(found["numba"][0], found["numpy"][0], rtol=1e-4)
    for ours, expected in zip(found["numba"][1], found["numpy"][1], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"center": False, "scale": False}])
@pytest.mark.parametrize("recompiles", [True, False])
def test_what_is_thawed_learns(data, options, recompiles):
    """Its averages move with the batches, also where a normalization has no weights that are learned."""
    base, model = prepared(**options)
    model.train_on_batch(*data)
    base.trainable = True
    if recompiles:
        model.compile(mc.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = {path: weight.value.copy() for path, weight in base.named_weights().items()}
    model.train_on_batch(*data)
    moved = {path for path, weight in base.named_weights().items() if (weight.value != before[path]).any()}
    assert {
        path for path in before if not path.endswith("bias")
    } <= moved  # a bias before a normalization moves nothing


def test_a_thawed_normalization_without_weights_that_are_learned(data):
    """It alone goes by its batches again, though no gradient is computed that was not before."""
    base, model = prepared(center=False, scale=False)
    model.train_on_batch(*data)
    (first, *_) = [layer for layer in base.layers if isinstance(layer, L.BatchNormalization)]
    base.trainable = True
    for layer in base.layers:
        layer.trainable = layer is first
    before = first.get_weights()
    model.train_on_batch(*data)
    assert all((old != new).all() for old, new in zip(before, first.get_weights(), strict=True))


@pytest.mark.parametrize("thawed", ["conv2d", "batch_normalization"])
def test_parts_that_learn_are_not_merged(data, thawed):
    """One layer that learns: gradients go through all behind it, and are those of the reference."""
    found = {}
    for backend in ("numba", "numpy"):
        mc.utils.clear_session()
        base, model = prepared(backend)
        base.trainable = True
        for layer in base.layers:
            layer.trainable = layer.name == thawed
        model.compile(mc.optimizers.SGD(0.1), "sparse_categorical_crossentropy", backend=backend)
        for _ in range(3):
            model.train_on_batch(*data)
        found[backend] = model.get_weights()
    for ours, expected in zip(found["numba"], found["numpy"], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-4)


def test_an_output_without_a_loss_goes_by_its_batches(data):
    """No gradient is computed of it, and its averages move."""
    image = mc.Input((16, 16, 3))
    x = L.Conv2D(4, 3, name="shared")(image)
    beside = L.BatchNormalization(name="beside")(L.Conv2D(4, 3)(x))
    model = mc.Model(image, [L.Dense(3, activation="softmax")(L.Flatten()(x)), beside])
    model.compile("sgd", ["sparse_categorical_crossentropy", None])
    before = model.get_layer("beside").get_weights()[2:]
    model.train_on_batch(data[0], [data[1], None])
    after = model.get_layer("beside").get_weights()[2:]
    assert all((old != new).all() for old, new in zip(before, after, strict=True))


@pytest.mark.gpu
def test_on_a_gpu(data):
    """Epoch by epoch, kernel by kernel at first and captured then; and what is thawed in between is learned."""
    mc.backends.get("cupy")
    found = {}
    for backend in ("cupy", "numpy"):
        base, model = prepared(backend)
        losses = model.fit(*data, batch_size=4, epochs=3, shuffle=False, verbose=0).history["loss"]
        base.trainable = True
        model.compile(mc.optimizers.SGD(0.01), "sparse_categorical_crossentropy", backend=backend)
        losses += model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        found[backend] = losses, model.get_layer("head").get_weights()
    np.testing.assert_allclose(found["cupy"][0], found["numpy"][0], rtol=1e-3)
    for ours, expected in zip(found["cupy"][1], found["numpy"][1], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-2, atol=1e-3)
