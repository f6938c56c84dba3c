"""The cross-entropy loss."""

import numpy as np

from minicnn.backends.cupy.launch import Array, Maybe, launch, launch_over

MOST_CLASSES_OF_A_THREAD = 64
CLASS_THREADS = 128  # the scratch memory of cross_entropy_by_blocks in cross_entropy.cu


def softmax_cross_entropy(logits: Array, target: Array, weight: Array, loss: Array, dlogits: Maybe) -> None:
    """See `minicnn.backends.reference.cross_entropy.softmax_cross_entropy`."""
    rows, classes = logits.shape
    kind = "labels" if target.ndim == 1 else "probabilities"
    arguments = logits, target, weight, loss, dlogits, np.int64(rows), np.int32(classes)
    if classes <= MOST_CLASSES_OF_A_THREAD:
        launch_over(rows, "cross_entropy", f"cross_entropy_{kind}", logits.dtype, *arguments)
    else:
        name = f"cross_entropy_{kind}_by_blocks"
        launch("cross_entropy", name, logits.dtype, (min(rows, 1 << 16),), CLASS_THREADS, *arguments)
