"""What the `call` of layers and models of one's own gives: forms with dicts, numbers and None, joined batches.

Expected numbers are computed by NumPy alone.
"""

import json

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore:call of model")
L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype("float32")


class Formed(L.Layer):
    """Layers, whose results are given in some form."""

    def __init__(self, form):
        super().__init__()
        self.form, self.a, self.b = form, L.Dense(2), L.Dense(3)

    def call(self, x):
        return self.form(self.a(x), self.b(x), x)


FORMS = {
    "dict": lambda a, b, x: {"b": b, "a": a},
    "nested": lambda a, b, x: (a, [b, {"c": a}]),
    "list of one": lambda a, b, x: [a + tf.reduce_mean(b, axis=1, keepdims=True)],
    "number": lambda a, b, x: (a, int(x.shape[1]), b),
    "None": lambda a, b, x: [a, None, b],
}


def computed(layer, x, form):
    a, b = (x @ w.numpy() + bias.numpy() for w, bias in (layer.a.weights, layer.b.weights))
    return form(a, b, x)


def same(found, expected):
    assert type(found) is type(expected) or isinstance(expected, np.ndarray)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_allclose(getattr(found, "value", found), expected, rtol=1e-5, atol=1e-6)
    else:
        assert found == expected


@pytest.mark.parametrize("kind", ["arrays", "tape", "tensors"])
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_of_layers_gives_the_form_that_its_call_gives(form, kind):
    layer = Formed(FORMS[form])
    if kind == "tensors":
        x = keras.Input((4,))
        made = layer(x)
        assert type(made) is type(FORMS[form](x, x, x))
        numbers = [part for part in tf.nest.flatten(made) if isinstance(part, int)]
        assert numbers == ([4] if form == "number" else [])
        tensors = [part for part in tf.nest.flatten(made) if hasattr(part, "node")]
        found = keras.Model(x, tensors)(X)
        expected = [part for part in tf.nest.flatten(computed(layer, X, FORMS[form])) if isinstance(part, np.ndarray)]
        same(found if isinstance(found, list) else [found], expected)
    elif kind == "tape":
        with tf.GradientTape():
            made = layer(X)
        same(made, computed(layer, X, FORMS[form]))
    else:
        same(layer(X), computed(layer, X, FORMS[form]))


def test_sizes_that_a_layer_of_layers_gives_are_those_of_its_inputs():
    class Patches(L.Layer):
        def __init__(self):
            super().__init__()
            self.project = L.Conv2D(3, 2, strides=2)

        def call(self, x):
            x = self.project(x)
            return L.Reshape((-1, 3))(x), tf.shape(x)[1], x.shape[2]

    layer = Patches()
    assert layer(keras.Input((None, None, 1)))[0].shape == (None, None, 3)
    for rows, columns in ((8, 6), (4, 10), (8, 6)):
        made, height, width = layer(np.zeros((2, rows, columns, 1), "float32"))
        assert (made.shape, height, width) == ((2, rows * columns // 4, 3), rows // 2, columns // 2)
    assert len(layer.project.nodes) == 1


class Halved(L.Layer):
    """A convolution of ones, without padding, and the largest of each 2 x 2 of its numbers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = L.Conv2D(1, 3, use_bias=False, kernel_initializer="ones")
        self.pooling = L.MaxPooling2D()

    def call(self, x):
        return self.pooling(self.convolution(x))


def halved(x):
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    sums = sum(x[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    sums = sums[:, : rows // 2 * 2, : columns // 2 * 2]
    return np.max([sums[:, i::2, j::2] for i in range(2) for j in range(2)], axis=0)


def test_a_layer_of_layers_is_called_on_pictures_of_several_sizes():
    layer, small, large = Halved(), RNG.normal(size=(2, 6, 6, 1)), RNG.normal(size=(3, 9, 14, 1))
    np.testing.assert_allclose(layer(small), halved(small), rtol=1e-5, atol=1e-5)
    x = keras.Input((6, 6, 1))
    model = keras.Model(x, layer(x))
    np.testing.assert_allclose(layer(large), halved(large), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.predict(small, verbose=0), halved(small), rtol=1e-5, atol=1e-5)
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(large)) + tf.reduce_sum(layer(small))
    np.testing.assert_allclose(float(y), halved(large).sum() + halved(small).sum(), rtol=1e-4)
    assert tape.gradient(y, layer.weights)[0].shape == (3, 3, 1, 1)
    assert len(layer.weights) == 1 and len(layer.convolution.nodes) == 1


def test_one_layer_of_layers_sees_two_levels_of_a_pyramid():
    x = keras.Input((12, 12, 1))
    layer = Halved()
    first = layer(x)
    model = keras.Model(x, [first, layer(first)])
    data = RNG.normal(size=(2, 12, 12, 1))
    found = model(data)
    np.testing.assert_allclose(found[0], halved(data), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], halved(halved(data)), rtol=1e-4, atol=1e-4)


def test_a_layer_of_layers_that_is_for_one_size_says_so_and_stays():
    class Flat(L.Layer):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = L.Flatten(), L.Dense(2, kernel_initializer="ones")

        def call(self, x):
            return self.dense(self.flatten(x))

    layer, x = Flat(), RNG.normal(size=(2, 4, 3, 1))
    for _ in range(2):
        np.testing.assert_allclose(layer(x), x.sum((1, 2)) * [[1, 1]], rtol=1e-5)
        with pytest.raises(ValueError, match="takes inputs of shapes"):
            layer(np.zeros((2, 5, 3, 1)))
    assert [len(part.nodes) for part in (layer.flatten, layer.dense)] == [1, 1]


def test_a_layer_of_arrays_gives_none_and_no_number():
    class Given(L.Layer):
        def __init__(self, beside):
            super().__init__()
            self.beside = beside

        def call(self, x):
            return x * 2, self.beside, x + 1

    x = keras.Input((4,))
    first, nothing, second = Given(None)(x)
    assert nothing is None
    same(keras.Model(x, [first, second])(X), [X * 2, X + 1])
    with pytest.raises(TypeError, match="gives arrays of samples, and None beside them"):
        Given(3)(x)


def test_batches_are_joined_by_concatenate_of_arrays():
    np.testing.assert_array_equal(L.Concatenate(axis=0)([X, X * 2]), np.concatenate([X, X * 2]))
    np.testing.assert_array_equal(L.concatenate([X, X * 2], axis=-2), np.concatenate([X, X * 2]))
    with pytest.raises(ValueError, match="samples of one input behind those of another"):
        L.Concatenate(axis=0)([keras.Input((4,)), keras.Input((4,))])


def test_a_model_joins_two_views_of_its_inputs():
    class Views(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = L.Dense(2, use_bias=False, kernel_initializer="ones")

        def call(self, x):
            return self.inner(L.Concatenate(axis=0)([x, x * 2]))

        def train_step(self, x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(self(x, training=True))
            self.optimizer.apply_gradients(zip(tape.gradient(loss, self.weights), self.weights, strict=True))
            return {"loss": loss}

    model = Views()
    np.testing.assert_allclose(model(X), np.concatenate([X, X * 2]).sum(1, keepdims=True) * [[1, 1]], rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(X, epochs=1, batch_size=6, verbose=0)
    expected = 1 - 0.5 * 3 * X.sum(0)  # by the sums of both views
    np.testing.assert_allclose(model.inner.kernel.numpy(), np.stack([expected] * 2, 1), rtol=1e-5)


def test_a_model_in_a_call_that_gets_two_tensors_is_a_part_of_the_graph():
    class Joined(keras.Model):
        def __init__(self):
            super().__init__()
            self.normal = L.BatchNormalization(epsilon=1e-9, momentum=0.5)

        def call(self, x, y, training=None):
            return tf.concat([self.normal(x, training=training), y], axis=-1)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.joined = Joined()

        def call(self, x, training=None):
            return self.joined(x, x * 2, training=training)

    model = Outer()
    np.testing.assert_allclose(model(X), np.concatenate([X, X * 2], 1), rtol=1e-5)
    normal = (X - X.mean(0)) / X.std(0)
    np.testing.assert_allclose(model(X, training=True), np.concatenate([normal, X * 2], 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.joined.normal.moving_mean.numpy(), X.mean(0) / 2, rtol=1e-4, atol=1e-6)
    assert not model.runs_at_once
    np.testing.assert_allclose(model.joined(X, X)[:, 4:], X)


def test_metrics_of_compile_count_the_one_output_that_a_step_gives_them():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = L.Dense(3, use_bias=False)

        def call(self, x):
            return self.inner(x), x

        def train_step(self, data):
            x, y = data
            scores, _ = self(x, training=True)
            for metric in self.metrics:
                if metric.name != "loss":
                    metric.update_state(y, scores)
            return {metric.name: metric.result() for metric in self.metrics}

    model = Pair()
    names = [keras.metrics.SparseCategoricalAccuracy(name="one"), keras.metrics.SparseTopKCategoricalAccuracy(2, "two")]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=names)
    y = np.arange(6) % 3
    history = model.fit(X, y, batch_size=3, verbose=0).history
    order = np.argsort(-(X @ model.inner.kernel.numpy()), axis=1)
    assert history["one"][-1] == pytest.approx(np.mean(order[:, 0] == y))
    assert history["two"][-1] == pytest.approx(np.mean((order[:, :2] == y[:, None]).any(1)))


@keras.saving.register_keras_serializable("call_results")
class WithPart(keras.Model):
    """As the guide on files writes models whose arguments are layers."""

    def __init__(self, units, part, **kwargs):
        super().__init__(**kwargs)
        self.units, self.part = units, part
        self.first = L.Dense(units)

    def call(self, x):
        return self.part(self.first(x))

    def get_config(self):
        part = keras.saving.serialize_keras_object(self.part)
        return {**super().get_config(), "units": self.units, "part": part}

    @classmethod
    def from_config(cls, config):
        return cls(part=keras.saving.deserialize_keras_object(config.pop("part")), **config)


@pytest.mark.parametrize("is_called", [True, False])
def test_a_config_of_ones_own_is_for_the_constructor(is_called):
    model = WithPart(3, L.Dense(2, name="last"), name="mine")
    made = model(X) if is_called else None
    assert model.get_config().keys() == {"name", "trainable", "units", "part"}
    again = WithPart.from_config(model.get_config())
    assert (again.name, again.units, again.part.name, again.built) == ("mine", 3, "last", False)
    again(X)
    again.set_weights(model.get_weights()) if is_called else None
    assert not is_called or np.array_equal(again(X), made)


def test_files_ask_a_from_config_of_ones_own(tmp_path):
    model = WithPart(3, L.Dense(2, name="last"))
    made = model(X)
    model.save(path := str(tmp_path / "m.keras"))
    loaded = keras.models.load_model(path)
    assert type(loaded) is WithPart and (loaded.units, loaded.part.name) == (3, "last")
    np.testing.assert_array_equal(loaded(X), made)


class Conditional(keras.Model):
    """Whose call decides by numbers, and gives no graph."""

    def __init__(self):
        super().__init__()
        self.first, self.last = L.Dense(3), L.Dense(2)

    def call(self, x):
        several = x if isinstance(x, list) else [x]
        h = sum(self.first(each) for each in several)
        return self.last(h * 2 if float(tf.reduce_sum(h)) > 1e9 else h)


@pytest.mark.parametrize("shape", [(None, 4), [(None, 4), (None, 4)]], ids=str)
def test_a_model_without_a_graph_is_built_by_a_shape(shape):
    model = Conditional()
    assert model.built is False
    model.build(shape)
    assert model.built is True and [w.shape for w in model.weights] == [(4, 3), (3,), (3, 2), (2,)]
    before = model.get_weights()
    model.build(shape)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    called = Conditional()
    called(X)
    assert called.built is True
    with pytest.raises(ValueError, match="a size that is known only when data comes"):
        Conditional().build((None, None))


class OfTwo(L.Layer):
    def call(self, a, b):
        return a - 2 * b


class OfList(L.Layer):
    def call(self, several):
        return several[0] - 2 * several[1]


@pytest.mark.parametrize(("cls", "count"), [(OfTwo, 2), (OfList, 1)])
def test_calls_of_several_inputs_are_in_files_as_keras_makes_them(cls, count, tmp_path):
    """``layer(a, b)`` is not ``layer([a, b])`` there, and could not be read."""
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], (cls()(a, b) if count == 2 else cls()([a, b])))
    (call,) = json.loads(model.to_json())["config"]["layers"][-1]["inbound_nodes"]
    tensors = call["args"] if count == 2 else call["args"][0]
    assert len(call["args"]) == count
    assert [tensor["class_name"] for tensor in tensors] == ["__keras_tensor__"] * 2
    for ending in (".keras", ".h5", ".safetensors"):
        model.save(path := tmp_path / f"m{ending}")
        loaded = keras.models.load_model(path, custom_objects={cls.__name__: cls})
        np.testing.assert_allclose(loaded.predict([X, X + 1], verbose=0), X - 2 * (X + 1), rtol=1e-5, atol=1e-5)
