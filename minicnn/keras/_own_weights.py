"""Weights of a layer made of layers, in its `call`, where they meet tensors of a model, which have no values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from minicnn import constraints
from minicnn.graph import Tensor
from minicnn.keras._deferred import Deferred, parts_of, tensors_in, with_parts
from minicnn.keras._function_activations import with_functions
from minicnn.keras._in_order import GrowingList
from minicnn.keras._operation_marks import traced
from minicnn.keras._over_samples import OverSamples
from minicnn.keras._taped import recording, weights_as
from minicnn.keras._window_starts import check_of_images
from minicnn.layers.added_loss import BatchScalar
from minicnn.layers.contract import is_taken
from minicnn.parameters import Weight

# ``MAKERS[0](weights, function)`` makes the layer; `function` takes the weights' arrays by name, and the tensors'.
MAKERS: list[Callable[..., Callable[..., Any]]] = []


class OfWeights(Deferred):
    """What is computed of a layer's weights: where it meets a model's tensor, it becomes a layer with these weights.

    Parameters
    ----------
    weights : dict of Weight
        By name.
    function : callable
        Gives the value for a dict of arrays in place of the weights.
    for_each : bool, default False
        Whether its first axis, of size 1, stands for all samples, as that of a class token which was repeated.
    """

    meets_tensors: bool = True

    def __init__(self, weights: Mapping[str, Weight], function: Callable[..., Any], for_each: bool = False) -> None:
        self._weights, self._function = weights, function
        self.for_each: bool = for_each
        example = function({name: w.numpy() for name, w in weights.items()})
        self.shape: tuple[int, ...] = np.shape(example)
        self.ndim: int = len(self.shape)

    def is_of(self, weight: Weight) -> bool:
        """Whether it is computed of this weight alone."""
        return [*self._weights.values()] == [weight]

    def names_of(self, weight: Weight) -> list[str]:
        """Those by which the function knows the weight."""
        return [name for name, own in self._weights.items() if own is weight]

    def of_arrays(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """The value for arrays in place of the weights, by name."""
        return self._function(arrays)

    def assign(self, value: Any) -> NoReturn:
        """Refused: a graph has no state but that of its layers."""
        raise TypeError(
            "a call that is made of layers is run once, for their graph, so that it assigns nothing: put the state "
            f"{list(self._weights)} into a layer of its own, whose call computes with arrays and may assign. "
            f"Received: assign({value!r})"
        )

    assign_add = assign_sub = assign

    def refuse_layer(self) -> None:
        """Nothing: the layer says what it takes."""

    def beside(self, tensor: Tensor) -> Tensor:
        """What was repeated for each sample, as a tensor in a graph with this one, which has as many."""
        return self.apply(lambda x, value: value, (tensor, self), {})

    def part_beside(self, tensor: Tensor) -> BatchScalar:
        """Its sum as a part of the loss, in a graph with this tensor: a penalty that a `call` adds."""

        def for_each(x, value):
            return np.zeros(np.shape(x)[:1], np.float32) + np.sum(value)  # (N,)

        return BatchScalar(self.apply(for_each, (tensor, self), {}), "mean")

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """function(*args, **kwargs), of tensors among them if there are any, else of weights alone."""
        found = list(parts_of((*args, *kwargs.values())))
        if (other := next((part for part in found if isinstance(part, OverSamples)), None)) is not None:
            return other.apply(function, args, kwargs)
        weights, tensors = (
            _together([part._weights for part in found if isinstance(part, OfWeights)]),
            tensors_in(args, kwargs),
        )
        args, kwargs, repeats = _once(args, kwargs)
        for_each = repeats or any(part.for_each for part in found if isinstance(part, OfWeights))

        def value(own, arrays=()):
            given = dict(zip(tensors, arrays, strict=True))

            def put(part):
                if isinstance(part, OfWeights):
                    return (
                        _for_samples(part._function(own), arrays) if part.for_each and tensors else part._function(own)
                    )
                return given[part] if isinstance(part, Tensor) else part

            return with_parts(function, args, kwargs, put)

        if not tensors:
            return OfWeights(weights, value, for_each)
        if for_each:
            check_of_images(tensors)
        return MAKERS[0](weights, value)(tensors if len(tensors) > 1 else tensors[0])


def repeated_constant(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of an operation; an array that it repeats for each sample of a graph is what stands for it."""
    repeats = name in ("broadcast_to", "repeat", "tile") and is_making_graph() and _once(args, kwargs)[2]
    if not repeats or not isinstance(args[0], np.ndarray):
        return args
    value, is_lower = np.array(args[0]), name == "broadcast_to" and args[0].ndim < len(args[1])
    return (OfWeights({}, lambda own: value), *args[1:]) if is_lower or value.shape[:1] == (1,) else args


def for_samples(make: Callable[[tuple[Any, ...]], Any], shape: Any) -> Any:
    """An array of a shape; one whose first axis is that of a graph's samples is what stands for it.

    Parameters
    ----------
    make : callable
        Of a shape, an array whose parts along the first axis are the same.
    shape : sequence of int or int
        In which None is the number of samples.
    """
    is_open = isinstance(shape, list | tuple) and len(shape) > 0 and shape[0] is None and is_making_graph()
    return OfWeights({}, lambda own: make((1, *shape[1:])), for_each=True) if is_open else make(shape)


def _for_samples(value, arrays):
    """A value whose first axis stands for all samples, for as many as arrays have."""
    return np.broadcast_to(value, (len(arrays[0]), *value.shape[1:]))


def _once(args, kwargs):
    """(arguments with 1 for an open number of samples, whether there was one): ``tile(token, (None, 1, 1))``."""
    found = []

    def once(value):
        is_open = isinstance(value, list | tuple) and len(value) > 0 and value[0] is None
        found.append(is_open)
        return (1, *value[1:]) if is_open else value

    args = [*args[:1], *map(once, args[1:])]
    kwargs = {name: once(value) for name, value in kwargs.items()}
    if len(args) > 1 and args[1] is None and kwargs.get("axis") == 0:  # of `repeat`
        return [args[0], 1, *args[2:]], kwargs, True
    return args, kwargs, any(found)


def _together(several):
    """The weights of several dicts, in one."""
    weights: dict[str, Weight] = {}
    for name, weight in [item for each in several for item in each.items()]:
        if weights.setdefault(name, weight) is not weight:
            raise TypeError(
                f"what is computed of weights of two layers, before it meets a tensor, needs them to have two names: "
                f"add each of them to the tensor, or multiply it with each. Received: {weights[name].path} and "
                f"{weight.path}"
            )
    return weights


class WholeNumbers(Weight):
    """A weight of whole numbers or bools, which a model keeps among its floats, up to 2**24 without rounding."""

    whole_dtype: np.dtype

    @property
    def dtype(self) -> np.dtype:
        """What it was declared as."""
        return self.whole_dtype

    def numpy(self) -> np.ndarray:
        """A copy of the values, in that dtype."""
        return super().numpy().astype(self.whole_dtype)


def _whole(dtype):
    """The dtype, if it is one of whole numbers or bools; None otherwise."""
    name = getattr(dtype, "name", dtype)
    if name is None or name in ("bfloat16", "string"):
        return None
    dtype = np.dtype(name)
    return dtype if dtype.kind in "biu" else None


@contextmanager
def weights_in_graph() -> Iterator[None]:
    """Inside, a `call` runs for its graph: weights that meet a model's tensor make a layer that trains them."""
    with weights_as(standing_in), traced():
        yield


def is_making_graph() -> bool:
    """Whether a `call` makes a graph, in which weights are to be trained."""
    return recording.standing_in is not None


def are_numbers_beside_tensors(inputs: Any) -> bool:
    """Whether a `call` that makes a graph calls a layer on tensors, and on arrays or what is computed of weights."""
    if not is_making_graph() or not isinstance(inputs, list | tuple):
        return False
    of_tensors = [isinstance(part, Tensor) for part in inputs]
    return any(of_tensors) and not all(of_tensors)


def standing_in(value: Any) -> Any:
    """An attribute of a layer with `OfWeights` in place of weights."""
    if isinstance(value, Weight):
        return OfWeights({value.name: value}, lambda own: own[value.name])
    if type(value) in (list, tuple, GrowingList):
        return type(value)(standing_in(part) for part in value)
    if type(value) is dict:
        return {key: standing_in(part) for key, part in value.items()}
    return value


def weight_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `add_weight` was given, by its names in Keras 2, whose first one is the name, or in Keras 3.

    Raises
    ------
    TypeError
        For too many, or what is no dtype in the place of one.
    """
    order = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")
    if args and not isinstance(args[0], str | None):
        order = ("shape", "initializer", "dtype", "trainable", "autocast", "regularizer", "constraint")
    given = {**dict(zip(order, args, strict=False)), **kwargs}
    dtype = given.get("dtype")
    if len(args) > len(order) or (isinstance(dtype, str) and dtype not in (*np.sctypeDict, "bfloat16", "string")):
        raise TypeError(
            f"add_weight takes the arguments {', '.join(order)}, in this order or by name. Received: {args}, {kwargs}"
        )
    return given


@contextmanager
def names_apart(layer: Any, known: Iterable[str] = ()) -> Iterator[None]:
    """Inside, where a user's `build` runs, two weights of one name are two, as in Keras; so in a constructor.

    Parameters
    ----------
    layer : Layer
        Or a model, whose weights are always new.
    known : iterable of str
        The names that are no new weight's already.
    """
    vars(layer)["_names_in_build"] = names = {*known}
    try:
        yield
    finally:
        if vars(layer).get("_names_in_build") is names:
            del vars(layer)["_names_in_build"]


def _free(layer, name):
    """A weight's name, which is no attribute in Keras: one that is there for something else gets a "_" behind it."""
    names = vars(layer).get("_names_in_build", set())
    if isinstance(name, str):
        name = name.replace("/", "_")
        while is_taken(layer, name) or name in names:
            name += "_"
        names.add(name)
    return name


def give_way(layer: Any, name: str) -> None:
    """Have a weight that a user's `build` has called as one of the library's, which comes now, called otherwise.

    Parameters
    ----------
    layer : Layer
    name : str
    """
    own = layer._weights[name]
    own.name = _free(layer, name)
    layer._weights = {own.name if key == name else key: weight for key, weight in layer._weights.items()}


def declared(layer: Any, add: Callable[..., Weight], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Weight:
    """The weight of a layer or model that is declared with Keras's arguments.

    Parameters
    ----------
    layer : Layer
    add : callable
        minicnn's method `add_weight` of it.
    args, kwargs : tuple, dict
        See `weight_arguments`.
    """
    given = with_functions(weight_arguments(args, kwargs))
    if given.pop("trainable", True) is False:
        given["has_gradient"] = False
    if "constraint" in given:
        given["constraint"] = constraints.get(given["constraint"])
    whole = _whole(given.pop("dtype", None))
    if whole is not None:  # there is no gradient by them
        given["has_gradient"] = False
    for name in ("aggregation", "synchronization", "use_resource", "autocast"):
        given.pop(name, None)
    name = _free(layer, given.pop("name", None) or f"weight_{len(layer._weights)}")
    initializer = given.pop("initializer", None) or ("glorot_uniform" if whole is None else "zeros")
    kept = {name: vars(layer)[name]} if name in vars(layer) else {}  # an attribute that happens to be called so
    weight = add(name, given.pop("shape", ()), initializer, **given)
    vars(layer).update(kept)
    if whole is not None:
        weight.__class__, weight.whole_dtype = WholeNumbers, whole  # as `add` makes those of the library
    return weight
