"""Numbers that are reported during training and evaluation, without influence on it.

A metric adds up over the batches of an epoch. Its sums stay where the predictions are (on a GPU nothing waits for them)
until `result` is asked for. Names in lower case are functions of arrays, as in Keras, and stand for the classes in
``metrics=[metrics.binary_accuracy]``. A function of yours, of (y_true, y_pred), is a metric too.
A new file in this folder needs no entry here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from minicnn.losses import functions
from minicnn.metrics.accuracy import get
from minicnn.metrics.base import Metric, register, registry
from minicnn.registry import public_names

if TYPE_CHECKING:  # for editors and type checkers, which do not run what follows
    from minicnn.metrics.accuracy import *  # noqa: F403
    from minicnn.metrics.confusion import *  # noqa: F403
    from minicnn.metrics.further import *  # noqa: F403
    from minicnn.metrics.regression import *  # noqa: F403
    from minicnn.metrics.report import *  # noqa: F403
    from minicnn.metrics.top_k import *  # noqa: F403

_public = public_names(__name__)
globals().update(_public)

__all__ = ["Metric", "get", "register", *sorted(_public)]
__getattr__: Callable[[str], functions.ArrayFunction] = functions.of_metrics(registry, __name__)
