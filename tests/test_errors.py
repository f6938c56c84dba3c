"""Bad input: the message names what is wrong, what was expected and received, and nothing has changed afterwards.

Data files and the cache are tested in test_datasets.py, targets one by one in test_losses.py.
"""

import numpy as np
import pytest
from oracles import every_backend

import minicnn as mc
from minicnn import checks, errors, optimizers
from minicnn.callbacks import TerminateOnNaN
from minicnn.errors import DataError, NonFiniteError, NotCompiledError, ShapeError
from minicnn.layers import (
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Reshape,
    ZeroPadding2D,
)


class Unchanged:
    """Asserts that weights, optimizer and history of a model are afterwards what they were."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.before = self._state()
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            return
        for a, b in zip(self.before, self._state(), strict=True):
            np.testing.assert_array_equal(a, b)

    def _state(self):
        model = self.model
        return [
            *model.get_weights(),
            model.optimizer.iterations,
            model.epochs_trained,
            id(model.history),
            id(model.loss),
        ]


def image_model(**options):
    model = mc.Sequential([Input((28, 28, 1)), Conv2D(2, 3), Flatten(), Dense(10, activation="softmax")], name="net")
    model.compile("adam", "sparse_categorical_crossentropy", **options)
    return model


def image_data(count=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 28, 28, 1)), rng.integers(0, 10, count)


@pytest.fixture
def model():
    return image_model()


# --------------------------------------------------------------------------------------------------------------- data


BAD_X = {
    "channels first": (
        np.zeros((6, 1, 28, 28)),
        ShapeError,
        r"\(None, 28, 28, 1\).*\(6, 1, 28, 28\).*moveaxis\(x, 1, -1\)",
    ),
    "flat": (np.zeros((6, 784)), ShapeError, r"'net'.*\(None, 28, 28, 1\).*\(6, 784\).*x.reshape\(\(-1, 28, 28, 1\)\)"),
    "other size": (np.zeros((6, 32, 32, 1)), ShapeError, r"\(None, 28, 28, 1\).*Received: shape \(6, 32, 32, 1\)"),
    "three channels": (np.zeros((6, 28, 28, 3)), ShapeError, r"\(None, 28, 28, 1\).*\(6, 28, 28, 3\)"),
    "five axes": (np.zeros((6, 28, 28, 1, 1)), ShapeError, r"\(6, 28, 28, 1, 1\)"),
    "one image without batch": (np.zeros((28, 28, 1)), ShapeError, r"batch axis: x\[None\]"),
    "scalar": (3.0, ShapeError, r"shape \(\)"),
    "no samples": (np.zeros((0, 28, 28, 1)), DataError, "empty.*0 samples"),
    "an empty list": ([], (ShapeError, DataError), "Received"),
    "None": (None, TypeError, "real numbers.*Received: None$"),
    "objects": (np.full((6, 28, 28, 1), None), TypeError, "dtype object, with None at position"),
    "strings": (np.full((6, 28, 28, 1), "a"), TypeError, "real numbers.*<U1"),
    "complex": (np.zeros((6, 28, 28, 1), complex), TypeError, "complex128"),
    "dates": (np.zeros((6, 28, 28, 1), "datetime64[s]"), TypeError, "datetime64"),
    "ragged": ([[1.0, 2.0], [1.0]], DataError, "equal lengths"),
    "unknown input name": ({"pixels": np.zeros((6, 28, 28, 1))}, ValueError, r"'net' needs inputs named.*\['pixels'\]"),
    "too many inputs": ([np.zeros((6, 28, 28, 1))] * 2, (ValueError, TypeError), "Received"),
}


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "train_on_batch", "gradients", "predict_on_batch"])
def test_bad_x(name, method, model):
    x, error, match = BAD_X[name]
    y = np.zeros(6, int)
    arguments = {"fit": (x, y), "evaluate": (x, y), "train_on_batch": (x, y), "gradients": (x, y)}.get(method, (x,))
    with Unchanged(model), pytest.raises(error, match=match):
        getattr(model, method)(*arguments)


@pytest.mark.parametrize("name", sorted(BAD_X))
def test_bad_x_as_validation_data_is_found_before_training(name, model):
    x, error, _ = BAD_X[name]
    with Unchanged(model), pytest.raises(error):
        model.fit(*image_data(), validation_data=(x, np.zeros(6, int)), verbose=0)


BAD_Y = {
    "shorter": (np.zeros(5, int), DataError, "same number of samples. Received: 6 and 5"),
    "longer": (np.zeros((7, 1), int), DataError, "6 and 7"),
    "missing": (None, ValueError, "need targets: y is missing"),
    "one-hot": (np.eye(10)[:6], ValueError, r"categorical_crossentropy.*argmax.*Received: a target of shape \(6, 10\)"),
    "too large": (np.array([0, 1, 2, 10, 3, 4]), ValueError, "from 0 to 9.*10 column.*Received: 10 at position 3"),
    "negative": (np.array([0, 1, -1, 2, 3, 4]), ValueError, "Received: -1 at position 2"),
    "fractions": (np.array([0, 1, 0.5, 2, 3, 4]), ValueError, "whole. Received: 0.5 at position 2"),
    "NaN": (np.array([0, 1, np.nan, 2, 3, 4]), ValueError, "Received: nan at position 2"),
    "strings": (np.array(list("abcdef")), TypeError, "real numbers.*Received: dtype <U1"),
    "objects": (np.array([None] * 6), TypeError, "object"),
    "complex": (np.zeros(6, complex), TypeError, "complex"),
    "scalar": (3, (DataError, ValueError), "Received"),
    "a matrix": (np.zeros((6, 4), int), ValueError, r"expected a target of shape \(N,\).*\(6, 4\)"),
}


@pytest.mark.parametrize("name", BAD_Y)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "gradients"])
def test_bad_y(name, method, model):
    y, error, match = BAD_Y[name]
    with Unchanged(model), pytest.raises(error, match=match):
        getattr(model, method)(image_data()[0], y)


def test_bad_validation_targets_are_called_so(model):
    x, y = image_data()
    with Unchanged(model), pytest.raises(DataError, match=r"^validation_data: x and y.*6 and 5"):
        model.fit(x, y, validation_data=(x, y[:5]), verbose=0)
    with Unchanged(model), pytest.raises(ValueError, match=r"validation_data is \(x, y\).*Received: ndarray"):
        model.fit(x, y, validation_data=x, verbose=0)
    with Unchanged(model), pytest.raises(ValueError, match="validation_data"):
        model.fit(x, y, validation_data=(x,), verbose=0)


def test_integers_where_one_hot_is_needed():
    model = image_model()
    model.compile("sgd", "categorical_crossentropy")
    x, y = image_data()
    with Unchanged(model), pytest.raises(ValueError, match=r"sparse_categorical_crossentropy|to_categorical"):
        model.fit(x, y, verbose=0)


def test_a_bad_batch_from_a_generator(model):
    """The first batch is bad: nothing happens. A later one is: the batches before it have trained."""
    x, y = image_data()
    with Unchanged(model), pytest.raises(ShapeError, match="moveaxis"):
        model.train_on_batch(np.moveaxis(x, -1, 1), y)
    with pytest.raises(ShapeError, match="moveaxis"):
        model.fit(iter([(x, y), (np.moveaxis(x, -1, 1), y)]), verbose=0)
    assert model.optimizer.iterations == 1
    with pytest.raises(ValueError, match="y is missing"):
        model.fit(iter([x]), verbose=0)
    assert model.optimizer.iterations == 1


@pytest.mark.parametrize(
    ("argument", "value", "match"),
    [
        ("validation_split", 0.99, "leaves 0 for training and 6 for validation"),
        ("validation_split", 1.0, "validation_split=1.0"),
        ("validation_split", 1e-17, "leaves 6 for training and 0"),
        ("validation_split", -0.5, "validation_split=-0.5"),
        ("validation_split", 1.5, "validation_split=1.5"),
        ("validation_split", float("nan"), "validation_split"),
        ("batch_size", 0, "batch_size.*Received: batch_size=0"),
        ("batch_size", -4, "batch_size=-4"),
        ("batch_size", 2.5, "batch_size=2.5"),
        ("batch_size", "8", "batch_size='8'"),
        ("batch_size", True, "batch_size=True"),
        ("epochs", -1, "epochs=-1"),
        ("epochs", 1.5, "epochs=1.5"),
        ("verbose", "loud", "verbose='loud'"),
        ("validation_freq", 0, "validation_freq=0"),
        ("sample_weight", np.ones(5), "x and sample_weight need.*Received: 6 and 5"),
        ("sample_weight", np.full(6, np.nan), "finite"),
        ("sample_weight", np.array(list("abcdef")), "sample_weight must hold real numbers"),
        ("class_weight", {0: np.nan}, "class_weight"),
        ("class_weight", {0: "heavy"}, "class_weight"),
        ("class_weight", {"zero": 1.0}, "class_weight"),
        ("class_weight", [1.0, 2.0], "class_weight"),
        ("class_weight", {-1: 1.0}, "class_weight"),
        ("callbacks", [print], "callbacks.Callback"),
        ("steps_per_epoch", 0, "steps_per_epoch"),
        ("initial_epoch", -1, "initial_epoch"),
    ],
)
def test_bad_fit_arguments(argument, value, match, model):
    x, y = image_data()
    if argument == "steps_per_epoch":
        x, y = iter([(x, y)]), None
    with Unchanged(model), pytest.raises((ValueError, TypeError), match=match):
        model.fit(x, y, **({"verbose": 0} | {argument: value}))


def test_accepted_where_stricter_libraries_object(model):
    x, y = image_data()
    pixels = np.random.default_rng(1).integers(0, 256, x.shape).astype(np.uint8)
    model.fit(pixels, y, verbose=0)  # integers, not scaled
    model.fit(pixels[..., 0], y.astype(np.uint8)[:, None], verbose=0)  # (N, 28, 28), labels (N, 1)
    np.testing.assert_array_equal(model.predict(pixels[..., 0]), model.predict(pixels))
    model.fit(x > 0, y.astype(float), verbose=0)
    plain = mc.Sequential([Input((28, 28)), Flatten(), Dense(2)])
    np.testing.assert_array_equal(plain.predict(x), plain.predict(x[..., 0]))  # one axis of 1 too many, as in Keras 3
    with pytest.raises(ShapeError, match="Received"):
        plain.predict(x[..., None])


# ----------------------------------------------------------------------------------------------------- compile, names


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"optimizer": "adm"}, ValueError, r"Unknown optimizer. Did you mean '[Aa]dam.*Received: 'adm'"),
        ({"optimizer": None}, TypeError, "optimizer"),
        ({"optimizer": 0.01}, TypeError, "Received: 0.01"),
        (
            {"loss": "sparse_categorical_crosentropy"},
            ValueError,
            r"(?i)Did you mean 'sparse_?categorical_?crossentropy'",
        ),
        ({"loss": "xyz"}, ValueError, "Known names: .*Received: 'xyz'"),
        ({"loss": ["mse", "mse"]}, ValueError, "each of 1 outputs. Received: 2"),
        ({"loss": {"nowhere": "mse"}}, ValueError, "each output.*nowhere"),
        ({"metrics": ["acuracy"]}, ValueError, "Did you mean.*accuracy"),
        ({"metrics": "accuracy"}, TypeError, r"list such as \['accuracy'\]"),
        ({"metrics": [3]}, TypeError, "a metric is given as"),
        ({"metrics": {"nowhere": "mse"}}, ValueError, "nowhere"),
        ({"loss_weights": [1, 2]}, ValueError, "loss_weights"),
        ({"loss_weights": ["a"]}, (TypeError, ValueError), "loss_weights|float"),
        ({"backend": "numbra"}, ValueError, "Unknown backend. Did you mean 'numba'"),
    ],
)
def test_bad_compile_arguments_leave_the_old_ones(arguments, error, match, model):
    with Unchanged(model), pytest.raises(error, match=match):
        model.compile(**({"optimizer": "sgd", "loss": "mse"} | arguments))
    model.fit(*image_data(), verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch", "gradients"])
def test_before_compile(method):
    x, y = image_data()
    for model in (
        mc.Sequential([Input((28, 28, 1)), Flatten(), Dense(10)], name="net"),
        mc.Sequential([Flatten(), Dense(10)]),
    ):
        with pytest.raises(NotCompiledError, match=r"not compiled: call compile\(optimizer='adam'"):
            getattr(model, method)(x, y)
    with pytest.raises(NotCompiledError):
        _ = model.optimizer
    assert isinstance(model.predict(x), np.ndarray)  # needs no compile


def test_unknown_backend_and_environment(monkeypatch, model):
    with pytest.raises(ValueError, match=r"Did you mean 'numpy'.*Received: 'nunpy'"):
        mc.set_backend("nunpy")
    monkeypatch.setenv("MINICNN_BACKEND", "gpu")
    with pytest.raises(ValueError, match=r"Unknown backend in .* MINICNN_BACKEND.*Received: 'gpu'"):
        model.predict(image_data()[0])
    monkeypatch.delenv("MINICNN_BACKEND")


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Dense(3, activation="rel"), ValueError, "Unknown activation. Did you mean '[Rr]e?[Ll][Uu]'"),
        (lambda: Dense(3, activation=7), TypeError, "Received: 7"),
        (lambda: Dense(3, activation=np.sin), (TypeError, ValueError), "activation"),
        (lambda: Dense(3, kernel_initializer="glorot_unifrom"), ValueError, "glorot_uniform|GlorotUniform"),
        (lambda: Dense(3, kernel_regularizer="l3"), ValueError, "regularizer"),
        (lambda: Dense(0), ValueError, "units.*Received: units=0"),
        (lambda: Dense(2.5), ValueError, "units=2.5"),
        (lambda: Dense("3"), ValueError, "units='3'"),
        (lambda: Dense(True), ValueError, "units=True"),
        (lambda: Dense(3, unit=4), TypeError, "Dense.*Did you mean 'units'"),
        (lambda: Conv2D(3, 3, stride=2), TypeError, "Conv2D.*Did you mean 'strides'"),
        (lambda: ReLU(treshold=1), TypeError, "ReLU"),
        (lambda: Conv2D(0, 3), ValueError, "filters=0"),
        (lambda: Conv2D(3, 0), ValueError, "kernel_size=0"),
        (lambda: Conv2D(3, (3, 3, 3)), ValueError, r"kernel_size=\(3, 3, 3\)"),
        (lambda: Conv2D(3, 3, strides=0), ValueError, "strides=0"),
        (lambda: Conv2D(3, 3, strides=(1, -1)), ValueError, r"strides=\(1, -1\)"),
        (lambda: Conv2D(3, 3, padding="full"), ValueError, "'valid', 'same'.*Received: padding='full'"),
        (lambda: Conv2D(3, 3, dilation_rate=0), ValueError, "dilation_rate=0"),
        (lambda: Conv2D(3, 3, groups=0), ValueError, "groups=0"),
        (lambda: Conv2D(3, 3, groups=2), ValueError, "multiple of groups.*filters=3, groups=2"),
        (lambda: Conv2D(3, 3, data_format="NCHW"), ValueError, "'channels_last', 'channels_first'.*'NCHW'"),
        (lambda: Flatten(data_format="first"), ValueError, "'first'"),
        (lambda: MaxPooling2D(0), ValueError, "pool_size=0"),
        (lambda: AveragePooling2D("2"), ValueError, "pool_size='2'"),
        (lambda: AveragePooling2D(2, padding=1), ValueError, "padding"),
        (lambda: Dropout(1.0), ValueError, "rate.*less than 1.*rate=1.0"),
        (lambda: Dropout(-0.1), ValueError, "rate=-0.1"),
        (lambda: Dropout("half"), ValueError, "rate='half'"),
        (lambda: Dropout(0.5, seed="x"), (ValueError, TypeError), "seed"),
        (lambda: Dropout(0.5, seed=-1), (ValueError, TypeError), "seed"),
        (lambda: LeakyReLU(float("nan")), ValueError, "negative_slope"),
        (lambda: BatchNormalization(momentum=1.5), ValueError, "momentum=1.5"),
        (lambda: BatchNormalization(epsilon=-1), ValueError, "epsilon"),
        (lambda: Reshape((2, 0)), ValueError, "target_shape"),
        (lambda: Reshape((2.5, 2)), (ValueError, TypeError), "target_shape"),
        (lambda: ZeroPadding2D(-1), ValueError, "padding"),
        (lambda: ZeroPadding2D((1, 2, 3)), ValueError, "padding"),
        (lambda: ZeroPadding2D("same"), ValueError, "padding"),
        (lambda: Input(), ValueError, "shape of one sample"),
        (lambda: Input((28, 0, 1)), ShapeError, r"positive integers.*\(28, 0, 1\)"),
        (lambda: Input((None, -28, 1)), ShapeError, "None, -28, 1"),
        (lambda: Input((28, 28.0)), ShapeError, "28.0"),
        (lambda: Dense(3, input_shape=("a",)), ShapeError, "'a'"),
        (lambda: optimizers.SGD(lr=0.1), TypeError, "learning_rate"),
        (lambda: Input((3,)) / 0.0, ZeroDivisionError, "divided by a number that is 0.*divide_no_nan.*Received: 0.0"),
        (lambda: Input((3,)) / np.array([1.0, 0.0, 2.0]), ZeroDivisionError, "divided by a number that is 0"),
        (lambda: mc.utils.set_random_seed(-1), ValueError, "-1"),
        (lambda: mc.utils.set_random_seed(1.5), ValueError, "1.5"),
    ],
)
def test_bad_constructor_arguments(make, error, match):
    with pytest.raises(error, match=match):
        make()


# --------------------------------------------------------------------------------------------------- building a graph


@pytest.mark.parametrize(
    ("shape", "layers", "match"),
    [
        ((6, 6, 1), [Conv2D(2, 7, name="big")], r"'big'.*\(7, 7\).*larger than its input of \(6, 6\)"),
        ((6, 6, 1), [Conv2D(2, 3, dilation_rate=3, name="wide")], "'wide'.*dilation"),
        ((6, 6, 1), [MaxPooling2D(8, name="big")], r"'big'.*\(8, 8\).*\(6, 6\)"),
        ((28,), [Conv2D(2, 3, name="c")], r"'c' \(Conv2D\).*3 axes, \(height, width, channels\).*\(None, 28\)"),
        ((28, 28), [MaxPooling2D(name="p")], r"'p'.*3 axes"),
        ((28, 28), [GlobalAveragePooling2D(name="g")], r"'g'.*3 axes"),
        ((28, 28), [ZeroPadding2D(name="z")], r"'z'.*3 axes"),
        ((6, 6, 3), [Conv2D(4, 3, groups=2, name="g")], "'g'.*multiple of groups=2. Received: 3 channels"),
        ((6, 6, 3), [Reshape((7, 7), name="r")], "'r'.*108 elements"),
        ((6, 6, 3), [BatchNormalization(axis=4, name="n")], "'n'.*axis is counted.*axis="),
    ],
)
def test_layers_that_do_not_fit(shape, layers, match):
    with pytest.raises(ValueError, match=match):
        mc.Sequential([Input(shape), *layers])
    tensor = Input(shape)
    before = [len(layer.nodes) for layer in layers]
    with pytest.raises(ValueError, match=match):
        layers[0](tensor)
    assert [len(layer.nodes) for layer in layers] == before
    with pytest.raises(ValueError, match=match):
        layers[0](np.zeros((2, *shape)))


def test_a_layer_that_does_not_fit_is_not_added(rng):
    model = mc.Sequential([Input((6, 6, 1)), Conv2D(2, 3)])
    with pytest.raises(ShapeError):
        model.add(Conv2D(2, 7))
    assert len(model.layers) == 1
    model.add(Flatten())
    assert model.output_shape == (None, 32)


@pytest.mark.parametrize("start", ["fit", "predict", "build", "call", "evaluate"])
def test_a_sequential_that_cannot_be_built_from_data_is_as_before(start):
    model = mc.Sequential([Conv2D(2, 3), Conv2D(2, 5, name="second"), Flatten(), Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    small = np.zeros((4, 5, 5, 1))
    use = {
        "fit": lambda: model.fit(small, np.zeros(4, int), verbose=0),
        "evaluate": lambda: model.evaluate(small, np.zeros(4, int), verbose=0),
        "predict": lambda: model.predict(small),
        "build": lambda: model.build((None, 5, 5, 1)),
        "call": lambda: model(Input((5, 5, 1))),
    }[start]
    with pytest.raises(ShapeError, match=r"'second'.*\(5, 5\).*\(3, 3\)"):
        use()
    assert not model.built
    assert not any(layer.built for layer in model.layers)
    model.fit(np.zeros((4, 9, 9, 2)), np.zeros(4, int), verbose=0)
    assert model.output_shape == (None, 3)
    assert model.layers[0].kernel.shape == (3, 3, 2, 2)


def test_graphs_that_make_no_sense():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    y = Add()([Dense(3)(a), b])
    with pytest.raises(ValueError, match=r"depend on the input 'b'.*\['a'\].*inputs="):
        mc.Model(a, y)
    with pytest.raises(TypeError, match="inputs= and outputs="):
        mc.Model()
    with pytest.raises(TypeError, match="outputs holds tensors"):
        mc.Model(a, Dense(3))
    with pytest.raises(ValueError, match="at least one"):
        mc.Model(a, [])
    with pytest.raises(ValueError, match=r"different names.*\['same'\]"):
        mc.Model(a, Dense(3, name="same")(Dense(3, name="same")(a)))
    with pytest.raises(ValueError, match=r"different names.*'same'"):
        mc.Sequential([Dense(3, name="same"), Dense(3, name="same")])
    with pytest.raises(TypeError, match=r"takes layers, e.g. Dense\(10\).*Received: 'dense'"):
        mc.Sequential(["dense"])
    with pytest.raises(TypeError, match="takes layers"):
        mc.Sequential([Dense])
    with pytest.raises(ValueError, match="input already"):
        mc.Sequential([Input((3,)), Input((3,))])


def test_layers_called_wrongly():
    a, b = Input((3,)), Input((4,))
    for layer, inputs, match in (
        (Add(name="sum"), [a, b], "'sum'|Add needs"),
        (Add(name="sum"), [a], "Add needs"),
        (Concatenate(axis=0), [a, a], "axis=0"),
        (Concatenate(axis=5), [a, a], "axis=5"),
        (Concatenate(axis=1), [Input((2, 3)), Input((2, 4))], "differ in that axis only"),
        (Dense(3, name="d"), [a, b], r"'d' takes 1 input\(s\). Received: 2"),
    ):
        with pytest.raises(ShapeError, match=match):
            layer(inputs)
    with pytest.raises(TypeError, match="tensors and arrays together"):
        Add()([a, np.zeros((1, 3))])
    layer = Dense(3, name="d")
    layer(a)
    with pytest.raises(ShapeError, match=r"'d'.*shape \(3, 3\); this input needs \(4, 3\)"):
        layer(b)
    model = mc.Model(a, layer(a), name="net")
    with pytest.raises(ShapeError, match=r"'net' takes inputs of shapes \(\(3,\),\)"):
        model(b)


def test_several_inputs_and_outputs():
    a, b = Input((3,), name="a"), Input((4,), name="b")
    model = mc.Model([a, b], [Dense(2, name="p")(a), Dense(1, name="q")(b)], name="net")
    model.compile("sgd", "mse")
    xs, ys = [np.zeros((5, 3)), np.zeros((5, 4))], [np.zeros((5, 2)), np.zeros((5, 1))]
    for x, y, match in (
        (xs[0], ys, r"'net' has 2 inputs.*\['a', 'b'\]"),
        (xs[:1], ys, "2 inputs.*1 arrays"),
        ({"a": xs[0]}, ys, r"named \['b'\]"),
        ([xs[0], xs[1][:3]], ys, r"same number of samples. Received: \[5, 3\]"),
        (xs[::-1], ys, r"\(None, 3\).*'a'.*\(5, 4\)"),
        (xs, ys[0], "y needs one array for each of 2 outputs|each of 2 outputs"),
        (xs, ys[:1], "each of 2 outputs. Received: 1"),
        (xs, {"p": ys[0]}, "each output"),
        (xs, {"p": ys[0], "q": ys[1], "r": ys[1]}, "each output"),
        (xs, [ys[0], ys[1][:4]], "5 and 4"),
    ):
        with Unchanged(model), pytest.raises(ValueError, match=match):
            model.fit(x, y, verbose=0)
    with Unchanged(model), pytest.raises(ValueError, match="class_weight needs a model with one output"):
        model.fit(xs, ys, class_weight={0: 1.0}, verbose=0)


# ------------------------------------------------------------------------------------------------- numbers that break


def deep_model(backend, rate=0.1, **options):
    layers = [
        Input((4,)),
        Dense(5, name="first", activation="relu"),
        BatchNormalization(name="norm"),
        Dense(2, name="last"),
    ]
    model = mc.Sequential(layers)
    model.compile(optimizers.SGD(rate), "mse", backend=backend, **options)
    return model


@every_backend
def test_nan_in_the_data(backend, rng):
    model = deep_model(backend)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 2))
    x[9, 2] = np.nan
    twin = deep_model(backend)
    twin.set_weights(model.get_weights())
    for part in (slice(0, 4), slice(4, 8)):
        twin.train_on_batch(x[part], y[part])
    with pytest.raises(NonFiniteError, match="nan in epoch 1, batch 3: the batch's input data holds NaN"):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):  # those before the bad step, averages too
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 2
    with Unchanged(model), pytest.raises(NonFiniteError, match="epoch 1, batch 1"):
        model.train_on_batch(x[8:], y[8:])


def test_a_loss_that_is_not_finite_though_the_outputs_are():
    """The user's own loss makes it, here by its arguments in the wrong order."""
    model = mc.Sequential([mc.Input((3,)), mc.layers.Dense(2)])
    with pytest.warns(UserWarning, match="in this order"):
        model.compile("sgd", lambda y_pred, y_true: -np.mean(y_true * np.log(y_pred)), backend="numpy")
    advice = r"all layers' outputs are finite.*logarithms, roots and quotients.*the order \(y_true, y_pred\)"
    with Unchanged(model), pytest.raises(NonFiniteError, match=advice), np.errstate(all="ignore"):
        model.train_on_batch(np.ones((4, 3)), -np.ones((4, 2)))


@every_backend
def test_infinite_layer_is_named(backend, rng):
    model = deep_model(backend)
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    model.fit(x, y, epochs=2, verbose=0)
    weights = model.get_weights()
    weights[-1][0] = np.inf
    model.set_weights(weights)
    with (
        Unchanged(model),
        pytest.raises(NonFiniteError, match=r"first layer whose output is not finite is 'last'.*clipnorm"),
    ):
        model.train_on_batch(x, y)
    weights[0][1, 1] = np.nan
    model.set_weights(weights)
    with Unchanged(model), pytest.raises(NonFiniteError, match="is 'first'"):
        model.train_on_batch(x, y)


@every_backend
def test_diverging_training_stops(backend, rng):
    model = mc.Sequential([Input((4,)), Dense(8, name="a"), Dense(2, name="b")])
    model.compile(optimizers.SGD(1e4), "mse", backend=backend)
    x, y = rng.normal(size=(32, 4)), rng.normal(size=(32, 2))
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match=r"epoch \d+, batch \d+: .*'(a|b)'|all layers") as caught,
    ):
        model.fit(x, y, epochs=200, verbose=0)
    assert "learning rate" in str(caught.value)
    assert len(model.history.history.get("loss", [])) == len(model.history.epoch)
    assert isinstance(caught.value, ArithmeticError)


@every_backend
def test_terminate_on_nan_stops_silently(backend, rng, capsys):
    model = deep_model(backend)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 2))
    x[5, 0] = np.nan
    twin = deep_model(backend)
    twin.set_weights(model.get_weights())
    twin.train_on_batch(x[:4], y[:4])
    with np.errstate(all="ignore"):
        history = model.fit(x, y, batch_size=4, shuffle=False, epochs=5, verbose=0, callbacks=[TerminateOnNaN()])
    assert history.epoch == [0]
    assert not np.isfinite(history.history["loss"][0])
    assert model.optimizer.iterations == 1
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "Batch 1" in capsys.readouterr().err


@every_backend
def test_nan_is_seen_through_every_layer(backend, rng):
    """A NaN pixel reaches the loss through convolution, ReLU, pooling and dense, fused or not."""
    mc.set_backend(backend)
    for middle in (
        [Conv2D(2, 3, activation="relu"), MaxPooling2D()],
        [MaxPooling2D(), Conv2D(2, 2, activation="relu")],
    ):
        model = mc.Sequential(
            [Input((6, 6, 1)), *middle, Flatten(), Dense(4, activation="relu"), Dense(2, activation="softmax")]
        )
        x = rng.normal(size=(3, 6, 6, 1))
        x[1, 2, 3] = np.nan
        for training in (False, True):
            bad = np.isnan(model(x, training=training)).all(axis=1)
            np.testing.assert_array_equal(bad, [False, True, False])


@every_backend
def test_huge_numbers_overflow_to_an_error_not_to_nonsense(backend):
    model = deep_model(backend)
    with np.errstate(all="ignore"), Unchanged(model), pytest.raises(NonFiniteError):
        model.train_on_batch(np.full((3, 4), 1e300), np.zeros((3, 2)))


def test_non_finite_targets(rng):
    model = deep_model("numpy")
    y = rng.normal(size=(6, 2))
    y[4, 1] = np.inf
    with Unchanged(model), pytest.raises(ValueError, match=r"finite. Received: inf at position \(4, 1\)"):
        model.fit(rng.normal(size=(6, 4)), y, verbose=0)


# ------------------------------------------------------------------------------------------------------- error types


def test_documented_hierarchy():
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.DataError, ValueError)
    assert issubclass(errors.NotBuiltError, RuntimeError)
    assert issubclass(errors.NotCompiledError, RuntimeError)
    assert issubclass(errors.NonFiniteError, ArithmeticError)
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert value.__doc__, name


def test_helpers():
    assert errors.fold_name("glorot_uniform") == errors.fold_name("GlorotUniform")
    message = str(errors.unknown_name("thing", "abx", ["abc", "Ab_d", "zzz"]))
    assert "Unknown thing. Did you mean" in message
    assert message.endswith("Known names: Ab_d, abc, zzz. Received: 'abx'")
    assert "Did you mean" not in str(errors.unknown_name("thing", "q", ["zzz"]))
    assert checks.check_pair("p", 3) == (3, 3) == checks.check_pair("p", np.int32(3)) == checks.check_pair("p", [3, 3])
    assert checks.check_positive_int("n", np.int64(4)) == 4
    assert checks.check_number("r", np.float32(0.5), below=1) == 0.5
    for call, match in (
        (lambda: checks.check_pair("p", (1, 0)), r"`p` must be an integer of at least 1.*Received: p=\(1, 0\)"),
        (lambda: checks.check_pair("p", "ab"), "p='ab'"),
        (lambda: checks.check_pair("p", None), "p=None"),
        (lambda: checks.check_number("r", True), "r=True"),
        (lambda: checks.check_number("r", np.inf), "r=inf"),
        (lambda: checks.check_number("r", 0, above=0), "greater than 0"),
        (lambda: checks.check_number("r", -1), "at least 0. Received: r=-1"),
        (lambda: checks.check_choice("c", "x", ("a", "b")), "`c` must be one of 'a', 'b'. Received: c='x'"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
