"""Constraints, regularizers, initializers, activations and utils, as Keras has them. No tests here: `part_cases.py`."""

import numpy as np
from part_cases import array_of, note, wave

WEIGHT = (4, 3)
SHAPES = (6,), (5, 4), (3, 4, 6), (3, 2, 4, 5)
LARGE = (60_000,), (300, 200), (3, 100, 200), (3, 2, 100, 150)

CONSTRAINTS = {
    "MaxNorm": [{}, {"max_value": 0.5}, {"max_value": 0.7, "axis": 1}, {"max_value": 0.9, "axis": [0, 1]}],
    "MinMaxNorm": [
        {},
        {"min_value": 0.9, "max_value": 1.1},
        {"min_value": 1.5, "max_value": 2.0, "rate": 0.4, "axis": 1},
        {"min_value": 0.2, "max_value": 0.4, "axis": [0, 1]},
    ],
    "NonNeg": [{}],
    "UnitNorm": [{}, {"axis": 1}, {"axis": [0, 1]}],
}
REGULARIZERS = {
    "L1": [{}, {"l1": 0.3}],
    "L1L2": [{"l1": 0.3}, {"l2": 0.2}, {"l1": 0.1, "l2": 0.4}],
    "L2": [{}, {"l2": 0.3}],
    "OrthogonalRegularizer": [{}, {"factor": 0.3}, {"factor": 0.2, "mode": "columns"}],
}
_SCALED = [
    {"scale": scale, "mode": mode, "distribution": distribution}
    for scale, mode, distribution in (
        (2.0, "fan_out", "uniform"),
        (0.5, "fan_avg", "untruncated_normal"),
        (3.0, "fan_in", "truncated_normal"),
    )
]
INITIALIZERS = {
    "Constant": [{}, {"value": 0.7}],
    "GlorotNormal": [{}],
    "GlorotUniform": [{}],
    "HeNormal": [{}],
    "HeUniform": [{}],
    "Identity": [{}, {"gain": 2.0}],
    "LecunNormal": [{}],
    "LecunUniform": [{}],
    "Ones": [{}],
    "Orthogonal": [{}, {"gain": 3.0}],
    "RandomNormal": [{}, {"mean": 1.0, "stddev": 0.2}],
    "RandomUniform": [{}, {"minval": 1.0, "maxval": 1.5}],
    "TruncatedNormal": [{}, {"mean": 1.0, "stddev": 0.2}],
    "VarianceScaling": [{}, *_SCALED],
    "Zeros": [{}],
}
EXACT = "Constant", "Identity", "Ones", "Zeros"
"""Initializers that draw nothing."""

ACTIVATIONS = {
    "celu": [{}, {"alpha": 0.4}],
    "elu": [{}, {"alpha": 0.4}],
    "exponential": [{}],
    "gelu": [{}, {"approximate": True}],
    "glu": [{}, {"axis": 0}],
    "hard_shrink": [{}, {"threshold": 1.0}],
    "hard_sigmoid": [{}],
    "hard_silu": [{}],
    "hard_swish": [{}],
    "hard_tanh": [{}],
    "leaky_relu": [{}, {"negative_slope": 0.4}],
    "linear": [{}],
    "log_sigmoid": [{}],
    "log_softmax": [{}, {"axis": 0}],
    "mish": [{}],
    "relu": [{}, {"negative_slope": 0.3}, {"max_value": 1.5, "threshold": 0.5}],
    "relu6": [{}],
    "selu": [{}],
    "sigmoid": [{}],
    "silu": [{}],
    "soft_shrink": [{}, {"threshold": 1.0}],
    "softmax": [{}, {"axis": 0}],
    "softplus": [{}],
    "softsign": [{}],
    "sparse_plus": [{}],
    "sparse_sigmoid": [{}],
    "squareplus": [{}, {"b": 2}],
    "swish": [{}],
    "tanh": [{}],
    "tanh_shrink": [{}],
    "threshold": [{"threshold": 0.5, "default_value": 0.25}],
}
"""Function → options."""

POINTS = np.r_[np.linspace(-8.3, 8.3, 28), -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 3.0, 6.0, -6.0, -2.5, 2.5].reshape(
    4, 10
)
"""Forty places, with the kinks of all functions."""


def each(cases):
    """(name of the case, class or function, options)"""
    return [(f"{name} {options}", name, options) for name, several in cases.items() for options in several]


def constrained(keras, name, options):
    return note(getattr(keras.constraints, name)(**options)(keras.ops.convert_to_tensor(wave(WEIGHT, 2))))


def penalty(keras, tf, name, options):
    """[penalty, its gradient]; Keras's orthogonal one takes float32 alone on TensorFlow."""
    dtype = "float32" if name == "OrthogonalRegularizer" else "float64"
    w = tf.Variable(wave(WEIGHT, 2), dtype=dtype)
    with tf.GradientTape() as tape:
        value = getattr(keras.regularizers, name)(**options)(w)
    return [note(value), note(tape.gradient(value, w))]


def drawn(keras, name, options):
    """Of deterministic ones the arrays, of others how far numbers spread in many shapes."""
    if name in EXACT:
        initializer = getattr(keras.initializers, name)(**options)
        return [note(initializer(shape)) for shape in SHAPES if len(shape) == 2 or name != "Identity"]
    if name == "Orthogonal":
        return [lengths(keras, options, shape) for shape in SHAPES[1:]]
    return [spread(getattr(keras.initializers, name)(seed=7, **options)(shape)) for shape in LARGE]


def spread(drawn_numbers):
    """(mean, standard deviation, largest distance from the mean) of tens of thousands of numbers."""
    array = array_of(drawn_numbers)
    return [float(array.mean()), float(array.std()), float(np.abs(array - array.mean()).max())]


def lengths(keras, options, shape):
    """The products of the rows or columns of a matrix among each other: gain² times the unit matrix."""
    array = array_of(keras.initializers.Orthogonal(seed=7, **options)(shape)).reshape(-1, shape[-1])
    return note(array.T @ array if len(array) >= len(array.T) else array @ array.T)


def activated(keras, tf, name, options):
    """[values, slopes]"""
    function = getattr(keras.activations, name)
    x = tf.Variable(POINTS, dtype="float64")
    with tf.GradientTape() as tape:
        y = function(x, **options)
        total = tf.reduce_sum(y * wave(y.shape, 4))
    return [array_of(y).ravel().tolist(), array_of(tape.gradient(total, x)).ravel().tolist()]


UTILS = {
    "to_categorical": [([[0, 2], [1, 3]], {}), ([[0, 2], [1, 3]], {"num_classes": 6}), ([[1], [2]], {})],
    "normalize": [(wave(WEIGHT), {}), (wave((2, 3, 4)), {"axis": 1, "order": 1}), (wave(WEIGHT), {"order": 3})],
    "split_dataset": [
        (np.arange(10.0), {"left_size": 0.3}),
        (np.arange(10.0), {"right_size": 4}),
        (np.arange(7.0), {"left_size": 2, "right_size": 3}),
        (np.arange(5.0), {"left_size": 0.5}),
    ],
}
"""Function → (what it is given, options)."""


def each_util():
    """(name of the case, function, argument, options)"""
    for name, cases in UTILS.items():
        for number, (given, options) in enumerate(cases):
            yield f"{name} {number} {options}", name, given, options


def util(keras, name, given, options):
    """What the function gives; of data sets their elements."""
    found = getattr(keras.utils, name)(given, **options)
    if name == "split_dataset":
        return [[note(element) for element in part] for part in found]
    return note(found)
