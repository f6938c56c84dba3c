"""Numbers that are reported during training and evaluation, without influence on it.

A metric adds up over the batches of an epoch. Its sums stay where the predictions are (on a GPU nothing waits for them)
until `result` is asked for. Classes have names in lower case too, as in Keras: ``metrics=[metrics.binary_accuracy]``.
A new file in this folder needs no entry here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from minicnn.metrics.accuracy import get
from minicnn.metrics.base import Metric, register, registry
from minicnn.registry import public_names

if TYPE_CHECKING:  # for editors and type checkers, which do not run what follows
    from minicnn.metrics.accuracy import *  # noqa: F403
    from minicnn.metrics.confusion import *  # noqa: F403
    from minicnn.metrics.regression import *  # noqa: F403
    from minicnn.metrics.top_k import *  # noqa: F403

_public = public_names(__name__)
globals().update(_public)

__all__ = ["Metric", "get", "register", *sorted(_public)]
__getattr__: Callable[[str], type[Metric]] = registry.module_getattr(__name__)
