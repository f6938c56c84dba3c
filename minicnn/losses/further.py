"""The losses outside the core: for type checkers, which do not see that files are found in their folder."""

from minicnn.losses import function_loss, hinges, overlap, probabilities, regression
from minicnn.losses.function_loss import *  # noqa: F403
from minicnn.losses.hinges import *  # noqa: F403
from minicnn.losses.overlap import *  # noqa: F403
from minicnn.losses.probabilities import *  # noqa: F403
from minicnn.losses.regression import *  # noqa: F403

__all__: list[str] = []
__all__ += function_loss.__all__
__all__ += hinges.__all__
__all__ += overlap.__all__
__all__ += probabilities.__all__
__all__ += regression.__all__
