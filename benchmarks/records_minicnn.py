"""A record with minicnn: what ``records_seed.py`` runs."""

import itertools
import time

import numpy as np
from recipes import END, LAST_STEP_SIZE, RISE, START, TEST_BATCH, moments, steps_of

import minicnn as mc
from minicnn import layers, optimizers
from minicnn.initializers import Dirac, VarianceScaling
from minicnn.optimizers.schedules import OneCycle, PolynomialDecay

mc.backends.current()  # imports its compiler


def run(recipe, seed, training, test):
    """(accuracy, seconds of training)."""
    (x, y), (x_test, y_test) = training, test
    mc.utils.set_random_seed(seed)
    model = network(recipe, x)
    loss = mc.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.smoothing)
    if not recipe.smoothing:
        loss = mc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(recipe, len(x)), loss)
    begin = time.perf_counter()
    targets = mc.utils.to_categorical(y, 10) if recipe.smoothing else y
    if recipe.alternates:
        for epoch in range(recipe.epochs):
            images = mc.data.alternating_flip(x, epoch, seed)
            model.fit(images, targets, recipe.batch_size, initial_epoch=epoch, epochs=epoch + 1, verbose=0)
    else:
        model.fit(x, targets, batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=0)
    seconds = time.perf_counter() - begin
    views = mc.utils.predict_views(model, x_test, recipe.views, recipe.view_shift, batch_size=TEST_BATCH)
    return float((views.argmax(1) == y_test).mean()), seconds


def network(recipe, x):
    """The model, from bytes to logits."""
    steps = [mc.Input(x.shape[1:]), *prepared(recipe, x)]
    kernels = kernel_initializers(recipe, x)
    names = (f"conv{number}" for number in itertools.count())
    for entry in recipe.network:
        kind, *numbers = entry if isinstance(entry, tuple) else (entry,)
        if kind == "conv":
            filters, size, padding, bias = numbers
            options = {"kernel_initializer": next(kernels), "name": next(names)}
            steps.append(layers.Conv2D(filters, size, padding=padding, use_bias=bias, **options))
        elif kind == "dense":
            steps.append(layers.Dense(numbers[0], use_bias=numbers[1]))
        elif kind == "scale":
            steps.append(layers.Rescaling(numbers[0]))
        elif kind == "norm":
            scale = recipe.optimizer == "adam"
            steps.append(layers.BatchNormalization(scale=scale, momentum=recipe.norm_momentum, epsilon=1e-5))
        else:
            steps.append(SIMPLE[kind]())
    return mc.Sequential(steps)


SIMPLE = {
    "pool": lambda: layers.MaxPooling2D(2),
    "pool3": lambda: layers.MaxPooling2D(3),
    "relu": layers.ReLU,
    "gelu": lambda: layers.Activation("gelu"),
    "flatten": layers.Flatten,
}


def prepared(recipe, x):
    """The layers that bytes pass first: scaled, and moved in training."""
    height = x.shape[1]
    mean, deviation = moments(x) if recipe.standardizes else (np.zeros(1), np.ones(1))
    yield layers.Rescaling((1 / (255 * deviation)).tolist(), (-mean / deviation).tolist())
    edges = {"fill_mode": "reflect" if recipe.flip else "constant"}
    if recipe.flip and not recipe.alternates:
        yield layers.RandomFlip("horizontal")
    if recipe.shift:
        part = (recipe.shift + 0.5 * (not recipe.turn)) / height
        sampling = {} if recipe.turn else {"interpolation": "nearest"}  # whole pixels
        yield layers.RandomTranslation(part, part, **edges, **sampling)
    if recipe.turn:
        yield layers.RandomRotation(recipe.turn, **edges)
    if recipe.zoom:
        yield layers.RandomZoom(recipe.zoom, **edges)
    if recipe.cutout:
        part = (recipe.cutout / height) ** 2
        yield layers.RandomErasing((1, 1), (part, part), fill_value=0, value_range=(-9, 9))


def kernel_initializers(recipe, x):
    """One for each convolution."""
    if recipe.whitens:
        mean, deviation = moments(x)
        yield mc.utils.whitening_kernel((x[:5000].astype("float32") / 255 - mean) / deviation, 2)
    drawn = "glorot_uniform"
    if recipe.optimizer == "sgd":
        drawn = VarianceScaling(1 / 3, "fan_in", "uniform")  # PyTorch's default
    while True:
        yield Dirac(rest=drawn) if recipe.dirac else drawn


def optimizer(recipe, count):
    """The rule."""
    steps = steps_of(recipe, count)
    rate = OneCycle(recipe.rate, steps, RISE, START, END)
    if recipe.optimizer == "adam":
        return optimizers.Adam(rate, beta_1=0.7, beta_2=0.9)
    multipliers = {"conv0/kernel": 0.0} if recipe.whitens else {}
    multipliers["bias|beta"] = recipe.bias_rate
    options = {"weight_decay": recipe.decay or None, "learning_rate_multipliers": multipliers}
    rule = optimizers.SGD(rate, recipe.momentum, nesterov=True, **options)
    rule.exclude_from_weight_decay(var_names=["bias", "beta"])
    if not recipe.lookahead:
        return rule
    return optimizers.Lookahead(rule, recipe.lookahead, PolynomialDecay(1.0, steps, LAST_STEP_SIZE, 0.5))
