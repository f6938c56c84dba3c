"""The numbers of a model as one run of float32, which the page reads at once."""

import base64

import numpy as np

from minicnn.errors import NonFiniteError
from minicnn.parameters import Weight


class Numbers:
    """Arrays one after the other; an array that comes again is stored once.

    Attributes
    ----------
    prefix : str
        Name of the layer whose numbers are being added, for messages.
    """

    def __init__(self) -> None:
        self.prefix: str = ""
        self._parts: list[bytes] = []
        self._size = 0
        self._known: dict[bytes, list[int]] = {}

    def add(self, values: Weight | np.ndarray | None) -> list[int] | None:
        """[start, count] of a weight or an array among all numbers; None for None.

        Raises
        ------
        NonFiniteError
            If a number is NaN or infinite in float32.
        """
        if values is None:
            return None
        array = values.numpy() if isinstance(values, Weight) else np.asarray(values)
        with np.errstate(over="ignore"):  # of float64 in float32
            array = array.astype("<f4")
        if not np.isfinite(array).all():
            name = values.path if isinstance(values, Weight) else self.prefix
            raise NonFiniteError(f"weight '{name}' holds NaN or infinite values: a page of them is of no use")
        part = array.tobytes()
        if part not in self._known:
            self._known[part] = [self._size, array.size]
            self._parts.append(part)
            self._size += array.size
        return self._known[part]

    def base64(self) -> str:
        """All numbers, little-endian."""
        return base64.b64encode(b"".join(self._parts)).decode("ascii")
