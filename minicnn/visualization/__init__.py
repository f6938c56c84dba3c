"""Figures: training curves, images, predictions, mistakes, filters, feature maps, why a model decides, diagrams.

Every function whose name begins with "show" or "plot" returns a matplotlib Figure: ``figure.savefig("curves.png")``
writes it, a notebook shows it. matplotlib is imported when the first figure is drawn; figures work without a display
and leave the user's pyplot state alone.
"""

from minicnn.visualization.confusion import plot_confusion_matrix
from minicnn.visualization.curves import plot_history
from minicnn.visualization.diagram import plot_model
from minicnn.visualization.embedding import plot_embedding
from minicnn.visualization.feature_maps import show_feature_maps
from minicnn.visualization.filters import show_filters
from minicnn.visualization.grad_cam import grad_cam, show_grad_cam
from minicnn.visualization.images import show_images, show_prediction
from minicnn.visualization.mistakes import show_mistakes
from minicnn.visualization.occlusion import show_occlusion
from minicnn.visualization.rate_finder import find_learning_rate, plot_learning_rate_finder
from minicnn.visualization.saliency import show_saliency
from minicnn.visualization.sliding_window import Animation, show_sliding_window

__all__ = [
    "Animation",
    "find_learning_rate",
    "grad_cam",
    "plot_confusion_matrix",
    "plot_embedding",
    "plot_history",
    "plot_learning_rate_finder",
    "plot_model",
    "show_feature_maps",
    "show_filters",
    "show_grad_cam",
    "show_images",
    "show_mistakes",
    "show_occlusion",
    "show_prediction",
    "show_saliency",
    "show_sliding_window",
]
