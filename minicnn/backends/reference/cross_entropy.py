"""The cross-entropy loss."""

import numpy as np

from minicnn.backends.memory import Array, Maybe

__all__ = ["softmax_cross_entropy"]


def softmax_cross_entropy(logits: Array, target: Array, weight: Array, loss: Array, dlogits: Maybe) -> None:
    """Cross-entropy of softmax(logits), and its gradient softmax(logits) - target, in one pass over the rows.

    Parameters
    ----------
    logits : (N, C)
    target : (N,) int64 class numbers, or (N, C) probabilities of the dtype of `logits`
        Of any layout: it may be a view of a user's array.
    weight : (N,)
        Factor of each row of `dlogits` (sample weight / number of samples); `loss` is not weighted.
    loss : (N,), written
    dlogits : (N, C) or None, written
    """
    shifted = logits - logits.max(axis=1, keepdims=True)  # (N, C)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)  # (N, 1)
    log_probabilities = shifted - np.log(total)  # (N, C)
    if target.ndim == 1:
        target_sum = 1
        loss[...] = -np.take_along_axis(log_probabilities, target[:, None], axis=1)[:, 0]
    else:
        target_sum = target.sum(axis=1, keepdims=True)
        loss[...] = -(target * log_probabilities).sum(axis=1)
    if dlogits is None:
        return
    dlogits[...] = exponentials / total * target_sum
    if target.ndim == 1:
        np.put_along_axis(dlogits, target[:, None], np.take_along_axis(dlogits, target[:, None], axis=1) - 1, axis=1)
    else:
        dlogits -= target
    dlogits *= weight[:, None]
