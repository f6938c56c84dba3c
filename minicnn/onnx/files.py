"""Reading an ONNX file: the function that users call."""

from collections.abc import Mapping
from dataclasses import replace

from minicnn.checks import is_integer
from minicnn.dtype_policies import floatx_of
from minicnn.hints import FilePath
from minicnn.models import Model
from minicnn.onnx.importer import Importer
from minicnn.onnx.open_sizes import import_for_all_sizes
from minicnn.onnx.properties import put_properties
from minicnn.onnx.reader import FileGraph, read_graph
from minicnn.onnx.unsupported import check_operators
from minicnn.parameters import weights_from_file
from minicnn.saving.files import checked_path, named_in_errors
from minicnn.settings import floatx

WEIGHT_COPIES = 4  # an array of the file may become the weights of so many layers, on average

OpenShape = tuple[int | None, ...]


def import_onnx(path: FilePath, input_shape: OpenShape | Mapping[str, OpenShape] | None = None) -> Model:
    """Make a model from an ONNX file.

    Parameters
    ----------
    path : str or path
        Written by `export_onnx`, PyTorch, or any other program. It may come from anywhere: nothing in it is run, and
        nothing is opened but it and, where its tensors lie in files beside it, those.
    input_shape : tuple, or dict of input's name → tuple, optional
        For a file that leaves sizes open: the shape of one sample as the model takes it, say (320, 320, 3); None where
        a size stays open. Needed where the file does not work for all sizes, or what it computes depends on them.

    Returns
    -------
    Model
        Not compiled. Dropout and batch normalization act in training as they do in models made here.

    Raises
    ------
    FileFormatError
        If the file is damaged or not an ONNX file, or if it holds what this library has no layers for; the message
        names the node, its operator and what is not supported.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the package `onnx` is not installed.
    ValueError
        If `input_shape` does not fit the file's inputs.

    Notes
    -----
    Images are (N, H, W, C) here. An input or output that the file has as images (N, C, H, W), read or given by a
    convolution, pooling or batch normalization, is (N, H, W, C) in the model; any other has the file's axes.
    Weights are rearranged so that the numbers are the same. Sizes of inputs that the file leaves open are None.

    Operators of opset 1 to 28: see ``docs/files.md`` for the list.
    """
    with named_in_errors(checked_path(path)):
        graph = read_graph(path)
        check_operators(graph.nodes)
    if input_shape is not None:
        graph = _with_sizes(graph, input_shape)
    with named_in_errors(checked_path(path)):
        model = import_for_all_sizes(graph, _made) if graph.open_sizes else _made(graph)
        put_properties(model, graph.properties)
    return model


def _made(graph):
    with weights_from_file(WEIGHT_COPIES * graph.count_numbers()), floatx_of(floatx()):  # such files are float32
        return Importer(graph).run()


def _with_sizes(graph: FileGraph, given: OpenShape | Mapping[str, OpenShape]) -> FileGraph:
    """The graph with numbers for sizes that it leaves open."""
    if not isinstance(given, Mapping):
        if len(graph.inputs) > 1:
            raise ValueError(f"input_shape is a dict, since the file has several inputs: {list(graph.inputs)}")
        given = dict.fromkeys(graph.inputs, given)
    importer, sizes = Importer(graph), {}
    for name, shape in given.items():
        if not isinstance(shape, tuple | list):
            raise ValueError(f"input_shape is a tuple of sizes. Received: {shape!r}")
        shape = tuple(int(n) if is_integer(n) else n for n in shape)
        if name not in graph.inputs:
            raise ValueError(f"input_shape has names of the inputs, {list(graph.inputs)}. Received: {name!r}")
        own, is_images = graph.inputs[name], importer.takes_images(name)
        wanted = (shape[-1], *shape[:-1]) if is_images and shape else tuple(shape)
        fits = [
            m is None or (isinstance(m, int) and m > 0 and n in (m, str(n))) for m, n in zip(wanted, own, strict=False)
        ]
        if len(wanted) != len(own) or not all(fits):
            known = [None if isinstance(n, str) else n for n in own]
            known = (*known[1:], known[0]) if is_images else tuple(known)
            raise ValueError(f"input_shape of {name!r} fits the file's, {known}, without the batch. Received: {shape}")
        for m, n in zip(wanted, own, strict=True):
            if isinstance(n, str) and m is not None and sizes.setdefault(n, m) != m:
                raise ValueError(f"the file has one size '{n}' in several places: {sizes[n]} and {m} are given for it")
    inputs = {name: tuple(sizes.get(n, n) for n in shape) for name, shape in graph.inputs.items()}
    return replace(graph, inputs=inputs, open_sizes=tuple(n for n in graph.open_sizes if n not in sizes))
