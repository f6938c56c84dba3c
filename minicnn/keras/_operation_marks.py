"""Which layers of a graph were made by an operator or a function: Keras 3 has operations there, which are no layers.

``x * 2``, ``x[:, 1:]``, ``keras.ops.mean(x, axis=1)`` are layers here as others are, to run and to be saved, but
``model.layers`` of a script for Keras has none of them, so that numbers of layers mean what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from minicnn.graph import Node, Tensor
from minicnn.held import holding
from minicnn.keras._deferred import parts_of
from minicnn.layers import InputLayer, Layer
from minicnn.layers.names import ending, unique_name

_OPERATORS = {  # name of Python's → of Keras's operation
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "pow": "power"},
    **{"gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal"},
    **{"neg": "negative", "abs": "absolute", "getitem": "get_item"},
}
_OPERATORS |= {f"r{name}": _OPERATORS[name] for name in ("add", "sub", "mul", "truediv")}
_NAMES = {  # of functions whose operation is called otherwise
    "abs": "absolute",
    "allclose": "all_close",
    "batch_normalization": "batch_norm",
    "cdist": "c_dist",
    "conj": "conjugate",
    "exponential": "exp",
    "_glu": "glu",
    "hard_swish": "hard_silu",
    "isin": "is_in",
    "layer_normalization": "layer_norm",
    "rms_normalization": "rms_norm",
    "searchsorted": "search_sorted",
    "swish": "silu",
}
_STEP = "_operation"  # ending of the names of steps that have none in Keras
_traced: ContextVar[bool] = ContextVar("_traced", default=False)


def listed(layers: Iterable[Layer]) -> list[Layer]:
    """Those that Keras 3 lists."""
    return [layer for layer in layers if not getattr(layer, "is_operation", False)]


def marked(made: Any, given: Iterable[Any], name: str | None = None) -> Any:
    """What an operation gave; its steps are no layers of `model.layers`.

    Parameters
    ----------
    made : Tensor, or nested lists of them, or anything else
    given : iterable
        Its arguments.
    name : str, optional
        That of Keras's operation, which is the last step's then.
    """
    begin = {t.node for t in _tensors(given)}
    pending: list[Node] = [t.node for t in _tensors([made])]
    found = set(begin)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += [t.node for t in node.inputs]
    steps = found - begin
    if name is not None:
        _name(made, steps, name)
    if not any(isinstance(node.layer, InputLayer) for node in steps):  # else functions gave tensors of their own
        for node in steps:
            vars(node.layer)["is_operation"] = True
    return made


def _name(made, steps, name):
    """Give the last step the name that Keras's operation has; where several are last, the first of them."""
    if not (tensors := _tensors([made])):
        return
    name = unique_name(name)  # counted also where there is no step, as of a cast to the dtype that there is
    last = next((t.node.layer for t in tensors if t.node in steps and _STEP in t.node.layer.name), None)
    if last is not None:
        vars(last)["name"] = name


class WithOperations:
    """Mixin of functional models."""

    @property
    def operations(self) -> list[Layer]:
        """Layers and operations in the order in which they run; of one that is several steps here, the last."""
        if self.graph is None or self.goes_by_attributes:  # type: ignore[attr-defined]
            raise AttributeError(
                f"operations are those of a model of tensors, Model(inputs, outputs). Received: {type(self).__name__}"
            )
        found = self.graph.layers  # type: ignore[attr-defined]
        return [layer for layer in found if not (getattr(layer, "is_operation", False) and _STEP in layer.name)]


def traced() -> AbstractContextManager[None]:
    """Inside, a `call` runs for its graph: Keras runs it on arrays, where operations have no names."""
    return holding(_traced, True)


def is_traced() -> bool:
    """Whether a `call` runs for its graph."""
    return _traced.get()


def unnamed() -> AbstractContextManager[None]:
    """Inside, layers are made that have no place in Keras, and so no number among its names."""
    return holding(ending, _STEP)


def operated(name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a function gives of a model's tensors, as one operation of Keras's, whatever it is made of here.

    Parameters
    ----------
    name : str
        The function's.
    function : callable
    args, kwargs
        Its arguments.
    """
    if ending.get():  # a part of another operation
        return function(*args, **kwargs)
    with unnamed():
        made = function(*args, **kwargs)
    return marked(made, (*args, *kwargs.values()), None if _traced.get() else _NAMES.get(name, name))


def stands_for_layer(layer: Layer) -> None:
    """The step of an operation is the one that a script's own layer is in `model.layers`."""
    vars(layer).pop("is_operation", None)


def stands_alone(layer: Layer, places: Sequence[Node]) -> None:
    """What the `call` of a layer adds to it is listed nowhere; the last part of it is, where the layer has no place.

    Parameters
    ----------
    layer : Layer
    places : list of Node
        That its call made, the last one first.
    """
    for node in places:
        if node.layer is not layer and set(node.layer.nodes) <= set(places):
            vars(node.layer)["is_operation"] = True
    if places and all(node.layer is not layer for node in places):
        stands_for_layer(places[0].layer)


def _tensors(values):
    return [part for part in parts_of(tuple(values)) if isinstance(part, Tensor)]


def _as_operation(operator: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(operator)
    def operate(*operands: Any) -> Any:
        return operated(name, operator, operands, {})

    return operate


for _operator, _of_keras in _OPERATORS.items():
    setattr(Tensor, f"__{_operator}__", _as_operation(getattr(Tensor, f"__{_operator}__"), _of_keras))
