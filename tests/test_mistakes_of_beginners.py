"""Mistakes that beginners make with Keras: one sentence says what was expected, received, and how to mend it."""

import itertools
import os

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import DataError
from minicnn.foreign import shown
from minicnn.keras import layers
from minicnn.keras.preprocessing.image import ImageDataGenerator

X = np.random.default_rng(0).random((16, 6, 6, 1), dtype=np.float32)  # (16, 6, 6, 1)
Y = np.arange(16) % 3


def net(**options):
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"} | options)
    return model


# ------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    "name, before",
    [
        *itertools.product(["Activation", "Dropout", "Flatten", "GlobalAveragePooling2D", "MaxPooling2D"], [()]),
        *itertools.product(["LeakyReLU", "ReLU", "Reshape", "UpSampling2D", "ZeroPadding2D"], [()]),
        *itertools.product(["Dense", "BatchNormalization", "LeakyReLU", "MaxPooling2D"], [(2,)]),
        ("Conv2D", (4, 3)),
    ],
)
def test_a_tensor_in_the_constructor_of_a_layer(name, before):
    with pytest.raises(TypeError, match=rf"{name}.* second call: {name}\(…\)\(x\)"):
        getattr(layers, name)(*before, keras.Input((6, 6, 1)))


def test_tensors_stay_what_they_are_for_models_and_layers_of_ones_own():
    class Own(layers.Layer):
        def __init__(self, like, **kwargs):
            super().__init__(**kwargs)
            raise ValueError(f"mine: {like.shape}")

    with pytest.raises(ValueError, match="mine: "):
        Own(keras.Input((3,)))
    with pytest.raises(ValueError, match="depend on the input"):
        keras.Model(keras.Input((3,)), layers.Flatten()(keras.Input((3,))))


@pytest.mark.parametrize(
    "thing, advice",
    [
        ([layers.Flatten], r"the layers of a list are given one by one: \[\*block, …\]"),
        (keras.Input((3,)) + 1, r"a layer is given uncalled: Flatten\(\), not Flatten\(\)\(x\)"),
        (lambda x: 2 * x, r"a function becomes one by Lambda\(function\)"),
        ("relu", r"the name of an activation becomes one by Activation\('relu'\)"),
    ],
)
def test_what_stands_in_a_stack_of_layers(thing, advice):
    with pytest.raises(TypeError, match=advice):
        keras.Sequential().add(thing)


@pytest.mark.parametrize(
    "make, advice",
    [
        (lambda: layers.Dense(3, kernel_regularizer=0.01), r"a number is given to one: regularizers\.L2\(0\.01\)"),
        (lambda: layers.Dense(3, kernel_initializer=0), r"a number is given to one: initializers\.Constant\(0\)"),
        (lambda: net(optimizer=0.1), r"a number is given to one: optimizers\.SGD\(learning_rate=0\.1\)"),
        (lambda: net(lr=0.1), r"the rate is the optimizer's, optimizer=optimizers\.Adam\(learning_rate=0\.001\)"),
        (lambda: net(optimizer=None), "compile needs an optimizer.* Received: optimizer=None"),
        (lambda: keras.Input(6, 6, 1), r"a tuple, e\.g\. Input\(shape=\(28, 28, 1\)\)"),
    ],
)
def test_numbers_and_none_in_the_place_of_objects(make, advice):
    with pytest.raises((TypeError, ValueError), match=advice):
        make()


@pytest.mark.parametrize("dtype", ["flaot32", "images", object()])
def test_an_input_of_no_dtype(dtype):
    with pytest.raises(ValueError, match="a dtype is a name such as 'float32'"):
        keras.Input((3,), dtype=dtype)


@pytest.mark.parametrize("dtype", [None, "uint8", "bfloat16", "string", np.float32, np.dtype("int64"), bool])
def test_dtypes_of_an_input(dtype):
    assert keras.Input((3,), dtype=dtype).shape == (None, 3)


# ----------------------------------------------------------------------------------------------- what messages show


def test_an_array_in_the_wrong_place_is_shown_by_its_shape():
    with pytest.raises(ValueError, match="batch_size=") as caught:
        net().fit(X, Y, (X, Y))
    assert "a ndarray of shape (16, 6, 6, 1)" in str(caught.value)
    with pytest.raises(TypeError, match=r"Received: a ndarray of shape \(16, 6, 6, 1\)"):
        keras.Model(X, Y)


@pytest.mark.parametrize(
    "value, text",
    [
        (3, "3"),
        ("same", "'same'"),
        ((1, 2), "(1, 2)"),
        (np.zeros((40, 40)), "a ndarray of shape (40, 40)"),
        ([np.zeros((40, 40)), 1], "[a ndarray of shape (40, 40), 1]"),
        ((np.zeros((40, 40)), 1, 2, 3), "(a ndarray of shape (40, 40), 1, 2, …)"),
        ("x" * 1000, repr("x" * 1000)[:300] + "…"),
    ],
)
def test_shown(value, text):
    assert shown(value) == text


# -------------------------------------------------------------------------------------------------- data and its files


class Batches(keras.utils.Sequence):
    def __init__(self, length):
        super().__init__()
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return X[:8], Y[:8]


def test_a_sequence_without_a_batch_and_one_of_a_fraction():
    with pytest.raises(DataError, match=r"a Batches needs at least one batch: .* write math\.ceil"):
        net().fit(Batches(16 // 32), verbose=0)
    with pytest.raises(TypeError, match=r"the length of a Batches is a whole number, such as math\.ceil"):
        net().fit(Batches(16 / 8), verbose=0)


def test_no_epochs_are_an_empty_history_as_in_keras():
    model = net()
    before = model.get_weights()
    with pytest.warns(UserWarning, match=r"nothing is trained\. Received: epochs=0"):
        assert model.fit(X, Y, epochs=0, verbose=0).history == {}
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_log_that_is_not_there_says_which_are():
    history = net(metrics=["accuracy"]).fit(X, Y, verbose=0).history
    with pytest.raises(KeyError, match=r"'accuracy', 'loss'; fit\(validation_data=…\)"):
        history["val_loss"]
    with pytest.raises(KeyError, match=r"'accuracy', 'loss'\. Received: 'acuracy'"):
        history["acuracy"]
    with pytest.raises(KeyError, match=r"hold 'loss'; compile\(metrics=\['accuracy'\]\) measures it. Received: 'acc'"):
        net(metrics=[]).fit(X, Y, verbose=0).history["acc"]
    assert history.get("val_loss") is None
    assert "val_loss" not in history


def test_a_file_that_is_not_there_says_what_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net().save("model.keras")
    for path, said in {
        "modle.keras": "did you mean 'model.keras'?",
        "models/model.keras": f"there is no folder 'models' (seen from {os.getcwd()!r})",
        str(tmp_path / "weights.h5"): f"No such file in the folder {str(tmp_path)!r}",
    }.items():
        with pytest.raises(FileNotFoundError) as caught:
            keras.models.load_model(path)
        assert said in str(caught.value)
        assert caught.value.filename == path
    with pytest.raises(TypeError, match=r"a path is a string or a pathlib\.Path. Received: None"):
        net().save(None)


# -------------------------------------------------------------------------------------------------- ImageDataGenerator


@pytest.mark.parametrize(
    "options, said",
    [
        ({"rotaion_range": 3}, "did you mean 'rotation_range'"),
        ({"width_shift_range": "0.2"}, "`width_shift_range` must be a finite number"),
        ({"height_shift_range": [1, "2"]}, "`height_shift_range` must be a finite number"),
        ({"zoom_range": "0.2"}, "a number, or a pair .*Received: '0.2'"),
        ({"brightness_range": ("1", "2")}, "is a pair"),
        ({"horizontal_flip": "False"}, "`horizontal_flip` is True or False"),
    ],
)
def test_arguments_of_an_image_data_generator(options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        ImageDataGenerator(**options)


def test_subsets_of_a_generator_without_a_split():
    with pytest.raises(ValueError, match=r"ImageDataGenerator\(validation_split=0\.2\)"):
        ImageDataGenerator().flow(X, Y, subset="training")


@pytest.mark.parametrize("argument", ["x_col", "y_col", "weight_col"])
def test_columns_that_a_table_does_not_have(argument):
    table = {"filename": ["a.png"], "class": ["a"]}
    with pytest.raises(ValueError, match=rf"{argument} names a column of the table, one of \['filename', 'class'\]"):
        ImageDataGenerator().flow_from_dataframe(table, validate_filenames=False, **{argument: "label"})
