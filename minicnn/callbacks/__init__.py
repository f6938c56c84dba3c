"""What happens around the training loop: history, progress, stopping, learning rates, log files, checkpoints."""

from minicnn.callbacks.bars import EpochLines, ProgressBar, in_line, progress
from minicnn.callbacks.base import Callback, CallbackList, History, TerminateOnNaN, listed
from minicnn.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint, backups
from minicnn.callbacks.csv_logger import CSVLogger
from minicnn.callbacks.functions import LambdaCallback
from minicnn.callbacks.monitor import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from minicnn.callbacks.schedule import LearningRateScheduler

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "EpochLines",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "backups",
    "in_line",
    "listed",
    "progress",
]
