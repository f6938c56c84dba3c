"""Make a small file with the structure that Teachable Machine exports, which tests/test_files_of_others.py reads.

With tf-keras, which is what tf.keras was before Keras 3, in this folder:

    pip install tensorflow-cpu==2.21.0 tf-keras==2.21.0  →  python make_nested_files.py

A stack of two stacks: a network with shortcuts and depthwise convolutions, and a pooling layer; then two dense
layers. The names are those that TensorFlow.js gives. Writes ``tfkeras_nested.h5``, which is not compiled, and
``tfkeras_nested.npz``: images, what the file predicts, and the losses of five steps of the model once it is compiled.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tf_keras as keras

L = keras.layers
STEPS, BATCH = 5, 4


def bottleneck(x, filters, stride, name):
    """Expansion, depthwise convolution, projection (Sandler et al., 2018)."""
    h = x
    for part, layer in (
        ("expand", L.Conv2D(8, 1, use_bias=False, padding="same", name=f"{name}_expand")),
        ("depthwise", L.DepthwiseConv2D(3, strides=stride, use_bias=False, padding="valid" if stride == 2 else "same")),
    ):
        if part == "depthwise" and stride == 2:
            h = L.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(h)
        h = L.BatchNormalization(epsilon=1e-3, momentum=0.999, name=f"{name}_{part}_BN")(layer(h))
        h = L.ReLU(6.0, name=f"{name}_{part}_relu")(h)
    h = L.Conv2D(filters, 1, use_bias=False, padding="same", name=f"{name}_project")(h)
    h = L.BatchNormalization(epsilon=1e-3, momentum=0.999, name=f"{name}_project_BN")(h)
    return L.Add(name=f"{name}_add")([x, h]) if stride == 1 else h


def network():
    images = L.Input((12, 12, 3), name="input_1")
    h = L.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="Conv1")(images)
    h = L.ReLU(6.0, name="Conv1_relu")(L.BatchNormalization(epsilon=1e-3, momentum=0.999, name="bn_Conv1")(h))
    h = bottleneck(bottleneck(h, 4, 1, "block_1"), 6, 2, "block_2")
    base = keras.Model(images, L.ReLU(6.0, name="out_relu")(h), name="model1")
    pooled = L.GlobalAveragePooling2D(name="global_average_pooling2d_GlobalAveragePooling2D1")
    varied = {"kernel_initializer": "variance_scaling"}
    head = keras.Sequential(
        [
            L.Dense(5, activation="relu", input_shape=(6,), name="dense_Dense1", **varied),
            L.Dense(3, activation="softmax", use_bias=False, name="dense_Dense2", **varied),
        ],
        name="sequential_3",
    )
    return keras.Sequential([keras.Sequential([base, pooled], name="sequential_1"), head], name="sequential_4")


keras.utils.set_random_seed(3)
rng = np.random.default_rng(0)
model = network()
for weight in model.weights:  # as if it were trained
    low, high = {"gamma": (1.0, 2.5), "moving_variance": (0.5, 1.5)}.get(weight.name.split("/")[-1][:-2], (-1.0, 1.0))
    weight.assign(rng.uniform(low, high, weight.shape))
x = rng.uniform(-1, 1, (STEPS * BATCH, 12, 12, 3)).astype(np.float32)
y = np.eye(3, dtype=np.float32)[rng.integers(3, size=len(x))]
results = {"x": x, "y": y, "predicted": model.predict(x, verbose=0)}
model.save("tfkeras_nested.h5")
model.compile("adam", "categorical_crossentropy", metrics=["acc"])
batches = [slice(start, start + BATCH) for start in range(0, len(x), BATCH)]
results["losses"] = np.float32([model.train_on_batch(x[batch], y[batch])[0] for batch in batches])
np.savez_compressed("tfkeras_nested.npz", **results)
