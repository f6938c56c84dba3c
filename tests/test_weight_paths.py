"""``weight.path``: the names of the layers and models in which a layer was first called, as in Keras 3.15.1."""

import numpy as np
import pytest

from minicnn import keras
from minicnn.keras import layers

X = np.ones((2, 4), "float32")  # (2, 4)


class Block(layers.Layer):
    """Of two layers, held in one way or another."""

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how = how
        a, b = layers.Dense(3, name="a"), layers.Dense(2, name="b")
        if how == "attributes":
            self.first, self.second = a, b
        elif how == "list":
            self.held = [a, b]
        elif how == "dict":
            self.held = {"x": a, "y": b}
        elif how == "stack":
            self.held = [keras.Sequential([a, b], name="sq")]
        elif how == "nested":
            self.held = [Block("attributes", name="inn")]

    def call(self, x):
        held = [self.first, self.second] if self.how == "attributes" else self.held
        for layer in held.values() if isinstance(held, dict) else held:
            x = layer(x)
        return x


class MadeInBuild(layers.Layer):
    def __init__(self, builds, **kwargs):
        super().__init__(**kwargs)
        self.builds = builds

    def build(self, input_shape):
        self.d = layers.Dense(3, name="d")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        if self.builds:
            self.d.build(input_shape)

    def call(self, x):
        return self.d(x) * self.scale


class Attends(layers.Layer):
    """With attention that is called, or built before by the layer's own `build`."""

    def __init__(self, builds, **kwargs):
        super().__init__(**kwargs)
        self.g, self.m = layers.GroupQueryAttention(2, 2, 1, name="g"), layers.MultiHeadAttention(1, 2, name="m")
        self.s = layers.Attention(use_scale=True, name="s")
        self.builds = builds

    def build(self, input_shape):
        if self.builds:
            self.g.build((None, 2, 2), (None, 2, 2))

    def call(self, x):
        x = keras.ops.reshape(x, (-1, 2, 2))
        x = self.m(self.g(x, x), x)
        return self.s([x, x])


class Net(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.b, self.o = MadeInBuild(True, name="ib"), layers.Dense(1, name="o")

    def call(self, x):
        return self.o(self.b(x))


def stack(layer):
    return keras.Sequential([keras.Input((4,)), layer], name="s")


def functional():
    start = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="d")], name="inner")
    between = keras.Input((3,))
    graph = keras.Model(between, layers.Dense(2, name="e")(between), name="graph")
    return keras.Model(start, Block("list", name="blk")(graph(inner(start))), name="outer")


IN_BLOCK = "s/blk/a s/blk/b"
PARTS = ("query", "key", "value", "attention_output")
IN_ATTENTION = " ".join([*(f"s/at/{name}/{part}" for name in "gm" for part in PARTS), "s/at/s"])
CASES = {
    "stack": (lambda: stack(layers.Dense(3, name="a")), "s/a"),
    "late stack": (
        lambda: keras.Sequential([keras.Sequential([layers.Dense(2, name="q")], name="in")], name="s"),
        "s/in/q",
    ),
    "functional": (functional, "inner/d e blk/a blk/b"),
    "attributes": (lambda: stack(Block("attributes", name="blk")), IN_BLOCK),
    "list": (lambda: stack(Block("list", name="blk")), IN_BLOCK),
    "dict": (lambda: stack(Block("dict", name="blk")), IN_BLOCK),
    "stack in a layer": (lambda: stack(Block("stack", name="blk")), "s/blk/sq/a s/blk/sq/b"),
    "nested": (lambda: stack(Block("nested", name="blk")), "s/blk/inn/a s/blk/inn/b"),
    "built in build": (lambda: stack(MadeInBuild(True, name="ib")), "s/ib s/ib/d"),
    "made in build": (lambda: stack(MadeInBuild(False, name="ib")), "s/ib s/ib/d"),
    "attention": (lambda: stack(Attends(False, name="at")), IN_ATTENTION),
    "attention built in build": (lambda: stack(Attends(True, name="at")), IN_ATTENTION),
    "subclass": (Net, "net/ib net/ib/d net/o"),
}


@pytest.mark.parametrize("name", CASES)
def test_paths_begin_with_where_a_layer_was_first_called(name):
    make, expected = CASES[name]
    model = make()
    model(X)
    assert list(dict.fromkeys(weight.path.rpartition("/")[0] for weight in model.weights)) == expected.split()


def test_a_layer_that_has_been_called_keeps_its_path():
    layer = layers.Dense(4, name="shared")
    layer(keras.Input((4,)))
    assert [weight.path for weight in stack(layer).weights] == ["shared/kernel", "shared/bias"]


def test_weight_decay_leaves_out_a_part_of_the_network_by_its_name():
    """Of gradients 0, weights decay alone: by the rate, 0.5, times the decay, 0.1."""
    model = keras.Sequential([keras.Input((4,)), Block("list", name="encoder"), layers.Dense(1, name="o")])
    optimizer = keras.optimizers.SGD(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["encoder"])
    model.compile(optimizer, lambda y_true, y_pred: keras.ops.mean(y_pred * 0.0, axis=-1))
    before = model.get_weights()
    model.fit(X, np.ones((2, 1)), batch_size=2, epochs=1, verbose=0)
    for old, new, factor in zip(before, model.get_weights(), [1, 1, 1, 1, 0.95, 0.95], strict=True):
        np.testing.assert_allclose(new, old * factor, rtol=1e-6)


def test_one_weight_of_a_layer_is_not_frozen_alone():
    layer = layers.EinsumDense("ab,bc->ac", 2, bias_axes="c", name="e")
    layer.build((None, 4))
    with pytest.raises(NotImplementedError, match=r"trained together.*trainable=False for 'e/bias'$"):
        layer.bias.trainable = False
    layer.bias.trainable = True
    layer.trainable = False
    layer.bias.trainable = False
    assert layer.trainable_weights == []


def test_a_layer_may_have_a_scope_of_its_own():
    class Scoped(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self._scope, self.inner = None, layers.Dense(2, name="inner")

        def call(self, x):
            return self.inner(x)

    layer = Scoped(name="outer")
    layer(X)
    assert [w.path for w in layer.weights] == ["outer/inner/kernel", "outer/inner/bias"]


@pytest.mark.parametrize("base", [keras.Model, keras.Sequential])
def test_a_model_may_have_parts_of_its_own(base):
    class Parted(base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.parts = [layers.Dense(2, name="inner")]
            if base is keras.Sequential:
                self.add(self.parts[0])

        def call(self, x):
            return self.parts[0](x)

    model = Parted(name="outer")
    model(X)
    assert [w.path for w in model.weights] == ["outer/inner/kernel", "outer/inner/bias"]
