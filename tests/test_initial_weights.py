"""What scripts do with single layers and losses: `weights=[…]`, `build`, `set_weights` too early, ``loss.call``."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import NotBuiltError, ShapeError
from minicnn.keras import layers, losses

TABLE = np.arange(12.0).reshape(4, 3)


@pytest.mark.filterwarnings("error")  # today's Keras has it too
def test_a_table_from_outside():
    layer = layers.Embedding(4, 3, weights=[TABLE], trainable=False)
    np.testing.assert_array_equal(layer.embeddings.numpy(), TABLE)
    np.testing.assert_array_equal(layer(np.array([[1, 3]])), TABLE[None, [1, 3]])
    model = keras.Sequential([keras.Input((2,)), layers.Embedding(4, 3, weights=TABLE), layers.Flatten()])
    np.testing.assert_array_equal(model.predict(np.array([[0, 2]]), verbose=0), TABLE[[0, 2]].reshape(1, -1))
    np.testing.assert_array_equal(TABLE, np.arange(12.0).reshape(4, 3))


@pytest.mark.filterwarnings("ignore:.*weights.*is an argument of Keras 2")
@pytest.mark.parametrize("built_by", ["a model", "build", "a call"])
def test_weights_of_any_layer(built_by):
    kernel, bias = np.arange(6.0).reshape(2, 3), np.array([1.0, 2, 3])

    class Twice(layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)

    class Own(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 3))
            self.bias = self.add_weight(name="bias", shape=(3,))

        def call(self, inputs):
            return inputs @ self.kernel + self.bias

    x = np.array([[1.0, -1.0]])
    for layer, factor in (
        (layers.Dense(3, weights=[kernel, bias]), 1),
        (Twice(3, weights=[kernel, bias]), 2),
        (Own(weights=[kernel, bias]), 1),
    ):
        if built_by == "a model":
            model = keras.Sequential([keras.Input((2,)), layer])
            model.compile("sgd", "mse")
            made = model.predict(x, verbose=0)
        else:
            if built_by == "build":
                layer.build((None, 2))
            made = np.asarray(layer(x))
        np.testing.assert_allclose(made, factor * (x @ kernel + bias), rtol=1e-6)
    convolution = layers.Conv2D(1, 1, weights=[np.full((1, 1, 1, 1), 2.0), [0.5]])
    np.testing.assert_array_equal(convolution(np.ones((1, 2, 2, 1))), np.full((1, 2, 2, 1), 2.5))


def test_variables_that_are_there_before_the_layer_begins():
    """``keras.Variable`` has the dtype of models, and Keras's order of arguments; what precedes super() is a weight."""

    class Early(layers.Layer):
        def __init__(self):
            self.factor = keras.Variable(np.array([2.0, 3.0]))
            super().__init__()

        def call(self, inputs):
            return inputs * self.factor

    layer = Early()
    assert [w.shape for w in layer.weights] == [(2,)]
    np.testing.assert_array_equal(layer(np.ones((1, 2))), [[2, 3]])
    assert keras.Variable("ones", (2, 3), "float32", False, "mine").numpy().shape == (2, 3)


def test_an_argument_of_ones_own_is_left_alone():
    class Weighted(layers.Layer):
        def __init__(self, weights, **options):
            super().__init__(**options)
            self.numbers = weights

        def call(self, inputs):
            return inputs * self.numbers

    np.testing.assert_array_equal(Weighted(weights=3.0)(np.ones((1, 2))), [[3, 3]])


def test_weights_that_do_not_fit():
    with pytest.raises(ValueError, match=r"embeddings' has shape \(4, 3\). Received: shape \(2, 3\)"):
        layers.Embedding(4, 3, weights=[TABLE[:2]])
    with pytest.raises(TypeError, match=r"takes a list of arrays.*Received: ndarray"):
        layers.Dense(3, weights=TABLE)
    with pytest.raises(NotBuiltError, match="has no weights yet"):
        layers.Dense(2).set_weights([np.ones((2, 2)), np.zeros(2)])


def test_build_in_every_form():
    for shape in ((None, 4), (5, 4), [None, 4]):
        layer = layers.Dense(2)
        layer.build(shape)
        assert [tuple(w.shape) for w in layer.weights] == [(4, 2), (2,)]
    for layer in (layers.Embedding(3, 2), mc.layers.Embedding(3, 2)):
        layer.build()  # as in Keras: the shape does not matter
        assert tuple(layer.weights[0].shape) == (3, 2)
    layers.Dropout(0.5).build(None)
    for form in ((), (None,)):
        with pytest.raises(ShapeError, match=r"the shape of a batch is a tuple.*Received: None"):
            layers.Dense(2).build(*form)


@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy", "CategoricalCrossentropy", "Huber"])
def test_the_losses_of_samples(name, rng):
    """`call` gives what the loss is the mean of; the loss itself keeps its reduction, and trains as before."""
    y = np.eye(3)[rng.integers(3, size=5)]
    p = rng.dirichlet(np.ones(3), 5)
    loss = getattr(losses, name)()
    each = loss.call(y, p)
    assert each.numpy().shape == (5,)
    assert float(loss(y, p)) == pytest.approx(float(np.mean(each)), rel=1e-5)
    assert not hasattr(getattr(losses, name), "call")

    class Same(getattr(losses, name)):
        pass

    np.testing.assert_array_equal(Same().call(y, p), each)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", Same())
    assert mc.gradcheck(model).error <= 1e-6


def test_load_model_is_told_true_or_false(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    for load in (mc.load_model, keras.models.load_model):
        with pytest.raises(TypeError, match=r"compile is True or False\. Received: compile='no'"):
            load(tmp_path / "model.keras", compile="no")
        with pytest.raises(TypeError, match="custom_objects is a dict"):
            load(tmp_path / "model.keras", custom_objects=[3])
        assert not load(tmp_path / "model.keras", compile=0).compiled
    with pytest.raises(TypeError, match="Did you mean 'compile'"):
        keras.models.load_model(tmp_path / "model.keras", compil=False)


def test_names_count_as_in_keras():
    """conv2d, conv2d_1, … in one session, by class; a name that is not there is answered with the nearest ones."""
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Conv2D(2, 3), layers.PReLU()])
    assert [layer.name for layer in model.layers] == ["conv2d", "conv2d_1", "p_re_lu"]
    assert model.name == "sequential"
    with pytest.warns(UserWarning, match="conv2d_2"):  # as Keras 1 and 2 counted
        assert model.get_layer("conv2d_2") is model.layers[1]
    with pytest.raises(ValueError, match=r"Did you mean 'conv2d' or 'conv2d_1'\?.*Received: 'conv2d_7'"):
        model.get_layer("conv2d_7")
    assert layers.Conv2D(2, 3).name == "conv2d_2"
    keras.backend.clear_session()
    assert layers.Conv2D(2, 3).name == "conv2d"
