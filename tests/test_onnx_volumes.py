"""ONNX files of volumes (N, C, D, H, W), against onnxruntime."""

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn import layers
from minicnn.errors import FileFormatError

onnx_files = pytest.importorskip("onnx_files")
OPEN = "g (float[N,2,D,H,W] x) => (float[N,c,d,h,w] y)"
VOLUMES = "g (float[N,2,5,6,7] x) => (float[N,c,d,h,w] y)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "volumes.onnx"


def cases():
    """Every layer of volumes with each of its examples."""
    for name, cls in layers.CLASSES.items():
        if name.endswith(("3D", "3DTranspose")):
            yield from (
                pytest.param(name, number, id=f"{name}-{number}") for number in range(len(list(cls.examples())))
            )


@pytest.mark.parametrize(("name", "number"), list(cases()))
def test_what_is_written_is_computed_by_others_and_read_again(name, number, path, rng):
    layer, (shape,) = list(layers.CLASSES[name].examples())[number]
    x = mc.Input(shape)
    model = mc.Model(x, layer(x))
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    proto = onnx_files.check_export(model, path, rng)
    onnx_files.check_round_trip(model, path, rng)
    if "Adaptive" not in name:  # which ONNX has no operator for
        assert len([node for node in proto.graph.node if node.op_type not in ("Transpose", "Flatten")]) <= 2


@pytest.mark.parametrize(
    "layer",
    [
        layers.MaxPooling3D(2),
        layers.AveragePooling3D((3, 2, 1), strides=2, padding="same"),
        *(layers.GlobalMaxPooling3D(), layers.GlobalAveragePooling3D(keepdims=True)),
        *(layers.UpSampling3D((2, 1, 2)), layers.Conv3D(2, 2), layers.Conv3DTranspose(2, 2), layers.ZeroPadding3D()),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_volumes_that_are_frames(layer, path, rng):
    """The first of a layer's steps wrote all of it, and the shape of its part behind that."""
    model = mc.Sequential([mc.Input((3, 4, 5, 6, 2)), layers.TimeDistributed(layer)])
    onnx_files.exported(model, path)
    for count in (1, 4):
        x = rng.normal(size=(count, 3, 4, 5, 6, 2)).astype(np.float32)
        (y,) = onnx_files.run_file(path, [x]).values()
        frames = [layer(x[:, t]) for t in range(3)]
        assert_close(y, np.stack(frames, axis=1), 1e-5)


def test_a_network_whose_sizes_are_open(path, rng):
    parts = [layers.Conv3D(4, 3, strides=2, padding="same", activation="relu"), layers.BatchNormalization()]
    parts += [layers.MaxPooling3D(2, padding="same"), layers.Conv3DTranspose(3, 2, strides=2)]
    model = mc.Sequential([mc.Input((None, None, None, 2)), *parts, layers.GlobalAveragePooling3D(), layers.Dense(3)])
    onnx_files.exported(model, path)
    again = mc.import_onnx(path)
    for size in ((7, 9, 8), (6, 4, 10)):
        x = rng.normal(size=(2, *size, 2)).astype(np.float32)
        (expected,) = onnx_files.run_file(path, [x]).values()
        assert_close(model.predict(x), expected, 1e-5)
        assert_close(again.predict(x), expected, 1e-5)


def weights(**shapes):
    numbers = np.random.default_rng(0)
    return {name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


READ = {
    "padding of PyTorch": ("y = Conv<pads=[1,1,1,1,1,1], strides=[2,2,2]>(x, w, b)", weights(w=(4, 2, 3, 3, 3), b=4)),
    "automatic padding": ("y = Conv<auto_pad='SAME_LOWER', strides=[2,1,2]>(x, w)", weights(w=(4, 2, 2, 3, 2))),
    "groups and gaps": ("y = Conv<group=2, dilations=[2,1,2]>(x, w)", weights(w=(4, 1, 2, 3, 2))),
    "maxima behind a ReLU": (
        "r = Relu(x) y = MaxPool<kernel_shape=[3,3,3], strides=[2,2,2], pads=[1,1,1,1,1,1]>(r)",
        {},
    ),
    "more windows than fit": ("y = MaxPool<kernel_shape=[2,2,2], strides=[2,2,2], ceil_mode=1>(x)", {}),
    "zeros that count": (
        "y = AveragePool<kernel_shape=[3,2,3], pads=[1,0,1,1,1,1], count_include_pad=1>(x)",
        {},
    ),
    "upside down": (
        "y = ConvTranspose<strides=[2,2,1], pads=[1,0,1,0,1,1], output_padding=[1,0,0]>(x, w, b)",
        weights(w=(2, 3, 3, 2, 3), b=3),
    ),
    "larger": (
        "f = Constant<value_floats=[1.0,1.0,2.0,1.0,3.0]>() "
        "y = Resize<mode='nearest', nearest_mode='floor', coordinate_transformation_mode='asymmetric'>(x, , f)",
        {},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_others_write_is_read(name, path, rng):
    nodes, constants = READ[name]
    onnx_files.make_file(path, f"{VOLUMES} {{ {nodes.replace(chr(39), chr(34))} }}", **constants)
    x = rng.normal(size=(2, 2, 5, 6, 7)).astype(np.float32)
    (expected,) = onnx_files.run_file(path, [x]).values()
    y = mc.import_onnx(path).predict(np.moveaxis(x, 1, -1))
    assert_close(np.moveaxis(y, -1, 1), expected, 1e-5)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("y = MaxPool<kernel_shape=[3,3,3], strides=[2,2,2], pads=[1,1,1,1,1,1]>(x)", "padding is none or Keras's"),
        ("y = AveragePool<kernel_shape=[2,2,2], strides=[2,2,2], ceil_mode=1>(x)", "ceil_mode=1 is taken for maxima"),
        ("y = MaxPool<kernel_shape=[2,2,2], dilations=[2,1,1]>(x)", "no gaps"),
        ("f = Constant<value_floats=[1.0,1.0,1.5,1.0,3.0]>() y = Resize(x, , f)", "whole factors"),
    ],
)
def test_what_no_layer_does_is_refused(nodes, words, path):
    onnx_files.make_file(path, f"{VOLUMES} {{ {nodes} }}", checked=False)
    with pytest.raises(FileFormatError, match=words):
        mc.import_onnx(path)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_more_windows_than_fit_go_by_sizes_that_are_open(operator, path):
    """Of sizes that happen to need none more they were left out for all."""
    more = "kernel_shape=[2,2,2], ceil_mode=1"
    onnx_files.make_file(path, f"{OPEN} {{ y = {operator}<{more}, strides=[2,2,2]>(x) }}", checked=False)
    with pytest.raises(FileFormatError, match="ceil_mode=1 is taken for maxima of known sizes"):
        mc.import_onnx(path)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("rest", ["ceil_mode=1", "ceil_mode=1, strides=[2,2,2], auto_pad='SAME_UPPER'"])
def test_sizes_may_be_open_where_no_more_windows_are_asked_for(operator, rest, path, rng):
    nodes = f"y = {operator}<kernel_shape=[2,2,2], {rest}>(x)".replace("'", '"')
    onnx_files.make_file(path, f"{OPEN} {{ {nodes} }}")
    model = mc.import_onnx(path)
    for size in ((5, 6, 7), (4, 3, 2)):
        x = rng.normal(size=(2, 2, *size)).astype(np.float32)
        (expected,) = onnx_files.run_file(path, [x]).values()
        assert_close(np.moveaxis(model.predict(np.moveaxis(x, 1, -1)), -1, 1), expected, 1e-5)
