"""What beginners write, and Keras takes: a layer in several places, one input to merge, two metrics of a name."""

import copy

import h5py
import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers
from minicnn.keras.models import clone_model, load_model

X = np.ones((4, 4), np.float32)  # (4, 4)


def shared():
    """Two places of one dense layer with a ReLU, and one behind: Keras computes 4 · 4 · 4, times 3 weights of 1."""
    dense, relu = layers.Dense(4, kernel_initializer="ones", name="twice"), layers.ReLU()
    last = layers.Dense(3, kernel_initializer="ones", name="last")
    return keras.Sequential([keras.Input((4,)), dense, relu, dense, relu, last])


def test_a_layer_that_stands_twice_has_its_weights_once():
    model = shared()
    assert model.layers[0] is model.layers[2]
    assert len(model.layers) == 5
    assert model.count_params() == 4 * 4 + 4 + 4 * 3 + 3
    np.testing.assert_allclose(model.predict(X, verbose=0), np.full((4, 3), 64.0))


def test_gradients_of_both_places_add_up():
    dense = layers.Dense(4, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((4,)), dense, dense])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(X, X, verbose=0)
    # As Keras 3.15.1 on TensorFlow: an error of 15, in 2 · 15 / 4 = 7.5 by output; 4 · 7.5 from each of the places
    np.testing.assert_allclose(model.get_weights()[0], np.full((4, 4), 0.4), rtol=1e-5)


def shared_norm(kind, backend):
    """A model in which one normalization is called on x, and then on x²; the first has a ReLU behind it."""
    norm = layers.BatchNormalization(momentum=0.5)

    class Twice(layers.Layer):
        def __init__(self):
            super().__init__()
            self.norm, self.relu = norm, layers.ReLU()

        def call(self, x):
            first = self.norm(x)  # the nearer one to the output
            second = self.norm(x * x)
            return self.relu(self.relu(second * 2.0)) + first

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.twice = Twice()

        def call(self, x):
            return self.twice(x)

    start = keras.Input((None, 3) if kind == "open sizes" else (4, 3))
    # In graphs of tensors Keras goes by distances from the outputs, a layer having its largest one: here x is first
    if kind == "fused":
        ends = [layers.Dense(1)(norm(start * start)), layers.Dense(1)(layers.Dense(1)(layers.ReLU()(norm(start))))]
        model = keras.Model(start, ends)
    elif kind == "added":  # what the first is added to is computed behind the second
        first, second = norm(start), norm(start * start)
        model = keras.Model(start, layers.Add()([first, layers.ReLU()(layers.ReLU()(second))]))
    else:
        model = Own() if kind == "model" else keras.Model(start, Twice()(start))
    model.compile("sgd", "mse", backend=backend)
    return copy.deepcopy(model) if kind == "copy" else model


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("kind", ["layer", "model", "open sizes", "copy", "fused", "added"])
def test_averages_move_in_the_order_of_calls(kind, backend):
    x = np.random.default_rng(0).normal(1, 2, (8, 4, 3)).astype(np.float32)  # (8, 4, 3)
    model = shared_norm(kind, backend)
    model.fit(x, [x[..., :1]] * 2 if kind == "fused" else x, verbose=0)
    mean, variance = (w for w in model.non_trainable_weights)
    expected = np.zeros(3), np.ones(3)
    for given in (x, x * x):
        moments = given.mean((0, 1), np.float64), given.var((0, 1), np.float64)
        expected = [0.5 * old + 0.5 * new for old, new in zip(expected, moments, strict=True)]
    np.testing.assert_allclose(mean.numpy(), expected[0], rtol=1e-5)
    np.testing.assert_allclose(variance.numpy(), expected[1], rtol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_hold_all_places(suffix, tmp_path):
    model = shared()
    model.set_weights([np.random.default_rng(0).random(w.shape) for w in model.get_weights()])
    model.save(tmp_path / f"model{suffix}")
    read = load_model(tmp_path / f"model{suffix}")
    assert read.layers[0] is read.layers[2]
    np.testing.assert_array_equal(read.predict(X, verbose=0), model.predict(X, verbose=0))


def test_files_of_weights_count_places_as_keras_does(tmp_path):
    shared().save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert {"dense", "dense_2"} <= set(file["layers"])  # Keras counts the second place, and writes nothing there
        assert "dense_1" not in file["layers"]
    other = shared()
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(other.predict(X, verbose=0), np.full((4, 3), 64.0))


@pytest.mark.parametrize("copied", [clone_model, copy.deepcopy, lambda m: keras.Sequential.from_config(m.get_config())])
def test_copies_have_all_places(copied):
    made = copied(shared())
    made.set_weights(shared().get_weights())
    np.testing.assert_allclose(made.predict(X, verbose=0), np.full((4, 3), 64.0))
    assert made.count_params() == 35


def test_a_config_that_describes_a_layer_twice_means_one():
    config = shared().get_config()
    for entry in config["layers"]:
        entry.pop("shared_object_id", None)  # of minicnn's files
    made = keras.Sequential.from_config(config)
    assert len({*made.layers}) == 3


def test_the_top_one_of_two_places_is_taken_off():
    dense = layers.Dense(4, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((4,)), dense, dense])
    assert model.pop() is dense
    np.testing.assert_allclose(model.predict(X, verbose=0), np.full((4, 4), 4.0))


def test_another_layer_of_that_name_is_refused():
    with pytest.raises(ValueError, match=r"need different names\. Received: a second layer 'a'"):
        keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="a")])
    config = shared().get_config()
    config["layers"][3]["config"]["units"] = 5
    config["layers"][3].pop("shared_object_id", None)
    with pytest.raises(ValueError, match="need different names"):
        keras.Sequential.from_config(config)


# ----------------------------------------------------------------------------------------------------------- one input


@pytest.mark.parametrize("name", ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply"])
def test_of_a_list_of_one_tensor_that_one_is_merged(name, tmp_path):
    x = keras.Input((4,))
    merged = getattr(layers, name)(name="merged")([layers.Dense(3, kernel_initializer="ones")(x)])
    model = keras.Model(x, layers.Dense(2, kernel_initializer="ones")(merged))
    np.testing.assert_allclose(model.predict(X, verbose=0), np.full((4, 2), 12.0))
    assert model.get_layer("merged").output.shape == (None, 3)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(load_model(tmp_path / "model.keras").predict(X, verbose=0), np.full((4, 2), 12.0))
    np.testing.assert_array_equal(getattr(layers, name)()([X]), X)


def test_functions_that_merge_take_one_tensor_in_a_list_and_none_alone():
    x = keras.Input((4,))
    assert layers.concatenate([x]).shape == layers.add([x]).shape == (None, 4)
    for merge in (layers.Add(), layers.Concatenate()):
        with pytest.raises(ValueError, match="two or more inputs"):
            merge(x)
    with pytest.raises(ValueError, match="takes 2 input"):
        layers.Subtract()([x])


# ------------------------------------------------------------------------------------------------------------- metrics


def test_metrics_of_one_name_are_numbered():
    """As Keras 3.15.1 names them: accuracy, accuracy_1; beside weighted ones weighted_accuracy, weighted_accuracy_1."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    loss, y = "sparse_categorical_crossentropy", np.arange(4) % 3
    both = ["accuracy", keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    model.compile("sgd", loss, metrics=both)
    assert list(model.evaluate(X, y, verbose=0, return_dict=True)) == ["accuracy", "accuracy_1", "loss"]
    assert len(model.evaluate(X, y, verbose=0)) == 3
    model.compile("sgd", loss, metrics=["accuracy"], weighted_metrics=["accuracy", "accuracy"])
    history = model.fit(X, y, sample_weight=np.ones(4), verbose=0).history
    assert sorted(history) == ["accuracy", "loss", "weighted_accuracy", "weighted_accuracy_1"]
    model.compile("sgd", "mse", metrics=[keras.metrics.Precision(), keras.metrics.Precision(thresholds=0.2)])
    history = model.fit(X, np.eye(4, 3), validation_split=0.5, verbose=0).history
    assert {"precision", "precision_1", "val_precision", "val_precision_1"} < set(history)


def test_the_folder_of_an_hdf5_file_is_made(tmp_path):
    """As Keras makes it for .h5 and .hdf5, and for no other file."""
    for suffix in (".h5", ".hdf5"):
        shared().save(tmp_path / suffix / "deep" / f"model{suffix}")
        load_model(tmp_path / suffix / "deep" / f"model{suffix}")
    for save, name in ((keras.Sequential.save, "model.keras"), (keras.Sequential.save_weights, "a.weights.h5")):
        with pytest.raises(FileNotFoundError, match="make it first"):
            save(shared(), tmp_path / "none" / name)


def test_one_input_to_merge_may_come_twice():
    add, x, y = layers.Add(), keras.Input((4,)), keras.Input((4,))
    one, two = keras.Model([x, y], [add([x]), add([y])]).predict([X, 2 * X], verbose=0)
    np.testing.assert_array_equal(one, X)
    np.testing.assert_array_equal(two, 2 * X)


def test_what_a_users_class_merges_of_one_input_gets_it_in_a_list():
    class Twice(layers.Add):
        def call(self, inputs):
            return inputs[0] * 2

    x = keras.Input((4,))
    np.testing.assert_allclose(keras.Model(x, Twice()([x])).predict(X, verbose=0), 2 * X, rtol=1e-6)


def test_two_metrics_of_a_name_are_told_apart_wherever_they_are_run():
    class Stepping(keras.Model):
        def train_step(self, data):
            x, y = data
            return self.compute_metrics(x, y, self(x), None)

    x = keras.Input((4,))
    model = Stepping(x, layers.Dense(1)(x))
    model.compile("sgd", "mse", metrics=[keras.metrics.Sum(name="m"), keras.metrics.Sum(name="m")])
    assert {"m", "m_1"} <= set(model.fit(X, X[:, :1], verbose=0).history)


def test_a_metric_called_loss_leaves_that_of_its_output():
    x = keras.Input((4,))
    heads = [layers.Dense(1, kernel_initializer="zeros", name=name)(x) for name in ("a", "b")]
    model = keras.Model(x, heads)
    mean = keras.metrics.MeanAbsoluteError(name="loss")
    model.compile("sgd", ["mse", "mse"], metrics=[[mean], []])
    logs = model.evaluate(X, [3 * X[:, :1], X[:, :1]], verbose=0, return_dict=True)
    assert (logs["a_loss"], logs["a_loss_1"]) == (9, 3)


def test_the_order_of_calls_is_none_of_layers():
    """These, and so weights in files, are listed by their distance from the outputs, as in any graph."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm, self.near, self.far = layers.BatchNormalization(), layers.Dense(3), layers.Dense(3)
            self.middle = layers.Dense(3)

        def call(self, x):
            near = self.near(self.norm(x))
            return near + self.middle(self.far(self.norm(x * x)))

    own = Own()
    own(X)
    order = [layer for layer in own.graph.layers if isinstance(layer, layers.Dense)]
    assert order == [own.far, own.near, own.middle] or order == [own.far, own.middle, own.near]
    assert [node.layer for node in own.graph.nodes if node.layer in order] == [own.near, own.far, own.middle]
