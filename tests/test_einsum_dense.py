"""`EinsumDense`: numbers of Keras 3.15, NumPy's einsum in float64, files, ONNX, the page, gradients of gradients."""

import json

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras, layers
from minicnn.errors import FileFormatError, ShapeError
from minicnn.keras import layers as keras_layers
from minicnn.keras import tensorflow as tf
from minicnn.page.attention import taken_apart

X = np.sin(np.arange(24)).reshape(2, 3, 4)

OF_KERAS = {  # equation: (output_shape, bias_axes, activation, shapes of weights, first numbers, sum)
    "abc,cd->abd": ((None, 2), "d", "relu", [(4, 2), (2,)], [0, 0, 0.310208, 0.04534, 0.067791, 0], 1.024804),
    "abc,cde->abde": (
        *((None, 2, 3), "d", None, [(4, 2, 3), (2, 1)]),
        *([2.092632, 2.023231, 0.483668, -0.543565, -0.726763, 0.669528], 25.269329),
    ),
    "abc,bd->adc": (
        *((2, 4), None, None, [(3, 2)]),
        *([-0.331747, 0.971146, 1.381171, 0.521354, 1.029872, 1.520879], 9.467599),
    ),
    "...x,xy->...y": (
        *(2, "y", None, [(4, 2), (2,)]),
        *([-0.954533, -1.379856, 0.310208, 0.04534, 0.067791, -1.692785], -7.217187),
    ),
    "ab...,bc->ac...": (
        *(2, "c", None, [(3, 2), (2, 1)]),
        *([0.628424, 1.931316, 2.341342, 1.481525, 1.783775, 2.274781], 23.18018),
    ),
}
FORMS = {  # further ones: equation: (output_shape, bias_axes, shape of a sample)
    "ab,b->a": ((), None, (4,)),
    "ab,bc->ac": (5, "c", (4,)),
    "abcd,cde->abe": ((None, 6), "be", (2, 3, 4)),
    "...bc,bc->...b": (3, None, (2, 3, 4)),
    "abcd,ce->ae": (3, "e", (2, 4, 3)),
    "abcd,bde->aceb": ((None, 3, None), "eb", (2, 3, 4)),
}


def cosines(layer):
    """The weights that were given to Keras for the numbers above."""
    arrays, start = [], 0
    for weight in layer.weights:
        arrays.append(np.cos(np.arange(start, start + weight.size)).reshape(weight.shape))
        start += weight.size
    layer.set_weights(arrays)
    return layer


def in_float64(layer, x):
    kernel, bias = layer.kernel.numpy().astype(float), 0 if layer.bias is None else layer.bias.numpy()
    return np.einsum(layer.equation, x.astype(float), kernel) + bias


def samples_of(shape):
    return np.random.default_rng(3).normal(size=(3, *shape))


def models():
    """(model, layer, samples) for every form."""
    made = []
    for equation, (units, bias, shape) in FORMS.items():
        x = mc.Input(shape)
        layer = layers.EinsumDense(equation, units, bias_axes=bias)
        model = mc.Model(x, layer(x))
        made.append(pytest.param(model, cosines(layer), samples_of(shape), id=equation))
    return made


@pytest.mark.parametrize("equation", OF_KERAS)
def test_numbers_of_keras(equation, backend):
    units, bias, activation, shapes, first, total = OF_KERAS[equation]
    layer = keras_layers.EinsumDense(equation, units, bias_axes=bias, activation=activation)
    layer.build(X.shape)
    assert [weight.shape for weight in layer.weights] == shapes
    y = np.asarray(cosines(layer)(X))
    np.testing.assert_allclose(y.ravel()[:6], first, rtol=0, atol=1e-5)
    assert y.sum() == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize(("model", "layer", "x"), models())
def test_the_sum_of_products(model, layer, x, backend):
    expected = in_float64(layer, x)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=0, atol=1e-5)
    assert np.asarray(layer(x)).shape == expected.shape == (3, *model.outputs[0].shape[1:])


def test_sizes_that_are_open():
    x = mc.Input((None, 4))
    layer = layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")
    model = mc.Model(x, layer(x))
    assert model.outputs[0].shape == (None, None, 5)
    for size in (2, 7):
        given = samples_of((size, 4))
        np.testing.assert_allclose(model.predict(given, verbose=0), in_float64(layer, given), rtol=0, atol=1e-5)


def test_first_kernels_have_the_fans_of_keras():
    """Of "abc,cde->abde" 50 numbers go in and 600 out: ±√(6/650), where Keras drew up to 0.09606."""
    layer = layers.EinsumDense("abc,cde->abde", (None, 20, 30))
    layer.build(((4, 50),))
    kernel = layer.kernel.numpy()
    assert 0.0955 < np.abs(kernel).max() <= np.sqrt(6 / 650) and kernel.std() == pytest.approx(0.05547, rel=0.02)
    shared = layers.EinsumDense("abcd,bde->abce", (None, None, 40), kernel_initializer="he_uniform")
    shared.build(((10, 3, 20),))  # the fan is d alone: b is an axis of the output
    assert np.abs(shared.kernel.numpy()).max() == pytest.approx(np.sqrt(6 / 20), rel=0.02)


def test_the_config_is_that_of_keras():
    layer = keras_layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", activation="relu", name="e")
    config = layer.get_config()
    parts = {name: config.pop(name)["class_name"] for name in ("kernel_initializer", "bias_initializer")}
    assert parts == {"kernel_initializer": "GlorotUniform", "bias_initializer": "Zeros"}
    none = ("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint")
    assert config == {
        **{"name": "e", "trainable": True, "dtype": "float32", "equation": "abc,cd->abd", "output_shape": (None, 5)},
        **{"activation": "relu", "bias_axes": "d", "quantization_config": None},
        **dict.fromkeys(none),
    }
    again = keras_layers.EinsumDense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5"])
def test_files(ending, tmp_path):
    pytest.importorskip("h5py")
    x = keras.Input((3, 4))
    make = lambda: keras_layers.EinsumDense("abc,cde->abde", (None, 2, 3), "tanh", "e")  # noqa: E731
    model, path = keras.Model(x, make()(x)), tmp_path / f"model{ending}"
    cosines(model.layers[-1])
    if ending == ".weights.h5":
        model.save_weights(path)
        again = keras.Model(x, make()(x))
        again.load_weights(path)
    else:
        model.save(path)
        again = keras.models.load_model(path)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    (entry,) = [e for e in json.loads(model.to_json())["config"]["layers"] if e["class_name"] == "EinsumDense"]
    assert list(entry["config"]["output_shape"]) == [None, 2, 3] and entry["module"] == "keras.layers"


@pytest.mark.parametrize(("model", "layer", "x"), models())
def test_onnx_there_and_back(model, layer, x, tmp_path):
    runtime, path = pytest.importorskip("onnxruntime"), tmp_path / "model.onnx"
    mc.export_onnx(model, path)
    expected = in_float64(layer, x)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    again = mc.import_onnx(path)
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, rtol=0, atol=1e-5)


def test_onnx_there_and_back_with_open_sizes(tmp_path):
    """A size that the file leaves open is not one of the layer's, wherever it is in the output."""
    x, path = mc.Input((None, 4)), tmp_path / "model.onnx"
    layer = layers.EinsumDense("abc,cde->adeb", (2, 3, None), bias_axes="de")
    model = mc.Model(x, layer(x))
    cosines(layer)
    mc.export_onnx(model, path)
    again = mc.import_onnx(path)
    for size in (2, 5):
        given = samples_of((size, 4))
        np.testing.assert_allclose(again.predict(given, verbose=0), in_float64(layer, given), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("abc,ab->ac", "samples stay apart"),
        ("aba,cd->abd", "samples stay apart"),
        ("abc,dc->adb", "equal ones have equal sizes"),
        ("abc,cd", "says what comes out"),
    ],
)
def test_files_of_onnx_that_are_refused(equation, message, tmp_path):
    onnx_files = pytest.importorskip("onnx_files")
    text = f'g (float[N,3,4] x) => (float[N,k,l] y) {{ y = Einsum<equation="{equation}">(x, w) }}'
    path = onnx_files.make_file(tmp_path / "a.onnx", text, checked=False, w=np.ones((4, 5), "f4"))
    with pytest.raises(FileFormatError, match=message):
        mc.import_onnx(path)


def test_a_kernel_of_a_file_may_come_first(tmp_path):
    onnx_files = pytest.importorskip("onnx_files")
    text = 'g (float[N,3,4] x) => (float[N,k,l] y) { y = Einsum<equation="dc, abc -> abd">(w, x) }'
    kernel = np.cos(np.arange(20, dtype="f4")).reshape(5, 4)
    path = onnx_files.make_file(tmp_path / "a.onnx", text, checked=False, w=kernel)
    y = mc.import_onnx(path).predict(X, verbose=0)
    np.testing.assert_allclose(y, X @ kernel.T, rtol=0, atol=1e-5)


class Kept:
    """Numbers of a page, by their place."""

    def __init__(self):
        self.arrays = []

    def add(self, values):
        self.arrays.append(np.asarray(values.numpy() if hasattr(values, "numpy") else values, float))
        return len(self.arrays) - 1


def of_a_page(step, x):
    """What the page's operations give for a sample."""
    numbers, known = Kept(), [x]
    for operation, sources, shape in taken_apart(step, (x.shape,), numbers):
        made = computed(operation, [known[n] for n in sources], shape, numbers.arrays)
        assert made.shape == tuple(shape)
        known.append(made)
    return known[-1]


def computed(operation, given, shape, arrays):
    """An operation of the page, as its description says it."""
    kind = operation["op"]
    if kind == "permute":
        return given[0].transpose(operation["order"])
    if kind == "product":
        return given[0] @ given[1]
    if kind == "affine":
        shift = 0 if operation["shift"] is None else arrays[operation["shift"]]
        return given[0] * arrays[operation["scale"]] + shift
    return {"view": given[0], "constant": arrays[operation.get("filling", 0)]}[kind].reshape(shape)


@pytest.mark.parametrize(("model", "layer", "x"), models())
def test_operations_of_the_page(model, layer, x):
    np.testing.assert_allclose(of_a_page(layer, x[0]), in_float64(layer, x[:1])[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("equation", ["abc,cd->abd", "abc,bd->adc", "abc,cd->ad", "...bc,bc->...b"])
def test_gradients_of_gradients(equation):
    """|∂Σy²/∂x|² along a direction, by differences of the gradient, which the formula gives in float64."""
    letters = equation.partition("->")[2].replace("...", "")
    units = {"abd": (None, 5), "adc": (5, None), "ad": 5, "b": 3}[letters]
    x = keras.Input((3, 4))
    layer = keras_layers.EinsumDense(equation, units)
    model = keras.Model(x, layer(x))
    cosines(layer)
    kernel, own = layer.kernel.numpy().astype(float), equation.replace("...", "a")
    a, b, c = (own.partition(",")[0], own.partition(",")[2].partition("-")[0], own.partition(">")[2])

    def square(x):  # |2 Jᵀ J x|², of y = J x
        y = np.einsum(own, x, kernel)
        missing = [n for n in a if n not in b and n not in c]
        ones = np.ones([x.shape[a.index(n)] for n in missing])
        return (np.einsum(f"{c},{b},{''.join(missing)}->{a}", 2 * y, kernel, ones) ** 2).sum()

    given = tf.constant(X.astype("float32"))
    with tf.GradientTape() as outer:
        outer.watch(given)
        with tf.GradientTape() as inner:
            inner.watch(given)
            loss = tf.reduce_sum(tf.square(model(given)))
        length = tf.reduce_sum(tf.square(inner.gradient(loss, given)))
    found = np.asarray(outer.gradient(length, given)).astype(float)
    along = np.cos(np.arange(24)).reshape(X.shape)
    expected = (square(X + 1e-4 * along) - square(X - 1e-4 * along)) / 2e-4
    assert (found * along).sum() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abc,cd", 3), "Invalid einsum equation"),
        (("abc,cd->abe", (None, 3)), "no corresponding dim"),
        (("abc,cdz->abd", (None, 3)), "did not have a match"),
        (("abc,cd->bad", (None, 3)), "samples, which stay apart"),
        (("abb,bd->abd", (None, 3)), "twice in a term"),
        (("abc,cd->abd", "3"), "output_shape is an int"),
        (("abc,cd->abd", (None, 0)), "output_shape"),
        (("abc,cd->abd", (None, 3), None, "c"), "bias_axes has letters of the output"),
        (("abc,cd->abd", (None, 3), None, "a"), "bias_axes has letters of the output"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=rf"{message}.*Received: "):
        layers.EinsumDense(*arguments)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (("abc,cd->abd", (None, 3)), (4,), "has an input of 3 axes"),
        (("...c,cd->...d", 3), (), "has an input of at least 2 axes"),
        (("abc,cd->abd", 3), (3, 4), "output_shape has the sizes of"),
        (("abc,cd->abd", (5, 3)), (3, 4), "do not match at shared dimension 'b'"),
        (("abc,cd->abd", (None, None)), (3, 4), "how long the axis 'd'"),
        (("abc,bcd->abd", (None, 3)), (None, 4), "a size that is known only when data comes"),
    ],
)
def test_inputs_that_do_not_fit(arguments, shape, message):
    with pytest.raises(ShapeError, match=message):
        layers.EinsumDense(*arguments)(mc.Input(shape))


def test_arguments_of_keras_alone():
    layers.EinsumDense("ab,bc->ac", 3, lora_rank=None, lora_alpha=4, quantization_config=None)
    with pytest.raises(ValueError, match="supports lora_rank=None only"):
        layers.EinsumDense("ab,bc->ac", 3, lora_rank=2)
