"""Callbacks that write files: the best model, and what a killed training needs to go on."""

import contextlib
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from minicnn import saving
from minicnn.callbacks.base import Callback
from minicnn.callbacks.monitor import Mode, MonitorCallback
from minicnn.checks import check_number, is_integer
from minicnn.console import say
from minicnn.errors import FileFormatError
from minicnn.hints import FilePath, Logs
from minicnn.user_warnings import warn_user

CHECKPOINT = "checkpoint.safetensors"


@contextlib.contextmanager
def _having(history, epoch, logs):
    """Inside, a model's history has an epoch whose logs other callbacks may still add to: the file has it, too."""
    if history is None:
        yield
        return
    history.on_epoch_end(epoch, logs)
    try:
        yield
    finally:  # in place: whoever draws losses may hold the lists
        history.epoch.pop()
        for kept in (history.history, history.epochs):
            for name in logs:
                kept[name].pop()
                if not kept[name]:
                    del kept[name]


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after every epoch or every so many batches; or only when it is the best so far.

    A file appears whole or not at all, and the previous one stays until then.

    Parameters
    ----------
    filepath : str or path-like
        May hold names of `logs` and ``epoch`` (from 1) and ``batch``: "model-{epoch:02d}-{val_loss:.3f}.keras". The
        suffix decides the format, see `Model.save`.
    monitor : str, default "val_loss"
        The name in `logs` that decides what is best; where it is missing, a warning says so, and every file is saved.
    verbose : {0, 1}, default 0
        Whether to print a line for each file.
    save_best_only : bool, default False
    save_weights_only : bool, default False
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of losses and of minicnn's metrics.
    save_freq : "epoch" or int, default "epoch"
        An int counts batches.
    initial_value_threshold : float, optional
        Only what is better than this is saved, with `save_best_only`.

    Attributes
    ----------
    best : float or None
        The best value so far; as in Keras, another `fit` goes on from it.

    Raises
    ------
    ValueError
        For a wrong argument; where `save_best_only` needs `monitor`: when training starts, if "auto" does not know the
        direction.
    ImportError
        For a file of Keras's formats without h5py.
    """

    action = "Saving the best model only is"

    def __init__(
        self,
        filepath: FilePath,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Mode = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath: str = str(saving.files.checked_path(filepath))
        saving.check_writable(self.filepath, save_weights_only)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq: Literal["epoch"] | int = _check_frequency(save_freq)
        if initial_value_threshold is not None:
            check_number("initial_value_threshold", initial_value_threshold, minimum=-math.inf)
        self.best: float | None = initial_value_threshold
        self._epoch, self._batches = 0, 0
        if self.save_freq != "epoch":
            # Only where it is wanted, so that others need no logs for every batch.
            self.on_train_batch_end: Callable[..., None] = self._count_batch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        best = self.best
        if self.save_best_only:
            super().on_train_begin()
        self.best = best

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            with _having(self.model.history, epoch, logs or {}):
                self._save({"epoch": epoch + 1}, logs or {})

    def _count_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save({"epoch": self._epoch + 1, "batch": batch + 1}, logs or {})

    def _save(self, position, logs):
        """Write a file, if it is time to."""
        path = self._path(position, logs)
        if self.save_best_only:
            value = self.current(logs)
            if value is None and self._comes_later(logs):
                return
            if value is not None and not self._is_best(value, position):
                return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            say(f"{_text(position)}: model saved to {path}")

    def _comes_later(self, logs) -> bool:
        return self.save_freq == "epoch" and super()._comes_later(logs)

    def _is_best(self, value, position) -> bool:
        """Whether a value is the best so far, which is then kept."""
        is_best = not math.isnan(value) and self.is_improvement(value, self.best)
        if self.verbose:
            outcome = "the best so far" if is_best else f"the best is {self.best}"
            say(f"{_text(position)}: {self.monitor} is {value:.5f}, {outcome}")
        self.best = value if is_best else self.best
        return is_best

    def _path(self, position, logs):
        try:
            return self.filepath.format(**(logs | position))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"filepath has a field that cannot be filled in ({error}): known are {sorted(logs | position)}. "
                f"Received: filepath={self.filepath!r}"
            ) from None

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "batches": self._batches}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best = self.best if state["best"] is None else state["best"]  # a threshold that was given stays one
        self._batches = state["batches"]


class BackupAndRestore(Callback):
    """Let a training that was killed go on where it was, as if nothing had happened.

    The folder's checkpoint holds the model, the optimizer's state, the history, the position in the epoch, and what
    the other callbacks keep (`Callback.get_state`). If there is one when `fit` starts, it is taken over. The training
    then ends with the weights, to the last bit, of one that was never interrupted: the order of samples, dropout masks,
    averages of the epoch and learning rates all go on. ``fit(resume=folder)`` is the same with
    ``delete_checkpoint=False``.

    Parameters
    ----------
    backup_dir : str or path-like
        Of this training alone; made if it is not there.
    save_freq : "epoch" or int, default "epoch"
        An int: after so many batches too, and not only after epochs.
    double_checkpoint :
        Accepted for Keras's sake: the checkpoint is replaced as a whole, so that there always is a good one.
    delete_checkpoint : bool, default True
        Whether to remove the checkpoint once the training has come to its end.

    Raises
    ------
    FileFormatError
        When `fit` starts, if the checkpoint is damaged, or of a model with other layers.
    ValueError
        If `backup_dir` is empty or a file; if the checkpoint is of another optimizer, or, in the middle of an epoch, of
        other data.

    Notes
    -----
    A generator is read from its start up to where the training was. Of a `minicnn.data.Dataset` whose passes differ, as
    those of `shuffle` do, the checkpoint holds how many had begun, so that the next one has the order whose turn it is,
    whatever has read the data before. Not known is what a callback reads of them in the middle of a pass, and
    validation where a pass goes through a shuffle several times (``repeat``) and is longer than an epoch
    (``steps_per_epoch``): then the next orders are other ones. Nor can a checkpoint know the state of the user's own
    code: a generator that draws random numbers needs a fixed seed.
    """

    _progress = None
    turn = 2  # the checkpoint knows what all others have made of the epoch

    def __init__(
        self,
        backup_dir: FilePath,
        save_freq: Literal["epoch"] | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir: Path = saving.files.checked_path(backup_dir)
        if str(backup_dir) == "" or self.backup_dir.is_file():
            raise ValueError(f"a training's checkpoint needs a folder, e.g. 'run1'. Received: {str(backup_dir)!r}")
        self.save_freq: Literal["epoch"] | int = _check_frequency(save_freq)
        self.delete_checkpoint = delete_checkpoint
        self._batches = 0
        if self.save_freq != "epoch":
            self.on_train_batch_end: Callable[..., None] = self._count_batch

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.backup_dir / CHECKPOINT

    def on_run_begin(self, progress: Any) -> None:
        self._progress, self._is_inside_epoch = progress, False
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        saving.files.remove_leftovers(self.path)
        if self.path.exists():
            self._restore()
            self._is_inside_epoch = progress.batch > 0
            if self.model.stop_training:
                warn_user(
                    f"the training in {str(self.backup_dir)!r} was stopped in or after epoch {max(progress.epoch, 1)}, "
                    f"and stays so: to train on, delete {str(self.path)!r}"
                )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._is_inside_epoch:  # what callbacks do when an epoch begins, they did before the checkpoint
            self._restore()
            self._is_inside_epoch = False

    def _restore(self):
        with saving.open_file(self.path) as file, saving.files.named_in_errors(self.path):
            if "run" not in file.training:
                raise FileFormatError("this is a model, not the checkpoint of a training")
            self.model.restore(file)
            self._progress.set_state(file.training["run"])

    def _count_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._save()

    def _save(self):
        snapshot = self.model.snapshot()
        snapshot.training["run"] = self._progress.get_state()
        saving.write(self.path, snapshot)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint and self._progress is not None and self._progress.completed:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else is in it
                self.backup_dir.rmdir()
        self._progress = None  # it keeps the data

    def get_state(self) -> dict[str, Any]:
        return {"batches": self._batches}

    def set_state(self, state: dict[str, Any]) -> None:
        self._batches = state["batches"]


def backups(resume: str | PathLike[str] | None) -> list[Callback]:
    """The callback for ``fit(resume=…)``: a list of one or none.

    Parameters
    ----------
    resume : str, path-like or None
        The folder of the checkpoint.
    """
    return [] if resume is None else [BackupAndRestore(resume, delete_checkpoint=False)]


def _check_frequency(save_freq):
    if save_freq != "epoch" and not (is_integer(save_freq) and save_freq > 0):
        raise ValueError(f"save_freq is 'epoch' or a number of batches. Received: save_freq={save_freq!r}")
    return save_freq


def _text(position) -> str:
    """ "Epoch 3" or "Epoch 3, batch 200"."""
    return ", ".join(f"{name} {number}" for name, number in position.items()).capitalize()
