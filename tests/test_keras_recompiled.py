"""Models that a callback compiles while `fit` runs; Keras stops there with an error about None."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn as mc
from minicnn import keras


class _Compiling(keras.callbacks.Callback):
    """Compiles the model anew after its first epoch, or at another moment."""

    def __init__(self, moment, loss, **options):
        super().__init__()
        self.arguments, self.done = (keras.optimizers.SGD(0.1), loss), False
        setattr(self, moment, lambda *args: self.compile_once(options))

    def compile_once(self, options):
        if not self.done:
            self.done = True
            self.model.compile(*self.arguments, **options)


def _compiled_while_fit_runs(moment, loss, as_stream, **options):
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 3), "float32"), np.array([0, 1] * 4)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax", kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = (mc.data.Dataset.from_tensor_slices((x, y)).batch(4),) if as_stream else (x, y)
    callbacks = [_Compiling(moment, loss, **options)]
    return model.fit(*data, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=callbacks).history


@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize("moment", ["on_train_begin", "on_train_batch_end", "on_epoch_end"])
def test_a_loss_that_the_targets_are_not_for_is_refused_in_the_middle_of_fit(moment: str, as_stream: bool) -> None:
    for loss in ("mse", "categorical_crossentropy", "binary_crossentropy"):
        with pytest.raises(ValueError, match=r"to_categorical\(y, 2\).*Received: a target of shape"):
            _compiled_while_fit_runs(moment, loss, as_stream)
    with pytest.raises(ValueError, match="there is no loss to compute"):
        _compiled_while_fit_runs(moment, None, as_stream)


@pytest.mark.parametrize("as_stream", [False, True])
def test_metrics_of_a_compile_in_the_middle_of_fit_count_from_the_next_epoch(as_stream: bool) -> None:
    history = _compiled_while_fit_runs(
        "on_epoch_end", "sparse_categorical_crossentropy", as_stream, metrics=["sparse_top_k_categorical_accuracy"]
    )
    assert {name: len(values) for name, values in history.items()} == {
        "loss": 3,
        "accuracy": 1,
        "sparse_top_k_categorical_accuracy": 2,
    }
    assert history["loss"][2] < history["loss"][1] < history["loss"][0]
