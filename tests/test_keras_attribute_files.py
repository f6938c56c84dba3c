"""Keras's files of users' models, whose groups go by attributes: names and orders are those of Keras 3.15.1.

The arrays hold the places of the weights in Keras's `model.weights`, so that none can take another one's place unseen.
"""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from subclassed import X, built, leaves, make, trained

from minicnn import keras
from minicnn.errors import FileFormatError
from minicnn.saving.keras.compiled import compile_from_keras

h5py = pytest.importorskip("h5py")

GROUPS = {
    "attributes": "again/:2 Begin/:2 code/:2 layers/dense_3/:2",
    "containers": (
        "layers/dense/:2 blocks/dense/:2 blocks/batch_normalization/:4 blocks/dense_1/:2 "
        "blocks/batch_normalization_1/:4 deep/container/dense/:2 deep/container/dense_1/:2 deep/container_1/dense/:2 "
        "heads/dense/:2 heads/dense_1/:2"
    ),
    "nested": (
        "layers/block/:2 layers/block/second/:2 layers/block/first/:2 layers/block/_last/:4 layers/block_1/:2 "
        "layers/block_1/second/:2 layers/block_1/first/:2 layers/block_1/_last/:4 graph_of_two/layers/dense/:2 "
        "graph_of_two/layers/dense_1/:2 add/again/:2 add/Begin/:2 add/code/:2 add/layers/dense_3/:2"
    ),
    "owned": ":1 b/:2 a/:2",
    "functional": (
        "layers/block/:2 layers/block/second/:2 layers/block/first/:2 layers/block/_last/:4 layers/dense/:2 "
        "layers/block_1/:2 layers/block_1/second/:2 layers/block_1/first/:2 layers/block_1/_last/:4"
    ),
    "stack": (
        "layers/block/:2 layers/block/second/:2 layers/block/first/:2 layers/block/_last/:4 layers/block_1/:2 "
        "layers/block_1/second/:2 layers/block_1/first/:2 layers/block_1/_last/:4"
    ),
}
"""Model → its groups and how many arrays each has, in the order of Keras's `weights`."""
KINDS = list(GROUPS)
ADAM = {"module": "keras.optimizers", "class_name": "Adam", "config": {"learning_rate": 0.01}, "registered_name": None}


def places(name):
    return [f"{g}vars/{i}" for g, n in (part.split(":") for part in GROUPS[name].split()) for i in range(int(n))]


def numbered(model):
    return [np.full(w.shape, i, np.float32) for i, w in enumerate(model.get_weights())]


def write(file, name, arrays):
    file.create_group("vars").attrs["name"] = name
    for place, array in zip(places(name), arrays, strict=True):
        file[place] = array


def archive(path, name, class_name, shape, file, compiled=None):
    config = {"module": "m", "class_name": class_name, "config": {}, "registered_name": f"tests>{class_name}"}
    config |= {"build_config": {"input_shape": shape}, "compile_config": compiled}
    with zipfile.ZipFile(path, "w") as to:
        to.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        to.writestr("config.json", json.dumps(config))
        to.writestr("model.weights.h5", file.getvalue())


@pytest.mark.parametrize("name", KINDS)
def test_weights_of_a_keras_file_go_to_the_attribute_that_they_are_of(name, tmp_path):
    model = built(keras, name)
    arrays = numbered(model)
    with h5py.File(path := tmp_path / "keras.weights.h5", "w") as file:
        write(file, name, arrays)
        file["optimizer/vars/0"] = np.int64(3)
        file["seed_generator/vars/0"] = np.zeros(2, np.uint32)
    model.load_weights(path)
    for found, array in zip(model.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("name", KINDS)
def test_weights_are_written_where_keras_looks_for_them(name, tmp_path):
    model = built(keras, name)
    model.set_weights(numbered(model))
    model.save_weights(path := tmp_path / "own.weights.h5")
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda place, part: found.update({place: part[()]}) if hasattr(part, "shape") else None)
    assert found.keys() == set(places(name))
    for number, place in enumerate(places(name)):
        assert (found[place] == number).all()


@pytest.mark.parametrize(("name", "class_name"), [("nested", "Nested"), ("owned", "Owned")])
def test_a_class_comes_back_from_a_keras_file_with_the_state_of_its_optimizer(name, class_name, tmp_path):
    """Keras lists state by the order of attributes; arrays of one shape would change places in silence."""
    arrays = numbered(built(keras, name))
    flags = [w.has_gradient for w in built(keras, name).weights]
    with h5py.File(content := io.BytesIO(), "w") as file:
        write(file, name, arrays)
        file["optimizer/vars/0"], file["optimizer/vars/1"] = np.int64(3), np.float32(0.01)
        trained_ones = [i for i, flag in enumerate(flags) if flag]
        for place, i in enumerate(trained_ones):
            for slot in range(2):
                file[f"optimizer/vars/{2 + 2 * place + slot}"] = np.full_like(arrays[i], 2 * i + slot)
    outputs = {"one": "mse", "two": "mse"} if name == "nested" else "mse"
    archive(tmp_path / "k.keras", name, class_name, [4, 3], content, {"optimizer": ADAM, "loss": outputs})
    model = keras.models.load_model(tmp_path / "k.keras", custom_objects=make(keras)[1])
    assert type(model).__name__ == class_name
    assert model.optimizer.iterations == 3
    for found, array in zip(model.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(found, array)
    state = model.engine.state_by_weight()
    for i, weight in enumerate(model.weights):
        for slot, arrays_of in enumerate(state.values()):
            if weight in arrays_of and flags[i]:
                assert (arrays_of[weight] == 2 * i + slot).all()


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("name", [name for name in KINDS if name != "owned"])
def test_a_training_goes_on_from_a_file_as_it_would_have(name, suffix, tmp_path):
    model = built(keras, name)
    trained(keras, model)
    model.save(path := tmp_path / f"own{suffix}")
    loaded = keras.models.load_model(path, custom_objects=make(keras)[1])
    for found, expected in zip(leaves(loaded.predict(X, verbose=0)), leaves(model.predict(X, verbose=0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(trained(keras, loaded, compiled=True), trained(keras, model, compiled=True), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_a_training_goes_on_where_a_layer_in_a_layer_is_frozen(suffix, tmp_path):
    """Its state is in no file of Keras's: whoever writes and whoever reads have to leave out the same."""

    class Frozen(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.b, self.fixed, self.a = (keras.layers.Dense(3) for _ in range(3))
            self.fixed.trainable = False

        def call(self, x):
            return self.a(self.fixed(self.b(x)))

    model = keras.Sequential([keras.Input((3,)), Frozen(), keras.layers.Dense(3)])
    trained(keras, model)
    model.save(path := tmp_path / f"own{suffix}")
    loaded = keras.models.load_model(path, custom_objects={"Frozen": Frozen})
    np.testing.assert_allclose(trained(keras, loaded, compiled=True), trained(keras, model, compiled=True), rtol=1e-6)


class Block(keras.layers.Layer):
    """As Keras's guide writes a layer of layers, which `build` builds one after the other."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv, self.norm = keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build(self.conv.compute_output_shape(input_shape))

    def call(self, x):
        return self.norm(self.conv(x))


def block_frozen_after_its_construction(name):
    block = Block()
    model = keras.Sequential([keras.Input((6, 6, 1)), block, keras.layers.Flatten(), keras.layers.Dense(2)])
    for part in name.split(" but "):
        thing = block if part == "all" else getattr(block, part)
        thing.trainable = not thing.trainable
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("frozen", ["conv", "norm", "all", "all but conv"])
def test_a_part_that_is_frozen_after_construction_stays_frozen_in_files(frozen, suffix, tmp_path):
    model = block_frozen_after_its_construction(frozen)
    model.save(path := tmp_path / f"own{suffix}")
    loaded = keras.models.load_model(path, custom_objects={"Block": Block})
    trained_ones = {"conv": 4, "norm": 4, "all": 2, "all but conv": 4}[frozen]
    assert len(loaded.trainable_weights) == len(model.trainable_weights) == trained_ones
    assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]
    x, y = np.random.default_rng(0).random((8, 6, 6, 1), np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 4]
    model.compile("adam", "mse")
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(path)
    loaded = keras.models.load_model(path, custom_objects={"Block": Block})
    before = [w.numpy() for w in model.weights if not w.trainable and w.has_gradient]
    for each in (model, loaded):
        each.fit(x, y, shuffle=False, verbose=0)
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    after = [w.numpy() for w in loaded.weights if not w.trainable and w.has_gradient]
    for found, expected in zip(after, before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("flags", ["all", [True], {"conv": 0}, 3])
def test_flags_of_parts_that_are_none_are_refused(flags, tmp_path):
    block_frozen_after_its_construction("conv").save(path := tmp_path / "own.keras")
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    metadata = json.loads(members["metadata.json"])
    metadata["minicnn_training"]["trainable_within"] = flags
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (members | {"metadata.json": json.dumps(metadata)}).items():
            file.writestr(name, data)
    with pytest.raises(FileFormatError, match="a list of 6 flags"):
        keras.models.load_model(path, custom_objects={"Block": Block})


def test_a_file_of_keras_with_a_part_that_was_frozen_begins_a_new_optimizer(tmp_path):
    """Keras 3.15.1 loads its own such file with all parts trained again, and warns that the state does not fit."""
    model = block_frozen_after_its_construction("conv")
    model.compile("adam", "mse")
    model.fit(np.ones((2, 6, 6, 1)), np.ones((2, 2)), verbose=0)
    model.save(path := tmp_path / "own.keras")
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    metadata = json.loads(members["metadata.json"])
    del metadata["minicnn_training"]  # which Keras does not write
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (members | {"metadata.json": json.dumps(metadata)}).items():
            file.writestr(name, data)
    with pytest.warns(UserWarning, match="begins anew"):
        loaded = keras.models.load_model(path, custom_objects={"Block": Block})
    assert loaded.optimizer.iterations == 0
    assert len(loaded.trainable_weights) == 6
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_weight_of_the_models_own_that_it_has_not_is_left_over(tmp_path):
    """Keras refuses it, too: 'expected 1 variables, but received 2'."""
    model = built(keras, "owned")
    model.save_weights(path := tmp_path / "own.weights.h5")
    with h5py.File(path, "r+") as file:
        file["vars/1"] = np.ones(3, np.float32)
    with pytest.raises(FileFormatError, match="not in the model: using/vars 1"):
        model.load_weights(path)


def damaged(file, how):
    if how == "missing":
        del file["add/code/vars/0"]
    elif how == "left over":
        file["layers/block/second/vars/2"] = np.zeros(3, np.float32)
    elif how == "another layer":
        file["further/vars/0"] = np.zeros(3, np.float32)
    elif how == "shape":
        del file["layers/block/vars/0"]
        file["layers/block/vars/0"] = np.zeros(4, np.float32)
    elif how == "nan":
        file["layers/block/vars/0"][0] = np.nan
    else:
        del file["layers/block/vars/0"]
        file["layers/block/vars/0"] = h5py.SoftLink("/add/code/vars/1")


@pytest.mark.parametrize("how", ["missing", "left over", "another layer", "shape", "nan", "link"])
def test_a_damaged_file_is_refused_and_changes_nothing(how, tmp_path):
    model = built(keras, "nested")
    before = model.get_weights()
    with h5py.File(path := tmp_path / "keras.weights.h5", "w") as file:
        write(file, "nested", numbered(model))
        damaged(file, how)
    with pytest.raises(FileFormatError, match=r"keras\.weights\.h5"):
        model.load_weights(path)
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_skip_mismatch_takes_the_layers_that_fit(tmp_path):
    model = built(keras, "nested")
    arrays, before = numbered(model), model.get_weights()
    with h5py.File(path := tmp_path / "keras.weights.h5", "w") as file:
        write(file, "nested", arrays)
        del file["add/code/vars/1"]
    with pytest.warns(UserWarning, match="stays as it is"):
        model.load_weights(path, skip_mismatch=True)
    stays = places("nested").index("add/code/vars/0")
    for i, found in enumerate(model.get_weights()):
        np.testing.assert_array_equal(found, before[i] if i in (stays, stays + 1) else arrays[i])


def test_a_model_without_a_graph_reads_a_keras_file_of_its_class(tmp_path):
    class Chooses(keras.Model):
        def __init__(self):
            super().__init__()
            self.b, self.a = keras.layers.Dense(3), keras.layers.Dense(3)

        def call(self, x):
            return self.b(self.a(x)) if float(np.asarray(x).max()) < 9 else x

    model = Chooses()
    with pytest.warns(UserWarning, match="runs on arrays"):
        model(X)
    with h5py.File(path := tmp_path / "k.weights.h5", "w") as file:
        file.create_group("vars").attrs["name"] = "chooses"
        for number, name in enumerate("ab"):
            file[f"{name}/vars/0"] = np.full((3, 3), number, np.float32)
            file[f"{name}/vars/1"] = np.full(3, number, np.float32)
    model.load_weights(path)
    for number, layer in enumerate((model.a, model.b)):
        assert all((array == number).all() for array in layer.get_weights())
    model.b.set_weights([np.full((3, 3), 7.0), np.full(3, 7.0)])
    model.save_weights(path)  # beside that file, which is older now
    model.b.set_weights([np.zeros((3, 3)), np.zeros(3)])
    model.load_weights(path)
    assert all((array == 7).all() for array in model.b.get_weights())
    os.utime(f"{path}.npz", (0, 0))  # as if Keras had written its file again
    model.load_weights(path)
    assert all((array == 1).all() for array in model.b.get_weights())
    with h5py.File(path, "a") as file:
        del file["b/vars/1"]
    with pytest.raises(FileFormatError, match="missing"):
        model.load_weights(path)


def test_a_file_of_an_older_minicnn_goes_by_the_graph(tmp_path):
    """It had a group for each layer in the order of calls, and no name of the model."""
    model = built(keras, "attributes")
    order = ["begin", "hidden", "zero", "out"]
    with h5py.File(path := tmp_path / "older.weights.h5", "w") as file:
        file.create_group("vars")
        for number, name in enumerate(order):
            group = file.create_group(f"layers/dense{f'_{number}' if number else ''}/vars")
            group.attrs["name"] = f"{name}_of_then"
            group["0"], group["1"] = np.full((3, 3), number, np.float32), np.full(3, number, np.float32)
    model.load_weights(path)
    for number, layer in enumerate([model.Begin, model.code, model.zero, model.out]):
        assert all((array == number).all() for array in layer.get_weights())


def test_layers_in_dicts_of_a_file_of_tf_keras_go_by_their_keys(tmp_path):
    """Its groups are those of tf_keras 2.21; layers of equal shapes would change places in silence."""

    class Heads(keras.Model):
        def __init__(self):
            super().__init__()
            z, n, m, y, c, self.tail = (keras.layers.Dense(3, name=name) for name in ("z", "n", "m", "y", "c", "tail"))
            self.heads = {"z": z, "m": [n, m], "a": {"y": y, "c": c}}

        def call(self, x):
            for layer in (self.heads["z"], *self.heads["m"], *self.heads["a"].values(), self.tail):
                x = layer(x)
            return x

    model = Heads()
    model(X)
    found = {"layers/dense": "c", "layers/dense_1": "y", "layers/dense_2": "n", "layers/dense_3": "m"}
    found |= {"layers/dense_4": "z", "tail": "tail"}
    with h5py.File(path := tmp_path / "tf.weights.h5", "w") as file:
        file.create_group("vars")
        for group, name in found.items():
            file[f"{group}/vars/0"], file[f"{group}/vars/1"] = np.ones((3, 3)), np.full(3, ord(name[0]), np.float32)
    model.load_weights(path)
    assert {w.layer.name: chr(int(w.numpy()[0])) for w in model.weights if w.shape == (3,)} == {
        name: name[0] for name in found.values()
    }


@pytest.mark.parametrize("name", ["tf.keras", "Keras 3"])
def test_state_of_tf_keras_that_is_in_another_order_is_left_out(name, tmp_path):
    """There a model's own weights come last."""
    arrays = numbered(built(keras, "owned"))
    with h5py.File(content := io.BytesIO(), "w") as file:
        write(file, "owned", arrays)
        file["optimizer/vars/0"], file["optimizer/vars/1"] = np.int64(3), np.float32(0.01)
        for i, array in enumerate(array for array in arrays for _ in range(2)):
            file[f"optimizer/vars/{2 + i}"] = array
        if name == "tf.keras":
            del file["vars"].attrs["name"]
    archive(tmp_path / "k.keras", "owned", "Owned", [None, 3], content, {"optimizer": ADAM, "loss": "mse"})
    objects = make(keras)[1]
    if name == "Keras 3":
        assert keras.models.load_model(tmp_path / "k.keras", custom_objects=objects).optimizer.iterations == 3
        return
    with pytest.warns(UserWarning, match="begins anew"):
        model = keras.models.load_model(tmp_path / "k.keras", custom_objects=objects)
    assert model.optimizer.iterations == 0
    np.testing.assert_array_equal(model.get_weights()[1], arrays[1])


@pytest.mark.parametrize(
    "shape", ["abc", 7, [None, 10**9], [None, -3], [None, "3"], [[None, 3], [None, 3]], {"x": [None, 3]}, [None, 2.5]]
)
def test_a_shape_that_the_class_cannot_be_built_for_is_refused(shape, tmp_path):
    with h5py.File(content := io.BytesIO(), "w") as file:
        write(file, "owned", numbered(built(keras, "owned")))
    archive(tmp_path / "k.keras", "owned", "Owned", shape, content)
    with pytest.raises(FileFormatError, match=r"k\.keras"):
        keras.models.load_model(tmp_path / "k.keras", custom_objects=make(keras)[1])


def test_more_inputs_than_a_model_may_have_are_refused(tmp_path):
    """Each of them would be a layer, made of four bytes of the file."""
    with h5py.File(content := io.BytesIO(), "w") as file:
        write(file, "owned", numbered(built(keras, "owned")))
    archive(tmp_path / "k.keras", "owned", "Owned", [[None, 3]] * 10_001, content)
    with pytest.raises(FileFormatError, match="at most 10000 inputs"):
        keras.models.load_model(tmp_path / "k.keras", custom_objects=make(keras)[1])


def test_metrics_that_are_multiplied_by_outputs_are_bounded():
    """A list of metrics is that of every output, of which a file of a user's class names as many as it likes."""
    compiled = {"optimizer": "sgd", "loss": ["mse"] * 400, "metrics": ["mae"] * 400}
    with pytest.raises(FileFormatError, match="at most 100000 metrics"):
        compile_from_keras(compiled, [""] * 400)
    with pytest.raises(FileFormatError, match="at most 10000 outputs"):
        compile_from_keras(compiled, [""] * 10_001)


def test_a_file_that_says_no_shape_says_what_to_do(tmp_path):
    with h5py.File(content := io.BytesIO(), "w") as file:
        write(file, "owned", numbered(built(keras, "owned")))
    archive(tmp_path / "k.keras", "owned", "Owned", None, content)
    with pytest.raises(FileFormatError, match="call it on data, and call load_weights"):
        keras.models.load_model(tmp_path / "k.keras", custom_objects=make(keras)[1])


def test_weights_of_a_whole_file_need_no_registered_class(tmp_path):
    """Keras asks the model at hand, not the file, of which class it is."""

    class OfNobody(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.b, self.a = keras.layers.Dense(3), keras.layers.Dense(3)

        def call(self, x):
            return self.b(self.a(x))

    model = OfNobody()
    model(X)
    with h5py.File(content := io.BytesIO(), "w") as file:
        file.create_group("vars").attrs["name"] = "of_nobody"
        for number, name in enumerate("ab"):
            file[f"{name}/vars/0"] = np.full((3, 3), number, np.float32)
            file[f"{name}/vars/1"] = np.full(3, number, np.float32)
    archive(tmp_path / "k.keras", "of_nobody", "OfNobody", [None, 3], content)
    model.load_weights(tmp_path / "k.keras")
    for number, layer in enumerate((model.a, model.b)):
        assert all((array == number).all() for array in layer.get_weights())
