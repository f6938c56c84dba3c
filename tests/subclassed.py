"""Models of users' classes for tests of Keras's files, of layers of equal shapes; `k` is either library."""

import numpy as np

X = np.cos(np.arange(24, dtype=np.float32)).reshape(8, 3)


def make(k):
    """Name → what makes the model; and all classes by name."""
    layers = k.layers
    known = {}

    def known_class(cls):
        known[cls.__name__] = cls
        return k.saving.register_keras_serializable(package="tests")(cls)

    def dense(name):
        return layers.Dense(3, name=name)

    @known_class
    class Block(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.second, self.first = dense("second"), dense("first")
            self._last = layers.BatchNormalization(name="last")

        def build(self, shape):
            self.shift = self.add_weight(name="shift", shape=(3,), initializer="ones", trainable=False)
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            super().build(shape)

        def call(self, x, training=None):
            return self._last(self.second(self.first(x) * self.scale) + self.shift, training=training)

    @known_class
    class Attributes(k.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.out, self.Begin, self._hidden = dense("out"), dense("begin"), dense("hidden")
            self.again = self.out
            self.zero = dense("zero")

        @property
        def code(self):
            return self._hidden

        def call(self, x):
            return self.again(self.zero(self._hidden(self.Begin(x))))

    @known_class
    class Containers(k.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.tail = (dense("tail"),)
            self.blocks = []
            for i in range(2):
                self.blocks.append(dense(f"d{i}"))
                self.blocks.append(layers.BatchNormalization(name=f"n{i}"))
            self.deep = [[dense("p"), dense("q")], {"k": dense("r")}]
            self.heads = {"z": dense("z"), "a": dense("a")}

        def call(self, x, training=None):
            for part in self.blocks:
                x = part(x, training=training) if "n" in part.name else part(x)
            for name in ("a", "z"):
                x = self.heads[name](x)
            return self.tail[0](self.deep[1]["k"](self.deep[0][1](self.deep[0][0](x))))

    @known_class
    class Nested(k.Model):
        def __init__(self, count=2, **options):
            super().__init__(**options)
            self.count = count
            self.parts = [Block(name=f"b{i}") for i in range(count)]
            inputs = k.Input((3,))
            self.graph_of_two = k.Model(inputs, dense("g2")(dense("g1")(inputs)), name="functional")
            self.add = Attributes(name="inner")

        def call(self, x, training=None):
            for part in reversed(self.parts):
                x = part(x, training=training)
            return {"one": self.add(x), "two": self.graph_of_two(x)}

        def get_config(self):
            return {**super().get_config(), "count": self.count}

    @known_class
    class Owned(k.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.b, self.a = dense("b"), dense("a")
            self.shift = self.add_weight(name="shift", shape=(3,), initializer="zeros")

        def call(self, x):
            return self.b(self.a(x)) + self.shift

    def functional():
        inputs = k.Input((3,))
        return k.Model(inputs, Block(name="y")(dense("x")(Block(name="w")(inputs))))

    def stack():
        return k.Sequential([k.Input((3,)), Block(name="w"), Block(name="y")])

    return {
        "attributes": Attributes,
        "containers": Containers,
        "nested": Nested,
        "owned": Owned,
        "functional": functional,
        "stack": stack,
    }, known


def built(k, name):
    """The model, with weights."""
    model = make(k)[0][name]()
    model(X)
    return model


def leaves(y):
    """The outputs as a list."""
    return [np.asarray(y[key]) for key in sorted(y)] if isinstance(y, dict) else [np.asarray(y)]


def trained(k, model, compiled=False):
    """The losses of two epochs."""
    names = sorted(y) if isinstance(y := model.predict(X, verbose=0), dict) else None
    target = np.sin(np.arange(24, dtype=np.float32)).reshape(8, 3)
    if not compiled:
        losses = "mse" if names is None else dict.fromkeys(names, "mse")
        model.compile(k.optimizers.Adam(0.01), losses)
    target = target if names is None else dict.fromkeys(names, target)
    return model.fit(X, target, epochs=2, batch_size=4, shuffle=False, verbose=0).history["loss"]
