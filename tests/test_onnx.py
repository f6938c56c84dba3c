"""ONNX files: what onnxruntime computes with ours, and what models from others' files compute."""

import sys
from pathlib import Path

import numpy as np
import pytest
from networks import NETWORKS, cnn, mlp
from onnx_files import TOLERANCE, channels_last, check_export, check_round_trip, exported, operators, predict, run_file
from oracles import assert_close, randomize
from test_layer_contracts import every_example, examples

import minicnn as mc
from minicnn.errors import FileFormatError, NonFiniteError, NotBuiltError
from minicnn.layers import (
    CLASSES,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Multiply,
    ReLU,
    Reshape,
    Resizing,
    UpSampling2D,
)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


# ------------------------------------------------------------------------------------------- the documents' networks


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_documents(name, path, rng):
    model = NETWORKS[name](mc)
    for weight in model.weights:
        if weight.name == "bias":  # zeros until trained
            weight.assign(rng.normal(0, 0.1, weight.shape))
    proto = check_export(model, path, rng)
    assert operators(proto).count("Transpose") == (2 if "Conv" in operators(proto) else 0)
    copy = check_round_trip(model, path, rng)
    assert [type(layer) for layer in copy.layers if type(layer).__name__ != "InputLayer"] == [
        type(layer) for layer in model.layers if type(layer).__name__ != "InputLayer"
    ]
    for actual, expected in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


# ------------------------------------------------------------------------------------------------------------- export


@every_example
def test_every_layer(name, number, path, rng):
    layer, shapes = list(CLASSES[name].examples())[number]
    inputs = [mc.Input(shape) for shape in shapes]
    model = mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    randomize([layer], rng)
    check_export(model, path, rng)


@every_example
def test_every_layer_of_zeros(name, number, path):
    """Nothing is divided by a length or a sum that is 0, where the layer does not."""
    layer, shapes = list(CLASSES[name].examples())[number]
    inputs = [mc.Input(shape) for shape in shapes]
    model = mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    mc.export_onnx(model, path)
    zeros = [np.zeros((2, *shape), np.float32) for shape in shapes]
    for actual, expected in zip(run_file(path, zeros).values(), predict(model, zeros), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


def takes_images(name, number):
    return len(list(CLASSES[name].examples())[number][1][0]) == 3


@pytest.mark.parametrize(("name", "number"), [e for e in examples() if takes_images(*e.values)])
def test_every_layer_behind_a_convolution(name, number, path, rng):
    """Where the file's channels come first; of several inputs, only the first is behind one."""
    layer, shapes = list(CLASSES[name].examples())[number]
    inputs = [mc.Input(shape) for shape in shapes]
    first = Conv2D(shapes[0][-1], 1)
    xs = [first(inputs[0]), *inputs[1:]]
    model = mc.Model(inputs, layer(xs if len(xs) > 1 else xs[0]))
    randomize([layer, first], rng)
    check_export(model, path, rng)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str)
def test_a_normalization_of_images_without_a_factor_or_a_shift(options, path, rng):
    """The file has ones and zeros for them, as many as channels."""
    layer = mc.layers.BatchNormalization(**options)
    model = mc.Sequential([mc.Input((4, 5, 3)), layer])
    randomize([layer], rng)
    check_export(model, path, rng)


ARE_CONSTANT = ("ConstantTensor", "EarlierPlaces")  # which give the same whatever the input is


@every_example
def test_every_layer_is_read_again_with_its_axes(name, number, path, rng):
    """Nothing in a file of ours is taken for a channels-first image that is none."""
    layer, shapes = list(CLASSES[name].examples())[number]
    inputs = [mc.Input(shape) for shape in shapes]
    model = mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    randomize([layer], rng)
    mc.export_onnx(model, path)
    if name in ARE_CONSTANT:
        with pytest.raises(FileFormatError, match="does not depend on the graph's inputs"):
            mc.import_onnx(path)
    else:
        check_round_trip(model, path, rng)


def test_what_the_file_says_of_itself(path, rng):
    model = mc.Sequential([mc.Input((5, 4, 3), name="photo"), Conv2D(2, 3, name="edges")], name="small")
    proto = check_export(model, path, rng)
    (opset,) = proto.opset_import
    assert (opset.domain, opset.version) == ("", 17)
    assert proto.producer_name == "minicnn"
    assert proto.graph.name == "small"
    (image,), (edges,) = proto.graph.input, proto.graph.output
    dims = [[d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim] for end in (image, edges)]
    assert (image.name, edges.name, dims) == ("photo", "edges", [["N", 5, 4, 3], ["N", 3, 2, 2]])
    assert {i.name for i in proto.graph.initializer} == {"edges/kernel", "edges/bias"}


def test_shared_layers_nested_models_and_several_ends(path, rng):
    a, b = mc.Input((6, 5, 2), name="a"), mc.Input((6, 5, 2), name="b")
    inner_in = mc.Input((6, 5, 2))
    inner = mc.Model(inner_in, [MaxPooling2D()(inner_in), Conv2D(3, 1, name="conv")(inner_in)], name="inner")
    shared = Conv2D(2, 3, padding="same", name="shared")
    pooled, wide = inner(shared(shared(a)))
    _, other = inner(b)
    joined = Concatenate(name="joined")([wide, other, Conv2D(4, 1, name="conv")(b)])
    head = Dense(3, name="head")(GlobalAveragePooling2D()(joined))
    model = mc.Model([a, b], [head, pooled, joined])
    randomize([shared, *inner.layers, *model.layers], rng)
    proto = check_export(model, path, rng)
    assert (
        len(proto.graph.initializer) == 2 * 4
    )  # shared, head and both layers called conv, however often they are used
    copy = check_round_trip(model, path, rng)
    assert copy.count_params() == model.count_params()


def test_vectors_behind_images_have_no_order_of_axes(path, rng):
    model = cnn(mc, Conv2D(6, 1), GlobalAveragePooling2D(), Reshape((2, 3, 1)), shape=(3, 4, 2))
    check_export(model, path, rng)
    check_round_trip(model, path, rng)


def test_inputs_and_values_as_outputs(path, rng):
    x = mc.Input((4, 3, 2), name="x")
    y = Conv2D(2, 1, name="y")(x)
    model = mc.Model(x, [y, y, Dropout(0.5, name="same")(x), ReLU(name="more")(y)])
    check_export(model, path, rng)
    check_round_trip(model, path, rng)
    proto = exported(mc.Model(x, x), path)
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("x", "x_1")


@pytest.mark.parametrize(
    "layer", [UpSampling2D((2, 3), interpolation="bicubic"), Resizing(7, 3, "bicubic"), Resizing(7, 3, "lanczos3")]
)
@pytest.mark.parametrize("is_first", [True, False])
def test_cubic_images_are_products(layer, is_first, path, rng):
    """Of ONNX's Resize, OpenVINO leaves out `exclude_outside`, and onnxruntime stops where it has moved the axes."""
    model = mc.Sequential([mc.Input((5, 6, 3)), *([] if is_first else [Conv2D(2, 1)]), layer])
    assert "Resize" not in operators(check_export(model, path, rng))
    check_round_trip(model, path, rng)


def test_conditional_networks_are_read_again(path, rng):
    noise, condition = mc.Input((4,)), mc.Input((1,))
    rows = Flatten()(Embedding(5, 4)(condition))
    model = mc.Model([noise, condition], Dense(3)(Multiply()([noise, rows])))
    mc.export_onnx(model, path)
    copy = mc.import_onnx(path)
    assert sum(isinstance(layer, Embedding) for layer in copy.layers) == 1
    xs = [rng.normal(size=(5, 4)).astype(np.float32), np.arange(5.0, dtype=np.float32)[:, None]]
    assert_close(copy.predict(xs), model.predict(xs), TOLERANCE)


def test_training_only_layers_are_left_out_whatever_their_class(path, rng):
    class Noise(Layer):
        """In training, not what it was given."""

        only_in_training = True

        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            ws.y[...] = xs[0] + (17 if ws.training else 0)

    model = cnn(mc, Noise(), Conv2D(2, 3), Dropout(0.5), Noise(), BatchNormalization(), shape=(5, 5, 2))
    randomize(model.layers, rng)
    assert operators(check_export(model, path, rng)) == ["Transpose", "Conv", "BatchNormalization", "Transpose"]


@pytest.mark.parametrize("layer", [Dropout(0.5), BatchNormalization()], ids=lambda layer: type(layer).__name__)
def test_a_call_that_trains_is_refused(layer, path):
    x = mc.Input((3,))
    model = mc.Model(x, layer(x, training=True))
    with pytest.raises(
        ValueError, match=rf"'{layer.name}' was called with training=True.*Received: {type(layer).__name__}"
    ):
        mc.export_onnx(model, path)
    assert not path.exists()


def test_a_layer_that_cannot_be_written_is_named(path):
    class Cube(Layer):
        """x³"""

        def build(self, input_shapes):
            return input_shapes[0]

        def forward(self, xs, ws):
            np.power(xs[0], 3, out=ws.y)

    with pytest.raises(ValueError, match=r"layer 'mine' cannot be written as ONNX: Cube has no method to_onnx"):
        mc.export_onnx(cnn(mc, Cube(name="mine"), shape=(3,)), path)


def test_wrong_arguments_of_export(path):
    with pytest.raises(TypeError, match=r"takes a model\. Received: 7"):
        mc.export_onnx(7, path)
    with pytest.raises(NotBuiltError, match="input shape"):
        mc.export_onnx(mc.Sequential([Dense(3)]), path)
    with pytest.raises(TypeError, match=r"a path is .* Received: 3"):
        mc.export_onnx(mlp(mc, (3,)), 3)
    saved = path.with_suffix(".safetensors")
    mlp(mc, (3,)).save(saved)
    before = saved.read_bytes()
    with pytest.raises(ValueError, match=r"ends in \.onnx\. Received: .*\.safetensors'"):
        mc.export_onnx(mlp(mc, (3,)), saved)
    assert saved.read_bytes() == before
    with pytest.raises(FileNotFoundError, match=r"the folder '.*nowhere' does not exist: make it first\. Received"):
        mc.export_onnx(mlp(mc, (3,)), path.parent / "nowhere" / "model.onnx")


def test_weights_that_are_not_finite_are_not_written(path):
    model = mlp(mc, (3,), 4)
    model.layers[0].kernel.assign(np.full((3, 4), np.inf))
    with pytest.raises(NonFiniteError, match=rf"'{model.layers[0].name}/kernel' holds NaN or infinite"):
        mc.export_onnx(model, path)
    assert list(path.parent.iterdir()) == []


def test_an_existing_file_is_replaced_and_the_model_unchanged(path, rng):
    path.write_bytes(b"old")
    model = mlp(mc, (3,), 4)
    before = model.get_weights()
    check_export(model, path, rng)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_float64_model_is_rounded(path, rng):
    mc.utils.set_floatx("float64")
    model = cnn(mc, Conv2D(3, 3, activation="relu"), BatchNormalization(), Flatten(), Dense(2), shape=(6, 5, 2))
    randomize(model.layers, rng)
    check_export(model, path, rng)
    check_round_trip(model, path, rng)


@pytest.mark.parametrize(
    "call", [lambda path: mc.export_onnx(mlp(mc, (3,)), path), mc.import_onnx], ids=["export", "import"]
)
def test_without_the_package_the_error_says_how_to_get_it(call, path, monkeypatch):
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install minicnn\[onnx\]"):
        call(path)


# --------------------------------------------------------------------------------------------------- files of PyTorch


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("name", ["lenet", "residual"])
def test_files_of_pytorch(name, exporter):
    """The expected numbers are PyTorch's, see golden/make_pytorch_onnx.py."""
    file = GOLDEN / f"pytorch_{name}_{exporter}.onnx"
    with np.load(file.with_suffix(".npz"), allow_pickle=False) as data:
        x, *expected = (data[key] for key in data.files)
    model = mc.import_onnx(file)
    for a, b in zip(predict(model, [channels_last(x)]), expected, strict=True):
        assert_close(a, b, TOLERANCE)


def test_an_imported_model_can_be_trained(rng):
    model = mc.import_onnx(GOLDEN / "pytorch_lenet_legacy.onnx")
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = rng.random((64, 24, 24, 1)), rng.integers(0, 10, 64)
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
