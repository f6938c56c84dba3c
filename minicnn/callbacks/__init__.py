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

__all__ = [
    "Callback",
    "CallbackList",
    "EpochLines",
    "History",
    "LambdaCallback",
    "ProgressBar",
    "TerminateOnNaN",
    "progress",
]
