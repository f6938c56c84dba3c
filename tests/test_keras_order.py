"""By what order models of users' classes, and layers made of layers, list weights and layers: Keras's lists, 3.15.1."""

import copy
import pickle

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import tensorflow as tf

L = keras.layers
X = np.cos(np.arange(24, dtype=np.float32)).reshape(8, 3)
Y = np.sin(np.arange(24, dtype=np.float32)).reshape(8, 3)


def dense(name, units=3):
    return L.Dense(units, name=name)


class Interleaved(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.convs, self.bns = [], []
        self.head = dense("head")
        for i in range(2):
            self.convs.append(dense(f"c{i}"))
            self.bns.append(L.BatchNormalization(name=f"n{i}"))
        self.last = dense("last")

    def call(self, x, training=None):
        for conv, bn in zip(self.convs, self.bns, strict=True):
            x = bn(conv(x), training=training)
        return self.last(self.head(x))


class Held(keras.Model):
    def __init__(self):
        super().__init__()
        self.named = {"z": dense("z"), "a": dense("a")}
        self.pair = (dense("t1"), [dense("t0")])
        self.grown = {}
        self.grown["k"] = dense("gk")
        self.out = dense("o")
        self.again = self.named["z"]
        self.unused = dense("unused")

    def call(self, x):
        x = self.pair[0](self.named["a"](self.named["z"](x)))
        return self.out(self.grown["k"](self.pair[1][0](x)))


class Stages(keras.Model):
    def __init__(self):
        super().__init__()
        self.stages = [[], [[]]]
        self.head = dense("head")
        self.stages[1][0].append(dense("s1"))
        self.stages[0].append(dense("s0"))
        self.tail = dense("tail")

    def call(self, x):
        for layer in (*self.stages[0], *self.stages[1][0]):
            x = layer(x)
        return self.tail(self.head(x))


class Block(L.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.second, self.first = dense("second"), dense("first")
        self.alpha = self.add_weight(shape=(1,), initializer="ones", name="alpha")

    def build(self, shape):
        self.shift = self.add_weight(shape=(3,), initializer="zeros", name="shift", trainable=False)
        super().build(shape)

    def call(self, x):
        return self.second(self.first(x) * self.alpha) + self.shift


class Nested(keras.Model):
    def __init__(self):
        super().__init__()
        self.tail = keras.Sequential([dense("h0"), Block(name="hb")], name="tail")
        self.unused = dense("unused", 2)
        self.unused.build((None, 4))
        self.stem = Block(name="stem")

    def call(self, x):
        return self.tail(self.stem(x))


@keras.saving.register_keras_serializable(package="order")
class Mixed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.c, self.a, self.b = dense("c"), dense("a"), dense("b")

    def call(self, x):
        return self.c(self.b(self.a(x)))


def numbered(shapes):
    """Arrays of these shapes, each of its own numbers."""
    return [0.5 * np.cos(np.arange(np.prod(s), dtype=np.float32).reshape(s) + 7 * i) for i, s in enumerate(shapes)]


def paths(weights):
    return " ".join("/".join(w.path.split("/")[-2:]) for w in weights)


def mixed(trained=0):
    model = Mixed()
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model(X)
    model.set_weights(numbered([w.shape for w in model.get_weights()]))
    for _ in range(trained):
        model.train_on_batch(X, Y)
    return model


BLOCK = "{0}/alpha {0}/shift second/kernel second/bias first/kernel first/bias"
LISTS = [
    (
        Interleaved,
        "head/kernel head/bias c0/kernel c0/bias n0/gamma n0/beta n0/moving_mean n0/moving_variance c1/kernel c1/bias "
        "n1/gamma n1/beta n1/moving_mean n1/moving_variance last/kernel last/bias",
        "head c0 n0 c1 n1 last",
    ),
    (
        Held,
        "z/kernel z/bias a/kernel a/bias t1/kernel t1/bias t0/kernel t0/bias gk/kernel gk/bias o/kernel o/bias",
        "z a t1 t0 gk o unused",
    ),
    (
        Nested,
        f"h0/kernel h0/bias {BLOCK.format('hb')} unused/kernel unused/bias {BLOCK.format('stem')}",
        "tail unused stem",
    ),
    (Stages, "head/kernel head/bias s1/kernel s1/bias s0/kernel s0/bias tail/kernel tail/bias", "head s1 s0 tail"),
    (Mixed, "c/kernel c/bias a/kernel a/bias b/kernel b/bias", "c a b"),
]


@pytest.mark.parametrize(("cls", "weights", "layers"), LISTS, ids=lambda part: getattr(part, "__name__", ""))
def test_a_models_class_lists_what_it_has_as_keras(cls, weights, layers):
    model = cls()
    assert [layer.name for layer in model.layers] == layers.split()
    model(X)
    assert paths(model.weights) == paths(model.variables) == weights
    assert [layer.name for layer in model.layers] == layers.split()
    assert model.get_layer(index=0) is model.layers[0]
    fixed = [w for w in weights.split() if w.endswith(("moving_mean", "moving_variance", "shift"))]
    assert paths(model.non_trainable_weights).split() == paths(model.non_trainable_variables).split() == fixed
    rest = [w for w in weights.split() if w not in fixed]
    assert paths(model.trainable_weights).split() == paths(model.trainable_variables).split() == rest
    assert [a.shape for a in model.get_weights()] == [w.shape for w in model.weights]
    model.set_weights(given := numbered([w.shape for w in model.weights]))
    for weight, array in zip(model.weights, given, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array)


def test_layers_made_of_layers_list_their_own_weights_first():
    x = keras.Input((3,))
    block = Block(name="fb")
    model = keras.Model(x, dense("out", 1)(block(x)))
    assert paths(block.weights) == BLOCK.format("fb")
    assert paths(model.weights) == f"{BLOCK.format('fb')} out/kernel out/bias"
    stack = keras.Sequential([keras.Input((3,)), Block(name="sb"), dense("so", 1)])
    assert paths(stack.weights) == f"{BLOCK.format('sb')} so/kernel so/bias"
    assert [layer.name for layer in stack.layers] == ["sb", "so"]
    given = numbered([w.shape for w in block.weights])
    block.set_weights(given)
    np.testing.assert_array_equal(block.second.kernel.numpy(), given[2])


def test_arrays_of_keras_and_its_optimizers_state_go_where_they_belong():
    """Keras's numbers after `set_weights` with arrays by places, and after two and three steps of Adam."""
    model = mixed()
    np.testing.assert_allclose(model.predict(X, verbose=0)[0], PREDICTED, rtol=1e-5)
    model = mixed(2)
    sums = [float(np.sum(v)) for v in model.optimizer.variables]
    np.testing.assert_allclose(sums, STATE, rtol=1e-4, atol=1e-7)
    arrays, state = model.get_weights(), model.optimizer.get_weights()
    other = mixed(1)
    other.set_weights(arrays)
    other.optimizer.set_weights(state)
    other.train_on_batch(X, Y)
    np.testing.assert_allclose(other.evaluate(X, Y, verbose=0), AFTER, rtol=1e-5)


PREDICTED = [0.36717719, -0.030854832, -0.40051907]
STATE = [2.0, 0.05, 0.020093936, 8.7735185e-05, -0.030434009, 0.00015422837]
STATE += [-0.008459568, 3.1939959e-05, -0.0022880437, 1.7370737e-06]
STATE += [-0.015972974, 2.6151047e-05, 0.014557317, 4.7180511e-05]
AFTER = 0.37660623


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("known", [True, False])
def test_files_go_on_where_the_model_was(tmp_path, suffix, known, monkeypatch):
    """Files hold the functional model, whose optimizer's variables go by the graph."""
    model = mixed(2)
    model.save(path := tmp_path / f"model{suffix}")
    if not known:
        monkeypatch.setattr("minicnn.models.written_files._known", lambda name: None)
    loaded = keras.models.load_model(path)
    assert isinstance(loaded, Mixed) is known
    order = "c a b" if known else "a b c"
    assert paths(loaded.weights[::2]) == " ".join(f"{name}/kernel" for name in order.split())
    loaded.train_on_batch(X, Y)
    np.testing.assert_allclose(loaded.evaluate(X, Y, verbose=0), AFTER, rtol=1e-5)


def test_the_optimizers_variables_in_a_file_go_by_the_functional_model(tmp_path):
    """As real Keras reads them there: a, b, c are called in this order."""
    h5py = pytest.importorskip("h5py")
    import zipfile

    model = mixed(2)
    model.save(path := tmp_path / "model.keras")
    with zipfile.ZipFile(path) as archive, h5py.File(archive.open("model.weights.h5")) as file:
        sums = [float(np.sum(file[f"optimizer/vars/{i}"][()])) for i in range(14)]
    by_attributes = [STATE[2 + 4 * i : 6 + 4 * i] for i in range(3)]
    expected = [*STATE[:2], *by_attributes[1], *by_attributes[2], *by_attributes[0]]
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("copied", [keras.models.clone_model, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("cls", [Mixed, Interleaved, Stages])
def test_copies_take_the_weights_by_their_places(copied, cls):
    model = cls()
    model(X)
    clone = copied(model)
    assert paths(clone.weights) == paths(model.weights)
    clone.set_weights(given := numbered([w.shape for w in model.get_weights()]))
    model.set_weights(given)
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))


def test_the_first_layer_is_the_one_that_was_set_first():
    model = mixed()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True, True, True]
    lines = []
    Held().summary(print_fn=lines.append)
    model = Held()
    model(X)
    model.summary(print_fn=lines.append)
    places = [lines[-1].index(f"{name} (Dense)") for name in ["z", "a", "t1", "t0", "gk", "o", "unused"]]
    assert places == sorted(places)
    assert "InputLayer" not in lines[-1]


class Pair(keras.Model):
    def __init__(self, discriminator, generator):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.discriminator(self.generator(data))))
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


class Autoencoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.dec = keras.Sequential([dense("dd")], name="dec")
        self.enc = keras.Sequential([dense("ee", 2)], name="enc")

    def call(self, x):
        return self.dec(self.enc(x))


class OwnSteps(Autoencoder):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
        self.optimizer.build(self.trainable_variables)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables))
        return {"loss": loss}


def test_classes_with_steps_of_their_own():
    inner = [keras.Sequential([keras.Input((3,)), dense(n, k)], name=n) for n, k in (("d1", 1), ("g1", 3))]
    pair = Pair(*inner)
    pair.compile("adam")
    pair.fit(X, verbose=0)
    assert paths(pair.weights) == "d1/kernel d1/bias g1/kernel g1/bias"
    assert [layer.name for layer in pair.layers] == ["d1", "g1"]
    for cls in (Autoencoder, OwnSteps):
        model = cls()
        model.compile("adam", "mse")
        model.fit(X, Y, verbose=0)
        assert paths(model.weights) == "dd/kernel dd/bias ee/kernel ee/bias"
        shapes = [(), (), (2, 3), (2, 3), (3,), (3,), (3, 2), (3, 2), (2,), (2,)]
        assert [np.shape(v) for v in model.optimizer.variables] == shapes


class Sum(L.Layer):
    def build(self, shape):
        self.parts = []
        for i in range(2):
            self.parts.append(self.add_weight(shape=(3,), initializer="ones", name=f"w{i}"))

    def call(self, x):
        return x * self.parts[0] + self.parts[1]


class SumOfDense(Sum):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner = dense("inner")

    def call(self, x):
        return self.inner(x) * self.parts[0] + self.parts[1]


@pytest.mark.parametrize("cls", [Sum, SumOfDense])
def test_a_list_of_weights_that_grows_is_computed_with(cls):
    layer = cls()
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert all((w.numpy() != 1).any() for w in layer.parts)


class Backwards(L.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.q, self.p = dense("q"), dense("p")

    def call(self, x):
        return self.q(self.p(x))


class OwnFirst(L.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.q = L.Dense(3, name="q", use_bias=False)

    def build(self, shape):
        self.k = self.add_weight(shape=(3, 3), name="k", initializer="ones")
        super().build(shape)

    def call(self, x):
        return keras.ops.matmul(self.q(x), self.k)


@pytest.mark.parametrize(
    ("cls", "names"), [(Backwards, "q/kernel q/bias p/kernel p/bias"), (OwnFirst, "k q/kernel")], ids=["layers", "own"]
)
@pytest.mark.parametrize("ending", ["", ":0"])
def test_keras_h5_files_have_a_layer_s_weights_by_its_attributes(cls, names, ending, tmp_path):
    """The arrays of equal shapes would change places, in silence, if the order of calls said which is which."""
    h5py = pytest.importorskip("h5py")
    model = keras.Sequential([keras.Input((3,)), cls(name="block")])
    weights = model.layers[0].weights
    arrays = numbered([w.shape for w in weights])
    paths_there = [f"block/{name}{ending}" for name in names.split()]
    with h5py.File(path := tmp_path / "keras.h5", "w") as file:
        file.attrs["layer_names"] = [b"block"]
        group = file.create_group("block")
        group.attrs["weight_names"] = [name.encode() for name in paths_there]
        for name, array in zip(paths_there, arrays, strict=True):
            group[name] = array
    model.load_weights(path)
    for weight, array in zip(weights, arrays, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array)


@pytest.mark.parametrize("copied", [keras.models.clone_model, copy.deepcopy], ids=["clone", "deepcopy"])
def test_weights_are_set_in_a_copy_as_they_are_got(copied):
    """Weights of equal shapes changed places in the clone of a model with a layer of layers, in silence."""
    x = keras.Input((3,))
    model = keras.Model(x, Backwards(name="block")(x))
    q, qb, p, pb = arrays = [np.cos(np.arange(9.0) * n).reshape(3, 3)[: 3 - n % 2 * 2].squeeze() for n in (2, 3, 4, 5)]
    for each in (model, clone := copied(model)):
        each.set_weights(arrays)
        np.testing.assert_allclose(each.predict(X, verbose=0), (X @ p + pb) @ q + qb, rtol=1e-5, atol=1e-5)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))
    assert [w.path.rpartition("/")[2] for w in clone.trainable_weights] == ["kernel", "bias"] * 2


def order_of(read):
    i = L.Input((6,), name="i")
    h = L.Dense(5, name="h")(i)
    mean, spread = L.Dense(2, name="mean")(h), L.Dense(2, name="spread")(h)
    z = L.Lambda(lambda a: a[0] + keras.ops.exp(0.5 * a[1]) * 0.3, output_shape=(2,), name="z")([mean, spread])
    o = L.Dense(6, name="o")(z)
    return keras.Model(i, read(i, mean, spread, z, o))


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda i, mean, spread, z, o: o, "i h mean spread z o"),
        (lambda i, mean, spread, z, o: [o, spread, mean], "i h mean spread z o"),
        (lambda i, mean, spread, z, o: [spread, o, mean], "i h spread mean z o"),
        (lambda i, mean, spread, z, o: L.Concatenate(name="c")([o, spread, mean]), "i h mean spread z o c"),
        (lambda i, mean, spread, z, o: L.Add(name="c")([spread, z]), "i h spread mean z c"),
    ],
)
def test_a_lambda_of_several_steps_is_one_on_the_way_to_the_output(read, expected, tmp_path):
    """An encoder's mean comes before its spread, as in Keras, though the function takes more steps with this one."""
    model = order_of(read)
    assert " ".join(layer.name for layer in model.layers) == expected
    paths = [w.path for w in model.weights if w.path.startswith(("mean", "spread"))]
    found = [name for name in expected.split() if name in ("mean", "spread")]
    assert paths == [f"{name}/{weight}" for name in found for weight in ("kernel", "bias")]
    copy = keras.models.clone_model(model)
    assert [w.path for w in copy.weights] == [w.path for w in model.weights]


# ------------------------------------------------- weights that no call reaches; the lists are those of Keras 3.15.1


class Counted(keras.layers.Layer):
    def __init__(self, trainable_counter=False, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.beside = keras.layers.Dense(2), keras.layers.Dense(3)
        self.counter = self.add_weight(shape=(5,), trainable=trainable_counter, name="counter")

    def build(self, input_shape):
        self.beside.build(input_shape)
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(inputs)


def _around(layer):
    """A Sequential, a functional model, a model in a model."""
    stack = keras.Sequential([keras.Input((4,)), layer])
    x = keras.Input((4,))
    return stack, keras.Model(x, keras.layers.ReLU()(layer(x))), keras.Model(x, stack(x))


@pytest.mark.parametrize("trained", [False, True])
def test_weights_that_no_call_reaches_are_listed(trained):
    for model in _around(Counted(trained)):
        shapes = [tuple(w.shape) for w in model.weights]
        assert shapes == [(5,), (4, 2), (2,), (4, 3), (3,)]
        assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (4 + trained, 1 - trained)
        assert model.count_params() == 30
        model.set_weights([np.full(shape, i + 1.0) for i, shape in enumerate(shapes)])
        assert [w.flat[0] for w in model.get_weights()] == [1, 2, 3, 4, 5]
        np.testing.assert_array_equal(model.predict(np.ones((1, 4)), verbose=0), [[11.0, 11.0]])
        model.compile("adam", "mse")
        model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
        assert [w.flat[0] for w in model.get_weights()][0::3] == [1, 4]  # trained is what the outputs come from
        assert model.get_weights()[1].flat[0] < 2


def test_files_say_that_they_do_not_hold_them(tmp_path):
    for model in _around(Counted()):
        with pytest.warns(UserWarning, match=r"no call of model.*reaches some of its weights.*counter"):
            model.save_weights(tmp_path / "m.weights.h5")
