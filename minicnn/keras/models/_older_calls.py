"""What Keras 1 and 2 had beside `fit`, `evaluate` and `predict`: methods for generators, classes and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.keras._generators import of_epochs, steps_of
from minicnn.keras._warning import warn_once


class OlderCalls:
    """Methods of models that are `fit`, `evaluate` and `predict` today."""

    def fit_generator(self, generator: Any, *args: Any, **kwargs: Any) -> Any:
        """`fit` with a generator, a Sequence or a data set; arguments by their places as in Keras 2, or 1.

        Parameters
        ----------
        generator : iterable of batches
        steps_per_epoch, epochs, verbose, callbacks, validation_data, validation_steps, class_weight, …
            As for `fit`; Keras 1's `samples_per_epoch`, `nb_epoch` and `nb_val_samples` are understood.
        """
        warn_once("fit_generator is a method of Keras 2: today fit takes generators")
        generator, kwargs = of_epochs(generator, args, kwargs)
        return self.fit(generator, **kwargs)

    def evaluate_generator(self, generator: Any, steps: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """`evaluate` with a generator; prints nothing unless told."""
        warn_once("evaluate_generator is a method of Keras 2: today evaluate takes generators")
        generator, kwargs = steps_of("val_samples", generator, steps, kwargs)
        return self.evaluate(generator, **{"verbose": 0, **kwargs})

    def predict_generator(self, generator: Any, steps: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """`predict` with a generator."""
        warn_once("predict_generator is a method of Keras 2: today predict takes generators")
        generator, kwargs = steps_of("val_samples", generator, steps, kwargs)
        return self.predict(generator, **kwargs)

    def predict_classes(
        self, x: Any, batch_size: int | None = None, verbose: int | str = 0, **kwargs: Any
    ) -> np.ndarray:
        """The most probable class of each sample, (N,); of a single output unit, whether it is above 0.5, (N, 1)."""
        warn_once("predict_classes is a method of Keras 2: today it is np.argmax(model.predict(x), axis=-1)")
        p = self.predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        return np.argmax(p, axis=-1) if p.shape[-1] > 1 else (p > 0.5).astype(np.int32)

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int | str = 0, **kwargs: Any) -> np.ndarray:
        """The same as `predict`."""
        warn_once("predict_proba is a method of Keras 2: today it is predict")
        return self.predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
