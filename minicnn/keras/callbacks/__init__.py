"""``keras.callbacks``: minicnn's callbacks, with the arguments of older Kerases."""

import math
import os
from contextlib import suppress
from inspect import signature
from string import Formatter

import numpy as np

from minicnn import callbacks as core
from minicnn.callbacks.schedule import check_settable
from minicnn.keras import ops
from minicnn.keras._names import BROUGHT, lookup
from minicnn.keras._not_asked import warn_of_callback
from minicnn.keras._old_logs import other_name, with_old_names
from minicnn.keras._starred import starred
from minicnn.keras._translation import renamed, translated, without
from minicnn.keras._warning import warn_once
from minicnn.keras.models._places import with_suffix
from minicnn.models.forms import layers_within
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.user_warnings import warn_user

_THE_MORE_THE_BETTER = ("acc", "accuracy", "auc")  # in mode="auto" of Keras 2
_RENAMED = {"ReduceLROnPlateau": {"epsilon": "min_delta"}}
_NUMBERS_OF_EPOCHS = ("patience", "cooldown", "start_from_epoch")


def _known_mode(name, kwargs):
    """The arguments, with 'auto' for a mode that does not exist, as Keras has it, which only warns."""
    if kwargs.get("mode", "auto") in ("auto", "min", "max"):
        return kwargs
    warn_user(f"{name} mode {kwargs['mode']!r} is unknown: 'auto', 'min' and 'max' are known, and 'auto' is taken")
    return kwargs | {"mode": "auto"}


def _whole_epochs(cls, args, kwargs):
    """The arguments, with the next whole number for ``patience=epochs / 20``: Keras waits until that many are over."""

    def counted(name, value):
        is_part = name in _NUMBERS_OF_EPOCHS and isinstance(value, float | np.floating) and math.isfinite(value)
        return math.ceil(value) if is_part else value

    names = tuple(signature(cls).parameters)
    args = [counted(name, value) for name, value in zip(names, args, strict=False)] + list(args[len(names) :])
    return tuple(args), {name: counted(name, value) for name, value in kwargs.items()}


def _plateau(args, kwargs):
    args, kwargs = _whole_epochs(core.ReduceLROnPlateau, args, kwargs)
    return args, renamed("ReduceLROnPlateau", _known_mode("ReduceLROnPlateau", kwargs), _RENAMED["ReduceLROnPlateau"])


def _early(args, kwargs):
    args, kwargs = _whole_epochs(core.EarlyStopping, args, kwargs)
    return args, _known_mode("EarlyStopping", kwargs)


def _checkpoint(args, kwargs):
    """ModelCheckpoint(period=n) saved every n epochs."""
    kwargs = _known_mode("ModelCheckpoint", kwargs)
    kwargs = without("ModelCheckpoint", kwargs, {"options": "", "load_weights_on_restart": ""})
    period = kwargs.pop("period", 1)
    if period != 1:
        warn_once(
            "ModelCheckpoint(period=…) is an argument of Keras 2: today every epoch is looked at; it is kept here"
        )
    return args, kwargs | ({"period": period} if period != 1 else {})


def _monitor_op(callback):
    """Whether a value is better than another one, as a function of both."""
    return ops.greater if callback._direction() == "max" else ops.less


def _watching(cls):
    """The class, watching the accuracy under the name that it has in the logs, 'acc' or 'accuracy'; so of others."""

    def on_train_begin(self, logs=None):
        has_graph = getattr(self.model, "graph", None) is not None  # a stand-in for a model has none either
        names = self.model.metrics_names if has_graph else []
        known = [f"{place}{name}" for name in names for place in ("", "val_")]
        other = None if self.monitor in known else other_name(self.monitor, known)
        if other:
            warn_once(f"monitor={self.monitor!r}: it is called {other!r} in the logs, as the metric was in compile()")
            self.monitor = other
        cls.on_train_begin(self, logs)

    def _direction(self):
        """As of a metric's class; of a function, which has none, "max" where its name is an accuracy's."""
        try:
            return cls._direction(self)
        except ValueError:
            if not self.monitor.endswith(_THE_MORE_THE_BETTER):
                raise
            return "max"

    own = {
        "on_train_begin": on_train_begin,
        "_direction": _direction,
        "monitor_op": property(_monitor_op),
        "__doc__": cls.__doc__,
    }
    own["__init_subclass__"] = classmethod(warn_of_callback)
    own |= {"get_monitor_value": cls.current, "current": lambda self, logs: self.get_monitor_value(logs)}
    return type(cls.__name__, (cls,), own)


class Callback(core.Callback):
    """`minicnn.callbacks.Callback`, whose subclasses find the accuracy in `logs` as 'acc' and as 'accuracy'."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, method in [*vars(cls).items()]:
            if name.startswith("on_") and callable(method) and hasattr(core.Callback, name):
                setattr(cls, name, with_old_names(method, name))


class BaseLogger(Callback):
    """Does nothing: losses and metrics in the logs of an epoch are averages anyway, which this one made in Keras 2.

    Parameters
    ----------
    stateful_metrics : list of str, optional
        Not used, as a metric knows how it is averaged.
    """

    def __init__(self, stateful_metrics=None):
        super().__init__()
        self.stateful_metrics = set(stateful_metrics or ())


class ProgbarLogger(core.ProgressBar):
    """`minicnn.callbacks.ProgressBar` under Keras's name.

    Parameters
    ----------
    count_mode, stateful_metrics : optional
        Of Keras 2; not used, as a model knows both.
    """

    def __init__(self, count_mode=None, stateful_metrics=None):
        super().__init__()


_IN_ORDER = ("on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end")
_IN_ORDER += ("on_train_batch_begin", "on_train_batch_end")


class LambdaCallback(core.LambdaCallback):
    """`minicnn.callbacks.LambdaCallback`, whose further arguments become attributes, as in Keras.

    Parameters
    ----------
    *args
        As Keras 3 has them in order: on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin,
        on_train_batch_end.
    **functions
        By the names of methods of `Callback`, which begin with "on_"; others are for one's own use.

    Raises
    ------
    TypeError
        For more functions without a name, or one twice.
    """

    def __init__(self, *args, **functions):
        others = {name: functions.pop(name) for name in [*functions] if not name.startswith("on_")}
        if len(args) > len(_IN_ORDER) or functions.keys() & set(_IN_ORDER[: len(args)]):
            raise TypeError(
                f"LambdaCallback takes {', '.join(_IN_ORDER)}, each once, and others by name. "
                f"Received: {len(args)} without a name, and {', '.join(functions) or 'none'} by name"
            )
        functions = dict(zip(_IN_ORDER, args, strict=False)) | functions
        told = {n: with_old_names(f, n, self) if callable(f) else f for n, f in functions.items()}
        super().__init__(**told)
        vars(self).update(others)


class CSVLogger(core.CSVLogger):
    """`minicnn.callbacks.CSVLogger` with the file that Keras's subclasses write rows of their own to.

    Attributes
    ----------
    csv_file : file or None
        Open while a training goes on.
    writer, keys : object
        For a subclass, which makes them in an epoch; None when a training begins.
    append_header : bool
        Whether the names of the columns are not in the file yet.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sep, self.writer, self.keys, self.append_header = self.separator, None, None, True
        self._in_training = False

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.writer, self.keys, self._in_training = None, None, True
        self.append_header = not (self.append and self._columns_there())

    @property
    def csv_file(self):
        if self._in_training:
            self._open(0)
        return self._file

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._in_training = False


class _Checkpoint(core.ModelCheckpoint):
    """Looks at every `period`-th epoch."""

    def __init__(self, filepath, *args, period=1, **kwargs):
        path = with_suffix(filepath)
        super().__init__(f"{path}.h5" if path.endswith(".weights.h5") else path, *args, **kwargs)  # models, too
        self.filepath = os.fspath(filepath)
        self.period = period

    def on_train_begin(self, logs=None):
        if not self.save_weights_only:
            model = self.model
            is_graphless = getattr(model, "is_graphless", False)
            unwritten = [
                layer.name
                for layer in ([model] if is_graphless else layers_within(model))
                if is_graphless or layer.holds_code
            ]
            if unwritten:
                warn_user(
                    f"the model has layers with code or arguments that no file holds, {unwritten}: {self.filepath} "
                    "gets the weights alone"
                )
            self.save_weights_only = bool(unwritten)
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.period == 0:
            super().on_epoch_end(epoch, logs)

    def _path(self, position, logs):
        with suppress(ValueError):  # of a path that is no format, which is said below
            fields = {field for _, field, _, _ in Formatter().parse(self.filepath) if field}
            logs = logs | {name: logs[known] for name in fields - logs.keys() if (known := other_name(name, logs))}
        return super()._path(position, logs)


class _Plateau(core.ReduceLROnPlateau):
    """Refuses a schedule when a plateau comes, as Keras does, and warns of it when the training begins."""

    def in_cooldown(self):
        """Whether it waits, after it has lowered the rate, before it looks at the value again."""
        return self.cooldown_counter > 0

    def _is_scheduled(self):
        return isinstance(self.model.optimizer.learning_rate, LearningRateSchedule)

    def _check_rate(self):
        if self._is_scheduled():
            warn_user(
                "the optimizer's learning rate is a schedule, which ReduceLROnPlateau cannot change: as in Keras, the "
                "training ends with an error where a plateau comes. Give one of the two"
            )

    def _rate(self):
        return self.model.optimizer.current_learning_rate if self._is_scheduled() else super()._rate()

    def _reduce(self, epoch):
        if self._rate() > self.min_lr:
            check_settable(self)
            super()._reduce(epoch)


_Plateau.__name__ = "ReduceLROnPlateau"
_Checkpoint.__name__ = "ModelCheckpoint"
ModelCheckpoint = translated(_watching(_Checkpoint), _checkpoint, __name__)
ModelCheckpoint.core_class = core.ModelCheckpoint
ReduceLROnPlateau = translated(_watching(_Plateau), _plateau, __name__)
ReduceLROnPlateau.core_class = core.ReduceLROnPlateau
EarlyStopping = translated(_watching(core.EarlyStopping), _early, __name__)
EarlyStopping.core_class = core.EarlyStopping
MonitorCallback = translated(
    _watching(core.MonitorCallback), lambda args, kwargs: (args, _known_mode("MonitorCallback", kwargs)), __name__
)
MonitorCallback.core_class = core.MonitorCallback

__getattr__ = lookup(__name__, ["minicnn.callbacks", "minicnn.keras.callbacks._further"])
__all__ = sorted(
    {*core.__all__, "RemoteMonitor", "SwapEMAWeights", "TensorBoard", *BROUGHT}
    - {"CallbackList", "backups", "in_line", "listed", "progress"}
)
__all__ += starred(__name__)
