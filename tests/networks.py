"""The documents' networks, written once for Keras and for minicnn; `k` is either module. No tests here."""


def cnn(k, *stack, shape=(28, 28, 1)):
    """A sequential model for images."""
    return k.Sequential([k.layers.Input(shape), *stack])


def d0(k):
    """MNIST classifier (225,034 parameters), also D3's."""
    L = k.layers
    return cnn(
        k,
        L.Conv2D(32, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(64, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(128, activation="relu"),
        L.Dense(10, activation="softmax"),
    )


def d1(k):
    """Fashion-MNIST, sigmoid output with a loss that takes logits (87,452 parameters)."""
    L = k.layers
    model = cnn(k, L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D())
    model.add(L.Conv2D(64, 3, activation="relu"))
    model.add(L.MaxPooling2D())
    model.add(L.Conv2D(64, 3, activation="relu"))
    model.add(L.Flatten())
    model.add(L.Dense(54, activation="relu"))
    model.add(L.Dense(10, activation="sigmoid"))
    return model


def d2(k, shape=(28, 28, 1), pooling=True):
    """net_1, and net_2 without pooling (1,625,866 parameters on MNIST)."""
    L = k.layers
    x = L.Input(shape)
    h = L.Conv2D(32, 3, padding="same", activation="relu")(x)
    h = L.Conv2D(64, 3, padding="same", activation="relu", strides=1 if pooling else 2)(h)
    h = L.MaxPooling2D()(h) if pooling else h
    h = L.Dense(128, activation="relu")(L.Flatten()(h))
    return k.Model(x, L.Dense(10, activation="softmax")(h))


def mlp(k, shape, *units):
    """D3's perceptron on flat images with 32, 64; D4's on images with 200, 150."""
    L = k.layers
    hidden = [L.Dense(n, activation="relu") for n in units]
    return cnn(k, *[L.Flatten()] * (len(shape) > 1), *hidden, L.Dense(10, activation="softmax"), shape=shape)


def _top(k, activation="relu"):
    """LeNet-5's dense layers."""
    L = k.layers
    hidden = [L.Dense(units, activation=activation) for units in (120, 84)]
    return [L.Flatten(), *hidden, L.Dense(10, activation="softmax")]


def lenet5(k, shape=(28, 28, 1)):
    """D4's LeNet-5 (44,426 parameters on MNIST)."""
    L = k.layers
    blocks = [L.Conv2D(6, 5, activation="relu"), L.MaxPooling2D(), L.Conv2D(16, 5, activation="relu"), L.MaxPooling2D()]
    return cnn(k, *blocks, *_top(k), shape=shape)


def lenet5_classic(k):
    """LeNet-5 with tanh and average pooling."""
    L = k.layers
    first = [L.Conv2D(6, 5, padding="same", activation="tanh"), L.AveragePooling2D(2)]
    second = [L.Conv2D(16, 5, activation="tanh"), L.AveragePooling2D(2)]
    return cnn(k, *first, *second, *_top(k, "tanh"))


def lenet5_better(k, augmented=True):
    """D4's better LeNet-5, for digits that were moved (198,526 parameters); its augmentation acts in training only."""
    L = k.layers
    pad = L.ZeroPadding2D(2)
    x = L.Input((28, 28, 1))
    h = k.Sequential([pad, *_augmentation(L)], name="aug")(x) if augmented else pad(x)
    for filters in (16, 32, 64):
        h = L.MaxPooling2D()(L.Conv2D(filters, 5, padding="same", activation="relu")(h))
    for layer in _top(k):
        h = layer(h)
    return k.Model(x, h)


def _augmentation(L):
    constant = {"fill_mode": "constant", "fill_value": 0.0}
    arguments = {
        "RandomTranslation": (0.08, 0.08),
        "RandomRotation": (0.1,),
        "RandomZoom": (0.1,),
        "RandomShear": (0.1,),
    }
    return [getattr(L, name)(*args, **constant) for name, args in arguments.items()]


NETWORKS = {
    "D0": d0,
    "D1": d1,
    "net_1 MNIST": d2,
    "net_2 MNIST": lambda k: d2(k, pooling=False),
    "net_1 CIFAR-10": lambda k: d2(k, (32, 32, 3)),
    "D3 MLP": lambda k: mlp(k, (784,), 32, 64),
    "D4 MLP MNIST": lambda k: mlp(k, (28, 28), 200, 150),
    "D4 MLP CIFAR-10": lambda k: mlp(k, (32, 32, 3), 200, 150),
    "LeNet-5": lenet5,
    "LeNet-5 classic": lenet5_classic,
    "LeNet-5 better": lambda k: lenet5_better(k, augmented=False),
    "LeNet-5 CIFAR-10": lambda k: lenet5(k, (32, 32, 3)),
}
"""Name → network."""
