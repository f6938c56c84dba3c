"""Each epoch's numbers in a file."""

import csv
from pathlib import Path

import numpy as np

from minicnn.callbacks.base import Callback
from minicnn.hints import FilePath, Logs
from minicnn.saving import files


class CSVLogger(Callback):
    """Write each epoch's loss and metrics to a CSV file, complete after every epoch.

    The columns are "epoch", counted from 0, and the logs' names of the first epoch in alphabetical order. Without
    validation values among these there are columns for them too. What is missing in a later epoch is "NA", what is new
    is not written.

    Parameters
    ----------
    filename : str or Path
        Folders that are missing are made.
    separator : str, default ","
        One character.
    append : bool, default False
        Whether to go on in a file that exists, with its columns, instead of writing it anew. Training that goes on at
        a later epoch (``resume=``, `BackupAndRestore`, ``initial_epoch=``) keeps the rows of the epochs before it.

    Raises
    ------
    ValueError
        For a separator of another length; after the first epoch, if an existing file lacks columns for its values.
    OSError
        When training starts, if the file cannot be written.
    """

    reports = True

    def __init__(self, filename: FilePath, separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator is one character, e.g. ',' or ';'. Received: separator={separator!r}")
        self.filename: Path = files.checked_path(filename)
        self.separator = separator
        self.append = append
        self._file = self._columns = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.filename.parent.mkdir(parents=True, exist_ok=True)
        self._close()
        self._columns, self._is_first = None, True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the file: where a training goes on, its first epoch is known only now."""
        self._open(epoch)

    def _open(self, epoch) -> None:
        """Open the file, once in a training; a subclass may have an `on_epoch_begin` of its own."""
        if self._file is not None:
            return
        if epoch > 0:
            self._drop_rows_from(epoch)
        goes_on = self.append or epoch > 0
        self._columns = self._columns_there() if goes_on else None
        self._file = self.filename.open("a" if goes_on else "w", newline="", encoding="utf-8")

    def _drop_rows_from(self, epoch) -> None:
        """Drop the last rows that are of `epoch` or later: training was killed behind them, they come again."""
        if not self.filename.exists():
            return
        with self.filename.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter=self.separator))
        count = len(rows)
        while len(rows) > 1 and rows[-1] and rows[-1][0].isdecimal() and int(rows[-1][0]) >= epoch:
            rows.pop()
        if len(rows) < count:
            with files.replacing(self.filename) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, delimiter=self.separator).writerows(rows)

    def _columns_there(self):
        """The columns of the file, without "epoch"; None if there is no file or nothing in it."""
        if not self.filename.exists():
            return None
        with self.filename.open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file, delimiter=self.separator), None)
        return header and header[1:]

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        self._open(epoch)
        writer = csv.writer(self._file, delimiter=self.separator)
        if self._columns is None:
            self._columns = _columns(logs)
            writer.writerow(["epoch", *self._columns])
        elif self._is_first:
            self._check_columns(logs)
            self._end_last_line()
        self._is_first = False
        values = [logs.get(name, "NA") for name in self._columns]
        writer.writerow([epoch, *(v.tolist() if isinstance(v, np.ndarray) else v for v in values)])
        self._file.flush()

    def _check_columns(self, logs) -> None:
        """Raise `ValueError` if the file that is gone on with lacks a column."""
        missing = [name for name in logs if name not in self._columns]
        if missing:
            raise ValueError(
                f"{self.filename} has the columns {self._columns} of another training: write to another file, or with "
                f"append=False. Received: values for {missing} too"
            )

    def _end_last_line(self) -> None:
        """Begin a line where the file that is gone on with ends within one."""
        with self.filename.open("rb") as file:
            if not file.read().endswith((b"\r", b"\n")):
                self._file.write("\r\n")  # as the csv module does

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def _close(self):
        if self._file is not None:
            self._file.close()
            self._file = None


def _columns(logs) -> list:
    """The names in order; those of validation values too, which may come in later epochs."""
    names = sorted(logs)
    return names if any(name.startswith("val_") for name in names) else names + [f"val_{name}" for name in names]
