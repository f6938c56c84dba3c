"""Built-in optimizers whose `update_step` another optimizer calls; numbers of Keras 3.15.1 on TensorFlow."""

import numpy as np
import pytest

from minicnn import keras


class Around(keras.optimizers.Optimizer):
    """Half of each gradient goes to the optimizer inside, which counts nothing."""

    def __init__(self, inner):
        super().__init__(learning_rate=0.1)
        self.inner = inner

    def build(self, variables):
        super().build(variables)
        self.inner.build(variables)

    def update_step(self, gradient, variable, learning_rate):
        self.inner.update_step(gradient * 0.5, variable, learning_rate)


@pytest.mark.parametrize(
    ("name", "options", "losses", "first"),
    [
        ("SGD", {}, [1.68509, 1.10011, 0.72755], [0.8162, 0.8261]),
        (
            "SGD",
            {"momentum": 0.9, "clipnorm": 1e-3, "weight_decay": 0.5},
            [1.68509, 0.67144, 0.04118],
            [0.5527, 0.5763],
        ),
        ("SGD", {"momentum": 0.9, "nesterov": True}, [1.60645, 0.38868, 0.0417], [0.533, 0.555]),
        ("Adam", {"amsgrad": True}, [1.20429, 0.22161, 0.08029], [0.3613, 0.3764]),
        ("RMSprop", {}, [0.40803, 0.11584, 0.04462], [0.3642, 0.3515]),
        ("Adagrad", {}, [1.54037, 0.90001, 0.60208], [0.7796, 0.7852]),
        ("Adadelta", {}, [1.7741, 1.77219, 1.77039], [0.9992, 0.9992]),
        ("Adamax", {}, [1.20428, 0.20495, 0.12827], [0.3406, 0.3584]),
        ("AdamW", {}, [1.20429, 0.22161, 0.08029], [0.3612, 0.3764]),
        ("Lion", {}, [1.20427, 0.29277, 0.02408], [0.4, 0.4]),
        ("Ftrl", {}, [0.55228, 0.17113, 0.0837], [0.1425, 0.1518]),
        ("Lamb", {}, [1.20428, 0.52458, 0.18762], [0.5372, 0.5413]),
        ("Adafactor", {}, [1.34869, 0.68481, 0.31117], [0.5346, 0.5273]),
    ],
)
def test_the_rule_alone_moves_weights(name, options, losses, first):
    """Neither clipped nor decayed, and at the rate that was handed over."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones")])
    inner = getattr(keras.optimizers, name)(0.7, **options)
    model.compile(Around(inner), "mse")
    x = np.arange(12).reshape(4, 3) / 10
    history = model.fit(x, x[:, :2], epochs=3, batch_size=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(history, losses, atol=3e-5)
    np.testing.assert_allclose(model.get_weights()[0][0], first, atol=1.5e-4)
    assert inner.iterations == 0


def test_before_build_and_of_others():
    variable, other = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match=r"update_step of SGD needs its state: call build\(variables\) first"):
        optimizer.update_step(np.ones(1), variable, 0.1)
    optimizer.build([variable])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.update_step(np.ones(1), other, 0.1)


def test_alone_it_is_the_rule_of_compile():
    """Nothing of the class is a rule of one's own."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(), "mse")
    model.compile("sgd", "mse")
    assert type(model.optimizer) is keras.optimizers.SGD


class HalfSGD(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * 0.5, variable, learning_rate)


class ClippedAdam(keras.optimizers.Adam):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(keras.ops.clip(gradient, -0.01, 0.01), variable, learning_rate)
        variable.assign(variable * 0.99)


class Smoothed(keras.optimizers.AdamW):
    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.extra = [self.add_variable_from_reference(v, name="extra") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        extra = self.extra[self._get_variable_index(variable)]
        extra.assign(extra * 0.5 + gradient)
        super().update_step(extra * 2.0, variable, learning_rate)


@pytest.mark.parametrize(
    ("cls", "options", "losses", "first", "count"),
    [
        (HalfSGD, {"momentum": 0.9}, [0.293673, 0.163054], [0.917208, 0.916642], 6),
        (HalfSGD, {"momentum": 0.9, "nesterov": True}, [0.267841, 0.169442], [0.917993, 0.917081], 6),
        (HalfSGD, {"use_ema": True, "ema_momentum": 0.9}, [0.302998, 0.159992], [0.987954, 0.987947], 6),
        (ClippedAdam, {}, [0.308701, 0.169985], [0.846276, 0.846276], 10),
        (Smoothed, {"weight_decay": 0.1, "clipnorm": 1.0}, [0.3381, 0.246214], [0.916786, 0.916924], 14),
    ],
)
def test_a_subclass_calls_the_rule_above_it(cls, options, losses, first, count):
    """State included: the numbers are those of Keras, and so is how many variables there are."""
    x = np.linspace(-1, 1, 96).reshape(32, 3).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(2, kernel_initializer="ones", activation="tanh"),
            keras.layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    optimizer = cls(0.1 if cls is HalfSGD else 0.01, **options)
    model.compile(optimizer, "mse")
    y = x @ np.array([[1.0], [2.0], [-1.0]], "float32")
    history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(history, losses, atol=3e-6)
    np.testing.assert_allclose(model.get_weights()[0].ravel()[[0, 2]], first, atol=3e-6)
    assert (int(optimizer.iterations), len(optimizer.variables)) == (8, count)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_subclass_of_a_built_in_one_goes_on_from_a_file(tmp_path, suffix):
    """With the state of the rule: the loss of the fourth epoch is that of Keras."""

    class Halved(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient * 0.5, variable, learning_rate)

    x = np.linspace(-1, 1, 96).reshape(32, 3).astype("float32")
    y = x @ np.array([[1.0], [2.0], [-1.0]], "float32")
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(2, kernel_initializer="ones", activation="tanh"),
            keras.layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    model.compile(Halved(0.05), "mse")
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    loaded = keras.models.load_model(tmp_path / f"model{suffix}", custom_objects={"Halved": Halved})
    assert type(loaded.optimizer) is Halved
    loss = loaded.fit(x, y, batch_size=8, shuffle=False, verbose=0).history["loss"][0]
    assert loss == pytest.approx(0.094153, abs=5e-6)
    assert int(loaded.optimizer.iterations) == 16
