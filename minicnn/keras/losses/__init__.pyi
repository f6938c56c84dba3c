from minicnn.losses import *
from minicnn.losses import __getattr__ as __getattr__
