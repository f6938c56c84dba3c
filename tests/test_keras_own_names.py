"""Names that users' classes give to attributes of their own, and that minicnn has for something else."""

import io
import pickle
import weakref
import zipfile
from functools import cached_property

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import _own_names
from minicnn.keras import tensorflow as tf

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
Y = np.arange(8) % 2
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _taken(cls):
    """All names that the library's classes have and Keras's have not."""
    names = {name for base in cls.__mro__ for name in vars(base)} | set(_own_names._OF_OBJECTS.split())
    return sorted(name for name in names if _own_names.is_taken(cls, name))


class AllNames(keras.layers.Layer):
    """Has every such name for something of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.own = _taken(AllNames)
        for name in self.own:
            setattr(self, name, f"own {name}")

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 2), initializer="ones")

    def call(self, x):
        assert [getattr(self, name) for name in self.own] == [f"own {name}" for name in self.own]
        return keras.ops.matmul(x, self.w)


class AllNamesModel(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.own = _taken(AllNamesModel)
        for name in self.own:
            setattr(self, name, f"own {name}")
        self.preprocessing = keras.layers.Dense(4)
        self.d = keras.layers.Dense(2)

    def call(self, x):
        assert (self.graph, self.seed, self.structure) == ("own graph", "own seed", "own structure")
        return self.d(self.preprocessing(x))


@pytest.mark.parametrize("of_model", [False, True])
def test_a_class_may_have_any_name_of_the_librarys_for_an_attribute_of_its_own(of_model, tmp_path):
    model = AllNamesModel() if of_model else keras.Sequential([keras.Input((5,)), AllNames()])
    model.compile("sgd", LOGITS, metrics=["accuracy"])
    model.fit(X, Y, epochs=2, verbose=0)
    model.summary(print_fn=lambda text: None)
    assert len(model.get_weights()) == (4 if of_model else 1)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={c.__name__: c for c in (AllNames,)})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    thing = model if of_model else model.layers[0]
    assert len(thing.own) > 60
    assert thing.graph == "own graph"
    assert thing.declared_input_shape == "own declared_input_shape"


class Clipped(keras.layers.Layer):
    def __init__(self, lower=-0.5, nodes=3, **kwargs):
        super().__init__(**kwargs)
        self.lower, self.nodes = lower, nodes

    def call(self, x):
        return keras.ops.clip(x, self.lower, self.nodes)


def test_arguments_of_such_names_are_in_files(tmp_path):
    model = keras.Sequential([keras.Input((5,)), Clipped(lower=-0.25, nodes=1)])
    np.testing.assert_array_equal(model.predict(X), np.clip(X, -0.25, 1))
    assert {"lower": -0.25, "nodes": 1}.items() <= model.layers[0].get_config().items()
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Clipped": Clipped})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def _scaling():
    """A class as a process has it that has made none of its objects yet."""

    class Scaling(keras.layers.Layer):
        def __init__(self, lower=1.0, **kwargs):
            super().__init__(**kwargs)
            self.lower, self.own_lower = lower, "another one"

        def call(self, x):
            return x * self.lower

        def forget(self):
            del self.lower

    class ScalingModel(keras.Model):
        def __init__(self):
            super().__init__()
            self.scaling, self.graph = Scaling(), {"a": "b"}

        def call(self, x):
            return self.scaling(x)

    for cls in (Scaling, ScalingModel):
        cls.__qualname__ = cls.__name__
        globals()[cls.__name__] = cls
    return Scaling, ScalingModel


def test_another_process_finds_what_an_object_has_under_such_names():
    layer_class, model_class = _scaling()
    model = model_class()
    model(X)
    written = pickle.dumps((layer_class(0.5), model))
    _scaling()
    layer, model = pickle.loads(written)
    assert type(layer) is not layer_class
    assert (layer.lower, layer.own_lower, model.graph) == (0.5, "another one", {"a": "b"})
    np.testing.assert_array_equal(layer(X), X * 0.5)
    np.testing.assert_array_equal(model(X), X)


def test_a_callback_changes_what_an_object_has_under_such_a_name():
    class Warming(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[-1].lower = 2.0 + epoch

    model = keras.Sequential([keras.Input((5,)), _scaling()[0](0.5)])
    model.compile("sgd", "mse")
    model.fit(X, X, epochs=2, verbose=0, callbacks=[Warming()])
    assert model.layers[-1].lower == 3.0
    np.testing.assert_array_equal(model.predict(X), 3 * X)


@pytest.mark.parametrize("base", [keras.layers.Layer, keras.Model])
def test_to_set_an_attribute_keeps_nothing_alive(base):
    class Measuring(base):
        def measure(self):
            data = np.ones(3)
            self.mean, self.trainable = data.mean(), False
            there = weakref.ref(data)
            del data
            return there() is not None

    assert not Measuring().measure()


def test_such_an_attribute_can_be_deleted():
    layer = _scaling()[0](0.5)
    layer.forget()
    assert layer.lower == keras.layers.Layer.lower.__get__(layer)
    with pytest.raises(AttributeError, match="no attribute 'lower'"):
        layer.forget()


class Learner(keras.Model):
    """Has its own loop, optimizer and loss, before and without `compile`."""

    def __init__(self, seed=None):
        super().__init__()
        self.seed = seed
        self.class_names = ["a", "b"]
        self.optimizer = keras.optimizers.SGD(0.1)
        self.loss = LOGITS
        self.d = keras.layers.Dense(2)

    def call(self, x):
        return self.d(x)

    def learn(self):
        with tf.GradientTape() as tape:
            loss = self.loss(Y, self(X, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return float(loss)


def test_optimizer_and_loss_of_a_class_of_ones_own():
    model = Learner()
    losses = [model.learn() for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]
    assert (model.seed, model.optimizer.iterations, model.loss) == (None, 3, LOGITS)
    model.compile("adam")  # without a loss, so that the own one stays
    assert type(model.optimizer) is keras.optimizers.Adam
    assert model.loss is LOGITS
    model.compile("adam", "mse")
    assert model.loss == "mse"


class Denoiser(keras.Model):
    """Calls the loss that `compile` was given, as diffusion models in Keras's examples do."""

    def __init__(self):
        super().__init__()
        self.net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="ones")])

    def train_step(self, x):
        with tf.GradientTape() as tape:
            loss = self.loss(x * 3, self.net(x, training=True))
        gradients = tape.gradient(loss, self.net.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.net.trainable_weights, strict=True))
        return {"shape": np.float32(len(np.shape(loss)))}


@pytest.mark.parametrize(("loss", "axes", "bias"), [("function", 1, 1.0), ("class", 0, 0.25)])
def test_the_loss_of_a_model_is_what_compile_was_given(loss, axes, bias):
    """A function's losses of 4 samples are summed by the tape, a class's are their mean: Keras 3.15's numbers."""
    given = keras.losses.mean_absolute_error if loss == "function" else keras.losses.MeanAbsoluteError()
    model = Denoiser()
    model.compile(keras.optimizers.SGD(0.5), given)
    assert model.loss is given
    x = np.array([[1, 2], [2, 3], [3, 5], [4, 7]], np.float32)
    history = model.fit(x, batch_size=4, verbose=0).history
    assert history["shape"] == [axes]
    np.testing.assert_allclose(model.net.get_weights()[1], [0.75 * bias, bias], atol=1e-6)


def test_a_seed_and_class_names_that_fit_are_the_librarys_too():
    model = Learner(seed=7)
    assert (model.seed, model._seed, model._class_names) == (7, 7, ["a", "b"])


def test_another_optimizer_begins_anew():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    assert model.loss is None
    model.compile(keras.optimizers.SGD(0.0, momentum=0.9), LOGITS)
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    model.optimizer = keras.optimizers.SGD(0.1)
    model.fit(X, Y, verbose=0, shuffle=False)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    other.compile(keras.optimizers.SGD(0.1), LOGITS)
    other.set_weights(before)
    other.fit(X, Y, verbose=0, shuffle=False)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.optimizer.iterations == 1


def test_another_optimizer_of_a_model_whose_loss_uses_its_tensors():
    x = keras.Input((5,))
    hidden = keras.layers.Dense(3)(x)
    model = keras.Model(x, keras.layers.Dense(2)(hidden))
    square = keras.backend.square
    model.compile("sgd", lambda y, p: keras.backend.mean(square(y - p), -1) + keras.backend.mean(square(hidden), -1))
    model.fit(X, np.eye(2)[Y], verbose=0)
    model.optimizer = still = keras.optimizers.SGD(0.0)
    before = model.get_weights()
    model.fit(X, np.eye(2)[Y], verbose=0)
    assert model.optimizer is still
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("value", [None, "adam"])
def test_what_is_no_optimizer_replaces_none(value):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.optimizer = value  # before compile it is an attribute like others
    assert model.optimizer == value
    model.compile("sgd", LOGITS)
    with pytest.raises(TypeError, match="include_optimizer=False"):
        model.optimizer = value


def test_a_seed_is_a_whole_number():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        model.seed = None


def _files_at_each_epoch(folder, options):
    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(sorted(path.name for path in folder.iterdir()))
            logs["own"] = epoch * 10

    seen = []
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile("sgd", LOGITS)
    file = keras.callbacks.ModelCheckpoint(folder / "m{epoch}.keras", **options)
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[file, Looking()])
    return seen, history


def test_a_callback_behind_a_checkpoint_finds_its_file(tmp_path):
    seen, history = _files_at_each_epoch(tmp_path, {})
    assert seen == [["m1.keras"], ["m1.keras", "m2.keras"]]
    assert history.history["own"] == [0, 10]
    assert history.epoch == [0, 1]
    loaded = keras.models.load_model(tmp_path / "m2.keras")
    assert loaded.history.epoch == [0, 1]
    assert loaded.history.history["loss"] == history.history["loss"]


def test_what_subclasses_of_keras_callbacks_ask_for():
    class Plateau(keras.callbacks.ReduceLROnPlateau):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            seen.append((self.in_cooldown(), self.get_monitor_value(logs) == logs["loss"]))

    seen = []
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile("sgd", LOGITS)
    options = {"monitor": "loss", "patience": 1, "min_delta": 100.0, "cooldown": 1}
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[Plateau(**options)])
    assert seen == [(False, True), (True, True), (True, True), (True, True)]  # one epoch of waiting, and lowered again


@pytest.mark.parametrize("kind", ["EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"])
def test_a_callback_looks_at_the_value_that_its_subclass_gives(kind, tmp_path):
    cls = getattr(keras.callbacks, kind)

    class Own(cls):
        def get_monitor_value(self, logs):
            seen.append(super().get_monitor_value(logs))
            return 1.0 + len(seen)

    seen = []
    own = {"filepath": tmp_path / "m.keras", "save_best_only": True} if kind == "ModelCheckpoint" else {"patience": 9}
    callback = Own(monitor="loss", **own)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile("sgd", LOGITS)
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    assert seen == history.history["loss"]
    assert callback.best == 2.0


def test_what_keras_makes_of_models_besides(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    keras.utils.plot_model(model, show_shapes=True)
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ImportError, match="no whole numbers of 8 bits"):
        model.quantize("int8")


@keras.saving.register_keras_serializable(package="names")
def leaky(x):
    return keras.ops.maximum(x, 0.25 * x)


@keras.saving.register_keras_serializable(package="names")
class Gated(keras.layers.Layer):
    """Writes its activation down as keras.io's layers do."""

    def __init__(self, activation=leaky, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def call(self, x):
        return self.activation(x)

    def get_config(self):
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


@pytest.mark.parametrize(
    ("activation", "name"), [(leaky, "names>leaky"), ("relu", "relu"), (keras.activations.elu, "elu")]
)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_activations_in_configs_are_names(activation, name, suffix, tmp_path):
    model = keras.Sequential([keras.Input((5,)), Gated(activation)])
    assert model.layers[0].get_config()["activation"] == name
    model.save(tmp_path / f"m.{suffix}")
    loaded = keras.models.load_model(tmp_path / f"m.{suffix}")
    expected = {"names>leaky": np.maximum(X, X / 4), "relu": np.maximum(X, 0), "elu": np.where(X > 0, X, np.expm1(X))}
    np.testing.assert_allclose(loaded.predict(X), expected[name], atol=1e-6)


def test_functions_are_serialized_by_name():
    def own(x):
        return x

    rooms = (keras.activations, keras.losses, keras.metrics, keras.initializers, keras.regularizers, keras.constraints)
    assert [room.serialize(own) for room in rooms] == ["own"] * len(rooms)
    assert [room.serialize(leaky) for room in rooms] == ["names>leaky"] * len(rooms)
    assert keras.losses.serialize(keras.losses.mean_squared_error) == "mean_squared_error"
    assert keras.activations.deserialize("own", custom_objects={"own": own}) is own
    assert keras.activations.deserialize(keras.activations.serialize(leaky)) is leaky
    in_file = {"module": "builtins", "class_name": "function", "config": "own", "registered_name": "function"}
    assert keras.activations.deserialize(in_file, custom_objects={"own": own}) is own
    assert keras.activations.get(in_file | {"config": "relu"}) is keras.activations.relu


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, start, steps):
        self.start, self.steps = start, steps

    def __call__(self, step):
        return self.start / (1 + step / self.steps)

    def get_config(self):
        return {"start": self.start, "steps": self.steps}


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_schedule_of_ones_own_is_in_files(suffix, tmp_path):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(Falling(0.1, 3)), LOGITS)
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / f"m.{suffix}")
    loaded = keras.models.load_model(tmp_path / f"m.{suffix}", custom_objects={"Falling": Falling})
    for each in (model, loaded):
        each.fit(X, Y, epochs=2, verbose=0, shuffle=False)
    assert loaded.optimizer.iterations == 4
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _own_method(name):
    return lambda self, *args, **kwargs: (name, type(self).__name__)


@pytest.mark.parametrize("of_model", [False, True])
def test_a_class_may_have_any_name_of_the_librarys_for_a_method_of_its_own(of_model, tmp_path):
    base = keras.Model if of_model else keras.layers.Layer
    names = [
        n for n in _taken(AllNamesModel if of_model else AllNames) if n not in _own_names._METHODS_OF_KERAS.split()
    ]
    names = [n for n in names if callable(getattr(base, n, None))]
    assert {"lower", "forward", "call_on_arrays", "build_for"} <= set(names) and len(names) > 20

    def call(self, x):
        assert all(getattr(self, n)() == (n, "Own") for n in names)
        return self.d(x)

    def build(self, shape=None):
        self.d = keras.layers.Dense(2)

    own = {n: _own_method(n) for n in names} | {"call": call, "build": build}
    own["graph" if of_model else "structure"] = property(_own_method("property"))
    cls = type("Own", (base,), own | {"__module__": __name__})
    model = cls() if of_model else keras.Sequential([keras.Input((5,)), cls()])
    if of_model:
        model.build((None, 5))
    model.compile("sgd", LOGITS, metrics=["accuracy"])
    model.fit(X, Y, epochs=1, verbose=0)
    model.summary(print_fn=lambda text: None)
    assert len(model.get_weights()) == 2 and model.predict(X).shape == (8, 2)
    thing = model if of_model else model.layers[0]
    assert all(getattr(thing, n)() == (n, "Own") for n in names)
    assert (thing.graph if of_model else thing.structure) == ("property", "Own")
    model.save_weights(tmp_path / "m.weights.h5")
    model.load_weights(tmp_path / "m.weights.h5")

    class Further(cls):
        def lower(self):
            return "further"

    assert Further().lower() == "further" and Further().forward() == ("forward", "Further")


_TAKEN = ["lower", "graph", "nodes", "parts", "engine", "seed", "advised", "saved_as", "apply", "measured"]
_TAKEN += ["adds_loss", "output_form", "collecting", "declared_input_shape", "output_names", "call_on_arrays"]
_KINDS = {
    "method": (lambda: lambda self: 7, lambda thing, name: getattr(thing, name)()),
    "property": (lambda: property(lambda self: 7), getattr),
    "cached": (lambda: cached_property(lambda self: 7), getattr),
    "data": (lambda: 7, getattr),
}


@pytest.mark.parametrize("of_mixin", [False, True])
@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("name", _TAKEN)
def test_what_a_class_or_its_mixin_has_by_a_name_of_the_library(name: str, kind: str, of_mixin: bool) -> None:
    make, get = _KINDS[kind]
    value = make()
    if kind == "cached":
        value.__set_name__(None, name)
    for base in (keras.layers.Layer, keras.Model):

        class Shared:
            def __init__(self, base=base):
                base.__init__(self)
                self.dense = keras.layers.Dense(2, kernel_initializer="ones")

            def call(self, x):
                return self.dense(x) * get(self, name)

        bases = (type("Mixin", (Shared,), {name: value}),) if of_mixin else (Shared,)
        thing = type(base)("Own", (*bases, base), {} if of_mixin else {name: value})()
        model = thing if base is keras.Model else keras.Sequential([keras.Input((3,)), thing])
        x, y = np.ones((2, 3), "float32"), np.full((2, 2), 21, "float32")
        np.testing.assert_array_equal(model(x), y)
        model.compile("sgd", "mse")
        assert model.fit(x, y, verbose=0).history["loss"] == [0]
        np.testing.assert_array_equal(model.predict(x, verbose=0), y)
        assert get(thing, name) == 7


def test_a_property_with_a_setter_and_a_cached_value_that_is_set() -> None:
    class Own(keras.layers.Layer):
        lower = None

        def __init__(self):
            super().__init__()
            self.nodes = 12

        @property
        def nodes(self):
            return self._count

        @nodes.setter
        def nodes(self, value):
            self._count = min(value, 9)

        @cached_property
        def graph(self):
            return [self.nodes]

        def call(self, x):
            return x * self.nodes

    layer = Own()
    assert (layer.nodes, layer.lower, layer.graph, layer.graph is layer.graph) == (9, None, [9], True)
    layer.lower = 3
    layer.nodes = 4
    model = keras.Sequential([keras.Input((2,)), layer])
    np.testing.assert_array_equal(model(np.ones((1, 2))), [[4, 4]])
    assert (layer.lower, Own.lower, layer.nodes) == (3, None, 4)


@pytest.mark.parametrize("name", ["layers", "parts", "graph", "blocks"])
def test_a_list_of_layers_has_its_name_in_files_of_keras(name, tmp_path):
    """Keras 3.15.1 writes `layers/own/layers/dense/vars/0`; its models have that name, its layers have not."""

    h5py = pytest.importorskip("h5py")

    class Own(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            setattr(self, name, [keras.layers.Dense(5) for _ in range(2)])

        def call(self, x):
            for layer in getattr(self, name):
                x = layer(x)
            return x

    model = keras.Sequential([keras.Input((5,)), Own(name="own")])
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    assert len(model.weights) == 4
    model.save(path := tmp_path / "own.keras")
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        for place, weight in zip(("dense", "dense_1"), model.get_weights()[::2], strict=True):
            np.testing.assert_array_equal(file[f"layers/own/{name}/{place}/vars/0"][()], weight)
    loaded = keras.models.load_model(path, custom_objects={"Own": Own})
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
