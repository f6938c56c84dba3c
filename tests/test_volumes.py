"""Layers of three dimensions, against loops over every window in float64, and a network of them against Keras."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import every_backend

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import ShapeError
from minicnn.gradient_check import gradcheck
from minicnn.layers import depth
from minicnn.models.flops import graph_flops
from minicnn.testing.running import graph_of, run

FIRST = "channels_first"


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def result(layer, x, backend="numba", dy=None):
    """What a layer gives in a plan in float64; with the output's gradient, as in training."""
    graph = graph_of(layer, [x.shape[1:]])
    layer.set_weights([numbers(w.shape, 5 + i) for i, w in enumerate(layer.weights)])
    return run(graph, [x], None if dy is None else [dy], backend, dy is not None, True, "float64")


# ------------------------------------------------------------------------------------------- formulas, window by window


def windows_of(size, kernel, strides, padding, gaps=(1, 1, 1)):
    """For each place of the output, {tap: place of the input}; taps in the padding are left out."""
    outs, befores = [], []
    for n, k, s, gap in zip(size, kernel, strides, gaps, strict=True):
        span = (k - 1) * gap + 1
        outs.append(-(-n // s) if padding == "same" else (n - span) // s + 1)
        befores.append(max((outs[-1] - 1) * s + span - n, 0) // 2 if padding == "same" else 0)
    for place in np.ndindex(*outs):
        taps = {}
        for tap in np.ndindex(*kernel):
            axes = zip(place, strides, tap, gaps, befores, strict=True)
            at = tuple(o * s + t * gap - before for o, s, t, gap, before in axes)
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                taps[tap] = at
        yield place, taps
    return tuple(outs)


def output_size(*options):
    return tuple(np.max([place for place, _ in windows_of(*options)], axis=0) + 1)


def convolved(x, kernel, bias, strides, padding, gaps, groups):
    size, spans = x.shape[1:4], kernel.shape[:3]
    y = np.zeros((len(x), *output_size(size, spans, strides, padding, gaps), kernel.shape[4])) + bias
    width, filters = kernel.shape[3], kernel.shape[4] // groups
    for place, taps in windows_of(size, spans, strides, padding, gaps):
        for tap, at in taps.items():
            for g in range(groups):
                own = slice(g * filters, (g + 1) * filters)
                y[:, *place, own] += x[:, *at, g * width : (g + 1) * width] @ kernel[tap][:, own]
    return y


@st.composite
def convolutions(draw):
    three = st.tuples(*[st.integers(1, 3)] * 3)
    groups, padding = draw(st.integers(1, 2)), draw(st.sampled_from(["valid", "same"]))
    kernel, strides, gaps = draw(three), draw(three), draw(st.tuples(*[st.integers(1, 2)] * 3))
    least = [(k - 1) * gap + 1 if padding == "valid" else 1 for k, gap in zip(kernel, gaps, strict=True)]
    size = [draw(st.integers(n, n + 3)) for n in least]
    return (draw(st.integers(1, 3)), *size, 2 * groups), 2 * groups, kernel, strides, padding, gaps, groups


@pytest.mark.parametrize("part", [1 << 23, 60])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@given(case=convolutions())
def test_a_convolution_is_its_formula(backend, part, case):
    """Also where a part of the batch is a slice or two, so that parts begin within volumes."""
    shape, filters, kernel, strides, padding, gaps, groups = case
    layer = layers.Conv3D(filters, kernel, strides, padding, dilation_rate=gaps, groups=groups)
    x = numbers(shape)
    with mock.patch.object(depth, "PART", part):
        y = result(layer, x, backend).outputs[0]
    weights = [w.numpy().astype(float) for w in layer.weights]
    np.testing.assert_allclose(y, convolved(x, *weights, strides, padding, gaps, groups), atol=1e-5)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@given(case=convolutions())
def test_gradients_are_those_of_the_formula(backend, case):
    """The gradient of the kernel and of the input, each number of which is a product of others."""
    shape, filters, kernel, strides, padding, gaps, groups = case
    layer = layers.Conv3D(filters, kernel, strides, padding, dilation_rate=gaps, groups=groups)
    x = numbers(shape)
    dy = numbers((len(x), *output_size(shape[1:4], kernel, strides, padding, gaps), filters), 1)
    with mock.patch.object(depth, "PART", 60):
        made = result(layer, x, backend, dy)
    weights = layer.kernel.numpy().astype(float)
    dx, dkernel, width, own = np.zeros(shape), np.zeros(weights.shape), shape[4] // groups, filters // groups
    for place, taps in windows_of(shape[1:4], kernel, strides, padding, gaps):
        for tap, at in taps.items():
            for g in range(groups):
                channels, columns = slice(g * width, (g + 1) * width), slice(g * own, (g + 1) * own)
                dx[:, *at, channels] += dy[:, *place, columns] @ weights[tap][:, columns].T
                dkernel[tap][:, columns] += x[:, *at, channels].T @ dy[:, *place, columns]
    np.testing.assert_allclose(made.dxs[0], dx, atol=1e-5)
    np.testing.assert_allclose(made.grads[layer.kernel.path], dkernel, atol=1e-5)
    np.testing.assert_allclose(made.grads[layer.bias.path], dy.sum(axis=(0, 1, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kernel", "strides"), [((3, 2, 1), (2, 1, 2)), ((2, 3, 4), (1, 2, 2)), ((1, 1, 2), (3, 1, 1))]
)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_transposed_convolution_is_the_adjoint(backend, kernel, strides, padding):
    """Every voxel adds kernel · x to those that a convolution over the output would have read for it."""
    x = numbers((2, 3, 2, 4, 2))
    layer = layers.Conv3DTranspose(3, kernel, strides, padding)
    with mock.patch.object(depth, "PART", 60):
        y = result(layer, x, backend).outputs[0]
    weights, bias = (w.numpy().astype(float) for w in layer.weights)
    expected = np.zeros(y.shape) + bias
    for place, taps in windows_of(y.shape[1:4], kernel, strides, padding):
        for tap, at in taps.items():
            if all(p < n for p, n in zip(place, x.shape[1:4], strict=True)):
                expected[:, *at] += x[:, *place] @ weights[tap].T
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "strides"), [((2, 2, 2), None), ((3, 2, 1), (1, 2, 2)), ((1, 3, 2), (2, 1, 1)), ((2, 1, 1), (1, 1, 1))]
)
@every_backend
def test_poolings_are_their_formulas(backend, size, strides, padding):
    x = numbers((2, 4, 5, 3, 2))
    windows = list(windows_of(x.shape[1:4], size, strides or size, padding))
    maxima, means = (
        result(cls(size, strides, padding), x, backend).outputs[0]
        for cls in (layers.MaxPooling3D, layers.AveragePooling3D)
    )
    for place, taps in windows:
        voxels = np.stack([x[:, *at] for at in taps.values()])
        np.testing.assert_allclose(maxima[:, *place], voxels.max(axis=0), atol=1e-6)
        np.testing.assert_allclose(means[:, *place], voxels.mean(axis=0), atol=1e-6)
    assert maxima.shape == means.shape == (2, *np.array([p for p, _ in windows]).max(axis=0) + 1, 2)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("layer", [layers.MaxPooling3D(3), layers.GlobalMaxPooling3D(keepdims=True)])
@given(seed=st.integers(0, 99))
def test_of_equal_maxima_the_first_one_has_the_gradient(layer, backend, seed):
    """In the order (depth, height, width), in which NumPy's argmax goes over a window."""
    x = np.random.default_rng(seed).integers(0, 3, (2, 3, 3, 3, 2)).astype(float)
    dy = numbers((2, 1, 1, 1, 2))
    dx = run(graph_of(layer, [x.shape[1:]]), [x], [dy], backend, True, True, "float64").dxs[0]
    voxels, expected = x.reshape(2, 27, 2), np.zeros((2, 27, 2))
    for n, c in np.ndindex(2, 2):
        expected[n, voxels[n, :, c].argmax(), c] = dy[n, 0, 0, 0, c]
    np.testing.assert_array_equal(dx, expected.reshape(x.shape))


def test_windows_of_more_voxels_than_a_winner_has_numbers():
    x = numbers((1, 3, 17, 18, 2))
    made = result(layers.MaxPooling3D((3, 17, 18)), x, dy=np.ones((1, 1, 1, 1, 2)))
    np.testing.assert_allclose(made.outputs[0].ravel(), x.max(axis=(1, 2, 3)).ravel(), atol=1e-6)
    assert (made.dxs[0] != 0).sum() == 2
    long = numbers((1, 300, 2, 1, 1))
    np.testing.assert_allclose(result(layers.MaxPooling3D((300, 1, 1)), long).outputs[0], long.max(1, keepdims=True))


def test_a_frozen_kernel_has_no_gradient_and_the_input_still_has():
    layer = layers.Conv3D(2, 2)
    layer.trainable = False
    assert gradcheck(layer, input_shape=(3, 4, 3, 2)).error < 1e-6


# ------------------------------------------------------------------------------------------------------------- networks


def network():
    """Of a small network for volumes, with weights that formulas give; see below."""
    L = keras.layers
    parts = [L.Conv3D(4, 3, padding="same", activation="relu"), L.MaxPooling3D((1, 2, 2)), L.BatchNormalization()]
    parts += [L.Conv3D(6, (3, 2, 3), strides=(2, 1, 1)), L.Activation("tanh"), L.GlobalAveragePooling3D()]
    model = keras.Sequential([keras.Input((6, 8, 8, 2)), *parts, L.Dense(3, activation="softmax")])
    first = [0.3 * np.sin(1.7 * np.arange(w.size) + i).reshape(w.shape) for i, w in enumerate(model.get_weights())]
    first[1:6] = np.zeros(4), np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)
    model.set_weights(first)
    return model


X = np.cos(0.9 * np.arange(6 * 6 * 8 * 8 * 2)).reshape(6, 6, 8, 8, 2).astype(np.float32)
LABELS = np.arange(6) % 3


@every_backend
def test_a_network_trains_as_kerass_does(backend):
    """Keras 3.15.1 on TensorFlow, of the same lines with ``import keras``, printed

    [float(model.train_on_batch(X, LABELS)) for _ in range(4)], then model.predict(X[:2]).ravel(), then
    [float(np.abs(w).sum()) for w in model.get_weights()].
    """
    model = network()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", backend=backend)
    losses = [float(model.train_on_batch(X, LABELS)) for _ in range(4)]
    np.testing.assert_allclose(losses, [1.1393971443, 1.1242092848, 1.1065913439, 1.0999655724], rtol=1e-5)
    probabilities = [0.26165009, 0.31945080, 0.41889912, 0.25887716, 0.32059547, 0.42052734]
    np.testing.assert_allclose(model.predict(X[:2]).ravel(), probabilities, rtol=1e-5)
    sums = [41.274933, 0.00043886434, 4.0089617, 0.013233379, 0.30645797, 3.8888812, 82.374008, 1.0428019, 3.4856181]
    found = [np.abs(w).sum() for w in model.get_weights()]
    np.testing.assert_allclose(found, [*sums, 0.28248623], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["volumes.keras", "volumes.h5", "volumes.safetensors", "volumes.onnx"])
def test_files_hold_it(name, tmp_path):
    model = network()
    path = tmp_path / name
    if name.endswith(".onnx"):
        pytest.importorskip("onnx")
        mc.export_onnx(model, path)
        again = mc.import_onnx(path)
    else:
        model.save(path)
        again = keras.models.load_model(path)
    np.testing.assert_allclose(again.predict(X), model.predict(X), atol=1e-6)


def test_inference_merges_the_normalization_into_the_kernel():
    model = keras.Sequential([keras.Input((4, 5, 3, 2)), keras.layers.Conv3D(3, 2), keras.layers.BatchNormalization()])
    model.set_weights([numbers(w.shape, i) ** 2 + 0.1 for i, w in enumerate(model.get_weights())])
    x = numbers((3, 4, 5, 3, 2)).astype(np.float32)
    kernel, bias, gamma, beta, mean, variance = (w.astype(float) for w in model.get_weights())
    y = convolved(x, kernel, bias, (1, 1, 1), "valid", (1, 1, 1), 1)
    expected = (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-4)


def test_flops_are_those_of_every_tap():
    """Two for each tap and channel, one for a bias, an activation and each number that a pooling looks at."""
    L = keras.layers
    parts = [L.Conv3D(4, 3, padding="same", activation="relu"), L.MaxPooling3D((1, 2, 2)), L.Conv3DTranspose(5, 2)]
    model = keras.Sequential([keras.Input((6, 8, 8, 2)), *parts, L.ZeroPadding3D(), L.GlobalAveragePooling3D()])
    convolution = 6 * 8 * 8 * 4 * (2 * 27 * 2 + 1 + 1)
    transposed = 6 * 4 * 4 * (2 * 8 * 4 * 5) + 7 * 5 * 5 * 5
    assert graph_flops(model.graph) == convolution + 6 * 4 * 4 * 4 * 4 + transposed + 9 * 7 * 7 * 5


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.filterwarnings("ignore:.*float16")
def test_it_trains_in_mixed_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = network()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    losses = [float(model.train_on_batch(X, LABELS)) for _ in range(4)]
    np.testing.assert_allclose(losses, [1.1394, 1.1242, 1.1066, 1.1000], rtol=2e-3)  # steps change more


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64", "int64"])
def test_volumes_of_any_dtype_and_layout_are_taken(dtype):
    model, x = network(), (X * 100).astype(dtype)
    expected = model.predict(np.ascontiguousarray(x, np.float32))
    views = np.asfortranarray(x), np.repeat(x, 2, axis=2)[:, :, ::2], x[::-1].copy()[::-1]
    views[0].flags.writeable = False
    for view in views:
        np.testing.assert_array_equal(model.predict(view), expected)
    np.testing.assert_allclose(model.predict(x[:1]), expected[:1], atol=1e-6)


def test_channels_that_come_first():
    x = numbers((2, 3, 4, 5, 2)).astype(np.float32)  # (N, C, D, H, W)
    layer, twin = layers.Conv3D(4, 2, padding="same", data_format=FIRST), layers.Conv3D(4, 2, padding="same")
    y = layer(x)
    twin(np.moveaxis(x, 1, -1))
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(y, np.moveaxis(twin(np.moveaxis(x, 1, -1)), -1, 1), atol=1e-6)


def test_sizes_may_be_open():
    model = keras.Sequential(
        [
            *(keras.Input((None, None, None, 1)), keras.layers.Conv3D(3, 3, strides=2, padding="same")),
            *(keras.layers.MaxPooling3D(2, padding="same"), keras.layers.UpSampling3D(2)),
            keras.layers.Conv3DTranspose(1, 2, strides=2),
        ]
    )
    assert model.output_shape == (None, None, None, None, 1)
    for size in ((4, 8, 12), (8, 4, 4)):
        assert model.predict(np.ones((1, *size, 1))).shape == (1, *size, 1)


# ------------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.Conv3D(2, (3, 3)), r"three of them \(depth, height, width\).*kernel_size=\(3, 3\)"),
        (lambda: layers.Conv3D(2, 0), "integer of at least 1.*kernel_size=0"),
        (lambda: layers.Conv3D(3, 2, groups=2), "filters must be a multiple of groups"),
        (lambda: layers.Conv3D(2, 2, padding="causal"), "padding.*'valid', 'same'.*'causal'"),
        (lambda: layers.Conv3DTranspose(2, 2, 2, output_padding=2), "output_padding must be smaller than strides"),
        (lambda: layers.ZeroPadding3D((1, 2)), r"three of them \(depth, height, width\), or three pairs.*\(1, 2\)"),
        (lambda: layers.ZeroPadding3D(-1), "depth, height, width.*none negative.*padding=-1$"),
        (lambda: layers.ZeroPadding3D(((1, 1), (1, "2"), 1)), r"none negative.*\(\(1, 1\), \(1, '2'\), 1\)"),
        (lambda: layers.Cropping3D(((1, 2, 3),) * 3), "three pairs of them"),
        (lambda: layers.UpSampling3D("2"), "three of them"),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (layers.Conv3D(2, 3), (8, 8, 3), r"4 axes, \(depth, height, width, channels\).*\(None, 8, 8, 3\)"),
        (layers.Conv3D(2, 3), (2, 8, 8, 3), r"window of \(3, 3, 3\).*larger than its input of \(2, 8, 8\) \(depth"),
        (layers.Conv3D(2, 2, groups=2), (2, 2, 2, 3), "channels must be a multiple of groups=2"),
        (layers.MaxPooling3D(3), (4, 2, 4, 1), r"larger than its input of \(4, 2, 4\)"),
        (layers.GlobalAveragePooling3D(), (4, 4, 1), "4 axes"),
        (layers.Cropping3D(2), (8, 4, 8, 1), "leaves nothing of the volume"),
        (layers.ZeroPadding3D(), (4, 4, 1), "4 axes"),
        (layers.SpatialDropout3D(0.5), (4, 4, 1), "4 axes"),
    ],
)
def test_shapes_are_checked_when_the_model_is_built(layer, shape, words):
    with pytest.raises(ShapeError if "axes" in words else ValueError, match=words):
        layer(mc.Input(shape))


def test_a_page_refuses_volumes(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8)), keras.layers.Reshape((4, 4, 4, 1)), keras.layers.Conv3D(2, 2, name="deep")]
    )
    with pytest.raises(ValueError, match=r"'deep' cannot run in a page, which computes with images.* as volumes"):
        mc.export_html(model, tmp_path / "page.html")
    each = keras.layers.TimeDistributed(keras.layers.Conv2D(2, 2, name="inner"))
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.Reshape((4, 4, 4, 1)), each])
    with pytest.raises(ValueError, match=r"'inner' cannot run in a page.*frames of images are.*shape \(4, 4, 4, 1\)"):
        mc.export_html(model, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------- older spellings


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_spellings_of_keras_1():
    """As in the C3D network's files of 2016: a kernel's sizes one by one, `border_mode`, `subsample`."""
    L = keras.layers
    old = L.Convolution3D(4, 3, 2, 1, activation="relu", border_mode="same", subsample=(1, 2, 1), name="conv1")
    assert (old.kernel_size, old.padding, old.strides) == ((3, 2, 1), "same", (1, 2, 1))
    named = L.Convolution3D(nb_filter=4, kernel_dim1=3, kernel_dim2=3, kernel_dim3=2, init="normal")
    assert (named.filters, named.kernel_size) == (4, (3, 3, 2))
    assert L.MaxPooling3D(pool_size=(1, 2, 2), strides=(1, 2, 2), border_mode="valid").padding == "valid"
    assert L.Conv3D(4, (3, 3, 3), (1, 1, 1), "same").padding == "same"


def test_names_of_today():
    L = keras.layers
    assert (
        L.Convolution3D is L.Conv3D and L.MaxPool3D is L.MaxPooling3D and L.GlobalAvgPool3D is L.GlobalAveragePooling3D
    )
    assert L.Convolution3DTranspose is L.Conv3DTranspose and L.AvgPool3D is L.AveragePooling3D
    assert isinstance(L.MaxPooling3D(2), L._Pooling3D) and isinstance(L.Conv3D(2, 2), L._Conv)
    assert L.Conv3D(2, 2).rank == L.Conv3DTranspose(2, 2).rank == 3
    with pytest.raises(ValueError, match="strides or a dilation_rate above 1, not both"):
        L.Conv3D(2, 2, strides=2, dilation_rate=2)


def test_channels_first_is_the_global_format():
    keras.backend.set_image_data_format(FIRST)
    try:
        layer = keras.layers.Conv3D(4, 2)
    finally:
        keras.backend.set_image_data_format("channels_last")
    assert layer(np.zeros((1, 3, 4, 5, 6), np.float32)).shape == (1, 4, 3, 4, 5)
