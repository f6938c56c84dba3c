"""What Keras 2's layers began with, and scripts name: `_Conv`, `_Pooling2D`, a `rank`; and shapes of their weights."""

import json
import warnings

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf
from minicnn.keras.layers import Conv1D, Conv2D, _Conv, _GlobalPooling2D, _Pooling1D, _Pooling2D, _Pooling3D

X = np.random.default_rng(0).random((3, 6, 7, 2), np.float32)


def test_the_last_convolution_or_pooling_is_found() -> None:
    """As keras-vis looks for the layer of its heat maps."""
    model = keras.Sequential(
        [
            *(keras.Input((16, 16, 3)), Conv2D(2, 3), layers.SeparableConv2D(2, 3), layers.MaxPooling2D()),
            *(layers.Conv2DTranspose(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)),
        ]
    )
    kinds = (_Conv, _Pooling1D, _Pooling2D, _Pooling3D)
    assert [isinstance(layer, kinds) for layer in model.layers] == [True, True, True, True, False, False]
    assert [isinstance(layer, _GlobalPooling2D) for layer in model.layers][4:] == [True, False]
    assert issubclass(Conv2D, _Conv) and not issubclass(layers.Dense, _Conv)


def test_convolutions_know_their_rank() -> None:
    assert [getattr(layers, name)(2, 3).rank for name in ("Conv1D", "Conv2D", "SeparableConv1D")] == [1, 2, 1]
    assert (layers.DepthwiseConv2D(3).rank, layers.Conv2DTranspose(2, 3).rank) == (2, 2)


class Halved(_Conv):
    """A kernel half as large, as spectral norms divide by another number."""

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(rank=2, filters=filters, kernel_size=kernel_size, **kwargs)

    def call(self, inputs):
        made = K.conv2d(inputs, self.kernel / 2, padding=self.padding, strides=self.strides)
        return K.bias_add(made, self.bias)

    def get_config(self):
        config = super().get_config()
        assert config.pop("rank") == 2
        return config


def test_a_class_of_the_base_is_a_convolution() -> None:
    layer, plain = Halved(4, 3, padding="same"), Conv2D(4, 3, padding="same", use_bias=False)
    assert isinstance(layer, Conv2D) and isinstance(layer, _Conv)
    made, _ = layer(X), plain(X)
    plain.set_weights([layer.get_weights()[0] / 2])
    np.testing.assert_allclose(made, plain(X), atol=1e-6)
    again = Halved.from_config(layer.get_config())
    assert (again.filters, again.kernel_size, again.padding) == (4, (3, 3), "same")


def test_only_what_has_two_axes_of_places_begins_with_it() -> None:
    class Line(_Conv):
        def __init__(self):
            super().__init__(1, 4, 3)

    with pytest.raises(ValueError, match=r"rank=2; a convolution of another rank begins with .* Conv1D"):
        Line()
    with pytest.raises(TypeError, match="a subclass of _Pooling2D is one of MaxPooling2D or AveragePooling2D today"):

        class Pool(_Pooling2D):
            pass


@pytest.mark.parametrize(("base", "rank", "x"), [(Conv2D, 2, X), (Conv1D, 1, X[:, 0])])
def test_a_copy_of_keras_2s_constructor(base, rank, x) -> None:
    class Copied(base):
        def __init__(self, filters, kernel_size, **kwargs):
            super(base, self).__init__(rank=rank, filters=filters, kernel_size=kernel_size, **kwargs)

    layer = Copied(4, 3, padding="SAME", data_format=None)
    assert layer(x).shape == (*x.shape[:-1], 4)
    with pytest.raises(ValueError, match=f"rank={rank}; .* Received: rank=3"):
        super(base, layer).__init__(rank=3, filters=4, kernel_size=3)


def test_shapes_of_weights_are_tensorflows() -> None:
    seen = []

    class Plain(layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(name="w", shape=(input_shape[-1], 3), initializer="ones")
            seen.append(self.w.shape.as_list())

        def call(self, inputs):
            seen.append(self.w.shape.as_list())
            return K.dot(inputs, K.reshape(self.w, [-1, self.w.shape.as_list()[-1]]))

    Plain()(np.ones((2, 4), "float32"))
    assert seen and all(shape == [4, 3] for shape in seen)
    layer = Conv2D(5, 3)
    layer.build((None, 6, 7, 2))
    shape = layer.kernel.shape
    assert (shape.as_list(), shape.rank, shape[-1], (*shape, 1)) == ([3, 3, 2, 5], 4, 5, (3, 3, 2, 5, 1))
    assert isinstance(shape, tuple) and shape == (3, 3, 2, 5) and np.zeros(shape).shape == shape


def test_parts_at_places_behind_axes_that_both_have() -> None:
    """The numbers of TensorFlow 2.21."""
    numbers = np.arange(24.0).reshape(2, 3, 4)
    places = [[[0, 1], [2, 3]], [[1, 1], [0, 0]]]
    assert tf.gather_nd(numbers, places, batch_dims=1).numpy().tolist() == [[1, 11], [17, 12]]
    assert tf.gather_nd(numbers, [[1], [2]], batch_dims=1).numpy().tolist() == [[4, 5, 6, 7], [20, 21, 22, 23]]
    places = [[[0], [1], [3]], [[1], [2], [0]]]
    assert tf.gather_nd(numbers, places, batch_dims=2).numpy().tolist() == [[0, 5, 11], [13, 18, 20]]


def test_a_gradient_of_another_class_of_each_sample() -> None:
    inputs = keras.Input((6, 7, 2))
    features = Conv2D(3, 3, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.Flatten()(features)))
    classes = [4, 0, 2]
    scores = tf.gather_nd(model.output, np.dstack([range(3), classes])[0])
    made = K.function([model.input], [K.gradients(scores, features)[0]])([X])[0]
    for i, k in enumerate(classes):
        own = K.function([model.input], [K.gradients(model.output[:, k], features)[0]])([X])[0]
        np.testing.assert_allclose(made[i], own[i], atol=1e-7)
    first = K.function([model.input], [model.output[np.int64(1), np.int64(2)]])([X])[0]
    assert first == pytest.approx(model.predict(X, verbose=0)[1, 2])
    with pytest.raises(TypeError, match="a part of a symbolic tensor keeps the samples"):
        model.output[:, np.array([0, 2])]


def test_names_of_weights_have_their_layers_as_scripts_for_keras_2_ask() -> None:
    model = keras.Sequential(
        [keras.Input((6, 7, 2)), Conv2D(2, 3, name="conv2d_1"), layers.BatchNormalization(name="batch_normalization_1")]
    )
    names = [weight.name for weight in model.weights]
    assert names == ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]
    assert [w.name for w in model.trainable_weights if "batch_normalization" not in w.name] == ["kernel", "bias"]
    assert [w.name for w in model.weights if "conv2d_1/kernel" in w.name] == ["kernel"]
    assert ["bias" in name for name in names] == [False, True, False, False, False, False]
    assert not any("dense" in name for name in names)
    assert "v" in tf.Variable(1.0, name="v").name and "w" not in tf.Variable(1.0, name="v").name


class ByLayer(keras.optimizers.Optimizer):
    """A rate for each layer, found by a part of the name of its weights."""

    def __init__(self, multipliers, **kwargs):
        super().__init__(**kwargs)
        self.multipliers, self.iterations = multipliers, K.variable(0)

    def get_updates(self, loss, params):
        self.updates = [K.update_add(self.iterations, 1)]
        for p, g in zip(params, self.get_gradients(loss, params), strict=True):
            rate = next((rate for part, rate in self.multipliers.items() if part in p.name), 1.0)
            self.updates.append(K.update(p, p - 0.1 * rate * g))
        return self.updates


def test_a_rate_for_each_layer_is_found_by_name() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="layer_1"), layers.Dense(1, name="layer_2")])
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    before = model.get_weights()
    x, y = X[0, :4, :3, 0], X[0, :4, :1, 1]
    for each, optimizer in ((model, ByLayer({"layer_1": 0.5, "layer_2": 0.0})), (other, keras.optimizers.SGD(0.1))):
        each.compile(optimizer, "mse")
        each.train_on_batch(x, y)
    plain, scaled = other.get_weights(), model.get_weights()
    for i, rate in enumerate((0.5, 0.5, 0.0, 0.0)):
        np.testing.assert_allclose(scaled[i] - before[i], rate * (plain[i] - before[i]), atol=1e-6)


class Two(layers.Layer):
    """Weights in an order that the class says itself, as layers of layers had it before Keras found them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(3), layers.Dense(3)

    def build(self, input_shape):
        for part in (self.first, self.second):
            part.build(input_shape)
        super().build(input_shape)

    @property
    def trainable_weights(self):
        return self.second.trainable_weights + self.first.trainable_weights

    @property
    def non_trainable_weights(self):
        return []

    def call(self, inputs):
        return self.first(inputs) + 10 * self.second(inputs)


def test_weights_are_in_the_order_that_a_class_says() -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, Two()(inputs))
    model.set_weights([np.full((2, 3), 2.0), np.zeros(3), np.full((2, 3), 1.0), np.zeros(3)])
    np.testing.assert_allclose(model(np.ones((1, 2), "float32")), [[42.0] * 3])
    assert [w[0, 0] for w in model.get_weights()[::2]] == [2, 1]


class Listing(Two):
    """Asks for what it inherits, as is usual."""

    @property
    def trainable_weights(self):
        return super().trainable_weights


class Plain(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    @property
    def trainable_weights(self):
        return super().trainable_weights

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize(("cls", "first"), [(Listing, "second"), (Plain, "dense")])
def test_a_class_may_list_the_weights_that_it_inherits(cls, first) -> None:
    inputs, layer = keras.Input((2,)), cls()
    model = keras.Model(inputs, layer(inputs))
    assert model.trainable_weights[0] is getattr(layer, first).kernel
    assert len(model.trainable_weights) == len(model.get_weights())


class OfSquares(layers.Conv2D):
    """A convolution with the squares of a kernel, by the part that Keras's documentation has for that."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel * kernel)


class Doubled:
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, 2.0 * kernel)


class OfSquaresOfDoubles(Doubled, OfSquares):
    """A part of a mixin, which hands on."""


class TwiceOfSquares(OfSquares):
    def call(self, inputs):
        return 2.0 * super().call(inputs)


@pytest.mark.parametrize(("cls", "factor"), [(OfSquares, 1.0), (OfSquaresOfDoubles, 4.0), (TwiceOfSquares, 2.0)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_convolution_computes_by_its_convolution_op(cls, factor, data_format):
    """One window: y = factor · Σ k² x + bias, of which the loss y² has the gradient 2 y · factor · 2 k x by k."""
    k, x = np.arange(1, 5, dtype="float32").reshape(2, 2, 1, 1) / 10, np.array([[1, -2], [3, 4]], "float32")
    x = x[None, ..., None] if data_format == "channels_last" else x[None, None]
    layer = cls(1, 2, data_format=data_format, activation="linear", bias_initializer="ones")
    model = keras.Sequential([keras.Input(x.shape[1:]), layer, layers.Flatten()])
    layer.kernel.assign(k)
    bias = 2.0 if cls is TwiceOfSquares else 1.0
    y = factor * (0.01 * 1 - 0.04 * 2 + 0.09 * 3 + 0.16 * 4) + bias
    np.testing.assert_allclose(model.predict(x, verbose=0), [[y]], rtol=1e-6)
    np.testing.assert_allclose(model(x), [[y]], rtol=1e-6)
    model.compile(keras.optimizers.SGD(0.01), lambda target, made: made**2)
    model.fit(x, np.zeros((1, 1)), verbose=0)
    slopes = 2 * y * factor * 2 * k.reshape(2, 2) * x.reshape(2, 2)
    np.testing.assert_allclose(layer.kernel.numpy().reshape(2, 2), k.reshape(2, 2) - 0.01 * slopes, rtol=1e-5)


class HalfOfAll(layers.Conv2D):
    def call(self, inputs):
        return super().call(inputs) / 2.0


class Counted(layers.Conv2D):
    def build(self, input_shape):
        super().build(input_shape)


@pytest.mark.parametrize(("base", "factor"), [(HalfOfAll, 0.5), (Counted, 1.0)])
def test_a_convolution_op_below_a_class_that_writes_call_or_build(base, factor):
    """Two windows of one number: y = factor · (k² x + bias); without a convolution_op y = factor · (k x + bias)."""
    own = type("Own", (base,), {"convolution_op": lambda self, x, k: super(type(self), self).convolution_op(x, k * k)})
    for cls, kernel in ((base, 3.0), (own, 9.0)):
        layer = cls(1, 1, bias_initializer="ones")
        model = keras.Sequential([keras.Input((1, 2, 1)), layer])
        layer.kernel.assign(np.full((1, 1, 1, 1), 3.0))
        made = model.predict(np.array([1.0, 2.0]).reshape(1, 1, 2, 1), verbose=0)
        np.testing.assert_allclose(made.ravel(), [factor * (kernel + 1), factor * (2 * kernel + 1)], rtol=1e-6)


@pytest.mark.parametrize(("padding", "count"), [("valid", 2), ("causal", 4)])
def test_a_convolution_op_of_one_dimension(padding, count):
    """As in Keras 2: y[t] = 2 (x[t - 2] + 3 x[t]), of dilated windows of two places."""

    class Twice(Doubled, layers.Conv1D):
        pass

    layer = Twice(1, 2, padding=padding, dilation_rate=2, use_bias=False)
    model = keras.Sequential([keras.Input((4, 1)), layer])
    layer.kernel.assign(np.array([1.0, 3.0]).reshape(2, 1, 1))
    x = np.arange(1, 5, dtype="float32").reshape(1, 4, 1)
    whole = [2 * ((x[0, t - 2, 0] if t > 1 else 0) + 3 * x[0, t, 0]) for t in range(4)]
    np.testing.assert_allclose(model.predict(x, verbose=0)[0, :, 0], whole[-count:], rtol=1e-6)


@pytest.mark.parametrize(
    ("base", "part"),
    [
        (layers.BatchNormalization, "_moments"),
        (layers.Add, "_apply_merge_op_and_or_mask"),
        (layers.SpatialDropout2D, "_get_noise_shape"),
        (layers.RandomFlip, "transform_images"),
        (layers.Resizing, "transform_images"),
        (layers.Attention, "_calculate_scores"),
    ],
)
def test_parts_of_keras_that_nothing_asks_for_are_named(base, part):
    """What Keras's own layers call in themselves: a class that writes it would compute otherwise there."""

    def own(self, *args):
        return args[0]

    with pytest.warns(UserWarning, match=f"class Own.*{part}"):
        type("Own", (base,), {part: own})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Own", (base,), {part: own, "call": own})
        type("Own", (layers.Dense,), {part: own})


def test_parts_below_a_class_of_ones_own_are_named_unless_that_has_a_call_of_its_own():
    built = type("Built", (layers.BatchNormalization,), {"build": lambda self, shape: None})
    with pytest.warns(UserWarning, match=r"class Own\(BatchNormalization\) writes _moments"):
        type("Own", (built,), {"_moments": lambda self, x, mask: x})

    class Whole:
        def call(self, inputs):
            return self._moments(inputs, None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = type("Whole", (Whole, layers.BatchNormalization), {"_moments": lambda self, x, mask: x})
        type("Own", (whole,), {"_moments": lambda self, x, mask: 2 * x})


@pytest.mark.parametrize(
    ("base", "part"),
    [("ReduceLROnPlateau", "in_cooldown"), ("EarlyStopping", "_is_improvement"), ("ModelCheckpoint", "_save_model")],
)
def test_parts_of_callbacks_that_nothing_asks_for_are_named(base, part):
    with pytest.warns(UserWarning, match=f"class Own.*{part}"):
        type("Own", (getattr(keras.callbacks, base),), {part: lambda self, *args: True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own = {"on_epoch_end": lambda self, epoch, logs=None: None}
        type("Own", (getattr(keras.callbacks, base),), own)
        type("Own", (getattr(keras.callbacks, base),), own | {part: lambda self, *args: True})  # by itself alone
    with pytest.warns(UserWarning, match=f"class Own.*{part}"):
        mixin = type("Mixin", (), {part: lambda self, *args: True})
        type("Own", (mixin, getattr(keras.callbacks, base)), {})


@pytest.mark.parametrize("part", ["__call__", "get_metrics_result", "reset_metrics"])
def test_parts_of_models_that_fit_does_not_ask_for_are_named(part):
    entry = keras.Input((2,))
    own = {part: lambda self, *args, **options: getattr(super(type(self), self), part)(*args, **options)}
    with pytest.warns(UserWarning, match=part):
        type("Own", (keras.Model,), own)(entry, layers.Dense(1)(entry))
    step = {"train_step": lambda self, data: super(type(self), self).train_step(data)}
    if part == "__call__":
        with pytest.warns(UserWarning, match="^predict of Own does not go by its __call__"):
            type("Own", (keras.Model,), own | step)(entry, layers.Dense(1)(entry))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Own", (keras.Model,), step if part == "__call__" else own | step)(entry, layers.Dense(1)(entry))


class WithMore(layers.Dense):
    def build(self, input_shape):
        super().build(input_shape)
        self.more = self.add_weight(name="more", shape=(3,), initializer="ones")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_weight_that_the_formula_does_not_read_stays_as_it_is(count):
    """Of a layer that is called several times it got what lay in memory for its gradient."""
    layer, x = WithMore(3), np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
    inputs = y = keras.Input((3,))
    for _ in range(count):
        y = layer(y)
    model = keras.Model(inputs, y)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = layer.kernel.numpy().copy()
    for _ in range(3):
        model.train_on_batch(x, x)
    assert layer.more.numpy().tolist() == [1, 1, 1]
    assert not np.allclose(layer.kernel.numpy(), before)


class WeightedSum(layers.Add):
    """Of progressive growing: a block that is faded in."""

    def __init__(self, alpha=0.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = K.variable(alpha, name="ws_alpha")

    def _merge_function(self, inputs):
        return ((1.0 - self.alpha) * inputs[0]) + (self.alpha * inputs[1])


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_sum_whose_weights_change_is_a_layer_of_the_model_and_of_its_file(suffix, tmp_path):
    """0.75 · 0 + 0.25 · 12.5 = 3.125, and by halves 6.25, 7.25, …: numbers of tf_keras 2.21."""
    a, b = keras.Input((2, 2, 3)), keras.Input((2, 2, 3))
    x = np.arange(24.0).reshape(2, 2, 2, 3)
    y = x[::-1] + 0.5
    model = keras.Model([a, b], WeightedSum(0.25)([a, b]))
    (found,) = [layer for layer in model.layers if isinstance(layer, WeightedSum)]
    assert model.predict([x, y], verbose=0).ravel()[:3].tolist() == [3.125, 4.125, 5.125]
    K.set_value(found.alpha, 0.5)
    assert model.predict([x, y], verbose=0).ravel()[:3].tolist() == [6.25, 7.25, 8.25]
    model.save(path := tmp_path / f"model.{suffix}")
    again = keras.models.load_model(path, custom_objects={"WeightedSum": WeightedSum})
    assert again.predict([x, y], verbose=0).ravel()[:3].tolist() == [6.25, 7.25, 8.25]


class Half(layers.Multiply):
    def _merge_function(self, inputs):
        return super()._merge_function(inputs) * 0.5


class Third(Half):
    def _merge_function(self, inputs):
        return super()._merge_function(inputs) + 1.0


class Reversed(layers.Concatenate):
    def _merge_function(self, inputs):
        return super()._merge_function(inputs[::-1])


@pytest.mark.parametrize(
    ("cls", "expected"), [(Half, [5.0, 14.0]), (Third, [6.0, 15.0]), (Reversed, [5.0, 7.0, 2.0, 4.0])]
)
def test_a_merge_function_goes_on_to_that_of_the_library(cls, expected):
    a, b = keras.Input((2,)), keras.Input((2,))
    x, y = np.array([[2.0, 4.0]]), np.array([[5.0, 7.0]])
    assert keras.Model([a, b], cls()([a, b])).predict([x, y], verbose=0).tolist() == [expected]
    assert np.asarray(cls()([x, y])).tolist() == [expected]


def test_inputs_of_fewer_axes_are_handed_to_a_merge_function_with_axes_of_size_one():
    """As Keras's layers do: a vector of a sample is beside each of its places."""
    seen = []

    class Noting(layers.Add):
        def _merge_function(self, inputs):
            seen.extend(len(x.shape) for x in inputs)
            return super()._merge_function(inputs)

    a, b = keras.Input((2, 2, 3)), keras.Input((3,))
    assert Noting()([a, b]).shape == (None, 2, 2, 3) and set(seen) == {4}
    x, y = np.zeros((2, 2, 2, 3)), np.arange(6.0).reshape(2, 3)
    made = keras.Model([a, b], WeightedSum(1.0)([a, b])).predict([x, y], verbose=0)
    np.testing.assert_array_equal(made, np.broadcast_to(y[:, None, None], x.shape))


class Twice(layers.Dot):
    def _merge_function(self, inputs):
        return super()._merge_function(inputs) * 2


def test_a_merge_function_of_a_scalar_product_has_its_inputs_as_they_are():
    """As in Keras: with an axis of size 1 a vector was of other axes than `axes` says."""
    a, b = keras.Input((2, 3)), keras.Input((3,))
    x, y = np.arange(12.0).reshape(2, 2, 3), np.arange(6.0).reshape(2, 3)
    expected = [[2 * sum(p * q for p, q in zip(row, v, strict=True)) for row in m] for m, v in zip(x, y, strict=True)]
    assert keras.Model([a, b], Twice(axes=(2, 1))([a, b])).predict([x, y], verbose=0).tolist() == expected


@pytest.mark.parametrize(
    ("base", "arguments"), [(layers.Add, ()), (layers.Conv2D, (2, 1)), (layers.Dense, (3,)), (layers.ReLU, ())]
)
def test_a_call_that_leaves_the_librarys_out_is_that_of_a_layer_of_the_model(base, arguments):
    """It was a part of the graph's operations, so that nothing found it by its class or name."""

    class Own(base):
        def call(self, inputs):
            x = inputs[0] if isinstance(inputs, list) else inputs
            return x * 0.5 + 1.0

    a, b = keras.Input((2, 2, 2)), keras.Input((2, 2, 2))
    layer, x = Own(*arguments, name="mine"), np.arange(8.0).reshape(1, 2, 2, 2)
    several = base is layers.Add
    model = keras.Model([a, b] if several else a, layer([a, b] if several else a))
    assert model.layers[-1] is layer is model.get_layer("mine")
    made = model.predict([x, x] if several else x, verbose=0)
    np.testing.assert_allclose(made, x * 0.5 + 1.0)


@pytest.mark.parametrize("base", [layers.ReLU, layers.Add])
def test_a_call_that_leaves_the_librarys_out_takes_inputs_of_several_shapes(base):
    """As each layer without weights does in Keras: of the second shape it was refused."""

    class Own(base):
        def call(self, inputs):
            x = inputs[0] if isinstance(inputs, list) else inputs
            return x + K.mean(x, axis=1, keepdims=True)

    layer, shapes = Own(), [(4,), (7,), (5, 2)]
    ends = [keras.Input(shape) for shape in shapes]
    model = keras.Model(ends, [layer([x, x] if base is layers.Add else x) for x in ends])
    arrays = [np.arange(2.0 * np.prod(shape)).reshape(2, *shape) for shape in shapes]
    for x, made in zip(arrays, model.predict(arrays, verbose=0), strict=True):
        np.testing.assert_allclose(made, x + x.mean(1, keepdims=True))


def test_files_of_a_call_that_leaves_the_librarys_out_are_no_files_that_keras_computes_twice(tmp_path):
    """A warning said so of a call that adds nothing to super().call."""
    a, b = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([a, b], layers.Dense(1)(WeightedSum(0.25)([a, b])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("kind", [layers.Layer, layers.Dense])
def test_an_argument_whose_attribute_is_a_variable_is_in_the_config(kind):
    """The number that K.variable has by then; of a weight, the first one where it is known."""

    class Own(kind):
        def __init__(self, *args, alpha=0.5, beta=0.25, **kwargs):
            super().__init__(*args, **kwargs)
            self.alpha = K.variable(alpha)
            self.beta = tf.Variable(beta)

        def call(self, inputs):
            return inputs * self.alpha + self.beta

    layer = Own(*([2] if kind is layers.Dense else []), alpha=2.0, beta=3.0)
    K.set_value(layer.alpha, 0.125)
    layer.beta.assign(1.0)
    config = json.loads(json.dumps(layer.get_config()))
    assert (config["alpha"], config["beta"]) == (0.125, 3.0 if kind is layers.Layer else 1.0)
