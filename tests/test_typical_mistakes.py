"""Mistakes that are easily made: each gets one sentence, of what was expected, what was received and how to mend it."""

import re
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import callbacks, data, keras, layers, losses, metrics, optimizers
from minicnn.errors import ShapeError

X = np.ones((4, 6, 6, 3), np.float32)
Y = np.arange(4) % 3


def net():
    model = mc.Sequential([mc.Input((6, 6, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


# ------------------------------------------------------------------------------------------- what is not a model


TAKE_MODELS = {
    "clone_model": lambda thing: mc.models.clone_model(thing),
    "warmup": lambda thing: mc.warmup(thing),
    "predict_views": lambda thing: mc.utils.predict_views(thing, X),
    "export_onnx": lambda thing: mc.export_onnx(thing, "model.onnx"),
    "export_html": lambda thing: mc.export_html(thing, "model.html"),
    "save_model": lambda thing: keras.models.save_model(thing, "model.keras"),
}
TAKE_LAYERS = {
    "gradcheck": lambda thing: mc.gradcheck(thing),
    "check_layer": lambda thing: mc.testing.check_layer(thing, (3,)),
}


@pytest.mark.parametrize("thing", ["model.keras", None, 3, layers.Dense(2), mc.Sequential])
@pytest.mark.parametrize("name", TAKE_MODELS)
def test_what_is_no_model(name, thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=f"{name} takes a model.* Received: "):
        TAKE_MODELS[name](thing)
    assert not list(tmp_path.iterdir())


def test_clone_model_of_keras_takes_a_model():
    for thing in ("model", None, layers.Dense(2)):
        with pytest.raises(TypeError, match="clone_model takes a model"):
            keras.models.clone_model(thing)


@pytest.mark.parametrize("thing", ["model.keras", None, 3, layers.Dense])
@pytest.mark.parametrize("name", TAKE_LAYERS)
def test_what_is_no_layer(name, thing):
    with pytest.raises(TypeError, match=f"{name} takes a layer or a model.* Received: "):
        TAKE_LAYERS[name](thing)


def test_the_sentence_says_what_to_do_with_a_path_and_with_a_class():
    with pytest.raises(TypeError, match=r"load a file first: load_model\(path\)"):
        mc.warmup("model.keras")
    with pytest.raises(TypeError, match=r"make one: Dense\(…\)"):
        mc.gradcheck(layers.Dense)


# ----------------------------------------------------------------------------------------------------- what is not data


@pytest.mark.parametrize(
    "paths", [["a.png", "b.JPG"], np.array(["a.jpeg", "b.jpeg"]), "a.png", [Path("a.png")], Path("a.png")]
)
def test_paths_of_pictures_are_not_labels(paths):
    with pytest.raises(TypeError, match="A picture in a file is read first") as caught:
        net().predict(paths, verbose=0)
    assert "unique" not in str(caught.value)


def test_names_of_classes_are():
    with pytest.raises(TypeError, match=r"numpy\.unique"):
        net().fit(X, ["cat", "dog", "cat", "cow"], verbose=0)


def test_a_data_set_that_was_not_put_into_batches():
    with pytest.raises(ShapeError, match=r"a Dataset of single samples is put together: \.batch\(32\)"):
        net().fit(data.Dataset.from_tensor_slices((X, Y)), verbose=0)


@pytest.mark.parametrize("arguments", [{"y": Y}, {"sample_weight": np.ones(4)}, {"validation_split": 0.5}])
def test_what_a_data_set_gives_itself(arguments):
    with pytest.raises(
        ValueError, match=r"leave y, sample_weight and validation_split out\. Received: x of type Dataset"
    ):
        net().fit(data.Dataset.from_tensor_slices((X, Y)).batch(2), verbose=0, **arguments)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "validation_data", "unbuilt"])
def test_a_data_set_without_an_end_needs_a_number_of_batches(method):
    """It was trained on, or predicted from, for ever."""
    endless, model = data.Dataset.from_tensor_slices((X, Y)).batch(2).repeat(), net()
    with pytest.raises(ValueError, match=r"repeats for ever: .*steps_per_epoch=.*Received: an endless Dataset"):
        if method == "validation_data":
            model.fit(X, Y, validation_data=endless, verbose=0)
        elif method == "unbuilt":
            model = mc.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
            model.compile("sgd", "sparse_categorical_crossentropy")
            model.fit(endless, verbose=0)
        else:
            getattr(model, method)(endless, verbose=0)
    model.fit(endless, verbose=0, steps_per_epoch=2, validation_data=endless, validation_steps=1)
    assert model.predict(endless, steps=3, verbose=0).shape == (6, 3)


@pytest.mark.parametrize("method, argument", [("map", "map_func"), ("filter", "predicate")])
def test_functions_of_data_sets(method, argument):
    pairs = data.Dataset.from_tensor_slices((X, Y))
    with pytest.raises(TypeError, match="transformation_func is a function"):
        pairs.apply(3)
    with pytest.raises(TypeError, match="expected an integer"):
        pairs.prefetch("a")
    with pytest.raises(TypeError, match=f"{argument} is a function. Received: {argument}=3"):
        getattr(pairs, method)(3)
    match = r"elements is called with \(element\[0\], element\[1\]\). Received: <lambda>\(x\), too many"
    with pytest.raises(TypeError, match=match):
        list(getattr(pairs, method)(lambda x: x))
    with pytest.raises(TypeError, match=r"is called with \(element\). Received: <lambda>\(x, y\), missing"):
        list(getattr(data.Dataset.range(3), method)(lambda x, y: x))
    with pytest.raises(TypeError, match="unsupported operand"):  # the function's own error
        list(getattr(pairs, method)(lambda x, y: x + None))


def test_a_filter_gives_one_value():
    rows = data.Dataset.from_tensor_slices(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"by .all\(\) or .any\(\). Received: an array of shape \(2,\)"):
        list(rows.filter(lambda row: row > 0))
    assert len(list(rows.filter(lambda row: (row > 0).all(keepdims=True)))) == 3


def test_concatenate_takes_a_data_set():
    with pytest.raises(TypeError, match=r"concatenate takes a data set\. Received: list"):
        data.Dataset.range(3).concatenate([1, 2])


def test_a_class_instead_of_an_object():
    with pytest.raises(TypeError, match=r"A class is called first: write Dataset\(…\)"):
        net().fit(data.Dataset, verbose=0)


@pytest.mark.parametrize("method", ["predict", "evaluate", "fit"])
def test_a_symbolic_tensor_is_no_data(method):
    with pytest.raises(TypeError, match="is symbolic: it has a shape"):
        getattr(net(), method)(mc.Input((6, 6, 3)), *([] if method == "predict" else [Y]), verbose=0)


@pytest.mark.parametrize("method", ["__len__", "__getitem__"])
def test_a_sequence_without_a_method(method):
    own = {"__len__": lambda self: 2, "__getitem__": lambda self, index: (X, Y)}
    del own[method]
    with pytest.raises(NotImplementedError, match=f"^Mine gives batches by .*: write {method}"):
        net().fit(type("Mine", (keras.utils.PyDataset,), own)(), verbose=0)


# ------------------------------------------------------------------------------------- functions of other arguments


class TooFew(callbacks.Callback):
    def on_epoch_end(self, epoch):
        pass


class TooMany(callbacks.Callback):
    def on_train_begin(self, logs, more):
        pass


class Fine(callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None, *, more=None):
        self.seen = epoch

    def on_train_begin(self, *args):
        pass

    @staticmethod
    def on_epoch_begin(epoch, logs):
        pass


FUNCTIONS = {
    "loss": (
        lambda: losses.get(lambda p: p),
        r"a loss function is called with \(y_true, y_pred\). Received: <lambda>\(p\)",
    ),
    "metric": (lambda: metrics.get(lambda: 0.0), r"as a metric is called with \(y_true, y_pred\)"),
    "named argument": (
        lambda: metrics.MeanMetricWrapper(lambda t, p: 0.0, threshold=0.5),
        r"is called with \(y_true, y_pred, threshold\)",
    ),
    "too few": (
        lambda: net().fit(X, Y, verbose=0, callbacks=[TooFew()]),
        r"on_epoch_end is called with \(self, epoch, logs\). Received: TooFew.on_epoch_end\(self, epoch\)",
    ),
    "too many": (
        lambda: net().fit(X, Y, verbose=0, callbacks=[TooMany()]),
        r"on_train_begin is called with \(self, logs\). Received: TooMany.on_train_begin\(self, logs, more\)",
    ),
    "LambdaCallback": (
        lambda: callbacks.LambdaCallback(on_epoch_end=lambda epoch: None),
        r"on_epoch_end is called with \(epoch, logs\)",
    ),
    "LambdaCallback, further": (
        lambda: callbacks.LambdaCallback(on_test_end=lambda: None),
        r"on_test_end is called with \(logs\)",
    ),
    "schedule": (lambda: callbacks.LearningRateScheduler(lambda: 0.1), r"a schedule is called with \(epoch\)"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_cannot_be_called_so(name):
    make, match = FUNCTIONS[name]
    with pytest.raises(TypeError, match=match):
        make()


def test_functions_that_can():
    fine = Fine()
    shows = callbacks.LambdaCallback(on_epoch_end=lambda *args: None, on_test_end=lambda logs=None: 0)
    schedules = [callbacks.LearningRateScheduler(f) for f in (lambda e: 0.1, lambda e, lr: lr, lambda *args: 0.1)]
    model = net()
    model.compile("sgd", lambda t, p, scale=2.0: scale * p[:, 0], metrics=[lambda *args: 1.0, max_of_prediction])
    model.fit(X, Y[:, None] * 1.0, verbose=0, callbacks=[fine, shows, *schedules])
    assert fine.seen == 0


def max_of_prediction(y_true, y_pred):
    return y_pred.max()


# ---------------------------------------------------------------------------------------------------- symbolic tensors


@pytest.mark.parametrize(
    "name, call",
    [
        ("exp", lambda t: np.exp(t)),
        ("matmul", lambda t: np.matmul(t, np.ones((3, 2)))),
        ("add", lambda t: np.add(t, 1)),
        ("maximum", lambda t: np.maximum(0.0, t)),
        ("power", lambda t: np.power(t, 2)),
        ("add", lambda t: np.add.outer(np.ones(3), t)),
    ],
)
def test_functions_of_numpy_on_a_symbolic_tensor(name, call):
    with pytest.raises(TypeError, match=rf"np\.{name} computes with values.* use keras.ops.* Received: <Tensor"):
        call(mc.Input((3,)))


def test_numpy_numbers_on_the_left_of_a_tensor(rng):
    two, row = np.float64(2), np.array([1.0, 2.0, 4.0])
    x = rng.normal(size=(5, 3)).astype(np.float32) + 3
    t = mc.Input((3,))
    outputs = [
        two + t,
        two - t,
        two * t,
        two / t,
        row + t,
        row - t,
        row * t,
        row / t,
        two > t,
        two >= t,
        two < t,
        two <= t,
    ]
    got = mc.Model(t, outputs).predict(x, verbose=0)
    expected = [
        two + x,
        two - x,
        two * x,
        two / x,
        row + x,
        row - x,
        row * x,
        row / x,
        two > x,
        two >= x,
        two < x,
        two <= x,
    ]
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_layers_of_a_sequential_stand_in_a_list():
    for arguments in ([layers.Dense(2)], [layers.Dense(2), layers.Dense(3)], [net()], [mc.Input((3,))], ["dense"]):
        with pytest.raises(TypeError, match=r"Sequential takes a list of layers: Sequential\(\[…\]\)"):
            mc.Sequential(*arguments)


# ------------------------------------------------------------------------------- what had no effect, or raised


@pytest.mark.parametrize("value", [np.zeros((108, 3)), np.zeros((108, 3)).tolist(), 0.0])
def test_an_array_does_not_take_the_place_of_a_weight(value):
    """It was computed with as before, in silence."""
    model = net()
    dense, before = model.layers[-1], model.predict(X, verbose=0)
    with pytest.raises(TypeError, match=r"'kernel' is a weight of layer '.*set_weights\(\[…\]\)\. Received: \w+$"):
        dense.kernel = value
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    dense.kernel.assign(np.zeros((108, 3)))
    np.testing.assert_allclose(model.predict(X, verbose=0), 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "y_true, y_pred, expected", [([0, 1], [-2.0, 5.0], 1.0), ([0, 1, 0, 1], [0.2, 5.0, 3.0, -1.0], 0.375)]
)
def test_the_area_of_logits(y_true, y_pred, expected):
    """0 was returned for the first; the numbers are those of Keras 3.15."""
    metric = metrics.AUC()
    with pytest.warns(UserWarning, match=r"takes probabilities from 0 to 1, .*AUC\(from_logits=True\)"):
        metric.update_state(y_true, y_pred)
    assert metric.result() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "loss, activation, y",
    [
        (losses.BinaryFocalCrossentropy(from_logits=True), "sigmoid", (Y > 0) * 1.0),
        (losses.CategoricalFocalCrossentropy(from_logits=True), "softmax", np.eye(3)[Y]),
    ],
)
def test_focal_losses_that_squash_twice_are_advised_about(loss, activation, y):
    units = 1 if y.ndim == 1 else 3
    model = mc.Sequential([mc.Input((6, 6, 3)), layers.Flatten(), layers.Dense(units, activation=activation)])
    with pytest.warns(UserWarning, match=f"ends in a {activation}. As in Keras, {type(loss).__name__} then takes"):
        model.compile("sgd", loss)
    got = model.evaluate(X, y, verbose=0)
    assert got == pytest.approx(float(loss(y.reshape(4, -1), model.predict(X, verbose=0))), rel=1e-5)


@pytest.mark.parametrize("metric", [metrics.AUC(), metrics.Precision(), metrics.TruePositives()])
def test_class_numbers_where_a_metric_takes_columns(metric):
    model = net()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
    with pytest.raises(ValueError, match=r"output's shape \(4, 3\); .*to_categorical\(y, 3\)\. Received: \(4,\)"):
        model.fit(X, Y, verbose=0)


def test_metrics_that_take_other_numbers():
    with pytest.raises(ValueError, match=r"class numbers themselves; .*SparseCategoricalAccuracy\(\) is meant"):
        metrics.Accuracy().update_state(Y, np.eye(3)[Y])
    with pytest.raises(ValueError, match=r"class numbers must be whole. Received: 0.5 at position 1"):
        metrics.SparseTopKCategoricalAccuracy().update_state([0, 0.5], [[0.2, 0.8], [0.7, 0.3]])


def test_metrics_of_other_libraries_may_put_values_into_sets():
    """As scikit-learn's do with class numbers."""
    model = net()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[lambda t, p: len(set(t.reshape(-1))) * 1.0])
    assert model.evaluate(X, Y, verbose=0)[1] == 3
    batch = next(iter(data.Dataset.from_tensor_slices(np.arange(3)).batch(3)))
    assert set(batch) == {0, 1, 2}
    with pytest.raises(TypeError, match="unhashable type"):
        hash(batch)


@pytest.mark.parametrize("pair", [(X, Y), [X, Y]])
def test_samples_and_targets_in_one_argument(pair):
    with pytest.raises(mc.errors.DataError, match=r"samples and targets are two arguments: \(x, y\), not \(\(x, y\)\)"):
        net().fit(pair, verbose=0)


def test_batches_of_batches():
    with pytest.raises(ShapeError, match=r"batches of batches: \.batch\(…\) stands in a Dataset once"):
        net().fit(data.Dataset.from_tensor_slices((X, Y)).batch(2).batch(2), verbose=0)


def test_names_of_classes_as_columns():
    with pytest.raises(ValueError, match=r"numpy\.unique\(y, return_inverse=True\)\. Received: dtype <U3"):
        mc.utils.to_categorical(["cat", "dog"])


# ------------------------------------------------------------------------------------- what is not there, or not so


@pytest.mark.parametrize("room", [mc, keras])
@pytest.mark.parametrize(
    ("shape", "layer", "advice"),
    [
        ((None, 8, 8, 1), "Conv2D", "is left out of a shape: Input((8, 8, 1))"),
        ((None, 8, 3), "Conv1D", "is left out of a shape: Input((8, 3))"),
        ((8, 8), "Conv2D", "Of pictures of one channel it is Input((8, 8, 1)), and the data are x[..., None]"),
        ((None, None), "Conv2D", "it is Input((None, None, 1))"),
        ((8, 8, 3, 1), "Conv2D", "The last axis is one too many: Input((8, 8, 3))"),
    ],
)
def test_shapes_with_an_axis_too_many_or_too_few(room, shape, layer, advice):
    with pytest.raises(ShapeError, match=re.escape(advice)):
        room.Sequential([room.layers.Input(shape), getattr(room.layers, layer)(2, 3)])


@pytest.mark.parametrize("text", ["{}", '{"config": {}}', '{"class_name": 3, "config": {}}'])
def test_texts_that_describe_no_model(text):
    with pytest.raises(
        mc.errors.FileFormatError, match=r"a model's text has a 'class_name' and a 'config'. Received: "
    ):
        mc.models.model_from_json(text)


@pytest.mark.parametrize(
    "name",
    [
        *("SparseCategoricalAccuracy", "CategoricalAccuracy"),
        *("SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"),
    ],
)
def test_class_numbers_are_no_scores(name):
    with pytest.raises(ValueError, match=r"takes scores, .*of class numbers Accuracy\(\) says.*shape \(3,\)"):
        getattr(metrics, name)().update_state(np.array([0, 1, 2]), np.array([0, 1, 2]))


@pytest.mark.parametrize("room", [layers, keras.layers])
@pytest.mark.parametrize(
    ("name", "arguments", "weight"),
    [
        ("Dense", (3,), "kernel"),
        ("Conv2D", (3, 3), "kernel"),
        ("BatchNormalization", (), "gamma"),
        ("BatchNormalization", (), "moving_mean"),
        ("Embedding", (3, 2), "embeddings"),
        ("DepthwiseConv2D", (3,), "kernel"),
        ("SeparableConv2D", (3, 3), "pointwise_kernel"),
    ],
)
def test_weights_before_the_layer_is_built(room, name, arguments, weight):
    layer = getattr(room, name)(*arguments)
    assert not hasattr(layer, weight)
    with pytest.raises(AttributeError, match=rf"has no {weight} yet: weights exist once .*build\(\(None, …\)\)"):
        getattr(layer, weight)
    with pytest.raises(AttributeError, match="object has no attribute 'kernl'"):
        layer.kernl  # noqa: B018


@pytest.mark.parametrize("part", [layers.Flatten, layers.ReLU, mc.Sequential, lambda: layers.Embedding(3, 2)])
def test_no_weights_are_promised_of_what_will_have_none(part):
    with pytest.raises(AttributeError, match=r"object has no attribute 'kernel'$"):
        part().kernel  # noqa: B018


LOSSES = {
    "argmax": (lambda t, p: (p.argmax(axis=-1) - t) ** 2, TypeError, "does not depend on y_pred"),
    "numpy": (lambda t, p: p.numpy().mean(axis=-1), TypeError, "does not depend on y_pred"),
    "cumsum": (lambda t, p: p.cumsum(axis=-1).mean(axis=-1), TypeError, "np.cumsum cannot be differentiated here"),
    "nonzero": (lambda t, p: p.nonzero(), TypeError, "np.nonzero cannot be differentiated here"),
    **{
        name: (lambda t, p, n=name: getattr(p, n)(), AttributeError, rf"no attribute '{name}': .*takes operators and N")
        for name in ("item", "tolist", "fill", "sort", "detach", "backward", "eval")
    },
}


@pytest.mark.parametrize("room", [mc, keras])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_call_what_values_with_a_gradient_have_not(room, name):
    function, error, message = LOSSES[name]
    model = room.Sequential([room.layers.Input((3,)), room.layers.Dense(3)])
    model.compile("sgd", function)
    with pytest.raises(error, match=message):
        model.fit(np.ones((4, 3)), np.full(4, 7.0), verbose=0)


@pytest.mark.parametrize("name", ["std", "var", "clip", "prod", "squeeze", "ravel", "swapaxes", "trace", "max", "min"])
def test_methods_of_arrays_are_numpys_functions(name):
    """With the gradient of NumPy's function where that is differentiated; else with its refusal."""
    from minicnn.differentiation import Recorded, gradients

    values = np.float64([[1, 2.5], [4, -3]])
    arguments = {"clip": (0, 3), "swapaxes": (0, 1)}.get(name, ())
    found = []
    for call in (lambda x: getattr(x, name)(*arguments), lambda x: getattr(np, name)(x, *arguments)):
        x = Recorded(values)
        try:
            result = call(x)
            found.append((result.value, *gradients(result, np.ones(result.shape), [x])))
        except TypeError as error:
            found.append((str(error),))
    for method, function in zip(*found, strict=True):
        np.testing.assert_array_equal(method, function)


def test_data_in_a_file_that_was_closed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        rows = file.create_dataset("x", data=X)
        net().predict(rows)
    model = net()
    calls = [
        *(lambda x=x: model.fit(x, Y, verbose=0) for x in (file, rows, [rows])),
        *(lambda x=x: model.predict(x) for x in (file, rows)),
        *(lambda x=x: model.fit(X, x, verbose=0) for x in (file, rows)),
        lambda: model.fit(X, Y, sample_weight=rows, verbose=0),
        lambda: metrics.MeanSquaredError()(Y, rows),
        lambda: metrics.Precision()(rows, Y),
        lambda: model.evaluate(rows, Y, verbose=0),
        lambda: model(rows),
        lambda: data.Dataset.from_tensor_slices(rows),
    ]
    for call in calls:
        with pytest.raises(mc.errors.DataError, match=r"in an HDF5 file that was closed: .*Received: <Closed HDF5"):
            call()


# ---------------------------------------------------------------------------------------- names of another kind, others


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("mse", "adam"), "Unknown loss. 'adam' is an optimizer: "),  # the loss is looked at first
        (("mse", "mae"), "Unknown optimizer. 'mse' is a loss: compile(optimizer='adam', loss='mse'). Received: 'mse'"),
        (
            ("adam", ["accuracy"]),
            "'accuracy' is a metric: compile(optimizer, loss, metrics=['accuracy']), beside a loss",
        ),
        (("adam", "Precision"), "Unknown loss. 'Precision' is a metric: "),
        (("sgd", "Adam"), "Unknown loss. 'Adam' is an optimizer: compile(optimizer='Adam', loss="),
        (("sgd", "mse", ["f1"]), "Unknown metric. 'f1' is metrics.F1Score(), of one column per class"),
    ],
)
def test_a_name_of_another_kind(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        net().compile(*arguments)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("score", "model.evaluate"), ("predict_proba", "model.predict"), ("partial_fit", "model.train_on_batch")],
)
def test_names_of_estimators(name, instead):
    model = net()
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=rf"{name}': {instead}\(x.*CNNClassifier is an estimator"):
        getattr(model, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}'$"):
        getattr(layers.Dense(2), name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("enable_lora", "adapters .LoRA. are not there"),
        ("quantize", "stay floats"),
        ("add_loss", "kernel_regularizer="),
    ],
)
def test_methods_of_keras_that_are_not_there(name, said):
    with pytest.raises(AttributeError, match=f"'Dense' object has no attribute '{name}': .*{said}"):
        getattr(layers.Dense(2), name)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (net, "trainable_variables"),
        (net, "train_step"),
        (net, "predict_classes"),
        (lambda: layers.Dense(2), "add_metric"),
        (optimizers.Adam, "apply_gradients"),
        (optimizers.Adam, "minimize"),
    ],
)
def test_what_a_tape_and_older_scripts_need_is_in_the_room_for_keras(make, name):
    thing = make()
    assert not hasattr(thing, name)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': .*of minicnn.keras have it"):
        getattr(thing, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'minimise'$"):
        thing.minimise  # noqa: B018


@pytest.mark.parametrize("key", ["loss", 0])
def test_the_history_is_a_dict_of_what_fit_returns(key):
    history = net().fit(X, Y, verbose=0)
    with pytest.raises(TypeError, match=re.escape(f"in a dict of it: history.history[{key!r}]. Received")):
        history[key]
    assert list(history.history) == ["loss"]


@pytest.mark.parametrize("layer", ["Conv2D", "MaxPooling2D", "DepthwiseConv2D"])
def test_an_activation_in_the_place_of_strides(layer):
    arguments = (3, "relu") if layer != "Conv2D" else (4, 3, "relu")
    with pytest.raises(ValueError, match=r"an activation is given by name, activation='relu'\. Received: strides="):
        getattr(layers, layer)(*arguments)
    with pytest.raises(ValueError, match=r"pool_size=\(2, 2\)\. Received: pool_size='2'"):
        layers.MaxPooling2D("2")


@pytest.mark.parametrize(
    ("shape", "layer", "mended"),
    [
        ((40, 8, 8, 1), "Conv2D", (8, 8, 1)),
        ((40, 8, 8, 3), "MaxPooling2D", (8, 8, 3)),
        ((40, 28, 1), "Conv1D", (28, 1)),
    ],
)
def test_how_many_samples_there_are_is_no_part_of_an_input(shape, layer, mended):
    """The last axis was called one too many."""
    arguments = (2, 3) if layer.startswith("Conv") else (2,)
    with pytest.raises(ShapeError, match=re.escape(f"without how many there are: Input({mended})")):
        mc.Sequential([mc.Input(shape), getattr(layers, layer)(*arguments)])


def test_an_input_of_the_shape_of_all_data():
    model = mc.Sequential([mc.Input(X.shape), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ShapeError, match=r"; an Input takes the shape of one sample, x\.shape\[1:\]$"):
        model.fit(X, Y, verbose=0)
    with pytest.raises(ShapeError, match=r"put together: \.batch\(32\), or PyTorch's by DataLoader\(…, 32\)$"):
        net().predict(X[0])


@pytest.mark.parametrize(("filters", "padding"), [(3, "valid"), (1, "same")])
@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
def test_pictures_as_targets_of_an_output_of_another_size(filters, padding, loss):
    """A Flatten was said to be missing before a Dense that is not there."""
    model = mc.Sequential([mc.Input((6, 6, 3)), layers.Conv2D(filters, 3, padding=padding, activation="sigmoid")])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=r"padding='same', .* as many filters as they have channels, 3") as found:
        model.fit(X, X, verbose=0)
    assert "Flatten" not in str(found.value)


@pytest.mark.parametrize("units", [1, 3])
def test_numbers_that_are_written_as_text(units):
    """They were said to be names of classes, whose order is another one: "10" comes before "2"."""
    model = mc.Sequential([mc.Input((6, 6, 3)), layers.Flatten(), layers.Dense(units)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"text are read by numpy\.asarray\(x, dtype='float32'\)\. Received: dtype <U"):
        model.fit(X, ["10", "2", "-0.5", "1e3"], verbose=0)
    with pytest.raises(TypeError, match=r"numpy\.unique"):
        model.fit(X, ["10", "2", "3", "ten"], verbose=0)


def test_a_generator_that_was_read_already():
    batches = ((X, Y) for _ in range(2))
    net().fit(batches, verbose=0)
    none = data.Dataset.from_tensor_slices((X, Y)).batch(2).filter(lambda x, y: False)
    for empty in (batches, none):
        with pytest.raises(mc.errors.DataError, match=r"at least one; a generator .* so that each fit needs a new one"):
            net().fit(empty, verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_sequential_without_layers(method):
    model = mc.Sequential(name="empty")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"a Sequential needs layers: empty\.add\(layer\)\. Received: no layers"):
        getattr(model, method)(X, *([] if method == "predict" else [Y]), verbose=0)


def swapped(y_pred, y_true):
    return (y_pred - y_true) ** 2


def test_arguments_of_losses_and_metrics_in_the_other_order():
    """They get the targets first, whatever they call them, as in Keras; that was never said."""
    with pytest.warns(UserWarning, match=r"in this order: write swapped\(y_true, y_pred\)\. .*whose y_pred are"):
        losses.get(swapped)
    with pytest.warns(UserWarning, match="a function as a metric is called with"):
        metrics.MeanMetricWrapper(swapped)


@pytest.mark.parametrize("function", [lambda y_true, y_pred: 0.0, lambda target, prediction: 0.0, lambda a, b: 0.0])
def test_arguments_in_their_order_are_no_reason_to_warn(function, recwarn):
    losses.get(function)
    metrics.MeanMetricWrapper(function)
    assert not recwarn.list


# ------------------------------------------------------------------------------------------------- parts of PyTorch


def of_torch(name, module="torch.nn.modules"):
    """A class of PyTorch's name, which is all that is looked at."""
    return type(name, (), {"__module__": module, "__call__": lambda self, *values: 0.0})


def cross_entropy(input, target):
    """A function of PyTorch's name and arguments."""


cross_entropy.__module__ = "torch.nn.functional"


class Own(of_torch("Module")):
    """A user's module."""


PARTS = {
    "loss": (
        lambda: losses.get(of_torch("CrossEntropyLoss")()),
        "SparseCategoricalCrossentropy(from_logits=True) here",
    ),
    "function": (lambda: losses.get(cross_entropy), "cross_entropy is SparseCategoricalCrossentropy(from_logits=True)"),
    "a loss of one's own": (lambda: losses.get(Own()), "; parts of PyTorch are not taken"),
    "a layer of one's own": (lambda: mc.Sequential([Own()]), "; parts of PyTorch are not taken"),
    "layer": (lambda: mc.Sequential([of_torch("Linear")()]), "Dense(10); PyTorch's Linear is Dense here"),
    "optimizer": (
        lambda: mc.optimizers.get(of_torch("Adam", "torch.optim.adam")()),
        "; parts of PyTorch are not taken",
    ),
    "activation": (lambda: layers.Dense(2, of_torch("ReLU")()), "; parts of PyTorch are not taken"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_parts_of_pytorch(kind):
    """A loss was called, and said that arrays are no tensors."""
    make, sentence = PARTS[kind]
    with pytest.raises(TypeError, match=re.escape(sentence) + r".*, see docs/pytorch\.md\. Received: "):
        make()


def test_numbers_of_inputs_and_classes_of_layers():
    with pytest.raises(TypeError, match=r"sees the number of its inputs: Dense\(10\)\. Received: 10"):
        layers.Dense(64, 10)
    with pytest.raises(TypeError, match=r"a class is called first: Flatten\(…\)\. Received: <class"):
        mc.Sequential([mc.Input((3,)), layers.Flatten])


def test_a_list_of_arrays_is_several_inputs():
    of_each = r"of a list of arrays each is for an input of its own$"
    with pytest.raises(ShapeError, match=of_each):
        net().fit([X, X], Y, verbose=0)
    two = [mc.Input(X.shape[1:]), mc.Input(X.shape[1:])]
    model = mc.Model(two, layers.Dense(1)(layers.Flatten()(layers.Add()(two))))
    with pytest.raises(ShapeError, match=of_each):  # where it is not to say that there is one input
        model.predict([X[None], X], verbose=0)


def test_no_sample_in_a_list():
    with pytest.raises(ShapeError, match=r"Received: shape \(0,\); there is no sample in it$"):
        net().fit([], [], verbose=0)


def test_a_dict_with_another_key_is_shown():
    inputs = mc.Input((4,), name="a")
    model = mc.Model({"a": inputs}, layers.Dense(1)(inputs))
    with pytest.raises(ValueError, match=r"\{'a': …\}\. Received: \{'b': …\}$"):
        model.predict({"b": np.ones((2, 4))}, verbose=0)
