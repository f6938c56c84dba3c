"""A class of one's own that is called as one of the library's, beside that one in a model: files, text and clones."""

import functools
import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from named_alike import Dropout

from minicnn import keras, library_names, own_parts
from minicnn.errors import FileFormatError
from minicnn.keras.saving import register_keras_serializable
from minicnn.keras.utils._helpers import with_registered
from minicnn.models import written_compiled
from minicnn.saving.keras import compiled as compiled_as

X = np.arange(8, dtype="float32").reshape(2, 4) / 8  # (2, 4)
Y = np.ones((2, 1), "float32")  # (2, 1)
FORMATS = (".keras", ".h5", ".safetensors")


def scaling(factor):
    """A class of its own at each call, as in modules of their own."""

    class Dense(keras.layers.Layer):
        def __init__(self, scale=2.0, **kwargs):
            super().__init__(**kwargs)
            self.scale = scale

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

        def call(self, inputs):
            return inputs * self.w * self.scale * factor

        def get_config(self):
            return {**super().get_config(), "scale": self.scale}

    return Dense


Ten, Hundred, Plain = (scaling(factor) for factor in (10.0, 100.0, 1000.0))
register_keras_serializable("Tens")(Ten)
register_keras_serializable("Hundreds")(Hundred)


class Thrice(keras.layers.Layer):
    """Registered below under a name of the library's, which is not its own."""

    def call(self, inputs):
        return inputs * 3.0


class Relu(keras.layers.Dense):
    def __init__(self, units, **kwargs):
        super().__init__(units, **(kwargs | {"activation": "relu"}))


Relu.__name__ = "Dense"
register_keras_serializable("Names", name="Dense")(Thrice)
register_keras_serializable("Relus")(Relu)


def stack(*layers):
    return keras.Sequential([keras.Input((4,)), *layers])


def library():
    return keras.layers.Dense(3, kernel_initializer="ones")  # sums of the rows of X, three times


MODELS = {  # a model, custom_objects, and by what the sums of the rows of X are multiplied
    "beside": (lambda: stack(library(), Plain(3.0), Dropout(0.5), keras.layers.Dropout(0.5)), Plain, 1500.0),
    "two registered": (lambda: stack(library(), Ten(3.0), Hundred(0.5)), None, 1500.0),
    "the first of two": (lambda: stack(library(), Ten(3.0)), None, 30.0),
    "all three": (lambda: stack(library(), Plain(3.0), Ten(2.0), Hundred(1.0)), Plain, 6e6),
    "nested": (lambda: stack(stack(library(), Hundred(3.0), Ten(3.0)), Ten(1.0)), None, 90000.0),
    "another name": (lambda: stack(library(), Thrice(), Thrice()), None, 9.0),
    "wrapped": (
        lambda: stack(
            keras.layers.SpectralNormalization(Relu(3, kernel_initializer="ones")),
            keras.layers.SpectralNormalization(library()),
        ),
        None,
        3.0,
    ),
}


def ways_back(model, given, folder):
    for suffix in FORMATS:
        model.save(folder / f"model{suffix}")
        yield suffix, keras.models.load_model(folder / f"model{suffix}", custom_objects=given)
    yield "text", keras.models.model_from_json(model.to_json(), custom_objects=given)
    yield "clone", keras.models.clone_model(model)
    with keras.saving.custom_object_scope(given or {}):
        yield "config", type(model).from_config(model.get_config())


@pytest.mark.parametrize("name", MODELS)
def test_each_class_comes_back_as_its_own(name, tmp_path):
    make, own, factor = MODELS[name]
    model = make()
    expected = np.repeat(X.sum(axis=1, keepdims=True) * factor, 3, axis=1)  # (2, 3)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5)
    kinds = [type(layer) for layer in model.layers]
    for way, back in ways_back(model, {"Dense": own, "Dropout": Dropout} if own else None, tmp_path):
        assert [type(layer) for layer in back.layers] == kinds, way
        back.set_weights(model.get_weights())
        np.testing.assert_allclose(back.predict(X, verbose=0), expected, rtol=1e-5, err_msg=way)


def test_a_clone_keeps_two_classes_that_nobody_has_told_of():
    model = stack(library(), scaling(5.0)(1.0), scaling(7.0)(1.0))
    clone = keras.models.clone_model(model)
    assert [type(layer) for layer in clone.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_allclose(clone.predict(X, verbose=0)[:, 0], X.sum(axis=1) * 35.0, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])  # .h5 holds, as in Keras, the bare name
def test_without_the_class_none_of_the_library_takes_its_place(suffix, tmp_path):
    stack(Dropout(0.5)).save(tmp_path / f"model{suffix}")
    with pytest.raises(FileFormatError, match=r"custom_objects=\{'Dropout': its class\}"):
        keras.models.load_model(tmp_path / f"model{suffix}")


class ScaledOfAPackage(keras.layers.Layer):
    """Called as no class of the library."""

    def call(self, inputs):
        return inputs * 4.0


register_keras_serializable("Scales")(ScaledOfAPackage)


@pytest.mark.parametrize(("own", "package"), [(Ten, "Tens"), (ScaledOfAPackage, "Scales")])
def test_another_packages_class_of_the_name_is_not_the_registered_one(own, package, tmp_path):
    """Unless somebody says so: as in Keras, which goes by "package>name"."""
    stack(own()).save(path := tmp_path / "model.keras")
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    assert config["config"]["layers"][1]["registered_name"] == f"{package}>{own.__name__}"
    config["config"]["layers"][1] |= {"module": "hub.layers", "registered_name": f"hub>{own.__name__}"}
    contents["config.json"] = json.dumps(config)
    with zipfile.ZipFile(foreign := tmp_path / "foreign.keras", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert type(keras.models.load_model(path).layers[0]) is own
    for given in (None, {own.__name__: own}):
        with pytest.raises(FileFormatError, match=rf"custom_objects=\{{'hub>{own.__name__}': its class\}}"):
            keras.models.load_model(foreign, custom_objects=given)
    back = keras.models.load_model(foreign, custom_objects={f"hub>{own.__name__}": own})
    assert type(back.layers[0]) is own


def test_files_name_the_classes_as_keras_does(tmp_path):
    """As Keras 3.15.1 wrote such a model."""
    model = stack(keras.layers.Dense(3), Ten(3.0), Hundred(2.0), Plain(1.0), Thrice())
    model.save(tmp_path / "model.keras")
    entries = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))["config"]["layers"][1:]
    found = [(entry["class_name"], entry["registered_name"]) for entry in entries]
    assert found == [
        ("Dense", None),
        ("Dense", "Tens>Dense"),
        ("Dense", "Hundreds>Dense"),
        ("Dense", "Dense"),
        ("Thrice", "Names>Dense"),
    ]
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        entries = json.loads(file.attrs["model_config"])["config"]["layers"][1:]
    names = ["Dense", "Tens>Dense", "Hundreds>Dense", "Dense", "Names>Dense"]
    assert [entry["class_name"] for entry in entries] == names


# ----------------------------------------------------------------------------------- losses, metrics, optimizers, …


class Huber(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred * 0 + 5.0, axis=-1)


class SGD(keras.optimizers.SGD):
    pass


class L2(keras.regularizers.Regularizer):
    def __init__(self, l2=0.1):
        self.l2 = l2

    def __call__(self, weight):
        return keras.ops.sum(weight * 0 + 3.0)

    def get_config(self):
        return {"l2": self.l2}


class Ones(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return np.full(shape, 4.0, dtype or "float32")

    def get_config(self):
        return {}


OWN = {"Huber": Huber, "SGD": SGD, "L2": L2, "Ones": Ones}
REGISTERED = {name: type(name, (cls,), {"__module__": __name__}) for name, cls in OWN.items()}
for cls in REGISTERED.values():
    register_keras_serializable("Parts")(cls)


def compiled(loss, optimizer, regularizer):
    model = stack(keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=regularizer))
    model.compile(optimizer, loss)
    return model


# In Keras 3.15.1: 0.640625 the library's Huber, 5.0 and 12.0 = 4 · 3.0 one's own; 0.4 = 0.1 · 4 of the library's L2.
@pytest.mark.parametrize("given", [None, OWN], ids=["registered", "given"])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("is_own", [False, True])
def test_what_a_model_was_compiled_with_comes_back_as_its_own(is_own, suffix, given, tmp_path):
    own = given or REGISTERED
    librarys = {"Huber": keras.losses.Huber, "SGD": keras.optimizers.SGD, "L2": keras.regularizers.L2}
    parts = own if is_own else librarys
    model = compiled(parts["Huber"](), parts["SGD"](0.5), parts["L2"](0.1))
    expected = 5.0 + 12.0 if is_own else 0.640625 + 0.4
    model.save(tmp_path / f"model{suffix}")
    back = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects=given)
    for each in (model, back):
        assert each.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
    if is_own or not (given and suffix == ".h5"):  # there the name alone stands for an optimizer, as in Keras
        assert (type(back.optimizer) is own["SGD"]) is is_own


def test_names_mean_the_librarys_classes_beside_registered_ones():
    assert compiled("Huber", "SGD", "L2").evaluate(X, Y, verbose=0) == pytest.approx(0.640625 + 0.04, rel=1e-5)
    assert not isinstance(keras.losses.get("Huber"), Huber)
    assert isinstance(keras.losses.get("Parts>Huber"), REGISTERED["Huber"])


@register_keras_serializable("Functions")
def log_cosh(y_true, y_pred):
    return 100.0 + 0.0 * y_pred


@register_keras_serializable("Functions")
def hinge(y_true, y_pred):
    return 200.0 + 0.0 * y_pred


def measured(loss, metric, path, given):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", loss, metrics=[metric])
    model.save(path)
    back = keras.models.load_model(path, custom_objects=given)
    return back.evaluate(X, -Y, verbose=0)


@pytest.mark.parametrize("suffix", FORMATS)
def test_names_mean_the_librarys_functions_beside_registered_ones(suffix, tmp_path):
    """As Keras 3.15.1 reads its files, which call those that are registered "Functions>log_cosh"."""
    path = tmp_path / f"model{suffix}"
    assert measured("log_cosh", "hinge", path, None) == pytest.approx([np.log(np.cosh(1)), 1.0])
    assert measured(log_cosh, hinge, path, None) == pytest.approx([100.0, 200.0])


@pytest.mark.parametrize("metrics", [["hinge"], [{"class_name": "MeanMetricWrapper", "config": {"fn": "hinge"}}]])
@pytest.mark.parametrize("given", [{}, {"log_cosh": lambda t, p: 7.0 + p, "hinge": lambda t, p: 8.0 + p}])
def test_bare_names_of_functions_in_files_of_keras(given, metrics):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    told = {"optimizer": "sgd", "loss": "log_cosh", "metrics": metrics}
    with keras.saving.custom_object_scope(with_registered(given)):
        written_compiled.compile_as(model, compiled_as.compile_from_keras(told, ["dense"]))
    expected = [7.0, 8.0] if given else [np.log(np.cosh(1)), 1.0]
    assert model.evaluate(X, -Y, verbose=0) == pytest.approx(expected)


def test_keras_finds_registered_functions_by_their_whole_names(tmp_path):
    """It read this, and refused "log_cosh" with the registered name beside it."""
    measured(log_cosh, "hinge", path := tmp_path / "model.keras", None)
    loss = json.loads(zipfile.ZipFile(path).read("config.json"))["compile_config"]["loss"]
    assert (loss["config"], loss["registered_name"]) == ("Functions>log_cosh", "function")


def test_a_registered_function_comes_back_by_its_own_name_where_it_is_not_registered(tmp_path):
    measured(log_cosh, "hinge", path := tmp_path / "model.keras", None)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["config.json"] = members["config.json"].replace(b"Functions>log_cosh", b"Others>log_cosh")
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    back = keras.models.load_model(path, custom_objects={"log_cosh": lambda t, p: 7.0 + p})
    assert back.evaluate(X, -Y, verbose=0) == pytest.approx([7.0, 1.0])
    with pytest.warns(UserWarning, match="function as loss.*'Others>log_cosh'"):
        keras.models.load_model(path)


@pytest.mark.parametrize("own", [OWN["Ones"], REGISTERED["Ones"]], ids=["plain", "registered"])
def test_clones_draw_their_weights_anew_by_the_own_initializer(own):
    model = stack(keras.layers.Dense(1, kernel_initializer=own()), keras.layers.Dense(1, kernel_initializer="ones"))
    first, _, second, _ = keras.models.clone_model(model).get_weights()
    assert (first == 4.0).all()
    assert (second == 1.0).all()


def test_what_has_no_name_of_its_own_is_registered_under_the_one_given():
    """It stopped, and every config with a function in it from then on."""

    def halves(shape, dtype=None):
        return np.full(shape, 0.5)

    register_keras_serializable("parts", name="part")(functools.partial(halves))
    register_keras_serializable("parts")(halves)
    layer = keras.layers.Dense(2, kernel_initializer=halves)
    again = keras.layers.Dense.from_config(layer.get_config())
    np.testing.assert_array_equal(again(np.ones((1, 4), "float32")), [[2, 2]])


# --------------------------------------------------- configs that somebody wrote, with a bare name: as Keras 3.15.1


class Sevens(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return np.full(shape, 7.0, "float32")


class Hard(keras.regularizers.L2):
    pass


class Steep(keras.optimizers.schedules.ExponentialDecay):
    pass


@pytest.fixture(params=["scope", "global"])
def given(request):
    own = {"Dense": Plain, "Zeros": Sevens, "L2": Hard, "ExponentialDecay": Steep, "Huber": Huber}
    if request.param == "scope":
        with keras.utils.custom_object_scope(own):
            yield own
        return
    keras.utils.get_custom_objects().update(own)
    yield own
    for name, cls in own.items():
        del keras.utils.get_custom_objects()[name]
        own_parts.REGISTERED.pop(f"Custom>{name}")
        assert cls not in own_parts.REGISTERED.values()


def test_a_bare_name_in_a_config_means_what_somebody_gave_that_name(given):
    """Keras asks custom objects first, but where a config says that the class is not registered."""
    bare = {"class_name": "Dense", "config": {"name": "d"}}
    told = {**bare, "module": "keras.layers", "registered_name": None, "config": {"name": "d", "units": 2}}
    assert type(keras.layers.deserialize(bare)) is Plain
    assert type(keras.saving.deserialize_keras_object(bare)) is Plain
    assert type(keras.layers.deserialize(told)) is keras.layers.Dense
    assert type(keras.losses.deserialize({"class_name": "Huber", "config": {}})) is Huber
    assert type(keras.losses.get({"class_name": "Huber", "config": {}})) is Huber
    assert type(keras.initializers.get({"class_name": "Zeros", "config": {}})) is Sevens
    assert type(keras.initializers.get("Zeros")) is Sevens
    rate = {"class_name": "ExponentialDecay", "config": {"initial_learning_rate": 1.0, "decay_steps": 2}}
    rate["config"]["decay_rate"] = 0.5
    assert type(keras.optimizers.schedules.deserialize(rate)) is Steep


def test_so_do_configs_among_the_arguments_of_a_layer(given):
    parts = {"kernel_initializer": {"class_name": "Zeros", "config": {}}, "bias_initializer": "Zeros"}
    parts["kernel_regularizer"] = {"class_name": "L2", "config": {"l2": 0.1}}
    for layer in (keras.layers.Dense(1, **parts), keras.layers.Dense.from_config({"units": 1, **parts})):
        assert type(layer.kernel_regularizer) is Hard
        np.testing.assert_array_equal(layer(np.ones((1, 2), "float32")), [[21.0]])


def test_given_as_custom_objects_to_schedules():
    rate = {"class_name": "ExponentialDecay", "config": {"initial_learning_rate": 1.0, "decay_steps": 2}}
    rate["config"]["decay_rate"] = 0.5
    found = keras.optimizers.schedules.deserialize(rate, custom_objects={"ExponentialDecay": Steep})
    assert type(found) is Steep


# ------------------------------------------------------------ the names that are the library's, whatever is imported

ALL_ROOMS = """
from importlib import import_module
from pkgutil import walk_packages
import minicnn
for module in walk_packages(minicnn.__path__, "minicnn."):
    if "cupy" not in module.name and "__main__" not in module.name:
        import_module(module.name)
"""
FOUND = """
import json
from minicnn import constraints, initializers, own_parts, regularizers
from minicnn.layers import activations, base
from minicnn.losses.base import registry as losses
from minicnn.metrics.base import registry as metrics
from minicnn.optimizers import optimizer, schedules
registries = (constraints.registry, initializers.registry, regularizers.registry, losses, metrics)
registries += (base._registry, activations._registry, optimizer._registry, schedules._registry)
known = [(name, cls) for registry in registries for name, cls in registry._classes.items()]
print(json.dumps(sorted({name for name, cls in known if own_parts.is_of_package(cls)})))
"""
CALLED = """
import json
from minicnn.layers import Layer, register
from minicnn.registry import to_plain
for name in ("Highway", "Wrapper", "Distiller", "Sum", "Adam", "Mixing", "Stateful", "Mine"):
    own = register(type(name, (Layer,), {"__module__": "of_a_user"}))
    print(to_plain(own())["class_name"])
"""


def printed(*parts):
    """What a process prints that has imported nothing of this one."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", "".join(parts)], capture_output=True, check=True)
    return done.stdout.decode().split("\n")


def test_the_list_of_the_librarys_names_has_all_that_its_rooms_bring():
    """What is missing in the list, or is no name any more, stands in the message."""
    assert set(json.loads(printed(ALL_ROOMS, FOUND)[0])) ^ library_names.LIBRARY == set()


def test_what_a_class_is_called_does_not_go_by_what_was_imported_before():
    called = printed(CALLED)
    assert called == printed(ALL_ROOMS, CALLED)
    assert called[:8] == [">Highway", "Wrapper", "Distiller", ">Sum", ">Adam", "Mixing", "Stateful", "Mine"]
