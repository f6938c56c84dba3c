"""The state of an optimizer as Keras has it: a list of arrays, which another optimizer of its kind can take over."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.keras._applied import Applied, applied
from minicnn.keras._in_order import answering, is_asked
from minicnn.keras._of_keras_3 import OF_OPTIMIZERS
from minicnn.optimizers import Optimizer
from minicnn.parameters import layout


def _engine(optimizer):
    """The engine of the model that the optimizer trains, or what `apply_gradients` keeps; None before the training."""
    if (own := applied(optimizer)) is not None:
        return own
    model = None if optimizer.owner is None else optimizer.owner()
    with answering(by_user=False):
        engine = None if model is None else model.engine
    return None if engine is None or engine.optimizer_state is None else engine


def _places(optimizer, engine, by_user):
    """(state vector, where a weight's part of it lies, the weight's shape), in Keras's order."""
    with answering(by_user=False):
        weights = engine.weights if isinstance(engine, Applied) else engine.model.weights
    slices, _ = layout(w for w in weights if w.has_gradient)
    if by_user and not isinstance(engine, Applied):
        with answering(by_user):
            slices = {weight: slices[weight] for weight in engine.model.weights if weight in slices}
    for group in optimizer.keras_groups:
        for weight, place in slices.items():
            for name in group if weight.trainable else ():
                yield engine.optimizer_state[name], place, weight.shape


def variables(optimizer: Optimizer) -> list[np.ndarray]:
    """Copies of the number of iterations, the learning rate, if it is a number, and the state, weight by weight."""
    rate = [np.float32(optimizer.learning_rate)] if isinstance(optimizer.learning_rate, float) else []
    engine = _engine(optimizer)
    state = () if engine is None else _places(optimizer, engine, is_asked(sys._getframe(1)))
    arrays = [engine.backend.to_host(vector)[place].reshape(shape).copy() for vector, place, shape in state]
    return [np.array(optimizer.iterations), *map(np.asarray, rate), *arrays]


def set_weights(optimizer: Optimizer, weights: Sequence[ArrayLike]) -> None:
    """Take over what `variables` or `get_weights` of another optimizer of its kind gave.

    Parameters
    ----------
    weights : sequence of array-like

    Raises
    ------
    ValueError
        If they are of another number or shape: before the first iteration of its model an optimizer has no state.
    """
    by_user = is_asked(sys._getframe(1))
    with answering(by_user):
        arrays, own = [np.asarray(weight) for weight in weights], variables(optimizer)
    if [array.shape for array in arrays] != [array.shape for array in own]:
        raise ValueError(
            "the state of an optimizer is taken over by one of its kind, for weights of the same shapes, which its "
            f"model has begun to train: call model.train_on_batch once before. Expected: arrays of shapes "
            f"{[array.shape for array in own]}. Received: {[array.shape for array in arrays]}"
        )
    optimizer.iterations = int(arrays[0])
    if isinstance(optimizer.learning_rate, float) and arrays[1] != own[1]:  # which are rounded
        optimizer.learning_rate = float(arrays[1])
    engine = _engine(optimizer)
    if engine is not None:
        state = list(_places(optimizer, engine, by_user))
        for (vector, place, _), array in zip(state, arrays[len(arrays) - len(state) :], strict=True):
            vector[place] = engine.backend.asarray(array.reshape(-1), vector.dtype)
        engine.optimizer_state = dict(engine.optimizer_state)  # given anew: several workers compare it


METHODS: dict[str, Any] = {
    "variables": property(variables),
    "get_weights": variables,
    "set_weights": set_weights,
    **OF_OPTIMIZERS,
}
