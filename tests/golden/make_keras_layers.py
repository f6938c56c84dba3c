"""Note down what Keras computes with tests/layer_cases.py, which tests/test_layers_as_in_keras.py compares.

In this folder, with Keras (3.15.1 on TensorFlow 2.21.0 wrote the file that is in the repository):

    python make_keras_layers.py

TensorFlow on a processor has no gradients for most layers of channels-first images: those are Keras's layer with
channels last, between two moves of the axis, and the activation behind them.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import tensorflow as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from layer_cases import CASES, FIRST, called, inputs, made, noted, slope, weight

RANDOM = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
RANDOM += ("AlphaDropout", "GaussianDropout", "GaussianNoise")
SINGLE = tuple(f"{kind}{what}Pooling3D" for kind in ("", "Adaptive") for what in ("Average", "Max"))  # of TensorFlow


class MovedAxis:
    """A layer for channels-first images by one for channels-last ones."""

    def __init__(self, layer, activation):
        self.layer, self.activation = layer, keras.activations.get(activation)

    def __call__(self, x, training):
        y = self.layer(keras.ops.moveaxis(x, 1, -1), training=training)
        return self.activation(keras.ops.moveaxis(y, -1, 1) if y.ndim > 2 else y)

    weights = property(lambda self: self.layer.weights)
    trainable_weights = property(lambda self: self.layer.trainable_weights)


def layer_of(name, options):
    """The layer of a case."""
    if name in SINGLE and "dtype" not in options:
        return InSinglePrecision(layer_of(name, options | {"dtype": "float32"}), None)
    inner = options.get("layer", (name, options))[1]
    if inner.get("data_format") != FIRST or name == "Flatten":
        return made(keras, name, options)
    last = {**inner, "data_format": "channels_last"} | ({"activation": None} if "activation" in inner else {})
    moved = MovedAxis(made(keras, options["layer"][0] if "layer" in options else name, last), inner.get("activation"))
    return Frames(moved) if "layer" in options else moved


class InSinglePrecision(MovedAxis):
    """A layer of float32 for numbers of float64."""

    def __call__(self, x, training):
        return tf.cast(call(self.layer, "", [tf.cast(x, tf.float32)], training), tf.float64)


class Frames(MovedAxis):
    """Keras's TimeDistributed around a layer for channels-first images: it is called on all frames at once."""

    def __init__(self, moved):
        self.layer, self.moved = moved.layer, moved

    def __call__(self, x, training):
        y = self.moved(keras.ops.reshape(x, (-1, *x.shape[2:])), training)
        return keras.ops.reshape(y, (*x.shape[:2], *y.shape[1:]))


def call(layer, name, values, training):
    """The layer's output; most layers take no `training`."""
    try:
        return called(layer, name, values, training=training)
    except TypeError:
        return called(layer, name, values)


def results(name, options, *shapes):
    """Part → what is noted of it; random layers are not run in training."""
    xs = [tf.constant(x) for x in inputs(shapes)]
    layer = layer_of(name, options)
    call(layer, name, xs, training=False)
    weights = [w for w in layer.weights if "seed" not in w.path]
    for place, variable in enumerate(weights):
        variable.assign(weight(place, variable.shape))
    found = {"weights": [list(w.shape) for w in weights], "y": noted(call(layer, name, xs, training=False))}
    if name in RANDOM:
        return found
    for place, variable in enumerate(weights):
        variable.assign(weight(place, variable.shape))
    trained = [w.value for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(xs)
        y = call(layer, name, xs, training=True)
        total = tf.reduce_sum(y * slope(y.shape))
        total += sum(getattr(layer, "losses", ()))  # a penalty on outputs
    gradients = tape.gradient(total, [*xs, *trained], unconnected_gradients="zero")
    gradients = [noted(tf.convert_to_tensor(g)) for g in gradients]
    found |= {"trained": noted(y), "dxs": gradients[: len(xs)], "gradients": gradients[len(xs) :]}
    return found | {"after": [noted(w) for w in weights]}


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    lines = [f'"{case}": {json.dumps(results(*arguments))}' for case, arguments in CASES.items()]
    (HERE / "keras_layers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
