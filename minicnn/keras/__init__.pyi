"""What type checkers and editors see of the names that `__init__.py` finds when they are asked for.

The stubs show minicnn's own classes, with today's arguments. A further name is of type Any; in `layers`, an error.
"""

from minicnn.dtype_policies import DTypePolicy as DTypePolicy
from minicnn.initializers import Initializer as Initializer
from minicnn.keras import activations as activations
from minicnn.keras import applications as applications
from minicnn.keras import backend as backend
from minicnn.keras import callbacks as callbacks
from minicnn.keras import config as config
from minicnn.keras import constraints as constraints
from minicnn.keras import datasets as datasets
from minicnn.keras import distillation as distillation
from minicnn.keras import distribution as distribution
from minicnn.keras import dtype_policies as dtype_policies
from minicnn.keras import experimental as experimental
from minicnn.keras import initializers as initializers
from minicnn.keras import layers as layers
from minicnn.keras import losses as losses
from minicnn.keras import metrics as metrics
from minicnn.keras import mixed_precision as mixed_precision
from minicnn.keras import models as models
from minicnn.keras import ops as ops
from minicnn.keras import optimizers as optimizers
from minicnn.keras import preprocessing as preprocessing
from minicnn.keras import random as random
from minicnn.keras import regularizers as regularizers
from minicnn.keras import saving as saving
from minicnn.keras import tensorflow as tensorflow
from minicnn.keras import tree as tree
from minicnn.keras import utils as utils
from minicnn.keras import wrappers as wrappers
from minicnn.keras._keras_tensor import KerasTensor as KerasTensor
from minicnn.keras._variables import Variable as Variable
from minicnn.keras.backend import name_scope as name_scope
from minicnn.keras.config._accepted import version as version
from minicnn.keras.layers._input_spec import InputSpec as InputSpec
from minicnn.keras.tensorflow import device as device
from minicnn.layers import Input as Input
from minicnn.layers import Layer as Layer
from minicnn.losses import Loss as Loss
from minicnn.metrics import Metric as Metric
from minicnn.models import Model as Model
from minicnn.models import Sequential as Sequential
from minicnn.optimizers import Optimizer as Optimizer
from minicnn.regularizers import Regularizer as Regularizer

__version__: str
