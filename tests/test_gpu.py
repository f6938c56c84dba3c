"""What the cupy backend promises beyond the others: traffic, graphs, errors, moving. On a GPU, or on the stand-in."""

import gc
import inspect
import math
import subprocess
import sys
import weakref

import numpy as np
import pytest
from networks import lenet5
from oracles import assert_close

import minicnn as mc
from minicnn import backends, keras, layers, losses, metrics, optimizers, random
from minicnn.callbacks import Callback, TerminateOnNaN
from minicnn.errors import BackendError, DeviceMemoryError, NonFiniteError
from minicnn.geometry import make_window
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy():
    """The module: the real one, or the stand-in."""
    backends.get("cupy")
    import cupy

    return cupy


@pytest.fixture
def standin(cupy):
    """The stand-in's device, whose counters start at zero."""
    if cupy.__version__ != "stand-in":
        pytest.skip("counts what only the stand-in counts")
    cupy.device.reset()
    return cupy.device


def dense_model(backend="cupy", optimizer="adam", **options):
    model = mc.Sequential([Input((6,)), Dense(8, activation="relu"), Dropout(0.3), Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", backend=backend, **options)
    return model


def dense_data(rng, count=40):
    return rng.normal(size=(count, 6)), rng.integers(0, 3, count)


class Losses(Callback):
    """Collects the running loss after every batch."""

    def on_train_begin(self, logs=None):
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


class Reasons(Callback):
    """Collects why steps were not captured, None for those that were, while `fit` still has them."""

    def on_epoch_end(self, epoch, logs=None):
        self.found = [graph.reason for graph in self.model.engine.graphs.values() if graph.launches > 1]


# ---------------------------------------------------------------------------------------------------------- training


def test_lenet5_twenty_steps_as_on_the_reference(rng, seed):
    x, y = rng.uniform(size=(160, 28, 28, 1)), rng.integers(0, 10, 160)
    runs = {}
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        model, collected = lenet5(mc), Losses()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], backend=backend)
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[collected])
        runs[backend] = collected.values
    assert len(runs["cupy"]) == 20
    assert runs["cupy"] == pytest.approx(runs["numpy"], rel=1e-4)


# Adam divides a gradient by its size: where the terms of one cancel out, rounding is all that is left, and is
# blown up to a step as large as others (1e-4 and more of the largest weight; NumPy's float32 against float64, too).
# With an epsilon above that, the rules are compared, and not the rounding.
SMOOTH = 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.SGD(0.1),
        lambda: optimizers.SGD(0.1, momentum=0.9),
        lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipvalue=0.01),
        lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), epsilon=SMOOTH),
        lambda: optimizers.AdamW(0.05, weight_decay=0.1, global_clipnorm=0.1, epsilon=SMOOTH),
        lambda: optimizers.Adagrad(0.1, clipnorm=0.1),
        lambda: optimizers.Adadelta(1.0),
        lambda: optimizers.RMSprop(0.05),
    ],
    ids=["sgd", "momentum", "nesterov, clip", "adam, schedule", "adamw, clip", "adagrad, clip", "adadelta", "rmsprop"],
)
def test_optimizers_in_graphs_as_on_the_reference(make, rng, seed):
    """The numbers that change from step to step are read anew by every launch of the graph."""
    x, y = dense_data(rng)
    weights = {}
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        model, reasons = dense_model(backend, make()), Reasons()
        model.fit(x, y, batch_size=5, epochs=2, verbose=0, callbacks=[reasons] if backend == "cupy" else [])
        weights[backend] = model.get_weights()
    assert reasons.found == [None]
    for a, b in zip(weights["cupy"], weights["numpy"], strict=True):
        assert_close(a, b, 1e-4)


def test_learning_rate_and_frozen_layers_change_between_batches(rng, seed):
    class Change(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.1 / (batch + 2)

        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[0].trainable = epoch != 1

    x, y = dense_data(rng)
    weights = {}
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        model = dense_model(backend, optimizers.SGD(0.1))
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[Change()])
        weights[backend] = model.get_weights()
    for a, b in zip(weights["cupy"], weights["numpy"], strict=True):
        assert_close(a, b, 1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64", ">f4", "bool"])
def test_data_of_any_dtype(dtype, rng, seed):
    """By SGD: Adam's first steps are nearly of one size, so that where ReLU lets nothing through classes nearly tie."""
    x, y = (rng.uniform(size=(24, 6)) * 4).astype(dtype), rng.integers(0, 3, 24)
    histories = []
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        model = dense_model(backend, optimizers.SGD(0.1), metrics=["accuracy"])
        history = model.fit(x, y.astype("uint8"), batch_size=7, epochs=2, validation_split=0.25, verbose=0)
        histories.append(history.history)
    for name, values in histories[0].items():
        one_sample = 0 if "loss" in name else 1 / 6  # rounding may decide between two classes
        assert histories[1][name] == pytest.approx(values, rel=1e-4, abs=one_sample)


def test_generators_sample_weights_and_several_outputs(rng, seed):
    x = rng.normal(size=(30, 6))
    targets = [rng.normal(size=(30, 2)), rng.integers(0, 3, 30)]
    weight = rng.uniform(size=30)

    def batches():
        for start in range(0, 30, 6):
            part = slice(start, start + 6)
            yield x[part], [t[part] for t in targets], weight[part]

    results = []
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        image = Input((6,))
        hidden = Dense(5, activation="tanh", kernel_regularizer="l2")(image)
        model = mc.Model(image, [Dense(2, name="a")(hidden), Dense(3, activation="softmax", name="b")(hidden)])
        model.compile("sgd", ["mse", "sparse_categorical_crossentropy"], [["mae"], ["accuracy"]], [1.0, 0.3], backend)
        history = model.fit(batches(), verbose=0).history
        logs = model.evaluate(x, targets, sample_weight=weight, verbose=0, return_dict=True)
        results.append(history | {f"evaluate {k}": [v] for k, v in logs.items()})
    for name, values in results[0].items():
        assert results[1][name] == pytest.approx(values, rel=1e-4), name


def test_weights_of_outputs_and_pixels_and_outputs_without_a_loss(rng, seed):
    x, labels = rng.normal(size=(30, 4, 4, 2)), rng.integers(0, 3, (30, 4, 4))
    targets = {"map": labels, "number": rng.normal(size=(30, 1)), "free": rng.normal(size=(30, 1))}
    weights = {"map": rng.uniform(size=(30, 4, 4)), "number": rng.uniform(size=30)}
    results = []
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        image = Input((4, 4, 2))
        hidden = Flatten()(image)
        heads = {"map": Conv2D(3, 1, activation="softmax")(image), "number": Dense(1)(hidden), "free": Dense(1)(hidden)}
        model = mc.Model(image, heads)
        metrics = {"metrics": {"free": "mae"}, "weighted_metrics": {"map": "accuracy", "number": "mae"}}
        model.compile("sgd", {"map": "sparse_categorical_crossentropy", "number": "mse"}, backend=backend, **metrics)
        history = model.fit(x, targets, sample_weight=weights, batch_size=8, epochs=4, verbose=0).history
        logs = model.evaluate(x, targets, sample_weight=weights, verbose=0, return_dict=True)
        results.append(history | {f"evaluate {k}": [v] for k, v in logs.items()})
    names = {"loss", "map_loss", "number_loss", "free_mae", "map_accuracy", "number_mae"}
    assert set(results[0]) == names | {f"evaluate {name}" for name in names}
    for name, values in results[0].items():
        assert results[1][name] == pytest.approx(values, rel=1e-4), name


def test_data_that_does_not_fit_comes_in_chunks(rng, seed, monkeypatch):
    """In two sets of arrays that take turns; the order of the samples is the same as without chunks."""
    from minicnn.training import device_engine

    x, y = dense_data(rng, 103)
    results = []
    for most in (0.5, 0.0):
        monkeypatch.setattr(device_engine, "MOST_OF_MEMORY", most)
        monkeypatch.setattr(device_engine, "BATCHES_A_CHUNK", 3)
        mc.utils.set_random_seed(seed)
        model = dense_model(metrics=["accuracy"])
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y)).history
        results.append((model.get_weights(), history))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert results[0][1] == results[1][1]


# ----------------------------------------------------------------------------------------------------------- traffic


def test_device_arrays_do_not_become_host_arrays_by_themselves(cupy):
    array = backends.get("cupy").zeros((3,), np.float32)
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(array)
    with pytest.raises(TypeError, match="Implicit conversion"):
        array.__array__()
    with pytest.raises(TypeError, match="nsupported type"):
        array + np.ones(3, np.float32)


def test_data_goes_once_and_results_come_once_an_epoch(rng, standin):
    model = dense_model(metrics=["accuracy"])
    x, y = dense_data(rng, 64)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)  # weights go to the device here
    standin.reset()
    model.fit(x, y, batch_size=8, epochs=5, verbose=0)
    assert standin.to_device == 2 + 5  # x and y; the order of the samples in every epoch
    assert standin.to_host == 5  # loss and accuracy together
    assert standin.graphs == 8 * 5 - 1  # all steps but the first


def test_progress_fetches_only_what_it_shows(rng, standin):
    class Reads(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                assert logs
                assert "loss" in logs
                assert set(dict(logs)) == {"loss"}

    model = dense_model()
    x, y = dense_data(rng, 64)
    model.fit(x, y, batch_size=8, verbose=0)
    standin.reset()
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[Reads()])
    assert standin.to_host == 2


def test_train_on_batch_uses_one_graph(rng, standin):
    model = dense_model()
    x, y = dense_data(rng, 8)
    for _ in range(5):
        model.train_on_batch(x, y)
    assert standin.graphs == 4


def test_metrics_that_compile_was_given_show_what_is_counted(rng):
    """Means, whose sums are on the device, when logs are read; others after each batch."""
    x, y = dense_data(rng)
    results = []
    for backend in ("numpy", "cupy"):
        told = [metrics.SparseCategoricalAccuracy(), metrics.MeanIoU(3, sparse_y_pred=False)]
        model = dense_model(backend, metrics=told)
        model.set_weights([np.linspace(-1, 1, w.size).reshape(w.shape) for w in model.get_weights()])
        shown = model.evaluate(x, y, verbose=0)[1:]
        assert [metric.result() for metric in told] == shown
        results.append(shown)
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_metrics_that_counted_before_compile_go_on_in_the_first_epoch_alone(rng):
    told = metrics.SparseCategoricalAccuracy()
    told.update_state(np.zeros(20), np.tile([0.0, 1.0, 0.0], (20, 1)))  # 20 misses
    model = dense_model(metrics=[told])
    x, _ = dense_data(rng, 12)
    y = model.predict(x, verbose=0).argmax(-1)  # 12 hits
    assert model.evaluate(x, y, batch_size=5, verbose=0)[1] == pytest.approx(12 / 32)
    assert told.result() == pytest.approx(12 / 32)
    assert model.evaluate(x, y, batch_size=5, verbose=0)[1] == 1.0


def test_memory_is_given_back(rng, standin):
    gc.collect()
    before = standin.used
    model = dense_model()
    x, y = dense_data(rng, 4096)
    model.fit(x, y, batch_size=512, verbose=0)
    gc.collect()
    assert standin.used < before + x.nbytes  # the data set is gone, the model is not
    del model
    gc.collect()
    assert standin.used == before


def test_compile_lets_go_of_what_was_counted_before(rng):
    model = dense_model()
    model.fit(*dense_data(rng), verbose=0)
    engine = weakref.ref(model.engine)
    model.compile("adam", "mse", backend="numpy")
    gc.collect()
    assert engine() is None  # and with it its arrays on the device


# ------------------------------------------------------------------------------------------------------------ graphs


def test_what_cannot_be_captured_runs_all_the_same(rng, seed):
    class Waits(losses.MeanSquaredError):
        """Looks at its result on the host."""

        def compute(self, *args, **kwargs):
            value = super().compute(*args, **kwargs)
            assert float(value) >= 0
            return value

    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    results = []
    for loss in (losses.MeanSquaredError(), Waits()):
        mc.utils.set_random_seed(seed)
        model = mc.Sequential([Input((4,)), Dense(2)])
        model.compile("adam", loss, backend="cupy")
        reasons = Reasons()
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[reasons])
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(reasons.found) == 1
    assert "captur" in reasons.found[0]


def test_metrics_and_optimizers_of_users(rng, seed):
    class Largest(metrics.Metric):
        """Wants host arrays."""

        def __init__(self):
            super().__init__("largest")

        def measure(self, target, prediction):
            assert isinstance(prediction, np.ndarray)
            return prediction.max(), 1

    class Signs(optimizers.Optimizer):
        """A rule of its own, without a kernel."""

        def __init__(self, learning_rate=0.01):
            super().__init__(learning_rate)

        def apply(self, kernels, theta, grad, slots, learning_rate):
            theta -= learning_rate * np.sign(grad)

    x, y = dense_data(rng)
    results = []
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        model = dense_model(backend, Signs(), metrics=[Largest(), "accuracy"])
        results.append((model.fit(x, y, batch_size=8, verbose=0).history, model.get_weights()))
    for name, values in results[0][0].items():
        assert results[1][0][name] == pytest.approx(values, rel=1e-4)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert_close(a, b, 1e-5)


class Scaled(keras.layers.Layer):
    """A layer as for Keras, with weights, state and random numbers: its `call` is differentiated as it runs."""

    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="ones")
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.count = self.add_weight(name="count", shape=(), trainable=False, initializer="zeros")

    def call(self, inputs, training=None):
        if training:
            self.count.assign_add(1.0)
        noise = keras.random.normal(keras.ops.shape(inputs)) if training else 0.0
        return inputs * self.factor * self.scale + 0.1 * noise


def test_functions_that_are_differentiated_as_they_run(rng, seed):
    """A Lambda with random numbers, a layer with `call` and a loss go to the processor: as on the reference."""
    x, y = rng.normal(size=(20, 6, 6, 2)), rng.normal(size=(20, 3))
    results, reasons = [], Reasons()
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        image = Input((6, 6, 2))
        shifts = np.random.default_rng(seed)  # its own numbers, of each batch
        h = layers.Lambda(lambda v, shifts=shifts: np.roll(v, shifts.integers(6), axis=1))(image)
        h = layers.Lambda(lambda v: keras.random.uniform((1,)) + np.asarray(v))(h)  # before all weights
        h = Scaled()(Conv2D(4, 3, activation="relu")(h))
        h = layers.Lambda(lambda v: v / (0.1 + np.sum(v * v, axis=-1, keepdims=True)) + keras.random.uniform((1,)))(h)
        model = mc.Model(image, Dense(3)(layers.Flatten()(h)))
        loss = lambda true, predicted: np.mean(np.abs(true - predicted) ** 3, axis=-1)  # noqa: E731
        model.compile("adam", loss, backend=backend)
        watched = [reasons] if backend == "cupy" else []
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=watched).history["loss"]
        results.append([np.array(history), *model.get_weights(), model.predict(x, verbose=0)])
    assert len(reasons.found) and all(reasons.found)  # not captured
    assert 6 in [weight for weight in model.get_weights() if weight.shape == ()]  # steps, counted
    for a, b in zip(*results, strict=True):
        assert_close(a, b, 1e-4)


class SlowAdam(optimizers.Adam):
    """A rule as data, with another rate."""

    def rate(self, learning_rate, iteration):
        return super().rate(learning_rate, iteration) / (1 + iteration)


class AroundAdam(optimizers.Adam):
    """A rule as code: Adam's own, called with another learning rate."""

    def apply(self, ops, theta, grad, slots, learning_rate):
        super().apply(ops, theta, grad, slots, learning_rate / (1 + self.iterations))


@pytest.mark.parametrize("make", [SlowAdam, AroundAdam])
def test_rules_derived_from_the_librarys(make, rng, seed):
    """Both reach the same weights as on the reference; both kinds of iterations are captured."""
    x, y = dense_data(rng)
    weights, reasons = {}, Reasons()
    for backend in ("numpy", "cupy"):
        mc.utils.set_random_seed(seed)
        model = dense_model(backend, make(0.05))
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[reasons] if backend == "cupy" else [])
        weights[backend] = model.get_weights()
    assert reasons.found == [None]
    for a, b in zip(weights["numpy"], weights["cupy"], strict=True):
        assert_close(a, b, 1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "bce", "mse", "mae"])
def test_every_loss_metric_and_layer_is_captured(loss, activation, rng):
    """None of the library's own code waits for the device."""
    sparse = loss.startswith("sparse")
    names = ["sparse_top_k_categorical_accuracy"] if sparse else ["mse", "mae", "binary_accuracy"]
    image = Input((6, 6, 2))
    x = Conv2D(4, 3, padding="same", kernel_regularizer="l1_l2")(image)
    x = layers.LeakyReLU()(BatchNormalization()(x))
    x = layers.Add()([layers.AveragePooling2D()(x), MaxPooling2D()(x)])
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = Dropout(0.2)(Dense(6, activation="tanh")(x))
    model = mc.Model(image, Dense(3, activation=activation)(x))
    model.compile(optimizers.AdamW(clipnorm=1.0), loss, ["accuracy", *names], backend="cupy")
    target, reasons = rng.integers(0, 3, 12), Reasons()
    y = target if sparse else np.eye(3)[target]
    model.fit(rng.normal(size=(12, 6, 6, 2)), y, batch_size=4, verbose=0, callbacks=[reasons])
    assert reasons.found == [None]
    assert model.optimizer.iterations == 3


@pytest.mark.parametrize(
    "layer",
    [layers.CutMix(), layers.Equalization(bins=4), layers.MixUp(), layers.RandomCrop(4, 4)],
    ids=lambda layer: type(layer).__name__,
)
def test_augmentation_is_captured(layer, rng):
    """Places and bins are counted on the device: nothing is copied to it in a step."""
    x, y = rng.uniform(0, 255, (12, 6, 6, 1)), np.zeros((12, 1))
    model = mc.Sequential([Input((6, 6, 1)), layer, layers.GlobalAveragePooling2D(), Dense(1)])
    model.compile(optimizers.SGD(1e-6), "mse", backend="cupy")
    reasons = Reasons()
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[reasons])
    assert reasons.found == [None]


# ------------------------------------------------------------------------------------------------------ bad losses


def normalized_model():
    model = mc.Sequential([Input((4,)), Dense(6), BatchNormalization(), Dense(2)])
    model.compile(optimizers.SGD(0.01, momentum=0.5, weight_decay=0.1), "mse", backend="cupy")
    return model


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_bad_step_and_those_after_it_change_nothing(bad, rng, seed):
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    mc.utils.set_random_seed(seed)
    expected = normalized_model()
    if bad:
        expected.fit(x[: bad * 4], y[: bad * 4], batch_size=4, shuffle=False, verbose=0)
    mc.utils.set_random_seed(seed)
    model = normalized_model()
    x[bad * 4 + 1, 2] = np.inf
    with pytest.raises(NonFiniteError, match=rf"epoch 1, batch {bad + 1}: the batch's input data"):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == bad
    x[bad * 4 + 1, 2] = 0
    model.fit(x, y, batch_size=4, verbose=0)  # and goes on
    assert model.optimizer.iterations == bad + 5


def test_a_bad_step_names_the_layer(rng):
    model = normalized_model()
    model.layers[2].kernel.assign(np.full((6, 2), np.float32(3e38)))
    with pytest.raises(NonFiniteError, match=f"the first layer whose output is not finite is '{model.layers[2].name}'"):
        model.fit(rng.normal(size=(8, 4)), rng.normal(size=(8, 2)), batch_size=4, verbose=0)


def test_terminate_on_nan_on_the_device(rng):
    model = normalized_model()
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    x[9] = np.nan
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[TerminateOnNaN()])
    assert not math.isfinite(history.history["loss"][0])
    assert model.optimizer.iterations == 2
    assert all(np.isfinite(w).all() for w in model.get_weights())


# ------------------------------------------------------------------------------------------------- products by cuBLAS


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel", "strides", "padding"), [(3, 1, "same"), (1, 1, "valid"), ((2, 3), 2, "same")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_products_by_cublas(cupy, kernel, strides, padding, groups, dtype, rng, monkeypatch):
    from minicnn.backends.cupy import blas

    if not blas._library():
        pytest.skip("cuBLAS is not installed")
    monkeypatch.setattr(blas, "LEAST_PRODUCTS", 0)
    monkeypatch.setattr(blas, "MOST_COLUMN_BYTES", 4000)  # a chunk of the batch at a time
    reference, backend = backends.get("numpy"), backends.get("cupy")
    size, strides = (kernel, kernel) if isinstance(kernel, int) else kernel, (strides, strides)
    window = make_window((7, 6), size, strides, padding)
    x = rng.normal(size=(5, 7, 6, 4)).astype(dtype)
    weights, bias = (rng.normal(size=s).astype(dtype) for s in ((*size, 4 // groups, 6), (6,)))
    dy = rng.normal(size=(5, window.out_height, window.out_width, 6)).astype(dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    y = np.empty_like(dy)
    reference.ops.conv2d(x, weights, bias, y, window, groups, True)
    gradients = [np.empty_like(a) for a in (x, weights, bias)]
    reference.ops.conv2d_backward(x, weights, y, dy, *gradients, window, groups, True)
    device_y, *device_gradients = (backend.empty(a.shape, dtype) for a in (y, *gradients))
    arguments = [backend.asarray(a) for a in (x, weights, bias)]
    backend.ops.conv2d(*arguments, device_y, window, groups, True)
    assert_close(device_y.get(), y, tolerance)
    arguments = [backend.asarray(a) for a in (x, weights, y, dy)]
    backend.ops.conv2d_backward(*arguments, *device_gradients, window, groups, True)
    for actual, expected in zip(device_gradients, gradients, strict=True):
        assert_close(actual.get(), expected, tolerance)


@pytest.mark.parametrize(("rows", "channels", "filters"), [(9, 4, 64), (140, 1, 130), (40, 70, 36)])
def test_blocks_of_every_size(rows, channels, filters, cupy, rng, monkeypatch):
    """The wide blocks are for products that would take the stand-in minutes: here they are chosen for small ones."""
    from minicnn.backends.cupy import products

    monkeypatch.setattr(products, "LEAST_WORK_FOR_WIDE_BLOCKS", 0)
    monkeypatch.setattr(products, "LEAST_SLICES", 1)
    reference, backend = backends.get("numpy"), backends.get("cupy")
    x, kernel, dy = (rng.normal(size=s).astype("f4") for s in ((rows, channels), (channels, filters), (rows, filters)))
    y, *gradients = (np.empty(s, "f4") for s in ((rows, filters), x.shape, kernel.shape, (filters,)))
    reference.ops.dense(x, kernel, None, y)
    reference.ops.dense_backward(x, kernel, None, dy, *gradients)
    device_y, *device_gradients = (backend.empty(a.shape, "f4") for a in (y, *gradients))
    backend.ops.dense(backend.asarray(x), backend.asarray(kernel), None, device_y)
    backend.ops.dense_backward(
        backend.asarray(x), backend.asarray(kernel), None, backend.asarray(dy), *device_gradients
    )
    for actual, expected in zip((device_y, *device_gradients), (y, *gradients), strict=True):
        assert_close(actual.get(), expected, 1e-5)


@pytest.mark.parametrize("classes", [3, 65, 300])
@pytest.mark.parametrize("sparse", [True, False])
def test_cross_entropy_of_few_and_many_classes(classes, sparse, rng):
    reference, backend = backends.get("numpy"), backends.get("cupy")
    logits = rng.normal(0, 5, (7, classes)).astype("f4")
    target = rng.integers(0, classes, 7) if sparse else rng.uniform(size=(7, classes)).astype("f4")
    weight, loss, gradient = rng.uniform(size=7).astype("f4"), np.empty(7, "f4"), np.empty((7, classes), "f4")
    reference.ops.softmax_cross_entropy(logits, target, weight, loss, gradient)
    arrays = [backend.asarray(a) for a in (logits, target, weight, loss, gradient)]
    backend.ops.softmax_cross_entropy(*arrays)
    assert_close(arrays[3].get(), loss, 1e-5)
    assert_close(arrays[4].get(), gradient, 1e-5)


def test_random_numbers_and_warps(rng, seed):
    """The numbers are the processor's; an image moved by whole pixels, and by half a pixel, with zeros from outside."""
    backend = backends.get("cupy")
    numbers = backend.empty((5, 3), np.float32)
    backend.ops.uniform(numbers, seed, 3, 2**33 + 1)
    np.testing.assert_array_equal(numbers.get().ravel(), random.uniform(seed, 3, 2**33 + 1, 15))
    x = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    matrix = np.array([[[1, 0, 2], [0, 1, -1]], [[1, 0, 0.5], [0, 1, 0]]], np.float64)
    expected = np.zeros_like(x)
    expected[0, 1:, :4] = x[0, :4, 2:]
    expected[1] = (x[1] + np.pad(x[1], ((0, 0), (0, 1), (0, 0)))[:, 1:]) / 2
    y, dx = backend.empty(x.shape, x.dtype), backend.empty(x.shape, x.dtype)
    backend.ops.warp(backend.asarray(x), backend.asarray(matrix), y, True, "constant", 0.0)
    assert_close(y.get(), expected, 1e-6)
    dy = rng.normal(size=x.shape).astype(np.float32)
    backend.ops.warp_backward(backend.asarray(dy), backend.asarray(matrix), dx, True, "constant")
    forward, backward = (dy.astype(np.float64) * expected).sum(), (dx.get().astype(np.float64) * x).sum()
    assert backward == pytest.approx(forward, rel=1e-4, abs=1e-4)  # it is the adjoint


# ------------------------------------------------------------------------------------------------- moving, and errors


def test_a_model_moves_with_weights_optimizer_and_random_position(rng, seed):
    """One epoch here, one there, one here again: as three epochs in one place."""
    x, y = dense_data(rng)
    results = []
    for places in (["numpy"] * 3, ["numpy", "cupy", "numpy"]):
        mc.utils.set_random_seed(seed)
        model = dense_model(None)
        for place in places:
            mc.set_backend(place)
            model.fit(x, y, batch_size=8, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        assert_close(a, b, 1e-4)


def test_reading_weights_does_not_move_a_model(rng, cupy):
    model = dense_model()
    x, y = dense_data(rng)
    model.fit(x, y, verbose=0)
    before = [w.value for w in model.weights]
    assert all(isinstance(w, np.ndarray) for w in model.get_weights())
    model.set_weights(model.get_weights())
    assert all(isinstance(w.value, cupy.ndarray) for w in model.weights)
    assert all(w.value is b for w, b in zip(model.weights, before, strict=True))


def test_a_layer_alone_with_weights_elsewhere(rng):
    layer = BatchNormalization()
    x = rng.normal(3, 1, size=(8, 5)).astype(np.float32)
    layer(x)
    mc.set_backend("cupy")
    y = layer(x, training=True)
    assert_close(y.mean(axis=0), np.zeros(5), 1e30)
    assert_close(layer.moving_mean.numpy(), 0.01 * x.mean(axis=0), 1e-4)


def test_wrong_devices_are_named(cupy):
    count = cupy.cuda.runtime.getDeviceCount()
    with pytest.raises(BackendError, match=rf"cupy:{count}.*{count} device"):
        backends.get(f"cupy:{count}")
    with pytest.raises(ValueError, match="Unknown backend"):
        backends.get("cupy:x")


def test_info_names_the_device(cupy, capsys):
    mc.set_backend("cupy")
    backends.info()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["numba", "numpy", "*"]
    assert "GiB" in lines[2]


@pytest.mark.parametrize(
    ("message", "match"),
    [
        ("cudaErrorNoDevice: no CUDA-capable device is detected", "no NVIDIA GPU.*CUDA_VISIBLE_DEVICES"),
        (
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient",
            r"driver.*older.*cupy-cuda12x.*CUDA 13\.0",
        ),
        ("libnvrtc.so.13: cannot open shared object file", "part of CUDA is missing.*pip install"),
        ("Failed to find CUDA headers", "part of CUDA is missing.*pip install"),
        ("cudaErrorUnknown: unknown error", "cannot be used.*Received: cudaErrorUnknown"),
    ],
)
def test_devices_that_cannot_be_used(message, match, standin, cupy, monkeypatch):
    def fail():
        raise cupy.cuda.runtime.CUDARuntimeError(message)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", fail)
    backends._load.cache_clear()
    try:
        with pytest.raises(BackendError, match=match):
            mc.set_backend("cupy")
        assert backends._chosen["name"] is None
    finally:
        backends._load.cache_clear()


def test_without_cupy(tmp_path):
    """In a fresh process where `import cupy` fails."""
    (tmp_path / "cupy.py").write_text("raise ImportError('No module named cupy')")
    code = "import minicnn as mc; mc.backends.info(); mc.set_backend('cupy')"
    path = [str(tmp_path), *(p for p in sys.path if p)]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"], capture_output=True, text=True
    )
    assert "cupy   not available: backend 'cupy' needs CuPy" in run.stdout
    assert run.stderr.splitlines()[-1].startswith("minicnn.errors.BackendError: backend 'cupy' needs CuPy")
    assert "pip install" in run.stderr


def test_out_of_memory_suggests_a_batch_size(rng, standin, monkeypatch):
    model = mc.Sequential([Input((64,)), Dense(64), Dense(2)])
    model.compile("sgd", "mse", backend="cupy")
    x, y = rng.normal(size=(4096, 64)), rng.normal(size=(4096, 2))
    model.fit(x[:8], y[:8], batch_size=8, verbose=0)
    before = model.get_weights()
    monkeypatch.setattr(standin, "limit", standin.used + x.nbytes + y.nbytes + 200_000)
    with pytest.raises(DeviceMemoryError, match=r"4096 samples do not fit.*batch_size=\d+.*MiB"):
        model.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.setattr(standin, "limit", 1 << 34)
    model.fit(x, y, batch_size=64, verbose=0)


# ------------------------------------------------------------------------------------------------------ the stand-in


class TestStandIn:
    """It must refuse what the real device refuses, or it proves nothing."""

    @pytest.fixture(autouse=True)
    def _only_here(self, standin):
        pass

    def launch(self, *changes):
        from minicnn.backends.cupy.launch import launch

        backend = backends.get("cupy")
        arrays = [backend.zeros((4,), np.float32) for _ in range(3)]
        arguments = dict(enumerate([*arrays, np.int64(1), np.int64(4)]))
        grid, threads = (1,), 32
        for key, value in changes:
            if key == "threads":
                threads = value
            elif key == "grid":
                grid = value
            else:
                arguments[key] = value
        launch("pointwise", "plain_relu_gradient", np.dtype(np.float32), grid, threads, *arguments.values())

    def test_a_launch_that_is_right(self):
        self.launch()

    @pytest.mark.parametrize(
        "change",
        [
            (0, np.zeros(4, np.float32)),
            (3, 4),
            (3, np.int32(4)),
            (3, np.float64(4)),
            ("threads", 2048),
            ("threads", 0),
            ("grid", (1, 70000)),
        ],
        ids=str,
    )
    def test_wrong_launches(self, change):
        with pytest.raises((TypeError, RuntimeError)):
            self.launch(change)

    def test_wrong_dtypes_and_layouts(self):
        backend = backends.get("cupy")
        with pytest.raises(TypeError, match="expected an array of float"):
            self.launch((0, backend.zeros((4,), np.float64)))
        with pytest.raises(ValueError, match="C-contiguous"):
            self.launch((0, backend.zeros((4, 2), np.float32)[:, 0]))

    def test_host_and_device_arrays_do_not_mix(self, cupy):
        device, host = cupy.zeros(3, np.float32), np.ones(3, np.float32)
        for mix in (
            lambda: device + host,
            lambda: np.add(device, 1, out=host),
            lambda: np.copyto(device, host),
            lambda: device.__setitem__(slice(None), host),
            lambda: np.copyto(host, device),
            lambda: device[np.array([0, 1])] if False else np.concatenate([device, host]),
        ):
            with pytest.raises(TypeError):
                mix()

    def test_new_memory_is_no_number(self, cupy):
        assert np.isnan(cupy.empty(100, np.float32).get()).all()

    def test_nothing_waits_while_a_stream_is_captured(self, cupy):
        array = cupy.ones(3, np.float32)
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            array += 1
            for waits in (array.get, lambda: float(array.sum()), lambda: array.set(np.zeros(3, np.float32))):
                with pytest.raises(RuntimeError, match="capturing"):
                    waits()
            graph = stream.end_capture()
        assert array.tolist() == [1, 1, 1]
        graph.launch()
        graph.launch()
        assert array.tolist() == [3, 3, 3]


ON_CUPYS_ARRAYS = {  # the reference's formulas, which CuPy computes; bfloat16 is not kept there
    *("add_bfloat16", "from_bfloat16", "through_bfloat16", "to_bfloat16"),
    *(
        "fold_normalization",
        "global_max",
        "global_max_backward",
        "matrix_products",
        "normal",
        "pointwise",
        "pointwise_sum",
        "put_part",
        "resample",
    ),
    *("softmax", "softmax_backward", "standardize", "standardize_backward", "take_part"),
}


def test_kernels_have_the_parameters_of_the_reference():
    from minicnn.backends.reference import ops as reference

    ops = backends.get("cupy").ops
    for name in vars(reference).keys() - ON_CUPYS_ARRAYS:
        assert "cupy" in getattr(ops, name).__module__
        assert parameters_of(getattr(ops, name)) == parameters_of(getattr(reference, name)), name


def parameters_of(function):
    """Names, kinds and defaults: arrays are of other types here."""
    return [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]


def test_graphs_find_the_optimizer_s_memory_where_it_was(rng):
    """A layer that is frozen and thawed brings the first graph back, with the address of what it computes in."""
    x, y = dense_data(rng)
    model = dense_model(optimizer=optimizers.AdamW(clipnorm=1.0))
    places = []

    class Toggle(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[0].trainable = epoch != 1

        def on_epoch_end(self, epoch, logs=None):
            places.append(self.model.optimizer._scratch.data.ptr)

    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[Toggle()])
    assert len(set(places)) == 1
