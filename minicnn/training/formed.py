"""Data in the form of a model's inputs and outputs: dicts and nested lists, targets that nobody needs, and weights of
outputs and pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.checks import real_array
from minicnn.foreign import check_open
from minicnn.layers.open_sizes import has_open, sized
from minicnn.losses.no_loss import NoLoss
from minicnn.losses.targets import with_batch
from minicnn.nested import is_plain
from minicnn.training.arrays import match_inputs
from minicnn.training.columns import anew, seeing
from minicnn.training.non_finite import checkers
from minicnn.training.outputs import per_output
from minicnn.training.sources import Intake, Source
from minicnn.training.streams import is_stream

if TYPE_CHECKING:
    from minicnn.callbacks import Callback
    from minicnn.models.compilable import CompilableNetwork
    from minicnn.training.batches import Batch


@dataclass(frozen=True)
class FormedIntake(Intake):
    """An `Intake` for any form of a model's inputs and outputs.

    Where several outputs have weights of their own, these follow the targets, one for each output.
    """

    model: CompilableNetwork

    @classmethod
    def of(cls, model: CompilableNetwork, callbacks: Iterable[Callback] = ()) -> FormedIntake:
        """What prepares data for a built model, with targets if it is compiled, in a training with these callbacks."""
        losses = [] if model.compiled is None else checkers(model.compiled.losses, callbacks)
        losses = seeing(losses) if getattr(model, "keeps_columns", False) else losses
        return cls(model.name, model.inputs, dict(zip(model.output_names, model.outputs, strict=True)), losses, model)

    def training(self, *arguments: Any) -> tuple[Source, Source | None]:
        source, validation = super().training(*arguments)
        source.losses = self.losses
        if validation is not None and not validation.losses:  # a part of the same data
            validation.losses = self.losses
        return source, validation

    def evaluation(self, *arguments: Any) -> Source:
        own = replace(self, losses=anew(self.losses))
        source = Intake.evaluation(own, *arguments)
        source.losses = own.losses
        return source

    def prediction(self, x: Any, batch_size: int | None, steps: int | None) -> Source:
        return super().prediction(x if is_stream(x) else self.model.inputs_in_order(x), batch_size, steps)

    def inputs_only(self, x: Any) -> Batch:
        return super().inputs_only(self.model.inputs_in_order(x))

    def _arrays(self, x, y, weights):
        x = self.model.inputs_in_order(x)
        return self._for_sizes_of(x)._checked(x, y, weights)

    def _for_sizes_of(self, x) -> FormedIntake:
        """The intake for inputs of such sizes: those of the outputs are known in it."""
        if not has_open([output.shape[1:] for output in self.outputs.values()]):
            return self
        inputs = match_inputs(x, self.inputs, self.model_name)
        graph = sized(self.model.graph, [array.shape[1:] for array in inputs])
        return replace(self, outputs=dict(zip(self.outputs, graph.outputs, strict=True)))

    def _checked(self, x, y, weights):
        """As `_arrays`, with inputs in order and outputs whose sizes are known."""
        given, by_output = self._targets(y), self._weights(weights)
        weights = weights if by_output is None else None
        if given is None:
            inputs, targets, shared = super()._arrays(x, y, weights)
        else:
            inputs, targets, shared = self._some_arrays(x, given, weights)
        if by_output is not None:
            shapes = [output.shape[1:] for output in self.outputs.values()]
            losses = self.model.compiled.losses
            places = [loss.places(shape) for loss, shape in zip(losses, shapes, strict=True)]
            each = zip(by_output, self.outputs, shapes, places, strict=True)
            checked = [None if w is None else _checked_weight(w, len(inputs[0]), *of) for w, *of in each]
            shared = checked[0] if len(checked) == 1 else None
            if len(checked) > 1:
                targets += [np.ones(len(inputs[0])) if w is None else w for w in checked]
        return inputs, targets, shared

    def _targets(self, y) -> dict | None:
        """Name of an output → its target, of those that have one; None where `y` has one for each by position."""
        names, lossless = list(self.outputs), [isinstance(loss, NoLoss) for loss in self.losses]
        needed = [name for name, has_none in zip(names, lossless, strict=True) if not has_none]
        if is_plain(self.model.output_structure) and len(needed) == len(names):
            return None
        if y is None and not needed:
            targets = [None] * len(names)
        elif 0 < len(needed) < len(names) and _is_for(y, len(needed)):  # of those with a loss, as in Keras
            of_needed = dict(zip(needed, y if isinstance(y, list | tuple) else [y], strict=True))
            targets = [of_needed.get(name) for name in names]
        elif len(names) == 1 and not isinstance(y, dict):
            return None
        elif len(names) > 1 and y is not None and not isinstance(y, list | tuple | dict):
            raise ValueError(f"y needs one array for each of {len(names)} outputs. Received: {type(y).__name__}")
        else:
            targets = per_output("y", y, self.model)
        found = {name: target for name, target in zip(names, targets, strict=True) if target is not None}
        compiled = self.model.compiled
        measured = [n for n, *m in zip(names, compiled.metrics, compiled.weighted_metrics, strict=True) if any(m)]
        missing = [name for name in [*needed, *measured] if name not in found]
        if missing:
            shown = dict(zip(names, (path for path, _ in self.model.log_names()), strict=True))
            raise ValueError(
                f"y needs a target for each output with a loss or metrics; {shown[missing[0]]!r} has none. "
                f"Received: targets for {[shown[name] for name in found]}"
            )
        return found

    def _some_arrays(self, x, given, weights):
        """As `_arrays`, with targets by name; outputs that need none have nothing."""
        losses = dict(zip(self.outputs, self.losses, strict=True))
        outputs = {name: self.outputs[name] for name in given}
        some = Intake(self.model_name, self.inputs, outputs, [losses[name] for name in given])
        if not given:
            return some.inputs_only(x).inputs, [np.zeros(some.inputs_only(x).count, np.uint8)] * len(losses), None
        targets = list(given.values())
        inputs, targets, shared = some._arrays(x, targets if len(targets) > 1 else targets[0], weights)
        found, nothing = dict(zip(given, targets, strict=True)), np.zeros(len(inputs[0]), np.uint8)
        return inputs, [found.get(name, nothing) for name in self.outputs], shared

    def _weights(self, weights) -> list | None:
        """A weight, or None, for each output; None where `weights` is what every `Intake` takes."""
        check_open(weights)
        count = len(self.outputs)
        is_list = isinstance(weights, list | tuple) and any(w is None or np.ndim(w) > 0 for w in weights)
        if isinstance(weights, Mapping) or (is_list and (count > 1 or len(weights) == 1)):
            return per_output("sample_weight", weights, self.model)
        return [weights] * count if np.ndim(weights) > 1 else None


def _is_for(y, count) -> bool:
    """Whether targets are those of `count` outputs."""
    if isinstance(y, list | tuple):
        return len(y) == count and all(np.ndim(target) > 0 for target in y)
    return count == 1 and not isinstance(y, dict)


def _checked_weight(weight, samples, name, shape, rows):
    """The weights of one output: one for each sample, or each place that has a loss, (N, H, W) of (N, H, W, C)."""
    array = real_array(weight, "sample_weight").astype(np.float64)  # (N,), (N, 1), (N, H, W) or (N, H, W, 1)
    if array.shape[1:] == (*rows, 1) or (rows and array.shape[1:] == (1,) * (array.ndim - 1)):
        array = array.reshape(array.shape[: 1 + len(rows)] if array.shape[1:-1] == rows else -1)
    fits = len(array) == samples and array.shape[1:] in ((), rows)
    if not fits or not np.isfinite(array).all():
        raise ValueError(
            f"sample_weight of the output '{name}' needs finite numbers of shape ({samples},)"
            f"{f' or {(samples, *rows)}' if rows else ''}, for an output of shape {with_batch(shape)}. "
            f"Received: {'numbers that are not finite' if fits else f'shape {np.shape(weight)}'}"
        )
    return array
