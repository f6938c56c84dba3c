"""What scripts of Keras 1 and 2 bring along: optimizers with ``get_updates``, generators, files, and options."""

import copy
import gc
import io
import itertools
import json
import os
import pickle
import sys
import warnings

import h5py
import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import tensorflow as tf
from minicnn.keras.models import load_model, model_from_json
from minicnn.keras.preprocessing.image import ImageDataGenerator, NumpyArrayIterator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ------------------------------------------------------------------------------------- optimizers with get_updates


class AdamOfKeras2(keras.optimizers.Optimizer):
    """Adam as Keras 2 wrote it: the number of the iteration is read before it is counted up."""

    def __init__(self, lr=0.01, decay=0.0, **kwargs):
        super().__init__(**kwargs)
        with K.name_scope(type(self).__name__):
            self.iterations = K.variable(0, dtype="int64", name="iterations")
            self.lr = K.variable(lr, name="lr")
            self.decay = K.variable(decay, name="decay")

    def get_updates(self, loss, params):
        grads = self.get_gradients(loss, params)
        self.updates = [K.update_add(self.iterations, 1)]
        t = K.cast(self.iterations, K.floatx()) + 1
        lr_t = self.lr / (1.0 + self.decay * K.cast(self.iterations, "float32"))
        lr_t = lr_t * (K.sqrt(1.0 - K.pow(0.999, t)) / (1.0 - K.pow(0.9, t)))
        ms = [K.zeros(K.int_shape(p), dtype=K.dtype(p)) for p in params]
        vs = [K.zeros(K.int_shape(p), dtype=K.dtype(p)) for p in params]
        self.weights = [self.iterations, *ms, *vs]
        for p, g, m, v in zip(params, grads, ms, vs, strict=True):
            m_t, v_t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * K.square(g)
            self.updates += [K.update(m, m_t), (v, v_t)]
            new_p = p - lr_t * m_t / (K.sqrt(v_t) + 1e-7)
            self.updates.append(tf.assign(p, new_p if p.constraint is None else p.constraint(new_p)))
        return self.updates

    def get_config(self):
        return {**super().get_config(), "lr": float(K.get_value(self.lr)), "decay": float(K.get_value(self.decay))}


def _trained(optimizer, rng):
    x = rng.normal(size=(32, 5)).astype("float32")
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    weights = [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.get_weights())]
    model.set_weights(weights)
    model.compile(optimizer, "mse")
    model.fit(x, x.sum(axis=1), batch_size=8, epochs=3, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_get_updates_is_the_rule(decay):
    own = _trained(AdamOfKeras2(0.02, decay), np.random.default_rng(1))
    of_library = _trained(keras.optimizers.Adam(lr=0.02, decay=decay), np.random.default_rng(1))
    for a, b in zip(own.get_weights(), of_library.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    assert int(own.optimizer.iterations) == 12


@pytest.mark.parametrize("clip", [{"clipnorm": 0.5}, {"clipvalue": 0.05}])
def test_gradients_for_get_updates_are_clipped(clip, rng):
    seen = []

    class Watching(AdamOfKeras2):
        def get_updates(self, loss, params):
            seen.append(self.get_gradients(loss, params))
            return super().get_updates(loss, params)

    _trained(Watching(**clip), rng)
    norms = [np.sqrt(sum(np.square(g).sum() for g in grads)) for grads in seen]
    largest = [max(np.abs(g).max() for g in grads) for grads in seen]
    assert max(norms if "clipnorm" in clip else largest) <= next(iter(clip.values())) * 1.0001
    with pytest.raises(TypeError, match="while get_updates runs"):
        Watching().get_gradients(None, [keras.layers.Dense(1)])


def test_an_own_rate_is_a_variable_that_callbacks_set(rng):
    model = _trained(AdamOfKeras2(0.02), rng)
    K.set_value(model.optimizer.lr, 0.5)
    model.optimizer.learning_rate = 0.25
    assert float(K.get_value(model.optimizer.lr)) == 0.25
    before = model.get_weights()
    x, y = np.zeros((8, 5), "float32"), np.zeros(8)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class AdamW(AdamOfKeras2):
    """Has a name of the library's."""


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.safetensors"])
def test_an_optimizer_with_get_updates_goes_into_files(name, rng, tmp_path):
    model = _trained(AdamW(0.02), rng)
    model.save(tmp_path / name)
    loaded = load_model(tmp_path / name, custom_objects={"AdamW": AdamW})
    assert isinstance(loaded.optimizer, AdamW)
    assert float(K.get_value(loaded.optimizer.lr)) == pytest.approx(0.02)
    loaded.train_on_batch(np.zeros((2, 5)), np.zeros(2))


def test_a_constructor_may_call_no_other():
    class Plain(keras.optimizers.Optimizer):
        def __init__(self, lr):
            self.lr = lr

        def get_updates(self, loss, params):
            return [K.update_sub(p, self.lr * g) for p, g in zip(params, self.get_gradients(loss, params), strict=True)]

    own = _trained(Plain(0.1), np.random.default_rng(1))
    of_library = _trained(keras.optimizers.SGD(0.1), np.random.default_rng(1))
    for a, b in zip(own.get_weights(), of_library.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert int(own.optimizer.iterations) == 12  # which masks of dropout go by


def test_rules_that_would_not_be_asked_are_refused():
    class Centralized(keras.optimizers.Adam):
        def get_updates(self, loss, params):
            return []

    with pytest.raises(TypeError, match="would train by the library's rule"):
        keras.Sequential([keras.layers.Dense(1)]).compile(Centralized(), "mse")


def test_dependencies_come_first():
    class Counting(keras.optimizers.Optimizer):
        seen = ()

        def __init__(self):
            self.count = K.variable(0.0)

        def get_updates(self, loss, params):
            count = tf.assign_add(self.count, 1.0)
            with tf.control_dependencies([count]):
                self.seen = (*self.seen, float(self.count))
            return [count]  # is run once

    optimizer = Counting()
    _trained(optimizer, np.random.default_rng(1))
    assert optimizer.seen[:3] == (1.0, 2.0, 3.0)


def test_decorators_of_older_classes():
    from minicnn.keras.legacy import interfaces

    assert interfaces.legacy_get_updates_support(len) is len


# ------------------------------------------------------------------------------------------------------- generators


class Darker(ImageDataGenerator):
    def random_transform(self, x, seed=None):
        return x - 5


class OfOnesOwn:
    """No `ImageDataGenerator`, as scripts of Keras 1 have them; an image with a batch axis fits, as there."""

    def random_transform(self, x):
        return (x * 2)[None]

    def standardize(self, x):
        return x + 1


def test_changes_of_ones_own(rng):
    x = rng.normal(size=(6, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(next(Darker(rescale=2).flow(x, batch_size=6, shuffle=False)), (x - 5) * 2, rtol=1e-6)
    batches = NumpyArrayIterator(x, np.arange(6), OfOnesOwn(), batch_size=4, dim_ordering="tf", save_to_dir=None)
    images, targets = next(batches)
    np.testing.assert_allclose(images, x[:4] * 2 + 1, rtol=1e-6)
    assert targets.tolist() == [0, 1, 2, 3]


def test_a_preprocessing_function_may_add_the_batch_axis(rng):
    x = rng.normal(size=(3, 4, 5, 3)).astype("float32")
    batch = next(ImageDataGenerator(preprocessing_function=lambda image: image[None] + 1).flow(x, shuffle=False))
    np.testing.assert_allclose(batch, x + 1, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------ files


def test_rows_of_an_hdf5_file(rng, tmp_path):
    x = rng.normal(size=(20, 3)).astype("float32")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = x
    rows = keras.utils.HDF5Matrix(str(tmp_path / "x.h5"), "x", start=2, end=18, normalizer=lambda a: a * 2)
    own = x[2:18] * 2
    assert (len(rows), rows.shape, rows.dtype, rows.ndim, rows.size) == (16, (16, 3), np.float32, 2, 48)
    for key in (slice(3, 9), slice(None, None, -3), slice(9, 3), 5, -1, [4, 1, 4, -2], np.array([[0], [7]])):
        np.testing.assert_array_equal(rows[key], own[key])
    np.testing.assert_array_equal(np.asarray(rows), own)
    with pytest.raises(IndexError, match="16 rows"):
        rows[16]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(rows, own.sum(axis=1), batch_size=4, shuffle="batch", verbose=0)
    np.testing.assert_array_equal(model.predict(rows, verbose=0), model.predict(own, verbose=0))


def test_a_function_that_first_values_come_from_is_found_again(tmp_path):
    def my_init(shape, dtype=None):
        return np.full(shape, 0.5)

    model = keras.Sequential([keras.layers.Dense(2, init=my_init, input_dim=3)])
    again = model_from_json(model.to_json(), custom_objects={"my_init": my_init})
    np.testing.assert_array_equal(again.get_weights()[0], np.full((3, 2), 0.5))
    with pytest.raises(mc.errors.FileFormatError, match="my_init"):
        model_from_json(model.to_json())


def test_yaml_is_json():
    model = keras.Sequential([keras.layers.Dense(2, input_dim=3)])
    text = model.to_yaml()
    assert json.loads(text) == json.loads(model.to_json())
    assert keras.models.model_from_yaml(text).output_shape == (None, 2)
    with pytest.raises(ValueError, match="safe_load"):
        keras.models.model_from_yaml("class_name: Sequential\n")


def test_a_model_is_saved_without_added_losses_that_are_code(tmp_path, rng):
    x = keras.Input((4,))
    y = keras.layers.Dense(4, "sigmoid")(keras.layers.Dense(2)(x))
    model = keras.Model(x, y, name="vae")
    model.add_loss(K.mean(4 * keras.metrics.binary_crossentropy(K.flatten(x), K.flatten(y))))
    model.compile("adam")
    data = rng.random((8, 4)).astype("float32")
    model.fit(data, verbose=0)
    with pytest.warns(UserWarning, match="losses that were added to model 'vae' are code"):
        model.save(tmp_path / "vae.h5")
    np.testing.assert_array_equal(
        load_model(tmp_path / "vae.h5").predict(data, verbose=0), model.predict(data, verbose=0)
    )


# -------------------------------------------------------------------------------------------------- names, arguments


@pytest.mark.parametrize(
    ("module", "names"),
    [
        *(("layers", "K np"), ("callbacks", "K np os"), ("models", "K np os"), ("layers.core", "K np")),
        *(("losses", "K"), ("metrics", "K"), ("optimizers", "K")),
    ],
)
def test_a_star_brings_what_the_files_of_keras_2_had_imported(module, names):
    """`from keras.callbacks import *`, and then `np.random.shuffle`, without another import."""
    brought = {}
    exec(f"from minicnn.keras.{module} import *", brought)
    expected = {"K": K, "np": np, "os": os}
    assert all(brought[name] is expected[name] for name in names.split())


def test_paths_of_tensorflow_python():
    from minicnn.keras.tensorflow.python.keras.engine.saving import load_model as found

    assert found is load_model
    assert K.common.normalize_data_format(None) == "channels_last"


def test_options_of_the_command_line(monkeypatch, capsys):
    flags = tf.app.flags
    flags.DEFINE_string("folder", "./data", "where 100% of the data are")
    flags.DEFINE_integer("epochs", 2, "how many")
    flags.DEFINE_boolean("augment", False, "whether")
    flags.DEFINE_integer("epochs", 3, "a cell that runs again")
    flags.DEFINE_float("rate", 0.1, "a number")
    flags.DEFINE_bool("shuffle", True, "whether")
    words = ["train.py", "--epochs=7", "--augment", "rest", "--rate", "0.5", "--noshuffle"]
    monkeypatch.setattr(sys, "argv", words)
    found = tf.flags.FLAGS
    assert (found.folder, found.epochs, found.augment, found.rate, found.shuffle) == ("./data", 7, True, 0.5, False)
    found.epochs = 1
    assert flags.FLAGS.epochs == 1
    with pytest.raises(AttributeError, match="DEFINE_string"):
        _ = flags.FLAGS.unknown
    seen = []
    with pytest.raises(SystemExit):
        tf.app.run(seen.append)
    assert seen == [["train.py", "rest"]]
    monkeypatch.setattr(sys, "argv", ["train.py", "--rate=much"])
    flags.DEFINE_float("rate", 0.1, "again")
    with pytest.raises(SystemExit):
        _ = found.rate
    assert "argument --rate: invalid float value: 'much'" in capsys.readouterr().err


def test_options_that_are_given_several_times(monkeypatch, capsys):
    flags = tf.compat.v1.flags
    flags.DEFINE_multi_string("sets", "first", "names")
    flags.DEFINE_multi_integer("sizes", [1, 2], "numbers")
    flags.DEFINE_multi_float("rates", None, "numbers")
    flags.DEFINE_multi_enum("kinds", ["a"], ["a", "b"], "words")
    flags.DEFINE_spaceseplist("words", "", "in one text")
    rest = flags.FLAGS(["train.py", "--sets=x", "--sets=y", "--rates=0.5", "--kinds=b", "--words=u v", "rest"])
    assert rest == ["train.py", "rest"]
    assert flags.FLAGS.sets == ["x", "y"] and flags.FLAGS.rates == [0.5] and flags.FLAGS.kinds == ["b"]
    assert flags.FLAGS.sizes == [1, 2] and flags.FLAGS.words == ["u", "v"]
    assert {"sets", "sizes"} <= flags.FLAGS.flag_values_dict().keys()
    flags.FLAGS(["train.py"])
    assert flags.FLAGS.sets == ["first"] and flags.FLAGS.rates is None
    with pytest.raises(SystemExit):
        flags.FLAGS(["train.py", "--kinds=c"])
    flags.mark_flag_as_required("rates")
    with pytest.raises(SystemExit):
        flags.FLAGS(["train.py"])
    assert "the flag --rates=… has to be given" in capsys.readouterr().err
    flags.DEFINE_multi_float("rates", None, "numbers")  # anew: it is not required any more
    assert flags.FLAGS(["train.py"]) == ["train.py"]
    flags.DEFINE_bool("rates", True, "whether")  # and of another kind
    assert flags.FLAGS(["train.py", "--norates"]) == ["train.py"] and flags.FLAGS.rates is False
    flags.DEFINE_integer("rates", 1, "how many")
    assert flags.FLAGS(["train.py", "--rates=7"]) == ["train.py"] and flags.FLAGS.rates == 7
    assert flags.FLAGS(["train.py", "--norates"]) == ["train.py", "--norates"]


@pytest.mark.parametrize("name", ["lite", "saved_model"])
def test_other_formats_of_tensorflow_are_refused_with_what_to_do_instead(name):
    with pytest.raises(AttributeError, match=rf"no tf.{name}: .*model.export.*format=.onnx"):
        getattr(tf, name)


def test_layers_are_found_by_the_names_that_keras_1_and_2_gave(monkeypatch):
    monkeypatch.setattr("minicnn.keras._warning._warned", set())
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((12, 12, 1))])
    for _ in range(2):
        model.add(keras.layers.Conv2D(2, 3))
        model.add(keras.layers.MaxPooling2D())
        model.add(keras.layers.BatchNormalization())
    assert keras.backend.image_dim_ordering() == "tf"  # of Keras 1: the script is an older one
    with pytest.warns(FutureWarning, match="what they called 'conv2d_1' is 'conv2d'"):
        assert model.get_layer("conv2d_1") is model.layers[3]  # today's names come first
    names = {"conv2d_2": 3, "convolution2d_1": 0, "maxpooling2d_2": 4, "batchnormalization_1": 2, "max_pooling2d_2": 4}
    for name, index in names.items():
        with pytest.warns(UserWarning, match="they counted from 1"):
            assert model.get_layer(name) is model.layers[index]
    model.add(keras.layers.Flatten(name="flat_1"))
    for name in ("conv2d_4", "dense_1", "dense", "flat_2"):
        with pytest.raises(ValueError, match="Unknown layer"):
            model.get_layer(name)


def test_tensors_at_the_places_of_a_model():
    x, other = keras.Input((3,)), keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    called = model(other)
    assert model.get_input_at(0) is x
    assert model.get_output_at(0) is model.output
    assert (model.get_input_at(1), model.get_output_at(1)) == (other, called)
    with pytest.raises(ValueError, match="called 1 times"):
        model.get_input_at(2)


def test_one_hot_rows_of_keras_1():
    np.testing.assert_array_equal(keras.utils.np_utils.to_categorical([1, 0], nb_classes=3), np.eye(3)[[1, 0]])


def test_nadam_of_keras_2():
    """Its momentum rose with 0.96 to the power of schedule_decay · t; today's has 1 there."""
    assert keras.optimizers.nadam(lr=0.1).get_config()["learning_rate"] == pytest.approx(0.1)
    for options in ({"lr": 0.1}, {"schedule_decay": 0.004}, {"schedule_decay": None}, {"decay": 0.1}):
        assert keras.optimizers.Nadam(**options).get_config()["schedule_decay"] == 0.004
        assert isinstance(keras.optimizers.Nadam(**options).learning_rate, float)  # decay= changed nothing
    assert keras.optimizers.Nadam(schedule_decay=0.1).schedule_decay == 0.1
    assert "schedule_decay" not in keras.optimizers.Nadam().get_config()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("RMSprop", {"epsilon_in_root": False}),
        ("Adagrad", {"epsilon_in_root": False}),
        ("Nadam", {"schedule_decay": 0.004}),
    ],
)
def test_the_module_of_optimizers_before_keras_2_11_has_their_rules(name, rule):
    from minicnn.keras.optimizers import legacy

    made, today = getattr(legacy, name)(0.1), getattr(keras.optimizers, name)
    assert rule.items() <= made.get_config().items()
    assert isinstance(made, getattr(mc.optimizers, name))
    assert not rule.keys() & today(0.1).get_config().keys()
    back = keras.optimizers.get(keras.optimizers.serialize(made))
    assert type(back) is today
    assert {**back.get_config(), "name": 0} == {**made.get_config(), "name": 0}
    assert keras.src.optimizers.legacy.SGD is legacy.SGD is keras.optimizers.SGD


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("ordering", ["tf", "th"])
def test_the_size_behind_a_deconvolution_is_what_keras_1_was_told(size, ordering):
    shape = (None, size, size, 4) if ordering == "tf" else (None, 4, size, size)
    layer = keras.layers.Deconvolution2D(4, 2, 2, shape, subsample=(2, 2), dim_ordering=ordering)
    assert layer(keras.Input((32, 32, 3) if ordering == "tf" else (3, 32, 32))).shape == shape
    with pytest.warns(UserWarning, match="output_shape with"):  # Theano did not look at it
        wrong = keras.layers.Deconvolution2D(4, 2, 2, (None, 70, 70, 4), subsample=(2, 2))
        assert wrong(keras.Input((32, 32, 3))).shape == (None, 64, 64, 4)


def test_sums_of_means_before_a_gradient(rng):
    x = keras.Input((6, 6, 1))
    h = keras.layers.Conv2D(3, 3, activation="tanh")(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(h)))
    parts = [K.mean(h[..., i]) for i in range(3)]
    loss = K.mean(K.mean(model.output[..., 1]) + 0.5 * K.sum(parts))
    get = K.function([x], [*parts, loss, K.gradients(loss, x)[0]])
    image = rng.normal(size=(1, 6, 6, 1)).astype("float32")
    *means, total, gradient = get([image])
    maps = keras.Model(x, h).predict(image, verbose=0)
    np.testing.assert_allclose(means, maps.mean(axis=(0, 1, 2)), rtol=1e-5, atol=1e-6)  # of float32, which cancel
    np.testing.assert_allclose(
        total, model.predict(image, verbose=0)[0, 1] + 0.5 * maps.mean(axis=(0, 1, 2)).sum(), rtol=1e-5, atol=1e-6
    )
    step = 1e-2 * rng.normal(size=image.shape)
    up, down = (get([image + sign * step])[3] for sign in (1, -1))
    usual = (
        np.linalg.norm(gradient) * np.linalg.norm(step) / np.sqrt(step.size)
    )  # a direction may be across the gradient
    assert (up - down) / 2 == pytest.approx((gradient * step).sum(), rel=1e-2, abs=1e-2 * usual)


def test_a_loss_against_given_targets_has_a_gradient(rng):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    x, y = rng.normal(size=(5, 3)), np.eye(2)[[0, 1, 1, 0, 1]]
    for loss in (keras.metrics.mean_squared_error, keras.losses.categorical_crossentropy):
        order = (K.variable(y), model.output) if loss.__name__ == "categorical_crossentropy" else (model.output, y)
        get = K.function([model.input], [loss(*order), K.gradients(loss(*order), model.input)[0]])
        losses, gradient = get([x])
        assert losses.shape == (5,)
        step = 1e-2 * rng.normal(size=x.shape)
        up, down = (get([x + sign * step])[0].sum() for sign in (1, -1))
        assert (up - down) / 2 == pytest.approx((gradient * step).sum(), rel=1e-2, abs=1e-5)


def test_style_of_one_picture_and_content_of_another(rng):
    """As the examples of Keras 1 and 2 have it: pictures and a placeholder, one after the other, are the input."""
    pictures = rng.normal(size=(2, 1, 6, 5, 3)).astype("float32")
    combination = K.placeholder((1, 6, 5, 3))
    given = K.concatenate([K.variable(pictures[0]), K.constant(pictures[1]), combination], axis=0)
    features = keras.layers.Conv2D(4, 3, activation="tanh", name="conv")(given)
    model = keras.Model(given, keras.layers.BatchNormalization()(features))

    def gram(x):
        rows = K.batch_flatten(K.permute_dimensions(x, (2, 0, 1)))
        return K.dot(rows, K.transpose(rows))

    loss = K.variable(0.0)
    loss += 0.5 * K.sum(K.square(features[2, :, :, :] - features[0, :, :, :]))
    loss += K.sum(K.square(gram(features[2]) - gram(features[1]))) / 4.0
    loss += 0.1 * K.sum(K.pow(K.square(combination[:, :5, :, :] - combination[:, 1:, :, :]), 1.25))
    gradients = K.gradients(loss, combination)
    get = K.function([combination], [loss, *gradients])
    x = rng.normal(size=(1, 6, 5, 3)).astype("float32")
    value, gradient = get([x])

    maps = keras.Model(given, features).predict(np.concatenate([*pictures, x]), verbose=0).astype("float64")
    grams = [m.reshape(-1, 4).T @ m.reshape(-1, 4) for m in maps]
    smooth = (np.square(x[:, :5] - x[:, 1:]).astype("float64") ** 1.25).sum()
    wanted = 0.5 * np.square(maps[2] - maps[0]).sum() + np.square(grams[2] - grams[1]).sum() / 4 + 0.1 * smooth
    assert value == pytest.approx(wanted, rel=1e-4)
    step = 1e-2 * rng.normal(size=x.shape)
    up, down = (get([x + sign * step])[0] for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx((gradient * step).sum(), rel=2e-2)
    assert model.predict(np.concatenate([*pictures, x]), verbose=0).shape == (3, 4, 3, 4)
    with pytest.raises(ImportError, match="of gradients"):
        K.function([combination], K.gradients(K.sum(K.square(gradients[0])), combination))([x])


def test_a_placeholder_is_an_input():
    assert K.placeholder(shape=(None, 4, 4, 1)).shape == (None, 4, 4, 1)
    assert K.placeholder(ndim=3).shape == (None, None, None)
    x = K.placeholder((2, 3), name="given")
    assert keras.Model(x, keras.layers.Dense(1)(x)).predict(np.zeros((2, 3)), verbose=0).shape == (2, 1)


@pytest.mark.parametrize("of", [0, 1])
def test_a_loss_of_zeros_leaves_the_training_to_added_ones(of, rng):
    x = keras.Input((3,))
    y = keras.layers.Dense(1, kernel_initializer="ones")(x)
    model = keras.Model(x, y)
    model.add_loss(K.mean(K.square(y)))
    model.compile("sgd", loss=lambda *both: K.zeros_like(both[of]))
    data = rng.normal(size=(8, 3)).astype("float32")
    losses = model.fit(data, data[:, :1], batch_size=8, epochs=3, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(np.square(data.sum(axis=1)).mean(), rel=1e-5)
    assert losses[2] < losses[0]
    model.compile("sgd", loss=lambda y_true, y_pred: K.ones_like(y_true))
    with pytest.raises(TypeError, match="does not depend on y_pred"):
        model.train_on_batch(data, data[:, :1])


def test_imports_of_older_scripts_are_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        from minicnn.keras.legacy import interfaces  # noqa: F401

        from minicnn.keras.utils import HDF5Matrix  # noqa: F401


def test_what_an_optimizer_knew_of_another_model_is_forgotten(rng):
    """With the same weights and data, the first loss and the second are those of the first model."""

    class Momentum(keras.optimizers.Optimizer):
        def __init__(self, rate=0.1, **kwargs):
            super().__init__(**kwargs)
            self.rate = rate

        def get_updates(self, loss, params):
            self.updates = []
            for p, g in zip(params, self.get_gradients(loss, params), strict=True):
                v = K.zeros(K.int_shape(p))
                new = 0.9 * v - self.rate * g
                self.updates += [K.update(v, new), K.update(p, p + new)]
            return self.updates

    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    rule, seen = Momentum(), []
    start = [rng.normal(size=(3, 2)), np.zeros(2)]
    for _ in range(3):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="one_name")])
        model.set_weights(start)
        model.compile(rule, "mse")
        seen.append([model.train_on_batch(x, y) for _ in range(3)])
        del model
        gc.collect()  # while a model has the optimizer, another one gets a copy
    assert seen[0] == seen[1] == seen[2]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    model.compile(rule, "mse")
    model.fit(x, y, epochs=1, verbose=0)
    model.layers[0].trainable = False
    model.compile(rule, "mse")
    model.fit(x, y, epochs=1, verbose=0)


def test_an_optimizer_of_ones_own_with_apply(rng):
    class Plain(keras.optimizers.Optimizer):
        def apply(self, ops, theta, grad, slots, learning_rate):
            theta -= learning_rate * grad

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    rule = Plain(0.1)
    for each, how in ((model, rule), (other, keras.optimizers.SGD(0.1))):
        each.compile(how, "mse")
        each.fit(x, y, epochs=3, batch_size=8, verbose=0)
    for ours, right in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, right, rtol=1e-5, atol=1e-6)
    second = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    second.compile(rule, "mse")  # gets a copy
    assert second.optimizer.learning_rate == pytest.approx(0.1)


class AdamOfKeras3(keras.optimizers.Optimizer):
    """Adam as today's Keras has it written, by the formulas of Kingma and Ba (2015)."""

    def __init__(self, learning_rate=0.01, keep=0.9, **options):
        super().__init__(learning_rate=learning_rate, **options)
        self.keep = keep

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.m = [self.add_variable_from_reference(reference_variable=v, name="m") for v in variables]
        self.v = [self.add_variable_from_reference(v, "v") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        ops = keras.ops
        m, v = (each[self._get_variable_index(variable)] for each in (self.m, self.v))
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(m, (1 - self.keep) * (gradient - m))
        v.assign(0.999 * v + 0.001 * ops.square(gradient))
        rate = learning_rate * ops.sqrt(1 - ops.power(0.999, step)) / (1 - ops.power(self.keep, step))
        self.assign_sub(variable, ops.divide(ops.multiply(rate, m), ops.sqrt(v) + 1e-7))

    def get_config(self):
        return {**super().get_config(), "keep": self.keep}


@pytest.mark.parametrize("how", ["fit", "tape"])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"clipnorm": 0.05}, {"gradient_accumulation_steps": 2}])
def test_update_step_is_the_rule(how, options, rng):
    """Compared with the library's Adam, whose formulas are the same."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 2)).astype("float32")
    for each, rule in ((model, AdamOfKeras3(0.01, **options)), (other, keras.optimizers.Adam(0.01, **options))):
        if how == "fit":
            each.compile(rule, "mse")
            each.fit(x, y, epochs=4, batch_size=8, verbose=0)
            continue
        for _ in range(4):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(each(x) - y))
            rule.apply_gradients(zip(tape.gradient(loss, each.trainable_weights), each.trainable_weights, strict=True))
        assert rule.iterations == 4 // options.get("gradient_accumulation_steps", 1)  # updates, not batches
    for ours, right in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-5)


def test_get_updates_moves_variables_by_apply_gradients():
    variable = tf.Variable([1.0, 2.0])
    AdamOfKeras2(0.01).apply_gradients([(np.array([1.0, -2.0], np.float32), variable)])
    np.testing.assert_allclose(variable.numpy(), [0.99, 2.01], rtol=1e-5)  # Adam's first step is lr · sign(g)


def test_an_optimizer_with_update_step_goes_into_files(rng, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(AdamOfKeras3(keep=0.8), "mse")
    model.fit(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), verbose=0)
    assert [np.shape(v) for v in model.optimizer.variables] == [(), (), (3, 2), (2,), (3, 2), (2,)]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"AdamOfKeras3": AdamOfKeras3})
    assert loaded.optimizer.keep == pytest.approx(0.8)
    loaded.fit(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), verbose=0)


class Saturating(keras.regularizers.Regularizer):
    def __init__(self, factor=0.1):
        self.factor = factor

    def __call__(self, x):
        return self.factor * tf.reduce_sum(tf.abs(tf.tanh(3 * x)))

    def get_config(self):
        return {"factor": self.factor}


@pytest.mark.parametrize("how", ["fit", "tape"])
def test_a_regularizer_with_a_call_is_differentiated(how, rng, tmp_path):
    """Of a loss that is 0 only the penalty f · Σ|tanh 3w| is left, whose slope is 3 f · sign(w) · (1 - tanh² 3w)."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer=Saturating(0.2))])
    w, x = model.get_weights()[0].astype(np.float64), np.zeros((4, 3), np.float32)
    expected = w - 0.5 * 3 * 0.2 * np.sign(w) * (1 - np.tanh(3 * w) ** 2)
    np.testing.assert_allclose(float(model.losses[0]), 0.2 * np.abs(np.tanh(3 * w)).sum(), rtol=1e-5)
    rule = keras.optimizers.SGD(0.5)
    model.compile(rule, "mse")
    if how == "fit":
        model.fit(x, np.zeros((4, 2)), batch_size=4, verbose=0)
    else:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x))) + sum(model.losses)
        rule.apply_gradients(zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights, strict=True))
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Saturating": Saturating})
    assert loaded.layers[0].kernel_regularizer.factor == pytest.approx(0.2)


@pytest.mark.parametrize("base", ["L2", "l2", "L1L2", "OrthogonalRegularizer"])
def test_a_subclass_of_a_penalty_of_the_library_goes_by_its_call(base, rng):
    """It may ask the class above; where it has no ``__call__`` of its own, the class above it counts."""
    base = getattr(keras.regularizers, base)

    class Threefold(base):
        def __call__(self, x):
            return 3 * super().__call__(x)

    class Same(base):
        pass

    class Further(Threefold):
        pass

    w = rng.normal(size=(3, 2)).astype(np.float32)
    moved = []
    for rule in (base(0.1), Same(0.1), Threefold(0.1), Further(0.1)):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False, kernel_regularizer=rule)])
        model.set_weights([w])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        loss = model.fit(np.zeros((4, 3)), np.zeros((4, 2)), batch_size=4, verbose=0).history["loss"][0]
        moved.append((loss, float(rule(w)), *(model.get_weights()[0] - w).ravel()))
        assert isinstance(rule, base)
    assert np.any(np.abs(moved[0]) > 1e-3)
    for ours, factor in zip(moved[1:], (1, 3, 3), strict=True):
        np.testing.assert_allclose(ours, factor * np.array(moved[0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_cumulative_functions_take_tensorflows_arguments(name):
    """Without an axis they go along the first one, as TensorFlow's; NumPy's would flatten. Compared with loops."""
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    for axis, exclusive, reverse in itertools.product((0, 1, -1), (False, True), (False, True)):
        expected = np.zeros_like(x)
        lines = expected if axis else expected.T
        for line, numbers in zip(lines, x if axis else x.T, strict=True):
            for i in range(len(numbers)):
                part = numbers[i + exclusive :] if reverse else numbers[: i + 1 - exclusive]
                line[i] = part.sum() if name == "cumsum" else part.prod()
        for module in (tf, tf.math):
            ours = getattr(module, name)(x, axis=axis, exclusive=exclusive, reverse=reverse)
            np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(getattr(tf, name)(x), getattr(np, name)(x, axis=0))


def test_the_context_of_the_only_replica():
    context = tf.distribute.get_replica_context()
    assert context.num_replicas_in_sync == 1
    np.testing.assert_array_equal(context.all_reduce("SUM", np.arange(3.0)), np.arange(3.0))


def test_pictures_and_masks_are_changed_alike(rng):
    """Generators of one's own go by the seed of `flow`, whoever draws the numbers; pictures come as float32."""

    class Own(keras.preprocessing.image.ImageDataGenerator):
        def random_transform(self, x, seed=None):
            assert x.dtype == np.float32
            x = super().random_transform(x, seed)
            return x[:, ::-1] if np.random.rand() < 0.5 else x

    pictures = rng.integers(0, 255, (6, 8, 8, 1)).astype(np.uint8)
    state = np.random.get_state()[1].copy()
    flows = [Own(rotation_range=40, width_shift_range=0.2).flow(pictures, batch_size=4, seed=1) for _ in range(2)]
    for _ in range(3):
        first, second = (next(flow) for flow in flows)
        assert np.array_equal(first, second)
    assert np.array_equal(state, np.random.get_state()[1])


def test_a_moving_average_in_a_call_of_a_layer_moves(rng):
    class Counting(keras.layers.Layer):
        def build(self, shape):
            self.m = self.add_weight(shape=(), initializer="zeros", trainable=False, name="m")
            super().build(shape)

        def call(self, x, training=None):
            K.moving_average_update(self.m, K.mean(x), 0.9)
            return x

    layer = Counting()
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3))
    model.fit(x, np.zeros((4, 1)), epochs=2, verbose=0)
    assert float(np.asarray(layer.m)) == pytest.approx(0.19, rel=1e-5)
    model.predict(x, verbose=0)
    assert float(np.asarray(layer.m)) == pytest.approx(0.19, rel=1e-5)


# -------------------------------------------------------------- what scripts that classify pictures brought along


def test_variables_in_place_give_arrays():
    rate = kept = K.variable(0.5)
    rate *= 1.0 / (1.0 + K.variable(1.0))
    assert float(rate) == 0.25 and float(kept.value) == 0.5
    rate = kept
    rate += 1
    assert float(rate) == 1.5 and float(kept.value) == 0.5


def test_arrays_in_place_take_variables():
    """An array, also one that another name holds, is changed as by an array."""
    total = same = np.zeros(2, np.float32)
    total += K.variable([1.0, 2.0])
    np.add(K.variable([1.0, 1.0]), total, out=total)
    np.testing.assert_array_equal(same, [2.0, 3.0])


def test_an_update_is_taken_back_once():
    """What a variable held before is forgotten then: it is as large as the variable, and no longer true later."""
    from minicnn.keras._updates import undo

    variable = K.variable([1.0, 2.0])
    undo([K.update(variable, [3.0, 4.0])])
    np.testing.assert_array_equal(variable.value, [1.0, 2.0])
    variable.assign([5.0, 6.0])
    undo([variable])
    np.testing.assert_array_equal(variable.value, [5.0, 6.0])


def test_a_file_object_is_no_path():
    with pytest.raises(TypeError, match="a path is a string"):
        keras.models.load_model(io.BytesIO(b""))


def test_small_functions_of_keras_1(rng):
    from minicnn.keras.utils import np_utils

    np.testing.assert_array_equal(np_utils.to_categorical(["2", "0"], 4), np.eye(4)[[2, 0]])
    for column in (["2", "0"], [2, 0], [2.0, 0.0], [np.int64(2), np.uint8(0)]):
        np.testing.assert_array_equal(np_utils.to_categorical(np.array(column, object), 4), np.eye(4)[[2, 0]])
    for names in (["b"], np.array(["1", "b"], object)):
        with pytest.raises(ValueError, match=r"return_inverse.*'b'"):
            np_utils.to_categorical(names)
    p = rng.random((5, 3))
    np.testing.assert_array_equal(np_utils.categorical_probas_to_classes(p), p.argmax(1))
    np.testing.assert_array_equal(np_utils.probas_to_classes(p), p.argmax(1))
    np.testing.assert_array_equal(np_utils.probas_to_classes([[0.2], [0.7]]), [0, 1])
    with pytest.warns(UserWarning, match="LRN2D"):
        from minicnn.keras.layers import LRN2D
    with pytest.raises(ImportError, match="LRN2D"):
        LRN2D()


def test_what_servers_and_keras_0_ask_of_a_model(rng):
    x, y = rng.random((8, 3)), np.eye(2)[np.arange(8) % 2]
    model = keras.Sequential([keras.layers.Dense(2, activation="softmax", input_shape=(3,))])
    model._make_predict_function()
    model.compile("sgd", "categorical_crossentropy")
    right = float(np.mean(model.predict(x, verbose=0).argmax(1) == y.argmax(1)))
    loss, accuracy = model.evaluate(x, y, show_accuracy=True, verbose=0)
    assert (loss, accuracy) == pytest.approx((model.evaluate(x, y, verbose=0), right))  # which is one number
    for result in (
        model.test_on_batch(x, y, accuracy=True),
        model.test_on_batch(x, y, True),
        model.test_on_batch(x, y, True, np.ones(8)),
        model.train_on_batch(x, y, accuracy=True),
    ):
        assert result == pytest.approx([loss, right])
    assert len(model.train_on_batch(x, y, True, {0: 1.0, 1: 2.0})) == 2
    assert np.ndim(model.train_on_batch(x, y, False)) == np.ndim(model.train_on_batch(x, y)) == 0
    named = []
    watch = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: named.extend(model.metrics_names))
    fit = model.fit(x, y, show_accuracy=True, validation_data=(x, y), nb_epoch=2, verbose=0, callbacks=[watch])
    assert len(fit.history["acc"]) == len(fit.history["val_acc"]) == 2 and named == ["loss", "accuracy"]
    assert fit.history["val_acc"][-1] == model.evaluate(x, y, show_accuracy=True, verbose=0)[1]
    assert model.metrics_names == ["loss"] and model.fit(x, y, verbose=0).history.keys() == {"loss"}
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    assert len(model.evaluate(x, y, show_accuracy=True, verbose=0)) == 2
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.add_loss(keras.ops.mean(model.output**2))
    model.compile("sgd")
    with pytest.warns(UserWarning, match="adds nothing"):
        model.train_on_batch(x, accuracy=True)


PAIR = {  # updates as pairs, and as what functions of the backend return
    "pairs": (lambda v, value: (v, value), lambda v: (v, v + 1.0), lambda v: (v, v - 0.25)),
    "functions": (K.update, lambda v: K.update_add(v, 1.0), lambda v: K.update_sub(v, 0.25)),
}


@pytest.mark.parametrize("how", PAIR)
@pytest.mark.parametrize("of", ["weights", "variables"])
def test_a_layer_adds_updates_in_training_alone(how, of, rng):
    update, add, subtract = PAIR[how]

    class Counting(keras.layers.Layer):
        def _number(self, name, value):
            if of == "variables":
                return K.variable(value)
            return self.add_weight(name, (), initializer="ones" if value else "zeros", trainable=False)

        def build(self, input_shape):
            self.calls, self.left, self.seen = map(self._number, ("calls", "left", "seen"), (0.0, 1.0, 0.0))
            self.average = self.add_weight("average", (input_shape[-1],), initializer="zeros", trainable=False)
            super().build(input_shape)

        def call(self, x):
            self.add_update(add(self.calls), x)
            self.add_update([subtract(self.left), update(self.seen, K.max(x))])
            self.add_update([K.moving_average_update(self.average, K.mean(x, axis=0), 0.9)], x)
            return x * 2.0

    layer = Counting()
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = rng.normal(size=(8, 3)).astype("float32")
    model.predict(x, verbose=0)
    model.evaluate(x, x[:, 0], verbose=0)
    assert [float(v) for v in map(K.get_value, (layer.calls, layer.left, layer.seen))] == [0, 1, 0]
    model.fit(x, x[:, 0], batch_size=8, epochs=2, verbose=0)
    model.predict(np.full_like(x, 9.0), verbose=0)
    assert [float(v) for v in map(K.get_value, (layer.calls, layer.left))] == [2, 0.5]
    assert float(K.get_value(layer.seen)) == pytest.approx(x.max())
    np.testing.assert_allclose(layer.average.numpy(), x.mean(axis=0) * (1 - 0.9**2), rtol=1e-4, atol=1e-6)


def test_a_copy_of_an_optimizer_keeps_what_no_config_says(rng):
    class Plain(keras.optimizers.Optimizer):
        def __init__(self, rate=0.5, **kwargs):
            super().__init__(**kwargs)
            self.rate = rate
            self.lr = K.variable(rate)

        def get_updates(self, loss, params):
            gradients = self.get_gradients(loss, params)
            return [K.update_sub(p, self.lr * g) for p, g in zip(params, gradients, strict=True)]

    optimizer, x = Plain(0.125), rng.normal(size=(8, 3)).astype("float32")
    models = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]) for _ in range(2)]
    for model in models:
        model.compile(optimizer, "mse")
        before, y = model.get_weights(), np.zeros((8, 1))
        model.train_on_batch(x, y)
        slope = 2 * x.T @ (x @ before[0] + before[1]) / 8
        np.testing.assert_allclose(model.get_weights()[0], before[0] - 0.125 * slope, rtol=1e-4, atol=1e-6)
    assert models[0].optimizer is not models[1].optimizer and models[1].optimizer.rate == 0.125
    K.set_value(models[1].optimizer.lr, 0.0)
    assert float(K.get_value(models[0].optimizer.lr)) == 0.125


@pytest.mark.parametrize("has_options", [True, False])
def test_a_copy_of_an_optimizer_with_update_step_keeps_what_its_config_leaves_out(has_options):
    class Plain(keras.optimizers.Optimizer):
        def __init__(self, learning_rate=0.1, pull=0.25, **options):
            super().__init__(learning_rate, **options)
            self.pull = pull

        def update_step(self, gradient, variable, learning_rate):
            variable.assign(variable - self.pull)

        def get_config(self):
            return {"learning_rate": float(self.learning_rate)}

    class WithoutOptions(Plain):
        def __init__(self, learning_rate=0.1, pull=0.25):
            super().__init__(learning_rate, pull)

    rule = Plain(0.5, 0.75, clipnorm=2.0) if has_options else WithoutOptions(0.5, 0.75)
    models = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]) for _ in range(2)]
    for model in models:
        model.compile(rule, "mse")
    copied = models[1].optimizer
    assert copied is not rule
    assert (copied.learning_rate, copied.pull, copied.clipnorm) == (0.5, 0.75, 2.0 if has_options else None)


def sparing(optimizer, weights):
    optimizer.exclude_from_weight_decay(weights, ["bias"])
    return optimizer


class Momentum(keras.optimizers.Optimizer):
    def build(self, variables):
        super().build(variables)
        self.moved = [self.add_variable_from_reference(variable) for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        moved = self.moved[self._get_variable_index(variable)]
        self.assign(moved, 0.9 * moved - learning_rate * gradient)
        self.assign_add(variable, moved)


RULES = {  # what a config does not say: spared weights, a function, that a schedule is one, a name of one's own
    "spared": lambda weights: sparing(keras.optimizers.SGD(0.5, weight_decay=0.5), weights),
    "function": lambda weights: keras.optimizers.SGD(lambda: 0.25),
    "schedule": lambda weights: keras.optimizers.Adam(keras.optimizers.schedules.InverseTimeDecay(0.5, 1, 0.25)),
    "steps": lambda weights: Momentum(0.25),
    "inside": lambda weights: keras.optimizers.Lookahead(
        sparing(keras.optimizers.Adam(0.5, weight_decay=0.5), weights)
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_copy_of_an_optimizer_that_a_second_model_gets_trains_as_the_first(rule, rng):
    """Two models of the same layers, which begin with the same weights."""
    shared = [keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)]
    x = rng.normal(size=(8, 3)).astype("float32")
    models = [keras.Sequential([keras.Input((3,)), *shared]) for _ in range(2)]
    start = models[0].get_weights()
    optimizer = RULES[rule](shared[0].weights[:1])
    trained = []
    for model in models:
        model.set_weights(start)
        model.compile(optimizer, "mse")
        model.fit(x, x[:, :2], epochs=3, batch_size=4, shuffle=False, verbose=0)
        trained.append(model.get_weights())
    copied = models[1].optimizer
    assert copied is not models[0].optimizer and copied.iterations == models[0].optimizer.iterations == 6
    assert type(copied.learning_rate) is type(optimizer.learning_rate)
    for a, b, first in zip(*trained, start, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(a != first)


def test_flags_with_one_dash_and_names_that_are_no_words(monkeypatch):
    flags = tf.app.flags
    flags.DEFINE_integer("one-dash", 1, "a name with a dash in it")
    flags.DEFINE_boolean("single", False, "whether")
    flags.DEFINE_float("below", 0.5, "a number, which may be negative")
    for words in (["-one-dash=7", "-single", "-below=-2"], ["-one-dash", "7", "--single", "-below", "-2"]):
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        flags.DEFINE_float("below", 0.5, "read again")
        found = flags.FLAGS
        assert (found["one-dash"].value, found.single, found.below) == (7, True, -2.0)


class MomentumOfKeras2(keras.optimizers.Optimizer):
    def __init__(self, rate=0.125, **kwargs):
        super().__init__(**kwargs)
        self.lr = K.variable(rate)

    def get_updates(self, loss, params):
        updates = []
        for p, g in zip(params, self.get_gradients(loss, params), strict=True):
            m = K.zeros(K.int_shape(p))
            updates += [K.update(m, 0.5 * m + g), K.update_sub(p, self.lr * (0.5 * m + g))]
        return updates


def test_get_updates_takes_gradients_of_a_tape():
    """Of variables, and of the weights of a model that was compiled with it: the weights move once, by the rule."""
    layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    own = MomentumOfKeras2()
    model.compile(own, "mse")
    for optimizer, variable in ((MomentumOfKeras2(), tf.Variable([1.0, 1.0])), (own, layer.kernel)):
        expected, speed = np.ones(2), 0.0
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(variable * variable)
            optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])
            speed = 0.5 * speed + 2 * expected
            expected = expected - 0.125 * speed
            np.testing.assert_allclose(np.ravel(variable.numpy()), expected, rtol=1e-6)
        assert int(optimizer.iterations) == 3
    optimizer.minimize(lambda: tf.reduce_sum(layer.kernel * 8.0), [layer.kernel])
    speed = 0.5 * speed + 8
    np.testing.assert_allclose(np.ravel(layer.kernel.numpy()), expected - 0.125 * speed, rtol=1e-6)


def fourth_powers(w):
    return 0.3 * tf.reduce_sum(tf.square(tf.square(w)))


class Scaled(keras.layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2), regularizer=fourth_powers)

    def call(self, inputs):
        return inputs @ self.kernel


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Dense(2, use_bias=False, kernel_regularizer=fourth_powers),
        lambda: keras.layers.Dense(2, use_bias=False, kernel_regularizer=lambda w: 0.3 * w**4),
        lambda: keras.layers.Dense(2, use_bias=False, kernel_regularizer=keras.regularizers.get(fourth_powers)),
        Scaled,
    ],
    ids=["function", "lambda of several numbers", "got", "weight of one's own"],
)
def test_a_function_is_a_regularizer(layer, rng, tmp_path):
    """Of a loss that is 0 the penalty 0.3 · Σw⁴ is left, whose slope is 1.2 w³; files hold the function's name."""
    model = keras.Sequential([keras.Input((3,)), layer()])
    w, x = model.get_weights()[0].astype(np.float64), np.zeros((4, 3), np.float32)
    np.testing.assert_allclose(float(model.losses[0]), 0.3 * (w**4).sum(), rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(x, np.zeros((4, 2)), batch_size=4, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], w - 0.5 * 1.2 * w**3, rtol=1e-5, atol=1e-6)
    if isinstance(model.layers[0], keras.layers.Dense) and "fourth" in repr(model.layers[0].get_config()):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"fourth_powers": fourth_powers})
        np.testing.assert_array_equal(float(loaded.losses[0]), float(model.losses[0]))
        with pytest.raises(Exception, match=r"custom_objects=.*fourth_powers"):
            keras.models.load_model(tmp_path / "model.keras")


def test_a_function_is_a_penalty_on_outputs():
    """0.1 · Σy of outputs 4, divided by the number of samples, beside a mean square of 16."""
    dense = keras.layers.Dense(2, kernel_initializer="ones", activity_regularizer=lambda y: 0.1 * tf.reduce_sum(y))
    model = keras.Sequential([keras.Input((4,)), dense])
    model.compile("sgd", "mse")
    assert model.evaluate(np.ones((3, 4)), np.zeros((3, 2)), verbose=0) == pytest.approx(16.8)


def test_a_schedule_of_an_optimizer_is_the_rate_in_force_too(tmp_path):
    """0.1 · 0.5 ** (iterations / 2) of Keras 3's `learning_rate`; it is the schedule, too, as which Keras 2 had it."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    seen = []
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    model.fit(np.zeros((8, 2)), np.zeros((8, 1)), batch_size=4, epochs=2, verbose=0, callbacks=[told])
    assert seen == pytest.approx([0.05, 0.025])
    rate = model.optimizer.learning_rate
    assert rate.numpy() == pytest.approx(0.025) and float(2 * rate) == pytest.approx(0.05)
    assert f"{rate:.3f}" == "0.025" and np.asarray(rate) == pytest.approx(0.025) and round(rate, 2) == 0.03
    assert isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) and rate(2) == pytest.approx(0.05)
    rate.decay_rate = 1.0
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1) and schedule.decay_rate == 1.0
    other = keras.optimizers.SGD()
    other.learning_rate = rate
    assert float(other.learning_rate) == pytest.approx(0.1)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").optimizer.learning_rate.decay_rate == 1.0


class Watching(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.seen = keras.metrics.Mean(name="seen")

    def call(self, inputs):
        self.seen.update_state(inputs)
        return inputs


def test_a_metric_in_an_attribute_of_a_layer_is_shown(rng):
    """Its mean over an epoch's batches, and that of the data for validation; a trial while building counts not."""
    x = rng.normal(size=(12, 3)).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), Watching(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(x, x[:, :1], batch_size=4, epochs=2, verbose=0, validation_data=(x[:5], x[:5, :1])).history
    np.testing.assert_allclose(history["seen"], [x.mean()] * 2, rtol=1e-5)
    np.testing.assert_allclose(history["val_seen"], [x[:5].mean()] * 2, rtol=1e-5)
    assert model.evaluate(x[:2], x[:2, :1], verbose=0, return_dict=True)["seen"] == pytest.approx(x[:2].mean())


def test_a_session_draws_weights_again_and_gives_their_numbers(monkeypatch):
    monkeypatch.setattr("minicnn.keras._warning._warned", set())
    layers = [keras.layers.Dense(40, bias_initializer="ones"), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((9,)), *layers])
    x, (before, _, other) = np.ones((3, 9), np.float32), [layer.get_weights() for layer in layers]
    model.predict(x, verbose=0)
    layers[0].bias.assign(np.zeros(40))
    layers[1].gamma.assign(np.zeros(40))
    session = keras.backend.get_session()
    with pytest.warns(FutureWarning, match=r"tf\.global_variables_initializer does nothing"):
        assert session.run(tf.global_variables_initializer()) is None
    assert np.array_equal(layers[0].kernel.numpy(), before[0]) and not layers[0].bias.numpy().any()
    drawn = tf.variables_initializer([*layers[0].weights, *layers[1].weights])
    assert np.array_equal(layers[0].kernel.numpy(), before[0])  # until it is run
    session.run(drawn)
    kernel, bias = session.run(layers[0].weights)
    limit = np.sqrt(6 / 49)  # of glorot_uniform
    assert limit * 0.9 < np.abs(kernel).max() <= limit and not np.allclose(kernel, before[0])
    assert bias.tolist() == layers[1].get_weights()[0].tolist() == [1] * 40
    assert all(np.array_equal(a, b) for a, b in zip(layers[2].get_weights(), other, strict=True))
    hidden = np.maximum((x @ kernel + 1) / np.sqrt(1 + 1e-3), -np.inf)
    assert np.allclose(model.predict(x, verbose=0), hidden @ other[0] + other[1], atol=1e-5)
    session.run([weight.initializer for weight in layers[2].weights])
    assert not np.allclose(layers[2].get_weights()[0], other[0])
    assert session.run({"x": tf.Variable([1.0, 2.0]), "n": 3})["x"].tolist() == [1, 2]
    with pytest.raises(ImportError, match=r"K\.function"):
        session.run(model.output)
    with pytest.raises(AttributeError, match="keeps no initializer"):
        tf.variables_initializer([tf.Variable(1.0)])


def test_sparsemax_is_an_activation(rng, tmp_path):
    """The nearest probabilities by bisection: Σ max(z − τ, 0) = 1."""
    z = rng.normal(size=(4, 6)).astype(np.float32)
    low, high = z.min(1, keepdims=True) - 1, z.max(1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        is_low = np.maximum(z - middle, 0).sum(1, keepdims=True) > 1
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    expected = np.maximum(z - low, 0)
    for activation in "sparsemax", keras.activations.sparsemax, keras.layers.Activation("sparsemax"):
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6, activation, kernel_initializer="identity")])
        np.testing.assert_allclose(model(z), expected, atol=1e-5)
        model.save(tmp_path / "model.keras")
        np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(z), expected, atol=1e-5)
    assert keras.activations.get("sparsemax") is keras.activations.sparsemax


def test_what_is_no_activation_of_a_layer_says_where_it_stands():
    for value in "glu", keras.activations.glu:
        with pytest.raises(ValueError, match=r"Lambda\(keras.activations.glu\) behind it"):
            keras.layers.Dense(6, activation=value)
    with pytest.raises(ValueError, match=r"lambda x: keras.activations.threshold"):
        keras.layers.Activation("threshold")
    for layer in keras.layers.PReLU(), keras.layers.BatchNormalization(), keras.layers.GaussianNoise(0.1):
        with pytest.raises(TypeError, match=rf"put {type(layer).__name__} behind"):
            keras.layers.Conv2D(3, 3, activation=layer)
    assert keras.layers.Dense(3, activation=keras.layers.LeakyReLU(0.2)).activation.negative_slope == 0.2


def test_names_of_layers_may_have_slashes_as_in_keras_2(tmp_path):
    """SqueezeNet's and GoogLeNet's: read from such a file they have a '_', and so they have where they are made."""
    from minicnn.keras import layers

    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    def network():
        image = layers.Input((4, 4, 1), name="data/image")
        squeezed = layers.Conv2D(2, 1, name="fire2/squeeze1x1")(image)
        both = layers.concatenate([squeezed, Twice(name="fire2/twice")(squeezed)], name="fire2/concat")
        return keras.Model(image, both, name="squeeze/net")

    with pytest.warns(FutureWarning, match="a '/' in the name of a layer"):
        model = network()
    assert [layer.name for layer in model.layers] == ["data_image", "fire2_squeeze1x1", "fire2_twice", "fire2_concat"]
    assert model.name == "squeeze_net" and model.get_layer("fire2/squeeze1x1") is model.layers[1]
    assert keras.Sequential([layers.Dense(1)], name="a/b").name == "a_b"
    model.save_weights(tmp_path / "of.weights.h5")
    again = network()
    again.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ValueError, match="fire3"):
        model.get_layer("fire3/concat")


def test_an_estimators_fit_has_the_history_that_keras_2_returned():
    pytest.importorskip("sklearn")
    from minicnn.keras.wrappers.scikit_learn import KerasRegressor

    def build():
        model = keras.Sequential([keras.layers.Dense(1, input_dim=2)])
        model.compile("sgd", "mse", metrics=["acc"])
        return model

    estimator = KerasRegressor(build_fn=build, epochs=3, verbose=0)
    history = estimator.fit(np.ones((4, 2)), np.ones(4))
    assert len(history.history["loss"]) == len(estimator.history.history["loss"]) == 3
    assert sorted(history.history) == ["acc", "loss"] and history.history["accuracy"] == history.history["acc"]
    assert estimator.history.epoch == [0, 1, 2] and estimator.history.params["epochs"] == 3


@pytest.mark.parametrize("weights", [np.array([1.0, 2.0]), [1.0, 2.0]])
def test_class_weights_that_are_no_dict_are_refused_in_a_sentence(weights):
    """scikit-learn's compute_class_weight gives an array, which Keras 2 took and left out."""
    model = keras.Sequential([keras.layers.Dense(2, activation="softmax", input_dim=2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises((TypeError, ValueError), match=r"class_weight is a dict"):
        model.fit(np.ones((4, 2)), [0, 1, 0, 1], class_weight=weights, verbose=0)


_ROWS = np.arange(6.0).reshape(2, 3) - 2.5
_OF_KERAS_2 = {
    "clip": ({"x": _ROWS, "min_value": -1, "max_value": 1}, np.clip(_ROWS, -1, 1)),
    "concatenate": ({"tensors": [_ROWS, _ROWS], "axis": 0}, np.vstack([_ROWS, _ROWS])),
    "dot": ({"x": _ROWS, "y": _ROWS.T}, _ROWS @ _ROWS.T),
    "one_hot": ({"indices": np.array([2, 0]), "num_classes": 3}, np.eye(3)[[2, 0]]),
    "permute_dimensions": ({"x": _ROWS, "pattern": (1, 0)}, _ROWS.T),
    "pow": ({"x": _ROWS, "a": 2}, _ROWS**2),
    "repeat": ({"x": _ROWS, "n": 3}, np.stack([_ROWS] * 3, axis=1)),
    "tile": ({"x": _ROWS, "n": (1, 2)}, np.hstack([_ROWS, _ROWS])),
    "all": ({"x": _ROWS > 0, "axis": 1, "keepdims": True}, np.array([[False], [True]])),
    "any": ({"x": _ROWS > 1, "axis": 1}, np.array([False, True])),
    "maximum": ({"x": _ROWS, "y": 0.5}, np.maximum(_ROWS, 0.5)),
    "minimum": ({"x": _ROWS, "y": 0.5}, np.minimum(_ROWS, 0.5)),
    "equal": ({"x": _ROWS, "y": 0.5}, _ROWS == 0.5),
    "not_equal": ({"x": _ROWS, "y": 0.5}, _ROWS != 0.5),
    "greater": ({"x": _ROWS, "y": 0.5}, _ROWS > 0.5),
    "greater_equal": ({"x": _ROWS, "y": 0.5}, _ROWS >= 0.5),
    "less": ({"x": _ROWS, "y": 0.5}, _ROWS < 0.5),
    "less_equal": ({"x": _ROWS, "y": 0.5}, _ROWS <= 0.5),
    "prod": ({"x": _ROWS, "axis": 1, "keepdims": True}, _ROWS.prod(1, keepdims=True)),
    "print_tensor": ({"x": _ROWS, "message": "rows ", "summarize": 2}, _ROWS),
}


@pytest.mark.parametrize("name", _OF_KERAS_2)
def test_functions_of_the_backend_take_the_names_of_keras_2(name):
    arguments, expected = _OF_KERAS_2[name]
    for given in ((), tuple(arguments.values())[:1], tuple(arguments.values())):
        rest = dict(list(arguments.items())[len(given) :])
        np.testing.assert_allclose(getattr(keras.backend, name)(*given, **rest), expected, rtol=1e-6)


def test_repeat_of_the_backend_is_that_of_rows():
    tensor = keras.backend.repeat(keras.Input((3,)), 4)
    assert tensor.shape == (None, 4, 3)
    with pytest.raises(ValueError, match=r"K.repeat takes rows \(N, D\)"):
        keras.backend.repeat(np.ones((2, 3, 4)), 2)
    before = keras.backend.floatx()
    keras.backend.set_floatx(value=before)
    assert keras.backend.placeholder(shape=(None, 3), ragged=False).shape == (None, 3)


def sparse_hits(y_true, y_pred):
    return K.cast(K.equal(K.max(y_true, axis=-1), K.cast(K.argmax(y_pred, axis=-1), K.floatx())), K.floatx())


def surest(y_true, y_pred):
    return K.max(y_pred, axis=-1)


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_the_largest_of_class_numbers_in_a_metric_is_each_sample_s_as_in_keras_2(shape, rng, tmp_path):
    """Keras 2 gave (N, 1); the largest of (N,) would be one number of the whole batch."""
    x, y = rng.normal(size=(40, 4)).astype("float32"), rng.integers(0, 3, shape)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", sparse_hits, surest])
    outputs = model.predict(x, verbose=0)
    expected = [np.mean(outputs.argmax(1) == y.reshape(-1)), outputs.max(1).mean()]
    assert model.evaluate(x, y, verbose=0)[2:] == pytest.approx(expected, rel=1e-6)
    model.save(tmp_path / "m.h5")
    again = load_model(tmp_path / "m.h5", custom_objects={"sparse_hits": sparse_hits, "surest": surest})
    assert again.evaluate(x, y, verbose=0)[2:] == pytest.approx(expected, rel=1e-6)
    model.compile("sgd", "categorical_crossentropy", metrics=[sparse_hits])
    assert model.evaluate(x, np.eye(3)[y.reshape(-1)], verbose=0)[1] == pytest.approx(np.mean(outputs.argmax(1) == 1))
    assert K.max(np.arange(3.0), axis=-1) == 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mode_2_goes_by_the_batch_outside_of_a_model_too():
    x = np.arange(24, dtype="float32").reshape(8, 3)
    expected = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3)
    layer = keras.layers.BatchNormalization(mode=2)
    for _ in range(2):
        np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    inputs = keras.Input((3,))
    made = keras.Model(inputs, keras.layers.BatchNormalization(mode=2)(inputs)).predict(x, verbose=0)
    np.testing.assert_allclose(made, expected, atol=1e-5)


def accuracy(y_true, y_pred):
    return keras.ops.mean(keras.ops.equal(y_true, keras.ops.round(y_pred)))


def test_more_is_better_of_a_function_that_is_called_as_an_accuracy(tmp_path):
    """In Keras 2 mode="auto" went by the name alone; of other functions the mode has to be said, as in Keras 3."""
    x = np.linspace(0, 1, 8, dtype="float32")[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[accuracy])
    kept = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_accuracy", save_best_only=True)
    stop = keras.callbacks.EarlyStopping("accuracy")
    history = model.fit(x, x > 0.5, epochs=3, validation_data=(x, x > 0.5), callbacks=[kept, stop], verbose=0)
    assert kept.best == max(history.history["val_accuracy"]) and kept.monitor_op(2, 1)

    def closeness(y_true, y_pred):
        return -keras.ops.mean(keras.ops.abs(y_true - y_pred))

    model.compile("sgd", "mse", metrics=[closeness])
    with pytest.raises(ValueError, match="does not know whether less or more of 'closeness' is better"):
        model.fit(x, x > 0.5, callbacks=[keras.callbacks.EarlyStopping("closeness")], verbose=0)


# (value, update) of TensorFlow 2.21's tf.compat.v1.metrics in a session, after each of three batches of 8
_COUNTED = {
    "auc": (0.2, 0.56667, 0.43704),
    "weighted auc": (0.0, 0.63636, 0.49022),
    "weighted recall": (0.45175, 0.69307, 0.73252),
    "weighted mean": (0.81827, 0.86308, 0.84701),
    "accuracy": (0.25, 0.4375, 0.375),
    "precision": (0.2, 0.33333, 0.3125),
    "recall": (0.33333, 0.5, 0.55556),
    "mean": (0.598, 0.59938, 0.6365),
    "true_positives": (1, 3, 5),
    "false_negatives": (2, 3, 4),
}
_MATRICES = ([[1, 4], [2, 1]], [[4, 6], [3, 3]], [[4, 11], [4, 5]])  # mean_iou's updates


def _batches_of_pairs():
    i = np.arange(24)
    labels, outputs = (i * 7 % 5 > 2).astype("float32"), np.round(np.abs(np.sin(i * 1.7)), 3).astype("float32")
    return [(labels[k : k + 8, None], outputs[k : k + 8, None]) for k in (0, 8, 16)]


def test_metrics_of_tensorflow_1_count_on_from_batch_to_batch():
    found = {}

    def counted(y_true, y_pred):
        yes = tf.round(y_pred)
        found["auc"] = tf.metrics.auc(y_true, y_pred)
        found["weighted auc"] = tf.metrics.auc(y_true, y_pred, weights=tf.square(y_pred))
        found["weighted recall"] = tf.metrics.recall(y_true, yes, weights=y_pred)
        found["weighted mean"] = tf.metrics.mean(y_pred, weights=tf.square(y_pred))
        for name in ("accuracy", "precision", "recall", "true_positives", "false_negatives"):
            found[name] = getattr(tf.compat.v1.metrics, name)(y_true, yes)
        found["mean"] = tf.metrics.mean(y_pred)
        score, update = found["mean_iou"] = tf.metrics.mean_iou(y_true, tf.cast(y_pred > 0.5, tf.int32), 2)
        K.get_session().run(tf.local_variables_initializer())
        with tf.control_dependencies([update]):
            return tf.identity(score)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    model.compile("sgd", "mse", metrics=[counted])
    for number, (y, x) in enumerate(_batches_of_pairs()):
        score = model.test_on_batch(x, y, return_dict=True)["counted"]
        (a, b), (c, d) = _MATRICES[number]
        assert score == pytest.approx((a / (a + b + c) + d / (b + c + d)) / 2, abs=1e-5)
        for name, expected in _COUNTED.items():
            np.testing.assert_allclose(found[name], [expected[number]] * 2, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(found["mean_iou"][1], _MATRICES[number])
    model.compile("sgd", "mse", metrics=[counted])  # counts anew
    y, x = _batches_of_pairs()[0]
    assert model.test_on_batch(x, y, return_dict=True)["counted"] == pytest.approx(1 / 7, abs=1e-5)
    with pytest.raises(ValueError, match="is interpolated here"):
        tf.metrics.auc(y, x, curve="PR")
    with pytest.warns(match=r"tf\.metrics\.recall counts on from batch to batch in a function"):
        assert tf.metrics.recall(y, np.ones_like(y))[1] == 1.0
    assert tf.metrics.MeanIoU is keras.metrics.MeanIoU


def counted_accuracy(y_true, y_pred):
    return tf.metrics.accuracy(y_true, tf.round(y_pred))[1]


def counted_beside_max(y_true, y_pred):
    return tf.metrics.accuracy(y_true, tf.round(y_pred / K.max(y_pred)))[1]


@pytest.mark.parametrize(
    ("metric", "copied"),
    [
        (counted_accuracy, copy.deepcopy),
        (counted_beside_max, copy.deepcopy),
        (counted_accuracy, lambda model: pickle.loads(pickle.dumps(model))),
    ],
)
def test_a_copy_of_a_model_has_counts_of_its_own_of_tensorflow_1(metric, copied):
    x, y = np.ones((4, 1), "float32"), np.ones((4, 1), "float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    model.compile("sgd", "mse", metrics=[metric])
    assert model.metrics_names[1] == metric.__name__
    assert model.test_on_batch(x, y)[1] == 1.0  # 4 of 4
    other = copied(model)
    assert other.test_on_batch(x, 0 * y)[1] == 0.5  # it goes on with 4 of 8
    assert model.test_on_batch(x, y)[1] == 1.0  # 8 of 8, not of 12


def test_what_models_of_keras_2_say_of_their_ends():
    """Values of tf_keras 2.21."""
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    inner = keras.Sequential([keras.layers.Conv2D(2, 3)], name="inner")
    model = keras.Model([b, a], keras.layers.Add()([inner(a), inner(b)]))
    assert model.input_names == ["b", "a"] and model.output_names == ["add"]
    assert keras.Model({"x": a, "y": b}, inner(a)).input_names == ["a", "b"]
    conv = inner.layers[0]
    assert conv.get_input_shape_at(0) == (None, 8, 8, 3) and conv.get_output_shape_at(0) == (None, 6, 6, 2)
    assert model.get_input_shape_at(0) == [(None, 8, 8, 3)] * 2 and model.get_output_shape_at(0) == (None, 6, 6, 2)
    assert model.make_train_function() is None and model.make_test_function() is None
    names = [layer.name for layer in model._flatten_layers(include_self=False)]
    assert names.count(conv.name) == 1 and names.index(conv.name) == names.index("inner") + 1
    assert model._flatten_layers()[0] is model and len(model._flatten_layers(recursive=False)) == 1 + len(model.layers)
    assert "call" not in dir(model)
    with pytest.raises(AttributeError, match=r"'call': model\(x, training=…\) calls a model"):
        model.call(np.ones((1, 8, 8, 3)))
