"""What scripts of 2015 to 2019 for Keras 0.3 to 2.3 rest on: arguments, counts and logs of that age."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import layers

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def dense(classes=2, inputs=3):
    model = keras.models.Sequential([layers.Dense(classes, input_dim=inputs, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


class Batches:
    """A generator that counts what it gave, in batches of one size."""

    def __init__(self, size, inputs=3):
        self.size, self.inputs, self.given = size, inputs, []

    def __iter__(self):
        return self

    def __next__(self):
        self.given.append(float(len(self.given)))
        return np.full((self.size, self.inputs), self.given[-1]), np.eye(2)[np.arange(self.size) % 2]


# --------------------------------------------------------------------------------- how Keras 1 counted in generators


@pytest.mark.parametrize(("size", "samples", "batches"), [(3, 9, 3), (3, 10, 4), (50, 100, 2), (1, 4, 4)])
def test_samples_of_an_epoch_are_counted_by_the_size_of_its_batches(size, samples, batches):
    """Keras 1 took batches until it had seen so many samples; a generator does not say how large its batches are."""
    train, validation = Batches(size), Batches(size)
    seen = []
    dense().fit_generator(
        train,
        samples_per_epoch=samples,
        nb_epoch=2,
        validation_data=validation,
        nb_val_samples=2 * size,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))],
    )
    assert seen == [*range(batches)] * 2
    assert validation.given == [0, 1, 2, 3]


def test_the_batch_that_is_counted_is_the_first_one():
    train = Batches(2)
    model = keras.models.Sequential([layers.Lambda(lambda x: x, input_shape=(3,))])
    made = model.predict_generator(train, val_samples=5)
    assert made[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    found = dense().evaluate_generator(Batches(3), val_samples=3, verbose=0)
    assert len(found) == 2


def test_positional_arguments_of_fit_generator_are_those_of_the_version_that_the_others_are_of():
    steps = []

    class Steps(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            steps.append(self.params["steps"])

    model = dense()
    model.fit_generator(Batches(4), 12, nb_epoch=1, verbose=0, callbacks=[Steps()])
    model.fit_generator(Batches(4), 12, epochs=1, verbose=0, callbacks=[Steps()])
    assert steps == [3, 12]


def test_logs_of_batches_have_their_number_and_size():
    """``logs["size"]`` moved the progress bars of Keras 1 and 2; what walks over logs meets measured values alone."""
    told = []

    class Sizes(keras.callbacks.Callback):
        def on_batch_begin(self, batch, logs={}):  # noqa: B006, as scripts have it
            told.append((logs["batch"], logs["size"]))

        def on_batch_end(self, batch, logs={}):  # noqa: B006
            told.append((logs.get("batch"), logs.get("size"), sorted(logs)))

    x, y = np.zeros((10, 3)), np.eye(2)[np.arange(10) % 2]
    dense().fit(x, y, batch_size=4, nb_epoch=1, verbose=0, callbacks=[Sizes()])
    names = ["accuracy", "loss"]
    assert told == [(0, 4), (0, 4, names), (1, 4), (1, 4, names), (2, 2), (2, 2, names)]


# ------------------------------------------------------------------------------------------------ arguments of layers


@pytest.mark.parametrize("name", ["SeparableConv2D", "DepthwiseConv2D", "SeparableConv1D", "DepthwiseConv1D"])
def test_arguments_for_one_kernel_change_nothing_where_there_are_two(name):
    """As in tf_keras 2.21: no loss, no constraint, and the initializers of the kernels that there are."""
    args, shape = ((4, 3) if name.startswith("S") else (3,)), ((6, 6, 2) if name.endswith("2D") else (6, 2))
    for part, value in (("regularizer", "l2"), ("constraint", "non_neg"), ("initializer", "ones")):
        with pytest.warns(UserWarning, match=rf"{name}\(kernel_{part}=…\) changes nothing.* depthwise_{part}="):
            layer = getattr(layers, name)(*args, **{f"kernel_{part}": value})
        inputs = keras.Input(shape)
        model = keras.models.Model(inputs, layer(inputs))
        assert model.losses == []
        assert all((kernel < 0).any() for kernel in layer.get_weights() if kernel.ndim > 1)


@pytest.mark.parametrize(("name", "kernels"), [("SeparableConvolution2D", 2), ("DepthwiseConv2D", 1)])
def test_the_initializer_of_keras_1_is_that_of_each_kernel(name, kernels):
    options = {"init": "ones", "border_mode": "same", "subsample": (2, 2)}
    layer = getattr(layers, name)(*((4, 3, 3) if kernels == 2 else (3,)), **options)
    assert layer(keras.Input((6, 6, 2))).shape[1:3] == (3, 3)
    assert [(w == 1).all() for w in layer.get_weights() if w.ndim > 1] == [True] * kernels


@pytest.mark.parametrize("as_a_stack", [False, True])
def test_a_normalization_of_mode_2_goes_by_the_batch_always(as_a_stack):
    """`mode=2` of Keras 1, which GANs used; its weights train."""
    x = np.random.default_rng(0).normal(3, 2, (8, 4, 4, 3)).astype(np.float32)
    if as_a_stack:
        model = keras.models.Sequential([layers.BatchNormalization(mode=2, input_shape=(4, 4, 3))])
    else:
        inputs = keras.Input((4, 4, 3))
        model = keras.models.Model(inputs, layers.BatchNormalization(mode=2, axis=-1)(inputs))
    mean, var = x.mean((0, 1, 2), dtype=np.float64), x.var((0, 1, 2), dtype=np.float64)
    expected = (x - mean) / np.sqrt(var + 1e-3)
    assert np.allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    model.compile("sgd", "mse")
    model.train_on_batch(x, expected + 1)
    assert np.allclose(model.get_weights()[1], 0.01 * 2 / 3, atol=1e-6)  # of beta, and of a mean over three channels
    assert isinstance(model.layers[-1], layers.BatchNormalization)


def test_a_normalization_of_mode_1_goes_by_the_sample():
    x = np.random.default_rng(0).normal(3, 2, (8, 5)).astype(np.float32)
    model = keras.models.Sequential([layers.BatchNormalization(mode=1, input_shape=(5,), epsilon=1e-5)])
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    assert np.allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"`mode` must be one of 0, 1, 2\. Received: mode=3"):
        layers.BatchNormalization(mode=3)
    assert type(layers.BatchNormalization(mode=0, axis=3)) is layers.BatchNormalization


# --------------------------------------------------------------------------------------------------- files and others


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".safetensors"])
def test_the_mode_of_a_call_is_in_files(suffix, tmp_path):
    """A dropout that is always on, as Keras 2's files have it, and a normalization that stays as it is."""
    inputs = keras.Input((400,))
    frozen = layers.BatchNormalization(name="frozen")
    model = keras.models.Model(inputs, layers.Dropout(0.5)(frozen(inputs, training=False), training=True))
    model.save(tmp_path / f"model{suffix}")
    for back in (keras.models.load_model(tmp_path / f"model{suffix}"), keras.models.model_from_json(model.to_json())):
        share = (back.predict(np.ones((2, 400)), verbose=0) == 0).mean()
        assert 0.4 < share < 0.6
        back.compile("sgd", "mse")
        back.train_on_batch(np.full((2, 400), 7.0), np.zeros((2, 400)))
        assert (back.get_layer("frozen").get_weights()[2] == 0).all()


def test_names_that_keras_2_had_imported_into_its_layers():
    from minicnn.keras.layers import K as backend
    from minicnn.keras.layers import initializers, np, warnings

    assert backend is K
    assert initializers is keras.initializers
    assert np.pi
    assert warnings.warn


def test_gradients_by_one_tensor_from_an_optimizer():
    """Saliency by ``model.optimizer.get_gradients(model.output[0][1], model.input)``, of one class."""
    model = dense(3, 4)
    gradients = model.optimizer.get_gradients(model.output[0][1], model.input)
    x = np.random.default_rng(0).random((1, 4)).astype(np.float32)
    found = K.function([model.input, K.learning_phase()], gradients)([x, 0])[0]
    kernel, p = model.get_weights()[0].astype(np.float64), model.predict(x, verbose=0)[0].astype(np.float64)
    assert np.allclose(found[0], kernel @ (p[1] * (np.eye(3)[1] - p)), atol=1e-6)


@pytest.mark.parametrize("form", ["variable", "number", "mixed", "product", "power", "quotient"])
def test_a_loss_for_gradients_may_be_made_of_sums_and_means(form):
    """As the deep dreams of 2015 to 2019 have it: ``loss = K.variable(0.)``, then ``loss -= c * K.sum(…)``."""
    model = dense(3, 4)
    y, x = model.output, model.input
    if form == "variable":
        loss = K.variable(0.0)
        loss -= 0.5 * K.sum(K.square(y)) / 3
        loss += 0.1 * K.mean(K.square(x))
    elif form == "number":
        loss = 0.0 + K.sum(y * y) - 1
    elif form == "mixed":
        loss = K.mean(K.square(y)) + 0.1 * K.sum(K.square(x))
    elif form == "product":
        loss = K.sum(K.square(y)) * K.mean(K.square(x))
    else:
        loss = K.sum(K.square(y)) ** 2 if form == "power" else 1 - K.mean(K.square(y)) / K.sum(K.square(x))
    get = K.function([x], [loss, *K.gradients(loss, x)])
    data = np.random.default_rng(0).random((2, 4)).astype(np.float32)
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())

    def expected(x):
        logits = np.exp(x @ kernel + bias)
        a, b = np.square(logits / logits.sum(1, keepdims=True)), np.square(x)
        return {
            "variable": -0.5 * a.sum() / 3 + 0.1 * b.mean(),
            "number": a.sum() - 1,
            "mixed": a.mean() + 0.1 * b.sum(),
            "product": a.sum() * b.mean(),
            "power": a.sum() ** 2,
            "quotient": 1 - a.mean() / b.sum(),
        }[form]

    value, gradient = get([data])
    assert value == pytest.approx(expected(data.astype(np.float64)), rel=1e-5)
    for place in ((0, 1), (1, 3)):
        step = np.zeros((2, 4))
        step[place] = 1e-5
        assert gradient[place] == pytest.approx((expected(data + step) - expected(data - step)) / 2e-5, rel=1e-3)


def test_sizes_of_a_batch_are_numbers_when_there_is_one():
    """The deep dream of Keras's examples divides by ``K.prod(K.cast(K.shape(x), "float32"))``, which was NaN."""
    x = keras.Input((4, 3))
    assert K.shape(x) == (None, 4, 3)
    loss = K.variable(0.0)
    loss = loss + 0.5 * K.sum(K.square(x)) / K.prod(K.cast(K.shape(x), "float32"))
    value, gradient = K.function([x], [loss, *K.gradients(loss, x)])([np.full((2, 4, 3), 3.0)])
    assert value == pytest.approx(4.5)
    np.testing.assert_allclose(gradient, 3.0 / 24, rtol=1e-6)
    for sizes in (K.shape(x)[0], (None, 3)):
        with pytest.raises(TypeError, match="the number of samples is known when there are some"):
            K.cast(sizes, "float32")


def test_batch_dot_of_four_axes_says_that_it_changed():
    x, y = np.ones((2, 3, 6, 4)), np.ones((2, 3, 4, 5))
    with pytest.warns(UserWarning, match=r"Keras 2\.0 to 2\.2 took it for one of samples.*tf\.matmul"):
        assert K.batch_dot(x, y, axes=[3, 2]).shape == (2, 3, 6, 3, 5)


def test_batch_dot_of_three_axes_and_four_is_that_of_capsules():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(K.batch_dot(x, y, axes=[2, 2]), np.einsum("nji,njid->njd", x, y))
    z = rng.normal(size=(2, 3, 5))
    np.testing.assert_allclose(K.batch_dot(z, y, [2, 3]), np.einsum("njd,njid->nji", z, y))
    assert K.batch_dot(x, y[:, :2], axes=[2, 2]).shape == (2, 3, 2, 5)  # no capsules


class CapsuleLayer(layers.Layer):
    """Capsules of Keras 2.0 (N, I, D) → (N, J, E): as many products as there are places, joined by routing."""

    def build(self, input_shape):
        self.count, self.size = 3, 4
        self.inputs = input_shape[1]
        self.W = self.add_weight(
            shape=[self.count, self.inputs, self.size, input_shape[2]], initializer="glorot_uniform", name="W"
        )
        self.built = True

    def call(self, u, training=None):
        tiled = K.tile(K.expand_dims(u, 1), [1, self.count, 1, 1])
        hats = K.map_fn(lambda x: K.batch_dot(x, self.W, [2, 3]), elems=tiled)  # (N, J, I, E)
        b = K.zeros_like(hats[:, :, :, 0])
        for turn in range(3):
            c = K.softmax(b, 1)
            outputs = squash(K.batch_dot(c, hats, [2, 2]))
            if turn < 2:
                b += K.batch_dot(outputs, hats, [2, 3])
        return outputs

    def compute_output_shape(self, input_shape):
        return (None, self.count, self.size)


def squash(x, axis=-1):
    squares = K.sum(K.square(x), axis, keepdims=True)
    return squares / (1 + squares) / K.sqrt(squares + K.epsilon()) * x


def test_a_network_of_capsules_trains():
    """The numbers are those of tf_keras 2.21 for the same network with tf.matmul, as tf.keras has had it since."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 8, 8, 1)).astype("float32")
    y = np.eye(3, dtype="float32")[rng.integers(0, 3, 12)]
    i = keras.Input((8, 8, 1))
    primary = layers.Conv2D(8, 3, strides=2)(layers.Conv2D(5, 3, activation="relu")(i))
    primary = layers.Lambda(squash)(layers.Reshape([-1, 4])(primary))
    capsules = CapsuleLayer()(primary)
    lengths = layers.Lambda(lambda t: K.sqrt(K.sum(K.square(t), -1) + K.epsilon()))(capsules)
    model = keras.Model(i, lengths)
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=w.shape).astype("float32") * 0.3 for w in model.get_weights()])

    def margin(t, p):
        missed = t * K.square(K.maximum(0.0, 0.9 - p)) + 0.5 * (1 - t) * K.square(K.maximum(0.0, p - 0.1))
        return K.mean(K.sum(missed, 1))

    assert np.abs(model.predict(x, verbose=0)).sum() == pytest.approx(6.42634, abs=1e-3)
    model.compile(keras.optimizers.SGD(0.05), margin)
    history = model.fit(x, y, batch_size=5, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], [0.54044, 0.50882], atol=1e-4)


# ------------------------------------------------------------------------------- how Keras 1 and 2 called penalties

WEIGHTS = np.array([[1.0, -2.0], [3.0, 0.5]])
"""Their magnitudes add up to 6.5, their squares to 14.25."""


@pytest.mark.parametrize(
    ("name", "factors", "penalty"),
    [
        ("l1", {"l": 0.1}, 0.65),
        ("l2", {"l": 0.1}, 1.425),
        ("activity_l1", {"l": 0.1}, 0.65),
        ("activity_l2", {"l": 0.1}, 1.425),
        ("l1l2", {}, 0.065 + 0.1425),
        ("l1l2", {"l1": 0.1}, 0.65 + 0.1425),
        ("activity_l1l2", {"l1": 0.0, "l2": 0.1}, 1.425),
    ],
)
def test_penalties_by_the_arguments_of_keras_1(name, factors, penalty):
    """Its `l1` and `l2` had a factor `l`, as Keras 2's still have; both factors of its `l1l2` were 0.01."""
    regularizer = getattr(keras.regularizers, name)(**factors)
    assert float(regularizer(WEIGHTS)) == pytest.approx(penalty, rel=1e-6)
    layer = layers.Dense(2, input_dim=2, W_regularizer=regularizer, bias=False)
    model = keras.models.Sequential([layer])
    model.set_weights([WEIGHTS])
    model.compile("sgd", "mse")
    inputs = np.eye(2)
    assert model.evaluate(inputs, WEIGHTS, verbose=0) == pytest.approx(penalty, rel=1e-6)


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_a_factor_of_a_penalty_is_given_once(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'l'"):
        getattr(keras.regularizers, name)(**{"l": 0.1, name: 0.1})


def test_a_penalty_of_both_kinds_has_no_factor_of_one_name():
    with pytest.raises(TypeError, match="unexpected keyword argument 'l'"):
        keras.regularizers.l1_l2(l=0.1)


# -------------------------------------------------------------------------------------------- parts of K.variable(…)


def test_parts_of_a_variable_are_its_numbers_now():
    variable = K.variable(np.arange(12.0).reshape(1, 3, 4))
    row, ends = variable[0, 1:, ::2], variable[..., -1]
    assert variable.ndim == 3 and [np.shape(part) for part in variable] == [(3, 4)]
    K.set_value(variable, np.zeros((1, 3, 4)))
    np.testing.assert_array_equal(row, [[4, 6], [8, 10]])
    np.testing.assert_array_equal(ends, [[3, 7, 11]])
    np.testing.assert_array_equal(variable[0], np.zeros((3, 4)))


def test_writing_into_a_part_of_a_variable_leaves_the_variable():
    variable = K.variable(np.ones((2, 3)))
    variable[0][:] = 5
    next(iter(variable))[:] = 5
    np.testing.assert_array_equal(K.get_value(variable), np.ones((2, 3)))


def test_a_variable_of_one_number_is_one_and_has_no_parts():
    variable = K.variable(3.0)
    assert int(variable) == 3 and float(variable) == 3.0
    with pytest.raises(TypeError):
        list(variable)


def test_a_style_of_a_picture_that_is_a_variable_and_of_a_tensor():
    """The products of the channels, of what a variable holds and of what a layer gives: both are taken from a batch."""
    image = layers.Input(shape=(4, 5, 3))
    rng = np.random.default_rng(1)
    style, given = rng.normal(size=(2, 1, 4, 5, 3))

    def products(features):
        rows = K.batch_flatten(K.permute_dimensions(features[0], (2, 0, 1)))
        return K.dot(rows, K.transpose(rows))

    loss = K.sum(K.square(products(K.variable(style)) - products(image)))
    (slope,) = K.gradients(loss, image)
    found, slope = K.function([image], [loss, slope])([given])
    a, b = style.reshape(20, 3), given.reshape(20, 3)
    error = b.T @ b - a.T @ a  # (3, 3)
    np.testing.assert_allclose(found, np.sum(error**2), rtol=1e-5)
    np.testing.assert_allclose(slope.reshape(20, 3), 4 * b @ error, rtol=1e-4, atol=1e-4)


X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda tf: tf.nn.l2_normalize(X, dim=1), X / np.sqrt((X**2).sum(1, keepdims=True))),
        (lambda tf: tf.expand_dims(X, dim=0), X[None]),
        (lambda tf: tf.argmax(X, dimension=1), [2, 2]),
        (lambda tf: tf.argmin(X, dimension=0), [0, 0, 0]),
        (lambda tf: tf.concat(concat_dim=0, values=[X, X]), np.concatenate([X, X])),
        (lambda tf: tf.split(X, num_split=3, split_dim=1)[1], X[:, 1:2]),
        (lambda tf: tf.norm(X, axis=1, keep_dims=True), np.sqrt((X**2).sum(1, keepdims=True))),
        (lambda tf: tf.nn.moments(X, [0], keep_dims=True)[1], X.var(0, keepdims=True)),
        (lambda tf: tf.nn.softmax_cross_entropy_with_logits(labels=X, logits=X * 0, dim=0), X.sum(0) * np.log(2)),
        (
            lambda tf: tf.nn.weighted_cross_entropy_with_logits(targets=X, logits=X * 0, pos_weight=1.0),
            0 * X + np.log(2),
        ),
        (lambda tf: tf.nn.max_pool(value=X[None, ..., None], ksize=2, strides=1, padding="VALID")[0, ..., 0], [[4, 5]]),
        (lambda tf: tf.nn.avg_pool(value=X[None, ..., None], ksize=2, strides=1, padding="VALID")[0, ..., 0], [[2, 3]]),
        (lambda tf: tf.nn.dropout(X, keep_prob=1.0), X),
        (lambda tf: tf.count_nonzero(X), 5),
        (lambda tf: tf.matrix_band_part(X[:, :2], 0, 0), np.diag([0, 4])),
        (lambda tf: tf.unsorted_segment_sum(X, np.array([1, 1]), 2), [[0, 0, 0], [3, 5, 7]]),
    ],
)
def test_arguments_and_names_of_tensorflow_1(call, expected):
    from minicnn.keras import tensorflow as tf

    np.testing.assert_allclose(np.asarray(call(tf)), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_places_in_a_layer_of_ones_own_are_a_models_numbers(dtype):
    from minicnn.keras import tensorflow as tf

    class Distance(layers.Layer):
        def build(self, input_shape):
            self.centers = self.add_weight(name="centers", shape=(3, 2), initializer="ones", trainable=False)

        def call(self, inputs):
            features, labels = inputs
            return tf.reduce_sum(features * tf.gather(self.centers, tf.reshape(labels, [-1])), axis=1, keepdims=True)

    features, labels = layers.Input((2,)), layers.Input((1,), dtype=dtype)
    layer = Distance()
    model = keras.Model([features, labels], layer([features, labels]))
    centers = np.arange(6.0).reshape(3, 2)
    layer.set_weights([centers])
    x, y = np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([[2], [0], [1]])
    np.testing.assert_allclose(model.predict([x, y], verbose=0), (x * centers[y[:, 0]]).sum(1, keepdims=True))
