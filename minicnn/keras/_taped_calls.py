"""Calls of models and layers while a tape records: the plan runs forward, and is kept to be gone back through.

So a model is one value on the tape, whatever it is made of, and its gradients are those of `fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import backends, random
from minicnn.backends.base import Backend
from minicnn.differentiation import Recorded, met, value_of
from minicnn.graph import Graph, Node
from minicnn.keras._computed_again import computed_again
from minicnn.keras._eager import EagerNumber
from minicnn.keras._ended import ended
from minicnn.keras._taped import (
    Taped,
    inside_a_layer,
    is_recording,
    keep,
    leaf_of,
    nothing_recorded,
    reads,
    recording,
    weight_on_tape,
)
from minicnn.last_function import remembering
from minicnn.layers.input import InputLayer
from minicnn.models.subclassing import layers_in
from minicnn.nested import mapped
from minicnn.plan.program import lower
from minicnn.plan.runs import Run, Runs
from minicnn.settings import floatx
from minicnn.step import Step

_PENALTY = "penalty"


class _Parts(dict):
    """The gradients by the outputs of a run, as far as there are any; the sum of two is theirs."""

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts(self | {name: self[name] + part if name in self else part for name, part in other.items()})


class _Called:
    """A run as tapes keep it.

    Parameters
    ----------
    run : Run
    inputs : list
        What it was called on; the gradients of what is `Taped` go on there.
    ends : list of Step or None
        The softmax or sigmoid of each output, which losses look behind.

    Attributes
    ----------
    holders : int
        How many tapes keep it.
    """

    def __init__(self, run: Run, inputs: Sequence[Any], ends: Sequence[Step | None]) -> None:
        self._run, self._inputs, self._ends, self.holders = run, list(inputs), ends, 0
        self._by = self._found = self._again = self._by_frozen = None
        self._read = [w for w in run.weights if reads(w)]
        self._frozen = [w for w in run.frozen if w.has_gradient and reads(w)]
        weights = [(leaf_of(w), self._of_weight(w)) for w in self._read]
        frozen = [(leaf_of(w), self._of_frozen(w)) for w in self._frozen]
        others = [(x, self._of_input(i, x.shape)) for i, x in enumerate(inputs) if isinstance(x, Taped)]
        self._whole = Taped(np.empty(0), [*weights, *frozen, *others])
        keep(self)
        for tape in recording.tapes:
            for weight in run.frozen:
                if not weight.has_gradient and tape.was_told(weight):
                    tape.read_inside(leaf_of(weight))

    def outputs(self) -> list[Taped]:
        """The values that the graph gave."""
        parts = enumerate(zip(self._run.outputs, self._run.logits, self._ends, strict=True))
        return [self._made(y, i) if z is None else ended(y, end, self._made(z, i)) for i, (y, z, end) in parts]

    def penalty(self) -> Taped | None:
        """What layers add to the loss; None if none does."""
        value = self._run.penalty
        return None if value is None else self._made(np.asarray(value, floatx()), _PENALTY)

    def _made(self, value, name):
        """A part of what the run gave."""
        made = Taped(value, [(self._whole, self._part(name))])
        made.again = lambda: self._computed_again()[name]
        return made

    def _computed_again(self):
        """All parts by their names, of recorded functions."""
        if self._again is None:
            done = self._run.done()
            on_tape = {w: Taped(done.weights[w], [(leaf_of(w), lambda g: g)]) for w in [*self._read, *self._frozen]}
            outputs, penalty = computed_again(done, self._inputs, on_tape)
            self._again = {**dict(enumerate(outputs)), _PENALTY: penalty}
        return self._again

    def end(self) -> None:
        """No tape goes back through it any more."""
        self._run.end()
        self._by = self._found = self._again = self._by_frozen = None
        self._whole.parents = []  # which lead back to here

    @staticmethod
    def _part(name):
        return lambda g: _Parts({name: g})

    def _of_weight(self, weight):
        return lambda parts: self._gradients(parts).weights[weight]

    def _of_input(self, number, shape):
        return lambda parts: self._gradients(parts).inputs[number].reshape(shape)

    def _of_frozen(self, weight):
        return lambda parts: self._frozen_gradients(parts)[weight]

    def _frozen_gradients(self, parts):
        """Weight → gradient, of the weights that the plan has no gradients for: by recorded functions."""
        if self._by_frozen is None or self._by_frozen[0] is not parts:
            from minicnn.keras._tape import GradientTape  # which stands above

            done = self._run.done()
            with nothing_recorded(), GradientTape() as tape:
                leaves = {w: Taped(done.weights[w]) for w in self._frozen}
                outputs, penalty = computed_again(done, done.arrays, leaves)
            made = {**dict(enumerate(outputs)), _PENALTY: penalty}
            by = [np.asarray(part) for part in parts.values()]
            found = tape.gradient([made[name] for name in parts], list(leaves.values()), by, "zero")
            self._by_frozen = parts, dict(zip(leaves, found, strict=True))
        return self._by_frozen[1]

    def _gradients(self, parts):
        """Of one backward pass for all weights and inputs, which ask for theirs one after the other."""
        if parts is not self._by:
            by_outputs = [parts.get(i) for i in range(len(self._run.outputs))]
            with nothing_recorded():
                self._by, self._found = parts, self._run.gradients(by_outputs, float(parts.get(_PENALTY, 0.0)))
        return self._found


def on_tapes(owner: Any, arrays: Sequence[Any]) -> bool:
    """Whether a call belongs on a tape: one records, and has to do with a weight of the layer's, or with an input."""
    if not is_recording():
        return False
    if not owner.built or any(isinstance(met(x), Taped) for x in arrays):
        return True
    if any(w.trainable or any(tape.was_told(w) for tape in recording.tapes) for w in owner.weights):
        return True
    for tape in recording.tapes:
        tape.leave_out(leaf_of(w) for w in owner.weights if w.has_gradient)
    return False


def belongs_to_a_function(owner: Any, arrays: Sequence[Any]) -> bool:
    """Whether a call is a part of a function that is recorded, as a loss: no tape records, and no weight is trained.

    Weights of another model than the one that `fit` trains count as such that are not, as in Keras.

    Raises
    ------
    TypeError
        If that model's own weights are among them, as their part of the gradient would be lost.
    """
    if is_recording() or not any(type(x) is Recorded and x.has_gradient for x in map(met, arrays)):
        return False
    if (outer := vars(owner).get("_made_in_call_of")) is not None:
        _check_without_weights(owner, outer, arrays)
    trainable = {w for w in owner.weights if w.trainable}
    if recording.trained is None:
        return not trainable
    if trainable.isdisjoint(recording.trained.weights):
        return True
    raise TypeError(
        f"the loss calls '{owner.name}', whose weights the model trains, so that their part of the gradient would be "
        "lost: write a train_step with a tf.GradientTape, see docs/keras.md. Received: a call of it on y_pred"
    )


def _check_without_weights(owner, outer, arrays):
    """Raise `TypeError` for a layer that a `call` makes while it runs, if it has weights: others in each call."""
    if not owner.weights:
        owner.build_for(tuple(np.shape(value_of(met(x)))[1:] for x in arrays))
    if owner.weights:
        raise TypeError(
            f"call of layer '{outer}' makes a layer with weights, '{owner.name}' ({type(owner).__name__}), while it "
            "runs, which nobody trains or saves: make it in __init__ or build, as an attribute. Received: a call of "
            f"it with weights of shapes {[w.shape for w in owner.weights]}"
        )


def through_a_tape(owner: Any, arrays: Sequence[Any], training: bool) -> Any:
    """The output for recorded arrays, which gradients go back through as on a tape.

    Parameters
    ----------
    owner : Layer or Model
        With one output.
    arrays : sequence
    training : bool
    """
    from minicnn.keras._tape import GradientTape  # which stands above

    given = [met(x) for x in arrays]
    with GradientTape(persistent=True) as tape:
        leaves = [Taped(np.asarray(value_of(x))) for x in given]
        tape.watch(leaves)
        made = owner.call_on_arrays(leaves, training)

    def back(leaf):
        return lambda g: np.asarray(tape.gradient(made, leaf, output_gradients=np.asarray(g, made.dtype)))

    parents = [(x, back(leaf)) for x, leaf in zip(given, leaves, strict=True) if isinstance(x, Recorded)]
    return Recorded(np.asarray(value_of(made)), parents)


def outputs_of(
    owner: Any, graph: Graph, inputs: Sequence[Any], arrays: Sequence[np.ndarray], training: bool, backend: Backend
) -> list[Any]:
    """What a graph gives for arrays, on the tapes that record.

    Parameters
    ----------
    owner : Layer
        Keeps the plans, and what its layers added to the loss of this call.
    graph : Graph
    inputs : list
        What the call was given, in the order of the graph's inputs; what is `Taped` is gone back to.
    arrays : list of array (N, …)
        The same, as the graph takes it.
    training : bool
    backend : Backend
    """
    runs = _runs_of(owner, graph)
    whole, stages, ends = runs.cut([x.shape[1:] for x in arrays], training)
    found = dict(zip(whole.inputs, zip(inputs, arrays, strict=True), strict=True))
    added = []
    for stage, ends_of_stage in zip(stages, ends, strict=True):
        given, values = zip(*(found[t] for t in stage.inputs), strict=True)
        with inside_a_layer():
            run = runs.begin(stage, values, backend, any(isinstance(x, Taped) for x in given))
        called = _Called(run, given, ends_of_stage)
        found.update({t: (y, y.value) for t, y in zip(stage.outputs, called.outputs(), strict=True)})
        added.append(called.penalty())
    runs.added = [penalty for penalty in added if penalty is not None]
    return [found[t][0] for t in whole.outputs]


def _runs_of(owner, graph) -> Runs:
    """What the owner keeps of its runs."""
    kept = vars(owner).get("_runs")
    if kept is None or kept.graph is not graph:
        seed = getattr(owner, "seed", None)
        kept = vars(owner)["_runs"] = Runs(graph, random.next_seed() if seed is None else seed)
    return kept


def model_outputs(model: Any, arrays: Sequence[Any], training: bool) -> list[Any]:
    """The outputs of a model for arrays, on the tapes that record.

    Parameters
    ----------
    model : Model
        Built.
    arrays : sequence
        In the order of its inputs.
    training : bool
    """
    inputs = [met(x) for x in arrays]
    batch = model._intake().inputs_only(value_of(inputs))
    return outputs_of(model, model.graph, inputs, batch.inputs, training, model.engine.backend)


def layer_outputs(layer: Any, arrays: Sequence[Any], training: bool) -> Any:
    """The output of a layer by itself for arrays, on the tapes that record."""
    inputs = [met(x) for x in arrays]
    values = [np.asarray(x) for x in value_of(inputs)]
    shapes = tuple(x.shape[1:] for x in values)
    with nothing_recorded():
        graph = _graph_of(layer, shapes)
    found = outputs_of(layer, graph, inputs, values, training, backends.current())
    forget_noted(layer)
    layer.output_penalty = None  # which is on the tapes
    return found[0] if len(found) == 1 else found


def _graph_of(layer, shapes) -> Graph:
    """The graph of one call of a layer, made once for inputs of these shapes."""
    kept = vars(layer).get("_runs")
    if kept is not None and tuple(t.shape[1:] for t in kept.graph.inputs) == shapes:
        return kept.graph
    inputs = [Node(InputLayer(shape, name="taped"), (), [shape]).outputs[0] for shape in shapes]
    return Graph(inputs, Node(layer, inputs, layer.build_for(shapes)).outputs)


def outputs_off_tapes(layer: Any, arrays: Sequence[Any], training: bool) -> Any:
    """The output of a layer by itself, on a tape that nobody asks, so that `losses` tells what it adds to the loss."""
    from minicnn.keras._tape import GradientTape  # which stands above

    with nothing_recorded(), GradientTape():
        made = layer_outputs(layer, arrays, training)
    return mapped(remembering, made)


def adds_losses(model: Any) -> bool:
    """Whether layers of a built model add to the loss of a call, which `Model.losses` tells then."""
    return any(w.trainable for w in model.weights) and graph_adds_losses(model)


def graph_adds_losses(model: Any) -> bool:
    """Whether layers in the graph of a model, or of a layer of layers, add to the loss."""
    graph = model.graph
    if graph is None:
        return False
    kept = vars(model).get("_adds_losses")
    if kept is None or kept[0] is not graph:
        has_penalty = any(place.step.has_penalty for place in lower(graph).places)
        kept = vars(model)["_adds_losses"] = graph, has_penalty
    return kept[1]


def losses_on_tapes(owner: Any) -> list[Any]:
    """The penalties on a model's weights, and what its layers added to the loss in their last calls."""
    penalized = [w for w in owner.trainable_weights if w.regularizer is not None]
    return [*map(_penalty_on, penalized), *added_losses(owner)]


def losses_of_layer(layer: Any, numbers: list[float]) -> list[Any]:
    """What `Layer.losses` gives.

    Parameters
    ----------
    layer : Layer
        By itself, or a part of a model.
    numbers : list of float
        The same without tapes.
    """
    if is_recording():
        return losses_on_tapes(layer)
    return [EagerNumber(value_of(loss)) for loss in (*numbers, *added_losses(layer))]


def forget_added(layer: Any) -> None:
    """What the call before added to the loss counts no more."""
    if (runs := vars(layer).get("_runs")) is not None:
        runs.added = []
    forget_noted(layer)


def forget_noted(layer: Any) -> None:
    """What the call before added to the loss off tapes counts no more."""
    vars(layer).pop("_noted", None)


def noted_losses(owner: Any) -> list[float]:
    """What layers in a model's attributes added to the loss in their last calls, off tapes."""
    return [loss for layer in within(owner) for loss in vars(layer).get("_noted", ())]


def added_losses(owner: Any) -> list[Taped]:
    """What layers of a model, or of those in its attributes, added to the loss in their last calls."""
    found = (vars(layer).get("_runs") for layer in within(owner))
    return [loss for runs in found if runs is not None for loss in runs.added]


def _penalty_on(weight):
    """The penalty on a weight, whose gradient is the regularizer's."""
    made = weight.regularizer(weight_on_tape(weight))
    return made if isinstance(made, Recorded) else np.asarray(made, weight.dtype)


def within(owner: Any) -> list[Any]:
    """A model, its layers and those in its attributes, each once."""
    found, waiting = [], [owner]
    while waiting:
        layer = waiting.pop()
        if all(layer is not other for other in found):
            found.append(layer)
            waiting += [*getattr(layer, "_own_layers", tuple)(), *layers_in(vars(layer).values())]
    return found
