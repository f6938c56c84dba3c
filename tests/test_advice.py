"""Warnings about what is allowed and hardly meant; none for networks that are as they should be."""

import re
import warnings

import numpy as np
import pytest
from networks import d0, d1, d2, lenet5, lenet5_better, lenet5_classic

import minicnn as mc
from minicnn import callbacks, layers
from minicnn.layers import Dense, Flatten, Input

OPTIONS = {"verbose": 0, "epochs": 2, "batch_size": 16}


def messages(*functions):
    """What the functions warn about, also what Python would not repeat."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for function in functions:
            function()
    assert all(w.filename == __file__ for w in caught)  # each points at the line of the user
    return [str(w.message) for w in caught]


def net(*stack, loss="sparse_categorical_crossentropy", optimizer="sgd", shape=(8, 8, 1), **compiled):
    model = mc.Sequential([Input(shape), *stack])
    model.compile(optimizer, loss, backend="numpy", **compiled)
    return model


def pictures(rng, top=1.0, shape=(8, 8, 1), count=40):
    x = rng.random((count, *shape)) * top
    return np.round(x) if top > 1 else x, rng.permutation(np.arange(count) % 3)


def softmax():
    return [Flatten(), Dense(3, activation="softmax")]


# ------------------------------------------------------------------------------------------------------- the outputs


@pytest.mark.parametrize(
    ("columns", "reduction", "is_said"),
    [(0, "sum", True), (0, None, True), (0, "sum_over_batch_size", False), (slice(0, 1), "sum", False)],
)
def test_sums_over_outputs_without_an_axis(columns, reduction, is_said):
    """Keras 3.15.1 trains by the mean of outputs (N,) there, and by the sum of outputs (N, 1)."""
    loss = mc.losses.MeanSquaredError(reduction=reduction)
    found = messages(lambda: net(Dense(2), layers.Lambda(lambda x: x[:, columns]), loss=loss, shape=(3,)))
    assert [f"reduction={reduction!r}" in each and "keep the axis" in each for each in found] == [True] * is_said


@pytest.mark.parametrize("loss", ["binary_crossentropy", "sparse_categorical_crossentropy", "mse"])
def test_softmax_of_one_unit(loss):
    (message,) = messages(lambda: net(Flatten(), Dense(1, activation="softmax"), loss=loss))
    assert "softmax over one value is always 1" in message


@pytest.mark.parametrize(
    "stack",
    [
        [Flatten(), Dense(3)],
        [Flatten(), Dense(3, activation="relu")],
        [layers.Conv2D(3, 3), layers.GlobalAveragePooling2D()],
        [Flatten(), Dense(3), layers.BatchNormalization()],
        [Flatten(), Dense(3, activation="softmax"), Dense(3)],
    ],
    ids=str,
)
def test_forgotten_softmax(stack, rng):
    models = []
    (message,) = messages(lambda: models.append(net(*stack)), lambda: models[0].fit(*pictures(rng), **OPTIONS))
    assert message.startswith("SparseCategoricalCrossentropy expects probabilities, and the last layer has no softmax")
    assert messages(lambda: net(*stack, loss=mc.losses.SparseCategoricalCrossentropy(from_logits=True))) == []


def test_classes_of_the_room_of_keras_are_those_of_the_library(rng):
    """They are thin subclasses, and what is said of a layer holds for them."""
    from minicnn import keras

    def compiled(*last, **options):
        first = keras.layers.Conv2D(4, 3, input_shape=(8, 8, 1))
        model = keras.Sequential([first, keras.layers.Flatten(), *last])
        model.compile("sgd", options.pop("loss", "sparse_categorical_crossentropy"), **options)
        return model

    (message,) = messages(lambda: compiled(keras.layers.Dense(3)))
    assert "the last layer has no softmax" in message
    model = compiled(keras.layers.Dense(3, activation="softmax"))
    (message,) = messages(lambda: model.fit(*pictures(rng, top=255.0), **OPTIONS))
    assert "values up to 255" in message
    own = keras.layers.Lambda(lambda x: x / 255.0)  # which may scale
    model = keras.Sequential([keras.Input((8, 8, 1)), own, keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert messages(lambda: model.fit(*pictures(rng, top=255.0), **OPTIONS)) == []


def test_forgotten_sigmoid():
    (message,) = messages(lambda: net(Flatten(), Dense(1), loss="binary_crossentropy"))
    assert "has no sigmoid: give it activation='sigmoid'" in message


@pytest.mark.parametrize(
    "stack",
    [
        softmax(),
        [Flatten(), Dense(3), layers.Softmax()],
        [Flatten(), Dense(3), layers.Activation("softmax")],
        [layers.Dropout(0.5), Flatten(), layers.Dropout(0.5), Dense(3, activation="softmax")],
        [Flatten(), Dense(3, activation="softmax"), Dense(3, activation="softmax")],
        [layers.Conv2D(3, 3, activation="softmax"), layers.GlobalAveragePooling2D()],
        [Flatten(), Dense(3, activation="softmax"), layers.Reshape((3,))],
        [mc.Sequential([Input((8, 8, 1)), *softmax()])],
    ],
    ids=str,
)
def test_outputs_as_they_should_be(stack, rng):
    models = []
    assert messages(lambda: models.append(net(*stack)), lambda: models[0].fit(*pictures(rng), **OPTIONS)) == []


ODD = [
    (Dense(3), "kl_divergence", "KLDivergence expects probabilities, .* activation='softmax'"),
    (Dense(3, activation="relu"), mc.losses.KLDivergence(), "KLDivergence expects probabilities"),
    (Dense(3), "dice", "Dice expects probabilities, .* activation='sigmoid'"),
    (Dense(3, activation="tanh"), "tversky", "Tversky expects probabilities"),
    (Dense(3), "poisson", "Poisson expects rates above 0, .* activation='softplus'"),
    (Dense(3, activation="tanh"), "poisson", "Poisson expects rates above 0"),
    (Dense(3, activation="tanh"), "binary_crossentropy", "BinaryCrossentropy expects probabilities"),
    (Dense(3), "binary_focal_crossentropy", "BinaryFocalCrossentropy expects probabilities"),
    (Dense(3, activation="sigmoid"), "categorical_crossentropy", "of a sigmoid do not sum to 1: .*'binary_cross"),
    (Dense(1, activation="sigmoid"), "sparse_categorical_crossentropy", "the output has one value.*'binary_cross"),
    (Dense(1), mc.losses.CategoricalCrossentropy(from_logits=True), "the output has one value.*'binary_crossentropy'"),
    ([*softmax()[1:], layers.Softmax()], "mse", "two activations, softmax and then softmax"),
    ([*softmax()[1:], layers.Dropout(0.1), layers.Softmax()], "mse", "two activations, softmax and then softmax"),
    ([*softmax()[1:], layers.Activation("sigmoid")], "mse", "two activations, softmax and then sigmoid"),
    ([*softmax()[1:], layers.Dropout(0.1)], "sparse_categorical_crossentropy", "Dropout is the last layer"),
    ([Dense(3), layers.Dropout(0.1)], "mse", "Dropout is the last layer"),
]


@pytest.mark.parametrize(("last", "loss", "message"), ODD)
def test_outputs_that_do_not_fit_their_losses(last, loss, message):
    (found,) = messages(lambda: net(Flatten(), *(last if isinstance(last, list) else [last]), loss=loss))
    assert re.search(message, found)


FITTING = [
    *(("softmax", "kl_divergence"), ("softmax", "dice"), ("sigmoid", "dice"), ("sigmoid", "tversky")),
    *(("softplus", "poisson"), ("exponential", "poisson"), ("relu", "poisson"), ("softmax", "poisson")),
    *(("sigmoid", "binary_crossentropy"), ("sigmoid", "binary_focal_crossentropy"), ("sigmoid", "mse")),
    *((None, "mse"), (None, "mae"), (None, "huber"), (None, "msle"), (None, "log_cosh"), (None, "cosine_similarity")),
    *((None, "hinge"), ("tanh", "hinge"), (None, "categorical_hinge"), ("relu6", "kl_divergence")),
    (None, mc.losses.BinaryCrossentropy(from_logits=True)),
    (None, mc.losses.CategoricalCrossentropy(from_logits=True)),
    ("softmax", "categorical_crossentropy"),
    ("sigmoid", "sparse_categorical_crossentropy"),
    ("softmax", "categorical_focal_crossentropy"),
]


@pytest.mark.parametrize(("activation", "loss"), FITTING)
def test_outputs_that_fit_their_losses(activation, loss):
    assert messages(lambda: net(Flatten(), Dense(3, activation=activation), loss=loss)) == []


@pytest.mark.parametrize(
    ("units", "metric", "message"),
    [
        (1, "categorical_accuracy", "CategoricalAccuracy asks which of several outputs.*BinaryAccuracy()"),
        (1, mc.metrics.SparseCategoricalAccuracy(), "SparseCategoricalAccuracy asks which of several"),
        (1, mc.metrics.TopKCategoricalAccuracy(2), "TopKCategoricalAccuracy asks which of several"),
        (1, "sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy asks which of several"),
        (3, mc.metrics.TopKCategoricalAccuracy(), r"k=5 is always 1 where there are 3 classes: .*\(k=2\)"),
        (2, mc.metrics.SparseTopKCategoricalAccuracy(2), r"k=2 is always 1 where there are 2 classes: .*\(k=1\)"),
        (1, mc.metrics.Accuracy(), r"Accuracy\(\) counts outputs that equal their targets exactly.*'accuracy'"),
        (1, mc.metrics.BinaryAccuracy(), None),
        *((1, "accuracy", None), (3, "accuracy", None), (3, "categorical_accuracy", None), (1, "mae", None)),
        (3, mc.metrics.TopKCategoricalAccuracy(2), None),
        (3, mc.metrics.SparseTopKCategoricalAccuracy(5, from_sorted_ids=True), None),
    ],
)
def test_metrics_that_say_the_same_of_every_model(units, metric, message):
    found = messages(lambda: net(Flatten(), Dense(units, activation="sigmoid"), loss="mse", metrics=[metric]))
    assert len(found) == (message is not None)
    assert message is None or re.search(message, found[0])


def test_a_last_dropout_that_drops_nothing_is_no_mistake():
    """A rate of 0, from a search of rates; one that is told not to act."""
    i = Input((4,))
    for last in (layers.Dropout(0.0)(Dense(3)(i)), layers.Dropout(0.5)(Dense(3)(i), training=False)):
        model = mc.Model(i, last)
        assert messages(lambda m=model: m.compile("sgd", "mse")) == []


def test_a_mean_of_two_softmaxes_is_no_mistake():
    i = Input((4,))
    both = layers.Add()([Dense(3, activation="softmax")(i), Dense(3, activation="softmax")(i)])
    model = mc.Model(i, layers.Rescaling(0.5)(both))
    assert messages(lambda: model.compile("sgd", "sparse_categorical_crossentropy")) == []


# ---------------------------------------------------------------------------------------------------------- the data


def test_pixels_up_to_255_with_sgd(rng):
    x, y = pictures(rng, 255)
    for data in (x, x.astype("uint8"), x.reshape(40, 64)):
        model = net(*softmax(), shape=data.shape[1:], optimizer=mc.optimizers.SGD(1e-6))
        (message,) = messages(lambda m=model, d=data: [m.fit(d, y, **OPTIONS) for _ in range(2)])
        assert message.startswith(
            "the pictures hold values up to 255, with which SGD seldom trains: scale them, x / 255"
        )


def test_pixels_up_to_255_that_are_scaled(rng):
    x, y = pictures(rng, 255)
    models = [
        net(layers.Rescaling(1 / 255), *softmax()),
        net(layers.BatchNormalization(), *softmax()),
        net(*softmax(), optimizer="adam"),
    ]
    assert messages(*(lambda m=model: m.fit(x, y, **OPTIONS) for model in models)) == []


@pytest.mark.parametrize("use", ["evaluate", "predict", "validation"])
@pytest.mark.parametrize("trained_on", [1, 255])
def test_another_scale_than_in_training(use, trained_on, rng):
    x, y = pictures(rng, trained_on)
    model = net(*softmax(), optimizer="adam")
    other = x * 255 // 1 if trained_on == 1 else x / 255
    if use == "validation":
        found = messages(lambda: [model.fit(x, y, validation_data=(other, y), **OPTIONS) for _ in range(2)])
    else:
        model.fit(x, y, **OPTIONS)
        call = {"evaluate": lambda d: model.evaluate(d, y[: len(d)], verbose=0), "predict": model.predict}[use]
        assert messages(lambda: call(x), lambda: call(x[:1])) == []
        found = messages(lambda: [call(other) for _ in range(3)])
    (message,) = found
    assert message.startswith(f"fit saw values up to {trained_on}, and these go up to {256 - trained_on}")


def streams(x, y):
    """The same data as a Sequence, a generator, a data set."""

    class Batches:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return x[10 * index : 10 * index + 10], y[10 * index : 10 * index + 10]

    data = mc.data.Dataset.from_tensor_slices((x, y)).batch(10)
    return {"sequence": Batches(), "generator": (Batches()[i % 4] for i in range(99)), "data set": data}


@pytest.mark.parametrize("kind", ["sequence", "generator", "data set"])
def test_the_scale_of_batches(kind, rng):
    """That of the first batch, which is read when the training comes to it."""
    x, y = pictures(rng, 255)
    options = {"verbose": 0, "epochs": 2, "steps_per_epoch": 4}
    (message,) = messages(lambda: net(*softmax()).fit(streams(x, y)[kind], **options))
    assert message.startswith("the pictures hold values up to 255, with which SGD seldom trains")
    model = net(*softmax(), optimizer="adam")
    assert messages(lambda: model.fit(streams(x / 255, y)[kind], **options)) == []
    assert messages(lambda: model.evaluate(streams(x / 255, y)[kind], steps=2, verbose=0)) == []
    (message,) = messages(lambda: [model.predict(streams(x, y)[kind], steps=2) for _ in range(2)])
    assert "fit saw values up to 1, and these go up to 255" in message
    model = net(*softmax(), optimizer="adam")
    (message,) = messages(lambda: model.fit(streams(x / 255, y)[kind], validation_data=(x, y), **options))
    assert "fit saw values up to 1, and these go up to 255" in message


def test_scales_that_are_no_mistake(rng):
    """Another range of values that are no pixels, black pictures, binary ones, tables."""
    x, y = pictures(rng)
    model = net(*softmax(), optimizer="adam")
    fine = [x, x * 2 - 1, x * 0, np.round(x), x * 3, (x - 0.5) * 300, np.round((x - 0.5) * 300), np.round(x * 1000)]
    assert messages(lambda: model.fit(x, y, **OPTIONS), lambda: [model.predict(other) for other in fine]) == []
    table = net(Dense(3, activation="softmax"), shape=(4,))
    numbers = np.round(rng.random((40, 4)) * 255)
    assert messages(lambda: table.fit(numbers / 255, y, **OPTIONS), lambda: table.predict(numbers)) == []


@pytest.mark.parametrize("labels", ["numbers", "column", "columns", "falling", "new classes only"])
def test_validation_split_of_sorted_labels(labels, rng):
    x, _ = pictures(rng)
    y = np.sort(np.arange(40) % 3)
    y = {
        "numbers": y,
        "column": y[:, None],
        "columns": np.eye(3)[y],
        "falling": y[::-1],
        "new classes only": np.r_[np.arange(30) % 2, [2] * 10],
    }[labels]
    model = net(
        *softmax(), loss="categorical_crossentropy" if labels == "columns" else "sparse_categorical_crossentropy"
    )
    (message,) = messages(lambda: [model.fit(x, y, validation_split=0.25, **OPTIONS) for _ in range(2)])
    assert message.startswith("validation_split takes the end of the data, and its labels are in order")
    assert messages(lambda: model.fit(x, y, validation_data=(x[-10:], y[-10:]), **OPTIONS)) == []


@pytest.mark.parametrize("seed", range(20))
def test_validation_split_of_shuffled_labels(seed):
    rng = np.random.default_rng(seed)
    x, _ = pictures(rng)
    y = rng.integers(0, 3, 40)
    assert messages(lambda: net(*softmax()).fit(x, y, validation_split=0.25, **OPTIONS)) == []


def test_sorted_numbers_are_no_labels(rng):
    x, _ = pictures(rng)
    model = net(Flatten(), Dense(1), loss="mse")
    assert messages(lambda: model.fit(x, np.linspace(0, 1, 40), validation_split=0.25, **OPTIONS)) == []


@pytest.mark.parametrize("make", [d0, d1, d2, lenet5, lenet5_classic, lenet5_better], ids=lambda make: make.__name__)
def test_the_documents_networks_need_no_advice(make):
    assert messages(lambda: make(mc).compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])) == []


# --------------------------------------------------------------------------------------------------------- callbacks


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_epoch_ends", "on_epoch_end"),
        ("on_epoch_finish", "on_epoch_end"),
        ("on_epoch_start", "on_epoch_begin"),
        ("on_train_start", "on_train_begin"),
        ("on_batch_ended", "on_batch_end"),
        ("on_validation_end", "on_test_end"),
        ("on_epochend", "on_epoch_end"),
        ("on_Epoch_End", "on_epoch_end"),
    ],
)
def test_misspelt_hooks(name, meant, rng):
    kind = type("Mine", (callbacks.Callback,), {name: lambda self, *args: None, "__module__": __name__})
    model = net(*softmax())
    (message,) = messages(lambda: [model.fit(*pictures(rng), callbacks=[kind()], **OPTIONS) for _ in range(2)])
    assert message == f"Mine.{name} is never called: no method of callbacks has that name; did you mean '{meant}'?"


def test_hooks_take_what_they_are_called_with(rng):
    kind = type("Mine", (callbacks.Callback,), {"on_epoch_end": lambda self, epoch: None, "__module__": __name__})
    with pytest.raises(TypeError, match=r"a callback's on_epoch_end is called with \(self, epoch, logs\). Received: "):
        net(*softmax()).fit(*pictures(rng), callbacks=[kind()], **OPTIONS)


def test_methods_that_are_no_hooks(rng):
    class Mine(callbacks.Callback):
        on_colour = "red"

        def on_epoch_end(self, epoch, logs=None):
            self.on_epoch_end_again(epoch)

        def on_epoch_end_again(self, epoch):
            self.on_best(epoch)

        def on_best(self, epoch):
            pass

        def train_begin(self):
            pass

    assert messages(lambda: net(*softmax()).fit(*pictures(rng), callbacks=[Mine()], **OPTIONS)) == []


@pytest.mark.parametrize("make", ["stop", "reduce", "save"])
def test_monitoring_validation_that_there_is_not(make, rng, tmp_path):
    model, (x, y) = net(*softmax(), metrics=["accuracy"]), pictures(rng)

    def callback(monitor="val_loss"):
        return {
            "stop": lambda: callbacks.EarlyStopping(monitor),
            "reduce": lambda: callbacks.ReduceLROnPlateau(monitor),
            "save": lambda: callbacks.ModelCheckpoint(tmp_path / "m.safetensors", monitor, save_best_only=True),
        }[make]()

    (message,) = messages(lambda: model.fit(x, y, callbacks=callback(), **OPTIONS))
    assert "conditioned on metric `val_loss` which is not available. Available metrics are: loss,accuracy" in message
    assert message.endswith(
        "fit has no validation data: give it validation_data= or validation_split=, or monitor='loss'"
    )
    split = {"validation_split": 0.25, "validation_freq": 2, **OPTIONS}
    assert messages(lambda: model.fit(x, y, callbacks=callback(), **split)) == []
    with pytest.raises(ValueError, match=r"'val_acc' is better; did you mean 'val_accuracy'\?"):
        model.fit(x, y, callbacks=callback("val_acc"), **split)


def test_the_nearest_name_to_monitor(rng):
    stop = callbacks.EarlyStopping("val_accurracy", mode="max")
    model = net(*softmax(), metrics=["accuracy"])
    (message,) = messages(lambda: model.fit(*pictures(rng), callbacks=stop, validation_split=0.25, **OPTIONS))
    assert message.endswith("val_loss,val_accuracy; did you mean 'val_accuracy'?")


# ------------------------------------------------------------------------------------------------------- the weights


@pytest.mark.parametrize("by", ["fit", "train_on_batch"])
def test_models_of_which_nothing_is_trained(rng, by):
    x, y = pictures(rng)
    train = {"fit": lambda m: m.fit(x, y, **OPTIONS), "train_on_batch": lambda m: m.train_on_batch(x[:8], y[:8])}[by]
    model = net(*softmax())
    model.trainable = False
    before = [w.copy() for w in model.get_weights()]
    (message,) = messages(lambda: train(model), lambda: train(model))  # once for a compiled model
    assert message.startswith("the model does not have any trainable weights")
    assert "layer.trainable = True, and call compile again" in message
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy", backend="numpy")
    assert messages(lambda: train(model)) == []
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_models_without_weights(rng):
    model = net(layers.AveragePooling2D(2), Flatten(), layers.Softmax())
    (message,) = messages(lambda: model.fit(pictures(rng)[0], np.arange(40) % 16, **OPTIONS))
    assert message.startswith("the model does not have any trainable weights")
    assert message.endswith("give it a layer that has some, such as Dense")


def test_one_frozen_layer_among_others_is_as_it_should_be(rng):
    model = net(layers.Conv2D(2, 3, trainable=False), *softmax())
    assert messages(lambda: model.fit(*pictures(rng), **OPTIONS), lambda: model.gradients(*pictures(rng))) == []


# ---------------------------------------------------------------------------------------------- names of arguments


@pytest.mark.parametrize(
    ("call", "received", "meant"),
    [
        (lambda: net(*softmax()).fit(epoch=3), "Sequential.fit() got an unexpected keyword argument 'epoch'", "epochs"),
        (lambda: net(*softmax()).evaluate(retun_dict=True), "'retun_dict'", "return_dict"),
        (lambda: net(*softmax()).predict(batchsize=3), "'batchsize'", "batch_size"),
        (lambda: net(*softmax()).compile("sgd", loses="mse"), "Sequential.compile()", "loss"),
        (lambda: Dense(unit=3), "Dense() got an unexpected keyword argument 'unit'", "units"),
        (lambda: layers.Conv2D(3, kernal_size=3), "Conv2D()", "kernel_size"),
        (lambda: layers.Dropout(rat=0.3), "'rat'", "rate"),
        (lambda: mc.Input(shap=(3,)), "Input()", "shape"),
        (lambda: mc.Model(input=1, outputs=2), "Model()", "inputs"),
        (lambda: callbacks.EarlyStopping(patiance=3), "EarlyStopping()", "patience"),
        (lambda: callbacks.ModelCheckpoint(file="x.keras"), "ModelCheckpoint()", "filepath"),
        (lambda: mc.regularizers.L2(l3=0.1), "L2()", "l2"),
        (lambda: mc.optimizers.schedules.ExponentialDecay(0.1, decay_step=3), "ExponentialDecay()", "decay_steps"),
    ],
)
def test_misspelt_arguments(call, received, meant):
    with pytest.raises(TypeError) as caught:
        call()
    assert received in str(caught.value)
    assert f"'{meant}'" in str(caught.value) or f"has {meant}" in str(caught.value)


def test_arguments_that_are_nothing_like_the_known_ones():
    with pytest.raises(TypeError, match="it has backend, loss, loss_weights, metrics, optimizer, weighted_metrics"):
        net(*softmax()).compile("sgd", "mse", zzz=3)


def test_classes_of_users_keep_their_own_arguments():
    class Mine(callbacks.Callback):
        def __init__(self, patience, **options):
            self.patience, self.options = patience, options

    assert Mine(patience=2, patient=3).options == {"patient": 3}
    with pytest.raises(TypeError, match="'patient': did you mean 'patience'"):
        Mine(patient=3)
