"""The model: a network that can be trained."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.callbacks import CallbackList, History, backups, in_line, listed, progress
from minicnn.console import say
from minicnn.keywords import suggests_keywords
from minicnn.layers.names import unique_name
from minicnn.models import files
from minicnn.models.again import called_again, predicted_again
from minicnn.models.config import written_config
from minicnn.models.forms import Tensors
from minicnn.models.network import one_or_list
from minicnn.models.subclassing import Written
from minicnn.saving.files import write_json
from minicnn.saving.snapshot import Reader, Snapshot
from minicnn.threads import compute_threads
from minicnn.training import advice, evaluation, loop, outputs, passes
from minicnn.training.formed import FormedIntake
from minicnn.training.progress import Progress

if TYPE_CHECKING:
    from minicnn.callbacks import Callback
    from minicnn.training.arrays import Arrays
    from minicnn.training.streams import Data

    Callbacks = Callback | Sequence[Callback] | None


class Model(Written):
    """A model from its inputs and outputs (Keras's functional form), or a subclass with `call`, see `Written`.

    Parameters
    ----------
    inputs, outputs : Tensor, or list, tuple or dict of them, also nested
        What `Input` and calls of layers returned. Data has the same form, `predict` returns that of the outputs, and
        logs go by the dict's keys.
    name : str, optional

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
    layers : list of Layer
    history : History or None
        Of the last `fit`, also when it was interrupted.
    stop_training, stop_evaluating, stop_predicting : bool
        A callback that sets it ends `fit`, `evaluate` (and the validation in `fit`) or `predict` after the batch.

    Raises
    ------
    ValueError
        If an output does not depend on the inputs alone.
    """

    saved_as: str = "Functional"
    history: History | None = None
    stop_training: bool = False
    stop_evaluating: bool = False
    stop_predicting: bool = False

    def __init__(self, inputs: Tensors | None = None, outputs: Tensors | None = None, name: str | None = None) -> None:
        if inputs is None or outputs is None:
            self._start_written(name)
        else:
            super().__init__(inputs, outputs, name or unique_name("Functional"))

    # ------------------------------------------------------------------------------------------------------- train

    @suggests_keywords
    def fit(
        self,
        x: Data | None = None,
        y: Arrays | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callbacks = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Arrays | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Container[int] = 1,
        resume: str | PathLike[str] | None = None,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : array (N, …), list or dict of arrays, generator or Sequence
            Any real or bool dtype; cast batch by batch and never modified. A generator yields (x, y) or
            (x, y, sample_weight); a Sequence has ``len()`` and returns such batches from ``[i]``.
        y : array, list or dict of arrays
            What the losses compare the outputs with.
        batch_size : int, default 32
        epochs : int, default 1
        verbose : {"auto", 0, 1, 2}
            0 shows nothing, 1 a progress bar on a terminal, 2 a line an epoch; "auto" is 1.
        callbacks : Callback or list of Callback, optional
        validation_split : float in [0, 1)
            The last part of the data, before shuffling, is held back for validation.
        validation_data : (x, y) or (x, y, sample_weight), generator or Sequence, optional
        shuffle : bool, default True
            Whether each epoch takes the samples (a Sequence's batches) in a new order.
        class_weight : dict or "balanced", optional
            Class number → weight of its samples in the loss; "balanced", for arrays: all classes count alike.
        sample_weight : array (N,), optional
            Weight of each sample in the loss; (N, H, W) for an output (N, H, W, C); a list or dict for several outputs.
        initial_epoch : int, default 0
            Number of the first epoch, for a training that goes on.
        steps_per_epoch, validation_steps : int, optional
            Batches an epoch takes, and a validation; the next epoch goes on behind them. A short one warns.
        validation_batch_size : int, optional
            Default: `batch_size`.
        validation_freq : int or list of int, default 1
            Validate after every so many epochs, or after those in the list, the first being 1.
        resume : str or path-like, optional
            A folder for this training's checkpoint, written after every epoch: if there is one, the training goes on
            from there. See `callbacks.BackupAndRestore`.

        Returns
        -------
        History

        Raises
        ------
        NotCompiledError
            Before `compile`.
        ShapeError, DataError, ValueError, TypeError
            If the data does not fit, before anything is trained.
        NonFiniteError
            If the loss becomes NaN or infinite; the weights are those before that batch.
        """
        self._need_compiled()
        passes.check_counts(epochs, initial_epoch, validation_freq, shuffle)
        everyone = [*listed(callbacks), *progress(verbose), history := History(), *backups(resume)]
        x = self._build_from_data(x)
        self._before_training()
        validation = validation_data, validation_batch_size or batch_size, validation_steps
        data = self._intake(everyone).training(
            x, y, sample_weight, class_weight, batch_size, steps_per_epoch, validation_split, validation
        )
        advice.before_fit(self, *data, is_split=validation_data is None)
        start = Progress(self, *data, CallbackList(everyone, self, _params(data[0], verbose, epochs)), initial_epoch)
        self.history = history
        with compute_threads(self.engine.backend):
            loop.run_epochs(start, epochs, shuffle, validation_freq)
        return self.history

    def _intake(self, callbacks=()):
        """What prepares data for this model."""
        return FormedIntake.of(self, callbacks)

    @suggests_keywords
    def evaluate(
        self,
        x: Data | None = None,
        y: Arrays | None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Arrays | None = None,
        steps: int | None = None,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Loss and metrics on data, with the model as in use: no dropout, no change.

        Parameters
        ----------
        x, y, batch_size, sample_weight :
            As for `fit`.
        verbose : {"auto", 0, 1, 2}
            0 prints nothing, anything else one line.
        steps : int, optional
            Batches to take; see `fit`.
        callbacks : Callback or list of Callback, optional
            Their methods `on_test_…` are called.
        return_dict : bool
            Whether to return a dict by name.

        Returns
        -------
        list of float
            [loss, metrics…]; the loss alone if there are no metrics.
        """
        self._need_compiled()
        x = self._build_from_data(x)
        outputs.check_there_is_a_loss(self, or_metrics=True)
        source = self._intake().evaluation(x, y, sample_weight, batch_size, steps)
        advice.before_use(self, source)
        callback_list = CallbackList(listed(callbacks), self, _params(source, verbose))
        with compute_threads(self.engine.backend):
            logs = evaluation.evaluate_source(self, source, callback_list)
        if verbose:
            say(in_line(logs))
        return logs if return_dict else one_or_list(list(logs.values()))

    @suggests_keywords
    def predict(
        self,
        x: Data,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Callbacks = None,
    ) -> np.ndarray | list[np.ndarray]:
        """The outputs for data, computed batch by batch.

        Parameters
        ----------
        x, batch_size, steps :
            As for `evaluate`.
        verbose :
            Accepted for Keras's sake: nothing is printed.
        callbacks : Callback or list of Callback, optional
            Their methods `on_predict_…` are called.

        Returns
        -------
        array (N, …), or a list of them for several outputs
        """
        if not callbacks and steps is None and (outputs := predicted_again(self, x, batch_size)) is not None:
            return self.outputs_in_form(outputs)
        x = self._build_from_data(x)
        source = self._intake().prediction(x, batch_size, steps)
        advice.before_use(self, source)
        callback_list = CallbackList(listed(callbacks), self, _params(source, verbose))
        with compute_threads(self.engine.backend):
            return self.outputs_in_form(evaluation.predict_source(self, source, callback_list))

    def predict_on_batch(self, x: Arrays) -> np.ndarray | list[np.ndarray]:
        """The outputs for one batch; see `predict`."""
        return self.call_on_arrays(list(x) if isinstance(x, list | tuple) and len(self.inputs) > 1 else [x])

    @suggests_keywords
    def train_on_batch(
        self,
        x: Arrays,
        y: Arrays | None = None,
        sample_weight: Arrays | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """One iteration: the weights change once.

        Returns
        -------
        list of float
            [loss, metrics…] of the batch before the change; the loss alone if there are no metrics.
        """
        self._need_compiled()
        x = self._build_from_data(x)
        self._before_training()
        intake = self._intake()
        batch, engine = intake.batch(x, y, sample_weight, class_weight), advice.training_engine(self)
        with compute_threads(engine.backend):
            totals = engine.totals(batch.targets).of(intake)
            engine.train_batch(batch, totals).demand_finite(0, 0)
            logs = totals.logs()
        return logs if return_dict else one_or_list(list(logs.values()))

    @suggests_keywords
    def test_on_batch(
        self, x: Arrays, y: Arrays | None = None, sample_weight: Arrays | None = None, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """Loss and metrics of one batch; see `evaluate`."""
        return self.evaluate(x, y, None, 0, sample_weight, steps=1, return_dict=return_dict)  # one batch of all

    def gradients(self, x: Arrays, y: Arrays, sample_weight: Arrays | None = None) -> dict[str, np.ndarray]:
        """The gradient of the loss by every trainable weight, for one batch; the model does not change.

        Parameters
        ----------
        x, y, sample_weight :
            As for `train_on_batch`.

        Returns
        -------
        dict
            "layer name/weight name" → array of the weight's shape.
        """
        self._need_compiled()
        x = self._build_from_data(x)
        batch = self._intake().batch(x, y, sample_weight)
        engine = self.training_engine()
        with compute_threads(engine.backend):
            gradients = engine.weight_gradients(batch)
        return {path: gradients[w] for path, w in self.named_weights().items() if w.trainable}

    def call_on_arrays(self, arrays: Sequence[Arrays], training: bool = False) -> np.ndarray | list[np.ndarray]:
        """The outputs for arrays, at once; see `predict`. A model of augmentation alone takes a single image, too."""
        if not training and (outputs := called_again(self, arrays, self.read_outputs)) is not None:
            return self.outputs_in_form(outputs)
        if self.acts_on_arrays and np.ndim(arrays[0]) == 3:
            return self.call_on_arrays([np.asarray(arrays[0])[None]], training)[0]
        x = self._build_from_data(arrays if len(arrays) > 1 else arrays[0])
        batch = self._intake().inputs_only(x)
        engine = self.training_engine() if training else self.engine
        with compute_threads(engine.backend):
            return self.outputs_in_form(self.read_outputs(engine.called(batch, training)))

    # ------------------------------------------------------------------------------------------------------- files

    def to_json(self, **kwargs: Any) -> str:
        """The model's structure as JSON text; see `minicnn.models.model_from_json`.

        Parameters
        ----------
        **kwargs
            For `json.dumps`, e.g. ``indent=2``.
        """
        return write_json(written_config(self), **kwargs)

    @staticmethod
    def from_json(json_string: str | bytes, custom_objects: Mapping[str, Any] | None = None) -> Model:
        """The same as `minicnn.models.model_from_json`."""
        return files.model_from_json(json_string, custom_objects)

    def save(self, filepath: str | PathLike[str], overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Write the model to a file: structure, weights, compile arguments, optimizer state, history, random position.

        The file appears whole or not at all; a previous one stays until then. See docs/files.md.

        Parameters
        ----------
        filepath : str or path-like
            Its suffix decides the format: ".safetensors" is minicnn's own, which keeps everything; ".keras" and ".h5"
            are Keras's.
        overwrite : bool, default True
        include_optimizer : bool, default True
            Whether the optimizer's state is written, which can take more room than the weights.

        Raises
        ------
        ValueError
            For an unknown suffix.
        NotBuiltError
            If the model has no weights yet.
        FileExistsError
            If there is a file and `overwrite` is False.
        NonFiniteError
            If a weight holds NaN or infinite values.
        """
        snapshot = self.snapshot()
        if not include_optimizer:
            snapshot.optimizer = None
        files.write(filepath, snapshot, overwrite)

    def save_weights(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone; arguments and errors as for `save`, the suffix ".weights.h5" besides."""
        files.write(filepath, files.take_weights(self), overwrite)

    def load_weights(self, filepath: str | PathLike[str], skip_mismatch: bool = False, by_name: bool = False) -> None:
        """Read weights from a file of any format; of a whole model's file, the weights alone.

        Weights go by their names, "conv2d/kernel"; the numbers at the ends of layers' names may differ if all else
        agrees. Keras's formats go by structure.

        Parameters
        ----------
        filepath : str or path-like
        skip_mismatch : bool, default False
            Whether layers that do not fit stay as they are, with a warning each; otherwise nothing is loaded then.
        by_name : bool, default False
            Whether layers whose names are not in the file stay as they are. For .safetensors and Keras's old .h5.

        Raises
        ------
        FileFormatError
            If a weight is missing, left over or of another shape, and if the file is damaged; the model is as before.
        """
        files.put_weights(self, filepath, skip_mismatch, by_name)

    def snapshot(self) -> Snapshot:
        """The model at this moment, for `minicnn.saving`; the arrays are copies."""
        return files.take(self)

    def restore(self, file: Reader) -> None:
        """Go on where the model was when `file`, of a model like this one, was written; see `load_model` for a new one.

        Parameters
        ----------
        file : saving.snapshot.Reader

        Raises
        ------
        FileFormatError, ValueError
            If the file is of another model or optimizer; the model is as before.
        """
        files.put(self, file)


def _params(source, verbose, epochs=1):
    """What callbacks are told beforehand; see `Callback.params`."""
    sizes = {name: getattr(source, name) for name in ("steps", "samples", "batch_size")}
    return {"verbose": 1 if verbose == "auto" else verbose, "epochs": int(epochs), **sizes}
