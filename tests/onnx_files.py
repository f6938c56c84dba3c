"""ONNX files in tests: what onnxruntime computes with one, and files from ONNX's text form. No tests here."""

import numpy as np
import pytest
from oracles import assert_close

import minicnn as mc

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_file(path, xs):
    """The outputs that onnxruntime computes, by name."""
    runner = session(path)
    names = [i.name for i in runner.get_inputs()]
    feed = dict(zip(names, [np.asarray(x, np.float32) for x in xs], strict=True))
    return dict(zip([o.name for o in runner.get_outputs()], runner.run(None, feed), strict=True))


def random_inputs(model, rng, count=3):
    return [rng.normal(size=(count, *t.shape[1:])).astype(np.float32) for t in model.inputs]


def predict(model, xs):
    """The outputs as a list."""
    outputs = model.predict(xs if len(xs) > 1 else xs[0])
    return outputs if isinstance(outputs, list) else [outputs]


def exported(model, path):
    """The ONNX model of what `export_onnx` wrote, which ONNX's own checker has looked at."""
    mc.export_onnx(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return onnx.load(path)


def check_export(model, path, rng):
    """onnxruntime computes what `predict` does; returns the ONNX model."""
    xs = random_inputs(model, rng)
    proto = exported(model, path)
    results = run_file(path, xs)
    assert list(results) == model.output_names
    for actual, expected in zip(results.values(), predict(model, xs), strict=True):
        assert_close(actual, expected, TOLERANCE)
    return proto


def check_round_trip(model, path, rng):
    """A model that is made from the file computes the same; returns it."""
    copy = mc.import_onnx(path)
    assert [t.shape for t in copy.inputs] == [t.shape for t in model.inputs]
    assert [t.shape for t in copy.outputs] == [t.shape for t in model.outputs]
    xs = random_inputs(model, rng)
    for actual, expected in zip(predict(copy, xs), predict(model, xs), strict=True):
        assert_close(actual, expected, TOLERANCE)
    return copy


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def make_file(path, text, opset=17, checked=True, **constants):
    """A file from ONNX's text form of a graph, and arrays for what it reads besides."""
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    proto = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", opset)])
    if checked:
        onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path


def channels_last(x):
    return np.moveaxis(x, 1, -1)


def check_import(path, *shapes, rng, images_in=True, images_out=True):
    """The model computes what onnxruntime does with the same file; returns the model."""
    xs = [rng.normal(size=(3, *shape)).astype(np.float32) for shape in shapes]
    expected = list(run_file(path, xs).values())
    model = mc.import_onnx(path)
    actual = predict(model, [channels_last(x) if images_in else x for x in xs])
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, channels_last(b) if images_out and b.ndim > 2 else b, TOLERANCE)
    return model
