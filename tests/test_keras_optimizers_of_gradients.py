"""Optimizers whose class changes the gradients in `apply` or `apply_gradients`; the numbers are those of Keras 3.15."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import ops
from minicnn.keras import tensorflow as tf

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.ones((16, 3), "float32")


def model():
    made = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(3)])
    rng = np.random.default_rng(7)
    made.set_weights([(rng.normal(size=w.shape) * 0.3).astype("float32") for w in made.get_weights()])
    return made


def test_get_gradients_of_keras_2_is_not_asked_which_is_said():
    """keras.io's gradient centralization: neither Keras 3.15 nor tf_keras 2.21, also with its legacy class, asks it."""

    class Centralized(keras.optimizers.RMSprop):
        def get_gradients(self, loss, params):
            raise AssertionError

    trained, plain = model(), model()
    with pytest.warns(UserWarning, match=r"get_gradients of Centralized is not asked.*in apply\(self, grads") as said:
        trained.compile(Centralized(0.01), "mse")
        trained.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    assert len(said) == 1
    plain.compile(keras.optimizers.RMSprop(0.01), "mse")
    plain.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(trained.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def half(base):
    class Half(base):
        def apply(self, grads, trainable_variables=None):
            return super().apply([g * 0.5 for g in grads], trainable_variables)

    return Half(0.1)


def half_of_pairs(base):
    class HalfOfPairs(base):
        def apply_gradients(self, grads_and_vars, **options):
            return super().apply_gradients([(g * 0.5, v) for g, v in grads_and_vars], **options)

    return HalfOfPairs(0.1)


def of_length_1(base):
    class OfLength1(base):
        def apply(self, grads, trainable_variables=None):
            length = ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
            super().apply([g / (length + 1e-6) for g in grads], trainable_variables)

    return OfLength1(0.1)


def shrinking(base):
    class Shrinking(base):
        def apply(self, grads, trainable_variables=None):
            super().apply(grads, trainable_variables)
            for v in trainable_variables:
                v.assign(v * 0.9)

    return Shrinking(0.1)


def of_signs(base):
    class OfSigns(base):
        def apply(self, grads, vars=None):
            return super().apply([ops.sign(g) for g in grads], vars)

    return OfSigns(0.1)


class Momentum(keras.optimizers.Optimizer):
    """A rule of its own, of gradients that it halves before."""

    def __init__(self, learning_rate=0.1, **options):
        super().__init__(learning_rate=learning_rate, **options)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.m = [self.add_variable_from_reference(v, "m") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        m = self.m[self._get_variable_index(variable)]
        self.assign(m, 0.9 * m + gradient)
        self.assign_sub(variable, learning_rate * m)

    def apply(self, grads, trainable_variables=None):
        super().apply([g * 0.5 for g in grads], trainable_variables)


SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
CASES = {  # name → (optimizer, losses of `fit`, Σ and Σ|·| of the first kernel behind it, the same behind a loop)
    "SGD, half": (lambda: half(SGD), [0.667452, 0.546731], [-1.83658, 3.79778], [-1.85373, 3.82472]),
    "SGD, pairs": (lambda: half_of_pairs(SGD), [0.667452, 0.546731], [-1.83658, 3.79778], [-1.85373, 3.82472]),
    "SGD, length": (lambda: of_length_1(SGD), [0.646425, 0.451355], [-1.77333, 3.71136], [-1.81066, 3.75276]),
    "SGD, shrinking": (lambda: shrinking(SGD), [0.651106, 0.513633], [-1.198, 2.44982], [-1.33396, 2.73924]),
    "SGD, signs": (lambda: of_signs(SGD), [0.548816, 0.088517], [0.90152, 2.78293], [-0.69848, 2.17575]),
    "Adam, half": (lambda: half(Adam), [0.548797, 0.114450], [0.2539, 3.23553], [-0.87836, 3.1461]),
    "Adam, shrinking": (lambda: shrinking(Adam), [0.564411, 0.137490], [0.37436, 2.29083], [-0.6668, 2.55094]),
    "own rule": (Momentum, [0.667452, 0.450464], [-1.71242, 3.68738], [-1.81551, 3.75298]),
}


@pytest.mark.parametrize("name", CASES)
def test_fit_goes_by_the_gradients_that_the_class_hands_on(name):
    make, losses, sums, _ = CASES[name]
    trained = model()
    trained.compile(make(), "mse")
    history = trained.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=2e-4)
    kernel = trained.get_weights()[0]
    np.testing.assert_allclose([kernel.sum(), np.abs(kernel).sum()], sums, rtol=1e-3, atol=1e-3)
    assert int(trained.optimizer.iterations) == 4


@pytest.mark.parametrize("name", CASES)
def test_so_does_a_loop(name):
    make, _, _, sums = CASES[name]
    trained, optimizer = model(), make()
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(trained(X) - Y))
        gradients = tape.gradient(loss, trained.trainable_variables)
        optimizer.apply_gradients(zip(gradients, trained.trainable_variables, strict=True))
    kernel = trained.get_weights()[0]
    np.testing.assert_allclose([kernel.sum(), np.abs(kernel).sum()], sums, rtol=1e-3, atol=1e-3)
    assert int(optimizer.iterations) == 3


def test_weights_that_are_left_out_stay():
    class FirstAlone(SGD):
        def apply_gradients(self, grads_and_vars, **options):
            return super().apply_gradients(list(grads_and_vars)[:1], **options)

    trained = model()
    before = trained.get_weights()
    trained.compile(FirstAlone(0.1), "mse")
    trained.fit(X, Y, epochs=1, verbose=0)
    after = trained.get_weights()
    assert not np.array_equal(before[0], after[0])
    for a, b in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_of_other_variables_are_refused():
    class OfOthers(SGD):
        def apply(self, grads, trainable_variables=None):
            super().apply(grads[:1], [tf.Variable(np.zeros((5, 4), "float32"))])

    trained = model()
    trained.compile(OfOthers(0.1), "mse")
    with pytest.raises(ValueError, match="OfOthers moves the weights that the model trains"):
        trained.fit(X, Y, verbose=0)


@pytest.mark.parametrize("method", ["_clip_gradients", "_backend_update_step", "_get_current_learning_rate"])
def test_keras_s_own_steps_are_refused(method):
    cls = type("Mine", (SGD,), {method: lambda self, *args: args})
    with pytest.raises(TypeError, match=rf"{method} of Mine would not be asked"):
        model().compile(cls(0.1), "mse")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda pairs: [*pairs, pairs[0]], "more than once"),
        (lambda pairs: [(None, v) for _, v in pairs], "gradient"),
        (lambda pairs: [(g[:1], v) for g, v in pairs], "shape"),
    ],
)
def test_fit_takes_no_other_gradients_than_a_loop(change, match):
    class Own(keras.optimizers.SGD):
        def apply_gradients(self, grads_and_vars, **options):
            return super().apply_gradients(change(list(grads_and_vars)), **options)

    made = model()
    made.compile(Own(0.1), "mse")
    with pytest.raises(ValueError, match=match):
        made.fit(X, Y, verbose=0)


def test_a_mixin_may_inherit_its_apply():
    class First:
        def apply(self, grads, trainable_variables=None):
            return super().apply([g * 0.5 for g in grads], trainable_variables)

    class Second(First):
        pass

    class Own(Second, keras.optimizers.SGD):
        pass

    made, other = model(), model()
    for each, optimizer in ((made, Own(0.1)), (other, keras.optimizers.SGD(0.05))):
        each.compile(optimizer, "mse")
        each.fit(X, Y, shuffle=False, verbose=0)
    for a, b in zip(made.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
