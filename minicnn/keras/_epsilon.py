"""Keras's small number, by which functions keep from dividing by zero."""

_EPSILON = [1e-7]


def epsilon() -> float:
    """A small number, 1e-7 unless it was set."""
    return _EPSILON[0]


def set_epsilon(value: float) -> None:
    """Set what `epsilon` returns; layers and losses have numbers of their own."""
    _EPSILON[0] = float(value)
