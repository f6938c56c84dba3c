"""Functions of keras.ops in functional models, as Keras 3.15.1 writes them: against NumPy."""

import json

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc
from minicnn.errors import FileFormatError

X = np.random.default_rng(0).uniform(0.2, 2, (3, 4, 5, 2)).astype(np.float32)


def tensor(name, rank=4):
    shape = [None, 4, 5, 2][:rank]
    history = {"shape": shape, "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def operation(class_name, args, module="keras.src.ops.numpy", **config):
    entry = {"module": module, "class_name": class_name, "config": {"name": "op", **config}}
    calls = [{"args": args, "kwargs": {}}]
    return entry | {"registered_name": class_name, "name": "op", "inbound_nodes": calls}


def model_of(entry, module="keras.layers"):
    """A model of an input and one function, from its JSON."""
    config = {"batch_shape": [None, 4, 5, 2], "dtype": "float32", "sparse": False, "name": "x"}
    start = {"module": module, "class_name": "InputLayer", "config": config, "name": "x", "inbound_nodes": []}
    ends = {"input_layers": ["x", 0, 0], "output_layers": ["op", 0, 0]}
    model = {"name": "model", "trainable": True, "layers": [start, entry]} | ends
    functional = {"class_name": "Functional", "config": model, "module": "keras.src.models.functional"}
    return mc.models.model_from_json(json.dumps(functional))


T = tensor("x")
NN = "keras.src.ops.nn"
OPERATIONS = {
    "x + 2": (operation("Add", [T, 2.0]), X + 2),
    "2 + x": (operation("Add", [2, T]), X + 2),
    "x - 2": (operation("Subtract", [T, 2.0]), X - 2),
    "2 - x": (operation("Subtract", [2.0, T]), 2 - X),
    "x · 3": (operation("Multiply", [T, 3.0]), X * 3),
    "x / 255": (operation("TrueDivide", [T, 255.0]), X / 255),
    "1 / x": (operation("TrueDivide", [1, T]), 1 / X),
    "x^3": (operation("Power", [T, 3]), X**3),
    "max(x, 1)": (operation("Maximum", [T, 1.0]), np.maximum(X, 1)),
    "min(1, x)": (operation("Minimum", [1.0, T]), np.minimum(X, 1)),
    "-x": (operation("Negative", [T]), -X),
    "|x|": (operation("Absolute", [T]), np.abs(X)),
    "√x": (operation("Sqrt", [T]), np.sqrt(X)),
    "x²": (operation("Square", [T]), X**2),
    "exp": (operation("Exp", [T]), np.exp(X)),
    "log": (operation("Log", [T]), np.log(X)),
    "relu": (operation("Relu", [T], NN), np.maximum(X, 0)),
    "sigmoid": (operation("Sigmoid", [T], NN), 1 / (1 + np.exp(-X))),
    "softmax": (operation("Softmax", [T], NN, axis=-1), np.exp(X) / np.exp(X).sum(-1, keepdims=True)),
    "leaky_relu": (operation("LeakyRelu", [T], NN, negative_slope=0.3), X),
    "clip": (operation("Clip", [T], x_min=0.5, x_max=1.5), np.clip(X, 0.5, 1.5)),
    "reshape": (operation("Reshape", [T], newshape=[-1, 20, 2]), X.reshape(-1, 20, 2)),
    "transpose": (operation("Transpose", [T], axes=[0, 2, 1, 3]), X.transpose(0, 2, 1, 3)),
    "mean": (operation("Mean", [T], axis=[1, 2], keepdims=False), X.mean((1, 2))),
    "sum": (operation("Sum", [T], axis=-1, keepdims=True), X.sum(-1, keepdims=True)),
    "maximum": (operation("Max", [T], axis=[1, 2], keepdims=False, initial=None), X.max((1, 2))),
}


@pytest.mark.parametrize("module", ["as it is", None])
@pytest.mark.parametrize("name", OPERATIONS)
def test_values(name, module):
    entry, expected = OPERATIONS[name]
    if module is None:  # as in .h5 files
        entry = {key: value for key, value in entry.items() if key not in ("module", "registered_name")}
    assert_close(model_of(entry).predict(X, verbose=0), expected, 1e-6)


REFUSED = {
    "samples": operation("Mean", [T], axis=None, keepdims=False),
    "2 / x": operation("TrueDivide", [2.0, T]),
    "the batch axis": operation("Transpose", [T], axes=[1, 0, 2, 3]),
    "an unknown one": operation("Erfinv", [T]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_layer_is_refused(name):
    with pytest.raises(FileFormatError):
        model_of(REFUSED[name])
