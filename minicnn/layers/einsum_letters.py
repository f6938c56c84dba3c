"""What the letters of an equation 'abc,cd->abd' say: shapes, and how a sum of products is one of matrices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from minicnn.errors import ShapeError
from minicnn.step import Shape

_FORMS = (
    re.compile(r"(?P<x>[a-zA-Z]+),(?P<kernel>[a-zA-Z]+)->(?P<y>[a-zA-Z]+)"),
    re.compile(r"\.\.\.(?P<x>[a-zA-Z]+),(?P<kernel>[a-zA-Z]+)->\.\.\.(?P<y>[a-zA-Z]+)"),
    re.compile(r"(?P<x>[a-zA-Z]{2,})\.\.\.,(?P<kernel>[a-zA-Z]+)->(?P<y>[a-zA-Z]+)\.\.\."),
)
"""Without "…", with it in front, and with it behind, as Keras has them."""

Names = tuple[str, ...]


@dataclass(frozen=True)
class Letters:
    """The axes of an equation's input, kernel and output by their names.

    Attributes
    ----------
    x, kernel, y : tuple of str
        A letter each; of axes that "…" stands for, numbers.
    """

    x: Names
    kernel: Names
    y: Names

    @property
    def shared(self) -> Names:
        """Of all three: along these there is a product of matrices each."""
        return tuple(n for n in self.y if n in self.x and n in self.kernel)

    @property
    def rows(self) -> Names:
        """Of the input and the output, the samples among them."""
        return tuple(n for n in self.y if n not in self.kernel)

    @property
    def units(self) -> Names:
        """Of the kernel and the output."""
        return tuple(n for n in self.y if n not in self.x)

    @property
    def summed(self) -> Names:
        """Of the input and the kernel."""
        return tuple(n for n in self.kernel if n not in self.y)

    @property
    def alone(self) -> Names:
        """Of the input, which is summed over them first."""
        return tuple(n for n in self.x if n not in self.y and n not in self.kernel)

    @property
    def is_plain(self) -> bool:
        """Whether input, kernel and output are matrices as they lie in memory."""
        return (self.x, self.kernel, self.y) == (
            self.rows + self.summed,
            self.summed + self.units,
            self.rows + self.units,
        )

    def sizes(self, x: Shape, kernel: Shape) -> dict[str, int]:
        """How long the axes are, of the shapes of an input, with the samples, and of the kernel."""
        return dict(zip((*self.x, *self.kernel), (*x, *kernel), strict=True))


def check_equation(equation: object) -> str:
    """An equation of two terms.

    Raises
    ------
    ValueError
        If it is none, or one that goes over samples.
    """
    match = _match(equation)
    if match is None:
        raise ValueError(
            "Invalid einsum equation: it is of the form 'ab,bc->ac', '...ab,bc->...ac' or 'ab...,bc->ac...', with the "
            f"letters of the input, of the kernel and of the output. Received: equation={equation!r}"
        )
    x, kernel, y = match.group("x", "kernel", "y")
    for letter in y:
        if letter not in x and letter not in kernel:
            raise ValueError(
                f"each letter of the output is one of the input or the kernel, and '{letter}' has no corresponding dim "
                f"there. Received: equation={equation!r}"
            )
    for letter in kernel:
        if letter not in x and letter not in y:
            raise ValueError(
                f"Weight dimension '{letter}' did not have a match: each letter of the kernel is one of the input or "
                f"the output. Received: equation={equation!r}"
            )
    is_led = match.re is not _FORMS[1]
    if any(len(set(term)) < len(term) for term in (x, kernel, y)) or (is_led and (x[0] != y[0] or x[0] in kernel)):
        raise ValueError(
            "the first letter of input and output counts the samples, which stay apart, and no letter is twice in a "
            f"term. Received: equation={equation!r}"
        )
    return str(equation)


def _match(equation):
    return next((m for form in _FORMS if isinstance(equation, str) and (m := form.fullmatch(equation))), None)


def letters_of(equation: str, rank: int) -> Letters:
    """The axes of an equation for an input of so many axes, with the samples.

    Raises
    ------
    ShapeError
        If it has others.
    """
    match = _match(equation)
    x, kernel, y = match.group("x", "kernel", "y")
    where, more = _FORMS.index(match.re), rank - len(x)
    if more < 0 or (more and where == 0) or (where == 1 and not more and (x[0] != y[0] or x[0] in kernel)):
        raise ShapeError(
            f"the equation {equation!r} has an input of {'at least ' * (where > 0)}{len(x) + (where == 1)} axes, with "
            f"the samples. Received: an input of {rank} axes"
        )
    further = tuple(map(str, range(more)))
    before, behind = (further, ()) if where == 1 else ((), further)
    return Letters((*before, *x, *behind), tuple(kernel), (*before, *y, *behind))


def shapes_of(equation: str, letters: Letters, x: Shape, units: Sequence[int | None]) -> tuple[Shape, Shape]:
    """The shapes of the kernel, and of the output of a sample.

    Parameters
    ----------
    equation : str
    letters : Letters
    x : tuple of int
        The shape of a sample.
    units : sequence of int or None
        Of the output, without the samples and what "…" stands for; None where the input says it.

    Raises
    ------
    ShapeError
        If they do not fit.
    """
    sizes = dict(zip(letters.x[1:], x, strict=True))
    own = [n for n in letters.y[1:] if n.isalpha()]
    if len(own) != len(units):
        raise ShapeError(
            f"output_shape has the sizes of {own}, of the output of {equation!r} without the samples and what '...' "
            f"stands for. Received: output_shape={tuple(units)}"
        )
    for letter, size in zip(own, units, strict=True):
        if size is not None and sizes.setdefault(letter, size) != size:
            raise ShapeError(
                f"Input shape and output shape do not match at shared dimension '{letter}' of {equation!r}. "
                f"Received: an input of shape {(None, *x)} and output_shape={tuple(units)}"
            )
    missing = [letter for letter in (*letters.kernel, *letters.y[1:]) if letter not in sizes]
    if missing:
        raise ShapeError(
            f"output_shape says how long the axis '{missing[0]}' of {equation!r} is, which the input has not. "
            f"Received: output_shape={tuple(units)}"
        )
    return tuple(sizes[n] for n in letters.kernel), tuple(sizes[n] for n in letters.y[1:])


def ordered(array: np.ndarray, names: Names, order: Names) -> np.ndarray:
    """An array whose axes have names, with them in another order."""
    return array.transpose([names.index(name) for name in order])


def as_matrices(array: np.ndarray, names: Names, *groups: Names) -> np.ndarray:
    """An array with one axis for each group of its axes."""
    sizes = dict(zip(names, array.shape, strict=True))
    moved = ordered(array, names, tuple(name for group in groups for name in group))
    return moved.reshape([prod(sizes[name] for name in group) for group in groups])
