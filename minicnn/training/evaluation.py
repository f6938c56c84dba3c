"""One pass over data with the model as in use: what `evaluate` and `predict` do, and the validation in `fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.callbacks import CallbackList
from minicnn.training.passes import demand_batches, joined
from minicnn.training.sources import Source

if TYPE_CHECKING:
    from minicnn.models.model import Model


def evaluate_source(model: Model, source: Source, callbacks: CallbackList) -> dict[str, float]:
    """Averages of loss and metrics over a source.

    Parameters
    ----------
    source : ArraySource or StreamSource
    callbacks : CallbackList
    """
    callbacks("on_test_begin")
    engine, totals, wants_batches = model.engine, None, callbacks.wants("on_test_batch_end")
    model.stop_evaluating = False
    source.rewind()
    for index, batch in enumerate(engine.batches(source)):
        totals = totals or engine.totals(batch.targets).of(source)
        callbacks("on_test_batch_begin", index)
        engine.evaluate_batch(batch, totals)
        if wants_batches:
            callbacks("on_test_batch_end", index, totals.logs_when_read())
        if engine.agreed(bool(model.stop_evaluating)):
            break
    else:
        demand_batches(source, 0 if totals is None else index + 1)
    callbacks("on_test_end", logs := totals.logs())
    return logs


def predict_source(model: Model, source: Source, callbacks: CallbackList) -> list[np.ndarray]:
    """The outputs for a source, one array for each output.

    Parameters
    ----------
    source : ArraySource or StreamSource
    callbacks : CallbackList
    """
    callbacks("on_predict_begin")
    engine, parts, arrays, done, index = model.engine, [], None, 0, -1
    model.stop_predicting = False
    for index, batch in enumerate(engine.batches(source)):
        callbacks("on_predict_batch_begin", index)
        outputs = [engine.backend.to_host(output) for output in engine.predict_batch(batch)]
        if source.samples is None:
            parts.append(outputs)
        else:
            arrays = arrays or [np.empty((source.samples, *o.shape[1:]), o.dtype) for o in outputs]
            for array, output in zip(arrays, outputs, strict=True):
                array[done : done + batch.count] = output
        done += batch.count
        callbacks("on_predict_batch_end", index, {"outputs": outputs})
        if engine.agreed(bool(model.stop_predicting)):
            break
    else:
        demand_batches(source, index + 1)
    callbacks("on_predict_end")
    return [a[:done] for a in arrays] if source.samples is not None else [joined(p) for p in zip(*parts, strict=True)]
