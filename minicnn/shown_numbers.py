"""How arrays look that remember how they were computed: as the numbers they are."""

from typing import Any

import numpy as np


class ShownNumbers:
    """What `print` and f-strings show of an object with a `value`: its numbers."""

    value: np.ndarray

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.value.shape} {self.value.dtype}: {self.value}>"

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> Any:
        return format(self.value[()] if self.value.ndim == 0 else self.value, spec)
