"""What type checkers and editors see of the names that `__init__.py` loads when they are first used."""

from minicnn import activations as activations
from minicnn import backends as backends
from minicnn import callbacks as callbacks
from minicnn import constraints as constraints
from minicnn import data as data
from minicnn import datasets as datasets
from minicnn import distribution as distribution
from minicnn import errors as errors
from minicnn import functional as functional
from minicnn import geometry as geometry
from minicnn import images as images
from minicnn import initializers as initializers
from minicnn import keras as keras
from minicnn import layers as layers
from minicnn import losses as losses
from minicnn import metrics as metrics
from minicnn import models as models
from minicnn import networks as networks
from minicnn import optimizers as optimizers
from minicnn import random as random
from minicnn import regularizers as regularizers
from minicnn import sklearn as sklearn
from minicnn import testing as testing
from minicnn import utils as utils
from minicnn import visualization as visualization
from minicnn.backends import set_backend as set_backend
from minicnn.documentation import help as help
from minicnn.gradient_check import gradcheck as gradcheck
from minicnn.layers import Input as Input
from minicnn.models import Model as Model
from minicnn.models import Sequential as Sequential
from minicnn.models import load_model as load_model
from minicnn.models import warmup as warmup
from minicnn.onnx import export_onnx as export_onnx
from minicnn.onnx import import_onnx as import_onnx
from minicnn.page import export_html as export_html
from minicnn.precision import get_float32_precision as get_float32_precision
from minicnn.precision import set_float32_precision as set_float32_precision
from minicnn.threads import get_num_threads as get_num_threads
from minicnn.threads import set_num_threads as set_num_threads

__version__: str
