"""Attention on other axes, with masks of all shapes that Keras broadcasts, and with those that it cannot have."""

import numpy as np
import pytest
from test_attention import by_loops, given_weights

import minicnn as mc
from minicnn import layers
from minicnn.errors import DataError, ShapeError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4, 6))
IMAGES = RNG.normal(size=(2, 2, 3, 6))


def of_attention(shape=(4, 6), **options):
    """(a model that is one layer of attention, the layer)."""
    x = mc.Input(shape)
    layer = layers.MultiHeadAttention(2, 3, **options)
    model = mc.Model(x, layer(x, x))
    given_weights(model)
    return model, layer


def test_arrays_of_other_axes_leave_a_model_as_it_is():
    model, layer = of_attention()
    before = model.predict(X)
    assert layer(IMAGES, IMAGES).shape == IMAGES.shape
    np.testing.assert_array_equal(model.predict(X), before)
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)  # by a plan that was not there
    np.testing.assert_allclose(layer(X, X), model.predict(X), rtol=0, atol=1e-6)
    assert [tensor.ndim for tensor in layer.graph.inputs] == [3, 3]


def test_an_image_is_a_sequence_of_its_places():
    layer = layers.MultiHeadAttention(2, 3)
    of_images = layer(IMAGES, IMAGES)  # of arrays first, then in a graph of other axes
    x = mc.Input((6, 6))
    model = mc.Model(x, layer(x, x))
    np.testing.assert_allclose(model.predict(IMAGES.reshape(2, 6, 6)), of_images.reshape(2, 6, 6), rtol=0, atol=1e-6)


def test_one_graph_calls_a_layer_on_inputs_of_as_many_axes():
    model, layer = of_attention()
    image, before = mc.Input((2, 3, 6)), model.predict(X)
    with pytest.raises(ShapeError, match=r"a layer of its own.*Received: inputs of \[4, 4\] axes"):
        layer(image, image)
    np.testing.assert_array_equal(model.predict(X), before)


ALLOWED = [(4, 4), (1, 4, 4), (1, 2, 4, 4), (1, 1, 4, 4), (1, 4), (4, 1), (1, 2, 1, 4), (1, 1, 1, 1)]
OF_SAMPLES = [(3, 4, 4), (3, 2, 4, 4), (3, 1, 4, 4), (3, 1, 1, 4), (3, 4, 1)]


@pytest.mark.parametrize("shape", [*ALLOWED, *OF_SAMPLES], ids=str)
def test_masks_are_broadcast(shape):
    mask = (RNG.random(shape) < 0.7).astype(float)
    mask[..., 0] = 1
    axes = mask if mask.ndim == 4 else mask[:, None] if mask.ndim == 3 else mask[None, None]
    allowed = np.broadcast_to(axes != 0, (3, 2, 4, 4))
    model, layer = of_attention()
    expected, _ = by_loops(layer, X, X, X, allowed)
    np.testing.assert_allclose(layer(X, X, attention_mask=mask), expected, rtol=0, atol=2e-5)
    x, given, feed = mc.Input((4, 6)), mask, [X]
    if shape in OF_SAMPLES:
        given, feed = mc.Input(shape[1:]), [X, mask]
    masked = mc.Model([x, given] if shape in OF_SAMPLES else x, layers.MultiHeadAttention(2, 3)(x, x, None, given))
    masked.set_weights(model.get_weights())
    np.testing.assert_allclose(masked.predict(feed), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "shape", [(2, 3, 2, 3), (1, 2, 3, 2, 3), (1, 1, 2, 3), (2, 3, 1, 1), (1, 2, 2, 3, 2, 3)], ids=str
)
def test_masks_of_the_places_of_images(shape):
    mask = RNG.random(shape) < 0.7
    mask[..., 0, 0] = True
    full = np.broadcast_to(mask if mask.ndim == 6 else mask.reshape(1, 1, *shape[-4:]), (2, 2, 2, 3, 2, 3))
    _, layer = of_attention((2, 3, 6))
    flat = IMAGES.reshape(2, 6, 6)
    expected = by_loops(layer, flat, flat, flat, full.reshape(2, 2, 6, 6))[0].reshape(IMAGES.shape)
    np.testing.assert_allclose(layer(IMAGES, IMAGES, attention_mask=mask), expected, rtol=0, atol=2e-5)


REFUSED = [(4, 5), (1, 5, 4), (1, 3, 4, 4), (2, 4), (4,), (), (1, 1, 1, 4, 4)]


@pytest.mark.parametrize("shape", REFUSED, ids=str)
def test_masks_that_fit_nothing_are_refused(shape):
    """Kernels would read memory that is nobody's."""
    model, layer = of_attention()
    for x in (X, mc.Input((4, 6))):
        called = layer if x is X else layers.MultiHeadAttention(2, 3)
        with pytest.raises(ShapeError, match=f"'{called.name}'.*attention_mask says.*any of them 1 for all"):
            called(x, x, attention_mask=np.ones(shape))
        assert called is layer or not called.parts
    if len(shape) > 1:
        with pytest.raises(ShapeError, match="attention_mask says"):
            called(x, x, attention_mask=mc.Input(shape))
    assert model.predict(X).shape == X.shape


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 4, 4), (3, 2, 4, 4)], ids=str)
def test_an_array_beside_tensors_is_the_same_for_all_samples(shape):
    x = mc.Input((4, 6))
    with pytest.raises(ShapeError, match="a tensor where it differs from sample to sample, as an Input gives it"):
        layers.MultiHeadAttention(2, 3)(x, x, attention_mask=np.ones(shape))
    if shape[0] == 2:
        with pytest.raises(DataError, match="as many samples"):
            layers.MultiHeadAttention(2, 3)(X, X, attention_mask=np.ones(shape))


def test_a_mask_for_sizes_that_are_open():
    x = mc.Input((None, 6))
    layer = layers.MultiHeadAttention(2, 3)
    model = mc.Model(x, layer(x, x, attention_mask=np.tri(4)))
    given_weights(model)
    expected, _ = by_loops(layer, X, X, X, np.broadcast_to(np.tri(4) != 0, (3, 2, 4, 4)))
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=2e-5)
    with pytest.raises(ShapeError, match="attention_mask says"):
        model.predict(X[:, :3])


@pytest.mark.parametrize(
    "options",
    [
        *({"attention_axes": given} for given in (1.7, "1", [1, 1.5], True)),
        *({"output_shape": given} for given in (1.5, "ab", [2, 1.5], {})),
    ],
    ids=str,
)
def test_axes_and_sizes_are_integers(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is an int, a tuple of int or None. Received: {name}="):
        layers.MultiHeadAttention(2, 3, **options)


@pytest.mark.parametrize("mask", ["x", [[1, 2], [3]], {}], ids=str)
def test_a_mask_is_of_numbers(mask):
    for x in (X, mc.Input((4, 6))):
        with pytest.raises(DataError, match="a tensor or an array of numbers, 0 where a place is left out"):
            layers.MultiHeadAttention(2, 3)(x, x, attention_mask=mask)


# ------------------------------------------------------------------------------------------------------------- ONNX


def same_in_onnx(model, path, *feeds):
    """Whether onnxruntime gives for each list of arrays what the model does."""
    runtime = pytest.importorskip("onnxruntime")
    given_weights(model)
    mc.export_onnx(model, path)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for feed in feeds:
        named = {i.name: x.astype("float32") for i, x in zip(session.get_inputs(), feed, strict=True)}
        np.testing.assert_allclose(session.run(None, named)[0], model.predict(feed), rtol=0, atol=1e-5)


MASKED = {
    "causal": ({}, {"use_causal_mask": True}),
    "window": ({"sliding_window": 2, "dropout": 0.1}, {}),
    "both": ({"sliding_window": 2}, {"use_causal_mask": True}),
}


@pytest.mark.parametrize("name", list(MASKED))
def test_onnx_of_masks_for_sizes_that_are_open(tmp_path, name):
    x, y = mc.Input((None, 6)), mc.Input((None, 6))
    options, call = MASKED[name]
    model = mc.Model([x, y], layers.MultiHeadAttention(2, 3, **options)(x, y, **call))
    same_in_onnx(model, tmp_path / "m.onnx", [X, X], [X[:, :2], X[:, 1:]])


def test_onnx_of_an_array_as_mask_for_sizes_that_are_open(tmp_path):
    x = mc.Input((None, 6))
    model = mc.Model(x, layers.MultiHeadAttention(2, 3)(x, x, attention_mask=np.eye(4)))
    same_in_onnx(model, tmp_path / "m.onnx", [X])


def test_onnx_of_causal_scores_for_sizes_that_are_open(tmp_path):
    x = mc.Input((None, 6))
    model = mc.Model(x, layers.Attention()([x, x], use_causal_mask=True))
    same_in_onnx(model, tmp_path / "m.onnx", [X], [X[:, 1:]])


@pytest.mark.parametrize("shape", [(2, 3, 2, 3), (2, 2, 3, 2, 3), (1, 1, 2, 3), (1, 2, 3, 1, 1)], ids=str)
def test_onnx_of_masks_of_the_places_of_images(tmp_path, shape):
    x, mask = mc.Input((2, 3, 6)), mc.Input(shape)
    model = mc.Model([x, mask], layers.MultiHeadAttention(2, 3, dropout=0.1)(x, x, attention_mask=mask))
    same_in_onnx(model, tmp_path / "m.onnx", [IMAGES, (RNG.random((2, *shape)) < 0.6).astype(float)])


def test_onnx_names_the_layer_that_sizes_stop(tmp_path):
    x = mc.Input((None, 3, 6))
    model = mc.Model(x, layers.MultiHeadAttention(2, 3, name="among_pixels")(x, x))
    with pytest.raises(ValueError, match=r"among_pixels/weights.*cannot be written for sizes that are None"):
        mc.export_onnx(model, tmp_path / "m.onnx")
