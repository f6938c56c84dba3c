from minicnn.constraints import *
from minicnn.constraints import __getattr__ as __getattr__
