"""What scripts of Keras 1 and 2 do besides: images with the channels first, functions in layers, estimators."""

import functools
import pickle
import warnings
import weakref

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.errors import ShapeError
from minicnn.keras import backend as K
from minicnn.keras import layers, metrics, models
from minicnn.keras import tensorflow as tf
from minicnn.keras.preprocessing.image import ImageDataGenerator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def classifier(shape):
    """A small network on images of a shape, whichever way their axes are."""
    model = models.Sequential()
    model.add(layers.Convolution2D(4, 3, 3, border_mode="same", activation="relu", input_shape=shape))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.SeparableConv2D(3, (3, 3)))
    model.add(layers.UpSampling2D((2, 2)))
    model.add(layers.Flatten())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics="accuracy")
    return model


# ------------------------------------------------------------------------------------------------------ channels first


def test_channels_first_for_all_layers(small):
    x, y = small
    last = classifier((8, 8, 1))
    K.set_image_dim_ordering("th")
    assert (K.image_dim_ordering(), K.image_data_format()) == ("th", "channels_first")
    first = classifier((1, 8, 8))
    assert [layer.output_shape for layer in first.layers[:3]] == [(None, 4, 8, 8), (None, 4, 4, 4), (None, 3, 2, 2)]
    first.set_weights(last.get_weights())
    moved = np.moveaxis(x, -1, 1)  # (32, 1, 8, 8)
    for _ in range(2):
        assert np.allclose(first.train_on_batch(moved, y), last.train_on_batch(x, y), atol=1e-6)
    assert np.allclose(first.predict(moved), last.predict(x), atol=1e-6)
    K.set_image_dim_ordering("tf")
    assert classifier((8, 8, 1)).layers[0].output_shape == (None, 8, 8, 4)


def test_a_layer_that_is_told_is_not_changed():
    K.set_image_data_format("channels_first")
    image = layers.Input((8, 8, 3))
    assert layers.Conv2D(2, 3, data_format="channels_last")(image).shape == (None, 6, 6, 2)
    assert layers.MaxPooling2D((2, 2), None, "valid", "channels_last")(image).shape == (None, 4, 4, 3)
    assert layers.MaxPooling2D(dim_ordering="tf")(image).shape == (None, 4, 4, 3)
    assert layers.MaxPooling2D(dim_ordering="default")(image).shape == (None, 8, 4, 1)
    assert mc.layers.MaxPooling2D()(image).shape == (None, 4, 4, 3)  # minicnn's own names know no such setting


def test_channels_first_in_a_file(small, tmp_path):
    x, _ = small
    K.set_image_data_format("channels_first")
    model = classifier((1, 8, 8))
    model.save("first.h5")
    text = model.to_json()
    K.set_image_data_format("channels_last")
    moved = np.moveaxis(x, -1, 1)
    expected = model.predict(moved)
    loaded = models.load_model("first.h5")
    assert np.allclose(loaded.predict(moved), expected)
    again = models.model_from_json(text)
    again.load_weights("first.h5")
    assert np.allclose(again.predict(moved), expected)


@pytest.mark.parametrize(
    "options", [{"featurewise_center": True, "featurewise_std_normalization": True}, {"rescale": 2}]
)
def test_generators_of_images_with_the_channels_first(options):
    x = np.random.default_rng(0).random((12, 6, 5, 3), np.float32)
    changes = {"rotation_range": 30, "width_shift_range": 0.2, "horizontal_flip": True, "channel_shift_range": 0.1}
    last = ImageDataGenerator(**options, **changes)
    last.fit(x)
    expected = next(last.flow(x, batch_size=4, seed=3))
    K.set_image_data_format("channels_first")
    first = ImageDataGenerator(**options, **changes)
    moved = np.moveaxis(x, -1, 1)  # (12, 3, 6, 5)
    first.fit(moved)
    found = next(first.flow(moved, batch_size=4, seed=3))
    assert found.shape == (4, 3, 6, 5)
    assert np.allclose(np.moveaxis(found, 1, -1), expected, atol=1e-5)
    assert first.random_transform(moved[0], seed=1).shape == (3, 6, 5)


def test_pictures_with_the_channels_first(folder):
    K.set_image_data_format("channels_first")
    batches = ImageDataGenerator(rescale=1 / 255).flow_from_directory(folder / "train", (10, 9), batch_size=4)
    assert batches.image_shape == (3, 10, 9)
    assert next(batches)[0].shape == (4, 3, 10, 9)
    from minicnn.keras.preprocessing.image import array_to_img, img_to_array, load_img

    picture = load_img(folder / "train" / "cats" / "cats.0.png")
    assert img_to_array(picture).shape == (3, 12, 14)
    assert img_to_array(picture, dim_ordering="tf").shape == (12, 14, 3)
    assert array_to_img(np.zeros((3, 4, 5))).size == (5, 4)


def test_colour_pictures_come_with_the_channels_first():
    K.set_image_data_format("channels_first")
    (x, y), (x_test, _) = keras.datasets.cifar10.load_data()
    assert (x.shape, y.shape, x_test.shape) == ((64, 3, 32, 32), (64, 1), (32, 3, 32, 32))


# ------------------------------------------------------------------------------------------------- functions in layers


def test_a_siamese_network(small):
    x, y = small

    def euclidean_distance(vectors):
        a, b = vectors
        return K.sqrt(K.maximum(K.sum(K.square(a - b), axis=1, keepdims=True), K.epsilon()))

    def contrastive_loss(y_true, y_pred):
        return K.mean(y_true * K.square(y_pred) + (1 - y_true) * K.square(K.maximum(1 - y_pred, 0)))

    def accuracy(y_true, y_pred):
        return K.mean(K.equal(y_true, K.cast(y_pred < 0.5, y_true.dtype)))

    base = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(6, activation="tanh")])
    left, right = layers.Input(shape=(8, 8, 1)), layers.Input(shape=(8, 8, 1))
    apart = layers.Lambda(euclidean_distance, output_shape=lambda shapes: (shapes[0][0], 1))([base(left), base(right)])
    model = models.Model([left, right], apart)
    model.compile(loss=contrastive_loss, optimizer=keras.optimizers.RMSprop(), metrics=[accuracy])
    assert model.metrics_names == ["loss", "accuracy"]
    same = (y == y[::-1]).astype("float32")
    names = ("a.weights.h5", "b.safetensors", "c")
    files = [keras.callbacks.ModelCheckpoint(name, save_weights_only=True) for name in names]
    model.fit([x, x[::-1]], same, verbose=0, validation_data=([x, x], np.ones(32)), callbacks=files)
    kept = model.get_weights()
    for name in names:
        model.set_weights([np.zeros_like(w) for w in kept])
        model.load_weights(name)
        assert np.array_equal(model.get_weights()[0], kept[0])
    model.fit([x, x[::-1]], same, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint("best.h5")])
    own = {f.__name__: f for f in (euclidean_distance, contrastive_loss, accuracy)}
    whole = models.load_model("best.h5", custom_objects=own)
    assert np.array_equal(whole.predict([x, x[::-1]]), model.predict([x, x[::-1]]))
    kept = model.get_weights()
    model.load_weights("a.weights.h5")
    model.load_weights("best.h5")
    assert np.array_equal(model.get_weights()[0], kept[0])
    losses = model.fit([x, x[::-1]], same, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    a, b = (base.predict(v) for v in (x, x[::-1]))
    expected = np.sqrt(np.maximum(((a - b) ** 2).sum(1, keepdims=True), 1e-7))
    assert np.allclose(model.predict([x, x[::-1]]), expected, atol=1e-5)


def test_numbers_are_drawn_anew_in_a_layer(small):
    x, _ = small

    def sampling(args):
        mean, log_var = args
        noise = K.random_normal(shape=(K.shape(mean)[0], 3), mean=0.0, stddev=1.0)
        return mean + K.exp(0.5 * log_var) * noise

    def network():
        mc.utils.set_random_seed(5)
        image = layers.Input((8, 8, 1))
        flat = layers.Flatten()(image)
        z = layers.Lambda(sampling, output_shape=(3,))([layers.Dense(3)(flat), layers.Dense(3)(flat)])
        model = models.Model(image, layers.Dense(64, activation="sigmoid")(z))
        model.compile("adam", "binary_crossentropy")
        return model

    assert np.array_equal(network().predict(x), network().predict(x))
    model = network()
    assert not np.allclose(model.predict(x), model.predict(x))
    before = model.get_weights()
    model.fit(x, x.reshape(-1, 64), verbose=0)
    assert not any(np.allclose(a, b, atol=0) for a, b in zip(before, model.get_weights(), strict=True))
    image = layers.Input((8, 8, 1))
    flat = layers.Flatten()(image)
    scaled = models.Model(image, layers.Lambda(lambda v: v * K.random_uniform(shape=(1,)))(flat))  # no constant
    assert not np.allclose(scaled.predict(x), scaled.predict(x))


def test_distributions():
    for draw, low, high in (
        (K.random_normal, -0.1, 0.1),
        (K.truncated_normal, -0.1, 0.1),
        (K.random_uniform, 0.4, 0.6),
    ):
        numbers = draw((50, 60)).numpy()
        assert low < numbers.mean() < high, draw
        assert numbers.dtype == np.float32
    assert abs(K.truncated_normal((50, 60), stddev=0.5).numpy()).max() <= 1
    assert abs(K.random_normal((50, 60), 3, 0.1).numpy().mean() - 3) < 0.01
    assert abs(K.random_binomial((50, 60), p=0.2).numpy().mean() - 0.2) < 0.05
    assert np.array_equal(K.random_normal((4,), seed=1).numpy(), K.random_normal((4,), seed=1).numpy())


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_windows_of_images_by_the_backend(padding, strides):
    rng = np.random.default_rng(5)
    images = rng.normal(size=(2, 7, 8, 3)).astype(np.float32)
    kernel = rng.normal(size=(3, 2, 3, 4)).astype(np.float32)
    pools = {"max": layers.MaxPooling2D, "avg": layers.AveragePooling2D}
    for mode, layer in pools.items():
        expected = models.Sequential([layers.Input((7, 8, 3)), layer((3, 2), strides, padding)]).predict(
            images, verbose=0
        )
        assert np.allclose(K.pool2d(images, (3, 2), strides, padding, pool_mode=mode), expected, atol=1e-6)
        first = K.pool2d(images.transpose(0, 3, 1, 2), (3, 2), strides, padding, "channels_first", mode)
        assert np.allclose(first.transpose(0, 2, 3, 1), expected, atol=1e-6)
    single = models.Sequential([layers.Input((7, 8, 3)), layers.Conv2D(4, (3, 2), padding=padding, use_bias=False)])
    single.set_weights([kernel])
    if strides == (1, 1):
        assert np.allclose(K.conv2d(images, kernel, strides, padding), single.predict(images, verbose=0), atol=1e-5)
    symbolic = K.pool2d(layers.Input((7, 8, 3)), (3, 2), strides, padding)
    assert tuple(symbolic.shape)[1:] == K.pool2d(images, (3, 2), strides, padding).shape[1:]


def test_windows_of_images_in_a_layer_and_in_a_loss():
    class Convolution(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(name="kernel", shape=(3, 3, input_shape[-1], 2), initializer="uniform")
            super().build(input_shape)

        def call(self, x):
            return K.pool2d(K.conv2d(x, self.kernel, padding="same"), (2, 2), (2, 2))

        def compute_output_shape(self, input_shape):
            return (input_shape[0], input_shape[1] // 2, input_shape[2] // 2, 2)

    def border(y_true, y_pred):
        both = K.pool2d(y_pred, (3, 3), padding="same") * K.pool2d(1 - y_pred, (3, 3), padding="same")
        return K.mean(K.square(both - y_true))

    rng = np.random.default_rng(6)
    x = rng.random((8, 6, 6, 3)).astype(np.float32)
    model = models.Sequential([Convolution(input_shape=(6, 6, 3)), layers.Activation("sigmoid")])
    model.compile("adam", border)
    losses = model.fit(x, np.zeros((8, 3, 3, 2)), epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    y = model.predict(x, verbose=0)
    assert y.shape == (8, 3, 3, 2)


def test_what_happens_in_training_alone():
    with pytest.raises(TypeError, match="dropout works on arrays"):
        K.dropout(layers.Input((3,)), 0.5)
    with pytest.raises(TypeError, match="chooses between arrays while a layer runs"):
        K.in_train_phase(layers.Input((3,)), layers.Input((3,)))
    noisy = models.Sequential([layers.Lambda(lambda x: K.in_train_phase(K.dropout(x, 0.5), x), input_shape=(3,))])
    assert np.array_equal(noisy.predict(np.ones((2, 3)), verbose=0), np.ones((2, 3)))
    assert not np.array_equal(noisy(np.ones((20, 3)), training=True), np.ones((20, 3)))
    assert np.array_equal(K.in_test_phase(np.ones(2), np.zeros(2)), np.ones(2))


def test_the_layer_that_a_model_begins_with():
    images = layers.Input((4, 4, 2))
    model = models.Model(images, layers.Flatten()(images))
    begin = model.layers[0]
    assert begin.input is begin.output is images
    assert [layer.output_shape for layer in model.layers] == [(None, 4, 4, 2), (None, 32)]
    assert np.array_equal(K.function([begin.input], [model.output])([np.ones((1, 4, 4, 2))])[0], np.ones((1, 32)))
    from minicnn.keras.engine import InputSpec

    assert InputSpec(ndim=2).ndim == 2
    assert K.dtype(0.1) == K.floatx()
    kernel = np.random.default_rng(0).random((3, 2, 4, 5))
    assert np.array_equal(keras.utils.np_utils.convert_kernel(kernel), kernel[::-1, ::-1])
    with pytest.raises(ValueError, match="3 to 5 axes"):
        keras.utils.np_utils.convert_kernel(np.ones((2, 2)))


def test_weights_are_drawn_again(tmp_path):
    model = models.Sequential([layers.Dense(3, input_shape=(4,), bias_initializer="ones"), layers.BatchNormalization()])
    model.save(tmp_path / "model.h5")
    dense, session = models.load_model(tmp_path / "model.h5").layers[0], K.get_session()
    before = dense.get_weights()[0]
    dense.set_weights([before + 1, np.zeros(3)])
    dense.W.initializer.run(session=session)
    dense.b.initializer.run(session=session)
    kernel, bias = dense.get_weights()
    assert np.array_equal(bias, np.ones(3))
    assert abs(kernel).max() <= np.sqrt(6 / 7) + 1e-6 and not np.array_equal(kernel, before)

    class Own(layers.Dense):
        def __init__(self, units):
            super().__init__(units)
            self.W = 7

    assert Own(2).W == 7


def test_losses_by_the_names_of_metrics():
    x, y = np.random.default_rng(0).random((8, 4)), np.arange(8) % 3
    model = models.Sequential([layers.Dense(3, activation="softmax", input_shape=(4,))])
    for loss, targets in (("categorical_crossentropy", np.eye(3)[y]), ("sparse_categorical_crossentropy", y)):
        model.compile("sgd", getattr(metrics, loss))
        value = model.evaluate(x, targets, verbose=0)
        model.compile("sgd", [getattr(metrics, loss)])
        assert model.evaluate(x, targets, verbose=0) == value
        model.compile("sgd", loss)
        assert np.isclose(model.evaluate(x, targets, verbose=0), value)


def test_functions_of_the_backend():
    rng = np.random.default_rng(2)
    a, b = rng.random((4, 3)), rng.random((4, 3))
    assert np.allclose(K.l2_normalize(a, axis=1), [row / np.sqrt((row**2).sum()) for row in a])
    assert np.allclose(K.batch_dot(a, b, axes=1), [[(p * q).sum()] for p, q in zip(a, b, strict=True)])
    m, n = rng.random((4, 2, 3)), rng.random((4, 3, 5))
    assert np.allclose(K.batch_dot(m, n), [p @ q for p, q in zip(m, n, strict=True)])
    assert np.allclose(K.batch_dot(a, n, axes=(1, 1)), [p @ q for p, q in zip(a, n, strict=True)])
    several = rng.random((4, 2, 6, 3))
    for axes in ((3, 1), (-1, 1)):
        assert np.allclose(K.batch_dot(several, n, axes), np.einsum("nabd,ndc->nabc", several, n))
    assert K.bias_add(np.zeros((2, 3, 4, 5)), np.arange(3), "channels_first")[0, 2, 0, 0] == 2
    assert np.allclose(K.switch(a > 0.5, lambda: a, b), np.where(a > 0.5, a, b))
    assert K.in_train_phase(1, 2, training=True) == K.in_test_phase(2, 1, training=True) == 1
    assert np.allclose(K.reverse(m, axes=1), m[:, ::-1])
    image = rng.random((2, 3, 4, 2))
    assert np.array_equal(K.resize_images(image, 2, 3)[:, ::2, ::3], image)
    assert np.array_equal(K.spatial_2d_padding(image, ((1, 2), (3, 4)))[:, 1:-2, 3:-4], image)
    assert K.resize_images(layers.Input((3, 4, 2)), 2, 3).shape == (None, 6, 12, 2)
    assert K.spatial_2d_padding(layers.Input((3, 4, 2)), data_format="channels_first").shape == (None, 3, 6, 4)
    assert np.allclose(K.gather(a, [2, 0]), a[[2, 0]])
    assert np.allclose(K.repeat_elements(a, 2, axis=1), np.repeat(a, 2, 1))
    assert K.in_top_k(np.array([[0.1, 0.6, 0.3]] * 2), [2, 0], 2).tolist() == [True, False]
    assert (K.dtype(K.constant(1)), K.count_params(m), K.is_tensor(a)) == ("float32", 24, False)
    dropped = K.dropout(np.ones((50, 60)), 0.25)
    assert set(np.unique(dropped).round(4)) == {0, np.float64(1.3333)}
    with K.name_scope("block"):
        count = K.variable(2.0)
    K.update_add(count, 3)
    K.update_sub(count, 1)
    assert K.get_value(count) == 4
    with pytest.raises(ImportError, match=r"keras.backend.gradients is of a model's tensor"):
        K.gradients(a, b)


def test_outputs_of_layers_as_functions(small):
    x, _ = small
    model = classifier((8, 8, 1))
    inside = models.Model(model.input, model.layers[1].output).predict(x)
    assert np.allclose(
        K.function([model.layers[0].input, K.learning_phase()], [model.layers[1].output])([x, 0])[0], inside
    )
    assert np.allclose(K.function(model.input, model.layers[1].output)(x), inside)
    both = K.function([model.input], [layer.output for layer in model.layers[:2]])([x])
    assert [v.shape for v in both] == [(32, 8, 8, 4), (32, 4, 4, 4)]


# ------------------------------------------------------------------------------------------------------------ training


def test_lower_case_optimizers():
    for name in ("sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax", "nadam"):
        optimizer = getattr(keras.optimizers, name)(lr=0.25)
        assert type(optimizer).__name__.lower() == name
        assert optimizer.lr == 0.25


def test_one_optimizer_for_the_models_of_a_gan(small):
    x, _ = small
    optimizer = keras.optimizers.Adam(0.002, 0.5)
    judge = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(1, activation="sigmoid")])
    judge.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    maker = models.Sequential([layers.Dense(64, input_dim=5, activation="tanh"), layers.Reshape((8, 8, 1))])
    noise = layers.Input(shape=(5,))
    judge.trainable = False
    both = models.Model(noise, judge(maker(noise)))
    both.compile(loss="binary_crossentropy", optimizer=optimizer)
    assert judge.optimizer is optimizer
    assert both.optimizer.get_config() == optimizer.get_config()
    z = np.random.default_rng(0).normal(size=(32, 5))
    for _ in range(3):
        judge.train_on_batch(x, np.ones((32, 1)))
        judge.train_on_batch(maker.predict(z), np.zeros((32, 1)))
        kept = judge.get_weights()[0]
        both.train_on_batch(z, np.ones((32, 1)))
        assert np.array_equal(judge.get_weights()[0], kept)
    assert (int(judge.optimizer.iterations), int(both.optimizer.iterations)) == (6, 3)
    judge.trainable = True
    judge.compile(loss="binary_crossentropy", optimizer=optimizer)
    assert judge.optimizer is optimizer


def test_files_of_any_name(small):
    x, y = small
    model = classifier((8, 8, 1))
    kept = keras.callbacks.ModelCheckpoint("best_model", monitor="acc", save_best_only=True, mode="max")
    each = keras.callbacks.ModelCheckpoint("weights.{epoch:02d}.ckpt", save_weights_only=True)
    model.fit(x, y, verbose=0, callbacks=[kept, each])
    expected = model.predict(x)
    assert np.allclose(models.load_model("best_model").predict(x), expected)
    model.save("folder_like/")
    assert np.allclose(models.load_model("folder_like").predict(x), expected)
    model.save_weights("./checkpoint")
    for name in ("./checkpoint", "weights.01.ckpt"):
        other = classifier((8, 8, 1))
        other.load_weights(name)
        assert np.allclose(other.predict(x), expected)


def test_noise_on_labels_of_two_classes(small):
    x, y = small
    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.RMSprop(lr=0.0008, clipvalue=1.0, decay=1e-8))
    labels = (y > 0).astype("float64")[:, None] + 0.05
    with pytest.warns(UserWarning, match="targets from 0 to 1. Received: some outside"):
        found = model.train_on_batch(x, labels)
    kernel, bias = (w.astype(np.float64) for w in classifier_weights(model, x, labels))
    p = 1 / (1 + np.exp(-(x.reshape(32, -1) @ kernel + bias)))
    assert np.isclose(found, -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean(), atol=1e-5)


def classifier_weights(model, x, labels):
    """The weights before the first update, of a model like this one."""
    mc.utils.set_random_seed(1)
    again = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(1, activation="sigmoid")])
    return again.get_weights()


def test_estimators(small):
    pytest.importorskip("sklearn")
    from minicnn.keras.wrappers.scikit_learn import KerasClassifier, KerasRegressor
    from sklearn.model_selection import GridSearchCV, cross_val_score

    x, y = small
    x = x.reshape(32, -1)

    def build(units=2, loss="categorical_crossentropy"):
        model = models.Sequential(
            [layers.Dense(units, activation="relu", input_dim=64), layers.Dense(3, activation="softmax")]
        )
        model.compile(loss=loss, optimizer="adam", metrics=["accuracy"])
        return model

    grid = GridSearchCV(KerasClassifier(build_fn=build, verbose=0), {"units": [2, 3], "nb_epoch": [1]}, cv=2)
    found = grid.fit(x, np.array(["a", "b", "c"])[y])
    assert set(found.best_params_) == {"units", "nb_epoch"}
    assert set(found.predict(x)) <= {"a", "b", "c"}
    assert found.best_estimator_.predict_proba(x).shape == (32, 3)
    one_hot = KerasClassifier(build_fn=build, epochs=1, verbose=0).fit(x, keras.utils.to_categorical(y, 3))
    assert one_hot.score(x, y) == np.mean(one_hot.predict(x) == y)

    def regression():
        model = models.Sequential([layers.Dense(1, input_dim=64)])
        model.compile("sgd", "mse")
        return model

    scores = cross_val_score(KerasRegressor(build_fn=regression, epochs=1, batch_size=8, verbose=0), x, y, cv=2)
    assert (scores < 0).all()


def swoosh(x):
    return x * K.sigmoid(x)


@pytest.mark.parametrize("form", ["argument", "layer", "name", "custom object"])
def test_functions_as_activations(small, form):
    x, y = small
    keras.utils.get_custom_objects().update({"swoosh": swoosh, "swoosh_layer": layers.Activation(swoosh)})
    given = {"argument": swoosh, "name": "swoosh", "custom object": "swoosh_layer"}
    first = layers.Dense(6, activation=given.get(form), input_dim=64)
    model = models.Sequential([first, *([layers.Activation(swoosh)] if form == "layer" else [])])
    model.add(layers.Dense(3, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert mc.gradcheck(model).error <= 1e-6
    flat = x.reshape(32, -1)
    model.fit(flat, y, verbose=0)
    kernel, bias, *_ = model.get_weights()
    z = flat @ kernel + bias
    inside = models.Model(model.input, model.layers[-1].input).predict(flat)
    assert np.allclose(inside, z / (1 + np.exp(-z)), atol=1e-5)


def test_functions_of_the_backend_as_activations_are_layers():
    for function in (K.relu, K.tanh, keras.activations.selu):
        known = layers.Dense(2, activation=function.__name__).activation
        assert type(layers.Dense(2, activation=function).activation) is type(known)
    slope = layers.Dense(2, activation=lambda x: K.relu(x, alpha=0.5, max_value=1.0))
    kernel = np.array([[1.0, -1.0]])
    model = models.Sequential([layers.Input((1,)), slope])
    slope.set_weights([kernel, np.zeros(2)])
    assert np.allclose(model.predict(np.array([[3.0], [-1.0]])), [[1, -1.5], [-0.5, 1]])


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_function_as_activation_in_a_file(small, suffix):
    x, _ = small
    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3, activation=swoosh)])
    model.save(f"own.{suffix}")
    keras.utils.get_custom_objects().pop("swoosh", None)  # and no others, which other tests have registered
    with pytest.raises(ValueError, match=r"custom_objects=.*'swoosh': swoosh"):
        models.load_model(f"own.{suffix}")
    loaded = models.load_model(f"own.{suffix}", custom_objects={"swoosh": swoosh})
    assert np.allclose(loaded.predict(x), model.predict(x))


LOSSES = {
    "mean_squared_error": lambda t, p: ((t - p) ** 2).mean(-1),
    "binary_crossentropy": lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1),
    "categorical_crossentropy": lambda t, p: -(t * np.log(p / p.sum(-1, keepdims=True))).sum(-1),
}


@pytest.mark.parametrize("module", ["losses", "metrics", "objectives"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_in_losses_of_ones_own(name, module):
    rng = np.random.default_rng(1)
    known = getattr(getattr(keras, module), name)

    def dice(y_true, y_pred):
        return 1 - 2 * K.sum(y_true * y_pred) / (K.sum(y_true) + K.sum(y_pred) + 1)

    class Mixed(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return known(y_true, y_pred) * K.mean(y_pred) + dice(y_true, y_pred)

    p, t = rng.uniform(0.1, 0.9, (4, 3, 2)), rng.integers(0, 2, (4, 3, 2)).astype(np.float64)

    def formula(p):
        return (LOSSES[name](t, p) * p.mean() + 1 - 2 * (t * p).sum() / (t.sum() + p.sum() + 1)).mean()

    gradient = np.empty_like(p)
    loss = Mixed()
    assert np.isclose(loss.compute(p, loss.check_target(t, p.shape[1:]), None, gradient, None), formula(p))
    for place in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[place] = 1e-6
        assert np.isclose(gradient[place], (formula(p + step) - formula(p - step)) / 2e-6, atol=1e-7)


def test_merge_of_keras_1():
    a, b = layers.Input((4, 4, 2)), layers.Input((4, 4, 2))
    shapes = {"sum": (None, 4, 4, 2), "mul": (None, 4, 4, 2), "ave": (None, 4, 4, 2), "max": (None, 4, 4, 2)}
    for mode, shape in (*shapes.items(), ("concat", (None, 4, 4, 4))):
        assert layers.merge([a, b], mode=mode).shape == shape
    assert layers.merge([a, b], mode="concat", concat_axis=1).shape == (None, 8, 4, 2)
    assert layers.concatenate([a, b], 3).shape == (None, 4, 4, 4)
    with pytest.raises(ValueError, match="mode"):
        layers.merge([a, b], mode="join")
    names = {"inputs": [a, b]}
    exec("import minicnn.keras.layers.merge; from minicnn.keras.layers import merge; c = merge(inputs)", names)
    assert names["c"].shape == (None, 4, 4, 2)
    with pytest.raises(TypeError, match=r"keras.layers.pooling is a module"):
        exec("from minicnn.keras.layers import pooling; pooling()", {})


def test_what_callbacks_of_keras_2_read(small):
    x, y = small
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs={}):  # noqa: B006
            optimizer = self.model.optimizer
            seen.append(
                K.eval(optimizer.lr * (1.0 / (1.0 + optimizer.decay * K.cast(optimizer.iterations, "float32"))))
            )
            seen.append(self.model.predict(self.validation_data[0]).shape)
            optimizer.lr.set_value(0.5 * optimizer.lr.get_value())

    model = classifier((8, 8, 1))
    model.compile(keras.optimizers.SGD(lr=0.1), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0, validation_data=[x[:5], y[:5]], callbacks=[Watch()], class_weight="auto")
    assert np.allclose([seen[0], seen[2]], [0.1, 0.05])
    assert seen[1] == (5, 3)
    assert keras.optimizers.SGD(lr=0.1, decay=1e-3).decay == 1e-3


def test_what_callbacks_of_keras_2_are_told(small):
    x, y = small
    told = []

    class Names(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append((self.params["metrics"], self.params["do_validation"], self.params["samples"]))

    model = classifier((8, 8, 1))
    model.fit(x, y, verbose=0, callbacks=[Names()])
    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[Names()])
    assert told[0] == (["loss", "accuracy"], False, 32)
    assert told[1] == (["loss", "accuracy", "val_loss", "val_accuracy"], True, 32)
    model.fit(x, y, verbose=0, validation_split=0.25, callbacks=[Names()])
    assert told[2][:2] == (["loss", "accuracy", "val_loss", "val_accuracy"], True)


def test_steps_that_are_no_whole_number(small):
    x, y = small
    model = classifier((8, 8, 1))
    data = ImageDataGenerator().flow(x, y, batch_size=12)
    seen = []
    count = keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))
    with pytest.warns(FutureWarning, match=r"math\.ceil"):
        model.fit_generator(
            data, len(x) / 12, 1, 0, [count], validation_data=data, validation_steps=len(x) / 30, workers=2
        )
    assert seen == [0, 1, 2]  # 32 / 12 = 2.67
    assert model.predict_generator(ImageDataGenerator().flow(x, batch_size=12), steps=0.5).shape == (12, 3)


def test_one_list_of_metrics_for_several_outputs(small):
    x, y = small
    image = layers.Input((8, 8, 1))
    h = layers.Flatten()(image)
    several = [layers.Dense(3, activation="softmax", name=f"c{i}")(h) for i in range(4)]
    model = models.Model(inputs=image, outputs=several)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adadelta", metrics=["accuracy"])
    losses, accuracies = [f"c{i}_loss" for i in range(4)], [f"c{i}_accuracy" for i in range(4)]
    assert model.metrics_names == ["loss", *losses, *accuracies]
    history = model.fit(x, [y] * 4, verbose=0).history
    assert history.keys() == set(model.metrics_names)


def test_layers_are_taken_off(small):
    x, _ = small
    image = layers.Input((8, 8, 1))
    flat = layers.Flatten()(layers.Conv2D(4, 3, name="features")(image))
    model = models.Model(image, layers.Dense(3)(layers.Dense(5, name="inner")(flat)))
    expected = models.Model(image, model.get_layer("features").output).predict(x)
    names = [layer.name for layer in model.layers]
    model.layers.pop()
    assert [layer.name for layer in model.layers] == names[:-1] and model.predict(x).shape == (32, 3)
    assert models.Model(model.inputs, model.layers[-1].output).predict(x).shape == (32, 5)
    model.layers.pop()
    model.layers.pop()
    model.outputs = [model.layers[-1].output]
    model.layers[-1].outbound_nodes = []
    assert [layer.name for layer in model.layers] == names[:2]
    assert np.array_equal(model.predict(x), expected)
    stack = classifier((8, 8, 1))
    below = stack.layers[-2].name
    stack.layers.pop()
    assert stack.layers[-1].name == below and stack.predict(x).shape == (32, 48)


CHANGES = [
    lambda listed: listed.append(layers.Dense(2)),
    lambda listed: listed.insert(0, layers.Dense(2)),
    lambda listed: listed.extend([layers.Dense(2)]),
    lambda listed: listed.__iadd__([layers.Dense(2)]),
    lambda listed: listed.__setitem__(-1, layers.Dense(2)),
    lambda listed: listed.__delitem__(-1),
    lambda listed: listed.remove(listed[-1]),
    lambda listed: listed.clear(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_changes_of_the_list_of_layers_change_no_model_and_say_so(change, small):
    """As in Keras 3, which says nothing."""
    x, _ = small
    image = layers.Input((8, 8, 1))
    for model in (models.Model(image, layers.Dense(3)(layers.Flatten()(image))), classifier((8, 8, 1))):
        names, before = [layer.name for layer in model.layers], model.predict(x)
        with pytest.warns(UserWarning, match="model.layers is a list of its own, as in Keras 3"):
            change(model.layers)
        assert [layer.name for layer in model.layers] == names and np.array_equal(model.predict(x), before)
        backwards = model.layers
        backwards.reverse()  # which somebody wants to go through
        assert [layer.name for layer in backwards] == names[::-1]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_files_of_a_model_whose_list_of_layers_is_shorter(suffix, tmp_path):
    image = layers.Input((3,))
    model = models.Model(image, layers.Dense(2)(layers.Dense(4)(image)))
    model.layers.pop()
    path = tmp_path / f"model{suffix}"
    before = model.get_weights()
    (model.save if suffix == ".keras" else model.save_weights)(path)
    if suffix != ".keras":
        model.set_weights([0 * w for w in before])
        model.load_weights(path)
    found = models.load_model(path).get_weights() if suffix == ".keras" else model.get_weights()
    assert len(found) == 4
    assert all(np.array_equal(a, b) for a, b in zip(found, before, strict=True))


def test_hard_sigmoid_of_the_backend():
    x = np.array([-3.0, -2, 0.548, 2, 3], np.float32)
    expected = [0, 0.1, 0.6096, 0.9, 1]
    assert np.allclose(K.hard_sigmoid(x), expected)
    image = layers.Input((5,))
    assert np.allclose(models.Model(image, K.hard_sigmoid(image)).predict(x[None]), [expected])
    assert np.allclose(layers.Lambda(K.hard_sigmoid)(x[None]), [expected])


def test_a_stack_on_a_stack_is_built():
    first = models.Sequential([layers.Dense(4, input_dim=3)])
    model = models.Sequential([first, layers.Dense(2)])
    assert model.built and model.output_shape == (None, 2) and model.layers[-1].output.shape == (None, 2)


def test_sizes_of_tensorflow_1():
    t = layers.Input((6, 8, 3))
    assert (t.get_shape()[1].value, t.shape[2].value, t.shape[0]) == (6, 8, None)
    assert pickle.loads(pickle.dumps(t.shape[1])).__class__ is int


def test_a_transposed_convolution_of_keras_1():
    image = layers.Input((7, 7, 2))
    told = layers.Deconvolution2D(3, 3, 3, (None, 14, 14, 3), border_mode="same", subsample=(2, 2))(image)
    named = layers.Deconvolution2D(3, 3, 3, output_shape=(1, 14, 14), border_mode="same", subsample=(2, 2))(image)
    assert told.shape == named.shape == (None, 14, 14, 3)
    rows = layers.Deconvolution2D(nb_filter=3, nb_row=3, nb_col=2, output_shape=(None, 9, 8, 3))(image)
    assert rows.shape == (None, 9, 8, 3)


def test_losses_by_the_names_of_keras_2(small):
    x, y = small
    model = classifier((8, 8, 1))
    target = keras.utils.to_categorical(y, 3)
    for old, today in (("cosine_proximity", "cosine_similarity"), ("kullback_leibler_divergence", "kl_divergence")):
        model.compile("sgd", old, metrics=[old, "acc"])
        found = model.evaluate(x, target, verbose=0)
        model.compile("sgd", today, metrics=[today, "acc"])
        assert np.allclose(found, model.evaluate(x, target, verbose=0))
        assert getattr(keras.losses, old)(target, target).shape == (32,)


def test_numbers_of_units_as_keras_2_took_them():
    image = layers.Input((8, 8, 1))
    assert layers.Conv2D(16 / 2, (3, 3))(image).shape == (None, 6, 6, 8)
    assert layers.Conv2DTranspose(filters=2.0, kernel_size=2)(image).shape == (None, 9, 9, 2)
    assert layers.Dense("12")(image).shape == layers.Dense(units=24 / 2)(image).shape == (None, 8, 8, 12)


def test_class_numbers_with_a_fraction():
    with pytest.warns(UserWarning, match="cuts class numbers off to integers. Received: 1.5"):
        assert keras.utils.to_categorical([1.5, 0.0]).tolist() == [[0, 1], [1, 0]]
    assert keras.utils.np_utils.to_categorical([1.0, 0.0], 3, dtype="int32").tolist() == [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match="integers"):
        keras.utils.to_categorical([np.nan])


def test_a_name_without_a_suffix_brings_its_folder(small):
    x, y = small
    model = classifier((8, 8, 1))
    model.save("training_1/cp.ckpt")
    assert np.array_equal(models.load_model("training_1/cp.ckpt").predict(x), model.predict(x))
    expected = model.get_weights()
    model.save_weights("training_2/weights/cp")
    model.fit(x, y, verbose=0)
    model.load_weights("training_2/weights/cp")
    assert all(map(np.array_equal, model.get_weights(), expected))
    with pytest.raises(FileNotFoundError, match="the folder 'training_3' does not exist"):
        model.save("training_3/model.keras")


def test_shapes_of_tensors_as_older_versions_had_them():
    image = layers.Input((8, 6, 1))
    layer = layers.Conv2D(2, 3)
    tensors = layer(image), layer(layers.Input((8, 6, 1)))
    assert tensors[0].get_shape().as_list() == [None, 6, 4, 2]
    assert tensors[0]._keras_shape == K.int_shape(tensors[0]) == (None, 6, 4, 2)
    assert (layer.get_output_at(1), layer.get_input_at(0)) == (tensors[1], image)
    shape = tensors[0].shape
    assert (shape.as_list()[-1], shape[1:3].as_list(), shape.rank, shape.ndims) == (2, [6, 4], 4, 4)
    assert type(pickle.loads(pickle.dumps(shape))) is tuple


def test_shapes_in_layers_as_older_versions_had_them(small):
    seen = []

    class Scaled(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=input_shape[-1:].as_list(), initializer="ones")
            super().build(input_shape)

        def call(self, x):
            seen.append((x.shape.as_list()[1:], x.shape.ndims))
            return x * self.scale

    model = models.Sequential([layers.Input((8, 8, 1)), Scaled(), layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*small, verbose=0)
    assert model.layers[0].get_weights()[0].shape == (1,)
    assert seen and set(map(str, seen)) == {"([8, 8, 1], 4)"}


@pytest.mark.parametrize("shape", [(5, 2), (4, 3, 2)])
@pytest.mark.parametrize(
    ("ends", "options"),
    [
        (0, {}),
        (1, {}),
        (1, {"constant_values": 2.0}),
        (1, {"mode": "reflect"}),
        (1, {"mode": "edge"}),
        (1, {"mode": "symmetric"}),
    ],
)
def test_numbers_around_tensors(shape, ends, options):
    start = layers.Input(shape)
    widths = [(0, 0), *[(1, 2)] * (len(shape) - 1), (ends, 0)]
    model = models.Model(start, keras.ops.pad(layers.Dense(2)(start), widths, **options))
    model.compile("sgd", "mse")
    assert mc.gradcheck(model).error <= 1e-6
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    kernel, bias = model.get_weights()
    assert np.allclose(model.predict(x), np.pad(x @ kernel + bias, widths, **options), atol=1e-5)
    assert len(model.layers) == 2  # an operation is no layer, but a step of the model
    assert type(model.graph.layers[-1]).__name__.startswith("NamedFunction" if ends else "ZeroPadding")
    with pytest.raises(ShapeError, match="as many samples"):
        keras.ops.pad(start, 1)


def test_numbers_around_arrays():
    assert keras.ops.pad([1, 2], (1, 0), constant_values=None).tolist() == [0, 1, 2]
    start = layers.Input((3,))
    model = models.Model(start, keras.ops.pad(layers.Dense(2)(start), ((0, 0), (1, 1)), mode="mean"))
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"np\.pad with mode='mean'"):
        model.fit(np.ones((4, 3)), np.ones((4, 4)), verbose=0)


@pytest.mark.parametrize("axis", [0, -4])
def test_samples_are_not_put_behind_each_other(axis):
    image = layers.Input((8, 6, 1))
    with pytest.raises(ShapeError, match=r"batches are joined outside, with np\.concatenate"):
        layers.concatenate([image, image], axis=axis)


def test_functions_of_tensors_that_are_no_layers(tmp_path):
    start = layers.Input((4, 6))
    x = layers.Dense(6)(start)
    weights = K.softmax(K.sum(K.square(x), axis=-1, keepdims=True), axis=1)
    pooled = K.sum(x * weights, axis=1)
    both = K.concatenate([pooled, K.maximum(K.max(x, axis=1), 0.1), K.mean(x, axis=1)])
    scaled = both / K.sqrt(K.sum(K.square(both), axis=1, keepdims=True) + 1.0)
    model = models.Model(start, K.clip(scaled, -0.9, 0.9))
    assert model.output_shape == (None, 18)
    model.compile("sgd", "mse")
    assert mc.gradcheck(model).error <= 1e-6
    values = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)
    kernel, bias = model.get_weights()
    v = values @ kernel + bias
    e = np.exp((v**2).sum(-1, keepdims=True))
    expected = [(v * e / e.sum(1, keepdims=True)).sum(1), np.maximum(v.max(1), 0.1), v.mean(1)]
    expected = np.concatenate(expected, axis=-1)
    expected /= np.sqrt((expected**2).sum(1, keepdims=True) + 1)
    assert np.allclose(model.predict(values), np.clip(expected, -0.9, 0.9), atol=1e-5)
    model.save(tmp_path / "own.keras")
    np.testing.assert_array_equal(models.load_model(tmp_path / "own.keras").predict(values), model.predict(values))


def test_filled_arrays_as_keras_backend_made_them():
    x = np.arange(6).reshape(2, 3)
    for made, expected in (
        (K.zeros((2, 3), name="a"), np.zeros((2, 3), np.float32)),
        (K.ones((2,), "int32", "b"), np.ones(2, np.int32)),
        (K.eye(3, name="c"), np.eye(3, dtype=np.float32)),
        (K.eye((2, 3)), np.eye(2, 3, dtype=np.float32)),
        (K.zeros_like(x, name="d"), np.zeros_like(x)),
        (K.ones_like(x, "float32"), np.ones((2, 3), np.float32)),
    ):
        assert made.dtype == expected.dtype and np.array_equal(made, expected)
    start = layers.Input((4, 4, 2))
    wider = layers.Lambda(lambda t: K.concatenate([t, K.zeros_like(t, name="pad")], axis=-1))
    model = models.Model(start, wider(layers.Conv2D(2, 1)(start)))
    model.compile("sgd", "mse")
    assert mc.gradcheck(model).error <= 1e-6
    assert not model.predict(np.ones((2, 4, 4, 2)))[..., 2:].any()


@pytest.mark.parametrize("units", [4.0, "4"])
def test_numbers_of_units_that_are_no_int(units):
    """Keras 2 took ``int(units)``."""
    assert keras.layers.Dense(units, input_shape=(3,)).units == 4 == keras.layers.Dense(units=units).units
    with pytest.raises(ValueError, match="units"):
        keras.layers.Dense("four")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_channels_that_seem_to_come_first_are_advised_on():
    """Keras 1 took channels first unless told; today's Keras takes them last, and says nothing either way."""
    with pytest.warns(UserWarning, match=r"input_shape=\(1, 28, 28\).*set_image_data_format\(.channels_first"):
        layers.Convolution2D(8, 3, 3, border_mode="same", input_shape=(1, 28, 28))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        layers.Conv2D(8, 3, input_shape=(28, 28, 1))
        layers.Conv2D(8, 1, input_shape=(3, 3, 3))
        layers.Conv2D(8, 3, input_shape=(3, None, None), padding="same", data_format="channels_last")
        K.set_image_data_format("channels_first")
        layers.Conv2D(8, 3, input_shape=(1, 28, 28))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_variational_autoencoder_of_keras_1():
    """Its loss uses tensors of the model beside (y_true, y_pred), and its noise is drawn for one size of batches."""
    size, latent = 8, 2
    x = np.random.default_rng(0).random((24, 12)).astype("float32")
    image = layers.Input(batch_shape=(size, 12))
    hidden = layers.Dense(6, activation="relu")(image)
    mean, log_sigma = layers.Dense(latent)(hidden), layers.Dense(latent)(hidden)

    def sample(args):
        mean, log_sigma = args
        return mean + K.exp(log_sigma / 2) * K.random_normal(shape=(size, latent), mean=0.0, std=1.0)

    code = layers.Lambda(sample)([mean, log_sigma])
    rebuilt = layers.Dense(12, activation="sigmoid")(code)

    def vae_loss(y_true, y_pred):
        recon = K.sum(K.binary_crossentropy(y_true, y_pred), axis=1)
        return recon + 0.5 * K.sum(K.exp(log_sigma) + K.square(mean) - 1.0 - log_sigma, axis=1)

    vae = models.Model(image, rebuilt)
    vae.compile(optimizer="adam", loss=vae_loss)
    before = vae.get_weights()
    history = vae.fit(x, x, batch_size=size, nb_epoch=3, validation_data=(x, x), verbose=0).history
    assert len(history["val_loss"]) == 3 and np.isfinite(history["loss"]).all()
    assert all(np.abs(new - old).max() > 0 for new, old in zip(vae.get_weights(), before, strict=True))
    assert vae.predict(x, batch_size=size).shape == (24, 12)
    encoder = models.Model(image, mean)
    assert encoder.predict(x, batch_size=size).shape == (24, 2)
    # the loss of one batch, with the divergence that NumPy computes from the encoder's outputs and no noise
    log_of_variance = models.Model(image, log_sigma).predict(x, batch_size=size)
    m = encoder.predict(x, batch_size=size)
    divergence = 0.5 * (np.exp(log_of_variance) + m**2 - 1 - log_of_variance).sum(1).mean()
    assert vae.evaluate(x, x, batch_size=size, verbose=0) > divergence
    vae.compile("adam", vae_loss, metrics=["mse"])
    squares = np.square(x - vae.predict(x, batch_size=size)).mean()  # with other noise
    assert vae.evaluate(x, x, batch_size=size, verbose=0)[1] == pytest.approx(squares, rel=0.5)


def test_products_of_samples_of_tensors_and_what_they_refuse():
    rng = np.random.default_rng(4)
    a, b = rng.random((2, 3, 4), "float32"), rng.random((2, 5, 4), "float32")
    first, second = keras.Input((3, 4)), keras.Input((5, 4))
    made = keras.Model([first, second], K.batch_dot(first, second, axes=(2, 2))).predict([a, b], verbose=0)
    np.testing.assert_allclose(made, [p @ q.T for p, q in zip(a, b, strict=True)], rtol=1e-5)
    for axes in (0, (2, 1)):
        with pytest.raises(ValueError, match="not along the samples'"):
            K.batch_dot(a, b, axes)


def test_a_layer_that_merges():
    from minicnn.keras.layers.merge import _Merge

    class Between(_Merge):
        def _merge_function(self, inputs):
            share = K.random_uniform((K.shape(inputs[0])[0], 1))
            return share * inputs[0] + (1 - share) * inputs[1]

    a, b = keras.Input((3,)), keras.Input((3,))
    made = keras.Model([a, b], Between()([a, b])).predict([np.ones((9, 3)), np.zeros((9, 3))], verbose=0)
    assert ((made > 0) & (made < 1)).all() and np.ptp(made[:, 0]) > 0 and not np.ptp(made, axis=1).any()
    with pytest.raises(ValueError, match="two or more"):
        Between()(a)
    with pytest.raises(NotImplementedError, match="_merge_function"):
        _Merge()([np.ones((1, 2)), np.ones((1, 2))])


def test_diagrams_as_pydot_has_them(tmp_path):
    from minicnn.keras.utils.vis_utils import model_to_dot

    drawing = model_to_dot(classifier((9, 9, 1)), show_shapes=True)
    assert b"<svg" in drawing.create(prog="dot", format="svg")
    assert drawing.create_png()[:4] == b"\x89PNG" == drawing._repr_png_()[:4]
    assert drawing.write_png(tmp_path / "model.png") and (tmp_path / "model.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="format"):
        drawing.create(format="dot")


def test_layers_of_keras_1_say_which_weights_they_train():
    class Scaled(layers.Layer):
        def build(self, input_shape):
            self.W = K.variable(np.ones(input_shape[-1]))
            self.kept = self.add_weight("kept", (input_shape[-1],), "float32", "ones")
            self.trainable_weights = [self.W]
            super().build(input_shape)

        def call(self, x):
            return x * self.W * self.kept

    layer = Scaled()
    model = models.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 3)), np.zeros((8, 3)), verbose=0)
    before, kept = (weight.numpy() for weight in (layer.W, layer.kept))
    assert (before < 1).all() and (kept == 1).all()
    assert [w.name for w in layer.trainable_weights] == ["W"]
    with pytest.raises(ValueError, match="said in its build"):
        layer.trainable_weights = [layer.W, layer.kept]
    with pytest.raises(ValueError, match="weights of layer"):
        layer.trainable_weights = [layers.Dense(2, input_shape=(3,)).bias]
    dense = layers.Dense(2)
    dense(np.ones((1, 3)))
    dense.trainable_weights = []
    assert dense.trainable_weights == [] and not dense.trainable
    dense.non_trainable_weights = []
    assert len(dense.trainable_weights) == 2


def test_the_number_of_iterations_as_a_variable():
    model = models.Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile("adam", "mse")
    model.fit(np.ones((8, 2)), np.ones(8), batch_size=2, verbose=0)
    assert (
        model.optimizer.iterations == model.optimizer.iterations.numpy() == K.get_value(model.optimizer.iterations) == 4
    )
    model.optimizer.iterations.assign(7)
    assert pickle.loads(pickle.dumps(model.optimizer)).iterations == 7


def test_arguments_of_add_weight_by_their_places():
    layer = layers.Layer()
    layer.build((None, 2))
    assert layer.add_weight("a", (2,), None, "ones", None, False).numpy().sum() == 2
    assert layer.add_weight((2,), "zeros", "float32", False, name="b").numpy().sum() == 0
    assert not layer.trainable_weights
    with pytest.raises(TypeError, match="in this order or by name"):
        layer.add_weight("c", (2,), "ones")


# ------------------------------------------------------------------------------------------------ what changes later


@pytest.mark.parametrize(
    ("weighted", "expected"),
    [
        (lambda loss, v: v * loss, lambda loss, v: v * loss),
        (lambda loss, v: loss * v + 1, lambda loss, v: loss * v + 1),
        (lambda loss, v: loss / v, lambda loss, v: loss / v),
        (lambda loss, v: loss - v, lambda loss, v: loss - v),
        (lambda loss, v: v + loss, lambda loss, v: v + loss),
        (lambda loss, v: v - loss, lambda loss, v: v - loss),
    ],
)
@pytest.mark.parametrize("is_summed", [False, True])
def test_a_variable_in_a_loss_follows_set_value(weighted, expected, is_summed):
    x = np.random.default_rng(0).random((8, 3), np.float32)
    variable, inputs = K.variable(2.0), layers.Input((3,))
    squares = K.sum(K.square(inputs), axis=-1)
    model = models.Model(inputs, layers.Dense(1)(inputs))
    model.add_loss(weighted(K.mean(squares), variable) if is_summed else K.mean(weighted(squares, variable)))
    model.compile("sgd", loss=None)
    for value in (2.0, 0.5, 3.0):
        K.set_value(variable, value)
        loss = model.evaluate(x, verbose=0)
        assert loss == pytest.approx(float(expected((x**2).sum(1), value).mean()), rel=1e-5)


def test_a_variable_beside_tensors_follows_set_value():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    inputs, one, three = layers.Input((3,)), K.variable(2.0), K.variable([1.0, 2.0, 3.0])
    made = [inputs * three, one / (inputs**2 + 1), abs(inputs) ** one, inputs > one, inputs <= one]
    made.append(layers.Lambda(lambda t: t * one + three)(inputs))
    model = models.Model(inputs, made)
    for number in (2.0, 0.25):
        K.set_value(one, number)
        K.set_value(three, [number, 1, 0])
        many = np.array([number, 1, 0])
        expected = [x * many, number / (x**2 + 1), abs(x) ** number, x > number, x <= number, x * number + many]
        for a, b in zip(model.predict(x, verbose=0), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_is_computed_of_variables_follows_set_value_too():
    """(1 - alpha) · x: the number of the first moment stayed, silently, while alpha · x followed."""
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    inputs, one, three = layers.Input((3,)), K.variable(0.25), K.variable([1.0, 2.0, 3.0])
    made = [(1.0 - one) * inputs, inputs / (one + 1), K.sqrt(one) * inputs, abs(inputs) ** (2 * one)]
    made += [inputs * (one * three - 1), inputs + three[1], inputs > -one, (one + one) ** 2 - inputs]
    made.append(layers.Lambda(lambda t: t * (1 - one))(inputs))
    model = models.Model(inputs, made)
    for n in (0.25, 0.5):
        K.set_value(one, n)
        K.set_value(three, many := np.array([n, 1 + n, 0]))
        expected = [(1 - n) * x, x / (n + 1), np.sqrt(n) * x, abs(x) ** (2 * n)]
        expected += [x * (n * many - 1), x + 1 + n, x > -n, 4 * n * n - x, x * (1 - n)]
        for a, b in zip(model.predict(x, verbose=0), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("of", [lambda v: v, lambda v: v * 1.0])
def test_variables_beside_what_is_no_array(of):
    """Lists, None, complex numbers and whatever else NumPy takes: K.variable(…) + [3, 4] was a TypeError."""
    v = of(K.variable([1.0, 2.0]))
    for made, expected in (
        (v - [3, 4], [-2, -2]),
        ((3, 4) * v, [3, 8]),
        (v * 1j, [1j, 2j]),
        (v * memoryview(np.array([3, 4])), [3, 8]),
        (v == None, [False, False]),  # noqa: E711 (what is looked at)
        (np.maximum(v, [3, 1]), [3, 2]),
        (np.multiply.outer(v, [1, 2]), [[1, 2], [2, 4]]),
        (round(of(K.variable(2.26)) * 1, 1), np.float32(2.3)),
    ):
        np.testing.assert_array_equal(made, expected)


def test_what_is_computed_of_variables_follows_with_the_numbers_that_stood_beside_them():
    """An array that changes later is not read again; nor is what was written into, or what a loop has added up."""
    x, v, beside, inputs = np.ones((1, 2)), K.variable(0.5), np.array([2.0, 3.0]), layers.Input((2,))
    made, written, added = v * beside, v * beside, 0.0 * v
    beside[:] = 7
    written[0] = 5
    for _ in range(5000):
        added = added + v
    model = models.Model(inputs, [inputs * made, inputs * written, inputs * added])
    expected = [[[1.0, 1.5]], [[5.0, 1.5]], [[2500.0, 2500.0]]]
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    K.set_value(v, 1.0)
    expected[0] = [[2.0, 3.0]]
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


def test_a_sum_that_a_loop_adds_up_keeps_none_of_its_parts():
    v, parts = K.variable(np.ones(3)), []
    added = v * 0.0
    for _ in range(200):
        added = 0.5 * added + v
        parts.append(weakref.ref(added))
    assert not any(part() is not None for part in parts[:-1])


def test_numbers_that_are_computed_of_variables_stay():
    variable = K.variable(2.0)
    made = (1.0 - variable) * 3
    K.set_value(variable, 5.0)
    assert float(made) == -3.0 and f"{made:.1f}" == "-3.0" and made + 1 == -2.0
    assert isinstance(np.asarray(made * np.ones(2)), np.ndarray) and (np.add.reduce(K.variable([1.0, 2.0])) == 3.0)


def test_a_variable_of_tensorflow_in_a_lambda_is_warned_of_once_it_changes():
    scale, inputs = tf.Variable(0.25), layers.Input((3,))
    model = models.Model(inputs, layers.Lambda(lambda t: layers.add([t, t]) * (1.0 - scale))(inputs))
    model.predict(x := np.ones((2, 3)), verbose=0)
    scale.assign(0.5)
    with pytest.warns(UserWarning, match="scale has changed .* K.set_value"):
        model.predict(x, verbose=0)


def test_variables_as_loss_weights(small):
    x, _ = small
    first, second = K.variable(1.0), K.variable(0.0)
    image = layers.Flatten()(layers.Input((8, 8, 1)))
    model = models.Model(image, [layers.Dense(1, name="a")(image), layers.Dense(1, name="b")(image)])

    class Turn(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            K.set_value(first, 0.0)
            K.set_value(second, 0.5)

    model.compile("sgd", ["mse", "mse"], loss_weights=[first, second])
    x, y = x.reshape(32, 64), np.ones((32, 1))
    history = model.fit(x, [y, y], epochs=2, verbose=0, shuffle=False, callbacks=[Turn()]).history
    assert history["loss"][0] == pytest.approx(history["a_loss"][0])
    assert history["loss"][1] == pytest.approx(history["b_loss"][1] / 2)
    model.compile("sgd", "mse", loss_weights={"b": second})
    K.set_value(second, 2.0)
    total, of_a, of_b = model.evaluate(x, [y, y], verbose=0)
    assert total == pytest.approx(of_a + 2 * of_b)


@pytest.mark.parametrize(("asked", "read"), [("accuracy", "acc"), ("acc", "accuracy")])
def test_logs_have_the_accuracy_under_both_names(small, asked, read):
    x, y = small
    seen, kept = [], []

    class Stop(keras.callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(logs.get(read))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs[f"val_{read}"])
            logs["own"] = epoch
            kept.append(logs)
            assert logs.get("nothing", 7) == 7
            if logs.get(read) > -1:
                self.model.stop_training = True

    model = classifier((8, 8, 1))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[asked])
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((logs[read], logs["own"])))
    history = model.fit(x, y, epochs=3, verbose=0, validation_data=(x, y), callbacks=[Stop(), told]).history
    assert len(history["loss"]) == 1
    assert set(history) == set(kept[0]) == {"loss", asked, "val_loss", f"val_{asked}", "own"}
    assert seen == [history[asked][0], history[f"val_{asked}"][0], (history[asked][0], 0)]
    with pytest.raises(TypeError, match="on_epoch_end is called with"):
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch: None)


def test_a_loss_that_wraps_another_function(small):
    x, _ = small

    def distance(features, targets, scale):
        return scale * K.mean(K.square(features - targets), axis=-1)

    def scaled(scale):
        @functools.wraps(distance)
        def loss(y_true, y_pred):
            return distance(y_pred, y_true, scale)

        return loss

    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(2)])
    model.compile("sgd", loss=scaled(3.0))
    y = np.ones((32, 2))
    expected = 3 * np.mean((model.predict(x, verbose=0) - y) ** 2)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_the_shape_of_what_a_loss_gets(small):
    x, _ = small

    def loss(y_true, y_pred):
        assert y_pred.get_shape()[1] == 2
        return K.mean(K.square(y_pred - y_true), axis=-1)

    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(2)])
    model.compile("sgd", loss)
    assert model.fit(x, np.ones((32, 2)), verbose=0).history["loss"][0] > 0
