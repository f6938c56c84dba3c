"""The metrics outside the core: for type checkers, which do not see that files are found in their folder."""

from minicnn.metrics.auc import *  # noqa: F403
from minicnn.metrics.f_scores import *  # noqa: F403
from minicnn.metrics.iou import *  # noqa: F403
from minicnn.metrics.means import *  # noqa: F403
from minicnn.metrics.of_losses import *  # noqa: F403
from minicnn.metrics.operating_points import *  # noqa: F403
from minicnn.metrics.thresholds import *  # noqa: F403
