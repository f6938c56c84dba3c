"""Models of Keras's room on data of other sizes than the first; numbers of Keras 3.15.1 on TensorFlow."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import tensorflow as tf
from minicnn.keras.models import _any_size

L = keras.layers


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 1000


class Called(keras.Model):
    """Layers one after the other, as a `call`."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


@pytest.mark.parametrize("begin", [None, [], [(8, 8, 1)]])
def test_training_goes_on_with_other_sizes(begin):
    """Momentum is kept, and so are the weights."""
    convolution = L.Conv2D(2, 3, kernel_initializer="ones")
    layers = [convolution, L.GlobalAveragePooling2D(), L.Dense(1, kernel_initializer="ones")]
    model = Called(*layers) if begin is None else keras.Sequential([*map(keras.Input, begin), *layers])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    losses = model.fit(numbers(2, 8, 8, 1), np.ones((2, 1)), epochs=2, verbose=0).history["loss"]
    losses += model.fit(numbers(2, 10, 9, 1), np.ones((2, 1)), epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, [0.35223, 0.34456, 0.95142, 0.82705], atol=2e-5)
    np.testing.assert_allclose(model.predict(numbers(1, 12, 8, 1), verbose=0), [[0.651713]], atol=2e-5)
    np.testing.assert_allclose(model.evaluate(numbers(2, 8, 8, 1), np.ones((2, 1)), verbose=0), 0.287612, atol=2e-5)
    np.testing.assert_allclose(model.train_on_batch(numbers(2, 7, 8, 1), np.ones((2, 1))), 0.261466, atol=2e-5)


def test_a_call_and_the_layers_afterwards():
    model = keras.Sequential([L.Conv2D(2, 3, padding="same"), L.UpSampling2D()])
    assert model(numbers(2, 8, 8, 3)).shape == (2, 16, 16, 2)
    assert model(numbers(2, 10, 8, 3)).shape == (2, 20, 16, 2)
    model.add(L.ReLU())
    assert model(numbers(1, 12, 6, 3)).shape == (1, 24, 12, 2)
    model.pop()
    assert model(numbers(1, 6, 8, 3)).shape == (1, 12, 16, 2) and len(model.layers) == 2


def test_pictures_of_several_sizes_on_one_tape():
    """The gradient of a mean over a picture by a kernel of one pixel is the picture's mean."""
    convolution = L.Conv2D(1, 1, kernel_initializer="ones", use_bias=False)
    model = Called(convolution, L.GlobalAveragePooling2D())
    first, second = numbers(1, 8, 8, 1), numbers(1, 10, 9, 1)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(first)) + 2 * tf.reduce_sum(model(second))
    (gradient,) = tape.gradient(total, model.trainable_variables)
    np.testing.assert_allclose(gradient.ravel(), first.mean() + 2 * second.mean(), rtol=1e-5)


def test_models_of_a_call_in_each_other_and_between_tensors():
    inner = Called(L.Conv2D(2, 3, kernel_initializer="ones"))
    model = Called(inner, L.Conv2D(1, 1, kernel_initializer="ones"))
    for height, width in ((8, 8), (9, 7), (8, 8)):
        x = numbers(2, height, width, 1)
        sums = sum(x[:, i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3))
        np.testing.assert_allclose(model.predict(x, verbose=0), 2 * sums, rtol=1e-5)
    assert model(keras.Input((20, 30, 1))).shape == (None, 18, 28, 1)
    assert len(model.weights) == 4


def test_a_call_that_computes_with_sizes_is_run_for_each():
    class Rows(keras.Model):
        def call(self, x):
            return tf.reshape(x, (-1, x.shape[1] * x.shape[2]))

    model = Rows()
    for x in (numbers(2, 4, 3, 1), numbers(2, 5, 3, 1), numbers(2, 4, 3, 1)):
        np.testing.assert_array_equal(model(x), x.reshape(2, -1))


def test_a_call_that_would_make_other_weights_is_refused():
    class Careless(keras.Model):
        def call(self, x):
            return L.Dense(1)(L.GlobalAveragePooling2D()(x))

    model = Careless()
    before = model(numbers(2, 8, 8, 1))
    with pytest.raises(ShapeError, match=r"expected data of shape \(None, 8, 8, 1\)"):
        model(numbers(2, 9, 8, 1))
    np.testing.assert_array_equal(model(numbers(2, 8, 8, 1)), before)


@pytest.mark.parametrize("size", [(9, 9, 1), (8, 8, 2)])
def test_sizes_that_weights_of_a_call_depend_on_are_refused(size):
    model = Called(L.Conv2D(2, 3), L.Flatten(), L.Dense(1))
    before = model(numbers(2, 8, 8, 1))
    with pytest.raises(ShapeError, match=r"expected data of shape \(None, 8, 8, 1\)"):
        model(numbers(2, *size))
    np.testing.assert_array_equal(model(numbers(2, 8, 8, 1)), before)
    assert model.input_shape == (None, 8, 8, 1)


@pytest.mark.parametrize(("shape", "layers"), [((2, 9, 9, 1), [L.Flatten, L.Dense]), ((2, 8, 8, 2), [L.ReLU])])
def test_sizes_that_a_weight_depends_on_are_refused(shape, layers):
    """And the model is as it was."""
    model = keras.Sequential([L.Conv2D(2, 3), *(layer(*[1] * (layer is L.Dense)) for layer in layers)])
    before = model(numbers(2, 8, 8, 1))
    with pytest.raises(ShapeError, match=r"expected data of shape \(None, 8, 8, 1\)"):
        model(numbers(*shape))
    np.testing.assert_array_equal(model(numbers(2, 8, 8, 1)), before)
    assert model.input_shape == (None, 8, 8, 1)
    model.pop()
    assert len(model.layers) == len(layers)


class Looking(keras.Model):
    """Ten times as much for pictures of 8 × 8; a mean whose divisor `call` computes, where it is told."""

    def __init__(self, asks=lambda x: x.shape[1], divides=False):
        super().__init__()
        self.convolution, self.asks, self.divides = (
            L.Conv2D(1, 3, padding="same", kernel_initializer="ones"),
            asks,
            divides,
        )

    def call(self, x):
        y = self.convolution(x)
        if self.divides:
            return tf.reduce_sum(y, axis=(1, 2)) * (1 / (x.shape[1] * x.shape[2]) if x.shape[1] else 1000.0)
        return L.GlobalAveragePooling2D()(y) * (10 if self.asks(x) == 8 else 1)


@pytest.mark.parametrize(
    "asks",
    [
        lambda x: x.shape[1],
        lambda x: tuple(x.shape)[1],
        lambda x: x.shape[1:].as_list()[0],
        lambda x: x.get_shape().as_list()[1],
        lambda x: keras.backend.int_shape(x)[1],
        lambda x: 8 if 8 in x.shape else 0,
        lambda x: 8 if x.shape == (None, 8, 8, 1) or x.shape == (1, 8, 8, 1) else 0,
    ],
)
def test_a_call_that_goes_by_the_size(asks):
    """A mean of 3 × 3 sums of ones, (3n - 2)² / n², ten times at n = 8: as Keras's, whatever came before."""
    for model in (Looking(asks), built := Looking(asks)):
        if model is built:
            model.build((None, None, None, 1))
        for n in (8, 12, 8, 16, 8):
            expected = [[(3 * n - 2) ** 2 / n**2 * (10 if n == 8 else 1)]]
            np.testing.assert_allclose(model.predict(np.ones((1, n, n, 1)), verbose=0), expected, rtol=1e-5)
            np.testing.assert_allclose(model(np.ones((1, n, n, 1))), expected, rtol=1e-5)


def test_a_call_that_goes_by_the_size_within_another_model():
    """Keras's 7.5625 and 6.25 are 13.8125, and of 12 × 12 it is (3n - 2)² / n², as n is not known to it before."""

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = Looking(divides=True)

        def call(self, x):
            return self.inner(x) + self.inner(x[:, ::2, ::2])

    np.testing.assert_allclose(Outer()(np.ones((1, 8, 8, 1))), [[13.8125]])
    inner, entry = Looking(divides=True), keras.Input((8, 8, 1))
    outer = keras.Model(entry, inner(entry))
    np.testing.assert_allclose(inner(np.ones((1, 12, 12, 1))), [[34**2 / 144]], rtol=1e-6)
    np.testing.assert_allclose(outer(np.ones((1, 8, 8, 1))), [[7.5625]])


def test_the_number_of_channels_leaves_sizes_open():
    """What a `call` asks most often is known for pictures of any size."""

    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = L.Conv2D(2, 1)

        def call(self, x):
            return self.convolution(x) / x.shape[-1] * len(x.shape)

    model = Scaled()
    model(numbers(1, 8, 8, 3))
    model(numbers(1, 6, 8, 3))
    assert model.input_shape == (None, None, 8, 3)


class LookingLayer(L.Layer):
    """A convolution; ten times as much for pictures of 8 × 8."""

    def __init__(self):
        super().__init__()
        self.convolution = L.Conv2D(1, 3, padding="same", kernel_initializer="ones")

    def call(self, x):
        return self.convolution(x) * (10 if x.shape[1] == 8 else 1)


@pytest.mark.parametrize("begin", [Called, lambda *parts: keras.Sequential(parts)])
@pytest.mark.parametrize("part", [LookingLayer, lambda: Looking(), lambda: Called(LookingLayer())])
def test_a_part_that_goes_by_the_size(begin, part):
    """As `test_a_call_that_goes_by_the_size`, of layers and models in another model, and of such a layer itself."""
    for is_called in (False, True):
        parts = [part()] if isinstance(part(), Looking) else [part(), L.GlobalAveragePooling2D()]
        model = begin(*parts)
        model.build((None, 8, 8, 1))
        for n in (8, 12, 8, 16, 8):
            expected, x = [[(3 * n - 2) ** 2 / n**2 * (10 if n == 8 else 1)]], np.ones((1, n, n, 1))
            np.testing.assert_allclose(model(x) if is_called else model.predict(x, verbose=0), expected, rtol=1e-5)


def test_a_layer_that_goes_by_the_size():
    layer = LookingLayer()
    for n in (8, 12, 8):
        made = np.mean(layer(np.ones((1, n, n, 1))))
        np.testing.assert_allclose(made, (3 * n - 2) ** 2 / n**2 * (10 if n == 8 else 1), rtol=1e-5)


class LookingModel(keras.Model):
    """As `LookingLayer`, as a model."""

    def __init__(self):
        super().__init__()
        self.convolution = L.Conv2D(1, 3, padding="same", kernel_initializer="ones")

    call = LookingLayer.call


def of_open_sizes(part, *frames):
    """A model whose Input says no sizes: a part that goes by them, and twice what it gives."""
    entry = keras.Input((*frames, None, None, 1))
    return keras.Model(entry, 2 * part(entry))


def sums_of(n):
    """What a part gives for ones: their 3 × 3 sums, added up, ten times as much at n = 8."""
    return (3 * n - 2) ** 2 * (10 if n == 8 else 1)


@pytest.mark.parametrize("part", [LookingLayer, LookingModel, lambda: Called(LookingLayer())])
@pytest.mark.parametrize("copied", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_part_of_a_model_of_open_sizes_that_goes_by_the_size(part, copied):
    """Keras runs its `call` for each batch, in which sizes are known."""
    model = copied(of_open_sizes(part()))
    for n in (12, 8, 12):
        np.testing.assert_allclose(np.sum(model(np.ones((1, n, n, 1)))), 2 * sums_of(n), rtol=1e-6)
        np.testing.assert_allclose(np.sum(model.predict(np.ones((1, n, n, 1)), verbose=0)), 2 * sums_of(n), rtol=1e-6)
    assert model.input_shape == (None, None, None, 1)
    kernel = model.trainable_weights[0]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(np.ones((1, 8, 8, 1), "float32")))
    np.testing.assert_allclose(tape.gradient(total, kernel)[1, 1, 0, 0], 20 * 64, rtol=1e-6)  # each pixel, once
    model.compile("sgd", "mse")
    loss = model.train_on_batch(np.ones((1, 8, 8, 1)), np.zeros((1, 8, 8, 1)))
    line = np.array([2, *[3] * 6, 2]) * 1.0
    np.testing.assert_allclose(loss, np.mean((20 * np.outer(line, line)) ** 2), rtol=1e-5)


def test_frames_that_go_by_the_size():
    model = of_open_sizes(L.TimeDistributed(LookingLayer()), 2)
    for n in (12, 8, 60, 12):
        made = np.sum(model(np.ones((1, 2, n, n, 1))))
        np.testing.assert_allclose(made, 4 * sums_of(n), rtol=1e-5)


@pytest.mark.parametrize("begin", [keras.Input, lambda shape: np.ones((1, *shape))])
def test_a_part_that_goes_by_the_size_in_two_models(begin):
    """Of a layer that stands in a model of 12 × 12, another model is of 8 × 8."""
    for part in (LookingLayer(), LookingModel()):
        part(begin((12, 12, 1)))
        entry = keras.Input((8, 8, 1))
        model = keras.Model(entry, part(entry))
        np.testing.assert_allclose(np.sum(model(np.ones((1, 8, 8, 1)))), sums_of(8), rtol=1e-6)


def test_other_weights_at_another_size_are_refused():
    class Deeper(L.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = L.Conv2D(1, 3, padding="same"), L.Conv2D(1, 3, padding="same")

        def call(self, x):
            return self.second(self.first(x)) if (x.shape[1] or 0) > 8 else self.first(x)

    model = of_open_sizes(Deeper())
    assert model(np.ones((1, 8, 8, 1))).shape == (1, 8, 8, 1)
    with pytest.raises(ShapeError, match="uses other weights for this size"):
        model(np.ones((1, 12, 12, 1)))


def test_what_a_file_has_of_a_call_that_goes_by_the_size_is_said(tmp_path):
    for part, names in ((LookingModel, ("a.keras", "a.onnx")), (LookingLayer, ("b.onnx",))):
        model = of_open_sizes(part())
        for name in names:
            with pytest.warns(UserWarning, match="looks at sizes that are open"):
                mc.export_onnx(model, tmp_path / name) if name.endswith("onnx") else model.save(tmp_path / name)


def test_a_refused_size_leaves_a_model_as_it_was(tmp_path):
    """What a model gives is that of its own graph, which its config is made of."""
    model = Called(L.Conv2D(1, 3), L.Flatten(), L.Dense(1))
    model(np.ones((1, 8, 8, 1)))
    with pytest.raises(ShapeError):
        model(np.ones((1, 9, 9, 1)))
    assert keras.Model.from_config(model.get_config()).output_shape == (None, 1)


@pytest.mark.parametrize("part", [LookingLayer, LookingModel, lambda: L.Conv2D(1, 3)])
def test_a_model_of_open_sizes_is_gone_when_nobody_has_it(part):
    """Its graphs for sizes were kept apart from it, and kept their layers: it was there for ever if these have it."""

    def made():
        own = part()
        model = of_open_sizes(own)
        model.layers[1].seen_by = own.seen_by = lambda: model
        for n in (12, 8):
            model(np.ones((1, n, n, 1)))
        return weakref.ref(model), weakref.ref(model.weights[0])

    gone = made()
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_a_model_keeps_its_graph_while_one_for_a_size_is_made(monkeypatch):
    """Another thread, which calls it on another size at that time, read the graph for this one."""
    part = LookingModel()
    model = of_open_sizes(part)
    graph, seen, compared = part.graph, [], _any_size.of_same_weights
    monkeypatch.setattr(_any_size, "of_same_weights", lambda *made: seen.append(part.graph) or compared(*made))
    for n in (8, 12):
        model(np.ones((1, n, n, 1)))
    assert [each is graph for each in seen] == [True, True]


class _Detector(keras.Model):
    """A head that is a Sequential without an Input, on maps of two sizes, as those of RetinaNet."""

    def __init__(self):
        super().__init__()
        layers = keras.layers
        self.head = keras.Sequential(
            [layers.Conv2D(6, 3, padding="same"), layers.ReLU(), layers.Conv2D(2, 3, padding="same")]
        )
        self.fine = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")
        self.coarse = layers.Conv2D(6, 3, strides=2, padding="same")

    def call(self, x):
        fine = self.fine(x)  # (N, 6, 6, 6)
        maps = fine, self.coarse(fine)
        count = keras.ops.shape(x)[0]
        return keras.ops.concatenate([keras.ops.reshape(self.head(part), [count, -1, 2]) for part in maps], axis=1)


def _wave(*shape, step=0.7, scale=1.0):
    return (np.sin(np.arange(np.prod(shape)) * step) * scale).reshape(shape).astype("float32")


@pytest.mark.filterwarnings("error")
def test_a_head_on_maps_of_several_sizes_is_a_part_of_the_graph():
    """Numbers of this class in Keras 3.15.1 on TensorFlow, whose `call` runs on arrays first, as here."""
    model, x = _Detector(), _wave(8, 12, 12, 3) * 0.5 + 0.5
    model(x)
    for number, weight in enumerate(model.trainable_weights):
        weight.assign(_wave(*weight.shape, step=0.37 + 0.11 * number, scale=0.2))
    assert model.graph is not None
    model.compile("sgd", "mse")
    history = model.fit(x, _wave(8, 45, 2), batch_size=4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], [0.5083224, 0.5075769], rtol=1e-5)
    np.testing.assert_allclose(
        model.predict(x, verbose=0).ravel()[:4], [0.0243354, 0.1282575, 0.0439853, 0.1471299], rtol=1e-4
    )


def test_a_size_that_a_stack_is_told_is_kept_to_between_tensors():
    stack = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(2, 3, padding="same")])
    with pytest.raises(ShapeError, match="takes inputs of shapes"):
        stack(keras.Input((3, 3, 2)))
    first = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])  # weights depend on the size
    first(keras.Input((6, 6, 2)))
    with pytest.raises(ShapeError, match="takes inputs of shapes"):
        first(keras.Input((3, 3, 2)))
    assert first.input_shape == (None, 6, 6, 2)
