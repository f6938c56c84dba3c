"""Figures: training curves, images, predictions, filters, feature maps, confusion matrices, diagrams of models.

Every function returns a matplotlib Figure: ``figure.savefig("curves.png")`` writes it, a notebook shows it. matplotlib
is imported when the first figure is drawn; figures work without a display and leave the user's pyplot state alone.
"""

from minicnn.visualization.confusion import plot_confusion_matrix
from minicnn.visualization.curves import plot_history
from minicnn.visualization.diagram import plot_model
from minicnn.visualization.images import show_images, show_prediction
from minicnn.visualization.inside import show_feature_maps, show_filters

__all__ = [
    "plot_confusion_matrix",
    "plot_history",
    "plot_model",
    "show_feature_maps",
    "show_filters",
    "show_images",
    "show_prediction",
]
