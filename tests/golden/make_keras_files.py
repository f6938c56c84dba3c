"""Make the golden files that tests/test_keras_files.py reads, with real Keras.

Keras 3 and Keras 2 cannot share an environment; run this once in each, in this folder:

    pip install tensorflow-cpu==2.21.0 keras==3.15.1          →  python make_keras_files.py
    pip install tensorflow-cpu==2.14.1 "numpy<2" (Python ≤ 3.11)  →  python make_keras_files.py

Each run writes its model files and ``keras<n>.npz``: inputs, each file's predictions, and the losses of ten further
training steps after the file was written. The versions above wrote the files that are in the repository.
"""

import os
import zipfile
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
from tensorflow import keras

MAJOR = int(version("keras").split(".")[0])
STEPS, BATCH = 10, 8
L = keras.layers


def network():
    """Every kind of layer that both libraries have, with a nested model, a layer used twice and one that is frozen."""
    inner = keras.Sequential(
        [L.Conv2D(3, 2, padding="same", name="c"), L.BatchNormalization(momentum=0.8, name="n"), L.LeakyReLU(name="l")],
        name="inner",
    )
    x = L.Input((9, 8, 2), name="images")
    h = L.ZeroPadding2D(((1, 0), (0, 1)))(x)
    h = L.Conv2D(4, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3), name="first")(h)
    h = L.MaxPooling2D(2, strides=1, padding="same")(h)
    a = inner(h)
    b = L.Conv2D(3, 1, groups=1, use_bias=False, activation=L.ReLU(max_value=2.0), name="second")(h)
    frozen = L.Conv2D(3, 1, trainable=False, name="frozen")
    h = L.Concatenate()([L.Add()([a, b]), frozen(h)])
    twice = L.Dense(6, activation="tanh", name="twice")
    h = twice(twice(h))
    h = L.AveragePooling2D((2, 1))(h)
    flat = L.Dropout(0.0)(L.Flatten()(L.Activation("sigmoid")(h)))
    pooled = L.Concatenate()([L.GlobalAveragePooling2D()(h), L.GlobalMaxPooling2D()(h)])
    pooled = L.Reshape((12,))(L.Reshape((3, -1))(L.ReLU()(pooled)))
    h = L.Concatenate(axis=1)([flat, pooled])
    return keras.Model(x, L.Softmax()(L.Dense(5, name="last")(h)), name="network")


def sequence():
    """A stack whose first layer knows the input's shape."""
    if MAJOR == 2:
        return keras.Sequential([L.Conv2D(3, 2, input_shape=(9, 8, 2)), L.Flatten(), L.Dense(5, activation="softmax")])
    return keras.Sequential([L.Input((9, 8, 2)), L.Conv2D(3, 2), L.Flatten(), L.Dense(5, activation="softmax")])


def augmentation():
    names = ["RandomTranslation", "RandomRotation", "RandomZoom", "RandomFlip", "RandomShear"]
    arguments = [(0.1, 0.2), (0.1,), (0.1,), ("horizontal",), (0.1,)]
    layers = [
        getattr(L, name)(*a, **({} if name == "RandomFlip" else {"fill_mode": "constant", "fill_value": 0.5}))
        for name, a in zip(names, arguments, strict=True)
        if hasattr(L, name)
    ]
    return keras.Sequential([L.Input((9, 8, 2)), keras.Sequential(layers, name="aug"), L.Flatten(), L.Dense(5)])


rng = np.random.default_rng(5)
x = rng.normal(size=(BATCH * STEPS, 9, 8, 2)).astype(np.float32)
y = rng.integers(5, size=len(x))
results = {"x": x, "y": y}


def train(model):
    """The losses of one pass over the data."""
    losses = []
    for start in range(0, len(x), BATCH):
        batch = slice(start, start + BATCH)
        losses.append(float(np.ravel(model.train_on_batch(x[batch], y[batch]))[0]))
    return losses


def keep(model, paths):
    """Write the model, then what it predicts and how its training goes on."""
    for path in paths:
        model.save(path)
        if path.endswith(".keras"):
            without_date(path)
    predicted = model.predict(x, verbose=0)
    losses = train(model) if getattr(model, "optimizer", None) else []
    for path in paths:
        results[f"{path}/predicted"], results[f"{path}/losses"] = predicted, np.asarray(losses, np.float32)


def without_date(path):
    """Write the archive again with fixed dates, so that files differ only where models do."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def compiled(model, optimizer):
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    train(model)
    return model


keras.utils.set_random_seed(7)
schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
model = compiled(network(), keras.optimizers.Adam(schedule))
if MAJOR == 3:
    keep(model, ["keras3.keras", "keras3.h5"])
    weights = network()
    weights.save_weights("keras3.weights.h5")
    results["keras3.weights.h5/predicted"] = weights.predict(x, verbose=0)
    keep(compiled(sequence(), keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)), ["keras3_sgd.keras"])
    keep(augmentation(), ["keras3_augmentation.keras"])
else:
    keep(model, ["keras2.keras", "keras2.h5"])
    weights = network()
    weights.save_weights("keras2_weights.h5")  # the layout of HDF5 attributes
    weights.save_weights("keras2.weights.h5")  # the layout of .keras
    for name in ("keras2_weights.h5", "keras2.weights.h5"):
        results[f"{name}/predicted"] = weights.predict(x, verbose=0)
    old = keras.optimizers.legacy.Adam(0.01, decay=1e-2)
    keep(compiled(sequence(), old), ["keras2_legacy_adam.h5"])
    keep(compiled(sequence(), keras.optimizers.legacy.SGD(0.05, momentum=0.9)), ["keras2_legacy_sgd.h5"])
    keep(compiled(sequence(), keras.optimizers.Adagrad(0.05)), ["keras2_adagrad.keras"])
    keep(augmentation(), ["keras2_augmentation.h5"])
np.savez_compressed(f"keras{MAJOR}.npz", **results)
