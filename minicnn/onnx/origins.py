"""Where the arrays that a file computes come from: which of them say something of samples, or of images' sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minicnn.graph import Tensor

if TYPE_CHECKING:
    from minicnn.onnx.reader import FileNode

OF_NUMBERS = {"Cast", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"}
"""Operators that give some of the numbers of their first input, and no others; Concat does so of all."""


class Origins:
    """What is known of names, beside their values.

    Attributes
    ----------
    counted : set of str
        Names of arrays that say something of the number of samples, which may be any.
    """

    def __init__(self) -> None:
        self.counted: set[str] = set()
        self._sizes: dict[str, list[Tensor]] = {}

    def measure(self, name: str, tensor: Tensor) -> None:
        """A name is the sizes of images (H, W, C)."""
        self._sizes[name] = [tensor]

    def follow(self, node: FileNode) -> None:
        """What a node gives says what its inputs say."""
        if not self.counted.isdisjoint(node.inputs):
            self.counted.update(node.outputs)
        inputs = node.inputs if node.operator == "Concat" else node.inputs[: node.operator in OF_NUMBERS]
        tensors = [tensor for name in inputs for tensor in self._sizes.get(name, ())]
        if tensors:
            self._sizes.update(dict.fromkeys(node.outputs, tensors[:MOST_TENSORS]))

    def images_of_size(self, name: str, size: Sequence[int]) -> Tensor | None:
        """The tensor (H, W, C) whose sizes, uncalculated, an array holds, and that has these; None if there is none."""
        fitting = (t for t in self._sizes.get(name, ()) if t.shape[1:3] == tuple(size))
        return next(fitting, None)


MOST_TENSORS = 10  # whose sizes one array holds
