"""Inputs with sizes None. The oracle is the model for one size with the same weights: all must agree to the bit."""

import numpy as np
import pytest
from oracles import randomize
from test_layer_contracts import every_example

import minicnn as mc
from minicnn import layers as L
from minicnn.errors import ShapeError
from minicnn.layers import CLASSES
from minicnn.layers.open_sizes import MAX_GRAPHS, sized
from minicnn.training.engine import Engine

NEED_SIZES = {
    ("LayerNormalization", 1): "would have a size that is known only when data comes",  # over whole samples
    ("PReLU", 0): "would have a size that is known only when data comes",  # a slope for each element
    ("Dot", 1): "have one length",  # of which only one is open
    ("MatrixProduct", 0): "a product of matrices",  # the same
    ("MatrixProduct", 1): "a product of matrices",
    **dict.fromkeys([("EinsumDense", 2), ("EinsumDense", 4)], "would have a size that is known only when data comes"),
    ("EinsumDense", 3): "do not match at shared dimension 'b'",  # of the kernel, too
    **dict.fromkeys([("Rescaling", 2), ("Rescaling", 3)], "an array that fits samples of shape .*None, 2."),
}
"""The examples of layers that need a size → what they say."""


def opened(shapes):
    """All sizes but the channels'."""
    return [(*[None] * (len(shape) - 1), *shape[-1:]) for shape in shapes]


def larger(shapes, by):
    """Other sizes for the same layer; a size of 1 counts for all others and stays."""
    return [(*(n if n == 1 else n + by for n in shape[:-1]), *shape[-1:]) for shape in shapes]


def model_of(layer, shapes):
    inputs = [mc.Input(shape) for shape in shapes]
    model = mc.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    model.compile(mc.optimizers.SGD(0.1), "mse", backend="numba")
    model.seed = 11
    return model


@every_example
def test_every_layer(name, number, rng):
    layer, shapes = list(CLASSES[name].examples())[number]
    open_shapes = opened(shapes)
    if open_shapes == shapes:
        pytest.skip("it takes vectors")
    if (name, number) in NEED_SIZES:
        with pytest.raises(ShapeError, match=NEED_SIZES[name, number]):
            model_of(layer, open_shapes)
        assert not layer.built
        assert layer.get_weights() == []
        return
    model = model_of(layer, open_shapes)
    randomize([layer], rng)
    for by in (0, 2):
        concrete = larger(shapes, by)
        fixed = model_of(type(layer).from_config(layer.get_config()), concrete)
        fixed.set_weights(model.get_weights())
        expected = (
            None,
            *(None if o is None else n for o, n in zip(model.output_shape[1:], fixed.output_shape[1:], strict=True)),
        )
        assert model.output_shape == expected
        xs = [rng.normal(size=(4, *shape)) for shape in concrete]
        y = rng.normal(size=(4, *fixed.output_shape[1:]))
        np.testing.assert_array_equal(model.predict(xs), fixed.predict(xs))
        fixed.optimizer.iterations = model.optimizer.iterations
        assert model.train_on_batch(xs, y) == fixed.train_on_batch(xs, y)
        for ours, theirs in zip(model.get_weights(), fixed.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def unet(shape, classes=4):
    """Two levels, with all that a network for segmentation is made of."""
    inputs = mc.Input(shape)
    skip = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = L.MaxPooling2D()(skip)
    x = L.BatchNormalization()(L.Conv2D(12, 3, padding="same", use_bias=False)(x))
    x = L.SpatialDropout2D(0.2)(L.ReLU()(x))
    x = L.concatenate([L.Conv2DTranspose(8, 2, strides=2)(x), skip])
    return mc.Model(inputs, L.Conv2D(classes, 1, activation="softmax")(x))


def compiled(model, seed=5, **options):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    model.seed = seed
    return model


def batches(rng, sizes, samples=4, classes=4):
    return [(rng.random((samples, *size, 3)), rng.integers(0, classes, (samples, *size))) for size in sizes]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_training_on_one_size(backend, rng):
    """fit with shuffling, dropout and a short last batch; then evaluate and predict."""
    model = compiled(unet((None, None, 3)), backend=backend)
    fixed = compiled(unet((12, 8, 3)), backend=backend)
    fixed.set_weights(model.get_weights())
    ((x, y),) = batches(rng, [(12, 8)], samples=10)
    histories = [m.fit(x, y, batch_size=4, epochs=2, verbose=0, validation_split=0.2).history for m in (model, fixed)]
    assert histories[0] == histories[1]
    assert model.evaluate(x, y, verbose=0) == fixed.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(model.predict(x), fixed.predict(x))
    np.testing.assert_array_equal(model(x[:3]), fixed(x[:3]))
    for ours, theirs in zip(model.get_weights(), fixed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_batches_of_many_sizes(rng):
    """Each batch trains as a model of its size would, which is given weights and state; plans and graphs are few."""
    sizes = [(2 * i, 2 * i + 4) for i in range(2, 2 + Engine.max_plans + 3)]
    data = batches(rng, sizes)
    model, mean = compiled(unet((None, None, 3))), 0.0
    weights, moments, iterations = model.get_weights(), None, 0
    history = model.fit(iter(data), verbose=0).history
    for size, (x, y) in zip(sizes, data, strict=True):
        other = compiled(unet((*size, 3)))
        other.set_weights(weights)
        if moments is not None:  # Adam's
            other.train_on_batch(x, y)  # so that there are some to be replaced
            ours = other.trainable_weights
            other.engine.set_state({name: dict(zip(ours, arrays, strict=True)) for name, arrays in moments.items()})
            other.set_weights(weights)
            other.optimizer.iterations = iterations
        mean += other.train_on_batch(x, y)[0] / len(sizes)
        weights, iterations = other.get_weights(), other.optimizer.iterations
        state = other.engine.state_by_weight()
        moments = {name: [parts[w].copy() for w in other.trainable_weights] for name, parts in state.items()}
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert history["loss"] == [pytest.approx(mean, rel=1e-12)]
    assert len(model.engine._plans) <= Engine.max_plans


def test_graphs_are_kept_for_the_sizes_that_were_met_last():
    model = mc.Sequential([mc.Input((None, 2)), L.Conv1D(3, 2)])
    first = sized(model.graph, [(5, 2)])
    assert sized(model.graph, [(5, 2)]) is first
    for size in range(6, 6 + MAX_GRAPHS):
        sized(model.graph, [(size, 2)])
    assert sized(model.graph, [(5, 2)]) is not first
    assert sized(model.graph, [(None, 2)]) is model.graph


def test_samples_count_in_accuracy_and_in_the_loss(rng):
    """As in Keras 3.15: the logs of batches of other sizes are means over samples, whose pixels are averaged."""
    model = compiled(unet((None, None, 3)))
    data = batches(rng, [(4, 4), (8, 12)])
    single = [model.evaluate(x, y, verbose=0) for x, y in data]
    loss, accuracy = model.evaluate(iter(data), verbose=0)
    assert loss == pytest.approx((single[0][0] + single[1][0]) / 2, rel=1e-12)
    assert accuracy == pytest.approx((single[0][1] + single[1][1]) / 2, rel=1e-12)


def test_predict_needs_one_size_of_outputs(rng):
    model = unet((None, None, 3))
    xs = [rng.random((2, size, size, 3)) for size in (4, 8)]
    with pytest.raises(ShapeError, match=r"use predict_on_batch.*\(None, 4, 4, 4\), \(None, 8, 8, 4\)"):
        model.predict(iter(xs))
    pooled = mc.Model(model.inputs, L.GlobalAveragePooling2D()(model.outputs[0]))
    expected = np.concatenate([pooled.predict_on_batch(x) for x in xs])
    np.testing.assert_array_equal(pooled.predict(iter(xs)), expected)


def test_what_is_shown():
    lines = []
    model = unet((None, None, 3))
    model.summary(print_fn=lines.append)
    assert "(None, None, None, 16)" in "\n".join(lines)
    assert model.input_shape == (None, None, None, 3)
    assert model.output_shape == (None, None, None, 4)
    assert model.layers[-1].output.shape == (None, None, None, 4)
    assert model.compute_output_shape((2, None, 8, 3)) == (2, None, 8, 4)
    assert model.compute_output_shape((2, 6, 8, 3)) == (2, 6, 8, 4)
    with pytest.raises(ShapeError, match=r"takes inputs of shapes .*None, None, 3.*Received: .*4, 4, 2"):
        model.compute_output_shape((2, 4, 4, 2))


def test_a_model_as_a_layer_and_a_subclass(rng):
    x = rng.normal(size=(2, 8, 10, 3))
    inner = unet((None, None, 3))
    half = mc.Sequential([mc.Input((16, 20, 3)), L.AveragePooling2D(), inner, L.GlobalMaxPooling2D()])
    whole = mc.Sequential([mc.Input((None, None, 3)), inner])
    assert half.output_shape == (None, 4)
    assert whole.output_shape == (None, None, None, 4)
    np.testing.assert_array_equal(whole.predict(x), inner.predict(x))

    class Net(mc.Model):
        def __init__(self):
            super().__init__()
            self.conv, self.top = L.Conv2D(4, 3), L.GlobalAveragePooling2D()

        def call(self, inputs):
            return self.top(self.conv(inputs))

    net = Net()
    net.build((None, None, None, 3))
    assert net.predict(x).shape == net.predict(x[:, :5]).shape == (2, 4)


def test_several_inputs_outputs_and_weights_of_pixels(rng):
    """Outputs of open size and of known size; targets are checked against the size that the data gives."""
    image, other = mc.Input((None, None, 3), name="image"), mc.Input((None, 2), name="row")
    maps = L.Conv2D(2, 3, padding="same", activation="softmax", name="maps")(image)
    label = L.Dense(3, name="label")(L.concatenate([L.GlobalMaxPooling2D()(maps), L.GlobalMaxPooling1D()(other)]))
    model = mc.Model([image, other], [maps, label])
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], metrics=[["accuracy"], []])
    for size in (5, 7):
        xs = {"image": rng.random((4, size, size, 3)), "row": rng.random((4, size + 1, 2))}
        ys = [rng.integers(0, 2, (4, size, size)), rng.random((4, 3))]
        logs = model.train_on_batch(xs, ys, sample_weight=[rng.random((4, size, size)), None], return_dict=True)
        assert np.isfinite(list(logs.values())).all()
        with pytest.raises(ValueError, match=rf"a target of shape \(N, {size}, {size}\)"):
            model.train_on_batch(xs, [ys[0][:, 1:], ys[1]])
        with pytest.raises(ValueError, match=rf"\(4, {size}, {size}\), for an output of shape"):
            model.train_on_batch(xs, ys, sample_weight=[rng.random((4, size - 1, size)), None])


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files(suffix, tmp_path, rng):
    model = compiled(unet((None, None, 3)))
    data = batches(rng, [(4, 6), (8, 4)])
    for x, y in data:
        model.train_on_batch(x, y)
    model.save(tmp_path / f"model{suffix}")
    copy = mc.load_model(tmp_path / f"model{suffix}")
    assert copy.input_shape == (None, None, None, 3)
    for x, _ in data:
        np.testing.assert_array_equal(copy.predict(x), model.predict(x))
    assert mc.models.model_from_json(model.to_json()).output_shape == (None, None, None, 4)


def test_keras_configs():
    """As Keras 3 and Keras 2 write them."""
    new = {"class_name": "InputLayer", "config": {"batch_shape": [None, None, None, 3], "name": "i"}}
    old = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, None, None, 3], "name": "i"}}
    first = {"filters": 2, "kernel_size": [3, 3], "name": "c"}
    oldest = [{"class_name": "Conv2D", "config": first | {"batch_input_shape": [None, None, None, 3]}}]
    for layers in ([new, {"class_name": "Conv2D", "config": first}], [old, *oldest], oldest):
        model = mc.Sequential.from_config({"name": "net", "layers": layers})
        assert model.output_shape == (None, None, None, 2)


REFUSED = {
    "Dense behind Flatten": ([L.Flatten, lambda: L.Dense(3)], r"kernel of layer 'dense.*GlobalAverage.*\(None, 3\)"),
    "a shape": (
        [lambda: L.Reshape((16, 4))],  # 64 is no multiple of 3
        r"layer 'reshape.*depend on a size that is None.*\(None, None, None, 3\)",
    ),
    "a slope for each pixel": ([L.PReLU], r"alpha of layer.*known only when data comes.*\(None, None, 3\)"),
    "another rank": ([lambda: L.Conv1D(2, 3)], r"expected samples of 2 axes.*\(None, None, None, 3\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_a_size_says_so_when_it_is_built(case):
    makers, message = REFUSED[case]
    stack = [make() for make in makers]
    with pytest.raises(ShapeError, match=message):
        mc.Sequential([mc.Input((None, None, 3)), *stack])
    for layer in stack:
        assert layer.get_weights() == []


def test_data_that_does_not_fit(rng):
    model = unet((None, None, 3))
    with pytest.raises(
        ShapeError, match=r"expected data of shape \(None, None, None, 3\).*Received: shape \(2, 8, 8, 4\)"
    ):
        model.predict(rng.random((2, 8, 8, 4)))
    with pytest.raises(ShapeError, match=r"needs a batch axis: x\[None\]"):
        model.predict(rng.random((8, 8, 3)))
    with pytest.raises(ShapeError, match="channels seem to come first"):
        model.predict(rng.random((2, 3, 8, 8)))
    with pytest.raises(ShapeError, match=r"layer 'concatenate.*\(None, 6, 8, 8\), \(None, 7, 8, 8\)"):
        model.predict(rng.random((2, 7, 8, 3)))
    small = mc.Sequential([mc.Input((None, None, 3)), L.Conv2D(2, 5, name="wide"), L.GlobalMaxPooling2D()])
    with pytest.raises(ShapeError, match=r"layer 'wide'.*window of \(5, 5\).*larger than its input of \(4, 9\)"):
        small.predict(rng.random((2, 4, 9, 3)))


def test_layers_of_ones_own(rng):
    """In minicnn's form and in Keras's."""
    from minicnn import keras

    class Halved(L.Layer):
        def build(self, input_shapes):
            (height, width, channels) = input_shapes[0]
            self.add_weight("scale", (channels,), "ones")
            return (height // 2, width, channels)

        def forward(self, xs, ws):
            ws.y[...] = xs[0][:, : ws.y.shape[1]] * ws.params["scale"]

        def backward(self, dy, ws):
            raise NotImplementedError

    class Scaled(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer="ones")

        def call(self, inputs):
            return inputs * self.scale

    model = mc.Sequential([mc.Input((None, None, 3)), Halved(), Scaled()])
    assert model.output_shape == (None, None, None, 3)
    x = rng.random((2, 6, 4, 3), np.float32)
    np.testing.assert_array_equal(model.predict(x), x[:, :3])


def test_gradcheck_and_warmup(rng):
    model = compiled(unet((None, None, 3)))
    with pytest.raises(ValueError, match=r"needs input_shape=.*Received: input_shape=None"):
        mc.gradcheck(model)
    assert mc.gradcheck(model, input_shape=(4, 6, 3)).error <= 1e-6
    assert mc.gradcheck(model, rng.normal(size=(2, 6, 4, 3))).error <= 1e-6
    before = model.get_weights()
    mc.warmup(model, 2)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_feature_maps(rng):
    figures = pytest.importorskip("matplotlib")
    figures.use("Agg")
    model = unet((None, None, 3))
    figure = mc.visualization.show_feature_maps(model, rng.random((8, 10, 3)))
    assert figure is not None
