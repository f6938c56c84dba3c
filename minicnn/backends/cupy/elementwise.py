"""Loading batches, dropout, and the loss."""

import cupy
import numpy as np

from minicnn.backends.cupy.launch import launch, launch_over

MOST_CLASSES_OF_A_THREAD = 64
CLASS_THREADS = 128  # the scratch memory of cross_entropy_by_blocks in training.cu


def gather(source, indices, out):
    if isinstance(source, cupy.ndarray):
        gather_rows(source, indices, None, out)
    else:  # a user's array, in the computer's memory
        out.set(np.ascontiguousarray(source[indices], out.dtype))


def gather_rows(source, order, start, out) -> None:
    """out[i] = source[order[start + i]], cast to the dtype of `out`.

    Parameters
    ----------
    source : device array (N, …)
        C-contiguous; of any integer or bool type, float32 or float64.
    order : device array of int64, or None
        None: the rows in their own order.
    start : device array of one int64, or None
        None: 0.
    out : device array (n, …), written
        float32, float64, or int64 where `source` is.
    """
    if source.dtype == out.dtype == np.int64:
        name, dtype = "gather_labels", np.dtype(np.float32)
    else:
        name, dtype = f"gather_{source.dtype.kind}{source.dtype.itemsize}", out.dtype
    rows = len(out)
    width = out.size // rows
    numbers = np.int64(rows), np.int64(width)
    launch_over(out.size, "training", name, dtype, source, order, start, out, *numbers)


def dropout(x, y, rate, seed, stream, step):
    numbers = np.float32(rate), x.dtype.type(1 / (1 - rate)), np.uint64(seed), np.uint32(stream)
    arguments = x, y, np.int64(x.size), *numbers, *step_arguments(step)
    launch_over(-(-x.size // 4), "training", "dropout", x.dtype, *arguments)


def step_arguments(step):
    """A kernel's last arguments: the number of the step, and where it lies if a graph has to read it anew."""
    return (np.uint64(0), step.at) if hasattr(step, "at") else (np.uint64(step), None)


def softmax_cross_entropy(logits, target, weight, loss, dlogits):
    rows, classes = logits.shape
    kind = "labels" if target.ndim == 1 else "probabilities"
    arguments = logits, target, weight, loss, dlogits, np.int64(rows), np.int32(classes)
    if classes <= MOST_CLASSES_OF_A_THREAD:
        launch_over(rows, "training", f"cross_entropy_{kind}", logits.dtype, *arguments)
    else:
        name = f"cross_entropy_{kind}_by_blocks"
        launch("training", name, logits.dtype, (min(rows, 1 << 16),), CLASS_THREADS, *arguments)
