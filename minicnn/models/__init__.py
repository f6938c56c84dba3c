"""Models: graphs of layers that can be trained."""

from minicnn import layers
from minicnn.models.cloning import clone_model
from minicnn.models.files import load_model, model_from_json
from minicnn.models.model import Model
from minicnn.models.rehearsal import warmup
from minicnn.models.sequential import Sequential

layers.register("Functional")(Model)  # a model can be a layer of another one, in files too
layers.register(Sequential)

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "warmup"]
