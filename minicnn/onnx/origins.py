"""Where the arrays that a file computes come from: which of them say something of samples, or of images' sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.graph import Tensor

if TYPE_CHECKING:
    from minicnn.onnx.reader import FileNode
    from minicnn.onnx.values import Value

OF_NUMBERS = {"Cast", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"}
"""Operators that give some of the numbers of their first input, and no others; Concat does so of all."""


class Origins:
    """What is known of names, beside their values.

    Parameters
    ----------
    decisions : list of dict
        Filled in, see `FileGraph`.

    Attributes
    ----------
    counted : set of str
        Names of arrays that say something of the number of samples, which may be any.
    numbered : set of str
        Names of arrays that hold what is calculated from a sample's number, see `arguments.NUMBER`.
    """

    def __init__(self, decisions: list[dict[str, np.ndarray]]) -> None:
        self.counted: set[str] = set()
        self.numbered: set[str] = set()
        self._sizes: dict[str, list[Tensor]] = {}
        self._mixed: set[str] = set()  # names of arrays that hold other numbers too
        self._decisions = decisions
        self._measures: dict[str, dict[str, np.ndarray]] = {}  # name → the sizes of tensors that it was computed from

    def measure(self, name: str, tensor: Tensor) -> None:
        """A name is the sizes of images (H, W, C)."""
        self._sizes[name] = [tensor]

    def follow(self, node: FileNode, known: Mapping[str, Value | np.ndarray]) -> None:
        """What a node gives says what its inputs say; `known` has what names stand for."""
        self._follow_measures(node, known)
        if not self.counted.isdisjoint(node.inputs):
            self.counted.update(node.outputs)
        if not self.numbered.isdisjoint(node.inputs) and node.operator != "Gather":
            self.numbered.update(node.outputs)
        inputs = node.inputs[: node.operator in OF_NUMBERS]
        if node.operator == "Concat":
            inputs = self._last_two(node.inputs, known)
            self._mixed.update(node.outputs if any(name not in self._sizes for name in node.inputs) else ())
        elif not self._mixed.isdisjoint(inputs):
            inputs = []
        tensors = [tensor for name in inputs for tensor in self._sizes.get(name, ())]
        if tensors:
            self._sizes.update(dict.fromkeys(node.outputs, tensors[:MOST_TENSORS]))

    def _last_two(self, names, known):
        """Those inputs of a Concat that hold its last two numbers, rows and columns; none if others are among them."""
        count, held = 0, []
        for name in reversed(names):
            if count < 2:
                held.append(name)
                count += np.size(known.get(name, ()))
        return held if all(name in self._sizes for name in held) else []

    def _follow_measures(self, node, known):
        arrays = {name: known[name] for name in node.outputs if isinstance(known.get(name), np.ndarray)}
        found = [self._measures.get(name, {}) for name in node.inputs if arrays]
        is_taken = node.operator in OF_NUMBERS - {"Cast"} and not any(found[1:])  # which says less than the whole
        measures = {name: array for each in found for name, array in each.items()}
        for name, array in arrays.items() if measures or node.operator in ("Shape", "Size") else ():
            is_first = is_taken or not measures or len(measures) > MOST_MEASURES
            self._measures[name] = {name: array} if is_first else measures

    def decide(self, name: str) -> None:
        """An array is the condition of an If."""
        self._decisions.append(self._measures.get(name, {}))

    def images_of_size(self, name: str, size: Sequence[int]) -> Tensor | None:
        """The tensor (H, W, C) whose sizes, uncalculated, an array holds, and that has these; None if there is none."""
        fitting = (t for t in self._sizes.get(name, ()) if t.shape[1:3] == tuple(size))
        return next(fitting, None)


MOST_MEASURES = 20  # that one array is known to be computed from
MOST_TENSORS = 10  # whose sizes one array holds
