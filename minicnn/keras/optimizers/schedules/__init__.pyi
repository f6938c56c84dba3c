from minicnn.optimizers.schedules import *
from minicnn.optimizers.schedules import __getattr__ as __getattr__
