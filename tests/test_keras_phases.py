"""A `call` that says by `if training:` what happens in training alone: it is made one graph for both phases."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.errors import ContractError

X = np.ones((300, 4), np.float32)


def in_branch(self, x, training):
    return self.drop(x, training=True) if training else x


def early(self, x, training):
    if not training:
        return x
    return self.drop(x, training=True)


def by_bool(self, x, training):
    return self.drop(x, training=bool(training))


def by_identity(self, x, training):
    return self.drop(x, training=True) if training is True else x


def unsaid_in_branch(self, x, training):
    return self.drop(x) if training else x


def handed_on(self, x, training):
    return self.drop(x, training=training)


def twice(self, x, training):
    x = self.drop(x, training=bool(training))
    return self.drop(x, training=True) if training else x


def always(self, x, training):
    return self.drop(x, training=True)


def never(self, x, training):
    return self.drop(x, training=False)


def always_and_in_training(self, x, training):
    return self.other(self.drop(x, training=True), training=bool(training))


def part(call, base=keras.layers.Layer):
    class Part(base):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, kernel_initializer="ones")
            self.drop, self.other = keras.layers.Dropout(0.5), keras.layers.Dropout(0.25)
            self.norm = keras.layers.BatchNormalization()

        def call(self, x, training=None):
            return call(self, self.dense(x), training)

    return Part()


def around(inner):
    class Around(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def call(self, x, training=None):
            return self.inner(x, training=training)

    return Around()


def made(call, kind):
    if kind == "model":
        model = part(call, keras.Model)
        model(X[:2])
        return model
    layer = part(call)
    image = keras.Input((4,))
    return keras.Model(image, (layer if kind == "layer" else around(layer))(image))


def drops(outputs):
    """Whether some of the numbers are dropped, and the largest, which is 4 without dropout."""
    outputs = np.asarray(outputs)
    return bool((outputs == 0).any()), float(outputs.max())


@pytest.mark.parametrize("kind", ["layer", "model", "nested"])
@pytest.mark.parametrize("call", [in_branch, early, by_bool, by_identity, unsaid_in_branch, handed_on, twice])
def test_what_only_training_does_is_left_out_in_use(call, kind):
    """Keras 3.15.1 drops in ``model(x, training=True)`` alone."""
    model = made(call, kind)
    assert drops(model.predict(X, verbose=0)) == (False, 4.0)
    assert drops(model(X)) == (False, 4.0)
    assert drops(model(X, training=False)) == (False, 4.0)
    assert drops(model(X, training=True)) == (True, 16.0 if call is twice else 8.0)
    model.compile("sgd", "mse")
    assert model.evaluate(X, X, verbose=0) == pytest.approx(9.0)


@pytest.mark.parametrize("kind", ["layer", "model", "nested"])
def test_what_both_phases_say_holds_in_both(kind):
    assert drops(made(always, kind).predict(X, verbose=0)) == (True, 8.0)
    assert drops(made(never, kind)(X, training=True)) == (False, 4.0)
    both = made(always_and_in_training, kind)
    assert drops(both.predict(X, verbose=0)) == (True, 8.0)
    assert drops(both(X, training=True)) == (True, pytest.approx(8.0 / 0.75))


def of_batch(self, x, training):
    return self.norm(x, training=True) if training else self.norm(x, training=False)


@pytest.mark.parametrize("kind", ["layer", "model", "nested"])
def test_a_normalization_that_is_told_in_each_branch_goes_by_the_phase(kind):
    """Its moving average is 0 and its variance 1 before any training: 4 / √1.001; the batch's own numbers are 0."""
    model = made(of_batch, kind)
    np.testing.assert_allclose(model.predict(X, verbose=0), 4 / np.sqrt(1.001), rtol=1e-6)
    np.testing.assert_allclose(model(X, training=True), 0, atol=1e-6)


def scaled(self, x, training):
    return x * (2.0 if training else 1.0)


def shifted(self, x, training):
    return x + (np.arange(4.0) if training else np.zeros(4))


def reversed_phase(self, x, training):
    return self.drop(x, training=not training)


@pytest.mark.parametrize("call", [scaled, shifted])
def test_other_numbers_in_training_are_no_graph(call):
    """In Keras ``x * (2.0 if training else 1.0)`` is x in use; a model runs anew each time, a layer is refused."""
    model = made(call, "model")
    assert drops(model(X)) == (False, 4.0)
    assert drops(model(X, training=True)) == (False, 8.0 if call is scaled else 7.0)
    with pytest.raises(ContractError, match="something else in training"):
        made(call, "layer")


def test_dropout_in_use_alone_is_no_graph():
    with pytest.raises(ContractError, match="something else in training"):
        made(reversed_phase, "layer")


OPS = keras.ops
OWN = {  # with weights of a layer's own beside a layer in it, and what NumPy makes of them
    "matmul": (lambda self, x: OPS.matmul(x, self.w), lambda x, w: x @ w),
    "@": (lambda self, x: x @ self.w, lambda x, w: x @ w),
    "einsum": (lambda self, x: OPS.einsum("bi,ij->bj", x, self.w), lambda x, w: x @ w),
    "tensordot": (lambda self, x: OPS.tensordot(x, self.w, 1), lambda x, w: x @ w),
    "relu": (lambda self, x: OPS.relu(x @ self.w - 30), lambda x, w: np.maximum(x @ w - 30, 0)),
    "maximum": (lambda self, x: OPS.maximum(x, self.w[0]), lambda x, w: np.maximum(x, w[0])),
    "transpose": (lambda self, x: x @ OPS.transpose(self.w), lambda x, w: x @ w.T),
}


@pytest.mark.parametrize("base", [keras.layers.Layer, keras.Model])
@pytest.mark.parametrize("kind", OWN)
def test_weights_of_ones_own_beside_a_layer(kind, base, tmp_path):
    """The same functions in both phases, though each run makes them anew."""
    call, expected = OWN[kind]

    class Own(base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(4, kernel_initializer="ones")
            self.w = self.add_weight(shape=(4, 4), initializer="random_normal", name="w")

        def call(self, x, training=None):
            return call(self, self.dense(x))

    own = Own()
    if base is keras.Model:
        model = own
        model(X[:2])
    else:
        image = keras.Input((4,))
        model = keras.Model(image, own(image))
    w = np.asarray(own.w)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected(4 * X, w), rtol=1e-5, atol=1e-6)
    assert model.graph is not None
    if base is keras.layers.Layer:
        model.save(tmp_path / "a.keras")
        again = keras.models.load_model(tmp_path / "a.keras", custom_objects={"Own": Own})
        np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["layer", "model"])
def test_numbers_that_every_run_draws_or_counts(kind):
    """They are no sign of another phase."""
    count = iter(range(100))
    model = made(lambda self, x, training: x * (5.0 + next(count)), kind)
    outputs = model.predict(X, verbose=0)
    assert (outputs == outputs[0, 0]).all() and outputs[0, 0] >= 20
    rng = np.random.default_rng(0)
    assert 0 < made(lambda self, x, training: x * rng.uniform(0.1, 1), kind).predict(X, verbose=0)[0, 0] < 4


@pytest.mark.parametrize(
    "call",
    [
        lambda self, x, training: keras.layers.Rescaling(0.5 if training else 1.0)(x),
        lambda self, x, training: keras.layers.LeakyReLU(0.9 if training else 0.1)(-x),
        lambda self, x, training: keras.layers.Lambda(lambda z: z * (5.0 if training else 1.0))(x),
        lambda self, x, training: keras.layers.Lambda(lambda z, k=5.0 if training else 1.0: z * k)(x),
        lambda self, x, training: x * np.float32(2 if training else 1),
        lambda self, x, training: x * (np.arange(1, 5, dtype=np.float32) * (2 if training else 1)),
    ],
)
def test_layers_made_on_the_way_with_other_numbers_are_no_graph(call):
    """Those of training would serve in predictions."""
    with pytest.warns(UserWarning, match="computes something else in training"):
        model = made(call, "model")
    used, trained = np.asarray(model(X[:2])), np.asarray(model(X[:2], training=True))
    assert (np.abs(used) != np.abs(trained)).all()
    with pytest.raises(ContractError, match="computes something else in training"):
        made(call, "layer")


def other_difference(self, x, training):
    h = self.second(x)
    return x - h if training else h - x


def other_sources(self, x, training):
    a, b = self.second(x), self.third(x)
    return self.fourth(a) + b if training else self.fourth(b) + a


def other_part(self, x, training):
    return x[:, 1:] if training else x[:, :-1]


def drawn_beside_another_number(self, x, training):
    return x * float(self.rng.uniform(0.9, 1)) * (2.0 if training else 1.0)


def counted_in_one_layer(self, x, training):
    numbers = [next(self.count), 2.0 if training else 1.0]
    return keras.layers.Lambda(lambda z: z + 0 * numbers[0] + numbers[1])(x)


def drops_elsewhere(self, x, training):
    a, b = self.second(x), self.third(x)
    return self.drop(a, training=True) + b if training else a + self.drop(b, training=True)


def drops_once_less_in_training(self, x, training):
    x = self.drop(x, training=True)
    return x if training else self.drop(x, training=True)


def drops_in_use_alone(self, x, training):
    return x if training else self.drop(x, training=True)


def drops_more_in_use(self, x, training):
    return keras.layers.Dropout(0.25 if training else 0.5)(x, training=True)


def other_weight(self, x, training):
    return self.second(x) * (self.one if training else self.other)


def other_option_of_a_call(self, x, training):
    h = self.second(keras.ops.stack([x, 2 * x], axis=1))
    return self.attention([h, h], use_causal_mask=not training)


def wired(call, kind):
    """A layer or model of `call`, which has further layers, and what draws and counts."""

    class Wired(keras.layers.Layer if kind == "layer" else keras.Model):
        def __init__(self):
            super().__init__()
            self.second, self.third, self.fourth = (keras.layers.Dense(4) for _ in range(3))
            self.drop, self.attention = keras.layers.Dropout(0.5), keras.layers.Attention()
            if call is other_weight:
                self.one, self.other = (self.add_weight(shape=(4,)) for _ in range(2))
            self.rng, self.count = np.random.default_rng(0), iter(range(100))

        def call(self, x, training=None):
            return call(self, x, training)

    if kind == "model":
        return Wired()
    image = keras.Input((4,))
    return keras.Model(image, Wired()(image))


@pytest.mark.parametrize(
    "call",
    [
        other_difference,
        other_sources,
        other_part,
        drawn_beside_another_number,
        counted_in_one_layer,
        drops_elsewhere,
        drops_once_less_in_training,
        drops_in_use_alone,
        drops_more_in_use,
        other_weight,
        other_option_of_a_call,
    ],
)
def test_what_only_the_wiring_tells_apart_is_no_graph(call):
    """The same layers, called of other tensors; Keras 3.15.1 does in each phase what the `call` does there."""
    with pytest.raises(ContractError, match="something else in training"):
        wired(call, "layer")
    with pytest.warns(UserWarning, match="computes something else in training"):
        wired(call, "model")(X[:2])


def test_two_outputs_that_change_places_are_no_graph():
    with pytest.warns(UserWarning, match="computes something else in training"):
        model = wired(lambda self, x, training: (x * 2, x) if training else (x, x * 2), "model")
        used, trained = model(X[:2]), model(X[:2], training=True)
    assert [np.asarray(y)[0, 0] for y in (*used, *trained)] == [1, 2, 2, 1]


def behind_a_layer(self, x, training):
    second = self.second(x)
    return self.third(x) + (self.drop(second, training=True) if training else second)


def made_in_another_order(self, x, training):
    if training:
        a = self.second(x)
        return a + self.third(x)
    b = self.third(x)
    return self.second(x) + b


@pytest.mark.parametrize("kind", ["layer", "model"])
@pytest.mark.parametrize("call", [behind_a_layer, made_in_another_order])
def test_the_same_wiring_is_one_graph(call, kind):
    """Wherever a dropout stands, and in whatever order the layers are called."""
    model = wired(call, kind)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    used = np.asarray(model(x))
    second, third = (model if kind == "model" else model.layers[1]).get_weights()[:4:2]
    np.testing.assert_allclose(used, x @ second + x @ third, rtol=1e-4, atol=1e-5)
    assert model.graph is not None


@pytest.mark.parametrize("kind", ["layer", "model", "nested"])
def test_dropout_that_is_told_of_use_alone_drops_in_both(kind):
    """``training=None if training else True`` leaves the phase to decide in training, as in Keras 3.15.1."""
    model = made(lambda self, x, training: self.drop(x, training=None if training else True), kind)
    assert drops(model.predict(X, verbose=0)) == (True, 8.0)
    assert drops(model(X, training=True)) == (True, 8.0)


@pytest.mark.parametrize("kind", ["layer", "model"])
def test_a_layer_made_on_the_way_may_have_no_config(kind):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x * 2

        def get_config(self):
            return {"factor": self.never_kept}

    np.testing.assert_array_equal(made(lambda self, x, training: Own()(x), kind).predict(X[:2], verbose=0), 8)


@pytest.mark.parametrize("kind", ["layer", "model"])
def test_a_branch_before_what_always_drops(kind):
    """Which of the two is the branch is not known: both are as they are told."""

    def call(self, x, training):
        x = self.drop(x, training=True) if training else x
        return self.drop(x, training=True)

    assert drops(made(call, kind).predict(X, verbose=0))[0]
