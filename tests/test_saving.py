"""Models in files: structure, weights, training state; what is refused, and that nothing is ever half done."""

import errno
import json
import os
import stat
import struct
import sys
from functools import partial
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
from oracles import BACKENDS

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import FileFormatError, NonFiniteError, NotBuiltError
from minicnn.layers import CLASSES
from minicnn.saving import files, native
from minicnn.saving.snapshot import join_arrays, split_arrays

GOLDEN = Path(__file__).with_name("golden")


def stack():
    """A compiled stack with everything that has a state."""
    model = mc.Sequential(
        [
            mc.Input((6, 6, 2)),
            layers.Conv2D(3, 3, activation="leaky_relu", kernel_regularizer="l2", name="convolution"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(4, activation="softmax", kernel_initializer="he_normal"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def graph():
    """Two inputs, two outputs, a shared layer, a shared model, training=True at one place."""
    a, b = mc.Input((4,), name="a"), mc.Input((4,), name="b")
    shared = layers.Dense(3, name="shared")
    inner = mc.Sequential([layers.Dense(3, activation="tanh"), layers.Dropout(0.3)], name="inner")
    x, y = shared(a), shared(b)
    total = layers.Add()([inner(x, training=True), inner(y), x])
    frozen = layers.Dense(2, name="frozen", trainable=False)(total)
    model = mc.Model([a, b], [frozen, layers.Dense(1, name="size")(total)], name="graph")
    schedule = mc.optimizers.schedules.CosineDecay(0.1, 20)
    model.compile(
        mc.optimizers.SGD(schedule, momentum=0.9, clipnorm=1.0),
        {"frozen": "mse", "size": mc.losses.MeanAbsoluteError()},
        {"frozen": ["mae"]},
        loss_weights=[1, 0.5],
    )
    return model


DATA = {
    "stack": (np.random.default_rng(1).normal(size=(20, 6, 6, 2)), np.arange(20) % 4),
    "graph": (
        list(np.random.default_rng(2).normal(size=(2, 20, 4))),
        [np.random.default_rng(3).normal(size=(20, n)) for n in (2, 1)],
    ),
}
MODELS = {"stack": stack, "graph": graph}
every_model = pytest.mark.parametrize("name", MODELS)


def assert_equal_weights(first, second):
    pairs = list(zip(first.get_weights(), second.get_weights(), strict=True))
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


# ------------------------------------------------------------------------------------------------------ structure


def test_a_text_asks_for_no_more_memory_than_there_may_be():
    """It holds no weights by which its layers could be measured; later models have what they ask for."""
    text = mc.Sequential([mc.layers.Input((12,)), mc.layers.Dense(987)]).to_json()
    for units in (10**12, 2**31):
        with pytest.raises(FileFormatError, match="more numbers than a text of a model may ask for"):
            mc.models.model_from_json(text.replace("987", str(units)))
    assert mc.models.model_from_json(text).layers[-1].kernel.numpy().std() > 0


@every_model
def test_json_round_trip(name):
    model = MODELS[name]()
    again = mc.Model.from_json(model.to_json(indent=1))
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    assert [t.name for t in again.inputs] == [t.name for t in model.inputs]
    assert list(again.named_weights()) == list(model.named_weights())
    assert [layer.trainable for layer in again.layers] == [layer.trainable for layer in model.layers]
    again.set_weights(model.get_weights())
    x = DATA[name][0]
    for a, b in zip(model.predict(x), again.predict(x), strict=True):
        if name != "graph":  # where one place draws masks
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(mc.models.clone_model(model).get_weights()[0], model.get_weights()[0])


def test_what_a_config_says_in_keras_words():
    config = graph().get_config()
    assert config["input_layers"] == [["a", 0, 0], ["b", 0, 0]]
    assert config["output_layers"] == [["frozen", 0, 0], ["size", 0, 0]]
    (shared,) = (entry for entry in config["layers"] if entry["name"] == "shared")
    histories = [node["args"][0]["config"]["keras_history"] for node in shared["inbound_nodes"]]
    assert histories == [["a", 0, 0], ["b", 0, 0]]
    (inner,) = (entry for entry in config["layers"] if entry["name"] == "inner")
    assert inner["class_name"] == "Sequential"
    assert [node["kwargs"] for node in inner["inbound_nodes"]] == [{"training": True}, {}]
    json.dumps(config, allow_nan=False)


@pytest.mark.parametrize("name", [n for n, cls in CLASSES.items() if n != "InputLayer" and hasattr(cls, "examples")])
def test_every_layer_survives_a_file(name, tmp_path, rng):
    for layer, shapes in CLASSES[name].examples():
        inputs = [mc.Input(shape) for shape in shapes]
        model = mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
        model.set_weights([rng.normal(size=w.shape) ** 2 for w in model.weights])
        model.save(tmp_path / "x.safetensors")
        again = mc.load_model(tmp_path / "x.safetensors")
        assert again.get_config() == model.get_config()
        x = [rng.normal(size=(3, *shape)) for shape in shapes]
        x = x if len(x) > 1 else x[0]
        np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_graph_that_begins_inside_another_one():
    outer = stack()
    inner = mc.Model(outer.layers[0].output, outer.output)
    again = mc.models.model_from_json(inner.to_json())
    again.set_weights(inner.get_weights())
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 3))
    np.testing.assert_array_equal(again.predict(x), inner.predict(x))


def test_layer_shared_by_several_models_of_one_config():
    shared = layers.Dense(3)
    inner = mc.Sequential([mc.Input((3,)), shared], name="inner")
    image = mc.Input((3,))
    model = mc.Model(image, layers.Add()([inner(image), shared(image)]))
    again = mc.models.model_from_json(model.to_json())
    assert len(again.weights) == len(model.weights) == 2
    assert again.count_params() == 12


def test_unbuilt_stack():
    model = mc.Sequential([layers.Dense(3), mc.Sequential([layers.Dense(2)], name="inner")])
    again = mc.models.model_from_json(model.to_json())
    assert not again.built
    again.build((None, 5))
    assert again.count_params() == 18 + 8
    with pytest.raises(NotBuiltError):
        model.save("never.safetensors")


def test_deep_config_takes_linear_time():
    entries = [{"class_name": "ReLU", "config": {"name": f"r{i}"}} for i in range(3000)]
    config = {"name": "s", "layers": [{"class_name": "InputLayer", "config": {"shape": [4]}}, *entries]}
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        mc.Sequential.from_config(config)
    finally:
        sys.setprofile(None)
    assert calls < 3000 * 500


class Scale(layers.Layer):
    """A layer of somebody's own."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shapes):
        return input_shapes[0]

    def forward(self, xs, ws):
        np.multiply(xs[0], self.factor, out=ws.y)

    def backward(self, dy, ws):
        np.multiply(dy, self.factor, out=ws.dxs[0])


def test_own_layers(tmp_path):
    model = mc.Sequential([mc.Input((3,)), Scale(3.0), layers.Dense(2)])
    model.save(tmp_path / "own.safetensors")
    with pytest.raises(FileFormatError, match=r"Unknown layer.*custom_objects=\{'Scale'.*layers.register"):
        mc.load_model(tmp_path / "own.safetensors")
    again = mc.load_model(tmp_path / "own.safetensors", custom_objects={"Scale": Scale})
    assert again.layers[0].factor == 3
    assert mc.models.clone_model(model).layers[0].factor == 3
    with pytest.raises(TypeError, match="custom_objects is a dict"):
        mc.load_model(tmp_path / "own.safetensors", custom_objects=[Scale])


def test_own_metrics(tmp_path):
    class Largest(mc.metrics.Metric):
        def __init__(self, name="largest"):
            super().__init__(name)

        def measure(self, target, prediction):
            return prediction.max(), 1

    model = mc.Sequential([mc.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", [Largest()])
    model.save(tmp_path / "own.safetensors")
    with pytest.warns(UserWarning, match=r"Unknown metric.*'Largest'.*custom_objects=.*compile=False"):
        assert mc.load_model(tmp_path / "own.safetensors").compiled is None
    again = mc.load_model(tmp_path / "own.safetensors", custom_objects={"Largest": Largest})
    assert "largest" in again.evaluate(np.ones((2, 3)), np.ones((2, 2)), verbose=0, return_dict=True)
    assert mc.load_model(tmp_path / "own.safetensors", compile=False).compiled is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ("[]", "expected a JSON object"),
        ('{"class_name": "Sequential", "class_name": "Sequential"}', "more than once"),
        ('{"class_name": "os.system", "config": {"command": "true"}}', "Unknown layer"),
        ('{"class_name": "Dense", "config": {"units": 3}}', "config of a model"),
        ('{"class_name": "Sequential", "config": {"layers": 3}}', "list 'layers'"),
        ('{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"x": 1}}]}}', "units"),
        ("[" * 100_000, "expected JSON"),
        ('{"class_name": "Sequential", "config": "Sequential"}', r"from_config takes a dict.*Received: 'Sequential'"),
        (
            '{"class_name": "Functional", "config": {"layers": [{"class_name": "ReLU", "inbound_nodes": 3}]}}',
            r"layer \(ReLU\): a layer of a graph has .*a list of calls.*Received: name='', inbound_nodes=3",
        ),
        ('{"class_name": "Net", "config": 7}', r"layer \(Net\): Unknown layer.*custom_objects=.'Net': its class"),
        ('{"class_name": "Dense", "config": {}, "shared_object_id": {"a": 1}}', "shared_object_id is a number"),
    ],
)
def test_text_that_is_no_model(text, message):
    with pytest.raises(FileFormatError, match=message):
        mc.models.model_from_json(text)


def test_models_that_double_and_double():
    def tensor(name, call=0):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, 0]}}

    model = json.loads(mc.Sequential([mc.Input((3,)), layers.ReLU()]).to_json())
    start = {"class_name": "InputLayer", "config": {"shape": [3]}, "name": "i", "inbound_nodes": []}
    for level in range(30):
        calls = [{"args": [tensor(name)], "kwargs": {}} for name in ("i", "m")]
        ends = {"input_layers": [["i", 0, 0]], "output_layers": [["m", 1, 0]]}
        config = {"name": f"level{level}", "layers": [start, {**model, "name": "m", "inbound_nodes": calls}], **ends}
        model = {"class_name": "Functional", "config": config}
    with pytest.raises(FileFormatError, match="100000 calls of layers"):
        mc.models.model_from_json(json.dumps(model))


def test_calls_that_do_not_exist():
    config = json.loads(graph().to_json())
    entry = next(e for e in config["config"]["layers"] if e["name"] == "size")
    entry["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = ["size", 0, 0]
    with pytest.raises(FileFormatError, match=r"outputs that do not exist.*size"):
        mc.models.model_from_json(json.dumps(config))


# ------------------------------------------------------------------------------------------------ the whole model


@every_model
@pytest.mark.parametrize("backend", BACKENDS)
def test_saved_model_goes_on_as_if_nothing_had_happened(name, backend, tmp_path):
    x, y = DATA[name]
    mc.set_backend(backend)
    model = MODELS[name]()
    model.fit(x, y, batch_size=6, epochs=2, verbose=0)
    model.save(tmp_path / "model.safetensors")
    again = mc.load_model(tmp_path / "model.safetensors")
    assert_equal_weights(model, again)
    assert again.history.history == model.history.history
    assert again.history.epoch == [0, 1]
    assert again.optimizer.iterations == model.optimizer.iterations == 8
    first = model.fit(x, y, batch_size=6, epochs=2, verbose=0)  # another order of samples, other masks
    second = again.fit(x, y, batch_size=6, epochs=2, verbose=0)
    assert second.history == first.history
    assert_equal_weights(model, again)


def test_float64(tmp_path):
    mc.utils.set_floatx("float64")
    model = stack()
    model.save(tmp_path / "model.safetensors")
    mc.utils.set_floatx("float32")
    again = mc.load_model(tmp_path / "model.safetensors")
    assert_equal_weights(model, again)
    assert again.weights[0].dtype == np.float64
    assert mc.utils.floatx() == "float32"


def test_numbers_that_do_not_fit(tmp_path):
    mc.utils.set_floatx("float64")
    large = stack()
    large.set_weights([np.full(w.shape, 1e200) for w in large.weights])
    large.save(tmp_path / "large.safetensors")
    mc.utils.set_floatx("float32")
    small = mc.models.model_from_json(large.to_json().replace('"float64"', '"float32"'))
    before = small.get_weights()
    with pytest.raises(FileFormatError, match="too large for float32"):
        small.load_weights(tmp_path / "large.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(before, small.get_weights(), strict=True))


def test_model_that_is_not_compiled(tmp_path):
    model = mc.models.clone_model(stack())
    model.save(tmp_path / "model.safetensors")
    assert mc.load_model(tmp_path / "model.safetensors").compiled is None
    stack().save(tmp_path / "model.safetensors")
    assert mc.load_model(tmp_path / "model.safetensors", compile=False).compiled is None


def test_unusual_names_and_paths(tmp_path, monkeypatch):
    model = stack()
    monkeypatch.chdir(tmp_path)
    model.save("gr\u00fc\u00dfe.SAFETENSORS")
    assert_equal_weights(mc.load_model(Path("gr\u00fc\u00dfe.SAFETENSORS")), model)
    for wrong, message in (
        ("model.pkl", "ends in .*safetensors"),
        ("model.onnx", "mc.import_onnx"),
        ("model", "ends in"),
        ("model.weights.h5", "save_weights"),
    ):
        with pytest.raises(ValueError, match=message):
            model.save(wrong)
    with pytest.raises(TypeError, match="a path is"):
        model.save(3)
    with pytest.raises(FileNotFoundError):
        mc.load_model("none.safetensors")
    with pytest.raises(FileNotFoundError):
        model.save("no_such_folder/model.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OSError, match="expected a file"):
        mc.load_model("folder.safetensors")
    with pytest.raises(ValueError, match="safe_mode"):
        mc.load_model("gr\u00fc\u00dfe.SAFETENSORS", safe_mode=False)
    with pytest.raises(ValueError, match="without '/'"):
        layers.Dense(3, name="a/b")


# ---------------------------------------------------------------------------------------------------- the weights


def test_weights_alone(tmp_path):
    first, second = stack(), stack()
    first.save_weights(tmp_path / "w.safetensors")
    second.load_weights(tmp_path / "w.safetensors")  # its layers are called batch_normalization_1, dense_1
    assert_equal_weights(first, second)
    with pytest.raises(FileFormatError, match="weights alone"):
        mc.load_model(tmp_path / "w.safetensors")
    first.save(tmp_path / "m.safetensors")
    second.load_weights(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.add(layers.Dense(2, name="more")), "missing: more/kernel, more/bias"),
        (lambda m: m.pop(), "not in the model: dense/kernel, dense/bias"),
        (
            lambda m: (m.pop(), m.add(layers.Dense(5, name="dense"))),
            r"dense/kernel is \(48, 4\) in the file and \(48, 5\) in the model",
        ),
        (lambda m: setattr(m.layers[0], "name", "other"), "missing: other/kernel.*not in the model: convolution"),
    ],
)
def test_weights_of_another_model(change, message, tmp_path):
    mc.utils.clear_session()
    stack().save_weights(tmp_path / "w.safetensors")
    mc.utils.clear_session()
    model = stack()
    change(model)
    before = model.get_weights()
    with pytest.raises(FileFormatError, match=message):
        model.load_weights(tmp_path / "w.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_that_are_not_finite(tmp_path):
    model = stack()
    model.save(tmp_path / "m.safetensors")
    content = bytearray((tmp_path / "m.safetensors").read_bytes())
    with native.Reader(tmp_path / "m.safetensors") as file:
        _, _, offset = file.tensors["dense/bias" if "dense/bias" in file.tensors else list(file.tensors)[-1]]
    content[offset : offset + 4] = struct.pack("<f", float("nan"))
    (tmp_path / "nan.safetensors").write_bytes(content)
    with pytest.raises(FileFormatError, match="NaN"):
        mc.load_model(tmp_path / "nan.safetensors")
    bad = [np.full(w.shape, np.inf) for w in model.weights]
    model.set_weights(bad)
    with pytest.raises(NonFiniteError, match="convolution/kernel"):
        model.save(tmp_path / "m.safetensors")
    mc.load_model(tmp_path / "m.safetensors")


# ------------------------------------------------------------------------------------------------- the file format


def read_by_hand(path):
    """(metadata, name → array) by nothing but the format's definition."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    arrays, codes = {}, {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    for name, entry in header.items():
        begin, end = (8 + length + n for n in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], codes[entry["dtype"]]).reshape(entry["shape"])
        assert begin % arrays[name].itemsize == 0
    return metadata, arrays


def trained_file(folder):
    model = stack()
    model.fit(*DATA["stack"], epochs=1, verbose=0)
    model.save(folder / "m.safetensors")
    return model, folder / "m.safetensors"


def test_bytes_are_safetensors(tmp_path):
    model, path = trained_file(tmp_path)
    metadata, arrays = read_by_hand(path)
    assert metadata["format_version"] == "1"
    assert json.loads(metadata["optimizer"]) == {"iterations": 1}
    for name, weight in model.named_weights().items():
        np.testing.assert_array_equal(arrays[name], weight.numpy())
    assert {n.split("/")[2] for n in arrays if n.startswith("/optimizer/")} == set(model.optimizer.slots)


def test_other_programs_read_and_write_weights(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model, path = trained_file(tmp_path)
    arrays = safetensors.load_file(path)
    for name, weight in model.named_weights().items():
        np.testing.assert_array_equal(arrays[name], weight.numpy())
    safetensors.save_file({n: w.numpy() + 1 for n, w in model.named_weights().items()}, tmp_path / "theirs.safetensors")
    before = model.get_weights()
    model.load_weights(tmp_path / "theirs.safetensors")
    assert all(np.array_equal(a + 1, b) for a, b in zip(before, model.get_weights(), strict=True))


def rewritten(path, edit):
    """The file with its header edited by `edit(header)`."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    text = edit(header)
    text = json.dumps(header).encode() if text is None else text
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


def set_entry(name, value):
    def edit(header):
        first = next(key for key in header if key.endswith("kernel"))
        header[first][name] = value

    return edit


def set_metadata(name, value):
    def edit(header):
        header["__metadata__"][name] = value

    return edit


def set_units(header):
    config = json.loads(header["__metadata__"]["model"])
    config["config"]["layers"][-1]["config"]["units"] = 10**9
    header["__metadata__"]["model"] = json.dumps(config)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_metadata("format_version", "2"), "version 2 .* reads up to 1: install a newer minicnn"),
        (set_metadata("format_version", "one"), "version is a number"),
        (set_metadata("model", "{"), "expected JSON"),
        (set_metadata("training", '{"seed": -1}'), "'seed' is a number"),
        (set_metadata("training", '{"seed": 1e3}'), "'seed' is a number"),
        (set_metadata("optimizer", '{"iterations": true}'), "iterations are a number"),
        (set_metadata("format", 3), "metadata are strings"),
        (set_metadata("order", '{"weights": "dense/kernel"}'), "order of the weights is a list of names"),
        (set_metadata("order", '{"weights": ["a", "a"]}'), "order of the weights is a list of names"),
        (set_metadata("order", '{"weights": [1]}'), "order of the weights is a list of names"),
        (set_metadata("order", "[]"), "expected a JSON object"),
        (set_units, "more numbers than the file holds"),
        (set_entry("dtype", "BF16"), "F16, .* Received: .*BF16"),
        (set_entry("dtype", "F64"), "offsets and shape disagree"),
        (set_entry("shape", [2**60, 2**60]), "offsets and shape disagree"),
        (set_entry("shape", [-1]), "integers from 0 on"),
        (set_entry("data_offsets", [0, 2**70]), "offsets and shape disagree"),
        (lambda header: header.pop(list(header)[-1]) and None, "overlap or leave holes|end at byte"),
        (lambda header: b'{"a":1,"a":1}', "more than once"),
        (lambda header: b"[" * 10**6, "expected JSON"),
        (lambda header: b"{}", "end at byte"),
    ],
)
def test_bad_headers(edit, message, tmp_path):
    _, path = trained_file(tmp_path)
    rewritten(path, edit)
    with pytest.raises(FileFormatError, match=message) as caught:
        mc.load_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1])
def test_cut_files(size, tmp_path):
    _, path = trained_file(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FileFormatError):
        mc.load_model(path)


# ------------------------------------------------------------------------------------------------- whole or nothing


def test_failure_while_writing_leaves_the_previous_file(tmp_path, monkeypatch):
    model, path = trained_file(tmp_path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("no space left on device")

    for broken in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            if broken == "write":
                patch.setattr(native, "_header", fail)
            else:
                patch.setattr(os, broken, fail)
            with pytest.raises(OSError, match="no space"):
                model.save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits on this system")
@pytest.mark.parametrize("name", ["a.safetensors", "a.keras", "a.h5", "a.weights.h5", "a.onnx", "a.html"])
def test_a_disk_that_is_full_is_an_error_of_the_system_that_names_the_file(name, tmp_path):
    """As long as a file may have 4096 bytes, which a process may not exceed any more than a full disk."""
    import resource

    if name.endswith(("5", ".keras")):
        pytest.importorskip("h5py")
    if name.endswith(".onnx"):
        pytest.importorskip("onnx")
    model = mc.Sequential([mc.Input((20, 20, 1)), layers.Flatten(), layers.Dense(30), layers.Dense(2)])
    path = tmp_path / name
    path.write_bytes(b"what was there before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    write = {".onnx": partial(mc.export_onnx, model), ".html": partial(mc.export_html, model)}.get(path.suffix)
    write = write or (model.save_weights if ".weights" in name else model.save)
    write(tmp_path / f"before.{name}")  # what is imported late writes files too
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(OSError) as error:
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(path))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, f"before.{name}"])
    assert path.read_bytes() == b"what was there before"


@pytest.mark.parametrize("name", ["m.safetensors", "m.keras", "m.weights.h5"])
def test_a_folder_of_the_files_name_is_said_to_be_one(name, tmp_path):
    """The system's words were of a file that it had tried to rename."""
    path = tmp_path / name
    path.mkdir()
    model = mc.Sequential([mc.Input((3,)), mc.layers.Dense(2)])
    with pytest.raises(IsADirectoryError, match=r"^a path names the file, not its folder\. Received: '.*', a folder$"):
        (model.save_weights if "weights" in name else model.save)(path)
    assert [*tmp_path.iterdir()] == [path]


def test_file_and_folder_reach_the_disk_in_order(tmp_path, monkeypatch):
    events = []
    to_disk, replace = files.to_disk, os.replace
    monkeypatch.setattr(files, "to_disk", lambda path: (events.append(Path(path)), to_disk(path)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), replace(a, b)))
    stack().save(tmp_path / "m.safetensors")
    temporary, moment, folder = events
    assert temporary.parent == folder == tmp_path
    assert moment == "replace"


@pytest.mark.skipif(os.name != "posix", reason="Unix's permissions and links")
def test_replaced_files_keep_their_permissions_and_links(tmp_path):
    model, path = trained_file(tmp_path)
    path.chmod(0o600)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path.name)
    model.save(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        model.save(path, overwrite=False)


@pytest.mark.parametrize("name", ["m.h5", "m.weights.h5", "without_suffix"])
def test_a_file_that_is_not_to_be_overwritten_stays(name, tmp_path):
    """Those that are written under another name first, too."""
    (tmp_path / name).write_text("precious")
    model = keras.Sequential([mc.Input((3,)), mc.layers.Dense(2)])
    for arguments in ({"overwrite": False}, {"overwrite": False, "include_optimizer": False}):
        with pytest.raises(FileExistsError, match=r"^there is a file already, and overwrite=False\. Received: '.*'$"):
            model.save(tmp_path / name, **arguments)
    with pytest.raises(FileExistsError):
        model.save(tmp_path / name, False)
    assert (tmp_path / name).read_text() == "precious"
    assert [*tmp_path.iterdir()] == [tmp_path / name]


@pytest.mark.parametrize("name", ["m.weights.h5", "without_suffix"])
def test_a_folder_that_may_not_be_written_to_is_said_of_the_file(name, tmp_path, monkeypatch):
    def refused(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    model = keras.Sequential([mc.Input((3,)), mc.layers.Dense(2)])
    monkeypatch.setattr("tempfile._os.mkdir", refused)
    with pytest.raises(PermissionError) as raised:
        model.save(tmp_path / name)
    assert raised.value.filename == str(tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="Unix's links")
@pytest.mark.parametrize("name", ["m.weights.h5", "without_suffix"])
def test_a_link_to_a_file_on_another_disk(name, tmp_path, monkeypatch):
    """Disks are told apart here by folders: nothing may be moved from one to another."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    link, replace = tmp_path / "here" / name, os.replace
    link.symlink_to(tmp_path / "there" / "file.h5")

    def within_a_disk(source, target):
        disks = [Path(path).relative_to(tmp_path).parts[0] for path in (source, target)]
        if disks[0] != disks[1]:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", within_a_disk)
    model = keras.Sequential([mc.Input((3,)), mc.layers.Dense(2)])
    model.save(link)
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file.h5"]
    np.testing.assert_array_equal(keras.models.load_model(link).get_weights()[0], model.get_weights()[0])


@pytest.mark.skipif(os.name != "posix", reason="Unix's pipes and devices")
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.safetensors", "without_suffix"])
def test_a_pipe_or_a_device_is_not_replaced(name, tmp_path):
    """A file took its place: /dev/null, where root saved to it, was gone for all programs."""
    path = tmp_path / name
    os.mkfifo(path)
    model = (keras if name == "without_suffix" else mc).Sequential([mc.Input((3,)), mc.layers.Dense(2)])
    with pytest.raises(OSError, match=r"^a path names a file that may be replaced\. Received: '.*', which is a pipe"):
        (model.save_weights if "weights" in name else model.save)(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert [*tmp_path.iterdir()] == [path]


# ------------------------------------------------------------------------------------------------------ golden files


def test_golden_file():
    """A file that version 1 of the format wrote, and what its model said: later versions open it."""
    expected = json.loads((GOLDEN / "native_v1.json").read_text())
    model = mc.load_model(GOLDEN / "native_v1.safetensors")
    x = np.linspace(-1, 1, 2 * 5 * 5).reshape(2, 5, 5, 1)
    for output, numbers in zip(model.predict(x), expected["outputs"], strict=True):
        np.testing.assert_allclose(output, numbers, rtol=1e-5, atol=1e-6)
    assert model.history.history == expected["history"]
    assert model.optimizer.iterations == 3
    y = [np.ones((2, 3)), np.zeros((2, 2))]
    losses = [model.train_on_batch(x, y)[0] for _ in range(3)]
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-5)


# ------------------------------------------------------------------------------------- files into models that exist


def three_layers(*frozen):
    model = mc.Sequential([mc.Input((4,)), *(layers.Dense(4, name=name) for name in "abc")])
    for name in frozen:
        model.get_layer(name).trainable = False
    model.compile(mc.optimizers.Adam(0.01), "mse", backend="numpy")
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize(("then", "now"), [("a", "c"), ("a", ""), ("", "b")])
def test_moments_go_to_their_weights_whatever_was_frozen(suffix, then, now, tmp_path):
    """The trained layers are of one shape, so that nothing but their place tells whose moments these are."""
    x = np.random.default_rng(5).normal(size=(8, 4))
    model, other = three_layers(*then), three_layers(*now)
    model.fit(x, x[::-1], epochs=2, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    with mc.saving.open_file(tmp_path / f"m{suffix}") as file:
        other.restore(file)
    for name, found in other.engine.state_by_weight().items():
        wanted = model.engine.state_by_weight()[name]
        assert [np.any(a) for a in wanted.values()] == [w.layer.name not in then for w in wanted]
        np.testing.assert_array_equal(
            np.concatenate([a.ravel() for a in found.values()]), np.concatenate([a.ravel() for a in wanted.values()])
        )
    assert [layer.trainable for layer in other.layers] == [name not in then for name in "abc"]


def test_a_file_that_does_not_fit_freezes_nothing(tmp_path):
    model, other = three_layers("a"), three_layers("c")
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    with mc.saving.open_file(tmp_path / "m.keras") as file:
        with pytest.raises(ValueError, match="the file's optimizer is SGD"):
            other.restore(file)
        other.compile("sgd", "mse")
        file.training["trainable"] = [False]
        with pytest.raises(FileFormatError, match="a list 'trainable' of 3 flags"):
            other.restore(file)
        file.training |= {"trainable": [False] * 3, "trainable_within": [True]}
        with pytest.raises(FileFormatError, match="'trainable_within' is a list of 0 flags"):
            other.restore(file)
    assert [layer.trainable for layer in other.layers] == [True, True, False]


@pytest.mark.parametrize("wrong", ["n['a']", "{l: 1}", "l[0]", "t['a']", "n < t", "None.items()"])
def test_a_part_that_is_not_what_it_was_taken_for_is_damage(wrong, monkeypatch, tmp_path):
    """In words of the library; what Python says in a user's own code stays."""
    path, values = tmp_path / "model.safetensors", {"n": 3, "t": "text", "l": []}
    model = mc.Sequential([layers.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0)
    model.save(path)
    said = {}
    for module in ("minicnn.saving.some", "own"):
        function = FunctionType(compile(wrong, "some.py", "eval"), {**values, "__name__": module})
        monkeypatch.setattr(mc.callbacks.History, "set_state", lambda *_, call=function: call())
        with pytest.raises(FileFormatError) as error:
            mc.load_model(path)
        said[module] = str(error.value).removeprefix(f"{path} cannot be used: ")
    assert said["minicnn.saving.some"].startswith("what is read there is of another kind than expected: it is damaged")
    with pytest.raises((TypeError, AttributeError, IndexError)) as error:
        eval(wrong, values)
    assert said["own"] == str(error.value)


# ----------------------------------------------------------------------------------------------- what messages hold


def test_a_file_is_named_once_and_what_is_wrong_with_it_is_short():
    """Whatever the content leads to: an error without words is named by its class, one of a megabyte is cut."""
    said = {}
    errors = {"named": FileFormatError("a/b.h5: no"), "bare": FileFormatError("no"), "wordless": KeyboardInterrupt()}
    errors |= {"empty": ValueError(), "long": ValueError("x " * 10**6), "system": OSError("a/c.h5")}
    for name, error in errors.items():
        kind = type(error) if name in ("wordless", "system") else FileFormatError
        with pytest.raises(kind) as caught, files.named_in_errors("a/b.h5"):
            raise error
        said[name] = str(caught.value)
    assert said["named"] == said["bare"] == "a/b.h5: no"
    assert said["empty"] == "a/b.h5 cannot be used: ValueError"
    assert said["system"] == "a/c.h5"
    assert len(said["long"]) == len("a/b.h5 cannot be used: ") + 2000


def test_the_description_of_a_model_has_a_limit():
    """10 million bytes, however short what it describes is: what is read takes many times as much."""
    text = b'{"a": 1}'
    assert files.read_json(text.ljust(10_000_000)) == {"a": 1}
    with pytest.raises(FileFormatError, match=r"may have 10000000 bytes\. Received: 10000001"):
        files.read_json(text.ljust(10_000_001))


def test_names_that_are_near_to_a_missing_file_s(tmp_path):
    for name in ("model_1.keras", "model_2.keras", "model_3.keras", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError) as error:
        mc.load_model(tmp_path / "model_4.keras")
    assert str(error.value).count("'model_") == 2  # and no more
    for name in ("q.h5", "unlike"):
        with pytest.raises(FileNotFoundError) as error:
            mc.load_model(tmp_path / name)
        assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("count", [5, 6, 8])
def test_of_many_weights_that_are_missing_five_are_named(count):
    shapes = {f"layer{number}/kernel": (1,) for number in range(count)}
    with pytest.raises(FileFormatError) as error:
        files.check_arrays({}, shapes)
    named = "missing: layer0/kernel, layer1/kernel, layer2/kernel, layer3/kernel, layer4/kernel"
    assert str(error.value).endswith(named + (f" and {count - 5} more" if count > 5 else ""))


def test_arrays_of_a_training_whose_names_would_be_one():
    """A key may hold a "/", so that two places in the tree have one name: both arrays come back."""
    tree = {"a/b": np.arange(3), "a": {"b": np.arange(2), "b'": np.arange(4)}, "__array__": 1, "l": [np.float64(2.5)]}
    plain, arrays = split_arrays(tree, "/training")
    assert len(arrays) == 4 and all(name.startswith("/training") for name in arrays)
    again = join_arrays(json.loads(json.dumps(plain)), arrays.__getitem__)
    assert again["a/b"].tolist() == [0, 1, 2] and again["a"]["b"].tolist() == [0, 1]
    assert again["a"]["b'"].tolist() == [0, 1, 2, 3] and again["array"] == 1 and again["l"] == [2.5]


@pytest.mark.parametrize(
    ("offsets", "message"),
    [([[0, 8], [0, 8], [8, 16]], "overlap or leave holes, at byte"), ([[0, 8], [16, 24], [8, 16]], None)],
)
def test_tensors_lie_side_by_side_in_any_order(offsets, message, tmp_path):
    header = {
        name: {"dtype": "F32", "shape": [2], "data_offsets": place}
        for name, place in zip(("a/x", "b/x", "c/x"), offsets, strict=True)
    }
    text, values = json.dumps(header).encode(), np.arange(6, dtype="<f4")
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + values.tobytes())
    if message:
        with pytest.raises(FileFormatError, match=message):
            native.Reader(tmp_path / "w.safetensors")
        return
    with native.Reader(tmp_path / "w.safetensors") as file:
        found = {name: stored.read().tolist() for name, stored in file.find({}, {}).items()}
    assert found == {"a/x": [0, 1], "b/x": [4, 5], "c/x": [2, 3]}
