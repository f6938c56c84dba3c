"""The metrics outside the core: for type checkers, which do not see that files are found in their folder."""

from minicnn.metrics import auc, f_scores, iou, means, of_losses, operating_points, thresholds
from minicnn.metrics.auc import *  # noqa: F403
from minicnn.metrics.f_scores import *  # noqa: F403
from minicnn.metrics.iou import *  # noqa: F403
from minicnn.metrics.means import *  # noqa: F403
from minicnn.metrics.of_losses import *  # noqa: F403
from minicnn.metrics.operating_points import *  # noqa: F403
from minicnn.metrics.thresholds import *  # noqa: F403

__all__: list[str] = []
__all__ += auc.__all__
__all__ += f_scores.__all__
__all__ += iou.__all__
__all__ += means.__all__
__all__ += of_losses.__all__
__all__ += operating_points.__all__
__all__ += thresholds.__all__
