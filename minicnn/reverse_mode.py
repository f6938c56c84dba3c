"""The order in which gradients go back through what was recorded, and where they add up (Linnainmaa, 1970)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minicnn.differentiation import Recorded

ParentsOf = Callable[["Recorded"], Sequence[tuple["Recorded", Callable[[Any], Any]]]]


def _parents(node):
    return node.parents


@np.errstate(all="ignore")  # a root has no slope at 0, nor has a logarithm: the gradient says so
def accumulated(
    seeds: Iterable[tuple[Recorded, Any]], order: Iterable[Recorded], parents_of: ParentsOf = _parents
) -> dict[int, Any]:
    """The gradients of Σ seed · result by all that results depend on: id → gradient.

    Parameters
    ----------
    seeds : iterable of (Recorded, array)
        Results, and what they are multiplied with.
    order : iterable of Recorded
        Of `in_order`.
    parents_of : callable, optional
        A node → those of its `parents` that count.
    """
    grads: dict[int, Any] = {}

    def add(node, part):
        grads[id(node)] = grads[id(node)] + part if id(node) in grads else part

    for result, seed in seeds:
        add(result, seed)
    for node in order:
        if id(node) in grads:
            for parent, back in parents_of(node):
                add(parent, back(grads[id(node)]))
    return grads


def product(g: Any, slope: Any, to: Recorded, function: np.ufunc | None = None) -> Any:
    """What goes back to a value, gradient · slope: dL = Re(ḡ · dz) is how a complex one is meant, as in TensorFlow.

    Parameters
    ----------
    g, slope : array or Recorded
    to : Recorded
        The value: where it is real, so is what it gets.
    function : ufunc, optional
        What was computed of it; of a modulus, the slope is the direction in which it grows. Behind a root, a gradient
        of 0 stays 0, as in TensorFlow, where 0 times a slope without end would be NaN.
    """
    made = g * (slope if function is np.absolute else conjugated(slope))
    made = np.where(getattr(g, "value", g) == 0, 0, made) if function in (np.sqrt, np.reciprocal) else made
    is_too_much = np.iscomplexobj(getattr(made, "value", made)) and to.dtype.kind != "c"
    if is_too_much and hasattr(made, "value"):
        raise TypeError("complex gradients are not differentiated again. Expected real numbers. Received: complex ones")
    return made.real if is_too_much else made


def turned(x: Any) -> Any:
    """Matrices the other way round, which gradients of products are multiplied with; complex ones conjugated."""
    return conjugated(np.swapaxes(x, -1, -2))


def conjugated(x: Any) -> Any:
    """The conjugate of what is complex, a factor beside which a gradient goes back; all else as it is."""
    return np.conj(x) if np.iscomplexobj(getattr(x, "value", x)) else x


def in_order(results: Iterable[Recorded], parents_of: ParentsOf = _parents) -> list[Recorded]:
    """All that results depend on, each before what it was computed from.

    Parameters
    ----------
    results : iterable of Recorded
    parents_of : callable, optional
        As for `accumulated`.
    """
    order, seen, stack = [], set(), [(result, False) for result in results]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in parents_of(node))
    return order[::-1]


def pulled_back(function: Callable[[Any], Any], x: Recorded, gradient: Any) -> Any:
    """The gradient of Σ gradient · function(x) by `x`, of a function of recorded arrays.

    Parameters
    ----------
    function : callable
    x : Recorded
    gradient : array like the function's value
        Where it is recorded, so is the result, to be differentiated again.
    """
    made = function(x)

    def inside(node):
        return () if node is x else node.parents

    return accumulated([(made, gradient)], in_order([made], inside), inside)[id(x)]
