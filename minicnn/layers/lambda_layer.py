"""`Lambda`: a function as a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike

from minicnn.differentiation import Recorded, gradients, value_of
from minicnn.errors import ShapeError
from minicnn.graph import Node, Tensor
from minicnn.hints import LayerOptions
from minicnn.layers.activations import Activation
from minicnn.layers.base import Layer, register
from minicnn.layers.function_numbers import noting_counts, numbers_of
from minicnn.layers.open_sizes import count_apart, shape_behind
from minicnn.nested import leaves, mapped
from minicnn.on_host import assign, on_host
from minicnn.own_parts import check_takes, is_of_package
from minicnn.registry import Configurable, custom_object
from minicnn.step import Arrays, Shape, Shapes, Workspace
from minicnn.user_warnings import brief, warn_user

__all__ = ["Lambda"]


class _SeveralResults(ShapeError):
    """Raised where a function gives several tensors, which are those of the layers that it is made of."""

    def __init__(self, results: Any) -> None:
        super().__init__(
            "a layer of a row, and one that is called for a layer, gives one tensor: call the Lambda on tensors, and "
            f"make a Model of what it gives. Received: a function that gives {len(leaves(results))}"
        )
        self.results = results


@register
class Lambda(Layer):
    """A function as a layer; it has no weights, and files hold no more of it than its name.

    A function that is made of layers (of what can be done to symbolic tensors) stands for these layers, and has their
    gradients. One that needs numbers is called with arrays, on a processor: with a GPU they go there and back, and such
    iterations are not captured. Behind a layer with weights it is differentiated as it runs, so it is written with
    operators and the functions of NumPy or of `keras.ops` (`minicnn.differentiation`); before it, where no gradient is
    asked for, it may be anything, say to prepare images.

    A file holds the name of a function that was written with ``def``, as Keras's do, and `load_model` takes the
    function from ``custom_objects``, by its name or by the layer's. Of a lambda, of a function without a name, and of
    several functions of one name in a model, it holds nothing but the layers' names, and a warning says so.

    Parameters
    ----------
    function : function
        From the inputs, one or a list of several, with the batch axis, to the output.
    output_shape : tuple of int or function, optional
        Of a sample; or a function from the input's shape with the batch axis, a list of them for several inputs, to the
        output's. Default, and if a size is None: what `function` gives for zeros.
    mask : None
        Accepted for Keras's sake; no layer heeds masks, and another one is refused.
    arguments : dict, optional
        Further arguments of the function, by name. Files hold numbers, text, True, False, None, and lists and dicts of
        these; a layer with others is refused there.
    """

    draws_anew = True
    input_count: int | None = None
    takes_list_of_one: bool = False  # whether it is called as ``layer([x])``, and the function gets a list

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Sequence[int | None] | Callable[[Any], Sequence[int | None]] | None = None,
        mask: None = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"a Lambda layer needs a function. Received: function={function!r}")
        if mask is not None:
            raise ValueError(f"Lambda supports mask=None only, as no layer heeds masks. Received: mask={mask!r}")
        if not isinstance(arguments, Mapping | None):
            raise TypeError(
                f"arguments is a dict of the function's further arguments, by name. Received: arguments={arguments!r}"
            )
        check_takes(function, "the function of a Lambda layer", "inputs", **dict(arguments or {}))
        self.function: Callable[..., Any] = function
        if output_shape is not None and not callable(output_shape):
            output_shape = tuple(output_shape)
        self.output_shape: tuple[int | None, ...] | Callable[[Any], Sequence[int | None]] | None = output_shape
        self.mask: None = mask
        self.arguments: dict[str, Any] = dict(arguments or {})

    @property
    def holds_code(self) -> bool:  # type: ignore[override]
        """Whether no file may name it: a subclass, and what the library has made for itself."""
        return type(self).__name__ != "Lambda" or _is_inner(self.function) or not _is_plain(self.arguments)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A layer from what `get_config` returned, or a file held: there the function is named.

        Raises
        ------
        ValueError
            If ``custom_objects`` has no function of that name, nor of the layer's.
        """
        if isinstance(config, Mapping) and not callable(config.get("function")):
            config = {**config, "function": _given_function(config.get("function"), config.get("name"))}
        return super().from_config(config)

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """As of all layers; of a list of one, the function gets a list.

        Raises
        ------
        ValueError
            If it is called elsewhere on the input alone, or the other way round.
        """
        is_list = isinstance(inputs, list | tuple) and len(inputs) == 1
        if is_list != self.takes_list_of_one and self.nodes:
            raise ValueError(
                f"layer '{self.name}' gets its input in a list wherever it is called, or nowhere: use a layer of its "
                f"own here. Received: {inputs!r}"
            )
        self.takes_list_of_one = is_list
        try:
            return super().__call__(inputs, training)
        except _SeveralResults as found:
            return found.results

    def take_list_of_one(self) -> None:
        """Said by who makes a graph of a config: that its calls are ``layer([x])``."""
        self.takes_list_of_one = True

    def _call(self, inputs):
        """The function's result for a sequence of inputs."""
        is_alone = len(inputs) == 1 and not self.takes_list_of_one
        return self.function(inputs[0] if is_alone else list(inputs), **self.arguments)

    def call_symbolically(self, tensors: Sequence[Tensor], training: bool | None = None) -> Node:
        """The last layer of those that the function is made of; else a place for the function itself."""
        try:
            result = self._call(tensors)
        except (AttributeError, ImportError, TypeError, ValueError):  # it needs numbers
            result = None
        if isinstance(result, list | tuple | dict) and {isinstance(part, Tensor) for part in leaves(result)} == {True}:
            self._built = True
            raise _SeveralResults(result)
        if isinstance(result, Tensor) and len(result.node.outputs) == 1 and not self._is_better_whole(tensors, result):
            self._built = True
            penalty = self.activity_regularizer
            return (Activation("linear", activity_regularizer=penalty)(result) if penalty else result).node
        return super().call_symbolically(tensors, training)

    def _is_better_whole(self, tensors, result) -> bool:
        """Whether files can name the function, and not what is in it."""
        if self.holds_code:
            return False
        begin, stack, nodes = set(tensors), [result], set()
        while stack:
            tensor = stack.pop()
            if tensor in begin or tensor.node in nodes:
                continue
            if not tensor.node.inputs:  # of the graph, which the function knows beside its inputs
                return False
            nodes.add(tensor.node)
            stack += tensor.node.inputs
        inside = {node.layer for node in nodes}
        if any(layer.weights for layer in inside) or not any(layer.holds_code for layer in inside):
            return False
        try:  # with numbers, which fails if it knows what was made of its inputs before
            shape_behind(lambda shapes: self._shape_for(2, shapes), tuple(tensor.shape[1:] for tensor in tensors))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return False
        return True

    def call_on_arrays(self, arrays: Sequence[ArrayLike], training: bool) -> Any:
        """What the function gives for arrays."""
        arrays = [np.asarray(a) for a in arrays]
        result = self._call(arrays)
        if self._is_several(result, arrays):
            return mapped(lambda part: np.asarray(value_of(part)), result)
        return np.asarray(value_of(result))

    def _is_several(self, result, arrays):
        """Whether the function gives several arrays, and not one in a list: that has an entry for each sample."""
        if not isinstance(result, list | tuple) or not any(np.ndim(value_of(part)) for part in result):
            return isinstance(result, dict)
        if len(result) != len(arrays[0]):
            return True
        one_more = self._call([np.concatenate([a, np.zeros_like(a, shape=(1, *a.shape[1:]))]) for a in arrays])
        return len(one_more) == len(result)

    def build(self, input_shapes: Shapes) -> Shape:
        if (given := self._given_shape(input_shapes)) is not None and None not in given:
            return given
        with noting_counts() as counts:
            try:
                return self._shape_for(count_apart(input_shapes), input_shapes)
            except ValueError as error:
                if "truth value" in str(error):
                    raise ValueError(
                        f"the function of a Lambda layer gets all numbers at once, where `if` and `and` choose none: "
                        f"write numpy.where(condition, a, b), or keras.ops.where. Received: {self.function!r}"
                    ) from None
                if len(counts) != 1:  # else it draws numbers for so many samples, a batch of its author's
                    raise
        return self._shape_for(counts.pop(), input_shapes)

    def _shape_for(self, count, input_shapes):
        """The shape of a sample of the result, for so many of zeros."""
        with np.errstate(all="ignore"):  # of 0 / 0 nothing is said
            result = self.call_on_arrays([np.zeros((count, *shape), np.float32) for shape in input_shapes], False)
        if not isinstance(result, np.ndarray):
            raise ValueError(
                f"the function gives {len(leaves(result))} arrays, which a model's tensors can stand for where it is "
                "written with functions of minicnn.keras.ops or tf alone: this one needs numbers. Make one layer of "
                f"each. Received: {self.function!r}"
            )
        _check_count(result.shape, count, result.ndim == 0 and result.item() is None)
        return result.shape[1:]

    def _given_shape(self, input_shapes) -> tuple[int | None, ...] | None:
        """A sample's shape as the user gave it, or a function of the user's gives it."""
        if not callable(self.output_shape):
            return self.output_shape
        shapes = [(None, *shape) for shape in input_shapes]
        is_alone = len(shapes) == 1 and not self.takes_list_of_one
        return tuple(self.output_shape(shapes[0] if is_alone else shapes))[1:]

    def forward(self, xs: Arrays, ws: Workspace) -> None:
        with numbers_of(ws):
            if any(dx is not None for dx in ws.dxs):
                ws.record = self._recorded(xs)
                result = value_of(ws.record[0])
            else:
                result = value_of(self._call([on_host(x) for x in xs]))
        _check_count(np.shape(result), len(xs[0]))  # which output_shape does not say
        assign(ws.y, result)

    def _recorded(self, xs):
        """(result, inputs), of which `backward` takes gradients."""
        inputs = [Recorded(on_host(x)) for x in xs]
        try:
            return self._call(inputs), inputs
        except TypeError as error:
            raise TypeError(
                f"the function of layer '{self.name}' (Lambda) stands behind a layer with weights, which need its "
                f"gradient: {error}. Received: function={self.function!r}"
            ) from error

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        result, inputs = ws.record
        parts = gradients(result if isinstance(result, Recorded) else Recorded(result), on_host(dy), inputs)
        for dx, part in zip(ws.dxs, parts, strict=True):
            if dx is not None:
                assign(dx, part)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        several = isinstance(input_shape[0], list | tuple)
        shapes = tuple(tuple(shape)[1:] for shape in (input_shape if several else [input_shape]))
        return (input_shape[0][0] if several else input_shape[0], *shape_behind(self.build, shapes))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the function itself: for copies in memory; see `refuse_files`."""
        own = {"function": self.function, "output_shape": self.output_shape, "arguments": self.arguments}
        bare = object.__new__(type(self))  # as what the function and its arguments are may have no config
        vars(bare).update(vars(self), **dict.fromkeys(own))
        config = {name: value for name, value in super(Lambda, bare).get_config().items() if name not in (*own, "mask")}
        return {name: value for name, value in own.items() if value} | config

    def refuse_files(self) -> NoReturn:
        """Raise the error for a file that should hold the function, or an argument that no file holds."""
        if not _is_plain(self.arguments):
            raise TypeError(
                f"layer '{self.name}' (Lambda) has arguments that no file holds: numbers, text, True, False, None, and "
                f"lists and dicts of these; let the function know others itself. Received: arguments={self.arguments}"
            )
        raise TypeError(
            f"layer '{self.name}' ({type(self).__name__}) holds code, which no file holds: put it into a Lambda "
            f"layer, of whose function a file holds the name, save the weights alone, or write the function as a layer "
            f"of your own. Received: function={self.function!r}"
        )

    def __repr__(self) -> str:
        return f"Lambda(function={self.function!r}, name={self.name!r})"


def _check_count(shape, count, is_nothing=False) -> None:
    """Raise `ShapeError` unless that is the shape of something for so many samples."""
    if shape[:1] != (count,):
        folds = not is_nothing and bool(shape) and shape[0] > count and shape[0] % count == 0
        advice = "; TimeDistributed(layer) calls a layer on each of the parts of a sample" if folds else ""
        raise ShapeError(
            f"the function of a Lambda layer gives as many samples as it gets: {count}{advice}. "
            f"Received: {'None; write return' if is_nothing else f'shape {shape}'}"
        )


def _is_plain(value) -> bool:
    """Whether JSON gives it back as it was, but for tuples, which become lists."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.bool_ | np.integer | np.floating)


def with_names(config: Any) -> Any:
    """A copy of what a file is to hold, with names in the place of functions: as Keras's files have them.

    Parameters
    ----------
    config : dict, list or any other part of a config
    """
    functions: dict[str, list[Any]] = {}
    for own in _lambdas_in(config):
        of_name = functions.setdefault(getattr(own["function"], "__name__", ""), [])
        if not any(own["function"] is known or own["function"] == known for known in of_name):
            of_name.append(own["function"])
    return _named(config, {name for name, of_name in functions.items() if len(of_name) > 1})


def _lambdas_in(config) -> Iterator[dict[str, Any]]:
    """The arguments of all Lambda layers."""
    if _is_lambda(config):
        yield config["config"]
    elif isinstance(config, list | tuple | dict):
        for part in config.values() if isinstance(config, dict) else config:
            yield from _lambdas_in(part)


def _is_lambda(config) -> bool:
    is_one = isinstance(config, dict) and config.get("class_name") == "Lambda" and isinstance(config["config"], dict)
    return is_one and callable(config["config"].get("function"))


def _named(config, shared):
    """`with_names`, where several functions have each of the names `shared`."""
    if isinstance(config, list | tuple):
        return [_named(part, shared) for part in config]
    if not isinstance(config, dict):
        return config
    if not _is_lambda(config):
        return {name: _named(value, shared) for name, value in config.items()}
    own = {name: value for name, value in config["config"].items() if name != "output_shape" or not callable(value)}
    return config | {"config": own | {"function": _name_of(own["function"], own["name"], shared)}}


def _name_of(function, layer, shared):
    """What a file holds of a function: its name if that says which, else its layer's."""
    name = getattr(function, "__name__", "")
    if not name.isidentifier() or name in shared:
        what = {"": "a function without a name", "<lambda>": "a lambda"}.get(name, f"one of several functions {name!r}")
        warn_user(
            f"layer {layer!r} (Lambda) has {what}, of which the file holds "
            f"nothing: load_model will need custom_objects={{{layer!r}: the function}}"
        )
        name = layer
    return {"class_name": "function", "config": name}


def _is_inner(function) -> bool:
    """Whether it is one that the library has made for itself, which nobody could give again."""
    place, _, name = getattr(function, "__qualname__", "").rpartition(".")
    # One that was given another name than it was written with is public: keras.ops.abs, tf.tanh.
    return place.endswith("<locals>") and name == function.__name__ and is_of_package(function)


def _is_given(known) -> bool:
    """Whether what ``custom_objects`` has under a name is a function: no class, loss, metric or layer."""
    return callable(known) and not isinstance(known, type | Configurable)


def _given_function(said, layer):
    """The function of a layer in a file, from ``custom_objects``; `said` is what the file holds of it."""
    is_named = isinstance(said, Mapping) and said.get("class_name") == "function"
    named = said.get("config") if is_named else None
    if not isinstance(layer, str) or not (named is None or isinstance(named, str)):
        raise ValueError(
            f"a Lambda layer in a file has a name, and its function's name, as texts. Received: name={brief(layer)}, "
            f"function={brief(said)}"
        )
    names = [] if named is None else [named, named.rpartition(">")[2]]  # "package>name", of a registered one
    key = next((name for name in (*names, layer) if custom_object(name) is not None), None)
    if key is not None and _is_given(custom_object(key)):
        return custom_object(key)
    what = "holds code, which is never run from a file" if named is None else f"is of the function {brief(named)}"
    raise ValueError(
        f"layer {brief(layer)} (Lambda) {what}: give the function itself, load_model(…, custom_objects="
        f"{{{brief(layer if named is None else names[-1])}: function}}). "
        f"Received: {'none' if key is None else f'{brief(custom_object(key))}, no function'}"
    )
