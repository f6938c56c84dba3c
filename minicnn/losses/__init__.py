"""What training makes small: losses and their gradients. A new file in this folder needs no entry here.

A loss is averaged over the samples of a batch, and over all other axes but the classes', which is Keras's
'sum_over_batch_size'. Sample weights multiply the samples' losses; the sum is still divided by the number of samples.

Formulas are derived in ``docs/formulas.md``; p is a probability, z a logit (the value before softmax or sigmoid), t the
target. Names in lower case are functions of arrays, as in Keras: ``losses.categorical_crossentropy(y_true, y_pred)`` is
the loss of each sample, and ``loss=losses.categorical_crossentropy`` means the class.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from minicnn.losses import functions
from minicnn.losses.base import Loss, register, registry
from minicnn.losses.function_loss import get
from minicnn.registry import public_names

if TYPE_CHECKING:  # for editors and type checkers, which do not run what follows
    from minicnn.losses.binary import *  # noqa: F403
    from minicnn.losses.crossentropy import *  # noqa: F403
    from minicnn.losses.elementwise import *  # noqa: F403
    from minicnn.losses.further import *  # noqa: F403

_public = public_names(__name__)
globals().update(_public)

__all__ = ["Loss", "get", "register", *sorted(_public)]
__getattr__: Callable[[str], functions.ArrayFunction] = functions.of_losses(registry, __name__)
