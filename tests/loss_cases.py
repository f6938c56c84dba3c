"""Losses with all their options, for what Keras computes with them. No tests here: see `part_cases.py`."""

import numpy as np
from part_cases import array_of, note, wave

LOGITS, IMAGES = (4, 3), (2, 3, 2, 4)


def rows(shape, place=0):
    """Positive rows with the sum 1."""
    positive = wave(shape, place, 0.1, 1.0)
    return positive / positive.sum(-1, keepdims=True)


def classes(shape):
    """Class numbers, of as many classes as the last axis has."""
    return (5 * np.arange(int(np.prod(shape[:-1]))) + 1).reshape(shape[:-1]) % shape[-1]


def one_hot(shape):
    return np.eye(shape[-1])[classes(shape)]


def bits(shape):
    return np.float64(wave(shape, 3) > 0.1)


def channels_first(kind):
    """The same data with classes along axis 1."""

    def made(shape):
        return tuple(np.moveaxis(x, -1, 1) for x in kind((shape[0], *shape[2:], shape[1])))

    return made


KINDS = {
    "numbers": lambda shape: (wave(shape, 1, -2, 2), wave(shape, 0, -2, 2)),
    "positive": lambda shape: (wave(shape, 1, 0.2, 3), wave(shape, 0, 0.1, 4)),
    "zeros": lambda shape: (bits(shape) * wave(shape, 1, 0, 3), wave(shape, 0, -0.5, 4)),
    "signs": lambda shape: (2 * bits(shape) - 1, wave(shape, 0, -2, 2)),
    "bits": lambda shape: (bits(shape), wave(shape, 0, 0.0, 1.0)),
    "bits, logits": lambda shape: (bits(shape), wave(shape, 0, -4, 4)),
    "soft bits": lambda shape: (wave(shape, 1, 0, 1), wave(shape, 0, 0.01, 0.99)),
    "classes": lambda shape: (classes(shape), rows(shape)),
    "classes, logits": lambda shape: (classes(shape), wave(shape, 0, -4, 4)),
    "classes as columns": lambda shape: (classes(shape)[..., None], rows(shape)),
    "rows": lambda shape: (one_hot(shape), rows(shape)),
    "rows, no sums": lambda shape: (one_hot(shape), wave(shape, 0, 0.1, 1.0)),
    "rows, logits": lambda shape: (one_hot(shape), wave(shape, 0, -4, 4)),
    "soft rows": lambda shape: (rows(shape, 1), rows(shape)),
    "soft rows, logits": lambda shape: (rows(shape, 1), wave(shape, 0, -4, 4)),
}
KINDS |= {f"{kind}, channels first": channels_first(KINDS[kind]) for kind in ("rows", "rows, logits", "soft rows")}
"""Kind of data → (shape of a prediction → target, prediction)."""

L = {"from_logits": True}
_BINARY = [
    ({}, "bits"),
    ({}, "soft bits"),
    (L, "bits, logits"),
    ({"label_smoothing": 0.3}, "bits"),
    ({"label_smoothing": 0.3, **L}, "bits, logits"),
    ({"axis": 1}, "soft bits"),
]
_CATEGORICAL = [
    ({}, "rows"),
    ({}, "rows, no sums"),
    ({}, "soft rows"),
    (L, "rows, logits"),
    (L, "soft rows, logits"),
    ({"label_smoothing": 0.2}, "rows"),
    ({"label_smoothing": 0.2, **L}, "soft rows, logits"),
    ({"axis": 1}, "rows, channels first"),
    ({"axis": 1, **L}, "rows, logits, channels first"),
    ({"axis": 1}, "soft rows, channels first"),
]
_BY_VALUE = [({}, "numbers"), ({}, "bits"), ({}, "positive")]

CASES = {
    "BinaryCrossentropy": _BINARY,
    "BinaryFocalCrossentropy": [
        *_BINARY,
        ({"alpha": 0.6, "apply_class_balancing": True}, "bits"),
        ({"alpha": 0.6, "gamma": 3.5, "apply_class_balancing": True, **L}, "bits, logits"),
        ({"gamma": 1.0, "label_smoothing": 0.1, "apply_class_balancing": True}, "soft bits"),
        ({"gamma": 0.0}, "bits"),
    ],
    "CategoricalCrossentropy": _CATEGORICAL,
    "CategoricalFocalCrossentropy": [
        *_CATEGORICAL,
        ({"alpha": 0.6, "gamma": 1.5}, "rows"),
        ({"alpha": 0.6, "gamma": 0.5, **L}, "rows, logits"),
        ({"alpha": "one for each class", "gamma": 3.0}, "soft rows"),
    ],
    "CategoricalGeneralizedCrossEntropy": [({}, "classes"), ({"q": 0.2}, "classes"), ({"q": 0.9}, "classes")],
    "CategoricalHinge": [({}, "rows"), ({}, "rows, logits")],
    "CosineSimilarity": [({}, "numbers"), ({}, "bits"), ({"axis": 1}, "numbers")],
    "Dice": [({}, "bits"), ({}, "soft bits"), ({"axis": -1}, "soft bits"), ({"axis": (1,)}, "bits")],
    "Hinge": [({}, "signs"), ({}, "bits, logits")],
    "Huber": [({}, "numbers"), ({"delta": 0.4}, "numbers"), ({"delta": 2.5}, "positive")],
    "KLDivergence": [({}, "soft rows"), ({}, "rows"), ({}, "soft bits")],
    "LogCosh": _BY_VALUE,
    "MeanAbsoluteError": _BY_VALUE,
    "MeanAbsolutePercentageError": [({}, "numbers"), ({}, "zeros"), ({}, "positive")],
    "MeanSquaredError": _BY_VALUE,
    "MeanSquaredLogarithmicError": [({}, "positive"), ({}, "zeros"), ({}, "numbers")],
    "Poisson": [({}, "positive"), ({}, "bits")],
    "SparseCategoricalCrossentropy": [
        ({}, "classes"),
        ({}, "classes as columns"),
        (L, "classes, logits"),
        ({"ignore_class": 1}, "classes"),
        ({"ignore_class": 0, **L}, "classes, logits"),
    ],
    "SquaredHinge": [({}, "signs"), ({}, "bits, logits")],
    "Tversky": [
        ({}, "bits"),
        ({"alpha": 0.2, "beta": 0.9}, "soft bits"),
        ({"alpha": 0.7, "axis": -1}, "soft bits"),
        ({"beta": 0.3, "axis": (1,)}, "bits"),
    ],
}
"""Class → (options, kind of data); each with every shape, reduction and form of weights below."""

FUNCTIONS = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "categorical_generalized_cross_entropy": "CategoricalGeneralizedCrossEntropy",
    "categorical_hinge": "CategoricalHinge",
    "cosine_similarity": "CosineSimilarity",
    "dice": "Dice",
    "hinge": "Hinge",
    "huber": "Huber",
    "kl_divergence": "KLDivergence",
    "log_cosh": "LogCosh",
    "mean_absolute_error": "MeanAbsoluteError",
    "mean_absolute_percentage_error": "MeanAbsolutePercentageError",
    "mean_squared_error": "MeanSquaredError",
    "mean_squared_logarithmic_error": "MeanSquaredLogarithmicError",
    "poisson": "Poisson",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "squared_hinge": "SquaredHinge",
    "tversky": "Tversky",
}
REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight", None)
SAME_REDUCTIONS = {"mean": "sum_over_batch_size", "none": None}


def weights_for(losses):
    """Name → weights, for losses of one shape."""
    if not losses:
        return {"no weights": None, "a number": 0.3}
    samples = wave(losses[:1], 5, 0, 2)
    return {
        "no weights": None,
        "a number": 0.3,
        "of samples": samples.reshape(-1, *[1] * (len(losses) - 1)),
        "of decisions": wave(losses, 6, 0, 2),
    } | ({"(N, 1)": samples[:, None]} if len(losses) == 1 else {})


def options_for(options, shape):
    """The options of a case for predictions of one shape."""
    if options.get("alpha") == "one for each class":
        return {**options, "alpha": wave((shape[-1],), 4, 0.1, 0.9).tolist()}
    return options


def each():
    """(name of the case, class, options, kind of data, shape of the prediction)"""
    for name, cases in CASES.items():
        for options, kind in cases:
            for shape in (LOGITS, IMAGES):
                yield f"{name} {options} {kind} {shape}", name, options_for(options, shape), kind, shape


def differentiated(tf, loss, target, prediction, weights):
    """[loss, gradient by the prediction]; the second is None where minicnn says that there is none."""
    x = tf.Variable(prediction, dtype="float64")
    try:
        with tf.GradientTape() as tape:
            value = loss(tf.constant(target), x, sample_weight=weights)
    except TypeError as error:
        if "is one number for a batch where it is differentiated" not in str(error):
            raise
        return [note(loss(target, prediction, sample_weight=weights)), None]
    return [note(value), note(tape.gradient(value, x))]


def results(keras, tf, name, options, kind, shape):
    """What a library's class, function and tape give, by reduction and weights."""
    target, prediction = KINDS[kind](shape)
    found = {}
    of_function = next(key for key, cls in FUNCTIONS.items() if cls == name)
    function = getattr(keras.losses, of_function)
    options_of_function = {"q": 0.5, **options} if name == "CategoricalGeneralizedCrossEntropy" else options
    values = array_of(function(tf.constant(target), tf.constant(prediction), **options_of_function))
    found["function"] = note(values)
    for reduction in REDUCTIONS:
        loss = getattr(keras.losses, name)(reduction=reduction, dtype="float64", **options)
        for kind_of_weights, weights in weights_for(values.shape).items():
            found[f"{reduction}, {kind_of_weights}"] = differentiated(tf, loss, target, prediction, weights)
    return found
