"""The weights that training leads to, as hashes: what a change of the code's structure must not change.

    PYTHONPATH=CHECKOUT python benchmarks/bits.py [--backend numba …]

prints a SHA-256 of all weights for each network and backend. Only names of the public API are used, so that two
versions can be compared: run it once with each checkout on the path. On "cupy" without a GPU, the tests' stand-in
computes.
"""

import argparse
import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

import minicnn as mc
from minicnn import layers

STEPS, BATCH = 4, 16


def lenet5():
    """LeNet-5 of the documents, average pooling and tanh."""
    return mc.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def d0():
    """Convolution, ReLU and max pooling, fused."""
    return mc.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def net_1():
    """3 x 3 convolutions of many channels: Winograd's algorithm, with pooling."""
    return mc.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def net_2():
    """Strides in place of pooling."""
    return mc.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def augmented():
    """BatchNormalization, Dropout, augmentation, a branch and a shared layer."""
    x = inputs = layers.Input((16, 16, 3))
    for layer in (layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, 0.1), layers.RandomRotation(0.1)):
        x = layer(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x)))
    shared = layers.Conv2D(8, 3, padding="same", kernel_regularizer="l2", activation="relu")
    x = layers.Add()([x, shared(shared(x))])
    x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))
    return mc.Model(inputs, layers.Dense(10, activation="softmax")(x))


def two_outputs():
    """Two losses, one of which reads a value with another reader."""
    inputs = layers.Input((12, 12, 1))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Conv2D(5, 3, groups=1, activation="relu")(inputs))
    x = layers.Flatten()(x)
    first = layers.Dense(10, activation="softmax", name="first")(x)
    second = layers.Dense(1, activation="sigmoid", name="second")(layers.Concatenate()([x, first]))
    return mc.Model(inputs, [first, second])


NETWORKS = {f.__name__: f for f in (lenet5, d0, net_1, net_2, augmented, two_outputs)}
OPTIMIZERS = ("adam", "sgd", "adagrad", "adadelta", "rmsprop", "adamw")


def digest(name, optimizer, backend, networks=NETWORKS):
    """SHA-256 of a network's weights, predictions and losses after a few steps, the last of them short."""
    mc.utils.set_random_seed(7)
    model = networks[name]()
    several = len(model.outputs) > 1
    rng = np.random.default_rng(5)
    count = STEPS * BATCH - 5
    x = rng.random((count, *model.inputs[0].shape[1:]), np.float32)
    labels = rng.integers(10, size=count)
    y = [labels, (labels > 4).astype(np.float32)[:, None]] if several else labels
    losses = ["sparse_categorical_crossentropy", "binary_crossentropy"]
    model.compile(optimizer, losses if several else losses[0], backend=backend)
    history = model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, validation_split=0.2)
    outputs = model.predict(x)
    digest = hashlib.sha256(repr(history.history["loss"]).encode())
    for array in (*model.get_weights(), *(outputs if several else [outputs])):
        digest.update(array.tobytes())
    return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", nargs="+", default=["numba", "numpy"], choices=("numba", "numpy", "cupy"))
    options = parser.parse_args()
    if "cupy" in options.backend and not importlib.util.find_spec("cupy"):
        sys.path.insert(0, str(Path(mc.__file__).parents[1] / "tests" / "gpu_standin"))
    for backend in options.backend:
        for number, name in enumerate(NETWORKS):
            optimizer = OPTIMIZERS[number % len(OPTIMIZERS)]
            print(f"{backend:5} {name:12} {optimizer:8} {digest(name, optimizer, backend)}", flush=True)


if __name__ == "__main__":
    main()
