"""What losses, metrics and optimizers from outside of the package may get wrong, found when they first run.

The methods that a user writes are checked in the first call of each object, and run as they are from then on. Layers
have checks of their own, in `minicnn.layers.contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from minicnn.errors import ContractError, fold_name, unknown_name
from minicnn.held import holding
from minicnn.library_names import is_taken
from minicnn.mistaken_names import explain_missing
from minicnn.user_warnings import warn_user

PAGE = "see docs/own_parts.md"


def is_of_package(thing: Any) -> bool:
    """Whether a class or function was written in the package."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "minicnn"


REGISTERED: dict[str, Any] = {}
"""What users registered with Keras's decorator: "package>name" → class or function."""


def own_name(thing: object) -> str:
    """The name of a class or function; "" of another object that is called, as a `functools.partial`."""
    return getattr(thing, "__name__", "")


def qualified_name(cls: type) -> str:
    """What a config calls a class: its name; of a user's that is called as another, with what tells it from that one.

    "package>name" is what it was registered as; a ">" before its name says no more than that it is a user's, while one
    of the package has the same. So a bare name of the package's is that class, whatever else is known by it.
    """
    name = cls.__name__
    if is_of_package(cls):
        return name
    named = {key: own_name(thing) for key, thing in REGISTERED.items()}
    known = {key: each for key, each in named.items() if REGISTERED[key] is cls or each == name}
    own = next((key for key in known if REGISTERED[key] is cls), None)
    if is_taken(name):
        return own or f">{name}"
    return own if own is not None and own != [*known][-1] else name


def of_library(name: str, registry: Any) -> Any:
    """The library's class of a name, if it has one, whatever is registered under it besides; else what is registered.

    Parameters
    ----------
    name : str
    registry : Registry
    """
    known = (cls for cls in registry.classes() if cls.__name__ == name and is_of_package(cls))
    return next(known, None) or registry.lookup(name)


def names_of(cls: type, aliases: Iterable[str], known: Mapping[str, type]) -> list[str]:
    """The names under which a registry has a class: a user's own one, unless a class of the package has it there.

    Parameters
    ----------
    cls : type
    aliases : iterable of str
        Further names.
    known : dict
        What the registry has so far, by folded names.
    """
    names = [qualified_name(cls), *aliases]
    if not is_of_package(cls) and not is_of_package(known.get(fold_name(cls.__name__))):
        names.append(cls.__name__)
    return names


def class_of(name: str, base: type, given: Mapping[str, Any]) -> Any:
    """A user's class of a kind that a name of `qualified_name`, or a bare one, means; None if there is none.

    Parameters
    ----------
    name : str
    base : type
    given : mapping
        What ``custom_objects`` has.
    """
    bare = name.rpartition(">")[2]
    others = reversed([thing for thing in REGISTERED.values() if name == f">{bare}" and own_name(thing) == bare])
    exact = given.get(name) or REGISTERED.get(name)
    for cls in (exact, given.get(bare), *others):
        if isinstance(cls, type) and issubclass(cls, base):
            is_others = cls is not exact and not name.startswith(">") and cls in REGISTERED.values()
            if not (">" in name and (is_others or is_of_package(cls))):
                return cls
    return None


def is_one_of(thing: Any, *classes: type) -> bool:
    """Whether a thing is of one of these classes and computes as they do: also of a thin subclass in another room."""
    is_named = any(isinstance(thing, cls) and type(thing).__name__ == cls.__name__ for cls in classes)
    return is_named and is_of_package(type(thing))


def module_of(cls: type) -> str:
    """The package's module that a class of its own is written in, also if another room has a thin subclass of its name.

    Empty for a class from outside.
    """
    homes = [base.__module__ for base in cls.__mro__ if base.__name__ == cls.__name__ and is_of_package(base)]
    return homes[-1] if is_of_package(cls) else ""


def watch(cls: type) -> None:
    """Have the methods that a user's class has written checked in their first calls."""
    if is_of_package(cls):
        if cls.__name__ in ("Layer", "Optimizer", "Written"):  # bases: of what has weights later, or PyTorch's names
            cls.__getattr__ = _explain_missing
        return
    own = [base for base in cls.__mro__ if not is_of_package(base)]
    for kind, (keras, methods) in _KERAS.items():
        is_kind = kind in (base.__name__ for base in cls.__mro__ if is_of_package(base))
        # A loss of arrays alone is fine; one that inherits a gradient would train with another loss than its own.
        bases = [base for base in cls.__mro__ if is_of_package(base) and base.__name__ not in ("Loss", "Reduced")]
        inherits = kind != "Loss" or any(name in vars(base) for base in bases for name in methods)
        is_written = any(name in vars(base) for base in own for name in methods)
        if is_kind and inherits and keras in vars(cls) and not is_written:
            raise ContractError(
                f"{keras} of {cls.__name__} is Keras's and not used here, where nothing is differentiated by itself: "
                f"write {' or '.join(methods)} instead; {PAGE}. Received: a class with {keras}"
            )
    if not hasattr(cls, "__getattr__"):
        cls.__getattr__ = _explain_missing
    for name, check in _CHECKS.items():
        inherited = any(name in vars(base) for base in cls.__mro__[1:] if is_of_package(base))
        if inherited and callable(vars(cls).get(name)):
            setattr(cls, name, _checked(vars(cls)[name], check))


def _explain_missing(part, name):
    """What Python calls for an attribute that is not there: perhaps the constructor of the base was not called."""
    cls, own = type(part), vars(part)  # asked often, for what is there in some: the cheap questions come first
    for base, (attribute, call) in _SET_UP.items():
        if attribute not in own and any(b.__name__ == base and is_of_package(b) for b in cls.__mro__):
            raise AttributeError(
                f"{cls.__name__} was not set up: let its __init__ begin with super().__init__({call}), "
                f"and take what it passes on. Received: an object without the attribute {name!r}"
            )
    if name in _WEIGHTS and not own.get("_built", True) and _has_initializer(part, name):
        raise AttributeError(
            f"layer '{part.name}' ({cls.__name__}) has no {name} yet: weights exist once the shape of its input is "
            f"known. Call it on an input, or build((None, …)) with the input's shape. Received: layer.{name} before"
        )
    return explain_missing(part, name)


def _has_initializer(part, name):
    """Whether a layer will have a weight of this name: a user's class may; one of the package's has an initializer."""
    made_by = name.removesuffix("_kernel"), "depthwise" if name == "kernel" else name  # one of them has an initializer
    return not is_of_package(type(part)) or any(f"{made}_initializer" in vars(part) for made in made_by)


def check_takes(function: Callable[..., Any], what: str, *arguments: str, **options: Any) -> None:
    """Check that a user's function can be called as it will be.

    Parameters
    ----------
    function : callable
    what : str
        What it is, for the message.
    *arguments : str
        The names of the positional arguments that it will get.
    **options
        The keyword arguments.

    Raises
    ------
    TypeError
        If it takes others.
    """
    try:
        taken = signature(function, follow_wrapped=False)  # what wraps another function takes its own arguments
    except (TypeError, ValueError):  # of some functions that are written in C nothing is known
        return
    try:
        taken.bind(*arguments, **options)
    except TypeError as error:
        called = ", ".join([*arguments, *options])
        raise TypeError(f"{what} is called with ({called}). Received: {_name_of(function)}{taken}, {error}") from None
    first, second = [*taken.parameters, "", ""][:2]
    if arguments == ("y_true", "y_pred") and "pred" in first and ("true" in second or "target" in second):
        warn_user(
            f"{what} is called with (y_true, y_pred), in this order: write {_name_of(function)}({second}, {first}). "
            f"Received: {_name_of(function)}{taken}, whose {first} are the targets"
        )


def _name_of(function):
    return getattr(function, "__qualname__", repr(function)).rpartition("<locals>.")[2]


def function_of(argument: str, value: Any, *arguments: str) -> Callable[..., Any]:
    """`value`, if it is a function; a `TypeError` that names the argument if it is none, or takes others.

    Parameters
    ----------
    argument : str
    value : object
    *arguments : str
        The names of what it will get, see `check_takes`; without any, that is not checked.
    """
    if not callable(value):
        raise TypeError(f"{argument} is a function. Received: {argument}={value!r}")
    if arguments:
        check_takes(value, argument, *arguments)
    return value


_written: ContextVar[bool] = ContextVar("_written", default=False)


def is_written_down() -> bool:
    """Whether minicnn asks for a config, for itself; False: a script does."""
    return _written.get()


def shortest_config(part: Any) -> dict[str, Any]:
    """The part's `get_config`, without what scripts get beside it."""
    with holding(_written, True):
        return part.get_config()


def config_of(part: Any) -> dict[str, Any]:
    """The part's `get_config`, with a warning if arguments of a user's constructor are not in it: files lose them."""
    cls = type(part)
    config = shortest_config(part) if is_of_package(cls.get_config) else part.get_config()
    if not is_of_package(cls.__init__) and cls.__init__ is not object.__init__ and not hasattr(cls, "saved_as"):
        names = [p.name for p in signature(cls).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        for name in sorted(set(names) - set(config) - _OF_ALL):
            warn_user(
                f"get_config of {cls.__name__} lacks the argument {name!r} of its __init__, so that whatever is made "
                f"from it, as by load_model, has another one: store it as self.{name}, under its own name"
            )
    return config


def unknown_argument(cls: type, name: str, known: list[str]) -> Exception:
    """The error for an argument in a config that the class's constructor does not take; the caller raises it."""
    if is_of_package(cls):
        return unknown_name(f"argument of {cls.__name__}", name, known)
    own = ", ".join(["self", *known])
    return ValueError(
        f"{cls.__name__} cannot be made of its config, as its __init__ does not take {name!r}: let it hand on what it "
        f"does not know, def __init__({own}, **kwargs) with super().__init__(**kwargs), and let get_config hold "
        f"arguments alone. Received: {name!r} in the config of {cls.__name__}"
    )


def unwritten(part: Any, method: str) -> ContractError:
    """The error for a method that a user's class has not written."""
    return ContractError(
        f"{type(part).__name__} has no {method}: write {_SIGNATURES[method]}; {PAGE}. "
        f"Received: a class with {sorted(name for name in vars(type(part)) if not name.startswith('_'))}"
    )


def _checked(method, check):
    """The method; `check` calls it until it has seen what it needs to see, which it says by returning True."""
    seen = f"_minicnn_saw_{method.__name__}"

    @wraps(method)
    def call(self, *args, **kwargs):
        if vars(self).get(seen):
            return method(self, *args, **kwargs)
        result, done = check(self, lambda: method(self, *args, **kwargs), *args, **kwargs)
        if done:
            object.__setattr__(self, seen, True)
        return result

    return call


def _check_elements(loss, run, prediction, target, gradient, *_, **__):
    """`elements` of a loss: an array like `prediction` is returned, the derivatives are written."""
    result = _run_with_gradient(loss, "elements", run, prediction, gradient)
    if np.shape(result) != prediction.shape:
        raise ContractError(
            f"elements of {type(loss).__name__} must return the loss of each element, an array like prediction, "
            f"{prediction.shape}; {PAGE}. Received: {_describe(result)}"
        )
    return result, gradient is not None


def _check_compute(loss, run, prediction, target, weight, gradient, *_, **__):
    """`compute` of a loss: a number is returned, the derivatives are written."""
    result = _run_with_gradient(loss, "compute", run, prediction, gradient)
    if result is None or np.shape(result) != ():
        raise ContractError(
            f"compute of {type(loss).__name__} must return the loss of the batch, one number; {PAGE}. "
            f"Received: {_describe(result)}"
        )
    return result, gradient is not None


def _run_with_gradient(loss, method, run, prediction, gradient):
    """Run a loss with NaN in the gradient, none of which may be left."""
    if gradient is None:
        return run()
    finite = bool(np.isfinite(prediction).all())
    gradient.fill(np.nan)
    result = run()
    if finite and not bool(np.isfinite(gradient).all()):
        raise ContractError(
            f"{method} of {type(loss).__name__} must write the derivative by the prediction into gradient, where it is "
            f"not None, as in `gradient[...] = …`; {PAGE}. Received: a gradient with elements that were not written, "
            "or are NaN or infinite"
        )
    return result


def _check_measure(metric, run, target, prediction):
    """`measure` of a metric: (sum, number of summands)."""
    result = run()
    if not isinstance(result, tuple) or len(result) != 2 or any(np.shape(part) != () for part in result):
        raise ContractError(
            f"measure of {type(metric).__name__} must return two numbers, the sum over the batch and how many were "
            f"summed, as in `return errors.sum(), errors.size`; {PAGE}. Received: {_describe(result)}"
        )
    return result, True


def _check_apply(optimizer, run, ops, theta, grad, slots, learning_rate):
    """`apply` of an optimizer: theta changes in place."""
    before, moves = theta.copy(), bool(np.any(grad != 0)) and bool(np.any(np.asarray(learning_rate) != 0))
    result = run()
    if moves and (result is not None or bool((theta == before).all())):
        raise ContractError(
            f"apply of {type(optimizer).__name__} must change theta in place, as in `theta -= learning_rate * grad`, "
            f"and return nothing; {PAGE}. Received: {'a returned value' if result is not None else 'theta as it was'}"
        )
    return result, moves


def _describe(value):
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else repr(value)


_SET_UP = {
    "Layer": ("_weights", "**kwargs"),
    "Optimizer": ("iterations", "learning_rate, **options"),
    "Metric": ("name", "name, **options"),
}  # base → what its constructor sets first, and how it is called
_WEIGHTS = {"kernel", "bias", "gamma", "beta", "embeddings", "moving_mean", "moving_variance", "depthwise_kernel"} | {
    "pointwise_kernel"
}  # of layers that are built
_KERAS = {"Loss": ("call", ("elements", "compute", "_compute")), "Optimizer": ("update_step", ("apply",))}
_OF_ALL = {"name", "trainable", "dtype", "input_shape", "input_dim", "batch_input_shape"}  # the bases' own affair
_SIGNATURES = {
    "elements": "elements(prediction, target, gradient, from_logits), which returns the loss of each element",
    "compute": "compute(prediction, target, weight, gradient, ops, from_logits=None), which returns the loss",
    "measure": "measure(target, prediction), which returns a sum over the batch and how many were summed",
    "apply": "apply(ops, theta, grad, slots, learning_rate), which changes theta in place",
}
_CHECKS: dict[str, Callable[..., Any]] = {
    "elements": _check_elements,
    "compute": _check_compute,
    "measure": _check_measure,
    "apply": _check_apply,
}
