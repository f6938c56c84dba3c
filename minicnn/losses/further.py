"""The losses outside the core: for type checkers, which do not see that files are found in their folder."""

from minicnn.losses.hinge import *  # noqa: F403
from minicnn.losses.overlap import *  # noqa: F403
from minicnn.losses.probabilities import *  # noqa: F403
from minicnn.losses.regression import *  # noqa: F403
