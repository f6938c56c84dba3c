"""What Keras's own tests ask for and few other tests do; the expected values are worked out with NumPy alone."""

import copy
import inspect
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import NonFiniteError

WEIGHTLESS = sorted(n for n, cls in mc.layers.CLASSES.items() if n != "InputLayer" and hasattr(cls, "examples"))


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


# -------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("name", WEIGHTLESS)
def test_a_layer_is_built_from_the_start_if_it_has_no_weights(name):
    example, shapes = next(iter(mc.layers.CLASSES[name].examples()))
    config = example.get_config()
    example.build_for(tuple(shapes))
    assert getattr(keras.layers, name).from_config(config).built == (not example.weights)


def test_a_subclass_with_a_build_of_its_own_is_not_built():
    class Own(keras.layers.ReLU):
        def build(self, input_shapes):
            return super().build(input_shapes)

    assert not Own().built


def test_built_may_be_assigned():
    class Own(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")
            self.built = True

        def call(self, x):
            return x * self.scale

    layer = Own()
    assert np.array_equal(layer(np.full((2, 3), 5.0)), np.full((2, 3), 5.0))
    assert layer.built and len(layer.weights) == 1


def test_the_penalty_on_outputs_is_among_the_losses_after_a_call(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    dense = keras.layers.Dense(2, activity_regularizer=keras.regularizers.L1(0.1), kernel_regularizer="l2")
    y = dense(x)
    kernel = dense.kernel.numpy()
    assert np.allclose(dense.losses, [0.01 * (kernel**2).sum(), 0.1 * np.abs(y).sum() / 4], rtol=1e-5)
    layer = keras.layers.ActivityRegularization(l1=0.2, l2=0.3)
    assert layer.losses == []
    layer(np.full((1,), 2.0))
    assert np.allclose(layer.losses, [0.2 * 2 + 0.3 * 4])
    layer(np.zeros((0, 5)))
    assert layer.losses == [0]


def test_symbolic_tensors_have_a_dtype():
    assert keras.Input((3,)).dtype == "float32"
    assert keras.layers.Dense(2)(keras.Input((3,))).dtype == "float32"


@pytest.mark.parametrize("wrong", [(1,), (1, 2, 3), "1"])
@pytest.mark.parametrize("layer", [keras.layers.ZeroPadding1D, keras.layers.Cropping1D])
def test_ends_of_rows_are_a_number_or_a_pair(layer, wrong):
    with pytest.raises(ValueError):
        layer(wrong)


@pytest.mark.parametrize("layer", ["LayerNormalization", "RMSNormalization", "UnitNormalization"])
@pytest.mark.parametrize("wrong", [{"axis": -1}, "1", 1.5, [0.5]])
def test_an_axis_is_an_integer_or_several(layer, wrong):
    if layer == "RMSNormalization" and isinstance(wrong, list):
        wrong = None
    with pytest.raises(TypeError, match="integer"):
        getattr(keras.layers, layer)(axis=wrong)


@pytest.mark.parametrize("argument", ["negative_slope", "threshold"])
def test_numbers_of_relu_are_not_none(argument):
    with pytest.raises((ValueError, TypeError), match=argument):
        keras.layers.ReLU(**{argument: None})


def test_moments_of_a_normalization_have_the_form_in_which_they_meet_samples():
    layer = keras.layers.Normalization(axis=(1, 2), mean=np.arange(5.0), variance=np.full(5, 4.0))
    layer.build((2, 7, 5, 3))
    assert layer.mean.shape == layer.variance.shape == (1, 7, 5, 1)
    assert np.array_equal(layer.mean, np.broadcast_to(np.arange(5.0).reshape(1, 1, 5, 1), (1, 7, 5, 1)))
    assert np.array_equal(layer.variance, np.full((1, 7, 5, 1), 4.0))
    x = np.ones((2, 7, 5, 3))
    assert np.allclose(layer(x), (x - np.arange(5.0).reshape(1, 1, 5, 1)) / 2)


def test_numbers_alone_have_no_order_of_channels():
    flat = keras.layers.Flatten(data_format="channels_first")
    assert np.array_equal(flat(np.arange(3.0)), [[0], [1], [2]])
    model = keras.Sequential([keras.Input(()), keras.layers.Flatten(data_format="channels_first")])
    assert np.array_equal(model.predict(np.arange(3.0), verbose=0), [[0], [1], [2]])


@pytest.mark.parametrize("name", ["RandomBrightness", "RandomContrast"])
def test_random_pixels_with_channels_first(rng, name):
    images = rng.uniform(0, 255, (3, 5, 4, 2)).astype("float32")
    last, first = (getattr(keras.layers, name)(0.4, seed=3, data_format=f"channels_{w}") for w in ("last", "first"))
    mc.utils.set_random_seed(1)
    expected = last(images, training=True)
    assert not np.allclose(expected, images)
    mc.utils.set_random_seed(1)
    result = first(np.moveaxis(images, -1, 1), training=True)
    assert np.allclose(np.moveaxis(result, 1, -1), expected, atol=1e-4)


def test_the_output_shape_of_a_lambda_as_a_function():
    def doubled(x):
        return np.concatenate([np.asarray(x)] * 2, axis=1)

    layer = keras.layers.Lambda(doubled, output_shape=lambda shape: (shape[0], 2 * shape[1]))
    assert layer(keras.Input((3,))).shape == (None, 6)
    assert layer.compute_output_shape((5, 3)) == (5, 6)


def test_a_checkpoint_of_a_pipeline_that_holds_code(tmp_path, rng):
    part = keras.layers.Pipeline([keras.layers.Lambda(lambda x: x[:, ::-1])])
    model = keras.Sequential([keras.Input((2, 2, 1)), part, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    path = tmp_path / "model.keras"
    with pytest.warns(UserWarning, match="custom_objects"):
        saver = keras.callbacks.ModelCheckpoint(path)
        model.fit(rng.random((4, 2, 2, 1)), np.zeros((4, 1)), verbose=0, callbacks=[saver])
    assert path.exists()


def test_rsqrt(rng):
    x = rng.uniform(0.5, 2, (2, 3))
    assert np.allclose(keras.ops.rsqrt(x), x**-0.5)
    y, gradient = x**-0.5, -0.5 * x**-1.5
    recorded = mc.differentiation.Recorded(x)
    result = keras.ops.rsqrt(recorded)
    assert np.allclose(mc.differentiation.value_of(result), y)
    assert np.allclose(mc.differentiation.gradients(result, np.ones_like(x), [recorded])[0], gradient)


# ------------------------------------------------------------------------------------------------------------ training


class Total(keras.losses.Loss):
    """The sum of all outputs, as one number."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        return keras.ops.sum(y_pred)


def test_a_loss_may_be_one_number_for_a_batch(rng):
    x = rng.normal(size=(6, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.5), Total())
    model.fit(x, np.zeros((6, 2)), batch_size=6, verbose=0)
    assert np.allclose(model.get_weights()[0], -0.5 * np.repeat(x.sum(axis=0)[:, None], 2, axis=1), atol=1e-5)
    assert np.allclose(model.get_weights()[1], -0.5 * 6)


def forms_of_batches(a, b):
    """The same two inputs, as a generator may give them."""
    return {"tuple": (a, b), "list": [a, b], "dict": {"a": a, "b": b}}


@pytest.mark.parametrize("form", ["tuple", "list", "dict"])
@pytest.mark.parametrize("source", ["generator", "dataset", "sequence"])
def test_a_subclass_learns_its_inputs_from_batches(rng, form, source):
    a, b = rng.normal(size=(2, 4, 3)).astype("float32")
    y = rng.normal(size=(4, 1)).astype("float32")

    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")

        def call(self, inputs):
            first, second = inputs.values() if isinstance(inputs, dict) else inputs
            return self.dense(keras.layers.Add()([first, second]))

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return forms_of_batches(a, b)[form], y

    if source == "dataset":
        pair = forms_of_batches(a, b)["dict" if form == "dict" else "tuple"]
        data = mc.data.Dataset.from_tensor_slices((pair, y)).batch(4)
    else:
        data = Batches() if source == "sequence" else iter([(forms_of_batches(a, b)[form], y)])
    model = Two()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(data, verbose=0)
    expected = 2 / 4 * (a + b).T @ y  # one step from 0: -∂/∂w of the mean of (x·w - y)²
    assert np.allclose(model.get_weights()[0], expected, atol=1e-5)


@pytest.mark.parametrize("loss", [["mse"], {"y": "mse"}, {"y": ["mse"]}])
def test_the_loss_of_an_output_may_stand_in_a_list(rng, loss):
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
    results = []
    for given in ("mse", loss):
        mc.utils.set_random_seed(0)
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(1, name="y")(inputs))
        model.compile("sgd", given)
        results.append(model.evaluate(x, y, verbose=0))
    assert results[0] == results[1]


# ------------------------------------------------------------------------------------------------------ names, objects


@pytest.mark.parametrize("room", ["initializers", "losses", "metrics", "optimizers", "regularizers", "constraints"])
def test_get_of_none_is_none(room):
    assert getattr(keras, room).get(None) is None
    with pytest.raises(ValueError):
        getattr(keras, room).get("typo")


def test_get_gives_the_functions_of_names():
    assert keras.losses.get("mse") is keras.losses.mean_squared_error
    assert keras.losses.get("mean_squared_error") is keras.losses.mean_squared_error
    assert isinstance(keras.losses.get("MeanSquaredError"), keras.losses.MeanSquaredError)
    assert keras.activations.get("relu") is keras.activations.relu
    assert keras.activations.get(None) is keras.activations.linear
    with pytest.raises(ValueError):
        keras.activations.get("typo")


def test_an_activation_by_name_in_a_layer_of_ones_own(rng):
    class Own(keras.layers.Layer):
        def __init__(self, activation):
            super().__init__()
            self.act = keras.activations.get(activation)

        def call(self, x):
            return self.act(x * 2)

    x = rng.normal(size=(2, 3)).astype("float32")
    assert np.allclose(Own("relu")(x), np.maximum(2 * x, 0))
    assert np.allclose(Own(None)(x), 2 * x)
    assert np.allclose(Own("sigmoid")(x), 1 / (1 + np.exp(-2 * x)), atol=1e-6)


@pytest.mark.parametrize("function", [keras.losses.mean_squared_error, keras.metrics.binary_accuracy])
def test_functions_are_pickled_by_their_names(function):
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.deepcopy(function) is function


def test_the_sums_of_a_metric(rng):
    y, p = rng.integers(0, 2, 20), rng.uniform(size=20)
    above = p > 0.5
    positives, hits = above.sum(), (above & (y == 1)).sum()
    expected = {
        "Precision": [hits, positives - hits],
        "Recall": [hits, (y == 1).sum() - hits],
        "FalsePositives": [positives - hits],
        "MeanSquaredError": [((y - p) ** 2).sum(), 20],
    }
    for name, values in expected.items():
        metric = getattr(keras.metrics, name)()
        metric.update_state(y[:, None], p[:, None])
        assert np.allclose([np.squeeze(v) for v in metric.variables], values), name


def test_a_learning_rate_has_a_value():
    optimizer = keras.optimizers.SGD(0.25)
    assert optimizer.learning_rate.value == 0.25 == optimizer.learning_rate.value()  # in Keras 3; in Keras 2


def over(callback, losses):
    """The last epoch of a training with these losses, and the rates behind each."""
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0), stop_training=False)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"loss": loss})
        rates.append(model.optimizer.learning_rate)
        if model.stop_training:
            break
    return epoch, rates


FALLING = [1, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]


@pytest.mark.parametrize(("patience", "last"), [(0.5, (2, 5)), (1.0, (2, 5)), (1.5, (3, 6)), (2.2, (7, 7))])
def test_patience_may_be_a_part_of_the_epochs(patience, last):
    """The epochs after which Keras 3.15.1 stops."""
    stop = keras.callbacks.EarlyStopping
    assert over(stop("loss", patience=patience), FALLING)[0] == last[0]
    assert over(stop("loss", 0, patience, start_from_epoch=2.5), FALLING)[0] == last[1]


def test_cooldown_may_be_a_part_of_the_epochs():
    """The rates of Keras 3.15.1."""
    plateau = keras.callbacks.ReduceLROnPlateau("loss", 0.5, np.float32(1.5), cooldown=1.5)
    assert over(plateau, FALLING)[1] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


@pytest.mark.parametrize("callback", ["EarlyStopping", "ReduceLROnPlateau"])
def test_what_watches_the_loss_needs_no_built_model(callback):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stand_in = SimpleNamespace(stop_training=False, optimizer=model.optimizer)
    for watched in (model, stand_in):
        watcher = getattr(keras.callbacks, callback)(monitor="loss", patience=1)
        watcher.set_model(watched)
        watcher.on_train_begin()
        watcher.on_epoch_end(0, {"loss": 2.0})
        watcher.on_epoch_end(1, {"loss": 1.0})
        assert watcher.best == 1.0


def test_the_learning_rate_in_a_history_is_a_number(rng):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5)
    history = model.fit(rng.normal(size=(4, 2)), np.ones((4, 1)), verbose=0, callbacks=[schedule])
    assert history.history["learning_rate"] == [0.5] and type(history.history["learning_rate"][0]) is float


def test_a_loss_that_is_not_finite_is_a_runtime_error():
    assert issubclass(NonFiniteError, RuntimeError) and issubclass(NonFiniteError, ArithmeticError)


# ---------------------------------------------------------------------- layers of layers, with weights of their own


class Scaled(keras.layers.Layer):
    """2 · scale · (x W + c) + shift: layers and weights together."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def build(self, input_shape):
        self.factors = [self.add_weight(shape=(3,), initializer="ones", name="scale")]
        self.shift = self.add_weight(shape=(3,), initializer="zeros", name="dense")  # a name that an attribute has

    def call(self, x):
        return keras.ops.multiply(self.dense(x), 2.0 * self.factors[0]) + self.shift


class ScaledModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.factors = [self.add_weight(name="scale", shape=(3,), initializer="ones")]
        self.shift = self.add_weight("shift", (3,), None, "zeros")

    def call(self, x):
        return self.dense(x) * (np.multiply(2.0, self.factors[0])) + self.shift


def _scaled_layer():
    inputs, layer = keras.Input((4,)), Scaled()
    return keras.Model(inputs, layer(inputs)), layer


def _scaled_model():
    model = ScaledModel()
    model(np.zeros((1, 4), "float32"))
    return model, model


@pytest.mark.parametrize("make", [_scaled_layer, _scaled_model])
def test_weights_of_ones_own_beside_layers_are_trained(rng, make):
    model, part = make()
    x, y = rng.normal(size=(8, 4)).astype("float32"), rng.normal(size=(8, 3)).astype("float32")
    of = [part.dense.kernel, part.dense.bias, part.factors[0], part.shift]
    kernel, bias, scale, shift = (w.numpy().astype("float64") for w in of)
    assert set(model.weights) == set(of)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    hidden = x @ kernel + bias
    slope = 2 * (2 * scale * hidden + shift - y) / y.size
    gradients = [x.T @ (slope * 2 * scale), (slope * 2 * scale).sum(0), (slope * 2 * hidden).sum(0), slope.sum(0)]
    for weight, before, gradient in zip(of, (kernel, bias, scale, shift), gradients, strict=True):
        assert np.allclose(weight.numpy(), before - 0.1 * gradient, atol=1e-5)


def test_weights_of_ones_own_beside_layers_are_in_files(rng, tmp_path):
    model, layer = _scaled_layer()
    layer.factors[0].assign(np.array([1.0, 2.0, 3.0]))
    layer.shift.assign(np.array([4.0, 5.0, 6.0]))
    model.save(tmp_path / "model.keras")
    x = rng.normal(size=(2, 4)).astype("float32")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Scaled": Scaled})
    expected = (x @ layer.dense.kernel.numpy()) * np.array([2.0, 4.0, 6.0]) + np.array([4.0, 5.0, 6.0])
    assert np.allclose(again.predict(x), expected, atol=1e-5)


def test_layers_in_dicts_are_parts_of_a_layer_and_weights_are_there_before_the_first_call():
    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.branches = {"a": keras.layers.Dense(2), "b": [keras.layers.Dense(3, use_bias=False)]}
            self.branches["a"].build((None, 5))

        def call(self, x):
            return keras.layers.concatenate([self.branches["a"](x), self.branches["b"][0](x)])

    layer = Own()
    assert [w.shape for w in layer.weights] == [(5, 2), (2,)]
    assert layer(np.zeros((4, 5), "float32")).shape == (4, 5)
    assert sorted(w.shape for w in layer.weights) == [(2,), (5, 2), (5, 3)]


# ---------------------------------------------------------------------------------------------------- copies of models


def _two_inputs():
    x, y = keras.Input((3,)), keras.Input((3,))
    return keras.Model({"x": x, "y": y}, {"sum": keras.layers.Add()([x, y]), "dense": keras.layers.Dense(2)(x)})


def test_a_clone_has_the_form_of_the_model():
    tensors = {"x": keras.Input((3,)), "y": keras.Input((3,))}
    for clone in (
        keras.models.clone_model(_two_inputs(), clone_function=lambda layer: layer),
        keras.models.clone_model(_two_inputs(), input_tensors=tensors),
    ):
        out = clone({"x": np.full((1, 3), 1.0, "float32"), "y": np.full((1, 3), 4.0, "float32")})
        assert out.keys() == {"sum", "dense"} and np.array_equal(out["sum"], np.full((1, 3), 5.0))
    with pytest.raises(ValueError, match="form"):
        keras.models.clone_model(_two_inputs(), input_tensors=list(tensors.values()))


def test_a_call_function_puts_layers_into_a_clone(rng):
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(4, name="first")(x)))

    def doubled(layer, inputs):
        return 2.0 * layer(inputs)

    clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=doubled)
    (a, b), (c, d) = (layer.get_weights() for layer in model.layers[1:])
    given = rng.normal(size=(5, 3)).astype("float32")
    assert np.allclose(clone.predict(given), 2 * (2 * (given @ a + b) @ c + d), atol=1e-5)
    with pytest.raises(ValueError, match="call_function"):
        keras.models.clone_model(keras.Sequential([x, keras.layers.Dense(2)]), call_function=doubled)


@pytest.mark.parametrize(
    "given", [lambda a: {"x": a, "y": a, "z": a}, lambda a: [a, a]], ids=["a further entry", "a list for a dict"]
)
def test_inputs_of_another_form_are_warned_of_once(given):
    model, array = _two_inputs(), np.ones((2, 3), "float32")
    with pytest.warns(UserWarning, match="structure") as warnings:
        for _ in range(2):
            assert np.array_equal(model(given(array))["sum"], np.full((2, 3), 2.0))
    assert len(warnings) == 1


def test_a_model_that_is_not_built_has_no_inputs():
    assert not any(hasattr(keras.Sequential(), name) for name in ("inputs", "outputs", "input_shape", "output_shape"))
    assert hasattr(keras.Sequential([keras.Input((4,))]), "input_shape")


def test_a_model_that_is_not_compiled_has_no_optimizer():
    """As in Keras; whoever looks at all attributes, such as `inspect.getmembers` and editors, meets no error."""
    for model in (keras.Sequential(), keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])):
        assert not hasattr(model, "optimizer")
        assert model.loss is None
        assert dict(inspect.getmembers(model))["layers"] is not None
        with pytest.raises(mc.errors.NotCompiledError, match="call compile"):
            _ = model.optimizer


# ------------------------------------------------------------------------------------------------ arguments of Keras's


@pytest.mark.parametrize("name", ["RandomNormal", "HeNormal", "Orthogonal", "glorot_uniform"])
def test_an_initializer_takes_a_seed_generator(name):
    initializer = getattr(keras.initializers, name)(seed=keras.random.SeedGenerator(1337))
    assert not np.allclose(initializer((3, 4)), initializer((3, 4)))
    assert type(initializer).from_config(initializer.get_config()).get_config() == initializer.get_config()


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.ModelCheckpoint("x.keras", mode="unknown"),
        lambda: keras.callbacks.EarlyStopping(mode="unknown"),
        lambda: keras.callbacks.ReduceLROnPlateau(mode="unknown"),
    ],
)
def test_a_mode_that_does_not_exist_is_auto_with_a_warning(make):
    with pytest.warns(UserWarning, match="'unknown' is unknown"):
        assert make().mode == "auto"


def test_an_input_layer_takes_a_size_of_batches_and_knows_its_tensor():
    layer = keras.layers.InputLayer(batch_shape=(None, 3), sparse=False)
    model = keras.Model(layer.output, keras.layers.ReLU()(layer.output))
    assert np.array_equal(model.predict(np.array([[-1.0, 0.0, 2.0]])), [[0.0, 0.0, 2.0]])
    stack = keras.Sequential([keras.layers.InputLayer(shape=(4,), batch_size=2), keras.layers.ReLU()])
    assert stack.input_shape == (None, 4) and layer.batch_shape == (None, 3)
    for wrong in ({"shape": (3,)}, {"batch_size": 2}):
        with pytest.raises(ValueError, match="batch_shape"):
            keras.layers.InputLayer(batch_shape=(None, 3), **wrong)
    with pytest.raises(TypeError, match="sparse"):
        keras.layers.InputLayer(shape=(3,), sparse=True)


def test_inputs_in_the_models_form_are_not_warned_of(rng, recwarn):
    model, x = _two_inputs(), rng.normal(size=(2, 3)).astype("float32")
    model.compile("sgd", {"sum": "mse", "dense": "mse"})
    data, targets = {"y": x, "x": x}, {"sum": x, "dense": x[:, :2]}
    model(data), model.predict(data, verbose=0), model.predict_on_batch(data)
    model.fit(data, targets, validation_data=(data, targets), verbose=0)
    assert not [w for w in recwarn if "structure" in str(w.message)]


@pytest.mark.parametrize("name", ["RandomHeight", "RandomWidth"])
def test_layers_that_changed_the_size_stretch_what_is_in_it(name):
    x = np.zeros((2, 40, 40, 1), np.float32)
    x[:, 10:30, 10:30] = 1
    with pytest.warns(UserWarning, match=f"{name} changed the size.*RandomZoom"):
        stretching = getattr(keras.layers, name)((0.5, 0.5))
    made = np.asarray(stretching(x, training=True))[0, ..., 0] > 0.5
    assert made.shape == (40, 40)
    across = made if name == "RandomWidth" else made.T  # row, column of the axis that is stretched
    assert across[20].sum() == 30 and across[:, 20].sum() == 20
    np.testing.assert_array_equal(stretching(x, training=False), x)


# ------------------------------------------------------------------------------------------------ metrics as functions


@pytest.mark.parametrize("targets", [np.arange(18) % 2, np.arange(18)[:, None] % 2, np.arange(18) % 2 * 1.0])
@pytest.mark.parametrize("by_function", [True, False])
def test_a_metric_that_gives_one_number_counts_once_a_batch(targets, by_function):
    """The numbers of Keras 3.15 and tf_keras 2.21: batches of 8, 8 and 2; whole numbers (N,) are not broadcast."""
    x = np.random.RandomState(0).rand(18, 3).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[0.5], [0.3], [-0.2]]), np.zeros(1)])

    def once(y_true, y_pred):
        return keras.backend.mean(keras.backend.square(y_true - y_pred))

    def each(y_true, y_pred):
        return keras.backend.mean(keras.backend.square(y_true - y_pred), axis=-1)

    model.compile(keras.optimizers.SGD(0.0), each if by_function else "mse", metrics=[once, each])
    logs = model.evaluate(x, targets, batch_size=8, verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": 0.31102178, "once": 0.26801148, "each": 0.31102178}, abs=1e-6)
    history = model.fit(x, targets, batch_size=8, verbose=0, shuffle=False).history
    assert [history["once"][0], history["each"][0]] == pytest.approx([0.26801148, 0.31102178], abs=1e-6)
