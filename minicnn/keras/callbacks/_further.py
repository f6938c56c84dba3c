"""Callbacks that need another package, or belong to Keras alone."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from minicnn.callbacks import Callback


class TensorBoard(Callback):
    """Losses, metrics and the learning rate of every epoch for TensorBoard, which draws them.

    The files are written by the package tensorboardX, or by PyTorch's `torch.utils.tensorboard`.

    Parameters
    ----------
    log_dir : str or path-like, default "logs"
        "train" and "validation" are made in it.
    histogram_freq : int, default 0
        After how many epochs the weights are written as histograms; 0: never.
    write_graph, write_images, write_steps_per_second, profile_batch, embeddings_freq, embeddings_metadata :
        Accepted for Keras's sake, without effect.
    update_freq : "epoch", "batch" or int, default "epoch"
        After how many batches losses and metrics are written besides.

    Raises
    ------
    ImportError
        If there is no such package.
    """

    reports = True

    def __init__(
        self, log_dir: Any = "logs", histogram_freq: int = 0, update_freq: str | int = "epoch", **without_effect: Any
    ) -> None:
        super().__init__()
        unknown = without_effect.keys() - _WITHOUT_EFFECT
        if unknown:
            raise TypeError(f"TensorBoard takes log_dir, histogram_freq and update_freq. Received: {sorted(unknown)}")
        self._writer_class = _summary_writer()
        self.log_dir: str = os.fspath(log_dir)
        self.histogram_freq: int = int(histogram_freq)
        self.update_freq: str | int = update_freq
        self._writers: dict[str, Any] = {}
        self._batches = 0

    def _writer(self, part):
        if part not in self._writers:
            self._writers[part] = self._writer_class(os.path.join(self.log_dir, part))
        return self._writers[part]

    def _write(self, kind, logs, step):
        for name, value in (logs or {}).items():
            part, own = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
            self._writer(part).add_scalar(f"{kind}_{own}", float(value), step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        every = 1 if self.update_freq == "batch" else self.update_freq
        if every != "epoch" and self._batches % int(every) == 0:
            self._write("batch", logs, self._batches)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._write("epoch", logs, epoch)
        self._writer("train").add_scalar("epoch_learning_rate", self.model.optimizer.current_learning_rate, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for path, weight in self.model.named_weights().items():
                self._writer("train").add_histogram(path, weight.numpy(), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


_WITHOUT_EFFECT = {
    *("write_graph", "write_images", "write_steps_per_second", "profile_batch", "embeddings_freq", "batch_size"),
    *("embeddings_metadata", "write_grads", "embeddings_layer_names", "embeddings_data"),
}


def _summary_writer():
    """A class that writes TensorBoard's files."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ImportError(
                "TensorBoard's files are written by the package tensorboardX: pip install 'minicnn[tensorboard]', or "
                "leave this callback out; CSVLogger writes the same numbers as a table"
            ) from None
    return SummaryWriter


class RemoteMonitor(Callback):
    """Keras's callback that sends the logs to a server; minicnn opens no connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            "RemoteMonitor sends logs over the network, which minicnn does not: write them with CSVLogger, or send "
            "them in a callback of your own, in on_epoch_end(epoch, logs)"
        )


class SwapEMAWeights(Callback):
    """The averaged weights, of an optimizer with ``use_ema=True``, take the weights' place while data is evaluated.

    Parameters
    ----------
    swap_on_epoch : bool, default False
        Whether they do so from every epoch's end to the beginning of the next, too, for callbacks that save the model.

    Raises
    ------
    ValueError
        If the optimizer averages nothing.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch: bool = swap_on_epoch
        self._kept: Any = None

    def _swap_in(self):
        """Put the averages in; what they replace is kept."""
        optimizer, engine = self.model.optimizer, self.model.training_engine()
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                "SwapEMAWeights needs an optimizer that averages the weights: optimizers.Adam(use_ema=True). "
                f"Received: {optimizer!r}"
            )
        if engine.optimizer_state is not None and self._kept is None:
            self._kept = engine.store.theta.copy()
            optimizer.take_averages(engine.store.theta, engine.optimizer_state, engine.store.trainable_segments())

    def _swap_out(self):
        """Put the weights back."""
        if self._kept is not None:
            self.model.training_engine().store.theta[...] = self._kept
            self._kept = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.swap_on_epoch:
            self._swap_out()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.swap_on_epoch:
            self._swap_in()

    def on_test_begin(self, logs: Any = None) -> None:
        self._swap_in()

    def on_test_end(self, logs: Any = None) -> None:
        self._swap_out()

    def on_predict_begin(self, logs: Any = None) -> None:
        self.on_test_begin(logs)

    def on_predict_end(self, logs: Any = None) -> None:
        self.on_test_end(logs)
