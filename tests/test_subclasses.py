"""Subclasses of the models: what they add comes back, wherever configurations go."""

import json
import pickle

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers
from minicnn.errors import FileFormatError

X = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)


class Scaled(mc.Model):
    """Made as its base is, with an argument more: Keras's habit."""

    def __init__(self, *args, param=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.param = param

    def get_config(self):
        return super().get_config() | {"param": self.param}


class Named(mc.Model):
    """The same with arguments that are written out, and none for the name."""

    def __init__(self, inputs, outputs, param=1):
        super().__init__(inputs, outputs)
        self.param = param

    def get_config(self):
        return super().get_config() | {"param": np.int64(self.param)}


class Stack(mc.Sequential):
    def __init__(self, layers=None, name=None, param=1):
        super().__init__(layers, name)
        self.param = param

    def get_config(self):
        return super().get_config() | {"param": self.param}


class Classifier(mc.Model):
    """Makes its layers itself, from arguments of its own."""

    def __init__(self, units=4, param=1, name=None):
        start = mc.Input((6,))
        super().__init__(start, layers.Dense(2)(layers.Dense(units)(start)), name=name)
        self.units, self.param = units, param

    def get_config(self):
        return {"units": self.units, "param": self.param}


class Merged(Classifier):
    """The same, whose config is that of a model besides."""

    def get_config(self):
        return mc.Model.get_config(self) | super().get_config()


class Methods(mc.Model):
    """Adds nothing that a config would have to know."""

    def twice(self, x):
        return 2 * self.predict(x)


def tensors():
    start = mc.Input((6,))
    return start, layers.Dense(2)(layers.Dense(4)(start))


KINDS = {
    "as its base": lambda: Scaled(*tensors(), param=3, name="own"),
    "written out": lambda: Named(*tensors(), param=3),
    "stack": lambda: Stack([mc.Input((6,)), layers.Dense(4), layers.Dense(2)], param=3),
    "own layers": lambda: Classifier(5, param=3, name="own"),
    "both": lambda: Merged(5, param=3),
}
CLASSES = {cls.__name__: cls for cls in (Scaled, Named, Stack, Classifier, Merged)}


@pytest.mark.parametrize("kind", KINDS)
def test_from_config(kind):
    model = KINDS[kind]()
    again = type(model).from_config(json.loads(json.dumps(model.get_config(), default=int)))
    assert (type(again), again.param) == (type(model), 3)
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    assert mc.models.clone_model(model).param == 3
    assert pickle.loads(pickle.dumps(model)).param == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_files(kind, suffix, nested, tmp_path):
    model = inner = KINDS[kind]()
    if nested:
        start = mc.Input((6,))
        model = mc.Model(start, layers.Dense(2)(inner(start)))
    model.compile("adam", "mse", backend="numpy")
    model.fit(X, X[:, :2], verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = mc.load_model(tmp_path / f"m{suffix}", custom_objects=CLASSES)
    found = again.layers[1] if nested else again
    assert (type(found), found.param, found.name) == (type(inner), 3, inner.name)
    again.compiled.backend_name = "numpy"
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    for one in (model, again):
        one.fit(X, X[:, :2], verbose=0)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(FileFormatError, match="custom_objects"):
        mc.load_model(tmp_path / f"m{suffix}")


def test_a_subclass_without_arguments_of_its_own(tmp_path):
    model = Methods(*tensors())
    model.save(tmp_path / "m.safetensors")
    again = mc.load_model(tmp_path / "m.safetensors", custom_objects={"Methods": Methods})
    np.testing.assert_array_equal(again.twice(X), model.twice(X))
    with pytest.warns(UserWarning, match="the class Methods is not known: a plain model takes its place"):
        plain = mc.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(plain.predict(X), model.predict(X))


def test_a_constructor_that_does_not_take_what_get_config_gives():
    class Other(Classifier):
        def get_config(self):
            return {"wrong": 1}

    with pytest.raises(TypeError, match=r"get_config of Other must hold its constructor's arguments.*wrong"):
        Other.from_config(Other().get_config())


# ------------------------------------------------------------------------------------------------ configs of Keras


KERAS_3 = {  # of keras.Model.get_config, Keras 3.15.1, without what is the default
    "name": "m",
    "trainable": True,
    "layers": [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {"batch_shape": [None, 6], "dtype": "float32", "sparse": False, "name": "i"},
            "registered_name": None,
            "name": "i",
            "inbound_nodes": [],
        },
        {
            "module": "keras.layers",
            "class_name": "Dense",
            "config": {"name": "d", "units": 3, "activation": "relu", "kernel_constraint": None},
            "registered_name": None,
            "build_config": {"input_shape": [None, 6]},
            "name": "d",
            "inbound_nodes": [
                {
                    "args": [
                        {
                            "class_name": "__keras_tensor__",
                            "config": {"shape": [None, 6], "dtype": "float32", "keras_history": ["i", 0, 0]},
                        }
                    ],
                    "kwargs": {},
                }
            ],
        },
    ],
    "input_layers": ["i", 0, 0],
    "output_layers": ["d", 0, 0],
}


def keras_2(calls):
    """The same as Keras 2 has it, with these calls of the dense layer."""
    return {
        "name": "m",
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 6], "name": "i"}, "name": "i"}
            | {"inbound_nodes": []},
            {"class_name": "Dense", "config": {"units": 3, "name": "d"}, "name": "d", "inbound_nodes": calls},
        ],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    }


@pytest.mark.parametrize("config", [KERAS_3, keras_2([[["i", 0, 0, {}]]]), keras_2([[["i", 0, 0]]])])
def test_configs_of_keras(config):
    before = json.dumps(config)
    model = mc.Model.from_config(config)
    assert [layer.name for layer in model.layers] == ["i", "d"]
    assert model.output_shape == (None, 3)
    assert json.dumps(config) == before


@pytest.mark.parametrize(
    "calls", [["x"], [[3]], 5, [[["nobody", 0, 0, {}]]], [[["i", 5, 0]]], [[["i", 0, 0, {"z": 1}]]]]
)
def test_configs_of_keras_that_are_wrong(calls):
    with pytest.raises(ValueError, match=r"call.*Received"):
        mc.Model.from_config(keras_2(calls))


# ---------------------------------------------------------------------------------------------------------- clones


def asked(seen):
    """A clone_function that remembers what it was asked for."""

    def function(layer):
        seen.append(layer.name)
        return (
            mc.models.clone_model(layer) if isinstance(layer, mc.Model) else type(layer).from_config(layer.get_config())
        )

    return function


def nested():
    inner = mc.Sequential([mc.Input((6,)), layers.Dense(3, name="a")], name="inner")
    return mc.Sequential([mc.Input((6,)), inner, layers.Dense(2, name="b")], name="outer")


def test_clone_function_is_asked_for_every_layer_but_inputs():
    seen, deep = [], []
    clone = mc.models.clone_model(nested(), clone_function=asked(seen))
    assert (type(clone), clone.name, clone.output_shape) == (mc.Sequential, "outer", (None, 2))
    mc.models.clone_model(nested(), clone_function=asked(deep), recursive=True)
    assert (seen, deep) == (["inner", "b"], ["a", "b"])  # as Keras 3.15.1


def test_clone_function_may_change_layers_and_share_them():
    start = mc.Input((6,))
    shared = layers.Dense(6, name="s")
    model = mc.Model(start, layers.Add()([shared(shared(start)), start]))
    clone = mc.models.clone_model(model, clone_function=lambda layer: layer)
    assert clone.weights[0] is model.weights[0]
    wide = mc.models.clone_model(nested(), clone_function=lambda layer: layers.Dense(5, name=layer.name))
    assert wide.output_shape == (None, 5)
    with pytest.raises(TypeError, match=r"clone_function returns a layer\. Received: None for 'inner'"):
        mc.models.clone_model(nested(), clone_function=lambda layer: None)


def test_input_tensors():
    before = layers.Dense(6)(mc.Input((9,)))
    model = mc.Model(*tensors())
    clone = mc.models.clone_model(model, input_tensors=before)
    assert clone.inputs == (before,)
    assert mc.models.clone_model(nested(), input_tensors=[mc.Input((6,), name="given")]).inputs[0].name == "given"
    with pytest.raises(ValueError, match="one tensor for each of 1 inputs"):
        mc.models.clone_model(model, input_tensors=[before, before])


def test_a_model_that_is_not_built_has_no_weights():
    assert mc.Sequential([layers.Dense(3)]).get_weights() == []  # as in Keras
    assert layers.Dense(3).get_weights() == []


def test_a_weight_of_the_models_own_is_no_constant_in_silence():
    class Scaled(mc.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.scale = layers.Dense(2), self.add_weight("scale", (2,), "ones")

        def call(self, inputs):
            return self.dense(inputs) * self.scale

    with pytest.raises(TypeError, match="'scale' would be a constant here, and not be trained"):
        Scaled()(np.zeros((3, 4)))


class Written(mc.Model):
    """With a `call`, whose graph files hold, and an argument of its own."""

    def __init__(self, units=4, **options):
        super().__init__(**options)
        self.units, self.hidden, self.last = units, layers.Dense(units, activation="relu"), layers.Dense(2)

    def call(self, x):
        return self.last(self.hidden(x))

    def get_config(self):
        return super().get_config() | {"units": self.units}


class WrittenAlone(Written):
    """The same, whose config has nothing but its arguments."""

    def get_config(self):
        return {"units": self.units}


class WrittenCollecting(Written):
    """The same, whose constructor could take inputs and outputs too."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


@pytest.mark.parametrize("suffix", ["safetensors", "keras", "h5"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [Written, WrittenAlone])
def test_files_of_models_with_a_call_and_arguments(kind, nested, suffix, tmp_path):
    model = kind(7)
    expected = model.predict(X)
    if nested:
        model = mc.Sequential([mc.Input((6,)), model])
    model.save(tmp_path / f"m.{suffix}")
    again = mc.load_model(tmp_path / f"m.{suffix}", custom_objects={kind.__name__: kind})
    np.testing.assert_array_equal(again.predict(X), expected)
    assert (type(again), nested or again.units) == ((mc.Sequential, True) if nested else (kind, 7))
    clone = mc.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X), expected)


def test_from_config_of_a_model_with_a_call_and_arguments():
    model = Written(7, name="net")
    expected = model.predict(X)
    again = Written.from_config(json.loads(json.dumps(model.get_config())))
    again.build((None, 6))
    assert (type(again), again.units, again.name) == (Written, 7, "net")
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(X), expected)
    assert WrittenAlone.from_config(WrittenAlone(7).get_config()).units == 7
    assert WrittenCollecting.from_config(model.get_config()).units == 7


# ------------------------------------------------------------------------------------------------ back from files


class Composed(mc.Model):
    """Made by its `call`; its arguments are attributes."""

    def __init__(self, units=4, rate=0.2):
        super().__init__()
        self.units, self.rate = units, rate
        self.hidden = [layers.Dense(units, "relu"), layers.Dropout(rate)]
        self.head = layers.Dense(2)

    def call(self, inputs, training=None):
        for layer in self.hidden:
            inputs = layer(inputs, training=training) if isinstance(layer, layers.Dropout) else layer(inputs)
        return self.head(inputs)

    def double(self, x):
        return 2 * self.predict(x)


class Telling(Composed):
    """The same with a `get_config`, which is what counts."""

    def __init__(self, width=4):
        super().__init__(width)

    def get_config(self):
        return super().get_config() | {"width": self.units}


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("make", [lambda: Composed(5, rate=0.4), lambda: Telling(5)], ids=["attributes", "get_config"])
def test_a_written_model_comes_back(tmp_path, suffix, make):
    model = make()
    model.compile("adam", "mse", backend="numpy")
    model.fit(X, X[:, :2], verbose=0)
    model.head.trainable = False
    model.save(tmp_path / f"m{suffix}")
    again = mc.load_model(tmp_path / f"m{suffix}", custom_objects={type(model).__name__: type(model)})
    assert type(again) is type(model)
    assert (again.units, again.head.trainable, again.head.name) == (5, False, model.head.name)
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    again.compiled.backend_name = "numpy"
    np.testing.assert_array_equal(again.double(X), model.double(X))
    for one in (model, again):
        one.fit(X, X[:, :2], verbose=0)  # with the optimizer's state, and the random numbers that come next
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    plain = mc.load_model(tmp_path / f"m{suffix}")
    assert type(plain) is mc.Model


def test_a_registered_written_model_comes_back(tmp_path):
    @mc.keras.saving.register_keras_serializable(package="own")
    class Registered(Composed):
        pass

    model = Registered()
    model.build((None, 6))
    model.save(tmp_path / "m.keras")
    again = mc.load_model(tmp_path / "m.keras")
    assert type(again) is Registered
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_written_model_that_has_changed_is_plain(tmp_path):
    model = Composed(5)
    model.build((None, 6))
    model.save(tmp_path / "m.keras")

    class Other(Composed):
        def __init__(self, units=4, rate=0.2):
            super().__init__(units + 1, rate)

    class Strict(Composed):
        def __init__(self):
            super().__init__()

    for cls in (Other, Strict):
        with pytest.warns(UserWarning, match="does not make the file's network"):
            again = mc.load_model(tmp_path / "m.keras", custom_objects={"Composed": cls})
        assert type(again) is mc.Model
        np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_written_models_with_several_inputs(tmp_path):
    class Sides(mc.Model):
        def __init__(self):
            super().__init__()
            self.left, self.right = layers.Dense(3), layers.Dense(3)

        def call(self, inputs):
            return {"sum": self.left(inputs["a"]) + self.right(inputs["b"]), "right": self.right(inputs["b"])}

    model, data = Sides(), {"a": X, "b": X[:, :4]}
    expected = model.predict(data)
    model.save(tmp_path / "m.keras")
    again = mc.load_model(tmp_path / "m.keras", custom_objects={"Sides": Sides})
    assert type(again) is Sides
    found = again.predict(data)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("described", [7, {"class_name": "Composed"}, {"class_name": 3, "config": {}}])
def test_a_subclass_that_a_stranger_describes(described):
    from minicnn.models.written_files import as_subclass

    with pytest.raises(FileFormatError, match="a subclass is described by"):
        as_subclass(mc.Sequential([mc.Input((2,)), layers.Dense(1)]), described)
