"""The documents' networks, written once for Keras and for minicnn; `k` is either module. No tests here."""


def d0(k):
    """MNIST classifier (225,034 parameters), also D3's."""
    L = k.layers
    return k.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Conv2D(32, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(64, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(128, activation="relu"),
            L.Dense(10, activation="softmax"),
        ]
    )


def d1(k):
    """Fashion-MNIST, sigmoid output with a loss that takes logits (87,452 parameters)."""
    L = k.layers
    model = k.Sequential([L.Input((28, 28, 1)), L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D()])
    model.add(L.Conv2D(64, 3, activation="relu"))
    model.add(L.MaxPooling2D())
    model.add(L.Conv2D(64, 3, activation="relu"))
    model.add(L.Flatten())
    model.add(L.Dense(54, activation="relu"))
    model.add(L.Dense(10, activation="sigmoid"))
    return model


def d2(k, pooling=True):
    """net_1, and net_2 without pooling (1,625,866 parameters)."""
    L = k.layers
    x = L.Input((28, 28, 1))
    h = L.Conv2D(32, 3, padding="same", activation="relu")(x)
    h = L.Conv2D(64, 3, padding="same", activation="relu", strides=1 if pooling else 2)(h)
    h = L.MaxPooling2D()(h) if pooling else h
    h = L.Dense(128, activation="relu")(L.Flatten()(h))
    return k.Model(x, L.Dense(10, activation="softmax")(h))


def d3(k):
    """The MLP for digits, on flat images."""
    L = k.layers
    widths = [L.Dense(32, activation="relu"), L.Dense(64, activation="relu"), L.Dense(10, activation="softmax")]
    return k.Sequential([L.Input((784,)), *widths])


def d4(k):
    """LeNet-5 (44,426 parameters)."""
    L = k.layers
    return k.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Conv2D(6, 5, activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(16, 5, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(120, activation="relu"),
            L.Dense(84, activation="relu"),
            L.Dense(10, activation="softmax"),
        ]
    )


def d4_augmented(k):
    """The better LeNet-5, for digits that were moved (198,526 parameters); its augmentation acts in training only."""
    L = k.layers
    names = ("RandomTranslation", "RandomRotation", "RandomZoom", "RandomShear")
    arguments = ((0.08, 0.08), (0.1,), (0.1,), (0.1,))
    constant = {"fill_mode": "constant", "fill_value": 0.0}
    aug = [getattr(L, name)(*args, **constant) for name, args in zip(names, arguments, strict=True)]
    x = L.Input((28, 28, 1))
    h = k.Sequential([L.ZeroPadding2D(2), *aug], name="aug")(x)
    for filters in (16, 32, 64):
        h = L.MaxPooling2D()(L.Conv2D(filters, 5, padding="same", activation="relu")(h))
    h = L.Flatten()(h)
    for units in (120, 84):
        h = L.Dense(units, activation="relu")(h)
    return k.Model(x, L.Dense(10, activation="softmax")(h))


CASES = {
    "D0": (d0, lambda k: k.optimizers.Adam(), 32),
    "D1": (d1, lambda k: k.optimizers.Adam(), 32),
    "D2 Adadelta": (d2, lambda k: k.optimizers.Adadelta(0.1), 16),
    "D2 Adagrad, no pooling": (lambda k: d2(k, pooling=False), lambda k: k.optimizers.Adagrad(), 16),
    "D3": (d3, lambda k: k.optimizers.RMSprop(), 100),
    "D4": (d4, lambda k: k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.1, 20), momentum=0.9), 32),
    "D4 AdamW": (d4, lambda k: k.optimizers.AdamW(clipnorm=1.0), 32),
}
"""Name → (network, optimizer, batch size)."""
