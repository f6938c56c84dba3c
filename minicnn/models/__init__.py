"""Models: graphs of layers that can be trained."""

from minicnn.models.model import Model, warmup
from minicnn.models.sequential import Sequential

__all__ = ["Model", "Sequential", "warmup"]
