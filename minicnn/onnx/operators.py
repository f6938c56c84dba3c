"""All operators that are read: the files here enter them into `arguments.OPERATORS`.

A function takes a node and the `Importer`, and says with `graph.give` what the node's output is. The names in the table
are those of https://onnx.ai/onnx/operators, which says what they mean.
"""

from minicnn.onnx import (
    activating,
    arithmetic,
    chosen,
    composed,
    kernels,
    normalizing,
    parts,
    pooling,
    quantized,
    rearranging,
    resizing,
    sums_of_products,
)

__all__ = [
    "activating",
    "arithmetic",
    "chosen",
    "composed",
    "kernels",
    "normalizing",
    "parts",
    "pooling",
    "quantized",
    "rearranging",
    "resizing",
    "sums_of_products",
]
