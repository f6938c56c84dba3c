"""A model that is called on arrays of the same kind as before: faster, and with the same results."""

import gc
import warnings

import numpy as np
import pytest

pytest.importorskip("numba")

import minicnn as mc
from minicnn import backends, layers
from minicnn.training.last_call import LastCall


def network(activation="relu"):
    return mc.Sequential(
        [
            mc.Input(shape=(10, 10, 1)),
            layers.Conv2D(6, 3, activation=activation),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(300),  # enough for two threads
            layers.Dense(4, activation="softmax"),
        ]
    )


@pytest.fixture(autouse=True)
def _default_backend():
    backends.set_backend("numba")


@pytest.fixture
def answers(monkeypatch):
    """For each call that asked whether it is one like that before: whether it was."""
    found, asked = [], LastCall.outputs

    def outputs(self, *arguments):
        result = asked(self, *arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(LastCall, "outputs", outputs)
    return found


@pytest.fixture
def x(rng):
    return rng.random((3, 10, 10, 1), np.float32)


def as_anew(model, x):
    """What a model of these weights that was never called computes."""
    twin = network()
    twin.set_weights(model.get_weights())
    return twin.predict_on_batch(x)


CALLS = {
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "predict in one batch": lambda model, x: model.predict(x, batch_size=len(x), verbose=0),
    "call": lambda model, x: model(x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_second_call_goes_the_short_way(call, x, answers, rng):
    model = network()
    call(model, x)
    call(model, x[::-1])
    other = rng.random(x.shape, np.float32)
    kept = call(model, x)
    copy = kept.copy()
    np.testing.assert_array_equal(call(model, other), as_anew(model, other))
    np.testing.assert_array_equal(kept, copy)  # outputs are the user's own
    assert answers == [True] * 3


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_makes_no_difference(threads, x, answers):
    mc.set_num_threads(threads)
    model = network()
    first = model.predict_on_batch(x)
    np.testing.assert_array_equal(model.predict_on_batch(x), first)
    assert answers == [True]


def test_further_batches_go_the_short_way(rng, monkeypatch):
    found, asked = [], LastCall.again

    def arrays(self, *arguments):
        result = asked(self, *arguments)
        found.append(result is not None)
        return result

    class Halve(mc.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            if batch == 1:
                assign(self.model)

    model, x = network(), rng.random((10, 10, 10, 1), np.float32)
    twin = network()
    twin.set_weights(model.get_weights())
    batches = [twin.predict_on_batch(x[first : first + 3]) for first in (0, 3, 6, 9)]
    assign(twin)
    halved = np.concatenate([*batches[:2], twin.predict_on_batch(x[6:9])])
    monkeypatch.setattr(LastCall, "again", arrays)
    np.testing.assert_array_equal(model.predict(x, batch_size=3, verbose=0), np.concatenate(batches))
    assert found == [True, True, False]  # the last batch is short
    np.testing.assert_array_equal(model.predict(x[:9], batch_size=3, verbose=0), np.concatenate(batches[:3]))
    np.testing.assert_array_equal(model.predict(x[:9], batch_size=3, verbose=0, callbacks=[Halve()]), halved)
    assert found[3:] == [False, True, True, True, True, True]


def assign(model):
    for weight in model.weights:
        weight.assign(weight.numpy() * 0.5)


def change_in_place(model):
    for weight in model.weights:
        weight.value[...] *= 0.5


def replace(model):
    for weight in model.weights:
        weight.value = weight.value * np.float32(0.5)


def train(model):
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    model.fit(rng.random((8, 10, 10, 1)), np.arange(8) % 4, epochs=1, verbose=0)


@pytest.mark.parametrize("change", [assign, change_in_place, replace, train], ids=lambda change: change.__name__)
def test_what_happens_to_weights_in_between_counts(change, x):
    model = network()
    before = model.predict_on_batch(x), model.predict_on_batch(x)
    change(model)
    after = model.predict_on_batch(x), model.predict_on_batch(x)
    np.testing.assert_array_equal(after[0], as_anew(model, x))
    np.testing.assert_array_equal(*after)
    assert (before[0] != after[0]).any()


def test_another_backend_counts(x, answers):
    model = network()
    model.predict_on_batch(x), model.predict_on_batch(x)
    backends.set_backend("numpy")
    with_numpy = model.predict_on_batch(x)
    backends.set_backend("numba")
    np.testing.assert_allclose(model.predict_on_batch(x), with_numpy, rtol=1e-4, atol=1e-6)
    assert answers == [True]


def test_a_layer_more_counts(x):
    model = network()
    model.predict_on_batch(x), model.predict_on_batch(x)
    model.add(layers.Dense(2))
    assert model.predict_on_batch(x).shape == (3, 2)


def test_attributes_of_layers_count(x):
    model = network()
    model.predict_on_batch(x), model.predict_on_batch(x)
    model.layers[1].epsilon = 0.5
    twin = network()
    twin.set_weights(model.get_weights())
    twin.layers[1].epsilon = 0.5
    np.testing.assert_array_equal(model.predict_on_batch(x), twin.predict_on_batch(x))


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x[:2],
        lambda x: x[..., 0],
        lambda x: x.astype(np.float64),
        lambda x: (255 * x).astype(np.uint8),
        lambda x: np.asfortranarray(x),
        lambda x: x[:, ::-1, ::-1],
        lambda x: x.tolist(),
        lambda x: x.astype(">f4"),
    ],
    ids=["fewer", "without channels", "float64", "uint8", "Fortran", "reversed", "list", "big-endian"],
)
def test_any_array_has_its_own_answer(given, x):
    model = network()
    model.predict_on_batch(x), model.predict_on_batch(x)
    expected = as_anew(model, given(x))
    for _ in range(2):
        np.testing.assert_array_equal(model.predict_on_batch(given(x)), expected)
    np.testing.assert_array_equal(model.predict(given(x), verbose=0), expected)


@pytest.mark.parametrize("wrong", [lambda x: x[:0], lambda x: x[:, :5], lambda x: x.astype(str), lambda x: x + 1j])
def test_errors_come_as_before(wrong, x):
    model = network()
    model.predict_on_batch(x), model.predict_on_batch(x)
    with pytest.raises((ValueError, TypeError)):
        model.predict_on_batch(wrong(x))


def test_numbers_that_are_not_finite_go_the_long_way(x, answers):
    model = network()
    model.predict_on_batch(x), model.predict_on_batch(x)
    bad = x.copy()
    bad[1, 4, 4] = np.nan
    expected = as_anew(model, bad)
    answers.clear()
    result = model.predict_on_batch(bad)
    np.testing.assert_array_equal(result, expected)
    assert np.isnan(result[1]).all()
    assert np.isfinite(result[[0, 2]]).all()


def test_numbers_too_small_for_float32_are_no_error(x):
    model, small = network(), np.full(x.shape, 1e-300)
    with np.errstate(all="raise"):
        first = model.predict_on_batch(small)
        np.testing.assert_array_equal(model.predict_on_batch(small), first)


def test_layers_that_draw_anew_are_asked_each_time(rng):
    model = mc.Sequential([mc.Input(shape=(50,)), layers.GaussianNoise(1.0)])
    x = rng.random((2, 50), np.float32)
    outputs = [model(x, training=True) for _ in range(3)]
    assert (outputs[0] != outputs[1]).any()
    np.testing.assert_array_equal(model(x), model(x))


def test_a_models_own_dict_is_asked_for_each_time(rng):
    a = mc.Input(shape=(3,), name="a")
    model = mc.Model({"a": a}, layers.Dense(2)(a))
    x = rng.random((2, 3), np.float32)
    expected = model.predict_on_batch({"a": x})
    np.testing.assert_array_equal(model.predict_on_batch({"a": x}), expected)
    with pytest.raises(ValueError, match="needs the form"):
        model.predict_on_batch({"b": x})


def test_several_inputs_and_outputs(rng, answers):
    a, b = mc.Input(shape=(3,)), mc.Input(shape=(3,))
    model = mc.Model([a, b], [layers.Dense(2)(a), layers.Add()([a, b])])
    x, y = rng.random((2, 3), np.float32), rng.random((2, 3), np.float32)
    model.predict_on_batch([x, y])
    np.testing.assert_array_equal(model.predict_on_batch([y, x])[1], x + y)
    np.testing.assert_array_equal(model([x, x])[1], x + x)
    assert answers == [True, True]


def test_data_of_another_scale_is_noticed(rng):
    """`predict` warns of pixels where `fit` saw numbers up to 1, also when it was called before."""
    x = rng.random((32, 10, 10, 1), np.float32)
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, np.arange(32) % 4, epochs=1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(x, verbose=0), model.predict(x, verbose=0)
    with pytest.warns(UserWarning, match="go up to 255"):
        model.predict(np.floor(x * 255.99), verbose=0)


def test_callbacks_are_called_each_time(x):
    calls = []

    class Noting(mc.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            calls.append(batch)

    model = network()
    for _ in range(3):
        model.predict(x, verbose=0, callbacks=[Noting()])
    assert calls == [0, 0, 0]


def test_a_plan_that_is_no_longer_needed_is_not_kept(x):
    """Plans of other sizes push it out; the call goes the long way then."""
    model = network()
    first = model.predict_on_batch(x)
    last = model.engine.last_call
    for size in range(4, 12):
        model.predict_on_batch(np.zeros((size, 10, 10, 1), np.float32))
    gc.collect()  # plans and what is bound to them refer to each other
    assert last._bound() is None
    np.testing.assert_array_equal(model.predict_on_batch(x), first)


def test_a_forward_that_was_replaced_is_called_each_time(rng):
    layer = layers.LeakyReLU(0.5, input_shape=(3,))
    model = mc.Sequential([layer])

    def forward(xs, ws):
        ws.y[...] = 2 * xs[0]

    layer.forward = forward
    for x in rng.normal(size=(3, 2, 3)).astype("float32"):
        np.testing.assert_array_equal(model.predict(x), 2 * x)


def test_an_attribute_that_is_set_while_a_call_computes_counts(monkeypatch):
    """As if by another thread: between the plan's works and what is remembered of them."""
    layer = layers.LeakyReLU(0.5, input_shape=(1,))
    model, x, of = mc.Sequential([layer]), -np.ones((1, 1), np.float32), LastCall.of
    model.predict(x)
    model.predict(x)

    def late(*arguments):
        layer.negative_slope = 0.125
        return of(*arguments)

    model.predict(np.ones((2, 1), np.float32))  # another shape, so that the next call is not one like that before
    monkeypatch.setattr(LastCall, "of", late)
    model.predict(x)
    monkeypatch.setattr(LastCall, "of", of)
    assert [model.predict(x)[0, 0] for _ in range(3)] == [-0.125] * 3


def test_the_room_of_keras_goes_the_short_way_too(x, answers):
    from minicnn import keras
    from minicnn.keras import tensorflow as tf

    model = keras.Sequential([keras.Input((10, 10, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    kernel, bias = model.get_weights()
    with tf.GradientTape() as tape:
        found = [model.predict_on_batch(x + i) for i in range(3)]
    assert answers == [True, True]  # the first had nothing to ask
    assert tape.gradient(model(x), model.trainable_weights) == [None, None]
    for i, outputs in enumerate(found):
        np.testing.assert_allclose(outputs, (x + i).reshape(3, 100) @ kernel + bias, rtol=1e-5, atol=1e-5)
