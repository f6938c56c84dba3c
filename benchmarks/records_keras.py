"""A record with Keras on TensorFlow: what ``records_seed.py`` runs."""

import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from recipes import END, RISE, START, TEST_BATCH, moments, steps_of, views_of

import minicnn.data
import minicnn.utils


def run(recipe, seed, training, test):
    """(accuracy, seconds of training)."""
    (x, y), (x_test, y_test) = training, test
    keras.utils.set_random_seed(seed)
    model = network(recipe, x)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.smoothing)
    if not recipe.smoothing:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(recipe, len(x)), loss)
    begin = time.perf_counter()
    targets = keras.utils.to_categorical(y, 10) if recipe.smoothing else y
    if recipe.alternates:
        for epoch in range(recipe.epochs):
            images, epochs = (
                minicnn.data.alternating_flip(x, epoch, seed),
                {"initial_epoch": epoch, "epochs": epoch + 1},
            )
            model.fit(images, targets, batch_size=recipe.batch_size, verbose=0, **epochs)
    else:
        model.fit(x, targets, batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=0)
    seconds = time.perf_counter() - begin
    logits = sum(model.predict(view, batch_size=TEST_BATCH, verbose=0) for view in views_of(recipe, x_test))
    return float((logits.argmax(1) == y_test).mean()), seconds


def network(recipe, x):
    """The model, from bytes to logits."""
    layers, parts, convolutions = keras.layers, [keras.Input(x.shape[1:]), *prepared(recipe, x)], 0
    simple = {
        "pool": lambda: layers.MaxPooling2D(2),
        "pool3": lambda: layers.MaxPooling2D(3),
        "relu": layers.ReLU,
        "gelu": lambda: layers.Activation("gelu"),
        "flatten": layers.Flatten,
    }
    for entry in recipe.network:
        kind, *numbers = entry if isinstance(entry, tuple) else (entry,)
        if kind == "conv":
            filters, size, padding, bias = numbers
            whitens = recipe.whitens and not convolutions
            kernel = whitened(x) if whitens else first_values(recipe)
            options = {"kernel_initializer": kernel, "use_bias": bias and not whitens, "trainable": not whitens}
            parts.append(layers.Conv2D(filters, size, padding=padding, **options))
            parts += [Bias()] if bias and whitens else []
            convolutions += 1
        elif kind == "dense":
            parts.append(layers.Dense(numbers[0], use_bias=numbers[1]))
        elif kind == "scale":
            parts.append(layers.Rescaling(numbers[0]))
        elif kind == "norm":
            scale = recipe.optimizer == "adam"
            parts.append(layers.BatchNormalization(scale=scale, momentum=recipe.norm_momentum, epsilon=1e-5))
        else:
            parts.append(simple[kind]())
    return keras.Sequential(parts)


class Bias(keras.layers.Layer):
    """x + b, for a convolution whose kernel stays."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, inputs):
        return inputs + self.bias


def whitened(x):
    """The kernel that whitens patches of 2 × 2 pixels."""
    mean, deviation = moments(x)
    kernel = minicnn.utils.whitening_kernel((x[:5000].astype("float32") / 255 - mean) / deviation, 2)
    return lambda shape, dtype=None: kernel


def first_values(recipe):
    """Of a kernel: drawn, and passing channels on where the recipe says so."""
    drawn = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform") if recipe.optimizer == "sgd" else None

    def values(shape, dtype=None):
        kernel = np.array((drawn or keras.initializers.GlorotUniform())(shape))
        if recipe.dirac:
            passed = min(shape[-2:])
            kernel[..., :passed] = 0
            kernel[shape[0] // 2, shape[1] // 2, range(passed), range(passed)] = 1
        return kernel

    return values


def prepared(recipe, x):
    """The layers that bytes pass first: scaled, and moved in training."""
    layers, height = keras.layers, x.shape[1]
    mean, deviation = moments(x) if recipe.standardizes else (np.zeros(1), np.ones(1))
    yield layers.Rescaling((1 / (255 * deviation)).tolist(), (-mean / deviation).tolist())
    edges = {"fill_mode": "reflect" if recipe.flip else "constant"}
    if recipe.flip and not recipe.alternates:
        yield layers.RandomFlip("horizontal")
    if recipe.shift:
        part = (recipe.shift + 0.5 * (not recipe.turn)) / height
        yield layers.RandomTranslation(part, part, **edges, interpolation="bilinear" if recipe.turn else "nearest")
    if recipe.turn:
        yield layers.RandomRotation(recipe.turn, **edges)
    if recipe.zoom:
        yield layers.RandomZoom(recipe.zoom, **edges)
    if recipe.cutout:
        part = (recipe.cutout / height) ** 2
        yield layers.RandomErasing((1, 1), (part, part), fill_value=0, value_range=(-9, 9))


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine wave up, half a one down."""

    def __init__(self, highest, total):
        self.highest, self.total = highest, total

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        first, turn = self.highest / START, RISE * self.total - 1
        last = first / END
        up = self.highest + (first - self.highest) * (1 + keras.ops.cos(math.pi * step / turn)) / 2
        part = keras.ops.minimum((step - turn) / (self.total - 1 - turn), 1.0)
        down = last + (self.highest - last) * (1 + keras.ops.cos(math.pi * part)) / 2
        return keras.ops.where(step <= turn, up, down)


def optimizer(recipe, count):
    """The rule; Keras has neither a rate for biases alone nor Lookahead."""
    rate = OneCycle(recipe.rate, steps_of(recipe, count))
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, beta_1=0.7, beta_2=0.9)
    rule = keras.optimizers.SGD(rate, recipe.momentum, nesterov=True, weight_decay=recipe.decay or None)
    rule.exclude_from_weight_decay(var_names=["bias", "beta"])
    return rule
