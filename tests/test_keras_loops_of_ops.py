"""Loops and choices of ``keras.ops``, and sources of seeds. Expected: what Keras 3.15.1 with TensorFlow gives."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops

L = keras.layers
XS = np.arange(5, dtype="float32")


@pytest.mark.parametrize(
    ("made", "value", "dtype"),
    [
        (lambda: ops.while_loop(lambda i: i < 5, lambda i: i + 1, 0), 5, "int32"),
        (lambda: ops.while_loop(lambda i: i < 5, lambda i: i + 1, ops.convert_to_tensor(0)), 5, "int32"),
        (lambda: ops.while_loop(lambda i: True, lambda i: i * 2, 1, maximum_iterations=3), 8, "int32"),
        (lambda: ops.while_loop(lambda i, s: i < 5, lambda i, s: (i + 1, s + 2.5), (0, 1.0))[1], 13.5, "float32"),
        (lambda: ops.while_loop(lambda i: i < 5, lambda i: (i + 1,), (0,))[0], 5, "int32"),
        (lambda: ops.while_loop(lambda i, s: i < 2, lambda i, s: [i + 1, s * 2], [0, XS])[1], XS * 4, "float32"),
        (lambda: ops.fori_loop(0, 5, lambda i, v: v + i, 0), 10, "int32"),
        (lambda: ops.fori_loop(2, 5, lambda i, v: v + 1.5, 0.0), 4.5, "float32"),
        (lambda: ops.fori_loop(3, 0, lambda i, v: v + 1, 7), 7, "int32"),
    ],
)
def test_loops_take_plain_numbers_and_give_arrays(made, value, dtype):
    found = made()
    np.testing.assert_array_equal(found, value)
    assert np.asarray(found).dtype == dtype


def test_several_variables_come_back_in_a_tuple():
    assert type(ops.while_loop(lambda i, j: i < 1, lambda i, j: (i + 1, j), [0, 0])) is tuple


@pytest.mark.parametrize(
    ("made", "carried", "kept"),
    [
        (lambda: ops.scan(lambda c, x: (c + x, c + x), 0.0, XS), 10, [0, 1, 3, 6, 10]),
        (lambda: ops.scan(lambda c, x: (c + x, c * 2), np.float32(1), XS, reverse=True), 11, [22, 20, 16, 10, 2]),
        (lambda: ops.scan(lambda c, _: (c + 1, c), 0, length=4), 4, [0, 1, 2, 3]),
        (lambda: ops.scan(lambda c, x: (c + x, None), 0.0, XS), 10, [0, 0, 0, 0, 0]),
        (lambda: ops.scan(lambda c, x: (c + x["a"], x["b"]), 0.0, {"a": XS, "b": XS * 2}), 10, XS * 2),
    ],
)
def test_scan(made, carried, kept):
    found = made()
    np.testing.assert_array_equal(found[0], carried)
    np.testing.assert_array_equal(found[1], kept)


def test_what_scan_cannot_count_is_refused():
    with pytest.raises(ValueError, match="xs="):
        ops.scan(lambda c, x: (c, c), 0.0)
    with pytest.raises(ValueError, match="along its first axis, 5"):
        ops.scan(lambda c, x: (c, c), 0.0, XS, length=3)


def test_associative_scan():
    xs = np.arange(1, 6, dtype="float32")
    np.testing.assert_array_equal(ops.associative_scan(lambda a, b: a + b, xs), [1, 3, 6, 10, 15])
    np.testing.assert_array_equal(ops.associative_scan(ops.multiply, xs, reverse=True), [120, 120, 60, 20, 5])
    rows = ops.associative_scan(ops.add, np.ones((2, 3), "float32"), axis=1)
    np.testing.assert_array_equal(rows, [[1, 2, 3], [1, 2, 3]])


def test_scan_trains_in_a_layer():
    class Recurrent(L.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(name="w", shape=(6, 6), initializer="glorot_uniform", trainable=True)

        def call(self, x):
            def step(carried, part):
                carried = ops.tanh(carried * 0.5 + part)
                return carried, carried

            h = ops.matmul(x, self.w)
            return ops.transpose(ops.scan(step, ops.zeros_like(h[:, 0]), ops.transpose(h))[1])

        def compute_output_shape(self, input_shape):
            return input_shape

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 6)).astype("float32"), rng.integers(0, 3, 12)
    i = L.Input((6,))
    model = keras.Model(i, L.Dense(3, activation="softmax")(Recurrent()(i)))
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=w.shape).astype("float32") * 0.3 for w in model.get_weights()])
    assert np.abs(model.predict(x, verbose=0)[:, 0]).sum() == pytest.approx(3.8772, abs=2e-4)
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    history = model.fit(x, y, batch_size=5, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], [1.2269, 1.1742], atol=1e-4)


def test_a_source_of_seeds_has_a_state_and_a_config():
    source = keras.random.SeedGenerator(3, name="mine")
    assert source.get_config() == {"seed": 3, "name": "mine"}
    assert keras.random.SeedGenerator().get_config()["seed"] is None
    np.testing.assert_array_equal(source.next(), [3, 0])
    np.testing.assert_array_equal(source.state, [3, 1])
    keras.random.uniform((2,), seed=source)
    np.testing.assert_array_equal(source.state, [3, 2])
    with pytest.raises(ValueError, match="is an integer"):
        keras.random.SeedGenerator("a")


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: keras.random.normal((3,), seed=seed),
        lambda seed: keras.random.truncated_normal((3,), seed=seed),
        lambda seed: keras.random.randint((8,), 0, 1000, seed=seed),
        lambda seed: keras.random.categorical(np.zeros((2, 50)), 5, seed=seed),
        lambda seed: keras.random.shuffle(np.arange(30), seed=seed),
        lambda seed: keras.random.dropout(np.ones(30), 0.5, seed=seed),
        lambda seed: keras.random.gamma((3,), 2.0, seed=seed),
    ],
)
@pytest.mark.parametrize("seed", [5, -5])
def test_numbers_go_by_the_source_and_are_others_each_time(draw, seed):
    source = keras.random.SeedGenerator(seed)
    again = keras.random.SeedGenerator.from_config(source.get_config())
    first, second = np.asarray(draw(source)), np.asarray(draw(source))
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(99)  # which makes no difference
    np.testing.assert_array_equal(draw(again), first)
    np.testing.assert_array_equal(draw(again), second)
    assert not np.array_equal(np.asarray(draw(keras.random.SeedGenerator(6))), first)


def test_without_a_seed_the_source_goes_by_that_of_all():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        source = keras.random.SeedGenerator()
        found.append(np.asarray([keras.random.normal((3,), seed=source) for _ in range(2)]))
    np.testing.assert_array_equal(*found)


def test_a_layer_asks_its_source_each_time():
    class Noisy(L.Layer):
        def __init__(self):
            super().__init__()
            self.source = keras.random.SeedGenerator(3)

        def call(self, x, training=None):
            return x + keras.random.normal(ops.shape(x), seed=self.source) if training else x

    layer, x = Noisy(), np.zeros((2, 3), "float32")
    assert not np.array_equal(layer(x, training=True), layer(x, training=True))
    assert layer.source.state[1] >= 2


def test_a_function_of_the_parts_of_several_arrays():
    made = ops.vectorized_map(lambda parts: parts[0] + parts[1].sum(), (np.arange(3.0), np.ones((3, 2))))
    assert np.asarray(made).tolist() == [2, 3, 4]
    made = ops.vectorized_map(lambda part: {"twice": part["x"] * 2}, {"x": np.arange(3.0)})
    assert np.asarray(made["twice"]).tolist() == [0, 2, 4]
    assert np.asarray(ops.vectorized_map(lambda row: row.sum(), [[1, 2], [3, 4]])).tolist() == [3, 7]
