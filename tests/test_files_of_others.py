"""Model files of other people: Keras 1's structure, files under other names, what was compiled with is not known."""

import io
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn.errors import FileFormatError
from minicnn.saving.keras.compiled import optimizer_from_keras

GOLDEN = Path(__file__).parent / "golden"

KERAS_1 = {
    "class_name": "Sequential",
    "keras_version": "1.2.2",
    "config": [
        {
            "class_name": "Convolution2D",
            "config": {
                "name": "c",
                "batch_input_shape": [None, 8, 8, 1],
                "nb_filter": 3,
                "nb_row": 3,
                "nb_col": 2,
                "border_mode": "same",
                "subsample": [1, 1],
                "init": "glorot_uniform",
                "dim_ordering": "tf",
                "activation": "hard_sigmoid",
                "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.01},
                "bias": True,
            },
        },
        {"class_name": "Dropout", "config": {"name": "d", "p": 0.25}},
        {"class_name": "Flatten", "config": {"name": "f"}},
        {"class_name": "Dense", "config": {"name": "o", "output_dim": 2, "init": "uniform", "activation": "linear"}},
    ],
}


def test_keras_1():
    model = mc.models.model_from_json(json.dumps(KERAS_1))
    assert [tuple(w.shape) for w in model.weights] == [(3, 2, 1, 3), (3,), (192, 2), (2,)]
    assert model.layers[1].rate == 0.25
    x = np.linspace(-40, 40, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    kernel = np.zeros((3, 2, 1, 3), np.float32)
    kernel[1, 0] = 1  # the pixel itself: "same" puts the odd column behind
    model.layers[0].set_weights([kernel, np.zeros(3, np.float32)])
    y = model.layers[0](x)
    np.testing.assert_allclose(y[..., 0], np.clip(0.2 * x[..., 0] + 0.5, 0, 1), atol=1e-6)  # Keras 1's and 2's formula


def test_volumes_of_keras_1():
    """As the C3D network's file of 2016 begins; the kernel's sizes are arguments of their own."""
    first = {
        **{"name": "conv1", "batch_input_shape": [None, 4, 8, 8, 3], "nb_filter": 5, "border_mode": "same"},
        **{"kernel_dim1": 3, "kernel_dim2": 2, "kernel_dim3": 1, "subsample": [1, 2, 1], "dim_ordering": "tf"},
        **{"init": "glorot_uniform", "activation": "relu", "bias": True, "W_regularizer": None},
    }
    pool = {"name": "pool1", "pool_size": [1, 2, 2], "strides": [1, 2, 2], "border_mode": "valid", "dim_ordering": "tf"}
    entries = [{"class_name": "Convolution3D", "config": first}, {"class_name": "MaxPooling3D", "config": pool}]
    model = mc.models.model_from_json(json.dumps(KERAS_1 | {"config": entries}))
    convolution = model.layers[0]
    assert (convolution.kernel_size, convolution.strides, convolution.padding) == ((3, 2, 1), (1, 2, 1), "same")
    assert [tuple(w.shape) for w in model.weights] == [(3, 2, 1, 3, 5), (5,)]
    assert model.output_shape == (None, 4, 2, 4, 5)


def test_hdf5_under_another_name(tmp_path):
    for name in ("model.keras", "model.hdf", "model"):
        shutil.copy(GOLDEN / "keras2.h5", tmp_path / name)
        model = mc.load_model(tmp_path / name)
        expected = mc.load_model(GOLDEN / "keras2.h5")
        for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["model.pt", "model.tflite", "saved_model.pb"])
def test_files_of_other_programs(name, tmp_path):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(FileFormatError, match="expected a file of minicnn or Keras"):
        mc.load_model(tmp_path / name)
    if name.endswith(".pb"):
        with pytest.raises(FileFormatError, match="SavedModel"):
            mc.load_model(tmp_path)


def named_files(folder, names):
    """Empty files, but for what says of which kind they are."""
    begins = {"m.json": b'{"class_name": "Sequential"', "model.json": b'{"format": "layers-model", "modelTopology": {'}
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(begins.get(name.rpartition("/")[2], b""))


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (
            ["ckpt.index", "ckpt.data-00000-of-00001", "checkpoint"],
            "ckpt",
            "tf_keras.*Received: a checkpoint of Tensor",
        ),
        (["ckpt.index", "checkpoint"], "ckpt.index", "Received: a checkpoint of TensorFlow"),
        (["c/checkpoint", "c/cp-0001.index"], "c", "Received: a checkpoint of TensorFlow"),
        (
            ["s/saved_model.pb"],
            "s",
            "tf2onnx.convert --saved-model .*/s --output.*Received: a folder with TensorFlow's",
        ),
        (
            ["js/model.json", "js/group1-shard1of1.bin"],
            "js",
            "tensorflowjs_converter .*Received: a model of TensorFlow.js",
        ),
        (["model.json"], "model.json", "Received: a model of TensorFlow.js"),
        (["m.json"], "m.json", r"model_from_json\(text\).*Received: the text"),
        (["m.weights.json"], "m.weights.json", "Received: an index of weights"),
        (["m.yaml"], "m.yaml", r"model_from_yaml\(text\).*Received: the text"),
        (["w.npz"], "w.npz", "numpy.load; model.set_weights takes"),
        (["m.tflite"], "m.tflite", "tf2onnx.convert --tflite"),
        (["graph.pb"], "graph.pb", "tf2onnx.convert --graphdef .*Received: TensorFlow's graph"),
        (["s/keras_metadata.pb"], "s/keras_metadata.pb", "tf_keras.models.load_model.*--saved-model FOLDER"),
        (["v/variables.index", "v/variables.data-00000-of-00001"], "v", "Received: a checkpoint of TensorFlow"),
        (["ckpt.meta"], "ckpt.meta", "Received: a checkpoint of TensorFlow"),
        (["checkpoint"], "checkpoint", "Received: a checkpoint of TensorFlow"),
        (["model.json", "group1-shard1of1.bin"], "group1-shard1of1.bin", "Received: a model of TensorFlow.js"),
        (["k/config.json", "k/model.weights.h5"], "k", "into a zip archive, model.keras.*Received: an unpacked"),
        (["m.tar.gz"], "m.tar.gz", "unpack it"),
        (["m.caffemodel"], "m.caffemodel", "take the model that it was made of, as ONNX"),
        (["m.keras.part"], "m.keras.part", "download it again"),
    ],
)
def test_what_to_do_with_files_of_other_programs(names, given, message, tmp_path):
    named_files(tmp_path, names)
    for read in (mc.load_model, mc.Sequential([mc.Input((2,)), mc.layers.Dense(1)]).load_weights):
        with pytest.raises(FileFormatError, match=f"expected a file of minicnn or Keras; .*{message}"):
            read(tmp_path / given)


@pytest.mark.parametrize("name", ["m.json", "m.yaml", "m.npz", "m.index", "m.data-00000-of-00001", "m.weights.json"])
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_models_under_other_names_are_read_by_what_is_in_them(suffix, name, tmp_path):
    """Keras 2 wrote under whatever name it was told."""
    model = mc.Sequential([mc.Input((2,)), mc.layers.Dense(1)])
    model.save(tmp_path / f"m{suffix}")
    (tmp_path / f"m{suffix}").rename(tmp_path / name)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(mc.load_model(tmp_path / name).predict(x), model.predict(x))


def test_what_is_not_there_is_what_is_said_first(tmp_path):
    """Rather than which names there are."""
    named_files(tmp_path, ["model.keras"])
    with pytest.raises(FileNotFoundError, match=r"did you mean 'model\.keras'"):
        mc.load_model(tmp_path / "model")
    with pytest.raises(OSError, match="which is a folder"):
        mc.load_model(tmp_path)


def test_files_of_pytorch_are_known_by_what_is_in_them(tmp_path):
    for name in ("net.ckpt", "net.pth.tar"):
        (tmp_path / name).write_bytes(b"\x80\x02}q\x00.")
    with zipfile.ZipFile(tmp_path / "net.bin", "w") as file:
        file.writestr("net/data.pkl", b"")
    for name in ("net.ckpt", "net.pth.tar", "net.bin"):
        with pytest.raises(FileFormatError, match=r"torch\.onnx\.export.*Received: a PyTorch file"):
            mc.load_model(tmp_path / name)


def test_a_model_in_an_archive_is_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as file:
        file.writestr("out/model.h5", b"")
    with pytest.raises(FileFormatError, match="unpack it, and load what is in it"):
        mc.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_lite_model_under_the_name_of_keras(suffix, tmp_path):
    (tmp_path / f"model{suffix}").write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(64)))
    with pytest.raises(FileFormatError, match="Received: a TensorFlow Lite model"):
        mc.load_model(tmp_path / f"model{suffix}")


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("load", [mc.load_model, mc.keras.models.load_model])
def test_stacks_of_stacks_as_teachable_machine_exports_them(load, backend):
    mc.set_backend(backend)
    expected = np.load(GOLDEN / "tfkeras_nested.npz")
    model = load(GOLDEN / "tfkeras_nested.h5", compile=False)
    assert [layer.name for layer in model.layers] == ["sequential_1", "sequential_3"]
    assert model.layers[1].layers[1].use_bias is False
    x, y = expected["x"], expected["y"]
    np.testing.assert_allclose(model.predict(x), expected["predicted"], atol=1e-5)
    one = np.ndarray((1, 12, 12, 3), np.float32)  # as the script that is exported with it
    one[0] = x[3]
    assert np.argmax(model.predict(one)) == np.argmax(expected["predicted"][3])
    model.compile("adam", "categorical_crossentropy", metrics=["acc"])
    for start, loss in zip(range(0, len(x), 4), expected["losses"], strict=True):
        found = model.train_on_batch(x[start : start + 4], y[start : start + 4])[0]
        assert found == pytest.approx(loss, abs=1e-4)


def call(names, is_keras_3):
    """What a layer that is called with a list of tensors, or with one, has among its arguments in a Keras file."""
    if not is_keras_3:
        return [[[name, 0, 0, {}] for name in names]]
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 4, 4, 3], "keras_history": [name, 0, 0]}}
        for name in names
    ]
    return [{"args": [tensors if len(names) > 1 else tensors[0]], "kwargs": {}}]


def model_with(class_name, config, names, is_keras_3):
    """The description of a model with a layer of one of Keras's applications, of two inputs or the first of these."""
    layers = [
        ("InputLayer", "a", {"batch_shape": [None, 4, 4, 3]}, []),
        ("InputLayer", "b", {"batch_shape": [None, 4, 4, 3]}, []),
    ]
    layers += [(class_name, "own", config, call(names, is_keras_3)), ("ReLU", "r", {}, call(["own"], is_keras_3))]
    ends = {"input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["r", 0, 0]]}
    entries = [
        {"class_name": kind, "name": name, "config": {"name": name, **more}, "inbound_nodes": nodes}
        for kind, name, more, nodes in layers
    ]
    return json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": entries, **ends}})


@pytest.mark.parametrize("is_keras_3", [True, False])
def test_scaled_sums_of_inception_resnets(is_keras_3, rng):
    """Keras's InceptionResNetV2 has a layer of its own for x + scale · y."""
    config = {"scale": 0.25, "trainable": True, "dtype": "float32"}
    model = mc.models.model_from_json(model_with("CustomScaleLayer", config, ["b", "a"], is_keras_3))
    assert [layer.name for layer in model.layers] == ["a", "b", "own_scaled", "own", "r"]
    a, b = rng.normal(size=(2, 5, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict([a, b]), np.maximum(b + 0.25 * a, 0), atol=1e-6)


@pytest.mark.parametrize("is_keras_3", [True, False])
def test_stochastic_depth_of_convnexts(is_keras_3, rng):
    model = mc.models.model_from_json(model_with("StochasticDepth", {"drop_path_rate": 0.5}, ["a"], is_keras_3))
    (depth,) = [layer for layer in model.layers if layer.name == "own"]
    a = np.ones((64, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(model.predict([a, a]), a)
    dropped = depth(a, training=True)  # whole samples, the others twice as large
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropped == dropped[:, :1, :1, :1]).all()


def test_a_class_of_ones_own_comes_before_that_of_an_application():
    class CustomScaleLayer(mc.layers.Add):
        def __init__(self, scale=1.0, **kwargs):
            super().__init__(**kwargs)
            self.scale = scale

    text = model_with("CustomScaleLayer", {"scale": 0.25}, ["a", "b"], True)
    model = mc.models.model_from_json(text, custom_objects={"CustomScaleLayer": CustomScaleLayer})
    assert [type(layer).__name__ for layer in model.layers if layer.name == "own"] == ["CustomScaleLayer"]


# Function of TensorFlow, its further arguments in the call, the number that stands first, what it computes.
TF_FUNCTIONS = {
    "x / 255": ("math.truediv", {"y": 255.0}, None, lambda x: x / 255),
    "x - [1, 2, 3]": ("math.subtract", {"y": [1, 2.5, 3]}, None, lambda x: x - [1, 2.5, 3]),
    "2 - x": ("math.subtract", {}, 2, lambda x: 2 - x),
    "x + 1": ("__operators__.add", {"y": 1}, None, lambda x: x + 1),
    "x * 2": ("math.multiply", {"y": 2}, None, lambda x: x * 2),
    "x ** 2": ("math.pow", {"y": 2}, None, lambda x: x**2),
    "maximum": ("math.maximum", {"y": 0.25}, None, lambda x: np.maximum(x, 0.25)),
    "bias_add": ("nn.bias_add", {"bias": [1, 2, 3], "data_format": "channels_last"}, None, lambda x: x + np.r_[1:4]),
    "sigmoid": ("math.sigmoid", {}, None, lambda x: 1 / (1 + np.exp(-x))),
    "relu6": ("nn.relu6", {}, None, lambda x: np.clip(x, 0, 6)),
    "cast": ("cast", {"dtype": "float32"}, None, lambda x: x),
    "clip": ("clip_by_value", {"clip_value_min": -0.5, "clip_value_max": 0.5}, None, lambda x: np.clip(x, -0.5, 0.5)),
    "mean": ("math.reduce_mean", {"axis": [1, 2]}, None, lambda x: x.mean((1, 2))),
    "max": ("math.reduce_max", {"axis": [1, 2], "keepdims": True}, None, lambda x: x.max((1, 2), keepdims=True)),
    "reshape": ("reshape", {"shape": [-1, 8, 6]}, None, lambda x: x.reshape(-1, 8, 6)),
    "transpose": ("transpose", {"perm": [0, 3, 1, 2]}, None, lambda x: x.transpose(0, 3, 1, 2)),
}


def tf_model(function, class_name="TFOpLambda", first=None, input_dtype="float32", **arguments):
    """The description of a model that computes a function of TensorFlow of its input (N, 4, 4, 3)."""
    node = ["x", 0, 0, arguments] if first is None else ["_CONSTANT_VALUE", -1, first, {"y": ["x", 0, 0], **arguments}]
    layers = [
        ("InputLayer", "x", {"batch_input_shape": [None, 4, 4, 3], "dtype": input_dtype}, []),
        (class_name, "tf.f", {"function": function, "trainable": True, "dtype": "float32"}, [node]),
        ("Activation", "y", {"activation": "linear"}, [[["tf.f", 0, 0, {}]]]),
    ]
    entries = [
        {"class_name": kind, "name": name, "config": {"name": name, **more}, "inbound_nodes": nodes}
        for kind, name, more, nodes in layers
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["y", 0, 0]]}
    return json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": entries, **ends}})


@pytest.mark.parametrize("name", TF_FUNCTIONS)
def test_functions_of_tensorflow(name, rng):
    function, arguments, first, expected = TF_FUNCTIONS[name]
    model = mc.models.model_from_json(tf_model(function, first=first, name=None, **arguments))
    x = rng.normal(size=(5, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), expected(x.astype(np.float64)), rtol=1e-5, atol=1e-5)


WHOLE = {"start": None, "stop": None, "step": None}


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ([{"class_name": "__ellipsis__"}, WHOLE | {"step": -1}], np.s_[..., ::-1]),
        ([WHOLE, WHOLE | {"start": 1}, 2], np.s_[:, 1:, 2]),
        ([WHOLE, {"class_name": "__ellipsis__"}, 0], np.s_[:, ..., 0]),
        ([{"class_name": "__ellipsis__"}, WHOLE, WHOLE, WHOLE, WHOLE | {"stop": 2}], np.s_[:, :, :, :2]),
    ],
    ids=str,
)
def test_parts_of_tensorflow(spec, key, rng):
    text = tf_model("__operators__.getitem", "SlicingOpLambda", slice_spec=spec)
    x = rng.normal(size=(5, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(mc.models.model_from_json(text).predict(x), x[key])


def test_two_tensors_of_tensorflow(rng):
    description = json.loads(tf_model("math.subtract"))
    nodes = description["config"]["layers"][1]["inbound_nodes"]
    nodes[0] = ["x", 0, 0, {"y": ["r", 0, 0]}]
    relu = {"class_name": "ReLU", "name": "r", "config": {"name": "r"}, "inbound_nodes": [[["x", 0, 0, {}]]]}
    description["config"]["layers"].insert(1, relu)
    x = rng.normal(size=(5, 4, 4, 3)).astype(np.float32)
    model = mc.models.model_from_json(json.dumps(description))
    np.testing.assert_array_equal(model.predict(x), np.minimum(x, 0))
    nodes[0] = [["x", 0, 0, {"axis": -1}], ["r", 0, 0, {"axis": -1}]]
    description["config"]["layers"][2]["config"]["function"] = "concat"
    model = mc.models.model_from_json(json.dumps(description))
    np.testing.assert_array_equal(model.predict(x), np.concatenate([x, np.maximum(x, 0)], -1))


@pytest.mark.parametrize(
    "options",
    [
        {"function": "math.special.bessel_i0"},
        {"function": ["math.add"], "y": 1},
        {"function": "math.truediv", "y": 0},
        {"function": "math.multiply", "y": 10**400},
        {"function": "math.multiply", "y": "2"},
        {"function": "math.add", "y": 1, "input_dtype": "uint8"},  # which wraps around there
        {"function": "math.truediv", "y": ["x", 0, 0]},
        {"function": "nn.softmax", "axis": -1, "z": 1},
        {"function": "cast", "dtype": "int32"},
        {"function": "reshape", "shape": [2, 3]},
        {"function": "__operators__.getitem", "slice_spec": [0]},  # one of the samples
    ],
    ids=str,
)
def test_functions_of_tensorflow_that_no_layer_is(options):
    with pytest.raises(FileFormatError, match=r"layer 'tf.f' \(TFOpLambda\): there is no layer here that does what"):
        mc.models.model_from_json(tf_model(**options))


# ------------------------------------------------------------------------- names with slashes, optimizers before 2.11


def with_slashes(text):
    return text.replace('"conv_bn"', '"conv/bn"').replace('"conv_bn_out"', '"conv/bn/out"')


def test_names_with_slashes_that_would_meet_keep_their_weights(rng, tmp_path):
    """ "a/b_c", "a_b/c" and "a_b_c", which would all be the last one; their weights are of one shape."""
    h5py = pytest.importorskip("h5py")
    names = {"one": "a/b_c", "two": "a_b/c", "three": "a_b_c"}
    model = mc.Sequential([mc.Input((2,)), *(mc.layers.Dense(2, name=name) for name in names)])
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        text, group = file.attrs["model_config"], file["model_weights"]
        for name, old in names.items():
            text = text.replace(f'"{name}"', f'"{old}"')
            group.move(name, old)
        file.attrs["model_config"] = text
        group.attrs["layer_names"] = np.array([*names.values()], "S")
    loaded, x = mc.load_model(tmp_path / "m.h5"), rng.normal(size=(2, 2)).astype(np.float32)
    assert [layer.name for layer in loaded.layers] == ["a_b_c_", "a_b_c__", "a_b_c"]
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


def net_with_names(rng):
    conv = [mc.layers.Conv2D(2, 1, name="conv"), mc.layers.BatchNormalization(name="conv_bn")]
    inner = mc.Sequential([mc.Input((3, 3, 1)), *conv, mc.layers.Conv2D(2, 1, name="conv_bn_out")], name="inner")
    x = mc.Input((3, 3, 1))
    model = mc.Model(x, mc.layers.Dense(2, name="last")(mc.layers.Flatten(name="flat")(inner(x))))
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape).astype(np.float32))
    return model, inner


@pytest.mark.parametrize("is_inner", [True, False])
def test_names_with_slashes_in_old_files(is_inner, rng, tmp_path):
    """As those of tf.keras's MobileNetV3: a layer's group lies in another layer's."""
    h5py = pytest.importorskip("h5py")
    whole, inner = net_with_names(rng)
    model = whole if is_inner else inner
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["model_config"] = with_slashes(file.attrs["model_config"])
        group = file["model_weights"]
        if not is_inner:
            names = [with_slashes(f'"{name.decode()}"').strip('"') for name in group.attrs["layer_names"]]
            group.attrs["layer_names"] = np.array(names, "S")
            group.move("conv_bn", "conv/bn")
            group.move("conv_bn_out", "conv/bn/out")
    x = rng.normal(size=(2, 3, 3, 1)).astype(np.float32)
    loaded = mc.load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    if not is_inner:
        other = mc.Sequential(
            [mc.Input((3, 3, 1)), mc.layers.Conv2D(2, 1), mc.layers.BatchNormalization(name="conv_bn")]
        )
        other.load_weights(tmp_path / "m.h5", by_name=True)
        np.testing.assert_array_equal(other.layers[1].get_weights(), model.get_layer("conv_bn").get_weights())


def test_names_with_slashes_that_would_meet(rng, tmp_path):
    h5py = pytest.importorskip("h5py")
    net_with_names(rng)[0].save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        text = json.dumps(json.loads(file.attrs["model_config"]) | {"keras_version": "2.9.0"})
    text = text.replace('"conv"', '"conv_/bn"').replace('"conv_bn"', '"conv__bn"')
    layers = mc.models.model_from_json(text).get_layer("inner").layers
    assert [layer.name for layer in layers] == ["conv__bn_", "conv__bn", "conv_bn_out"]


@pytest.mark.parametrize("class_name", ["Nadam", "SGD"])
def test_decay_of_optimizers_before_keras_2_11(class_name):
    entry = {"class_name": class_name, "config": {"learning_rate": 0.5, "decay": 0.004}}
    if class_name == "SGD":
        rate = optimizer_from_keras(entry)["config"]["learning_rate"]
        assert rate["config"] == {"initial_learning_rate": 0.5, "decay_steps": 1, "decay_rate": 0.004}
        return
    expected = {"learning_rate": 0.5, "schedule_decay": 0.004}  # its decay is the momentum's
    assert optimizer_from_keras(entry)["config"] == expected
    entry["config"] = {"lr": 0.5, "schedule_decay": 0.004}  # Keras before 2.3
    assert optimizer_from_keras(entry)["config"] == expected


@pytest.mark.parametrize("class_name", ["RMSprop", "Adagrad", "Adam"])
@pytest.mark.parametrize("extra", [{"decay": 0.0}, {"is_legacy_optimizer": True}, {"is_legacy_optimizer": False}, {}])
def test_epsilon_of_optimizers_before_keras_2_11(class_name, extra):
    entry = {"class_name": class_name, "config": {"learning_rate": 0.5, **extra}}
    is_older = extra not in ({}, {"is_legacy_optimizer": False}) and class_name != "Adam"
    expected = {"learning_rate": 0.5} | ({"epsilon_in_root": False} if is_older else {})
    assert optimizer_from_keras(entry)["config"] == expected


def test_nadam_of_keras_2_11_to_2_15_is_warned_of():
    entry = {"class_name": "Nadam", "config": {"learning_rate": 0.5, "is_legacy_optimizer": False}}
    with pytest.warns(UserWarning, match="once for each weight"):
        assert optimizer_from_keras(entry)["config"] == {"learning_rate": 0.5}
    entry["config"] = {"learning_rate": 0.5, "decay": 0.0}  # of the rule before, whose momentum did not rise
    assert optimizer_from_keras(entry)["config"] == {"learning_rate": 0.5, "schedule_decay": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # today's
        assert optimizer_from_keras({"class_name": "Nadam", "config": {"learning_rate": 0.5}})["config"]


@pytest.mark.parametrize("name", ["nadam", "rmsprop", "adagrad", "ftrl", "adafactor"])
def test_older_optimizers_go_on_from_their_files(name):
    """See tests/golden/make_older_optimizers.py."""
    golden = np.load(GOLDEN / "older_optimizers.npz")
    model = mc.load_model(GOLDEN / f"older_{name}.h5")
    assert model.optimizer.iterations == 3
    for x, y in zip(golden["x"][3:], golden["y"][3:], strict=True):
        model.train_on_batch(x, y)
    np.testing.assert_allclose(np.concatenate([w.reshape(-1) for w in model.get_weights()]), golden[name], atol=1e-6)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", ["nadam", "adafactor"])
def test_their_state_in_files_of_ours(name, suffix, tmp_path):
    """The rule of Keras before 2.11 is left out of Keras's files, which a warning says; the state is all there."""
    pytest.importorskip("h5py")
    model = mc.load_model(GOLDEN / f"older_{name}.h5")
    if name == "nadam":
        with pytest.warns(UserWarning, match="schedule_decay.*left out"):
            model.save(tmp_path / f"m{suffix}")
    else:
        model.save(tmp_path / f"m{suffix}")
    model.save(tmp_path / "m.safetensors")
    assert mc.load_model(tmp_path / "m.safetensors").optimizer.get_config() == model.optimizer.get_config()
    back = mc.load_model(tmp_path / f"m{suffix}")
    golden = np.load(GOLDEN / "older_optimizers.npz")
    if name == "nadam":
        back.optimizer.schedule_decay = model.optimizer.schedule_decay
    for each in (model, back):
        each.train_on_batch(golden["x"][3], golden["y"][3])
    for mine, other in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_file_without_its_optimizers_state_says_so(tmp_path):
    """tf.keras's older optimizers write none into .keras files."""
    h5py = pytest.importorskip("h5py")
    model = mc.Sequential([mc.Input((3,)), mc.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3), np.float32), np.ones((4, 1), np.float32), verbose=0)
    model.save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name in whole.namelist():
            content = io.BytesIO(whole.read(name))
            if name.endswith(".h5"):
                with h5py.File(content, "a") as file:
                    del file["optimizer"]
            archive.writestr(name, content.getvalue())
    with pytest.warns(UserWarning, match="no state of its optimizer"):
        assert mc.load_model(tmp_path / "m.keras").optimizer.iterations == 0
    assert mc.load_model(tmp_path / "whole.keras").optimizer.iterations == 1


AUGMENTING = [("RandomFlip", {}), ("RandomRotation", {"factor": 0.1})]


def test_ellipses_behind_augmentation(rng):
    """preprocess_input of ResNet50 and VGG16 in a tf.keras model: `x[..., ::-1]` and three numbers added."""
    inner = [{"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": [None, 4, 5, 3]}}]
    inner += [{"class_name": kind, "config": {"name": kind, **own}} for kind, own in AUGMENTING]
    spec = {"slice_spec": [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]}
    layers = [
        ("InputLayer", "a", {"batch_input_shape": [None, 4, 5, 3]}, []),
        ("Sequential", "augment", {"layers": inner}, [[["a", 0, 0, {}]]]),
        ("Rescaling", "scaled", {"scale": 2.0}, [[["augment", 1, 0, {}]]]),
        ("SlicingOpLambda", "turned", {"function": "__operators__.getitem"}, [["scaled", 0, 0, spec]]),
        ("TFOpLambda", "plus", {"function": "nn.bias_add"}, [["turned", 0, 0, {"bias": [1.0, 2.0, 3.0]}]]),
    ]
    entries = [
        {"class_name": kind, "name": name, "config": {"name": name, **own}, "inbound_nodes": nodes}
        for kind, name, own, nodes in layers
    ]
    config = {"name": "m", "layers": entries, "input_layers": [["a", 0, 0]], "output_layers": [["plus", 0, 0]]}
    text = json.dumps({"class_name": "Functional", "config": config, "keras_version": "2.15.0"})
    x = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
    expected = 2 * x[..., ::-1] + np.float32([1, 2, 3])
    np.testing.assert_allclose(mc.models.model_from_json(text).predict(x), expected, atol=1e-6)
