"""Several inputs and outputs in any form, outputs without a loss, weights by output and by pixel, weighted metrics.

The numbers are what Keras 3.15.1 gives (TensorFlow backend) for the same weights and data: one epoch of SGD in batches
of four, unshuffled.
"""

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras
from minicnn.callbacks.monitor import _directions
from minicnn.layers import Conv2D, Dense, Input, Rescaling
from minicnn.nested import leaves

SPARSE = "sparse_categorical_crossentropy"
ONE_HOT = "categorical_crossentropy"
_rng = np.random.default_rng(0)
X = _rng.random((8, 6)).astype("float32")
_rng.random((8, 4))
LABELS, NUMBERS = np.arange(8) % 3, _rng.random((8, 1)).astype("float32")
COLUMNS = np.eye(3)[LABELS]
W = np.linspace(0.5, 2, 8)
BOTH = [SPARSE, "mse"]


def with_weights(model):
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    return model


def one_output():
    i = Input((6,))
    return with_weights(mc.Model(i, Dense(3, activation="softmax", name="a")(i)))


def two_outputs(form=lambda a, b: [a, b], inputs=lambda i: i):
    """A network with the outputs a (N, 3) and b (N, 1)."""
    i = Input((6,), name="i")
    h = Dense(5, activation="relu", name="h")(i)
    a, b = Dense(3, activation="softmax", name="a")(h), Dense(1, name="b")(h)
    return with_weights(mc.Model(inputs=inputs(i), outputs=form(a, b)))


def by_key(a, b):
    return {"x": a, "y": b}


def against_order(a, b):  # of the keys, in which Keras computes
    return {"z": a, "c": b}


def nested(a, b):
    return {"p": [a, b]}


def trained(model, y, loss, sample_weight=None, class_weight=None, x=X, **compiled):
    """The history's values after an epoch, rounded as the numbers here."""
    model.compile("sgd", loss, backend="numpy", **compiled)
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    history = model.fit(x, y, sample_weight=sample_weight, class_weight=class_weight, **options)
    return {name: round(float(values[0]), 4) for name, values in history.history.items()}


def approx(expected):
    return pytest.approx(expected, abs=2e-4)


# --------------------------------------------------------------------------------------------------- losses, metrics


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {}),
        ({"metrics": [["accuracy"], ["mae"]]}, {"a_accuracy": 0.375, "b_mae": 1.4627}),
        ({"metrics": ["accuracy", ["mae"]]}, {"a_accuracy": 0.375, "b_mae": 1.4627}),
        ({"metrics": ["accuracy", "mae"]}, {"a_accuracy": 0.375, "b_mae": 1.4627}),
        ({"metrics": [["accuracy"], None]}, {"a_accuracy": 0.375}),
        ({"metrics": {"a": "accuracy", "b": ["mae", "mse"]}}, {"a_accuracy": 0.375, "b_mae": 1.4627, "b_mse": 2.4859}),
        ({"metrics": {"b": ["mae"]}}, {"b_mae": 1.4627}),
    ],
)
def test_metrics_of_several_outputs(arguments, expected):
    logs = trained(two_outputs(), [LABELS, NUMBERS], BOTH, **arguments)
    assert logs == approx({"loss": 4.8279, "a_loss": 2.3419, "b_loss": 2.4859} | expected)


@pytest.mark.parametrize("metrics", [["mae"], ["mae", "mse", "accuracy"], {"q": ["mae"]}])
def test_metrics_that_do_not_fit_the_outputs(metrics):
    with pytest.raises(ValueError, match=r"metrics as a (list|dict).*\['a', 'b'\].*Received"):
        two_outputs().compile("sgd", "mse", metrics=metrics)


@pytest.mark.parametrize("metrics", [["accuracy"], [["accuracy"]], {"a": "accuracy"}, {"a": ["accuracy"]}])
def test_metrics_of_one_output(metrics):
    assert trained(one_output(), LABELS, SPARSE, metrics=metrics) == approx({"loss": 1.5515, "accuracy": 0.375})


@pytest.mark.parametrize("weights", [[0.5, 2.0], {"a": 0.5, "b": 2.0}])
def test_loss_weights(weights):
    logs = trained(two_outputs(), [LABELS, NUMBERS], {"a": SPARSE, "b": "mse"}, loss_weights=weights)
    assert logs == approx({"loss": 5.2349, "a_loss": 2.3259, "b_loss": 2.036})


@pytest.mark.parametrize("loss", [[SPARSE, None], {"a": SPARSE, "b": None}, {"a": SPARSE}])
@pytest.mark.parametrize(
    "y", [[LABELS, NUMBERS], [LABELS], LABELS, [LABELS, None], {"a": LABELS, "b": NUMBERS}, {"a": LABELS}], ids=str
)
def test_an_output_without_a_loss(loss, y):
    model = two_outputs()
    before = model.get_layer("b").get_weights()
    assert trained(model, y, loss) == approx({"loss": 2.3701})
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_layer("b").get_weights(), strict=True))
    assert model.loss[1] is None


def test_an_output_without_a_loss_has_metrics():
    logs = trained(two_outputs(), [LABELS, NUMBERS], [SPARSE, None], metrics=[["accuracy"], ["mae"]])
    assert logs == approx({"loss": 2.3701, "a_accuracy": 0.375, "b_mae": 1.6458})
    with pytest.raises(ValueError, match=r"a target for each output with a loss or metrics; 'b' has none"):
        trained(two_outputs(), [LABELS], [SPARSE, None], metrics=[["accuracy"], ["mae"]])


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_of_an_output_without_a_loss_harms_nobody():
    model = two_outputs()
    model.get_layer("b").set_weights([np.full((5, 1), np.inf), np.zeros(1)])
    assert trained(model, [LABELS], [SPARSE, None]) == approx({"loss": 2.3701})
    assert np.isfinite(model.get_layer("h").get_weights()[0]).all()


@pytest.mark.parametrize("metrics", [None, ["sparse_categorical_accuracy"]])
def test_compiled_without_a_loss(metrics):
    model = one_output()
    model.compile("adam", metrics=metrics, backend="numpy")
    assert model.loss is None
    assert model.predict(X).shape == (8, 3)
    for train in (lambda: model.fit(X, LABELS, verbose=0), lambda: model.train_on_batch(X, LABELS)):
        with pytest.raises(ValueError, match="no loss to compute: give compile a loss"):
            train()
    if metrics is None:
        with pytest.raises(ValueError, match="no loss to compute"):
            model.evaluate(X, LABELS, verbose=0)
    else:
        assert model.evaluate(X, LABELS, verbose=0) == [0, 0.375]


def test_a_penalty_alone_is_trained():
    i = Input((6,))
    model = with_weights(mc.Model(i, Dense(3, kernel_regularizer="l2")(i)))
    model.compile("sgd", backend="numpy")
    penalty = 0.01 * float((model.get_weights()[0].astype(float) ** 2).sum())
    assert model.fit(X, verbose=0).history["loss"][0] == pytest.approx(penalty, rel=1e-5)  # one batch
    assert model.evaluate(X, verbose=0) < penalty


# ------------------------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("form", "names", "measured"),
    [(by_key, ["x", "y"], ["x", "y"]), (nested, ["p/a", "p/b"], ["a", "b"]), (lambda a, b: (a, b), "ab", "ab")],
)
def test_outputs_in_other_forms(form, names, measured):
    y, loss = form(LABELS, NUMBERS), form(*BOTH)
    expected = {"loss": 4.8279, f"{names[0]}_loss": 2.3419, f"{names[1]}_loss": 2.4859}
    assert trained(two_outputs(form), y, loss) == approx(expected)
    assert trained(two_outputs(form), y, BOTH) == approx(expected)
    assert trained(two_outputs(form), [LABELS, NUMBERS], loss) == approx(expected)
    for metrics in (form(["accuracy"], ["mae"]), form("accuracy", "mae")):
        logs = trained(two_outputs(form), y, loss, metrics=metrics)
        assert logs == approx(expected | {f"{measured[0]}_accuracy": 0.375, f"{measured[1]}_mae": 1.4627})
    model = two_outputs(form)
    assert type(model.predict(X)) is type(form(1, 2))
    for outputs in (model.predict(X), model.predict_on_batch(X), model(X), model.output):
        assert [leaf.shape[1:] for leaf in leaves(outputs)] == [(3,), (1,)]


def test_outputs_against_the_order_of_their_keys():
    y, loss = against_order(LABELS, NUMBERS), against_order(*BOTH)
    logs = trained(two_outputs(against_order), y, loss, metrics=against_order(["accuracy"], ["mae"]))
    assert logs == approx({"loss": 2.1457, "c_loss": 1.0362, "z_loss": 1.1095, "c_mae": 0.7434, "z_accuracy": 0.375})
    outputs = two_outputs(against_order).predict(X)
    assert {key: array.shape for key, array in outputs.items()} == {"z": (8, 3), "c": (8, 1)}


@pytest.mark.parametrize("loss", [{"x": SPARSE}, {"x": SPARSE, "y": None}])
@pytest.mark.parametrize("y", [{"x": LABELS}, {"x": LABELS, "y": NUMBERS}], ids=str)
def test_an_output_in_a_dict_without_a_loss(loss, y):
    assert trained(two_outputs(by_key), y, loss) == approx({"loss": 2.3701})


@pytest.mark.parametrize(
    ("inputs", "xs"),
    [
        (lambda i: {"i": i}, [{"i": X}, X, [X]]),
        (lambda i: {"other": i}, [{"other": X}, X, {"other": X, "unused": X}]),
        (lambda i: [i], [[X], X, {"i": X}]),
        (lambda i: [[i]], [[X], X, [[X]]]),
    ],
)
def test_inputs_in_other_forms(inputs, xs):
    for x in xs:
        logs = trained(two_outputs(inputs=inputs), [LABELS, NUMBERS], BOTH, x=x)
        assert logs == approx({"loss": 4.8279, "a_loss": 2.3419, "b_loss": 2.4859})


def test_dicts_are_taken_everywhere():
    model = two_outputs(by_key, lambda i: {"in": i})
    plain = two_outputs()
    x, y, w = {"in": X}, by_key(LABELS, NUMBERS), by_key(W, W**2)
    model.compile("sgd", by_key(*BOTH), metrics=by_key("accuracy", "mae"), backend="numpy")
    plain.compile("sgd", BOTH, metrics=["accuracy", "mae"], backend="numpy")
    theirs = X, [LABELS, NUMBERS], [W, W**2]

    def generator(*item):
        yield item

    pairs = [
        (
            model.evaluate(x, y, sample_weight=w, verbose=0),
            plain.evaluate(*theirs[:2], sample_weight=theirs[2], verbose=0),
        ),
        (model.evaluate(generator(x, y, w), verbose=0), plain.evaluate(generator(*theirs), verbose=0)),
        (model.test_on_batch(x, y), plain.test_on_batch(*theirs[:2])),
        (model.train_on_batch(x, y, w), plain.train_on_batch(*theirs)),
        (
            list(model.fit(generator(x, y, w), validation_data=(x, y, w), verbose=0).history.values()),
            list(plain.fit(generator(*theirs), validation_data=theirs, verbose=0).history.values()),
        ),
        (list(model.predict(generator(x)).values()), plain.predict(generator(X))),
        (list(model.gradients(x, y, w).values()), list(plain.gradients(*theirs).values())),
    ]
    for ours, expected in pairs:
        assert len(ours) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(ours, expected, strict=True))


def test_a_model_with_dicts_as_a_layer():
    inner = two_outputs(by_key, lambda i: {"in": i})
    i = Input((6,))
    outer = mc.Model(i, inner({"in": Rescaling(1.0)(i)})["y"])
    assert np.array_equal(outer.predict(X), inner.predict({"in": X})["y"])


def test_a_model_on_the_inputs_of_another():
    p, q = Input((6,), name="p"), Input((6,), name="q")
    base = mc.Model([p, q], Dense(2)(mc.layers.Add()([p, q])))
    again = mc.Model([base.inputs], base.outputs)
    for x in ([X, X], [[X, X]]):
        assert np.array_equal(again.predict(x), base.predict([X, X]))


@pytest.mark.parametrize("form", [by_key, against_order, nested])
@pytest.mark.parametrize("suffix", ["safetensors", "keras", "h5"])
def test_forms_and_losses_are_saved(form, suffix, tmp_path):
    if suffix != "safetensors":
        pytest.importorskip("h5py")
    model = two_outputs(form, lambda i: {"in": i})
    compiled = {"metrics": form("accuracy", "mae"), "weighted_metrics": form(None, ["mse"])}
    trained(model, form(LABELS, NUMBERS), form(SPARSE, None), x={"in": X}, **compiled)
    model.save(tmp_path / f"m.{suffix}")
    again = mc.load_model(tmp_path / f"m.{suffix}")
    arguments = {"in": X}, form(LABELS, NUMBERS), 8, 0, form(W, W**2)
    assert again.evaluate(*arguments) == pytest.approx(model.evaluate(*arguments), rel=1e-5)
    assert list(again.evaluate(*arguments, return_dict=True)) == list(model.evaluate(*arguments, return_dict=True))
    assert list(again.predict({"in": X})) == list(model.predict({"in": X}))


def test_wrong_forms():
    model = two_outputs(by_key, lambda i: {"in": i})
    model.compile("sgd", "mse", backend="numpy")
    with pytest.raises(ValueError, match=r"named \['in'\]|form of the model's: \{'in': …\}"):
        model.predict({"i": X})
    with pytest.raises(
        ValueError, match=r"y needs the form of the model's: \{'x': …, 'y': …\}. Received: \{'x': …, 'q': …\}"
    ):
        model.fit({"in": X}, {"x": COLUMNS, "q": NUMBERS}, verbose=0)
    with pytest.raises(ValueError, match=r"'y' has none"):
        model.fit({"in": X}, {"x": COLUMNS}, verbose=0)
    with pytest.raises(TypeError, match="outputs holds tensors"):
        mc.Model(Input((3,)), {"x": 3})


# ----------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("weights", [[W, W**2], {"a": W, "b": W**2}, (W.astype("float32"), (W**2)[:, None])])
def test_weights_of_each_output(weights):
    logs = trained(two_outputs(), [LABELS, NUMBERS], BOTH, weights)
    assert logs == approx({"loss": 7.9767, "a_loss": 2.9822, "b_loss": 4.9945})


@pytest.mark.parametrize("weights", [[W, None], {"a": W}])
def test_weights_of_one_of_two_outputs(weights):
    logs = trained(two_outputs(), [LABELS, NUMBERS], BOTH, weights)
    assert logs == approx({"loss": 5.4531, "a_loss": 2.9663, "b_loss": 2.4868})


def test_one_weight_for_all_outputs():
    logs = trained(two_outputs(), [LABELS, NUMBERS], BOTH, W)
    assert logs == approx({"loss": 6.2294, "a_loss": 2.9761, "b_loss": 3.2534})


_pixels = np.random.default_rng(5)
MAPS, PIXEL_WEIGHTS = _pixels.integers(0, 3, (8, 4, 4)), _pixels.random((8, 4, 4))
IMAGES = np.random.default_rng(3).random((8, 4, 4, 2)).astype("float32")


def segmenting(classes, activation):
    i = Input((4, 4, 2))
    return with_weights(mc.Model(i, Conv2D(classes, 1, activation=activation, name="a")(i)))


@pytest.mark.parametrize(
    ("classes", "activation", "loss", "y", "expected"),
    [
        (3, "softmax", SPARSE, MAPS, 0.859),
        (3, "softmax", SPARSE, MAPS[..., None], 0.859),
        (3, "softmax", ONE_HOT, np.eye(3)[MAPS], 0.859),
        (3, "softmax", "mse", np.eye(3)[MAPS], 0.1531),
        (1, "sigmoid", "binary_crossentropy", (MAPS > 0)[..., None], 0.3542),
        (1, "sigmoid", "mae", (MAPS > 0)[..., None], 0.2269),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_weights_of_pixels(classes, activation, loss, y, expected, backend):
    for weights in (PIXEL_WEIGHTS, PIXEL_WEIGHTS[..., None], np.asfortranarray(PIXEL_WEIGHTS)[::-1][::-1]):
        model = segmenting(classes, activation)
        model.compile("sgd", loss, backend=backend)
        options = {"batch_size": 4, "shuffle": False, "verbose": 0}
        history = model.fit(IMAGES, y, sample_weight=weights, **options).history
        assert history["loss"][0] == pytest.approx(expected, abs=2e-4)


def test_weights_of_pixels_in_the_gradient():
    """Weight 0 takes a pixel out: its target does not matter; and the gradient is linear in the weights."""
    model = segmenting(3, "softmax")
    model.compile("sgd", SPARSE, backend="numpy")
    kept = (PIXEL_WEIGHTS > 0.5).astype(float)
    others = np.where(kept > 0, MAPS, 2 - MAPS)
    first, same = model.gradients(IMAGES, MAPS, kept), model.gradients(IMAGES, others, kept)
    rest, all_of_it = model.gradients(IMAGES, MAPS, 1 - kept), model.gradients(IMAGES, MAPS)
    for name, gradient in first.items():
        assert np.array_equal(gradient, same[name])
        assert np.allclose(gradient + rest[name], all_of_it[name], rtol=1e-5, atol=1e-7)


def test_weights_of_a_wrong_shape():
    model = segmenting(3, "softmax")
    model.compile("sgd", SPARSE, backend="numpy")
    with pytest.raises(ValueError, match=r"of shape \(8,\) or \(8, 4, 4\).*Received: shape \(8, 4, 4, 3\)"):
        model.fit(IMAGES, MAPS, sample_weight=np.ones((8, 4, 4, 3)), verbose=0)
    with pytest.raises(ValueError, match="not finite"):
        model.fit(IMAGES, MAPS, sample_weight=np.full((8, 4, 4), np.nan), verbose=0)


# -------------------------------------------------------------------------------------------------- weighted metrics


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"metrics": ["accuracy"]}, {"accuracy": 0.375, "weighted_accuracy": 0.4071}),
        ({}, {"accuracy": 0.4071}),
    ],
)
def test_weighted_metrics(arguments, expected):
    logs = trained(one_output(), LABELS, SPARSE, W, weighted_metrics=["accuracy"], **arguments)
    assert logs == approx({"loss": 2.0354} | expected)


def test_a_weighted_metric_beside_the_same_one_of_an_output():
    """Keras 3.15.1 calls it b_weighted_mse, not weighted_b_mse."""
    model = two_outputs()
    lists = {"metrics": [["accuracy"], ["mse"]], "weighted_metrics": [[], ["mse"]]}
    logs = trained(model, [LABELS, NUMBERS], BOTH, [W, W], **lists)
    assert set(logs) == {"loss", "a_loss", "b_loss", "a_accuracy", "b_mse", "b_weighted_mse"}
    assert set(_directions(model)) == set(logs)


def test_weighted_metrics_of_other_weights():
    names = {"weighted_metrics": ["accuracy"]}
    classes = {0: 1, 1: 2, 2: 5}
    assert trained(one_output(), LABELS, SPARSE, **names)["accuracy"] == approx(0.375)
    assert trained(one_output(), LABELS, SPARSE, class_weight=classes, **names)["accuracy"] == approx(0.3158)
    assert trained(one_output(), COLUMNS, "mse", W, weighted_metrics=["mae"]) == approx({"loss": 0.3375, "mae": 0.4498})
    several = {"weighted_metrics": [["accuracy"], ["mae"]]}
    logs = trained(two_outputs(), [LABELS, NUMBERS], BOTH, [W, W**2], **several)
    assert logs["a_accuracy"] == approx(0.3429)
    assert logs["b_mae"] == approx(1.5898)
    model = segmenting(3, "softmax")
    logs = trained(model, MAPS, SPARSE, PIXEL_WEIGHTS, x=IMAGES, weighted_metrics=["accuracy"])
    assert logs == approx({"loss": 0.859, "accuracy": 0.2484})


def test_weighted_metrics_go_on_in_the_middle_of_an_epoch(tmp_path):
    class Killed(mc.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0 and self.model.optimizer.iterations == 4:
                raise KeyboardInterrupt

    def history(*others, folder):
        model = one_output()
        model.seed = 3
        model.compile("sgd", SPARSE, weighted_metrics=["accuracy"], backend="numpy")
        backup = mc.callbacks.BackupAndRestore(tmp_path / folder, save_freq=1)
        options = {"epochs": 3, "batch_size": 3, "sample_weight": W, "verbose": 0}
        return model.fit(X, LABELS, callbacks=[backup, *others], **options).history

    with pytest.raises(KeyboardInterrupt):
        history(Killed(), folder="killed")
    assert history(folder="killed") == history(folder="whole")


# --------------------------------------------------------------------------------------------------------- optimizer


def test_an_optimizer_compiled_into_two_models_serves_the_first_that_trains():
    optimizer = mc.optimizers.Adam(0.01)
    first, second = one_output(), one_output()
    for model in (first, second):
        model.compile(optimizer, SPARSE, backend="numpy")
    second.evaluate(X, LABELS, verbose=0)
    first.fit(X, LABELS, epochs=3, verbose=0)
    before = second.get_weights()
    for train in (
        lambda: second.fit(X, LABELS, verbose=0),
        lambda: second.train_on_batch(X, LABELS),
        lambda: mc.warmup(second),
    ):
        with pytest.raises(
            ValueError, match=rf"trains '{first.name}'.*optimizer='adam'.*Adam.from_config\(optimizer.get"
        ):
            train()
    assert optimizer.iterations == 3
    assert all(np.array_equal(a, b) for a, b in zip(before, second.get_weights(), strict=True))
    second.evaluate(X, LABELS, verbose=0)  # uses no optimizer
    first.fit(X, LABELS, verbose=0)
    assert optimizer.iterations == 4
    second.compile(
        type(optimizer).from_config(optimizer.get_config()), SPARSE, backend="numpy"
    )  # what the message says
    second.fit(X, LABELS, verbose=0)
    assert second.optimizer.iterations == 1


def test_a_rehearsal_takes_no_optimizer():
    optimizer = mc.optimizers.Adam(0.01)
    first, second = one_output(), one_output()
    for model in (first, second):
        model.compile(optimizer, SPARSE, backend="numpy")
    mc.warmup(first, 2)
    second.fit(X, LABELS, verbose=0)


def test_a_class_with_a_call_is_compiled_by_names_before_it_has_outputs():
    """Values of Keras 3.15.1 on TensorFlow."""

    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = keras.layers.Dense(1, kernel_initializer="ones")
            self.b = keras.layers.Dense(1, kernel_initializer="ones", activation="sigmoid")

        def call(self, x):
            return {"size": self.a(x), "class": self.b(x)}

    x = np.arange(12, dtype=np.float32).reshape(4, 3) / 12
    y = {"size": x[:, :1], "class": np.array([[0.0], [1], [1], [0]], np.float32)}
    loss, factors = {"class": "binary_crossentropy", "size": "mse"}, {"size": 2.0, "class": 0.5}
    model = Two()
    model.compile(keras.optimizers.SGD(0.1), loss, metrics={"class": ["accuracy"], "size": "mae"}, loss_weights=factors)
    model.fit(x, y, epochs=2, batch_size=2, shuffle=False, verbose=0)
    expected = {"class_accuracy": 0.5, "class_loss": 0.94069, "loss": 0.61707, "size_loss": 0.07336}
    assert model.evaluate(x, y, return_dict=True, verbose=0) == approx(expected | {"size_mae": 0.22481})
    for wrong in (loss | {"height": "mse"}, {"class": "mse", "height": "mse"}):
        model = Two()
        model.compile("sgd", wrong)
        with pytest.raises(ValueError, match=r"loss needs the form of the model's.*height"):
            model.fit(x, y, verbose=0)


@pytest.mark.parametrize("library", [mc, keras])
def test_a_stack_is_compiled_by_the_name_of_its_last_layer(library):
    def compiled(loss, metrics):
        model = library.Sequential([library.layers.Dense(1, kernel_initializer="ones", name="height")])
        model.compile("sgd", loss, metrics=metrics)
        return model

    x, y = np.ones((4, 3), np.float32), np.ones((4, 1), np.float32)
    assert compiled({"height": "mse"}, {"height": ["mae"]}).evaluate(x, y, verbose=0) == pytest.approx([4, 2])
    for loss, metrics in (({"width": "mse"}, None), ("mse", {"width": ["mae"]})):
        with pytest.raises(ValueError, match=r"as a dict .*\['height'\].*width"):
            compiled(loss, metrics)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_penalties_on_weights_that_no_loss_reaches_count_once_in_each_iteration(backend):
    """w ← w − lr · 2 λ w, so that w is (1 − 2 lr λ)ⁿ after n iterations, as in Keras; gradients added up before."""
    start = mc.layers.Input((4,))
    tops = mc.layers.Dense(1), mc.layers.Dense(2, kernel_initializer="ones", kernel_regularizer=mc.regularizers.L2(0.5))
    model = mc.Model(start, [top(start) for top in tops])
    model.compile(mc.optimizers.SGD(0.1), loss=["mse", None], backend=backend)
    x = np.ones((6, 4), "float32")  # (6, 4)
    model.fit(x, [np.zeros((6, 1), "float32"), None], batch_size=2, epochs=2, verbose=0)
    np.testing.assert_allclose(tops[1].kernel.numpy(), np.full((4, 2), (1 - 2 * 0.1 * 0.5) ** 6), rtol=1e-6)
