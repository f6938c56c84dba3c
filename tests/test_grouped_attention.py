"""`GroupQueryAttention`: numbers of Keras 3.15, the formula in float64, masks, files, ONNX; masks that are arrays."""

import json

import numpy as np
import pytest
from test_einsum_dense import of_a_page

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import DataError, ShapeError
from minicnn.keras import layers as keras_layers
from minicnn.keras import tensorflow as tf
from minicnn.layers.attention_masks import KeptPlaces, MaskedScores

QUERY, VALUE = np.sin(np.arange(24)).reshape(2, 3, 4), np.cos(np.arange(16)).reshape(2, 2, 4)
QUERY_MASK, VALUE_MASK = np.array([[1, 0, 1], [1, 1, 1]]), np.array([[1, 1], [1, 0]])
MASKS = {"query_mask": QUERY_MASK, "value_mask": VALUE_MASK}

OF_KERAS = {  # name: (further arguments, of the call, the first two numbers of each place)
    "plain": (
        *({}, {}),
        [
            [[1.038627, 3.072417], [1.049027, 3.212042], [0.954436, 3.10366]],
            [[1.450069, 2.83269], [1.150098, 2.837345], [1.239514, 2.750634]],
        ],
    ),
    "gate": (
        *({"use_gate": True}, {}),
        [
            [[-0.775702, -0.953138], [-0.619228, -1.150429], [-0.519863, -0.67864]],
            [[-0.526045, -0.836987], [-0.124179, -0.660585], [-0.40241, -0.609533]],
        ],
    ),
    "masks": (
        *({}, MASKS),
        [
            [[1.038627, 3.072417], [1.056586, 3.130282], [0.954436, 3.10366]],
            [[1.349822, 2.081488], [1.349822, 2.081488], [1.349822, 2.081488]],
        ],
    ),
    "masks and weights": (
        *({}, {**MASKS, "return_attention_scores": True}),
        [
            [[1.038627, 3.072417], [0.455969, 0.995267], [0.954436, 3.10366]],
            [[1.349822, 2.081488], [1.349822, 2.081488], [1.349822, 2.081488]],
        ],
    ),
    "window, causal": (
        *({"sliding_window": 2}, {"use_causal_mask": True}),
        [
            [[1.681387, 3.328132], [1.049027, 3.212042], [0.431784, 2.932436]],
            [[1.349822, 2.081488], [1.150098, 2.837345], [1.399286, 3.589616]],
        ],
    ),
}
WEIGHTS = [  # of the first two places, per head
    [[[0.543123, 0.456877], [0, 0]], [[0.453783, 0.546216], [0, 0]]],
    [[[1, 0], [1, 0]], [[1, 0], [1, 0]]],
]


def cosines(layer):
    """The weights that were given to Keras for the numbers above."""
    arrays, start = [], 0
    for weight in layer.weights:
        arrays.append(np.cos(np.arange(start, start + weight.size)).reshape(weight.shape))
        start += weight.size
    layer.set_weights(arrays)
    return layer


def of_four_heads(**options):
    layer = keras_layers.GroupQueryAttention(2, 4, 2, **options)
    layer.build(QUERY.shape, VALUE.shape)
    return cosines(layer)


@pytest.mark.parametrize("name", OF_KERAS)
def test_numbers_of_keras(name, backend):
    options, call, expected = OF_KERAS[name]
    layer = of_four_heads(**options)
    parts = ["query", "key", *(["gate"] if "use_gate" in options else []), "value", "attention_output"]
    assert [w.path for w in layer.weights] == [f"{layer.name}/{p}/{w}" for p in parts for w in ("kernel", "bias")]
    y = layer(QUERY, VALUE, **call)
    if "return_attention_scores" in call:
        y, weights = y
        assert weights.shape == (2, 4, 3, 2)
        np.testing.assert_allclose(np.asarray(weights)[:, :2, :2], WEIGHTS, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(y)[:, :, :2], expected, rtol=0, atol=1e-5)


def formula(layer, query, value, key, allowed):
    """The output in float64; `allowed` (N, 1 or heads, T, S)."""
    w = {name: weight.numpy().astype(float) for name, weight in layer.named_weights().items()}
    parts = {"query": query, "key": key, "value": value}
    q, k, v = (np.einsum("ntm,mhk->nhtk", x, w[f"{r}/kernel"]) + w[f"{r}/bias"][:, None] for r, x in parts.items())
    heads = layer.num_query_heads // layer.num_key_value_heads
    shared = [head // heads for head in range(layer.num_query_heads)]  # whose keys and values each head has
    powers = np.exp(q @ k[:, shared].transpose(0, 1, 3, 2) / np.sqrt(layer.head_dim)) * allowed
    joined = powers / powers.sum(axis=-1, keepdims=True) @ v[:, shared]
    return np.einsum("nhtk,hkm->ntm", joined, w["attention_output/kernel"]) + w["attention_output/bias"]


@pytest.mark.parametrize("heads", [(4, 2), (3, 1), (2, 2), (6, 2)], ids=str)
def test_heads_of_queries_share_keys_and_values(heads, backend):
    x, y, z = mc.Input((3, 4)), mc.Input((2, 4)), mc.Input((2, 5))
    layer = layers.GroupQueryAttention(3, *heads)
    model = mc.Model([x, y, z], layer(x, y, z))
    cosines(layer)
    key = np.sin(np.arange(20) + 0.5).reshape(2, 2, 5)
    expected = formula(layer, QUERY, VALUE, key, np.ones((1, 1, 3, 2)))
    np.testing.assert_allclose(model.predict([QUERY, VALUE, key], verbose=0), expected, rtol=0, atol=1e-5)


def test_masks_that_are_tensors():
    x, y, of_queries, of_values, pairs = (mc.Input(shape) for shape in ((3, 4), (2, 4), (3,), (2,), (3, 2)))
    layer = layers.GroupQueryAttention(2, 4, 2)
    output = layer(x, y, query_mask=of_queries, key_mask=of_values, attention_mask=pairs)
    model = mc.Model([x, y, of_queries, of_values, pairs], output)
    cosines(layer)
    own = np.array([[[1, 0], [0, 1], [1, 1]], [[1, 1], [1, 0], [1, 1]]])
    allowed = (own * VALUE_MASK[:, None] * QUERY_MASK[..., None])[:, None].astype(float)
    allowed[0, 0, 1] = 1  # a place that attends to none attends to all alike, here
    found = model.predict([QUERY, VALUE, QUERY_MASK, VALUE_MASK, own], verbose=0)
    expected = formula(layer, QUERY, VALUE, VALUE, allowed)
    np.testing.assert_allclose(
        found[[0, 0, 1, 1, 1], [0, 2, 0, 1, 2]], expected[[0, 0, 1, 1, 1], [0, 2, 0, 1, 2]], atol=1e-5
    )


def test_the_config_is_that_of_keras():
    config = keras_layers.GroupQueryAttention(3, 4, 2, name="g").get_config()
    parts = {name: config.pop(name)["class_name"] for name in ("kernel_initializer", "bias_initializer")}
    assert parts == {"kernel_initializer": "GlorotUniform", "bias_initializer": "Zeros"}
    assert config == {
        **{"name": "g", "trainable": True, "dtype": "float32", "head_dim": 3, "num_query_heads": 4},
        **{"num_key_value_heads": 2, "use_bias": True, "use_gate": False, "sliding_window": None, "dropout": 0.0},
        **dict.fromkeys(("kernel_regularizer", "bias_regularizer", "activity_regularizer")),
        **{"kernel_constraint": None, "bias_constraint": None, "seed": None},
    }
    assert keras_layers.GroupQueryAttention(3, 4, 2).name.startswith("grouped_query_attention")


def of_all_kinds():
    """A model of attention with masks that are tensors and arrays, on the two inputs of `DATA`."""
    x, mask = keras.Input((3, 4)), keras.Input((3,))
    alone = np.array([[1, 1, 0]])
    y = keras_layers.GroupQueryAttention(2, 4, 2, use_gate=True, name="a")(x, x, query_mask=mask, value_mask=alone)
    y = keras_layers.MultiHeadAttention(2, 2, name="b")(y, y, key_mask=[1, 0, 1], attention_mask=np.tri(3))
    y = keras_layers.Attention(name="c")([y, y], mask=[np.array([[0, 1, 1]]), mask])
    y = keras_layers.AdditiveAttention(name="d")([y, y], mask=[None, alone], use_causal_mask=True)
    model = keras.Model([x, mask], y)
    cosines(model)
    return model


DATA = [QUERY, QUERY_MASK]


@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5", "json"])
def test_files(ending, tmp_path):
    pytest.importorskip("h5py")
    model, path = of_all_kinds(), tmp_path / f"model{ending}"
    if ending == "json":
        again = keras.models.model_from_json(model.to_json())
        again.set_weights(model.get_weights())
    elif ending == ".weights.h5":
        model.save_weights(path)
        again = of_all_kinds()
        again.set_weights([0 * weight for weight in again.get_weights()])
        again.load_weights(path)
    else:
        model.save(path)
        again = keras.models.load_model(path)
    np.testing.assert_array_equal(again.predict(DATA, verbose=0), model.predict(DATA, verbose=0))


def test_files_are_those_of_keras(tmp_path):
    h5py = pytest.importorskip("h5py")
    model = of_all_kinds()
    entries = {entry["name"]: entry for entry in json.loads(model.to_json())["config"]["layers"]}
    assert entries["a"]["class_name"] == "GroupQueryAttention" and entries["a"]["module"] == "keras.layers"
    (call,) = entries["a"]["inbound_nodes"]
    assert call["kwargs"]["value_mask"]["config"]["value"] == [[1, 1, 0]]
    assert call["kwargs"]["query_mask"]["class_name"] == "__keras_tensor__"
    (call,) = entries["c"]["inbound_nodes"]
    assert [mask["class_name"] for mask in call["kwargs"]["mask"]] == ["__numpy__", "__keras_tensor__"]
    model.save_weights(tmp_path / "own.weights.h5")
    with h5py.File(tmp_path / "own.weights.h5") as file:  # as Keras names them, inside of which the class is another
        parts = {f"_{part}_dense" for part in ("query", "key", "value", "gate", "output")}
        assert set(file["layers/grouped_query_attention"]) - {"vars"} == parts
    model.save(tmp_path / "own.h5")
    with h5py.File(tmp_path / "own.h5") as file:
        assert '"GroupedQueryAttention"' in file.attrs["model_config"]
        assert '"GroupQueryAttention"' not in file.attrs["model_config"]


def test_onnx_says_the_same(tmp_path):
    runtime, path = pytest.importorskip("onnxruntime"), tmp_path / "model.onnx"
    model = of_all_kinds()
    model.export(path, format="onnx")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {i.name: x.astype("f4") for i, x in zip(session.get_inputs(), DATA, strict=True)}
    (y,) = session.run(None, feed)
    np.testing.assert_allclose(y, model.predict(DATA, verbose=0), rtol=0, atol=1e-5)


def test_masks_that_are_arrays_are_the_same_for_all_samples():
    x, mask, twice = mc.Input((3, 4)), np.array([[1, 0, 1]]), np.array([[1, 0, 1]] * 2)
    for layer, name in (
        (layers.MultiHeadAttention(2, 3), "value_mask"),
        (layers.MultiHeadAttention(2, 3), "key_mask"),
        (layers.GroupQueryAttention(2, 4, 2), "query_mask"),
        (layers.GroupQueryAttention(2, 4, 2), "value_mask"),
    ):
        model = mc.Model(x, layer(x, x, **{name: mask}))
        np.testing.assert_allclose(
            model.predict(QUERY, verbose=0), layer(QUERY, QUERY, **{name: twice}), rtol=0, atol=1e-6
        )
    for cls in (layers.Attention, layers.AdditiveAttention):
        for masks in ([mask, None], [None, mask], [mask, mask]):
            layer = cls()
            model = mc.Model(x, layer([x, x], mask=masks))
            given = [None if m is None else twice for m in masks]
            y = layer([QUERY, QUERY], mask=given)
            np.testing.assert_allclose(model.predict(QUERY, verbose=0), y, rtol=0, atol=1e-6)
            plain = cls()([QUERY, QUERY])
            assert np.abs(np.asarray(y) - plain).max() > 0.01  # it counts


X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
OF_ONE_ROW = [  # the first number of each place, of Keras 3.15: with a mask of the values, of the queries
    [[-0.1367, -0.0053, -0.6563], [-2.323, -1.4053, -0.4197]],
    [[-0.3346, 0.0, -0.6524], [-2.322, 0.0, -0.4264]],
]


@pytest.mark.parametrize(
    "mask", [np.array([[1, 0, 1]], bool), np.array([1, 0, 1]), [1, 0, 1]], ids=["row", "1d", "list"]
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_mask_of_one_row_is_that_of_all_arrays(mask, place):
    masks = [None, mask] if place == 0 else [mask, None]
    y = np.asarray(keras_layers.Attention()([X, X], mask=masks))
    np.testing.assert_allclose(y[..., 0], OF_ONE_ROW[place], rtol=0, atol=1e-4)
    additive, rows = keras_layers.AdditiveAttention(use_scale=False), np.array([[1, 0, 1]] * 2)
    np.testing.assert_array_equal(
        additive([X, X], mask=masks), additive([X, X], mask=[None if m is None else rows for m in masks])
    )


def test_shapes_go_by_their_names():
    of_query, of_value = (None, 3, 4), (None, 2, 4)
    for layer in (keras_layers.GroupQueryAttention(2, 4, 2), keras_layers.MultiHeadAttention(2, 3)):
        found = layer.compute_output_shape(value_shape=of_value, query_shape=of_query)
        assert tuple(found) == tuple(layer.compute_output_shape(of_query, value_shape=of_value)) == of_query


def test_arrays_and_tensors_leave_out_places_together():
    x, of_pairs = mc.Input((3, 4)), mc.Input((3, 3))
    pairs = np.array([[[1, 0, 1], [1, 1, 1], [1, 1, 0]]] * 2)
    fixed = {"value_mask": [1, 1, 0], "key_mask": [[1, 0, 1]]}  # the first place is left
    for attention_mask, inputs, data in ((of_pairs, [x, of_pairs], [QUERY, pairs]), (np.tri(3), [x], [QUERY])):
        layer = layers.GroupQueryAttention(2, 4, 2)
        model = mc.Model(inputs, layer(x, x, attention_mask=attention_mask, **fixed))
        cosines(layer)
        expected = formula(layer, QUERY, QUERY, QUERY, np.array([1, 0, 0]) * np.ones((1, 1, 3, 1)))
        np.testing.assert_allclose(model.predict(data, verbose=0), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention"])
@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((5, 3)), ShapeError, "a tensor where it differs from sample to sample"),
        (np.ones((1, 2)), ShapeError, "value_mask"),
        ("abc", (DataError, ShapeError), "value_mask of layer .* Received: 'abc'"),
    ],
    ids=str,
)
def test_arrays_that_are_no_masks(kind, mask, error, message):
    x = mc.Input((3, 4))
    layer = getattr(layers, kind)(*{"M": (2, 3), "G": (2, 4, 2), "A": ()}[kind[0]])
    with pytest.raises(error, match=message):
        layer([x, x], mask=[None, mask]) if kind[0] == "A" else layer(x, x, value_mask=mask)


def masked_mean(x, query_mask, value_mask, causal):
    """Attention of x to itself without heads, in float64."""
    scores = x @ x.transpose(0, 2, 1)
    allowed = value_mask[:, None] * (np.tri(x.shape[1]) if causal else 1)
    powers = np.exp(scores) * allowed
    return powers / powers.sum(axis=-1, keepdims=True) @ x * query_mask[..., None]


def slope(function, x, step=1e-5):
    """The gradient, by differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        gradient[place] = (function(x + moved) - function(x - moved)) / (2 * step)
    return gradient


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("as_tensors", [False, True])
def test_gradients_of_gradients_of_masked_attention(as_tensors, causal):
    """The gradient of |∂Σy²/∂x|², of a formula for what masks leave out of scores and of the output."""
    masks = [np.array([[1, 0, 1]]), np.array([[1, 1, 0]])]
    x = keras.Input((3, 2))
    inputs = [keras.Input((3,)), keras.Input((3,))]
    y = keras_layers.Attention()([x, x], mask=inputs if as_tensors else masks, use_causal_mask=causal)
    model = keras.Model([x, *inputs] if as_tensors else x, y)
    given = np.cos(np.arange(12)).reshape(2, 3, 2)
    full = [np.repeat(mask, 2, axis=0).astype("float32") for mask in masks]

    def length(x):
        own = [*full, causal]
        return (slope(lambda x: (masked_mean(x, *own) ** 2).sum(), x) ** 2).sum()

    variable = tf.constant(given.astype("float32"))
    with tf.GradientTape() as outer:
        outer.watch(variable)
        with tf.GradientTape() as inner:
            inner.watch(variable)
            loss = tf.reduce_sum(tf.square(model([variable, *full] if as_tensors else variable)))
        squares = tf.reduce_sum(tf.square(inner.gradient(loss, variable)))
    found = np.asarray(outer.gradient(squares, variable))
    np.testing.assert_allclose(found, slope(length, given, 1e-3), rtol=0, atol=2e-3 * np.abs(found).max())


def test_masks_on_the_page():
    """Of masks that are the same for all samples, the operations of the page do what the layers do."""
    scores, mask = np.cos(np.arange(12)).reshape(3, 4), [[1, 0, 1, 1]]
    for is_causal in (False, True):
        step = MaskedScores(is_causal, mask)
        left = np.array(mask) * (np.tri(3, 4) if is_causal else 1)
        np.testing.assert_allclose(of_a_page(step, scores), scores - 1e9 * (1 - left), rtol=0, atol=1e-6)
    step = KeptPlaces([[1, 0, 1]])
    np.testing.assert_allclose(of_a_page(step, scores), scores * [[1], [0], [1]], rtol=0, atol=0)


def test_what_is_refused():
    x, image, other = mc.Input((3, 4)), mc.Input((2, 3, 4)), mc.Input((3, 5))
    with pytest.raises(ValueError, match=r"must be divisible.*Received: 4 and 3"):
        layers.GroupQueryAttention(2, 4, 3)
    with pytest.raises(ShapeError, match=r"attention of groups of queries takes \(N, T, D\)"):
        layers.GroupQueryAttention(2, 4, 2)(image, image)
    with pytest.raises(ShapeError, match=r"must be equal.*Received: shapes \(None, 3, 4\) and \(None, 3, 5\)"):
        layers.GroupQueryAttention(2, 4, 2)(x, other)
    with pytest.raises(TypeError, match="a query and a value"):
        layers.GroupQueryAttention(2, 4, 2)(x)
    with pytest.raises(NotImplementedError, match="a class that writes _compute_attention"):

        class Own(keras_layers.GroupQueryAttention):
            def _compute_attention(self, query, key, value, attention_mask=None, training=None):
                return query, None
