"""What may be meant by class numbers that do not exist."""

import numpy as np


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
