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


def test_the_operator_of_matrix_products():
    """``x @ array``, ``x @ x``, ``x @ self.w`` of a weight beside layers; the numbers are einsum's."""
    rng = np.random.default_rng(0)
    matrix, numbers = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(2, 4)).astype("float32")
    x = keras.Input((4,))
    products = [x @ matrix, x[:, None, :] @ x[:, :, None]]
    assert [t.name for t in products] == ["matmul", "matmul_1"]
    first, second = keras.Model(x, products).predict(numbers, verbose=0)
    np.testing.assert_allclose(first, np.einsum("bi,ij->bj", numbers, matrix), rtol=1e-5)
    np.testing.assert_allclose(second[:, 0, 0], np.einsum("bi,bi->b", numbers, numbers), rtol=1e-5)

    class Projected(layers.Layer):
        def build(self, shape):
            self.dense = layers.Dense(4, use_bias=False)
            self.w = self.add_weight(shape=(4, 3), name="w", initializer="ones")

        def call(self, inputs):
            return self.dense(inputs) @ self.w

    layer = Projected()
    model = keras.Model(x, layer(x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    kernel, target = layer.dense.kernel.numpy(), np.zeros((2, 3), "float32")
    out = numbers @ kernel @ np.ones((4, 3), "float32")
    np.testing.assert_allclose(model.predict(numbers, verbose=0), out, rtol=1e-4)
    model.train_on_batch(numbers, target)
    gradient = (numbers @ kernel).T @ (2 * out / out.size)
    np.testing.assert_allclose(layer.w.numpy(), 1 - 0.1 * gradient, rtol=1e-4, atol=1e-6)
