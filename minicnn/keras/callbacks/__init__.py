"""``keras.callbacks``: minicnn's callbacks, with the arguments of older Kerases."""

from minicnn import callbacks as core
from minicnn.keras._names import lookup
from minicnn.keras._translation import renamed, translated, without
from minicnn.keras._warning import warn_once

_RENAMED = {"ReduceLROnPlateau": {"epsilon": "min_delta"}}


def _checkpoint(args, kwargs):
    """ModelCheckpoint(period=n) saved every n epochs."""
    kwargs = without("ModelCheckpoint", kwargs, {"options": "", "load_weights_on_restart": ""})
    period = kwargs.pop("period", 1)
    if period != 1:
        warn_once(
            "ModelCheckpoint(period=…) is an argument of Keras 2: today every epoch is looked at; it is kept here"
        )
    return args, kwargs | ({"period": period} if period != 1 else {})


class _Checkpoint(core.ModelCheckpoint):
    """Looks at every `period`-th epoch."""

    def __init__(self, *args, period=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.period = period

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.period == 0:
            super().on_epoch_end(epoch, logs)


_Checkpoint.__name__ = "ModelCheckpoint"
ModelCheckpoint = translated(_Checkpoint, _checkpoint, __name__)
ModelCheckpoint.core_class = core.ModelCheckpoint
ReduceLROnPlateau = translated(
    core.ReduceLROnPlateau,
    lambda args, kwargs: (args, renamed("ReduceLROnPlateau", kwargs, _RENAMED["ReduceLROnPlateau"])),
    __name__,
)

__getattr__ = lookup(__name__, ["minicnn.callbacks"], old={"ProgbarLogger": "ProgressBar"})
__all__ = sorted({*core.__all__} - {"CallbackList", "backups", "listed", "progress"})
