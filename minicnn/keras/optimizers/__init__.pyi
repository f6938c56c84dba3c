from minicnn.optimizers import *
from minicnn.optimizers import __getattr__ as __getattr__
