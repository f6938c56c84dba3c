"""What Keras's users expect of models, inputs and losses; the expected values are those that Keras documents."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import layers


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


@pytest.mark.parametrize("units", [2.5, "64", 0, None])
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
