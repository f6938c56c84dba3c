"""Functions that are linear in each of their arrays, such as convolutions: gradients of theirs are of the same kind.

Of y = f(x, k) the number Σ g · f(x, k) is linear in x, in k and in g. Its derivative by each of the three is a function
of the two others, linear in both: y itself, and what goes back to x and to k. So they are derivatives of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicnn.differentiation import Recorded, beside, value_of

RESULT = "y"

Run = Callable[[str, Mapping[str, np.ndarray]], np.ndarray]


def multilinear(run: Run, role: str, parts: Mapping[str, Any]) -> Any:
    """One of these derivatives, which can be differentiated as often as one likes.

    Parameters
    ----------
    run : callable
        Takes the name of an array, and arrays by their names; gives the derivative by the one, of the others' numbers.
        The one that `RESULT` names is g, and the derivative by it the function itself.
    role : str
        By which the derivative is.
    parts : mapping
        All others by their names: arrays, which may be recorded.

    Returns
    -------
    array
        Recorded where a part is.
    """

    def back(name):
        def gradient(g):
            others = {other: beside(g, part) for other, part in parts.items() if other != name}
            return multilinear(run, name, {**others, role: g})

        return gradient

    made = run(role, {name: np.asarray(value_of(part)) for name, part in parts.items()})
    parents = [(part, back(name)) for name, part in parts.items() if isinstance(part, Recorded)]
    return Recorded(made, parents) if parents else made
