"""compile, fit, evaluate, predict, callbacks and saving, as scripts call them."""

import json
import math
import os
import sys

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import backend as K
from minicnn.keras import callbacks, layers, models, ops, optimizers

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def network(**arguments):
    """A small compiled classifier."""
    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3, activation="softmax")])
    model.compile(
        **({"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | arguments)
    )
    return model


# ----------------------------------------------------------------------------------------------------------- training


def test_names_of_the_accuracy(small):
    history = network(metrics=["acc"]).fit(*small, epochs=2, verbose=0, validation_split=0.2)
    acc, val_acc, loss, val_loss = (history.history[name] for name in ("acc", "val_acc", "loss", "val_loss"))
    assert len(range(1, len(acc) + 1)) == len(val_acc) == len(loss) == len(val_loss) == 2
    assert set(history.history) == {"acc", "val_acc", "loss", "val_loss"}
    assert history.history["accuracy"] == acc
    assert network(metrics=["accuracy"]).fit(*small, verbose=0).history.keys() == {"loss", "accuracy"}


@pytest.mark.parametrize(("asked", "monitor"), [("accuracy", "val_acc"), ("acc", "val_accuracy"), ("acc", "val_acc")])
def test_monitors_of_the_accuracy(small, asked, monitor, tmp_path):
    stop = callbacks.EarlyStopping(monitor=monitor, patience=1)
    best = callbacks.ModelCheckpoint(
        str(tmp_path / "best.keras"), monitor=monitor, save_best_only=True, mode="max", verbose=1
    )
    slow = callbacks.ReduceLROnPlateau(monitor=monitor, factor=0.5, patience=1, min_lr=1e-5, verbose=1)
    pytest.importorskip("h5py")
    model = network(metrics=[asked])
    model.fit(*small, epochs=3, verbose=0, validation_data=small, callbacks=[stop, best, slow])
    assert best.best is not None
    assert os.path.exists("best.keras")


def test_evaluate_and_predict(small):
    x, y = small
    model = network()
    loss, accuracy = model.evaluate(x, y, verbose=2)
    probabilities = model.predict(x)
    picked = np.argmax(probabilities, axis=1)
    assert accuracy == pytest.approx((picked == y).mean())
    assert loss == pytest.approx(-np.log(probabilities[np.arange(32), y]).mean(), rel=1e-5)
    assert model.predict(x[0][None]).shape == (1, 3)
    assert model.predict(np.expand_dims(x[0], 0)).shape == (1, 3)
    assert (model.predict_classes(x) == picked).all()
    assert model(x[:2]).shape == (2, 3)
    assert model(x[:2], training=False).shape == (2, 3)
    assert dict(zip(model.metrics_names, model.evaluate(x, y, verbose=0), strict=True))["loss"] == pytest.approx(loss)


def test_probability_model(small):
    x, _ = small
    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3)])
    probability_model = keras.Sequential([model, layers.Softmax()])
    predictions = probability_model.predict(x)
    np.testing.assert_allclose(predictions.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(probability_model(x[:5]), predictions[:5], rtol=1e-5)


def test_steps_that_are_no_integers(small):
    x, y = small

    def forever():
        while True:
            yield x[:16], y[:16]

    history = network().fit_generator(forever(), steps_per_epoch=len(x) / 16, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    network().fit(forever(), steps_per_epoch=len(x) // 16, validation_data=forever(), validation_steps=1, verbose=0)


def test_sequences(small):
    x, y = small

    class Batches(keras.utils.Sequence):
        def __init__(self, x_set, y_set, batch_size):
            self.x, self.y = x_set, y_set
            self.batch_size = batch_size

        def __len__(self):
            return math.ceil(len(self.x) / self.batch_size)

        def __getitem__(self, idx):
            part = slice(idx * self.batch_size, (idx + 1) * self.batch_size)
            return np.array(self.x[part]), np.array(self.y[part])

        def on_epoch_end(self):
            self.ended = True

    batches = Batches(x, y, 10)
    history = network().fit(batches, epochs=2, verbose=0, workers=2, use_multiprocessing=False)
    assert batches.ended
    assert len(history.history["loss"]) == 2


def test_class_weights(small):
    x, y = small
    y = np.minimum(y, 1)
    balanced, by_hand = network(), network()
    by_hand.set_weights(balanced.get_weights())
    counts = np.bincount(y)
    by_hand.fit(x, y, class_weight=dict(enumerate(len(y) / (2 * counts))), verbose=0, shuffle=False)
    balanced.fit(x, y, class_weight="balanced", verbose=0, shuffle=False)
    for a, b in zip(balanced.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_rates_and_decay(small):
    opt = optimizers.SGD(lr=0.1, decay=0.1, momentum=0.9, nesterov=True)
    model = network(optimizer=opt)
    model.fit(*small, epochs=1, batch_size=16, verbose=0)
    assert model.optimizer.current_learning_rate == pytest.approx(0.1 / (1 + 0.1 * 2))
    assert K.get_value(model.optimizer.lr) == pytest.approx(0.1)  # Keras 2's variable, which decay leaves alone
    model = network(
        optimizer=optimizers.Adam(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=None, amsgrad=False)
    )
    K.set_value(model.optimizer.learning_rate, 0.25) if hasattr(model.optimizer.learning_rate, "assign") else None
    K.set_value(model.optimizer.lr, 0.25)
    assert model.optimizer.learning_rate == 0.25


def test_learning_rate_is_a_variable(small):
    model = network(optimizer=optimizers.Adam(0.5))
    K.set_value(model.optimizer.learning_rate, 0.25)
    assert float(K.get_value(model.optimizer.learning_rate)) == 0.25
    model.optimizer.learning_rate.assign(0.125)
    assert model.optimizer.learning_rate.numpy() == 0.125
    assert model.optimizer.get_config()["learning_rate"] == 0.125


def test_losses_of_ones_own(small):
    x, _ = small

    def dice_coef(y_true, y_pred, smooth=1):
        y_true_f = K.flatten(y_true)
        y_pred_f = K.flatten(y_pred)
        intersection = K.sum(y_true_f * y_pred_f)
        return (2.0 * intersection + smooth) / (K.sum(y_true_f) + K.sum(y_pred_f) + smooth)

    def dice_coef_loss(y_true, y_pred):
        return 1 - dice_coef(y_true, y_pred)

    masks = (x > 0.5).astype("float32")
    model = models.Sequential([layers.Conv2D(1, 1, activation="sigmoid", input_shape=(8, 8, 1))])
    model.compile(optimizer=optimizers.Adam(0.1), loss=dice_coef_loss, metrics=[dice_coef, "accuracy"])
    history = model.fit(x, masks, epochs=15, batch_size=32, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history["loss"][0] == pytest.approx(1 - history["dice_coef"][0], abs=1e-5)


def test_a_loss_class_of_ones_own(small):
    x, _ = small

    class Squares(keras.losses.Loss):
        def __init__(self, factor=2.0, name="squares"):
            super().__init__(name=name)
            self.factor = factor

        def call(self, y_true, y_pred):
            return keras.ops.mean(self.factor * keras.ops.square(y_true - y_pred), axis=-1)

    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(2)])
    model.compile("sgd", Squares())
    own = model.evaluate(x, np.ones((32, 2)), verbose=0)
    model.compile("sgd", "mse")
    assert own == pytest.approx(2 * model.evaluate(x, np.ones((32, 2)), verbose=0), rel=1e-5)


@pytest.mark.parametrize("loss", ["focal", "contrastive", "weighted", "root", "log_cosh", "categorical"])
def test_functions_as_losses_have_their_gradient(loss):
    def focal(y_true, y_pred, gamma=2.0, alpha=0.25):
        y_pred = K.clip(y_pred, K.epsilon(), 1.0 - K.epsilon())
        p_t = keras.ops.where(K.equal(y_true, 1), y_pred, 1 - y_pred)
        return K.mean(-alpha * K.pow(1.0 - p_t, gamma) * K.log(p_t), axis=-1)

    def contrastive(y_true, y_pred):
        margin = 1
        square_pred = K.square(y_pred)
        margin_square = K.square(K.maximum(margin - y_pred, 0))
        return K.mean(y_true * square_pred + (1 - y_true) * margin_square)

    def weighted(y_true, y_pred):
        return K.mean(K.binary_crossentropy(y_true, y_pred) * (1 + 2 * y_true), axis=-1)

    def root(y_true, y_pred):
        return K.sqrt(K.mean(K.square(y_pred - y_true)))

    def log_cosh(y_true, y_pred):
        error = K.abs(y_pred - K.cast(y_true, "float32"))
        return K.mean(error + K.log(1 + K.exp(-2 * error)))

    def categorical(y_true, y_pred):
        y_pred = y_pred / K.sum(y_pred, axis=-1, keepdims=True)
        return K.categorical_crossentropy(y_true, y_pred)

    function = locals()[loss]
    rng = np.random.default_rng(0)
    p, d = rng.uniform(0.1, 0.9, (5, 4)), rng.normal(size=(5, 4))
    t = np.eye(4)[rng.integers(4, size=5)]
    own = keras.losses.get(function)
    gradient = np.empty_like(p)
    value = own.compute(p, t, None, gradient, None)
    assert value == pytest.approx(float(np.mean(function(t, p))), rel=1e-6)
    step = 1e-6
    ends = [own.compute(p + sign * step * d, t, None, None, None) for sign in (1, -1)]
    assert (gradient * d).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_a_function_that_cannot_be_differentiated(small):
    x, y = small
    with pytest.raises(TypeError, match=r"np\.linalg|np\.\w+ cannot be differentiated"):
        network(loss=lambda t, p: np.sort(p)).fit(x, y, verbose=0)


def test_metrics_of_ones_own(small):
    class Hits(keras.metrics.Metric):
        def __init__(self, name="hits", **kwargs):
            super().__init__(name=name, **kwargs)
            self.hits = self.add_weight(name="h", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            values = keras.ops.equal(keras.ops.cast(y_true, "int32").reshape(-1), keras.ops.argmax(y_pred, axis=1))
            self.hits.assign_add(keras.ops.sum(keras.ops.cast(values, "float32")))

        def result(self):
            return self.hits

        def reset_state(self):
            self.hits.assign(0.0)

    model = network(metrics=[Hits(), "accuracy"])
    values = model.evaluate(*small, verbose=0, return_dict=True)
    assert values["hits"] == pytest.approx(values["accuracy"] * 32)


def test_objects_of_metrics(small):
    m = keras.metrics.SparseCategoricalAccuracy()
    m.update_state([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    assert float(m.result()) == 0.5
    m.reset_state()
    mean = keras.metrics.Mean(name="loss")
    mean.update_state(2.0)
    mean.update_state(4.0)
    assert float(mean.result()) == 3.0
    network(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=2), "sparse_categorical_accuracy"]).fit(
        *small, verbose=0
    )


# ---------------------------------------------------------------------------------------------------------- callbacks


def test_callbacks_of_ones_own(small):
    class LossHistory(callbacks.Callback):
        def on_train_begin(self, logs={}):  # noqa: B006
            self.losses = []

        def on_batch_end(self, batch, logs={}):  # noqa: B006
            self.losses.append(logs.get("loss"))

    class StopAt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs={}):  # noqa: B006
            if logs.get("accuracy") > -1:
                self.model.stop_training = True

    history = LossHistory()
    result = network().fit(*small, batch_size=16, epochs=3, verbose=0, callbacks=[history, StopAt()])
    assert len(history.losses) == 2
    assert len(result.epoch) == 1


def test_schedulers(small):
    def step_decay(epoch):
        return 0.1 * math.pow(0.5, math.floor((1 + epoch) / 2.0))

    def scheduler(epoch, lr):
        return lr if epoch < 1 else lr * math.exp(-0.1)

    model = network(optimizer=optimizers.SGD(lr=0.0))
    history = model.fit(*small, epochs=2, verbose=0, callbacks=[callbacks.LearningRateScheduler(step_decay)])
    assert history.history["lr"] == pytest.approx([0.1, 0.05])
    assert history.history["learning_rate"] == pytest.approx([0.1, 0.05])
    model = network(optimizer=optimizers.SGD(0.5))
    model.fit(*small, epochs=2, verbose=0, callbacks=[callbacks.LearningRateScheduler(scheduler, verbose=1)])
    assert K.get_value(model.optimizer.lr) == pytest.approx(0.5 * math.exp(-0.1))


def test_usual_callbacks(small, tmp_path):
    seen = []
    many = [
        callbacks.EarlyStopping(
            monitor="val_loss", min_delta=0, patience=3, verbose=0, mode="auto", restore_best_weights=True
        ),
        callbacks.ModelCheckpoint(filepath="w.{epoch:02d}-{val_loss:.2f}.weights.h5", save_weights_only=True, period=1),
        callbacks.CSVLogger("training.log", separator=",", append=False),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)),
        callbacks.TerminateOnNaN(),
    ]
    pytest.importorskip("h5py")
    network().fit(*small, epochs=2, verbose=0, validation_split=0.25, callbacks=many)
    assert seen == [0, 1]
    assert len([name for name in os.listdir() if name.endswith(".weights.h5")]) == 2
    with open("training.log") as log:
        assert log.readline().startswith("epoch,")


def test_what_needs_another_package_says_so(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install"):
        callbacks.TensorBoard(log_dir="./logs")
    with pytest.raises(NotImplementedError, match="CSVLogger"):
        callbacks.RemoteMonitor()


def test_averaged_weights_are_swapped_in(small):
    model = network(optimizer=optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5))
    model.fit(
        *small, epochs=2, verbose=0, validation_data=small, callbacks=[callbacks.SwapEMAWeights(swap_on_epoch=True)]
    )
    assert np.isfinite(model.get_weights()[0]).all()


# ------------------------------------------------------------------------------------------------------ files, figures


def test_structure_and_weights_in_two_files(small):
    pytest.importorskip("h5py")
    model = network()
    with open("model.json", "w") as json_file:
        json_file.write(model.to_json())
    model.save_weights("model.h5")
    with open("model.json") as json_file:
        loaded = models.model_from_json(json_file.read())
    loaded.load_weights("model.h5")
    loaded.compile(loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    assert loaded.evaluate(*small, verbose=0) == model.evaluate(*small, verbose=0)


@pytest.mark.parametrize("name", ["my_model.h5", "my_model.keras", "weights.hdf5"])
def test_whole_models(name, small):
    pytest.importorskip("h5py")
    model = network()
    model.fit(*small, verbose=0)
    model.save(name)
    del_model, model = model, None
    new = keras.models.load_model(name)
    np.testing.assert_array_equal(new.predict(small[0]), del_model.predict(small[0]))
    new.fit(*small, verbose=0, initial_epoch=1, epochs=2)


def test_models_with_functions_in_files(small):
    pytest.importorskip("h5py")

    def my_loss(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred), axis=-1)

    x, _ = small
    model = models.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(2)])
    model.compile("adam", my_loss)
    model.fit(x, np.ones((32, 2)), verbose=0)
    model.save("own.keras")
    new = models.load_model("own.keras", custom_objects={"my_loss": my_loss})
    assert new.evaluate(x, np.ones((32, 2)), verbose=0) == model.evaluate(x, np.ones((32, 2)), verbose=0)
    assert models.load_model("own.keras", compile=False).predict(x).shape == (32, 2)


def test_checkpoints_of_weights(small):
    model = network()
    path = "training_1/cp.weights.h5"
    pytest.importorskip("h5py")
    os.makedirs(os.path.dirname(path))
    saver = callbacks.ModelCheckpoint(filepath=path, save_weights_only=True, verbose=1)
    model.fit(*small, epochs=1, callbacks=[saver], validation_data=small, verbose=0)
    other = network()
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(small[0]), model.predict(small[0]))


def test_curves(small):
    plt = pytest.importorskip("matplotlib.pyplot")
    history = network().fit(*small, epochs=2, validation_split=0.2, verbose=0)
    plt.figure()
    plt.plot(history.history["acc"])
    plt.plot(history.history["val_acc"])
    plt.plot(history.epoch, history.history["loss"], "bo", label="Training loss")
    plt.legend(["train", "test"], loc="upper left")
    plt.close("all")
    json.dumps(history.history)


def test_diagrams(small):
    pytest.importorskip("matplotlib")
    keras.utils.plot_model(network(), to_file="model.png", show_shapes=True, show_layer_names=True)
    assert os.path.getsize("model.png") > 1000


def test_summary_to_a_file(small):
    with open("report.txt", "w") as f:
        network().summary(print_fn=lambda line: f.write(line + "\n"))
    with open("report.txt") as f:
        assert "Total params" in f.read()


def perceptual(features):
    def loss(y_true, y_pred):
        return keras.losses.mean_squared_error(features(y_true), features(y_pred))

    return loss


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_loss_that_calls_another_network_has_its_gradient(is_frozen, small):
    """Perceptual losses of super-resolution: the other network is not trained, whether it is frozen or not."""
    x, _ = small
    x = x.reshape(32, 64)
    features = keras.Sequential([keras.Input((64,)), layers.Dense(5, activation="tanh", use_bias=False)])
    features.trainable = not is_frozen
    kept = features.get_weights()[0]  # (64, 5)
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64, use_bias=False)])
    kernel = model.get_weights()[0].astype(float)
    model.compile(keras.optimizers.SGD(1.0), perceptual(features))
    model.fit(x, x, batch_size=32, verbose=0)
    made = np.tanh(x @ kernel @ kept)  # (32, 5)
    slope = 2 * (made - np.tanh(x @ kept)) * (1 - made**2) / made.size
    np.testing.assert_allclose(model.get_weights()[0], kernel - x.T @ slope @ kept.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(features.get_weights()[0], kept)
    assert model.evaluate(x, x, verbose=0) < np.mean((made - np.tanh(x @ kept)) ** 2)


def test_a_loss_that_calls_a_part_of_the_network_that_trains_is_refused():
    """Its weights would have a part of the gradient that is lost, also beside a term that has its own."""
    encoder = keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="encoder")
    model = keras.Sequential([encoder, layers.Dense(4)])
    model.compile("sgd", lambda t, p: ops.mean((t - p) ** 2, axis=-1) + ops.mean((encoder(t) - encoder(p)) ** 2))
    x = np.ones((8, 4), np.float32)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(TypeError, match="the loss calls 'encoder', whose weights the model trains"):
            train(x, x)
