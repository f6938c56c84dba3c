"""``optimizer.apply_gradients``: an update of weights and variables whose gradients somebody else has computed.

An optimizer that a model was compiled with has its state there, as in `fit`, so that files have it. Others keep theirs
here, for the weights that they are first given, of one model, of several, or variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from minicnn import backends
from minicnn.backends.base import Backend
from minicnn.differentiation import met, value_of
from minicnn.keras._in_order import answering
from minicnn.keras._tape import GradientTape
from minicnn.keras._taped import nothing_recorded
from minicnn.optimizers import Optimizer
from minicnn.optimizers.by_weight import ByWeight
from minicnn.optimizers.extras import AVERAGE
from minicnn.parameters import Segments, Weight, layout
from minicnn.turns import weights_at_rest
from minicnn.user_warnings import warn_user

if TYPE_CHECKING:
    from minicnn.training.engine import Engine

compiled_with: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Optimizer → a weak reference to the model that was compiled with it."""
_own: WeakKeyDictionary[Any, Applied] = WeakKeyDictionary()


class Applied:
    """The state of an optimizer that updates weights wherever they are.

    Parameters
    ----------
    optimizer : Optimizer
    weights : sequence of Weight
        All that it will ever update.

    Attributes
    ----------
    weights : list of Weight
    backend : Backend
    optimizer_state : dict
        Name → vector.
    """

    def __init__(self, optimizer: Optimizer, weights: Sequence[Weight]) -> None:
        self.weights: list[Weight] = list(dict.fromkeys(weights))
        self.backend: Backend = backends.current()
        self._slices, size = layout(self.weights)
        dtype = np.result_type(*(w.value.dtype for w in self.weights))  # one that holds them all
        self._theta, self._grad = self.backend.zeros((size,), dtype), self.backend.zeros((size,), dtype)
        self.optimizer_state: dict[str, np.ndarray] = optimizer.create_state(size, dtype, self.backend.zeros)
        self._segments: dict[tuple[Weight, ...], Segments] = {}

    def parts(self, name: str) -> dict[Weight, np.ndarray]:
        """Weight → its part of the vector `name` of the state, on the host."""
        vector = self.backend.to_host(self.optimizer_state[name])
        return {weight: vector[self._slices[weight]] for weight in self.weights}

    def check_known(self, weights: Iterable[Weight]) -> None:
        """Raise `ValueError` for a weight that is not among those of the first update."""
        for weight in weights:
            if weight not in self._slices:
                raise ValueError(
                    f"Unknown variable: an optimizer keeps the state of the variables that it was first given, and "
                    f"'{weight.path}' is none of them: make another optimizer for other variables. Received: "
                    f"{len(self.weights)} known ones, {[w.path for w in self.weights[:3]]} …"
                )

    def update(self, optimizer: Optimizer, gradients: Mapping[Weight, np.ndarray]) -> None:
        """One update, by these gradients."""
        for weight, gradient in gradients.items():
            self._take(weight, gradient)
        segments = _kept(self._segments, self._slices, gradients)
        optimizer.update(self._theta, self._grad, self.optimizer_state, segments, self.backend.ops)
        for weight in gradients:
            moved = self._moved(weight)
            Weight.assign(weight, moved if weight.constraint is None else weight.constraint(moved))

    def step(self, optimizer: Optimizer, weight: Weight, gradient: np.ndarray, learning_rate: float) -> None:
        """Move one weight by the rule alone."""
        self._take(weight, gradient)
        place = self._slices[weight]
        theta, grad, *slots = (
            vector[place]
            for vector in (self._theta, self._grad, *(self.optimizer_state[name] for name in optimizer.slots))
        )
        if isinstance(optimizer, ByWeight):
            w, g, *parts = (x.reshape(weight.shape) for x in (theta, grad, *slots))
            rate = optimizer.rate(learning_rate, optimizer.updates)
            optimizer.weight_formula(weight.path, w, g, parts, rate)
        else:
            Optimizer.apply(optimizer, self.backend.ops, theta, grad, slots, learning_rate)
        Weight.assign(weight, self._moved(weight))

    def _take(self, weight, gradient):
        place = self._slices[weight]
        is_there = isinstance(weight.value, self.backend.xp.ndarray)
        value = weight.value if is_there else self.backend.asarray(weight.numpy())
        self._theta[place] = value.reshape(-1)
        self._grad[place] = self.backend.asarray(gradient.reshape(-1), self._grad.dtype)

    def _moved(self, weight):
        return self.backend.to_host(self._theta[self._slices[weight]]).reshape(weight.shape)


def _kept(known, slices, gradients) -> Segments:
    """The parts of a vector that move: the same list of them each time, as optimizers like it."""
    key = tuple(w for w in slices if w in gradients)
    if key not in known:
        known[key] = Segments({w: slices[w] for w in key})
    return known[key]


_of_engines: WeakKeyDictionary[Any, tuple[Any, dict[Any, Segments]]] = WeakKeyDictionary()


def _update_in(engine: Engine, optimizer: Optimizer, gradients: Mapping[Weight, np.ndarray]) -> None:
    """One update of a model's weights, with the state that the model keeps."""
    store = engine.store
    for weight, gradient in gradients.items():
        store.backend.load(store.gradients[weight], gradient)
    engine._start_optimizer()
    if optimizer not in _of_engines or _of_engines[optimizer][0]() is not store:
        _of_engines[optimizer] = ref(store), {}
    segments = _kept(_of_engines[optimizer][1], {w: store.slice_of(w) for w in store.gradients}, gradients)
    optimizer.update(store.theta, store.grad, engine.optimizer_state, segments, store.backend.ops)
    for weight in gradients:
        if weight.constraint is not None:
            store.values[weight][...] = weight.constraint(store.values[weight])


def hand_over(optimizer: Optimizer, engine: Engine) -> None:
    """Have a model that begins to train go on with the state that `apply_gradients` has made before for its weights.

    Parameters
    ----------
    optimizer : Optimizer
        That of the model.
    engine : Engine
        The model's.
    """
    if compiled_with.get(optimizer, lambda: None)() is None:  # one that was assigned
        compiled_with[optimizer] = ref(engine.model)
    own = _own.get(optimizer)
    if own is None or engine.optimizer_state is not None or compiled_with[optimizer]() is not engine.model:
        return
    slices = {w: engine.store.slice_of(w) for w in engine.store.gradients}
    if not {w for w in slices if w.trainable} <= set(own.weights) <= set(slices):
        if not engine.model.has_own_steps:
            warn_user(
                "the optimizer has updated other variables than the model's with apply_gradients: its state there "
                f"stays, and the model '{engine.model.name}' begins anew"
            )
        return
    iterations = optimizer.iterations
    engine._start_optimizer()
    for name, vector in engine.optimizer_state.items():
        for weight, part in own.parts(name).items():
            vector[slices[weight]] = engine.backend.asarray(part, vector.dtype)
    optimizer.iterations = iterations
    del _own[optimizer]


def applied(optimizer: Optimizer) -> Applied | None:
    """The state that the optimizer keeps itself; None if there is none."""
    return _own.get(optimizer)


def _model_of(optimizer, weights):
    """The model that was compiled with the optimizer, if the weights are its."""
    model = compiled_with.get(optimizer, lambda: None)()
    if model is None or optimizer in _own or model.compiled is None or model.optimizer is not optimizer:
        return None
    mine = set(model.weights)
    return model if all(w in mine and w.has_gradient for w in weights) else None


def build(optimizer: Optimizer, var_list: Iterable[Weight]) -> None:
    """Make the state for these weights, unless there is one."""
    weights = list(var_list)
    if not optimizer_has_state(optimizer) and _model_of(optimizer, weights) is None:
        _own[optimizer] = Applied(optimizer, _checked(weights))
        if optimizer in _waiting:
            optimizer.set_weights(_waiting.pop(optimizer))


_waiting: WeakKeyDictionary[Any, list[np.ndarray]] = WeakKeyDictionary()


def set_when_built(optimizer: Optimizer, arrays: Sequence[np.ndarray]) -> None:
    """Give an optimizer the state of another one of its kind: now, or as soon as it knows what it updates.

    Parameters
    ----------
    optimizer : Optimizer
    arrays : sequence of array
        As of `variables`.
    """
    model = compiled_with.get(optimizer, lambda: None)()
    if optimizer not in _own and model is not None and model.built:
        model.training_engine()._start_optimizer()
    if len(optimizer.variables) != len(arrays):
        _waiting[optimizer] = list(arrays)
    else:
        optimizer.set_weights(arrays)


def optimizer_has_state(optimizer: Optimizer) -> bool:
    """Whether `apply_gradients` was called, other than for the model that was compiled with it."""
    return optimizer in _own


def apply_gradients(optimizer: Optimizer, grads_and_vars: Iterable[Any], *args: Any, **options: Any) -> Any:
    """Update variables by gradients.

    Parameters
    ----------
    grads_and_vars : iterable of (gradient, variable)
        A gradient that is None leaves its variable as it is, with a warning.
    *args, **options
        TensorFlow's further arguments, which change nothing.

    Returns
    -------
    int
        The number of updates.

    Raises
    ------
    ValueError
        If there is no gradient, one has another shape than its variable, or a variable is new to the optimizer, or
        stands twice.
    TypeError
        For what is no variable.
    """
    pairs = [(None if g is None else np.asarray(value_of(met(g))), w) for g, w in _plain(grads_and_vars)]
    weights = _checked([w for _, w in pairs])
    gradients = {w: g for g, w in pairs if g is not None}
    if optimizer.loss_scale_factor is not None:  # those of a loss that was multiplied by it
        gradients = {w: g / optimizer.loss_scale_factor for w, g in gradients.items()}
    check_gradients(gradients, weights)
    missing = [w.path for w in weights if w not in gradients]
    if missing:
        warn_user(
            f"Gradients do not exist for variables {missing} when minimizing the loss: it does not depend on them, or "
            "what lies between was computed outside of the tape"
        )
    with nothing_recorded(), weights_at_rest:
        model = _model_of(optimizer, weights)
        if model is not None:
            _update_in(model.training_engine(), optimizer, gradients)
        else:
            build(optimizer, weights)
            _own[optimizer].check_known(weights)
            _own[optimizer].update(optimizer, gradients)
    return optimizer.iterations


def update_step(optimizer: Optimizer, gradient: Any, variable: Weight, learning_rate: Any) -> None:
    """Move one variable, as an optimizer around this one asks: it clips, decays and counts itself, as in Keras.

    Parameters
    ----------
    gradient : array
    variable : Weight
        One of those that `build` was called with.
    learning_rate : float

    Raises
    ------
    ValueError
        Before `build`, and for other variables.
    """
    if optimizer not in _own:
        raise ValueError(
            f"update_step of {type(optimizer).__name__} needs its state: call build(variables) first, in the build of "
            f"the optimizer around it. Received: '{variable.path}' before"
        )
    with nothing_recorded():
        _own[optimizer].check_known(_checked([variable]))
        _own[optimizer].step(optimizer, variable, np.asarray(value_of(met(gradient))), float(learning_rate))


def _plain(pairs):
    with nothing_recorded():
        return [(g if g is None else value_of(g), w) for g, w in pairs]


def _checked(weights) -> list[Weight]:
    for weight in weights:
        if not isinstance(weight, Weight):
            raise TypeError(
                "an optimizer updates variables: tf.Variable(…), or weights, as in model.trainable_variables; an array "
                f"cannot be changed in place. Received: {type(weight).__name__}"
            )
    return weights


def check_gradients(gradients: Mapping[Weight, np.ndarray], weights: Sequence[Weight]) -> None:
    """Raise ValueError where there is no gradient, one has another shape than its variable, or that stands twice."""
    twice = [w.path for i, w in enumerate(weights) if w in weights[:i]]
    if twice:
        raise ValueError(
            "apply_gradients takes each variable once, with the sum of its gradients. Received: "
            f"{twice[0]} more than once"
        )
    if not gradients:
        raise ValueError(
            f"No gradients provided for any variable: all are None, as if the loss depended on none of "
            f"{[w.path for w in weights][:5]}. Was it computed inside of the tape's `with`, of what the model gave "
            "there? Received: no gradient"
        )
    for weight, gradient in gradients.items():
        if gradient.shape != weight.shape:
            raise ValueError(
                f"a gradient has the shape of its variable, {weight.shape} for '{weight.path}'. "
                f"Received: shape {gradient.shape}"
            )


def apply(optimizer: Optimizer, grads: Sequence[Any], trainable_variables: Iterable[Weight] | None = None) -> Any:
    """`apply_gradients` with lists of gradients and variables; these default to those that the optimizer knows."""
    known = trainable_variables
    if known is None:
        model = compiled_with.get(optimizer, lambda: None)()
        with answering(by_user=True):
            own = [] if model is None else model.trainable_weights
        known = _own[optimizer].weights if optimizer in _own else own
    return apply_gradients(optimizer, zip(list(grads), list(known), strict=True))


def compute_gradients(optimizer: Optimizer, loss: Any, var_list: Any, tape: Any = None) -> list[tuple[Any, Weight]]:
    """Pairs of gradients and variables, of a loss: a function without arguments, or a value on a tape."""
    if tape is None and not callable(loss):
        raise ValueError(
            "a loss that is a value needs the tape that it was computed on, minimize(loss, variables, tape=tape); or "
            f"give a function without arguments. Received: {type(loss).__name__} and no tape"
        )
    tape = GradientTape() if tape is None else tape
    if callable(loss):
        with tape:
            loss = loss()
    weights = list(var_list() if callable(var_list) else var_list)
    return list(zip(tape.gradient(loss, weights), weights, strict=True))


def minimize(optimizer: Optimizer, loss: Any, var_list: Any, *args: Any, tape: Any = None, **options: Any) -> Any:
    """`compute_gradients`, and `apply_gradients` to them."""
    pairs = compute_gradients(optimizer, loss, var_list, tape)
    if optimizer.loss_scale_factor is not None:
        pairs = [(g if g is None else g * optimizer.loss_scale_factor, w) for g, w in pairs]
    return optimizer.apply_gradients(pairs)  # type: ignore[attr-defined]


def with_apply(cls: type) -> Callable[..., Any]:
    """The method `apply` of a class of optimizers, which is Keras's where it is called with lists of gradients."""
    rule = cls.apply

    @wraps(rule)
    def either(optimizer: Optimizer, first: Any, *args: Any, **options: Any) -> Any:
        return (apply if isinstance(first, list | tuple) else rule)(optimizer, first, *args, **options)

    return either


def finalize_variable_values(optimizer: Optimizer, var_list: Iterable[Weight]) -> None:
    """Let variables become the averages that `use_ema` keeps, as loops of one's own do when their training ends.

    Parameters
    ----------
    var_list : iterable of Weight
    """
    weights = _checked(list(var_list))
    if not optimizer.use_ema or not optimizer.iterations:
        return
    with nothing_recorded(), weights_at_rest:
        model = _model_of(optimizer, weights)
        if model is not None:
            engine = model.training_engine()
            state, store = engine.optimizer_state, engine.store
            optimizer.take_averages(store.theta, state, [store.slice_of(w) for w in weights])
        elif (own := _own.get(optimizer)) is not None:
            own.check_known(weights)
            averages = own.parts(AVERAGE)
            for weight in weights:
                Weight.assign(weight, averages[weight].reshape(weight.shape))


METHODS: dict[str, Callable[..., Any]] = {
    "apply_gradients": apply_gradients,
    "build": build,
    "update_step": update_step,
    "compute_gradients": compute_gradients,
    "minimize": minimize,
    "finalize_variable_values": finalize_variable_values,
}
