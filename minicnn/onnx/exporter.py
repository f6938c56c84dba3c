"""Writing a model as an ONNX file."""

from dataclasses import replace

from minicnn.hints import FilePath
from minicnn.layers.open_sizes import goes_by_sizes, has_open, stand_in, warn_of_sizes
from minicnn.models import Model
from minicnn.models.arguments import check_model
from minicnn.onnx.package import import_package
from minicnn.onnx.properties import PRODUCER, properties_of
from minicnn.onnx.writer import GraphWriter, Value
from minicnn.plan.program import lower
from minicnn.saving.files import checked_path, replacing

OPSET = 17
"""The version of ONNX's operators that files are written in (2022): every runtime in use reads it."""
IR_VERSION = 8  # of the file format itself; the one that came with this opset


def export_onnx(model: Model, path: FilePath) -> None:
    """Write a model, as it is used for inference, as an ONNX file.

    Parameters
    ----------
    model : Model
        Built. Dropout and augmentation are left out; batch normalization uses its moving averages.
    path : str or path
        Ends in ".onnx". Replaced if it exists, once the new file is whole.

    Raises
    ------
    TypeError
        If `model` is no model.
    NotBuiltError
        If its input shape is not known.
    ValueError
        If `path` ends otherwise, or a layer cannot be written: it has no `to_onnx`, was called with ``training=True``,
        or needs a size that is None.
    NonFiniteError
        If a weight is NaN or infinite.
    ImportError
        If the package `onnx` is not installed.

    Notes
    -----
    Operators of opset 17. Inputs and outputs are what `predict` takes and returns, float32 (a float64 model's numbers
    are rounded): images are (N, H, W, C), the batch axis N is free, and so are sizes that are None. Inputs are called
    like the model's input layers, outputs like the layers that give them (`Model.output_names`). The model's
    `class_names` and `preprocessing` are properties of the file (metadata_props), as JSON.
    """
    check_model(model, "export_onnx")
    if model.graph is not None and goes_by_sizes(model.graph):
        if has_open([t.shape[1:] for t in model.graph.inputs]) and stand_in(model.graph) is not None:
            raise ValueError(
                f"a call in model '{model.name}' computes with sizes that are open, which no ONNX file holds: give the "
                f"model's Input its sizes. Received: inputs of shapes {[t.shape for t in model.graph.inputs]}"
            )
        warn_of_sizes(f"a call in model '{model.name}'", "the ONNX file")
    path = checked_path(path)
    if path.suffix.lower() != ".onnx":  # a model that was saved under this name would be lost
        raise ValueError(f"the name of an ONNX file ends in .onnx. Received: {str(path)!r}")
    onnx = import_package()
    proto = onnx.helper.make_model(
        _graph_proto(model, onnx),
        producer_name=PRODUCER,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(proto, properties_of(model))
    with replacing(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def _graph_proto(model, onnx):
    """The nodes of a whole model."""
    inputs, outputs = model.inputs, model.outputs  # raises if the model is not built
    program, writer = lower(model.graph), GraphWriter(onnx)
    names = [writer.unique_name(tensor.name) for tensor in inputs]
    values = {
        index: Value(name, tensor.shape[1:]) for index, name, tensor in zip(program.inputs, names, inputs, strict=True)
    }
    for place in _read(program):
        writer.prefix = place.layer_name
        xs = tuple(values[index] for index in place.inputs)
        values[place.output] = replace(_append(place, xs, writer), shape=program.shapes[place.output])
    results = []
    for name, index in zip(model.output_names, program.outputs, strict=True):
        writer.prefix = name
        results.append(writer.name_output(writer.channels_last(values[index]), name))
    return writer.proto(
        model.name,
        [(name, tensor.shape[1:]) for name, tensor in zip(names, inputs, strict=True)],
        [(name, tensor.shape[1:]) for name, tensor in zip(results, outputs, strict=True)],
    )


def _read(program):
    """The places of which the outputs are made; others that run, as in a `call`, move averages or add to the loss."""
    wanted, read = set(program.outputs), []
    for place in reversed(program.places):
        if place.output in wanted:
            read.append(place)
            wanted.update(place.inputs)
    return read[::-1]


def _append(place, xs, writer):
    """The value that a step of the model gives."""
    step = place.step
    differs = step.only_in_training or any(not weight.has_gradient for weight in step.weights)
    if place.training and differs:
        raise ValueError(
            f"an ONNX file is for inference, but layer '{place.layer_name}' was called with training=True: build the "
            f"model without it. Received: {step!r}"
        )
    if step.only_in_training:
        return xs[0]
    try:
        return step.to_onnx(xs, writer)
    except TypeError:
        if not has_open([x.shape for x in xs]):
            raise
        raise ValueError(
            f"layer '{place.layer_name}' ({type(step).__name__}) cannot be written for sizes that are None: export a "
            "model with the same weights whose Input has all its sizes. "
            f"Received: an input of shape {', '.join(str((None, *x.shape)) for x in xs)}"
        ) from None
    except NotImplementedError:
        raise ValueError(
            f"layer '{place.layer_name}' cannot be written as ONNX: {type(step).__name__} has no method to_onnx; "
            f"docs/adding_a_layer.md says how to write one. Received: {step!r}"
        ) from None
