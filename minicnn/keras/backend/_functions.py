"""``K.function`` and ``K.gradients``: what tensors of a model, and gradients of them, are for given arrays.

In Keras 1 and 2 a gradient was one more tensor. Here it is `Later`: it keeps of what it is, and what is done with it,
until a function gets arrays, for which the model is called on a tape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NoReturn

import numpy as np

from minicnn.checks import is_integer
from minicnn.data.elements import EagerArray
from minicnn.differentiation import Recorded, met, value_of
from minicnn.graph import Node, Tensor
from minicnn.keras import ops
from minicnn.keras._deferred import LATER, Deferred, SizesOf, parts_of, with_parts
from minicnn.keras._names import NotInMinicnn
from minicnn.keras._phase import is_unsaid, unsaid
from minicnn.keras._tape import GradientTape
from minicnn.keras._update_lists import as_updates
from minicnn.keras.backend._later_shapes import shape_of
from minicnn.layers import function_numbers
from minicnn.layers.added_loss import BatchScalar
from minicnn.parameters import Weight
from minicnn.settings import floatx

_PHASE = [0]


def learning_phase() -> Any:
    """What `set_learning_phase` was told, 0 before; among the inputs of `function` it stands for the number given.

    In a layer that runs in training it is 1.
    """
    return _PHASE[0] or (unsaid if is_unsaid() else int(function_numbers.training()))


def set_phase(value: int) -> None:
    """Have functions whose inputs have no learning phase compute as in training (1), or as in use (0)."""
    _PHASE[0] = int(value)


class Later(Deferred):
    """A gradient, or what is computed of gradients: arrays, as soon as a function gets arrays.

    Parameters
    ----------
    compute : callable
        Takes the `_Values` of one call.
    needs : sequence of Tensor, BatchScalar or Later
        What it takes the values of; a `Later` is one whose gradient is asked for.
    """

    def __init__(self, compute: Callable[[_Values], Any], needs: Sequence[Tensor | BatchScalar | Later]) -> None:
        self.compute = compute
        self.needs: list[Tensor | BatchScalar | Later] = list(dict.fromkeys(needs))

    def __repr__(self) -> str:
        return "<a number for K.function: of gradients, of single samples, or of means and sums over all samples>"

    @property
    def shape(self) -> SizesOf:
        """The shape of these arrays, with None where it goes by how many samples there are."""
        return shape_of(self)

    @property
    def ndim(self) -> int:
        """The number of their axes."""
        return len(self.shape)

    def apply(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The function of what there will be; a model's tensors are arrays by then, too."""
        kwargs = {name: value for name, value in kwargs.items() if name != "out"}  # of gradient /= length
        needs = [t for part in parts_of((*args, *kwargs.values())) for t in _needed(part)]
        return Later(lambda values: with_parts(function, args, kwargs, values.of), needs)


LATER.append(Later)


class _Values:
    """The values of one call of a function, on a tape that has ended.

    Parameters
    ----------
    on_tape : dict
        Tensor, or mean or sum of one → value.
    tape : GradientTape
    """

    def __init__(self, on_tape: dict[Any, Any], tape: GradientTape) -> None:
        self._on_tape, self._tape = on_tape, tape

    def of(self, part: Any) -> Any:
        """The array that there is instead of something; a number, or an array, as it is."""
        if isinstance(part, Later) and part not in self._on_tape:
            return part.compute(self)
        return (
            np.asarray(value_of(met(self._on_tape[part]))) if isinstance(part, Tensor | BatchScalar | Later) else part
        )

    def gradient(self, loss: Tensor | BatchScalar | Later, variable: Any) -> np.ndarray:
        """The gradient of the sum of `loss`; zeros where it does not depend on the variable."""
        source = self._on_tape[variable] if isinstance(variable, Tensor) else variable
        return np.asarray(self._tape.gradient(self._on_tape[loss], source, unconnected_gradients="zero"))


class _OnTape(_Values):
    """The values while the tape records: what is computed of them can be gone back through."""

    def __init__(self, on_tape: dict[Any, Any]) -> None:
        self._on_tape = on_tape

    def of(self, part: Any) -> Any:
        """The value on the tape; a number, or an array, as it is."""
        if isinstance(part, Later):
            return part.compute(self)
        return self._on_tape[part] if isinstance(part, Tensor | BatchScalar) else part

    def gradient(self, loss: Tensor | BatchScalar | Later, variable: Any) -> NoReturn:
        raise NotInMinicnn(
            "keras.backend.gradients of gradients is not there: gradient penalties are written with tf.GradientTape of "
            "minicnn.keras.tensorflow, in the train_step of a model (docs/keras.md). Received: a loss with a gradient "
            "in it",
            name="gradients",
        )


def on_tape(later: Later, values: dict[Any, Any]) -> Any:
    """What a value is, of these of the tensors, means and sums that it needs; it is differentiated."""
    return _OnTape(values).of(later)


def _needed(part) -> list[Tensor | BatchScalar | Later]:
    """What a value is computed of."""
    if isinstance(part, Later):
        return part.needs
    return [part] if isinstance(part, Tensor | BatchScalar) else []


def gradients(loss: Any, variables: Any) -> Any:
    """The gradients of the sum of a model's tensor by others of that model, for `function` to compute.

    Parameters
    ----------
    loss : tensor of a model, or a mean or sum of one
    variables : tensor or weight, or list of them

    Returns
    -------
    list
        One for each variable: operators, `keras.backend` and `keras.ops` compute with them.

    Raises
    ------
    NotInMinicnn
        For what is no tensor of a model, or a gradient itself.
    """
    if isinstance(loss, Recorded):
        raise NotInMinicnn(
            "a loss holds no keras.backend.gradients here, which would have to be differentiated, as gradients of "
            "gradients: a penalty on them, as of WGAN-GP, is written with a GradientTape of minicnn.keras.tensorflow "
            "within that of the loss, in the train_step of a model (docs/keras.md). Received: K.gradients of y_pred",
            name="gradients",
        )
    if not isinstance(loss, Tensor | BatchScalar | Later):
        raise NotInMinicnn(
            "keras.backend.gradients is of a model's tensor here, such as K.mean(model.output[:, 0]); of arrays, and "
            "for gradients of gradients, as gradient penalties need them, there is tf.GradientTape in "
            "minicnn.keras.tensorflow, in the train_step of a model (docs/keras.md). "
            f"Received: {type(loss).__name__}",
            name="gradients",
        )
    listed = variables if isinstance(variables, list | tuple) else [variables]
    needs = [*_needed(loss), *([loss] if isinstance(loss, Later) else ())]
    return [Later(lambda values, v=v: values.gradient(loss, v), [*needs, *_needed(v)]) for v in listed]


def placeholder(
    shape: Sequence[int | None] | None = None,
    ndim: int | None = None,
    dtype: Any = None,
    sparse: bool = False,
    name: str | None = None,
    ragged: bool = False,
) -> Tensor:
    """An input of `function`, and of a model: ``Input(batch_shape=shape)``.

    Parameters
    ----------
    shape : tuple
        With the batch axis.
    ndim : int, optional
        How many axes, all of them open, instead of `shape`.
    dtype, sparse, ragged : optional
        Not used.
    name : str, optional
    """
    from minicnn.keras.layers import Input

    return Input(batch_shape=tuple([None] * (ndim or 2) if shape is None else shape), name=name)


def stacked_input(parts: Sequence[Any], axis: int) -> Tensor | None:
    """The input of a model whose samples are those of arrays, variables and inputs, one after the other.

    Parameters
    ----------
    parts : sequence
    axis : int

    Returns
    -------
    Tensor or None
        None for what is no such list, of one input or more along axis 0.
    """
    if axis != 0 or not isinstance(parts, list | tuple) or len({isinstance(part, Tensor) for part in parts}) != 2:
        return None
    if not all(not part.node.inputs if isinstance(part, Tensor) else hasattr(part, "shape") for part in parts):
        return None
    made = placeholder((None, *parts[0].shape[1:]))
    vars(made)["parts"] = list(parts)
    return made


def _stacked_before(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The inputs made by `stacked_input` that some tensors are computed of."""
    seen, pending = set(tensors), list(tensors)
    for tensor in pending:  # which grows
        new = [t for t in tensor.node.inputs if t not in seen]
        seen.update(new)
        pending += new
    return [t for t in pending if "parts" in vars(t)]


def function(inputs: Any, outputs: Any, updates: Any = None, **kwargs: Any) -> Callable[[Any], Any]:
    """A function from lists of arrays to a list of arrays: what tensors of a model are for these inputs.

    Parameters
    ----------
    inputs : tensor, or list of them
        `learning_phase` among them has the function told, by 1, to compute as in training; weights stay as they are.
    outputs : tensor, mean or sum of one, what is computed of `gradients`, or list of them
    updates : list, optional
        What is done in each call, after the outputs are computed: what ``get_updates`` of an optimizer gives, and
        pairs of a variable and what it becomes.

    Returns
    -------
    callable
        Takes an array, or a list of them, and gives one where `outputs` is no list. What is behind the inputs in the
        list is not looked at.

    Raises
    ------
    TypeError
        For other updates, as of `update`, which has assigned to its variable already.
    """
    return _Function(_listed(inputs), outputs, as_updates(updates))


class _Function:
    """What `function` returns."""

    def __init__(self, inputs, outputs, updates):
        from minicnn.keras.models import Model

        self._is_input = [isinstance(x, Tensor) for x in inputs]
        self._inputs = [x for x in inputs if isinstance(x, Tensor)]
        self._outputs, self._updates = outputs, updates
        self._wanted = [*_listed(outputs), *(value for update in updates for value in update.values)]
        needed = [t for value in self._wanted for t in _needed(value)]
        self._losses = [t for t in dict.fromkeys(needed) if isinstance(t, Later)]
        self._scalars = [t for t in needed if isinstance(t, BatchScalar)]
        found = [t.tensor if isinstance(t, BatchScalar) else t for t in needed if not isinstance(t, Later)]
        self._stacked = _stacked_before(list(dict.fromkeys(found)))
        tensors = [t for t in dict.fromkeys(found) if t not in (*self._inputs, *self._stacked)]
        of_stacked = [t for t in tensors if _stacked_before([t])]  # which have samples of their own
        self._tensors = [t for t in tensors if t not in of_stacked]
        behind = _Behind(self._inputs)
        self._model = Model(self._inputs, [behind.of(t) for t in self._tensors] or self._inputs)
        self._further = (of_stacked, Model(self._stacked, of_stacked)) if of_stacked else None

    def __call__(self, arrays: Any) -> Any:
        arrays = _listed(arrays)[: len(self._is_input)]
        phases = [x for x, is_input in zip(arrays, self._is_input, strict=False) if not is_input]
        given = [x for x, is_input in zip(arrays, self._is_input, strict=False) if is_input]
        made = self._computed(given, bool(phases[0] if phases else learning_phase()))
        values = iter(made[len(_listed(self._outputs)) :])
        for update in self._updates:
            update.run(list(islice(values, len(update.values))))
        made = made[: len(_listed(self._outputs))]
        return made if isinstance(self._outputs, list | tuple) else made[0]

    def _computed(self, given, training):
        """The outputs, and behind them what updates take, as arrays; numbers for those of shape ()."""
        only_tensors = all(isinstance(output, Tensor) for output in self._wanted)
        if not training and only_tensors and not self._stacked:
            found = _listed(self._model.predict(given if len(given) > 1 else given[0], verbose=0))
            arrays = dict(zip(self._tensors or self._inputs, found, strict=True)) | dict(
                zip(self._inputs, given, strict=True)
            )
            return [arrays[output] for output in self._wanted]
        given = [np.array(x, floatx()).view(EagerArray) for x in given]
        models = [self._model, *([] if self._further is None else self._further[1:])]
        with _kept(models), GradientTape(persistent=True) as tape:
            tape.watch(given)
            on_tape = dict(zip(self._inputs, given, strict=True))
            for t in self._stacked:
                parts = [on_tape[p] if isinstance(p, Tensor) else np.array(p, floatx()) for p in vars(t)["parts"]]
                on_tape[t] = ops.concatenate([met(part) for part in parts], axis=0)
            if self._further is not None:
                tensors, model = self._further
                into = [on_tape[t] for t in self._stacked]
                made = _listed(model(into if len(into) > 1 else into[0], training=training))
                on_tape |= dict(zip(tensors, made, strict=True))
            found = _listed(self._model(given if len(given) > 1 else given[0], training=training))
            on_tape |= dict(zip(self._tensors, found, strict=False))
            on_tape |= {s: getattr(np, s.reduction)(on_tape[s.tensor]) for s in self._scalars}
            on_tape |= {loss: loss.compute(_OnTape(on_tape)) for loss in self._losses}
        values = _Values(on_tape, tape)
        return [np.asarray(values.of(output))[()] for output in self._wanted]


class _Behind:
    """Tensors as they are behind some inputs: those of a model that another one begins with are inside of that, too.

    Parameters
    ----------
    inputs : sequence of Tensor
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._inputs = set(inputs)
        self._moved: dict[Tensor, Tensor] = {t: t for t in inputs}

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor itself, or the same one behind a model whose inputs these are."""
        pending = [tensor]  # each behind what needs it: networks are deeper than Python's stack
        while pending:
            node = pending[-1].node
            missing = [t for t in self._before(node) if t not in self._moved]
            if pending[-1] not in self._moved and not missing:
                self._moved |= dict(zip(node.outputs, self._made(node), strict=True))
            if pending[-1] in self._moved:
                pending.pop()
            else:
                pending += missing
        return self._moved[tensor]

    def _is_around(self, node):
        """Whether a call is that of a model with these inputs."""
        graph = node.layer.graph
        return graph is not None and set(graph.inputs) == self._inputs

    def _before(self, node):
        """What must be moved before a call's outputs."""
        return node.layer.graph.outputs if self._is_around(node) else node.inputs

    def _made(self, node):
        """A call's outputs; of a call on tensors that were moved, those of one on these."""
        given = [self._moved[t] for t in self._before(node)]
        if self._is_around(node):
            return given
        if given == list(node.inputs):
            return node.outputs
        return Node(node.layer, given, [t.shape[1:] for t in node.outputs], node.training).outputs


@contextmanager
def _kept(models) -> Iterator[None]:
    """What calls of models inside do to their moving averages is undone."""
    weights = dict.fromkeys(w for model in models for w in model.non_trainable_weights)
    state: list[tuple[Weight, np.ndarray]] = [(w, w.numpy().copy()) for w in weights]
    try:
        yield
    finally:
        for weight, value in state:
            if not np.array_equal(weight.numpy(), value):
                weight.assign(value)


def _of_samples(tensor: Tensor, key: Any) -> Any:
    """``tensor[key]``; of single samples, as ``model.output[0]`` or `tf.gather_nd` of it, what a function gives."""
    first = key[0] if isinstance(key, tuple) and key else key
    if is_integer(first) or (isinstance(first, np.ndarray) and first.dtype.kind in "iu"):
        sample = Later(lambda values: values.of(tensor)[key], [tensor])
        if is_integer(key) and key == 0 and not tensor.node.inputs:  # or the only one of base.input, for a model
            vars(sample)["whole"] = tensor
        return sample
    return _part_of(tensor, key)


_part_of = Tensor.__getitem__  # type: ignore[attr-defined]
Tensor.__getitem__ = _of_samples  # type: ignore[attr-defined]


def _listed(x):
    return list(x) if isinstance(x, list | tuple) else [x]
