"""What happens around the training loop: history, progress, stopping, checkpoints."""

from minicnn.callbacks.base import (
    Callback,
    CallbackList,
    EpochLines,
    History,
    LambdaCallback,
    ProgressBar,
    TerminateOnNaN,
    progress,
)
from minicnn.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint

__all__ = [
    "BackupAndRestore",
    "Callback",
    "CallbackList",
    "EpochLines",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "ProgressBar",
    "TerminateOnNaN",
    "progress",
]
