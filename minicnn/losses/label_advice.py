"""What may be meant by class numbers that do not exist, and by targets of another shape than the output."""

import numpy as np

from minicnn.hints import Shape


def labels_advice(target: np.ndarray, classes: int) -> str:
    """How to mend class numbers of which some are not from 0 to ``classes - 1``.

    Returns
    -------
    str
        Begins with "; ", or is empty.
    """
    lowest, highest = target.min(), target.max()
    if classes == 1:
        return "; for two classes and one output use binary_crossentropy"
    if lowest == -1 and np.isin(target, (-1, 1)).all():
        return "; labels -1 and 1 become 0 and 1 by (y + 1) // 2"
    if lowest == 1 and highest == classes:
        return "; do they start at 1? then train with y - 1"
    if lowest >= 0 and highest < 10 * classes:
        return f"; for {int(highest) + 1} classes the last layer needs {int(highest) + 1} units"
    return ""


def binary_advice(target: np.ndarray) -> str:
    """How to mend whole numbers that should be from 0 to 1, to stand behind "; "."""
    lowest, highest = target.min(), target.max()
    if lowest >= 0 and 100 < highest <= 255 and target[0].size > 1:
        return "pixels are scaled first: y / 255"
    if lowest == 1 and highest == 2:
        return "labels 1 and 2 become 0 and 1 by y - 1"
    if lowest == 0 and target[0].size == 1 and np.array_equal(target, np.round(target)):
        count = int(highest) + 1
        return f"for {count} classes use {count} units, activation='softmax' and loss='sparse_categorical_crossentropy'"
    return "map other labels to these first, e.g. -1 and 1 by (y + 1) / 2"


def columns_advice(target: np.ndarray, output_shape: Shape) -> str:
    """What to do with targets (N,) or (N, …, K) of an output (N, …, C), or pictures, that they do not fit.

    Returns
    -------
    str
        Begins with "; ", or is empty.
    """
    if len(output_shape) == 3 == target.ndim - 1:
        return (
            "; an output that is compared with pictures is as large as they are: padding='same', upsampling where "
            f"there were strides, and a last layer of as many filters as they have channels, {target.shape[-1]}"
        )
    is_row = target.ndim > 2 and target.shape[1:-1] == output_shape[:-1]  # several decisions for each sample
    if not target.size or not (is_row or (len(output_shape) == 1 and target.ndim <= 2)):
        return ""
    units, columns = output_shape[-1], target.shape[-1] if is_row else target[0].size
    if columns == 1:
        is_class = np.array_equal(target, np.round(target)) and target.min() >= 0 and target.max() < units
        return f"; class numbers become columns by utils.to_categorical(y, {units})" if is_class else ""
    is_one_hot = bool(((target == 0) | (target == 1)).all() and (target.sum(axis=-1) == 1).all())
    if is_one_hot and (units, columns) == (1, 2):
        return "; one unit takes 0 or 1 for each sample, y.argmax(axis=-1), and two units take both columns"
    mended = f"utils.to_categorical(y, {units}) makes {units} columns, also of labels without the last classes; "
    return f"; {mended * (is_one_hot and columns < units)}for {columns} columns the last layer needs {columns} units"
