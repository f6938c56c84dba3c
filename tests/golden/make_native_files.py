"""Write the golden file of minicnn's own format: once for each version of the format, never again.

python tests/golden/make_native_files.py
"""

import json
from pathlib import Path

import numpy as np

import minicnn as mc
from minicnn import layers
from minicnn.saving import native

FOLDER = Path(__file__).parent
NAME = f"native_v{native.FORMAT_VERSION}"


def main():
    """Train a small model with three steps, save it, and write down what it says."""
    mc.utils.set_random_seed(0)
    image = mc.Input((5, 5, 1), name="image")
    x = layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2")(image)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    shared = layers.Dense(3, name="shared")
    x = layers.Add()([shared(x), shared(layers.Dropout(0.2)(x))])
    inner = mc.Sequential([layers.Dense(3, activation="tanh")], name="inner")
    model = mc.Model(image, [inner(x), layers.Dense(2, activation="softmax", name="two")(x)], name="golden")
    schedule = mc.optimizers.schedules.InverseTimeDecay(0.01, 10, 0.5)
    model.compile(mc.optimizers.Adam(schedule), ["mse", "mae"], [["mae"], []], backend="numpy")
    data = np.linspace(-1, 1, 6 * 5 * 5).reshape(6, 5, 5, 1)
    model.fit(data, [np.ones((6, 3)), np.zeros((6, 2))], batch_size=2, verbose=0)
    model.save(FOLDER / f"{NAME}.safetensors")
    x = np.linspace(-1, 1, 2 * 5 * 5).reshape(2, 5, 5, 1)
    expected = {"outputs": [a.tolist() for a in model.predict(x)], "history": model.history.history}
    y = [np.ones((2, 3)), np.zeros((2, 2))]
    expected["losses"] = [float(model.train_on_batch(x, y)[0]) for _ in range(3)]
    (FOLDER / f"{NAME}.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
