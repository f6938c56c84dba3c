"""`TimeDistributed`: frames of a sample through one layer. Numbers of training are those of Keras 3.15."""

import numpy as np
import pytest

import minicnn as mc
from minicnn import backends, keras, layers
from minicnn.errors import ShapeError
from minicnn.keras import layers as K
from minicnn.keras import tensorflow as tf
from minicnn.parameters import ParameterStore
from minicnn.plan.plan import Plan

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 3, 8, 8, 2)).astype("float32")
Y = np.ones((6, 3, 2), "float32")
TD = K.TimeDistributed


def filled(model):
    """The model with weights that anybody can make again."""
    numbers = np.random.default_rng(7)
    arrays = []
    for w in model.weights:
        array = np.ones(w.shape) if "variance" in w.path else numbers.normal(size=w.shape) * 0.3
        arrays.append(array.astype("float32"))
    model.set_weights(arrays)
    return model


def stack(*parts):
    return filled(keras.Sequential([keras.Input((3, 8, 8, 2)), *parts]))


def inner(**options):
    made = keras.Sequential(
        [
            *[keras.Input((8, 8, 2)), K.Conv2D(3, 3), K.BatchNormalization(momentum=0.8), K.ReLU()],
            *[K.GlobalMaxPooling2D(), K.Dense(4)],
        ]
    )
    made.trainable = options.get("trainable", True)
    return made


def cnn():
    pooled = TD(K.Conv2D(4, 3, activation="relu", padding="same")), TD(K.MaxPooling2D(2)), TD(K.Flatten())
    return stack(*pooled, TD(K.Dense(5, activation="relu")), K.Dense(2))


def normalized():
    frames = TD(K.Conv2D(4, 3)), TD(K.BatchNormalization(momentum=0.9)), TD(K.Activation("relu"))
    return stack(*frames, TD(K.GlobalAveragePooling2D()), K.Dense(2))


def regularized():
    """Of a model's layers the penalty on outputs counts, of the wrapped layer itself it does not."""
    parts = K.Conv2D(3, 3, kernel_regularizer="l2"), K.Flatten(), K.Dense(4, activity_regularizer="l2")
    return stack(TD(keras.Sequential([keras.Input((8, 8, 2)), *parts])), K.Dense(2))


def penalty_of_its_own():
    return stack(TD(K.Flatten()), TD(K.Dense(4, activity_regularizer="l2")), K.Dense(2))


def divided():
    return stack(TD(K.Flatten()), TD(K.SpectralNormalization(K.Dense(4))), K.Dense(2))


def nested():
    return stack(TD(TD(K.Dense(3))), TD(K.Flatten()), TD(K.LayerNormalization()), K.Dense(2))


TRAINED = {  # model → (losses of two epochs, Σ|·| of each weight then)
    "cnn": (cnn, [0.435274, 0.216120], [15.34555, 0.77579, 69.88015, 1.20524, 2.64806, 1.09272]),
    "normalized": (
        normalized,
        [1.251400, 0.811814],
        [15.41171, 0.75206, 0.85003, 0.33523, 0.61202, 5.00465, 1.48086, 0.6436],
    ),
    "normalized inside": (
        lambda: stack(TD(inner()), TD(K.Dense(2))),
        [0.875172, 0.347975],
        [11.44214, 0.28146, 0.89762, 0.07299, 0.20884, 4.13159, 3.1368, 0.66053, 1.52959, 0.94297],
    ),
    "frozen inside": (
        lambda: stack(TD(inner(trainable=False)), TD(K.Dense(2))),
        [0.859293, 0.417864],
        [11.42729, 0.28146, 0.83443, 0.23811, 0.58881, 3.0, 3.00124, 0.75163, 1.6165, 0.95318],
    ),
    "regularized": (regularized, [11.120818, 80.735], [42.12854, 1.18929, 209.68296, 1.50755, 16.15791, 1.05982]),
    "penalty of its own": (penalty_of_its_own, [3.772439, 6.340239], [108.81944, 0.68788, 3.53859, 1.03545]),
    "divided": (divided, [1.894961, 0.817843], [34.82126, 1.58797, 0.78161, 0.7352, 0.59489]),
    "model in two": (
        lambda: stack(
            TD(TD(keras.Sequential([keras.Input((8, 2)), K.Flatten(), K.Dense(3)]))), TD(K.Flatten()), K.Dense(2)
        ),
        None,
        None,
    ),
    "nested": (nested, [3.544306, 6.573659], [2.35893, 1.19271, 37.12034, 41.37805, 82.75705, 0.67714]),
}


@pytest.mark.parametrize("name", [name for name in TRAINED if TRAINED[name][1]])
def test_it_trains_as_keras_does(name, backend):
    make, losses, sums = TRAINED[name]
    model = make()
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    history = model.fit(X, Y, batch_size=3, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=2e-4)
    np.testing.assert_allclose([np.abs(w).sum() for w in model.get_weights()], sums, rtol=2e-3, atol=1e-4)


LAYERS = {
    "dense": (lambda: layers.Dense(3, activation="softmax"), (4, 5)),
    "convolution": (lambda: layers.Conv2D(3, 2, activation="relu", kernel_regularizer="l2"), (3, 5, 4, 2)),
    "strided": (lambda: layers.Conv2D(4, 3, strides=2, padding="same"), (2, 7, 6, 3)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3), (3, 5, 5, 2)),
    "pooling": (lambda: layers.MaxPooling2D(), (3, 4, 6, 2)),
    "flatten": (lambda: layers.Flatten(), (3, 4, 2)),
    "row": (lambda: layers.LayerNormalization(), (3, 4, 6)),
    "normalization": (lambda: layers.BatchNormalization(), (3, 4, 2)),
    "frames of frames": (lambda: layers.TimeDistributed(layers.Dense(2)), (3, 2, 4)),
    "model": (
        lambda: mc.Sequential(
            [layers.Input((5, 5, 2)), layers.Conv2D(3, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten()]
        ),
        (3, 5, 5, 2),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_frame_goes_through_the_layer(name, backend):
    make, shape = LAYERS[name]
    layer = make()
    x = rng.normal(size=(4, *shape)).astype("float32")
    wrapped = layers.TimeDistributed(layer)
    inputs = mc.Input(shape)
    model = mc.Model(inputs, wrapped(inputs))
    one_by_one = np.stack([np.asarray(layer(x[:, t])) for t in range(shape[0])], axis=1)
    np.testing.assert_allclose(model.predict(x), one_by_one, atol=1e-6)
    np.testing.assert_allclose(np.asarray(wrapped(x)), one_by_one, atol=1e-6)
    assert model.output_shape == (None, *one_by_one.shape[1:])
    check = mc.gradcheck(model, backend=backend)
    assert check.error <= 1e-6


def test_averages_move_frame_after_frame():
    layer = layers.BatchNormalization(momentum=0.5)
    wrapped = layers.TimeDistributed(layer)
    wrapped(X, training=True)
    mean, frames = np.zeros(2), X.mean(axis=(0, 2, 3))  # (T, C)
    for of_frame in frames:
        mean = 0.5 * mean + 0.5 * of_frame
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5)


def test_a_frozen_normalization_takes_all_frames_at_once():
    wrapped = layers.TimeDistributed(layers.BatchNormalization())
    x = mc.Input((5, 4))
    wrapped(x)
    assert len([n for n in wrapped.graph.nodes if n.layer.weights]) == 5
    wrapped.trainable = False
    assert len([n for n in wrapped.graph.nodes if n.layer.weights]) == 1


class Centred(K.Layer):
    """Of users: it sees the samples of a frame."""

    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)


def test_a_layer_of_ones_own_gets_frame_after_frame():
    made = np.asarray(TD(Centred())(X))
    np.testing.assert_allclose(made, X - X.mean(axis=0), atol=1e-6)
    model = keras.Sequential([keras.Input((3, 8, 8, 2)), TD(Centred())])
    np.testing.assert_allclose(model.predict(X, verbose=0), X - X.mean(axis=0), atol=1e-6)


def test_the_number_of_frames_may_be_open():
    parts = TD(K.Conv2D(3, 3)), TD(K.GlobalMaxPooling2D()), K.GlobalAveragePooling1D()
    model = keras.Sequential([keras.Input((None, 8, 8, 2)), *parts])
    assert model.output_shape == (None, 3)
    long = np.concatenate([X, X], axis=1)
    np.testing.assert_allclose(model.predict(long, verbose=0), model.predict(X, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "make", "message"),
    [
        ((4,), lambda: TD(K.Dense(3)), r"takes samples of several frames, \(T, …\).*Received: an input of shape"),
        ((None, 4), lambda: TD(K.BatchNormalization()), "give the model's Input their number"),
    ],
)
def test_what_it_does_not_take(shape, make, message):
    with pytest.raises(ShapeError, match=message):
        make()(keras.Input(shape))


def test_it_wraps_a_layer():
    with pytest.raises(TypeError, match="TimeDistributed wraps a layer, which each frame goes through"):
        TD("dense")


def test_frames_one_after_the_other_are_as_many_at_each_place():
    wrapped = TD(K.BatchNormalization())
    wrapped(keras.Input((3, 5)))
    with pytest.raises(ShapeError, match="one wherever the layer is called"):
        wrapped(keras.Input((4, 5)))


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5", "safetensors"])
@pytest.mark.parametrize("name", ["cnn", "normalized inside", "frozen inside", "nested", "model in two", "functional"])
def test_files(tmp_path, name, ending):
    x = keras.Input((8, 8, 2))
    functional = keras.Model(x, K.Dense(2)(K.GlobalAveragePooling2D()(K.Add()([K.Conv2D(4, 1)(x), K.Conv2D(4, 1)(x)]))))
    model = stack(TD(functional)) if name == "functional" else TRAINED[name][0]()
    path = tmp_path / f"model.{ending}"
    if ending == "weights.h5":
        model.save_weights(path)
        loaded = stack(TD(functional)) if name == "functional" else TRAINED[name][0]()
        loaded.set_weights([w * 0 for w in loaded.get_weights()])
        loaded.load_weights(path)
    else:
        model.save(path)
        loaded = keras.models.load_model(path)
        assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_weights_are_where_keras_has_them(tmp_path):
    h5py = pytest.importorskip("h5py")
    model = stack(TD(inner()), TD(K.Dense(2)))
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        assert file["layers/time_distributed/layer/layers/conv2d/vars/0"].shape == (3, 3, 2, 3)
        assert file["layers/time_distributed/layer/layers/batch_normalization/vars/3"].shape == (3,)
        assert file["layers/time_distributed_1/layer/vars/0"].shape == (4, 2)


def test_configs_and_clones():
    model = stack(TD(K.Conv2D(2, 3, padding="same"), name="frames"), TD(inner()))
    config = model.layers[0].get_config()
    assert config["name"] == "frames"
    assert (config["layer"]["class_name"], config["layer"]["config"]["filters"]) == ("Conv2D", 2)
    for other in (keras.models.clone_model(model), keras.models.model_from_json(model.to_json())):
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


def test_paths_of_weights():
    model = keras.Sequential([keras.Input((3, 5)), TD(K.Dense(2, name="d"), name="frames")], name="net")
    assert [w.path for w in model.weights] == ["net/frames/d/kernel", "net/frames/d/bias"]


def test_onnx(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    for model in (cnn(), normalized(), stack(TD(inner()), K.Dense(2))):
        model.export(tmp_path / "m.onnx", format="onnx")
        session = runtime.InferenceSession(tmp_path / "m.onnx")
        (found,) = session.run(None, {session.get_inputs()[0].name: X})
        np.testing.assert_allclose(found, model.predict(X, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "back"),
    [
        (layers.Conv2D(3, 2, strides=2, padding="same"), (3, 5, 4, 2), "Conv2D"),
        (layers.Conv2DTranspose(3, 2, strides=2), (3, 5, 4, 2), "Conv2DTranspose"),
        (layers.DepthwiseConv2D(3), (3, 5, 4, 2), "DepthwiseConv2D"),
        (layers.MaxPooling2D(2, padding="same"), (3, 5, 4, 2), "MaxPooling2D"),
        (layers.GlobalAveragePooling2D(), (3, 5, 4, 2), "GlobalAveragePooling2D"),
        (layers.Conv1D(3, 2), (3, 5, 4), "Conv2D"),
        (layers.BatchNormalization(trainable=False), (3, 5, 4), "BatchNormalization"),
        (layers.Conv2D(3, 2, data_format="channels_first"), (3, 2, 5, 4), "Conv2D"),
        (layers.TimeDistributed(layers.Conv2D(2, 2)), (2, 3, 4, 4, 2), "Conv2D"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_frames_of_onnx_files_are_frames_again(layer, shape, back, tmp_path):
    """Operators on images, which go over frames that are counted with the samples, each by itself."""
    runtime = pytest.importorskip("onnxruntime")
    model = filled(mc.Sequential([mc.Input(shape), layers.TimeDistributed(layer)]))
    mc.export_onnx(model, tmp_path / "m.onnx")
    copy = mc.import_onnx(tmp_path / "m.onnx")
    wrapped = [part.layer for part in copy.layers if isinstance(part, layers.TimeDistributed)]
    assert [type(part).__name__ for part in wrapped] == [back]
    x = np.random.default_rng(1).normal(size=(4, *shape)).astype("float32")
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    (expected,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(copy.predict(x), expected, atol=1e-5)
    assert copy.count_params() == model.count_params()


def test_gradients_on_tapes():
    wrapped, x = TD(K.Dense(2, kernel_initializer="ones", activation="tanh")), X[:, :, 0, 0]
    with tf.GradientTape() as outer:
        given = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(given)
            total = tf.reduce_sum(wrapped(given))
        penalty = tf.reduce_sum(tf.square(tape.gradient(total, given)))
    found = outer.gradient(penalty, wrapped.trainable_variables)[0]

    def of(kernel):  # Σ (W · tanh'(x · W))²
        slope = 1 - np.tanh(x.astype(float) @ kernel) ** 2  # (N, T, 2)
        return np.square(slope @ kernel.T).sum()

    step, kernel = 1e-6, np.ones((2, 2))
    for i in np.ndindex(2, 2):
        moved = [kernel + sign * step * (np.arange(4).reshape(2, 2) == i[0] * 2 + i[1]) for sign in (1, -1)]
        np.testing.assert_allclose(np.asarray(found)[i], (of(moved[0]) - of(moved[1])) / (2 * step), rtol=1e-3)


def test_work_is_that_of_all_frames():
    x = mc.Input((3, 5))
    model = mc.Model(x, layers.TimeDistributed(layers.Dense(2))(x))
    assert mc.models.flops.graph_flops(model.graph) == 3 * (2 * 5 * 2 + 2)


def test_flags_of_the_wrapped_layer_are_in_files(tmp_path):
    model = stack(TD(K.Flatten()), TD(K.Dense(3)), TD(K.Dense(2), trainable=False), TD(K.Dense(2)))
    model.layers[1].layer.trainable = False
    for ending in ("keras", "safetensors"):
        model.save(tmp_path / f"m.{ending}")
        loaded = keras.models.load_model(tmp_path / f"m.{ending}")
        assert [layer.layer.trainable for layer in loaded.layers] == [True, False, False, True]
        assert [w.trainable for w in loaded.weights] == [False] * 4 + [True] * 2
        loaded.layers[2].trainable = True
        assert loaded.layers[2].layer.trainable


def test_parts_of_a_batch_draw_what_the_whole_draws():
    x = mc.Input((3, 20))
    graph = mc.Model(x, layers.TimeDistributed(layers.Dropout(0.5))(x)).graph
    store = ParameterStore([], backends.get("numpy"), np.dtype("float32"), adopt=False)
    plan, made = Plan(graph, store, 8, training=True, seed=3), {}
    for count, first in ((8, 0), (4, 4)):
        bound = plan.bind(count)
        bound.inputs[0][...] = 1
        bound.forward(first=first)
        made[first] = bound.outputs[0].copy()
    np.testing.assert_array_equal(made[4], made[0][4:])
    assert 0.3 < (made[0] == 0).mean() < 0.7


def test_its_own_penalty_counts():
    """The L2 penalty 0.1 Σ y² / N of y = 4, of 2 · 3 numbers."""
    layer = TD(K.Dense(1, kernel_initializer="ones"), activity_regularizer=keras.regularizers.L2(0.1))
    x = np.ones((2, 3, 4), "float32")
    layer(x)
    np.testing.assert_allclose(np.sum(layer.losses), 0.1 * 16 * 6 / 2, rtol=1e-6)
    i = keras.Input((3, 4))
    model = keras.Model(i, layer(i))
    model.compile("sgd", "mse")
    assert model.evaluate(x, np.full((2, 3, 1), 4.0), verbose=0) == pytest.approx(4.8, rel=1e-5)


def test_a_pipeline_mixes_frames_of_one_time():
    x = np.arange(6.0).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 4, 4, 1))
    found = [
        np.asarray(layers.TimeDistributed(mixing)(x, training=True))
        for mixing in (layers.MixUp(seed=1), layers.Pipeline([layers.MixUp(seed=1)]))
    ]
    np.testing.assert_array_equal(*found)


def test_a_subclass_with_a_call_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"writes no call of its own.*Received: class Twice with a call"):

        class Twice(keras.layers.TimeDistributed):
            def call(self, inputs):
                return super().call(inputs) * 2

    class Doubled(keras.layers.Layer):
        def __init__(self, layer):
            super().__init__()
            self.each = keras.layers.TimeDistributed(layer)

        def call(self, inputs):
            return self.each(inputs) * 2

    x = np.arange(24, dtype="float32").reshape(3, 2, 4)  # (3, 2, 4)
    model = keras.Sequential([keras.Input((2, 4)), Doubled(keras.layers.Dense(1, kernel_initializer="ones"))])
    np.testing.assert_allclose(model.predict(x, verbose=0), 2 * x.sum(-1, keepdims=True))


@pytest.mark.parametrize("pool", [K.MaxPooling2D, K.AveragePooling2D])
def test_a_pooling_that_is_called_as_outside_training_has_a_gradient(pool):
    """It keeps its winners there, too: a KeyError once."""
    x = keras.Input((3, 8, 8, 2))
    y = TD(pool())(K.Conv3D(2, 1)(x), training=False)
    model = keras.Model(x, K.GlobalAveragePooling3D()(y))
    model.compile("sgd", "mse")
    first = model.train_on_batch(X, np.ones((6, 2), "float32"))
    assert model.train_on_batch(X, np.ones((6, 2), "float32")) < first
