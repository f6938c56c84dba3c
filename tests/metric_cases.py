"""Metrics with all their options, for what Keras computes with them. No tests here: see `part_cases.py`."""

import numpy as np
from loss_cases import classes, one_hot, rows
from part_cases import array_of, note, wave

SHAPE = (6, 3)
L = {"from_logits": True}
FUNCTIONS_OF_METRICS = {
    "binary_accuracy": ({}, {"threshold": 0.3}),
    "categorical_accuracy": ({},),
    "sparse_categorical_accuracy": ({},),
    "top_k_categorical_accuracy": ({"k": 1}, {"k": 2}),
    "sparse_top_k_categorical_accuracy": ({"k": 1}, {"k": 2}, {"k": 1, "from_sorted_ids": True}),
    "pearson_correlation": ({}, {"axis": 0}),
    "concordance_correlation": ({}, {"axis": 0}),
}
"""Function of keras.metrics that is no loss → options."""


def _map(array):
    """With the classes on axis 1."""
    return np.moveaxis(array, -1, 1)


OWN = {
    "numbers": lambda shape, place: (wave(shape, 1 + place), wave(shape, place)),
    "positive": lambda shape, place: (wave(shape, 1 + place, 0.2, 3), wave(shape, place, 0.1, 4)),
    "signs": lambda shape, place: (np.sign(wave(shape, 1 + place)), wave(shape, place)),
    "bits": lambda shape, place: (np.float64(wave(shape, 3 + place) > 0.1), wave(shape, place, 0, 1)),
    "bits, logits": lambda shape, place: (np.float64(wave(shape, 3 + place) > 0.1), wave(shape, place, -4, 4)),
    "rows": lambda shape, place: (one_hot(shape), rows(shape, place)),
    "rows, logits": lambda shape, place: (one_hot(shape), wave(shape, place, -4, 4)),
    "classes": lambda shape, place: (classes(shape), rows(shape, place)),
    "classes, logits": lambda shape, place: (classes(shape), wave(shape, place, -4, 4)),
    "labels": lambda shape, place: (classes(shape), (classes(shape) + (wave(shape[:-1], place) > 0.4)) % shape[-1]),
    "values": lambda shape, place: (wave(shape, place),),
    "ids": lambda shape, place: (classes(shape), np.argsort(-rows(shape, place)).astype("int32")),
    "rows, labels": lambda shape, place: (one_hot(shape), classes(shape)),
    "maps": lambda shape, place: (_map(one_hot((shape[0], 2, shape[1]))), _map(rows((shape[0], 2, shape[1]), place))),
}
"""Kind of data → (shape, number of the batch → what `update_state` gets)."""

_THRESHOLDS = [({}, "bits"), ({"thresholds": 0.3}, "bits"), ({"thresholds": [0.2, 0.5, 0.9]}, "bits")]
_OF_CLASS = [({"top_k": 2}, "rows"), ({"class_id": 1}, "rows"), ({"thresholds": 0.4, "class_id": 2}, "bits")]
_SCORES = [
    ({}, "rows"),
    ({"average": "micro", "threshold": 0.4}, "bits"),
    ({"average": "macro"}, "rows"),
    ({"average": "weighted", "threshold": 0.3}, "bits"),
]
_IDS = {"k": 2, "from_sorted_ids": True}, "ids"
_COLUMNS = {"sparse_y_true": False, "sparse_y_pred": False}
_POINTS = [{"num_thresholds": 50}, {"class_id": 1}, {}]


def _points(option, *values):
    """Metrics of an operating point: some demands, with each further option."""
    return [({option: value, **more}, "bits") for value in values for more in _POINTS]


CASES = {
    "AUC": [
        ({}, "bits"),
        ({"num_thresholds": 20, "curve": "PR"}, "bits"),
        ({"curve": "PR", "summation_method": "majoring"}, "bits"),
        ({"summation_method": "minoring", "thresholds": [0.1, 0.35, 0.8]}, "bits"),
        ({"multi_label": True, "num_labels": 3}, "bits"),
        ({"multi_label": True, "num_labels": 3, "label_weights": [0.2, 1.0, 0.5]}, "bits"),
        ({"multi_label": True, "curve": "PR"}, "bits"),
        (L, "bits, logits"),
    ],
    "Accuracy": [({}, "labels")],
    "BinaryAccuracy": [({}, "bits"), ({"threshold": 0.3}, "bits")],
    "BinaryCrossentropy": [({}, "bits"), (L, "bits, logits"), ({"label_smoothing": 0.2}, "bits")],
    "BinaryIoU": [({}, "bits"), ({"target_class_ids": (1,), "threshold": 0.3}, "bits")],
    "CategoricalAccuracy": [({}, "rows")],
    "CategoricalCrossentropy": [
        ({}, "rows"),
        (L, "rows, logits"),
        ({"label_smoothing": 0.2}, "rows"),
        ({"axis": 1}, "maps"),
    ],
    "CategoricalHinge": [({}, "rows")],
    "ConcordanceCorrelation": [({}, "numbers"), ({"axis": 0}, "numbers")],
    "CosineSimilarity": [({}, "numbers"), ({"axis": 1}, "numbers"), ({"axis": 1}, "maps")],
    "F1Score": _SCORES,
    "FBetaScore": [({"beta": 0.5, **options}, kind) for options, kind in _SCORES] + [({}, "rows")],
    "FalseNegatives": _THRESHOLDS,
    "FalsePositives": _THRESHOLDS,
    "Hinge": [({}, "signs"), ({}, "bits")],
    "IoU": [
        ({"num_classes": 3, "target_class_ids": [0, 2]}, "labels"),
        ({"num_classes": 3, "target_class_ids": [1], "ignore_class": 0}, "labels"),
        ({"num_classes": 3, "target_class_ids": [0, 1], "sparse_y_pred": False}, "classes"),
        ({"num_classes": 3, "target_class_ids": [0, 1], **_COLUMNS}, "rows"),
        ({"num_classes": 3, "target_class_ids": [0, 2], "axis": 1, **_COLUMNS}, "maps"),
    ],
    "KLDivergence": [({}, "rows")],
    "LogCoshError": [({}, "numbers")],
    "Mean": [({}, "values")],
    "MeanAbsoluteError": [({}, "numbers")],
    "MeanAbsolutePercentageError": [({}, "positive")],
    "MeanIoU": [
        ({"num_classes": 3}, "labels"),
        ({"num_classes": 4, "ignore_class": 1}, "labels"),
        ({"num_classes": 3, "sparse_y_pred": False}, "classes"),
        ({"num_classes": 3, **_COLUMNS}, "rows"),
        ({"num_classes": 3, "axis": 1, **_COLUMNS}, "maps"),
    ],
    "MeanSquaredError": [({}, "numbers")],
    "MeanSquaredLogarithmicError": [({}, "positive")],
    "OneHotIoU": [
        ({"num_classes": 3, "target_class_ids": [0, 2]}, "rows"),
        ({"num_classes": 3, "target_class_ids": [0, 1], "ignore_class": 0}, "rows"),
        ({"num_classes": 3, "target_class_ids": [0, 2], "axis": 1}, "maps"),
        ({"num_classes": 3, "target_class_ids": [0, 2], "sparse_y_pred": True}, "rows, labels"),
    ],
    "OneHotMeanIoU": [
        ({"num_classes": 3}, "rows"),
        ({"num_classes": 3, "ignore_class": 2}, "rows"),
        ({"num_classes": 3, "axis": 1}, "maps"),
        ({"num_classes": 3, "sparse_y_pred": True}, "rows, labels"),
    ],
    "PearsonCorrelation": [({}, "numbers"), ({"axis": 0}, "numbers")],
    "Poisson": [({}, "positive")],
    "Precision": [*_THRESHOLDS, *_OF_CLASS],
    "PrecisionAtRecall": _points("recall", 0.3, 0.8),
    "R2Score": [
        ({}, "numbers"),
        ({"class_aggregation": None}, "numbers"),
        ({"class_aggregation": "variance_weighted_average", "num_regressors": 2}, "numbers"),
    ],
    "Recall": [*_THRESHOLDS, *_OF_CLASS],
    "RecallAtPrecision": _points("precision", 0.3, 0.6),
    "RootMeanSquaredError": [({}, "numbers")],
    "SensitivityAtSpecificity": _points("specificity", 0.3, 0.8),
    "SparseCategoricalAccuracy": [({}, "classes")],
    "SparseCategoricalCrossentropy": [({}, "classes"), (L, "classes, logits"), ({"ignore_class": 1}, "classes")],
    "SparseTopKCategoricalAccuracy": [({}, "classes"), ({"k": 1}, "classes"), _IDS, ({"k": 2}, "classes")],
    "SpecificityAtSensitivity": _points("sensitivity", 0.3, 0.8),
    "SquaredHinge": [({}, "signs")],
    "Sum": [({}, "values")],
    "TopKCategoricalAccuracy": [({}, "rows"), ({"k": 1}, "rows"), ({"k": 2}, "rows")],
    "TrueNegatives": _THRESHOLDS,
    "TruePositives": _THRESHOLDS,
}
"""Class → (options, kind of data)."""

WEIGHTS = {
    "no weights": lambda place: None,
    "a number": lambda place: 0.5,
    "(N,)": lambda place: wave(SHAPE[:1], place + 5, 0, 2),
    "(N, 1)": lambda place: wave((SHAPE[0], 1), place + 5, 0, 2),
}
"""Name → (number of the batch → weights)."""


def data(name, kind, place):
    """What a batch has; TensorFlow ranks float32 alone."""
    arrays = OWN[kind](SHAPE, place)
    is_ranked = "topk" in name.lower().replace("_", "") and kind != "ids"
    return (arrays[0], np.float32(arrays[1])) if is_ranked else arrays


def each():
    """(name of the case, class, options, kind of data, weights)"""
    for name, cases in CASES.items():
        for options, kind in cases:
            for weights in WEIGHTS:
                yield f"{name} {options} {kind}, {weights}", name, options, kind, weights


def results(keras, name, options, kind, weights):
    """What `result` is after each of three batches, and after a reset and one more; an error's place is None."""
    metric = getattr(keras.metrics, name)(dtype="float64", **options)
    found = []
    for place in (0, 1, 2, "reset", 3):
        if place == "reset":
            metric.reset_state()
            continue
        try:
            metric.update_state(*data(name, kind, place), sample_weight=WEIGHTS[weights](place))
            found.append(note(metric.result()))
        except Exception:
            found.append(None)
    return found


def functions():
    """(name of the case, function, options, kind of data)"""
    kinds = {"binary_accuracy": "bits", "pearson_correlation": "numbers", "concordance_correlation": "numbers"}
    for name, cases in FUNCTIONS_OF_METRICS.items():
        for options in cases:
            kind = (
                "ids"
                if "from_sorted_ids" in options
                else kinds.get(name, "classes" if name.startswith("sparse") else "rows")
            )
            yield f"{name} {options}", name, options, kind


def function_result(keras, name, options, kind):
    """The values of a function of keras.metrics."""
    return note(array_of(getattr(keras.metrics, name)(*data(name, kind, 0), **options)))
