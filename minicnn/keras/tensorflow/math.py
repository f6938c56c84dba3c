"""``tf.math``: the functions of ``tf`` itself, and logarithms."""

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.keras.tensorflow import _functions, nn

if TYPE_CHECKING:  # for checkers, which do not see what is made at run time

    def __getattr__(name: str) -> Any: ...


globals().update({name: getattr(_functions, name) for name in _functions.__all__ if name not in ("zeros", "ones")})
globals().update(_functions.MATH)
l2_normalize, softplus = nn.l2_normalize, nn.softplus


def confusion_matrix(
    labels: Any, predictions: Any, num_classes: int | None = None, weights: Any = None, dtype: Any = "int32"
) -> Any:
    """How often class i (row) was taken for class j (column): (classes, classes)."""
    rows, columns = (np.asarray(each).reshape(-1).astype(np.int64) for each in (labels, predictions))
    count = 1 + max(int(rows.max(initial=-1)), int(columns.max(initial=-1))) if num_classes is None else num_classes
    matrix = np.zeros((count, count))
    np.add.at(matrix, (rows, columns), 1 if weights is None else np.asarray(weights).reshape(-1))
    return _functions.as_tensor(matrix, dtype)


__all__ = sorted(name for name in globals() if not name.startswith("_") and name not in ("nn", "np"))
