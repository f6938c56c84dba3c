"""`minicnn.keras`: what older Kerases called things means what today's names mean, and says so once."""

import importlib
import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import _warning, layers
from minicnn.keras import backend as K
from minicnn.keras import tensorflow as tf
from minicnn.keras.layers import Activation, Conv2D, Convolution2D, Dense, Dropout, Flatten, MaxPooling2D
from minicnn.keras.models import Model, Sequential


@pytest.fixture(autouse=True)
def warned_of_nothing(monkeypatch):
    """Each test sees each warning anew, and fails only for those that it does not expect."""
    monkeypatch.setattr(_warning, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.random((40, 8, 8, 1), np.float32), np.eye(3, dtype=np.float32)[np.arange(40) % 3]


def network(**compile_arguments):
    mc.utils.set_random_seed(3)
    model = Sequential([keras.Input((8, 8, 1)), Flatten(), Dense(3, activation="softmax")])
    arguments = {"optimizer": "sgd", "loss": "categorical_crossentropy", "metrics": ["accuracy"], "backend": "numpy"}
    model.compile(**(arguments | compile_arguments))
    return model


def same_config(old, today):
    configs = [getattr(type(layer), "core_class", type(layer)).get_config(layer) for layer in (old, today)]
    for config in configs:
        del config["name"]
    return configs[0] == configs[1]


# ------------------------------------------------------------------------------------------------------ where names are


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("layers.core", "Dense"),
        ("layers.convolutional", "Convolution2D"),
        ("layers.normalization", "BatchNormalization"),
        ("layers.advanced_activations", "LeakyReLU"),
        ("layers.pooling", "MaxPooling2D"),
        ("layers.merge", "Concatenate"),
        ("layers.experimental.preprocessing", "Rescaling"),
        ("utils.np_utils", "to_categorical"),
        ("utils.vis_utils", "plot_model"),
        ("optimizers.experimental", "Adam"),
        ("engine.topology", "Layer"),
        ("objectives", "categorical_crossentropy"),
    ],
)
def test_modules_of_older_kerases(monkeypatch, path, name):
    monkeypatch.delitem(sys.modules, f"minicnn.keras.{path}", raising=False)
    with pytest.warns(FutureWarning, match=rf"keras\.{path} is a module of an older Keras: today .* in keras\.\w+"):
        module = importlib.import_module(f"minicnn.keras.{path}")
    today = importlib.import_module(f"minicnn.keras.{_today(path)}")
    assert getattr(module, name) is getattr(today, name)


def _today(path):
    return {"engine": "layers", "objectives": "losses"}.get(path.split(".")[0], path.split(".")[0])


@pytest.mark.parametrize(
    "module",
    [
        *("activations", "applications", "backend", "callbacks", "config", "constraints", "datasets", "initializers"),
        *("layers", "losses", "metrics", "models", "ops", "optimizers", "preprocessing.image", "random", "saving"),
        *("regularizers", "utils", "datasets.mnist", "datasets.cifar10", "datasets.fashion_mnist", "wrappers"),
    ],
)
def test_every_module_is_there_and_lists_what_it_has(module):
    module = importlib.import_module(f"minicnn.keras.{module}")
    for name in module.__all__:
        getattr(module, name)


def test_attributes_are_found_without_importing_modules():
    code = (
        "import minicnn.keras as keras\n"
        "keras.layers.Dense, keras.models.Sequential, keras.utils.np_utils.to_categorical, keras.backend.epsilon()\n"
        "keras.preprocessing.image.ImageDataGenerator, keras.datasets.mnist.load_data, keras.Sequential\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize(
    ("where", "name", "message"),
    [
        (
            "ops",
            "istft",
            "minicnn has no istft: a model's numbers are real; Fourier transforms and complex numbers are in",
        ),
        ("ops", "view_as_complex", "in tf.signal and tf.math alone, for data, as in Dataset.map"),
        ("tensorflow.signal", "rfft2d", "in tf.signal and tf.math alone"),
        ("layers", "LSTM", "minicnn has no LSTM: it is for convolutional networks on images"),
        ("layers", "Desne", "Did you mean 'Dense'"),
    ],
)
@pytest.mark.filterwarnings("ignore:minicnn has no")
def test_names_that_minicnn_does_not_have(where, name, message):
    with pytest.raises(ImportError, match=message):
        exec(f"from minicnn.keras.{where} import {name}; {name}()")


# -------------------------------------------------------------------------------------------------------------- classes


def test_classes_are_minicnns():
    own, core = Dense(3), mc.layers.Dense(3)
    for cls in (Dense, mc.layers.Dense, keras.layers.Layer, mc.layers.Layer):
        assert isinstance(own, cls)
        assert isinstance(core, cls)
    assert not isinstance(own, Conv2D)
    assert isinstance(mc.Sequential(), Sequential)
    assert isinstance(mc.Sequential(), keras.Model)
    assert issubclass(mc.layers.Dense, Dense)
    assert type(own).__name__ == "Dense"
    assert type(pickle.loads(pickle.dumps(keras.optimizers.Adam(0.5)))) is keras.optimizers.Adam


def test_subclasses_of_ones_own():
    class Twice(keras.layers.Layer):
        def __init__(self, factor=2, **options):
            super().__init__(**options)
            self.factor = factor

    class Wide(Dense):
        def __init__(self, factor=4, **options):
            super().__init__(3 * factor, **options)

    assert Twice(5).factor == 5
    assert Wide(2).units == 6
    assert not isinstance(Dense(3), Wide)


OLD_AND_TODAY = {
    "dense": (
        lambda: Dense(output_dim=4, init="he_normal", bias=False),
        lambda: Dense(4, kernel_initializer="he_normal", use_bias=False),
    ),
    "rows and columns": (
        lambda: Convolution2D(8, 3, 5, border_mode="same"),
        lambda: Conv2D(8, (3, 5), padding="same"),
    ),
    "square": (
        lambda: Convolution2D(8, 3, 3, border_mode="same", subsample=(2, 2)),
        lambda: Conv2D(8, (3, 3), padding="same", strides=2),
    ),
    "names": (lambda: Convolution2D(nb_filter=8, nb_row=3, nb_col=5), lambda: Conv2D(8, (3, 5))),
    "without old names": (lambda: Conv2D(8, 5, 5), lambda: Conv2D(8, 5)),
    "strides of 2": (lambda: Conv2D(8, 3, 2), lambda: Conv2D(8, 3, strides=2)),
    "strides of 1": (lambda: Conv2D(8, 3, 1), lambda: Conv2D(8, 3)),
    "pooling": (
        lambda: MaxPooling2D((2, 2), border_mode="same", dim_ordering="tf"),
        lambda: MaxPooling2D(2, padding="same"),
    ),
    "dropout": (lambda: Dropout(p=0.3), lambda: Dropout(0.3)),
    "alpha": (lambda: keras.layers.LeakyReLU(alpha=0.2), lambda: mc.layers.LeakyReLU(negative_slope=0.2)),
    "slope": (lambda: keras.layers.LeakyReLU(0.2), lambda: mc.layers.LeakyReLU(negative_slope=0.2)),
    "normalization": (
        lambda: keras.layers.BatchNormalization(mode=0, gamma_init="ones"),
        lambda: mc.layers.BatchNormalization(gamma_initializer="ones"),
    ),
    "normalization of each sample": (
        lambda: keras.layers.BatchNormalization(mode=1, momentum=0.9, epsilon=1e-5, beta_init="ones", center=False),
        lambda: mc.layers.LayerNormalization(epsilon=1e-5, beta_initializer="ones", center=False),
    ),
    "padding": (lambda: keras.layers.ZeroPadding2D((1, 1), dim_ordering="tf"), lambda: mc.layers.ZeroPadding2D(1)),
    "second name": (lambda: keras.layers.GlobalAvgPool2D(), lambda: mc.layers.GlobalAveragePooling2D()),
}


@pytest.mark.parametrize(("old", "today"), OLD_AND_TODAY.values(), ids=OLD_AND_TODAY)
def test_arguments_of_older_kerases(old, today):
    assert same_config(old(), today())


def test_an_unknown_argument_beside_a_mode_of_keras_1_is_refused():
    with pytest.raises(TypeError, match="Received: 'gama_init'"):
        keras.layers.BatchNormalization(mode=1, gama_init="ones")


def test_each_old_argument_is_said_once():
    with pytest.warns(FutureWarning, match=r"Dense\(output_dim=…\).*today it is units=") as caught:
        Dense(output_dim=3)
        Dense(output_dim=4)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_merging_functions():
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], keras.layers.add([a, b]))
    assert model.predict([np.ones((1, 4)), np.full((1, 4), 2.0)], verbose=0).tolist() == [[3.0] * 4]
    assert keras.layers.concatenate([a, b], name="both").shape == (None, 8)


# ----------------------------------------------------------------------------------------------------------- optimizers


def test_rates_and_decay():
    sgd = keras.optimizers.SGD(lr=0.1, decay=0.5, momentum=0.9)
    assert sgd.current_learning_rate == pytest.approx(0.1)
    sgd.iterations = 4
    assert sgd.current_learning_rate == pytest.approx(0.1 / (1 + 0.5 * 4))  # Keras 2.3's formula
    assert keras.optimizers.SGD(0.3, decay=1.0).current_learning_rate == pytest.approx(0.3)
    adam = keras.optimizers.Adam(lr=1e-4, epsilon=None, name="adam")
    assert mc.optimizers.Adam(1e-4, name="adam").get_config().items() <= adam.get_config().items()
    with pytest.warns(FutureWarning, match="learning_rate="):
        keras.optimizers.RMSprop(lr=0.01)


def test_values_of_the_learning_rate():
    model = network(optimizer=keras.optimizers.Adam(0.5))
    assert K.get_value(model.optimizer.lr) == 0.5
    K.set_value(model.optimizer.lr, 0.25)
    assert model.optimizer.learning_rate == 0.25
    model = network(optimizer="adam")
    model.optimizer.lr = 0.125
    assert float(model.optimizer.lr) == model.optimizer.learning_rate == 0.125


# --------------------------------------------------------------------------------------------------------------- models


def test_methods_of_older_kerases(data, capsys):
    x, y = data
    expected, model = network(), network()
    expected.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    batches = lambda: ((x[i : i + 10], y[i : i + 10]) for _ in iter(int, 1) for i in range(0, 40, 10))  # noqa: E731
    model.fit_generator(batches(), steps_per_epoch=4, epochs=2, verbose=0, workers=4, use_multiprocessing=True)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), expected.get_weights(), strict=True))
    probabilities = expected.predict(x, verbose=0)
    assert np.array_equal(model.predict_proba(x), probabilities)
    assert np.array_equal(model.predict_classes(x), probabilities.argmax(-1))
    assert np.allclose(model.predict_generator((x[i : i + 10] for i in range(0, 40, 10)), 4), probabilities, atol=1e-6)
    assert model.evaluate_generator(batches(), 4) == pytest.approx(expected.evaluate(x, y, verbose=0), rel=1e-5)
    assert not capsys.readouterr().out  # nothing is printed unless asked for
    model.evaluate_generator(batches(), 4, verbose=1)
    assert "loss" in capsys.readouterr().out
    assert model.metrics_names[0] == "loss"


def test_keras_1_counted_samples(data):
    x, y = data
    seen = []

    def batches():
        while True:
            seen.append(1)
            yield x[:20], y[:20]

    generator = batches()
    history = network().fit_generator(generator, samples_per_epoch=64, nb_epoch=3, verbose=0)
    assert len(history.history["loss"]) == 3
    assert len(seen) == 12  # the fourth batch of 20 brings an epoch's samples to 64 and more


def test_two_old_positional_arguments(data):
    x, y = data
    history = network().fit_generator(((x, y) for _ in range(9)), 2, 3, verbose=0)
    assert len(history.history["loss"]) == 3


def test_fit_and_its_history(data):
    x, y = data
    history = network().fit(x, y, nb_epoch=2, verbose=0, validation_data=(x, y), workers=2, max_queue_size=3)
    assert len(history.epoch) == 2
    with pytest.warns(FutureWarning, match="'accuracy'"):
        assert history.history["acc"] == history.history["accuracy"]
    assert history.history["val_acc"] == history.history["val_accuracy"]
    assert "acc" not in history.history.keys()  # noqa: SIM118
    with pytest.raises(KeyError):
        history.history["lss"]


SHORT = {"mae": "mean_absolute_error", "mse": "mean_squared_error", "mape": "mean_absolute_percentage_error"}
SHORT |= {"msle": "mean_squared_logarithmic_error", "accuracy": "acc"}


@pytest.mark.parametrize(("compiled", "asked"), [*SHORT.items(), *((b, a) for a, b in SHORT.items())])
@pytest.mark.parametrize("outputs", [1, 2])
def test_metrics_are_found_by_the_names_of_every_age(tmp_path, outputs, compiled, asked):
    inputs = keras.Input((3,))
    units = [keras.layers.Dense(1, activation="sigmoid", name=name)(inputs) for name in ("a", "b")[:outputs]]
    model = keras.Model(inputs, units if outputs == 2 else units[0])
    model.compile("sgd", "binary_crossentropy", metrics=[[compiled]] * outputs if outputs == 2 else [compiled])
    asked, known = (f"b_{name}" if outputs == 2 else name for name in (asked, compiled))
    watched = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            watched.append((logs[asked], logs.get(f"val_{asked}"), logs.get(f"val_{asked}x")))

    stop = keras.callbacks.EarlyStopping(monitor=f"val_{asked}", patience=9)
    file = keras.callbacks.ModelCheckpoint(str(tmp_path / f"{{val_{asked}:.6f}}.h5"), monitor=f"val_{asked}")
    x, y = np.random.default_rng(0).random((8, 3)), np.arange(8) % 2
    targets = [y] * outputs if outputs == 2 else y
    history = model.fit(x, targets, validation_data=(x, targets), verbose=0, callbacks=[Watch(), stop, file]).history
    assert watched == [(history[known][0], history[f"val_{known}"][0], None)] and known in history.keys()  # noqa: SIM118
    assert history[asked] == history[known] and history[f"val_{asked}"] == history[f"val_{known}"]
    assert stop.monitor == file.monitor == f"val_{known}" and stop.best == history[f"val_{known}"][0]
    assert [path.name for path in tmp_path.iterdir()] == [f"{history[f'val_{known}'][0]:.6f}.h5"]


def test_arguments_of_compile_that_change_nothing(data):
    x, y = data
    model = network(run_eagerly=True, jit_compile=True, steps_per_execution=10)
    assert len(model.fit(x, y, verbose=0).history["loss"]) == 1


def _from_file(suffix):
    def made(model, folder):
        pytest.importorskip("h5py")
        model.save(folder / f"m{suffix}")
        return keras.models.load_model(folder / f"m{suffix}")

    return made


MADE_AGAIN = {
    **{suffix: _from_file(suffix) for suffix in (".keras", ".h5", ".safetensors", ".npz")},
    "json": lambda model, folder: keras.models.model_from_json(model.to_json()),
    "config": lambda model, folder: keras.Model.from_config(model.get_config()),
    "clone": lambda model, folder: keras.models.clone_model(model),
}


@pytest.mark.parametrize("how", MADE_AGAIN)
def test_what_a_wrapper_holds_is_of_the_room_again(tmp_path, how):
    wrapped = layers.SpectralNormalization(layers.Dense(2, kernel_constraint="non_neg"))
    inputs = keras.Input((3,))
    again = MADE_AGAIN[how](Model(inputs, wrapped(inputs)), tmp_path).layers[-1]
    for wrapper in (again, type(wrapped).from_config(wrapped.get_config())):
        assert type(wrapper.layer) is layers.Dense
        assert wrapper.layer.get_config()["bias_constraint"] is None  # as Keras writes it


@pytest.mark.parametrize("how", MADE_AGAIN)
def test_layers_that_a_file_or_a_config_made_are_those_of_the_room(tmp_path, how):
    inside = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="last"), layers.LeakyReLU()], name="in")
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2DTranspose(2, 3, padding="same")(inside(inputs))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    again = MADE_AGAIN[how](model, tmp_path)
    again.set_weights(model.get_weights())
    kinds = [[type(part) for part in [*m.layers, *m.get_layer("in").layers]] for m in (model, again)]
    assert kinds[0] == kinds[1]
    assert again.layers[-1].output_shape == (None, 2) and len(again.layers[2].trainable_variables) == 2
    pictures = np.random.default_rng(0).random((2, 6, 6, 2), np.float32)
    assert again.layers[1](pictures).numpy().shape == (2, 4, 4, 3)
    seen = keras.Model(again.get_layer("in").input, again.get_layer("in").get_layer("last").output)
    gradients = []
    for whole in (False, True):  # layer by layer, as Grad-CAM of a saved network goes, and in one
        with tf.GradientTape() as tape:
            maps = seen(pictures)
            tape.watch(maps)
            y = again.get_layer("in").layers[-1](maps)
            for layer in [] if whole else again.layers[2:]:
                y = layer(y, training=False)
            if whole:
                rest = keras.Sequential([keras.Input((4, 4, 3)), *model.layers[2:]])
                y = rest(y, training=False)
            score = y[:, 1]
        gradients.append(np.asarray(tape.gradient(score, maps)))
    assert np.abs(gradients[0]).max() > 0 and np.allclose(*gradients, atol=1e-6)
    assert type(keras.Sequential.from_config(inside.get_config()).layers[0]) is layers.Conv2D
    assert type(layers.deserialize(layers.serialize(inside.layers[0]))) is layers.Conv2D
    assert type(mc.layers.get(layers.serialize(inside.layers[0]))) is mc.layers.Conv2D


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_carry_the_names_of_the_core(tmp_path, data, suffix):
    x, y = data
    pytest.importorskip("h5py")
    model = network(optimizer=keras.optimizers.Adam(lr=0.01, decay=1e-3))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    core = mc.load_model(tmp_path / f"m{suffix}")
    assert type(core) is mc.Sequential
    assert type(core.layers[-1]) is mc.layers.Dense
    own = keras.models.load_model(tmp_path / f"m{suffix}")
    assert type(own) is Sequential
    assert np.array_equal(own.predict_classes(x), model.predict_classes(x))
    assert own.optimizer.current_learning_rate == pytest.approx(0.01 / (1 + 1e-3 * 2), rel=1e-6)
    assert own.optimizer.lr == pytest.approx(0.01) and own.optimizer.decay == pytest.approx(1e-3)


def test_an_hdf5_file_of_any_name(tmp_path):
    pytest.importorskip("h5py")
    model = network()
    model.save(tmp_path / "model", save_format="h5")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    for name in ("folder/other", "weights.ckpt"):  # TensorFlow's SavedModel and checkpoint, which no one else reads
        with pytest.warns(UserWarning, match=r"save_format='tf'\): minicnn reads this file, and TensorFlow does not"):
            model.save(str(tmp_path / name), save_format="tf")
        again = keras.models.load_model(str(tmp_path / name))
        assert all(map(np.array_equal, again.get_weights(), model.get_weights()))
    with pytest.warns(UserWarning, match="TensorFlow does not"):
        model.save_weights(str(tmp_path / "of/weights.ckpt"), save_format="tf")
    again.load_weights(str(tmp_path / "of/weights.ckpt"))


def test_a_model_written_into_a_folder_that_is_there(tmp_path):
    """As TensorFlow's SavedModel and checkpoints were, both into one folder; what else is in it stays."""
    pytest.importorskip("h5py")
    (tmp_path / "log.csv").write_text("a")
    model = network()
    with pytest.warns(FutureWarning, match=r"^save: a folder that is there gets a file .*saved_model\.h5'$"):
        model.save(tmp_path)
    weights = model.get_weights()
    model.set_weights([w + 1 for w in weights])
    model.save_weights(f"{tmp_path}/")
    again = keras.models.load_model(str(tmp_path))
    assert all(map(np.array_equal, again.get_weights(), weights))
    again.load_weights(f"{tmp_path}/")
    assert all(map(np.array_equal, again.get_weights(), [w + 1 for w in weights]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.h5", "log.csv", "saved_model.h5"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises((OSError, ValueError)):
        keras.models.load_model(empty)


def test_a_call_leaves_the_arguments_of_a_layer_as_they_are(tmp_path):
    """`input_shape` is an argument, and the name of what a layer was called with."""
    shapes = {1: [(4,)], 2: [(4,), (4,)]}
    for name in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract", "Flatten", "GlobalMaxPooling2D"):
        layer = getattr(keras.layers, name)(name="mine")
        before = layer.get_config()
        two = name not in ("Flatten", "GlobalMaxPooling2D")
        inputs = [keras.Input((5, 4, 3)) for _ in shapes[1 + two]]
        model = Model(inputs, layer(inputs if two else inputs[0]))
        assert layer.get_config() == before
        keras.models.clone_model(model)
        keras.models.model_from_json(model.to_json())
        model.save(tmp_path / "m.safetensors")
        assert mc.load_model(tmp_path / "m.safetensors").input_shape == model.input_shape


def test_hasattr_of_a_module():
    """False, and a default is given; an import says why a name is missing."""
    for module in (keras, K, keras.layers, keras.utils, keras.losses, keras.optimizers):
        assert not hasattr(module, "is_not_there")
        assert getattr(module, "LSTM", None) is None
    with pytest.raises(AttributeError, match="no layers for sequences"):
        keras.layers.LSTM  # noqa: B018
    with pytest.warns(UserWarning, match="no layers for sequences"):  # scripts import more than they use
        from minicnn.keras.layers import GRU
    with pytest.raises(ImportError, match="no layers for sequences"):
        GRU(3)


def test_penalty_on_a_layer_of_layers(data):
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(2)

        def call(self, x):
            return self.dense(x)

    x = np.random.default_rng(1).normal(size=(6, 4))
    model = Sequential([keras.Input((4,)), Block(activity_regularizer="l2")])
    model.compile("sgd", "mse")
    out = model.predict(x).astype(np.float64)
    expected = np.square(out).mean() + 0.01 * np.square(out).sum() / 6
    assert model.evaluate(x, np.zeros((6, 2)), verbose=0) == pytest.approx(expected, rel=1e-5)


def test_json_and_clones():
    model = network()
    other = keras.models.model_from_json(model.to_json())
    assert type(other) is Sequential
    assert json.loads(other.to_json()) == json.loads(model.to_json())
    assert type(keras.models.clone_model(model)) is Sequential


def test_model_of_input_and_output():
    x = keras.Input((4,))
    model = Model(input=x, output=Dense(2)(x))
    assert model.output_shape == (None, 2)


def test_summary_takes_old_arguments(capsys):
    lines = []
    network().summary(line_length=80, positions=[0.3, 0.6, 1.0], print_fn=lines.append)
    network().summary(80, [0.3, 0.6, 1.0], lines.append)
    assert lines[0] == lines[1].replace("sequential_1", "sequential") or "Dense" in lines[1]
    network().summary(print_fn=None)
    assert "Dense" in capsys.readouterr().out


def test_checkpoints_with_a_period(tmp_path, data):
    x, y = data
    callback = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.safetensors"), period=2)
    network().fit(x, y, epochs=5, verbose=0, callbacks=[callback])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2.safetensors", "4.safetensors"]


# -------------------------------------------------------------------------------------------------------------- backend


def test_settings():
    assert K.image_data_format() == "channels_last"
    assert K.image_dim_ordering() == "tf"
    K.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match="data_format"):
        K.set_image_data_format("channels_middle")
    assert K.epsilon() == 1e-7
    assert K.floatx() == "float32"
    assert K.cast_to_floatx([1, 2]).dtype == np.float32


def test_functions_on_arrays():
    x = np.array([[1.0, -2.0], [3.0, 4.0]])
    for name, expected in (
        ("mean", 1.5),
        ("sum", 6.0),
        ("max", 4.0),
        ("square", x**2),
        ("abs", abs(x)),
        ("relu", np.maximum(x, 0)),
        ("exp", np.exp(x)),
        ("transpose", x.T),
    ):
        assert np.allclose(getattr(K, name)(x), expected), name
        assert np.allclose(getattr(keras.ops, name)(x), expected), name
    assert np.allclose(K.softmax(x), np.exp(x) / np.exp(x).sum(-1, keepdims=True))
    assert keras.ops.one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert keras.ops.cast(x, "int32").dtype == np.int32
    assert np.allclose(keras.ops.logsumexp(x + 1000), 1000 + np.log(np.exp(x).sum()))


def test_a_function_of_a_models_tensors(data):
    x, _ = data
    model = network()
    get = K.function([model.layers[0].input], [model.layers[0].output])
    assert np.array_equal(get([x])[0], x.reshape(40, 64))
    assert K.int_shape(model.output) == (None, 3)


def test_functions_on_a_models_tensors():
    x = keras.Input((2, 2, 3))
    y = keras.ops.relu(keras.ops.add(x, x))
    model = Model(x, [y, K.mean(y, axis=[1, 2]), keras.ops.reshape(y, (-1, 12)), Activation("tanh")(x)])
    array = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype(np.float32)
    made = model.predict(array, verbose=0)
    assert np.allclose(made[0], np.maximum(2 * array, 0))
    assert np.allclose(made[1], np.maximum(2 * array, 0).mean((1, 2)), atol=1e-6)
    assert made[2].shape == (2, 12)
    order = Model(x, keras.ops.argsort(x, axis=1))  # which has no gradient
    assert np.array_equal(order.predict(array, verbose=0), np.argsort(array, axis=1))
    with pytest.raises(TypeError, match="computed over the samples"):
        Activation("relu")(keras.ops.max(x, axis=0))
    with pytest.raises(TypeError, match="a layer takes tensors"):
        Activation("relu")(keras.ops.max(x))


@pytest.mark.parametrize("name", ["BCE", "KLD", "MAE", "MAPE", "MSE", "MSLE"])
def test_short_names_of_losses_are_functions_in_either_case(name):
    """As in Keras: the losses of samples, not their mean."""
    y, p = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.2, 0.7], [0.6, 0.3]])
    formulas = {
        "BCE": -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1),
        "KLD": (np.clip(y, 1e-7, 1) * np.log(np.clip(y, 1e-7, 1) / p)).sum(1),
        "MAE": abs(y - p).mean(1),
        "MAPE": 100 * (abs(y - p) / np.maximum(y, 1e-7)).mean(1),
        "MSE": ((y - p) ** 2).mean(1),
        "MSLE": ((np.log1p(y) - np.log1p(p)) ** 2).mean(1),
    }
    for given in (name, name.lower()):
        for get in (keras.losses.get, keras.losses.deserialize):
            np.testing.assert_allclose(get(given)(y, p), formulas[name], rtol=1e-5)


def test_accuracy_alone_is_the_class_that_compares():
    for get in (keras.metrics.get, keras.metrics.deserialize):
        for name in ("accuracy", "Accuracy"):
            metric = get(name)
            assert type(metric) is keras.metrics.Accuracy
            assert metric(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])) == 0.75


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("layers", "Flatten"), ("losses", "MeanSquaredError"), ("metrics", "Accuracy"), ("optimizers", "SGD")),
        *(("initializers", "Zeros"), ("regularizers", "L2"), ("constraints", "NonNeg")),
    ],
)
def test_deserialize_takes_classes_of_ones_own_and_registered_names(module, name):
    module = getattr(keras, module)
    own = type("Mine", (getattr(module, name),), {})
    assert type(module.deserialize({"class_name": "Mine", "config": {}}, custom_objects={"Mine": own})) is own
    assert type(module.deserialize({"class_name": "Mine", "config": {}}, {"Mine": own})) is own
    kept = keras.saving.register_keras_serializable("kept")(type(f"Kept{name}", (own,), {}))
    assert type(module.deserialize({"class_name": f"kept>Kept{name}", "config": {}})) is kept
    assert isinstance(module.deserialize(module.serialize(getattr(module, name)())), getattr(module, name))
