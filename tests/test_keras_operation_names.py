"""Operations of functional models are named, and counted, as Keras 3 counts them; the names are Keras 3.15.1's."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers, ops


@pytest.fixture(autouse=True)
def _counted_anew():
    keras.backend.clear_session()


def test_operations_and_layers_count_together():
    x = layers.Dense(3)(keras.Input((4,)))
    made = [x, ops.sigmoid(x)]
    made += [ops.sigmoid(made[1]) * 2, layers.Add()([x, x + made[1]]), keras.activations.relu(x), layers.ReLU()(x)]
    made += [ops.mean(x, axis=1, keepdims=True), layers.Activation("relu")(x), 1 - x, x / 2, -x, abs(x), x**2]
    made += [x[:, 1:], x > 0, 2 * x, ops.gelu(x), ops.softmax(x), layers.Softmax()(x), ops.concatenate([x, x], axis=1)]
    made += [
        layers.Concatenate()([x, x]),
        ops.amax(x, axis=1),
        ops.hard_swish(x),
        ops.true_divide(x, x),
        ops.glu(x[:, 1:]),
    ]
    made += [layers.Permute((1,))(ops.transpose(x, (0, 1)))]
    assert [t.name for t in made] == [
        *("dense", "sigmoid", "multiply", "add", "re_lu", "re_lu_1", "mean", "activation", "subtract", "true_divide"),
        *("negative", "absolute", "power", "get_item", "greater", "multiply_1", "gelu", "softmax", "softmax_1"),
        *("concatenate", "concatenate_1", "amax", "hard_silu", "true_divide_1", "glu", "permute"),
    ]


def test_operations_on_images():
    x = keras.Input((4, 4, 3))
    made = [ops.image.resize(x, (2, 2)), ops.image.gaussian_blur(x), layers.Resizing(2, 2)(x), ops.max_pool(x, 2)]
    ops.image.resize(np.zeros((1, 4, 4, 3)), (2, 2))  # of arrays: nothing is named
    assert [*(t.name for t in made), layers.Resizing(2, 2).name] == [
        *("resize", "gaussian_blur", "resizing", "max_pool", "resizing_1")
    ]


def test_outputs_that_operations_make_have_their_names_in_histories():
    x = keras.Input((4,))
    h = layers.Dense(3)(x)
    model = keras.Model(x, [ops.sigmoid(h), ops.tanh(h)])
    model.compile("sgd", ["mse", "mae"])
    history = model.fit(np.ones((8, 4)), [np.ones((8, 3)), np.zeros((8, 3))], verbose=0).history
    assert model.output_names == ["sigmoid", "tanh"]
    assert sorted(history) == ["loss", "sigmoid_loss", "tanh_loss"]


class _Scaled(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x):
        return ops.sigmoid(self.dense(x) * 2)


class _ScaledModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return ops.sigmoid(self.dense(x) * 2)


def test_operations_in_a_call_or_a_lambda_are_not_counted():
    _ScaledModel()(np.ones((2, 4)))
    x = layers.Lambda(lambda t: ops.sigmoid(t) * 2)(_Scaled()(keras.Input((4,))))
    assert [t.name for t in (x, x * 2, ops.sigmoid(x), layers.Rescaling(2.0)(x))] == [
        *("lambda", "multiply", "sigmoid", "rescaling")
    ]


def test_models_list_their_operations():
    x = keras.Input((4,))
    h = layers.Dense(3)(x)
    model = keras.Model(x, ops.gelu(ops.sigmoid(h), approximate=True))  # by steps of several layers here
    assert [part.name for part in model.operations] == ["input_layer", "dense", "sigmoid", "gelu"]
    assert [part.name for part in model.layers] == ["input_layer", "dense"]
    with pytest.raises(AttributeError, match="model of tensors"):
        _ScaledModel().operations  # noqa: B018


def test_names_of_operations_are_in_files(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, ops.sigmoid(layers.Dense(3)(x)) * 2)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.output_names == model.output_names == ["multiply"]
    assert [part.name for part in loaded.operations] == [part.name for part in model.operations]
