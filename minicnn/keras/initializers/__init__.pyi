from minicnn.initializers import *
from minicnn.initializers import __getattr__ as __getattr__
