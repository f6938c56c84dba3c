"""Arrays that go by the number of a batch's samples, as ``tf.range(tf.shape(x)[0])``, while a `call` makes a graph.

There that number is None, by which NumPy's ``arange`` would give no numbers at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from minicnn.keras._over_samples import may_wait, of_sample_count
from minicnn.keras._own_weights import for_samples, is_making_graph

_ENDS = ("start", "limit", "stop")


def numbering(function: Callable[..., Any]) -> Callable[..., Any]:
    """``arange`` or ``range``, which takes the number of a graph's samples, None, as one of its ends.

    Parameters
    ----------
    function : callable
        Of a start, an end and a step.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        named = {name: kwargs[name] for name in _ENDS if name in kwargs}
        if all(end is not None for end in (*args[:2], *named.values())):
            return function(*args, **kwargs)

        def of(count: int) -> Any:
            told = {name: count if end is None else end for name, end in named.items()}
            return function(*(count if end is None else end for end in args[:2]), *args[2:], **kwargs | told)

        start = args[0] if args else named.get("start")
        may_be_count = start is None or (isinstance(start, int) and start == 0)  # else a None may be a default, too
        if may_be_count and (numbers := of_sample_count(of)) is not None:
            return numbers
        if is_making_graph() or may_wait() or args[:1] == (None,):
            raise TypeError(
                f"{function.__name__} to the number of samples, which is None while a graph is made (NoneType): in the "
                "call of a layer of one's own it may be that of the layer's inputs, from 0 on; tensors of a model keep "
                f"their samples apart. Received: {function.__name__}({', '.join(map(repr, args))})"
            )
        return function(*args, **kwargs)

    return call


def with_open_sizes(function: Callable[..., Any]) -> Callable[..., Any]:
    """``ones`` and its like, of a shape whose first size may be the number of a graph's samples, None.

    Parameters
    ----------
    function : callable
        Of a shape, and what else there is.
    """

    @wraps(function)
    def call(shape: Any, *args: Any, **kwargs: Any) -> Any:
        return for_samples(lambda sizes: function(sizes, *args, **kwargs), shape)

    return call
