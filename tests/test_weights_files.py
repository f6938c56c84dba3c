"""Weights from files that were made otherwise: other last layers, other numbers, other files altogether."""

import json
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers, saving
from minicnn.errors import FileFormatError

WEIGHTS = [".safetensors", ".keras", ".h5", ".weights.h5"]


def net(classes, **names):
    """A classifier, whose layers are called first and last unless said otherwise."""
    first, last = names.get("first", "first"), names.get("last", "last")
    return mc.Sequential([mc.Input((6,)), layers.Dense(5, name=first), layers.Dense(classes, name=last)])


def written(model, path):
    (model.save_weights if str(path).endswith(".weights.h5") else model.save)(path)
    return path


def changed(model, before):
    """Which weights are not what they were."""
    return [w.path for w, b in zip(model.weights, before, strict=True) if not np.array_equal(w.numpy(), b)]


# ------------------------------------------------------------------------------------------ other layers than expected


@pytest.mark.parametrize("suffix", WEIGHTS)
@pytest.mark.parametrize("names", [{}, {"first": None, "last": None}])
def test_another_last_layer_is_named(suffix, names, tmp_path):
    path, model = written(net(3, **names), tmp_path / f"w{suffix}"), net(10, **names)
    before, name = model.get_weights(), model.layers[-1].name
    with pytest.raises(
        FileFormatError, match=rf"{name}/kernel is \(5, 3\) in the file and \(5, 10\) in the model.*skip"
    ):
        model.load_weights(path)
    assert changed(model, before) == []


@pytest.mark.parametrize(("written_as", "read_as"), [(a, b) for a in WEIGHTS[1:] for b in WEIGHTS[1:] if a != b])
def test_hdf5_of_either_layout_under_any_of_keras_s_names(written_as, read_as, tmp_path):
    source, model = net(3), net(3)
    path = written(source, tmp_path / f"w{written_as}")
    path = path.rename(tmp_path / f"other{read_as}")
    model.load_weights(path)
    for a, b in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_called_layers(tmp_path):
    """The name of a layer is no sign of Keras 3's layout."""
    source, model = net(3, first="layers"), net(3, first="layers")
    model.load_weights(written(source, tmp_path / "w.h5"))
    assert changed(model, source.get_weights()) == []


@pytest.mark.parametrize("suffix", WEIGHTS)
def test_layers_that_do_not_fit_are_skipped(suffix, tmp_path):
    source, model = net(3), net(10)
    before = model.get_weights()
    with pytest.warns(UserWarning, match=r"layer 'last' stays as it is.*\(5, 3\) in the file") as said:
        model.load_weights(written(source, tmp_path / f"w{suffix}"), skip_mismatch=True)
    assert len(said) == 1
    assert changed(model, before) == ["first/kernel"]  # biases are zeros
    np.testing.assert_array_equal(model.get_weights()[0], source.get_weights()[0])


def normalized(center, form):
    """A convolution and a normalization; in a model of their own, maybe, or those of a class."""
    convolution, normalization = layers.Conv2D(4, 1, name="conv"), layers.BatchNormalization(center=center, name="bn")
    if form == "class":

        class Net(mc.Model):
            def __init__(self):
                super().__init__()
                self.first, self.second = convolution, normalization

            def call(self, x):
                return self.second(self.first(x))

        model = Net()
        model(np.zeros((1, 2, 2, 3), np.float32))
        return model
    inner = [mc.Input((2, 2, 3)), convolution, normalization]
    return mc.Sequential(inner if form == "flat" else [mc.Sequential(inner, name="base"), layers.Flatten()])


@pytest.mark.parametrize("form", ["flat", "nested", "class"])
@pytest.mark.parametrize("suffix", WEIGHTS)
def test_a_layer_with_fewer_weights_than_the_file_has_stays_as_a_whole(suffix, form, tmp_path):
    """Its others, which have the same shapes, are not taken for the ones behind them, as Keras 3.15 does not either.

    The means were the shifts, and the variances the means, in silence.
    """
    source, model = normalized(True, form), normalized(False, form)
    for net, first in ((source, 1), (model, 100)):
        net.set_weights([np.full(w.shape, first + i, np.float32) for i, w in enumerate(net.weights)])
    before = model.get_weights()
    with pytest.warns(UserWarning, match="stays as it is"):
        model.load_weights(written(source, tmp_path / f"w{suffix}"), skip_mismatch=True)
    taken = changed(model, before)
    assert {path.rpartition("/")[2] for path in taken} <= {"kernel", "bias"}, taken
    assert taken or (suffix, form) == (".h5", "nested")  # there a model is one layer, as in Keras
    left = r"bn/vars 3|bn/moving_variance \(left over\)|bn/beta|all of 'base', 6 arrays in the file and 5 here"
    with pytest.raises(FileFormatError, match=left):
        model.load_weights(tmp_path / f"w{suffix}")


@pytest.mark.parametrize("suffix", [".safetensors", ".h5"])
def test_layers_by_name(suffix, tmp_path):
    source, model = net(3), net(3, last="new")
    before = model.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_weights(written(source, tmp_path / f"w{suffix}"), by_name=True)
    assert changed(model, before) == ["first/kernel"]
    with pytest.raises(FileFormatError, match="last/kernel"):  # as in Keras: a name that is there has to fit
        net(4).load_weights(tmp_path / f"w{suffix}", by_name=True)
    other = net(4)
    before = other.get_weights()
    with pytest.warns(UserWarning, match="'last' stays"):
        other.load_weights(tmp_path / f"w{suffix}", skip_mismatch=True, by_name=True)
    assert changed(other, before) == ["first/kernel"]


def test_files_that_go_by_structure_have_no_names(tmp_path):
    with pytest.raises(ValueError, match="by_name=True is for"):
        net(3).load_weights(written(net(3), tmp_path / "w.keras"), by_name=True)


# ------------------------------------------------------------------------------------------------ numbers in the names


def safetensors(path, arrays):
    """A file as the safetensors package writes it: names in alphabetical order, no metadata."""
    header, data = {}, b""
    for name in sorted(arrays):
        array = arrays[name].astype("<f4")
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_weights_of_pytorch_are_called_so(tmp_path):
    arrays = {"first.weight": np.ones((5, 6)), "first.bias": np.ones(5)}
    with pytest.raises(
        FileFormatError, match=r"not in the model: first\.bias, first\.weight.*PyTorch's names.*by ONNX"
    ):
        net(3).load_weights(safetensors(tmp_path / "w.safetensors", arrays))


@pytest.mark.parametrize("units", [[6] * 12, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]])
@pytest.mark.parametrize("start", [None, 1, 7])
@pytest.mark.parametrize("kinds", [("kernel", "bias"), ("kernel",)])
def test_alphabetical_order_of_names(units, start, kinds, tmp_path):
    """dense_10 comes before dense_2: also where all shapes are equal, so that nothing else tells them apart."""
    rng = np.random.default_rng(0)
    model = mc.Sequential([mc.Input((6,)), *(layers.Dense(n, use_bias=len(kinds) > 1) for n in units)])
    values = [rng.normal(size=w.shape) for w in model.weights]
    numbers = [""] + [f"_{i}" for i in range(1, 12)] if start is None else [f"_{i}" for i in range(start, start + 12)]
    names = [f"dense{number}/{kind}" for number in numbers for kind in kinds]
    model.load_weights(safetensors(tmp_path / "w.safetensors", dict(zip(names, values, strict=True))))
    for weight, value in zip(model.weights, values, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value.astype(np.float32))


def test_the_file_s_order_where_it_is_the_model_s(tmp_path):
    """minicnn's own files are in the order of the structure, whatever the order in which the layers were made."""

    def model():
        late, early = layers.Dense(6), layers.Dense(6)
        return mc.Sequential([mc.Input((6,)), early, late])

    source, other = model(), model()
    source.save_weights(tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other.get_weights()[0], source.get_weights()[0])
    np.testing.assert_array_equal(other.get_weights()[2], source.get_weights()[2])


def test_a_file_of_minicnn_is_in_the_structure_s_order_also_where_that_is_alphabetical(tmp_path):
    """As it is without biases. Of a stack made in order, for one whose second layer was made first."""
    mc.utils.clear_session()
    x, y = np.linspace(-1, 1, 24).reshape(4, 6), np.ones((4, 6))
    source = mc.Sequential([mc.Input((6,)), layers.Dense(6, use_bias=False), layers.Dense(6, use_bias=False)])
    source.compile("adam", "mse")
    source.fit(x, y, verbose=0)
    late, early = layers.Dense(6, use_bias=False), layers.Dense(6, use_bias=False)
    other = mc.Sequential([mc.Input((6,)), early, late])
    other.compile("adam", "mse")
    source.save(tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(other.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with saving.open_file(tmp_path / "w.safetensors") as file:
        other.restore(file)
    for model in (source, other):
        model.fit(x, y, verbose=0)
    for a, b in zip(other.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_in_alphabetical_order_whose_shapes_are_the_model_s_in_that_order(tmp_path):
    """In the order of the numbers they would not be: the file's second layer is the model's first number."""
    arrays = {"dense/kernel": np.ones((6, 5)), "dense_1/kernel": np.ones((5, 4))}
    late, early = layers.Dense(4, use_bias=False, name="dense_7"), layers.Dense(5, use_bias=False, name="dense_8")
    model = mc.Sequential([mc.Input((6,)), early, late])
    model.load_weights(safetensors(tmp_path / "w.safetensors", arrays))
    assert all((w.numpy() == 1).all() for w in model.weights)


def sorted_by_name(path, without=()):
    """The file as safetensors' `save_file(tensors, path, metadata)` writes it again: tensors sorted by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = {name: value for name, value in header.pop("__metadata__").items() if name not in without}
    new, parts, end = {"__metadata__": metadata}, [], 0
    for name in sorted(header):
        begin, stop = header[name]["data_offsets"]
        new[name] = header[name] | {"data_offsets": [end, end := end + stop - begin]}
        parts.append(data[8 + length + begin : 8 + length + stop])
    text = json.dumps(new).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


@pytest.mark.parametrize(("without", "made_in_order"), [((), True), ((), False), (("order",), True)])
def test_a_file_of_minicnn_that_another_program_has_written_again(without, made_in_order, tmp_path):
    """With minicnn's metadata, but in alphabetical order. Older files do not say what the order was."""
    mc.utils.clear_session()
    x, y = np.linspace(-1, 1, 24).reshape(4, 6), np.ones((4, 6))

    def model():
        stack = [layers.Dense(6, use_bias=False, kernel_initializer="orthogonal") for _ in range(12)]
        made = mc.Sequential([mc.Input((6,)), *(stack if made_in_order else [stack[1], stack[0], *stack[2:]])])
        made.compile("adam", "mse")
        return made

    source, other = model(), model()
    source.fit(x, y, verbose=0)
    source.save(tmp_path / "w.safetensors")
    sorted_by_name(tmp_path / "w.safetensors", without)
    other.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(other.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with saving.open_file(tmp_path / "w.safetensors") as file:
        other.restore(file)
    for each in (source, other):
        each.fit(x, y, verbose=0)
    for a, b in zip(other.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    loaded = mc.load_model(tmp_path / "w.safetensors")
    loaded.fit(x, y, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), source.predict(x, verbose=0))


# ----------------------------------------------------------------------------------------------------- another kind


def archive(name):
    def write(path):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, b"x")

    return write


OTHERS = {
    "text": (b"weights of my model\n", "a text that begins with 'weights of my model'"),
    "cut letter": ("ß".encode() * 400, "a text that begins with 'ßß"),
    "json": (b'{"class_name": "Sequential"}', "a text that begins with"),
    "html": (b"<!DOCTYPE html>\n<html>404</html>", "an HTML page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
    "pickle": (pickle.dumps({"w": np.ones(3)}), "a pickle"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0", "gzip data"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(1000), "zeros"),
    "npz": (archive("w.npy"), "a NumPy archive"),
    "torch": (archive("model/data.pkl"), "a PyTorch file"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5", ".weights.h5", ".onnx"])
def test_a_file_of_another_kind_says_what_it_is(kind, suffix, tmp_path):
    content, message = OTHERS[kind]
    path = tmp_path / f"m{suffix}"
    content(path) if callable(content) else path.write_bytes(content)
    if suffix == ".onnx":
        pytest.importorskip("onnx")
    read = mc.import_onnx if suffix == ".onnx" else net(3).load_weights
    with pytest.raises(FileFormatError, match=f"(?s)m{suffix}.*{message}"):
        read(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_file_of_pytorch_says_how_to_go_on(suffix, tmp_path):
    archive("model/data.pkl")(path := tmp_path / f"m{suffix}")
    for read in (mc.load_model, net(3).load_weights):
        with pytest.raises(FileFormatError, match=r"torch\.onnx\.export.*docs/pytorch\.md.*Received: a PyTorch file"):
            read(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_a_model_s_file_under_another_suffix(suffix, tmp_path):
    """Keras's two formats are told apart by their content, as Keras 2 wrote either under any name; others are not."""
    source = net(3)
    written(source, tmp_path / f"m{suffix}")
    for other in {".safetensors", ".keras", ".h5"} - {suffix}:
        path = tmp_path / f"x{other}"
        path.write_bytes((tmp_path / f"m{suffix}").read_bytes())
        if ".safetensors" in (suffix, other):
            with pytest.raises(FileFormatError, match=rf"its name ends in \{suffix}\. Received"):
                mc.load_model(path)
            continue
        for ours, theirs in zip(mc.load_model(path).get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
