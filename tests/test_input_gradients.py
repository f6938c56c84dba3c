"""Gradients by a model's inputs equal finite differences in float64 on every backend; nothing of the model moves."""

import numpy as np
import pytest
from oracles import every_backend

import minicnn as mc
from minicnn import errors
from minicnn.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)

STEP = 1e-6


def branched(activation="softmax"):
    """A network with a skip, everything that acts otherwise in training, and a penalty."""
    image = mc.Input(shape=(9, 8, 2), name="image")
    a = Conv2D(4, 3, activation="tanh", name="first")(image)
    a = BatchNormalization()(a)
    b = Conv2D(4, 3, padding="same", activity_regularizer="l2", name="second")(a)
    a = Dropout(0.5)(MaxPooling2D()(Add()([a, b])))
    return mc.Model(image, Dense(5, activation=activation, name="scores")(Flatten()(a)))


def several():
    """Two inputs, one of them nested in a model, and two outputs."""
    base = mc.Sequential([mc.Input(shape=(6, 6, 1)), Conv2D(3, 3, activation="sigmoid"), Flatten()], name="base")
    image, numbers = mc.Input(shape=(6, 6, 1), name="image"), mc.Input(shape=(4,), name="numbers")
    both = Concatenate()([base(image), Dense(3, activation="tanh")(numbers)])
    return mc.Model(
        [image, numbers], [Dense(3, activation="softmax", name="kind")(both), Dense(1, name="size")(image_mean(image))]
    )


def image_mean(image):
    return GlobalAveragePooling2D()(image)


def in_float64(make, model):
    """The same network with the same weights in float64, on the reference."""
    mc.utils.set_floatx("float64")
    try:
        twin = make()
    finally:
        mc.utils.set_floatx("float32")
    twin.set_weights([w.astype(np.float64) for w in model.get_weights()])
    return twin


def finite_differences(function, x):
    """∂(Σ function(x)) / ∂x, number by number; each sample stands for itself."""
    found = np.zeros_like(x)
    for place in np.ndindex(x.shape[1:]):
        up, down = x.copy(), x.copy()
        up[(slice(None), *place)] += STEP
        down[(slice(None), *place)] -= STEP
        found[(slice(None), *place)] = (function(up) - function(down)) / (2 * STEP)
    return found


def shaken(model, rng):
    """The model, with weights and moving averages that are not the first ones."""
    for weight in model.weights:
        moved = weight.numpy() + rng.normal(scale=0.05, size=weight.shape)
        weight.assign(np.abs(moved) if weight.name == "moving_variance" else moved)
    return model


@every_backend
@pytest.mark.parametrize("target", [2, [0, 4, 2], None])
def test_gradients_equal_finite_differences(backend, target, rng):
    mc.set_backend(backend)
    model, x = shaken(branched(), rng), rng.normal(size=(3, 9, 8, 2))
    gradients = model.input_gradients(x, target)
    assert gradients.shape == x.shape
    assert gradients.dtype == np.float32
    mc.set_backend("numpy")
    twin = in_float64(branched, model)
    classes = twin.predict(x).argmax(axis=1) if target is None else np.broadcast_to(target, 3)
    numeric = finite_differences(lambda x: twin.predict(x)[np.arange(3), classes], x)
    assert np.abs(numeric).max() > 1e-3
    np.testing.assert_allclose(gradients, numeric, rtol=0, atol=1e-4 * np.abs(numeric).max())
    np.testing.assert_allclose(twin.input_gradients(x, classes), numeric, rtol=0, atol=1e-7)


@every_backend
def test_scores_before_the_softmax(backend, rng):
    mc.set_backend(backend)
    model, x = shaken(branched(), rng), rng.normal(size=(2, 9, 8, 2))
    gradients = model.input_gradients(x, 3, before_activation=True)
    mc.set_backend("numpy")
    twin = in_float64(lambda: branched(None), model)
    numeric = finite_differences(lambda x: twin.predict(x)[:, 3], x)
    np.testing.assert_allclose(gradients, numeric, rtol=0, atol=1e-4 * np.abs(numeric).max())


@every_backend
def test_the_gradient_of_the_loss_with_weights_and_penalty(backend, rng):
    mc.set_backend(backend)
    model, x, y = shaken(branched(), rng), rng.normal(size=(3, 9, 8, 2)), np.array([0, 4, 2])
    weight = np.array([1.0, 0.5, 2.0])
    model.compile("sgd", "sparse_categorical_crossentropy")
    gradients = model.input_gradients(x, y=y, sample_weight=weight)
    mc.set_backend("numpy")
    twin = in_float64(branched, model)
    cut = mc.Model(twin.inputs, [twin.outputs[0], twin.get_layer("second").output])

    def loss(x):  # of each sample: the others' parts do not depend on it
        p, maps = cut.predict(x)
        return -weight * np.log(p[np.arange(3), y]) / 3 + 0.01 * (maps**2).sum(axis=(1, 2, 3)) / 3

    numeric = finite_differences(loss, x)
    np.testing.assert_allclose(gradients, numeric, rtol=0, atol=1e-4 * np.abs(numeric).max())


@every_backend
def test_several_inputs_and_outputs_and_weights_of_outputs(backend, rng):
    mc.set_backend(backend)
    model = several()
    x = [rng.normal(size=(3, 6, 6, 1)), rng.normal(size=(3, 4))]
    weights = rng.normal(size=(3, 3))
    gradients = model.input_gradients(x, weights, output="kind")
    mc.set_backend("numpy")
    twin = in_float64(several, model)
    for number in (0, 1):
        rest = x[1 - number]

        def weighted(a, number=number, rest=rest):
            return (twin.predict([a, rest] if number == 0 else [rest, a])[0] * weights).sum(axis=1)

        numeric = finite_differences(weighted, x[number])
        np.testing.assert_allclose(gradients[number], numeric, rtol=0, atol=1e-4 * np.abs(numeric).max())
    of_image, of_numbers = model.input_gradients({"image": x[0], "numbers": x[1]}, output=1)
    kernel = model.get_layer("size").get_weights()[0].item()
    np.testing.assert_allclose(of_image, np.full_like(x[0], kernel / 36), rtol=1e-5)
    np.testing.assert_array_equal(of_numbers, 0)  # this output does not depend on them


def test_a_class_of_many_places_is_their_sum(rng):
    model = mc.Sequential([mc.Input(shape=(None, None, 2)), Conv2D(3, 3, activation="tanh")])
    x = rng.normal(size=(2, 6, 7, 2))
    gradients = model.input_gradients(x, [1, 2])
    mc.set_backend("numpy")

    def make():
        return mc.Sequential([mc.Input(shape=(None, None, 2)), Conv2D(3, 3, activation="tanh")])

    twin = in_float64(make, model)
    numeric = finite_differences(lambda x: twin.predict(x)[[0, 1], ..., [1, 2]].sum(axis=(1, 2)), x)
    np.testing.assert_allclose(gradients, numeric, rtol=0, atol=1e-5)


@every_backend
def test_nothing_of_the_model_changes_and_batches_do_not_matter(backend, rng):
    mc.set_backend(backend)
    model, x = branched(), rng.normal(size=(5, 9, 8, 2)).astype(np.float32)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, np.arange(5), epochs=1, verbose=0)
    before, outputs, iterations = model.get_weights(), model.predict(x), model.optimizer.iterations
    x.flags.writeable = False
    one = model.input_gradients(x, batch_size=2)
    np.testing.assert_allclose(model.input_gradients(np.asfortranarray(x)), one, rtol=1e-5, atol=1e-7)
    model.input_gradients(x, y=np.arange(5))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.predict(x), outputs)
    assert model.optimizer.iterations == iterations
    assert not any(layer.nodes[1:] for layer in model.layers)  # no places were added


@pytest.mark.parametrize(
    "target", [None, np.array([1.0, -2.0]), np.array([1, -2])], ids=["none", "weights", "integers"]
)
def test_an_output_of_one_number_without_an_axis(target, rng):
    inputs = mc.Input(shape=(3, 2))
    flat = mc.layers.Flatten()(inputs)
    model = mc.Model(inputs, (flat * flat)[:, 0])
    assert model.output_shape == (None,)
    x = rng.normal(size=(2, 3, 2)).astype(np.float32)
    expected = np.zeros_like(x)
    expected[:, 0, 0] = 2 * x[:, 0, 0] * (1 if target is None else target)  # d/dx of x²
    np.testing.assert_allclose(model.input_gradients(x, target), expected, rtol=1e-6)
    with pytest.raises(errors.ShapeError, match=r"weights of the shape \(2,\)"):
        model.input_gradients(x, 0)


def test_bytes_are_pixels(rng):
    model, x = branched(), rng.integers(0, 255, (2, 9, 8, 2)).astype(np.uint8)
    np.testing.assert_array_equal(model.input_gradients(x), model.input_gradients(x.astype(np.float32)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 5}, ValueError, r"5 classes, 0 … 4\. Received: target with 5"),
        ({"target": -1}, ValueError, r"0 … 4\. Received: target with -1"),
        ({"target": [1, 2, 3]}, errors.ShapeError, r"array \(2,\) of them, or weights of the shape \(2, 5\).*\(3,\)"),
        ({"target": 1.5}, ValueError, "integers from 0 on"),
        ({"target": "cat"}, TypeError, "class number"),
        ({"target": 1, "y": [0, 1]}, ValueError, "leave one of them out. Received: y and target"),
        ({"sample_weight": [1, 1]}, ValueError, "give y too"),
        ({"y": [0, 1]}, errors.NotCompiledError, "compile"),
        ({"output": "score"}, ValueError, "scores"),
        ({"output": 1}, ValueError, r"0 … 0\. Received: output=1"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"traget": 1}, TypeError, "target"),
    ],
)
def test_typical_mistakes_are_one_sentence(arguments, error, message, rng):
    with pytest.raises(error, match=message) as caught:
        branched().input_gradients(rng.normal(size=(2, 9, 8, 2)), **arguments)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_the_model_is_refused(rng):
    with pytest.raises(errors.ShapeError, match=r"expected data of shape \(None, 9, 8, 2\)"):
        branched().input_gradients(rng.normal(size=(2, 8, 9, 2)))
    with pytest.raises(ValueError, match=r"2 outputs: say which with output=, a name of \['kind', 'size'\]"):
        several().input_gradients([np.zeros((1, 6, 6, 1)), np.zeros((1, 4))])
    maps = mc.Sequential([mc.Input(shape=(5, 5, 1)), Conv2D(2, 3)])
    with pytest.raises(ValueError, match="say which with target="):
        maps.input_gradients(np.zeros((1, 5, 5, 1)))
    with pytest.raises(errors.DataError, match="the data is missing"):
        mc.Sequential([Dense(2)]).input_gradients(None)
