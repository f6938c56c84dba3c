"""A model that a callback compiles while `fit` runs: from the next batch on, if its losses take the data's targets.

Keras stops there, with an error about None, as its training function is gone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minicnn.callbacks import Callback
from minicnn.training.sources import ArraySource, Source


class Observer(Callback):
    """Knows where a `fit` is.

    Attributes
    ----------
    progress : Progress or None
        Of the `fit` that runs.
    """

    progress: Any = None
    _is_recompiled = False

    def on_run_begin(self, progress: Any) -> None:
        self.progress = progress
        if self._is_recompiled:  # before the training has begun
            self.take_over(progress.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._is_recompiled:
            self.progress.totals, self._is_recompiled = None, False  # which are of the metrics before

    def take_over(self, model: Any) -> None:
        """Go on with what `compile` has just been told.

        Parameters
        ----------
        model : Model

        Raises
        ------
        ValueError
            If there is no loss, or one that the targets are not for.
        """
        model._before_training()
        self._is_recompiled = True
        for source in () if self.progress is None else (self.progress.source, self.progress.validation):
            if source is not None:
                _check_again(source, model)


def _check_again(source: Source, model: Any) -> None:
    if isinstance(source, ArraySource):
        source.targets = _checked(source.targets, model)
    else:
        source._convert = partial(_converted, source._convert, model, model.compiled)


def _converted(convert, model, compiled, *data):
    batch = convert(*data)
    return batch if model.compiled is not compiled else replace(batch, targets=_checked(batch.targets, model))


def _checked(targets, model):
    """Targets as the losses take them; they have been checked for those before."""
    found = []
    for loss, output, target in zip(model.compiled.losses, model.outputs, targets, strict=True):
        checked = loss.check_target(target, output.shape[1:])
        if np.shape(checked) != np.shape(target):
            raise ValueError(
                f"compile in a callback of fit takes losses for the targets that fit was given, of shape "
                f"{np.shape(target)} by now. Received: {type(loss).__name__}, which takes {np.shape(checked)}"
            )
        found.append(checked)
    return found
