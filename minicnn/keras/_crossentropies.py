"""Cross-entropies of ``keras.ops``: of arrays, recorded ones among them, and as parts of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.keras._operations import entering, logsumexp, one_hot


@entering
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """−t · log p − (1 − t) · log (1 − p), number by number; p is clipped to [1e-7, 1 − 1e-7]."""
    if from_logits:
        return np.logaddexp(output, 0.0) - output * target  # whose slope at 0 is 1/2 - t, too
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


@entering
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """−Σ t · log p over the classes; probabilities are divided by their sum, and clipped to [1e-7, 1 − 1e-7]."""
    if from_logits:
        return -np.sum(target * (output - logsumexp(output, axis, keepdims=True)), axis=axis)
    p = np.clip(output / np.sum(output, axis=axis, keepdims=True), 1e-7, 1 - 1e-7)
    return -np.sum(target * np.log(p), axis=axis)


@entering
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """−log p of the class."""
    numbers = np.asarray(target).astype(int)
    numbers = numbers[..., 0] if numbers.ndim == output.ndim else numbers
    output = output if from_logits else np.log(np.clip(output, 1e-7, 1 - 1e-7))  # whose powers need not sum to 1
    return categorical_crossentropy(one_hot(numbers, output.shape[axis], axis), output, True, axis)
