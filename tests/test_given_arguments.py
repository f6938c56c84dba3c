"""Further mistakes that are easily made: arguments of other types, or too few, too many and text for True and False."""

import functools
from decimal import Decimal

import numpy as np
import pytest

import minicnn as mc
from minicnn import callbacks, constraints, initializers, keras, layers, losses, metrics, optimizers, regularizers
from minicnn.data import Dataset
from minicnn.errors import ShapeError

X = np.ones((4, 6), np.float32)
Y = np.arange(4) % 3


def net():
    model = mc.Sequential([mc.Input((6,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def image():
    return mc.Input((6, 6, 3))


def pairs():
    return Dataset.from_tensor_slices((X, Y))


# What is done → (the error, what its message says).
MISTAKES = {
    "too few": (
        lambda: layers.Conv2D(32),
        TypeError,
        r"Conv2D\(\) needs kernel_size: write Conv2D\(filters, kernel_size",
    ),
    "another library's names": (
        lambda: layers.Conv2D(in_channels=3, kernel_size=3),
        TypeError,
        r"Conv2D\(\) needs filters.*Received: in_channels, kernel_size",
    ),
    "none": (lambda: callbacks.CSVLogger(), TypeError, r"CSVLogger\(\) needs filename.*Received: no arguments"),
    "too many": (
        lambda: layers.Add([image(), image()]),
        TypeError,
        r"Add\(\) takes nothing by position.*second call: Add\(…\)\(x\)\. Received: 1",
    ),
    "a method": (lambda: net().predict(), TypeError, r"predict\(\) needs x"),
    "text for a flag": (
        lambda: layers.Dense(3, use_bias="no"),
        ValueError,
        r"`use_bias` is True or False\. Received: use_bias='no', for Dense",
    ),
    "text for another": (lambda: optimizers.SGD(0.1, 0.0, "yes"), ValueError, "`nesterov` is True or False"),
    "text for shuffle": (lambda: net().fit(X, Y, shuffle="yes"), ValueError, "`shuffle` must be True or False"),
    "tensors for an axis": (
        lambda: layers.Concatenate([image(), image()]),
        TypeError,
        r"inputs in a second call: Concatenate\(axis=-1\)\(\[a, b\]\)",
    ),
    "an axis by name": (
        lambda: layers.BatchNormalization(axis="c")(image()),
        ValueError,
        "an integer from 1 to 3 here.*Received: axis=.*'c'",
    ),
    "sizes one by one": (lambda: mc.Input(28, 28, 1), ValueError, r"Input needs the shape of one sample"),
    "dims": (lambda: layers.Permute(5), ValueError, "dims holds 1 … n in some order"),
    "shared axes": (lambda: layers.PReLU(shared_axes="a"), ValueError, "`shared_axes` must be an integer or a list"),
    "a layer in the place of a tensor": (
        lambda: layers.Dense(3)(layers.Flatten()),
        TypeError,
        "is called on a tensor or an array: on Input",
    ),
    "nothing in the place of a tensor": (lambda: layers.Dense(3)(None), TypeError, "is called on a tensor or an array"),
    "two tensors": (
        lambda: layers.Add()(image(), image()),
        TypeError,
        "several inputs stand in a list.*a Tensor as the second",
    ),
    "two arrays": (lambda: net()(X, X), TypeError, "several inputs stand in a list.*a ndarray as the second"),
    "a function that returns nothing": (
        lambda: layers.Lambda(lambda x: None)(image()),
        ValueError,
        "Received: None; write return",
    ),
    "a function of two": (lambda: layers.Lambda(lambda x, y: x), TypeError, r"Lambda layer is called with \(inputs\)"),
    "arguments that are none": (lambda: layers.Lambda(np.abs, arguments=3), TypeError, "arguments is a dict"),
    "if in a function": (
        lambda: layers.Lambda(lambda x: x if x > 0 else -x)(image()),
        ValueError,
        r"write numpy\.where\(condition, a, b\)",
    ),
    "no shape": (lambda: initializers.HeNormal()(None), ValueError, "called with the shape of a weight"),
    "a shape of floats": (lambda: initializers.Zeros()((3.5, 2)), ValueError, r"Received: shape=\(3\.5, 2\)"),
    "no dtype": (lambda: initializers.Zeros()((3,), "float31"), TypeError, "Received: dtype='float31'"),
    "values of another shape": (
        lambda: layers.Dense(3, kernel_initializer=initializers.Constant([1, 2]))(mc.Input((4,))),
        ValueError,
        r"an array of the weight's shape \(4, 3\)\. Received: \(2,\)",
    ),
    "a function without a shape": (
        lambda: layers.Dense(3, kernel_initializer=lambda: 0)(mc.Input((4,))),
        TypeError,
        r"a function as an initializer is called with \(shape\)",
    ),
    "an axis of a constraint": (
        lambda: constraints.MaxNorm(2, axis="a"),
        ValueError,
        "`axis` must be an integer or a list",
    ),
    "an axis that is not there": (
        lambda: constraints.UnitNorm(5)(np.ones((2, 2))),
        ValueError,
        r"axes that the weight has.*a weight of shape \(2, 2\)",
    ),
    "text for a weight": (lambda: constraints.NonNeg()("w"), TypeError, "a weight must hold real numbers"),
    "text for a penalty": (lambda: regularizers.L2(0.1)("w"), TypeError, "a weight must hold real numbers"),
    "no function for clones": (
        lambda: mc.models.clone_model(net(), clone_function="copy"),
        TypeError,
        "clone_function is a function. Received: clone_function='copy'",
    ),
    "another function for clones": (
        lambda: mc.models.clone_model(net(), clone_function=lambda: None),
        TypeError,
        r"clone_function is called with \(layer\)",
    ),
    "no weights": (lambda: net().set_weights(None), TypeError, "takes a list of 2 arrays, as get_weights gives it"),
    "a path for weights": (lambda: net().set_weights("w.h5"), TypeError, r"load_weights\(path\)"),
    "a model for weights": (lambda: net().set_weights(net()), TypeError, r"its get_weights\(\)"),
    "text in weights": (
        lambda: net().set_weights(["a", "b"]),
        TypeError,
        r"kernel. takes real numbers",
    ),
    "a number for layers": (lambda: mc.Sequential(5), TypeError, "Sequential takes a list of layers"),
    "a number for a shape": (lambda: mc.Sequential([layers.Dense(2)]).build(5), ValueError, "the shape of a batch is"),
    "no data for a new model": (
        lambda: mc.Sequential([layers.Dense(2)]).predict(None),
        ValueError,
        "the data is missing",
    ),
    "no config": (lambda: layers.Dense.from_config(None), TypeError, "Dense.from_config takes a dict"),
    "no config of a model": (lambda: mc.Model.from_config(None), TypeError, "Model.from_config takes a dict"),
    "a dict for text": (lambda: mc.models.model_from_json({}), TypeError, "takes the text that to_json gives"),
    "no path": (lambda: mc.import_onnx(None), TypeError, "a path is a string or a pathlib.Path"),
    "a metric for a loss": (
        lambda: net().compile("sgd", metrics.Accuracy()),
        TypeError,
        r"Accuracy is a metric, without a gradient: metrics=\[…\] takes it",
    ),
    "None for a metric": (
        lambda: net().compile("sgd", "mse", metrics=[None]),
        TypeError,
        "a list of names and metrics",
    ),
    "text for a threshold": (lambda: metrics.Precision("a"), ValueError, "`thresholds` lie from 0 to 1"),
    "text for weights of samples": (
        lambda: net().fit(X, Y, sample_weight="balanced"),
        TypeError,
        r"^sample_weight must hold real numbers \(any integer, float or bool dtype\)\. Received: 'balanced'$",
    ),
    "a model for data": (
        lambda: net().predict(net()),
        TypeError,
        r"must hold real numbers \(any integer, float or bool dtype\)\. Received: <Sequential",
    ),
    "no folder": (lambda: callbacks.CSVLogger(5), TypeError, "a path is a string"),
    "two arrays for a data set": (
        lambda: Dataset.from_tensor_slices(X, Y),
        TypeError,
        r"several arrays stand in a tuple, from_tensor_slices\(\(x, y\)\)",
    ),
    "no function for a data set": (lambda: Dataset(X), TypeError, "elements is a function"),
    "a number for arguments": (lambda: Dataset.from_generator(iter, args=5), TypeError, "args is a tuple"),
    "a function of arguments": (
        lambda: Dataset.from_generator(lambda n: [n]),
        TypeError,
        r"the function of from_generator is called with \(\)",
    ),
    "a function that gives nothing": (
        lambda: list(Dataset.from_generator(lambda: None)),
        TypeError,
        "write yield, or return a list. Received: None",
    ),
    "no function to reduce by": (lambda: pairs().reduce(0, None), TypeError, "reduce_func is a function"),
    "a function of one to reduce by": (
        lambda: pairs().reduce(0, lambda x: x),
        TypeError,
        r"reduce_func is called with \(state, element\)",
    ),
    "a seed as text": (lambda: pairs().shuffle(3, seed="a"), TypeError, "expected an integer. Received: 'a'"),
    "a range of text": (lambda: Dataset.range("5"), TypeError, "expected an integer. Received: '5'"),
    "adapt nothing": (lambda: layers.Normalization().adapt(None), TypeError, "adapt takes an array"),
    "normalize text": (lambda: keras.utils.normalize("a"), TypeError, "x must hold real numbers"),
    "a picture's path": (lambda: keras.utils.img_to_array("a.png"), TypeError, r"load_img\(path\) reads one"),
    "print nothing": (lambda: net().summary(print_fn=5), TypeError, "print_fn is a function of a text"),
    "nothing to flow": (
        lambda: keras.preprocessing.image.ImageDataGenerator().flow(None),
        TypeError,
        "flow takes an array of images",
    ),
    "text for a factor": (
        lambda: keras.preprocessing.image.ImageDataGenerator(rescale="1/255"),
        ValueError,
        "`rescale` must be a finite number",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_sentence(name):
    do, error, match = MISTAKES[name]
    with pytest.raises(error, match=match):
        do()


def test_no_epoch_is_left():
    with pytest.warns(UserWarning, match="nothing is trained. Received: epochs=2, initial_epoch=2"):
        net().fit(X, Y, epochs=2, initial_epoch=2, verbose=0)


def test_names_of_examples():
    """A message's example is a name that users know."""
    with pytest.raises(TypeError, match="a loss is given as a name such as 'bce'"):
        losses.get(5)
    with pytest.raises(TypeError, match="a regularizer is given as a name such as 'L1'"):
        layers.Dense(3, kernel_regularizer=())


def test_what_is_fine():
    layer = layers.Dense(3, use_bias=np.True_)
    assert layer(X, training=np.bool_(False)).shape == (4, 3)
    assert initializers.HeNormal()(5).shape == (5,)
    layer.set_weights(iter([np.ones((6, 3)), np.zeros(3)]))
    np.testing.assert_array_equal(layer(X), np.full((4, 3), 6))
    assert Dataset.from_generator(lambda n, m=2: range(n * m), args=[3]).reduce(0, lambda s, v: s + v) == 15


class Rows:
    """A data set of another library: no iterator, but rows by their numbers."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        if i >= len(self):
            raise IndexError(i)
        return X[i]


class Sizes:
    """A shape of another library."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __iter__(self):
        return iter(self.sizes)


SHAPES = {"array": np.array([4, 6]), "range": range(4, 6), "another's": Sizes(4, 6)}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_need_not_be_tuples(name):
    shape = SHAPES[name]
    expected = tuple(int(n) for n in shape)
    assert initializers.HeNormal()(shape).shape == expected
    model = mc.Sequential([layers.Dense(3)])
    model.build(shape)
    assert model.layers[0].kernel.shape == (expected[1], 3)
    assert layers.Dense(3).compute_output_shape(tuple(shape)) == (4, 3)


@pytest.mark.parametrize("dims", [np.array([2, 1]), range(2, 0, -1), Sizes(2, 1), iter([2, 1])])
def test_axes_need_not_be_tuples(dims):
    np.testing.assert_array_equal(layers.Permute(dims)(X[None]), X.T[None])


@pytest.mark.parametrize("batch", [0, -1, 7, None])
def test_a_batch_may_have_any_size(batch):
    assert layers.Dense(3, batch_input_shape=(batch, 6)).declared_input_shape == (6,)


def test_a_shape_of_shapes():
    with pytest.raises(ShapeError, match=r"a shape is a tuple of positive integers.*Received: \(\(2, 3\), 4\)"):
        mc.Input([(2, 3), 4])


@pytest.mark.parametrize("given", [[np.array(0.5)], np.array(0.5), Decimal("0.5"), np.array([0.5])])
def test_thresholds_of_any_type(given):
    assert metrics.Precision(thresholds=given).thresholds == [0.5]
    assert metrics.Recall(thresholds=np.True_).thresholds == [1.0]


def test_data_sets_of_other_libraries():
    assert len(list(Dataset.from_generator(Rows))) == 3
    assert list(Dataset.from_generator(range, args=np.array([3]))) == [0, 1, 2]


def test_an_axis_and_texts_of_other_types():
    assert layers.Concatenate(axis=np.array(1)).axis == 1
    text = net().to_json()
    assert mc.models.model_from_json(bytearray(text, "utf8")).to_json() == text


def test_a_flag_of_another_library():
    class Flag:
        shape = ()

        def size(self):
            raise AssertionError("a method, as a tensor of PyTorch has it")

        def __bool__(self):
            return False

    assert layers.Dense(3)(X, training=Flag()).shape == (4, 3)


def test_ones_own_constructors_may_take_what_they_like():
    def with_units(function):
        @functools.wraps(function)
        def wrapped(self, units, **kwargs):
            function(self, **kwargs)
            self.units = units

        return wrapped

    class Own(callbacks.Callback):
        @with_units
        def __init__(self, mode: bool = False):
            self.mode = mode

    made = Own(5, mode="auto")
    assert (made.units, made.mode) == (5, "auto")


@pytest.mark.parametrize("rescale, factor", [(False, 1), (True, 1), ([1, 2, 0.5], [1, 2, 0.5]), (np.array([2.0]), 2)])
def test_factors_of_pixels(rescale, factor):
    x = np.ones((2, 2, 3), np.float32)
    generator = keras.preprocessing.image.ImageDataGenerator(rescale=rescale)
    np.testing.assert_array_equal(generator.standardize(x), x * np.float32(factor))
