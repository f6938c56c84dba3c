"""Attention: formulas by loops in float64, numbers of Keras 3.15, forms of calls, files, ONNX, threads, bfloat16."""

import json
import math

import numpy as np
import pytest

import minicnn as mc
from minicnn import backends, keras, layers
from minicnn.backends.reference import ops as reference
from minicnn.errors import DataError, ShapeError
from minicnn.keras import layers as keras_layers

RNG = np.random.default_rng(0)
QUERY, VALUE, KEY = (RNG.normal(size=(3, n, size)) for n, size in ((5, 6), (4, 3), (4, 2)))


def given_weights(layer):
    """Weights that are cosines, as they were given to Keras for the numbers below."""
    sizes = [w.shape for w in layer.weights]
    ends = np.cumsum([0, *(math.prod(s) for s in sizes)])
    layer.set_weights([np.cos(np.arange(a, b)).reshape(s) for a, b, s in zip(ends, ends[1:], sizes, strict=False)])


def built(layer, *shapes):
    layer.build_for(shapes)
    given_weights(layer)
    return layer


def by_loops(layer, query, value, key, allowed):
    """(output, weights) of `MultiHeadAttention` with axes (N, T, D), number by number; `allowed` (N, heads, T, S)."""
    w = {name: weight.numpy().astype(float) for name, weight in layer.named_weights().items()}
    heads, size = layer.num_heads, layer.value_dim
    count, steps, places = len(query), query.shape[1], value.shape[1]
    shares = np.zeros((count, heads, steps, places))
    joined = np.zeros((count, steps, heads, size))
    for n in range(count):
        for h in range(heads):
            q, k, v = (
                x[n] @ w[f"{role}/kernel"][:, h] + w[f"{role}/bias"][h]
                for role, x in (("query", query), ("key", key), ("value", value))
            )
            for t in range(steps):
                powers = [
                    math.exp(q[t] @ k[s] / math.sqrt(layer.key_dim)) if allowed[n, h, t, s] else 0.0
                    for s in range(places)
                ]
                for s in range(places):
                    shares[n, h, t, s] = powers[s] / sum(powers)
                    joined[n, t, h] += shares[n, h, t, s] * v[s]
    output = np.einsum("nthv,hvd->ntd", joined, w["attention_output/kernel"]) + w["attention_output/bias"]
    return output, shares


def masks():
    """Name → (what the call is given, what it leaves, (N, heads, T, S))."""
    behind, every = np.arange(5)[:, None] - np.arange(4), np.ones((3, 2, 5, 4), bool)
    own, of_heads = RNG.random((3, 5, 4)) < 0.7, RNG.random((3, 2, 5, 4)) < 0.7
    own[:, :, 0] = of_heads[..., 1] = True
    return {
        "none": ({}, every),
        "causal": ({"use_causal_mask": True}, every & (behind >= 0)),
        "of all": ({"attention_mask": behind % 3 != 1}, every & (behind % 3 != 1)),
        "of samples": ({"attention_mask": own.astype("int8")}, every & own[:, None]),
        "of heads": ({"attention_mask": of_heads}, of_heads),
        "of samples, causal": ({"attention_mask": own, "use_causal_mask": True}, own[:, None] & every & (behind >= 0)),
    }


@pytest.mark.parametrize("name", list(masks()))
def test_several_heads_are_what_loops_give(backend, name):
    layer = built(layers.MultiHeadAttention(2, 3, value_dim=4), (5, 6), (4, 3), (4, 2))
    options, allowed = masks()[name]
    output, weights = by_loops(layer, QUERY, VALUE, KEY, allowed)
    y, shares = layer(QUERY, VALUE, KEY, return_attention_scores=True, **options)
    np.testing.assert_allclose(y, output, rtol=0, atol=2e-5)
    np.testing.assert_allclose(shares, weights, rtol=0, atol=2e-6)
    np.testing.assert_allclose(layer(QUERY, VALUE, KEY, **options), output, rtol=0, atol=2e-5)


def test_a_window_of_places(backend):
    layer = built(layers.MultiHeadAttention(2, 3, sliding_window=2), (4, 6), (4, 6))
    x, near = QUERY[:, :4], abs(np.arange(4)[:, None] - np.arange(4)) < 2
    output, _ = by_loops(layer, x, x, x, np.ones((3, 2, 4, 4), bool) & near)
    np.testing.assert_allclose(layer(x, x), output, rtol=0, atol=2e-5)


# ------------------------------------------------------------------------------------------------- numbers of Keras

X = np.sin(np.arange(24)).reshape(1, 4, 6)
IMAGE, REVERSED = X.reshape(1, 2, 2, 6), X[:, ::-1]
FEW = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])

CALLS = {
    "self": (layers.MultiHeadAttention(2, 3), lambda f: f(X, X)),
    "one axis": (layers.MultiHeadAttention(2, 3, attention_axes=2), lambda f: f(IMAGE, IMAGE)),
    "all axes": (layers.MultiHeadAttention(2, 3), lambda f: f(IMAGE, IMAGE)),
    "gate": (layers.MultiHeadAttention(2, 3, use_gate=True), lambda f: f(X, X, use_causal_mask=True)),
    "nothing": (layers.MultiHeadAttention(2, 3), lambda f: f(X, X, attention_mask=FEW)),
    "nothing, with weights": (
        layers.MultiHeadAttention(2, 3),
        lambda f: f(X, X, attention_mask=FEW, return_attention_scores=True)[0],
    ),
    "dot": (layers.Attention(use_scale=True), lambda f: f([X, REVERSED], use_causal_mask=True)),
    "concat": (layers.Attention(score_mode="concat", use_scale=True), lambda f: f([X, X, REVERSED])),
    "additive": (layers.AdditiveAttention(), lambda f: f([X, REVERSED])),
}
OF_KERAS = {  # of each place, Σ (1 + i) · y[i], from Keras 3.15.1 on TensorFlow with the same weights
    "self": [-7.622008, -7.80541, -7.954066, -8.060566],
    "one axis": [-9.180422, -9.202786, -4.811014, -4.860342],
    "all axes": [-7.622005, -7.80541, -7.954067, -8.060567],
    "gate": [3.339487, 2.369214, 1.450121, 0.725705],
    "nothing": [-9.943074, -6.760899, -9.219739, -8.060566],
    "nothing, with weights": [-9.943074, -5.433167, -9.219739, -8.060566],
    "dot": [0.512646, -0.584426, -1.33251, -1.516759],
    "concat": [-2.088154, -2.101969, -2.128017, -2.14499],
    "additive": [-3.044765, -2.934598, -2.866499, -2.859745],
}


@pytest.mark.parametrize("name", list(CALLS))
def test_numbers_of_keras(backend, name):
    kind, call = CALLS[name]
    layer = type(kind).from_config(kind.get_config())
    call(layer)
    given_weights(layer)
    y = np.asarray(call(layer)).reshape(4, -1)
    np.testing.assert_allclose(y @ np.arange(1, 1 + y.shape[1]), OF_KERAS[name], rtol=0, atol=2e-5)


def test_weights_are_named_shaped_and_ordered_as_keras_has_them():
    layer = built(layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=(7, 2), name="a"), (5, 6), (4, 3), (4, 2))
    assert [(w.path, w.shape) for w in layer.weights] == [
        ("a/query/kernel", (6, 2, 3)),
        ("a/query/bias", (2, 3)),
        ("a/key/kernel", (2, 2, 3)),
        ("a/key/bias", (2, 3)),
        ("a/value/kernel", (3, 2, 4)),
        ("a/value/bias", (2, 4)),
        ("a/attention_output/kernel", (2, 4, 7, 2)),
        ("a/attention_output/bias", (7, 2)),
    ]


# -------------------------------------------------------------------------------------------------------- gradients


def of_two_inputs(**options):
    """A model of attention with a mask of samples, and one that is the same for all."""
    x, mask = mc.Input((4, 6)), mc.Input((4, 4))
    allowed = layers.ReLU(threshold=0.5)(mask)  # what is near 0 stays 0, where the check moves it
    y = layers.MultiHeadAttention(2, 3, **options)(x, x, attention_mask=allowed)
    fixed = 1 - np.eye(4)
    fixed[2] = 0  # a place that may attend to none attends to all alike, whatever the products are
    y = layers.MultiHeadAttention(2, 3)(y, y, attention_mask=fixed, use_causal_mask=False)
    return mc.Model([x, mask], layers.Dense(2)(layers.Attention(use_scale=True)([y, y])))


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "seed": 1}, {"use_gate": True, "attention_axes": -2}])
def test_gradients_with_biases_and_masks(backend, options):
    mask = (RNG.random((3, 4, 4)) < 0.6) | np.eye(4, dtype=bool)
    found = mc.gradcheck(of_two_inputs(**options), [RNG.normal(size=(3, 4, 6)), mask], backend=backend, tolerance=1e-6)
    assert abs(found.analytic) > 1e-6


def test_many_samples_are_gone_through_in_parts(backend, monkeypatch):
    from minicnn.layers import attention_parts, dot_attention

    for module in (attention_parts, dot_attention):
        monkeypatch.setattr(module, "BLOCK", 40)
    mc.gradcheck(layers.MultiHeadAttention(2, 3), input_shape=[(4, 6), (3, 6)], backend=backend, batch_size=5)
    for kind in (layers.AdditiveAttention(), layers.Attention(score_mode="concat", use_scale=True)):
        mc.gradcheck(kind, input_shape=[(4, 6), (3, 6)], backend=backend, batch_size=5, tolerance=1e-6)


def small_model():
    mc.utils.set_random_seed(3)
    x = mc.Input((9, 8))
    y = layers.MultiHeadAttention(4, 5, dropout=0.2)(x, x)
    y = layers.LayerNormalization()(layers.Add()([x, y]))
    return mc.Model(x, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(y)))


def test_training_is_the_same_on_any_number_of_threads():
    pytest.importorskip("numba")
    x, y, found = RNG.normal(size=(64, 9, 8)).astype("float32"), RNG.integers(0, 3, 64), []
    before = mc.get_num_threads()
    for threads in (1, 2):
        mc.set_num_threads(min(threads, before))
        model = small_model()
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, batch_size=24, verbose=0)
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    mc.set_num_threads(before)
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0]).all()


def test_bfloat16_is_near_float32():
    pytest.importorskip("numba")
    x = RNG.normal(size=(8, 9, 8)).astype("float32")
    plain = small_model()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = small_model()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {layer.compute_dtype for layer in mixed.layers[1].layers} == {"bfloat16"}
    mixed.set_weights(plain.get_weights())
    difference = abs(mixed.predict(x) - plain.predict(x)).max()
    assert 0 < difference < 0.02
    mixed.compile("adam", "sparse_categorical_crossentropy")
    mixed.fit(x, np.arange(8) % 3, epochs=1, verbose=0)


SIZES = [(2, 3, 4, 2, 3, 5), (1, 17, 9, 3, 8, 33), (3, 1, 1, 1, 1, 1), (2, 40, 35, 2, 16, 7)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_products_of_views_are_those_of_numpy(dtype, size):
    pytest.importorskip("numba")
    fast, (count, rows, places, heads, inner, own) = backends.get("numba"), size

    def array(*shape):
        made = fast.empty(shape, dtype)
        made[...] = RNG.normal(size=shape)
        return made

    queries, keys, values = (array(count, n, heads, k) for n, k in ((rows, inner), (places, inner), (places, own)))
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (queries, keys, values))
    products, sums, turned = array(count, heads, rows, places), array(count, rows, heads, own), array(*values.shape)
    calls = [
        (q, k.transpose(0, 1, 3, 2), products, 0.3),
        (products, v, sums.transpose(0, 2, 1, 3), 1.0),
        (products.transpose(0, 1, 3, 2), sums.transpose(0, 2, 1, 3), turned.transpose(0, 2, 1, 3), -2.0),
    ]
    for a, b, y, factor in calls:
        expected = np.empty(y.shape, dtype)
        reference.matrix_products(a, b, expected, factor)
        fast.ops.matrix_products(a, b, y, factor)
        np.testing.assert_allclose(
            y, expected, rtol=0, atol=abs(expected).max() * (1e-5 if dtype == "float32" else 1e-13)
        )


# ------------------------------------------------------------------------------------------------------------ forms


def test_a_graph_calls_a_layer_in_one_form():
    layer, x = layers.MultiHeadAttention(2, 3), mc.Input((4, 6))
    model = mc.Model(x, layer(x, x))
    data = RNG.normal(size=(3, 4, 6)).astype("float32")
    before = model.predict(data)
    y, weights = layer(data, data, return_attention_scores=True, use_causal_mask=True)
    assert weights.shape == (3, 2, 4, 4) and abs(y - before).max() > 1e-3
    more = model.predict(np.repeat(data, 30, axis=0), batch_size=90)  # by another plan, of a larger batch
    np.testing.assert_allclose(more[::30], before, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(layer(data, data), before)
    with pytest.raises(ValueError, match=r"has the same inputs and options wherever a graph calls it.*use_causal_mask"):
        layer(x, x, use_causal_mask=True)
    other = layers.Attention()
    other([x, x], return_attention_scores=True)
    with pytest.raises(ValueError, match="return_attention_scores"):
        other([x, x])


@pytest.mark.parametrize(
    "more", [{"attention_mask": np.ones((4, 4))}, {"return_attention_scores": True}, {"use_causal_mask": True}], ids=str
)
@pytest.mark.parametrize("layer", [layers.MultiHeadAttention(2, 3), layers.GroupQueryAttention(2, 4, 2)])
def test_nothing_beside_a_list_is_forgotten(layer, more):
    for x in (mc.Input((4, 6)), np.ones((2, 4, 6), "float32")):
        with pytest.raises(TypeError, match=rf"layer\(query, value, …\). Received: a list, and {next(iter(more))}$"):
            layer([x, x], **more)
        layer([x, x], return_attention_scores=False, use_causal_mask=np.False_)


def test_what_cannot_be_called_is_said():
    x = mc.Input((4, 6))
    with pytest.raises(TypeError, match=r"a query and a value.*layer\(x, x\)"):
        layers.MultiHeadAttention(2, 3)(x)
    with pytest.raises(ShapeError, match=r"\(N, T, D\) and values and keys"):
        layers.MultiHeadAttention(2, 3)(x, mc.Input((4,)))
    with pytest.raises(ShapeError, match="attention_axes"):
        layers.MultiHeadAttention(2, 3, attention_axes=3)(x, x)
    with pytest.raises(ShapeError, match="attention_mask says"):
        layers.MultiHeadAttention(2, 3)(x, x, attention_mask=np.ones((3, 4)))
    with pytest.raises(ShapeError, match="a list"):
        layers.Attention()(x)
    with pytest.raises(ShapeError, match="query_mask has the places"):
        layers.Attention()([x, x], mask=[x, None])


def test_frozen_attention_rests():
    model = small_model()
    model.layers[1].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.layers[1].get_weights()
    model.fit(RNG.normal(size=(8, 9, 8)), np.arange(8) % 3, verbose=0)
    for a, b in zip(before, model.layers[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(model.trainable_weights) == 4 and model.layers[1].count_params() == 4 * 8 * 20 + 3 * 20 + 8


# ------------------------------------------------------------------------------------------------------------ files


def of_all_forms():
    """A model with attention in many forms."""
    x, other, mask = mc.Input((5, 6)), mc.Input((4, 3)), mc.Input((5, 4))
    y = keras_layers.MultiHeadAttention(2, 3, dropout=0.1, name="a")(x, x)
    y = keras_layers.MultiHeadAttention(2, 3, use_gate=True, name="b")(y, y, attention_mask=1 - np.eye(5)[None])
    y, weights = keras_layers.MultiHeadAttention(2, 3, 4, name="c")(
        y, other, attention_mask=mask, return_attention_scores=True
    )
    y = keras_layers.MultiHeadAttention(2, 3, name="d")(query=y, value=y, key=y, use_causal_mask=True)
    y = keras_layers.AdditiveAttention()([keras_layers.Attention(use_scale=True)([y, y], use_causal_mask=True), y, y])
    return keras.Model([x, other, mask], [y, weights])


DATA = [QUERY, VALUE, (RNG.random((3, 5, 4)) < 0.7).astype(float)]


@pytest.mark.parametrize("ending", [".keras", ".h5", ".safetensors", ".weights.h5", "json", "clone"])
def test_a_model_comes_back(tmp_path, ending):
    model, path = of_all_forms(), tmp_path / f"model{ending}"
    given_weights(model)
    if ending == "json":
        loaded = keras.models.model_from_json(model.to_json())
        loaded.set_weights(model.get_weights())
    elif ending == "clone":
        loaded = keras.models.clone_model(model)
        loaded.set_weights(model.get_weights())
    elif ending == ".weights.h5":
        model.save_weights(path)
        loaded = of_all_forms()
        loaded.load_weights(path)
    else:
        model.save(path)
        loaded = keras.models.load_model(path)
    for a, b in zip(loaded.predict(DATA, verbose=0), model.predict(DATA, verbose=0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_calls_in_files_are_those_of_keras():
    entries = {entry["name"]: entry for entry in json.loads(of_all_forms().to_json())["config"]["layers"]}
    (call,) = entries["c"]["inbound_nodes"]
    assert [t["config"]["keras_history"][0] for t in call["args"]] == [
        "b",
        call["args"][1]["config"]["keras_history"][0],
    ]
    assert sorted(call["kwargs"]) == ["attention_mask", "return_attention_scores"]
    (call,) = entries["d"]["inbound_nodes"]
    assert len(call["args"]) == 3 and call["kwargs"] == {"use_causal_mask": True}
    (call,) = entries["b"]["inbound_nodes"]
    assert call["kwargs"]["attention_mask"]["class_name"] == "__numpy__"
    assert call["kwargs"]["attention_mask"]["config"]["value"] == (1 - np.eye(5)[None]).astype(int).tolist()
    assert entries["a"]["config"]["output_shape"] is None and "call" not in entries["a"]


def test_weights_lie_where_keras_puts_them(tmp_path):
    h5py = pytest.importorskip("h5py")
    of_all_forms().save_weights(tmp_path / "own.weights.h5")
    with h5py.File(tmp_path / "own.weights.h5") as file:
        group = file["layers/multi_head_attention_2"]
        assert {n for n in group if n != "vars"} == {"query_dense", "key_dense", "value_dense", "output_dense"}
        assert group["output_dense/vars/0"].shape == (2, 4, 6) and group["vars"].attrs["name"] == "c"


def test_calls_of_keras_2_are_read():
    model = keras.models.model_from_json(json.dumps(OF_KERAS_2))
    given_weights(model)
    layer = model.layers[-1]
    y = model.predict([QUERY, VALUE], verbose=0)
    allowed = np.ones((3, 2, 5, 4), bool) & (np.arange(5)[:, None] >= np.arange(4))
    np.testing.assert_allclose(y, by_loops(layer, QUERY, VALUE, VALUE, allowed)[0], rtol=0, atol=2e-5)


OF_KERAS_2 = {
    "class_name": "Functional",
    "config": {
        "name": "m",
        "layers": [
            *(
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, *shape], "dtype": "float32", "name": name},
                    "name": name,
                    "inbound_nodes": [],
                }
                for name, shape in (("p", [5, 6]), ("q", [4, 3]))
            ),
            {
                "class_name": "MultiHeadAttention",
                "config": {
                    "name": "a",
                    "num_heads": 2,
                    "key_dim": 3,
                    "attention_axes": [1],
                    "query_shape": [None, 5, 6],
                    "key_shape": [None, 4, 3],
                    "value_shape": [None, 4, 3],
                },
                "name": "a",
                "inbound_nodes": [[["p", 0, 0, {"value": ["q", 0, 0], "use_causal_mask": True}]]],
            },
        ],
        "input_layers": [["p", 0, 0], ["q", 0, 0]],
        "output_layers": [["a", 0, 0]],
    },
    "keras_version": "2.15.0",
    "backend": "tensorflow",
}


def test_onnx_says_the_same(tmp_path):
    runtime, path = pytest.importorskip("onnxruntime"), tmp_path / "attention.onnx"
    model = of_all_forms()
    given_weights(model)
    mc.export_onnx(model, path)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {i.name: x.astype("float32") for i, x in zip(session.get_inputs(), DATA, strict=True)}
    for a, b in zip(session.run(None, feed), model.predict(DATA, verbose=0), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


AXES = {
    "apart": {"attention_axes": (1, 3), "output_shape": (2, 4), "use_gate": True},
    "the middle one": {"attention_axes": 2, "sliding_window": 2, "dropout": 0.1},
    "all": {},
}


@pytest.mark.parametrize("name", list(AXES))
def test_onnx_of_images_there_and_back(tmp_path, name):
    runtime, path = pytest.importorskip("onnxruntime"), str(tmp_path / "attention.onnx")
    x = mc.Input((3, 4, 2, 6))
    model = mc.Model(x, layers.MultiHeadAttention(2, 3, **AXES[name])(x, x))
    data = RNG.normal(size=(3, 3, 4, 2, 6)).astype("float32")
    mc.export_onnx(model, path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = model.predict(data)
    np.testing.assert_allclose(session.run(None, {session.get_inputs()[0].name: data})[0], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(mc.import_onnx(path).predict(data), expected, rtol=0, atol=1e-5)


def test_open_sizes():
    x = mc.Input((None, 6))
    model = mc.Model(x, layers.MultiHeadAttention(2, 3)(x, x))
    assert model.output_shape == (None, None, 6)
    for places in (3, 7):
        data = RNG.normal(size=(2, places, 6))
        np.testing.assert_allclose(model.predict(data), model.layers[1](data, data), rtol=0, atol=1e-6)


@pytest.mark.parametrize("counts", [(5, 3), (3, 5), (2000, 1), (0, 0)])
def test_inputs_with_other_numbers_of_samples_are_refused(counts, rng):
    """Kernels would read memory that is nobody's."""
    query, value = (rng.normal(size=(count, 4, 6)).astype("float32") for count in counts)
    with pytest.raises(DataError, match="as many samples of each input"):
        layers.MultiHeadAttention(2, 3)(query, value)


def test_a_window_has_at_least_one_place():
    with pytest.raises(ValueError, match="sliding_window"):
        layers.MultiHeadAttention(2, 3, sliding_window=0)
