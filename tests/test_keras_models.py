"""What Keras's users expect of models, inputs and losses; the expected values are those that Keras documents."""

import copy
import json
import threading

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import FileFormatError, NotBuiltError
from minicnn.keras import backend as K
from minicnn.keras import layers
from minicnn.keras import tensorflow as tf


def test_inputs_and_outputs_are_lists():
    a, b = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([a, b], layers.Add()([a, b]))
    assert model.inputs == [a, b] and model.outputs == [model.layers[-1].output]
    stack = keras.Sequential([a, layers.Dense(1)])
    assert stack.inputs == [a]


def test_trainable_may_be_given_to_a_constructor():
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(1)(x), trainable=False)
    assert not model.trainable and model.trainable_weights == []
    assert not keras.Model.from_config(model.get_config()).trainable
    assert keras.Sequential([keras.Input((2,)), layers.Dense(1)], trainable=False).trainable_weights == []
    for wrong in ("yes", 1, None):
        with pytest.raises(ValueError, match="`trainable` is True or False"):
            layers.Dense(1, trainable=wrong)


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_form_of_outputs_is_in_the_config(kind):
    x = keras.Input((3,))
    model = keras.Model(x, kind([layers.Dense(1)(x), layers.Dense(2)(x)]))
    again = keras.Model.from_config(model.get_config())
    assert type(again(np.ones((2, 3)))) is kind and type(again(keras.Input((3,)))) is kind


def test_a_stack_refuses_what_keras_refuses():
    with pytest.raises(ValueError, match="has no layers"):
        keras.Sequential()(np.ones((2, 3)))
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.build((None, 3))
    model.build((5, 3))
    with pytest.raises(ValueError, match=r"built for inputs of shape \(None, 3\).*Received: \(None, 4\)"):
        model.build((None, 4))


def test_a_model_behind_other_layers_begins_with_an_input_layer():
    x = keras.Input((3,))
    middle = layers.Dense(4, name="first")(x)
    model = keras.Model(middle, layers.Dense(2, name="second")(middle))
    assert isinstance(model.layers[0], layers.InputLayer) and [layer.name for layer in model.layers[1:]] == ["second"]
    assert model.layers[0].output.shape == (None, 4) and len(model.weights) == 2
    again = keras.Model.from_config(model.get_config())
    assert len(again.layers) == 2 and again.predict(np.ones((2, 4))).shape == (2, 2)
    with pytest.raises(AttributeError, match="take another name"):
        model.layers = []


def test_a_penalty_of_outputs_that_is_none_is_in_configs_of_convolutions_alone():
    for given, is_shown in (
        (layers.Dense(2), False),
        (layers.BatchNormalization(), False),
        (layers.Conv2D(2, 3), True),
    ):
        assert ("activity_regularizer" in given.get_config()) == is_shown  # as Keras 3.15 writes them
    assert layers.Dense(2, activity_regularizer="l2").get_config()["activity_regularizer"]["class_name"] == "L2"


def test_arguments_that_a_layer_does_not_keep_are_in_its_config():
    class Block(layers.Layer):
        def __init__(self, units, rate=0.5, **kwargs):
            super().__init__(**kwargs)
            self.dense, self.dropout = layers.Dense(units), layers.Dropout(rate)

        def call(self, x):
            return self.dropout(self.dense(x))

    layer = Block(3, rate=0.25, name="block")
    assert layer.get_config() | {} == layer.get_config()
    assert layer.get_config()["units"] == 3 and layer.get_config()["rate"] == 0.25
    x = keras.Input((2,))
    model = keras.Model(x, layer(x))
    again = keras.Model.from_config(model.get_config(), custom_objects={"Block": Block})
    assert again.output_shape == (None, 3) and again.layers[1].dropout.rate == 0.25


class Written(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_a_clone_of_a_stack_that_is_not_built_has_all_weights_once_it_is():
    """Also those of layers that are added to it later."""
    stack = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    clone, x = keras.models.clone_model(stack), np.ones((3, 5), np.float32)
    stack(x), clone(x)
    assert [w.shape for w in clone.weights] == [(5, 4), (4,), (4, 2), (2,)]
    clone.set_weights(stack.get_weights())
    np.testing.assert_array_equal(np.asarray(clone(x)), np.asarray(stack(x)))
    grown = keras.models.clone_model(stack)
    grown.add(layers.Dense(3))
    assert [w.shape for w in grown.weights] == [(5, 4), (4,), (4, 2), (2,), (2, 3), (3,)]


def _before_it_is_built(kind):
    """A model of two layers that another one has used, and these layers; nothing has shown its input."""
    first, second = layers.Dense(3), layers.Dense(2)
    keras.Sequential([keras.Input((4,)), first, second])
    if kind == "stack":
        return keras.Sequential([layers.Dropout(0.5), keras.Sequential([first]), second]), first, second

    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second

        def call(self, x):
            return self.second(self.first(x))

    return Pair(), first, second


@pytest.mark.parametrize("kind", ["stack", "class"])
def test_weights_that_layers_have_already_are_those_of_a_model_that_is_not_built(kind):
    """As in Keras 3: `Sequential(base.layers[:-1]).set_weights(…)`, or gradients by its variables on a tape."""
    model, first, second = _before_it_is_built(kind)
    assert not model.built
    assert list(model.weights) == list(model.trainable_weights) == [*first.weights, *second.weights]
    ones = [np.ones_like(w) for w in model.get_weights()]
    model.set_weights(ones)
    np.testing.assert_array_equal(first.kernel.numpy(), np.ones((4, 3)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(second(first(np.ones((1, 4), "float32"))))
    shapes = [np.shape(g) for g in tape.gradient(loss, model.trainable_variables)]
    assert shapes == [(4, 3), (3,), (3, 2), (2,)]
    with pytest.raises(ValueError, match=r"4 weight arrays\. Received: 3"):
        model.set_weights(ones[:3])
    with pytest.raises(NotBuiltError, match="has no weights yet"):
        model.count_params()
    np.testing.assert_array_equal(model.predict(np.ones((1, 4)), verbose=0), [[16.0, 16.0]])  # 3 · (4 + 1) + 1
    assert list(model.weights) == [*first.weights, *second.weights] and model.count_params() == 23


def test_a_model_of_which_no_layer_has_weights_yet_takes_none():
    model = keras.Sequential([layers.Dense(3)])
    assert model.weights == [] and model.get_weights() == []
    with pytest.raises(NotBuiltError, match="has no weights yet"):
        model.set_weights([np.ones((4, 3)), np.ones(3)])


def test_clones_are_compiled_and_may_be_unbuilt():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.125, momentum=0.5), "mse", metrics=["mae"])
    x, y = np.ones((4, 3)), np.zeros((4, 1))
    model.fit(x, y, verbose=0)
    clone = keras.models.clone_model(model)
    assert clone.optimizer is not model.optimizer and clone.optimizer.iterations == 0
    assert clone.optimizer.momentum == 0.5 and float(clone.optimizer.learning_rate) == 0.125
    assert list(clone.evaluate(x, y, verbose=0, return_dict=True)) == ["loss", "mae"]
    clone.fit(x, y, verbose=0)
    written = Written(2)
    written.compile("adam", "mse")
    clone = keras.models.clone_model(written)
    written(x), clone.fit(x, np.zeros((4, 2)), verbose=0)
    clone.set_weights(written.get_weights())
    assert np.array_equal(clone.predict(x), written.predict(x))


# -------------------------------------------------------------------------------------------------------------- inputs


def test_an_input_layer_knows_its_batch():
    layer = layers.InputLayer(shape=(3, 2), batch_size=4)
    assert layer.batch_shape == (4, 3, 2) and layer.dtype == "float32" and not layer.sparse and layer.call() is None
    assert layers.InputLayer(batch_shape=(5, 2)).batch_shape == (5, 2)
    with pytest.warns(UserWarning, match="today it is shape="):
        assert layers.InputLayer(input_shape=(3,)).batch_shape == (None, 3)


def test_an_input_layer_of_a_tensor():
    tensor = keras.Input((3,), batch_size=2)
    layer = layers.InputLayer(input_tensor=tensor)
    assert layer.output is tensor and layer.batch_shape == (2, 3)
    for options in (
        {"shape": (4,)},
        {"batch_shape": (2, 4)},
        {"batch_size": 5},
        {"dtype": "float16"},
        {"sparse": True},
    ):
        with pytest.raises(ValueError, match=f"has the tensor's {next(iter(options))}"):
            layers.InputLayer(input_tensor=tensor, **options)
    with pytest.raises(ValueError, match="input_tensor is what Input returned"):
        layers.InputLayer(input_tensor=np.ones((2, 3)))


def test_a_shape_that_is_known_behind_one_that_is_not():
    tensor = layers.Reshape((3, 5))(keras.Input((None,)))
    assert tensor.shape == (None, 3, 5)
    model = keras.Model(tensor.node.inputs[0], tensor)
    assert np.array_equal(model.predict(np.arange(30.0).reshape(2, 15)), np.arange(30.0).reshape(2, 3, 5))
    with pytest.raises(mc.errors.ShapeError, match="does not fit samples of 14 elements"):
        model.predict(np.ones((2, 14)))


# --------------------------------------------------------------------------------------------------- arguments, losses


@pytest.mark.parametrize("units", [2.5, "many", 0, None])
def test_units_are_a_whole_number(units):
    with pytest.raises(ValueError, match=r"`units` must be an integer"):
        layers.Dense(units)
    assert layers.Dense(128 / 2).units == 64  # Keras 2's scripts divide


@pytest.mark.parametrize("name", ["Conv1D", "Conv2D", "Conv2DTranspose"])
def test_strides_and_a_dilation_are_not_given_together(name):
    with pytest.raises(ValueError, match="not both, as in Keras"):
        getattr(layers, name)(2, 3, strides=2, dilation_rate=2)
    getattr(layers, name)(2, 3, strides=2)
    getattr(layers, name)(2, 3, dilation_rate=2)


def test_a_loss_of_ones_own_is_called_as_keras_calls_it():
    class Squares(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return (y_true - y_pred) ** 2

    true, predicted = np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.25, 0.0])
    each = Squares(reduction=None)(true, predicted)
    assert each.dtype == "float32" and np.allclose(each, [0.25, 0.0625, 1.0])
    mean = Squares()(true, predicted, sample_weight=np.array([1.0, 0.0, 0.5]))
    assert mean.dtype == "float32" and mean.shape == () and mean.numpy() == np.float32(0.75 / 3)


def test_the_function_of_a_metric_by_its_name():
    @keras.utils.register_keras_serializable("test")
    def distance(y_true, y_pred):
        return abs(y_true - y_pred)

    metric = keras.metrics.MeanMetricWrapper(distance, name="d")
    again = keras.metrics.MeanMetricWrapper.from_config(metric.get_config())
    assert again.name == "d" and again([1.0, 3.0], [0.0, 1.0]) == 1.5
    with pytest.raises(TypeError, match="fn='nothing of this name'"):
        keras.metrics.MeanMetricWrapper("nothing of this name")


# ---------------------------------------------------------------------------------------------- tensors by index, order


def test_parts_and_comparisons_of_tensors(tmp_path):
    x = np.random.default_rng(4).normal(size=(3, 4, 3)).astype("float32")
    t = keras.Input((4, 3))
    outputs = [t[:, 1:, 0], t[..., -1], t[:, None], t[:, ::-2, 1:], t > 0.5, t >= t[:, :1], t > 0.25, t <= 0.25]
    expected = [x[:, 1:, 0], x[..., -1], x[:, None], x[:, ::-2, 1:], x > 0.5, x >= x[:, :1], x > 0.25, x <= 0.25]
    model = keras.Model(t, outputs)
    model.save(tmp_path / "model.keras")
    for predictions in (model.predict(x), keras.models.load_model(tmp_path / "model.keras").predict(x)):
        for given, wanted in zip(predictions, expected, strict=True):
            assert given.dtype == np.float32 and np.array_equal(given, wanted)
    for key in ((slice(None), [0, 1]), (slice(1, None), 0), (slice(None), "a")):
        with pytest.raises(TypeError, match="keeps the samples"):
            t[key]
    with pytest.raises(mc.errors.ShapeError, match="out of bounds"):
        t[:, 7]
    with pytest.raises(mc.errors.ShapeError, match="leaves nothing"):
        t[:, 4:]


def test_a_comparison_chooses_and_is_differentiated():
    t = keras.Input((3,))
    z = layers.Dense(2)(t)
    model = keras.Model(t, (z > 0) * z + 0.1 * (z <= 0) * z)
    assert mc.gradcheck(model).error <= 1e-6
    assert mc.gradcheck(keras.Model(t, z[:, ::-1] * z[:, :1])).error <= 1e-6


def test_a_list_is_not_taken_for_a_dict_that_is_not_sorted():
    first, second = keras.Input((2,), name="IT"), keras.Input((2,), name="IS")
    model = keras.Model({"IT": first, "IS": second}, layers.Subtract()([first, second]))
    a, b = np.ones((1, 2)), np.zeros((1, 2))
    assert np.array_equal(model({"IT": a, "IS": b}), a) and np.array_equal(model.predict({"IT": a, "IS": b}), a)
    for use in (model, model.predict):
        with pytest.raises(ValueError, match="which is which"):
            use([a, b])


def test_a_generator_gives_batches_of_any_size():
    """A stack without an Input, as in Keras: sizes stay open where the layers can do with any."""
    images = [np.ones((2, 8, 6, 3), "float32"), np.ones((1, 5, 9, 3), "float32")]
    model = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    p = model.predict(image for image in images)
    assert p.shape == (3, 4) and np.allclose(p, p[0], atol=1e-5)  # of images that are all ones
    flat = keras.Sequential([layers.Flatten()])
    assert flat.predict(iter([np.ones((3, 5, 7)), np.ones((2, 7, 5))])).shape == (5, 35)
    dense = keras.Sequential([layers.Flatten(), layers.Dense(2)])
    assert dense.predict(iter([np.ones((3, 5, 7))])).shape == (3, 2) and dense.input_shape == (None, 5, 7)
    with pytest.raises(mc.errors.ShapeError, match=r"expected data of shape \(None, 5, 7\)"):
        dense.predict(iter([np.ones((2, 7, 6))]))


def test_a_layer_of_a_stack_has_one_input():
    class Two(layers.Layer):
        def call(self, a, b):
            return a + b

    model = keras.Sequential([Two()])
    with pytest.raises(ValueError, match=r"one input.*Received: Two.call\(a, b\)"):
        model.build((None, 2))


def test_what_a_layer_says_of_its_output_is_believed():
    calls = []

    class Own(layers.Layer):
        def call(self, x, training=False):
            calls.append(training)
            return x[:, :1]

        def compute_output_spec(self, x, training=False):
            return keras.Input((1,))

    x = keras.Input((3,))
    model = keras.Model(x, Own()(x))
    assert model.output_shape == (None, 1) and calls == []
    model(np.ones((2, 3)), training=True)
    assert set(calls) == {True}


# --------------------------------------------------------------------------------------------------------------- Lambda


def test_a_lambda_layer_is_copied_and_written_by_name(tmp_path):
    layer = layers.Lambda(lambda x, by: np.tile(x, (1, by)), arguments={"by": 2})
    config = layer.get_config()
    again = layers.Lambda.from_config(config, safe_mode=False)
    assert np.array_equal(again(np.ones((2, 3))), np.ones((2, 6)))
    with pytest.raises(ValueError, match="safe_mode=False alone"):
        layers.Lambda.from_config(config)
    of_a_name = layers.Lambda.from_config(layers.Lambda(keras.ops.square).get_config())
    assert np.array_equal(of_a_name(np.full((2, 3), 2.0)), np.full((2, 3), 4.0))
    model = keras.Sequential([keras.Input((3,)), layer, layers.Dense(2)])
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    x = np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
    assert np.array_equal(clone.predict(x), model.predict(x))
    rebuilt = keras.models.clone_model(model, input_tensors=keras.Input((3,)))
    rebuilt.set_weights(model.get_weights())
    assert np.array_equal(rebuilt.predict(x), model.predict(x))
    with pytest.warns(UserWarning, match="of which the file holds nothing"):
        described = model.to_json()
    again = keras.models.model_from_json(described, {layer.name: lambda x, by: np.tile(x, (1, by))})
    again.set_weights(model.get_weights())
    assert np.array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError, match=r"is of the function .* Received: none"):
        keras.models.model_from_json(described)
    with pytest.raises(ValueError, match="Received: 3, no function"):
        keras.models.model_from_json(described, {layer.name: 3})


def halved_and_sorted(x, axis):
    return np.sort(x / 2, axis=axis)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_a_lambda_layer_of_a_named_function_is_in_files(suffix, tmp_path):
    inputs = keras.Input((3,))
    layer = layers.Lambda(halved_and_sorted, output_shape=lambda shape: shape, arguments={"axis": -1}, name="half")
    model = keras.Model(inputs, layers.Dense(2)(layer(inputs)))
    path, x = tmp_path / f"model{suffix}", np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
    model.save(path)
    for name in ("halved_and_sorted", "half"):
        loaded = keras.models.load_model(path, custom_objects={name: halved_and_sorted}, safe_mode=False)
        assert np.array_equal(loaded.predict(x), model.predict(x))
    with pytest.raises(FileFormatError, match=r"'half'.*function 'halved_and_sorted'.*custom_objects="):
        keras.models.load_model(path, safe_mode=False)


def test_crossentropy_of_one_output_is_the_binary_one():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activation="sigmoid")])
    for name in ("crossentropy", "ce"):
        model.compile("sgd", name)
        assert isinstance(vars(model)["compiled"].losses[0], keras.losses.BinaryCrossentropy)
    several = keras.Sequential([keras.Input((1,)), layers.Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="'sparse_categorical_crossentropy' for class numbers"):
        several.compile("sgd", loss="crossentropy")


def test_a_stack_of_ones_own_layers_takes_dicts_and_lists_of_arrays():
    class Own(layers.Layer):
        def call(self, inputs):
            return {key: 2 * x for key, x in inputs.items()} if isinstance(inputs, dict) else [2 * x for x in inputs]

    a, b = np.ones((3, 2)), np.full((3, 2), 5.0)
    y = keras.Sequential([Own(), Own()])({"a": a, "b": b})
    assert type(y) is dict and np.array_equal(y["a"], 4 * a) and np.array_equal(y["b"], 4 * b)
    y = keras.Sequential([Own()])([a, b])
    assert type(y) is list and np.array_equal(y[1].numpy(), 2 * b)


def test_metrics_refuse_what_keras_refuses():
    for options in ({"beta": 1}, {"threshold": 1}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` is a float, as in Keras: 1.0"):
            keras.metrics.FBetaScore(**options)
    with pytest.raises(ValueError, match=r"targets and outputs \(N, outputs\)"):
        keras.metrics.R2Score()([0.0, 1.0], [0.0, 1.0])
    assert keras.metrics.R2Score()([[0.0], [1.0]], [[0.0], [1.0]]) == 1
    x = np.random.default_rng(1).normal(size=(6, 2))
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score()])
    model.fit(x, x[:, 0], verbose=0)


def test_a_warning_where_keras_casts_weights():
    weight = np.array([0.5, 1.0, 1.0, 1.0])
    with pytest.warns(UserWarning, match="rounds them to int by casting"):
        keras.metrics.MeanIoU(num_classes=2)([0, 1, 1, 0], [0, 1, 0, 0], weight)
    # [[1.5, 0], [1, 1]]: 1.5 / 2.5 and 1 / 2
    assert keras.metrics.MeanIoU(2, dtype="float32")([0, 1, 1, 0], [0, 1, 0, 0], weight) == pytest.approx(0.55)


@pytest.mark.parametrize("size", [None, 0.1])
def test_one_file_holds_all_weights_whatever_size_was_asked_for(size, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "m.weights.h5", overwrite=True, max_shard_size=size)
    kernel = model.get_weights()[0].copy()
    model.layers[0].kernel.assign(np.zeros((4, 2)))
    model.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_the_score_of_an_estimator_takes_weights_of_samples():
    """A model whose answer is 1: right for [1, 1], wrong for 0; a mean square of (0 · 1 + 0 · 2 + 1 · 5) / 3."""
    pytest.importorskip("sklearn")
    from minicnn.keras.wrappers.scikit_learn import KerasClassifier, KerasRegressor

    def build():
        layer = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer="ones")
        model = keras.Sequential([keras.Input((2,)), layer])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        return model

    x, y, weights = np.zeros((3, 2), np.float32), np.array([1, 1, 0]), np.array([1.0, 2.0, 5.0])
    classifier = KerasClassifier(build, epochs=1, verbose=0).fit(x, y)
    assert classifier.score(x, y) == pytest.approx(2 / 3)
    assert classifier.score(x, y, sample_weight=weights) == pytest.approx(3 / 8)
    regressor = KerasRegressor(build, epochs=1, verbose=0).fit(x, y)
    assert regressor.score(x, y, sample_weight=weights) == pytest.approx(
        -regressor.model.evaluate(x, y, verbose=0, sample_weight=weights)
    )
    assert regressor.score(x, y, sample_weight=weights) != pytest.approx(regressor.score(x, y))


# ------------------------------------------------------------------------------------------------ what get_config says

ACTIVATIONS = ("relu", "softmax", "elu", "gelu", "sigmoid", "tanh", "relu6", "leaky_relu", "selu", "silu", "linear")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_layers_config_names_its_activation(name):
    for cls, first in ((layers.Dense, (2,)), (layers.Conv2D, (2, 3)), (layers.Activation, ())):
        layer = cls(*first, name) if cls is layers.Activation else cls(*first, activation=name)
        config = layer.get_config()
        assert config["activation"] == name and config["dtype"] == "float32" and config["trainable"] is True
        again = cls.from_config(config)
        assert again.get_config() == config and type(again.activation) is type(layer.activation)
        of_core = cls.from_config(cls.core_class.get_config(layer))  # the form of files
        assert of_core.get_config() == config


def test_a_layers_config_has_keras_values():
    config = layers.Conv2D(2, 3, activation=layers.ReLU(max_value=2.0), kernel_regularizer="l2").get_config()
    assert config["data_format"] == "channels_last" and config["kernel_constraint"] is None
    assert config["activation"]["class_name"] == "ReLU" and config["activation"]["config"]["max_value"] == 2.0
    assert config["kernel_initializer"]["class_name"] == "GlorotUniform"
    assert layers.Conv2D.from_config(config).activation.max_value == 2.0
    assert layers.Dense(2, activation=None).get_config()["activation"] == "linear"
    assert layers.Dense(2, input_shape=(3,)).get_config()["batch_input_shape"] == (None, 3)
    assert layers.Flatten(data_format="channels_first").get_config()["data_format"] == "channels_first"


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_a_models_config_has_keras_values(tmp_path, suffix):
    stack = keras.Sequential([keras.Input((6, 5, 3)), layers.Conv2D(2, 3, activation="relu"), layers.Flatten()])
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    for model in (stack, keras.Model(stack.input, stack.output)):
        model.save(tmp_path / f"m{suffix}")
        loaded = keras.models.load_model(tmp_path / f"m{suffix}")
        for m in (model, loaded):
            first, conv = m.get_config()["layers"][:2]
            assert first["class_name"] == "InputLayer" and first["config"]["batch_shape"] == (None, 6, 5, 3)
            assert conv["config"]["activation"] == "relu" and conv["config"]["data_format"] == "channels_last"
            of_json = json.loads(m.to_json())["config"]["layers"]
            assert of_json[1]["config"]["activation"] == "relu"
            for again in (type(m).from_config(m.get_config()), keras.models.model_from_json(m.to_json())):
                again.set_weights(model.get_weights())
                np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_config_with_another_input_size_gives_a_model_of_that_size():
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D()])
    for key in ("batch_shape", "batch_input_shape"):
        config = model.get_config()
        config["layers"][0]["config"][key] = (None, 9, 8, 3)
        assert keras.Sequential.from_config(config).input_shape == (None, 9, 8, 3)


def test_a_subclass_of_a_layer_writes_on_from_keras_values(tmp_path):
    class Scaled(layers.Dense):
        def __init__(self, units, factor=2, **kwargs):
            super().__init__(units, **kwargs)
            self.factor = factor

        def get_config(self):
            config = super().get_config()
            config["seen"] = config["activation"]
            return config | {"factor": self.factor, "seen": None} if config["activation"] == "relu" else {}

        @classmethod
        def from_config(cls, config):
            assert config.pop("seen") is None
            return cls(**config)

    model = keras.Sequential([keras.Input((3,)), Scaled(2, factor=3, activation="relu")])
    own = {"Scaled": Scaled}
    model.save(tmp_path / "m.safetensors")
    for again in (
        keras.Sequential.from_config(model.get_config(), custom_objects=own),
        keras.models.clone_model(model),
        keras.models.load_model(tmp_path / "m.safetensors", custom_objects=own),
    ):
        assert again.layers[-1].factor == 3 and again.layers[-1].get_config()["activation"] == "relu"


def test_first_values_by_a_function_or_a_class_of_ones_own_are_in_a_config():
    class Of(keras.initializers.Initializer):
        def __init__(self, value):
            self.value = value

        def __call__(self, shape, dtype=None):
            return np.full(shape, self.value)

        def get_config(self):
            return {"value": self.value}

    def halves(shape, dtype=None):
        return np.full(shape, 0.5)

    for first, names in ((halves, {"halves": halves}), (Of(0.5), {"Of": Of})):
        model = keras.Sequential([keras.Input((3,)), layers.Dense(2, kernel_initializer=first)])
        again = keras.Sequential.from_config(model.get_config(), custom_objects=names)
        np.testing.assert_array_equal(again.get_weights()[0], np.full((3, 2), 0.5))


# ----------------------------------------------------------------------------------------- what scripts for Keras 2 ask


@pytest.mark.parametrize("is_first", [False, True])
def test_convolutions_with_a_kernel_for_every_place(rng, is_first):
    x, kernel = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(2 * 3, 2 * 3 * 3, 4))
    expected = np.empty((2, 2, 3, 4))
    for i, j in np.ndindex(2, 3):
        window = x[:, 3 * i : 3 * i + 2, j : j + 3]
        rows = (np.moveaxis(window, 3, 1) if is_first else window).reshape(2, -1)
        expected[:, i, j] = rows @ kernel[3 * i + j]
    given = np.moveaxis(x, 3, 1) if is_first else x
    made = K.local_conv2d(given, kernel, (2, 3), (3, 1), (2, 3), "channels_first" if is_first else "channels_last")
    np.testing.assert_allclose(made, np.moveaxis(expected, 3, 1) if is_first else expected, rtol=1e-12)
    row, kernel = rng.normal(size=(2, 9, 3)), rng.normal(size=(4, 3 * 3, 5))
    expected = np.stack([row[:, 2 * i : 2 * i + 3].reshape(2, -1) @ kernel[i] for i in range(4)], axis=1)
    if is_first:
        made = np.swapaxes(K.local_conv1d(np.swapaxes(row, 1, 2), kernel, 3, 2, "channels_first"), 1, 2)
    else:
        made = K.local_conv1d(row, kernel, (3,), (2,))
    np.testing.assert_allclose(made, expected, rtol=1e-12)


@pytest.mark.parametrize(("padding", "rate"), [("valid", 1), ("same", 1), ("causal", 1), ("causal", 2)])
def test_convolutions_of_rows(rng, padding, rate):
    x, kernel = rng.normal(size=(2, 9, 3)).astype("float32"), rng.normal(size=(3, 3, 4)).astype("float32")
    before, behind = {"valid": (0, 0), "same": (1, 1), "causal": (2 * rate, 0)}[padding]
    padded = np.pad(x, [(0, 0), (before, behind), (0, 0)])
    length = padded.shape[1] - 2 * rate
    expected = sum(padded[:, rate * k : rate * k + length] @ kernel[k] for k in range(3))
    np.testing.assert_allclose(K.conv1d(x, kernel, 1, padding, None, rate), expected, rtol=1e-4, atol=1e-5)
    first = K.conv1d(np.swapaxes(x, 1, 2), kernel, 1, padding, "channels_first", rate)
    np.testing.assert_allclose(np.swapaxes(first, 1, 2), expected, rtol=1e-4, atol=1e-5)
    depthwise, pointwise = rng.normal(size=(3, 3, 2)).astype("float32"), rng.normal(size=(1, 6, 4)).astype("float32")
    inner = sum(x[:, k : k + 7, :, None] * depthwise[k] for k in range(3)).reshape(2, 7, 6)
    made = K.separable_conv1d(x, depthwise, pointwise)
    np.testing.assert_allclose(made, inner @ pointwise[0], rtol=1e-3, atol=1e-5)


def test_small_functions_of_the_backend():
    parts = np.arange(6.0).reshape(3, 2)
    assert K.foldl(lambda a, b: 2 * a + b, parts).tolist() == [8.0, 15.0]
    assert K.foldr(lambda a, b: 2 * a + b, parts, np.ones(2)).tolist() == [28.0, 35.0]
    assert K.temporal_padding(np.ones((1, 2, 1)), (1, 2))[0, :, 0].tolist() == [0, 1, 1, 0, 0]
    assert K.is_placeholder(K.placeholder((None, 2))) and not K.is_placeholder(parts)
    assert K.to_dense(parts) is parts and K.reset_uids() is None
    state, variable = K.zeros((2,)), K.variable(np.zeros(2))
    K.batch_set_value([(state, [1.0, 2.0]), (variable, [3.0, 4.0])])
    assert K.get_value(state).tolist() == [1.0, 2.0] and K.get_value(variable).tolist() == [3.0, 4.0]
    with pytest.raises(TypeError, match="takes a variable"):
        K.set_value(parts, 1.0)  # an array of the user's


def test_a_summary_says_which_layers_are_trained():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.Flatten(), layers.Dense(1, trainable=False)])
    lines = []
    model.summary(show_trainable=True, print_fn=lines.append)
    cells = [line.split("│")[-2].strip() for line in "\n".join(lines).split("\n") if "(Dense)" in line or "(Fl" in line]
    assert cells == ["Y", "-", "N"] and "Trainable ┃" in "\n".join(lines)


def test_graphs_and_readers_are_refused_in_a_sentence():
    original = lambda x: x + 1  # noqa: E731
    step = tf.function(original)
    assert step(1) == 2 and step.python_function is original
    with pytest.raises(ImportError, match="makes no graph"):
        _ = step.get_concrete_function(tf.TensorSpec([None], tf.float32)).graph
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ImportError, match="makes no graph"):
        _ = tf.function(model.predict).get_concrete_function().inputs
    for module, name in ((K, "ctc_batch_cost"), (tf.nn, "ctc_loss"), (keras.ops, "ctc_decode")):
        with pytest.raises(AttributeError, match="for sequences"):
            getattr(module, name)
    model.layers[-1].outbound_nodes = []  # of functions that pop layers
    with pytest.raises(AttributeError, match="inbound_layers"):
        _ = model.layers[-1].outbound_nodes


def test_validation_data_of_the_model_in_a_callback():
    x, y, seen = np.ones((4, 3)), np.ones((4, 1)), []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([self.model.validation_data, self.validation_data])

    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, y, validation_data=(x[:2], y[:2]), callbacks=[Look()], verbose=0)
    assert all(data[0] is seen[0][0][0] and len(data) == 2 for data in seen[0])
    assert not hasattr(model, "validation_data")


def test_a_subclass_with_a_config_of_its_own_is_made_of_it():
    class Net(keras.Model):
        def __init__(self, units=2, **kwargs):
            super().__init__(**kwargs)
            self.units, self.head = units, layers.Dense(units)

        def call(self, inputs):
            return self.head(inputs)

        def get_config(self):
            return {"units": self.units}

    again = Net.from_config(Net(3).get_config())
    assert again.units == 3 and again(np.ones((2, 4))).shape == (2, 3)


def test_objects_as_plain_data_and_back():
    @keras.saving.register_keras_serializable("mine")
    def distance(y_true, y_pred):
        return K.mean(K.abs(y_true - y_pred), -1)

    @keras.saving.register_keras_serializable("mine")
    class Distance(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return K.mean(K.abs(y_true - y_pred), -1)

    parts = [
        *(layers.Dense(2, activation="relu"), keras.losses.MeanSquaredError(), keras.metrics.AUC(), Distance()),
        *(keras.optimizers.Adam(0.5), keras.initializers.HeNormal(1), keras.regularizers.L2(0.5)),
        keras.Sequential([keras.Input((3,)), layers.Dense(2)]),
    ]
    for part in parts:
        written = keras.saving.serialize_keras_object(part)
        again = keras.utils.deserialize_keras_object(json.loads(json.dumps(written)))
        assert type(again).__name__ == type(part).__name__
        assert json.dumps(keras.saving.serialize_keras_object(again)) == json.dumps(written)
    for function in (distance, keras.activations.relu):
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(function)) is function
    assert keras.losses.deserialize("mine>distance") is keras.metrics.deserialize("mine>distance") is distance
    assert isinstance(keras.losses.deserialize("mine>Distance"), Distance)
    with pytest.raises(ValueError, match="custom_objects"):
        keras.saving.deserialize_keras_object({"class_name": "Unheard", "config": {}})
    with pytest.raises(ValueError, match="def name"):
        keras.saving.serialize_keras_object(lambda x: x)


def _in_keras(module, class_name, **config):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (lambda: keras.optimizers.schedules.CosineDecay(0.1, 10), "keras.optimizers.schedules"),
        (lambda: keras.optimizers.Adam(), "keras.optimizers"),
        (lambda: keras.optimizers.Muon(), "keras.optimizers"),
        (lambda: keras.initializers.Identity(), "keras.initializers"),
        (lambda: keras.initializers.HeNormal(1), "keras.initializers"),
        (lambda: keras.losses.Poisson(), "keras.losses"),
        (lambda: keras.metrics.Poisson(), "keras.metrics"),
        (lambda: keras.metrics.TopKCategoricalAccuracy(3), "keras.metrics"),
        (lambda: keras.regularizers.L1(0.5), "keras.regularizers"),
        (lambda: keras.constraints.NonNeg(), "keras.constraints"),
        (lambda: keras.layers.Identity(), "keras.layers"),
        (lambda: keras.Sequential([keras.Input((3,))]), "keras"),
    ],
)
def test_serialized_objects_have_the_module_in_which_keras_has_them(make, module):
    """Keras 3.15 looks for the class there; several modules have a `Poisson` and an `Identity`."""
    made = make()
    room = getattr(keras, module.split(".")[1]) if "." in module else None
    room = keras.optimizers.schedules if module.endswith("schedules") else room
    for serialize in (keras.saving.serialize_keras_object, getattr(room, "serialize", None)):
        if serialize is None:
            continue
        written = json.loads(json.dumps(serialize(made)))
        assert written.keys() >= {"module", "class_name", "config", "registered_name"}
        assert (written["module"], written["class_name"]) == (module, type(made).__name__)
        assert not written["config"].keys() & {"from_sorted_ids", "flatten_kernels"}  # which Keras has not
        assert type(keras.saving.deserialize_keras_object(written)) is type(made)
        if room is not None:
            assert type(room.deserialize(written)) in type(made).__mro__[:2]  # of the library, or of keras


def test_objects_that_keras_3_15_wrote_are_deserialized():
    """Values as Keras 3.15.1 prints them."""
    glorot = _in_keras("keras.initializers", "GlorotUniform", seed=None, input_axes=None, output_axes=None)
    for read in (keras.saving.deserialize_keras_object, keras.initializers.deserialize, keras.initializers.get):
        assert type(read(glorot)).__name__ == "GlorotUniform"
    policy = _in_keras("keras", "DTypePolicy", name="float32")
    dense = _in_keras(
        *("keras.layers", "Dense"),
        **dict(name="l", trainable=True, dtype=policy, units=3, activation="relu", use_bias=True),
        **dict(kernel_initializer=glorot, kernel_regularizer=None, quantization_config=None),
    )
    for read in (keras.saving.deserialize_keras_object, keras.layers.deserialize):
        layer = read(dense)
        assert (type(layer), layer.units, layer.name) == (keras.layers.Dense, 3, "l")
    function = {"module": "builtins", "class_name": "function", "config": "huber", "registered_name": "function"}
    assert keras.losses.deserialize(function)(np.zeros((2, 1)), np.full((2, 1), 3.0)).tolist() == [2.5, 2.5]
    assert callable(keras.metrics.deserialize(function | {"config": "mean_squared_error"}))


def test_functions_are_written_as_keras_finds_them():
    @keras.saving.register_keras_serializable("here", "half")
    def halved(x):
        return x / 2

    expected = {"module": "builtins", "class_name": "function", "config": "here>half", "registered_name": "function"}
    assert keras.saving.serialize_keras_object(halved) == expected  # as Keras 3.15.1
    assert keras.saving.deserialize_keras_object(expected) is halved
    assert keras.saving.serialize_keras_object(keras.activations.swish)["config"] == "silu"


def test_losses_have_names():
    assert keras.losses.MeanSquaredError().name == "mean_squared_error" and keras.losses.Huber().name == "huber_loss"
    assert keras.losses.BinaryCrossentropy(name="mine").name == "mine"
    assert type("Own", (keras.losses.Loss,), {"call": lambda self, a, b: a})().name == "own"


def test_a_class_of_ones_own_with_a_built_in_name_is_not_taken_for_the_library_one():
    """Keras 3.15 refuses each of these, too."""

    class Adam(keras.optimizers.Adam):
        pass

    class Zeros(keras.initializers.Zeros):
        pass

    class MeanSquaredError(keras.losses.MeanSquaredError):
        pass

    for own in (Adam(), Zeros(), MeanSquaredError()):
        written = keras.saving.serialize_keras_object(own)
        for config in (written, written | {"module": None}):  # which Keras writes
            with pytest.raises(ValueError, match="custom_objects"):
                keras.saving.deserialize_keras_object(config)
            read = keras.saving.deserialize_keras_object(config, custom_objects={type(own).__name__: type(own)})
            assert type(read) is type(own)
    of_keras_2 = {"class_name": "Custom>Adam", "config": {"learning_rate": 0.5}}
    assert isinstance(keras.saving.deserialize_keras_object(of_keras_2), keras.optimizers.Adam)


def test_layers_of_packages_beside_keras_are_not_taken_for_its_own():
    of_hub = {
        "module": "keras_hub.layers",
        "class_name": "UpSampling2D",
        "config": {},
        "registered_name": "hub>UpSampling2D",
    }
    for read in (keras.saving.deserialize_keras_object, keras.layers.deserialize):
        with pytest.raises(ValueError, match=r"no class or function|Unknown layer"):
            read(of_hub)
        with pytest.raises(ValueError, match="no class or function"):
            read({"module": "keras.layers", "class_name": "Any", "config": {}})  # a class, but not of Keras's kind


@pytest.mark.parametrize("is_own", [False, True])
def test_a_copy_of_a_model_has_weights_and_an_optimizer_of_its_own(is_own):
    """As in Keras 3.15.1, where ``copy.copy(model)`` is no second name for the same weights: target networks are."""

    class Own(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    model = Own() if is_own else keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.5), "mse")
    model.fit(x, x[:, :2], epochs=2, verbose=0)
    before = model.get_weights()
    for made in (copy.copy(model), copy.deepcopy(model)):
        assert type(made) is type(model) and made.name == model.name
        assert int(made.optimizer.iterations) == int(model.optimizer.iterations)
        np.testing.assert_array_equal(made.predict(x, verbose=0), model.predict(x, verbose=0))
        made.fit(x, x[:, :2], verbose=0)
        assert not np.array_equal(made.get_weights()[0], before[0])
        np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_copy_of_a_model_shares_what_cannot_be_copied_and_no_weights():
    """A lock, beside the layers or in one; in Keras 3.15.1, which copies by a file, such a model can be copied, too."""

    class Locked(keras.layers.Dense):
        def __init__(self, units, **kwargs):
            super().__init__(units, **kwargs)
            self.held = {"lock": threading.Lock(), "seen": []}

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = Locked(2)
            self.lock = threading.Lock()

        def call(self, inputs):
            return self.dense(inputs)

    x = np.ones((4, 3), np.float32)
    model = Own()
    model.compile("sgd", "mse")
    model.fit(x, x[:, :2], verbose=0)
    before = model.get_weights()
    made = copy.copy(model)
    assert made.lock is model.lock and made.dense.held["lock"] is model.dense.held["lock"]
    assert made.dense is not model.dense and made.dense.held["seen"] is not model.dense.held["seen"]
    made.fit(x, x[:, :2], verbose=0)
    assert not np.array_equal(made.get_weights()[0], before[0])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


class _Scaled(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="random_normal")

    def call(self, x):
        return x * self.scale

    def __deepcopy__(self, memo):
        return copy.copy(self)


@pytest.mark.parametrize("make", [lambda: keras.layers.Dense(3), lambda: keras.layers.BatchNormalization(), _Scaled])
def test_a_copy_of_a_layer_has_weights_of_its_own(make):
    """Keras 3.15.1: after ``d.kernel.assign(…)``, the kernel of ``copy.copy(d)`` is what it was."""
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    layer = make()
    before = np.asarray(layer(x))
    for made in (copy.copy(layer), copy.deepcopy(layer)):
        layer.set_weights([2 * w + 1 for w in layer.get_weights()])
        np.testing.assert_array_equal(np.asarray(made(x)), before)
        layer.set_weights([(w - 1) / 2 for w in layer.get_weights()])
    unbuilt = make()
    made = copy.copy(unbuilt)
    made(x)
    assert made.built and not unbuilt.weights


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_what_shares_weights_inside_of_the_library_still_does(data_format):
    """Other orders of channels, and windows of more pixels than 255, are computed by twins of the layer."""
    image = keras.Input((20, 20, 20))
    conv = keras.layers.Conv2D(20, 1, data_format=data_format, kernel_initializer="ones")
    pooled = keras.layers.MaxPooling2D(17, data_format=data_format)(conv(image))
    model = keras.Model(image, pooled)
    conv.set_weights([w * 2 for w in conv.get_weights()])
    np.testing.assert_allclose(model.predict(np.ones((2, 20, 20, 20)), verbose=0), 40)


def test_a_copy_of_a_model_asks_no_deepcopy_that_may_ask_for_the_copy():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

        def __deepcopy__(self, memo):
            return copy.copy(self)

    class Fails(keras.layers.Dense):
        def __deepcopy__(self, memo):
            raise NotImplementedError("no copy of this one")

    model = Own()
    expected = model(np.ones((1, 3)))
    for made in (copy.copy(model), copy.deepcopy(model)):
        assert made is not model and made.dense is not model.dense
        np.testing.assert_array_equal(made(np.ones((1, 3))), expected)
    model.dense = Fails(2)  # shared, it would be trained by both
    with pytest.raises(NotImplementedError, match="no copy of this one"):
        copy.copy(model)
