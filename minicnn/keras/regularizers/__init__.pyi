from minicnn.regularizers import *
from minicnn.regularizers import __getattr__ as __getattr__
