"""The same models in Keras 3 with TensorFlow, where they are installed: outputs, gradients, training, counts.

Keras runs in float32 too, so tolerances are those of rounding. `pip install "keras>=3.15" tensorflow-cpu` to run these.
"""

import contextlib
import io
import re

import numpy as np
import pytest
from oracles import assert_close, every_backend
from real_keras import keras, tf

import minicnn as mc

pytestmark = pytest.mark.peers


def twins(make, backend="numba"):
    """The model that `make(module)` builds in Keras and in minicnn, with the same weights."""
    theirs, ours = make(keras), make(mc)
    mc.set_backend(backend)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def images(rng, count=4, size=(9, 8), channels=4):
    return rng.normal(size=(count, *size, channels)).astype(np.float32)


# ------------------------------------------------------------------------------------------------ layers and geometry


@every_backend
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 5)},
        {"kernel_size": 4, "strides": 2},
        {"kernel_size": 3, "strides": (1, 3)},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": (3, 2), "dilation_rate": (1, 3)},
        {"kernel_size": 3, "groups": 2},
        {"kernel_size": 1, "use_bias": False, "activation": "relu"},
    ],
)
def test_convolution(options, padding, backend, rng):
    def make(k):
        return k.Sequential([k.layers.Input((9, 8, 4)), k.layers.Conv2D(6, padding=padding, **options)])

    theirs, ours = twins(make, backend)
    x = images(rng)
    assert_close(ours.predict(x), theirs(x).numpy(), 1e-5)


@every_backend
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "pool", [{"pool_size": p, "strides": s} for p, s in ((2, None), (3, 2), ((2, 3), (3, 1)), (1, 2))]
)
@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
def test_pooling_and_its_gradient(kind, pool, padding, backend, rng):
    def make(k):
        layers = [k.layers.Conv2D(4, 1, name="c"), getattr(k.layers, kind)(padding=padding, **pool), k.layers.Flatten()]
        return k.Sequential([k.layers.Input((9, 8, 4)), *layers])

    theirs, ours = twins(make, backend)
    x = images(rng)
    y = rng.normal(size=ours.predict(x).shape)
    check_gradients(theirs, ours, x, y, "mse")


def check_gradients(theirs, ours, x, y, loss, tolerance=2e-5):
    """Outputs in inference, loss and all gradients in training."""
    assert_close(ours.predict(x), theirs(x).numpy(), tolerance)
    ours.compile("sgd", getattr(mc.losses, loss)() if loss[0].isupper() else loss)
    function = getattr(keras.losses, loss)() if loss[0].isupper() else keras.losses.get(loss)
    with tf.GradientTape() as tape:
        value = keras.ops.mean(function(y, theirs(x, training=True)))
    expected = tape.gradient(value, theirs.trainable_weights)
    for (name, gradient), e in zip(ours.gradients(x, y).items(), expected, strict=True):
        assert_close(gradient, e.numpy(), tolerance, name)


@every_backend
def test_other_layers(backend, rng):
    def make(k):
        L = k.layers
        x = L.Input((6, 6, 3))
        a = L.LeakyReLU()(L.Conv2D(4, 3, padding="same", name="a")(x))
        b = L.Activation("tanh")(L.ZeroPadding2D(((1, 0), (0, 1)))(L.Conv2D(4, 2, name="b")(x)))
        c = L.Concatenate()([L.Add()([a, b]), L.ReLU(max_value=0.5, negative_slope=0.1)(a)])
        flat = L.Reshape((-1, 12))(c)
        d = L.Flatten()(L.Softmax()(L.Dense(5, activation="sigmoid", name="d")(flat)))
        e = L.Concatenate()([d, L.GlobalAveragePooling2D()(c), L.GlobalMaxPooling2D()(c)])
        return k.Model(x, L.Dense(2, name="e")(e))

    theirs, ours = twins(make, backend)
    check_gradients(theirs, ours, images(rng, 3, (6, 6), 3), rng.normal(size=(3, 2)), "mse")


def test_the_order_of_layers_and_weights():
    def names(k, variant):
        L = k.layers
        x = L.Input((4,), name="x")
        s = L.Dense(4, name="s")(x)
        a = L.Dense(4, name="a")(x)
        b = L.Dense(4, name="b")(a)
        both = L.Add(name="+")([s, b] if variant % 2 else [b, s])
        outputs = [both, L.Dense(1, name="h")(a)] if variant < 2 else [L.Dense(1, name="h")(both), s]
        return [layer.name for layer in k.Model(x, outputs[:: 1 if variant < 3 else -1]).layers]

    for variant in range(4):
        assert names(mc, variant) == names(keras, variant)


@every_backend
def test_batch_normalization_trains_and_follows(backend, rng):
    def make(k):
        L = k.layers
        layers = [L.Conv2D(5, 3, use_bias=False), L.BatchNormalization(momentum=0.8), L.ReLU(), L.Flatten(), L.Dense(2)]
        return k.Sequential([L.Input((6, 5, 2)), *layers])

    theirs, ours = twins(make, backend)
    x, y = images(rng, 12, (6, 5), 2) * 2 + 1, rng.normal(size=(12, 2))
    for k, model in ((keras, theirs), (mc, ours)):
        model.compile(k.optimizers.SGD(0.05), "mse")
        model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(a, b, 2e-4)
    assert_close(ours.predict(x), theirs.predict(x, verbose=0), 2e-4)
    assert_close(ours.predict(x), theirs(x).numpy(), 2e-4)


# ------------------------------------------------------------------------------------------------------------- losses


@every_backend
@pytest.mark.parametrize("final", [None, "softmax", "sigmoid", "relu"])
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("loss", ["SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"])
@pytest.mark.filterwarnings("ignore")
def test_cross_entropies_in_training(loss, from_logits, final, backend, rng):
    """Also where softmax or sigmoid is the last operation: both then take the values before it."""
    if not from_logits and final in (None, "relu"):
        pytest.skip("such values are no probabilities")

    def make(k):
        return k.Sequential([k.layers.Input((5,)), k.layers.Dense(4, activation=final)])

    theirs, ours = twins(make, backend)
    x = rng.normal(size=(7, 5)).astype(np.float32)
    y = rng.integers(0, 4, 7) if loss.startswith("Sparse") else np.eye(4)[rng.integers(0, 4, 7)]
    for k, model in ((keras, theirs), (mc, ours)):
        model.compile(k.optimizers.SGD(0.5), getattr(k.losses, loss)(from_logits=from_logits), metrics=["accuracy"])
    assert ours.evaluate(x, y, verbose=0) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-5)
    for _ in range(5):
        assert ours.train_on_batch(x, y)[0] == pytest.approx(float(theirs.train_on_batch(x, y)[0]), rel=1e-4)
        theirs.reset_metrics()
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(a, b, 1e-4)


@pytest.mark.parametrize("loss", ["SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"])
def test_cross_entropies_of_probabilities(loss, rng):
    """A Reshape ends the shortcut: now the loss is computed from the outputs."""

    def make(k):
        L = k.layers
        return k.Sequential([L.Input((5,)), L.Dense(4, activation="sigmoid"), L.Reshape((4,))])

    theirs, ours = twins(make)
    x = rng.normal(size=(7, 5)).astype(np.float32)
    y = rng.integers(0, 4, 7) if loss.startswith("Sparse") else np.eye(4)[rng.integers(0, 4, 7)]
    check_gradients(theirs, ours, x, y, loss, 1e-4)


# ----------------------------------------------------------------------------------------------------------- training


@every_backend
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"momentum": 0.9, "learning_rate": 0.05}),
        ("SGD", {"momentum": 0.9, "nesterov": True, "clipnorm": 0.1}),
        ("Adam", {}),
        ("Adam", {"learning_rate": 0.05, "beta_1": 0.8, "epsilon": 1e-3, "global_clipnorm": 0.5}),
        ("AdamW", {"learning_rate": 0.01}),
        ("Adagrad", {"learning_rate": 0.1}),
        ("Adadelta", {"learning_rate": 1.0}),
        ("RMSprop", {"learning_rate": 0.01, "clipvalue": 0.05}),
        ("RMSprop", {"weight_decay": 0.1}),
    ],
)
def test_optimizers_over_twenty_steps(name, options, backend, rng):
    def make(k):
        return k.Sequential([k.layers.Input((5,)), k.layers.Dense(6, activation="tanh"), k.layers.Dense(2)])

    theirs, ours = twins(make, backend)
    x, y = rng.normal(size=(16, 5)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)
    start = ours.get_weights()
    for k, model in ((keras, theirs), (mc, ours)):
        model.compile(getattr(k.optimizers, name)(**options), "mse")
        model.fit(x, y, batch_size=4, epochs=5, shuffle=False, verbose=0)
    for a, b, s in zip(ours.get_weights(), theirs.get_weights(), start, strict=True):
        assert np.abs(a - b).max() <= 1e-3 * np.abs(b - s).max() + 1e-6


def lenet(k):
    L = k.layers
    return k.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Conv2D(6, 5, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(16, 5, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(120, activation="relu"),
            L.Dense(84, activation="relu"),
            L.Dense(10, activation="softmax"),
        ]
    )


@every_backend
def test_lenet_gradient_and_ten_steps(backend, rng):
    theirs, ours = twins(lenet, backend)
    x, y = images(rng, 40, (28, 28), 1), rng.integers(0, 10, 40)
    check_gradients(theirs, ours, x[:8], y[:8], "sparse_categorical_crossentropy", 1e-4)
    losses = []
    for k, model in ((keras, theirs), (mc, ours)):
        model.compile(k.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
        losses.append(model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history)
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], rel=1e-4)
    assert losses[1]["accuracy"] == pytest.approx(losses[0]["accuracy"], abs=0.026)
    assert_close(ours.predict(x), theirs.predict(x, verbose=0), 1e-3)


def compiled_twins(rng, **options):
    def make(k):
        model = k.Sequential(
            [k.layers.Input((5,)), k.layers.Dense(3, activation="softmax", **options.get("dense", {}))]
        )
        model.compile(k.optimizers.SGD(0.2), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    theirs, ours = twins(make)
    return theirs, ours, rng.normal(size=(13, 5)).astype(np.float32), rng.integers(0, 3, 13)


@pytest.mark.parametrize(
    "options",
    [
        {"validation_split": 0.3},
        {"class_weight": {0: 0.5, 1: 3.0, 2: 1.0}, "validation_split": 0.3},
        {"class_weight": {1: 3.0}},
        {"sample_weight": np.linspace(0, 2, 13)},
        {"sample_weight": np.linspace(0, 2, 13), "validation_split": 0.4},
        {"initial_epoch": 1, "validation_split": 0.3, "validation_freq": 2},
    ],
)
def test_fit_options(options, rng):
    theirs, ours, x, y = compiled_twins(rng)
    a, b = (m.fit(x, y, batch_size=4, epochs=4, shuffle=False, verbose=0, **options).history for m in (theirs, ours))
    assert set(a) == set(b)
    for name in a:
        assert b[name] == pytest.approx(a[name], rel=1e-4), name
    for p, q in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(p, q, 1e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_regularizers(frozen, rng):
    def make(k):
        penalties = {"kernel_regularizer": k.regularizers.L2(0.1), "bias_regularizer": k.regularizers.L1L2(0.2, 0.1)}
        model = k.Sequential(
            [k.layers.Input((5,)), k.layers.Dense(4, **penalties), k.layers.Dense(2, kernel_regularizer="l1")]
        )
        model.layers[1].trainable = frozen
        model.compile(k.optimizers.SGD(0.1), "mse")
        return model

    x, y = rng.normal(size=(8, 5)).astype(np.float32), rng.normal(size=(8, 2))
    theirs, ours = twins(make)
    assert ours.evaluate(x, y, verbose=0) == pytest.approx(theirs.evaluate(x, y, verbose=0), rel=1e-5)
    a, b = (m.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"] for m in (theirs, ours))
    assert b == pytest.approx(a, rel=1e-5)
    for p, q in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(p, q, 1e-5)


def test_several_outputs(rng):
    def make(k):
        x = k.layers.Input((5,))
        hidden = k.layers.Dense(4, activation="relu", name="hidden")(x)
        heads = [k.layers.Dense(3, activation="softmax", name="p")(hidden), k.layers.Dense(1, name="q")(hidden)]
        model = k.Model(x, heads)
        losses = ["sparse_categorical_crossentropy", "mse"]
        model.compile(k.optimizers.SGD(0.1), losses, metrics=[["accuracy"], ["mae"]], loss_weights=[0.3, 2.0])
        return model

    theirs, ours = twins(make)
    x, y = rng.normal(size=(11, 5)).astype(np.float32), [rng.integers(0, 3, 11), rng.normal(size=(11, 1))]
    a, b = (m.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0).history for m in (theirs, ours))
    assert set(a) == set(b)
    for name in ("loss", "p_accuracy", "q_mae"):
        assert b[name] == pytest.approx(a[name], rel=1e-4), name
    assert len(ours.evaluate(x, y, verbose=0)) == len(theirs.evaluate(x, y, verbose=0)) == 5
    for p, q in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(p, q, 1e-4)


# ------------------------------------------------------------------------------------------------------------ summary


def test_summary_counts_and_names(monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")

    def text_of(k):
        k.utils.clear_session()
        L = k.layers
        layers = [
            L.Conv2D(6, 5),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling2D(),
            L.Dropout(0.5),
            L.Flatten(),
            L.Dense(9),
        ]
        model = k.Sequential([L.Input((28, 28, 1)), *layers])
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            model.summary(line_length=120)
        return text.getvalue()

    theirs, ours = text_of(keras), text_of(mc)
    pattern = r"│ (\w+) \((\w+)\)\s+│ (\([^)]*\))\s+│\s+([\d,]+) │"
    assert re.findall(pattern, ours) == re.findall(pattern, theirs)
    assert len(re.findall(pattern, ours)) == 7
    totals = r"(Total|Trainable|Non-trainable) params: ([\d,]+ \([^)]*\))"
    assert re.findall(totals, ours) == re.findall(totals, theirs)
    assert len(re.findall(totals, ours)) == 3


def test_default_arguments_of_layers():
    """Defaults of the constructors, by name."""
    import inspect

    for name in (
        "Conv2D",
        "Dense",
        "MaxPooling2D",
        "AveragePooling2D",
        "BatchNormalization",
        "LeakyReLU",
        "ReLU",
        "Softmax",
    ):
        ours = inspect.signature(getattr(mc.layers, name)).parameters
        theirs = inspect.signature(getattr(keras.layers, name)).parameters
        for argument, parameter in ours.items():
            empty = inspect.Parameter.empty
            if argument in theirs and empty not in (parameter.default, theirs[argument].default):
                assert parameter.default == theirs[argument].default, f"{name}: {argument}"


# ------------------------------------------------------------------------------------------------------- augmentation


def augmented_by_both(name, arguments, x, numbers, backend):
    """The images that Keras's layer and ours make of `x` from the same random numbers (4, N)."""
    theirs, ours = getattr(keras.layers, name)(**arguments), getattr(mc.layers, name)(**arguments)
    rows = iter(numbers)

    def uniform(shape, minval=0.0, maxval=1.0, **_):
        return minval + (maxval - minval) * np.float32(next(rows)).reshape(shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs.backend.random, "uniform", uniform)
        expected = np.asarray(theirs(x, training=True))
    place = mc.backends.get(backend)
    matrix = ours.matrix(numbers.astype(np.float64), *x.shape[1:3])
    x, matrix, y = (place.asarray(array) for array in (x, matrix, np.empty_like(x)))
    place.ops.warp(x, matrix, y, *ours.sampling)
    return place.to_host(y), expected


@every_backend
@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomTranslation", {"height_factor": 0.3, "width_factor": (-0.9, 0.2)}),
        ("RandomTranslation", {"height_factor": (0.5, -1), "width_factor": -0.4, "fill_value": 0.3}),
        ("RandomRotation", {"factor": 0.1}),
        ("RandomRotation", {"factor": (0.2, 0.9), "fill_value": -1.5}),
        ("RandomZoom", {"height_factor": 0.4}),
        ("RandomZoom", {"height_factor": (-0.7, -0.2), "width_factor": (0.1, 0.9)}),
        ("RandomShear", {"x_factor": 0.3}),
        ("RandomShear", {"x_factor": (0.1, 0.4), "y_factor": 0.8}),
    ],
)
@pytest.mark.parametrize("size", [(9, 8), (6, 1), (28, 28)])
def test_augmentation(name, arguments, interpolation, fill_mode, size, backend, rng):
    """Keras computes places in float32: their error times the steps between pixels is the tolerance.

    With the nearest pixel, a place near the middle of two may fall to either.
    """
    x = images(rng, 6, size, 3)
    numbers = rng.random((4, 6), np.float32)
    options = arguments | {"interpolation": interpolation, "fill_mode": fill_mode}
    ours, theirs = augmented_by_both(name, options, x, numbers, backend)
    if interpolation == "bilinear":
        assert_close(ours, theirs, 2e-5)
    else:
        assert (ours != theirs).any(axis=-1).mean() < 1e-3


@every_backend
@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips(mode, backend, rng):
    numbers = rng.random((4, 20), np.float32)
    ours, theirs = augmented_by_both("RandomFlip", {"mode": mode}, images(rng, 20), numbers, backend)
    np.testing.assert_array_equal(ours, theirs)


@every_backend
def test_images_that_wrap_by_whole_pixels(backend, rng):
    """Between pixels, and more than one image away, TensorFlow's kernel does not repeat the image."""
    factors = {"height_factor": (1 / 3, 1 / 3), "width_factor": (-0.25, -0.25)}
    x = images(rng, 3, (9, 8), 2)
    ours, theirs = augmented_by_both("RandomTranslation", factors | {"fill_mode": "wrap"}, x, np.zeros((4, 3)), backend)
    assert_close(ours, theirs, 2e-5)
    assert_close(ours, np.roll(x, (3, -2), (1, 2)), 1e-6)


def test_default_arguments_of_augmentation():
    import inspect

    for name in ("RandomTranslation", "RandomRotation", "RandomZoom", "RandomShear", "RandomFlip", "Rescaling"):
        ours = inspect.signature(getattr(mc.layers, name)).parameters
        theirs = inspect.signature(getattr(keras.layers, name)).parameters
        assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()], name


# ---------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [(28, 28), (40, 20), (1, 50)])
def test_resized_and_grey_pictures(size, rng):
    pictures = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert_close(mc.utils.resize_images(pictures, size), tf.image.resize(pictures, size).numpy(), 1e-5)
    for method, tolerance in {"area": 1e-5, "lanczos3": 1e-5, "lanczos5": 1e-5, "bicubic": 2e-3}.items():  # by a table
        ours = mc.keras.tensorflow.image.resize(pictures, size, method=method)
        assert_close(ours, tf.image.resize(pictures, size, method=method).numpy(), tolerance)
    grey = tf.image.rgb_to_grayscale(pictures.astype(np.float32)).numpy()  # its weights add up to 0.9999
    assert_close(mc.utils.to_grayscale(pictures), grey, 3e-4)


# -------------------------------------------------------------------------------------------------------- open sizes


def test_sizes_that_are_none(rng, tmp_path):
    """Shapes, outputs and a training step for batches of several sizes; the file of each is read by the other."""

    def make(k):
        inputs = k.layers.Input((None, None, 3))
        skip = k.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(inputs)
        x = k.layers.AveragePooling2D(2, padding="same")(skip)
        x = k.layers.UpSampling2D()(k.layers.DepthwiseConv2D(3, padding="same")(x))
        x = k.layers.Conv2DTranspose(4, 3, strides=2, padding="same")(k.layers.Concatenate()([skip, x]))
        x = k.layers.Resizing(6, 5)(k.layers.ZeroPadding2D(2)(k.layers.Cropping2D(1)(x)))
        rows = k.layers.Reshape((-1, 4))(k.layers.BatchNormalization()(x))
        return k.Model(inputs, k.layers.Dense(2)(k.layers.GlobalAveragePooling1D()(rows)))

    theirs, ours = twins(make)
    named = dict(zip([layer.name for layer in theirs.layers], theirs.layers, strict=True))
    for layer, other in zip(ours.layers, named.values(), strict=True):
        assert layer.output.shape == tuple(other.output.shape)
    for model, module in ((theirs, keras), (ours, mc)):
        model.compile(module.optimizers.SGD(0.05), "mse")
    for size in [(8, 12), (16, 4), (8, 12), (20, 20)]:
        x, y = images(rng, 3, size, 3), rng.normal(size=(3, 2)).astype(np.float32)
        assert_close(ours.predict(x), theirs.predict(x, verbose=0), 1e-4)
        np.testing.assert_allclose(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), rtol=1e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(a, b, 1e-3)
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    for copy in (mc.load_model(tmp_path / "theirs.keras"), keras.models.load_model(tmp_path / "ours.keras")):
        assert copy.input_shape == (None, None, None, 3)
        assert_close(copy.predict(x, verbose=0), ours.predict(x), 1e-3)


def test_what_keras_computes_without_sizes():
    """compute_output_shape of the same layers."""
    for layer, shape in [
        (lambda k: k.layers.Conv2D(4, 3, strides=2), (None, None, None, 3)),
        (lambda k: k.layers.MaxPooling2D(3, padding="same"), (2, None, 9, 3)),
        (lambda k: k.layers.Flatten(), (None, None, None, 3)),
        (lambda k: k.layers.Conv1D(4, 3, padding="causal"), (None, None, 3)),
        (lambda k: k.layers.Conv2DTranspose(4, 3, strides=2), (None, None, None, 3)),
        (lambda k: k.layers.GlobalAveragePooling2D(keepdims=True), (None, None, None, 3)),
        (lambda k: k.layers.Cropping2D(2), (None, None, 8, 3)),
    ]:
        assert layer(mc).compute_output_shape(shape) == tuple(layer(keras).compute_output_shape(shape))


def test_losses_that_layers_add(rng):
    """A variational autoencoder without noise: its loss, and some steps of training."""
    import minicnn.keras

    def make(k):
        class Divergence(k.layers.Layer):
            def call(self, inputs):
                mean, spread = inputs
                squares = k.ops.square(mean) + k.ops.exp(spread)
                self.add_loss(-0.5 * k.ops.mean(k.ops.sum(1 + spread - squares, axis=-1)))
                return mean

        inputs = k.layers.Input((6,))
        hidden = k.layers.Dense(5, activation="tanh")(inputs)
        z = Divergence()([k.layers.Dense(2)(hidden), k.layers.Dense(2)(hidden)])
        return k.Model(inputs, k.layers.Dense(6, activation="sigmoid")(z))

    theirs, ours = make(keras), make(minicnn.keras)
    ours.set_weights(theirs.get_weights())
    x = rng.random((12, 6)).astype(np.float32)
    for model, module in ((theirs, keras), (ours, mc)):
        model.compile(module.optimizers.SGD(0.1), "mse")
    for _ in range(5):
        np.testing.assert_allclose(ours.train_on_batch(x, x), theirs.train_on_batch(x, x), rtol=1e-5)
    np.testing.assert_allclose(ours.evaluate(x, x, verbose=0), theirs.evaluate(x, x, verbose=0), rtol=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(a, b, 1e-4)
