"""Weights in files of Keras's layout go by the places of the layers, as in Keras, whatever names the files have."""

import h5py
import numpy as np
import pytest

from minicnn import keras

FIRST, SECOND = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, -8.0]])


def write(path, names, container="layers", groups=("dense", "dense_1")):
    """A file of Keras 3.15.1's layout (`save_weights`): the kernels in the order of the model's layers, with names."""
    with h5py.File(path, "w") as file:
        for group, name, kernel in zip(groups, names, (FIRST, SECOND), strict=True):
            file[f"{container}/{group}/vars/0"] = kernel
            file[f"{container}/{group}/vars"].attrs["name"] = name


def made(names, is_nested=False):
    layers = [keras.layers.Dense(2, use_bias=False, name=name) for name in names]
    inner = keras.Sequential([keras.Input((2,)), *layers], name="inner")
    if not is_nested:
        return inner
    image = keras.Input((2,))
    return keras.Model(image, inner(image))


@pytest.mark.parametrize("in_file", [("a", "b"), ("b", "a"), ("c", "d"), ("a", "c")])
def test_layers_get_the_weights_of_their_places(tmp_path, in_file):
    """Keras 3.15.1 gives the first layer the first group in each of these cases."""
    write(tmp_path / "of.weights.h5", in_file)
    model = made(("a", "b"))
    model.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], FIRST)
    np.testing.assert_array_equal(model.get_weights()[1], SECOND)


def test_layers_of_a_nested_model_do_too(tmp_path):
    write(tmp_path / "of.weights.h5", ("b", "a"), "layers/sequential/layers")
    model = made(("a", "b"), is_nested=True)
    model.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], FIRST)
    np.testing.assert_array_equal(model.get_weights()[1], SECOND)


def test_what_minicnn_writes_of_one_order_is_read_by_places_into_another(tmp_path):
    """Two models of named layers: the reverse order of names is another model, as in Keras."""
    model, other = made(("a", "b")), made(("b", "a"))
    model.set_weights([FIRST, SECOND])
    model.save_weights(tmp_path / "of.weights.h5")
    other.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(other.get_layer("b").get_weights()[0], FIRST)


class Blocks(keras.Model):
    def __init__(self, names):
        super().__init__()
        self.inner = made(names)

    def call(self, inputs):
        return self.inner(inputs)


def test_a_functional_model_in_a_users_model_goes_by_places(tmp_path):
    write(tmp_path / "of.weights.h5", ("b", "a"), "inner/layers")
    with h5py.File(tmp_path / "of.weights.h5", "a") as file:
        file.require_group("vars").attrs["name"] = "blocks"
    model = Blocks(("a", "b"))
    model(np.zeros((1, 2)))
    model.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], FIRST)
    np.testing.assert_array_equal(model.get_weights()[1], SECOND)


@pytest.mark.parametrize("groups", [("dense_3", "dense_4"), ("dense", "dense_7"), ("fully", "connected")])
@pytest.mark.parametrize("is_nested", [False, True])
def test_names_count_where_a_place_is_missing(tmp_path, groups, is_nested):
    """Keras 3.15.1 refuses such files: a layer of the model "expected 1 variables, but received 0"."""
    write(tmp_path / "of.weights.h5", ("b", "a"), "layers/sequential/layers" if is_nested else "layers", groups)
    model = made(("a", "b"), is_nested)
    model.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], SECOND)
    np.testing.assert_array_equal(model.get_weights()[1], FIRST)


@pytest.mark.parametrize("names", [("a", "c"), ("a", "a"), ("c", "d")])
def test_a_file_without_a_place_whose_names_do_not_fit_is_refused(tmp_path, names):
    """Neither by places, of which one is missing, nor by names, of which a layer's is not there or twice."""
    write(tmp_path / "of.weights.h5", names, groups=("dense", "dense_7"))
    model = made(("a", "b"))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"missing.*b/kernel"):
        model.load_weights(tmp_path / "of.weights.h5")
    for after, weight in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, weight)


def test_a_file_whose_names_fit_and_whose_shapes_do_not_is_refused(tmp_path):
    write(tmp_path / "of.weights.h5", ("b", "a"), groups=("dense", "dense_7"))
    model = keras.Sequential(
        [keras.Input((2,)), *[keras.layers.Dense(n, use_bias=False, name=c) for n, c in ((2, "a"), (3, "b"))]]
    )
    before = model.get_weights()
    with pytest.raises(ValueError, match="b/kernel"):
        model.load_weights(tmp_path / "of.weights.h5")
    for after, weight in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, weight)
