"""Masks of places in attention, query_mask, value_mask, key_mask: numbers of Keras, gradients, files, ONNX, errors."""

import json
import zipfile

import numpy as np
import pytest
from test_attention import given_weights
from test_attention_masks import same_in_onnx

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import ShapeError

RNG = np.random.default_rng(1)
QUERY, VALUE, KEY = (
    np.sin(np.arange(count * 6) * step).reshape(3, -1, 6) for count, step in ((12, 1), (15, 2), (15, 3))
)
OF_QUERY = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1]], bool)
OF_VALUE = np.array([[1, 1, 0, 0, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)  # and a sample without any
OF_KEY = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1]], bool)
PAIRS = np.arange(60).reshape(3, 4, 5) % 7 > 2

HEADS = {
    "query": {"query_mask": OF_QUERY},
    "value": {"value_mask": OF_VALUE},
    "key": {"key": KEY, "key_mask": OF_KEY},
    "key of values": {"key_mask": OF_KEY},
    "all": {
        "key": KEY,
        "query_mask": OF_QUERY,
        "value_mask": OF_VALUE,
        "key_mask": OF_KEY,
        "attention_mask": PAIRS,
        "use_causal_mask": True,
    },
    "weights": {"value_mask": OF_VALUE, "return_attention_scores": True},
}
LISTS = {
    "both": ([OF_QUERY, OF_VALUE], {}),
    "value, causal": ([None, OF_VALUE], {"use_causal_mask": True}),
    "query": ([OF_QUERY, None], {}),
    "three": ([OF_QUERY, OF_VALUE, None], {"use_causal_mask": True}),
}


def measured(outputs):
    """Of each output, the sum of its numbers times cosines."""
    outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
    return [float(np.asarray(y, float).ravel() @ np.cos(np.arange(np.size(y)))) for y in outputs]


OF_KERAS = {  # from Keras 3.15.1 on TensorFlow with the same weights
    "query": [23.82381],
    "value": [23.81567],
    "key": [8.0308],
    "key of values": [24.3993],
    "all": [15.61612],
    "weights": [16.83264, -0.72666],
    "Attention both": [-0.25414, -0.16389],
    "Attention value, causal": [0.4526, 1.95566],
    "Attention query": [-0.30088, 0.29056],
    "Attention three": [0.17524, 1.95566],
    "AdditiveAttention both": [-0.23401, -0.33715],
    "AdditiveAttention value, causal": [0.43932, 2.05487],
    "AdditiveAttention query": [-0.33758, 0.23876],
    "AdditiveAttention three": [0.17447, 2.05487],
}


@pytest.mark.parametrize("name", list(HEADS))
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_masks_of_several_heads_are_those_of_keras(name, backend):
    before = mc.backends.current().name
    mc.set_backend(backend)
    layer = layers.MultiHeadAttention(2, 3)
    layer(QUERY, VALUE)
    given_weights(layer)
    found = measured(layer(QUERY, VALUE, **HEADS[name]))
    mc.set_backend(before)
    np.testing.assert_allclose(found, OF_KERAS[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", list(LISTS))
@pytest.mark.parametrize("kind", [layers.Attention, layers.AdditiveAttention])
def test_masks_in_a_list_are_those_of_keras(name, kind):
    layer, (mask, options) = kind(use_scale=True), LISTS[name]
    layer([QUERY, VALUE])
    given_weights(layer)
    found = measured(layer([QUERY, VALUE], mask=mask, return_attention_scores=True, **options))
    np.testing.assert_allclose(found, OF_KERAS[f"{kind.__name__} {name}"], rtol=0, atol=1e-4)


def of_masks(**options):
    """A model with all masks of places."""
    query, value = keras.Input((4, 6), name="q"), keras.Input((5, 6), name="v")
    of_query, of_value = keras.Input((4,), name="mq"), keras.Input((5,), name="mv")
    y = keras.layers.MultiHeadAttention(2, 3, use_bias=False, name="heads", **options)(
        query, value, query_mask=of_query, value_mask=of_value, key_mask=of_value
    )
    z = keras.layers.Attention(use_scale=True, name="dot")([y, value], mask=[of_query, of_value], use_causal_mask=True)
    a = keras.layers.AdditiveAttention(name="sums")([z, value], mask=[None, of_value])
    return keras.Model([query, value, of_query, of_value], keras.layers.Add()([z, a]))


DATA = [QUERY, VALUE, OF_QUERY.astype(float), np.array(OF_VALUE | OF_KEY[::-1], float)]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_gradients(backend):
    model = of_masks()
    given_weights(model)
    of_query, of_value = (layers.ReLU(threshold=0.5)(mc.Input(shape)) for shape in ((4,), (5,)))  # steps of the check
    query, value = mc.Input((4, 6)), mc.Input((5, 6))
    inner = mc.Model(
        [query, value, of_query.node.inputs[0], of_value.node.inputs[0]], model([query, value, of_query, of_value])
    )
    found = mc.gradcheck(inner, [x.astype(float) for x in DATA], backend=backend, tolerance=1e-6)
    assert abs(found.analytic) > 1e-6


def test_what_is_left_out_changes_nothing():
    model = of_masks()
    given_weights(model)
    before, (query, value, *kept) = model.predict(DATA, verbose=0), DATA
    other = value + (1 - kept[1][..., None]) * 5
    np.testing.assert_allclose(model.predict([query, other, *kept], verbose=0)[:2], before[:2], rtol=0, atol=1e-5)
    assert abs(before).min() > 0 and abs(model.predict([query, value + 1, *kept], verbose=0) - before).max() > 0.01


@pytest.mark.parametrize("ending", [".keras", ".h5", "json", "clone"])
def test_a_model_comes_back(tmp_path, ending):
    model, path = of_masks(), tmp_path / f"model{ending}"
    given_weights(model)
    if ending in ("json", "clone"):
        loaded = keras.models.model_from_json(model.to_json()) if ending == "json" else keras.models.clone_model(model)
        loaded.set_weights(model.get_weights())
    else:
        model.save(path)
        loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded.predict(DATA, verbose=0), model.predict(DATA, verbose=0))


def test_calls_in_files_are_those_of_keras():
    entries = {entry["name"]: entry for entry in json.loads(of_masks().to_json())["config"]["layers"]}

    def names(value):
        return value and value["config"]["keras_history"][0]

    (call,) = entries["heads"]["inbound_nodes"]
    assert [*map(names, call["args"])] == ["q", "v"]
    assert {role: names(value) for role, value in call["kwargs"].items()} == {"value_mask": "mv", "key_mask": "mv"}
    (call,) = entries["dot"]["inbound_nodes"]
    assert [*map(names, call["args"][0])] == ["heads", "v"]
    assert [*map(names, call["kwargs"]["mask"])] == ["mq", "mv"] and call["kwargs"]["use_causal_mask"] is True
    (call,) = entries["sums"]["inbound_nodes"]
    assert [*map(names, call["kwargs"]["mask"])] == [None, "mv"]


@pytest.mark.parametrize("is_open", [False, True])
def test_onnx_says_the_same(tmp_path, is_open):
    x, mask = mc.Input((None if is_open else 5, 6)), mc.Input((None if is_open else 5,))
    y = layers.MultiHeadAttention(2, 3)(x, x, value_mask=mask)
    z = layers.AdditiveAttention()(
        [layers.Attention()([y, x], mask=[mask, mask], use_causal_mask=True), x], [None, mask]
    )
    same_in_onnx(mc.Model([x, mask], z), tmp_path / "m.onnx", [VALUE, DATA[3]])


def test_masks_of_other_places_are_refused():
    """Kernels would read memory that is nobody's."""
    heads, dot = layers.MultiHeadAttention(2, 3), layers.Attention()
    for mask in (OF_QUERY, OF_VALUE[:, :, None], OF_VALUE[:, :1]):
        with pytest.raises(ShapeError, match=r"value_mask says of each place of the keys.*\(None, 5\)"):
            heads(QUERY, VALUE, value_mask=mask)
        with pytest.raises(ShapeError, match=r"value_mask has the places of its input, \(None, 5\)"):
            dot([QUERY, VALUE], mask=[None, mask])
    with pytest.raises(ShapeError, match=r"query_mask has the places of its input, \(None, 4\)"):
        dot([QUERY, VALUE], mask=[OF_VALUE, None])
    images = np.zeros((2, 2, 3, 6))
    with pytest.raises(ShapeError, match="along one axis"):
        heads(images, images, key_mask=np.ones((2, 3)))


@pytest.mark.parametrize("mask", [[OF_QUERY], OF_QUERY, [OF_QUERY] * 4, "x"], ids=["one", "array", "four", "text"])
def test_a_mask_is_a_list_of_two(mask):
    with pytest.raises(ValueError, match=r"is a list, \[query_mask, value_mask\], of which one may be None"):
        layers.Attention()([QUERY, VALUE], mask=mask)


def test_other_masks_are_refused():
    with pytest.raises(TypeError, match=r"key_mask, attention_mask\. Received: {'values_mask'}"):
        layers.MultiHeadAttention(2, 3)(QUERY, VALUE, values_mask=OF_VALUE)


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
def test_masks_by_their_place_in_a_file(kind, tmp_path):
    """Keras keeps a call as it was written, layer([query, value], [query_mask, value_mask])."""
    tensors = [keras.Input(shape) for shape in ((4, 6), (5, 6), (4,), (5,))]
    model = keras.Model(tensors, getattr(keras.layers, kind)(name="at")(tensors[:2], mask=tensors[2:]))
    given_weights(model)
    model.save(tmp_path / "named.keras")
    with zipfile.ZipFile(tmp_path / "named.keras") as old, zipfile.ZipFile(tmp_path / "placed.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                (entry,) = (each for each in config["config"]["layers"] if each["name"] == "at")
                (node,) = entry["inbound_nodes"]
                node["args"].append(node["kwargs"].pop("mask"))
                content = json.dumps(config)
            new.writestr(name, content)
    read = mc.load_model(tmp_path / "placed.keras")
    np.testing.assert_array_equal(read.predict(DATA), model.predict(DATA))


# ------------------------------------------------------------------------------------------------- as Keras is asked


@pytest.mark.parametrize("names", [(), ("query_shape", "value_shape", "key_shape")], ids=["in order", "by name"])
def test_shapes_are_given_one_by_one(names):
    shapes = [(None, 4, 6), (None, 5, 3), (None, 5, 2)]
    layer = keras.layers.MultiHeadAttention(2, 3, output_shape=7)
    given = dict(zip(names, shapes, strict=True)) if names else shapes
    found = layer.compute_output_shape(**given) if names else layer.compute_output_shape(*given)
    assert tuple(found) == (None, 4, 7)
    layer.build(**given) if names else layer.build(*given)
    assert [w.shape for w in layer.weights[::2]] == [(6, 2, 3), (2, 2, 3), (3, 2, 3), (2, 3, 7)]
    assert layer.query_dense.kernel.shape == (6, 2, 3) and layer.key_dense.kernel.shape == (2, 2, 3)
    assert layer.value_dense.kernel.shape == (3, 2, 3) and layer.output_dense.bias.shape == (7,)


def test_shapes_without_a_key():
    layer = keras.layers.MultiHeadAttention(2, 3)
    assert tuple(layer.compute_output_shape((2, 4, 6), (2, 5, 3), None)) == (2, 4, 6)
    called = keras.layers.MultiHeadAttention(2, 3)
    called(QUERY, VALUE, attention_mask=PAIRS)  # whose third input is no key
    assert tuple(called.compute_output_shape((2, 4, 6), (2, 5, 3), (2, 5, 2))) == (2, 4, 6)
    layer.build((3, 4, 6), (3, 5, 3))  # with a number of samples, too
    assert [w.shape for w in layer.weights[::2]] == [(6, 2, 3), (3, 2, 3), (3, 2, 3), (2, 3, 6)]


def test_the_mask_of_attention_is_that_of_its_queries():
    for layer in (keras.layers.Attention(), keras.layers.AdditiveAttention()):
        assert layer.compute_mask([QUERY, VALUE], mask=None) is None
        assert layer.compute_mask([QUERY, VALUE], [None, OF_VALUE]) is None
        np.testing.assert_array_equal(layer.compute_mask([QUERY, VALUE], mask=[OF_QUERY, OF_VALUE]), OF_QUERY)


def test_scale_of_scores():
    layer = keras.layers.Attention(use_scale=True)
    assert layer.scale is None and keras.layers.Attention().scale is None
    layer([QUERY, VALUE])
    assert float(layer.scale.numpy()) == 1 and keras.layers.AdditiveAttention().scale is None


@pytest.mark.parametrize(
    ("name", "variance"), [("glorot_uniform", 1 / 96), ("he_normal", 2 / 64), ("lecun_normal", 1 / 64)]
)
def test_first_kernels_are_drawn_for_all_heads_together(name, variance):
    """Fans are 64 inputs and 8 · 16 units, of the last kernel the reverse; those of one axis give a fifth of it."""
    mc.utils.set_random_seed(1)
    layer = layers.MultiHeadAttention(8, 16, kernel_initializer=name)
    layer(np.zeros((1, 2, 64)), np.zeros((1, 2, 64)))
    for kernel in (layer.query_dense.kernel, layer.key_dense.kernel, layer.value_dense.kernel):
        np.testing.assert_allclose(kernel.numpy().var(), variance, rtol=0.1)
    factor = 1 if name == "glorot_uniform" else 0.5
    np.testing.assert_allclose(layer.output_dense.kernel.numpy().var(), variance * factor, rtol=0.1)
