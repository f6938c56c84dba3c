"""What layers from outside of the package may get wrong, found where it happens and said in one sentence.

Steps of the package are checked by its tests. Others are watched in their first forward and their first backward pass
of every plan: outputs and gradients hold NaN before, and must not afterwards. From then on they run as they are.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ContractError, ShapeError, fold_name
from minicnn.hints import Shape
from minicnn.layers.open_sizes import StandIn, has_open, shape_behind
from minicnn.own_parts import is_of_package
from minicnn.registry import Registry, is_config
from minicnn.settings import floatx
from minicnn.step import Shapes, Step, Workspace

if TYPE_CHECKING:
    from minicnn.layers.base import Layer
    from minicnn.plan.program import Place

PAGE = "see docs/adding_a_layer.md"
_RESERVED = ("name", "trainable", "dtype", "nodes", "activation", "graph")  # attributes of every layer


def is_own(step: Step) -> bool:
    """Whether a step's formulas are a user's: no rule for the package's layers speaks of it, whatever it is called."""
    return not all(is_of_package(getattr(type(step), name)) for name in ("forward", "backward"))


def registered(identifier: Any, kind: Registry, layers: Registry) -> Layer | None:
    """The layer of a user that a name or a config means, where `kind` knows no such name; else None.

    Parameters
    ----------
    identifier : object
        What was given as an activation.
    kind, layers : Registry
        Of activations; of all layers.
    """
    name = identifier["class_name"] if is_config(identifier) else identifier
    if not isinstance(name, str) or fold_name(name) in map(fold_name, kind.names()):
        return None
    with suppress(ValueError):
        cls = layers.lookup(name)
        if not is_of_package(cls):
            return cls.from_config(identifier["config"]) if is_config(identifier) else cls()
    return None


# ------------------------------------------------------------------------------------------------------ declaring


def check_written(layer: Layer) -> None:
    """Raise `ContractError` if the class of a user's layer has no `build` or no `forward`, perhaps Keras's `call`."""
    cls = type(layer)
    if is_of_package(cls):
        return
    layer.__dict__["_declared"] = set()  # names of weights, while build runs
    has = f"a class with {'call' if hasattr(cls, 'call') else 'neither of them'}"
    unwritten = cls.forward is Step.forward and not cls.is_view and cls.lower.__module__ == "minicnn.layers.base"
    is_unread = hasattr(cls, "call") and not hasattr(cls, "calls_layers")
    if unwritten or (is_unread and is_of_package(cls.forward) and is_of_package(cls.lower)):
        raise ContractError(
            f"layer '{layer.name}' ({cls.__name__}) needs forward(xs, ws), which computes ws.y from xs, and "
            f"backward(dy, ws), which computes ws.dxs and ws.grads; call is Keras's and not used; {PAGE}. "
            f"Received: {has}"
        )
    if cls.build.__module__ == "minicnn.layers.base":
        raise ContractError(
            f"layer '{layer.name}' ({cls.__name__}) needs build(input_shapes), which declares weights and returns the "
            f"shape of the output without the batch axis; where it is the input's: `return input_shapes[0]`; {PAGE}. "
            "Received: a class without build"
        )


def built(layer: Layer, input_shapes: Shapes) -> Shape:
    """What a layer's `build` returns, checked; None in it where it depends on an open size.

    Raises
    ------
    ContractError, ShapeError
        If the layer is not written, or cannot take these shapes; one that was not built is as before.
    """

    if layer.input_count == 0:  # a model's input, which says what is open
        return layer.build(())

    def build(shapes):
        check_written(layer)
        return check_output_shape(layer, layer.build(shapes))

    try:
        return shape_behind(build, input_shapes)
    except ValueError:
        if has_open(input_shapes) and not layer.built:
            layer.forget_build()
        raise


def check_output_shape(layer: Layer, shape: Any) -> Shape:
    """What `build` returned, as a tuple of int.

    Raises
    ------
    ContractError
        If it is no shape of a sample.
    ShapeError
        If an activation of the user's own does not keep it.
    """
    layer.__dict__.pop("_declared", None)
    try:
        checked = tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        raise ContractError(
            f"build of layer '{layer.name}' ({type(layer).__name__}) returns the shape of the output without the batch "
            f"axis, for example `return input_shapes[0]` or `return (self.units,)`; {PAGE}. Received: {shape!r}"
        ) from None
    if layer.activation is not None and is_own(layer.activation):
        check_activation(layer, layer.activation, checked)
    return checked


def check_activation(layer: Layer, activation: Layer, shape: Shape) -> None:
    """An own layer as ``activation=`` keeps the shape and has no weights: nobody would train or save them.

    Raises
    ------
    ShapeError, ContractError
        If it does not.
    """
    (after,) = activation.build_for((shape,))
    kind = type(activation).__name__
    if after != shape:
        raise ShapeError(
            f"the activation of layer '{layer.name}' must keep the shape {shape}; call {kind} as a layer of its own "
            f"behind it instead. Received: activation={kind}, which gives {after}"
        )
    if activation.weights:
        raise ContractError(
            f"the activation of layer '{layer.name}' has weights, which belong to no layer of the model: call {kind} "
            f"as a layer of its own behind it instead. Received: activation={kind}"
        )


def check_weight(layer: Layer, name: Any, shape: Any, options: dict[str, Any]) -> Shape:
    """The arguments of `add_weight`, those of Keras among them; returns the shape."""
    how = "write add_weight('kernel', shape=(3, 4), initializer='zeros')"
    if not isinstance(name, str) or not name or "/" in name or shape is None:
        raise ContractError(
            f"a weight has a name, under which ws.params, ws.grads and files know it, and a shape: {how}. "
            f"Received: name={name!r}, shape={shape!r}, in layer '{layer.name}'"
        )
    _check_declared_once(layer, name)
    if is_taken(layer, name):
        raise ContractError(
            f"a weight becomes an attribute of its layer, and every layer has a {name} already: take another name, "
            f"such as 'kernel'. Received: name={name!r}, in layer '{layer.name}'"
        )
    if options.get("trainable") is False:
        raise ContractError(
            "a weight that no gradient changes is declared with has_gradient=False. Received: trainable=False for "
            f"'{name}' in layer '{layer.name}'"
        )
    if options.get("dtype") not in (None, floatx()):
        raise ContractError(
            f"weights have the dtype that utils.set_floatx chose, {floatx()} now. Received: dtype={options['dtype']!r} "
            f"for '{name}' in layer '{layer.name}'"
        )
    unknown = sorted(set(options) - {"trainable", "dtype"})
    if unknown:
        raise ContractError(
            f"add_weight takes name, shape, initializer, has_gradient and regularizer: {how}. Received: {unknown}, in "
            f"layer '{layer.name}'"
        )
    return _weight_shape(layer, name, shape)


def is_taken(layer: Layer, name: str) -> bool:
    """Whether layers, or those of this class, have something else of a name, so that no weight becomes it."""
    attribute = getattr(type(layer), name, None)
    return name in _RESERVED or callable(attribute) or isinstance(attribute, property)


def _check_declared_once(layer, name):
    declared = layer.__dict__.get("_declared", set())
    if name in declared:
        raise ContractError(
            f"build of layer '{layer.name}' declares two weights of one name, which would be one weight: give each its "
            f"own. Received: name={name!r} twice"
        )
    declared.add(name)


def _weight_shape(layer, name, shape) -> Shape:
    """The shape of a weight, or the error for one that holds other things than integers."""
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if any(isinstance(n, StandIn) for n in shape):
        raise ShapeError(
            f"the {name} of layer '{layer.name}' ({type(layer).__name__}) would have a size that is known only when "
            "data comes: give the model's Input all its sizes, or put a layer before this one that makes them known, "
            f"such as GlobalAveragePooling2D in the place of Flatten. Received: {name} of shape {shape}"
        )
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in shape):
        raise ContractError(
            "the shape of a weight is a tuple of integers; build receives a shape for each input, so begin it with "
            f"`(shape,) = input_shapes` and use shape[-1]. Received: shape={shape} for '{name}' in layer '{layer.name}'"
        )
    return tuple(int(n) for n in shape)


# ------------------------------------------------------------------------------------------------------- computing


def watched(place: Place) -> Place:
    """The place as it is; one whose step is a user's, with a step that checks it in its first passes."""
    return replace(place, step=watched_step(place.step, place.layer_name)) if is_own(place.step) else place


def watched_step(step: Step, name: str | None = None) -> Step:
    """The same for a step alone; `name` is that of its layer."""
    return Watched(step, name or getattr(step, "name", "")) if is_own(step) else step


class Watched(Step):
    """A user's step: in its first forward and backward pass it is checked, from then on it runs as it is.

    Parameters
    ----------
    step : Step
    layer_name : str
        For messages.

    Raises
    ------
    ContractError
        From `forward` or `backward`, once: what was not written, or was changed though it must not be.
    """

    def __init__(self, step: Step, layer_name: str) -> None:
        self.step: Step = step
        self.is_view: bool = step.is_view
        self.has_penalty: bool = step.has_penalty
        self._who = f"layer '{layer_name}' ({type(step).__name__})"

    def forward(self, xs: tuple[np.ndarray, ...], ws: Workspace) -> None:
        y, before = ws.y, [x.copy() for x in xs]
        _mark(y)
        returned = self._run("forward", self.step.forward, xs, ws)
        if ws.y is not y:
            raise self._error("forward", "ws.y", "it was replaced by another array", "ws.y[...] = …")
        if returned is not None and returned is not y:
            received = f"it returned {_describe(returned)}"
            raise self._error("forward", "ws.y", received, "ws.y[...] = …")
        self._check_unchanged("forward", zip(xs, before, strict=True), "xs")
        if y.size and _all_nan(y) and all(_all_finite(x) for x in xs):
            raise self._error("forward", "ws.y", "nothing was written, or NaN alone", "ws.y[...] = …")
        if _holds_mark(y):
            raise self._error("forward", "every element of ws.y", "some were not written", "ws.y[...] = …")
        self.forward = self.step.forward  # from now on nothing stands in between

    def backward(self, dy: np.ndarray, ws: Workspace) -> None:
        wanted = {f"ws.dxs[{i}]": dx for i, dx in enumerate(ws.dxs) if dx is not None}
        wanted |= {f"ws.grads['{name}']": g for name, g in ws.grads.items() if g is not None}
        dxs, grads, before = ws.dxs, dict(ws.grads), dy.copy()
        was_finite = all(_all_finite(array) for array in (dy, *self._declared(ws)))
        returned = self._run_poisoned(wanted.values(), dy, ws)
        if not all(any(part is array for array in wanted.values()) for part in _parts(returned)):
            received = f"it returned {_describe(returned)}"
            raise self._error("backward", " and ".join(wanted), received, f"{next(iter(wanted))}[...] = …")
        if ws.dxs is not dxs:
            raise self._error("backward", "ws.dxs", "it was replaced", "ws.dxs[0][...] = …")
        for name, gradient in grads.items():
            if ws.grads.get(name) is not gradient:
                entry = f"ws.grads['{name}']"
                raise self._error("backward", entry, "it was replaced by another array", f"{entry}[...] = …")
        self._check_unchanged("backward", [(dy, before)], "dy")
        for name, array in wanted.items():
            if was_finite and not _all_finite(array):
                received = "nothing was written" if _all_nan(array) else "some elements are NaN or infinite"
                self._demand_declarations(wanted.values(), dy, ws)
                raise self._error("backward", f"every element of {name}", received, f"{name}[...] = …")
        self.backward = self.step.backward

    def penalty(self, ws: Workspace) -> float | np.ndarray:
        return self.step.penalty(ws)

    def _declared(self, ws):
        """The arrays that backward says it reads."""
        return (*(ws.xs if self.step.uses_input else ()), *((ws.y,) if self.step.uses_output else ()))

    def _run_poisoned(self, wanted, dy, ws):
        """Run backward with NaN in what it has to write, and in what it does not declare to read."""
        xs, y = ws.xs, ws.y
        if not self.step.uses_input:
            ws.xs = tuple(np.full_like(x, np.nan) for x in xs)
        if not self.step.uses_output:
            ws.y = np.full_like(y, np.nan)
        for array in wanted:
            array.fill(np.nan)
        try:
            return self._run("backward", self.step.backward, dy, ws)
        finally:
            ws.xs, ws.y = xs, y

    def _demand_declarations(self, wanted, dy, ws):
        """Raise the error for reading what is not declared, if without NaN in there the gradients are finite."""
        self.step.backward(dy, ws)
        if all(_all_finite(array) for array in wanted):
            missing = [name for name in ("uses_input", "uses_output") if not getattr(self.step, name)]
            raise ContractError(
                f"backward of {self._who} reads ws.xs or ws.y, whose memory the plan uses for other arrays by then: "
                f"declare in the class what it reads, `{' = True` or `'.join(missing)} = True`; {PAGE}. "
                f"Received: uses_input = {self.step.uses_input}, uses_output = {self.step.uses_output}"
            )

    def _run(self, method, function, first, ws):
        """Call the user's method; an error in it says where it was."""
        try:
            return function(first, ws)
        except NotImplementedError:
            raise ContractError(
                f"{self._who} has no {method}: write {method}({'xs' if method == 'forward' else 'dy'}, ws); {PAGE}. "
                f"Received: a class without {method}"
            ) from None
        except (TypeError, ValueError, LookupError) as error:
            shapes = f"xs {[x.shape for x in ws.xs]}, ws.y {ws.y.shape}"
            shapes += f", ws.params { ({name: p.shape for name, p in ws.params.items()}) }" if ws.params else ""
            shapes += f", ws.buffers {sorted(ws.buffers)}" if ws.buffers else ""
            if method == "backward":
                shapes += f", ws.dxs {[None if d is None else d.shape for d in ws.dxs]}, ws.grads "
                shapes += str({name: None if g is None else g.shape for name, g in ws.grads.items()})
            raise ContractError(
                f"{method} of {self._who}: {_worded(error)}{_hint(str(error), method)}. Received: {shapes}"
            ) from error

    def _check_unchanged(self, method, pairs, name):
        for array, before in pairs:
            if not bool(((array == before) | (np.isnan(array) & np.isnan(before))).all()):
                raise ContractError(
                    f"{method} of {self._who} reads {name} and never changes it, since others read it too: write "
                    f"into new arrays or {'ws.y' if method == 'forward' else 'ws.dxs'}. Received: {name} changed"
                )

    def _error(self, method, target, received, example):
        return ContractError(
            f"{method} of {self._who} must write its result into {target}, as in `{example}`, and returns nothing; "
            f"{PAGE}. Received: {received}"
        )


def _worded(error):
    """The error in words; of a name or a number that is not there, Python gives no more than that."""
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)


def _hint(message, method):
    """What to write where the array is a tuple's entry, or None."""
    if method == "backward" and ("item assignment" in message or "NoneType" in message):
        return "; write `if ws.dxs[0] is not None: ws.dxs[0][...] = …`, ws.grads alike: what nobody wants is None"
    if "broadcast" in message:
        return "; the shape of ws.y is (N, *what build returned)" if method == "forward" else ""
    return ""


def _parts(returned):
    """The arrays that a method returned, None for those that nobody wants left out."""
    parts = returned if isinstance(returned, list | tuple) else [returned]
    return [part for part in parts if part is not None]


def _describe(value):
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"an object: {type(value).__name__}"


_MARK = {4: 0x7FC0_5EED, 8: 0x7FF8_0000_0000_5EED}  # a NaN that no computation makes, as bits


def _mark(array):
    """Fill with a NaN that is recognized, where a layer of its own accord may write NaN."""
    array.view(f"u{array.itemsize}").fill(_MARK[array.itemsize])


def _holds_mark(array):
    return bool((array.view(f"u{array.itemsize}") == _MARK[array.itemsize]).any())


def _all_finite(array):
    return bool(np.isfinite(array).all())


def _all_nan(array):
    return bool(np.isnan(array).all())
