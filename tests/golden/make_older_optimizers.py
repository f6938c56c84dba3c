"""Make files that tf.keras wrote while it trained with its older optimizers, which tests/test_files_of_others.py reads.

With tf-keras, which is what tf.keras was before Keras 3, in this folder:

    pip install tensorflow-cpu==2.21.0 tf-keras==2.21.0  →  python make_older_optimizers.py

Writes ``older_NAME.h5``, a model after three steps, and ``older_optimizers.npz``: batches, and for each file the
weights after three more. Some inputs are tiny or 0, so that ε counts.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tf_keras as keras

L, optimizers = keras.layers, keras.optimizers
OPTIMIZERS = {
    "nadam": optimizers.legacy.Nadam(0.01, schedule_decay=0.1),
    "rmsprop": optimizers.legacy.RMSprop(0.01, centered=True, decay=0.1),
    "adagrad": optimizers.legacy.Adagrad(0.05, initial_accumulator_value=0.0),
    "ftrl": optimizers.legacy.Ftrl(0.05, l1_regularization_strength=0.01, beta=0.3),
    "adafactor": optimizers.Adafactor(0.05),
}
STEPS = 3
rng = np.random.default_rng(0)
x = rng.normal(size=(2 * STEPS, 8, 5)).astype("float32")
x[..., 0] *= 1e-4
x[..., 1] = 0
y = rng.normal(size=(2 * STEPS, 8, 3)).astype("float32")
keras.utils.set_random_seed(0)
first = None
results = {"x": x, "y": y}
for name, optimizer in OPTIMIZERS.items():
    model = keras.Sequential([L.InputLayer((5,)), L.Dense(3, activation="tanh", name="a"), L.Dense(3, name="b")])
    first = first or model.get_weights()
    model.set_weights(first)
    model.compile(optimizer, "mse")
    for step in range(STEPS):
        model.train_on_batch(x[step], y[step])
    model.save(f"older_{name}.h5")
    for step in range(STEPS, 2 * STEPS):
        model.train_on_batch(x[step], y[step])
    results[name] = np.concatenate([weight.reshape(-1) for weight in model.get_weights()])
np.savez_compressed("older_optimizers.npz", **results)
