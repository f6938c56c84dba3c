"""``tf.summary``: numbers and pictures for TensorBoard, which the package tensorboardX writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.differentiation import value_of
from minicnn.keras._names import Lookup, lookup
from minicnn.user_warnings import warn_user

__all__ = ["create_file_writer", "create_noop_writer", "flush", "histogram", "image", "scalar", "text"]
__all__ += ["trace_export", "trace_off", "trace_on"]

_WRITERS: list[Writer] = []  # those whose `as_default` is entered, the innermost last


class Writer:
    """Writes into a folder; without tensorboardX it writes nothing, which a warning says.

    Parameters
    ----------
    logdir : str, optional
        None writes nothing.
    """

    def __init__(self, logdir: str | None) -> None:
        self._files: Any = None
        self.step: Any = None
        if logdir is None:
            return
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            warn_user(
                "tf.summary writes nothing: TensorBoard's files are written by the package tensorboardX: "
                "pip install 'minicnn[tensorboard]'"
            )
        else:
            self._files = SummaryWriter(logdir)

    @contextmanager
    def as_default(self, step: Any = None) -> Iterator[Writer]:
        """Inside, what is written goes to this writer, with this step where it has none of its own."""
        before, self.step = self.step, self.step if step is None else step
        _WRITERS.append(self)
        try:
            yield self
        finally:
            _WRITERS.pop()
            self.step = before

    def write(self, method: str, name: str, value: Any, step: Any, **options: Any) -> None:
        """Call a method of tensorboardX's writer."""
        if self._files is not None:
            step = self.step if step is None else step
            number = None if step is None else int(value_of(step))
            getattr(self._files, method)(name, value, number, **options)

    def flush(self) -> None:
        """Have everything in the files."""
        if self._files is not None:
            self._files.flush()

    def close(self) -> None:
        """Have everything in the files, and end them."""
        if self._files is not None:
            self._files.close()


def create_file_writer(logdir: Any, *args: Any, **options: Any) -> Writer:
    """A writer of a folder; what is written inside ``with writer.as_default():`` goes to it."""
    return Writer(str(logdir))


def create_noop_writer() -> Writer:
    """A writer that writes nothing."""
    return Writer(None)


def _written(method: str, name: str, value: Any, step: Any, **options: Any) -> bool:
    if not _WRITERS:
        return False
    _WRITERS[-1].write(method, name, value, step, **options)
    return True


def scalar(name: str, data: Any, step: Any = None, description: str | None = None) -> bool:
    """Write a number; whether there is a writer."""
    return _written("add_scalar", name, float(value_of(data)), step)


def image(name: str, data: Any, step: Any = None, max_outputs: int = 3, description: str | None = None) -> bool:
    """Write pictures (N, H, W, C), as many as `max_outputs`; whether there is a writer."""
    pictures = np.asarray(value_of(data))[: int(max_outputs)]
    return _written("add_images", name, pictures, step, dataformats="NHWC")


def histogram(
    name: str, data: Any, step: Any = None, buckets: int | None = None, description: str | None = None
) -> bool:
    """Write how numbers are spread; whether there is a writer."""
    return _written("add_histogram", name, np.asarray(value_of(data)), step)


def text(name: str, data: Any, step: Any = None, description: str | None = None) -> bool:
    """Write text; whether there is a writer."""
    return _written("add_text", name, str(data), step)


def flush(writer: Any = None) -> None:
    """Have everything in the files of a writer, or of those that are entered."""
    for each in _WRITERS if writer is None else [writer]:
        each.flush()


def trace_on(*args: Any, **options: Any) -> None:
    """Does nothing: there is no graph to trace."""


trace_off = trace_export = trace_on
__getattr__: Lookup = lookup(__name__)
