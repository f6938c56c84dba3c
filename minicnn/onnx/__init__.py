"""ONNX files (https://onnx.ai): write a model as one, make a model from one.

`writer` and `exporter` go one way: the steps of a model append nodes to a graph (`Step.to_onnx`). `reader` and
`importer` go the other: a file becomes a checked list of nodes, and the tables in `operators` and `rearranging` turn
each into layers. The package `onnx` is imported when the first file is written or read.
"""

from minicnn.onnx.exporter import export_onnx
from minicnn.onnx.files import import_onnx

__all__ = ["export_onnx", "import_onnx"]
