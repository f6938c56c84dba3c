from minicnn.metrics import *
from minicnn.metrics import __getattr__ as __getattr__
